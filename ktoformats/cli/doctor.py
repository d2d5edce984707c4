"""`ktoformats doctor`: the installation, looked at from outside; nothing of it is imported to be looked at."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from contextlib import redirect_stdout, suppress
from importlib.metadata import PackageNotFoundError, distribution, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click

import ktoformats
from ktoformats.cli import output
from ktoformats.cli.output import json_option
from ktoformats.cli.places import cache_folder, cache_trouble, nearest
from ktoformats.cli.text import size
from ktoformats.plugin.discovery import FIRST_PARTY, strays
from ktoformats.plugin.registry import Registry

if TYPE_CHECKING:
    from pathlib import Path

    from ktoformats.plugin.registry import Status

EXIT_BROKEN: Final = 1
_REQUIREMENT: Final = re.compile(r"\s*([\w.-]+)\s*(?:\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*;?\s*(.*)")
_EXTRA: Final = re.compile(r"extra\s*==\s*['\"]([\w.-]+)['\"]")
_AT_LEAST: Final = re.compile(r">=\s*([\d.]+)")
_BROKEN: Final = ("failed", "conflict")
_LINE: Final = 2000


class Requirement(NamedTuple):
    """What our metadata says of a library."""

    name: str
    at_least: str
    extra: str
    """The optional part that it is for; empty where nothing works without it."""


@click.command()
@click.option("--load", "do_load", is_flag=True, help="Import every plugin, to see which ones fail.")
@json_option
def command(*, do_load: bool, as_json: bool) -> int:
    """Look at the installation: versions, plugins, the cache, optional parts, the terminal.

    Say what it prints when you report a problem. Versions and plugins are read from metadata; no plugin is imported
    unless you say --load. Nothing is changed.

    \b
    Examples:
      ktoformats doctor
      ktoformats doctor --load --json

    Exit status: 0 all is well (optional parts may be missing), 1 something is broken: a library that is needed is
    missing or too old, a plugin fails or is in conflict with another, the cache cannot be written.
    """  # noqa: D301 - \b keeps click from joining the lines
    needed = requirements()
    found = {
        "versions": _versions(needed),
        "plugins": [one._asdict() for one in _plugins(do_load=do_load)],
        "strays": strays(),
        "cache": _cache(cache_folder()),
        "extras": _extras(needed),
        "terminal": _terminal(),
    }
    problems = _problems(needed, found)
    if as_json:
        output.print_json({"ok": not problems, "problems": problems, **found})
    else:
        _show(found, problems)
    return EXIT_BROKEN if problems else 0


def requirements() -> list[Requirement]:
    """What our own metadata asks for; nothing where we run from a folder that was never installed."""
    try:
        texts = distribution(FIRST_PARTY).requires or []
    except PackageNotFoundError:
        return []
    return [one for text in texts if (one := _requirement(text)) is not None]


def _requirement(text: str) -> Requirement | None:
    found = _REQUIREMENT.match(text)
    if found is None:
        return None
    name, wanted, marker = found.groups()
    extra, least = _EXTRA.search(marker), _AT_LEAST.search(wanted)
    return Requirement(name, least[1] if least else "", extra[1] if extra else "")


def installed(name: str) -> str | None:
    """The version of a distribution, not imported; None where there is none."""
    try:
        return version(name) or "unknown"
    except PackageNotFoundError:
        return None


def _lacks(one: Requirement) -> str:
    """What is wrong with a library; empty where nothing is."""
    seen = installed(one.name)
    if seen is None:
        return "is not installed"
    return f"is {seen}, and {one.at_least} is the least" if _release(seen) < _release(one.at_least) else ""


def _release(text: str) -> tuple[int, ...]:
    """The numbers of a version, those at its end that are 0 left out."""
    numbers = re.match(r"\d+(?:\.\d+)*", text)
    found = tuple(map(int, numbers[0].split("."))) if numbers else ()
    while found and not found[-1]:
        found = found[:-1]
    return found


def _versions(needed: list[Requirement]) -> dict[str, str | None]:
    names = [one.name for one in needed if not one.extra]
    own = {"ktoformats": ktoformats.__version__, "python": platform.python_version(), "platform": platform.platform()}
    return {**own, **{name: installed(name) for name in names}}


def _plugins(*, do_load: bool) -> list[Status]:
    """Every plugin and preset; of those that were not loaded it is at least known whether their package is there."""
    registry = Registry()
    if do_load:
        with redirect_stdout(sys.stderr):  # what a module prints when it is imported is no part of our answer
            registry.load_all()
    every = [*registry.statuses(), *registry.statuses(presets=True)]
    return [one._replace(**_missing(one)) if one.state == "available" else one for one in every]


def _missing(one: Status) -> dict[str, str]:
    """State and reason of a plugin whose package is gone: what is left of an uninstallation that went wrong."""
    top = one.module.partition(":")[0].partition(".")[0]
    with suppress(ImportError, ValueError, AttributeError):
        if find_spec(top) is not None:
            return {}
    return {"state": "failed", "why": f"there is no module {top!r}; install {one.distribution} again, or remove it"}


def _cache(folder: Path) -> dict[str, Any]:
    why = cache_trouble(folder)
    used = 0
    for above, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):  # another process removed it
                used += os.lstat(os.path.join(above, name)).st_size  # noqa: PTH118 - of what os.walk gives
    free = None
    with suppress(OSError):
        free = shutil.disk_usage(nearest(folder)).free
    return {"folder": str(folder), "writable": not why, "why": why, "bytes": used, "free": free}


def _extras(needed: list[Requirement]) -> dict[str, dict[str, Any]]:
    """Each optional part: whether it is there, what is missing of it, and the line that gets it."""
    extras: dict[str, dict[str, Any]] = {}
    for name in sorted({one.extra for one in needed} - {""}):
        missing = {one.name: why for one in needed if one.extra == name and (why := _lacks(one))}
        extras[name] = {
            "installed": not missing,
            "missing": missing,
            "install": f"pip install '{FIRST_PARTY}[{name}]'" if missing else "",
        }
    return extras


def _terminal() -> dict[str, Any]:
    console = output.console()
    variables = ("TERM", "NO_COLOR", "FORCE_COLOR", "COLUMNS")
    return {
        "is_terminal": sys.stdout.isatty(),
        "colour": console.color_system is not None and not console.no_color,
        "encoding": getattr(sys.stdout, "encoding", None) or "unknown",
        "width": console.width if sys.stdout.isatty() else None,
        "variables": {name: os.environ[name] for name in variables if name in os.environ},
    }


def _problems(needed: list[Requirement], found: dict[str, Any]) -> list[str]:
    """What is broken, a sentence each, with what to do."""
    lacking = {one.name: why for one in needed if not one.extra and (why := _lacks(one))}
    problems = [f"{name} {why}: pip install --upgrade {FIRST_PARTY}" for name, why in lacking.items()]
    problems += [
        f"{one['kind']} {one['name']!r} of {one['distribution']} {one['version']}: {one['state']}: {one['why']}"
        for one in found["plugins"]
        if one["state"] in _BROKEN
    ]
    cache = found["cache"]
    if not cache["writable"]:
        problems.append(f"the cache {cache['folder']} cannot be used: {cache['why']}; or set XDG_CACHE_HOME")
    return problems


def _show(found: dict[str, Any], problems: list[str]) -> None:
    output.table(
        "versions", ("part", "version"), [(name, text or "not installed") for name, text in found["versions"].items()]
    )
    _show_plugins(found["plugins"])
    for stray in found["strays"]:
        output.warn(stray)
    cache = found["cache"]
    state = "writable" if cache["writable"] else "not writable"
    free = "unknown" if cache["free"] is None else size(cache["free"])
    output.say("\ncache", style="bold")
    output.say(f"{output.safe(cache['folder'], _LINE)}: {state}, {size(cache['bytes'])} used, {free} free")
    output.say()
    rows = [(name, "installed" if one["installed"] else one["install"]) for name, one in found["extras"].items()]
    output.table("optional parts", ("part", "state"), rows)
    _show_terminal(found["terminal"])
    output.say()
    for problem in problems:
        output.say(f"broken: {output.safe(problem, _LINE)}", style="red")
    if not problems:
        output.say("all is well", style="green")


def _show_plugins(plugins: list[dict[str, str]]) -> None:
    """How many there are in which state; those by name that are not ours, or not as they should be."""
    states = [one["state"] for one in plugins]
    counts = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    rows = [
        (one["kind"], one["name"], f"{one['distribution']} {one['version']}", one["state"], one["why"])
        for one in plugins
        if one["distribution"] != FIRST_PARTY or one["state"] not in ("available", "loaded")
    ]
    output.say("\nplugins and presets", style="bold")
    output.say(f"{counts or 'none'}; `ktoformats plugin list` names all")
    if rows:
        output.table("", ("kind", "name", "from", "state", "why"), rows)


def _show_terminal(terminal: dict[str, Any]) -> None:
    output.say("\nterminal", style="bold")
    what = "a terminal" if terminal["is_terminal"] else "no terminal (a pipe or a file)"
    colour = "colours" if terminal["colour"] else "no colours"
    output.say(f"{what}, {colour}, {output.safe(terminal['encoding'])}")
    for name, value in terminal["variables"].items():
        output.say(f"{name}={output.safe(value)}")
