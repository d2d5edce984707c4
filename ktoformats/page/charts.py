"""Drawings by matplotlib, made fit for a page: colours become classes, text stays text, nothing is styled inline.

A strict Content-Security-Policy forbids `style` attributes, and a page has a light and a dark side: so each colour
that is drawn with stands for a role, and the page's style sheet says what the role looks like.
"""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import numpy as np

from ktoformats.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_SVG: Final = "http://www.w3.org/2000/svg"
_ROLES: Final = {"#010101": "ink", "#020202": "grid", "#030303": "good", "#040404": "bad"}
_INK, _GRID, _GOOD, _BAD = _ROLES
_SETTINGS: Final[dict[Any, Any]] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ktoformats",
    "text.parse_math": False,
    "font.size": 9,
    "text.color": _INK,
    "axes.edgecolor": _GRID,
    "axes.labelcolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.spines.left": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": _GRID,
    "grid.linewidth": 0.6,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "xtick.major.size": 0,
    "xtick.minor.size": 0,
    "ytick.major.size": 0,
}
_BINS: Final = 40
_WIDE: Final = 12
"""A largest value so many times the median is drawn on a logarithmic axis."""
_INCHES: Final = (5.6, 2.1)
_ATTRIBUTES: Final = (
    "text-anchor",
    "stroke-width",
    "stroke-linejoin",
    "stroke-linecap",
    "stroke-dasharray",
    "opacity",
)


def histogram(values: NDArray[Any], good: NDArray[np.bool_], what: str) -> str:
    """How values lie among the good and among the bad samples, as shares of each; an SVG element.

    Args:
        values: Of shape (samples,), finite.
        good: bool, shape (samples,).
        what: The name of the values, for the axis.

    Raises:
        ConfigError: matplotlib is not installed.
    """
    edges, logarithmic = edges_of(values)
    shares = [shares_of(values[mask], edges) for mask in (good, ~good)]

    def draw(axes: Any) -> None:
        for share, colour, name in zip(shares, (_GOOD, _BAD), ("good", "bad"), strict=True):
            axes.stairs(share, edges, color=colour, linewidth=1.8, label=name)
        if logarithmic:
            axes.set_xscale("log")
            axes.xaxis.set_major_formatter("{x:,.0f}")
        axes.xaxis.set_minor_formatter("")
        axes.yaxis.set_major_formatter("{x:g}%")
        axes.set_xlabel(what)
        axes.set_ylim(bottom=0)
        axes.legend(frameon=False, loc="lower right", bbox_to_anchor=(1, 1), ncols=2, borderaxespad=0)

    return drawn(draw)


def shares_of(values: NDArray[Any], edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """The percentage of the values in each bin; zeros, which have no place on a logarithmic axis, in the first."""
    inside = np.clip(values, edges[0], edges[-1])
    return np.histogram(inside, edges)[0] / max(1, len(values)) * 100


def edges_of(values: NDArray[Any]) -> tuple[NDArray[np.float64], bool]:
    """The edges of a histogram's bins, and whether they are for a logarithmic axis."""
    if not len(values):
        return np.array([0.0, 1.0]), False
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high > _WIDE * max(1.0, float(np.median(values))):
        return np.geomspace(max(1.0, low), high + 1, _BINS + 1), True
    if np.nextafter(low, np.inf) >= high:  # nothing lies between them
        low, high = low - 0.5, high + 0.5
    whole = np.issubdtype(values.dtype, np.integer) and high - low < _BINS
    return (np.arange(low, high + 2) - 0.5, False) if whole else (np.linspace(low, high, _BINS + 1), False)


def drawn(draw: Any) -> str:
    """One pair of axes as an SVG element.

    Args:
        draw: Is given the axes.
    """
    try:
        import matplotlib as mpl
        from matplotlib.backends.backend_svg import FigureCanvasSVG
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ConfigError("the report as a page needs matplotlib: pip install 'ktoformats[report]'") from error
    with mpl.rc_context(_SETTINGS):
        figure = Figure(figsize=_INCHES, layout="constrained")
        FigureCanvasSVG(figure)
        figure.patch.set_visible(False)
        axes = figure.add_subplot()
        axes.patch.set_visible(False)
        draw(axes)
        made = io.StringIO()
        figure.savefig(made, format="svg", metadata={"Date": None})
    return cleaned(made.getvalue())


def cleaned(svg: str) -> str:
    """A drawing of ours without inline styles, ids and metadata."""
    ET.register_namespace("", _SVG)
    root = ET.fromstring(svg)  # noqa: S314 - what we drew ourselves, with names of our own
    for parent in list(root.iter()):
        for child in list(parent):
            if child.tag in (f"{{{_SVG}}}metadata", f"{{{_SVG}}}defs"):
                parent.remove(child)
    for one in root.iter():
        _clean(one)
    for name in ("width", "height"):
        root.attrib.pop(name, None)
    root.set("aria-hidden", "true")
    root.set("focusable", "false")
    return ET.tostring(root, encoding="unicode")


def _clean(one: ET.Element) -> None:
    for name in ("id", "clip-path"):
        one.attrib.pop(name, None)
    classes = []
    for name, value in _declared(one.attrib.pop("style", "")):
        if value in _ROLES:
            classes.append(f"{name}-{_ROLES[value]}")
        elif name == "font":
            one.set("font-size", next(word for word in value.split() if word.endswith("px")))
        elif name in ("fill", "stroke", "font-size", *_ATTRIBUTES):
            one.set(name, value)
    if one.tag == f"{{{_SVG}}}text" and not any(name.startswith("fill-") for name in classes):
        classes.append("fill-ink")
    if classes:
        one.set("class", " ".join(sorted(classes)))


def _declared(style: str) -> Sequence[tuple[str, str]]:
    pairs = (part.partition(":") for part in style.split(";") if part.strip())
    return [(name.strip(), value.strip()) for name, _, value in pairs]
