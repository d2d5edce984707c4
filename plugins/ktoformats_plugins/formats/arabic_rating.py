"""Arabic ratings: `تقييم` with grades in words, numbers, fractions or stars."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import (
    Claim,
    Fact,
    Format,
    Judged,
    JudgedLayout,
    Plugin,
    Row,
    Shape,
    claim_of,
    hookimpl,
    read_score,
)
from ktoformats_plugins.formats._verdicts import is_bare

if TYPE_CHECKING:
    from collections.abc import Iterator


class ArabicRating(Format):
    """A prompt, a response and `تقييم`: words on the academic scale, numbers and stars from 1 to 5."""

    examples = (
        ({"prompt": "q", "response": "a", "تقييم": "ممتاز"}, [("q", "a", "good")]),
        ({"prompt": "q", "response": "a", "تقييم": "٢/٥"}, [("q", "a", "bad")]),
    )

    words: str = "academic"
    """The label plugin that reads words."""
    numbers: str = "rating"
    """The label plugin that reads numbers, fractions, percentages and stars."""

    def label_plugins(self) -> tuple[str, ...]:
        """What reads words, and what reads numbers."""
        return (self.words, self.numbers)

    def claim(self, shape: Shape) -> Claim:
        """Prompt, response and the rating column."""
        columns = shape.columns
        response = shape.any_of(*columns.answers)
        if columns.arabic_rating not in shape:
            return Claim(0, f"no column {columns.arabic_rating!r}")
        if response is None or columns.prompt not in shape:
            return Claim(0, f"no prompt {columns.prompt!r} with a response {columns.response!r}")
        return claim_of(columns.prompt, response, columns.arabic_rating)

    def layout(self, shape: Shape) -> JudgedLayout | None:
        """A text, its answer and the rating, and nothing else that counts."""
        columns = shape.columns
        response = next(filter(shape.holds, columns.answers), columns.response)
        if columns.arabic_rating not in shape or not is_bare(shape) or not shape.are_texts(columns.prompt, response):
            return None
        return JudgedLayout(columns.prompt, response, columns.arabic_rating, self._scale_of)

    def facts(self, row: Row) -> Iterator[Fact]:
        """One judged answer."""
        field = row.columns.arabic_rating
        cell, response = row[field], row.response()
        yield Judged(row.context(), response, cell, field, self._scale_of(cell))

    def _scale_of(self, cell: Any) -> str:
        return self.numbers if type(cell) is not str or read_score(cell) is not None else self.words


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [ArabicRating]
