"""Satisfaction in five grades, as surveys ask for it."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl, scale_of


class Satisfaction(Labels):
    """Reads غير راضٍ تماماً < غير راضٍ < محايد < راضٍ < راضٍ تماماً, their numbers 1 to 5, and `٤ - راضٍ`."""

    examples = (
        ("راضٍ تماماً", "good"),
        ("satisfied", "good"),
        ("محايد", ""),
        ("dissatisfied", "bad"),
        (1, "bad"),
    )

    scale: Scale = scale_of(
        "satisfaction",
        "=no+ | very dissatisfied < =no | dissatisfied < =average < =yes | satisfied < =yes+ | very satisfied",
        low=1.0,
        high=5.0,
        good_from=4,
        bad_to=2,
        numbers=True,
    )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Satisfaction]
