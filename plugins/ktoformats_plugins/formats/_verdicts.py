"""The verdict columns of a record, in the specification's order, each with the label plugin that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import Judged, RecordError

if TYPE_CHECKING:
    from ktoformats import Columns, Context, Response, Row, Shape

SCALES = ("specification", "rating")
"""What reads label, score and preference, and what reads rating."""


_SCALES_IN_ORDER = ("specification", "specification", "rating", "specification")
"""The label plugin of each of `Columns.verdicts`."""


def has_verdict(cells: dict[str, Any], columns: Columns) -> bool:
    """Whether any verdict column stands in an object."""
    return not cells.keys().isdisjoint(columns.verdicts)


def verdict_in(shape: Shape) -> str | None:
    """The first verdict column of a shape, or None."""
    return shape.any_of(*shape.columns.verdicts)


def only_verdict(shape: Shape) -> tuple[str, str] | None:
    """The verdict column and its label plugin, where the shape has one alone that holds a plain value."""
    held = [one for one in zip(shape.columns.verdicts, _SCALES_IN_ORDER, strict=True) if shape.holds(one[0])]
    if len(held) != 1 or shape.kinds[held[0][0]] in ("list", "object"):
        return None
    return held[0]


def is_bare(shape: Shape) -> bool:
    """Whether no system text, earlier turns or tools stand beside a prompt."""
    columns = shape.columns
    return not any(map(shape.holds, (columns.system, columns.conversation, columns.tools)))


def judged(
    row: Row,
    context: Context | None,
    response: str | Response | RecordError,
    turn: dict[str, Any] | None = None,
    path: str = "",
) -> Judged:
    """This answer got the verdict of this record, or of one turn in it.

    Raises:
        RecordError: There is no verdict column.
    """
    cells, columns = row.record if turn is None else turn, row.columns
    first: tuple[str, Any, str] | None = None
    others: tuple[tuple[str, Any, str], ...] = ()
    for name, scale in zip(columns.verdicts, _SCALES_IN_ORDER, strict=True):
        cell = cells.get(name)
        if cell is None or (type(cell) is str and not cell.strip()):
            continue
        if first is None:
            first = (name, cell, scale)
        else:
            others += ((name, cell, scale),)
    if first is None:
        null = next((name for name in columns.verdicts if name in cells), None)
        if null is None:
            raise RecordError("missing_field", f"expected one of {', '.join(columns.verdicts)}", field=path)
        first = (null, None, SCALES[0])
    return Judged(context, response, first[1], first[0], first[2], others)
