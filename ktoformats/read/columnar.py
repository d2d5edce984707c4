"""Parquet and Arrow: rows as JSON objects, a batch at a time.

Every batch is validated before a value of it is looked at. Arrow's own format has no checksums: a changed byte in the
middle of a text is a different text.

A text that a column holds once may stand in any number of rows, so a few bytes may become many. How many a Parquet
file becomes is read from its footer first; rows are decoded few at a time, and made objects if they are light enough.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.compute as pc

from ktoformats.errors import SourceError
from ktoformats.read.blocks import Block, Fault, too_long
from ktoformats.read.inflate import too_large
from ktoformats.read.rows import add_row
from ktoformats.read.sources import MAX_RATIO

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PARQUET: Final = b"PAR1"
ARROW_FILE: Final = b"ARROW1"
ARROW_STREAM: Final = b"\xff\xff\xff\xff"
MAGICS: Final = (PARQUET, ARROW_FILE, ARROW_STREAM)
SUFFIXES: Final = (".parquet", ".arrow", ".feather")
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_ROWS: Final = 1024
_BYTES: Final = 2 << 20
"""About what a block, and what is made into objects at once, holds at most."""
_DECODED_ROWS: Final = 32
_VALUE_BYTES: Final = 8
_MAX_OUTPUT: Final = 1 << 30
"""More than of a compressed text: a table that holds a long prompt once is no bomb yet."""
_CUT: Final = ("footer", "magic bytes", "unexpected end", "not an arrow file", "too small", "truncated", "eof")


def is_cut_magic(head: bytes, suffix: str) -> bool:
    """Whether a file of these few bytes (or of none) is the very beginning of a table."""
    if not head:
        return suffix in SUFFIXES
    return any(len(head) < len(magic) and magic.startswith(head) for magic in MAGICS)


def rows(path: Path, name: str, magic: bytes, *, max_bytes: int) -> Iterator[Block]:
    """Read a table; the n-th row stands on line n.

    Args:
        path: The file.
        name: What errors and provenance call it.
        magic: One of `MAGICS`, with which it begins.
        max_bytes: A row that is longer as JSON is a `line_too_long` fault.

    Yields:
        Blocks of rows as JSON objects: dates and times as ISO 8601, decimals as texts, bytes as UTF-8 text, maps
        as objects. A row that JSON cannot hold (NaN, infinities, bytes that are no text) is a fault.

    Raises:
        SourceError: `truncated_file`, `corrupt_file`, `too_large`, or `unsupported_container` for extension types.
    """
    try:
        limit = max(_MAX_OUTPUT, MAX_RATIO * path.stat().st_size)
        yield from _limited(_blocks(_batches(path, name, magic, limit), name, max_bytes), name, limit)
    except SourceError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        text = str(error).split("\n", 1)[0][:200]
        cut = any(word in text.lower() for word in _CUT)
        message = f"the file {'ends too early' if cut else 'is damaged'} ({text}); copy or download it again"
        raise SourceError("truncated_file" if cut else "corrupt_file", name, message) from error


def _limited(blocks: Iterable[Block], name: str, limit: int) -> Iterator[Block]:
    total = 0
    for block in blocks:
        total += sum(map(len, block.records))
        if total > limit:
            raise too_large(name, limit)
        yield block


def _batches(path: Path, name: str, magic: bytes, limit: int) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path), "rb") as file:  # never mapped: a file that shrinks meanwhile must not kill us
        if magic == PARQUET:
            import pyarrow.parquet as pq

            reader = pq.ParquetFile(file, page_checksum_verification=True)
            _refuse_unclear(reader.schema_arrow, name)
            _refuse_bomb(reader.metadata, name, limit)
            yield from reader.iter_batches(batch_size=_DECODED_ROWS)
            return
        if magic == ARROW_FILE:
            opened = pa.ipc.open_file(file)
            _refuse_unclear(opened.schema, name)
            batches: Iterator[pa.RecordBatch] = map(opened.get_batch, range(opened.num_record_batches))
        else:
            _refuse_cut_stream(file, name)
            opened = pa.ipc.open_stream(file)
            _refuse_unclear(opened.schema, name)
            batches = iter(opened)
        for batch in batches:
            yield from (batch.slice(start, _ROWS) for start in range(0, len(batch), _ROWS))


def _refuse_bomb(metadata: Any, name: str, limit: int) -> None:
    """Refuse a Parquet file that becomes too much, by what its footer says."""
    groups = map(metadata.row_group, range(metadata.num_row_groups))
    columns = [group.column(number) for group in groups for number in range(group.num_columns)]
    if sum(max(one.total_uncompressed_size, _VALUE_BYTES * one.num_values) for one in columns) > limit:
        raise too_large(name, limit)


def _refuse_cut_stream(file: pa.NativeFile, name: str) -> None:
    """A stream that is cut between two batches reads like a whole one, but for its end mark."""
    size = file.size()
    file.seek(max(0, size - len(_END_OF_STREAM)))
    if file.read(len(_END_OF_STREAM)) != _END_OF_STREAM:
        raise SourceError("truncated_file", name, "the Arrow stream has no end; copy or download it again")
    file.seek(0)


def _refuse_unclear(fields: Iterable[pa.Field], name: str, above: str = "") -> None:
    """Refuse extension types and names that stand twice, at any depth."""
    seen: set[str] = set()
    for field in fields:
        column = f"{above}{field.name}"
        if isinstance(field.type, pa.BaseExtensionType) or b"ARROW:extension:name" in (field.metadata or {}):
            message = f"column {column!r} is of an extension type; write it as a plain type"
            raise SourceError("unsupported_container", name, message)
        if field.name in seen:
            raise SourceError("wrong_format", name, f"column {column!r} stands there twice; name each once")
        seen.add(field.name)
        _refuse_unclear(_below(field.type), name, f"{column}.")


def _below(kind: pa.DataType) -> list[pa.Field]:
    if pa.types.is_dictionary(kind):
        return [pa.field("value", kind.value_type)]
    if pa.types.is_map(kind):
        return [kind.key_field, kind.item_field]
    return [kind.field(place) for place in range(kind.num_fields)]


def _blocks(batches: Iterable[pa.RecordBatch], name: str, max_bytes: int) -> Iterator[Block]:
    block = Block(name, [], [], [], 0, [], {})
    line = held = 0
    for batch in batches:
        batch.validate(full=True)
        for part, weight in _light(batch):
            for row in [None] if len(part) == 1 and weight > max_bytes else _objects(part):
                line += 1
                _add(block, row, line, max_bytes)
            held += weight
            if held > _BYTES or len(block.records) + len(block.faults) >= _ROWS:
                yield block
                block, held = Block(name, [], [], [], 0, [], {}), 0
    yield block


def _add(block: Block, row: Any, line: int, max_bytes: int) -> None:
    """Put a row at the end of a block; None is one that was too heavy to be looked at."""
    if row is None:
        block.faults.append(too_long(line, 0, max_bytes, b""))
    elif isinstance(row, Exception):
        message = f"a value of the row is none that Python can hold ({row})"[:200]
        block.faults.append(Fault(line, 0, "wrong_type", message, b""))
    else:
        add_row(block, row, line, binary=True, max_bytes=max_bytes)


def _light(batch: pa.RecordBatch) -> Iterator[tuple[pa.RecordBatch, int]]:
    """Slices of a batch that are light enough to be made objects, with their weights; one row may be heavier."""
    weight = sum(map(_at_most, batch.columns))
    if weight > _BYTES:
        weight = sum(map(_weight, batch.columns))
    if len(batch) <= 1 or weight <= _BYTES:
        yield batch, weight
    else:
        half = len(batch) // 2
        yield from _light(batch.slice(0, half))
        yield from _light(batch.slice(half))


def _at_most(array: pa.Array) -> int:
    """A bound of `_weight` that costs less to find."""
    if pa.types.is_dictionary(array.type):
        return len(array) * int(array.dictionary.nbytes)
    return int(array.nbytes) if _is_flat(array.type) else _BYTES + 1


def _is_flat(kind: pa.DataType) -> bool:
    """Whether each value stands there for itself."""
    if pa.types.is_nested(kind):
        return all(_is_flat(field.type) for field in _below(kind))
    return pa.types.is_primitive(kind) or _is_text(kind)


def _weight(array: pa.Array) -> int:
    """How many bytes the values are as JSON, at least."""
    lengths = _lengths(array)
    if lengths is not None:
        return int(pc.sum(lengths).as_py() or 0)
    children = _children(array)
    return sum(map(_weight, children)) if children else len(array)


def _lengths(array: pa.Array) -> pa.Array | None:
    """The lengths of texts in bytes; nothing if they are none."""
    if pa.types.is_dictionary(array.type):
        lengths = _lengths(array.dictionary)
        return None if lengths is None else lengths.take(array.indices)
    return pc.binary_length(array) if _is_text(array.type) else None


def _children(array: pa.Array) -> list[pa.Array]:
    """What stands in the values of lists, maps and structs."""
    kind = array.type
    if not len(array):
        return []
    if pa.types.is_struct(kind):
        return list(array.flatten())
    if pa.types.is_map(kind):
        start, stop = array.offsets[0].as_py(), array.offsets[-1].as_py()
        return [child.slice(start, stop - start) for child in (array.keys, array.items)]
    return [array.flatten()] if pa.types.is_nested(kind) and hasattr(array, "flatten") else []


def _is_text(kind: pa.DataType) -> bool:
    kinds = (pa.types.is_string, pa.types.is_large_string, pa.types.is_binary, pa.types.is_large_binary)
    return any(is_one(kind) for is_one in kinds)


def _objects(batch: pa.RecordBatch) -> list[Any]:
    """The rows; in place of one with a value that cannot be told (a date after 9999, a key twice in a map), why."""
    try:
        return batch.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        if len(batch) == 1:
            return [error]
    return [row for place in range(len(batch)) for row in _objects(batch.slice(place, 1))]
