"""`ktoformats why`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from ktoformats.cli import output
from ktoformats.cli.output import json_option
from ktoformats.cli.shared import (
    config_option,
    data_config,
    format_option,
    mapping_option,
    preset_option,
    progress,
    set_option,
)
from ktoformats.convert.assemble import assemble
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import find_sources
from ktoformats.store.cache import Cache, default_folder
from ktoformats.store.mix import Piece, pieces_of
from ktoformats.store.prepare import prepare
from ktoformats.train.why import BATCH_SIZE, why

if TYPE_CHECKING:
    from pathlib import Path


@click.command()
@click.argument("what", metavar="FILE:LINE|ID")
@click.argument("sources", nargs=-1, metavar="[SOURCE]...")
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
    in which batch they are. The record is named by its file and line, or by the id of one of its samples. SOURCE
    is all that was converted together with it: only among all of them can be told what balancing or a duplicate
    left out. Without one it is FILE, or with --config what that names.

    \b
    Examples:
      ktoformats why votes.jsonl:17
      ktoformats why day-2.jsonl:17 'logs/*.jsonl' --config train.yaml
      ktoformats why 17dd4e318459cfaaebb24f3036821e47 --config train.yaml
    """  # noqa: D301 - \b keeps click from joining the lines
    config = data_config(config_file, formats, settings, mapping_file, preset, require_both_labels=False)
    registry = Registry()
    name, colon, line = what.rpartition(":")
    named = list(sources) or ([name] if colon and line.isdecimal() and not config_file else [])
    if named:
        pieces = [Piece(named, config, assemble(config, registry))]
    else:
        pieces = pieces_of(split, config, lambda own: assemble(own, registry))
    pieces = [piece._replace(files=find_sources(piece.files)) for piece in pieces]
    total = sum(one.path.stat().st_size for piece in pieces for one in piece.files)
    with progress(total, shown=not as_json) as bar:
        view, _ = prepare(
            split,
            pieces,
            config,
            registry,
            cache=None if no_cache else Cache(default_folder()),
            progress=bar,
            for_training=False,
        )
    stories = why(what, view, [(one, piece.assembly) for piece in pieces for one in piece.files])
    if as_json:
        output.print_json({"records": [story.to_json() for story in stories]})
        return
    for story in stories:
        for text in story.told(batch_size):
            output.say(output.safe(text))
