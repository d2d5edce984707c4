"""Rating scales: ordered grades, where they turn good, which way they run, what the middle means.

Polarity belongs to the scale and never to the word: `مقبول` is good on the acceptance scale and bad on the
academic one.
"""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, model_validator

from ktoformats.errors import KTOLabelError
from ktoformats.plugin import lexicon
from ktoformats.plugin.lexicon import Score, read_grade, read_score

_STAR_COUNTS = range(2, 11)
"""What `high` may be where a cell counts stars without a maximum: `★` is no percentage, nor 1 on [0, 1]."""


class Reading(NamedTuple):
    """What a cell says on a scale."""

    label: str
    """`good`, `bad`, or empty for the middle."""
    value: float
    """The place on the scale, in the scale's own numbers."""
    position: float
    """The same from 0 (worst) to 1 (best)."""
    scale: str
    flags: tuple[str, ...] = ()


class Scale(BaseModel):
    """An ordered scale of numbers, of words, or of both.

    Numbers run from `low` to `high`. Words are given worst first, each grade as a list of spellings (or as
    the name of a grade of the built-in lexicon, written `=good`); grade number i stands for `low + i` unless
    `low` and `high` say otherwise. `good_from` and `bad_to` are numbers of the scale, both inclusive; what
    lies between them is the middle.
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")

    name: str = "scale"
    low: float = 1.0
    high: float = 5.0
    good_from: float
    bad_to: float
    higher_is_better: bool = True
    grades: tuple[tuple[str, ...], ...] = ()
    neutral: Literal["none", "good", "bad"] = "none"
    """What the middle counts as; `none` gives no sample."""
    numbers: bool = True
    """Whether cells may be numbers (`4`, `٤`, `4/5`, `80%`, `★★★★☆`)."""
    booleans: bool = False
    """Whether true and false stand for `high` and `low`."""

    @model_validator(mode="after")
    def _check(self) -> Scale:
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high):
            raise ValueError(f"low ({self.low:g}) must be below high ({self.high:g})")
        worse, better = (self.bad_to, self.good_from) if self.higher_is_better else (self.good_from, self.bad_to)
        if not self.low <= worse < better <= self.high:
            raise ValueError(
                f"expected low <= bad_to < good_from <= high (the reverse where lower is better), "
                f"got low={self.low:g} bad_to={self.bad_to:g} good_from={self.good_from:g} high={self.high:g}"
            )
        if not self.numbers and not self.grades and not self.booleans:
            raise ValueError("a scale without numbers needs grades")
        if any(not word.strip() for spellings in self.grades for word in spellings):
            raise ValueError("grades: a spelling is empty; take out the superfluous `<` or `|`")
        _ = self._words  # two grades that share a spelling are an error now, not at the first record
        return self

    @cached_property
    def _words(self) -> dict[str, str]:
        """`label_key` of every spelling to the number of its grade, as text (the lexicon's value type)."""
        groups: dict[str, tuple[str, ...]] = {}
        for number, spellings in enumerate(self.grades):
            words = [w for w in spellings if not w.startswith("=")]
            for grade in (w[1:] for w in spellings if w.startswith("=")):
                known = [word for word, name in lexicon.LEXICON.items() if name == grade]
                if not known:
                    names = ", ".join(sorted(set(lexicon.LEXICON.values())))
                    raise ValueError(f"no grade {grade!r} in the lexicon; it has {names}")
                words += known
            groups[str(number)] = tuple(words)
        return lexicon.index_words(groups)

    @cached_property
    def _named(self) -> dict[str, str]:
        """Lexicon grade to grade number, for the opposites of negated words."""
        return {w[1:]: str(n) for n, spellings in enumerate(self.grades) for w in spellings if w.startswith("=")}

    def read(self, cell: Any) -> Reading | None:
        """Read one raw cell.

        Args:
            cell: What stands in the file: a bool, a number, a text, or None.

        Returns:
            The reading, or None when the cell is null or blank (nobody judged).

        Raises:
            KTOLabelError: The cell is nothing this scale knows (`label_unrecognised`), lies outside it
                (`out_of_scale`), or its number and word disagree (`contradictory_verdicts`).
        """
        if cell is None or (type(cell) is str and not cell.strip()):
            return None
        if type(cell) is bool:
            if self.booleans:
                return self._at(self.high if cell else self.low)
            raise self._unrecognised(cell)
        if type(cell) in (int, float) and self.numbers:
            return self._at(float(self._within(cell, cell)))  # compared first: 10**400 has no float
        if type(cell) is str:
            return self._read_text(cell)
        raise self._unrecognised(cell)

    def _read_text(self, cell: str) -> Reading:
        if self.grades and (reading := self._read_word(cell)) is not None:
            return reading
        if self.numbers and (score := read_score(cell)) is not None:
            return self._read_score(cell, score)
        raise self._unrecognised(cell)

    def _read_word(self, cell: str) -> Reading | None:
        grade = read_grade(cell, self._words, {})
        if grade is not None:
            return self._at(self._value_of(grade.name))
        general = read_grade(cell)  # a negated word: غير جيد is no spelling of this scale, but it is *weak*
        if general is not None and general.negated and general.name in self._named:
            return self._at(self._value_of(self._named[general.name]), ("negated",))
        return None

    def _value_of(self, number: str) -> float:
        steps = max(len(self.grades) - 1, 1)
        return self.low + int(number) * (self.high - self.low) / steps

    def _read_score(self, cell: str, score: Score) -> Reading:
        if "max_assumed" in score.flags and self.high not in _STAR_COUNTS:
            raise self._unrecognised(cell)
        if score.maximum is None:
            value = self._within(score.value, cell)
        elif 0 <= score.value <= score.maximum:
            if self.low < 0:  # a share of a scale through zero has no agreed reading
                raise self._unrecognised(cell)
            share = score.value / score.maximum
            value = score.value if score.maximum == self.high else share * self.high
            value = max(value, self.low)  # 0/5 is the lowest grade, a bare 0 is not
        else:
            raise self._out_of_scale(cell)
        reading = self._at(value, score.flags)
        if score.word:
            self._check_coded(cell, reading, score.word)
        return reading

    def _check_coded(self, cell: str, reading: Reading, word: str) -> None:
        own = self._read_word(word) if self.grades else None
        general = read_grade(word)
        if own is not None:
            agrees = own.value == reading.value
        elif general is not None:
            refuted = lexicon.NEGATIVE_GRADES if reading.label == "good" else lexicon.POSITIVE_GRADES
            agrees = not reading.label or general.name not in refuted
        else:
            raise self._unrecognised(cell)
        if not agrees:
            raise KTOLabelError(
                "contradictory_verdicts",
                f"{shown(cell)}: the number and the word disagree on scale {self.name!r}",
            )

    def _at(self, value: float, flags: tuple[str, ...] = ()) -> Reading:
        sign = 1.0 if self.higher_is_better else -1.0
        if sign * value >= sign * self.good_from:
            label = "good"
        elif sign * value <= sign * self.bad_to:
            label = "bad"
        else:
            label = "" if self.neutral == "none" else self.neutral
        share = (value - self.low) / (self.high - self.low)
        return Reading(label, value, share if self.higher_is_better else 1.0 - share, self.name, flags)

    def _within(self, value: float, cell: Any) -> float:
        if not self.low <= value <= self.high:
            raise self._out_of_scale(cell)
        return value

    def _out_of_scale(self, cell: Any) -> KTOLabelError:
        return KTOLabelError(
            "out_of_scale",
            f"{shown(cell)} lies outside scale {self.name!r} ({self.low:g} to {self.high:g}); "
            "name the column's scale under `scales:`",
        )

    def _unrecognised(self, cell: Any) -> KTOLabelError:
        return KTOLabelError("label_unrecognised", f"{shown(cell)} is no value of {self.describe()}")

    def describe(self) -> str:
        """Say what the scale accepts, for error messages and listings."""
        parts = []
        if self.numbers:
            parts.append(f"numbers {self.low:g} to {self.high:g}")
        if self.grades:
            firsts = [next((w.removeprefix("=") for w in spellings), "?") for spellings in self.grades]
            parts.append("words " + " < ".join(firsts))
        if self.booleans:
            parts.append("true, false")
        return f"scale {self.name!r} ({'; '.join(parts)})"


def shown(cell: Any) -> str:
    """A cell as messages show it: its Python spelling, 80 characters at most."""
    text = repr(cell)
    return text if len(text) <= 80 else text[:77] + "..."  # noqa: PLR2004 - one line of a terminal


def scale_of(name: str, grades: str, *, good_from: int, bad_to: int, **options: Any) -> Scale:
    """Build a scale of words from one line, worst first: `scale_of("pass", "=fail < =pass", ...)`.

    Args:
        name: The scale's name.
        grades: Grades separated by `<`; spellings of one grade by `|`; `=x` takes a grade of the lexicon.
        good_from: The number of the first good grade, counted from 0; with `low` and `high` a number of the scale,
            on which grade number i is `low + i`.
        bad_to: The number of the last bad grade, in the same way.
        **options: Further fields of `Scale`.
    """
    split = tuple(tuple(w.strip() for w in grade.split("|")) for grade in grades.split("<"))
    options.setdefault("low", 0.0)
    options.setdefault("high", float(len(split) - 1))
    options.setdefault("numbers", False)
    return Scale(name=name, grades=split, good_from=good_from, bad_to=bad_to, **options)
