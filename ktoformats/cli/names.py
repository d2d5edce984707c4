"""What a shell offers for the words of a command: files, and the names of what is installed."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from click.shell_completion import CompletionItem

if TYPE_CHECKING:
    from collections.abc import Callable

    import click

    Offer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]

_PLAIN: Final = re.compile(r"[\w.+-]+\Z")
"""Other names, which metadata may hold, would be read by the shell as something else."""


def installed(*kinds: str, more: tuple[str, ...] = ()) -> Offer:
    """Offers the installed names of these kinds (none: of every kind) that may load; only metadata is read.

    Args:
        kinds: Of plugins, or `preset`.
        more: Other words that may stand there.
    """

    def offer(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
        del ctx, param
        from ktoformats.plugin.discovery import discover

        found = {one.name for one in discover() if one.allowed and (one.kind in kinds or not kinds)}
        names = sorted(name for name in {*found, *more} if _PLAIN.match(name))
        return [CompletionItem(name) for name in names if name.startswith(incomplete)]

    return offer


def files(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Lets the shell offer files, where an argument may be something else as well and so has no type of click's."""
    del ctx, param
    return [CompletionItem(incomplete, type="file")]
