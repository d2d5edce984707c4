"""Ratings from 1 to 5."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl


class Rating(Labels):
    """Reads numbers, fractions, percentages and stars from 1 to 5; good from 4, bad to 2, 3 is the middle."""

    examples = (
        (5, "good"),
        ("4/5", "good"),
        (3, ""),
        ("٢", "bad"),
        ("★☆☆☆☆", "bad"),
    )

    scale: Scale = Scale(name="rating", low=1, high=5, good_from=4, bad_to=2)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Rating]
