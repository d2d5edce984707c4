"""`ktoformats convert`."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

import click

from ktoformats.cli import output
from ktoformats.cli.output import json_option
from ktoformats.cli.shared import (
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
)
from ktoformats.config.files import parse_yaml
from ktoformats.config.models import split_choice
from ktoformats.convert.assemble import assemble
from ktoformats.errors import ConfigError, KTODataError, KtoFormatsError, KTOLabelError, SourceError
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import find_sources
from ktoformats.store.cache import Cache, default_folder
from ktoformats.store.choose import Stages
from ktoformats.store.mix import Piece, pieces_of
from ktoformats.store.prepare import joined_files, prepare
from ktoformats.store.split import PARTS, read_fractions
from ktoformats.train.export import (
    FAILED_SUFFIX,
    MANIFEST_SUFFIX,
    REJECTS_SUFFIX,
    export,
    manifest_of,
    side_file,
    write_manifest,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.cli.on_ray import OnRay
    from ktoformats.config.models import KTODataConfig, PluginChoice
    from ktoformats.convert.assemble import Assembly
    from ktoformats.plugin.kinds import Exporter
    from ktoformats.store.report import Report

    Made = dict[str, tuple[Report, dict[str, Any]]]
    """The report and the manifest of every split."""


TRAIN: Final = "train"


class WorkerCount(click.IntRange):
    """A number of processes, or `auto`."""

    name = "integer or auto"

    def __init__(self) -> None:
        super().__init__(1, 256)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """`auto` as it is, else a number in the range."""
        return value if value == "auto" else super().convert(value, param, ctx)


@click.command()
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
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
    rejects: Path | None,
    on_error: str | None,
    workers: int | str | None,
    engine_name: str,
    address: str | None,
    *,
    no_cache: bool,
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
      ktoformats convert 'logs/*.jsonl' -o train --to parquet --engine ray
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
    exporter = cast("Exporter", registry.make("exporter", exporter_name, options, {}))
    if target.is_symlink():
        target = target.resolve()
    if engine_name == "ray":
        from ktoformats.cli.on_ray import check

        if fractions:
            raise ConfigError("--split chooses on this machine; say --engine local")
        check(target, exporter, exporter_name)
        outputs = {TRAIN: target}
    else:
        if address is not None:
            raise ConfigError("--address names a Ray; say --engine ray with it")
        outputs = _outputs(target, fractions, exporter, exporter_name, registry)
    if not (sources or config.train_file or config.sources):
        raise ConfigError("no SOURCE was named, and the config has neither data.train_file nor data.sources")

    def make(own: KTODataConfig) -> Assembly:
        return assemble(own, registry)

    pieces = [Piece(list(sources), config, make(config))] if sources else pieces_of("train", config, make)
    place: AbstractContextManager[OnRay | None] = nullcontext()
    if engine_name == "ray":
        from ktoformats.cli.on_ray import on_ray

        place = on_ray(target, address=address, workers=workers if isinstance(workers, int) else None)
    made = _run(
        pieces,
        outputs,
        exporter,
        (exporter_name, options),
        config,
        registry,
        rejects,
        place,
        no_cache=no_cache,
        shown=not as_json,
    )
    if as_json:
        whole = {"splits": {name: manifest for name, (_, manifest) in made.items()}} if fractions else made[TRAIN][1]
        output.print_json({"output": str(target if fractions else outputs[TRAIN]), **whole})
    else:
        _tell(made, outputs, exporter_name)


def _tell(made: Made, outputs: dict[str, Path], exporter: str) -> None:
    """Where everything went."""
    report, _ = made[TRAIN]
    rejects_shown(report)
    closing_table(report)
    for name, (own, manifest) in made.items():
        style = f", {manifest['told']['style']}" if "style" in manifest["told"] else ""
        order = manifest["order"]
        output.say(f"wrote {own.samples} samples to {output.safe(outputs[name])} ({exporter}{style}, {order} order)")
    closing_notes(report)
    for name, (own, _) in made.items():
        for warning in own.warnings if name != TRAIN else ():
            if warning not in report.warnings:
                output.warn(warning)
    for path in _left_alone(outputs):
        output.warn(f"{path} is of an earlier run, and may share conversations with what was written now")


def _left_alone(outputs: dict[str, Path]) -> list[Path]:
    """The files of other splits beside those of a split."""
    first = outputs[TRAIN]
    others = [first.with_name(f"{name}{first.suffix}") for name in PARTS if name not in outputs]
    return [path for path in others if len(outputs) > 1 and path.exists()]


def _outputs(
    target: Path, fractions: dict[str, float], exporter: Exporter, name: str, registry: Registry
) -> dict[str, Path]:
    """The file of each split."""
    if fractions:
        known = {exporter.suffix} | {suffix for _, suffix in _suffixes(registry)}
        if (target.exists() or target.suffix in known - {""}) and not target.is_dir():
            raise ConfigError(f"--split writes several files; name a folder, not {target}")
        outputs = {split: target / f"{split}{exporter.suffix}" for split in fractions}
        for path in outputs.values():
            if path.exists() and not path.is_file():
                raise ConfigError(f"{path} is no file; nothing was replaced")
        return outputs
    if target.is_dir():
        return {TRAIN: target / f"{TRAIN}{exporter.suffix}"}
    if target.exists() and not target.is_file():
        raise ConfigError(f"{target} is neither a file nor a folder; nothing was replaced")
    _check_suffix(target, exporter, name, registry)
    return {TRAIN: target}


def _check_suffix(target: Path, exporter: Exporter, name: str, registry: Registry) -> None:
    """Refuse to write one form under another's name, such as JSON Lines into x.parquet."""
    if target.suffix in ("", exporter.suffix):
        return
    for other, suffix in _suffixes(registry):
        if target.suffix == suffix:
            raise ConfigError(
                f"{target}: exporter {name!r} writes {exporter.suffix}; say --to {other}, or name the file so"
            )


def _suffixes(registry: Registry) -> list[tuple[str, str]]:
    """The first-party exporters, and how their files end."""
    found = registry.first_party("exporter")
    return [(one.name, cast("type[Exporter]", registry.load_found(one).cls).suffix) for one in found]


def _choice(text: str) -> PluginChoice:
    """A plugin's name, or YAML such as `{trl: {style: conversational}}`."""
    if not text.startswith("{"):
        return text
    choice = parse_yaml(text, "--to")
    if not isinstance(choice, dict) or len(choice) != 1:
        raise ConfigError(f"--to {text}: expected a name, or {{name: {{option: value}}}}")
    return choice


def _run(
    pieces: list[Piece],
    outputs: dict[str, Path],
    exporter: Exporter,
    choice: tuple[str, dict[str, Any]],
    config: KTODataConfig,
    registry: Registry,
    rejects: Path | None,
    place: AbstractContextManager[OnRay | None],
    *,
    no_cache: bool,
    shown: bool,
) -> Made:
    """Write each split to its file; nothing is published before all of them can be."""
    pieces = [piece._replace(files=find_sources(piece.files)) for piece in pieces]
    paths = [one.path for piece in pieces for one in (*piece.files, *joined_files(piece.assembly))]
    first = outputs[TRAIN]
    rejects_path = None
    if config.on_error == "quarantine":
        configured = Path(str(config.rejects_file).replace("{split}", TRAIN)) if config.rejects_file else None
        rejects_path = rejects or configured or side_file(first, REJECTS_SUFFIX)
    _check_places(outputs, rejects_path, paths)
    with ExitStack() as stack:
        staged = stack.enter_context(_staged(rejects_path))
        ray = stack.enter_context(place)
        cache: Cache | None = Cache(default_folder())
        if no_cache or ray:  # several splits are several looks at what is built once
            kept = stack.enter_context(TemporaryDirectory(prefix="ktoformats-")) if len(outputs) > 1 else None
            cache = Cache(Path(kept)) if kept else None
        bar = stack.enter_context(progress(sum(path.stat().st_size for path in paths), shown=shown))
        views = {}
        for split in outputs:
            try:
                views[split] = prepare(
                    split,
                    pieces,
                    config,
                    registry,
                    cache=cache,
                    rejects_path=staged if split == TRAIN else None,
                    progress=bar,
                    stages=Stages(filter=ray.engine.filter) if ray else None,
                    engine=ray.engine.convert if ray else None,
                    for_training=exporter.training_order and split == TRAIN,
                )
            except (KTODataError, KTOLabelError) as error:
                if error.report is not None and first.parent.is_dir():
                    with suppress(OSError):  # what went wrong first is what people need to hear
                        write_manifest(side_file(first, FAILED_SUFFIX), manifest_of(error.report, error=str(error)))
                raise
        made = {}
        places = stack.enter_context(_together(outputs))
        for split, (view, report) in views.items():
            if ray:
                made[split] = report, ray.export(view, report, *choice, places[split])
            else:
                made[split] = report, export(view, report, exporter, choice[0], places[split])
    if rejects_path is None:
        side_file(first, REJECTS_SUFFIX).unlink(missing_ok=True)  # an earlier run's, of another output
    return made


def _check_places(outputs: dict[str, Path], rejects: Path | None, sources: list[Path]) -> None:
    """Refuse to write over a source, or to write one file twice."""
    written = [*outputs.values(), *filter(None, [rejects])]
    written += [side_file(path, suffix) for path in outputs.values() for suffix in (MANIFEST_SUFFIX, FAILED_SUFFIX)]
    for number, path in enumerate(written):
        if any(
            (path.exists() and source.samefile(path)) or source.resolve().is_relative_to(path.resolve())
            for source in sources
        ):
            raise ConfigError(f"{path} is also a source; write somewhere else")
        if path in written[:number]:
            raise ConfigError(f"{path} would be written twice; choose another name for the rejects or the output")


@contextmanager
def _together(outputs: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """Where to write the files; several are moved to their places once all are there.

    Else an interrupted run would leave its train split beside an earlier run's test split, which holds some of it.
    """
    if len(outputs) == 1:
        yield outputs
        return
    folder = outputs[TRAIN].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".split.", suffix=".part", dir=folder) as private:
            places = {split: Path(private, path.name) for split, path in outputs.items()}
            yield places
            for split, path in places.items():
                side_file(path, MANIFEST_SUFFIX).replace(side_file(outputs[split], MANIFEST_SUFFIX))
                path.replace(outputs[split])
                side_file(outputs[split], FAILED_SUFFIX).unlink(missing_ok=True)
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); nothing was published"
        if isinstance(error, SourceError):  # of a private file, which nobody knows
            message = str(error).removeprefix(f"{error.path}: ")
        raise SourceError("not_writable", str(folder), message) from error


@contextmanager
def _staged(rejects: Path | None) -> Iterator[Path | None]:
    """Hold the rejects back until the output stands, or the data turns out to be unusable.

    An interrupted run so leaves an earlier one's files as they were, all of them.
    """
    if rejects is None:
        yield None
        return
    staged = rejects.with_name(f".{rejects.name}.{os.getpid()}.staged")
    try:
        yield staged
    except KtoFormatsError:
        _publish(staged, rejects)
        raise
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    _publish(staged, rejects)


def _publish(staged: Path, path: Path) -> None:
    if not staged.exists():
        return
    try:
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        message = f"the rejected records cannot be written there ({error.strerror})"
        raise SourceError("not_writable", str(path), message) from error
