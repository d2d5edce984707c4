from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats_plugins.quality.specification import (
    Specification,
    arabic_quality,
    informativeness,
    ktoformats_plugins,
)

if TYPE_CHECKING:
    from typing import Any

PIECES = (
    "ما",
    "كيف",
    "متى",
    "أين",
    "لماذا",
    ".",
    " ",
    "\n",
    "\u064b",
    "\u0660",
    "a",
    "b c",
    "م",
    "ا",
    "\x00",
    "😀",
)
TEXTS = st.one_of(st.text(), st.lists(st.sampled_from(PIECES), max_size=40).map("".join))


class SpecificationCode:
    """The methods as the specification writes them."""

    def _calculate_arabic_quality(self, text: str) -> float:
        score = 0.0
        arabic_chars = sum(1 for c in text if "\u0600" <= c <= "\u06ff")
        if arabic_chars > 0:
            score += 0.3
        diacritics = sum(1 for c in text if "\u064b" <= c <= "\u065f")
        if diacritics > 0:
            score += 0.2
        sentences = text.split(".")
        if len(sentences) > 1:
            score += 0.3
        if any(word in text for word in ["ما", "كيف", "لماذا", "أين", "متى"]):
            score += 0.2
        return min(score, 1.0)

    def quality(self, response: str) -> float:
        length_score = min(len(response) / 100, 1.0)
        arabic_score = self._calculate_arabic_quality(response)
        return (length_score + arabic_score + min(len(set(response.split())) / 20, 1)) / 3


def score(*responses: str) -> list[float]:
    batch = pa.record_batch({"response": pa.array(responses, pa.large_string())})
    scores: list[float] = Specification().score(batch).tolist()
    return scores


def test_real_answers_score_as_the_specification_scores_them(answers: list[Any]) -> None:
    texts = [answer.text for answer in answers]
    expected = [SpecificationCode().quality(text) for text in texts]
    assert score(*texts) == expected
    assert len(set(expected)) > 10


@settings(deadline=None)  # the first call loads what the others find
@given(st.lists(TEXTS, max_size=8))
def test_any_texts_score_as_the_specification_scores_them(texts: list[str]) -> None:
    assert score(*texts) == [SpecificationCode().quality(text) for text in texts]
    assert [arabic_quality(text) for text in texts] == [
        SpecificationCode()._calculate_arabic_quality(text) for text in texts
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", 0.0),
        ("hello", 0.0),
        ("نعم", 0.3),
        ("كيف", 0.5),
        ("شكرًا", 0.5),
        ("3.5", 0.3),
        ("ما هذا؟ شكرًا.", 1.0),
    ],
)
def test_arabic_quality_of_known_texts(text: str, expected: float) -> None:
    assert arabic_quality(text) == pytest.approx(expected)


def test_informativeness_counts_distinct_words_up_to_twenty() -> None:
    assert informativeness("") == 0.0
    assert informativeness("نعم نعم\nلا") == 0.1
    assert informativeness(" ".join(map(str, range(21)))) == 1.0


def test_an_empty_response_scores_zero_and_an_empty_batch_nothing() -> None:
    assert score("") == [0.0]
    assert score() == []


def test_the_module_names_one_plugin() -> None:
    assert ktoformats_plugins() == [Specification]
