"""Presets: options of a format under a name, kept in data files that anybody may install.

A preset's file is found through its distribution's entry point and read as data; nothing of it is imported.
"""

from __future__ import annotations

import re
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

from pydantic import BaseModel, ConfigDict, ValidationError

from ktoformats.config.files import read_yaml
from ktoformats.errors import ConfigError, PluginLoadError
from ktoformats.plugin.discovery import PRESET

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ktoformats.plugin.discovery import Found
    from ktoformats.plugin.registry import Registry

_DETECT: Final = "detect"
OPTION: Final = "preset"
"""The option that names a preset, in the options of any format."""
_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}\Z")


class About(BaseModel):
    """What a preset's file says beside its options."""

    model_config: ClassVar[ConfigDict] = ConfigDict(extra="forbid")

    title: str
    about: str = ""
    example: list[Any] = []
    gives: list[tuple[str, str, str]] = []
    """Prompt, response and label of every sample that the example gives."""


class Preset(NamedTuple):
    """A preset, read."""

    name: str
    owner: str
    """Distribution and version."""
    format: str
    options: dict[str, Any]
    about: About
    path: Path

    @property
    def is_detected(self) -> bool:
        """Whether it says by which shape it is known."""
        return _DETECT in self.options


def load_preset(registry: Registry, name: str) -> Preset:
    """Read the preset of this name.

    Raises:
        PluginNotFoundError: None is installed; close names are suggested.
        PluginConflictError: Two distributions have one of this name.
        PluginLoadError: It is blocked, or its file is missing or wrong.
    """
    return read_preset(registry.find(PRESET, name))


def read_preset(one: Found) -> Preset:
    """Read a preset that was found; see `load_preset`."""
    path = _file_of(one)
    return _read(one, path, path.stat().st_mtime_ns)


def detected_presets(registry: Registry) -> list[Preset]:
    """The first-party presets that say by which shape they are known."""
    paths = [(one, _file_of(one)) for one in registry.first_party(PRESET)]
    likely = [one for one, path in paths if _DETECT in path.read_text(encoding="utf-8")]  # parsing costs far more
    return [preset for preset in map(read_preset, likely) if preset.is_detected]


@lru_cache(maxsize=1024)
def _read(one: Found, path: Path, changed: int) -> Preset:  # noqa: ARG001 - a file that changed is read again
    try:
        values = read_yaml(path, quick=True)
        formats = [key for key in values if key not in About.model_fields]
        if len(formats) != 1 or not isinstance(values[formats[0]], dict):
            raise ConfigError(f"{path}: expected one format with its options, got {', '.join(formats) or 'none'}")
        about = About(**{key: value for key, value in values.items() if key != formats[0]})
    except (ConfigError, ValidationError) as error:
        message = f"preset {one.name!r} of {one.owner} cannot be read ({error})"
        raise PluginLoadError(message, kind=PRESET, plugin=one.name) from error
    return Preset(one.name, one.owner, formats[0], values[formats[0]], about, path)


def _file_of(one: Found) -> Path:
    """The file, looked for beside the code of the distribution's package, which is not imported."""
    top, *inner = one.module.split(".")
    try:
        spec = find_spec(top) if _NAME.match(one.name) else None
    except (ImportError, ValueError):
        spec = None
    for folder in (spec.submodule_search_locations if spec else None) or []:
        path = Path(folder, *inner, f"{one.name}.yaml")
        if path.is_file():
            return path
    message = f"preset {one.name!r} of {one.owner}: there is no file {one.name}.yaml in package {one.module!r}"
    raise PluginLoadError(message, kind=PRESET, plugin=one.name)


def patched(options: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Options with others merged in, as JSON Merge Patch (RFC 7396) has it: objects merge, null removes."""
    merged = dict(options)
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        elif isinstance(value, dict):
            inner = merged.get(key)
            merged[key] = patched(inner if isinstance(inner, dict) else {}, value)
        else:
            merged[key] = value
    return merged


def with_preset(registry: Registry, name: str, options: Mapping[str, Any]) -> tuple[dict[str, Any], Preset | None]:
    """The options of a format, those of the preset that they name among them.

    Raises:
        ConfigError: The preset is one for another format.
        PluginError: As `load_preset`.
    """
    if OPTION not in options:
        return dict(options), None
    preset = load_preset(registry, str(options[OPTION]))
    if preset.format != name:
        raise ConfigError(f"preset {preset.name!r} is for format {preset.format!r}, not for {name!r}")
    return patched(preset.options, {key: value for key, value in options.items() if key != OPTION}), preset
