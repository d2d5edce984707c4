"""The pipeline as a Ray Data stage over many files, and over parts of large ones.

Workers read, convert and filter, and leave the samples in a staging folder that all nodes see. The driver opens
these files memory-mapped and decides with the same code as in process; it looks at the small columns only. A second
stage takes what was chosen from the staged files. So no text goes through the driver or through Ray's object store.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory, mkdtemp
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np
import orjson
import pyarrow as pa

import ktoformats
from ktoformats.convert.assemble import assemble
from ktoformats.engines.running import library
from ktoformats.engines.work import NO_BATCHES, Orders, Shard, Unit, as_tables, convert, count, on_shard
from ktoformats.errors import ConfigError, KTODataError, SourceError
from ktoformats.plugin.discovery import OBSERVER
from ktoformats.plugin.registry import Registry
from ktoformats.read.ranges import divides
from ktoformats.store import view as views
from ktoformats.store.choose import Stages
from ktoformats.store.mix import pieces_of
from ktoformats.store.part import open_samples
from ktoformats.store.prepare import prepare
from ktoformats.store.told import told_error
from ktoformats.store.workers import can_be_told, greeting, unpack_converted, without_files

if TYPE_CHECKING:
    import os
    from collections.abc import Generator, Iterator, Sequence

    from ktoformats.config.models import KTODataConfig, SourceConfig
    from ktoformats.convert.pipeline import Converted
    from ktoformats.read.named import Source
    from ktoformats.store.build import Results
    from ktoformats.store.mix import Piece
    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.view import View

MOST_TASK_BYTES: Final = 32 << 20
"""So many bytes on disk are a second or two of work, beside which Ray's own share is small."""
LEAST_TASK_BYTES: Final = 1 << 20
ROWS_PER_SHARD: Final = 100_000
_TASKS_PER_CPU: Final = 4
_TASK_FILES: Final = 1000

Work = Callable[["Shard", int], Iterable[pa.Table]]


class Engine:
    """Converts files, and takes samples from what it has converted, on a Ray that runs.

    Args:
        staging: An empty folder that all nodes see, to be removed by whoever made it.
        tasks: At most so many at a time; None leaves it to Ray.
        task_bytes: About as many bytes on disk are one task; 0 takes what keeps all processors busy.
    """

    def __init__(self, staging: Path, *, tasks: int | None = None, task_bytes: int = 0) -> None:
        self._ray = library()
        self._staging = staging
        self._tasks = tasks
        self._task_bytes = task_bytes
        self._staged: list[tuple[str, int, pa.Table]] = []
        """What every task left: its file, its piece, its samples."""
        self._taken = 0
        """How many samples of the last one were handed out."""
        self._reasons: list[Array] = []
        self._names: list[tuple[str, str]] = [("", "")]
        self._sources: list[SourceConfig | None] = []
        self._open: list[Generator[Any, None, None]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for rows in self._open:
            rows.close()  # Ray stops working ahead

    def convert(self, pieces: Sequence[Piece], files: Sequence[list[Source]]) -> Sequence[Results]:
        """What becomes of the files of every piece, in their order, while Ray works ahead.

        Raises:
            ConfigError: A piece cannot be converted by workers.
        """
        for piece in pieces:
            _refuse(piece)
        if not self._task_bytes:
            cpus = max(self._ray.cluster_resources().get("CPU", 1), 1)
            share = sum(one.path.stat().st_size for own in files for one in own) / (cpus * _TASKS_PER_CPU)
            self._task_bytes = int(min(max(share, LEAST_TASK_BYTES), MOST_TASK_BYTES))
        planned = self._numbered(
            [[self._units(number, source) for source in sources] for number, sources in enumerate(files)]
        )
        self._sources = [piece.source for piece in pieces]
        orders = Orders(
            str(self._staging),
            ktoformats.__version__,
            [greeting(without_files(piece.config)) for piece in pieces],
            self._sources,
            [_at_work(piece) for piece in pieces],
        )
        every = [unit for own in planned for units in own for unit in units]
        rows = self.rows(self._stage(self._tasks_of(every), convert, orders=orders))
        return [self._results(own, rows) for own in planned]

    def filter(self, view: View) -> View:
        """The view without what the workers' filters dropped."""
        return views.without(view, np.concatenate(self._reasons), self._names)

    def shards(self, view: View, work: Work, rows_per_shard: int = ROWS_PER_SHARD) -> Any:
        """A `ray.data.Dataset` of what some work gives for every so many chosen samples, in source order.

        Args:
            view: Chosen among the samples that this engine converted.
            work: A function of a module: samples and the shard's number in, tables out.
            rows_per_shard: How many samples are a shard; the last one has fewer.
        """
        ends = np.cumsum([len(table) for *_, table in self._staged])
        tables = []
        for number, start in enumerate(range(0, len(view.chosen), rows_per_shard)):
            rows = view.chosen[start : start + rows_per_shard]
            first, last = np.searchsorted(ends, rows[[0, -1]], side="right").tolist()
            parts = []
            for (path, piece, table), end in zip(self._staged[first : last + 1], ends[first : last + 1], strict=True):
                begin = end - len(table)
                own = rows[slice(*np.searchsorted(rows, [begin, end]))] - begin
                parts.append({"path": path, "piece": piece, "rows": own.tobytes()})
            row = {"number": number, "parts": parts, "occurrence": view.occurrence.of(rows).tobytes()}
            tables.append(pa.Table.from_pylist([row]))
        return self._stage(tables, on_shard, work=work, sources=self._sources)

    def rows(self, dataset: Any) -> Iterator[dict[str, Any]]:
        """The rows of a stage in order, as soon as they are there.

        Raises:
            KTODataError: A worker could not do what it was told.
        """
        self._open.append(rows := self._rows(dataset))
        return rows

    def _rows(self, dataset: Any) -> Generator[dict[str, Any], None, None]:
        from ray.exceptions import RayError, RayTaskError

        try:
            for table in dataset.iter_batches(batch_size=None, batch_format="pyarrow"):
                yield from table.to_pylist()
        except RayTaskError as error:
            cause = str(error).strip().splitlines()
            said = next((line for line in cause if "Error: " in line and "RayTaskError" not in line), cause[-1])
            raise KTODataError(f"a worker failed ({said.strip()})") from error
        except RayError as error:
            raise KTODataError(f"Ray failed ({type(error).__name__}: {str(error).splitlines()[0]})") from error

    def _stage(self, tables: list[pa.Table], function: Callable[..., Any], **options: Any) -> Any:
        """Every table through a function on some worker; the order of the results is that of the tables."""
        data = self._ray.data
        context = data.DataContext.get_current().copy()
        context.execution_options.preserve_order = True
        with data.DataContext.current(context):
            return data.from_arrow(tables).map_batches(
                function,
                fn_kwargs=options,
                batch_size=None,
                batch_format="pyarrow",
                concurrency=min(self._tasks, len(tables)) if self._tasks else None,
            )

    def _units(self, piece: int, source: Source) -> list[Unit]:
        path = source.path.absolute()
        if source.copy is not None:  # of standard input or a URL: other nodes do not see it where it lies
            path = Path(shutil.copyfile(path, Path(mkdtemp(dir=self._staging)) / path.name))
        info = path.stat()
        whole = Unit(piece, source.name, str(path), info.st_size, info.st_mtime_ns)
        if info.st_size <= self._task_bytes or not divides(path, source.name):
            return [whole]
        ends = [*range(0, info.st_size, self._task_bytes), info.st_size]
        return [whole._replace(start=start, stop=stop) for start, stop in pairwise(ends)]

    def _numbered(self, planned: list[list[list[Unit]]]) -> list[list[list[Unit]]]:
        """The units, each with the number of its first line, which takes a look at all before it."""
        counted = [unit for own in planned for units in own for unit in units[:-1]]
        if not counted:
            return planned
        counts = (row["lines"] for row in self.rows(self._stage(self._tasks_of(counted), count)))

        def numbered(units: list[Unit]) -> Iterator[Unit]:
            line = 1
            for unit in units[:-1]:
                yield unit._replace(line=line)
                line += next(counts)
            yield units[-1]._replace(line=line)

        return [[list(numbered(units)) for units in own] for own in planned]

    def _tasks_of(self, units: Iterable[Unit]) -> list[pa.Table]:
        """Units of one piece side by side in one task, until they are enough work."""
        tasks: list[list[Unit]] = []
        size = 0
        for unit in units:
            last = tasks[-1] if tasks else []
            size += unit.bytes
            if not last or size > self._task_bytes or last[0].piece != unit.piece or len(last) >= _TASK_FILES:
                tasks.append([])
                size = unit.bytes
            tasks[-1].append(unit._replace(task=len(tasks)))
        return [pa.Table.from_pylist([unit._asdict() for unit in task]) for task in tasks]

    def _results(self, planned: list[list[Unit]], rows: Iterator[dict[str, Any]]) -> Results:
        for units in planned:
            yield [units[0].name], self._of_file(units, rows)

    def _of_file(self, units: list[Unit], rows: Iterator[dict[str, Any]]) -> Iterator[tuple[Converted, int]]:
        for unit in units:
            row = next(rows)
            converted = unpack_converted(orjson.loads(row["head"]), NO_BATCHES)
            yield converted._replace(batches=self._take_over(row, unit)), unit.stop or unit.size
            if told := orjson.loads(row["error"]):
                raise told_error(told)

    def _take_over(self, row: dict[str, Any], unit: Unit) -> list[pa.RecordBatch]:
        """The samples of a unit, from the file that its task left."""
        if not row["path"]:
            return []
        if not self._staged or self._staged[-1][0] != row["path"]:
            try:
                self._staged.append((row["path"], unit.piece, open_samples(Path(row["path"]))))
            except OSError as error:
                message = (
                    f"a worker wrote this, and it is not here ({error.strerror}); all nodes have to see the folder"
                )
                raise SourceError("not_found", row["path"], message) from error
            self._taken = 0
        samples: pa.Table = self._staged[-1][2].slice(self._taken, row["rows"])
        self._taken += row["rows"]
        names = [tuple(name) for name in orjson.loads(row["names"])]
        self._names += [name for name in names if name not in self._names]
        numbers = np.array([self._names.index(name) for name in names], np.int32)
        self._reasons.append(numbers[np.frombuffer(row["reasons"], np.int32)])
        batches: list[pa.RecordBatch] = samples.to_batches()
        return batches


def _refuse(piece: Piece) -> None:
    """Refuse what workers cannot do as it is done in process."""
    why = ""
    if piece.assembly.gather is not None:
        why = "this format brings records together that may stand in different files"
    elif piece.config.oversample:
        why = "`oversample` repeats samples"
    elif piece.assembly.pipeline.in_process or not can_be_told(piece.config):
        why = "a plugin or method that was given as an object cannot be rebuilt from the configuration in a worker"
    if why:
        raise ConfigError(f"this cannot run on Ray: {why}; run it in process (--engine local)")


def _at_work(piece: Piece) -> dict[str, dict[str, str]]:
    """The plugins that a worker needs, too; observers hear of it in the process that builds."""
    return {kind: owners for kind, owners in piece.assembly.plugins.items() if kind != OBSERVER}


def to_ray_dataset(
    config: KTODataConfig,
    split: str = "train",
    *,
    staging: str | os.PathLike[str] | None = None,
    tell: Callable[[Report], None] | None = None,
) -> Any:
    """The samples of one split as a `ray.data.Dataset`, in source order, with the columns of `ktoformats.SCHEMA`.

    They are those of `KTODataLoader.load_dataset`. Ray is the one that runs; where none does, Ray starts one, as it
    does for every dataset.

    Args:
        config: The data section.
        split: `train`, `validation` or `test`; only `train` is balanced, and must hold both labels.
        staging: A folder that all nodes see, for what is converted on the way; None takes a temporary folder of this
            machine, which is enough where Ray has no other. Nothing stays there.
        tell: Called with the report, before the samples are taken; an error that stops the build carries its own.

    Raises:
        ImportError: Ray is not installed.
        KtoFormatsError: As `KTODataLoader.load_dataset`.
    """
    registry, ray = Registry(), library()
    if not ray.is_initialized():
        ray.init()
    with (
        TemporaryDirectory(prefix="ktoformats-", dir=staging, ignore_cleanup_errors=True) as folder,
        Engine(Path(folder).absolute()) as engine,
    ):
        rejects = config.rejects_file
        view, report = prepare(
            split,
            pieces_of(split, config, lambda own: assemble(own, registry)),
            config,
            registry,
            rejects_path=Path(str(rejects).replace("{split}", split)) if rejects else None,
            stages=Stages(filter=engine.filter),
            engine=engine.convert,
            for_training=split == "train",
        )
        if tell is not None:
            tell(report)
        return engine.shards(view, as_tables).materialize()
