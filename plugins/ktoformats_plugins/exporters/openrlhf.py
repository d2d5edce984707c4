"""What OpenRLHF's `train_kto` reads (0.9.5, the last with KTO): messages before, the answer, and a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import Plugin, hookimpl
from ktoformats_plugins.exporters import _fit
from ktoformats_plugins.exporters._chat import chats
from ktoformats_plugins.exporters._fit import ForTrainer
from ktoformats_plugins.exporters._jsonl import JsonLines, write_lines
from ktoformats_plugins.exporters._settings import arguments, epochs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from ktoformats import Dropped, Written


class OpenRlhf(JsonLines, ForTrainer):
    """`{input, output, label}` rows for OpenRLHF 0.9.5: two lists of messages for the chat template, and a bool."""

    def refuses(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """Tools, and reasoning apart from the text."""
        yield _fit.tools(batch)
        yield _fit.reasoning(batch)
        yield from _fit.empty(batch)

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples."""
        rows = ({"input": chat.context, "output": chat.answer, "label": chat.label} for chat in chats(batches))
        write_lines(rows, path, self.compression)
        return {}

    def settings(self, written: Written) -> str:
        """Arguments of `python -m openrlhf.cli.train_kto`."""
        return arguments(
            {
                "dataset": written.name,
                "input_key": "input",
                "output_key": "output",
                "label_key": "label",
                "apply_chat_template": True,
                "desirable_loss_weight": written.desirable_weight,
                "undesirable_loss_weight": written.undesirable_weight,
                "micro_train_batch_size": written.batch_size,
                "max_epochs": epochs_of(written),
                "max_len": written.max_tokens,
            }
        )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [OpenRlhf]
