"""A view: which samples of a build are used, and what became of the others. Taste lives here, not in the build.

A view is a number for every sample, which says what left it out, 0 if nothing did. All that chooses looks at the
numbers of the samples (`ktoformats.store.numbers`), and at texts only where a filter asks for them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import pyarrow as pa

from ktoformats.errors import KtoFormatsError, PluginContractError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.kinds import Dropped
from ktoformats.store.mixing import mix
from ktoformats.store.numbers import seen_by, to_arrow
from ktoformats.store.part import forget_pages

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ktoformats.convert.assemble import NamedFilter
    from ktoformats.store.numbers import Array
    from ktoformats.store.samples import Samples

_ROWS_AT_ONCE: Final = 8192
_NUMBERS_AT_ONCE: Final = 1 << 18

DropCounts = dict[str, Counter[tuple[str, str, str]]]
"""Stage to (source, reason, label) to number of samples."""
Reason = tuple[str, str]
"""The stage that left a sample out, and why."""
USED: Final[Reason] = ("", "")


class Occurrences(NamedTuple):
    """Rows whose content stands before them already, among the chosen ones.

    Counted among those alone: a repeat that was dropped does not rename the one that stays.
    """

    rows: Array
    """int64, ascending."""
    numbers: Array
    """int32, how often it stands before each of them."""

    def of(self, rows: Array) -> Array:
        """int32 per row: its number, 0 for a row that is the first."""
        found = np.zeros(len(rows), np.int32)
        if len(self.rows):
            place = np.searchsorted(self.rows, rows).clip(max=len(self.rows) - 1)
            hit = self.rows[place] == rows
            found[hit] = self.numbers[place[hit]]
        return found


@dataclass(frozen=True)
class View:
    """Samples chosen from all.

    Attributes:
        samples: All samples that were built, in source order.
        reasons: uint8 per row, what left it out: a place in `names`; 0 for those that are used.
        names: Stages and reasons, by number; the first is that of those that are used.
    """

    samples: Samples
    reasons: Array
    names: tuple[Reason, ...] = (USED,)
    _chosen: Array | None = field(default=None, repr=False)
    _occurrence: Occurrences | None = field(default=None, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        return {one.name: getattr(self, one.name) for one in fields(self)}

    @cached_property
    def chosen(self) -> Array:
        """int64, the rows that are used, ascending."""
        if self._chosen is not None:
            return self._chosen
        rows: Array = np.flatnonzero(self.reasons == 0)
        return rows

    @cached_property
    def occurrence(self) -> Occurrences:
        """The repeats among the chosen rows."""
        if self._occurrence is not None:
            return self._occurrence
        rows = self.again
        keys = self.samples.numbers("key", rows)
        # Equal samples of different pairs are told apart by their pair and not by their place, so that the choice
        # between them is the same for any order; those of one pair are interchangeable.
        order = np.lexsort((rows, self.samples.numbers("pair", rows), keys))
        rows, keys = rows[order], keys[order]
        fresh = np.ones(len(rows), bool)
        fresh[1:] = keys[1:] != keys[:-1]
        starts = np.maximum.accumulate(np.where(fresh, np.arange(len(rows)), 0))
        numbers = (np.arange(len(rows)) - starts).astype(np.int32)
        later = np.flatnonzero(numbers)
        later = later[np.argsort(rows[later])]
        return Occurrences(rows[later], numbers[later])

    @property
    def again(self) -> Array:
        """The chosen rows of answers that stand there more than once."""
        rows: Array = self.samples.again
        kept: Array = rows[self.reasons[rows] == 0]
        return kept

    @property
    def good(self) -> Array:
        """Bool per chosen row: True for desirable."""
        good: Array = self.samples.good[self.chosen]
        return good

    def __len__(self) -> int:
        """How many samples are used."""
        return int(np.count_nonzero(self.reasons == 0)) if self._chosen is None else len(self._chosen)

    def counts(self) -> dict[str, int]:
        """Chosen samples per label."""
        good = int(np.count_nonzero(self.samples.good & (self.reasons == 0)))
        return {GOOD: good, BAD: len(self) - good}

    @property
    def dropped(self) -> DropCounts:
        """What each stage left out."""
        counts: DropCounts = {stage: Counter() for stage, _ in self.names[1:]}
        for part, (start, stop) in zip(self.samples.parts, pairwise(self.samples.starts), strict=True):
            reasons = self.reasons[start:stop]
            gone = np.flatnonzero(reasons)
            if not len(gone):
                continue
            sources = part.source_names()
            kinds = reasons[gone].astype(np.int64) * len(sources) + part.numbers("source")[gone]
            found = np.bincount(2 * kinds + self.samples.good[start:stop][gone])
            for kind in np.flatnonzero(found).tolist():
                reason, source = divmod(kind // 2, len(sources))
                stage, why = self.names[reason]
                counts[stage][sources[source], why, (BAD, GOOD)[kind % 2]] += int(found[kind])
        return {stage: one for stage, one in counts.items() if one}

    def keys(self, rows: Array | None = None) -> Array:
        """uint64 per chosen row, or per row that is asked for; see `keys_of`."""
        return keys_of(self.samples, self.chosen if rows is None else rows, self.occurrence)

    def take(self, rows: Array) -> pa.Table:
        """Some samples under the ids that they go by: one whose content stands n times before it gets `-n`."""
        table, occurrence = self.samples.take(rows), self.occurrence.of(rows)
        return renamed(table, occurrence)

    def diff(self, other: View) -> list[Change]:
        """What another view of the same samples does differently, and why, the most frequent first.

        Raises:
            ValueError: It is a view of other samples.
        """
        if len(self.samples) != len(other.samples) or not np.array_equal(
            self.samples.numbers("key"), other.samples.numbers("key")
        ):
            raise ValueError("the views are of different samples; compare views of the same sources")
        changed = np.flatnonzero(self._as_in(other) != other.reasons)
        kinds = self.reasons[changed].astype(np.int64) * len(other.names) + other.reasons[changed]
        order = np.argsort(kinds, kind="stable")
        changes = []
        for kind, rows in zip(*_runs(kinds[order], changed[order]), strict=True):
            before, after = divmod(int(kind), len(other.names))
            changes.append(Change(self.names[before], other.names[after], rows))
        return sorted(changes, key=lambda one: (-len(one.rows), one.before, one.after))

    def _as_in(self, other: View) -> Array:
        """The reasons, as the other view numbers them; 255 for what it does not know."""
        numbers = [other.names.index(name) if name in other.names else _UNKNOWN for name in self.names]
        return np.array(numbers, np.uint8)[self.reasons]


class Change(NamedTuple):
    """Samples that two views treat differently."""

    before: Reason
    after: Reason
    rows: Array
    """int64, ascending."""

    def __str__(self) -> str:
        was, now = (f"dropped by {stage} ({why})" if stage else "kept" for stage, why in (self.before, self.after))
        return f"{len(self.rows)} samples: {was}, then {now}"


_UNKNOWN: Final = 255
MOST_REASONS: Final = 255


def _runs(kinds: Array, rows: Array) -> tuple[Array, list[Array]]:
    """The different kinds, and the rows of each; both inputs are in the order of the kinds."""
    found, starts = np.unique(kinds, return_index=True)
    return found, np.split(rows, starts[1:]) if len(rows) else []


def keys_of(samples: Samples, rows: Array, occurrence: Occurrences) -> Array:
    """uint64 per row: a hash of its content and occurrence, the same for any order of sources."""
    keys = samples.numbers("key", rows)
    _tell_apart(keys, rows, occurrence)
    return keys


def _tell_apart(keys: Array, rows: Array, occurrence: Occurrences) -> None:
    """Change the keys of repeats, in place."""
    if len(occurrence.rows):
        numbers = occurrence.of(rows)
        again = np.flatnonzero(numbers)
        keys[again] = mix(keys[again] + numbers[again].astype(np.uint64), 0)


def renamed(table: pa.Table, occurrence: Array) -> pa.Table:
    """Rows under the ids that they go by.

    Args:
        table: The rows.
        occurrence: For each of them its number, as `Occurrences` counts.
    """
    if not occurrence.any():
        return table
    ids = [
        f"{name}-{number}" if number else name
        for name, number in zip(table.column("id").to_pylist(), occurrence.tolist(), strict=True)
    ]
    return table.set_column(0, table.schema.field("id"), pa.array(ids))


def whole(samples: Samples) -> View:
    """The view that uses everything."""
    return View(samples, np.zeros(len(samples), np.uint8))


def apply_filters(view: View, filters: Sequence[NamedFilter]) -> View:
    """Leave out what a filter drops; a sample counts under the first filter and reason that does.

    Raises:
        PluginContractError: A filter's mask has the wrong shape.
    """
    if not filters:
        return view
    found = _Reasons(len(view.samples))
    for one in filters:
        for start, batch in _asked_for(view.samples, one):
            found.enter(one, batch, start)
    return without(view, found.reasons, found.names)


def filter_reasons(table: pa.Table, filters: Sequence[NamedFilter]) -> tuple[Array, list[Reason]]:
    """For each row the number of the filter and reason that drop it, 0 for none; and what the numbers stand for.

    Raises:
        PluginContractError: A filter's mask has the wrong shape.
    """
    found = _Reasons(len(table))
    start = 0
    for batch in table.to_batches(max_chunksize=_ROWS_AT_ONCE):
        for one in filters:
            found.enter(one, seen_by(one.filter, batch), start)
        start += len(batch)
        forget_pages()
    return found.reasons, found.names


def _asked_for(samples: Samples, one: NamedFilter) -> Iterator[tuple[int, pa.RecordBatch]]:
    """What a filter looks at, in batches, each with the row it begins with."""
    start = 0
    if one.filter.numbers is None:
        for batch in samples.batches():
            yield start, batch
            start += len(batch)
        return
    names = sorted(one.filter.numbers)
    for number, part in enumerate(samples.parts):
        for at in range(0, part.rows, _NUMBERS_AT_ONCE):
            some = [samples.numbers_of_part(number, name, at, at + _NUMBERS_AT_ONCE) for name in names]
            yield start + at, pa.RecordBatch.from_arrays(list(map(to_arrow, some)), names)
            forget_pages()
        start += part.rows


class _Reasons:
    """What filters say of rows; the first that drops one counts."""

    def __init__(self, rows: int) -> None:
        self.reasons = np.zeros(rows, np.uint8)
        self.names: list[Reason] = [USED]

    def enter(self, one: NamedFilter, batch: pa.RecordBatch, start: int) -> None:
        part = self.reasons[start : start + len(batch)]
        for reason, mask in _drops(one, batch):
            if np.shape(mask) != part.shape:
                raise PluginContractError(
                    f"filter {one.name!r} returned a mask of shape {np.shape(mask)}, expected {part.shape}",
                    kind="filter",
                    plugin=one.name,
                )
            part[(part == 0) & mask] = self._number((one.name, reason))

    def _number(self, name: Reason) -> int:
        if name not in self.names:
            self.names.append(name)
            _refuse_too_many(self.names)
        return self.names.index(name)


def _drops(one: NamedFilter, batch: pa.RecordBatch) -> list[Dropped]:
    try:
        return [Dropped(reason, np.asarray(mask, dtype=bool)) for reason, mask in one.filter.drops(batch)]
    except (KtoFormatsError, KeyboardInterrupt):
        raise
    except BaseException as error:
        message = f"filter {one.name!r} failed ({type(error).__name__}: {error})"
        raise PluginContractError(message, kind="filter", plugin=one.name) from error


def keep_whole_pairs(view: View) -> View:
    """Leave out sides of pairs whose other side did not survive (`pairwise_sampling_strategy: balanced`)."""
    pairs = view.samples.numbers("pair")[view.chosen]
    rows = view.chosen[pairs > 0]
    _, own = np.unique(pairs[pairs > 0], return_inverse=True)
    good = view.samples.good[rows]
    sides = [np.bincount(own, good == is_good) > 0 for is_good in (True, False)]
    torn = rows[~(sides[0] & sides[1])[own]]
    return _without_rows(view, torn, ("pairs", "unpaired"))


def balance(view: View, *, tolerance: float, seed: int, parts: Array | None = None) -> View:
    """Cut the majority label down to `int(minority * (1 + tolerance))` samples.

    Those with the lowest seeded hashes stay, so the choice is the same for any order of files, records and
    workers, and a small change of the data changes it little.

    Args:
        view: The samples.
        tolerance: By how much the majority may be larger.
        seed: Of the hashes.
        parts: A number for each row of the samples: rows of one number are balanced by themselves.
    """
    used, good = view.reasons == 0, view.samples.good
    lost = []
    for own in [used] if parts is None else [used & part for part in _each(parts)]:
        sides = [own & ~good, own & good]
        counts = [int(np.count_nonzero(side)) for side in sides]
        if not min(counts):
            continue  # nothing to balance against; a missing label is judged, and told, by whoever asked
        target = int(min(counts) * (1 + tolerance))
        lost += [
            highest(view, side, target, seed) for side, count in zip(sides, counts, strict=True) if count > target
        ]
    return _without_rows(view, np.concatenate(lost), ("balance", "balance")) if lost else view


def highest(view: View, side: Array, kept: int, seed: int) -> Array:
    """Which of some chosen rows do not have one of the `kept` lowest seeded hashes, of equal ones the last; int64.

    Args:
        view: The samples.
        side: Bool per row of the samples: those that are asked about, more than `kept`.
        kept: How many stay.
        seed: Of the hashes.
    """
    count = int(np.count_nonzero(side))
    spread = _DEVIATIONS / (2 * count**0.5)
    low, high = (round(min(max(kept / count + one, 0), 1) * _LARGEST) for one in (-spread, spread))
    return _over(view, side, kept, seed, low, high)


_LARGEST: Final = 2**64 - 1
_DEVIATIONS: Final = 6
"""Hashes are uniform: so many standard deviations around where it is expected the last one that stays is found."""


def _over(view: View, side: Array, kept: int, seed: int, low: int, high: int) -> Array:
    """As `highest`, where the last hash that stays should be from `low` to `high`.

    Only those in between are held on to: where millions are chosen among, new memory costs more than all the rest.
    """
    samples, rows_over, rows_near, hashes_near, below = view.samples, [], [], [], 0
    for number, (start, stop) in enumerate(pairwise(samples.starts)):
        own = np.flatnonzero(side[start:stop])
        hashes, rows = samples.numbers_of_part(number, "key")[own], own + start
        _tell_apart(hashes, rows, view.occurrence)
        hashes = mix(hashes, seed, out=hashes)
        over, near = hashes > np.uint64(high), hashes >= np.uint64(low)
        below += len(own) - int(np.count_nonzero(near))
        near &= ~over
        rows_over.append(rows[over])
        rows_near.append(rows[near])
        hashes_near.append(hashes[near])
    rows, hashes = np.concatenate(rows_near), np.concatenate(hashes_near)
    staying = kept - below
    if not 0 <= staying < len(rows):
        return _over(view, side, kept, seed, 0, _LARGEST)
    bound = np.partition(hashes, staying)[staying]
    last = np.flatnonzero(hashes >= bound)
    spare = staying - (len(hashes) - len(last))  # how many of those that equal the bound stay: the first ones
    if spare:
        last = np.setdiff1d(last, last[hashes[last] == bound][:spare], assume_unique=True)
    return np.concatenate([*rows_over, rows[last]])


def _each(parts: Array) -> Iterator[Array]:
    for part in np.unique(parts):
        yield parts == part


def select(view: View, kept: Array, stage: str, reason: str) -> View:
    """The rows in `kept` (a subset of the chosen ones), the others counted under a stage and reason."""
    reasons = np.ones(len(view.samples), np.uint8)
    reasons[kept] = 0
    return without(view, reasons, [USED, (stage, reason)])


def _without_rows(view: View, rows: Array, reason: Reason) -> View:
    """The view without some of its rows."""
    if not len(rows):
        return view
    names = _with(view.names, [reason])
    together = view.reasons.copy()
    together[rows] = names.index(reason)
    return View(view.samples, together, names)


def without(view: View, reasons: Array, names: Sequence[Reason]) -> View:
    """The view without the rows that have a reason: a place in `names`; rows that it does not use keep theirs.

    Raises:
        PluginContractError: There are more than 254 reasons.
    """
    gone = np.flatnonzero((reasons > 0) & (view.reasons == 0))
    if not len(gone):
        return view
    every = _with(view.names, names)
    numbers = np.array([every.index(name) for name in names], np.uint8)
    together = view.reasons.copy()
    together[gone] = numbers[reasons[gone]]
    return View(view.samples, together, every)


def _with(names: Sequence[Reason], more: Sequence[Reason]) -> tuple[Reason, ...]:
    every = tuple(dict.fromkeys([*names, *more]))
    _refuse_too_many(every)
    return every


def _refuse_too_many(names: Sequence[Reason]) -> None:
    if len(names) > MOST_REASONS:
        raise PluginContractError(f"{len(names)} reasons to drop a sample; at most {MOST_REASONS} can be told apart")
