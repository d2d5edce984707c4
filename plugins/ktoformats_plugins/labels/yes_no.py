"""Yes or no."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl, scale_of


class YesNo(Labels):
    """Reads لا, خطأ, no, n, false < نعم, صح, yes, y, true, and the booleans."""

    examples = (
        ("نعم", "good"),
        (True, "good"),
        ("no", "bad"),
        ("لا", "bad"),
    )

    scale: Scale = scale_of("yes-no", "=no | n < =yes | y", good_from=1, bad_to=0, booleans=True)


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [YesNo]
