from __future__ import annotations

import gzip
import json
import tracemalloc
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ktoformats.errors import RecordError, SourceError
from ktoformats.read.lines import blocks, split_lines
from ktoformats.read.parse import parse
from ktoformats.read.rows import blocks_of_rows

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ktoformats.read.blocks import Block

BOM = b"\xef\xbb\xbf"
ANY = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
DIRTY = st.lists(
    st.binary(max_size=6)
    | st.sampled_from([b"\n", b"\r\n", b"\n\n", b" \n", BOM, b"\r", b'{"a":1}', b"{}\n", b"x" * 30, b"\x0b\n"])
).map(b"".join)
CODES = {"wrong_format", "wrong_encoding", "truncated_file", "corrupt_file", "unsupported_container"}
OBJECT = st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=8), max_size=4)


def read(path: Path, data: bytes, **options: Any) -> list[Block]:
    path.write_bytes(data)
    return list(blocks(path, **options))


def places(found: list[Block]) -> list[tuple[int, int, bytes]]:
    return [place for block in found for place in zip(block.lines, block.offsets, block.records, strict=True)]


def total(found: list[Block]) -> int:
    return sum(len(block.records) + len(block.faults) + block.blank for block in found)


def lines_in(data: bytes) -> int:
    return data.count(b"\n") + bool(data and not data.endswith(b"\n"))


@given(
    values=st.lists(OBJECT),
    size=st.integers(1, 60),
    end=st.sampled_from([b"\n", b"\r\n"]),
    zipped=st.booleans(),
    closed=st.booleans(),
)
@ANY
def test_records_come_back_with_their_places(
    tmp_path: Path, values: list[Any], size: int, end: bytes, *, zipped: bool, closed: bool
) -> None:
    data, expected = b"", []
    for number, value in enumerate(values, 1):
        record = json.dumps(value, ensure_ascii=False).encode()
        expected.append((number, len(data), record))
        data += record + end
    data = data if closed else data.removesuffix(end)
    found = read(tmp_path / "a.jsonl", gzip.compress(data) if zipped else data, block_bytes=size)
    assert places(found) == expected
    assert total(found) == lines_in(data) == len(values)
    assert all(block.source == str(tmp_path / "a.jsonl") for block in found)


@given(DIRTY, st.integers(1, 40), st.sampled_from([0, 5, 20, 1000]))
def test_every_line_is_a_record_a_fault_or_blank(data: bytes, size: int, limit: int) -> None:
    chunks = [data[start : start + size] for start in range(0, len(data), size)]
    found = list(split_lines(chunks, "f", max_bytes=limit))
    assert total(found) == lines_in(data)
    lines = data.split(b"\n")
    for line, offset, record in places(found):
        assert data[offset : offset + len(record)] == record
        assert lines[line - 1].removesuffix(b"\r").removeprefix(BOM) == record
        assert len(record) <= limit
    for fault in (fault for block in found for fault in block.faults):
        assert fault.line == data.count(b"\n", 0, fault.offset) + 1
        assert data[fault.offset :].startswith(fault.head)
    assert total(list(split_lines([data], "f", max_bytes=limit))) == total(found)


@given(DIRTY, st.integers(1, 40))
@ANY
def test_a_dirty_file_is_accounted_for_or_refused(tmp_path: Path, data: bytes, size: int) -> None:
    try:
        found = read(tmp_path / "a.jsonl", data, block_bytes=size)
    except SourceError as error:
        assert error.code in CODES  # noqa: PT017
    else:
        if not data.removeprefix(BOM).lstrip().startswith(b"["):
            assert total(found) == lines_in(data)


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


BAD = {
    "invalid_utf8": b'{"a":"\xc3\x28"}',
    "control_char": b'{"a":"\x01"}',
    "extra_data": b'{"a":1}{"a":2}',
    "non_finite": b'{"a":NaN}',
    "int_out_of_range": b'{"a":99999999999999999999}',
    "duplicate_key": b'{"a":1,"a":2}',
    "lone_surrogate": b'{"a":"\\ud800"}',
    "too_deep": b"[" * 5000 + b"]" * 5000,
    "invalid_json": b"{'a':1}",
    "line_too_long": b'{"a":"' + b"x" * 70_000 + b'"}',
}


@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstd], ids=["plain", "gz", "zst"])
@pytest.mark.parametrize("place", ["first", "middle", "last"])
@pytest.mark.parametrize("reason", sorted(BAD))
def test_one_bad_line_costs_one_record(
    tmp_path: Path, reason: str, place: str, pack: Callable[[bytes], bytes]
) -> None:
    good = [b'{"id":%d,"text":"\xd8\xac"}' % number for number in range(1000)]
    at = {"first": 0, "middle": 500, "last": 1000}[place]
    lines = [*good[:at], BAD[reason], *good[at:]]
    data = b"\n".join(lines) + b"\n"
    path = tmp_path / "a.jsonl"
    path.write_bytes(pack(data))
    kept, lost = [], []
    for block in blocks(path, block_bytes=5000, max_line_bytes=1 << 16):
        lost += [(fault.line, fault.reason) for fault in block.faults]
        for line, record in zip(block.lines, block.records, strict=True):
            try:
                parse(record)
            except RecordError as error:
                lost.append((line, error.reason))
            else:
                kept.append(record)
    assert kept == good
    assert lost == [(at + 1, reason)]


def test_a_bom_is_stripped_at_the_start_of_any_line(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", BOM + b'{"a":1}\n\n' + BOM + b'{"a":2}\r\n{"a":3}\n' + BOM + b"\n")
    assert places(found) == [(1, 3, b'{"a":1}'), (3, 15, b'{"a":2}'), (4, 24, b'{"a":3}')]
    assert [(block.notices, block.blank) for block in found] == [({"bom_stripped": 3}, 2)]


@pytest.mark.parametrize("data", [b"", b"\n", b" \n\t\r\n\n", b"   "])
def test_empty_and_blank_files_hold_no_records(tmp_path: Path, data: bytes) -> None:
    found = read(tmp_path / "a.jsonl", data)
    assert not places(found)
    assert sum(block.blank for block in found) == lines_in(data)


def test_only_newlines_end_lines(tmp_path: Path) -> None:
    record = '{"a":"x\u2028\u2029\u0085y"}'.encode()
    assert places(read(tmp_path / "a.jsonl", record + b"\n" + record)) == [
        (1, 0, record),
        (2, len(record) + 1, record),
    ]


@pytest.mark.parametrize(
    ("tail", "kept"),
    [
        (b'{"a":2}', True),
        (b'{"a":2}\r', True),
        (b'{"a":NaN}', True),
        (b'{"a":' + b"9" * 5000 + b"}", True),
        (b"[" * 2000 + b"]" * 2000, True),
        (b'{"a":"\xd8', False),
        (b'{"a"', False),
        (b'{"a":2', False),
    ],
)
def test_a_last_line_without_newline_is_kept_when_complete(tmp_path: Path, tail: bytes, *, kept: bool) -> None:
    found = read(tmp_path / "a.jsonl", b'{"a":1}\n' + tail)
    faults = [fault for block in found for fault in block.faults]
    assert len(places(found)) == 1 + kept
    if not kept:
        assert [fault[:3] for fault in faults] == [(2, 8, "truncated_tail")]
        assert faults[0].head == tail
        assert "ends in the middle" in faults[0].message


def test_a_long_line_takes_bounded_memory_and_costs_itself(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(b'{"a":1}\n"')
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b'"\n{"a":2}\n')
    tracemalloc.start()
    found = list(blocks(path, max_line_bytes=1 << 20))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [(line, record) for line, _, record in places(found)] == [(1, b'{"a":1}'), (3, b'{"a":2}')]
    (fault,) = (fault for block in found for fault in block.faults)
    assert (fault.line, fault.offset, fault.reason, len(fault.head)) == (2, 8, "line_too_long", 80)
    assert peak < 16 << 20


def test_a_single_endless_line_is_one_fault(tmp_path: Path) -> None:
    found = read(tmp_path / "a.jsonl", b"x" * (3 << 20), max_line_bytes=1 << 20)
    assert [fault[:3] for block in found for fault in block.faults] == [(1, 0, "line_too_long")]


@pytest.mark.parametrize("encoding", ["cp1256", "latin-1", "cp1252"])
@pytest.mark.parametrize(
    ("damaged", "whole", "refused"), [(20, 0, True), (19, 0, False), (40, 360, False), (41, 360, True)]
)
def test_a_file_in_an_old_encoding_is_refused_and_a_few_lines_are_not(
    tmp_path: Path, damaged: int, whole: int, encoding: str, *, refused: bool
) -> None:
    text = {"cp1256": "جيد", "latin-1": "é", "cp1252": "“x”"}[encoding]
    lines = [b'{"a":"x"}'] * whole + [f'{{"a":"{text}"}}'.encode(encoding)] * damaged
    data = b"".join(line + b"\n" for line in [b'{"a":1}', *lines])
    if refused:
        with pytest.raises(
            SourceError, match=rf"{damaged} of its first {len(lines) + 1} lines are not UTF-8"
        ) as caught:
            read(tmp_path / "a.jsonl", data)
        assert caught.value.code == "wrong_encoding"
    else:
        assert total(read(tmp_path / "a.jsonl", data)) == len(lines) + 1


PRETTY = json.dumps({"prompt": "p", "list": [1, "x"], "deep": {"a": {"b": 1}}}, indent=2).encode()


@pytest.mark.parametrize(
    ("name", "data", "hint"),
    [
        ("a.jsonl", b'{"a":1}\r{"a":2}\r{"a":3}', "lone carriage return"),
        ("a.jsonl", b'{"a":1}\r{"a":2}\r' * 100_000, "lone carriage return"),
        ("a.jsonl", PRETTY, "stands on several lines"),
        ("a.json", PRETTY, "stands on several lines"),
        ("a.jsonl", (PRETTY + b"\n") * 50, "none of the first 20 lines"),
        ("a.jsonl", b"<html>\n" * 30, "none of the first 20 lines"),
        ("a.jsonl", b'{\n"a": "' + b"x" * (2 << 20) + b'"\n}\n', "stands on several lines"),
        ("a.json", b'[1]\n{"a":2}\n', "more data follows"),
    ],
)
def test_other_layouts_are_refused_with_a_hint(tmp_path: Path, name: str, data: bytes, hint: str) -> None:
    with pytest.raises(SourceError, match=hint) as caught:
        read(tmp_path / name, data)
    assert caught.value.code == "wrong_format"


@pytest.mark.parametrize(
    ("name", "data", "expected"),
    [
        ("a.json", b'[{"a":1},{"a":2}]', [b'{"a":1}', b'{"a":2}']),
        ("a.jsonl", b'[{"a":1},{"a":2}]\n', [b'{"a":1}', b'{"a":2}']),
        ("a.jsonl", b'\n [\n{"a":1},\n{"a":2}\n]', [b'{"a":1}', b'{"a":2}']),
        ("a", b'[\n{"a":1}\n]\n', [b'{"a":1}']),
        ("a.txt", b'[{"a":1},\n{"a":2}]', [b'{"a":1}', b'{"a":2}']),
        ("a.json", b'{"a":1}\n{"a":2}\n', [b'{"a":1}', b'{"a":2}']),
        ("a.jsonl", b"[1]\n[2]\n", [b"[1]", b"[2]"]),
        ("a.jsonl", b'[1,\n{"a":1}\n{"a":2}\n', [b"[1,", b'{"a":1}', b'{"a":2}']),
        ("a.jsonl", b"1\n2\n" * 15, [b"1", b"2"] * 15),
        ("a.jsonl", b"{bad\n{worse\n", [b"{bad", b"{worse"]),
        ("a.jsonl", b'{"a":1}\r\n', [b'{"a":1}']),
        ("a.jsonl", b'{"a":\r1}', [b'{"a":\r1}']),
    ],
)
def test_content_decides_between_lines_and_array(
    tmp_path: Path, name: str, data: bytes, expected: list[bytes]
) -> None:
    assert [record for _, _, record in places(read(tmp_path / name, data))] == expected
    zipped = tmp_path / f"{name}.gz"
    assert [record for _, _, record in places(read(zipped, gzip.compress(data)))] == expected


def test_a_long_first_line_that_is_an_array_is_read_whatever_its_length(tmp_path: Path) -> None:
    data = orjson.dumps([{"a": "x" * 1000, "n": number} for number in range(3000)])
    assert len(places(read(tmp_path / "a.jsonl", data))) == 3000


def test_rows_in_memory_come_in_blocks() -> None:
    rows = [{"n": number} for number in range(5)]
    found = list(blocks_of_rows(iter(rows), size=2))
    assert [block.lines for block in found] == [[1, 2], [3, 4], [5]]
    assert [row for block in found for row in block.records] == rows
    assert {block.source for block in found} == {"<memory>"}
    assert found[-1].offsets == [0]
    assert not list(blocks_of_rows([]))
