"""Samples that come one block after the other, cut into windows that can be found again."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator


class Place(NamedTuple):
    """Where a sample stands in an epoch of a stream."""

    file: int
    """The number of its file, in the epoch's order of files."""
    before: int
    """The blocks of all files before that one."""
    block: int
    """The number of its block in the file."""
    row: int
    """Its number among the samples of the block."""


class Part(NamedTuple):
    """Consecutive samples of one block."""

    place: Place
    """Of the first one."""
    table: pa.Table


class Window(NamedTuple):
    """Consecutive samples of one consumer, which are shuffled among themselves."""

    table: pa.Table
    after: Place
    """Where the next window begins, or whatever comes."""


def windows(parts: Iterable[Part], rows: int) -> Iterator[Window]:
    """Cut parts into windows of so many samples, of which the last may have fewer.

    Args:
        parts: Samples in order, none of them empty; a block's samples are one part.
        rows: Samples of a window, at least 1.
    """
    held: list[pa.Table] = []
    count = 0
    for part in parts:
        start, left = 0, len(part.table)
        while count + left >= rows:
            taken = rows - count
            held.append(part.table.slice(start, taken))
            start, left = start + taken, left - taken
            yield _window(held, _after(part, start))
            count = 0
        if left:
            held.append(part.table.slice(start))
            count += left
            after = _after(part, start + left)
    if held:
        yield _window(held, after)


def as_they_come(parts: Iterable[Part]) -> Iterator[Window]:
    """Each part as a window of its own."""
    for part in parts:
        yield Window(part.table, _after(part, len(part.table)))


def _window(held: list[pa.Table], after: Place) -> Window:
    """What is held, in one piece; then nothing is held, so that no sample is in memory twice."""
    table = pa.concat_tables(held).combine_chunks()
    held.clear()
    return Window(table, after)


def _after(part: Part, rows: int) -> Place:
    """Where it goes on after the first rows of a part."""
    place = part.place
    if rows == len(part.table):
        return place._replace(block=place.block + 1, row=0)
    return place._replace(row=place.row + rows)
