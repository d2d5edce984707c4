"""Drafts from the shape of a file alone: what its names suggest, and what only its owner can say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.blocks.cells import number_in
from ktoformats.propose import verdicts
from ktoformats.propose.columns import columns_of, context_of, merged
from ktoformats.propose.layouts import forms_of, twins
from ktoformats.propose.lists import beside
from ktoformats.propose.marks import marks_in
from ktoformats.propose.seats import ROLE_KEYS, Seat, roles_in, seat_of
from ktoformats.propose.walk import Place, at, last_name, nodes, path_of, texts, tokens

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.propose.verdicts import Column

OPEN: Final = "???"
"""Stands where only the user knows; no mapping with it can be used."""

_ANSWERS: Final = (
    *("response", "answer", "output", "completion", "repl", "generation", "summar", "candidate", "choice", "predict"),
)
"""How the names of answers begin."""
_TWO: Final = 2
_MOST_SHOWN: Final = 8


class Draft(NamedTuple):
    """A mapping to complete, and what is asked."""

    options: dict[str, Any]
    questions: tuple[str, ...]


class _Shape(NamedTuple):
    """Seats, and how they hang together."""

    kind: str
    """`fixed`, `twins`, `each` or `single`."""
    seats: list[Seat]


def by_shape(records: Sequence[Any]) -> Draft | None:
    """A draft for records of one shape; None where nothing looks like an answer.

    Args:
        records: Parsed records.
    """
    if not records or type(records[0]) is not dict:
        return None
    shape = _fixed(records) or _twins(records) or _list(records) or _single(records)
    if shape is None:
        return None
    names = _names(shape)
    context = context_of(records, shape.seats)
    options = merged([*(seat.extra for seat in shape.seats), context.options])
    options["candidates"] = _candidates(records, shape, names)
    verdict, asked = _verdict(records, shape, names)
    options["verdict"] = verdict
    return Draft(options, (*context.questions, *asked))


def _names(shape: _Shape) -> list[str]:
    return {"fixed": ["g", "b"], "twins": ["a", "b"]}.get(shape.kind, ["c"])


def _candidates(records: Sequence[Any], shape: _Shape, names: list[str]) -> Any:
    if shape.kind == "each":
        return {"each": path_of(shape.seats[0].column), **shape.seats[0].form}
    return {name: forms_of(records, seat, shape.seats) for name, seat in zip(names, shape.seats, strict=True)}


def _seats(records: Sequence[Any]) -> list[Seat]:
    """Everything in the first record that may hold an answer, as if its text were one."""
    made = []
    for place, value in nodes(records[0]):
        spot = _answer_in(value)
        if spot is not None:
            seat = seat_of(records[0], 0, (*place, *spot[0]), "tail" if spot[1] else "whole", spot[1])
            made += [seat] if seat is not None else []
    return made


def _answer_in(value: Any) -> tuple[Place, str] | None:
    """Where in a field the answer stands, with its text where it is the end of a transcript."""
    if type(value) is str and value.strip():
        marks = marks_in(value)
        if marks and marks["assistant"] in value:
            return (), value.rpartition(marks["assistant"])[2].strip()
        return (), ""
    roles = roles_in(value)
    if "assistant" in roles:
        last = len(roles) - 1 - roles[::-1].index("assistant")
        return _content_of(value[last], (last,))
    if type(value) is dict and roles_in([value]) == ["assistant"]:
        return _content_of(value, ())
    return None


def _content_of(message: dict[str, Any], place: Place) -> tuple[Place, str] | None:
    found = [
        (len(text), inner) for inner, text in texts(message) if inner[0] not in ROLE_KEYS and "type" not in inner
    ]
    return ((*place, *max(found)[1]), "") if found else None


def _fixed(records: Sequence[Any]) -> _Shape | None:
    """A column that is called good, and one that is called bad."""
    seats = [*_seats(records), *_lists(records)]
    sides = [[seat for seat in seats if verdicts.side_of(_words(seat)) == side] for side in (1, -1)]
    alike = [(good, bad) for good in sides[0] for bad in sides[1] if good.column[:-1] == bad.column[:-1]]
    return _Shape("fixed", list(alike[0])) if alike else None


def _lists(records: Sequence[Any]) -> list[Seat]:
    """Lists of texts, each of which may hold several answers."""
    spots = [place for place, value in nodes(records[0]) if type(value) is list and value and type(value[0]) is str]
    made = [seat_of(records[0], 0, (*place, 0), "whole", "") for place in spots]
    return [seat for seat in made if seat is not None]


def _words(seat: Seat) -> list[str]:
    return tokens(last_name(seat.column))


def _twins(records: Sequence[Any]) -> _Shape | None:
    for seat in _seats(records):
        for twin in twins(records, seat):
            if _is_answer(seat) or seat.kind != "text":
                return _Shape("twins", sorted([seat, twin], key=lambda one: path_of(one.column)))
    return None


def _is_answer(seat: Seat) -> bool:
    return _names_answers(_words(seat)) or "ref" in _words(seat)


def _names_answers(words: list[str]) -> bool:
    return any(word.startswith(_ANSWERS) for word in words)


def _list(records: Sequence[Any]) -> _Shape | None:
    """A list of answers."""
    for place, value in nodes(records[0]):
        if type(value) is not list or len(value) < _TWO or "user" in roles_in(value):
            continue
        spots = [(one, inner) for one in range(len(value)) for inner in _texts_of(value[one])][:1]
        if _names_answers(tokens(last_name(place))) and spots:
            number, inner = spots[0]
            seat = seat_of(records[0], 0, (*place, number, *inner), "whole", "")
            if seat is not None and seat.kind == "item":
                return _Shape("each", [seat])
    return None


def _texts_of(item: Any) -> list[Place]:
    """Where the answer of a list's item stands."""
    if type(item) is str:
        return [()]
    found = _answer_in(item)
    if found is not None:
        return [found[0]]
    if type(item) is dict:
        for key, value in item.items():
            inner = _texts_of(value) if type(value) in (dict, list) else [()] if type(value) is str else []
            if inner and (_names_answers(tokens(key)) or key in ("text", "content")):
                return [(key, *inner[0])]
    if type(item) is list and item and type(item[0]) is str:
        return [(0,)]
    return []


def _single(records: Sequence[Any]) -> _Shape | None:
    seats = _seats(records)
    named = [seat for seat in seats if seat.kind == "text" and _is_answer(seat)]
    found = [seat for seat in seats if seat.kind in ("conversation", "transcript")] or named
    return _Shape("single", found[:1]) if found else None


def _verdict(records: Sequence[Any], shape: _Shape, names: list[str]) -> tuple[Any, list[str]]:
    """The verdict with its gaps, and a question for each."""
    if shape.kind == "fixed":
        return {"good": "g", "bad": "b"}, []
    seat = shape.seats[0]

    def parts(number: int) -> list[Any]:
        value = at(records[number], seat.column)
        return (value if type(value) is list else []) if shape.kind == "each" else [records[number]]

    told: list[tuple[Place, Any]] = [((0, 0) if shape.kind == "each" else (0,), "")]
    taken = [path_of(one.column) for one in shape.seats]
    found = columns_of(records, told, parts, differ=False)
    found += beside(records, told, parts) if shape.kind == "each" else []
    columns = [one for one in found if one.telling > 0 and len(one.seen) > 1 and one.path not in taken]
    columns.sort(key=lambda one: -one.telling)
    if not columns:
        return OPEN, [
            "who judged, and where does it stand? good and bad columns, a label, a winner, a rank, a rating"
        ]
    best, *others = columns
    verdict, question = (_winner if shape.kind == "twins" else _own)(best, names)
    asked = [f"{question}; seen: {_seen(best)}"]
    if others:
        asked.append(f"the verdict might also stand in {', '.join(one.path for one in others[:_MOST_SHOWN])}")
    return verdict, asked


def _seen(column: Column) -> str:
    most = column.seen.most_common(_MOST_SHOWN)
    more = len(column.seen) - len(most)
    return ", ".join(f"{value!r} ({count})" for (_, value), count in most) + (f" and {more} more" if more else "")


def _winner(column: Column, names: list[str]) -> tuple[dict[str, Any], str]:
    numbers = [number for (_, value) in column.seen if (number := number_in(value)) is not None]
    if numbers and min(numbers) < 0 < max(numbers):
        return (
            {"winner": column.path, "cut": 0, "below": OPEN, "above": OPEN},
            f"{column.path}: which answer is better below 0, and which above?",
        )
    sides = {name: [OPEN] for name in names}
    return {
        "winner": column.path,
        **sides,
    }, f"{column.path}: which values say that the one answer won, which the other?"


def _own(column: Column, names: list[str]) -> tuple[dict[str, Any], str]:  # noqa: ARG001 - the shape of _winner
    if verdicts.is_ranking(column):
        return {
            "rank": column.path,
            "best": OPEN,
        }, f"{column.path}: is the lowest rank the best (low), or the highest?"
    values = [value for (_, value) in column.seen]
    if len(values) > _TWO and all(number_in(value) is not None and type(value) is not bool for value in values):
        question = f"{column.path}: from which number on is an answer good, and up to which is it bad?"
        return {"rating": column.path, "good": OPEN, "bad": OPEN}, question
    return (
        {"label": column.path, "good": [OPEN], "bad": [OPEN]},
        f"{column.path}: which values are good, which bad, and which neither (skip)?",
    )
