"""Paths: where in a record a value stands, in the small language that mappings are written in."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from ktoformats.errors import RecordError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

MISSING: Final = type("Missing", (), {"__repr__": lambda _: "nothing", "__bool__": lambda _: False})()
"""What a path finds where nothing stands; null is something."""

_MAX_STEPS: Final = 32
_TOKEN: Final = re.compile(
    r"""(?P<start>\$)
      | \[\s*(?P<all>\*)\s*\]
      | \[\s*(?P<number>\#)\s*\]
      | \[\s*(?P<index>-?\d{1,9})\s*\]
      | \[\s*\?\s*(?P<key>[^=\]]+?)\s*=\s*(?P<value>"(?:[^"\\]|\\.)*"|[^\]]*?)\s*\]
      | \.?(?P<values>\*)
      | \.?"(?P<quoted>(?:[^"\\]|\\.)*)"
      | \.?(?P<name>[^\s.\[\]"*$](?:[^.\[\]"*]*[^\s.\[\]"*])?)
    """,
    re.VERBOSE,
)


class Scope(NamedTuple):
    """What a path is read in."""

    record: Any
    item: Any
    """The candidate; the record itself where there is none."""
    number: int = 0
    """The candidate's number, from 0."""
    total: int = 0
    """How many candidates there are; 0 where nobody knows."""
    called: Mapping[str, str] | None = None
    """Among records that were gathered: what this one's candidates are called in the group, where that differs."""


class _Step(NamedTuple):
    kind: str
    """`name`, `index`, `number` (the candidate's own), `all`, `values` or `filter`."""
    key: Any = None
    value: Any = None


class Path(NamedTuple):
    """A path, ready to be read."""

    text: str
    steps: tuple[_Step, ...]
    from_record: bool
    """Whether it starts with `$`: at the record and not at the candidate."""
    many: bool
    """Whether it may find several values (`*`, `[*]`, `[?key=value]`); it then gives a list."""

    @property
    def column(self) -> str:
        """The record's own column that it starts in, or empty."""
        return self.steps[0].key if self.steps and self.steps[0].kind == "name" else ""

    @property
    def is_plain(self) -> bool:
        """Whether it is made of names alone."""
        return bool(self.steps) and not self.from_record and all(step.kind == "name" for step in self.steps)

    def read(self, scope: Scope) -> Any:
        """The value, the list of all values for a path of many, or `MISSING`.

        Raises:
            RecordError: `length_mismatch`: a list that runs beside the candidates is longer or shorter than theirs.
        """
        start = scope.record if self.from_record else scope.item
        if not self.many:
            return self._one(start, scope)
        return list(_all(start, self.steps, scope))

    def _one(self, value: Any, scope: Scope) -> Any:
        for kind, key, _ in self.steps:
            if kind == "name":
                if type(value) is not dict:
                    return MISSING
                value = value.get(key, MISSING)
            else:
                place = _beside(value, scope, self.text) if kind == "number" else key
                if type(value) is not list or not -len(value) <= place < len(value):
                    return MISSING
                value = value[place]
        return value


def _beside(value: Any, scope: Scope, text: str) -> int:
    """The candidate's place in a list beside the candidates; of another length, nobody knows what belongs to whom."""
    if type(value) is list and scope.total and len(value) != scope.total:
        message = (
            f"{len(value)} values for {scope.total} candidates; give each candidate one, null where there is none"
        )
        raise RecordError("length_mismatch", message, field=text)
    return scope.number


def _all(value: Any, steps: tuple[_Step, ...], scope: Scope) -> Iterator[Any]:
    if not steps:
        yield value
        return
    step, rest = steps[0], steps[1:]
    for found in _found(value, step, scope):
        yield from _all(found, rest, scope)


def _found(value: Any, step: _Step, scope: Scope) -> list[Any]:
    if step.kind == "all":
        return value if type(value) is list else []
    if step.kind == "values":
        return list(value.values()) if type(value) is dict else []
    if step.kind == "filter":
        items = value if type(value) is list else []
        return [one for one in items if type(one) is dict and same(one.get(step.key, MISSING), step.value)]
    found = Path("[#]", (step,), from_record=False, many=False)._one(value, scope)  # noqa: SLF001 - our own
    return [] if found is MISSING else [found]


def replaced(record: Any, text: str, value: Any) -> Any:
    """A record with another value at a path of names; what is on the way is copied, the rest shared."""
    names = [step.key for step in read_path(text).steps]
    copy = dict(record)
    inner = copy
    for name in names[:-1]:
        inner[name] = dict(inner[name])
        inner = inner[name]
    inner[names[-1]] = value
    return copy


def same(one: Any, other: Any) -> bool:
    """Whether two JSON values are equal: 1 is 1.0 and neither true nor "1"."""
    return one == other and (type(one) is bool) == (type(other) is bool)


@lru_cache(maxsize=4096)
def read_path(text: str) -> Path:
    """Read a path.

    Args:
        text: `a.b`, `a[0]`, `a[-1]`, `a[*]` (items), `a.*` (values), `a[?k=v]` (items of which k is v),
            `"a name with a.dot"`, `.` (the item itself), a leading `$` (the record), `[#]` (the candidate's number).

    Raises:
        ValueError: It is none; the message shows where it breaks.
    """
    if not text.strip():
        raise ValueError("the path is empty; `.` is the item itself")
    steps: list[_Step] = []
    from_record = False
    place = 1 if text == "." else 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if found is None or (found["name"] and place and text[place] != "." and not (from_record and place == 1)):
            raise ValueError(f"no path: {text!r} breaks at character {place + 1}, near {text[place : place + 12]!r}")
        if found["start"]:
            if place:
                raise ValueError(f"no path: {text!r} holds `$` elsewhere than at its start")
            from_record = True
        else:
            steps.append(_step(found))
        place = found.end()
    if len(steps) > _MAX_STEPS:
        raise ValueError(f"no path: {len(steps)} steps, at most {_MAX_STEPS}")
    many = any(step.kind in ("all", "values", "filter") for step in steps)
    return Path(text, tuple(steps), from_record, many)


def _step(found: re.Match[str]) -> _Step:
    for kind in ("all", "values", "number"):
        if found[kind]:
            return _Step(kind)
    if found["index"]:
        return _Step("index", int(found["index"]))
    if found["key"]:
        return _Step("filter", found["key"].strip('"'), _constant(found["value"]))
    if found["quoted"] is not None:
        return _Step("name", re.sub(r"\\(.)", r"\1", found["quoted"]))
    return _Step("name", found["name"])


def _constant(text: str) -> Any:
    """A filter's value: as JSON where it is some (`true`, `3`, `"text"`), else the text itself."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return text
