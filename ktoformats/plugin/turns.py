"""Conversations as people store them, read into one shape.

The rules: a greeting by the assistant may come first; an empty system message is none; an assistant turn that
only calls a tool and the tool's answer are transparent; two other user or assistant turns in a row are malformed;
whatever follows the judged turn is ignored by whoever cuts the turns there.
"""

from __future__ import annotations

from typing import Any, Final

import orjson

from ktoformats.errors import RecordError
from ktoformats.feedback import Context, Message, Response

Dialogue = tuple[str, list[Message]]
"""A system text (empty where there is none) and the turns after it."""

MAX_TURNS: Final = 2000
ROLES: Final[dict[str, str]] = {
    **dict.fromkeys(("user", "human", "prompter"), "user"),
    **dict.fromkeys(("assistant", "gpt", "model", "chatbot", "bot"), "assistant"),
    **dict.fromkeys(("system", "developer"), "system"),
    **dict.fromkeys(("tool", "observation", "function", "function_response"), "tool"),
    "function_call": "function_call",
}
"""Names of roles in published data, by the role they mean."""

_PLAIN_KEYS: Final = 2
_PLAIN_ROLES: Final = ("user", "assistant", "system")  # a tuple: a role may be anything, also unhashable
_PARTS_OF_TEXT: Final = frozenset({"text", "input_text", "output_text"})


def read_messages(value: Any, field: str) -> Dialogue:
    """Read a list of messages, or of `[user, assistant]` pairs, into a system text and turns.

    Args:
        value: The raw list: `{"role", "content"}` or `{"from", "value"}` objects, or pairs of texts.
        field: Its path, for errors.

    Returns:
        The system text (empty where there is none) and the other turns in order.

    Raises:
        RecordError: A role is unknown, a turn empty or not text, the system message not first, or the turns
            are out of order.
    """
    if type(value) is not list:
        raise RecordError("wrong_type", "expected a list of messages", field=field)
    if len(value) > MAX_TURNS:
        raise RecordError("too_many_turns", f"{len(value)} turns, at most {MAX_TURNS}", field=field)
    if value and type(value[0]) is list:
        turns = _read_pairs(value, field)
        if len(turns) > MAX_TURNS:
            raise RecordError("too_many_turns", f"{len(turns)} turns, at most {MAX_TURNS}", field=field)
    else:
        turns = [_plain_message(item) or _read_message(item, f"{field}[{i}]") for i, item in enumerate(value)]
    system = ""
    if turns and turns[0].role == "system":
        system = turns.pop(0).content
    check_order(turns, field, offset=len(value) - len(turns) if type(value[:1] or None) is list else 0)
    return system, turns


def _read_pairs(value: list[Any], field: str) -> list[Message]:
    turns = []
    for number, pair in enumerate(value):
        if type(pair) is not list or len(pair) != 2 or not all(type(side) is str for side in pair):  # noqa: PLR2004
            raise RecordError("wrong_type", "expected a pair [user, assistant] of texts", field=f"{field}[{number}]")
        turns += [Message("user", pair[0]), Message("assistant", pair[1])]
    return turns


def _plain_message(item: Any) -> Message | None:
    """A role, a text and nothing else: nearly every message there is."""
    if type(item) is dict and len(item) == _PLAIN_KEYS:
        role, content = item.get("role"), item.get("content")
        if type(content) is str and role in _PLAIN_ROLES:
            return Message(role, content)
    return None


def _read_message(item: Any, path: str) -> Message:
    if type(item) is not dict:
        raise RecordError("wrong_type", "expected a message (an object with role and content)", field=path)
    raw_role = item.get("role", item.get("from"))
    role = ROLES.get(raw_role.lower()) if type(raw_role) is str else None
    if role is None:
        raise RecordError("unknown_role", f"role {raw_role!r}; known are {', '.join(ROLES)}", field=path)
    content = item.get("content", item.get("value"))
    calls = as_json(item.get("tool_calls") or item.get("function_call"), path)
    if type(content) is not str:
        content = _text_of(content, path, has_calls=bool(calls))
    if role == "function_call":  # ShareGPT keeps the call as the turn's text
        return Message("assistant", "", tool_calls=content)
    reasoning = item.get("reasoning_content", item.get("reasoning"))
    return Message(
        role,
        content,
        reasoning if type(reasoning) is str else "",
        calls,
        _text_or_empty(item.get("tool_call_id")),
        _text_or_empty(item.get("name")),
    )


def _text_of(content: Any, path: str, *, has_calls: bool) -> str:
    if content is None:
        if has_calls:
            return ""
        raise RecordError("empty_turn", "content is null and there are no tool calls", field=path)
    if type(content) is not list:
        raise RecordError("wrong_type", "expected content to be a text or a list of text parts", field=path)
    texts = []
    for part in content:
        if type(part) is str:
            texts.append(part)
            continue
        text = part.get("text", part.get("value")) if type(part) is dict else None
        if type(text) is str and part.get("type", "text") in _PARTS_OF_TEXT:
            texts.append(text)
        else:
            kind = part.get("type") if type(part) is dict else type(part).__name__
            raise RecordError("multimodal", f"a content part of type {kind!r}; only text can be read", field=path)
    return "".join(texts)


def _text_or_empty(value: Any) -> str:
    return value if type(value) is str else ""


def check_order(turns: list[Message], field: str, offset: int = 0) -> None:
    """Refuse turns out of order and empty ones.

    Raises:
        RecordError: `role_order` or `empty_turn`; the field names the turn, counted from `offset`.
    """
    before = ""
    for number, turn in enumerate(turns, start=offset):
        role = turn.role
        if role == "system":
            raise RecordError("role_order", "a system message after the first turn", field=f"{field}[{number}]")
        if not turn.content and not turn.tool_calls and role != "tool":
            raise RecordError("empty_turn", f"the {role} turn has no text", field=f"{field}[{number}]")
        if role == "tool":
            before = ""  # the assistant goes on after a tool's answer, also when it said something before the call
            continue
        if turn.tool_calls and not turn.content:
            continue
        if role == before:
            raise RecordError("role_order", f"two {role} turns in a row", field=f"{field}[{number}]")
        before = role


def with_system(dialogue: Dialogue, system: str, field: str, column: str) -> Dialogue:
    """A dialogue under the system text of another column, which a system message of its own must repeat.

    Raises:
        RecordError: `prompt_mismatch`: they differ.
    """
    found, turns = dialogue
    if found and system and found != system:
        raise RecordError("prompt_mismatch", f"the system message differs from column {column!r}", field=field)
    return found or system, turns


def after(earlier: Dialogue, turns: list[Message], field: str) -> Dialogue:
    """Earlier turns and those that follow; the user turn that follows may be repeated at the end of the earlier ones.

    Raises:
        RecordError: `prompt_mismatch`: the earlier ones end in another user turn; `field` is theirs.
    """
    system, before = earlier
    if before and turns and before[-1].role == turns[0].role == "user":
        if before[-1].content != turns[0].content:
            message = f"ends in another user turn than the prompt {turns[0].content[:60]!r}"
            raise RecordError("prompt_mismatch", message, field=field)
        before = before[:-1]
    return system, [*before, *turns]


def context_of(dialogue: Dialogue, field: str, tools: str = "") -> Context:
    """The context that these turns are, which must end in a user turn (or a tool's answer).

    Raises:
        RecordError: There is no user turn, or an assistant turn comes last.
    """
    system, turns = dialogue
    prompt = next((turn.content for turn in reversed(turns) if turn.role == "user"), None)
    if prompt is None:
        raise RecordError("role_order", "no user turn before the answer", field=field)
    if turns[-1].role == "assistant":
        raise RecordError(
            "role_order", "ends in an assistant turn, expected a user turn before the answer", field=field
        )
    return Context(prompt, system, tuple(turns) if len(turns) > 1 else (), tools)


def answer_of(dialogue: Dialogue, field: str, tools: str = "") -> Response:
    """The answer that these turns end in; turns before it become its own context.

    Raises:
        RecordError: The last turn is not the assistant's.
    """
    system, turns = dialogue
    if not turns or turns[-1].role != "assistant":
        last = f"a {turns[-1].role} turn" if turns else "nothing"
        raise RecordError("role_order", f"ends in {last}, expected the assistant's answer", field=field)
    answer = turns[-1]
    context = context_of((system, turns[:-1]), field, tools) if len(turns) > 1 else None
    return Response(answer.content, answer.reasoning, answer.tool_calls, context)


def answer_at(dialogue: Dialogue, place: int, field: str, tools: str = "") -> Response | None:
    """The answer at a place among the turns, with what precedes it as its context; None for a greeting.

    Raises:
        RecordError: The turn is not the assistant's.
    """
    system, turns = dialogue
    until = turns[: place + 1]
    if until and until[-1].role == "assistant" and all(turn.role != "user" for turn in until):
        return None  # it answers nothing
    return answer_of((system, until), field, tools)


def joined(own: Context | None, shared: Context | None) -> Context | None:
    """The context that an answer brings, with what the record says besides.

    Raises:
        RecordError: `prompt_mismatch`: they contradict each other, and nobody knows which one counts.
    """
    if own is None or shared is None or own is shared:
        return own or shared
    for what, one, other in zip(("user turn", "system message", "history"), own, shared, strict=False):
        if one != other and ((one and other) or what == "user turn"):
            message = f"the answer is a conversation with another {what} than the one beside it; keep one of the two"
            raise RecordError("prompt_mismatch", message, field="prompt")
    return own._replace(
        system=own.system or shared.system,
        conversation=own.conversation or shared.conversation,
        tools=own.tools or shared.tools,
    )


def as_json(value: Any, field: str = "tools") -> str:
    """Tools and tool calls as JSON text: a text stays as it is, null and empty become an empty text.

    Raises:
        RecordError: It is neither a text, a list nor an object.
    """
    if value is None or value in ("", [], {}):
        return ""
    if type(value) is str:
        return value
    if type(value) not in (list, dict):
        raise RecordError("wrong_type", f"expected a list, an object or JSON text, got {value!r:.40}", field=field)
    return orjson.dumps(value).decode()
