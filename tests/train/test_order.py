from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats.train.order import _Swaps, fewest_single_class_batches, single_class_batches, training_order

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Samples = tuple[NDArray[np.bool_], NDArray[np.uint64], NDArray[np.uint64]]

SEEDS = st.integers(min_value=0, max_value=2**32 - 1)


def hashes(rng: np.random.Generator, n: int) -> NDArray[np.uint64]:
    return rng.integers(0, 2**64, n, dtype=np.uint64)


def samples(seed: int, n: int, minority: int, prompts: int) -> Samples:
    """n samples of which `minority` are of one class, spread over the prompts at random, in random order."""
    rng = np.random.default_rng(seed)
    good = rng.permutation(np.arange(n) < minority) ^ (seed % 2 == 1)
    return good, hashes(rng, prompts)[rng.integers(0, prompts, n)], hashes(rng, n)


def answers(seed: int, prompts: int, good: int, bad: int) -> Samples:
    """Every prompt with so many good and bad answers, in random order."""
    rng = np.random.default_rng(seed)
    rows = rng.permutation(prompts * (good + bad))
    labels = np.tile(np.arange(good + bad) < good, prompts)
    return labels[rows], np.repeat(hashes(rng, prompts), good + bad)[rows], hashes(rng, len(rows))


def clashes(order: NDArray[np.int64], group: NDArray[np.uint64]) -> int:
    groups = group[order]
    return int(np.count_nonzero(groups[1:] == groups[:-1]))


@st.composite
def any_samples(draw: st.DrawFn) -> Samples:
    n = draw(st.integers(min_value=2, max_value=5000))
    minority = draw(st.integers(min_value=max(1, n // 50), max_value=n // 2))
    return samples(draw(SEEDS), n, minority, draw(st.integers(min_value=1, max_value=n)))


def check_every_batch_size(data: Samples, seed: int = 0) -> None:
    good, group, key = data
    order = training_order(good, group, key, seed=seed)
    np.testing.assert_array_equal(np.sort(order), np.arange(len(good)))
    minority = int(min(good.sum(), (~good).sum()))
    for batch_size in range(2, 65):
        found = single_class_batches(good[order], batch_size)
        assert found == fewest_single_class_batches(len(good), minority, batch_size), batch_size


@settings(deadline=None, max_examples=150)
@given(any_samples(), SEEDS)
def test_no_batch_size_can_have_fewer_single_class_batches(data: Samples, seed: int) -> None:
    check_every_batch_size(data, seed)


@pytest.mark.parametrize("share", [0.02, 0.1, 0.25, 0.3333, 0.49, 0.5])
@pytest.mark.parametrize("n", [2, 3, 7, 64, 65, 999, 1000, 4999, 5000])
def test_no_batch_size_can_have_fewer_single_class_batches_at_fixed_sizes(n: int, share: float) -> None:
    for seed in range(4):
        check_every_batch_size(samples(seed, n, max(1, int(n * share)), max(1, n // 3)), seed)


def test_classes_stand_well_for_every_size_and_share_of_small_sets() -> None:
    for n in range(2, 40):
        for minority in range(1, n // 2 + 1):
            check_every_batch_size(samples(n + minority, n, minority, n))


@pytest.mark.parametrize("batch_size", range(1, 9))
def test_the_minimum_is_what_trying_every_arrangement_finds(batch_size: int) -> None:
    for n in range(1, 9):
        for minority in range(n // 2 + 1):
            arrangements = (np.isin(np.arange(n), places) for places in combinations(range(n), minority))
            fewest = min(single_class_batches(arrangement, batch_size) for arrangement in arrangements)
            assert fewest == fewest_single_class_batches(n, minority, batch_size), (n, minority)


@pytest.mark.parametrize(
    ("labels", "batch_size", "expected"),
    [("", 2, 0), ("gg", 2, 1), ("gb", 2, 0), ("gbg", 2, 1), ("gbgb", 1, 4), ("ggbb", 3, 1), ("ggbb", 9, 0)],
)
def test_single_class_batches_counts_short_batches_too(labels: str, batch_size: int, expected: int) -> None:
    assert single_class_batches(np.array([c == "g" for c in labels], dtype=np.bool_), batch_size) == expected


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.integers(min_value=4, max_value=600), SEEDS)
def test_the_answers_of_a_pair_are_never_side_by_side(data: int, prompts: int, seed: int) -> None:
    good, group, key = answers(data, prompts, good=1, bad=1)
    assert clashes(training_order(good, group, key, seed=seed), group) == 0


@pytest.mark.parametrize("prompts", range(4, 40))
def test_the_answers_of_few_pairs_are_never_side_by_side(prompts: int) -> None:
    for seed in range(25):
        good, group, key = answers(seed, prompts, good=1, bad=1)
        assert clashes(training_order(good, group, key, seed=seed), group) == 0


@settings(deadline=None, max_examples=100)
@given(SEEDS, st.integers(min_value=20, max_value=400), SEEDS)
def test_the_answers_of_a_ranking_are_never_side_by_side(data: int, prompts: int, seed: int) -> None:
    good, group, key = answers(data, prompts, good=1, bad=6)
    assert clashes(training_order(good, group, key, seed=seed), group) == 0


def test_the_answers_of_a_pair_are_half_an_epoch_apart() -> None:
    good, group, key = answers(3, 500, good=1, bad=1)
    place = np.argsort(training_order(good, group, key))
    by_prompt = place[np.argsort(group, kind="stable")].reshape(-1, 2)
    apart = np.abs(by_prompt[:, 0] - by_prompt[:, 1])
    assert np.all(np.minimum(apart, 1000 - apart) >= 498)


def test_the_labels_of_a_prompt_with_many_answers_are_mixed_over_the_epoch() -> None:
    good, group, key = answers(4, 10, good=50, bad=50)
    order = training_order(good, group, key)
    for prompt in np.unique(group):
        halves = np.array_split(good[order][group[order] == prompt], 2)
        assert all(20 <= int(half.sum()) <= 30 for half in halves)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.4])
def test_a_prompt_with_a_large_share_of_all_answers_is_still_kept_apart(share: float) -> None:
    good, group, key = samples(8, 5000, 2400, 5000)
    group[: int(5000 * share)] = 7
    assert clashes(training_order(good, group, key), group) == 0
    check_every_batch_size((good, group, key))


@pytest.mark.parametrize("shares", [(1.0,), (0.7,), (0.45, 0.45), (0.5, 0.5)])
def test_prompts_too_large_to_keep_apart_end_in_bounded_time(shares: tuple[float, ...]) -> None:
    good, group, key = samples(9, 20_000, 9000, 20_000)
    cuts = np.cumsum([0, *shares]) * 20_000
    for number, (start, stop) in enumerate(pairwise(cuts)):
        group[int(start) : int(stop)] = number
    random = np.random.default_rng(0).permutation(20_000)
    assert clashes(training_order(good, group, key), group) <= clashes(random, group)
    check_every_batch_size((good, group, key))


def test_every_swap_ends_a_clash_and_keeps_the_places_of_the_classes() -> None:
    for seed in range(500):
        rng = np.random.default_rng(seed)
        n = int(rng.integers(2, 60))
        good, group, _ = samples(seed, n, n // 3, int(rng.integers(1, 7)))
        order = rng.permutation(n)
        groups, before, labels = group[order], clashes(order, group), good[order]
        swaps = _Swaps(order, [groups], labels, 10_000).mend((np.flatnonzero(groups[1:] == groups[:-1]) + 1).tolist())
        assert clashes(order, group) <= before - swaps
        np.testing.assert_array_equal(good[order], labels)
        np.testing.assert_array_equal(np.sort(order), np.arange(n))


@settings(deadline=None, max_examples=60)
@given(any_samples(), SEEDS)
def test_the_order_depends_on_the_set_of_samples_alone(data: Samples, seed: int) -> None:
    good, group, key = data
    shuffled = np.random.default_rng(seed).permutation(len(good))
    expected = key[training_order(good, group, key, seed=seed)]
    found = key[shuffled][training_order(good[shuffled], group[shuffled], key[shuffled], seed=seed)]
    np.testing.assert_array_equal(found, expected)


def test_each_seed_has_its_own_order_and_keeps_it() -> None:
    good, group, key = samples(1, 1000, 300, 400)
    orders = [training_order(good, group, key, seed=seed) for seed in (0, 1, 2, -1, 2**64 - 2)]
    assert len({order.tobytes() for order in orders}) == len(orders)
    np.testing.assert_array_equal(orders[1], training_order(good, group, key, seed=1))


def test_one_prompt_alone_has_an_order_of_its_own_per_seed_too() -> None:
    good, group, key = samples(1, 100, 50, 1)
    orders = {training_order(good, group, key, seed=seed).tobytes() for seed in range(5)}
    assert len(orders) == 5


def test_the_order_is_the_same_in_every_release() -> None:
    good = np.array([True, False, False, True, False, True])
    group = np.array([1, 1, 2, 2, 3, 3], dtype=np.uint64)
    key = np.arange(6, dtype=np.uint64)
    assert training_order(good, group, key).tolist() == [1, 3, 4, 0, 2, 5]


def test_the_arrays_handed_in_stay_as_they_are() -> None:
    data = samples(2, 500, 200, 5)
    copies = [array.copy() for array in data]
    training_order(*data)
    for array, copy in zip(data, copies, strict=True):
        np.testing.assert_array_equal(array, copy)


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_one_class_is_ordered_too(n: int) -> None:
    good, group, key = samples(5, n, 0, max(n, 1))
    order = training_order(good, group, key)
    assert order.dtype == np.int64
    assert sorted(order.tolist()) == list(range(n))


def test_arrays_of_unequal_shape_are_refused() -> None:
    good, group, key = samples(0, 4, 2, 4)
    with pytest.raises(ValueError, match=r"expected three arrays of one shape \(n,\), got good \(4,\), group \(3,\)"):
        training_order(good, group[:3], key)
    with pytest.raises(ValueError, match=r"got good \(2, 2\)"):
        training_order(good.reshape(2, 2), group.reshape(2, 2), key.reshape(2, 2))


def test_a_batch_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="batch_size must be at least 1, got 0"):
        single_class_batches(np.ones(3, dtype=np.bool_), 0)
    with pytest.raises(ValueError, match="batch_size must be at least 1, got -1"):
        fewest_single_class_batches(3, 1, -1)
