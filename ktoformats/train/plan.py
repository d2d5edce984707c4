"""Batch plans: which sample stands where in an epoch, and whose answer is its KL partner.

A plan is a pure function of the samples and a seed. Where lengths are not grouped, its order does not depend on the
number of ranks, and with `partners="anywhere"` neither order nor partners depend on the batch size.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple, get_args

import numpy as np

from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.store.mixing import mix
from ktoformats.store.report import loss_weights
from ktoformats.train.fit import by_label
from ktoformats.train.order import fewest_single_class_batches, single_class_batches, training_order
from ktoformats.train.partners import ALONE_IN_BATCH, find_partners, is_partner, why_none
from ktoformats.train.permutation import draws, seed_of
from ktoformats.train.rings import before_in_batch, close_rings

if TYPE_CHECKING:
    from ktoformats.store.numbers import Array

Partners = Literal["anywhere", "batch"]
Remainder = Literal["pad", "drop", "uneven"]

BATCHES_PER_WINDOW: Final = 50
"""Batches among which lengths are grouped: as many as in Hugging Face's LengthGroupedSampler."""


class Traits(NamedTuple):
    """What a plan looks at, for each sample of a dataset."""

    good: Array
    """bool, shape (n,)."""
    group: Array
    """uint64, a hash of the first user turn."""
    key: Array
    """uint64, a hash of the sample, unique."""
    asked: Array
    """uint64, a hash of what was asked."""
    answer: Array
    """uint64, a hash of the answer."""
    length: Array
    """int64: tokens, or characters where there is no tokenizer."""

    def of(self, rows: Array) -> Traits:
        """Those of some samples."""
        return Traits(*(trait[rows] for trait in self))


@dataclass(frozen=True)
class PlanTerms:
    """What is asked of a plan.

    Attributes:
        batch_size: Samples of a batch on one rank.
        world_size: Ranks; a global batch holds `batch_size * world_size` samples.
        seed: Another seed gives another plan with the same properties.
        epoch: The same, for each epoch.
        partners: `anywhere`: a KL partner may be any sample, and stays the same for any batch size. `batch`: it is
            the sample before it in its batch, and the last one for the first: what TRL's trainer takes by itself.
        good_share: The share of good samples, from 0 to 1, that every batch is to have; None takes that of the data.
            The label of which there are too many is cut, every epoch at another place, so that all are seen in turn.
        group_by_length: Whether samples of like length share a batch.
        remainder: What becomes of the last global batch where it would be short: `pad` fills it up with samples
            from the epoch's beginning, `drop` leaves it out, `uneven` lets it be short.
    """

    batch_size: int
    world_size: int = 1
    seed: int = 0
    epoch: int = 0
    partners: Partners = "anywhere"
    good_share: float | None = None
    group_by_length: bool = False
    remainder: Remainder = "pad"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ConfigError: An argument does not fit; the message names it.
        """
        for name, least in (("batch_size", 1), ("world_size", 1), ("epoch", 0), ("seed", 0)):
            value = getattr(self, name)
            if type(value) is not int or value < least:
                raise ConfigError(f"{name} must be a whole number from {least} on, got {value!r}")
        for name, known in (("partners", get_args(Partners)), ("remainder", get_args(Remainder))):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} must be one of {', '.join(known)}, got {getattr(self, name)!r}")
        if self.good_share is not None and not 0 < self.good_share < 1:
            raise ConfigError(f"good_share must lie between 0 and 1, got {self.good_share!r}")
        if self.partners == "batch" and self.batch_size == 1:
            raise ConfigError("partners: a batch of one sample has no KL partner; take partners='anywhere'")

    @property
    def global_batch_size(self) -> int:
        """Samples of a batch on all ranks together."""
        return self.batch_size * self.world_size


@dataclass(frozen=True)
class PlanReport:
    """What a plan achieved.

    Attributes:
        samples: How many the epoch uses.
        labels: Label to rows of the epoch, repeated ones counted: what the weights of the loss are to be based on.
        batches: Batches of one rank each, over all ranks.
        single_class_batches: Those of one label only.
        fewest_single_class_batches: As few as the counts allow for any order of the same rows.
        partners_missing: Reason to samples that can have no KL partner.
        partners_invalid: Samples whose KL partner answers the same prompt or has the same text.
        partners_most_used: How often the most frequent KL partner is one.
        left_out: Label to samples that this epoch leaves out, for `good_share`.
        dropped: Label to samples of the short last batch that are left out.
        padded: Samples that stand there twice, to fill the last batch.
        padding_share: The share of padding in all batches, by length.
        unit: What lengths are counted in: `tokens` or `characters`.
    """

    samples: int
    labels: dict[str, int]
    batches: int
    single_class_batches: int
    fewest_single_class_batches: int
    partners_missing: dict[str, int]
    partners_invalid: int
    partners_most_used: int
    left_out: dict[str, int]
    dropped: dict[str, int]
    padded: int
    padding_share: float
    unit: str

    @property
    def weights(self) -> dict[str, float] | None:
        """`desirable_weight` and `undesirable_weight` for the labels; see `ktoformats.loss_weights`."""
        return loss_weights(self.labels[GOOD], self.labels[BAD])

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return dict(vars(self))

    def __str__(self) -> str:
        """It in sentences."""
        one_label = f"{self.single_class_batches} of one label (fewest possible: {self.fewest_single_class_batches})"
        partners = f"{self.partners_invalid} invalid, {sum(self.partners_missing.values())} missing"
        weights = ", ".join(f"{name}={value:g}" for name, value in (self.weights or {}).items())
        lines = [
            f"{self.labels[GOOD]} good, {self.labels[BAD]} bad; {weights or 'no weights for one label'}",
            f"{self.samples} samples in {self.batches} batches, {one_label}",
            f"KL partners: {partners}, the most frequent one serves {self.partners_most_used} samples",
            f"padding: {self.padding_share:.1%} of all {self.unit}",
        ]
        lines += [f"no KL partner for {count} samples: {reason}" for reason, count in self.partners_missing.items()]
        for name, counts in (("left out for good_share", self.left_out), ("dropped at the end", self.dropped)):
            if sum(counts.values()):
                lines.append(f"{name}: {counts[GOOD]} good, {counts[BAD]} bad")
        if self.padded:
            lines.append(f"repeated to fill the last batch: {self.padded}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Plan:
    """One epoch.

    Attributes:
        order: int64, shape (m,), positions in the dataset; consecutive `batch_size` of them are a batch, and rank r
            of R trains on batches r, r + R, r + 2R, ...
        partner: int64, shape (m,), the position of each one's KL partner; -1 where it can have none.
        terms: What was asked.
        report: What was achieved.
    """

    order: Array
    partner: Array
    terms: PlanTerms
    report: PlanReport = field(repr=False)
    _keys: Array = field(repr=False, compare=False)

    def __len__(self) -> int:
        """How many samples the epoch trains on, repeated ones counted."""
        return len(self.order)

    @property
    def digest(self) -> str:
        """64 hexadecimal digits that tell which samples stand in which order; the same on every machine."""
        return hashlib.sha256(self._keys[self.order].astype("<u8").tobytes()).hexdigest()

    def batch(self, number: int, rank: int = 0) -> tuple[Array, Array]:
        """The samples of a step on one rank, and their KL partners; positions in the dataset.

        Raises:
            IndexError: There is no such step, or no such rank.
        """
        size, ranks = self.terms.batch_size, self.terms.world_size
        start = (number * ranks + rank) * size
        if not 0 <= rank < ranks or not 0 <= start < len(self):
            raise IndexError(f"step {number} of rank {rank}: there are {ranks} ranks and {len(self)} samples")
        return self.order[start : start + size], self.partner[start : start + size]


def make_plan(traits: Traits, terms: PlanTerms, *, unit: str = "characters", positions: Array | None = None) -> Plan:
    """Plan an epoch.

    Args:
        traits: Of every sample of the dataset.
        terms: What is asked.
        unit: What lengths are counted in.
        positions: int64, ascending, the samples that may be used; None takes all.
    """
    seed = seed_of(terms.seed, terms.epoch)
    usable = np.arange(len(traits.good)) if positions is None else positions
    used = _share_of(usable, traits, terms)
    own = traits if len(used) == len(traits.good) else traits.of(used)
    order = training_order(own.good, own.group, own.key, text=own.answer, seed=seed)
    partner_of = np.full(len(used), -1, np.int64)
    if terms.partners == "anywhere":
        places = find_partners(own.asked[order], own.answer[order])
        partner_of[order] = np.where(places >= 0, order[places], -1)
    grouped = _grouped(order, own, terms, seed) if terms.group_by_length else order
    whole, dropped = _whole_batches(grouped, order, terms)
    if terms.partners == "batch":
        whole = close_rings(whole, own.good, [own.asked, own.answer], terms.batch_size)
        before = before_in_batch(len(whole), terms.batch_size)
        partner = np.where(before == np.arange(len(whole)), -1, whole[before])
    else:
        partner = partner_of[whole]
    report = PlanReport(
        samples=len(used),
        labels=by_label(own.good[whole]),
        partners_missing=_missing(own, partner, terms),
        partners_invalid=int(np.count_nonzero(~is_partner(own.asked, own.answer, whole, partner) & (partner >= 0))),
        partners_most_used=int(np.bincount(partner[partner >= 0], minlength=1).max()),
        left_out=by_label(traits.good[np.setdiff1d(usable, used, assume_unique=True)]),
        dropped=by_label(own.good[dropped]),
        padded=max(len(whole) - len(order), 0),
        unit=unit,
        **_batches(own.good[whole], own.length[whole], terms.batch_size),
    )
    positions_of = np.where(partner >= 0, used[partner], -1) if len(used) else partner
    return Plan(used[whole], positions_of, terms, report, traits.key)


def _share_of(usable: Array, traits: Traits, terms: PlanTerms) -> Array:
    """The samples of this epoch, ascending: all, or as many of each label as the share asks for."""
    share = terms.good_share
    good = traits.good[usable]
    if share is None or not good.any() or good.all():
        return usable
    sides = {GOOD: usable[good], BAD: usable[~good]}
    ratio = share / (1 - share)
    wanted = {
        GOOD: min(len(sides[GOOD]), max(round(len(sides[BAD]) * ratio), 1)),
        BAD: min(len(sides[BAD]), max(round(len(sides[GOOD]) / ratio), 1)),
    }
    taken = []
    for label, rows in sides.items():
        by_hash = rows[np.argsort(mix(traits.key[rows], terms.seed), kind="stable")]
        start = terms.epoch * wanted[label] % len(rows)
        taken.append(np.roll(by_hash, -start)[: wanted[label]])
    return np.sort(np.concatenate(taken))


def _grouped(order: Array, own: Traits, terms: PlanTerms, seed: int) -> Array:
    """The order with samples of like length in one batch; every place keeps its label.

    Within windows of batches the samples of each label are sorted by length, and dealt out to the places of their
    label; then the batches of a window change places at random, so that lengths do not rise through the window.
    """
    size = terms.global_batch_size
    places = np.arange(len(order))
    window = places // (size * BATCHES_PER_WINDOW)
    good = own.good[order]
    seats = np.lexsort((places, good, window))
    by_length = np.lexsort((places, own.length[order], good, window))
    dealt = np.empty_like(order)
    dealt[seats] = order[by_length]
    batch = places // size
    is_whole = batch < len(order) // size  # the short one stays at the end
    luck = draws(seed, np.arange(batch[-1] + 1 if len(batch) else 0, dtype=np.uint64))
    moved = np.lexsort((places, luck[batch], ~is_whole * batch, window))
    return dealt[moved]


def _whole_batches(order: Array, plain: Array, terms: PlanTerms) -> tuple[Array, Array]:
    """The rows of whole global batches, and what is left out.

    They are filled up from the plain order, in which both labels go on evenly from the end to the beginning.
    """
    rest = len(order) % terms.global_batch_size
    if not rest or terms.remainder == "uneven":
        return order, order[:0]
    if terms.remainder == "drop":
        return order[: len(order) - rest].copy(), order[len(order) - rest :]
    return np.concatenate([order, np.resize(plain, terms.global_batch_size - rest)]), order[:0]


def _missing(own: Traits, partner: Array, terms: PlanTerms) -> dict[str, int]:
    missing = int(np.count_nonzero(partner < 0))
    if not missing:
        return {}
    return {ALONE_IN_BATCH if terms.partners == "batch" else why_none(own.asked): missing}


def _batches(good: Array, length: Array, batch_size: int) -> dict[str, Any]:
    minority = min(int(np.count_nonzero(good)), int(np.count_nonzero(~good)))
    return {
        "batches": -(-len(good) // batch_size),
        "single_class_batches": single_class_batches(good, batch_size),
        "fewest_single_class_batches": fewest_single_class_batches(len(good), minority, batch_size),
        "padding_share": padding_share(length, batch_size),
    }


def padding_share(length: Array, batch_size: int) -> float:
    """The share of padding where batches of consecutive rows are padded to their longest one."""
    starts = np.arange(0, len(length), batch_size)
    if not len(starts):
        return 0.0
    sizes = np.diff(starts, append=len(length))
    total = int((np.maximum.reduceat(length, starts) * sizes).sum())
    return 1 - int(length.sum()) / total if total else 0.0
