"""Streams: the samples of the dataset, shared without loss, in windows, within bounds, and honest about their limits."""

from __future__ import annotations

import gzip
import json
import logging
import multiprocessing
import os
import pickle  # noqa: TID251 - what torch does with a dataset that goes to a spawned worker
import re
import signal
import subprocess
import sys
import time
from functools import partial
from itertools import chain, pairwise, product
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, get_worker_info

from ktoformats import (
    SAMPLE_KEYS,
    ConfigError,
    KTODataConfig,
    KTODataError,
    KTODataLoader,
    KTOLabelError,
    KTOStream,
    RejectBudgetError,
    SourceError,
)
from ktoformats.plugin.registry import Registry
from ktoformats.read import named
from ktoformats.read.blocks import Block
from ktoformats.read.lines import blocks
from ktoformats.read.named import Source
from ktoformats.train import feed as feeds
from ktoformats.train.feed import Feed
from ktoformats.train.state import Share
from ktoformats.train.windows import Part, Place, as_they_come, windows

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.filterwarnings("ignore:This DataLoader will create")

ASKED: Final = {"balance_labels": False, "require_both_labels": False, "min_samples_per_label": 0}


def records(count: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"prompt": f"p{number}", "response": f"answer number {number}", "label": number % 3 > 0}
        for number in range(start, start + count)
    ]


def loader(train_file: Any, **options: Any) -> KTODataLoader:
    files = [str(one) for one in train_file] if isinstance(train_file, list) else str(train_file)
    return KTODataLoader(KTODataConfig(**{"train_file": files} | ASKED | options), enable_cache=False)


def prompts(stream: Iterable[dict[str, Any]]) -> list[str]:
    return [sample["prompt"] for sample in stream]


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few records."""
    monkeypatch.setattr(named, "blocks", partial(blocks, block_bytes=700))


# The same samples


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("shuffle", [False, True])
def test_a_stream_has_the_samples_of_the_dataset(
    *, shuffle: bool, lines: Callable[..., Path], tmp_path: Path
) -> None:
    pair = {"prompt": "q", "chosen": "right", "rejected": "wrong"}
    talk = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "ho", "label": "up"}]}
    zipped = tmp_path / "more.jsonl.gz"
    zipped.write_bytes(gzip.compress(b"".join(json.dumps(one).encode() + b"\n" for one in records(40, 1000))))
    table = tmp_path / "table.csv"
    table.write_text("prompt,response,label\nx,y,good\nz,w,bad\n")
    mine = loader(
        [lines(records(50)), zipped, lines([pair, talk, *records(30, 200)]), table],
        max_response_length=17,
        buffer_size=13,
        sources=[{"path": str(lines(records(5, 500))), "tags": ["t1", "t2"], "licence": "mine", "keep": ["label"]}],
    )
    samples, dataset = list(mine.stream(shuffle=shuffle)), list(mine.load_dataset())
    assert all(tuple(sample) == SAMPLE_KEYS for sample in samples)
    by_prompt = {(one["prompt"], one["response"]): one for one in dataset}
    assert len(samples) == len(dataset) == len(by_prompt) == 130 - 40
    assert {(one["prompt"], one["response"]): one for one in samples} == by_prompt
    [kept] = [one["kept"] for one in samples if one["prompt"] == "p500"]
    assert kept == {"label": "true", "tags": '["t1","t2"]', "licence": "mine"}
    assert (samples == dataset) is not shuffle


def test_equal_samples_keep_equal_ids(lines: Callable[..., Path]) -> None:
    """A dataset numbers them, for which it has to know all."""
    mine = loader(lines([*records(1), *records(1)]))
    [one, other] = [sample["id"] for sample in mine.stream()]
    assert one == other
    assert len({sample["id"] for sample in mine.load_dataset()}) == 2


def test_filters_count_what_they_drop(lines: Callable[..., Path]) -> None:
    stream = loader(lines(records(12)), max_response_length=15).stream()
    assert len(prompts(stream)) == 10
    assert stream.dropped == {("length", "too_long"): 2}
    assert stream.ledger.total().samples == 12


# Shared by consumers


class FakeSource:
    """A file of some empty blocks."""

    def __init__(self, name: str, path: Any) -> None:
        self._name, self._count = name, path

    def blocks(self) -> Iterator[Block]:
        return (Block(self._name, [], [], [], 0, [], {}) for _ in range(self._count))


def test_every_block_has_one_consumer_whatever_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    """Workers 1..8 of ranks 1..8, eight numbers of samples, three of files, two orders: who takes what, computed."""
    monkeypatch.setattr(feeds, "Source", FakeSource)
    monkeypatch.setattr(Feed, "_converted", lambda *_: pa.table({"sample": [0]}))
    monkeypatch.setattr(Feed, "_close", lambda *_: None)
    feed = object.__new__(Feed)
    feed.begin()
    configurations = 0
    for files, rows, turned in product((1, 3, 17), (0, 1, 7, 63, 64, 65, 1000, 4097), (False, True)):
        sizes = np.diff(np.linspace(0, -(-rows // 64), files + 1).astype(int)).tolist()  # blocks of 64 samples
        feed._files = [feeds._File(0, f"f{number}", size) for number, size in enumerate(sizes)]
        order = range(files)[:: -1 if turned else 1]
        expected = {(at, block) for at, number in enumerate(order) for block in range(sizes[number])}
        for consumers in sorted({ranks * workers for ranks, workers in product(range(1, 9), range(1, 9))}):
            shares = [
                [part.place for part in feed.parts(order, Place(0, 0, 0, 0), consumer=one, consumers=consumers)]
                for one in range(consumers)
            ]
            taken = [(place.file, place.block) for share in shares for place in share]
            assert len(taken) == len(expected)
            assert set(taken) == expected
            assert max(map(len, shares)) - min(map(len, shares)) <= 1
            configurations += sum(
                ranks * workers == consumers for ranks, workers in product(range(1, 9), range(1, 9))
            )
    assert configurations == 3072


class Info:
    """What a worker knows of itself."""

    def __init__(self, number: int, workers: int) -> None:
        self.id, self.num_workers = number, workers


def test_every_worker_of_every_rank_is_a_consumer_of_its_own(
    monkeypatch: pytest.MonkeyPatch, lines: Callable[..., Path]
) -> None:
    stream = loader(lines(records(1))).stream()
    for ranks, workers in product(range(1, 9), range(9)):
        found = []
        for rank, worker in product(range(ranks), range(max(workers, 1))):
            stream._share = Share(rank, ranks)
            info = Info(worker, workers) if workers else None
            with monkeypatch.context() as patch:
                patch.setattr("ktoformats.train.stream.get_worker_info", lambda info=info: info)
                found.append(stream._consumer())
        assert sorted(found) == [(number, len(found)) for number in range(len(found))]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("ranks", [2, 5, 64])
def test_ranks_without_workers_share_the_samples(ranks: int, lines: Callable[..., Path]) -> None:
    """Also where there are more of them than blocks."""
    files = [lines(records(150)), lines(records(3, 150)), lines([]), lines(records(80, 153))]
    mine = loader(files, buffer_size=20)
    count_blocks = sum(len(list(Source(str(path), path).blocks())) for path in files)
    parts = [prompts(mine.stream(num_replicas=ranks, rank=rank)) for rank in range(ranks)]
    assert sorted(chain(*parts)) == sorted(f"p{number}" for number in range(233))
    assert len(list(filter(None, parts))) == min(ranks, count_blocks)


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_share_the_samples(workers: int, lines: Callable[..., Path]) -> None:
    stream = loader([lines(records(100)), lines(records(41, 100))], buffer_size=20).stream()
    batches = list(DataLoader(stream, batch_size=7, num_workers=workers))
    assert sorted(prompt for batch in batches for prompt in batch["prompt"]) == sorted(prompts(stream))


def test_spawned_workers_build_the_stream_anew(lines: Callable[..., Path]) -> None:
    """Nothing of this process is left there: plugins are found again, and all samples are the same."""
    stream = loader(lines(records(30)), max_response_length=16).stream()
    mine = DataLoader(stream, batch_size=4, num_workers=1, multiprocessing_context="spawn", collate_fn=list)
    assert list(chain(*mine)) == list(stream)


def test_a_stream_pickles_without_what_it_can_build_again(lines: Callable[..., Path]) -> None:
    stream = loader(lines(records(30))).stream()
    text = pickle.dumps(stream)
    assert len(text) < 20_000
    assert b"Pipeline" not in text
    assert list(pickle.loads(text)) == list(stream)  # noqa: S301 - made above


# Windows and order


def numbered(sizes: list[int]) -> list[Part]:
    starts = np.cumsum([0, *sizes]).tolist()
    return [
        Part(Place(0, 0, block, 0), pa.table({"n": range(starts[block], starts[block + 1])}))
        for block, size in enumerate(sizes)
        if size
    ]


@given(sizes=st.lists(st.integers(0, 9), max_size=12), rows=st.integers(1, 15))
def test_windows_are_whole_and_can_be_found_again(sizes: list[int], rows: int) -> None:
    made = list(windows(numbered(sizes), rows))
    assert list(chain(*(one.table["n"].to_pylist() for one in made))) == list(range(sum(sizes)))
    assert all(len(one.table) == rows for one in made[:-1])
    assert all(0 < len(one.table) <= rows for one in made)
    for number, one in enumerate(made):
        _, _, block, row = one.after
        rest = [part for part in numbered(sizes) if part.place.block >= block]
        if row:
            rest[0] = Part(one.after, rest[0].table.slice(row))
        again = list(windows(rest, rows))
        assert [(window.table["n"].to_pylist(), window.after) for window in again] == [
            (window.table["n"].to_pylist(), window.after) for window in made[number + 1 :]
        ]


def test_without_a_shuffle_a_block_is_a_window() -> None:
    made = list(as_they_come(numbered([3, 0, 2])))
    assert [(len(one.table), one.after) for one in made] == [(3, Place(0, 0, 1, 0)), (2, Place(0, 0, 3, 0))]


@pytest.mark.usefixtures("small_blocks")
def test_samples_are_shuffled_within_windows(lines: Callable[..., Path]) -> None:
    stream = loader(lines(records(500)), buffer_size=100).stream()
    order = np.array([int(prompt[1:]) for prompt in prompts(stream)])
    assert (np.sort(order.reshape(5, 100), axis=1) == np.arange(500).reshape(5, 100)).all()
    inner = order.reshape(5, 100) % 100
    assert all((window != np.arange(100)).mean() > 0.9 for window in inner)
    assert all((one == other).mean() < 0.1 for one, other in pairwise(inner)), "each window has an order of its own"


def test_an_epoch_is_a_function_of_seed_and_epoch(lines: Callable[..., Path]) -> None:
    mine = loader([lines(records(30, start)) for start in range(0, 300, 30)], buffer_size=20)
    stream = mine.stream()
    first = prompts(stream)
    assert prompts(stream) == first, "without set_epoch it is the same epoch"
    stream.set_epoch(1)
    assert stream.epoch == 1
    second = prompts(stream)
    stream.set_epoch(0)
    assert prompts(stream) == first == prompts(mine.stream(seed=42))
    other = prompts(mine.stream(seed=43))
    assert len({tuple(one) for one in (first, second, other)}) == 3
    assert {tuple(sorted(one)) for one in (first, second, other)} == {tuple(sorted(first))}
    files = [[int(prompt[1:]) // 30 for prompt in one] for one in (first, second)]
    assert sorted(files[0]) == sorted(files[1])
    assert np.corrcoef(np.array(files))[0, 1] < 0.9, "files come in another order"


def test_without_a_shuffle_samples_come_as_they_stand(lines: Callable[..., Path]) -> None:
    stream = loader([lines(records(30, start)) for start in range(0, 300, 30)], buffer_size=7).stream(shuffle=False)
    stream.set_epoch(3)
    assert prompts(stream) == [f"p{number}" for number in range(300)]


def test_the_order_of_this_seed_never_changes(lines: Callable[..., Path]) -> None:
    """Pinned: a run of another day, version or platform must go on in it."""
    stream = loader([lines(records(4)), lines(records(3, 4)), lines(records(3, 7))], buffer_size=6).stream()
    assert prompts(stream) == ["p5", "p9", "p4", "p8", "p6", "p7", "p3", "p2", "p0", "p1"]


# Bounds


@pytest.mark.usefixtures("small_blocks")
def test_the_first_sample_waits_for_one_window_only(lines: Callable[..., Path]) -> None:
    stream = loader(lines(records(5000)), buffer_size=50).stream()
    next(iter(stream))
    assert 50 <= stream.ledger.total().lines < 70
    in_order = loader(lines(records(5000)), buffer_size=50).stream(shuffle=False)
    next(iter(in_order))
    assert in_order.ledger.total().lines < 20


MEASURE: Final = """
import sys
from pathlib import Path
from ktoformats import KTODataConfig, KTODataLoader
config = KTODataConfig(train_file=sys.argv[1], balance_labels=False, require_both_labels=False,
                       min_samples_per_label=0, buffer_size=500, quality="specification")
stream = KTODataLoader(config).stream()
warm = KTODataLoader(config.model_copy(update={"train_file": sys.argv[2]})).stream()
sum(1 for _ in warm)
def peak():
    words = Path("/proc/self/status").read_text().split()
    return int(words[words.index("VmHWM:") + 1]) / 1024
before = peak()
seen = sum(1 for _ in stream)
print(seen, before, peak())
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is read from Linux's /proc")  # noqa: PTH110
def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    def write(name: str, count: int) -> Path:
        path = tmp_path / name
        with path.open("w") as file:
            for one in records(count):
                file.write(json.dumps(one | {"response": "so it goes " * 60}) + "\n")
        return path

    small, large = write("small.jsonl", 5000), write("large.jsonl", 50_000)
    command = [sys.executable, "-c", MEASURE, str(large), str(small)]
    seen, before, after = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    assert int(seen) == 50_000
    assert float(after) < 1.05 * float(before), "of a file ten times as long"
    assert float(before) > 50, "it was measured"


# Processes


def children() -> int:
    return len(multiprocessing.active_children())


@pytest.mark.usefixtures("small_blocks")
def test_a_loop_that_is_left_leaves_no_process_behind(lines: Callable[..., Path]) -> None:
    stream = loader(lines(records(3000)), buffer_size=20).stream()
    for batch in DataLoader(stream, batch_size=4, num_workers=2):
        assert children() == 2
        del batch
        break
    deadline = time.monotonic() + 10
    while children() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert children() == 0


INTERRUPTED: Final = """
import sys, multiprocessing, warnings
from torch.utils.data import DataLoader
from ktoformats import KTODataConfig, KTODataLoader
config = KTODataConfig(train_file=sys.argv[1], balance_labels=False, require_both_labels=False,
                       min_samples_per_label=0, buffer_size=20)
batches = iter(DataLoader(KTODataLoader(config).stream(), batch_size=1, num_workers=2, prefetch_factor=2))
next(batches)
print(*(one.pid for one in multiprocessing.active_children()), flush=True)
while True:
    next(batches, None)
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupt_ends_the_workers_too(lines: Callable[..., Path]) -> None:
    path = lines(one | {"response": "so it goes " * 60} for one in records(6000))  # four blocks
    command = [sys.executable, "-c", INTERRUPTED, str(path)]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - what shells ignore in the background
    ) as running:
        try:
            workers = list(map(int, (running.stdout.readline() if running.stdout else "").split()))
            os.killpg(running.pid, signal.SIGINT)
            _, errors = running.communicate(timeout=60)
        finally:
            running.kill()
    assert len(workers) == 2, errors
    assert "KeyboardInterrupt" in errors
    deadline = time.monotonic() + 10
    while any(map(is_alive, workers)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(is_alive, workers))


# Damage


@pytest.mark.parametrize("workers", [0, 1])
def test_a_rejected_record_stops_a_stream_that_shall_fail(workers: int, lines: Callable[..., Path]) -> None:
    path = lines([*records(5), {"prompt": "p", "response": "r", "label": "purple"}, *records(5)])
    stream = loader(path, on_error="fail").stream()
    expected = RuntimeError if workers else KTOLabelError  # torch cannot build the worker's error again
    with pytest.raises(expected, match=rf"{path}:6: label: .*purple.*\[label_unrecognised\]"):
        list(DataLoader(stream, batch_size=4, num_workers=workers))


def test_a_file_past_its_budget_stops_a_stream_at_its_end(lines: Callable[..., Path]) -> None:
    path = lines([*records(20), *[{"prompt": "p"}] * 5])
    stream = loader(path, max_rejected=4).stream()
    with pytest.raises(RejectBudgetError, match=f"{path}: 5 of 25 records were rejected"):
        list(stream)


def test_rejected_records_are_told_at_a_files_end(
    lines: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    path = lines([*records(20), {"prompt": "p"}, b"{", *records(5, 20)])
    stream = loader(path).stream()
    assert len(prompts(stream)) == len(prompts(stream)) == 25
    assert f"{path}: 2 of 27 records were rejected (" in caplog.text
    account = stream.ledger.files[str(path)]
    assert (account.lines, account.used, account.rejected.total()) == (27, 25, 2)
    assert [reject.line for reject in stream.rejects] == [21, 22], "of the last iteration alone"
    assert account.balanced


def test_a_file_that_cannot_be_read_to_its_end_is_named(tmp_path: Path) -> None:
    path = tmp_path / "cut.jsonl.gz"
    whole = gzip.compress(os.urandom(0) + b"".join(json.dumps(one).encode() + b"\n" for one in records(5000)))
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(SourceError, match=str(path)):
        list(loader(path, buffer_size=100).stream())


@pytest.mark.parametrize(
    "broken", ["ktoformats.convert.pipeline.Pipeline.convert", "ktoformats.train.feed.filter_reasons"]
)
def test_a_plugin_that_fails_is_told_with_file_and_lines(
    broken: str, lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise ZeroDivisionError("no such thing")

    monkeypatch.setattr(broken, fail)
    path = lines([b"", *records(7)])
    stream = loader(path).stream()
    with pytest.raises(KTODataError, match=f"{path}:2-8: no such thing"):
        list(stream)


# Refusals and warnings


def test_overridden_methods_are_refused_by_name(lines: Callable[..., Path]) -> None:
    class Mine(KTODataLoader):
        def _normalize_kto_label(self, sample: dict[str, Any]) -> str:
            return "good"

        def _should_filter_by_length(self, sample: dict[str, Any]) -> bool:
            return False

    config = KTODataConfig(train_file=str(lines(records(3))))
    with pytest.raises(
        ConfigError, match="this loader's own _normalize_kto_label, _should_filter_by_length; use load_dataset"
    ):
        Mine(config).stream()


def test_a_registry_of_ones_own_is_refused(lines: Callable[..., Path]) -> None:
    config = KTODataConfig(train_file=str(lines(records(3))))
    with pytest.raises(ConfigError, match="this loader's own registry; use load_dataset"):
        KTODataLoader(config, registry=Registry()).stream()


def test_records_that_belong_together_are_refused(lines: Callable[..., Path]) -> None:
    verdict = {"rank": "stars", "best": "high"}
    mapping = {"group_by": "q", "prompt": "q", "candidates": {"answer": "a"}, "verdict": verdict}
    with pytest.raises(ConfigError, match="formats: 'mapping' brings records together"):
        loader(lines([{"q": "q", "a": "a", "stars": 3}]), formats=[{"mapping": mapping}]).stream()


@pytest.mark.parametrize("split", ["train", "validation"])
def test_a_share_of_the_samples_is_refused(split: str, lines: Callable[..., Path]) -> None:
    """Or a stream would train on what it is to be tested with."""
    with pytest.raises(ConfigError, match=f"{split} is a part of the samples of train_file"):
        loader(lines(records(9)), validation_fraction=0.5).stream(split)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"split": "test"}, ConfigError, "data.test_file is not set"),
        ({"split": "all"}, ConfigError, "split must be train, validation or test"),
        ({"num_replicas": 2, "rank": 2}, ValueError, "rank must be from 0 to num_replicas - 1 = 1, got 2"),
        ({"num_replicas": 2}, ValueError, "rank is missing"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_at_once(
    options: dict[str, Any], error: type[Exception], message: str, lines: Callable[..., Path]
) -> None:
    with pytest.raises(error, match=message):
        loader(lines(records(1))).stream(**options)


def test_a_missing_file_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="no such file"):
        loader(tmp_path / "none.jsonl").stream()


def test_a_negative_epoch_is_refused(lines: Callable[..., Path]) -> None:
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        loader(lines(records(1))).stream().set_epoch(-1)


def test_what_a_stream_cannot_do_is_told_once(lines: Callable[..., Path], caplog: pytest.LogCaptureFixture) -> None:
    options = {
        "balance_labels": True,
        "duplicates": "drop",
        "conflict": "majority",
        "pairwise_sampling_strategy": "balanced",
        "sources": [{"path": str(lines(records(3))), "weight": 2, "limit": 3}],
    }
    stream = loader(lines(records(3, 10)), **options).stream()
    prompts(stream), prompts(stream)
    [record] = [one for one in caplog.records if one.levelno == logging.WARNING]
    assert record.getMessage() == (
        "A stream never has all samples together and does without balance_labels, pairwise_sampling_strategy, "
        "conflict, duplicates, weights of sources, limits of sources; load_dataset has them"
    )


def test_nothing_is_told_where_nothing_is_missing(
    lines: Callable[..., Path], caplog: pytest.LogCaptureFixture
) -> None:
    prompts(loader(lines(records(3))).stream())
    assert caplog.text == ""


# States; what is gone on from them stands in test_resume.py


def test_a_state_is_small_and_has_always_the_same_keys(lines: Callable[..., Path]) -> None:
    stream = loader(lines(records(30)), buffer_size=7).stream()
    states = [stream.state_dict(), *(stream.state_dict() for _ in stream)]
    assert len({tuple(state) for state in states}) == 1
    assert len({tuple(map(type, state.values())) for state in states}) == 1
    assert max(len(json.dumps(state)) for state in states) < 512


def test_only_workers_know_how_far_they_are(lines: Callable[..., Path]) -> None:
    stream = loader(lines(records(30))).stream()
    stream.state_dict()
    next(iter(DataLoader(stream, num_workers=1)))
    with pytest.raises(RuntimeError, match=r"only they know how far they are; ask .*StatefulDataLoader"):
        stream.state_dict()
    next(iter(stream))
    assert stream.state_dict()["emitted"] == 1


def test_a_state_is_not_taken_by_other_consumers(lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    """Loaded where there is one, and iterated by two workers."""
    stream = loader(lines(records(30))).stream()
    next(iter(stream))
    stream.load_state_dict(stream.state_dict())
    monkeypatch.setattr("ktoformats.train.stream.get_worker_info", lambda: Info(0, 2))
    with pytest.raises(ValueError, match="the state has consumers 1, this KTOStream has 2"):
        iter(stream)


def test_a_state_that_does_not_fit_is_refused_with_both_values(lines: Callable[..., Path]) -> None:
    path, other = lines(records(30)), lines(records(31))
    mine = loader(path).stream()
    state = mine.state_dict()
    seen = re.escape
    foreign = {
        "the state has seed 7, this KTOStream has 42": loader(path).stream(seed=7).state_dict(),
        "the state has shuffle False, this KTOStream has True": loader(path).stream(shuffle=False).state_dict(),
        "the state has buffer_size 5, this KTOStream has 10000": loader(path, buffer_size=5).stream().state_dict(),
        "the state has config '": loader(path, reasoning="strip").stream().state_dict(),
        "the state has sources '": loader(other).stream().state_dict(),
        "the state has split 'test', this KTOStream has 'train'": loader(path, test_file=str(path))
        .stream("test")
        .state_dict(),
        "the state has consumers 4, this KTOStream has 1": loader(path).stream(num_replicas=4, rank=1).state_dict(),
        "the state has consumer 1, this KTOStream has 0": state | {"consumer": 1},
        "the state has version 2, this KTOStream has 1": state | {"version": 2},
        "the state has file 2, expected a whole number from 0 to 1": state | {"file": 2},
        "the state has block -1, expected a whole number from 0 to": state | {"block": -1},
        "the state has emitted '3', expected a whole number": state | {"emitted": "3"},
        "the state has no 'window'; its keys are before": {key: state[key] for key in state if key != "window"},
        "the state has no 'kind', so it is not from a KTOStream; its keys are yielded": {"yielded": 3},
        "the state has kind 'ElasticBatchSampler', this KTOStream has 'KTOStream'": state
        | {"kind": "ElasticBatchSampler"},
        "the state of a KTOStream is a dict, got NoneType": None,
    }
    for message, wrong in foreign.items():
        with pytest.raises(ValueError, match=seen(message)):
            mine.load_state_dict(wrong)  # type: ignore[arg-type]
    assert mine.state_dict() == state, "a refused state changes nothing"


def test_a_file_is_known_again_by_its_name_length_and_ends(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in "ab"]
    for folder in folders:
        folder.mkdir()
        (folder / "x.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records(9)))
    states = [loader(folder / "x.jsonl").stream().state_dict() for folder in folders]
    assert states[0] == states[1], "it may lie elsewhere"
    text = (folders[1] / "x.jsonl").read_text()
    (folders[1] / "x.jsonl").write_text(text.replace("p8", "p9"))
    with pytest.raises(ValueError, match="the state has sources"):
        loader(folders[1] / "x.jsonl").stream().load_state_dict(states[0])


def test_workers_count_and_memory_options_are_no_part_of_a_state(lines: Callable[..., Path]) -> None:
    path = lines(records(9))
    options = {"preprocessing_num_workers": 2, "streaming": True, "worker_timeout": 5, "lazy_loading": True}
    assert loader(path, **options).stream().state_dict() == loader(path).stream().state_dict()


def test_a_stream_is_public_and_told_by_the_loader(lines: Callable[..., Path]) -> None:
    assert type(loader(lines(records(1))).stream()) is KTOStream
    assert get_worker_info() is None
