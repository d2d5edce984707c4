"""`ktoformats cache`."""

from __future__ import annotations

import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ktoformats.cli import output
from ktoformats.cli.output import json_option
from ktoformats.store.cache import default_folder
from ktoformats.store.vault import KINDS, Vault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_DAY_S: Final = 24 * 3600
_UNITS: Final = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
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
            return int(float(number) * _UNITS[unit])
        except (ValueError, OverflowError):
            self.fail(f"{value!r} is no size; write bytes, or 500M, or 20GB", param, ctx)


@click.group()
def command() -> None:
    """See, check and clear what is kept between runs.

    Samples that were built once are kept in shards, under the digests of their sources and of all that read them;
    what was chosen among them is kept in views. Everything here can be built again from the sources.
    """


@command.command("ls")
@folder_option
@json_option
def list_entries(cache_dir: Path | None, *, as_json: bool) -> None:
    """List what is kept, the most recently used first."""
    vault = _vault(cache_dir)
    rows = sorted(_described(vault), key=lambda row: (-row["used"], row["name"]))
    total = sum(row["bytes"] for row in rows)
    if as_json:
        output.print_json({"folder": str(vault.root), "bytes": total, "entries": rows})
        return
    cells = [
        (row["kind"], row["name"][:12] + row["name"][64:], _ago(row["used"]), row["samples"], _size(row["bytes"]))
        for row in rows
    ]
    output.table(output.safe(vault.root), ("kind", "name", "last used", "samples", "size"), cells, numbers=2)
    output.say(f"{len(rows)} entries, {_size(total)}")


@command.command()
@folder_option
@json_option
@click.pass_context
def verify(ctx: click.Context, cache_dir: Path | None, *, as_json: bool) -> None:
    """Compare every kept file with its digest; what is damaged is moved aside and built again when needed.

    Exit status 1 if anything was damaged.
    """
    vault = _vault(cache_dir, "always")
    paths = [path for kind in KINDS for path in vault.entries(kind)]
    damaged = []
    with _bar(len(paths), shown=not as_json) as step:
        for path in paths:
            if vault.open(path.parent.name, path.name) is None:
                damaged.append(path.name)
            step()
    if as_json:
        output.print_json({"checked": len(paths), "damaged": damaged})
    else:
        for name in damaged:
            output.warn(f"{name} was damaged, and is moved aside")
        output.say(f"{len(paths)} entries checked, {len(damaged)} damaged")
    if damaged:
        ctx.exit(1)


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
    "--max-size", "most", type=Size(), metavar="SIZE", help="Then remove the least recently used, until it fits."
)
@click.option("--dry-run", is_flag=True, help="Only say what would be removed.")
@json_option
def prune(cache_dir: Path | None, days: float, most: int | None, *, dry_run: bool, as_json: bool) -> None:
    """Remove what was not used for long, what is damaged, and what killed builds left.

    \b
    Examples:
      ktoformats cache prune
      ktoformats cache prune --older-than 7 --max-size 20GB --dry-run
    """  # noqa: D301 - \b keeps click from joining the lines
    vault = _vault(cache_dir)
    rows = sorted(_described(vault), key=lambda row: row["used"])
    total = sum(row["bytes"] for row in rows)
    gone, freed = [], 0
    for row in rows:
        is_old = time.time() - row["used"] > days * _DAY_S
        if is_old or (most is not None and total - freed > most):
            gone.append(row["name"])
            freed += row["bytes"]
            if not dry_run:
                vault.remove(vault.root / row["kind"] / row["name"])
    if not dry_run and vault.root.is_dir():
        freed += vault.tidy()
    if as_json:
        output.print_json({"removed": gone, "bytes": freed, "dry_run": dry_run})
        return
    output.say(f"{'would remove' if dry_run else 'removed'} {len(gone)} of {len(rows)} entries, {_size(freed)}")


@command.command()
@folder_option
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
def clear(cache_dir: Path | None, *, yes: bool, as_json: bool) -> None:
    """Remove everything that is kept."""
    vault = _vault(cache_dir)
    rows = list(_described(vault))
    total = sum(row["bytes"] for row in rows)
    if rows and not yes:
        click.confirm(f"Remove {len(rows)} entries, {_size(total)}, from {output.safe(vault.root)}?", abort=True)
    for row in rows:
        vault.remove(vault.root / row["kind"] / row["name"])
    total += vault.tidy() if vault.root.is_dir() else 0
    if as_json:
        output.print_json({"removed": [row["name"] for row in rows], "bytes": total})
        return
    output.say(f"removed {len(rows)} entries, {_size(total)}")


def _vault(folder: Path | None, verify: Any = "first") -> Vault:
    return Vault(folder or default_folder(), verify)


def _described(vault: Vault) -> Iterator[dict[str, Any]]:
    for kind in KINDS:
        for path in vault.entries(kind):
            facts = vault.facts(path) or {}
            size = sum(file.stat().st_size for file in path.iterdir() if file.is_file())
            yield {
                "kind": kind,
                "name": path.name,
                "used": vault.last_used(path),
                "samples": facts.get("rows", 0),
                "bytes": size,
                "damaged": not facts,
            }


def _ago(moment: float) -> str:
    """How long ago, in the largest unit that fits."""
    seconds = max(time.time() - moment, 0)
    for size, unit in ((_DAY_S, "days"), (3600, "hours"), (60, "minutes")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit} ago"
    return "just now"


def _size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:  # noqa: PLR2004 - decimal units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"


@contextmanager
def _bar(count: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    """A progress bar on standard error, where that is a terminal."""
    console = output.console(stderr=True)
    if not shown or not console.is_terminal:
        yield lambda: None
        return
    from rich.progress import Progress

    with Progress(console=console, transient=True) as bar:
        task = bar.add_task("checking", total=count)
        yield lambda: bar.advance(task)
