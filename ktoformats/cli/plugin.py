"""`ktoformats plugin`."""

from __future__ import annotations

from typing import Final

import click

from ktoformats.cli.lazy import Entry, Lazy

_COMMANDS: Final = {
    "check": Entry("ktoformats.cli.check:check_plugin", "Try the laws of plugins on what is installed."),
    "list": Entry("ktoformats.cli.listing:list_plugins", "List every installed plugin."),
    "new": Entry("ktoformats.cli.new:command", "Make the distribution of a new plugin."),
    "presets": Entry("ktoformats.cli.listing:presets", "List the installed presets, or print one."),
}


@click.group(cls=Lazy, entries=_COMMANDS)
def command() -> None:
    """See what is installed, check it, and begin a plugin of your own.

    \b
    Examples:
      ktoformats plugin list
      ktoformats plugin presets arena
      ktoformats plugin new votes --kind format
    """  # noqa: D301 - \b keeps click from joining the lines
