"""Entries of one key come together, in order, whether they fit into memory or not."""

from __future__ import annotations

from hashlib import blake2b
from typing import TYPE_CHECKING

from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats.store.partition import KEY_BYTES, Entry, Together

if TYPE_CHECKING:
    import random

    import pytest


def entry(key: int, order: int, size: int = 10) -> Entry:
    digest = blake2b(b"%d" % key, digest_size=KEY_BYTES).digest()
    return Entry(digest, order, order % 2, b"[%d]" % order, b"x" * size)


def grouped(entries: list[Entry], memory: int) -> list[list[Entry]]:
    with Together(memory) as together:
        for one in entries:
            together.add(one)
        return list(together.groups())


def by_hand(entries: list[Entry]) -> list[list[Entry]]:
    groups: dict[bytes, list[Entry]] = {}
    for one in sorted(entries, key=lambda one: one.order):
        groups.setdefault(one.key, []).append(one)
    return list(groups.values())


@settings(deadline=None)
@given(
    st.lists(st.integers(0, 30), max_size=200),
    st.sampled_from([10_000, 30_000, 10**9]),
    st.randoms(use_true_random=False),
)
def test_groups_are_the_same_for_every_amount_of_memory(
    keys: list[int], memory: int, shuffler: random.Random
) -> None:
    entries = [entry(key, order) for order, key in enumerate(keys)]
    expected = by_hand(entries)
    shuffler.shuffle(entries)
    found = grouped(entries, memory)
    assert [[one._replace(raw=b"") for one in group] for group in found] == [
        [one._replace(raw=b"") for one in group] for group in expected
    ]


def test_more_than_memory_holds_is_spread_over_files_again_and_again() -> None:
    entries = [entry(order % 3000, order) for order in range(12_000)]
    assert grouped(entries, 5_000) == by_hand(entries)


def test_of_a_group_beyond_memory_the_rest_comes_without_its_bytes() -> None:
    entries = [entry(1, order, 1000) for order in range(50)] + [entry(2, 50)]
    large, small = grouped(entries, 20_000)
    assert [one.raw is not None for one in large] == [True] * 16 + [False] * 34
    assert [one.order for one in large] == list(range(50))
    assert small == [entry(2, 50)]


def test_files_are_gone_when_the_context_ends(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    with Together(1_000) as together:
        for order in range(100):
            together.add(entry(order, order))
        files = together._files
        assert len(list(together.groups())) == 100
    assert all(file.closed for file in files)
