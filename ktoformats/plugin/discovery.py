"""What is installed, read from metadata alone: nothing is imported here."""

from __future__ import annotations

import os
import re
from importlib.metadata import EntryPoint, distributions, entry_points
from typing import Final, NamedTuple

GROUPS: Final[dict[str, str]] = {
    "format": "ktoformats.formats",
    "labels": "ktoformats.labels",
    "quality": "ktoformats.quality",
    "utility": "ktoformats.utilities",
    "filter": "ktoformats.filters",
    "exporter": "ktoformats.exporters",
}
"""Kind to entry-point group."""
ALLOW_VARIABLE: Final = "KTOFORMATS_PLUGINS"
"""Comma-separated names of plugins or distributions that may load; empty allows first-party ones only."""
FIRST_PARTY: Final = "ktoformats"
PRESET: Final = "preset"
"""What presets are found as; they are data, and no kind of plugin."""
OBSERVER: Final = "observer"
"""What modules are found as that only listen to events; they have no class, and no options."""
GROUP_OF: Final = {**GROUPS, PRESET: "ktoformats.presets", OBSERVER: "ktoformats.observers"}
"""The entry-point group of each kind, and of what is none."""


class Found(NamedTuple):
    """One plugin as its distribution's metadata declares it."""

    kind: str
    name: str
    module: str
    distribution: str
    version: str
    allowed: bool
    entry_point: EntryPoint

    @property
    def first_party(self) -> bool:
        """Whether it ships with ktoformats."""
        return self.distribution == FIRST_PARTY

    @property
    def owner(self) -> str:
        """Distribution and version, for messages."""
        return f"{self.distribution} {self.version}".strip()


def discover() -> tuple[Found, ...]:
    """List every installed plugin and preset, sorted by kind, name and distribution."""
    allowed = os.environ.get(ALLOW_VARIABLE)
    names = None if allowed is None else {part.strip() for part in allowed.split(",")} - {""}
    names = names and names | {_normal(name) for name in names}
    installed, owners = entry_points(), _Owners()
    found = [
        _found(kind, point, owners.of(point), names)
        for kind, group in GROUP_OF.items()
        for point in installed.select(group=group)
    ]
    return tuple(sorted(set(found), key=lambda one: (one.kind, one.name, one.distribution, one.module)))


def strays() -> list[str]:
    """What is registered under a group of ours that does not exist: a typo in somebody's metadata."""
    known = set(GROUP_OF.values())
    groups = ", ".join(sorted(known))
    found = set()
    for dist in distributions():
        for point in dist.entry_points:
            if point.group.startswith("ktoformats.") and point.group not in known:
                found.add(
                    f"{dist.name} registers {point.name!r} in the group {point.group!r}, which nobody reads; "
                    f"groups are {groups}"
                )
    return sorted(found)


class _Owners:
    """Name and version of distributions; the metadata of each is read once, though it may declare many plugins."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[str, str]] = {}

    def of(self, point: EntryPoint) -> tuple[str, str]:
        dist = point.dist
        if dist is None:
            return "an unnamed distribution", ""
        if id(dist) not in self._known:
            self._known[id(dist)] = (dist.name or "an unnamed distribution", dist.version or "")
        return self._known[id(dist)]


def _found(kind: str, point: EntryPoint, owner: tuple[str, str], allowed: set[str] | None) -> Found:
    distribution, version = owner
    free = allowed is None or distribution == FIRST_PARTY or bool({point.name, _normal(distribution)} & allowed)
    return Found(kind, point.name, point.value, distribution, version, free, point)


def _normal(distribution: str) -> str:
    """The name as package indexes compare it: `My_Plugins` and `my-plugins` are one distribution."""
    return re.sub(r"[-_.]+", "-", distribution).lower()
