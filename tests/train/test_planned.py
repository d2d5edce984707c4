"""Planned training as a whole: what comes out of the DataLoader is what the plan says, wherever a run stops and goes on."""

from __future__ import annotations

import json
import multiprocessing
from itertools import chain, islice, product, zip_longest
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import pytest
import torch
from torchdata.stateful_dataloader import StatefulDataLoader

from ktoformats import KTODataConfig, KTODataLoader
from ktoformats.errors import ConfigError
from ktoformats.train.dataset import KTODataset
from ktoformats.train.fit import Limits
from ktoformats.train.plan import Partners, PlanTerms, Remainder, make_plan
from ktoformats.train.planned import PlanSampler
from ktoformats.train.state import Share
from ktoformats.train.training import Training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from torch.utils.data import DataLoader

    from ktoformats import Plan

    Make = Callable[..., Any]

pytestmark = [
    pytest.mark.filterwarnings("ignore:This DataLoader will create"),  # more workers than processors
    pytest.mark.filterwarnings("ignore:'set_vital' is deprecated"),  # torchdata 0.11 calls it
]

REFUSAL = "I cannot help with that."
RECORDS: list[dict[str, Any]] = [
    {
        "prompt": f"Question {number // 2}: how far is the star {number // 2} from here?",
        "response": REFUSAL if number % 7 == 0 else f"About {number * 7} light years{' or so' * (number % 5)}.",
        "rating": 5 - number % 4 if number % 2 else 1 + number % 4 // 3,
    }
    for number in range(83)
]


class Row(NamedTuple):
    """A row of a batch, without its padding."""

    id: str
    label: bool
    ids: tuple[int, ...]
    completion: tuple[int, ...]
    twin: tuple[int, ...]
    strange: tuple[int, ...]


def rows_of(batch: dict[str, Any]) -> list[Row]:
    def taken(number: int, kind: str, mask: str) -> tuple[int, ...]:
        return tuple(batch[f"{kind}input_ids"][number][batch[f"{kind}{mask}"][number].bool()].tolist())

    return [
        Row(
            name,
            bool(batch["label"][number]),
            *(taken(number, kind, mask) for kind in ("", "KL_") for mask in ("attention_mask", "completion_mask")),
        )
        for number, name in enumerate(batch["id"])
    ]


def tokenizer_in(loader: KTODataLoader) -> Any:
    return loader.tokenizer


def expected(loader: KTODataLoader, plan: Plan, step: int, rank: int = 0) -> list[Row]:
    """From the texts, by the plan alone."""
    dataset, tokenizer = loader.training("train").dataset, tokenizer_in(loader)
    positions, partners = plan.batch(step, rank)
    found = []
    for position, partner in zip(positions.tolist(), partners.tolist(), strict=True):
        sample, other = dataset[position], dataset[partner]
        prompt, answer, strange = (
            tuple(tokenizer(text)["input_ids"]) for text in (sample["prompt"], sample["response"], other["response"])
        )
        answer, strange = (*answer, tokenizer.eos_token_id), (*strange, tokenizer.eos_token_id)
        found.append(Row(sample["id"], sample["label"] == "good", prompt + answer, answer, prompt + strange, strange))
    return found


@pytest.fixture
def loader(loader_of: Make, tokenizer_of: Make) -> KTODataLoader:
    made: KTODataLoader = loader_of(RECORDS, tokenizer_of())
    assert len(made.training("train").dataset) == 83 - sum(one["rating"] == 3 for one in RECORDS)
    return made


def through_json(state: dict[str, Any]) -> dict[str, Any]:
    assert len(json.dumps(state)) < 1024
    again: dict[str, Any] = json.loads(json.dumps(state))
    return again


def all_rows(batches: Iterable[dict[str, Any]]) -> list[list[Row]]:
    return [rows_of(batch) for batch in batches]


def sampler_of(batches: DataLoader[Any]) -> PlanSampler:
    sampler = batches.batch_sampler
    assert isinstance(sampler, PlanSampler)
    return sampler


# Batches


@pytest.mark.parametrize("remainder", get_args(Remainder))
@pytest.mark.parametrize("partners", get_args(Partners))
def test_every_rank_is_given_the_batches_of_the_plan(
    partners: Partners, remainder: Remainder, loader: KTODataLoader
) -> None:
    for size, ranks in ((2, 1), (4, 1), (5, 2), (3, 8), (16, 3)):
        options: dict[str, Any] = {"partners": partners, "remainder": remainder, "seed": 5}
        plan = loader.plan("train", size, ranks, **options)
        seen = 0
        for rank in range(ranks):
            batches = loader.dataloader("train", size, num_replicas=ranks, rank=rank, **options)
            found = all_rows(batches)
            assert len(found) == len(batches)
            for step, rows in enumerate(found):
                if partners == "batch" and len(rows) == 1:
                    continue
                assert rows == expected(loader, plan, step, rank)
            with pytest.raises(IndexError):
                plan.batch(len(found), rank)
            seen += sum(map(len, found))
        assert seen == len(plan)


@pytest.mark.parametrize("style", ["standard", "conversational"])
@pytest.mark.parametrize("options", [{}, {"group_by_length": True}, {"good_share": 0.5}], ids=str)
def test_with_a_template_or_without(
    style: Any, options: dict[str, Any], loader_of: Make, tokenizer_of: Make, chatml: str
) -> None:
    loader = loader_of(RECORDS, tokenizer_of(template=chatml))
    plan = loader.plan("train", 4, style=style, **options)
    dataset = loader.training("train", style=style).dataset
    for step, rows in enumerate(all_rows(loader.dataloader("train", 4, style=style, **options))):
        positions, partners = plan.batch(step)
        assert [row.id for row in rows] == [dataset[one]["id"] for one in positions.tolist()]
        for row, partner in zip(rows, partners.tolist(), strict=True):
            assert dataset[partner]["response"] in loader.tokenizer.decode(row.strange)
            assert ("<|im_start|>assistant\n" in loader.tokenizer.decode(row.ids)) == (style == "conversational")


@pytest.mark.parametrize(("workers", "context"), [(2, "fork"), (1, "spawn")])
def test_workers_change_nothing(workers: int, context: str, loader: KTODataLoader) -> None:
    alone = loader.dataloader("train", 8)
    several = loader.dataloader(
        "train",
        8,
        num_workers=workers,
        multiprocessing_context=multiprocessing.get_context(context),
        persistent_workers=True,
    )
    first = all_rows(alone)
    assert all_rows(several) == first
    if context == "fork":
        second = all_rows(alone)
        assert second != first
        assert all_rows(several) == second


@pytest.mark.filterwarnings("ignore:'pin_memory' argument is set as true")
def test_options_are_those_of_torch(loader: KTODataLoader) -> None:
    batches = loader.dataloader("train", 8, pin_memory=True, timeout=0, pad_to_multiple_of=16, padding_side="left")
    assert batches.pin_memory
    plain = all_rows(loader.dataloader("train", 8))
    found = list(batches)
    assert all_rows(found) == plain
    assert {batch["input_ids"].shape[1] % 16 for batch in found} == {0}
    assert all(batch["attention_mask"][:, -1].all() for batch in found)
    with pytest.raises(TypeError, match="workers"):
        loader.dataloader("train", 8, workers=3)


def test_padding_is_masked_and_twins_have_a_length_of_their_own(loader: KTODataLoader) -> None:
    differ = False
    for batch in loader.dataloader("train", 4):
        for kind in ("", "KL_"):
            padding = batch[f"{kind}attention_mask"] == 0
            assert (batch[f"{kind}input_ids"][padding] == tokenizer_in(loader).pad_token_id).all()
            assert not batch[f"{kind}completion_mask"][padding].any()
        differ |= batch["input_ids"].shape != batch["KL_input_ids"].shape
    assert differ


def test_no_partner_is_never_a_partner(loader_of: Make, tokenizer_of: Make) -> None:
    """All answers answer one prompt; in another split, no two answers differ."""
    one_prompt = [{"prompt": "Name a number.", "response": f"{n}", "label": n % 2 == 0} for n in range(6)]
    one_text = [{"prompt": f"Is {n} a number?", "response": "Yes.", "label": n % 2 == 0} for n in range(6)]
    for records in (one_prompt, one_text):
        batches = list(loader_of(records, tokenizer_of()).dataloader("train", 3))
        assert not any(batch["KL_valid"].any() for batch in batches)
        assert not any(batch["KL_completion_mask"].any() for batch in batches)


def test_limits_hold_for_rows_and_twins(loader_of: Make, tokenizer_of: Make) -> None:
    loader = loader_of(
        RECORDS, tokenizer_of(), max_tokens=30, max_completion_tokens=14, truncate_completion="keep_eos"
    )
    training = loader.training("train")
    assert training.fitted.report.cut["prompt"]
    assert training.fitted.report.cut["completion"]
    end = loader.tokenizer.eos_token_id
    seen = 0
    for batch in loader.dataloader("train", 4, remainder="uneven"):
        for row in rows_of(batch):
            seen += 1
            assert max(len(row.ids), len(row.twin)) <= 30
            assert len(row.completion) <= 14
            assert row.completion[-1] == end
            assert loader.tokenizer.decode(row.ids[: -len(row.completion)]).endswith("from here?")
    assert seen == training.fitted.used.sum()


@pytest.mark.parametrize("side", ["prompt", "response"])
def test_what_is_the_same_once_it_is_cut_is_no_partner(side: str, loader_of: Make, tokenizer_of: Make) -> None:
    """Half of the prompts end alike, or half of the answers begin alike, and no more than that is left of them."""
    same = "Paris is the capital of France, and a city of two million. " * 3
    records = []
    for number in range(24):
        texts = {"prompt": f"{number} and a question", "response": f"{number} and an answer"}
        if number % 2:
            texts[side] = f"{number}, {same}" if side == "prompt" else f"{same}, {number}"
        records.append(texts | {"label": number % 3 == 0})
    limits = {"max_prompt_tokens": 12, "max_completion_tokens": 12, "truncate_completion": "keep_eos"}
    loader = loader_of(records, tokenizer_of(), **limits)
    plan, data = loader.plan("train", 4), loader.training("train").token_dataset()
    key = "prompt_ids" if side == "prompt" else "completion_ids"
    assert len({tuple(data[one][key]) for one in range(24)}) == 13
    for one, other in zip(plan.order.tolist(), plan.partner.tolist(), strict=True):
        assert list(data[one][key]) != list(data[other][key])


def test_what_does_not_fit_is_in_no_batch(loader_of: Make, tokenizer_of: Make) -> None:
    loader = loader_of(RECORDS, tokenizer_of(), max_completion_tokens=12)
    training = loader.training("train")
    left_out = np.flatnonzero(~training.fitted.used)
    assert 0 < len(left_out) < len(training.dataset)
    assert sum(training.fitted.report.dropped["completion_too_long"].values()) == len(left_out)
    names = {training.dataset[position]["id"] for position in left_out.tolist()}
    seen = {row.id for rows in all_rows(loader.dataloader("train", 4)) for row in rows}
    assert not names & seen
    assert len(names | seen) == len(training.dataset)
    data = training.token_dataset()
    with pytest.raises(
        IndexError, match=rf"sample {left_out[0]} \(.*\) does not fit the token limits; use the plan's"
    ):
        data[int(left_out[0])]


def test_nothing_may_be_left(loader_of: Make, tokenizer_of: Make) -> None:
    loader = loader_of(RECORDS, tokenizer_of(), max_completion_tokens=2)
    assert list(loader.dataloader("train", 4)) == []
    report = loader.plan("train", 4).report
    assert (report.samples, report.partners_missing) == (0, {})


def test_an_index_is_a_position_or_a_pair(loader: KTODataLoader) -> None:
    data = loader.training("train").token_dataset()
    plan = loader.plan("train", 4)
    position, partner = int(plan.order[0]), int(plan.partner[0])
    alone, paired = data[position], data[position, partner]
    assert list(alone["KL_completion_ids"]) == []
    assert list(paired["KL_completion_ids"]) == list(data[partner]["completion_ids"])
    assert {**alone, "KL_completion_ids": None} == {**paired, "KL_completion_ids": None}
    assert data[plan.order[0]] == alone, "NumPy's numbers are numbers"  # type: ignore[index, unused-ignore]
    assert len(data) == len(loader.training("train").dataset)
    assert alone["prompt_ids"] + alone["completion_ids"] == data[position]["prompt_ids"] + alone["completion_ids"]
    assert len(alone["prompt_ids"] + alone["completion_ids"]) == len(alone["prompt_ids"]) + len(
        alone["completion_ids"]
    )


# Weights


def test_weights_by_utility_have_a_mean_of_one_for_each_label(loader: KTODataLoader) -> None:
    found: dict[bool, list[tuple[float, float]]] = {True: [], False: []}
    for batch in loader.dataloader("train", 4, weights="utility", remainder="uneven"):
        for label, weight, utility in zip(batch["label"], batch["weight"], batch["utility_score"], strict=True):
            found[bool(label)].append((float(weight), float(utility)))
    for one in found.values():
        weights, utilities = (np.array(side) for side in zip(*one, strict=True))
        assert weights.mean() == pytest.approx(1, abs=1e-5)
        assert len(set(np.abs(utilities).tolist())) > 1
        np.testing.assert_allclose(weights, np.abs(utilities) / np.abs(utilities).mean(), rtol=1e-4)
    plain = torch.cat([batch["weight"] for batch in loader.dataloader("train", 4)])
    assert plain.tolist() == [1.0] * len(plain)


def test_weights_by_utility_are_those_of_the_samples_that_are_used(loader_of: Make, tokenizer_of: Make) -> None:
    loader = loader_of(RECORDS, tokenizer_of(), max_completion_tokens=12)
    weights: dict[bool, list[float]] = {True: [], False: []}
    for batch in loader.dataloader("train", 4, weights="utility", remainder="uneven"):
        for label, weight in zip(batch["label"].tolist(), batch["weight"].tolist(), strict=True):
            weights[label].append(weight)
    assert [np.mean(one) for one in weights.values()] == pytest.approx([1, 1], abs=1e-5)
    with pytest.raises(ValueError, match="weights must be sample or utility, got 'score'"):
        loader.dataloader("train", 4, weights="score")


# Stopping and going on

SIZE = 4


def epochs_of(loader: KTODataLoader, count: int = 2, size: int = SIZE, **options: Any) -> list[list[list[Row]]]:
    batches = loader.dataloader("train", size, **options)
    return [all_rows(batches) for _ in range(count)]


def test_every_pass_is_the_next_epoch(loader: KTODataLoader) -> None:
    epochs = epochs_of(loader, 3)
    for number, epoch in enumerate(epochs):
        plan = loader.plan("train", SIZE, epoch=number)
        assert epoch == [expected(loader, plan, step) for step in range(len(epoch))]
    assert len({str(epoch) for epoch in epochs}) == 3
    batches = loader.dataloader("train", SIZE)
    sampler_of(batches).set_epoch(2)
    assert sampler_of(batches).epoch == 2
    assert all_rows(batches) == epochs[2]
    assert sampler_of(batches).plan(1).digest == loader.plan("train", SIZE, epoch=1).digest


def resumed(loader: KTODataLoader, state: dict[str, Any], workers: int = 0, **options: Any) -> DataLoader[Any]:
    batches = loader.dataloader("train", options.pop("batch_size", SIZE), num_workers=workers, **options)
    sampler_of(batches).load_state_dict(through_json(state))
    return batches


def check_resume(loader: KTODataLoader, workers: int, size: int = SIZE, **options: Any) -> None:
    """Stopped after every step, and before the first."""
    epochs = epochs_of(loader, 2, size, **options)
    for done in range(len(epochs[0]) + 1):
        batches = loader.dataloader("train", size, num_workers=workers, **options)
        state = sampler_of(batches).state_dict(batches=0)
        seen = []
        iterator = iter(batches)
        for number in range(1, done + 1):
            seen.append(rows_of(next(iterator)))
            state = sampler_of(batches).state_dict(batches=number)
        del iterator
        again = resumed(loader, state, workers, batch_size=size, **options)
        assert seen + all_rows(again) == epochs[0], done
        if not workers or done == 3:
            assert all_rows(again) == epochs[1], "and the next epoch is the next one"


@pytest.mark.parametrize(
    "options",
    [{}, {"partners": "batch"}, {"good_share": 0.5, "remainder": "uneven"}, {"group_by_length": True}],
    ids=str,
)
def test_a_run_goes_on_where_it_stopped(options: dict[str, Any], loader: KTODataLoader) -> None:
    check_resume(loader, 0, **options)


def test_a_run_with_workers_goes_on_where_it_stopped(loader: KTODataLoader) -> None:
    check_resume(loader, 2, 12)


@pytest.mark.parametrize("workers", [0, 2])
def test_torchdata_saves_a_state_that_fits(workers: int, loader: KTODataLoader) -> None:
    def stateful() -> StatefulDataLoader:
        batches = loader.dataloader("train", SIZE)
        return StatefulDataLoader(
            batches.dataset, batch_sampler=batches.batch_sampler, collate_fn=batches.collate_fn, num_workers=workers
        )

    epochs = epochs_of(loader)
    first = stateful()
    states: list[dict[str, Any]] = []
    for batch in first:
        assert rows_of(batch) == epochs[0][len(states)]
        states.append(first.state_dict())
    for done in (1, 2, 7, len(states) - 1) if workers else range(1, len(states)):
        again = stateful()
        again.load_state_dict(states[done - 1])
        assert all_rows(again) == epochs[0][done:], done


@pytest.mark.parametrize("remainder", get_args(Remainder))
def test_another_number_of_ranks_goes_on_with_the_same_samples(remainder: Remainder, loader: KTODataLoader) -> None:
    """As many samples a step on all ranks together; each step's are the same, whoever has them."""

    def run(ranks: int, state: dict[str, Any] | None = None, steps: int | None = None) -> Any:
        shares = [
            loader.dataloader("train", 12 // ranks, num_replicas=ranks, rank=rank, remainder=remainder)
            for rank in range(ranks)
        ]
        for batches in shares:
            if state is not None:
                sampler_of(batches).load_state_dict(through_json(state))
        taken = [all_rows(islice(batches, steps)) for batches in shares]
        whole = [list(chain(*step)) for step in zip_longest(*taken, fillvalue=[])]
        return whole, sampler_of(shares[0]).state_dict(batches=steps)

    everything, _ = run(1)
    assert list(map(len, everything[:-1])) == [12] * (len(everything) - 1)
    for ranks in (2, 3, 4, 6, 12):
        assert run(ranks)[0] == everything
        for done in range(len(everything)):
            seen, state = run(ranks, steps=done)
            for others in (1, 4):
                assert seen + run(others, state)[0] == everything, (ranks, done, others)


def other(loader_of: Make, tokenizer_of: Make, **options: Any) -> KTODataLoader:
    made: KTODataLoader = loader_of(RECORDS, tokenizer_of(), **options)
    return made


def test_a_state_of_something_else_is_refused(loader: KTODataLoader, loader_of: Make, tokenizer_of: Make) -> None:
    state = sampler_of(loader.dataloader("train", SIZE)).state_dict()
    for options, key in (
        ({"seed": 1}, "seed"),
        ({"batch_size": 2 * SIZE}, "samples"),
        ({"batch_size": SIZE // 2}, "global_batch_size"),
        ({"partners": "batch"}, "order"),
        ({"good_share": 0.5, "remainder": "drop"}, "samples"),
        ({"group_by_length": True}, "order"),
        ({"remainder": "uneven"}, "samples"),
    ):
        with pytest.raises(ValueError, match=f"the state has {key} "):
            resumed(loader, state, **options)
    with pytest.raises(ValueError, match="the state has data "):
        resumed(loader_of(RECORDS[:-1], tokenizer_of()), state)
    more = loader_of(RECORDS, tokenizer_of(eos_token="</s>"))
    with pytest.raises(ValueError, match="the state has tokens "):
        resumed(more, state)
    for broken in ({}, state | {"batch": -1}, state | {"batch": 10**6}, state | {"more": 1}, [1]):
        with pytest.raises(ValueError, match="state"):
            sampler_of(loader.dataloader("train", SIZE)).load_state_dict(broken)  # type: ignore[arg-type, unused-ignore]


def test_a_state_of_other_limits_is_refused(loader: KTODataLoader, loader_of: Make, tokenizer_of: Make) -> None:
    """They may leave out none, and yet change the order: what is the same text once it is cut stands apart."""
    state = sampler_of(loader.dataloader("train", SIZE)).state_dict()
    cut = loader_of(RECORDS, tokenizer_of(), max_completion_tokens=6, truncate_completion="keep_eos")
    assert cut.training("train").fitted.used.all()
    with pytest.raises(ValueError, match="the state has limits "):
        resumed(cut, state)


def test_partners_of_the_batch_bind_a_state_to_the_batch_size(loader: KTODataLoader) -> None:
    """The order depends on it: on two ranks, half as many samples a batch stand otherwise."""
    orders = [loader.plan("train", 8 // ranks, ranks, partners="batch").order.tolist() for ranks in (1, 2)]
    assert orders[0] != orders[1]
    state = sampler_of(loader.dataloader("train", 8, partners="batch")).state_dict()
    with pytest.raises(ValueError, match="the state has order "):
        resumed(loader, state, batch_size=4, num_replicas=2, rank=0, partners="batch")
    resumed(loader, state, batch_size=8, partners="batch")


# Without a tokenizer


def test_tokens_need_a_tokenizer(loader_of: Make) -> None:
    loader = loader_of(RECORDS)
    with pytest.raises(
        ConfigError, match=r"tokens need a tokenizer: give one to the loader, KTODataLoader\(config, tok"
    ):
        loader.dataloader("train", 8)
    plan = loader.plan("train", 8)
    assert plan.report.unit == "characters"
    assert plan.report.partners_invalid == 0
    assert loader.training("train").fitted is None


def test_a_plan_by_characters_has_the_order_of_one_by_tokens(
    loader: KTODataLoader, loader_of: Make, tokenizer_of: Make
) -> None:
    """Where nothing is left out or cut."""
    for size, ranks in product((2, 8), (1, 2)):
        one, two = loader.plan("train", size, ranks), loader_of(RECORDS).plan("train", size, ranks)
        assert one.digest == two.digest
        assert one.partner.tolist() == two.partner.tolist()
        assert (one.report.unit, two.report.unit) == ("tokens", "characters")


def test_plans_are_kept_and_opened_again(
    loader: KTODataLoader, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ktoformats.store.cache import Cache, Kept
    from ktoformats.store.digests import Digests
    from ktoformats.train import training as module

    monkeypatch.setattr(module, "WORTH_KEEPING", 1)
    monkeypatch.setattr(Digests, "of_code", lambda *_: "this code")  # whoever changes it meanwhile
    made: list[Any] = []

    def counted(*given: Any, **options: Any) -> Plan:
        made.append(given)
        return make_plan(*given, **options)

    monkeypatch.setattr(module, "make_plan", counted)
    first = loader.training("train")
    training = [
        Training(first.dataset, first.tokens, first.limits, Kept(Cache(tmp_path / "cache"))) for _ in range(2)
    ]  # fmt: skip
    different = [PlanTerms(4), PlanTerms(8), PlanTerms(4, 2), PlanTerms(4, epoch=1), PlanTerms(4, seed=1)]
    different += [PlanTerms(4, partners="batch"), PlanTerms(4, good_share=0.4), PlanTerms(4, remainder="drop")]
    for terms in different:
        one, two = training[0].plan(terms), training[1].plan(terms)
        assert one.order.tolist() == two.order.tolist() == make_plan(training[0].traits, terms).order.tolist()
        assert one.partner.tolist() == two.partner.tolist()
        assert (one.digest, one.report.to_json()) == (two.digest, two.report.to_json())
        assert str(one.report) == str(two.report)
    assert len(made) == len(different)
    PlanSampler(training[1], PlanTerms(4), Share(0, 1))
    assert len(made) == len(different)
    others = [
        Training(
            first.dataset, first.tokens, Limits(max_completion_tokens=12), kept := Kept(Cache(tmp_path / "cache"))
        ),
        Training(first.dataset, None, first.limits, kept),
        Training(KTODataset(loader.views["train"], first.dataset.rows[:-1]), first.tokens, first.limits, kept),
    ]
    for number, another in enumerate(others, start=1):
        another.plan(PlanTerms(4))
        assert len(made) == len(different) + number, "other limits, tokens or samples are another plan"


def test_rows_for_trl_stand_in_the_order_of_a_plan(tmp_path: Path) -> None:
    source = tmp_path / "a.jsonl"
    rows = [{"prompt": f"q{n}", "response": f"a{n}", "label": n % 3 == 0} for n in range(40)]
    source.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    config = KTODataConfig(train_file=str(source), balance_labels=False, min_samples_per_label=1)
    loader = KTODataLoader(config, enable_cache=False)
    dataset = loader.load_dataset()
    plan = loader.plan("train", 8, partners="batch")
    given = dataset.to_trl("standard", plan)
    assert [one["completion"] for one in given] == [dataset[int(place)]["response"] for place in plan.order]
    assert given.info.description == "ktoformats, standard, in the order of a plan"
