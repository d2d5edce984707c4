"""The policies of a mapping: each case has a default, and alternatives that do what they are called."""

from __future__ import annotations

from typing import Any

import pytest

from ktoformats import ConfigError

PAIR = "prompt: q\ncandidates: {a: a, b: b}\n"
LABEL = "prompt: q\ncandidates: {c: a}\nverdict: {label: l, good: [up], bad: [down], skip: [later, null]}\n"
RATING = "prompt: q\ncandidates: {c: a}\nverdict: {rating: r, good: 4, bad: 2, missing: [N/A]}\n"
FINE = {"q": "what", "a": "yes", "b": "no", "l": "up", "r": 5, "w": 1}


def told(samples: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["response"], one["label"]) for one in samples]


def test_the_policy_line_of_the_layouts_paper_works_as_it_stands(mapped: Any) -> None:
    policy = (
        "policy: {tie: drop, both_bad: drop, equal_scores: keep, min_gap: null, same_text: drop,\n"
        "         empty: drop, unknown_value: error, malformed: drop, conflict: report}"
    )
    samples, _ = mapped(PAIR + "verdict: {good: a, bad: b}\n" + policy, FINE)
    assert told(samples) == [("yes", "good"), ("no", "bad")]


def test_identical_sides_give_nothing_unless_both_are_wanted(mapped: Any) -> None:
    same = {**FINE, "b": "yes"}
    samples, report = mapped(PAIR + "verdict: {good: a, bad: b}", FINE, same)
    assert (len(samples), dict(report.total.without_verdict)) == (2, {"identical_sides": 1})
    samples, report = mapped(PAIR + "verdict: {good: a, bad: b}\npolicy: {same_text: keep}", same)
    assert told(samples) == [("yes", "good"), ("yes", "bad")]
    assert any("judged good and bad" in text for text in report.warnings)


@pytest.mark.parametrize("word", ["keep", "both_bad"])
def test_two_bad_answers_may_be_two_bad_samples(word: str, mapped: Any) -> None:
    mapping = PAIR + "verdict: {winner: w, a: [1], b: [2], both_bad: [0]}\n"
    assert mapped(mapping, FINE, {**FINE, "w": 0})[1].total.without_verdict == {"both_bad": 1}
    samples, _ = mapped(mapping + f"policy: {{both_bad: {word}}}", {**FINE, "w": 0})
    assert told(samples) == [("yes", "bad"), ("no", "bad")]


@pytest.mark.parametrize(
    ("rating", "label"), [(2, "bad"), (2.9, "bad"), (3, None), (3.1, "good"), (4, "good"), (9, "good")]
)
def test_the_middle_goes_to_the_nearer_bound(rating: float, label: str | None, mapped: Any) -> None:
    samples, report = mapped(RATING + "policy: {middle: nearest}", {**FINE, "a": "sure"}, {**FINE, "r": rating})
    assert told(samples)[1:] == ([("yes", label)] if label else [])
    assert report.total.without_verdict == ({} if label else {"neutral": 1})


@pytest.mark.parametrize(
    ("mapping", "record"),
    [
        (LABEL, {**FINE, "l": None}),
        (LABEL, {"q": "what", "a": "yes"}),
        (RATING, {**FINE, "r": "N/A"}),
        (PAIR + "verdict: {winner: w, a: [1], b: [2]}\n", {**FINE, "w": None}),
        ("prompt: q\ncandidates: {c: a}\nverdict: {label: l, scale: thumbs}\n", {**FINE, "l": None}),
        (
            "prompt: q\ncandidates: {each: xs, text: t}\nverdict: {rank: k, best: low}\n",
            {**FINE, "xs": [{"t": "yes"}]},
        ),
    ],
    ids=["null label", "no label", "missing rating", "no winner", "scale", "unranked"],
)
def test_a_missing_verdict_is_normal_life_unless_it_is_called_an_error(
    mapping: str, record: Any, mapped: Any
) -> None:
    fine = {**FINE, "xs": [{"t": "yes", "k": 1}, {"t": "no", "k": 2}]}
    _, report = mapped(mapping, fine, record)
    assert report.total.without_verdict == {"null_verdict": 1}
    _, report = mapped(mapping + "policy: {missing: error}", fine, record)
    assert (report.total.without_verdict, report.total.rejected) == ({}, {"missing_verdict": 1})


@pytest.mark.parametrize(("mapping", "field"), [(LABEL, "l"), (RATING, "r")])
def test_an_unknown_value_costs_its_record_or_is_no_verdict(mapping: str, field: str, mapped: Any) -> None:
    odd = {**FINE, field: "sideways"}
    assert mapped(mapping, FINE, odd)[1].total.rejected == {"label_unrecognised": 1}
    _, report = mapped(mapping + "policy: {unknown_value: skip}", FINE, odd)
    assert (report.total.rejected, report.total.without_verdict) == ({}, {"unmapped": 1})


@pytest.mark.parametrize("blank", ["", " \n", "\u200f"])
def test_an_empty_answer_costs_itself_or_the_record(blank: str, mapped: Any) -> None:
    mapping = PAIR + "verdict: {good: a, bad: b}\n"
    samples, report = mapped(mapping, FINE, {**FINE, "b": blank, "a": "sure"})
    assert told(samples)[2:] == [("sure", "good")]
    assert report.total.candidates_lost == {"empty_response": 1}
    samples, report = mapped(mapping + "policy: {empty: error}", FINE, {**FINE, "b": blank, "a": "sure"})
    assert (len(samples), report.total.rejected) == (2, {"empty_response": 1})


@pytest.mark.parametrize("record", [{"a": "yes", "l": "up"}, {"q": None, "a": "yes", "l": "up"}])
def test_a_missing_prompt_is_damage_unless_such_records_may_pass(record: Any, mapped: Any) -> None:
    [reason] = mapped(LABEL, FINE, record)[1].total.rejected
    assert reason in ("missing_field", "null_field")
    _, report = mapped(LABEL + "policy: {missing_prompt: skip}", FINE, record)
    assert (report.total.rejected, report.total.without_verdict) == ({}, {"missing_prompt": 1})
    [reason] = mapped(LABEL + "policy: {missing_prompt: skip}", FINE, {**FINE, "q": 5})[1].total.rejected
    assert reason == "wrong_type"


def test_a_mapping_may_say_what_contradictions_come_to(mapped: Any) -> None:
    votes = [FINE, {**FINE, "l": "down"}, {**FINE, "l": "down"}, {**FINE, "a": "sure"}]
    assert len(mapped(LABEL, *votes)[0]) == 4
    assert told(mapped(LABEL + "policy: {conflict: drop}", *votes)[0]) == [("sure", "good")]
    assert told(mapped(LABEL + "policy: {conflict: majority}", *votes)[0]) == [
        ("yes", "bad"),
        ("yes", "bad"),
        ("sure", "good"),
    ]
    assert len(mapped(LABEL + "policy: {conflict: drop}", *votes, conflict="report")[0]) == 4
    timed = [{**one, "at": number} for number, one in enumerate(reversed(votes))]
    assert told(mapped(LABEL + "policy: {conflict: last}", *timed, time_column="at")[0]) == [
        ("sure", "good"),
        ("yes", "good"),
    ]
    with pytest.raises(ConfigError, match=r"policy.conflict: last needs `time_column:`"):
        mapped(LABEL + "policy: {conflict: last}", *votes)


@pytest.mark.parametrize(
    ("combine", "label"),
    [("mean", "neutral"), ("min", "bad"), ("max", "good"), ("[9, 1]", "good"), ("[1, 9]", "bad")],
)
def test_several_numbers_become_one(combine: str, label: str, mapped: Any) -> None:
    mapping = f"prompt: q\ncandidates: {{c: a}}\nverdict: {{rating: [x, y], good: 4, bad: 2, combine: {combine}}}"
    samples, report = mapped(mapping, {**FINE, "a": "sure", "x": 5, "y": 5}, {**FINE, "x": 5, "y": 1})
    found = told(samples)[1:] or [("", next(iter(report.total.without_verdict)))]
    assert found[0][1] == label


def test_weights_must_be_as_many_as_numbers(mapped: Any) -> None:
    mapping = "prompt: q\ncandidates: {c: a}\nverdict: {rating: [x, y], good: 4, bad: 2, combine: [1, 2, 3]}"
    with pytest.raises(ConfigError, match="combine: 3 weights for 2 paths"):
        mapped(mapping, FINE)
