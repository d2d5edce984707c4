"""The primitive under every step across records: entries of one key together, in memory the input does not move.

Entries are held while they fit. Beyond that they are spread over files by their key, and each file, small enough
now, is brought together by itself; a file that is still too large is spread again.
"""

from __future__ import annotations

import heapq
import struct
from contextlib import ExitStack
from tempfile import TemporaryFile
from typing import IO, TYPE_CHECKING, Final, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

KEY_BYTES: Final = 16
MEMORY: Final = 64 << 20
"""Bytes of entries held at once."""
_FILES: Final = 64
_LEVELS: Final = 4
"""How often entries are spread; what then still shares a file has one key, or nearly so."""
_OVERHEAD: Final = 200
"""About what an entry costs in memory beside its bytes."""
_HEAD: Final = struct.Struct(f"<{KEY_BYTES}sQBII")


class Entry(NamedTuple):
    """One record on its way to those it belongs to."""

    key: bytes
    """A digest of `KEY_BYTES` bytes."""
    order: int
    """Its place among all entries."""
    side: int
    """Which of two inputs it came from."""
    places: bytes
    """Where it stands, for whoever put it in."""
    raw: bytes | None
    """None for one that no longer fitted into its group."""


class Together:
    """Brings entries of one key together; a context, whose files are gone when it ends.

    Args:
        memory: Bytes of entries that may be held at once. A group larger than this comes without the bytes of
            those that no longer fit.
    """

    def __init__(self, memory: int = MEMORY) -> None:
        self._memory = memory
        self._held: list[Entry] = []
        self._size = 0
        self._files: list[IO[bytes]] = []
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._held = []
        self._stack.close()

    def add(self, entry: Entry) -> None:
        """Take an entry."""
        self._held.append(entry)
        self._size += _size_of(entry)
        if self._size > self._memory:
            self._spill()

    def groups(self) -> Iterator[list[Entry]]:
        """The entries of each key by their order, keys by the order of their first entries."""
        if not self._files:
            yield from _grouped(self._held, self._memory)
            return
        self._spill()
        yield from _merged(self._files, self._memory, 1, self._stack)

    def _spill(self) -> None:
        if not self._files:
            self._files = _new_files(self._stack)
        _spread(self._held, self._files, 0)
        self._held, self._size = [], 0


def _size_of(entry: Entry) -> int:
    return len(entry.raw or b"") + len(entry.places) + _OVERHEAD


def _grouped(entries: Iterable[Entry], memory: int) -> Iterator[list[Entry]]:
    groups: dict[bytes, list[Entry]] = {}
    sizes: dict[bytes, int] = {}
    for one in entries:
        size = sizes[one.key] = sizes.get(one.key, 0) + _size_of(one)
        groups.setdefault(one.key, []).append(one if size <= memory else one._replace(raw=None))
    for group in groups.values():
        group.sort(key=_order_of)
    yield from sorted(groups.values(), key=lambda group: group[0].order)


def _order_of(entry: Entry) -> int:
    return entry.order


def _merged(files: list[IO[bytes]], memory: int, level: int, stack: ExitStack) -> Iterator[list[Entry]]:
    """The groups of several files, no two of which share a key."""
    runs = [_run(file, memory, level, stack) for file in files]
    for _, _, run in heapq.merge(*(_orders(number, run) for number, run in enumerate(runs))):
        yield _next_group(run)


def _run(file: IO[bytes], memory: int, level: int, stack: ExitStack) -> IO[bytes]:
    """The same entries, those of one key side by side, keys in the order of their first entries."""
    [run] = _new_files(stack, 1)  # read lazily by the merge, so it outlives this call
    with ExitStack() as inner:
        if file.tell() <= memory // 2 or level == _LEVELS:
            groups = _grouped(read_entries(file), memory)
        else:
            files = _new_files(inner)
            _spread(read_entries(file), files, level)
            groups = _merged(files, memory, level + 1, inner)
        for group in groups:
            write_entries(run, group)
    file.close()
    run.seek(0)
    return run


def _new_files(stack: ExitStack, count: int = _FILES) -> list[IO[bytes]]:
    return [stack.enter_context(TemporaryFile()) for _ in range(count)]


def _spread(entries: Iterable[Entry], files: list[IO[bytes]], level: int) -> None:
    for one in entries:
        write_entries(files[one.key[level] % _FILES], [one])


def write_entries(file: IO[bytes], entries: Iterable[Entry]) -> None:
    """Append entries to a file."""
    for key, order, side, places, raw in entries:
        file.write(_HEAD.pack(key, order, side | (raw is None) << 1, len(places), len(raw or b"")))
        file.write(places)
        file.write(raw or b"")


def read_entries(file: IO[bytes]) -> Iterator[Entry]:
    """All entries of a file, from its beginning."""
    file.seek(0)
    while head := file.read(_HEAD.size):
        yield _entry(file, head)


def _entry(file: IO[bytes], head: bytes) -> Entry:
    key, order, flags, places, raw = _HEAD.unpack(head)
    told, data = file.read(places), file.read(raw)
    return Entry(key, order, flags & 1, told, None if flags & 2 else data)


def _orders(number: int, run: IO[bytes]) -> Iterator[tuple[int, int, IO[bytes]]]:
    """The order of each group's first entry; whoever is told reads the group before asking for the next."""
    while head := run.read(_HEAD.size):
        run.seek(-_HEAD.size, 1)
        yield _HEAD.unpack(head)[1], number, run


def _next_group(run: IO[bytes]) -> list[Entry]:
    group = [_entry(run, run.read(_HEAD.size))]
    while head := run.read(_HEAD.size):
        if head[:KEY_BYTES] != group[0].key:
            run.seek(-_HEAD.size, 1)
            break
        group.append(_entry(run, head))
    return group
