"""What `inspect` proposes: a mapping from two known answers, or a draft from the shape of a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.cli import output
from ktoformats.config.files import as_yaml
from ktoformats.convert.presets import load_preset
from ktoformats.errors import ConfigError, PluginError, RecordError
from ktoformats.propose.draft import by_example
from ktoformats.propose.seats import find
from ktoformats.propose.shape import OPEN, by_shape
from ktoformats.propose.trial import FORMAT, Trial
from ktoformats.read.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ktoformats.plugin.registry import Registry
    from ktoformats.propose.draft import Proposal
    from ktoformats.propose.trial import Outcome
    from ktoformats.read.named import Source

_TRIED: Final = 1000
_SEARCHED: Final = 50_000
_TRIED_ON_PRESETS: Final = 100
_MOST_PRESETS: Final = 8
_FEW: Final = 0.1
_TEXT: Final = 60


class Known(NamedTuple):
    """Parsed records with their places."""

    records: list[Any]
    places: list[str]


def from_answers(
    sources: list[Source], good: Sequence[str], bad: Sequence[str], registry: Registry
) -> dict[str, Any]:
    """The proposal that two answers lead to.

    Raises:
        ConfigError: One of the two kinds is missing, an answer stands nowhere, or nothing fits.
    """
    if not good or not bad:
        raise ConfigError("--good and --bad go together: give one answer that is good and one that is bad")
    known = _records_with(sources, [*good, *bad])
    proposal = by_example(known.records, good, bad, registry)
    return {
        "mapping": proposal.options,
        "questions": list(proposal.questions),
        "gives": _counts(proposal.outcome),
        "others": _others(proposal, known),
    }


def from_shape(records: Sequence[Any], registry: Registry) -> dict[str, Any] | None:
    """The draft for records that no configured format reads; None where nothing looks like an answer."""
    draft = by_shape(records)
    presets = _presets_that_read(records, registry)
    if draft is None and not presets:
        return None
    return {
        "mapping": draft.options if draft else None,
        "questions": list(draft.questions) if draft else [],
        "presets": presets,
    }


def _records_with(sources: list[Source], answers: list[str]) -> Known:
    """The first records, and those further on that hold the answers."""
    known = Known([], [])
    missing = set(answers)
    for number, (place, record) in enumerate(_parsed(sources)):
        held = {answer for answer in missing if next(find([record], answer), None) is not None}
        missing -= held
        if number < _TRIED or held:
            known.records.append(record)
            known.places.append(place)
        elif not missing or number >= _SEARCHED:
            break
    return known


def _parsed(sources: list[Source]) -> Iterator[tuple[str, Any]]:
    for source in sources:
        for block in source.blocks():
            for line, raw in zip(block.lines, block.records, strict=True):
                try:
                    yield f"{source.name}:{line}", parse(raw)
                except RecordError:
                    continue  # told beside the shapes


def _counts(outcome: Outcome) -> dict[str, Any]:
    return {
        "records": len(outcome.labels),
        "used": outcome.used,
        "good": outcome.good,
        "bad": outcome.bad,
        "rejected": dict(outcome.rejected),
        "without_verdict": dict(outcome.unjudged),
    }


def _others(proposal: Proposal, known: Known) -> list[dict[str, Any]]:
    return [
        {
            "mapping": other.options,
            "gives": _counts(other.outcome),
            "differs_on": other.differs,
            "such_as": [
                {"place": known.places[one.record], "here": one.here, "there": one.there} for one in other.differences
            ],
        }
        for other in proposal.others
    ]


def _presets_that_read(records: Sequence[Any], registry: Registry) -> list[dict[str, Any]]:
    """The presets that give samples of both labels and reject next to nothing: a hint, for several may do so."""
    records = records[:_TRIED_ON_PRESETS]
    trial = Trial(registry, records)
    found = []
    for one in registry.presets():
        try:
            preset = load_preset(registry, one.name)
        except PluginError:
            continue  # `plugin presets` tells why
        outcome = trial.run(preset.options) if preset.format == FORMAT else None
        damage = outcome.rejected.total() if outcome else 0
        if outcome and outcome.good and outcome.bad and damage <= _FEW * len(records):
            found.append({"preset": one.name, "title": preset.about.title, "gives": _counts(outcome)})
    return found[:_MOST_PRESETS]


def as_file(proposal: dict[str, Any]) -> str:
    """A proposal as a mapping file, its open questions as comments."""
    lines = [f"# {_comment(text)}" for text in proposal["questions"]]
    return "\n".join([*lines, as_yaml({FORMAT: proposal["mapping"]})])


def _comment(text: str) -> str:
    """Text from data that stays within its comment."""
    return output.safe(text, 1000)


def write(proposal: dict[str, Any], path: Path) -> None:
    """Write a proposal where the user wants it.

    Raises:
        ConfigError: It cannot be written, or something stands there already.
    """
    try:
        with path.open("x", encoding="utf-8") as stream:
            try:
                stream.write(as_file(proposal))
                stream.flush()
            except OSError:
                path.unlink(missing_ok=True)  # nothing half-written
                raise
    except FileExistsError:
        raise ConfigError(f"{path} exists; a draft never replaces a file: name another one") from None
    except OSError as error:
        raise ConfigError(f"{path} cannot be written ({error.strerror})") from error
    output.say(f"wrote {output.safe(path)}")


def show_answers(proposal: dict[str, Any]) -> None:
    """Print what two answers lead to."""
    gives = proposal["gives"]
    output.say(
        f"\na mapping that agrees with these answers; of {gives['records']} records it uses {gives['used']}:", "bold"
    )
    output.say(f"{gives['good']} good and {gives['bad']} bad samples{_losses(gives)}\n")
    _show_mapping(proposal)
    for number, other in enumerate(proposal["others"], start=2):
        theirs = other["gives"]
        output.say(
            f"\nreading {number} agrees with them as well: {theirs['good']} good, {theirs['bad']} bad; it", "bold"
        )
        output.say(f"differs on {other['differs_on']} records, such as")
        for one in other["such_as"]:
            output.say(f"  {output.safe(one['place'])}: here {_labels(one['here'])}; there {_labels(one['there'])}")
        output.say(_indented(_changed(proposal["mapping"], other["mapping"])))
    if proposal["others"]:
        output.say("\nan answer from a record where they differ decides: add --good TEXT or --bad TEXT")


def show_draft(draft: dict[str, Any]) -> None:
    """Print a draft for a file that nothing reads."""
    for one in draft["presets"]:
        gives = one["gives"]
        what = f"  --preset {one['preset']} reads it as {output.safe(one['title'])}"
        first = f" in the first {gives['records']} records" if gives["records"] == _TRIED_ON_PRESETS else ""
        output.say(f"{what}: {gives['good']} good, {gives['bad']} bad{first}")
    if draft["mapping"] is None:
        return
    output.say(
        "\na draft of a mapping, to be completed:" if _is_open(draft["mapping"]) else "\na draft of a mapping:",
        "bold",
    )
    output.say()
    _show_mapping(draft)
    output.say("  with an answer you know to be good and one you know to be bad there is less to ask:")
    output.say("  ktoformats inspect SOURCE --good TEXT --bad TEXT -o mapping.yaml")


def _is_open(mapping: dict[str, Any]) -> bool:
    return OPEN in str(mapping)


def _show_mapping(proposal: dict[str, Any]) -> None:
    for line in as_file(proposal).splitlines():
        output.say(output.safe(line, 2000), "yellow" if line.startswith("#") else "")


def _losses(gives: dict[str, Any]) -> str:
    lost = [f"{count} {reason}" for part in ("rejected", "without_verdict") for reason, count in gives[part].items()]
    return f"; not used: {', '.join(lost)}" if lost else ""


def _labels(samples: list[tuple[str, str]]) -> str:
    shown = [f"{label}: {output.safe(' '.join(text.split()), _TEXT)!s}" for text, label in samples[:2]]
    return " | ".join(shown) or "nothing"


def _changed(one: dict[str, Any], other: dict[str, Any]) -> str:
    """What another mapping says differently."""
    differ = {key: value for key, value in other.items() if one.get(key) != value}
    return as_yaml(differ)


def _indented(text: str) -> str:
    return "\n".join(f"  {output.safe(line, 2000)}" for line in text.splitlines())
