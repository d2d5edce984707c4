"""The verdict columns of a record, in the specification's order, each with the label plugin that reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import Judged, RecordError

if TYPE_CHECKING:
    from ktoformats import Columns, Context, Response, Row, Shape

SCALES = ("specification", "rating")
"""What reads label, score and preference, and what reads rating."""


def verdict_columns(columns: Columns) -> tuple[tuple[str, str], ...]:
    """Column and label plugin, the first column that is not null decides."""
    return (
        (columns.label, "specification"),
        (columns.score, "specification"),
        (columns.rating, "rating"),
        (columns.preference, "specification"),
    )


def verdict_in(shape: Shape) -> str | None:
    """The first verdict column of a shape, or None."""
    return shape.any_of(*shape.columns.verdicts)


def judged(row: Row, context: Context, response: str | Response) -> Judged:
    """This answer got this record's verdict.

    Raises:
        RecordError: There is no verdict column.
    """
    return judged_by(row.record, row.columns, context, response)


def judged_by(
    cells: dict[str, Any], columns: Columns, context: Context, response: str | Response, path: str = ""
) -> Judged:
    """As `judged`, with the verdict taken from any object, such as one turn of a conversation."""
    present = [(name, cells[name], scale) for name, scale in verdict_columns(columns) if name in cells]
    if not present:
        raise RecordError("missing_field", f"expected one of {', '.join(columns.verdicts)}", field=path)
    given = [cell for cell in present if cell[1] is not None]
    name, value, scale = given[0] if given else present[0]
    return Judged(context, response, value, name, scale, tuple(given[1:]))
