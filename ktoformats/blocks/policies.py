"""What follows where a record says less than it might: the policies of a mapping."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from ktoformats.blocks.cells import FIXED
from ktoformats.blocks.spec import Spec
from ktoformats.errors import KTOLabelError, RecordError
from ktoformats.feedback import GOOD, Judged, Response, Unjudged
from ktoformats.plugin.blank import is_blank

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ktoformats.blocks.candidates import Group
    from ktoformats.feedback import Fact


class VerdictPolicy(Spec):
    """What follows where a record says less than it might."""

    tie: Literal["drop", "both_good", "both_bad"] = "drop"
    """Answers judged equal."""
    both_bad: Literal["drop", "keep", "both_bad"] = "drop"
    """Answers judged bad together: no sample, or (`keep`, `both_bad`) bad samples."""
    equal_scores: Literal["keep", "drop"] = "keep"
    """A pair whose two scores are equal."""
    min_gap: float | None = Field(default=None, ge=0)
    """A pair whose scores lie closer gives no sample."""
    same_text: Literal["drop", "keep"] = "drop"
    """A pair whose sides have the same text: no sample, or both labels for it."""
    middle: Literal["drop", "nearest"] = "drop"
    """A rating between the bounds: no sample, or the label whose bound is nearer. (For ranks: `pick`.)"""
    missing: Literal["skip", "error"] = "skip"
    """A verdict that is null or absent: count it as none, or reject its record."""
    unknown_value: Literal["error", "skip"] = "error"
    """A value that the mapping does not name. `error` stops at the end of the file where it is a winner, and rejects
    the record where it is a label or a rating; `skip` counts it as no verdict."""
    empty: Literal["drop", "error"] = "drop"
    """An empty answer costs itself, or its whole record."""
    malformed: Literal["drop", "drop_row"] = "drop"
    """A damaged answer costs itself, or its whole record."""
    missing_prompt: Literal["error", "skip"] = "error"
    """A record without a prompt is rejected, or counted as one without a verdict."""
    tool_calls: Literal["drop", "keep"] = "drop"
    """An answer that is a tool call without a text."""
    conflict: Literal["report", "drop", "majority", "last"] | None = None
    """The same answer judged good and bad, over the whole data set; left out, the configuration decides."""

    @property
    def settles(self) -> bool:
        """Whether it wants something of verdicts that are missing or unknown; see `settle`."""
        return self.missing == "error" or self.unknown_value == "skip"


def lost(error: RecordError, row: int) -> Fact:
    """The fact of an answer that cannot be read, in one of the records that were gathered."""
    error.row = row
    return Judged(None, error, GOOD, error.field, FIXED)


def settle(facts: Iterable[Fact], policy: VerdictPolicy) -> Iterator[Fact]:
    """Apply what the policy says of verdicts that are missing, or that the mapping does not name."""
    for fact in facts:
        if isinstance(fact, Unjudged) and fact.reason == "null_verdict" and policy.missing == "error":
            yield lost(_no_verdict("verdict"), 0)
        elif isinstance(fact, Judged):
            yield _settled(fact, policy)
        else:
            yield fact


def _settled(fact: Judged, policy: VerdictPolicy) -> Fact:
    try:
        is_null = fact.verdict is None if isinstance(fact.scale, str) else fact.scale.read(fact.verdict) is None
    except KTOLabelError as error:
        unnamed = policy.unknown_value == "skip" and error.reason == "label_unrecognised"
        return Unjudged("unmapped") if unnamed else fact
    if is_null and policy.missing == "error":
        row = fact.response.row if isinstance(fact.response, Response) else 0
        return lost(_no_verdict(fact.field), row)
    return fact


def _no_verdict(field: str) -> RecordError:
    return RecordError("missing_verdict", "there is none; `missing: skip` lets such records pass", field=field)


def refuse_damage(group: Group, policy: VerdictPolicy) -> Group:
    """Apply what the policy says of damaged and empty answers and of tool calls.

    Raises:
        RecordError: `malformed: drop_row`, and an answer is damaged; `empty: error`, and one is empty.
    """
    if policy.empty == "error":
        _refuse_blank(group)
    if all(type(one.answer) is str for one in group.candidates):
        return group
    checked = [one._replace(answer=_without_calls(one.answer, policy)) for one in group.candidates]
    if policy.malformed == "drop_row":
        for one in checked:
            if isinstance(one.answer, RecordError):
                raise one.answer
    return group._replace(candidates=checked)


def is_blank_answer(answer: str | Response | RecordError) -> bool:
    """Whether an answer can be read and says nothing, not even by a tool call."""
    if isinstance(answer, Response):
        return is_blank(answer.text) and not answer.tool_calls
    return isinstance(answer, str) and is_blank(answer)


def _refuse_blank(group: Group) -> None:
    for one in group.candidates:
        if is_blank_answer(one.answer):
            error = RecordError("empty_response", "the answer is empty, and `empty: error` is set", field=one.name)
            error.row = one.row
            raise error


def _without_calls(answer: str | Response | RecordError, policy: VerdictPolicy) -> str | Response | RecordError:
    if policy.tool_calls == "drop" and isinstance(answer, Response) and answer.tool_calls and not answer.text:
        return RecordError("tool_call_answer", "the answer is a tool call without a text; tool_calls: keep takes it")
    return answer
