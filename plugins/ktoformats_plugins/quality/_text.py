"""The texts of a batch as one array of code points: what kinds of characters, which words.

ASCII and the Arabic block are told apart by comparisons, which numpy makes for many characters at once; what
else there is gets looked up character by character. A line end stands before the first text and after each
text, so no word and no run of letters straddles two rows, and every number is a function of its row alone.
"""

from __future__ import annotations

import re
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

Counts = NDArray[np.int64]
Codes = NDArray[np.uint16] | NDArray[np.uint32]
Mask = NDArray[np.bool_]

SPACES: Final = (
    (0x09, 0x0D), (0x1C, 0x20), (0x85, 0x85), (0xA0, 0xA0), (0x1680, 0x1680), (0x2000, 0x200A),
    (0x2028, 0x2029), (0x202F, 0x202F), (0x205F, 0x205F), (0x3000, 0x3000),
)  # fmt: skip
"""White space as `str.split` sees it, first and last code point."""
INVISIBLE: Final = ((0x061C, 0x061C), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x2069), (0xFEFF, 0xFEFF))
"""Direction marks, joiners and byte order marks: no part of a word."""
MARKS: Final = "#*_`>"
"""Markdown marks, left out wherever they stand; `|` separates words, as in a table."""
ARABIC: Final = (
    (0x0620, 0x063F), (0x0641, 0x064A), (0x066E, 0x066F), (0x0671, 0x06D3), (0x06D5, 0x06D5),
    (0x06EE, 0x06EF), (0x06FA, 0x06FC), (0x06FF, 0x06FF), (0x0750, 0x077F), (0x0870, 0x0887),
    (0x0889, 0x088E), (0x08A0, 0x08C8), (0xFB50, 0xFBB1), (0xFBD3, 0xFD3D), (0xFD50, 0xFD8F),
    (0xFD92, 0xFDC7), (0xFDF0, 0xFDFB), (0xFE70, 0xFE74), (0xFE76, 0xFEFC),
)  # fmt: skip
"""Arabic letters without harakat and tatweel, presentation forms included."""
LATIN: Final = ((0x41, 0x5A), (0x61, 0x7A), (0x0100, 0x024F), (0x1E00, 0x1EFF))
_LAST_ASCII: Final = 0x7F
_ARABIC_CORE: Final = (0x0620, 0x064A)
"""Arabic letters, with the tatweel among them."""
_TATWEEL: Final = 0x0640
_HEX: Final = "0123456789abcdefABCDEF"
HIGH_LATIN: Final = ((0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0xFF))
"""U+00C0-00FF without the signs of multiplication and division."""


class Kind(IntEnum):
    """What kind of character a code point is."""

    OTHER = 0
    SPACE = 1
    IGNORED = 2
    LATIN = 3
    ARABIC = 4
    HIGH_LATIN = 5
    LEAD = 6
    """Ø or Ù: the two lead bytes of almost every Arabic letter in UTF-8, read as Latin-1."""
    TAH = 7
    """ط or ظ: the same two bytes, read as Windows-1256."""
    REPLACEMENT = 8


LETTERS: Final = [Kind.LATIN, Kind.HIGH_LATIN, Kind.LEAD, Kind.ARABIC, Kind.TAH]


def _kind_table() -> NDArray[np.uint8]:
    table = np.zeros(0x10000, np.uint8)

    def put(kind: Kind, ranges: Iterable[tuple[int, int]]) -> None:
        for first, last in ranges:
            table[first : last + 1] = kind

    put(Kind.SPACE, SPACES)
    put(Kind.IGNORED, INVISIBLE)
    put(Kind.LATIN, LATIN)
    put(Kind.HIGH_LATIN, HIGH_LATIN)
    put(Kind.ARABIC, ARABIC)
    for kind, characters in (
        (Kind.SPACE, "|"),
        (Kind.IGNORED, MARKS),
        (Kind.LEAD, "ØÙ"),
        (Kind.TAH, "طظ"),
        (Kind.REPLACEMENT, "\ufffd"),
    ):
        put(kind, ((ord(character), ord(character)) for character in characters))
    return table


KIND_OF: Final = _kind_table()
_IS_LETTER: Final = np.isin(KIND_OF, LETTERS)

# ------------------------------------------------------------------------------------------------ clean-up

_URL: Final = re.compile(r"(?:https?://|www\.)\S+")


def is_plain(text: str) -> bool:
    """Say that `plain` would take nothing out of a text; single characters are found fastest."""
    return not (
        ("/" in text and ("://" in text or "</think>" in text))
        or ("`" in text and "```" in text)
        or ("w" in text and "www." in text)
    )


def plain(text: str) -> str:
    """Take out what is no prose: reasoning, code blocks and URLs.

    Args:
        text: A response.

    Returns:
        The text without `<think>` blocks (and without what stands before a `</think>` that was never
        opened), without the code between fences (to the end, if a fence is never closed) and without URLs.
    """
    *thoughts, answer = text.split("</think>")
    said: list[str] = []
    for piece in thoughts:
        before, opened, _ = piece.partition("<think>")
        if opened:
            said.append(before)
        else:
            said.clear()
    outside = " ".join((" ".join((*said, answer))).split("```")[::2])
    return _URL.sub(" ", outside)


# ------------------------------------------------------------------------------------------------ characters


class Texts(NamedTuple):
    """Texts as code points, marks and invisible characters left out."""

    codes: Codes
    """16 bits each where no text needs more."""
    starts: Counts
    """Where each text begins."""
    chars: Counts
    """How many characters each text has."""
    rare: Counts
    """The places outside ASCII and the core of the Arabic block."""
    rare_kinds: NDArray[np.uint8]


def read(texts: Sequence[str]) -> Texts:
    """Lay texts out as code points.

    Args:
        texts: Any strings without lone surrogates.
    """
    joined = "\n".join(("", *texts, ""))
    codes: Codes = np.frombuffer(joined.encode("utf-16-le"), np.uint16)
    if len(codes) != len(joined):
        codes = np.frombuffer(joined.encode("utf-32-le"), np.uint32)
    chars = np.fromiter(map(len, texts), np.int64, len(texts))
    starts = np.cumsum(chars + 1) - chars
    rare, rare_kinds = _look_up_rare(codes)
    ignored = np.zeros(len(codes), np.bool_)
    for mark in MARKS:
        if mark in joined:
            ignored |= codes == ord(mark)
    ignored[rare[rare_kinds == Kind.IGNORED]] = True
    places = np.flatnonzero(ignored)
    if places.size:
        codes = codes[~ignored]
        before = np.searchsorted(places, starts)
        chars = chars - (np.searchsorted(places, starts + chars) - before)
        starts = starts - before
        rare, rare_kinds = _look_up_rare(codes)
    return Texts(codes, starts, chars, rare, rare_kinds)


def _look_up_rare(codes: Codes) -> tuple[Counts, NDArray[np.uint8]]:
    rare = np.flatnonzero((codes > _LAST_ASCII) & ~_within(codes, *_ARABIC_CORE))
    return rare, KIND_OF.take(codes[rare], mode="clip")


def _within(codes: Codes, first: int, last: int) -> Mask:
    """Where a code lies in a range: below `first` the unsigned difference wraps around and is large."""
    kind = codes.dtype.type
    within: Mask = (codes - kind(first)) <= kind(last - first)
    return within


def _mark_rare(mask: Mask, texts: Texts, kind: Kind) -> Mask:
    mask[texts.rare[texts.rare_kinds == kind]] = True
    return mask


def count_kinds(texts: Texts) -> dict[Kind, Counts]:
    """Count letters, backslashes and replacement characters of each text, by kind."""
    codes = texts.codes
    tah = _within(codes, 0x0637, 0x0638)
    arabic = _within(codes, *_ARABIC_CORE) & (codes != _TATWEEL) & ~tah
    latin = _within(codes | codes.dtype.type(0x20), 0x61, 0x7A)
    counts = {
        Kind.ARABIC: _count(_mark_rare(arabic, texts, Kind.ARABIC), texts),
        Kind.TAH: _count(tah, texts),
        Kind.LATIN: _count(_mark_rare(latin, texts, Kind.LATIN), texts),
    }
    for kind in (Kind.HIGH_LATIN, Kind.LEAD, Kind.REPLACEMENT):
        counts[kind] = count_at(texts, texts.rare[texts.rare_kinds == kind])
    return counts


def _count(mask: Mask, texts: Texts) -> Counts:
    """Count what is set in each text, from the bits set in whole words of 64 and in what is left over."""
    bits = np.packbits(mask, bitorder="little")
    words = np.concatenate((bits, np.zeros(-len(bits) % 8 + 8, np.uint8))).view(np.uint64)
    before = np.cumsum(np.bitwise_count(words), dtype=np.int64)
    edges = np.concatenate((texts.starts, texts.starts + texts.chars))
    word, rest = edges >> 6, (edges & 63).astype(np.uint64)
    inside = np.bitwise_count(words[word] & ((np.uint64(1) << rest) - np.uint64(1)))
    ranks = before[word] - np.bitwise_count(words[word]) + inside
    first, last = np.split(ranks, 2)
    counts: Counts = last - first
    return counts


def count_leads(texts: Texts) -> Counts:
    """Count, for each text, Ø and Ù before a character beyond ASCII."""
    places = texts.rare[texts.rare_kinds == Kind.LEAD]
    return count_at(texts, places[texts.codes[places + 1] > _LAST_ASCII])


def count_escapes(texts: Texts) -> Counts:
    r"""Count, for each text, literal `\u06xx`."""
    places = np.flatnonzero(texts.codes == ord("\\"))
    for ahead, allowed in enumerate(("u", "0", "6", _HEX, _HEX), start=1):
        if not places.size:
            break
        # the line end after a text is not allowed anywhere, so no place gets past it
        places = places[np.isin(texts.codes[places + ahead], [ord(character) for character in allowed])]
    return count_at(texts, places)


def count_at(texts: Texts, places: NDArray[Any]) -> Counts:
    """Count, for each text, how many of these places in `codes` lie in it."""
    return np.bincount(np.searchsorted(texts.starts, places, "right") - 1, minlength=len(texts.starts))


# ------------------------------------------------------------------------------------------------ words


class Words(NamedTuple):
    """The words between white space."""

    starts: Counts
    ends: Counts
    rows: Counts
    """The text each word stands in."""
    per_text: Counts


def split(texts: Texts) -> Words:
    """Find the words."""
    codes = texts.codes
    space = _within(codes, 0x09, 0x0D) | _within(codes, 0x1C, 0x20) | (codes == ord("|"))
    _mark_rare(space, texts, Kind.SPACE)
    edges = np.flatnonzero(space[1:] != space[:-1]) + 1
    starts, ends = edges[0::2], edges[1::2]
    bounds = np.searchsorted(starts, np.append(texts.starts, len(space)))
    per_text = np.diff(bounds)
    return Words(starts, ends, np.repeat(np.arange(len(per_text)), per_text), per_text)


def count_run_words(texts: Texts, words: Words) -> Counts:
    """Count the words in which one letter stands three times in a row."""
    same = texts.codes[1:] == texts.codes[:-1]
    places = np.flatnonzero(same[1:] & same[:-1])
    places = places[_IS_LETTER.take(texts.codes[places], mode="clip")]
    found = np.unique(np.searchsorted(words.starts, places, "right") - 1)
    return np.bincount(words.rows[found], minlength=len(texts.starts))
