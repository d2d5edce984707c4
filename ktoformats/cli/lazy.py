"""Groups of commands that import a command's module when it is named, so that every command starts quickly."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, NamedTuple

import click

if TYPE_CHECKING:
    from collections.abc import Mapping

    from click.shell_completion import CompletionItem


class Entry(NamedTuple):
    """A command that is not imported yet."""

    place: str
    """`module:name`."""
    text: str
    """What the group's help says of it."""


class Suggesting(click.Group):
    """A group of commands; a misspelt one is answered with a close name."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find one, or tell what it may have been meant to be."""
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            if args[0].startswith("-"):
                raise  # an option that nobody knows, which click tells
            from ktoformats.plugin.faults import suggest

            message = f"No such command {args[0]!r}{suggest(args[0], self.list_commands(ctx))}"
            raise click.UsageError(message, ctx) from error


class Lazy(Suggesting):
    """A group of such commands.

    Args:
        entries: The commands by name.
    """

    def __init__(self, *args: Any, entries: Mapping[str, Entry], **options: Any) -> None:
        super().__init__(*args, **options)
        self.entries = dict(entries)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names, sorted."""
        del ctx
        return sorted(self.entries)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one."""
        del ctx
        if name not in self.entries:
            return None
        module, _, attribute = self.entries[name].place.partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """The names of commands that begin so, none imported; and what else may stand there."""
        from click.shell_completion import CompletionItem as Item

        names = [
            Item(name, help=entry.text) for name, entry in sorted(self.entries.items()) if name.startswith(incomplete)
        ]
        return [*names, *click.Command.shell_complete(self, ctx, incomplete)]

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Tell what each does, none imported."""
        del ctx
        with formatter.section("Commands"):
            formatter.write_dl([(name, entry.text) for name, entry in sorted(self.entries.items())])
