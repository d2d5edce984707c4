"""Rows that are Python objects, written as the JSON that the pipeline reads."""

from __future__ import annotations

import math
from datetime import date, datetime, time
from decimal import Decimal
from enum import Enum
from typing import Any, Final

import numpy as np
import orjson

from ktoformats.errors import RecordError

_OPTIONS: Final = orjson.OPT_SERIALIZE_NUMPY | orjson.OPT_PASSTHROUGH_DATACLASS


def as_json(row: Any, *, binary: bool = False) -> bytes:
    """A row as JSON: dates and times as ISO 8601, decimals as texts, numpy as what it holds.

    Args:
        row: The row.
        binary: Bytes are UTF-8 text, as in the columns of a table; otherwise nobody said what they mean.

    Raises:
        RecordError: `lone_surrogate`, `non_finite`, or `wrong_type` for what JSON cannot hold.
    """
    try:
        raw = orjson.dumps(row, default=_plain_or_text if binary else _plain, option=_OPTIONS)
    except TypeError as error:
        reason = "lone_surrogate" if "surrogate" in str(error) else "wrong_type"
        raise RecordError(reason, f"the row is no JSON value ({error.__cause__ or error})") from error
    if not is_finite(row):
        raise RecordError("non_finite", "a number is NaN or infinite")
    return raw


def is_finite(value: Any) -> bool:
    """Whether no number in a value that JSON can hold is NaN or infinite, which orjson would write as null."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(is_finite, value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_finite, value))
    if isinstance(value, Enum):
        return is_finite(value.value)
    return (
        not isinstance(value, np.floating | np.ndarray) or value.dtype.kind != "f" or bool(np.isfinite(value).all())
    )


def _plain(value: Any) -> Any:
    """What orjson does not write by itself."""
    if isinstance(value, Decimal):
        return str(value)
    if isinstance(value, datetime | date | time) and value == value:  # noqa: PLR0124 - pandas has a time that is none
        return value.isoformat()
    raise TypeError(f"a value of type {type(value).__name__}")


def _plain_or_text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else _plain(value)
