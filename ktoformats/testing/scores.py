"""Laws of what works on batches: quality, utility and filters. A row's answer is its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import pyarrow as pa

from ktoformats.store.numbers import seen_by
from ktoformats.testing import corpus
from ktoformats.testing.law import LawBrokenError, is_code, law, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ktoformats.plugin.kinds import Filter, Quality, Utility
    from ktoformats.testing.subject import Subject

_RTOL, _ATOL = 1e-5, 1e-6
"""How far two answers about one row may lie apart: a model may sum up in another order, and in float32."""
_KEPT: Final = "no drop"
_TAKES: Final = ("response", "prompt", "system")
"""What a quality score may look at."""


def _scores(plugin: Any, batch: pa.RecordBatch, what: str = "a batch") -> np.ndarray:
    try:
        made = cast("Quality | Utility", plugin).score(batch)
    except Exception as error:
        raise LawBrokenError(
            f"score fails on {what} ({type(error).__name__}: {error}); every batch of SCHEMA must be scored, an "
            "empty one, too"
        ) from error
    array = np.asarray(made)
    if array.shape != (len(batch),):
        raise LawBrokenError(
            f"score returns shape {array.shape} for {what} of {len(batch)} rows; one number for each"
        )
    if array.dtype != np.float64:
        raise LawBrokenError(f"score returns {array.dtype}; make it float64")
    return array


@law("quality", "utility")
def scores(subject: Subject) -> str:
    """One float64 for each row; quality from 0 to 1 (NaN where nothing can be measured), utility finite."""
    array = _scores(subject.make(), corpus.samples())
    if subject.kind == "quality":
        wrong = array[~np.isnan(array) & ~((array >= 0) & (array <= 1))]
        advice = "clip to [0, 1], and return `ktoformats.UNDEFINED` where nothing can be measured"
    else:
        wrong = array[~np.isfinite(array)]
        advice = "a utility must be a number for every quality in [0, 1]"
    if len(wrong):
        row = int(np.flatnonzero(np.isin(array, wrong) | ~np.isfinite(array))[0])
        answer = corpus.samples().column("response")[row].as_py()
        raise LawBrokenError(f"it returns {wrong[0]} for the answer {short(answer, 60)}; {advice}")
    return f"from {np.nanmin(array):.3g} to {np.nanmax(array):.3g}" if not np.isnan(array).all() else "all undefined"


@law("quality", "utility", "filter")
def rows(subject: Subject) -> None:
    """A row's answer is its own: it does not depend on the batch, its order, its cut or its length."""
    whole, ask, plugin = corpus.samples(), _ask(subject), subject.make()
    expected = ask(plugin, whole, "a batch")
    for what, batch, numbers in _parts(whole):
        seen = ask(plugin, batch, what)
        wanted = expected[numbers]
        if len(apart := np.flatnonzero(~_close(seen, wanted))):
            row = int(apart[0])
            answer = batch.column("response")[row].as_py()
            raise LawBrokenError(
                f"in {what} the answer {short(answer, 60)} gets {seen[row]}, in the whole batch {wanted[row]}; look "
                "at each row alone: no mean, maximum or rank over the batch, and read Arrow columns by their values, "
                "not by their buffers (a slice has an offset)"
            )


def _close(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    if one.dtype == np.object_:  # reasons
        return np.asarray(one == other)
    return np.asarray(np.isclose(one, other, rtol=_RTOL, atol=_ATOL, equal_nan=True))


def _ask(subject: Subject) -> Callable[..., np.ndarray]:
    return _masks if subject.kind == "filter" else _scores


def _parts(whole: pa.RecordBatch) -> Iterator[tuple[str, pa.RecordBatch, np.ndarray]]:
    """The same rows in other batches, and their numbers in the whole."""
    numbers = np.arange(len(whole))
    yield "an empty batch", whole.slice(0, 0), numbers[:0]
    for start in range(0, len(whole), 7):
        yield f"the slice from row {start}", whole.slice(start, 7), numbers[start : start + 7]
    for number in numbers:
        yield "a batch of its own", whole.slice(int(number), 1), numbers[number : number + 1]
    mixed = np.random.default_rng(0).permutation(numbers)
    yield "a shuffled batch", whole.take(pa.array(mixed)), mixed
    twice = np.concatenate([numbers, numbers])
    yield "a batch with every row twice", whole.take(pa.array(twice)), twice


@law("quality")
def blind(subject: Subject) -> None:
    """Quality looks at response, prompt and system alone: not at the label, and not at where a sample came from."""
    whole, plugin = corpus.samples(), subject.make()
    expected = _scores(plugin, whole)
    for name in whole.schema.names:
        if name in _TAKES:
            continue
        changed = corpus.with_column(whole, name, _others(name, whole.column(name)))
        if not _close(_scores(plugin, changed), expected).all():
            raise LawBrokenError(
                f"the score changes with column {name!r}; look at {', '.join(_TAKES)} alone, or good answers and bad "
                "ones are measured by two yardsticks"
            )


def _others(name: str, column: pa.Array) -> pa.Array:
    """A column of other values."""
    if name == "label":
        return corpus.turned(column)
    is_text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
    return pa.array(["other"] * len(column), column.type) if is_text else column[::-1]


@law("filter")
def masks(subject: Subject) -> str:
    """Each mask is boolean, one value a row, with a reason code that users can read."""
    made = list(_dropped(subject.make(), corpus.samples(), "a batch"))
    return ", ".join(f"{reason}: {int(mask.sum())} of {len(mask)}" for reason, mask in made) or "it drops nothing"


def _dropped(plugin: Any, batch: pa.RecordBatch, what: str) -> Iterator[tuple[str, np.ndarray]]:
    try:
        made = list(cast("Filter", plugin).drops(seen_by(plugin, batch)))
    except Exception as error:
        raise LawBrokenError(f"drops fails on {what} ({type(error).__name__}: {error})") from error
    for one in made:
        if not isinstance(one, tuple) or len(one) != 2 or type(one[0]) is not str:  # noqa: PLR2004 - reason and mask
            raise LawBrokenError(f"drops yields {short(one, 60)}; yield Dropped(reason, mask)")
        reason, mask = one
        if not is_code(reason):
            raise LawBrokenError(f"the reason is {reason!r}; take a code such as `too_short`")
        array = np.asarray(mask)
        if array.dtype != np.bool_ or array.shape != (len(batch),):
            raise LawBrokenError(
                f"the mask of {reason!r} is {array.dtype} of shape {array.shape} for {what}; make it bool of shape "
                f"({len(batch)},): True where the sample is dropped"
            )
        yield reason, array


def _masks(plugin: Any, batch: pa.RecordBatch, what: str) -> np.ndarray:
    """The first reason that drops each row."""
    first = np.full(len(batch), _KEPT, np.object_)
    for reason, mask in _dropped(plugin, batch, what):
        first[(first == _KEPT) & mask] = reason
    return first
