"""What may happen to a process while it builds: it dies, waits, or is refused what it asks of the system."""

from __future__ import annotations

import errno
import functools
import importlib
import os
import resource
import signal
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Job = dict[str, Any]

patching: Any = importlib.import_module("patching")


def _die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def _die_before(_job: Job, _told: dict[str, Any], target: str, nth: int) -> None:
    patching.around(target, nth, before=_die)


def _die_after(_job: Job, _told: dict[str, Any], target: str, nth: int) -> None:
    patching.around(target, nth, after=_die)


def _die_holding_the_lock(_job: Job, _told: dict[str, Any]) -> None:
    def make(inner: Any) -> Any:
        @contextmanager
        def dying(path: Path, *, wait: bool = True) -> Iterator[bool]:
            with inner(path, wait=wait) as alone:
                _die()
                yield alone

        return dying

    patching.wrap("ktoformats.store.vault:only_one", make)


def _die_in_the_manifest(_job: Job, _told: dict[str, Any]) -> None:
    """Half of the first manifest is written."""

    def make(inner: Any) -> Any:
        def torn(path: Path, data: bytes) -> int:
            inner(path, data[: len(data) // 2])
            _die()
            return 0

        return torn

    patching.wrap("pathlib:Path.write_bytes", make)


def _stall_before(job: Job, _told: dict[str, Any], target: str, nth: int) -> None:
    """Say that the point is reached, and wait until a file lets it go on."""

    def stall() -> None:
        Path(job["reached"]).touch()
        patching.await_file(job["go"])

    patching.around(target, nth, before=stall)


def _edit_before(_job: Job, _told: dict[str, Any], target: str, nth: int, path: str) -> None:
    """Somebody else writes to a file."""

    def edit() -> None:
        with Path(path).open("ab") as stream:
            stream.write(b'{"prompt": "late", "response": "late", "label": "good"}\n')

    patching.around(target, nth, before=edit)


def _no_locks(_job: Job, _told: dict[str, Any]) -> None:
    """A file system that knows no locks."""

    def refused(_handle: int, _how: int) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    patching.put("ktoformats.store.lock:fcntl.flock", refused)


def _slow(_job: Job, _told: dict[str, Any]) -> None:
    """Converting takes its time."""
    patching.around("ktoformats.store.shards:_Shard.add", always=lambda: time.sleep(0.03))


def _coarse_clock(_job: Job, _told: dict[str, Any]) -> None:
    """A file system that counts in minutes: all edits of one minute look alike."""

    def make(inner: Any) -> Any:
        def coarse(info: os.stat_result) -> tuple[int, ...]:
            minute = (info.st_mtime_ns // _MINUTE_NS + 1) * _MINUTE_NS
            return (*inner(info)[:3], minute, minute)

        return coarse

    patching.wrap("ktoformats.read.sources:_stamp", make)


_MINUTE_NS: Final = 60_000_000_000


def _any_order(_job: Job, _told: dict[str, Any], *, reverse: bool = True) -> None:
    """Folders list their files in another order."""
    patching.wrap("os:listdir", lambda inner: lambda *args: sorted(inner(*args), reverse=reverse))
    patching.wrap("os:scandir", lambda inner: lambda *args: _Listed(inner(*args), reverse=reverse))


class _Listed:
    """A folder's files, by name."""

    def __init__(self, found: Any, *, reverse: bool) -> None:
        with found:
            self._found = iter(sorted(found, key=lambda one: str(one.name), reverse=reverse))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:
        return self._found

    def __next__(self) -> Any:
        return next(self._found)

    def close(self) -> None:
        """Nothing is open."""


def _limit_files(_job: Job, _told: dict[str, Any], size: int) -> None:
    """No file grows beyond this."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1]))


def _record_calls(job: Job, told: dict[str, Any]) -> None:
    _System(job, told, None, 0)


def _fail_call(job: Job, told: dict[str, Any], nth: int, code: str) -> None:
    _System(job, told, nth, getattr(errno, code))


class _System:
    """What the system is asked to write below the cache: told in order, and refused once.

    Args:
        job: Says which folder is meant.
        told: Hears of every call: what is asked, and of which path.
        nth: The number of the call that fails, from 0 on.
        code: How.
    """

    def __init__(self, job: Job, told: dict[str, Any], nth: int | None, code: int) -> None:
        self._root = os.path.realpath(job["cache"])
        self._calls = told["calls"]
        self._nth, self._code = nth, code
        for name in ("mkdir", "rename", "replace", "chmod", "unlink", "rmdir"):
            patching.wrap(f"os:{name}", functools.partial(self._named, name))
        patching.wrap("os:open", self._opened)
        patching.wrap("os:fsync", self._synced)
        streamed = self._streamed(open)
        patching.put("io:open", streamed)
        patching.put("builtins:open", streamed)

    def ask(self, what: str, path: Any) -> None:
        """Write a call down, and refuse it if its turn has come."""
        own = _path_of(path)
        if not own.startswith(self._root) or own.endswith(".lock"):
            return
        self._calls.append([what, os.path.relpath(own, self._root)])
        if len(self._calls) - 1 == self._nth:
            raise OSError(self._code, os.strerror(self._code), None if what in ("fsync", "write") else str(path))

    def _named(self, name: str, inner: Callable[..., Any]) -> Callable[..., Any]:
        def asked(path: Any, *args: Any, **options: Any) -> Any:
            target = args[0] if name in ("rename", "replace") else path
            is_there = name == "mkdir" and Path(path).is_dir()  # then it is no matter whether it can be made
            if options.get("dir_fd") is None and not is_there:
                self.ask(name, target)
            return inner(path, *args, **options)

        return asked

    def _opened(self, inner: Callable[..., int]) -> Callable[..., int]:
        def opened(path: Any, flags: int, *args: Any, **options: Any) -> int:
            if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
                self.ask("open", path)
            return inner(path, flags, *args, **options)

        return opened

    def _synced(self, inner: Callable[..., None]) -> Callable[..., None]:
        def synced(handle: int) -> None:
            self.ask("fsync", handle)
            inner(handle)

        return synced

    def _streamed(self, inner: Callable[..., Any]) -> Callable[..., Any]:
        def opened(file: Any, mode: str = "r", *args: Any, **options: Any) -> Any:
            if not set(mode) & set("wax+"):
                return inner(file, mode, *args, **options)
            if not isinstance(file, int):
                self.ask("open", file)
            path = _path_of(file)
            stream = inner(file, mode, *args, **options)
            return _Stream(stream, self, path) if path.startswith(self._root) else stream

        return opened


def _path_of(file: Any) -> str:
    """Of a path, or of an open file."""
    return os.path.realpath(_OPEN_FILES / str(file) if isinstance(file, int) else os.fsdecode(file))


_OPEN_FILES: Final = Path("/proc/self/fd")


class _Stream:
    """A file that is written to; the system is asked for every write, and when it is closed."""

    def __init__(self, inner: Any, system: _System, path: str) -> None:
        self._inner, self._system, self._path = inner, system, path

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def write(self, data: Any) -> Any:
        self._system.ask("write", self._path)
        return self._inner.write(data)

    def close(self) -> None:
        if not self._inner.closed:
            self._inner.close()
            self._system.ask("close", self._path)


PATCHES: Final[dict[str, Callable[..., None]]] = {
    "die before": _die_before,
    "die after": _die_after,
    "die holding the lock": _die_holding_the_lock,
    "die in the manifest": _die_in_the_manifest,
    "stall before": _stall_before,
    "edit before": _edit_before,
    "no locks": _no_locks,
    "slow": _slow,
    "coarse clock": _coarse_clock,
    "any order": _any_order,
    "limit files": _limit_files,
    "record calls": _record_calls,
    "fail call": _fail_call,
}
