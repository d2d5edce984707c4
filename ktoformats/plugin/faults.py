"""What pydantic finds wrong with options, in the words of whoever wrote them."""

from __future__ import annotations

import difflib
import re
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_EXPECTED: Final = {
    "missing": "is missing",
    "tuple_type": "expected a list",
    "list_type": "expected a list",
    "model_type": "expected keys and values",
    "model_attributes_type": "expected keys and values",
    "dict_type": "expected keys and values",
    "string_type": "expected a text",
}


def sentence(fault: Mapping[str, Any], values: Any, known: Iterable[str] = (), *, limit: int = 200) -> str:
    """One fault as `key.key: what was expected, got what was seen`.

    Args:
        fault: One of `ValidationError.errors()`.
        values: What was validated: only its own keys are named, and none of the models behind them.
        known: Keys that might have been meant where one is unknown.
        limit: The most characters of a value that are shown.
    """
    where = place(fault["loc"], values, missing=fault["type"] == "missing")
    if fault["type"] == "extra_forbidden":
        text = f"unknown key{suggest(str(fault['loc'][-1]), known)}"
    else:
        text = _EXPECTED.get(fault["type"]) or str(fault["msg"]).removeprefix("Value error, ")
        text = re.sub("^Input should be (greater|less)", r"expected a number \1", text)
        text = text.replace("Input should be", "expected", 1)
        if fault["type"] != "missing":
            text += f", got {shown_value(fault['input'], limit)}"
    return f"{where}: {text}" if where else text


def place(loc: Sequence[int | str], values: Any, *, missing: bool = False) -> str:
    """The keys of a fault's place that stand in the values; of a missing key its own name, too."""
    steps = [*_own(list(loc[:-1]), values), *loc[-1:]] if missing else _own(list(loc), values)
    path = ""
    for step in steps:
        path += f"[{step}]" if isinstance(step, int) else f".{step}" if path else step
    return path


def _own(loc: list[int | str], values: Any) -> list[int | str]:
    """The steps that the values have; the others name models, and a model may be called like a key."""
    if not loc:
        return []
    step, *rest = loc
    without = _own(rest, values)
    is_key = isinstance(values, dict) and step in values
    is_index = isinstance(values, list | tuple) and isinstance(step, int) and step < len(values)
    if not (is_key or is_index):
        return without
    own = [step, *_own(rest, values[step])]
    reached = loc[-1] in own[-1:]
    return own if reached or loc[-1] not in without[-1:] else without


def shown_value(value: Any, limit: int) -> str:
    """A value as YAML would have it, not longer than the limit."""
    if isinstance(value, str):
        text = repr(value)
    else:
        try:
            text = orjson.dumps(value, default=str).decode()
        except TypeError:
            text = repr(value)
    return text[:limit]


def suggest(word: str, known: Iterable[str]) -> str:
    """`; did you mean 'x'?`, or an empty text where nothing is close."""
    close = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
