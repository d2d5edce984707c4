"""One answer, one verdict: thumbs, scores, good and bad."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from ktoformats import Claim, Fact, Format, JudgedLayout, Plugin, Row, Shape, claim_of, hookimpl
from ktoformats_plugins.formats._verdicts import SCALES, is_bare, judged, only_verdict, verdict_in

if TYPE_CHECKING:
    from collections.abc import Iterator


class Binary(Format):
    """A prompt, a response (or completion) and a label, score, rating or preference."""

    examples = (
        ({"prompt": "q", "response": "a", "label": "good"}, [("q", "a", "good")]),
        ({"prompt": "q", "completion": "a", "rating": 2}, [("q", "a", "bad")]),
        ({"prompt": "q", "response": "a", "score": 0.9, "system": "s"}, [("q", "a", "good")]),
    )

    default_scales: ClassVar[tuple[str, ...]] = SCALES

    def claim(self, shape: Shape) -> Claim:
        """Prompt, response and verdict; a conversation beside them is history."""
        columns = shape.columns
        response = shape.any_of(*columns.answers)
        verdict = verdict_in(shape)
        if columns.prompt not in shape:
            return Claim(0, f"no prompt column {columns.prompt!r}")
        if response is None:
            return Claim(0, f"no response column {columns.response!r} or {columns.completion!r}")
        if verdict is None:
            return Claim(0, f"no verdict column ({', '.join(columns.verdicts)})")
        return claim_of(columns.prompt, response, verdict, *[columns.conversation] * (columns.conversation in shape))

    def layout(self, shape: Shape) -> JudgedLayout | None:
        """A text, its answer and one verdict, and nothing else that counts."""
        columns, verdict = shape.columns, only_verdict(shape)
        response = next(filter(shape.holds, columns.answers), columns.response)
        if verdict is None or not is_bare(shape) or not shape.are_texts(columns.prompt, response):
            return None
        return JudgedLayout(columns.prompt, response, *verdict)

    def facts(self, row: Row) -> Iterator[Fact]:
        """One judged answer."""
        response = row.response()
        yield judged(row, row.context(), response)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Binary]
