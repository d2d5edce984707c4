"""What another choice or scale would give is what it gives, and no source is read for it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import ConfigError, KTODataConfig, KTODataLoader
from ktoformats.convert.labels import LabelReader
from ktoformats.report.whatif import what_if

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RATED = [
    {"prompt": f"Question {n}?", "response": f"Answer {n}" + " more" * (n % 11), "rating": 1 + n % 5}
    for n in range(200)
]
STRICTER = {"rating": {"low": 1, "high": 5, "good_from": 5, "bad_to": 2}}


@pytest.fixture
def asked(lines: Callable[..., Path], tmp_path: Path) -> Callable[..., Any]:
    """Ask; the loader has read the file, which is then taken away."""

    def run(changes: dict[str, Any], **options: Any) -> tuple[Any, dict[str, int]]:
        path = lines(RATED)
        values: dict[str, Any] = {"train_file": path, "balance_labels": False, "require_both_labels": False} | options
        really = KTODataLoader(KTODataConfig(**values | changes), enable_cache=False)
        really.load_dataset("train")
        loader = KTODataLoader(KTODataConfig(**values), cache_dir=tmp_path / "cache")
        loader.load_dataset("train")
        path.unlink()
        changed = KTODataConfig(**values | changes)
        return what_if(loader, changed, tuple(map(str, changes))), dict(really.report.kept)

    return run


@pytest.mark.parametrize(
    "changes",
    [
        {"max_response_length": 40},
        {"min_response_length": 20, "max_response_length": 40},
        {"balance_labels": True, "label_imbalance_tolerance": 0.0},
        {"balance_labels": True, "random_seed": 9},
        {"min_utility_threshold": 0.5},
        {"duplicates": "drop"},
        {"scales": STRICTER},
    ],
    ids=str,
)
def test_the_answer_is_what_the_change_gives(asked: Callable[..., Any], changes: dict[str, Any]) -> None:
    answer, kept = asked(changes)
    assert answer.after == kept
    assert answer.before == {"good": 80, "bad": 80}


def test_a_change_that_moves_no_sample_may_change_what_is_warned_of(asked: Callable[..., Any]) -> None:
    answer, kept = asked({"min_samples_per_label": 50})
    assert answer.before == answer.after == kept
    few = "train: only 80 good and 80 bad samples, fewer than min_samples_per_label (100)"
    assert answer.notes == (f"no longer warned: {few}",)
    answer, _ = asked({"min_samples_per_label": 81}, min_samples_per_label=10)
    assert answer.notes == (f"then warned: {few.replace('100', '81')}",)


def test_a_scale_moves_labels_and_tells_what_it_cannot_see(asked: Callable[..., Any]) -> None:
    answer, _ = asked({"scales": STRICTER})
    assert answer.moves == ("40 samples: labelled good, then neutral",)
    assert answer.notes[0] == "40 verdicts in the middle of their scale gave no sample, and are not asked"
    assert answer.to_json()["after"] == {
        "good": 40,
        "bad": 80,
        "weights": {"desirable_weight": 2.0, "undesirable_weight": 1.0},
    }


def test_only_the_column_that_is_asked_about_is_read_again(
    lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    thumbs = [{"prompt": f"Q{n}?", "response": f"A{n}", "label": n % 2} for n in range(10)]
    values: dict[str, Any] = {"train_file": lines([*RATED, *thumbs]), "balance_labels": False}
    loader = KTODataLoader(KTODataConfig(**values), enable_cache=False)
    loader.load_dataset("train")
    read = LabelReader.read
    columns = set()

    def noted(self: LabelReader, cell: Any, field: str, scale: Any) -> Any:
        columns.add(field)
        return read(self, cell, field, scale)

    monkeypatch.setattr(LabelReader, "read", noted)
    answer = what_if(loader, KTODataConfig(**values, scales=STRICTER), ())
    assert columns == {"rating"}
    assert answer.after == {"good": 45, "bad": 85}


def test_cells_that_the_other_scale_cannot_read_are_told(asked: Callable[..., Any]) -> None:
    answer, _ = asked({"scales": {"rating": {"low": 1, "high": 4, "good_from": 4, "bad_to": 2}}}, on_error="skip")
    assert "40 samples: labelled good, then unreadable" in answer.moves


@pytest.mark.parametrize(
    ("changes", "names"),
    [
        ({"formats": ["binary"]}, "formats"),
        ({"quality": "specification"}, "quality"),
        ({"rating_column": "stars"}, "rating_column"),
        ({"min_response_length": 0}, "a minimum length of 0"),
    ],
)
def test_what_decides_how_records_are_read_is_refused(
    asked: Callable[..., Any], changes: dict[str, Any], names: str, lines: Callable[..., Path]
) -> None:
    path = lines(RATED)
    values: dict[str, Any] = {"train_file": path, "balance_labels": False, "min_samples_per_label": 1}
    loader = KTODataLoader(KTODataConfig(**values), enable_cache=False)
    message = re.escape(f"--what-if: {names} decides how records are read")
    with pytest.raises(ConfigError, match=message):
        what_if(loader, KTODataConfig(**values | changes), ())


def test_a_seed_that_chose_sides_of_pairs_is_refused(lines: Callable[..., Path]) -> None:
    pairs = [{"prompt": f"q{n}", "chosen": f"a{n}", "rejected": f"b{n}"} for n in range(9)]
    values: dict[str, Any] = {
        "train_file": lines(pairs),
        "pairwise_sampling_strategy": "random",
        "balance_labels": False,
    }
    loader = KTODataLoader(KTODataConfig(**values), enable_cache=False)
    with pytest.raises(ConfigError, match="random_seed decides how records are read"):
        what_if(loader, KTODataConfig(**values, random_seed=1), ())
