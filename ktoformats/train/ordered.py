"""Views in training order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ktoformats.store.view import keys_of
from ktoformats.train.order import training_order

if TYPE_CHECKING:
    import numpy as np

    from ktoformats.store.samples import Samples
    from ktoformats.store.view import Occurrences


def training_rows(samples: Samples, rows: np.ndarray, occurrence: Occurrences, *, seed: int = 0) -> np.ndarray:
    """Rows of samples in training order.

    Args:
        samples: All.
        rows: int64, which of them.
        occurrence: The repeats among them.
        seed: Another seed gives another order with the same properties.
    """
    groups = samples.numbers("group")[rows]
    keys = keys_of(samples, rows, occurrence)
    texts = samples.numbers("answer")[rows]
    return rows[training_order(samples.good[rows], groups, keys, text=texts, seed=seed)]
