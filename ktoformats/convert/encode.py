"""Candidates of many records to the columns of one Arrow batch.

Columns are built whole: a transposition in C takes the candidates apart, most columns of a batch hold one value
and are repeated instead of converted, and the digests are taken from the encoded texts.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.convert.identity import identify, partners
from ktoformats.convert.policy import preference_type
from ktoformats.feedback import MESSAGE_TYPE, METHOD, SCHEMA

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.convert.policy import Candidate

FULL_WEIGHT: Final = 1.0
_TYPES: Final = {field.name: field.type for field in SCHEMA}


Made = tuple["Candidate", str, int, str]
"""A candidate, its format's name, its line, and the carried columns as JSON text."""


class Same(NamedTuple):
    """A column that holds one value."""

    value: Any


class Samples(NamedTuple):
    """Samples by column, before they are encoded."""

    rows: int
    columns: dict[str, Sequence[Any] | Same]
    """Columns of `SCHEMA`; one that is missing is empty throughout. Conversations are tuples like `Message`."""
    pairs: Sequence[int] | None = None
    """For each the row of the other side of its pair, as `identify` takes it."""


def of_candidates(made: Sequence[Made]) -> Samples:
    """The columns of candidates, in source order; at least one. Both sides of a pair stand side by side."""
    candidates, formats, lines, kept = zip(*made, strict=True)
    contexts, texts, reasonings, calls, labels, facts, fields, cells, scales, places, ranks, flags, _ = zip(
        *candidates, strict=True
    )
    prompts, systems, conversations, tools = zip(*contexts, strict=True)
    columns: dict[str, Sequence[Any] | Same] = {
        "prompt": prompts,
        "response": texts,
        "label": labels,
        "system": systems,
        "conversation": conversations,
        "tools": tools,
        "tool_calls": calls,
        "reasoning": reasonings,
        "preference_type": list(map(preference_type, facts, labels)),
        "format_type": formats,
        "line": lines,
        "kept": kept,
        "fact": [type(fact).__name__.lower() for fact in facts],
        "field": fields,
        "cell": list(map(cell_text, cells)),
        "scale": scales,
        "position": places,
        "rank": ranks,
        "flags": list(map(",".join, flags)),
    }
    return Samples(len(made), columns, partners(facts))


def in_order(parts: Sequence[Samples], records: Sequence[Sequence[int]]) -> Samples:
    """Samples of one block, in the order of the records that they come from; those of one record keep theirs.

    Args:
        parts: At least one.
        records: The record of each sample, for each part.
    """
    if len(parts) == 1:
        return parts[0]
    order = np.argsort(np.concatenate([np.array(one, np.int64) for one in records]), kind="stable")
    rows = order.tolist()
    columns: dict[str, Sequence[Any] | Same] = {}
    for name in {name: None for part in parts for name in part.columns}:
        values = [part.columns[name] if name in part.columns else _EMPTY[name] for part in parts]
        if all(isinstance(one, Same) and one == values[0] for one in values):
            columns[name] = values[0]
            continue
        whole = list(chain.from_iterable(_listed(one, part.rows) for one, part in zip(values, parts, strict=True)))
        columns[name] = [whole[row] for row in rows]
    return Samples(len(rows), columns, _pairs_in_order(parts, order))


def _pairs_in_order(parts: Sequence[Samples], order: np.ndarray) -> list[int] | None:
    if all(part.pairs is None for part in parts):
        return None
    others, start = [], 0
    for part in parts:
        own = np.full(part.rows, -1) if part.pairs is None else np.array(part.pairs, np.int64)
        others.append(np.where(own < 0, -1, own + start))
        start += part.rows
    place = np.empty(len(order) + 1, np.int64)
    place[order] = np.arange(len(order))
    place[-1] = -1  # nobody stays nobody
    found: list[int] = place[np.concatenate(others)[order]].tolist()
    return found


def encode(samples: Samples, source: str | Sequence[str]) -> pa.RecordBatch:
    """Build a batch, without scores as yet.

    Args:
        samples: At least one.
        source: The file they came from, or that of each.

    Returns:
        Every column of `SCHEMA`; the two scores are 0, and every sample is its own origin.
    """
    count, given = samples.rows, samples.columns
    plain = {name: given.get(name, _EMPTY[name]) for name in _PLAIN}
    columns = {name: _column(values, _TYPES[name], count) for name, values in plain.items()}
    turns = _listed(given.get("conversation", Same(())), count)
    extras, firsts = None, None
    if any(turns) or any(any(given.get(name, ())) for name in _RICH):
        others = [_listed(given.get(name, Same("")), count) for name in _RICH]
        extras = list(map(_extra, turns, *others))  # orjson leaves its UTF-8 with the texts, which are encoded next
        firsts = list(map(_first_turn, turns))
    prompts, responses = ([text.encode() for text in given[name]] for name in ("prompt", "response"))
    columns["prompt"], columns["response"] = _from_utf8(prompts), _from_utf8(responses)
    columns["conversation"] = _conversations(turns)
    columns["id"], columns["group"], columns["pair"] = identify(
        prompts, responses, _listed(given["label"], count), extras, firsts, pairs=samples.pairs
    )
    columns["origin"] = columns["group"]
    columns["source"] = pa.repeat(pa.scalar(source), count) if isinstance(source, str) else pa.array(source)
    columns["method"] = pa.repeat(pa.scalar(METHOD), count)
    columns["weight"] = pa.repeat(pa.scalar(FULL_WEIGHT), count)
    columns["response_quality"] = columns["utility_score"] = pa.repeat(pa.scalar(0.0), count)
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


_RICH: Final = ("system", "tools", "tool_calls", "reasoning")
"""What belongs to a sample's identity beside prompt, response, label and turns."""
_PLAIN: Final = (
    *("label", *_RICH, "preference_type", "format_type", "line", "kept"),
    *("fact", "field", "cell", "scale", "position", "rank", "flags"),
)
_EMPTY: Final = {name: Same(None if SCHEMA.field(name).nullable else "") for name in _PLAIN}
_EMPTY["conversation"] = Same(())


def _listed(values: Sequence[Any] | Same, count: int) -> Sequence[Any]:
    return [values.value] * count if isinstance(values, Same) else values


def _column(values: Sequence[Any] | Same, kind: pa.DataType, count: int) -> pa.Array:
    """An Arrow array; repeating one value is much cheaper than reading each."""
    if isinstance(values, Same):
        return pa.repeat(pa.scalar(values.value, kind), count)
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


def _conversations(values: Sequence[Sequence[Sequence[str]]]) -> pa.Array:
    offsets = np.zeros(len(values) + 1, np.int32)
    np.cumsum(np.fromiter(map(len, values), np.int32, len(values)), out=offsets[1:])
    if not offsets[-1]:
        return pa.ListArray.from_arrays(pa.array(offsets), pa.array([], MESSAGE_TYPE))
    fields = zip(*chain.from_iterable(values), strict=True)
    columns = [_column(field, kind.type, len(field)) for field, kind in zip(fields, MESSAGE_TYPE, strict=True)]
    return pa.ListArray.from_arrays(pa.array(offsets), pa.StructArray.from_arrays(columns, fields=list(MESSAGE_TYPE)))


def cell_text(cell: Any) -> str:
    """A raw verdict cell as JSON text; empty where there is none."""
    if cell is None:
        return ""
    try:
        return orjson.dumps(cell, default=str).decode()
    except TypeError:
        return repr(cell)


def _extra(turns: Sequence[Sequence[str]], system: str, tools: str, calls: str, reasoning: str) -> bytes:
    """What belongs to a sample's identity beside prompt, response and label; empty for most."""
    if not (turns or system or tools or calls or reasoning):
        return b""
    plain = turns if type(turns) is list else list(map(tuple, turns))
    return orjson.dumps((system, plain, tools, calls, reasoning), default=str)


def _first_turn(turns: Sequence[Sequence[str]]) -> bytes:
    """The first user turn of a conversation; empty where the prompt is the first."""
    return next((content.encode() for role, content, *_ in turns if role == "user"), b"")
