"""What makes a layout unmistakable: columns a record must have, what stands in them, and what must not be there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from pydantic import Field

from ktoformats.blocks.spec import Spec
from ktoformats.plugin.kinds import Claim

if TYPE_CHECKING:
    from ktoformats.plugin.kinds import Shape

Kind = Literal["text", "boolean", "number", "list", "object", "texts", "any"]
"""What stands in a column; `texts` is a list of nothing but texts."""
_TEXTS: Final = frozenset({"text"})


class Signature(Spec):
    """The shape by which records of a layout are known, with certainty or not at all."""

    columns: dict[str, Kind | tuple[Kind, ...]] = Field(min_length=1)
    """Column to what stands in it, or to what may."""
    items: dict[str, tuple[str, ...]] = Field(default_factory=dict)
    """Column of an object, or of a list of objects, to keys that it must have."""
    absent: tuple[str, ...] = ()
    """Columns that another layout would have."""

    def claim(self, shape: Shape) -> Claim:
        """The claim on a shape; it scores the columns and keys that were looked for."""
        for column, kinds in self.columns.items():
            if column not in shape:
                return Claim(0, f"no column {column!r}")
            kinds = (kinds,) if isinstance(kinds, str) else kinds  # noqa: PLW2901 - one kind is the usual case
            if not any(_is(shape, column, kind) for kind in kinds):
                return Claim(0, f"column {column!r} is no {' or '.join(kinds)}")
        for column, keys in self.items.items():
            if missing := set(keys) - shape.items.get(column, frozenset()):
                return Claim(0, f"no {min(missing)!r} in {column!r}")
        if found := [column for column in self.absent if column in shape]:
            return Claim(0, f"has a column {found[0]!r}")
        sought = [*self.columns, *(f"{column}.{key}" for column, keys in self.items.items() for key in keys)]
        return Claim(len(sought), f"has {', '.join(sought)}", tuple(self.columns))


def _is(shape: Shape, column: str, kind: str) -> bool:
    found = shape.kinds[column]
    if kind == "texts":
        return found == "list" and shape.item_kinds.get(column) == _TEXTS
    return kind in (found, "any")
