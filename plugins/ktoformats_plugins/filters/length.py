"""Bounds on the lengths of prompt and response."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ktoformats import Dropped, Filter, Plugin, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator


class Length(Filter):
    """Characters of prompt and response; minima count without surrounding white space, maxima with it."""

    inherits: ClassVar[frozenset[str]] = frozenset(
        {"min_prompt_length", "max_prompt_length", "min_response_length", "max_response_length"}
    )

    min_prompt_length: int = 1
    max_prompt_length: int = 100_000
    min_response_length: int = 1
    max_response_length: int = 100_000

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """Too short, then too long."""
        bounds = (
            ("prompt", self.min_prompt_length, self.max_prompt_length),
            ("response", self.min_response_length, self.max_response_length),
        )
        for column, low, _ in bounds:
            short = _are_shorter(batch.column(column), low)
            if column == "response":  # an answer that only calls a tool has no text to measure
                short &= pc.equal(batch.column("tool_calls"), "").to_numpy(zero_copy_only=False)
            yield Dropped("too_short", short)
        for column, _, high in bounds:
            texts = batch.column(column)
            long = pc.greater(pc.binary_length(texts), high).to_numpy(zero_copy_only=False)
            rows = np.flatnonzero(long)  # a character has at least one byte
            long[rows] = pc.greater(pc.utf8_length(texts.take(pa.array(rows))), high).to_numpy(zero_copy_only=False)
            yield Dropped("too_long", long)


def _are_shorter(texts: pa.Array, low: int) -> np.ndarray:
    """Which texts have fewer characters without the white space around them.

    For one character a look at the first byte is enough, but where white space may begin with it.
    """
    short = np.zeros(len(texts), np.bool_)
    if low <= 0:
        return short
    rows = np.arange(len(texts)) if low > 1 else np.flatnonzero(_may_begin_blank(texts))
    stripped = pc.utf8_length(pc.utf8_trim_whitespace(texts.take(pa.array(rows)) if low == 1 else texts))
    short[rows] = pc.less(stripped, low).to_numpy(zero_copy_only=False)
    return short


def _may_begin_blank(texts: pa.Array) -> np.ndarray:
    _, offsets, data = texts.buffers()
    places = np.frombuffer(offsets, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    held = places[1:] > places[:-1]
    first = np.full(len(texts), ord(" "), np.uint8)
    if data is not None:
        first[held] = np.frombuffer(data, np.uint8)[places[:-1][held]]
    may: np.ndarray = _MAY_BE_BLANK[first]
    return may


_MAY_BE_BLANK = np.zeros(256, np.bool_)
_MAY_BE_BLANK[: ord(" ") + 1] = True
_MAY_BE_BLANK[[character.encode()[0] for character in "\x85\u1680\u2000\u3000"]] = True
"""The first bytes of white space."""


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Length]
