"""Many processes that load the same at one moment: one builds, all get the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

SEEDS = ("0", "1", "random")
ROUNDS = {2: 50, 8: 50, 32: 50}
NO_LOCKS = [["no locks"]]


def nurseries(make_nursery: Callable[..., Any]) -> list[Any]:
    """Processes with different hashes of one text."""
    return [make_nursery(PYTHONHASHSEED=seed) for seed in SEEDS]


def test_many_build_once(laws: Any, house: Any, make_nursery: Callable[..., Any]) -> None:
    digests = {laws.many_build_once(house, count, nurseries(make_nursery))["digest"] for count in (2, 6)}
    assert len(digests) == 1


def test_many_build_the_same_where_no_file_can_be_locked(laws: Any, house: Any, nursery: Any) -> None:
    locked = laws.many_build_once(house, 2, [nursery])
    free = laws.many_build_once(house, 4, [nursery], NO_LOCKS, once=False)
    assert free["digest"] == locked["digest"]


def test_another_takes_over(laws: Any, house: Any) -> None:
    laws.another_takes_over(house)


@pytest.mark.parametrize(
    ("target", "nth"),
    [
        ("ktoformats.store.sink:_Files.close", 2),
        ("ktoformats.store.vault:_moved", 1),
        ("ktoformats.store.cache:_write_chosen", 1),
        ("numpy:save", 1),
        ("numpy:save", 2),
        ("numpy:save", 3),
    ],
)
def test_who_builds_is_left_alone(laws: Any, house: Any, target: str, nth: int) -> None:
    laws.who_builds_is_left_alone(house, target, nth)


def test_one_is_inside(laws: Any, house: Any) -> None:
    laws.one_is_inside(house, 6, 60)


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("count", [2, 8, 32])
def test_many_build_once_every_time(laws: Any, house: Any, make_nursery: Callable[..., Any], count: int) -> None:
    found = [laws.many_build_once(house, count, nurseries(make_nursery)) for _ in range(ROUNDS[count])]
    assert len({one["digest"] for one in found}) == 1
    slowest = max(one["seconds"] for one in found)
    print(f"{count} processes, {len(found)} rounds: one build each, 1 digest, {slowest:.1f} s at most")  # noqa: T201 - the figures of a campaign are its result


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("count", [2, 8])
def test_many_build_the_same_without_locks_every_time(laws: Any, house: Any, nursery: Any, count: int) -> None:
    found = [laws.many_build_once(house, count, [nursery], NO_LOCKS, once=False) for _ in range(20)]
    assert len({one["digest"] for one in found}) == 1
    most = max(one["converted"] for one in found)
    print(f"{count} processes without locks, {len(found)} rounds: 1 digest, at most {most} blocks converted")  # noqa: T201 - as above


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_another_takes_over_every_time(laws: Any, make_house: Callable[..., Any]) -> None:
    slowest = max(laws.another_takes_over(make_house()) for _ in range(20))
    print(f"20 of 20 killed builders were followed, after {slowest:.2f} s at most")  # noqa: T201 - as above


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_one_is_inside_for_long(laws: Any, house: Any) -> None:
    laws.one_is_inside(house, 16, 1000)
    print("16 processes took a lock 1000 times each: never two at once")  # noqa: T201 - as above
