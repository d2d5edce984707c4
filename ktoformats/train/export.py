"""Write a view with an exporter: into a private file, published by rename, with a manifest beside it."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import orjson
import yaml

import ktoformats
from ktoformats.errors import KtoFormatsError, PluginContractError, SourceError
from ktoformats.store.part import forget_pages
from ktoformats.store.samples import Samples
from ktoformats.store.sink import ROWS_PER_BATCH, Sink
from ktoformats.store.view import View, whole
from ktoformats.train.ordered import training_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    import numpy as np
    import pyarrow as pa

    from ktoformats.plugin.kinds import Exporter
    from ktoformats.store.report import Report

_ROWS_AT_ONCE: Final = 8192
MANIFEST_SUFFIX: Final = ".manifest.yaml"
REJECTS_SUFFIX: Final = ".rejects.txt"
FAILED_SUFFIX: Final = ".failed.yaml"
"""Side files are called so that `datasets.load_dataset(FOLDER)` does not take them for data: it ignores YAML and
text beside JSON Lines, unless `.jsonl` stands anywhere in their names. The rejects are JSON Lines all the same."""


class Batches:
    """Rows of a view in some order, batch by batch; may be iterated again."""

    def __init__(self, view: View, rows: np.ndarray) -> None:
        self._view = view
        self._rows = rows

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(self._rows), _ROWS_AT_ONCE):
            rows = self._rows[start : start + _ROWS_AT_ONCE]
            yield from self._view.take(rows).combine_chunks().to_batches()
            forget_pages()


def side_file(output: Path, suffix: str) -> Path:
    """The path of a side file: `train.jsonl` gets `train-jsonl.manifest.yaml`, `train.parquet` one of its own."""
    return output.with_name(output.name.replace(".", "-").lstrip("-") + suffix)


def export(view: View, report: Report, exporter: Exporter, name: str, output: Path) -> dict[str, Any]:
    """Write a view to one file and its manifest beside it.

    Args:
        view: The chosen samples.
        report: Their accounting.
        exporter: Says the form; an exporter with `training_order` gets the samples in training order.
        name: The exporter's plugin name, for the manifest.
        output: The file; an existing one is replaced in one step.

    Returns:
        The manifest.

    Raises:
        SourceError: The place cannot be written.
    """
    if exporter.training_order:
        view = _unpacked(view)
        rows = training_rows(view.samples, view.chosen, view.occurrence)
    else:
        rows = view.chosen
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=f".{output.name}.", suffix=".part", dir=output.parent) as folder:
            part = Path(folder, output.name)  # its ending tells some libraries what to write
            told = write_with(exporter, name, Batches(view, rows), part)
            with part.open("rb") as stream:
                os.fsync(stream.fileno())
            manifest = manifest_of(
                report, exporter=name, order="training" if exporter.training_order else "source", told=told
            )
            write_manifest(side_file(output, MANIFEST_SUFFIX), manifest)
            part.replace(output)
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); nothing was published"
        raise SourceError("not_writable", str(output), message) from error
    side_file(output, FAILED_SUFFIX).unlink(missing_ok=True)
    return manifest


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


def write_with(exporter: Exporter, name: str, batches: Iterable[pa.RecordBatch], part: Path) -> Mapping[str, Any]:
    """Let an exporter write one file, and hold it to what its kind promises.

    Args:
        exporter: Says the form.
        name: Its plugin name, for messages.
        batches: The samples; may be iterated again.
        part: The file.

    Returns:
        What it tells about the file, as plain values.

    Raises:
        PluginContractError: It failed, wrote nothing, or told something else.
    """
    try:
        told = exporter.write(batches, part)
    except (KtoFormatsError, OSError):
        raise
    except Exception as error:
        message = f"exporter {name!r} failed ({type(error).__name__}: {error}); nothing was published"
        raise PluginContractError(message, kind="exporter", plugin=name) from error
    if not part.is_file():
        raise PluginContractError(f"exporter {name!r} wrote nothing", kind="exporter", plugin=name)
    try:
        plain: dict[str, Any] = orjson.loads(orjson.dumps(dict(told), default=str))
    except (TypeError, ValueError) as error:
        message = f"exporter {name!r} returned {told!r:.60}, expected a mapping of plain values"
        raise PluginContractError(message, kind="exporter", plugin=name) from error
    return plain


def manifest_of(report: Report, **facts: Any) -> dict[str, Any]:
    """What stands in a manifest: who wrote what when, and the whole accounting."""
    return {
        "ktoformats": ktoformats.__version__,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        **report.to_json(),
    }


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest as YAML, in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(yaml.safe_dump(dict(manifest), allow_unicode=True, sort_keys=False), encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
