"""Putting something else in the place of a function, by its name: `module:Class.method`."""

from __future__ import annotations

import importlib
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def put(target: str, value: Any) -> None:
    """Put a value there."""
    wrap(target, lambda _: value)


def wrap(target: str, make: Callable[[Any], Any]) -> None:
    """Put there what is made of what was there."""
    module, _, names = target.partition(":")
    *owners, name = names.split(".")
    owner: Any = importlib.import_module(module)
    for one in owners:
        owner = getattr(owner, one)
    inner = getattr(owner, name)  # a target that is gone is an error: what it should show would not be shown
    setattr(owner, name, make(inner))


def around(
    target: str,
    nth: int = 0,
    *,
    before: Callable[[], None] | None = None,
    after: Callable[[], None] | None = None,
    always: Callable[[], None] | None = None,
) -> None:
    """Have something happen before or after the n-th call of a function, or before each."""

    def make(inner: Callable[..., Any]) -> Callable[..., Any]:
        calls = 0

        def wrapped(*args: Any, **options: Any) -> Any:
            nonlocal calls
            calls += 1
            if always:
                always()
            if calls == nth and before:
                before()
            made = inner(*args, **options)
            if calls == nth and after:
                after()
            return made

        return wrapped

    wrap(target, make)


def await_file(path: str) -> None:
    """Wait until somebody has made a file."""
    while not Path(path).exists():
        time.sleep(0.001)
