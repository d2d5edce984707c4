"""SplitMix64 (Steele, Lea and Flood 2014): uniform, order-free random numbers out of 64 bits, one to one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAMMA: Final = 0x9E3779B97F4A7C15
_MASK: Final = 2**64 - 1


def mixed(values: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The generator's last step."""
    z = values >> np.uint64(30)  # then in place: for millions of values, memory is what takes the time
    z ^= values
    z *= np.uint64(0xBF58476D1CE4E5B9)
    z ^= z >> np.uint64(27)
    z *= np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return z


def mix(values: NDArray[np.uint64], seed: int) -> NDArray[np.uint64]:
    """A random number for each value, keyed by a seed."""
    return mixed(values + np.uint64((seed * 2 + 1) * GAMMA & _MASK))
