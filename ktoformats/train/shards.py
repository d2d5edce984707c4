"""Folders of several files: made in a private place, published in one step, with side files beside them."""

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
from ktoformats.train.sidefiles import (
    FAILED_SUFFIX,
    MANIFEST_SUFFIX,
    ROWS_SUFFIX,
    read_manifest,
    side_file,
    write_manifest,
)
from ktoformats.train.writing import files_in, write_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ktoformats.plugin.kinds import Exporter
    from ktoformats.train.writing import Batches

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


def write_shards(
    exporter: Exporter, name: str, batches: Batches, folder: Path, split: str, rows: int
) -> tuple[Mapping[str, Any], dict[str, int]]:
    """Write samples into several files of one new folder, named as `datasets` names the shards of a split.

    Args:
        exporter: Writes each file; what depends on all samples is settled.
        name: Its plugin name, for messages.
        batches: All samples, in the order to write.
        folder: The folder, which is made here.
        split: The split that they are of.
        rows: So many samples go into a file, fewer into the last; no samples at all are one file.

    Returns:
        What the exporter told of the first file, and file to number of samples.
    """
    folder.mkdir()
    count = max(1, -(-len(batches) // rows))
    told: list[Mapping[str, Any]] = []
    shards: dict[str, int] = {}
    for number in range(count):
        own = batches.part(number * rows, (number + 1) * rows)
        file = f"{split}-{number:05}-of-{count:05}{exporter.ending}"
        told.append(write_with(exporter, name, own, folder / file))
        shards[file] = len(own)
    return told[0], shards


def check_folder(target: Path) -> None:
    """Refuse to replace anything but what an earlier run wrote, which its manifest names.

    Raises:
        ConfigError: It is a file, or a folder that holds something else.
    """
    if not target.exists():
        return
    if not target.is_dir():
        raise ConfigError(f"{target} is a file; shards go into a folder: name another, nothing was replaced")
    manifest = side_file(target, MANIFEST_SUFFIX)
    told = read_manifest(manifest)
    known = {*(told.get("shards") or ()), *(told.get("contents") or ())}
    others = [name for name in files_in(target) if name not in known and not _SHARD.fullmatch(name)]
    if others or (not manifest.is_file() and any(target.iterdir())):
        seen = f"it holds {others[0]}" if others else "no manifest stands beside it"
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


def publish(part: Path, target: Path, manifest: Mapping[str, Any] | None = None) -> None:
    """Move a file or a folder to its place, and the side files that stand beside it.

    Args:
        part: What is moved, on the same file system; its parent takes a folder that is replaced.
        target: The place.
        manifest: What is told of it; None if its manifest stands beside it already.

    Raises:
        SourceError: The place cannot be written; an earlier folder stands where it was.
    """
    old = part.with_name(f".old.{part.name}")
    folder = not part.is_file()
    try:
        if manifest is not None:
            write_manifest(side_file(part, MANIFEST_SUFFIX), manifest)
        if folder and target.exists():
            target.rename(old)
        try:
            if folder:
                part.rename(target)
            _publish_sides(part, target)
            if not folder:
                part.replace(target)
        except OSError:
            if folder and target.exists():  # the folder is there, and its side files are not
                target.rename(part)
            if old.exists():
                old.rename(target)
            raise
    except OSError as error:
        raise _unwritable(target, error) from error
    side_file(target, FAILED_SUFFIX).unlink(missing_ok=True)


def _publish_sides(part: Path, target: Path) -> None:
    """Move the side files; what an earlier run left and this one has not goes."""
    for suffix in (ROWS_SUFFIX, MANIFEST_SUFFIX):
        if side_file(part, suffix).exists():
            side_file(part, suffix).replace(side_file(target, suffix))
        else:
            side_file(target, suffix).unlink(missing_ok=True)


def _unwritable(target: Path, error: OSError) -> SourceError:
    message = f"cannot be written ({error.strerror or error}); nothing was published"
    return SourceError("not_writable", str(target), message)
