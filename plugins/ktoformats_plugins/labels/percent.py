"""Percentages."""

from __future__ import annotations

import math

from ktoformats import Labels, Plugin, Scale, hookimpl


class Percent(Labels):
    """Reads numbers from 0 to 100, with or without a percent sign, and fractions; good from 60, bad below."""

    examples = (
        (75, "good"),
        ("60%", "good"),
        ("٨٠٪", "good"),
        (59.5, "bad"),
        ("0", "bad"),
    )

    scale: Scale = Scale(name="percent", low=0, high=100, good_from=60, bad_to=math.nextafter(60.0, 0.0))


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Percent]
