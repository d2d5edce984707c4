"""What TRL's KTOTrainer makes of a dataset before it trains: token ids and a label (trl 1.10 to 1.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from ktoformats import Exporter, Plugin, hookimpl
from ktoformats_plugins.exporters._trl import kto_config

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ktoformats import Written

_IDS = ("prompt_ids", "completion_ids", "KL_completion_ids")
_SCHEMA = pa.schema([*(pa.field(name, pa.list_(pa.int64())) for name in _IDS), pa.field("label", pa.bool_())])
_TRAINER = """\
from trl import KTOConfig, KTOTrainer


class TokenizedKTOTrainer(KTOTrainer):
    def _prepare_dataset(self, dataset, *args, **kwargs):
        return dataset  # it is tokenized, and has its KL completions

"""


class TrlTokenized(Exporter):
    """`prompt_ids`, `completion_ids`, `KL_completion_ids` and `label` for TRL 1.10 to 1.16, in training order.

    The trainer neither tokenizes nor pairs again: what is trained on is what was planned. KTOTrainer has no switch
    for it, but a subclass of six lines, which `settings` shows.
    """

    training_order: ClassVar[bool] = True
    suffix: ClassVar[str] = ".parquet"
    tokens: ClassVar[bool] = True

    file: Literal["parquet", "arrow"] = "parquet"
    """`arrow` is memory-mapped without being read first, and a few times as large."""

    @property
    def ending(self) -> str:
        """`.parquet` or `.arrow`."""
        return f".{self.file}"

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all rows."""
        with self._writer(path) as writer:
            for batch in batches:
                columns = [batch.column(name).cast(pa.list_(pa.int64())) for name in _IDS]
                columns.append(pc.equal(batch.column("label"), "good"))
                writer.write_table(pa.Table.from_arrays(columns, schema=_SCHEMA))
        return {}

    def _writer(self, path: Path) -> Any:
        if self.file == "parquet":
            return pq.ParquetWriter(path, _SCHEMA, compression="zstd")
        return pa.ipc.new_file(str(path), _SCHEMA)

    def settings(self, written: Written) -> str:
        """A trainer that takes the rows as they are, and its arguments."""
        return _TRAINER + kto_config(written)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [TrlTokenized]
