"""The hot path: a block of raw records in, one Arrow batch, its rejects and its account out.

A `Pipeline` is a value: it pickles, two with the same configuration do the same, and what it does to a record
depends on nothing but the record. Per record it costs one parse, one look-up for the shape, one adapter call
and one append; everything after works on columns.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.convert.identity import groups, sample_ids
from ktoformats.convert.ledger import FileAccount, Reject
from ktoformats.convert.policy import Candidate, Outcome, decide
from ktoformats.errors import (
    AmbiguousFormatError,
    KtoFormatsError,
    KTOLabelError,
    PluginContractError,
    RecordError,
)
from ktoformats.feedback import METHOD, SCHEMA, Context
from ktoformats.plugin.row import Row
from ktoformats.read.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.convert.detect import Detector, NamedFormat
    from ktoformats.convert.labels import LabelReader
    from ktoformats.convert.policy import Policy
    from ktoformats.plugin.kinds import Quality, Utility
    from ktoformats.plugin.row import Columns
    from ktoformats.read.blocks import Block

BATCH_ROWS: Final = 512
"""Samples scored at once: few enough to stay in the processor's cache."""
UNDEFINED_QUALITY: Final = 0.5
_HEAD: Final = 200
_POSITION: Final = {name: number for number, name in enumerate(SCHEMA.names)}
_LATER: Final = frozenset({"id", "group"})
"""Columns that hold something else until the batch is encoded."""


def _dumps(value: Any) -> bytes:
    return orjson.dumps(value, default=str)


class Converted(NamedTuple):
    """What one block became."""

    batches: list[pa.RecordBatch]
    rejects: list[Reject]
    account: FileAccount


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
        run = _Run(block.source)
        run.account.blank = block.blank
        run.account.lines = block.blank + len(block.records) + len(block.faults)
        run.account.notices.update(block.notices)
        for fault in block.faults:
            run.reject(fault.line, fault.offset, RecordError(fault.reason, fault.message), fault.head)
        for line, offset, raw in zip(block.lines, block.offsets, block.records, strict=True):
            try:
                record = parse(raw) if type(raw) is bytes else raw
                found = self.detector.find(record)
                row = Row(record, self.columns)
                outcome = self._outcome(found, row)
                if row.notices:
                    outcome.notices += row.notices
            except RecordError as error:
                run.reject(line, offset, error, raw)
            except AmbiguousFormatError as error:
                raise AmbiguousFormatError(f"{block.source}:{line}: {error}") from None
            else:
                self._enter(run, outcome, found, row, line, offset, raw)
        return Converted(list(self._batches(run)), run.rejects, run.account)

    def _outcome(self, found: NamedFormat, row: Row) -> Outcome:
        try:
            return decide(found.format.facts(row), self.policy, self.labels)
        except KtoFormatsError:
            raise
        except Exception as error:
            # a plugin that trips over one record must not cost the others; the reject names the plugin
            message = f"format {found.name!r} failed on the record ({type(error).__name__}: {error})"
            raise RecordError("format_failed", message) from error

    def _enter(
        self, run: _Run, outcome: Outcome, found: NamedFormat, row: Row, line: int, offset: int, raw: Any
    ) -> None:
        account = run.account
        if outcome.candidates:
            account.used += 1
            account.formats[found.name] += 1
            account.samples += len(outcome.candidates)
            if outcome.lost:
                account.candidates_lost.update([error.reason for error in outcome.lost])
            if outcome.unjudged:
                account.candidates_unjudged.update(outcome.unjudged)
            kept = _kept(row, self.columns.kept) if self.columns.kept else ""
            for candidate in outcome.candidates:
                run.rows.append(_sample(candidate, found.name, run.source, line, kept))
        elif outcome.lost:
            run.reject(line, offset, outcome.lost[0], raw)
            return
        else:
            account.without_verdict[outcome.unjudged[0] if outcome.unjudged else "null_verdict"] += 1
        if outcome.notices:
            account.notices.update(outcome.notices)

    def _batches(self, run: _Run) -> Iterator[pa.RecordBatch]:
        for start in range(0, len(run.rows), BATCH_ROWS):
            yield self._batch(run.rows[start : start + BATCH_ROWS], run.account)

    def _batch(self, rows: list[tuple[Any, ...]], account: FileAccount) -> pa.RecordBatch:
        values = list(zip(*rows, strict=True))
        columns = [
            None if name in _LATER else _column(values[number], SCHEMA.field(number).type)
            for name, number in _POSITION.items()
        ]
        prompts, responses = columns[_POSITION["prompt"]], columns[_POSITION["response"]]
        ids = sample_ids(prompts, responses, values[_POSITION["label"]], values[_POSITION["id"]])
        columns[_POSITION["id"]] = pa.array(ids)
        columns[_POSITION["group"]] = pa.array(groups(prompts, values[_POSITION["group"]]))
        batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
        quality = scored(self.quality, batch, finite=False)
        undefined = np.isnan(quality)
        if undefined.any():
            quality = np.where(undefined, UNDEFINED_QUALITY, quality)
            account.notices["quality_undefined"] += int(undefined.sum())
            columns[_POSITION["flags"]] = _flagged(rows, undefined)
        if ((quality < 0) | (quality > 1)).any():
            raise PluginContractError(f"{type(self.quality).__name__}.score returned values outside [0, 1]")
        columns[_POSITION["response_quality"]] = pa.array(quality)
        batch = pa.RecordBatch.from_arrays(columns, schema=SCHEMA)
        utility = scored(self.utility, batch, finite=True)
        columns[_POSITION["utility_score"]] = pa.array(utility)
        return pa.RecordBatch.from_arrays(columns, schema=SCHEMA)


class _Run:
    """What one block accumulates."""

    __slots__ = ("account", "rejects", "rows", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self.rows: list[tuple[Any, ...]] = []
        self.rejects: list[Reject] = []
        self.account = FileAccount()

    def reject(self, line: int, offset: int, error: RecordError, raw: Any) -> None:
        self.account.rejected[error.reason] += 1
        if isinstance(error, KTOLabelError) and error.reason in ("label_unrecognised", "out_of_scale"):
            self.account.note_unknown(error.field, error.seen or error.message[:_HEAD], line)
        self.rejects.append(Reject(self.source, line, offset, error.reason, error.field, error.message, _head(raw)))


def _head(raw: Any) -> str:
    if not isinstance(raw, bytes):
        try:
            raw = _dumps(raw)
        except TypeError:
            raw = repr(raw).encode(errors="replace")
    return bytes(raw[:_HEAD]).decode("utf-8", "replace")


def _sample(one: Candidate, format_name: str, source: str, line: int, kept: str) -> tuple[Any, ...]:
    """One row of SCHEMA; id and group (here: what they hash beside the texts), quality and utility come per batch."""
    context = one.context
    return (
        _extra(context, one),
        context.prompt,
        one.text,
        one.label,
        context.system,
        context.conversation,
        context.tools,
        one.tool_calls,
        one.reasoning,
        METHOD,
        one.preference_type,
        format_name,
        0.0,
        0.0,
        1.0,
        _first_turn(context) if context.conversation else b"",
        source,
        line,
        kept,
        type(one.fact).__name__.lower(),
        one.field,
        _cell(one.cell),
        one.scale,
        one.position,
        one.rank,
        one.pair,
        ",".join(one.flags),
    )


def _extra(context: Context, one: Candidate) -> bytes:
    """What belongs to a sample's identity beside prompt, response and label; empty for most."""
    if not (context.conversation or context.system or context.tools or one.tool_calls or one.reasoning):
        return b""
    turns = [tuple(turn) for turn in context.conversation]
    return _dumps((context.system, turns, context.tools, one.tool_calls, one.reasoning))


def _first_turn(context: Context) -> bytes:
    """The first user turn of a conversation; empty where the prompt is the first."""
    return next((turn.content.encode() for turn in context.conversation if turn.role == "user"), b"")


def _column(values: tuple[Any, ...], kind: pa.DataType) -> pa.Array:
    """An Arrow array; most columns of a batch hold one value, and repeating it is much cheaper than reading each."""
    first = values[0]
    if values.count(first) == len(values):
        return pa.repeat(pa.scalar(first, kind), len(values))
    return pa.array(values, kind)


def _kept(row: Row, columns: tuple[str, ...]) -> str:
    return _dumps({name: row.record.get(name) for name in columns}).decode()


def _cell(cell: Any) -> str:
    if cell is None:
        return ""
    try:
        return _dumps(cell).decode()
    except TypeError:
        return repr(cell)


def _flagged(rows: list[tuple[Any, ...]], undefined: np.ndarray) -> pa.Array:
    at = _POSITION["flags"]
    return pa.array(
        [
            ",".join(filter(None, (row[at], "quality_undefined" if flag else "")))
            for row, flag in zip(rows, undefined, strict=True)
        ],
        type=SCHEMA.field("flags").type,
    )


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
