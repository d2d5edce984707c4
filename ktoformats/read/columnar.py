"""Parquet and Arrow: rows as JSON objects, a batch at a time.

Every batch is validated before a value of it is looked at. Arrow's own format has no checksums: a changed byte in the
middle of a text is a different text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from ktoformats.errors import SourceError
from ktoformats.read.blocks import Block, Fault
from ktoformats.read.rows import add_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

PARQUET: Final = b"PAR1"
ARROW_FILE: Final = b"ARROW1"
ARROW_STREAM: Final = b"\xff\xff\xff\xff"
MAGICS: Final = (PARQUET, ARROW_FILE, ARROW_STREAM)
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"
_ROWS: Final = 1024
_CUT: Final = ("footer", "magic bytes", "unexpected end", "not an arrow file", "too small", "truncated", "eof")


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
        SourceError: `truncated_file`, `corrupt_file`, or `unsupported_container` for extension types.
    """
    first = 1
    try:
        for batch in _batches(path, name, magic):
            batch.validate(full=True)
            yield _block(batch, name, first, max_bytes)
            first += len(batch)
    except SourceError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError) as error:
        text = str(error).split("\n", 1)[0][:200]
        cut = any(word in text.lower() for word in _CUT)
        message = f"the file {'ends too early' if cut else 'is damaged'} ({text}); copy or download it again"
        raise SourceError("truncated_file" if cut else "corrupt_file", name, message) from error


def _batches(path: Path, name: str, magic: bytes) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(str(path), "rb") as file:  # never mapped: a file that shrinks meanwhile must not kill us
        if magic == PARQUET:
            import pyarrow.parquet as pq

            reader = pq.ParquetFile(file, page_checksum_verification=True)
            _refuse_unclear(reader.schema_arrow, name)
            yield from reader.iter_batches(batch_size=_ROWS)
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


def _block(batch: pa.RecordBatch, name: str, first: int, max_bytes: int) -> Block:
    block = Block(name, [], [], [], 0, [], {})
    for line, row in enumerate(_objects(batch), start=first):
        if isinstance(row, Exception):
            message = f"a value of the row is none that Python can hold ({row})"[:200]
            block.faults.append(Fault(line, 0, "wrong_type", message, b""))
        else:
            add_row(block, row, line, binary=True, max_bytes=max_bytes)
    return block


def _objects(batch: pa.RecordBatch) -> list[Any]:
    """The rows; in place of one with a value that cannot be told (a date after 9999, a key twice in a map), why."""
    try:
        return batch.to_pylist(maps_as_pydicts="strict")  # type: ignore[no-any-return]
    except (pa.ArrowException, ValueError, OverflowError, KeyError) as error:
        if len(batch) == 1:
            return [error]
    return [row for place in range(len(batch)) for row in _objects(batch.slice(place, 1))]
