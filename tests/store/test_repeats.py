"""One answer with two labels, or twice with the same: found over the whole data set, told, and dropped on request."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import ConfigError, KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from pathlib import Path

    from ktoformats import Report

ASKED: dict[str, Any] = {"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False}


def judged(response: str, label: int, **more: Any) -> dict[str, Any]:
    return {"prompt": "p", "response": response, "label": label, **more}


RECORDS = [
    judged("twice good, once bad", 1, at=1),
    judged("sure", 1),
    judged("twice good, once bad", 0, at="2025-01-01"),
    judged("twice good, once bad", 1, at=3),
    judged("once each", 0, at="2026-03-01T10:00:00Z"),
    judged("once each", 1, at="2026-03-01T11:30:00+02:00"),
    judged("bad", 0),
    judged("bad", 0),
    judged("at no time", 0),
    judged("at no time", 1),
    judged("then good", 0, at=5),
    judged("then good", 1, at=6.5),
    {"prompt": "another", "response": "once each", "label": 1},
    {"prompt": "p", "system": "s", "response": "once each", "label": 1},
]
ALWAYS = [("another", "once each", "good"), ("p", "bad", "bad"), ("p", "bad", "bad"), ("p", "once each", "good")]


def load(folder: Path, records: list[Any], **settings: Any) -> tuple[list[dict[str, Any]], Report]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    loader = KTODataLoader(KTODataConfig(train_file=path, **ASKED | settings), enable_cache=False)
    samples = list(loader.load_dataset("train"))
    loader.report.check()
    return samples, loader.report


def told(samples: list[dict[str, Any]]) -> set[tuple[str, str]]:
    """Response and label of what was in conflict and is left."""
    return {(one["response"], one["label"]) for one in samples if not one["system"] and one["prompt"] == "p"}


@pytest.mark.parametrize(
    ("settings", "left", "dropped"),
    [
        ({"conflict": "drop"}, set(), 9),
        ({"conflict": "majority"}, {("twice good, once bad", "good")}, 7),
        (
            {"conflict": "last", "time_column": "at"},
            {("once each", "bad"), ("then good", "good")},
            7,
        ),
    ],
    ids=["drop", "majority", "last"],
)
@pytest.mark.parametrize("turned", [False, True])
def test_contradictions(
    tmp_path: Path, settings: dict[str, Any], left: set[tuple[str, str]], dropped: int, *, turned: bool
) -> None:
    samples, report = load(tmp_path, RECORDS[::-1] if turned else RECORDS, **settings)
    assert told(samples) == left | {("sure", "good"), ("bad", "bad")}
    [note] = [note for note in report.notes if "judged good and bad" in note]
    assert note.startswith("4 answers are judged good and bad (9 samples), such as ")
    assert sum(sum(one.values()) for one in report.dropped_by()["conflicts"].values()) == dropped


def test_contradictions_are_kept_and_told_unless_asked(tmp_path: Path) -> None:
    samples, report = load(tmp_path, RECORDS)
    assert len(samples) == len(RECORDS)
    [warning] = report.warnings
    assert warning.startswith("4 answers are judged good and bad (9 samples), such as ")
    assert "records.jsonl:" in warning
    assert "conflict: drop, majority or last would decide" in warning


def test_the_last_needs_a_time() -> None:
    with pytest.raises(ConfigError, match="conflict: last needs time_column"):
        KTODataConfig(conflict="last")


@pytest.mark.parametrize(("choice", "kept"), [("report", 2), ("drop", 1)])
def test_repeats(tmp_path: Path, choice: str, kept: int) -> None:
    samples, report = load(tmp_path, [judged("a", 1), judged("b", 0), judged("a", 1)], duplicates=choice)
    assert [one["line"] for one in samples if one["response"] == "a"] == [1, 3][:kept]
    assert bool([note for note in report.notes if note.startswith("1 of 3 samples repeat")]) == (choice == "report")


@pytest.mark.parametrize(("choice", "more"), [("drop", {}), ("majority", {}), ("last", {"time_column": "at"})])
def test_nothing_changes_where_nothing_contradicts(tmp_path: Path, choice: str, more: dict[str, Any]) -> None:
    records = [judged(f"answer {number}", number % 2) for number in range(50)]
    samples, report = load(tmp_path, records, conflict=choice, **more)
    assert len(samples) == 50
    assert report.notes == report.warnings == []


def test_a_preference_by_too_little_is_none(tmp_path: Path) -> None:
    records = [
        {"prompt": "p1", "chosen": "a", "rejected": "b", "score_chosen": 8.5, "score_rejected": 8},
        {"prompt": "p2", "chosen": "c", "rejected": "d", "score_chosen": 8.5, "score_rejected": 4},
        {"prompt": "p3", "chosen": "e", "rejected": "f", "margin": 0.25},
        {"prompt": "p4", "chosen": "g", "rejected": "h"},
    ]
    samples, report = load(tmp_path, records, min_gap=1)
    assert [one["response"] for one in samples] == ["c", "d", "g", "h"]
    assert report.total.without_verdict == {"small_gap": 2}
    assert "min_gap had no effect on 2 samples: their pairs bring no scores" in report.warnings


def test_that_pairs_say_less_than_labels_is_told_once(tmp_path: Path) -> None:
    records = [{"prompt": "p", "chosen": f"a{n}", "rejected": f"b{n}"} for n in range(3)] + [judged("x", 1)]
    _, report = load(tmp_path, records)
    [note] = [note for note in report.notes if "preferences" in note]
    assert note.startswith("6 of 7 samples come from preferences, which say that one answer is better, not that")
