"""The order of an epoch, its global batches, and their parts: laws over all ranks, computed without processes."""

from __future__ import annotations

import hashlib
import json
import time
from collections import Counter
from itertools import chain, product
from math import sqrt
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import ElasticBatchSampler
from ktoformats.train import permutation
from ktoformats.train.permutation import Permutation, seed_of

if TYPE_CHECKING:
    from ktoformats.train.permutation import Positions

SIZES: Final = (0, 1, 7, 63, 64, 65, 1000, 4097)
REMAINDERS: Final = ("pad", "drop", "uneven")


def sampler(n: int, size: int = 48, ranks: int = 1, rank: int = 0, **options: Any) -> ElasticBatchSampler:
    return ElasticBatchSampler(range(n), global_batch_size=size, num_replicas=ranks, rank=rank, **options)


def epoch_of(n: int, size: int, ranks: int, **options: Any) -> list[list[list[int]]]:
    """Every rank's batches."""
    return [list(sampler(n, size, ranks, rank, **options)) for rank in range(ranks)]


def global_batches(parts: list[list[list[int]]]) -> list[list[int]]:
    """The parts of all ranks, put together batch by batch; a rank that has no more adds nothing."""
    steps = max(map(len, parts))
    return [[one for part in parts for one in (part[step] if step < len(part) else [])] for step in range(steps)]


def order_of(n: int, seed: int = 42, epoch: int = 0) -> Positions:
    return Permutation(n, seed_of(seed, epoch))[np.arange(n)]


# Partition, equal steps, elastic order


@pytest.mark.parametrize("remainder", REMAINDERS)
def test_every_sample_is_in_one_batch_of_one_rank_and_ranks_take_equal_steps(remainder: str) -> None:
    """Ranks 1..8, per-rank batches 1..8, eight sizes, both orders: the union is the dataset but for what is told."""
    configurations = 0
    for ranks, each, n, order in product(range(1, 9), range(1, 9), SIZES, ("shuffle", "sequential")):
        size = ranks * each
        parts = epoch_of(n, size, ranks, order=order, remainder=remainder)
        told = sampler(n, size, ranks, remainder=remainder, order=order)
        counts = Counter(one for part in parts for batch in part for one in batch)
        steps = [len(part) for part in parts]
        assert steps == [len(sampler(n, size, ranks, rank, remainder=remainder)) for rank in range(ranks)]
        expected_padded = -n % size if remainder == "pad" else 0
        expected_dropped = n % size if remainder == "drop" else 0
        assert (told.padded, told.dropped) == (expected_padded, expected_dropped)
        assert counts.total() == n + expected_padded - expected_dropped
        assert set(counts) <= set(range(n))
        if remainder == "pad":
            assert len(counts) == n
            assert max(counts.values(), default=0) <= 1 + -(-expected_padded // max(n, 1))
        else:
            assert max(counts.values(), default=1) == 1
        if remainder == "uneven":
            assert len(counts) == n
            assert max(steps) - min(steps) <= 1
            assert steps == sorted(steps, reverse=True)
            assert all(batch for part in parts for batch in part)
        else:
            assert max(steps) == min(steps)
            assert all(len(batch) == each for part in parts for batch in part)
        configurations += 1
    assert configurations == 1024


@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("order", ["shuffle", "sequential"])
@pytest.mark.parametrize(("n", "size"), [(1, 48), (47, 48), (48, 48), (1000, 48), (70_001, 4800)])
def test_the_global_batches_are_the_same_for_any_number_of_ranks(
    n: int, size: int, order: str, remainder: str
) -> None:
    alone = list(sampler(n, size, order=order, remainder=remainder))
    for ranks in (2, 3, 4, 6, 8, 16, 48):
        assert global_batches(epoch_of(n, size, ranks, order=order, remainder=remainder)) == alone


def test_global_batches_are_the_epochs_order_cut() -> None:
    order = order_of(1000).tolist()
    batches = list(sampler(1000, 48))
    assert list(chain(*batches)) == order + order[:8]
    assert list(map(len, batches)) == [48] * 21


def test_an_uneven_last_batch_is_dealt_out_as_evenly_as_it_goes() -> None:
    last = [part[-1] if len(part) == 21 else [] for part in epoch_of(1000, 48, 8, remainder="uneven")]
    assert list(map(len, last)) == [5] * 8
    last = [part[-1] if len(part) == 21 else [] for part in epoch_of(965, 48, 8, remainder="uneven")]
    assert list(map(len, last)) == [1, 1, 1, 1, 1, 0, 0, 0]


def test_a_dataset_smaller_than_a_batch_is_repeated_as_often_as_it_takes() -> None:
    [[batch]] = epoch_of(5, 48, 1)
    order = order_of(5).tolist()
    assert batch == (order * 10)[:48]
    assert sampler(5).padded == 43


# The order


@pytest.mark.parametrize("n", [0, 1, 2, 3, 65_535, 65_536, 65_537, 65_792, 66_049, 100_000, 262_144, 262_145])
def test_an_order_is_a_permutation(n: int) -> None:
    np.testing.assert_array_equal(np.sort(order_of(n)), np.arange(n))


@settings(deadline=None, max_examples=50)
@given(n=st.integers(1, 5000), seed=st.integers(0, 2**63 - 1))
def test_a_computed_order_is_a_permutation_whatever_its_size(n: int, seed: int) -> None:
    """Few positions are listed; here the network has to do them too."""
    computed = Permutation(n, seed)
    computed._listed = None
    np.testing.assert_array_equal(np.sort(computed[np.arange(n)]), np.arange(n))


def test_one_place_is_what_it_is_among_all_places() -> None:
    whole = order_of(100_000)
    places = np.array([99_999, 0, 5, 5, 77_777])
    np.testing.assert_array_equal(Permutation(100_000, seed_of(42, 0))[places], whole[places])


def test_the_order_of_these_seeds_never_changes() -> None:
    """Pinned: runs of another day, version or platform must go on in it."""
    assert order_of(10).tolist() == [4, 7, 2, 1, 5, 9, 0, 6, 3, 8]
    assert order_of(10, epoch=1).tolist() == [7, 3, 9, 2, 4, 6, 8, 0, 1, 5]
    digest = hashlib.sha256(order_of(100_000, seed=7).astype("<i8").tobytes()).hexdigest()
    assert digest == "ea67eac8a1dd33cd1aee1bd94cdfceb7843c4ef1f4cba87a4d54582c40852770"


@pytest.mark.parametrize("seed", [0, 1, 42, 2**63 - 1])
def test_neighbours_are_strangers_and_samples_travel_far(seed: int) -> None:
    n = 100_000
    order, places = order_of(n, seed), np.arange(n)
    assert abs(np.corrcoef(order, places)[0, 1]) <= 4 / sqrt(n)  # ranks are the numbers themselves: Spearman
    assert abs(np.corrcoef(order[1:], order[:-1])[0, 1]) <= 4 / sqrt(n)
    assert np.abs(order - places).mean() / n == pytest.approx(1 / 3, abs=0.01)


def test_all_orders_of_six_are_equally_likely() -> None:
    counts = Counter(tuple(order_of(6, seed).tolist()) for seed in range(20_000))
    expected = 20_000 / 720
    chi2 = sum((count - expected) ** 2 for count in counts.values()) / expected + expected * (720 - len(counts))
    assert chi2 < 868  # p = 1e-4 at 719 degrees of freedom; a mean of 719 and a deviation of 38


def test_where_a_sample_of_a_large_dataset_lands_is_uniform_over_seeds() -> None:
    """Of the computed order: for some places, and for the distance between two neighbours."""
    n, seeds, bins = 100_003, 8_000, 64
    places = np.array([0, 1, n // 2, n - 1])
    landed = np.array([Permutation(n, seed_of(seed))[places] for seed in range(seeds)])
    for values in (*landed.T, (landed[:, 1] - landed[:, 0]) % n):
        counts = np.bincount(values * bins // n, minlength=bins)
        assert ((counts - seeds / bins) ** 2).sum() / (seeds / bins) < 120  # p = 2e-5 at 63 degrees of freedom


def test_batches_of_data_sorted_by_label_are_mixed() -> None:
    n = 100_000
    sides = np.array([(order_of(n, seed) < n // 2).reshape(-1, 16).sum(axis=1) for seed in range(10)])
    assert ((sides == 0) | (sides == 16)).mean() <= 0.0005
    unshuffled = (np.arange(n) < n // 2).reshape(-1, 16).sum(axis=1)
    assert ((unshuffled == 0) | (unshuffled == 16)).mean() == 1


@pytest.mark.parametrize("n", [1000, 100_000])
def test_epochs_and_seeds_are_independent(n: int) -> None:
    orders = [order_of(n, seed, epoch) for seed, epoch in ((42, 0), (42, 1), (42, 2), (43, 0), (44, 0), (41, 1))]
    for number, one in enumerate(orders):
        for other in orders[:number]:
            assert abs(np.corrcoef(one, other)[0, 1]) <= 4.5 / sqrt(n)
            assert (one == other).sum() <= 8  # on average one sample stands at its old place


def test_epoch_and_seed_are_not_added_up() -> None:
    seen = {seed_of(seed, epoch) for seed in range(100) for epoch in range(100)}
    assert len(seen) == 10_000


# Epochs


def test_each_iteration_is_the_next_epoch_unless_one_is_chosen() -> None:
    mine = sampler(500, 10)
    first, second = list(mine), list(mine)
    assert (mine.epoch, first != second) == (1, True)
    mine.set_epoch(0)
    assert list(mine) == first
    mine.set_epoch(1)
    assert list(mine) == second
    mine.set_epoch(1)
    assert list(mine) == second


def test_an_iteration_that_was_broken_off_counts_as_an_epoch() -> None:
    mine, whole = sampler(500, 10), sampler(500, 10)
    next(iter(mine))
    whole.set_epoch(1)
    assert list(mine) == list(whole)


def test_making_an_iterator_reads_nothing() -> None:
    """DataLoader with workers makes two before it reads the first batch."""
    mine = sampler(500, 10)
    iter(mine), iter(mine)
    assert mine.state_dict()["epoch"] == mine.state_dict()["batch"] == 0
    assert list(mine) == list(sampler(500, 10))


def test_a_negative_epoch_is_refused() -> None:
    with pytest.raises(ValueError, match="epoch must be at least 0, got -1"):
        sampler(500).set_epoch(-1)


# Orders of one's own


def test_a_function_orders_the_epochs_by_their_seeds() -> None:
    seeds: list[int] = []

    def backwards(seed: int) -> list[int]:
        seeds.append(seed)
        return list(range(99, -1, -1))

    mine = sampler(100, 10, order=backwards)
    assert list(chain(*mine)) == list(range(99, -1, -1))
    assert list(chain(*mine)) == list(range(99, -1, -1))
    assert seeds == [seed_of(42, 0), seed_of(42, 1)]
    assert 0 <= min(seeds) <= max(seeds) < 2**63


@pytest.mark.parametrize(
    ("made", "shown"),
    [
        (range(99), r"shape \(99,\) of int64"),
        ([0, *range(99)], r"shape \(100,\) of int64"),
        (range(1, 101), r"shape \(100,\) of int64"),
        ([0.0] * 100, r"shape \(100,\) of float64"),
        (np.zeros((100, 1), np.int64), r"shape \(100, 1\) of int64"),
    ],
    ids=["short", "twice", "beyond", "floats", "flat"],
)
def test_an_order_that_is_none_is_refused(made: Any, shown: str) -> None:
    with pytest.raises(ValueError, match=f"order returned {shown}, expected each of the positions 0..99 once"):
        next(iter(sampler(100, 10, order=lambda _: made)))


# Arguments


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"global_batch_size": 48, "num_replicas": 5, "rank": 0}, "a multiple of num_replicas, got 48 for 5 ranks"),
        ({"global_batch_size": 0}, "a multiple of num_replicas, got 0 for 1 ranks"),
        (
            {"global_batch_size": 8, "num_replicas": 4, "rank": 4},
            "rank must be from 0 to num_replicas - 1 = 3, got 4",
        ),
        (
            {"global_batch_size": 8, "num_replicas": 4, "rank": -1},
            "rank must be from 0 to num_replicas - 1 = 3, got -1",
        ),
        ({"global_batch_size": 8, "num_replicas": 4}, "rank is missing, and torch.distributed is not initialised"),
        ({"global_batch_size": 8, "rank": 1}, "num_replicas is missing, and torch.distributed is not initialised"),
        (
            {"global_batch_size": 8, "order": "random"},
            "order must be shuffle, sequential or a function, got 'random'",
        ),
        ({"global_batch_size": 8, "remainder": "keep"}, "remainder must be one of pad, drop, uneven, got 'keep'"),
    ],
)
def test_arguments_that_do_not_fit_are_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ElasticBatchSampler(range(100), **options)


# Resuming, by itself; with real loaders in test_resume.py


@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("ranks", [1, 4])
def test_a_run_goes_on_from_any_batch(ranks: int, remainder: str) -> None:
    for rank in range(ranks):
        whole = list(sampler(500, 16, ranks, rank, remainder=remainder))
        for done in range(len(whole) + 1):
            first = sampler(500, 16, ranks, rank, remainder=remainder)
            batches = iter(first)
            assert [next(batches) for _ in range(done)] == whole[:done]
            second = sampler(500, 16, ranks, rank, remainder=remainder)
            second.load_state_dict(json.loads(json.dumps(first.state_dict())))
            assert list(second) == whole[done:]


def test_ranks_may_change_in_the_middle_of_an_epoch() -> None:
    """8, then 4, then 6 ranks: the same global batches, with the same samples in the same places."""
    whole = list(sampler(1000))
    state, seen = None, []
    for ranks, steps in ((8, 5), (4, 6), (6, 99)):
        mine = [sampler(1000, 48, ranks, rank) for rank in range(ranks)]
        parts = []
        for one in mine:
            if state is not None:
                one.load_state_dict(state)
            batches = iter(one)
            parts.append([batch for batch, _ in zip(batches, range(steps), strict=False)])
        seen += global_batches(parts)
        states = [one.state_dict(batches=len(part)) for one, part in zip(mine, parts, strict=True)]
        assert all(one == states[0] for one in states)
        state = states[0]
    assert seen == whole


def test_a_state_after_the_end_is_the_beginning_of_the_next_epoch() -> None:
    mine, again = sampler(500, 10), sampler(500, 10)
    list(mine)
    again.load_state_dict(mine.state_dict())
    assert again.epoch == 1
    assert list(again) == list(mine)


def test_a_state_at_the_end_leaves_nothing_of_its_epoch() -> None:
    mine, again = sampler(500, 10), sampler(500, 10)
    list(mine)
    again.load_state_dict(mine.state_dict(batches=50))
    assert (again.epoch, list(again)) == (0, [])
    assert list(again) == list(mine)


def test_the_epoch_of_a_state_may_be_chosen_again() -> None:
    mine, whole = sampler(500, 10), list(sampler(500, 10))
    batches = iter(mine)
    for _ in range(20):
        next(batches)
    state = mine.state_dict()
    mine.load_state_dict(state)
    mine.set_epoch(0)
    assert list(mine) == whole[20:]
    mine.load_state_dict(state)
    mine.set_epoch(1)
    assert len(list(mine)) == 50


def test_batches_that_were_asked_for_and_not_used_are_not_counted() -> None:
    mine, whole = sampler(500, 10), list(sampler(500, 10))
    ahead = iter(mine)
    for _ in range(20):
        next(ahead)
    again = sampler(500, 10)
    again.load_state_dict(mine.state_dict(batches=13))
    assert list(again) == whole[13:]
    with pytest.raises(ValueError, match="batches must be from 0 to 20, as many as were asked for, got 21"):
        mine.state_dict(batches=21)
    with pytest.raises(ValueError, match="batches must be from 0 to 20, as many as were asked for, got -1"):
        mine.state_dict(batches=-1)


def test_a_state_is_small_and_has_always_the_same_keys() -> None:
    class Data:
        fingerprint = "f" * 64

        def __len__(self) -> int:
            return 10**7

    mine = ElasticBatchSampler(Data(), global_batch_size=48)
    before = mine.state_dict()
    mine.set_epoch(10**6)
    batches = iter(mine)
    for _ in range(3):
        next(batches)
    after = mine.state_dict()
    assert list(before) == list(after)
    assert [type(value) for value in before.values()] == [type(value) for value in after.values()]
    assert len(json.dumps(after)) < 1024


def test_going_on_takes_no_longer_far_into_a_large_epoch() -> None:
    def seconds(share: float) -> float:
        start = time.perf_counter()
        mine = sampler(10**7)
        mine.load_state_dict(mine.state_dict() | {"batch": int(10**7 / 48 * share)})
        next(iter(mine))
        return time.perf_counter() - start

    seconds(0.5)
    early, late = (min(seconds(share) for _ in range(5)) for share in (0.01, 0.9))
    assert late < 0.1
    assert late < 3 * early + 0.01


class Named:
    def __init__(self, n: int, fingerprint: str) -> None:
        self.n, self.fingerprint = n, fingerprint

    def __len__(self) -> int:
        return self.n


def state_of(**options: Any) -> dict[str, Any]:
    data = options.pop("data", Named(100, "aaaa"))
    return ElasticBatchSampler(data, **{"global_batch_size": 10} | options).state_dict()


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (state_of(data=Named(100, "bbbb")), "the state has data 'bbbb', this ElasticBatchSampler has 'aaaa'"),
        (state_of(data=range(100)), "the state has data '', this ElasticBatchSampler has 'aaaa'"),
        (state_of(data=Named(101, "aaaa")), "the state has samples 101, this ElasticBatchSampler has 100"),
        (state_of(seed=7), "the state has seed 7, this ElasticBatchSampler has 42"),
        (state_of(global_batch_size=20), "the state has global_batch_size 20, this ElasticBatchSampler has 10"),
        (state_of(order="sequential"), "the state has order 'sequential', this ElasticBatchSampler has 'shuffle'"),
        (state_of(order=range), "the state has order 'function range', this ElasticBatchSampler has 'shuffle'"),
        (state_of(remainder="drop"), "the state has remainder 'drop', this ElasticBatchSampler has 'pad'"),
        (state_of() | {"version": 2}, "the state has version 2, this ElasticBatchSampler has 1"),
        ({"yielded": 3}, "the state has no 'kind', so it is not from a ElasticBatchSampler; its keys are yielded"),
        ({}, "the state has no 'kind', so it is not from a ElasticBatchSampler; its keys are none"),
        (state_of() | {"kind": "KTOStream"}, "the state has kind 'KTOStream', this ElasticBatchSampler has"),
        ([1], "the state of a ElasticBatchSampler is a dict, got list"),
        ({key: value for key, value in state_of().items() if key != "seed"}, "the state has no 'seed'"),
        (
            {key: value for key, value in state_of().items() if key != "batch"},
            "the state has no 'batch'; its keys are",
        ),
        (state_of() | {"batch": "3"}, "the state has batch '3', expected a whole number from 0 to 10"),
        (state_of() | {"batch": True}, "the state has batch True, expected a whole number from 0 to 10"),
        (state_of() | {"batch": 11}, "the state has batch 11, expected a whole number from 0 to 10"),
        (state_of() | {"batch": -1}, "the state has batch -1, expected a whole number from 0 to 10"),
        (state_of() | {"epoch": -1}, "the state has epoch -1, expected a whole number from 0 to"),
        (state_of() | {"seed": 42.0}, "the state has seed 42.0, this ElasticBatchSampler has 42"),
        (state_of() | {"rank": 0}, "the state has keys that this ElasticBatchSampler does not know: rank"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_with_both_values(state: Any, message: str) -> None:
    mine = ElasticBatchSampler(Named(100, "aaaa"), global_batch_size=10)
    with pytest.raises(ValueError, match=message):
        mine.load_state_dict(state)
    assert list(mine) == list(sampler(100, 10)), "a refused state changes nothing"


def test_ranks_and_workers_are_no_part_of_a_state() -> None:
    assert state_of(num_replicas=5, rank=3) == state_of()


def test_few_positions_are_listed_and_many_are_not() -> None:
    assert Permutation(permutation._LISTED, 1)._listed is not None
    assert Permutation(permutation._LISTED + 1, 1)._listed is None
