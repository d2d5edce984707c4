from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import pytest

FIXTURE = Path(__file__).parents[2] / "fixtures" / "arabic" / "pico_saudi.json"


class Answer(NamedTuple):
    question: str
    model: str
    text: str
    thought: str
    """The reasoning that DeepSeek-R1 wrote for this question, in English."""


@pytest.fixture(scope="session")
def answers() -> list[Answer]:
    """Twelve Arabic questions, each answered by four models of very different quality."""
    questions = json.loads(FIXTURE.read_text(encoding="utf-8"))["questions"]
    return [
        Answer(question["question"], model, text, question["thought"])
        for question in questions
        for model, text in question["answers"].items()
    ]
