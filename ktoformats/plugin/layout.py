"""Where the facts of a record stand, where its shape alone tells: whole blocks are then read column by column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.plugin.kinds import Labels, Shape


class JudgedLayout(NamedTuple):
    """The fact is `Judged(Context(prompt), response, verdict, field, scale)`."""

    prompt: str
    """The column of the prompt, a text."""
    response: str
    """The column of the answer, a text."""
    verdict: str
    """The column of the verdict. It is the fact's `field`."""
    scale: str | Labels | Callable[[Any], str] = "specification"
    """The label plugin that reads the verdict, or a function that names it by the verdict."""

    def fits(self, shape: Shape) -> bool:
        """Whether the columns hold what they must."""
        return shape.are_texts(self.prompt, self.response) and self.verdict in shape


class DialogueLayout(NamedTuple):
    """The same about the last of some messages, what precedes it being its context."""

    messages: str
    """The column of the conversation: a list of objects that hold a role and a content and nothing else."""
    verdict: str
    scale: str | Labels | Callable[[Any], str] = "specification"

    def fits(self, shape: Shape) -> bool:
        """Whether the columns hold what they must."""
        plain = shape.kind_in(self.messages) == "object" and set(shape.items[self.messages]) == {"role", "content"}
        return plain and self.verdict in shape


class PairLayout(NamedTuple):
    """The fact is `Pair(Context(prompt), chosen, rejected)`, each column a text."""

    prompt: str
    chosen: str
    rejected: str

    def fits(self, shape: Shape) -> bool:
        """Whether the columns hold what they must."""
        return shape.are_texts(*self)


class RankedLayout(NamedTuple):
    """The fact is `Ranked(Context(prompt), responses, ranks, best, field)`."""

    prompt: str
    """The column of the prompt, a text."""
    responses: str
    """The column of the answers, a list of texts."""
    ranks: str
    """The column of their ranks, a list of numbers."""
    best: str = "low"
    field: str = ""
    """The fact's field, where it is not called as the column of the ranks."""

    def fits(self, shape: Shape) -> bool:
        """Whether the columns hold what they must."""
        kinds = shape.kind_in(self.responses), shape.kind_in(self.ranks)
        return shape.are_texts(self.prompt) and kinds == ("text", "number")


Layout = JudgedLayout | DialogueLayout | PairLayout | RankedLayout
