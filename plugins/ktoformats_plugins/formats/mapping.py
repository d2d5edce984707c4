"""Any layout, declared: context, candidates, their form and the verdict are four independent choices."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import orjson
from pydantic import Field, model_validator

from ktoformats import (
    CandidateReader,
    Candidates,
    Chat,
    Claim,
    ContextReader,
    Fact,
    Format,
    Group,
    Label,
    Marks,
    PathText,
    Plugin,
    Prompt,
    RecordError,
    Row,
    Scope,
    Shape,
    Tree,
    TreeReader,
    Unjudged,
    Verdict,
    VerdictPolicy,
    claim_of,
    hookimpl,
    matches,
    read_path,
    refuse_damage,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Mapping(Format):
    """Reads a layout that a few lines of YAML describe."""

    where: dict[PathText, Any] = Field(default_factory=dict)
    """Only records in which each of these paths holds its value; the others have no verdict."""
    parse_json: tuple[PathText, ...] = ()
    """Text columns that hold JSON."""
    records: PathText | None = None
    """The records within a record, such as `$.data[*]`."""
    prompt: Prompt | None = None
    """What stood before the answers; left out where each candidate brings its own."""
    system: PathText | None = None
    """The path of the system text."""
    history: PathText | None = None
    """Earlier turns as `[user, assistant]` pairs."""
    tools: PathText | None = None
    """The path of the tools offered."""
    chat: Chat = Chat()
    """What a message looks like."""
    marks: Marks | None = None
    """What begins the turns of a transcript."""
    candidates: Candidates | None = None
    """The answers: by name, the items of a list, or every answer of a dialogue."""
    tree: Tree | None = None
    """The answers as siblings in a tree of messages."""
    verdict: Verdict
    """Who judged and how: exactly one kind."""
    policy: VerdictPolicy = VerdictPolicy()
    """What follows from ties, gaps, damaged answers and unknown winners."""

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if (self.candidates is None) == (self.tree is None):
            raise ValueError("expected candidates or a tree, and not both")
        named = self.verdict.names() if hasattr(self.verdict, "names") else []
        known = tuple(self.candidates) if isinstance(self.candidates, dict) else ()
        if unknown := [name for name in named if name not in known]:
            raise ValueError(f"verdict: {unknown[0]!r} is none of the candidates ({', '.join(known) or 'unnamed'})")
        if self.marks is None and '"transcript":' in self.model_dump_json(exclude_none=True):
            raise ValueError("marks: a transcript needs the marks that begin its turns")
        return self

    def label_plugins(self) -> tuple[str, ...]:
        """The label plugin that the verdict names, if it names one."""
        scale = self.verdict.scale if isinstance(self.verdict, Label) else ""
        return (scale,) if scale else ()

    def claim(self, shape: Shape) -> Claim:
        """The columns that its paths start in."""
        missing = [column for column in self._columns if column not in shape]
        if missing or not self._columns:
            return Claim(0, f"no column {', '.join(map(repr, missing)) or 'that a path names'}")
        return claim_of(*self._columns)

    @cached_property
    def _columns(self) -> tuple[str, ...]:
        texts = [self.prompt.field] if self.prompt and not self.prompt.template else []
        if isinstance(self.candidates, dict):
            texts += [forms[0].field for forms in self.candidates.values()]
        elif self.candidates is not None:
            texts.append(self.candidates.field)
        columns = [read_path(text).column for text in texts if text]
        return tuple(dict.fromkeys(column for column in columns if column))

    @cached_property
    def _contexts(self) -> ContextReader:
        return ContextReader(
            self.prompt, system=self.system, history=self.history, tools=self.tools, chat=self.chat, marks=self.marks
        )

    @cached_property
    def _reader(self) -> CandidateReader | TreeReader:
        if self.tree is not None:
            return TreeReader(self.tree, chat=self.chat)
        return CandidateReader(self.candidates or {}, chat=self.chat, marks=self.marks, contexts=self._contexts)

    def facts(self, row: Row) -> Iterator[Fact]:
        """What the verdict says of each group of answers."""
        record = self._parsed(row.record) if self.parse_json else row.record
        for one in self._records(record):
            scope = Scope(one, one)
            if self.where and not matches(self.where, scope):
                yield Unjudged("not_selected")
                continue
            for group in self._groups(scope):
                yield from self.verdict.facts(refuse_damage(group, self.policy), scope, self.policy)

    def _groups(self, scope: Scope) -> Iterator[Group]:
        if isinstance(self._reader, TreeReader):
            yield from self._reader.read(scope)
        else:
            yield Group(self._contexts.read(scope), self._reader.read(scope))

    def _records(self, record: Any) -> list[Any]:
        if self.records is None:
            return [record]
        path = read_path(self.records)
        found = path.read(Scope(record, record))
        if type(found) is not list:
            raise RecordError("wrong_type", "expected a list of records", field=self.records)
        return found

    def _parsed(self, record: Any) -> Any:
        parsed = dict(record) if type(record) is dict else {}
        for text in self.parse_json:
            value = parsed.get(text)
            if type(value) is str:
                try:
                    parsed[text] = orjson.loads(value)
                except orjson.JSONDecodeError as error:
                    raise RecordError("invalid_json", f"the text is no JSON ({error.msg})", field=text) from error
        return parsed


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Mapping]
