"""The counts of `_measures`, by one compiled pass over the UTF-8 bytes of each text.

numpy passes over a text once for every question; a compiled loop asks all of them of each character while it
is at hand. The rules are those of `_text` and `_trigrams`, and so are the hashes: the numbers are the same.

Numbers are unsigned wherever they index: numba then need not look whether a place is counted from the end.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

import numba
import numpy as np
import pyarrow as pa

from ktoformats_plugins.quality._measures import Measures, TextCounts
from ktoformats_plugins.quality._text import KIND_OF, Kind, plain
from ktoformats_plugins.quality._trigrams import BASE, FIRST, SECOND, TEXT_BITS, TRIGRAM

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Bytes = NDArray[np.uint8]
    Table = NDArray[np.int64]

_compile: Callable[..., Any] = numba.njit(cache=True, nogil=True, boundscheck=False)

_SALT: Final = np.uint64(secrets.randbits(64) | 1)
"""Chosen anew in each process, so that no text can be written whose trigrams all fall into one slot."""

# Classes of characters. From _RARE on something else is done than to count a letter or to end a word.
_OTHER, _ARABIC, _LATIN, _SPACE, _IGNORED, _SIGN, _SIGN_W, _SIGN_TICK, _BACKSLASH = range(9)
_HIGH_LATIN, _LEAD, _TAH, _REPLACEMENT = range(9, 13)
_RARE: Final = _IGNORED
_CLASS_OF_KIND: Final = {
    Kind.OTHER: _OTHER, Kind.SPACE: _SPACE, Kind.IGNORED: _IGNORED, Kind.LATIN: _LATIN, Kind.ARABIC: _ARABIC,
    Kind.HIGH_LATIN: _HIGH_LATIN, Kind.LEAD: _LEAD, Kind.TAH: _TAH, Kind.REPLACEMENT: _REPLACEMENT,
}  # fmt: skip
_SIGNS: Final = {":": _SIGN, "/": _SIGN, "w": _SIGN_W, "`": _SIGN_TICK, "\\": _BACKSLASH}
"""With the first three a URL, a code block or the end of reasoning may begin."""

# Columns of what is counted for each text: the fields of TextCounts.
_CHARS, _WORDS, _RUNS, _LEADS, _ESCAPES, _LATIN_COUNT, _ARABIC_COUNT = range(7)
_COLUMN_OF_CLASS: Final = 7 - _HIGH_LATIN
"""What to add to the class of a rarer letter to find its column."""

_ZERO, _ONE, _TWO, _THREE, _FOUR, _SIX = map(np.uint64, (0, 1, 2, 3, 4, 6))
_POWER: Final = np.uint64(BASE)
_DROP: Final = np.uint64(TEXT_BITS)


def _classes() -> Bytes:
    classes = np.array([_CLASS_OF_KIND[kind] for kind in Kind], np.uint8)[KIND_OF]
    for sign, number in _SIGNS.items():
        classes[ord(sign)] = number
    return classes


_CLASSES: Final = _classes()


def by_numba(responses: pa.Array, prompts: pa.Array) -> Measures:
    """Count in large_string arrays of one length."""
    response, prompt, trigrams, marked = _tables(responses, prompts, look_for_markup=True)
    rows = np.flatnonzero(marked)
    if rows.size:
        cleaned = pa.array([plain(responses[row].as_py()) for row in rows.tolist()], pa.large_string())
        parts = _tables(cleaned, prompts.take(pa.array(rows)), look_for_markup=False)
        for table, part in zip((response, prompt, trigrams), parts, strict=False):
            table[rows] = part
    return Measures(TextCounts(*response.T), TextCounts(*prompt.T), *trigrams.T)


def _tables(responses: pa.Array, prompts: pa.Array, *, look_for_markup: bool) -> tuple[Table, Table, Table, Table]:
    """A column for each field of TextCounts and of the trigrams' counts; and which rows hold markup, uncounted."""
    rows, width = len(responses), len(TextCounts._fields)
    response, prompt, trigrams = (np.zeros((rows, columns), np.int64) for columns in (width, width, 2))
    marked = _measure_all(
        *(*_buffers(responses), *_buffers(prompts), _CLASSES, response, prompt, trigrams, _SALT, look_for_markup)
    )
    return response, prompt, trigrams, marked


def _buffers(texts: pa.Array) -> tuple[Bytes, Table]:
    """The bytes of all texts, and where each begins and ends."""
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return np.frombuffer(data, np.uint8) if data else np.zeros(0, np.uint8), places


@_compile
def _measure_all(
    data, places, asked_data, asked_places, classes, counts, asked_counts, trigrams, salt, look_for_markup
):
    """Fill the tables; return which responses hold markup, and were not counted."""
    rows = len(places) - 1
    longest = 0
    for row in range(rows):
        longest = max(longest, places[row + 1] - places[row], asked_places[row + 1] - asked_places[row])
    keys = np.empty(longest // 2 + 2, np.uint64)
    others = np.empty(longest // 2 + 2, np.uint64)
    size = 4
    while size < longest + 4:
        size *= 2
    slots, times = np.empty(size, np.uint64), np.empty(size, np.int64)
    marked = np.zeros(rows, np.bool_)
    for row in range(rows):
        found = _measure(data, places[row], places[row + 1], classes, counts[row], keys, look_for_markup)
        if found < 0:
            marked[row] = True
            continue
        first, end = asked_places[row], asked_places[row + 1]
        asked = _measure(asked_data, first, end, classes, asked_counts[row], others, False)
        trigrams[row] = _compare(keys, found, others, asked, slots, times, salt)
    return marked


@_compile
def _measure(data, first, end, classes, counts, keys, look_for_markup):
    """Count in one text; return how many trigrams it has, whose hashes are then in `keys`, or -1 for markup."""
    at, end = np.uint64(first), np.uint64(end)
    previous = _ZERO  # the last character, plus one
    chars = latin = arabic = words = runs = found = same = escape = 0
    after_lead = watching = run = in_word = False
    value, power = _ZERO, _ONE  # of the word that is being read
    one = two = _ZERO  # hashes of the last two words
    while at < end:
        code = np.uint64(data[at])
        width = _ONE
        if code >= np.uint64(0x80):
            width = _TWO if code < np.uint64(0xE0) else _THREE if code < np.uint64(0xF0) else _FOUR
            if at + width > end:
                break  # no UTF-8; nothing beyond the text is read
            code = _decoded(data, at, width, code)
        kind = np.int64(classes[code]) if code <= np.uint64(0xFFFF) else _OTHER
        if kind >= _RARE:
            if kind <= _SIGN_TICK:
                if kind != _IGNORED and look_for_markup and _begins_markup(data, at, end):
                    return -1
                if kind in (_IGNORED, _SIGN_TICK):
                    at += width
                    continue
                kind = _LATIN if kind == _SIGN_W else _OTHER
            else:
                watching |= kind in (_BACKSLASH, _LEAD)
                if kind > _BACKSLASH:
                    counts[kind + _COLUMN_OF_CLASS] += 1
        at += width
        chars += 1
        latin += kind == _LATIN
        arabic += kind == _ARABIC
        if watching:
            if after_lead:
                counts[_LEADS] += code > np.uint64(0x7F)
            escape = _escape_after(escape, code)
            if escape == 6:
                counts[_ESCAPES] += 1
                escape = 0
            after_lead = kind == _LEAD
            watching = after_lead or escape > 0
        if code + _ONE == previous:
            same += 1
            run |= same > 1 and (kind in (_ARABIC, _LATIN) or _HIGH_LATIN <= kind <= _TAH)
        else:
            same = 0
            previous = code + _ONE
        if kind != _SPACE:
            value += (code + _ONE) * power  # plus one, so that a NUL counts
            power *= _POWER
            in_word = True
        elif in_word:
            value = _mix(value)
            if words >= TRIGRAM - 1:
                keys[found] = (two + one * SECOND + value * FIRST) >> _DROP
                found += 1
            words += 1
            runs += run
            two, one = one, value
            value, power = _ZERO, _ONE
            in_word = run = False
    if in_word:
        if words >= TRIGRAM - 1:
            keys[found] = (two + one * SECOND + _mix(value) * FIRST) >> _DROP
            found += 1
        words += 1
        runs += run
    counts[_CHARS], counts[_WORDS], counts[_RUNS] = chars, words, runs
    counts[_LATIN_COUNT], counts[_ARABIC_COUNT] = latin, arabic
    return found


@_compile
def _decoded(data, at, width, code):
    """The character of so many bytes that begins here."""
    second = np.uint64(data[at + _ONE]) & np.uint64(0x3F)
    if width == _TWO:
        return (code & np.uint64(0x1F)) << _SIX | second
    third = np.uint64(data[at + _TWO]) & np.uint64(0x3F)
    if width == _THREE:
        return ((code & np.uint64(0x0F)) << _SIX | second) << _SIX | third
    fourth = np.uint64(data[at + _THREE]) & np.uint64(0x3F)
    return (((code & np.uint64(0x07)) << _SIX | second) << _SIX | third) << _SIX | fourth


@_compile
def _begins_markup(data, at, end):
    """Whether one of the signs that `is_plain` looks for stands here; `at` is that of its first character."""
    byte = data[at]
    if byte == 0x3A:
        return at + _TWO < end and data[at + _ONE] == 0x2F and data[at + _TWO] == 0x2F  # ://
    if byte == 0x60:
        return at + _TWO < end and data[at + _ONE] == 0x60 and data[at + _TWO] == 0x60  # ```
    if byte == 0x77:  # www.
        long_enough = at + _THREE < end
        return long_enough and data[at + _ONE] == 0x77 and data[at + _TWO] == 0x77 and data[at + _THREE] == 0x2E
    return at + _TWO < end and data[at + _ONE] == 0x74 and data[at + _TWO] == 0x68  # the /th of </think>


@_compile
def _escape_after(read, code):
    r"""How much of a literal `\u06xx` is read after this character, given how much was read before it."""
    if code == 0x5C:
        return 1
    if (read == 1 and code == 0x75) or (read == 2 and code == 0x30) or (read == 3 and code == 0x36):
        return read + 1
    if read in (4, 5) and (0x30 <= code <= 0x39 or 0x41 <= code <= 0x46 or 0x61 <= code <= 0x66):
        return read + 1
    return 0


@_compile
def _mix(value):
    """As in `_trigrams`."""
    value = (value ^ (value >> np.uint64(30))) * FIRST
    value = (value ^ (value >> np.uint64(27))) * SECOND
    return value ^ (value >> np.uint64(31))


@_compile
def _place(slots, mask, key, salt):
    """The slot that holds a key, plus one so that it is never zero, or the free one where it belongs."""
    slot = ((key * salt) >> np.uint64(32)) & mask
    while slots[slot] != _ZERO and slots[slot] != key + _ONE:
        slot = (slot + _ONE) & mask
    return slot


@_compile
def _compare(keys, found, others, asked, slots, times, salt):
    """How many of the keys are distinct, and how many of them, repeats included, are among the others."""
    size = 4
    while size < 2 * found:
        size *= 2
    mask = np.uint64(size - 1)
    slots[:size] = _ZERO
    distinct = shared = 0
    for number in range(found):
        slot = _place(slots, mask, keys[number], salt)
        if slots[slot] == _ZERO:
            slots[slot] = keys[number] + _ONE
            times[slot] = 0
            distinct += 1
        times[slot] += 1
    for number in range(asked):
        slot = _place(slots, mask, others[number], salt)
        if slots[slot] != _ZERO:
            shared += times[slot]
            times[slot] = 0  # asked once more, it counts no more
    return distinct, shared
