"""Refusing, by their first bytes, files that are no JSON text."""

from __future__ import annotations

import codecs
from typing import Final

from ktoformats.errors import SourceError

GZIP: Final = b"\x1f\x8b"

_CONTAINERS: Final = (
    (b"\x28\xb5\x2f\xfd", "a zstd file", "decompress it (zstd -d)"),
    (b"\xfd7zXZ\x00", "an xz file", "decompress it (xz -d)"),
    (b"BZh", "a bzip2 file", "decompress it (bzip2 -d)"),
    (b"\x04\x22\x4d\x18", "an lz4 file", "decompress it (lz4 -d)"),
    (b"PK\x03\x04", "a zip archive", "extract it"),
    (b"PK\x05\x06", "a zip archive", "extract it"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive", "extract it"),
    (b"PAR1", "a Parquet file", "convert it to JSON Lines"),
    (b"ARROW1", "an Arrow file", "convert it to JSON Lines"),
)
_TAR_MARK: Final = b"ustar"
_TAR_AT: Final = 257

_WIDE_MARKS: Final = (codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
_SNIFFED_BYTES: Final = 4096
_MANY_NULS: Final = 0.2
_SOME_NULS: Final = 0.04


def refuse_foreign(head: bytes, name: str) -> None:
    """Refuse a file that is compressed in an unknown way, an archive, a pointer or no UTF-8.

    Args:
        head: The first bytes of the (decompressed) file.
        name: The file, as the user named it.

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
    if _is_wide(head[:_SNIFFED_BYTES]):
        message = "this looks like UTF-16 or UTF-32 (or holds zero bytes instead of text); save it as UTF-8"
        raise SourceError("wrong_encoding", name, message)


def refuse_nested_gzip(head: bytes, name: str) -> None:
    """Refuse gzip within gzip.

    Raises:
        SourceError: `unsupported_container`.
    """
    if head.startswith(GZIP):
        raise SourceError("unsupported_container", name, "this was compressed twice; run gzip -d on it first")


def _is_wide(head: bytes) -> bool:
    if head.startswith(_WIDE_MARKS):
        return True
    share = head.count(0) / len(head) if head else 0.0
    # JSON starts with an ASCII character, so without a mark one of the first two bytes of UTF-16 is zero.
    return share > _MANY_NULS or (0 in head[:2] and share > _SOME_NULS)
