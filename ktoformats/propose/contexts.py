"""What stood before the answers: which columns may be the prompt, the history and the system text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.blocks.path import MISSING
from ktoformats.propose.marks import marks_in
from ktoformats.propose.seats import roles_in
from ktoformats.propose.walk import Place, at, last_name, nodes, path_of, tokens

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_NAMES: Final = (
    *("prompt", "question", "instruction", "query", "user", "input", "problem", "task", "post", "request"),
    *(
        "context",
        "contexts",
        "messages",
        "conversations",
        "conversation",
        "contents",
        "dialog",
        "dialogue",
        "history",
    ),
    *("source", "src", "text", "title"),
)
"""What prompts are called, the surest names first."""
_MOSTLY: Final = 0.8
_PAIR: Final = 2
_FEW: Final = 50


class Prompt(NamedTuple):
    """Options of a mapping that say what stood before, and what else might have been meant."""

    options: dict[str, Any]
    others: tuple[str, ...] = ()
    """Paths that might be the prompt as well; it takes a user to know."""


def prompt_of(records: Sequence[Any], used: Iterable[Place], *, shared: Place | None = None) -> Prompt:
    """The likeliest prompt of records whose answers bring none.

    Args:
        records: Parsed records.
        used: Where the answers stand.
        shared: A dialogue that ends in one of the answers: what comes before it is the context of all.
    """
    some = records[:_FEW]
    system = _system_of(some)
    if shared is not None:
        return Prompt({"prompt": {"messages": path_of(shared), "drop_last": True}})
    taken = [place[0] for place in used if place]
    asked = (_candidate(some, place) for place in _places(some))
    found = [one for one in asked if one is not None and one[1][0] not in taken]
    if turns := _parallel(some):
        found.append((-2, turns["place"], {"prompt": {"turns": turns["turns"]}}))
    if not found:
        return Prompt(system)
    found.sort(key=lambda one: (one[0], len(one[1])))
    rank, place, options = found[0]
    twin = (*place[:-1], "input")
    if last_name(place) == "instruction" and any(type(at(record, twin)) is str for record in records):
        options = {"prompt": {"template": f"{{{path_of(place)}}}\n{{{path_of(twin)}}}"}}
        found = [one for one in found if one[1] != twin]
    options = {**options, **_history_of(some, options), **system}
    equals = [path_of(one[1]) for one in found[1:] if rank >= len(_NAMES) or 0 <= one[0] < len(_NAMES)]
    return Prompt(options, tuple(equals))


def _places(records: Sequence[Any]) -> list[Place]:
    return list(dict.fromkeys(place for record in records for place, _ in nodes(record)))


def _candidate(records: Sequence[Any], place: Place) -> tuple[int, Place, dict[str, Any]] | None:
    """A place as a prompt, with the rank of its name (lower is surer)."""
    values = [value for record in records if (value := at(record, place)) is not MISSING and value is not None]
    if len(values) < _MOSTLY * len(records):
        return None
    options: dict[str, Any]
    if all(type(value) is str for value in values):
        if not any(value.strip() for value in values):
            return None
        options = {"prompt": path_of(place)}
        if all(marks_in(value) for value in values):
            options = {"prompt": {"transcript": path_of(place)}, "marks": marks_in(values[0])}
    elif sum(roles_in(value)[-1:] == ["user"] for value in values) >= _MOSTLY * len(values):
        return (
            -1,
            place,
            {"prompt": {"messages": path_of(place)}},
        )  # few lists end in a user's turn for another reason
    else:
        return None
    words = tokens(last_name(place)) + [word for step in place[:-1] for word in tokens(str(step))]
    ranks = [_NAMES.index(word) for word in words if word in _NAMES]
    long = any(type(value) is list or " " in value.strip() for value in values)
    return (min(ranks, default=len(_NAMES) + (not long)), place, options)


def _parallel(records: Sequence[Any]) -> dict[str, Any] | None:
    """Two lists of texts of which one is the other's answers."""
    lists = [
        place
        for place in _places(records)
        if all(type(at(record, place)) is list and _are_texts(at(record, place)) for record in records)
    ]
    for user in lists:
        for assistant in lists:
            gaps = {len(at(record, user)) - len(at(record, assistant)) for record in records}
            if user != assistant and gaps == {1}:
                return {"place": user, "turns": {"user": path_of(user), "assistant": path_of(assistant)}}
    return None


def _are_texts(value: list[Any]) -> bool:
    return all(type(one) is str for one in value)


def _history_of(records: Sequence[Any], options: dict[str, Any]) -> dict[str, Any]:
    """Earlier turns as pairs; a column that is nothing but such pairs is the history."""
    if "messages" in str(options.get("prompt")):
        return {}
    for place in _places(records):
        values = [at(record, place) for record in records]
        lists = [value for value in values if type(value) is list]
        pairs = [pair for value in lists for pair in value]
        if len(lists) == len(values) and pairs and all(_is_pair(pair) for pair in pairs):
            return {"history": path_of(place)}
    return {}


def _is_pair(value: Any) -> bool:
    return type(value) is list and len(value) == _PAIR and _are_texts(value)


def _system_of(records: Sequence[Any]) -> dict[str, Any]:
    for place in _places(records):
        if "system" in tokens(last_name(place)) and set(tokens(last_name(place))) <= _SYSTEM:
            value = next((value for record in records if (value := at(record, place)) not in (MISSING, None)), None)
            if type(value) is str:
                return {"system": path_of(place)}
            parts = value.get("parts") if type(value) is dict else None
            if type(parts) is list and parts and type(parts[0]) is dict and "text" in parts[0]:
                return {"system": f"{path_of(place)}.parts[*].text"}
    return {}


_SYSTEM: Final = frozenset({"system", "prompt", "message", "instruction", "text"})
