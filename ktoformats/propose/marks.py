"""Transcripts: which marks begin the turns of a text."""

from __future__ import annotations

import re
from typing import Any, Final

KNOWN: Final[tuple[dict[str, Any], ...]] = (
    {"user": "\n\nHuman:", "assistant": "\n\nAssistant:"},
    {
        "system": "<extra_id_0>System\n",
        "user": "<extra_id_1>User\n",
        "assistant": "<extra_id_1>Assistant\n",
        "end": ["\n<extra_id_1>", "\n<extra_id_2>"],
    },
    {
        "system": "<|im_start|>system\n",
        "user": "<|im_start|>user\n",
        "assistant": "<|im_start|>assistant\n",
        "end": ["<|im_end|>\n", "<|im_end|>"],
    },
    {"system": "<|system|>\n", "user": "<|user|>\n", "assistant": "<|assistant|>\n", "end": ["</s>\n", "</s>"]},
    {"user": "### Human:", "assistant": "### Assistant:"},
    {"user": "### Instruction:", "assistant": "### Response:"},
    {"user": "USER:", "assistant": "ASSISTANT:"},
    {"user": "<|user|>", "assistant": "<|assistant|>"},
    {"user": "<|prompter|>", "assistant": "<|assistant|>", "end": ["<|endoftext|>"]},
)
"""Marks that published data uses, in the words of a mapping's `marks`."""

_SPEAKER: Final = r"(\n*[^\n:]{1,24}:)"
_FIRST: Final = re.compile(_SPEAKER)
_LAST: Final = re.compile(_SPEAKER + r"\s*\Z")


def marks_before(text: str) -> dict[str, Any] | None:
    """The marks of a transcript that ends where an answer would begin; None where it shows none."""
    for marks in KNOWN:
        if marks["user"] in text and marks["assistant"] in text:
            return dict(marks)
    first, last = _FIRST.match(text), _LAST.search(text)
    if first and last and first[1].strip() != last[1].strip():
        return {"user": first[1], "assistant": last[1]}
    return None


def marks_in(text: str) -> dict[str, Any] | None:
    """Known marks in a text that stands for a whole dialogue, or for what came before an answer."""
    return next((dict(marks) for marks in KNOWN if text.lstrip().startswith(_starts(marks))), None)


def _starts(marks: dict[str, Any]) -> tuple[str, ...]:
    return tuple(marks[role].lstrip() for role in ("user", "system") if role in marks)
