"""What the cache is known by: what decides the samples, all of it, and nothing else."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CHOICES: list[dict[str, Any]] = [{"random_seed": 7}, {"min_prompt_length": 2}, {"balance_labels": False}]


@pytest.mark.parametrize("number", range(7))
def test_what_differs_is_built_again(laws: Any, cases: Any, house: Any, number: int) -> None:
    laws.what_differs_is_built_again(house, cases.MISSES[cases.FEW_MISSES[number]])


@pytest.mark.parametrize("number", range(5))
def test_what_is_the_same_is_not_built_again(laws: Any, cases: Any, house: Any, number: int) -> None:
    laws.what_is_the_same_is_not_built_again(house, cases.HITS[cases.FEW_HITS[number]])


def test_an_old_source_is_not_opened_again(laws: Any, house: Any) -> None:
    laws.an_old_source_is_not_opened_again(house, CHOICES)


def test_a_moment_is_enough_to_change_a_file(laws: Any, house: Any) -> None:
    laws.a_moment_is_enough_to_change_a_file(house)


@pytest.mark.parametrize("moment", ["sink:_Files.close", "shards:_Shard.finish"])
def test_what_is_published_is_what_was_digested(laws: Any, house: Any, moment: str) -> None:
    laws.what_is_published_is_what_was_digested(house, f"ktoformats.store.{moment}")


def test_another_hash_seed_finds_the_same(laws: Any, house: Any, make_nursery: Callable[..., Any]) -> None:
    def case(house: Any) -> Any:
        source = house.source()
        yield {"sources": [source]}
        yield {"sources": [source], "nursery": make_nursery(PYTHONHASHSEED="1")}

    house.nursery = make_nursery(PYTHONHASHSEED="0")
    laws.what_is_the_same_is_not_built_again(house, case)


@pytest.mark.campaign
@pytest.mark.timeout(1800)
def test_the_whole_table(laws: Any, cases: Any, make_house: Callable[..., Any]) -> None:
    for name, case in cases.MISSES.items():
        laws.what_differs_is_built_again(make_house(), case)
        print(f"built again: {name}")  # noqa: T201 - the figures of a campaign are its result
    for name, case in cases.HITS.items():
        laws.what_is_the_same_is_not_built_again(make_house(), case)
        print(f"not built again: {name}")  # noqa: T201 - as above
    print(f"{len(cases.MISSES)} of {len(cases.MISSES)} missed, {len(cases.HITS)} of {len(cases.HITS)} hit")  # noqa: T201 - as above


@pytest.mark.campaign
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
@pytest.mark.timeout(300)
@pytest.mark.parametrize("number", range(3))
def test_the_system_opens_no_source(laws: Any, house: Any, tmp_path: Any, number: int) -> None:
    """As `an_old_source_is_not_opened_again`, told by the kernel."""
    source = house.source()
    laws.an_old_source_is_not_opened_again(house, [])
    job: dict[str, Any] = {"cache": str(house.cache), "sources": [str(source)], "result": str(tmp_path / "result")}
    job["options"] = {"on_error": "skip"} | CHOICES[number]
    trace = tmp_path / "trace"
    command = ["strace", "-f", "-e", "trace=open,openat", "-o", trace, sys.executable, laws.CHILD, json.dumps(job)]
    subprocess.run(command, check=True, env=house.nursery.environment)
    told = json.loads((tmp_path / "result").read_text())
    assert (told["converted"], told["cached"]) == (0, True)
    opened = trace.read_text()
    assert "manifest.json" in opened
    assert source.name not in opened
    print(f"{CHOICES[number]}: 0 opens of the source among {opened.count('open')}")  # noqa: T201 - as above
