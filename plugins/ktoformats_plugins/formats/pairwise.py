"""Two answers, one preferred: the layout of DPO and reward-model data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import (
    Claim,
    Context,
    Fact,
    Format,
    Pair,
    Plugin,
    RecordError,
    Response,
    Row,
    Shape,
    answer_of,
    as_json,
    claim_of,
    hookimpl,
    read_messages,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pairwise(Format):
    """A prompt with a chosen and a rejected answer, as texts, messages, or whole conversations."""

    chosen_score: str = "score_chosen"
    """Column of the chosen answer's score; with the other's it gives the margin that `min_gap` looks at."""
    rejected_score: str = "score_rejected"
    """Column of the rejected answer's score."""
    margin: str = "margin"
    """Column of the margin itself."""

    def claim(self, shape: Shape) -> Claim:
        """Chosen and rejected, with a prompt or as conversations that bring their own."""
        columns = shape.columns
        for column in (columns.chosen, columns.rejected):
            if column not in shape:
                return Claim(0, f"no column {column!r}")
        if columns.prompt in shape:
            return claim_of(columns.prompt, columns.chosen, columns.rejected)
        if shape.kinds[columns.chosen] == shape.kinds[columns.rejected] == "list":
            return claim_of(columns.chosen, columns.rejected)
        return Claim(0, f"no prompt column {columns.prompt!r}, and {columns.chosen} is no list of messages")

    def facts(self, row: Row) -> Iterator[Fact]:
        """One pair; a side that cannot be read costs that side."""
        columns = row.columns
        context = row.context() if row.get(columns.prompt) is not None else None
        margin = self._margin(row.record)
        yield Pair(context, _side(row, columns.chosen, context), _side(row, columns.rejected, context), margin)

    def _margin(self, record: dict[str, Any]) -> float | None:
        """How much better the chosen answer is; None where the record does not say it in numbers."""
        if self.chosen_score in record:
            chosen, rejected = _number(record[self.chosen_score]), _number(record.get(self.rejected_score))
            if chosen is not None and rejected is not None:
                return chosen - rejected
        return _number(record[self.margin]) if self.margin in record else None


def _number(value: Any) -> float | None:
    return float(value) if type(value) in (int, float) else None


def _side(row: Row, field: str, context: Context | None) -> str | Response | RecordError:
    try:
        value = row[field]
        if type(value) is list and _starts_with_user(value):
            return _conversation(value, field, context, row)
        return row.answer(value, field)
    except RecordError as error:
        return error


def _starts_with_user(value: list[Any]) -> bool:
    _, turns = read_messages(value, "")
    return bool(turns) and turns[0].role == "user"


def _conversation(value: list[Any], field: str, context: Context | None, row: Row) -> Response:
    """A whole conversation that ends in the answer; beside a prompt it must repeat that prompt."""
    answer = answer_of(read_messages(value, field), field, as_json(row.get(row.columns.tools)))
    own = answer.context
    if own is None:
        return answer
    system = row.text(row.columns.system) if row.get(row.columns.system) is not None else ""
    if system and own.system and own.system != system:
        raise RecordError(
            "prompt_mismatch", f"its system message differs from column {row.columns.system!r}", field=field
        )
    own = own._replace(system=own.system or system)
    if context is not None:
        if own.prompt != context.prompt:
            raise RecordError(
                "prompt_mismatch", f"its last user turn differs from column {row.columns.prompt!r}", field=field
            )
        own = own if own.conversation else context._replace(system=own.system or context.system)
    return answer._replace(context=own)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Pairwise]
