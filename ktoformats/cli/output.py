"""How commands speak: safe text, tables that are never cut when piped, JSON, errors without tracebacks."""

from __future__ import annotations

import json
import re
import sys
import unicodedata
from typing import TYPE_CHECKING, Any, Final

import click
import orjson
from rich.console import Console
from rich.table import Table
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

PIPED_WIDTH: Final = 10_000
_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_BIDI: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")
_KEPT: Final = frozenset("\u200c\u200d")  # joiners belong to Persian and to emoji


def safe(text: object, limit: int = 400) -> str:
    """Text from data, fit for a terminal: control, bidi and format characters are written out as escapes."""
    shown = "".join(
        f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in _UNSAFE_CATEGORIES and c not in _KEPT else c
        for c in str(text)[: limit + 1]
    )
    return shown if len(str(text)) <= limit else shown[:limit] + "…"


class _Console(Console):
    """A console that leaves it to `main` what a closed pipe means."""

    def on_broken_pipe(self) -> None:
        raise BrokenPipeError


def console(*, stderr: bool = False) -> Console:
    """A console; piped output is as wide as it needs to be."""
    stream = sys.stderr if stderr else sys.stdout
    return _Console(stderr=stderr, width=None if stream.isatty() else PIPED_WIDTH, highlight=False, soft_wrap=True)


def say(text: object = "", style: str = "") -> None:
    """Print one line of our own words (escape data with `safe` first)."""
    console().print(Text(str(text), style=style))


def warn(text: object) -> None:
    """Print one warning to standard error."""
    console(stderr=True).print(Text(f"warning: {safe(text, 2000)}", style="yellow"))


def table(title: str, headings: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: int = 0) -> None:
    """Print a table; the last `numbers` columns are aligned to the right."""
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
    click.echo(_BIDI.sub(lambda found: f"\\u{ord(found[0]):04x}", text))


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of text.")
