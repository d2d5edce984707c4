"""All samples of a split, wherever they are: their numbers at hand, their texts on demand."""

from __future__ import annotations

import copy
from functools import cached_property
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from ktoformats.feedback import SCHEMA
from ktoformats.store.numbers import to_arrow
from ktoformats.store.part import NUMBERS_SCHEMA, Part, joined

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ktoformats.store.numbers import Array

LABEL_BIT = np.uint64(1 << 60)
"""The bit of an id's first 16 digits that is the label; see `identify`."""

_ROWS_AT_ONCE = 1 << 16
_FEW = 8
"""Of less than one in so many samples the numbers are looked up one by one."""

Tags = dict[str, Any]
"""What a source adds to what its samples carry."""


class Samples:
    """Parts, one after the other; a row is a sample's place among all.

    Args:
        parts: The parts.
        tags: For each part what its samples carry besides.
        pieces: For each part the number of the piece it is of; each is one by itself by default.
    """

    def __init__(
        self, parts: Sequence[Part], tags: Sequence[Tags] | None = None, pieces: Sequence[int] | None = None
    ) -> None:
        self.parts: tuple[Part, ...] = tuple(parts)
        self.tags: tuple[Tags, ...] = tuple(tags or [{}] * len(parts))
        self.pieces: tuple[int, ...] = tuple(range(len(parts)) if pieces is None else pieces)
        self.starts: list[int] = list(accumulate((part.rows for part in parts), initial=0))
        self._numbers: dict[str, Array] = {}
        self._again: Array | None = None

    @classmethod
    def of_table(cls, table: pa.Table) -> Samples:
        """Those of one table in memory."""
        return cls([Part(len(table), table=table)])

    def __len__(self) -> int:
        return self.starts[-1]

    def __getstate__(self) -> dict[str, Any]:
        own = {name: vars(self)[name] for name in ("parts", "tags", "pieces", "starts")}
        return own | {"_numbers": {}, "_again": None}  # another process finds for itself what can be found again

    def combined(self) -> Samples:
        """The same, what is in memory in one piece each: access by row is quicker then."""
        made = copy.copy(self)
        made.parts = tuple(part.combined() for part in self.parts)
        return made

    def with_copies(self, rows: Array) -> Samples:
        """These samples, and behind them copies of some."""
        copies = Part(len(rows), table=self.take(rows))
        return Samples([*self.parts, copies], [*self.tags, {}], [*self.pieces, -1])

    def numbers(self, name: str, rows: Array | None = None) -> Array:
        """A number of every sample, of shape (samples,), or of some.

        Args:
            name: One of `NUMBERS`, or `source`, which counts in `sources`.
            rows: int64, which samples; None takes all.
        """
        if rows is not None and name not in self._numbers:
            if len(rows) < len(self) // _FEW:
                return self._of_few(name, rows)
            if (rows[1:] > rows[:-1]).all():
                return self._of_ascending(name, rows)
        if name not in self._numbers:
            parts = [self.numbers_of_part(number, name) for number in range(len(self.parts))]
            self._numbers[name] = joined(parts, _dtype(name))
        return self._numbers[name] if rows is None else self._numbers[name][rows]

    def _of_ascending(self, name: str, rows: Array) -> Array:
        bounds = np.searchsorted(rows, self.starts).tolist()
        found = np.empty(len(rows), _dtype(name))
        for number, (start, stop) in enumerate(pairwise(bounds)):
            if start < stop:
                found[start:stop] = self.numbers_of_part(number, name)[rows[start:stop] - self.starts[number]]
        return found

    def _of_few(self, name: str, rows: Array) -> Array:
        own = self._parts_of(rows)
        found = np.empty(len(rows), _dtype(name))
        for number in np.unique(own).tolist():
            here = own == number
            found[here] = self.numbers_of_part(number, name)[rows[here] - self.starts[number]]
        return found

    def numbers_of_part(self, number: int, name: str, start: int = 0, stop: int | None = None) -> Array:
        """A number of every sample of a part, or of some; it is not copied where the part has it in one piece."""
        found = self.parts[number].numbers(name, start, stop)
        return self._source_codes[number][found] if name == "source" else found

    def _parts_of(self, rows: Array) -> Array:
        """int64 per row: the number of its part."""
        own: Array = np.searchsorted(self.starts, rows, side="right") - 1
        return own

    @property
    def good(self) -> Array:
        """Bool per row: True for desirable."""
        return self.numbers("good").view(np.bool_)

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The names of all sources."""
        return tuple(dict.fromkeys(name for part in self.parts for name in part.source_names()))

    @cached_property
    def _source_codes(self) -> list[Array]:
        """For each part the number of each of its names among all."""
        place = {name: number for number, name in enumerate(self.sources)}
        return [np.array([place[name] for name in part.source_names()], np.uint32) for part in self.parts]

    @cached_property
    def again(self) -> Array:
        """int64, the rows of answers that stand there more than once, by answer, then by pair, then by row.

        Repeats and contradictions are found among them; most samples are unlike all others.
        """
        if self._again is not None:
            return self._again
        answers = self.numbers("key") & ~LABEL_BIT
        ordered = np.sort(answers)
        repeated = np.unique(ordered[1:][ordered[1:] == ordered[:-1]])
        del ordered
        rows = _rows_of(answers, repeated)
        return rows[np.lexsort((rows, self.numbers("pair", rows), answers[rows]))]

    def know_again(self, rows: Array) -> None:
        """Be told what `again` would find."""
        self._again = rows

    def batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatch]:
        """The samples in small batches, in order; each may be forgotten when the next is asked for."""
        for part, tags in zip(self.parts, self.tags, strict=True):
            for batch in part.batches(columns):
                yield plain(batch, tags)

    def take(self, rows: Array, columns: Sequence[str] | None = None) -> pa.Table:
        """Some samples, in this order, as a table of `SCHEMA` or of some of its columns.

        Args:
            rows: int64 of shape (samples,).
            columns: Which; None takes all.
        """
        names = list(SCHEMA.names if columns is None else columns)
        own = self._parts_of(rows)
        taken = [self._taken(int(number), rows[own == number], names) for number in np.unique(own)]
        if not taken:
            return _schema_of(names).empty_table()
        if len(taken) == 1:
            return taken[0]
        return pa.concat_tables(taken).take(to_arrow(_places(own)))

    def whole(self, columns: Sequence[str]) -> pa.Table:
        """All of them as one table of some columns; texts in uncompressed files stay where they are."""
        tables = [_schema_of(columns).empty_table()]
        for number, part in enumerate(self.parts):
            tables.append(self._taken(number, np.arange(part.rows) + self.starts[number], list(columns)))
        return pa.concat_tables(tables)

    def _taken(self, number: int, rows: Array, names: list[str]) -> pa.Table:
        part, inside = self.parts[number], rows - self.starts[number]
        if part.compressed or (part.path is not None and not _are_consecutive(inside)):
            table = _from_batches(part, inside, names)
        else:
            table = take(part.whole().select(names), inside)
            if part.coded and "source" in names:
                codes = to_arrow(part.numbers("source")[inside].astype(np.int32))
                named = pa.DictionaryArray.from_arrays(codes, pa.array(part.source_names(), pa.string()))
                table = table.set_column(names.index("source"), "source", named)
        batches = [plain(batch, self.tags[number]) for batch in table.to_batches()]
        return pa.Table.from_batches(batches, _schema_of(names))


def _dtype(name: str) -> Any:
    return NUMBERS_SCHEMA.field(name).type.to_pandas_dtype()


def _schema_of(names: Sequence[str]) -> pa.Schema:
    return pa.schema([SCHEMA.field(name) for name in names])


def _rows_of(values: Array, ordered: Array) -> Array:
    """The rows of those values that are among some in order; looking up takes memory, so it is done in pieces."""
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(values) if len(ordered) else 0, _ROWS_AT_ONCE):
        some = values[start : start + _ROWS_AT_ONCE]
        places = np.searchsorted(ordered, some).clip(max=len(ordered) - 1)
        found.append(np.flatnonzero(ordered[places] == some) + start)
    return np.concatenate(found)


def _from_batches(part: Part, rows: Array, names: list[str]) -> pa.Table:
    """Rows of a part in a file: batches that hold none are not touched, and compressed ones decoded once."""
    ends = np.cumsum(part.lengths)
    own = np.searchsorted(ends, rows, side="right")
    taken = []
    for number in np.unique(own).tolist():
        start = int(ends[number]) - part.lengths[number]
        taken.append(part.batch(number, names).take(to_arrow(rows[own == number] - start)))
    if "source" in names and part.coded:
        place = names.index("source")
        taken = [one.set_column(place, SCHEMA.field("source"), one.column(place).cast(pa.string())) for one in taken]
    return pa.Table.from_batches(taken, _schema_of(names)).take(to_arrow(_places(own)))


def _places(own: Array) -> Array:
    """Where each row stands, once rows are sorted by what is their own."""
    places = np.empty(len(own), np.int64)
    places[np.argsort(own, kind="stable")] = np.arange(len(own))
    return places


def take(table: pa.Table, rows: Array) -> pa.Table:
    """Some rows of a table, in this order; consecutive ones are not copied."""
    if len(rows) and _are_consecutive(rows):
        return table.slice(int(rows[0]), len(rows))
    return table.take(to_arrow(rows))


def _are_consecutive(rows: Array) -> bool:
    """Whether rows follow each other without a gap, as no rows do, too."""
    return not len(rows) or bool(rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all())


def plain(batch: pa.RecordBatch, tags: Tags) -> pa.RecordBatch:
    """A batch with the columns' own types, and with what its source adds to what a sample carries."""
    names = batch.schema.names
    if "source" in names and pa.types.is_dictionary(batch.column("source").type):
        place = names.index("source")
        batch = batch.set_column(place, SCHEMA.field("source"), batch.column("source").cast(pa.string()))
    return tagged(batch, tags)


def tagged(batch: pa.RecordBatch, tags: Tags) -> pa.RecordBatch:
    """A batch with what its source adds to what a sample carries."""
    names = batch.schema.names
    if not tags or "kept" not in names:
        return batch
    kept = batch.column("kept")
    empty, comma, brace, inner = (
        pa.scalar(text, kept.type) for text in ("", ",", "{", orjson.dumps(tags).decode()[1:])
    )
    opened = pc.binary_join_element_wise(pc.utf8_slice_codeunits(kept, 0, -1), comma, empty)
    column = pc.binary_join_element_wise(pc.if_else(pc.equal(kept, empty), brace, opened), inner, empty)
    return batch.set_column(names.index("kept"), SCHEMA.field("kept"), column)
