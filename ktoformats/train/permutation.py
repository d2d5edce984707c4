"""Permutations that are computed: any place of a seeded order of n positions, without the n positions in memory."""

from __future__ import annotations

from math import isqrt
from typing import Final

import numpy as np
from numpy.typing import NDArray

from ktoformats.store.mixing import GAMMA, mixed

Positions = NDArray[np.int64]

_MASK: Final = 2**64 - 1
_LISTED: Final = 1 << 16
"""Up to so many positions are sorted by random keys, which makes every order equally likely."""
_ROUNDS: Final = 8


def seed_of(seed: int, *numbers: int) -> int:
    """A seed for each combination of numbers, such as the epoch's; from 0 to 2**63 - 1."""
    state = 0
    for number in (seed, *numbers):
        state = int(mixed(np.array([(state + GAMMA + number) & _MASK], np.uint64))[0])
    return state >> 1


def draws(seed: int, counters: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The numbers of the generator SplitMix64 at these places of its sequence, all of them different."""
    return mixed(counters * np.uint64(GAMMA) + np.uint64(seed & _MASK))


class Permutation:
    """A seeded order of the positions 0..n-1.

    Few positions are sorted by random keys. Many are never listed: each place is encrypted to its position by a
    Feistel network over pairs of digits to the base ceil(sqrt(n)), repeated until the result is below n ("cycle
    walking", which is needed for about 2/sqrt(n) of the places). Black and Rogaway (2002), "Ciphers with Arbitrary
    Finite Domains", sections 3 and 4; that such networks shuffle well is measured in Mitchell, Stokes, Frank and
    Holmes (2022), "Bandwidth-Optimal Random Shuffling for GPUs".

    Args:
        n: How many positions.
        seed: Another seed gives another order.
    """

    def __init__(self, n: int, seed: int) -> None:
        self._n = n
        self._listed: Positions | None = None
        if n <= _LISTED:
            keys = draws(seed, np.arange(n, dtype=np.uint64))
            self._listed = np.argsort(keys, kind="stable").astype(np.int64)
        self._base = np.uint64(isqrt(max(n - 1, 0)) + 1)
        self._keys = [seed_of(seed, number) for number in range(_ROUNDS)]

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, places: Positions) -> Positions:
        """The positions that stand at these places.

        Args:
            places: int64, shape (m,), each from 0 to n - 1.

        Returns:
            int64, shape (m,).
        """
        if self._listed is not None:
            return self._listed[places]
        found = self._encrypted(places.astype(np.uint64))
        while len(outside := np.flatnonzero(found >= self._n)):
            found[outside] = self._encrypted(found[outside])
        return found.astype(np.int64)

    def _encrypted(self, numbers: NDArray[np.uint64]) -> NDArray[np.uint64]:
        """One to one on the numbers below base * base."""
        base = self._base
        left, right = numbers // base, numbers % base
        for key in self._keys:
            left, right = right, (left + draws(key, right) % base) % base
        out: NDArray[np.uint64] = left * base + right
        return out
