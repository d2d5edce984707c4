"""Refusing, by their first bytes, files that are no JSON text."""

from __future__ import annotations

import codecs
from typing import Final

from ktoformats.errors import SourceError
from ktoformats.read.inflate import codec_of

_CONTAINERS: Final = (
    (b"\x04\x22\x4d\x18", "an lz4 file", "decompress it (lz4 -d)"),
    (b"PK\x03\x04", "a zip archive", "extract it"),
    (b"PK\x05\x06", "a zip archive", "extract it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "extract it"),
    (b"Rar!\x1a\x07", "a rar archive", "extract it"),
    (b"\x1f\x9d", "a file of the old compress", "decompress it (uncompress)"),
    (b"Obj\x01", "an Avro file", "write it as Parquet or JSON Lines"),
    (b"PAR1", "a Parquet file inside another compression", "decompress that"),
    (b"ARROW1", "an Arrow file inside another compression", "decompress that"),
    (b"FEA1", "a Feather file of version 1", "write it as version 2"),
)
_TAR_MARK: Final = b"ustar"
_TAR_AT: Final = 257

_WIDE_MARKS: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SNIFFED_BYTES: Final = 4096
_MANY_NULS: Final = 0.2
_SOME_NULS: Final = 0.04


def refuse_foreign(head: bytes, name: str, *, wide: bool = False) -> None:
    """Refuse a file that is compressed in an unknown way, an archive, a pointer or no UTF-8.

    Args:
        head: The first bytes of the (decompressed) file.
        name: The file, as the user named it.
        wide: UTF-16 with its mark is read.

    Raises:
        SourceError: `unsupported_container`, `lfs_pointer` or `wrong_encoding`.
    """
    for magic, what, remedy in _CONTAINERS:
        if head.startswith(magic):
            raise SourceError("unsupported_container", name, f"this is {what}; {remedy} first")
    if head[_TAR_AT:].startswith(_TAR_MARK):
        raise SourceError("unsupported_container", name, "this is a tar archive; extract it first")
    if head.startswith(b"version https://git-lfs"):
        raise SourceError("lfs_pointer", name, "this is a Git LFS pointer, not the data; run `git lfs pull`")
    if _is_wide(head[:_SNIFFED_BYTES]) and not (wide and head.startswith(_WIDE_MARKS[2:])):
        message = "this looks like UTF-16 or UTF-32 (or holds zero bytes instead of text); save it as UTF-8"
        raise SourceError("wrong_encoding", name, message)


def refuse_nested(head: bytes, name: str) -> None:
    """Refuse what was compressed twice.

    Raises:
        SourceError: `unsupported_container`.
    """
    if codec := codec_of(head):
        message = f"this was compressed twice, with {codec.name} inside; decompress it once"
        raise SourceError("unsupported_container", name, message)


def _is_wide(head: bytes) -> bool:
    if head.startswith(_WIDE_MARKS):
        return True
    share = head.count(0) / len(head) if head else 0.0
    # JSON starts with an ASCII character, so without a mark one of the first two bytes of UTF-16 is zero.
    return share > _MANY_NULS or (0 in head[:2] and share > _SOME_NULS)
