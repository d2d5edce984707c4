"""What the columns of a batch hold beside the texts: ids, pairs, and what a block leaves behind."""

from __future__ import annotations

import gc
from collections import Counter
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from ktoformats import SCHEMA, AmbiguousFormatError, KTODataConfig, Registry
from ktoformats.convert.assemble import assemble
from ktoformats.convert.pipeline import BATCH_ROWS
from ktoformats.read.rows import blocks_of_rows

if TYPE_CHECKING:
    from ktoformats.convert.pipeline import Converted, Pipeline

REGISTRY = Registry()


def pipeline(**settings: Any) -> Pipeline:
    return assemble(KTODataConfig(**settings), REGISTRY).pipeline


def converted(rows: list[Any], **settings: Any) -> Converted:
    [block] = blocks_of_rows(rows, "rows", size=len(rows))
    return pipeline(**settings).convert(block)


def samples(rows: list[Any], **settings: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = pa.Table.from_batches(converted(rows, **settings).batches, SCHEMA).to_pylist()
    return found


def pair(number: int) -> dict[str, str]:
    return {"prompt": f"question {number}", "chosen": f"good {number}", "rejected": f"bad {number}"}


def single(prompt: str, response: str, label: str = "good") -> dict[str, str]:
    return {"prompt": prompt, "response": response, "label": label}


def test_no_pair_is_torn_apart_by_the_edge_of_a_batch() -> None:
    rows = [single("q", "a"), *map(pair, range(2 * BATCH_ROWS))]
    batches = converted(rows).batches
    assert len(batches) > 2
    for batch in batches:
        assert len(batch) <= BATCH_ROWS
        names = Counter(batch.column("pair").to_pylist())
        names.pop("", None)
        assert names
        assert set(names.values()) == {2}


@pytest.mark.parametrize("before", [0, 1])
def test_repeats_of_one_pair_are_not_torn_apart_either(before: int) -> None:
    batches = converted([single("q", "a")] * before + [pair(0)] * BATCH_ROWS).batches
    assert [len(batch) for batch in batches] == [BATCH_ROWS - before, BATCH_ROWS] + [2 * before] * (before > 0)
    for batch in batches:
        goods = [
            label
            for label, name in zip(*(batch.column(one).to_pylist() for one in ("label", "pair")), strict=True)
            if name
        ]
        assert goods == ["good", "bad"] * (len(goods) // 2)


def test_a_pair_has_one_name_of_its_own_wherever_it_stands() -> None:
    forwards = samples([pair(0), pair(1)])
    backwards = samples([single("q", "a"), pair(1), pair(0)])
    names = {one["response"]: one["pair"] for one in forwards}
    assert names["good 0"] == names["bad 0"] != names["good 1"] == names["bad 1"]
    assert {one["response"]: one["pair"] for one in backwards} == {**names, "a": ""}


def test_a_side_that_lost_the_other_still_belongs_to_a_pair() -> None:
    [one] = samples([{**pair(0), "rejected": ""}])
    assert one["label"] == "good"
    assert len(one["pair"]) == 16


def test_ranked_answers_belong_to_no_pair() -> None:
    rows = [{"prompt": "q", "responses": ["a", "b", "c"], "rankings": [1, 2, 3]}]
    assert [(one["response"], one["pair"]) for one in samples(rows)] == [("a", ""), ("c", "")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (single("ab", "c"), single("a", "bc")),
        (single("a", "b\x011"), single("a\x011", "b")),
        (single("a", "b"), single("a", "b", "bad")),
        (single("a", "b"), {**single("a", "b"), "system": "s"}),
        ({**single("a", "b"), "system": "s"}, {**single("a", "b"), "system": "t"}),
    ],
)
def test_different_samples_have_different_ids(one: dict[str, str], other: dict[str, str]) -> None:
    first, second = samples([one, other])
    assert first["id"] != second["id"]


def test_the_collector_is_as_it_was() -> None:
    assert gc.isenabled()
    converted([single("q", "a")])
    assert gc.isenabled()
    gc.disable()
    try:
        converted([single("q", "a")])
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_collector_is_as_it_was_after_an_error() -> None:
    both = {"prompt": "q", "chosen": "a", "rejected": "b", "responses": ["a", "b"], "rankings": [1, 2]}
    with pytest.raises(AmbiguousFormatError, match="rows:2"):
        converted([single("q", "a"), both])
    assert gc.isenabled()


def test_records_of_several_formats_keep_their_order() -> None:
    rows = [single("q0", "a0"), pair(1), "no object", single("q3", "a3"), pair(4), {"x": 1}]
    done = converted(rows)
    table = pa.Table.from_batches(done.batches, SCHEMA)
    assert table.column("line").to_pylist() == [1, 2, 2, 4, 5, 5]
    assert [(one.line, one.reason) for one in done.rejects] == [(3, "not_an_object"), (6, "unknown_shape")]
