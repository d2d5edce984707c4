"""The rows of an export in the order of its plan."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple, get_args

import numpy as np
import pyarrow as pa

from ktoformats.errors import ConfigError, EmptyDatasetError
from ktoformats.train.chosen import Chosen
from ktoformats.train.encode import Encoder, Style
from ktoformats.train.export import Planned
from ktoformats.train.fit import completion_ids, prompt_ids
from ktoformats.train.plan import PlanTerms
from ktoformats.train.tokens import Tokens
from ktoformats.train.training import Training
from ktoformats.train.writing import Batches, fitting, settle

if TYPE_CHECKING:
    from ktoformats.plugin.kinds import Exporter
    from ktoformats.store.cache import Kept
    from ktoformats.store.numbers import Array
    from ktoformats.store.view import View
    from ktoformats.train.fit import Limits
    from ktoformats.train.plan import Plan
    from ktoformats.train.writing import Progress


_STYLES: Final[tuple[Any, ...]] = get_args(Style)


class Wanted(NamedTuple):
    """What an export is planned for."""

    batch_size: int | None = None
    """Rows a batch and process; None plans no batches."""
    world_size: int = 1
    epochs: int = 1
    """Epochs that are written one after the other, each in an order of its own."""
    tokenizer: Any = None
    seed: int = 42


def line_up(
    view: View,
    exporter: Exporter,
    name: str,
    wanted: Wanted,
    limits: Limits,
    kept: Kept | None = None,
    progress: Progress | None = None,
) -> Planned:
    """Plan an export.

    Texts are written whole, so for an exporter of texts a sample that does not fit the limits is left out; one of
    tokens cuts as the limits say.

    Args:
        view: The chosen samples.
        exporter: Says the form.
        name: Its plugin name, for messages.
        wanted: What to plan for.
        limits: How many tokens a row may have.
        kept: Where tokens and plans are kept.
        progress: Called with how many rows have their tokens, and of how many.

    Raises:
        ConfigError: The exporter does not write in training order, or needs a tokenizer and has none.
        EmptyDatasetError: No sample fits.
    """
    if not exporter.training_order:
        raise ConfigError(f"exporter {name!r} keeps the order of the sources; there is nothing to plan")
    dataset = Chosen(view, fitting(view, exporter, name).rows)
    tokens = None
    if wanted.tokenizer is not None:
        own: Any = settle(exporter, name, Batches(view, dataset.rows))
        style: Style = own.style if getattr(own, "style", None) in _STYLES else "auto"
        encoder = Encoder(wanted.tokenizer, style, getattr(own, "separator", ""))
        tokens = Tokens(view.samples, encoder, kept, progress)
    if not exporter.tokens:
        limits = limits._replace(truncate_prompt="drop", truncate_completion="drop")
    training = Training(dataset, tokens, limits, kept)
    plans = [
        training.plan(
            PlanTerms(
                wanted.batch_size or 1,
                wanted.world_size,
                wanted.seed,
                epoch,
                partners="batch" if wanted.batch_size and not exporter.tokens else "anywhere",
            )
        )
        for epoch in range(wanted.epochs)
    ]
    order = np.concatenate([plan.order for plan in plans])
    fitted = training.fitted
    if fitted is not None and len(dataset) and not fitted.used.any():
        told = "; ".join(str(fitted.report).splitlines()[1:])
        raise EmptyDatasetError(f"no sample fits the token limits: {told}; nothing was published")
    achieved: dict[str, Any] = {}
    if wanted.batch_size:
        achieved["achieved"] = [plan.report.to_json() for plan in plans]
    if fitted is not None:
        achieved["fit"] = fitted.report.to_json()
    return Planned(
        dataset.rows[order],
        wanted.batch_size,
        wanted.world_size,
        wanted.epochs,
        None if fitted is None else limits.max_tokens or int(fitted.length[fitted.used].max(initial=0)),
        _columns(training, plans, order) if exporter.tokens and tokens is not None else None,
        achieved,
    )


def _columns(training: Training, plans: list[Plan], order: Array) -> Any:
    """Gives the tokens of a slice of the file order."""
    partner = np.concatenate([plan.partner for plan in plans])
    rows, tokens, fitted = training.dataset.rows, training.tokens, training.fitted

    def columns(start: int, stop: int) -> list[pa.Array]:
        if tokens is None or fitted is None:
            raise ConfigError("there is no tokenizer")
        own, other = order[start:stop].tolist(), partner[start:stop].tolist()
        prompts = [prompt_ids(tokens, fitted, one, int(rows[one])) for one in own]
        answers = [completion_ids(tokens, fitted, one, int(rows[one])) for one in own]
        strange = [completion_ids(tokens, fitted, one, int(rows[one])) if one >= 0 else _NOTHING for one in other]
        return [_lists(lists) for lists in (prompts, answers, strange)]

    return columns


_NOTHING = np.zeros(0, np.int32)


def _lists(arrays: list[Array]) -> pa.Array:
    ends = np.cumsum([0, *map(len, arrays)])
    values = np.concatenate([_NOTHING, *arrays])
    return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), pa.array(values, pa.int32()))
