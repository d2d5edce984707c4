"""Tables as text: every row is a record of texts, and a bad row costs itself alone."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ktoformats.errors import SourceError
from ktoformats.read.lines import blocks

if TYPE_CHECKING:
    from pathlib import Path

GOOD = {"a": "3", "b": "4"}


def read(path: Path, data: bytes, **options: Any) -> tuple[list[tuple[int, Any]], list[tuple[int, str]]]:
    """Records and faults, each with its line."""
    path.write_bytes(data)
    found = list(blocks(path, **options))
    records = [
        (line, orjson.loads(one)) for block in found for line, one in zip(block.lines, block.records, strict=True)
    ]
    return records, [(fault.line, fault.reason) for block in found for fault in block.faults]


@pytest.mark.parametrize(
    ("name", "separator", "encoding"),
    [
        ("t.csv", ",", "utf-8"),
        ("t.CSV", ",", "utf-8-sig"),
        ("t.tsv", "\t", "utf-16"),
        ("t.csv.gz", ",", "utf-8"),
        ("t.tsv.gz", "\t", "utf-16"),
    ],
)
@pytest.mark.parametrize("block_bytes", [3, 1 << 20])
def test_cells_are_texts_in_every_encoding(
    tmp_path: Path, name: str, separator: str, encoding: str, block_bytes: int
) -> None:
    text = 'a,b\r\n007,"سؤال ""x""\nand more"\r\n\r\n,true\r\n'.replace(",", separator)
    data = text.encode(encoding)
    records, faults = read(
        tmp_path / name, gzip.compress(data) if name.endswith(".gz") else data, block_bytes=block_bytes
    )
    assert records == [(2, {"a": "007", "b": 'سؤال "x"\nand more'}), (5, {"a": None, "b": "true"})]
    assert not faults


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"1,2,3", "ragged_row"),
        (b"1", "ragged_row"),
        (b"1,\xe9", "invalid_utf8"),
        (b'1,"2"3', "invalid_csv"),
        (b"1," + b"x" * 2000, "line_too_long"),
        (b'1,"' + b"xxxx\n" * 300 + b'"', "line_too_long"),
    ],
    ids=["more", "fewer", "latin", "quote", "long line", "long cell"],
)
@pytest.mark.parametrize("block_bytes", [100, 1 << 20])
def test_a_bad_row_costs_itself(tmp_path: Path, row: bytes, reason: str, block_bytes: int) -> None:
    table = b"a,b\n3,4\n" + row + b"\n3,4\n"
    records, faults = read(tmp_path / "t.csv", table, max_line_bytes=1000, block_bytes=block_bytes)
    assert faults[0] == (3, reason)
    assert records[0] == (2, GOOD)
    assert records[-1] == (3 + table.count(b"\n", 8, -4), GOOD)


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"a,a\n1,2\n", "wrong_format"),
        (b"a,\n1,2\n", "wrong_format"),
        (b"a,\xe9\n1,2\n", "wrong_encoding"),
        (b"a," + b"x" * 2000 + b"\n1,2\n", "wrong_format"),
        ("a,b\n".encode("utf-16") + b"\x00\xd8\n\x00", "wrong_encoding"),
    ],
    ids=["twice", "empty", "latin", "long", "utf-16"],
)
def test_a_header_that_is_none_is_refused(tmp_path: Path, data: bytes, code: str) -> None:
    with pytest.raises(SourceError) as caught:
        read(tmp_path / "t.csv", data, max_line_bytes=1000)
    assert caught.value.code == code


def test_a_file_cut_inside_a_cell_is_told(tmp_path: Path) -> None:
    records, faults = read(tmp_path / "t.csv", b'a,b\n3,4\n1,"2')
    assert (records, faults) == ([(2, GOOD)], [(3, "truncated_tail")])
