"""Lengths: the area under the curve is what its definition says, quantiles are lengths that are there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktoformats.report.lengths import area_under_curve, chance, midranks, quantiles

SAMPLES = st.lists(st.tuples(st.integers(0, 6), st.booleans()), max_size=40)


def by_hand(samples: list[tuple[int, bool]]) -> float | None:
    """Every good one beside every bad one."""
    goods = [value for value, good in samples if good]
    bads = [value for value, good in samples if not good]
    if not goods or not bads:
        return None
    won = [1.0 if one > other else 0.5 if one == other else 0.0 for one in goods for other in bads]
    return sum(won) / len(won)


@given(SAMPLES)
def test_the_area_is_the_share_of_couples_in_which_the_good_one_is_longer(samples: list[tuple[int, bool]]) -> None:
    values = np.array([value for value, _ in samples], np.int64)
    good = np.array([one for _, one in samples], np.bool_)
    assert area_under_curve(values, good) == pytest.approx(by_hand(samples))


def test_equal_values_share_the_mean_of_their_places() -> None:
    assert midranks(np.array([5, 1, 5, 3, 5])).tolist() == [4.0, 1.0, 4.0, 2.0, 4.0]


def test_the_area_of_lengths_that_say_nothing_is_nearly_always_within_two_standard_errors() -> None:
    random = np.random.default_rng(7)
    good = np.arange(60) % 3 == 0
    areas = np.array([area_under_curve(random.random(60), good) for _ in range(400)], np.float64)
    assert np.mean(np.abs(areas - 0.5) < 2 * chance(good)) > 0.92


def test_a_quantile_is_a_length_that_is_there() -> None:
    assert quantiles(np.array([1, 2, 3, 1000])) == {"median": 3, "p90": 1000, "p99": 1000, "longest": 1000}
    assert quantiles(np.array([], np.int64)) == {}
