"""The laws of every plugin of this distribution, and what the sample file comes to."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from ktoformats import KTOLabelError
from ktoformats.testing import FormatLaws, LabelsLaws, PresetLaws, QualityLaws, UtilityLaws

from ktoformats_dialect.labels import DISPUTED, DialectWords

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.testing import Result

SAMPLES = Path(__file__).parents[1] / "samples.jsonl"


class TestFormat(FormatLaws):
    plugin = "dialect"


class TestLabels(LabelsLaws):
    plugin = "dialect"


class TestQuality(QualityLaws):
    plugin = "dialect"


class TestUtility(UtilityLaws):
    plugin = "dialect-linear"


class TestPreset(PresetLaws):
    plugin = "dialect-english"


def test_every_record_of_the_sample_file_is_accounted_for(ktoformats_convert: Callable[..., Result]) -> None:
    records = [json.loads(line) for line in SAMPLES.read_text(encoding="utf-8").splitlines()]
    result = ktoformats_convert(records, formats=["dialect"], quality="dialect", utility="dialect-linear")
    labels = [label for _, _, label in result.triples]
    assert labels == ["good", "bad", "good", "bad", "good", "bad", "good", "bad"]
    assert result.without_verdict == ["neutral", "null_verdict"]
    assert [(reason, field) for reason, field, _ in result.rejected] == [("label_unrecognised", "رأيك")] * 2
    assert len(result.samples) + len(result.without_verdict) + len(result.rejected) == len(records) == 12


@pytest.mark.parametrize("word", DISPUTED)
@pytest.mark.parametrize("dialect", [None, "خليجي", "مصري", "شامي", "مغربي"])
def test_a_disputed_word_is_read_where_a_dialect_settles_it_and_refused_elsewhere(word: str, dialect: Any) -> None:
    words = DialectWords(dialect=dialect)
    if dialect in DISPUTED[word]:
        assert words.read(word) == words.scale.read(DISPUTED[word][dialect])
    else:
        with pytest.raises(KTOLabelError, match="other meanings elsewhere"):
            words.read(word)


def test_a_negated_word_is_never_read_as_the_word() -> None:
    words = DialectWords()
    read = {cell: getattr(words.read(cell), "label", None) for cell in ("حلو", "مش حلو", "مش وحش", "زين", "مب زين")}
    assert read == {"حلو": "good", "مش حلو": "bad", "مش وحش": "", "زين": "good", "مب زين": "bad"}
    with pytest.raises(KTOLabelError, match="is no value of scale 'dialect'"):
        words.read("مب تمام وايد")


@pytest.mark.parametrize(
    ("answer", "quality"),
    [
        ("بس كده", 1.0),
        ("بَسّ كِده", 1.0),  # with vowel marks
        ("بسمة كدهان", 0.0),  # markers are whole words
        ("بس " + "بيت " * 19, 0.5),  # one word in twenty
    ],
)
def test_marker_words_among_words_are_the_quality(
    answer: str, quality: float, ktoformats_convert: Callable[..., Result]
) -> None:
    record = {"السؤال": "كم؟", "الرد": answer, "رأيك": "تمام"}
    [sample] = ktoformats_convert([record], formats=["dialect"], quality="dialect").samples
    assert sample["response_quality"] == pytest.approx(quality)


def test_an_answer_without_arabic_words_is_not_scored(ktoformats_convert: Callable[..., Result]) -> None:
    record = {"السؤال": "كم؟", "الرد": "1945", "رأيك": "تمام"}
    [sample] = ktoformats_convert([record], formats=["dialect"], quality="dialect").samples
    assert (sample["response_quality"], sample["flags"]) == (0.5, "quality_undefined")
