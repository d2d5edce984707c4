"""Who judged and how: fixed by column, a label, a winner, a rank, a rating. From candidates to facts."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Final, Literal, cast

from pydantic import ConfigDict, Discriminator, Field, Tag, model_validator

from ktoformats.blocks.cells import FIXED, Combine, MappedLabels, Threshold, is_in, number_in
from ktoformats.blocks.path import MISSING, Scope, same
from ktoformats.blocks.policies import is_blank_answer, lost
from ktoformats.blocks.spec import PathText, Spec, path
from ktoformats.errors import KTOLabelError, RecordError
from ktoformats.feedback import BAD, GOOD, Judged, Pair, Ranked, Unjudged
from ktoformats.plugin.scale import shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.blocks.candidates import Candidate, Group
    from ktoformats.blocks.policies import VerdictPolicy
    from ktoformats.feedback import Context, Fact
    from ktoformats.plugin.kinds import Labels

TIE: Final = "tie"
BOTH_BAD: Final = "both_bad"

Scopes = Sequence[Scope]
"""What a verdict about a whole record is read in: the record, or the gathered records that judge the same answers."""


class Fixed(Spec):
    """The columns say it: this one is good, that one is bad."""

    good: str | None = None
    """The candidate that is good."""
    bad: str | None = None
    """The candidate that is bad."""
    need_both: bool = False
    """A record without one of the sides has no verdict."""
    scores: dict[str, PathText] = Field(default_factory=dict)
    """Candidate to its score: the gap between them, for `min_gap` and `equal_scores`."""

    @model_validator(mode="after")
    def _says_something(self) -> Fixed:
        if self.good is None and self.bad is None:
            raise ValueError("expected good, bad or both")
        if self.good == self.bad:
            raise ValueError(f"{self.good!r} is both good and bad")
        return self

    def names(self) -> list[str]:
        """The candidates it names."""
        return [name for name in (self.good, self.bad, *self.scores) if name]

    def paths(self) -> list[str]:
        """Where it stands: nowhere else than in the answers' places."""
        return []

    def facts(self, group: Group, scopes: Scopes, policy: VerdictPolicy) -> Iterator[Fact]:
        """A pair, or each answer by itself where a side has several or none."""
        if not group.candidates and not self.need_both:
            yield Unjudged()
        sides = {label: [one for one in group.candidates if one.name == name] for label, name in self._sides()}
        if self.need_both and not all(_present(side) for side in sides.values()):
            damaged = [fact for side in sides.values() for one in side if (fact := _damage(one)) is not None]
            yield from damaged or [Unjudged("single_candidate")]
            return
        if len(sides) == 2 and all(len(side) == 1 for side in sides.values()):  # noqa: PLR2004 - a pair
            [good], [bad] = sides[GOOD], sides[BAD]
            yield pair(group, good, bad, _gap(self.scores, good.name, bad.name, scopes[0]), policy)
            return
        for label, side in sides.items():
            for one in side:
                yield Judged(group.context, one.answer, label, one.name, FIXED, (), _SIDE_TYPES[label])

    def _sides(self) -> list[tuple[str, str]]:
        return [(label, name) for label, name in ((GOOD, self.good), (BAD, self.bad)) if name is not None]


_SIDE_TYPES: Final = {GOOD: "pairwise_positive", BAD: "pairwise_negative"}


def _present(side: list[Candidate]) -> bool:
    return any(not one.is_absent and _damage(one) is None for one in side)


def _damage(one: Candidate) -> Fact | None:
    """The fact of an answer that stands there and cannot be used."""
    if isinstance(one.answer, RecordError):
        return None if one.is_absent else lost(one.answer, one.row)
    if is_blank_answer(one.answer):
        return lost(RecordError("empty_response", "the answer is empty", field=one.name), one.row)
    return None


def _gap(scores: dict[str, str], good: str, bad: str, scope: Scope) -> float | None:
    if good not in scores or bad not in scores:
        return None
    values = [number_in(path(scores[name]).read(scope)) for name in (good, bad)]
    return None if None in values else values[0] - values[1]  # type: ignore[operator]


def pair(group: Group, good: Candidate, bad: Candidate, gap: float | None, policy: VerdictPolicy) -> Fact:
    """The preference; equal scores are a tie where the policy says so."""
    if gap == 0 and policy.equal_scores == "drop":
        return Unjudged(TIE)
    return Pair(group.context, good.answer, bad.answer, gap, policy.min_gap, policy.same_text == "keep")


class Label(Spec):
    """Each answer has a label of its own, or several that have to agree."""

    label: PathText | tuple[PathText, ...] | dict[str, PathText]
    """A path, the paths of several annotators, or candidate to path where each has a column of its own."""
    good: tuple[Any, ...] = ()
    """The values that mean good."""
    bad: tuple[Any, ...] = ()
    """The values that mean bad."""
    skip: tuple[Any, ...] = (None,)
    """The values that mean that nobody judged; null does so, too, unless it is named as good or bad."""
    scale: str = ""
    """Instead of good and bad: the label plugin that reads the cells."""
    agree: Literal["majority", "unanimous", "first"] = "majority"
    """Several labels of one answer: more than half of them, all of them, or the first."""

    @model_validator(mode="after")
    def _says_how(self) -> Label:
        if bool(self.scale) == bool(self.good or self.bad):
            raise ValueError("expected the values that are good and bad, or the name of a scale")
        twice = [value for value in self.good if is_in(value, self.bad)]
        if twice:
            raise ValueError(f"{twice[0]!r} is both good and bad")
        return self

    def names(self) -> list[str]:
        """The candidates it names."""
        return list(self.label) if isinstance(self.label, dict) else []

    def paths(self) -> list[str]:
        """Where it stands."""
        return _listed(self.label)

    @property
    def field(self) -> str:
        """What errors call it."""
        return _listed(self.label)[0]

    @cached_property
    def labels(self) -> Labels | str:
        """What reads the cells."""
        return self.scale or MappedLabels(good=self.good, bad=self.bad, skip=self.skip)

    def facts(self, group: Group, scopes: Scopes, policy: VerdictPolicy) -> Iterator[Fact]:  # noqa: ARG002 - one shape for all
        """A judgement for each answer."""
        if not group.candidates:
            yield Unjudged()
        for one in group.candidates:
            paths = _paths_of(self.label, one)
            cells = [cell for each in (one, *one.others) for cell in _cells(paths, each.scope)]
            yield from _judged_by(cells, one, group.context, paths[0], self.labels, self.agree)


class Rating(Spec):
    """Each answer has a number of its own, or several."""

    rating: PathText | tuple[PathText, ...] | dict[str, PathText]
    """A path, several, or candidate to path where each has a column of its own."""
    combine: Combine = "mean"
    """Several numbers of one answer: their mean, the least, the greatest, or a list with the weight of each path."""
    good: float
    """From this number on an answer is good; it lies below `bad` where small numbers are good."""
    bad: float
    """From this number on an answer is bad. What lies between is the middle."""
    missing: tuple[Any, ...] = ()
    """The values that mean that there is no number; null does so, too."""
    agree: Literal["mean", "majority", "unanimous", "first"] = "mean"
    """Several numbers of one answer: their mean, or what more than half of them, all or the first come to."""

    @model_validator(mode="after")
    def _is_sound(self) -> Rating:
        _ = self.labels
        paths = (self.field,) if isinstance(self.rating, str | dict) else self.rating
        fixed = len(paths) > 1 or not path(paths[0]).many  # how many numbers one path of many finds, records tell
        if isinstance(self.combine, tuple) and fixed and len(self.combine) != len(paths):
            raise ValueError(f"combine: {len(self.combine)} weights for {len(paths)} paths")
        return self

    def names(self) -> list[str]:
        """The candidates it names."""
        return list(self.rating) if isinstance(self.rating, dict) else []

    def paths(self) -> list[str]:
        """Where it stands."""
        return _listed(self.rating)

    @property
    def field(self) -> str:
        """What errors call it."""
        return _listed(self.rating)[0]

    @cached_property
    def labels(self) -> Threshold:
        """What reads the cells."""
        return Threshold(good=self.good, bad=self.bad, missing=self.missing, combine=self.combine)

    @cached_property
    def _nearest(self) -> Threshold:
        return self.labels.model_copy(update={"nearest": True})

    def facts(self, group: Group, scopes: Scopes, policy: VerdictPolicy) -> Iterator[Fact]:  # noqa: ARG002 - one shape for all
        """A judgement for each answer."""
        labels = self.labels if policy.middle == "drop" else self._nearest
        if not group.candidates:
            yield Unjudged()
        for one in group.candidates:
            paths = _paths_of(self.rating, one)
            cells = [cell for each in (one, *one.others) for cell in _cells(paths, each.scope)]
            if self.agree == "mean":
                cells = [cells] if len(cells) > 1 else cells
            yield from _judged_by(cells, one, group.context, paths[0], labels, self.agree)


_Paths = str | tuple[str, ...] | dict[str, str]
"""One column, the columns of several annotators, or one for each candidate."""


def _listed(paths: _Paths) -> list[str]:
    if isinstance(paths, str):
        return [paths]
    return list(paths.values() if isinstance(paths, dict) else paths)


def _paths_of(paths: _Paths, one: Candidate) -> list[str]:
    """Where the verdicts of a candidate stand."""
    return [paths[one.name]] if isinstance(paths, dict) else _listed(paths)


def _cells(paths: list[str], scope: Scope) -> list[Any]:
    """The verdict cells of one answer, null where there is none."""
    found: list[Any] = []
    for text in paths:
        cell = path(text).read(scope)
        found += cell if path(text).many and type(cell) is list else [None if cell is MISSING else cell]
    return found or [None]


def _judged_by(
    cells: list[Any], one: Candidate, context: Context | None, field: str, labels: Labels | str, agree: str
) -> Iterator[Fact]:
    """A judgement by one cell, or by what several agree on; the other rows of the answer say the same."""
    cell, scale = cells[0], labels
    if len(cells) > 1:
        if isinstance(labels, str):
            raise RecordError("wrong_type", "several labels, and a scale reads one; list good and bad", field=field)
        try:
            readings = [labels.read(each) for each in cells]
        except KTOLabelError as error:
            yield lost(KTOLabelError(error.reason, error.message, field=field), one.row)
            return
        outcome = _agreed([reading.label or "neutral" for reading in readings if reading is not None], agree)
        if outcome not in (GOOD, BAD):
            yield Unjudged(outcome or "null_verdict")
            return
        cell, scale = outcome, FIXED
    yield Judged(context, one.answer, cell, field, scale)
    for other in one.others:
        yield Judged(context, other.answer, cell, field, scale)


class Rank(Spec):
    """The answers stand in an order."""

    rank: PathText | dict[str, PathText]
    """A path from the candidate, `position` (its place in the list), or candidate to path."""
    best: Literal["low", "high"] | None = None
    """Whether the low or the high ranks are the better ones: nobody can guess it. Of `position` it is `low`."""
    pick: Literal["", "best_worst", "best_rest", "halves"] = ""
    """Which of them are good and bad; empty takes the configuration's `ranking_strategy`."""

    @model_validator(mode="after")
    def _says_which_end(self) -> Rank:
        if self.best is None and self.rank != "position":
            raise ValueError("best: low or high? Which way numbers run, no file says")
        return self

    def names(self) -> list[str]:
        """The candidates it names."""
        return list(self.rank) if isinstance(self.rank, dict) else []

    def paths(self) -> list[str]:
        """Where it stands; a place in a list stands nowhere."""
        return [] if self.rank == "position" else _listed(self.rank)

    @property
    def field(self) -> str:
        """What errors call it."""
        return _listed(self.rank)[0]

    def facts(self, group: Group, scopes: Scopes, policy: VerdictPolicy) -> Iterator[Fact]:  # noqa: ARG002 - one shape for all
        """One ranking; answers without a rank stand outside it."""
        ranked = [(one, self._rank_of(one, place)) for place, one in enumerate(group.candidates)]
        known = [(one, rank) for one, rank in ranked if rank is not None and rank is not MISSING]
        if not known:
            yield Unjudged("null_verdict")
            return
        if policy.tie != "drop" and _are_equal([rank for _, rank in known]):
            yield from undecided(TIE, group._replace(candidates=[one for one, _ in known]), policy)
            return
        answers, ranks = tuple(one.answer for one, _ in known), tuple(rank for _, rank in known)
        best = self.best or "low"
        yield Ranked(group.context, answers, ranks, best, self.field, self.pick, scores=True, min_gap=policy.min_gap)

    def _rank_of(self, one: Candidate, place: int) -> Any:
        if self.rank == "position":
            return place
        text = self.rank if isinstance(self.rank, str) else self.rank.get(one.name)
        if text is None:
            return None
        if not one.others:
            return path(text).read(one.scope)
        found = [path(text).read(each.scope) for each in (one, *one.others)]
        numbers = [number_in(each) for each in found]
        if None in numbers:
            return found[0]
        return math.fsum(cast("list[float]", numbers)) / len(numbers)  # as several annotators ranked it on average


def _are_equal(ranks: list[Any]) -> bool:
    numbers = {number_in(rank) for rank in ranks}
    return len(ranks) > 1 and len(numbers) == 1 and None not in numbers


class Winner(Spec):
    """One of the answers won, in any of the spellings that people use."""

    model_config: ClassVar[ConfigDict] = Spec.model_config | {"extra": "allow"}
    winner: PathText | tuple[PathText, ...] | dict[str, PathText]
    """A path, the paths of several annotators, or one column for each outcome."""
    index: Literal[0, 1] | None = None
    """The value is the candidate's number, counted from here."""
    cut: float | None = None
    """The value is a number: below the cut one wins, above it the other."""
    below: str | None = None
    """With `cut`: the candidate that wins below it."""
    above: str | None = None
    """With `cut`: the candidate that wins above it."""
    band: float = Field(default=0.0, ge=0)
    """With `cut`: this close to it is a tie."""
    agree: Literal["majority", "unanimous", "first", "mean"] = "majority"
    """Several votes: more than half of them, all, the first, or (with `cut`) their mean."""
    tie: tuple[Any, ...] = ()
    """The values that mean that they are equal."""
    both_bad: tuple[Any, ...] = ()
    """The values that mean that all of them are bad."""
    skip: tuple[Any, ...] = (None,)
    """The values that mean that nobody judged; null does so, too, unless it is named as something else."""
    scores: dict[str, PathText] = Field(default_factory=dict)
    """Candidate to its score: the gap between them, for `min_gap` and `equal_scores`."""

    @cached_property
    def outcomes(self) -> dict[str, tuple[Any, ...]]:
        """Candidate to the values that mean it won."""
        extra = self.__pydantic_extra__ or {}
        return {
            name: tuple(values) if isinstance(values, list | tuple) else (values,) for name, values in extra.items()
        }

    @model_validator(mode="after")
    def _says_how(self) -> Winner:
        if other := sorted({"label", "rating", "rank", "good", "bad"} & set(self.outcomes)):
            raise ValueError(f"winner and {other[0]}: expected exactly one kind of verdict")
        ways = [self.index is not None, self.cut is not None, bool(self.outcomes), isinstance(self.winner, dict)]
        if sum(ways) != 1:
            raise ValueError("expected index, or cut with below and above, or values for each candidate, or columns")
        if self.cut is not None and not (self.below and self.above and self.below != self.above):
            raise ValueError("cut needs below and above, two candidates")
        if self.agree == "mean" and self.cut is None:
            raise ValueError("agree: mean needs cut: votes for names have no mean")
        meant = [(value, name) for name, values in self._meanings() for value in values]
        for number, (value, name) in enumerate(meant):
            if clash := next((other for same_value, other in meant[:number] if same(value, same_value)), None):
                raise ValueError(f"{value!r} stands for {clash} and for {name}")
        return self

    def _meanings(self) -> list[tuple[str, tuple[Any, ...]]]:
        return [*self.outcomes.items(), (TIE, self.tie), (BOTH_BAD, self.both_bad)]

    def names(self) -> list[str]:
        """The candidates it names."""
        columns = (
            [name for name in self.winner if name not in (TIE, BOTH_BAD)] if isinstance(self.winner, dict) else []
        )
        return [*self.outcomes, *columns, *(name for name in (self.below, self.above) if name), *self.scores]

    def paths(self) -> list[str]:
        """Where it stands."""
        return _listed(self.winner)

    def facts(self, group: Group, scopes: Scopes, policy: VerdictPolicy) -> Iterator[Fact]:
        """A pair, or the winner before all others where there are more than two.

        Raises:
            KTOLabelError: `winner_unmapped`, or several columns say different things.
        """
        outcome, gap = self._outcome(group, scopes, policy)
        if outcome is None:
            yield Unjudged("null_verdict")
        elif outcome in (TIE, BOTH_BAD):
            yield from undecided(outcome, group, policy)
        elif outcome in ("disagreement", "unmapped"):
            yield Unjudged(outcome)
        else:
            yield self._won(outcome, group, gap, scopes[0], policy)

    def _won(self, outcome: str, group: Group, gap: float | None, scope: Scope, policy: VerdictPolicy) -> Fact:
        winners = [one for one in group.candidates if one.name == outcome]
        losers = [one for one in group.candidates if one.name != outcome]
        if len(winners) == len(losers) == 1:
            known = _gap(self.scores, winners[0].name, losers[0].name, scope)
            return pair(group, winners[0], losers[0], gap if known is None else known, policy)
        answers = tuple(one.answer for one in (*winners, *losers))
        ranks = (1,) * len(winners) + (2,) * len(losers)
        return Ranked(group.context, answers, ranks, "low", self.field, "best_rest", scores=True)

    @property
    def field(self) -> str:
        """What errors call it."""
        return _listed(self.winner)[0]

    def _outcome(self, group: Group, scopes: Scopes, policy: VerdictPolicy) -> tuple[str | None, float | None]:
        if isinstance(self.winner, dict):
            return _agreed([_called(self._one_hot(scope), scope) for scope in scopes], self.agree), None
        paths = (self.winner,) if isinstance(self.winner, str) else self.winner
        votes = [(cell, field, scope) for scope in scopes for field in paths for cell in _cells([field], scope)]
        numbers = [number_in(cell) for cell, *_ in votes if not is_in(cell, self.skip)]
        known = [number for number in numbers if number is not None]
        if self.cut is not None and self.agree == "mean" and known and len(known) == len(numbers):
            votes = [(math.fsum(self._turned(votes)) / len(known), self.field, scopes[0]._replace(called=None))]
        gap = None
        if self.cut is not None and len(votes) == 1 and (number := number_in(votes[0][0])) is not None:
            gap = abs(number - self.cut)
        named = [_called(self._vote(cell, field, group, policy), scope) for cell, field, scope in votes]
        return _agreed(named, self.agree), gap

    def _turned(self, votes: list[tuple[Any, str, Scope]]) -> Iterator[float]:
        """The numbers of votes about a cut, seen from the side of the first record."""
        for cell, _, scope in votes:
            number = number_in(cell)
            if number is not None and self.cut is not None and not is_in(cell, self.skip):
                yield 2 * self.cut - number if scope.called else number

    def _one_hot(self, scope: Scope) -> str | None:
        columns = self.winner if isinstance(self.winner, dict) else {}
        won = []
        for name, column in columns.items():
            cell = path(column).read(scope)
            number = float(cell) if type(cell) is bool else number_in(cell)
            if cell is None or cell is MISSING:
                continue
            if number not in (0.0, 1.0):
                raise KTOLabelError("label_unrecognised", f"{shown(cell)} is neither 0 nor 1", field=column)
            won += [name] * (number == 1.0)
        if len(won) > 1:
            raise KTOLabelError("contradictory_verdicts", f"{' and '.join(won)} won together", field=self.field)
        return won[0] if won else None

    def _vote(self, cell: Any, field: str, group: Group, policy: VerdictPolicy) -> str | None:
        named = next((name for name, values in self._meanings() if is_in(cell, values)), None)
        if named is not None:
            return named
        if cell is None or is_in(cell, self.skip):
            return None
        if self.cut is not None and (number := number_in(cell)) is not None:
            if abs(number - self.cut) <= self.band:
                return TIE
            return self.below if number < self.cut else self.above
        if self.index is not None and (name := _by_index(cell, self.index, group)) is not None:
            return name
        if policy.unknown_value == "skip":
            return "unmapped"
        raise KTOLabelError(
            "winner_unmapped", f"{shown(cell)} names no candidate of the mapping", field=field, seen=shown(cell)
        )


def _called(name: str | None, scope: Scope) -> str | None:
    """A candidate's name in its group."""
    return scope.called.get(name, name) if scope.called and name is not None else name


def _by_index(cell: Any, base: int, group: Group) -> str | None:
    number = number_in(cell)
    names = list(dict.fromkeys(one.name for one in group.candidates))
    if number is None or not number.is_integer() or not 0 <= number - base < len(names):
        return None
    return names[int(number) - base]


def _agreed(votes: list[str | None], agree: str) -> str | None:
    given = [vote for vote in votes if vote is not None]
    if not given:
        return None
    if agree == "first":
        return given[0]
    [(outcome, count)] = Counter(given).most_common(1)
    enough = count == len(given) if agree == "unanimous" else 2 * count > len(given)
    return outcome if enough else "disagreement"


def undecided(outcome: str, group: Group, policy: VerdictPolicy) -> Iterator[Fact]:
    """What the policy makes of answers that are equal, or bad together."""
    choice = policy.tie if outcome == TIE else {"keep": "both_bad"}.get(policy.both_bad, policy.both_bad)
    if choice == "drop":
        yield Unjudged(outcome)
        return
    label = GOOD if choice == "both_good" else BAD
    for one in group.candidates:
        yield Judged(group.context, one.answer, label, one.name, FIXED, (), _SIDE_TYPES[label])


def _kind(value: Any) -> str:
    if isinstance(value, Spec):
        return type(value).__name__.lower()
    keys = value if isinstance(value, dict) else {}
    return next((kind for kind in ("winner", "rank", "rating", "label") if kind in keys), "fixed")


Verdict = Annotated[
    Annotated[Fixed, Tag("fixed")]
    | Annotated[Label, Tag("label")]
    | Annotated[Winner, Tag("winner")]
    | Annotated[Rank, Tag("rank")]
    | Annotated[Rating, Tag("rating")],
    Discriminator(_kind),
]
"""Exactly one kind of verdict; which, its keys say."""
