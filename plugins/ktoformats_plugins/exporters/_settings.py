"""Settings of trainers, as the lines of a file or of a command."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ktoformats import Written


def epochs_of(written: Written) -> int | None:
    """What a trainer is told of epochs: one, where the file holds several; else nothing."""
    return 1 if written.epochs > 1 else None


def yaml_lines(values: Mapping[str, Any], *notes: str) -> str:
    """Values that are not None as YAML, below notes."""
    given = {name: value for name, value in values.items() if value is not None}
    text: str = yaml.safe_dump(given, sort_keys=False, allow_unicode=True)
    return "".join(f"# {note}\n" for note in notes) + text


def arguments(values: Mapping[str, Any]) -> str:
    """Arguments of a command, one a line; those that are None are left out, and True is a switch."""
    given = [
        f"--{name}" if value is True else f"--{name} {value}" for name, value in values.items() if value is not None
    ]
    return " \\\n".join(given) + "\n"
