"""How commands speak: safe text, tables that are never cut when piped, JSON, errors without tracebacks."""

from __future__ import annotations

import json
import re
import sys
from typing import TYPE_CHECKING, Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

from ktoformats.cli.manner import manner, say_aside
from ktoformats.cli.text import safe as safe

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PIPED_WIDTH: Final = 10_000
_STEERING: Final = re.compile("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")


class _Console(Console):
    """A console that leaves it to `main` what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """A console; piped output is as wide as it needs to be."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(stderr=stderr, width=None if stream.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=True)


def say(text: object = "", style: str = "") -> None:
    """Print one line of our own words (escape data with `safe` first); quiet, none."""
    if not manner().quiet:
        console().print(Text(str(text), style=style))


def warn(text: object) -> None:
    """Print one warning to standard error; quiet, none."""
    if not manner().quiet:
        _aside("warning", f"warning: {safe(text, 2000)}", "yellow")


def error(text: object) -> None:
    """Print the error that ends a command to standard error."""
    _aside("error", f"error: {safe(text, 4000)}", "red")


def _aside(level: str, text: str, style: str) -> None:
    if not say_aside(level, text, f"{level}: "):
        console(stderr=True).print(Text(text, style=style))


def draws_bars() -> bool:
    """Whether progress is shown: only to somebody who looks, even where FORCE_COLOR colours a pipe."""
    return sys.stderr is not None and sys.stderr.isatty() and not manner().quiet


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 0) -> None:
    """Print a table; the last `numbers` columns are aligned to the right. Quiet, none."""
    if manner().quiet:
        return
    made = Table(
        title=Text(title, style="bold"), title_justify="left", box=None, pad_edge=False, padding=(0, 2, 0, 0)
    )
    for position, heading in enumerate(headings):
        right = position >= len(headings) - numbers
        made.add_column(Text(heading, style="bold"), justify="right" if right else "left", overflow="fold")
    for row in rows:
        made.add_row(*(Text(cell if isinstance(cell, str) else f"{cell}") for cell in map(safe, row)))
    console().print(made)


def print_json(value: Any) -> None:
    """Print one JSON value, and nothing else, on standard output."""
    try:
        text = orjson.dumps(value, option=orjson.OPT_INDENT_2, default=str).decode()
    except TypeError:  # a file name that is not UTF-8
        text = json.dumps(value, indent=2, default=str)
    click.echo(_STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
