"""Samples from the first block on, in bounded memory: a torch dataset for what is too large to build."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pyarrow as pa
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from ktoformats.errors import KTODataError
from ktoformats.train.decode import Decoder
from ktoformats.train.feed import PIECE, Feed
from ktoformats.train.permutation import Permutation, seed_of
from ktoformats.train.state import Share, check_state
from ktoformats.train.windows import Place, as_they_come, windows

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.ledger import Ledger, Reject
    from ktoformats.train.permutation import Positions

_VERSION: Final = 1
_MOST: Final = 2**63 - 1
_AT_ONCE: Final = 256
"""Samples decoded at a time."""
_FILES, _WINDOWS = range(2)
"""What is shuffled, for seeds of their own."""
_TOLD: Final = 256
"""Workers that tell where they are."""
_PLACES: Final = ("file", "before", "block", "row", "window", "emitted")


@dataclass
class _Run:
    """One way through an epoch, and how far it has come."""

    epoch: int
    consumer: int
    consumers: int
    file: int = 0
    before: int = 0
    block: int = 0
    row: int = 0
    """Where the window begins that is being given out, as a `Place` says it."""
    window: int = 0
    """Its number."""
    emitted: int = 0
    """Samples of it that are out."""

    def step(self, rows: int, after: Place) -> None:
        """One more sample of a window of so many rows; after the last one, the next window begins."""
        self.emitted += 1
        if self.emitted == rows:
            self.file, self.before, self.block, self.row = after
            self.window, self.emitted = self.window + 1, 0


class KTOStream(IterableDataset[dict[str, Any]]):
    """The samples of a split, converted as they are read; `loader.stream()` makes one.

    Nothing is built or cached: the first samples are there when the first window is. Memory holds a window and a
    block, however large the files are. Samples have the keys and values of a `KTODataset`, and configured filters
    apply. What has to see all samples does not: balance, duplicates, conflicts, weights and limits of sources, and
    pairs of which a filter drops one side (a warning names those that are configured). Nor can repeats be numbered:
    equal samples have equal ids.

    Every consumer, which is a worker of a rank, reads all files and converts its own blocks of them. So nothing is
    lost or repeated for any number of ranks and workers, and a consumer without a block gives nothing. Ranks may
    differ in their number of steps.

    With `shuffle`, the order of files changes with every epoch, and each consumer gives out windows of
    `config.buffer_size` samples in random order. That is no full shuffle: a sample stays within its window. Files
    sorted by label give batches of one class where windows are small beside the files. Where that matters, take the
    map-style dataset with `ElasticBatchSampler`.

    Call `set_epoch` before each epoch; without it every iteration is the same epoch.

    Args:
        config: The data section.
        split: `train`, `validation` or `test`.
        shuffle: Shuffle files and windows.
        seed: Of the shuffle; None takes `config.random_seed`.
        num_replicas: The number of ranks; None asks torch.distributed, and is 1 where that is not initialised.
        rank: Which of them this is; None as above, 0.

    Raises:
        ConfigError: The split has no file, is divided from another, a format brings records together, or an option is
            wrong.
        PluginError: A configured plugin cannot be used.
        SourceError: A file is not there, or cannot be read.
        ValueError: Rank and number of ranks do not fit.
    """

    def __init__(
        self,
        config: KTODataConfig,
        split: str = "train",
        *,
        shuffle: bool = True,
        seed: int | None = None,
        num_replicas: int | None = None,
        rank: int | None = None,
    ) -> None:
        self._share = Share.of(num_replicas, rank)
        self._split = split
        self._shuffle = shuffle
        self._seed = config.random_seed if seed is None else seed
        self._rows = config.buffer_size
        self._feed = Feed(config, split)
        self._shared: torch.Tensor = torch.zeros(2 + 3 * _TOLD, dtype=torch.int64).share_memory_()  # type: ignore[no-untyped-call]
        """The epoch, and whether workers iterate; then for each worker the file and lines that it is converting: one
        memory for this process and workers that live on."""
        self._run: _Run | None = None
        self._pending: _Run | None = None

    @property
    def ledger(self) -> Ledger:
        """What became of the lines that this process converted since its iteration began.

        Workers keep accounts of their own, and tell the logger at a file's end what they rejected.
        """
        return self._feed.ledger

    @property
    def dropped(self) -> Counter[tuple[str, str]]:
        """(filter, reason) to the number of samples that it dropped; counted as `ledger`."""
        return self._feed.dropped

    @property
    def rejects(self) -> list[Reject]:
        """The first 1,000 rejected records; collected as `ledger`."""
        return self._feed.rejects

    @property
    def epoch(self) -> int:
        """The epoch of the next iteration: that of a state that was loaded, or as it was set."""
        return self._pending.epoch if self._pending else int(self._shared[0])

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration, also for workers that live on.

        Where a state was loaded that stands within this very epoch, the next iteration is the rest of it.

        Raises:
            ValueError: The epoch is negative.
        """
        if epoch < 0:
            raise ValueError(f"epoch must be at least 0, got {epoch}")
        self._shared[0] = epoch
        self._run = None
        if self._pending and self._pending.epoch != epoch:
            self._pending = None

    def __iter__(self) -> Iterator[dict[str, Any]]:
        run = self._run = self._pending or self._fresh()
        self._check(self._state(run))  # it may have been loaded before there were workers
        self._pending = None
        self._shared[1] = get_worker_info() is not None
        return self._samples(run)

    def dataloader(self, batch_size: int = 8, **options: Any) -> DataLoader[Any]:
        """A torch DataLoader of this stream that says where its workers stood when one of them ended or hung.

        Args:
            batch_size: Samples of a batch.
            options: Of `torch.utils.data.DataLoader`, such as `num_workers` and `timeout`.

        Returns:
            An ordinary DataLoader, but that it raises `KTODataError` with file and lines where torch only names the
            worker's process.
        """
        return _TellingLoader(self, batch_size, **options)

    def begin_telling(self) -> None:
        """Forget where workers of an earlier iteration stood."""
        self._shared[2:] = 0

    def converting(self) -> list[str]:
        """Which lines the workers of a DataLoader are converting, as `FILE:FIRST-LAST`; nothing of idle ones."""
        rows = self._shared[2:].reshape(-1, 3).tolist()
        return [f"{self._feed.name(file)}:{first}-{last}" for file, first, last in rows if last]

    def state_dict(self) -> dict[str, Any]:
        """Where this process stands, as JSON values.

        torchdata's StatefulDataLoader asks every worker, and gives each its state back. torch's own DataLoader does
        not, so with it this works without workers only.

        Raises:
            RuntimeError: The samples are read by workers, and only they know how far they are.
        """
        if self._shared[1] and get_worker_info() is None:
            raise RuntimeError(
                "this stream is read by the workers of a DataLoader, and only they know how far they are; ask "
                "torchdata.stateful_dataloader.StatefulDataLoader for its state_dict, or set num_workers=0"
            )
        return self._state(self._pending or self._run or self._fresh())

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state: the next iteration is the rest of its epoch.

        Blocks before the state's window are read, and not converted.

        Raises:
            ValueError: The state is none, or is of another configuration, of other files, another seed, another
                number of consumers or another of them; the message names the key and both values.
        """
        self._check(state)
        places = {key: state[key] for key in _PLACES}
        self._pending = _Run(state["epoch"], state["consumer"], state["consumers"], **places)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_run": None}

    def _consumer(self) -> tuple[int, int]:
        """Which consumer this process is, and of how many; neighbouring numbers are of different ranks."""
        worker = get_worker_info()
        number, workers = (worker.id, worker.num_workers) if worker else (0, 1)
        return number * self._share.num_replicas + self._share.rank, self._share.num_replicas * workers

    def _fresh(self) -> _Run:
        return _Run(int(self._shared[0]), *self._consumer())

    def _terms(self, consumer: int, consumers: int) -> dict[str, int | str | bool]:
        """What a state must agree with."""
        return {
            "kind": type(self).__name__,
            "version": _VERSION,
            "split": self._split,
            "shuffle": self._shuffle,
            "seed": self._seed,
            "buffer_size": self._rows,
            **self._feed.digests,
            "consumers": consumers,
            "consumer": consumer,
        }

    def _state(self, run: _Run) -> dict[str, Any]:
        places = {key: getattr(run, key) for key in _PLACES}
        return self._terms(run.consumer, run.consumers) | {"epoch": run.epoch} | places

    def _check(self, state: dict[str, Any]) -> None:
        places = dict.fromkeys(("epoch", *_PLACES), _MOST) | {"file": len(self._feed)}
        check_state(state, self._terms(*self._consumer()), places)

    def _samples(self, run: _Run) -> Iterator[dict[str, Any]]:
        """The rest of a run."""
        self._feed.begin()
        files = self._order(len(self._feed), _FILES, run.epoch).tolist()
        place = Place(run.file, run.before, run.block, run.row)
        parts = self._feed.parts(files, place, consumer=run.consumer, consumers=run.consumers, tell=self._tell)
        for table, after in windows(parts, self._rows) if self._shuffle else as_they_come(parts):
            order = self._order(len(table), _WINDOWS, run.epoch, run.window, run.consumer)
            for sample in self._decoded(table, order[run.emitted :]):
                run.step(len(table), after)
                yield sample
            del table  # before the next window is read
            pa.default_memory_pool().release_unused()

    def _tell(self, file: int, first: int, last: int) -> None:
        """Leave word of what this process converts: of one that is killed nobody else could say."""
        worker = get_worker_info()
        number = worker.id if worker else 0
        if number < _TOLD:
            self._shared[2 + 3 * number : 5 + 3 * number] = torch.tensor([file, first, last])

    def _order(self, count: int, *numbers: int) -> Positions:
        places = np.arange(count)
        return Permutation(count, seed_of(self._seed, *numbers))[places] if self._shuffle else places

    def _decoded(self, table: pa.Table, rows: Positions) -> Iterator[dict[str, Any]]:
        decoder, pieces = Decoder(table), table.column(PIECE).to_numpy()
        for start in range(0, len(rows), _AT_ONCE):
            chosen = rows[start : start + _AT_ONCE]
            for sample, piece in zip(decoder.samples(chosen.tolist()), pieces[chosen].tolist(), strict=True):
                sample["kept"].update(self._feed.tags[piece])
                yield sample


class _TellingLoader(DataLoader[Any]):
    """Adds to torch's word of a worker that ended, or gives no answer, what it was at."""

    def __init__(self, stream: KTOStream, batch_size: int, **options: Any) -> None:
        self._stream = stream
        super().__init__(stream, batch_size, **options)

    def __iter__(self) -> Any:
        self._stream.begin_telling()
        return self._told(super().__iter__())

    def _told(self, batches: Any) -> Iterator[Any]:
        try:
            yield from batches
        except RuntimeError as error:
            where = self._stream.converting()
            if not where or not str(error).startswith("DataLoader "):
                raise
            raise KTODataError(f"{', '.join(where)}: {error}") from error
