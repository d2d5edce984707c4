"""Parquet and Arrow: rows as JSON, damage told, nothing dropped in silence."""

from __future__ import annotations

import math
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ktoformats.errors import SourceError
from ktoformats.read.lines import blocks

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def as_parquet(path: Path, table: pa.Table) -> Path:
    pq.write_table(table, path, write_page_checksum=True)
    return path


def as_file(path: Path, table: pa.Table) -> Path:
    with pa.ipc.new_file(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


def as_stream(path: Path, table: pa.Table) -> Path:
    with pa.ipc.new_stream(str(path), table.schema) as writer:
        writer.write_table(table)
    return path


Write = pytest.mark.parametrize("write", [as_parquet, as_file, as_stream])


def read(path: Path, **options: Any) -> tuple[list[Any], list[tuple[int, str]]]:
    found = list(blocks(path, **options))
    records = [orjson.loads(one) for block in found for one in block.records]
    return records, [(fault.line, fault.reason) for block in found for fault in block.faults]


@Write
def test_values_are_written_as_json(tmp_path: Path, write: Callable[[Path, pa.Table], Path]) -> None:
    row = {
        "text": pa.array(["x"], pa.large_string()),
        "turns": pa.array([[{"role": "user", "content": "q"}]]),
        "time": pa.array([2**60 + 1], pa.int64()).cast(pa.timestamp("ns")),
        "price": pa.array([Decimal("1.10")]),
        "bytes": pa.array([b"ok"]),
        "map": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
        "kind": pa.array(["good"]).dictionary_encode(),
    }
    records, faults = read(write(tmp_path / "t", pa.table(row)))
    assert not faults
    assert records == [
        {
            "text": "x",
            "turns": [{"role": "user", "content": "q"}],
            "time": "2006-07-14T23:58:24.606846977",
            "price": "1.10",
            "bytes": "ok",
            "map": {"k": 1},
            "kind": "good",
        }
    ]


@Write
@pytest.mark.parametrize(
    ("bad", "good", "kind", "reason"),
    [
        (math.nan, 1.0, pa.float64(), "non_finite"),
        (b"\xff", b"x", pa.binary(), "wrong_type"),
        (2**62, 1, pa.timestamp("us"), "wrong_type"),
        (2**31 - 1, 1, pa.date32(), "wrong_type"),
        ([("k", 1), ("k", 2)], [("k", 1)], pa.map_(pa.string(), pa.int64()), "wrong_type"),
        ("x" * 2000, "x", pa.string(), "line_too_long"),
    ],
    ids=["nan", "bytes", "time", "date", "map", "long"],
)
def test_a_row_that_is_no_json_costs_itself(
    tmp_path: Path, write: Callable[[Path, pa.Table], Path], bad: Any, good: Any, kind: pa.DataType, reason: str
) -> None:
    storage = {pa.timestamp("us"): pa.int64(), pa.date32(): pa.int32()}.get(kind, kind)
    table = pa.table({"x": pa.array([good, bad, good], storage).cast(kind)})
    records, faults = read(write(tmp_path / "t", table), max_line_bytes=1000)
    assert (len(records), faults) == (2, [(2, reason)])


@Write
def test_columns_of_one_name_are_refused(tmp_path: Path, write: Callable[[Path, pa.Table], Path]) -> None:
    table = pa.Table.from_arrays([pa.array(["x"]), pa.array(["y"])], names=["a", "a"])
    with pytest.raises(SourceError, match="twice"):
        read(write(tmp_path / "t", table))


@Write
@pytest.mark.parametrize("nested", [False, True])
def test_extension_types_are_refused_at_any_depth(
    tmp_path: Path, write: Callable[[Path, pa.Table], Path], *, nested: bool
) -> None:
    values = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16], pa.binary(16)))
    column = pa.ListArray.from_arrays(pa.array([0, 1], pa.int32()), values) if nested else values
    with pytest.raises(SourceError) as caught:
        read(write(tmp_path / "t", pa.table({"u": column})))
    assert caught.value.code == "unsupported_container"


@Write
def test_every_cut_is_told(tmp_path: Path, write: Callable[[Path, pa.Table], Path]) -> None:
    data = write(tmp_path / "whole", pa.table({"a": [f"text {number}" for number in range(20)]})).read_bytes()
    cut = tmp_path / "cut"
    for size in range(12, len(data)):
        cut.write_bytes(data[:size])
        with pytest.raises(SourceError) as caught:
            read(cut)
        assert caught.value.code in {"truncated_file", "corrupt_file"}, size
