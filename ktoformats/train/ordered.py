"""Views in training order."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ktoformats.store.view import hex_column, labels_of, sample_keys
from ktoformats.train.order import training_order

if TYPE_CHECKING:
    import numpy as np

    from ktoformats.store.view import View


def training_rows(view: View, rows: np.ndarray | None = None, *, seed: int = 0) -> np.ndarray:
    """Rows of the view's table in training order.

    Args:
        view: The chosen samples.
        rows: int64, which of them; None takes all chosen ones.
        seed: Another seed gives another order with the same properties.
    """
    rows = view.chosen if rows is None else rows
    good = labels_of(view.table)[rows]
    groups = hex_column(view.table.column("group"))[rows]
    keys = sample_keys(view.table, view.occurrence)[rows]
    return rows[training_order(good, groups, keys, seed=seed)]
