"""`ktoformats why`."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Final

import click

from ktoformats.cli import output
from ktoformats.cli.names import files
from ktoformats.cli.output import json_option
from ktoformats.cli.shared import (
    config_option,
    data_config,
    format_option,
    mapping_option,
    preset_option,
    progress,
    set_option,
    sources_argument,
)
from ktoformats.convert.assemble import assemble
from ktoformats.errors import ConfigError, EmptyDatasetError
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import find_sources
from ktoformats.store.cache import Cache, default_folder
from ktoformats.store.choose import Stages
from ktoformats.store.mix import Piece, pieces_of
from ktoformats.store.prepare import prepare
from ktoformats.store.view import apply_filters, keep_whole_pairs
from ktoformats.train.why import BATCH_SIZE, why

if TYPE_CHECKING:
    from pathlib import Path

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.ledger import Reject
    from ktoformats.store.build import Progress
    from ktoformats.store.view import View

_LENIENT: Final = ("on_error=skip", "require_both_labels=false", "strict=false")
"""Of data that cannot be used, too, can be told why."""
_WIDEST: Final = 2000


@click.command()
@click.argument("what", metavar="FILE:LINE|ID", shell_complete=files)
@sources_argument
@config_option
@format_option
@mapping_option
@preset_option
@set_option
@click.option(
    "--split",
    type=click.Choice(["train", "validation", "test"]),
    default="train",
    show_default=True,
    help="The split whose choice is told.",
)
@click.option(
    "--batch-size",
    type=click.IntRange(1),
    default=BATCH_SIZE,
    show_default=True,
    help="Samples in a batch, to tell which batch a sample is in.",
)
@click.option("--no-cache", is_flag=True, help="Build afresh and keep nothing.")
@json_option
def command(
    what: str,
    sources: tuple[str, ...],
    config_file: Path | None,
    formats: tuple[str, ...],
    mapping_file: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    split: str,
    batch_size: int,
    *,
    no_cache: bool,
    as_json: bool,
) -> None:
    """Tell the whole story of one record: what became of it, and why.

    How its cell was read and on which scale, which rule made its label, what every stage did with its samples, and
    in which batch they are. The record is named by its file and the line it begins on, from 1; or by the id of one
    of its samples, which every output but trl's holds. SOURCE is all that was converted together with it: only
    among all of them can be told what balancing or a duplicate left out. Without one it is what --config names, or
    else FILE. Say the same options as to convert.

    \b
    Examples:
      ktoformats why votes.jsonl:17
      ktoformats why day-2.jsonl:17 'logs/*.jsonl' --config train.yaml
      ktoformats why votes.jsonl:17 --set validation_fraction=0.1 --split validation
      ktoformats why 17dd4e318459cfaaebb24f3036821e47 --config train.yaml
    """  # noqa: D301 - \b keeps click from joining the lines
    config = data_config(config_file, formats, (*settings, *_LENIENT), mapping_file, preset)
    registry = Registry()
    named = list(sources) or _file_of(what, config)
    if named:
        pieces = [Piece(named, config, assemble(config, registry))]
    else:
        pieces = pieces_of(split, config, lambda own: assemble(own, registry))
    pieces = [piece._replace(files=find_sources(piece.files)) for piece in pieces]
    total = sum(one.path.stat().st_size for piece in pieces for one in piece.files)
    with progress(total, shown=not as_json) as bar:
        view, rejects = _prepared(
            split, pieces, config, registry, cache=None if no_cache else Cache(default_folder()), progress=bar
        )
    named_files = [(one, piece.assembly) for piece in pieces for one in piece.files]
    stories = why(what, view, named_files, rejects)
    if as_json:
        output.print_json({"records": [story.to_json() for story in stories]})
        return
    for story in stories:
        for text in story.told(batch_size):
            output.say(output.safe(text, _WIDEST))


def _file_of(what: str, config: KTODataConfig) -> list[str]:
    """The file of FILE:LINE, where nothing says which sources there are; else nothing.

    Raises:
        ConfigError: An id is looked for nowhere.
    """
    if config.sources or any((config.train_file, config.validation_file, config.test_file)):
        return []
    name, colon, line = what.rpartition(":")
    if not colon or not line.isdecimal():
        raise ConfigError(
            f"{what}: where is it? Write FILE:LINE, such as votes.jsonl:17; or say after an id which SOURCEs were "
            "converted, or a --config that does"
        )
    return [name]


def _prepared(
    split: str,
    pieces: list[Piece],
    config: KTODataConfig,
    registry: Registry,
    *,
    cache: Cache | None,
    progress: Progress | None,
) -> tuple[View, list[Reject]]:
    """What was chosen, and what was rejected; where no sample is left, what left them all out can still be told."""
    filtered: list[View] = []

    def remember(view: View) -> View:
        made = apply_filters(view, pieces[0].assembly.filters)
        is_paired = config.pairwise_sampling_strategy == "balanced"
        filtered.append(keep_whole_pairs(made) if is_paired else made)
        return made

    def prepared(stages: Stages | None = None) -> tuple[View, list[Reject]]:
        view, report = prepare(
            split,
            pieces,
            config,
            registry,
            cache=cache,
            progress=progress,
            stages=stages,
            for_training=False,
        )
        return view, report.rejects

    try:
        return prepared()
    except EmptyDatasetError as error:
        rejects = error.report.rejects if error.report else []
    with suppress(EmptyDatasetError):
        return prepared(Stages(filter=remember))
    return filtered[0], rejects
