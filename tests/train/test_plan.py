"""What a plan promises, for every share of labels, batch size and number of ranks."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
import pytest
from accelerate.data_loader import BatchSamplerShard  # type: ignore[import-untyped, unused-ignore]
from hypothesis import example, given, settings
from hypothesis import strategies as st
from torch.utils.data import BatchSampler, SequentialSampler

from ktoformats.errors import ConfigError
from ktoformats.train.partners import ALONE_IN_BATCH, ONE_PROMPT
from ktoformats.train.plan import Partners, Plan, PlanTerms, Remainder, Traits, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.store.numbers import Array

PARTNERS: tuple[Partners, ...] = get_args(Partners)
REMAINDERS: tuple[Remainder, ...] = get_args(Remainder)
SHARES = (0.02, 0.05, 0.1, 0.25, 0.34, 0.5)
REFUSALS = 5


def traits(rng: np.random.Generator, asked: Array, good: Array, *, refusals: float = 0.15) -> Traits:
    """Samples of given prompts and labels, in random order; some answers are one of a few refusals."""
    n = len(asked)
    names = rng.integers(0, 2**64, n + REFUSALS, dtype=np.uint64)
    answer = np.where(rng.random(n) < refusals, names[rng.integers(0, REFUSALS, n)], names[REFUSALS:])
    group = names[asked % len(names)] ^ np.uint64(1)
    length = rng.integers(5, 400, n)
    rows = rng.permutation(n)
    return Traits(good, group, rng.integers(0, 2**64, n, dtype=np.uint64), group, answer, length).of(rows)


def by_share(seed: int, n: int, share: float, prompts: int) -> Traits:
    """`share` of the samples have the rarer label, by chance over the prompts."""
    rng = np.random.default_rng(seed)
    good = rng.permutation(np.arange(n) < max(1, round(n * share))) ^ (seed % 2 == 1)
    return traits(rng, rng.integers(0, prompts, n), good)


def pairs(seed: int, prompts: int) -> Traits:
    """Of every prompt a chosen and a rejected answer."""
    rng = np.random.default_rng(seed)
    return traits(rng, np.repeat(np.arange(prompts), 2), np.tile([True, False], prompts))


def rankings(seed: int, prompts: int, answers: int = 7) -> Traits:
    """The best of several answers is good."""
    rng = np.random.default_rng(seed)
    return traits(rng, np.repeat(np.arange(prompts), answers), np.tile(np.arange(answers) == 0, prompts))


def thumbs(seed: int, n: int) -> Traits:
    """A log: most prompts asked once, some hundreds of times; one thumb in twenty is down."""
    rng = np.random.default_rng(seed)
    asked = np.minimum(rng.zipf(1.4, n) - 1, n - 1) * 7919 % n
    asked = np.where(rng.random(n) < 0.6, np.arange(n), asked)
    return traits(rng, asked, rng.random(n) > 0.05)


SETS: dict[str, Callable[[], Traits]] = {
    "pairs": lambda: pairs(1, 350),
    "rankings": lambda: rankings(2, 100),
    "thumbs": lambda: thumbs(3, 701),
    "few prompts of hundreds of answers": lambda: by_share(4, 900, 0.3, 4),
    "every prompt once": lambda: by_share(5, 640, 0.4, 10**6),
    "as many prompts as answers": lambda: by_share(6, 333, 0.1, 333),
}


def fits(own: Traits, rows: Array, partners: Array) -> Array:
    """Bool per row: the partner is another prompt's, with another text."""
    right: Array = (own.asked[rows] != own.asked[partners]) & (own.answer[rows] != own.answer[partners])
    return right & (partners >= 0)


def has_partner(own: Traits) -> Array:
    """Bool per sample: there is one for it, somewhere."""
    exists: Array = ((own.asked[:, None] != own.asked) & (own.answer[:, None] != own.answer)).any(axis=1)
    return exists


def cut(order: Array, size: int) -> list[Array]:
    return [order[start : start + size] for start in range(0, len(order), size)]


def of_one_label(good: Array, size: int) -> int:
    return sum(len(set(batch.tolist())) == 1 for batch in cut(good, size))


def fewest(good: Array, size: int) -> int:
    """Batches that cannot be mixed, as each needs a row of the rarer label and one of the other."""
    sizes = [len(batch) for batch in cut(good, size)]
    rarer = min(int(good.sum()), int((~good).sum()))
    return len(sizes) - min(rarer, sum(one > 1 for one in sizes))


def check(own: Traits, plan: Plan) -> None:
    """All that holds for any plan that uses every sample."""
    terms, report, n = plan.terms, plan.report, len(own.good)
    size, whole, seen = terms.batch_size, terms.global_batch_size, np.bincount(plan.order, minlength=n)
    left = n % whole if terms.remainder == "drop" else 0
    more = -n % whole if terms.remainder == "pad" else 0
    assert len(plan) == n - left + more == len(plan.partner)
    assert report.samples == n
    assert report.padded == more
    assert sum(report.dropped.values()) == left
    assert report.labels["good"] + report.labels["bad"] == len(plan)
    assert report.labels["good"] == int(own.good[plan.order].sum())
    if terms.remainder == "uneven":
        assert seen.tolist() == [1] * n
    elif terms.remainder == "pad":
        assert (seen >= 1).all()
        assert not n or seen.max() <= 1 + -(-more // n)
    else:
        assert seen.max(initial=0) <= 1
        missing = own.good[seen == 0]
        assert report.dropped == {"good": int(missing.sum()), "bad": int((~missing).sum())}
    good = own.good[plan.order]
    assert report.batches == len(cut(good, size))
    assert report.single_class_batches == of_one_label(good, size) == fewest(good, size)
    assert report.fewest_single_class_batches == fewest(good, size)
    lengths = [own.length[batch] for batch in cut(plan.order, size)]
    padded = sum(int(one.max()) * len(one) for one in lengths)
    tokens = sum(int(one.sum()) for one in lengths)
    assert report.padding_share == pytest.approx(1 - tokens / padded if padded else 0)
    found = fits(own, plan.order, plan.partner)
    assert report.partners_invalid == int(np.count_nonzero(~found & (plan.partner >= 0)))
    assert sum(report.partners_missing.values()) == int(np.count_nonzero(plan.partner < 0))


@pytest.mark.parametrize("partners", PARTNERS)
@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("share", SHARES)
def test_batches_are_as_mixed_as_can_be_and_partners_valid(
    share: float, remainder: Remainder, partners: Partners
) -> None:
    own = by_share(int(share * 100), 517, share, 400)
    for size, ranks in product((2, 3, 4, 8, 17, 64), (1, 2, 3, 8)):
        plan = make_plan(own, PlanTerms(size, ranks, seed=size, partners=partners, remainder=remainder))
        check(own, plan)
        assert plan.report.partners_invalid == 0, (size, ranks)
        alone = partners == "batch" and len(plan) % size == 1
        assert plan.report.partners_missing == ({ALONE_IN_BATCH: 1} if alone else {})


@pytest.mark.parametrize("partners", PARTNERS)
@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("name", SETS)
def test_whatever_the_data_look_like(name: str, remainder: Remainder, partners: Partners) -> None:
    own = SETS[name]()
    exists = has_partner(own)
    assert exists.all()
    for size, ranks in ((2, 1), (4, 2), (8, 1), (16, 3), (32, 1), (64, 8)):
        plan = make_plan(own, PlanTerms(size, ranks, partners=partners, remainder=remainder))
        check(own, plan)
        if partners == "anywhere" or size > 2:
            assert plan.report.partners_invalid == 0, (size, ranks)


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    n=st.integers(0, 90),
    share=st.floats(0, 0.5),
    prompts=st.integers(1, 90),
    size=st.integers(1, 20),
    ranks=st.integers(1, 8),
    remainder=st.sampled_from(REMAINDERS),
    by_length=st.booleans(),
)
@example(  # the first batch of those that were grouped has more of the rarer label than that of the plain order
    seed=0, n=13, share=0.125, prompts=1, size=5, ranks=1, remainder="pad", by_length=True
)
def test_of_few_samples_too(
    seed: int, n: int, share: float, prompts: int, size: int, ranks: int, remainder: Remainder, *, by_length: bool
) -> None:
    """One label alone, none at all, one prompt: a partner is missing exactly where there is none."""
    own = by_share(seed, n, share, prompts)
    plan = make_plan(own, PlanTerms(size, ranks, seed, remainder=remainder, group_by_length=by_length))
    check(own, plan)
    assert plan.report.partners_invalid == 0
    if n:
        np.testing.assert_array_equal(plan.partner >= 0, has_partner(own)[plan.order])
        np.testing.assert_array_equal(fits(own, plan.order, plan.partner), plan.partner >= 0)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32 - 1), st.integers(2, 60), st.integers(2, 9), st.sampled_from(REMAINDERS))
def test_partners_of_the_batch_are_the_rows_before(seed: int, n: int, size: int, remainder: Remainder) -> None:
    own = by_share(seed, n, 0.4, n)
    plan = make_plan(own, PlanTerms(size, seed=seed, partners="batch", remainder=remainder))
    check(own, plan)
    for number, rows in enumerate(cut(plan.order, size)):
        batch, partners = plan.batch(number)
        np.testing.assert_array_equal(batch, rows)
        expected = np.roll(rows, 1) if len(rows) > 1 else [-1]
        np.testing.assert_array_equal(partners, expected)


def test_the_reason_is_given_where_there_is_no_partner() -> None:
    rng = np.random.default_rng(0)
    own = traits(rng, np.zeros(40, np.int64), np.arange(40) % 2 == 0, refusals=0)
    report = make_plan(own, PlanTerms(4)).report
    assert report.partners_missing == {ONE_PROMPT: 40}
    assert "no KL partner for 40 samples: all other samples answer the same prompt" in str(report)


def test_partners_do_not_depend_on_batches_or_ranks() -> None:
    own = thumbs(8, 640)
    expected: dict[int, int] | None = None
    for size, ranks, by_length in product((1, 2, 5, 64), (1, 4), (False, True)):
        for remainder in REMAINDERS:
            terms = PlanTerms(size, ranks, group_by_length=by_length, remainder=remainder)
            plan = make_plan(own, terms)
            found = dict(zip(plan.order.tolist(), plan.partner.tolist(), strict=True))
            expected = expected or found
            assert found.items() <= expected.items(), terms


@pytest.mark.parametrize("name", SETS)
def test_every_number_of_ranks_has_the_same_order(name: str) -> None:
    own = SETS[name]()
    plans = [make_plan(own, PlanTerms(4, ranks, remainder="uneven")) for ranks in range(1, 9)]
    assert len({plan.digest for plan in plans}) == 1
    whole = own.of(np.arange(len(own.good) // 64 * 64))
    for remainder in REMAINDERS:
        found = {
            make_plan(whole, PlanTerms(64 // ranks, ranks, remainder=remainder)).digest for ranks in (1, 2, 4, 8)
        }
        assert len(found) == 1


def test_the_digest_is_that_of_the_keys_in_order() -> None:
    own = pairs(4, 30)
    plan = make_plan(own, PlanTerms(4))
    assert plan.digest == hashlib.sha256(own.key[plan.order].astype("<u8").tobytes()).hexdigest()


def test_each_epoch_and_seed_has_an_order_of_its_own_and_keeps_it() -> None:
    own = pairs(5, 200)
    terms = [PlanTerms(8, seed=seed, epoch=epoch) for seed in (0, 1, 42) for epoch in range(4)]
    digests = [make_plan(own, one).digest for one in terms]
    assert len(set(digests)) == len(terms)
    assert [make_plan(own, one).digest for one in terms] == digests


@pytest.mark.parametrize("options", [{}, {"partners": "batch"}, {"good_share": 0.3}], ids=["plain", "batch", "share"])
@pytest.mark.parametrize("by_length", [False, True])
@pytest.mark.parametrize("name", SETS)
def test_the_order_of_the_input_does_not_matter(name: str, options: dict[str, Any], *, by_length: bool) -> None:
    own = SETS[name]()
    terms = PlanTerms(8, 2, seed=3, epoch=1, group_by_length=by_length, **options)
    plan = make_plan(own, terms)
    expected = own.key[plan.order], own.key[plan.partner]
    for seed in range(3):
        other = own.of(np.random.default_rng(seed).permutation(len(own.good)))
        again = make_plan(other, terms)
        np.testing.assert_array_equal(other.key[again.order], expected[0])
        np.testing.assert_array_equal(other.key[again.partner], expected[1])
        assert again.digest == plan.digest
        assert again.report == plan.report


@pytest.mark.parametrize("share", [0.05, 0.2, 0.34, 0.5, 0.66, 0.9])
@pytest.mark.parametrize("remainder", REMAINDERS)
def test_every_batch_has_the_share_that_was_asked_for(share: float, remainder: Remainder) -> None:
    for data, size, ranks in product((0.1, 0.5, 0.8), (2, 5, 8, 32), (1, 3)):
        own = traits(np.random.default_rng(9), np.arange(900), np.arange(900) < 900 * data)
        terms = PlanTerms(size, ranks, good_share=share, remainder=remainder)
        plan = make_plan(own, terms)
        for batch in cut(own.good[plan.order], size):
            assert abs(int(batch.sum()) - share * len(batch)) <= 1.01, (data, size, ranks)
        used = plan.report.samples
        assert used + sum(plan.report.left_out.values()) == 900
        assert plan.report.partners_invalid == 0


@pytest.mark.parametrize("share", [0.3, 0.5, 0.7])
def test_over_the_epochs_every_sample_is_used_equally_often(share: float) -> None:
    own = by_share(10, 400, 0.25, 300)
    uses = np.zeros(400, np.int64)
    rarer = own.good if own.good.sum() < 200 else ~own.good
    for epoch in range(12):
        plan = make_plan(own, PlanTerms(4, epoch=epoch, good_share=share, remainder="uneven"))
        found = np.bincount(plan.order, minlength=400)
        assert found.max() == 1
        assert plan.report.samples == found.sum()
        uses += found
        for label in (rarer, ~rarer):
            assert np.ptp(uses[label]) <= 1
    assert uses.min() >= 1


@pytest.mark.parametrize("name", SETS)
def test_like_lengths_share_a_batch_and_every_place_keeps_its_label(name: str) -> None:
    own = SETS[name]()
    terms = PlanTerms(8, 2, seed=1, remainder="uneven")
    plain, grouped = (make_plan(own, replace(terms, group_by_length=one)) for one in (False, True))
    check(own, grouped)
    assert grouped.report.padding_share < 0.7 * plain.report.padding_share
    before, after = own.good[plain.order], own.good[grouped.order]
    patterns = [sorted(str(batch) for batch in cut(labels, 16)) for labels in (before, after)]
    assert patterns[0] == patterns[1], "batches of a window change places, and rows only with those of their label"
    assert grouped.report.single_class_batches == plain.report.single_class_batches
    lengths = [own.length[batch].mean() for batch in cut(grouped.order, 16)]
    assert abs(np.corrcoef(lengths, np.arange(len(lengths)))[0, 1]) < 0.6, "short ones do not come first"


def test_lengths_are_grouped_within_windows_only() -> None:
    """So an epoch stays a random one: a sample moves by less than two windows."""
    own = by_share(11, 4000, 0.3, 4000)
    terms = PlanTerms(4, remainder="uneven")
    plain, grouped = (make_plan(own, replace(terms, group_by_length=one)) for one in (False, True))
    moved = np.argsort(plain.order)[grouped.order] // 200 - np.arange(4000) // 200
    assert set(moved.tolist()) == {0}
    assert (np.argsort(plain.order)[grouped.order] != np.arange(4000)).mean() > 0.9


@pytest.mark.parametrize("remainder", REMAINDERS)
@pytest.mark.parametrize("n", [5, 64, 96, 101, 128, 130])
def test_a_step_of_a_rank_is_what_accelerate_gives_it(n: int, remainder: Remainder) -> None:
    """Of rows in the order of the plan, read one after the other by a trainer on several processes."""
    own = by_share(n, n, 0.4, n)
    for size, ranks in product((2, 4, 8), (1, 2, 3, 8)):
        plan = make_plan(own, PlanTerms(size, ranks, remainder=remainder))
        assert remainder == "uneven" or len(plan) % (size * ranks) == 0
        for rank in range(ranks):
            rows = BatchSampler(SequentialSampler(range(len(plan))), size, drop_last=False)
            shard = list(BatchSamplerShard(rows, ranks, rank, even_batches=remainder != "uneven"))
            assert len(shard) == max(-(-(len(plan) - rank * size) // (size * ranks)), 0)
            for step, places in enumerate(shard):
                batch, partners = plan.batch(step, rank)
                np.testing.assert_array_equal(batch, plan.order[places])
                np.testing.assert_array_equal(partners, plan.partner[places])
                micro = step * ranks + rank
                np.testing.assert_array_equal(batch, plan.order[micro * size : (micro + 1) * size])


def test_what_is_no_step_is_refused() -> None:
    plan = make_plan(pairs(6, 16), PlanTerms(4, 2))
    for step, rank in ((4, 0), (-1, 0), (0, 2), (0, -1)):
        with pytest.raises(IndexError, match=f"step {step} of rank {rank}: there are 2 ranks and 32 samples"):
            plan.batch(step, rank)


def test_only_the_positions_that_may_be_used_are_used() -> None:
    own = pairs(7, 100)
    positions = np.flatnonzero(np.arange(200) % 3 > 0)
    for partners in PARTNERS:
        plan = make_plan(own, PlanTerms(4, partners=partners, remainder="uneven"), positions=positions)
        assert sorted(plan.order.tolist()) == positions.tolist()
        assert set(plan.partner.tolist()) <= {-1, *positions.tolist()}
        assert fits(own, plan.order, plan.partner)[plan.partner >= 0].all()
        assert make_plan(own.of(positions), plan.terms).digest == plan.digest
        report = make_plan(own, PlanTerms(4, partners=partners, good_share=0.3), positions=positions).report
        assert report.samples + sum(report.left_out.values()) == len(positions)


def test_no_samples_make_an_empty_plan() -> None:
    own = by_share(0, 0, 0.5, 1)
    for partners, remainder in product(PARTNERS, REMAINDERS):
        plan = make_plan(own, PlanTerms(4, 2, partners=partners, remainder=remainder, group_by_length=True))
        assert len(plan) == plan.report.samples == plan.report.batches == 0
        with pytest.raises(IndexError):
            plan.batch(0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"batch_size": 0}, "batch_size must be a whole number from 1 on, got 0"),
        ({"batch_size": 2.0}, "batch_size must be a whole number from 1 on, got 2.0"),
        ({"batch_size": True}, "batch_size must be a whole number from 1 on, got True"),
        ({"world_size": 0}, "world_size must be a whole number from 1 on, got 0"),
        ({"epoch": -1}, "epoch must be a whole number from 0 on, got -1"),
        ({"partners": "near"}, "partners must be one of anywhere, batch, got 'near'"),
        ({"remainder": "keep"}, "remainder must be one of pad, drop, uneven, got 'keep'"),
        ({"good_share": 0.0}, "good_share must lie between 0 and 1, got 0.0"),
        ({"good_share": 1.0}, "good_share must lie between 0 and 1, got 1.0"),
        ({"batch_size": 1, "partners": "batch"}, "a batch of one sample has no KL partner"),
    ],
    ids=str,
)
def test_terms_that_cannot_be_meant_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        PlanTerms(**({"batch_size": 8} | options))
