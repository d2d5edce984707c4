"""Bars for scripts and notebooks: how much is done, how fast, how long yet. Nothing is shown where nobody looks."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar

from ktoformats.page.text import plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

    from ktoformats.store.build import Progress

    Counting = Callable[[int, int], None]

_DELAY_S: Final = 1.0
"""What takes no longer shows no bar."""
_NAME: Final = 40
_Tell = TypeVar("_Tell")


def is_looked_at() -> bool:
    """Whether standard error is a terminal, or this is a notebook."""
    return "ipykernel" in sys.modules or (sys.stderr is not None and sys.stderr.isatty())


def shown(
    given: _Tell | Literal[False] | None, bar: Callable[[], AbstractContextManager[_Tell]]
) -> AbstractContextManager[_Tell | None]:
    """What is told how far a work is: what was given; else, unless that is False, a bar where somebody looks."""
    if given is not None:
        return nullcontext(given or None)
    return bar() if is_looked_at() else nullcontext()


@contextmanager
def reading(named: Iterable[Any]) -> Iterator[Progress]:
    """A bar over the bytes of files.

    Args:
        named: What is read, as it was named, one or several at a time; the sizes of plain files are known at once, of
            others when they begin.

    Yields:
        What is called after every block with (source, records, bytes read).
    """
    words = [word for one in named for word in ([one] if isinstance(one, str | os.PathLike) else one or ())]
    known = {str(word): size for word in words if (size := _size_of(word)) is not None}
    with _bar("reading", sum(known.values()) or None, unit="B", unit_scale=True) as bar:
        yield _Reading(bar, known)


class _Reading:
    """Moves a bar over the bytes of several files, one after the other."""

    def __init__(self, bar: Any, known: dict[str, int]) -> None:
        self._bar, self._known = bar, known
        self._source = ""
        self._before = self._inside = 0

    def __call__(self, source: str, records: int, bytes_read: int) -> None:
        del records
        if source != self._source:
            self._before += self._inside
            self._source, self._inside = source, 0
            self._bar.set_description_str(plain(Path(source).name[-_NAME:]), refresh=False)
            if source not in self._known and (size := _size_of(source)) is not None:
                self._bar.total = (self._bar.total or 0) + size
        self._inside = max(self._inside, bytes_read)
        self._bar.update(self._before + self._inside - self._bar.n)


@contextmanager
def counting(what: str, unit: str) -> Iterator[Counting]:
    """A bar over things that are counted.

    Yields:
        What is called with how many are done, and of how many; where these are fewer than before, it begins anew.
    """
    with _bar(what, None, unit=unit) as bar:

        def tell(done: int, total: int) -> None:
            if done < bar.n or bar.total is None:  # other work, or the same once more
                bar.reset(total)
            bar.update(done - bar.n)

        yield tell


def _bar(what: str, total: int | None, **options: Any) -> Any:
    from tqdm.auto import tqdm  # the one that notebooks draw, where this is one

    return tqdm(desc=what, total=total, delay=_DELAY_S, leave=False, **options)


def _size_of(named: Any) -> int | None:
    """The bytes of a plain file; None of anything else, and of one that goes away meanwhile."""
    with suppress(OSError, TypeError, ValueError):
        path = Path(named)
        return path.stat().st_size if path.is_file() else None
    return None
