"""Many files of samples in one folder, published in one step, with one manifest beside it."""

from __future__ import annotations

import os
import re
import shutil
import socket
import time
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final, Protocol, cast

import orjson
import pyarrow as pa

from ktoformats.errors import ConfigError, KTODataError, SourceError
from ktoformats.plugin.registry import Registry
from ktoformats.store.told import tell_error
from ktoformats.train.export import FAILED_SUFFIX, MANIFEST_SUFFIX, side_file, write_manifest, write_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ktoformats.plugin.kinds import Exporter

MOST_DEATHS: Final = 3
"""So often the process that writes a file may die."""
_TRIES: Final = 10
_PAUSE_S: Final = 0.3
_SHARD: Final = re.compile(r"part-\d{5,}\.\w+")


class Samples(Protocol):
    """Batches that may be iterated again, and their number of rows."""

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        """The batches."""

    def __len__(self) -> int:
        """The rows of all of them."""


def write_shard(
    samples: Samples, number: int, *, exporter: str, options: dict[str, Any], folder: Path
) -> Iterator[pa.Table]:
    """Write one file with an exporter that is made here; its row tells file, samples and any error."""
    row: dict[str, Any] = {"file": "", "samples": len(samples), "told": b"{}", "error": b""}
    try:
        made = cast("Exporter", Registry().make("exporter", exporter, options, {}))
        row["file"] = f"part-{number:05}{made.suffix}"
        deaths = len(list(folder.glob(f".*-{row['file']}")))
        if deaths >= MOST_DEATHS:
            raise KTODataError(
                f"{row['file']}: the process that wrote it died, {deaths} times; nothing was published"
            )
        part = folder / f".{socket.gethostname()}-{os.getpid()}-{row['file']}"
        row["told"] = orjson.dumps(dict(write_with(made, exporter, samples, part)))
        with part.open("rb") as stream:
            os.fsync(stream.fileno())
        part.replace(folder / row["file"])
    except Exception as error:  # noqa: BLE001 - whoever asked raises it
        row["error"] = orjson.dumps(tell_error(error))
    yield pa.Table.from_pylist([row])


def check_folder(target: Path) -> None:
    """Refuse to replace anything but what an earlier run wrote.

    Raises:
        ConfigError: It is a file, or a folder that holds something else.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise ConfigError(f"{target} is a file; shards go into a folder: name another, nothing was replaced")
    others = [path.name for path in target.iterdir() if not _SHARD.fullmatch(path.name)]
    ours = side_file(target, MANIFEST_SUFFIX).is_file()
    if others or (not ours and any(target.iterdir())):
        seen = f"it holds {min(others)}" if others else "no manifest stands beside it"
        raise ConfigError(f"{target} is no earlier output ({seen}); name another folder, nothing was replaced")


@contextmanager
def workplace(target: Path) -> Iterator[Path]:
    """A private folder beside the output, that goes with all that is left in it.

    Raises:
        SourceError: The place cannot be written.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        folder = Path(mkdtemp(prefix=f".{target.name}.", suffix=".part", dir=target.parent.absolute()))
    except OSError as error:
        raise SourceError("not_writable", str(target), f"cannot be written ({error.strerror})") from error
    try:
        yield folder
    finally:
        for _ in range(_TRIES):  # a worker that has not heard yet may still put something there
            shutil.rmtree(folder, ignore_errors=True)
            if not folder.exists():
                break
            time.sleep(_PAUSE_S)


def publish(shards: Path, target: Path, manifest: Mapping[str, Any]) -> None:
    """Move a folder of shards to its place, and write the manifest beside it.

    Args:
        shards: The folder, on the same file system; its parent takes what is replaced.
        target: The place.
        manifest: What is told of it.

    Raises:
        SourceError: The place cannot be written; an earlier output stands where it was.
    """
    old = shards.with_name("old")
    try:
        if target.exists():
            target.rename(old)
        try:
            shards.rename(target)
            write_manifest(side_file(target, MANIFEST_SUFFIX), manifest)
        except OSError:
            if target.exists():  # the shards are there, and their manifest is not
                target.rename(shards)
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); nothing was published"
        raise SourceError("not_writable", str(target), message) from error
    side_file(target, FAILED_SUFFIX).unlink(missing_ok=True)
