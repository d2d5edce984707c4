"""Word trigrams of a batch as sorted 64-bit keys.

A word's hash does not depend on where in the batch it stands, and the row number has bits of its own, so what
is counted for a row is a function of that row alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from ktoformats_plugins.quality._text import Counts, Texts, Words

    Hashes = NDArray[np.uint64]

ROWS: Final = 512
"""Rows measured at once, so that the arrays stay in cache."""
TEXT_BITS: Final = 10
"""The bits of a key that say which text: each row has a response and a prompt."""

TRIGRAM: Final = 3
"""Words in a trigram."""

BASE: Final = 0x9E3779B97F4A7C15
_INVERSE: Final = pow(BASE, -1, 1 << 64)
FIRST: Final = np.uint64(0xBF58476D1CE4E5B9)
SECOND: Final = np.uint64(0x94D049BB133111EB)


def _mix(values: Hashes) -> Hashes:
    """Spread every bit over all (the finaliser of splitmix64)."""
    values = (values ^ (values >> np.uint64(30))) * FIRST
    values = (values ^ (values >> np.uint64(27))) * SECOND
    return values ^ (values >> np.uint64(31))


def _powers(base: int, size: int) -> Hashes:
    """The powers base**0 .. base**(size-1) modulo 2**64."""
    width = 1024
    low = np.cumprod(np.array([1] + [base] * (width - 1), np.uint64))
    high = np.cumprod(np.array([1] + [pow(base, width, 1 << 64)] * (size // width), np.uint64))
    return np.multiply.outer(high, low).ravel()[:size]


_POWERS: Final = _powers(BASE, 1 << 19)
_INVERSES: Final = _powers(_INVERSE, 1 << 19)


def _word_hashes(texts: Texts, words: Words) -> Hashes:
    """The 64-bit polynomial hash of each word, from prefix sums over all code points."""
    size = len(texts.codes)
    longer = size > len(_POWERS)
    powers = _powers(BASE, size) if longer else _POWERS[:size]
    inverses = _powers(_INVERSE, size) if longer else _INVERSES
    sums = (texts.codes + np.uint64(1)) * powers  # plus one, so that a NUL counts
    np.cumsum(sums, out=sums)
    return (sums[words.ends - 1] - sums[words.starts - 1]) * inverses[words.starts]


def read(texts: Texts, words: Words) -> Hashes:
    """The word trigrams of at most twice `ROWS` texts, sorted by text.

    Returns:
        One key per trigram: ten bits of text number, then 54 bits of hash. Trigrams of different texts never
        have the same key; two trigrams of one text do by chance once in 2e16.
    """
    hashes = _mix(_word_hashes(texts, words))
    inside = words.rows[2:] == words.rows[:-2]
    mixed = (hashes[:-2] + hashes[1:-1] * SECOND + hashes[2:] * FIRST)[inside]
    rows = words.rows[2:][inside].astype(np.uint64)
    return np.sort((rows << np.uint64(64 - TEXT_BITS)) | (mixed >> np.uint64(TEXT_BITS)))


def cut(keys: Hashes, rows: int) -> tuple[Hashes, Hashes]:
    """The keys of the first so many texts, and those of the texts after them, counted from 0 again."""
    first = np.uint64(rows << (64 - TEXT_BITS))
    at = np.searchsorted(keys, first)
    return keys[:at], keys[at:] - first


def count_distinct(keys: Hashes, rows: int) -> Counts:
    """Count the distinct keys of each row; the keys are sorted."""
    return np.bincount(_rows_of(_distinct(keys)), minlength=rows)


def count_shared(keys: Hashes, others: Hashes, rows: int) -> Counts:
    """Count the keys of each row, repeats included, that are also among the other keys; both are sorted."""
    wanted = _distinct(others)
    places = np.searchsorted(keys, wanted)
    wanted = wanted[np.append(keys, ~np.uint64(0))[places] == wanted]  # few stand in both
    found = np.searchsorted(keys, wanted, "right") - np.searchsorted(keys, wanted, "left")
    return np.bincount(np.repeat(_rows_of(wanted), found), minlength=rows)


def _distinct(keys: Hashes) -> Hashes:
    first = np.ones(len(keys), np.bool_)
    np.not_equal(keys[1:], keys[:-1], out=first[1:])
    return keys[first]


def _rows_of(keys: Hashes) -> Counts:
    return (keys >> np.uint64(64 - TEXT_BITS)).astype(np.int64)
