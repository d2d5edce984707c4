"""A cache of built samples: content-addressed folders, verified before they are used, never pickled.

An entry is a folder named by its key: `samples.arrow`, `rejects.jsonl` and `manifest.json` with the size and
SHA-256 of both. It is built in a private folder beside its place and published by rename; what fails its
check is moved aside and built again.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import orjson
import platformdirs

from ktoformats.errors import SourceError
from ktoformats.store.sink import DATA_FILE

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT: Final = 1
_ABANDONED_S: Final = 24 * 3600.0
MANIFEST: Final = "manifest.json"
REJECTS: Final = "rejects.jsonl"

NEUTRAL_FIELDS: Final = frozenset(
    {
        *("train_file", "validation_file", "test_file", "rejects_file"),
        *("preprocessing_num_workers", "worker_timeout"),
        *("streaming", "buffer_size", "lazy_loading", "max_samples_in_memory"),
        *("on_error", "max_rejected", "max_rejected_share", "require_both_labels", "strict"),
        *("balance_labels", "label_imbalance_tolerance", "min_samples_per_label", "filters"),
        *("sources", "oversample", "conflict", "duplicates"),
        *("min_prompt_length", "max_prompt_length", "min_response_length", "max_response_length"),
        *("min_response_quality", "min_utility_threshold", "max_utility_threshold", "filter_low_utility"),
    }
)
"""Fields that do not change what is built: they choose among the samples, or say how to build."""


def default_folder() -> Path:
    """`ktoformats` in the user's cache folder."""
    return Path(platformdirs.user_cache_dir("ktoformats"))


def cache_key(parts: dict[str, Any]) -> str:
    """SHA-256 of canonical JSON, as 64 hexadecimal digits."""
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS, default=str)).hexdigest()


def code_digest(modules: Iterable[str]) -> str:
    """SHA-256 over the Python files of the packages of these modules."""
    digest = hashlib.sha256()
    for name in sorted({_package_of(module) for module in modules}):
        file = getattr(sys.modules.get(name), "__file__", None)
        if file is None:
            digest.update(os.urandom(16))  # code that cannot be read is never the same as before
            continue
        path = Path(file)
        files = sorted(path.parent.rglob("*.py")) if path.name == "__init__.py" else [path]
        for one in files:
            digest.update(f"{name}/{one.name}\0".encode() + one.read_bytes())
    return digest.hexdigest()


def _package_of(module: str) -> str:
    """The outermost package around a module that has a file of its own: a namespace package has none."""
    parts = module.split(".")
    packages = [".".join(parts[:end]) for end in range(1, len(parts) + 1)]
    return next((name for name in packages if getattr(sys.modules.get(name), "__file__", None)), module)


class Entry:
    """One place in the cache.

    Args:
        folder: The cache.
        key: The entry's key.
    """

    def __init__(self, folder: Path, key: str) -> None:
        self._root = folder
        self._key = key
        self.path = folder / key

    def read(self) -> dict[str, Any] | None:
        """The manifest of a sound entry; a damaged one is moved aside and counts as absent."""
        if not self.path.is_dir():
            return None
        manifest = _sound_manifest(self.path)
        if manifest is None:
            self._set_aside()
        return manifest

    def start(self) -> Path:
        """A private folder to build in.

        Raises:
            SourceError: The cache folder cannot be written, or belongs to someone else.
        """
        try:
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
            owner = self._root.stat().st_uid
            if owner not in (os.geteuid(), 0):
                raise SourceError("cache_not_own", str(self._root), "the cache folder belongs to another user")
            self._sweep()
            return Path(tempfile.mkdtemp(prefix=".building-", dir=self._root))
        except OSError as error:
            if isinstance(error, SourceError):
                raise
            message = f"the cache folder cannot be written ({error.strerror}); set cache_dir or enable_cache=False"
            raise SourceError("cache_not_writable", str(self._root), message) from error

    def _sweep(self) -> None:
        """Remove what builds that were killed left behind: folders in which nothing was written for a day."""
        for folder in self._root.glob(".building-*"):
            with suppress(OSError):  # another process may sweep, too
                newest = max(path.stat().st_mtime for path in (folder, *folder.iterdir()))
                if time.time() - newest > _ABANDONED_S:
                    shutil.rmtree(folder, ignore_errors=True)

    def publish(self, built: Path, report: dict[str, Any]) -> None:
        """Seal a finished build and move it to its place; another process may have been first."""
        files = {}
        for name in (DATA_FILE, REJECTS):
            path = built / name
            if path.exists():
                files[name] = {"bytes": path.stat().st_size, "sha256": _sha256(path)}
                path.chmod(0o444)
                _sync(path)
        manifest = {"format": FORMAT, "key": self._key, "files": files, "report": report}
        (built / MANIFEST).write_bytes(orjson.dumps(manifest, option=orjson.OPT_INDENT_2))
        (built / MANIFEST).chmod(0o444)
        _sync(built / MANIFEST)
        _sync(built)
        try:
            built.rename(self.path)
        except OSError:
            shutil.rmtree(built, ignore_errors=True)  # the same content stands there already
        else:
            _sync(self._root)

    def _set_aside(self) -> None:
        aside = Path(tempfile.mkdtemp(prefix=".damaged-", dir=self._root))
        try:
            self.path.rename(aside / self._key)
        except OSError:
            shutil.rmtree(self.path, ignore_errors=True)


def _sound_manifest(path: Path) -> dict[str, Any] | None:
    try:
        manifest: dict[str, Any] = orjson.loads((path / MANIFEST).read_bytes())
        if manifest["format"] != FORMAT or manifest["key"] != path.name or DATA_FILE not in manifest["files"]:
            return None
        for name, expected in manifest["files"].items():
            if name not in (DATA_FILE, REJECTS):
                return None
            file = path / name
            if file.stat().st_size != expected["bytes"] or _sha256(file) != expected["sha256"]:
                return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return manifest


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
