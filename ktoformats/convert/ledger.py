"""The accounting: what became of every line, per file and in total.

`lines == blank + used + without verdict + rejected` holds for every file at every moment, also when a build
stops half-way, because each record is entered exactly once.
"""

from __future__ import annotations

from bisect import insort
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

_VALUES_REMEMBERED: Final = 10_000
"""Distinct unreadable values counted for each file: enough for every honest file, bounded for the others."""
_VALUES_TOLD: Final = 50
_LINES_REMEMBERED: Final = 5
_COUNTERS: Final = (
    "without_verdict",
    "rejected",
    "formats",
    "candidates_lost",
    "candidates_unjudged",
    "notices",
)
_SUMS: Final = ("lines", "blank", "used", "samples")


class Reject(NamedTuple):
    """One rejected record."""

    source: str
    line: int
    offset: int
    reason: str
    field: str
    message: str
    record: str
    """The head of the record as text, for people to find it by."""

    def place(self) -> str:
        """`file:line`, and the field where there is one."""
        return f"{self.source}:{self.line}" + (f": {self.field}" if self.field else "")


class UnknownValue(NamedTuple):
    """A verdict value that no scale could read, summed up over a file."""

    field: str
    value: str
    records: int
    first_line: int


@dataclass
class FileAccount:
    """What became of one file's lines. Counters map reason codes to numbers of records."""

    lines: int = 0
    blank: int = 0
    used: int = 0
    """Records that gave at least one sample."""
    without_verdict: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    samples: int = 0
    """The fan-out: samples before any filter or balance."""
    formats: Counter[str] = field(default_factory=Counter)
    """Used records by the format that read them."""
    candidates_lost: Counter[str] = field(default_factory=Counter)
    """Damaged answers in records that gave other samples."""
    lost_lines: dict[str, list[int]] = field(default_factory=dict)
    """The first lines of the records whose answers were lost, by reason."""
    candidates_unjudged: Counter[str] = field(default_factory=Counter)
    """Answers without a verdict in records that gave other samples."""
    notices: Counter[str] = field(default_factory=Counter)
    """Changes and repairs worth knowing, such as a byte order mark skipped."""
    unknown_values: dict[tuple[str, str], tuple[int, int]] = field(default_factory=dict)
    """(field, value) of verdicts that could not be read: count and first line."""

    def add(self, other: FileAccount) -> None:
        """Add another part of the same file."""
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in _COUNTERS:
            getattr(self, name).update(getattr(other, name))
        for reason, lines in other.lost_lines.items():
            self.lose(reason, lines)
        for key, (count, line) in other.unknown_values.items():
            self.note_unknown(key[0], key[1], line, count)

    def lose(self, reason: str, lines: Iterable[int]) -> None:
        """Remember where answers were lost."""
        known = self.lost_lines.setdefault(reason, [])
        for line in lines:
            if (len(known) < _LINES_REMEMBERED or line < known[-1]) and line not in known:
                insort(known, line)
                del known[_LINES_REMEMBERED:]

    def note_unknown(self, column: str, value: str, line: int, count: int = 1) -> None:
        """Remember a verdict value that could not be read."""
        known = self.unknown_values.get((column, value))
        if known is not None:
            self.unknown_values[column, value] = (known[0] + count, min(known[1], line))
        elif len(self.unknown_values) < _VALUES_REMEMBERED:
            self.unknown_values[column, value] = (count, line)

    @property
    def balanced(self) -> bool:
        """Whether the accounting law holds."""
        return self.lines == (self.blank + self.used + self.without_verdict.total() + self.rejected.total())

    def to_json(self, *, whole: bool = False) -> dict[str, Any]:
        """The account as plain JSON values, counters sorted by count.

        Args:
            whole: All unreadable values, for another process to go on with; else the 50 most frequent.
        """
        plain: dict[str, Any] = {name: getattr(self, name) for name in _SUMS}
        for name in _COUNTERS:
            plain[name] = dict(sorted(getattr(self, name).items(), key=lambda pair: (-pair[1], pair[0])))
        plain["lost_lines"] = {reason: self.lost_lines[reason] for reason in sorted(self.lost_lines)}
        values = self.unknowns()
        plain["unknown_values"] = [one._asdict() for one in (values if whole else values[:_VALUES_TOLD])]
        return plain

    @classmethod
    def from_json(cls, plain: dict[str, Any]) -> FileAccount:
        """Rebuild an account from `to_json`."""
        account = cls()
        for name in _SUMS:
            setattr(account, name, plain[name])
        for name in _COUNTERS:
            getattr(account, name).update(plain[name])
        account.lost_lines = {reason: list(lines) for reason, lines in plain["lost_lines"].items()}
        for one in plain["unknown_values"]:
            account.unknown_values[one["field"], one["value"]] = (one["records"], one["first_line"])
        return account

    def unknowns(self) -> list[UnknownValue]:
        """Unreadable verdict values, the most frequent first."""
        values = [UnknownValue(*key, *value) for key, value in self.unknown_values.items()]
        return sorted(values, key=lambda one: (-one.records, one.first_line, one.value))


class Ledger:
    """The accounts of all files of one build."""

    def __init__(self) -> None:
        self.files: dict[str, FileAccount] = {}

    def add(self, source: str, account: FileAccount) -> None:
        """Enter a part of one file."""
        self.files.setdefault(source, FileAccount()).add(account)

    def total(self) -> FileAccount:
        """All files together."""
        total = FileAccount()
        for account in self.files.values():
            total.add(account)
        total.lost_lines.clear()  # lines of different files say nothing together
        return total

    def to_json(self) -> dict[str, Any]:
        """`{"total": ..., "files": {...}}` as plain JSON values."""
        return {
            "total": self.total().to_json(),
            "files": {source: account.to_json() for source, account in self.files.items()},
        }
