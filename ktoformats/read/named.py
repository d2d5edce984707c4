"""What a user may name: files, globs, folders, `-` for standard input, URLs. All of it ends in files.

Standard input and URLs are copied to a private temporary file first, so that everything after this knows only files.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import sys
import weakref
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import mkstemp
from typing import IO, TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit, urlunsplit

from ktoformats.errors import SourceError
from ktoformats.read.inflate import bare_suffix
from ktoformats.read.lines import blocks
from ktoformats.read.sources import Stamp, digest, resolve, stamp_of, unchanged, unreadable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ktoformats.read.blocks import Block

logger: Final = logging.getLogger("ktoformats")

STDIN: Final = "-"
_STDIN_NAME: Final = "<stdin>"
_COPY_BYTES: Final = 1 << 20
_NO_ROOM: Final = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_URL: Final = re.compile(r"[a-z][a-z0-9+.-]+://", re.IGNORECASE)
_DATA_SUFFIXES: Final = frozenset({".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".arrow", ".feather"})
_NO_DATA: Final = re.compile(
    r"dataset_infos?\.json|dataset_dict\.json|state\.json|package(-lock)?\.json|.*[.-](manifest|rejects|failed)\.\w+",
    re.IGNORECASE,
)
_REVISION: Final = re.compile(r"@[0-9a-f]{40}(/|$)")


@dataclass(eq=False)
class Source:
    """One file, under the name the user knows it by."""

    name: str
    """As the user named it, with bytes that are no UTF-8 as `\\xff`; of a URL without what is secret in it."""
    path: Path
    copy: Any = None
    """Holds the temporary copy, which goes when nobody needs it any more."""
    _digested: Stamp | None = field(default=None, init=False, repr=False)
    """What the file was when its digest was taken: what is cached under a digest has to be of the same bytes."""

    def blocks(self) -> Iterator[Block]:
        """The file's records."""
        with unchanged(self.path, self.name, since=self._digested):
            yield from blocks(self.path, self.name)  # holds the copy as long as it is read

    def digest(self) -> str:
        """The SHA-256 of the file's bytes."""
        with unchanged(self.path, self.name) as self._digested:
            return digest(self.path, self.name)

    def stamp(self) -> Stamp:
        """The state that the file is in."""
        return stamp_of(self.path, self.name)

    def pin(self, stamp: Stamp) -> None:
        """Say in which state the digest was taken, where it is known already: in another nothing is read."""
        self._digested = stamp

    def check(self) -> None:
        """Make sure that the file still is what its digest was taken of.

        Raises:
            SourceError: It has changed.
        """
        with unchanged(self.path, self.name, since=self._digested):
            pass


Named = str | os.PathLike[str] | Source


def find_sources(named: Named | Sequence[Named]) -> list[Source]:
    """Find what paths, globs, folders, `-` and URLs name.

    Args:
        named: One of them, or several. A folder stands for all data files below it, by name; hidden ones and what
            ktoformats itself wrote beside its outputs are left out, and told in the log.

    Returns:
        The files, in the order given.

    Raises:
        SourceError: As `resolve` does; `unreadable` where a URL cannot be read, `missing_extra` where the library
            for it is not installed.
    """
    given = [named] if isinstance(named, str | os.PathLike | Source) else list(named)
    found: list[Source] = []
    for one in given or [""]:
        found += _found(one)
    local = [source.path for source in found if source.copy is None]
    if local:
        resolve(local)  # refuses what is no readable file, and what is named twice
    _refuse_copied_twice(found)
    return found


def _refuse_copied_twice(found: Iterable[Source]) -> None:
    """Standard input can be read once; of URLs the bytes tell, for a name shows no query."""
    seen: dict[str, Source] = {}
    for source in (one for one in found if one.copy is not None):
        twin = seen.setdefault(re.sub("/+", "/", source.name), source)
        if twin is not source and (source.name == _STDIN_NAME or twin.digest() == source.digest()):
            raise SourceError("duplicate_source", source.name, "this is named twice; name each source once")


def _found(one: Named) -> list[Source]:
    if isinstance(one, Source):
        return [one]
    text = os.fspath(one)
    if text == STDIN:
        return [_standard_input()]
    if _URL.match(text):
        return list(_remote(text))
    path = Path(text)
    return [Source(_printable(path), path) for path in (_data_files(path) if path.is_dir() else resolve(one))]


def _printable(path: Path) -> str:
    """A path as text that can be written anywhere: names need not be UTF-8."""
    return os.fsencode(path).decode(errors="backslashreplace")


def _standard_input() -> Source:
    if sys.stdin is None:
        raise SourceError("unreadable", _STDIN_NAME, "there is no standard input; name a file")
    try:
        return _copied(sys.stdin.buffer, _STDIN_NAME, "")
    except SourceError:
        raise
    except OSError as error:
        raise unreadable(error, _STDIN_NAME) from error


def _data_files(folder: Path) -> list[Path]:
    """The data files below a folder, by name; what is called like one and is none is for `resolve` to refuse."""
    found = sorted(_below(folder))
    taken = [path for path in found if _is_data(path.relative_to(folder)) and not path.is_dir()]
    if not taken:
        message = f"the folder holds no data file (none of {', '.join(sorted(_DATA_SUFFIXES))}, compressed or not)"
        raise SourceError("not_found", _printable(folder), message)
    known = set(taken)
    left = [_printable(path.relative_to(folder)) for path in found if path not in known]
    if left:
        shown = ", ".join(left[:5]) + (f" and {len(left) - 5} more" if len(left) > 5 else "")  # noqa: PLR2004
        logger.warning("%s: %d files are read; left out: %s", _printable(folder), len(taken), shown)
    return taken


def _below(folder: Path) -> Iterator[Path]:
    """All that stands below a folder but folders; links to folders are not followed, they may lead in circles."""

    def refuse(error: OSError) -> None:
        path = Path(error.filename)
        if not _is_hidden(path.relative_to(folder)):
            raise unreadable(error, _printable(path)) from error

    for above, folders, files in os.walk(folder, onerror=refuse):
        yield from (Path(above, name) for name in files)
        yield from (path for path in (Path(above, name) for name in folders) if path.is_symlink())


def _is_hidden(path: Path) -> bool:
    return any(part.startswith((".", "_")) for part in path.parts)


def _is_data(path: Path) -> bool:
    return not _is_hidden(path) and bare_suffix(path.name) in _DATA_SUFFIXES and not _NO_DATA.fullmatch(path.name)


def _copied(stream: IO[bytes], name: str, file_name: str) -> Source:
    """A private copy of a stream, under a name whose ending tells the same."""
    handle, path = mkstemp(prefix="ktoformats-", suffix=f"-{file_name}")
    copy = _Copy(path)
    try:
        with os.fdopen(handle, "wb") as target:
            shutil.copyfileobj(stream, target, _COPY_BYTES)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        message = f"{name} is copied here and does not fit ({error.strerror}); make room, or set TMPDIR"
        raise SourceError("not_writable", str(Path(path).parent), message) from error
    return Source(name, Path(path), copy)


class _Copy:
    """Removes a temporary file when nobody holds this any more, at the latest when Python ends."""

    def __init__(self, path: str) -> None:
        weakref.finalize(self, _remove, path, os.getpid())


def _remove(path: str, owner: int) -> None:
    if os.getpid() == owner:  # not a forked worker, whose copy of us ends earlier
        Path(path).unlink(missing_ok=True)


def public_name(url: str) -> str:
    """A URL without user, password, query and fragment."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _remote(url: str) -> Iterable[Source]:
    name = public_name(url)
    scheme = name.partition("://")[0].lower()
    try:
        from fsspec.core import url_to_fs
    except ImportError as error:
        message = "reading a URL needs fsspec: pip install 'ktoformats[remote]'"
        raise SourceError("missing_extra", name, message) from error
    if scheme == "hf" and not _REVISION.search(url):
        logger.warning("%s names no revision (@ and 40 digits): what it holds may change", name)
    try:
        system, path = url_to_fs(url)
        paths = sorted(system.glob(path)) if re.search(r"[*?\[]", path) else [path]
        if not paths:
            raise SourceError("not_found", name, "nothing matches; check the pattern")
        for each in paths:
            yield _downloaded(
                system, each, public_name(url if each == path else each if _URL.match(each) else f"{scheme}://{each}")
            )
    except SourceError:
        raise
    except ImportError as error:
        message = f"reading {scheme}:// needs another library ({error}); install it beside ktoformats"
        raise SourceError("missing_extra", name, message) from error
    except Exception as error:  # every file system has errors of its own
        kind = "not_found" if isinstance(error, FileNotFoundError) else "unreadable"
        raise SourceError(
            kind, name, f"cannot be read ({type(error).__name__}: {_first_line(error, url)})"
        ) from error


def _downloaded(system: Any, path: str, name: str) -> Source:
    before = _stamp(system, path)
    with system.open(path, "rb") as stream:
        source = _copied(stream, name, re.sub(r"[^\w.-]", "_", name.rpartition("/")[2])[-100:])
    if _stamp(system, path) != before:
        raise SourceError("changed_during_read", name, "it changed while it was read; start again")
    size = before[0]
    if size is not None and source.path.stat().st_size != size:
        raise SourceError(
            "truncated_file", name, f"{source.path.stat().st_size} of {size} bytes arrived; start again"
        )
    return source


def _stamp(system: Any, path: str) -> tuple[Any, ...]:
    """What tells one state of a remote file from another."""
    system.invalidate_cache()
    info = system.info(path)
    return (
        info.get("size"),
        *(str(info.get(key, "")) for key in ("ETag", "etag", "blob_id", "LastModified", "mtime", "created")),
    )


def _first_line(error: Exception, url: str) -> str:
    """An error's first line, without the secrets of a URL."""
    return str(error).split("\n", 1)[0].replace(url, public_name(url))[:200]
