"""What layouts are made of: the columns that may hold a verdict, and the context beside the answers."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.propose.contexts import prompt_of
from ktoformats.propose.verdicts import Column, Reading
from ktoformats.propose.walk import Place, at, cells, nodes, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ktoformats.propose.seats import Seat

_MOST_COLUMNS: Final = 200
_TWO: Final = 2
Told = list[tuple[Place, Any]]
"""Places of known answers (the record's number first), and what is known of them."""


class Layout(NamedTuple):
    """A way to read records, but for the verdict, and the verdicts that fit."""

    options: dict[str, Any]
    readings: list[Reading]
    questions: tuple[str, ...] = ()


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
    if seats[0].kind == "item" and len(seats) == _TWO and asked_beside(records, seats[0], seats):
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


def is_free(column: Column, options: dict[str, Any]) -> bool:
    """Whether a column is not the prompt, or a part of it."""
    prompt = options.get("prompt")
    template = prompt.get("template", "") if isinstance(prompt, dict) else ""
    return column.path != prompt and f"{{{column.path}}}" not in template


def all_places(records: Sequence[Any]) -> list[Place]:
    """Every place above the lists of the first records."""
    return list(dict.fromkeys(place for record in records[:50] for place, _ in nodes(record)))


def asked_beside(records: Sequence[Any], seat: Seat, seats: list[Seat]) -> Place | None:
    """A list of questions as long as the list of answers, in every record."""
    for place in all_places(records):
        lists = [(at(record, place), at(record, seat.column)) for record in records]
        if any(place == one.column for one in seats) or not all(type(a) is type(b) is list for a, b in lists):
            continue
        if all(len(a) == len(b) and all(type(text) is str for text in a) for a, b in lists):
            return place
    return None
