"""`ktoformats cache`."""

from __future__ import annotations

import os
import re
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ktoformats.cli import output
from ktoformats.cli.bars import steps
from ktoformats.cli.lazy import Suggesting
from ktoformats.cli.manner import say_aside
from ktoformats.cli.output import json_option
from ktoformats.cli.text import size
from ktoformats.errors import ConfigError, SourceError
from ktoformats.store.cache import default_folder
from ktoformats.store.vault import BUILDING, CHECKED, DAMAGED, DIGESTS, KINDS, Vault

if TYPE_CHECKING:
    from collections.abc import Iterator

_DAY_S: Final = 24 * 3600
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_FOLDERS: Final = (*KINDS, BUILDING, CHECKED, DIGESTS, DAMAGED)
_DIGEST_NOTE: Final = re.compile(r"[0-9a-f]{64}\.json")
folder_option = click.option(
    "--cache-dir", type=click.Path(path_type=Path), help="The cache (default: ktoformats in the user's cache folder)."
)


class Size(click.ParamType):  # type: ignore[type-arg]
    """A number of bytes, such as 500M or 20GB."""

    name = "size"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """As a number."""
        text = str(value).strip().upper().removesuffix("B")
        number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS else (text, "")
        try:
            count = int(float(number) * _UNITS[unit])
        except (ValueError, OverflowError):
            count = -1
        if count < 0:
            self.fail(f"{value!r} is no size; write bytes, or 500M, or 20GB", param, ctx)
        return count


@click.group(cls=Suggesting)
def command() -> None:
    """See, check and clear what is kept between runs.

    Samples that were built once are kept in shards, under the digests of their sources and of all that read them;
    what was chosen among them is kept in views. They hold copies of your texts. Everything here can be built again
    from the sources, so nothing is lost by clearing it but time.

    \b
    Examples:
      ktoformats cache ls
      ktoformats cache prune --older-than 7
    """  # noqa: D301 - \b keeps click from joining the lines


@command.command("ls")
@folder_option
@json_option
def list_entries(cache_dir: Path | None, *, as_json: bool) -> None:
    """List what is kept, the most recently used first.

    \b
    Examples:
      ktoformats cache ls
      ktoformats cache ls --cache-dir /data/cache --json
    """  # noqa: D301 - \b keeps click from joining the lines
    vault = _vault(cache_dir)
    rows = sorted(_described(vault), key=lambda row: (-row["used"], row["name"]))
    total = sum(row["bytes"] for row in rows)
    if as_json:
        output.print_json({"folder": str(vault.root), "bytes": total, "entries": rows})
        return
    if not rows:
        output.say(f"{output.safe(vault.root)}: nothing is kept; the next conversion begins it")
        return
    cells = [
        (
            row["kind"],
            row["name"][:12] + row["name"][64:],
            _ago(row["used"]),
            "damaged" if row["damaged"] else row["samples"],
            size(row["bytes"]),
        )
        for row in rows
    ]
    output.table(output.safe(vault.root), ("kind", "name", "last used", "samples", "size"), cells, numbers=2)
    output.say(f"{_entries(len(rows))}, {size(total)}")


@command.command()
@folder_option
@json_option
@click.pass_context
def verify(ctx: click.Context, cache_dir: Path | None, *, as_json: bool) -> None:
    """Compare every kept file with its digest.

    What is damaged is moved aside, and built again when it is needed.

    \b
    Examples:
      ktoformats cache verify
      ktoformats --quiet cache verify

    Exit status: 0 all is whole, 1 something was damaged.
    """  # noqa: D301 - \b keeps click from joining the lines
    vault = _vault(cache_dir, "always")
    with _readable(vault.root):
        paths = [path for kind in KINDS for path in vault.entries(kind)]
        sizes = [_bytes_of(path) for path in paths]
    damaged = []
    with _readable(vault.root), steps("checking", sum(sizes), shown=not as_json, in_bytes=True) as step:
        for path, own in zip(paths, sizes, strict=True):
            if not _is_sound(vault, path):
                damaged.append(path.name)
            step(own)
    if as_json:
        output.print_json({"checked": len(paths), "damaged": damaged})
    else:
        for name in damaged:
            output.warn(f"{name} was damaged, and is moved aside")
        output.say(f"{_entries(len(paths))} checked, {len(damaged)} damaged")
    if damaged:
        ctx.exit(1)


def _entries(count: int) -> str:
    return f"{count} {'entry' if count == 1 else 'entries'}"


def _is_sound(vault: Vault, path: Path) -> bool:
    """Whether an entry is whole; to look at it is not to use it."""
    if not path.is_dir():
        return True  # another process removed it
    used = vault.last_used(path)
    if vault.open(path.parent.name, path.name) is None:
        return False
    with suppress(OSError):
        os.utime(vault.root / CHECKED / f"{path.parent.name}-{path.name}.json", (used, used))
    return True


@command.command()
@folder_option
@click.option(
    "--older-than",
    "days",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    metavar="DAYS",
    help="Remove what was not used for so many days.",
)
@click.option(
    "--max-size",
    "most",
    type=Size(),
    metavar="SIZE",
    help="Then remove the least recently used, until the rest fits: 500M, 20GB.",
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def prune(cache_dir: Path | None, days: float, most: int | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove what is old, damaged, or left of killed builds.

    Files that another process has open stay readable there.

    \b
    Examples:
      ktoformats cache prune
      ktoformats cache prune --older-than 7 --max-size 20GB --dry-run
    """  # noqa: D301 - \b keeps click from joining the lines
    vault = _vault(cache_dir)
    rows = sorted(_described(vault), key=lambda row: row["used"])
    gone = _outdated(rows, days, most)
    aside = _aside(vault)
    freed = sum(row["bytes"] for row in gone) + sum(aside)
    if not dry_run:
        _remove(vault, gone)
    if as_json:
        names = [row["name"] for row in gone]
        output.print_json({"removed": names, "set_aside": len(aside), "bytes": freed, "dry_run": dry_run})
        return
    more = f" and {len(aside)} set aside as damaged" if aside else ""
    done = "would remove" if dry_run else "removed"
    output.say(f"{done} {len(gone)} of {_entries(len(rows))}{more}, {size(freed)}")


def _outdated(rows: list[dict[str, Any]], days: float, most: int | None) -> list[dict[str, Any]]:
    """Which of the entries go; they come with the least recently used one first."""
    oldest = time.time() - days * _DAY_S
    gone = [row for row in rows if row["damaged"] or row["used"] < oldest]
    kept = [row for row in rows if row not in gone]
    left = sum(row["bytes"] for row in kept)
    for row in kept:
        if most is None or left <= most:
            break
        gone.append(row)
        left -= row["bytes"]
    return gone


@command.command()
@folder_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def clear(cache_dir: Path | None, *, yes: bool, as_json: bool) -> None:
    """Remove everything that is kept.

    It asks first. What is needed again is built again from its sources.

    \b
    Examples:
      ktoformats cache clear
      ktoformats cache clear --yes

    Exit status: 0 it is empty, 130 somebody said no and nothing was removed.
    """  # noqa: D301 - \b keeps click from joining the lines
    vault = _vault(cache_dir)
    rows = list(_described(vault))
    aside = _aside(vault)
    total = sum(row["bytes"] for row in rows) + sum(aside)
    if rows and not yes:
        _ask(f"Remove {_entries(len(rows))}, {size(total)}, from {output.safe(vault.root)}?")
    _remove(vault, rows)
    for note in (vault.root / DIGESTS).glob("*.json"):
        if _DIGEST_NOTE.fullmatch(note.name):
            note.unlink(missing_ok=True)
    if as_json:
        output.print_json({"removed": [row["name"] for row in rows], "set_aside": len(aside), "bytes": total})
        return
    more = f" and {len(aside)} set aside as damaged" if aside else ""
    output.say(f"removed {_entries(len(rows))}{more}, {size(total)}")


def _ask(question: str) -> None:
    """Go on only if somebody says yes.

    Raises:
        click.Abort: They say no, or nobody is there.
    """
    try:
        agreed = click.confirm("" if say_aside("info", question, "") else question, err=True)
    except click.Abort:
        raise click.Abort("nothing was removed; --yes does not ask") from None
    if not agreed:
        raise click.Abort("nothing was removed")


def _vault(folder: Path | None, verify: Any = "first") -> Vault:
    """The cache in a folder, which need not be there yet.

    Raises:
        ConfigError: It is something else; what lies there must not be taken for ours and removed.
        SourceError: It cannot be read.
    """
    root = folder or default_folder()
    with _readable(root):
        if os.path.lexists(root) and not root.is_dir():
            raise ConfigError(f"{root} is no folder; --cache-dir names the folder of a cache")
        found = list(root.iterdir()) if root.is_dir() else []
        missing = set(_FOLDERS) - {path.name for path in found if _is_folder(path)}
    if found and missing:
        raise ConfigError(f"{root} is no cache: it has no folder {min(missing)!r} of its own; nothing was touched")
    return Vault(root, verify)


def _is_folder(path: Path) -> bool:
    """Links are not followed: what they lead to is somebody else's."""
    return path.is_dir() and not path.is_symlink()


@contextmanager
def _readable(root: Path) -> Iterator[None]:
    """Say what is wrong with the folder, where something is."""
    try:
        yield
    except OSError as error:
        if isinstance(error, SourceError):
            raise
        place = str(error.filename or root)
        message = f"the cache cannot be read or changed ({error.strerror}); look at its owner and its rights"
        raise SourceError("cache_not_readable", place, message) from error


def _described(vault: Vault) -> list[dict[str, Any]]:
    """What there is to say of every entry; another process may be removing some."""
    rows = []
    with _readable(vault.root):
        for path in (path for kind in KINDS for path in vault.entries(kind)):
            with suppress(FileNotFoundError):
                rows.append(_row(vault, path))
    return rows


def _row(vault: Vault, path: Path) -> dict[str, Any]:
    is_folder = _is_folder(path)
    facts = vault.facts(path) if is_folder else None
    return {
        "kind": path.parent.name,
        "name": path.name,
        "used": vault.last_used(path),
        "samples": facts.get("rows", facts.get("samples", 0)) if facts else 0,
        "bytes": _bytes_in(path),
        "damaged": facts is None,
    }


def _bytes_in(path: Path) -> int:
    return sum(file.lstat().st_size for file in (path.iterdir() if _is_folder(path) else [path]))


def _bytes_of(path: Path) -> int:
    """How much of an entry there is to compare; nothing where another process has removed it."""
    with suppress(FileNotFoundError):
        return _bytes_in(path)
    return 0


def _aside(vault: Vault) -> list[int]:
    """The bytes of each entry that was moved aside."""
    folder = vault.root / DAMAGED
    if not folder.is_dir():
        return []
    return [sum(file.lstat().st_size for file in path.rglob("*")) for path in folder.iterdir()]


def _remove(vault: Vault, rows: list[dict[str, Any]]) -> None:
    """Remove entries, and all that nobody can use."""
    with _readable(vault.root):
        if not (vault.root / DAMAGED).is_dir():
            return  # there is no cache yet, and none is to be made
        for row in rows:
            with suppress(FileNotFoundError):  # another process was first
                vault.remove(vault.root / row["kind"] / row["name"])
        vault.tidy()


def _ago(moment: float) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(time.time() - moment, 0)
    for length, unit in ((_DAY_S, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit} ago"
    return "just now"
