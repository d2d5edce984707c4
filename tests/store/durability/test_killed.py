"""A build that is killed: what it did is kept, what it did not do is built, and nobody ever sees a part."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

FEW, MANY = 6, 200
SEED = 20_240


def duration_of(house: Any, **job: Any) -> float:
    """Seconds from the start of a process to the end of its build."""
    import time

    began = time.monotonic()
    house.fresh(**job)
    return time.monotonic() - began


@pytest.mark.parametrize("number", range(7))
def test_a_kill_at_a_point_costs_only_what_was_not_done(laws: Any, house: Any, number: int) -> None:
    point = laws.FEW_POINTS[number]
    laws.a_kill_costs_only_what_was_not_done(house, laws.killed_at(point), sources=[house.source()])


def kill_at_any_time(laws: Any, make_house: Callable[..., Any], count: int) -> str:
    chance = random.Random(SEED)
    first = make_house()
    whole = min(duration_of(first, sources=[first.source()]) for _ in range(3))
    kept = []
    for _ in range(count):
        house = make_house()
        kill = laws.killed_after(chance.uniform(0.1, 1.0) * whole)
        found = laws.a_kill_costs_only_what_was_not_done(house, kill, sources=[house.source()])
        kept.append(found["kept"] / found["of"])
    partly = sum(0 < share < 1 for share in kept)
    return (
        f"{count} of {count} kills in builds of {whole:.2f} s: right, nothing over; blocks kept: none in "
        f"{kept.count(0)}, some in {partly}, all in {kept.count(1)}"
    )


def test_a_kill_at_any_time_costs_only_what_was_not_done(laws: Any, make_house: Callable[..., Any]) -> None:
    kill_at_any_time(laws, make_house, FEW)


def test_a_late_kill_leaves_most_of_the_work(laws: Any, house: Any) -> None:
    kill = laws.killed_at("the fourth shard is to be renamed")
    found = laws.a_kill_costs_only_what_was_not_done(house, kill, sources=[house.source()])
    assert 0 < found["kept"] < found["of"]


def test_no_child_outlives_its_build(laws: Any, house: Any) -> None:
    laws.no_child_outlives_its_build(house)


def test_nobody_sees_a_part(laws: Any, house: Any) -> None:
    found = laws.nobody_sees_a_part(house, [0.1, 0.3, 0.2])
    assert found["looks"] > 3
    assert found["loads"] > 1


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_a_kill_at_every_point(laws: Any, make_house: Callable[..., Any]) -> None:
    for point in laws.POINTS:
        house = make_house()
        found = laws.a_kill_costs_only_what_was_not_done(house, laws.killed_at(point), sources=[house.source()])
        print(f"killed where {point}: {found['kept']} of {found['of']} blocks kept")  # noqa: T201 - the figures of a campaign are its result
    print(f"{len(laws.POINTS)} of {len(laws.POINTS)} points: right, nothing over")  # noqa: T201 - as above


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_kills_at_any_time(laws: Any, make_house: Callable[..., Any]) -> None:
    print(kill_at_any_time(laws, make_house, MANY))  # noqa: T201 - the figures of a campaign are its result


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_nobody_sees_a_part_of_many_builds(laws: Any, house: Any) -> None:
    chance = random.Random(SEED)
    found = laws.nobody_sees_a_part(house, [chance.uniform(0.02, 0.6) for _ in range(60)])
    print(f"60 killed builds: {found['looks']} looks and {found['loads']} loads, none saw a part")  # noqa: T201 - as above


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_no_child_outlives_its_build_ever(laws: Any, make_house: Callable[..., Any]) -> None:
    for _ in range(10):
        laws.no_child_outlives_its_build(make_house())
    print("10 of 10 builds with 2 workers: no child outlived them")  # noqa: T201 - as above
