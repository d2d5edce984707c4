"""The canonical sample as Parquet, in source order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from ktoformats import SCHEMA, Exporter, Plugin, hookimpl

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

_ROWS_PER_GROUP = 16_384
_OWN = ("id", "prompt", "response", "conversation", "group", "line", "origin")
_REPEATED = [name for name in SCHEMA.names if name not in _OWN]
"""The columns that a dictionary makes smaller; for the others it only takes time."""


class Parquet(Exporter):
    """One sample a row under the specification's key names, and the facts behind each label."""

    suffix: ClassVar[str] = ".parquet"

    compression: Literal["snappy", "lz4", "zstd", "gzip", "none"] = "snappy"
    """snappy, as pyarrow, pandas and datasets write it; zstd makes files a third smaller and takes longer."""

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples."""
        with pq.ParquetWriter(path, SCHEMA, compression=self.compression, use_dictionary=_REPEATED) as writer:
            waiting: list[pa.RecordBatch] = []
            for batch in batches:
                waiting.append(batch)
                if sum(map(len, waiting)) >= _ROWS_PER_GROUP:
                    writer.write_table(pa.Table.from_batches(waiting))
                    waiting = []
            writer.write_table(pa.Table.from_batches(waiting, SCHEMA))
        return {}


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Parquet]
