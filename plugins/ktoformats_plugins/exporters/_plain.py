"""One prompt and its answer as texts, with a system text where any sample has one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ktoformats import to_samples
from ktoformats_plugins.exporters import _fit
from ktoformats_plugins.exporters._jsonl import write_lines

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    import pyarrow as pa


def write_plain(batches: Iterable[pa.RecordBatch], path: Path) -> bool:
    """Write `{prompt, completion, label}` rows; `system` in every row, or in none.

    Returns:
        Whether there is a column `system`.
    """
    system = any(_fit.any_filled(batch, "system") for batch in batches)
    rows = (
        {"prompt": one["prompt"], "completion": one["response"], "label": one["label"] == "good"}
        | ({"system": one["system"]} if system else {})
        for batch in batches
        for one in to_samples(batch)
    )
    write_lines(rows, path)
    return system
