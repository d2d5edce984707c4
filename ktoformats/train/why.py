"""The whole story of one record: how it was read, what its verdict came to, what became of its samples."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ktoformats.errors import ConfigError, RecordError
from ktoformats.feedback import GOOD, REASONS
from ktoformats.read.parse import parse
from ktoformats.store.choose import SPLIT
from ktoformats.store.samples import LABEL_BIT
from ktoformats.train.ordered import training_rows

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ktoformats.convert.assemble import Assembly
    from ktoformats.convert.ledger import Reject
    from ktoformats.read.blocks import Block
    from ktoformats.read.named import Source
    from ktoformats.store.view import View

BATCH_SIZE: Final = 16
_COLUMNS: Final = (
    *("id", "label", "format_type", "fact", "field", "cell", "scale", "position", "rank", "pair", "flags"),
    *("response_quality", "utility_score", "source", "line", "response"),
)
_HEAD: Final = 200
_ID: Final = re.compile(r"([0-9a-f]{32})(-[0-9]+)?")
_KEY_DIGITS: Final = 16
"""So many digits of an id are the key of its sample."""
_MOST_DIGITS: Final = 18
"""No line has a longer number."""


class SampleStory(NamedTuple):
    """What became of one sample."""

    id: str
    label: str
    facts: dict[str, Any]
    """Fact, field, cell, scale, position, rank and pair, as in `ktoformats.SCHEMA`; quality and utility."""
    stage: str
    """What left it out; empty for a sample that is used."""
    reason: str
    place: int | None
    """Its place in training order, from 0; None for one that is not used."""

    def sentences(self, of: int, batch_size: int) -> list[str]:
        """It, in words.

        Args:
            of: How many samples are used.
            batch_size: Samples in a batch.
        """
        told = [f"answer: {_one_line(self.facts['response'])}", _verdict(self.label, self.facts)]
        if self.facts["flags"]:
            told.append("noticed: " + ", ".join(_meant(code) for code in self.facts["flags"].split(",")))
        told.append(
            f"response_quality {self.facts['response_quality']:.4g}, utility_score {self.facts['utility_score']:.4g}"
        )
        if self.place is None and self.stage == SPLIT:
            told.append(f"not used in this split: it belongs to {self.reason}")
        elif self.place is None:
            told.append(f"not used: {self.stage} left it out ({_meant(self.reason)})")
        else:
            told.append(
                f"used: place {self.place + 1:,} of {of:,} in training order; with batches of {batch_size}, in batch "
                f"{self.place // batch_size + 1:,} of {-(-of // batch_size):,}"
            )
        return told


class Story(NamedTuple):
    """What became of one record."""

    source: str
    line: int
    record: str
    """Its first characters."""
    read: str
    """How it was read, or why it was not."""
    samples: list[SampleStory]
    of: int
    """How many samples are used in all."""

    def told(self, batch_size: int = BATCH_SIZE) -> list[str]:
        """The story in lines; what comes from data is not escaped.

        Args:
            batch_size: Samples in a batch.
        """
        lines = [f"{self.source}:{self.line}", f"  {_one_line(self.record)}", self.read]
        for one in self.samples:
            lines += [f"sample {one.id}", *(f"  {text}" for text in one.sentences(self.of, batch_size))]
        return lines

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return self._asdict() | {"samples": [one._asdict() for one in self.samples]}


def why(
    what: str, view: View, files: Iterable[tuple[Source, Assembly]], rejects: Sequence[Reject] = ()
) -> list[Story]:
    """Tell of a record.

    Args:
        what: `FILE:LINE`, or the id of a sample; an id may stand for several records of one content.
        view: The samples, and what was chosen among them.
        files: The sources that the view is of, and how each is read.
        rejects: What the report remembers of rejected records; only where records are brought together does it tell
            what the record alone cannot.

    Raises:
        ConfigError: There is no such line or sample.
    """
    files = list(files)
    place = _place(what, [source for source, _ in files])
    places = [place] if place is not None else _places_of(what, view)
    return [_story(*one, view, files, rejects) for one in places]


def _place(what: str, sources: list[Source]) -> tuple[str, int] | None:
    """The source and the line that a text names; None where it names a sample."""
    name, colon, line = what.rpartition(":")
    if not colon or not line.isdecimal():
        return None
    found = _named(name, sources)
    if len(found) != 1:
        seen = ", ".join(found[:5] or [one.name for one in sources[:5]])
        why_not = "several sources are called so; say which" if found else "it is none of the sources"
        raise ConfigError(f"{name}: {why_not}: {seen}")
    return found[0], int(line) if len(line) <= _MOST_DIGITS else 10**_MOST_DIGITS


def _named(name: str, sources: list[Source]) -> list[str]:
    """The sources of this name; else those that it is another spelling of, or only the last part of."""
    return (
        [one.name for one in sources if one.name == name]
        or [one.name for one in sources if _is_same(one, name)]
        or [one.name for one in sources if one.name.rpartition("/")[2] == name]
    )


def _is_same(source: Source, name: str) -> bool:
    with suppress(OSError, ValueError):
        return source.copy is None and os.path.samefile(source.path, name)  # noqa: PTH121 - a name that need not be a path
    return False


def _places_of(what: str, view: View) -> list[tuple[str, int]]:
    """Where the samples of an id came from."""
    name = what.strip().lower()
    found = _ID.fullmatch(name)
    if found is None:
        raise ConfigError(f"{what!r} is no FILE:LINE and no id of a sample (32 hexadecimal digits)")
    key = np.uint64(int(name[:_KEY_DIGITS], 16))
    rows = np.flatnonzero(view.samples.numbers("key") == key)
    table = view.take(rows) if found[2] else view.samples.take(rows)
    same = [place for place, one in enumerate(table.column("id").to_pylist()) if one == name]
    if not same:
        hint = f"; {found[1]} stands there, but not so often" if len(rows) else _other_label(found[1], key, view)
        raise ConfigError(f"no sample has the id {name}{hint}")
    told = table.select(["source", "line"]).take(same).to_pylist()
    return list(dict.fromkeys((one["source"], one["line"]) for one in told))


def _other_label(name: str, key: np.uint64, view: View) -> str:
    rows = np.flatnonzero(view.samples.numbers("key") == key ^ LABEL_BIT)
    names = view.samples.take(rows, ["id"]).column("id").to_pylist() if len(rows) else []
    found = [one for one in names if one[_KEY_DIGITS:] == name[_KEY_DIGITS:]]
    return f"; the same answer with the other label is {found[0]}" if found else ""


def _story(
    name: str, line: int, view: View, files: list[tuple[Source, Assembly]], rejects: Sequence[Reject]
) -> Story:
    found = next(((source, assembly) for source, assembly in files if source.name == name), None)
    if found is None:
        raise ConfigError(f"{name}:{line}: the record is in none of the files; records in memory are not kept")
    source, assembly = found
    block = _record_at(source, line)
    raw = bytes(block.records[0] if block.records else block.faults[0].head)
    rows = _rows_at(name, line, view)
    return Story(
        name,
        line,
        _cut(raw[: _HEAD * 4 + 4].decode("utf-8", "replace")),
        _read(block, assembly, rejects, made=len(rows)),
        _samples(rows, view),
        len(view.chosen),
    )


def _record_at(source: Source, line: int) -> Block:
    """A block of the record on this line, or of the fault that stands there."""
    before = 0
    for block in source.blocks():
        if line in block.lines:
            at = block.lines.index(line)
            return block._replace(
                lines=[line],
                offsets=[block.offsets[at]],
                records=[block.records[at]],
                faults=[],
                blank=0,
                notices={},
            )
        faults = [fault for fault in block.faults if fault.line == line]
        if faults:
            return block._replace(lines=[], offsets=[], records=[], faults=faults, blank=0, notices={})
        starts = [*block.lines, *(fault.line for fault in block.faults)]
        before = max(chain([before], (one for one in starts if one < line)))
        if max(starts, default=0) > line:
            where = f"it is blank, or belongs to the record that begins on line {before}"
            where = where if before else f"the first one begins on line {min(starts)}"
            raise ConfigError(f"{source.name}:{line}: no record begins on this line; {where}")
    raise ConfigError(f"{source.name}:{line}: no record begins on this line; the last one begins on line {before}")


def _read(block: Block, assembly: Assembly, rejects: Sequence[Reject], *, made: int) -> str:
    if assembly.gather is not None and not block.faults:
        return _read_together(block, rejects, made=made)
    converted = assembly.pipeline.convert(block)
    if converted.rejects:
        one = converted.rejects[0]
        return _rejected(one.reason, one.message, one.field)
    account = converted.accounts[block.source]
    told = [f"read by the format {name!r}" for name in account.formats] or ["read, without a sample"]
    for title, counts in (
        ("without verdict", account.without_verdict),
        ("an answer was lost", account.candidates_lost),
        ("an answer has no verdict", account.candidates_unjudged),
        ("noticed", account.notices),
    ):
        told += [f"{title}: {_meant(reason)}" for reason in counts]
    return "; ".join(told)


def _read_together(block: Block, rejects: Sequence[Reject], *, made: int) -> str:
    """What became of a record that is judged together with others: its own samples tell the rest."""
    try:
        parse(block.records[0])
    except RecordError as error:
        return _rejected(error.reason, error.message)
    place = block.source, block.lines[0]
    for one in rejects:
        if (one.source, one.line) == place:
            return _rejected(one.reason, one.message, one.field)
    return f"read together with the records that belong to it; samples of its own: {made}"


def _rejected(reason: str, message: str, field: str = "") -> str:
    return f"rejected: {field + ': ' if field else ''}{message} ({_meant(reason)})"


def _rows_at(name: str, line: int, view: View) -> np.ndarray:
    """int64, the samples that were made of a record."""
    samples = view.samples
    if name not in samples.sources:
        return np.zeros(0, np.int64)
    of_source = samples.numbers("source") == samples.sources.index(name)
    return np.flatnonzero(of_source & (samples.numbers("line") == line))


def _samples(rows: np.ndarray, view: View) -> list[SampleStory]:
    if not len(rows):
        return []
    table = view.samples.take(rows, _COLUMNS)
    again = view.occurrence.of(rows).tolist()
    places: dict[int, int] = {}
    if (view.reasons[rows] == 0).any():
        ordered = training_rows(view.samples, view.chosen, view.occurrence)
        places = {int(row): int(np.flatnonzero(ordered == row)[0]) for row in rows if view.reasons[row] == 0}
    stories = []
    for row, facts, number in zip(rows.tolist(), table.to_pylist(), again, strict=True):
        stage, reason = view.names[view.reasons[row]]
        name = f"{facts['id']}-{number}" if number else facts["id"]
        facts["response"] = _cut(facts["response"])
        stories.append(SampleStory(name, facts["label"], facts, stage, reason, places.get(row)))
    return stories


def _verdict(label: str, facts: dict[str, Any]) -> str:
    """How the label came about."""
    cell = f"{facts['field'] or 'the verdict'} {facts['cell']}".strip()
    if facts["fact"] == "pair":
        side = "preferred" if label == GOOD else "not preferred"
        return f"{label}: the answer that was {side}, of a pair" + (f" ({cell})" if facts["cell"] else "")
    if facts["fact"] == "ranked":
        return f"{label}: it stands at place {facts['rank']:g} of a ranking" if facts["rank"] is not None else label
    scale = f", read on the scale {facts['scale']!r}" if facts["scale"] else ""
    place = (
        f" at {facts['position']:.0%} of the way from its worst to its best" if facts["position"] is not None else ""
    )
    return f"{label}: {cell}{scale}{place}"


def _cut(text: str) -> str:
    """A text's first characters."""
    return text if len(text) <= _HEAD else text[:_HEAD] + "…"


def _one_line(text: str) -> str:
    """Text without its line breaks, as those between the lines of a JSON value."""
    return re.sub(r"\s*\n\s*", " ", text)


def _meant(code: str) -> str:
    return f"{code}: {REASONS[code]}" if code in REASONS else code
