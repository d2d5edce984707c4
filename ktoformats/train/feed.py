"""The files of a stream, and what their blocks become: one share of them for each consumer."""

from __future__ import annotations

import hashlib
import logging
import os
from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.convert.assemble import Assembly, assemble
from ktoformats.convert.ledger import FileAccount, Ledger
from ktoformats.errors import ConfigError, KTODataError
from ktoformats.feedback import SCHEMA
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import Source, find_sources
from ktoformats.read.sources import unreadable
from ktoformats.store.build import REJECTS_REMEMBERED, check_budget, most_frequent, rejected_error
from ktoformats.store.mix import pieces_of
from ktoformats.store.view import filter_reasons
from ktoformats.train.windows import Part, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ktoformats.config.models import KTODataConfig, SourceConfig
    from ktoformats.convert.ledger import Reject
    from ktoformats.convert.pipeline import Converted
    from ktoformats.read.blocks import Block
    from ktoformats.store.mix import Piece

logger: Final = logging.getLogger("ktoformats")

PIECE: Final = "piece"
"""A column beside those of a sample: the number of the configuration that read it."""
_SKETCHED: Final = 1 << 16
"""Bytes at both ends of a file by which it is known again."""
_NO_MATTER: Final = {
    "train_file",
    "validation_file",
    "test_file",
    "sources",
    "rejects_file",
    "preprocessing_num_workers",
    "worker_timeout",
    "streaming",
    "buffer_size",
    "lazy_loading",
    "max_samples_in_memory",
}
"""Options that say nothing about a record's samples, or are looked at by themselves."""


class _File(NamedTuple):
    """A file of a split."""

    piece: int
    name: str
    path: Path


class Feed:
    """The samples of a split, block by block, after all filters. It pickles; plugins are loaded where it is used.

    Args:
        config: The data section.
        split: `train`, `validation` or `test`.

    Attributes:
        ledger: What became of the lines that were converted here since `begin`.
        dropped: (filter, reason) to the number of samples.
        rejects: Rejected records, the first 1,000.
        tags: For each piece, what its samples carry besides.
        digests: By which configuration and files are known again.

    Raises:
        ConfigError: The split has no file, is divided from another, a format brings records together, or an option is
            wrong.
        PluginError: A configured plugin cannot be used.
        SourceError: A file is not there, or cannot be read.
    """

    def __init__(self, config: KTODataConfig, split: str) -> None:
        registry = Registry()
        config = config.model_copy(update={"observers": []})  # a stream is no build, so there is nothing to hear
        pieces = pieces_of(split, config, lambda own: assemble(own, registry))
        _refuse_what_waits(pieces, config, split)
        sources = [find_sources(piece.files) for piece in pieces]
        self._configs = [piece.config for piece in pieces]
        self._files = [_File(at, one.name, one.path) for at, found in enumerate(sources) for one in found]
        self._copies: list[Any] = [one.copy for found in sources for one in found]
        self._assemblies: list[Assembly] | None = [piece.assembly for piece in pieces]
        self.tags: list[dict[str, str]] = [_tags_of(piece.source) for piece in pieces]
        self.digests: dict[str, str] = {
            "config": _digest(list(map(_settings, pieces))),
            "sources": _digest(list(map(_sketch, self._files))),
        }
        self.begin()
        _tell_limits(pieces, config, split)

    def __len__(self) -> int:
        """The number of files."""
        return len(self._files)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_assemblies": None, "_copies": []}

    def name(self, number: int) -> str:
        """A file's name."""
        return self._files[number].name

    def begin(self) -> None:
        """Begin the accounting anew."""
        self.ledger: Ledger = Ledger()
        self.dropped: Counter[tuple[str, str]] = Counter()
        self.rejects: list[Reject] = []

    def parts(
        self,
        order: Sequence[int],
        place: Place,
        *,
        consumer: int,
        consumers: int,
        tell: Callable[[int, int, int], None] | None = None,
    ) -> Iterator[Part]:
        """The samples of one consumer.

        Args:
            order: The files, by number.
            place: Where to begin; blocks before it are read at most.
            consumer: Whose blocks: of all blocks of all files, those whose number is this one modulo the next.
            consumers: How many there are.
            tell: Called before a block is converted, with the number of its file and its first and last line, and
                with zeros when it is done.

        Yields:
            The samples of each block, unless there are none.

        Raises:
            KTODataError: A file cannot be read, a block cannot be converted, or too much of a file was rejected.
        """
        before = place.before
        for number in range(place.file, len(order)):
            file = self._files[order[number]]
            self.ledger.add(file.name, FileAccount())
            count = 0
            for count, block in enumerate(Source(file.name, file.path).blocks(), start=1):
                here = Place(number, before, count - 1, 0)
                if here[:3] == place[:3]:
                    here = place
                if (before + here.block) % consumers == consumer and here >= place:
                    if tell is not None:
                        lines = block.lines or (0, 0)
                        tell(order[number], int(lines[0]), int(lines[-1]))
                    table = self._converted(block, file.piece).slice(here.row)
                    if tell is not None:
                        tell(0, 0, 0)
                    if len(table):
                        yield Part(here, table)
            before += count
            self._close(file)

    def _converted(self, block: Block, piece: int) -> pa.Table:
        assembly = self._assembly(piece)
        with _told(block):
            converted = assembly.pipeline.convert(block)
        self._enter(converted, self._configs[piece])
        table = pa.Table.from_batches(converted.batches, SCHEMA)
        if assembly.filters:
            with _told(block):
                reasons, names = filter_reasons(table, assembly.filters)
            self.dropped.update(tuple(names[number]) for number in reasons[reasons > 0].tolist())
            table = table.filter(pa.array(reasons == 0))
        return table.append_column(PIECE, pa.array(np.full(len(table), piece, np.int32)))

    def _assembly(self, piece: int) -> Assembly:
        """Put together where it is needed: in a process that was not forked, there."""
        if self._assemblies is None:
            registry = Registry()
            self._assemblies = [assemble(config, registry) for config in self._configs]
        return self._assemblies[piece]

    def _enter(self, converted: Converted, config: KTODataConfig) -> None:
        for source, account in converted.accounts.items():
            self.ledger.add(source, account)
        self.rejects += converted.rejects[: REJECTS_REMEMBERED - len(self.rejects)]
        if converted.rejects and config.on_error == "fail":
            raise rejected_error(converted.rejects[0])

    def _close(self, file: _File) -> None:
        account = self.ledger.files[file.name]
        check_budget(file.name, account, self._configs[file.piece])
        if account.rejected:
            reasons = ", ".join(f"{reason} {count}" for reason, count in most_frequent(account.rejected))
            counts = account.rejected.total(), account.lines - account.blank
            logger.warning("%s: %d of %d records were rejected (%s)", file.name, *counts, reasons)


@contextmanager
def _told(block: Block) -> Iterator[None]:
    """Say in every error which lines it came from."""
    try:
        yield
    except KTODataError:
        raise
    except Exception as error:
        lines = f"{block.lines[0]}-{block.lines[-1]}" if block.lines else "?"
        raise KTODataError(f"{block.source}:{lines}: {error}") from error


def _refuse_what_waits(pieces: Sequence[Piece], config: KTODataConfig, split: str) -> None:
    """Refuse what must have read all samples before it can say which the first one is."""
    if split in config.fractions():
        raise ConfigError(
            f"{split} is a part of the samples of train_file, and for that all of them must have been read; a stream "
            "cannot wait for them: use load_dataset, or give each split files of its own"
        )
    for piece in pieces:
        if piece.assembly.gather is not None:
            [name] = piece.assembly.plugins["format"]
            raise ConfigError(
                f"formats: {name!r} brings records together, and for that all of them must have been read; a stream "
                "cannot wait for them: use load_dataset"
            )


def _tell_limits(pieces: Sequence[Piece], config: KTODataConfig, split: str) -> None:
    """Name the options that a stream cannot follow, if any are set."""
    trains = split == "train"
    asked = {
        "balance_labels": trains and config.balance_labels,
        "require_both_labels": trains and config.require_both_labels,
        "min_samples_per_label": trains and config.min_samples_per_label > 0,
        "pairwise_sampling_strategy": config.pairwise_sampling_strategy == "balanced",
        "conflict": config.conflict != "report" or any(one.assembly.conflicts for one in pieces),
        "duplicates": config.duplicates != "report",
        "weights of sources": any(one.source and one.source.weight for one in pieces),
        "limits of sources": any(one.source and one.source.limit for one in pieces),
        "rejects_file": config.rejects_file is not None,
    }
    if names := ", ".join(name for name, is_so in asked.items() if is_so):
        logger.warning("A stream never has all samples together and does without %s; load_dataset has them", names)


def _tags_of(source: SourceConfig | None) -> dict[str, str]:
    """What a source adds to what its samples carry."""
    if source is None:
        return {}
    tags = {"tags": orjson.dumps(source.tags).decode()} if source.tags else {}
    return tags | ({"licence": source.licence} if source.licence else {})


def _settings(piece: Piece) -> list[Any]:
    """What decides about the samples of a record."""
    return [piece.config.model_dump(mode="json", exclude=_NO_MATTER), piece.assembly.plugins, _tags_of(piece.source)]


def _sketch(file: _File) -> list[Any]:
    """What a file is known by: its name, its length and its ends, as all of it may be too much to read.

    Raises:
        SourceError: It cannot be read.
    """
    try:
        with file.path.open("rb") as stream:
            head = stream.read(_SKETCHED)
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(size - _SKETCHED, 0))
            ends = hashlib.sha256(head + stream.read()).hexdigest()
    except OSError as error:
        raise unreadable(error, file.name) from error
    return [file.name.rpartition("/")[2], size, ends]


def _digest(values: list[Any]) -> str:
    text = orjson.dumps(values, default=str, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS)
    return hashlib.sha256(text).hexdigest()[:16]
