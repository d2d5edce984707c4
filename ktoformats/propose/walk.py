"""Walking through records of any shape: where texts and small values stand."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ktoformats.blocks.path import MISSING

if TYPE_CHECKING:
    from collections.abc import Iterator

Place = tuple[str | int, ...]
"""Where a value stands: keys and indexes from the top of a record."""

_MAX_DEPTH: Final = 24
_MAX_VALUES: Final = 20_000
_FIXED_ITEMS: Final = 16
"""A list of so many numbers may have a meaning for each place."""
_SHORT: Final = 60
_PLAIN_NAME: Final = re.compile(r"[^\s.\[\]\"*$#](?:[^.\[\]\"*]*[^\s.\[\]\"*])?\Z")


def texts(record: Any) -> Iterator[tuple[Place, str]]:
    """Every text of a record with its place; no deeper and no more than a sane record has."""
    for number, (place, value) in enumerate(_leaves(record, (), _MAX_DEPTH)):
        if number >= _MAX_VALUES:
            return
        if type(value) is str:
            yield place, value


def cells(record: Any) -> Iterator[tuple[Place, Any]]:
    """Every value that might be a verdict: truth values, numbers, short texts and nulls.

    Of lists only the fixed places of short ones are looked at: a verdict stands somewhere, not anywhere.
    """
    for place, value in _leaves(record, (), _MAX_DEPTH, items=_FIXED_ITEMS):
        if type(value) is not str or len(value) <= _SHORT:
            yield place, value


def _leaves(value: Any, place: Place, depth: int, items: int = _MAX_VALUES) -> Iterator[tuple[Place, Any]]:
    if type(value) is dict and depth:
        for key, inner in value.items():
            yield from _leaves(inner, (*place, key), depth - 1, items)
    elif type(value) is list and depth:
        if len(value) <= items:
            for number, inner in enumerate(value):
                yield from _leaves(inner, (*place, number), depth - 1, items)
    else:
        yield place, value


def nodes(record: Any) -> Iterator[tuple[Place, Any]]:
    """Every object, list and value above the lists of a record: what a path without indexes can name."""
    waiting: list[tuple[Place, Any]] = [((), record)]
    while waiting:
        place, value = waiting.pop()
        if place:
            yield place, value
        if type(value) is dict and len(place) < _MAX_DEPTH:
            waiting += [((*place, key), inner) for key, inner in reversed(value.items())]


def at(record: Any, place: Place) -> Any:
    """What stands at a place, or `MISSING`."""
    for step in place:
        if type(step) is str and type(record) is dict:
            record = record.get(step, MISSING)
        elif type(step) is int and type(record) is list and step < len(record):
            record = record[step]
        else:
            return MISSING
    return record


def path_of(place: Place) -> str:
    """A place in the path language of mappings; the top is `.`."""
    text = ""
    for step in place:
        if type(step) is int:
            text += f"[{step}]"
        else:
            name = str(step)
            if not _PLAIN_NAME.match(name):
                name = '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
            text += f".{name}" if text else name
    return text or "."


def tokens(name: str) -> list[str]:
    """The words of a name: `human_ref_A` is human, ref, a; `response1` is response, 1."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[0-9])(?=[A-Za-z])", " ", name)
    return [word.lower() for word in re.split(r"[\W_]+", spaced) if word]


def last_name(place: Place) -> str:
    """The last key of a place."""
    return next((step for step in reversed(place) if type(step) is str), "")


def first_index(place: Place) -> int | None:
    """The position of the first index of a place, or None where there is none."""
    return next((number for number, step in enumerate(place) if type(step) is int), None)
