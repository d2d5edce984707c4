"""One piece of work in a process of its own: `python -m bench.child WORK SOURCE FIRST FOLDER` prints what it took."""

from __future__ import annotations

import gc
import json
import logging
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

from bench import ours, peers, specification

if TYPE_CHECKING:
    from collections.abc import Callable

_STATUS: Final = Path("/proc/self/status")
_PAUSE_S: Final = 0.005


def build(source: Path, folder: Path) -> object:
    """The whole build, nothing cached."""
    return ours.convert(source, folder / "out.parquet")


def build_cached(source: Path, folder: Path) -> object:
    """The whole build as the command does it unless told otherwise, into an empty cache."""
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    return ours.convert(source, folder / "out.parquet", cached=True)


def with_datasets(source: Path, folder: Path) -> object:
    """The same with Hugging Face `datasets`."""
    peers.quiet()
    return peers.hugging_face(source, folder / "out.parquet", formula="for speed")


def loop(source: Path, folder: Path) -> object:
    """The specification's loop, which writes nothing."""
    del folder
    return specification.load(source)


BUILD: Final = "build, --no-cache"
CACHED: Final = "build"
WORKS: Final[dict[str, Callable[[Path, Path], object]]] = {
    BUILD: build,
    CACHED: build_cached,
    "datasets": with_datasets,
    "specification": loop,
}


def memory(field: str) -> int:
    """Bytes of one line of this process's status."""
    line = next(line for line in _STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{field}:"))
    return int(line.split()[1]) * 1024


class Anonymous(threading.Thread):
    """Watches how much memory belongs to no file."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.peak = 0
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(_PAUSE_S):
            self.peak = max(self.peak, memory("RssAnon"))

    def stop(self) -> int:
        """The highest that was seen."""
        self._done.set()
        self.join()
        return max(self.peak, memory("RssAnon"))


def main() -> None:
    """Run and print."""
    name, *paths = sys.argv[1:]
    source, first, folder = map(Path, paths)
    logging.disable(logging.WARNING)
    work = WORKS[name]
    for part in ("first", "whole"):
        (folder / part).mkdir()
    made = work(first, folder / "first")
    del made
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="ascii")  # the peak begins again here
    resident, anonymous = memory("VmRSS"), memory("RssAnon")
    watch = Anonymous()
    watch.start()
    start = time.perf_counter()
    made = work(source, folder / "whole")
    seconds = time.perf_counter() - start
    highest = watch.stop()
    del made
    took = {"seconds": seconds, "bytes": memory("VmHWM") - resident, "anonymous": highest - anonymous}
    print(json.dumps(took))


if __name__ == "__main__":
    main()
