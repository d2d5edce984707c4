"""What a page is made of: plain values; `ktoformats.page.render` makes HTML of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar


@dataclass(frozen=True)
class Card:
    """A figure that is seen first."""

    name: str
    value: str
    note: str = ""


@dataclass(frozen=True)
class Sides:
    """Two counts, shown as a bar whose whole length is `of`."""

    good: int
    bad: int
    of: int

    @property
    def total(self) -> int:
        """Both together."""
        return self.good + self.bad

    def part(self, count: int) -> float:
        """A count as a percentage of the whole bar."""
        return round(100 * count / self.of, 2) if self.of else 0.0


@dataclass(frozen=True)
class Bar:
    """A count, shown as a bar whose whole length is `of`."""

    count: int
    of: int

    @property
    def part(self) -> float:
        """The count as a percentage of the whole bar."""
        return round(100 * self.count / self.of, 2) if self.of else 0.0


Cell = str | int | float | Sides | Bar
"""A float is a share and shown as a percentage."""


@dataclass(frozen=True)
class Facts:
    """Sentences."""

    lines: tuple[str, ...]
    kind: ClassVar[str] = "facts"


@dataclass(frozen=True)
class Paste:
    """Lines to copy."""

    text: str
    kind: ClassVar[str] = "paste"


@dataclass(frozen=True)
class Table:
    """Rows under headings; cells of text, numbers, or bars."""

    caption: str
    headings: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Chart:
    """A drawing, and the same in figures for those who cannot see it."""

    title: str
    svg: str
    told: Table
    kind: ClassVar[str] = "chart"


@dataclass(frozen=True)
class Notice:
    """Something to look at, and what to do."""

    severity: str
    """`warning` or `note`."""
    rule: str
    message: str
    advice: str = ""
    examples: tuple[str, ...] = ()


@dataclass(frozen=True)
class Notices:
    """All that is to be looked at."""

    notices: tuple[Notice, ...]
    kind: ClassVar[str] = "notices"


@dataclass(frozen=True)
class Record:
    """A sample or a rejected record, to look at.

    Attributes:
        place: `file:line`.
        status: `kept`, `dropped` or `rejected`.
        label: `good` or `bad`; empty for what was rejected.
        format: What read it.
        reason: Why it is not used.
        facts: Names and values.
        turns: Roles and texts, the answer last.
        message: What is wrong with it, in our words.
    """

    place: str
    status: str
    label: str
    format: str
    reason: str
    facts: tuple[tuple[str, str], ...]
    turns: tuple[tuple[str, str], ...]
    message: str = ""


@dataclass(frozen=True)
class Records:
    """Records to browse, and which they are of all."""

    records: tuple[Record, ...]
    told: str
    kind: ClassVar[str] = "records"

    def values(self, name: str) -> list[str]:
        """The different values of an attribute, for a filter."""
        return sorted({value for one in self.records if (value := getattr(one, name))})


Block = Facts | Paste | Table | Chart | Notices | Records


@dataclass(frozen=True)
class Part:
    """One part of a page; `key` is its anchor."""

    key: str
    title: str
    blocks: tuple[Block, ...]
    lead: str = ""


@dataclass(frozen=True)
class Page:
    """A whole page."""

    title: str
    about: str
    cards: tuple[Card, ...]
    parts: tuple[Part, ...]
