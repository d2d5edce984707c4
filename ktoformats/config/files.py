"""YAML, bounded: the safe subset, no aliases, no repeated keys, limited in size and depth."""

from __future__ import annotations

import re
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from yaml.composer import Composer

from ktoformats.errors import ConfigError

if TYPE_CHECKING:
    from os import PathLike

MAX_BYTES: Final = 1 << 20
MAX_DEPTH: Final = 20
MAX_NODES: Final = 10_000
_WIDTH: Final = 100
_BIDI: Final = re.compile("[\u200e\u200f\u202a-\u202e\u2066-\u2069\u061c]")


_BOOL: Final = "tag:yaml.org,2002:bool"


class _Loader(yaml.SafeLoader):
    """SafeLoader that refuses what a configuration never needs, and takes `on`, `yes` and `no` for words."""

    _depth = 0
    _nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        if self.check_event(yaml.AliasEvent):
            self._refuse("aliases (*name) are not allowed; write the value out")
        self._nodes += 1
        self._depth += 1
        if self._depth > MAX_DEPTH or self._nodes > MAX_NODES:
            self._refuse(f"more than {MAX_DEPTH} levels or {MAX_NODES} values")
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:  # noqa: FBT001, FBT002
        seen = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode) or key.tag != "tag:yaml.org,2002:str":
                shown = getattr(key, "value", "") if isinstance(key, yaml.ScalarNode) else "a list or mapping"
                message = f"key {shown!r} is no text; put it in quotes"
                raise yaml.constructor.ConstructorError(None, None, message, key.start_mark)
            if key.value in seen:
                raise yaml.constructor.ConstructorError(None, None, f"key {key.value!r} stands twice", key.start_mark)
            seen.add(key.value)
        return super().construct_mapping(node, deep)

    def _refuse(self, message: str) -> None:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        raise yaml.composer.ComposerError(None, None, message, event.start_mark)


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
# YAML 1.2: nothing else is a truth value
_Loader.add_implicit_resolver(_BOOL, re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), list("tTfF"))


_ODD: Final = (ValueError, KeyError, IndexError, AttributeError, TypeError, RecursionError)
"""What PyYAML raises at odd dates and tags."""


@cache
def _quick_loader() -> Any:
    """The same over libyaml's parser, which takes a fifth of the time, where PyYAML was built with it."""
    if not yaml.__with_libyaml__:
        return _Loader

    class Quick(yaml.CSafeLoader, _Loader):
        get_single_node = Composer.get_single_node
        """Not that of libyaml, which would ask nobody about the nodes."""

        def __init__(self, stream: str) -> None:
            super().__init__(stream)
            Composer.__init__(self)

    return Quick


def parse_yaml(text: str, name: str, *, quick: bool = False) -> Any:
    """Parse YAML text.

    Args:
        text: The text.
        name: What to call it in errors.
        quick: Take libyaml's parser if it is there, which is worth it where much is read. What it refuses is read
            again, so errors are the same.

    Raises:
        ConfigError: It is not YAML of the allowed subset; the message names line and column.
    """
    if quick:
        with suppress(yaml.YAMLError, *_ODD):
            return _quick_loader()(text).get_single_data()
    try:
        return _Loader(text).get_single_data()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{name}, line {mark.line + 1}, column {mark.column + 1}" if mark else name
        raise ConfigError(f"{place}: {getattr(error, 'problem', None) or error}") from error
    except _ODD as error:
        raise ConfigError(f"{name}: {error}") from error


def read_yaml(path: str | PathLike[str], *, quick: bool = False) -> dict[str, Any]:
    """Read a YAML file that holds a mapping; `quick` as for `parse_yaml`.

    Raises:
        ConfigError: The file is missing, too large, not UTF-8, not a mapping, or not allowed YAML.
    """
    file = Path(path)
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    if len(data) > MAX_BYTES:
        raise ConfigError(f"{path}: larger than {MAX_BYTES} bytes; is this really a configuration?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 ({error.reason} at byte {error.start})") from error
    values = parse_yaml(text, str(path), quick=quick)
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise ConfigError(f"{path}: expected `key: value` lines at the top, got {type(values).__name__}")
    return values


class _Dumper(yaml.SafeDumper):
    """Texts with line ends and other invisible characters on one line, as escapes."""


def _yaml_text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=None if text.isprintable() else '"')


_Dumper.add_representer(str, _yaml_text)
_Dumper.ignore_aliases = lambda *_: True  # type: ignore[method-assign] # configurations know no aliases


def as_yaml(value: dict[str, Any]) -> str:
    """A value as YAML, short lists and mappings on one line."""
    style: dict[str, Any] = {"default_flow_style": None, "sort_keys": False, "allow_unicode": True}
    text = str(yaml.dump(value, Dumper=_Dumper, width=_WIDTH, **style))
    return _BIDI.sub(lambda found: f"\\u{ord(found[0]):04x}", text)  # in double quotes, as all that is invisible
