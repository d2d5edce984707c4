"""`ktoformats plugin list` and `presets`."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout

import click

from ktoformats.cli import output
from ktoformats.cli.names import installed
from ktoformats.cli.output import json_option
from ktoformats.errors import PluginError
from ktoformats.plugin.discovery import strays
from ktoformats.plugin.registry import Registry, Status

_LINE = 10_000


@click.command("list")
@json_option
@click.option("--load", "do_load", is_flag=True, help="Import every plugin, to see which ones fail.")
@click.option("--check", "do_check", is_flag=True, help="Import every plugin and try the quick laws on it.")
def list_plugins(*, as_json: bool, do_load: bool, do_check: bool) -> None:
    """List every installed plugin: kind, name, distribution, version, state and why.

    Only metadata is read; nothing is imported unless you say --load or --check. With --check, `laws` tells what
    `ktoformats plugin check` would say.

    \b
    Examples:
      ktoformats plugin list
      ktoformats plugin list --check --json
    """  # noqa: D301 - \b keeps click from joining the lines
    registry = Registry()
    if do_load or do_check:
        with redirect_stdout(sys.stderr):  # what a module prints when it is imported is no part of our answer
            registry.load_all()
    listed = [(status, _laws_of(status, registry) if do_check else None) for status in registry.statuses()]
    if as_json:
        told = [(status._asdict(), laws) for status, laws in listed]
        output.print_json([one if laws is None else {**one, "laws": laws} for one, laws in told])
        return
    headings = ("kind", "name", "distribution", "version", "state", "why", *["laws"] * do_check)
    rows = [[*_without_module(status), *([] if laws is None else [_summed(laws)])] for status, laws in listed]
    output.table("", headings, rows)
    for stray in strays():
        output.warn(stray)
    if presets := len(registry.presets()):
        output.say(f"and {presets} presets, see `ktoformats plugin presets`")


def _laws_of(status: Status, registry: Registry) -> list[dict[str, str]]:
    from ktoformats.cli.check import laws_of  # with it come numpy and pyarrow, which a list does without

    return laws_of(status, registry)


def _summed(laws: list[dict[str, str]]) -> str:
    from ktoformats.cli.check import summed

    return summed(laws)


def _without_module(status: Status) -> list[str]:
    return [status.kind, status.name, status.distribution, status.version, status.state, status.why]


@click.command("presets")
@click.argument("name", required=False, shell_complete=installed("preset"))
@json_option
def presets(name: str | None, *, as_json: bool) -> None:
    """List the installed presets; or print the preset NAME as the YAML that --mapping takes.

    \b
    Examples:
      ktoformats plugin presets
      ktoformats plugin presets arena > arena.yaml
    """  # noqa: D301 - \b keeps click from joining the lines
    from ktoformats.convert.presets import load_preset

    registry = Registry()
    if name is not None:
        preset = load_preset(registry, name)
        if as_json:
            output.print_json({**preset._asdict(), "about": preset.about.model_dump(), "path": None})
        else:
            for line in preset.path.read_text(encoding="utf-8").splitlines():
                click.echo(output.safe(line, _LINE))
        return
    rows = []
    for status in registry.statuses(presets=True):
        try:
            found = load_preset(registry, status.name)
            rows.append((status.name, found.about.title, "yes" if found.is_detected else "", found.owner, ""))
        except PluginError as error:
            owner = f"{status.distribution} {status.version}"
            rows.append((status.name, "", "", owner, f"{status.state}: {error}"))
    columns = ("name", "reads", "detected", "from", "why not")
    if as_json:
        output.print_json([dict(zip(columns, row, strict=True)) for row in rows])
    else:
        output.table("", columns if any(row[-1] for row in rows) else columns[:-1], rows)
