"""What is judged: named answers, the items of a list, every answer of a dialogue, the siblings in a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from pydantic import BeforeValidator, Discriminator, Tag, model_validator

from ktoformats.blocks.chat import Chat
from ktoformats.blocks.context import Turns, required, with_marks
from ktoformats.blocks.path import MISSING, Scope
from ktoformats.blocks.spec import PathText, Spec, one_of, path
from ktoformats.errors import RecordError
from ktoformats.plugin.row import list_in, or_error, text_in
from ktoformats.plugin.turns import answer_at, answer_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.blocks.chat import Marks
    from ktoformats.blocks.context import ContextReader
    from ktoformats.feedback import Context, Response
    from ktoformats.plugin.turns import Dialogue

_KINDS = ("text", "message", "conversation", "transcript", "turns")


class Candidate(NamedTuple):
    """One answer that may be judged."""

    name: str
    answer: str | Response | RecordError
    scope: Scope
    """What verdict paths are read in: the item of a list, else the record."""
    row: int = 0
    """Among records that were gathered: the one it comes from."""
    others: tuple[Candidate, ...] = ()
    """The same answer in other rows, each with a verdict of its own."""

    @property
    def is_absent(self) -> bool:
        """Whether nothing stands where the answer should."""
        return isinstance(self.answer, RecordError) and self.answer.reason in ("missing_field", "null_field")


class Group(NamedTuple):
    """The answers to one context."""

    context: Context | None
    """None where each brings its own."""
    candidates: list[Candidate]


class Form(Spec):
    """What an answer looks like."""

    text: PathText | None = None
    """A text, the answer itself."""
    many: bool = False
    """With `text`: a list of answers."""
    strip_end: bool = False
    """With `text`: without the end marks behind it."""
    message: PathText | None = None
    """A message, a list whose last message is the answer, or a text."""
    conversation: PathText | None = None
    """Context and answer."""
    judged: Literal["last", "last_assistant"] = "last"
    """With `conversation`: whether turns may follow the judged answer."""
    turn: PathText | None = None
    """With `conversation`: which answer was judged, counted from 1."""
    transcript: PathText | None = None
    """Context and answer in one text with marks; it needs `marks`."""
    turns: Turns | None = None
    """Context and answer as two parallel lists of texts."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"text": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _is_one(self) -> Form:
        kind = one_of(self, *_KINDS)
        if (self.many or self.strip_end) and kind != "text":
            raise ValueError("many and strip_end belong to text")
        if (self.turn is not None or self.judged != "last") and kind != "conversation":
            raise ValueError("turn and judged belong to conversation")
        return self

    @property
    def field(self) -> str:
        """What errors call it."""
        return (
            self.text
            or self.message
            or self.conversation
            or self.transcript
            or (self.turns.user if self.turns else "")
        )


class Each(Spec):
    """The items of a list, each an answer; what they hold is read relative to the item."""

    each: PathText
    """The path of the list."""
    text: PathText | None = None
    """A text, the answer itself; `.` where the item is the text."""
    message: PathText | None = None
    """A message, a list whose last message is the answer, or a text."""
    conversation: PathText | None = None
    """Context and answer."""
    transcript: PathText | None = None
    """Context and answer in one text with marks; it needs `marks`."""

    @model_validator(mode="after")
    def _is_one(self) -> Each:
        one_of(self, "text", "message", "conversation", "transcript")
        return self

    @property
    def field(self) -> str:
        """What errors call it."""
        return self.each

    @property
    def form(self) -> Form:
        """The form of one item."""
        return Form(text=self.text, message=self.message, conversation=self.conversation, transcript=self.transcript)


class EachTurn(Spec):
    """Every answer of a dialogue, with what precedes it as its context."""

    each_turn: PathText
    """The path of the list of messages; `.` where gathered records are the turns of one dialogue."""

    @property
    def field(self) -> str:
        """What errors call it."""
        return self.each_turn


def _forms(value: Any) -> Any:
    """The short forms: one form instead of a list of them."""
    if isinstance(value, dict) and not value.keys() & {"each", "each_turn"}:
        return {name: forms if isinstance(forms, list | tuple) else [forms] for name, forms in value.items()}
    return value


def _kind(value: Any) -> str:
    if isinstance(value, Spec):
        return "each" if isinstance(value, Each) else "each_turn"
    keys = value if isinstance(value, dict) else {}
    return next((kind for kind in ("each", "each_turn") if kind in keys), "named")


Candidates = Annotated[
    Annotated[dict[str, tuple[Form, ...]], BeforeValidator(_forms), Tag("named")]
    | Annotated[Each, Tag("each")]
    | Annotated[EachTurn, Tag("each_turn")],
    Discriminator(_kind),
]
"""Names and their forms, or the items of a list, or the answers of a dialogue."""


class CandidateReader:
    """Reads the candidates of a record.

    Args:
        spec: Names and their forms (the first form that is present counts), a list, or a dialogue.
        chat: What messages look like.
        marks: What begins the turns of a transcript.
        contexts: Reads system text and tools, which conversations take over.
    """

    def __init__(
        self,
        spec: dict[str, tuple[Form, ...]] | Each | EachTurn,
        *,
        contexts: ContextReader,
        chat: Chat | None = None,
        marks: Marks | None = None,
    ) -> None:
        self._spec = spec
        self._form = spec.form if isinstance(spec, Each) else None
        self._chat = chat or Chat()
        self._marks = marks
        self._contexts = contexts

    def read(self, scope: Scope) -> list[Candidate]:
        """All candidates; one that cannot be read carries its error and costs nobody else.

        Raises:
            RecordError: The list or dialogue that holds them cannot be read.
        """
        spec = self._spec
        if isinstance(spec, Each):
            return self._each(spec, scope)
        if isinstance(spec, EachTurn):
            return list(self._each_turn(spec.each_turn, scope))
        return [one for name, forms in spec.items() for one in self._named(name, forms, scope)]

    def _each(self, spec: Each, scope: Scope) -> list[Candidate]:
        items = list_in(required(path(spec.each).read(scope), spec.each), spec.each)
        form, total, found = self._form or Form(text="."), len(items), []
        for number, item in enumerate(items):
            inner = Scope(scope.record, item, number, total)
            found.append(Candidate(str(number), or_error(self._answer, form, inner, spec.each), inner))
        return found

    def _each_turn(self, field: str, scope: Scope) -> Iterator[Candidate]:
        raw = required(path(field).read(scope), field)
        if type(raw) is not list or any(type(item) is not dict for item in raw):
            raise RecordError("wrong_type", "expected a list of messages", field=field)
        dialogue = self._contexts.with_system(self._chat.read(raw, field), field, scope)
        tools, turns = self._contexts.tools(scope), dialogue[1]
        leading = len(raw) - len(turns)
        places = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
        for number, place in enumerate(places):
            row = place + leading
            answer = or_error(answer_at, dialogue, place, f"{field}[{row}]", tools)
            if answer is not None:
                yield Candidate(str(number), answer, Scope(scope.record, raw[row], number, len(places)), row)

    def _named(self, name: str, forms: tuple[Form, ...], scope: Scope) -> Iterator[Candidate]:
        form = forms[0] if len(forms) == 1 else next((one for one in forms if _is_present(one, scope)), forms[0])
        if form.many and form.text is not None:
            value = path(form.text).read(scope)
            if type(value) is list:
                for number, item in enumerate(value):
                    yield Candidate(name, or_error(self._text, item, form, f"{form.text}[{number}]"), scope)
                return
        yield Candidate(name, or_error(self._answer, form, scope), scope)

    def _answer(self, form: Form, scope: Scope, within: str = "") -> str | Response:
        """The answer of a form; `within` is the list whose item it is."""
        if form.text is not None and not form.strip_end:
            text = path(form.text).read(scope)
            if type(text) is str:  # nearly every answer there is
                return text
        field = f"{within}[{scope.number}].{form.field}" if within else form.field
        if form.turns is not None:
            return self._answer_of(("", form.turns.read(scope)), field, scope)
        value = required(path(form.field).read(scope), field)
        if form.text is not None or (form.message is not None and type(value) is str):
            return self._text(value, form, field)
        if form.message is not None:
            return answer_of(("", self._chat.read(value, field)[1][-1:]), field)
        return self._answer_of(self._dialogue(value, form, scope, field), field, scope)

    def _dialogue(self, value: Any, form: Form, scope: Scope, field: str) -> Dialogue:
        if form.transcript is not None:
            return with_marks(self._marks, field).read(value, field)
        return _cut(self._chat.read(value, field), form, scope)

    def _text(self, value: Any, form: Form, field: str) -> str:
        if type(value) is list and len(value) == 1:
            value = value[0]
        text = text_in(value, field)
        return self._marks.strip_end(text) if form.strip_end and self._marks else text

    def _answer_of(self, dialogue: Dialogue, field: str, scope: Scope) -> Response:
        contexts = self._contexts
        return answer_of(contexts.with_system(dialogue, field, scope), field, contexts.tools(scope))


def _is_present(form: Form, scope: Scope) -> bool:
    value = path(form.field).read(scope)
    return value is not MISSING and value is not None


def _cut(dialogue: Dialogue, form: Form, scope: Scope) -> Dialogue:
    """The dialogue up to the judged answer."""
    system, turns = dialogue
    answers = [place for place, turn in enumerate(turns) if turn.role == "assistant"]
    if form.turn is not None:
        number = path(form.turn).read(scope)
        if type(number) is not int or not 1 <= number <= len(answers):
            message = f"expected the number of an answer, 1 to {len(answers)}, got {number!r:.40}"
            raise RecordError("wrong_type", message, field=form.turn)
        return system, turns[: answers[number - 1] + 1]
    if form.judged == "last_assistant" and answers:
        return system, turns[: answers[-1] + 1]
    return dialogue
