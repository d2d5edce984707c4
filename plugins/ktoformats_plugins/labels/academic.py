"""Academic grades."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl, scale_of


class Academic(Labels):
    """راسب < ضعيف < مقبول < جيد < جيد جداً < ممتاز: good from جيد."""

    scale: Scale = scale_of(
        "academic",
        "=fail | =very_weak | =very_bad < =weak | =bad < =fair | =average < =good < =very_good < =excellent",
        good_from=3,
        bad_to=2,
    )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    """Name this module's plugin."""
    return [Academic]
