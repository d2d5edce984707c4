"""A verdict that does not say *good* never becomes one: the mistake that no later step can notice."""

from __future__ import annotations

import itertools
import json
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ktoformats import Registry, Report

CELLS: Final[tuple[Any, ...]] = (
    *(-1, "false", "False", "no", 2, -0.1, None, [], {}, [1], {"a": 1}, "", "  ", "maybe", "nan", "inf", "-1", "2"),
    *("1e5", "٢", "غير جيد", "ليس جيدا"),
)
RATINGS: Final = (1, 2, 0, 6, -1, True, "0/5", "1/5", "★☆☆☆☆", "20%")
COLUMNS: Final = {"label": CELLS, "score": CELLS, "preference": CELLS, "rating": RATINGS}
NOISE: Final = (" ", "\t", "\u200f", "\u200b", "\u00a0", "ـ", "\u064e", "\ufeff", ".", "!", "\u0301")
USER: Final = {"role": "user", "content": "q"}
ANSWER: Final = {"role": "assistant", "content": "a"}


def record(layout: str, verdicts: dict[str, Any]) -> dict[str, Any]:
    """These verdicts about one answer, in one of the layouts."""
    if layout == "binary":
        return {"prompt": "q", "response": "a", **verdicts}
    if layout == "completion":
        return {"prompt": "q", "completion": "a", **verdicts}
    if layout == "messages":
        return {"messages": [USER, ANSWER], **verdicts}
    if layout == "conversation":
        return {"conversation": [USER], "response": "a", **verdicts}
    return {"messages": [USER, ANSWER | verdicts]}


LAYOUTS: Final = ("binary", "completion", "messages", "conversation", "turns")
NEIGHBOURS: Final = [record("binary", {"label": label, "prompt": f"q{i}"}) for i, label in enumerate((1, 0, 1, 0))]


def load(
    records: Sequence[dict[str, Any]], registry: Registry, **options: Any
) -> tuple[dict[int, list[str]], Report]:
    """The labels of each record's samples (by its number), loaded between good neighbours."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "train.jsonl")
        lines = [*NEIGHBOURS[:2], *records, *NEIGHBOURS[2:]]
        path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in lines), encoding="utf-8")
        config = KTODataConfig(
            train_file=path, balance_labels=False, min_samples_per_label=0, on_error="skip", **options
        )
        loader = KTODataLoader(config, enable_cache=False, registry=registry)
        samples: Iterable[dict[str, Any]] = list(loader.load_dataset("train"))
        loader.report.check()
    labels: dict[int, list[str]] = {number: [] for number in range(len(records))}
    neighbours: list[str] = []
    for sample in samples:
        number = sample["line"] - 3
        labels.get(number, neighbours).append(sample["label"])
    assert neighbours == ["good", "bad", "good", "bad"]
    return labels, loader.report


@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_cell_is_good_in_any_column(layout: str, registry: Registry) -> None:
    cells = [(column, cell) for column, values in COLUMNS.items() for cell in values]
    labels, _ = load([record(layout, {column: cell}) for column, cell in cells], registry)
    good = [cells[number] for number, found in labels.items() if "good" in found]
    assert good == []


@pytest.mark.parametrize("choice", ["reject", "first"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_no_two_cells_are_good_together(layout: str, choice: str, registry: Registry) -> None:
    cells = [
        {one: first, other: second}
        for one, other in itertools.permutations(COLUMNS, 2)
        for first, second in itertools.product(COLUMNS[one], COLUMNS[other])
    ]
    labels, _ = load([record(layout, verdicts) for verdicts in cells], registry, verdict_conflict=choice)
    good = [cells[number] for number, found in labels.items() if "good" in found]
    assert good == []


@pytest.mark.parametrize("layout", LAYOUTS)
def test_true_is_no_rating_of_one(layout: str, registry: Registry) -> None:
    labels, report = load([record(layout, {"rating": cell}) for cell in (True, False, 1, 1.0)], registry)
    # 1 and True are equal and hash alike: read in either order, one must not be remembered for the other
    again, _ = load([record(layout, {"rating": cell}) for cell in (1, True)], registry)
    assert list(labels.values()) == [[], [], ["bad"], ["bad"]]
    assert list(again.values()) == [["bad"], []]
    assert report.total.rejected == {"label_unrecognised": 2}


@st.composite
def spellings(draw: st.DrawFn, cells: Sequence[Any]) -> Any:
    """A cell, and where it is a text in any case and with invisible characters in it."""
    cell = draw(st.sampled_from(cells))
    if not isinstance(cell, str):
        return float(cell) if type(cell) is int and draw(st.booleans()) else cell
    cell = draw(st.sampled_from((cell, cell.upper(), cell.title())))
    for noise in draw(st.lists(st.sampled_from(NOISE), max_size=3)):
        at = draw(st.integers(0, len(cell)))
        cell = cell[:at] + noise + cell[at:]
    return cell


@st.composite
def hostile_records(draw: st.DrawFn) -> dict[str, Any]:
    columns = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, max_size=4, unique=True))
    verdicts = {column: draw(spellings(COLUMNS[column])) for column in columns}
    return record(draw(st.sampled_from(LAYOUTS)), verdicts)


def check_never_good(records: list[dict[str, Any]], choice: str, registry: Registry) -> None:
    labels, _ = load(records, registry, verdict_conflict=choice)
    good = [records[number] for number, found in labels.items() if "good" in found]
    assert good == []


@given(st.lists(hostile_records(), min_size=1, max_size=20), st.sampled_from(["reject", "first"]))
@settings(max_examples=100, deadline=None)
def test_no_spelling_is_good(registry: Registry, records: list[dict[str, Any]], choice: str) -> None:
    check_never_good(records, choice, registry)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@given(st.lists(hostile_records(), min_size=1, max_size=20), st.sampled_from(["reject", "first"]))
@settings(max_examples=5000, deadline=None)
def test_no_spelling_is_good_campaign(registry: Registry, records: list[dict[str, Any]], choice: str) -> None:
    check_never_good(records, choice, registry)
