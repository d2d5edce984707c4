"""The utility: a straight line, on which a loss weighs as much as a gain."""

from __future__ import annotations

import numpy as np
from ktoformats import Plugin, Utility, hookimpl
from pydantic import Field


class DialectLinear(Utility):
    """`q` for a good sample, `loss * (q - 1)` for a bad one, where q is the response quality from 0 to 1."""

    loss: float = Field(default=1.0, gt=0, allow_inf_nan=False)
    """How much a loss weighs beside a gain; 1 favours neither."""

    def utility(self, quality: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Gains from 0 to 1, losses from -loss to 0."""
        return np.where(good, quality, self.loss * (quality - 1.0))


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    """Name this module's plugin."""
    return [DialectLinear]
