"""Bounds on the lengths of prompt and response."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ktoformats import Dropped, Filter, Plugin, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


class Length(Filter):
    """Characters of prompt and response; minima count without surrounding white space, maxima with it."""

    inherits: ClassVar[frozenset[str]] = frozenset(
        {"min_prompt_length", "max_prompt_length", "min_response_length", "max_response_length"}
    )
    numbers: ClassVar[frozenset[str] | None] = frozenset(
        {"prompt_length", "response_length", "prompt_text_length", "response_text_length", "has_tool_calls"}
    )

    min_prompt_length: int = 1
    max_prompt_length: int = 100_000
    min_response_length: int = 1
    max_response_length: int = 100_000

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """Too short, then too long."""
        yield Dropped("too_short", batch.column("prompt_text_length").to_numpy() < self.min_prompt_length)
        short = batch.column("response_text_length").to_numpy() < self.min_response_length
        # an answer that only calls a tool has no text to measure
        yield Dropped("too_short", short & (batch.column("has_tool_calls").to_numpy() == 0))
        yield Dropped("too_long", batch.column("prompt_length").to_numpy() > self.max_prompt_length)
        yield Dropped("too_long", batch.column("response_length").to_numpy() > self.max_response_length)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Length]
