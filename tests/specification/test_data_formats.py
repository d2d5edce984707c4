"""The data formats of the specification give exactly the samples its text says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TEXT = (Path(__file__).parents[1] / "fixtures" / "specification.md").read_text(encoding="utf-8")
KEYS = ("prompt", "response", "label")


def records(heading: str, block: int = 0) -> list[dict[str, Any]]:
    """The records of a `jsonl` block under a heading; the last format is printed over several lines."""
    section = re.search(rf"^### {re.escape(heading)}$(.*?)(?=^##)", TEXT, re.DOTALL | re.MULTILINE)
    if section is None:
        raise LookupError(heading)
    text = re.findall(r"```jsonl\n(.*?)```", section[1], re.DOTALL)[block]
    if text.startswith("{\n"):
        return [json.loads(text)]
    return [json.loads(line) for line in text.splitlines()]


def picked(samples: list[dict[str, Any]], keys: tuple[str, ...] = KEYS) -> list[tuple[Any, ...]]:
    return [tuple(sample[key] for key in keys) for sample in samples]


def test_binary_feedback(load: Callable[..., Any]) -> None:
    given = records("1. Binary Feedback Format")
    samples, _ = load(given)
    assert picked(samples) == [(r["prompt"], r["response"], r["label"]) for r in given]
    assert {(s["preference_type"], s["format_type"], s["method"]) for s in samples} == {("binary", "binary", "kto")}


def test_numeric_scores(load: Callable[..., Any]) -> None:
    given = records("2. Numeric Score Format")
    samples, _ = load(given)
    assert [s["label"] for s in samples] == ["good", "bad", "good"]  # 0.8, 0.3 of one; 4 of five
    assert picked(samples, KEYS[:2]) == [(r["prompt"], r["response"]) for r in given]


def test_alternative_labels(load: Callable[..., Any]) -> None:
    given = records("3. Alternative Label Formats")
    samples, _ = load(given)
    assert picked(samples) == [
        (r["prompt"], r["response"], label) for r, label in zip(given, ("good", "bad", "good", "bad"), strict=True)
    ]


def test_pairs(load: Callable[..., Any]) -> None:
    """The converted samples are printed in the specification."""
    given = records("4. Pairwise Format (Converted to Binary)")
    expected = records("4. Pairwise Format (Converted to Binary)", block=1)
    samples, _ = load(given)
    assert [{key: sample[key] for key in expected[0]} for sample in samples] == expected


def test_conversation(load: Callable[..., Any]) -> None:
    """The response is another answer to the last user turn; the trailing answer stays out of the context."""
    [given] = records("5. Conversation Format")
    [sample], loader = load([given])
    assert picked([sample]) == [("ما هي فوائد القراءة؟", given["response"], "good")]
    assert sample["system"] == "أنت مساعد ذكي ومفيد."
    assert sample["conversation"] == []
    assert sample["preference_type"] == "binary"
    assert loader.report.total.notices["trailing_answer"] == 1


def test_every_sample_has_the_same_keys_and_no_none(load: Callable[..., Any]) -> None:
    given = [*records("1. Binary Feedback Format"), *records("4. Pairwise Format (Converted to Binary)")]
    given += records("5. Conversation Format")
    samples, _ = load(given, keep=["note"])
    assert len({tuple(sample) for sample in samples}) == 1
    assert all(value is not None for sample in samples for value in sample.values())
    assert {"prompt", "response", "label", "utility_score", "response_quality", "method", "format_type"} <= set(
        samples[0]
    )


def test_configured_column_names(load: Callable[..., Any]) -> None:
    given = [
        {"سؤال": "س", "answer": "ج", "feedback": "good"},
        {"سؤال": "س", "answer": "خ", "feedback": False, "label": "good"},
    ]
    samples, _ = load(given, prompt_column="سؤال", response_column="answer", label_column="feedback")
    assert picked(samples) == [("س", "ج", "good"), ("س", "خ", "bad")]
