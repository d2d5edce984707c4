"""The samples of a split that are used, by their rows in the build: what needs no torch."""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Self, overload

import numpy as np

from ktoformats.feedback import SAMPLE_KEYS
from ktoformats.store.view import keys_of
from ktoformats.train.decode import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ktoformats.store.samples import Samples
    from ktoformats.store.view import Occurrences, View

_ROWS_AT_ONCE: Final = 1024


class Access:
    """Samples by their rows, repeats of an id renamed."""

    def __init__(self, samples: Samples, occurrence: Occurrences, names: Sequence[str] = SAMPLE_KEYS) -> None:
        self._decoder = Decoder(samples, names)
        self._again = np.ascontiguousarray(occurrence.rows).data if "id" in names else memoryview(b"")
        self._numbers = occurrence.numbers

    def samples(self, rows: Sequence[int]) -> list[dict[str, Any]]:
        """Some of them."""
        samples = self._decoder.samples(rows)
        again = self._again
        if again:
            for sample, row in zip(samples, rows, strict=True):
                place = bisect_left(again, row)
                if place < len(again) and again[place] == row:
                    sample["id"] = f"{sample['id']}-{self._numbers[place]}"
        return samples


class Chosen:
    """The samples that are used, in some order.

    Args:
        view: The chosen samples.
        rows: int64, which of the view's table, in which order; None takes the chosen ones.
    """

    def __init__(self, view: View, rows: np.ndarray | None = None) -> None:
        self._samples = view.samples.combined()
        self._occurrence = view.occurrence
        self._rows = view.chosen if rows is None else rows
        self._opened: Access | None = None
        self._narrow: dict[tuple[str, ...], Access] = {}

    def __len__(self) -> int:
        return len(self._rows)

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    @overload
    def __getitem__(self, index: str) -> list[Any]: ...
    def __getitem__(self, index: int | slice | str) -> dict[str, Any] | Self | list[Any]:
        if isinstance(index, str):
            if index not in SAMPLE_KEYS:
                raise KeyError(index)
            column = Access(self._samples, self._occurrence, (index,))
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
        access = self._narrow.setdefault(tuple(names), Access(self._samples, self._occurrence, names))
        return access.samples([self._rows.item(one) for one in positions])

    @cached_property
    def fingerprint(self) -> str:
        """64 hexadecimal digits that tell which samples these are, and in which order; the same on every machine."""
        keys = keys_of(self._samples, self._rows, self._occurrence)
        return hashlib.sha256(keys.astype("<u8").tobytes()).hexdigest()

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: where the files are, and which rows; those of a kept view are a file, too."""
        return self.__dict__ | {"_opened": None, "_narrow": {}, "_rows": told(self._rows)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state | {"_rows": heard(state["_rows"])})

    def _of(self, rows: np.ndarray) -> Self:
        made = type(self).__new__(type(self))
        own = {"_samples": self._samples, "_occurrence": self._occurrence, "_rows": rows}
        vars(made).update(own | {"_opened": self._access, "_narrow": {}})
        return made

    @property
    def _access(self) -> Access:
        """Opened when it is needed: in a worker process, there."""
        if self._opened is None:
            self._opened = Access(self._samples, self._occurrence)
        return self._opened


def told(rows: np.ndarray) -> np.ndarray | Path:
    """Rows as another process hears of them: those that are all of a file by its path."""
    if isinstance(rows, np.memmap) and rows.filename is not None and not isinstance(rows.base, np.ndarray):
        return Path(rows.filename)
    return np.asarray(rows)


def heard(rows: np.ndarray | Path) -> np.ndarray:
    """The rows that were told."""
    return np.load(rows, mmap_mode="r", allow_pickle=False) if isinstance(rows, Path) else rows
