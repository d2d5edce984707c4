"""Ranges of a file of lines come to the same as the file."""

from __future__ import annotations

import gzip
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from ktoformats import SourceError
from ktoformats.read import ranges
from ktoformats.read.lines import split_lines
from ktoformats.read.ranges import divides, lines_in, range_blocks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ktoformats.read.blocks import Block

PIECES = st.sampled_from([b"\n", b"\r\n", b"{}", b"\xef\xbb\xbf", b'{"a": 1}', b" ", b'{"cut', b"x" * 30])


def told(blocks: Iterable[Block]) -> tuple[list[object], int, dict[str, int]]:
    """Records and faults with their places, and what was counted."""
    places: list[object] = []
    blank, notices = 0, dict[str, int]()
    for block in blocks:
        places += [*zip(block.lines, block.offsets, block.records, strict=True), *block.faults]
        blank += block.blank
        notices = {key: notices.get(key, 0) + block.notices.get(key, 0) for key in notices | block.notices}
    return places, blank, notices


def in_ranges(path: Path, size: int) -> Iterator[Block]:
    """The blocks of a file that is read in ranges of so many bytes."""
    line, end = 1, path.stat().st_size
    for start, stop in pairwise([*range(0, end, size), end]):
        yield from range_blocks(path, "lines", start, stop, line)
        line += lines_in(path, "lines", start, stop)


@given(parts=st.lists(PIECES, max_size=40), size=st.integers(1, 50))
@example(parts=[b"{}", b"\n"] * 5, size=3)
@example(parts=[b"x" * 30] * 10, size=1)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_all_ranges_together_are_the_file(parts: list[bytes], size: int, tmp_path: Path) -> None:
    data = b"".join(parts)
    path = tmp_path / "lines.jsonl"
    path.write_bytes(data)
    assert told(in_ranges(path, size)) == told(split_lines([data] if data else [], "lines"))


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 64])
def test_the_size_of_what_is_read_at_once_changes_nothing(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines.jsonl"
    data = b'{"a": 1}\n\n{"b": 22}\r\n{}\n{"long": "' + b"y" * 40 + b'"}\n{}'
    path.write_bytes(data)
    whole = told(split_lines([data], "lines"))
    monkeypatch.setattr(ranges, "MIB", chunk)
    for size in range(1, len(data) + 1):
        assert told(in_ranges(path, size)) == whole


@pytest.mark.parametrize(
    ("name", "data", "answer"),
    [
        ("a.jsonl", b'{"a": 1}\n{"a": 2}\n', True),
        ("a.txt", b'{"a": 1}\n', True),
        ("a.json", b'[{"a": 1},\n{"a": 2}]\n', False),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n', mtime=0), False),
        ("a.csv", b"a,b\n1,2\n", False),
        ("a.parquet", b"PAR1....PAR1", False),
        ("a.jsonl", '{"a": 1}\n'.encode("utf-16"), False),
    ],
)
def test_only_plain_lines_can_be_divided(name: str, data: bytes, answer: bool, tmp_path: Path) -> None:  # noqa: FBT001
    (tmp_path / name).write_bytes(data)
    assert divides(tmp_path / name, name) is answer


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    assert not divides(tmp_path / "none", "none")
    with pytest.raises(SourceError, match="none: there is no such file"):
        lines_in(tmp_path / "none", "none", 0, 10)
    with pytest.raises(SourceError, match="none: there is no such file"):
        list(range_blocks(tmp_path / "none", "none", 0, 10, 1))
