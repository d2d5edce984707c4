"""Folders, standard input and URLs end in the same files; nothing is read twice unseen."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING

import fsspec
import pytest

from ktoformats.errors import SourceError
from ktoformats.read.named import find_sources, public_name

if TYPE_CHECKING:
    from pathlib import Path

LINES = b'{"n":1}\n{"n":2}\n'


class Input:
    def __init__(self, data: bytes) -> None:
        self.buffer = io.BytesIO(data)


def refused(named: list[str], code: str) -> None:
    with pytest.raises(SourceError) as caught:
        find_sources(named)
    assert caught.value.code == code


def test_standard_input_is_read_like_a_file_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Input(LINES))
    blocks = find_sources("-")[0].blocks()  # nobody else holds the copy
    assert [one for block in blocks for one in block.records] == LINES.splitlines()
    refused(["-", "-"], "duplicate_source")


def test_a_url_is_read_like_a_file_and_once() -> None:
    fsspec.filesystem("memory").pipe("/named/a.jsonl", LINES)
    (source,) = find_sources("memory://named/a.jsonl")
    assert [one for block in source.blocks() for one in block.records] == LINES.splitlines()
    refused(["memory://named/a.jsonl", "memory://named/a.jsonl"], "duplicate_source")
    refused(["memory://named/a.jsonl", "memory://named/*.jsonl"], "duplicate_source")
    refused(["memory://named/none.jsonl"], "not_found")


def test_a_name_holds_no_secret() -> None:
    assert public_name("https://me:secret@host/a.csv?token=secret#x") == "https://host/a.csv"


def test_a_folder_stands_for_its_data_files(tmp_path: Path) -> None:
    taken = ("a.jsonl", "b/c.csv.gz", "d.parquet")
    left = ("README.md", ".hidden/x.jsonl", "out.manifest.yaml", "x.rejects.txt", "dataset_infos.json", "e.png")
    for name in (*taken, *left):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(LINES)
    assert [source.path for source in find_sources(tmp_path)] == [tmp_path / name for name in taken]
    (tmp_path / "none").mkdir()
    refused([str(tmp_path / "none")], "not_found")
    refused([str(tmp_path), str(tmp_path / "a.jsonl")], "duplicate_source")
