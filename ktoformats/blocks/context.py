"""What stood before an answer: a text, a template, messages, a transcript, parallel lists; system and history."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import model_validator

from ktoformats.blocks.path import MISSING, Scope, read_path
from ktoformats.blocks.spec import PathText, Spec, one_of, path
from ktoformats.errors import RecordError
from ktoformats.feedback import Context, Message
from ktoformats.plugin.turns import as_json, context_of, read_messages

if TYPE_CHECKING:
    from ktoformats.blocks.chat import Chat, Dialogue, Marks

_FIELD: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


class Template(Spec):
    """A text with paths in braces; a line whose fields are all empty is dropped."""

    text: str
    when: PathText | None = None
    """Only where this path holds something; the first template of a list that applies is taken."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _fields_are_paths(self) -> Template:
        if not any(paths for _, paths in self._lines):
            raise ValueError(f"the template {self.text!r} names no field; write paths in braces")
        return self

    @cached_property
    def _lines(self) -> list[tuple[str, list[str]]]:
        lines = [(line, [name for name in _FIELD.findall(line) if name]) for line in self.text.split("\n")]
        for _, paths in lines:
            for name in paths:
                read_path(name)
        return lines

    def applies(self, scope: Scope) -> bool:
        """Whether its condition, if it has one, holds."""
        return self.when is None or bool(_text_of(path(self.when).read(scope), self.when))

    def fill(self, scope: Scope) -> str:
        """The text with its fields filled in."""
        lines = []
        for line, paths in self._lines:
            values = [_text_of(path(name).read(scope), name) for name in paths]
            if paths and not any(values):
                continue
            rest = iter(values)
            lines.append(_FIELD.sub(lambda found, rest=rest: next(rest) if found[1] else found[0][0], line))  # type: ignore[misc]
        return "\n".join(lines)


def _text_of(value: Any, field: str) -> str:
    if value is MISSING or value is None:
        return ""
    if type(value) in (int, float):
        return str(value)
    if type(value) is not str:
        raise RecordError("wrong_type", f"expected a text, got {type(value).__name__}", field=field)
    return value


class Turns(Spec):
    """Two parallel lists of texts, the user's one longer where the answer is not among them."""

    user: PathText
    assistant: PathText

    def read(self, scope: Scope) -> list[Message]:
        """The turns in order.

        Raises:
            RecordError: They are no lists of texts, or their lengths do not fit.
        """
        sides = [path(side).read(scope) for side in (self.user, self.assistant)]
        for side, field in zip(sides, (self.user, self.assistant), strict=True):
            if type(side) is not list or not all(type(text) is str for text in side):
                raise RecordError("wrong_type", "expected a list of texts", field=field)
        asked, said = sides
        if len(asked) - len(said) not in (0, 1):
            message = f"{len(asked)} user turns and {len(said)} answers: expected as many, or one question more"
            raise RecordError("length_mismatch", message, field=self.user)
        turns = []
        for number, text in enumerate(asked):
            turns.append(Message("user", text))
            turns += [Message("assistant", said[number])] if number < len(said) else []
        return turns


class Prompt(Spec):
    """The context of the candidates that bring none of their own."""

    path: PathText | None = None
    template: tuple[Template, ...] | None = None
    messages: PathText | None = None
    drop_last: bool = False
    """With `messages`: leave the last turn out, for it is an answer."""
    transcript: PathText | None = None
    turns: Turns | None = None

    @model_validator(mode="before")
    @classmethod
    def _short_forms(cls, value: Any) -> Any:
        if isinstance(value, str):
            return {"path": value}
        if isinstance(value, dict) and isinstance(value.get("template"), str | dict):
            return {**value, "template": [value["template"]]}
        return value

    @model_validator(mode="after")
    def _is_one(self) -> Prompt:
        kind = one_of(self, "path", "template", "messages", "transcript", "turns")
        if self.drop_last and kind != "messages":
            raise ValueError("drop_last belongs to messages")
        return self

    @property
    def field(self) -> str:
        """What errors call it."""
        return self.path or self.messages or self.transcript or (self.turns.user if self.turns else "prompt")


class ContextReader:
    """Reads the context that all candidates of a record share.

    Args:
        prompt: The form of it.
        system: The path of a system text.
        history: The path of earlier `[user, assistant]` pairs.
        tools: The path of the tools offered.
        chat: What messages look like.
        marks: What begins the turns of a transcript.
    """

    def __init__(
        self,
        prompt: Prompt | None,
        *,
        system: str | None,
        history: str | None,
        tools: str | None,
        chat: Chat,
        marks: Marks | None,
    ) -> None:
        self._prompt = prompt
        self._system = path(system) if system else None
        self._history = path(history) if history else None
        self._tools = path(tools) if tools else None
        self._chat = chat
        self._marks = marks

    def read(self, scope: Scope) -> Context | None:
        """The context, or None where the mapping has no prompt: each candidate then brings its own.

        Raises:
            RecordError: It cannot be read.
        """
        prompt = self._prompt
        if prompt is None:
            return None
        system, tools = self.system(scope), self.tools(scope)
        if prompt.path is not None and self._history is None:
            return Context(_required_text(path(prompt.path).read(scope), prompt.path), system, (), tools)
        found, turns = self._dialogue(prompt, scope)
        if self._history is not None:
            turns = [*self._pairs(scope), *turns]
        return context_of((_merged(found, system, prompt.field), turns), prompt.field, tools)

    def system(self, scope: Scope) -> str:
        """The system text; empty where there is none."""
        value = self._system.read(scope) if self._system else ""
        if type(value) is list:
            value = "".join(part for part in value if type(part) is str)
        return _text_of(value, self._system.text if self._system else "system")

    def tools(self, scope: Scope) -> str:
        """The tools as JSON text; empty where there are none."""
        value = self._tools.read(scope) if self._tools else None
        return as_json(None if value is MISSING else value, self._tools.text if self._tools else "tools")

    def _dialogue(self, prompt: Prompt, scope: Scope) -> Dialogue:
        if prompt.path is not None:
            return "", [Message("user", _required_text(path(prompt.path).read(scope), prompt.path))]
        if prompt.template is not None:
            text = next((one.fill(scope) for one in prompt.template if one.applies(scope)), "")
            return "", [Message("user", text)]
        if prompt.messages is not None:
            system, turns = self._chat.read(
                required(path(prompt.messages).read(scope), prompt.messages), prompt.messages
            )
            return system, turns[:-1] if prompt.drop_last else turns
        if prompt.turns is not None:
            return "", prompt.turns.read(scope)
        field = prompt.transcript or ""
        system, turns = with_marks(self._marks, field).read(required(path(field).read(scope), field), field)
        if turns and turns[-1].role == "assistant" and not turns[-1].content:
            turns.pop()  # the mark that the answer follows
        return system, turns

    def _pairs(self, scope: Scope) -> list[Message]:
        value = self._history.read(scope) if self._history else None
        if value is MISSING or value is None:
            return []
        return read_messages(value, self._history.text if self._history else "history")[1]


def with_marks(marks: Marks | None, field: str) -> Marks:
    """The marks, which a mapping with transcripts is known to have."""
    if marks is None:
        raise RecordError("no_transcript", "the mapping has no marks", field=field)
    return marks


def _merged(found: str, system: str, field: str) -> str:
    if found and system and found != system:
        raise RecordError("prompt_mismatch", "its system message differs from the system column", field=field)
    return found or system


def required(value: Any, field: str) -> Any:
    """A value that must be there.

    Raises:
        RecordError: `missing_field` or `null_field`.
    """
    if value is MISSING:
        raise RecordError("missing_field", "nothing stands there", field=field)
    if value is None:
        raise RecordError("null_field", "is null, but the record needs it", field=field)
    return value


def _required_text(value: Any, field: str) -> str:
    if type(value) is not str:
        required(value, field)
        raise RecordError("wrong_type", f"expected a text, got {type(value).__name__}", field=field)
    return value
