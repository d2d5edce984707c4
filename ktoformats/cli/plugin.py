"""`ktoformats plugin`."""

from __future__ import annotations

import click

from ktoformats.cli import output
from ktoformats.cli.shared import json_option
from ktoformats.plugin.registry import Registry


@click.group()
def command() -> None:
    """See what is installed."""


@command.command("list")
@json_option
@click.option("--load", "do_load", is_flag=True, help="Import every plugin, to see which ones fail.")
def list_plugins(*, as_json: bool, do_load: bool) -> None:
    """List every installed plugin: kind, name, distribution, version, state and why.

    Only metadata is read; nothing is imported unless you say --load.

    \b
    Example:
      ktoformats plugin list --json
    """  # noqa: D301 - \b keeps click from joining the lines
    registry = Registry()
    if do_load:
        registry.load_all()
    statuses = registry.statuses()
    if as_json:
        output.print_json([status._asdict() for status in statuses])
        return
    rows = [(s.kind, s.name, s.distribution, s.version, s.state, s.why) for s in statuses]
    output.table("", ("kind", "name", "distribution", "version", "state", "why"), rows)
