"""Shards: what sources became, kept under what decided it.

A source becomes shards of some 128 MiB of samples each, in the order of its blocks. They are published one by one, so
that a build that was killed goes on where it was, and a damaged one is built again by itself. The names of sources
are no part of them: a file that was moved is known again.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

import orjson

import ktoformats
from ktoformats.config.models import TOKEN_LIMITS
from ktoformats.convert.ledger import FileAccount, Reject
from ktoformats.plugin.discovery import OBSERVER
from ktoformats.store.build import abandon_unless_finished, file_blocks, streams
from ktoformats.store.part import Part
from ktoformats.store.sink import ROWS_PER_BATCH, Sink
from ktoformats.store.vault import SHARDS, Entry, digest_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.convert.pipeline import Converted
    from ktoformats.read.blocks import Block
    from ktoformats.read.named import Source
    from ktoformats.store.build import Clerk
    from ktoformats.store.digests import Digests
    from ktoformats.store.vault import Vault
    from ktoformats.store.workers import Workers

SHARD_BYTES: Final = 128 << 20
SMALL_BYTES: Final = 256 << 10
"""A file of less than this costs more to keep than to convert ..."""
SMALL_TOGETHER: Final = 64
"""... so many of them are kept together."""
REJECTS: Final = "rejects.jsonl"

NEUTRAL_FIELDS: Final = frozenset(
    {
        *("train_file", "validation_file", "test_file", "rejects_file"),
        *("validation_fraction", "test_fraction"),
        *("preprocessing_num_workers", "worker_timeout"),
        *("streaming", "buffer_size", "lazy_loading", "max_samples_in_memory"),
        *("on_error", "max_rejected", "max_rejected_share", "require_both_labels", "strict"),
        *("balance_labels", "label_imbalance_tolerance", "min_samples_per_label", "filters", "random_seed"),
        *("sources", "oversample", "conflict", "duplicates", "observers"),
        *TOKEN_LIMITS,
        *("min_prompt_length", "max_prompt_length", "min_response_length", "max_response_length"),
        *("min_response_quality", "min_utility_threshold", "max_utility_threshold", "filter_low_utility"),
    }
)
"""Fields that do not change what is built: they choose among the samples, or say how to build."""
_NEUTRAL_KINDS: Final = frozenset({"filter", OBSERVER})


class Unit(NamedTuple):
    """Sources that become samples together: one file, some small ones, or all whose records are brought together."""

    sources: list[Source]
    joined: list[Source]
    """The files whose records the format joins to those of the sources."""

    @property
    def names(self) -> list[str]:
        """What they are called."""
        return [one.name for one in (*self.sources, *self.joined)]


def units_of(sources: list[Source], assembly: Assembly, joined: list[Source]) -> list[Unit]:
    """The sources, each by itself where the format allows it, and where it is worth a shard.

    Of small files that follow each other so many are a unit; those that are left over stay by themselves, so that
    one more builds nothing but itself until they are as many again.
    """
    if assembly.gather is not None:
        return [Unit(sources, joined)]
    units: list[Unit] = []
    for small, run in groupby(sources, key=lambda one: one.path.stat().st_size < SMALL_BYTES):
        own = list(run)
        whole = len(own) - len(own) % SMALL_TOGETHER if small else 0
        units += [Unit(own[start : start + SMALL_TOGETHER], []) for start in range(0, whole, SMALL_TOGETHER)]
        units += [Unit([one], []) for one in own[whole:]]
    return units


def converts(config: KTODataConfig, assembly: Assembly) -> dict[str, Any]:
    """What of a configuration decides how records become samples, apart from the plugins themselves."""
    policy = assembly.pipeline.policy
    random = config.pairwise_sampling_strategy == "random"
    return {
        "config": config.model_dump(mode="json", exclude=set(NEUTRAL_FIELDS)),
        "seed": config.random_seed if random else None,  # the side of a pair is chosen while converting
        # minimum lengths of 0 let empty texts through, which is decided while converting
        "empty": [policy.empty_prompt, policy.empty_response],
    }


class Shards:
    """The shards of what is read in one way.

    Args:
        vault: Where they are kept.
        digests: Of sources, as far as they are known.
        config: The data section, as it holds for these sources.
        assembly: The pipeline.
        compression: zstd buffers.
        salt: What else decides the samples, such as the sources of overriding methods.
    """

    def __init__(
        self,
        vault: Vault,
        digests: Digests,
        config: KTODataConfig,
        assembly: Assembly,
        *,
        compression: bool = False,
        salt: str = "",
    ) -> None:
        self._vault = vault
        self._digests = digests
        self._config = config
        self._assembly = assembly
        self._compression = compression
        self._buffered = min(config.buffer_size, ROWS_PER_BATCH) if config.streaming else ROWS_PER_BATCH
        self._recipe = self._recipe_with(salt)

    def key(self, unit: Unit) -> str:
        """What decides the samples of a unit: the bytes of its sources, and all that reads and converts them."""
        digests = [[self._digests.of(one) for one in some] for some in unit]
        return digest_of({"recipe": self._recipe, "sources": digests[0], "joined": digests[1]})

    def _recipe_with(self, salt: str) -> str:
        pipeline = self._assembly.pipeline
        plugins = [
            *(one.format for one in pipeline.detector.formats),
            *pipeline.labels.plugins,
            pipeline.quality,
            pipeline.utility,
        ]
        return digest_of(
            {
                "version": ktoformats.__version__,
                **converts(self._config, self._assembly),
                "plugins": [
                    [type(one).__module__, type(one).__qualname__, one.model_dump(mode="json")] for one in plugins
                ],
                "versions": {
                    kind: owners for kind, owners in self._assembly.plugins.items() if kind not in _NEUTRAL_KINDS
                },
                "code": self._digests.of_code(["ktoformats", *(type(one).__module__ for one in plugins)]),
                "compression": self._compression,
                "buffered": self._buffered,
                "salt": salt,
            }
        )

    def find(self, key: str) -> list[Entry] | None:
        """All shards of a unit, if all are there and sound."""
        entries = self._entries(key)
        return entries if not _holes(entries) else None

    def build(self, unit: Unit, key: str, clerk: Clerk, workers: Workers) -> list[Entry]:
        """All shards of a unit; what is not there is built.

        Raises:
            KtoFormatsError: As `ktoformats.store.build.build`.
            OSError: They cannot be written.
        """
        with self._vault.only_builder(key):
            entries = self._entries(key)
            holes = _holes(entries)
            if holes:
                self._vault.need_room(sum(one.path.stat().st_size for one in unit.sources))
            clerk.open(unit.names)
            numbered = enumerate(self._blocks(unit))
            plan: list[Entry | _Hole] = sorted([*entries, *holes], key=_first_block)
            built: list[Entry] = []
            for one in plan:
                if isinstance(one, _Hole):
                    built += self._filled(one, workers.convert(one.blocks(numbered)), unit, key, clerk)
                else:
                    _recall(one, unit, clerk)
                    built.append(one)
        clerk.close(unit.names)
        return built

    def _blocks(self, unit: Unit) -> Iterator[Block]:
        for _, blocks in streams(file_blocks(unit.sources), self._assembly, file_blocks(unit.joined)):
            yield from blocks

    def recall(self, unit: Unit, entries: list[Entry], clerk: Clerk) -> None:
        """Tell what was told when these shards were built."""
        clerk.open(unit.names)
        for entry in entries:
            _recall(entry, unit, clerk)
        clerk.close(unit.names)

    def _entries(self, key: str) -> list[Entry]:
        """The shards that are there and sound, in order."""
        paths = sorted(self._vault.root.glob(f"{SHARDS}/{key}.*"))
        return [entry for path in paths if (entry := self._vault.open(SHARDS, path.name)) is not None]

    def _filled(
        self, hole: _Hole, results: Iterator[tuple[Converted, int]], unit: Unit, key: str, clerk: Clerk
    ) -> Iterator[Entry]:
        number, block = hole.number, hole.start
        following = next(results, None)
        while True:
            name = f"{key}.{number:05}"
            with self._vault.folder(name) as folder, _Shard(folder, unit, block, self._sink(folder)) as shard:
                while following is not None and not shard.is_full:
                    shard.add(following[0])
                    clerk.enter(*following)
                    following = next(results, None)
                facts = shard.finish(last=following is None and hole.stop is None)
                for source in (*unit.sources, *unit.joined):
                    source.check()  # what was read has to be what its digest says
                yield self._vault.publish(folder, SHARDS, name, facts)
            number, block = number + 1, facts["blocks"][1]
            if following is None:
                return

    def _sink(self, folder: Path) -> Sink:
        return Sink(folder, buffered=self._buffered, compression=self._compression, coded=True)


class _Hole(NamedTuple):
    """Blocks that have no shard."""

    number: int
    """That of the first shard to be built."""
    start: int
    stop: int | None
    """None for the end of the source."""

    def blocks(self, numbered: Iterator[tuple[int, Block]]) -> Iterator[Block]:
        """These blocks; what comes before them is read and left."""
        for number, block in numbered:
            if number >= self.start:
                yield block
            if number + 1 == self.stop:
                return


def _first_block(one: Entry | _Hole) -> int:
    return one.start if isinstance(one, _Hole) else int(one.facts["blocks"][0])


def _holes(entries: list[Entry]) -> list[_Hole]:
    """What is missing between shards, and behind them."""
    holes = []
    block = number = 0
    for entry in entries:
        start, end = entry.facts["blocks"]
        if start > block:
            holes.append(_Hole(number, block, start))
        block, number = end, int(entry.path.suffix[1:]) + 1
    if not entries or not entries[-1].facts["last"]:
        holes.append(_Hole(number, block, None))
    return holes


class _Shard:
    """A shard in the making; what is not finished goes with the context."""

    def __init__(self, folder: Path, unit: Unit, block: int, sink: Sink) -> None:
        self._codes = {name: code for code, name in enumerate(unit.names)}
        self._start = self._end = block
        self._sink = sink
        self._accounts: dict[str, FileAccount] = {}
        self._path = folder / REJECTS
        self._rejects = self._path.open("wb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        abandon_unless_finished(self._sink)
        self._rejects.close()

    @property
    def is_full(self) -> bool:
        return self._sink.bytes >= SHARD_BYTES

    def add(self, converted: Converted) -> None:
        """Take over what the next block became."""
        self._end += 1
        for name, account in converted.accounts.items():
            self._accounts.setdefault(name, FileAccount()).add(account)
        for reject in converted.rejects:
            plain = reject._asdict() | {"source": self._codes[reject.source]}
            self._rejects.write(orjson.dumps(plain, option=orjson.OPT_APPEND_NEWLINE))
        self._sink.write(converted.batches, converted.numbers)

    def finish(self, *, last: bool) -> dict[str, Any]:
        """Close the files, and say what is to be known of them."""
        part = self._sink.finish()
        self._rejects.close()
        if not self._path.stat().st_size:
            self._path.unlink()
        return {
            "blocks": [self._start, self._end],
            "last": last,
            "rows": part.rows,
            "lengths": part.lengths,
            "compressed": part.compressed,
            "names": [self._codes[name] for name in part.names],
            "accounts": {str(self._codes[name]): one.to_json(whole=True) for name, one in self._accounts.items()},
        }


def part_of(entry: Entry, unit: Unit) -> Part:
    """The samples of a shard."""
    facts, names = entry.facts, unit.names
    return Part(
        facts["rows"],
        names=tuple(names[code] for code in facts["names"]),
        path=entry.path,
        lengths=tuple(facts["lengths"]),
        compressed=facts["compressed"],
        coded=True,
    )


def _recall(entry: Entry, unit: Unit, clerk: Clerk) -> None:
    names = unit.names
    accounts = {names[int(code)]: FileAccount.from_json(one) for code, one in entry.facts["accounts"].items()}
    clerk.recall(accounts, lambda: _rejects_of(entry, names))


def _rejects_of(entry: Entry, names: list[str]) -> Iterable[Reject]:
    with (entry.path / REJECTS).open("rb") as stream:
        for line in stream:
            plain = orjson.loads(line)
            yield Reject(**plain | {"source": names[plain["source"]]})
