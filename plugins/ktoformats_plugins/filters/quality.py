"""A bound on response quality."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ktoformats import Dropped, Filter, Plugin, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


class QualityBound(Filter):
    """Drops samples whose `response_quality` lies below `min_response_quality`; no bound unless set."""

    inherits: ClassVar[frozenset[str]] = frozenset({"min_response_quality"})
    numbers: ClassVar[frozenset[str] | None] = frozenset({"response_quality"})

    min_response_quality: float | None = None

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """Low quality."""
        if self.min_response_quality is not None:
            yield Dropped("low_quality", batch.column("response_quality").to_numpy() < self.min_response_quality)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [QualityBound]
