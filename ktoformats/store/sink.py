"""Where converted batches go: into memory, or into one Arrow IPC file that is memory-mapped."""

from __future__ import annotations

import mmap
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow as pa

from ktoformats.feedback import SCHEMA

if TYPE_CHECKING:
    from collections.abc import Iterable

ROWS_PER_BATCH: Final = 65_536
BYTES_PER_BATCH: Final = 32 << 20
"""Samples as long as this together are written, however few they are."""
BYTES_IN_MEMORY: Final = 64 << 20
"""Samples as long as this together are not held in memory, unless a number of samples was asked for."""
DATA_FILE: Final = "samples.arrow"


class Sink:
    """Collects batches.

    Args:
        folder: Where the file goes; None keeps what is small in memory.
        in_memory: At most this many samples are held; more go to a file in a private temporary folder. None leaves
            it to their length.
        buffered: Samples held before they are written, when there is a file.
        compression: zstd buffers in the file.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        in_memory: int | None = None,
        buffered: int = ROWS_PER_BATCH,
        compression: bool = False,
    ) -> None:
        self._limit = in_memory
        self._buffered = buffered
        self._options = pa.ipc.IpcWriteOptions(compression="zstd" if compression else None)
        self._waiting: list[pa.RecordBatch] = []
        self._rows = 0
        self._bytes = 0
        self._writer: pa.ipc.RecordBatchFileWriter | None = None
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self.finished = False
        if folder is not None:
            self._open(folder)

    def write(self, batches: Iterable[pa.RecordBatch]) -> None:
        """Take batches over."""
        for batch in batches:
            self._waiting.append(batch)
            self._rows += len(batch)
            self._bytes += batch.nbytes
        if self._writer is None:
            if self._is_much():
                self._temporary = tempfile.TemporaryDirectory(prefix="ktoformats-")
                self._open(Path(self._temporary.name))
        elif self._rows >= self._buffered or self._bytes >= BYTES_PER_BATCH:
            self._flush()

    def _is_much(self) -> bool:
        return self._bytes > BYTES_IN_MEMORY if self._limit is None else self._rows > self._limit

    def finish(self) -> pa.Table:
        """Close the file, if there is one, and hand out all samples; a file is memory-mapped."""
        self.finished = True
        if self._writer is None:
            return pa.Table.from_batches(self._waiting, SCHEMA)
        self._flush()
        self._writer.close()
        self._file.close()
        table = open_samples(self._path)
        if self._temporary is not None:
            # the mapping outlives the name: the space is given back when the last view of it goes
            self._temporary.cleanup()
        return table

    def abandon(self) -> None:
        """Give up: close and remove what was written."""
        if self._writer is not None:
            self._file.close()
            self._path.unlink(missing_ok=True)
        if self._temporary is not None:
            self._temporary.cleanup()

    @property
    def path(self) -> Path:
        """The file, where there is one."""
        return self._path

    def _open(self, folder: Path) -> None:
        self._path = folder / DATA_FILE
        self._file = self._path.open("wb")
        self._writer = pa.ipc.new_file(self._file, SCHEMA, options=self._options)
        self._flush()

    def _flush(self) -> None:
        if self._waiting and self._writer is not None:
            table = pa.Table.from_batches(self._waiting, SCHEMA).combine_chunks()
            self._writer.write_table(table, max_chunksize=ROWS_PER_BATCH)
        self._waiting, self._rows, self._bytes = [], 0, 0


def open_samples(path: Path) -> pa.Table:
    """Memory-map a file of samples; the mapping lives as long as the table, the file is closed at once."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    _MAPPED.add(mapped)
    return pa.ipc.open_file(pa.py_buffer(mapped)).read_all()


_MAPPED: Final[weakref.WeakSet[mmap.mmap]] = weakref.WeakSet()


def forget_pages() -> None:
    """Give back the memory of what was read from mapped files; what is needed again is read again.

    Who goes through samples once, from one end to the other, would else hold all of them in the end.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapped in list(_MAPPED):
            mapped.madvise(mmap.MADV_DONTNEED)
