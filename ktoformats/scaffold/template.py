"""Templates: files of this package in which names follow a dollar sign."""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def filled(name: str, values: Mapping[str, str]) -> str:
    """A template with its names filled in, such as `common/README.md`."""
    text = files(__package__).joinpath("templates", f"{name}.tmpl").read_text(encoding="utf-8")
    return Template(text).substitute(values)
