"""The map-style torch dataset."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import pyarrow as pa
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from ktoformats.feedback import BAD, GOOD, SAMPLE_KEYS
from ktoformats.page.notebook import in_short, table
from ktoformats.store.split import assign
from ktoformats.store.view import renamed
from ktoformats.train.chosen import Chosen
from ktoformats.train.decode import Turns
from ktoformats.train.ordered import training_rows
from ktoformats.train.rows import needs_messages, to_trl_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ktoformats.store.view import View
    from ktoformats.train.plan import Plan


def _collate_turns(batch: list[Turns], *, collate_fn_map: Any = None) -> list[Turns]:
    """Conversations differ in length; a batch of them is a list."""
    del collate_fn_map
    return list(batch)


# default_collate looks types up here (documented at torch.utils.data.default_collate), also in workers
default_collate_fn_map[Turns] = _collate_turns


class KTODataset(Chosen, Dataset[dict[str, Any]]):
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
        super().__init__(view, rows)
        self._split = split
        self._kept = dict(kept or {})

    def select(self, indices: Any) -> Self:
        """The dataset of these positions, in this order.

        Args:
            indices: Positions, or a bool for each sample.

        Raises:
            IndexError: There is no such position, or there are not as many bools as samples.
        """
        chosen = np.asarray(indices)
        chosen = chosen if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return self._of(self._rows[chosen])

    def split(self, *, seed: int = 42, **fractions: float) -> dict[str, Self]:
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

    def _of(self, rows: np.ndarray) -> Self:
        made = super()._of(rows)
        vars(made).update({"_split": self._split, "_kept": {}})
        return made

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
