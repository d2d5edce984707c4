"""What TRL's KTOTrainer reads: prompt, completion and a real boolean label, in training order (trl 0.24 to 1.16)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from ktoformats import ConfigError, Plugin, hookimpl
from ktoformats_plugins.exporters._jsonl import JsonLines, write_lines
from ktoformats_plugins.exporters._trl import FIELDS, TrlRows, filled_fields, kto_config

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa

    from ktoformats import Written


class Trl(JsonLines, TrlRows):
    """`{prompt, completion, label}` rows for TRL 0.24 to 1.16; file order is the order in which it will batch them.

    KTOTrainer never shuffles and takes the neighbouring row as KL partner, so the rows come in training
    order (see `ktoformats.train.order`).
    """

    def settled(self, batches: Iterable[pa.RecordBatch]) -> Self:
        """The same with style and tools decided.

        Raises:
            ConfigError: Fields that some messages have and others lack could not be read from several files.
        """
        own = super().settled(batches)
        if own.style == "conversational" and any(filled := filled_fields(batches)):
            raise ConfigError(
                f"some messages have {', '.join(FIELDS[name] for name in dict.fromkeys(filled[0] + filled[1]))}, and "
                "`datasets` settles the columns of several JSON Lines files by the first; write one file, or columns "
                "with their types: --to huggingface"
            )
        return own

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples; the answer says which style was taken."""
        own = super().settled(batches)
        write_lines(own.rows(batches), path, self.compression, fixed=own.style == "standard")
        return own.told(batches)

    def settings(self, written: Written) -> str:
        """Arguments of `KTOConfig`."""
        return kto_config(written)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Trl]
