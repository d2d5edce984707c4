"""A view: which samples of a build are used, and what became of the others. Taste lives here, not in the build."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ktoformats.errors import KtoFormatsError, PluginContractError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.kinds import Dropped
from ktoformats.store.sink import forget_pages

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.convert.assemble import NamedFilter

_HEX: Final = np.zeros(256, np.uint64)
for _digit in range(16):
    _HEX[ord(f"{_digit:x}")] = _digit
_FILTER_ROWS: Final = 8192

Array = np.ndarray[Any, np.dtype[Any]]
DropCounts = dict[str, Counter[tuple[str, str, str]]]
"""Stage to (source, reason, label) to number of samples."""


@dataclass(frozen=True)
class View:
    """Samples chosen from a table.

    Attributes:
        table: All samples that were built, in source order.
        chosen: int64, the rows that are used, ascending.
        dropped: What each stage left out.
    """

    table: pa.Table
    chosen: Array
    dropped: DropCounts = field(default_factory=dict)

    @cached_property
    def occurrence(self) -> Array:
        """int32 per row of the table: n for a chosen row whose content stands n times before it, else 0.

        Counted among the chosen rows alone: a repeat that was dropped does not rename the one that stays.
        """
        numbers = np.zeros(len(self.table), np.int32)
        pairs = self.table.column("pair").take(pa.array(self.chosen))
        numbers[self.chosen] = _repeats(hex_column(self.table.column("id"))[self.chosen], pairs)
        return numbers

    @property
    def good(self) -> Array:
        """Bool per chosen row: True for desirable."""
        good: Array = labels_of(self.table)[self.chosen]
        return good

    def counts(self) -> dict[str, int]:
        """Chosen samples per label."""
        good = int(self.good.sum())
        return {GOOD: good, BAD: len(self.chosen) - good}

    def keys(self) -> Array:
        """uint64 per chosen row: a hash of its content and occurrence, the same for any order of sources."""
        keys: Array = sample_keys(self.table, self.occurrence)[self.chosen]
        return keys


def take(table: pa.Table, rows: Array) -> pa.Table:
    """Some rows of a table, in this order; consecutive ones are not copied."""
    if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
        return table.slice(int(rows[0]), len(rows))
    return table.take(pa.array(rows))


def renamed(table: pa.Table, occurrence: Array) -> pa.Table:
    """Rows under the ids that they go by: one whose content stands n times before it gets `-n`.

    Args:
        table: The rows.
        occurrence: For each of them its number, as `View.occurrence` counts.
    """
    if not occurrence.any():
        return table
    ids = [
        f"{name}-{number}" if number else name
        for name, number in zip(table.column("id").to_pylist(), occurrence.tolist(), strict=True)
    ]
    return table.set_column(0, table.schema.field("id"), pa.array(ids))


def labels_of(table: pa.Table) -> Array:
    """Bool per row: True for good."""
    return np.asarray(pc.equal(table.column("label"), GOOD).to_numpy())


def hex_column(column: pa.ChunkedArray) -> Array:
    """The first 16 hexadecimal digits of every value as uint64."""
    parts = [_hex_array(chunk) for chunk in column.chunks]
    return np.concatenate(parts) if parts else np.zeros(0, np.uint64)


def _hex_array(chunk: pa.Array) -> Array:
    if len(chunk) == 0:
        return np.zeros(0, np.uint64)
    _, offset_buffer, data = chunk.buffers()
    offsets = np.frombuffer(offset_buffer, np.int32)[chunk.offset : chunk.offset + len(chunk) + 1]
    text = np.frombuffer(data, np.uint8)[offsets[0] : offsets[-1]]
    digits = _HEX[text].reshape(len(chunk), -1)[:, :16]  # digests have one width
    shifts = np.arange(60, -4, -4, dtype=np.uint64)
    keys: Array = np.bitwise_or.reduce(digits << shifts, axis=1)
    return keys


def mix(values: Array, seed: int) -> Array:
    """splitmix64 (Steele et al. 2014) of uint64 values, keyed by a seed: a uniform, order-free random number."""
    with np.errstate(over="ignore"):
        z = values + np.uint64((seed * 2 + 1) * 0x9E3779B97F4A7C15 % 2**64)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed: Array = z ^ (z >> np.uint64(31))
        return mixed


def _repeats(keys: Array, pairs: pa.ChunkedArray) -> Array:
    """int32 per key: its number among the equal ones.

    Equal samples of different pairs are told apart by their pair and not by their place, so that the choice
    between them is the same for any order; those of one pair are interchangeable.
    """
    order = np.argsort(keys, kind="stable")
    same = keys[order][1:] == keys[order][:-1]
    repeated = np.flatnonzero(np.append(same, False) | np.append(False, same))
    if repeated.size:
        rows = order[repeated]
        names = np.array(pairs.take(pa.array(rows)).to_pylist())
        order[repeated] = rows[np.lexsort((names, keys[rows]))]
    ordered = keys[order]
    fresh = np.ones(len(keys), bool)
    fresh[1:] = ordered[1:] != ordered[:-1]
    starts = np.maximum.accumulate(np.where(fresh, np.arange(len(keys)), 0))
    result = np.empty(len(keys), np.int32)
    result[order] = np.arange(len(keys)) - starts
    return result


def sample_keys(table: pa.Table, occurrence: Array) -> Array:
    """uint64 per row: content hash and occurrence number."""
    keys = hex_column(table.column("id"))
    return np.where(occurrence > 0, mix(keys + occurrence.astype(np.uint64), 0), keys)


def whole(table: pa.Table) -> View:
    """The view that uses everything."""
    return View(table, np.arange(len(table), dtype=np.int64))


def apply_filters(view: View, filters: Sequence[NamedFilter]) -> View:
    """Leave out what a filter drops; a sample counts under the first filter and reason that does.

    Raises:
        PluginContractError: A filter's mask has the wrong shape.
    """
    if not filters:
        return view
    return without(view, *filter_reasons(view.table, filters))


def filter_reasons(table: pa.Table, filters: Sequence[NamedFilter]) -> tuple[Array, list[tuple[str, str]]]:
    """For each row the number of the filter and reason that drop it, 0 for none; and what the numbers stand for.

    Raises:
        PluginContractError: A filter's mask has the wrong shape.
    """
    reasons = np.zeros(len(table), np.int32)
    names: list[tuple[str, str]] = [("", "")]
    start = 0
    for batch in table.to_batches(max_chunksize=_FILTER_ROWS):
        part = reasons[start : start + len(batch)]
        for one in filters:
            for reason, mask in _drops(one, batch):
                if np.shape(mask) != part.shape:
                    raise PluginContractError(
                        f"filter {one.name!r} returned a mask of shape {np.shape(mask)}, expected {part.shape}",
                        kind="filter",
                        plugin=one.name,
                    )
                if (one.name, reason) not in names:
                    names.append((one.name, reason))
                part[(part == 0) & mask] = names.index((one.name, reason))
        start += len(batch)
        forget_pages()
    return reasons, names


def _drops(one: NamedFilter, batch: pa.RecordBatch) -> list[Dropped]:
    try:
        return [Dropped(reason, np.asarray(mask, dtype=bool)) for reason, mask in one.filter.drops(batch)]
    except KtoFormatsError:
        raise
    except Exception as error:
        message = f"filter {one.name!r} failed ({type(error).__name__}: {error})"
        raise PluginContractError(message, kind="filter", plugin=one.name) from error


def keep_whole_pairs(view: View) -> View:
    """Leave out sides of pairs whose other side did not survive (`pairwise_sampling_strategy: balanced`)."""
    column = view.table.column("pair")
    paired = pc.not_equal(column, "").to_numpy()[view.chosen]
    rows = view.chosen[paired]
    pairs = column.take(pa.array(rows)).to_pylist()
    good = labels_of(view.table)[rows]
    sides: dict[str, int] = {}
    for pair, is_good in zip(pairs, good, strict=True):
        sides[pair] = sides.get(pair, 0) | (1 if is_good else 2)
    torn = rows[[sides[pair] != 3 for pair in pairs]] if pairs else rows  # noqa: PLR2004 - both bits set
    reasons = np.zeros(len(view.table), np.int32)
    reasons[torn] = 1
    return without(view, reasons, [("", ""), ("pairs", "unpaired")])


def balance(view: View, *, tolerance: float, seed: int, parts: Array | None = None) -> View:
    """Cut the majority label down to `int(minority * (1 + tolerance))` samples.

    Those with the lowest seeded hashes stay, so the choice is the same for any order of files, records and
    workers, and a small change of the data changes it little.

    Args:
        view: The samples.
        tolerance: By how much the majority may be larger.
        seed: Of the hashes.
        parts: A number for each row of the table: rows of one number are balanced by themselves.
    """
    keys = mix(view.keys(), seed)
    reasons = np.zeros(len(view.table), np.int32)
    own = np.zeros(len(view.chosen), np.int64) if parts is None else parts[view.chosen]
    for part in np.unique(own):
        good = [np.flatnonzero((own == part) & (view.good == is_good)) for is_good in (False, True)]
        fewest = min(map(len, good))
        if not fewest:
            continue  # nothing to balance against; a missing label is judged, and told, by whoever asked
        target = int(fewest * (1 + tolerance))
        for rows in good:
            order = np.argsort(keys[rows], kind="stable")
            reasons[view.chosen[rows[order[target:]]]] = 1
    return without(view, reasons, [("", ""), ("balance", "balance")])


def select(view: View, kept: Array, stage: str, reason: str) -> View:
    """The rows in `kept` (a subset of the chosen ones), the others counted under a stage and reason."""
    reasons = np.ones(len(view.table), np.int32)
    reasons[kept] = 0
    return without(view, reasons, [("", ""), (stage, reason)])


def without(view: View, reasons: Array, names: list[tuple[str, str]]) -> View:
    """The view without the rows that have a reason; each is counted by stage, source, reason and label."""
    own = reasons[view.chosen]
    gone = view.chosen[own > 0]
    if not len(gone):
        return view
    taken = view.table.select(["source", "label"]).take(pa.array(gone))
    dropped = {stage: Counter(counts) for stage, counts in view.dropped.items()}
    columns: tuple[list[Any], list[Any]] = (
        taken.column("source").to_pylist(),
        taken.column("label").to_pylist(),
    )
    for number, source, label in zip(own[own > 0].tolist(), *columns, strict=True):
        stage, reason = names[number]
        dropped.setdefault(stage, Counter())[source, reason, label] += 1
    return View(view.table, view.chosen[own == 0], dropped)
