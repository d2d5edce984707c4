from __future__ import annotations

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktoformats.errors import KTOLabelError
from ktoformats.plugin.scale import Reading, Scale, scale_of

RATING = Scale(name="rating", good_from=4, bad_to=2)
UNIT = Scale(name="unit", low=0, high=1, good_from=0.5, bad_to=math.nextafter(0.5, 0))
PERCENT = Scale(name="percent", low=0, high=100, good_from=60, bad_to=math.nextafter(60.0, 0.0))
PAIN = Scale(name="pain", low=0, high=10, good_from=3, bad_to=7, higher_is_better=False)
ACADEMIC = scale_of(
    "academic",
    "=fail | =very_weak | =very_bad < =weak | =bad < =fair < =good < =very_good < =excellent",
    good_from=3,
    bad_to=2,
)
STARS = scale_of(
    "stars",
    "=very_bad < =bad | =weak < =average | =fair < =good | =very_good < =excellent",
    low=1.0,
    high=5.0,
    good_from=4,
    bad_to=2,
    numbers=True,
)
ACCEPTANCE = scale_of("acceptance", "=fail < =fair | =pass", good_from=1, bad_to=0)


def read(scale: Scale, cell: Any) -> Reading:
    reading = scale.read(cell)
    assert reading is not None
    return reading


def reason(scale: Scale, cell: Any) -> str:
    with pytest.raises(KTOLabelError, match=scale.name) as caught:
        scale.read(cell)
    assert str(caught.value) == caught.value.message
    return caught.value.reason


@pytest.mark.parametrize(
    ("cell", "label", "value"),
    [
        *(
            (5, "good", 5),
            (4, "good", 4),
            (3, "", 3),
            (2, "bad", 2),
            (1, "bad", 1),
            (4.5, "good", 4.5),
            (3.99, "", 3.99),
        ),
        *(("4", "good", 4), ("٤", "good", 4), (" 4 ", "good", 4), ("4.0", "good", 4), ("٢٫٥", "", 2.5)),
        *(("4/5", "good", 4), ("٤ من ٥", "good", 4), ("0/5", "bad", 1), ("1/10", "bad", 1), ("6/10", "", 3)),
        *(("80%", "good", 4), ("٪٨٠", "good", 4), ("0%", "bad", 1), ("100%", "good", 5), ("40%", "bad", 2)),
        *(("★★★★☆", "good", 4), ("☆☆☆☆☆", "bad", 1), ("★★★½☆", "", 3.5)),
    ],
)
def test_numbers_are_read_in_the_scale_s_own_numbers(cell: Any, label: str, value: float) -> None:
    found = read(RATING, cell)
    assert (found.label, found.scale, found.flags) == (label, "rating", ())
    assert (found.value, found.position) == pytest.approx((value, (value - 1) / 4))


@pytest.mark.parametrize(
    ("cell", "label", "value", "flags"),
    [
        ("10/8", "good", 4, ("reversed",)),
        ("١٠/٨", "good", 4, ("reversed",)),
        ("★★", "bad", 2, ("max_assumed",)),
        ("أربع نجوم", "good", 4, ("max_assumed",)),
        ("٤ - أوافق", "good", 4, ("coded",)),
    ],
)
def test_what_was_assumed_is_flagged(cell: str, label: str, value: float, flags: tuple[str, ...]) -> None:
    assert read(RATING, cell) == Reading(label, value, (value - 1) / 4, "rating", flags)


@pytest.mark.parametrize(
    "cell", [0, 6, -1, 5.0001, "0", "6", "-1", "٦", "★★★★★★", "150%", "-5%", 10**400, -(10**400)]
)
def test_a_number_off_the_scale_is_out_of_scale(cell: Any) -> None:
    assert reason(RATING, cell) == "out_of_scale"


@pytest.mark.parametrize("cell", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_out_of_scale(cell: float) -> None:
    for scale in (RATING, UNIT, PERCENT, PAIN):
        assert reason(scale, cell) == "out_of_scale"


@pytest.mark.parametrize(
    "cell",
    ["nan", "NaN", "inf", "-inf", "Infinity", "1e0", "true", "True", "false", "good", "جيد", "4/3", "؟", "4 or 5"],
)
def test_text_that_is_no_number_is_unrecognised(cell: str) -> None:
    for scale in (RATING, UNIT, PERCENT, PAIN):
        assert reason(scale, cell) == "label_unrecognised"


@pytest.mark.parametrize("cell", [True, False])
def test_a_boolean_is_never_a_number(cell: bool) -> None:  # noqa: FBT001 - the cell under test
    for scale in (RATING, UNIT, PERCENT, PAIN, STARS, ACADEMIC):
        assert reason(scale, cell) == "label_unrecognised"


def test_a_boolean_stands_for_the_ends_where_the_scale_says_so() -> None:
    scale = UNIT.model_copy(update={"booleans": True})
    assert read(scale, True) == Reading("good", 1.0, 1.0, "unit")
    assert read(scale, False) == Reading("bad", 0.0, 0.0, "unit")
    only = Scale(name="only", low=0, high=1, good_from=1, bad_to=0, numbers=False, booleans=True)
    assert reason(only, 1) == reason(only, "1") == "label_unrecognised"


@pytest.mark.parametrize("cell", [[], {}, [5], {"value": 5}, b"5", (5,), 5j, object])
def test_other_types_are_unrecognised(cell: Any) -> None:
    assert reason(RATING, cell) == reason(ACADEMIC, cell) == "label_unrecognised"


@pytest.mark.parametrize("cell", [None, "", " ", "\t\n", "\u00a0"])
def test_null_and_blank_mean_that_nobody_judged(cell: str | None) -> None:
    for scale in (RATING, ACADEMIC):
        assert scale.read(cell) is None


def test_a_scale_of_words_does_not_read_numbers() -> None:
    for cell in (0, 3, 5.0, "3", "80%", "★★★★★"):
        assert reason(ACADEMIC, cell) == "label_unrecognised"


@pytest.mark.parametrize("cell", ["مقبول", "مَقْبُول", "مقبولة", "المقبول", "مقبــول"])
def test_one_word_has_the_label_of_its_scale(cell: str) -> None:
    assert read(ACADEMIC, cell) == Reading("bad", 2.0, 0.4, "academic")
    assert read(STARS, cell) == Reading("", 3.0, 0.5, "stars")
    assert read(ACCEPTANCE, cell) == Reading("good", 1.0, 1.0, "acceptance")


def test_a_negated_word_takes_the_opposite_grade_of_its_scale() -> None:
    assert read(ACADEMIC, "غير جيد") == Reading("bad", 1.0, 0.2, "academic", ("negated",))
    assert read(STARS, "ليس سيئا") == Reading("", 3.0, 0.5, "stars", ("negated",))
    assert read(ACCEPTANCE, "غير مقبول") == Reading("bad", 0.0, 0.0, "acceptance")
    assert reason(ACCEPTANCE, "غير جيد") == "label_unrecognised"


@pytest.mark.parametrize(
    ("cell", "label"),
    [("4 - جيد", "good"), ("٤. جيد جدا", "good"), ("1) سيئ جدا", "bad"), ("3: مقبول", ""), ("2 - غير جيد", "bad")],
)
def test_a_coded_option_whose_parts_agree_is_read(cell: str, label: str) -> None:
    found = read(STARS, cell)
    assert (found.label, found.flags) == (label, ("coded",))


@pytest.mark.parametrize("cell", ["4 - سيئ", "1 - ممتاز", "5. جيد", "٣ - ضعيف"])
def test_a_coded_option_whose_parts_differ_is_a_contradiction(cell: str) -> None:
    assert reason(STARS, cell) == "contradictory_verdicts"


@pytest.mark.parametrize("cell", ["4 - سيئ", "5 - لا أوافق", "1 - ممتاز", "2. نعم"])
def test_without_words_of_its_own_a_scale_still_sees_opposite_polarity(cell: str) -> None:
    assert reason(RATING, cell) == "contradictory_verdicts"


def test_a_coded_option_with_an_unknown_word_is_unrecognised() -> None:
    assert reason(RATING, "4 - بطيء") == reason(STARS, "4 - بطيء") == "label_unrecognised"


@pytest.mark.parametrize(
    ("cell", "label", "position"),
    [(0, "good", 1.0), (3, "good", 0.7), (5, "", 0.5), (7, "bad", 0.3), ("10/10", "bad", 0.0), ("0%", "good", 1.0)],
)
def test_a_scale_can_run_the_other_way(cell: Any, label: str, position: float) -> None:
    found = read(PAIN, cell)
    assert found.label == label
    assert found.position == pytest.approx(position)


def test_words_run_the_other_way_too() -> None:
    scale = scale_of("ease", "easy < medium < hard", good_from=0, bad_to=2, higher_is_better=False)
    labels = [read(scale, word).label for word in ("easy", "Medium", "HARD")]
    assert labels == ["good", "", "bad"]


@pytest.mark.parametrize(("neutral", "label"), [("none", ""), ("good", "good"), ("bad", "bad")])
def test_the_middle_is_what_the_scale_says(neutral: str, label: str) -> None:
    scale = Scale.model_validate({"good_from": 4, "bad_to": 2, "neutral": neutral})
    assert [read(scale, cell).label for cell in (2, 3, "2.5", 4)] == ["bad", label, label, "good"]


def test_percent_counts_from_nought_to_a_hundred() -> None:
    cells = [60, "60%", "٦٠٪", 59.9, "8/10", "★★★☆☆", "0/5", 0, 100]
    labels = [read(PERCENT, cell).label for cell in cells]
    assert labels == ["good", "good", "good", "bad", "good", "good", "bad", "bad", "good"]
    assert reason(PERCENT, "-5%") == reason(PERCENT, -5) == reason(PERCENT, "101%") == "out_of_scale"


@pytest.mark.parametrize("cell", ["★", "★★★★", "نجمة واحدة", "4 نجوم", "خمسة"])
def test_a_count_of_stars_is_no_percentage_and_no_fraction_of_one(cell: str) -> None:
    assert reason(PERCENT, cell) == reason(UNIT, cell) == "label_unrecognised"


@pytest.mark.parametrize(
    "cell", [-1, "false", 2, None, [], {}, "2", "-1", 1.5, math.nan, "-1.0", "٢", True, "-1/1", "1-"]
)
def test_nothing_but_a_share_of_one_passes_a_threshold(cell: Any) -> None:
    try:
        reading = UNIT.read(cell)
    except KTOLabelError:
        return
    assert reading is None


@given(st.one_of(st.integers(), st.floats(), st.text(), st.booleans(), st.none(), st.lists(st.integers())))
def test_a_good_number_lies_between_the_threshold_and_one(cell: Any) -> None:
    try:
        reading = UNIT.read(cell)
    except KTOLabelError:
        return
    if reading is None:
        assert cell is None or not cell.strip()
        return
    assert type(cell) is not bool
    assert 0 <= reading.position <= 1
    if type(cell) in (int, float):
        assert reading.label == ("good" if 0.5 <= cell <= 1 else "bad")


@given(st.floats(min_value=1, max_value=5))
def test_position_and_label_follow_the_number(value: float) -> None:
    found = read(RATING, value)
    assert found.position == (value - 1) / 4
    assert found.label == ("good" if value >= 4 else "bad" if value <= 2 else "")
    mirrored = Scale(good_from=2, bad_to=4, higher_is_better=False)
    assert read(mirrored, value).position == 1 - found.position


def test_a_number_spelled_as_a_word_is_not_its_negative() -> None:
    scale = scale_of("codes", "0 | bad < 1 | good", good_from=1, bad_to=0)
    assert read(scale, "1").label == "good"
    for cell in ("-1", "−١", "1%", "- 1", "10"):
        assert reason(scale, cell) == "label_unrecognised"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"low": 5, "high": 1, "good_from": 4, "bad_to": 2}, r"low \(5\) must be below high \(1\)"),
        ({"low": 1, "high": 1, "good_from": 1, "bad_to": 1}, r"low \(1\) must be below high \(1\)"),
        ({"low": 0, "high": math.inf, "good_from": 4, "bad_to": 2}, r"low \(0\) must be below high \(inf\)"),
        ({"low": math.nan, "good_from": 4, "bad_to": 2}, r"low \(nan\) must be below high \(5\)"),
        (
            {"good_from": 2, "bad_to": 4},
            "expected low <= bad_to < good_from <= high .* got low=1 bad_to=4 good_from=2",
        ),
        ({"good_from": 3, "bad_to": 3}, "expected low <= bad_to < good_from <= high"),
        ({"good_from": 6, "bad_to": 2}, "good_from=6 high=5"),
        ({"good_from": 4, "bad_to": 0}, "got low=1 bad_to=0"),
        ({"good_from": math.nan, "bad_to": 2}, "good_from=nan"),
        ({"good_from": 4, "bad_to": 2, "higher_is_better": False}, "the reverse where lower is better"),
        ({"good_from": 4, "bad_to": 2, "numbers": False}, "a scale without numbers needs grades"),
        ({"good_from": 4, "bad_to": 2, "neutral": "drop"}, "Input should be 'none', 'good' or 'bad'"),
        ({"good_from": 4, "bad_to": 2, "hihg": 5}, "Extra inputs are not permitted"),
        ({"good_from": 4, "bad_to": 2, "grades": [["سيء"], ["جيد", "سيئ"]]}, "fold to the same key 'سي'"),
        ({"good_from": 4, "bad_to": 2, "grades": [["=good"], ["جيّد"]]}, "fold to the same key 'جيد'"),
        ({"good_from": 4, "bad_to": 2, "grades": [["=god"]]}, "no grade 'god' in the lexicon; it has average, bad,"),
    ],
)
def test_a_scale_that_makes_no_sense_is_refused(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Scale.model_validate(fields)


def test_scale_of_reads_one_line_worst_first() -> None:
    scale = scale_of("size", "tiny|small < medium < =good | big", good_from=2, bad_to=0, neutral="bad")
    assert scale.grades == (("tiny", "small"), ("medium",), ("=good", "big"))
    assert (scale.low, scale.high, scale.numbers, scale.neutral) == (0.0, 2.0, False, "bad")
    assert read(scale, "Small.") == Reading("bad", 0.0, 0.0, "size")
    assert read(scale, "medium") == Reading("bad", 1.0, 0.5, "size")
    assert read(scale, "كويس") == read(scale, "big") == Reading("good", 2.0, 1.0, "size")
    with pytest.raises(ValueError, match="got low=0 bad_to=0 good_from=3 high=2"):
        scale_of("size", "a < b < c", good_from=3, bad_to=0)


def test_grades_spread_over_the_numbers_of_the_scale() -> None:
    scale = scale_of("ten", "a < b < c", low=0.0, high=10.0, good_from=8, bad_to=2, numbers=True)
    assert [read(scale, cell).value for cell in ("a", "b", "c", 7)] == [0.0, 5.0, 10.0, 7.0]


def test_messages_say_what_was_seen_and_what_is_accepted() -> None:
    with pytest.raises(
        KTOLabelError, match=r"^'fantastic' is no value of scale 'stars' \(numbers 1 to 5; words very_bad"
    ):
        STARS.read("fantastic")
    with pytest.raises(KTOLabelError, match=r"^7 lies outside scale 'rating' \(1 to 5\); name the column's scale"):
        RATING.read(7)
    with pytest.raises(KTOLabelError, match=r"^'x{76}\.\.\. is no value"):
        RATING.read("x" * 500)
    with pytest.raises(KTOLabelError, match=r"^'1 - ممتاز': the number and the word disagree on scale 'stars'$"):
        STARS.read("1 - ممتاز")
    assert UNIT.model_copy(update={"booleans": True}).describe() == "scale 'unit' (numbers 0 to 1; true, false)"
