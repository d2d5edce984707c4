"""The numbers beside the samples: all that is needed to choose among them, without a look at a text.

They stand in a file of their own, about 100 bytes a sample, so that another threshold, seed or balance over millions
of samples reads these and nothing else.
"""

from __future__ import annotations

from binascii import unhexlify
from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ktoformats.feedback import GOOD, MESSAGE_TYPE, NUMBERS
from ktoformats.store.mixing import mix

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ktoformats.plugin.kinds import Filter

Array = np.ndarray[Any, np.dtype[Any]]

FACTS: Final = ("judged", "rated", "pair", "ranked")
"""The kinds of facts, by their number; any other is 255."""
_OTHER_FACT: Final = 255


def numbers_of(batch: pa.RecordBatch, names: Iterable[str] | None = None) -> pa.RecordBatch:
    """The numbers of some samples.

    Args:
        batch: Rows of `SCHEMA`.
        names: Which of `ktoformats.feedback.NUMBERS`; None takes all.
    """
    schema = pa.schema([NUMBERS.field(name) for name in (NUMBERS.names if names is None else names)])
    columns = [_MAKERS[one.name](batch).astype(one.type.to_pandas_dtype(), copy=False) for one in schema]
    return pa.RecordBatch.from_arrays(list(map(to_arrow, columns)), schema=schema)


def to_numpy(column: pa.Array) -> Array:
    """Numbers without nulls as numpy sees them, not copied.

    Arrow's own road there imports pandas where it is installed, which takes longer than to open a million samples.
    """
    kind = column.type.to_pandas_dtype()
    width = np.dtype(kind).itemsize
    return np.frombuffer(column.buffers()[1] or b"", kind, len(column), column.offset * width if len(column) else 0)


def to_arrow(values: Array) -> pa.Array:
    """Numbers as Arrow sees them, not copied; its own road imports pandas, too."""
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def seen_by(one: Filter, batch: pa.RecordBatch) -> pa.RecordBatch:
    """What a filter looks at: the samples, or the numbers that it asks for."""
    return batch if one.numbers is None else numbers_of(batch, sorted(one.numbers))


def hex_numbers(column: pa.Array) -> Array:
    """The first 16 hexadecimal digits of every value as uint64; 0 for an empty one."""
    _, places, data = column.buffers()
    offsets = np.frombuffer(places, np.int32)[column.offset : column.offset + len(column) + 1]
    text = b"" if data is None or not len(column) else bytes(memoryview(data)[offsets[0] : offsets[-1]])
    lengths = np.diff(offsets)
    filled = lengths > 0
    numbers = np.zeros(len(column), np.uint64)
    if filled.any():  # digests have one width
        octets = np.frombuffer(unhexlify(text), np.uint8).reshape(int(filled.sum()), -1)
        numbers[filled] = np.ascontiguousarray(octets[:, :8]).view(">u8")[:, 0]
    return numbers


def _hex(name: str) -> Callable[[pa.RecordBatch], Array]:
    return lambda batch: hex_numbers(batch.column(name))


def _same(name: str) -> Callable[[pa.RecordBatch], Array]:
    return lambda batch: to_numpy(batch.column(name))


def _length(name: str) -> Callable[[pa.RecordBatch], Array]:
    return lambda batch: to_numpy(pc.utf8_length(batch.column(name)))


def _text_length(name: str) -> Callable[[pa.RecordBatch], Array]:
    def measure(batch: pa.RecordBatch) -> Array:
        texts = batch.column(name)
        lengths = to_numpy(pc.utf8_length(texts)).copy()
        rows = np.flatnonzero(_may_have_blank_ends(texts))
        if rows.size:
            stripped = pc.utf8_trim_whitespace(texts.take(to_arrow(rows)))
            lengths[rows] = to_numpy(pc.utf8_length(stripped))
        return lengths

    return measure


def _is(name: str, value: str) -> Callable[[pa.RecordBatch], Array]:
    return lambda batch: to_numpy(pc.equal(batch.column(name), value).cast(pa.uint8()))


def _is_filled(name: str) -> Callable[[pa.RecordBatch], Array]:
    return lambda batch: to_numpy(pc.not_equal(batch.column(name), "").cast(pa.uint8()))


def _fact(batch: pa.RecordBatch) -> Array:
    places = pc.index_in(batch.column("fact"), pa.array(FACTS))
    return to_numpy(places.fill_null(_OTHER_FACT)).astype(np.uint8)


def _asked(batch: pa.RecordBatch) -> Array:
    found = _hashes(batch.column("prompt"))
    for number, name in enumerate(("system", "tools")):
        _take_in(found, batch.column(name), number)
    turns = batch.column("conversation")
    starts = np.frombuffer(turns.buffers()[1], np.int32)[turns.offset : turns.offset + len(turns) + 1]
    rows = np.flatnonzero(np.diff(starts))
    for number in range(MESSAGE_TYPE.num_fields) if rows.size else ():
        ends, data = _texts(turns.values.field(number))
        lengths = np.diff(ends)
        bounds = [(starts[row], starts[row + 1]) for row in rows]
        # the lengths, too: without them the bounds of the messages could be anywhere
        digests = [sha256(lengths[one:end].tobytes() + data[ends[one] : ends[end]]).digest() for one, end in bounds]
        found[rows] = mix(_both(found[rows], _first_of(digests)), number + 2)
    return found


def _answer(batch: pa.RecordBatch) -> Array:
    found = _hashes(batch.column("response"))
    _take_in(found, batch.column("tool_calls"), 0)
    return found


def _hashes(column: pa.Array) -> Array:
    """A hash of every text."""
    ends, data = _texts(column)
    places = ends.tolist()
    return _first_of([sha256(data[start:end]).digest() for start, end in pairwise(places)])


def _first_of(digests: list[bytes]) -> Array:
    """The first 64 bits of each SHA-256, which processors have an instruction for."""
    return np.frombuffer(b"".join(digests), np.uint64)[:: sha256().digest_size // 8].copy()


def _take_in(found: Array, column: pa.Array, number: int) -> None:
    """Have hashes depend on another column, too, in the rows where there is something in it."""
    rows = np.flatnonzero(np.diff(_texts(column)[0]))
    if rows.size:
        found[rows] = mix(_both(found[rows], _hashes(column.take(to_arrow(rows)))), number)


def _both(one: Array, other: Array) -> Array:
    together: Array = one ^ other
    return together


def _texts(column: pa.Array) -> tuple[Array, memoryview]:
    """Where each text ends, and the first begins; and all of them, in UTF-8."""
    kind = np.int64 if pa.types.is_large_string(column.type) else np.int32
    _, places, data = column.buffers()
    ends = np.frombuffer(places, kind)[column.offset : column.offset + len(column) + 1].astype(np.int64)
    return ends, memoryview(b"" if data is None else data)


_MAKERS: Final[dict[str, Callable[[pa.RecordBatch], Array]]] = {
    "key": _hex("id"),
    "group": _hex("group"),
    "origin": _hex("origin"),
    "pair": _hex("pair"),
    "asked": _asked,
    "answer": _answer,
    "good": _is("label", GOOD),
    "fact": _fact,
    "has_cell": _is_filled("cell"),
    "has_tool_calls": _is_filled("tool_calls"),
    "response_quality": _same("response_quality"),
    "utility_score": _same("utility_score"),
    "prompt_length": _length("prompt"),
    "response_length": _length("response"),
    "prompt_text_length": _text_length("prompt"),
    "response_text_length": _text_length("response"),
    "line": _same("line"),
}


def _may_have_blank_ends(texts: pa.Array) -> Array:
    """Texts that may begin or end in white space, told by a look at two bytes; most are none."""
    _, places, data = texts.buffers()
    offsets = np.frombuffer(places, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    filled = offsets[1:] > offsets[:-1]
    may = np.zeros(len(texts), np.bool_)
    if data is not None and filled.any():
        octets = np.frombuffer(data, np.uint8)
        first, last = octets[offsets[:-1][filled]], octets[offsets[1:][filled] - 1]
        before = octets[np.maximum(offsets[1:][filled] - 3, 0)]
        may[filled] = _MAY_BEGIN[first] | _MAY_END[last] | ((last >= _CONTINUED) & _MAY_BEGIN[before])
        may[filled] |= (last >= _CONTINUED) & _MAY_BEGIN[octets[np.maximum(offsets[1:][filled] - 2, 0)]]
    return may


_CONTINUED: Final = 0x80
"""From this on a byte is a part of a longer character."""
_MAY_END: Final = np.zeros(256, np.bool_)
_MAY_END[: ord(" ") + 1] = True
_MAY_BEGIN: Final = _MAY_END.copy()
_MAY_BEGIN[[character.encode()[0] for character in "\x85\u1680\u2000\u3000"]] = True
"""The first bytes of white space."""
