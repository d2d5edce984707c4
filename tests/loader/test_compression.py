"""A compressed cache gives what a plain one gives, everywhere; and one sample costs one small block."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pytest

from ktoformats import SAMPLE_KEYS, KTODataConfig, KTODataLoader
from ktoformats.store import cache as caches
from ktoformats.store import part as parts
from ktoformats.train import decode
from ktoformats.train.export import export
from ktoformats_plugins.exporters.jsonl import Jsonl
from ktoformats_plugins.exporters.parquet import Parquet
from ktoformats_plugins.exporters.trl import Trl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ktoformats import Exporter
    from ktoformats.train.dataset import KTODataset

ROWS = 1024
"""Samples of a compressed block."""


def records(count: int, name: str) -> list[dict[str, Any]]:
    made: list[dict[str, Any]] = []
    for n in range(count):
        talk = [{"role": ("user", "assistant")[i % 2], "content": f"{name} {n} {i}"} for i in range(2 + n % 3 * 2)]
        kinds: list[dict[str, Any]] = [
            {"prompt": f"{name}{n // 5}", "response": "same words " * (n % 4) + f"r{n}", "label": int(n % 8 == 0)},
            {"messages": talk, "label": int(n % 3 == 0), "model": "نموذج"},
            {"prompt": f"{name}{n}", "chosen": "yes", "rejected": "no", "votes": n},
            {"prompt": "again", "response": f"again {n % 9}", "label": n % 2},
        ]
        made.append(kinds[n % 4])
    return made


@pytest.fixture(scope="module", autouse=True)
def _all_are_kept() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(caches, "WORTH_KEEPING", 1)
        yield


@pytest.fixture(scope="module")
def loaders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, KTODataLoader]]:
    """Two files, of 2500 and of some more samples, with what their sources add; and one that gives none."""
    folder = tmp_path_factory.mktemp("compression")
    for name, count in (("one", 2000), ("two", 300), ("none", 0)):
        rows = records(count, name) or [{"prompt": "p", "response": "r", "label": None}]
        (folder / name).with_suffix(".jsonl").write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    sources = [
        {"path": str(folder / "one.jsonl"), "tags": ["ع"]},
        {"path": str(folder / "none.jsonl")},
        {"path": str(folder / "two.jsonl"), "licence": "mit"},
    ]

    def make(**options: Any) -> dict[str, KTODataLoader]:
        values = {"keep": ["model", "votes"], "min_samples_per_label": 0} | options
        config = KTODataConfig(sources=sources, **values)
        return {
            name: KTODataLoader(config, cache_dir=folder / name, cache_compression=name == "packed")
            for name in ("plain", "packed")
        }

    return make


Both = tuple["KTODataset", "KTODataset"]


@pytest.fixture
def both(loaders: Callable[..., dict[str, KTODataLoader]]) -> Both:
    plain, packed = (one.load_dataset() for one in loaders().values())
    held = [(part.compressed, part.lengths) for part in packed._samples.parts]
    assert held == [(True, (ROWS, ROWS, 452)), (True, ()), (True, (375,))]
    assert not any(part.compressed for part in plain._samples.parts)
    return plain, packed


def test_a_dataset_is_the_same(both: Both) -> None:
    plain, packed = both
    expected = list(plain)
    assert len(expected) > 1500
    assert list(packed) == expected
    assert packed.fingerprint == plain.fingerprint
    for key in SAMPLE_KEYS:
        assert packed[key] == plain[key]
    assert expected[0]["kept"]["tags"] == '["ع"]'
    assert expected[-1]["kept"]["licence"] == "mit"
    assert packed[-1] == expected[-1]
    assert list(packed[1000:1100]) == expected[1000:1100]
    places = random.Random(1).choices(range(len(expected)), k=200)
    assert list(packed.select(places)) == [expected[place] for place in places]
    assert packed.__getitems__(places) == [expected[place] for place in places]


def test_parts_and_orders_are_the_same(both: Both) -> None:
    plain, packed = both
    for name, own in packed.split(train=0.7, test=0.3).items():
        assert list(own) == list(plain.split(train=0.7, test=0.3)[name])
    assert packed.training_order(3).tolist() == plain.training_order(3).tolist()


def test_other_libraries_are_handed_the_same(both: Both) -> None:
    plain, packed = both
    ours, theirs = packed.to_hf(), plain.to_hf()
    assert ours.features == theirs.features
    assert list(ours) == list(theirs)
    assert list(packed.to_trl()) == list(plain.to_trl())


@pytest.mark.parametrize("exporter", [Trl(), Jsonl(), Parquet()], ids=lambda one: type(one).__name__)
def test_written_files_are_the_same(
    loaders: Callable[..., dict[str, KTODataLoader]], tmp_path: Path, exporter: Exporter
) -> None:
    written = []
    for how, loader in loaders().items():
        view = loader._load_view("train")
        output = tmp_path / f"{how}{exporter.suffix}"
        export(view, loader.report, exporter, "own", output)
        written.append(output.read_bytes())
    assert written[0] == written[1]
    assert len(written[0]) > 10_000


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"min_response_length": 6},
        {"conflict": "drop", "duplicates": "drop"},
        {"conflict": "last", "time_column": "votes"},
        {"validation_fraction": 0.2},
        {"pairwise_sampling_strategy": "balanced", "label_imbalance_tolerance": 0},
        {"scales": {"stars": "thumbs"}},
    ],
    ids=str,
)
def test_what_is_chosen_is_the_same(
    loaders: Callable[..., dict[str, KTODataLoader]], options: dict[str, Any]
) -> None:
    """The first time and when it is kept, down to what is told."""
    for _ in range(2):
        found = []
        for loader in loaders(**options).values():
            view = loader._load_view("train")
            found.append((view, loader.report.to_json()))
        (plain, told), (packed, packed_told) = found
        assert plain.diff(packed) == []
        assert plain.names == packed.names
        assert plain.dropped == packed.dropped
        assert plain.keys().tolist() == packed.keys().tolist()
        assert plain.take(plain.chosen).equals(packed.take(packed.chosen))
        assert told == packed_told


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, tuple[str, ...], int]]:
    """What is decoded: the number of the block, the columns, the rows."""
    found: list[tuple[int, tuple[str, ...], int]] = []
    read = parts._decoded.__wrapped__

    def seen(mapped: Any, number: int, names: tuple[str, ...]) -> pa.RecordBatch:
        batch = read(mapped, number, names)
        found.append((number, names, len(batch)))
        return batch

    monkeypatch.setattr(parts, "_decoded", seen)
    return found


def test_one_sample_costs_one_block(both: Both, decoded: list[Any]) -> None:
    plain, packed = both
    first = sum(row < 2500 for row in packed._rows.tolist())
    assert packed[0] == plain[0]
    assert decoded == [(0, SAMPLE_KEYS, ROWS)]
    assert packed[1] == plain[1]
    assert len(decoded) == 1, "a block that is open is not decoded again"
    assert packed[first - 1] == plain[first - 1]
    assert decoded[1:] == [(2, SAMPLE_KEYS, 452)]
    assert packed[-1] == plain[-1]
    assert decoded[2:] == [(0, SAMPLE_KEYS, 375)]
    places = random.Random(2).choices(range(len(plain)), k=500)
    assert [packed[place]["id"] for place in places] == [plain[place]["id"] for place in places]
    assert len(decoded) == 4, "each block once, in whatever order samples are asked for"


def test_writing_in_training_order_decodes_each_block_once(
    loaders: Callable[..., dict[str, KTODataLoader]], decoded: list[Any], tmp_path: Path
) -> None:
    """Who jumps about in compressed samples would decode each again and again; what is dropped is not written."""
    loader = loaders()["packed"]
    view = loader._load_view("train")
    decoded.clear()
    export(view, loader.report, Trl(), "trl", tmp_path / "out.jsonl")
    assert [(number, rows) for number, _, rows in decoded] == [(0, ROWS), (1, ROWS), (2, 452), (0, 375)]
    assert len((tmp_path / "out.jsonl").read_bytes().splitlines()) == len(view.chosen) < len(view.samples)


def test_a_column_costs_the_memory_of_a_column(both: Both) -> None:
    _, packed = both
    mapped = packed._samples.parts[0]._samples
    peaks = []
    for names in (("label",), SAMPLE_KEYS):
        before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
        pa.set_memory_pool(pool)
        try:
            assert len(parts._decoded.__wrapped__(mapped, 0, names)) == ROWS
        finally:
            pa.set_memory_pool(before)
        peaks.append(pool.max_memory())
    assert 0 < peaks[0] < peaks[1] / 4


def test_one_column_decodes_no_other(both: Both, decoded: list[Any]) -> None:
    plain, packed = both
    assert packed["response"] == plain["response"]
    assert {names for _, names, _ in decoded} == {("response",)}
    assert sorted(number for number, *_ in decoded) == [0, 0, 1, 2]


def test_what_is_asked_of_numbers_decodes_nothing(
    loaders: Callable[..., dict[str, KTODataLoader]], decoded: list[Any]
) -> None:
    """A new threshold, and a split, the training order, a fingerprint."""
    loaders()["packed"].load_dataset()
    decoded.clear()
    made = loaders(max_response_length=39, random_seed=5)["packed"].load_dataset()
    assert len(made) > 100
    assert [len(part) > 0 for part in made.split(train=0.5, test=0.5).values()] == [True, True]
    assert len(made.training_order()) == len(made)
    assert len(made.fingerprint) == 64
    assert [names for _, names, _ in decoded if "prompt" in names] == []


def test_who_goes_through_many_blocks_holds_few(
    both: Both, decoded: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "_DECODED", 2)
    plain, packed = both
    packed = packed.select(range(len(packed)))
    packed._opened = None
    assert list(packed) == list(plain)
    opened = [chunk for chunk in packed._access._decoder._chunks if chunk is not None]
    assert len(opened) == 2
    assert len(decoded) == 4
