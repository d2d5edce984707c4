"""What a user may have meant: columns that stand in no record, files that hold none."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Final

from ktoformats.errors import KtoFormatsError, RecordError
from ktoformats.plugin.faults import suggest
from ktoformats.read.parse import parse

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ktoformats.config.models import KTODataConfig
    from ktoformats.errors import KTODataError
    from ktoformats.read.named import Source

_RECORDS: Final = 1000
_FILES: Final = 50
_SHOWN: Final = 12
_UNFIT: Final = frozenset({"unknown_shape", "missing_field"})
"""Reasons that another format or preset may help against."""


def unknown_columns(config: KTODataConfig, sources: Sequence[Source]) -> list[str]:
    """A sentence for each column that the configuration names and none of the first records has.

    Args:
        config: Only what it sets to another name than the default is looked for.
        sources: The files; at most fifty of them, and of each the first thousand records, are looked into.
    """
    wanted = _named(config)
    if not wanted:
        return []
    seen: dict[str, None] = {}
    for keys in _keys(sources):
        seen.update(dict.fromkeys(keys))
        if seen.keys() >= set(wanted.values()):
            return []
    if not seen:
        return []
    shown = ", ".join(repr(key) for key in list(seen)[:_SHOWN])
    return [
        f"{field}: no record has a column {column!r}{suggest(column, seen)}; their columns are: {shown}"
        for field, column in wanted.items()
        if column not in seen
    ]


def explained(error: KTODataError, pieces: Iterable[tuple[KTODataConfig, Sequence[Source]]]) -> None:
    """Add to the error of a build what its sources tell about it, where they tell something.

    Args:
        error: Its message gets longer.
        pieces: Which files were read, and how.
    """
    if error.report is None:
        return
    pieces = list(pieces)
    total = error.report.total
    hints = [hint for config, sources in pieces for hint in unknown_columns(config, sources)]
    if total.lines == total.blank and not total.samples:
        names = ", ".join(source.name for _, sources in pieces for source in list(sources)[:3])
        hints.append(f"there is no record in {names}; name a file that holds some")
    elif not total.samples and total.rejected.keys() & _UNFIT:
        named = [source.name for _, sources in pieces for source in sources if source.name != "-"]
        hints += [f"`ktoformats inspect {name}` says what would read such records" for name in named[:1]]
    if hints:
        error.args = ("; ".join([str(error), *dict.fromkeys(hints)]),)


def _named(config: KTODataConfig) -> dict[str, str]:
    """The column options that were set, and to what."""
    fields = type(config).model_fields
    return {
        name: str(value)
        for name in sorted(config.model_fields_set)
        if name.endswith("_column") and (value := getattr(config, name)) and value != fields[name].default
    }


def _keys(sources: Sequence[Source]) -> Iterator[Iterable[str]]:
    """The keys of the first records; what cannot be read is told elsewhere."""
    for source in sources[:_FILES]:
        records = (raw for block in source.blocks() for raw in block.records)
        try:
            for raw in itertools.islice(records, _RECORDS):
                yield _keys_of(raw)
        except (KtoFormatsError, OSError):
            continue


def _keys_of(raw: bytes) -> Iterable[str]:
    try:
        record = parse(raw)
    except RecordError:
        return ()
    return record.keys() if type(record) is dict else ()
