"""Parts of one set of samples: which go to training, to validation and to the test.

What belongs together is never torn apart, or a model is asked about what it was trained on: samples with one first
user turn (`group`), and samples of one conversation (`origin`). Everything here is a pure function of arrays.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ktoformats.errors import ConfigError
from ktoformats.plugin.faults import suggest
from ktoformats.store.mixing import mix

if TYPE_CHECKING:
    from collections.abc import Mapping

Array = np.ndarray[Any, np.dtype[Any]]

_EXAMPLE: Final = "train=0.9,validation=0.1"
PARTS: Final = ("train", "validation", "test")
"""The parts that may be named, the one first that is the rest where it is not named."""
_EXACT: Final = 1e-9
"""How far the fractions may be from 1 together, and a count from its target."""
_FEW: Final = 4
"""Up to so many components of a kind are placed one by one; more are divided at once."""
_SHARES: Final = 3
"""Kinds of components with both labels, by their share of good samples."""
_MOST_PARTS: Final = 127


def read_fractions(text: str) -> dict[str, float]:
    """The fractions that a text such as `train=0.9,validation=0.1` names; `train` is the rest where it is not named.

    Raises:
        ConfigError: It says something else; the message says what is expected.
    """
    if re.search(r"\d,\s*\d", text):
        raise ConfigError(f"split: {text!r} has a decimal comma; write a point, as in {_EXAMPLE}")
    found: dict[str, float] = {}
    for item in text.split(","):
        name, sign, number = (part.strip() for part in item.partition("="))
        if not sign or not name or not number:
            raise ConfigError(f"split: {item.strip()!r} is no NAME=FRACTION, as in {_EXAMPLE}")
        if name not in PARTS:
            hint = suggest(name, PARTS)
            raise ConfigError(f"split: there is no part {name!r}{hint}; the parts are {', '.join(PARTS)}")
        if name in found:
            raise ConfigError(f"split: {name} is named twice, as {found[name]:g} and as {number}")
        found[name] = _fraction(name, number)
    rest = round(1.0 - sum(found.values()), 12)
    if set(found) == {"train"}:
        raise ConfigError("split: it names train alone; name validation or test too, as in validation=0.1")
    if "train" not in found and rest <= 0:
        raise ConfigError(f"split: {_told(found)} leaves nothing for train; together they must be less than 1")
    found.setdefault("train", rest)
    fractions: dict[str, float] = {name: found[name] for name in PARTS if name in found}
    check(fractions)
    return fractions


def _fraction(name: str, text: str) -> float:
    least = 0 if text.endswith("%") else 1
    try:
        number = float(text.removesuffix("%"))
    except ValueError:
        number = math.nan
    if least == 1 and 0 < number < 1:
        return number
    hint = f"; write {name}={number / 100:g}" if least < number < 100 else ""  # noqa: PLR2004 - per cent
    raise ConfigError(f"split: {name}={text} is no number between 0 and 1{hint}")


def check(fractions: Mapping[str, float]) -> None:
    """Fractions that parts can have.

    Raises:
        ConfigError: A part has no name, a fraction is no number from 0 to 1, or they do not come to 1 together.
    """
    if not 0 < len(fractions) <= _MOST_PARTS:
        raise ConfigError(f"split: {len(fractions)} parts are named; 1 to {_MOST_PARTS} are possible")
    for name, fraction in fractions.items():
        if not isinstance(name, str) or not name.strip():
            raise ConfigError(f"split: a part is called {name!r}; every part needs a name")
        if isinstance(fraction, bool) or not isinstance(fraction, int | float) or not 0 <= fraction <= 1:
            raise ConfigError(f"split: the fraction of {name} is {fraction!r}; it must be a number from 0 to 1")
    total = math.fsum(fractions.values())
    if abs(total - 1) > _EXACT:
        raise ConfigError(f"split: {_told(fractions)} comes to {total:.12g}; the fractions must come to 1 together")


def _told(fractions: Mapping[str, float]) -> str:
    return ", ".join(f"{name}={fraction:g}" for name, fraction in fractions.items())


def assign(groups: Array, origins: Array, good: Array, fractions: Mapping[str, float], *, seed: int) -> Array:
    """Which part each sample belongs to.

    Samples that are connected through equal groups or origins (`components`) stay together. Components are divided
    kind by kind: all good, all bad, or how much of each, and of which size; large ones first, so that the small ones
    make up for what large ones leave uneven. So each part has its fraction of the good samples and of the bad ones,
    as near as the components allow. A component that is larger than what a part still lacks goes where most is
    lacking. A part with a fraction above 0 has at least one component, if there are as many components as such parts.

    The answer is a function of content, fractions and seed: the order of the samples changes nothing. Which
    components of a kind go where follows from a hash of each, so that a few more samples move few others (in the mean
    one or two for each new one), and another seed moves many. A part that comes last, or grows, takes nearly all from
    the first. Where a kind has few components, they go where most is lacking, and the seed has little to say.

    Args:
        groups: uint64 of shape (n,), see `group`.
        origins: uint64 of shape (n,), see `origin`; each is a group.
        good: bool of shape (n,).
        fractions: By name; the first is the part that all others are taken from.
        seed: Chooses between answers that are equally good.

    Returns:
        int8 of shape (n,): the number of the part, in the order of `fractions`.

    Raises:
        ConfigError: See `check`.
    """
    check(fractions)
    keys, numbers = np.unique(mix(_roots(groups, origins), seed), return_inverse=True)
    goods = np.bincount(numbers[good], minlength=len(keys))
    bads = np.bincount(numbers[~good], minlength=len(keys))
    return _Division(goods, bads, list(fractions.values())).made()[numbers]


def components(groups: Array, origins: Array) -> Array:
    """int64 of shape (n,): for each sample the number of what it is connected with through groups and origins.

    Numbers count from 0 by the smallest group of each component; the order of the samples changes none.
    """
    numbers: Array = np.unique(_roots(groups, origins), return_inverse=True)[1]
    return numbers


def leaks(parts: Array, groups: Array, origins: Array) -> int:
    """How many groups, or origins, stand in more than one part."""
    apart = origins != groups
    values = np.concatenate([groups, origins[apart]])
    if not values.size:
        return 0
    order = np.argsort(values)
    values, where = values[order], np.concatenate([parts, parts[apart]])[order]
    starts = np.flatnonzero(np.append(True, values[1:] != values[:-1]))
    torn = np.minimum.reduceat(where, starts) != np.maximum.reduceat(where, starts)
    return int(torn.sum())


def _roots(groups: Array, origins: Array) -> Array:
    """uint64 of shape (n,): the smallest group or origin that each sample is connected with."""
    apart = origins != groups
    if not apart.any():
        return groups
    values, places = np.unique(np.concatenate([groups, origins[apart]]), return_inverse=True)
    own = places[: len(groups)]
    roots: Array = values[_united(len(values), own[apart], places[len(groups) :])[own]]
    return roots


def _united(count: int, one: Array, other: Array) -> Array:
    """For each of some nodes the smallest that edges connect it with."""
    above = np.arange(count)
    while one.size:
        np.minimum.at(above, np.maximum(one, other), np.minimum(one, other))
        while not np.array_equal(jumped := above[above], above):
            above = jumped
        one, other = above[one], above[other]
        open_ = one != other
        one, other = one[open_], other[open_]
    return above


class _Division:
    """Divides components among parts.

    Args:
        goods: int64, the good samples of each component, in the order of their hashes.
        bads: int64, the bad samples of each.
        fractions: Of the parts.
    """

    def __init__(self, goods: Array, bads: Array, fractions: list[float]) -> None:
        self._labels = np.stack([goods, bads])
        self._fractions = np.array(fractions)
        self._totals = self._labels.sum(axis=1)
        self._weights = 1.0 / np.maximum(self._totals, 1) ** 2
        """Of squared errors: each label counts by its share."""
        self._placed = np.zeros((2, len(fractions)), np.int64)
        self._seen = np.zeros(2, np.int64)
        self._found = np.zeros(len(goods), np.int8)

    def made(self) -> Array:
        """The part of each component."""
        for members in self._kinds():
            if len(members) > _FEW:
                self._divide(members)
            else:
                sizes = self._labels[:, members].sum(axis=0)
                for number in members[np.argsort(-sizes, kind="stable")]:
                    self._place(number)
        self._leave_none_empty()
        return self._found

    def _kinds(self) -> list[Array]:
        """Alike components by the order of their hashes; large ones come first, and of these the mixed ones."""
        goods, sizes = self._labels[0], self._labels.sum(axis=0)
        shares = np.where(goods == 0, _SHARES + 1, _SHARES).astype(np.int16)
        mixed = np.flatnonzero((goods > 0) & (goods < sizes))
        shares[mixed] = goods[mixed] * _SHARES // sizes[mixed]
        kinds = shares - np.frexp(sizes.astype(np.float32))[1].astype(np.int16) * np.int16(_SHARES + 2)
        order = np.argsort(kinds, kind="stable")
        return np.split(order, np.flatnonzero(np.diff(kinds[order])) + 1) if len(order) else []

    def _lacking(self, labels: Array) -> Array:
        """Of each label what each part lacks of its share, once these samples are to be placed, too."""
        self._seen += labels
        lacking: Array = self._seen[:, None] * self._fractions - self._placed
        return lacking

    def _in_all(self) -> Array:
        """Of each label what each part lacks in the end."""
        lacking: Array = self._totals[:, None] * self._fractions - self._placed
        return lacking

    def _divide(self, members: Array) -> None:
        """Cut a kind, by the order of the hashes, where the parts then lack least."""
        labels = self._labels[:, members]
        totals = labels.sum(axis=1)
        weights = self._weights * totals
        # no matrix product: what it comes to in its last digit is the machine's affair
        shares = np.maximum((weights[:, None] * self._lacking(totals)).sum(axis=0), 0)
        amounts = (labels * np.maximum(self._totals[::-1], 1)[:, None]).sum(axis=0)
        ends = np.cumsum(amounts)
        order = np.roll(np.arange(len(shares)), -1)  # a part that grows takes from the first
        bounds = np.cumsum(shares[order] / shares.sum())[:-1] * ends[-1]
        parts = order[np.searchsorted(bounds, ends - amounts / 2, side="right")]
        self._found[members] = parts
        self._placed += [np.bincount(parts, own, len(shares)).astype(np.int64) for own in labels]

    def _place(self, number: int) -> None:
        """Give a component to the part that lacks most of what it holds, among those that can take all of it."""
        labels = self._labels[:, number]
        weights = (self._weights * labels)[:, None]
        now, in_all = self._lacking(labels), self._in_all()
        fits = in_all.sum(axis=0) >= labels.sum() - _EXACT * self._totals.sum()
        lacking = (
            np.where(fits, (weights * now).sum(axis=0), -np.inf) if fits.any() else (weights * in_all).sum(axis=0)
        )
        part = np.argmax(lacking)
        self._found[number] = part
        self._placed[:, part] += labels

    def _leave_none_empty(self) -> None:
        """Give a part without components the one whose move costs least, as long as others have two."""
        counts = np.bincount(self._found, minlength=len(self._fractions))
        for part in np.flatnonzero((counts == 0) & (self._fractions > 0)):
            free = counts[self._found] > 1
            if not free.any():
                return
            lacking = self._in_all()
            gain = lacking[:, part, None] - lacking[:, self._found] - self._labels
            costs = np.where(free, -(self._weights[:, None] * self._labels * gain).sum(axis=0), np.inf)
            number = np.argmin(costs)
            for where, change in ((self._found[number], -1), (part, 1)):
                counts[where] += change
                self._placed[:, where] += change * self._labels[:, number]
            self._found[number] = part
