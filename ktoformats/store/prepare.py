"""From configuration to a finished view of one split: build or open the cache, filter, balance, check."""

from __future__ import annotations

import itertools
import logging
import os
import shutil
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

import ktoformats
from ktoformats.convert.ledger import FileAccount, Ledger, Reject
from ktoformats.errors import (
    ConfigError,
    EmptyDatasetError,
    KTODataError,
    KtoFormatsError,
    KTOLabelError,
    OneClassError,
    SourceError,
)
from ktoformats.feedback import BAD, GOOD, Pair, Ranked
from ktoformats.plugin.faults import suggest
from ktoformats.read.named import Source, find_sources
from ktoformats.store import view as views
from ktoformats.store.build import REJECTS_REMEMBERED, Progress, build, check_budget, file_blocks, most_frequent
from ktoformats.store.cache import NEUTRAL_FIELDS, REJECTS, Entry, cache_key, code_digest
from ktoformats.store.mix import mix, mixes, tagged
from ktoformats.store.repeats import without_repeats
from ktoformats.store.report import Report, loss_weights
from ktoformats.store.sink import DATA_FILE, ROWS_PER_BATCH, Sink, open_samples

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.plugin.registry import Registry
    from ktoformats.read.blocks import Block
    from ktoformats.store.build import NamedBlocks, Results
    from ktoformats.store.mix import Piece
    from ktoformats.store.view import View

logger = logging.getLogger("ktoformats")

Stage = Callable[["View"], "View"]
Engine = Callable[["Sequence[Piece]", "Sequence[list[Source]]"], "Sequence[Results]"]
"""What converts the files of all pieces somewhere else: for each piece its files, each with what became of it."""


class Cache(NamedTuple):
    """Where and how to cache."""

    folder: Path
    compression: bool = False
    salt: str = ""
    """What else decides the samples, such as the sources of overriding methods."""


class Stages(NamedTuple):
    """Replacements for whole stages; None takes the configured filters and balance."""

    filter: Stage | None = None
    balance: Stage | None = None


def prepare(
    split: str,
    pieces: Sequence[Piece],
    config: KTODataConfig,
    registry: Registry,
    *,
    cache: Cache | None = None,
    rejects_path: Path | None = None,
    progress: Progress | None = None,
    stages: Stages | None = None,
    rows: NamedBlocks | None = None,
    engine: Engine | None = None,
    for_training: bool = True,
) -> tuple[View, Report]:
    """Build (or open) the samples of one split and choose among them.

    Args:
        split: Its name, for messages; only `train` is balanced.
        pieces: Its files, and how they are read; the filters are those of the first.
        config: The data section.
        registry: Whose plugins hear the events.
        cache: None builds afresh.
        rejects_path: Where quarantined records go.
        progress: Called as the build goes on.
        stages: Overridden stages.
        rows: Named blocks of records in memory, instead of files; the only piece says how they are read.
        engine: Converts the files of all pieces somewhere else; it has no cache.
        for_training: Whether one label class is an error (with `require_both_labels`).

    Returns:
        The view and its report.

    Raises:
        KTODataError: Nothing usable came out; what was written is only the rejects file.
    """
    report = Report(split, Ledger(), plugins=_plugins(pieces), seed=config.random_seed)
    conflict = _conflict_of(pieces, config)  # what cannot be meant is told before anything is built
    try:
        tables = _tables(pieces, report, registry, cache, rejects_path, progress, rows=rows, engine=engine)
        parts = np.repeat(np.arange(len(tables)), [len(table) for table in tables])
        whole = pa.concat_tables([tagged(table, one.source) for table, one in zip(tables, pieces, strict=True)])
        view = _choose(
            views.whole(whole), split, config, pieces, parts, stages or Stages(), report, conflict=conflict
        )
        report.dropped, report.kept = view.dropped, view.counts()
        report.check()
        for piece, table in zip(pieces, tables, strict=True):
            _warn_of_scales(report, piece.config, table)
        _warn_of_losses(report, config)
        _warn_of_unread(report)
        _judge(report, config, for_training=for_training)
        _note_preferences(report, view, config)
    except (KTODataError, KTOLabelError) as error:
        error.report = report
        raise
    except OSError as error:  # a full disk, a quota, a folder that went away
        place = str(error.filename or (cache.folder if cache else "the temporary folder"))
        message = f"the samples cannot be written ({error.strerror or error}); nothing was published"
        raise SourceError("not_writable", place, message) from error
    for text in (*report.notes, *report.warnings):
        logger.warning("%s", text)
    registry.tell("ktoformats_dataset_built", split=split, report=report.to_json())
    return view, report


class _Job(NamedTuple):
    """What one build works with."""

    config: KTODataConfig
    assembly: Assembly
    registry: Registry
    report: Report
    rejects_path: Path | None
    progress: Progress | None

    def run(
        self,
        sources: Iterable[tuple[str, Iterable[Block]]],
        sink: Sink,
        rejects: Path | None,
        results: Results | None = None,
    ) -> pa.Table:
        return build(
            sources,
            self.assembly,
            self.config,
            sink,
            self.report,
            joined=file_blocks(joined_files(self.assembly)),
            results=results,
            registry=self.registry,
            rejects_path=rejects,
            progress=self.progress,
        )


def _tables(
    pieces: Sequence[Piece],
    report: Report,
    registry: Registry,
    cache: Cache | None,
    rejects_path: Path | None,
    progress: Progress | None,
    *,
    rows: NamedBlocks | None,
    engine: Engine | None,
) -> list[pa.Table]:
    """The samples of every piece; the report hears of all, also when a build stops."""
    paths = [[] for _ in pieces] if rows is not None else _resolved(pieces, rejects_path)
    results = [None] * len(pieces) if engine is None else engine(pieces, paths)
    tables = []
    with _Rejects(rejects_path, len(pieces)) as rejects:
        for piece, own, target, made in zip(pieces, paths, rejects.paths, results, strict=True):
            told = Report(report.split, Ledger())
            job = _Job(piece.config, piece.assembly, registry, told, target, progress)
            try:
                if made is not None:
                    tables.append(job.run((), Sink(), target, made))
                elif rows is None:
                    tables.append(_build_or_open(own, job, cache))
                else:
                    tables.append(job.run(rows, _sink(piece.config, None), target))
            finally:
                report.take(told)
    return tables


def _plugins(pieces: Sequence[Piece]) -> dict[str, dict[str, str]]:
    """Kind to name to owner, of all pieces."""
    used: dict[str, dict[str, str]] = {}
    for piece in pieces:
        for kind, owners in piece.assembly.plugins.items():
            used.setdefault(kind, {}).update(owners)
    return used


def _resolved(pieces: Sequence[Piece], rejects_path: Path | None) -> list[list[Source]]:
    """The files of every piece, none of them named twice or about to be written over."""
    found = [find_sources(piece.files) for piece in pieces]
    every = [source for sources in found for source in sources]
    find_sources(every)  # refuses a file that two pieces name
    _protect(every, rejects_path)
    return found


def _choose(
    view: View,
    split: str,
    config: KTODataConfig,
    pieces: Sequence[Piece],
    parts: views.Array,
    stages: Stages,
    report: Report,
    *,
    conflict: str,
) -> View:
    view = without_repeats(view, config, conflict, report)
    built = len(view.chosen)
    view = stages.filter(view) if stages.filter else views.apply_filters(view, pieces[0].assembly.filters)
    logger.info("Filtered %d samples, kept %d", built - len(view.chosen), len(view.chosen))
    if config.pairwise_sampling_strategy == "balanced":
        view = views.keep_whole_pairs(view)
    if config.balance_labels and split == "train":
        before = view.counts()
        if stages.balance:
            view = stages.balance(view)
        else:
            # each source by itself where sources are mixed: their proportions then stay what they are
            among = parts if mixes(pieces) else None
            tolerance, seed = config.label_imbalance_tolerance, config.random_seed
            view = views.balance(view, tolerance=tolerance, seed=seed, parts=among)
        if config.pairwise_sampling_strategy == "balanced":
            view = views.keep_whole_pairs(view)  # balancing may have torn some
        after = view.counts()
        logger.info("Balanced dataset: %d positive, %d negative samples", after[GOOD], after[BAD])
        _note_balance(report, before, after)
    return mix(view, parts, pieces, config, report) if mixes(pieces) else view


def _conflict_of(pieces: Sequence[Piece], config: KTODataConfig) -> str:
    """What to do about contradictions: what the configuration says, else what the formats agree on."""
    wanted = frozenset[str]().union(*(piece.assembly.conflicts for piece in pieces))
    if "conflict" in config.model_fields_set or not wanted:
        return config.conflict
    if len(wanted) > 1:
        raise ConfigError(
            f"the mappings want {' and '.join(sorted(wanted))} of contradictions; say `conflict:` in the data section"
        )
    [how] = wanted
    if how == "last" and not config.time_column:
        raise ConfigError(
            "policy.conflict: last needs `time_column:` in the data section: when each verdict was given"
        )
    return how


def _note_preferences(report: Report, view: View, config: KTODataConfig) -> None:
    """Tell once that a preference says less than two labels do."""
    facts = view.table.column("fact").take(pa.array(view.chosen))
    paired = pc.equal(facts, Pair.__name__.lower())
    relative = pc.sum(pc.or_(paired, pc.equal(facts, Ranked.__name__.lower()))).as_py() or 0
    if relative:
        report.notes.append(
            f"{relative} of {len(view.chosen)} samples come from preferences, which say that one answer is better, "
            "not that it is good: a winner may still be bad"
        )
    if config.min_gap is not None:
        cells = view.table.column("cell").take(pa.array(view.chosen))
        silent = pc.sum(pc.and_(paired, pc.equal(cells, ""))).as_py() or 0
        if silent:
            report.warnings.append(f"min_gap had no effect on {silent} samples: their pairs bring no scores")


def _note_balance(report: Report, before: dict[str, int], after: dict[str, int]) -> None:
    lost = sum(before.values()) - sum(after.values())
    if not lost:
        return
    weights = loss_weights(before[GOOD], before[BAD])
    instead = ""
    if weights:
        instead = (
            f"; balance_labels: false with desirable_weight={weights['desirable_weight']:g} and "
            f"undesirable_weight={weights['undesirable_weight']:g} would keep them"
        )
    report.notes.append(
        f"balancing dropped {lost} of {sum(before.values())} samples ({before[GOOD]} good, {before[BAD]} bad before; "
        f"{after[GOOD]} good, {after[BAD]} bad after){instead}"
    )


def _protect(sources: list[Source], target: Path | None) -> None:
    """Refuse to write over a source."""
    if target is not None and target.exists() and any(source.path.samefile(target) for source in sources):
        raise ConfigError(f"{target} is a source; rejected records must go somewhere else")


def _warn_of_losses(report: Report, config: KTODataConfig) -> None:
    """Warn of a file that lost much."""
    for source, account in report.ledger.files.items():
        records, rejected = account.lines - account.blank, account.rejected.total()
        if rejected > config.max_rejected_share * records:
            report.warnings.append(
                f"{source}: {rejected} of {records} records were rejected ({rejected / records:.0%})"
            )


_UNREAD: Final = ("label_unrecognised", "out_of_scale")


def _warn_of_unread(report: Report) -> None:
    """Warn of answers whose verdicts cannot be read, in records that gave other samples."""
    for source, account in report.ledger.files.items():
        lost = sum(account.candidates_lost[reason] for reason in _UNREAD)
        if lost:
            values = "; ".join(
                f"{one.field}: {one.value} ({one.records} times, first on line {one.first_line})"
                for one in account.unknowns()[:_VALUES_TOLD]
            )
            report.warnings.append(f"{source}: {lost} answers have a verdict that cannot be read: {values}")


_VALUES_TOLD: Final = 4


def _warn_of_scales(report: Report, config: KTODataConfig, table: pa.Table) -> None:
    """Warn of a scale that was set for a column which holds no verdict."""
    fields = set(pc.unique(table.column("field")).to_pylist()) | {reject.field for reject in report.rejects} - {""}
    for column in config.scales:
        if column not in fields and report.total.samples:
            seen = ", ".join(sorted(filter(None, fields))) or "none"
            hint = suggest(column, fields)
            text = f"scales.{column} was not used: no verdict stands in such a column{hint}; verdicts were in: {seen}"
            if config.strict:
                raise KTODataError(f"{text}, and strict is set")
            report.warnings.append(text)


def _judge(report: Report, config: KTODataConfig, *, for_training: bool) -> None:
    """Warn, or stop, about what is left."""
    kept = report.kept
    if not report.samples:
        raise EmptyDatasetError(f"{report.split}: no sample is left: {_story(report)}")
    missing = [label for label in (GOOD, BAD) if not kept[label]]
    if missing:
        text = f"{report.split}: no {missing[0]} sample is left ({_story(report)}); KTO learns from both labels"
        if for_training and config.require_both_labels:
            raise OneClassError(f"{text}; require_both_labels: false allows it")
        report.warnings.append(text)
    else:
        few = [f"{kept[label]} {label}" for label in (GOOD, BAD) if kept[label] < config.min_samples_per_label]
        if few and for_training:
            bound = f"fewer than min_samples_per_label ({config.min_samples_per_label})"
            text = f"{report.split}: only {' and '.join(few)} samples, {bound}"
            if config.strict:
                raise KTODataError(f"{text}, and strict is set")
            report.warnings.append(text)
    _warn_of_utility_bounds(report, config)


def _warn_of_utility_bounds(report: Report, config: KTODataConfig) -> None:
    for stage in report.dropped_by().values():
        for reason, name in (
            ("low_utility", "min_utility_threshold"),
            ("high_utility", "max_utility_threshold"),
        ):
            if reason in stage:
                lost = f"{stage[reason][GOOD]} good and {stage[reason][BAD]} bad samples"
                report.warnings.append(f"{name} ({getattr(config, name)}) dropped {lost}")


def _story(report: Report) -> str:
    """Where everything went, in one line."""
    total = report.total
    parts = [f"{total.lines} lines read", f"{total.samples} samples made"]
    for name, counts in (("rejected", total.rejected), ("without verdict", total.without_verdict)):
        if counts:
            parts.append(f"{name}: " + ", ".join(f"{reason} {count}" for reason, count in most_frequent(counts)[:4]))
    for stage, reasons in report.dropped_by().items():
        counted = ", ".join(f"{reason} {labels[GOOD]} good {labels[BAD]} bad" for reason, labels in reasons.items())
        parts.append(f"dropped by {stage}: {counted}")
    if total.notices["absent_path"]:
        parts.append(f"a path of the mapping names nothing in {total.notices['absent_path']} records; a typo?")
    if report.rejects:
        first = report.rejects[0]
        parts.append(f"first reject {first.place()}: {first.message}")
    return "; ".join(parts)


def _sink(config: KTODataConfig, folder: Path | None, *, compression: bool = False) -> Sink:
    """Where the samples go: the smallest of the memory limits that are set decides."""
    limits = [
        limit for limit in (config.max_samples_in_memory, config.buffer_size if config.streaming else None) if limit
    ]
    held = min(limits, default=None)
    buffered = ROWS_PER_BATCH if held is None else min(held, ROWS_PER_BATCH)
    in_memory = 0 if config.lazy_loading else held
    return Sink(folder, in_memory=in_memory, buffered=buffered, compression=compression)


def _build_or_open(sources: list[Source], job: _Job, cache: Cache | None) -> pa.Table:
    config = job.config
    if cache is None:
        return job.run(file_blocks(sources), _sink(config, None), job.rejects_path)
    entry = Entry(cache.folder, _key(sources, config, job.assembly, cache))
    manifest = entry.read()
    if manifest is not None:
        return _open(entry, manifest, job)
    folder = entry.start()
    rejects = folder / REJECTS if config.on_error == "quarantine" else None
    try:
        job.run(file_blocks(sources), _sink(config, folder, compression=cache.compression), rejects)
        entry.publish(folder, {"ledger": job.report.ledger.to_json()})
    except BaseException as error:
        if isinstance(error, KtoFormatsError):
            _hand_out(folder / REJECTS, job.rejects_path)
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _hand_out(entry.path / REJECTS, job.rejects_path)
    return open_samples(entry.path / DATA_FILE)


def _open(entry: Entry, manifest: dict[str, Any], job: _Job) -> pa.Table:
    """The samples of a finished build, with its account; the budget is judged again, it may have changed."""
    job.report.cached = True
    for source, account in manifest["report"]["ledger"]["files"].items():
        job.report.ledger.add(source, FileAccount.from_json(account))
    path = entry.path / REJECTS
    if path.exists():
        with path.open("rb") as stream:
            lines = itertools.islice(stream, REJECTS_REMEMBERED)
            job.report.rejects.extend(Reject(**orjson.loads(line)) for line in lines)
    _hand_out(path, job.rejects_path)
    for source, account in job.report.ledger.files.items():
        check_budget(source, account, job.config)
    return open_samples(entry.path / DATA_FILE)


def _hand_out(rejects: Path, target: Path | None) -> None:
    """Copy the rejects of a cached build to where the user wants them."""
    if target is None or not rejects.exists():
        return
    part = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(rejects, part)
        part.chmod(0o600)
        part.replace(target)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise SourceError("not_writable", str(target), f"cannot be written ({error.strerror})") from error


def _key(sources: list[Source], config: KTODataConfig, assembly: Assembly, cache: Cache) -> str:
    pipeline = assembly.pipeline
    plugins = [
        *(one.format for one in pipeline.detector.formats),
        *pipeline.labels.plugins,
        pipeline.quality,
        pipeline.utility,
    ]
    values = config.model_dump(mode="json", exclude=set(NEUTRAL_FIELDS))
    return cache_key(
        {
            "version": ktoformats.__version__,
            "config": values,
            # minimum lengths of 0 let empty texts through, which is decided while converting
            "empty": [pipeline.policy.empty_prompt, pipeline.policy.empty_response],
            "plugins": [
                [type(one).__module__, type(one).__qualname__, one.model_dump(mode="json")] for one in plugins
            ],
            "versions": {kind: owners for kind, owners in assembly.plugins.items() if kind != "filter"},
            "code": code_digest(["ktoformats", *(type(one).__module__ for one in plugins)]),
            "sources": [[one.name, one.digest()] for one in sources],
            "joined": [[one.name, one.digest()] for one in joined_files(assembly)],
            "on_error": config.on_error,
            "compression": cache.compression,
            "salt": cache.salt,
        }
    )


def joined_files(assembly: Assembly) -> list[Source]:
    """The files whose records the format joins to those of the sources."""
    join = assembly.gather.join if assembly.gather else None
    return find_sources(join.file) if join else []


class _Rejects:
    """A file of rejected records for each piece; at the end they are one.

    Args:
        path: Where all of them go; None for nowhere.
        count: How many pieces there are.
    """

    def __init__(self, path: Path | None, count: int) -> None:
        self._path = path
        self.paths: list[Path | None] = [path] * count
        if path is not None and count > 1:
            self.paths = [path.with_name(f".{path.name}.{os.getpid()}.{number}") for number in range(count)]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        parts = [path for path in self.paths if path is not None and path != self._path]
        if self._path is None or not parts:
            return
        written = [part for part in parts if part.exists()]
        if written and (kind is None or issubclass(kind, KtoFormatsError)):
            first, *others = written
            with first.open("ab") as whole:
                for other in others:
                    whole.write(other.read_bytes())
            first.replace(self._path)
        for part in parts:
            part.unlink(missing_ok=True)
