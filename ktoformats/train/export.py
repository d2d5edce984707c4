"""Write a view with an exporter: into a private place, published by rename, with side files beside it."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ktoformats.errors import ConfigError, SourceError
from ktoformats.plugin.kinds import Written
from ktoformats.store.part import forget_pages
from ktoformats.store.report import loss_weights
from ktoformats.store.samples import Samples
from ktoformats.store.sink import ROWS_PER_BATCH, Sink
from ktoformats.store.view import View, renamed, whole
from ktoformats.train.ordered import training_rows
from ktoformats.train.shards import publish, write_shards
from ktoformats.train.sidefiles import (
    MANIFEST_SUFFIX,
    ORIGIN,
    ROWS_SUFFIX,
    side_file,
    write_manifest,
    write_rows,
)
from ktoformats.train.sidefiles import manifest_of as manifest_of
from ktoformats.train.writing import Batches as Batches
from ktoformats.train.writing import files_in, fitting, settings_of, settle, sync, write_with

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pyarrow as pa

    from ktoformats.plugin.kinds import Exporter
    from ktoformats.store.report import Report
    from ktoformats.train.writing import Progress, Tokens

_ROWS_AT_ONCE: Final = 8192


class Planned(NamedTuple):
    """An order of rows that was planned for batches of one size, and what was planned with it."""

    rows: np.ndarray
    """int64, rows of the view's samples in file order; with several epochs each stands there several times. What the
    exporter refuses is not among them, see `fitting`."""
    batch_size: int | None
    """Rows a batch and process."""
    world_size: int = 1
    """Processes."""
    epochs: int = 1
    """Epochs that follow each other."""
    max_tokens: int | None = None
    """The most tokens a row has, if they were counted."""
    tokens: Tokens | None = None
    """Gives the tokens of a slice of the file order, as int32 lists; None where there is no tokenizer."""
    achieved: Mapping[str, Any] = MappingProxyType({})
    """What the manifest is to say of it besides, in plain values."""

    @property
    def plan(self) -> dict[str, int | None]:
        """What the manifest says of it."""
        return {"batch_size": self.batch_size, "world_size": self.world_size, "epochs": self.epochs}


def export(
    view: View,
    report: Report,
    exporter: Exporter,
    name: str,
    output: Path,
    *,
    planned: Planned | None = None,
    rows_per_shard: int | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Write a view to one file or folder, and its side files beside it.

    Args:
        view: The chosen samples.
        report: Their accounting.
        exporter: Says the form; an exporter with `training_order` gets the samples in training order.
        name: The exporter's plugin name, for the manifest.
        output: The file or folder; an existing one is replaced in one step. Who calls has seen to it that a folder
            may be (see `check_folder`).
        planned: The order; None takes one that suits batches of any size.
        rows_per_shard: Write a folder of files with so many rows each, the last with fewer.
        progress: Is told how many rows the exporter has taken; some go over them more than once.

    Returns:
        The manifest.

    Raises:
        ConfigError: The exporter writes tokens, and there are none.
        KTODataError: The exporter refuses a sample.
        SourceError: The place cannot be written.
    """
    tokens = planned.tokens if planned is not None and exporter.tokens else None
    if exporter.tokens and tokens is None:
        raise ConfigError(f"exporter {name!r} writes tokens, and no tokenizer was named")
    view, rows, left_out = _ordered(view, exporter, name, planned, progress)
    batches = Batches(view, rows, tokens, progress)
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{output.name}.", suffix=".part", dir=output.parent) as folder:
            part = Path(folder, output.name)  # its ending tells some libraries what to write
            facts: dict[str, Any] = {}
            if rows_per_shard is None:
                told = write_with(exporter, name, batches, part)
            else:
                exporter = settle(exporter, name, batches)
                told, facts["shards"] = write_shards(exporter, name, batches, part, report.split, rows_per_shard)
            told = {**told, **({"left_out": left_out} if left_out else {})}
            written = _written(view, rows, told, output.name, planned)
            if settings := settings_of(exporter, name, written):
                facts["settings"] = settings
                if exporter.settings_file:
                    (part / exporter.settings_file).write_text(settings.rstrip("\n") + "\n", encoding="utf-8")
            if exporter.folder:
                facts["contents"] = files_in(part)
            if planned is not None:
                facts["plan"] = {**planned.plan, **planned.achieved}
            sync(part)
            order = "training" if exporter.training_order else "source"
            manifest = manifest_of(report, exporter=name, order=order, rows=len(rows), told=told, **facts)
            manifest["weights"] = loss_weights(written.good, written.bad)  # of what was written, as in the settings
            write_manifest(side_file(part, MANIFEST_SUFFIX), manifest)
            if exporter.training_order:
                write_rows(side_file(part, ROWS_SUFFIX), _origins(view, rows))
            publish(part, output)
    except SourceError:
        raise
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); nothing was published"
        raise SourceError("not_writable", str(output), message) from error
    return manifest


def _ordered(
    view: View, exporter: Exporter, name: str, planned: Planned | None, progress: Progress | None
) -> tuple[View, np.ndarray, dict[str, dict[str, int]]]:
    """The view to write from, its rows in the order to write, and what the exporter leaves out.

    Raises:
        ConfigError: A row is planned that the exporter cannot hold.
    """
    rows = planned.rows if planned is not None else None
    if exporter.training_order:
        unpacked = _unpacked(view)
        if rows is not None and unpacked is not view:
            rows = np.searchsorted(view.chosen, rows)
        view = unpacked
    fit = fitting(view, exporter, name, progress)
    if rows is not None:
        if not np.isin(rows, fit.rows).all():
            raise ConfigError(f"rows are planned that exporter {name!r} leaves out; plan with those of `fitting`")
    elif exporter.training_order:
        rows = training_rows(view.samples, fit.rows, view.occurrence)
    else:
        rows = fit.rows
    return view, rows, fit.left_out


def _unpacked(view: View) -> View:
    """The same view, its samples not compressed: who jumps about in them would decode each batch again and again.

    Only those that are used are written, into a temporary folder.
    """
    if not any(part.compressed for part in view.samples.parts):
        return view
    sink = Sink(in_memory=0)
    for start in range(0, len(view.chosen), ROWS_PER_BATCH):
        sink.write(view.samples.take(view.chosen[start : start + ROWS_PER_BATCH]).to_batches())
    return whole(Samples([sink.finish()]))


def _written(view: View, rows: np.ndarray, told: Mapping[str, Any], name: str, planned: Planned | None) -> Written:
    """What the exporter is told about what it wrote."""
    good = int(view.samples.good[rows].sum())
    weights = loss_weights(good, len(rows) - good) or {}
    written = Written(
        name,
        told,
        good,
        len(rows) - good,
        desirable_weight=weights.get("desirable_weight", 1.0),
        undesirable_weight=weights.get("undesirable_weight", 1.0),
    )
    if planned is None:
        return written
    return written._replace(
        batch_size=planned.batch_size,
        world_size=planned.world_size,
        epochs=planned.epochs,
        max_tokens=planned.max_tokens,
    )


def _origins(view: View, rows: np.ndarray) -> Iterator[pa.Table]:
    """Where rows come from, under the ids that they go by."""
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        some = rows[start : start + _ROWS_AT_ONCE]
        yield renamed(view.samples.take(some, ORIGIN), view.occurrence.of(some))
        forget_pages()
