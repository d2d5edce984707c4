"""Values as people write them: Python laid out as formatters leave it, one-line texts for comments."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

WIDTH: Final = 100
"""The width of a line in generated code."""
_STEP: Final = 4
_BRACKETS: Final[dict[type, tuple[str, str]]] = {list: ("[", "]"), tuple: ("(", ")"), set: ("{", "}")}
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_UNSAFE_IN_DOCS: Final = str.maketrans({"\\": "/", '"': "'", "`": "'"})


class Code(NamedTuple):
    """Python that stands as it is, on one line."""

    text: str


class Call(NamedTuple):
    """A call, its arguments in order and by name."""

    name: str
    given: tuple[Any, ...] = ()
    named: dict[str, Any] = {}  # noqa: RUF012 - read, never written


class Tall(NamedTuple):
    """A tuple, list, dict or set with a line for each item, however short it is."""

    value: Any


class _Group(NamedTuple):
    """What stands in brackets."""

    opened: str
    parts: list[tuple[str, Any]]
    """Each part with what stands before it."""
    closed: str


def source(value: Any, *, indent: int = 0, used: int = 0) -> str:
    """A value as Python, on one line where that fits, else with a line for each item.

    Each of those lines ends in a comma, so formatters leave them also where they would find one line long enough.

    Args:
        value: A JSON value, tuple or set, with `Code`, `Call` and `Tall` anywhere in it.
        indent: The column at which its first line begins.
        used: How many columns of that line others take, before and after the value.
    """
    flat = _flat(value)
    if flat is not None and used + _width(flat) <= WIDTH:
        return flat
    group = _group(value)
    if group is None:
        return flat or ""  # one long text: nothing to break
    inner = indent + _STEP
    lines = [
        f"{' ' * inner}{head}{source(part, indent=inner, used=inner + _width(head) + 1)},"
        for head, part in group.parts
    ]
    return "\n".join([group.opened, *lines, " " * indent + group.closed])


def _flat(value: Any) -> str | None:
    """A value on one line; None where something in it is tall."""
    if isinstance(value, Tall):
        return _flat(value.value) if _group(value) is None else None
    group = _group(value)
    if group is None:
        return value.text if isinstance(value, Code) else scalar(value)
    parts = [(head, _flat(part)) for head, part in group.parts]
    if any(text is None for _, text in parts):
        return None
    lone = "," if type(value) is tuple and len(value) == 1 else ""
    return f"{group.opened}{', '.join(f'{head}{text}' for head, text in parts)}{lone}{group.closed}"


def _group(value: Any) -> _Group | None:
    if isinstance(value, Tall):
        return _group(value.value)
    if isinstance(value, Call):
        named = [(f"{key}=", part) for key, part in value.named.items()]
        return _Group(f"{value.name}(", [*(("", part) for part in value.given), *named], ")")
    if type(value) is dict and value:
        return _Group("{", [(f"{scalar(key)}: ", part) for key, part in value.items()], "}")
    brackets = _BRACKETS.get(type(value))
    if brackets is None or not value:
        return None
    parts = sorted(value) if type(value) is set else value
    return _Group(brackets[0], [("", part) for part in parts], brackets[1])


def scalar(value: Any) -> str:
    """A text, number, truth value, null or empty container as Python."""
    if type(value) is not str:
        return repr(value)
    quote = "'" if value.count('"') > value.count("'") else '"'
    return quote + "".join(f"\\{quote}" if one == quote else _escaped(one) for one in value) + quote


def _escaped(character: str) -> str:
    if character in _ESCAPES:
        return _ESCAPES[character]
    return character if character.isprintable() else repr(character)[1:-1]


def _width(text: str) -> int:
    """At least as many columns as anybody counts."""
    return sum(1 if ord(one) < 128 else 2 for one in text)  # noqa: PLR2004 - ASCII


def statement(names: list[str], module: str) -> str:
    """`from MODULE import ...`, the names in the order that import sorters have."""
    ordered = sorted(set(names), key=lambda name: (not name.isupper(), not name[0].isupper(), name))
    line = f"from {module} import {', '.join(ordered)}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"from {module} import (", *(f"    {name}," for name in ordered), ")"])


def one_line(text: object, limit: int = 300) -> str:
    """Text from data that stays within its comment."""
    line = " ".join(str(text).split())
    kept = "".join(one if one.isprintable() else "?" for one in line)
    return kept if len(kept) <= limit else kept[: limit - 3] + "..."


def told(text: object, limit: int = 60) -> str:
    """Text from data that stays within its docstring or string: nothing in it ends or bends that."""
    return one_line(text, limit).translate(_UNSAFE_IN_DOCS)
