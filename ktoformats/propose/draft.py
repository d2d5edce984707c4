"""Drafts of mappings: from two answers that a user knows, or from the shape of a file alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.propose.layouts import layouts
from ktoformats.propose.seats import Seat, find
from ktoformats.propose.trial import Trial

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.plugin.registry import Registry
    from ktoformats.propose.trial import Outcome

_ORDER: Final = (
    *(
        "parse_json",
        "where",
        "prompt",
        "system",
        "history",
        "tools",
        "chat",
        "marks",
        "tree",
        "candidates",
        "verdict",
    ),
)
_MOST_SEATS: Final = 4
_MOST_READINGS: Final = 6
_MOST_DIFFERENCES: Final = 3


class Difference(NamedTuple):
    """A record that two readings label differently."""

    record: int
    """Its number, from 0."""
    here: list[tuple[str, str]]
    """(answer, label) of the samples that the proposal gives and the other does not."""
    there: list[tuple[str, str]]


class Other(NamedTuple):
    """Another reading that agrees with the known answers."""

    options: dict[str, Any]
    outcome: Outcome
    differs: int
    """On how many records."""
    differences: list[Difference]


class Proposal(NamedTuple):
    """A mapping that agrees with what is known, and what is still open."""

    options: dict[str, Any]
    outcome: Outcome
    questions: tuple[str, ...]
    others: list[Other]


def by_example(records: Sequence[Any], good: Sequence[str], bad: Sequence[str], registry: Registry) -> Proposal:
    """The likeliest mapping under which the good answers are good and the bad ones bad.

    Args:
        records: Parsed records.
        good: Answers known to be good; whole, or their first twenty characters or more.
        bad: Answers known to be bad.
        registry: The installed plugins.

    Raises:
        ConfigError: An answer stands nowhere, or no mapping makes of them what they are.
    """
    opened, parsed = _open_json(records)
    seats = [_seats(opened, texts[0], label) for texts, label in ((good, GOOD), (bad, BAD))]
    trial = Trial(registry, records)
    fitting: list[tuple[float, dict[str, Any], Outcome, tuple[str, ...]]] = []
    tried: set[bytes] = set()
    for layout in layouts(opened, *seats):
        for reading in layout.readings:
            options = _ordered({**parsed, **layout.options, "verdict": reading.verdict})
            key = orjson.dumps(options, option=orjson.OPT_SORT_KEYS)
            outcome = None if key in tried else trial.run(options)
            tried.add(key)
            if outcome is not None and _agrees(outcome, good, bad):
                fitting.append(
                    (_worth(reading.score, outcome), options, outcome, layout.questions + reading.questions)
                )
    if not fitting:
        places = "; ".join(
            f"the {label} one as {seat[0].kind}" for seat, label in zip(seats, (GOOD, BAD), strict=True)
        )
        raise ConfigError(
            f"no mapping found that makes the one answer good and the other bad (they stand there: {places}); "
            "try other answers, or write the mapping by hand: docs/how-to/map-any-layout.md"
        )
    fitting.sort(key=lambda one: -one[0])
    return _proposal(fitting)


def _seats(records: Sequence[Any], answer: str, label: str) -> list[Seat]:
    if not answer.strip():
        raise ConfigError(f"the {label} answer is empty: give a text that stands in the file")
    found = list(find(list(records), answer))[:_MOST_SEATS]
    if not found:
        raise ConfigError(
            f"the {label} answer {answer.strip()[:60]!r} stands nowhere in the {len(records)} records looked at; "
            "give it whole, or from its first character on"
        )
    return found


def _open_json(records: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The records with their columns of JSON text opened, and the option that does the same."""
    columns = [
        name for name in (records[0] if records and type(records[0]) is dict else {}) if _is_json(records, name)
    ]
    if not columns:
        return list(records), {}
    opened = [
        {name: orjson.loads(value) if name in columns and value else value for name, value in record.items()}
        for record in records
        if type(record) is dict
    ]
    return opened, {"parse_json": columns}


def _is_json(records: Sequence[Any], name: str) -> bool:
    values = [record.get(name) for record in records if type(record) is dict]
    given = [value for value in values if value]
    if not given or not all(type(value) is str and value[:1] in "[{" for value in given):
        return False
    try:
        return all(type(orjson.loads(value)) in (list, dict) for value in given)
    except orjson.JSONDecodeError:
        return False


def _ordered(options: dict[str, Any]) -> dict[str, Any]:
    return {key: options[key] for key in _ORDER if key in options}


def _agrees(outcome: Outcome, good: Sequence[str], bad: Sequence[str]) -> bool:
    return all(outcome.says(one, GOOD) for one in good) and all(outcome.says(one, BAD) for one in bad)


def _worth(score: float, outcome: Outcome) -> float:
    """A reading's score, and what it makes of the records."""
    records = len(outcome.labels) or 1
    both = min(outcome.good, outcome.bad) > 0
    return score + 3 * outcome.used / records - 3 * outcome.rejected.total() / records + both


def _proposal(fitting: list[tuple[float, dict[str, Any], Outcome, tuple[str, ...]]]) -> Proposal:
    _, options, outcome, questions = fitting[0]
    others: list[Other] = []
    known = [outcome.labels]
    for _, theirs, made, _ in fitting[1:]:
        if made.labels in known or len(others) >= _MOST_READINGS:
            continue
        known.append(made.labels)
        differ = [
            number for number, pair in enumerate(zip(outcome.labels, made.labels, strict=True)) if pair[0] != pair[1]
        ]
        shown = [
            Difference(
                number,
                sorted(outcome.labels[number] - made.labels[number]),
                sorted(made.labels[number] - outcome.labels[number]),
            )
            for number in differ[:_MOST_DIFFERENCES]
        ]
        others.append(Other(theirs, made, len(differ), shown))
    return Proposal(options, outcome, questions, others)
