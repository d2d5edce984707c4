"""`convert --dry-run`: it says what the run would say, ends as the run would end, and leaves everything as it was."""

from __future__ import annotations

import json
import os
import tempfile
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = {"prompt": "q", "response": "a good answer", "label": "good"}
BAD = {"prompt": "q", "response": "a bad answer", "label": "bad"}
REJECTED = {"prompt": "q", "response": "r", "label": "perhaps"}


def state(*folders: Path) -> dict[str, tuple[int, int, bytes]]:
    """Everything below some folders: names, times, contents."""
    found = {}
    for folder in folders:
        for path in sorted([folder, *folder.rglob("*")]) if folder.exists() else []:
            info = path.lstat()
            found[str(path)] = (info.st_mtime_ns, info.st_mode, path.read_bytes() if path.is_file() else b"")
    return found


@pytest.fixture
def dry(command: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run convert twice: dry, which must change nothing, and then in earnest, which must end in the same way."""
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))

    def call(*words: str | Path, **_: Any) -> tuple[Any, Any]:
        before = state(tmp_path)
        tried = command("convert", *words, "--dry-run")
        assert state(tmp_path / "work", tmp_path / "cache") == {
            key: value
            for key, value in before.items()
            if key.startswith((str(tmp_path / "work"), str(tmp_path / "cache")))
        }
        assert list((tmp_path / "tmp").iterdir()) == []
        done = command("convert", *words)
        assert tried.status == done.status
        assert tried.err == done.err
        return tried, done

    return call


@pytest.mark.parametrize(
    "more",
    [
        ["-o", "x.jsonl"],
        ["-o", "deep/down/x.parquet", "--to", "parquet"],
        ["-o", "x.jsonl", "--no-cache"],
        ["-o", "x.jsonl", "--batch-size", "2"],
        ["-o", "x.jsonl", "--on-error", "skip"],
        ["-o", "parts", "--rows-per-shard", "3"],
        ["-o", "data", "--split", "train=0.5,validation=0.5"],
        ["-o", "x.jsonl", "--rejects", "elsewhere/r.txt"],
        ["-o", "hub", "--to", "huggingface"],
    ],
    ids=" ".join,
)
def test_it_says_what_the_run_says_and_names_what_the_run_writes(
    more: list[str], dry: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    records = [{**(GOOD if i % 2 else BAD), "prompt": f"p{i}", "response": f"r{i}"} for i in range(12)]
    tried, done = dry(lines([*records, REJECTED]), *more)
    assert tried.status == 0, tried.err
    plain = [line for line in tried.out.splitlines() if not line.startswith(("would write ", "nothing was written"))]
    assert plain == [line for line in done.out.splitlines() if not line.startswith("wrote ")]
    wrote = [line.removeprefix("wrote ") for line in done.out.splitlines() if line.startswith("wrote ")]
    would = [line.removeprefix("would write ") for line in tried.out.splitlines() if line.startswith("would write ")]
    assert would[: len(wrote)] == wrote
    named = set(would[len(wrote) :])
    work = tmp_path / "work"
    written = {path.relative_to(work) for path in work.rglob("*") if path.is_file()}
    assert {name for name in map(str, written) if not any(name.startswith(f"{one}/") for one in named)} <= named
    assert all((work / name).exists() for name in named)
    assert "nothing was written: this was a dry run" in tried.out


def test_json_is_that_of_the_run_and_says_more(
    command: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    source = lines([GOOD, BAD, REJECTED])
    (tmp_path / "work" / "x.jsonl").write_text("old")
    tried = json.loads(command("convert", source, "-o", "x.jsonl", "--dry-run", "--json").out)
    assert (tmp_path / "work" / "x.jsonl").read_text() == "old"
    done = json.loads(command("convert", source, "-o", "x.jsonl", "--json").out)
    assert tried.pop("dry_run") is True
    assert set(tried.pop("would_write")) == {path.name for path in (tmp_path / "work").iterdir()}
    assert tried.pop("would_replace") == ["x.jsonl"]
    for one in (tried, done):
        del one["written"]
    assert tried == done


@pytest.mark.parametrize(
    ("records", "more", "status"),
    [
        ([GOOD, REJECTED], ["--on-error", "fail"], 1),
        ([GOOD, {**GOOD, "prompt": "p"}], [], 1),  # one class
        ([], [], 1),
        ([GOOD, BAD] * 50 + [REJECTED] * 101, [], 1),  # the budget
        ([GOOD, BAD], ["--to", "tlr"], 3),
        ([GOOD, BAD], ["--set", "promt_column=q"], 2),
        ([GOOD, BAD], ["--set", "prompt_column=promt"], 1),
    ],
)
def test_what_the_run_refuses_the_dry_run_refuses_in_the_same_words(
    records: list[Any], more: list[str], status: int, dry: Callable[..., Any], lines: Callable[..., Path]
) -> None:
    tried, _ = dry(lines(records), "-o", "x.jsonl", *more)
    assert tried.status == status


@pytest.mark.parametrize("target", ["file/x.jsonl", "file/deep/x.jsonl"])
def test_places_that_cannot_be_written_are_refused(
    target: str, dry: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "work" / "file").write_text("")
    tried, _ = dry(lines([GOOD, BAD]), "-o", target)
    assert tried.status == 1
    assert f"{target}: cannot be written (file is a file, not a folder" in tried.err


def test_a_cache_that_cannot_be_used_is_refused_unless_none_is_wanted(
    command: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "cache").write_text("")
    words = ["convert", lines([GOOD, BAD]), "-o", "x.jsonl", "--dry-run"]
    done = command(*words)
    assert done.status == 1
    assert "cache is a file, not a folder; or say --no-cache" in done.err
    assert command(*words, "--no-cache").status == 0


def test_a_cache_that_is_there_stays_as_it_is(dry: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([GOOD, BAD])
    dry(source, "-o", "x.jsonl")
    os.sync()
    dry(source, "-o", "x.jsonl")  # now there is one, and an earlier output


def test_ray_is_not_needed_to_try(command: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path) -> None:
    done = command("convert", lines([GOOD, BAD]), "-o", "out", "--to", "jsonl", "--engine", "ray", "--dry-run")
    assert done.status == 0, done.err
    assert "would write 2 samples to out (jsonl, source order)" in done.out
    assert list((tmp_path / "work").iterdir()) == []
