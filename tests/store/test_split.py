"""Parts of one set of samples: nothing is torn apart, all parts look alike, and the answer follows from content alone."""

from __future__ import annotations

import gzip
import json
import re
from hashlib import sha256
from itertools import combinations
from pathlib import Path
from typing import Any, Final

import numpy as np
import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import SCHEMA, ConfigError, KTODataConfig, KTODataLoader, Registry
from ktoformats.convert.assemble import assemble
from ktoformats.read.rows import blocks_of_rows
from ktoformats.store.split import assign, check, components, leaks, read_fractions

TREES: Final = Path(__file__).parents[1] / "fixtures" / "layouts" / "oasst_trees_en.jsonl.gz"
HALVES: Final = {"train": 0.5, "validation": 0.5}
TENTH: Final = {"train": 0.9, "validation": 0.1}
THREE: Final = {"train": 0.8, "validation": 0.1, "test": 0.1}
NEARLY_EQUAL: Final = {"train": 0.4, "validation": 0.3, "test": 0.3}
ALL: Final = (HALVES, TENTH, THREE, NEARLY_EQUAL)

Array = np.ndarray[Any, np.dtype[Any]]
Rows = tuple[Array, Array, Array]
"""Groups, origins and whether good."""


def number(text: str) -> int:
    return int(sha256(text.encode()).hexdigest()[:16], 16)


def rows(*components: tuple[int, int], named: str = "") -> Rows:
    """Components of so many good and bad samples, each of one group."""
    counts = np.array(components, np.int64).reshape(-1, 2)
    names = np.array([number(f"{named}{one}") for one in range(len(counts))], np.uint64)
    groups = np.repeat(names, counts.sum(axis=1))
    return groups, groups, np.repeat(np.arange(2 * len(counts)) % 2 == 0, counts.ravel())


def talks(count: int, *, seed: int = 0, named: str = "", like: tuple[float, float] = (2, 2)) -> Rows:
    """Conversations of some ten samples, very different in length and in how good they are."""
    chance = np.random.default_rng(seed)
    sizes = chance.geometric(0.1, count)
    goods = chance.binomial(sizes, chance.beta(*like, count))
    return rows(*zip(goods.tolist(), (sizes - goods).tolist(), strict=True), named=named)


def counts(parts: Array, good: Array, fractions: dict[str, float]) -> Array:
    """(2, parts): the good and the bad samples of each."""
    return np.stack([np.bincount(parts[good == one], minlength=len(fractions)) for one in (True, False)])


def of_small_pools(size: int = 60) -> st.SearchStrategy[Rows]:
    row = st.tuples(st.integers(0, 30), st.integers(0, 30), st.booleans(), st.booleans())
    return st.lists(row, max_size=size).map(
        lambda found: (
            np.array([number(f"{group}") for group, *_ in found], np.uint64),
            np.array([number(f"{origin if apart else group}") for group, origin, apart, _ in found], np.uint64),
            np.array([good for *_, good in found], bool),
        )
    )


FRACTIONS = st.sampled_from([*ALL, {"train": 1.0}, {"train": 0.0, "test": 1.0}, {"train": 0.7, "test": 0.3}])


# --- what hangs together ---


def by_hand(groups: Array, origins: Array) -> list[set[int]]:
    """The rows of each component, by merging sets of values until nothing changes."""
    found: list[tuple[set[int], set[int]]] = []
    for row, ends in enumerate(zip(groups.tolist(), origins.tolist(), strict=True)):
        values, members = set(ends), {row}
        for other in [one for one in found if one[0] & values]:
            found.remove(other)
            values |= other[0]
            members |= other[1]
        found.append((values, members))
    return [members for _, members in found]


@settings(max_examples=300)
@given(of_small_pools())
def test_components_are_what_groups_and_origins_connect(made: Rows) -> None:
    groups, origins, _ = made
    found = components(groups, origins)
    expected = by_hand(groups, origins)
    assert {frozenset(np.flatnonzero(found == one).tolist()) for one in set(found.tolist())} == set(
        map(frozenset, expected)
    )
    smallest = [
        min((*groups[found == one].tolist(), *origins[found == one].tolist())) for one in range(len(expected))
    ]
    assert smallest == sorted(smallest)


@pytest.mark.parametrize("seed", range(3))
def test_long_chains_are_one_component(seed: int) -> None:
    """Each row is connected with the next alone; the values are in no order."""
    values = np.random.default_rng(seed).integers(1, 2**63, 5001).astype(np.uint64)
    assert not components(values[1:], values[:-1]).any()
    assert len(set(components(values[1:], np.where(np.arange(5000) == 2500, values[1:], values[:-1])).tolist())) == 2


def test_rows_are_connected_through_an_origin_that_no_row_has_as_its_group() -> None:
    """The first sample of the conversation may have been filtered out."""
    groups, origins = np.array([5, 6, 7], np.uint64), np.array([1, 1, 7], np.uint64)
    assert components(groups, origins).tolist() == [0, 0, 1]


@settings(max_examples=300)
@given(of_small_pools(), FRACTIONS, st.integers(0, 5))
def test_no_component_is_torn_apart(made: Rows, fractions: dict[str, float], seed: int) -> None:
    groups, origins, good = made
    parts = assign(groups, origins, good, fractions, seed=seed)
    assert parts.dtype == np.int8
    assert parts.shape == groups.shape
    assert leaks(parts, groups, origins) == 0
    for members in by_hand(groups, origins):
        assert len(set(parts[list(members)].tolist())) == 1
    assert {one for one, fraction in enumerate(fractions.values()) if fraction} >= set(parts.tolist())


def test_leaks_counts_each_value_that_is_torn() -> None:
    groups, origins = np.array([1, 1, 2, 3, 4], np.uint64), np.array([1, 1, 2, 3, 3], np.uint64)
    assert leaks(np.array([0, 0, 1, 1, 1], np.int8), groups, origins) == 0
    assert leaks(np.array([0, 1, 1, 1, 1], np.int8), groups, origins) == 1
    assert leaks(np.array([0, 1, 1, 0, 1], np.int8), groups, origins) == 2
    assert leaks(np.array([], np.int8), groups[:0], origins[:0]) == 0


# --- content and seed, nothing else ---


@settings(max_examples=200)
@given(of_small_pools(), FRACTIONS, st.integers(0, 5), st.randoms(use_true_random=False))
def test_the_order_of_rows_changes_nothing(made: Rows, fractions: dict[str, float], seed: int, chance: Any) -> None:
    order = chance.sample(range(len(made[0])), len(made[0]))
    parts = assign(*made, fractions, seed=seed)
    groups, origins, good = (column[order] for column in made)
    assert (assign(groups, origins, good, fractions, seed=seed) == parts[order]).all()
    assert (components(groups, origins) == components(*made[:2])[order]).all()


def test_the_answer_is_the_same_in_every_version() -> None:
    """A split that changed under a model would test it on what it was trained on."""
    sizes = [(number(f"good {one}") % 9, number(f"bad {one}") % 7) for one in range(300)]
    parts = assign(*rows(*sizes), THREE, seed=42)
    assert sha256(parts.tobytes()).hexdigest()[:16] == "f3370b67143b3871"


@pytest.mark.parametrize("fractions", ALL, ids=str)
def test_another_seed_gives_another_split(fractions: dict[str, float]) -> None:
    made = talks(1000)
    one, other = (assign(*made, fractions, seed=seed) for seed in (1, 2))
    least = 2 * (1 - max(fractions.values())) * max(fractions.values())  # what independent splits would differ by
    assert (one != other).mean() > least / 2


@pytest.mark.parametrize(
    ("fractions", "single", "talk"), [(TENTH, 0.4, 2), (THREE, 0.6, 4), (NEARLY_EQUAL, 0.8, 4)], ids=str
)
def test_a_few_more_samples_move_few_others(fractions: dict[str, float], single: float, talk: float) -> None:
    """Rows that move for each new row, when there are one per cent more of them."""
    moved = []
    for make in (lambda count, named: rows(*[(1, 0), (0, 1)] * (count // 2), named=named), talks_of):
        per_row = []
        for time in range(10):
            old, new = make(1000, f"old{time}"), make(10, f"new{time}")
            groups, _, good = (np.concatenate(columns) for columns in zip(old, new, strict=True))
            before = assign(*old, fractions, seed=time)
            after = assign(groups, groups, good, fractions, seed=time)[: len(before)]
            per_row.append((before != after).sum() / len(new[0]))
        moved.append(np.mean(per_row))
    assert moved[0] <= single
    assert moved[1] <= talk


def talks_of(count: int, named: str) -> Rows:
    return talks(count, seed=number(named) % 2**32, named=named)


def test_a_part_that_grows_takes_from_the_first_alone() -> None:
    made = rows(*[(1, 0), (0, 1), (1, 1)] * 400)
    small, large, more = (
        assign(*made, fractions, seed=3) for fractions in (TENTH, {"train": 0.8, "validation": 0.2}, THREE)
    )
    assert (large[small == 1] == 1).all()
    assert (more[small == 1] == 1).all()


# --- how large the parts are, and how good ---


@settings(max_examples=300)
@given(st.integers(0, 400), st.integers(0, 400), st.sampled_from(ALL), st.integers(0, 5))
def test_single_samples_are_divided_label_by_label(
    goods: int, bads: int, fractions: dict[str, float], seed: int
) -> None:
    """To the next sample, as a stratified split of independent samples is; a part that would be empty has one more."""
    made = rows(*[(1, 0)] * goods, *[(0, 1)] * bads)
    found = counts(assign(*made, fractions, seed=seed), made[2], fractions)
    targets = np.outer([goods, bads], list(fractions.values()))
    off = np.abs(found - targets)
    assert off.max() <= (1 if targets.sum(axis=0).min() >= 1 else 2) + 1e-6


@pytest.mark.parametrize(
    ("goods", "bads", "fractions", "expected"),
    [
        (600, 400, THREE, [[480, 60, 60], [320, 40, 40]]),
        (50, 10, TENTH, [[45, 5], [9, 1]]),
        (990, 10, TENTH, [[891, 99], [9, 1]]),
        (30, 30, NEARLY_EQUAL, [[12, 9, 9], [12, 9, 9]]),
        (8, 4, HALVES, [[4, 4], [2, 2]]),
        (4, 4, {"train": 0.75, "test": 0.25}, [[3, 1], [3, 1]]),
    ],
)
def test_what_comes_out_even_is_divided_exactly(
    goods: int, bads: int, fractions: dict[str, float], expected: list[list[int]]
) -> None:
    for seed in range(5):
        singles = rows(*[(1, 0)] * goods, *[(0, 1)] * bads)
        assert counts(assign(*singles, fractions, seed=seed), singles[2], fractions).tolist() == expected


@pytest.mark.parametrize("fractions", ALL, ids=str)
@pytest.mark.parametrize("count", [100, 1000])
def test_pairs_are_divided_exactly(fractions: dict[str, float], count: int) -> None:
    made = rows(*[(1, 1)] * count)
    expected = [[round(count * fraction) for fraction in fractions.values()]] * 2
    assert counts(assign(*made, fractions, seed=1), made[2], fractions).tolist() == expected


@pytest.mark.parametrize("fractions", ALL, ids=str)
@pytest.mark.parametrize(("count", "size", "share"), [(100, 0.1, 0.06), (1000, 0.005, 0.003), (10_000, 1e-3, 3e-4)])
def test_conversations_of_all_sorts_are_divided_evenly(
    fractions: dict[str, float], count: int, size: float, share: float
) -> None:
    for seed in range(5):
        made = talks(count, seed=seed)
        parts, good = assign(*made, fractions, seed=seed), made[2]
        for one, fraction in enumerate(fractions.values()):
            assert (parts == one).mean() == pytest.approx(fraction, rel=size)
            assert good[parts == one].mean() == pytest.approx(good.mean(), abs=share)


@pytest.mark.parametrize("fractions", ALL, ids=str)
@pytest.mark.parametrize("like", [(20, 1), (1, 20)])
def test_the_rare_label_is_divided_as_evenly_as_the_other(
    fractions: dict[str, float], like: tuple[float, float]
) -> None:
    for seed in range(5):
        made = talks(1000, seed=seed, like=like)
        found = counts(assign(*made, fractions, seed=seed), made[2], fractions)
        expected = np.outer(found.sum(axis=1), list(fractions.values()))
        assert found == pytest.approx(expected, rel=0.04)


@settings(max_examples=300)
@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)).filter(any), max_size=40),
    st.sampled_from(ALL),
    st.integers(0, 5),
)
def test_a_part_is_off_by_no_more_than_two_components(
    sizes: list[tuple[int, int]], fractions: dict[str, float], seed: int
) -> None:
    made = rows(*sizes)
    found = counts(assign(*made, fractions, seed=seed), made[2], fractions).sum(axis=0)
    off = np.abs(found - len(made[0]) * np.array(list(fractions.values())))
    assert off.max() <= 2 * max(map(sum, sizes), default=0) + 1e-6


@settings(max_examples=300)
@given(of_small_pools(), st.sampled_from([*ALL, {"train": 0.999, "test": 0.001}]), st.integers(0, 5))
def test_no_part_is_empty_if_there_are_as_many_components(made: Rows, fractions: dict[str, float], seed: int) -> None:
    there = len(set(components(*made[:2]).tolist()))
    found = set(assign(*made, fractions, seed=seed).tolist())
    assert len(found) == min(there, len(fractions)) or (there < len(fractions) and found)


@pytest.mark.parametrize("fractions", [TENTH, THREE, NEARLY_EQUAL, {"train": 0.3, "test": 0.7}], ids=str)
@pytest.mark.parametrize("giant", [(600, 0), (0, 600), (400, 200)])
def test_a_giant_goes_to_the_largest_part(fractions: dict[str, float], giant: tuple[int, int]) -> None:
    largest = int(np.argmax(list(fractions.values())))
    for seed in range(10):
        made = rows(giant, *[(1, 0), (0, 1)] * 200)
        parts = assign(*made, fractions, seed=seed)
        assert set(parts[:600].tolist()) == {largest}
        smaller = [round(1000 * fraction) for one, fraction in enumerate(fractions.values()) if one != largest]
        if sum(smaller) <= 200:  # then there are enough others of both labels
            assert [int((parts == one).sum()) for one in range(len(fractions)) if one != largest] == smaller


def test_two_components_of_one_kind_are_not_both_good() -> None:
    """What large components leave uneven the small ones make up for."""
    made = rows((30, 0), (0, 30), *[(1, 0)] * 30, *[(0, 1)] * 30)
    for seed in range(5):
        assert counts(assign(*made, HALVES, seed=seed), made[2], HALVES).tolist() == [[30, 30], [30, 30]]


def test_no_samples_have_no_parts() -> None:
    made = rows()
    assert assign(*made, THREE, seed=1).shape == (0,)
    assert components(*made[:2]).shape == (0,)


@pytest.mark.parametrize("fractions", ALL, ids=str)
def test_one_component_goes_to_the_largest_part(fractions: dict[str, float]) -> None:
    assert set(assign(*rows((2, 3)), fractions, seed=1).tolist()) == {0}


# --- fractions ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("train=0.9,validation=0.1", {"train": 0.9, "validation": 0.1}),
        ("validation=0.1", {"train": 0.9, "validation": 0.1}),
        ("test=0.2, validation = 0.1 ", {"train": 0.7, "validation": 0.1, "test": 0.2}),
        ("test=.25,train=.75", {"train": 0.75, "test": 0.25}),
        ("validation=1e-3", {"train": 0.999, "validation": 0.001}),
    ],
)
def test_fractions_are_read(text: str, expected: dict[str, float]) -> None:
    found = read_fractions(text)
    assert found == expected
    assert list(found) == list(expected)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no NAME=FRACTION, as in train=0.9,validation=0.1"),
        ("0.9", "'0.9' is no NAME=FRACTION, as in train=0.9,validation=0.1"),
        ("validation=0,1", "'validation=0,1' has a decimal comma; write a point, as in train=0.9,validation=0.1"),
        ("validation=0.1,", "'' is no NAME=FRACTION, as in train=0.9,validation=0.1"),
        ("validation=", "'validation=' is no NAME=FRACTION, as in train=0.9,validation=0.1"),
        ("=0.1", "'=0.1' is no NAME=FRACTION, as in train=0.9,validation=0.1"),
        ("validation", "'validation' is no NAME=FRACTION, as in train=0.9,validation=0.1"),
        ("valid=0.1", "there is no part 'valid'; did you mean 'validation'?; the parts are train, validation, test"),
        ("dev=0.1", "there is no part 'dev'; the parts are train, validation, test"),
        ("test=0.1,test=0.2", "test is named twice, as 0.1 and as 0.2"),
        ("validation=10%", "validation=10% is no number between 0 and 1; write validation=0.1"),
        ("validation=10", "validation=10 is no number between 0 and 1; write validation=0.1"),
        ("validation=2.5%", "validation=2.5% is no number between 0 and 1; write validation=0.025"),
        ("validation=100%", "validation=100% is no number between 0 and 1"),
        ("validation=0", "validation=0 is no number between 0 and 1"),
        ("train=1,test=0", "train=1 is no number between 0 and 1"),
        ("validation=-0.1", "validation=-0.1 is no number between 0 and 1"),
        ("validation=nan", "validation=nan is no number between 0 and 1"),
        ("validation=inf", "validation=inf is no number between 0 and 1"),
        ("validation=tenth", "validation=tenth is no number between 0 and 1"),
        ("train=0.9", "it names train alone; name validation or test too, as in validation=0.1"),
        ("train=0.9,validation=0.2", "train=0.9, validation=0.2 comes to 1.1; the fractions must come to 1 together"),
        ("train=0.8,test=0.1", "train=0.8, test=0.1 comes to 0.9; the fractions must come to 1 together"),
        (
            "validation=0.5,test=0.5",
            "validation=0.5, test=0.5 leaves nothing for train; together they must be less than 1",
        ),
    ],
)
def test_other_fractions_are_told_what_is_expected(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match="^split: " + re.escape(message) + "$"):
        read_fractions(text)


@pytest.mark.parametrize(
    ("fractions", "message"),
    [
        ({}, "0 parts are named"),
        ({f"part {one}": 1 / 128 for one in range(128)}, "128 parts are named; 1 to 127 are possible"),
        ({"": 1.0}, "a part is called ''; every part needs a name"),
        ({" ": 1.0}, "a part is called ' '"),
        ({"train": 1.5, "test": -0.5}, "the fraction of train is 1.5; it must be a number from 0 to 1"),
        ({"train": 0.5, "test": -0.5}, "the fraction of test is -0.5"),
        ({"train": float("nan")}, "the fraction of train is nan"),
        ({"train": True}, "the fraction of train is True"),
        ({"train": "1"}, "the fraction of train is '1'"),
        ({"train": 0.0, "test": 0.0}, "train=0, test=0 comes to 0; the fractions must come to 1 together"),
        ({"train": 0.9, "test": 0.1 + 1e-8}, "comes to 1.00000001; the fractions must come to 1"),
    ],
)
def test_fractions_that_cannot_be_are_refused(fractions: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        check(fractions)
    with pytest.raises(ConfigError, match=re.escape(message)):
        assign(*rows((1, 1)), fractions, seed=1)


def test_fractions_may_be_inexact() -> None:
    check({"train": 0.7, "validation": 0.1, "test": 0.2})  # 0.9999999999999999
    check({"train": 1})


# --- real conversations ---


def told_by(records: list[Any], mapping: dict[str, Any] | None) -> pa.Table:
    """What the pipeline makes of records, all columns."""
    formats = {} if mapping is None else {"formats": [{"mapping": mapping}]}
    made = assemble(KTODataConfig(**formats), Registry()).pipeline
    return pa.Table.from_batches(
        [batch for block in blocks_of_rows(records, "rows") for batch in made.convert(block).batches], SCHEMA
    )


def numbers_of(table: pa.Table, name: str) -> Array:
    return np.array([int(one, 16) for one in table.column(name).to_pylist()], np.uint64)


def path_of(sample: dict[str, Any]) -> tuple[str, ...]:
    """The messages from the root to the last question."""
    return tuple(one["content"] for one in sample["conversation"]) or (sample["prompt"],)


def contained(samples: list[dict[str, Any]], parts: Array) -> list[tuple[str, ...]]:
    """The paths of judged points that begin the path of another one, or are it, in another part."""
    where: dict[tuple[str, ...], set[int]] = {}
    for sample, part in zip(samples, parts.tolist(), strict=True):
        where.setdefault(path_of(sample), set()).add(part)
    return [
        one
        for one in where
        if any(other[: len(one)] == one and len(where[one] | where[other]) > 1 for other in where)
    ]


def tree(name: str, depth: int = 3) -> dict[str, Any]:
    """Two ranked answers to every question; who got the better one asks on, in words that others use too."""

    def asked(text: str, level: int) -> dict[str, Any]:
        answers: list[dict[str, Any]] = [
            {"text": f"{name} answer {level} {rank}", "role": "assistant", "rank": rank, "replies": []}
            for rank in (0, 1)
        ]
        if level < depth:
            answers[0]["replies"] = [asked(f"And then ({level})?", level + 1)]
        return {"text": text, "role": "prompter", "replies": answers}

    return {"message_tree_id": name, "prompt": asked(f"Tell me about {name}.", 1)}


@pytest.fixture(params=["made", "real"])
def trees(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    if request.param == "real":
        return TREES
    path = tmp_path / "trees.jsonl"
    path.write_text("".join(json.dumps(tree(f"topic {one}", 1 + one % 3)) + "\n" for one in range(12)))
    return path


@pytest.mark.parametrize("fractions", [HALVES, {"train": 0.7, "validation": 0.3}, NEARLY_EQUAL], ids=str)
def test_no_part_of_a_tree_is_asked_about_in_another_part(trees: Path, fractions: dict[str, float]) -> None:
    """At a judged point all that was said above it is context: answers that are samples of their own."""
    config = KTODataConfig(train_file=trees, formats=[{"mapping": {"preset": "oasst-trees"}}])
    samples = list(KTODataLoader(config, enable_cache=False).load_dataset("train"))
    content = trees.read_bytes() if trees.suffix == ".jsonl" else gzip.decompress(trees.read_bytes())
    records = [orjson.loads(line) for line in content.splitlines()]
    columns = told_by(records, {"preset": "oasst-trees"})
    assert [one["id"] for one in samples] == columns.column("id").to_pylist()
    groups, origins = numbers_of(columns, "group"), numbers_of(columns, "origin")
    good = np.array([one["label"] == "good" for one in samples])
    assert len(set(components(groups, origins).tolist())) == len(records)
    prompts = np.array([number(one["prompt"]) for one in samples], np.uint64)
    torn = 0
    for seed in range(5):
        parts = assign(groups, origins, good, fractions, seed=seed)
        assert set(parts.tolist()) == set(range(len(fractions)))
        assert leaks(parts, groups, origins) == 0
        assert contained(samples, parts) == []
        torn += len(contained(samples, assign(prompts, prompts, good, fractions, seed=seed)))
    assert torn > 0  # who goes by the hash of the prompt alone


def test_what_a_record_connects_stays_together_where_first_turns_differ() -> None:
    """Pairs whose sides answer different questions, each asked in two records; groups alone tear them apart."""

    def talk(question: int, answer: str) -> list[dict[str, str]]:
        return [{"role": "user", "content": f"q{question}"}, {"role": "assistant", "content": answer}]

    pairs = [{"chosen": talk(2 * one, f"yes {one}"), "rejected": talk(2 * one + 1, f"no {one}")} for one in range(40)]
    again = [{"prompt": f"q{2 * one + 1}", "response": f"other {one}", "label": "good"} for one in range(40)]
    columns = told_by([*pairs, *again], None)
    groups, origins = numbers_of(columns, "group"), numbers_of(columns, "origin")
    good = np.array(columns.column("label").to_pylist()) == "good"
    names = columns.column("pair").to_pylist()
    for seed in range(5):
        parts = assign(groups, origins, good, NEARLY_EQUAL, seed=seed)
        assert leaks(parts, groups, origins) == 0
        assert len({(name, part) for name, part in zip(names, parts.tolist(), strict=True) if name}) == 40
        by_group = assign(groups, groups, good, NEARLY_EQUAL, seed=seed)
        assert leaks(by_group, groups, groups) == 0
        assert leaks(by_group, groups, origins) > 0
    for one, other in combinations(range(40), 2):
        assert components(groups, origins)[2 * one] != components(groups, origins)[2 * other]
