"""What an epoch costs in memory: samples stay in the files, worker processes share their pages, streams hold a window."""

from __future__ import annotations

import os
import re
import subprocess
import sys
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
needs_proc = pytest.mark.skipif(
    not Path("/proc/self/smaps_rollup").exists(), reason="only Linux tells what a process owns"
)


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


@needs_proc
@pytest.mark.parametrize("compressed", [False, True])
def test_workers_do_not_grow_over_an_epoch(tmp_path: Path, *, compressed: bool) -> None:
    assert max(growth(tmp_path, 20_000, compressed=compressed).values()) <= GROWTH_MIB


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_workers_do_not_grow_over_400_000_samples(tmp_path: Path) -> None:
    grown = growth(tmp_path, 400_000, compressed=False)
    print("MiB:", ", ".join(f"{one:.1f}" for one in grown.values()))  # noqa: T201 - the figures of a campaign are its result
    assert max(grown.values()) <= GROWTH_MIB


# Streams, by the peak of a new process: what its parent once had is told of no other figure


OVER_IMPORT_MIB: Final = 150
OTHERS_MIB: Final = 150
"""What pandas, which pyarrow imports, and numba, which scores, take where they are: once in a process."""
STREAM: Final = """
import re, sys
from importlib.machinery import PathFinder
import torch, ktoformats

def memory(name):
    with open("/proc/self/status") as status:
        return int(re.search(rf"{name}:\\s+(\\d+) kB", status.read())[1]) / 1024

quality, absent, window, *files = sys.argv[1:]
find = PathFinder.find_spec
PathFinder.find_spec = lambda name, *rest: None if name in absent.split() else find(name, *rest)
imported = memory("VmRSS")
print(imported)
for path in files:
    config = ktoformats.KTODataConfig(
        train_file=path, balance_labels=False, min_samples_per_label=0, quality=quality, buffer_size=int(window)
    )
    print(sum(1 for _ in ktoformats.KTODataLoader(config).stream()), memory("VmHWM") - imported)
"""


def peaks(
    folder: Path, rows: list[int], quality: str, absent: str = "pandas numba", window: int = 10_000
) -> tuple[float, list[float]]:
    """MiB after the import, and at the peak over that after each stream of one process.

    By default with what ktoformats needs alone; others install pandas and numba, and then they are used.
    """
    files = []
    for count in rows:
        files.append(folder / f"{count}.jsonl")
        with files[-1].open("w", encoding="utf-8") as stream:
            for number in range(count):
                words = "so it goes on " * (10 + number % 30)
                stream.write(f'{{"prompt":"q{number}","response":"{number} {words}","label":{number % 2}}}\n')
    command = [sys.executable, "-c", STREAM, quality, absent, str(window), *map(str, files)]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert told[1::2] == list(map(str, rows)), "every sample was read"
    return float(told[0]), list(map(float, told[2::2]))


def check_peaks(imported: float, over: list[float], bound: float = OVER_IMPORT_MIB) -> None:
    assert imported > 100, "torch was imported"
    assert 10 < over[0] <= over[-1] <= bound
    assert imported + over[-1] <= 1.05 * (imported + over[0]), over


@needs_proc
def test_a_stream_takes_no_more_for_a_file_ten_times_as_long(tmp_path: Path) -> None:
    check_peaks(*peaks(tmp_path, [3_000, 30_000], "specification", window=1_000))


@needs_proc
@pytest.mark.campaign
@pytest.mark.parametrize("quality", ["specification", "form"])
@pytest.mark.parametrize("absent", ["pandas numba", ""])
def test_a_stream_takes_no_more_for_200_mib(tmp_path: Path, quality: str, absent: str) -> None:
    imported, over = peaks(tmp_path, [12_000, 120_000, 600_000], quality, absent)
    told = ", ".join(f"{one:.1f}" for one in over)
    print(f"{quality} without {absent or 'nothing'}: {imported:.1f} MiB, peaks over that: {told}")  # noqa: T201 - as above
    check_peaks(imported, over, OVER_IMPORT_MIB + (0 if absent else OTHERS_MIB))
