"""Datasets: positions mean what they say, nothing is copied that need not be, and everybody sees the same samples."""

from __future__ import annotations

import gc
import json
import shutil
import tracemalloc
from collections import Counter
from multiprocessing.reduction import ForkingPickler
from pathlib import Path
from typing import TYPE_CHECKING, Any

import datasets
import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DataLoader

from ktoformats import SAMPLE_KEYS, SCHEMA, ConfigError, KTODataConfig, KTODataLoader
from ktoformats.store import cache as caches
from ktoformats.store.split import leaks
from ktoformats.train.dataset import KTODataset
from ktoformats.train.export import export
from ktoformats.train.order import fewest_single_class_batches, single_class_batches
from ktoformats_plugins.exporters.jsonl import Jsonl
from ktoformats_plugins.exporters.trl import Trl

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats import Exporter

MAPS = Path("/proc/self/maps")
LOOSE: dict[str, Any] = {"balance_labels": False, "min_samples_per_label": 0, "keep": ["model"]}


def records(count: int) -> list[dict[str, Any]]:
    """Pairs, conversations and judged answers; some stand there twice."""
    made: list[dict[str, Any]] = []
    for n in range(count):
        talk = [{"role": ("user", "assistant")[i % 2], "content": f"turn {n} {i}"} for i in range(4)]
        kinds: list[dict[str, Any]] = [
            {"prompt": f"q{n // 4}", "chosen": f"good {n}", "rejected": f"bad {n}"},
            {"messages": talk, "label": n % 2, "model": "m"},
            {"prompt": f"q{n // 4}", "response": f"r{n}", "label": int(n % 8 == 2), "model": {"name": "نموذج"}},
            {"prompt": "again", "response": "and again", "label": n % 8 == 7},
        ]
        made.append(kinds[n % 4])
    return made


def loader_of(path: Path, cache: Path | None = None, **options: Any) -> KTODataLoader:
    how = {name: options.pop(name) for name in ("cache_compression",) if name in options}
    config = KTODataConfig(train_file=path, **LOOSE | options)
    return KTODataLoader(config, enable_cache=cache is not None, cache_dir=cache, **how)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("dataset")


@pytest.fixture(scope="module")
def path(folder: Path) -> Path:
    made = folder / "records.jsonl"
    made.write_text("".join(json.dumps(one) + "\n" for one in records(120)), encoding="utf-8")
    return made


@pytest.fixture(scope="module")
def dataset(path: Path, folder: Path) -> KTODataset:
    """150 samples in a memory-mapped file."""
    return loader_of(path, folder / "cache").load_dataset()


@pytest.fixture(scope="module")
def samples(dataset: KTODataset) -> list[dict[str, Any]]:
    made = list(dataset)
    assert len(made) == 150
    assert len({one["id"] for one in made}) == 150
    return made


def slices() -> st.SearchStrategy[slice]:
    ends = st.none() | st.integers(-160, 160)
    return st.builds(slice, ends, ends, st.none() | st.integers(-5, 5).filter(bool))


positions = st.lists(st.integers(-1000, 1000), max_size=12)


@settings(deadline=None, max_examples=100)
@given(st.data())
def test_positions_mean_what_they_mean_in_a_list(
    dataset: KTODataset, samples: list[dict[str, Any]], data: st.DataObject
) -> None:
    """Through any number of slices and selections, and for every way to ask."""
    made, expected = dataset, samples
    for _ in range(data.draw(st.integers(0, 3))):
        step = data.draw(slices() | positions.map(np.array) | st.integers(0, 2**20))
        if isinstance(step, slice):
            made, expected = made[step], expected[step]
        elif isinstance(step, int):
            mask = [bool(step >> place % 20 & 1) for place in range(len(expected))]
            made = made.select(data.draw(st.sampled_from([mask, np.array(mask, bool)])) if mask else [])
            expected = [one for one, kept in zip(expected, mask, strict=True) if kept]
        else:
            wanted = [int(one) % len(expected) for one in step] if expected else []
            made = made.select(data.draw(st.sampled_from([wanted, np.array(wanted, np.int32), tuple(wanted)])))
            expected = [expected[one] for one in wanted]
    assert isinstance(made, KTODataset)
    assert len(made) == len(expected)
    assert list(made) == expected
    places = [data.draw(st.integers(-len(expected), len(expected) - 1)) for _ in range(4)] if expected else []
    assert [made[place] for place in places] == [expected[place] for place in places]
    assert made.__getitems__(places) == [expected[place] for place in places]
    for key in ("id", "label", "conversation"):
        assert made[key] == [one[key] for one in expected]
    for place in (len(expected), -len(expected) - 1):
        with pytest.raises(IndexError, match=f"sample {place} of {len(expected)}"):
            made[place]


def test_every_sample_has_the_same_keys(samples: list[dict[str, Any]]) -> None:
    assert {tuple(one) for one in samples} == {SAMPLE_KEYS}
    assert all(value is not None for one in samples for value in one.values())
    assert [one["kept"] for one in samples[2:4]] == [{"model": "m"}, {"model": '{"name":"نموذج"}'}]


@pytest.mark.parametrize("mask", [[True] * 149, [True] * 151, np.zeros(149, bool)], ids=len)
def test_a_mask_has_a_bool_for_each_sample(dataset: KTODataset, mask: Any) -> None:
    with pytest.raises(IndexError, match="boolean index did not match"):
        dataset.select(mask)


def test_no_position_beyond_the_end_is_selected(dataset: KTODataset) -> None:
    with pytest.raises(IndexError, match="index 150 is out of bounds"):
        dataset.select([0, 150])


@settings(deadline=None, max_examples=25)
@given(
    shares=st.lists(st.integers(0, 9), min_size=1, max_size=4).filter(any),
    seed=st.integers(0, 9),
    chosen=st.none() | st.permutations(range(150)).map(lambda order: order[:90]),
)
def test_parts_share_nothing_and_lose_nothing(
    dataset: KTODataset, shares: list[int], seed: int, chosen: list[int] | None
) -> None:
    """No sample, conversation or first user turn stands in two parts; the order stays, whatever it is."""
    whole = dataset if chosen is None else dataset.select(chosen)
    names = [f"part{number}" for number in range(len(shares))]
    parts = whole.split(seed=seed, **{name: one / sum(shares) for name, one in zip(names, shares, strict=True)})
    assert list(parts) == names
    own = {one["id"]: number for number, part in enumerate(parts.values()) for one in part}
    every = list(whole)
    assert sum(map(len, parts.values())) == len(own) == len(every)
    for number, part in enumerate(parts.values()):
        assert list(part) == [one for one in every if own[one["id"]] == number]
        assert len(part) == 0 or shares[number] > 0
    numbers = whole._samples.numbers
    where = np.array([own[one["id"]] for one in every])
    assert leaks(where, numbers("group")[whole._rows], numbers("origin")[whole._rows]) == 0
    again = whole.split(seed=seed, **{name: one / sum(shares) for name, one in zip(names, shares, strict=True)})
    assert [one.fingerprint for one in again.values()] == [one.fingerprint for one in parts.values()]


def test_the_sides_of_a_pair_stay_together_whatever_they_answer(tmp_path: Path) -> None:
    """Also where they answer different questions; and so do others that answer one of these."""
    path = tmp_path / "r.jsonl"
    talks = [
        [[turn("user", f"q{n * 2 + side}"), turn("assistant", f"a{n}{side}")] for side in (0, 1)] for n in range(60)
    ]
    pairs = [{"chosen": good, "rejected": bad} for good, bad in talks]
    alone = [{"prompt": f"q{n * 2 + 1}", "response": "alone", "label": n % 2} for n in range(60)]
    path.write_text("".join(json.dumps(one) + "\n" for one in pairs + alone))
    parts = loader_of(path).load_dataset().split(one=0.5, other=0.5, seed=3)
    own = [{int(text[1:]) // 2 for text in part["prompt"]} for part in parts.values()]
    assert own[0] & own[1] == set()
    assert own[0] | own[1] == set(range(60))
    assert [len(part) for part in parts.values()] == [3 * len(one) for one in own]


def turn(role: str, content: str) -> dict[str, str]:
    return {"role": role, "content": content}


def test_parts_have_their_shares_of_both_labels(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    rows = [{"prompt": f"q{n}", "response": f"r{n}", "label": int(n % 5 == 0)} for n in range(1000)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    parts = loader_of(path).load_dataset().split(train=0.8, validation=0.15, test=0.05)
    assert {name: Counter(part["label"]) for name, part in parts.items()} == {
        "train": {"good": 160, "bad": 640},
        "validation": {"good": 30, "bad": 120},
        "test": {"good": 10, "bad": 40},
    }


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({}, "0 parts are named"),
        ({"train": 0.5}, "comes to 0.5; the fractions must come to 1 together"),
        ({"train": 0.9, "test": 0.2}, "comes to 1.1; the fractions must come to 1 together"),
        ({"train": 1.2, "test": -0.2}, "the fraction of train is 1.2; it must be a number from 0 to 1"),
        ({"train": 1.0, "test": -0.5}, "the fraction of test is -0.5; it must be a number from 0 to 1"),
        ({"train": True}, "the fraction of train is True"),
        ({"train": "0.5", "test": 0.5}, "the fraction of train is '0.5'"),
        ({"train": float("nan")}, "the fraction of train is nan"),
    ],
)
def test_shares_that_cannot_be_meant(dataset: KTODataset, fractions: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        dataset.split(**fractions)


def as_hf(sample: dict[str, Any]) -> dict[str, Any]:
    """The same sample with the types of the schema's columns."""
    keys = ("role", "content", "reasoning", "tool_calls", "tool_call_id", "name")
    turns = [{key: turn.get(key, "") for key in keys} for turn in sample["conversation"]]
    return sample | {"conversation": turns, "kept": None}


@pytest.mark.parametrize("options", [{}, {"cache_compression": True}], ids=["plain", "compressed"])
@pytest.mark.parametrize("cached", [True, False])
def test_a_datasets_dataset_has_the_same_samples(
    path: Path, folder: Path, samples: list[dict[str, Any]], options: dict[str, Any], *, cached: bool
) -> None:
    made = loader_of(path, folder / "cache" if cached else None, **options).load_dataset()
    for own, expected in ((made, samples), (made[::-3], samples[::-3]), (made.select([]), [])):
        theirs = own.to_hf()
        assert isinstance(theirs, datasets.Dataset)
        assert theirs.column_names == list(SAMPLE_KEYS)
        assert theirs.features == FEATURES
        rows = list(theirs)
        assert [one | {"kept": None} for one in rows] == list(map(as_hf, expected))
        kept = [orjson.loads(one["kept"]) for one in rows]
        assert [one["model"] for one in kept] == [model_of(one) for one in expected]
        if expected:
            assert theirs[-1] == rows[-1]
            assert theirs.filter(lambda label: label == "good", input_columns="label").num_rows == sum(
                one["label"] == "good" for one in expected
            )


FEATURES = datasets.Features.from_arrow_schema(pa.schema([SCHEMA.field(name) for name in SAMPLE_KEYS]))


def model_of(sample: dict[str, Any]) -> Any:
    model = sample["kept"]["model"]
    return orjson.loads(model) if model.startswith("{") else model or None


def test_the_columns_types_do_not_depend_on_the_samples(dataset: KTODataset) -> None:
    assert dataset.select([0]).to_hf().features == dataset.select([]).to_hf().features == FEATURES
    assert dataset.to_hf()._fingerprint != dataset.to_hf()._fingerprint, "who saves both keeps their caches apart"


def test_a_datasets_dataset_copies_no_text(tmp_path: Path) -> None:
    """Neither into Arrow's memory nor into Python's; and it outlives the cache."""
    path = tmp_path / "long.jsonl"
    rows = [{"prompt": f"q{n}", "response": f"r{n}" + "x" * 8000, "label": n % 2} for n in range(1000)]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    made = loader_of(path, tmp_path / "cache").load_dataset()
    assert made[0]["response"].startswith("r0x")
    gc.collect()
    tracemalloc.start()
    try:
        before = pa.total_allocated_bytes()
        theirs = made.to_hf()
        assert pa.total_allocated_bytes() - before < 100_000
        assert tracemalloc.get_traced_memory()[1] < 1_000_000
    finally:
        tracemalloc.stop()
    if MAPS.is_file():
        _, _, data = theirs.data.table.column("response").chunks[-1].buffers()
        assert any(low <= data.address < high for low, high in mapped(tmp_path / "cache"))
    del made
    gc.collect()
    shutil.rmtree(tmp_path / "cache")
    assert theirs[999]["response"].startswith("r999x")


def mapped(folder: Path) -> list[tuple[int, int]]:
    """Addresses at which files of a folder are."""
    lines = [line for line in MAPS.read_text().splitlines() if str(folder) in line]
    return [(int(low, 16), int(high, 16)) for low, high in (line.split()[0].split("-") for line in lines)]


def test_a_fingerprint_is_the_same_wherever_samples_lie(path: Path, folder: Path, tmp_path: Path) -> None:
    """Of the cache, of memory, compressed, lazy, of another place, again."""
    elsewhere = Path(shutil.copy(path, tmp_path / "other.jsonl"))
    found = {
        loader.load_dataset().fingerprint
        for loader in (
            loader_of(path, folder / "cache"),
            loader_of(path, folder / "cache"),
            loader_of(path),
            loader_of(path, lazy_loading=True),
            loader_of(path, tmp_path / "cache", cache_compression=True),
            loader_of(elsewhere, tmp_path / "cache"),
            loader_of(elsewhere, preprocessing_num_workers=2),
        )
    }
    assert len(found) == 1
    [digits] = found
    assert len(digits) == 64
    assert set(digits) <= set("0123456789abcdef")


@settings(deadline=None, max_examples=100)
@given(st.lists(st.integers(0, 149), max_size=5), st.lists(st.integers(0, 149), max_size=5))
def test_a_fingerprint_tells_which_samples_and_in_which_order(
    dataset: KTODataset, one: list[int], other: list[int]
) -> None:
    first, second = dataset.select(one).fingerprint, dataset.select(other).fingerprint
    assert (first == second) == (one == other)
    assert dataset.select(one[::-1]).fingerprint == first or one != one[::-1]


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "other"},
        {"response": "other"},
        {"label": 1},
        {"system": "other"},
        {"conversation": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "a"}]},
    ],
    ids=str,
)
def test_another_sample_has_another_fingerprint(lines: Callable[..., Path], change: dict[str, Any]) -> None:
    rows = [{"prompt": "p", "response": f"r{n}", "label": 0} for n in range(3)]
    options: dict[str, Any] = {"require_both_labels": False}
    plain = loader_of(lines(rows), **options).load_dataset()
    other = loader_of(lines([rows[0], rows[1] | change, rows[2]]), **options).load_dataset()
    assert plain.fingerprint != other.fingerprint
    assert plain[:1].fingerprint == other[:1].fingerprint


@settings(deadline=None, max_examples=40)
@given(
    chosen=st.none() | st.lists(st.integers(0, 149), max_size=60),
    seed=st.integers(0, 3),
)
def test_training_order_is_a_permutation(dataset: KTODataset, chosen: list[int] | None, seed: int) -> None:
    """Also of positions that were selected twice; both labels are in every batch that can have them."""
    made = dataset if chosen is None else dataset.select(chosen)
    order = made.training_order(seed)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(len(made)))
    good = np.array([label == "good" for label in made.select(order)["label"]], bool)
    minority = min(int(good.sum()), int((~good).sum()))
    for size in (2, 3, 8):
        assert single_class_batches(good, size) == fewest_single_class_batches(len(good), minority, size)
    if chosen is None:
        assert made.select(order).fingerprint != made.fingerprint
        turned = made[::-1]
        assert turned.select(turned.training_order(seed)).fingerprint == made.select(order).fingerprint


def exported(loader: KTODataLoader, exporter: Exporter, output: Path) -> bytes:
    view = loader._load_view("train")
    export(view, loader.report, exporter, "own", output)
    return output.read_bytes()


def test_training_order_is_that_of_what_is_written(
    path: Path, folder: Path, tmp_path: Path, dataset: KTODataset
) -> None:
    ordered = list(dataset.select(dataset.training_order()))
    texts = [(one["response"], one["label"] == "good") for one in ordered]
    written = [
        orjson.loads(line)
        for line in exported(loader_of(path, folder / "cache"), Trl(), tmp_path / "t.jsonl").splitlines()
    ]
    for rows in (written, list(dataset.to_trl())):
        assert [(row["completion"][0]["content"], row["label"]) for row in rows] == texts
    other = [one["id"] for one in dataset.select(dataset.training_order(1))]
    assert other != [one["id"] for one in ordered]
    plain = exported(loader_of(path), Jsonl(), tmp_path / "s.jsonl")
    assert [orjson.loads(line) for line in plain.splitlines()] == list(dataset), "all else keeps the source's order"


@pytest.fixture
def kept(path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> KTODataset:
    """A dataset whose view is kept in files."""
    monkeypatch.setattr(caches, "WORTH_KEEPING", 1)
    for _ in range(2):
        made = loader_of(path, folder / "kept").load_dataset()
    assert isinstance(made._rows, np.memmap)
    return made


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_read_the_same_files(kept: KTODataset, samples: list[dict[str, Any]], method: str) -> None:
    assert kept[0] == samples[0]
    loader = DataLoader(kept, batch_size=40, num_workers=1, multiprocessing_context=method, collate_fn=list)
    assert [one for batch in loader for one in batch] == samples


def filename(dataset: KTODataset) -> Any:
    assert isinstance(dataset._rows, np.memmap)
    return dataset._rows.filename


def test_a_worker_is_sent_the_rows_of_a_kept_view_as_a_path(kept: KTODataset, samples: list[dict[str, Any]]) -> None:
    sent = ForkingPickler.dumps(kept)
    again = ForkingPickler.loads(sent)
    assert filename(again) == filename(kept)
    assert list(again) == samples
    part = ForkingPickler.loads(ForkingPickler.dumps(kept[100:110]))
    assert list(part) == samples[100:110], "the rows of a part are sent themselves"
    turned = ForkingPickler.loads(ForkingPickler.dumps(kept[::-1]))
    assert list(turned) == samples[::-1]
    whole = ForkingPickler.loads(ForkingPickler.dumps(kept[:]))
    assert list(whole) == samples


@pytest.mark.parametrize("compressed", [False, True], ids=["plain", "compressed"])
def test_what_a_worker_is_sent_is_small_however_many_samples_there_are(tmp_path: Path, *, compressed: bool) -> None:
    path = tmp_path / "r.jsonl"
    path.write_text("".join(f'{{"prompt":"q{n}","response":"{n} {n}","label":{n % 2}}}\n' for n in range(100_000)))
    for _ in range(2):
        made = loader_of(path, tmp_path / "cache", keep=[], cache_compression=compressed).load_dataset()
    assert len(made) == 100_000
    assert made[99_999]["response"] == "99999 99999"
    assert made.training_order()[0] >= 0
    assert len(ForkingPickler.dumps(made)) < 2500
