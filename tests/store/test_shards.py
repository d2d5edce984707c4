"""Sources and their shards: what is built again, and what is not."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import KTODataConfig, KTODataLoader, SourceError
from ktoformats.convert.pipeline import Pipeline
from ktoformats.store import shards

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ktoformats.read.blocks import Block

ROWS = 8


def put(path: Path, first: int, rows: int = ROWS) -> Path:
    path.write_text(
        "".join(
            json.dumps({"prompt": f"q{number}", "response": f"answer {number}", "label": number % 2}) + "\n"
            for number in range(first, first + rows)
        )
    )
    return path


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Load with one cache; the samples, and the sources of the blocks that were converted."""
    converted: list[str] = []
    real = Pipeline.convert

    def convert(self: Pipeline, block: Block) -> Any:
        converted.append(block.source.rpartition("/")[2])
        return real(self, block)

    monkeypatch.setattr(Pipeline, "convert", convert)

    def run(paths: list[Path], **options: Any) -> tuple[list[dict[str, Any]], list[str]]:
        converted.clear()
        config = KTODataConfig(train_file=list(paths), balance_labels=False, min_samples_per_label=0, **options)
        dataset = KTODataLoader(config, cache_dir=tmp_path / "cache").load_dataset()
        return list(dataset), list(converted)

    return run


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    return [put(tmp_path / f"{number}.jsonl", number * ROWS) for number in range(9)]


def test_one_more_file_builds_only_itself(load: Callable[..., Any], files: list[Path]) -> None:
    load(files[:5])
    samples, converted = load(files[:6])
    assert converted == ["5.jsonl"]
    assert [sample["prompt"] for sample in samples] == [f"q{number}" for number in range(6 * ROWS)]


def test_small_files_are_kept_together(
    load: Callable[..., Any], files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SMALL_TOGETHER", 4)
    samples, _ = load(files)
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == 2 + 1, "eight of nine in two groups"
    assert [sample["line"] for sample in samples] == [*range(1, ROWS + 1)] * 9
    assert [sample["source"] for sample in samples] == [str(path) for path in files for _ in range(ROWS)]
    again, converted = load(files)
    assert (again, converted) == (samples, [])


def test_a_group_that_is_full_is_built_once(
    load: Callable[..., Any], files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SMALL_TOGETHER", 4)
    load(files[:6])
    assert load(files[:7])[1] == ["6.jsonl"]
    assert load(files[:8])[1] == [f"{number}.jsonl" for number in range(4, 8)]
    assert load(files)[1] == ["8.jsonl"]


def test_a_large_file_among_small_ones_is_alone(
    load: Callable[..., Any], files: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shards, "SMALL_TOGETHER", 4)
    large = put(tmp_path / "large.jsonl", 1000, rows=6000)
    assert large.stat().st_size > shards.SMALL_BYTES
    paths = [*files[:5], large, *files[5:]]
    samples, _ = load(paths)
    assert len(list((tmp_path / "cache" / "shards").iterdir())) == (1 + 1) + 1 + 1
    assert list(dict.fromkeys(sample["source"] for sample in samples)) == [str(path) for path in paths]


def test_a_full_disk_is_told_before_anything_is_read(
    load: Callable[..., Any], files: list[Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "ktoformats.store.vault.shutil.disk_usage", lambda _: SimpleNamespace(total=10, used=9, free=1)
    )
    with pytest.raises(
        SourceError, match="1 are free; make room, set cache_dir, or set enable_cache=False"
    ) as caught:
        load(files)
    assert caught.value.code == "no_space"
    monkeypatch.undo()
    assert len(load(files)[0]) == 9 * ROWS
