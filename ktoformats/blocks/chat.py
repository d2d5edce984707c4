"""Messages and transcripts in any dress, brought into the one shape that contexts are made of."""

from __future__ import annotations

import re
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

from pydantic import Field, model_validator

from ktoformats.blocks.path import MISSING, Scope
from ktoformats.blocks.spec import PathText, Spec, path
from ktoformats.errors import RecordError
from ktoformats.feedback import Message
from ktoformats.plugin.row import wrong_type
from ktoformats.plugin.turns import ROLES, check_order, read_messages

if TYPE_CHECKING:
    from ktoformats.plugin.turns import Dialogue

_PLAIN: Final = ("role", "content")


class Chat(Spec):
    """What a message looks like."""

    role: PathText = "role"
    """The path of the role."""
    content: PathText = "content"
    """A path; one of many parts (`parts[*].text`) has them joined."""
    roles: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Further names of roles, by the role they mean: `{assistant: [bot]}`."""

    @model_validator(mode="after")
    def _roles_are_known(self) -> Chat:
        if unknown := sorted(set(self.roles) - set(ROLES.values())):
            raise ValueError(f"roles: {unknown[0]!r} is no role; known are {', '.join(sorted(set(ROLES.values())))}")
        return self

    @cached_property
    def _is_plain(self) -> bool:
        return (self.role, self.content) == _PLAIN and not self.roles

    @cached_property
    def _own_roles(self) -> dict[str, str]:
        return {name.lower(): role for role, names in self.roles.items() for name in names}

    def read(self, value: Any, field: str) -> Dialogue:
        """Read a list of messages (or one message) into a system text and turns.

        Raises:
            RecordError: As `read_messages` does.
        """
        messages = [value] if type(value) is dict else value
        if not self._is_plain and type(messages) is list:
            messages = [self._plain(item) if type(item) is dict else item for item in messages]
        return read_messages(messages, field)

    def role_of(self, item: dict[str, Any]) -> str:
        """The role of one message; empty where it is unknown."""
        role = path(self.role).read(Scope(item, item))
        if type(role) is not str:
            return ""
        return self._own_roles.get(role.lower(), ROLES.get(role.lower(), ""))

    def _plain(self, item: dict[str, Any]) -> dict[str, Any]:
        """A message under the usual names; what else it carries stays."""
        scope = Scope(item, item)
        role, content = path(self.role).read(scope), path(self.content).read(scope)
        if type(role) is str:
            role = self._own_roles.get(role.lower(), role)
        if type(content) is list and path(self.content).many:
            content = "".join(part for part in content if type(part) is str) if content else None
        return {**item, "role": _or_none(role), "content": _or_none(content)}


def _or_none(value: Any) -> Any:
    return None if value is MISSING else value


class Marks(Spec):
    """The marks that begin each turn of a transcript."""

    user: str = Field(min_length=1)
    """What begins a turn of the user."""
    assistant: str = Field(min_length=1)
    """What begins an answer."""
    system: str | None = Field(default=None, min_length=1)
    """What begins the system text, where there is one."""
    end: tuple[str, ...] = ()
    """What may stand behind a turn and is no part of it."""

    @model_validator(mode="after")
    def _differ(self) -> Marks:
        marks = [mark for mark in (self.user, self.assistant, self.system) if mark]
        if len(set(marks)) < len(marks):
            raise ValueError("two roles have the same mark")
        return self

    @cached_property
    def _roles(self) -> dict[str, str]:
        roles = {self.user: "user", self.assistant: "assistant"}
        return roles | {self.system: "system"} if self.system else roles

    @cached_property
    def _split(self) -> re.Pattern[str]:
        longest_first = sorted(self._roles, key=len, reverse=True)
        return re.compile("|".join(map(re.escape, longest_first)))

    def read(self, value: Any, field: str) -> Dialogue:
        """Split a transcript; texts are stripped, and nothing else of them is changed.

        Raises:
            RecordError: It is no text, does not begin with a mark, or its turns are out of order.
        """
        if type(value) is not str:
            raise wrong_type(field, value, "a transcript")
        text = self._with_first_mark(value)
        found = list(self._split.finditer(text))
        if not found or text[: found[0].start()].strip():
            marks = " and ".join(map(repr, self._roles))
            raise RecordError("no_transcript", f"expected it to begin with one of the marks {marks}", field=field)
        ends = [*(mark.start() for mark in found[1:]), len(text)]
        turns = [
            Message(self._roles[mark.group()], self.strip_end(text[mark.end() : end].strip()).strip())
            for mark, end in zip(found, ends, strict=True)
        ]
        system = turns.pop(0).content if turns[0].role == "system" else ""
        check_order(turns[:-1] if turns and not turns[-1].content else turns, field)
        return system, turns

    def _with_first_mark(self, text: str) -> str:
        """A transcript may begin with its first mark's name alone, the line ends before it left out."""
        for mark in self._roles:
            bare = mark.lstrip()
            if bare != mark and text.startswith(bare):
                return mark[: len(mark) - len(bare)] + text
        return text

    def strip_end(self, text: str) -> str:
        """A text without the end marks behind it, and without white space behind them."""
        ends = tuple(end for end in self.end if end.strip())
        while True:
            bare = text.rstrip()
            mark = next((end for end in ends if text.endswith(end) or bare.endswith(end.rstrip())), None)
            if mark is None:
                return text
            text = text.removesuffix(mark) if text.endswith(mark) else bare.removesuffix(mark.rstrip())
