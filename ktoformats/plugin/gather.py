"""Records that belong together: how a format asks for them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    Read = Callable[[Any], Any]
    """From a record to a JSON value, None where there is none."""


@dataclass(frozen=True)
class Join:
    """The records of another file that have the same key."""

    file: str
    """A path or a glob."""
    here: Read
    there: Read
    name: str
    """The field under which they are added to the record."""
    every: bool = False
    """All of them as a list; else the only one, and a second one is an error."""


@dataclass(frozen=True)
class Gather:
    """What a format wants to see together; its rows then hold lists of records instead of one.

    First other records are joined to each, then records are grouped, by a key or by the tree they stand in;
    without either each stays alone. Records without a key stay alone, too.
    """

    join: Join | None = None
    key: Read | None = None
    order: Read | None = None
    """What to sort a group by; records without it come last, equal ones stay as they stood."""
    node: Read | None = None
    parent: Read | None = None
    """With `node`: records whose nodes hang together are one group."""
