"""A thumb, up or down."""

from __future__ import annotations

from typing import Any, Literal

from ktoformats import KTOLabelError, Labels, Plugin, Reading, Scale, hookimpl, normalize_label, scale_of


class Thumbs(Labels):
    """Reads 👎, down, dislike, -1, false < 👍, up, like, 1, true; 0 means whatever `zero` says."""

    examples = (
        ("👍", "good"),
        (1, "good"),
        ("👎", "bad"),
        (-1, "bad"),
        (0, "bad", {"zero": "down"}),
        (0, None, {"zero": "unjudged"}),
    )

    scale: Scale = scale_of(
        "thumbs",
        "👎 | thumbs down | thumbs-down | thumbsdown | down | dislike | disliked | لم يعجبني | لا يعجبني | -1"
        " < 👍 | thumbs up | thumbs-up | thumbsup | up | like | liked | أعجبني | 1 | +1",
        good_from=1,
        bad_to=0,
        booleans=True,
    )
    zero: Literal["reject", "unjudged", "down"] = "reject"
    """What 0 means: some logs write it where nobody judged, others for a thumb down."""

    def read(self, cell: Any) -> Reading | None:
        """Read one raw cell; see the class."""
        if type(cell) in (int, float) and cell in (-1, 1):
            return self.scale.read(f"{cell:g}")
        if (type(cell) in (int, float) and cell == 0) or (type(cell) is str and normalize_label(cell) == "0"):
            return self._read_zero(cell)
        return self.scale.read(cell)

    def _read_zero(self, cell: Any) -> Reading | None:
        if self.zero == "reject":
            raise KTOLabelError(
                "label_unrecognised",
                f"{cell!r} is no thumb; say what it means with the option `zero: unjudged` or `zero: down`",
            )
        return self.scale.read("-1") if self.zero == "down" else None


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Thumbs]
