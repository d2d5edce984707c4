"""Parts of a large file of lines, each read by itself, so that several processes can share one file."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ktoformats.errors import SourceError
from ktoformats.read.columnar import MAGICS
from ktoformats.read.delimited import DELIMITERS
from ktoformats.read.inflate import LONGEST_MAGIC, bare_suffix, codec_of
from ktoformats.read.layout import Peeked, is_array
from ktoformats.read.lines import split_lines
from ktoformats.read.sources import MIB, head_of, open_source, unchanged, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from typing import IO

    from ktoformats.read.blocks import Block

_HEAD_BYTES: Final = max(LONGEST_MAGIC, *map(len, MAGICS))


def divides(path: Path, name: str) -> bool:
    """Whether a file is plain lines, which can be read from anywhere; what cannot be read at all is not."""
    try:
        head = head_of(path, name, _HEAD_BYTES)
        if any(map(head.startswith, MAGICS)) or codec_of(head) or bare_suffix(path.name) in DELIMITERS:
            return False
        with open_source(path, name) as chunks:
            return not is_array(Peeked(chunks), path.name, name)
    except SourceError:
        return False


def lines_in(path: Path, name: str, start: int, stop: int) -> int:
    """How many lines begin in a range of bytes.

    Raises:
        SourceError: The file cannot be read.
    """
    count = int(start == 0)  # a line begins after each newline, and at the start of the file
    at = max(start - 1, 0)
    try:
        with path.open("rb", buffering=0) as file:
            file.seek(at)
            while at < stop - 1 and (data := file.read(min(MIB, stop - 1 - at))):
                count += data.count(b"\n")
                at += len(data)
    except OSError as error:
        raise unreadable(error, name) from error
    return count


def range_blocks(path: Path, name: str, start: int, stop: int, line: int) -> Iterator[Block]:
    """The records on the lines that begin in a range of bytes.

    Args:
        path: A file that `divides`.
        name: What errors and provenance call it.
        start: The first byte of the range.
        stop: The byte after its last one; the last line may go on behind it.
        line: The number of the first line that begins in the range.

    Raises:
        SourceError: The file cannot be read, or changes meanwhile.
    """
    with unchanged(path, name):
        try:
            with path.open("rb", buffering=0) as file:
                first = _next_line(file, start)
                yield from split_lines(_until(file, first, stop), name, line=line, offset=first)
        except SourceError:
            raise
        except OSError as error:
            raise unreadable(error, name) from error


def _next_line(file: IO[bytes], start: int) -> int:
    """Where the first line begins that begins at this byte or later; the file's end, where none does."""
    if start == 0:
        return 0
    at = start - 1
    file.seek(at)
    while data := file.read(MIB):
        cut = data.find(b"\n")
        if cut >= 0:
            return at + cut + 1
        at += len(data)
    return at


def _until(file: IO[bytes], at: int, stop: int) -> Iterator[bytes]:
    """The bytes from the beginning of a line on, to the end of the last line that begins before `stop`."""
    if at >= stop:
        return
    file.seek(at)
    while data := file.read(MIB):
        cut = data.find(b"\n", max(stop - 1 - at, 0)) + 1
        if cut:
            yield data[:cut]
            return
        yield data
        at += len(data)
