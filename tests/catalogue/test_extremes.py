"""What has no bound in the data has one here: endless lines, bombs, depth, width, texts that a table holds once.

Each is met in a fresh process, whose peak of resident memory is reset first: a forked one inherits its parent's.
"""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

MIB: Final = 1 << 20
LINE_CAP: Final = 64
"""The longest line that is read, in MiB."""
MOST_MIB: Final = 160
"""What an endless line or a bomb may cost, in MiB over what the process had before."""
MOST_MIB_OF_A_TABLE: Final = 256
"""What a table may cost: so many of its rows are decoded at once that a text of a MiB stands there some 32 times."""
MOST_MIB_OF_A_RECORD: Final = 400
"""What a record may cost that is short enough to be parsed and then refused."""
GOOD: Final = b'{"prompt": "q", "response": "a", "label": "good"}'
BAD: Final = b'{"prompt": "q", "response": "a", "label": "bad"}'
HEADER: Final = b"prompt,response,label"
MILLION: Final = 1_000_000
MOST_SECONDS: Final = 20

PROBE: Final = """
import json, sys, time
from pathlib import Path

import pyarrow.parquet

from ktoformats import KTODataConfig, KTODataLoader, KTODataError, Registry
from ktoformats.read.lines import blocks

REGISTRY = Registry()
STATUS, CLEAR_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def peak():
    lines = STATUS.read_text().splitlines() if STATUS.exists() else []
    return next((int(line.split()[1]) for line in lines if line.startswith("VmHWM")), 0) / 1024


def load(path):
    config = KTODataConfig(train_file=path, balance_labels=False, min_samples_per_label=0)
    loader = KTODataLoader(config, enable_cache=False, registry=REGISTRY)
    lines = [sample["line"] for sample in loader.load_dataset("train")]
    return {"lines": lines, "rejected": dict(loader.report.total.rejected)}


def read(path):
    return {"records": sum(len(block.records) for block in blocks(Path(path)))}


how, first, *paths = sys.argv[1:]
load(first)
for path in paths:
    if CLEAR_PEAK.exists():
        CLEAR_PEAK.write_text("5")
    before, started = peak(), time.process_time()
    try:
        found = {"load": load, "read": read}[how](path)
    except KTODataError as error:
        found = {"code": getattr(error, "code", type(error).__name__)}
    found |= {"seconds": time.process_time() - started, "mib": peak() - before}
    print(json.dumps(found))
"""


class Measured(NamedTuple):
    """What became of a file, and what that cost."""

    found: dict[str, Any]
    seconds: float
    """Of processor time."""
    mib: float
    """By which the peak of resident memory rose."""


@pytest.fixture
def measure(tmp_path: Path) -> Callable[..., list[Measured]]:
    """Load (or only read) files in a fresh process, one after the other, and remove them."""

    def run(*paths: Path, how: str = "load") -> list[Measured]:
        first = tmp_path / "first.jsonl"
        first.write_bytes(GOOD + b"\n" + BAD + b"\n")  # imports what is needed
        words = [sys.executable, "-c", PROBE, how, str(first), *map(str, paths)]
        done = subprocess.run(words, capture_output=True, text=True, timeout=1800, check=False)
        assert done.returncode == 0, done.stderr[-2000:]
        told = [json.loads(line) for line in done.stdout.splitlines()]
        found = [Measured(one, one.pop("seconds"), one.pop("mib")) for one in told]
        for path in paths:
            path.unlink()  # they are large
        assert len(found) == len(paths)
        for path, one in zip(paths, found, strict=True):
            print(f"{path.name}: {one.seconds:.1f} s, {one.mib:.0f} MiB")  # noqa: T201 - the figures of a campaign are its result
        return found

    return run


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


def write(path: Path, *parts: bytes | Iterator[bytes]) -> Path:
    """Write bytes, some of them piece by piece."""
    with path.open("wb") as stream:
        for part in parts:
            stream.writelines([part] if isinstance(part, bytes) else part)
    return path


def much(text: str, mib: int) -> Iterator[bytes]:
    """So much of a text."""
    piece = text.encode() * (MIB // len(text.encode()))
    return (piece for _ in range(mib))


ENDLESS: Final[dict[str, Callable[[Path, int], Path]]] = {
    "line.jsonl": lambda path, mib: write(path, GOOD, b'\n{"prompt": "', much("q", mib), b'"}\n', BAD, b"\n"),
    "blanks.jsonl": lambda path, mib: write(path, GOOD, b"\n", much(" ", mib), b"\n", BAD, b"\n"),
    "element.json": lambda path, mib: write(
        path, b"[", GOOD, b',\n{"prompt": "', much("q", mib), b'"},\n', BAD, b"]"
    ),
    "brackets.json": lambda path, mib: write(path, b"[", GOOD, b',\n"', much("[{", mib), b'",\n', BAD, b"]"),
    "cell.csv": lambda path, mib: write(path, HEADER, b"\nq,a,good\nq,", much("😀س", mib), b",good\nq,a,bad\n"),
    "quoted.csv": lambda path, mib: write(path, HEADER, b'\nq,a,good\nq,"', much("q", mib), b'",good\nq,a,bad\n'),
}


def check_endless(found: Measured, name: str) -> None:
    assert found.found["rejected"] == {"line_too_long": 1}, name
    assert found.found["lines"] == [1 + name.endswith("csv"), 3 + name.endswith("csv")], name
    assert found.mib <= MOST_MIB, name


def test_an_endless_line_costs_itself_and_bounded_memory(
    tmp_path: Path, measure: Callable[..., list[Measured]]
) -> None:
    paths = [make(tmp_path / name, 3 * LINE_CAP) for name, make in ENDLESS.items()]
    for path, found in zip(paths, measure(*paths), strict=True):
        check_endless(found, path.name)


def test_an_endless_cell_of_many_lines_costs_itself(tmp_path: Path, measure: Callable[..., list[Measured]]) -> None:
    """The csv module holds four bytes for each character of a cell that it has begun."""
    text, mib = f"{'q' * 1023}\n", 3 * LINE_CAP
    path = write(tmp_path / "a.csv", HEADER, b'\nq,a,good\nq,"', much(text, mib), b'",good\nq,a,bad\n')
    [found] = measure(path)
    assert found.found == {"lines": [2, 4 + mib * MIB // len(text)], "rejected": {"line_too_long": 1}}
    assert found.mib <= MOST_MIB_OF_A_RECORD


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ENDLESS)
def test_a_gibibyte_of_line_costs_itself_and_bounded_memory(
    name: str, tmp_path: Path, measure: Callable[..., list[Measured]]
) -> None:
    [found] = measure(ENDLESS[name](tmp_path / name, 1024))
    check_endless(found, name)


PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gz": gzip.compress,
    "zst": zstd,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def test_an_endless_line_in_a_compressed_file_costs_itself(
    tmp_path: Path, measure: Callable[..., list[Measured]]
) -> None:
    paths = []
    for name in ("line.jsonl", "cell.csv"):
        data = ENDLESS[name](tmp_path / name, LINE_CAP + 1).read_bytes()
        paths += [write(tmp_path / f"{name}.gz", gzip.compress(data, 1)), write(tmp_path / f"{name}.zst", zstd(data))]
    for path, found in zip(paths, measure(*paths), strict=True):
        check_endless(found, path.stem)


def bomb(path: Path, kind: str, text: bytes) -> Path:
    """A gibibyte and more, in members of 64 MiB."""
    return write(path, PACK[kind](text * (LINE_CAP * MIB)) * (1024 // LINE_CAP + 1))


def check_bomb(found: Measured) -> None:
    assert found.found == {"code": "too_large"}
    assert found.mib <= MOST_MIB
    assert found.seconds <= MOST_SECONDS


def test_a_gibibyte_of_newlines_is_stopped(tmp_path: Path, measure: Callable[..., list[Measured]]) -> None:
    """Spaces are case 55; in less than a gibibyte the codecs are compared in the tests of the reader."""
    [found] = measure(bomb(tmp_path / "newlines.zst", "zst", b"\n"))
    check_bomb(found)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("text", [b" ", b"\n"], ids=["spaces", "newlines"])
@pytest.mark.parametrize("kind", PACK)
def test_a_gibibyte_in_any_compression_is_stopped(
    kind: str, text: bytes, tmp_path: Path, measure: Callable[..., list[Measured]]
) -> None:
    [found] = measure(bomb(tmp_path / f"bomb.{kind}", kind, text))
    check_bomb(found)


OPEN, CLOSED = b'{"a": ' * MILLION, b"1" + b"}" * MILLION
LISTS: Final = b"[" * MILLION + b"]" * MILLION
WITHIN: Final = b'{"prompt": "q", "response": "a", "label": "good", "x": %s}'
KEYS: Final = b"".join(b', "k%d": %d' % (number, number) for number in range(MILLION))

DEEP: Final = {
    "lists within": WITHIN % LISTS,
    "lists": LISTS,
    "lists that are not closed": b"[" * MILLION,
    "objects within": WITHIN % (OPEN + CLOSED),
    "objects": OPEN + CLOSED,
    "objects that are not closed": OPEN,
    "brackets closed": b"]" * MILLION,
    "both in turn": b'[{"a": ' * MILLION,
}
WIDE: Final = {
    "keys": GOOD[:-1] + KEYS + b"}",
    "keys within": WITHIN % (b'{"k": 0' + KEYS + b"}"),
    "items": WITHIN % (b"[0" + b",0" * MILLION + b"]"),
    "empty lists": WITHIN % (b"[[]" + b",[]" * MILLION + b"]"),
    "lists of empty lists": WITHIN % (b"[[0]" + b",[%s[]]" % (b"[]," * 50_000) * 400 + b"]"),
    "lists of empty objects": WITHIN % (b"[[0]" + b",[%s{}]" % (b"{}," * 50_000) * 400 + b"]"),
    "lists a thousand deep": WITHIN % (b"[0" + b",%s%s" % (b"[" * 1000, b"]" * 1000) * 30_000 + b"]"),
}


def test_a_million_levels_or_items_cost_their_record(tmp_path: Path, measure: Callable[..., list[Measured]]) -> None:
    reasons = (
        dict.fromkeys(DEEP, "too_deep") | dict.fromkeys(WIDE, "too_many_items") | {"brackets closed": "invalid_json"}
    )
    lines = {
        write(tmp_path / f"{what}.jsonl", GOOD, b"\n", hostile, b"\n", BAD, b"\n"): reasons[what]
        for what, hostile in (DEEP | WIDE).items()
    }
    array = write(
        tmp_path / "array.json",
        *(b"[", GOOD, b",\n", DEEP["lists"], b",\n", DEEP["objects within"], b",\n", WIDE["keys"], b",\n", BAD, b"]"),
    )
    open_end = write(tmp_path / "open end.jsonl", GOOD, b"\n", BAD, b"\n", WIDE["lists of empty lists"])
    *found, tail, last = measure(*lines, open_end, array)
    for (path, reason), one in zip(lines.items(), found, strict=True):
        assert one.found == {"lines": [1, 3], "rejected": {reason: 1}}, path.name
    assert tail.found == {"lines": [1, 2], "rejected": {"too_many_items": 1}}
    assert last.found == {"lines": [1, 5], "rejected": {"too_deep": 2, "too_many_items": 1}}
    assert max(one.mib for one in (*found, tail, last)) <= MOST_MIB_OF_A_RECORD
    assert max(one.seconds for one in (*found, tail, last)) < MOST_SECONDS


def test_a_million_columns_cost_bounded_time(tmp_path: Path, measure: Callable[..., list[Measured]]) -> None:
    names = b"".join(b",k%d" % number for number in range(MILLION))
    many = write(tmp_path / "columns.csv", HEADER, names, b"\nq,a,good", b"," * MILLION, b"\n")
    cells = write(tmp_path / "cells.csv", HEADER, b"\nq,a,good\nq", b"," * MILLION, b"\nq,a,bad\n")
    twice = write(tmp_path / "twice.csv", HEADER, names, b",k7\nq,a,good\n")
    columns, ragged, named = measure(many, cells, twice)
    assert columns.found == {"code": "EmptyDatasetError"}  # an object of a million keys, and nothing else
    assert ragged.found == {"lines": [2, 4], "rejected": {"ragged_row": 1}}
    assert named.found == {"code": "wrong_format"}
    assert max(columns.seconds, ragged.seconds, named.seconds) < MOST_SECONDS
    assert max(columns.mib, ragged.mib, named.mib) <= MOST_MIB_OF_A_RECORD


def test_a_text_that_a_table_holds_once_costs_bounded_memory(
    tmp_path: Path, measure: Callable[..., list[Measured]]
) -> None:
    """Some kilobytes say 300 MiB, and a row of a hundred such texts is never made an object."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * 300, pa.int32()), pa.array(["q" * MIB]))
    turns = pa.StructArray.from_arrays([texts], ["content"])
    lists = pa.ListArray.from_arrays(pa.array(range(301), pa.int32()), turns)
    plain = pa.list_(pa.struct([("content", pa.string())]))
    paths = [
        tmp_path / name for name in ("flat.parquet", "nested.parquet", "flat.arrow", "nested.arrow", "row.arrow")
    ]
    pq.write_table(pa.table({"prompt": texts.cast(pa.string())}), paths[0])
    pq.write_table(pa.table({"messages": lists.cast(plain)}), paths[1])
    heavy = pa.ListArray.from_arrays(pa.array([0, 0, 100, 100], pa.int32()), texts)
    for path, column in zip(paths[2:], (texts, lists, heavy), strict=True):
        table = pa.table({"x": column})
        with pa.ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table)
    assert max(path.stat().st_size for path in paths) < 2 * MIB
    found = measure(*paths, how="read")
    assert [one.found for one in found] == [{"records": 300}] * 4 + [{"records": 2}]
    assert max(one.mib for one in found) <= MOST_MIB_OF_A_TABLE
