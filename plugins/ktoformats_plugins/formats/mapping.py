"""Any layout, declared: context, candidates, their form and the verdict are four independent choices."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

import orjson
from pydantic import Field, model_validator

from ktoformats import (
    MISSING,
    Candidate,
    CandidateReader,
    Candidates,
    Chat,
    Claim,
    ContextReader,
    DialogueLayout,
    Each,
    EachTurn,
    Fact,
    Fixed,
    Format,
    Gather,
    Group,
    JoinRows,
    JudgedLayout,
    Label,
    Marks,
    PairLayout,
    PathText,
    Plugin,
    Prompt,
    Rank,
    RankedLayout,
    Rating,
    RecordError,
    Row,
    Scope,
    Shape,
    Signature,
    Tree,
    TreeReader,
    Unjudged,
    Verdict,
    VerdictPolicy,
    Winner,
    claim_of,
    hookimpl,
    in_rows,
    lost,
    matches,
    pooled,
    read_path,
    reader,
    refuse_damage,
    replaced,
    settle,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ktoformats import Layout


class Mapping(Format):
    """Reads a layout that a few lines of YAML describe."""

    examples = (
        (
            {"question": "q", "a": "yes", "b": "no", "winner": "b"},
            [("q", "no", "good"), ("q", "yes", "bad")],
            {
                "prompt": "question",
                "candidates": {"a": "a", "b": "b"},
                "verdict": {"winner": "winner", "a": ["a"], "b": ["b"], "tie": ["tie"]},
            },
        ),
        (
            {"question": "q", "answers": [{"text": "yes", "stars": 5}, {"text": "no", "stars": 2}]},
            [("q", "yes", "good"), ("q", "no", "bad")],
            {
                "prompt": "question",
                "candidates": {"each": "answers", "text": "text"},
                "verdict": {"rating": "stars", "good": 4, "bad": 2},
            },
        ),
    )

    any_value: ClassVar[bool] = True

    detect: Signature | tuple[Signature, ...] = ()
    """The shape, or the shapes, by which records of this layout are known among others."""
    where: dict[PathText, Any] = Field(default_factory=dict)
    """Only records in which each of these paths holds its value; the others have no verdict."""
    parse_json: tuple[PathText, ...] = ()
    """Texts that hold JSON, by names alone: `column`, `a.b`."""
    records: PathText | None = None
    """The records within a record, such as `$.data[*]`."""
    join: JoinRows | None = None
    """Another file, whose records of the same key are added to each record."""
    group_by: PathText | tuple[PathText, ...] | None = None
    """Records in which these paths hold the same belong together: their answers are judged as one record's."""
    order_by: PathText | None = None
    """With `group_by`: what the records of a group are sorted by."""
    prompt: Prompt | None = None
    """What stood before the answers; left out where each candidate brings its own."""
    system: PathText | None = None
    """The path of the system text."""
    history: PathText | None = None
    """Earlier turns as `[user, assistant]` pairs."""
    tools: PathText | None = None
    """The path of the tools offered."""
    may_lack: tuple[Literal["system", "history", "tools", "verdict"], ...] = ()
    """Which of these may name nothing in a record; the others are then noticed (`absent_path`): a typo looks so."""
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
        known = tuple(self.candidates) if isinstance(self.candidates, dict) else ()
        if unknown := [name for name in self.verdict.names() if name not in known]:
            raise ValueError(f"verdict: {unknown[0]!r} is none of the candidates ({', '.join(known) or 'unnamed'})")
        self._verdict_is_each_ones_own()
        if self.policy.min_gap is not None and not self._has_gaps:
            raise ValueError("policy.min_gap: this verdict has no scores whose gap could be measured")
        return self

    @model_validator(mode="after")
    def _has_its_marks(self) -> Self:
        whole = self.model_dump_json(exclude_none=True)
        if self.marks is None and '"transcript":' in whole:
            raise ValueError("marks: a transcript needs the marks that begin its turns")
        if '"strip_end":true' in whole and not (self.marks and self.marks.end):
            raise ValueError("strip_end: there is nothing to strip; `marks: {end: [...]}` says what")
        return self

    @model_validator(mode="after")
    def _takes_records_as_they_come(self) -> Self:
        for text in self.parse_json:
            if not read_path(text).is_plain:
                raise ValueError(f"parse_json: {text!r} is no plain name, or names with dots between")
        if self.order_by is not None and self.group_by is None:
            raise ValueError("order_by: there is no group to sort; it belongs to group_by")
        if self._of_rows and self.group_by is not None:
            raise ValueError("group_by: a tree over records groups them already")
        of_turns = isinstance(self.candidates, EachTurn) and self.candidates.each_turn == "."
        if self._of_rows or of_turns:
            chosen = {"where": self.where, "records": self.records, "parse_json": self.parse_json}
            self._refuse("each record is a message", **chosen)
        if self.tree is not None:
            own = {"prompt": self.prompt, "system": self.system, "history": self.history, "tools": self.tools}
            self._refuse("a tree brings its own context", **own)
        return self

    def _refuse(self, why: str, **options: Any) -> None:
        """Refuse options that would be without effect."""
        for key, value in options.items():
            if value:
                raise ValueError(f"{key}: {why}; it would have no effect")

    def _verdict_is_each_ones_own(self) -> None:
        """Refuse a verdict that answers would have to share, or that ranks what is not comparable."""
        each = self.candidates
        kind = type(self.verdict).__name__.lower()
        if not isinstance(self.verdict, Label | Rating | Rank):
            return
        if isinstance(each, dict):
            named = self.verdict.names()
            missing = [name for name in each if named and name not in named]
            if missing:
                raise ValueError(f"verdict.{kind}: says nothing of candidate {missing[0]!r}")
            if len(each) > 1 and not named:
                raise ValueError(f"verdict.{kind}: several candidates would share it; write {{CANDIDATE: PATH, ...}}")
        elif isinstance(each, Each | EachTurn):
            shared = [path for path in self.verdict.paths() if path.startswith("$") and "[#]" not in path]
            if shared:
                raise ValueError(f"verdict.{kind}: all answers would share {shared[0]!r}; `[#]` takes each one's own")
        if kind == "rank" and isinstance(each, EachTurn):
            raise ValueError("verdict.rank: the answers of a dialogue answer different turns and have no order")

    @property
    def _has_gaps(self) -> bool:
        """Whether the verdict knows by how much an answer is better."""
        verdict = self.verdict
        if isinstance(verdict, Winner):
            return bool(verdict.scores) or verdict.cut is not None
        return isinstance(verdict, Rank) or (isinstance(verdict, Fixed) and bool(verdict.scores))

    def label_plugins(self) -> tuple[str, ...]:
        """The label plugin that the verdict names, if it names one."""
        scale = self.verdict.scale if isinstance(self.verdict, Label) else ""
        return (scale,) if scale else ()

    @property
    def _of_rows(self) -> bool:
        """Whether the records are the nodes of trees."""
        return self.tree is not None and self.tree.of_rows

    def gathers(self) -> Gather | None:
        """What `join`, `group_by` and a tree over records bring together."""
        join = self.join.join() if self.join else None
        if self.tree is not None and self.tree.of_rows:
            return Gather(join, node=reader(self.tree.id), parent=reader(self.tree.parent))
        if self.group_by is not None:
            keys = (self.group_by,) if isinstance(self.group_by, str) else self.group_by
            return Gather(join, key=reader(*keys), order=reader(self.order_by) if self.order_by else None)
        return Gather(join) if join else None

    @cached_property
    def _gathers(self) -> bool:
        """Whether what it reads are lists of records that belong together."""
        return self.gathers() is not None

    def conflict(self) -> str | None:
        """What its policy says of contradictions over the whole data set."""
        return self.policy.conflict

    def claim(self, shape: Shape) -> Claim:
        """Its signature, or the columns that its paths start in."""
        signatures = (self.detect,) if isinstance(self.detect, Signature) else self.detect
        if signatures:
            return max((one.claim(shape) for one in signatures), key=lambda claim: claim.score)
        missing = [column for column in self._columns if column not in shape]
        if missing or not self._columns:
            return Claim(0, f"no column {', '.join(map(repr, missing)) or 'that a path names'}")
        return claim_of(*self._columns, *(column for column in self._verdict_columns if column in shape))

    def layout(self, shape: Shape) -> Layout | None:
        """Texts in columns of their own, texts in a list with ranks beside it, or plain messages."""
        made = self._plain_layout if self._is_bare else None
        fits = made is not None and made.fits(shape) and all(map(shape.holds, self._verdict_columns))
        return made if fits else None

    @cached_property
    def _is_bare(self) -> bool:
        """Whether nothing is declared that a record would have to be looked at for."""
        chosen = (self.where, self.parse_json, self.records, self.tree, self.system, self.history, self.tools)
        others = self.marks or self._gathers or self.policy.settles
        return not any(chosen) and not others and self.chat == Chat()

    @cached_property
    def _plain_layout(self) -> Layout | None:
        prompt = _column(self.prompt.path) if self.prompt else ""
        verdict, given = self.verdict, self.candidates
        if isinstance(given, Each) and isinstance(verdict, Rank) and prompt:
            return self._ranked_layout(prompt, given, verdict)
        if not isinstance(given, dict) or any(len(forms) > 1 for forms in given.values()):
            return None
        forms = {name: form for name, [form] in given.items()}
        texts = {name: "" if form.many or form.strip_end else _column(form.text) for name, form in forms.items()}
        if isinstance(verdict, Fixed) and prompt and not verdict.scores:
            sides = texts.get(verdict.good or "", ""), texts.get(verdict.bad or "", "")
            return PairLayout(prompt, *sides) if all(sides) and len(texts) == len(sides) else None
        if not isinstance(verdict, Label) or len(forms) > 1 or isinstance(verdict.label, tuple):
            return None
        [form], [text], [said] = forms.values(), texts.values(), verdict.paths()
        if prompt and text and _column(said):
            return JudgedLayout(prompt, text, said, verdict.labels)
        whole = "" if form.turn or form.judged != "last" else _column(form.conversation)
        return DialogueLayout(whole, said, verdict.labels) if whole and _column(said) and not self.prompt else None

    def _ranked_layout(self, prompt: str, given: Each, verdict: Rank) -> RankedLayout | None:
        """The items of a list and the list of their ranks, `$.ranks[#]`."""
        ranks = verdict.field.removeprefix("$.").removesuffix("[#]")
        plain = verdict.field == f"$.{ranks}[#]" and _column(ranks) and _column(given.each) and given.text == "."
        if not plain or verdict.pick or self.policy.min_gap is not None or self.policy.tie != "drop":
            return None
        return RankedLayout(prompt, given.each, ranks, verdict.best or "low", verdict.field)

    @cached_property
    def _verdict_columns(self) -> tuple[str, ...]:
        """The record's columns that the verdict stands in."""
        paths = self.verdict.paths() if isinstance(self.candidates, dict) else []
        columns = [read_path(text).column for text in paths]
        return tuple(dict.fromkeys(column for column in columns if column and column not in self._columns))

    @cached_property
    def _optional(self) -> tuple[str, ...]:
        """Paths of the record without which there are samples as well, so that a typo in them would go unseen."""
        own = self.verdict.paths() if isinstance(self.candidates, dict) and self.group_by is None else []
        said: dict[str, Sequence[str | None]] = {
            "system": [self.system],
            "history": [self.history],
            "tools": [self.tools],
            "verdict": own[:1],
        }
        return tuple(text for key, paths in said.items() for text in paths if text and key not in self.may_lack)

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
        if self._gathers:
            yield from self._facts_of_rows(row.record)
            return
        for one in self._records(row.record):
            scope = Scope(one, one)
            if self.where and not matches(self.where, scope):
                yield Unjudged("not_selected")
                continue
            if any(read_path(text).read(scope) is MISSING for text in self._optional):
                row.notices.append("absent_path")
            try:
                groups = list(self._groups(scope))
            except RecordError as error:
                if not self._may_lack(error):
                    raise
                yield Unjudged("missing_prompt")
                continue
            for group in groups:
                yield from self._judge(group, [scope])

    def _judge(self, group: Group, scopes: Sequence[Scope]) -> Iterator[Fact]:
        facts = self.verdict.facts(refuse_damage(group, self.policy), scopes, self.policy)
        return settle(facts, self.policy) if self.policy.settles else facts

    def _facts_of_rows(self, rows: list[Any]) -> Iterator[Fact]:
        if isinstance(self._reader, TreeReader) and self._of_rows:
            for found in self._reader.read_rows(rows):
                if isinstance(found, RecordError):
                    yield lost(found, found.row or 0)
                else:
                    yield from self._judge(in_rows(found), ())
        elif isinstance(self.candidates, EachTurn) and self.candidates.each_turn == ".":
            whole = Scope(rows, rows)  # the records are the turns of one dialogue
            yield from self._judge(in_rows(Group(self._contexts.read(whole), self._candidates(whole))), ())
        else:
            yield from self._facts_of_answers(rows)

    def _facts_of_answers(self, rows: list[Any]) -> Iterator[Fact]:
        groups: list[tuple[Group, Scope]] = []
        for number, row in enumerate(rows):
            try:
                for one in self._records(row):
                    scope = Scope(one, one)
                    if not self.where or matches(self.where, scope):
                        groups += [(in_rows(group, number), scope) for group in self._groups(scope)]
            except RecordError as error:
                yield Unjudged("missing_prompt") if self._may_lack(error) else lost(error, number)
        if not groups:
            yield Unjudged("not_selected")
        votes = isinstance(self.verdict, Winner)
        for group, scopes in pooled(groups, by_answer=not isinstance(self.verdict, Winner | Fixed), turned=votes):
            yield from self._judge(group, scopes)

    def _may_lack(self, error: RecordError) -> bool:
        """Whether it says that there is no prompt, and the policy lets such records pass."""
        is_absent = error.reason in ("missing_field", "null_field")
        at_prompt = self.prompt is not None and error.field == self.prompt.field
        return self.policy.missing_prompt == "skip" and is_absent and at_prompt

    def _candidates(self, scope: Scope) -> list[Candidate]:
        return self._reader.read(scope) if isinstance(self._reader, CandidateReader) else []

    def _groups(self, scope: Scope) -> Iterator[Group]:
        if isinstance(self._reader, TreeReader):
            yield from self._reader.read(scope)
        else:
            yield Group(self._contexts.read(scope), self._reader.read(scope))

    def _records(self, record: Any) -> list[Any]:
        if self.parse_json:
            record = self._parsed(record)
        if self.records is None:
            return [record]
        path = read_path(self.records)
        found = path.read(Scope(record, record))
        if type(found) is not list:
            raise RecordError("wrong_type", "expected a list of records", field=self.records)
        return found

    def _parsed(self, record: Any) -> Any:
        for text in self.parse_json:
            value = read_path(text).read(Scope(record, record))
            if type(value) is str:
                try:
                    record = replaced(record, text, orjson.loads(value))
                except orjson.JSONDecodeError as error:
                    raise RecordError("invalid_json", f"the text is no JSON ({error.msg})", field=text) from error
        return record


def _column(text: str | None) -> str:
    """The column that a path is, if it is nothing but a name; else empty."""
    path = read_path(text) if text else None
    return path.column if path and path.is_plain and len(path.steps) == 1 and path.column == text else ""


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Mapping]
