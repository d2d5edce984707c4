"""Records that belong together, declared: joins, groups and their order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import ConfigDict, Field, model_validator

from ktoformats.blocks.candidates import Candidate, Group
from ktoformats.blocks.path import MISSING, Scope
from ktoformats.blocks.spec import PathText, Spec, path
from ktoformats.errors import RecordError
from ktoformats.feedback import Response
from ktoformats.plugin.gather import Join
from ktoformats.plugin.turns import joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ktoformats.feedback import Context
    from ktoformats.plugin.gather import Read


class Keys(Spec):
    """The paths whose values must be equal, in the one file and in the other."""

    here: PathText
    """The path in the records that are read."""
    there: PathText
    """The path in the records of the other file."""

    @model_validator(mode="before")
    @classmethod
    def _short_form(cls, value: Any) -> Any:
        return {"here": value, "there": value} if isinstance(value, str) else value


class JoinRows(Spec):
    """The records of another file that have the same key."""

    model_config: ClassVar[ConfigDict] = ConfigDict(populate_by_name=True)

    file: str = Field(min_length=1)
    """A path or a glob."""
    on: Keys
    """The key's path; `{here, there}` where the files call it differently."""
    name: str = Field(default="joined", alias="as", min_length=1)
    """The field under which they are added to the record."""
    take: Literal["one", "all"] = "one"
    """The only one as it is, or all of them as a list."""

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_word(cls, value: Any) -> Any:
        """YAML 1.1 reads the key `on` as true."""
        if isinstance(value, dict) and True in value and "on" not in value:
            return {"on" if key is True else key: one for key, one in value.items()}
        return value

    def join(self) -> Join:
        """The join, ready to be read."""
        return Join(self.file, reader(self.on.here), reader(self.on.there), self.name, self.take == "all")


def reader(*texts: str) -> Read:
    """What reads one path, or several as a list, from a record; None where any of them finds nothing."""
    paths = [path(text) for text in texts]

    def read(record: Any) -> Any:
        scope = Scope(record, record)
        values = [one.read(scope) for one in paths]
        if any(value is MISSING or value is None for value in values):
            return None
        return values if len(values) > 1 else values[0]

    return read


def in_rows(group: Group, row: int | None = None) -> Group:
    """The group with answers that say which of the gathered records they come from, and bring their context.

    Args:
        group: What was read.
        row: The record that all of it stands in; None leaves each candidate's own.
    """
    placed = [one if row is None else one._replace(row=row) for one in group.candidates]
    return Group(None, [one._replace(answer=_placed(one.answer, group.context, one.row)) for one in placed])


def _placed(answer: str | Response | RecordError, context: Context | None, row: int) -> Response | RecordError:
    if isinstance(answer, RecordError):
        answer.row = row
        return answer
    if isinstance(answer, Response):
        try:
            return answer._replace(context=joined(answer.context, context), row=row)
        except RecordError as error:
            error.row = row
            return error
    return Response(answer, context=context, row=row)


def pooled(
    groups: Sequence[tuple[Group, Scope]], *, by_answer: bool, turned: bool = False
) -> Iterator[tuple[Group, list[Scope]]]:
    """The groups of several records as groups of them all.

    Args:
        groups: What each record holds, with the scope its verdict is read in.
        by_answer: Each answer has a verdict of its own: all answers are one group, equal ones are one answer
            with several verdicts. Otherwise records that hold the same answers are one group with several verdicts.
        turned: Also where they call them differently: which of two answers is shown first is often drawn by lot.
    """
    if by_answer:
        merged: dict[Any, Candidate] = {}
        for one in (one for group, _ in groups for one in group.candidates):
            key = _content(one.answer)
            known = merged.get(key)
            merged[key] = known._replace(others=(*known.others, one)) if known else one
        if merged:
            yield Group(None, list(merged.values())), [scope for _, scope in groups]
        return
    alike: dict[Any, tuple[Group, list[Scope]]] = {}
    for group, scope in groups:
        contents = {_content(one.answer): one.name for one in group.candidates}
        is_set = turned and len(contents) == len(group.candidates)
        key = frozenset(contents) if is_set else tuple((one.name, _content(one.answer)) for one in group.candidates)
        first, scopes = alike.setdefault(key, (group, []))
        called = {contents[_content(one.answer)]: one.name for one in first.candidates} if is_set else {}
        scopes.append(scope._replace(called=called) if any(k != v for k, v in called.items()) else scope)
    yield from alike.values()


def _content(answer: str | Response | RecordError) -> Any:
    """What makes two answers one; a damaged one is like no other."""
    return answer._replace(row=0) if isinstance(answer, Response) else id(answer)
