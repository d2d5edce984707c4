"""What `convert --engine ray` does otherwise than in process."""

from __future__ import annotations

import io
from contextlib import contextmanager, redirect_stdout
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from ktoformats.engines.ray import Engine
from ktoformats.engines.running import library, running
from ktoformats.errors import ConfigError
from ktoformats.store.told import told_error
from ktoformats.train.export import manifest_of
from ktoformats.train.shards import check_folder, publish, workplace, write_shard

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ktoformats.plugin.kinds import Exporter
    from ktoformats.store.report import Report
    from ktoformats.store.view import View


class OnRay(NamedTuple):
    """One conversion: the engine, and the folder beside the output that it works in."""

    engine: Engine
    folder: Path

    def export(self, view: View, report: Report, name: str, options: dict[str, Any], target: Path) -> dict[str, Any]:
        """Write the chosen samples as shards, and the manifest beside them.

        Raises:
            KtoFormatsError: A shard could not be written; nothing was published.
        """
        shards = self.folder / "shards"
        shards.mkdir()
        work = partial(write_shard, exporter=name, options=options, folder=shards)
        rows = []
        for row in self.engine.rows(self.engine.shards(view, work)):
            if row["error"]:
                raise told_error(orjson.loads(row["error"]))
            rows.append(row)
        manifest = manifest_of(
            report,
            exporter=name,
            order="source",
            rows=sum(row["samples"] for row in rows),
            told=orjson.loads(rows[0]["told"]),
            engine="ray",
            shards={row["file"]: row["samples"] for row in rows},
        )
        publish(shards, target, manifest)
        return manifest


def check(target: Path, exporter: Exporter, name: str) -> None:
    """Refuse early what cannot be written as shards.

    Raises:
        ConfigError: Ray is not installed, the exporter needs one file, or the folder is not ours to replace.
    """
    if exporter.training_order:
        raise ConfigError(
            f"--engine ray writes shards in source order, and exporter {name!r} orders all samples for a trainer: "
            "say --to parquet or --to jsonl, or --engine local"
        )
    check_folder(target)
    try:
        library()
    except ImportError as error:
        raise ConfigError(f"--engine ray: {error}") from error


@contextmanager
def on_ray(target: Path, *, address: str | None, workers: int | None) -> Iterator[OnRay]:
    """Have Ray run, and a folder to work in; whatever happens, neither is left behind."""
    # Ray prints on standard output what went wrong with its workers; we say it ourselves
    with redirect_stdout(io.StringIO()), workplace(target) as folder, running(address, workers):
        staging = folder / "staging"
        staging.mkdir()
        with Engine(staging, tasks=workers) as engine:
            yield OnRay(engine, folder)
