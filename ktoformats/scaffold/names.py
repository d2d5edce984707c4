"""What a new distribution, its module and its class are called, and whether anybody is called so already."""

from __future__ import annotations

import builtins
import keyword
import re
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import TYPE_CHECKING, Final, NamedTuple

import ktoformats
from ktoformats.convert.assemble import DEFAULT_FORMATS
from ktoformats.errors import ConfigError
from ktoformats.plugin.discovery import GROUP_OF, GROUPS, OBSERVER, PRESET

if TYPE_CHECKING:
    from ktoformats.plugin.registry import Registry

FORMAT_KIND: Final = "format"
PRESETS: Final = "presets"
"""The kind that is no code."""
KINDS: Final = (*GROUPS, PRESETS, OBSERVER)
PREFIX: Final = "ktoformats-"
"""How the names of distributions begin."""

_NAME: Final = re.compile(r"[a-z0-9]+(?:-[a-z0-9]+)*\Z")
_LONGEST: Final = 40
"""So that no line of a template outgrows its width."""
_USED_IN_TEMPLATES: Final = frozenset(
    ["Annotated", "Any", "ClassVar", "Final", "Iterable", "Iterator", "Literal", "Path", "Phrase", "Field"]
)


class Names(NamedTuple):
    """What is called how."""

    kind: str
    """One of `KINDS`."""
    plugin: str
    distribution: str
    module: str
    cls: str

    @property
    def found_as(self) -> str:
        """The kind, as the registry has it."""
        return PRESET if self.kind == PRESETS else self.kind

    @property
    def main_file(self) -> str:
        """The file that the plugin stands in."""
        return f"{self.module}/{self.plugin}.yaml" if self.kind == PRESETS else f"{self.module}/__init__.py"

    @property
    def group(self) -> str:
        """The entry-point group."""
        return GROUP_OF[self.found_as]


def names_of(kind: str, name: str) -> Names:
    """The names that follow from the one that was given; `ktoformats-votes` is `votes`.

    Raises:
        ConfigError: It is no name for a plugin.
    """
    plugin = name.removeprefix(PREFIX)
    if not _NAME.match(plugin) or len(plugin) > _LONGEST:
        raise ConfigError(
            f"{name!r} is no name for a plugin: expected lower-case letters, digits and single hyphens between them, "
            f"{_LONGEST} characters at most, such as side-by-side"
        )
    if kind == FORMAT_KIND and plugin == DEFAULT_FORMATS:
        raise ConfigError(f"{name!r} stands for the formats that are on by default; take another name")
    return Names(kind, plugin, PREFIX + plugin, f"ktoformats_{plugin.replace('-', '_')}", _class_name(kind, plugin))


def _class_name(kind: str, plugin: str) -> str:
    """`side-by-side` is SideBySide; what Python or the module means by it already gets its kind beside it."""
    cls = "".join(part.capitalize() for part in plugin.split("-"))
    own = kind.capitalize()
    if not cls.isidentifier():
        return own + cls
    is_taken = keyword.iskeyword(cls) or hasattr(builtins, cls) or cls in _USED_IN_TEMPLATES
    return cls + own if is_taken or cls in ktoformats.__all__ else cls


def refuse_taken(names: Names, registry: Registry) -> None:
    """Refuse a name that an installed plugin or package has.

    Raises:
        ConfigError: It is taken; the message says by whom.
    """
    found = registry.statuses() + registry.statuses(presets=True)
    owners = [f"{one.distribution} {one.version}" for one in found if (one.kind, one.name) == _key(names)]
    if owners:
        raise ConfigError(
            f"{names.found_as} {names.plugin!r} is installed already, by {' and '.join(owners)}; take another name, "
            "or uninstall it first"
        )
    if find_spec(names.module) is not None:
        raise ConfigError(
            f"a package {names.module!r} is installed already{_owner_of(names.distribution)}; a second one of this "
            "name would hide it: take another name"
        )


def _key(names: Names) -> tuple[str, str]:
    return names.found_as, names.plugin


def _owner_of(distribution: str) -> str:
    try:
        return f", by {distribution} {version(distribution)}"
    except PackageNotFoundError:
        return ""
