"""Folders one can trust: built apart, sealed with the digests of all that is in them, published by rename.

An entry is a folder `KIND/NAME` of some files and a manifest that holds the length and SHA-256 of each, and of
itself. What fails its check is moved aside and never looked at again. Nothing in an entry is ever changed.
"""

from __future__ import annotations

import errno
import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import orjson

from ktoformats.errors import SourceError
from ktoformats.store.lock import only_one

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

FORMAT: Final = 2
"""The number of this layout."""
MANIFEST: Final = "manifest.json"
SHARDS: Final = "shards"
VIEWS: Final = "views"
TOKENS: Final = "tokens"
PLANS: Final = "plans"
KINDS: Final = (SHARDS, VIEWS, TOKENS, PLANS)
BUILDING, DAMAGED, CHECKED, DIGESTS = "building", "damaged", "checked", "digests"
_NAME: Final = re.compile(r"[0-9a-f]{64}(\.\d{5,9})?")
_FILE: Final = re.compile(r"[a-z]{1,20}\.(arrow|jsonl|npy)")
_ABANDONED_S: Final = 24 * 3600.0
_MOST_BYTES: Final = 64 << 20
"""No manifest is longer."""

Verify = Literal["always", "first", "never"]
"""When the digests of an entry are compared with its files: at every open, at the first one and whenever a file was
touched since, or not at all (lengths and the manifest always are)."""


class Entry(NamedTuple):
    """A published folder."""

    path: Path
    facts: dict[str, Any]
    """What its builder had to say."""


class Vault:
    """A folder of entries.

    Args:
        root: The folder; it is made when something is built.
        verify: When files are compared with their digests.
    """

    def __init__(self, root: Path, verify: Verify = "first") -> None:
        self.root = root
        self._verify = verify

    def open(self, kind: str, name: str) -> Entry | None:
        """A sound entry; None where there is none. A damaged one is moved aside."""
        path = self.root / kind / name
        if not path.is_dir():
            return None
        self._refuse_foreign()
        facts = self._checked(kind, path)
        if facts is None:
            self._set_aside(path)
            return None
        with suppress(OSError):
            os.utime(self._stamp_file(path).path)
        return Entry(path, facts)

    def last_used(self, path: Path) -> float:
        """When an entry was opened, or else built, in seconds since 1970."""
        for seen in (self._stamp_file(path).path, path):
            with suppress(OSError):
                return seen.stat().st_mtime
        return 0.0

    def facts(self, path: Path) -> dict[str, Any] | None:
        """What the builder of an entry had to say, its files unseen; None where its manifest is damaged."""
        sealed = _sealed(path)
        return None if sealed is None else dict(sealed["facts"])

    def tidy(self) -> int:
        """Remove damaged entries, what killed builds left, and notes about entries that are gone.

        Returns:
            How many bytes there were.
        """
        self.make()
        self.sweep()
        freed = 0
        for path in (self.root / DAMAGED).iterdir():
            freed += sum(file.lstat().st_size for file in path.rglob("*"))
            shutil.rmtree(path, ignore_errors=True)
        there = {f"{path.parent.name}-{path.name}" for kind in KINDS for path in self.entries(kind)}
        for note in (self.root / CHECKED).iterdir():
            if note.stem not in there:
                note.unlink(missing_ok=True)
        return freed

    @contextmanager
    def only_builder(self, name: str) -> Iterator[None]:
        """Wait until no other process builds this; then what killed ones left of it is removed.

        Where the file system knows no locks several may build the same; the first to publish wins.
        """
        self.make()
        with only_one(self.root / BUILDING / f"{name}.lock") as alone:
            for left in self.root.glob(f"{BUILDING}/{name}*-*"):
                if alone or _age(left) > _ABANDONED_S:
                    shutil.rmtree(left, ignore_errors=True)
            yield

    @contextmanager
    def folder(self, name: str) -> Iterator[Path]:
        """A private folder to build in; what is still in it at the end is removed."""
        made = Path(tempfile.mkdtemp(prefix=f"{name}-", dir=self.root / BUILDING))
        try:
            yield made
        finally:
            shutil.rmtree(made, ignore_errors=True)

    def publish(self, built: Path, kind: str, name: str, facts: dict[str, Any]) -> Entry:
        """Seal a folder and move it to its place; where another process was first, its entry stays.

        Every file is on disk before the folder is under its name, and the name before this returns.
        """
        files = {}
        for path in sorted(built.iterdir()):
            path.chmod(0o444)
            _sync(path)
            files[path.name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
        sealed = {"format": FORMAT, "kind": kind, "name": name, "files": files, "facts": facts}
        manifest = built / MANIFEST
        manifest.write_bytes(seal(sealed))
        manifest.chmod(0o444)
        _sync(manifest)
        _sync(built)
        place = self.root / kind / name
        while not _moved(built, place):
            if found := self.open(kind, name):  # else it was damaged, and has made room
                return found
        _sync(place.parent)
        self._stamp(place, files)
        return Entry(place, facts)

    def make(self) -> None:
        """Make the folders, for their owner alone.

        Raises:
            SourceError: They cannot be made, or others may write there.
        """
        try:
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._refuse_foreign()
            for name in (*KINDS, BUILDING, CHECKED, DIGESTS, DAMAGED):
                (self.root / name).mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            message = f"the cache folder cannot be written ({error.strerror}); set cache_dir or enable_cache=False"
            raise SourceError("cache_not_writable", str(self.root), message) from error

    def _refuse_foreign(self) -> None:
        """Refuse a folder in which others may put what would be read."""
        info = self.root.stat()
        if info.st_uid not in (os.geteuid(), 0):
            raise SourceError("cache_not_own", str(self.root), "the cache folder belongs to another user")
        if info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX:
            message = "everybody may write to the cache folder, and what they put there would be read; chmod 700"
            raise SourceError("cache_not_own", str(self.root), message)

    def sweep(self) -> None:
        """Remove what killed builds left behind, whatever they built."""
        for left in self.root.glob(f"{BUILDING}/*"):
            name = re.split("[.-]", left.name)[0]
            with suppress(OSError), only_one(self.root / BUILDING / f"{name}.lock", wait=False) as alone:
                if alone and left.is_dir():
                    shutil.rmtree(left, ignore_errors=True)

    def need_room(self, bytes_needed: int) -> None:
        """Refuse to begin what cannot be finished.

        Raises:
            SourceError: There is less room.
        """
        free = shutil.disk_usage(self.root).free
        if free < bytes_needed:
            message = (
                f"the samples need about {bytes_needed:,} bytes and {free:,} are free; make room, set cache_dir, or "
                "set enable_cache=False"
            )
            raise SourceError("no_space", str(self.root), message)

    def entries(self, kind: str) -> Iterator[Path]:
        """The folders of all entries of a kind, by name; they are not looked into."""
        folder = self.root / kind
        if folder.is_dir():
            yield from sorted(path for path in folder.iterdir() if _NAME.fullmatch(path.name))

    def remove(self, path: Path) -> None:
        """Remove an entry: from its name in one step, so that nobody opens half of it."""
        self.make()
        with self.folder(path.name) as folder:
            path.rename(folder / path.name)
        self._stamp_file(path).forget()

    def _checked(self, kind: str, path: Path) -> dict[str, Any] | None:
        sealed = _sealed(path)
        if sealed is None or sealed["kind"] != kind:
            return None
        files, facts = sealed["files"], sealed["facts"]
        try:
            stamp = _stamp_of(path, files)
        except OSError:
            return None
        if any(seen[3] != files[name]["bytes"] for name, *seen in stamp if name in files):
            return None
        known = self._verify == "never" or (self._verify == "first" and self._stamp_file(path).known == stamp)
        if not known:
            if not _is_whole(path, files):
                return None
            self._stamp(path, files)
        return dict(facts)

    def _stamp(self, path: Path, files: Iterable[str]) -> None:
        """Remember that the files, as they are now, were compared; to forget it costs only another comparison."""
        with suppress(OSError):
            self._stamp_file(path).write(_stamp_of(path, files))

    def _stamp_file(self, path: Path) -> Note:
        return Note(self.root / CHECKED / f"{path.parent.name}-{path.name}.json")

    def _set_aside(self, path: Path) -> None:
        try:
            (self.root / DAMAGED).mkdir(mode=0o700, exist_ok=True)
            aside = Path(tempfile.mkdtemp(prefix=f"{path.name}-", dir=self.root / DAMAGED))
            path.rename(aside / path.name)
        except OSError:
            shutil.rmtree(path, ignore_errors=True)
        self._stamp_file(path).forget()


class Note:
    """A small file of plain values, written by rename and read with suspicion; one that is lost costs time only.

    Args:
        path: The file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def known(self) -> Any:
        """What it says; None if it says nothing."""
        try:
            return unseal(self.path.read_bytes())
        except OSError:
            return None

    def write(self, value: Any) -> None:
        """Have it say something else."""
        part = self.path.with_name(f".{self.path.name}.part")  # one name: what killed writers leave does not pile up
        try:
            part.unlink(missing_ok=True)
            with part.open("xb") as stream:
                stream.write(seal(value))
            part.replace(self.path)
        except BaseException:
            part.unlink(missing_ok=True)
            raise

    def forget(self) -> None:
        """Have it say nothing."""
        self.path.unlink(missing_ok=True)


def seal(value: Any) -> bytes:
    """A plain value as JSON and the SHA-256 of that, on a line each."""
    body = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    return body + b"\n" + hashlib.sha256(body).hexdigest().encode() + b"\n"


def unseal(sealed: bytes) -> Any:
    """What `seal` sealed; None where any byte is another."""
    body, _, rest = sealed.partition(b"\n")
    if rest != hashlib.sha256(body).hexdigest().encode() + b"\n":
        return None
    try:
        return orjson.loads(body)
    except ValueError:
        return None


def digest_of(value: Any) -> str:
    """The SHA-256 of a plain value as canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(orjson.dumps(value, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


def _sealed(path: Path) -> dict[str, Any] | None:
    """The manifest of the entry at a path, if it is one."""
    try:
        with (path / MANIFEST).open("rb") as stream:
            sealed = unseal(stream.read(_MOST_BYTES))
        if sealed["format"] != FORMAT or sealed["name"] != path.name or not _NAME.fullmatch(path.name):
            return None
        if not all(_FILE.fullmatch(name) for name in sealed["files"]):
            return None
    except (OSError, KeyError, TypeError):
        return None
    return dict(sealed)


def _stamp_of(path: Path, files: Iterable[str]) -> list[list[Any]]:
    """What tells an untouched entry from another: nobody can set the time of the last change of an inode.

    Raises:
        OSError: A file is gone, or is no file.
    """
    stamp = []
    for name in (*sorted(files), MANIFEST):
        info = (path / name).lstat()
        if not stat.S_ISREG(info.st_mode):
            raise OSError(errno.EINVAL, "no regular file", str(path / name))
        stamp.append([name, info.st_dev, info.st_ino, info.st_mtime_ns, info.st_size, info.st_ctime_ns])
    return stamp


def _is_whole(path: Path, files: dict[str, Any]) -> bool:
    try:
        return all(
            (path / name).stat().st_size == expected["bytes"] and _sha256(path / name) == expected["sha256"]
            for name, expected in files.items()
        )
    except (OSError, KeyError, TypeError):
        return False


def _moved(built: Path, place: Path) -> bool:
    """Give a folder its name; False where the name is taken."""
    try:
        built.rename(place)
    except OSError as error:
        if error.errno not in (errno.EEXIST, errno.ENOTEMPTY):
            raise
        return False
    return True


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    """Have a file, or the names in a folder, written to the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _age(path: Path) -> float:
    """Seconds since anything in a folder was written."""
    try:
        return time.time() - max(one.stat().st_mtime for one in (path, *path.iterdir()))
    except OSError:
        return 0.0  # another process removes it
