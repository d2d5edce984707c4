"""A file that nothing reads gets a draft: what its names suggest, and what only its owner can say."""

from __future__ import annotations

from typing import Any

import pytest

from ktoformats import ConfigError, Registry
from ktoformats.convert.presets import load_preset
from ktoformats.propose.shape import OPEN, by_shape

CHAT = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "yes"}]

DRAFTS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {
    "votes": (
        {"input": "q q", "output_1": "yes", "output_2": "no", "label": 1},
        {
            "prompt": "input",
            "candidates": {"a": "output_1", "b": "output_2"},
            "verdict": {"winner": "label", "a": [OPEN], "b": [OPEN]},
        },
        "which values say that the one answer won",
    ),
    "a rank": (
        {"question": "q q", "answers": [{"text": "yes", "rank": 1}, {"text": "no", "rank": 2}]},
        {
            "prompt": "question",
            "candidates": {"each": "answers", "text": "text"},
            "verdict": {"rank": "rank", "best": OPEN},
        },
        "is the lowest rank the best",
    ),
    "a list beside": (
        {"prompt": "q q", "outputs": ["yes", "no"], "scores": [0.3, 4]},
        {
            "prompt": "prompt",
            "candidates": {"each": "outputs", "text": "."},
            "verdict": {"label": "$.scores[#]", "good": [OPEN], "bad": [OPEN]},
        },
        "which values are good",
    ),
    "good and bad names": (
        {"query": "q q", "preferred_reply": "yes", "dispreferred_reply": "no"},
        {
            "prompt": "query",
            "candidates": {"g": "preferred_reply", "b": "dispreferred_reply"},
            "verdict": {"good": "g", "bad": "b"},
        },
        "",
    ),
    "no verdict": (
        {"messages": CHAT, "session": "abc"},
        {"candidates": {"c": {"conversation": "messages"}}, "verdict": OPEN},
        "who judged, and where does it stand",
    ),
}


@pytest.mark.parametrize("name", DRAFTS)
def test_a_draft_asks_what_it_cannot_know(name: str) -> None:
    record, options, question = DRAFTS[name]
    varied = {key: {"label": 2}.get(key, value) for key, value in record.items()}
    draft = by_shape([record, varied])
    assert draft is not None
    assert draft.options == options
    assert question in " ".join(draft.questions)
    assert all(text.strip() for text in draft.questions)


@pytest.mark.parametrize(
    "name", [name for name, (_, options, _) in DRAFTS.items() if OPEN in str(options["verdict"])]
)
def test_a_draft_with_gaps_reads_nothing(name: str) -> None:
    options = DRAFTS[name][1]
    if options["verdict"] == OPEN or OPEN in (options["verdict"].get("best"), options["verdict"].get("cut")):
        with pytest.raises(ConfigError, match="verdict"):
            Registry().make("format", "mapping", options, {})
    else:  # its placeholder is no value of the file, so each record is refused
        assert options["verdict"].keys() & {"good", "a"}


@pytest.mark.parametrize("records", [[], [[1]], [{}], [{"a": 1, "b": None}], [{"text": ""}], ["x"]])
def test_where_nothing_looks_like_an_answer_there_is_no_draft(records: list[Any]) -> None:
    assert by_shape(records) is None


def test_every_published_layout_gets_a_draft_or_none() -> None:
    registry = Registry()
    drafted = 0
    for one in registry.presets():
        draft = by_shape(load_preset(registry, one.name).about.example)
        drafted += draft is not None
        assert draft is None or {"candidates", "verdict"} <= draft.options.keys()
    assert drafted > 45


def test_a_deep_record_is_walked_no_deeper_than_is_sane() -> None:
    deep: Any = "yes"
    for _ in range(500):
        deep = {"answer": deep}
    assert by_shape([{"response": "yes", "label": deep}]) is not None
