from __future__ import annotations

import json
from typing import Any
from unittest.mock import patch

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktoformats.errors import RecordError
from ktoformats.feedback import REASONS
from ktoformats.read.parse import parse

TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), max_size=12)
SCALAR = st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, width=64) | TEXT
VALUE = st.recursive(SCALAR, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4))
QUOTES = st.text(st.sampled_from('\\":,{}[] u0\n'), max_size=10)


def finite(value: Any) -> bool:
    return "Infinity" not in json.dumps(value)


REFUSED = [
    (b'{"a":"\xff"}', "invalid_utf8", "byte 6 .0xff. is not UTF-8"),
    (b'{"a":"\xc0\xaf"}', "invalid_utf8", "is not UTF-8"),
    (b'{"a":"\xed\xa0\x80"}', "invalid_utf8", "is not UTF-8"),
    ('{"a":"جيد"}'.encode("cp1256"), "invalid_utf8", "save the file as UTF-8"),
    (b'{"a":"\x00"}', "control_char", r"U\+0000"),
    (b'{"a":1}\x00', "control_char", r"U\+0000"),
    (b'{"a":"\t"}', "control_char", r"U\+0009"),
    (b'{"a":"\x0b"}', "control_char", r"U\+000B"),
    (b'\x0b{"a":1}', "control_char", r"U\+000B"),
    (b'{"a":"x\\u0000"}', "control_char", "escaped NUL"),
    (b'{"a":["\\\\\\u0000"]}', "control_char", "escaped NUL"),
    (b'{"a\\u0000":1}', "control_char", "escaped NUL"),
    (b'{"a":1}{"b":2}', "extra_data", "one value per line"),
    (b'{"a":1} {"b":2}', "extra_data", "one value per line"),
    (b'{"a":1} // fine', "extra_data", "'// fine'"),
    (b'{"a":1},', "extra_data", "one value per line"),
    (b"1 2", "extra_data", "one value per line"),
    ('\u00a0{"a":1}'.encode(), "invalid_json", "nothing is repaired"),
    ('\u200b{"a":1}'.encode(), "invalid_json", "nothing is repaired"),
    ('\ufeff{"a":1}'.encode(), "invalid_json", "nothing is repaired"),
    (b'{"a":1,}', "invalid_json", "nothing is repaired"),
    (b"{'a':1}", "invalid_json", "nothing is repaired"),
    (b'{"a":True}', "invalid_json", "nothing is repaired"),
    (b'{"a":None}', "invalid_json", "nothing is repaired"),
    (b'{"a":007}', "invalid_json", "nothing is repaired"),
    (b"007", "invalid_json", "no JSON value ends here"),
    (b"1.", "invalid_json", "nothing is repaired"),
    (b'{"a":.5}', "invalid_json", "nothing is repaired"),
    (b'{"a":+1}', "invalid_json", "nothing is repaired"),
    (b'{"a":0x1f}', "invalid_json", "nothing is repaired"),
    (b'{"a":"\\x41"}', "invalid_json", "nothing is repaired"),
    (b'{"a":"cut', "invalid_json", "Unterminated"),
    (b"", "invalid_json", "Expecting value"),
    (b" \t", "invalid_json", "Expecting value"),
    (b'{"a":NaN}', "non_finite", "NaN is no JSON value"),
    (b'{"a":[-Infinity]}', "non_finite", "-Infinity is no JSON value"),
    (b'{"a":1e999}', "non_finite", "1e999"),
    (b'{"a":-1e999}', "non_finite", "-1e999"),
    (b'{"a":' + b"9" * 5000 + b"}", "non_finite", "5000 characters"),
    (b'{"a":18446744073709551616}', "int_out_of_range", "18446744073709551616"),
    (b'{"a":-9223372036854775809}', "int_out_of_range", "-9223372036854775809"),
    (b'{"a":[{"b":123456789012345678901234567890}]}', "int_out_of_range", "write it as a string"),
    (b"18446744073709551616", "int_out_of_range", "18446744073709551616"),
    (b'{"label":true,"label":false}', "duplicate_key", "'label' stands twice"),
    (b'{"a":1,"\\u0061":2}', "duplicate_key", "'a' stands twice"),
    (b'{"a":{"b":1,"b":1}}', "duplicate_key", "'b' stands twice"),
    (b'[{"b" : 1, "b" :2}]', "duplicate_key", "'b' stands twice"),
    (b'{"":1,"":2}', "duplicate_key", "'' stands twice"),
    (b'{"a":{"x":"y"},"a":"\\""}', "duplicate_key", "'a' stands twice"),
    (b'{"a":' + b"[" * 1000 + b"]" * 1000 + b',"a":1}', "duplicate_key", "too deep"),
    (b'{"a":"\\ud800"}', "lone_surrogate", "half of a character"),
    (b'{"a":"\\udc00"}', "lone_surrogate", "half of a character"),
    (b'{"a":"\\ud83d\\ud83d\\ude00"}', "lone_surrogate", "half of a character"),
    (b'{"a":"\\\\\\ud83dx"}', "lone_surrogate", "half of a character"),
    (b"[" * 33 + b"]" * 33, "too_deep", "more than 32 deep"),
    (b'{"a":' * 33 + b"1" + b"}" * 33, "too_deep", "more than 32 deep"),
    (b"[" * 2000 + b"]" * 2000, "too_deep", "more than 32 deep"),
    (b"[" * 1_000_000, "too_deep", "more than 32 deep"),
    (b"[" + b"1," * 100_000 + b"1]", "too_many_items", "100001 items"),
    (json.dumps({str(i): i for i in range(100_001)}).encode(), "too_many_items", "100001 items"),
]


@pytest.mark.parametrize(("line", "reason", "message"), REFUSED)
def test_refused_with_the_reason(line: bytes, reason: str, message: str) -> None:
    with pytest.raises(RecordError, match=message) as caught:
        parse(line)
    assert caught.value.reason == reason
    assert reason in REASONS


ACCEPTED = [
    (b' {"a" : 1 }\r', {"a": 1}),
    (b"{}", {}),
    (b"null", None),
    (b'"text"', "text"),
    (b"[1, [2]]", [1, [2]]),
    (b'{"a":18446744073709551615,"b":-9223372036854775808}', {"a": 2**64 - 1, "b": -(2**63)}),
    (b'{"a":1e19,"b":1.5e300}', {"a": 1e19, "b": 1.5e300}),
    ('{"a":"x\u2028y\u2029z\u0085"}'.encode(), {"a": "x\u2028y\u2029z\u0085"}),
    (b'{"a":"\\\\u0000","b":"\\ud83d\\ude00"}', {"a": "\\u0000", "b": "😀"}),
    (b'{"a":"\\\\\\"","\\"b\\\\":": \\" :"}', {"a": '\\"', '"b\\': ': " :'}),
    (b'{"a.b":1,"__proto__":2}', {"a.b": 1, "__proto__": 2}),
    (b"[" * 32 + b"]" * 32, json.loads("[" * 32 + "]" * 32)),
    (b'{"t":"2020-01-01"}', {"t": "2020-01-01"}),
]


@pytest.mark.parametrize(("line", "value"), ACCEPTED)
def test_accepted_as_it_stands(line: bytes, value: object) -> None:
    assert parse(line) == value


def test_limits_are_the_callers() -> None:
    assert parse(b"[[1,2]]", max_depth=2, max_items=2) == [[1, 2]]
    with pytest.raises(RecordError, match="more than 1 deep"):
        parse(b"[[1,2]]", max_depth=1)
    with pytest.raises(RecordError, match="2 items, 1 are allowed"):
        parse(b'{"a":1,"b":2}', max_items=1)


def test_the_field_is_named_and_messages_stay_short() -> None:
    key = "k" * 100_000
    with pytest.raises(RecordError, match="stands twice") as caught:
        parse(f'{{"{key}":1,"{key}":2}}'.encode())
    assert len(caught.value.field) <= 80
    for line, _, _ in REFUSED:
        with pytest.raises(RecordError, match=r"[a-z]") as caught:
            parse(line)
        assert len(caught.value.message) < 250


@given(
    value=VALUE,
    separators=st.sampled_from([None, (",", ":"), (" ,\t", "\r :\n")]),
    ascii_only=st.booleans(),
)
def test_reads_what_the_standard_library_reads(
    value: Any, separators: tuple[str, str] | None, *, ascii_only: bool
) -> None:
    if finite(value):
        line = json.dumps(value, ensure_ascii=ascii_only, separators=separators).encode()
        assert parse(line) == json.loads(line)


@given(value=st.dictionaries(QUOTES, QUOTES | st.lists(QUOTES), max_size=6), ascii_only=st.booleans())
def test_quotes_colons_and_backslashes_in_texts_are_counted_exactly(
    value: dict[str, Any], *, ascii_only: bool
) -> None:
    """The slow path is for lines that do have a repeated key, and never needed for others."""
    line = json.dumps(value, ensure_ascii=ascii_only).encode()
    with patch("ktoformats.read.parse._with_stdlib", side_effect=AssertionError("the slow path was taken")):
        assert parse(line) == value


def spelled(key: str, *, escaped: bool) -> str:
    if not escaped:
        return json.dumps(key, ensure_ascii=False)
    units = key.encode("utf-16-be")
    return '"' + "".join(f"\\u{units[i : i + 2].hex()}" for i in range(0, len(units), 2)) + '"'


@given(
    st.dictionaries(TEXT | QUOTES, VALUE, min_size=1, max_size=5),
    st.data(),
    st.lists(st.sampled_from(["[1,%s]", '{"k":%s}', '{"k":"\\"","l":[%s]}', "%s"]), max_size=5),
    st.tuples(st.booleans(), st.booleans()),
    VALUE,
)
def test_a_repeated_key_is_always_found(
    value: dict[str, Any], data: st.DataObject, around: list[str], escaped: tuple[bool, bool], again: Any
) -> None:
    if not finite([value, again]):
        return
    key = data.draw(st.sampled_from(sorted(value)))
    members = [f"{spelled(key, escaped=escaped[0])}:{json.dumps(again)}"]
    members += [f"{spelled(name, escaped=escaped[1])}:{json.dumps(item)}" for name, item in value.items()]
    text = "{" + ",".join(data.draw(st.permutations(members))) + "}"
    for wrapper in around:
        text = wrapper.replace("%s", text)
    with pytest.raises(RecordError, match="stands twice") as caught:
        parse(text.encode())
    assert caught.value.reason == "duplicate_key"


@given(VALUE, st.data())
def test_damaged_lines_are_refused_or_read_as_the_standard_library_does(value: Any, data: st.DataObject) -> None:
    line = bytearray(json.dumps(value, ensure_ascii=False).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        line[data.draw(st.integers(0, len(line) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = parse(bytes(line))
    except RecordError as error:
        refused = error.reason in REASONS
        assert refused
    else:
        assert found == json.loads(line.decode())
