"""Several answers in an order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from ktoformats import (
    Claim,
    Fact,
    Format,
    Plugin,
    Ranked,
    RankedLayout,
    Row,
    Shape,
    Unjudged,
    claim_of,
    hookimpl,
    items_of,
    or_error,
)
from ktoformats_plugins.formats._verdicts import is_bare

if TYPE_CHECKING:
    from collections.abc import Iterator


class Ranking(Format):
    """A prompt, a list of responses, and their ranks (or the list itself, best first)."""

    examples = (
        (
            {"prompt": "q", "responses": ["worst", "best", "fair"], "rankings": [3, 1, 2]},
            [("q", "best", "good"), ("q", "worst", "bad")],
        ),
        (
            {"prompt": "q", "responses": ["best", "worst"]},
            [("q", "best", "good"), ("q", "worst", "bad")],
            {"order": "best_first"},
        ),
    )

    order: Literal["ranks", "best_first", "worst_first"] = "ranks"
    """Where the order stands: in the rankings column, or in the order of the list."""
    best: Literal["low", "high"] = "low"
    """Whether the smallest or the largest rank is the best."""

    def claim(self, shape: Shape) -> Claim:
        """Prompt, responses and rankings; without rankings only when the list is declared to be ordered."""
        columns = shape.columns
        needed = [columns.prompt, columns.responses] + [columns.rankings] * (self.order == "ranks")
        for column in needed:
            if column not in shape:
                hint = " (or say order: best_first)" if column == columns.rankings else ""
                return Claim(0, f"no column {column!r}{hint}")
        return claim_of(*needed)

    def layout(self, shape: Shape) -> RankedLayout | None:
        """A text, texts that answer it, and their ranks."""
        columns = shape.columns
        kinds = shape.kind_in(columns.responses), shape.kind_in(columns.rankings)
        plain = kinds == ("text", "number") and shape.are_texts(columns.prompt) and is_bare(shape)
        if self.order != "ranks" or not plain:
            return None
        return RankedLayout(columns.prompt, columns.responses, columns.rankings, self.best)

    def facts(self, row: Row) -> Iterator[Fact]:
        """One ranking; an answer that cannot be read costs that answer."""
        field = row.columns.responses
        responses = tuple([or_error(row.answer, item, path) for path, item in items_of(row, field)])
        if self.order == "ranks":
            rankings = row.columns.rankings
            if row.get(rankings) is None and rankings in row:
                yield Unjudged("null_verdict")
                return
            ranks, best = tuple(row.list(rankings)), self.best
        else:
            rankings, ranks = field, tuple(range(1, len(responses) + 1))
            best = "low" if self.order == "best_first" else "high"
        yield Ranked(row.context(), responses, ranks, best, rankings)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Ranking]
