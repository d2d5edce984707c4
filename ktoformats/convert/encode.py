"""Candidates of many records to the columns of one Arrow batch.

Columns are built whole: a transposition in C takes the candidates apart, most columns of a batch hold one value
and are repeated instead of converted, and the digests are taken from the encoded texts.
"""

from __future__ import annotations

from itertools import chain, repeat
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.convert.identity import identify, pairs
from ktoformats.convert.policy import preference_type
from ktoformats.feedback import MESSAGE_TYPE, METHOD, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.convert.policy import Candidate
    from ktoformats.feedback import Context, Message

FULL_WEIGHT: Final = 1.0
_TYPES: Final = {field.name: field.type for field in SCHEMA}


Made = tuple["Candidate", str, int, str]
"""A candidate, its format's name, its line, and the carried columns as JSON text."""


def encode(made: Sequence[Made], source: str | Sequence[str]) -> dict[str, pa.Array]:
    """Build the columns of a batch.

    Args:
        made: The samples, in source order; at least one. Both sides of a pair stand side by side.
        source: The file they came from, or that of each.

    Returns:
        Every column of `SCHEMA` but the two scores.
    """
    candidates, formats, lines, kept = zip(*made, strict=True)
    contexts, texts, reasonings, calls, labels, facts, fields, cells, scales, places, ranks, flags, _ = zip(
        *candidates, strict=True
    )
    prompts, systems, conversations, tools = zip(*contexts, strict=True)
    plain = {
        "label": labels,
        "system": systems,
        "tools": tools,
        "tool_calls": calls,
        "reasoning": reasonings,
        "preference_type": list(map(preference_type, facts, labels)),
        "format_type": formats,
        "line": lines,
        "kept": kept,
        "fact": [type(fact).__name__.lower() for fact in facts],
        "field": fields,
        "cell": list(map(_cell, cells)),
        "scale": scales,
        "position": places,
        "rank": ranks,
        "flags": list(map(",".join, flags)),
    }
    columns = {name: _column(values, _TYPES[name]) for name, values in plain.items()}
    prompt_bytes = [text.encode() for text in prompts]
    response_bytes = [text.encode() for text in texts]
    columns["prompt"] = _from_utf8(prompt_bytes)
    columns["response"] = _from_utf8(response_bytes)
    columns["conversation"] = _conversations(conversations)
    rich = any(conversations) or any(systems) or any(tools) or any(calls) or any(reasonings)
    extras = list(map(_extra, contexts, calls, reasonings)) if rich else repeat(b"", len(made))
    firsts = list(map(_first_turn, contexts)) if any(conversations) else repeat(b"", len(made))
    ids, groups = identify(prompt_bytes, response_bytes, labels, extras, firsts)
    columns["id"] = pa.array(ids)
    columns["group"] = pa.array(groups)
    columns["pair"] = _column(pairs(ids, facts), _TYPES["pair"])
    columns["source"] = pa.repeat(pa.scalar(source), len(made)) if isinstance(source, str) else pa.array(source)
    columns["method"] = pa.repeat(pa.scalar(METHOD), len(made))
    columns["weight"] = pa.repeat(pa.scalar(FULL_WEIGHT), len(made))
    return columns


def _column(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    """An Arrow array; repeating one value is much cheaper than reading each."""
    first = values[0]
    if first == values[-1] and values.count(first) == len(values):
        return pa.repeat(pa.scalar(first, kind), len(values))
    if kind == pa.large_string():
        return _from_utf8([value.encode() for value in values])
    return pa.array(values, kind)


def _from_utf8(values: Sequence[bytes]) -> pa.Array:
    """Long texts; Arrow's own conversion leaves a second copy of each in the string object."""
    offsets = np.zeros(len(values) + 1, np.int64)
    np.cumsum(np.fromiter(map(len, values), np.int64, len(values)), out=offsets[1:])
    return pa.LargeStringArray.from_buffers(len(values), pa.py_buffer(offsets), pa.py_buffer(b"".join(values)))


def _conversations(values: Sequence[tuple[Message, ...]]) -> pa.Array:
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=offsets[1:])
    if not offsets[-1]:
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array([], MESSAGE_TYPE))
    fields = zip(*chain.from_iterable(values), strict=True)
    columns = [_column(field, kind.type) for field, kind in zip(fields, MESSAGE_TYPE, strict=True)]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(columns, fields=list(MESSAGE_TYPE)))


def _cell(cell: Any) -> str:
    if cell is None:
        return ""
    try:
        return orjson.dumps(cell, default=str).decode()
    except TypeError:
        return repr(cell)


def _extra(context: Context, calls: str, reasoning: str) -> bytes:
    """What belongs to a sample's identity beside prompt, response and label; empty for most."""
    if not (context.conversation or context.system or context.tools or calls or reasoning):
        return b""
    turns = [tuple(turn) for turn in context.conversation]
    return orjson.dumps((context.system, turns, context.tools, calls, reasoning), default=str)


def _first_turn(context: Context) -> bytes:
    """The first user turn of a conversation; empty where the prompt is the first."""
    return next((turn.content.encode() for turn in context.conversation if turn.role == "user"), b"")
