"""How others resume and share where they do the same: figures for them beside ours, and a verdict on ours alone."""

from __future__ import annotations

import json
import logging
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any

import pytest
from torch.utils.data import DistributedSampler
from torchdata.stateful_dataloader import StatefulDataLoader

from ktoformats import ElasticBatchSampler, KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Make = Callable[..., Any]
    """Begins an epoch anew, of a seed: something to iterate, with `state_dict` and `load_state_dict`."""

pytestmark = [pytest.mark.campaign, pytest.mark.filterwarnings("ignore:'set_vital' is deprecated")]  # by torchdata

ROWS, SIZE, WINDOW = 480, 24, 32
STEPS = ROWS // SIZE
DATA: Any = range(ROWS)


def numbers(items: Iterable[Any]) -> list[int]:
    """The rows in batches of numbers, or in samples."""
    return list(chain.from_iterable(one if isinstance(one, list) else [int(one["prompt"])] for one in items))


def states_of(made: Any) -> tuple[list[Any], list[Any]]:
    """An epoch, and the state before its first step and after each one."""
    items, states = [], [json.dumps(made.state_dict())]
    for one in made:
        items.append(one)
        states.append(json.dumps(made.state_dict()))
    return items, list(map(json.loads, states))


def resumed(make: Make) -> Counter[str]:
    """Stopped after every step: how often the rest was what it had been, and in how many rows it was not."""
    items, states = states_of(make())
    assert sorted(numbers(items)) == list(DATA), "an epoch is whole"
    found = Counter(cuts=len(states), exact=0, lost=0, repeated=0)
    for done, state in enumerate(states):
        again = make()
        again.load_state_dict(state)
        rest, expected = numbers(again), numbers(items[done:])
        lost, repeated = Counter(expected) - Counter(rest), Counter(rest) - Counter(expected)
        found.update(exact=rest == expected, lost=lost.total(), repeated=repeated.total())
    return found


def with_another_seed(make: Make) -> str:
    """What comes of a state in a run of another seed."""
    (items, states), other = states_of(make()), make(seed=43)
    try:
        other.load_state_dict(states[5])
        rest = numbers(other)
    except ValueError as error:
        return f"refused: {error}"
    return f"taken, and the rest is {'the old' if rest == numbers(items[5:]) else 'another'} one"


def compare(**makes: Make) -> None:
    for name, make in makes.items():
        found, told = resumed(make), with_another_seed(make)
        print(f"\n{name}: {dict(found)}; a state of another seed is {told}", end="")  # noqa: T201 - the figures of a campaign are its result
        assert found["cuts"] in (STEPS + 1, ROWS + 1)
        if name == "ours":
            assert found == Counter(cuts=found["cuts"], exact=found["cuts"])
            assert told.startswith("refused: the state has seed 42")


def ours(*, seed: int = 42, ranks: int = 1, rank: int = 0) -> StatefulDataLoader:
    sampler = ElasticBatchSampler(DATA, global_batch_size=SIZE, num_replicas=ranks, rank=rank, seed=seed)
    return StatefulDataLoader(DATA, batch_sampler=sampler, collate_fn=list)


def torchs(*, seed: int = 42, ranks: int = 1, rank: int = 0) -> StatefulDataLoader:
    sampler: DistributedSampler[int] = DistributedSampler(DATA, ranks, rank, seed=seed)
    return StatefulDataLoader(DATA, SIZE // ranks, sampler=sampler, collate_fn=list)


def global_batches(make: Make, ranks: int, state: Any = None) -> list[list[int]]:
    """Those of all ranks together, from a state on if there is one."""
    loaders = [make(ranks=ranks, rank=rank) for rank in range(ranks)]
    for one in loaders if state else ():
        one.load_state_dict(state)
    return [list(chain(*parts)) for parts in zip(*loaders, strict=True)]


def test_a_loader_stops_after_every_step() -> None:
    compare(ours=ours, torchs=torchs)


@pytest.mark.parametrize("make", [ours, torchs])
def test_eight_ranks_and_four(make: Make) -> None:
    eight, four = global_batches(make, 8), global_batches(make, 4)
    assert sorted(chain(*eight)) == sorted(chain(*four)) == list(DATA)
    ordered = sum(one == other for one, other in zip(eight, four, strict=True))
    same = sum(set(one) == set(other) for one, other in zip(eight, four, strict=True))
    rest = global_batches(make, 4, states_of(make(ranks=8))[1][5])
    went_on = sum(set(one) == set(other) for one, other in zip(rest, eight[5:], strict=False))
    told = f"of {STEPS} batches {same} are the same, {ordered} in the same order"
    print(f"\n{make.__name__}: {told}; 4 ranks go on for 8 with {went_on} of {STEPS - 5}", end="")  # noqa: T201 - as above
    assert len(eight) == STEPS
    assert make is not ours or (ordered, rest) == (STEPS, eight[5:])


def test_a_stream_stops_after_every_sample(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    datasets = pytest.importorskip("datasets")
    caplog.set_level(logging.ERROR, "datasets")  # it warns of each state of a shuffled stream
    for start in range(0, ROWS, ROWS // 3):
        records = ({"prompt": str(row), "response": "a", "label": row % 2} for row in DATA[start : start + ROWS // 3])
        (tmp_path / f"{start}.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    files = sorted(map(str, tmp_path.glob("*.jsonl")))
    config = KTODataConfig(train_file=files, balance_labels=False, buffer_size=WINDOW)
    theirs = datasets.load_dataset("json", data_files=files, split="train", streaming=True, cache_dir=str(tmp_path))
    compare(
        ours=lambda seed=42: KTODataLoader(config).stream(seed=seed),
        theirs=lambda seed=42: theirs.shuffle(seed, buffer_size=WINDOW),
    )
