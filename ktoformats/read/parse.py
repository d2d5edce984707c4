"""One raw record to one value: strict JSON, with what two readers could read differently refused.

orjson does the reading. What it lets pass (a repeated key, a huge integer as a float, an escaped NUL) is
looked for by counting, and only a count that does not add up is paid for with the standard library's parser.
"""

from __future__ import annotations

import json
import math
import re
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import numpy as np
import orjson

from ktoformats.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Sequence

MAX_DEPTH: Final = 32
MAX_ITEMS: Final = 100_000
MAX_VALUES: Final = 2_000_000
"""In all of a record: `[]` are two bytes of a line, and sixty-four of memory."""

_PLAIN: Final = frozenset({str, int, bool, type(None)})
_FLAT: Final = _PLAIN | {float}
_BLANK: Final = " \t\r\n"
_INT_BITS: Final = 2.0**63
_MIN_INT, _MAX_INT = -(2**63), 2**64 - 1
_SHOWN: Final = 60

# In a row of backslashes each pair is consumed, so what is found is an escape and not a backslash's end.
_QUOTES_AND_NULS: Final = re.compile(rb'\\(?:[\\"]|u0000)').findall
# Also the string that is not closed, so that nothing is looked at twice.
_STRINGS: Final = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
# Every escape is consumed, so that the second half of a pair or of `\\` is not taken for a beginning.
_ESCAPES: Final = re.compile(
    r"\\(?:[^u]|u[dD][89aAbB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|(?P<lone>u[dD][89a-fA-F]..)|u....)"
)


def parse(line: bytes, *, max_depth: int = MAX_DEPTH, max_items: int = MAX_ITEMS) -> Any:
    """Parse one JSON value.

    Args:
        line: The bytes of one JSON value; blanks around it are allowed.
        max_depth: How deeply objects and lists may be nested.
        max_items: How many items one object or list may have.

    Returns:
        The value; whether it must be an object is the caller's business.

    Raises:
        RecordError: `invalid_utf8`, `control_char`, `extra_data`, `lone_surrogate`, `non_finite`,
            `int_out_of_range`, `duplicate_key`, `too_deep`, `too_many_items` or `invalid_json`.
    """
    if count := many_values(line):
        message = f"the record has about {count} values in all, {MAX_VALUES} are allowed; split it"
        raise RecordError("too_many_items", message)
    try:
        value = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise _explain(line, error, max_depth) from error
    types: list[type] = list(map(type, value.values())) if type(value) is dict else []
    if types and len(types) <= max_items and _FLAT.issuperset(types):
        strings = len(types) + types.count(str)
        huge = float in types and _has_huge(value.values())
    else:
        strings, huge = _measure(value, max_depth, max_items)
    if huge:
        _with_stdlib(_INTS_DECODER, line)
    if _quotes(line) != 2 * strings:
        # A string of the text is not in the value: a key was repeated, and the last one won.
        _with_stdlib(_KEYS_DECODER, line)
    return value


def shape_key(record: dict[str, Any]) -> Hashable:
    """A hashable that two records share only if they have the same keys, types of values, and keys of what they hold.

    The order of keys counts, too.
    """
    types = tuple(map(type, record.values()))
    if list in types or dict in types:
        return (
            tuple(record),
            types,
            tuple(_inner_key(v) for v in record.values() if type(v) in (list, dict)),
        )
    return (tuple(record), types)


def _inner_key(value: list[Any] | dict[str, Any]) -> Hashable:
    if type(value) is dict:
        return tuple(value)
    return frozenset(tuple(item) if type(item) is dict else type(item) for item in value)


class Alike(NamedTuple):
    """Records of one shape."""

    key: Hashable | None
    """What tells their shape from others, as `shape_key`; None for a value that is no object, and for an error."""
    numbers: list[int]
    """Which they are, ascending."""


def parse_all(lines: Sequence[bytes]) -> tuple[list[Any], list[Alike]]:
    """Parse many lines, which costs little more than orjson alone.

    What `parse` looks at in each record is looked at here in whole columns of records with the same keys, and quotes
    are counted over all lines. Where that does not add up, each line is parsed by itself.

    Args:
        lines: As for `parse`.

    Returns:
        For each line its value, or the `RecordError` that costs it; and which of them have the same shape.
    """
    if max(map(len, lines), default=0) > MAX_VALUES:
        return _one_by_one(lines)
    try:
        values = [orjson.loads(line) for line in lines]
    except orjson.JSONDecodeError:
        values = [_loaded(line) for line in lines]
    same_keys: dict[tuple[str, ...], list[int]] = {}
    closely: list[int] = []
    for number, value in enumerate(values):
        if type(value) is not dict:
            closely.append(number)
            continue
        names = tuple(value)
        if names in same_keys:
            same_keys[names].append(number)
        else:
            same_keys[names] = [number]
    alike: dict[Hashable, list[int]] = {}
    strings = 0
    for names, numbers in same_keys.items():
        strings += _sort_by_shape(values, names, numbers, alike, closely)
    if not _add_up(lines, strings, closely):
        return _one_by_one(lines)
    for number in closely:
        if not isinstance(values[number], RecordError):
            values[number] = _or_error(lines[number])
        alike.setdefault(_key_or_number(values[number], number), []).append(number)
    return values, _told(alike, values)


def _one_by_one(lines: Iterable[bytes]) -> tuple[list[Any], list[Alike]]:
    values = list(map(_or_error, lines))
    return values, sort_by_shape(values)


def sort_by_shape(values: Sequence[Any]) -> list[Alike]:
    """Which values have the same shape."""
    alike: dict[Hashable, list[int]] = {}
    for number, value in enumerate(values):
        alike.setdefault(_key_or_number(value, number), []).append(number)
    return _told(alike, values)


def _key_or_number(value: Any, number: int) -> Hashable:
    """What is no object stands alone."""
    return shape_key(value) if type(value) is dict else number


def _told(alike: dict[Hashable, list[int]], values: Sequence[Any]) -> list[Alike]:
    return [
        Alike(key if type(values[numbers[0]]) is dict else None, sorted(numbers)) for key, numbers in alike.items()
    ]


def _loaded(line: bytes) -> Any:
    try:
        return orjson.loads(line)
    except orjson.JSONDecodeError:
        return _or_error(line)


def _or_error(line: bytes) -> Any:
    try:
        return parse(line)
    except RecordError as error:
        return error


def _sort_by_shape(
    values: list[Any],
    names: tuple[str, ...],
    numbers: list[int],
    alike: dict[Hashable, list[int]],
    closely: list[int],
) -> int:
    """Sort records with the same keys by their shape; return how many strings are in them.

    Args:
        values: The records of the block.
        names: The keys.
        numbers: Which of the records have them.
        alike: Where they are put.
        closely: Gets those that must be parsed by themselves.
    """
    found = _uniform(names, [values[number] for number in numbers])
    if found is not None:
        key, strings = found
        alike.setdefault(key, []).extend(numbers)
        return strings
    same_types: dict[tuple[type, ...], list[int]] = {}
    for number in numbers:
        same_types.setdefault(tuple(map(type, values[number].values())), []).append(number)
    strings = 0
    for own in same_types.values():
        found = _uniform(names, [values[number] for number in own]) if len(same_types) > 1 else None
        if found is not None:
            alike.setdefault(found[0], []).extend(own)
            strings += found[1]
            continue
        for number in own:
            found = _uniform(names, [values[number]])
            if found is None:
                closely.append(number)
            else:
                alike.setdefault(found[0], []).append(number)
                strings += found[1]
    return strings


def _uniform(names: tuple[str, ...], records: list[dict[str, Any]]) -> tuple[Hashable, int] | None:
    """The shape of records with the same keys, and how many strings are in them, keys included.

    Returns:
        None where their values differ in type, or where they hold more than plain values, lists of plain values of
        one type, lists of objects of texts, and objects of plain values.
    """
    if len(names) > MAX_ITEMS:
        return None
    strings = len(names) * len(records)
    types: list[type] = []
    inner: list[Hashable] = []
    for column in zip(*map(dict.values, records), strict=True):
        kinds = set(map(type, column))
        kind = kinds.pop()
        if kinds:
            return None
        types.append(kind)
        if kind is str:
            strings += len(column)
        elif kind is float:
            if _has_huge(column):
                return None
        elif kind is list or kind is dict:
            found = _uniform_lists(column) if kind is list else _uniform_objects(column)
            if found is None:
                return None
            inner.append(found[0])
            strings += found[1]
    return ((names, tuple(types), tuple(inner)) if inner else (names, tuple(types))), strings


def _uniform_lists(lists: Sequence[list[Any]]) -> tuple[Hashable, int] | None:
    sizes = set(map(len, lists))
    if max(sizes) > MAX_ITEMS or (0 in sizes and len(sizes) > 1):
        return None
    items = list(chain.from_iterable(lists))
    kinds = set(map(type, items))
    if kinds == {dict}:
        shapes = set(map(tuple, items))
        if len(shapes) > 1 or set(map(type, chain.from_iterable(map(dict.values, items)))) != {str}:
            return None
        return frozenset(shapes), 2 * len(items) * len(items[0])
    if len(kinds) > 1 or not kinds <= _PLAIN:
        return None
    return frozenset(kinds), len(items) if str in kinds else 0


def _uniform_objects(objects: Sequence[dict[str, Any]]) -> tuple[Hashable, int] | None:
    names = set(map(tuple, objects))
    kinds = list(map(type, chain.from_iterable(map(dict.values, objects))))
    if len(names) > 1 or not _PLAIN.issuperset(kinds) or len(objects[0]) > MAX_ITEMS:
        return None
    return names.pop(), len(objects) * len(objects[0]) + kinds.count(str)


def _add_up(lines: Sequence[bytes], strings: int, closely: Sequence[int]) -> bool:
    """Whether the lines, but for those that are looked at closely, have quotes around so many strings."""
    if closely:
        left_out = set(closely)
        lines = [line for number, line in enumerate(lines) if number not in left_out]
    joined = b"\n".join(lines)
    quotes = int(np.count_nonzero(np.frombuffer(joined, np.uint8) == _QUOTE))
    if b"\\" in joined and (b'\\"' in joined or b"\\u0000" in joined):
        escapes = _QUOTES_AND_NULS(joined)
        quotes -= escapes.count(b'\\"')
        if b"\\u0000" in escapes:
            return False
    return quotes == 2 * strings


_QUOTE: Final = ord('"')


def many_values(line: bytes) -> int:
    """About how many values a line has if they are too many, else 0; found before they take up memory."""
    if len(line) <= MAX_VALUES or _separators(line) <= MAX_VALUES:
        return 0
    count = _separators(_STRINGS.sub(b"", line))
    return count if count > MAX_VALUES else 0


def _separators(line: bytes) -> int:
    return sum(map(line.count, (b",", b"[", b"{")))


def _quotes(line: bytes) -> int:
    """Count the quotes around strings, in valid JSON; refuse an escaped NUL on the way."""
    quotes = line.count(b'"')
    # Two cheap looks first: in a text written all in \uXXXX, finding every escape takes longer than parsing.
    if b"\\" in line and (line.rfind(b'\\"') >= 0 or b"\\u0000" in line):
        escapes = _QUOTES_AND_NULS(line)
        quotes -= escapes.count(b'\\"')
        if b"\\u0000" in escapes:
            message = "a text holds an escaped NUL (\\u0000), at which other programs cut it off; remove it"
            raise RecordError("control_char", message)
    return quotes


def _measure(value: Any, max_depth: int, max_items: int) -> tuple[int, bool]:
    """Count the strings at every level, keys included, and refuse what is too deep or too long.

    Returns:
        The count, and whether a float is so large that it may have been an integer.
    """
    level: list[Any] = [[value]]
    strings, depth, huge = 0, -1, False
    while level:
        depth += 1
        if depth > max_depth:
            raise _too_deep(max_depth)
        below: list[Any] = []
        for node in level:
            if len(node) > max_items:
                message = f"an object or list has {len(node)} items, {max_items} are allowed; split the record"
                raise RecordError("too_many_items", message)
            if type(node) is dict:
                strings += len(node)
                node = node.values()  # noqa: PLW2901 - from here on both kinds are walked alike
            for item in node:
                kind = type(item)
                if kind is str:
                    strings += 1
                elif kind is dict or kind is list:
                    below.append(item)
                elif kind is float and abs(item) >= _INT_BITS:
                    huge = True
        level = below
    return strings, huge


def _has_huge(items: Iterable[Any]) -> bool:
    return any(type(item) is float and abs(item) >= _INT_BITS for item in items)


def _explain(line: bytes, error: orjson.JSONDecodeError, max_depth: int) -> RecordError:
    """Why orjson refused a line, in our words; its own differ between versions."""
    try:
        text = line.decode()
    except UnicodeDecodeError as bad:
        message = f"byte {bad.start} (0x{line[bad.start]:02x}) is not UTF-8; save the file as UTF-8"
        return RecordError("invalid_utf8", message)
    if "\x00" in text:
        return _control_char(text, text.index("\x00"))
    return _explain_text(text.strip(_BLANK), error, max_depth)


def _explain_text(text: str, error: orjson.JSONDecodeError, max_depth: int) -> RecordError:
    try:
        value, end = _STRICT_DECODER.raw_decode(text)
        _measure(value, max_depth, len(text))
    except RecordError as found:
        return found
    except RecursionError:
        return _too_deep(max_depth)
    except json.JSONDecodeError as bad:
        at = text[bad.pos : bad.pos + 1]
        if bad.msg.startswith("Invalid control") or (at < " " and at not in _BLANK):
            return _control_char(text, bad.pos)
        return _invalid(text, bad.pos, bad.msg)
    return _explain_the_rest(text, value, end, error)


def _explain_the_rest(text: str, value: Any, end: int, error: orjson.JSONDecodeError) -> RecordError:
    """What is wrong with a text that begins with a value the standard library reads."""
    if end < len(text):
        # A number cut short (`007`, `1.`) is no value with another behind it.
        if isinstance(value, dict | list | str) or text[end] in _BLANK:
            more = _show(text[end:].lstrip(_BLANK))
            message = f"after the JSON value comes {more}; write one value per line and nothing else"
            return RecordError("extra_data", message)
        return _invalid(text, end, "no JSON value ends here")
    if any(found["lone"] for found in _ESCAPES.finditer(text)):
        message = "an escape (\\ud800 to \\udfff) names half of a character; write both halves or the character"
        return RecordError("lone_surrogate", message)
    return _invalid(text, error.pos, error.msg)


def _invalid(text: str, position: int, what: str) -> RecordError:
    shown = _show(text[max(0, position - 10) : position + 20])
    message = f"not JSON at character {position}, near {shown}: {what}; nothing is repaired, write RFC 8259 JSON"
    return RecordError("invalid_json", message)


def _control_char(text: str, position: int) -> RecordError:
    shown = f"U+{ord(text[position]):04X}"
    message = f"a raw control character ({shown}) stands at character {position}; escape it (\\n, \\t) or remove it"
    return RecordError("control_char", message)


def _too_deep(max_depth: int) -> RecordError:
    return RecordError("too_deep", f"objects and lists are nested more than {max_depth} deep; flatten the record")


def _show(text: str) -> str:
    """The beginning of a text, unprintable characters escaped."""
    shown = repr(text[:_SHOWN])
    return shown if len(shown) <= _SHOWN else f"{shown[: _SHOWN - 1]}…"


def _with_stdlib(decoder: json.JSONDecoder, line: bytes) -> None:
    """Parse again for what a decoder's hooks refuse."""
    try:
        decoder.decode(line.decode())
    except RecursionError as error:
        # Only below a repeated key can anything be deeper than the value that was measured.
        message = "one object has the same key twice, and something too deep to read under the first"
        raise RecordError("duplicate_key", message) from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for key, _ in pairs:
        if key in seen:
            message = f"the key {_show(key)} stands twice in one object; readers disagree which counts, keep one"
            raise RecordError("duplicate_key", message, field=key[:_SHOWN])
        seen.add(key)


def _int_in_range(digits: str) -> float:
    value = _finite(digits)
    # As floats the bounds are not exact; int() is safe once the number is known to be short.
    if not _MIN_INT <= int(digits) <= _MAX_INT:
        message = f"the integer {digits[:24]} lies beyond 64 bits and would be rounded; write it as a string"
        raise RecordError("int_out_of_range", message)
    return value


def _finite(digits: str) -> float:
    value = float(digits)
    if math.isinf(value):
        message = f"the number {digits[:24]} ({len(digits)} characters) is too large; write a finite number or null"
        raise RecordError("non_finite", message)
    return value


def _refuse_constant(word: str) -> NoReturn:
    raise RecordError("non_finite", f"{word} is no JSON value; write a finite number or null")


_KEYS_DECODER: Final = json.JSONDecoder(object_pairs_hook=_unique_keys, parse_int=float)
_INTS_DECODER: Final = json.JSONDecoder(parse_int=_int_in_range)
_STRICT_DECODER: Final = json.JSONDecoder(parse_int=_finite, parse_float=_finite, parse_constant=_refuse_constant)
