"""Bytes that change after they were written: seen before the first row, set aside, built again."""

from __future__ import annotations

import random
import shutil
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FEW, MANY = 30, 500
SEED = 9


def flip_bytes(laws: Any, house: Any, verify: str, count: int) -> None:
    """Change random bytes, one after the other, each in a cache that is sound again."""
    chance = random.Random(SEED)
    job = {"sources": [house.source(records=240)]}
    reference = house.load(**job)
    for _ in range(count):
        laws.a_changed_byte_is_seen(house, laws.random_flip(house, chance), verify, reference, **job)
        shutil.rmtree(house.cache / "damaged")


@pytest.mark.parametrize("verify", ["always", "first"])
def test_a_changed_byte_is_seen(laws: Any, house: Any, verify: str) -> None:
    flip_bytes(laws, house, verify, FEW)


def test_every_file_of_an_entry_is_watched(laws: Any, house: Any) -> None:
    assert laws.every_file_of_an_entry_is_watched(house) >= 8


def test_a_lost_shard_is_built_by_itself(laws: Any, house: Any) -> None:
    laws.a_lost_shard_is_built_by_itself(house)


def test_a_shard_comes_out_the_same_whoever_converts(laws: Any, house: Any) -> None:
    laws.a_lost_shard_is_built_by_itself(house, {"preprocessing_num_workers": 2})


def test_never_is_blind_but_for_lengths(laws: Any, house: Any) -> None:
    laws.never_is_blind_but_for_lengths(house)


def test_a_damaged_note_costs_only_time(laws: Any, house: Any) -> None:
    laws.a_damaged_note_costs_only_time(house, random.Random(SEED), 6)


def test_a_note_is_of_its_own_file(laws: Any, house: Any) -> None:
    laws.a_note_is_of_its_own_file(house)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("verify", ["always", "first"])
def test_many_changed_bytes_are_seen(laws: Any, house: Any, verify: str) -> None:
    flip_bytes(laws, house, verify, MANY)
    print(f"{MANY} of {MANY} changed bytes seen under {verify}, no signals")  # noqa: T201 - the figures of a campaign are its result


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_many_damaged_notes_cost_only_time(laws: Any, make_house: Callable[..., Any]) -> None:
    laws.a_damaged_note_costs_only_time(make_house(), random.Random(SEED), 150)
    print("150 of 150 changed bytes of notes changed nothing")  # noqa: T201 - as above
