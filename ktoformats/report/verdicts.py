"""What labels rest on: grades next to where their scale turns, and cells that were read by an assumption."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ktoformats.feedback import BAD, GOOD, REASONS
from ktoformats.report.finding import MOST_EXAMPLES, Finding, Section, of, places, share_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ktoformats.store.report import Report
    from ktoformats.train.chosen import Chosen

DOUBTFUL: Final = ("max_assumed", "reversed", "negated")
"""Flags that say that a verdict was understood in a way in which it might not have been meant."""
_ROWS_AT_ONCE: Final = 1 << 17
_ELSEWHERE: Final = ("template_token",)
"""Flags that another section tells of."""
_LEAST_GRADES: Final = 3
"""A scale with fewer grades in use has no grade that is a near thing."""
_CELLS: Final = 3
_GRADE: Final = ("field", "scale", "position", "label", "cell")


@dataclass
class _Grade:
    """Samples of one scale that stand at one position with one label."""

    count: int = 0
    cells: Counter[str] = field(default_factory=Counter)
    first: list[int] = field(default_factory=list)
    """The first positions in the dataset."""

    def add(self, cell: str, count: int, first: Sequence[int]) -> None:
        self.count += count
        self.cells[cell] += count
        self.first = sorted([*self.first, *first])[:MOST_EXAMPLES]

    @property
    def shown(self) -> str:
        """The cells that were read so."""
        found = sorted(self.cells.items(), key=lambda pair: (-pair[1], pair[0]))
        return " or ".join(cell for cell, _ in found[:_CELLS]) + " or others" * (len(found) > _CELLS)


_Column = tuple[str, str]
"""The column that holds a verdict, and the scale that reads it."""


def verdicts_section(dataset: Chosen, report: Report) -> Section:
    """Flags, and the grades that decide."""
    grades: dict[_Column, dict[tuple[float, str], _Grade]] = {}
    flags: Counter[str] = Counter()
    doubtful = _Grade()
    for start in range(0, len(dataset), _ROWS_AT_ONCE):
        table = dataset.samples.take(dataset.rows[start : start + _ROWS_AT_ONCE], [*_GRADE, "flags"])
        table = table.append_column("at", pa.array(np.arange(start, start + len(table))))
        for (flagged,), count, first in _grouped(table, ["flags"]):
            own = flagged.split(",") if flagged else []
            flags.update(dict.fromkeys(own, count))
            if not set(DOUBTFUL).isdisjoint(own):
                doubtful.add(flagged, count, first)
        for (column, scale, position, label, cell), count, first in _grouped(table, list(_GRADE)):
            if position is not None:
                of_scale = grades.setdefault((column, scale), {})
                of_scale.setdefault((position, label), _Grade()).add(cell, count, first)
    neutral = report.total.without_verdict["neutral"] + report.total.candidates_unjudged["neutral"]
    near = {column: found for column, known in sorted(grades.items()) if (found := _turning(known))}
    facts = [
        f"{count} samples: {code}: {REASONS.get(code, 'a plugin says so')}"
        for code, count in _sorted(flags)
        if code not in _ELSEWHERE
    ]
    if neutral:
        facts.append(f"{neutral} verdicts were the middle of their scale, and gave no sample")
    figures: dict[str, Any] = {
        "flags": dict(_sorted(flags)),
        "neutral": neutral,
        "turning": [
            {"field": column, "scale": scale, "label": label, "cells": grade.shown, "samples": grade.count}
            for (column, scale), found in near.items()
            for label, grade in found.items()
        ],
    }
    total = len(dataset)
    findings = []
    if doubtful.count:
        findings.append(_assumed(flags, doubtful.count, places(dataset.samples, dataset.rows[doubtful.first]), total))
    for column, found in near.items():
        first = [at for grade in found.values() for at in grade.first[:_CELLS]]
        findings.append(_near(*column, found, places(dataset.samples, dataset.rows[first]), total))
    return Section("verdicts", tuple(facts), figures, tuple(findings))


def _grouped(table: pa.Table, columns: list[str]) -> Iterator[tuple[tuple[Any, ...], int, list[int]]]:
    """The different values of some columns: how often they stand there, and the first positions."""
    counted = table.group_by(columns, use_threads=False).aggregate([([], "count_all"), ("at", "list")])
    first = pc.list_slice(counted.column("at_list").combine_chunks(), 0, MOST_EXAMPLES)
    values = zip(*(counted.column(name).to_pylist() for name in columns), strict=True)
    yield from zip(values, counted.column("count_all").to_pylist(), first.to_pylist(), strict=True)


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _turning(known: dict[tuple[float, str], _Grade]) -> dict[str, _Grade]:
    """The lowest good grade and the highest bad one, by label, unless they are the ends of the scale."""
    positions = {label: [at for at, own in known if own == label] for label in (GOOD, BAD)}
    if len({at for at, _ in known}) < _LEAST_GRADES or not all(positions.values()):
        return {}
    ends = {GOOD: min(positions[GOOD]), BAD: max(positions[BAD])}
    return {label: known[at, label] for label, at in ends.items() if 0 < at < 1}


def _assumed(flags: Counter[str], count: int, examples: tuple[str, ...], total: int) -> Finding:
    counted = ", ".join(f"{code} {flags[code]}" for code in DOUBTFUL if flags[code])
    return Finding(
        "ambiguous-labels",
        count,
        share_of(count, total),
        "warning",
        f"{of(count, total, 'labels')} rest on how a verdict was understood: {counted}",
        "ktoformats why FILE:LINE tells how each was read; --set 'scales={COLUMN: {...}}' says what is meant",
        examples,
    )


def _near(column: str, scale: str, found: dict[str, _Grade], examples: tuple[str, ...], total: int) -> Finding:
    count = sum(grade.count for grade in found.values())
    counted = ", ".join(f"{grade.shown} is {label} ({grade.count})" for label, grade in found.items())
    return Finding(
        "ambiguous-labels",
        count,
        share_of(count, total),
        "note",
        f"{of(count, total, 'labels')} are grades next to where the scale {scale!r} of {column or 'the verdict'} "
        f"turns: {counted}",
        f"with fewer but surer labels: --set 'scales={{{column or 'COLUMN'}: {{low: ..., high: ..., good_from: ..., "
        "bad_to: ...}}', and a wider middle",
        examples,
    )
