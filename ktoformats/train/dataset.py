"""The map-style torch dataset."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, overload

import numpy as np
from torch.utils.data import Dataset
from torch.utils.data._utils.collate import default_collate_fn_map

from ktoformats.feedback import SAMPLE_KEYS
from ktoformats.store.view import take
from ktoformats.train.decode import Decoder, Turns
from ktoformats.train.ordered import training_rows
from ktoformats.train.rows import needs_messages, to_trl_rows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ktoformats.store.view import View

_ROWS_AT_ONCE = 1024


def _collate_turns(batch: list[Turns], *, collate_fn_map: Any = None) -> list[Turns]:
    """Conversations differ in length; a batch of them is a list."""
    del collate_fn_map
    return list(batch)


# default_collate looks types up here (documented at torch.utils.data.default_collate), also in workers
default_collate_fn_map[Turns] = _collate_turns


class _Rows:
    """Rows of a view's table as samples, repeats of an id renamed."""

    def __init__(self, view: View, names: Sequence[str] = SAMPLE_KEYS) -> None:
        self._decoder = Decoder(view.table, names)
        renamed = "id" in names and view.occurrence.any()
        self._occurrence = memoryview(view.occurrence.data) if renamed else None

    def samples(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        samples = self._decoder.samples(rows)
        if self._occurrence is not None:
            for sample, row in zip(samples, rows, strict=True):
                if number := self._occurrence[row]:
                    sample["id"] = f"{sample['id']}-{number}"
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
    """

    def __init__(self, view: View, rows: np.ndarray | None = None) -> None:
        chunks = view.table.column("id").num_chunks
        if chunks > 1 and chunks * _ROWS_AT_ONCE > len(view.table):
            # built in memory, batch by batch: one piece makes access by row quick
            view = replace(view, table=view.table.combine_chunks())
        self._view = view
        self._rows = view.chosen if rows is None else rows
        self._opened: _Rows | None = None

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
            return [sample[index] for sample in _Rows(self._view, (index,)).samples(self._rows.tolist())]
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
        return self.__dict__ | {"_opened": None}

    def select(self, indices: Any) -> KTODataset:
        """The dataset of these positions, in this order."""
        chosen = np.asarray(indices)
        chosen = np.flatnonzero(chosen) if chosen.dtype == np.bool_ else chosen.astype(np.int64)
        return self._of(self._rows[chosen])

    def _of(self, rows: np.ndarray) -> KTODataset:
        made = KTODataset(self._view, rows)
        made._opened = self._access
        return made

    @property
    def _access(self) -> _Rows:
        """Opened when it is needed: in a worker process, there."""
        if self._opened is None:
            self._opened = _Rows(self._view)
        return self._opened

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

    def to_trl(self, style: str = "auto") -> Any:
        """A `datasets.Dataset` for TRL's KTOTrainer, in training order.

        Args:
            style: `standard`, `conversational`, or `auto`: standard unless a sample has a system message,
                earlier turns, tools or tool calls. `dataset.to_trl().info.description` says which.

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
        table = take(self._view.table, training_rows(self._view, self._rows))
        if style == "auto":
            style = "conversational" if needs_messages(table.to_batches()) else "standard"
        tools = style == "conversational" and any(table.column("tools").to_pylist())
        rows = list(to_trl_rows(table, style, tools=tools))
        made = datasets.Dataset.from_list(rows)
        made.info.description = f"ktoformats, {style}, in training order"
        return made

    def __repr__(self) -> str:
        return f"KTODataset({len(self)} samples)"
