"""Laws of exporters: every sample once, in order, readable again, the file theirs alone."""

from __future__ import annotations

import csv
import gzip
import io
import json
import lzma
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import feather

from ktoformats.errors import KtoFormatsError
from ktoformats.plugin.kinds import Written
from ktoformats.testing import corpus
from ktoformats.testing.law import LawBrokenError, LawOpenError, law, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.plugin.kinds import Exporter
    from ktoformats.testing.subject import Subject


def _written(exporter: Exporter, batches: list[pa.RecordBatch], what: str = "samples") -> dict[str, bytes]:
    """The bytes of the file it writes, or of each file in its folder, by name."""
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
        files = corpus.files_of(path) if path.exists() else {}
        if not files or path.is_dir() != exporter.folder:
            kind = "folder with files" if exporter.folder else "file"
            raise LawBrokenError(f"after write there is no {kind} at the path it was given, for {what}; write there")
        others = [one for one in Path(folder).rglob("*") if one.is_file() and path not in (one, *one.parents)]
        if others:
            other = str(others[0].relative_to(folder))
            raise LawBrokenError(f"it also writes {other!r}; one path is given, and only that is published")
        return files


def _said(exporter: Exporter, batches: list[pa.RecordBatch]) -> None:
    """What it tells the trainer, of what it wrote."""
    good = sum(row == "good" for batch in batches for row in batch.column("label").to_pylist())
    rows = sum(map(len, batches))
    for written in (Written("out", {}, good, rows - good), Written("out", {}, 0, 0, 1.0, 1.0, 8, 2, 3, 512)):
        text = exporter.settings(written)
        if type(text) is not str:
            raise LawBrokenError(f"settings returns {short(text, 60)}; return a text, empty for nothing")


def _lines(data: bytes) -> list[Any]:
    return [json.loads(line) for line in data.decode().split("\n") if line]


def _csv(data: bytes, delimiter: str = ",") -> list[Any]:
    with io.StringIO(data.decode("utf-8-sig"), newline="") as lines:
        return list(csv.DictReader(lines, delimiter=delimiter))


_PACKED: Final[dict[str, Callable[[bytes], bytes]]] = {
    ".gz": gzip.decompress,
    ".xz": lzma.decompress,
    ".zst": lambda data: cast("bytes", pa.input_stream(io.BytesIO(data), compression="zstd").read()),
}
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


def _rows(subject: Subject, exporter: Exporter, files: dict[str, bytes]) -> list[Any]:
    """The rows of what was written; in a folder, of all files that hold rows, by name."""
    rows: list[Any] = []
    readers = {name: subject.read_back or READERS.get(_ending(name)) for name in files}
    if not any(readers.values()):
        raise LawOpenError(
            f"nobody knows how to read {_ending(min(files))!r} again; let the tests override "
            "`read_back(self, data)`, from the file's bytes to its rows"
        )
    for name, data in files.items():
        if (read := readers[name]) is not None:
            try:
                found = read(_unpacked(name, data))
                rows += list(found) if not (exporter.folder and isinstance(found, dict)) else []
            except Exception as error:
                raise LawBrokenError(
                    f"what it writes cannot be read again as {_ending(name)} ({type(error).__name__}: "
                    f"{short(str(error))})"
                ) from error
    return rows


def _ending(name: str) -> str:
    """How a file's name ends, a compression aside."""
    path = Path(name)
    return (path.with_suffix("") if path.suffix in _PACKED else path).suffix


def _unpacked(name: str, data: bytes) -> bytes:
    unpack = _PACKED.get(Path(name).suffix)
    return unpack(data) if unpack else data


def _lists(row: Any) -> Iterator[list[Any]]:
    """All lists in a row."""
    if isinstance(row, list):
        yield row
    for one in row.values() if isinstance(row, dict) else row if isinstance(row, list) else ():
        yield from _lists(one)


def _texts(row: Any) -> Iterator[str]:
    """All texts in a row, those in JSON texts among them."""
    for text in corpus.texts_in(row):
        yield text
        if text[:1] in ("{", "["):
            with suppress(ValueError):
                yield from corpus.texts_in(json.loads(text))


def _samples_for(exporter: Exporter) -> pa.RecordBatch:
    """The samples that it does not refuse.

    Raises:
        LawBrokenError: It refuses so many that nothing can be tried.
    """
    batch = corpus.samples_for(exporter)
    if 2 * len(batch) < len(corpus.samples()):
        raise LawBrokenError(
            f"it refuses {len(corpus.samples()) - len(batch)} of {len(corpus.samples())} samples, most of which are "
            "one prompt and its answer; refuse what the form cannot hold"
        )
    return batch


@law("exporter")
def complete(subject: Subject) -> str:
    """What is read back holds every sample (that it does not refuse) once, in order, byte by byte."""
    exporter = cast("Exporter", subject.make())
    batch = _samples_for(exporter)
    read = _rows(subject, exporter, _written(exporter, [batch]))
    if len(read) != len(batch):
        raise LawBrokenError(f"of {len(batch)} samples {len(read)} are read back; write each of them once")
    for number, (row, sample) in enumerate(zip(read, batch.to_pylist(), strict=True)):
        if exporter.tokens:
            for column in corpus.TOKEN_COLUMNS:
                if sample[column] not in list(_lists(row)):
                    raise LawBrokenError(f"row {number} does not hold {column} of sample {number}, but {short(row)}")
            continue
        texts = list(_texts(row))
        for column in ("prompt", "response"):
            if sample[column] not in texts and not any(sample[column] in text for text in texts):
                raise LawBrokenError(
                    f"row {number} does not hold the {column} {short(sample[column], 80)} of sample {number}, but "
                    f"{short(row)}; keep order and every character"
                )
    _said(exporter, [batch])
    return f"{len(read)} rows"


@law("exporter")
def labels(subject: Subject) -> None:
    """Good and bad are told apart in what it writes."""
    exporter = cast("Exporter", subject.make())
    batch = _samples_for(exporter)
    other = corpus.with_column(batch, "label", corpus.turned(batch.column("label")))
    if _written(exporter, [batch]) == _written(exporter, [other]):
        raise LawBrokenError("the file is the same when every label is turned round; write the label")


@law("exporter")
def batches(subject: Subject) -> None:
    """Into how many batches the samples come makes no difference; no samples at all are a valid file, too."""
    exporter = cast("Exporter", subject.make())
    batch = _samples_for(exporter)
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
