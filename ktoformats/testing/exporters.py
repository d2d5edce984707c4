"""Laws of exporters: every sample once, in order, readable again, the file theirs alone."""

from __future__ import annotations

import csv
import io
import json
import tempfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from ktoformats.errors import KtoFormatsError
from ktoformats.testing import corpus
from ktoformats.testing.law import LawBrokenError, LawOpenError, law, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ktoformats.plugin.kinds import Exporter
    from ktoformats.testing.subject import Subject


def _written(exporter: Exporter, batches: list[pa.RecordBatch], what: str = "samples") -> bytes:
    """The bytes of the file it writes."""
    with tempfile.TemporaryDirectory(prefix="ktoformats-") as folder:
        path = corpus.part_in(folder, exporter)
        try:
            said = exporter.write(corpus.Batches(batches), path)
        except KtoFormatsError:
            raise
        except Exception as error:
            raise LawBrokenError(
                f"write fails on {what} ({type(error).__name__}: {error}); batches can be iterated and nothing else, "
                "and none at all are a valid file, too"
            ) from error
        if not isinstance(said, Mapping) or not all(type(key) is str for key in said):
            raise LawBrokenError(f"write returns {short(said, 60)}; return what to tell the user, such as {{}}")
        if not path.is_file():
            raise LawBrokenError(f"after write there is no file at the path it was given, for {what}; write there")
        others = [str(one.relative_to(folder)) for one in Path(folder).rglob("*") if one.is_file() and one != path]
        if others:
            raise LawBrokenError(f"it also writes {others[0]!r}; one path is given, and only that is published")
        return path.read_bytes()


def _lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.decode().split("\n") if line]


def _csv(data: bytes, delimiter: str = ",") -> list[Any]:
    with io.StringIO(data.decode("utf-8-sig"), newline="") as lines:
        return list(csv.DictReader(lines, delimiter=delimiter))


READERS: Final[dict[str, Callable[[bytes], list[Any]]]] = {
    ".jsonl": _lines,
    ".json": lambda data: cast("list[Any]", json.loads(data)),
    ".csv": _csv,
    ".tsv": lambda data: _csv(data, "\t"),
    ".parquet": lambda data: pq.read_table(pa.BufferReader(data)).to_pylist(),
    ".arrow": lambda data: pa.ipc.open_file(data).read_all().to_pylist(),
    ".feather": lambda data: feather.read_table(pa.BufferReader(data)).to_pylist(),
}
"""How a file of this ending is read again."""


def _rows(subject: Subject, exporter: Exporter, data: bytes) -> list[Any]:
    """The rows of a written file."""
    read = subject.read_back or READERS.get(exporter.suffix)
    if read is None:
        raise LawOpenError(
            f"nobody knows how to read {exporter.suffix!r} again; let the tests override `read_back(self, data)`, "
            "from the file's bytes to its rows"
        )
    try:
        return list(read(data))
    except Exception as error:
        raise LawBrokenError(
            f"what it writes cannot be read again as {exporter.suffix} ({type(error).__name__}: {short(str(error))})"
        ) from error


def _texts(row: Any) -> Iterator[str]:
    """All texts in a row, those in JSON texts among them."""
    for text in corpus.texts_in(row):
        yield text
        if text[:1] in ("{", "["):
            with suppress(ValueError):
                yield from corpus.texts_in(json.loads(text))


@law("exporter")
def complete(subject: Subject) -> str:
    """What is read back holds every sample once, in order, prompt and response byte by byte."""
    exporter, batch = cast("Exporter", subject.make()), corpus.samples()
    read = _rows(subject, exporter, _written(exporter, [batch]))
    if len(read) != len(batch):
        raise LawBrokenError(f"of {len(batch)} samples {len(read)} are read back; write each of them once")
    for number, (row, sample) in enumerate(zip(read, batch.to_pylist(), strict=True)):
        texts = list(_texts(row))
        for column in ("prompt", "response"):
            if sample[column] not in texts and not any(sample[column] in text for text in texts):
                raise LawBrokenError(
                    f"row {number} does not hold the {column} {short(sample[column], 80)} of sample {number}, but "
                    f"{short(row)}; keep order and every character"
                )
    return f"{len(read)} rows"


@law("exporter")
def labels(subject: Subject) -> None:
    """Good and bad are told apart in what it writes."""
    exporter, batch = cast("Exporter", subject.make()), corpus.samples()
    other = corpus.with_column(batch, "label", corpus.turned(batch.column("label")))
    if _written(exporter, [batch]) == _written(exporter, [other]):
        raise LawBrokenError("the file is the same when every label is turned round; write the label")


@law("exporter")
def batches(subject: Subject) -> None:
    """Into how many batches the samples come makes no difference; no samples at all are a valid file, too."""
    exporter, batch = cast("Exporter", subject.make()), corpus.samples()
    whole = _rows(subject, exporter, _written(exporter, [batch]))
    for size in (1, 7, 50):
        parts = [batch.slice(start, size) for start in range(0, len(batch), size)]
        read = _rows(subject, exporter, _written(exporter, parts, f"batches of {size}"))
        if read != whole:
            raise LawBrokenError(
                f"in batches of {size} it writes {len(read)} rows, and other ones than in one batch ({len(whole)}); "
                "go through all batches, and mind that they may be iterated more than once"
            )
    if rest := _rows(subject, exporter, _written(exporter, [], "no samples")):
        raise LawBrokenError(f"without samples it writes {short(rest[0])}")
