"""Two answers, one preferred: the layout of DPO and reward-model data."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import (
    Claim,
    Fact,
    Format,
    Pair,
    PairLayout,
    Plugin,
    Row,
    Shape,
    claim_of,
    hookimpl,
    number_in,
    or_error,
)
from ktoformats_plugins.formats._verdicts import is_bare

if TYPE_CHECKING:
    from collections.abc import Iterator


class Pairwise(Format):
    """A prompt with a chosen and a rejected answer, as texts, messages, or whole conversations."""

    examples = (
        ({"prompt": "q", "chosen": "yes", "rejected": "no"}, [("q", "yes", "good"), ("q", "no", "bad")]),
        (
            {
                "chosen": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "yes"}],
                "rejected": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "no"}],
            },
            [("q", "yes", "good"), ("q", "no", "bad")],
        ),
    )

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

    def layout(self, shape: Shape) -> PairLayout | None:
        """Three texts, without scores beside them."""
        columns = shape.columns
        texts = (columns.prompt, columns.chosen, columns.rejected)
        scored = self.chosen_score in shape or self.margin in shape
        return PairLayout(*texts) if is_bare(shape) and shape.are_texts(*texts) and not scored else None

    def facts(self, row: Row) -> Iterator[Fact]:
        """One pair; a side that cannot be read costs that side."""
        columns = row.columns
        context = row.context() if row.get(columns.prompt) is not None else None
        chosen = or_error(row.conversation, columns.chosen)
        rejected = or_error(row.conversation, columns.rejected)
        yield Pair(context, chosen, rejected, self._margin(row.record))

    def _margin(self, record: dict[str, Any]) -> float | None:
        """How much better the chosen answer is; None where the record does not say it in numbers."""
        if self.chosen_score in record:
            chosen, rejected = number_in(record[self.chosen_score]), number_in(record.get(self.rejected_score))
            if chosen is not None and rejected is not None:
                return chosen - rejected
        return number_in(record[self.margin]) if self.margin in record else None


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Pairwise]
