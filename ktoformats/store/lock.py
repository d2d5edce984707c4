"""One process at a time. A lock saves work that two would do alike; nothing is wrong where there is none."""

from __future__ import annotations

import errno
import logging
import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # pragma: no cover - no POSIX
    fcntl = None  # type: ignore[assignment]

logger: Final = logging.getLogger("ktoformats")

_BUSY: Final = (errno.EAGAIN, errno.EACCES)
_UNKNOWN: Final = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL)
"""What file systems say that know no locks."""


@contextmanager
def only_one(path: Path, *, wait: bool = True) -> Iterator[bool]:
    """Hold a lock, which ends with the process that holds it, however that ends.

    Args:
        path: Its file; it is removed by whoever held the lock.
        wait: Wait for others; else somebody else's lock is not had.

    Yields:
        Whether it is held: not where locks are unknown, and not, without `wait`, where another has it.
    """
    handle = _taken(path, wait=wait)
    try:
        yield handle is not None
    finally:
        if handle is not None:
            with suppress(OSError):
                path.unlink()  # while it is held: whoever waits sees that the file has no name, and starts again
            os.close(handle)


def _taken(path: Path, *, wait: bool) -> int | None:
    if fcntl is None:
        return None
    while True:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            is_had = _lock(handle, path, wait=wait)
            if is_had and _is_at(handle, path):
                return handle
        except BaseException:
            os.close(handle)
            raise
        os.close(handle)
        if not is_had:
            return None


def _lock(handle: int, path: Path, *, wait: bool) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in _UNKNOWN:
            path.unlink(missing_ok=True)
            return False
        if error.errno not in _BUSY:
            raise
        if not wait:
            return False
        logger.info("Waiting for another process, which builds the same (%s)", path.name)
        fcntl.flock(handle, fcntl.LOCK_EX)
    return True


def _is_at(handle: int, path: Path) -> bool:
    """Whether the locked file still has its name: whoever held it before has removed it."""
    try:
        named = path.stat()
    except FileNotFoundError:
        return False
    own = os.fstat(handle)
    return (own.st_dev, own.st_ino) == (named.st_dev, named.st_ino)
