"""The numbers beside the samples are those that one would count by hand, and filters see in them what texts say."""

from __future__ import annotations

import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats.feedback import NUMBERS, SCHEMA
from ktoformats.store.numbers import FACTS, hex_numbers, numbers_of, seen_by, to_arrow, to_numpy
from ktoformats_plugins.filters.length import Length
from ktoformats_plugins.filters.quality import QualityBound
from ktoformats_plugins.filters.utility import UtilityBound

if TYPE_CHECKING:
    from ktoformats import Filter

MASK = 2**64 - 1
BLANKS = [chr(code) for code in range(sys.maxunicode + 1) if chr(code).isspace()]
ALIKE = [chr(code) for code in (0x7F, 0xA1, 0x200B, 0x2060, 0x2800, 0x3001, 0xFEFF, 0x640, 0x1F9EA, 0xE9, 0x1681)]
"""Characters whose bytes begin or end as those of white space do."""

texts = st.lists(st.sampled_from([*BLANKS, *ALIKE, "", "a", "نص"]), max_size=6).map("".join) | st.text(max_size=8)
scores = st.sampled_from([0.0, -0.0, 0.5, 1.0, -2.25]) | st.floats(allow_nan=False, width=64)
digits = st.binary(min_size=16, max_size=16).map(bytes.hex)
rows = st.fixed_dictionaries(
    {
        "id": digits,
        "prompt": texts,
        "response": texts,
        "label": st.sampled_from(["good", "bad"]),
        "tool_calls": st.sampled_from(["", "[{}]", " "]),
        "response_quality": scores,
        "utility_score": scores,
        "group": st.binary(min_size=8, max_size=8).map(bytes.hex),
        "line": st.integers(0, 2**62),
        "fact": st.sampled_from([*FACTS, "unjudged", ""]),
        "cell": st.sampled_from(["", "0", '"x"']),
        "pair": st.just("") | st.binary(min_size=8, max_size=8).map(bytes.hex),
        "origin": st.binary(min_size=8, max_size=8).map(bytes.hex),
    }
)


def batch_of(some: list[dict[str, Any]]) -> pa.RecordBatch:
    empty: dict[str, Any] = {one.name: "" for one in SCHEMA}
    empty |= {"conversation": [], "weight": 1.0, "position": None, "rank": None}
    return pa.RecordBatch.from_pylist([empty | one for one in some], SCHEMA)


def hashed(text: str, more: str = "") -> int:
    """The first 64 bits of the SHA-256 of a text, and SplitMix64's step over it and another one where there is one."""
    digest = int.from_bytes(sha256(text.encode()).digest()[:8], "little")
    if not more:
        return digest
    z = (digest ^ hashed(more)) + 0x9E3779B97F4A7C15 & MASK
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ z >> 27) * 0x94D049BB133111EB & MASK
    return z ^ z >> 31


def by_hand(one: dict[str, Any]) -> dict[str, Any]:
    return {
        "key": int(one["id"][:16], 16),
        "group": int(one["group"], 16),
        "origin": int(one["origin"], 16),
        "pair": int(one["pair"] or "0", 16),
        "asked": hashed(one["prompt"]),
        "answer": hashed(one["response"], one["tool_calls"]),
        "good": int(one["label"] == "good"),
        "fact": FACTS.index(one["fact"]) if one["fact"] in FACTS else 255,
        "has_cell": int(one["cell"] != ""),
        "has_tool_calls": int(one["tool_calls"] != ""),
        "response_quality": one["response_quality"],
        "utility_score": one["utility_score"],
        "prompt_length": len(one["prompt"]),
        "response_length": len(one["response"]),
        "prompt_text_length": len(one["prompt"].strip()),
        "response_text_length": len(one["response"].strip()),
        "line": one["line"],
    }


@settings(deadline=None, max_examples=150)
@given(st.lists(rows, max_size=12), st.integers(0, 5), st.integers(0, 12))
def test_numbers_are_those_counted_by_hand(some: list[dict[str, Any]], start: int, length: int) -> None:
    """Of a whole batch, and of a slice of it: an empty one, one that begins later, one that ends earlier."""
    whole = batch_of(some)
    for batch, own in ((whole, some), (whole.slice(start, length), some[start : start + length])):
        found = numbers_of(batch)
        assert found.schema.equals(NUMBERS)
        assert found.to_pylist() == [by_hand(one) for one in own]


@settings(deadline=None)
@given(st.lists(rows, max_size=5), st.lists(st.sampled_from(NUMBERS.names), min_size=1, unique=True))
def test_only_what_is_asked_for_is_counted(some: list[dict[str, Any]], names: list[str]) -> None:
    found = numbers_of(batch_of(some), names)
    assert found.schema.names == names
    assert found.to_pylist() == [{name: by_hand(one)[name] for name in names} for one in some]


def test_every_white_space_is_known_at_both_ends() -> None:
    """Every character that Python or Arrow trims, alone, before, behind and around texts of one to four bytes."""
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    by_arrow = pc.equal(pc.utf8_length(pc.utf8_trim_whitespace(pa.array(every, pa.large_string()))), 0)
    assert [one for one, blank in zip(every, by_arrow.to_pylist(), strict=True) if blank] == BLANKS
    cases = [
        before + text + behind
        for text in ("", "a", "é", "अ", "𝒳", "\u200b", "a b")
        for before in ("", *BLANKS)
        for behind in ("", *BLANKS)
    ]
    found = numbers_of(batch_of([{"prompt": one, "response": one, "line": 1, **NOTHING} for one in cases]))
    assert to_numpy(found.column("prompt_text_length")).tolist() == [len(one.strip()) for one in cases]
    assert to_numpy(found.column("response_length")).tolist() == [len(one) for one in cases]


NOTHING: dict[str, Any] = {"response_quality": 0.5, "utility_score": 0.0}


def test_no_other_character_is_taken_for_white_space() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1) if not 0xD800 <= code < 0xE000]
    column = pa.array([f"{one}x{one}" for one in every], pa.large_string())
    others = [pa.repeat(pa.scalar("", one.type), len(every)) for one in SCHEMA if one.name == "response"]
    batch = pa.RecordBatch.from_arrays([column, *others], names=["prompt", "response"])
    lengths = to_numpy(numbers_of(batch, ["prompt_text_length"]).column(0))
    assert lengths.tolist() == [1 if one in BLANKS else 3 for one in every]


@settings(deadline=None)
@given(
    st.integers(8, 20).flatmap(
        lambda width: st.lists(st.just("") | st.binary(min_size=width, max_size=width).map(bytes.hex), max_size=20)
    ),
    st.integers(0, 20),
    st.integers(0, 20),
)
def test_digits_are_numbers_and_nothing_is_zero(some: list[str], start: int, length: int) -> None:
    column = pa.array(some, pa.string()).slice(start, length)
    expected = [int(one[:16] or "0", 16) for one in some[start : start + length]]
    found = hex_numbers(column)
    assert found.dtype == np.uint64
    assert found.tolist() == expected


@pytest.mark.parametrize(
    "column",
    [
        pa.array([], pa.string()),
        pa.array(["00" * 8], pa.string()).slice(1),
        pa.array(["00" * 8], pa.string()).slice(0, 0),
        pa.array(["", ""], pa.string()),
        pa.concat_arrays([pa.array([], pa.string()), pa.array([], pa.string())]),
        pa.Array.from_buffers(pa.string(), 0, [None, pa.py_buffer(b""), pa.py_buffer(b"")]),
        SCHEMA.empty_table().column("pair").combine_chunks(),
    ],
)
def test_a_column_without_digits(column: pa.Array) -> None:
    assert hex_numbers(column).tolist() == [0] * len(column)


KINDS = [np.uint8, np.int32, np.uint32, np.int64, np.uint64, np.float64]


@settings(deadline=None)
@given(st.sampled_from(KINDS), st.lists(st.integers(0, 255), max_size=30), st.integers(0, 30), st.integers(0, 30))
def test_arrays_come_back_as_they_went(kind: Any, values: list[int], start: int, length: int) -> None:
    array = np.array(values, kind)
    for own in (array, array[start : start + length], array[::-2]):
        arrow = to_arrow(own)
        assert arrow.type.to_pandas_dtype() is kind
        assert arrow.to_pylist() == own.tolist()
        back = to_numpy(arrow)
        assert back.dtype == own.dtype
        assert back.tolist() == own.tolist()
    sliced = pa.array(values, pa.from_numpy_dtype(kind)).slice(start, length)
    assert to_numpy(sliced).tolist() == values[start : start + length]


def test_arrays_are_not_copied_on_the_way() -> None:
    array = np.arange(100)
    back = to_numpy(to_arrow(array[10:90]).slice(5))
    array[20] = -1
    assert back[5] == -1


bounds = st.fixed_dictionaries(
    {
        "min_prompt_length": st.integers(0, 4),
        "max_prompt_length": st.integers(1, 6),
        "min_response_length": st.integers(0, 4),
        "max_response_length": st.integers(1, 6),
    }
)


def too_short(one: dict[str, Any], bound: dict[str, int]) -> bool:
    """Minima count a text without the white space around it; who only calls a tool has none to measure."""
    short = len(one["response"].strip()) < bound["min_response_length"] and not one["tool_calls"]
    return short or len(one["prompt"].strip()) < bound["min_prompt_length"]


def too_long(one: dict[str, Any], bound: dict[str, int]) -> bool:
    """Maxima count all of it."""
    return len(one["prompt"]) > bound["max_prompt_length"] or len(one["response"]) > bound["max_response_length"]


def masks_of(one: Filter, batch: pa.RecordBatch) -> dict[str, list[bool]]:
    """For each reason which rows are dropped."""
    found: dict[str, Any] = {}
    for reason, mask in one.drops(seen_by(one, batch)):
        found[reason] = found.get(reason, False) | np.asarray(mask, bool)
    return {reason: mask.tolist() for reason, mask in found.items()}


@settings(deadline=None)
@given(st.lists(rows, max_size=12), bounds)
def test_lengths_are_judged_as_texts_would_be(some: list[dict[str, Any]], bound: dict[str, int]) -> None:
    assert masks_of(Length(**bound), batch_of(some)) == {
        "too_short": [too_short(one, bound) for one in some],
        "too_long": [too_long(one, bound) for one in some],
    }


limits = st.none() | scores


@settings(deadline=None)
@given(st.lists(rows, max_size=12), limits, limits, limits, st.booleans())
def test_scores_are_judged_as_samples_would_be(
    some: list[dict[str, Any]], quality: float | None, low: float | None, high: float | None, asked: Any
) -> None:
    batch = batch_of(some)
    dropped = masks_of(QualityBound(min_response_quality=quality), batch)
    assert dropped == (
        {} if quality is None else {"low_quality": [one["response_quality"] < quality for one in some]}
    )
    utility = UtilityBound(min_utility_threshold=low, max_utility_threshold=high, filter_low_utility=asked)
    expected = {}
    if asked and low is not None:
        expected["low_utility"] = [one["utility_score"] < low for one in some]
    if asked and high is not None:
        expected["high_utility"] = [one["utility_score"] > high for one in some]
    assert masks_of(utility, batch) == expected


def test_an_answer_that_only_calls_a_tool_is_not_too_short() -> None:
    some = [{"prompt": "p", "response": " ", "tool_calls": calls, "line": 1, **NOTHING} for calls in ("", "[{}]")]
    assert masks_of(Length(), batch_of(some))["too_short"] == [True, False]


def test_what_was_asked_is_system_turns_prompt_and_tools() -> None:
    """Another bound between two messages, or between two texts, is another question."""
    turn = {"role": "user", "content": "ab", "reasoning": "", "tool_calls": "", "tool_call_id": "", "name": ""}
    one = {"prompt": "p", "response": "r", "line": 1, **NOTHING}
    every = [
        one,
        one | {"prompt": "q"},
        one | {"system": "s"},
        one | {"tools": "s"},
        one | {"system": "s", "tools": "s"},
        one | {"conversation": [turn]},
        one | {"conversation": [turn | {"role": "assistant"}]},
        one | {"conversation": [turn | {"content": "a"}, turn | {"content": "b"}]},
        one | {"conversation": [turn | {"content": ""}, turn]},
        one | {"conversation": [turn, turn | {"content": ""}]},
        one | {"conversation": [turn | {"tool_calls": "ab", "content": ""}]},
    ]
    batch = batch_of(every)
    asked = to_numpy(numbers_of(batch, ["asked"]).column(0)).tolist()
    assert len(set(asked)) == len(every)
    assert to_numpy(numbers_of(batch.slice(5, 4), ["asked"]).column(0)).tolist() == asked[5:9]
    assert len(set(to_numpy(numbers_of(batch, ["answer"]).column(0)).tolist())) == 1
