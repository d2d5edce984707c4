"""The laws by kind, and a check of what is installed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ktoformats.testing import common, exporters, formats, labels, scores
from ktoformats.testing.law import HOLDS, LAWS, Verdict, tried

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.testing.law import Law
    from ktoformats.testing.subject import Subject

MODULES = (common, formats, labels, scores, exporters)
"""Where laws stand; importing them fills `LAWS`."""
FIRST = "registered"
"""What does not hold this law cannot be asked about any other."""


def laws_for(kind: str, *, quick: bool = False) -> list[Law]:
    """The laws of a kind, in the order in which they are tried."""
    return [one for one in LAWS.values() if kind in one.kinds and (one.quick or not quick)]


def check(subject: Subject, *, quick: bool = True) -> Iterator[Verdict]:
    """Try the laws on an installed plugin.

    Args:
        subject: The plugin.
        quick: Leave out the laws that start processes or take seconds.

    Yields:
        A verdict for each law; after a plugin that cannot be loaded there are no others.
    """
    for law in laws_for(subject.kind, quick=quick):
        verdict = tried(law, subject)
        yield verdict
        if verdict.state != HOLDS and law.name == FIRST:
            return
