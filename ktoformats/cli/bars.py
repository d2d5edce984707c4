"""A bar for work that is counted: how much of it is done, how fast it goes, how long it takes yet."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from ktoformats.cli import output

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


@contextmanager
def steps(what: str, total: int | None, *, shown: bool, in_bytes: bool = False) -> Iterator[Callable[[int], None]]:
    """A progress bar on standard error, where that is a terminal.

    Args:
        what: What is done, in a word.
        total: How much there is to do; None where nobody knows.
        shown: False shows none, whatever standard error is.
        in_bytes: Whether it is bytes that are counted.

    Yields:
        What is called with how much more of it is done.
    """
    if not shown or not output.draws_bars():
        yield lambda _: None
        return
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    rate = TransferSpeedColumn() if in_bytes else TextColumn("{task.fields[rate]}")
    columns = (TextColumn("{task.description}"), BarColumn(), rate, TimeRemainingColumn())
    with Progress(*columns, console=output.console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total, rate="")

        def step(done: int) -> None:
            bar.advance(task, done)
            bar.update(task, rate=f"{bar.tasks[0].speed or 0:,.0f}/s")

        yield step
