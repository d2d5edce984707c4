"""What the form score counts in the texts of a batch: one meaning, two roads to the same numbers.

`by_numpy` is the reference and needs nothing but numpy. Where numba is installed (the extra `fast`), long runs are
counted by a compiled loop (`_compiled`) instead, which is held equal to the reference by tests.
"""

from __future__ import annotations

import logging
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from ktoformats_plugins.quality import _text, _trigrams
from ktoformats_plugins.quality._text import Kind, is_plain, plain
from ktoformats_plugins.quality._trigrams import ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pyarrow as pa

    from ktoformats_plugins.quality._text import Counts

logger = logging.getLogger("ktoformats")

COMPILED_FROM: Final = 8_192
"""Rows after which the compiled loop is worth being loaded, which takes about as long as half of them."""
KINDS: Final = (
    Kind.LATIN, Kind.ARABIC, Kind.HIGH_LATIN, Kind.LEAD, Kind.TAH, Kind.REPLACEMENT,
)  # fmt: skip
"""The kinds of characters that are counted."""


class TextCounts(NamedTuple):
    """Counts of texts, each int64 of shape (rows,); marks and invisible characters are left out of all."""

    chars: Counts
    words: Counts
    run_words: Counts
    """Words in which one letter stands three times in a row."""
    leads: Counts
    """Ø or Ù before a character beyond ASCII."""
    escapes: Counts
    r"""Literal `\\u06xx`."""
    latin: Counts
    arabic: Counts
    """Without ط and ظ, which stand under `tah`."""
    high_latin: Counts
    lead: Counts
    tah: Counts
    replacement: Counts

    @property
    def all_arabic(self) -> Counts:
        """Arabic letters, ط and ظ among them."""
        return self.arabic + self.tah

    @property
    def letters(self) -> Counts:
        """Arabic and Latin letters of every kind."""
        return self.latin + self.high_latin + self.lead + self.arabic + self.tah


class Measures(NamedTuple):
    """What is counted in responses and their prompts."""

    response: TextCounts
    """Of the responses without what is no prose."""
    prompt: TextCounts
    distinct: Counts
    """Distinct word trigrams of each response."""
    shared: Counts
    """Word trigrams of each response, repeats included, that stand in its prompt."""


class _Measurer:
    """Counts batch after batch, and takes the compiled loop once there is enough to do."""

    def __init__(self) -> None:
        self._rows = 0
        self._settled = False
        self._count: Callable[[pa.Array, pa.Array], Measures] = by_numpy

    def __call__(self, responses: pa.Array, prompts: pa.Array) -> Measures:
        """Count in large_string arrays of one length."""
        self._rows += len(responses)
        if self._rows >= COMPILED_FROM and not self._settled:
            self._settled = True
            self._count = _fastest()
        return self._count(responses, prompts)


def _fastest() -> Callable[[pa.Array, pa.Array], Measures]:
    """The compiled loop if it can be had; where numba is missing, or finds no place for what it compiles, numpy."""
    if not find_spec("numba"):
        return by_numpy
    try:
        from ktoformats_plugins.quality._compiled import by_numba
    except (ImportError, RuntimeError) as error:
        logger.info("numba cannot be used (%s); responses are scored with numpy, which takes longer", error)
        return by_numpy
    return by_numba


def by_numpy(responses: pa.Array, prompts: pa.Array) -> Measures:
    """Count in whole arrays of code points."""
    given, asked = responses.to_pylist(), prompts.to_pylist()
    parts = [_measure(given[at : at + ROWS], asked[at : at + ROWS]) for at in range(0, max(len(given), 1), ROWS)]
    response, prompt, distinct, shared = zip(*parts, strict=True)
    return Measures(_joined(response), _joined(prompt), np.concatenate(distinct), np.concatenate(shared))


def _joined(parts: Sequence[TextCounts]) -> TextCounts:
    return TextCounts(*map(np.concatenate, zip(*parts, strict=True)))


def _measure(given: list[str], asked: list[str]) -> Measures:
    """Count in at most `ROWS` rows; responses and prompts in one go, responses first."""
    rows = len(given)
    texts = _text.read([*_prose(given), *asked])
    words = _text.split(texts)
    keys, asked_keys = _trigrams.cut(_trigrams.read(texts, words), rows)
    kinds = _text.count_kinds(texts)
    counts = TextCounts(
        texts.chars,
        words.per_text,
        _text.count_run_words(texts, words),
        _text.count_leads(texts),
        _text.count_escapes(texts),
        *(kinds[kind] for kind in KINDS),
    )
    return Measures(
        TextCounts(*(column[:rows] for column in counts)),
        TextCounts(*(column[rows:] for column in counts)),
        _trigrams.count_distinct(keys, rows),
        _trigrams.count_shared(keys, asked_keys, rows),
    )


def _prose(texts: list[str]) -> list[str]:
    """The texts without what is no prose; one look at all of them nearly always finds nothing."""
    if is_plain("\n".join(texts)):
        return texts
    return [text if is_plain(text) else plain(text) for text in texts]


measure: Final = _Measurer()
"""One for the process: what is counted does not depend on how."""
