"""What is kept between runs: the shards of sources, and views of them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import platformdirs

import ktoformats
from ktoformats.store.digests import Digests
from ktoformats.store.shards import Shards
from ktoformats.store.vault import DIGESTS, VIEWS, Vault, digest_of
from ktoformats.store.view import Occurrences, View

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.samples import Samples
    from ktoformats.store.vault import Entry, Verify

    Made = tuple[dict[str, Array], dict[str, Any]]

WORTH_KEEPING: Final = 4096
"""Among fewer samples choosing again costs less than a look at the disk."""
_ROWS_AT_ONCE: Final = 1 << 18
_ROWS, _REASONS, _REPEATS, _AGAIN = "rows.npy", "reasons.npy", "repeats.npy", "again.npy"


def default_folder() -> Path:
    """`ktoformats` in the user's cache folder."""
    return Path(platformdirs.user_cache_dir("ktoformats"))


class Cache(NamedTuple):
    """Where and how to keep what is built."""

    folder: Path
    compression: bool = False
    salt: str = ""
    """What else decides the samples, such as the sources of overriding methods."""
    verify: Verify = "first"
    views: bool = True
    """Whether choices are kept, too; not where somebody's own methods make them."""


class Kept:
    """The cache, open.

    Args:
        cache: Where and how.
    """

    def __init__(self, cache: Cache) -> None:
        self.vault: Vault = Vault(cache.folder, cache.verify)
        if not (cache.folder / DIGESTS).is_dir():
            self.vault.make()  # the digests that the first build takes are noted, too
        self.digests: Digests = Digests(cache.folder / DIGESTS)
        self._cache = cache

    def shards(self, config: KTODataConfig, assembly: Assembly) -> Shards:
        """The shards of what is read in one way."""
        compression, salt = self._cache.compression, self._cache.salt
        return Shards(self.vault, self.digests, config, assembly, compression=compression, salt=salt)

    def key(self, **parts: Any) -> str:
        """The key of a view: all that decides it."""
        return digest_of({"version": ktoformats.__version__, "salt": self._cache.salt, **parts})

    def open_view(self, key: str | None, samples: Samples, report: Report) -> View | None:
        """A view that is kept; the report is told what it was told when the view was made."""
        entry = self.vault.open(VIEWS, key) if key is not None and self._cache.views else None
        if entry is None or entry.facts["rows"] != len(samples):
            return None
        report.restore(entry.facts["report"])
        return _view_of(entry, samples)

    def save_view(self, key: str | None, view: View, report: Report) -> View:
        """Keep a view, if that is worth it; its numbers are then those of the files, which processes share."""
        rows = len(view.samples)
        if key is None or not self._cache.views or rows < WORTH_KEEPING or report.copied:
            return view
        repeats = np.array([view.occurrence.rows, view.occurrence.numbers], np.int64)

        def write(folder: Path) -> None:
            _write_chosen(view, folder / _ROWS)
            _write({_REASONS: view.reasons, _REPEATS: repeats}, folder)

        facts = {"rows": rows, "names": view.names, "report": report.state()}
        entry = self._save(key, write, facts)  # somebody else's, where that was first
        return _view_of(entry, view.samples) if entry.facts["rows"] == rows else view

    def arrays(self, kind: str, key: str, make: Callable[[], Made]) -> Made:
        """Arrays that are kept, memory-mapped, and what was said of them; what is not there is made, and kept.

        Args:
            kind: Of the entry.
            key: All that decides them.
            make: Makes the arrays, by name, and says something of them in plain values.
        """
        entry = self.vault.open(kind, key)
        if entry is None:
            made, facts = make()
            files = {f"{name}.npy": array for name, array in made.items()}
            entry = self._save(key, partial(_write, files), facts, kind)
        return {path.stem: _mapped(entry, path.name) for path in entry.path.glob("*.npy")}, entry.facts

    def know_again(self, keys: list[str], samples: Samples) -> None:
        """Have the samples know which answers stand there more than once: it takes a sort of all to find out.

        Args:
            keys: Those of their shards.
            samples: All.
        """
        if len(samples) < WORTH_KEEPING:
            return
        key = digest_of({"again": keys})
        entry = self.vault.open(VIEWS, key)
        if entry is None:
            self._save(key, partial(_write, {_AGAIN: samples.again}), {"rows": len(samples)})
        else:
            samples.know_again(_mapped(entry, _AGAIN))

    def _save(self, key: str, write: Callable[[Path], None], facts: dict[str, Any], kind: str = VIEWS) -> Entry:
        with self.vault.only_builder(key), self.vault.folder(key) as folder:  # unlocked, others would sweep it away
            write(folder)
            return self.vault.publish(folder, kind, key, facts)


def _write(arrays: dict[str, Array], folder: Path) -> None:
    for name, array in arrays.items():
        np.save(folder / name, array, allow_pickle=False)


def _write_chosen(view: View, path: Path) -> None:
    """What `np.save` writes of `view.chosen`, piece by piece: in memory it is 8 bytes for every sample."""
    header = {"descr": "<i8", "fortran_order": False, "shape": (len(view),)}
    with path.open("wb") as stream:
        np.lib.format.write_array_header_1_0(stream, header)
        for start in range(0, len(view.reasons), _ROWS_AT_ONCE):
            rows = np.flatnonzero(view.reasons[start : start + _ROWS_AT_ONCE] == 0)
            (rows + start).astype("<i8", copy=False).tofile(stream)


def _view_of(entry: Entry, samples: Samples) -> View:
    chosen, reasons, repeats = (_mapped(entry, name) for name in (_ROWS, _REASONS, _REPEATS))
    names = tuple((stage, reason) for stage, reason in entry.facts["names"])
    return View(
        samples, reasons, names, _chosen=chosen, _occurrence=Occurrences(repeats[0], repeats[1].astype(np.int32))
    )


def _mapped(entry: Entry, name: str) -> Array:
    array: Array = np.load(entry.path / name, mmap_mode="r", allow_pickle=False)
    return array
