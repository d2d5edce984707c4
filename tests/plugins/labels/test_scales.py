from __future__ import annotations

import importlib
import math
from typing import Any

import pytest

from ktoformats import KTOLabelError, Labels, Plugin
from ktoformats_plugins.labels.academic import Academic
from ktoformats_plugins.labels.acceptance import Acceptance
from ktoformats_plugins.labels.agreement import Agreement
from ktoformats_plugins.labels.percent import Percent
from ktoformats_plugins.labels.rating import Rating
from ktoformats_plugins.labels.satisfaction import Satisfaction
from ktoformats_plugins.labels.stars import Stars
from ktoformats_plugins.labels.thumbs import Thumbs
from ktoformats_plugins.labels.yes_no import YesNo

ALL: dict[str, type[Labels]] = {
    "academic": Academic,
    "acceptance": Acceptance,
    "agreement": Agreement,
    "percent": Percent,
    "rating": Rating,
    "satisfaction": Satisfaction,
    "stars": Stars,
    "thumbs": Thumbs,
    "yes_no": YesNo,
}

# plugin, label, cells
READS: list[tuple[type[Labels], str, list[Any]]] = [
    (Academic, "good", ["جيد", "جيّد جدًّا", "ممتاز", "excellent", "Very Good", "الممتاز"]),
    (
        Academic,
        "bad",
        ["راسب", "ضعيف جداً", "ضعيف", "سيئ", "مقبول", "مقبولة", "متوسط", "غير مقبول", "غير جيد", "fair"],
    ),
    (Acceptance, "good", ["مقبول", "ناجح", "accept", "Accepted", "acceptable", "pass", "لا بأس به"]),
    (
        Acceptance,
        "bad",
        ["غير مقبول", "مرفوض", "راسب", "reject", "REJECTED", "unacceptable", "not acceptable", "ليس ناجحا"],
    ),
    (
        Agreement,
        "good",
        ["أوافق", "أوافق بشدة", "موافق", "agree", "Strongly agree", 4, "٥", "٤ - أوافق", "5. أوافق بشدة"],
    ),
    (Agreement, "", ["محايد", "لا أوافق ولا أعارض", "neither agree nor disagree", "Neutral", 3]),
    (
        Agreement,
        "bad",
        ["لا أوافق", "لا أوافق بشدة", "غير موافق", "أعارض بشدة", "disagree", "strongly disagree", 1, "2"],
    ),
    (Satisfaction, "good", ["راضٍ", "راضي", "راضٍ تماماً", "راضي جداً", "satisfied", "very satisfied", 5]),
    (Satisfaction, "", ["محايد", "neutral", 3]),
    (Satisfaction, "bad", ["غير راضٍ", "غير راضٍ تماماً", "غير راضي جداً", "dissatisfied", "Very dissatisfied", 1]),
    (Stars, "good", ["جيد", "جيد جداً", "ممتاز", 4, 5, "★★★★☆", "⭐⭐⭐⭐⭐", "٤ من ٥", "80%", "10/8", "٤ - جيد"]),
    (Stars, "", ["مقبول", "متوسط", "عادي", "لا بأس", "ليس سيئا", 3, "★★★☆☆", "6/10"]),
    (Stars, "bad", ["سيئ", "سيئ جداً", "ضعيف", "مو زين", 1, 2, "★☆☆☆☆", "☆☆☆☆☆", "نجمة واحدة", "0/5"]),
    (Rating, "good", [4, 5, 4.5, "٤", "4/5", "80%", "★★★★★", "أربع نجوم", "٨ من ١٠"]),
    (Rating, "", [3, 2.5, "3", "٣/٥", "60%"]),
    (Rating, "bad", [1, 2, "1", "★", "٢ من ٥", "0/5"]),
    (Percent, "good", [60, 100, "60%", "٨٠٪", "3/5", "6/10", "★★★★☆", 60.0]),
    (Percent, "bad", [0, 59, 59.999, math.nextafter(60.0, 0.0), "59%", "2/5", "☆☆☆☆☆"]),
    (
        Thumbs,
        "good",
        ["👍", "👍🏽", "👍\ufe0f", "thumbs_up", "Thumbs Up", "thumbs-up", "thumbsup", "up", "like", "liked"],
    ),
    (Thumbs, "good", [1, 1.0, "1", "+1", "١", True, "أعجبني"]),
    (
        Thumbs,
        "bad",
        ["👎", "👎🏿", "thumbs_down", "Thumbs Down", "thumbs-down", "thumbsdown", "down", "dislike", "DISLIKED"],
    ),
    (Thumbs, "bad", [-1, -1.0, "-1", "−1", "-١", False, "لم يعجبني"]),
    (YesNo, "good", ["نعم", "صح", "صحيح", "yes", "Y", "true", "True", "✅", True, "أجل"]),
    (YesNo, "bad", ["لا", "خطأ", "خطا", "غلط", "no", "N", "false", "❌", False, "غير صحيح"]),
]
REFUSED: list[tuple[type[Labels], str, list[Any]]] = [
    (Academic, "label_unrecognised", [1, 5, "4", "80%", True, "نعم", "جيد لكن بطيء", "good enough", []]),
    (Acceptance, "label_unrecognised", [1, 0, True, "جيد", "maybe", "غير جيد", "1"]),
    (Agreement, "label_unrecognised", [True, "جيد", "agree?no"]),
    (Agreement, "out_of_scale", [0, 6, -1, "7"]),
    (Agreement, "contradictory_verdicts", ["٤ - لا أوافق", "1. أوافق بشدة", "5 - أوافق"]),
    (Satisfaction, "label_unrecognised", [False, "جيد", {}]),
    (Satisfaction, "contradictory_verdicts", ["1 - راضٍ"]),
    (Stars, "label_unrecognised", [True, "نعم", "👍"]),
    (Stars, "out_of_scale", [0, 6, "0", "★★★★★★", math.nan]),
    (Stars, "contradictory_verdicts", ["1 - ممتاز", "5 - جيد"]),
    (Rating, "label_unrecognised", [True, False, "جيد", "nan"]),
    (Rating, "out_of_scale", [0, 6, "0", -1, math.inf]),
    (Percent, "label_unrecognised", [True, "★★★★", "خمسة", "جيد"]),
    (Percent, "out_of_scale", [-1, 101, "101%", "-5%"]),
    (Thumbs, "label_unrecognised", [0, 0.0, "0", "٠", 2, -2, 0.5, "2", "-", "yes", "up up", "1%", math.nan, [1]]),
    (YesNo, "label_unrecognised", [1, 0, "1", "جيد", "ربما", "yes and no", []]),
]


def cases(table: list[tuple[type[Labels], str, list[Any]]]) -> list[Any]:
    return [
        pytest.param(plugin, expected, cell, id=f"{plugin.__name__}-{expected or 'middle'}-{cell!r}")
        for plugin, expected, cells in table
        for cell in cells
    ]


@pytest.mark.parametrize(("plugin", "label", "cell"), cases(READS))
def test_a_cell_is_read(plugin: type[Labels], label: str, cell: Any) -> None:
    reading = plugin().read(cell)  # type: ignore[call-arg]
    assert reading is not None
    assert reading.label == label
    assert 0 <= reading.position <= 1


@pytest.mark.parametrize(("plugin", "reason", "cell"), cases(REFUSED))
def test_a_cell_is_refused(plugin: type[Labels], reason: str, cell: Any) -> None:
    with pytest.raises(KTOLabelError, match=r"is no |lies outside|disagree") as caught:
        plugin().read(cell)  # type: ignore[call-arg]
    assert caught.value.reason == reason


@pytest.mark.parametrize("name", ALL)
def test_a_module_names_its_one_plugin(name: str) -> None:
    module = importlib.import_module(f"ktoformats_plugins.labels.{name}")
    assert module.ktoformats_plugins() == [ALL[name]]
    assert issubclass(ALL[name], Plugin)


@pytest.mark.parametrize("name", ALL)
def test_a_plugin_says_what_it_reads_and_nothing_of_null(name: str) -> None:
    plugin = ALL[name]()  # type: ignore[call-arg]
    assert (ALL[name].__doc__ or "").startswith("Reads ")
    assert plugin.describe().startswith(f"scale {name.replace('_', '-')!r} (")
    assert plugin.read(None) is plugin.read(" ") is None
    assert ALL[name].model_validate(plugin.model_dump()) == plugin


@pytest.mark.parametrize(("plugin", "label"), [(Academic, "bad"), (Stars, ""), (Acceptance, "good")])
def test_one_word_has_the_label_of_its_scale(plugin: type[Labels], label: str) -> None:
    reading = plugin().read("مقبول")  # type: ignore[call-arg]
    assert reading is not None
    assert reading.label == label


@pytest.mark.parametrize(
    ("plugin", "worst_first"),
    [
        (Academic, "راسب|ضعيف|مقبول|جيد|جيد جداً|ممتاز"),
        (Stars, "سيئ جداً|سيئ|مقبول|جيد|ممتاز"),
        (Agreement, "لا أوافق بشدة|لا أوافق|محايد|أوافق|أوافق بشدة"),
        (Satisfaction, "غير راضٍ تماماً|غير راضٍ|محايد|راضٍ|راضٍ تماماً"),
    ],
)
def test_grades_stand_at_even_steps_worst_first(plugin: type[Labels], worst_first: str) -> None:
    readings = [plugin().read(word) for word in worst_first.split("|")]  # type: ignore[call-arg]
    positions = [reading.position for reading in readings if reading]
    assert positions == [number / (len(readings) - 1) for number in range(len(readings))]


@pytest.mark.parametrize("cell", [0, 0.0, "0", "٠"])
def test_what_a_thumb_of_nought_means_is_an_option(cell: Any) -> None:
    with pytest.raises(KTOLabelError, match="is no thumb; say what it means with the option `zero: unjudged` or"):
        Thumbs().read(cell)
    assert Thumbs(zero="unjudged").read(cell) is None
    down = Thumbs(zero="down").read(cell)
    assert down is not None
    assert (down.label, down.position) == ("bad", 0.0)


def test_the_middle_of_a_scale_is_an_option() -> None:
    scale = Rating().scale.model_copy(update={"neutral": "bad"})
    reading = Rating(scale=scale).read(3)
    assert reading is not None
    assert reading.label == "bad"
