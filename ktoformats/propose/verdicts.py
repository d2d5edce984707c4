"""Who may have judged, and how: the verdicts that agree with what is known of a few answers."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.blocks.cells import number_in
from ktoformats.blocks.path import MISSING
from ktoformats.feedback import BAD, GOOD
from ktoformats.propose.walk import tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_TELLING: Final = {
    **dict.fromkeys(("winner", "label", "preferred", "preference", "better", "verdict", "feedback", "vote"), 5),
    **dict.fromkeys(("thumb", "thumbs", "rank", "ranking", "rankings", "kto"), 5),
    **dict.fromkeys(("rating", "score", "sort", "choice", "chosen", "best", "grade", "annotator", "selected"), 4),
    **dict.fromkeys(("like", "liked", "accepted", "annotations", "stars", "judgement", "judgment"), 4),
    **dict.fromkeys(("helpfulness", "helpful", "quality", "reward", "good", "correct", "overall", "tag"), 3),
}
_SILENT: Final = frozenset(
    [
        *("id", "index", "idx", "count", "length", "len", "time", "date", "created", "updated", "at", "turn", "num"),
        *("number", "tokens", "year", "verbosity", "complexity", "confidence", "seed", "version", "model", "worker"),
        *("batch", "split", "lang", "language", "depth", "emojis", "key", "archived", "pinned"),
    ]
)
_MOST_VALUES: Final = 12
_PAIR: Final = 2
_TIES: Final = ("tie", "draw", "equal", "same", "both")
_GOOD_SIDES: Final = frozenset(
    ("chosen", "preferred", "good", "better", "best", "win", "winner", "winning", "accepted", "positive", "pos")
)
_BAD_SIDES: Final = frozenset(
    ("rejected", "bad", "worse", "worst", "lose", "loser", "losing", "negative", "neg", "dispreferred", "non", "not")
)
_OUTLIER: Final = -1


class Column(NamedTuple):
    """A place that may hold verdicts."""

    path: str
    told: list[tuple[Any, Any]]
    """What stands there beside the known answers, and what is known: a label, or the winner's number."""
    groups: list[list[Any]]
    """What stands there in all records; of answers in a list or a tree, those of each list by itself."""

    @property
    def seen(self) -> Counter[Any]:
        """How often each value stands there; 1 and true are two."""
        return Counter((type(one), one) for group in self.groups for one in group if _is_value(one))

    @property
    def telling(self) -> float:
        """How much its name sounds like a verdict."""
        words = tokens(self.path)
        return sum(_TELLING.get(word) or _TELLING.get(word.rstrip("s"), 0) for word in words) - 4 * sum(
            word in _SILENT for word in words
        )


class Reading(NamedTuple):
    """A verdict, how likely it is meant, and what it leaves open."""

    verdict: dict[str, Any]
    score: float
    questions: tuple[str, ...] = ()


def _is_value(one: Any) -> bool:
    return one is not None and one is not MISSING and type(one) not in (list, dict)


def _values(column: Column) -> list[Any]:
    return [value for (_, value), _ in column.seen.most_common()]


def _times(column: Column, value: Any) -> str:
    return f"{value!r} ({column.seen[type(value), value]} times)"


def judged(columns: Iterable[Column]) -> list[Reading]:
    """Labels and ratings that each answer has for itself."""
    readings = []
    for column in columns:
        told = [(value, label) for value, label in column.told if _is_value(value)]
        if len(told) == len(column.told) and {label for _, label in told} == {GOOD, BAD}:
            made = _rating(column) or _label(column)  # of more than two numbers, bounds say more than a list
            readings += [made] if made else []
    return readings


def _label(column: Column) -> Reading | None:
    sides: dict[str, list[Any]] = {GOOD: [], BAD: []}
    for value, label in column.told:
        sides[label].append(value)
    values = _values(column)
    if len(values) > _MOST_VALUES or any(_alike(one, other) for one in sides[GOOD] for other in sides[BAD]):
        return None
    named: dict[str, list[Any]] = {GOOD: [], BAD: []}
    rest: list[Any] = []
    for value in values:
        label = next((label for label in (GOOD, BAD) if any(_alike(value, one) for one in sides[label])), None)
        (named[label] if label else rest).append(value)
    questions = (f"{column.path}: good, bad, or `skip: [...]`? {', '.join(_times(column, one) for one in rest)}",)
    bonus = 3 * any(type(value) is bool for value in values) + 2 * (not rest)
    verdict = {"label": column.path, "good": named[GOOD], "bad": named[BAD]}
    return Reading(verdict, column.telling + bonus, questions if rest else ())


def _alike(one: Any, other: Any) -> bool:
    """Whether two cells say the same: 1, 1.0 and "1" do, true does not."""
    if type(one) is bool or type(other) is bool:
        return one is other
    numbers = number_in(one), number_in(other)
    return one == other or (None not in numbers and numbers[0] == numbers[1])


def _rating(column: Column) -> Reading | None:
    numbers = {label: [number_in(value) for value, given in column.told if given == label] for label in (GOOD, BAD)}
    values = _values(column)
    known = sorted(
        {number for value in values if (number := number_in(value)) is not None and type(value) is not bool}
    )
    if None in numbers[GOOD] + numbers[BAD] or len(known) <= _PAIR:
        return None
    good, bad = [_bounds(numbers[label]) for label in (GOOD, BAD)]
    if good[0] > bad[1]:
        bounds, between = (good[0], bad[1]), [one for one in known if bad[1] < one < good[0]]
    elif good[1] < bad[0]:
        bounds, between = (good[1], bad[0]), [one for one in known if good[1] < one < bad[0]]
    else:
        return None
    missing = [value for value in values if number_in(value) is None]
    if known[0] < _OUTLIER and known[1] >= 0:
        missing.append(next(value for value in values if number_in(value) == known[0]))
    verdict: dict[str, Any] = {"rating": column.path, "good": _short(bounds[0]), "bad": _short(bounds[1])}
    if missing:
        verdict["missing"] = missing
    return Reading(verdict, column.telling + 1, _open_bounds(column.path, bounds, between, known))


def _open_bounds(path: str, bounds: tuple[float, float], between: list[float], known: list[float]) -> tuple[str, ...]:
    if not between and known[0] in bounds and known[-1] in bounds:
        return ()
    shown = f"; {', '.join(map(_shown, between[:_MOST_VALUES]))} lie between and give nothing" if between else ""
    question = f"{path}: where does good begin, where does bad end? Values run from {_shown(known[0])} to "
    return (f"{question}{_shown(known[-1])}; the bounds are those of the two answers{shown}",)


def _bounds(numbers: list[float | None]) -> tuple[float, float]:
    known = [number for number in numbers if number is not None]
    return min(known), max(known)


def _short(number: float) -> float:
    return int(number) if number.is_integer() else number


def _shown(number: float) -> str:
    return f"{_short(number):g}"


def averaged(columns: Sequence[Column]) -> list[Reading]:
    """Ratings of which each answer has several, under one path with `*`."""
    readings = []
    for column in columns:
        told = [(_mean(cells), label) for cells, label in column.told]
        flat = [value for group in column.groups for cells in group for value in cells]
        if any(value is None for value, _ in told) or len({label for _, label in told}) < _PAIR:
            continue
        made = _rating(Column(column.path, told, [[_mean(cells) for cells in group] for group in column.groups]))
        if made:
            words = [value for value in dict.fromkeys(flat) if _is_value(value) and number_in(value) is None]
            verdict = {**made.verdict, "missing": words} if words else made.verdict
            readings.append(made._replace(verdict=verdict, score=made.score + 3))
    return readings


def _mean(cells: list[Any]) -> float | None:
    known = [number for value in cells if (number := number_in(value)) is not None]
    return math.fsum(known) / len(known) if known else None


def ranked(columns: Iterable[Column], path: str = "") -> list[Reading]:
    """Orders that the answers of a list or a tree stand in, by a number of each.

    Args:
        columns: Numbers of answers, in groups.
        path: How the verdict names them, where it is not the column's path.
    """
    readings = []
    for column in columns:
        told = [(number_in(value), label) for value, label in column.told if type(value) is not bool]
        good = [number for number, label in told if label == GOOD]
        bad = [number for number, label in told if label == BAD]
        if len(told) < len(column.told) or None in good + bad or not good or not bad:
            continue
        (least, most), (worst_least, worst_most) = _bounds(good), _bounds(bad)
        best = "low" if most < worst_least else "high" if least > worst_most else ""
        if best:
            permuted = is_ranking(column)
            score = column.telling + 2 + 3 * permuted * (best == "low")
            readings.append(Reading({"rank": path or column.path, "best": best}, score))
    return readings


def _is_permutation(group: list[Any]) -> bool:
    ranks = [one for one in group if _is_value(one)]
    whole = all(type(one) is int for one in ranks)
    return whole and sorted(ranks) in (list(range(len(ranks))), list(range(1, len(ranks) + 1)))


def won(columns: Iterable[Column], names: Sequence[str]) -> list[Reading]:
    """Columns of the record that say which of its answers won.

    Args:
        columns: What stands there, with the number of the winner where it is known.
        names: What the mapping calls the answers; empty where they are the items of a list.
    """
    readings = []
    for column in columns:
        told = [(value, winner) for value, winner in column.told if _is_value(value)]
        clash = any(_alike(one, other) and w != v for one, w in told for other, v in told)
        if told and len(told) == len(column.told) and not clash:
            readings += _by_number(column, names)
            if len(names) == _PAIR:
                readings += [one for one in (_by_value(column, names), _by_cut(column, names)) if one]
    return readings


def _by_number(column: Column, names: Sequence[str]) -> list[Reading]:
    numbers = [number_in(value) for value in _values(column) if type(value) is not bool]
    if not numbers or any(number is None or not number.is_integer() for number in numbers):
        return []
    if len(set(numbers)) > _MOST_VALUES:
        return []
    readings = []
    for base in (0, 1):
        if all(number_in(value) == winner + base for value, winner in column.told):
            outside = [n for n in numbers if n is not None and not base <= n < base + (len(names) or math.inf)]
            asked = tuple(f"{column.path}: what does {_shown(one)} mean? It names no answer" for one in outside)
            readings.append(Reading({"winner": column.path, "index": base}, column.telling + 3, asked))
            if len(outside) == 1 and names:
                readings.append(_with_tie(column, names, base, outside[0]))
    return readings


def _with_tie(column: Column, names: Sequence[str], base: int, tie: float) -> Reading:
    """The same, where the one number that names no answer may stand for a tie."""
    sides = {
        name: [value for value in _values(column) if number_in(value) == place]
        for place, name in enumerate(names, base)
    }
    ties = [value for value in _values(column) if number_in(value) == tie]
    verdict = {"winner": column.path, **{name: found for name, found in sides.items() if found}, "tie": ties}
    asked = f"{column.path}: is {', '.join(_times(column, value) for value in ties)} a tie, as it is read here?"
    return Reading(verdict, column.telling + 2.5, (asked,))


def _by_value(column: Column, names: Sequence[str]) -> Reading | None:
    values = _values(column)
    if len(values) > _MOST_VALUES:
        return None
    sides: dict[str, list[Any]] = {name: [] for name in names}
    rest: list[Any] = []
    for value in values:
        winner = next((winner for known, winner in column.told if _alike(known, value)), None)
        (rest if winner is None else sides[names[winner]]).append(value)
    empty = [name for name in names if not sides[name]]
    ties = [value for value in rest if type(value) is str and any(word in value.lower() for word in _TIES)]
    others = [value for value in rest if value not in ties]
    if len(others) == 1 and len(empty) == 1:
        sides[empty[0]] = [others.pop()]  # two values, two sides, and one of them is known
    verdict: dict[str, Any] = {"winner": column.path, **{name: found for name, found in sides.items() if found}}
    both_bad = [value for value in ties if "bad" in value.lower()]
    if plain := [value for value in ties if value not in both_bad]:
        verdict["tie"] = plain
    if both_bad:
        verdict["both_bad"] = both_bad
    asked = tuple(f"{column.path}: who won where it is {_times(column, value)}?" for value in others)
    return Reading(verdict, column.telling + 2 - len(others), asked)


def _by_cut(column: Column, names: Sequence[str]) -> Reading | None:
    numbers = sorted({number for value in _values(column) if (number := number_in(value)) is not None})
    if not numbers or len(numbers) < len(set(_values(column))):
        return None
    cut = 0.0 if numbers[0] < 0 < numbers[-1] else 1.5 if numbers[0] >= 1 and numbers[-1] <= _PAIR else None
    if cut is None or (cut and all(number.is_integer() for number in numbers)):
        return None
    sides: dict[str, set[int]] = {"below": set(), "above": set()}
    for value, winner in column.told:
        number = number_in(value)
        if number is None or number == cut:
            return None
        sides["below" if number < cut else "above"].add(winner)
        sides["above" if number < cut else "below"].add(1 - winner)
    if any(len(side) != 1 for side in sides.values()):
        return None
    verdict = {"winner": column.path, "cut": _short(cut)}
    verdict |= {name: names[next(iter(side))] for name, side in sides.items()}
    return Reading(verdict, column.telling + 3)


def one_hot(columns: Sequence[Column], names: Sequence[str]) -> list[Reading]:
    """Columns of which one is 1 in each record: `winner_a`, `winner_b`, `winner_tie`."""
    families: dict[str, list[Column]] = {}
    for column in columns:
        if all(_alike(value, 0) or _alike(value, 1) or type(value) is bool for value in _values(column)):
            families.setdefault(" ".join(tokens(column.path)[:-1]), []).append(column)
    readings = []
    for family in families.values():
        rows = list(zip(*([float(v or 0) for g in one.groups for v in g] for one in family), strict=False))
        if len(family) < _PAIR or not rows or any(sum(row) > 1 for row in rows):
            continue
        sides: dict[str, str] = {}
        for column in family:
            winners = {winner for value, winner in column.told if value is not MISSING and float(value or 0) == 1}
            if len(winners) == 1:
                sides[names[winners.pop()]] = column.path
            elif any(word in _TIES for word in tokens(column.path)):
                sides["tie"] = column.path
        left = [one.path for one in family if one.path not in sides.values()]
        unnamed = [name for name in names if name not in sides]
        if len(left) == len(unnamed) == 1:
            sides[unnamed[0]] = left[0]
        if set(names) <= set(sides):
            readings.append(Reading({"winner": sides}, family[0].telling + 4))
    return readings


def voted(columns: Sequence[Column], names: Sequence[str]) -> list[Reading]:
    """Several annotators with a column each: `annotator1`, `annotator2`, ..."""
    families: dict[str, list[Column]] = {}
    for column in columns:
        words = tokens(column.path)
        if words and words[-1].isdigit():
            families.setdefault(" ".join(words[:-1]), []).append(column)
    readings = []
    for family in families.values():
        if len(family) < _PAIR:
            continue
        told = []
        for votes in zip(*(one.told for one in family), strict=True):
            [(value, count)] = Counter(value for value, _ in votes if _is_value(value)).most_common(1) or [(None, 0)]
            if 2 * count > len(family):
                told.append((value, votes[0][1]))
        whole = Column(family[0].path, told, [group for one in family for group in one.groups])
        for one in won([whole], names) if told else []:
            verdict = {**one.verdict, "winner": [each.path for each in family], "agree": "majority"}
            asked = (*one.questions, "annotators may disagree: `agree: majority`, `unanimous` or `first`?")
            readings.append(Reading(verdict, one.score + 2, asked))
    return readings


def side_of(words: Sequence[str]) -> int:
    """1 for a name that says good, -1 for one that says bad, 0 for neither."""
    if _BAD_SIDES & set(words):
        return -1
    return int(bool(_GOOD_SIDES & set(words)))


def is_ranking(column: Column) -> bool:
    """Whether the numbers of each group are 0 to n-1, or 1 to n."""
    several = [group for group in column.groups if len(group) > 1]
    return bool(several) and all(_is_permutation(group) for group in several)


def fixed(good: Sequence[str], bad: Sequence[str], verdict: dict[str, Any]) -> Reading:
    """The columns say it themselves; how likely that is, their names tell."""
    named = bool(_GOOD_SIDES & set(good)) + bool(_BAD_SIDES & set(bad))
    return Reading(verdict, 2 + 6 * named)
