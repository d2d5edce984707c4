"""Folders, standard input and URLs end in the same files; nothing is read twice unseen, and nothing left out so.

Records in memory are as good as a file of them.
"""

from __future__ import annotations

import io
import json
import math
import os
import sys
from typing import TYPE_CHECKING, Any

import datasets
import fsspec
import pytest

from ktoformats import KTODataConfig, KTODataLoader
from ktoformats.errors import SourceError
from ktoformats.read.named import find_sources, public_name

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
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


def test_no_standard_input_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    refused(["-"], "unreadable")


def test_a_standard_input_that_cannot_be_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    class Folder(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise IsADirectoryError(21, "Is a directory")

    found = Input(b"")
    found.buffer = io.BufferedReader(Folder())  # type: ignore[assignment]
    monkeypatch.setattr(sys, "stdin", found)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    refused(["-"], "is_directory")
    assert list(tmp_path.iterdir()) == []


def test_what_a_folder_leaves_out_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("a.jsonl", "elsewhere/b.jsonl", *(f"{number}.png" for number in range(5))):
        (tmp_path / "data" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "data" / name).write_bytes(LINES)
    (tmp_path / "data" / "linked").symlink_to(tmp_path / "data" / "elsewhere")
    (tmp_path / "data" / "in.jsonl").symlink_to(tmp_path / "data" / "elsewhere")
    assert len(find_sources(tmp_path / "data")) == 2
    assert "2 files are read; left out: 0.png, 1.png, 2.png, 3.png, 4.png and 2 more" in caplog.text


def test_a_name_that_is_no_text_can_be_written_anywhere(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.jsonl")
    path.write_bytes(LINES)
    (source,) = find_sources(path)
    assert source.name == f"{tmp_path}/\\xff.jsonl"
    assert [one for block in source.blocks() for one in block.records] == LINES.splitlines()


def test_what_was_digested_is_what_is_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(LINES)
    (source,) = find_sources(path)
    source.digest()
    assert list(source.blocks())
    os.utime(path, ns=(1, 1))
    with pytest.raises(SourceError, match="the file changed") as caught:
        list(source.blocks())
    assert caught.value.code == "changed_during_read"


ROWS = [{"prompt": f"q{number}", "response": "a", "label": ("good", "bad")[number % 2]} for number in range(30)]
IN_MEMORY: dict[str, Callable[[list[dict[str, Any]]], Iterable[Any]]] = {
    "a list": list,
    "a generator": iter,
    "a data set": datasets.Dataset.from_list,
    "a data set that is streamed": lambda rows: datasets.Dataset.from_list(rows).to_iterable_dataset(),
}


@pytest.mark.parametrize("kind", IN_MEMORY)
def test_records_in_memory_give_what_a_file_of_them_gives(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    options = {"balance_labels": False, "min_samples_per_label": 0}
    filed = KTODataLoader(KTODataConfig(train_file=path, **options), enable_cache=False).load_dataset("train")
    loader = KTODataLoader(KTODataConfig(**options))
    found = list(loader.load_records(IN_MEMORY[kind](ROWS)))
    assert found == [{**one, "source": "<records>"} for one in filed]
    assert loader.report.total.lines == len(ROWS)
    loader.report.check()


def test_a_record_that_is_no_json_costs_itself() -> None:
    hostile: list[Any] = [{"prompt": "q", "response": b"a", "label": 1}, {"x": math.nan}, None, {1: 2}]
    loader = KTODataLoader(KTODataConfig(balance_labels=False, min_samples_per_label=0))
    found = list(loader.load_records([ROWS[0], *hostile, ROWS[1]]))
    assert [one["line"] for one in found] == [1, 6]
    reasons = ["wrong_type", "non_finite", "not_an_object", "wrong_type"]
    assert sorted((one.line, one.reason) for one in loader.report.rejects) == list(enumerate(reasons, start=2))
