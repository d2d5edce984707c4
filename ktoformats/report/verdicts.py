"""What labels rest on: grades next to where their scale turns, and cells that were read by an assumption."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from ktoformats.feedback import BAD, GOOD, REASONS
from ktoformats.report.finding import MOST_EXAMPLES, Finding, Section, first_places, of, share_of

if TYPE_CHECKING:
    from ktoformats.store.report import Report
    from ktoformats.train.dataset import KTODataset

DOUBTFUL: Final = ("max_assumed", "reversed", "negated")
"""Flags that say that a verdict was understood in a way in which it might not have been meant."""
_ROWS_AT_ONCE: Final = 8192
_ELSEWHERE: Final = ("template_token",)
"""Flags that another section tells of."""
_LEAST_GRADES: Final = 3
"""A scale with fewer grades in use has no grade that is a near thing."""
_CELLS: Final = 3
_COLUMNS: Final = ("field", "scale", "position", "label", "cell", "flags", "source", "line")


@dataclass
class _Grade:
    """Samples of one scale that stand at one position with one label."""

    count: int = 0
    cells: Counter[str] = field(default_factory=Counter)
    examples: list[str] = field(default_factory=list)

    def add(self, cell: str, place: str) -> None:
        self.count += 1
        self.cells[cell] += 1
        if len(self.examples) < MOST_EXAMPLES:
            self.examples.append(place)

    @property
    def shown(self) -> str:
        """The cells that were read so."""
        found = sorted(self.cells.items(), key=lambda pair: (-pair[1], pair[0]))
        return " or ".join(cell for cell, _ in found[:_CELLS]) + " or others" * (len(found) > _CELLS)


_Column = tuple[str, str]
"""The column that holds a verdict, and the scale that reads it."""


def verdicts_section(dataset: KTODataset, report: Report) -> Section:
    """Flags, and the grades that decide."""
    grades: dict[_Column, dict[tuple[float, str], _Grade]] = {}
    flags: Counter[str] = Counter()
    doubtful: list[str] = []
    for start in range(0, len(dataset), _ROWS_AT_ONCE):
        table = dataset.samples.take(dataset.rows[start : start + _ROWS_AT_ONCE], _COLUMNS)
        for row in zip(*(table.column(name).to_pylist() for name in _COLUMNS), strict=True):
            column, scale, position, label, cell, flagged, source, line = row
            if flagged:
                own = flagged.split(",")
                flags.update(own)
                if not set(DOUBTFUL).isdisjoint(own):
                    doubtful.append(f"{source}:{line}")
            if position is not None:
                of_scale = grades.setdefault((column, scale), {})
                of_scale.setdefault((position, label), _Grade()).add(cell, f"{source}:{line}")
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
    findings = [_assumed(flags, doubtful, total)] if doubtful else []
    findings += [_near(*column, found, total) for column, found in near.items()]
    return Section("verdicts", tuple(facts), figures, tuple(findings))


def _sorted(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _turning(known: dict[tuple[float, str], _Grade]) -> dict[str, _Grade]:
    """The lowest good grade and the highest bad one, by label, unless they are the ends of the scale."""
    positions = {label: [at for at, own in known if own == label] for label in (GOOD, BAD)}
    if len({at for at, _ in known}) < _LEAST_GRADES or not all(positions.values()):
        return {}
    ends = {GOOD: min(positions[GOOD]), BAD: max(positions[BAD])}
    return {label: known[at, label] for label, at in ends.items() if 0 < at < 1}


def _assumed(flags: Counter[str], doubtful: list[str], total: int) -> Finding:
    counted = ", ".join(f"{code} {flags[code]}" for code in DOUBTFUL if flags[code])
    return Finding(
        "ambiguous-labels",
        len(doubtful),
        share_of(len(doubtful), total),
        "warning",
        f"{of(len(doubtful), total, 'labels')} rest on how a verdict was understood: {counted}",
        "ktoformats why FILE:LINE tells how each was read; --set 'scales={COLUMN: {...}}' says what is meant",
        first_places(doubtful),
    )


def _near(column: str, scale: str, found: dict[str, _Grade], total: int) -> Finding:
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
        first_places(place for grade in found.values() for place in grade.examples[:_CELLS]),
    )
