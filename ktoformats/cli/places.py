"""Whether something can be written at a place, known before any work is done."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import platformdirs

from ktoformats.errors import SourceError


def cache_folder() -> Path:
    """`ktoformats.store.cache.default_folder`, for who does without all that is imported with it."""
    return Path(platformdirs.user_cache_dir("ktoformats"))


def nearest(path: Path) -> Path:
    """What exists of a path: itself, or the nearest place above it."""
    for place in (path, *path.parents):
        if os.path.lexists(place):
            return place
    return Path(path.anchor or ".")


def trouble(folder: Path) -> str:
    """Why no file can be made in a folder, which need not be there yet; empty where one can."""
    there = nearest(folder)
    try:
        if not there.is_dir():
            return f"{there} is a file, not a folder"
    except OSError as error:
        return f"{there}: {error.strerror}"
    if not os.access(there, os.W_OK | os.X_OK):
        return f"nothing may be written to the folder {there}; look at its owner and its rights"
    return ""


def cache_trouble(folder: Path) -> str:
    """Why the cache cannot be used; empty where it can. Nothing is made or changed."""
    if why := trouble(folder):
        return why
    if not folder.is_dir():
        return ""
    info = folder.stat()
    if info.st_uid not in (os.geteuid(), 0):
        return "the cache folder belongs to another user"
    if info.st_mode & stat.S_IWOTH and not info.st_mode & stat.S_ISVTX:
        return "everybody may write to the cache folder, and what they put there would be read; chmod 700"
    return ""


def check_writable(*paths: Path) -> None:
    """Refuse a file or folder that cannot be made, before anything is read.

    Raises:
        SourceError: It cannot; the message names the place that was asked for.
    """
    for path in paths:
        if why := trouble(path.parent):
            raise SourceError("not_writable", str(path), f"cannot be written ({why}); name another place")
