"""What reads the cells of a mapping's verdict: the values that it names, or numbers between its bounds."""

from __future__ import annotations

import math
from typing import Annotated, Any, Final, Literal

import orjson
from pydantic import Field, model_validator

from ktoformats.blocks.path import MISSING, same
from ktoformats.errors import KTOLabelError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.kinds import Labels
from ktoformats.plugin.scale import Reading, Scale, shown

_NAME: Final = "as mapped"
_SCALE: Final = Scale(name=_NAME, low=0, high=1, good_from=1, bad_to=0)
_NUMBERS: Final = (int, float)
_Weight = Annotated[float, Field(gt=0)]
Combine = Literal["mean", "min", "max"] | tuple[_Weight, ...]
"""How several numbers become one: their mean, the least, the greatest, or a weight for each."""


def is_in(cell: Any, values: tuple[Any, ...]) -> bool:
    """Whether a cell is one of these JSON values."""
    return any(same(cell, value) for value in values)


def number_in(cell: Any) -> float | None:
    """A finite number, also when it is written as a text."""
    if type(cell) is str:
        try:
            cell = float(cell)
        except ValueError:
            return None
    return float(cell) if type(cell) in _NUMBERS and math.isfinite(cell) else None


def _listed(values: tuple[Any, ...]) -> str:
    """Values as YAML would have them."""
    return orjson.dumps(list(values), default=str).decode()


class _ByIdentity(Labels):
    """Label plugins of a mapping are made once per loader: they are told apart as objects."""

    scale: Scale = _SCALE

    def __hash__(self) -> int:
        return id(self)

    def __eq__(self, other: object) -> bool:
        return self is other

    def _unrecognised(self, cell: Any, expected: str) -> KTOLabelError:
        return KTOLabelError("label_unrecognised", f"{shown(cell)} is none of the mapping's values ({expected})")


class MappedLabels(_ByIdentity):
    """Cells that the mapping names, by what they mean."""

    good: tuple[Any, ...] = ()
    bad: tuple[Any, ...] = ()
    skip: tuple[Any, ...] = ()

    def read(self, cell: Any) -> Reading | None:
        """Good, bad or nothing; null is nothing unless the mapping says otherwise."""
        if is_in(cell, self.good):
            return Reading(GOOD, 1.0, 1.0, _NAME)
        if is_in(cell, self.bad):
            return Reading(BAD, 0.0, 0.0, _NAME)
        if cell is None or cell is MISSING or is_in(cell, self.skip):
            return None
        raise self._unrecognised(
            cell, f"good {_listed(self.good)}, bad {_listed(self.bad)}, skip {_listed(self.skip)}"
        )


class Threshold(_ByIdentity):
    """Numbers, or the mean of several, with the bounds from which they are good or bad."""

    good: float
    bad: float
    missing: tuple[Any, ...] = ()
    combine: Combine = "mean"
    nearest: bool = False

    @model_validator(mode="after")
    def _differ(self) -> Threshold:
        if self.good == self.bad:
            raise ValueError("good and bad are the same number")
        return self

    def read(self, cell: Any) -> Reading | None:
        """Good from the one bound on, bad from the other on, else the middle or the nearer of them."""
        cells = cell if type(cell) is list else [cell]
        weights = self.combine if isinstance(self.combine, tuple) else (1.0,) * len(cells)
        if len(weights) != len(cells):
            raise KTOLabelError("length_mismatch", f"{len(cells)} numbers for {len(weights)} weights")
        known = []
        for one, weight in zip(cells, weights, strict=True):
            if not (one is None or one is MISSING or is_in(one, self.missing)):
                if (number := number_in(one)) is None:
                    raise self._unrecognised(cell, f"a number; missing are {_listed(self.missing)}")
                known.append((number, weight))
        if not known:
            return None
        value = self._combined(known)
        share = (value - self.bad) / (self.good - self.bad)
        good, bad = (0.5, 0.5) if self.nearest else (1.0, 0.0)
        label = "" if self.nearest and share == good else GOOD if share >= good else BAD if share <= bad else ""
        return Reading(label, value, min(max(share, 0.0), 1.0), _NAME)

    def _combined(self, known: list[tuple[float, float]]) -> float:
        if self.combine == "min":
            return min(number for number, _ in known)
        if self.combine == "max":
            return max(number for number, _ in known)
        return math.fsum(number * weight for number, weight in known) / math.fsum(weight for _, weight in known)


FIXED: Final = MappedLabels(good=(GOOD,), bad=(BAD,))
"""Reads what a column or a policy has already called good or bad."""
