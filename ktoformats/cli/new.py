"""`ktoformats plugin new`."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ktoformats.cli import output
from ktoformats.cli.output import json_option
from ktoformats.plugin.registry import Registry
from ktoformats.scaffold.make import FROM_FILES, make
from ktoformats.scaffold.names import KINDS

if TYPE_CHECKING:
    from ktoformats.scaffold.make import Made

_LINE = 2000


@click.command("new")
@click.argument("name")
@click.option("--kind", type=click.Choice(KINDS), required=True, help="What the plugin is.")
@click.option(
    "--into",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path(),
    help="The folder in which ktoformats-NAME is made (default: the current one).",
)
@click.option(
    "--from",
    "file",
    metavar="FILE",
    help="Draft a format or a preset from the shape of this file; its first records become the samples.",
)
@click.option("--good", multiple=True, metavar="TEXT", help="An answer in FILE that is good; with --bad.")
@click.option("--bad", multiple=True, metavar="TEXT", help="An answer in FILE that is bad: they say what is meant.")
@json_option
def command(
    name: str,
    kind: str,
    into: Path,
    file: str | None,
    *,
    good: tuple[str, ...],
    bad: tuple[str, ...],
    as_json: bool,
) -> None:
    """Make the distribution of a new plugin NAME: code, samples, tests, packaging, a README.

    It is a small plugin that works, to be changed into yours: its tests pass as it is, among them every law of its
    kind. NAME is made of lower-case letters, digits and hyphens; the folder is ktoformats-NAME.

    With --from, a format or a preset is drafted from a file of records. With an answer that is known to be good and
    one that is known to be bad (whole, or twenty characters or more of their beginning) it is complete. Without, what
    only you can say is left open, and its tests tell you when it is done; nothing is guessed.

    \b
    Examples:
      ktoformats plugin new votes --kind format
      ktoformats plugin new triage --kind labels --into ~/plugins
      ktoformats plugin new votes --kind format --from votes.jsonl --good 'Seven minutes.' --bad 'Ask a cook.'
      ktoformats plugin new support-log --kind presets --from tickets.jsonl
    """  # noqa: D301 - \b keeps click from joining the lines
    if file is None and (good or bad):
        raise click.UsageError("--good and --bad are answers in a file: name it with --from FILE")
    if file is not None and kind not in FROM_FILES:
        raise click.UsageError(f"--from drafts {' and '.join(FROM_FILES)}; a plugin of kind {kind} reads no records")
    made = make(name, kind, into, Registry(), file=file, good=good, bad=bad)
    if as_json:
        output.print_json(_told(made))
    else:
        _show(made)


def _told(made: Made) -> dict[str, object]:
    names = made.names
    return {
        "kind": names.kind,
        "name": names.plugin,
        "folder": str(made.folder),
        "files": made.files,
        "edit": names.main_file,
        "questions": list(made.questions),
        "other_readings": made.others,
        "unfinished": made.waits_for,
        "next": _next(made),
    }


def _next(made: Made) -> list[str]:
    return [
        f"cd {shlex.quote(str(made.folder))}",
        "pip install -e '.[dev]'",
        "pytest",
        f"ktoformats plugin check {made.names.plugin}",
    ]


def _show(made: Made) -> None:
    output.say(f"made {output.safe(made.folder)}", "bold")
    for file in made.files:
        output.say(f"  {file}")
    for question in made.questions:
        output.say(f"open: {output.safe(question, _LINE)}", "yellow")
    if made.waits_for:
        output.say(f"a draft; its tests wait for what only you can say: edit {made.names.main_file}", "yellow")
    if made.others:
        several = "another reading agrees" if made.others == 1 else f"{made.others} other readings agree"
        where = "ktoformats inspect, with the same --good and --bad, shows where they differ"
        output.say(f"{several} with these answers; {where}", "yellow")
    output.say("\nnext:")
    for line in _next(made):
        output.say(f"  {output.safe(line, _LINE)}")
    output.say(f"then make it yours, beginning with {made.names.main_file}")
