"""Samples decoded from Arrow's buffers, row by row.

Arrow's own road to Python objects (`take`, then `to_pylist`) makes a scalar of every cell and costs the most where
few rows are wanted, here and there. So the buffers are read: a text is the bytes between two offsets, a number an
item of a memoryview, and a column of few different values has each of them decoded once.
"""

from __future__ import annotations

import sys
from bisect import bisect_right
from collections import deque
from functools import partial
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.feedback import SAMPLE_KEYS
from ktoformats.store.samples import Samples, tagged

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ktoformats.store.part import Part
    from ktoformats.store.samples import Tags

    Texts = tuple[memoryview, memoryview]
    """Offsets (one more than rows) and UTF-8 bytes."""

_HEAD: Final = 256
_FEW_IN_HEAD: Final = 32
"""A column has few values if its first `_HEAD` rows have no more than this, and all its rows no more than `_FEW`."""
_FEW: Final = 256
_WORTH: Final = 1024
"""Fewer rows are converted by Arrow sooner than their columns are looked through."""
_DECODED: Final = 64
"""Compressed batches that are held open."""
_OFFSETS: Final = {pa.string(): "i", pa.large_string(): "q"}
_NUMBERS: Final = {pa.float64(): "d", pa.int64(): "q"}
_ALWAYS: Final = frozenset({"role", "content"})
"""The keys that a message has even where they are empty."""


class Turns(list[dict[str, str]]):
    """A conversation in a sample: an ordinary list that torch's default collation leaves whole."""


class Decoder:
    """The rows of a table as samples. It is of no use to another process: make a new one there.

    Args:
        table: Rows of `SCHEMA`, in any number of chunks, or samples wherever they are.
        names: The keys that the samples are to have.
    """

    def __init__(self, table: pa.RecordBatch | pa.Table | Samples, names: Sequence[str] = SAMPLE_KEYS) -> None:
        names = list(names)
        self._most_open = sys.maxsize
        if isinstance(table, Samples):
            self._of_samples(table, names)
        else:
            chosen = table.select(names)
            batches = chosen.to_batches() if isinstance(chosen, pa.Table) else [chosen]
            self._batches = [(len(batch), partial(_itself, batch)) for batch in batches if len(batch)]
        self._starts = list(accumulate((rows for rows, _ in self._batches), initial=0))
        self._chunks: list[_Chunk | None] = [None] * len(self._batches)
        self._open_ones: deque[int] = deque()

    def _of_samples(self, samples: Samples, names: list[str]) -> None:
        """Batches that are read when a row of them is asked for."""
        self._batches = []
        for part, tags in zip(samples.parts, samples.tags, strict=True):
            if part.path is None:
                batches = part.whole().select(names).to_batches()
                self._batches += [(len(one), partial(tagged, one, tags)) for one in batches if len(one)]
            else:
                self._batches += [
                    (rows, partial(_read, part, number, names, tags)) for number, rows in enumerate(part.lengths)
                ]
            if part.compressed:
                self._most_open = _DECODED

    def samples(self, rows: Iterable[int]) -> list[dict[str, Any]]:
        """These rows, in this order; nothing in a sample is shared that could be changed."""
        starts, chunks = self._starts, self._chunks
        if len(chunks) == 1:
            sample = (chunks[0] or self._open(0)).sample
            return [sample(row) for row in rows]
        made = []
        for row in rows:
            number = bisect_right(starts, row) - 1
            chunk = chunks[number] or self._open(number)
            made.append(chunk.sample(row - starts[number]))
        return made

    def _open(self, number: int) -> _Chunk:
        chunk = self._chunks[number] = _Chunk(self._batches[number][1]())
        self._open_ones.append(number)
        if len(self._open_ones) > self._most_open:
            self._chunks[self._open_ones.popleft()] = None
        return chunk


def _itself(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch


def _read(part: Part, number: int, names: list[str], tags: Tags) -> pa.RecordBatch:
    return tagged(part.batch(number, names), tags)


class _Chunk:
    """One record batch: its columns by how a cell is had.

    Rows that agree in all columns of few values are of one kind, and a sample begins as a copy of its kind.

    Args:
        batch: The rows.
        of_messages: Of texts alone, and read by `_Messages`.
    """

    def __init__(self, batch: pa.RecordBatch, *, of_messages: bool = False) -> None:
        self._of_messages = of_messages
        self._small = len(batch) < _WORTH and not of_messages
        self.kinds: list[dict[str, Any]] = [dict.fromkeys(batch.schema.names)]
        self.codes = bytes(len(batch))
        self.texts: list[tuple[str, memoryview, memoryview]] = []
        self._of_width: list[tuple[str, int, memoryview]] = []
        self._numbers: list[tuple[str, memoryview]] = []
        self._made: list[tuple[str, Callable[[int], Any]]] = []
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            self._add(name, column)

    def _add(self, name: str, column: pa.Array) -> None:
        if name == "conversation":
            self._made.append((name, _conversations(column)))
        elif name == "kept":
            self._made.append((name, _kept(column)))
        elif pa.types.is_dictionary(column.type) and len(column.dictionary) > _FEW:
            self._add(name, column.cast(column.type.value_type))
        elif self._small or column.null_count or not _is_plain_type(column.type):
            self._made.append((name, _cells(column)))
        elif (few := _few_values(column)) and self._divide(name, *few):
            return
        elif column.type in _NUMBERS:
            self._numbers.append((name, _items(column, len(column))))
        else:
            offsets, data = _texts(column)
            if not self._of_messages and (width := _width(offsets)):
                self._of_width.append((name, width, data[offsets[0] : offsets[-1]]))
            else:
                self.texts.append((name, offsets, data))

    def _divide(self, name: str, codes: bytes, values: list[Any]) -> bool:
        """Divide the kinds by a column; False if there would be too many."""
        if len(values) == 1:
            for kind in self.kinds:
                kind[name] = values[0]
            return True
        both = np.frombuffer(self.codes, np.uint8).astype(np.int64) * len(values) + np.frombuffer(codes, np.uint8)
        pairs, codes_of_pairs = np.unique(both, return_inverse=True)
        if len(pairs) > _FEW:
            return False
        divided = [divmod(pair, len(values)) for pair in pairs.tolist()]
        self.kinds = [self.kinds[kind] | {name: values[code]} for kind, code in divided]
        self.codes = codes_of_pairs.astype(np.uint8).tobytes()
        return True

    def sample(self, row: int) -> dict[str, Any]:
        """One row."""
        sample = self.kinds[self.codes[row]].copy()
        after = row + 1
        for name, offsets, data in self.texts:
            sample[name] = data[offsets[row] : offsets[after]].tobytes().decode()
        for name, width, data in self._of_width:
            sample[name] = data[row * width : after * width].tobytes().decode()
        for name, numbers in self._numbers:
            sample[name] = numbers[row]
        for name, make in self._made:
            sample[name] = make(row)
        return sample


class _Messages:
    """The rows of a column of messages; keys without a value are left out."""

    def __init__(self, messages: pa.StructArray) -> None:
        names = [field.name for field in messages.type]
        rows = _Chunk(pa.RecordBatch.from_arrays(messages.flatten(), names), of_messages=True)
        self._texts = [(name, name in _ALWAYS, offsets, data) for name, offsets, data in rows.texts]
        filled = _ALWAYS.union(name for name, *_ in self._texts)
        self._kinds = [{name: text for name, text in kind.items() if text or name in filled} for kind in rows.kinds]
        self._codes = rows.codes

    def turns(self, start: int, end: int) -> Turns:
        made = Turns()
        for row in range(start, end):
            message = self._kinds[self._codes[row]].copy()
            for name, always, offsets, data in self._texts:
                first, last = offsets[row], offsets[row + 1]
                if always or first < last:
                    message[name] = data[first:last].tobytes().decode()
                else:
                    del message[name]
            made.append(message)
        return made


def _items(column: pa.Array, count: int) -> memoryview:
    """Numbers or offsets, from where the column begins in its buffer."""
    kind = _NUMBERS.get(column.type) or _OFFSETS.get(column.type, "i")
    width = 4 if kind == "i" else 8
    whole: Any = memoryview(column.buffers()[1])
    items: memoryview = whole[column.offset * width : (column.offset + count) * width].cast(kind)
    return items


def _texts(column: pa.Array) -> Texts:
    data = column.buffers()[2]
    return _items(column, len(column) + 1), memoryview(b"" if data is None else data)


def _width(offsets: memoryview) -> int:
    """The width of texts that all have the same, as digests do, so that no offset need be looked up; else 0."""
    widths = np.diff(np.asarray(offsets))
    return int(widths[0]) if (widths == widths[0]).all() else 0


def _is_plain_type(kind: pa.DataType) -> bool:
    return kind in _NUMBERS or kind in _OFFSETS or pa.types.is_dictionary(kind)


def _few_values(column: pa.Array) -> tuple[bytes, list[Any]] | None:
    """A code of one byte for each row and what the codes stand for; None where a column has many values."""
    kind = column.type
    if kind == pa.float64():
        column = column.view(pa.int64())  # compared by bits: -0.0 is not 0.0
    if pa.types.is_dictionary(kind):
        return _bytes(column.indices), column.dictionary.to_pylist()
    if len(column[:_HEAD].unique()) > min(_FEW_IN_HEAD, (len(column) + 1) // 2):
        return None
    encoded = column.dictionary_encode()
    if len(encoded.dictionary) > _FEW:
        return None
    return _bytes(encoded.indices), encoded.dictionary.view(kind).to_pylist()


def _bytes(codes: pa.Array) -> bytes:
    one: bytes = codes.to_numpy().astype(np.uint8).tobytes()
    return one


def _cells(column: pa.Array) -> Callable[[int], Any]:
    """Any column: of few rows all at once, else one by one, slowly."""
    if len(column) < _WORTH:
        cells: list[Any] = column.to_pylist()
        return cells.__getitem__
    return lambda row: column[row].as_py()


def _kept(column: pa.Array) -> Callable[[int], dict[str, str]]:
    """JSON objects as dictionaries of texts."""
    if len(column) < _WORTH or column.null_count or column.type not in _OFFSETS:
        cell = _cells(column)
        return lambda row: _strings(cell(row))
    offsets, data = _texts(column)
    if offsets[0] == offsets[-1]:
        return lambda _: {}
    return lambda row: _strings(data[offsets[row] : offsets[row + 1]])


def _strings(kept: str | memoryview) -> dict[str, str]:
    if not kept:
        return {}
    return {name: _string(value) for name, value in orjson.loads(kept).items()}


def _string(value: Any) -> str:
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _conversations(column: pa.Array) -> Callable[[int], Turns]:
    """Lists of messages, keys without a value left out."""
    if not _plain(column):
        cell = _cells(column)
        return lambda row: Turns(map(_message, cell(row)))
    bounds = _items(column, len(column) + 1)
    first, last = bounds[0], bounds[-1]
    if first == last:
        return lambda _: Turns()
    messages = _Messages(column.values[first:last])

    def turns(row: int) -> Turns:
        start, end = bounds[row], bounds[row + 1]
        return messages.turns(start - first, end - first) if start < end else Turns()

    return turns


def _plain(column: pa.Array) -> bool:
    """Whether a column is of many lists of messages, and nothing in it is null."""
    if len(column) < _WORTH:
        return False
    if column.null_count or not pa.types.is_list(column.type) or not pa.types.is_struct(column.type.value_type):
        return False
    messages = column.values
    fields = messages.flatten()
    return not messages.null_count and all(field.type in _OFFSETS and not field.null_count for field in fields)


def _message(turn: dict[str, str]) -> dict[str, str]:
    return {key: value for key, value in turn.items() if value or key in _ALWAYS}
