"""The order of samples in which a trainer that reads row after row gets good batches.

TRL's KTO trainer never shuffles: consecutive rows are a batch, and a row's KL partner is its neighbour. A batch
of one class says nothing about the other, and a partner that answers the same prompt is no random mismatch.
So exports for it are written in this order.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from ktoformats.store.mixing import mix

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

_MASK: Final = 2**64 - 1
_TRIES: Final = 100
"""Partners looked at per clash that would fit their new place badly, before the clash is left as it is."""
_PROBES: Final = (1_000_000, 2)
"""Partners looked at in all: so many, and so many per row; only what a large share of all rows share needs more."""


def training_order(
    good: NDArray[np.bool_],
    group: NDArray[np.uint64],
    key: NDArray[np.uint64],
    *,
    text: NDArray[np.uint64] | None = None,
    seed: int = 0,
) -> NDArray[np.int64]:
    """Order samples so that a trainer which never shuffles gets mixed batches and unrelated neighbours.

    1. Prompts, ordered by a seeded hash, are spread evenly over one epoch: each has a phase in [0, 1). The j-th
       of a prompt's m answers stands at (phase + j/m) mod 1. Both classes run evenly through j = 0..m-1, so a
       pair's two answers are half an epoch apart.
    2. Each class is sorted by that place, and the classes are merged: of n rows, the minority's i-th
       (i = 0..k-1) stands at ceil((i + 1) n / k) - 2. Neighbouring minority rows are then floor(n/k) or
       ceil(n/k) apart, the first is at most B - 1 and the last exactly n - 2, whence, for *every* batch size B
       of at least 2 at once: where n/k >= B no batch holds two of them, and where n/k <= B each batch of two
       rows or more holds one. Batches of one class are as few as they can be (`fewest_single_class_batches`).
    3. Where two neighbours still answer the same prompt, or have the same text, one changes places with the nearest
       row of its own class for which both then stand well. A prompt with too many answers for that keeps some side
       by side.

    Args:
        good: bool, shape (n,), True for desirable samples.
        group: uint64, shape (n,), a hash of each sample's prompt.
        key: uint64, shape (n,), a hash of each sample, unique among them.
        text: uint64, shape (n,), a hash of each answer; None lets equal ones stand side by side.
        seed: Another seed gives another order.

    Returns:
        int64, shape (n,): the row that stands at each place. It depends on the set of samples and the seed
        alone: rows in another order give the same sequence of keys.

    Raises:
        ValueError: The arrays differ in shape or are not one-dimensional.
    """
    if good.ndim != 1 or not good.shape == group.shape == key.shape:
        raise ValueError(
            f"expected three arrays of one shape (n,), got good {good.shape}, group {group.shape}, key {key.shape}"
        )
    salt = mix(np.array([seed & _MASK], dtype=np.uint64), 0)
    rows, place = _places(good, mix(group ^ salt, 0), mix(key ^ salt, 0))
    kind = good[rows]
    classes = [rows[kind == c][np.argsort(place[kind == c], kind="stable")] for c in (False, True)]
    return _apart(_merge(*classes), good, [group] if text is None else [group, text])


def _apart(
    order: NDArray[np.int64], good: NDArray[np.bool_], marks: Sequence[NDArray[np.uint64]]
) -> NDArray[np.int64]:
    """Swap rows of one class until no two neighbours share a mark, as far as that goes.

    Every swap ends one clash or more and makes none, so this ends; how many partners it looks at is limited besides.
    """
    kind, at = good[order], [mark[order] for mark in marks]
    probes = _PROBES[0] + _PROBES[1] * len(order)
    while probes > 0 and len(clashes := _clashes(at)):
        swaps = _Swaps(order, at, kind, probes)
        if not swaps.mend(clashes.tolist()):
            break
        probes = swaps.probes
    return order


def _clashes(marks: Sequence[NDArray[np.uint64]]) -> NDArray[np.intp]:
    """The places that share a mark with the place before them."""
    return np.flatnonzero(np.logical_or.reduce([mark[1:] == mark[:-1] for mark in marks])) + 1


def single_class_batches(good_in_order: NDArray[np.bool_], batch_size: int) -> int:
    """Count the batches of consecutive rows that hold one class only; the last batch may be short.

    Args:
        good_in_order: bool, shape (n,), labels in training order.
        batch_size: Rows of a batch, at least 1.
    """
    _check_batch_size(batch_size)
    starts = np.arange(0, len(good_in_order), batch_size)
    if not len(starts):
        return 0
    sizes = np.diff(starts, append=len(good_in_order))
    goods = np.add.reduceat(good_in_order.astype(np.int64), starts)
    return int(np.count_nonzero((goods == 0) | (goods == sizes)))


def fewest_single_class_batches(n: int, minority: int, batch_size: int) -> int:
    """Say how few single-class batches any order of these samples can have.

    A mixed batch takes a row of the minority and a second row, so of ceil(n / B) batches at most
    min(minority, floor(n / B) + [n mod B >= 2]) are mixed.

    Args:
        n: All samples.
        minority: Samples of the class that has fewer.
        batch_size: Rows of a batch, at least 1.
    """
    _check_batch_size(batch_size)
    whole, rest = divmod(n, batch_size)
    mixable = whole + (rest > 1) if batch_size > 1 else 0
    return whole + (rest > 0) - min(minority, mixable)


def _check_batch_size(batch_size: int) -> None:
    if batch_size < 1:
        raise ValueError(f"batch_size must be at least 1, got {batch_size}")


def _places(
    good: NDArray[np.bool_], group: NDArray[np.uint64], key: NDArray[np.uint64]
) -> tuple[NDArray[np.int64], NDArray[np.uint64]]:
    """Give every row its place in the epoch, in units of 2**-64 epoch.

    Returns:
        The rows, ordered by (group, label, key), and the place of each of them.
    """
    rows = np.lexsort((key, good, group))
    group, kind = group[rows], good[rows]
    n = len(rows)
    first_of_group = np.ones(n, dtype=np.bool_)
    first_of_group[1:] = group[1:] != group[:-1]
    starts = np.flatnonzero(first_of_group)
    prompt = np.cumsum(first_of_group) - 1
    answers = np.diff(starts, append=n)
    goods = np.add.reduceat(kind.astype(np.int64), starts) if n else answers

    # The i-th of a class's c answers stands at the fraction (2i + 1) / 2c of its prompt's, ties bad first; j
    # counts the answers of both classes before it. In integers, so that it is exact.
    in_prompt = np.arange(n) - starts[prompt]
    g, b = goods[prompt], (answers - goods)[prompt]
    i = in_prompt - np.where(kind, b, 0)
    own, other = np.where(kind, g, b), np.where(kind, b, g)
    twice = (2 * i + 1) * other - own
    before = np.where(kind, twice // (2 * own) + 1, -(-twice // (2 * own)))

    phase = prompt.astype(np.uint64) * np.uint64(_MASK // max(len(starts), 1))
    step = np.uint64(_MASK) // answers.astype(np.uint64)
    return rows, phase + (i + before).astype(np.uint64) * step[prompt]  # modulo 2**64: one epoch, round and round


def _merge(bad: NDArray[np.int64], good: NDArray[np.int64]) -> NDArray[np.int64]:
    minority, majority = (bad, good) if len(bad) <= len(good) else (good, bad)
    k, n = len(minority), len(bad) + len(good)
    is_minority = np.zeros(n, dtype=np.bool_)
    if k:
        is_minority[-(-np.arange(1, k + 1) * n // k) - 2] = True
    order = np.empty(n, dtype=np.int64)
    order[is_minority], order[~is_minority] = minority, majority
    return order


class _Swaps:
    """One pass over the clashes; `order` and the marks change in place."""

    def __init__(
        self,
        order: NDArray[np.int64],
        marks: Sequence[NDArray[np.uint64]],
        kind: NDArray[np.bool_],
        probes: int,
    ) -> None:
        self.probes = probes
        # memoryviews read and write single elements several times faster than arrays do
        self.order, self.kind = order.data, kind.data
        self.marks = [mark.data for mark in marks]
        self.rows_of = {c: np.flatnonzero(kind == c).data for c in (0, 1)}
        self.rank = (np.where(kind, np.cumsum(kind), np.cumsum(~kind)) - 1).data
        self.unfit: dict[tuple[int, ...], tuple[dict[int, int], dict[int, int]]] = {}

    def mend(self, clashes: list[int]) -> int:
        """Mend what can be mended; return how many swaps that took."""
        swaps = 0
        for at in clashes:
            if self.probes <= 0:
                break
            if self._share(at, at - 1):
                swaps += self._move(at) or self._move(at - 1)
        return swaps

    def _move(self, at: int) -> bool:
        tries, rows = 0, self.rows_of[self.kind[at]]
        below, above = self._unfit_for(at)
        for rank in self._nearest(at, below, above):
            self.probes -= 1
            to = rows[rank]
            fits_there = not self._share(to, at)
            if fits_there:
                self._swap(at, to)
                fits_there, fits_here = not self._clashes(to), not self._clashes(at)
                if fits_there and fits_here:
                    return True
                self._swap(at, to)
            if not fits_there and abs(at - to) > 2:  # noqa: PLR2004 - its neighbours stay: none with these marks can stand there
                below[rank], above[rank] = rank - 1, rank + 1
            tries += fits_there
            if tries == _TRIES or self.probes <= 0:
                break
        return False

    def _unfit_for(self, at: int) -> tuple[dict[int, int], dict[int, int]]:
        """Places of the row's class where its marks cannot stand: rank to the next rank below, and above."""
        return self.unfit.setdefault((self.kind[at], *(mark[at] for mark in self.marks)), ({}, {}))

    def _nearest(self, at: int, below: dict[int, int], above: dict[int, int]) -> Iterator[int]:
        """Yield the ranks of the row's class outwards from the row, without those known to be unfit."""
        here, count = self.rank[at], len(self.rows_of[self.kind[at]])
        low, high = _skip(below, here - 1), _skip(above, here + 1)
        while low >= 0 or high < count:
            if high >= count or (low >= 0 and here - low <= high - here):
                yield low
                low = _skip(below, low - 1)
            else:
                yield high
                high = _skip(above, high + 1)

    def _swap(self, a: int, b: int) -> None:
        for values in (self.order, *self.marks):
            values[a], values[b] = values[b], values[a]

    def _share(self, a: int, b: int) -> bool:
        """Whether two places share a mark."""
        return any(mark[a] == mark[b] for mark in self.marks)

    def _clashes(self, at: int) -> bool:
        return (at > 0 and self._share(at, at - 1)) or (at + 1 < len(self.order) and self._share(at, at + 1))


def _skip(unfit: dict[int, int], rank: int) -> int:
    """Follow a chain of unfit ranks to its end, and shorten it for the next time."""
    end = rank
    while end in unfit:
        end = unfit[end]
    while rank != end:
        unfit[rank], rank = end, unfit[rank]
    return end
