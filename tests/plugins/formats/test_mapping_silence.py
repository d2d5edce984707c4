"""A mapping that says too little, or points nowhere, is told so; nothing is guessed and nothing is lost unheard."""

from __future__ import annotations

from typing import Any

import pytest

from ktoformats import ConfigError

PAIR = "prompt: q\ncandidates: {a: a, b: b}\n"
EACH = "prompt: q\ncandidates: {each: xs, text: t}\n"
FINE = {"q": "what", "a": "yes", "b": "no", "sa": 5, "sb": 1}


def told(samples: list[dict[str, Any]]) -> list[tuple[str, str]]:
    return [(one["response"], one["label"]) for one in samples]


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        (EACH + "verdict: {rank: s}", "verdict.rank: best: low or high"),
        (PAIR + "verdict: {rank: {a: sa, b: sb}}", "best: low or high"),
        (PAIR + "verdict: {rank: {a: sa}, best: low}", "verdict.rank: says nothing of candidate 'b'"),
        (PAIR + "verdict: {label: l, good: [1]}", r"several candidates would share it; write \{CANDIDATE: PATH"),
        (PAIR + "verdict: {rating: r, good: 4, bad: 2}", "several candidates would share it"),
        (EACH + "verdict: {label: $.l, good: [1]}", r"all answers would share '\$.l'"),
        (
            "candidates: {each_turn: m}\nverdict: {rank: k, best: low}",
            "the answers of a dialogue answer different turns",
        ),
        (PAIR + "verdict: {good: a, bad: b}\npolicy: {min_gap: 1}", "policy.min_gap: this verdict has no scores"),
        (PAIR + "verdict: {winner: w, a: [1], b: [2], label: l}", "winner and label: expected exactly one kind"),
        (PAIR + "verdict: {good: a, bad: b}\npolicy: {ties: drop}", "policy.ties: unknown key; did you mean 'tie'"),
        (PAIR + "verdict: {good: a, bad: b}\nparse_json: ['a[0]']", r"parse_json: 'a\[0\]' is no plain name"),
        (PAIR, "verdict: is missing"),
        (
            "tree: {id: id, parent: up}\nwhere: {lang: de}\nverdict: {rank: k, best: low}",
            "where: each record is a message",
        ),
        (
            "tree: {id: id, parent: up}\nrecords: x\nverdict: {rank: k, best: low}",
            "records: each record is a message",
        ),
        ("tree: {root: r}\nsystem: s\nverdict: {rank: k, best: low}", "system: a tree brings its own context"),
        ("tree: {root: r, dead: {'a[': true}}\nverdict: {rank: k, best: low}", "no path: 'a\\['"),
        (
            "prompt: q\ncandidates: {c: {text: a, strip_end: true}}\nverdict: {label: l, good: [1]}",
            "strip_end: there is nothing to strip",
        ),
        (
            "prompt: q\ncandidates: {a: {text: a, message: b}}\nverdict: {good: a}",
            "candidates.a: expected exactly one of",
        ),
        ("prompt: q\ncandidates: {c: a}\nverdict: {label: l, good: true}", "verdict.good: expected a list, got true"),
        (
            "prompt: q\ncandidates: {c: a}\nverdict: {rating: 'r[', good: 1, bad: 0}",
            "verdict.rating: no path: 'r\\['",
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_the_users_words(mapping: str, message: str, mapped: Any) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        mapped(mapping, FINE)
    assert not any(word in str(caught.value) for word in ("function-after", "Spec", ".named.", "Input should"))


def test_a_list_begins_with_the_best() -> None:
    from ktoformats.blocks.verdict import Rank

    assert Rank(rank="position").best is None


def test_each_answer_may_have_a_column_of_its_own(mapped: Any) -> None:
    samples, _ = mapped(PAIR + "verdict: {rating: {a: sa, b: sb}, good: 4, bad: 2}", FINE)
    assert told(samples) == [("yes", "good"), ("no", "bad")]
    mapping = PAIR + "verdict: {label: {a: sa, b: sb}, good: [5], bad: [1]}"
    assert told(mapped(mapping, FINE)[0]) == [("yes", "good"), ("no", "bad")]


def test_the_gap_of_scores_is_the_mappings_too(mapped: Any) -> None:
    mapping = PAIR + "verdict: {rank: {a: sa, b: sb}, best: high}\npolicy: {min_gap: 1}"
    samples, report = mapped(mapping, FINE, {**FINE, "sa": 7, "sb": 6.5})
    assert (len(samples), report.total.without_verdict) == (2, {"small_gap": 1})


@pytest.mark.parametrize(("tie", "label"), [("both_good", "good"), ("both_bad", "bad")])
def test_equal_scores_are_a_tie(tie: str, label: str, mapped: Any) -> None:
    mapping = PAIR + f"verdict: {{rank: {{a: sa, b: sb}}, best: high}}\npolicy: {{tie: {tie}}}"
    samples, _ = mapped(mapping, {**FINE, "sb": "5.0"})
    assert told(samples) == [("yes", label), ("no", label)]


def test_answers_lost_to_an_unknown_value_are_summed_up_and_warned_of(mapped: Any) -> None:
    record = {"q": "what", "xs": [{"t": "yes", "l": "up"}, {"t": "no", "l": "down"}, {"t": "so", "l": "meh"}]}
    _, report = mapped(EACH + "verdict: {label: l, good: [up], bad: [down]}", record, record | {"q": "why"})
    [unknown] = report.total.unknowns()
    assert (unknown.field, unknown.records, unknown.first_line) == ("l", 2, 1)
    [warning] = [text for text in report.warnings if "cannot be read" in text]
    assert "2 answers have a verdict that cannot be read" in warning
    assert '"meh"' in warning or "'meh'" in warning


@pytest.mark.parametrize(
    ("record", "verdict"),
    [
        ({"b": ""}, {"empty_response": 1}),
        ({"b": 5}, {"wrong_type": 1}),
        ({"b": None}, None),
    ],
)
def test_a_pair_that_needs_both_sides_is_not_halved_by_damage(record: Any, verdict: Any, mapped: Any) -> None:
    mapping = PAIR + "verdict: {good: a, bad: b, need_both: true}"
    samples, report = mapped(mapping, {**FINE, "a": "sure"}, {**FINE, **record})
    assert told(samples) == [("sure", "good"), ("no", "bad")]
    assert (report.total.rejected or None) == verdict
    assert report.total.without_verdict == ({} if verdict else {"single_candidate": 1})


def test_an_end_mark_goes_also_where_white_space_follows(mapped: Any) -> None:
    chatml = (
        'marks: {system: "<|im_start|>system\\n", user: "<|im_start|>user\\n", assistant: "<|im_start|>assistant\\n",\n'
        '        end: ["<|im_end|>"]}\n'
        "candidates: {c: {transcript: t}}\nverdict: {label: l, good: [1], bad: [0]}"
    )
    text = "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\nHello.<|im_end|>\n"
    [sample], report = mapped(chatml, {"t": text, "l": 1})
    assert (sample["system"], sample["prompt"], sample["response"]) == ("Be kind.", "Hi", "Hello.")
    assert report.total.notices["template_token"] == 0


def test_the_value_that_is_no_score_is_shown(mapped: Any) -> None:
    record = {"q": "what", "xs": [{"t": "yes", "s": "first"}, {"t": "no", "s": 2}]}
    _, report = mapped(
        EACH + "verdict: {rank: s, best: low}", {**FINE, "xs": [{"t": "a", "s": 1}, {"t": "b", "s": 2}]}, record
    )
    assert "'first' is no score" in report.rejects[0].message


@pytest.mark.parametrize("key", ["history", "system", "tools"])
def test_a_path_that_names_nothing_is_noticed(key: str, mapped: Any) -> None:
    mapping = PAIR + f"{key}: nowhere\nverdict: {{good: a, bad: b}}"
    assert mapped(mapping, FINE)[1].total.notices["absent_path"] == 1
    assert mapped(mapping, {**FINE, "nowhere": None})[1].total.notices["absent_path"] == 0
    assert mapped(mapping + f"\nmay_lack: [{key}]", FINE)[1].total.notices["absent_path"] == 0


def test_a_verdict_that_stands_nowhere_is_said(mapped: Any) -> None:
    from ktoformats import EmptyDatasetError

    with pytest.raises(EmptyDatasetError, match="a path of the mapping names nothing in 2 records; a typo"):
        mapped(PAIR + "verdict: {winner: ww, a: [1], b: [2]}", FINE, FINE)


def test_nested_json_text_is_opened(mapped: Any) -> None:
    mapping = "parse_json: [d.m]\nprompt: d.m.q\ncandidates: {c: d.m.a}\nverdict: {label: l, good: [1], bad: [0]}"
    samples, _ = mapped(mapping, {"d": {"m": '{"q": "what", "a": "yes"}'}, "l": 1})
    assert told(samples) == [("yes", "good")]


def test_a_condition_may_list_values(mapped: Any) -> None:
    mapping = "where: {kind: [vote, thumb]}\n" + PAIR + "verdict: {good: a, bad: b}"
    kinds = ("vote", "other", "thumb")
    samples, report = mapped(mapping, *[{**FINE, "a": kind, "kind": kind} for kind in kinds])
    assert [one["response"] for one in samples][::2] == ["vote", "thumb"]
    assert report.total.without_verdict == {"not_selected": 1}


def test_a_line_may_be_a_list(mapped: Any) -> None:
    mapping = 'prompt: "[0]"\ncandidates: {c: "[1]"}\nverdict: {label: "[2]", good: [1], bad: [0]}'
    samples, report = mapped(mapping, ["what", "yes", 1], {"q": 1})
    assert told(samples) == [("yes", "good")]
    assert report.total.rejected == {"missing_field": 1}


def test_nodes_are_known_by_their_keys_where_they_have_no_id(mapped: Any) -> None:
    nodes = {
        "1": {"role": "user", "content": "q", "up": None},
        "2": {"role": "assistant", "content": "yes", "up": "1", "k": 1},
        "3": {"role": "assistant", "content": "no", "up": "1", "k": 2},
    }
    samples, _ = mapped("tree: {nodes: nodes, parent: up}\nverdict: {rank: k, best: low}", {"nodes": nodes})
    assert told(samples) == [("yes", "good"), ("no", "bad")]


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [("qp[*].text", "what is"), ("ms[?r=u].t", "who"), ("ms[?r=a].t", "wrong_type"), ("ms[?r=x].t", "missing_field")],
)
def test_a_path_of_many_may_find_the_prompt(prompt: str, expected: str, mapped: Any) -> None:
    messages = [{"r": "u", "t": "who"}, {"r": "a", "t": "1"}, {"r": "a", "t": "2"}]
    record = {"qp": [{"text": "what "}, {"text": "is"}], "ms": messages, "a": "yes", "l": 1}
    fine = {"qp": [{"text": "x"}], "ms": [{"r": one, "t": "x"} for one in "uax"], "a": "sure", "l": 1}
    mapping = f"prompt: {prompt!r}\ncandidates: {{c: a}}\nverdict: {{label: l, good: [1], bad: [0]}}"
    samples, report = mapped(mapping, fine, record)
    assert [one["prompt"] for one in samples[1:]] + list(report.total.rejected) == [expected]
