"""Small tables for notebooks: HTML that runs nothing, in which text from data stays text."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Final

from ktoformats.page.text import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

MOST_ROWS: Final = 60
_ON_THE_RIGHT: Final = ' style="text-align: right"'


def table(caption: str, headings: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A table; numbers stand on the right, and of many rows the first are shown.

    Args:
        caption: What it tells.
        headings: Of the columns.
        rows: Texts (escaped here) and numbers.
    """
    every = list(rows)
    head = "".join(f"<th>{_text(one)}</th>" for one in headings)
    lines = [f"<tr>{''.join(map(_cell, row))}</tr>" for row in every[:MOST_ROWS]]
    if more := len(every) - len(lines):
        lines.append(f'<tr><td colspan="{len(headings)}">and {more:,} more</td></tr>')
    body = "".join(lines)
    return f"<table><caption>{_text(caption)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def sentences(texts: Iterable[str]) -> str:
    """A list of sentences; nothing where there is none."""
    items = "".join(f'<li dir="auto">{_text(one)}</li>' for one in texts)
    return f"<ul>{items}</ul>" if items else ""


def in_short(text: object, limit: int = 80) -> str:
    """A text in quotes on one line, for a repr: what is not printable stands there as an escape."""
    whole = str(text)
    return repr(whole if len(whole) <= limit else f"{whole[: limit - 1]}…")


def _cell(value: object) -> str:
    if isinstance(value, int | float):
        return f"<td{_ON_THE_RIGHT}>{value:,}</td>"
    return f'<td dir="auto">{_text(value)}</td>'


def _text(value: object) -> str:
    return escape(plain(value), quote=True)
