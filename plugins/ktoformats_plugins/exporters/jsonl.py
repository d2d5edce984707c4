"""The canonical sample as JSON Lines, in source order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ktoformats import Exporter, Plugin, hookimpl, to_samples
from ktoformats_plugins.exporters._jsonl import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa


class Jsonl(Exporter):
    """One sample a line under the specification's key names."""

    suffix: ClassVar[str] = ".jsonl"

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples."""
        write_lines((sample for batch in batches for sample in to_samples(batch)), path)
        return {}


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Jsonl]
