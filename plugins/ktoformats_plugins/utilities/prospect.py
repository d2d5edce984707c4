"""Prospect theory: gains are concave, losses convex and steeper."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
from pydantic import Field

from ktoformats import Plugin, Utility, hookimpl


class Prospect(Utility):
    """`q**alpha` for a good sample, `-lambda_param * (1-q)**alpha` for a bad one.

    q is the response quality in [0, 1]. The defaults are the median estimates of Tversky & Kahneman (1992),
    "Advances in prospect theory: cumulative representation of uncertainty", section 2.3.
    """

    inherits: ClassVar[frozenset[str]] = frozenset({"alpha", "lambda_param"})

    alpha: float = Field(default=0.88, gt=0, le=1)
    lambda_param: float = Field(default=2.25, gt=0)

    def utility(self, quality: np.ndarray, good: np.ndarray) -> np.ndarray:
        """Gains in [0, 1], losses in [-lambda_param, 0]."""
        distance = np.where(good, quality, 1.0 - quality)
        return np.where(good, 1.0, -self.lambda_param) * distance**self.alpha + 0.0  # no loss is 0.0, not -0.0


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Prospect]
