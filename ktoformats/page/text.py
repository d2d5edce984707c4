"""Text from data, fit for a page: escaped, and with what is invisible made visible."""

from __future__ import annotations

import unicodedata
from html import escape
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

_HIDDEN: Final = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})
_KEPT: Final = frozenset("\n\t\u200c\u200d")
"""Line breaks stay; joiners belong to Persian and to emoji."""
MOST_CHARACTERS: Final = 4000


def shown(text: object, limit: int = MOST_CHARACTERS) -> str:
    """HTML of a text: control, bidi and format characters stand there by their numbers, and it is cut at a limit."""
    whole = str(text)
    parts = [_mark(one) if _is_hidden(one) else escape(one) for one in whole[:limit]]
    if len(whole) > limit:
        parts.append(f'<span class="more">… {len(whole) - limit:,} more characters</span>')
    return "".join(parts)


def plain(text: object, limit: int = 200) -> str:
    """The same without elements, for an attribute; a template escapes it."""
    whole = str(text)
    kept = "".join(f"\\u{{{ord(one):x}}}" if _is_hidden(one) else one for one in whole[:limit])
    return kept + "…" * (len(whole) > limit)


def by_file(examples: Iterable[str]) -> tuple[str, ...]:
    """Places, the lines of one file together: `a.jsonl:3, 7`."""
    lines: dict[str, list[str]] = {}
    for example in examples:
        source, _, line = example.rpartition(":")
        lines.setdefault(source, []).append(line)
    return tuple(f"{source}:{', '.join(own)}" for source, own in lines.items())


def _is_hidden(one: str) -> bool:
    return (not one.isascii() and unicodedata.category(one) in _HIDDEN and one not in _KEPT) or one in _CONTROLS


_CONTROLS: Final = frozenset(map(chr, [*range(9), *range(11, 32), 127]))


def _mark(one: str) -> str:
    name = escape(unicodedata.name(one, "control character").lower(), quote=True)
    return f'<span class="hidden" title="{name}">U+{ord(one):04X}</span>'
