"""Samples are the same wherever they lie: in memory, in files, compressed, with or without their sources' names."""

from __future__ import annotations

import gc
import tempfile
from itertools import accumulate
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats.feedback import NUMBERS, SCHEMA
from ktoformats.store import samples as stored
from ktoformats.store import sink as sinks
from ktoformats.store.numbers import numbers_of
from ktoformats.store.part import DATA_FILE, NUMBERS_FILE, Part, forget_pages
from ktoformats.store.samples import LABEL_BIT, Samples
from ktoformats.store.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DESCRIPTORS = Path("/proc/self/fd")
MAPPINGS = Path("/proc/self/smaps")
KINDS = ("memory", "chunks", "file", "compressed", "temporary")
TAGS: tuple[dict[str, Any], ...] = ({}, {"tags": ["ع", 'q"'], "licence": "cc"}, {"licence": "mit"})


@pytest.fixture(autouse=True, scope="module")
def _small_batches() -> Iterator[None]:
    """Files of many batches, though of few samples."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sinks, "ROWS_PER_BATCH", 7)
        patch.setattr(sinks, "ROWS_PER_COMPRESSED_BATCH", 3)
        yield


class Row(NamedTuple):
    """What of a sample matters here."""

    answer: int = 0
    good: bool = True
    pair: int = 0
    source: int = 0
    kept: str = ""


class Kind(NamedTuple):
    """How a part is held."""

    how: str
    coded: bool
    tags: dict[str, Any]


def sample(row: Row, line: int) -> dict[str, Any]:
    answer = (row.answer + 1) * 0x9E3779B97F4A7C15 % 2**64 & ~int(LABEL_BIT)
    made: dict[str, Any] = {one.name: f"{one.name} {row.answer}" for one in SCHEMA}
    return made | {
        "id": f"{answer | int(LABEL_BIT) * row.good:016x}{row.answer:016x}",
        "label": "good" if row.good else "bad",
        "conversation": [{"role": "user", "content": f"é{row.answer}", **REST}] * (row.answer % 3),
        "response_quality": 0.5,
        "utility_score": float(row.answer),
        "weight": 1.0,
        "group": f"{row.answer:016x}",
        "origin": f"{row.answer // 2:016x}",
        "pair": f"{row.pair:016x}" if row.pair else "",
        "source": f"/folder/{row.source}.jsonl",
        "line": line,
        "kept": row.kept,
        "position": None,
        "rank": None,
    }


REST = {"reasoning": "", "tool_calls": "", "tool_call_id": "", "name": ""}
rows_of_a_part = st.lists(
    st.builds(
        Row,
        st.integers(0, 6),
        st.booleans(),
        st.integers(0, 3),
        st.integers(0, 3),
        st.sampled_from(["", '{"m":1}', '{"نص":null,"b":"}"}']),
    ),
    max_size=12,
)
kinds = st.builds(Kind, st.sampled_from(KINDS), st.booleans(), st.sampled_from(TAGS))
many_parts = st.lists(st.tuples(rows_of_a_part, kinds), min_size=1, max_size=4)


def part_of(table: pa.Table, kind: Kind, folder: Path) -> Part:
    if kind.how == "memory":
        return Part(len(table), table=table)
    if kind.how == "chunks":
        return Part(
            len(table), table=pa.concat_tables([table.slice(at, 2) for at in range(0, len(table), 2)] or [table])
        )
    if kind.how == "temporary":
        sink = Sink(in_memory=0, buffered=4, coded=kind.coded)
    else:
        folder.mkdir()
        sink = Sink(folder, buffered=4, compression=kind.how == "compressed", coded=kind.coded)
    for batch in table.to_batches(max_chunksize=5):
        sink.write([batch])
    return sink.finish()


class Made(NamedTuple):
    """Samples, and the same by hand."""

    samples: Samples
    expected: list[dict[str, Any]]

    def of(self, rows: Sequence[int], names: Sequence[str] = SCHEMA.names) -> list[dict[str, Any]]:
        return [{name: self.expected[row][name] for name in names} for row in rows]


def made_of(parts: Sequence[tuple[list[Row], Kind]], folder: str | Path) -> Made:
    expected: list[dict[str, Any]] = []
    held = []
    for number, (rows, kind) in enumerate(parts):
        own = [sample(row, line) for line, row in enumerate(rows, len(expected))]
        held.append(part_of(pa.Table.from_pylist(own, SCHEMA), kind, Path(folder, str(number))))
        expected += [one | {"kept": with_tags(one["kept"], kind.tags)} for one in own]
    return Made(Samples(held, [kind.tags for _, kind in parts]), expected)


def with_tags(kept: str, tags: dict[str, Any]) -> str:
    return orjson.dumps(orjson.loads(kept or "{}") | tags).decode() if tags else kept


@settings(deadline=None, max_examples=40)
@given(many_parts, st.data())
def test_some_samples_are_taken_in_any_order(parts: list[tuple[list[Row], Kind]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = made_of(parts, folder)
        count = len(made.expected)
        assert len(made.samples) == count
        rows = data.draw(st.lists(st.integers(0, count - 1), max_size=40) if count else st.just([]))
        names = data.draw(st.lists(st.sampled_from(SCHEMA.names), min_size=1, unique=True))
        taken = made.samples.take(np.array(rows, np.int64))
        assert taken.schema.equals(SCHEMA)
        assert taken.to_pylist() == made.of(rows)
        some = made.samples.take(np.array(rows, np.int64), names)
        assert some.schema.names == names
        assert some.to_pylist() == made.of(rows, names)
        every = range(count)
        assert made.samples.take(np.arange(count)).to_pylist() == made.of(every)
        assert made.samples.combined().take(np.array(rows, np.int64)).to_pylist() == made.of(rows)


@settings(deadline=None, max_examples=30)
@given(many_parts, st.lists(st.sampled_from(SCHEMA.names), min_size=1, unique=True))
def test_all_samples_are_handed_out_in_order(parts: list[tuple[list[Row], Kind]], names: list[str]) -> None:
    """In batches and as one table, all columns and some."""
    with tempfile.TemporaryDirectory() as folder:
        made = made_of(parts, folder)
        every = range(len(made.expected))
        batches = list(made.samples.batches())
        assert all(batch.schema.equals(SCHEMA) for batch in batches)
        assert [one for batch in batches for one in batch.to_pylist()] == made.of(every)
        some = [one for batch in made.samples.batches(names) for one in batch.to_pylist()]
        assert some == made.of(every, names)
        whole = made.samples.whole(names)
        assert whole.schema.names == names
        assert whole.to_pylist() == made.of(every, names)


@settings(deadline=None, max_examples=30)
@given(many_parts)
def test_numbers_are_those_of_all_samples(parts: list[tuple[list[Row], Kind]]) -> None:
    """Also where one source's samples lie in several parts."""
    with tempfile.TemporaryDirectory() as folder:
        made = made_of(parts, folder)
        table = pa.Table.from_pylist(made.expected, SCHEMA).combine_chunks()
        by_hand = numbers_of(table.to_batches()[0] if len(table) else pa.RecordBatch.from_pylist([], SCHEMA))
        for name in NUMBERS.names:
            assert made.samples.numbers(name).tolist() == by_hand.column(name).to_pylist()
        sources = made.samples.sources
        assert len(set(sources)) == len(sources)
        assert [sources[code] for code in made.samples.numbers("source")] == [one["source"] for one in made.expected]
        assert made.samples.good.tolist() == [one["label"] == "good" for one in made.expected]


@settings(deadline=None, max_examples=30)
@given(many_parts, st.data())
def test_numbers_of_some_samples_are_looked_up_alike(
    parts: list[tuple[list[Row], Kind]], data: st.DataObject
) -> None:
    """Of few, which are sought where they lie, and of many."""
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        made = made_of(parts, folder)
        patch.setattr(stored, "_FEW", data.draw(st.sampled_from([1, 8])))
        count = len(made.expected)
        rows = np.array(
            data.draw(st.lists(st.integers(0, count - 1), max_size=8) if count else st.just([])), np.int64
        )
        for name in (*NUMBERS.names, "source"):
            fresh = Samples(made.samples.parts)
            found = fresh.numbers(name, rows)
            assert found.tolist() == fresh.numbers(name)[rows].tolist() == fresh.numbers(name, rows).tolist()
            assert found.dtype == fresh.numbers(name).dtype


@settings(deadline=None, max_examples=30)
@given(many_parts)
def test_answers_that_stand_there_more_than_once(parts: list[tuple[list[Row], Kind]]) -> None:
    """With one label or with both: by answer, by pair, by row."""
    with tempfile.TemporaryDirectory() as folder:
        made = made_of(parts, folder)
        keys = [int(one["id"][:16], 16) & ~int(LABEL_BIT) for one in made.expected]
        pairs = [int(one["pair"] or "0", 16) for one in made.expected]
        again = [row for row, key in enumerate(keys) if keys.count(key) > 1]
        assert made.samples.again.tolist() == sorted(again, key=lambda row: (keys[row], pairs[row], row))


@settings(deadline=None, max_examples=20)
@given(many_parts, st.data())
def test_copies_stand_behind_the_samples(parts: list[tuple[list[Row], Kind]], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory() as folder:
        made = made_of(parts, folder)
        count = len(made.expected)
        rows = data.draw(st.lists(st.integers(0, count - 1), max_size=20) if count else st.just([]))
        copied = made.samples.with_copies(np.array(rows, np.int64))
        every = [*range(count), *rows]
        assert copied.take(np.arange(len(every))).to_pylist() == made.of(every)
        assert [copied.sources[code] for code in copied.numbers("source")] == [
            made.expected[row]["source"] for row in every
        ]
        assert copied.numbers("key").tolist() == made.samples.numbers("key")[every].tolist()


@pytest.mark.parametrize("how", KINDS)
@pytest.mark.parametrize("rows", [[0, 2, 1, 3], [1, 1, 3], [5, 5, 7, 7, 9], [3, 4, 5], [4], [6, 5, 4]], ids=str)
def test_only_consecutive_samples_are_a_run(tmp_path: Path, how: str, rows: list[int]) -> None:
    made = made_of([([Row(answer) for answer in range(10)], Kind(how, True, {}))], tmp_path)
    assert made.samples.take(np.array(rows)).to_pylist() == made.of(rows)


def of_files(folder: Path, count: int = 60, *, names: int = 3) -> Samples:
    """Two files of samples, a plain one and a compressed one."""
    rows = [Row(answer=one, good=one % 2 == 0, source=one % names) for one in range(count)]
    return made_of([(rows, Kind("file", True, {})), (rows, Kind("compressed", True, {}))], folder).samples


def used(samples: Samples) -> Samples:
    """After everything was asked of them."""
    for name in (*NUMBERS.names, "source"):
        samples.numbers(name)
    assert len(samples.again)
    assert samples.sources
    assert sum(map(len, samples.batches())) == len(samples)
    samples.take(np.arange(len(samples))[::-3])
    samples.whole(["response"])
    return samples


@pytest.mark.skipif(not DESCRIPTORS.is_dir(), reason="needs /proc")
def test_files_are_not_held_open(tmp_path: Path) -> None:
    """Thousands of shards would else need as many descriptors as a process may have."""
    samples = used(of_files(tmp_path))
    assert len(samples) == 120
    targets = [one.readlink() for one in DESCRIPTORS.iterdir() if one.is_symlink()]
    assert [one for one in targets if tmp_path in one.parents] == []


def test_other_processes_are_sent_paths_and_no_texts(tmp_path: Path) -> None:
    """Neither before nor after they were used; and another process reads the same."""
    samples = of_files(tmp_path)
    fresh = len(ForkingPickler.dumps(samples))
    sent = ForkingPickler.dumps(used(samples))
    assert fresh == len(sent) < 4000
    again = ForkingPickler.loads(sent)
    assert again.take(np.arange(120)).equals(samples.take(np.arange(120)))
    assert again.numbers("source").tolist() == samples.numbers("source").tolist()


def test_how_many_samples_there_are_makes_no_difference_to_what_is_sent(tmp_path: Path) -> None:
    table = pa.Table.from_pylist([sample(Row(one), one) for one in range(200)] * 100, SCHEMA)
    with pytest.MonkeyPatch.context() as patch:
        patch.undo()
        patch.setattr(sinks, "ROWS_PER_BATCH", 65_536)
        sink = Sink(tmp_path)
        sink.write(table.to_batches())
        samples = used(Samples([sink.finish()]))
    assert len(samples) == 20_000
    assert len(ForkingPickler.dumps(samples)) < 8_000, "200 names of a source, and no more"


def test_whole_tables_of_plain_files_are_not_copied(tmp_path: Path) -> None:
    rows = [Row(answer=one) for one in range(500)]
    samples = made_of([(rows, Kind("file", True, {})), (rows, Kind("file", True, TAGS[1]))], tmp_path).samples
    before = pa.total_allocated_bytes()
    whole = samples.whole(["id", "prompt", "response", "conversation"])
    assert pa.total_allocated_bytes() - before < 2000
    data = whole.column("response").combine_chunks().nbytes
    assert data > 2000
    del samples
    gc.collect()
    assert whole.column("response")[-1].as_py() == "response 499"


def resident(path: Path) -> int:
    """Bytes of a mapped file that are in memory."""
    found, own = 0, False
    for line in MAPPINGS.read_text().splitlines():
        if "-" in line.split(" ")[0]:
            own = line.endswith(str(path))
        elif own and line.startswith("Rss:"):
            found += int(line.split()[1]) * 1024
    return found


@pytest.mark.skipif(not MAPPINGS.is_file(), reason="needs /proc")
def test_memory_of_mapped_files_is_given_back(tmp_path: Path) -> None:
    row = sample(Row(), 0) | {"response": "q" * 10_000}
    sink = Sink(tmp_path)
    for _ in range(100):
        sink.write([pa.RecordBatch.from_pylist([row] * 7, SCHEMA)])
    samples = Samples([sink.finish()])
    whole = samples.whole(["response"])
    assert set(whole.column("response").to_pylist()) == {"q" * 10_000}
    assert resident(tmp_path / DATA_FILE) > 5_000_000
    forget_pages()
    assert resident(tmp_path / DATA_FILE) == 0
    most = 0
    for number, batch in enumerate(samples.batches(["response"])):
        assert set(batch.column(0).to_pylist()) == {"q" * 10_000}
        most = max(most, resident(tmp_path / DATA_FILE) if number % 20 == 0 else 0)
    assert 0 < most < 1_000_000
    assert resident(tmp_path / DATA_FILE) == 0
    assert set(whole.column("response").to_pylist()) == {"q" * 10_000}, "what is needed again is read again"
    del samples
    gc.collect()
    assert resident(tmp_path / DATA_FILE) > 5_000_000, "a table keeps what it is of"
    forget_pages()
    assert resident(tmp_path / DATA_FILE) == 0, "also when nobody but a table holds it"
    del whole, batch
    gc.collect()
    assert str(tmp_path) not in MAPPINGS.read_text()


def test_a_temporary_folder_goes_with_its_part() -> None:
    made = made_of([([Row()] * 9, Kind("temporary", False, {}))], "")
    folder = made.samples.parts[0].path
    assert folder is not None
    assert sorted(one.name for one in folder.iterdir()) == sorted([DATA_FILE, NUMBERS_FILE])
    sent = ForkingPickler.loads(ForkingPickler.dumps(made.samples))
    del sent
    gc.collect()
    assert folder.is_dir(), "what another process is sent owns nothing"
    table = made.samples.whole(SCHEMA.names)
    expected = made.expected
    del made
    gc.collect()
    assert not folder.exists()
    assert table.to_pylist() == expected, "what is mapped can still be read"


def test_consecutive_samples_in_memory_are_not_copied() -> None:
    samples = made_of([([Row(one) for one in range(50)], Kind("memory", False, {}))], "").samples
    before = pa.total_allocated_bytes()
    taken = samples.take(np.arange(10, 40))
    assert pa.total_allocated_bytes() - before < 200
    assert taken.column("line").to_pylist() == list(range(10, 40))


def test_every_part_begins_where_the_one_before_it_ends(tmp_path: Path) -> None:
    parts = [([Row()] * count, Kind(kind, True, {})) for count, kind in zip((3, 0, 8, 1, 0), KINDS, strict=True)]
    made = made_of(parts, tmp_path)
    assert made.samples.starts == list(accumulate((3, 0, 8, 1, 0), initial=0))
    assert made.samples.take(np.array([11, 3, 2, 10, 0])).column("line").to_pylist() == [11, 3, 2, 10, 0]
