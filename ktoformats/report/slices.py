"""Good and bad by where samples come from: file, format, scale, and every column that is carried along."""

from __future__ import annotations

import re
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson
import pyarrow.compute as pc

from ktoformats.feedback import BAD, GOOD

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from ktoformats.train.chosen import Chosen

_OWN: Final = {
    "source": "File",
    "format_type": "Format",
    "field": "Column of the verdict",
    "scale": "Scale",
}
_ROWS_AT_ONCE: Final = 1 << 17
_MOST_VALUES: Final = 2000
"""Different values of a column that are counted; a column with more is no slice."""
SHOWN: Final = 12
_DATE: Final = re.compile(r"(\d{4})-(\d{2})(?:-\d{2}|$)")
_TIME: Final = re.compile(r"time|date|created|updated|_at$|^ts$", re.IGNORECASE)
_EPOCH: Final = (1e9, 4e9)
"""Seconds since 1970 that are meant as times: from 2001 to 2096."""


class Slice(NamedTuple):
    """A column, and how its values divide the samples.

    Attributes:
        name: The column, in words.
        values: Value to label to count, the most frequent first; times by month, in order.
        different: How many different values there are; None where they were too many to count.
    """

    name: str
    values: dict[str, dict[str, int]]
    different: int | None


def slices_of(dataset: Chosen) -> list[Slice]:
    """All slices that have more than one value, in a fixed order."""
    found: dict[str, dict[str, Counter[str]]] = {}
    full: set[str] = set()
    for start in range(0, len(dataset), _ROWS_AT_ONCE):
        rows = dataset.rows[start : start + _ROWS_AT_ONCE]
        table = dataset.samples.take(rows, [*_OWN, "kept", "label"])
        for name, value, label, count in _counts(table):
            values = found.setdefault(name, {})
            if value not in values and len(values) >= _MOST_VALUES:
                full.add(name)
            elif name not in full:
                values.setdefault(value, Counter())[label] += count
    made = [_slice(name, values, full) for name, values in found.items()]
    return [one for one in made if one.different is None or one.different > 1]


def _counts(table: pa.Table) -> Iterator[tuple[str, str, str, int]]:
    """Name, value, label and count."""
    judged = table.filter(pc.not_equal(table.column("scale"), ""))  # a side of a pair has its label by its column
    for column, name in _OWN.items():
        for value, label, count in _grouped(judged if column == "field" else table, column):
            if value:
                yield name, value, label, count
    for text, label, count in _grouped(table, "kept"):
        if text:
            for name, value in _values(orjson.loads(text)):
                yield name, value, label, count


def _grouped(table: pa.Table, column: str) -> Iterator[tuple[str, str, int]]:
    counted = table.group_by([column, "label"]).aggregate([([], "count_all")])
    names = (column, "label", "count_all")
    yield from zip(*(counted.column(name).to_pylist() for name in names), strict=True)


def _values(carried: Any) -> Iterator[tuple[str, str]]:
    """The scalars that a sample carries; those of a list one by one, times as their month."""
    for name, value in carried.items() if isinstance(carried, dict) else ():
        for one in value if isinstance(value, list) else (value,):
            if isinstance(one, str | int | float) and one != "":
                yield name, _month(name, one) or str(one)


def _month(name: str, value: str | float) -> str | None:
    if isinstance(value, str):
        date = _DATE.match(value)
        return f"{date[1]}-{date[2]}" if date else None
    low, high = _EPOCH
    if not isinstance(value, bool) and low <= value <= high and _TIME.search(name):
        return datetime.fromtimestamp(value, UTC).strftime("%Y-%m")
    return None


def _slice(name: str, values: dict[str, Counter[str]], full: set[str]) -> Slice:
    if name in full:
        return Slice(name, {}, None)
    of_times = all(re.fullmatch(r"\d{4}-\d{2}", value) for value in values)
    ordered = sorted(values) if of_times else sorted(values, key=lambda value: (-values[value].total(), value))
    counted = {value: {GOOD: values[value][GOOD], BAD: values[value][BAD]} for value in ordered}
    return Slice(name, counted, len(counted))
