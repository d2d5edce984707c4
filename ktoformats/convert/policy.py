"""What follows from a fact: the one place where sides, ties, ranks and repeats are decided, for every format."""

from __future__ import annotations

import math
import re
from functools import lru_cache
from hashlib import sha256
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

from ktoformats.errors import KTOLabelError, PluginContractError, RecordError
from ktoformats.feedback import (
    BAD,
    GOOD,
    PREFERENCE_TYPES,
    Context,
    Fact,
    Judged,
    Pair,
    Ranked,
    Rated,
    Response,
    Unjudged,
)
from ktoformats.plugin.blank import is_blank
from ktoformats.plugin.turns import joined

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ktoformats.convert.labels import LabelReader, Verdict

_THOUGHT, _END_OF_THOUGHT = "<think>", "</think>"
_WHITE: Final = re.compile(r"\s*")


class Policy(NamedTuple):
    """The choices of the configuration that turn facts into samples."""

    convert_pairs: bool = True
    pair_sides: Literal["all", "balanced", "random"] = "all"
    ranking: Literal["best_worst", "best_rest", "halves", "threshold"] = "best_worst"
    ranking_ties: Literal["reject", "allow"] = "reject"
    ranking_good_to: int = 1
    ranking_bad_from: int | None = None
    verdict_conflict: Literal["reject", "first"] = "reject"
    reasoning: Literal["keep", "strip", "reject"] = "keep"
    empty_prompt: bool = False
    empty_response: bool = False
    min_gap: float | None = None
    seed: int = 42


class Candidate(NamedTuple):
    """One sample in the making."""

    context: Context
    text: str
    reasoning: str
    tool_calls: str
    label: str
    fact: Fact
    field: str
    cell: Any
    scale: str = ""
    position: float | None = None
    rank: float | None = None
    flags: tuple[str, ...] = ()
    row: int = 0
    """Among records that were gathered: the one it comes from."""


def preference_type(fact: Fact, label: str) -> str:
    """The specification's name for where a label comes from."""
    if type(fact) is Judged and fact.preference_type:
        return fact.preference_type
    return preference_type_of(type(fact), label)


def preference_type_of(kind: type[Fact], label: str) -> str:
    """The same for a kind of fact."""
    return PREFERENCE_TYPES[kind][label == BAD]


class Outcome:
    """What became of one record's facts."""

    __slots__ = ("candidates", "lost", "notices", "repeated", "unjudged")

    def __init__(self) -> None:
        self.candidates: list[Candidate] = []
        self.lost: list[RecordError] = []
        """Candidates that are damaged; they cost themselves, not the record."""
        self.unjudged: list[str] = []
        """A reason for each candidate without a verdict."""
        self.notices: list[str] = []
        """A code for each change worth counting."""
        self.repeated: list[int] = []
        """The rows of answers that another row gave, too."""


def decide(facts: Iterable[Fact], policy: Policy, labels: LabelReader) -> Outcome:
    """Turn one record's facts into candidates.

    Args:
        facts: What the adapter states.
        policy: The configured choices.
        labels: Reads raw cells.

    Returns:
        The candidates, what was lost and why; a record with neither has no verdict.
    """
    outcome = Outcome()
    for fact in facts:
        rule = _RULES.get(type(fact))
        if rule is None:
            message = f"facts() yielded {fact!r:.60}, expected one of {_FACT_NAMES}, each yielded, not returned"
            raise PluginContractError(message, kind="format")
        rule(fact, policy, labels, outcome)
    if len(outcome.candidates) > 1 and not _all_differ(outcome.candidates):
        _drop_repeats(outcome)
    return outcome


def _judged(fact: Judged, policy: Policy, labels: LabelReader, outcome: Outcome) -> None:
    try:
        verdict = labels.read(fact.verdict, fact.field, fact.scale)
        if fact.also and verdict.label and policy.verdict_conflict == "reject":
            _refuse_conflict(fact, verdict, labels)
    except KTOLabelError as error:
        _lose(error, fact.response, outcome)
        return
    _add_verdict(fact, fact.verdict, verdict, policy, outcome)


def _refuse_conflict(fact: Judged, verdict: Verdict, labels: LabelReader) -> None:
    for field, cell, scale in fact.also:
        try:
            other = labels.read(cell, field, scale)
        except KTOLabelError:
            continue  # a column that its scale cannot read says nothing about this answer
        if other.label and other.label != verdict.label:
            raise KTOLabelError(
                "contradictory_verdicts",
                f"{fact.field} {fact.verdict!r} says {verdict.label}, {field} {cell!r} says {other.label}; "
                "set verdict_conflict: first to let the first column decide",
                field=fact.field,
            )


def _rated(fact: Rated, policy: Policy, labels: LabelReader, outcome: Outcome) -> None:
    try:
        verdict = labels.read(fact.value, fact.field, fact.scale)
    except KTOLabelError as error:
        _lose(error, fact.response, outcome)
        return
    _add_verdict(fact, fact.value, verdict, policy, outcome)


def _add_verdict(fact: Judged | Rated, cell: Any, verdict: Verdict, policy: Policy, outcome: Outcome) -> None:
    if not verdict.label:
        outcome.unjudged.append(verdict.reason)
        return
    try:
        context, text, reasoning, calls = _answer(fact.context, fact.response, policy, outcome)
    except RecordError as error:
        _lose(error, fact.response, outcome)
        return
    if verdict.flags:
        outcome.notices += verdict.flags
    outcome.candidates.append(
        Candidate(
            *(context, text, reasoning, calls, verdict.label, fact, fact.field, cell),
            *(verdict.scale, verdict.position, None, verdict.flags, _row_of(fact.response)),
        )
    )


def _pair(fact: Pair, policy: Policy, labels: LabelReader, outcome: Outcome) -> None:  # noqa: ARG001
    if not policy.convert_pairs:
        outcome.lost.append(
            RecordError("pairs_refused", "the record is a pair, and convert_pairwise_to_binary is false")
        )
        return
    if _is_small(fact.margin, policy.min_gap if fact.min_gap is None else fact.min_gap):
        outcome.unjudged.append("small_gap")
        return
    sides = [
        (GOOD, "chosen", _side(fact.context, fact.chosen, policy, outcome)),
        (BAD, "rejected", _side(fact.context, fact.rejected, policy, outcome)),
    ]
    good, bad = sides[0][2], sides[1][2]
    if good is not None and bad is not None and good == bad and not fact.same_text:
        outcome.unjudged.append("identical_sides")
        return
    if good is not None and bad is not None and good[0].prompt != bad[0].prompt and fact.context is not None:
        outcome.lost.append(
            RecordError("prompt_mismatch", "the two sides answer different prompts", field="rejected")
        )
        return
    if policy.pair_sides == "random" and good is not None and bad is not None:
        outcome.notices.append("unpaired")
        sides = [sides[_random_side(good, bad, policy.seed)]]
    for label, field, answer in sides:
        if answer is not None:
            context, text, reasoning, calls = answer
            row = _row_of(fact.chosen if label == GOOD else fact.rejected)
            outcome.candidates.append(
                Candidate(context, text, reasoning, calls, label, fact, field, fact.margin, row=row)
            )


def _is_small(margin: float | None, least: float | None) -> bool:
    return margin is not None and least is not None and abs(margin) < least


_Answer = tuple[Context, str, str, str]
_Places = tuple[tuple[int, int], ...]


def _side(
    context: Context | None, response: str | Response | BaseException, policy: Policy, outcome: Outcome
) -> _Answer | None:
    try:
        return _answer(context, response, policy, outcome)
    except RecordError as error:
        _lose(error, response, outcome)
        return None


def _lose(error: RecordError, response: str | Response | BaseException, outcome: Outcome) -> None:
    """One answer is lost; what could not be read says itself which row it stands in."""
    if error is not response:
        error.row = _row_of(response)
    outcome.lost.append(error)


def _answer(
    context: Context | None, response: str | Response | BaseException, policy: Policy, outcome: Outcome
) -> _Answer:
    """Context, text, reasoning and tool calls of one answer; raises RecordError when it is damaged."""
    reasoning = calls = ""
    if isinstance(response, str):
        text = response
    elif isinstance(response, BaseException):
        raise response
    else:
        text, reasoning, calls = response.text, response.reasoning, response.tool_calls
        context = joined(response.context, context)
    if context is None:
        raise RecordError("missing_field", "the answer has no prompt, neither beside it nor in it", field="prompt")
    if policy.reasoning != "keep" and (reasoning or "<think>" in text):
        text, reasoning = _without_reasoning(text, policy, outcome), ""
    if not policy.empty_response and is_blank(text) and not calls:
        raise RecordError("empty_response", "the response is empty", field="response")
    prompt = context.prompt
    if not policy.empty_prompt and is_blank(prompt):
        raise RecordError("empty_prompt", "the prompt is empty; min_prompt_length: 0 allows it", field="prompt")
    return context, text, reasoning, calls


def _row_of(response: str | Response | BaseException) -> int:
    return response.row if type(response) is Response else 0


def _without_reasoning(text: str, policy: Policy, outcome: Outcome) -> str:
    if policy.reasoning == "reject":
        raise RecordError(
            "reasoning_refused", "the answer holds reasoning and `reasoning: reject` is set", field="response"
        )
    stripped = _without_thoughts(text)
    if _THOUGHT in stripped:
        raise RecordError(
            "reasoning_refused", "a <think> block is never closed; it cannot be stripped", field="response"
        )
    outcome.notices.append("reasoning_stripped")
    return stripped


def _without_thoughts(text: str) -> str:
    """Without what stands between a `<think>` and the next `</think>`, and without the white space behind it.

    One pass: an expression would look for the end again from every beginning that has none.
    """
    parts = []
    place = 0
    while (start := text.find(_THOUGHT, place)) >= 0 and (end := text.find(_END_OF_THOUGHT, start)) >= 0:
        parts.append(text[place:start])
        behind = _WHITE.match(text, end + len(_END_OF_THOUGHT))
        place = behind.end() if behind else end
    return "".join([*parts, text[place:]])


def _random_side(good: _Answer, bad: _Answer, seed: int) -> int:
    """0 or 1, by a hash of the seed and the pair's content alone."""
    sides = [(answer[0].system, answer[0].prompt, *answer[1:]) for answer in (good, bad)]
    content = "\0".join(chain([str(seed)], *sides))
    return sha256(content.encode()).digest()[0] & 1


def _ranked(fact: Ranked, policy: Policy, labels: LabelReader, outcome: Outcome) -> None:  # noqa: ARG001
    try:
        order = _places(fact, policy)
    except RecordError as error:
        outcome.lost.append(error)
        return
    if len(order) <= 1:
        outcome.unjudged.append("single_candidate" if order else "null_verdict")
        return
    if len({place for place, _ in order}) == 1:
        outcome.unjudged.append("tie")
        return
    least = policy.min_gap if fact.min_gap is None else fact.min_gap
    if fact.scores and least is not None:
        best, worst = (_score(fact.ranks[order[end][1]], fact.field) for end in (0, -1))
        if _is_small(best - worst, least):
            outcome.unjudged.append("small_gap")
            return
    answers = [(place, _side(fact.context, fact.responses[index], policy, outcome), index) for place, index in order]
    living = [(place, answer, index) for place, answer, index in answers if answer is not None]
    sides = _choose(
        tuple([place for place, _, _ in living]),
        fact.pick or policy.ranking,
        policy.ranking_good_to,
        policy.ranking_bad_from,
    )
    for label, chosen in zip((GOOD, BAD), sides, strict=True):
        for number in chosen:
            place, answer, index = living[number]
            context, text, reasoning, calls = answer
            outcome.candidates.append(
                Candidate(
                    *(context, text, reasoning, calls, label, fact, fact.field, fact.ranks[index]),
                    *("", None, float(place), (), _row_of(fact.responses[index])),
                )
            )
    outcome.unjudged += ["middle_rank"] * (len(living) - len(outcome.candidates))
    _drop_equal_opposites(outcome)


def _places(fact: Ranked, policy: Policy) -> _Places:
    """(place, index) of every response, best first; places count from 1."""
    if len(fact.ranks) != len(fact.responses):
        raise RecordError(
            "length_mismatch",
            f"{len(fact.ranks)} ranks for {len(fact.responses)} responses",
            field=fact.field,
        )
    if fact.scores:
        return _places_of_scores([_score(rank, fact.field) for rank in fact.ranks], fact.best)
    ranks = tuple([rank if type(rank) is int else _exact(rank, fact.field) for rank in fact.ranks])
    found = _places_of(ranks, fact.best, policy.ranking_ties)
    if isinstance(found, str):
        raise RecordError("bad_ranking", f"ranks {fact.ranks!r:.60} {found}", field=fact.field)
    return found


@lru_cache(maxsize=10_000)
def _places_of(ranks: tuple[int, ...], best: str, ties: str) -> _Places | str:
    """The places, or what is wrong with the ranks; remembered, for a data set holds few different rankings."""
    distinct = sorted(set(ranks), reverse=best == "high")
    if len(distinct) == 1:
        return tuple((1, index) for index in range(len(ranks)))
    if len(distinct) != len(ranks) and ties == "reject":
        return "hold ties; ranking_ties: allow reads them"
    if ranks and not _are_ranks(ranks):
        return "are no permutation of 0..n-1 or 1..n"
    place_of = {rank: place for place, rank in enumerate(distinct, start=1)}
    return tuple(sorted((place_of[rank], index) for index, rank in enumerate(ranks)))


class Pick(NamedTuple):
    """An answer of a ranking that becomes a sample."""

    label: str
    answer: int
    place: float


def picks_of(ranks: tuple[int, ...], best: str, policy: Policy) -> tuple[Pick, ...]:
    """Which answers a ranking picks if none of them is damaged; nothing where it is no plain ranking."""
    return _picks_of(
        *(ranks, best, policy.ranking_ties, policy.ranking, policy.ranking_good_to, policy.ranking_bad_from)
    )


@lru_cache(maxsize=10_000)
def _picks_of(
    ranks: tuple[int, ...], best: str, ties: str, strategy: str, good_to: int, bad_from: int | None
) -> tuple[Pick, ...]:
    order = _places_of(ranks, best, ties)
    if isinstance(order, str) or len({place for place, _ in order}) <= 1:
        return ()
    sides = _choose(tuple([place for place, _ in order]), strategy, good_to, bad_from)
    return tuple(
        Pick(label, order[number][1], float(order[number][0]))
        for label, chosen in zip((GOOD, BAD), sides, strict=True)
        for number in chosen
    )


def _places_of_scores(scores: list[float], best: str) -> _Places:
    place_of = {score: place for place, score in enumerate(sorted(set(scores), reverse=best == "high"), start=1)}
    return tuple(sorted((place_of[score], index) for index, score in enumerate(scores)))


def _score(value: Any, field: str) -> float:
    """A finite number, also one that is written as a text; True is none."""
    try:
        number = float(value) if type(value) in (int, float, str) else math.nan
    except ValueError:
        number = math.nan
    if math.isfinite(number):
        return number
    raise RecordError("bad_ranking", f"{value!r:.40} is no score to rank by", field=field)


def _are_ranks(ranks: Sequence[int]) -> bool:
    """Whether these count from 0 or 1: all different, or with ties as 1, 1, 2 or 1, 1, 3 or 1, 3, 3 would have it.

    Anything else, such as 9, 9, 3, is a list of scores.
    """
    count = len(ranks)
    ordered = sorted(ranks)
    low, high = ordered[0], ordered[-1]
    dense = sorted(set(ranks)) == list(range(low, low + len(set(ranks))))
    first = {rank: place for place, rank in reversed(list(enumerate(ordered)))}
    last = {rank: place for place, rank in enumerate(ordered)}
    smaller = all(rank == low + place for rank, place in first.items())
    larger = all(rank == high - (count - 1 - place) for rank, place in last.items())
    return (low in (0, 1) and (dense or smaller)) or (larger and high in (count - 1, count))


def _exact(rank: Any, field: str) -> int:
    """A rank as an integer: 2, 2.0 and "2" are exact, True and 1.5 are not ranks."""
    if type(rank) is int:
        return rank
    if type(rank) is float and rank.is_integer():
        return int(rank)
    if type(rank) is str and re.fullmatch(r"[+-]?[0-9]{1,9}", rank.strip()):
        return int(rank)
    raise RecordError("bad_ranking", f"rank {rank!r:.40} is no whole number", field=field)


@lru_cache(maxsize=10_000)
def _choose(
    places: tuple[int, ...], strategy: str, good_to: int, bad_from: int | None
) -> tuple[list[int], list[int]]:
    """Which of the answers, sorted by place, are good and which bad."""
    count = len(places)
    if strategy == "threshold":
        bad_from = bad_from or good_to + 1
        return (
            [i for i in range(count) if places[i] <= good_to],
            [i for i in range(count) if places[i] >= bad_from],
        )
    if count < 2 or places[0] == places[-1]:  # noqa: PLR2004 - a preference needs two places
        return [], []
    best = [i for i in range(count) if places[i] == places[0]]
    if strategy == "best_rest":
        return best, [i for i in range(count) if places[i] != places[0]]
    if strategy == "best_worst":
        return best, [i for i in range(count) if places[i] == places[-1]]
    half = count // 2
    # a tie over the middle belongs to neither half
    last_good, first_bad = places[half - 1], places[count - half]
    if last_good == first_bad:
        return (
            [i for i in range(half) if places[i] < last_good],
            [i for i in range(count - half, count) if places[i] > first_bad],
        )
    return (
        [i for i in range(count) if places[i] <= last_good],
        [i for i in range(count) if places[i] >= first_bad],
    )


def _drop_equal_opposites(outcome: Outcome) -> None:
    """Take out texts that stand on the good and on the bad side of one ranking."""
    if _all_differ(outcome.candidates):
        return
    good = {_content(c) for c in outcome.candidates if c.label == GOOD}
    both = {_content(c) for c in outcome.candidates if c.label == BAD} & good
    if both:
        kept = [c for c in outcome.candidates if _content(c) not in both]
        outcome.unjudged += ["identical_sides"] * (len(outcome.candidates) - len(kept))
        outcome.candidates = kept
    if len({c.label for c in outcome.candidates}) == 1 and both:
        # the preference hung on the pair; what is left was preferred to nothing
        outcome.unjudged += ["identical_sides"] * (len(outcome.candidates))
        outcome.candidates = []


def _unjudged(fact: Unjudged, policy: Policy, labels: LabelReader, outcome: Outcome) -> None:  # noqa: ARG001
    outcome.unjudged.append(fact.reason)


def _drop_repeats(outcome: Outcome) -> None:
    """Emit an answer that was reached twice once; two opposite verdicts about it cancel out."""
    labels: dict[tuple[Any, ...], set[str]] = {}
    for one in outcome.candidates:
        labels.setdefault(_content(one), set()).add(one.label)
    if len(labels) == len(outcome.candidates):
        return
    kept, seen = [], set[Any]()
    for one in outcome.candidates:
        content = _content(one)
        if len(labels[content]) > 1 and not (type(one.fact) is Pair and one.fact.same_text):
            if (content, one.row) not in seen:
                error = KTOLabelError("contradictory_verdicts", "one answer is judged good and bad", field=one.field)
                error.row = one.row
                outcome.lost.append(error)
            seen.add((content, one.row))
        elif (content, one.label) in seen:
            outcome.notices.append("repeat")
            outcome.repeated.append(one.row)
        else:
            kept.append(one)
        seen.add((content, one.label))
    outcome.candidates = kept


def _all_differ(candidates: list[Candidate]) -> bool:
    """Whether no two answers have the same text: then nothing repeats, and nothing costlier need be compared."""
    return len({one.text for one in candidates}) == len(candidates)


def _content(one: Candidate) -> tuple[Any, ...]:
    return (one.context, one.text, one.tool_calls, one.reasoning)


_RULES: Final[dict[type, Callable[..., None]]] = {
    Judged: _judged,
    Rated: _rated,
    Pair: _pair,
    Ranked: _ranked,
    Unjudged: _unjudged,
}
_FACT_NAMES: Final = ", ".join(fact.__name__ for fact in _RULES)
