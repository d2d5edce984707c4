"""The quality formula of the specification's `CustomKTODataLoader`, for results that must match it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc

from ktoformats import Quality, hookimpl

if TYPE_CHECKING:
    import pyarrow as pa

    from ktoformats import Plugin

FULL_LENGTH: Final = 100
"""Characters from which the length counts fully."""
FULL_WORDS: Final = 20
"""Distinct words from which a text counts as fully informative."""
QUESTION_WORDS: Final = ("ما", "كيف", "لماذا", "أين", "متى")

_ARABIC: Final = "[\u0600-\u06ff]"
_DIACRITICS: Final = "[\u064b-\u065f]"


def arabic_quality(text: str) -> float:
    """The specification's `_calculate_arabic_quality`.

    Args:
        text: A response.

    Returns:
        The sum of 0.3 for any character of U+0600-06FF, 0.2 for any of U+064B-065F (harakat), 0.3 for a full
        stop anywhere and 0.2 for any of ما كيف لماذا أين متى as a substring.
    """
    score = 0.0
    if any("\u0600" <= character <= "\u06ff" for character in text):
        score += 0.3
    if any("\u064b" <= character <= "\u065f" for character in text):
        score += 0.2
    if "." in text:
        score += 0.3
    if any(word in text for word in QUESTION_WORDS):
        score += 0.2
    return min(score, 1.0)


def informativeness(text: str) -> float:
    """Our reading of the specification's `_calculate_informativeness`, which it names and does not define.

    Args:
        text: A response.

    Returns:
        The number of distinct words between white space, over 20, at most 1.
    """
    return min(len(set(text.split())) / FULL_WORDS, 1.0)


class Specification(Quality):
    """Scores a response as the specification's example of a custom loader does.

    `(length_score + arabic_score + informativeness) / 3`, where

    - `length_score = min(len(response) / 100, 1)`, in characters;
    - `arabic_score` (`arabic_quality`) is 0.3 for any character of U+0600-06FF, plus 0.2 for any of
      U+064B-065F (harakat), plus 0.3 for a full stop anywhere, plus 0.2 for any of ما كيف لماذا أين متى as a
      substring;
    - `informativeness = min(distinct words / 20, 1)`. The specification names this part and leaves it open;
      the formula is ours.

    The specification calls these simple heuristics; they reward length, harakat, full stops and question
    words, and ما is also found inside other words. Always defined: an empty response scores 0.
    """

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        """Score every row of a batch.

        Args:
            batch: Rows with a text column `response`.

        Returns:
            float64, shape (rows,), each in [0, 1].
        """
        responses = batch.column("response")
        length = np.minimum(_numbers(pc.utf8_length(responses)) / FULL_LENGTH, 1.0)
        words = np.array([informativeness(text) for text in responses.to_pylist()], np.float64)
        return np.asarray((length + _arabic_quality(responses) + words) / 3)


def _arabic_quality(responses: pa.Array) -> np.ndarray:
    """`arabic_quality` of a whole column: the same sums in the same order."""
    return np.minimum(
        0.3 * _numbers(pc.match_substring_regex(responses, _ARABIC))
        + 0.2 * _numbers(pc.match_substring_regex(responses, _DIACRITICS))
        + 0.3 * _numbers(pc.match_substring(responses, "."))
        + 0.2 * _numbers(pc.match_substring_regex(responses, "|".join(QUESTION_WORDS))),
        1.0,
    )


def _numbers(column: pa.Array) -> np.ndarray:
    return np.asarray(column.to_numpy(zero_copy_only=False), np.float64)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    """Name this module's plugin."""
    return [Specification]
