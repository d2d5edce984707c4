"""Orders: what TRL does to rows and to pairs, step by step, is what is judged."""

from __future__ import annotations

from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from ktoformats.report.orders import PAIRS_AT_ONCE, lineup_of, partnership, rotated, unpaired
from ktoformats.train.plan import Traits


def rotated_by_hand(rows: list[Any], batch_size: int) -> list[Any]:
    """A batched map that moves the last answer of each batch to its front."""
    made: list[Any] = []
    for start in range(0, len(rows), batch_size):
        batch = rows[start : start + batch_size]
        made += [batch[-1], *batch[:-1]]
    return made


def unpaired_by_hand(pairs: int) -> list[tuple[int, str]]:
    """A batched map that gives the chosen answers of its rows, then the rejected ones."""
    made: list[tuple[int, str]] = []
    for start in range(0, pairs, 1000):
        batch = range(start, min(start + 1000, pairs))
        made += [(pair, side) for side in ("chosen", "rejected") for pair in batch]
    return made


def traits(good: list[bool], asked: list[int], answer: list[int]) -> Traits:
    numbers = np.arange(len(good), dtype=np.uint64)
    prompts, answers = (np.array(one, np.uint64) for one in (asked, answer))
    return Traits(np.array(good, np.bool_), prompts, numbers, prompts, answers, np.ones(len(good), np.int64))


@given(st.permutations(range(23)), st.integers(2, 30))
def test_partners_are_the_answers_rotated_within_each_batch(order: list[int], batch_size: int) -> None:
    assert rotated(np.array(order), batch_size).tolist() == rotated_by_hand(order, batch_size)


def test_of_no_rows_there_are_no_partners() -> None:
    assert rotated(np.zeros(0, np.int64), 4).tolist() == []


def test_pairs_are_taken_apart_in_chunks() -> None:
    assert PAIRS_AT_ONCE == 1000
    for pairs in (1, 3, 1000, 1001, 2300):
        sides = [(pair, side) for pair in range(pairs) for side in ("rejected", "chosen")]
        good = np.array([side == "chosen" for _, side in sides])
        order = unpaired(good, np.array([pair for pair, _ in sides]))
        assert [sides[row] for row in order] == unpaired_by_hand(pairs)


def test_a_partner_counts_under_the_first_thing_that_is_wrong_with_it() -> None:
    of = traits([True] * 5, asked=[1, 1, 2, 3, 3], answer=[1, 2, 1, 4, 4])
    rows = np.array([0, 1, 2, 3, 4])
    assert vars(partnership(of, rows, np.array([0, 0, 0, 4, -1]))) == {
        "missing": 1,
        "own_answer": 1,
        "same_prompt": 2,
        "same_text": 1,
    }
    assert str(partnership(of, rows[:1], np.array([3]))) == "none"


def test_a_last_batch_of_one_is_its_own_partner() -> None:
    of = traits([True, False] * 4 + [True], asked=list(range(9)), answer=list(range(9)))
    order = np.arange(9)
    found = lineup_of("file", order, rotated(order, 8), of, 8)
    assert (found.batches, found.single_class_batches, found.fewest_single_class_batches) == (2, 1, 1)
    assert (found.partners.own_answer, found.partners.invalid) == (1, 1)


def test_sorted_labels_give_batches_of_one_label() -> None:
    of = traits([True] * 16 + [False] * 16, asked=list(range(32)), answer=list(range(32)))
    order = np.arange(32)
    found = lineup_of("file", order, rotated(order, 4), of, 4)
    assert (found.single_class_batches, found.fewest_single_class_batches, found.partners.invalid) == (8, 0, 0)
    assert found.to_json()["single_class_share"] == 1.0
