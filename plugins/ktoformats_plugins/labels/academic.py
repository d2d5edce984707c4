"""The grades of schools and universities."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl, scale_of


class Academic(Labels):
    """Reads راسب or ضعيف جداً < ضعيف or سيئ < مقبول or متوسط < جيد < جيد جداً < ممتاز; good from جيد."""

    examples = (
        ("ممتاز", "good"),
        ("جيد", "good"),
        ("مقبول", "bad"),
        ("راسب", "bad"),
        ("excellent", "good"),
    )

    scale: Scale = scale_of(
        "academic",
        "=fail | =very_weak | =very_bad < =weak | =bad < =fair | =average < =good < =very_good < =excellent",
        good_from=3,
        bad_to=2,
    )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Academic]
