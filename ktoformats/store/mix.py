"""Several sources in one data set: each read in its own way, and as much of each as was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.store import mixing
from ktoformats.store import view as views

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ktoformats.config.models import KTODataConfig, SourceConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.samples import Tags
    from ktoformats.store.view import View

STAGE: Final = "mixing"


class Piece(NamedTuple):
    """Files that are read alike."""

    files: Any
    """A path, a list of paths or a glob."""
    config: KTODataConfig
    assembly: Assembly
    source: SourceConfig | None = None
    """What the configuration asks of them, where they stand under `sources`."""


def pieces_of(split: str, config: KTODataConfig, make: Callable[[KTODataConfig], Assembly]) -> list[Piece]:
    """The pieces of a split: its file, and the sources that name it.

    Args:
        split: `train`, `validation` or `test`.
        config: The data section.
        make: Assembles a configuration.

    Raises:
        ConfigError: The split is unknown or has no file.
    """
    if split not in ("train", "validation", "test"):
        raise ConfigError(f"split must be train, validation or test, got {split!r}")
    taken_from = "train" if split in config.fractions() else split
    files = getattr(config, f"{taken_from}_file")
    pieces = [Piece(files, config, make(config))] if files else []
    for source in config.sources:
        if source.split == taken_from:
            own = config.for_source(source)
            pieces.append(Piece(source.path, own, make(own), source))
    if not pieces:
        raise ConfigError(f"data.{split}_file is not set, and no source names split {split!r}, which was asked for")
    return pieces


def tags_of(source: SourceConfig | None) -> Tags:
    """What a source adds to what its samples carry."""
    added: Tags = {"tags": source.tags, "licence": source.licence} if source else {}
    return {key: value for key, value in added.items() if value}


def mixes(pieces: Sequence[Piece]) -> bool:
    """Whether any source is limited or weighed."""
    return any(one.source is not None and (one.source.limit or one.source.weight) for one in pieces)


def mix(view: View, parts: Array, pieces: Sequence[Piece], config: KTODataConfig, report: Report) -> View:
    """As much of each source as its limit and its weight allow.

    Limits come first. Then the sources that have a weight are cut until their numbers of samples are as their
    weights, or, with `oversample`, repeated until they are. Each cut keeps a source's share of good and bad.

    Args:
        view: The samples.
        parts: For each row of the samples the number of its piece.
        pieces: The pieces.
        config: The seed, and whether to repeat.
        report: Is told of what was repeated.
    """
    quotas = [_limited(view, parts, number, piece.source) for number, piece in enumerate(pieces)]
    view = _cut(view, parts, quotas, config.random_seed, "limit")
    quotas = _weighed(view, parts, pieces, oversample=config.oversample)
    view = _cut(view, parts, quotas, config.random_seed, "weight")
    return _repeated(view, parts, quotas, config.random_seed, report) if config.oversample else view


Quota = tuple[int, int] | None
"""How many bad and how many good samples of a piece are wanted; None for all."""


def _counts(view: View, parts: Array, number: int) -> tuple[int, int]:
    good = view.good[parts[view.chosen] == number]
    return int((~good).sum()), int(good.sum())


def _limited(view: View, parts: Array, number: int, source: SourceConfig | None) -> Quota:
    if source is None or source.limit is None:
        return None
    bad, good = _counts(view, parts, number)
    if isinstance(source.limit, dict):
        return min(bad, source.limit.get(BAD, bad)), min(good, source.limit.get(GOOD, good))
    return _share(bad, good, min(source.limit, bad + good))


def _share(bad: int, good: int, wanted: int) -> tuple[int, int]:
    """So many samples, good and bad in the proportion that there is."""
    of_good = round(wanted * good / (bad + good)) if bad + good else 0
    return wanted - of_good, of_good


def _weighed(view: View, parts: Array, pieces: Sequence[Piece], *, oversample: bool) -> list[Quota]:
    counts = [_counts(view, parts, number) for number in range(len(pieces))]
    weights = [piece.source.weight if piece.source else None for piece in pieces]
    ratios = [sum(count) / weight for count, weight in zip(counts, weights, strict=True) if weight and sum(count)]
    if not ratios:
        return [None] * len(pieces)
    unit = max(ratios) if oversample else min(ratios)
    return [
        _share(*count, round(weight * unit)) if weight and sum(count) else None
        for count, weight in zip(counts, weights, strict=True)
    ]


def _of(view: View, parts: Array, quotas: Sequence[Quota], keys: Array) -> list[tuple[Array, int]]:
    """For each label of each piece with a quota: its chosen rows by seeded hash, and how many are wanted."""
    good = view.good
    found = []
    for number, quota in enumerate(quotas):
        for is_good in (False, True) if quota is not None else ():
            places = np.flatnonzero((parts[view.chosen] == number) & (good == is_good))
            order = np.argsort(keys[places], kind="stable")
            found.append((view.chosen[places[order]], quota[is_good] if quota else 0))
    return found


def _cut(view: View, parts: Array, quotas: Sequence[Quota], seed: int, reason: str) -> View:
    lost = [rows[wanted:] for rows, wanted in _of(view, parts, quotas, mixing.mix(view.keys(), seed))]
    if not lost:
        return view
    return views.select(view, np.setdiff1d(view.chosen, np.concatenate(lost)), STAGE, reason)


def _repeated(view: View, parts: Array, quotas: Sequence[Quota], seed: int, report: Report) -> View:
    """The view with copies behind it, of every sample equally often."""
    copies = [
        np.resize(rows, wanted)[len(rows) :]
        for rows, wanted in _of(view, parts, quotas, mixing.mix(view.keys(), seed))
        if len(rows) < wanted and len(rows)
    ]
    if not copies:
        return view
    rows = np.concatenate(copies)
    for number, count in enumerate(np.bincount(view.samples.numbers("source")[rows]).tolist()):
        if count:
            report.copied[view.samples.sources[number]] += count
    report.notes.append(f"oversample: {len(rows)} samples were repeated to reach the weights of their sources")
    reasons = np.append(view.reasons, np.zeros(len(rows), np.uint8))
    return views.View(view.samples.with_copies(rows), reasons, view.names)
