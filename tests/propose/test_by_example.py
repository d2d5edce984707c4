"""Two known answers lead to a mapping, or to the question that is left."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ktoformats import ConfigError, Registry
from ktoformats.convert.presets import load_preset
from ktoformats.propose.draft import Proposal, by_example
from ktoformats.propose.walk import path_of, tokens

if TYPE_CHECKING:
    from ktoformats.convert.presets import Preset

REGISTRY: Final = Registry()
FIXTURES: Final = Path(__file__).parents[1] / "fixtures" / "layouts"
TOLD: Final = [
    preset
    for preset in (load_preset(REGISTRY, one.name) for one in REGISTRY.presets() if one.first_party)
    if {label for _, _, label in preset.about.gives} == {"good", "bad"}
]
HARD: Final = ("label-studio",)
"""A verdict below two filtered lists: found in the first annotation, not in whichever was not cancelled."""


def samples(proposal: Proposal) -> list[tuple[str, str]]:
    return sorted(sample for record in proposal.outcome.labels for sample in record)


def propose(records: list[Any], good: str = "yes", bad: str = "no") -> Proposal:
    return by_example(records, [good], [bad], REGISTRY)


@pytest.mark.parametrize("preset", [one for one in TOLD if one.name not in HARD], ids=lambda one: one.name)
def test_a_published_layout_is_found_by_two_answers(preset: Preset) -> None:
    good, bad = (next(text for _, text, label in preset.about.gives if label == wanted) for wanted in ("good", "bad"))
    found = propose(preset.about.example, good, bad)
    assert samples(found) == sorted((text, label) for _, text, label in preset.about.gives)


def test_most_presets_are_among_them() -> None:
    assert len(TOLD) > 40


def counts(proposal: Proposal) -> tuple[int, int]:
    return proposal.outcome.good, proposal.outcome.bad


def test_real_dialogues_with_a_label() -> None:
    records = json.loads(gzip.decompress((FIXTURES / "llamafactory_kto_messages.json.gz").read_bytes()))
    good, bad = (
        next(one["messages"][-1]["content"] for one in records if one["label"] is label) for label in (True, False)
    )
    found = propose(records, good, bad)
    assert found.options == {
        "candidates": {"c": {"conversation": "messages"}},
        "verdict": {"label": "label", "good": [True], "bad": [False]},
    }
    assert (counts(found), found.questions, found.others) == ((150, 150), (), [])


def test_real_lists_in_the_order_of_rank() -> None:
    records = json.loads(gzip.decompress((FIXTURES / "llamafactory_oaast_output_ranked.json.gz").read_bytes()))
    one = next(one for one in records if len(one["output"]) > 2)
    found = propose(records, one["output"][0], one["output"][-1])
    assert found.options == {
        "prompt": {"template": "{instruction}\n{input}"},
        "history": "history",
        "candidates": {"each": "output", "text": "."},
        "verdict": {"rank": "position", "best": "low"},
    }
    assert counts(found) == (149, 149)


VOTES = [
    {"input": "q", "output_1": "yes", "output_2": "no", "label": 1},
    {"input": "q", "output_1": "nay", "output_2": "sure", "label": 2},
    {"input": "q", "output_1": "so", "output_2": "lo", "label": 1},
]


def test_readings_that_differ_are_told_with_the_records_they_differ_on() -> None:
    found = propose(VOTES)
    assert found.options["verdict"] == {"winner": "label", "index": 1}
    [other] = found.others
    assert other.options["verdict"] == {"good": "a", "bad": "b"}
    assert [one.record for one in other.differences] == [1]
    assert other.differences[0].here == [("nay", "bad"), ("sure", "good")]
    assert other.differences[0].there == [("nay", "good"), ("sure", "bad")]


def test_one_more_answer_decides_between_them() -> None:
    found = by_example(VOTES, ["yes", "nay"], ["no", "sure"], REGISTRY)
    assert (found.options["verdict"], found.others) == ({"good": "a", "bad": "b"}, [])


@pytest.mark.parametrize(
    ("values", "open_values"), [((5, 1), ""), ((5, 1, 3), "3 lie between"), ((5, 1, 2, 4), "2, 4 lie between")]
)
def test_bounds_are_those_of_the_answers_and_what_lies_between_is_asked(
    values: tuple[int, ...], open_values: str
) -> None:
    texts = ["yes", "no", "so", "lo"]
    found = propose(
        [{"q": "what is it", "a": text, "stars": value} for text, value in zip(texts, values, strict=False)]
    )
    if len(values) > 2:
        assert found.options["verdict"] == {"rating": "stars", "good": 5, "bad": 1}
        assert open_values in found.questions[-1]
    else:
        assert found.options["verdict"] == {"label": "stars", "good": [5], "bad": [1]}
    assert counts(found) == (1, 1)


def test_values_that_nobody_explained_are_asked_and_never_guessed() -> None:
    words = {"yes": "up", "no": "down", "so": "meh", "lo": None}
    found = propose([{"question": "what", "answer": text, "thumb": word} for text, word in words.items()])
    assert found.options["verdict"] == {"label": "thumb", "good": ["up"], "bad": ["down"]}
    assert found.questions == ("thumb: good, bad, or `skip: [...]`? 'meh' (1 times)",)
    assert found.outcome.rejected == {"label_unrecognised": 1}


def test_a_number_that_names_no_answer_is_asked_about() -> None:
    votes = [*VOTES, {"input": "q", "output_1": "x", "output_2": "y", "label": 0}]
    found = propose(votes)
    assert any("label" in question and "0" in question for question in found.questions)


def test_a_verdict_may_be_written_as_a_text() -> None:
    rows = [
        {"q": "what", "a": text, "vote": vote} for text, vote in (("yes", 1), ("no", "-1"), ("so", "1"), ("lo", -1))
    ]
    found = propose(rows)
    assert counts(found) == (2, 2)
    assert found.questions == ()


def test_a_long_answer_is_known_by_its_beginning() -> None:
    long = "It is blue because air scatters short wavelengths more than long ones."
    rows = [{"prompt": "why", "answer": long, "ok": True}, {"prompt": "why", "answer": "no", "ok": False}]
    assert counts(propose(rows, long[:25])) == (1, 1)
    with pytest.raises(ConfigError, match=r"the good answer 'It is blue' stands nowhere in the 2 records"):
        propose(rows, long[:10])


@pytest.mark.parametrize(
    ("good", "bad", "message"),
    [
        ("never", "no", "the good answer 'never' stands nowhere in the 3 records"),
        ("yes", " ", "the bad answer is empty"),
        ("yes", "yes", "no mapping found that makes the one answer good and the other bad"),
    ],
)
def test_what_cannot_be_found_is_said(good: str, bad: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        propose(VOTES, good, bad)


def test_an_answer_that_another_begins_with_is_itself() -> None:
    """`... number 1` is also how `... number 10` begins, which was judged otherwise."""
    records = [
        {"id": number, "q": f"q{number}", "a": f"This is the answer number {number}", "ok": number % 3 == 1}
        for number in range(1, 13)
    ]
    records[9]["ok"] = False
    found = propose(records, "This is the answer number 1", "This is the answer number 2")
    assert found.options["verdict"] == {"label": "ok", "good": [True], "bad": [False]}


def test_names_of_any_kind_are_quoted_where_they_must_be() -> None:
    rows = [{"the prompt.": "what is it", "my [answer]": text, 'ver"dict': text == "yes"} for text in ("yes", "no")]
    found = propose(rows)
    assert found.options["candidates"] == {"c": '"my [answer]"'}
    assert found.options["verdict"]["label"] == '"ver\\"dict"'
    assert counts(found) == (1, 1)


@pytest.mark.parametrize(
    ("place", "path"),
    [((), "."), (("a", "b"), "a.b"), (("a", 0, "b c"), "a[0].b c"), (("a.b", "$"), '"a.b"."$"'), (("#",), '"#"')],
)
def test_a_place_is_written_in_the_language_of_paths(place: tuple[str | int, ...], path: str) -> None:
    assert path_of(place) == path


def test_names_are_told_apart_by_their_words() -> None:
    assert tokens("human_ref_A") == ["human", "ref", "a"]
    assert tokens("response1") == ["response", "1"]
    assert tokens("modelB-score") == ["model", "b", "score"]


def test_a_side_under_a_quoted_name_is_found_where_it_stands() -> None:
    rows = [{"prompt": "what is it", "a.chosen": f"yes{n}", "a.rejected": f"no{n}"} for n in range(3)]
    found = propose(rows, "yes0", "no0")
    assert (counts(found), found.options["verdict"], found.questions) == ((3, 3), {"good": "g", "bad": "b"}, ())
