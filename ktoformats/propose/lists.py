"""Layouts whose answers are the items of a list, the turns of a dialogue, or siblings in a tree."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ktoformats.feedback import BAD, GOOD
from ktoformats.propose import verdicts
from ktoformats.propose.columns import Layout, Told, all_places, columns_of, context_of, is_free, merged
from ktoformats.propose.seats import Seat, role_of, roles_in
from ktoformats.propose.verdicts import Column
from ktoformats.propose.walk import Place, at, cells, last_name, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

_TWO: Final = 2


def each(records: Sequence[Any], good: Seat, bad: Seat) -> Layout:
    """Every item of a list is an answer."""
    told: Told = [((good.record, good.number), GOOD), ((bad.record, bad.number), BAD)]
    context = context_of(records, [good])
    options = merged([good.extra, context.options])
    options["candidates"] = {"each": path_of(good.column), **good.form}

    def items(number: int) -> list[Any]:
        value = at(records[number], good.column)
        return value if type(value) is list else []

    columns = [one for one in columns_of(records, told, items) if one.path != good.form.get("text")]
    parallel = beside(records, told, items)
    columns += parallel
    readings = [*verdicts.judged(columns), *verdicts.ranked(columns)]
    readings += verdicts.averaged(_starred(records, told, items))
    places: list[list[Any]] = [list(range(len(items(number)))) for number in range(len(records))]
    by_place = Column("position", [(good.number, GOOD), (bad.number, BAD)], places)
    readings += [one._replace(score=1.0 + 3 * (not columns)) for one in verdicts.ranked([by_place])]
    winners: Told = [((good.record,), good.number)]
    if len(items(bad.record)) == _TWO:
        winners.append(((bad.record,), 1 - bad.number))
    beside_it = columns_of(records, winners, lambda number: [records[number]], without=good.column)
    lists = tuple(one.path.removeprefix("$.").replace("[#]", "[") for one in parallel)  # each of them is one answer's
    readings += verdicts.won(
        [one for one in beside_it if is_free(one, options) and not one.path.startswith(lists)], ()
    )
    return Layout(options, readings, context.questions)


def beside(records: Sequence[Any], told: Told, items: Callable[[int], list[Any]]) -> list[Column]:
    """Lists of the record that are as long as the list of answers: `$.scores[#]`."""
    found = []
    for place in all_places(records):
        lists = [
            (value if type(value := at(record, place)) is list else None, len(items(n)))
            for n, record in enumerate(records)
        ]
        if any(value is None or len(value) != count for value, count in lists):
            continue
        inner = (
            [(), *((key,) for key in (lists[0][0] or [{}])[0])] if type((lists[0][0] or [None])[0]) is dict else [()]
        )
        for rest in inner:
            groups = [[at(one, rest) for one in value or []] for value, _ in lists]
            if all(type(one) not in (dict, list, str) for group in groups for one in group):
                end = f".{path_of(rest)}" if rest else ""
                known = [(groups[spot[0]][spot[1]], label) for spot, label in told]  # type: ignore[index]
                found.append(Column(f"$.{path_of(place)}[#]{end}", known, groups))
    return found


def _starred(records: Sequence[Any], told: Told, items: Callable[[int], list[Any]]) -> list[Column]:
    """Places of an item that differ in one name: `annotations.*.rating`."""
    spots = [
        place for number in {spot[0] for spot, _ in told} for one in items(int(number)) for place, _ in cells(one)
    ]
    families: dict[tuple[Any, ...], set[Place]] = {}
    for place in dict.fromkeys(spots):
        for step in range(len(place) - 1):
            if type(place[step]) is str:
                families.setdefault((*place[:step], None, *place[step + 1 :]), set()).add(place)
    found = []
    for family, places in families.items():
        if len(places) < _TWO or any(type(step) is int for step in family):
            continue
        path = ".".join("*" if step is None else path_of((step,)) for step in family)
        ordered = sorted(places, key=path_of)

        def all_of(item: Any, ordered: list[Place] = ordered) -> list[Any]:
            return [at(item, place) for place in ordered]

        groups = [[all_of(one) for one in items(number)] for number in range(len(records))]
        known = [(all_of(items(int(spot[0]))[int(spot[1])]), label) for spot, label in told]
        found.append(Column(path, known, groups))
    return found


def turns(records: Sequence[Any], good: Seat, bad: Seat) -> Layout:
    """Every answer of a dialogue."""
    told: Told = [((good.record, good.number), GOOD), ((bad.record, bad.number), BAD)]

    def items(number: int) -> list[Any]:
        value = at(records[number], good.column)
        return value if type(value) is list else []

    columns = [
        one for one in columns_of(records, told, items) if one.path not in ("content", "value", "role", "from")
    ]
    return Layout({**good.extra, "candidates": {"each_turn": path_of(good.column)}}, verdicts.judged(columns))


def turn_columns(records: Sequence[Any], good: Seat, bad: Seat) -> list[str]:
    """Columns that hold the number of the judged answer, counted from 1."""
    told: Told = [((seat.record,), _answer_number(records, seat)) for seat in (good, bad)]
    columns = columns_of(records, told, lambda number: [records[number]], without=good.column, differ=False)
    return [one.path for one in columns if all(type(value) is int and value == number for value, number in one.told)]


def _answer_number(records: Sequence[Any], seat: Seat) -> int:
    roles = roles_in(at(records[seat.record], seat.column))
    return roles[: seat.number + 1].count("assistant")


def tree(records: Sequence[Any], good: Seat, bad: Seat) -> Layout:
    """The answers to one turn of a tree."""
    children = good.form["children"]
    groups = [group for record in records for group in _siblings(at(record, good.column), children)]

    def own(seat: Seat) -> Any:
        place = seat.place
        while place and (
            type(at(records[seat.record], place)) is not dict or role_of(at(records[seat.record], place)) is None
        ):
            place = place[:-1]
        return at(records[seat.record], place)

    known = [(own(good), GOOD), (own(bad), BAD)]
    places = dict.fromkeys(place for node, _ in known for place, _ in cells({**node, children: None}))
    columns = [
        Column(
            path_of(place),
            [(at(node, place), label) for node, label in known],
            [[at(one, place) for one in group] for group in groups],
        )
        for place in places
        if at(known[0][0], place) != at(known[1][0], place) and last_name(place) not in (children, "text", "content")
    ]
    return Layout(dict(good.extra), [*verdicts.ranked(columns), *verdicts.judged(columns)])


def _siblings(node: Any, children: str) -> Iterator[list[Any]]:
    waiting = [node]
    while waiting:
        one = waiting.pop()
        below = one.get(children) if type(one) is dict else None
        if type(below) is list and below:
            answers = [each for each in below if type(each) is dict and (role_of(each) or ("", ""))[1] == "assistant"]
            if len(answers) > 1:
                yield answers
            waiting += below
