"""Cases 1 to 40 and 65 to 79 of the catalogue of bad input: bytes and framing, JSON values, text.

The verdicts are the catalogue's, as the design's rulings amend them. The rulings that do: text is never repaired
(ruling 16), so what the catalogue would strip (11, 68, 74, 75, 79) is accepted byte-identical or rejected, and what
is left as it was is not counted; quality cuts nothing unless asked (ruling 1, for 74); an array of records is known
by its content (32); a single candidate of an unknown shape says so with its keys (31, 38).
"""

from __future__ import annotations

import gzip
import itertools
import json
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from ktoformats import (
    SAMPLE_KEYS,
    AmbiguousFormatError,
    EmptyDatasetError,
    KTODataConfig,
    KTODataError,
    KTODataLoader,
    SourceError,
)

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from ktoformats import Registry, Report

    ReadFile = Callable[..., tuple[list[dict[str, Any]], Report]]
    Meet = Callable[..., Report]

ONE = {"prompt": "q", "response": "a", "label": "good"}
GOOD = [("q", "a", "good")]
BAD = [("q", "a", "bad")]
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def case(name: str, hostile: Any, expected: Any, **options: Any) -> ParameterSet:
    return pytest.param(hostile, expected, options, id=f"case-{name}")


def labelled(cell: str) -> bytes:
    """A record with this text in the place of its label."""
    return b'{"prompt": "q", "response": "a", "label": %s}' % cell.encode()


def beside(text: str) -> bytes:
    """A good record with more of an object before its end."""
    return b'{"prompt": "q", "response": "a", "label": "good", %s}' % text.encode()


def rejected(reason: str, field: str = "") -> tuple[str, str, str]:
    return "rejected", reason, field


UNJUDGED = ("without verdict", "null_verdict", "")
DEEP = 20_000

LINE = json.dumps(ONE).encode()
BOM = b"\xef\xbb\xbf"


def asked(text: bytes) -> bytes:
    """A record with these bytes within its prompt."""
    return b'{"prompt": "q%s", "response": "a", "label": "good"}' % text


BYTES = [
    *(
        case(f"01 {name}", asked(text), rejected("invalid_utf8"))
        for name, text in (
            ("invalid UTF-8 byte", b"\xff"),
            ("continuation without a beginning", b"\x80"),
            ("character cut by the quote", b"\xd8"),
            ("character cut by another", b"\xe2\x80x"),
            ("five bytes", b"\xf8\x88\x80\x80\x80"),
            ("beyond U+10FFFF", b"\xf4\x90\x80\x80"),
        )
    ),
    case("01 in an extra key", beside('"x": 1').replace(b'"x"', b'"\xfe"'), rejected("invalid_utf8")),
    case("01 bytes alone", b"\x9f\x92\x96", rejected("invalid_utf8")),
    *(
        case(f"02 overlong {text.hex(' ')}", asked(text), rejected("invalid_utf8"))
        for text in (b"\xc0\xaf", b"\xc1\xbf", b"\xe0\x80\xaf", b"\xf0\x80\x80\xaf", b"\xc0\x80")
    ),
    *(
        case(f"03 raw surrogate {text.hex(' ')}", asked(text), rejected("invalid_utf8"))
        for text in (b"\xed\xa0\x80", b"\xed\xbf\xbf", b"\xed\xa0\xbd\xed\xb8\x80")
    ),
    case("05 mark at a line's start", BOM + LINE, GOOD),
    case("05 mark behind a blank", b" " + BOM + LINE, rejected("invalid_json")),
    case("05 mark behind the record", LINE + BOM, rejected("extra_data")),
    case("07 a line in Latin-1", asked("é".encode("latin-1")), rejected("invalid_utf8")),
    case("07 a line in Windows-1256", asked("جيد".encode("cp1256")), rejected("invalid_utf8")),
    case("08 CRLF", LINE + b"\r", GOOD),
    case("08 CR before a comma", LINE.replace(b", ", b"\r,\r"), GOOD),
    case("10 raw NUL in a text", asked(b"\x00"), rejected("control_char")),
    case("10 raw NUL before the record", b"\x00" + LINE, rejected("control_char")),
    case("10 raw NUL behind the record", LINE + b"\x00", rejected("control_char")),
    case("11 escaped NUL", asked(b"\\u0000"), rejected("control_char")),
    case("11 escaped NUL in the label", labelled('"good\\u0000"'), rejected("control_char")),
    case("11 an escaped backslash before u0000", ONE | {"prompt": "\\u0000"}, [("\\u0000", "a", "good")]),
    *(
        case(f"12 raw 0x{code:02x} in a text", asked(bytes([code])), rejected("control_char"))
        for code in range(1, 32)
        if code != ord("\n")
    ),
    *(
        case(f"12 raw 0x{code:02x} before the record", bytes([code]) + LINE, rejected("control_char"))
        for code in (0x0B, 0x0C, 0x1B, 0x1F)
    ),
    case("12 TAB between members", LINE.replace(b", ", b"\t,\t"), GOOD),
    case("12 DEL is text", asked(b"\x7f"), [("q\x7f", "a", "good")]),
    *(
        case(f"13 U+{ord(text):04X} ends no line", ONE | {"prompt": f"q{text}q"}, [(f"q{text}q", "a", "good")])
        for text in ("\u2028", "\u2029", "\u0085")
    ),
    case("19 two objects", LINE + LINE, rejected("extra_data")),
    case("19 two objects with a comma", LINE + b", " + LINE, rejected("extra_data")),
    case("19 an object and a number", LINE + b" 1", rejected("extra_data")),
    *(
        case(f"20 {text.decode()} behind", LINE + text, rejected("extra_data"))
        for text in (b" // good", b"# good", b"}", b"]", b",", b";", b" x", b'"', b"/* */")
    ),
    case("20 a comment line", b"// good", rejected("invalid_json")),
    *(
        case(f"21 U+{ord(text):04X} as indentation", text.encode() + LINE, rejected("invalid_json"))
        for text in ("\u00a0", "\u200b", "\u2003", "\u3000", "\u0085", "\u2028", "\u2060")
    ),
    case("21 U+00A0 between members", LINE.replace(b", ", ",\u00a0".encode()), rejected("invalid_json")),
]


def texts(number: int, *found: str) -> list[ParameterSet]:
    """Texts that are accepted as they stand, on both sides of a record."""
    return [
        case(
            f"{number} {text.encode('unicode_escape').decode()[:40]} as {field}",
            ONE | {field: text},
            [tuple((ONE | {field: text}).values())],
        )
        for text in found
        for field in ("prompt", "response")
    ]


def between(*codes: int) -> list[str]:
    return [f"قبل{chr(code)}بعد" for code in codes]


TEXT = [
    *texts(65, *between(*range(0x202A, 0x202F), *range(0x2066, 0x206A), 0x200E, 0x200F, 0x061C)),
    *texts(66, "می\u200cخواهم", "👨\u200d👩\u200d👧", "\u200cبدء", "نهاية\u200d"),
    case("66 joined and not are two texts", ONE | {"response": "a\u200c"}, [("q", "a\u200c", "good")]),
    *texts(67, "جـــيد", "ـ", "مـ"),
    case("67 in a label", ONE | {"label": "جـيـد"}, GOOD),
    *texts(68, "\ufdfa", "\ufefb", "\ufe8d\ufedf", "\ufb56", "\ufdf2"),
    *texts(69, "٣ أو ۳ أو 3", "٣", "۱۲۳"),
    *(
        case(f"69 {cell} as label", ONE | {"label": cell}, rejected("label_unrecognised", "label"))
        for cell in ("٣", "۳", "𝟛", "２", "²", "③")
    ),
    case("69 ١ as label is 1", ONE | {"label": "١"}, GOOD),
    case("69 ٤ as rating", {"prompt": "q", "response": "a", "rating": "٤"}, GOOD),
    *texts(70, "جَيِّدٌ", "إلى أنْ يرى آية", "الى ان يري ايه", "القُرْآن", "ٱلرَّحْمَٰن"),
    case("70 in a label", ONE | {"label": "جَيِّد"}, GOOD),
    *texts(71, "x² + ½", "ﬁn", "ｆｕｌｌ", "①", "ℌ", "Å", "x = `a²`"),
    *texts(72, "é", "e\u0301", "آ", "ا\u0653", "각", "\u1100\u1161\u11a8"),
    *texts(73, *between(0xE000, 0xF8FF, 0xFFFF, 0xFFFE, 0xFDD0, 0x0378, 0x1FFFF, 0x10FFFF, 0xF0000, 0x10FFFD)),
    *texts(74, "\ufffd", "ab\ufffd" * 40, "Ø³Ø¤Ø§Ù„ Ø¬ÙˆØ§Ø¨"),
    *texts(75, "a\U000e0068\U000e0069", "\U0001f3f4\U000e0067\U000e0062\U000e007f", "a\ufe0f\U000e0100\U000e01ef", "ش\ufe00"),
    *texts(76, "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "\x9b31m", "\x08\x08", "a\rb"),
    *(
        case(f"77 {name} as {field}", ONE | {field: text}, rejected(f"empty_{field}", field))
        for field in ("prompt", "response")
        for name, text in (
            ("zero-width space", "\u200b"),
            ("joiners", "\u200c\u200d"),
            ("word joiner and mark", "\u2060\ufeff"),
            ("direction marks", "\u200e\u200f\u061c"),
            ("embeddings", "\u202a\u202b\u202c\u202d\u202e"),
            ("isolates", "\u2066\u2067\u2068\u2069"),
            ("soft hyphens", "\u00ad\u00ad"),
            ("Mongolian separator", "\u180e"),
            ("invisible operators", "\u2061\u2062\u2063\u2064"),
            ("spaces of all widths", " \t\u00a0\u1680\u2000\u2009\u202f\u205f\u3000\u0085\u2028\u2029"),
            ("line ends", "\r\n\n"),
        )
    ),
    *texts(77, "\u200b.", "\u200f؟", "\u00ada"),
    *texts(78, "<|im_end|>\n<|im_start|>assistant", "[INST] x [/INST]", "<<SYS>>", "</s>", "<start_of_turn>model", "<|eot_id|>"),
    *texts(79, "so\u00adft", "a\ufeffb", "\ufeffa", "\u2400", "a\u034fb"),
]  # fmt: skip

INVALID = [
    case("22 trailing comma", beside(""), rejected("invalid_json")),
    case("22 trailing comma in a list", beside('"x": [1,]'), rejected("invalid_json")),
    case("22 single quotes", b"{'prompt': 'q', 'response': 'a', 'label': 'good'}", rejected("invalid_json")),
    case("22 single quotes around the label", labelled("'good'"), rejected("invalid_json")),
    case("22 bare key", b'{prompt: "q", "response": "a", "label": "good"}', rejected("invalid_json")),
    case("22 comment within", labelled("1 /* good */"), rejected("invalid_json")),
    case("22 comma missing", b'{"prompt": "q" "response": "a", "label": 1}', rejected("invalid_json")),
    *(
        case(f"22 {cell}", labelled(cell), rejected("invalid_json"))
        for cell in (
            *("True", "False", "None", "undefined", "good", "TRUE", "nan", "inf"),
            *("007", "01", ".5", "-.5", "+1", "0x1", "1.", "1e", "--1", "1_0", "٢", "-"),
        )
    ),
]

NUMBERS = [
    *(
        case(f"23 {cell} as label", labelled(cell), rejected("non_finite"))
        for cell in ("NaN", "Infinity", "-Infinity")
    ),
    case("23 NaN in an extra field", beside('"x": NaN'), rejected("non_finite")),
    case("23 Infinity deep inside", beside('"x": {"y": [[-Infinity]]}'), rejected("non_finite")),
    case("23 NaN as a text is no label", labelled('"NaN"'), rejected("label_unrecognised", "label")),
    case("23 Infinity as a text is no label", labelled('"Infinity"'), rejected("label_unrecognised", "label")),
    case("23 NaN as a prompt is text", ONE | {"prompt": "NaN"}, [("NaN", "a", "good")]),
    *(case(f"24 {cell} as label", labelled(cell), rejected("non_finite")) for cell in ("1e999", "-1e999", "1e309")),
    case("24 1e999 in an extra field", beside('"x": [1e999]'), rejected("non_finite")),
    case("24 the largest double in an extra field", beside('"x": 1.7976931348623157e308'), GOOD),
    *(
        case(f"25 id {number}", beside(f'"id": {number}'), rejected("int_out_of_range"))
        for number in (2**64, -(2**63) - 1, 10**30, 2**64 + 1, 10**308)
    ),
    case("25 huge int in a list", beside('"ids": [1, 18446744073709551616]'), rejected("int_out_of_range")),
    case("25 huge int as label", labelled(str(2**64)), rejected("int_out_of_range")),
    case("25 largest int as label", labelled(str(2**64 - 1)), rejected("label_unrecognised", "label")),
    *(case(f"25 id {number}", beside(f'"id": {number}'), GOOD) for number in (2**64 - 1, 2**63, -(2**63))),
    case("25 huge id as a text", beside(f'"id": "{10**30}"'), GOOD),
    case("26 5,000 digits in an id", beside('"id": ' + "7" * 5000), rejected("non_finite")),
    case("26 5,000 digits, negative", beside('"id": -' + "7" * 5000), rejected("non_finite")),
    case("26 5,000 digits as label", labelled("1" * 5000), rejected("non_finite")),
    case("26 5,000 digits as a text", labelled('"' + "1" * 5000 + '"'), rejected("label_unrecognised", "label")),
    case("26 5,000 digits after the point", labelled("0." + "7" * 5000), GOOD),
]

KEYS = [
    case("27 label true, then false", beside('"label": false'), rejected("duplicate_key", "label")),
    case("27 label twice the same", beside('"label": "good"'), rejected("duplicate_key", "label")),
    case("27 second key escaped", beside('"labe\\u006c": "bad"'), rejected("duplicate_key", "label")),
    case("27 prompt twice", beside('"prompt": "r"'), rejected("duplicate_key", "prompt")),
    case("27 twice in an extra object", beside('"x": {"y": 1, "y": 2}'), rejected("duplicate_key", "y")),
    case(
        "27 role twice in a turn",
        b'{"messages": [{"role": "user", "content": "q"}, {"role": "user", "role": "assistant", "content": "a"}],'
        b' "label": "good"}',
        rejected("duplicate_key", "role"),
    ),
    case(
        "27 escaped quotes do not hide it",
        b'{"prompt": "say \\"x\\"", "response": "a", "label": 1, "label": 0}',
        rejected("duplicate_key", "label"),
    ),
    case("27 one key at two levels", beside('"x": {"label": "bad"}'), GOOD),
    case("27 the text only looks like a key", ONE | {"prompt": '"label": 1'}, [('"label": 1', "a", "good")]),
    *(
        case(f"28 {name}", b'{"prompt": "q%s", "response": "a", "label": 1}' % escape, rejected("lone_surrogate"))
        for name, escape in (
            ("high half", b"\\ud800"),
            ("low half", b"\\udc00"),
            ("the wrong way round", b"\\ude00\\ud83d"),
            ("high half before text", b"\\ud83dx"),
            ("two high halves", b"\\ud83d\\ud83d"),
        )
    ),
    case("28 half in a key", beside('"\\udfff": 1'), rejected("lone_surrogate")),
    case("28 half in the label", labelled('"good\\ud800"'), rejected("lone_surrogate")),
    case("28 both halves", b'{"prompt": "\\ud83d\\ude00", "response": "a", "label": 1}', [("😀", "a", "good")]),
    case("28 escaped backslash before u", ONE | {"prompt": "\\ud800"}, [("\\ud800", "a", "good")]),
    case("29 depth 32", beside(f'"x": {"[" * 31}{"]" * 31}'), GOOD),
    case("29 depth 33", beside(f'"x": {"[" * 32}{"]" * 32}'), rejected("too_deep")),
    case("29 depth 33, objects", beside('"x": ' + '{"y": ' * 32 + "1" + "}" * 32), rejected("too_deep")),
    case("29 20,000 lists", beside(f'"x": {"[" * DEEP}{"]" * DEEP}'), rejected("too_deep")),
    case("29 20,000 lists as the record", b"[" * DEEP + b"]" * DEEP, rejected("too_deep")),
    case("29 20,000 objects", beside('"x": ' + '{"y": ' * DEEP + "1" + "}" * DEEP), rejected("too_deep")),
    case("36 100,000 elements", ONE | {"x": [0] * 100_000}, GOOD),
    case("36 100,001 elements", ONE | {"x": [0] * 100_001}, rejected("too_many_items")),
    case("36 a million elements", ONE | {"x": [0] * 1_000_000}, rejected("too_many_items")),
    case("36 100,001 keys in the record", ONE | {f"k{i}": i for i in range(99_998)}, rejected("too_many_items")),
    case("36 100,001 keys inside", ONE | {"x": {f"k{i}": i for i in range(100_001)}}, rejected("too_many_items")),
    *(
        case(f"37 key {name}", ONE | {key: "bad"}, GOOD)
        for name, key in (
            ("with a dot", "label.value"),
            ("__proto__", "__proto__"),
            ("__class__", "__class__"),
            ("of nothing", ""),
            ("of one megabyte", "k" * 1_000_000),
            ("in capitals", "LABEL"),
            ("with a space", "label "),
            ("of a path", "../../label"),
            ("with a newline", "la\nbel"),
            ("of an Arabic word", "تصنيف"),
            ("of our own making", "response_quality"),
        )
    ),
    case("37 key with an escaped NUL", beside('"label\\u0000": "bad"'), rejected("control_char")),
]

SHAPES = [
    *(
        case(f"30 {text.decode()}", text, rejected("not_an_object"))
        for text in (b"null", b"1", b"-0.5", b"true", b'"good"', b"[]", b"[1, 2]", b'[{"prompt": "q"}]')
    ),
    *(
        case(f"30 {text.decode()}, one format", text, rejected("not_an_object"), formats=["binary"])
        for text in (b"null", b"[]", b'"good"')
    ),
    case("31 {}", {}, rejected("unknown_shape")),
    case("31 {} with one format", {}, rejected("missing_field", "response"), formats=["binary"]),
    case("31 no label, one format", {"prompt": "q", "response": "a"}, rejected("missing_field"), formats=["binary"]),
    case(
        "31 no prompt, one format",
        {"response": "a", "label": 1},
        rejected("missing_field", "prompt"),
        formats=["binary"],
    ),
    *(
        case(f"34 {date}", ONE | {"response": date}, [("q", date, "good")])
        for date in ("2024-01-01", "2024-01-01T00:00:00Z", "12:30", "١٤٤٥/٠١/٠١")
    ),
    *(
        case(f"35 text {text} in {field}", ONE | {field: text}, [tuple((ONE | {field: text}).values())])
        for field in ("prompt", "response")
        for text in ("42", "1e5", "true", "null", "0")
    ),
    *(
        case(f"35 {value} in {field}", ONE | {field: value}, rejected("wrong_type", field))
        for field in ("prompt", "response")
        for value in (42, 0, 1.5, True, False)
    ),
    case("35 number as system", ONE | {"system": 42}, rejected("wrong_type", "system")),
    case(
        "35 number as completion", {"prompt": "q", "completion": 42, "label": 1}, rejected("wrong_type", "completion")
    ),
    case("38 unknown keys", {"question": "q", "answer": "a", "label": 1}, rejected("unknown_shape")),
    case("38 only a label", {"label": "good"}, rejected("unknown_shape")),
    case("38 a pair", {"prompt": "q", "chosen": "a", "rejected": "b"}, [*GOOD, ("q", "b", "bad")]),
    case("38 a dialogue", {"messages": TURNS, "label": False}, BAD),
    case("38 an Arabic rating", {"prompt": "q", "response": "a", "تقييم": "ضعيف"}, BAD),
    case("38 a ranking", {"prompt": "q", "responses": ["b", "a"], "rankings": [2, 1]}, [*GOOD, ("q", "b", "bad")]),
    case("39 prompt null", ONE | {"prompt": None}, rejected("null_field", "prompt")),
    case("39 response null", ONE | {"response": None}, rejected("null_field", "response")),
    case("39 completion null", {"prompt": "q", "completion": None, "label": 1}, rejected("null_field", "completion")),
    case("39 response null beside a completion", ONE | {"response": None, "completion": "b"}, [("q", "b", "good")]),
    case("39 messages null", {"messages": None, "label": 1}, rejected("null_field", "messages")),
    case(
        "39 responses null", {"prompt": "q", "responses": None, "rankings": [1]}, rejected("null_field", "responses")
    ),
    case(
        "39 both sides null",
        {"prompt": "q", "chosen": None, "rejected": None},
        rejected("null_field", "chosen"),
    ),
    case("39 label null is no verdict", ONE | {"label": None}, UNJUDGED),
    case("39 rankings null is no verdict", {"prompt": "q", "responses": ["a", "b"], "rankings": None}, UNJUDGED),
    # files whose lines share one schema, such as those converted from Parquet, name every column on every line
    case("39 columns of a pair null beside a verdict", ONE | {"chosen": None, "rejected": None}, GOOD),
    case("39 columns of a ranking null beside a verdict", ONE | {"responses": None, "rankings": None}, GOOD),
    case("39 Arabic rating null beside a verdict", ONE | {"تقييم": None}, GOOD),
    case(
        "39 verdict and response null beside a pair",
        {"prompt": "q", "response": None, "label": None, "chosen": "a", "rejected": "b"},
        [*GOOD, ("q", "b", "bad")],
    ),
    case(
        "39 prompt and response null beside messages",
        {"prompt": None, "response": None, "messages": TURNS, "label": 1},
        GOOD,
    ),
    case(
        "39 all columns of other layouts null",
        ONE | dict.fromkeys(("chosen", "rejected", "responses", "rankings", "messages", "conversation", "تقييم")),
        GOOD,
    ),
    *(
        case(f"39 {field} null is nothing", ONE | {field: None}, GOOD)
        for field in ("system", "conversation", "tools", "id", "score", "rating", "messages")
    ),
]


@pytest.mark.parametrize(("hostile", "expected", "options"), [*BYTES, *INVALID, *NUMBERS, *KEYS, *SHAPES, *TEXT])
def test_verdict(hostile: Any, expected: Any, options: dict[str, Any], meet_packed: Meet) -> None:
    meet_packed(hostile, expected, **options)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**53 + 1])
def test_case_25_a_huge_id_is_kept_to_the_last_digit(
    number: int, meet: Meet, registry: Registry, tmp_path: Path
) -> None:
    meet(ONE | {"id": number}, GOOD, keep=["id"])
    [sample] = kept_samples(tmp_path / "hostile.jsonl", registry, keep=["id"])
    assert sample["kept"] == {"id": str(number)}


def test_case_38_an_unknown_record_is_told_with_its_keys_and_who_was_asked(meet: Meet) -> None:
    report = meet({"question": "q", "answer": "a", "label": 1}, rejected("unknown_shape"))
    message = report.rejects[0].message
    assert all(f"'{key}'" in message for key in ("question", "answer", "label"))
    assert all(f"{name}: " in message for name in ("binary", "pairwise", "ranking", "conversation", "arabic-rating"))


def test_case_38_what_one_line_is_does_not_depend_on_the_others(meet: Meet) -> None:
    labels: list[Any] = [None, 1, "good", 0.9, [], True, {}]
    for label in labels:
        record = {"prompt": "q", "response": "a", "label": label}
        expected = (
            UNJUDGED if label is None else rejected("label_unrecognised", "label") if label in ([], {}) else GOOD
        )
        meet(record, expected)


def test_case_38_a_record_of_two_layouts_asks_the_user_to_choose(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    path.write_text(json.dumps(ONE) + "\n" + json.dumps(ONE | {"chosen": "a", "rejected": "b"}) + "\n")
    place = rf"^{re.escape(str(path))}:2: .* is claimed by binary and pairwise; choose one under `formats:`"
    with pytest.raises(AmbiguousFormatError, match=place):
        kept_samples(path, registry)
    assert len(kept_samples(path, registry, first=0, formats=["binary"])) == 2


@pytest.mark.parametrize("key", ["label.value", "__proto__", "k" * 1_000_000, "response_quality"])
def test_case_37_a_strange_key_leaves_no_trace(key: str, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(json.dumps(ONE) + "\n" + json.dumps(ONE | {key: 7.5}) + "\n")
    plain, strange = kept_samples(path, registry, first=0)
    assert tuple(strange) == SAMPLE_KEYS
    assert {**strange, "line": 1, "id": plain["id"]} == plain


def test_case_40_extra_fields_are_dropped(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "extra.jsonl"
    path.write_text(json.dumps(ONE | {"id": 7, "meta": {"by": "س"}}) + "\n")
    [sample] = kept_samples(path, registry)
    assert tuple(sample) == SAMPLE_KEYS
    assert sample["kept"] == {}


def test_case_40_extra_fields_are_kept_by_option(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "extra.jsonl"
    path.write_text(json.dumps(ONE | {"id": 7, "meta": {"by": "س", "n": [1, None]}, "who": "س"}) + "\n")
    [sample] = kept_samples(path, registry, keep=["meta", "id", "who", "absent"])
    assert sample["kept"] == {"meta": '{"by":"س","n":[1,null]}', "id": "7", "who": "س", "absent": ""}


def kept_samples(path: Path, registry: Registry, first: int = -1, **options: Any) -> list[dict[str, Any]]:
    """The samples of a file from one on."""
    config = KTODataConfig(
        train_file=path, balance_labels=False, min_samples_per_label=0, require_both_labels=False, **options
    )
    return list(KTODataLoader(config, enable_cache=False, registry=registry).load_dataset("train"))[first:]


ARRAY = [ONE, ONE | {"label": "bad"}, {"prompt": "q", "chosen": "b", "rejected": "c"}]


@pytest.mark.parametrize("indent", [None, 2], ids=["on one line", "pretty-printed"])
@pytest.mark.parametrize("name", ["array.jsonl", "array.json"])
def test_case_32_an_array_of_records_is_read_as_one(
    name: str, indent: int | None, registry: Registry, tmp_path: Path
) -> None:
    path, lines = tmp_path / name, tmp_path / "lines.jsonl"
    path.write_text(json.dumps(ARRAY, indent=indent))
    lines.write_text("".join(json.dumps(record) + "\n" for record in ARRAY))
    found, wanted = (kept_samples(one, registry, first=0) for one in (path, lines))
    assert [sample["id"] for sample in found] == [sample["id"] for sample in wanted]
    assert [sample["label"] for sample in found] == ["good", "bad", "good", "bad"]


@pytest.mark.parametrize("count", [1, 30])
def test_case_33_objects_over_several_lines_are_refused_with_a_hint(
    count: int, registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "pretty.jsonl"
    path.write_text("".join(json.dumps(ONE, indent=2) + "\n" for _ in range(count)))
    with pytest.raises(SourceError, match=re.escape("write one JSON value per line")) as caught:
        kept_samples(path, registry)
    assert caught.value.code == "wrong_format"


def test_case_33_one_object_over_several_lines_costs_its_lines(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "pretty.jsonl"
    good, bad = json.dumps(ONE), json.dumps(ONE | {"label": "bad"})
    pretty = json.dumps(ONE, indent=2)
    path.write_text(f"{good}\n{bad}\n{pretty}\n{bad}\n{good}\n")
    config = KTODataConfig(train_file=path, balance_labels=False, min_samples_per_label=0)
    loader = KTODataLoader(config, enable_cache=False, registry=registry)
    assert [sample["line"] for sample in loader.load_dataset("train")] == [1, 2, 8, 9]
    loader.report.check()
    assert [reject.line for reject in loader.report.rejects] == [3, 4, 5, 6, 7]


PACK: dict[str, Callable[[bytes], bytes]] = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, 1),
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
packed = pytest.mark.parametrize("pack", PACK)
SECOND = json.dumps(ONE | {"prompt": "r", "label": "bad"}).encode()


@pytest.fixture
def read_file(tmp_path: Path, registry: Registry, bounded: None) -> ReadFile:
    """Load a file of these bytes; its samples and its report."""

    def read(data: bytes, pack: str = "plain", **options: Any) -> tuple[list[dict[str, Any]], Report]:
        path = tmp_path / "file.jsonl"
        path.write_bytes(PACK[pack](data))
        values = {"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False, **options}
        loader = KTODataLoader(KTODataConfig(train_file=path, **values), enable_cache=False, registry=registry)
        samples = list(loader.load_dataset("train"))
        loader.report.check()
        return samples, loader.report

    return read


def lines_of(samples: list[dict[str, Any]]) -> list[int]:
    return [sample["line"] for sample in samples]


def rejects_of(report: Report) -> list[tuple[int, str]]:
    return [(reject.line, reject.reason) for reject in report.rejects]


@packed
def test_case_04_a_mark_at_the_start_is_stripped_and_counted(pack: str, read_file: ReadFile) -> None:
    samples, report = read_file(BOM + LINE + b"\n" + SECOND, pack)
    assert lines_of(samples) == [1, 2]
    assert report.total.notices == {"bom_stripped": 1}


@packed
def test_case_05_marks_between_concatenated_files_are_stripped_and_counted(pack: str, read_file: ReadFile) -> None:
    samples, report = read_file((BOM + LINE + b"\n" + SECOND + b"\n") * 3, pack)
    assert lines_of(samples) == [1, 2, 3, 4, 5, 6]
    assert report.total.notices == {"bom_stripped": 3}


def test_case_05_one_mark_is_stripped_and_a_second_is_no_json(read_file: ReadFile) -> None:
    samples, report = read_file(LINE + b"\n" + BOM * 2 + SECOND + b"\n" + SECOND)
    assert lines_of(samples) == [1, 3]
    assert rejects_of(report) == [(2, "invalid_json")]


WIDE = ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "utf-32-le", "utf-32-be")


@packed
@pytest.mark.parametrize("encoding", WIDE)
def test_case_06_a_wide_encoding_is_refused(encoding: str, pack: str, read_file: ReadFile) -> None:
    text = (LINE + b"\n" + SECOND + b"\n").decode() * 20
    with pytest.raises(SourceError, match="UTF-16 or UTF-32") as caught:
        read_file(text.encode(encoding), pack)
    assert caught.value.code == "wrong_encoding"


@packed
@pytest.mark.parametrize(("encoding", "text"), [("latin-1", "é"), ("cp1256", "جيد"), ("cp1252", "“ô”")])
@pytest.mark.parametrize("share", [1, 5])
def test_case_07_a_file_in_another_encoding_is_refused(
    share: int, encoding: str, text: str, pack: str, read_file: ReadFile
) -> None:
    damaged = json.dumps(ONE | {"prompt": text}, ensure_ascii=False).encode(encoding)
    lines = [damaged if number % share == 0 else LINE for number in range(400)]
    with pytest.raises(SourceError, match=r"not UTF-8.*save it as UTF-8") as caught:
        read_file(b"\n".join(lines), pack, on_error="skip")
    assert caught.value.code == "wrong_encoding"


@packed
def test_case_07_a_tenth_of_the_lines_costs_themselves(pack: str, read_file: ReadFile) -> None:
    damaged = asked("جيد".encode("cp1256"))
    lines = [damaged if number % 10 == 9 else LINE for number in range(400)]
    samples, report = read_file(b"\n".join(lines) + b"\n", pack)
    assert len(samples) == 360
    assert report.total.rejected == {"invalid_utf8": 40}


def test_case_07_utf_8_cut_by_the_end_of_the_first_mebibyte_is_whole(read_file: ReadFile) -> None:
    for shift in range(4):
        line = json.dumps(ONE | {"prompt": "x" * shift + "😀" * (1 << 18)}, ensure_ascii=False).encode()
        samples, report = read_file(line + b"\n" + SECOND, max_prompt_length=1 << 20)
        assert lines_of(samples) == [1, 2]
        assert not report.total.rejected


@packed
def test_case_08_a_file_of_crlf_is_read_as_one_of_newlines(pack: str, read_file: ReadFile) -> None:
    samples, report = read_file(LINE + b"\r\n\r\n" + SECOND + b"\r\n", pack)
    assert lines_of(samples) == [1, 3]
    assert report.total.blank == 1


@packed
def test_case_09_lone_carriage_returns_are_refused_with_a_hint(pack: str, read_file: ReadFile) -> None:
    with pytest.raises(SourceError, match=r"lone carriage return.*tr '") as caught:
        read_file(b"\r".join([LINE, SECOND] * 20), pack)
    assert caught.value.code == "wrong_format"


@packed
def test_case_14_blank_lines_are_counted(pack: str, read_file: ReadFile) -> None:
    blanks = [b"", b" ", b"\t", b"\r", b" \t \r", b"\x0b\x0c"]
    samples, report = read_file(b"\n".join([b"", LINE, *blanks, SECOND, b"", b" "]), pack)
    assert lines_of(samples) == [2, 9]
    assert (report.total.lines, report.total.blank) == (11, 9)


@packed
@pytest.mark.parametrize("end", [b"", b"\r", b" "], ids=["nothing", "CR", "blank"])
def test_case_15_the_last_record_needs_no_newline(end: bytes, pack: str, read_file: ReadFile) -> None:
    samples, report = read_file(LINE + b"\n" + SECOND + end, pack)
    assert lines_of(samples) == [1, 2]
    assert report.total.lines == 2


@packed
@pytest.mark.parametrize("cut", range(1, len(SECOND)))
def test_case_16_a_record_cut_by_the_end_is_rejected_as_such(cut: int, pack: str, read_file: ReadFile) -> None:
    data = LINE + b"\n" + SECOND[:cut]
    samples, report = read_file(data, pack)
    assert lines_of(samples) == [1]
    [reject] = report.rejects
    assert (reject.line, reject.offset, reject.reason) == (2, len(LINE) + 1, "truncated_tail")
    if cut == 1:
        with pytest.raises(KTODataError, match=r":2: .*copy it again.*\[truncated_tail\]$"):
            read_file(data, pack, on_error="fail")


LONG = b'{"prompt": "' + b"q" * (64 << 20) + b'"}'


@pytest.mark.parametrize(("pack", "at"), [("plain", 0), ("plain", 1), ("plain", 2), ("gz", 1), ("zst", 1)])
def test_case_17_a_line_over_the_limit_costs_itself_and_bounded_memory(
    pack: str, at: int, read_file: ReadFile
) -> None:
    lines = [LINE, SECOND]
    lines.insert(at, LONG)
    samples, report = read_file(b"\n".join(lines) + b"\n", pack)
    assert lines_of(samples) == [number for number in (1, 2, 3) if number != at + 1]
    assert rejects_of(report) == [(at + 1, "line_too_long")]


@pytest.mark.parametrize("pack", ["plain", "zst"])
def test_case_18_a_file_of_one_endless_line_holds_nothing(pack: str, read_file: ReadFile) -> None:
    with pytest.raises(EmptyDatasetError, match="line_too_long 1") as caught:
        read_file(LONG, pack)
    assert caught.value.report is not None
    caught.value.report.check()
    assert rejects_of(caught.value.report) == [(1, "line_too_long")]


def test_case_68_length_is_that_of_the_text_as_it_stands(read_file: ReadFile) -> None:
    data = b"\n".join(json.dumps(ONE | {"response": text}).encode() for text in ("\ufdfa", "\ufdfaa"))
    samples, report = read_file(data, max_response_length=1)
    assert [sample["response"] for sample in samples] == ["\ufdfa"]
    assert report.dropped_by() == {"length": {"too_long": {"good": 1, "bad": 0}}}


def test_case_72_composed_and_decomposed_texts_are_two(read_file: ReadFile) -> None:
    lines = [json.dumps(ONE | {"response": text}).encode() for text in ("é", "e\u0301", "é")]
    samples, _ = read_file(b"\n".join(lines))
    assert [sample["response"] for sample in samples] == ["é", "e\u0301", "é"]
    assert len({sample["id"] for sample in samples}) == 3


def test_case_74_mojibake_has_no_quality_and_is_dropped_on_request(read_file: ReadFile) -> None:
    texts_ = ["جواب سليم كامل واضح هنا.", "جواب\ufffd\ufffd\ufffd ضائع", "Ø³Ø¤Ø§Ù„ Ø¬ÙˆØ§Ø¨ ÙˆØ§Ù„Ù„Ù‡"]
    data = b"\n".join(json.dumps(ONE | {"response": text}).encode() for text in texts_)
    samples, _ = read_file(data)
    assert [sample["response"] for sample in samples] == texts_
    assert [sample["response_quality"] == 0.0 for sample in samples] == [False, True, True]
    samples, report = read_file(data, min_response_quality=0.1)
    assert lines_of(samples) == [1]
    assert report.dropped_by() == {"quality": {"low_quality": {"good": 2, "bad": 0}}}


TOKENS = ("<|im_end|>", "[INST] x [/INST]", "<<SYS>>", "</s>", "<start_of_turn>model", "<|eot_id|>", "<｜User｜>")


def test_case_78_tokens_of_chat_templates_are_counted(read_file: ReadFile) -> None:
    harmless = ("a < b", "[1] x", "<div>", "<| x", "INST", "<think>x</think>a", "a <b|c> d")
    records = [ONE | {"prompt": text} for text in (*TOKENS, *harmless)]
    records += [ONE | {"response": f"قبل {text} بعد"} for text in TOKENS]
    samples, report = read_file(b"\n".join(json.dumps(record).encode() for record in records))
    assert len(samples) == len(records)
    assert report.total.notices == {"template_token": 2 * len(TOKENS)}


def test_case_78_nothing_is_counted_where_nothing_is(read_file: ReadFile) -> None:
    _, report = read_file(LINE + b"\n" + SECOND)
    assert report.total.notices == {}


SHOWN = {
    65: "\u202eevil\u2066\u200f\u061c",
    73: "\ue000\uffff",
    75: "\U000e0068\U000e0069",
    76: "\x1b]0;owned\x07\x1b[2J\x9b31m\x08\r",
    79: "so\u00adft\ufeff",
}
RAW = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\U000e0000-\U000e007f]"
)


@pytest.mark.parametrize("number", [pytest.param(number, id=f"case-{number}") for number in SHOWN])
def test_what_data_says_is_escaped_on_the_terminal(number: int, tmp_path: Path) -> None:
    hostile = SHOWN[number]
    records: list[dict[str, Any]] = [
        {"prompt": hostile, "response": hostile + "a", "label": "good", hostile: 1},
        {"prompt": "q", "response": "b", "label": hostile},
        {"prompt": "q", "response": "b", "label": "bad"},
        {hostile: hostile},
    ]
    path = tmp_path / "hostile.jsonl"
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    for command in (["inspect", str(path)], ["convert", str(path), "-o", str(tmp_path / "o.jsonl"), "--no-cache"]):
        done = subprocess.run(
            [sys.executable, "-m", "ktoformats.cli.main", *command], capture_output=True, check=False, timeout=120
        )
        said = (done.stdout + done.stderr).decode()
        assert not RAW.search(said), command
        assert "Traceback" not in said
    rows = [json.loads(line) for line in (tmp_path / "o.jsonl").read_bytes().split(b"\n") if line]
    assert hostile in {row["prompt"] for row in rows}


BLOCKS: list[list[dict[str, Any]]] = [
    [ONE | {"prompt": f"n{i}", "label": i % 2, "x": i} for i in range(20)],
    [ONE | {"prompt": f"t{i}", "label": ("yes", "no")[i % 2], "x": f"2024-01-{i + 1:02}"} for i in range(20)],
    [{"prompt": [{"role": "user", "content": f"m{i}"}], "completion": [TURNS[1]], "label": i % 2 == 0, "x": [i, None]} for i in range(20)],
    [{"prompt": f"p{i}", "chosen": "a", "rejected": "b", "label": None, "x": {"y": i}} for i in range(20)],
]  # fmt: skip


def test_case_38_all_orders_of_blocks_of_mixed_types_give_the_same_samples(read_file: ReadFile) -> None:
    found = set()
    for order in itertools.permutations(BLOCKS):
        data = b"".join(json.dumps(record).encode() + b"\n" for block in order for record in block)
        samples, report = read_file(data)
        assert not report.rejects
        assert len(samples) == 100
        found.add(tuple(sorted(json.dumps({**one, "line": 0}, sort_keys=True) for one in samples)))
    assert len(found) == 1
