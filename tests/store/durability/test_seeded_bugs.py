"""The laws can fail: each of these mistakes, made in the product, breaks one.

A law that did not notice its mistake would say nothing about a product without it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import pytest

Law = Callable[[Any, Any, Any], object]
SMALL = {"shard": 30_000, "block": 2048, "rows": 64, "worth": 64}


def killed(point: str) -> Law:
    def law(laws: Any, _cases: Any, house: Any) -> object:
        kill = laws.killed_at(point)
        return laws.a_kill_costs_only_what_was_not_done(house, kill, sources=[house.source()])

    return law


def missed(name: str) -> Law:
    return lambda laws, cases, house: laws.what_differs_is_built_again(house, cases.MISSES[name])


def hit(name: str) -> Law:
    return lambda laws, cases, house: laws.what_is_the_same_is_not_built_again(house, cases.HITS[name])


def refused(what: str, ending: str, nth: int = 0) -> Law:
    """A call of some kind fails, one after so many others."""

    def law(laws: Any, _cases: Any, house: Any) -> object:
        job = {"sources": [house.source(records=60)], "small": SMALL}
        reference = house.fresh(**job)
        for _ in range(3):  # a source that is no longer fresh costs a call more: then another one was refused
            laws.with_an_old_entry(house)
            calls = house.load(patches=[["record calls"]], **job)["calls"]
            numbers = [number for number, (one, path) in enumerate(calls) if one == what and ending in path]
            laws.a_refused_call_is_told(house, numbers[nth], "ENOSPC", reference, **job)
        return None

    return law


def watched(verify: str) -> Law:
    return lambda laws, _cases, house: laws.every_file_of_an_entry_is_watched(house, verify)


def on_disk(laws: Any, _cases: Any, house: Any) -> object:
    return laws.files_are_on_disk_before_their_names(house, sources=[house.source(records=120)])


def inside(laws: Any, _cases: Any, house: Any) -> None:
    laws.one_is_inside(house, 8, 150)


def lost(laws: Any, _cases: Any, house: Any) -> None:
    laws.a_lost_shard_is_built_by_itself(house)


def left_alone(laws: Any, _cases: Any, house: Any) -> None:
    laws.who_builds_is_left_alone(house, "numpy:save", 2)


def blind(laws: Any, _cases: Any, house: Any) -> None:
    laws.never_is_blind_but_for_lengths(house)


def published(laws: Any, _cases: Any, house: Any) -> None:
    laws.what_is_published_is_what_was_digested(house, "ktoformats.store.sink:_Files.close")


def moment(laws: Any, _cases: Any, house: Any) -> None:
    laws.a_moment_is_enough_to_change_a_file(house)


def noted(laws: Any, _cases: Any, house: Any) -> None:
    laws.a_note_is_of_its_own_file(house)


CAUGHT: dict[str, tuple[Law, str]] = {
    "no fsync": (on_disk, "is not on disk when its folder"),
    "fsync after rename": (on_disk, "is not on disk when its folder"),
    "no fsync of the parent": (on_disk, "the name of shards/.* is not on disk"),
    "build in place": (killed("the second shard is to be published"), "not whole"),
    "manifest unsealed": (watched("first"), "manifest.json"),
    "hashes not compared": (watched("always"), "numbers.arrow"),
    "rejects unsealed": (watched("always"), "rejects.jsonl"),
    "change times ignored": (watched("first"), "numbers.arrow"),
    "lengths not compared": (blind, "a length was not compared"),
    "damaged stays": (watched("first"), "did nothing more"),
    "key by time": (missed("a byte, size and time kept"), "it was not built"),
    "kept columns not in the key": (missed("kept columns"), "it was not built"),
    "code not in the key": (missed("the code of a plugin, not its version"), "it was not built"),
    "seed in the key": (hit("a seed"), "blocks were converted"),
    "name in the key": (hit("moved and renamed"), "blocks were converted"),
    "racy digest noted": (moment, "other samples"),
    "notes believed": (noted, "other (rows|samples)"),
    "lock not looked at again": (inside, "two were inside"),
    "end not asked for": (killed("the second shard is published"), "other rows"),
    "holes between ignored": (lost, "other rows"),
    "source not checked": (published, "under the digest of others"),
    "lost write": (refused("write", "samples.arrow", 20), "nobody said so|no error of ours"),
    "foreign error": (refused("fsync", ".arrow"), "no error of ours"),
    "note is needed": (refused("open", "checked/"), "a note was needed"),
    "left-overs stay": (killed("the second shard is to be published"), "left over"),
    "views not locked": (left_alone, "its work was taken away"),
    "swept while built": (left_alone, "its work was taken away"),
}


@pytest.mark.parametrize("bug", CAUGHT)
def test_a_seeded_bug_is_caught(laws: Any, cases: Any, make_house: Callable[..., Any], bug: str) -> None:
    law, why = CAUGHT[bug]
    with pytest.raises(AssertionError, match=why):
        law(laws, cases, make_house(bug))


def test_a_lock_of_another_name_is_caught(
    laws: Any, make_house: Callable[..., Any], make_nursery: Callable[..., Any]
) -> None:
    nurseries = [make_nursery(PYTHONHASHSEED=seed) for seed in ("0", "1")]
    with pytest.raises(AssertionError, match=r"of 4 failed|blocks were converted, not"):
        laws.many_build_once(make_house("lock by hash()"), 4, nurseries)


def test_a_time_in_the_entry_is_caught(laws: Any, make_house: Callable[..., Any], nursery: Any) -> None:
    with pytest.raises(AssertionError, match="different digests"):
        laws.builds_leave_the_same_bytes(make_house("time in the entry"), [nursery], (1,))


def test_every_seeded_bug_has_its_law(laws: Any) -> None:
    table = laws.CHILD.with_name("mistakes.py").read_text().split("BUGS: Final", 1)[1]
    named = set(re.findall(r'^    "(.+)": _', table, re.MULTILINE))
    assert named == set(CAUGHT) | {"lock by hash()", "time in the entry"}
