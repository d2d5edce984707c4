"""What the system refuses to write: an error that says where, nothing lost, and a next try that is right."""

from __future__ import annotations

from collections import Counter
from itertools import count
from typing import Any

import pytest

CODES = ("ENOSPC", "EDQUOT", "EIO", "EROFS")
FEW_BYTES = {"shard": 30_000, "block": 2048, "rows": 64, "worth": 64}


def job_of(house: Any) -> dict[str, Any]:
    return {"sources": [house.source(records=60)], "small": FEW_BYTES}


def test_a_refused_call_is_told(laws: Any, house: Any) -> None:
    job = job_of(house)
    reference = house.fresh(**job)
    worth = laws.calls_worth_refusing(house, **job)
    outcomes = Counter(
        laws.a_refused_call_is_told(house, number, CODES[place % 4], reference, **job)
        for place, number in enumerate(worth)
    )
    assert outcomes["told"] > 10
    assert outcomes["harmless"] > 0
    assert outcomes[None] == 0


def test_a_file_that_may_not_grow_is_told(laws: Any, house: Any) -> None:
    job = job_of(house)
    reference = house.fresh(**job)
    sizes = [0, 1000, 20_000, 10**7]
    told = [laws.a_file_that_may_not_grow_is_told(house, size, reference, **job) for size in sizes]
    assert told == [True, True, True, False]


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("code", CODES)
def test_every_refused_call_is_told(laws: Any, house: Any, code: str) -> None:
    job = job_of(house)
    reference = house.fresh(**job)
    outcomes: Counter[str | None] = Counter()
    for number in count():
        outcome = laws.a_refused_call_is_told(house, number, code, reference, **job)
        if outcome is None:
            break
        outcomes[outcome] += 1
    print(f"{code}: {outcomes.total()} calls refused one by one: {dict(outcomes)}")  # noqa: T201 - the figures of a campaign are its result


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_every_file_size_is_told(laws: Any, house: Any) -> None:
    job = job_of(house)
    reference = house.fresh(**job)
    house.load(**job)
    largest = max(path.stat().st_size for path in house.files())
    sizes = [*range(0, largest, max(largest // 120, 1)), largest - 1, largest]
    told = [laws.a_file_that_may_not_grow_is_told(house, size, reference, **job) for size in sizes]
    assert told[-2:] == [True, False]
    print(f"{len(sizes)} limits up to {largest} bytes: {sum(told)} told, {len(told) - sum(told)} fitted")  # noqa: T201 - as above
