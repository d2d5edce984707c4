"""Where converted batches go: into memory, or into Arrow IPC files that are memory-mapped."""

from __future__ import annotations

import os
import shutil
import tempfile
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Final

import numpy as np
import pyarrow as pa

from ktoformats.feedback import NUMBERS, SCHEMA
from ktoformats.store.numbers import numbers_of, to_arrow, to_numpy
from ktoformats.store.part import DATA_FILE, NUMBERS_FILE, NUMBERS_SCHEMA, Part

if TYPE_CHECKING:
    from collections.abc import Sequence

ROWS_PER_BATCH: Final = 65_536
ROWS_PER_COMPRESSED_BATCH: Final = 1024
"""A compressed batch is decoded as a whole, also for one sample of it."""
BYTES_PER_BATCH: Final = 32 << 20
"""Samples as long as this together are written, however few they are."""
NUMBERS_TOGETHER: Final = 1 << 18
"""Samples whose numbers are written in one batch: 30 MB of them."""
BYTES_IN_MEMORY: Final = 32 << 20
"""Samples as long as this together are not held in memory, unless a number of samples was asked for."""


class Sink:
    """Collects batches.

    Args:
        folder: Where the files go; None keeps what is small in memory.
        in_memory: At most this many samples are held; more go to files in a private temporary folder. None leaves
            it to their length.
        buffered: Samples held before they are written, when there is a file.
        compression: zstd buffers in the file.
        coded: The names of sources stay outside: the file is the same wherever the source lies.
    """

    def __init__(
        self,
        folder: Path | None = None,
        *,
        in_memory: int | None = None,
        buffered: int = ROWS_PER_BATCH,
        compression: bool = False,
        coded: bool = False,
    ) -> None:
        self._limit = in_memory
        self._buffered = buffered
        self._compression = compression
        self._coded = coded
        self._waiting: list[pa.RecordBatch] = []
        self._waiting_numbers: list[pa.RecordBatch | None] = []
        """Those of each batch that waits."""
        self._numbers: list[pa.RecordBatch] = []
        # what is kept is opened again and again; the rest is read once, and its numbers would fill the memory
        self._numbers_together = ROWS_PER_BATCH if folder is None else NUMBERS_TOGETHER
        self._names: dict[str, int] = {}
        self._lengths: list[int] = []
        """Rows of every batch in the file."""
        self._rows = self._bytes = self._written = 0
        self._files: _Files | None = None
        self._temporary: _Temporary | None = None
        self.finished: bool = False
        if folder is not None:
            self._files = _Files(folder, compression=compression)

    @property
    def bytes(self) -> int:
        """The length of all samples taken over so far, in memory."""
        return self._written + self._bytes

    def write(self, batches: Sequence[pa.RecordBatch], numbers: Sequence[pa.RecordBatch] = ()) -> None:
        """Take batches over, and the numbers of each if they are known; else they are taken when it is written."""
        self._waiting_numbers += numbers or [None] * len(batches)
        for batch in batches:
            self._waiting.append(batch)
            self._rows += len(batch)
            self._bytes += batch.nbytes
        if self._files is None:
            if self._is_much():
                self._temporary = _Temporary()
                self._files = _Files(self._temporary.path, compression=self._compression)
                self._flush()
        elif self._rows >= self._buffered or self._bytes >= BYTES_PER_BATCH:
            self._flush()

    def _is_much(self) -> bool:
        return self._bytes > BYTES_IN_MEMORY if self._limit is None else self._rows > self._limit

    def finish(self) -> Part:
        """Close the files, if there are any, and hand out all samples; files are memory-mapped when they are read."""
        self.finished = True
        if self._files is None:
            table = pa.Table.from_batches(self._waiting, SCHEMA)
            return Part(len(table), table=table)
        self._flush()
        self._flush_numbers()
        self._files.close()
        return Part(
            sum(self._lengths),
            path=self._files.folder,
            names=tuple(self._names),
            lengths=tuple(self._lengths),
            compressed=self._compression,
            coded=self._coded,
            holder=self._temporary,
        )

    def abandon(self) -> None:
        """Give up: close and remove what was written."""
        if self._files is not None:
            self._files.abandon()
        if self._temporary is not None:
            self._temporary.remove()

    def _flush(self) -> None:
        if self._waiting and self._files is not None:
            table = pa.Table.from_batches(self._waiting, SCHEMA).combine_chunks()
            told = zip(self._waiting, self._waiting_numbers, strict=True)
            own = [numbers_of(batch) if numbers is None else numbers for batch, numbers in told]
            numbers = [column.combine_chunks() for column in pa.Table.from_batches(own, NUMBERS).columns]
            self._written += self._bytes
            self._waiting, self._waiting_numbers, self._rows, self._bytes = [], [], 0, 0
            rows = ROWS_PER_COMPRESSED_BATCH if self._compression else ROWS_PER_BATCH
            start = 0
            for batch in table.to_batches(max_chunksize=rows):
                samples, codes = self._with_codes(batch)
                self._files.samples.write_batch(samples)
                self._lengths.append(len(batch))
                taken = [column.slice(start, len(batch)) for column in numbers]
                self._numbers.append(pa.RecordBatch.from_arrays([*taken, codes], schema=NUMBERS_SCHEMA))
                start += len(batch)
            if sum(map(len, self._numbers)) >= self._numbers_together:
                self._flush_numbers()

    def _flush_numbers(self) -> None:
        """Write the numbers in as few batches as may be: one is looked at where it lies, several are copied first."""
        if self._numbers and self._files is not None:
            table = pa.Table.from_batches(self._numbers, NUMBERS_SCHEMA).combine_chunks()
            self._files.numbers.write_table(table)
            self._numbers = []

    def _with_codes(self, batch: pa.RecordBatch) -> tuple[pa.RecordBatch, pa.Array]:
        """The samples as they are written, and the number of the source of each."""
        encoded = batch.column("source").dictionary_encode()
        own = [self._names.setdefault(name, len(self._names)) for name in encoded.dictionary.to_pylist()]
        codes = np.array(own, np.uint32)[to_numpy(encoded.indices)]
        if self._coded:
            place = SCHEMA.get_field_index("source")
            batch = batch.set_column(place, SCHEMA.field(place), pa.repeat(pa.scalar(""), len(batch)))
        return batch, to_arrow(codes)


class _Files:
    """The samples and their numbers, being written."""

    def __init__(self, folder: Path, *, compression: bool) -> None:
        self.folder = folder
        self._streams = [(folder / name).open("wb") for name in (DATA_FILE, NUMBERS_FILE)]
        options = pa.ipc.IpcWriteOptions(compression="zstd" if compression else None)
        self.samples = pa.ipc.new_file(self._streams[0], SCHEMA, options=options)
        self.numbers = pa.ipc.new_file(self._streams[1], NUMBERS_SCHEMA)

    def close(self) -> None:
        for writer, stream in zip((self.samples, self.numbers), self._streams, strict=True):
            writer.close()
            stream.close()

    def abandon(self) -> None:
        for stream in self._streams:
            stream.close()
        for name in (DATA_FILE, NUMBERS_FILE):
            (self.folder / name).unlink(missing_ok=True)


class _Temporary:
    """A private folder that goes when nobody needs it any more, at the latest when Python ends."""

    def __init__(self) -> None:
        self.path = Path(tempfile.mkdtemp(prefix="ktoformats-"))
        self.remove = weakref.finalize(self, _remove, str(self.path), os.getpid())


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # not a forked worker, whose copy of us ends earlier
        shutil.rmtree(path, ignore_errors=True)
