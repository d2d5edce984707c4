"""When a text counts as empty."""

from __future__ import annotations

from typing import Final

_INVISIBLE: Final = "".join(
    map(
        chr,
        (
            *(*range(9, 14), *range(28, 33), 0x85, 0xA0, 0xAD, 0x061C, 0x1680, 0x180E),
            *(*range(0x2000, 0x2010), *range(0x2028, 0x2030), *range(0x205F, 0x206A), 0x3000, 0xFEFF),
        ),
    )
)
"""White space, joiners, direction marks and other characters without width: a text of these alone is empty."""
BLANK_STARTS: Final = frozenset(("", *_INVISIBLE))
"""What a text may begin with that is empty: all others are not, and one look tells."""


def is_blank(text: str) -> bool:
    """Whether a text holds nothing that anybody could see."""
    return text[:1] in BLANK_STARTS and not text.strip(_INVISIBLE)
