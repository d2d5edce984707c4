"""Blocks through one process or several, in source order either way.

Workers are child processes started by module name from plain configuration, so that a script without an
`if __name__ == "__main__"` guard may use them. Blocks and batches travel over pipes as Arrow and JSON.
"""

from __future__ import annotations

import os
import struct
import subprocess
import sys
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from queue import SimpleQueue
from typing import IO, TYPE_CHECKING, Any, Final

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
    PluginLoadError,
    PluginNotFoundError,
)
from ktoformats.feedback import SCHEMA
from ktoformats.read.blocks import Block, Fault, Place

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_LENGTH: Final = struct.Struct(">Q")
_LAST_WORDS_S: Final = 5.0
"""Seconds to wait for the exit status of a worker whose pipes broke."""


def convert_all(
    stream: Iterable[Block], pipeline: Pipeline, config: KTODataConfig
) -> Iterator[tuple[Converted, int]]:
    """Convert blocks, in this process or in `preprocessing_num_workers` children.

    Args:
        stream: The blocks of one source.
        pipeline: What converts; children assemble their own from `config`.
        config: Says how many workers.

    Yields:
        What each block became and the byte it ends before, in the order of the blocks.

    Raises:
        KTODataError: A worker died; the message names file and lines.
    """
    if config.preprocessing_num_workers == 1 or pipeline.in_process or read_greeting(greeting(config)) != config:
        for block in stream:
            yield pipeline.convert(block), _end(block)
    else:
        yield from _in_children(stream, config)


def _end(block: Block) -> int:
    if not block.offsets or not isinstance(block.records[-1], bytes):
        return 0
    return block.offsets[-1] + len(block.records[-1])


def _in_children(stream: Iterable[Block], config: KTODataConfig) -> Iterator[tuple[Converted, int]]:
    count = config.preprocessing_num_workers
    idle: SimpleQueue[_Child] = SimpleQueue()
    children: list[_Child] = []
    waiting: deque[tuple[Future[Converted], Block]] = deque()

    def work(block: Block) -> Converted:
        child = idle.get()
        try:
            return child.convert(block)
        finally:
            idle.put(child)

    pool = ThreadPoolExecutor(count)
    try:
        for block in stream:
            if len(children) < count:  # a small source starts only as many as it has blocks
                children.append(_Child(config))
                idle.put(children[-1])
            waiting.append((pool.submit(work, block), block))
            if len(waiting) > 2 * count:
                future, done = waiting.popleft()
                yield future.result(), _end(done)
        while waiting:
            future, done = waiting.popleft()
            yield future.result(), _end(done)
    finally:
        for future, _ in waiting:
            future.cancel()
        for child in children:
            child.stop()
        pool.shutdown(wait=True, cancel_futures=True)


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
        self._greeting: bytes | None = greeting(config)

    def convert(self, block: Block) -> Converted:
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
                raise _ERRORS.get(answer["error"], KTODataError)(answer["message"])
            return unpack_converted(answer, receive(self._out) or b"")
        except (OSError, EOFError, ValueError) as error:
            if isinstance(error, KtoFormatsError):
                raise
            lines = f"{block.lines[0]}-{block.lines[-1]}" if block.lines else "?"
            message = f"{block.source}:{lines}: the worker process died (exit status {self._status()})"
            raise KTODataError(message) from error

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


def greeting(config: KTODataConfig) -> bytes:
    """A configuration as a worker is told it: every value that somebody set, or changed without setting it."""
    fields = type(config).model_fields
    changed = {name for name, value in config if value != fields[name].get_default(call_default_factory=True)}
    return orjson.dumps(config.model_dump(mode="json", include=set(config.model_fields_set | changed)), default=str)


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
        metadata={"block": orjson.dumps(meta)},
    )
    batch = pa.record_batch([pa.array(block.lines), pa.array(block.offsets), pa.array(block.records)], schema=schema)
    return _stream([batch], schema)


def unpack_block(payload: bytes) -> Block:
    """The block that `pack_block` packed."""
    reader = pa.ipc.open_stream(payload)
    meta = orjson.loads(reader.schema.metadata[b"block"])
    lines, offsets, records = (column.to_pylist() for column in reader.read_all().columns)
    faults = [Fault(**{**fault, "head": fault["head"].encode("latin-1")}) for fault in meta["faults"]]
    groups = meta["groups"] and [[[Place(*place) for place in row] for row in rows] for rows in meta["groups"]]
    return Block(meta["source"], lines, offsets, records, meta["blank"], faults, meta["notices"], groups)


def pack_converted(converted: Converted) -> tuple[bytes, bytes]:
    """The answer to a block: JSON head, Arrow stream."""
    head: dict[str, Any] = {
        "rejects": [reject._asdict() for reject in converted.rejects],
        "accounts": {source: account.to_json(whole=True) for source, account in converted.accounts.items()},
    }
    return orjson.dumps(head), _stream(converted.batches, SCHEMA)


def unpack_converted(head: dict[str, Any], payload: bytes) -> Converted:
    """What `pack_converted` packed."""
    return Converted(
        list(pa.ipc.open_stream(payload)),
        [Reject(**reject) for reject in head["rejects"]],
        {source: FileAccount.from_json(account) for source, account in head["accounts"].items()},
    )


def _stream(batches: list[pa.RecordBatch], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, schema) as writer:
        for batch in batches:
            writer.write_batch(batch)
    return bytes(sink.getvalue())
