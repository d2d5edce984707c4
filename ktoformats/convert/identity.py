"""Who a sample is: digests of its content, for a whole batch at once.

Provenance is not identity: the same content read from another file or line has the same id.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pyarrow as pa

from ktoformats.feedback import GOOD, SCHEMA, Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from ktoformats.feedback import Fact

ID_DIGITS: Final = 32
GROUP_DIGITS: Final = 16
PAIR_DIGITS: Final = 16
_LABEL_BIT: Final = 0x10
"""The bit of an id's first byte that is the lowest of its first digit."""
_DIGIT: Final = np.frombuffer(b"0123456789abcdef", np.uint8)


class Identities(NamedTuple):
    """Who the samples of a batch are."""

    ids: pa.Array
    groups: pa.Array
    pairs: pa.Array


def identify(
    prompts: Sequence[bytes],
    responses: Sequence[bytes],
    labels: Sequence[str],
    extras: Sequence[bytes] | None = None,
    firsts: Sequence[bytes] | None = None,
    *,
    pairs: Sequence[int] | None = None,
) -> Identities:
    """The id, the group and the pair of every sample; a group is what a split must not tear apart.

    Args:
        prompts: UTF-8, one for each row.
        responses: UTF-8, one for each row.
        labels: `good` or `bad` for each row.
        extras: What else belongs to a row's content (system, turns, tools, tool calls, reasoning), or b"".
        firsts: The first user turn of a row's conversation, or b"" where the prompt is the first.
        pairs: For each row that of the other side of its preference, its own where it is left alone, -1 where it
            follows from no preference of two; None where no row does.

    Returns:
        Ids of 32 hexadecimal digits, from the SHA-256 of prompt, response and extra, then the lengths of the
        first two, without which the boundaries would be anyone's guess; the lowest bit of the first digit is the
        label, so that two labels of one answer differ in nothing else. Groups of 16 digits, from the SHA-256 of
        the first user turn. Pairs of 16 digits, half from the id of each side, or all from the one that is left;
        empty for all other samples.
    """
    if extras is None:
        whole = [
            b"%b%b%16x%16x" % (one, two, len(one), len(two)) for one, two in zip(prompts, responses, strict=True)
        ]
    else:
        rows = zip(prompts, responses, extras, strict=True)
        whole = [b"%b%b%b%16x%16x" % (one, two, more, len(one), len(two)) for one, two, more in rows]
    digests = _bytes_of([sha256(content).digest() for content in whole])[:, : ID_DIGITS // 2].copy()
    good = np.fromiter([label == GOOD for label in labels], np.bool_, len(labels))
    digests[:, 0] = digests[:, 0] & ~np.uint8(_LABEL_BIT) | good * np.uint8(_LABEL_BIT)
    ids = _digits_of(digests)
    opening = prompts if firsts is None else [first or prompt for first, prompt in zip(firsts, prompts, strict=True)]
    named = {text: sha256(text).digest() for text in set(opening)}
    groups = _digits_of(_bytes_of([named[text] for text in opening])[:, : GROUP_DIGITS // 2])
    return Identities(_texts_of(ids), _texts_of(groups), _pairs_of(ids, pairs))


def with_origins(batches: list[pa.RecordBatch], records: NDArray[np.int64]) -> list[pa.RecordBatch]:
    """Connect the samples of each record: the origin of a sample is the group of the first that its record gave.

    Args:
        batches: All samples of a block in the order of their records, each its own origin.
        records: For each sample its record, or its group of records; ascending.

    Returns:
        The same batches, but where the samples of one record are of several groups.
    """
    later = np.flatnonzero(records[1:] == records[:-1]) + 1
    if not later.size:
        return batches
    groups = np.concatenate([_names_of(batch.column("group")) for batch in batches])
    if (groups[later] == groups[later - 1]).all():
        return batches
    firsts = np.arange(len(groups))
    firsts[later] = 0
    origins = _texts_of(groups[np.maximum.accumulate(firsts)].view(np.uint8).reshape(-1, GROUP_DIGITS))
    place, made, start = SCHEMA.get_field_index("origin"), [], 0
    for batch in batches:
        made.append(batch.set_column(place, SCHEMA.field(place), origins.slice(start, len(batch))))
        start += len(batch)
    return made


def _names_of(groups: pa.Array) -> NDArray[np.bytes_]:
    """The groups as NumPy's texts of one length."""
    _, _, characters = groups.buffers()
    start = groups.offset
    return np.frombuffer(characters, f"S{GROUP_DIGITS}")[start : start + len(groups)]


def _bytes_of(digests: list[bytes]) -> NDArray[np.uint8]:
    return np.frombuffer(b"".join(digests), np.uint8).reshape(len(digests), -1)


def _digits_of(values: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """The hexadecimal digits of bytes, as ASCII, of shape (rows, 2 * bytes)."""
    digits = np.empty((len(values), 2 * values.shape[1]), np.uint8)
    digits[:, 0::2] = _DIGIT[values >> 4]
    digits[:, 1::2] = _DIGIT[values & 0x0F]
    return digits


def _texts_of(characters: NDArray[np.uint8]) -> pa.Array:
    """Texts of one length, one for each row."""
    rows, length = characters.shape
    offsets = np.arange(0, (rows + 1) * length, length, dtype=np.int32)
    return pa.StringArray.from_buffers(rows, pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(characters)))


def _pairs_of(ids: NDArray[np.uint8], pairs: Sequence[int] | None) -> pa.Array:
    if pairs is None:
        return pa.repeat(pa.scalar(""), len(ids))
    other, own = np.array(pairs, np.int64), np.arange(len(ids))
    half = PAIR_DIGITS // 2
    first, second = np.minimum(own, other), np.maximum(own, other)
    names = np.concatenate([ids[first, :half], ids[second, :half]], axis=1)
    alone = own == other
    names[alone] = ids[alone, :PAIR_DIGITS]
    lengths = np.where(other < 0, 0, PAIR_DIGITS)
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    return pa.StringArray.from_buffers(
        len(ids), pa.py_buffer(offsets), pa.py_buffer(np.ascontiguousarray(names[other >= 0]))
    )


def partners(facts: Sequence[Fact]) -> list[int] | None:
    """For each sample the row of the other side of its pair, as `identify` takes it.

    Args:
        facts: What each sample follows from; the sides of one pair share their fact and stand side by side.
    """
    if Pair not in set(map(type, facts)):
        return None
    rows = [-1] * len(facts)
    for row, fact in enumerate(facts):
        if type(fact) is not Pair or rows[row] >= 0:
            continue
        other = row + 1 if row + 1 < len(facts) and facts[row + 1] is fact else row
        rows[row], rows[other] = other, row
    return rows
