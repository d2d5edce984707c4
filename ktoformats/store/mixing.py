"""SplitMix64 (Steele, Lea and Flood 2014): uniform, order-free random numbers out of 64 bits, one to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAMMA: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1


_BLOCK: Final = 1 << 15
"""Values at once: for millions of them memory is what takes the time, and so many stay in the processor's cache."""


def mixed(values: NDArray[np.uint64], start: int = 0, out: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
    """The generator's last step, for each value plus a start; one dimension.

    Args:
        values: They may be `out` as well: for millions of them new memory takes longer than the numbers.
        start: Added to each.
        out: Where the numbers go; None makes a new array.
    """
    found = np.add(values, np.uint64(start), out=out, dtype=np.uint64)
    spare = np.empty(min(_BLOCK, len(found)), np.uint64)
    for at in range(0, len(found), _BLOCK):
        z = found[at : at + _BLOCK]
        high = spare[: len(z)]
        z ^= np.right_shift(z, np.uint64(30), out=high)
        z *= np.uint64(0xBF58476D1CE4E5B9)
        z ^= np.right_shift(z, np.uint64(27), out=high)
        z *= np.uint64(0x94D049BB133111EB)
        z ^= np.right_shift(z, np.uint64(31), out=high)
    return found


def mix(values: NDArray[np.uint64], seed: int, out: NDArray[np.uint64] | None = None) -> NDArray[np.uint64]:
    """A random number for each value, keyed by a seed; see `mixed`."""
    return mixed(values, (seed * 2 + 1) * GAMMA & _MASK, out)
