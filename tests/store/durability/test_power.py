"""The power goes: what has a name was on disk before, and what is not whole is seen when it is opened."""

from __future__ import annotations

import random
import shutil
from collections import Counter
from typing import Any

import pytest

FEW, MANY = 1, 200
SEED = 8


def cut_files(laws: Any, house: Any, verify: str, each: int, shards: int) -> Counter[str]:
    """Cut every file of some shards and of the views, at many places."""
    chance = random.Random(SEED)
    job = {"sources": [house.source(records=120)]}
    reference = house.load(**job)
    first = {path.name for path in house.shards()[:shards]}
    names = [path.relative_to(house.cache) for path in house.files()]
    counts: Counter[str] = Counter()
    for name in names:
        if name.parts[0] == "views" or name.parts[1] in first:
            for data in laws.cuts_of((house.cache / name).read_bytes(), chance, each):
                laws.a_cut_is_seen(house, str(name), data, verify, reference, **job)
                counts[name.name] += 1
                shutil.rmtree(house.cache / "damaged")
    return counts


def test_files_are_on_disk_before_their_names(laws: Any, house: Any) -> None:
    assert laws.files_are_on_disk_before_their_names(house, sources=[house.source(records=120)]) > 3


def test_a_cut_is_seen(laws: Any, house: Any) -> None:
    counts = cut_files(laws, house, "first", FEW, 1)
    assert set(counts) == {
        *("samples.arrow", "numbers.arrow", "rejects.jsonl", "manifest.json"),
        *("again.npy", "rows.npy", "reasons.npy", "repeats.npy"),
    }


@pytest.mark.campaign
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("verify", "each"), [("first", MANY), ("always", MANY // 5)])
def test_many_cuts_are_seen(laws: Any, house: Any, verify: str, each: int) -> None:
    counts = cut_files(laws, house, verify, each, 1)
    print(f"{verify}: {counts.total()} of {counts.total()} cuts and zeroed tails seen: {dict(counts)}")  # noqa: T201 - the figures of a campaign are its result
