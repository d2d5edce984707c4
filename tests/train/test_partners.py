"""KL partners, compared with the plain rule: the next row, round and round, that asks and answers something else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ktoformats.train.partners import ALONE, NEAR, ONE_PROMPT, ONE_TEXT, find_partners, is_partner, why_none

if TYPE_CHECKING:
    from ktoformats.store.numbers import Array

Columns = tuple["Array", "Array"]

FAR = 3 * NEAR


def by_the_rule(asked: Array, answer: Array) -> list[int]:
    """One row after the other, every other row after it."""
    n, found = len(asked), []
    for row in range(n):
        places = (row + 1 + np.arange(n - 1)) % n if n > 1 else np.zeros(0, np.int64)
        fits = (asked[places] != asked[row]) & (answer[places] != answer[row])
        found.append(int(places[np.argmax(fits)]) if fits.any() else -1)
    return found


def drawn(seed: int, n: int, prompts: int, texts: int) -> Columns:
    rng = np.random.default_rng(seed)
    names = rng.integers(0, 2**64, max(prompts, texts), dtype=np.uint64)
    return names[rng.integers(0, prompts, n)], names[rng.integers(0, texts, n)]


def frequent(n: int, share: float, *, sorts: bool, both: bool = False) -> Columns:
    """One prompt has a share of all rows; where asked for, one text has, too, of other rows."""
    rng = np.random.default_rng(n)
    asked, answer = np.arange(n, dtype=np.uint64), np.arange(n, dtype=np.uint64) + np.uint64(10**6)
    asked[: int(n * share)] = 7
    if both:
        answer[int(n * (1 - share)) :] = 9
    rows = np.arange(n) if sorts else rng.permutation(n)
    return asked[rows], answer[rows]


def swapped(columns: Columns) -> Columns:
    return columns[1], columns[0]


ADVERSARIAL: dict[str, Columns] = {
    "no rows": drawn(0, 0, 1, 1),
    "one row": drawn(0, 1, 1, 1),
    "two rows": drawn(0, 2, 10**6, 10**6),
    "two rows of one prompt": drawn(0, 2, 1, 10**6),
    "two rows of one text": drawn(0, 2, 10**6, 1),
    "all equal": drawn(0, FAR, 1, 1),
    "one prompt": drawn(0, FAR, 1, FAR),
    "one text": drawn(0, FAR, FAR, 1),
    "two prompts, two texts": drawn(1, FAR, 2, 2),
    "two prompts, sorted": (np.repeat([1, 2], FAR).astype(np.uint64), np.arange(2 * FAR, dtype=np.uint64)),
    "a prompt has 90 % of the rows": frequent(FAR, 0.9, sorts=False),
    "a prompt has 90 % of the rows, sorted": frequent(FAR, 0.9, sorts=True),
    "a text has 90 % of the rows": swapped(frequent(FAR, 0.9, sorts=False)),
    "a text has 90 % of the rows, sorted": swapped(frequent(FAR, 0.9, sorts=True)),
    "a prompt has 90 %, and a text": frequent(FAR, 0.9, sorts=True, both=True),
    "a prompt has half, a text the other": frequent(2 * FAR, 0.5, sorts=True, both=True),
    "a prompt has all rows but one": frequent(FAR, (FAR - 1) / FAR, sorts=True),
    "a prompt has 60 %, in front": frequent(2 * FAR, 0.6, sorts=True, both=True),
    "all near, then one more": drawn(2, NEAR + 1, 2, 1),
    "all near": drawn(2, NEAR, 2, 1),
}


def the_only_fit_is_far() -> Columns:
    """Two prompts with the same text in nearly all rows: of the prompt that others ask, only the last row fits."""
    asked = np.full(2 * FAR, 1, np.uint64)
    asked[FAR:] = 2
    answer = np.full(2 * FAR, 5, np.uint64)
    answer[-1] = 6
    return asked, answer


def the_next_of_other_prompts_have_the_same_text(start: int) -> Columns:
    """More of them than are looked at, and behind those a few that fit; the rows begin anywhere."""
    asked, answer = np.arange(5 * NEAR, dtype=np.uint64), np.arange(5 * NEAR, dtype=np.uint64) + np.uint64(10**6)
    asked[: 3 * NEAR] = 7
    answer[: NEAR // 8] = answer[3 * NEAR : 5 * NEAR - 20] = 9
    return np.roll(asked, start), np.roll(answer, start)


for begin in (0, 20, 2 * NEAR, -NEAR):
    near = the_next_of_other_prompts_have_the_same_text(begin)
    ADVERSARIAL[f"the next of other prompts have the same text, from {begin}"] = near
    ADVERSARIAL[f"the next of other texts have the same prompt, from {begin}"] = swapped(near)
ADVERSARIAL["the only fit is far away"] = the_only_fit_is_far()
ADVERSARIAL["the only fit is far away, by text"] = swapped(the_only_fit_is_far())


@pytest.mark.parametrize("name", ADVERSARIAL)
def test_a_partner_is_the_next_row_that_fits(name: str) -> None:
    asked, answer = ADVERSARIAL[name]
    found = find_partners(asked, answer)
    assert found.dtype == np.int64
    assert found.tolist() == by_the_rule(asked, answer)


@settings(deadline=None, max_examples=120)
@given(st.integers(0, 2**32 - 1), st.integers(0, 60), st.integers(1, 8), st.integers(1, 8))
@example(0, 3, 1, 2)
def test_among_few_rows_too(seed: int, n: int, prompts: int, texts: int) -> None:
    asked, answer = drawn(seed, n, prompts, texts)
    assert find_partners(asked, answer).tolist() == by_the_rule(asked, answer)


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(NEAR - 2, FAR),
    prompts=st.integers(1, 5),
    texts=st.integers(1, 5),
    sorts=st.booleans(),
)
def test_among_more_rows_than_are_looked_at_one_by_one(
    *, seed: int, n: int, prompts: int, texts: int, sorts: bool
) -> None:
    asked, answer = drawn(seed, n, prompts, texts)
    if sorts:
        rows = np.lexsort((answer, asked))
        asked, answer = asked[rows], answer[rows]
    assert find_partners(asked, answer).tolist() == by_the_rule(asked, answer)


@settings(deadline=None, max_examples=80)
@given(st.integers(0, 2**32 - 1), st.integers(1, 200), st.integers(1, 4), st.integers(1, 4))
def test_a_partner_is_missing_exactly_where_there_is_none(seed: int, n: int, prompts: int, texts: int) -> None:
    asked, answer = drawn(seed, n, prompts, texts)
    found = find_partners(asked, answer)
    exists = ((asked[:, None] != asked) & (answer[:, None] != answer)).any(axis=1)
    np.testing.assert_array_equal(found >= 0, exists)
    np.testing.assert_array_equal(is_partner(asked, answer, np.arange(n), found), exists)


def test_nearly_every_row_is_the_partner_of_one_other() -> None:
    asked, answer = drawn(3, 5000, 4000, 4000)
    found = find_partners(asked, answer)
    assert np.bincount(found).max() <= 3


def test_what_is_no_partner() -> None:
    asked, answer = np.array([1, 1, 2, 3], np.uint64), np.array([5, 6, 5, 7], np.uint64)
    rows, partners = np.array([0, 0, 0, 0, 0]), np.array([0, 1, 2, 3, -1])
    assert is_partner(asked, answer, rows, partners).tolist() == [False, False, False, True, False]


def test_why_there_is_no_partner() -> None:
    assert why_none(np.array([1], np.uint64)) == ALONE
    assert why_none(np.array([1, 1], np.uint64)) == ONE_PROMPT
    assert why_none(np.array([1, 2], np.uint64)) == ONE_TEXT


@pytest.mark.parametrize("name", ["a prompt has 90 % of the rows, sorted", "two prompts, two texts"])
def test_the_arrays_handed_in_stay_as_they_are(name: str) -> None:
    columns = ADVERSARIAL[name]
    copies = [column.copy() for column in columns]
    find_partners(*columns)
    for column, copy in zip(columns, copies, strict=True):
        np.testing.assert_array_equal(column, copy)
