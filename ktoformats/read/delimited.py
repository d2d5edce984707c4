"""CSV and TSV: the header's names, and every row after it as a record of texts.

Cells are never interpreted: `007` stays a text, and an empty cell is null, for CSV cannot tell it from an empty text.
"""

from __future__ import annotations

import codecs
import csv
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Final

import orjson

from ktoformats.errors import SourceError
from ktoformats.read.blocks import HEAD_BYTES, Block, Fault, Place, too_long

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DELIMITERS: Final = {".csv": ",", ".tsv": "\t"}
"""File suffix to what stands between two cells."""
_BLOCK_ROWS: Final = 2000
_WIDE: Final = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def rows(chunks: Iterable[bytes], name: str, *, delimiter: str, max_bytes: int) -> Iterator[Block]:
    """Read a table; each row is a record, on the line where it starts.

    Args:
        chunks: The file's bytes, cut anywhere: UTF-8, or UTF-16 with its mark.
        name: The file, as the user named it.
        delimiter: What stands between two cells.
        max_bytes: A longer line or cell is a `line_too_long` fault.

    Yields:
        Blocks of rows as JSON objects; rows that cannot be read are faults.

    Raises:
        SourceError: `wrong_format`: the header is missing or holds a name twice; `wrong_encoding`.
    """
    csv.field_size_limit(max(max_bytes, csv.field_size_limit()))
    lines = _Lines(chunks, name, max_bytes)
    reader = csv.reader(lines, delimiter=delimiter, strict=True)
    header = _header(reader, name, lines)
    block = _empty(name)
    while True:
        line, offset = lines.number + 1, lines.offset
        try:
            cells = next(reader)
        except StopIteration:
            break
        except _TooLongError:
            lines.taken()
            block.faults.append(too_long(line, offset, max_bytes, b""))
        except csv.Error as error:
            lines.taken()
            block.faults.append(_unreadable(error, line, offset, max_bytes, ended=lines.ended))
        else:
            block = _with_row(block, cells, header, Place(name, line, offset), damaged=lines.taken())
        if len(block.records) + len(block.faults) >= _BLOCK_ROWS:
            yield block
            block = _empty(name)
    yield block


def _header(reader: Iterator[list[str]], name: str, lines: _Lines) -> list[str]:
    try:
        header = next(reader, [])
    except (csv.Error, _TooLongError) as error:
        raise SourceError("wrong_format", name, f"the header of the table cannot be read ({error})") from error
    if lines.taken():
        raise SourceError("wrong_encoding", name, "the header of the table is not UTF-8; save the file as UTF-8")
    if not header:
        raise SourceError("wrong_format", name, "the table has no header; its first line names the columns")
    for column, times in Counter(header).items():
        if not column or times > 1:
            seen = f"{column!r} stands {times} times in" if column else "a column has no name in"
            raise SourceError("wrong_format", name, f"{seen} the header ({', '.join(header)[:200]}); name each once")
    return header


def _with_row(block: Block, cells: list[str], header: list[str], place: Place, *, damaged: bool) -> Block:
    _, line, offset = place
    if not cells or cells == [""]:
        return block._replace(blank=block.blank + 1)
    if damaged:
        head = "".join(cells).encode(errors="surrogateescape")[:HEAD_BYTES]
        block.faults.append(Fault(line, offset, "invalid_utf8", "the row is not UTF-8", head))
    elif len(cells) != len(header):
        message = f"{len(cells)} cells, and the header names {len(header)} columns; a comma or a quote is amiss"
        block.faults.append(Fault(line, offset, "ragged_row", message, ",".join(cells).encode()[:HEAD_BYTES]))
    else:
        block.lines.append(line)
        block.offsets.append(offset)
        block.records.append(orjson.dumps(dict(zip(header, (cell or None for cell in cells), strict=True))))
    return block


def _unreadable(error: csv.Error, line: int, offset: int, limit: int, *, ended: bool) -> Fault:
    if "field larger" in str(error):
        return too_long(line, offset, limit, b"")
    if "unexpected end" in str(error) and ended:
        return Fault(line, offset, "truncated_tail", "the file ends inside a quoted cell", b"")
    return Fault(line, offset, "invalid_csv", f"the row is no CSV ({error}); quote cells that hold quotes", b"")


def _empty(name: str) -> Block:
    return Block(name, [], [], [], 0, [], {})


class _TooLongError(Exception):
    """A line, or the lines of one row together, are longer than allowed."""


class _Lines:
    """The lines of a file as texts; it counts them, and remembers that one was no UTF-8."""

    def __init__(self, chunks: Iterable[bytes], name: str, limit: int) -> None:
        self.number = 0
        self.offset = 0
        """Of the line that comes next."""
        self.ended = False
        self._damaged = False
        self._limit = limit
        self._row = 0
        """Bytes since the last row ended ..."""
        self._quotes = 0
        """... and quotes among them: an odd number leaves a cell open."""
        self._lines = self._split(chunks, name, limit)

    def __iter__(self) -> _Lines:
        return self

    def __next__(self) -> str:
        text = self._line()
        if text is None or self._row > self._limit:
            while self._quotes % 2:  # the row goes on; what is left of it must not be read as rows
                self._line(last="")
            raise _TooLongError(f"it is longer than {self._limit} bytes")
        self._damaged = self._damaged or not _is_whole(text)
        return text

    def _line(self, last: str | None = None) -> str | None:
        try:
            text, size, quotes = next(self._lines)
        except StopIteration:
            if last is None:
                raise
            self._quotes = 0
            return last
        self.number += 1
        self.offset += size
        self._quotes += quotes
        self._row += self._limit + 1 if text is None else size
        return text

    def taken(self) -> bool:
        """Whether a line since the last call was no UTF-8."""
        damaged, self._damaged, self._row = self._damaged, False, 0
        self._quotes = 0
        return damaged

    def _split(self, chunks: Iterable[bytes], name: str, limit: int) -> Iterator[tuple[str | None, int, int]]:
        """Each line, its length in bytes and its quotes; in place of one that is too long, nothing."""
        waiting = iter(chunks)
        first = next(waiting, b"")
        wide = first[:2] if first.startswith(_WIDE) else b""
        encoding = ("utf-16-le" if wide == codecs.BOM_UTF16_LE else "utf-16-be") if wide else "utf-8"
        mark = wide or (codecs.BOM_UTF8 if first.startswith(codecs.BOM_UTF8) else b"")
        self.offset = len(mark)
        data: Iterable[bytes] = chain((first[len(mark) :],), waiting)
        line = _Line(limit, encoding)
        for chunk in _as_utf8(data, encoding, name) if wide else data:
            *ends, rest = chunk.split(b"\n")
            for end in ends:
                if line.size or 2 * len(end) >= limit:
                    line.add(end)
                    yield line.taken(b"\n")
                else:  # all of it stands in this chunk, as of nearly all lines
                    text = f"{end.decode(errors='surrogateescape')}\n"
                    yield text, len(text.encode(encoding)) if wide else len(end) + 1, end.count(b'"')
            line.add(rest)
        self.ended = True
        if line.size:
            yield line.taken()


class _Line:
    """The line that has begun, as UTF-8; of one that is too long no bytes are kept."""

    def __init__(self, limit: int, encoding: str) -> None:
        self._limit = limit
        self._encoding = encoding
        self._held: list[bytes] = []
        self._quotes = 0
        self.size = 0
        """In bytes of the file."""

    def add(self, part: bytes) -> None:
        self.size += self._size(part)
        self._quotes += part.count(b'"')
        self._held.append(part)
        if self.size > self._limit:
            self._held.clear()

    def taken(self, end: bytes = b"") -> tuple[str | None, int, int]:
        """Its text, or nothing if it is too long; its length in bytes; its quotes. Then the next one begins."""
        text = None
        if self.size <= self._limit:
            text = b"".join((*self._held, end)).decode(errors="surrogateescape")
        found = text, self.size + self._size(end), self._quotes
        self._held, self.size, self._quotes = [], 0, 0
        return found

    def _size(self, part: bytes) -> int:
        return len(part) if self._encoding == "utf-8" else len(part.decode().encode(self._encoding))


def _as_utf8(chunks: Iterable[bytes], encoding: str, name: str) -> Iterator[bytes]:
    """The same text as UTF-8, no character cut in two."""
    decoder = codecs.getincrementaldecoder(encoding)()
    try:
        for chunk in chunks:
            yield decoder.decode(chunk).encode()
        yield decoder.decode(b"", final=True).encode()
    except UnicodeDecodeError as error:
        raise SourceError("wrong_encoding", name, f"the text is no UTF-16 ({error.reason})") from error


def _is_whole(text: str) -> bool:
    """Whether all of a line could be decoded; what could not stands in it as halves of characters."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
