"""Digests of large files, remembered as long as nobody touches the file.

What tells is the inode's own time of change (ctime), which is set by the system and by nobody else. A digest that was
taken within moments of a change is not remembered, for a clock ticks slower than a disk.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ktoformats.read.sources import stamp_of
from ktoformats.store.vault import Note, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ktoformats.read.named import Source

_RACY_NS: Final = 2_000_000_000
"""Changes closer to each other than this may bear one time: file systems count seconds at worst, some two."""


class Digests:
    """What is remembered.

    Args:
        folder: Where; nothing is remembered until it is there.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def of(self, source: Source) -> str:
        """The SHA-256 of a source's bytes, as hexadecimal digits; what is read of it later has to be the same.

        Raises:
            SourceError: It cannot be read, or changes meanwhile.
        """
        if source.copy is not None:
            return source.digest()
        stamp = source.stamp()
        seen = [[_spelled(source.path), *stamp]]
        known = self._known(seen)
        if known is None:
            return self._remembered(seen, source.digest())
        source.pin(stamp)
        return known

    def of_code(self, modules: Iterable[str]) -> str:
        """The SHA-256 over the Python files of the packages of these modules."""
        found = {name: _files_of(name) for name in sorted({_package_of(module) for module in modules})}
        if not all(found.values()):
            return os.urandom(32).hex()  # code that cannot be read is never the same as before
        files = [(name, path) for name, paths in found.items() for path in paths]
        seen = [[_spelled(path), *stamp_of(path, str(path))] for _, path in files]
        known = self._known(seen)
        return known if known is not None else self._remembered(seen, _code_digest(files))

    def _note(self, seen: list[Any]) -> Note:
        """What is noted of these files; each has one note, whatever state it is in."""
        return Note(self._folder / f"{digest_of([one[0] for one in seen])}.json")

    def _known(self, seen: list[Any]) -> str | None:
        noted = self._note(seen).known
        if not isinstance(noted, dict) or noted.get("seen") != digest_of(seen):
            return None
        return str(noted["sha256"])

    def _remembered(self, seen: list[Any], digest: str) -> str:
        latest = max((max(one[4:6]) for one in seen), default=0)
        if time.time_ns() - latest > _RACY_NS:
            with suppress(OSError):
                self._note(seen).write({"seen": digest_of(seen), "sha256": digest})
        return digest


def _spelled(path: Path) -> str:
    """A path in letters that JSON can hold."""
    return os.fsencode(path.absolute()).hex()


def _code_digest(files: Iterable[tuple[str, Path]]) -> str:
    digest = hashlib.sha256()
    for name, path in files:
        digest.update(f"{name}/{path.name}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _files_of(name: str) -> list[Path]:
    file = getattr(sys.modules.get(name), "__file__", None)
    if file is None:
        return []
    path = Path(file)
    return sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]


def _package_of(module: str) -> str:
    """The outermost package around a module that has a file of its own: a namespace package has none."""
    parts = module.split(".")
    packages = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next((name for name in packages if getattr(sys.modules.get(name), "__file__", None)), module)
