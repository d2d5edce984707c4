"""Texts made to keep a pattern busy: a megabyte of each costs what a megabyte of prose costs.

A pattern that looks again from every place would take hours for one of these, and run into the time limit.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats.convert.policy import _without_thoughts
from ktoformats.plugin.lexicon import normalize_label, read_grade, read_score

if TYPE_CHECKING:
    from collections.abc import Callable

MEGABYTE = 1_000_000
UNITS = (
    *("a", " ", "0", "1.", "١", "/", "%", "من ", "نجمه ", "-", "ـ", "لا ", "not ", "😀", "\u0300", "\ufdfa"),
    *(
        "<think>",
        "</think><think>",
        "<|",
        "<|im_",
        "[INST",
        "<｜",
        "\n\nHuman: ",
        "\n\nHuman:\n\nAssistant:",
        "User: ",
    ),
    *("http://", "www.", '\\"', "{", "[", '{"a":', "\t\n ", "\u202e", "2024-01-01", "a b"),
)


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", UNITS)
def test_a_long_text_is_read_in_time(unit: str, load: Callable[..., Any]) -> None:
    text = (unit * (MEGABYTE // len(unit)))[:MEGABYTE]
    record = {"prompt": text, "response": text, "label": "good"}
    samples, loader = load(
        [record, record | {"label": text}, {"prompt": "p", "response": "r", "label": "bad"}],
        reasoning="strip",
        max_prompt_length=2 * MEGABYTE,
        max_response_length=2 * MEGABYTE,
        on_error="skip",
    )
    total = loader.report.total
    assert total.lines == 3 == total.used + total.rejected.total() + total.without_verdict.total()
    assert samples[-1]["response"] == "r"


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", UNITS)
def test_a_long_verdict_is_read_in_time(unit: str) -> None:
    text = unit * (MEGABYTE // len(unit))
    assert read_score(text) is None
    assert read_grade(text) is None
    folded = normalize_label(text[: MEGABYTE // 20])
    assert normalize_label(folded) == folded


def test_thoughts_are_taken_out_as_an_expression_would() -> None:
    expression = re.compile(r"<think>.*?</think>\s*", re.DOTALL)
    dice = random.Random(3)
    words = ("<think>", "</think>", " ", "\n", "a", "<", "ب")
    for _ in range(3000):
        text = "".join(dice.choices(words, k=dice.randrange(14)))
        assert _without_thoughts(text) == expression.sub("", text)
