"""Mutated lines, read by the parser and by a strict oracle built on the standard library."""

from __future__ import annotations

import json
import random
import re
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from ktoformats.errors import RecordError
from ktoformats.feedback import REASONS
from ktoformats.read.parse import MAX_DEPTH, MAX_ITEMS, parse

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SEEDS: Final[tuple[bytes, ...]] = tuple(
    text.encode()
    for text in (
        '{"prompt": "q", "response": "a", "label": true}',
        '{"prompt":"سؤال","response":"جواب \\u0645\\u0631","label":false,"score":0.75,"id":12345678901}',
        '{"prompt": "say \\"x\\"", "chosen": "a\\\\", "rejected": "\\ud83d\\ude00 \\n\\t\\/", "margin": -1.5e-3}',
        '{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": 1}',
        '{"prompt": [{"role": "user", "content": [{"type": "text", "text": "q"}]}], "completion": "a", "label": null}',
        '{"prompt": "q", "responses": ["a", "b", "c"], "rankings": [2, 1, 3], "meta": {"a": {"b": {"c": []}}}}',
        '{"a": 18446744073709551615, "b": -9223372036854775808, "c": 1E+2, "d": -0, "e": -0.0, "f": 0}',
        '{"a": 18446744073709551616, "b": -9223372036854775809, "c": 1e308, "d": 5e-324}',
        '{"label": true, "l\\u0061bel": false, "Label": 0, "": "", "nested": {"label": 1}}',
        '{"conversations": [["q", "a"], ["q2", "a2"]], "تقييم": "ممتاز", "x": "\u2028\u200f\u0640\ufeff\uffff"}',
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]]",
        ' { "a" : [ ] , "b" : { } , "c" : "" } \r',
        '{"a":"\\\\u0000","b":"\\\\\\"","c":"\\b\\f\\r"}',
        '[1, 2.5, "x", null, true, {}]',
        '"a \\u00e9 text"',
        "-12.5e+10",
    )
)
TOKENS: Final[tuple[bytes, ...]] = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\t", b"\r", b"\n", b"\x00", b"\x0b", b"\x1f", b"\x7f"),
    *(b"\\u", b"\\u0000", b"\\u000", b"\\u0061", b"\\ud800", b"\\udc00", b"\\ud83d\\ude00", b"\\x41", b"\\'", b"\\/"),
    *(b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\xe2\x80\xa8", b"\xf4\x90\x80\x80", b"\xd8", b"\xc2\xa0"),
    *(b"NaN", b"Infinity", b"-Infinity", b"true", b"false", b"null", b"True", b"None", b"undefined"),
    *(b"0", b"-", b"+", b".", b"e", b"E", b"01", b"1e999", b"-1e999", b"1e-999", b"0x1", b"1_0", "٣".encode()),
    *(b"9" * 19, b"9" * 20, b"18446744073709551616", b"9" * 310, b"7" * 5000, b"1." + b"3" * 400),
    *(b'"label":0,', b',"label":1', b'"":1,', b"{}", b"[]", b'""', b"//", b"/**/", b"#", b"'", b"[" * 20, b'{"a":' * 20),
)  # fmt: skip
PIECES: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|-?[0-9.eE+-]+|[A-Za-z]+|.', re.DOTALL)


class _RefusedError(Exception):
    """The oracle does not read the line."""


class Huge(NamedTuple):
    """A number that a double cannot hold; as a text, for the oracle has to be quick."""

    digits: str


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise _RefusedError
    return found


def _refuse(_: str) -> None:
    raise _RefusedError


def _int(digits: str) -> Any:
    return Huge(digits) if isinstance(_float(digits), Huge) else int(digits)


def _float(digits: str) -> Any:
    value = float(digits)
    return Huge(digits) if value in (float("inf"), float("-inf")) else value


ORACLE: Final = json.JSONDecoder(
    object_pairs_hook=_unique, parse_constant=_refuse, parse_int=_int, parse_float=_float, strict=True
)


def strict(line: bytes) -> Any:
    """What RFC 8259 says the line is, where no object has a key twice and every text is Unicode.

    Raises:
        _RefusedError: It is nothing.
    """
    try:
        value = ORACLE.decode(line.decode())
    except (ValueError, RecursionError) as error:
        raise _RefusedError from error
    if any("\ud800" <= character <= "\udfff" for text in texts(value) for character in text):
        raise _RefusedError
    return value


def nodes(value: Any, depth: int = 0) -> Iterator[tuple[int, Any]]:
    """Every value, with how many objects and lists stand around it or are it."""
    inner = depth + isinstance(value, dict | list)
    yield inner, value
    for item in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(item, inner)


def texts(value: Any) -> Iterator[str]:
    for _, node in nodes(value):
        if isinstance(node, str):
            yield node
        elif isinstance(node, dict):
            yield from node


def limits(value: Any) -> set[str]:
    """Why we may refuse a value that is strict JSON: the documented limits, and nothing else."""
    found = {"control_char"} if any("\x00" in text for text in texts(value)) else set()
    for depth, node in nodes(value):
        if depth > MAX_DEPTH:
            found.add("too_deep")
        if isinstance(node, dict | list) and len(node) > MAX_ITEMS:
            found.add("too_many_items")
        if isinstance(node, Huge):
            found.add("non_finite")
        if type(node) is int and not -(2**63) <= node <= 2**64 - 1:
            found.add("int_out_of_range")
    return found


def _flip(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line))
    return line[:at] + bytes([line[at] ^ (1 << chance.randrange(8))]) + line[at + 1 :]


def _insert(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line) + 1)
    return line[:at] + chance.choice(TOKENS) + line[at:]


def _delete(line: bytes, chance: random.Random) -> bytes:
    at = chance.randrange(len(line))
    return line[:at] + line[at + chance.randint(1, 4) :]


def _repeat(line: bytes, chance: random.Random) -> bytes:
    start = chance.randrange(len(line))
    piece = line[start : start + chance.randint(1, 20)]
    at = chance.randrange(len(line) + 1)
    return line[:at] + piece + line[at:]


def _splice(line: bytes, chance: random.Random) -> bytes:
    other = chance.choice(SEEDS)
    return line[: chance.randrange(len(line) + 1)] + other[chance.randrange(len(other)) :]


def _swap(line: bytes, chance: random.Random) -> bytes:
    """Another piece in the place of a string, number, word or sign: what comes out is often JSON."""
    pieces = PIECES.findall(line)
    pieces[chance.randrange(len(pieces))] = chance.choice(
        (chance.choice(pieces), chance.choice(TOKENS), chance.choice(SEEDS))
    )
    return b"".join(pieces)


def _escape(line: bytes, chance: random.Random) -> bytes:
    """A letter spelled as an escape, as a repeated key may be hidden."""
    letters = [place for place, byte in enumerate(line) if 97 <= byte <= 122]
    if not letters:
        return line
    at = chance.choice(letters)
    return line[:at] + b"\\u00%02x" % line[at] + line[at + 1 :]


def _twice(line: bytes, chance: random.Random) -> bytes:
    """A member of an object once more, or another one's value under its key."""
    members = re.findall(rb'"[^"\\]*"\s*:\s*(?:"[^"\\]*"|[a-z0-9.]+)', line)
    opened = [place for place, byte in enumerate(line) if byte == 123]
    if not members or not opened:
        return line
    at = chance.choice(opened) + 1
    member: bytes = chance.choice(members)
    return line[:at] + member + b"," + line[at:]


MUTATIONS: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    *(_flip, _insert, _delete, _repeat, _splice, _swap, _swap, _escape, _twice),
)


def mutated(chance: random.Random) -> bytes:
    line = chance.choice(SEEDS)
    for _ in range(chance.choice((1, 1, 1, 2, 2, 3, 5))):
        line = chance.choice(MUTATIONS)(line, chance) or b"{}"
    return line


def check(line: bytes) -> str:
    """Compare the two readings of a line; say what came of it."""
    try:
        expected: Any = strict(line)
    except _RefusedError:
        expected = _RefusedError
    try:
        found, reason = parse(line), ""
    except RecordError as error:
        reason = error.reason
    if reason:
        assert reason in REASONS, line
        if expected is _RefusedError:
            return f"refused by both: {reason}"
        assert reason in limits(expected), line
        return f"a documented limit: {reason}"
    assert expected is not _RefusedError, line
    assert not limits(expected), line
    assert repr(found) == repr(expected), line  # 1, 1.0 and True, 0.0 and -0.0 are told apart, and so is order
    return "accepted by both"


def campaign(seed: int, count: int) -> Counter[str]:
    chance = random.Random(seed)
    return Counter(check(mutated(chance)) for _ in range(count))


def check_spread(found: Counter[str]) -> None:
    """A campaign that meets only rubbish or only good lines proves nothing."""
    total = found.total()
    assert found["accepted by both"] > total / 50
    reasons = {"invalid_json", "invalid_utf8", "control_char", "extra_data", "duplicate_key", "lone_surrogate"}
    assert all(found[f"refused by both: {reason}"] for reason in reasons), found
    reasons = {"too_deep", "int_out_of_range", "non_finite", "control_char"}
    assert all(found[f"a documented limit: {reason}"] for reason in reasons), found


def test_mutated_lines_are_read_as_a_strict_reader_reads_them() -> None:
    check_spread(campaign(8259, 50_000))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_a_million_mutated_lines_are_read_as_a_strict_reader_reads_them() -> None:
    found = Counter[str]()
    for seed in range(20):
        found += campaign(seed, 50_000)
    check_spread(found)
    print(dict(found.most_common()))  # noqa: T201 - the figures of a campaign are its result


@pytest.mark.parametrize(
    ("line", "value"),
    [(b'{"a":1}', {"a": 1}), (b"[1.0]", [1.0]), (b'"x"', "x"), (b"1e999", Huge("1e999"))],
)
def test_the_oracle_reads_what_is_json(line: bytes, value: Any) -> None:
    assert repr(strict(line)) == repr(value)


@pytest.mark.parametrize(
    "line",
    [b'{"a":1,"a":1}', b'{"a":1,"\\u0061":1}', b"NaN", b"-Infinity", b'"\\ud800"', b'"\xff"', b'"\t"', b"[1,]", b"01", b"", b"\xef\xbb\xbf1"],
)  # fmt: skip
def test_the_oracle_refuses_what_is_not(line: bytes) -> None:
    with pytest.raises(_RefusedError):
        strict(line)
