"""What the command does, called in this process, and what it wrote."""

from __future__ import annotations

import io
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq

from ktoformats.cli.main import cli

if TYPE_CHECKING:
    from pathlib import Path

SPECIFICATION_SCORER: Final = ("--set", "quality=specification")
"""Scores with the formula of the specification, as the peers' loops do."""


def convert(source: Path, target: Path, *words: str, to: str = "parquet", cached: bool = False) -> Path:
    """`ktoformats convert SOURCE -o TARGET --to parquet --no-cache`: read, convert, write, with manifest and rejects."""
    line = ["convert", str(source), "-o", str(target), "--to", to, "--json", *words]
    line += [] if cached else ["--no-cache"]
    with redirect_stdout(io.StringIO()):
        cli.main(args=line, prog_name="ktoformats", standalone_mode=False)
    return target


def samples(parquet: Path, columns: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows of a file, messages reduced to role and content."""
    rows: list[dict[str, Any]] = pq.read_table(parquet, columns=list(columns)).to_pylist()
    for row in rows:
        if "conversation" in row:
            row["conversation"] = [{"role": one["role"], "content": one["content"]} for one in row["conversation"]]
    return rows
