"""`KTOFORMATS_TRACE=1`: every hook call on standard error, with who implements it and what came back."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pluggy

TRACE_VARIABLE: Final = "KTOFORMATS_TRACE"
_SHOWN: Final = 200


def trace(manager: pluggy.PluginManager) -> None:
    """Show the hook calls of a manager, if the environment asks for it."""
    if os.environ.get(TRACE_VARIABLE, "") not in ("", "0"):
        manager.add_hookcall_monitoring(_before, _after)


def _before(name: str, implementations: Sequence[pluggy.HookImpl], facts: Mapping[str, Any]) -> None:
    given = ", ".join(f"{key}={_shown(value)}" for key, value in facts.items())
    _say(f"{name}({given})")
    for one in implementations:
        _say(f"  {one.plugin_name}")
    if not implementations:
        _say("  nobody listens")


def _after(
    outcome: pluggy.Result[Any], name: str, implementations: Sequence[pluggy.HookImpl], facts: Mapping[str, Any]
) -> None:
    del implementations, facts
    error = outcome.exception
    _say(f"  {name} -> {_shown(outcome.get_result())}" if error is None else f"  {name} failed: {_shown(error)}")


def _shown(value: object) -> str:
    """A value on one line; control characters and marks of direction stay escapes."""
    text = ascii(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _say(text: str) -> None:
    sys.stderr.write(f"ktoformats: {text}\n")
