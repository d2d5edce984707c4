"""What many tests share."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ktoformats import KTODataConfig, KTODataLoader

Load = Callable[..., tuple[list[dict[str, Any]], KTODataLoader]]


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave campaigns out unless `-m` says something about marks."""
    if config.option.markexpr:
        return
    left_out = [item for item in items if item.get_closest_marker("campaign")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@pytest.fixture(autouse=True)
def same_environment() -> Iterator[None]:
    """Put back `os.environ` itself: `datasets` replaces the object where it maps with processes, and rich keeps it."""
    before = os.environ
    yield
    os.environ = before  # noqa: B003 - the very object is what others hold on to


@pytest.fixture(autouse=True)
def own_modules(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Forget what was imported from a test's own folder: the modules of another test have the same names."""
    before, base = set(sys.modules), str(tmp_path_factory.getbasetemp())
    yield
    for name in set(sys.modules) - before:
        file = str(getattr(sys.modules[name], "__file__", None) or "")
        if file.startswith(base) and not any(file.startswith(f"{folder}{os.sep}") for folder in sys.path if folder):
            del sys.modules[name]


def write_lines(path: Path, records: Iterable[Any]) -> Path:
    """Write records as JSON Lines; bytes and texts are written as they are."""
    with path.open("wb") as stream:
        for record in records:
            line = record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()
            stream.write(line + b"\n")
    return path


@pytest.fixture
def lines(tmp_path: Path) -> Callable[[Iterable[Any]], Path]:
    """Write records to a new file."""
    count = 0

    def write(records: Iterable[Any]) -> Path:
        nonlocal count
        count += 1
        return write_lines(tmp_path / f"records{count}.jsonl", records)

    return write


@pytest.fixture
def files_named() -> Callable[[Path, str], set[Path]]:
    """Find files by name below a folder that another process works in: unlike `rglob`, folders may go meanwhile."""

    def find(folder: Path, name: str) -> set[Path]:
        return {Path(place, name) for place, _, files in os.walk(folder) if name in files}

    return find


@pytest.fixture
def load(lines: Callable[[Iterable[Any]], Path]) -> Load:
    """Load records: samples in source order, and the loader with its report. Nothing is balanced or required."""

    def run(records: Iterable[Any], **options: Any) -> tuple[list[dict[str, Any]], KTODataLoader]:
        values = {"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False} | options
        config = KTODataConfig(train_file=lines(records), **values)
        loader = KTODataLoader(config, enable_cache=False)
        samples = list(loader.load_dataset("train"))
        loader.report.check()
        return samples, loader

    return run
