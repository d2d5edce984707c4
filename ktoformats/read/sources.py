"""Finding the files a user named, and reading their bytes with compression undone.

Nothing but regular files is ever opened, and a file that changes while it is read is noticed.
"""

from __future__ import annotations

import errno
import glob
import hashlib
import os
import stat
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Final

from ktoformats.errors import SourceError
from ktoformats.read.inflate import LONGEST_MAGIC, codec_of, inflate, is_cut_magic
from ktoformats.read.sniff import refuse_foreign, refuse_nested

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Stamp = tuple[int, int, int, int, int]
"""What tells one state of a file from another: device, inode, size, and in nanoseconds the times when its content
was last changed, which anybody can set, and its inode, which nobody can."""

MIB: Final = 1 << 20
_RAW_BYTES: Final = 1 << 16
MAX_RATIO: Final = 200
"""How many bytes one stored byte may become ..."""
MAX_OUTPUT: Final = 256 * MIB
"""... once more than this many have come out."""

_CODES: Final = {
    errno.ENOENT: ("not_found", "there is no such file; check the spelling and the working directory"),
    errno.ENOTDIR: ("not_found", "a part of the path is a file, not a directory; check the path"),
    errno.ENAMETOOLONG: ("not_found", "the name is longer than the system allows; check the path"),
    errno.EACCES: ("permission_denied", "you may not read this; ask its owner or change its permissions"),
    errno.EPERM: ("permission_denied", "you may not read this; ask its owner or change its permissions"),
    errno.ELOOP: ("symlink_loop", "the symbolic link leads back to itself; name the real file"),
    errno.EISDIR: ("is_directory", "this is a directory; name its files, as in `DIRECTORY/*.jsonl`"),
}


def resolve(paths: str | os.PathLike[str] | Sequence[str | os.PathLike[str]]) -> list[Path]:
    """Find the files that paths and globs name.

    Args:
        paths: One path or glob (`*`, `?`, `[`, and `**` for any depth), or several. A path that exists
            wins over its reading as a glob; directories that a glob matches are passed over.

    Returns:
        The files in the order given, those of one glob sorted by name.

    Raises:
        SourceError: `not_found`, `is_directory`, `not_regular`, `symlink_loop`, `permission_denied` or
            `duplicate_source`.
    """
    given = [paths] if isinstance(paths, str | os.PathLike) else list(paths)
    if not given:
        raise SourceError("not_found", "<sources>", "no file was named; name at least one")
    seen: dict[tuple[int, int], Path] = {}
    for path in (found for one in given for found in _expand(os.fspath(one))):
        info = _stat_regular(path, str(path))
        twin = seen.setdefault((info.st_dev, info.st_ino), path)
        if twin is not path:
            message = f"this is the same file as {twin}; name each file once, or make the globs disjoint"
            raise SourceError("duplicate_source", str(path), message)
        if not os.access(path, os.R_OK):
            raise SourceError("permission_denied", str(path), _CODES[errno.EACCES][1])
    return list(seen.values())


def _expand(text: str) -> list[Path]:
    if not text:
        raise SourceError("not_found", "''", "the path is empty; name a file")
    if not glob.has_magic(text) or os.path.lexists(text):
        return [Path(text)]
    found = sorted(Path(match) for match in glob.glob(text, recursive=True) if not os.path.isdir(match))  # noqa: PTH112, PTH207 - pathlib has no `**` over links, nor takes absolute globs
    if not found:
        raise SourceError("not_found", text, "no file matches; check the pattern and the working directory")
    return found


def head_of(path: Path, name: str, size: int) -> bytes:
    """The first bytes of a file as they are on disk.

    Raises:
        SourceError: The file cannot be read.
    """
    with _open_regular(path, name) as file:
        return _read(file, size, name)


@contextmanager
def unchanged(path: Path, name: str, since: Stamp | None = None) -> Iterator[Stamp]:
    """Notice that a file changes while somebody else reads it, or has changed since it was stamped.

    Yields:
        The file's stamp.

    Raises:
        SourceError: `changed_during_read`, or as `resolve` does.
    """
    before = since or _stamp(_stat_regular(path, name))
    yield before
    if _stamp(_stat_regular(path, name)) != before:
        raise _changed(name)


def digest(path: str | os.PathLike[str], name: str | None = None) -> str:
    """The SHA-256 of a file's bytes as they are on disk, as hex digits.

    Raises:
        SourceError: The file cannot be read.
    """
    label = name or os.fspath(path)
    with _open_regular(Path(path), label) as file:
        try:
            return hashlib.file_digest(file, "sha256").hexdigest()  # type: ignore[arg-type]  # IO[bytes] has all it asks
        except OSError as error:
            raise unreadable(error, label) from error


@contextmanager
def open_source(
    path: str | os.PathLike[str],
    name: str | None = None,
    *,
    chunk_bytes: int = MIB,
    max_ratio: int = MAX_RATIO,
    max_output: int = MAX_OUTPUT,
    wide: bool = False,
) -> Iterator[Iterator[bytes]]:
    """Open a file for reading, with gzip, zstd, bzip2 and xz undone whatever the file is called.

    Args:
        path: The file.
        name: What errors call it; the path by default.
        chunk_bytes: The length of every chunk but the last.
        max_ratio: How many bytes one compressed byte may become ...
        max_output: ... once more than this many have come out.
        wide: UTF-16 with its mark is let through.

    Yields:
        An iterator over the decompressed bytes. At its end it compares the file with what was opened.

    Raises:
        SourceError: `truncated_file`, `corrupt_file`, `too_large`, `wrong_encoding`,
            `unsupported_container`, `lfs_pointer`, `changed_during_read`, or as `resolve` does.
    """
    label = name or os.fspath(path)
    with _open_regular(Path(path), label) as file:
        before = os.fstat(file.fileno())
        limit = max(max_output, max_ratio * before.st_size)
        yield _chunks(file, Path(path), label, before, chunk_bytes, limit, wide=wide)


def _chunks(
    file: IO[bytes],
    path: Path,
    name: str,
    before: os.stat_result,
    chunk_bytes: int,
    limit: int,
    *,
    wide: bool,
) -> Iterator[bytes]:
    yield from _regroup(_pieces(file, path, name, limit, wide=wide), chunk_bytes)
    try:
        after = (os.fstat(file.fileno()), path.stat())
    except OSError as error:
        raise _changed(name) from error
    if any(_stamp(now) != _stamp(before) for now in after) or file.tell() != before.st_size:
        raise _changed(name)


def _pieces(file: IO[bytes], path: Path, name: str, limit: int, *, wide: bool) -> Iterator[bytes]:
    """The decompressed bytes in pieces of any length, the first one looked at."""
    head = _read(file, LONGEST_MAGIC, name)
    file.seek(0)
    if is_cut_magic(head, path.suffix.lower()):
        raise SourceError("truncated_file", name, "the compressed file is cut at its very start; copy it again")
    codec = codec_of(head)
    raw = iter(lambda: _read(file, _RAW_BYTES if codec else MIB, name), b"")
    pieces = inflate(raw, name, codec=codec, limit=limit, piece_bytes=MIB) if codec else raw
    first = next(pieces, b"")
    refuse_foreign(first, name, wide=wide)
    if codec:
        refuse_nested(first, name)
    if first:
        yield first
    yield from pieces


def _regroup(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """The same bytes in pieces of `size`, the last one shorter."""
    held: list[bytes] = []
    length = 0
    for piece in pieces:
        if not held and len(piece) == size:
            yield piece
            continue
        held.append(piece)
        length += len(piece)
        if length >= size:
            data = b"".join(held)
            stop = length - length % size
            yield from (data[start : start + size] for start in range(0, stop, size))
            held = [data[stop:]] if stop < length else []
            length -= stop
    if held:
        yield b"".join(held)


def _stat_regular(path: Path, name: str) -> os.stat_result:
    try:
        info = path.stat()
    except OSError as error:
        raise unreadable(error, name) from error
    except ValueError as error:
        raise SourceError("not_found", name, "the path holds a NUL character; check it") from error
    if stat.S_ISDIR(info.st_mode):
        raise SourceError("is_directory", name, _CODES[errno.EISDIR][1])
    if not stat.S_ISREG(info.st_mode):
        message = "this is a pipe, a socket or a device; write its data to a file and name that"
        raise SourceError("not_regular", name, message)
    return info


def _open_regular(path: Path, name: str) -> IO[bytes]:
    info = _stat_regular(path, name)
    try:
        # O_NONBLOCK: a pipe put in the file's place since then must not hang us.
        file = os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC), "rb", buffering=0)
    except OSError as error:
        raise unreadable(error, name) from error
    if _stamp(os.fstat(file.fileno()))[:2] != _stamp(info)[:2]:
        file.close()
        raise _changed(name)
    return file


def _read(file: IO[bytes], size: int, name: str) -> bytes:
    try:
        return file.read(size)
    except OSError as error:
        raise unreadable(error, name) from error


def stamp_of(path: Path, name: str) -> Stamp:
    """The state that a file is in.

    Raises:
        SourceError: As `resolve` does.
    """
    return _stamp(_stat_regular(path, name))


def _stamp(info: os.stat_result) -> Stamp:
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns


def _changed(name: str) -> SourceError:
    message = "the file changed while it was read; wait until nothing writes to it and start again"
    return SourceError("changed_during_read", name, message)


def unreadable(error: OSError, name: str) -> SourceError:
    """What the system says about a file, as our error."""
    code, message = _CODES.get(error.errno or 0, ("unreadable", f"the system says: {error.strerror or error}"))
    return SourceError(code, name, message)
