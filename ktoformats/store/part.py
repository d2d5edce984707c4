"""A part of the samples: a table in memory, or two Arrow files that are memory-mapped when somebody looks."""

from __future__ import annotations

import ctypes
import mmap
import os
import weakref
from dataclasses import dataclass, field, fields, replace
from functools import cache, cached_property, lru_cache
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa

from ktoformats.feedback import NUMBERS, SCHEMA
from ktoformats.store.numbers import numbers_of, to_arrow, to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ktoformats.store.numbers import Array

DATA_FILE: Final = "samples.arrow"
NUMBERS_FILE: Final = "numbers.arrow"
NUMBERS_SCHEMA: Final = NUMBERS.append(pa.field("source", pa.uint32(), nullable=False))
"""`source` is the place of a source's name among those of the part."""
_ROWS_AT_ONCE: Final = 8192
_SMALL_CHUNK: Final = 1024
_DECODED: Final = 32
"""Compressed batches that are held decoded."""


@dataclass(frozen=True)
class Part:
    """Some consecutive samples.

    Attributes:
        rows: How many.
        names: The names of their sources.
        table: They themselves, where they are in memory.
        path: Else the folder of their files.
        lengths: The rows of every batch in the file.
        compressed: Whether its batches are.
        coded: Whether the names of sources are not in the file, but only here.
        holder: What keeps a temporary folder.
    """

    rows: int
    names: tuple[str, ...] = ()
    table: pa.Table | None = field(default=None, compare=False, repr=False)
    path: Path | None = None
    lengths: tuple[int, ...] = ()
    compressed: bool = False
    coded: bool = False
    holder: Any = field(default=None, compare=False, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        own = {one.name: getattr(self, one.name) for one in fields(self)}
        return own | {"holder": None}  # another process does not own it, and maps the files itself

    @cached_property
    def _samples(self) -> _Mapped:
        return _Mapped(self._folder / DATA_FILE)

    @cached_property
    def _numbers(self) -> _Mapped:
        return _Mapped(self._folder / NUMBERS_FILE)

    @cached_property
    def _table(self) -> pa.Table:
        return self._samples.reader.read_all()

    def open(self) -> Part:
        """Map the files: what is removed by name later, or replaced, stays what it was for this process."""
        if self.path is not None:
            _ = self._samples.memory, self._numbers.memory
        return self

    @property
    def _folder(self) -> Path:
        if self.path is None:
            raise ValueError("these samples are in memory")
        return self.path

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The samples in small batches, in order; each may be forgotten when the next is asked for."""
        for number in range(len(self.lengths)) if self.path is not None else (0,):
            for batch in self._read(number, columns):
                yield from _sliced(batch)
                forget_pages()

    def _read(self, number: int, columns: Sequence[str] | None) -> list[pa.RecordBatch]:
        if self.path is None:
            table = self._in_memory()
            return list((table if columns is None else table.select(columns)).to_batches())
        return [self.batch(number, columns)]

    def batch(self, number: int, columns: Sequence[str] | None = None) -> pa.RecordBatch:
        """One batch of the file; `source` is a dictionary where it is coded."""
        names = tuple(SCHEMA.names if columns is None else columns)
        if self.compressed:
            read = _decoded(self._samples, number, names)
        else:
            read = self._samples.reader.get_batch(number).select(names)
        if not self.coded or "source" not in names:
            return read
        start = sum(self.lengths[:number])
        codes = to_arrow(self.numbers("source", start, start + len(read)).astype(np.int32))
        named = pa.DictionaryArray.from_arrays(codes, pa.array(self.names))
        return read.set_column(names.index("source"), "source", named)

    def numbers(self, name: str, start: int = 0, stop: int | None = None) -> Array:
        """A number of every sample from one row up to another, of shape (rows,); see `NUMBERS`, and `source`."""
        if self.path is None:
            return self._number_in_memory(name, start, stop)
        place = NUMBERS_SCHEMA.get_field_index(name)
        parts = [to_numpy(batch.column(place)) for batch in self._numbers_between(start, stop)]
        return joined(parts, _dtype(name))

    def _numbers_between(self, start: int, stop: int | None) -> Iterator[pa.RecordBatch]:
        """The rows of the file of numbers that lie between two."""
        reader, first = self._numbers.reader, 0
        last = self.rows if stop is None else stop
        for batch in map(reader.get_batch, range(reader.num_record_batches)):
            own = batch[max(start - first, 0) : max(last - first, 0)]
            if len(own):
                yield own
            first += len(batch)
            if first >= last:
                break

    def _number_in_memory(self, name: str, start: int, stop: int | None) -> Array:
        table = self._in_memory()[start:stop]
        if name == "source":
            own = {name: code for code, name in enumerate(self.source_names())}
            parts = [np.array([own[one] for one in batch.to_pylist()]) for batch in table.column("source").chunks]
        else:
            parts = [to_numpy(numbers_of(batch, [name]).column(0)) for batch in table.to_batches()]
        return np.concatenate([np.zeros(0, _dtype(name)), *parts]).astype(_dtype(name))

    def source_names(self) -> tuple[str, ...]:
        """The names of the sources, by their number."""
        if self.path is not None:
            return self.names
        return tuple(self._in_memory().column("source").unique().to_pylist())

    def whole(self) -> pa.Table:
        """All of it as one table; a file is memory-mapped, and a compressed one decoded.

        A coded `source` is left as it is in the file: see `numbers`.
        """
        if self.path is None:
            return self._in_memory()
        return self._table

    def _in_memory(self) -> pa.Table:
        return SCHEMA.empty_table() if self.table is None else self.table

    def combined(self) -> Part:
        """The same in one piece, where it is in many small ones in memory: access by row is quicker then."""
        table = self.table
        if table is None or not 1 < table.column(0).num_chunks > len(table) // _SMALL_CHUNK:
            return self
        return replace(self, table=table.combine_chunks())


def _sliced(batch: pa.RecordBatch) -> Iterator[pa.RecordBatch]:
    for start in range(0, len(batch), _ROWS_AT_ONCE):
        yield batch.slice(start, _ROWS_AT_ONCE)


def _dtype(name: str) -> Any:
    return NUMBERS_SCHEMA.field(name).type.to_pandas_dtype()


class _Mapped:
    """A file of batches, memory-mapped when it is first read; the file itself is closed at once."""

    def __init__(self, path: Path) -> None:
        self._path = path

    @cached_property
    def memory(self) -> pa.Buffer:
        with pa.memory_map(os.fsencode(self._path)) as file:  # Python's own mmap would keep a descriptor open
            mapped = file.read_buffer()
        _MAPPED[mapped.address] = mapped
        return pa.py_buffer(mapped)  # which all that lies in it keeps alive

    @cached_property
    def reader(self) -> pa.ipc.RecordBatchFileReader:
        return pa.ipc.open_file(self.memory)


@lru_cache(maxsize=_DECODED)
def _decoded(mapped: _Mapped, number: int, names: tuple[str, ...]) -> pa.RecordBatch:
    """A compressed batch; columns that nobody asks for are not decoded."""
    options = pa.ipc.IpcReadOptions(included_fields=[SCHEMA.get_field_index(name) for name in names])
    return pa.ipc.open_file(mapped.memory, options=options).get_batch(number).select(names)


_MAPPED: Final[weakref.WeakValueDictionary[int, pa.Buffer]] = weakref.WeakValueDictionary()
"""What is mapped, by its address."""


def forget_pages() -> None:
    """Give back the memory of what was read from mapped files; what is needed again is read again.

    Who goes through samples once, from one end to the other, would else hold all of them in the end.
    """
    if hasattr(mmap, "MADV_DONTNEED"):
        for mapped in list(_MAPPED.values()):
            _madvise()(mapped.address, mapped.size, mmap.MADV_DONTNEED)


@cache
def _madvise() -> Any:
    function = ctypes.CDLL(None).madvise
    function.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    return function


def joined(parts: Sequence[Array], kind: Any) -> Array:
    """Numbers of several files or batches in one array; one of them is not copied, of more the originals may go."""
    if len(parts) == 1:
        return parts[0]
    whole = np.concatenate([np.zeros(0, kind), *parts])
    forget_pages()
    return whole


def open_samples(path: Path) -> pa.Table:
    """Memory-map a file of samples; the mapping lives as long as the table."""
    return _Mapped(path).reader.read_all()
