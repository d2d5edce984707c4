"""Paired runs, their medians, and runs in a process of their own with its peak memory."""

from __future__ import annotations

import gc
import json
import math
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    Work = Callable[[Path], object]

HOME: Final = Path(__file__).parents[1]
"""The folder of the suite; children start there."""


class Spread(NamedTuple):
    """The median of several runs, and how far apart they lie."""

    median: float
    low: float
    high: float
    runs: int

    def times(self, factor: float) -> Spread:
        """The same in another unit."""
        return Spread(self.median * factor, self.low * factor, self.high * factor, self.runs)


def spread(values: Iterable[float]) -> Spread:
    """Median, smallest and largest of some numbers."""
    each = sorted(values)
    return Spread(statistics.median(each), each[0], each[-1], len(each))


def ratio(top: list[float], bottom: list[float]) -> Spread:
    """Of each repetition its own ratio, then the median: a slow moment of the machine touches both sides."""
    return spread(one / other for one, other in zip(top, bottom, strict=True))


def turns(names: Iterable[str], repeat: int) -> Iterator[str]:
    """Every name once in each repetition, beginning one further each time: nobody is always the first."""
    order = list(names)
    for number in range(repeat):
        start = number % len(order)
        yield from order[start:] + order[:start]


def paired(works: Mapping[str, Work], repeat: int, scratch: Path) -> dict[str, list[float]]:
    """Time every competitor once in each repetition, one after another.

    Args:
        works: Called with an empty folder, which is removed afterwards.
        repeat: How many repetitions.
        scratch: Where the folders are made.

    Returns:
        Seconds of each repetition.
    """
    seconds: dict[str, list[float]] = {name: [] for name in works}
    gc.collect()
    gc.freeze()  # or what torch and datasets keep alive is walked through in everybody's measured time
    for name in turns(works, repeat):
        folder = Path(tempfile.mkdtemp(dir=scratch))
        gc.collect()
        start = time.perf_counter()
        made = works[name](folder)
        seconds[name].append(time.perf_counter() - start)
        del made
        shutil.rmtree(folder)
    return seconds


def command_seconds(words: list[str]) -> float:
    """Seconds of a command, from start to end.

    Raises:
        SystemExit: It failed.
    """
    start = time.perf_counter()
    done = subprocess.run(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    taken = time.perf_counter() - start
    if done.returncode:
        raise SystemExit(f"{' '.join(words)}: exit status {done.returncode}\n{done.stderr}")
    return taken


class Peak(NamedTuple):
    """What a process of its own needed for its work, above what its imports and a first small run left behind."""

    seconds: float
    bytes: int
    """Of resident memory at its highest (VmHWM), mapped files included."""
    anonymous: int
    """Of memory that belongs to no file (RssAnon), sampled every few milliseconds."""


def in_child(work: str, source: Path, first: Path, scratch: Path) -> Peak:
    """Run one of `bench.child.WORKS` in a fresh process.

    Args:
        work: Its name.
        source: The file it reads.
        first: A small file that it reads before anything is measured.
        scratch: Where it may write.

    Raises:
        SystemExit: It failed.
    """
    folder = Path(tempfile.mkdtemp(dir=scratch))
    words = [sys.executable, "-m", "bench.child", work, str(source), str(first), str(folder)]
    done = subprocess.run(words, cwd=HOME, env=child_environment(), capture_output=True, text=True, check=False)
    shutil.rmtree(folder)
    if done.returncode:
        raise SystemExit(f"{work}: exit status {done.returncode}\n{done.stderr}")
    return Peak(**json.loads(done.stdout.splitlines()[-1]))


def child_environment() -> dict[str, str]:
    """As ours, and no look at the network."""
    return dict(os.environ) | {"HF_HUB_OFFLINE": "1"}


def same(what: str, samples: Mapping[str, list[Any]]) -> None:
    """Make sure that all competitors made the same; of a float the last bits may differ.

    A power is rounded by whoever computes it: numpy's differs from the C library's on some processors.

    Raises:
        SystemExit: They did not, so their times say nothing.
    """
    (first, expected), *others = samples.items()
    if not expected:
        raise SystemExit(f"{what}: {first} made no samples")
    for name, made in others:
        at = next((n for n, (a, b) in enumerate(zip(made, expected, strict=False)) if not _alike(a, b)), None)
        if at is None and len(made) == len(expected):
            continue
        shown = f"{len(made)} and {len(expected)} samples" if at is None else f"{made[at]} and {expected[at]}"
        raise SystemExit(f"{what}: {name} and {first} make different samples: {shown}")


def _alike(one: Any, other: Any) -> bool:
    if type(one) is float and type(other) is float:
        return math.isclose(one, other, rel_tol=1e-14)
    if type(one) is dict and type(other) is dict:
        return one.keys() == other.keys() and all(_alike(one[key], other[key]) for key in one)
    return bool(one == other)
