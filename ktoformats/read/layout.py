"""Telling from a file's beginning how its records are laid out."""

from __future__ import annotations

import json
import re
from itertools import islice, pairwise
from typing import TYPE_CHECKING, Final

import orjson

from ktoformats.errors import SourceError
from ktoformats.read.inflate import CODECS
from ktoformats.read.parse import many_values

if TYPE_CHECKING:
    from collections.abc import Iterator

BOM: Final = b"\xef\xbb\xbf"
_HEAD_BYTES: Final = 1 << 20
_WHOLE_BYTES: Final = 16 << 20
_SAMPLE: Final = 20
_FEW: Final = 0.1
"""The share of lines that may be damaged; with more, the whole file is in another encoding."""
_LINES: Final = re.compile(rb"\S[^\n]*").finditer
"""The lines that are not blank, each from its first character on."""
_ADVICE: Final = "write one JSON value per line, or put all of them into one array ([...]) in a .json file"


class Peeked:
    """Chunks whose beginning can be looked at before they are iterated over."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._held: list[bytes] = []
        self.ended: bool = False
        """Whether all chunks have been seen."""

    def head(self, size: int) -> bytes:
        """The first `size` bytes or some more; fewer where the chunks end, and `ended` says so."""
        length = sum(map(len, self._held))
        while length < size and not self.ended:
            chunk = next(self._chunks, b"")
            self.ended = not chunk
            self._held.append(chunk)
            length += len(chunk)
        return b"".join(self._held)

    def __iter__(self) -> Iterator[bytes]:
        # Popped, so that what was looked at does not stay in memory.
        while self._held:
            yield self._held.pop(0)
        yield from self._chunks


def shape(text: bytes) -> str:
    """What stands on a line: `container`, `scalar`, or `none` when it is no complete JSON value.

    Lenient where only the parser has to be strict: NaN or half a character is complete, if refused later.
    """
    if many_values(text):
        return "container"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        try:
            value = json.loads(text.decode(), strict=False, parse_int=float)
        except ValueError:
            return "none"
        except RecursionError:
            return "container"
    return "container" if isinstance(value, dict | list) else "scalar"


def is_array(chunks: Peeked, file_name: str, name: str) -> bool:
    """Whether the file is one JSON array rather than JSON Lines; its content decides.

    Args:
        chunks: The file's beginning.
        file_name: `.json`, also before `.gz` and its like, says that a leading `[` opens an array of records.
        name: The file, as the user named it.

    Raises:
        SourceError: `wrong_format`: the records are laid out in a way that is not read; `wrong_encoding`: they
            are not UTF-8.
    """
    head = chunks.head(_HEAD_BYTES).removeprefix(BOM)
    _refuse_other_encodings(head, name)
    text = head.lstrip()
    if text.startswith(b"["):
        named = file_name.lower().endswith((".json", *(f".json{codec.suffix}" for codec in CODECS)))
        if named or _opens_array(text, ended=chunks.ended):
            return True
    _refuse_lone_returns(head, name)
    _refuse_many_lines_per_record(chunks, name)
    return False


def _refuse_other_encodings(head: bytes, name: str) -> None:
    """Refuse a file in one of the old one-byte encodings; a few damaged lines are for the parser to reject."""
    if _is_utf8(head[: head.rfind(b"\n") + 1]):
        return
    lines = [line for line in head.split(b"\n")[:-1] if line]
    damaged = [line for line in lines if not _is_utf8(line)]
    if len(damaged) >= _SAMPLE and len(damaged) > _FEW * len(lines):
        message = (
            f"{len(damaged)} of its first {len(lines)} lines are not UTF-8, as in a file in Windows-1256 or Latin-1; "
            "save it as UTF-8: iconv -f WINDOWS-1256 -t UTF-8"
        )
        raise SourceError("wrong_encoding", name, message)


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _opens_array(text: bytes, *, ended: bool) -> bool:
    """Whether text that starts with a bracket is an array of records, whatever the file is called."""
    first, _, rest = text.partition(b"\n")
    if shape(first) != "none":
        return ended and not rest.strip()
    # Within an array no two lines in a row are complete objects: a comma stands between them.
    objects = [line.lstrip()[:1] == b"{" and shape(line) != "none" for line in rest.split(b"\n", _SAMPLE)[:_SAMPLE]]
    return not any(one and other for one, other in pairwise(objects))


def _refuse_lone_returns(head: bytes, name: str) -> None:
    if b"\n" in head or b"\r" not in head.rstrip():
        return
    pieces = [piece for piece in head.split(b"\r", _SAMPLE)[:_SAMPLE] if piece.strip()]
    if len(pieces) > 1 and any(shape(piece) == "container" for piece in pieces):
        message = "lines end in a lone carriage return (old Macintosh); convert them to newlines: tr '\\r' '\\n'"
        raise SourceError("wrong_format", name, message)


def _refuse_many_lines_per_record(chunks: Peeked, name: str) -> None:
    for size in (_HEAD_BYTES, _WHOLE_BYTES):
        head = chunks.head(size).removeprefix(BOM)
        shapes = _shapes(head, ended=chunks.ended)
        if "container" in shapes:
            return
        if len(shapes) == _SAMPLE:
            # Lines of numbers and strings alone are JSON Lines, of a kind for a format to judge.
            if shapes.count("none") * 2 > _SAMPLE:
                raise SourceError("wrong_format", name, f"none of the first {_SAMPLE} lines is JSON; {_ADVICE}")
            return
        if chunks.ended:
            break
    if chunks.ended and len(shapes) > 1 and _starts_with_object(head):
        raise SourceError("wrong_format", name, f"one JSON object stands on several lines; {_ADVICE}")


def _shapes(head: bytes, *, ended: bool) -> list[str]:
    """The shapes of the first complete lines that are not blank, up to the first container."""
    whole = len(head) if ended else head.rfind(b"\n") + 1
    shapes: list[str] = []
    for line in islice(_LINES(head, 0, whole), _SAMPLE):  # not split: it may be millions of blank lines
        shapes.append(shape(line[0].removeprefix(BOM)))
        if shapes[-1] == "container":
            break
    return shapes


def _starts_with_object(head: bytes) -> bool:
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(head.decode().lstrip())
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict)
