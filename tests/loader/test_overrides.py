"""Overridden methods of the specification really decide, or are an error."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import KTODataConfig, KTODataError, KTODataLoader, KTOLabelError
from ktoformats.overrides import METHODS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

RECORDS: list[dict[str, Any]] = [
    {"prompt": "q1", "response": "a long and good answer", "label": "good"},
    {"prompt": "q2", "response": "short", "label": "bad"},
    {"prompt": "q3", "response": "an answer of five words", "rating": 5},
    {"prompt": "q4", "chosen": "yes indeed", "rejected": "no way"},
    {"prompt": "q5", "responses": ["x one", "y two"], "rankings": [1, 2]},
    {"messages": [{"role": "user", "content": "q6"}, {"role": "assistant", "content": "talk"}], "label": 0},
    {"prompt": "q7", "response": "جواب", "تقييم": "ممتاز"},
]


@pytest.fixture
def run(lines: Callable[..., Path]) -> Callable[..., list[dict[str, Any]]]:
    def load(cls: type[KTODataLoader], records: list[Any] = RECORDS, **options: Any) -> list[dict[str, Any]]:
        values = {"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False} | options
        loader = cls(KTODataConfig(train_file=lines(records), **values), enable_cache=False)
        samples = list(loader.load_dataset("train"))
        loader.report.check()
        run.loader = loader  # type: ignore[attr-defined]
        return samples

    return load


def test_labels(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _normalize_kto_label(self, sample: dict[str, Any]) -> str:
            if "rating" in sample:
                return "bad"
            return super()._normalize_kto_label(sample)

    labels = {s["prompt"]: s["label"] for s in run(Loader) if s["preference_type"] == "binary"}
    assert labels == {"q1": "good", "q2": "bad", "q3": "bad", "q6": "bad", "q7": "good"}


def test_a_label_override_that_returns_nonsense_rejects(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _normalize_kto_label(self, sample: dict[str, Any]) -> str:
            return "maybe" if sample.get("label") == "good" else super()._normalize_kto_label(sample)

    assert len(run(Loader)) == len(run(KTODataLoader)) - 1
    [reject] = run_loader(Loader, run).report.rejects
    assert reject.reason == "label_unrecognised"
    assert "Loader._normalize_kto_label returned 'maybe'" in reject.message


def run_loader(cls: type[KTODataLoader], run: Callable[..., Any]) -> KTODataLoader:
    """The loader of a new run."""
    found: list[KTODataLoader] = []

    class Seen(cls):  # type: ignore[misc, valid-type]
        def load_dataset(self, split: str = "train") -> Any:
            found.append(self)
            return super().load_dataset(split)

    Seen.__name__ = cls.__name__
    run(Seen)
    return found[0]


def test_labels_of_records_without_a_verdict_column(run: Callable[..., Any]) -> None:
    """An override may know the verdict from a column that no format reads."""

    class Loader(KTODataLoader):
        def _normalize_kto_label(self, sample: dict[str, Any]) -> str:
            return "good" if sample["clicks"] > 10 else "bad"

    records = [{"prompt": "q", "response": "a", "clicks": 20}, {"prompt": "q", "response": "b", "clicks": 1}]
    assert [s["label"] for s in run(Loader, records)] == ["good", "bad"]


def test_quality_and_utility(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _calculate_response_quality(self, response: str) -> float:  # type: ignore[override]
            return min(len(response) / 100, 1.0)

        def _calculate_kto_utility(self, sample: dict[str, Any]) -> float:
            return float(sample["response_quality"]) * 7

    for sample in run(Loader):
        assert sample["response_quality"] == len(sample["response"]) / 100
        assert sample["utility_score"] == sample["response_quality"] * 7


def test_quality_override_feeds_the_utility(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _calculate_response_quality(self, response: str, prompt: str = "") -> float:
            return 0.25 if prompt == "q1" else 0.5

    for sample in run(Loader):
        quality = 0.25 if sample["prompt"] == "q1" else 0.5
        expected = quality**0.88 if sample["label"] == "good" else -2.25 * (1 - quality) ** 0.88
        assert sample["utility_score"] == pytest.approx(expected)


@pytest.mark.parametrize("value", [1.5, float("inf"), -0.1])
def test_a_quality_out_of_range_is_an_error(run: Callable[..., Any], value: float) -> None:
    class Loader(KTODataLoader):
        def _calculate_response_quality(self, response: str, prompt: str = "") -> float:
            return value

    with pytest.raises(
        KTODataError, match=r"Loader\._calculate_response_quality returned .*, expected a number from 0 to 1"
    ):
        run(Loader)


def test_validation(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def validate_sample(self, sample: dict[str, Any]) -> bool:
            return sample.get("prompt") != "q1" and super().validate_sample(sample)

    assert "q1" not in {s["prompt"] for s in run(Loader)}
    assert run_loader(Loader, run).report.total.rejected == {"refused_by_override": 1}


def test_validation_of_one_format(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _validate_pairwise_format(self, sample: dict[str, Any]) -> bool:
            return False

    assert {s["prompt"] for s in run(Loader)} == {"q1", "q2", "q3", "q5", "q6", "q7"}


def test_processing(run: Callable[..., Any]) -> None:
    """What process_sample returns is what is in the dataset, scores included."""

    class Loader(KTODataLoader):
        def process_sample(self, sample: dict[str, Any]) -> Any:
            made = super().process_sample(sample)
            for one in made if isinstance(made, list) else [made]:
                one["prompt"] = one["prompt"].upper()
                one["utility_score"] = 3.0
            return made

    samples = run(Loader)
    assert [s["prompt"] for s in samples] == ["Q1", "Q2", "Q3", "Q4", "Q4", "Q5", "Q5", "Q6", "Q7"]
    assert {s["utility_score"] for s in samples} == {3.0}
    assert [s["preference_type"] for s in samples[3:7]] == [
        "pairwise_positive",
        "pairwise_negative",
        "ranking_positive",
        "ranking_negative",
    ]


def test_processing_of_one_format(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _process_pairwise_format(self, sample: dict[str, Any]) -> list[dict[str, Any]]:
            return super()._process_pairwise_format(sample)[:1]

    assert [s["response"] for s in run(Loader) if s["prompt"] == "q4"] == ["yes indeed"]


def test_detection(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _detect_kto_format(self, sample: dict[str, Any]) -> str:
            if sample.get("prompt") == "q1":
                raise ValueError("not that one")
            return super()._detect_kto_format(sample)

    assert "q1" not in {s["prompt"] for s in run(Loader)}
    [reject] = run_loader(Loader, run).report.rejects
    assert (reject.reason, reject.message) == ("unknown_shape", "not that one")


def test_filters(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _should_filter_by_length(self, sample: dict[str, Any]) -> bool:
            return bool(len(sample["response"]) < 6)

        def _should_filter_by_utility(self, sample: dict[str, Any]) -> bool:
            return bool(sample["prompt"] == "q3")

    responses = {s["response"] for s in run(Loader)}
    assert responses == {s["response"] for s in run(KTODataLoader) if len(s["response"]) >= 6 and s["prompt"] != "q3"}


def test_filtering_and_balancing_of_the_whole(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _apply_kto_filtering(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [sample for sample in super()._apply_kto_filtering(data) if sample["prompt"] != "q2"]

        def _balance_kto_labels(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return data[:2]

    assert [s["prompt"] for s in run(Loader, balance_labels=True)] == ["q1", "q3"]
    dropped = run_loader(Loader, run).report.dropped_by()
    assert dropped == {"override": {"refused_by_override": {"good": 0, "bad": 1}}}


def test_filtering_must_not_change_samples(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _apply_kto_filtering(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
            data[0]["response"] = "something else"
            return data

    with pytest.raises(KTODataError, match="_apply_kto_filtering returned a sample that it was not given"):
        run(Loader)


def test_records_and_dataset(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _load_raw_data(self, split: str) -> Iterator[Any]:
            yield from RECORDS[:2]

        def _create_dataset(self, data: list[dict[str, Any]]) -> Any:
            return [sample["prompt"] for sample in data]

    assert run(Loader) == ["q1", "q2"]


def test_conversation_context(run: Callable[..., Any]) -> None:
    class Loader(KTODataLoader):
        def _process_conversation_context(self, conversation: list[Any]) -> list[dict[str, str]]:
            return super()._process_conversation_context(conversation)[-1:]

    talk = [{"role": ("user", "assistant")[i % 2], "content": f"t{i}"} for i in range(3)]
    [sample] = run(Loader, [{"conversation": talk, "response": "r", "label": 1}])
    assert (sample["prompt"], sample["conversation"]) == ("t2", [])


def test_every_method_has_a_test_above() -> None:
    """A method that is listed as an override point is tested, by its own name or its format's siblings."""
    text = Path(__file__).read_text(encoding="utf-8")
    siblings = {"_process_binary_format", "_process_ranking_format", "_process_conversation_format"}
    siblings |= {"_process_arabic_rating_format", "_validate_binary_format", "_validate_ranking_format"}
    siblings |= {"_validate_conversation_format", "_validate_arabic_rating_format", "_process_preference_sample"}
    siblings |= {"_validate_preference_format", "_should_filter_by_quality"}
    assert {name for name in METHODS if f"def {name}(" not in text} == siblings


def test_methods_work_on_single_samples() -> None:
    """Called by hand, the specification's methods do what the pipeline does."""
    loader = KTODataLoader(KTODataConfig(), enable_cache=False)
    record = {"prompt": "q", "response": "a fine answer", "label": "ممتاز"}
    assert loader.validate_sample(record)
    assert loader._detect_kto_format(record) == "binary"
    assert loader._normalize_kto_label(record) == "good"
    processed = loader.process_sample(record)
    assert isinstance(processed, dict)
    assert processed["utility_score"] == loader._calculate_kto_utility(processed)
    assert processed["response_quality"] == loader._calculate_response_quality("a fine answer", "q")
    assert [s["label"] for s in loader._process_pairwise_format({"prompt": "q", "chosen": "a", "rejected": "b"})] == [
        "good",
        "bad",
    ]
    assert not loader._validate_binary_format({"prompt": "", "response": "a", "label": 1})
    assert not loader._should_filter_by_length(processed)
    with pytest.raises(KTOLabelError, match="-1 lies outside scale"):
        loader._normalize_kto_label({"label": -1})
    with pytest.raises(ValueError, match="No label found in sample"):
        loader._normalize_kto_label({"response": "a"})
    assert loader._balance_kto_labels([]) == []


def test_overrides_run_in_process(run: Callable[..., Any], caplog: pytest.LogCaptureFixture) -> None:
    """Worker processes cannot hold an override: the build stays here, and says so."""

    class Loader(KTODataLoader):
        def _normalize_kto_label(self, sample: dict[str, Any]) -> str:
            return "good"

    with caplog.at_level("INFO", logger="ktoformats"):
        run(Loader, preprocessing_num_workers=4)
    assert "Overridden methods run in this process: _normalize_kto_label" in caplog.text
