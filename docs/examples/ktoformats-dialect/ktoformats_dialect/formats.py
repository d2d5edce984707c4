"""The format: a question, an answer, whose dialect the annotator speaks, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Final, get_args

from ktoformats import Claim, Example, Fact, Format, Judged, Plugin, Row, Shape, hookimpl, label_key

from ktoformats_dialect.labels import Dialect, DialectWords

if TYPE_CHECKING:
    from collections.abc import Iterator

_SPOKEN: Final = {label_key(name): DialectWords(dialect=name) for name in get_args(Dialect)}
"""The scale as the speakers of each dialect mean it."""


class DialectRating(Format):
    """An answer with a verdict in dialect: السؤال, الرد, رأيك, and اللهجة where it is known."""

    examples = (
        Example({"السؤال": "س", "الرد": "ج", "اللهجة": "خليجي", "رأيك": "وايد زين"}, [("س", "ج", "good")]),
        Example({"السؤال": "س", "الرد": "ج", "اللهجة": "مغربي", "رأيك": "ماشي مزيان"}, [("س", "ج", "bad")]),
        Example({"السؤال": "س", "الرد": "ج", "اللهجة": "مصري", "رأيك": "وحش"}, [("س", "ج", "bad")]),
        Example({"السؤال": "س", "الرد": "ج", "اللهجة": "مغربي", "رأيك": "وحش"}, []),
        Example({"السؤال": "س", "الرد": "ج", "رأيك": "مو منيح"}, [("س", "ج", "bad")]),
        Example({"q": "س", "a": "ج", "رأيك": "زين"}, [("س", "ج", "good")], {"question": "q", "answer": "a"}),
    )
    default_scales: ClassVar[tuple[str, ...]] = ("dialect",)

    question: str = "السؤال"
    """The question's column."""
    answer: str = "الرد"
    """The answer's column."""
    opinion: str = "رأيك"
    """The verdict's column."""
    dialect: str = "اللهجة"
    """The column that says whose dialect the verdict is in; it may be absent."""

    def claim(self, shape: Shape) -> Claim:
        """Question, answer and verdict."""
        return shape.claim(self.question, self.answer, self.opinion, also=(self.dialect,))

    def facts(self, row: Row) -> Iterator[Fact]:
        """One judged answer; a null verdict is the core's to count."""
        context, response = row.context(self.question), row.response(self.answer)
        yield Judged(context, response, row[self.opinion], self.opinion, self._scale(row))

    def _scale(self, row: Row) -> str | DialectWords:
        """Find the scale of the record's dialect; without one no disputed word is settled."""
        if row.get(self.dialect) is None:
            return "dialect"
        return _SPOKEN.get(label_key(row.text(self.dialect)), "dialect")


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    """Name this module's plugin."""
    return [DialectRating]
