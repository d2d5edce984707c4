"""Which format reads a record: decided by its shape alone, once per shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.errors import AmbiguousFormatError, PluginContractError, RecordError
from ktoformats.plugin.kinds import Claim, Format, Shape

if TYPE_CHECKING:
    from collections.abc import Hashable, Sequence

    from ktoformats.plugin.row import Columns

_KINDS: Final[dict[type, str]] = {
    str: "text",
    bool: "boolean",
    int: "number",
    float: "number",
    type(None): "null",
    list: "list",
    dict: "object",
}
_MEMO_LIMIT: Final = 10_000
_KEYS_SHOWN: Final = 12


class NamedFormat(NamedTuple):
    """A configured format under its plugin name."""

    name: str
    format: Format
    fallback: bool = False
    """Whether it is asked only about what no other format claims."""


def shape_key(record: dict[str, Any]) -> Hashable:
    """A hashable that two records share exactly when `shape_of` cannot tell them apart (key order aside)."""
    types = tuple(map(type, record.values()))
    if list in types or dict in types:
        return (
            tuple(record),
            types,
            tuple(_inner_key(v) for v in record.values() if type(v) in (list, dict)),
        )
    return (tuple(record), types)


def _inner_key(value: list[Any] | dict[str, Any]) -> Hashable:
    if type(value) is dict:
        return tuple(value)
    return frozenset(tuple(item) if type(item) is dict else type(item) for item in value)


def shape_of(record: dict[str, Any], columns: Columns) -> Shape:
    """The keys, types and item keys of a record."""
    kinds = {key: _KINDS.get(type(value), "object") for key, value in record.items()}
    items: dict[str, frozenset[str]] = {}
    item_kinds: dict[str, frozenset[str]] = {}
    for key, value in record.items():
        if type(value) is dict:
            items[key] = frozenset(value)
        elif type(value) is list:
            items[key] = frozenset(name for item in value if type(item) is dict for name in item)
            item_kinds[key] = frozenset(_KINDS.get(type(item), "object") for item in value)
    return Shape(kinds, items, columns, item_kinds)


class Detector:
    """Asks the configured formats who reads a shape, and remembers.

    Args:
        formats: The configured set, in its order. A set of one is not asked: it reads everything, and its
            own errors say what a record lacks.
        columns: The configured column names.
    """

    def __init__(self, formats: Sequence[NamedFormat], columns: Columns) -> None:
        self._formats = tuple(formats)
        self._columns = columns
        self._memo: dict[Hashable, NamedFormat | RecordError] = {}

    @property
    def formats(self) -> tuple[NamedFormat, ...]:
        """The configured set."""
        return self._formats

    def find(self, record: Any) -> NamedFormat:
        """The format that reads this record.

        Raises:
            RecordError: None does; the message names the keys, who was asked and why each declined.
            AmbiguousFormatError: Two do equally well.
        """
        if len(self._formats) == 1 and (type(record) is dict or self._formats[0].format.any_value):
            return self._formats[0]
        if type(record) is not dict:
            raise RecordError("not_an_object", f"expected a JSON object, got {_KINDS.get(type(record), 'a value')}")
        key = shape_key(record)
        found = self._memo.get(key)
        if found is None:
            found = self._find(shape_of(record, self._columns))
            if len(self._memo) < _MEMO_LIMIT:
                self._memo[key] = found
        if isinstance(found, RecordError):
            raise RecordError(found.reason, found.message)  # a new one: a remembered one would keep its traceback
        return found

    def claims(self, record: dict[str, Any]) -> list[tuple[NamedFormat, Claim]]:
        """What every configured format says to this record's shape, best first."""
        shape = shape_of(record, self._columns)
        asked = [(one, claim_by(one, shape)) for one in self._formats]
        return sorted(asked, key=lambda pair: (-pair[1].score, pair[0].name))

    def _find(self, shape: Shape) -> NamedFormat | RecordError:
        """Ask about the columns that hold something; only where that finds nobody, about the null ones, too.

        Exports of several layouts in one table give every record the columns of all, most of them null.
        """
        filled = _without_nulls(shape)
        if len(filled.kinds) < len(shape.kinds):
            found = self._decide(filled, filled)
            if not isinstance(found, RecordError):
                return found
        return self._decide(shape, filled)

    def _decide(self, shape: Shape, filled: Shape) -> NamedFormat | RecordError:
        asked = [(one, claim_by(one, shape)) for one in self._formats if not one.fallback]
        ranked = [(one, claim) for one, claim in asked if claim.score > 0]
        if not ranked:
            others = [(one, claim_by(one, shape)) for one in self._formats if one.fallback]
            ranked = [(one, claim) for one, claim in others if claim.score > 0]
        if not ranked:
            return self._unknown(shape, asked)
        if shape is not filled:  # nulls fill up a claim's columns: what counts is how many hold something
            most = max(_count(claim, filled) for _, claim in ranked)
            ranked = [(one, claim) for one, claim in ranked if _count(claim, filled) == most]
        top = max(claim.score for _, claim in ranked)
        winners = [one for one, claim in ranked if claim.score == top]
        if len(winners) > 1:
            names = " and ".join(sorted(one.name for one in winners))
            raise AmbiguousFormatError(
                f"a record with keys {_shown_keys(shape)} is claimed by {names}; "
                "choose one under `formats:` (or --format)"
            )
        return winners[0]

    def _unknown(self, shape: Shape, asked: list[tuple[NamedFormat, Claim]]) -> RecordError:
        reasons = "; ".join(f"{one.name}: {claim.reason}" for one, claim in asked)
        return RecordError(
            "unknown_shape",
            f"no configured format reads keys {_shown_keys(shape)} ({reasons}); "
            "name the columns in the config (such as `prompt_column:`), or another format or preset under `formats:`",
        )

    def __getstate__(self) -> dict[str, Any]:
        return {"_formats": self._formats, "_columns": self._columns, "_memo": {}}


def _without_nulls(shape: Shape) -> Shape:
    kinds = {column: kind for column, kind in shape.kinds.items() if kind != "null"}
    return Shape(kinds, shape.items, shape.columns, shape.item_kinds)


def _count(claim: Claim, filled: Shape) -> int:
    """How many of the columns a claim counts on hold something."""
    return sum(column in filled for column in claim.columns)


def claim_by(one: NamedFormat, shape: Shape) -> Claim:
    """What a format says to a shape.

    Raises:
        PluginContractError: It failed, or said something else than a Claim.
    """
    try:
        claim = one.format.claim(shape)
    except Exception as error:
        message = f"format {one.name!r}: claim failed ({type(error).__name__}: {error})"
        raise PluginContractError(message, kind="format", plugin=one.name) from error
    if not isinstance(claim, Claim):
        message = f"format {one.name!r}: claim returned {claim!r:.60}, expected a Claim"
        raise PluginContractError(message, kind="format", plugin=one.name)
    return claim


def _shown_keys(shape: Shape) -> str:
    keys = [repr(key if len(key) <= 40 else key[:37] + "...") for key in shape.kinds]  # noqa: PLR2004
    return ", ".join(keys[:_KEYS_SHOWN]) + (f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else "")
