"""What the readers hand on: a block of raw records, each with the place it came from."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

HEAD_BYTES: Final = 80
"""How much of a lost record is kept to show it."""


class Fault(NamedTuple):
    """A record that was lost before it could be parsed."""

    line: int
    offset: int
    reason: str
    """A reason code: `line_too_long` or `truncated_tail`."""
    message: str
    head: bytes
    """The record's first bytes, 80 at most."""


class Place(NamedTuple):
    """Where one record stands."""

    source: str
    line: int
    offset: int


class Block(NamedTuple):
    """Some consecutive records of one source."""

    source: str
    """The file as the user named it."""
    lines: list[int]
    """The 1-based line on which each record starts."""
    offsets: list[int]
    """The byte offset of each record in the decompressed stream."""
    records: list[Any]
    """The bytes of one JSON value each; for rows in memory, the objects themselves."""
    blank: int
    """Blank lines among the records."""
    faults: list[Fault]
    notices: dict[str, int]
    """Changes worth counting, such as `{"bom_stripped": 1}`."""
    groups: list[list[list[Place]]] | None = None
    """For records that belong together: each record is then a JSON list of rows, and this says for each row where
    it stands and, after that, where the records stand that were joined to it. A list without rows is a record of
    the joined file that no row asked for; it has one entry."""


def too_long(line: int, offset: int, limit: int, head: bytes) -> Fault:
    """The fault of a record that is longer than the limit."""
    message = f"the record is longer than {limit} bytes; split it, or raise the limit on a line's length"
    return Fault(line, offset, "line_too_long", message, head[:HEAD_BYTES])
