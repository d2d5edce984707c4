"""The same records give the same samples from every container, a folder of all, standard input and a URL."""

from __future__ import annotations

import bz2
import csv
import gzip
import io
import json
import lzma
import sys
from typing import TYPE_CHECKING, Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq

from ktoformats import KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest

ROWS = [
    {"prompt": f"q {number}", "response": f"a\n{number}", "label": ("good", "bad")[number % 2]}
    for number in range(33)
]


def samples(named: Any) -> list[str]:
    config = KTODataConfig(train_file=named, balance_labels=False, min_samples_per_label=0)
    found = list(KTODataLoader(config, enable_cache=False).load_dataset("train"))
    return sorted(" | ".join(str(one[key]) for key in ("id", "label", "prompt", "response")) for one in found)


def as_lines(rows: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


def as_table(rows: list[dict[str, str]], delimiter: str) -> str:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def as_parquet(rows: list[dict[str, str]]) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), buffer)
    return buffer.getvalue()


def as_arrow(rows: list[dict[str, str]]) -> bytes:
    buffer = io.BytesIO()
    table = pa.Table.from_pylist(rows)
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


CONTAINERS: dict[str, Callable[[list[dict[str, str]]], bytes]] = {
    "a.jsonl": as_lines,
    "b.json": lambda rows: json.dumps(rows).encode(),
    "c.csv": lambda rows: as_table(rows, ",").encode(),
    "d.tsv": lambda rows: as_table(rows, "\t").encode("utf-16"),
    "e.parquet": as_parquet,
    "f.arrow": as_arrow,
    "g.jsonl.gz": lambda rows: gzip.compress(as_lines(rows)),
    "h.jsonl.zst": lambda rows: pa.compress(as_lines(rows), codec="zstd", asbytes=True),
    "i.jsonl.xz": lambda rows: lzma.compress(as_lines(rows)),
    "j.jsonl.bz2": lambda rows: bz2.compress(as_lines(rows)),
    "k.csv.gz": lambda rows: gzip.compress(as_table(rows, ",").encode()),
}


class Input:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def test_every_way_gives_the_same_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tmp_path / "plain.jsonl"
    plain.write_bytes(as_lines(ROWS))
    expected = samples(plain)
    assert len(expected) == len(ROWS)
    folder = tmp_path / "folder"
    folder.mkdir()
    for start, (name, write) in enumerate(CONTAINERS.items()):
        (folder / name).write_bytes(write(ROWS[start :: len(CONTAINERS)]))
    assert samples(folder) == expected
    fsspec.filesystem("memory").pipe("/mixed/plain.jsonl", plain.read_bytes())
    assert samples("memory://mixed/plain.jsonl") == expected
    monkeypatch.setattr(sys, "stdin", Input(plain.read_bytes()))
    assert samples("-") == expected
