"""A folder that `datasets.load_dataset` and `trl kto --dataset_name` take, with a card that states the types."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from ktoformats import Plugin, hookimpl, loss_weights
from ktoformats_plugins.exporters._trl import FIELDS, TrlRows, filled_fields, kto_config

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from ktoformats import Written

_SPLITS: Final = ("train", "validation", "test")
_TEXT: Final = pa.string()
_CALL: Final = pa.struct({"type": _TEXT, "function": pa.struct({"name": _TEXT, "arguments": _TEXT})})


class HuggingFace(TrlRows):
    """Rows as `trl` writes them, in a Parquet file with their types, and `README.md`, the card of the dataset.

    Nothing is guessed when it is read: a column of dates stays text, and a message may have its first tool call
    anywhere. It is ready for `hf upload`, too.
    """

    suffix: ClassVar[str] = ""
    folder: ClassVar[bool] = True

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write the data and the card."""
        own = self.settled(batches)
        schema = _schema(own, batches)
        split = path.name if path.name in _SPLITS else _SPLITS[0]
        name = f"{split}-00000-of-00001.parquet"
        counts = {True: 0, False: 0}
        with pq.ParquetWriter(path / name, schema) as writer:
            for batch in batches:
                table = pa.Table.from_pylist(list(own.rows([batch])), schema)
                writer.write_table(table)
                good = int(pa.compute.sum(table.column("label")).as_py() or 0)
                counts[True] += good
                counts[False] += len(table) - good
        (path / "README.md").write_text(_card(schema, split, name, counts), encoding="utf-8")
        return {"style": own.style}

    def settings(self, written: Written) -> str:
        """Arguments of `KTOConfig`."""
        return kto_config(written)


def _schema(own: TrlRows, batches: Iterable[pa.RecordBatch]) -> pa.Schema:
    """The types of the rows: messages have those fields that are filled in any of them."""
    prompt = answer = _TEXT
    if own.style == "conversational":
        prompt, answer = map(_messages, filled_fields(batches))
    fields = {"prompt": prompt, "completion": answer, "label": pa.bool_()}
    return pa.schema({**fields, "tools": _TEXT} if own.tools else fields)


def _messages(optional: list[str]) -> pa.DataType:
    fields = {FIELDS[name]: pa.list_(_CALL) if name == "tool_calls" else _TEXT for name in optional}
    return pa.list_(pa.struct({"role": _TEXT, "content": _TEXT, **fields}))


def _card(schema: pa.Schema, split: str, file: str, counts: dict[bool, int]) -> str:
    """The card: what the columns are, how many rows there are, and what they weigh."""
    head = {
        "configs": [{"config_name": "default", "data_files": [{"split": split, "path": file}]}],
        "dataset_info": {"features": [_feature(field.name, field.type) for field in schema]},
    }
    weights = loss_weights(counts[True], counts[False]) or {"desirable_weight": 1.0, "undesirable_weight": 1.0}
    return "\n".join(
        [
            f"---\n{yaml.safe_dump(head, sort_keys=False)}---\n",
            "Answers for Kahneman-Tversky Optimization, in training order: do not shuffle the rows.\n",
            f"- {counts[True]} desirable and {counts[False]} undesirable answers",
            *(f"- `{name}`: {value}" for name, value in weights.items()),
            "",
        ]
    )


def _feature(name: str, kind: pa.DataType) -> dict[str, Any]:
    """A column as the card states it."""
    if pa.types.is_list(kind):
        return {"name": name, "list": [_feature(one.name, one.type) for one in kind.value_type]}
    if pa.types.is_struct(kind):
        return {"name": name, "struct": [_feature(one.name, one.type) for one in kind]}
    return {"name": name, "dtype": str(kind)}


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [HuggingFace]
