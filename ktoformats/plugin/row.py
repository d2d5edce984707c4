"""One record, with typed access that ends in a clear reject instead of a traceback."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, TypeVar

from ktoformats.errors import RecordError
from ktoformats.feedback import Context, Message, Response
from ktoformats.plugin.turns import after, answer_of, as_json, context_of, read_messages, with_system

if TYPE_CHECKING:
    import builtins
    from collections.abc import Callable, Iterator

    from ktoformats.plugin.turns import Dialogue

_Answer = TypeVar("_Answer")


@dataclasses.dataclass(frozen=True)
class Columns:
    """What the columns are called; the config fills it in, plugins read it."""

    prompt: str = "prompt"
    response: str = "response"
    completion: str = "completion"
    system: str = "system"
    conversation: str = "conversation"
    messages: str = "messages"
    tools: str = "tools"
    label: str = "label"
    score: str = "score"
    rating: str = "rating"
    preference: str = "preference"
    chosen: str = "chosen"
    rejected: str = "rejected"
    responses: str = "responses"
    rankings: str = "rankings"
    arabic_rating: str = "تقييم"
    kept: tuple[str, ...] = ()
    """Columns carried along to the sample as they are (`keep:`)."""
    verdicts: tuple[str, ...] = dataclasses.field(init=False)
    """The verdict columns, in the order of the specification: the first that is not null decides."""
    answers: tuple[str, str] = dataclasses.field(init=False)
    """The columns of a single answer: the first that is not null is it."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "answers", (self.response, self.completion))
        object.__setattr__(self, "verdicts", (self.label, self.score, self.rating, self.preference))


class Row:
    """One record as its adapter sees it.

    Every accessor raises `RecordError` with a reason code, the field, what was seen and what was expected;
    the record is then rejected and counted. Nothing here changes the record.
    """

    __slots__ = ("columns", "notices", "record")

    def __init__(self, record: Any, columns: Columns) -> None:
        self.record: Any = record
        self.columns: Columns = columns
        self.notices: builtins.list[str] = []
        """Codes of changes worth counting, such as `trailing_answer`."""

    def __contains__(self, field: str) -> bool:
        return field in self.record

    def __getitem__(self, field: str) -> Any:
        try:
            return self.record[field]
        except KeyError:
            raise self._missing(field) from None

    def get(self, field: str, default: Any = None) -> Any:
        """The raw value, or `default` where the field is absent."""
        return self.record.get(field, default)

    def text(self, field: str) -> str:
        """The value of a required text field, byte-identical."""
        return text_in(self[field], field)

    def list(self, field: str) -> builtins.list[Any]:
        """The value of a required list field."""
        return list_in(self[field], field)

    def first(self, *fields: str) -> str | None:
        """The first of these fields that is present and not null, or None."""
        get = self.record.get
        for field in fields:
            if get(field) is not None:
                return field
        return None

    def context(self, prompt: str | None = None) -> Context:
        """What stood before the answer, from the prompt, system, conversation and tools columns.

        Args:
            prompt: The prompt's column; None takes the configured one. It may hold a text or messages.

        Raises:
            RecordError: A column is missing, of a wrong type, or the turns are out of order.
        """
        columns, record = self.columns, self.record
        field = columns.prompt if prompt is None else prompt
        value = record.get(field)
        system = self._system() if columns.system in record else ""
        tools = self.tools() if columns.tools in record else ""
        history = record.get(columns.conversation)
        if type(value) is str and (history is None or history == []):
            return Context(value, system, (), tools)
        if value is None:
            raise null_field(field) if field in record else self._missing(field)
        if type(value) is str:
            field = columns.conversation
            dialogue = after(read_messages(history, field), [Message("user", value)], field)
        elif type(value) is not list:
            raise wrong_type(field, value, "a text or a list of messages")
        elif history not in (None, []):
            message = f"holds messages, and column {columns.conversation!r} holds a history; which comes first?"
            raise RecordError("prompt_mismatch", message, field=field)
        else:
            dialogue = read_messages(value, field)
        return context_of(with_system(dialogue, system, field, columns.system), field, tools)

    def tools(self) -> str:
        """The tools offered, as JSON text; empty where there are none."""
        return as_json(self.record.get(self.columns.tools), self.columns.tools)

    def _system(self) -> str:
        value = self.record.get(self.columns.system)
        return "" if value is None else text_in(value, self.columns.system)

    def dialogue(self, field: str) -> Dialogue:
        """The system text and the turns of a conversation column."""
        return with_system(read_messages(self.list(field), field), self._system(), field, self.columns.system)

    def response(self, field: str | None = None) -> str | Response:
        """An answer column: a text, a message, or a list of messages that ends in the answer.

        Args:
            field: The column; None takes the configured response or completion.
        """
        if field is None:
            field, other = self.columns.answers
            if self.record.get(field) is None and other in self.record:
                field = other
        return self.answer(self[field], field)

    def conversation(self, field: str) -> str | Response:
        """An answer column that may hold a whole conversation, as messages or as pairs; else as `response` reads it.

        What precedes the answer is its own context then, with the record's system text and tools.
        """
        value = self[field]
        if type(value) is not list or not value:
            return self.answer(value, field)
        return answer_of(self.dialogue(field), field, self.tools())

    def answer(self, value: Any, field: str) -> str | Response:
        """An answer that was already taken out of the record; `field` is its path for errors."""
        if type(value) is str:
            return value
        if value is None:
            raise null_field(field)
        if type(value) is dict:
            value = [value]
        if type(value) is not list or not value:
            raise wrong_type(field, value, "a text, a message or a list of messages")
        if type(value[0]) is not dict:
            raise wrong_type(field, value, "a text or messages (objects with role and content)")
        return answer_of(read_messages(value, field), field)

    def _missing(self, field: str) -> RecordError:
        seen = ", ".join(map(repr, list(self.record)[:12])) or "nothing"
        return RecordError("missing_field", f"is absent; the record has {seen}", field=field)


def or_error(read: Callable[..., _Answer], *given: Any) -> _Answer | RecordError:
    """What `read` makes of an answer, or the error in its place: a damaged answer costs itself, not its record."""
    try:
        return read(*given)
    except RecordError as error:
        return error


def text_in(value: Any, field: str) -> str:
    """A value that must be a text."""
    if type(value) is str:
        return value
    raise wrong_type(field, value, "a text")


def list_in(value: Any, field: str) -> list[Any]:
    """A value that must be a list."""
    if type(value) is list:
        return value
    raise wrong_type(field, value, "a list")


def wrong_type(field: str, value: Any, expected: str) -> RecordError:
    """The error of a field that holds another type than expected."""
    if value is None:
        return null_field(field)
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004 - the head is enough to know it by
    return RecordError(
        "wrong_type", f"expected {expected}, got {_TYPE_NAMES.get(type(value), '?')} {shown}", field=field
    )


def null_field(field: str) -> RecordError:
    """The error of a required field that is null."""
    return RecordError("null_field", "is null, but the record needs it", field=field)


_TYPE_NAMES: dict[type, str] = {
    str: "text",
    bool: "boolean",
    int: "number",
    float: "number",
    list: "list",
    dict: "object",
}


def items_of(row: Row, field: str) -> Iterator[tuple[str, Any]]:
    """The items of a list field with their paths."""
    for number, item in enumerate(row.list(field)):
        yield f"{field}[{number}]", item
