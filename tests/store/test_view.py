"""Views: what is left out, why, under which name the rest goes, and what another view does differently."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import Dropped, Filter, PluginContractError
from ktoformats.convert.assemble import NamedFilter
from ktoformats.feedback import SCHEMA
from ktoformats.store import view as views
from ktoformats.store.samples import LABEL_BIT, Samples
from ktoformats.store.view import (
    USED,
    Reason,
    View,
    apply_filters,
    balance,
    filter_reasons,
    keep_whole_pairs,
    without,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Row(NamedTuple):
    """What of a sample matters here."""

    answer: int = 0
    good: bool = True
    pair: int = 0
    source: int = 0
    utility: float = 0.0

    @property
    def key(self) -> int:
        """The number that its id begins with."""
        answer = (self.answer + 1) * 0x9E3779B97F4A7C15 % 2**64 & ~int(LABEL_BIT)
        return answer | int(LABEL_BIT) * self.good

    @property
    def id(self) -> str:
        return f"{self.key:016x}{self.answer:016x}"


def samples_of(rows: Sequence[Row]) -> Samples:
    numbers = {"utility_score": [one.utility for one in rows], "line": list(range(len(rows)))}
    texts = {
        "id": [one.id for one in rows],
        "label": ["good" if one.good else "bad" for one in rows],
        "pair": [f"{one.pair:016x}" if one.pair else "" for one in rows],
        "group": [f"{one.answer:016x}" for one in rows],
        "origin": [f"{one.answer:016x}" for one in rows],
        "source": [f"{one.source}.jsonl" for one in rows],
    }
    fixed: dict[str, Any] = {"conversation": [], "position": None, "rank": None}
    ones = dict.fromkeys(("response_quality", "weight"), 1.0)
    columns = [(numbers | texts).get(one.name, [(fixed | ones).get(one.name, "")] * len(rows)) for one in SCHEMA]
    arrays = [pa.array(column, one.type) for column, one in zip(columns, SCHEMA, strict=True)]
    return Samples.of_table(pa.Table.from_arrays(arrays, schema=SCHEMA))


rows = st.builds(
    Row,
    st.integers(0, 8),
    st.booleans(),
    st.integers(0, 4),
    st.integers(0, 2),
    st.sampled_from([-1.0, 0.0, 0.25, 2.0]),
)
many = st.lists(rows, max_size=40)
NAMES: list[Reason] = [USED, ("a", "short"), ("a", "long"), ("b", "short"), ("c", "odd")]


@st.composite
def dropped(draw: st.DrawFn, of: Sequence[Row]) -> tuple[np.ndarray, list[Reason]]:
    """What a stage says of each row, by numbers of its own."""
    names = [USED, *draw(st.permutations(NAMES[1:]))[: draw(st.integers(1, 4))]]
    numbers = st.lists(st.integers(0, len(names) - 1), min_size=len(of), max_size=len(of))
    return np.array(draw(numbers), np.uint8), names


def view_of(of: Sequence[Row], data: st.DataObject, samples: Samples | None = None) -> View:
    """A view that some stages left something out of."""
    view = views.whole(samples or samples_of(of))
    for _ in range(data.draw(st.integers(0, 3))):
        view = without(view, *data.draw(dropped(of)))
    return view


def reasons_of(view: View) -> list[Reason]:
    return [view.names[number] for number in view.reasons]


@settings(deadline=None, max_examples=60)
@given(many, st.data())
def test_the_first_reason_counts(of: list[Row], data: st.DataObject) -> None:
    view = views.whole(samples_of(of))
    expected = [USED] * len(of)
    for _ in range(3):
        numbers, names = data.draw(dropped(of))
        before = view.reasons.copy()
        after = without(view, numbers, names)
        assert np.array_equal(view.reasons, before), "a view is never changed"
        expected = [was if was != USED else names[now] for was, now in zip(expected, numbers, strict=True)]
        assert reasons_of(after) == expected
        view = after
    assert view.chosen.tolist() == [row for row, reason in enumerate(expected) if reason == USED]
    assert view.good.tolist() == [of[row].good for row in view.chosen]
    good = sum(of[row].good for row in view.chosen)
    assert view.counts() == {"good": good, "bad": len(view.chosen) - good}


@settings(deadline=None, max_examples=60)
@given(many, st.data())
def test_what_was_dropped_is_counted_by_stage_source_reason_and_label(of: list[Row], data: st.DataObject) -> None:
    view = view_of(of, data)
    expected: dict[str, Counter[tuple[str, str, str]]] = {}
    for one, (stage, reason) in zip(of, reasons_of(view), strict=True):
        if stage:
            label = "good" if one.good else "bad"
            expected.setdefault(stage, Counter())[f"{one.source}.jsonl", reason, label] += 1
    assert view.dropped == expected
    assert len(of) == len(view.chosen) + sum(counts.total() for counts in view.dropped.values())


def numbered(of: Sequence[Row], chosen: Sequence[int]) -> dict[int, int]:
    """For each chosen row how often its content stands before it: by pair, and then by place."""
    seen: Counter[int] = Counter()
    found = {}
    for row in sorted(chosen, key=lambda row: (of[row].pair, row)):
        found[row] = seen[of[row].key]
        seen[of[row].key] += 1
    return found


@settings(deadline=None, max_examples=60)
@given(many, st.data())
def test_repeats_are_numbered(of: list[Row], data: st.DataObject) -> None:
    """Among the chosen rows alone, and their ids tell it."""
    view = view_of(of, data)
    expected = numbered(of, view.chosen.tolist())
    again = {row: number for row, number in expected.items() if number}
    assert dict(zip(view.occurrence.rows.tolist(), view.occurrence.numbers.tolist(), strict=True)) == again
    assert view.occurrence.rows.tolist() == sorted(again)
    order = data.draw(st.permutations(view.chosen.tolist()))
    taken = np.array(order, np.int64)
    assert view.occurrence.of(taken).tolist() == [expected[row] for row in order]
    ids = view.take(taken).column("id").to_pylist()
    assert ids == [of[row].id + (f"-{expected[row]}" if expected[row] else "") for row in order]
    assert len(set(ids)) == len(set(view.keys(taken).tolist())) == len(order), "all can be told apart"


@settings(deadline=None, max_examples=60)
@given(many, st.data())
def test_the_order_of_rows_renames_nothing(of: list[Row], data: st.DataObject) -> None:
    """Equal samples of one pair may change places with each other; nobody could tell."""
    order = data.draw(st.permutations(range(len(of))))
    names = []
    for own in (of, [of[row] for row in order]):
        view = views.whole(samples_of(own))
        numbers = view.occurrence.of(view.chosen).tolist()
        alike = [(one.answer, one.good, one.pair) for one in own]
        names.append(Counter(zip(alike, numbers, view.keys().tolist(), strict=True)))
    assert names[0] == names[1]


@settings(deadline=None, max_examples=60)
@given(many, st.data())
def test_what_is_asked_of_no_row_has_no_number(of: list[Row], data: st.DataObject) -> None:
    view = view_of(of, data)
    assert view.occurrence.of(np.zeros(0, np.int64)).tolist() == []
    assert view.take(np.zeros(0, np.int64)).schema.equals(SCHEMA)


@settings(deadline=None, max_examples=60)
@given(many, st.data())
def test_two_views_differ_in_what_they_say_of_rows(of: list[Row], data: st.DataObject) -> None:
    samples = samples_of(of)
    one, other = view_of(of, data, samples), view_of(of, data, samples_of(of))
    expected: dict[tuple[Reason, Reason], list[int]] = {}
    for row, kind in enumerate(zip(reasons_of(one), reasons_of(other), strict=True)):
        if kind[0] != kind[1]:
            expected.setdefault(kind, []).append(row)
    found = one.diff(other)
    assert {(change.before, change.after): change.rows.tolist() for change in found} == expected
    assert len(found) == len(expected)
    assert [len(change.rows) for change in found] == sorted(map(len, expected.values()), reverse=True)
    more = sum(len(change.rows) * ((change.after == USED) - (change.before == USED)) for change in found)
    assert len(other.chosen) - len(one.chosen) == more
    assert one.diff(one) == []
    back = {(change.after, change.before): change.rows.tolist() for change in other.diff(one)}
    assert back == expected, "the other way round it is the same"


def test_a_difference_is_told_in_words() -> None:
    samples = samples_of([Row(number, utility=number / 4) for number in range(4)])
    low, high = (apply_filters(views.whole(samples), [named("u", below(bound))]) for bound in (0.25, 0.75))
    assert list(map(str, low.diff(high))) == ["2 samples: kept, then dropped by u (low)"]
    assert list(map(str, high.diff(low))) == ["2 samples: dropped by u (low), then kept"]
    other = apply_filters(views.whole(samples), [named("v", below(0.25))])
    assert list(map(str, low.diff(other))) == ["1 samples: dropped by u (low), then dropped by v (low)"]


@pytest.mark.parametrize("other", [[Row(1)], [Row(1), Row(3)], [Row(2), Row(1)], [Row(1), Row(2, good=False)]])
def test_views_of_different_samples_are_not_compared(other: list[Row]) -> None:
    one = views.whole(samples_of([Row(1), Row(2)]))
    with pytest.raises(ValueError, match="the views are of different samples; compare views of the same sources"):
        one.diff(views.whole(samples_of(other)))


def staying(view: View, of: Sequence[Row], tolerance: float, parts: Sequence[int], seed: int) -> list[int]:
    """The rows that balancing leaves: of each label those with the lowest hashes, of equal ones the first."""
    hashes = dict(zip(view.chosen.tolist(), vars(views)["mix"](view.keys(), seed).tolist(), strict=True))
    left = []
    for part in set(parts):
        sides = [[row for row in hashes if parts[row] == part and of[row].good is good] for good in (False, True)]
        fewest = min(map(len, sides))
        most = int(fewest * (1 + tolerance)) if fewest else len(of)
        for side in sides:
            left += sorted(side, key=lambda row: (hashes[row], row))[:most]
    return sorted(left)


@pytest.mark.parametrize("coarse", [False, True], ids=["all hashes differ", "most hashes are equal"])
@settings(deadline=None, max_examples=60)
@given(
    of=many,
    data=st.data(),
    tolerance=st.sampled_from([0.0, 0.1, 0.5, 1.0, 3.0]),
    seed=st.integers(0, 3),
    by_source=st.booleans(),
)
def test_the_lowest_hashes_stay(
    of: list[Row], data: st.DataObject, tolerance: float, seed: int, *, by_source: bool, coarse: bool
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        if coarse:
            patch.setattr(views, "mix", lambda values, seed, out=None: (values + np.uint64(seed)) % np.uint64(3))
        view = view_of(of, data)
        sources = [one.source for one in of]
        parts = np.array(sources, np.int64) if by_source else None
        found = balance(view, tolerance=tolerance, seed=seed, parts=parts)
        expected = staying(view, of, tolerance, sources if by_source else [0] * len(of), seed)
    assert found.chosen.tolist() == expected
    lost = np.setdiff1d(view.chosen, found.chosen)
    assert {found.names[number] for number in found.reasons[lost]} <= {("balance", "balance")}
    kept = np.flatnonzero(view.reasons)
    assert [found.names[one] for one in found.reasons[kept]] == [view.names[one] for one in view.reasons[kept]]


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("tolerance", [0, 0.3, 1])
def test_of_equal_hashes_the_first_stay(monkeypatch: pytest.MonkeyPatch, seed: int, tolerance: float) -> None:
    monkeypatch.setattr(views, "mix", lambda values, seed, out=None: (values + np.uint64(seed)) % np.uint64(3))
    of = [Row(number, good=number % 5 == 0) for number in range(60)]
    view = views.whole(samples_of(of))
    found = balance(view, tolerance=tolerance, seed=seed)
    assert found.counts() == {"good": 12, "bad": int(12 * (1 + tolerance))}
    assert found.chosen.tolist() == staying(view, of, tolerance, [0] * 60, seed)


@pytest.mark.parametrize("skewed", [False, True])
def test_many_are_balanced_like_few(monkeypatch: pytest.MonkeyPatch, *, skewed: bool) -> None:
    """Only some of many hashes are held on to; where they are not uniform, all."""
    if skewed:
        monkeypatch.setattr(views, "mix", lambda values, seed, out=None: values % np.uint64(1000 + seed))
    of = [Row(number % 9000, good=number % 5 == 0, source=number // 4000) for number in range(12_000)]
    parts = [part for start in range(0, len(of), 4000) for part in samples_of(of[start : start + 4000]).parts]
    view = views.whole(Samples(parts))
    asked = []
    real = views._over

    def listen(*args: Any) -> Any:
        asked.append(args)
        return real(*args)

    monkeypatch.setattr(views, "_over", listen)
    for seed in range(3):
        found = balance(view, tolerance=0.5, seed=seed)
        assert found.chosen.tolist() == staying(view, of, 0.5, [0] * len(of), seed)
    assert len(asked) == (6 if skewed else 3)


def test_balancing_depends_on_the_seed_and_not_on_the_order() -> None:
    of = [Row(number, good=number % 4 == 0) for number in range(400)]
    one, other = (balance(views.whole(samples_of(of)), tolerance=0, seed=seed) for seed in (1, 2))
    assert one.counts() == other.counts() == {"good": 100, "bad": 100}
    assert not np.array_equal(one.chosen, other.chosen)
    turned = balance(views.whole(samples_of(of[::-1])), tolerance=0, seed=1)
    assert sorted(399 - turned.chosen) == one.chosen.tolist()


@settings(deadline=None, max_examples=60)
@given(many, st.data())
def test_pairs_that_lost_a_side_are_left_out(of: list[Row], data: st.DataObject) -> None:
    view = view_of(of, data)
    sides = {(of[row].pair, of[row].good) for row in view.chosen}
    whole = [row for row in view.chosen if not of[row].pair or {(of[row].pair, True), (of[row].pair, False)} <= sides]
    found = keep_whole_pairs(view)
    assert found.chosen.tolist() == whole
    lost = np.setdiff1d(view.chosen, found.chosen)
    assert {found.names[number] for number in found.reasons[lost]} <= {("pairs", "unpaired")}


class Below(Filter):
    """Drops low utility, by a number."""

    numbers: ClassVar[frozenset[str] | None] = frozenset({"utility_score"})
    bound: float = 0.0

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        assert batch.schema.names == ["utility_score"]
        yield Dropped("low", batch.column("utility_score").to_numpy() < self.bound)


class Named(Filter):
    """Drops by texts, for two reasons."""

    source: str = "1.jsonl"

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        assert batch.schema.equals(SCHEMA)
        yield Dropped("label", np.array([one == "bad" for one in batch.column("label").to_pylist()], bool))
        yield Dropped("source", np.array([one == self.source for one in batch.column("source").to_pylist()], bool))


class Many(Filter):
    """Has another reason for each row."""

    count: int = 0

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        for number in range(self.count):
            yield Dropped(f"reason{number}", np.arange(len(batch)) == number)


class Short(Filter):
    """Answers for fewer rows than it was asked about."""

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        yield Dropped("short", np.ones(len(batch) - 1, bool))


def below(bound: float) -> Below:
    return Below(bound=bound)


def named(name: str, one: Filter) -> NamedFilter:
    return NamedFilter(name, one)


def judged(one: Row, filters: Sequence[NamedFilter]) -> Reason:
    for name, each in filters:
        if isinstance(each, Below) and one.utility < each.bound:
            return name, "low"
        if isinstance(each, Named) and not one.good:
            return name, "label"
        if isinstance(each, Named) and f"{one.source}.jsonl" == each.source:
            return name, "source"
    return USED


@pytest.mark.parametrize("at_once", [3, 8192])
@settings(deadline=None, max_examples=60)
@given(
    of=many,
    filters=st.permutations([named("u", below(0.25)), named("n", Named()), named("v", below(1.0))]),
    data=st.data(),
)
def test_a_sample_counts_under_the_first_filter_that_drops_it(
    of: list[Row], filters: list[NamedFilter], data: st.DataObject, *, at_once: int
) -> None:
    """Whether filters look at numbers or at texts, and however many rows they are shown at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(views, "_NUMBERS_AT_ONCE", at_once)
        patch.setattr(views, "_ROWS_AT_ONCE", at_once)
        before = view_of(of, data)
        view = apply_filters(before, filters)
        reasons, names = filter_reasons(before.samples.whole(SCHEMA.names), filters)
    judgements = [judged(one, filters) for one in of]
    assert reasons_of(view) == [
        was if was != USED else now for was, now in zip(reasons_of(before), judgements, strict=True)
    ]
    assert [names[number] for number in reasons] == judgements, "a stream hears the same"


def test_no_filter_leaves_nothing_out() -> None:
    view = views.whole(samples_of([Row()]))
    assert apply_filters(view, []) is view


def test_a_mask_of_another_shape_is_refused() -> None:
    with pytest.raises(PluginContractError, match=r"filter 's' returned a mask of shape \(1,\), expected \(2,\)"):
        apply_filters(views.whole(samples_of([Row(), Row()])), [named("s", Short())])


@pytest.mark.parametrize("count", [254, 255, 256, 300])
def test_there_are_not_more_reasons_than_can_be_told_apart(count: int) -> None:
    view = views.whole(samples_of([Row(number) for number in range(300)]))
    filters = [named("m", Many(count=count))]
    if count < 255:
        assert len(apply_filters(view, filters).chosen) == 300 - count
        return
    with pytest.raises(PluginContractError, match="reasons to drop a sample; at most 255 can be told apart"):
        apply_filters(view, filters)


@settings(deadline=None, max_examples=30)
@given(many, st.data())
def test_some_are_selected(of: list[Row], data: st.DataObject) -> None:
    view = view_of(of, data)
    kept = [row for row in view.chosen.tolist() if data.draw(st.booleans())]
    found = views.select(view, np.array(kept, np.int64), "stage", "why")
    assert found.chosen.tolist() == kept
    assert [reason for reason in reasons_of(found) if reason == ("stage", "why")] == [("stage", "why")] * (
        len(view.chosen) - len(kept)
    )
