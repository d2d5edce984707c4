"""Batches and KL partners: of the order in which rows stand, and of a plan.

TRL's KTO trainer never shuffles. Consecutive rows are a batch, and within each the answers are rotated by one: the
KL partner of a row is the answer before it, that of the first row the last answer. Rows of pairs it takes apart
first, in chunks: all chosen answers of a chunk, then all rejected ones.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ktoformats.report.finding import Finding, Section, of, places, share_of
from ktoformats.train.order import fewest_single_class_batches, single_class_batches
from ktoformats.train.plan import PlanTerms

if TYPE_CHECKING:
    from ktoformats.report.finding import Severity
    from ktoformats.store.numbers import Array
    from ktoformats.store.samples import Samples
    from ktoformats.train.plan import Partners, Traits
    from ktoformats.train.training import Training

PAIRS_AT_ONCE: Final = 1000
"""Rows of a chunk in which TRL takes pairs apart: what `datasets` hands to a batched map."""

FILE, UNPAIRED, BATCH, ANYWHERE = "file", "unpaired", "planned", "planned_anywhere"
_TITLES: Final = {
    FILE: "as the rows stand",
    UNPAIRED: "as TRL takes pairs apart",
    BATCH: "planned, partners in the batch",
    ANYWHERE: "planned, partners anywhere",
}


@dataclass(frozen=True)
class Partnership:
    """What is wrong with the KL partners of an order; each sample counts once, under the first of these.

    Attributes:
        missing: Samples that have none.
        own_answer: Samples that are their own partner, so that the estimate is their own reward.
        same_prompt: Samples whose partner answers the same prompt.
        same_text: Samples whose partner has the same text.
    """

    missing: int
    own_answer: int
    same_prompt: int
    same_text: int

    @property
    def invalid(self) -> int:
        """All of them together."""
        return self.missing + self.own_answer + self.same_prompt + self.same_text

    def __str__(self) -> str:
        """It in words."""
        counts = {name.replace("_", " "): count for name, count in asdict(self).items()}
        return ", ".join(f"{name} {count}" for name, count in counts.items() if count) or "none"


@dataclass(frozen=True)
class Lineup:
    """What training in an order would be like.

    Attributes:
        order: Which one.
        samples: Rows of the epoch.
        batches: Of one rank each.
        single_class_batches: Those of one label only.
        fewest_single_class_batches: As few as the counts allow for any order.
        partners: What is wrong with the KL partners.
    """

    order: str
    samples: int
    batches: int
    single_class_batches: int
    fewest_single_class_batches: int
    partners: Partnership

    @property
    def title(self) -> str:
        """What the order is."""
        return _TITLES[self.order]

    def to_json(self) -> dict[str, Any]:
        """It as plain values."""
        invalid = self.partners.invalid
        partners = asdict(self.partners) | {"invalid": invalid, "invalid_share": share_of(invalid, self.samples)}
        single = share_of(self.single_class_batches, self.batches)
        return vars(self) | {"single_class_share": single, "partners": partners}

    def __str__(self) -> str:
        """It in one line."""
        batches = of(self.single_class_batches, self.batches, "batches")
        return (
            f"{self.title}: {batches} of one label, fewest possible {self.fewest_single_class_batches}; "
            f"invalid KL partners: {self.partners}"
        )


def rotated(order: Array, batch_size: int) -> Array:
    """TRL's KL partner of each row: the one before it in its batch, for the first one the last.

    Args:
        order: int64, shape (n,), rows.
        batch_size: Rows of a batch; a last batch of one row is its own partner.

    Returns:
        int64, shape (n,): rows.
    """
    places = np.arange(len(order))
    starts = places - places % batch_size
    ends = np.minimum(starts + batch_size, len(order))
    partners: Array = order[np.where(places > starts, places - 1, ends - 1)]
    return partners


def unpaired(good: Array, records: Array) -> Array:
    """The order that TRL gives to the sides of pairs: in each chunk of pairs all chosen, then all rejected.

    Args:
        good: bool, shape (n,), which side is the chosen one.
        records: int64, shape (n,), the number of each side's pair, ascending.
    """
    order: Array = np.lexsort((np.arange(len(good)), ~good, records // PAIRS_AT_ONCE))
    return order


def partnership(traits: Traits, rows: Array, partners: Array) -> Partnership:
    """Judge KL partners.

    Args:
        traits: Of all samples.
        rows: int64, shape (n,), positions.
        partners: int64, shape (n,), the position of each one's partner, -1 for none.
    """
    counts = [int(mask.sum()) for mask in _faults(traits, rows, partners)]
    return Partnership(*counts)


def _faults(traits: Traits, rows: Array, partners: Array) -> list[Array]:
    """Bool per row: whether its partner is missing, itself, of its prompt, of its text; the first that holds."""
    found = [
        partners < 0,
        partners == rows,
        traits.asked[rows] == traits.asked[partners],
        traits.answer[rows] == traits.answer[partners],
    ]
    before = np.zeros(len(rows), np.bool_)
    for number, mask in enumerate(found):
        found[number] = mask & ~before
        before |= mask
    return found


def lineup_of(name: str, order: Array, partners: Array, traits: Traits, batch_size: int) -> Lineup:
    """What training in an order would be like; arguments as in `partnership`."""
    good = traits.good[order]
    minority = min(int(good.sum()), int((~good).sum()))
    return Lineup(
        order=name,
        samples=len(order),
        batches=-(-len(order) // batch_size),
        single_class_batches=single_class_batches(good, batch_size),
        fewest_single_class_batches=fewest_single_class_batches(len(order), minority, batch_size),
        partners=partnership(traits, order, partners),
    )


def pair_records(samples: Samples, rows: Array) -> Array:
    """int64 per row: the number of its pair among the pairs, in file order; -1 for a sample that is of none."""
    pair, line, source = (samples.numbers(name)[rows] for name in ("pair", "line", "source"))
    paired = np.flatnonzero(pair > 0)
    records = np.full(len(rows), -1, np.int64)
    if len(paired):
        columns = [one[paired] for one in (pair, line, source)]
        fresh = np.logical_or.reduce([np.append(True, one[1:] != one[:-1]) for one in columns])
        records[paired] = np.cumsum(fresh) - 1
    return records


def batches_section(
    training: Training, batch_size: int, world_size: int, seed: int, *, kept: Array | None = None
) -> Section:
    """Batches and KL partners, in the trainer's own order and in ours.

    Args:
        training: The split.
        batch_size: Samples of a batch on one rank.
        world_size: Ranks.
        seed: Of the plans.
        kept: int64, ascending, the positions that the trainer leaves in; None for all.
    """
    samples, rows = training.dataset.samples, training.dataset.rows
    whole = {name: samples.numbers(name)[rows] for name in ("asked", "answer")}
    traits = training.traits._replace(**whole)  # the trainer knows nothing of what our limits cut
    file = np.arange(len(rows)) if kept is None else kept
    orders = {FILE: file}
    records = pair_records(samples, rows[file])
    of_pairs = np.flatnonzero(records >= 0)
    if len(of_pairs):
        inside = file[of_pairs]
        orders[UNPAIRED] = inside[unpaired(traits.good[inside], records[of_pairs])]
    lineups = [lineup_of(name, one, rotated(one, batch_size), traits, batch_size) for name, one in orders.items()]
    own = UNPAIRED if len(of_pairs) == len(file) else FILE
    trainers = next((one for one in lineups if one.order == own and one.samples), None)
    lineups += _planned(training, batch_size, world_size, seed)
    findings: list[Finding] = []
    if trainers is not None:
        left = next((one for one in lineups if one.order == BATCH), None)
        order = orders[own]
        findings += _single_class(trainers, left, batch_size, samples, rows[order], traits.good[order])
        findings += _invalid(trainers, left, batch_size, _faulty(traits, order, batch_size, samples, rows))
    figures = {
        "batch_size": batch_size,
        "world_size": world_size,
        "trainers_own_order": own,
        "orders": {one.order: one.to_json() for one in lineups},
    }
    facts = (f"batches of {batch_size} on {world_size} rank{'s' * (world_size > 1)}", *map(str, lineups))
    return Section("batches", facts, figures, tuple(findings))


def _planned(training: Training, batch_size: int, world_size: int, seed: int) -> list[Lineup]:
    fitted = training.fitted
    if not len(training.dataset) or (fitted is not None and not fitted.used.any()):
        return []
    found = []
    where: dict[str, Partners] = {BATCH: "batch", ANYWHERE: "anywhere"}
    for name, partners in where.items():
        plan = training.plan(PlanTerms(batch_size, world_size, seed, partners=partners))
        found.append(lineup_of(name, plan.order, plan.partner, training.traits, batch_size))
    return found


def _single_class(
    lineup: Lineup, planned: Lineup | None, batch_size: int, samples: Samples, rows: Array, good: Array
) -> list[Finding]:
    count, left = (
        lineup.single_class_batches,
        planned.single_class_batches if planned else lineup.single_class_batches,
    )
    if not count:
        return []
    avoidable = left < count
    severity: Severity = "warning" if avoidable else "note"
    message = (
        f"{lineup.title}: {of(count, lineup.batches, 'batches')} of {batch_size} hold one label only; "
        f"fewest possible {lineup.fewest_single_class_batches}"
    )
    advice = (
        f"ktoformats convert SOURCE -o train.jsonl --batch-size {batch_size} leaves {left}"
        if avoidable
        else "no order has fewer: take a larger batch, more samples of the rare label, or good_share in loader.plan"
    )
    starts = np.arange(0, len(good), batch_size)
    goods = np.add.reduceat(good.astype(np.int64), starts)
    first = rows[starts[(goods == 0) | (goods == np.diff(starts, append=len(good)))]]
    share = share_of(count, lineup.batches)
    return [Finding("single-class-batches", count, share, severity, message, advice, places(samples, first))]


def _invalid(lineup: Lineup, planned: Lineup | None, batch_size: int, examples: tuple[str, ...]) -> list[Finding]:
    count = lineup.partners.invalid
    if not count:
        return []
    left = planned.partners.invalid if planned else count
    avoidable = left < count
    severity: Severity = "warning" if avoidable else "note"
    message = f"{lineup.title}: {of(count, lineup.samples, 'samples')} have no valid KL partner: {lineup.partners}"
    advice = (
        f"ktoformats convert SOURCE -o train.jsonl --batch-size {batch_size} leaves {left}"
        if avoidable
        else "no order of the batches helps"
    )
    advice += "; loader.plan(partners='anywhere') looks beyond the batch" if left else ""
    share = share_of(count, lineup.samples)
    return [Finding("invalid-kl-partners", count, share, severity, message, advice, examples)]


def _faulty(traits: Traits, order: Array, batch_size: int, samples: Samples, rows: Array) -> tuple[str, ...]:
    wrong = np.logical_or.reduce(_faults(traits, order, rotated(order, batch_size)))
    return places(samples, rows[order[wrong]])
