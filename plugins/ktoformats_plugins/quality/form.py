"""The default quality score: the form of a response, never its truth."""

from __future__ import annotations

import re
from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field, model_validator

from ktoformats import Quality, hookimpl
from ktoformats_plugins.quality import _text
from ktoformats_plugins.quality._measures import measure
from ktoformats_plugins.quality._mojibake import are_damaged, are_lost_cells
from ktoformats_plugins.quality._trigrams import TRIGRAM

if TYPE_CHECKING:
    from typing import Self

    from numpy.typing import NDArray

    from ktoformats import Plugin
    from ktoformats_plugins.quality._text import Counts

    Scores = NDArray[np.float64]
    Mask = NDArray[np.bool_]

MIN_LETTERS: Final = 10
"""Below so many letters nothing is said about their script."""

_BLANK: Final = "".join(f"{chr(first)}-{chr(last)}" for first, last in (*_text.SPACES, *_text.INVISIBLE))
_DIGITS: Final = "0-9٠-٩۰-۹"
_EMOJI: Final = "\u2600-\u27bf\ufe0f\U0001f000-\U0001faff"
_LIST_ITEM: Final = rf"(?:^|\n)[ \t]*(?:[-+*•–]|[{_DIGITS}]{{1,3}}[.)–-])[ \t][^\n]*"
_URL: Final = rf"(?:https?://|www\.)[^{_BLANK}]+"


_MOST_FOLLOWING: Final = 3
"""Bytes that may follow the first one of a character in UTF-8."""
_FOLLOWING: Final = 0b10
_FOLLOWING_BITS: Final = np.uint32(0x3F)
_LEAD_BITS: Final = np.array([0, 0x7F, 0x1F, 0x0F, 0x07], np.uint32)
"""By the bytes of a character: the bits of its first one that count."""


class Ramp(BaseModel):
    """Turns a share into a score: 1 up to `full`, 0 from `zero` on, a straight line between.

    Where `full` lies above `zero`, more is better.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    full: float = Field(ge=0, le=1)
    zero: float = Field(ge=0, le=1)
    words: int = Field(ge=1)
    """The words a response must have, or the part is undefined."""

    @model_validator(mode="after")
    def _has_a_slope(self) -> Self:
        if self.full == self.zero:
            raise ValueError(f"full and zero are both {self.full}: a ramp needs two different shares")
        return self

    def score(self, part: Counts, whole: Counts, defined: Mask) -> Scores:
        """Score `part / whole` where it is defined, NaN elsewhere."""
        share = part / np.maximum(whole, 1)
        return np.where(defined, np.clip((self.zero - share) / (self.zero - self.full), 0.0, 1.0), np.nan)


class Form(Quality):
    """Scores the form of a response: is it clean, finished, varied text in the language of the question?

    The score is the mean of the parts that are defined for the response; 0 where the text is mojibake, NaN
    where no part is defined. Reasoning (`<think>`), code blocks, URLs and Markdown marks are left out first.
    Words are what stands between white space.

    Form is not truth: on 1,397 answers checked by people such measures did not tell right from wrong (AUC .45-.56;
    a finished ending .64).
    The limits were found on real Arabic answers; those called *proposal* are judgement, not measurement.
    """

    repetition: Ramp = Ramp(full=0.03, zero=0.20, words=8)
    """Share of the word trigrams that repeat an earlier one."""
    prompt_echo: Ramp = Ramp(full=0.10, zero=0.50, words=8)
    """Share of the word trigrams that stand in the prompt; undefined for a prompt without a trigram."""
    script_share: Ramp = Ramp(full=0.95, zero=0.50, words=5)
    """Arabic letters among the Arabic and Latin ones. Defined for at least ten such letters, when the prompt
    has at least ten Arabic letters, more of them than Latin ones, and asks for no code or translation."""
    script_requests: tuple[str, ...] = (
        "ترجم", "إنجليزي", "انجليزي", "كود", "أكواد", "برمج", " دالة", "الدالة", "بايثون", "translate",
        "translation", "english", "code", "function", "python", "java", "javascript", "sql", "html", "css",
        "json", "bash", "c++", "c#",
    )  # fmt: skip
    """A prompt that holds one of these, or a code fence, may well be answered in Latin letters. ASCII entries
    are matched as whole words in any case, others anywhere."""
    letter_runs: Ramp = Ramp(full=0.0, zero=0.2, words=5)
    """Share of the words in which one letter stands three times in a row, as in راااائع (proposal)."""
    endings: str = Field(default=".؟!?…»)]\"':۔”’}٪%", min_length=1)
    """What a finished response may end in. Digits, emoji, URLs, code and list items are finished, too."""
    truncation_words: int = Field(default=20, ge=1)
    """From so many words on a response should be finished."""
    unfinished: float = Field(default=0.5, ge=0, le=1)
    """What an unfinished response scores for `truncation`: a soft penalty, for style may explain it."""
    length_words: int = Field(default=5, ge=1)
    """From so many words on `length` is 1 (proposal)."""
    shortest: float = Field(default=0.5, ge=0, le=1)
    """Where `length` starts, at no word: one word can be the right answer (proposal)."""

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        """Score every row of a batch.

        Args:
            batch: Rows with the text columns `response` and `prompt`.

        Returns:
            float64, shape (rows,), each in [0, 1] or NaN where no part is defined.
        """
        parts = self.parts(batch)
        veto = parts.pop("mojibake")
        total = np.zeros(batch.num_rows)
        defined = np.zeros(batch.num_rows, np.int64)
        for part in parts.values():
            measured = ~np.isnan(part)
            total += np.where(measured, part, 0.0)
            defined += measured
        mean = np.where(defined > 0, total / np.maximum(defined, 1), np.nan)
        return np.where(np.isnan(veto), mean, 0.0)

    def parts(self, batch: pa.RecordBatch) -> dict[str, Scores]:
        """Measure every part by itself: what a report shows beside the score.

        Args:
            batch: Rows with the text columns `response` and `prompt`.

        Returns:
            `repetition`, `prompt_echo`, `script_share`, `letter_runs`, `truncation` and `length`, each
            float64, shape (rows,), in [0, 1] or NaN where undefined; and `mojibake`, 0 where the text is
            mojibake and NaN elsewhere, which is no part of the mean but makes the score 0.
        """
        responses, prompts = batch.column("response"), batch.column("prompt")
        response, prompt, distinct, shared = measure(responses, prompts)
        count, letters, asked_arabic = response.words, response.letters, prompt.all_arabic
        trigrams = np.maximum(count - TRIGRAM + 1, 0)
        arabic_question = (asked_arabic >= MIN_LETTERS) & (2 * asked_arabic > prompt.letters)
        return {
            "repetition": self.repetition.score(
                trigrams - distinct, trigrams, count >= max(self.repetition.words, TRIGRAM)
            ),
            "prompt_echo": self.prompt_echo.score(
                shared, trigrams, (count >= max(self.prompt_echo.words, TRIGRAM)) & (prompt.words >= TRIGRAM)
            ),
            "script_share": self.script_share.score(
                response.all_arabic,
                letters,
                (count >= self.script_share.words)
                & (letters >= MIN_LETTERS)
                & arabic_question
                & ~self._asks_for_latin(prompts, prompt.latin > 0),
            ),
            "letter_runs": self.letter_runs.score(response.run_words, count, count >= self.letter_runs.words),
            "truncation": np.where(
                count >= self.truncation_words,
                np.where(_are_finished(responses, self.endings), 1.0, self.unfinished),
                np.nan,
            ),
            "length": np.where(count > 0, self._length(count), np.nan),
            "mojibake": np.where(are_lost_cells(responses, count) | are_damaged(response), 0.0, np.nan),
        }

    def _length(self, words: Counts) -> Scores:
        share = np.minimum(words, self.length_words) / self.length_words
        return self.shortest + (1.0 - self.shortest) * share

    def _asks_for_latin(self, prompts: pa.Array, hold_latin: Mask) -> Mask:
        """Which prompts hold a request; one in Latin letters is looked for only where there are any."""
        latin = tuple(entry for entry in self.script_requests if entry.isascii() and entry.lower() != entry.upper())
        others = tuple(entry for entry in self.script_requests if entry not in latin)
        asks = _matches(prompts, _any_of((*others, "```")))
        rows = np.flatnonzero(hold_latin & ~asks)
        if rows.size and latin:
            asks[rows] = _matches(pc.ascii_lower(prompts.take(pa.array(rows))), _any_of(latin))
        return asks


@cache
def _finished(endings: str) -> str:
    """The pattern (RE2 and `re`) of a text that ends as a finished one does."""
    last = f"[{re.escape(endings)}`|{_DIGITS}{_EMOJI}]"
    return rf"(?:{last}|{_URL}|{_LIST_ITEM})[{_BLANK}*_#>]*$"


@cache
def _any_of(entries: tuple[str, ...]) -> str:
    """The pattern (RE2 and `re`) of a text that holds an entry: a whole word if it is ASCII letters."""
    patterns = []
    for entry in entries:
        ascii_letters = entry.isascii()
        before = r"\b" if ascii_letters and entry[:1].isalnum() else ""
        after = r"\b" if ascii_letters and entry[-1:].isalnum() else ""
        patterns.append(before + re.escape(entry.lower() if ascii_letters else entry) + after)
    return "|".join(patterns)


def _matches(column: pa.Array, pattern: str) -> Mask:
    return np.array(pc.match_substring_regex(column, pattern).to_numpy(zero_copy_only=False), np.bool_)


def _are_finished(texts: pa.Array, endings: str) -> Mask:
    """Whether each text ends as a finished one; the last character nearly always tells."""
    finished = np.isin(_last_characters(texts), [ord(character) for character in endings])
    others = np.flatnonzero(~finished)
    if others.size:
        finished[others] = _matches(texts.take(pa.array(others)), _finished(endings))
    return finished


def _last_characters(texts: pa.Array) -> NDArray[np.uint32]:
    """The code point that each text ends in, 0 for an empty one, from the last bytes of its UTF-8."""
    _, offsets, buffer = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    held = np.flatnonzero(places[1:] > places[:-1])
    data = np.frombuffer(buffer or b"", np.uint8)
    ends = places[1:][held]
    at = ends - 1
    for _ in range(_MOST_FOLLOWING):
        at -= data[at] >> 6 == _FOLLOWING
    code = data[at].astype(np.uint32) & _LEAD_BITS[ends - at]
    for ahead in range(1, _MOST_FOLLOWING + 1):
        more = ends - at > ahead
        code[more] = code[more] << 6 | data[at[more] + ahead] & _FOLLOWING_BITS
    codes = np.zeros(len(texts), np.uint32)
    codes[held] = code
    return codes


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    """Name this module's plugin."""
    return [Form]
