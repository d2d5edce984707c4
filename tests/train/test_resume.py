"""Runs that stop anywhere and go on: real loaders, with workers that read ahead, and states that went through JSON."""

from __future__ import annotations

import json
from functools import partial
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from torch.utils.data import DataLoader, Dataset
from torchdata.stateful_dataloader import StatefulDataLoader

from ktoformats import ElasticBatchSampler, KTODataConfig, KTODataLoader
from ktoformats.read import named
from ktoformats.read.lines import blocks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ktoformats import KTOStream

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # more workers than processors
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata 0.11 calls it
]

ROWS, SIZE = 500, 20
STEPS = ROWS // SIZE
FEW = (0, 1, 2, 13, STEPS - 1, STEPS)
WORKERS = (0, 1, 2, 4)
Batches = list[list[int]]


class Numbers(Dataset[int]):
    """Each is its position."""

    def __len__(self) -> int:
        return ROWS

    def __getitem__(self, position: int) -> int:
        return position


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    again: dict[str, Any] = json.loads(json.dumps(state))
    return again


def batches_of(seed: int = 42, **options: Any) -> ElasticBatchSampler:
    return ElasticBatchSampler(range(ROWS), global_batch_size=SIZE, seed=seed, **options)


def stateful(sampler: ElasticBatchSampler, workers: int, *, persistent: bool = False) -> StatefulDataLoader:
    return StatefulDataLoader(
        Numbers(), batch_sampler=sampler, num_workers=workers, persistent_workers=persistent, collate_fn=list
    )


def plain(sampler: ElasticBatchSampler, workers: int, *, persistent: bool = False) -> DataLoader[int]:
    return DataLoader(
        Numbers(), batch_sampler=sampler, num_workers=workers, persistent_workers=persistent, collate_fn=list
    )


def states_of(loader: StatefulDataLoader) -> tuple[Batches, list[dict[str, Any]]]:
    """An epoch, and the state before its first batch and after each one."""
    states, seen = [through_json(loader.state_dict())], []
    for batch in loader:
        seen.append(batch)
        states.append(through_json(loader.state_dict()))
    return seen, states


@pytest.fixture
def epochs() -> list[Batches]:
    """The first three epochs, from the sampler alone."""
    sampler = batches_of()
    return [list(sampler) for _ in range(3)]


def loaders(steps: Iterable[int]) -> pytest.MarkDecorator:
    """Workers and persistence, and after how many steps to stop: all without workers, which cost no time."""
    some, every = tuple(steps), range(STEPS + 1)
    cases = [
        pytest.param(workers, persistent, some if workers else every, id=f"{workers}{'-persistent' * persistent}")
        for workers in WORKERS
        for persistent in (False, True)
        if workers or not persistent
    ]
    return pytest.mark.parametrize(("workers", "persistent", "stops"), cases)


def check_stateful(epochs: list[Batches], workers: int, stops: Iterable[int], *, persistent: bool) -> None:
    seen, states = states_of(stateful(batches_of(), workers, persistent=persistent))
    assert seen == epochs[0]
    assert len(states) == STEPS + 1
    for done in stops:
        again = stateful(batches_of(), workers, persistent=persistent)
        again.load_state_dict(states[done])
        assert list(again) == epochs[0][done:], done
        assert list(again) == epochs[1], "and the next epoch is the next one"


@loaders(FEW)
def test_a_stateful_loader_goes_on_where_it_stopped(
    *, workers: int, persistent: bool, stops: Iterable[int], epochs: list[Batches]
) -> None:
    check_stateful(epochs, workers, stops, persistent=persistent)


@pytest.mark.campaign
@loaders(range(STEPS + 1))
def test_a_stateful_loader_goes_on_wherever_it_stopped(
    *, workers: int, persistent: bool, stops: Iterable[int], epochs: list[Batches]
) -> None:
    check_stateful(epochs, workers, stops, persistent=persistent)


@pytest.mark.parametrize("chosen", [False, True], ids=["by-itself", "set-epoch"])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_state_taken_after_the_last_step_leads_to_the_next_epoch(
    *, workers: int, chosen: bool, epochs: list[Batches]
) -> None:
    loader = stateful(batches_of(), workers)
    assert list(loader) == epochs[0]
    state = through_json(loader.state_dict())
    sampler = batches_of()
    again = stateful(sampler, workers)
    again.load_state_dict(state)
    if chosen:
        sampler.set_epoch(1)
    assert list(again) == epochs[1]
    assert list(again) == epochs[2]


@pytest.mark.parametrize("workers", WORKERS)
def test_a_resumed_run_may_be_stopped_again_at_once(workers: int, epochs: list[Batches]) -> None:
    """After fewer steps than there are workers, three times in a row; and before the first step."""
    state, seen = None, []
    for steps in (7, 1, 0, 1, STEPS):
        loader = stateful(batches_of(), workers)
        if state is not None:
            loader.load_state_dict(state)
        for _, batch in zip(range(steps), loader, strict=False):
            seen.append(batch)
            state = through_json(loader.state_dict())
        if not steps:
            state = through_json(loader.state_dict())
    assert seen == epochs[0]


@pytest.mark.parametrize("persistent", [False, True])
def test_epochs_follow_each_other_for_a_loader_with_workers(*, persistent: bool, epochs: list[Batches]) -> None:
    """Such a loader asks for an iterator twice, and reads ahead to the end before the end is reached."""
    loader = plain(batches_of(), 2, persistent=persistent)
    assert [list(loader) for _ in range(3)] == epochs


def check_plain(epochs: list[Batches], workers: int, stops: Iterable[int], *, persistent: bool) -> None:
    """The loop of the documentation, broken off while workers have read ahead."""
    for done in stops:
        sampler = batches_of()
        state, seen = sampler.state_dict(batches=0), []
        loader = plain(sampler, workers, persistent=persistent)
        iterator = iter(loader)
        for number in range(1, done + 1):
            seen.append(next(iterator))
            state = through_json(sampler.state_dict(batches=number))
        del iterator, loader
        assert seen == epochs[0][:done]
        sampler = batches_of()
        sampler.load_state_dict(state)
        again = plain(sampler, workers, persistent=persistent)
        assert list(again) == epochs[0][done:], done
        assert list(again) == epochs[1]


@loaders(FEW)
def test_a_plain_loader_goes_on_where_it_stopped(
    *, workers: int, persistent: bool, stops: Iterable[int], epochs: list[Batches]
) -> None:
    check_plain(epochs, workers, stops, persistent=persistent)


@pytest.mark.campaign
@loaders(range(STEPS + 1))
def test_a_plain_loader_goes_on_wherever_it_stopped(
    *, workers: int, persistent: bool, stops: Iterable[int], epochs: list[Batches]
) -> None:
    check_plain(epochs, workers, stops, persistent=persistent)


def test_workers_have_read_ahead_when_a_state_is_taken() -> None:
    """Without this the tests above would prove nothing."""
    sampler = batches_of()
    iterator = iter(plain(sampler, 2))
    next(iterator)
    assert sampler.state_dict()["batch"] >= 4
    assert sampler.state_dict(batches=1)["batch"] == 1


def test_a_plain_loader_may_be_resumed_with_other_workers(epochs: list[Batches]) -> None:
    state, seen = None, []
    for workers, steps in ((0, 5), (2, 6), (1, 7), (4, STEPS)):
        sampler = batches_of()
        if state is not None:
            sampler.load_state_dict(state)
        for done, batch in enumerate(plain(sampler, workers), start=1):
            seen.append(batch)
            state = through_json(sampler.state_dict(batches=done))
            if done == steps:
                break
    assert seen == epochs[0]


# Streams


STREAM_BATCH = 5
SEEDS: dict[str, Any] = {"shuffled": {"shuffle": True}, "in-order": {"shuffle": False}}


@pytest.fixture
def stream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> Callable[..., KTOStream]:
    """Streams of 3 files with 60, 1 and 40 records in blocks of a few; windows of 11 samples."""
    monkeypatch.setattr(named, "blocks", partial(blocks, block_bytes=600))
    numbers = iter(range(101))
    for name, count in (("a", 60), ("b", 1), ("c", 40)):
        with (tmp_path / f"{name}.jsonl").open("w") as file:
            for number in (next(numbers) for _ in range(count)):
                record = {"prompt": f"p{number}", "response": f"answer {number}", "label": number % 3 > 0}
                file.write(json.dumps(record) + "\n")
    config = KTODataConfig(train_file=str(tmp_path / "*.jsonl"), balance_labels=False, buffer_size=11)
    return lambda **options: KTODataLoader(config, enable_cache=False).stream(**options)


def of_stream(stream: KTOStream, workers: int, *, persistent: bool = False) -> StatefulDataLoader:
    return StatefulDataLoader(
        stream, batch_size=STREAM_BATCH, num_workers=workers, persistent_workers=persistent, collate_fn=prompts
    )


def prompts(batch: list[dict[str, Any]]) -> list[int]:
    return [int(sample["prompt"][1:]) for sample in batch]


def check_stream(
    make: Callable[[], KTOStream], workers: int, few: Iterable[int] | None = None, *, persistent: bool = False
) -> None:
    seen, states = states_of(of_stream(make(), workers, persistent=persistent))
    assert sorted(chain(*seen)) == list(range(101))
    stops = range(len(states)) if few is None else [stop % len(states) for stop in few]
    for done in stops:
        again = of_stream(make(), workers, persistent=persistent)
        again.load_state_dict(states[done])
        assert list(again) == seen[done:], done
        if done in (0, 5):
            assert list(again) == seen, "the same epoch, as nobody chose another"


@pytest.mark.parametrize("options", SEEDS.values(), ids=SEEDS)
@pytest.mark.parametrize(
    ("workers", "persistent", "few"),
    [(0, False, None), (1, False, (0, 5, -1)), (2, True, (1, 2, 12, -2)), (4, False, (0, 3, 12, -1))],
    ids=["0", "1", "2-persistent", "4"],
)
def test_a_stream_goes_on_where_it_stopped(
    *,
    workers: int,
    persistent: bool,
    few: Iterable[int] | None,
    options: dict[str, Any],
    stream: Callable[..., KTOStream],
) -> None:
    check_stream(partial(stream, **options), workers, few, persistent=persistent)


@pytest.mark.campaign
@pytest.mark.parametrize("options", SEEDS.values(), ids=SEEDS)
@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("workers", WORKERS[1:])
def test_a_stream_goes_on_wherever_it_stopped(
    *, workers: int, persistent: bool, options: dict[str, Any], stream: Callable[..., KTOStream]
) -> None:
    check_stream(partial(stream, **options), workers, persistent=persistent)


@pytest.mark.parametrize("options", SEEDS.values(), ids=SEEDS)
def test_a_stream_by_itself_goes_on_after_every_sample(
    options: dict[str, Any], stream: Callable[..., KTOStream]
) -> None:
    """And from there on again, after one more."""
    first = stream(**options)
    states, seen = [first.state_dict()], []
    for sample in first:
        seen.append(sample["prompt"])
        states.append(through_json(first.state_dict()))
    again = stream(**options)
    for done, state in enumerate(states):
        again.load_state_dict(state)
        rest = iter(again)
        taken = [sample["prompt"] for sample in rest]
        assert taken == seen[done:], done
        if taken:
            again.load_state_dict(state)
            next(iter(again))
            assert again.state_dict() == states[done + 1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_stream_may_be_stopped_again_at_once(workers: int, stream: Callable[..., KTOStream]) -> None:
    whole = list(of_stream(stream(), workers))
    state, seen = None, []
    for steps in (7, 1, 1, 99):
        loader = of_stream(stream(), workers)
        if state is not None:
            loader.load_state_dict(state)
        for _, batch in zip(range(steps), loader, strict=False):
            seen.append(batch)
            state = through_json(loader.state_dict())
    assert seen == whole


@pytest.mark.parametrize("workers", [0, 2])
def test_a_stream_that_ended_leads_to_the_next_epoch(workers: int, stream: Callable[..., KTOStream]) -> None:
    mine = stream()
    loader = of_stream(mine, workers)
    whole = list(loader)
    state = through_json(loader.state_dict())
    mine.set_epoch(1)
    following = list(loader)
    assert sorted(chain(*following)) == sorted(chain(*whole))
    assert following != whole
    mine = stream()
    again = of_stream(mine, workers)
    again.load_state_dict(state)
    mine.set_epoch(1)
    assert list(again) == following


def test_workers_that_live_on_hear_of_the_next_epoch(stream: Callable[..., KTOStream]) -> None:
    mine = stream()
    kept, fresh = of_stream(mine, 2, persistent=True), of_stream(mine, 2)
    seen = []
    for epoch in range(3):
        mine.set_epoch(epoch)
        seen.append(list(kept))
        assert seen[-1] == list(fresh)
    assert len({str(batches) for batches in seen}) == 3


def test_nothing_before_the_window_is_converted_again(stream: Callable[..., KTOStream]) -> None:
    first = stream()
    for sample, _ in zip(first, range(90), strict=False):
        del sample
    whole = first.ledger.total().lines
    again = stream()
    again.load_state_dict(first.state_dict())
    next(iter(again))
    assert whole > 88
    assert again.ledger.total().lines < 24
