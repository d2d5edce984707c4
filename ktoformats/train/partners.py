"""KL partners: for each sample an answer that belongs to another one.

KTO estimates how far the model has moved by answers that do not belong to their prompts (arXiv 2402.01306, section
4.2: x' with a random y'). An answer to the same prompt, or the same text, is no mismatch, and a sample's own answer
turns the estimate into its own reward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from ktoformats.store.numbers import Array

NEAR: Final = 256
"""Partners looked at one after the other; only a prompt or a text with a large share of all rows needs more."""

ALONE: Final = "there is no other sample"
ALONE_IN_BATCH: Final = "it is alone in its batch"
ONE_PROMPT: Final = "all other samples answer the same prompt"
ONE_TEXT: Final = "all answers to other prompts have the same text"


def find_partners(asked: Array, answer: Array) -> Array:
    """The place of each row's KL partner: the next one that answers another prompt in another text, round and round.

    Nearly every row is the partner of one other. The choice depends on the order alone, not on batches.

    Args:
        asked: uint64, shape (n,), a hash of what was asked, in training order.
        answer: uint64, shape (n,), a hash of each answer.

    Returns:
        int64, shape (n,): places; -1 where there is no such row at all.
    """
    n = len(asked)
    found = np.full(n, -1, np.int64)
    seeking = np.arange(n)
    for step in range(1, min(n, NEAR + 1)):
        places = seeking + step
        places[places >= n] -= n
        fits = (asked[places] != asked[seeking]) & (answer[places] != answer[seeking])
        found[seeking[fits]] = places[fits]
        seeking = seeking[~fits]
        if not len(seeking):
            return found
    if n > NEAR:
        _seek_afar(found, seeking, asked, answer)
    return found


def why_none(asked: Array) -> str:
    """Why a row has no partner among rows that ask this."""
    if len(asked) == 1:
        return ALONE
    return ONE_TEXT if (asked != asked[0]).any() else ONE_PROMPT


def is_partner(asked: Array, answer: Array, rows: Array, partners: Array) -> Array:
    """Bool per row: whether a partner is one that KTO can learn from."""
    fits: Array = (partners >= 0) & (asked[rows] != asked[partners]) & (answer[rows] != answer[partners])
    return fits


def _seek_afar(found: Array, seeking: Array, asked: Array, answer: Array) -> None:
    """Look past the rows of a prompt, or of a text, that has so many of them."""
    prompt_is_frequent = _counts(asked)[seeking] >= _counts(answer)[seeking]
    for frequent, other, rows in (
        (asked, answer, seeking[prompt_is_frequent]),
        (answer, asked, seeking[~prompt_is_frequent]),
    ):
        for value in np.unique(frequent[rows]):
            own = rows[frequent[rows] == value]
            _seek_among(np.flatnonzero(frequent != value), found, own, other)


def _seek_among(candidates: Array, found: Array, seeking: Array, other: Array) -> None:
    """Take the next of the candidates (ascending) that differs in the other column, too."""
    for step in range(min(len(candidates), NEAR)):
        places = candidates[(np.searchsorted(candidates, seeking) + step) % len(candidates)]
        fits = other[places] != other[seeking]
        found[seeking[fits]] = places[fits]
        seeking = seeking[~fits]
        if not len(seeking):
            return
    for value in np.unique(other[seeking]) if len(candidates) > NEAR else ():
        left = candidates[other[candidates] != value]
        own = seeking[other[seeking] == value]
        if len(left):
            found[own] = left[np.searchsorted(left, own) % len(left)]


def _counts(values: Array) -> Array:
    """How often each row's value stands there."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    frequency: Array = counts[inverse]
    return frequency
