"""Rows that are in memory already, cut into the same blocks as files."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from ktoformats.read.blocks import Block

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
