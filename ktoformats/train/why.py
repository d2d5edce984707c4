"""The whole story of one record: how it was read, what its verdict came to, what became of its samples."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ktoformats.errors import ConfigError
from ktoformats.feedback import GOOD, REASONS
from ktoformats.store.samples import LABEL_BIT
from ktoformats.train.ordered import training_rows

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ktoformats.convert.assemble import Assembly
    from ktoformats.read.blocks import Block
    from ktoformats.read.named import Source
    from ktoformats.store.view import View

BATCH_SIZE: Final = 16
_COLUMNS: Final = (
    *("id", "label", "format_type", "fact", "field", "cell", "scale", "position", "rank", "pair", "flags"),
    *("response_quality", "utility_score", "source", "line", "response"),
)
_HEAD: Final = 200
_ID_DIGITS: Final = 32


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
        told = [_verdict(self.label, self.facts)]
        if self.facts["flags"]:
            told.append("noticed: " + ", ".join(_meant(code) for code in self.facts["flags"].split(",")))
        told.append(
            f"response_quality {self.facts['response_quality']:.4g}, utility_score {self.facts['utility_score']:.4g}"
        )
        if self.place is None:
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
        lines = [f"{self.source}:{self.line}", f"  {self.record}", self.read]
        for one in self.samples:
            lines += [f"sample {one.id}", *(f"  {text}" for text in one.sentences(self.of, batch_size))]
        return lines

    def to_json(self) -> dict[str, Any]:
        """As plain values."""
        return self._asdict() | {"samples": [one._asdict() for one in self.samples]}


def why(what: str, view: View, files: Iterable[tuple[Source, Assembly]]) -> list[Story]:
    """Tell of a record.

    Args:
        what: `FILE:LINE`, or the id of a sample; an id may stand for several records of one content.
        view: The samples, and what was chosen among them.
        files: The sources that the view is of, and how each is read.

    Raises:
        ConfigError: There is no such line or sample.
    """
    files = list(files)
    place = _place(what, [source for source, _ in files])
    places = [place] if place is not None else _places_of(what, view)
    return [_story(*one, view, files) for one in places]


def _place(what: str, sources: list[Source]) -> tuple[str, int] | None:
    """The source and the line that a text names; None where it names a sample."""
    name, colon, line = what.rpartition(":")
    if not colon or not line.isdecimal():
        return None
    found = [one.name for one in sources if one.name == name] or [
        one.name for one in sources if one.path.name == name or str(one.path.absolute()) == name
    ]
    if len(found) != 1:
        seen = ", ".join(one.name for one in sources[:5])
        why_not = "several sources are called so" if found else f"it is none of the sources: {seen}"
        raise ConfigError(f"{name}: {why_not}; name one as it stands in the report")
    return found[0], int(line)


def _places_of(what: str, view: View) -> list[tuple[str, int]]:
    """Where the samples of an id came from."""
    wanted, _, number = what.partition("-")
    try:
        key = np.uint64(int(wanted[:16], 16))
    except ValueError:
        key = None
    if key is None or len(wanted) != _ID_DIGITS or (number and not number.isdecimal()):
        raise ConfigError(f"{what!r} is no FILE:LINE and no id of a sample (32 hexadecimal digits)")
    rows = np.flatnonzero(view.samples.numbers("key") == key)
    table = view.take(rows) if number else view.samples.take(rows)
    same = [place for place, name in enumerate(table.column("id").to_pylist()) if name == what]
    if not same:
        other = np.flatnonzero(view.samples.numbers("key") == key ^ LABEL_BIT)
        hint = "; the same answer stands there with the other label" if len(other) else ""
        raise ConfigError(f"no sample has the id {what}{hint}")
    told = table.select(["source", "line"]).take(same).to_pylist()
    return list(dict.fromkeys((one["source"], one["line"]) for one in told))


def _story(name: str, line: int, view: View, files: list[tuple[Source, Assembly]]) -> Story:
    source, assembly = next((source, assembly) for source, assembly in files if source.name == name)
    block = _record_at(source, line)
    raw = block.records[0] if block.records else block.faults[0].head
    rows = _rows_at(name, line, view)
    return Story(
        name,
        line,
        bytes(raw[:_HEAD]).decode("utf-8", "replace"),
        _read(block, assembly, made=len(rows)),
        _samples(rows, view),
        len(view.chosen),
    )


def _record_at(source: Source, line: int) -> Block:
    """A block of the record on this line, or of the fault that stands there."""
    last = 0
    for block in source.blocks():
        if line in block.lines:
            at = block.lines.index(line)
            return block._replace(
                lines=[line], offsets=[block.offsets[at]], records=[block.records[at]], faults=[], blank=0
            )
        faults = [fault for fault in block.faults if fault.line == line]
        if faults:
            return block._replace(lines=[], offsets=[], records=[], faults=faults, blank=0)
        last = max(chain([last], block.lines, (fault.line for fault in block.faults)))
        if last > line:
            raise ConfigError(f"{source.name}:{line}: no record begins on this line; it is blank, or inside a record")
    raise ConfigError(f"{source.name}:{line}: the last record begins on line {last}")


def _read(block: Block, assembly: Assembly, *, made: int) -> str:
    if assembly.gather is not None:
        return f"read together with the records that belong to it; {made} samples are its own"
    converted = assembly.pipeline.convert(block)
    if converted.rejects:
        one = converted.rejects[0]
        field = f"{one.field}: " if one.field else ""
        return f"rejected: {field}{one.message} ({_meant(one.reason)})"
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
        facts["response"] = facts["response"][:_HEAD]
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


def _meant(code: str) -> str:
    return f"{code}: {REASONS[code]}" if code in REASONS else code
