"""Answers that stand there more than once: with both labels, or with the same one again."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson

from ktoformats.store.samples import LABEL_BIT
from ktoformats.store.view import select

if TYPE_CHECKING:
    from ktoformats.config.models import KTODataConfig
    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.view import View

_PLACES_TOLD: Final = 3


class Conflicts(NamedTuple):
    """Answers that are judged good and bad."""

    rows: Array
    """Rows of the table, ascending."""
    answers: Array
    """For each of them the number of its answer."""
    good: Array
    """For each of them whether it is judged good there."""

    @property
    def number(self) -> int:
        """How many answers they are."""
        return len(np.unique(self.answers))


def without_repeats(view: View, config: KTODataConfig, conflict: str, report: Report) -> View:
    """Tell of answers that are judged both ways, and of samples that stand there twice; leave out what is asked.

    Args:
        view: The samples.
        config: What to do about repeats, and where the time of a verdict stands.
        conflict: What to do about contradictions.
        report: What is told.
    """
    found = _conflicts_of(view)
    if len(found.rows):
        _tell_conflicts(view, found, conflict, report)
        if conflict != "report":
            view = _decided(view, found, conflict, config.time_column)
    repeated = len(view.occurrence.rows)
    if repeated and config.duplicates == "drop":
        view = _without_duplicates(view)
    elif repeated:
        report.notes.append(
            f"{repeated} of {len(view)} samples repeat an earlier one with the same label; duplicates: drop "
            "keeps the first of each"
        )
    return view


def _tell_conflicts(view: View, found: Conflicts, conflict: str, report: Report) -> None:
    first = found.rows[found.answers == found.answers[0]]
    places = view.samples.take(first[:_PLACES_TOLD], ["source", "line", "label"]).to_pylist()
    where = ", ".join(f"{one['label']} on {one['source']}:{one['line']}" for one in places)
    text = f"{found.number} answers are judged good and bad ({len(found.rows)} samples), such as {where}"
    if conflict == "report":
        report.warnings.append(f"{text}; all are kept: conflict: drop, majority or last would decide")
    else:
        report.notes.append(f"{text}; conflict: {conflict} decided")


def _conflicts_of(view: View) -> Conflicts:
    """Find the answers that are judged both ways, among the chosen samples."""
    rows = np.sort(view.again)
    _, answers = np.unique(view.samples.numbers("key", rows) & ~LABEL_BIT, return_inverse=True)
    good = view.samples.good[rows]
    goods, all_of = np.bincount(answers, good), np.bincount(answers)
    mixed = ((goods > 0) & (goods < all_of))[answers]
    return Conflicts(rows[mixed], answers[mixed], good[mixed])


def _decided(view: View, found: Conflicts, how: str, time_column: str | None) -> View:
    """Leave out what loses.

    Args:
        view: The samples.
        found: Its conflicts.
        how: `drop` all of them; keep the label of the `majority`, or of the `last` verdict in time. What stands
            equal is dropped with both labels.
        time_column: The carried column that says when.
    """
    if how == "drop":
        lost = found.rows
    else:
        weights = np.ones(len(found.rows)) if how == "majority" else _latest(view, found, time_column or "")
        first = np.unique(found.answers, return_inverse=True)[1]
        good = np.bincount(first, weights * found.good)[first]
        bad = np.bincount(first, weights * ~found.good)[first]
        lost = found.rows[np.where(found.good, good <= bad, bad <= good)]
    return select(view, np.setdiff1d(view.chosen, lost), "conflicts", "conflict")


def _latest(view: View, found: Conflicts, column: str) -> Array:
    """1 for the verdicts that no other of their answer follows, else 0; none counts where times do not compare."""
    kept = view.samples.take(found.rows, ["kept"]).column("kept").to_pylist()
    times = [_time(orjson.loads(text).get(column) if text else None) for text in kept]
    last: dict[int, Any] = {}
    for answer, time in zip(found.answers.tolist(), times, strict=True):
        if time is not None:
            known = last.setdefault(answer, time)
            last[answer] = max(known, time) if known is not False and known[0] == time[0] else False
    latest = [
        time is not None and last[answer] == time for answer, time in zip(found.answers.tolist(), times, strict=True)
    ]
    return np.array(latest, np.float64)


def _time(value: Any) -> tuple[str, float] | None:
    """A moment as its kind and its number; None where it is none."""
    if type(value) in (int, float):
        return "number", float(value)
    try:
        moment = datetime.fromisoformat(value) if type(value) is str else None
    except ValueError:
        return None
    if moment is None:
        return None
    return "date", (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def _without_duplicates(view: View) -> View:
    """Keep the first of samples that are the same in content and label."""
    rows = np.sort(view.again)
    _, first = np.unique(view.samples.numbers("key", rows), return_index=True)
    later = np.delete(rows, first)
    return select(view, np.setdiff1d(view.chosen, later, assume_unique=True), "duplicates", "duplicate")
