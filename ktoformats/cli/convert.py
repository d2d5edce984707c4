"""`ktoformats convert`."""

from __future__ import annotations

from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from ktoformats.cli import output
from ktoformats.cli.hints import explained, unknown_columns
from ktoformats.cli.names import installed
from ktoformats.cli.output import json_option
from ktoformats.cli.outputs import TRAIN, check_places, exporter_for, left_alone, outputs_of, together
from ktoformats.cli.pages import check_page, page_of, write_page
from ktoformats.cli.places import check_writable
from ktoformats.cli.planning import Planning, planning_options, told
from ktoformats.cli.shared import (
    below,
    closing_notes,
    closing_table,
    config_option,
    data_config,
    format_option,
    mapping_option,
    preset_option,
    progress,
    rejects_shown,
    set_option,
    sources_argument,
)
from ktoformats.cli.staging import all_within, check_cache, held_back, tell_dry, told_dry, within, would_publish
from ktoformats.config.files import parse_yaml
from ktoformats.config.models import split_choice
from ktoformats.convert.assemble import assemble
from ktoformats.errors import ConfigError, KTODataError, KTOLabelError, PluginError
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import find_sources
from ktoformats.store.cache import Cache, Kept, default_folder
from ktoformats.store.choose import Stages
from ktoformats.store.mix import Piece, pieces_of
from ktoformats.store.prepare import joined_files, prepare
from ktoformats.store.split import read_fractions
from ktoformats.train.export import export
from ktoformats.train.sidefiles import (
    FAILED_SUFFIX,
    REJECTS_SUFFIX,
    manifest_of,
    side_file,
    write_manifest,
)

if TYPE_CHECKING:
    from ktoformats.cli.on_ray import OnRay
    from ktoformats.cli.shared import Reporter
    from ktoformats.config.models import KTODataConfig, PluginChoice
    from ktoformats.convert.assemble import Assembly
    from ktoformats.plugin.kinds import Exporter
    from ktoformats.read.named import Source
    from ktoformats.store.report import Report
    from ktoformats.store.view import View

    Made = dict[str, tuple[Report, dict[str, Any]]]
    """The report and the manifest of every split."""


class WorkerCount(click.IntRange):
    """A number of processes, or `auto`."""

    name = "integer or auto"

    def __init__(self) -> None:
        super().__init__(1, 256)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`auto` as it is, else a number in the range."""
        return value if value == "auto" else super().convert(value, param, ctx)


@click.command()
@sources_argument
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    required=True,
    help="The file to write, or a folder.",
)
@click.option(
    "--to",
    "exporter_name",
    default="trl",
    show_default=True,
    metavar="EXPORTER",
    shell_complete=installed("exporter"),
    help="The form to write; with options: '{NAME: {OPTION: VALUE}}'.",
)
@config_option
@format_option
@mapping_option
@preset_option
@set_option
@click.option(
    "--split",
    "split_text",
    metavar="NAME=SHARE,...",
    help="Write several files into the folder of -o, no conversation in two of them: train=0.9,validation=0.1. "
    "The parts are train, validation and test.",
)
@click.option(
    "--rows-per-shard",
    type=click.IntRange(min=1),
    metavar="N",
    help="Write a folder of files with N rows each, named as `datasets` names shards.",
)
@planning_options
@click.option(
    "--rejects",
    type=click.Path(path_type=Path),
    help="Where rejected records go (default: beside the output).",
)
@click.option(
    "--on-error",
    type=click.Choice(["quarantine", "skip", "fail"]),
    help="Rejected records: write them out within a budget, only count them, or stop at the first.",
)
@click.option(
    "--workers",
    type=WorkerCount(),
    help="Processes that convert, or auto: one for each processor; with Ray, tasks at a time.",
)
@click.option(
    "--engine",
    "engine_name",
    type=click.Choice(["local", "ray"]),
    default="local",
    show_default=True,
    help="Convert on this machine, or on Ray into a folder of shards (--to parquet or jsonl).",
)
@click.option("--address", help="The Ray to use (default: RAY_ADDRESS, else one is started here).")
@click.option("--no-cache", is_flag=True, help="Build afresh and keep nothing.")
@click.option(
    "--dry-run",
    is_flag=True,
    help="Read, convert and assess all, tell what would be written and where, and write nothing there.",
)
@click.option(
    "--report",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write an HTML file, too, about what is converted: see `ktoformats report -o`.",
)
@json_option
def command(
    sources: tuple[str, ...],
    target: Path,
    exporter_name: str,
    config_file: Path | None,
    formats: tuple[str, ...],
    mapping_file: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    split_text: str | None,
    rows_per_shard: int | None,
    batch_size: int | None,
    world_size: int | None,
    epochs: int | None,
    tokenizer_name: str | None,
    rejects: Path | None,
    on_error: str | None,
    workers: int | str | None,
    engine_name: str,
    address: str | None,
    *,
    no_cache: bool,
    dry_run: bool,
    page: Path | None,
    as_json: bool,
) -> None:
    """Turn preference feedback into KTO training data.

    SOURCE is a file, several, a quoted glob, a folder, a URL, or - for standard input: JSON Lines, a JSON
    array, CSV or TSV, each plain or in gzip, zstd, bzip2 or xz; Parquet or Arrow. Without one the config's
    train_file and sources are read. Without a config nothing is balanced.

    \b
    Examples:
      ktoformats convert votes.jsonl -o train.jsonl
      ktoformats convert 'logs/*.jsonl.gz' -o train.parquet --to parquet
      ktoformats convert chats.jsonl -o train.jsonl --to '{trl: {style: conversational}}'
      ktoformats convert arena.jsonl -o train.jsonl --preset arena
      ktoformats convert votes.jsonl -o train.jsonl --mapping votes.yaml
      ktoformats convert se.json -o train.jsonl --set prompt_column=question \\
          --set chosen_column=response_j --set rejected_column=response_k
      ktoformats convert votes.jsonl -o data --split train=0.8,validation=0.1,test=0.1
      ktoformats convert votes.jsonl -o train.jsonl.gz
      ktoformats convert votes.jsonl -o train --rows-per-shard 100000
      ktoformats convert votes.jsonl -o train.jsonl --batch-size 8 --world-size 2 \\
          --tokenizer my/model --set max_tokens=1024
      ktoformats convert 'logs/*.jsonl' -o train --to parquet --engine ray
      ktoformats convert votes.jsonl -o train.jsonl --dry-run
      ktoformats convert votes.jsonl -o train.jsonl --batch-size 8 --report report.html

    --dry-run neither opens nor fills the cache; what it makes lies in the temporary folder, and is gone when it ends.
    What --engine ray would do it does on this machine.
    """  # noqa: D301 - \b keeps click from joining the lines
    fractions = read_fractions(split_text) if split_text is not None else {}
    config = data_config(
        config_file,
        formats,
        settings,
        mapping_file,
        preset,
        on_error=on_error,
        preprocessing_num_workers=workers,
        **{f"{name}_fraction": share for name, share in fractions.items() if name != TRAIN},
    )
    registry = Registry()
    exporter_name, options = split_choice(_choice(exporter_name))
    exporter, options = exporter_for(target, exporter_name, options, registry)
    planning = Planning(batch_size, world_size, epochs, tokenizer_name)
    tokenizer = planning.tokenizer(exporter, exporter_name, config)
    if target.is_symlink():
        target = target.resolve()
    if engine_name == "ray":
        outputs = _on_ray(target, exporter, exporter_name, fractions, rows_per_shard)
    else:
        if address is not None:
            raise ConfigError("--address names a Ray; say --engine ray with it")
        if rows_per_shard is not None and exporter.folder:
            raise ConfigError(
                f"--rows-per-shard cuts one file into several, and exporter {exporter_name!r} writes a folder"
            )
        folders = exporter.folder or rows_per_shard is not None
        outputs = outputs_of(target, fractions, exporter, exporter_name, registry, folders=folders)
    if not (sources or config.train_file or config.sources):
        raise ConfigError("no SOURCE was named, and the config has neither data.train_file nor data.sources")

    def make(own: KTODataConfig) -> Assembly:
        return assemble(own, registry)

    pieces = [Piece(list(sources), config, make(config))] if sources else pieces_of("train", config, make)
    place: AbstractContextManager[OnRay | None] = nullcontext()
    if engine_name == "ray" and not dry_run:
        from ktoformats.cli.on_ray import on_ray

        place = on_ray(target, address=address, workers=workers if isinstance(workers, int) else None)
    pieces = [piece._replace(files=find_sources(piece.files)) for piece in pieces]
    _check_page(page, engine_name, pieces, outputs)
    choice = (exporter_name, options)
    job = Job(pieces, outputs, exporter, choice, config, registry, planning, tokenizer, rows_per_shard, dry_run, page)
    made, dry = _run(job, rejects, place, no_cache=no_cache, shown=not as_json)
    if as_json:
        whole = {"splits": {name: manifest for name, (_, manifest) in made.items()}} if fractions else made[TRAIN][1]
        output.print_json({"output": str(target if fractions else outputs[TRAIN]), **told_dry(dry), **whole})
    else:
        _tell_all(job, made, dry)


def _check_page(page: Path | None, engine: str, pieces: list[Piece], outputs: dict[str, Path]) -> None:
    """Refuse a place where the page of `--report` cannot stand."""
    if page is None:
        return
    if engine == "ray":
        raise ConfigError("--report looks at samples on this machine, and --engine ray leaves them on others")
    check_page(page, "--report", [*(one.path for piece in pieces for one in piece.files), *outputs.values()])


def _tell_all(job: Job, made: Made, dry: list[Path] | None) -> None:
    _tell(made, job.outputs, job.choice[0], verb="wrote" if dry is None else "would write")
    if dry is not None:
        tell_dry(dry)
    elif job.page is not None:
        output.say(f"wrote {output.safe(job.page)}")


def _on_ray(
    target: Path, exporter: Exporter, name: str, fractions: dict[str, float], rows_per_shard: int | None
) -> dict[str, Path]:
    """The folder that Ray writes to; what it cannot do is refused."""
    from ktoformats.cli.on_ray import check

    if fractions:
        raise ConfigError("--split chooses on this machine; say --engine local")
    if rows_per_shard is not None:
        raise ConfigError("--rows-per-shard cuts one file into several, and Ray decides what is a shard")
    check(target, exporter, name)
    return {TRAIN: target}


def _tell(made: Made, outputs: dict[str, Path], exporter: str, *, verb: str) -> None:
    """Where everything went."""
    report, _ = made[TRAIN]
    rejects_shown(report)
    closing_table(report)
    for name, (own, manifest) in made.items():
        style = f", {manifest['told']['style']}" if "style" in manifest["told"] else ""
        order, rows = manifest["order"], manifest.get("rows", own.samples)
        output.say(f"{verb} {rows} samples to {output.safe(outputs[name])} ({exporter}{style}, {order} order)")
    for name, (_, manifest) in made.items():
        for reason, counts in manifest["told"].get("left_out", {}).items():
            output.warn(
                f"{name}: the form cannot hold {counts['good']} good and {counts['bad']} bad samples ({reason})"
            )
    for line in told(made[TRAIN][1]):
        output.say(line)
    for line in made[TRAIN][1].get("settings", "").splitlines():
        output.say(output.safe(line))
    closing_notes(report, weights_told="settings" in made[TRAIN][1])
    for name, (own, _) in made.items():
        for warning in own.warnings if name != TRAIN else ():
            if warning not in report.warnings:
                output.warn(warning)
    for path in left_alone(outputs):
        output.warn(f"{path} is of an earlier run, and may share conversations with what was written now")


def _choice(text: str) -> PluginChoice:
    """A plugin's name, or YAML such as `{trl: {style: conversational}}`."""
    if not text.startswith("{"):
        return text
    choice = parse_yaml(text, "--to")
    if not isinstance(choice, dict) or len(choice) != 1:
        raise ConfigError(f"--to {text}: expected a name, or {{name: {{option: value}}}}")
    return choice


class Job(NamedTuple):
    """What is converted, and into what."""

    pieces: list[Piece]
    outputs: dict[str, Path]
    """The file or folder of every split."""
    exporter: Exporter
    choice: tuple[str, dict[str, Any]]
    """The exporter's name and options."""
    config: KTODataConfig
    registry: Registry
    planning: Planning
    tokenizer: Any
    rows_per_shard: int | None
    dry_run: bool
    page: Path | None


def _run(
    job: Job, rejects: Path | None, place: AbstractContextManager[OnRay | None], *, no_cache: bool, shown: bool
) -> tuple[Made, list[Path] | None]:
    """Write each split to its file; nothing is published before all of them can be.

    Returns:
        What was made, and what a dry run would have written.
    """
    outputs, first = job.outputs, job.outputs[TRAIN]
    paths = [one.path for piece in job.pieces for one in (*piece.files, *joined_files(piece.assembly))]
    rejects_path = _rejects_path(rejects, job.config, first)
    check_places(outputs, rejects_path, paths)
    check_writable(*outputs.values(), *filter(None, [rejects_path]))
    if job.dry_run and not no_cache:
        check_cache()
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(TemporaryDirectory(prefix="ktoformats-"))) if job.dry_run else None
        staged = stack.enter_context(held_back(rejects_path)) if scratch is None else within(scratch, rejects_path)
        ray = stack.enter_context(place)
        cache: Cache | None = Cache(default_folder())
        if no_cache or ray or job.dry_run:  # several splits are several looks at what is built once
            kept = stack.enter_context(TemporaryDirectory(prefix="ktoformats-")) if len(outputs) > 1 else None
            cache = Cache(Path(kept)) if kept else None
        bar = stack.enter_context(progress(sum(path.stat().st_size for path in paths), shown=shown))
        views = _views(job, cache, staged, ray, bar)
        places = stack.enter_context(together(outputs)) if scratch is None else all_within(scratch, outputs)
        made = _exported(job, views, places, cache, ray, bar)
        html = page_of(views, job.config, *job.planning[:2], bar) if job.page is not None else ""
        if scratch is not None:
            more = [job.page] if job.page is not None else []
            return made, [*would_publish(places, outputs, staged, rejects_path), *more]
        if job.page is not None:
            write_page(job.page, html)
    if rejects_path is None:
        side_file(first, REJECTS_SUFFIX).unlink(missing_ok=True)  # an earlier run's, of another output
    return made, None


def _views(
    job: Job, cache: Cache | None, staged: Path | None, ray: OnRay | None, bar: Reporter | None
) -> dict[str, tuple[View, Report]]:
    """What was chosen for each split."""
    views = {}
    for split in job.outputs:
        try:
            views[split] = prepare(
                split,
                job.pieces,
                job.config,
                job.registry,
                cache=cache,
                rejects_path=staged if split == TRAIN else None,
                progress=bar,
                stages=Stages(filter=ray.engine.filter) if ray else None,
                engine=ray.engine.convert if ray else None,
                for_training=job.exporter.training_order and split == TRAIN,
            )
        except (KTODataError, KTOLabelError) as error:
            _explain(error, job)
            raise
    report = views[TRAIN][1]
    for config, files in _read_how(job.pieces):
        report.warnings += [text for text in unknown_columns(config, files) if text not in report.warnings]
    return views


def _explain(error: KTODataError | KTOLabelError, job: Job) -> None:
    """Say more of what went wrong, and leave the accounting up to there beside the output."""
    first = job.outputs[TRAIN]
    if isinstance(error, KTODataError):
        explained(error, _read_how(job.pieces))
    if error.report is not None and first.parent.is_dir() and not job.dry_run:
        with suppress(OSError):  # what went wrong first is what people need to hear
            write_manifest(side_file(first, FAILED_SUFFIX), manifest_of(error.report, error=str(error)))


def _exported(
    job: Job,
    views: dict[str, tuple[View, Report]],
    places: dict[str, Path],
    cache: Cache | None,
    ray: OnRay | None,
    bar: Reporter | None,
) -> Made:
    """Write what was chosen."""
    made: Made = {}
    name = job.choice[0]
    for split, (view, report) in views.items():
        if ray:
            made[split] = report, ray.export(view, report, *job.choice, places[split])
            continue
        with below(bar, "planning" if job.tokenizer is None else "tokenizing", " rows") as tell:
            planned = job.planning.line_up(
                view,
                job.exporter,
                name,
                job.config,
                job.tokenizer,
                Kept(cache) if cache else None,
                epochs=split == TRAIN,
                progress=tell,
            )
        with below(bar, "writing", " rows") as tell:
            options: dict[str, Any] = {"planned": planned, "rows_per_shard": job.rows_per_shard, "progress": tell}
            try:
                made[split] = report, export(view, report, job.exporter, name, places[split], **options)
            except PluginError as error:
                job.registry.name_owner(error)
                raise
    return made


def _rejects_path(rejects: Path | None, config: KTODataConfig, first: Path) -> Path | None:
    """Where rejected records go; None where they go nowhere."""
    if config.on_error != "quarantine":
        return None
    configured = Path(str(config.rejects_file).replace("{split}", TRAIN)) if config.rejects_file else None
    return rejects or configured or side_file(first, REJECTS_SUFFIX)


def _read_how(pieces: list[Piece]) -> list[tuple[KTODataConfig, list[Source]]]:
    return [(piece.config, find_sources(piece.files)) for piece in pieces]
