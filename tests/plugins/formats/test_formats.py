"""The first-party formats: what each states, in every shape it reads."""

from __future__ import annotations

import gzip
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import ConfigError, KTODataConfig, KTODataLoader, OneClassError

if TYPE_CHECKING:
    from collections.abc import Callable

FIXTURES = Path(__file__).parents[2] / "fixtures"
Q, A, B = "What is new?", "Nothing much.", "A lot, thank you."


def triples(samples: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(s["prompt"], s["response"], s["label"]) for s in samples]


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def assistant(text: str, **more: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": text, **more}


# binary


def test_binary_reads_messages_on_both_sides(load: Callable[..., Any]) -> None:
    """TRL's conversational layout."""
    prompt = [{"role": "system", "content": "Be brief."}, user("Hi"), assistant("Hello."), user(Q)]
    [sample], _ = load([{"prompt": prompt, "completion": [assistant(A)], "label": True}])
    assert triples([sample]) == [(Q, A, "good")]
    assert sample["system"] == "Be brief."
    assert sample["conversation"] == [user("Hi"), assistant("Hello."), user(Q)]


def test_binary_takes_a_conversation_as_history(load: Callable[..., Any]) -> None:
    record = {"prompt": Q, "response": A, "label": "good", "conversation": [user("Hi"), assistant("Hello.")]}
    [sample], _ = load([record])
    assert sample["conversation"] == [user("Hi"), assistant("Hello."), user(Q)]


def test_binary_refuses_a_history_that_ends_in_another_question(load: Callable[..., Any]) -> None:
    record = {"prompt": Q, "response": A, "label": "good", "conversation": [user("Something else")]}
    good = {"prompt": Q, "response": A, "label": "good"}
    samples, loader = load([record, good])
    assert len(samples) == 1
    assert loader.report.total.rejected == {"prompt_mismatch": 1}


def test_the_first_verdict_that_is_not_null_decides(load: Callable[..., Any]) -> None:
    samples, _ = load([{"prompt": Q, "response": A, "label": None, "rating": 5}])
    assert triples(samples) == [(Q, A, "good")]


# pairwise


def test_pairs_of_conversations_bring_their_own_context(load: Callable[..., Any]) -> None:
    record = {
        "chosen": [user("Hi"), assistant("Hello."), user(Q), assistant(A)],
        "rejected": [user("Hi"), assistant(B)],
    }
    samples, _ = load([record])
    assert triples(samples) == [(Q, A, "good"), ("Hi", B, "bad")]
    assert samples[0]["conversation"] == [user("Hi"), assistant("Hello."), user(Q)]


def test_a_prompt_that_the_conversation_repeats_is_not_doubled(load: Callable[..., Any]) -> None:
    record = {"prompt": Q, "chosen": [user(Q), assistant(A)], "rejected": [user(Q), assistant(B)]}
    samples, _ = load([record])
    assert triples(samples) == [(Q, A, "good"), (Q, B, "bad")]
    assert samples[0]["conversation"] == []


def test_a_bad_side_costs_that_side(load: Callable[..., Any]) -> None:
    records = [{"prompt": Q, "chosen": A, "rejected": ""}, {"prompt": Q, "chosen": None, "rejected": B}]
    samples, loader = load(records)
    assert triples(samples) == [(Q, A, "good"), (Q, B, "bad")]
    assert loader.report.total.candidates_lost == {"empty_response": 1, "null_field": 1}


def test_identical_sides_give_nothing(load: Callable[..., Any]) -> None:
    samples, loader = load([{"prompt": Q, "chosen": A, "rejected": A}, {"prompt": Q, "chosen": A, "rejected": B}])
    assert len(samples) == 2
    assert loader.report.total.without_verdict == {"identical_sides": 1}


def test_balanced_keeps_pairs_of_which_both_sides_survive(load: Callable[..., Any]) -> None:
    records = [{"prompt": Q, "chosen": A, "rejected": B}, {"prompt": Q, "chosen": "long " * 50, "rejected": B + "!"}]
    samples, loader = load(records, pairwise_sampling_strategy="balanced", max_response_length=100)
    assert triples(samples) == [(Q, A, "good"), (Q, B, "bad")]
    assert loader.report.dropped_by()["pairs"] == {"unpaired": {"good": 0, "bad": 1}}


def test_random_takes_one_side_of_each_pair_by_seed(load: Callable[..., Any]) -> None:
    records = [{"prompt": f"{Q} {i}", "chosen": f"{A} {i}", "rejected": f"{B} {i}"} for i in range(200)]
    samples, _ = load(records, pairwise_sampling_strategy="random")
    again, _ = load(records[::-1], pairwise_sampling_strategy="random")
    other, _ = load(records, pairwise_sampling_strategy="random", random_seed=7)
    assert len(samples) == len({s["prompt"] for s in samples}) == 200
    assert 60 < Counter(s["label"] for s in samples)["good"] < 140
    assert sorted(triples(samples)) == sorted(triples(again))
    assert triples(samples) != triples(other)


def test_pairs_can_be_refused(load: Callable[..., Any]) -> None:
    records = [{"prompt": Q, "chosen": A, "rejected": B}, {"prompt": Q, "response": A, "label": 1}]
    samples, loader = load(records, convert_pairwise_to_binary=False)
    assert len(samples) == 1
    assert loader.report.total.rejected == {"pairs_refused": 1}


# ranking


@pytest.mark.parametrize(
    ("strategy", "good", "bad"),
    [("best_worst", "a", "d"), ("best_rest", "a", "bcd"), ("halves", "ab", "cd")],
)
def test_ranking_strategies(load: Callable[..., Any], strategy: str, good: str, bad: str) -> None:
    record = {"prompt": Q, "responses": ["d", "b", "a", "c"], "rankings": [4, 2, 1, 3]}
    samples, _ = load([record], ranking_strategy=strategy)
    assert "".join(s["response"] for s in samples if s["label"] == "good") == good
    assert "".join(s["response"] for s in samples if s["label"] == "bad") == bad
    assert {s["preference_type"] for s in samples} == {"ranking_positive", "ranking_negative"}


def test_ranking_threshold(load: Callable[..., Any]) -> None:
    record = {"prompt": Q, "responses": list("abcd"), "rankings": [0, 1, 2, 3]}
    samples, _ = load([record], ranking_strategy="threshold", ranking_good_to=2, ranking_bad_from=4)
    assert [(s["response"], s["label"]) for s in samples] == [("a", "good"), ("b", "good"), ("d", "bad")]


def test_ranking_direction(load: Callable[..., Any]) -> None:
    record = {"prompt": Q, "responses": ["a", "b"], "rankings": [1, 2]}
    low, _ = load([record])
    high, _ = load([record], formats=[{"ranking": {"best": "high"}}])
    assert [s["response"] for s in low if s["label"] == "good"] == ["a"]
    assert [s["response"] for s in high if s["label"] == "good"] == ["b"]


@pytest.mark.parametrize(("order", "good"), [("best_first", "a"), ("worst_first", "b")])
def test_ranking_by_list_order(load: Callable[..., Any], order: str, good: str) -> None:
    samples, _ = load([{"prompt": Q, "responses": ["a", "b"]}], formats=[{"ranking": {"order": order}}])
    assert [s["response"] for s in samples if s["label"] == "good"] == [good]


def test_ranking_ties_only_by_option(load: Callable[..., Any]) -> None:
    records = [
        {"prompt": Q, "responses": ["a", "b", "c"], "rankings": [1, 1, 2]},
        {"prompt": Q, "responses": ["a", "b"], "rankings": [1, 1]},
        {"prompt": Q, "responses": ["x", "y"], "rankings": [1, 2]},
    ]
    samples, loader = load(records)
    assert [s["response"] for s in samples] == ["x", "y"]
    assert loader.report.total.rejected == {"bad_ranking": 1}
    assert loader.report.total.without_verdict == {"tie": 1}
    samples, _ = load(records[:1], ranking_ties="allow")
    assert sorted((s["response"], s["label"]) for s in samples) == [("a", "good"), ("b", "good"), ("c", "bad")]


# conversation


def test_label_on_the_last_answer(load: Callable[..., Any]) -> None:
    [sample], _ = load([{"messages": [user("Hi"), assistant("Hello."), user(Q), assistant(A)], "label": False}])
    assert triples([sample]) == [(Q, A, "bad")]
    assert sample["conversation"] == [user("Hi"), assistant("Hello."), user(Q)]


def test_one_sample_per_judged_turn(load: Callable[..., Any]) -> None:
    turns = [user("Hi"), assistant("Hello.", label="good"), user(Q), assistant(A), user("So?"), assistant(B, label=0)]
    samples, _ = load([{"messages": turns}])
    assert triples(samples) == [("Hi", "Hello.", "good"), ("So?", B, "bad")]
    assert len(samples[1]["conversation"]) == 5
    assert len({s["group"] for s in samples}) == 1


def test_sharegpt_names(load: Callable[..., Any]) -> None:
    turns = [{"from": "human", "value": Q}, {"from": "gpt", "value": A}]
    samples, _ = load(
        [{"conversations": turns, "kto_tag": True}], messages_column="conversations", label_column="kto_tag"
    )
    assert triples(samples) == [(Q, A, "good")]


def test_tool_turns_are_transparent(load: Callable[..., Any]) -> None:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [
        user(Q),
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "content": "42", "tool_call_id": "1"},
        assistant(A),
    ]
    [sample], _ = load([{"messages": turns, "label": 1, "tools": [{"name": "f"}]}])
    assert triples([sample]) == [(Q, A, "good")]
    assert [turn["role"] for turn in sample["conversation"]] == ["user", "assistant", "tool"]
    assert json.loads(sample["tools"]) == [{"name": "f"}]


@pytest.mark.parametrize(
    ("reasoning", "response", "reason"),
    [("keep", "<think>hm</think>\nYes.", None), ("strip", "Yes.", None), ("reject", None, "reasoning_refused")],
)
def test_reasoning(load: Callable[..., Any], reasoning: str, response: str | None, reason: str | None) -> None:
    records = [
        {"prompt": Q, "response": "<think>hm</think>\nYes.", "label": 1},
        {"prompt": Q, "response": A, "label": 0},
    ]
    samples, loader = load(records, reasoning=reasoning)
    assert samples[0]["response"] == (response or A)
    assert dict(loader.report.total.rejected) == ({reason: 1} if reason else {})


# arabic rating


@pytest.mark.parametrize(
    ("cell", "label"),
    [
        ("ممتاز", "good"),
        ("جيد جداً", "good"),
        ("جَيِّد", "good"),
        ("مقبول", "bad"),
        ("ضعيف", "bad"),
        ("سيئ", "bad"),
        ("غير جيد", "bad"),
        (5, "good"),
        ("٤ من ٥", "good"),
        ("★★★★☆", "good"),
        ("٨٠٪", "good"),
        ("١٠/٨", "good"),
        (1, "bad"),
        ("0/5", "bad"),
        ("☆☆☆☆☆", "bad"),
        (3, None),
        ("٣", None),
        (None, None),
        ("", None),
    ],
)
def test_arabic_ratings(load: Callable[..., Any], cell: Any, label: str | None) -> None:
    records = [{"prompt": "س", "response": "ج", "تقييم": cell}, {"prompt": "س", "response": "غ", "تقييم": 5}]
    samples, loader = load(records)
    assert [s["label"] for s in samples] == ([label] if label else []) + ["good"]
    assert loader.report.total.without_verdict.total() == (label is None)


def test_a_named_scale_reads_the_arabic_rating(load: Callable[..., Any]) -> None:
    """مقبول is bad on the academic scale, good on the acceptance scale."""
    records = [{"prompt": "س", "response": "ج", "تقييم": "مقبول"}]
    academic, _ = load(records)
    acceptance, _ = load(records, scales={"تقييم": "acceptance"})
    assert [s["label"] for s in academic + acceptance] == ["bad", "good"]


# real files


def real(name: str, tmp_path: Path, **options: Any) -> KTODataLoader:
    values = {
        "balance_labels": False,
        "min_samples_per_label": 0,
        "train_file": FIXTURES / "layouts" / name,
    } | options
    return KTODataLoader(KTODataConfig(**values), cache_dir=tmp_path)


def test_llamafactory_kto_messages(tmp_path: Path) -> None:
    """All 300 rows; 223 have one exchange, 77 have more."""
    loader = real("llamafactory_kto_messages.json.gz", tmp_path)
    samples = list(loader.load_dataset("train"))
    assert Counter(s["label"] for s in samples) == {"good": 150, "bad": 150}
    assert sum(not s["conversation"] for s in samples) == 223
    with gzip.open(FIXTURES / "layouts" / "llamafactory_kto_messages.json.gz") as stream:
        rows = json.load(stream)
    assert triples(samples) == [
        (row["messages"][-2]["content"], row["messages"][-1]["content"], "good" if row["label"] else "bad")
        for row in rows
    ]


@pytest.mark.parametrize(
    ("strategy", "good", "bad"), [("best_worst", 149, 149), ("best_rest", 149, 258), ("halves", 170, 170)]
)
def test_llamafactory_ranked_output(tmp_path: Path, strategy: str, good: int, bad: int) -> None:
    """The list is the ranking, best first; one row has one text first and last."""
    loader = real(
        "llamafactory_oaast_output_ranked.json.gz",
        tmp_path,
        prompt_column="instruction",
        responses_column="output",
        conversation_column="history",
        formats=[{"ranking": {"order": "best_first"}}],
        ranking_strategy=strategy,
    )
    assert len(loader.load_dataset("train")) == good + bad
    assert loader.report.kept == {"good": good, "bad": bad}
    assert loader.report.total.without_verdict == {"identical_sides": 1}


def test_pairs_under_configured_columns(load: Callable[..., Any]) -> None:
    """The layout of stack-exchange-paired: nothing in its names says that j is the better answer, the config does."""
    rows = [
        {
            "question": f"Why does case {i} fail?",
            "response_j": f"Because of {i}.\n\n```x```",
            "response_k": f"No idea, {i}",
        }
        for i in range(25)
    ]
    samples, loader = load(rows, prompt_column="question", chosen_column="response_j", rejected_column="response_k")
    assert loader.report.kept == {"good": 25, "bad": 25}
    assert triples(samples)[:2] == [
        (rows[0]["question"], rows[0]["response_j"], "good"),
        (rows[0]["question"], rows[0]["response_k"], "bad"),
    ]


def test_arabic_answers_go_through_byte_identical(load: Callable[..., Any]) -> None:
    """Pairs, rankings and ratings made of real Arabic answers, with every mark and joiner left alone."""
    answers = json.loads((FIXTURES / "arabic" / "pico_saudi.json").read_text(encoding="utf-8"))
    texts = sorted({text for text in walk(answers) if len(text) > 20})
    assert len(texts) > 40
    prompts = [f"سؤال {i}؟ \u200f\u200d" for i in range(len(texts))]
    records: list[dict[str, Any]] = []
    for number, text in enumerate(texts):
        other = texts[(number + 1) % len(texts)]
        records += [
            {"prompt": prompts[number], "chosen": text, "rejected": other},
            {"prompt": prompts[number], "response": text, "تقييم": ["ممتاز", "ضعيف"][number % 2]},
            {"prompt": prompts[number], "responses": [text, other], "rankings": [2, 1]},
        ]
    samples, loader = load(records)
    assert loader.report.total.rejected.total() == 0
    assert {s["response"] for s in samples} == set(texts)
    assert {s["prompt"] for s in samples} == set(prompts)


def walk(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for item in inner for text in walk(item)]


# detection


def test_a_shape_that_two_formats_claim_is_an_error(load: Callable[..., Any]) -> None:
    from ktoformats import AmbiguousFormatError

    record = {"prompt": Q, "response": A, "label": "good", "تقييم": "ضعيف"}
    with pytest.raises(AmbiguousFormatError, match=r"records1\.jsonl:1: .*arabic-rating and binary; choose one"):
        load([record])
    samples, _ = load([record], formats=["arabic-rating"])
    assert [s["label"] for s in samples] == ["bad"]


def test_an_unknown_shape_names_keys_and_reasons(load: Callable[..., Any]) -> None:
    _, loader = load([{"prompt": Q, "response": A, "label": 1}, {"question": Q, "answer": A}])
    [reject] = loader.report.rejects
    assert (reject.line, reject.reason) == (2, "unknown_shape")
    assert "'question', 'answer'" in reject.message
    assert "binary: no prompt column 'prompt'" in reject.message


def test_one_class_is_an_error_only_for_training(lines: Callable[..., Path], tmp_path: Path) -> None:
    path = lines([{"prompt": Q, "response": A, "label": 1}])
    loader = KTODataLoader(KTODataConfig(train_file=path, validation_file=path), cache_dir=tmp_path / "cache")
    with pytest.raises(OneClassError, match="no bad sample is left"):
        loader.load_dataset("train")
    assert len(loader.load_dataset("validation")) == 1
    assert "no bad sample" in loader.report.warnings[0]


def test_an_option_of_a_format_is_validated() -> None:
    from ktoformats import Registry
    from ktoformats.convert.assemble import assemble

    config = KTODataConfig(formats=[{"ranking": {"ordr": "best_first"}}])
    with pytest.raises(ConfigError, match="no option 'ordr'; did you mean 'order'"):
        assemble(config, Registry())


def test_the_label_plugins_of_an_arabic_rating_are_options(load: Callable[..., Any]) -> None:
    records = [{"prompt": "س", "response": "ج", "تقييم": "مقبول"}, {"prompt": "س", "response": "خ", "تقييم": 70}]
    samples, _ = load(records, formats=[{"arabic-rating": {"words": "acceptance", "numbers": "percent"}}])
    assert [s["label"] for s in samples] == ["good", "good"]


def test_a_scale_of_words_may_be_written_out(load: Callable[..., Any]) -> None:
    scale = {
        "name": "mine",
        "low": 0,
        "high": 2,
        "good_from": 2,
        "bad_to": 0,
        "grades": [["meh"], ["ok"], ["wow", "yay"]],
    }
    records = [{"prompt": Q, "response": f"r{i}", "label": word} for i, word in enumerate(("wow", "ok", "meh", "no"))]
    samples, loader = load(records, scales={"label": scale})
    assert [s["label"] for s in samples] == ["good", "bad"]
    [unknown] = loader.report.total.unknowns()
    assert unknown == ("label", "'no'", 1, 4)
    with pytest.raises(ConfigError, match=r"scales: label: expected low <= bad_to < good_from <= high"):
        KTODataConfig(scales={"label": scale | {"good_from": 0}})


def test_an_assistant_may_speak_call_and_go_on(load: Callable[..., Any]) -> None:
    """OpenAI logs: text beside a tool call, the tool's answer, the final answer."""
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    turns = [user(Q), assistant("Let me see.", tool_calls=[call]), {"role": "tool", "content": "42"}, assistant(A)]
    samples, _ = load([{"messages": turns, "label": 1}])
    assert triples(samples) == [(Q, A, "good")]


def test_a_blank_verdict_leaves_the_next_column_to_decide(load: Callable[..., Any]) -> None:
    samples, _ = load([{"prompt": Q, "response": A, "label": " ", "rating": 5}])
    assert triples(samples) == [(Q, A, "good")]
