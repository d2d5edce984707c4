"""Accepted or not."""

from __future__ import annotations

from ktoformats import Labels, Plugin, Scale, hookimpl, scale_of


class Acceptance(Labels):
    """Reads غير مقبول, مرفوض, راسب, reject(ed) < مقبول, ناجح, accept(ed)."""

    examples = (
        ("مقبول", "good"),
        ("غير مقبول", "bad"),
        ("accepted", "good"),
        ("rejected", "bad"),
    )

    scale: Scale = scale_of(
        "acceptance",
        "=fail | reject | rejected | unacceptable | not acceptable < =fair | =pass | accept | accepted",
        good_from=1,
        bad_to=0,
    )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Acceptance]
