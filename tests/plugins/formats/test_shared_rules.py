"""Formats written by hand and mappings keep the same rules: the same record read by both comes to the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

OWN = {"system": "system", "tools": "tools"}
LABEL = {"label": "label", "scale": "specification"}
SIDES = {"good": "chosen", "bad": "rejected"}
MAPPINGS: dict[str, tuple[str, dict[str, Any]]] = {
    "text": ("binary", OWN | {"prompt": "prompt", "candidates": {"answer": "response"}, "verdict": LABEL}),
    "history": (
        "binary",
        OWN | {"prompt": "prompt", "history": "conversation", "candidates": {"answer": "response"}, "verdict": LABEL},
    ),
    "messages": (
        "binary",
        OWN | {"prompt": {"messages": "prompt"}, "candidates": {"answer": {"message": "response"}}, "verdict": LABEL},
    ),
    "whole": ("conversation", OWN | {"candidates": {"answer": {"conversation": "messages"}}, "verdict": LABEL}),
    "turns": ("conversation", OWN | {"candidates": {"each_turn": "messages"}, "verdict": LABEL}),
    "pair": (
        "pairwise",
        OWN | {"candidates": {side: {"conversation": side} for side in ("chosen", "rejected")}, "verdict": SIDES},
    ),
    "pair beside a prompt": (
        "pairwise",
        OWN
        | {
            "prompt": "prompt",
            "candidates": {side: {"conversation": side} for side in ("chosen", "rejected")},
            "verdict": SIDES,
        },
    ),
}


def chat(*texts: str, system: str = "", **more: Any) -> list[dict[str, Any]]:
    turns = [{"role": ("user", "assistant")[at % 2], "content": text} for at, text in enumerate(texts)]
    turns[-1].update(more)
    return [{"role": "system", "content": system}, *turns] if system else turns


GREETING = {"role": "assistant", "content": "hello", "label": 1}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"id": "1"}]}
ONE = {"prompt": "q", "response": "a", "label": 1}

RECORDS: list[tuple[str, dict[str, Any]]] = [
    ("text", ONE | {"system": "s", "tools": [{"name": "f"}]}),
    ("text", ONE | {"system": 5}),
    ("text", ONE | {"tools": 5}),
    ("text", ONE | {"response": None}),
    ("text", ONE | {"prompt": None}),
    ("text", ONE | {"prompt": 7}),
    ("history", ONE | {"conversation": chat("p", "r")}),
    ("history", ONE | {"conversation": [["p", "r"]]}),
    ("history", ONE | {"conversation": chat("p", "r", "q")}),
    ("history", ONE | {"conversation": chat("p", "r", "other")}),
    ("history", ONE | {"conversation": chat("p", "r", system="s")}),
    ("history", ONE | {"conversation": chat("p", "r", system="s"), "system": "s"}),
    ("history", ONE | {"conversation": chat("p", "r", system="s"), "system": "t"}),
    ("messages", ONE | {"prompt": chat("p", "r", "q", system="s")}),
    ("messages", ONE | {"prompt": chat("q", system="s"), "system": "t"}),
    ("messages", ONE | {"prompt": chat("q"), "system": "t", "response": chat("q", "a")[1:]}),
    ("messages", ONE | {"prompt": chat("q", "a")}),
    ("whole", {"messages": chat("p", "r", "q", "a"), "label": 1, "system": "s", "tools": "[]"}),
    ("whole", {"messages": chat("q", "a", system="s"), "label": 1, "system": "t"}),
    ("whole", {"messages": chat("q"), "label": 1}),
    ("whole", {"messages": [*chat("q"), CALL, {"role": "tool", "content": "4"}, *chat("q", "a")[1:]], "label": 1}),
    ("turns", {"messages": [*chat("p", "r", label=0), *chat("q", "a", label=1)]}),
    ("turns", {"messages": [*chat("p", "r", label=None, system="s"), *chat("q", "a", label=1)], "system": "s"}),
    ("turns", {"messages": chat("q", "a", label=1, system="s"), "system": "t"}),
    ("turns", {"messages": [GREETING, *chat("q", "a", label=1)]}),
    ("turns", {"messages": [CALL, {"role": "tool", "content": "4"}, GREETING, *chat("q", "a", label=1)]}),
    ("turns", {"messages": [*chat("q"), CALL, GREETING, *chat("p", "r", label=1)]}),
    ("pair", {"chosen": chat("q", "a"), "rejected": chat("q", "b"), "system": "s", "tools": [{"name": "f"}]}),
    ("pair", {"chosen": chat("q", "a", system="s"), "rejected": chat("q", "b"), "system": "t"}),
    ("pair", {"chosen": [GREETING, *chat("q", "a")], "rejected": chat("p", "b"), "system": "s"}),
    ("pair", {"chosen": [["q", "a"]], "rejected": [["q", "b"]]}),
    ("pair", {"chosen": chat("q", "a"), "rejected": chat("q")}),
    ("pair beside a prompt", {"prompt": "q", "chosen": chat("q", "a"), "rejected": chat("p", "r", "q", "b")}),
    ("pair beside a prompt", {"prompt": "q", "chosen": chat("other", "a"), "rejected": chat("q", "b")}),
    ("pair beside a prompt", {"prompt": "q", "system": "s", "chosen": chat("q", "a"), "rejected": chat("q", "b")}),
]


@pytest.mark.parametrize(("name", "record"), RECORDS, ids=lambda value: value if isinstance(value, str) else "")
def test_a_record_comes_to_the_same(load: Callable[..., Any], name: str, record: dict[str, Any]) -> None:
    kind, mapping = MAPPINGS[name]
    sound = {"text": ONE, "history": ONE, "messages": ONE | {"prompt": chat("q")}}.get(
        name,
        {"messages": chat("q", "sound", label=1), "label": 1, "chosen": chat("q", "x"), "rejected": chat("q", "y")},
    ) | ({"prompt": "q"} if name == "pair beside a prompt" else {})
    found = [
        (
            [
                (one["prompt"], one["response"], one["label"], one["system"], one["tools"], one["conversation"])
                for one in samples
            ],
            loader.report.total.rejected,
            loader.report.total.candidates_lost,
            loader.report.total.without_verdict,
        )
        for samples, loader in (load([record, sound], formats=[one]) for one in (kind, {"mapping": mapping}))
    ]
    assert found[0] == found[1]
    assert found[0][0]


def test_a_side_may_be_a_conversation_that_a_greeting_begins(load: Callable[..., Any]) -> None:
    """The record's system text is its context as well."""
    [good, _], _ = load([{"chosen": [GREETING, *chat("q", "a")], "rejected": chat("q", "b"), "system": "s"}])
    assert (good["system"], [turn["content"] for turn in good["conversation"]]) == ("s", ["hello", "q"])


def test_an_answer_with_another_system_message_than_the_record_is_lost(load: Callable[..., Any]) -> None:
    other = [{"role": "system", "content": "t"}, {"role": "assistant", "content": "a"}]
    samples, loader = load([{"prompt": "q", "system": "s", "chosen": other, "rejected": "b"}])
    assert [one["label"] for one in samples] == ["bad"]
    assert loader.report.total.candidates_lost == {"prompt_mismatch": 1}


def test_scores_written_as_texts_give_the_margin(load: Callable[..., Any]) -> None:
    scores = {"score_chosen": "0.6", "score_rejected": "0.5"}
    samples, loader = load(
        [{"prompt": "q", "chosen": "a", "rejected": "b"} | scores, {"prompt": "p", "chosen": "a", "rejected": "b"}],
        min_gap=0.5,
    )
    assert {one["prompt"] for one in samples} == {"p"}
    assert loader.report.total.without_verdict == {"small_gap": 1}


def test_a_null_completion_is_named_where_the_response_is_absent(load: Callable[..., Any]) -> None:
    records = [{"prompt": "س", "completion": cell, "تقييم": 5} for cell in (None, "ج")]
    _, loader = load(records)
    assert loader.report.total.rejected == {"null_field": 1}
