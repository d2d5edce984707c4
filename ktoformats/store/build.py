"""Build the samples of a list of files: read, convert, account, reject within a budget."""

from __future__ import annotations

import os
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Final, Protocol, Self

import orjson

from ktoformats.convert.ledger import FileAccount
from ktoformats.errors import KTODataError, KtoFormatsError, KTOLabelError, RejectBudgetError, SourceError
from ktoformats.store.gather import gathered
from ktoformats.store.workers import Workers

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.convert.ledger import Reject
    from ktoformats.convert.pipeline import Converted
    from ktoformats.plugin.registry import Registry
    from ktoformats.read.blocks import Block
    from ktoformats.read.named import Source
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


def build(
    sources: NamedBlocks,
    assembly: Assembly,
    config: KTODataConfig,
    sink: Sink,
    report: Report,
    *,
    joined: NamedBlocks = (),
    results: Results | None = None,
    registry: Registry | None = None,
    rejects_path: Path | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """Convert sources into a sink.

    Args:
        sources: Names and their blocks, in order.
        assembly: The pipeline.
        config: Budget, workers, what happens on errors.
        sink: Where samples go.
        report: Is told what became of every line, also when the build stops.
        joined: The file that the format joins to the sources, if it does.
        results: What an engine makes of the sources; None converts them here.
        registry: Whose plugins hear `ktoformats_record_rejected`.
        rejects_path: Where quarantined records are written, one JSON object a line.
        progress: Called after every block.

    Returns:
        All samples, in source order.

    Raises:
        KTODataError: `on_error: fail` and a record was rejected.
        KTOLabelError: The same, because its verdict could not be read.
        RejectBudgetError: A file lost more records than the budget allows.
        SourceError: A file cannot be read to its end.
    """
    ledger = report.ledger
    with ExitStack() as stack:
        quarantine = stack.enter_context(_Quarantine(rejects_path)) if rejects_path else None
        stack.callback(_abandon_unless_finished, sink)
        if results is None:
            workers = stack.enter_context(Workers(assembly.pipeline, config))
            results = ((names, workers.convert(stream)) for names, stream in _streams(sources, assembly, joined))
        for names, stream in results:
            for name in names:
                ledger.add(name, FileAccount())
            for converted, end in stream:
                for source, account in converted.accounts.items():
                    ledger.add(source, account)
                    if progress is not None:
                        progress(source, account.lines, end)
                _handle_rejects(converted, config, report.rejects, quarantine, registry)
                sink.write(converted.batches)
            for name in names:
                check_budget(name, ledger.files[name], config)
        return sink.finish()


def _streams(
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


def _abandon_unless_finished(sink: Sink) -> None:
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


def _handle_rejects(
    converted: Converted,
    config: KTODataConfig,
    remembered: list[Reject],
    quarantine: _Quarantine | None,
    registry: Registry | None,
) -> None:
    for reject in converted.rejects:
        if len(remembered) < REJECTS_REMEMBERED:
            remembered.append(reject)
        if quarantine is not None:
            quarantine.write(reject)
        if registry is not None:
            registry.tell(
                "ktoformats_record_rejected",
                source=reject.source,
                line=reject.line,
                reason=reject.reason,
                field=reject.field,
                message=reject.message,
            )
        if config.on_error == "fail":
            raise rejected_error(reject)


def rejected_error(reject: Reject) -> KTODataError | KTOLabelError:
    """The error of one rejected record: a label error when its verdict was the trouble."""
    text = f"{reject.place()}: {reject.message} [{reject.reason}]"
    if reject.reason in {"label_unrecognised", "out_of_scale", "contradictory_verdicts"}:
        return KTOLabelError(reject.reason, text, field=reject.field)
    return KTODataError(text)


class _Quarantine:
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
        self._stream.write(orjson.dumps(reject._asdict(), option=orjson.OPT_APPEND_NEWLINE))

    def publish(self) -> None:
        self._stream.close()
        self._part.replace(self._path)

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        # a build that stopped over its data still shows what it rejected: that is what mends the file
        try:
            if kind is None or issubclass(kind, KtoFormatsError):
                self.publish()
        finally:
            with suppress(OSError):  # on a full disk closing tries to write once more
                self._stream.close()
            self._part.unlink(missing_ok=True)
