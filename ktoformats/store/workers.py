"""Blocks through one process or several, in source order either way.

Workers are child processes started by module name from plain configuration, so that a script without an
`if __name__ == "__main__"` guard may use them. Blocks and batches travel over pipes as Arrow and JSON.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
import threading
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Final, Self

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.config.models import KTODataConfig
from ktoformats.convert.ledger import FileAccount, Reject
from ktoformats.convert.pipeline import Converted, Pipeline
from ktoformats.errors import (
    AmbiguousFormatError,
    ConfigError,
    KTODataError,
    KtoFormatsError,
    PluginContractError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
)
from ktoformats.feedback import NUMBERS, SCHEMA
from ktoformats.read.blocks import Block, Fault, Place
from ktoformats.store.numbers import to_arrow, to_numpy

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LENGTH: Final = struct.Struct(">Q")
_LAST_WORDS_S: Final = 5.0
"""Seconds to wait for the exit status of a worker whose pipes broke."""
_PIPE_BYTES: Final = 1 << 20
_BEFORE_AUTO: Final = 32
"""Blocks of a mebibyte that `auto` converts here first: what is smaller is done before a child would be ready."""


class Workers:
    """Converts the blocks of one source after the other, in this process or in `preprocessing_num_workers` children.

    Children start with the first blocks that need them, serve all sources, and end with the context.

    Args:
        pipeline: What converts here; children assemble their own from `config`.
        config: Says how many, and how long one may take for a block.
    """

    def __init__(self, pipeline: Pipeline, config: KTODataConfig) -> None:
        self._pipeline = pipeline
        self._config = config
        wanted = config.preprocessing_num_workers
        self._here = _BEFORE_AUTO if wanted == "auto" else 0
        """Blocks still to be converted in this process."""
        self._count = _processors() if wanted == "auto" else wanted
        if pipeline.in_process or not can_be_told(config):
            self._count = 1
        self._children: list[_Child] = []
        self._idle: SimpleQueue[_Child] = SimpleQueue()
        self._pool: ThreadPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def convert(self, stream: Iterable[Block]) -> Iterator[tuple[Converted, int]]:
        """Convert the blocks of one source.

        Yields:
            What each block became and the byte it ends before, in the order of the blocks.

        Raises:
            KTODataError: A worker died, or gave no answer in time; the message names file and lines.
        """
        if self._count == 1:
            for block in stream:
                yield self._pipeline.convert(block), _end(block)
            return
        waiting: deque[tuple[Future[Converted], Block]] = deque()
        try:
            for block in stream:
                if self._here or not _can_travel(block):
                    self._here = max(self._here - 1, 0)
                    while waiting:  # what came before it first
                        future, done = waiting.popleft()
                        yield future.result(), _end(done)
                    yield self._pipeline.convert(block), _end(block)
                    continue
                waiting.append((self._submit(block), block))
                if len(waiting) > 2 * self._count:
                    future, done = waiting.popleft()
                    yield future.result(), _end(done)
            while waiting:
                future, done = waiting.popleft()
                yield future.result(), _end(done)
        finally:
            for future, _ in waiting:
                future.cancel()

    def _submit(self, block: Block) -> Future[Converted]:
        if self._pool is None:
            self._pool = ThreadPoolExecutor(self._count)
        if len(self._children) < self._count:  # a small source starts only as many as it has blocks
            self._children.append(_Child(self._config))
            self._idle.put(self._children[-1])
        return self._pool.submit(self._work, block)

    def _work(self, block: Block) -> Converted:
        child = self._idle.get()
        try:
            return child.convert(block)
        finally:
            self._idle.put(child)

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.stop()
        if self._pool is not None:
            self._pool.shutdown(wait=True, cancel_futures=True)


def without_files(config: KTODataConfig) -> KTODataConfig:
    """What of a configuration a worker needs: it is handed what stands in the files, and a path need not be text."""
    unset = dict.fromkeys(("train_file", "validation_file", "test_file", "rejects_file"))
    return config.model_copy(
        update=unset | {"sources": [], "observers": []}
    )  # observers listen in the one that builds


def can_be_told(config: KTODataConfig) -> bool:
    """Whether a worker that is told this configuration has the same one; an object of somebody's own gets lost."""
    own = without_files(config)
    return read_greeting(greeting(own)) == own


def _processors() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _widen(pipe: IO[bytes]) -> None:
    """Let a whole block into a pipe, so that neither side waits for the other in the middle of it."""
    with suppress(ImportError, AttributeError, OSError):  # Linux can; elsewhere it only takes longer
        import fcntl

        fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)


def _can_travel(block: Block) -> bool:
    """Whether its records are bytes; objects in memory are converted where they are."""
    return not block.records or isinstance(block.records[0], bytes)


def _end(block: Block) -> int:
    if not block.offsets or not isinstance(block.records[-1], bytes):
        return 0
    return block.offsets[-1] + len(block.records[-1])


class _Child:
    """One worker process."""

    def __init__(self, config: KTODataConfig) -> None:
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        self._process = subprocess.Popen(
            [sys.executable, "-m", "ktoformats.store.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
        )
        if self._process.stdin is None or self._process.stdout is None:
            raise KTODataError("a worker process has no pipes")
        self._in, self._out = self._process.stdin, self._process.stdout
        for pipe in (self._in, self._out):
            _widen(pipe)
        self._greeting: bytes | None = greeting(without_files(config))
        self._limit = config.worker_timeout
        self._is_late = False

    def convert(self, block: Block) -> Converted:
        watch = threading.Timer(self._limit, self._give_up)
        watch.daemon = True
        watch.start()
        try:
            return self._answer(block)
        finally:
            watch.cancel()

    def _give_up(self) -> None:
        self._is_late = True
        self._process.kill()

    def _answer(self, block: Block) -> Converted:
        try:
            if self._greeting is not None:
                send(self._in, self._greeting)
                self._greeting = None
            send(self._in, pack_block(block))
            head = receive(self._out)
            if head is None:
                raise EOFError
            answer = orjson.loads(head)
            if "error" in answer:
                raise _error_of(answer)
            return unpack_converted(answer, receive(self._out) or b"")
        except (OSError, EOFError, ValueError) as error:
            if isinstance(error, KtoFormatsError):
                raise
            lines = f"{block.lines[0]}-{block.lines[-1]}" if block.lines else "?"
            why = f"the worker process died (exit status {self._status()})"
            if self._is_late:
                why = f"the worker process gave no answer for {self._limit:g} seconds (worker_timeout) and was ended"
            raise KTODataError(f"{block.source}:{lines}: {why}") from error

    def _status(self) -> int | str:
        """Why the process ended, or that it has only closed its pipes."""
        try:
            return self._process.wait(timeout=_LAST_WORDS_S)
        except subprocess.TimeoutExpired:
            return "none: it closed its pipes"

    def stop(self) -> None:
        """End the process; it has nothing to lose."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._in, self._out):
            try:
                pipe.close()
            except OSError:
                continue  # the pipe broke before it could be flushed


_ERRORS: Final[dict[str, type[KtoFormatsError]]] = {
    kind.__name__: kind
    for kind in (AmbiguousFormatError, ConfigError, PluginContractError, PluginLoadError, PluginNotFoundError)
}
"""What a worker's error is raised as here; anything else is a KTODataError."""


def _error_of(answer: dict[str, str]) -> KtoFormatsError:
    error = _ERRORS.get(answer["error"], KTODataError)(answer["message"])
    if isinstance(error, PluginError):
        error.kind, error.plugin = answer.get("kind", ""), answer.get("plugin", "")
    return error


def greeting(config: KTODataConfig) -> bytes:
    """A configuration as a worker is told it: every value that somebody set, or changed without setting it."""
    fields = type(config).model_fields
    changed = {name for name, value in config if value != fields[name].get_default(call_default_factory=True)}
    told = config.model_fields_set | changed
    return orjson.dumps(config.model_dump(mode="json", include=told), default=str)


def read_greeting(payload: bytes) -> KTODataConfig:
    """The configuration that `greeting` told; what nobody set is left to its default."""
    return KTODataConfig(**orjson.loads(payload))


def send(stream: IO[bytes], payload: bytes) -> None:
    """Write one message: its length, then its bytes."""
    stream.write(_LENGTH.pack(len(payload)))
    stream.write(payload)
    stream.flush()


def receive(stream: IO[bytes]) -> bytes | None:
    """Read one message, or None at the end of the stream."""
    head = stream.read(_LENGTH.size)
    if len(head) < _LENGTH.size:
        return None
    (length,) = _LENGTH.unpack(head)
    return stream.read(length)


def pack_block(block: Block) -> bytes:
    """A block as one Arrow stream: the records as binary, the rest as metadata."""
    meta = {
        "source": block.source,
        "blank": block.blank,
        "faults": [fault._asdict() | {"head": fault.head.decode("latin-1")} for fault in block.faults],
        "notices": block.notices,
        "groups": block.groups,
    }
    schema = pa.schema(
        [("line", pa.int64()), ("offset", pa.int64()), ("record", pa.large_binary())],
        metadata={"block": orjson.dumps(meta, default=tuple)},  # places
    )
    ends = np.cumsum([0, *map(len, block.records)])
    records = pa.py_buffer(ends.astype(np.int64)), pa.py_buffer(b"".join(block.records))  # not read one by one
    columns = [
        *(to_arrow(np.array(places, np.int64)) for places in (block.lines, block.offsets)),
        pa.Array.from_buffers(pa.large_binary(), len(block.records), [None, *records]),
    ]
    return _stream([pa.record_batch(columns, schema=schema)], schema)


def unpack_block(payload: bytes) -> Block:
    """The block that `pack_block` packed."""
    reader = pa.ipc.open_stream(payload)
    meta = orjson.loads(reader.schema.metadata[b"block"])
    batch = reader.read_next_batch()
    lines, offsets = (to_numpy(column).tolist() for column in batch.columns[:2])
    _, ends, content = batch.column("record").buffers()
    whole = content.to_pybytes()
    records = [whole[start:end] for start, end in pairwise(np.frombuffer(ends, np.int64, len(batch) + 1).tolist())]
    faults = [Fault(**{**fault, "head": fault["head"].encode("latin-1")}) for fault in meta["faults"]]
    groups = meta["groups"] and [[[Place(*place) for place in row] for row in rows] for rows in meta["groups"]]
    return Block(meta["source"], lines, offsets, records, meta["blank"], faults, meta["notices"], groups)


def pack_converted(converted: Converted) -> tuple[bytes, bytes]:
    """The answer to a block: JSON head, Arrow stream."""
    head: dict[str, Any] = {
        "rejects": [reject._asdict() for reject in converted.rejects],
        "accounts": {source: account.to_json(whole=True) for source, account in converted.accounts.items()},
    }
    return orjson.dumps(head), _stream(converted.batches, SCHEMA) + _stream(converted.numbers, NUMBERS)


def unpack_converted(head: dict[str, Any], payload: bytes) -> Converted:
    """What `pack_converted` packed."""
    source = pa.BufferReader(payload)
    return Converted(
        list(pa.ipc.open_stream(source)),
        [Reject(**reject) for reject in head["rejects"]],
        {source: FileAccount.from_json(account) for source, account in head["accounts"].items()},
        list(pa.ipc.open_stream(source)),
    )


def _stream(batches: Iterable[pa.RecordBatch], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())
