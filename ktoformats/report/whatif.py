"""What another threshold, balance, seed or scale would give: from the samples that there are, without parsing.

What chooses among samples is chosen anew. A scale is asked about the cells that stand beside the samples; what gave
no sample (a verdict in the middle of its scale, or one that cannot be read) does not stand there, and is told apart.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from ktoformats.convert.assemble import assemble
from ktoformats.errors import ConfigError, KTOLabelError
from ktoformats.feedback import BAD, GOOD
from ktoformats.store.choose import Choice, Stages
from ktoformats.store.mix import pieces_of
from ktoformats.store.report import Report, loss_weights
from ktoformats.store.shards import converts

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.labels import LabelReader
    from ktoformats.loader import PreferenceDataLoader
    from ktoformats.store.view import View

_SPLIT: Final = "train"
_SCALES: Final = "scales"
_ROWS_AT_ONCE: Final = 1 << 17
UNREADABLE: Final = "unreadable"
NEUTRAL: Final = "neutral"


class WhatIf(NamedTuple):
    """How the samples that are used would change.

    Attributes:
        changes: What is asked, `KEY=VALUE`.
        before: Label to number of samples that are used now.
        after: The same under the changes.
        moves: What becomes of samples, in sentences, the most frequent first.
        notes: What cannot be told from samples.
    """

    changes: tuple[str, ...]
    before: dict[str, int]
    after: dict[str, int]
    moves: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """It as plain values."""
        weights = {
            name: loss_weights(one[GOOD], one[BAD]) for name, one in (("before", self.before), ("after", self.after))
        }
        return {
            "changes": list(self.changes),
            **{name: {**getattr(self, name), "weights": own} for name, own in weights.items()},
            "moves": list(self.moves),
            "notes": list(self.notes),
        }


def what_if(loader: PreferenceDataLoader, changed: KTODataConfig, changes: tuple[str, ...]) -> WhatIf:
    """Ask what another configuration would give.

    Args:
        loader: Its train split is loaded if it was not.
        changed: The same configuration with the changes.
        changes: The changes, for people.

    Raises:
        ConfigError: A change decides how records are read, so that they must be read again.
    """
    view, report = loader.view(_SPLIT), loader.reports[_SPLIT]
    _refuse_reading(loader, changed, report)
    other, told = _chosen(loader, changed, view, report)
    before, after = view.counts(), other.counts()
    moves = [str(one) for one in view.diff(other)]
    notes = []
    if changed.scales != loader.config.scales:
        read = _read_again(
            other, assemble(changed, loader.registry).pipeline.labels, _columns(loader.config, changed)
        )
        after = _moved(after, read)
        moves += [
            f"{count} samples: labelled {was}, then {now}" for (was, now), count in read.most_common() if was != now
        ]
        notes += _untold(report)
    else:  # what is warned of counts labels, and these are read again after the choice
        notes += [f"then warned: {text}" for text in told.warnings if text not in report.warnings]
        notes += [f"no longer warned: {text}" for text in report.warnings if text not in told.warnings]
    return WhatIf(changes, before, after, tuple(moves), tuple(notes))


def _refuse_reading(loader: PreferenceDataLoader, changed: KTODataConfig, report: Report) -> None:
    """Refuse what cannot be told without reading the sources again."""
    if report.copied:
        raise ConfigError("--what-if cannot tell of sources that `oversample` repeats; set it with --set and compare")
    mine, other = (converts(config, assemble(config, loader.registry)) for config in (loader.config, changed))
    for plain in (mine["config"], other["config"]):
        plain.pop(_SCALES, None)
    if mine == other:
        return
    names = [name for name in mine["config"] if mine["config"][name] != other["config"][name]]
    names = names or ["random_seed" if mine["seed"] != other["seed"] else "a minimum length of 0"]
    raise ConfigError(
        f"--what-if: {', '.join(names)} decides how records are read, which samples do not tell; "
        "run the report again with --set instead"
    )


def _chosen(loader: PreferenceDataLoader, changed: KTODataConfig, view: View, report: Report) -> tuple[View, Report]:
    """The view that the changed configuration chooses of the same samples, and what is told of it."""
    lenient = changed.model_copy(update={"require_both_labels": False, "strict": False})
    pieces = pieces_of(_SPLIT, lenient, lambda own: assemble(own, loader.registry))
    choice = Choice(_SPLIT, lenient, pieces, Stages(), for_training=True)
    told = Report(_SPLIT, report.ledger, rejects=report.rejects, seed=changed.random_seed)
    return choice.made(view.samples, told), told


def _columns(config: KTODataConfig, changed: KTODataConfig) -> set[str]:
    """The columns that are given another scale."""
    return {column for column, scale in changed.scales.items() if config.scales.get(column) != scale}


def _read_again(view: View, labels: LabelReader, columns: set[str]) -> Counter[tuple[str, str]]:
    """Label before and after to number of used samples, among those whose verdict stands in one of the columns."""
    found: Counter[tuple[str, str]] = Counter()
    known: dict[tuple[str, str, str], str] = {}
    for column, cell, scale, label, count in _cells(view):
        if column not in columns:
            continue
        key = (column, cell, scale)
        if key not in known:
            known[key] = _label(labels, *key)
        found[label, known[key]] += count
    return found


def _cells(view: View) -> Iterator[tuple[str, str, str, str, int]]:
    """Column, cell, scale and label of the used samples, with how often they stand there."""
    names = ["field", "cell", "scale", "label"]
    for start in range(0, len(view.chosen), _ROWS_AT_ONCE):
        table = view.samples.take(view.chosen[start : start + _ROWS_AT_ONCE], names)
        counted = table.group_by(names).aggregate([([], "count_all")])
        yield from zip(*(counted.column(name).to_pylist() for name in (*names, "count_all")), strict=True)


def _label(labels: LabelReader, column: str, cell: str, scale: str) -> str:
    try:
        return labels.read(orjson.loads(cell), column, scale).label or NEUTRAL
    except KTOLabelError:
        return UNREADABLE


def _moved(counts: Mapping[str, int], read: Mapping[tuple[str, str], int]) -> dict[str, int]:
    after = dict(counts)
    for (was, now), count in read.items():
        after[was] -= count
        if now in after:
            after[now] += count
    return after


def _untold(report: Report) -> list[str]:
    """What a scale might find in records that gave no sample."""
    total = report.total
    gone = {
        "in the middle of their scale": total.without_verdict[NEUTRAL] + total.candidates_unjudged[NEUTRAL],
        "that could not be read": sum(total.rejected[code] for code in ("label_unrecognised", "out_of_scale")),
    }
    told = [f"{count} verdicts {what} gave no sample, and are not asked" for what, count in gone.items() if count]
    return [*told, "filters that look at utility have not been applied to new labels"]
