"""What a worker does: read and convert its units, or take some samples from what was converted.

These functions are called by Ray with one table, and know nothing of it.
"""

from __future__ import annotations

import functools
import socket
from pathlib import Path
from tempfile import mkdtemp
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

import ktoformats
from ktoformats.convert.assemble import Assembly, assemble
from ktoformats.convert.ledger import Ledger
from ktoformats.convert.pipeline import Converted
from ktoformats.errors import ConfigError, KTODataError, PluginError, PluginLoadError, SourceError
from ktoformats.feedback import SCHEMA
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import Source
from ktoformats.read.ranges import lines_in, range_blocks
from ktoformats.store import view as views
from ktoformats.store.mix import tags_of
from ktoformats.store.part import DATA_FILE, open_samples
from ktoformats.store.samples import tagged, take
from ktoformats.store.sink import Sink
from ktoformats.store.told import tell_error
from ktoformats.store.workers import pack_converted, read_greeting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from ktoformats.config.models import SourceConfig
    from ktoformats.convert.ledger import Reject
    from ktoformats.read.blocks import Block

MOST_DEATHS: Final = 3
"""So often a task's process may die; Ray Data would start it again for ever."""
_ROWS_AT_ONCE: Final = 8192
_AT: Final = "at"
"""A worker's note of the block it works on; one that is left tells of a process that died there."""
_NO_HEAD, NO_BATCHES = pack_converted(Converted([], [], {}))


class Unit(NamedTuple):
    """A file, or the lines that begin in some bytes of one."""

    piece: int
    name: str
    path: str
    size: int
    changed: int
    """Size and time of the last change, as the driver saw them."""
    start: int = 0
    stop: int = 0
    """0 for a file that is read as a whole."""
    line: int = 1
    """The number of the first line."""
    task: int = 0

    @property
    def bytes(self) -> int:
        """How many there are on disk."""
        return self.stop - self.start if self.stop else self.size

    def blocks(self) -> Iterator[Block]:
        """The records; the file has to be the one that the driver saw."""
        path = Path(self.path)
        try:
            info = path.stat()
        except FileNotFoundError as error:
            message = f"the node {socket.gethostname()} does not see it; put it on storage that all nodes share"
            raise SourceError("not_found", self.name, message) from error
        if (info.st_size, info.st_mtime_ns) != (self.size, self.changed):
            message = "the file changed while it was read; wait until nothing writes to it and start again"
            raise SourceError("changed_during_read", self.name, message)
        if self.stop:
            return range_blocks(path, self.name, self.start, self.stop, self.line)
        return Source(self.name, path).blocks()


class Orders(NamedTuple):
    """What every worker is told."""

    staging: str
    version: str
    greetings: list[bytes]
    """The configuration of each piece."""
    sources: list[SourceConfig | None]
    plugins: list[dict[str, dict[str, str]]]
    """What the driver found for each piece; a worker has to find the same."""


def count(batch: pa.Table) -> pa.Table:
    """The lines that begin in some units."""
    units = [Unit(**row) for row in batch.to_pylist()]
    return pa.table({"lines": [lines_in(Path(one.path), one.name, one.start, one.stop) for one in units]})


def convert(batch: pa.Table, *, orders: Orders) -> pa.Table:
    """Read, convert and filter some units; what becomes of them stands in a row for each, the samples in a file."""
    units = [Unit(**row) for row in batch.to_pylist()]
    rows: list[dict[str, Any]] = []
    path, reasons, names = "", np.zeros(0, np.int32), [("", "")]
    try:
        folder = _own_folder(units[0].task, Path(orders.staging))
        sink = Sink(folder)
        for unit in units:
            rows.append(_convert_unit(unit, orders, sink, folder / _AT))
            if rows[-1]["error"]:
                break
        part = sink.finish()
        path, reasons = str(folder / DATA_FILE), np.zeros(part.rows, np.uint8)
        filters = _assembly(orders.greetings[0]).filters
        if filters and not rows[-1]["error"]:
            tags = tags_of(orders.sources[units[0].piece])
            table = pa.Table.from_batches([tagged(one, tags) for one in part.batches()], SCHEMA)
            reasons, names = views.filter_reasons(table, filters)
        (folder / _AT).unlink(missing_ok=True)
    except Exception as error:  # noqa: BLE001 - the driver raises it
        rows = rows or [{"head": _NO_HEAD, "rows": 0, "error": None}]
        rows[-1]["error"] = rows[-1]["error"] or tell_error(error)
    start = 0
    for row in rows:
        row["reasons"] = reasons[start : start + row["rows"]].astype(np.int32).tobytes()
        row |= {"path": path, "names": orjson.dumps(names), "error": orjson.dumps(row["error"])}
        start += row["rows"]
    return pa.Table.from_pylist(rows)


def _own_folder(task: int, staging: Path) -> Path:
    """A folder for one try at a task; one whose process died again and again is given up."""
    try:
        folder = Path(mkdtemp(prefix=f"{task}-", dir=staging))
    except OSError as error:
        message = f"the node {socket.gethostname()} cannot write there ({error.strerror}); all nodes have to share it"
        raise SourceError("not_writable", str(staging), message) from error
    notes = sorted(staging.glob(f"{task}-*/{_AT}"), key=lambda note: note.stat().st_mtime_ns)
    if len(notes) >= MOST_DEATHS:
        place = notes[-1].read_text(encoding="utf-8")
        raise KTODataError(
            f"{place}: the worker process died, {len(notes)} times; out of memory, or a plugin broke it"
        )
    return folder


def _convert_unit(unit: Unit, orders: Orders, sink: Sink, at: Path) -> dict[str, Any]:
    ledger, rows = Ledger(), 0
    rejects: list[Reject] = []
    told, place = None, unit.name
    try:
        at.write_text(place, encoding="utf-8")
        pipeline = _checked(unit.piece, orders).pipeline
        for block in unit.blocks():
            if block.lines:
                place = f"{block.source}:{block.lines[0]}-{block.lines[-1]}"
                at.write_text(place, encoding="utf-8")
            made = pipeline.convert(block)
            for source, account in made.accounts.items():
                ledger.add(source, account)
            rejects += made.rejects
            rows += sum(map(len, made.batches))
            sink.write(made.batches)
    except Exception as error:  # noqa: BLE001 - the driver raises it
        told = tell_error(error, place)
    return {"head": pack_converted(Converted([], rejects, ledger.files))[0], "rows": rows, "error": told}


@functools.lru_cache(maxsize=64)
def _assembly(told: bytes) -> Assembly:
    """What a configuration comes to, once in each process."""
    return assemble(read_greeting(told), Registry())


def _checked(piece: int, orders: Orders) -> Assembly:
    """The assembly of a piece; other versions than the driver's might decide otherwise."""
    try:
        own = _assembly(orders.greetings[piece])
    except PluginError as error:
        raise PluginLoadError(f"on the node {socket.gethostname()}: {error}") from error
    seen = {"ktoformats": {"version": ktoformats.__version__}} | own.plugins
    wanted = {"ktoformats": {"version": orders.version}} | orders.plugins[piece]
    for kind, owners in wanted.items():
        for name, owner in owners.items():
            if seen.get(kind, {}).get(name) != owner:
                raise ConfigError(
                    f"{kind} {name}: the node {socket.gethostname()} has {seen.get(kind, {}).get(name)}, the driver "
                    f"{owner}; install the same on all nodes"
                )
    return own


class Shard:
    """Some of the samples that were staged, batch by batch; may be iterated again."""

    def __init__(self, row: dict[str, Any], sources: list[SourceConfig | None]) -> None:
        self._parts = row["parts"]
        self._occurrence = np.frombuffer(row["occurrence"], np.int32)
        self._sources = sources

    def __len__(self) -> int:
        return len(self._occurrence)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        done = 0
        for part in self._parts:
            table = open_samples(Path(part["path"]))
            rows = np.frombuffer(part["rows"], np.int64)
            for start in range(0, len(rows), _ROWS_AT_ONCE):
                taken = take(table, rows[start : start + _ROWS_AT_ONCE])
                taken = views.renamed(taken, self._occurrence[done : done + len(taken)])
                tags = tags_of(self._sources[part["piece"]])
                yield from (tagged(one, tags) for one in taken.combine_chunks().to_batches())
                done += len(taken)


def on_shard(
    batch: pa.Table, *, work: Callable[[Shard, int], Iterable[pa.Table]], sources: list[SourceConfig | None]
) -> Iterator[pa.Table]:
    """Do some work with the samples of each shard."""
    for row in batch.to_pylist():
        yield from work(Shard(row, sources), row["number"])


def as_tables(shard: Shard, _: int) -> Iterator[pa.Table]:
    """The samples of a shard as they are."""
    yield from (pa.Table.from_batches([batch]) for batch in shard)
