"""Which format reads a record: decided by its shape alone, once per shape."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.errors import AmbiguousFormatError, PluginContractError, RecordError
from ktoformats.plugin.kinds import Claim, Format, Shape
from ktoformats.plugin.layout import Layout
from ktoformats.read.parse import shape_key

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

    by_shape = True
    """Whether records of one `shape_key` are all read by the same format."""

    def __init__(self, formats: Sequence[NamedFormat], columns: Columns) -> None:
        self._formats = tuple(formats)
        self._columns = columns
        self._memo: dict[Hashable, NamedFormat | RecordError] = {}
        self._layouts: dict[Hashable, Layout | None] = {}

    @property
    def formats(self) -> tuple[NamedFormat, ...]:
        """The configured set."""
        return self._formats

    def find(self, record: Any, key: Hashable | None = None) -> NamedFormat:
        """The format that reads this record.

        Args:
            record: The value of one line.
            key: Its `shape_key`, where it is known.

        Raises:
            RecordError: None does; the message names the keys, who was asked and why each declined.
            AmbiguousFormatError: Two do equally well.
        """
        if len(self._formats) == 1 and (type(record) is dict or self._formats[0].format.any_value):
            return self._formats[0]
        if type(record) is not dict:
            raise RecordError("not_an_object", f"expected a JSON object, got {_KINDS.get(type(record), 'a value')}")
        key = key or shape_key(record)
        found = self._memo.get(key)
        if found is None:
            found = self._find(shape_of(record, self._columns))
            if len(self._memo) < _MEMO_LIMIT:
                self._memo[key] = found
        if isinstance(found, RecordError):
            raise RecordError(found.reason, found.message)  # a new one: a remembered one would keep its traceback
        return found

    def layout(self, one: NamedFormat, record: dict[str, Any], key: Hashable) -> Layout | None:
        """Where the facts of records like this one stand, if its format says so.

        Args:
            one: The format that reads it.
            record: One record.
            key: Its `shape_key`.

        Raises:
            PluginContractError: The format failed, or names columns that do not hold what they must.
        """
        if key in self._layouts:
            return self._layouts[key]
        layout = layout_by(one, shape_of(record, self._columns)) if _speaks_for_facts(type(one.format)) else None
        if len(self._layouts) < _MEMO_LIMIT:
            self._layouts[key] = layout
        return layout

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
        return {"_formats": self._formats, "_columns": self._columns, "_memo": {}, "_layouts": {}}


def _without_nulls(shape: Shape) -> Shape:
    kinds = {column: kind for column, kind in shape.kinds.items() if kind != "null"}
    return Shape(kinds, shape.items, shape.columns, shape.item_kinds)


def _count(claim: Claim, filled: Shape) -> int:
    """How many of the columns a claim counts on hold something."""
    return sum(column in filled for column in claim.columns)


def _speaks_for_facts(kind: type[Format]) -> bool:
    """Whether a format's `layout` was written for its `facts`, and not for those of a class that it refines."""
    return next("layout" in one.__dict__ for one in kind.__mro__ if {"layout", "facts"} & one.__dict__.keys())


def layout_by(one: NamedFormat, shape: Shape) -> Layout | None:
    """What a format says about where the facts of a shape stand.

    Raises:
        PluginContractError: It failed, or said something that cannot be.
    """
    try:
        layout = one.format.layout(shape)
        sound = layout is None or (isinstance(layout, Layout) and layout.fits(shape))
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = f"format {one.name!r}: layout failed ({type(error).__name__}: {error})"
        raise PluginContractError(message, kind="format", plugin=one.name) from error
    if not sound:
        message = (
            f"format {one.name!r}: layout returned {layout!r:.120} for {_shown_keys(shape)}, whose columns do not "
            "hold that; return None for such a shape"
        )
        raise PluginContractError(message, kind="format", plugin=one.name)
    return layout


def claim_by(one: NamedFormat, shape: Shape) -> Claim:
    """What a format says to a shape.

    Raises:
        PluginContractError: It failed, or said something else than a Claim.
    """
    try:
        claim = one.format.claim(shape)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        message = f"format {one.name!r}: claim failed ({type(error).__name__}: {error})"
        raise PluginContractError(message, kind="format", plugin=one.name) from error
    if not isinstance(claim, Claim):
        message = f"format {one.name!r}: claim returned {claim!r:.60}, expected a Claim"
        raise PluginContractError(message, kind="format", plugin=one.name)
    return claim


def _shown_keys(shape: Shape) -> str:
    keys = [repr(key if len(key) <= 40 else key[:37] + "...") for key in shape.kinds]  # noqa: PLR2004
    return ", ".join(keys[:_KEYS_SHOWN]) + (f" and {len(keys) - _KEYS_SHOWN} more" if len(keys) > _KEYS_SHOWN else "")
