"""What a law is, and how one is told: it holds, it is broken, or what it needs is missing."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from ktoformats.errors import KtoFormatsError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.testing.subject import Subject

HOLDS, BROKEN, OPEN = "holds", "broken", "open"


class LawBrokenError(AssertionError):
    """A plugin breaks a law; the message says what was seen and what its author should change."""


class LawOpenError(AssertionError):
    """Nobody can tell whether a law holds, because the plugin gives nothing to try it on."""


class Law(NamedTuple):
    """One thing that must hold for every plugin of some kinds."""

    name: str
    text: str
    """What must hold, in one sentence."""
    kinds: tuple[str, ...]
    quick: bool
    """Whether it is tried by `ktoformats plugin check`; the others start processes of their own."""
    run: Callable[[Subject], str | None]
    """Raises where it does not hold; may return a remark."""


class Verdict(NamedTuple):
    """What became of one law."""

    law: str
    state: str
    """`holds`, `broken`, or `open`: there was nothing to try it on."""
    message: str
    """What was seen and what to change, or a remark; may be empty."""


LAWS: dict[str, Law] = {}
"""Every law by its name, in the order in which they are tried."""


def law(*kinds: str, quick: bool = True) -> Callable[[Callable[[Subject], str | None]], Law]:
    """Make a function a law of these kinds; its docstring is the text."""

    def make(run: Callable[[Subject], str | None]) -> Law:
        name = run.__name__.strip("_")
        made = Law(name, " ".join((run.__doc__ or "").split()), kinds, quick, run)
        LAWS[name] = made
        return made

    return make


def tried(one: Law, subject: Subject) -> Verdict:
    """Try a law on a plugin."""
    try:
        remark = one.run(subject)
    except LawBrokenError as error:
        return Verdict(one.name, BROKEN, str(error))
    except LawOpenError as error:
        return Verdict(one.name, OPEN, str(error))
    except KtoFormatsError as error:  # what users would meet is what the author is told
        return Verdict(one.name, BROKEN, str(error))
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001 - a law that stumbles over a plugin must not cost the other laws
        place = traceback.extract_tb(error.__traceback__)[-1]
        where = f"{Path(place.filename).name}, line {place.lineno}"
        return Verdict(one.name, BROKEN, f"it fails ({type(error).__name__}: {error}) in {where}")
    return Verdict(one.name, HOLDS, remark or "")


def is_code(reason: str) -> bool:
    """Whether a reason is a code such as `too_short`."""
    return reason.replace("_", "").isalnum() and reason == reason.lower()


def short(value: object, limit: int = 160) -> str:
    """A value as messages show it."""
    text = repr(value)
    return text if len(text) <= limit else text[: limit - 3] + "..."
