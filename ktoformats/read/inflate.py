"""Compressed files as streams: any number of members, every cut or damage noticed, bombs stopped.

The kind of compression is known by its first bytes, whatever the file is called.
"""

from __future__ import annotations

import bz2
import lzma
import zlib
from pathlib import PurePath
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import pyarrow as pa

from ktoformats.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_GZIP, _ZSTD, _BZIP2, _XZ = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"BZh", b"\xfd7zXZ\x00"
_GZIP_WBITS: Final = 31
_XZ_MEMORY: Final = 256 << 20
"""What an xz file may ask for; the strongest preset of `xz` needs 65 MiB."""


class Codec(NamedTuple):
    """One kind of compression."""

    name: str
    magic: bytes
    suffix: str
    pieces: Callable[[Iterator[bytes], str, int], Iterator[bytes]]
    """From compressed pieces, the file's name and the length of a piece to decompressed pieces."""


def codec_of(head: bytes) -> Codec | None:
    """The kind of compression that a file's first bytes show, or None."""
    return next((codec for codec in CODECS if head.startswith(codec.magic)), None)


def bare_suffix(name: str) -> str:
    """What a file is called behind its last dot, `.csv` for `a.CSV` and for `a.csv.gz`."""
    path = PurePath(name.lower())
    return path.with_suffix("").suffix if any(path.suffix == codec.suffix for codec in CODECS) else path.suffix


def is_cut_magic(head: bytes, suffix: str) -> bool:
    """Whether a file of these few bytes (or of none) is the very beginning of a compressed one."""
    if not head:
        return any(suffix == codec.suffix for codec in CODECS)
    return any(len(head) < len(codec.magic) and codec.magic.startswith(head) for codec in CODECS)


def inflate(raw: Iterator[bytes], name: str, *, codec: Codec, limit: int, piece_bytes: int) -> Iterator[bytes]:
    """Decompress a stream.

    Args:
        raw: The compressed bytes in pieces; short ones keep many tiny members cheap.
        name: The file, as the user named it.
        codec: The kind of compression.
        limit: How many bytes may come out.
        piece_bytes: How long a piece that comes out may be.

    Yields:
        The decompressed bytes, no piece empty.

    Raises:
        SourceError: `truncated_file`, `corrupt_file` or `too_large`.
    """
    total = 0
    for piece in codec.pieces(raw, name, piece_bytes):
        total += len(piece)
        if total > limit:
            raise too_large(name, limit)
        if piece:
            yield piece


def too_large(name: str, limit: int) -> SourceError:
    """The error of a file out of which more comes than may."""
    message = f"it decompresses to more than {limit} bytes, far beyond its size; if that is right, unpack it first"
    return SourceError("too_large", name, message)


class _Member(Protocol):
    """A decompressor of the standard library, for one member."""

    @property
    def eof(self) -> bool: ...

    @property
    def unused_data(self) -> bytes: ...

    def decompress(self, data: bytes, max_length: int, /) -> bytes: ...


def _members(
    make: Callable[[], _Member], magic: bytes, what: str, raw: Iterator[bytes], name: str, size: int
) -> Iterator[bytes]:
    """One member after the other; zeros may stand between and after them."""
    member: _Member | None = None
    first = True
    for chunk in raw:
        data = chunk
        while data:
            if member is None:
                data = data.lstrip(b"\x00")
                if data[: len(magic)] != magic[: len(data)]:
                    raise _damaged(name, what, "no header", first=first)
                member = make() if data else None
                continue
            try:
                yield from _all_of(member, data, size)
            except (zlib.error, OSError, EOFError, lzma.LZMAError) as error:
                raise _damaged(name, what, error, first=first) from error
            data = member.unused_data
            if member.eof:
                member, first = None, False
    if member is not None:
        message = f"the {what} data ends in the middle; copy or download the file again"
        raise SourceError("truncated_file", name, message)


def _all_of(member: _Member, data: bytes, size: int) -> Iterator[bytes]:
    """All that `data` becomes, in pieces of at most `size`."""
    while True:
        yield member.decompress(data, size)
        # zlib hands back what it did not take in; bz2 and lzma keep it and say whether they want more
        data = getattr(member, "unconsumed_tail", b"")
        if member.eof or (not data and getattr(member, "needs_input", True)):
            return


def _damaged(name: str, what: str, error: BaseException | str, *, first: bool) -> SourceError:
    if isinstance(error, lzma.LZMAError) and "memory" in str(error).lower():
        message = f"it needs more than {_XZ_MEMORY >> 20} MiB to decompress; compress it with a lower preset"
        return SourceError("too_large", name, message)
    told = f"the {what} data is damaged" if first else f"damaged data or no {what} at all follows the {what} data"
    return SourceError("corrupt_file", name, f"{told} ({error}); copy or download the file again")


def _gzip(raw: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    return _members(lambda: zlib.decompressobj(wbits=_GZIP_WBITS), _GZIP, "gzip", raw, name, size)


def _bzip2(raw: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    return _members(bz2.BZ2Decompressor, _BZIP2, "bzip2", raw, name, size)


def _xz(raw: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    return _members(lambda: lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=_XZ_MEMORY), _XZ, "xz", raw, name, size)


def _zstd(raw: Iterator[bytes], name: str, size: int) -> Iterator[bytes]:
    stream = pa.CompressedInputStream(pa.PythonFile(_Pieces(raw), mode="r"), "zstd")
    while True:
        try:
            piece = stream.read(size)
        except SourceError:  # from the file, through Arrow
            raise
        except OSError as error:
            if "runcated" in str(error):
                message = "the zstd data ends in the middle; copy or download the file again"
                raise SourceError("truncated_file", name, message) from error
            message = f"the zstd data is damaged, or something else follows it ({error}); copy the file again"
            raise SourceError("corrupt_file", name, message) from error
        if not piece:
            return
        yield piece


class _Pieces:
    """An iterator of pieces as the file that Arrow reads."""

    closed = False

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._held = b""

    def read(self, size: int) -> bytes:
        if not self._held:
            self._held = next(self._pieces, b"")
        data, self._held = self._held[:size], self._held[size:]
        return data

    def close(self) -> None:
        self.closed = True


CODECS: Final = (
    Codec("gzip", _GZIP, ".gz", _gzip),
    Codec("zstd", _ZSTD, ".zst", _zstd),
    Codec("bzip2", _BZIP2, ".bz2", _bzip2),
    Codec("xz", _XZ, ".xz", _xz),
)
LONGEST_MAGIC: Final = max(len(codec.magic) for codec in CODECS)
