"""Text from data, made fit for a terminal."""

from __future__ import annotations

import unicodedata
from typing import Final

_UNSAFE_CATEGORIES: Final = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
_KEPT: Final = frozenset("\u200c\u200d")  # joiners belong to Persian and to emoji
_UNITS: Final = ("B", "kB", "MB", "GB")


def safe(text: object, limit: int = 400) -> str:
    """Text from data, fit for a terminal: control, bidi and format characters are written out as escapes."""
    shown = "".join(
        f"\\u{{{ord(c):x}}}" if unicodedata.category(c) in _UNSAFE_CATEGORIES and c not in _KEPT else c
        for c in str(text)[: limit + 1]
    )
    return shown if len(str(text)) <= limit else shown[:limit] + "…"


def size(count: float) -> str:
    """A number of bytes in decimal units."""
    for unit in _UNITS:
        if count < 1000:  # noqa: PLR2004 - decimal units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} TB"
