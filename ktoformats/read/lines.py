"""The records of a file, as raw bytes with their places, a block at a time.

Lines are split on newlines only: other separators that Unicode knows are text.
"""

from __future__ import annotations

from itertools import accumulate, count
from typing import TYPE_CHECKING, Final

from ktoformats.errors import SourceError
from ktoformats.read import columnar, delimited
from ktoformats.read.arrays import elements
from ktoformats.read.blocks import HEAD_BYTES, Block, Fault, too_long
from ktoformats.read.columnar import MAGICS
from ktoformats.read.delimited import DELIMITERS
from ktoformats.read.inflate import bare_suffix
from ktoformats.read.layout import BOM, Peeked, is_array, shape
from ktoformats.read.sources import head_of, open_source, unchanged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

MAX_LINE_BYTES: Final = 64 << 20


def blocks(
    path: Path,
    name: str | None = None,
    *,
    block_bytes: int = 1 << 20,
    max_line_bytes: int = MAX_LINE_BYTES,
) -> Iterator[Block]:
    """Read the records of a file: JSON Lines, one JSON array, CSV or TSV (compressed or not), Parquet, Arrow.

    Its first bytes tell which, but for CSV and TSV, which its name tells (`.csv`, `.tsv.gz`). For lines, their number
    is that of records, faults and blank lines together; for tables that of rows.

    Args:
        path: The file.
        name: What errors and provenance call it; the path by default.
        block_bytes: How much is read at a time; also about what a block holds.
        max_line_bytes: A longer record is a `line_too_long` fault; memory stays bounded by this.

    Yields:
        Blocks of raw records, in the file's order.

    Raises:
        SourceError: The file cannot be read as a whole (see `open_source`), or it is laid out otherwise
            (`wrong_format`).
    """
    label = name or str(path)
    start = head_of(path, label, max(map(len, MAGICS)))
    magic = next((magic for magic in MAGICS if start.startswith(magic)), None)
    if magic is not None:
        with unchanged(path, label):
            yield from columnar.rows(path, label, magic, max_bytes=max_line_bytes)
        return
    delimiter = DELIMITERS.get(bare_suffix(path.name))
    if delimiter is None and columnar.is_cut_magic(start, path.suffix.lower()):
        raise SourceError("truncated_file", label, "the table is cut at its very start; copy it again")
    with open_source(path, label, chunk_bytes=block_bytes, wide=delimiter is not None) as chunks:
        peeked = Peeked(chunks)
        if delimiter is not None and peeked.head(1):
            yield from delimited.rows(peeked, label, delimiter=delimiter, max_bytes=max_line_bytes)
        elif is_array(peeked, path.name, label):
            yield from elements(peeked, label, max_bytes=max_line_bytes)
        else:
            yield from split_lines(peeked, label, max_bytes=max_line_bytes)


def split_lines(
    chunks: Iterable[bytes], name: str, *, max_bytes: int = MAX_LINE_BYTES, line: int = 1, offset: int = 0
) -> Iterator[Block]:
    """Split chunks of bytes, cut anywhere, into blocks of lines; the first one is that line, and starts there."""
    splitter = _Splitter(name, max_bytes)
    splitter.line, splitter.offset = line, offset
    for chunk in chunks:
        yield from splitter.feed(chunk)
    yield from splitter.finish()


class _Splitter:
    """The state between two chunks: the line that has begun, and its place."""

    def __init__(self, name: str, limit: int) -> None:
        self.name = name
        self.limit = limit
        self.line = 1
        self.offset = 0
        self.begun: list[bytes] = []
        self.length = 0
        """Of the line that has begun; where it is beyond the limit, only its head is kept."""

    def feed(self, chunk: bytes) -> Iterator[Block]:
        """The lines that this chunk completes."""
        cut = chunk.rfind(b"\n")
        if cut < 0:
            self._hold(chunk)
            return
        start = 0
        if self.length > self.limit:
            start = chunk.find(b"\n") + 1
            self.length += start - 1
            yield self._lost()
        if start <= cut:
            self.begun.append(chunk[start:cut])
            yield self._block(b"".join(self.begun))
        self.begun, self.length = [], 0
        self._hold(chunk[cut + 1 :])

    def finish(self) -> Iterator[Block]:
        """The last line, where no newline ends it."""
        if self.length > self.limit:
            yield self._lost()
        elif self.length:
            block = self._block(b"".join(self.begun))
            if block.records and shape(block.records[0]) == "none":
                block = _cut_tail(block)
            yield block

    def _hold(self, rest: bytes) -> None:
        if not rest:
            return
        kept = self.length <= self.limit
        self.length += len(rest)
        if kept:
            self.begun.append(rest)
            if self.length > self.limit:
                self.begun = [b"".join(part[:HEAD_BYTES] for part in self.begun)[:HEAD_BYTES]]

    def _lost(self) -> Block:
        """The fault of a line that outgrew the limit; its bytes up to the newline are `length`."""
        fault = too_long(self.line, self.offset, self.limit, b"".join(self.begun))
        self.line += 1
        self.offset += self.length + 1
        self.begun = []
        return Block(self.name, [], [], [], 0, [fault], {})

    def _block(self, data: bytes) -> Block:
        """A block of complete lines, without the last newline; the first of them starts at the current place."""
        line, offset = self.line, self.offset
        if data.isspace() and len(data) <= self.limit:  # a gibibyte of newlines is a mebibyte of gzip
            blank = data.count(b"\n") + 1
            self.line += blank
            self.offset += len(data) + 1
            return Block(self.name, [], [], [], blank, [], {})
        pieces = data.split(b"\n")
        offsets = list(accumulate(map((1).__add__, map(len, pieces)), initial=offset))
        self.line += len(pieces)
        self.offset = offsets.pop()
        if self._is_plain(data, pieces):
            return Block(self.name, list(range(line, self.line)), offsets, pieces, 0, [], {})
        return self._sort(line, offsets, pieces)

    def _is_plain(self, data: bytes, pieces: list[bytes]) -> bool:
        """Whether every line is a record as it stands; looked at by C code only."""
        return (
            all(pieces)
            and not any(map(bytes.isspace, pieces))
            and (b"\r" not in data or not (b"\r\n" in data or data.endswith(b"\r")))  # one byte is found at once
            and (BOM[:1] not in data or BOM not in data)
            and max(map(len, pieces)) <= self.limit
        )

    def _sort(self, line: int, offsets: list[int], pieces: list[bytes]) -> Block:
        block = Block(self.name, [], [], [], 0, [], {})
        blank = marks = 0
        for number, offset, piece in zip(count(line), offsets, pieces, strict=False):
            if not piece:
                blank += 1
                continue
            if len(piece) > self.limit:
                block.faults.append(too_long(number, offset, self.limit, piece))
                continue
            record = piece.removesuffix(b"\r").removeprefix(BOM)
            mark = len(BOM) if piece.startswith(BOM) else 0
            marks += bool(mark)
            if not record or record.isspace():
                blank += 1
                continue
            block.lines.append(number)
            block.offsets.append(offset + mark)
            block.records.append(record)
        return block._replace(blank=blank, notices={"bom_stripped": marks} if marks else {})


def _cut_tail(block: Block) -> Block:
    """The last record as a fault: the file ends within it."""
    message = "the file ends in the middle of this record; copy it again, or delete the line if it is whole"
    head = block.records[0][:HEAD_BYTES]
    fault = Fault(block.lines[0], block.offsets[0], "truncated_tail", message, head)
    return block._replace(lines=[], offsets=[], records=[], faults=[fault])
