"""Label, score and preference cells: the specification's tables and its threshold."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from ktoformats import (
    KTOLabelError,
    Labels,
    Plugin,
    Reading,
    Scale,
    hookimpl,
    label_key,
    read_grade,
    read_score,
)

_GOOD = (
    *(
        "good",
        "positive",
        "true",
        "yes",
        "y",
        "accept",
        "accepted",
        "preferred",
        "high",
        "excellent",
        "great",
    ),
    *("desirable", "thumbs_up", "thumbsup", "thumbs up", "up", "like", "liked", "upvote", "chosen", "win"),
    *("جيد", "ممتاز", "مقبول"),
    *("=yes", "=yes+", "=pass", "=fair", "=good", "=very_good", "=excellent"),
)
_BAD = (
    *(
        "bad",
        "negative",
        "false",
        "no",
        "n",
        "reject",
        "rejected",
        "not_preferred",
        "low",
        "poor",
        "terrible",
    ),
    *("undesirable", "thumbs_down", "thumbsdown", "thumbs down", "down", "dislike", "disliked", "downvote"),
    *("lose", "سيء", "ضعيف", "مرفوض"),
    *("=no", "=no+", "=fail", "=weak", "=very_weak", "=bad", "=very_bad"),
)


class Specification(Labels):
    """The specification's words, true and false, thumbs, and numbers from 0 to 1 with 0.5 as the threshold.

    A cell that names its own maximum (`4/5`, `80%`, stars) is a rating and read on `rated`, so that three of
    five stays in the middle instead of passing 0.5. Everything else is no label: -1, 2 and unknown words are
    refused, never rounded to the nearest side.
    """

    examples = (
        ("good", "good"),
        (True, "good"),
        (0.7, "good"),
        ("👎", "bad"),
        ("مرفوض", "bad"),
        (0.2, "bad"),
        (None, None),
    )

    inherits: ClassVar[frozenset[str]] = frozenset({"arabic_label_mapping"})

    scale: Scale = Scale(
        name="specification",
        low=0,
        high=1,
        good_from=0.5,
        bad_to=math.nextafter(0.5, 0),
        grades=(_BAD, _GOOD),
        booleans=True,
    )
    rated: Scale = Scale(name="rating", low=1, high=5, good_from=4, bad_to=2)
    arabic_label_mapping: dict[str, Literal["good", "bad"]] = Field(default_factory=dict)
    """Words that win over the tables; spellings are folded."""

    @model_validator(mode="after")
    def _mapping_is_unambiguous(self) -> Specification:
        _ = self._mapping
        return self

    @cached_property
    def _mapping(self) -> dict[str, str]:
        mapping: dict[str, str] = {}
        for word, label in self.arabic_label_mapping.items():
            if mapping.setdefault(label_key(word), label) != label:
                raise ValueError(f"{word!r} and another spelling of it are mapped to both labels")
        return mapping

    def read(self, cell: Any) -> Reading | None:
        """Read one cell; see the class."""
        try:
            return self._read_text(cell) if type(cell) is str and cell.strip() else super().read(cell)
        except KTOLabelError as error:
            # -1 and 2 are not far-off scores: they are somebody's labels, and nobody said which
            raise KTOLabelError("label_unrecognised", error.message) from None

    def _read_text(self, cell: str) -> Reading | None:
        grade = read_grade(cell, self._mapping, {})
        if grade is not None:
            value = 1.0 if grade.name == "good" else 0.0
            return Reading(grade.name, value, value, "arabic_label_mapping")
        score = read_score(cell)
        if score is not None and (score.maximum is not None or score.flags):
            return self.rated.read(cell)
        if score is None and (general := read_grade(cell)) is not None and general.name == "average":
            return Reading("", 0.5, 0.5, self.scale.name)
        return super().read(cell)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Specification]
