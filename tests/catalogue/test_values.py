"""Rows 22 to 40 of the catalogue of bad input: JSON values."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import SAMPLE_KEYS, AmbiguousFormatError, KTODataConfig, KTODataLoader, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from ktoformats import Registry, Report

    Meet = Callable[..., Report]

ONE = {"prompt": "q", "response": "a", "label": "good"}
GOOD = [("q", "a", "good")]
BAD = [("q", "a", "bad")]
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]


def case(name: str, hostile: Any, expected: Any, **options: Any) -> ParameterSet:
    return pytest.param(hostile, expected, options, id=name)


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


@pytest.mark.parametrize(("hostile", "expected", "options"), [*INVALID, *NUMBERS, *KEYS, *SHAPES])
def test_verdict(hostile: Any, expected: Any, options: dict[str, Any], meet: Meet) -> None:
    meet(hostile, expected, **options)


@pytest.mark.parametrize("number", [2**64 - 1, -(2**63), 2**53 + 1])
def test_row_25_a_huge_id_is_kept_to_the_last_digit(
    number: int, meet: Meet, registry: Registry, tmp_path: Path
) -> None:
    meet(ONE | {"id": number}, GOOD, keep=["id"])
    [sample] = kept_samples(tmp_path / "hostile.jsonl", registry, keep=["id"])
    assert sample["kept"] == {"id": str(number)}


def test_row_38_an_unknown_record_is_told_with_its_keys_and_who_was_asked(meet: Meet) -> None:
    report = meet({"question": "q", "answer": "a", "label": 1}, rejected("unknown_shape"))
    message = report.rejects[0].message
    assert all(f"'{key}'" in message for key in ("question", "answer", "label"))
    assert all(f"{name}: " in message for name in ("binary", "pairwise", "ranking", "conversation", "arabic-rating"))


def test_row_38_what_one_line_is_does_not_depend_on_the_others(meet: Meet) -> None:
    labels: list[Any] = [None, 1, "good", 0.9, [], True, {}]
    for label in labels:
        record = {"prompt": "q", "response": "a", "label": label}
        expected = (
            UNJUDGED if label is None else rejected("label_unrecognised", "label") if label in ([], {}) else GOOD
        )
        meet(record, expected)


def test_row_38_a_record_of_two_layouts_asks_the_user_to_choose(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "both.jsonl"
    path.write_text(json.dumps(ONE) + "\n" + json.dumps(ONE | {"chosen": "a", "rejected": "b"}) + "\n")
    place = rf"^{re.escape(str(path))}:2: .* is claimed by binary and pairwise; choose one under `formats:`"
    with pytest.raises(AmbiguousFormatError, match=place):
        kept_samples(path, registry)
    assert len(kept_samples(path, registry, first=0, formats=["binary"])) == 2


@pytest.mark.parametrize("key", ["label.value", "__proto__", "k" * 1_000_000, "response_quality"])
def test_row_37_a_strange_key_leaves_no_trace(key: str, registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "keys.jsonl"
    path.write_text(json.dumps(ONE) + "\n" + json.dumps(ONE | {key: 7.5}) + "\n")
    plain, strange = kept_samples(path, registry, first=0)
    assert tuple(strange) == SAMPLE_KEYS
    assert {**strange, "line": 1, "id": plain["id"]} == plain


def test_row_40_extra_fields_are_dropped(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "extra.jsonl"
    path.write_text(json.dumps(ONE | {"id": 7, "meta": {"by": "س"}}) + "\n")
    [sample] = kept_samples(path, registry)
    assert tuple(sample) == SAMPLE_KEYS
    assert sample["kept"] == {}


def test_row_40_extra_fields_are_kept_by_option(registry: Registry, tmp_path: Path) -> None:
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
def test_row_32_an_array_of_records_is_read_as_one(
    name: str, indent: int | None, registry: Registry, tmp_path: Path
) -> None:
    path, lines = tmp_path / name, tmp_path / "lines.jsonl"
    path.write_text(json.dumps(ARRAY, indent=indent))
    lines.write_text("".join(json.dumps(record) + "\n" for record in ARRAY))
    found, wanted = (kept_samples(one, registry, first=0) for one in (path, lines))
    assert [sample["id"] for sample in found] == [sample["id"] for sample in wanted]
    assert [sample["label"] for sample in found] == ["good", "bad", "good", "bad"]


@pytest.mark.parametrize("count", [1, 30])
def test_row_33_objects_over_several_lines_are_refused_with_a_hint(
    count: int, registry: Registry, tmp_path: Path
) -> None:
    path = tmp_path / "pretty.jsonl"
    path.write_text("".join(json.dumps(ONE, indent=2) + "\n" for _ in range(count)))
    with pytest.raises(SourceError, match=re.escape("write one JSON value per line")) as caught:
        kept_samples(path, registry)
    assert caught.value.code == "wrong_format"


def test_row_33_one_object_over_several_lines_costs_its_lines(registry: Registry, tmp_path: Path) -> None:
    path = tmp_path / "pretty.jsonl"
    good, bad = json.dumps(ONE), json.dumps(ONE | {"label": "bad"})
    pretty = json.dumps(ONE, indent=2)
    path.write_text(f"{good}\n{bad}\n{pretty}\n{bad}\n{good}\n")
    config = KTODataConfig(train_file=path, balance_labels=False, min_samples_per_label=0)
    loader = KTODataLoader(config, enable_cache=False, registry=registry)
    assert [sample["line"] for sample in loader.load_dataset("train")] == [1, 2, 8, 9]
    loader.report.check()
    assert [reject.line for reject in loader.report.rejects] == [3, 4, 5, 6, 7]
