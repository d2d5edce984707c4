"""What TRL's KTOTrainer reads: prompt, completion and a real boolean label, in training order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ktoformats import Exporter, Plugin, hookimpl, needs_messages, to_trl_rows
from ktoformats_plugins.exporters._jsonl import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa


class Trl(Exporter):
    """`{prompt, completion, label}` rows; file order is the order in which the trainer will batch them.

    KTOTrainer never shuffles and takes the neighbouring row as KL partner, so the rows come in training
    order (see `ktoformats.train.order`).
    """

    training_order: ClassVar[bool] = True
    suffix: ClassVar[str] = ".jsonl"

    style: Literal["auto", "standard", "conversational"] = "auto"
    """`standard` writes texts, `conversational` message lists that the trainer puts through the chat template.
    `auto` takes standard unless a sample has a system message, earlier turns, tools or tool calls."""

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples; the answer says which style was taken."""
        style = self.style
        if style == "auto":
            style = "conversational" if needs_messages(batches) else "standard"
        tools = style == "conversational" and any(_any_tools(batch) for batch in batches)
        write_lines((row for batch in batches for row in to_trl_rows(batch, style, tools=tools)), path)
        return {"style": style}


def _any_tools(batch: pa.RecordBatch) -> bool:
    return any(batch.column("tools").to_pylist())


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Trl]
