"""From configuration to a finished view of one split: build or open the samples, and choose among them."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Final, NamedTuple

from ktoformats.convert.ledger import Ledger
from ktoformats.errors import ConfigError, KTODataError, KTOLabelError, PluginError, SourceError
from ktoformats.read.named import Source, find_sources
from ktoformats.store.build import Clerk, Quarantine, build, file_blocks
from ktoformats.store.cache import Cache, Kept
from ktoformats.store.choose import Choice, Stages
from ktoformats.store.mix import tags_of
from ktoformats.store.report import Report
from ktoformats.store.samples import Samples
from ktoformats.store.shards import Unit, part_of, units_of
from ktoformats.store.sink import ROWS_PER_BATCH, Sink
from ktoformats.store.workers import Workers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.plugin.registry import Registry
    from ktoformats.store.build import NamedBlocks, Progress, Results
    from ktoformats.store.mix import Piece
    from ktoformats.store.part import Part
    from ktoformats.store.shards import Shards
    from ktoformats.store.view import View

logger: Final = logging.getLogger("ktoformats")

Engine = Callable[["Sequence[Piece]", "Sequence[list[Source]]"], "Sequence[Results]"]
"""What converts the files of all pieces somewhere else: for each piece its files, each with what became of it."""


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
        registry: Whose plugins, and whose observers that the config names, hear the events.
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
        PluginError: A plugin failed, or whoever listens; nothing was written.
    """
    report = Report(split, Ledger(), plugins=_plugins(pieces), seed=config.random_seed)
    choice = Choice(split, config, pieces, stages or Stages(), for_training=for_training)
    try:
        with ExitStack() as stack:
            quarantine = stack.enter_context(Quarantine(rejects_path)) if rejects_path else None
            clerk = Clerk(report, config, registry=registry, quarantine=quarantine, progress=progress)
            files = [[] for _ in pieces] if rows is not None else _resolved(pieces, rejects_path)
            if rows is None and engine is None and cache is not None:
                view = _kept(choice, files, Kept(cache), clerk, report)
            else:
                results = [None] * len(pieces) if engine is None else engine(pieces, files)
                parts = [
                    _built(piece, own, clerk, rows=rows, results=made)
                    for piece, own, made in zip(pieces, files, results, strict=True)
                ]
                view = choice.made(Samples(parts, [tags_of(piece.source) for piece in pieces]), report)
            # while the rejects are held back: a listener that fails leaves what an earlier run published as it was
            told = report.to_json()
            registry.tell("ktoformats_dataset_built", observers=config.observers, split=split, report=told)
    except (KTODataError, KTOLabelError) as error:
        error.report = report
        raise
    except PluginError as error:
        if not error.plugin:  # of some kinds there is one
            names = {name for piece in pieces for name in piece.assembly.plugins.get(error.kind, ())}
            error.plugin = names.pop() if len(names) == 1 else ""
        registry.name_owner(error)
        raise
    except OSError as error:  # a full disk, a quota, a folder that went away
        place = str(error.filename or (cache.folder if cache else "the temporary folder"))
        message = f"the samples cannot be written ({error.strerror or error}); nothing was published"
        raise SourceError("not_writable", place, message) from error
    for text in (*report.notes, *report.warnings):
        logger.warning("%s", text)
    return view, report


def _built(
    piece: Piece, files: list[Source], clerk: Clerk, *, rows: NamedBlocks | None, results: Results | None
) -> Part:
    """The samples of one piece, built for this once."""
    if results is not None:
        return build((), piece.assembly, piece.config, Sink(in_memory=sys.maxsize), clerk, results=results)
    sources = rows if rows is not None else file_blocks(files)
    joined = file_blocks(joined_files(piece.assembly))
    return build(sources, piece.assembly, piece.config, _sink(piece.config), clerk, joined=joined)


class _Wanted(NamedTuple):
    """Some sources, and under which key their shards are kept."""

    piece: int
    """The number of the piece they are of."""
    unit: Unit
    key: str
    shards: Shards


def _kept(choice: Choice, files: list[list[Source]], kept: Kept, clerk: Clerk, report: Report) -> View:
    """The view of samples that are kept; what of them is not there is built, and kept."""
    wanted = [
        _Wanted(number, unit, shards.key(unit), shards)
        for number, (piece, own) in enumerate(zip(choice.pieces, files, strict=True))
        for shards in [kept.shards(piece.config, piece.assembly)]
        for unit in units_of(own, piece.assembly, joined_files(piece.assembly))
    ]
    samples = _shards(choice.pieces, wanted, clerk, report)
    kept.vault.sweep()
    key = choice.key(kept, [(one.key, one.unit.names, one.piece) for one in wanted])
    view = kept.open_view(key, samples, report)
    if view is None:
        kept.know_again([one.key for one in wanted], samples)
        view = choice.made(samples, report)
        view = kept.save_view(key, view, report)
    return view


def _shards(pieces: Sequence[Piece], wanted: list[_Wanted], clerk: Clerk, report: Report) -> Samples:
    """The samples of all shards, in the order of their sources."""
    found = [one.shards.find(one.key) for one in wanted]
    report.cached = None not in found
    parts: list[Part] = []
    numbers: list[int] = []
    with ExitStack() as stack:
        workers = [stack.enter_context(Workers(piece.assembly.pipeline, piece.config)) for piece in pieces]
        for (number, unit, key, shards), there in zip(wanted, found, strict=True):
            if there is None:
                entries = shards.build(unit, key, clerk, workers[number])
            else:
                entries = there
                shards.recall(unit, entries, clerk)
            parts += [part_of(entry, unit).open() for entry in entries]
            numbers += [number] * len(entries)
    return Samples(parts, [tags_of(pieces[number].source) for number in numbers], numbers)


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


def _protect(sources: list[Source], target: Path | None) -> None:
    """Refuse to write over a source."""
    if target is not None and target.exists() and any(source.path.samefile(target) for source in sources):
        raise ConfigError(f"{target} is a source; rejected records must go somewhere else")


def _sink(config: KTODataConfig) -> Sink:
    """Where the samples go: what is streamed, or to be left on disk, lies in files from the first sample on."""
    limits = [
        limit for limit in (config.max_samples_in_memory, config.buffer_size if config.streaming else None) if limit
    ]
    held = min(limits, default=None)
    buffered = ROWS_PER_BATCH if held is None else min(held, ROWS_PER_BATCH)
    in_memory = 0 if config.lazy_loading or config.streaming else held
    return Sink(in_memory=in_memory, buffered=buffered)


def joined_files(assembly: Assembly) -> list[Source]:
    """The files whose records the format joins to those of the sources."""
    join = assembly.gather.join if assembly.gather else None
    return find_sources(join.file) if join else []
