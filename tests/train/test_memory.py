"""What an epoch costs in memory: samples stay in the files, and worker processes share their pages."""

from __future__ import annotations

import os
import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from torch.utils.data import DataLoader

from ktoformats import KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Iterable

WORKERS: Final = 4
GROWTH_MIB: Final = 10
_OWN: Final = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB$", re.MULTILINE)
_SWALLOWED: Final = "x" * 600


def own_memory(batch: list[dict[str, Any]]) -> tuple[int, float, int]:
    """The process that made a batch, what it alone has in memory in MiB, and the characters of the batch."""
    kilobytes = sum(map(int, _OWN.findall(Path("/proc/self/smaps_rollup").read_text(encoding="ascii"))))
    return os.getpid(), kilobytes / 1024, sum(len(sample["response"]) for sample in batch)


def growth(folder: Path, rows: int, *, compressed: bool) -> dict[int, float]:
    """By how many MiB each worker grows between the end of its first tenth of an epoch and its last batch."""
    path = folder / "a.jsonl"
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            stream.write(f'{{"prompt":"q{number}","response":"{number} {_SWALLOWED}","label":{number % 2}}}\n')
    config = KTODataConfig(train_file=path, balance_labels=False, quality="specification")
    dataset = KTODataLoader(config, cache_dir=folder / "cache", cache_compression=compressed).load_dataset()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch warns of fork, and of fewer processors than workers
        loader: Iterable[tuple[int, float, int]] = DataLoader(
            dataset, batch_size=64, shuffle=True, num_workers=WORKERS, collate_fn=own_memory
        )
        seen: dict[int, list[float]] = {}
        characters = 0
        for process, mebibytes, length in loader:
            seen.setdefault(process, []).append(mebibytes)
            characters += length
    assert characters > rows * len(_SWALLOWED), "every sample was read"
    assert len(seen) == WORKERS
    later = {process: values[len(values) // 10 :] for process, values in seen.items()}
    return {process: max(values) - values[0] for process, values in later.items()}


@pytest.mark.skipif(not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what a process owns")
@pytest.mark.parametrize("compressed", [False, True])
def test_workers_do_not_grow_over_an_epoch(tmp_path: Path, *, compressed: bool) -> None:
    assert max(growth(tmp_path, 20_000, compressed=compressed).values()) <= GROWTH_MIB


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_workers_do_not_grow_over_400_000_samples(tmp_path: Path) -> None:
    grown = growth(tmp_path, 400_000, compressed=False)
    print("MiB:", ", ".join(f"{one:.1f}" for one in grown.values()))  # noqa: T201 - the figures of a campaign are its result
    assert max(grown.values()) <= GROWTH_MIB
