"""Writing JSON Lines, plain or compressed, so that `datasets` reads the same types in every part of the file."""

from __future__ import annotations

import gzip
import lzma
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

import orjson
import pyarrow as pa

from ktoformats import ConfigError, Exporter

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path
    from typing import IO

Compression = Literal["none", "gzip", "zstd", "xz"]

_ENDINGS: Final[dict[str, str]] = {"none": "", "gzip": ".gz", "zstd": ".zst", "xz": ".xz"}
CHUNK: Final = 10 << 20
"""By so many bytes, and the rest of the line they end in, the JSON loader of `datasets` settles the columns."""
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d([ T]\d\d(:?\d\d(:?\d\d)?)?(Z|[+-]\d\d(:?\d\d)?)?)?")


class JsonLines(Exporter):
    """An exporter of JSON Lines."""

    suffix: ClassVar[str] = ".jsonl"

    compression: Compression = "none"
    """`convert -o train.jsonl.gz` (.zst, .xz) sets it by itself. To read zstd, `datasets` needs `zstandard`."""

    @property
    def ending(self) -> str:
        """`.jsonl`, and what the compression adds."""
        return self.suffix + _ENDINGS[self.compression]


def write_lines(
    rows: Iterable[dict[str, Any]],
    path: Path,
    compression: Compression = "none",
    *,
    loaded: bool = True,
    fixed: bool = True,
) -> int:
    """Write one object a line, UTF-8, and return how many.

    Args:
        rows: What to write.
        path: The file.
        compression: Of the whole file.
        loaded: `datasets` must read it as it is; else anything may be written.
        fixed: All rows have the same fields, and so have all messages in them.

    Raises:
        ConfigError: `datasets` would read it wrongly, or not at all.
    """
    count = 0
    types = Types(fixed=fixed)
    with _stream(path, compression) as stream:
        for row in rows:
            line = orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE)
            if loaded:
                types.see(row, len(line))
            stream.write(line)
            count += 1
    types.check_dates()
    return count


@contextmanager
def _stream(path: Path, compression: Compression) -> Iterator[IO[bytes]]:
    """A file to write to; the same content gives the same bytes."""
    if compression == "gzip":
        with path.open("wb") as raw, gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0) as packed:
            yield packed  # type: ignore[misc] # it has `write`, which is all that is asked for
    elif compression == "xz":
        with lzma.open(path, "wb") as stream:
            yield stream
    elif compression == "zstd":
        with pa.output_stream(str(path), compression="zstd") as stream:
            yield stream
    else:
        with path.open("wb") as stream:
            yield stream


class Types:
    """What `datasets` (4.0 to 5.2) takes columns of JSON Lines for.

    It settles all columns by the first chunk. One that first appears later fails; and texts that all look like dates
    become timestamps.

    Args:
        fixed: No column can appear later.
    """

    def __init__(self, *, fixed: bool) -> None:
        self._fixed = fixed
        self._known: set[str] = set()
        self._dates: set[str] | None = None
        self._bytes = 0

    def see(self, row: dict[str, Any], size: int) -> None:
        """Take the next row, of so many bytes as a line.

        Raises:
            ConfigError: The file could not be loaded.
        """
        if self._fixed and self._dates is not None and not self._dates:
            return  # neither can a column come late, nor is one left that may be read as dates
        cells = list(_cells(row, ""))
        paths = {path for path, _ in cells}
        if self._bytes >= CHUNK:
            self.check_dates()
            if late := paths - self._known:
                raise ConfigError(
                    f"{min(late)} first stands behind the first 10 MiB, where `datasets` has settled the columns "
                    "and fails; write columns with their types: --to huggingface"
                )
            return
        self._bytes += size
        self._known |= paths
        if self._dates is None or self._dates:
            others = {path for path, value in cells if not (type(value) is str and _DATE.fullmatch(value))}
            self._dates = (paths if self._dates is None else self._dates) - others

    def check_dates(self) -> None:
        """Look at what stands in the first chunk, once that is complete.

        Raises:
            ConfigError: A column would be read as timestamps.
        """
        if self._dates:
            raise ConfigError(
                f"every text of {min(self._dates)} looks like a date, and `datasets` would read timestamps; "
                "write columns with their types: --to huggingface"
            )


def _cells(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """What stands in a row, by its path; items of a list share theirs."""
    if type(value) is dict:
        for key, one in value.items():
            yield from _cells(one, f"{path}.{key}" if path else key)
    elif type(value) is list:
        for one in value:
            yield from _cells(one, path)
    else:
        yield path, value
