"""Rows of a view on their way through an exporter, which is held to what its kind promises."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.errors import KTODataError, KtoFormatsError, PluginContractError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.kinds import Exporter
from ktoformats.store.part import forget_pages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from ktoformats.plugin.kinds import Written
    from ktoformats.store.view import View

    Progress = Callable[[int, int], None]
    """Called with how many rows were handed out, and of how many; the first is small again where they are gone over
    once more."""
    Tokens = Callable[[int, int], Sequence[pa.Array]]
    """From a slice of the file order, as start and stop, to the columns of `TOKENS`."""

_ROWS_AT_ONCE: Final = 8192
TOKENS: Final = pa.schema(
    [
        pa.field(name, pa.list_(pa.int32()), nullable=False)
        for name in ("prompt_ids", "completion_ids", "KL_completion_ids")
    ]
)
"""The columns that an exporter with `tokens` gets beside those of `SCHEMA`."""


class Batches:
    """Rows of a view in some order, batch by batch; may be iterated again.

    Args:
        view: The samples.
        rows: int64, the rows of samples in the order to write.
        tokens: Gives the columns of `TOKENS`; None leaves them out.
        progress: Is told of every batch.
        span: The place in the file order of the first of these rows, and the length of it; None means that they are
            all of it.
    """

    def __init__(
        self,
        view: View,
        rows: np.ndarray,
        tokens: Tokens | None = None,
        progress: Progress | None = None,
        *,
        span: tuple[int, int] | None = None,
    ) -> None:
        self._view = view
        self._rows = rows
        self._tokens = tokens
        self._progress = progress
        self._first, self._whole = span or (0, len(rows))

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self._rows), _ROWS_AT_ONCE):
            rows = self._rows[start : start + _ROWS_AT_ONCE]
            table = self._view.take(rows)
            place = self._first + start
            if self._tokens is not None:
                for field, column in zip(TOKENS, self._tokens(place, place + len(rows)), strict=True):
                    table = table.append_column(field, column)
            yield from table.combine_chunks().to_batches()
            forget_pages()
            if self._progress is not None:
                self._progress(place + len(rows), self._whole)

    def __len__(self) -> int:
        return len(self._rows)

    def part(self, start: int, stop: int) -> Batches:
        """Some of them, that follow each other."""
        span = self._first + start, self._whole
        return Batches(self._view, self._rows[start:stop], self._tokens, self._progress, span=span)


class Fit(NamedTuple):
    """What an exporter's form can hold of a view."""

    rows: np.ndarray
    """int64, rows of samples, ascending."""
    left_out: dict[str, dict[str, int]]
    """Reason to label to the number of samples that it cannot hold."""


def fitting(view: View, exporter: Exporter, name: str, progress: Progress | None = None) -> Fit:
    """Ask an exporter which samples its form can hold.

    Args:
        view: The samples.
        exporter: Says what it refuses.
        name: Its plugin name, for messages.
        progress: Is told of every batch, where it is asked at all.

    Raises:
        KTODataError: It refuses some, and they are not to be left out; the message names the first.
        PluginContractError: It failed.
    """
    if type(exporter).refuses is Exporter.refuses:
        return Fit(view.chosen, {})
    kept = np.ones(len(view.chosen), bool)
    left_out: dict[str, dict[str, int]] = {}
    first = ""
    start = 0
    for batch in Batches(view, view.chosen, progress=progress):
        own = kept[start : start + len(batch)]
        good = np.asarray(pa.compute.equal(batch.column("label"), GOOD))
        for reason, mask in _refused(exporter, name, batch):
            fresh = own & mask
            if fresh.any():
                row = batch.slice(int(np.argmax(fresh)), 1).to_pylist()[0]
                first = first or f"{row['source']}:{row['line']} (sample {row['id']}): {reason}"
                counts = left_out.setdefault(reason, {GOOD: 0, BAD: 0})
                counts[GOOD] += int((fresh & good).sum())
                counts[BAD] += int((fresh & ~good).sum())
                own &= ~mask
        start += len(batch)
    if left_out and getattr(exporter, "unfit", "fail") != "drop":
        counted = ", ".join(f"{reason} {sum(counts.values())}" for reason, counts in left_out.items())
        hint = ""
        if "unfit" in type(exporter).model_fields:
            hint = f"; to leave such samples out, say --to '{{{name}: {{unfit: drop}}}}'"
        raise KTODataError(
            f"exporter {name!r} cannot hold {int((~kept).sum())} of {len(kept)} samples ({counted}), first {first}"
            f"{hint}; nothing was published"
        )
    return Fit(view.chosen[kept], left_out)


def _refused(exporter: Exporter, name: str, batch: pa.RecordBatch) -> list[tuple[str, np.ndarray]]:
    try:
        found = [(reason, np.asarray(mask, dtype=bool)) for reason, mask in exporter.refuses(batch)]
    except (KtoFormatsError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _failed(name, "refuses", error) from error
    for reason, mask in found:
        if mask.shape != (len(batch),):
            message = f"exporter {name!r}: the mask of {reason!r} has shape {mask.shape}, expected {(len(batch),)}"
            raise PluginContractError(message, kind="exporter", plugin=name)
    return found


def settle(exporter: Exporter, name: str, batches: Iterable[pa.RecordBatch]) -> Exporter:
    """Let an exporter decide what depends on all samples.

    Raises:
        PluginContractError: It failed, or gave something that is no exporter.
    """
    try:
        made = exporter.settled(batches)
    except (KtoFormatsError, OSError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _failed(name, "settled", error) from error
    if not isinstance(made, Exporter):
        message = f"exporter {name!r}: settled returned {made!r:.60}, expected an exporter"
        raise PluginContractError(message, kind="exporter", plugin=name)
    return made


def write_with(exporter: Exporter, name: str, batches: Iterable[pa.RecordBatch], part: Path) -> Mapping[str, Any]:
    """Let an exporter write one file, or one folder, and hold it to what its kind promises.

    Args:
        exporter: Says the form.
        name: Its plugin name, for messages.
        batches: The samples; may be iterated again.
        part: The file, or the folder, which is made here.

    Returns:
        What it tells about it, as plain values.

    Raises:
        PluginContractError: It failed, wrote nothing, or told something else.
    """
    if exporter.folder:
        part.mkdir()
    try:
        told = exporter.write(batches, part)
    except (KtoFormatsError, OSError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _failed(name, "", error) from error
    if not part.is_file() and not files_in(part):
        raise PluginContractError(f"exporter {name!r} wrote nothing", kind="exporter", plugin=name)
    try:
        plain: dict[str, Any] = orjson.loads(orjson.dumps(dict(told), default=str))
    except (TypeError, ValueError) as error:
        message = f"exporter {name!r} returned {told!r:.60}, expected a mapping of plain values"
        raise PluginContractError(message, kind="exporter", plugin=name) from error
    return plain


def settings_of(exporter: Exporter, name: str, written: Written) -> str:
    """Ask an exporter what to paste into the trainer's configuration.

    Raises:
        PluginContractError: It failed, or gave no text.
    """
    try:
        text = exporter.settings(written)
    except (KtoFormatsError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _failed(name, "settings", error) from error
    if type(text) is not str:
        message = f"exporter {name!r}: settings returned {text!r:.60}, expected a text"
        raise PluginContractError(message, kind="exporter", plugin=name)
    return text


def _failed(name: str, verb: str, error: BaseException) -> PluginContractError:
    where = f" in {verb}" if verb else ""
    message = f"exporter {name!r} failed{where} ({type(error).__name__}: {error}); nothing was published"
    return PluginContractError(message, kind="exporter", plugin=name)


def files_in(folder: Path) -> list[str]:
    """The files in a folder and below, by their paths within it, sorted."""
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir())


def sync(path: Path) -> None:
    """Bring a file, or all files of a folder, to the disk."""
    for one in [path] if path.is_file() else [path / name for name in files_in(path)]:
        with one.open("rb") as stream:
            os.fsync(stream.fileno())
