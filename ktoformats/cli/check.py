"""`ktoformats plugin check`: the laws of plugins, tried on what is installed."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from typing import TYPE_CHECKING, Any, Final

import click

from ktoformats.cli import output
from ktoformats.cli.names import installed
from ktoformats.cli.output import json_option
from ktoformats.plugin.discovery import OBSERVER, PRESET
from ktoformats.plugin.kinds import KINDS
from ktoformats.plugin.registry import Registry, Status

if TYPE_CHECKING:
    from ktoformats.testing import Subject, Verdict

EXIT_BROKEN: Final = 1
_STYLES: Final = {"holds": "green", "broken": "red", "open": "yellow"}
_LINE: Final = 10_000


@click.command("check")
@click.argument("name", shell_complete=installed())
@click.option("--kind", type=click.Choice([*KINDS, PRESET, OBSERVER]), help="Only the plugin of this kind.")
@click.option("--full", is_flag=True, help="Also the laws that start processes of their own or take seconds.")
@json_option
def check_plugin(name: str, kind: str | None, *, full: bool, as_json: bool) -> int:
    """Try the laws of plugins on NAME: an installed plugin or preset, or a distribution with all it holds.

    Each law is one line: it holds, it is broken (and what its author should change), or it is open, because the
    plugin gives no examples to try it on.

    \b
    Examples:
      ktoformats plugin check binary
      ktoformats plugin check ktoformats-votes --full

    Exit status: 0 no law is broken, 1 one is, 3 no such plugin can be used.
    """  # noqa: D301 - \b keeps click from joining the lines
    from ktoformats.testing import check, subjects

    verdicts: list[tuple[Subject, list[Verdict]]] = []
    for subject in subjects(name, Registry(), kind=kind):
        verdicts.append((subject, []))
        if not as_json:
            output.say(f"{subject.kind} {output.safe(subject.name)}", style="bold")
        if as_json:
            verdicts[-1][1].extend(_quietly(subject, quick=not full))
            continue
        for verdict in check(subject, quick=not full):
            verdicts[-1][1].append(verdict)
            _say(verdict)
    states = [verdict.state for _, made in verdicts for verdict in made]
    if as_json:
        output.print_json([_told(subject, made) for subject, made in verdicts])
    else:
        counts = ", ".join(f"{states.count(state)} {state}" for state in _STYLES)
        output.say(counts + ("" if full else "; --full tries the slow laws, too"))
    return EXIT_BROKEN if "broken" in states else 0


def _quietly(subject: Subject, *, quick: bool) -> list[Verdict]:
    """The verdicts; what the plugin prints meanwhile is no part of our answer."""
    from ktoformats.testing import check

    with redirect_stdout(sys.stderr):
        return list(check(subject, quick=quick))


def _say(verdict: Verdict) -> None:
    text = f": {output.safe(verdict.message, _LINE)}" if verdict.message else ""
    output.say(f"  {verdict.state:<6} {verdict.law}{text}", style=_STYLES[verdict.state])


def _told(subject: Subject, verdicts: list[Verdict]) -> dict[str, Any]:
    return {"kind": subject.kind, "name": subject.name, "laws": [verdict._asdict() for verdict in verdicts]}


def laws_of(status: Status, registry: Registry) -> list[dict[str, str]]:
    """What became of each quick law; of a plugin that cannot be loaded only the first one is tried."""
    from ktoformats.testing import Subject

    verdicts = _quietly(Subject(status.kind, status.name, registry=registry), quick=True)
    return [verdict._asdict() for verdict in verdicts]


def summed(laws: list[dict[str, str]]) -> str:
    """The laws of one plugin in a few words."""
    broken = [law["law"] for law in laws if law["state"] == "broken"]
    opened = [law["law"] for law in laws if law["state"] == "open"]
    parts = [f"breaks {', '.join(broken)}"] * bool(broken) + [f"open: {', '.join(opened)}"] * bool(opened)
    return "; ".join(parts) or f"all {len(laws)} hold"
