"""The compiled loop counts what the numpy reference counts."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats_plugins.quality import _measures
from ktoformats_plugins.quality._compiled import by_numba
from ktoformats_plugins.quality._measures import Measures, TextCounts, by_numpy

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pytest

PIECES = (
    *"ا بطظØÙéÀ\n\t\r|*#_`>:/w.\\u06fA0\0\u200f\u00a0\u3000\u0640\ufeff\ufffd\U0001f600ﷲ",
    *(
        "كلمة ",
        "كلمة كلمة كلمة كلمة ",
        "word ",
        "\\u0645",
        "\\u06",
        "راااائع ",
        "www.x ",
        "http://x ",
        "```",
        "</think>",
        "<think>",
    ),
)
TEXTS = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


def columns(measures: Measures) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for name, value in measures._asdict().items():
        if isinstance(value, TextCounts):
            out |= {f"{name}.{field}": column.tolist() for field, column in value._asdict().items()}
        else:
            out[name] = value.tolist()
    return out


def array(texts: Sequence[str]) -> pa.Array:
    return pa.array(["cut off", *texts], pa.large_string()).slice(1)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=12))
def test_both_roads_give_the_same_numbers(rows: list[tuple[str, str]]) -> None:
    responses, prompts = (array(side) for side in zip(*rows, strict=True))
    assert columns(by_numba(responses, prompts)) == columns(by_numpy(responses, prompts))


def test_what_is_counted() -> None:
    """Both roads against numbers counted by hand, so that they cannot be wrong together."""
    response = "قال قال قال قال: راااائع! **w** http://x.y ØÙØ \\u0645 ط"
    counts = by_numba(array([response]), array(["قال قال قال"]))
    assert columns(counts) == {
        "response.chars": [42], "response.words": [9], "response.run_words": [1], "response.leads": [2],
        "response.escapes": [1], "response.latin": [2], "response.arabic": [19], "response.high_latin": [0],
        "response.lead": [3], "response.tah": [1], "response.replacement": [0],
        "prompt.chars": [11], "prompt.words": [3], "prompt.run_words": [0], "prompt.leads": [0],
        "prompt.escapes": [0], "prompt.latin": [0], "prompt.arabic": [9], "prompt.high_latin": [0],
        "prompt.lead": [0], "prompt.tah": [0], "prompt.replacement": [0],
        "distinct": [7], "shared": [1],
    }  # fmt: skip


def test_a_repeated_trigram_counts_once_as_distinct_and_each_time_as_shared() -> None:
    responses, prompts = array(["a b c a b c a b c"]), array(["a b c x a b c"])
    for measure in (by_numba, by_numpy):
        counts = measure(responses, prompts)
        assert (counts.distinct.tolist(), counts.shared.tolist()) == ([3], [3])


def test_bytes_that_are_no_utf8_read_nothing_beyond_their_text() -> None:
    """Such arrays are the fault of whoever made them; memory is safe all the same."""
    offsets, data = np.array([0, 3, 6], np.int64), b"ab\xf0cd\xe2"
    texts = pa.LargeStringArray.from_buffers(2, pa.py_buffer(offsets), pa.py_buffer(data))
    assert by_numba(texts, array(["", ""])).response.chars.tolist() == [2, 2]


def test_the_compiled_loop_is_taken_once_there_is_enough_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_measures, "COMPILED_FROM", 3)
    measure = type(_measures.measure)()
    roads = []
    for _ in range(3):
        measure(array(["a", "b"]), array(["", ""]))
        roads.append(measure._count.__name__)
    assert roads == ["by_numpy", "by_numba", "by_numba"]


def test_without_numba_numpy_counts(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(_measures, "COMPILED_FROM", 0)
    monkeypatch.setitem(sys.modules, "ktoformats_plugins.quality._compiled", None)
    measure = type(_measures.measure)()
    with caplog.at_level("INFO", "ktoformats"):
        assert measure(array(["a b"]), array([""])).response.words.tolist() == [2]
    assert "numba cannot be used" in caplog.text
    monkeypatch.setattr(_measures, "find_spec", lambda _: None)
    assert _measures._fastest() is by_numpy
