"""From the seats of two answers to whole layouts: candidates, context, and the verdicts that fit."""

from __future__ import annotations

from itertools import product
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Final

from ktoformats.blocks.path import MISSING, Scope, read_path
from ktoformats.feedback import BAD, GOOD
from ktoformats.propose import lists, verdicts
from ktoformats.propose.columns import (
    Layout,
    Told,
    all_places,
    asked_beside,
    columns_of,
    context_of,
    is_free,
    merged,
)
from ktoformats.propose.seats import Seat, roles_in
from ktoformats.propose.verdicts import Column, Reading
from ktoformats.propose.walk import Place, at, last_name, nodes, path_of, tokens

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_NAMED: Final = frozenset({"text", "message", "conversation", "transcript"})
_TWO: Final = 2
_MOST_NAMES: Final = len(ascii_lowercase)


def layouts(records: Sequence[Any], good: Sequence[Seat], bad: Sequence[Seat]) -> Iterator[Layout]:
    """Every way to read the records in which these seats hold a good and a bad answer.

    Args:
        records: Parsed records.
        good: Where the good answer stands.
        bad: Where the bad one stands.
    """
    for one, other in product(good, bad):
        yield from _layouts(records, *_as_equals(one, other))


def _as_equals(one: Seat, other: Seat) -> tuple[Seat, Seat]:
    """A dialogue's last answer is one of its turns where the other seat is one."""
    if {one.kind, other.kind} == {"turn", "conversation"} and one.column == other.column:
        return one._replace(kind="turn"), other._replace(kind="turn")
    return one, other


def _layouts(records: Sequence[Any], good: Seat, bad: Seat) -> Iterator[Layout]:
    if not good.is_like(bad):
        yield from _apart(records, good, bad)
        return
    if good.kind == "item":
        yield lists.each(records, good, bad)
    elif good.kind == "tree":
        yield lists.tree(records, good, bad)
    elif good.kind == "turn":
        yield lists.turns(records, good, bad)
        for path in lists.turn_columns(records, good, bad):
            yield from _whole(records, *(_at_turn(one, path) for one in (good, bad)))
    else:
        yield from _whole(records, good, bad)


def _apart(records: Sequence[Any], good: Seat, bad: Seat) -> Iterator[Layout]:
    """Layouts in which the two stand in different columns."""
    kinds = {good.kind, bad.kind}
    if kinds <= _NAMED | {"item"}:
        yield _named(records, good, bad, [good, bad])
        family = [good, *twins(records, good)][:_MOST_NAMES]
        if len(family) > _TWO and any(bad.is_like(one) for one in family):
            yield _named(records, good, bad, family)
    elif kinds <= {"turn", "conversation"}:
        for path in lists.turn_columns(records, good, bad):
            yield _named(
                records, _at_turn(good, path), _at_turn(bad, path), [_at_turn(one, path) for one in (good, bad)]
            )


def _at_turn(seat: Seat, path: str) -> Seat:
    return seat._replace(kind="conversation", form={"turn": path})


def _whole(records: Sequence[Any], good: Seat, bad: Seat) -> Iterator[Layout]:
    yield _single(records, good, bad)
    if family := twins(records, good):
        yield _named(records, good, bad, [good, *family][:_MOST_NAMES])


# --- one answer in each record


def _single(records: Sequence[Any], good: Seat, bad: Seat) -> Layout:
    told: Told = [((good.record,), GOOD), ((bad.record,), BAD)]
    context = context_of(records, [good])
    options = merged([good.extra, context.options])
    if good.kind != "node":
        options["candidates"] = {"c": _form(records, good)}
    columns = columns_of(records, told, lambda number: [records[number]], without=good.column)
    if good.kind == "conversation":
        last = columns_of(
            records, told, lambda number: _last(records[number], good.column), prefix=f"{path_of(good.column)}[-1]"
        )
        columns += [one for one in last if not one.path.endswith((".content", ".role"))]
    return Layout(options, verdicts.judged([one for one in columns if is_free(one, options)]), context.questions)


def _last(record: Any, column: Place) -> list[Any]:
    value = at(record, column)
    return value[-1:] if type(value) is list else []


def _form(records: Sequence[Any], seat: Seat) -> Any:
    """A candidate's form; a dialogue in which turns may follow the answer is told so."""
    if seat.kind != "conversation" or seat.form:
        return seat.as_form()
    follows = any(roles_in(at(record, seat.column))[-1:] not in ([], ["assistant"]) for record in records)
    return {"conversation": path_of(seat.column), **({"judged": "last_assistant"} if follows else {})}


# --- two columns of answers


def _named(records: Sequence[Any], good: Seat, bad: Seat, seats: list[Seat]) -> Layout:
    """Two answers by name, or more; they are numbered in the order of their columns' names."""
    seats = sorted(seats, key=lambda seat: path_of(seat.column))
    by_name = (
        len(seats) == _TWO and not good.is_like(bad) and verdicts.fixed(_words(good), _words(bad), {}).score > _TWO
    )
    names = ["g" if seat is good else "b" for seat in seats] if by_name else [*ascii_lowercase[: len(seats)]]
    sides = [_is_seat(seats, good)]
    told: Told = [((good.record,), sides[0])]
    if len(seats) == _TWO:
        sides.append(1 - _is_seat(seats, bad))
        told.append(((bad.record,), sides[1]))
    context = context_of(records, seats)
    options = merged([good.extra, bad.extra, context.options])
    forms = {name: forms_of(records, seat, seats) for name, seat in zip(names, seats, strict=True)}
    options["candidates"] = forms
    columns = columns_of(records, told, lambda number: [records[number]], without=())
    columns = [
        one for one in columns if not any(_under(one, seat.column) for seat in seats) and is_free(one, options)
    ]
    readings = [*verdicts.won(columns, names), *verdicts.one_hot(columns, names), *verdicts.voted(columns, names)]
    if len(seats) > _TWO:
        readings = [one._replace(score=one.score + 1) for one in readings]  # it says something of more answers
    if len(seats) == _TWO:
        readings += _scored(columns, seats, names)
    if len(seats) == _TWO and len(set(sides)) == 1:
        readings += _fixed(records, good, bad, names[sides[0]], names[1 - sides[0]], forms)
    return Layout(options, readings, context.questions)


def _is_seat(seats: list[Seat], one: Seat) -> int:
    return next(number for number, seat in enumerate(seats) if seat.column == one.column)


def _words(seat: Seat) -> list[str]:
    return [word for step in seat.column for word in tokens(str(step))]


def _under(column: Column, place: Place) -> bool:
    return column.path == path_of(place) or column.path.startswith((path_of(place) + ".", path_of(place) + "["))


def _fixed(
    records: Sequence[Any], good: Seat, bad: Seat, winner: str, loser: str, forms: dict[str, Any]
) -> list[Reading]:
    plain = verdicts.fixed(_words(good), _words(bad), {"good": winner, "bad": loser})
    sides = [forms[name] if isinstance(forms[name], list) else [forms[name]] for name in forms]
    lone = sum(not all(any(_holds(record, form) for form in side) for side in sides) for record in records)
    if not lone:
        return [plain]
    question = f"{lone} records lack one of the two answers: need_both leaves them out, else the other stands alone"
    return [
        plain._replace(verdict={**plain.verdict, "need_both": True}, score=plain.score + 1, questions=(question,)),
        plain,
    ]


def _holds(record: Any, form: Any) -> bool:
    """Whether something stands where a form looks for an answer."""
    path = form if isinstance(form, str) else next(value for key, value in form.items() if key in (*_NAMED, "turns"))
    path = path["assistant"] if isinstance(path, dict) else path
    return read_path(path).read(Scope(record, record)) not in (MISSING, None)


def forms_of(records: Sequence[Any], seat: Seat, seats: list[Seat]) -> Any:
    """The form of a named answer, or the forms that it has in different records."""
    if (
        seat.kind == "item"
        and all(one.kind == "item" for one in seats)
        and (user := asked_beside(records, seat, seats))
    ):
        return {"turns": {"user": path_of(user), "assistant": path_of(seat.column)}}
    form = _form(records, seat)
    kinds = {type(value) for record in records if (value := at(record, seat.column)) not in (MISSING, None)}
    if seat.kind == "text" and list in kinds:
        form = {"message": path_of(seat.column)}  # a text here, messages there
    others = [
        {"message": path_of(place)}
        for place in all_places(records)
        if place[:-1] == seat.column[:-1] and place != seat.column and _stands_in_for(records, place, seat.column)
    ]
    return [form if isinstance(form, dict) else {"text": form}, *others] if others else form


def _stands_in_for(records: Sequence[Any], place: Place, column: Place) -> bool:
    """Whether a column of a like name holds answers where the other holds nothing."""
    if tokens(last_name(place))[:1] != tokens(last_name(column))[:1]:
        return False
    held = [record for record in records if at(record, place) not in (MISSING, None)]
    alone = all(at(record, column) in (MISSING, None) for record in held)
    answers = (type(value) is str or roles_in(value) for value in (at(record, place) for record in held))
    return bool(held) and alone and all(answers)


def twins(records: Sequence[Any], seat: Seat) -> list[Seat]:
    """Columns that hold the same kind of answer under a name that differs in one word: `answer_a`, `answer_b`."""
    record = records[seat.record]
    value, words = at(record, seat.column), tokens(path_of(seat.column))
    found = []
    for place, other in nodes(record):
        theirs = tokens(path_of(place))
        if place == seat.column or type(other) is not type(value) or len(theirs) != len(words):
            continue
        differ = [(a, b) for a, b in zip(words, theirs, strict=True) if a != b]
        if len(differ) == 1 and differ[0][::-1] != differ[0] and _are_sides(*differ[0]):
            found.append(seat._replace(column=place))
    return found


_SIDES: Final = frozenset(
    frozenset(pair.split("/"))
    for pair in (
        *("a/b", "0/1", "1/2", "x/y", "j/k", "left/right", "first/second", "one/two"),
        *("chosen/rejected", "good/bad", "better/worse", "preferred/rejected"),
    )
)


def _are_sides(one: str, other: str) -> bool:
    return frozenset((one, other)) in _SIDES or (one.isdigit() and other.isdigit())


def _scored(columns: list[Column], seats: list[Seat], names: list[str]) -> list[Reading]:
    """Two columns with the scores of the two answers: `score_0`, `score_1`."""
    ends = [tokens(path_of(seat.column))[-1:] for seat in seats]
    readings = []
    for one, other in product(columns, columns):
        words = [tokens(column.path) for column in (one, other)]
        if words[0][:-1] != words[1][:-1] or [word[-1:] for word in words] != ends or one.path == other.path:
            continue
        pairs = [
            (a, b, w)
            for (a, w), (b, _) in zip(one.told, other.told, strict=True)
            if type(a) in (int, float) and type(b) in (int, float)
        ]
        for best in ("high", "low"):
            if len(pairs) == len(one.told) and all(
                (a > b) == ((w == 0) == (best == "high")) and a != b for a, b, w in pairs
            ):
                rank = dict(zip(names, (one.path, other.path), strict=True))
                readings.append(Reading({"rank": rank, "best": best}, one.telling + 2))
    return readings
