"""Every row finds the root of its tree, however few rows are looked at together."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats.store.roots import Roots


def found(rows: list[tuple[int, int]], together: int) -> list[int]:
    with Roots(together) as roots:
        for node, up in rows:
            roots.add(node, up)
        return list(roots.find())


def by_hand(rows: list[tuple[int, int]]) -> list[int]:
    parents = dict(rows)
    roots = []
    for node, _ in rows:
        here = node
        while parents.get(here, 0):
            here = parents[here]
        roots.append(here)
    return roots


@st.composite
def forests(draw: st.DrawFn) -> list[tuple[int, int]]:
    """Trees and chains; some rows name a parent that has no row."""
    count = draw(st.integers(1, 60))
    ups = [0] + [draw(st.sampled_from([0, node - 1, node // 2, 1000 + node % 3])) for node in range(2, count + 1)]
    return draw(st.permutations(list(enumerate(ups, start=1))))


@settings(deadline=None)
@given(forests(), st.sampled_from([5, 17, 10**6]))
def test_roots_are_those_that_walking_up_finds(rows: list[tuple[int, int]], together: int) -> None:
    assert found(rows, together) == by_hand(rows)


def test_a_long_chain_is_one_tree() -> None:
    assert set(found([(node, node - 1) for node in range(1, 5001)], 700)) == {1}


def test_no_rows_have_no_roots() -> None:
    assert found([], 10) == []


@pytest.mark.timeout(20)
def test_a_circle_ends() -> None:
    rows = [(node, node % 30 + 1) for node in range(1, 31)]
    assert set(found(rows, 10)) <= set(range(1, 31))
