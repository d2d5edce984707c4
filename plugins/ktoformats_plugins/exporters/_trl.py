"""The rows of TRL's KTOTrainer, in the style that the samples need, and the arguments that go with them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, Self

from ktoformats import needs_messages, to_trl_rows
from ktoformats_plugins.exporters import _fit
from ktoformats_plugins.exporters._fit import ForTrainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa

    from ktoformats import Dropped, Written


FIELDS: Final = {
    "tool_calls": "tool_calls",
    "reasoning": "reasoning_content",
    "tool_call_id": "tool_call_id",
    "name": "name",
}
"""Fields of a turn that a message has only where they are filled, and what the trainer calls them."""


class TrlRows(ForTrainer):
    """An exporter of `{prompt, completion, label}` rows, and `tools` where a sample has some."""

    style: Literal["auto", "standard", "conversational"] = "auto"
    """`standard` writes texts, `conversational` message lists that the trainer puts through the chat template.
    `auto` takes standard unless a sample has a system message, earlier turns, tools or tool calls."""

    separator: str = ""
    """With `standard`: what is put before a completion where no white space stands between it and its prompt, such as
    a space or a line feed. The trainer joins the two, and a token may then reach from one into the other."""

    tools: bool | None = None
    """Whether every conversational row has a column `tools`; None: if any sample has tools."""

    def refuses(self, batch: pa.RecordBatch) -> Iterable[Dropped]:
        """An empty text would train on nothing but the end token."""
        return _fit.empty(batch) if self.style == "standard" else ()

    def settled(self, batches: Iterable[pa.RecordBatch]) -> Self:
        """The same with style and tools decided."""
        style = self.style
        if style == "auto":
            style = "conversational" if needs_messages(batches) else "standard"
        tools = self.tools
        if tools is None:
            tools = style == "conversational" and any(_fit.any_filled(batch, "tools") for batch in batches)
        return self.model_copy(update={"style": style, "tools": tools})

    def rows(self, batches: Iterable[pa.RecordBatch]) -> Iterator[dict[str, Any]]:
        """The rows; style and tools must be decided."""
        for batch in batches:
            yield from to_trl_rows(batch, self.style, tools=bool(self.tools), separator=self.separator)

    def told(self, batches: Iterable[pa.RecordBatch]) -> dict[str, Any]:
        """The style, and how many prompts have no white space before their completions; style must be decided."""
        if self.style != "standard" or self.separator:
            return {"style": self.style}
        touching = sum(_fit.touching(batch) for batch in batches)
        return {"style": self.style, **({"touching": touching} if touching else {})}


def filled_fields(batches: Iterable[pa.RecordBatch]) -> tuple[list[str], list[str]]:
    """Which of `FIELDS` any earlier turn has, and which any answer."""
    earlier = [name for name in FIELDS if any(_fit.any_in_turns(batch, name) for batch in batches)]
    last = [name for name in ("tool_calls", "reasoning") if any(_fit.any_filled(batch, name) for batch in batches)]
    return earlier, last


def kto_config(written: Written) -> str:
    """The arguments of `KTOConfig` (trl 0.24 to 1.16) that go with a file."""
    arguments: dict[str, Any] = {
        "desirable_weight": written.desirable_weight,
        "undesirable_weight": written.undesirable_weight,
    }
    if written.batch_size is not None:
        arguments["per_device_train_batch_size"] = written.batch_size
    if written.epochs > 1:
        arguments["num_train_epochs"] = 1
    if written.max_tokens is not None:
        arguments["max_length"] = written.max_tokens
    arguments["dataloader_drop_last"] = True
    lines = [f"    {name}={value}," for name, value in arguments.items()]
    touching = ""
    if count := written.told.get("touching"):
        touching = (
            f"# {count} prompts and their completions meet without white space; TRL joins the two, so a token may\n"
            "# reach from one into the other: --to '{trl: {separator: \"\\n\"}}' sets them apart\n"
        )
    epochs = f"# {written.epochs} epochs stand in the file\n" if written.epochs > 1 else ""
    processes = f"# planned for {written.world_size} processes\n" if written.world_size > 1 else ""
    order = "# rows are in training order: do not shuffle, leave dataset_num_proc at None\n"
    return "\n".join(["KTOConfig(", *lines, ")"]) + f"\n{epochs}{processes}{touching}{order}"
