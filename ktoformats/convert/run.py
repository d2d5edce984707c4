"""What one block accumulates on its way through the pipeline: samples in the making, rejects, accounts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from ktoformats.convert.ledger import FileAccount, Reject
from ktoformats.errors import KTOLabelError, RecordError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.convert.bulk import Bulk
    from ktoformats.convert.encode import Made
    from ktoformats.convert.policy import Outcome
    from ktoformats.read.blocks import Place

_HEAD: Final = 200
_UNREAD: Final = frozenset({"label_unrecognised", "out_of_scale", "winner_unmapped"})
"""Rejects whose values are summed up."""

Decided = "tuple[Outcome, str, str] | RecordError"
"""What a record comes to, its format's name and its carried columns, or the error that costs it."""


class Run:
    """What one block accumulates."""

    __slots__ = ("account", "accounts", "bulks", "made", "numbers", "rejects", "source", "sources")

    def __init__(self, source: str) -> None:
        self.source: str = source
        self.bulks: list[Bulk] = []
        """Samples of records that were decided together."""
        self.made: list[Made] = []
        """Samples of records that were decided one by one."""
        self.numbers: list[int] = []
        """The record of each of these, or the group of records."""
        self.sources: list[str] = []
        """The file of each sample, where a block holds records of several."""
        self.rejects: list[Reject] = []
        self.account: FileAccount = FileAccount()
        self.accounts: dict[str, FileAccount] = {source: self.account}

    def number(self, record: int) -> None:
        """Note which record, or group of records, the samples come from that were entered since the last one."""
        self.numbers += [record] * (len(self.made) - len(self.numbers))

    def account_of(self, source: str) -> FileAccount:
        """The account of one of the files that the block's records come from."""
        return self.accounts.setdefault(source, FileAccount())

    def reject(self, line: int, offset: int, error: RecordError, raw: Any, source: str = "") -> None:
        """Enter a rejected record."""
        source = source or self.source
        account = self.account_of(source)
        account.rejected[error.reason] += 1
        _note_unknown(account, error, line)
        self.rejects.append(Reject(source, line, offset, error.reason, error.field, error.message, _head(raw)))

    def lose(self, account: FileAccount, error: RecordError, line: int) -> None:
        """Enter an answer that is lost from a record which gave others."""
        account.candidates_lost[error.reason] += 1
        account.lose(error.reason, [line])
        _note_unknown(account, error, line)


def _note_unknown(account: FileAccount, error: RecordError, line: int) -> None:
    if isinstance(error, KTOLabelError) and error.reason in _UNREAD:
        account.note_unknown(error.field, error.seen or error.message[:_HEAD], line)


def enter_group(
    run: Run,
    result: tuple[Outcome, str, str] | RecordError | None,
    rows: Sequence[Any],
    places: Sequence[Sequence[Place]],
    kept: tuple[str, ...],
) -> None:
    """Enter the records of one group, each exactly once.

    A row that gave a sample is used, one whose answer is damaged is rejected, and the others are without a
    verdict, for the group's reason. What was joined to a row is accounted with it.

    Args:
        run: Is told.
        result: What the group comes to; None where it has no rows.
        rows: The records.
        places: For each row where it stands, and then where the records stand that were joined to it.
        kept: The carried columns.
    """
    for own, *joined in places:
        run.account_of(own.source).lines += 1
        for other in joined:
            account = run.account_of(other.source)
            account.lines += 1
            account.without_verdict["joined"] += 1
    if result is None:
        run.account_of(places[0][0].source).without_verdict["unmatched"] += 1
    elif isinstance(result, RecordError):
        _enter_lost(run, result, rows, places)
    else:
        _enter_outcome(run, *result[:2], rows, places, kept)


def _enter_lost(run: Run, error: RecordError, rows: Sequence[Any], places: Sequence[Sequence[Place]]) -> None:
    """A group that could not be read as a whole."""
    for row, (own, *_) in zip(rows, places, strict=True):
        run.reject(own.line, own.offset, error, row, own.source)


def _enter_outcome(
    run: Run,
    outcome: Outcome,
    format_name: str,
    rows: Sequence[Any],
    places: Sequence[Sequence[Place]],
    kept: tuple[str, ...],
) -> None:
    for one in outcome.candidates:
        own = places[one.row][0]
        run.made.append((one, format_name, own.line, kept_of(rows[one.row], kept)))
        run.sources.append(own.source)
        run.account_of(own.source).samples += 1
    used = {one.row for one in outcome.candidates} | set(outcome.repeated)
    lost: dict[int, RecordError] = {}
    for error in outcome.lost:
        for number in range(len(rows)) if error.row is None else [error.row]:
            if number in used:
                own = places[number][0]
                run.lose(run.account_of(own.source), error, own.line)
            else:
                lost.setdefault(number, error)
    rest = "part_of_group" if used else outcome.unjudged[0] if outcome.unjudged else "null_verdict"
    for number, (own, *_) in enumerate(places):
        account = run.account_of(own.source)
        if number in used:
            account.used += 1
            account.formats[format_name] += 1
        elif number in lost:
            run.reject(own.line, own.offset, lost[number], rows[number], own.source)
        else:
            account.without_verdict[rest] += 1
    first = run.account_of(places[0][0].source)
    first.notices.update(outcome.notices)
    if used:
        first.candidates_unjudged.update(outcome.unjudged)


def kept_of(record: Any, columns: tuple[str, ...]) -> str:
    """The carried columns of a record as JSON text."""
    if not columns or type(record) is not dict:
        return ""
    return _dumps({name: record.get(name) for name in columns}).decode()


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str)


def _head(raw: Any) -> str:
    if not isinstance(raw, bytes):
        try:
            raw = _dumps(raw)
        except TypeError:
            raw = repr(raw).encode(errors="replace")
    return bytes(raw[:_HEAD]).decode("utf-8", "replace")
