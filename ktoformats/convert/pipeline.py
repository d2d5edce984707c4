"""The hot path: a block of raw records in, one Arrow batch, its rejects and its account out.

A `Pipeline` is a value: it pickles, two with the same configuration do the same, and what it does to a record
depends on nothing but the record. Per record it costs one parse, one look-up for the shape, one adapter call
and one append; everything after works on columns.
"""

from __future__ import annotations

import gc
import traceback
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.convert.encode import encode
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
from ktoformats.plugin.row import Row
from ktoformats.read.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.convert.detect import Detector, NamedFormat
    from ktoformats.convert.encode import Made
    from ktoformats.convert.labels import LabelReader
    from ktoformats.convert.ledger import FileAccount, Reject
    from ktoformats.convert.policy import Policy
    from ktoformats.plugin.kinds import Quality, Utility
    from ktoformats.plugin.row import Columns
    from ktoformats.read.blocks import Block

BATCH_ROWS: Final = 1024
"""Samples scored at once: few enough to stay in the processor's cache."""
UNDEFINED_QUALITY: Final = 0.5


class Converted(NamedTuple):
    """What one block became."""

    batches: list[pa.RecordBatch]
    rejects: list[Reject]
    accounts: dict[str, FileAccount]
    """By source; the records of one group may come from several."""


class Pipeline:
    """Converts blocks of records to samples.

    `in_process` is True when it holds something that plain configuration cannot rebuild in a worker.

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
        # Stage by stage, and format by format: each loop then stays in the processor's caches, and a mixed file
        # costs no more than its parts.
        records = [_parsed(raw) for raw in block.records]
        results: list[Any] = [self._reader(record, block, number) for number, record in enumerate(records)]
        readers: dict[int, list[int]] = {}
        for number, reader in enumerate(results):
            if not isinstance(reader, RecordError):
                readers.setdefault(id(reader), []).append(number)
        for numbers in readers.values():
            reader = results[numbers[0]]
            for number in numbers:
                results[number] = self._decided(reader, records[number])
        for line, offset, raw, result in zip(block.lines, block.offsets, block.records, results, strict=True):
            if isinstance(result, RecordError):
                run.reject(line, offset, result, raw)
            else:
                outcome, format_name, kept = result
                self._enter(run, outcome, format_name, kept, line, offset, raw)

    def _decide_groups(self, block: Block, run: Run) -> None:
        reader = self.detector.formats[0]  # what gathers is the only format
        for raw, places in zip(block.records, block.groups or [], strict=True):
            rows = orjson.loads(raw)  # each was parsed, and found sound, before it was gathered
            result = self._decided(reader, rows) if rows else None
            enter_group(run, result, rows, places, self.columns.kept)

    def _reader(self, record: Any, block: Block, number: int) -> Any:
        """The format of a record, or the error that costs it."""
        if isinstance(record, RecordError):
            return record
        try:
            return self.detector.find(record)
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
            raise PluginContractError(
                f"format {reader.name!r}: {error}", kind="format", plugin=reader.name
            ) from error
        except KtoFormatsError:
            raise
        except Exception as error:  # noqa: BLE001 - a plugin that trips over one record must not cost the others
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
        start, total = 0, len(run.made)
        while start < total:
            stop = min(start + BATCH_ROWS, total)
            if stop < total and _are_one_pair(run.made[stop - 1], run.made[stop]):
                stop -= 1
            yield self._batch(run.made[start:stop], run.origins[start:stop] or run.source, run)
            start = stop

    def _batch(self, made: list[Made], source: str | list[str], run: Run) -> pa.RecordBatch:
        columns = encode(made, source)
        tokens = hold_template_tokens(columns["prompt"]) | hold_template_tokens(columns["response"])
        if tokens.any():
            run.account.notices["template_token"] += int(tokens.sum())
            columns["flags"] = _flagged(columns["flags"], tokens, "template_token")
        zeros = pa.repeat(pa.scalar(0.0), len(made))
        columns["response_quality"] = columns["utility_score"] = zeros
        quality = scored(self.quality, _in_order(columns), finite=False)
        undefined = np.isnan(quality)
        if undefined.any():
            quality = np.where(undefined, UNDEFINED_QUALITY, quality)
            run.account.notices["quality_undefined"] += int(undefined.sum())
            columns["flags"] = _flagged(columns["flags"], undefined, "quality_undefined")
        if ((quality < 0) | (quality > 1)).any():
            name = f"{type(self.quality).__module__}.{type(self.quality).__name__}"
            raise PluginContractError(f"{name}.score returned values outside [0, 1]")
        columns["response_quality"] = pa.array(quality)
        columns["utility_score"] = pa.array(scored(self.utility, _in_order(columns), finite=True))
        return _in_order(columns)


def _place_of(error: Exception) -> str:
    """Where in the plugin's code it was raised, or what it called of ours, for its author."""
    places = [(frame.f_globals.get("__name__", "?"), line) for frame, line in traceback.walk_tb(error.__traceback__)]
    module, line = next((one for one in reversed(places) if not one[0].startswith("ktoformats.")), places[-1])
    return f" at {module}:{line}"


def _parsed(raw: Any) -> Any:
    """A record, or the error that costs it."""
    if type(raw) is not bytes:
        return raw
    try:
        return parse(raw)
    except RecordError as error:
        return error


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


def _are_one_pair(one: Made, other: Made) -> bool:
    fact = one[0].fact
    return fact is other[0].fact and type(fact) is Pair


def _in_order(columns: dict[str, pa.Array]) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([columns[name] for name in SCHEMA.names], schema=SCHEMA)


def _flagged(flags: pa.Array, where: np.ndarray, name: str) -> pa.Array:
    told = zip(flags.to_pylist(), where, strict=True)
    return pa.array([",".join(filter(None, (flag, name if is_so else ""))) for flag, is_so in told])


def scored(plugin: Quality | Utility, batch: pa.RecordBatch, *, finite: bool) -> np.ndarray:
    """A scorer's answer as float64 of shape (rows,).

    Raises:
        PluginContractError: It failed, or returned another shape or a value that is not finite.
    """
    name = f"{type(plugin).__module__}.{type(plugin).__name__}"
    try:
        array = np.asarray(plugin.score(batch), dtype=np.float64)
    except KtoFormatsError:
        raise
    except Exception as error:
        raise PluginContractError(f"{name}.score failed ({type(error).__name__}: {error})") from error
    if array.shape != (len(batch),):
        raise PluginContractError(f"{name}.score returned shape {array.shape}, expected ({len(batch)},)")
    if np.isinf(array).any() or (finite and np.isnan(array).any()):
        raise PluginContractError(f"{name}.score returned a value that is not finite")
    return array
