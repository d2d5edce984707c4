"""Gzip as a stream: any number of members, every cut or damage noticed, bombs stopped."""

from __future__ import annotations

import zlib
from typing import TYPE_CHECKING, Final

from ktoformats.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Iterator

_GZIP_WBITS: Final = 31


def inflate(raw: Iterator[bytes], name: str, *, limit: int, piece_bytes: int) -> Iterator[bytes]:
    """Decompress gzip.

    Args:
        raw: The compressed bytes in pieces; short ones keep many tiny members cheap.
        name: The file, as the user named it.
        limit: How many bytes may come out.
        piece_bytes: How long a piece that comes out may be.

    Yields:
        The decompressed bytes, no piece empty.

    Raises:
        SourceError: `truncated_file`, `corrupt_file` or `too_large`.
    """
    total = 0
    for piece in _members(raw, name, piece_bytes):
        total += len(piece)
        if total > limit:
            message = f"it decompresses to more than {limit} bytes, far beyond its size; is it meant to be read?"
            raise SourceError("too_large", name, message)
        if piece:
            yield piece


def _members(raw: Iterator[bytes], name: str, piece_bytes: int) -> Iterator[bytes]:
    member = None
    first = True
    for chunk in raw:
        data = chunk
        while data:
            if member is None:
                # gzip files may be padded with zeros between and after members
                data = data.lstrip(b"\x00")
                member = zlib.decompressobj(wbits=_GZIP_WBITS) if data else None
                continue
            yield from _decompress(member, data, name, piece_bytes, first=first)
            data = member.unused_data
            if member.eof:
                member, first = None, False
    if member is not None:
        message = "the gzip data ends in the middle; copy or download the file again"
        raise SourceError("truncated_file", name, message)


def _decompress(member: zlib._Decompress, data: bytes, name: str, size: int, *, first: bool) -> Iterator[bytes]:
    """All that `data` becomes, in pieces of at most `size`."""
    while True:
        try:
            piece = member.decompress(data, size)
        except zlib.error as error:
            what = "the gzip data is damaged" if first else "damaged data or no gzip at all follows the gzip data"
            message = f"{what} ({error}); copy or download the file again"
            raise SourceError("corrupt_file", name, message) from error
        yield piece
        data = member.unconsumed_tail
        # No output is left inside zlib: the member's trailer, at the latest, stays unconsumed behind it.
        if member.eof or not data:
            return
