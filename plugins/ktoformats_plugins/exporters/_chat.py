"""Conversations as lists of messages of two texts each, calls of tools among them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from ktoformats import to_trl_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa


class Roles(NamedTuple):
    """How a trainer calls turns that are neither asked nor answered."""

    call: str
    """A turn that calls tools; its content is JSON."""
    result: str
    """What a tool gave."""
    together: bool
    """Several calls are a list in one turn; else each is a turn."""


PLAIN: Final = Roles("assistant", "tool", together=True)
"""For samples without tools."""


class Chat(NamedTuple):
    """One sample."""

    context: list[dict[str, str]]
    answer: list[dict[str, str]]
    """One message, or several calls."""
    label: bool
    tools: str
    """A JSON list as text."""


def chats(batches: Iterable[pa.RecordBatch], roles: Roles = PLAIN) -> Iterator[Chat]:
    """The samples as messages of `role` and `content`."""
    for batch in batches:
        for row in to_trl_rows(batch, "conversational", tools=True):
            context = [made for turn in row["prompt"] for made in _turns(turn, roles)]
            answer = [made for turn in row["completion"] for made in _turns(turn, roles)]
            yield Chat(context, answer, row["label"], row["tools"])


def whole_chat(chat: Chat, *, tools: bool, none: str = "[]") -> dict[str, Any]:
    """A row of all messages, the judged answer last; `tools` in every row, or in none.

    Args:
        chat: The sample.
        tools: Whether there is a column of tools.
        none: What stands there in a row that has no tools.
    """
    row = {"messages": [*chat.context, *chat.answer], "label": chat.label}
    return {**row, "tools": none if chat.tools == "[]" else chat.tools} if tools else row


def _turns(message: dict[str, Any], roles: Roles) -> list[dict[str, str]]:
    calls = [_call(one["function"]) for one in message.get("tool_calls", ())]
    if calls:
        contents = [calls] if roles.together else calls
        return [{"role": roles.call, "content": orjson.dumps(content).decode()} for content in contents]
    role = roles.result if message["role"] == "tool" else message["role"]
    return [{"role": role, "content": message["content"]}]


def _call(function: dict[str, str]) -> dict[str, Any]:
    """A call with its arguments as an object, if they are one."""
    try:
        arguments = orjson.loads(function["arguments"])
    except orjson.JSONDecodeError:
        arguments = function["arguments"]
    return {"name": function["name"], "arguments": arguments}
