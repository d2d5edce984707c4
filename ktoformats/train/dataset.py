"""The map-style torch dataset."""

from __future__ import annotations

import hashlib
import uuid
from bisect import bisect_left
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from ktoformats.feedback import BAD, GOOD, SAMPLE_KEYS
from ktoformats.page.notebook import in_short, table
from ktoformats.store.split import assign
from ktoformats.store.view import keys_of, renamed
from ktoformats.train.decode import Decoder, Turns
from ktoformats.train.ordered import training_rows
from ktoformats.train.rows import needs_messages, to_trl_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ktoformats.store.samples import Samples
    from ktoformats.store.view import Occurrences, View
    from ktoformats.train.plan import Plan

_ROWS_AT_ONCE = 1024


def _collate_turns(batch: list[Turns], *, collate_fn_map: Any = None) -> list[Turns]:
    """Conversations differ in length; a batch of them is a list."""
    del collate_fn_map
    return list(batch)


# default_collate looks types up here (documented at torch.utils.data.default_collate), also in workers
default_collate_fn_map[Turns] = _collate_turns


class _Rows:
    """Samples by their rows, repeats of an id renamed."""

    def __init__(self, samples: Samples, occurrence: Occurrences, names: Sequence[str] = SAMPLE_KEYS) -> None:
        self._decoder = Decoder(samples, names)
        self._again = np.ascontiguousarray(occurrence.rows).data if "id" in names else memoryview(b"")
        self._numbers = occurrence.numbers

    def samples(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        samples = self._decoder.samples(rows)
        again = self._again
        if again:
            for sample, row in zip(samples, rows, strict=True):
                place = bisect_left(again, row)
                if place < len(again) and again[place] == row:
                    sample["id"] = f"{sample['id']}-{self._numbers[place]}"
        return samples


class KTODataset(Dataset[dict[str, Any]]):
    """Samples with the specification's keys, in source order.

    `dataset[i]` is a sample, `dataset["label"]` a list, `dataset[a:b]` and `select` are datasets. Texts stay where
    they are (in memory or in a memory-mapped file) and are decoded on access; `torch.utils.data.DataLoader`
    collates the samples with any number of workers. Every sample has the same keys (`ktoformats.SAMPLE_KEYS`), none
    of them None.

    Args:
        view: The chosen samples.
        rows: int64, which of the view's table, in which order; None takes the chosen ones.
        split: What it is called.
        kept: Its samples per label, where somebody has counted them.
    """

    def __init__(
        self,
        view: View,
        rows: np.ndarray | None = None,
        *,
        split: str = "",
        kept: Mapping[str, int] | None = None,
    ) -> None:
        self._samples = view.samples.combined()
        self._occurrence = view.occurrence
        self._rows = view.chosen if rows is None else rows
        self._split = split
        self._kept = dict(kept or {})
        self._opened: _Rows | None = None
        self._narrow: dict[tuple[str, ...], _Rows] = {}

    @property
    def samples(self) -> Samples:
        """All samples of the build, of which these are some."""
        return self._samples

    @property
    def rows(self) -> np.ndarray:
        """int64, shape (samples,): the row of each one in the build."""
        return self._rows

    @property
    def occurrence(self) -> Occurrences:
        """The repeats among the samples that were chosen."""
        return self._occurrence

    @property
    def good(self) -> np.ndarray:
        """bool, shape (samples,): True for desirable."""
        good: np.ndarray = self._samples.good[self._rows]
        return good

    def columns(self, positions: list[int], names: Sequence[str]) -> list[dict[str, Any]]:
        """Some keys of some samples."""
        access = self._narrow.setdefault(tuple(names), _Rows(self._samples, self._occurrence, names))
        return access.samples([self._rows.item(one) for one in positions])

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> KTODataset: ...
    @overload
    def __getitem__(self, index: str) -> list[Any]: ...
    def __getitem__(self, index: int | slice | str) -> dict[str, Any] | KTODataset | list[Any]:
        if isinstance(index, str):
            if index not in SAMPLE_KEYS:
                raise KeyError(index)
            column = _Rows(self._samples, self._occurrence, (index,))
            return [sample[index] for sample in column.samples(self._rows.tolist())]
        if isinstance(index, slice):
            return self._of(self._rows[index])
        if not -len(self) <= index < len(self):
            raise IndexError(f"sample {index} of {len(self)}")
        return self._access.samples((self._rows.item(index),))[0]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        """Several samples at once; torch's DataLoader calls this."""
        return self._access.samples(list(map(self._rows.item, indices)))

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for start in range(0, len(self), _ROWS_AT_ONCE):
            yield from self._access.samples(self._rows[start : start + _ROWS_AT_ONCE].tolist())

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: where the files are, and which rows; those of a kept view are a file, too."""
        return self.__dict__ | {"_opened": None, "_narrow": {}, "_rows": told(self._rows)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"_rows": heard(state["_rows"])})

    def select(self, indices: Any) -> KTODataset:
        """The dataset of these positions, in this order.

        Args:
            indices: Positions, or a bool for each sample.

        Raises:
            IndexError: There is no such position, or there are not as many bools as samples.
        """
        chosen = np.asarray(indices)
        chosen = chosen if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return self._of(self._rows[chosen])

    def split(self, *, seed: int = 42, **fractions: float) -> dict[str, KTODataset]:
        """Divide it, so that no two parts share a conversation.

        Samples of one origin conversation, or of one first user turn, stay together; every part has its share of
        good and bad ones, as nearly as that allows. The order stays what it is.

        Args:
            seed: Another seed gives other parts.
            fractions: The share of each part by its name: `split(train=0.9, validation=0.1)`.

        Raises:
            ConfigError: A share is no number from 0 to 1, or they do not sum to 1.
        """
        rows, samples = self._rows, self._samples
        groups, origins = samples.numbers("group")[rows], samples.numbers("origin")[rows]
        own = assign(groups, origins, samples.good[rows], fractions, seed=seed)
        return {name: self._of(rows[own == number]) for number, name in enumerate(fractions)}

    def _of(self, rows: np.ndarray) -> KTODataset:
        made = KTODataset.__new__(type(self))
        own = {"_samples": self._samples, "_occurrence": self._occurrence, "_rows": rows}
        vars(made).update(own | {"_split": self._split, "_kept": {}, "_opened": self._access, "_narrow": {}})
        return made

    @property
    def _access(self) -> _Rows:
        """Opened when it is needed: in a worker process, there."""
        if self._opened is None:
            self._opened = _Rows(self._samples, self._occurrence)
        return self._opened

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that tell which samples these are, and in which order; the same on every machine."""
        keys = keys_of(self._samples, self._rows, self._occurrence)
        return hashlib.sha256(keys.astype("<u8").tobytes()).hexdigest()

    def training_order(self, seed: int = 0) -> np.ndarray:
        """int64 positions in training order: both labels in every batch, the answers to a prompt apart.

        Args:
            seed: Another seed gives another order with the same properties.
        """
        ordered = training_rows(self._samples, self._rows, self._occurrence, seed=seed)
        positions = np.empty(len(ordered), np.int64)
        positions[np.argsort(ordered, kind="stable")] = np.argsort(self._rows, kind="stable")
        return positions

    def collate_fn(self, batch: list[dict[str, Any]]) -> dict[str, Any]:
        """Collate samples without torch: lists of texts, tensors of numbers.

        Args:
            batch: Samples of this dataset.

        Returns:
            Every key with a list of its values; floats and ints as float64 and int64 tensors of shape (batch,).
        """
        import torch

        columns = {key: [sample[key] for sample in batch] for key in batch[0]}
        kinds = {**dict.fromkeys(("response_quality", "utility_score", "weight"), torch.float64), "line": torch.int64}
        return {
            key: torch.tensor(values, dtype=kinds[key]) if key in kinds else values for key, values in columns.items()
        }

    def to_trl(self, style: str = "auto", plan: Plan | None = None) -> Any:
        """A `datasets.Dataset` for TRL's KTOTrainer, in training order or in that of a plan.

        Args:
            style: `standard`, `conversational`, or `auto`: standard unless a sample has a system message,
                earlier turns, tools or tool calls. `dataset.to_trl().info.description` says which.
            plan: Of this dataset, with `partners="batch"`; the trainer's batches and KL partners are then its own.

        Raises:
            ImportError: `datasets` is not installed.
            ValueError: The style is unknown.
        """
        try:
            import datasets
        except ImportError as error:
            raise ImportError("to_trl needs the datasets library: pip install 'ktoformats[trl]'") from error
        if style not in ("auto", "standard", "conversational"):
            raise ValueError(f"style must be auto, standard or conversational, got {style!r}")
        rows = training_rows(self._samples, self._rows, self._occurrence) if plan is None else self._rows[plan.order]
        table = self._table(rows)
        if style == "auto":
            style = "conversational" if needs_messages(table.to_batches()) else "standard"
        tools = style == "conversational" and any(table.column("tools").to_pylist())
        made = datasets.Dataset.from_list(list(to_trl_rows(table, style, tools=tools)))
        order = "training order" if plan is None else "the order of a plan"
        made.info.description = f"ktoformats, {style}, in {order}"
        return made

    def to_hf(self) -> Any:
        """A `datasets.Dataset` of the same samples, with the same keys, in the same order.

        Its columns have the types of the schema: `kept` is JSON text, empty where nothing is carried, and a message
        has all of its keys. Texts in uncompressed files are not copied: it maps the files of the cache. Compressed
        ones are decoded first.

        Raises:
            ImportError: `datasets` is not installed.
        """
        try:
            import datasets
            from datasets.table import InMemoryTable
        except ImportError as error:
            raise ImportError("to_hf needs the datasets library: pip install 'ktoformats[trl]'") from error
        table = self._samples.whole(SAMPLE_KEYS)
        if len(self._occurrence.rows):
            table = renamed(table, self._occurrence.of(np.arange(len(table))))
        places = InMemoryTable(pa.table({"indices": pa.array(self._rows.astype(np.uint64))}))
        # left alone, datasets pickles all texts to find a fingerprint
        return datasets.Dataset(InMemoryTable(table), indices_table=places, fingerprint=uuid.uuid4().hex)

    def _table(self, rows: np.ndarray, names: Sequence[str] | None = None) -> pa.Table:
        table = self._samples.take(rows, names)
        return renamed(table, self._occurrence.of(rows))

    def __repr__(self) -> str:
        labels = f": {self._kept[GOOD]} good, {self._kept[BAD]} bad" if self._kept else ""
        split = f"; split {in_short(self._split)}" if self._split else ""
        return f"KTODataset({len(self)} samples{labels}{split})"

    def _repr_html_(self) -> str:
        """How many samples there are, for notebooks; none is read to show it."""
        rows: list[tuple[object, ...]] = [("samples", len(self)), *self._kept.items()]
        rows.append(("keys of a sample", ", ".join(SAMPLE_KEYS)))
        return table(f"KTODataset, split {self._split}" if self._split else "KTODataset", ("", ""), rows)


def told(rows: np.ndarray) -> np.ndarray | Path:
    """Rows as another process hears of them: those that are all of a file by its path."""
    if isinstance(rows, np.memmap) and rows.filename is not None and not isinstance(rows.base, np.ndarray):
        return Path(rows.filename)
    return np.asarray(rows)


def heard(rows: np.ndarray | Path) -> np.ndarray:
    """The rows that were told."""
    return np.load(rows, mmap_mode="r", allow_pickle=False) if isinstance(rows, Path) else rows
