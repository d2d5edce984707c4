"""What LLaMA-Factory reads for `stage: kto` (0.9.5): a data file, and the entry of `dataset_info.json` for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from ktoformats import Plugin, hookimpl
from ktoformats_plugins.exporters import _fit
from ktoformats_plugins.exporters._chat import Roles, chats, whole_chat
from ktoformats_plugins.exporters._fit import ForTrainer
from ktoformats_plugins.exporters._jsonl import write_lines
from ktoformats_plugins.exporters._plain import write_plain
from ktoformats_plugins.exporters._settings import epochs_of, yaml_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from ktoformats import Dropped, Written

_DATASET: Final = "kto"
_FILE: Final = "train.jsonl"
_ROLES: Final = Roles("function_call", "observation", together=True)
_TAGS: Final = {
    "role_tag": "role",
    "content_tag": "content",
    "user_tag": "user",
    "assistant_tag": "assistant",
    "observation_tag": _ROLES.result,
    "function_tag": _ROLES.call,
    "system_tag": "system",
}


class LlamaFactory(ForTrainer):
    """A folder to name as `dataset_dir` (LLaMA-Factory 0.9.5): `train.jsonl`, `dataset_info.json` and `train.yaml`.

    One row that is not asked and answered in turn makes LLaMA-Factory fail on all of them, and an empty answer
    turns its label round; neither is written.
    """

    suffix: ClassVar[str] = ""
    folder: ClassVar[bool] = True
    settings_file: ClassVar[str] = "train.yaml"

    layout: Literal["sharegpt", "alpaca"] = "sharegpt"
    """`sharegpt` holds conversations, tools among them; `alpaca` one prompt and its answer, and a system text."""

    def refuses(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """What the layout cannot hold, or LLaMA-Factory misreads."""
        if self.layout == "alpaca":
            yield _fit.tools(batch)
            yield _fit.earlier_turns(batch)
            yield from _fit.empty(batch)
        else:
            yield _fit.no_answer(batch)
            yield _fit.text_beside_call(batch)
            yield _fit.role_order(batch)
        yield _fit.reasoning(batch)

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write the data file, and what it is."""
        entry: dict[str, Any] = {"file_name": _FILE, "formatting": self.layout}
        if self.layout == "sharegpt":
            tools = any(_fit.any_filled(batch, "tools") for batch in batches)
            rows = (whole_chat(chat, tools=tools, none="") for chat in chats(batches, _ROLES))
            write_lines(rows, path / _FILE)
            columns = {"messages": "messages", "kto_tag": "label", **({"tools": "tools"} if tools else {})}
            entry.update(columns=columns, tags=_TAGS)
        else:
            system = write_plain(batches, path / _FILE)
            columns = {"prompt": "prompt", "response": "completion", "kto_tag": "label"}
            entry.update(columns={**columns, **({"system": "system"} if system else {})})
        text = json.dumps({_DATASET: entry}, indent=2) + "\n"
        (path / "dataset_info.json").write_text(text, encoding="utf-8")
        return {"layout": self.layout}

    def settings(self, written: Written) -> str:
        """Lines of the file that `llamafactory-cli train` is given."""
        values = {
            "stage": "kto",
            "dataset_dir": written.name,
            "dataset": _DATASET,
            "kto_chosen_weight": written.desirable_weight,
            "kto_rejected_weight": written.undesirable_weight,
            "per_device_train_batch_size": written.batch_size,
            "num_train_epochs": epochs_of(written),
            "cutoff_len": written.max_tokens,
        }
        return yaml_lines(values, "LLaMA-Factory; dataset_dir is the way to this folder")


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [LlamaFactory]
