"""One JSON array, split into its elements without parsing them.

Only brackets, commas and strings are told apart, by regular expressions that jump over everything else, so
memory is bounded by the longest element and a damaged element is the parser's to reject.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from ktoformats.errors import SourceError
from ktoformats.read.blocks import HEAD_BYTES, Block, too_long
from ktoformats.read.layout import BOM

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_BLANK: Final = b" \t\r\n"

_OPENING: Final = b"[{"
_QUOTE, _COMMA, _CLOSING, _BACKSLASH = b'",]\\'
_BRACKET: Final = re.compile(rb'["\[\]{}]')
_BRACKET_OR_COMMA: Final = re.compile(rb'["\[\]{},]')
# Possessive: each byte is looked at once, whatever the data.
_TO_STRING_END: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)


def elements(chunks: Iterable[bytes], name: str, *, max_bytes: int) -> Iterator[Block]:
    """Split an array into blocks of raw elements; the line is the one on which an element starts.

    Args:
        chunks: The file's bytes, cut anywhere; the first byte that is not blank is `[`.
        name: The file, as the user named it.
        max_bytes: A longer element is a `line_too_long` fault.

    Yields:
        The elements that a chunk completes. An element left out (`[1,,2]`) is an empty record.

    Raises:
        SourceError: `truncated_file`: the end comes before the closing bracket; `wrong_format`: more follows.
    """
    waiting = iter(chunks)
    lead = b""
    while b"[" not in lead and (chunk := next(waiting, b"")):
        lead += chunk
    opening = lead.find(b"[") + 1
    splitter = _Splitter(name, max_bytes, lead[:opening])
    data = lead[opening:]
    while True:
        # An escape is never cut in two: an odd backslash waits for what it escapes.
        odd = (len(data) - len(data.rstrip(b"\\"))) % 2
        whole = len(data) - odd
        yield from splitter.feed(data[:whole])
        chunk = next(waiting, b"")
        if not chunk:
            break
        data = data[whole:] + chunk
    yield from splitter.feed(data[whole:])
    splitter.finish()


class _Element:
    """The element that has begun: its place and its bytes so far."""

    def __init__(self, line: int, offset: int) -> None:
        self.line = line
        self.offset = offset
        self.parts: list[bytes] = []
        self.length = 0
        self.newlines = 0

    def add(self, part: bytes, limit: int) -> None:
        if not self.length:
            bare = part.lstrip(_BLANK)
            lead = len(part) - len(bare)
            self.offset += lead
            self.line += part.count(b"\n", 0, lead)
            part = bare
        if not part:
            return
        kept = self.length <= limit
        self.length += len(part)
        self.newlines += part.count(b"\n")
        if kept:
            self.parts.append(part)
            if self.length > limit:
                self.parts = [b"".join(part[:HEAD_BYTES] for part in self.parts)[:HEAD_BYTES]]


class _Splitter:
    """The state between two chunks: how deep we are, in a string or not, and the element that has begun."""

    def __init__(self, name: str, limit: int, opening: bytes) -> None:
        self.name = name
        self.limit = limit
        self.depth = 1
        self.in_string = False
        self.closed = False
        self.some = False
        """Whether a comma was seen, after which an element is due."""
        self.base = len(opening)
        """The offset of the current chunk."""
        self.element = _Element(1 + opening.count(b"\n"), self.base)
        self.block = self._empty()
        if opening.startswith(BOM):
            self.block.notices["bom_stripped"] = 1

    def feed(self, data: bytes) -> Iterator[Block]:
        """The elements that these bytes complete."""
        begun = 0
        position = self._skip_string(data, 0) if self.in_string else 0
        while not self.closed:
            stop = (_BRACKET_OR_COMMA if self.depth == 1 else _BRACKET).search(data, position)
            if not stop:
                break
            position = stop.end()
            if data[position - 1] == _QUOTE:
                position = self._skip_string(data, position)
            else:
                begun = self._step(data, begun, position - 1)
        if self.closed:
            self._refuse_more(data[begun:])
        else:
            self.element.add(data[begun:], self.limit)
        self.base += len(data)
        if self.block.records or self.block.faults:
            done, self.block = self.block, self._empty()
            yield done

    def finish(self) -> None:
        """Check that the array is closed."""
        if not self.closed:
            message = (
                "the file ends inside the array: it was cut, or a quote or bracket is missing in the element "
                f"that starts on line {self.element.line}; copy the file again, or repair that element"
            )
            raise SourceError("truncated_file", self.name, message)

    def _empty(self) -> Block:
        return Block(self.name, [], [], [], 0, [], {})

    def _skip_string(self, data: bytes, start: int) -> int:
        """Where the string ends that is open at `start`; the end of the data if it stays open."""
        end = data.find(b'"', start)
        if end > start and data[end - 1] == _BACKSLASH:
            found = _TO_STRING_END.match(data, start)
            end = found.end() - 1 if found else -1
        self.in_string = end < 0
        return len(data) if self.in_string else end + 1

    def _step(self, data: bytes, begun: int, position: int) -> int:
        """Take the bracket or comma at which the search stopped; returns where the element begins."""
        byte = data[position]
        if byte in _OPENING:
            self.depth += 1
        elif self.depth > 1:
            self.depth -= 1
        elif byte in (_COMMA, _CLOSING):
            self.some = self.some or byte == _COMMA
            self.closed = byte == _CLOSING
            self._take(data[begun:position], position + 1)
            return position + 1
        # A brace too many is left in its element, for the parser to reject.
        return begun

    def _take(self, part: bytes, after: int) -> None:
        """End the element; the next one begins behind it."""
        element = self.element
        element.add(part, self.limit)
        raw = b"".join(element.parts)
        if element.length > self.limit:
            self.block.faults.append(too_long(element.line, element.offset, self.limit, raw))
        elif raw or self.some:
            self.block.lines.append(element.line)
            self.block.offsets.append(element.offset)
            self.block.records.append(raw.rstrip(_BLANK))
        self.element = _Element(element.line + element.newlines, self.base + after)

    def _refuse_more(self, rest: bytes) -> None:
        if rest.strip(_BLANK):
            message = (
                f"more data follows the array that ends on line {self.element.line}; a file holds one array, "
                "or one JSON value per line"
            )
            raise SourceError("wrong_format", self.name, message)
