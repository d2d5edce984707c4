"""One to five stars, as stars, numbers or words."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl, scale_of


class Stars(Labels):
    """Reads ★★★★☆, 4, ٤ من ٥ and سيئ جداً < سيئ < مقبول or متوسط < جيد < ممتاز; 4 and 5 are good, 1 and 2 bad."""

    examples = (
        ("★★★★☆", "good"),
        (5, "good"),
        ("مقبول", ""),
        ("٢ من ٥", "bad"),
        ("سيئ جداً", "bad"),
    )

    scale: Scale = scale_of(
        "stars",
        "=very_bad | =very_weak < =bad | =weak < =average | =fair < =good | =very_good < =excellent",
        low=1.0,
        high=5.0,
        good_from=4,
        bad_to=2,
        numbers=True,
    )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Stars]
