"""Dialogues with a verdict: about a separate response, about the last answer, or about each turn."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from ktoformats import (
    Claim,
    Dialogue,
    DialogueLayout,
    Fact,
    Format,
    Plugin,
    RecordError,
    Row,
    Shape,
    Unjudged,
    answer_at,
    answer_of,
    claim_of,
    context_of,
    hookimpl,
    or_error,
)
from ktoformats_plugins.formats._verdicts import SCALES, has_verdict, judged, only_verdict, verdict_in

if TYPE_CHECKING:
    from collections.abc import Iterator


class Conversation(Format):
    """A conversation (or messages) with `response` and label, a label on the last answer, or one per answer."""

    examples = (
        (
            {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "label": True},
            [("q", "a", "good")],
        ),
        (
            {"conversation": [{"role": "user", "content": "q"}], "response": "a", "label": "bad"},
            [("q", "a", "bad")],
        ),
        (
            {
                "messages": [
                    {"role": "user", "content": "q"},
                    {"role": "assistant", "content": "a", "rating": 5},
                    {"role": "user", "content": "r"},
                    {"role": "assistant", "content": "b", "rating": 1},
                ]
            },
            [("q", "a", "good"), ("r", "b", "bad")],
        ),
    )

    default_scales: ClassVar[tuple[str, ...]] = SCALES

    def claim(self, shape: Shape) -> Claim:
        """A list of messages and a verdict, in the record or in its turns."""
        columns = shape.columns
        field = shape.any_of(columns.messages, columns.conversation)
        if field is None:
            return Claim(0, f"no column {columns.messages!r} or {columns.conversation!r}")
        response = shape.any_of(*columns.answers)
        if response is not None and columns.prompt in shape:
            return Claim(0, f"has both {columns.prompt} and {response}: the conversation is only history")
        verdict = verdict_in(shape)
        if verdict is not None:
            return claim_of(field, verdict) if response is None else claim_of(field, verdict, response)
        if shape.items.get(field, frozenset()) & set(columns.verdicts):
            return Claim(2, f"has {field} with verdicts in its turns", (field,))
        return Claim(0, f"no verdict column ({', '.join(columns.verdicts)}) in the record or its turns")

    def layout(self, shape: Shape) -> DialogueLayout | None:
        """Plain messages, the last of which one verdict is about."""
        columns, verdict = shape.columns, only_verdict(shape)
        field = next(filter(shape.holds, (columns.messages, columns.conversation)), columns.messages)
        plain = shape.kind_in(field) == "object" and set(shape.items[field]) == {"role", "content"}
        others = any(map(shape.holds, (*columns.answers, columns.system, columns.tools)))
        if verdict is None or not plain or others or shape.items[field] & set(columns.verdicts):
            return None
        return DialogueLayout(field, *verdict)

    def facts(self, row: Row) -> Iterator[Fact]:
        """One judged answer, or one for each turn that has a verdict."""
        columns = row.columns
        field = row.first(columns.messages, columns.conversation) or columns.messages
        dialogue, raw = row.dialogue(field), row[field]
        in_turns = any(type(turn) is dict and has_verdict(turn, columns) for turn in raw)
        if in_turns:
            yield from _each_turn(row, raw, dialogue, field)
        if not in_turns or row.first(*columns.verdicts) is not None:
            yield _whole(row, dialogue, field)


def _whole(row: Row, dialogue: Dialogue, field: str) -> Fact:
    """The record's own verdict: about its response, else about the last turn."""
    _, turns = dialogue
    if row.first(*row.columns.answers) is None:
        answer = answer_of(dialogue, field, row.tools())
        if answer.context is None:
            raise RecordError("role_order", "no user turn before the answer", field=field)
        return judged(row, None, answer)
    if turns and turns[-1].role == "assistant":
        # the response is judged as another answer to the last user turn
        while turns and turns[-1].role != "user":
            turns.pop()
        row.notices.append("trailing_answer")
    return judged(row, context_of(dialogue, field, row.tools()), row.response())


def _each_turn(row: Row, raw: list[Any], dialogue: Dialogue, field: str) -> Iterator[Fact]:
    """The turns that carry a verdict, each with what precedes it as context; a bad one costs itself alone."""
    leading = len(raw) - len(dialogue[1])  # a system message in front
    for number, turn in enumerate(raw):
        if not has_verdict(turn, row.columns):
            continue
        path, place = f"{field}[{number}]", number - leading
        is_answer = place >= 0 and dialogue[1][place].role == "assistant"
        if all(turn.get(name) is None for name in row.columns.verdicts):
            if is_answer:
                yield Unjudged("null_verdict")
        elif not is_answer:
            error = RecordError("role_order", "a verdict on a turn that is no answer", field=path)
            yield judged(row, None, error, turn, path)
        else:
            answer = or_error(answer_at, dialogue, place, path, row.tools())
            # a greeting answers nothing
            yield Unjudged("null_verdict") if answer is None else judged(row, None, answer, turn, path)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Conversation]
