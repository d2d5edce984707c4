"""Batches in which every sample is a stranger to the one before it, the first to the last one.

TRL takes a row's KL partner from the row before it in its batch, so a batch is a ring. Rows change batches only for
rows of their label; within a batch any order will do.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    Mark = tuple[int, ...]

_NODES: Final = 400
"""Rows that are tried for places of one batch before its order is given up."""
_REACH: Final = 400
"""Batches on either side that are looked at for a row to change places with."""
_WORK: Final = 200_000
"""Batches that are tried anew in all; only where a prompt or a text has about half of all rows this is too few."""


def close_rings(
    order: NDArray[np.int64], good: NDArray[np.bool_], marks: Sequence[NDArray[np.uint64]], batch_size: int
) -> NDArray[np.int64]:
    """Rearrange rows so that in a batch neighbours share no mark, round and round, as far as that goes.

    Args:
        order: int64, shape (n,), rows in batches of `batch_size`, the last may be short; it is changed.
        good: bool per row; the number of good rows of a batch stays what it is.
        marks: uint64 per row each, such as the hash of what was asked.
        batch_size: At least 2.

    Returns:
        The order.
    """
    before = before_in_batch(len(order), batch_size)
    clashes = clashing([mark[order] for mark in marks], before)
    rings = _Rings(order, good, marks, batch_size)
    for ring in np.unique(np.flatnonzero(clashes) // batch_size).tolist():
        if rings.work <= 0:
            break
        rings.mend(ring)
    return order


def before_in_batch(n: int, batch_size: int) -> NDArray[np.int64]:
    """The place before each one in its batch, the last one's for the first; its own where it is alone."""
    places = np.arange(n)
    starts = places - places % batch_size
    ends = np.minimum(starts + batch_size, n)
    return np.where(places > starts, places - 1, ends - 1)


def clashing(marks: Sequence[NDArray[np.uint64]], before: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Bool per place: whether it shares a mark with the place before it."""
    alone = before == np.arange(len(before))
    shares = np.logical_or.reduce([mark == mark[before] for mark in marks])
    found: NDArray[np.bool_] = shares & ~alone
    return found


def closed(marks: Sequence[Mark]) -> list[int] | None:
    """An order of some rows in which neighbours share no mark, round and round; None if none was found.

    The row comes next whose mark is the most frequent among those that are left: it is the hardest to place later.
    """
    count = len(marks)
    left = [Counter(one[kind] for one in marks) for kind in range(len(marks[0]))]
    if any(counter.most_common(1)[0][1] * 2 > count for counter in left):
        return None
    taken = [False] * count
    path: list[int] = []
    choices: list[Iterator[int]] = [iter(_by_frequency(marks, taken, left, None))]
    for _ in range(_NODES):
        row = next(choices[-1], None)
        if row is None:
            choices.pop()
            if not path:
                return None
            back = path.pop()
            taken[back] = False
            for kind, value in enumerate(marks[back]):
                left[kind][value] += 1
            continue
        path.append(row)
        taken[row] = True
        for kind, value in enumerate(marks[row]):
            left[kind][value] -= 1
        if len(path) == count:
            if not share(marks[path[0]], marks[path[-1]]):
                return path
            choices.append(iter(()))
        else:
            choices.append(iter(_by_frequency(marks, taken, left, marks[row])))
    return None


def share(one: Mark, other: Mark) -> bool:
    """Whether two rows share a mark."""
    return any(a == b for a, b in zip(one, other, strict=True))


def _by_frequency(marks: Sequence[Mark], taken: list[bool], left: list[Counter[int]], last: Mark | None) -> list[int]:
    """The rows that may come next, the hardest first."""
    fits = [row for row, one in enumerate(marks) if not taken[row] and (last is None or not share(one, last))]
    return sorted(fits, key=lambda row: -max(counter[value] for counter, value in zip(left, marks[row], strict=True)))


class _Rings:
    """The batches; `order` changes in place."""

    def __init__(
        self, order: NDArray[np.int64], good: NDArray[np.bool_], marks: Sequence[NDArray[np.uint64]], size: int
    ) -> None:
        self.work = _WORK
        self._order, self._good, self._marks, self._size = order, good, marks, size
        self._count = -(-len(order) // size)

    def mend(self, ring: int) -> bool:
        """Give a batch an order without a clash, with rows of other batches if it must be."""
        rows = self._rows(ring)
        if len(rows) == 1 or self._close(ring, rows):
            return True
        for place in self._crowded(rows):
            for other in self._near(ring):
                if self.work <= 0:
                    break
                if self._change(ring, rows, place, other):
                    rows = self._rows(ring)
                    if self._close(ring, rows):
                        return True
                    break
        self._spread(ring)
        return False

    def _spread(self, ring: int) -> None:
        """Deal out the rows of the most frequent mark as evenly as it goes, if that leaves fewer clashes."""
        rows = self._rows(ring)
        counts = [Counter(self._mark(row)[kind] for row in rows) for kind in range(len(self._marks))]
        by_count = sorted(
            rows, key=lambda row: -max(one[own] for one, own in zip(counts, self._mark(row), strict=True))
        )
        dealt = [0] * len(rows)
        dealt[0::2], dealt[1::2] = by_count[: -(-len(rows) // 2)], by_count[-(-len(rows) // 2) :]
        if self._clashes(dealt) < self._clashes(rows):
            self._write(ring, dealt)

    def _clashes(self, rows: list[int]) -> int:
        return sum(
            share(self._mark(one), self._mark(other)) for one, other in zip(rows, rows[-1:] + rows[:-1], strict=True)
        )

    def _change(self, ring: int, rows: list[int], place: int, other: int) -> bool:
        """Change places with a row of another batch that can still be closed then."""
        own, theirs = self._mark(rows[place]), self._rows(other)
        for at, row in enumerate(theirs):
            if self._good[row] != self._good[rows[place]] or share(self._mark(row), own):
                continue
            mine = [*rows[:place], row, *rows[place + 1 :]]
            if self._crowding(mine) >= self._crowding(rows) > 0:
                continue
            changed = [*theirs[:at], rows[place], *theirs[at + 1 :]]
            if self._close(other, changed):
                self._write(ring, mine)
                return True
        return False

    def _close(self, ring: int, rows: list[int]) -> bool:
        """Write these rows without a clash, if there is such an order."""
        self.work -= 1
        found = closed([self._mark(row) for row in rows])
        if found is None:
            return False
        self._write(ring, [rows[one] for one in found])
        return True

    def _crowded(self, rows: list[int]) -> list[int]:
        """The places of rows whose mark is too frequent in their batch, or of all."""
        found = []
        for kind in range(len(self._marks)):
            value, count = Counter(self._mark(row)[kind] for row in rows).most_common(1)[0]
            if count * 2 > len(rows):
                found += [place for place, row in enumerate(rows) if self._mark(row)[kind] == value]
        return found or list(range(len(rows)))

    def _crowding(self, rows: list[int]) -> int:
        """How many rows too many bear one mark."""
        most = [
            Counter(self._mark(row)[kind] for row in rows).most_common(1)[0][1] for kind in range(len(self._marks))
        ]
        return sum(max(count - len(rows) // 2, 0) for count in most)

    def _near(self, ring: int) -> Iterator[int]:
        for distance in range(1, _REACH + 1):
            for other in (ring - distance, ring + distance):
                if 0 <= other < self._count:
                    yield other

    def _rows(self, ring: int) -> list[int]:
        found: list[int] = self._order[ring * self._size : (ring + 1) * self._size].tolist()
        return found

    def _write(self, ring: int, rows: list[int]) -> None:
        self._order[ring * self._size : ring * self._size + len(rows)] = rows

    def _mark(self, row: int) -> Mark:
        return tuple(mark.item(row) for mark in self._marks)
