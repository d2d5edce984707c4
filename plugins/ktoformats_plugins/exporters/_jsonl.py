"""Writing JSON Lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def write_lines(rows: Iterable[dict[str, Any]], path: Path) -> int:
    """Write one object a line, UTF-8, and return how many."""
    count = 0
    with path.open("wb") as stream:
        for row in rows:
            stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
            count += 1
    return count
