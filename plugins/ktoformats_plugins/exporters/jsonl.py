"""The canonical sample as JSON Lines, in source order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import Plugin, hookimpl, to_samples
from ktoformats_plugins.exporters._jsonl import JsonLines, write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa


class Jsonl(JsonLines):
    """One sample a line under the specification's key names."""

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples."""
        samples = (sample for batch in batches for sample in to_samples(batch))
        write_lines(samples, path, self.compression, loaded=False)
        return {}


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Jsonl]
