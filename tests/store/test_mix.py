"""Several sources in one data set: each in its own layout, in the numbers that were asked for."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import ConfigError, KTOConfig, KTODataConfig, KTODataLoader, SourceError

if TYPE_CHECKING:
    from pathlib import Path

    from ktoformats import Report

ASKED: dict[str, Any] = {"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False}
OF_TEN = {"rating": {"low": 1, "high": 10, "good_from": 8, "bad_to": 4}}


@pytest.fixture
def five(tmp_path: Path) -> dict[str, Any]:
    """400 samples on a scale from 1 to 5, half of them good."""
    path = tmp_path / "five.jsonl"
    path.write_text(
        "".join(json.dumps({"prompt": f"p{n}", "response": f"r{n}", "rating": 1 + n % 5}) + "\n" for n in range(500))
    )
    return {"path": str(path)}


@pytest.fixture
def ten(tmp_path: Path) -> dict[str, Any]:
    """210 samples on a scale from 1 to 10 under other columns, 90 of them good; and one broken line."""
    path = tmp_path / "ten.jsonl"
    lines = [json.dumps({"q": f"q{n}", "a": f"a{n}", "rating": 1 + n % 10}) for n in range(300)]
    path.write_text("\n".join([*lines, "{broken"]) + "\n")
    return {"path": str(path), "columns": {"prompt": "q", "response": "a"}, "scales": OF_TEN}


def load(tmp_path: Path, *sources: dict[str, Any], **settings: Any) -> tuple[list[dict[str, Any]], Report]:
    config = KTODataConfig(sources=list(sources), **ASKED | settings)
    loader = KTODataLoader(config, cache_dir=tmp_path / "cache")
    samples = list(loader.load_dataset("train"))
    loader.report.check()
    return samples, loader.report


def counts(samples: list[dict[str, Any]]) -> dict[str, tuple[int, int]]:
    """File to good and bad samples."""
    found = Counter((one["source"].rsplit("/", 1)[1].removesuffix(".jsonl"), one["label"]) for one in samples)
    return {name: (found[name, "good"], found[name, "bad"]) for name, _ in found}


def test_each_source_is_read_on_its_own_scale(tmp_path: Path, five: dict[str, Any], ten: dict[str, Any]) -> None:
    samples, report = load(tmp_path, five, ten)
    assert counts(samples) == {"five": (200, 200), "ten": (90, 120)}
    assert report.total.rejected.total() == 1
    assert report.warnings == []


@pytest.mark.parametrize(
    ("weights", "settings", "expected"),
    [
        ((1, 1), {}, {"five": (105, 105), "ten": (90, 120)}),
        ((3, 1), {}, {"five": (200, 200), "ten": (57, 76)}),
        ((1, 1), {"oversample": True}, {"five": (200, 200), "ten": (171, 229)}),
        ((None, 2), {}, {"five": (200, 200), "ten": (90, 120)}),
        (
            (1, 1),
            {"balance_labels": True, "label_imbalance_tolerance": 0},
            {"five": (90, 90), "ten": (90, 90)},
        ),
    ],
)
def test_weights_give_the_promised_numbers(
    tmp_path: Path,
    five: dict[str, Any],
    ten: dict[str, Any],
    weights: tuple[float | None, float],
    settings: dict[str, Any],
    expected: dict[str, tuple[int, int]],
) -> None:
    first, second = weights
    samples, report = load(tmp_path, five | {"weight": first}, ten | {"weight": second}, **settings)
    assert counts(samples) == expected
    assert len({one["id"] for one in samples}) == len(samples)
    assert report.to_json()["total"]["kept"] == len(samples)


@pytest.mark.parametrize(
    ("limit", "expected"),
    [(100, (50, 50)), ({"good": 10}, (10, 200)), ({"good": 10, "bad": 20}, (10, 20)), (10_000, (200, 200))],
)
def test_limits(tmp_path: Path, five: dict[str, Any], limit: Any, expected: tuple[int, int]) -> None:
    samples, _ = load(tmp_path, five | {"limit": limit})
    assert counts(samples) == {"five": expected}


def test_what_is_left_does_not_depend_on_order_or_cache(
    tmp_path: Path, five: dict[str, Any], ten: dict[str, Any]
) -> None:
    sources = [five | {"weight": 1, "limit": 90}, ten | {"weight": 2}]
    one, report = load(tmp_path, *sources)
    assert not report.cached
    other, report = load(tmp_path, *sources[::-1])
    assert report.cached
    assert {sample["id"] for sample in one} == {sample["id"] for sample in other}


def test_tags_and_licence_go_with_the_samples(tmp_path: Path, five: dict[str, Any], ten: dict[str, Any]) -> None:
    samples, _ = load(tmp_path, five, ten | {"tags": ["forum"], "licence": "CC-BY-4.0", "keep": ["q"]})
    assert samples[0]["kept"] == {}
    assert samples[-1]["kept"] == {"q": "q299", "tags": '["forum"]', "licence": "CC-BY-4.0"}


def test_rejects_of_all_sources_are_one_file(tmp_path: Path, five: dict[str, Any], ten: dict[str, Any]) -> None:
    with (tmp_path / "five.jsonl").open("a") as stream:
        stream.write("also broken\n")
    target = tmp_path / "rejects.jsonl"
    load(tmp_path, five, ten, rejects_file=target)
    told = [json.loads(line) for line in target.read_text().splitlines()]
    assert [(one["source"].rsplit("/", 1)[1], one["line"]) for one in told] == [
        ("five.jsonl", 501),
        ("ten.jsonl", 301),
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cache", "five.jsonl", "rejects.jsonl", "ten.jsonl"]


def test_sources_stand_beside_train_file_and_in_other_splits(
    tmp_path: Path, five: dict[str, Any], ten: dict[str, Any]
) -> None:
    config = KTODataConfig(train_file=five["path"], sources=[ten | {"split": "test"}], **ASKED)
    loader = KTODataLoader(config, enable_cache=False)
    assert counts(list(loader.load_dataset("train"))) == {"five": (200, 200)}
    assert counts(list(loader.load_dataset("test"))) == {"ten": (90, 120)}
    with pytest.raises(ConfigError, match="no source names split 'validation'"):
        loader.load_dataset("validation")


def test_a_file_of_two_sources_is_an_error(tmp_path: Path, five: dict[str, Any]) -> None:
    with pytest.raises(SourceError, match="the same file"):
        load(tmp_path, five, five)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            {"path": "x", "columns": {"promt": "q"}},
            "source x: promt_column: unknown key; did you mean 'prompt_column'",
        ),
        ({"path": "x", "format": "binary", "formats": ["default"]}, "format is the short form of formats"),
        ({"path": "x", "limit": 0}, "expected a number from 1 on"),
        ({"path": "x", "weight": -1}, "weight: expected a number greater than 0, got -1"),
        ({"path": "x", "wieght": 1}, "wieght: unknown key"),
    ],
)
def test_what_cannot_be_meant_is_an_error(tmp_path: Path, source: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load(tmp_path, source)


def test_sources_from_yaml(tmp_path: Path, five: dict[str, Any], ten: dict[str, Any]) -> None:
    path = tmp_path / "kto.yaml"
    path.write_text(
        f"data:\n  balance_labels: false\n  sources:\n    - {{path: {five['path']}, weight: 1}}\n"
        f"    - path: {ten['path']}\n      format: {{mapping: {{prompt: q, candidates: {{c: a}}, "
        "verdict: {rating: rating, good: 8, bad: 4}}}\n      weight: 1\n"
    )
    loader = KTODataLoader(KTOConfig.from_yaml(path).data, enable_cache=False)
    assert counts(list(loader.load_dataset("train"))) == {"five": (105, 105), "ten": (90, 120)}
