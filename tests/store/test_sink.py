"""Samples are written as they come: many of them, or few long ones."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from ktoformats.feedback import SCHEMA
from ktoformats.store import sink as sinks
from ktoformats.store.numbers import numbers_of, to_arrow
from ktoformats.store.part import DATA_FILE
from ktoformats.store.sink import Sink

if TYPE_CHECKING:
    from pathlib import Path


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


def test_numbers_that_are_known_are_written_and_others_are_taken(tmp_path: Path) -> None:
    known, unknown = batch("qq", 3), batch("q", 2)
    numbers = numbers_of(known)
    place = numbers.schema.get_field_index("response_length")
    told = numbers.set_column(place, numbers.schema.field(place), to_arrow(np.array([7, 8, 9], np.int32)))
    sink = Sink(tmp_path)
    sink.write([known], [told])
    sink.write([unknown])
    part = sink.finish()
    assert part.numbers("response_length").tolist() == [7, 8, 9, 1, 1]
    assert part.numbers("prompt_length").tolist() == [0] * 5


@pytest.mark.parametrize("in_memory", [True, False], ids=["memory", "files"])
def test_some_numbers_are_those_of_their_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_memory: bool
) -> None:
    """Wherever they begin and end, also across the batches of a file."""
    monkeypatch.setattr(sinks, "NUMBERS_TOGETHER", 4)
    sink = Sink(None if in_memory else tmp_path, buffered=3)
    for length in range(1, 11):
        sink.write([batch("q" * length, 1)])
    part = sink.finish()
    assert (part.table is not None) == in_memory
    for start in range(11):
        for stop in (*range(start, 12), None):
            assert part.numbers("response_length", start, stop).tolist() == list(range(1, 11))[start:stop]
    assert part.numbers("source", 2, 7).tolist() == [0] * 5


@pytest.mark.parametrize(("kept", "pieces"), [(False, 5), (True, 1)], ids=["read once", "kept"])
def test_numbers_that_are_read_once_do_not_wait(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, kept: bool, pieces: int
) -> None:
    monkeypatch.setattr(sinks, "ROWS_PER_BATCH", 4)
    sink = Sink(tmp_path if kept else None, in_memory=0, buffered=4)
    for length in range(5):
        sink.write([batch("q" * length, 4)])
    part = sink.finish()
    assert part._numbers.reader.num_record_batches == pieces
    assert part.numbers("response_length").tolist() == [0] * 4 + [1] * 4 + [2] * 4 + [3] * 4 + [4] * 4


def test_numbers_stay_with_their_samples_where_a_text_column_is_in_pieces(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Arrow leaves columns of texts in pieces that are longer than 2 GiB together."""

    def in_pieces(batches: list[pa.RecordBatch], schema: pa.Schema) -> Any:
        table = pa.Table.from_batches(batches, schema)
        return SimpleNamespace(combine_chunks=lambda: table) if schema is SCHEMA else table

    patched = {**vars(pa), "Table": SimpleNamespace(from_batches=in_pieces)}
    monkeypatch.setattr(sinks, "pa", SimpleNamespace(**patched))
    sink = Sink(tmp_path)
    sink.write([batch("", 0), batch("a", 2), batch("bb", 3)])
    sink.write([batch("", 0)])
    assert sink.finish().numbers("response_length").tolist() == [1, 1, 2, 2, 2]
