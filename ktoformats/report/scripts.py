"""The scripts that answers are written in: counted by Unicode block, which says nothing of languages."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Final

import numpy as np

from ktoformats.feedback import BAD, GOOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.store.numbers import Array
    from ktoformats.train.chosen import Chosen

_BLOCKS: Final = (
    (0x41, "Latin"),
    (0x5B, ""),
    (0x61, "Latin"),
    (0x7B, ""),
    (0xC0, "Latin"),
    (0x250, "other"),
    (0x2B0, ""),
    (0x370, "Greek"),
    (0x400, "Cyrillic"),
    (0x530, "Armenian"),
    (0x590, "Hebrew"),
    (0x600, "Arabic"),
    (0x700, "other"),
    (0x750, "Arabic"),
    (0x780, "other"),
    (0x8A0, "Arabic"),
    (0x900, "Devanagari"),
    (0x980, "Bengali"),
    (0xA00, "other"),
    (0xB80, "Tamil"),
    (0xC00, "other"),
    (0xE00, "Thai"),
    (0xE80, "other"),
    (0x10A0, "Georgian"),
    (0x1100, "Hangul"),
    (0x1200, "other"),
    (0x1E00, "Latin"),
    (0x1F00, "Greek"),
    (0x2000, ""),
    (0x2C00, "other"),
    (0x2E00, ""),
    (0x3040, "Kana"),
    (0x3100, "other"),
    (0x3400, "Han"),
    (0x4DC0, ""),
    (0x4E00, "Han"),
    (0xA000, "other"),
    (0xAC00, "Hangul"),
    (0xD7B0, ""),
    (0xF900, "Han"),
    (0xFB00, "Latin"),
    (0xFB1D, "Hebrew"),
    (0xFB50, "Arabic"),
    (0xFE00, ""),
    (0xFE70, "Arabic"),
    (0xFEFF, ""),
    (0xFF21, "Latin"),
    (0xFF3B, ""),
    (0xFF41, "Latin"),
    (0xFF5B, ""),
    (0xFF66, "Kana"),
    (0xFFA0, ""),
    (0x10000, "other"),
    (0x1D400, ""),
    (0x20000, "Han"),
    (0x323B0, ""),
)
"""Where a script begins, in code points; without a name: marks, digits, symbols, emoji."""
_STARTS: Final = np.array([start for start, _ in _BLOCKS], np.uint32)
_NAMES: Final = sorted({name for _, name in _BLOCKS if name})
_NUMBERS: Final = np.array([0, *(_NAMES.index(name) + 1 if name else 0 for _, name in _BLOCKS)], np.uint8)
_TABLE: Final = _NUMBERS[np.searchsorted(_STARTS, np.arange(0x10000, dtype=np.uint32), side="right")]
"""For each code point of the basic plane its script; the rest is looked up."""
MAINLY: Final = 0.8
"""With this share of an answer's letters a script is the answer's own; below it stands with the next one."""
NONE: Final = "no letters"
_ROWS_AT_ONCE: Final = 2048


def scripts_of(texts: Sequence[str]) -> list[str]:
    """For each text its script, two where neither has most of its letters, or `no letters`."""
    if not texts:
        return []
    points = np.frombuffer("".join(texts).encode("utf-32-le", "surrogatepass"), np.uint32)
    low = points < len(_TABLE)
    own = _TABLE[np.where(low, points, 0)]
    own[~low] = _NUMBERS[np.searchsorted(_STARTS, points[~low], side="right")]
    width = len(_NAMES) + 1
    rows = np.repeat(np.arange(len(texts)), [len(text) for text in texts])
    counts = np.bincount(rows * width + own, minlength=len(texts) * width).reshape(len(texts), width)[:, 1:]
    return [_named(one) for one in counts]


def _named(counts: Array) -> str:
    total = int(counts.sum())
    if not total:
        return NONE
    first, second = np.argsort(-counts, kind="stable")[:2].tolist()
    if counts[first] >= MAINLY * total:
        return str(_NAMES[first])
    return f"{_NAMES[first]} and {_NAMES[second]}"


def count_scripts(dataset: Chosen, positions: Array) -> dict[str, dict[str, int]]:
    """Script to label to number of answers, the most frequent first, among some samples."""
    found: dict[str, Counter[str]] = {}
    for start in range(0, len(positions), _ROWS_AT_ONCE):
        rows = dataset.rows[positions[start : start + _ROWS_AT_ONCE]]
        table = dataset.samples.take(rows, ["response", "label"])
        for script, label in zip(
            scripts_of(table.column("response").to_pylist()), table.column("label").to_pylist(), strict=True
        ):
            found.setdefault(script, Counter())[label] += 1
    ordered = sorted(found.items(), key=lambda pair: (-pair[1].total(), pair[0]))
    return {script: {GOOD: counts[GOOD], BAD: counts[BAD]} for script, counts in ordered}
