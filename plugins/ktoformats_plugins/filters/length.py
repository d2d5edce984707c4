"""Bounds on the lengths of prompt and response."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import pyarrow.compute as pc

from ktoformats import Dropped, Filter, Plugin, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


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
            stripped = pc.utf8_length(pc.utf8_trim_whitespace(batch.column(column)))
            # an answer that only calls a tool has no text to measure
            spared = pc.not_equal(batch.column("tool_calls"), "") if column == "response" else False
            short = pc.and_not(pc.less(stripped, low), spared)
            yield Dropped("too_short", short.to_numpy(zero_copy_only=False))
        for column, _, high in bounds:
            long = pc.greater(pc.utf8_length(batch.column(column)), high)
            yield Dropped("too_long", long.to_numpy(zero_copy_only=False))


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Length]
