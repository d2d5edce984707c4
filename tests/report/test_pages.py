"""The page of an audit: what stands on it is what was found, and nothing is left out without a word."""

from __future__ import annotations

import html
import re
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import ConfigError, KTODataConfig, KTODataLoader
from ktoformats.report.audit import Audit, audit_loader
from ktoformats.report.scripts import scripts_of
from ktoformats.report.slices import slices_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

Made = tuple[str, KTODataLoader]

MODELS = ("falcon", "jais", "falcon", "allam")
RECORDS: list[Any] = [
    {
        "prompt": f"ما عاصمة البلد رقم {number}؟",
        "response": f"عاصمة البلد رقم {number} هي مدينة كبيرة" + " جدا" * (number % 7),
        "تقييم": ("ممتاز", "ضعيف", "جيد", "مقبول")[number % 4],
        "model": MODELS[number % 4],
        "asked_at": f"2026-0{1 + number % 3}-15T10:00:00Z",
        "id": f"row-{number}",
    }
    for number in range(60)
]
BROKEN: list[Any] = [b'{"broken', {"prompt": "p", "response": "r", "تقييم": "؟؟"}, {"prompt": "p", "response": "r"}]


@pytest.fixture
def page(lines: Callable[[Iterable[Any]], Path]) -> Callable[..., Made]:
    """The page of some records, and its loader."""

    def make(records: list[Any], samples: int = 200, **options: Any) -> Made:
        values = {"balance_labels": False, "require_both_labels": False, "on_error": "skip", **options}
        loader = KTODataLoader(KTODataConfig(train_file=lines(records), **values), enable_cache=False)
        return audit_loader(loader).to_html(samples), loader

    return make


def cells(text: str, caption: str) -> list[list[str]]:
    """The rows of a table, as text."""
    found = re.search(rf"<caption>{re.escape(caption)}</caption>.*?<tbody>(.*?)</tbody>", text, re.DOTALL)
    assert found is not None, caption
    rows = re.findall(r"<tr>(.*?)</tr>", found[1], re.DOTALL)
    return [
        [
            html.unescape(re.sub(r"<[^>]*>", "", cell)).strip()
            for cell in re.findall(r"<t[hd].*?</t[hd]>", row, re.DOTALL)
        ]
        for row in rows
    ]


def test_every_line_and_every_sample_is_accounted_for(page: Callable[..., Made]) -> None:
    text, loader = page([*RECORDS, *BROKEN], min_response_length=36)
    total = loader.report.total
    rows = {
        (name, reason.partition(":")[0]): int(count)
        for name, reason, count, _ in cells(text, "From lines to samples")
    }
    assert rows[("Lines read", "")] == 63 == total.lines
    assert rows[("Rejected", "invalid_json")] == 1
    assert rows[("Rejected", "label_unrecognised")] == 1
    lines = sum(
        count for (name, _), count in rows.items() if name in ("Rejected", "Without verdict", "Used, read by")
    )
    assert lines == total.lines
    left_out = sum(count for (name, _), count in rows.items() if name.startswith("Left out"))
    assert left_out == loader.report.dropped_total() > 0
    assert rows[("Samples made", "")] - left_out == rows[("Samples used", "")] == loader.report.samples


def test_reasons_stand_there_with_their_places_and_values(page: Callable[..., Made]) -> None:
    text, loader = page([*RECORDS, *BROKEN])
    source = next(iter(loader.report.ledger.files))
    reasons = {row[0]: row for row in cells(text, "Why records were rejected")}
    assert reasons["label_unrecognised"][1:] == ["The verdict is not a value of its scale.", "1", f"{source}:62"]
    assert cells(text, "Verdicts that no scale could read") == [["تقييم", "'؟؟'", "1", f"{source}:62"]]


def test_lost_answers_have_their_places(page: Callable[..., Made]) -> None:
    torn = [{"prompt": f"p{n}", "chosen": f"c{n}", "rejected": ""} for n in range(9)]
    text, loader = page([*RECORDS, *torn])
    source = next(iter(loader.report.ledger.files))
    assert cells(text, "Answers lost in records that gave other samples") == [
        ["empty_response", "The response is empty.", "9", f"{source}:61, 62, 63, 64, 65"]
    ]
    assert f"empty_response, the first of them: {source}:61, 62, 63, 64, 65" in audit_loader(loader).sections[0].facts


def test_what_an_audit_finds_comes_first_with_what_to_do(page: Callable[..., Made]) -> None:
    text, loader = page([*RECORDS, *RECORDS[:3]])
    found = audit_loader(loader)
    assert [one.rule for one in found.findings if one.severity == "warning"]
    for finding in found.findings:
        assert html.escape(finding.message) in text
        assert html.escape(finding.advice) in text
    assert text.index('id="look"') < text.index('id="flow"') < text.index('id="records"')


def test_weights_are_ready_to_paste(page: Callable[..., Made]) -> None:
    text, loader = page([one for number, one in enumerate(RECORDS) if number % 4 != 3])
    weights = loader.report.weights()
    assert weights == {"desirable_weight": 1.0, "undesirable_weight": 1.5}
    assert '<pre tabindex="0">desirable_weight: 1\nundesirable_weight: 1.5</pre>' in text


def test_slices_count_good_and_bad_by_every_column_that_is_carried(page: Callable[..., Made]) -> None:
    text, loader = page(RECORDS, keep=["model", "asked_at", "id"])
    assert cells(text, "model") == [
        ["falcon", "30", "100.0%", "30 good, 0 bad"],
        ["allam", "15", "0.0%", "0 good, 15 bad"],
        ["jais", "15", "0.0%", "0 good, 15 bad"],
    ]
    assert [row[:2] for row in cells(text, "asked_at")] == [["2026-01", "20"], ["2026-02", "20"], ["2026-03", "20"]]
    assert "id: 60 different values" not in text  # 60 are few enough to be shown in part
    assert "48 more values." in text
    counted = {one.name: one.values for one in slices_of(loader.load_dataset("train"))}
    assert sum(sum(labels.values()) for labels in counted["model"].values()) == 60


def test_samples_that_carry_the_same_are_all_counted(page: Callable[..., Made]) -> None:
    text, _ = page(RECORDS, keep=["model"])
    assert [row[1] for row in cells(text, "model")] == ["30", "15", "15"]


def test_a_column_of_many_values_is_told_and_not_shown(page: Callable[..., Made]) -> None:
    records = [{"prompt": f"q{n}", "response": f"a{n}", "label": n % 2, "id": f"row-{n}"} for n in range(130)]
    text, _ = page(records, keep=["id"])
    assert "id: 130 different values" in text
    assert "row-77" not in re.sub(r"<article.*?</article>", "", text, flags=re.DOTALL)


def test_samples_of_both_labels_of_what_was_left_out_and_of_rejects_are_shown(page: Callable[..., Made]) -> None:
    text, loader = page([*RECORDS, *BROKEN], samples=10, max_response_length=50)
    articles = re.findall(r'<article data-status="(\w+)" data-label="(\w*)"', text)
    counts = Counter(articles)
    assert counts[("kept", "good")] == counts[("kept", "bad")] == 5
    assert counts[("rejected", "")] == 3
    dropped = loader.report.dropped_total()
    assert 0 < sum(count for (status, _), count in counts.items() if status == "dropped") <= min(5, dropped)
    assert f"10 of {loader.report.samples} samples that are used" in text


def test_no_sample_is_shown_where_none_is_wanted(page: Callable[..., Made]) -> None:
    text, _ = page([*RECORDS, *BROKEN], samples=0, max_response_length=50)
    assert "<article" not in text
    assert "جدا" not in text


def test_the_same_data_gives_the_same_page(page: Callable[..., Made], lines: Callable[..., Path]) -> None:
    path = lines(RECORDS)
    made = [
        audit_loader(KTODataLoader(KTODataConfig(train_file=path, balance_labels=True), enable_cache=False)).to_html()
        for _ in range(2)
    ]
    assert made[0] == made[1]


def test_the_report_of_a_loader_is_a_page_as_well(page: Callable[..., Made]) -> None:
    _, loader = page([*RECORDS, *BROKEN])
    text = loader.report.to_html()
    assert cells(text, "From lines to samples")[0][:3] == ["Lines read", "", "63"]
    assert "<article" not in text


def test_an_audit_that_no_loader_made_has_no_page() -> None:
    with pytest.raises(ConfigError, match="a page shows samples: take an audit that audit_loader made"):
        Audit((), 0, ()).to_html()


def test_a_set_of_one_label_has_a_page(page: Callable[..., Made]) -> None:
    text, _ = page(RECORDS[::2])
    assert "one-class" in text
    assert "a label is missing" in text


def test_nothing_but_rejects_is_an_error_and_no_page(page: Callable[..., Made]) -> None:
    with pytest.raises(Exception, match="no sample is left"):
        page(BROKEN)


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("plain English, 1 2 3", "Latin"),
        ("مرحبا بالعالم", "Arabic"),
        ("ﻣﺮﺣﺒﺎ", "Arabic"),
        ("Привет", "Cyrillic"),
        ("שלום", "Hebrew"),
        ("Γειά", "Greek"),
        ("你好世界", "Han"),
        ("こんにちは", "Kana"),
        ("안녕하세요", "Hangul"),
        ("नमस्ते", "Devanagari"),
        ("𠀀𠀁", "Han"),
        ("السلام hello there friend", "Latin and Arabic"),
        ("12 + 3 = 15 👍🏽", "no letters"),
        ("", "no letters"),
        ("\ud800", "no letters"),
    ],
)
def test_scripts(text: str, script: str) -> None:
    assert scripts_of([text, "x"]) == [script, "Latin"]
