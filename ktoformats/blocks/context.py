"""What stood before an answer: a text, a template, messages, a transcript, parallel lists; system and history."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import model_validator

from ktoformats.blocks.chat import Chat
from ktoformats.blocks.path import MISSING, Scope, read_path
from ktoformats.blocks.spec import PathText, Spec, one_of, path
from ktoformats.errors import RecordError
from ktoformats.feedback import Context, Message
from ktoformats.plugin.row import null_field, text_in
from ktoformats.plugin.turns import after, as_json, context_of, read_messages, with_system

if TYPE_CHECKING:
    from ktoformats.blocks.chat import Marks
    from ktoformats.blocks.path import Path
    from ktoformats.plugin.turns import Dialogue

_FIELD: Final = re.compile(r"\{\{|\}\}|\{([^{}]+)\}")


class Template(Spec):
    """A text with paths in braces; a line whose fields are all empty is dropped."""

    text: str
    """The text; `{a.b}` holds what the path finds, `{{` and `}}` are braces."""
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
    return text_in(value, field)


class Turns(Spec):
    """Two parallel lists of texts, the user's one longer where the answer is not among them."""

    user: PathText
    """The path of the list of the user's texts."""
    assistant: PathText
    """The path of the list of answers: as many, or one fewer."""

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
    """A text: the one user turn, or the last after `history`."""
    template: tuple[Template, ...] | None = None
    """A text put together from several fields; of a list, the first that applies."""
    messages: PathText | None = None
    """A list of messages that ends in a user turn."""
    drop_last: bool = False
    """With `messages`: leave the last turn out, for it is an answer."""
    transcript: PathText | None = None
    """A text in which marks begin the turns; it needs `marks`."""
    turns: Turns | None = None
    """Two parallel lists of texts."""

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
        system: str | None = None,
        history: str | None = None,
        tools: str | None = None,
        chat: Chat | None = None,
        marks: Marks | None = None,
    ) -> None:
        self._prompt = prompt
        self._system = path(system) if system else None
        self._history = path(history) if history else None
        self._tools = path(tools) if tools else None
        self._chat = chat or Chat()
        self._marks = marks

    def read(self, scope: Scope) -> Context | None:
        """The context, or None where the mapping has no prompt: each candidate then brings its own.

        Raises:
            RecordError: It cannot be read.
        """
        prompt = self._prompt
        if prompt is None:
            return None
        tools = self.tools(scope)
        if prompt.path is not None and self._history is None:
            return Context(_required_text(scope, prompt.path), self._system_text(scope), (), tools)
        found, turns = self._dialogue(prompt, scope)
        if self._history is not None:
            field = self._history.text
            dialogue = after(self._earlier(self._history, scope), turns, field)
            found, turns = with_system(dialogue, found, prompt.field, field)
        return context_of(self.with_system((found, turns), prompt.field, scope), prompt.field, tools)

    def with_system(self, dialogue: Dialogue, field: str, scope: Scope) -> Dialogue:
        """A dialogue under the record's system text.

        Raises:
            RecordError: `prompt_mismatch`: it begins with another system message.
        """
        return with_system(dialogue, self._system_text(scope), field, self._system.text) if self._system else dialogue

    def _system_text(self, scope: Scope) -> str:
        if self._system is None:
            return ""
        value = self._system.read(scope)
        if type(value) is list:
            return "".join(part for part in value if type(part) is str)
        return "" if value is MISSING or value is None else text_in(value, self._system.text)

    def tools(self, scope: Scope) -> str:
        """The tools as JSON text; empty where there are none."""
        if self._tools is None:
            return ""
        value = self._tools.read(scope)
        return as_json(None if value is MISSING else value, self._tools.text)

    def _dialogue(self, prompt: Prompt, scope: Scope) -> Dialogue:
        if prompt.path is not None:
            return "", [Message("user", _required_text(scope, prompt.path))]
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

    def _earlier(self, history: Path, scope: Scope) -> Dialogue:
        value = history.read(scope)
        return ("", []) if value is MISSING or value is None else read_messages(value, history.text)


def with_marks(marks: Marks | None, field: str) -> Marks:
    """The marks, which a mapping with transcripts is known to have."""
    if marks is None:
        raise RecordError("no_transcript", "the mapping has no marks", field=field)
    return marks


def required(value: Any, field: str) -> Any:
    """A value that must be there.

    Raises:
        RecordError: `missing_field` or `null_field`.
    """
    if value is MISSING:
        raise RecordError("missing_field", "nothing stands there", field=field)
    if value is None:
        raise null_field(field)
    return value


def _required_text(scope: Scope, field: str) -> str:
    value = path(field).read(scope)
    if type(value) is str:
        return value
    if path(field).many and type(value) is list:
        return _joined(value, field)
    return text_in(required(value, field), field)


def _joined(found: list[Any], field: str) -> str:
    """The one text that a path of many finds, or the parts (`[*]`) of one."""
    if not found:
        raise RecordError("missing_field", "nothing stands there", field=field)
    if len(found) > 1 and "*" not in field:
        raise RecordError("wrong_type", f"expected one text, and {len(found)} values stand there", field=field)
    return "".join(text_in(part, field) for part in found)
