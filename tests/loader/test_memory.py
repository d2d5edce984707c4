"""Where samples are: in memory, in a temporary folder that goes with the dataset, or in the cache."""

from __future__ import annotations

import gc
import multiprocessing
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import KTODataConfig, KTODataLoader, RejectBudgetError
from ktoformats.feedback import SCHEMA
from ktoformats.store import sink as sinks
from ktoformats.store.sink import Sink

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import pyarrow as pa

    from ktoformats.train.dataset import KTODataset

LOOSE: dict[str, Any] = {"balance_labels": False, "min_samples_per_label": 0}
MEMORY, TEMPORARY, CACHE = "memory", "a temporary folder", "the cache"


@pytest.fixture
def temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder for temporary files, of this test alone; nothing is left in it when the test is over."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    yield folder
    gc.collect()
    assert list(folder.iterdir()) == []


@pytest.fixture
def twenty(lines: Callable[..., Path]) -> Path:
    return lines({"prompt": f"q{n}", "response": f"r{n}", "label": n % 2} for n in range(20))


def load(path: Path, cache: Path | None = None, **options: Any) -> KTODataset:
    config = KTODataConfig(train_file=path, **LOOSE, **options)
    return KTODataLoader(config, enable_cache=cache is not None, cache_dir=cache).load_dataset()


def where(dataset: KTODataset, temporary: Path, cache: Path | None = None) -> str:
    [part] = dataset._samples.parts
    assert part.rows == 20
    if part.path is None:
        return MEMORY
    assert (part.path / "samples.arrow").is_file()
    if part.path.parent == temporary:
        return TEMPORARY
    assert cache is not None
    assert cache in part.path.parents
    return CACHE


OPTIONS: list[tuple[dict[str, Any], str]] = [
    ({}, MEMORY),
    ({"lazy_loading": True}, TEMPORARY),
    ({"streaming": True}, TEMPORARY),
    ({"streaming": True, "buffer_size": 1}, TEMPORARY),
    ({"buffer_size": 1}, MEMORY),
    ({"max_samples_in_memory": 20}, MEMORY),
    ({"max_samples_in_memory": 19}, TEMPORARY),
    ({"max_samples_in_memory": 1}, TEMPORARY),
    ({"max_samples_in_memory": 20, "buffer_size": 1}, MEMORY),
    ({"max_samples_in_memory": 20, "lazy_loading": True}, TEMPORARY),
    ({"max_samples_in_memory": 20, "streaming": True}, TEMPORARY),
]


@pytest.mark.parametrize(("options", "place"), OPTIONS, ids=str)
def test_every_option_has_one_meaning(
    twenty: Path, temporary: Path, tmp_path: Path, options: dict[str, Any], place: str
) -> None:
    expected = [f"r{n}" for n in range(20)]
    made = load(twenty, **options)
    assert where(made, temporary) == place
    assert made["response"] == expected
    assert len(list(temporary.iterdir())) == (place == TEMPORARY)
    cached = load(twenty, tmp_path / "cache", **options)
    assert where(cached, temporary, tmp_path / "cache") == CACHE, "what is kept is in files, and stays there"
    assert cached["response"] == expected
    assert len(list(temporary.iterdir())) == (place == TEMPORARY), "the cache needs no other folder"


def test_few_long_samples_are_not_held_in_memory(
    twenty: Path, temporary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Unless a number of samples was asked for."""
    assert sinks.BYTES_IN_MEMORY == 32 << 20
    monkeypatch.setattr(sinks, "BYTES_IN_MEMORY", 1000)
    assert where(load(twenty), temporary) == TEMPORARY
    assert where(load(twenty, max_samples_in_memory=20), temporary) == MEMORY


@pytest.mark.parametrize("options", [{"lazy_loading": True}, {"max_samples_in_memory": 3}], ids=str)
def test_a_temporary_folder_goes_with_the_last_dataset(
    twenty: Path, temporary: Path, options: dict[str, Any]
) -> None:
    made = load(twenty, **options)
    made[3]
    parts = [made[5:], made.select([1, 2]), *made.split(train=0.5, validation=0.5).values()]
    expected = [list(one) for one in parts]
    del made
    gc.collect()
    for one, own in zip(parts, expected, strict=True):
        assert list(one) == own
    assert len(list(temporary.iterdir())) == 1
    del one, parts
    gc.collect()
    assert list(temporary.iterdir()) == []


HELD: list[KTODataset] = []
"""What a forked process inherits."""


def read_and_let_go() -> None:
    """Read, and give up the last reference to the dataset."""
    if HELD[0][19]["response"] != "r19":
        os._exit(1)
    HELD.clear()
    gc.collect()


@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_a_forked_process_removes_nothing(twenty: Path, temporary: Path) -> None:
    """Though what it inherited ends there earlier."""
    HELD.append(load(twenty, lazy_loading=True))
    child = multiprocessing.get_context("fork").Process(target=read_and_let_go)
    child.start()
    child.join(60)
    assert child.exitcode == 0
    [folder] = temporary.iterdir()
    assert sorted(one.name for one in folder.iterdir()) == ["numbers.arrow", "samples.arrow"]
    assert HELD[0][0]["response"] == "r0"
    HELD.clear()
    gc.collect()
    assert list(temporary.iterdir()) == []


PROGRAM = """
import sys, tempfile
from ktoformats import KTODataConfig, KTODataLoader
made = KTODataLoader(KTODataConfig(train_file=sys.argv[1], min_samples_per_label=0, lazy_loading=True), None, False)
dataset = made.load_dataset()
print(dataset._samples.parts[0].path)
"""


def test_a_temporary_folder_is_gone_when_python_ends(twenty: Path, temporary: Path) -> None:
    made = subprocess.run(
        [sys.executable, "-c", PROGRAM, twenty],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(temporary)},
    )
    assert Path(made.stdout.strip()).parent == temporary
    assert list(temporary.iterdir()) == []


def test_a_build_that_fails_leaves_no_folder(lines: Callable[..., Path], temporary: Path) -> None:
    path = lines([*({"prompt": "p", "response": f"r{n}", "label": 1} for n in range(20)), *[b"x"] * 200])
    with pytest.raises(RejectBudgetError, match="200 of 220 records were rejected"):
        load(path, lazy_loading=True)
    gc.collect()
    assert list(temporary.iterdir()) == []


def test_what_is_chosen_of_a_temporary_folder(twenty: Path, temporary: Path) -> None:
    """Filters, and balance, read the numbers beside the samples there, too."""
    config: dict[str, Any] = {"train_file": twenty, "min_samples_per_label": 0, "min_response_length": 3}
    expected = KTODataLoader(KTODataConfig(**config), enable_cache=False).load_dataset()
    made = KTODataLoader(KTODataConfig(**config, lazy_loading=True), enable_cache=False).load_dataset()
    assert where(made, temporary) == TEMPORARY
    assert list(made) == list(expected)
    assert made["response"] == [f"r{n}" for n in range(10, 20)]


def batch_of(rows: int) -> pa.RecordBatch:
    batch: pa.RecordBatch = ONE.take([0] * rows)
    return batch


def one() -> pa.RecordBatch:
    import pyarrow as pa

    values: dict[str, Any] = {field.name: "" for field in SCHEMA} | {"id": "0" * 32, "conversation": [], "line": 1}
    values |= dict.fromkeys(("response_quality", "utility_score", "weight", "position", "rank"), 1.0)
    return pa.RecordBatch.from_pylist([values], SCHEMA)


ONE = one()


@settings(deadline=None, max_examples=50)
@given(
    sizes=st.lists(st.integers(1, 9), max_size=12),
    limit=st.none() | st.integers(0, 40),
    buffered=st.integers(1, 20),
)
def test_a_sink_holds_what_it_may(sizes: list[int], limit: int | None, buffered: int) -> None:
    """In memory up to its limit; and past it no more than is buffered, and a batch."""
    sink = Sink(in_memory=limit, buffered=buffered)
    total = 0
    for size in sizes:
        sink.write([batch_of(size)])
        total += size
        in_files = limit is not None and total > limit
        assert (sink._files is not None) == in_files
        assert sink._rows < buffered if in_files else sink._rows == total
    part = sink.finish()
    assert part.rows == total == part.whole().num_rows
    assert (part.path is None) == (limit is None or total <= limit)
    assert sum(part.lengths) == (total if part.path else 0)
    most = max(buffered, limit or 0) + max(sizes, default=0)
    assert all(length < most + 1 for length in part.lengths)
