"""The quality score: how much of an answer is plainly dialect."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow.compute as pc
from ktoformats import UNDEFINED, Plugin, Quality, hookimpl
from pydantic import Field

if TYPE_CHECKING:
    import pyarrow as pa

MARKERS: Final = (
    *("شلون", "وين", "ليش", "وايد", "أسوي", "تسوي", "مب", "هالحين", "الحين", "ويا"),  # the Gulf
    *("إزاي", "ازاي", "ليه", "ده", "دي", "كده", "مش", "عشان", "بتاع", "بتاعة", "دلوقتي", "بره"),  # Egypt
    *("شو", "هلق", "هلأ", "بدي", "بدك", "حدا", "تاني", "كتير", "هيك", "مو"),  # the Levant
    *("كيفاش", "شنو", "باش", "بزاف", "ديال", "فين", "دابا", "ماشي", "واش"),  # the Maghreb
    *("اللي", "بس", "شوية", "شوي"),  # several of them
)
"""Words of everyday speech that written standard Arabic does not have."""


class DialectShare(Quality):
    """Scores how much of an answer is plainly dialect: 1 from one marker word in ten words on, 0 without any.

    It tells spoken from written Arabic, not right from wrong. Undefined where an answer has no Arabic word. A marker
    with و or another particle attached is not found.
    """

    markers: tuple[str, ...] = Field(default=MARKERS, min_length=1)
    """The words that count, whole and without vowel marks."""
    enough: float = Field(default=0.1, gt=0, le=1)
    """The share of marker words from which the score is 1."""

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        """Marker words among Arabic words, over `enough`, at most 1."""
        bare = pc.replace_substring_regex(batch.column("response"), r"[\p{M}\x{640}]+", "")  # vowel marks, tatweel
        # a space of its own on either side of each word: matches never overlap, and \b knows ASCII only
        spaced = pc.replace_substring_regex(bare, r"(\p{Arabic}+)", r" \1 ")
        words = _count(spaced, r"\p{Arabic}+")
        marked = _count(spaced, f" (?:{'|'.join(map(re.escape, self.markers))}) ")
        share = np.minimum(marked / np.maximum(words, 1) / self.enough, 1.0)
        return np.where(words > 0, share, UNDEFINED)


def _count(texts: pa.Array, pattern: str) -> np.ndarray:
    counts = pc.count_substring_regex(texts, pattern).to_numpy(zero_copy_only=False)
    return np.asarray(counts, np.float64)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    """Name this module's plugin."""
    return [DialectShare]
