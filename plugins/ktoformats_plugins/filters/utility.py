"""Bounds on utility."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ktoformats import Dropped, Filter, Plugin, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


class UtilityBound(Filter):
    """Drops samples outside `min_utility_threshold` and `max_utility_threshold`, where they are set.

    A bound is taken literally: with the default lambda_param a `min_utility_threshold` of -1.0 drops every bad
    answer of quality below 0.6.
    """

    inherits: ClassVar[frozenset[str]] = frozenset(
        {"filter_low_utility", "min_utility_threshold", "max_utility_threshold"}
    )
    numbers: ClassVar[frozenset[str] | None] = frozenset({"utility_score"})

    filter_low_utility: bool = True
    min_utility_threshold: float | None = None
    max_utility_threshold: float | None = None

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """Too low, then too high."""
        if not self.filter_low_utility:
            return
        utility = batch.column("utility_score").to_numpy()
        if self.min_utility_threshold is not None:
            yield Dropped("low_utility", utility < self.min_utility_threshold)
        if self.max_utility_threshold is not None:
            yield Dropped("high_utility", utility > self.max_utility_threshold)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [UtilityBound]
