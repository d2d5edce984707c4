"""The mapping format: every worked layout, every policy, every way to write it wrong."""

from __future__ import annotations

from typing import Any

import pytest

from ktoformats import ConfigError, RejectBudgetError


def told(samples: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["prompt"], one["response"], one["label"]) for one in samples]


def chat(*texts: str) -> list[dict[str, str]]:
    return [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]


NODE = {"deleted": False, "review_result": True, "replies": []}
GOOD_BAD = [("q", "yes", "good"), ("q", "no", "bad")]
HUMAN, ASSISTANT = "\n\nHuman: ", "\n\nAssistant: "
MARKS = 'marks: {user: "\\n\\nHuman:", assistant: "\\n\\nAssistant:"}'

LAYOUTS: dict[str, tuple[str, Any, list[tuple[str, str, str]]]] = {
    "hh_rlhf": (
        MARKS + "\ncandidates: {g: {transcript: chosen}, b: {transcript: rejected}}\nverdict: {good: g, bad: b}",
        {"chosen": f"{HUMAN}q{ASSISTANT}yes", "rejected": f"{HUMAN}q{ASSISTANT}no"},
        GOOD_BAD,
    ),
    "argilla_dpo": (
        "candidates: {g: {conversation: chosen}, b: {conversation: rejected}}\nverdict: {good: g, bad: b}",
        {"chosen": chat("q", "yes"), "rejected": chat("q", "no")},
        GOOD_BAD,
    ),
    "llamafactory": (
        (
            "prompt: {messages: conversations}\nchat: {role: from, content: value}\n"
            "candidates: {g: {message: chosen}, b: {message: rejected}}\nverdict: {good: g, bad: b}"
        ),
        {
            "conversations": [{"from": "human", "value": "q"}],
            "chosen": {"from": "gpt", "value": "yes"},
            "rejected": {"from": "gpt", "value": "no"},
        },
        GOOD_BAD,
    ),
    "kto_chat": (
        "candidates: {c: {conversation: messages}}\nverdict: {label: label, good: [true], bad: [false]}",
        {"messages": chat("q", "yes"), "label": True},
        [("q", "yes", "good")],
    ),
    "thumbs, the user goes on after the judged answer": (
        (
            "candidates: {c: {conversation: messages, judged: last_assistant}}\n"
            "verdict: {label: feedback.rating, good: [thumbs_up], bad: [thumbs_down], skip: [null, neutral]}"
        ),
        {"messages": chat("q", "no", "thanks"), "feedback": {"rating": "thumbs_down"}},
        [("q", "no", "bad")],
    ),
    "open_webui": (
        "tree: {nodes: history, parent: parentId, pick: meta.id}\nverdict: {label: rating, good: [1, '1'], bad: [-1, '-1']}",
        {
            "rating": "-1",
            "meta": {"id": "b"},
            "history": {
                "a": {"id": "a", "parentId": None, "role": "user", "content": "q"},
                "b": {"id": "b", "parentId": "a", "role": "assistant", "content": "no"},
                "c": {"id": "c", "parentId": "a", "role": "assistant", "content": "other"},
            },
        },
        [("q", "no", "bad")],
    ),
    "openai_pref, a tool call without a text is dropped": (
        (
            "prompt: {messages: input.messages}\n"
            "candidates: {g: {message: preferred_output}, b: {message: non_preferred_output}}\nverdict: {good: g, bad: b}"
        ),
        {
            "input": {"messages": chat("q")},
            "preferred_output": [{"role": "assistant", "tool_calls": [{"id": "1"}]}],
            "non_preferred_output": [{"role": "assistant", "content": "no"}],
        },
        [("q", "no", "bad")],
    ),
    "arena": (
        (
            "candidates: {a: {conversation: ca}, b: {conversation: cb}}\n"
            "verdict: {winner: winner, a: [model_a], b: [model_b], tie: [tie], both_bad: ['tie (bothbad)']}"
        ),
        {"ca": chat("q", "no"), "cb": chat("q", "yes"), "winner": "model_b"},
        GOOD_BAD,
    ),
    "mt_bench, the second turn was judged": (
        (
            "candidates: {a: {conversation: ca, turn: turn}, b: {conversation: cb, turn: turn}}\n"
            "verdict: {winner: winner, a: [model_a], b: [model_b]}"
        ),
        {"ca": chat("p", "x", "q", "yes"), "cb": chat("p", "y", "q", "no"), "winner": "model_a", "turn": 2},
        GOOD_BAD,
    ),
    "mt_bench, the first turn was judged": (
        (
            "candidates: {a: {conversation: ca, turn: turn}, b: {conversation: cb, turn: turn}}\n"
            "verdict: {winner: winner, a: [model_a], b: [model_b]}"
        ),
        {"ca": chat("q", "yes", "r", "x"), "cb": chat("q", "no", "r", "y"), "winner": "model_a", "turn": 1},
        GOOD_BAD,
    ),
    "lmsys_55k": (
        (
            "parse_json: [prompt, ra, rb]\n"
            "candidates: {a: {turns: {user: prompt, assistant: ra}}, b: {turns: {user: prompt, assistant: rb}}}\n"
            "verdict: {winner: {a: wa, b: wb, tie: wt}}"
        ),
        {"prompt": '["q"]', "ra": '["yes"]', "rb": '["no"]', "wa": 1, "wb": 0, "wt": 0},
        GOOD_BAD,
    ),
    "shp": (
        "prompt: history\ncandidates: {a: human_ref_A, b: human_ref_B}\nverdict: {winner: labels, a: [1], b: [0]}",
        {"history": "q", "human_ref_A": "yes", "human_ref_B": "no", "labels": 1},
        GOOD_BAD,
    ),
    "pku": (
        "prompt: prompt\ncandidates: {a: response_0, b: response_1}\nverdict: {winner: better, index: 0}",
        {"prompt": "q", "response_0": "no", "response_1": "yes", "better": 1},
        GOOD_BAD,
    ),
    "pandalm": (
        (
            'prompt: {template: "{instruction}\\n{input}"}\ncandidates: {a: r1, b: r2}\n'
            "verdict: {winner: [v1, v2, v3], agree: majority, a: [1], b: [2], tie: [0]}"
        ),
        {"instruction": "q", "input": "", "r1": "no", "r2": "yes", "v1": 2, "v2": 0, "v3": 2},
        GOOD_BAD,
    ),
    "helpsteer3": (
        "prompt: {messages: context}\ncandidates: {a: r1, b: r2}\nverdict: {winner: pref, cut: 0, below: a, above: b}",
        {"context": chat("q"), "r1": "yes", "r2": "no", "pref": -2},
        GOOD_BAD,
    ),
    "label_studio": (
        (
            "prompt: data.prompt\ncandidates: {a: data.a1, b: data.a2}\n"
            'verdict: {winner: "annotations[?was_cancelled=false].result[0].value.selected", agree: unanimous, a: [left], b: [right]}'
        ),
        {
            "data": {"prompt": "q", "a1": "yes", "a2": "no"},
            "annotations": [
                {"was_cancelled": True, "result": [{"value": {"selected": "right"}}]},
                {"was_cancelled": False, "result": [{"value": {"selected": "left"}}]},
            ],
        },
        GOOD_BAD,
    ),
    "webgpt": (
        (
            "prompt: question.full_text\ncandidates: {a: answer_0, b: answer_1}\n"
            "verdict: {rank: {a: $.score_0, b: $.score_1}, best: high}"
        ),
        {"question": {"full_text": "q"}, "answer_0": "no", "answer_1": "yes", "score_0": -0.5, "score_1": 0.5},
        GOOD_BAD,
    ),
    "oasst_tree": (
        (
            "chat: {content: text}\ntree: {root: prompt, children: replies, dead: {deleted: true}, skip: {review_result: false}}\n"
            "verdict: {rank: rank, best: low}"
        ),
        {
            "prompt": {
                **NODE,
                "role": "prompter",
                "text": "q",
                "replies": [
                    {**NODE, "role": "assistant", "text": "no", "rank": 2},
                    {**NODE, "role": "assistant", "text": "yes", "rank": 0},
                    {**NODE, "role": "assistant", "text": "so so", "rank": 1},
                    {**NODE, "role": "assistant", "text": "unranked", "rank": None},
                    {**NODE, "role": "assistant", "text": "unreviewed", "rank": 3, "review_result": False},
                    {**NODE, "role": "assistant", "text": "gone", "rank": 4, "deleted": True},
                ],
            }
        },
        GOOD_BAD,
    ),
    "nectar": (
        "prompt: {transcript: prompt}\n"
        + MARKS
        + "\ncandidates: {each: answers, text: answer}\nverdict: {rank: rank, best: low}",
        {
            "prompt": f"{HUMAN}q{ASSISTANT}",
            "answers": [{"answer": "no", "rank": 7}, {"answer": "yes", "rank": 1.0}, {"answer": "so so", "rank": 2}],
        },
        GOOD_BAD,
    ),
    "vertex": (
        (
            'prompt: {messages: contents}\nsystem: "system_instruction.parts[*].text"\nchat: {content: "parts[*].text"}\n'
            "candidates: {each: completions, message: completion}\nverdict: {rating: score, good: 1, bad: 0}"
        ),
        {
            "system_instruction": {"parts": [{"text": "Be "}, {"text": "brief."}]},
            "contents": [{"role": "user", "parts": [{"text": "q"}]}],
            "completions": [
                {"score": 1.0, "completion": {"role": "model", "parts": [{"text": "y"}, {"text": "es"}]}},
                {"score": 0, "completion": {"role": "model", "parts": [{"text": "no"}]}},
            ],
        },
        GOOD_BAD,
    ),
    "ultrafeedback": (
        (
            "prompt: instruction\ncandidates: {each: completions, text: response}\n"
            'verdict: {rating: "annotations.*.Rating", missing: [N/A], good: 4, bad: 2}'
        ),
        {
            "instruction": "q",
            "completions": [
                {"response": "yes", "annotations": {"a": {"Rating": "5"}, "b": {"Rating": "N/A"}}},
                {"response": "so so", "annotations": {"a": {"Rating": "3"}, "b": {"Rating": "4"}}},
                {"response": "no", "annotations": {"a": {"Rating": "1"}, "b": {"Rating": "3"}}},
                {"response": "unrated", "annotations": {"a": {"Rating": "N/A"}}},
            ],
        },
        GOOD_BAD,
    ),
    "magpie": (
        'prompt: instruction\ncandidates: {each: responses, text: "."}\nverdict: {rank: "$.rewards[#].score", best: high}',
        {"instruction": "q", "responses": ["no", "yes"], "rewards": [{"score": 0.1}, {"score": 0.2}]},
        GOOD_BAD,
    ),
    "paddle": (
        (
            "prompt: {turns: {user: src, assistant: tgt}}\ncandidates: {each: response, text: '.'}\n"
            "verdict: {rank: '$.sort[#]', best: high}"
        ),
        {"src": ["p", "q"], "tgt": ["x"], "response": [["no"], "yes"], "sort": [0, 1]},
        GOOD_BAD,
    ),
    "oa_tuples": (
        'prompt: prompt\ncandidates: {each: outputs, text: "[0]"}\nverdict: {rank: "[1]", best: high}',
        {"prompt": "q", "outputs": [["yes", 9], ["no", 1]]},
        GOOD_BAD,
    ),
    "ms_swift, an answer in several dresses": (
        (
            "prompt: {messages: messages, drop_last: true}\n"
            "candidates: {g: {conversation: messages}, b: [{message: rejected_response}, {message: rejected_messages}]}\n"
            "verdict: {good: g, bad: b, need_both: true}"
        ),
        {"messages": chat("q", "yes"), "rejected_messages": chat("q", "no")},
        GOOD_BAD,
    ),
    "several good and bad answers": (
        "prompt: q\ncandidates: {g: {text: chosen, many: true}, b: {text: rejected, many: true}}\nverdict: {good: g, bad: b}",
        {"q": "q", "chosen": ["yes", "yes!"], "rejected": ["no"]},
        [("q", "yes", "good"), ("q", "yes!", "good"), ("q", "no", "bad")],
    ),
    "best of four": (
        "prompt: query\ncandidates: {a: s0, b: s1, c: s2}\nverdict: {winner: best, index: 0}",
        {"query": "q", "s0": "no", "s1": "yes", "s2": "nope", "best": 1},
        [*GOOD_BAD, ("q", "nope", "bad")],
    ),
    "every turn judged": (
        "candidates: {each_turn: messages}\nverdict: {label: thumb, good: [up], bad: [down]}",
        {
            "messages": [
                {"role": "user", "content": "p"},
                {"role": "assistant", "content": "x", "thumb": "up"},
                {"role": "user", "content": "q"},
                {"role": "assistant", "content": "no", "thumb": "down"},
                {"role": "user", "content": "r"},
                {"role": "assistant", "content": "z"},
            ]
        },
        [("p", "x", "good"), ("q", "no", "bad")],
    ),
    "records in a wrapper": (
        "records: $.data[*]\nprompt: q\ncandidates: {c: a}\nverdict: {label: ok, good: [1], bad: [0]}",
        {"data": [{"q": "q", "a": "yes", "ok": 1}, {"q": "q", "a": "no", "ok": 0}]},
        GOOD_BAD,
    ),
    "history before the question": (
        "prompt: q\nhistory: history\ncandidates: {c: a}\nverdict: {label: ok, scale: specification}",
        {"q": "q", "a": "yes", "ok": "good", "history": [["p", "x"]]},
        [("q", "yes", "good")],
    ),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_published_layout(name: str, mapped: Any) -> None:
    mapping, record, expected = LAYOUTS[name]
    samples, report = mapped(mapping, record)
    assert told(samples) == expected
    report.check()
    assert {one["format_type"] for one in samples} == {"mapping"}


def test_what_comes_before_is_the_context(mapped: Any) -> None:
    mapping, record, _ = LAYOUTS["paddle"]
    [one, _] = mapped(mapping, record)[0]
    assert [(turn["role"], turn["content"]) for turn in one["conversation"]] == [
        ("user", "p"),
        ("assistant", "x"),
        ("user", "q"),
    ]
    mapping, record, _ = LAYOUTS["vertex"]
    assert {one["system"] for one in mapped(mapping, record)[0]} == {"Be brief."}


PAIR = "prompt: q\ncandidates: {a: a, b: b}\n"
ROW = {"q": "q", "a": "yes", "b": "no"}


def test_a_winner_that_nobody_mapped_stops_the_run_and_says_which(mapped: Any) -> None:
    rows = [{**ROW, "w": value} for value in ("left", "left", "A>B", "right", "A>B")]
    with pytest.raises(
        RejectBudgetError, match=r"2 of 5 records name a winner .* w: 'A>B' \(2 times, first on line 3\)"
    ):
        mapped(PAIR + "verdict: {winner: w, a: [left], b: [right]}", *rows)


def test_an_unmapped_winner_may_be_skipped(mapped: Any) -> None:
    rows = [{**ROW, "w": value} for value in ("left", "A>B")]
    mapping = PAIR + "verdict: {winner: w, a: [left], b: [right]}\npolicy: {unknown_value: skip}"
    samples, report = mapped(mapping, *rows)
    assert told(samples) == GOOD_BAD
    assert report.total.without_verdict == {"unmapped": 1}


@pytest.mark.parametrize(("value", "named"), [(True, "[1]"), (1, "['1']"), ("1", "[1]"), (False, "[0]")])
def test_a_value_is_never_taken_for_another_of_another_type(value: Any, named: str, mapped: Any) -> None:
    with pytest.raises(RejectBudgetError, match="name a winner"):
        mapped(PAIR + f"verdict: {{winner: w, a: {named}, b: [right]}}", {**ROW, "w": value})


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("{}", []),
        ("{tie: both_good}", [("q", "yes", "good"), ("q", "no", "good")]),
        ("{tie: both_bad}", [("q", "yes", "bad"), ("q", "no", "bad")]),
    ],
)
def test_a_tie(policy: str, expected: list[Any], mapped: Any) -> None:
    mapping = PAIR + f"verdict: {{winner: w, a: [1], b: [2], tie: [0]}}\npolicy: {policy}"
    samples, report = mapped(mapping, {**ROW, "w": 0}, {**ROW, "q": "p", "w": 1})
    assert told(samples) == [*expected, ("p", "yes", "good"), ("p", "no", "bad")]
    assert report.total.without_verdict == ({} if expected else {"tie": 1})


@pytest.mark.parametrize(("agree", "kept"), [("majority", 2), ("unanimous", 0), ("first", 2)])
def test_annotators_who_disagree(agree: str, kept: int, mapped: Any) -> None:
    mapping = PAIR + f"verdict: {{winner: [v1, v2, v3], agree: {agree}, a: [1], b: [2]}}"
    samples, report = mapped(
        mapping, {**ROW, "v1": 1, "v2": 2, "v3": 1}, {**ROW, "q": "p", "v1": 1, "v2": 1, "v3": 1}
    )
    assert len(samples) == kept + 2
    assert report.total.without_verdict == ({} if kept else {"disagreement": 1})


def test_half_and_half_is_no_majority(mapped: Any) -> None:
    mapping = PAIR + "verdict: {winner: [v1, v2], a: [1], b: [2]}"
    rows = [{**ROW, "v1": 1, "v2": 2}, {**ROW, "q": "p", "v1": 1, "v2": None}]
    samples, report = mapped(mapping, *rows)
    assert [one["prompt"] for one in samples] == ["p", "p"]
    assert report.total.without_verdict == {"disagreement": 1}


def test_scores_that_lie_too_close(mapped: Any) -> None:
    mapping = PAIR + "verdict: {good: a, bad: b, scores: {a: sa, b: sb}}\npolicy: {min_gap: 0.5}"
    rows = [{**ROW, "sa": 4.0, "sb": 3.7}, {**ROW, "q": "p", "sa": 4.0, "sb": 3.0}]
    samples, report = mapped(mapping, *rows)
    assert [one["prompt"] for one in samples] == ["p", "p"]
    assert report.total.without_verdict == {"small_gap": 1}


def test_equal_scores_keep_what_the_columns_say_unless_told_otherwise(mapped: Any) -> None:
    mapping = PAIR + "verdict: {good: a, bad: b, scores: {a: s, b: s}}"
    assert told(mapped(mapping, {**ROW, "s": 4})[0]) == GOOD_BAD
    other = {**ROW, "q": "p", "s": None}
    samples, report = mapped(mapping + "\npolicy: {equal_scores: drop}", {**ROW, "s": 4}, other)
    assert [one["prompt"] for one in samples] == ["p", "p"]
    assert report.total.without_verdict == {"tie": 1}


def test_a_float_near_the_cut_is_a_tie(mapped: Any) -> None:
    mapping = PAIR + "verdict: {winner: w, cut: 1.5, below: a, above: b, band: 0.1}"
    rows = [{**ROW, "w": 1.45}, {**ROW, "q": "p", "w": 1.2}, {**ROW, "q": "r", "w": "1.9"}]
    samples, report = mapped(mapping, *rows)
    assert told(samples) == [("p", "yes", "good"), ("p", "no", "bad"), ("r", "no", "good"), ("r", "yes", "bad")]
    assert report.total.without_verdict == {"tie": 1}


def test_two_columns_cannot_both_have_won(mapped: Any) -> None:
    mapping = PAIR + "verdict: {winner: {a: wa, b: wb}}"
    _, report = mapped(mapping, {**ROW, "wa": 1, "wb": 1}, {**ROW, "wa": True, "wb": False})
    assert report.total.rejected == {"contradictory_verdicts": 1}


def test_a_damaged_side_costs_itself_or_the_row(mapped: Any) -> None:
    mapping = MARKS + "\ncandidates: {g: {transcript: chosen}, b: {transcript: rejected}}\nverdict: {good: g, bad: b}"
    row = {"chosen": f"{HUMAN}q{ASSISTANT}yes{ASSISTANT}again", "rejected": f"{HUMAN}q{ASSISTANT}no"}
    fine = {"chosen": f"{HUMAN}p{ASSISTANT}yes", "rejected": f"{HUMAN}p{ASSISTANT}no\n\nFrank: hello"}
    samples, report = mapped(mapping, row, fine)
    assert told(samples) == [("q", "no", "bad"), ("p", "yes", "good"), ("p", "no\n\nFrank: hello", "bad")]
    assert report.total.candidates_lost == {"role_order": 1}
    samples, report = mapped(mapping + "\npolicy: {malformed: drop_row}", row, fine)
    assert len(samples) == 2
    assert report.total.rejected == {"role_order": 1}


def test_a_text_that_is_no_transcript_is_rejected(mapped: Any) -> None:
    mapping = MARKS + "\ncandidates: {g: {transcript: chosen}}\nverdict: {good: g}"
    _, report = mapped(mapping, {"chosen": "no marks"}, {"chosen": f"{HUMAN}q{ASSISTANT}yes"})
    assert report.total.rejected == {"no_transcript": 1}


def test_records_that_where_leaves_out_have_no_verdict(mapped: Any) -> None:
    mapping = "where: {kind: answer}\n" + PAIR + "verdict: {good: a, bad: b}"
    samples, report = mapped(mapping, {**ROW, "kind": "answer"}, {**ROW, "kind": "comment"})
    assert len(samples) == 2
    assert report.total.without_verdict == {"not_selected": 1}


def test_a_missing_number_counts_for_nothing(mapped: Any) -> None:
    mapping = "prompt: q\ncandidates: {c: a}\nverdict: {rating: 'label[1]', missing: [-100.0], good: 3, bad: 1}"
    rows = [{"q": "q", "a": str(value), "label": [0, value]} for value in (-100, 3, 1, 2, None)]
    samples, report = mapped(mapping, *rows)
    assert told(samples) == [("q", "3", "good"), ("q", "1", "bad")]
    assert report.total.without_verdict == {"null_verdict": 2, "neutral": 1}


def test_a_low_rating_may_be_the_good_one(mapped: Any) -> None:
    mapping = "prompt: q\ncandidates: {c: a}\nverdict: {rating: r, good: 1, bad: 3}"
    samples, _ = mapped(mapping, *({"q": "q", "a": str(value), "r": value} for value in (1, 2, 3)))
    assert told(samples) == [("q", "1", "good"), ("q", "3", "bad")]


def test_an_unknown_label_costs_its_record_and_is_summed_up(mapped: Any) -> None:
    mapping = "prompt: q\ncandidates: {c: a}\nverdict: {label: l, good: [up], bad: [down]}"
    rows = [{"q": "q", "a": "1", "l": "up"}, {"q": "q", "a": "2", "l": "sideways"}, {"q": "q", "a": "3", "l": None}]
    samples, report = mapped(mapping, *rows)
    assert told(samples) == [("q", "1", "good")]
    assert report.total.rejected == {"label_unrecognised": 1}
    assert [(one.field, one.value, one.records, one.first_line) for one in report.total.unknowns()] == [
        ("l", "'sideways'", 1, 2)
    ]


@pytest.mark.parametrize(
    ("pick", "labels"),
    [
        ("best_worst", {"a": "good", "d": "bad"}),
        ("best_rest", {"a": "good", "b": "bad", "c": "bad", "d": "bad"}),
        ("halves", {"a": "good", "b": "good", "c": "bad", "d": "bad"}),
    ],
)
def test_which_ranks_count(pick: str, labels: dict[str, str], mapped: Any) -> None:
    mapping = (
        f"prompt: q\ncandidates: {{each: list, text: '.'}}\nverdict: {{rank: position, best: low, pick: {pick}}}"
    )
    samples, _ = mapped(mapping, {"q": "q", "list": ["a", "b", "c", "d"]})
    assert {one["response"]: one["label"] for one in samples} == labels


def test_nodes_without_a_pick_are_all_read(mapped: Any) -> None:
    mapping = "tree: {nodes: nodes, id: id, parent: up}\nverdict: {label: ok, good: [true], bad: [false]}"
    nodes = [
        {"id": 1, "up": None, "role": "user", "content": "q"},
        {"id": 2, "up": 1, "role": "assistant", "content": "yes", "ok": True},
        {"id": 3, "up": 1, "role": "assistant", "content": "no", "ok": False},
        {"id": 4, "up": 3, "role": "user", "content": "r"},
        {"id": 5, "up": 4, "role": "assistant", "content": "better", "ok": True},
    ]
    samples, _ = mapped(mapping, {"nodes": nodes})
    assert told(samples) == [*GOOD_BAD, ("r", "better", "good")]
    assert [turn["content"] for turn in samples[2]["conversation"]] == ["q", "no", "r"]


def test_nodes_in_a_circle_are_a_reject(mapped: Any) -> None:
    mapping = "tree: {nodes: nodes, parent: up, pick: id}\nverdict: {label: ok, good: [1], bad: [0]}"
    circle = {"a": {"up": "b", "role": "user", "content": "q"}, "b": {"up": "a", "role": "assistant", "content": "x"}}
    sound = {"a": {"up": None, "role": "user", "content": "q"}, "b": {"up": "a", "role": "assistant", "content": "x"}}
    _, report = mapped(mapping, {"nodes": circle, "id": "b", "ok": 1}, {"nodes": sound, "id": "b", "ok": 1})
    assert report.total.rejected == {"wrong_type": 1}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("prompt: q\ncandidates: {a: a}\nverdict: {}", "expected good, bad or both"),
        ("prompt: q\nverdict: {good: a}", "expected candidates or a tree"),
        (PAIR + "verdict: {good: a, bad: c}", "'c' is none of the candidates \\(a, b\\)"),
        (PAIR + "verdict: {good: a, bad: a}", "'a' is both good and bad"),
        (PAIR + "verdict: {winner: w}", "expected index, or cut"),
        (PAIR + "verdict: {winner: w, a: [1], b: [1]}", "1 stands for a and for b"),
        (PAIR + "verdict: {winner: w, cut: 0, below: a}", "cut needs below and above"),
        (PAIR + "verdict: {winner: 'w[', index: 0}", "breaks at character 2"),
        (PAIR + "verdict: {label: l}", "expected the values that are good and bad"),
        (PAIR + "verdict: {label: l, good: [1], bad: [1]}", "1 is both good and bad"),
        (PAIR + "verdict: {rating: r, good: 3, bad: 3}", "the same number"),
        (PAIR + "verdict: {good: a, bda: b}", "bda"),
        ("prompt: q\ncandidates: {a: {transcript: t}}\nverdict: {good: a}", "marks"),
        ("prompt: {path: q, messages: m}\ncandidates: {a: a}\nverdict: {good: a}", "exactly one of path"),
        ("prompt: {template: none}\ncandidates: {a: a}\nverdict: {good: a}", "names no field"),
        ("prompt: q\ncandidates: {a: {text: a, turn: t}}\nverdict: {good: a}", "belong to conversation"),
        ("prompt: q\nchat: {roles: {robot: [r]}}\ncandidates: {a: a}\nverdict: {good: a}", "'robot' is no role"),
    ],
)
def test_a_mapping_that_cannot_be_meant_says_so(mapping: str, message: str, mapped: Any) -> None:
    with pytest.raises(ConfigError, match=message):
        mapped(mapping, ROW)
