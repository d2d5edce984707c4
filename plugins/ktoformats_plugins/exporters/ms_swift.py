"""What ms-swift reads for `--rlhf_type kto` (4.6.0): messages and a label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Self

from ktoformats import Plugin, hookimpl
from ktoformats_plugins.exporters import _fit
from ktoformats_plugins.exporters._chat import Roles, chats, whole_chat
from ktoformats_plugins.exporters._fit import ForTrainer
from ktoformats_plugins.exporters._jsonl import JsonLines, write_lines
from ktoformats_plugins.exporters._settings import arguments, epochs_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from ktoformats import Dropped, Written

_ROLES: Final = Roles("tool_call", "tool_response", together=False)


class MsSwift(JsonLines, ForTrainer):
    """`{messages, label}` rows for ms-swift 4.6.0, and `tools` (JSON text) where a sample has some.

    Rows that ms-swift cannot read it deletes, and after ten it no longer says so. An answer that is a tool call is
    one of them.
    """

    tools: bool | None = None
    """Whether every row has a column `tools`; None: if any sample has tools."""

    def refuses(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """Answers without a text, and what a list of role and content cannot hold."""
        yield _fit.tool_call_answer(batch)
        yield _fit.text_beside_call(batch)
        yield _fit.reasoning(batch)
        yield from _fit.empty(batch)

    def settled(self, batches: Iterable[pa.RecordBatch]) -> Self:
        """The same with tools decided."""
        tools = self.tools
        if tools is None:
            tools = any(_fit.any_filled(batch, "tools") for batch in batches)
        return self.model_copy(update={"tools": tools})

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples."""
        tools = bool(self.settled(batches).tools)
        write_lines((whole_chat(chat, tools=tools) for chat in chats(batches, _ROLES)), path, self.compression)
        return {}

    def settings(self, written: Written) -> str:
        """Arguments of `swift rlhf`."""
        return arguments(
            {
                "rlhf_type": "kto",
                "dataset": written.name,
                "desirable_weight": written.desirable_weight,
                "undesirable_weight": written.undesirable_weight,
                "per_device_train_batch_size": written.batch_size,
                "num_train_epochs": epochs_of(written),
                "max_length": written.max_tokens,
            }
        )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [MsSwift]
