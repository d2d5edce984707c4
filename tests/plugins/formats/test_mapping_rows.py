"""Records that belong together: joins, groups and trees over records, each record accounted for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ktoformats import ConfigError, KTODataConfig, KTODataLoader
from ktoformats.store import gather

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ktoformats import Report

    Load = Callable[..., tuple[list[dict[str, Any]], Report]]

ASKED: dict[str, Any] = {"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False}


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(
        mapping: str, files: dict[str, list[Any]], *train: str, **settings: Any
    ) -> tuple[list[dict[str, Any]], Report]:
        for name, records in files.items():
            lines = (one if isinstance(one, bytes) else json.dumps(one).encode() for one in records)
            (tmp_path / name).write_bytes(b"".join(line + b"\n" for line in lines))
        options = yaml.safe_load(mapping.replace("FOLDER", str(tmp_path)))
        config = KTODataConfig(
            train_file=[tmp_path / name for name in train or files],
            formats=[{"mapping": options}],
            **ASKED | settings,
        )
        loader = KTODataLoader(config, enable_cache=False)
        samples = list(loader.load_dataset("train"))
        loader.report.check()
        return samples, loader.report

    return loaded


def told(samples: list[dict[str, Any]]) -> list[tuple[int, str, str, str]]:
    return [(one["line"], one["prompt"], one["response"], one["label"]) for one in samples]


def lost(report: Report) -> list[tuple[int, str]]:
    return [(one.line, one.reason) for one in report.rejects]


RATED = [
    {"prompt": "p1", "response": "a", "stars": 4},
    {"prompt": "p2", "response": "x", "stars": 1},
    {"prompt": "p1", "response": "b", "stars": 2},
    {"prompt": "p1", "response": "c", "stars": 3},
    {"prompt": "p2", "response": "y", "stars": 1},
    {"prompt": "p3", "response": "z", "stars": 3},
    {"prompt": "p1", "response": "", "stars": 0},
    {"response": "no prompt", "stars": 1},
    b'{"prompt": "p1", "response": cut',
]
BY_PROMPT = "group_by: prompt\nprompt: prompt\ncandidates: {c: response}\n"


def test_rows_of_one_prompt_are_ranked_against_each_other(load: Load) -> None:
    samples, report = load(BY_PROMPT + "verdict: {rank: stars, best: high}", {"a": RATED})
    assert told(samples) == [(1, "p1", "a", "good"), (3, "p1", "b", "bad")]
    assert report.total.used == 2
    assert report.total.without_verdict == {"part_of_group": 1, "tie": 2, "single_candidate": 1}
    assert sorted(lost(report)) == [(7, "empty_response"), (8, "missing_field"), (9, "invalid_json")]


@pytest.mark.parametrize("workers", [1, 2])
def test_groups_reach_over_files_and_processes(load: Load, workers: int) -> None:
    files: dict[str, list[Any]] = {"a": RATED[:2], "b": RATED[2:6]}
    samples, report = load(BY_PROMPT + "verdict: {rank: stars, best: high}", files, preprocessing_num_workers=workers)
    assert told(samples) == [(1, "p1", "a", "good"), (1, "p1", "b", "bad")]
    assert [one["source"].rsplit("/", 1)[1] for one in samples] == ["a", "b"]
    assert [account.lines for account in report.ledger.files.values()] == [2, 4]


def test_little_memory_changes_nothing(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [{"prompt": f"p{n % 40}", "response": f"answer {n}", "stars": n} for n in range(400)]
    mapping = BY_PROMPT + "verdict: {rank: stars, best: high}"
    ample, _ = load(mapping, {"a": records})
    gathered = gather.gathered
    monkeypatch.setattr("ktoformats.store.build.gathered", lambda *args, **more: gathered(*args, **more, memory=9000))
    scarce, _ = load(mapping, {"a": records})
    assert scarce == ample
    assert len(scarce) == 80


VOTES = [
    *({"prompt": "p", "response": "a", "vote": vote} for vote in ("up", "down", "up")),
    *({"prompt": "p", "response": "b", "vote": vote} for vote in ("up", "down")),
    {"prompt": "p", "response": "c", "vote": "down"},
    {"prompt": "p", "response": "d", "vote": "sideways"},
    {"prompt": "p", "response": "e", "vote": None},
]


@pytest.mark.parametrize(
    ("agree", "expected"),
    [
        ("majority", [(1, "p", "a", "good"), (6, "p", "c", "bad")]),
        ("unanimous", [(6, "p", "c", "bad")]),
        ("first", [(1, "p", "a", "good"), (4, "p", "b", "good"), (6, "p", "c", "bad")]),
    ],
)
def test_several_annotators_judge_one_answer(load: Load, agree: str, expected: list[Any]) -> None:
    verdict = f"verdict: {{label: vote, good: [up], bad: [down], agree: {agree}}}"
    samples, report = load(BY_PROMPT + verdict, {"a": VOTES})
    assert told(samples) == expected
    assert lost(report) == [(7, "label_unrecognised")]
    assert report.total.balanced


@pytest.mark.parametrize(
    ("agree", "expected"),
    [("mean", "good"), ("majority", "good"), ("unanimous", None), ("first", "bad")],
)
def test_several_ratings_of_one_answer(load: Load, agree: str, expected: str | None) -> None:
    records = [{"prompt": "p", "response": "a", "stars": stars} for stars in (1, 5, 9)]
    samples, _ = load(
        BY_PROMPT + f"verdict: {{rating: stars, good: 5, bad: 2, agree: {agree}}}",
        {"a": [*records, {"prompt": "p", "response": "b", "stars": 1}]},
    )
    assert [one["label"] for one in samples if one["response"] == "a"] == ([expected] if expected else [])


def test_several_annotators_in_one_record(load: Load) -> None:
    mapping = "prompt: q\ncandidates: {c: a}\nverdict: {label: [v1, v2, v3], good: [1], bad: [0]}"
    rows = [{"q": "q", "a": f"a{n}", "v1": 1, "v2": n % 2, "v3": n // 2} for n in range(4)]
    samples, report = load(mapping, {"a": rows})
    assert [(one["response"], one["label"]) for one in samples] == [
        ("a0", "bad"),
        ("a1", "good"),
        ("a2", "good"),
        ("a3", "good"),
    ]
    assert report.total.balanced


def test_votes_for_the_same_two_answers_are_counted_together(load: Load) -> None:
    rows = [{"q": "q", "a": "x", "b": "y", "w": vote} for vote in "abb"] + [{"q": "q", "a": "x", "b": "z", "w": "a"}]
    samples, report = load(
        "group_by: [q, a, b]\nprompt: q\ncandidates: {a: a, b: b}\nverdict: {winner: w, a: [a], b: [b]}", {"a": rows}
    )
    assert told(samples) == [(1, "q", "y", "good"), (1, "q", "x", "bad"), (4, "q", "x", "good"), (4, "q", "z", "bad")]
    assert report.total.without_verdict == {"part_of_group": 2}


NODES = [
    {"id": 1, "up": None, "role": "prompter", "text": "q"},
    {"id": 2, "up": 1, "role": "assistant", "text": "a1", "rank": 0},
    {"id": 5, "up": 77, "role": "assistant", "text": "nobody asked", "rank": 0},
    {"id": 3, "up": 1, "role": "assistant", "text": "a2", "rank": 1},
    {"id": 4, "up": 2, "role": "prompter", "text": "q2"},
    {"id": 6, "up": 4, "role": "assistant", "text": "b1", "rank": 1},
    {"id": 7, "up": 4, "role": "assistant", "text": "b2", "rank": 0},
    {"id": 8, "up": 9, "role": "assistant", "text": "round", "rank": 0},
    {"id": 9, "up": 8, "role": "prompter", "text": "and round"},
    {"id": 2, "up": 1, "role": "assistant", "text": "again", "rank": 2},
    {"up": 1, "role": "assistant", "text": "without an id", "rank": 2},
]
TREE = "tree: {id: id, parent: up}\nchat: {content: text}\nverdict: {rank: rank, best: low}"


@pytest.mark.parametrize("turned", [False, True])
def test_trees_over_records_in_any_order(load: Load, *, turned: bool) -> None:
    records = NODES[:9]
    samples, report = load(TREE, {"a": records[::-1] if turned else records})
    made = {(one["prompt"], one["response"], one["label"], len(one["conversation"])) for one in samples}
    assert made == {
        ("q", "a1", "good", 0),
        ("q", "a2", "bad", 0),
        ("q2", "b2", "good", 3),
        ("q2", "b1", "bad", 3),
    }
    assert report.total.rejected == {"broken_tree": 2}
    assert sum(report.total.without_verdict.values()) == 3


def test_a_broken_tree_costs_its_answers_and_says_why(load: Load) -> None:
    _, report = load(TREE, {"a": NODES})
    told = {one.line: one.message for one in report.rejects}
    assert told[3] == "the message above, 77, is in no record, or leads in a circle"
    assert "circle" in told[8]
    assert told[10] == "the id 2 stands twice"
    assert told[11] == "expected a message with the id 'id'"
    assert len(told) == 4


TALKS = [
    {"id": "c1", "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]},
    {"id": "c2", "messages": [{"role": "user", "content": "q2"}, {"role": "assistant", "content": "b"}]},
    {"id": "c3", "messages": []},
]
THUMBS = [{"talk": "c1", "r": 1}, {"talk": "c2", "r": 0}, {"talk": "gone", "r": 1}, {"talk": "c1", "r": 1}]


def test_feedback_finds_the_conversation_it_is_about(load: Load) -> None:
    mapping = (
        "join: {file: FOLDER/talks, on: {here: talk, there: id}, as: talked}\n"
        "candidates: {c: {conversation: talked.messages}}\nverdict: {label: r, good: [1], bad: [0]}"
    )
    samples, report = load(mapping, {"thumbs": THUMBS, "talks": TALKS}, "thumbs")
    assert told(samples) == [(1, "q", "a", "good"), (2, "q2", "b", "bad"), (4, "q", "a", "good")]
    thumbs, talks = report.ledger.files.values()
    assert (thumbs.lines, thumbs.used, thumbs.rejected) == (4, 3, {"missing_field": 1})
    assert (talks.lines, talks.without_verdict) == (3, {"joined": 2, "unmatched": 1})


def test_a_conversation_finds_all_its_feedback(load: Load) -> None:
    mapping = (
        "join: {file: FOLDER/thumbs, on: {here: id, there: talk}, as: given, take: all}\n"
        'candidates: {c: {conversation: messages}}\nverdict: {label: "given[*].r", good: [1], bad: [0]}'
    )
    samples, report = load(mapping, {"talks": TALKS, "thumbs": THUMBS}, "talks")
    assert told(samples) == [(1, "q", "a", "good"), (2, "q2", "b", "bad")]
    talks, thumbs = report.ledger.files.values()
    assert talks.without_verdict == {"null_verdict": 1}
    assert thumbs.without_verdict == {"joined": 3, "unmatched": 1}


def test_which_of_several_is_meant_is_not_guessed(load: Load) -> None:
    mapping = (
        "join: {file: FOLDER/thumbs, on: {here: id, there: talk}}\n"
        "candidates: {c: {conversation: messages}}\nverdict: {label: joined.r, good: [1], bad: [0]}"
    )
    samples, report = load(mapping, {"talks": TALKS, "thumbs": THUMBS}, "talks")
    assert told(samples) == [(2, "q2", "b", "bad")]
    assert lost(report) == [(1, "several_matches")]
    assert "2 records of" in report.rejects[0].message
    assert report.total.without_verdict == {"joined": 1, "unmatched": 3, "null_verdict": 1}


def test_a_field_is_never_written_over_by_a_join(load: Load) -> None:
    mapping = (
        "join: {file: FOLDER/thumbs, on: {here: id, there: talk}, as: messages}\n"
        "candidates: {c: {conversation: messages}}\nverdict: {label: joined.r, good: [1], bad: [0]}"
    )
    with pytest.raises(Exception, match=r"duplicate_key|no sample is left"):
        load(mapping, {"talks": TALKS[:1], "thumbs": THUMBS[:1]}, "talks")


MESSAGES = [
    {"talk": "k", "at": 2, "role": "assistant", "text": "a1", "id": "m2"},
    {"talk": "k", "at": 1, "role": "user", "text": "q1", "id": "m1"},
    {"talk": "k", "at": 3, "role": "user", "text": "q2", "id": "m3"},
    {"talk": "k", "at": 4, "role": "assistant", "text": "a2", "id": "m4"},
    {"talk": "j", "at": 1, "role": "user", "text": "unanswered", "id": "m5"},
]


def test_a_table_of_messages_and_a_table_of_feedback(load: Load) -> None:
    mapping = (
        "join: {file: FOLDER/scores, on: {here: id, there: about}}\ngroup_by: talk\norder_by: at\n"
        "chat: {content: text}\ncandidates: {each_turn: .}\nverdict: {label: joined.r, good: [1], bad: [0]}"
    )
    scores = [{"about": "m4", "r": 0}, {"about": "m2", "r": 1}]
    samples, report = load(mapping, {"messages": MESSAGES, "scores": scores}, "messages")
    assert told(samples) == [(1, "q1", "a1", "good"), (4, "q2", "a2", "bad")]
    assert [turn["content"] for turn in samples[1]["conversation"]] == ["q1", "a1", "q2"]
    assert report.total.without_verdict == {"joined": 2, "part_of_group": 2, "null_verdict": 1}


@pytest.mark.parametrize(
    ("mapping", "message"),
    [
        ("order_by: at\ncandidates: {c: a}\nverdict: {good: c}", "there is no group to sort"),
        ("group_by: x\n" + TREE, "a tree over records groups them already"),
        ("join: {file: x}\ncandidates: {c: a}\nverdict: {good: c}", "join.on: is missing"),
        ("join: {file: x, on: k, take: some}\ncandidates: {c: a}\nverdict: {good: c}", "join.take"),
        (
            "prompt: q\ncandidates: {a: a, b: b}\nverdict: {winner: w, a: [a], b: [b], agree: mean}",
            "agree: mean needs cut",
        ),
    ],
)
def test_what_cannot_be_meant_is_an_error(load: Load, mapping: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(mapping, {"a": RATED[:1]})


def test_a_format_that_gathers_stands_alone(load: Load, tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_text("{}\n")
    mapping = {"mapping": yaml.safe_load(TREE)}
    config = KTODataConfig(train_file=path, formats=["default", mapping], **ASKED)
    with pytest.raises(ConfigError, match="'mapping' brings records together, so it must be the only format"):
        KTODataLoader(config, enable_cache=False).load_dataset("train")


def test_the_cache_knows_the_joined_file(tmp_path: Path) -> None:
    (tmp_path / "talks").write_text("".join(json.dumps(one) + "\n" for one in TALKS))
    (tmp_path / "thumbs").write_text(json.dumps(THUMBS[0]) + "\n")
    options = yaml.safe_load(
        f"join: {{file: {tmp_path}/thumbs, on: {{here: id, there: talk}}}}\n"
        "candidates: {c: {conversation: messages}}\nverdict: {label: joined.r, good: [1], bad: [0]}"
    )
    config = KTODataConfig(train_file=tmp_path / "talks", formats=[{"mapping": options}], **ASKED)
    first = KTODataLoader(config, cache_dir=tmp_path / "cache").load_dataset("train")
    assert [one["label"] for one in first] == ["good"]
    (tmp_path / "thumbs").write_text(json.dumps(THUMBS[1]) + "\n")
    loader = KTODataLoader(config, cache_dir=tmp_path / "cache")
    assert [one["label"] for one in loader.load_dataset("train")] == ["bad"]
    again = KTODataLoader(config, cache_dir=tmp_path / "cache")
    again.load_dataset("train")
    assert again.report.cached


SIDES = "group_by: q\nprompt: q\ncandidates: {a: x, b: y}\nverdict: {winner: w, a: [1], b: [2], agree: majority}"


def vote(first: str, second: str, winner: int) -> dict[str, Any]:
    return {"q": "p", "x": first, "y": second, "w": winner}


def test_votes_count_for_the_answer_whichever_side_it_stood_on(load: Load) -> None:
    samples, report = load(SIDES, {"v": [vote("A", "B", 1), vote("B", "A", 2), vote("B", "A", 1)]})
    assert [(one["response"], one["label"]) for one in samples] == [("A", "good"), ("B", "bad")]
    assert report.total.rejected == {}
    turned = SIDES.replace("a: [1], b: [2], agree: majority", "cut: 0, below: a, above: b, agree: mean")
    samples, _ = load(turned, {"v": [vote("A", "B", -3), vote("B", "A", 1), vote("B", "A", -1)]})
    assert [(one["response"], one["label"]) for one in samples] == [("A", "good"), ("B", "bad")]


def test_an_answer_that_contradicts_the_prompt_beside_it_is_no_answer_in_a_group(load: Load) -> None:
    mapping = "group_by: g\nprompt: q\ncandidates: {c: {conversation: m}}\nverdict: {label: l, good: [1], bad: [0]}"
    talk = [{"role": "user", "content": "other"}, {"role": "assistant", "content": "A"}]
    fine = [{"role": "user", "content": "p"}, {"role": "assistant", "content": "A"}]
    rows = [{"g": 1, "q": "p", "m": talk, "l": 1}, {"g": 1, "q": "p", "m": fine, "l": 1}]
    samples, report = load(mapping, {"v": rows})
    assert ([one["prompt"] for one in samples], report.total.rejected) == (["p"], {"prompt_mismatch": 1})


def test_columns_that_contradict_each_other_are_not_votes(load: Load) -> None:
    fixed = "group_by: q\nprompt: q\ncandidates: {a: x, b: y}\nverdict: {good: a, bad: b}"
    others = [{"q": "r", "x": "C", "y": "D"}]
    _, report = load(fixed, {"v": [vote("A", "B", 1), vote("B", "A", 2), *others]})
    assert report.total.rejected == {"contradictory_verdicts": 2}


def test_numbers_written_as_texts_are_sorted_as_numbers(load: Load) -> None:
    mapping = "group_by: t\norder_by: n\ncandidates: {each_turn: .}\nverdict: {label: v, good: [up], bad: [down]}"
    turns = [
        ("10", "user", "b", None),
        ("2", "user", "a", None),
        ("11", "assistant", "B", "down"),
        ("3", "assistant", "A", "up"),
    ]
    rows = [{"t": "1", "n": n, "role": role, "content": text, "v": v} for n, role, text, v in turns]
    samples, _ = load(mapping, {"v": rows})
    assert {(one["prompt"], one["response"], one["label"]) for one in samples} == {
        ("a", "A", "good"),
        ("b", "B", "bad"),
    }
