"""Rows that are in memory already, cut into the same blocks as files."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ktoformats.errors import RecordError
from ktoformats.read.blocks import HEAD_BYTES, Block, Fault, too_long
from ktoformats.read.plain import as_json

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


def blocks_of_rows(rows: Iterable[Any], name: str = "<memory>", *, size: int = 512) -> Iterator[Block]:
    """Cut rows into blocks; the n-th row stands on line n.

    Args:
        rows: The records, parsed already; any iterable, read once.
        name: What errors and provenance call the source.
        size: Rows per block.

    Yields:
        Blocks whose records are the objects themselves.
    """
    waiting = iter(rows)
    first = 1
    while batch := list(islice(waiting, size)):
        lines = list(range(first, first + len(batch)))
        yield Block(name, lines, [0] * len(batch), batch, 0, [], {})
        first += len(batch)


def blocks_of_records(rows: Iterable[Any], name: str, *, size: int = 512) -> Iterator[Block]:
    """Cut rows that anybody may have made into blocks of JSON; what JSON cannot hold is a fault.

    Args:
        rows: The records; any iterable, read once.
        name: What errors and provenance call the source.
        size: Rows per block.
    """
    block = Block(name, [], [], [], 0, [], {})
    for line, row in enumerate(rows, start=1):
        add_row(block, row, line)
        if len(block.records) + len(block.faults) >= size:
            yield block
            block = Block(name, [], [], [], 0, [], {})
    yield block


def add_row(block: Block, row: Any, line: int, *, binary: bool = False, max_bytes: int | None = None) -> None:
    """Put a row at the end of a block, as JSON; or its fault. `binary` is that of `as_json`."""
    try:
        raw = as_json(row, binary=binary)
    except RecordError as error:
        block.faults.append(Fault(line, 0, error.reason, error.message, b""))
        return
    if max_bytes is not None and len(raw) > max_bytes:
        block.faults.append(too_long(line, 0, max_bytes, raw[:HEAD_BYTES]))
    else:
        block.lines.append(line)
        block.offsets.append(0)
        block.records.append(raw)
