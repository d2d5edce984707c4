"""Build the samples of a list of files: read, convert, account, reject within a budget."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, Protocol, Self

import orjson

from ktoformats.convert.ledger import FileAccount
from ktoformats.errors import (
    KTODataError,
    KtoFormatsError,
    KTOLabelError,
    PluginError,
    RejectBudgetError,
    SourceError,
)
from ktoformats.store.gather import gathered
from ktoformats.store.workers import Workers

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.convert.ledger import Reject
    from ktoformats.convert.pipeline import Converted
    from ktoformats.plugin.registry import Registry
    from ktoformats.read.blocks import Block
    from ktoformats.read.named import Source
    from ktoformats.store.part import Part
    from ktoformats.store.report import Report
    from ktoformats.store.sink import Sink

    NamedBlocks = Iterable[tuple[str, Iterable[Block]]]
    Results = Iterable[tuple[list[str], Iterable[tuple[Converted, int]]]]
    """Names of sources, and what their blocks became, each with the byte it ends before."""

REJECTS_REMEMBERED: Final = 1000
_REASONS_SHOWN: Final = 5


class Progress(Protocol):
    """Hears how a build goes on."""

    def __call__(self, source: str, records: int, bytes_read: int) -> None:
        """So many more records of this file are done, up to this byte (0 where it is not known)."""


class Clerk:
    """Enters what becomes of every line, as it is told, and stops the build where it must.

    Args:
        report: Hears of all, also when the build stops.
        config: Budget, and what happens on errors.
        registry: Whose plugins, and whose observers that the config names, hear `ktoformats_record_rejected`.
        quarantine: Where rejected records are written.
        progress: Called after every block.
    """

    def __init__(
        self,
        report: Report,
        config: KTODataConfig,
        *,
        registry: Registry | None = None,
        quarantine: Quarantine | None = None,
        progress: Progress | None = None,
    ) -> None:
        self._report = report
        self._config = config
        self._registry = registry
        self._quarantine = quarantine
        self._progress = progress

    def open(self, names: Iterable[str]) -> None:
        """Begin an account for some sources."""
        for name in names:
            self._report.ledger.add(name, FileAccount())

    def enter(self, converted: Converted, end: int) -> None:
        """Enter what a block became.

        Args:
            converted: It.
            end: The byte it ends before.

        Raises:
            KTODataError: `on_error: fail` and a record was rejected.
            KTOLabelError: The same, because its verdict could not be read.
        """
        for source, account in converted.accounts.items():
            self._report.ledger.add(source, account)
            if self._progress is not None:
                self._progress(source, account.lines, end)
        for reject in converted.rejects:
            if self._registry is not None:
                self._registry.tell(
                    "ktoformats_record_rejected",
                    observers=self._config.observers,
                    source=reject.source,
                    line=reject.line,
                    reason=reject.reason,
                    field=reject.field,
                    message=reject.message,
                )
            self._reject(reject)

    def recall(self, accounts: dict[str, FileAccount], rejects: Callable[[], Iterable[Reject]]) -> None:
        """Enter what was built before.

        Args:
            accounts: What became of it.
            rejects: Gives the rejected records; asked only where somebody wants to know them.

        Raises:
            KTODataError, KTOLabelError: As `enter`.
        """
        for source, account in accounts.items():
            self._report.ledger.add(source, account)
        if any(account.rejected for account in accounts.values()) and self._wants_rejects:
            for reject in rejects():
                self._reject(reject)
                if not self._wants_rejects:
                    break

    def close(self, names: Iterable[str]) -> None:
        """Judge some sources at their end.

        Raises:
            RejectBudgetError: One lost more records than the budget allows.
        """
        for name in names:
            check_budget(name, self._report.ledger.files[name], self._config)

    @property
    def _wants_rejects(self) -> bool:
        remembered = len(self._report.rejects) < REJECTS_REMEMBERED
        return remembered or self._quarantine is not None or self._config.on_error == "fail"

    def _reject(self, reject: Reject) -> None:
        if len(self._report.rejects) < REJECTS_REMEMBERED:
            self._report.rejects.append(reject)
        if self._quarantine is not None:
            self._quarantine.write(reject)
        if self._config.on_error == "fail":
            raise rejected_error(reject)


def build(
    sources: NamedBlocks,
    assembly: Assembly,
    config: KTODataConfig,
    sink: Sink,
    clerk: Clerk,
    *,
    joined: NamedBlocks = (),
    results: Results | None = None,
) -> Part:
    """Convert sources into a sink.

    Args:
        sources: Names and their blocks, in order.
        assembly: The pipeline.
        config: How many workers.
        sink: Where samples go.
        clerk: Is told what became of every line.
        joined: The file that the format joins to the sources, if it does.
        results: What an engine makes of the sources; None converts them here.

    Returns:
        All samples, in source order.

    Raises:
        KTODataError, KTOLabelError, RejectBudgetError: As the clerk.
        SourceError: A file cannot be read to its end.
    """
    with ExitStack() as stack:
        stack.callback(abandon_unless_finished, sink)
        if results is None:
            workers = stack.enter_context(Workers(assembly.pipeline, config))
            results = ((names, workers.convert(stream)) for names, stream in streams(sources, assembly, joined))
        for names, stream in results:
            clerk.open(names)
            for converted, end in stream:
                clerk.enter(converted, end)
                sink.write(converted.batches, converted.numbers)
            clerk.close(names)
        return sink.finish()


def streams(
    sources: NamedBlocks, assembly: Assembly, joined: NamedBlocks
) -> Iterator[tuple[list[str], Iterable[Block]]]:
    """The names of some sources with their blocks: one by one, or all together where records belong together."""
    if assembly.gather is None:
        for name, stream in sources:
            yield [name], stream
        return
    own, others = list(sources), list(joined)
    stream = gathered(own, assembly.gather, joined=others)
    yield [name for name, _ in (*own, *others)], stream


def abandon_unless_finished(sink: Sink) -> None:
    """Have what was written go, unless all of it was."""
    if not sink.finished:
        sink.abandon()


def file_blocks(sources: Iterable[Source]) -> Iterator[tuple[str, Iterable[Block]]]:
    """The blocks of every file, read when their turn comes."""
    for one in sources:
        yield one.name, one.blocks()


def check_budget(source: str, account: FileAccount, config: KTODataConfig) -> None:
    """Judge a file at its end.

    Raises:
        RejectBudgetError: It lost more than `max_rejected` records and more than `max_rejected_share` of them.
    """
    rejected = account.rejected.total()
    records = account.lines - account.blank
    if account.rejected["winner_unmapped"]:
        values = "; ".join(
            f"{one.field}: {one.value} ({one.records} times, first on line {one.first_line})"
            for one in account.unknowns()[:_REASONS_SHOWN]
        )
        raise RejectBudgetError(
            f"{source}: {account.rejected['winner_unmapped']} of {records} records name a winner that the mapping "
            f"does not: {values}; a verdict that is half mapped is a misread file: map these values, or set "
            "policy: {unknown_value: skip}"
        )
    if (
        config.on_error == "skip"
        or rejected <= config.max_rejected
        or rejected <= config.max_rejected_share * records
    ):
        return
    reasons = ", ".join(f"{reason} {count}" for reason, count in most_frequent(account.rejected)[:_REASONS_SHOWN])
    values = "; ".join(
        f"{one.field}: {one.value} ({one.records} times, first on line {one.first_line})"
        for one in account.unknowns()[:_REASONS_SHOWN]
    )
    raise RejectBudgetError(
        f"{source}: {rejected} of {records} records were rejected ({reasons}){'; ' + values if values else ''}; "
        f"the budget is {config.max_rejected} records and {config.max_rejected_share:.1%}: correct the file or the "
        "config, raise max_rejected, or set on_error: skip"
    )


def most_frequent(counts: Counter[str]) -> list[tuple[str, int]]:
    """Counts from the largest on; equal ones by name, as it is chance which was met first."""
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def rejected_error(reject: Reject) -> KTODataError | KTOLabelError:
    """The error of one rejected record: a label error when its verdict was the trouble."""
    text = f"{reject.place()}: {reject.message} [{reject.reason}]"
    if reject.reason in {"label_unrecognised", "out_of_scale", "contradictory_verdicts"}:
        return KTOLabelError(reject.reason, text, field=reject.field)
    return KTODataError(text)


class Quarantine:
    """Writes rejected records beside their final place and publishes them by rename."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._part = path.with_name(f".{path.name}.{os.getpid()}.part")

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._stream = os.fdopen(os.open(self._part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb")
        except OSError as error:
            raise SourceError("not_writable", str(self._path), f"cannot be written ({error.strerror})") from error
        return self

    def write(self, reject: Reject) -> None:
        """Take one over."""
        self._stream.write(orjson.dumps(reject._asdict(), option=orjson.OPT_APPEND_NEWLINE))

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # a build that stopped over its data still shows what it rejected: that is what mends the file
        stopped_by_data = kind is not None and issubclass(kind, KtoFormatsError) and not issubclass(kind, PluginError)
        try:
            if kind is None or stopped_by_data:
                self._stream.close()
                self._part.replace(self._path)
        finally:
            with suppress(OSError):  # on a full disk closing tries to write once more
                self._stream.close()
            self._part.unlink(missing_ok=True)
