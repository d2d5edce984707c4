"""Samples are written as they come: many of them, or few long ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa

from ktoformats.feedback import SCHEMA
from ktoformats.store import sink as sinks
from ktoformats.store.part import DATA_FILE
from ktoformats.store.sink import Sink

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


SCORES = ("response_quality", "utility_score", "weight", "position", "rank")


def batch(response: str, rows: int) -> pa.RecordBatch:
    row = {field.name: "" for field in SCHEMA} | {"conversation": [], "line": 1} | dict.fromkeys(SCORES, 1.0)
    return pa.RecordBatch.from_pylist([row | {"id": "0" * 32, "response": response}] * rows, schema=SCHEMA)


def test_long_samples_do_not_wait_for_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sinks, "BYTES_PER_BATCH", 10_000)
    sink = Sink(tmp_path)
    sink.write([batch("q" * 1000, 8)])
    before = (tmp_path / DATA_FILE).stat().st_size
    sink.write([batch("q" * 1000, 8)])
    assert (tmp_path / DATA_FILE).stat().st_size > before + 10_000
    sink.write([batch("a", 3)])
    table = sink.finish().whole()
    assert table["response"].to_pylist() == ["q" * 1000] * 16 + ["a"] * 3
    assert table["response"].num_chunks == 2
