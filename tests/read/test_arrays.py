from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktoformats.errors import SourceError
from ktoformats.read.arrays import elements
from ktoformats.read.lines import blocks

if TYPE_CHECKING:
    from pathlib import Path

    from ktoformats.read.blocks import Block

BOM = b"\xef\xbb\xbf"
TEXT = st.text(st.sampled_from('\\"[]{},:\n\t اx😀'), max_size=8)
VALUE = st.recursive(
    st.none() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
)
BLANK = st.text(st.sampled_from(" \t\r\n"), max_size=3).map(str.encode)


def split(data: bytes, size: int = 1 << 20, limit: int = 1 << 20) -> list[Block]:
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    return list(elements(chunks, "f.json", max_bytes=limit))


def records(data: bytes, size: int = 1 << 20) -> list[bytes]:
    return [record for block in split(data, size) for record in block.records]


@given(
    st.lists(st.tuples(VALUE, BLANK, BLANK, st.sampled_from([None, 1]))),
    st.tuples(st.sampled_from([b"", BOM]), BLANK, BLANK, BLANK),
    st.integers(1, 40),
)
def test_elements_come_back_with_their_places(
    items: list[tuple[Any, bytes, bytes, int | None]], around: tuple[bytes, bytes, bytes, bytes], size: int
) -> None:
    mark, before, within, after = around
    data = mark + before + b"["
    expected: list[tuple[int, int, bytes]] = []
    for number, (value, lead, trail, indent) in enumerate(items):
        record = json.dumps(value, ensure_ascii=False, indent=indent).encode()
        data += (b"," if number else b"") + lead
        expected.append((data.count(b"\n") + 1, len(data), record))
        data += record + trail
    data += (within if not items else b"") + b"]" + after
    found = split(data, size)
    places = [place for block in found for place in zip(block.lines, block.offsets, block.records, strict=True)]
    assert places == expected
    assert all(block.blank == 0 and not block.faults for block in found)


@pytest.mark.parametrize("size", [1, 2, 3, 1000])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (b"[]", []),
        (b" [ \n ] \n", []),
        (b'[{"a":tru},{"b":2}]', [b'{"a":tru}', b'{"b":2}']),
        (b'[{"a":1]},{"b":2}]', [b'{"a":1]}', b'{"b":2}']),
        (b'[{"a":1}},{"b":2}]', [b'{"a":1}}', b'{"b":2}']),
        (b"[1 2,3]", [b"1 2", b"3"]),
        (b"[1,,3]", [b"1", b"", b"3"]),
        (b"[1,]", [b"1", b""]),
        (b"[,]", [b"", b""]),
        (rb'["\\","\"",","]', [rb'"\\"', rb'"\""', b'","']),
        (b'["\xff",1]', [b'"\xff"', b"1"]),
    ],
)
def test_a_damaged_element_costs_itself(data: bytes, expected: list[bytes], size: int) -> None:
    assert records(data, size) == expected


@pytest.mark.parametrize("size", [1, 7, 1000])
@pytest.mark.parametrize("data", [b"[", b"[1", b"[1,", b'["a', b'["a\\', b'[{"a":1}', b'[{"a":[1},{"b":2}]', b'["]'])
def test_an_array_that_is_not_closed_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(SourceError, match="ends inside the array") as caught:
        split(data, size)
    assert caught.value.code == "truncated_file"


@pytest.mark.parametrize("size", [1, 1000])
@pytest.mark.parametrize("data", [b"[1]x", b"[1]\n[2]\n", b"[1]]", b"[] ,", b"[1]\x00"])
def test_data_after_the_array_is_refused(data: bytes, size: int) -> None:
    with pytest.raises(SourceError, match="more data follows the array that ends on line 1") as caught:
        split(data, size)
    assert caught.value.code == "wrong_format"


@pytest.mark.parametrize("size", [1, 9, 1000])
def test_a_long_element_is_a_fault_and_the_next_is_read(size: int) -> None:
    data = b'[1,\n "' + b"x\n" * 100 + b'",\n 3]'
    (fault,) = (fault for block in split(data, size, 50) for fault in block.faults)
    assert (fault.line, fault.offset, fault.reason) == (2, 5, "line_too_long")
    assert data[5:].startswith(fault.head)
    assert len(fault.head) <= 80
    found = [block for block in split(data, size, 50) if block.records]
    places = [place for block in found for place in zip(block.lines, block.offsets, block.records, strict=True)]
    assert places == [(1, 1, b"1"), (103, len(data) - 2, b"3")]


def test_a_bom_is_counted_once(tmp_path: Path) -> None:
    path = tmp_path / "a.json"
    path.write_bytes(BOM + b"[1,\n2]")
    (block,) = blocks(path)
    assert (block.notices, block.offsets, block.lines) == ({"bom_stripped": 1}, [4, 7], [1, 2])


def test_hostile_structure_takes_linear_time() -> None:
    data = b'["' + b'\\"' * 1_000_000 + b'",' + b"[" * 500_000 + b"]" * 500_000 + b"]"
    started = time.monotonic()
    found = split(data, 1 << 16, 4 << 20)
    assert sum(len(block.records) for block in found) == 2
    assert time.monotonic() - started < 5
