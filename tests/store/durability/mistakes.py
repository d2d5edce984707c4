"""Seeded bugs: mistakes that somebody could make in the product. Each has to break a law."""

from __future__ import annotations

import hashlib
import importlib
import json
import shutil
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

patching: Any = importlib.import_module("patching")
VAULT: Final = "ktoformats.store.vault:"
SHARDS: Final = "ktoformats.store.shards:"
DIGESTS: Final = "ktoformats.store.digests:"


def _no_fsync() -> None:
    patching.put(VAULT + "_sync", lambda _path: None)


def _fsync_after_rename() -> None:
    waiting: list[Path] = []
    syncs: list[Any] = []

    def keep(inner: Any) -> Any:
        syncs.append(inner)
        return waiting.append

    def late(inner: Any) -> Any:
        def moved(built: Path, place: Path) -> bool:
            done: bool = inner(built, place)
            for path in (*place.iterdir(), place):
                syncs[0](path)
            return done

        return moved

    patching.wrap(VAULT + "_sync", keep)
    patching.wrap(VAULT + "_moved", late)


def _no_fsync_of_the_parent() -> None:
    patching.wrap(
        VAULT + "_sync", lambda inner: lambda path: None if path.name in ("shards", "views") else inner(path)
    )


def _build_in_place() -> None:
    """No rename: files grow under the name that readers look for."""

    @contextmanager
    def folder(vault: Any, name: str) -> Iterator[Path]:
        made = vault.root / ("shards" if "." in name else "views") / name
        made.mkdir(exist_ok=True)
        yield made

    patching.put(VAULT + "Vault.folder", folder)
    patching.put(VAULT + "_moved", lambda _built, _place: True)


def _manifest_unsealed() -> None:
    def trusting(sealed: bytes) -> Any:
        try:
            return json.loads(sealed.partition(b"\n")[0])
        except ValueError:
            return None

    patching.put(VAULT + "unseal", trusting)


def _hashes_not_compared() -> None:
    patching.put(VAULT + "_is_whole", lambda _path, _files: True)


def _lengths_not_compared() -> None:
    """Under `never` nothing at all is looked at."""

    def make(inner: Any) -> Any:
        def checked(vault: Any, kind: str, path: Path) -> Any:
            if vault._verify != "never":
                return inner(vault, kind, path)
            body = json.loads((path / "manifest.json").read_bytes().partition(b"\n")[0])
            return body["facts"]

        return checked

    patching.wrap(VAULT + "Vault._checked", make)


def _damaged_stays() -> None:
    patching.put(VAULT + "Vault._set_aside", lambda _vault, _path: None)


def _rejects_unsealed() -> None:
    def make(inner: Any) -> Any:
        def partly(vault: Any, built: Path, kind: str, name: str, facts: Any) -> Any:
            path = built / "rejects.jsonl"
            if not path.exists():
                return inner(vault, built, kind, name, facts)
            away = path.rename(built.parent / f"{name}-rejects")
            entry = inner(vault, built, kind, name, facts)
            away.rename(entry.path / path.name)
            return entry

        return partly

    patching.wrap(VAULT + "Vault.publish", make)


def _change_times_ignored() -> None:
    """The stamp of an entry is what anybody can set."""
    patching.wrap(VAULT + "_stamp_of", lambda inner: lambda path, files: [one[:-1] for one in inner(path, files)])


def _key_by_time() -> None:
    """The key is the size and the time of the last change, not the content."""

    def of(_digests: Any, source: Any) -> str:
        info = source.path.stat()
        return hashlib.sha256(f"{info.st_size} {info.st_mtime_ns}".encode()).hexdigest()

    patching.put(DIGESTS + "Digests.of", of)


def _kept_columns_not_in_the_key() -> None:
    patching.wrap(SHARDS + "NEUTRAL_FIELDS", lambda fields: fields | {"keep"})


def _code_not_in_the_key() -> None:
    patching.put(DIGESTS + "Digests.of_code", lambda _digests, _modules: "same")


def _seed_in_the_key() -> None:
    patching.wrap(SHARDS + "NEUTRAL_FIELDS", lambda fields: fields - {"random_seed"})


def _name_in_the_key() -> None:
    patching.wrap(DIGESTS + "Digests.of", lambda inner: lambda digests, source: inner(digests, source) + source.name)


def _racy_digest_noted() -> None:
    patching.put(DIGESTS + "_RACY_NS", -(1 << 62))


def _notes_believed() -> None:
    """A note of a digest is not asked which state of which file it was taken of."""

    def known(digests: Any, seen: list[Any]) -> str | None:
        noted = digests._note(seen).known
        return str(noted["sha256"]) if isinstance(noted, dict) else None

    patching.put(DIGESTS + "Digests._known", known)


def _note_is_needed() -> None:
    """A note that cannot be written stops the build."""
    patching.put(VAULT + "suppress", lambda *_kinds: nullcontext())


def _lock_by_hash() -> None:
    """The lock's name is Python's own hash, which is another in every process."""
    patching.wrap(
        VAULT + "only_one",
        lambda inner: lambda path, *, wait=True: inner(path.with_name(f"{hash(path.name)}.lock"), wait=wait),
    )


def _lock_not_looked_at_again() -> None:
    patching.put("ktoformats.store.lock:_is_at", lambda _handle, _path: True)


def _end_not_asked_for() -> None:
    """Shards without the last one are taken for all."""
    patching.wrap(
        SHARDS + "_holes",
        lambda inner: lambda entries: [one for one in inner(entries) if one.stop is not None or not entries],
    )


def _holes_between_ignored() -> None:
    patching.wrap(
        SHARDS + "_holes", lambda inner: lambda entries: [one for one in inner(entries) if one.stop is None]
    )


def _source_not_checked() -> None:
    patching.put("ktoformats.read.named:Source.check", lambda _source: None)


def _lost_write() -> None:
    """A full disk is not noticed."""

    def make(inner: Any) -> Any:
        def careless(sink: Any) -> None:
            with suppress(OSError):
                inner(sink)

        return careless

    patching.wrap("ktoformats.store.sink:Sink._flush", make)


def _foreign_error() -> None:
    """The system's errors come out as something else."""

    def make(inner: Any) -> Any:
        def careless(*args: Any) -> Any:
            try:
                return inner(*args)
            except OSError as error:
                raise RuntimeError("could not publish") from error

        return careless

    patching.wrap(VAULT + "Vault.publish", make)


def _left_overs_stay() -> None:
    patching.put(VAULT + "Vault.sweep", lambda _vault: None)
    patching.put(VAULT + "shutil", _NoShutil())


class _NoShutil:
    def rmtree(self, path: Path, *, ignore_errors: bool = False) -> None:
        """Remove nothing."""

    def __getattr__(self, name: str) -> Any:
        return getattr(shutil, name)


def _swept_while_built() -> None:
    """Whoever loads removes what others are building."""

    def sweep(vault: Any) -> None:
        for one in vault.root.glob("building/*-*"):
            shutil.rmtree(one, ignore_errors=True)

    patching.put(VAULT + "Vault.sweep", sweep)


def _views_not_locked() -> None:
    """Nobody holds the lock of a view that is being made, so that others sweep it away."""

    def make(inner: Any) -> Any:
        def save(kept: Any, *args: Any) -> Any:
            patching.put(VAULT + "Vault.only_builder", lambda _vault, _name: nullcontext())
            return inner(kept, *args)

        return save

    patching.wrap("ktoformats.store.cache:Kept._save", make)


def _time_in_the_entry() -> None:
    def make(inner: Any) -> Any:
        def publish(vault: Any, built: Path, kind: str, name: str, facts: dict[str, Any]) -> Any:
            return inner(vault, built, kind, name, facts | {"at": time.time_ns()})

        return publish

    patching.wrap(VAULT + "Vault.publish", make)


BUGS: Final[dict[str, Callable[[], None]]] = {
    "no fsync": _no_fsync,
    "fsync after rename": _fsync_after_rename,
    "no fsync of the parent": _no_fsync_of_the_parent,
    "build in place": _build_in_place,
    "manifest unsealed": _manifest_unsealed,
    "hashes not compared": _hashes_not_compared,
    "lengths not compared": _lengths_not_compared,
    "damaged stays": _damaged_stays,
    "rejects unsealed": _rejects_unsealed,
    "change times ignored": _change_times_ignored,
    "key by time": _key_by_time,
    "kept columns not in the key": _kept_columns_not_in_the_key,
    "code not in the key": _code_not_in_the_key,
    "seed in the key": _seed_in_the_key,
    "name in the key": _name_in_the_key,
    "racy digest noted": _racy_digest_noted,
    "notes believed": _notes_believed,
    "note is needed": _note_is_needed,
    "lock by hash()": _lock_by_hash,
    "lock not looked at again": _lock_not_looked_at_again,
    "end not asked for": _end_not_asked_for,
    "holes between ignored": _holes_between_ignored,
    "source not checked": _source_not_checked,
    "lost write": _lost_write,
    "foreign error": _foreign_error,
    "left-overs stay": _left_overs_stay,
    "swept while built": _swept_while_built,
    "views not locked": _views_not_locked,
    "time in the entry": _time_in_the_entry,
}
