"""The root of every row of a forest that names parents: pointer jumping, a bounded part of the rows at a time.

Each round lets every row point to what its ancestor points to, so that a way of n steps takes log n rounds.
"""

from __future__ import annotations

from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Any, Final, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

ROWS: Final = 1 << 20
"""Rows looked at together."""
_ROUNDS: Final = 40
"""Ways of up to 2^40 steps; rows that still move then go round in a circle."""
_ROW: Final = np.dtype([("row", "<u8"), ("node", "<u8"), ("up", "<u8")])

Array = np.ndarray[Any, np.dtype[Any]]


class Roots:
    """Finds roots; a context, whose files are gone when it ends.

    Args:
        rows: How many rows are looked at together.
    """

    def __init__(self, rows: int = ROWS) -> None:
        self._rows = rows
        self._waiting: list[tuple[int, int, int]] = []
        self._count = 0
        self._stack = ExitStack()
        self._table = self._file()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def add(self, node: int, up: int) -> None:
        """Take the next row: its node and the node above it, as numbers from 1 to 2^64 - 1; 0 has none above."""
        self._waiting.append((self._count, node, up))
        self._count += 1
        if len(self._waiting) >= self._rows:
            self._flush()

    def find(self) -> Iterator[int]:
        """The root of each row, in the order of the rows.

        It is the last node on the way up; where that node has no row, those that name it still share it. Rows
        in a circle have any of its nodes.
        """
        self._flush()
        for _ in range(_ROUNDS):
            if not self._jump():
                break
        parts = self._split(self._table, "row", by_range=True)
        for part in parts:
            rows = _load(part, "row")
            yield from np.where(rows["up"] > 0, rows["up"], rows["node"]).tolist()

    def _flush(self) -> None:
        np.array(self._waiting, _ROW).tofile(self._table)
        self._waiting = []

    def _jump(self) -> bool:
        """One round; whether any row moved."""
        moved = False
        jumped = self._file()
        nodes, ups = self._split(self._table, "node"), self._split(self._table, "up")
        for known, asking in zip(nodes, ups, strict=True):
            above, rows = _load(known, "node"), _load(asking, "row")
            if len(above):
                place = np.searchsorted(above["node"], rows["up"]).clip(max=len(above) - 1)
                further = np.where(above["node"][place] == rows["up"], above["up"][place], 0)
                moved = moved or bool(further.any())
                rows["up"] = np.where(further > 0, further, rows["up"])
            rows.tofile(jumped)
        self._table.close()
        self._table = jumped
        return moved

    def _split(self, table: IO[bytes], column: str, *, by_range: bool = False) -> list[IO[bytes]]:
        """The table in parts of about `rows` rows, those of one value of a column in one part."""
        count = -(-self._count // self._rows)
        parts = [self._file() for _ in range(count)]
        table.seek(0)
        while len(rows := np.fromfile(table, _ROW, self._rows)):
            number = rows[column] // self._rows if by_range else rows[column] % count
            for part in range(count):
                rows[number == part].tofile(parts[part])
        return parts

    def _file(self) -> IO[bytes]:
        return self._stack.enter_context(TemporaryFile())


def _load(file: IO[bytes], column: str) -> Array:
    """The rows of a part, sorted by a column; its file is given back."""
    file.seek(0)
    rows = np.fromfile(file, _ROW)
    file.close()
    ordered: Array = rows[np.argsort(rows[column])]
    return ordered
