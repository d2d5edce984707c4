"""Records that belong together, brought together before they are converted: joins, groups, trees over rows.

Damage is told as it is met; what can be read waits in the files of `Together` until all sources have been.
"""

from __future__ import annotations

import math
from hashlib import blake2b
from itertools import count
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, Final, cast

import orjson

from ktoformats.errors import RecordError
from ktoformats.read.blocks import HEAD_BYTES, Block, Fault, Place
from ktoformats.read.parse import parse
from ktoformats.store.partition import KEY_BYTES, MEMORY, Entry, Together, read_entries, write_entries
from ktoformats.store.roots import Roots

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from ktoformats.plugin.gather import Gather, Join, Read

    Sources = Iterable[tuple[str, Iterable[Block]]]
    Stream = Iterator[Entry | Block]
    """Entries, and among them blocks that hold nothing but damage and counts."""

_BLOCK_BYTES: Final = 1 << 20
_NODE_BYTES: Final = 8
_ROW, _JOINED = 0, 1
"""The sides: records that are rows, and records of the joined file."""
_LAST: Final = (2, 0)


def gathered(sources: Sources, gather: Gather, *, joined: Sources = (), memory: int = MEMORY) -> Iterator[Block]:
    """Bring records together.

    Args:
        sources: Names and blocks of the files whose records are rows.
        gather: What belongs together.
        joined: Names and blocks of the file that is joined to them.
        memory: Bytes of records held at once; a group that is larger loses what no longer fits.

    Yields:
        Blocks of groups (see `Block.groups`), in the order of their first rows; damage comes before them.
    """
    numbers = count()
    stream = _entries(sources, _ROW, numbers)
    if gather.join is not None:
        stream = _joined(stream, _entries(joined, _JOINED, numbers), gather.join, memory)
    if gather.node is not None and gather.parent is not None:
        stream = _under_roots(stream, gather.node, gather.parent)
    else:
        stream = _keyed(stream, gather.key)
    with Together(memory) as together:
        yield from _added(stream, together)
        yield from _blocks(together.groups(), gather.order)


def _entries(sources: Sources, side: int, numbers: Iterator[int]) -> Stream:
    """Every record that can be parsed, without a key as yet."""
    for source, blocks in sources:
        for block in blocks:
            faults = list(block.faults)
            for line, offset, raw in zip(block.lines, block.offsets, block.records, strict=True):
                try:
                    data = raw if type(raw) is bytes else orjson.dumps(raw)
                    parse(data)
                except RecordError as error:
                    faults.append(Fault(line, offset, error.reason, error.message, data[:HEAD_BYTES]))
                except TypeError as error:
                    faults.append(Fault(line, offset, "wrong_type", f"it is no JSON value ({error})", b""))
                else:
                    yield Entry(b"", next(numbers), side, _dumps([(source, line, offset)]), data)
            if faults or block.blank or block.notices:
                yield block._replace(lines=[], offsets=[], records=[], faults=faults)


def _joined(rows: Stream, others: Stream, join: Join, memory: int) -> Stream:
    """The rows with what the other file has of their key, and what it has of no row's key."""
    with Together(memory) as together:
        yield from _added(_keyed(rows, join.here), together)
        yield from _added(_keyed(others, join.there, _JOINED), together)
        for group in together.groups():
            found = [one for one in group if one.side == _JOINED]
            taken = False
            for row in (one for one in group if one.side == _ROW):
                made = _with_others(row, found, join)
                if isinstance(made, Entry) and made.raw is not row.raw and not taken:
                    # the first row of a key answers for the records that all rows of it share
                    shared = [place for one in found for place in _places(one)]
                    places = _dumps([tuple(place) for place in (*_places(row), *shared)])
                    made, taken = made._replace(places=places), True
                yield made
            if not taken:
                yield from found


def _with_others(row: Entry, found: list[Entry], join: Join) -> Entry | Block:
    """A row with the records of its key, or the fault that costs it."""
    if len(found) > 1 and not join.every:
        message = f"{len(found)} records of {join.file} have its key; `take: all` joins them all"
        return _fault(row, _places(row)[0], "several_matches", message)
    record = orjson.loads(row.raw or b"null")
    if type(record) is not dict or not (found or join.every):
        return row
    if join.name in record:
        message = f"it has a field {join.name!r} already; join under another name with `as`"
        return _fault(row, _places(row)[0], "duplicate_key", message)
    values = [orjson.loads(one.raw) for one in found if one.raw is not None]
    return row._replace(raw=_dumps({**record, join.name: values if join.every else values[0]}))


def _keyed(stream: Stream, read: Read | None, side: int = _ROW) -> Stream:
    """The same entries with their keys; those of the other side, and those without a value, are alone."""
    for one in stream:
        if isinstance(one, Block):
            yield one
            continue
        value = read(orjson.loads(one.raw or b"null")) if read and one.side == side else None
        yield one._replace(key=_alone(one) if value is None else _digest(value, KEY_BYTES))


def _under_roots(stream: Stream, node: Read, parent: Read) -> Stream:
    """The entries, keyed by the roots of the trees they stand in."""
    with Roots() as roots, TemporaryFile() as spool:
        for one in stream:
            if isinstance(one, Block):
                yield one
                continue
            record = orjson.loads(one.raw or b"null") if one.side == _ROW else None
            own = node(record)
            above = parent(record) if own is not None else None
            roots.add(_number(own, one), 0 if above is None else _number(above, one))
            write_entries(spool, [one])
        for one, root in zip(read_entries(spool), roots.find(), strict=True):
            yield one._replace(key=root.to_bytes(KEY_BYTES, "little"))


def _added(stream: Stream, together: Together) -> Iterator[Block]:
    """Take the entries over; what is left are the blocks."""
    for one in stream:
        if isinstance(one, Block):
            yield one
        else:
            together.add(one)


def _blocks(groups: Iterable[list[Entry]], order: Read | None) -> Iterator[Block]:
    block, size = Block("", [], [], [], 0, [], {}, []), 0
    for group in groups:
        for one in (one for one in group if one.raw is None):
            for place in _places(one):
                yield _fault(one, place, "too_many_items", "more records have its key than fit into one group")
        rows = [one for one in group if one.raw is not None]
        if not rows:
            continue
        if order is not None and len(rows) > 1:
            rows.sort(key=lambda one: _sort_key(order(orjson.loads(one.raw or b"null"))))
        places = [_places(one) for one in rows]
        texts = [one.raw or b"" for one in rows if one.side == _ROW]
        first = places[0][0]
        if size > _BLOCK_BYTES or first.source != block.source:
            if block.records:
                yield block
            block, size = Block(first.source, [], [], [], 0, [], {}, []), 0
        block.lines.append(first.line)
        block.offsets.append(first.offset)
        block.records.append(b"[%b]" % b",".join(texts))
        cast("list[list[list[Place]]]", block.groups).append(places)
        size += len(block.records[-1])
    if block.records:
        yield block


def _fault(one: Entry, place: Place, reason: str, message: str) -> Block:
    """The block of one record that is lost."""
    fault = Fault(place.line, place.offset, reason, message, (one.raw or b"")[:HEAD_BYTES])
    return Block(place.source, [], [], [], 0, [fault], {})


def _places(one: Entry) -> list[Place]:
    return [Place(*place) for place in orjson.loads(one.places)]


def _dumps(value: Any) -> bytes:
    """JSON in as many bytes as it needs: orjson leaves the rest of its first kilobyte attached."""
    return bytes(memoryview(orjson.dumps(value)))


def _digest(value: Any, size: int) -> bytes:
    """A digest of a JSON value, the same for 1 and 1.0."""
    if type(value) is float and value.is_integer():
        value = int(value)
    return blake2b(orjson.dumps(value, option=orjson.OPT_SORT_KEYS), digest_size=size).digest()


def _alone(one: Entry) -> bytes:
    """A key that no value has: digests of JSON texts do not begin like this but by chance."""
    return blake2b(b"alone %d" % one.order, digest_size=KEY_BYTES).digest()


def _number(value: Any, one: Entry) -> int:
    """A node as a number from 1 on."""
    digest = _digest(value, _NODE_BYTES) if value is not None else _alone(one)[:_NODE_BYTES]
    return int.from_bytes(digest, "little") or 1


def _sort_key(value: Any) -> tuple[int, Any]:
    """Numbers, also those that are written as texts, before other texts before everything else."""
    try:
        number = float(value) if type(value) in (int, float, str) else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if math.isfinite(number):
        return 0, number
    return (1, value) if type(value) is str else _LAST
