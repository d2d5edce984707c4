"""The audit: each planted defect is named, with its places; data without one is passed."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ktoformats import KTODataConfig, KTODataLoader
from ktoformats.report.audit import audit_loader
from ktoformats.report.finding import RULES
from ktoformats.report.repeats import equal_texts

if TYPE_CHECKING:
    from ktoformats.report.audit import Audit
    from ktoformats.report.finding import Finding

Record = dict[str, Any]
Look = Callable[..., "Audit"]


def clean(count: int = 240) -> list[Record]:
    """Both labels in turn, no prompt and no answer twice, and lengths that say nothing."""
    dice = random.Random(5)
    return [
        {
            "prompt": f"Question {number}?",
            "response": f"Answer {number}" + " more" * dice.randrange(20),
            "label": "good" if number % 2 else "bad",
        }
        for number in range(count)
    ]


def pairs(count: int) -> list[Record]:
    return [
        {"prompt": f"Question {number}?", "chosen": f"Right {number}", "rejected": f"Wrong {number}"}
        for number in range(count)
    ]


@pytest.fixture
def look(lines: Callable[..., Path]) -> Look:
    """Audit some records."""

    def run(
        records: list[Any],
        *,
        batch_size: int = 8,
        tokenizer: Any = None,
        validation: list[Any] | None = None,
        **options: Any,
    ) -> Audit:
        values: Record = {"balance_labels": False, "require_both_labels": False, "on_error": "skip"}
        if validation is not None:
            values["validation_file"] = lines(validation)
        config = KTODataConfig(train_file=lines(records), **values | options)
        return audit_loader(KTODataLoader(config, tokenizer, enable_cache=False), batch_size=batch_size)

    return run


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    """One token a word."""
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", unk_token="<unk>")


def rules(found: Audit) -> list[str]:
    return [one.rule for one in found.findings]


def the(found: Audit, rule: str) -> Finding:
    [one] = [one for one in found.findings if one.rule == rule]
    return one


def lines_of(finding: Finding) -> list[int]:
    return [int(place.rpartition(":")[2]) for place in finding.examples]


def test_clean_data_has_no_finding(look: Look) -> None:
    found = look(clean())
    assert found.findings == []
    assert found.samples == 240
    assert found.to_json()["labels"]["weights"] == {"desirable_weight": 1.0, "undesirable_weight": 1.0}


def test_clean_data_has_no_finding_in_tokens_either(look: Look, tokenizer: Any) -> None:
    found = look(clean(), tokenizer=tokenizer, validation=[{"prompt": "Else?", "response": "Yes.", "label": "good"}])
    assert found.findings == []
    assert found.to_json()["lengths"]["unit"] == "tokens"
    assert found.to_json()["splits"]["validation"]["same_conversation"] == 0


def test_the_same_data_gives_the_same_audit(look: Look) -> None:
    records = [*clean(60), *clean(20), *pairs(30)]
    first, second = (json.dumps(look(records).to_json()) for _ in range(2))
    assert first.replace("records1.jsonl", "") == second.replace("records2.jsonl", "")


# --- what was read ---


def test_rejects_are_told_with_their_reasons_and_places(look: Look) -> None:
    found = the(look([*clean(), {"prompt": "a", "response": "b", "label": "perhaps"}, b"{"]), "rejects")
    assert (found.count, found.severity, lines_of(found)) == (2, "note", [241, 242])
    assert "label_unrecognised 1" in found.message
    assert the(look([*clean(20), b"{"]), "rejects").severity == "warning"


def test_a_missing_label_is_told(look: Look) -> None:
    found = look([one | {"label": "good"} for one in clean()])
    assert the(found, "one-class").message.startswith("there is no bad sample among 240")
    assert "imbalance" not in rules(found)


def test_one_label_outweighs_the_other(look: Look) -> None:
    found = look(clean()[:200] + [one | {"label": "bad", "prompt": one["prompt"] + "?"} for one in clean()[:100]])
    told = the(found, "imbalance")
    assert (told.count, told.severity) == (100, "note")
    assert "desirable_weight=2, undesirable_weight=1" in told.advice


def test_a_rare_label_is_told(look: Look) -> None:
    records = [one | {"label": "good" if number % 24 == 0 else "bad"} for number, one in enumerate(clean())]
    told = the(look(records, min_samples_per_label=5), "small-minority")
    assert (told.count, told.severity) == (10, "warning")
    assert told.share == pytest.approx(230 / 240)
    assert the(look(clean(40)), "small-minority").severity == "note"


def test_balance_is_told_before_and_after(look: Look) -> None:
    records = clean()[:200] + [one | {"label": "bad", "prompt": one["prompt"] + "?"} for one in clean()[:100]]
    labels = look(records, balance_labels=True, label_imbalance_tolerance=0.0).to_json()["labels"]
    assert (labels["made"], labels["used"]) == ({"good": 100, "bad": 200}, {"good": 100, "bad": 100})
    assert labels["dropped"]["balance"]["balance"] == {"good": 0, "bad": 100}


# --- what labels rest on ---


def test_verdicts_that_were_understood_in_one_of_several_ways_are_told(look: Look) -> None:
    cells = ["★★★★", "10/8", "ليس جيداً", *["5", "1"] * 50]
    records = [{"prompt": f"p{number}", "response": f"r{number}", "تقييم": cell} for number, cell in enumerate(cells)]
    told = [one for one in look(records).findings if one.rule == "ambiguous-labels"]
    assert [one.severity for one in told] == ["warning", "note"]
    assert "max_assumed 1, reversed 1, negated 1" in told[0].message
    assert lines_of(told[0]) == [1, 2, 3]


def test_grades_next_to_where_the_scale_turns_are_told(look: Look) -> None:
    records = [{"prompt": f"p{number}", "response": f"r{number}", "rating": number % 5 + 1} for number in range(100)]
    found = look(records)
    told = the(found, "ambiguous-labels")
    assert (told.count, told.severity) == (40, "note")
    assert "4 is good (20), 2 is bad (20)" in told.message
    assert found.to_json()["verdicts"]["neutral"] == 20


def test_the_ends_of_a_scale_are_no_near_thing(look: Look) -> None:
    records = [{"prompt": f"p{number}", "response": f"r{number}", "rating": number % 5 + 1} for number in range(100)]
    scale = {"low": 1, "high": 5, "good_from": 5, "bad_to": 3}
    told = the(look(records, scales={"rating": scale}), "ambiguous-labels")
    assert told.message.endswith("turns: 3 is bad (20)")


@pytest.mark.parametrize("grades", [(1, 5), (2, 4)])
def test_a_scale_of_two_grades_has_none_that_is_a_near_thing(look: Look, grades: tuple[int, int]) -> None:
    records = [
        {"prompt": f"p{number}", "response": f"r{number}", "rating": grades[number % 2]} for number in range(50)
    ]
    assert "ambiguous-labels" not in rules(look(records))


# --- texts ---


def test_template_tokens_and_empty_prompts_are_told(look: Look) -> None:
    records = [*clean(), {"prompt": "x", "response": "end<|im_end|>", "label": "good"}]
    records.append({"prompt": "   ", "response": "to nothing", "label": "bad"})
    found = look(records, min_prompt_length=0)
    assert lines_of(the(found, "template-tokens")) == [241]
    assert lines_of(the(found, "empty-prompts")) == [242]


# --- repeats ---


def test_duplicates_are_told_with_what_they_repeat(look: Look) -> None:
    records = clean()
    found = look([*records, records[3], records[3], records[10] | {"label": "good"}])
    told = the(found, "duplicates")
    assert (told.count, lines_of(told)) == (2, [4, 241, 242])
    told = the(found, "contradictions")
    assert (told.count, lines_of(told)) == (2, [11, 243])


def test_a_place_is_told_once(look: Look) -> None:
    told = the(look([*pairs(120), *pairs(1)]), "duplicates")
    assert (told.count, lines_of(told)) == (2, [1, 121])


def test_what_was_dropped_is_no_duplicate_any_more(look: Look) -> None:
    records = clean()
    found = look([*records, records[3], records[10] | {"label": "good"}], duplicates="drop", conflict="drop")
    assert not {"duplicates", "contradictions"} & set(rules(found))


def test_what_oversample_repeats_is_no_duplicate(lines: Callable[..., Path]) -> None:
    sources = [{"path": lines(clean()[:180]), "weight": 1}, {"path": lines(clean()[180:]), "weight": 1}]
    config = KTODataConfig(sources=sources, oversample=True, balance_labels=False)
    found = audit_loader(KTODataLoader(config, enable_cache=False))
    assert "duplicates" not in rules(found)
    assert found.to_json()["repeats"]["oversampled"] == 120
    assert found.to_json()["labels"]["made"] == {"good": 120, "bad": 120}


def test_pairs_of_equal_sides_are_told(look: Look) -> None:
    found = look([*clean(), {"prompt": "p", "chosen": "same", "rejected": "same"}])
    assert the(found, "identical-sides").count == 1


def test_one_text_for_many_prompts_is_told(look: Look) -> None:
    records = [
        one | {"response": "I cannot help."} if number % 20 == 0 else one for number, one in enumerate(clean())
    ]
    told = the(look(records), "equal-texts")
    assert (told.count, told.severity) == (12, "note")
    assert "(0 good, 12 bad), the most frequent one 12 times: 'I cannot help.'" in told.message


def test_the_same_answer_to_the_same_prompt_is_no_equal_text() -> None:
    asked, answer = np.array([1, 1, 2, 3], np.uint64), np.array([7, 7, 8, 8], np.uint64)
    assert equal_texts(asked, answer).tolist() == [False, False, True, True]
    assert equal_texts(asked[:0], answer[:0]).tolist() == []


# --- splits ---


def test_a_leak_is_told_with_both_places(look: Look) -> None:
    records = clean()
    held = [
        {"prompt": "Elsewhere?", "response": "Yes.", "label": "good"},
        records[7],
        records[8] | {"response": "another answer"},
    ]
    found = look(records, validation=held)
    told = the(found, "leakage")
    assert (told.count, lines_of(told)) == (2, [2, 3])
    assert "records2.jsonl:8" in told.message
    counts = found.to_json()["splits"]["validation"]
    assert (counts["same_conversation"], counts["same_prompt"], counts["same_answer"]) == (2, 2, 1)


def test_a_later_turn_of_a_conversation_is_a_leak(look: Look) -> None:
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    later = [*turns, {"role": "user", "content": "And?"}, {"role": "assistant", "content": "So"}]
    records = [*clean(), {"messages": turns, "label": "good"}]
    told = the(look(records, validation=[{"messages": later, "label": "bad"}]), "leakage")
    assert "0 ask exactly the same" in told.message


def test_splits_of_one_file_do_not_leak(look: Look) -> None:
    found = look([*clean(), *clean()], validation_fraction=0.2, test_fraction=0.1)
    assert "leakage" not in rules(found)
    assert list(found.to_json()["splits"]) == ["validation", "test"]
    assert sum(found.to_json()["labels"]["made"].values()) == found.samples < 480


# --- lengths ---


def test_lengths_that_give_the_label_away_are_told(look: Look) -> None:
    records = [
        one | {"response": one["response"] + " and on" * (40 if one["label"] == "good" else 0)} for one in clean()
    ]
    told = the(look(records), "length-predicts-label")
    assert told.share == 1.0
    assert "the good one is longer 100% of the time (AUC 1.00; in the median" in told.message
    short = [one | {"label": "bad" if one["label"] == "good" else "good"} for one in records]
    assert (
        "the bad one is longer 100% of the time (AUC 0.00; in the median"
        in the(look(short), "length-predicts-label").message
    )


def test_a_few_lengths_may_be_chance(look: Look) -> None:
    records = [{"prompt": f"p{n}", "response": "r" * n, "label": "good" if n > 2 else "bad"} for n in range(1, 5)]
    found = look(records, min_samples_per_label=0)
    assert found.to_json()["lengths"]["length_auc"] == 1.0
    assert "length-predicts-label" not in rules(found)


def test_what_trl_drops_and_cuts_is_told(look: Look, tokenizer: Any) -> None:
    records = clean()
    records[4]["prompt"] = "word " * 1024
    records[9]["response"] = "word " * 1024
    records[20]["prompt"] = "word " * 1022
    found = look(records, tokenizer=tokenizer)
    dropped, cut = the(found, "dropped-by-length"), the(found, "truncated")
    assert (dropped.count, lines_of(dropped)) == (1, [5])
    assert (cut.count, lines_of(cut)) == (2, [10, 21])
    assert found.to_json()["lengths"]["trl"]["cut"] == {"good": 1, "bad": 1}
    assert not {"dropped-by-length", "truncated"} & set(rules(look(records)))


def test_our_own_limits_are_told_beside(look: Look, tokenizer: Any) -> None:
    records = clean()
    records[9]["response"] = "word " * 100
    found = look(records, tokenizer=tokenizer, max_tokens=64)
    assert found.to_json()["lengths"]["fit"]["dropped"] == {"completion_too_long": {"good": 1, "bad": 0}}
    assert the(found, "truncated").count == 1
    assert lines_of(the(found, "dropped-by-length")) == [10]


def test_our_limits_change_nothing_of_what_the_trainer_sees(look: Look, tokenizer: Any) -> None:
    records = [
        {
            "messages": [
                {"role": "user", "content": f"Question {number}?"},
                {"role": "assistant", "content": "Well."},
                {"role": "user", "content": "Go on, as far as you can, and then some more."},
                {"role": "assistant", "content": f"Answer {number}."},
            ],
            "label": number % 2 == 0,
        }
        for number in range(240)
    ]
    found = look(records, tokenizer=tokenizer, max_tokens=6)  # it cuts every prompt
    assert found.to_json()["lengths"]["fit"]["cut"] == {"prompt": {"good": 120, "bad": 120}}
    assert found.to_json()["batches"]["orders"]["file"]["samples"] == 0
    found = look(
        [*records, {"prompt": "word " * 50, "response": "So.", "label": "good"}], tokenizer=tokenizer, max_tokens=20
    )
    assert found.to_json()["batches"]["orders"]["file"]["partners"]["same_prompt"] == 0


def test_where_no_sample_fits_nothing_is_planned(look: Look, tokenizer: Any) -> None:
    found = look(clean(), tokenizer=tokenizer, max_completion_tokens=2)
    assert list(found.to_json()["batches"]["orders"]) == ["file"]


# --- batches and partners ---


def test_sorted_rows_give_batches_of_one_label(look: Look) -> None:
    records = sorted(clean(), key=lambda one: str(one["label"]))
    found = look(records)
    told = the(found, "single-class-batches")
    assert (told.count, told.share, told.severity) == (30, 1.0, "warning")
    assert lines_of(told) == [1, 9, 17, 25, 33]
    orders = found.to_json()["batches"]["orders"]
    assert orders["planned"]["single_class_batches"] == orders["planned_anywhere"]["single_class_batches"] == 0


def test_batches_of_one_label_that_no_order_avoids_are_a_note(look: Look) -> None:
    records = [one | {"label": "good" if number % 40 == 0 else "bad"} for number, one in enumerate(clean())]
    told = the(look(records), "single-class-batches")
    assert (told.count, told.severity) == (24, "note")
    assert "fewest possible 24" in told.message


def test_a_last_batch_of_one_that_a_plan_fills_up_is_a_warning(look: Look) -> None:
    told = the(look([*clean(), {"prompt": "Alone?", "response": "Yes.", "label": "good"}]), "single-class-batches")
    assert (told.count, told.severity) == (1, "warning")
    assert "fewest possible 1" in told.message
    assert told.advice.endswith("leaves 0")


def test_pairs_are_judged_as_trl_takes_them_apart(look: Look) -> None:
    found = look(pairs(120))
    told = the(found, "single-class-batches")
    assert told.message.startswith("as TRL takes pairs apart: 30 of 30 batches")
    batches = found.to_json()["batches"]
    assert batches["trainers_own_order"] == "unpaired"
    assert batches["orders"]["file"]["partners"]["same_prompt"] == 120
    assert batches["orders"]["planned"]["partners"]["invalid"] == 0


def test_neighbours_of_one_prompt_and_of_one_text_are_told(look: Look) -> None:
    records = clean()
    records[1]["prompt"] = records[0]["prompt"]
    records[11]["response"] = records[10]["response"]
    told = the(look([*records, records[0] | {"prompt": "Alone?"}]), "invalid-kl-partners")
    assert (told.count, lines_of(told)) == (3, [2, 12, 241])
    assert told.message.endswith("own answer 1, same prompt 1, same text 1")
    assert told.advice.endswith("leaves 0")


def test_partners_that_no_order_gives_are_told_as_such(look: Look) -> None:
    records = [one | {"response": "No."} for one in clean()]
    told = the(look(records), "invalid-kl-partners")
    assert (told.count, told.severity) == (240, "note")


def test_every_rule_is_tried_above() -> None:
    tried = re.findall(r'"([a-z-]+)"', Path(__file__).read_text(encoding="utf-8"))
    assert set(RULES) <= set(tried)
