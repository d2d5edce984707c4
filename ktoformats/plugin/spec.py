"""The whole extension contract: three hooks.

A plugin module is named by an entry point of its kind's group (`ktoformats.formats`, `.labels`, `.quality`,
`.utilities`, `.filters`, `.exporters`); the entry point's key is the plugin's name. pluggy is called when a
loader is assembled and on events, never per sample.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ktoformats.plugin.kinds import Plugin

PROJECT = "ktoformats"

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)


@hookspec
def ktoformats_plugins() -> list[type[Plugin]]:  # type: ignore[empty-body]
    """Return this module's plugin classes: exactly one of the kind whose group names the module."""


@hookspec
def ktoformats_record_rejected(source: str, line: int, reason: str, field: str, message: str) -> None:
    """Hear of one rejected record, once, while it is rejected.

    Calls come in the process that builds, in source order, for any number of workers. What is opened from the cache
    rejects nothing anew; a build that was ended and goes on tells of what it still has to convert.

    Args:
        source: The file, as the user named it.
        line: The 1-based line (or array element) of the record.
        reason: The reason code.
        field: The field the trouble is in, or an empty string.
        message: What was seen and what was expected.
    """


@hookspec
def ktoformats_dataset_built(split: str, report: Mapping[str, Any]) -> None:
    """Hear of one finished build, before anything of it is published.

    Of one that was opened from the cache, too: `report["cached"]` says so, and counts what was rejected when it was
    built.

    Args:
        split: `train`, `validation` or `test`; the command `convert` builds `train`.
        report: The accounting, as it is written to the manifest.
    """
