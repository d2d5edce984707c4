"""From the seats of two answers to whole layouts: candidates, context, and the verdicts that fit."""

from __future__ import annotations

from collections import Counter
from itertools import product
from string import ascii_lowercase
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.blocks.path import MISSING
from ktoformats.feedback import BAD, GOOD
from ktoformats.propose import verdicts
from ktoformats.propose.contexts import prompt_of
from ktoformats.propose.seats import Seat, role_of, roles_in
from ktoformats.propose.verdicts import Column, Reading
from ktoformats.propose.walk import Place, at, cells, last_name, nodes, path_of, tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

_NAMED: Final = frozenset({"text", "message", "conversation", "transcript"})
_MOST_COLUMNS: Final = 200
_TWO: Final = 2
Told = list[tuple[Place, Any]]
"""Places of known answers (the record's number first), and what is known of them."""


class Layout(NamedTuple):
    """A way to read records, but for the verdict, and the verdicts that fit."""

    options: dict[str, Any]
    readings: list[Reading]
    questions: tuple[str, ...] = ()


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
        yield _each(records, good, bad)
    elif good.kind == "tree":
        yield _tree(records, good, bad)
    elif good.kind == "turn":
        yield _turns(records, good, bad)
        for path in _turn_columns(records, good, bad):
            yield from _whole(records, *(_at_turn(one, path) for one in (good, bad)))
    else:
        yield from _whole(records, good, bad)


def _apart(records: Sequence[Any], good: Seat, bad: Seat) -> Iterator[Layout]:
    """Layouts in which the two stand in different columns."""
    kinds = {good.kind, bad.kind}
    if kinds <= _NAMED | {"item"}:
        yield _named(records, good, bad, [good, bad])
        family = [good, *twins(records, good)]
        if len(family) > _TWO and any(bad.is_like(one) for one in family):
            yield _named(records, good, bad, family)
    elif kinds <= {"turn", "conversation"}:
        for path in _turn_columns(records, good, bad):
            yield _named(
                records, _at_turn(good, path), _at_turn(bad, path), [_at_turn(one, path) for one in (good, bad)]
            )


def _whole(records: Sequence[Any], good: Seat, bad: Seat) -> Iterator[Layout]:
    yield _single(records, good, bad)
    if family := twins(records, good):
        yield _named(records, good, bad, [good, *family])


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
    return Layout(options, verdicts.judged([one for one in columns if _is_free(one, options)]), context.questions)


def _is_free(column: Column, options: dict[str, Any]) -> bool:
    """Whether a column is not the prompt, or a part of it."""
    prompt = options.get("prompt")
    template = prompt.get("template", "") if isinstance(prompt, dict) else ""
    return column.path != prompt and f"{{{column.path}}}" not in template


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
        one for one in columns if not any(_under(one, seat.column) for seat in seats) and _is_free(one, options)
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
    sides = [
        [_places(form) for form in (forms[name] if isinstance(forms[name], list) else [forms[name]])]
        for name in forms
    ]
    lone = sum(
        1
        for record in records
        if not all(any(at(record, place) not in (MISSING, None) for place in side) for side in sides)
    )
    if not lone:
        return [plain]
    question = f"{lone} records lack one of the two answers: need_both leaves them out, else the other stands alone"
    return [
        plain._replace(verdict={**plain.verdict, "need_both": True}, score=plain.score + 1, questions=(question,)),
        plain,
    ]


def _places(form: Any) -> Place:
    """The place that a form's path names; its names hold no dots here, or it was quoted and is not found."""
    path = form if isinstance(form, str) else next(value for key, value in form.items() if key in (*_NAMED, "turns"))
    path = path["assistant"] if isinstance(path, dict) else path
    return tuple(path.replace('"', "").split("."))


def forms_of(records: Sequence[Any], seat: Seat, seats: list[Seat]) -> Any:
    """The form of a named answer, or the forms that it has in different records."""
    if (
        seat.kind == "item"
        and all(one.kind == "item" for one in seats)
        and (user := _asked_beside(records, seat, seats))
    ):
        return {"turns": {"user": path_of(user), "assistant": path_of(seat.column)}}
    form = _form(records, seat)
    kinds = {type(value) for record in records if (value := at(record, seat.column)) not in (MISSING, None)}
    if seat.kind == "text" and list in kinds:
        form = {"message": path_of(seat.column)}  # a text here, messages there
    others = [
        {"message": path_of(place)}
        for place in _all_places(records)
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


def _asked_beside(records: Sequence[Any], seat: Seat, seats: list[Seat]) -> Place | None:
    """A list of questions as long as the list of answers, in every record."""
    for place in _all_places(records):
        lists = [(at(record, place), at(record, seat.column)) for record in records]
        if any(place == one.column for one in seats) or not all(type(a) is type(b) is list for a, b in lists):
            continue
        if all(len(a) == len(b) and all(type(text) is str for text in a) for a, b in lists):
            return place
    return None


def _all_places(records: Sequence[Any]) -> list[Place]:
    return list(dict.fromkeys(place for record in records[:50] for place, _ in nodes(record)))


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


_SIDES: Final = (
    *(
        frozenset(pair.split())
        for pair in ("a b", "0 1", "1 2", "x y", "j k", "left right", "first second", "one two")
    ),
    *(frozenset(pair.split()) for pair in ("chosen rejected", "good bad", "better worse", "preferred rejected")),
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


# --- lists, dialogues and trees of answers


def _each(records: Sequence[Any], good: Seat, bad: Seat) -> Layout:
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
        [one for one in beside_it if _is_free(one, options) and not one.path.startswith(lists)], ()
    )
    return Layout(options, readings, context.questions)


def beside(records: Sequence[Any], told: Told, items: Callable[[int], list[Any]]) -> list[Column]:
    """Lists of the record that are as long as the list of answers: `$.scores[#]`."""
    found = []
    for place in _all_places(records):
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


def _turns(records: Sequence[Any], good: Seat, bad: Seat) -> Layout:
    told: Told = [((good.record, good.number), GOOD), ((bad.record, bad.number), BAD)]

    def items(number: int) -> list[Any]:
        value = at(records[number], good.column)
        return value if type(value) is list else []

    columns = [
        one for one in columns_of(records, told, items) if one.path not in ("content", "value", "role", "from")
    ]
    return Layout({**good.extra, "candidates": {"each_turn": path_of(good.column)}}, verdicts.judged(columns))


def _turn_columns(records: Sequence[Any], good: Seat, bad: Seat) -> list[str]:
    """Columns that hold the number of the judged answer, counted from 1."""
    told: Told = [((seat.record,), _answer_number(records, seat)) for seat in (good, bad)]
    columns = columns_of(records, told, lambda number: [records[number]], without=good.column, differ=False)
    return [one.path for one in columns if all(type(value) is int and value == number for value, number in one.told)]


def _answer_number(records: Sequence[Any], seat: Seat) -> int:
    roles = roles_in(at(records[seat.record], seat.column))
    return roles[: seat.number + 1].count("assistant")


def _at_turn(seat: Seat, path: str) -> Seat:
    return seat._replace(kind="conversation", form={"turn": path})


def _tree(records: Sequence[Any], good: Seat, bad: Seat) -> Layout:
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


# --- what all of them share


class Given(NamedTuple):
    """What a mapping says of the context, and what it asks."""

    options: dict[str, Any]
    questions: tuple[str, ...]


def context_of(records: Sequence[Any], seats: list[Seat]) -> Given:
    """The prompt, where the answers bring none."""
    own = {seat.kind for seat in seats} & {"conversation", "transcript", "node", "turn"}
    item_form = seats[0].form if seats[0].kind == "item" else {}
    shared = next((seat.column for seat in seats if seat.kind == "conversation"), None)
    if len(own) == 1 and {seat.kind for seat in seats} == own:
        return Given({}, ())
    if item_form.keys() & {"conversation", "transcript"}:
        return Given({}, ())
    if seats[0].kind == "item" and len(seats) == _TWO and _asked_beside(records, seats[0], seats):
        return Given({}, ())
    prompt = prompt_of(records, [seat.column for seat in seats], shared=shared)
    asked = (f"the prompt might also stand in {', '.join(prompt.others[:5])}",) if prompt.others else ()
    if "prompt" not in prompt.options:
        asked = ("where does the prompt stand? `prompt: PATH`, or a template",)
    return Given(prompt.options, asked)


def merged(parts: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Options of which later ones win; marks and chat are joined."""
    merged: dict[str, Any] = {}
    for part in parts:
        for key, value in part.items():
            known = merged.get(key)
            merged[key] = {**known, **value} if isinstance(known, dict) and isinstance(value, dict) else value
    return merged


def columns_of(
    records: Sequence[Any],
    told: Told,
    parts: Callable[[int], list[Any]],
    *,
    without: Place | None = None,
    prefix: str = "",
    differ: bool = True,
) -> list[Column]:
    """The places that may hold a verdict.

    Args:
        records: Parsed records.
        told: Which parts are known (record, and number of the part), and what of them.
        parts: A record's parts that a verdict may stand in: itself, or its answers.
        without: Nothing at or below this place.
        prefix: What comes before the place in the path.
        differ: Only places that differ where what is known does.
    """
    known = [(_nth(parts(int(spot[0])), spot), label) for spot, label in told]
    places = Counter(place for part, _ in known for place, _ in cells(part))
    every = [parts(number) for number in range(len(records))]
    found = []
    for place in list(places)[:_MOST_COLUMNS]:
        if not place or (without and place[: len(without)] == without) or _is_deep(place):
            continue
        values = [(at(part, place), label) for part, label in known]
        if differ and len({label for _, label in values}) > 1 and len({repr(value) for value, _ in values}) == 1:
            continue
        path = f"{prefix}.{path_of(place)}" if prefix else path_of(place)
        found.append(Column(path, values, [[at(part, place) for part in group] for group in every]))
    return found


def _nth(parts: list[Any], spot: Place) -> Any:
    number = int(spot[1]) if len(spot) > 1 else -1
    return parts[number] if parts else None


def _is_deep(place: Place) -> bool:
    """Whether a place stands below two lists and not at their beginnings: no verdict that one path can name."""
    indexes = [step for step in place if type(step) is int]
    return len(indexes) > 1 and any(indexes)
