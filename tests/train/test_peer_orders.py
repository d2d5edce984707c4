"""What trainers make of rows as they stand, measured beside what a plan makes of them.

TRL 1.16 and HALOs are followed step by step: TRL's own functions are taken from the source that is installed, HALOs'
order and rotation are written out. Each test of a defect first shows it on their side. The figures are printed with
`pytest -s`.
"""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any, NamedTuple, get_args

import numpy as np
import pytest

from ktoformats import KTOCollator
from ktoformats.train.order import fewest_single_class_batches
from ktoformats.train.plan import PlanTerms, Remainder, Traits, make_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats import KTODataLoader
    from ktoformats.store.numbers import Array

    Make = Callable[..., Any]
    OfTrl = Callable[[str, str], Any]

SIZES = (4, 8, 16)
PER_CHUNK = 1000
"""Rows that `datasets` hands to a batched map at once."""


class Measured(NamedTuple):
    """Of an epoch."""

    batches: int
    single_class: int
    rows: int
    invalid: int
    """Partners that are the row itself, answer the same prompt, or have the same text."""

    def __str__(self) -> str:
        return (
            f"{self.single_class:5} of {self.batches:5} batches of one label ({self.single_class / self.batches:6.1%}), "
            f"{self.invalid:5} of {self.rows:5} partners invalid ({self.invalid / self.rows:6.1%})"
        )


def measured(own: Traits, batches: list[Array], partners: list[Array]) -> Measured:
    rows, others = np.concatenate(batches), np.concatenate(partners)
    invalid = (own.asked[rows] == own.asked[others]) | (own.answer[rows] == own.answer[others]) | (others < 0)
    single = sum(len(set(own.good[batch].tolist())) == 1 for batch in batches)
    return Measured(len(batches), single, len(rows), int(invalid.sum()))


def cut(order: Array, size: int) -> list[Array]:
    return [order[start : start + size] for start in range(0, len(order), size)]


# Theirs


def trl_partners(of_trl: OfTrl, blocks: list[Array]) -> list[Array]:
    """TRL's own function, given numbers of rows for the ids of their completions."""
    add = of_trl("trainer/kto_trainer.py", "add_kl_completion_ids")
    return [np.array(add({"completion_ids": block.tolist()})["KL_completion_ids"]) for block in blocks]


def trl(of_trl: OfTrl, own: Traits, size: int) -> Measured:
    """Rows as they stand, consecutive ones a batch; a row's partner is the one before it in the batch."""
    batches = cut(np.arange(len(own.good)), size)
    return measured(own, batches, trl_partners(of_trl, batches))


def halos(own: Traits, size: int, ranks: int = 1, seed: int = 0) -> Measured:
    """A seeded shuffle, every W-th row for a rank, the next row of the microbatch as partner; a short end is dropped."""
    flat = list(range(len(own.good)))
    random.Random(seed).shuffle(flat)
    if ranks > 1:
        flat = flat[: len(flat) // (size * ranks) * size * ranks]
    batches = [
        batch for rank in range(ranks) for batch in cut(np.array(flat[rank::ranks]), size) if len(batch) == size
    ]  # fmt: skip
    return measured(own, batches, [np.roll(batch, -1) for batch in batches])


def ours(own: Traits, size: int, **options: Any) -> Measured:
    plan = make_plan(own, PlanTerms(size, **options))
    steps = range(plan.report.batches)
    found = [plan.batch(step) for step in steps]
    return measured(own, [rows for rows, _ in found], [partners for _, partners in found])


# Data, in the order in which they are found


def samples(asked: list[int], good: list[bool], answer: list[int]) -> Traits:
    n = len(asked)
    rng = np.random.default_rng(n)
    names = rng.integers(0, 2**64, 10**5, dtype=np.uint64)
    prompts, texts = names[np.array(asked)], names[np.array(answer)]
    keys = rng.integers(0, 2**64, n, dtype=np.uint64)
    return Traits(np.array(good), prompts, keys, prompts, texts, np.full(n, 9))


def unpaired(of_trl: OfTrl, pairs: int = 2500, refusals: float = 0.2) -> Traits:
    """Pairs as TRL takes them apart; some of the rejected answers are one of five refusals."""
    luck = random.Random(1)
    unpair = of_trl("data_utils.py", "_unpair_row")
    asked, good, answer = [], [], []
    for start in range(0, pairs, PER_CHUNK):
        numbers = range(start, min(start + PER_CHUNK, pairs))
        rejected = [luck.randrange(5) if luck.random() < refusals else 50_000 + number for number in numbers]
        chunk = unpair({"prompt": list(numbers), "chosen": [10 + one for one in numbers], "rejected": rejected})
        asked += chunk["prompt"]
        good += chunk["label"]
        answer += chunk["completion"]
    return samples(asked, good, answer)


def thumbs(_: OfTrl, n: int = 4000) -> Traits:
    """A log by time: people ask again until they are content, and one answer in ten is bad, often a refusal."""
    luck = random.Random(2)
    asked, good, answer = [0], [True], [10]
    for number in range(1, n):
        asked.append(asked[-1] if luck.random() < 0.3 else number)
        good.append(luck.random() < 0.9)
        answer.append(luck.randrange(5) if not good[-1] and luck.random() < 0.5 else 10 + number)
    return samples(asked, good, answer)


def rankings(_: OfTrl, prompts: int = 500) -> Traits:
    """The best of seven answers is good; the answers to a prompt stand side by side."""
    asked = [prompt for prompt in range(prompts) for _ in range(7)]
    return samples(asked, [place % 7 == 0 for place in range(len(asked))], [10 + one for one in range(len(asked))])


def graded(_: OfTrl, n: int = 3000) -> Traits:
    """Sorted by grade, one good in three."""
    return samples(
        [number // 3 for number in range(n)], [number < n // 3 for number in range(n)], [10 + one for one in range(n)]
    )


DATA: dict[str, Callable[[OfTrl], Traits]] = {
    "pairs": unpaired,
    "thumbs": thumbs,
    "rankings": rankings,
    "sorted by grade": graded,
}


OF_EIGHT = {
    "pairs": ((624, 19), (8, 12)),
    "thumbs": ((193, 1075), (210, 4)),
    "rankings": ((1, 2626), (134, 5)),
    "sorted by grade": ((375, 1750), (13, 3)),
}
"""TRL's and HALOs' batches of one label and invalid partners, in batches of eight."""


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", DATA)
def test_batches_of_one_label_and_invalid_partners(name: str, size: int, of_trl: OfTrl) -> None:
    own = DATA[name](of_trl)
    n, rarer = len(own.good), int(min(own.good.sum(), (~own.good).sum()))
    fewest = fewest_single_class_batches(n, rarer, size)
    theirs = {"TRL": trl(of_trl, own, size), "HALOs": halos(own, size), "HALOs, 4 ranks": halos(own, size, 4)}
    here = {
        "plan": ours(own, size, remainder="uneven"),
        "plan, TRL's partners": ours(own, size, partners="batch", remainder="uneven"),
    }
    lines = [f"{name}, {n} rows, batches of {size}, fewest possible {fewest}"]
    lines += [f"  {who:21}{found}" for who, found in (theirs | here).items()]
    sys.stdout.write("\n" + "\n".join(lines) + "\n")
    for found in here.values():
        assert found.single_class == fewest
        assert found.invalid == 0
        assert found.rows == n
    for found in theirs.values():
        assert found.single_class >= fewest
        assert found.rows > 0.98 * n
    assert theirs["TRL"].rows == n
    assert sum(found.invalid for found in theirs.values()) > 0
    if size == 8:
        figures = {who: (found.single_class, found.invalid) for who, found in theirs.items()}
        assert (figures["TRL"], figures["HALOs"]) == OF_EIGHT[name]


# Batches and partners, defect by defect


def test_pairs_that_are_unpaired_stand_in_blocks_of_one_label(of_trl: OfTrl) -> None:
    own = unpaired(of_trl)
    ends = [*np.flatnonzero(np.diff(own.good)) + 1, len(own.good)]
    assert np.diff([0, *ends]).tolist() == [1000, 1000, 1000, 1000, 500, 500]
    assert trl(of_trl, own, 4).single_class == 1250
    assert ours(own, 4).single_class == 0


@pytest.mark.parametrize(("n", "size"), [(9, 8), (13, 4), (1001, 10)])
def test_a_last_batch_of_one_makes_a_row_its_own_partner(n: int, size: int, of_trl: OfTrl) -> None:
    own = samples(list(range(n)), [one % 2 == 0 for one in range(n)], [100 + one for one in range(n)])
    [*_, last] = trl_partners(of_trl, cut(np.arange(n), size))
    assert last.tolist() == [n - 1], "the estimate is then the row's own reward"
    for remainder in get_args(Remainder):
        plan = make_plan(own, PlanTerms(size, remainder=remainder))
        assert plan.report.partners_missing == {}
        assert (plan.partner != plan.order).all()
        plan = make_plan(own, PlanTerms(size, partners="batch", remainder=remainder))
        assert (plan.partner != plan.order).all()
        assert plan.report.partners_missing == ({"it is alone in its batch": 1} if remainder == "uneven" else {})


def test_neighbours_may_answer_the_same_prompt(of_trl: OfTrl) -> None:
    own = rankings(of_trl)
    for size in SIZES:
        assert trl(of_trl, own, size).invalid > 0.6 * len(own.good)
        assert ours(own, size, partners="batch").invalid == 0


def test_refusals_have_the_same_text(of_trl: OfTrl) -> None:
    """Four of five are the very answer of their neighbour."""
    own = samples(
        list(range(100)), [one % 2 == 0 for one in range(100)], [1 if one % 5 else 10 + one for one in range(100)]
    )
    assert trl(of_trl, own, 4).invalid > 50
    assert ours(own, 4).invalid == 0
    few = samples(
        list(range(100)), [one % 2 == 0 for one in range(100)], [1 if one % 5 < 2 else 10 + one for one in range(100)]
    )
    assert trl(of_trl, few, 4).invalid > 10
    assert ours(few, 4, partners="batch").invalid == 0


@pytest.mark.parametrize(("train", "evaluation"), [(2, 8), (4, 6)])
def test_partners_of_an_evaluation_are_cut_by_the_batch_size_of_training(
    train: int, evaluation: int, of_trl: OfTrl
) -> None:
    own = samples(list(range(48)), [one % 2 == 0 for one in range(48)], [100 + one for one in range(48)])
    partners = np.concatenate(trl_partners(of_trl, cut(np.arange(48), train)))
    rotated = np.concatenate([np.roll(batch, 1) for batch in cut(np.arange(48), evaluation)])
    assert (partners != rotated).mean() > 0.3
    plans = [make_plan(own, PlanTerms(size)) for size in (train, evaluation)]
    np.testing.assert_array_equal(plans[0].partner, plans[1].partner)


@pytest.mark.parametrize(("n", "size", "strayed"), [(40, 8, 6), (13, 4, 4)])
def test_preparing_in_several_processes_moves_partners_to_other_batches(
    n: int, size: int, strayed: int, of_trl: OfTrl, loader_of: Make
) -> None:
    """`datasets` deals consecutive rows out to three processes, and each cuts its own into blocks."""
    blocks = [block for share in np.array_split(np.arange(n), 3) for block in cut(share, size)]
    partners = np.concatenate(trl_partners(of_trl, blocks))
    assert int((partners // size != np.arange(n) // size).sum()) == strayed
    records = [{"prompt": f"p{one}", "response": f"r{one}", "label": one % 2 == 0} for one in range(n)]
    found = []
    for order in (records, records[::-1], [*records[n // 3 :], *records[: n // 3]]):
        plan, dataset = (loader := loader_of(order)).plan("train", size), loader.training("train").dataset
        names = dataset["id"]
        found.append([(names[one], names[two]) for one, two in zip(plan.order, plan.partner, strict=True)])
    assert found[0] == found[1] == found[2]


def test_a_microbatch_of_one_makes_every_row_its_own_partner() -> None:
    own = samples(list(range(50)), [one % 2 == 0 for one in range(50)], [100 + one for one in range(50)])
    assert halos(own, 1, ranks=2).invalid == 50, "its guard asks for the batch of all ranks"
    assert ours(own, 1) == Measured(50, 50, 50, 0)


def test_an_order_that_never_changes_and_one_that_does(of_trl: OfTrl) -> None:
    """TRL reads the same batches in every epoch; so an export may hold several epochs, each in an order of its own."""
    own = thumbs(of_trl, 500)
    plans = [make_plan(own, PlanTerms(8, epoch=epoch, partners="batch")) for epoch in range(3)]
    assert len({plan.digest for plan in plans}) == 3
    assert all(plan.report.partners_invalid == 0 for plan in plans)


# Truncation and tokens, defect by defect


def trl_ids(tokenizer: Any, prompt: str, completion: str) -> tuple[list[int], list[int]]:
    """As `tokenize_fn` does: the prompt, then the whole, cut at the length of the prompt."""
    text = completion if completion.endswith(tokenizer.eos_token) else completion + tokenizer.eos_token
    asked, whole = tokenizer(prompt)["input_ids"], tokenizer(prompt + text)["input_ids"]
    return asked, whole[len(asked) :]


def our_ids(loader: KTODataLoader, row: int = 0) -> tuple[list[int], list[int]]:
    one = loader.training("train").token_dataset()[row]
    return list(one["prompt_ids"]), list(one["completion_ids"])


def of_pair(prompt: str, response: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"prompt": prompt, "response": response, "label": True},
        {"prompt": "q", "response": "r", "label": False, **more},
    ]


LONG = "Paris is the capital of France, and a city of two million. " * 4


def test_a_cut_completion_loses_its_end_token(of_trl: OfTrl, loader_of: Make, tokenizer_of: Make) -> None:
    tokenizer = tokenizer_of()
    asked, said = trl_ids(tokenizer, "What is the capital?", LONG)
    collate = of_trl("trainer/kto_trainer.py", "DataCollatorForUnpairedPreference")
    theirs = collate(0, 24).torch_call([{"prompt_ids": asked, "completion_ids": said, "label": True}])
    assert tokenizer.eos_token_id not in theirs["input_ids"][0].tolist()
    loader = loader_of(of_pair("What is the capital?", LONG), tokenizer, max_tokens=24)
    report = loader.training("train").fitted.report
    assert report.dropped == {"completion_too_long": {"good": 1, "bad": 0}}
    loader = loader_of(
        of_pair("What is the capital?", LONG), tokenizer, max_tokens=24, truncate_completion="keep_eos"
    )
    assert loader.training("train").fitted.report.cut["completion"] == {"good": 1, "bad": 0}
    _, completion = our_ids(loader)
    assert completion[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(completion[:-1]) in LONG


def test_a_long_prompt_is_dropped_and_nobody_told(loader_of: Make, tokenizer_of: Make) -> None:
    tokenizer = tokenizer_of()
    records = [
        {"prompt": LONG * (1 + number % 2) + f"{number}?", "response": "Yes.", "label": number % 4 > 1}
        for number in range(8)
    ]
    most = len(tokenizer(LONG)["input_ids"]) + 20
    kept = [row for row in records if len(tokenizer(row["prompt"])["input_ids"]) < most]
    assert len(kept) == 4, "TRL's filter, which counts nothing"
    loader = loader_of(records, tokenizer, max_tokens=most, truncate_prompt="drop")
    assert loader.training("train").fitted.report.dropped == {"prompt_too_long": {"good": 2, "bad": 2}}
    assert "dropped, prompt_too_long: 2 good, 2 bad" in str(loader.training("train").fitted.report)


def test_a_cut_prompt_loses_the_last_question(loader_of: Make, tokenizer_of: Make, chatml: str) -> None:
    """HALOs keeps the beginning of a conversation, turn by turn; here its end stays, and the assistant's turn opens."""
    tokenizer = tokenizer_of(template=chatml)
    turns = [("user", LONG), ("assistant", "Yes."), ("user", "Name a prime number.")]
    messages = [{"role": role, "content": text} for role, text in turns]
    whole = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert "prime" not in tokenizer.decode(tokenizer(whole)["input_ids"][:40]), "from the start"
    records = [
        {"messages": [*messages, {"role": "assistant", "content": "Seven."}], "label": True},
        *of_pair("q", "r"),
    ]
    asked, _ = our_ids(loader_of(records, tokenizer, max_prompt_tokens=40))
    assert len(asked) == 40
    assert tokenizer.decode(asked).endswith("Name a prime number.<|im_end|>\n<|im_start|>assistant\n")


def test_a_cut_is_made_anew_for_every_limit(loader_of: Make, tokenizer_of: Make) -> None:
    """HALOs writes the cut text back, so that a longer limit later finds only what is left."""
    tokenizer = tokenizer_of()
    stored = {"generation": LONG}
    for most in (10, 40):
        stored["generation"] = tokenizer.decode(tokenizer(stored["generation"])["input_ids"][:most])
    assert len(tokenizer(stored["generation"])["input_ids"]) <= 10
    loader = loader_of(of_pair(LONG, "Yes."), tokenizer, max_prompt_tokens=10)
    training = loader.training("train")
    passes = [[our_ids(loader), our_ids(loader, 1)] for _ in range(2)]
    assert passes[0] == passes[1]
    assert training.tokens.prompt(0).tolist() == tokenizer(LONG)["input_ids"]
    longer = loader_of(of_pair(LONG, "Yes."), tokenizer, max_prompt_tokens=40)
    assert our_ids(longer)[0] == tokenizer(LONG)["input_ids"][-40:]


def test_a_cut_makes_duplicates_and_contradictions(of_trl: OfTrl, loader_of: Make, tokenizer_of: Make) -> None:
    """Two answers that begin alike, one good, one bad: cut, TRL trains on the same tokens with both labels."""
    tokenizer = tokenizer_of()
    records: list[dict[str, Any]] = [
        {"prompt": "Say.", "response": LONG + end, "label": label} for end, label in (("a", True), ("b", False))
    ]
    collate = of_trl("trainer/kto_trainer.py", "DataCollatorForUnpairedPreference")(0, 20)
    rows = [
        dict(zip(("prompt_ids", "completion_ids"), trl_ids(tokenizer, one["prompt"], one["response"]), strict=True))
        for one in records
    ]
    theirs = collate.torch_call([row | {"label": one["label"]} for row, one in zip(rows, records, strict=True)])
    assert theirs["input_ids"][0].tolist() == theirs["input_ids"][1].tolist()
    assert theirs["label"].tolist() == [True, False]
    options: dict[str, Any] = {"max_tokens": 20, "truncate_completion": "keep_eos"}
    report = loader_of(records, tokenizer, **options).training("train").fitted.report
    assert (report.same_after_cut, report.contradicting_after_cut) == (2, 2)
    report = loader_of(records, tokenizer, **options, conflict="drop").training("train").fitted.report
    assert report.dropped == {"conflict_after_cut": {"good": 1, "bad": 1}}
    twins = [one | {"label": True} for one in records]
    report = loader_of(twins, tokenizer, **options, duplicates="drop").training("train").fitted.report
    assert report.dropped == {"duplicate_after_cut": {"good": 1, "bad": 0}}


def test_begin_and_end_tokens_are_doubled_or_missing(loader_of: Make, tokenizer_of: Make) -> None:
    tokenizer = tokenizer_of(adds="both", eos_token="</s>")
    begin, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    asked, said = trl_ids(tokenizer, "<s>Name a number.", "Seven.")
    assert (asked + said).count(begin) == 2
    assert said[-2:] == [end, end]
    assert asked[-1] == end, "a prompt that ends before the answer begins"
    asked, said = our_ids(loader_of(of_pair("<s>Name a number.", "Seven."), tokenizer))
    assert (asked.count(begin), asked.count(end), said.count(begin), said.count(end)) == (1, 0, 0, 1)
    assert (asked[0], said[-1]) == (begin, end)
    asked, said = our_ids(loader_of(of_pair("Name a number.", "Seven.</s>"), tokenizer))
    assert (asked.count(begin), said.count(end)) == (1, 1)


@pytest.mark.parametrize(("prompt", "answer"), [("The answer is ", "34."), ("Paris is the cap", "ital of France.")])
def test_a_boundary_within_a_token_moves(prompt: str, answer: str, loader_of: Make, tokenizer_of: Make) -> None:
    """TRL cuts the whole at the length of the prompt: its text is no longer the answer's."""
    tokenizer = tokenizer_of("metaspace" if prompt.endswith(" ") else "bytes")
    asked, said = trl_ids(tokenizer, prompt, answer)
    whole = tokenizer(prompt + answer)["input_ids"]
    assert whole[: len(asked)] != asked
    assert tokenizer.backend_tokenizer.decode(said[:-1]).strip() != answer
    asked, said = our_ids(loader_of(of_pair(prompt, answer), tokenizer))
    assert asked == tokenizer(prompt)["input_ids"]
    assert tokenizer.backend_tokenizer.decode(asked + said[:-1]) == prompt + answer


def test_trl_s_collator_takes_our_samples_as_they_are(of_trl: OfTrl, loader_of: Make, tokenizer_of: Make) -> None:
    """It joins with `+`, which would add NumPy's arrays up."""
    records = [
        {"prompt": f"Question {one}?", "response": f"{one} " * (1 + one % 4), "label": one % 2 == 0}
        for one in range(12)
    ]
    loader = loader_of(records, tokenizer_of())
    data, plan = loader.training("train").token_dataset(), loader.plan("train", 12)
    rows = data.__getitems__(list(zip(plan.order.tolist(), plan.partner.tolist(), strict=True)))
    theirs = of_trl("trainer/kto_trainer.py", "DataCollatorForUnpairedPreference")(data.pad_token_id).torch_call(rows)
    found = KTOCollator(data.pad_token_id)(rows)
    assert len(theirs) == 7
    for key, tensor in theirs.items():
        assert found[key].tolist() == tensor.tolist(), key


def test_what_a_template_loses_is_counted_by_label(loader_of: Make, tokenizer_of: Make) -> None:
    """Content that renders to nothing, prompts that no answer follows, roles that are refused."""
    template = (
        "{% for m in messages %}{% if 'odd' in m.content %}{{ raise_exception('odd') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ '' if 'secret' in m.content else m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n"
        "{{ '<think>' if 'why' in messages[-1].content else '' }}{% endif %}"
    )
    texts = [("Say", "yes"), ("Say", "a secret"), ("Say", "something odd"), ("Tell why", "as it is"), ("Tell", "no")]
    records = [
        {"prompt": asked, "response": said, "label": label} for label in (True, False) for asked, said in texts
    ]
    training = loader_of(records, tokenizer_of(template=template)).training("train")
    assert training.fitted.report.dropped == {
        "template_boundary": {"good": 1, "bad": 1},
        "template_loses_text": {"good": 1, "bad": 1},
        "template_failed": {"good": 1, "bad": 1},
    }
    plan = training.plan(PlanTerms(2, remainder="uneven"))
    assert sorted(plan.order.tolist()) == np.flatnonzero(training.fitted.used).tolist()
