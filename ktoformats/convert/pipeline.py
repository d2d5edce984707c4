"""The hot path: a block of raw records in, one Arrow batch, its rejects and its account out.

A `Pipeline` is a value: it pickles, two with the same configuration do the same, and what it does to a record
depends on nothing but the record. Per record it costs one parse, one look-up for the shape, one adapter call
and one append; everything after works on columns.
"""

from __future__ import annotations

import gc
import traceback
from contextlib import contextmanager
from itertools import chain, takewhile
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.convert.bulk import decide_all as decide_bulk
from ktoformats.convert.encode import encode, in_order, of_candidates
from ktoformats.convert.identity import with_origins
from ktoformats.convert.policy import Outcome, decide
from ktoformats.convert.run import Run, enter_group, kept_of
from ktoformats.convert.tokens import hold_template_tokens
from ktoformats.errors import (
    AmbiguousFormatError,
    KtoFormatsError,
    PluginContractError,
    RecordError,
)
from ktoformats.feedback import SCHEMA, Pair
from ktoformats.plugin.kinds import Quality
from ktoformats.plugin.row import Row
from ktoformats.read.parse import Alike, parse_all, sort_by_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from ktoformats.convert.detect import Detector, NamedFormat
    from ktoformats.convert.encode import Made
    from ktoformats.convert.labels import LabelReader
    from ktoformats.convert.ledger import FileAccount, Reject
    from ktoformats.convert.policy import Policy
    from ktoformats.plugin.kinds import Utility
    from ktoformats.plugin.row import Columns
    from ktoformats.read.blocks import Block

BATCH_ROWS: Final = 1024
"""Samples scored at once: few enough to stay in the processor's cache."""
UNDEFINED_QUALITY: Final = 0.5
TOGETHER: Final = 32
"""Records of one shape in a block from which on deciding them by column is less work than one by one."""


class Converted(NamedTuple):
    """What one block became."""

    batches: list[pa.RecordBatch]
    rejects: list[Reject]
    accounts: dict[str, FileAccount]
    """By source; the records of one group may come from several."""
    numbers: Sequence[pa.RecordBatch] = ()
    """Those of each batch (`ktoformats.store.numbers`), where a worker has taken them already."""


class Pipeline:
    """Converts blocks of records to samples.

    `in_process` is True when it holds something that plain configuration cannot rebuild in a worker. `together` is
    how many records of one shape a block must hold to be decided by column, which changes nothing but the time.

    Args:
        detector: Finds the format of a record.
        labels: Reads verdict cells.
        quality: Scores responses.
        utility: Turns quality and label into a utility.
        policy: What follows from a fact.
        columns: The configured column names.
    """

    def __init__(
        self,
        *,
        detector: Detector,
        labels: LabelReader,
        quality: Quality,
        utility: Utility,
        policy: Policy,
        columns: Columns,
    ) -> None:
        self.detector = detector
        self.labels = labels
        self.quality = quality
        self.utility = utility
        self.policy = policy
        self.columns = columns
        self.in_process = False
        self.together = TOGETHER

    def convert(self, block: Block) -> Converted:
        """Convert one block.

        Args:
            block: Records of one file: raw bytes, or objects already parsed.

        Returns:
            Batches of `SCHEMA` in source order, the rejected records, and the block's account.

        Raises:
            AmbiguousFormatError: Two formats claim a record equally well.
            PluginContractError: A plugin returned what its kind does not allow.
        """
        run = Run(block.source)
        run.account.blank = block.blank
        run.account.lines = block.blank + len(block.faults) + (0 if block.groups else len(block.records))
        run.account.notices.update(block.notices)
        for fault in block.faults:
            run.reject(fault.line, fault.offset, RecordError(fault.reason, fault.message), fault.head)
        with _collector_paused():
            if block.groups:
                self._decide_groups(block, run)
            else:
                self._decide_all(block, run)
            batches = list(self._batches(run))
        return Converted(batches, run.rejects, run.accounts)

    def _decide_all(self, block: Block, run: Run) -> None:
        records, alike = _parsed(block.records)
        if not self.detector.by_shape:
            alike = [Alike(None, [number]) for number in range(len(records))]
        results: dict[int, Any] = {}
        for one in alike:
            numbers, first = one.numbers, one.numbers[0]
            reader = self._reader(records[first], one.key, block, first)
            if isinstance(reader, RecordError):
                for number in numbers:  # one each: an error remembers where it was raised
                    results[number] = RecordError(reader.reason, reader.message) if number != first else reader
                continue
            for number in self._decide_together(reader, records, one, block, run):
                results[number] = self._decided(reader, records[number])
        for number, result in sorted(results.items(), key=itemgetter(0)):
            line, offset, raw = block.lines[number], block.offsets[number], block.records[number]
            if isinstance(result, RecordError):
                run.reject(line, offset, result, raw)
            else:
                outcome, format_name, kept = result
                self._enter(run, outcome, format_name, kept, line, offset, raw)
                run.number(number)

    def _decide_together(
        self, reader: NamedFormat, records: list[Any], alike: Alike, block: Block, run: Run
    ) -> list[int]:
        """Decide records of one shape by column, as far as that goes; return those that are left."""
        numbers = alike.numbers
        if len(numbers) < self.together or alike.key is None:
            return numbers
        layout = self.detector.layout(reader, records[numbers[0]], alike.key)
        bulk = layout and decide_bulk(
            layout,
            records,
            numbers,
            block.lines,
            format_name=reader.name,
            kept=self.columns.kept,
            policy=self.policy,
            labels=self.labels,
        )
        if not bulk:
            return numbers
        run.bulks.append(bulk)
        run.account.used += bulk.used
        run.account.samples += bulk.samples.rows
        run.account.formats[reader.name] += bulk.used
        run.account.candidates_unjudged.update(bulk.unjudged)
        return bulk.left

    def _decide_groups(self, block: Block, run: Run) -> None:
        reader = self.detector.formats[0]  # what gathers is the only format
        for number, (raw, places) in enumerate(zip(block.records, block.groups or [], strict=True)):
            rows = orjson.loads(raw)  # each was parsed, and found sound, before it was gathered
            result = self._decided(reader, rows) if rows else None
            enter_group(run, result, rows, places, self.columns.kept)
            run.number(number)

    def _reader(self, record: Any, key: Any, block: Block, number: int) -> NamedFormat | RecordError:
        """The format of a record, or the error that costs it."""
        if isinstance(record, RecordError):
            return record
        try:
            return self.detector.find(record, key)
        except RecordError as error:
            return error
        except AmbiguousFormatError as error:
            raise AmbiguousFormatError(f"{block.source}:{block.lines[number]}: {error}") from None

    def _decided(self, reader: NamedFormat, record: Any) -> tuple[Outcome, str, str] | RecordError:
        """What a record comes to, its format's name and its carried columns, or the error that costs it."""
        row = Row(record, self.columns)
        try:
            outcome = decide(reader.format.facts(row), self.policy, self.labels)
        except RecordError as error:
            return error
        except PluginContractError as error:
            kind, plugin = (error.kind, error.plugin) if error.kind == "labels" else ("format", reader.name)
            raise PluginContractError(f"format {reader.name!r}: {error}", kind=kind, plugin=plugin) from error
        except (KtoFormatsError, KeyboardInterrupt):
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin that trips over one record must not cost the others
            said = f"{type(error).__name__}: {error}{_place_of(error)}"
            return RecordError("format_failed", f"format {reader.name!r} failed on the record ({said})")
        if row.notices:
            outcome.notices += row.notices
        return outcome, reader.name, kept_of(record, self.columns.kept) if type(record) is dict else ""

    def _enter(
        self, run: Run, outcome: Outcome, format_name: str, kept: str, line: int, offset: int, raw: Any
    ) -> None:
        account = run.account
        if outcome.candidates:
            account.used += 1
            account.formats[format_name] += 1
            account.samples += len(outcome.candidates)
            for error in outcome.lost:
                run.lose(account, error, line)
            if outcome.unjudged:
                account.candidates_unjudged.update(outcome.unjudged)
            for candidate in outcome.candidates:
                run.made.append((candidate, format_name, line, kept))
        elif outcome.lost:
            run.reject(line, offset, outcome.lost[0], raw)
            return
        else:
            account.without_verdict[outcome.unjudged[0] if outcome.unjudged else "null_verdict"] += 1
        if outcome.notices:
            account.notices.update(outcome.notices)

    def _batches(self, run: Run) -> Iterator[pa.RecordBatch]:
        """The samples in source order."""
        parts, records = [], []
        if run.bulks:
            records = [bulk.numbers for bulk in run.bulks]
            parts.append(encode(in_order([bulk.samples for bulk in run.bulks], records), run.source))
            records = [sorted(chain.from_iterable(records))]
        start, total = 0, len(run.made)
        while start < total:
            stop = min(start + BATCH_ROWS, total)
            if stop < total and _are_one_pair(run.made[stop - 1], run.made[stop]):
                stop -= 1
            parts.append(encode(of_candidates(run.made[start:stop]), run.sources[start:stop] or run.source))
            start = stop
        numbers = np.concatenate([np.array(one, np.int64) for one in (*records, run.numbers)])
        if records and run.numbers:
            parts = _merged(parts, numbers)
        for part in with_origins(parts, np.sort(numbers)):
            at = 0
            while at < len(part):
                rows = _rows_of_whole_pairs(part.column("pair"), at)
                yield self._scored(part.slice(at, rows), run)
                at += rows

    def _scored(self, batch: pa.RecordBatch, run: Run) -> pa.RecordBatch:
        tokens = hold_template_tokens(batch.column("prompt")) | hold_template_tokens(batch.column("response"))
        if tokens.any():
            run.account.notices["template_token"] += int(tokens.sum())
            batch = _flagged(batch, tokens, "template_token")
        quality = scored(self.quality, batch, finite=False)
        undefined = np.isnan(quality)
        if undefined.any():
            quality = np.where(undefined, UNDEFINED_QUALITY, quality)
            run.account.notices["quality_undefined"] += int(undefined.sum())
            batch = _flagged(batch, undefined, "quality_undefined")
        if ((quality < 0) | (quality > 1)).any():
            raise _broken(self.quality, "returned values outside [0, 1]")
        batch = _with(batch, "response_quality", pa.array(quality))
        return _with(batch, "utility_score", pa.array(scored(self.utility, batch, finite=True)))


def _merged(parts: list[pa.RecordBatch], records: NDArray[np.int64]) -> list[pa.RecordBatch]:
    """Batches in the order of the records that their samples come from; those of one record keep theirs."""
    order = pa.array(np.argsort(records, kind="stable"))
    merged: list[pa.RecordBatch] = pa.Table.from_batches(parts).take(order).combine_chunks().to_batches()
    return merged


def _place_of(error: BaseException) -> str:
    """Where in the plugin's code it was raised, or what it called of ours, for its author."""
    places = [(frame.f_globals.get("__name__", "?"), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    module, line = next((one for one in reversed(places) if not one[0].startswith("ktoformats.")), places[-1])
    return f" at {module}:{line}"


def _parsed(raws: list[Any]) -> tuple[list[Any], list[Alike]]:
    """The records, or the errors that cost them, and which have the same shape."""
    if raws and type(raws[0]) is bytes:
        return parse_all(raws)
    return raws, sort_by_shape(raws)


@contextmanager
def _collector_paused() -> Iterator[None]:
    """No cyclic garbage collection meanwhile.

    A block's records are many small containers without cycles: looking through them again and again costs
    about a tenth of the time and finds nothing.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


def _rows_of_whole_pairs(pairs: pa.Array, at: int) -> int:
    """How many rows from here on are a batch that tears no pair apart."""
    rows = min(BATCH_ROWS, len(pairs) - at)
    if at + rows == len(pairs):
        return rows
    names = pairs.slice(at, rows + 1).to_pylist()
    if not names[-1] or names[-2] != names[-1]:
        return rows
    run = sum(1 for _ in takewhile(lambda name: name == names[-1], reversed(names[:-1])))
    return rows - run % 2  # repeats of one pair have one name


def _are_one_pair(one: Made, other: Made) -> bool:
    fact = one[0].fact
    return fact is other[0].fact and type(fact) is Pair


def _with(batch: pa.RecordBatch, name: str, values: pa.Array) -> pa.RecordBatch:
    return batch.set_column(SCHEMA.get_field_index(name), SCHEMA.field(name), values)


def _flagged(batch: pa.RecordBatch, where: np.ndarray, name: str) -> pa.RecordBatch:
    told = zip(batch.column("flags").to_pylist(), where, strict=True)
    return _with(
        batch, "flags", pa.array([",".join(filter(None, (flag, name if is_so else ""))) for flag, is_so in told])
    )


def scored(plugin: Quality | Utility, batch: pa.RecordBatch, *, finite: bool) -> np.ndarray:
    """A scorer's answer as float64 of shape (rows,).

    Raises:
        PluginContractError: It failed, or returned another shape or a value that is not finite.
    """
    try:
        array = np.asarray(plugin.score(batch), dtype=np.float64)
    except (KtoFormatsError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise _broken(plugin, f"failed ({type(error).__name__}: {error})") from error
    if array.shape != (len(batch),):
        raise _broken(plugin, f"returned shape {array.shape}, expected ({len(batch)},)")
    if np.isinf(array).any() or (finite and np.isnan(array).any()):
        raise _broken(plugin, "returned a value that is not finite")
    return array


def _broken(plugin: Quality | Utility, what: str) -> PluginContractError:
    name = f"{type(plugin).__module__}.{type(plugin).__name__}"
    return PluginContractError(f"{name}.score {what}", kind="quality" if isinstance(plugin, Quality) else "utility")
