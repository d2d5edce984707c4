"""Rows that anybody may have made: what JSON cannot hold costs its row, with a reason."""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import orjson
import pytest

from ktoformats.read.rows import blocks_of_records


@dataclass
class Thing:
    x: float


def circle() -> dict[str, Any]:
    row: dict[str, Any] = {}
    row["x"] = row
    return row


def deep() -> Any:
    row: Any = 1
    for _ in range(5000):
        row = {"x": row}
    return row


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"x": math.nan}, "non_finite"),
        (OrderedDict(x=math.nan), "non_finite"),
        ({"x": OrderedDict(y=[math.inf])}, "non_finite"),
        ({"x": np.float32("nan")}, "non_finite"),
        ({"x": np.array([1.0, math.nan])}, "non_finite"),
        ({"x": "\ud800"}, "lone_surrogate"),
        ({"\ud800": 1}, "lone_surrogate"),
        ({"x": b"good"}, "wrong_type"),
        ({"x": Thing(math.nan)}, "wrong_type"),
        ({"x": {1, 2}}, "wrong_type"),
        ({1: "x"}, "wrong_type"),
        (circle(), "wrong_type"),
        (deep(), "wrong_type"),
    ],
)
def test_a_row_that_is_no_json_costs_itself(row: Any, reason: str) -> None:
    found = list(blocks_of_records([{"n": 1}, row, {"n": 3}], "<records>", size=2))
    assert [orjson.loads(one)["n"] for block in found for one in block.records] == [1, 3]
    assert [line for block in found for line in block.lines] == [1, 3]
    assert [(fault.line, fault.reason) for block in found for fault in block.faults] == [(2, reason)]


def test_what_is_certain_is_converted() -> None:
    row = {
        "d": date(2024, 2, 29),
        "i": np.int8(-1),
        "f": np.float64(0.5),
        "b": np.bool_(False),
        "a": np.array([1, 2]),
    }
    (block,) = blocks_of_records([row], "<records>")
    assert orjson.loads(block.records[0]) == {"d": "2024-02-29", "i": -1, "f": 0.5, "b": False, "a": [1, 2]}
