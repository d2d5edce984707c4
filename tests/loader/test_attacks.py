"""What a hostile reviewer found once, and must not find again."""

from __future__ import annotations

import sys
import tracemalloc
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import (
    KTODataConfig,
    KTODataLoader,
    Labels,
    PluginContractError,
    Reading,
    Scale,
    scale_of,
)
from ktoformats.convert.labels import LabelReader
from ktoformats.store.digests import Digests

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RATED = [{"prompt": f"p{n}", "response": "an answer", "rating": n} for n in range(1, 6)]


odd_reading: Any = Reading


def labels(samples: Any) -> list[str]:
    return [sample["label"] for sample in samples]


class Threshold(KTODataLoader):
    """Decides by something that its source does not show."""

    threshold = 2

    def _normalize_kto_label(self, sample: dict[str, Any]) -> str:
        return "good" if sample["rating"] >= self.threshold else "bad"


def test_an_overrides_state_is_never_answered_from_the_cache(lines: Callable[..., Path], tmp_path: Path) -> None:
    config = KTODataConfig(train_file=lines(RATED), balance_labels=False, min_samples_per_label=0)
    for threshold in (2, 4):
        loader = Threshold(config, cache_dir=tmp_path / "cache")
        loader.threshold = threshold
        assert labels(loader.load_dataset()) == ["good" if n >= threshold else "bad" for n in range(1, 6)]
        assert not loader.report.cached


def test_a_declared_salt_allows_the_cache(lines: Callable[..., Path], tmp_path: Path) -> None:
    config = KTODataConfig(train_file=lines(RATED), balance_labels=False, min_samples_per_label=0)
    found = []
    for threshold in (2, 2, 4):
        loader = Threshold(config, cache_dir=tmp_path / "cache")
        loader.threshold = threshold
        loader.cache_salt = str(threshold)  # type: ignore[attr-defined]
        found.append((labels(loader.load_dataset()).count("good"), loader.report.cached))
    assert found == [(4, False), (4, True), (2, False)]


def test_a_config_that_was_changed_in_place_reaches_the_workers(lines: Callable[..., Path]) -> None:
    upside_down = Scale(low=1, high=5, good_from=2, bad_to=4, higher_is_better=False)
    found = []
    for workers in (1, 2):
        config = KTODataConfig(train_file=lines(RATED), preprocessing_num_workers=workers, min_samples_per_label=0)
        config.scales["rating"] = {"rating": {"scale": upside_down}}
        config.kto_specific.lambda_param = 1.0
        config.balance_labels = False
        loader = KTODataLoader(config, enable_cache=False)
        found.append([(s["label"], s["utility_score"]) for s in loader.load_dataset()])
    assert found[0] == found[1]
    assert [label for label, _ in found[0]] == ["good", "good", "bad", "bad"]


@pytest.mark.parametrize(
    "reading",
    [Reading("Good", 1, 1, "x"), Reading("positive", 1, 1, "x"), "good", odd_reading("good", 1, "high", "x")],
    ids=str,
)
def test_a_label_plugin_that_says_something_else_is_an_error(reading: Any) -> None:
    class Odd(Labels):
        scale: Scale = scale_of("odd", "a < b", good_from=1, bad_to=0)

        def read(self, cell: Any) -> Any:
            return reading

    with pytest.raises(PluginContractError, match=r"Odd\.read returned .*, expected a Reading"):
        LabelReader({"odd": Odd()}, {}).read("a", "label", "odd")


def test_code_in_a_namespace_package_is_part_of_the_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "company_ns" / "sub").mkdir(parents=True)
    module = tmp_path / "company_ns" / "sub" / "plug.py"
    digests = []
    monkeypatch.syspath_prepend(str(tmp_path))
    for text in ("ANSWER = 1\n", "ANSWER = 2\n"):
        module.write_text(text)
        __import__("company_ns.sub.plug")
        digests.append(Digests(tmp_path).of_code(["company_ns.sub.plug"]))
    assert len(set(digests)) == 2
    for name in [name for name in sys.modules if name.startswith("company_ns")]:
        del sys.modules[name]


@pytest.mark.parametrize(
    "cell", ["❌ صحيح", "👎 good", "good 👎", "✗ yes", "🚫 like", "!good", "¬good", "👍\u20e0", "god", "loose"]
)
def test_a_symbol_that_is_a_verdict_is_never_cut_off(load: Callable[..., Any], cell: str) -> None:
    records = [{"prompt": "p", "response": "r", "label": cell}, {"prompt": "p", "response": "q", "label": 1}]
    samples, loader = load(records)
    assert labels(samples) == ["good"]
    assert loader.report.total.rejected == {"label_unrecognised": 1}


@pytest.mark.parametrize("cell", ["★☆☆☆☆ ممتاز", "❌ ممتاز"])
def test_stars_beside_a_grade_are_not_cut_off(load: Callable[..., Any], cell: str) -> None:
    samples, _ = load([{"prompt": "p", "response": "r", "تقييم": cell}, {"prompt": "p", "response": "q", "تقييم": 1}])
    assert labels(samples) == ["bad"]


@pytest.mark.parametrize("function", ["search", None, 5, ["f"]], ids=str)
def test_odd_tool_calls_do_not_stop_an_export(load: Callable[..., Any], function: Any) -> None:
    talk = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "", "tool_calls": [{"function": function}]},
    ]
    _, loader = load([{"messages": talk, "label": 1}])
    [row] = loader.load_dataset().to_trl()
    assert row["completion"][0]["role"] == "assistant"


def test_pairs_of_conversations_keep_system_tools_and_history(load: Callable[..., Any]) -> None:
    user, one, two = ({"role": r, "content": c} for r, c in (("user", "q"), ("assistant", "a"), ("assistant", "b")))
    history = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
    samples, _ = load(
        [
            {"chosen": [user, one], "rejected": [user, two], "system": "S", "tools": [{"name": "f"}]},
            {
                "prompt": "q",
                "conversation": history,
                "chosen": [user, one],
                "rejected": "b",
                "tools": [{"name": "f"}],
            },
        ]
    )
    assert len(samples) == 4
    assert {s["tools"] for s in samples} == {'[{"name":"f"}]'}
    assert {s["system"] for s in samples[:2]} == {"S"}
    assert samples[2]["conversation"] == samples[3]["conversation"] == [*history, user]


def test_answers_that_differ_in_their_tool_calls_are_not_identical(load: Callable[..., Any]) -> None:
    answers = [{"role": "assistant", "content": "", "tool_calls": [{"function": {"name": n}}]} for n in "ab"]
    samples, _ = load([{"prompt": "q", "responses": answers, "rankings": [1, 2]}])
    assert labels(samples) == ["good", "bad"]


def test_a_remembered_refusal_keeps_no_records_alive(load: Callable[..., Any]) -> None:
    good = [{"prompt": "p", "response": "r", "label": 1}]
    tracemalloc.start()
    try:
        load([*good, *({"question": "x" * 2000} for _ in range(5000))], on_error="skip")
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 8_000_000


def test_very_long_rankings_are_no_trap(load: Callable[..., Any]) -> None:
    count = 50_000
    samples, _ = load([{"prompt": "q", "responses": [f"r{i}" for i in range(count)], "rankings": list(range(count))}])
    assert [s["response"] for s in samples] == ["r0", f"r{count - 1}"]


def test_calling_super_leaves_unjudged_answers_unjudged(load: Callable[..., Any], lines: Callable[..., Path]) -> None:
    class Plain(KTODataLoader):
        def _normalize_kto_label(self, sample: dict[str, Any]) -> str:
            return super()._normalize_kto_label(sample)

    records = [
        {"prompt": "p", "response": "r", "label": 1},
        {"prompt": "p", "response": "r2", "label": None},
        {"prompt": "p", "response": "r3", "rating": 3},
        {"prompt": "p", "response": "r4", "تقييم": 4},
        {"prompt": "p", "response": "r5", "تقييم": "ضعيف"},
    ]
    expected, reference = load(records)
    config = KTODataConfig(train_file=lines(records), balance_labels=False, min_samples_per_label=0)
    loader = Plain(config, enable_cache=False)
    assert labels(loader.load_dataset()) == labels(expected)
    assert (
        loader.report.total.without_verdict
        == reference.report.total.without_verdict
        == {"null_verdict": 1, "neutral": 1}
    )


def test_calling_super_in_list_methods_works_with_repeats(lines: Callable[..., Path]) -> None:
    class Listed(KTODataLoader):
        def _balance_kto_labels(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return super()._balance_kto_labels(data)

        def _create_dataset(self, data: list[dict[str, Any]]) -> Any:
            return super()._create_dataset(data)

    records = [{"prompt": "p", "response": "same", "label": 1}] * 30 + [
        {"prompt": "p", "response": "b", "label": 0}
    ] * 3
    loader = Listed(KTODataConfig(train_file=lines(records), min_samples_per_label=0), enable_cache=False)
    made = loader.load_dataset()
    assert len(made) == 6
    assert len(made.to_trl()) == 6


def test_balanced_pairs_stay_whole_when_labels_are_balanced(load: Callable[..., Any]) -> None:
    pairs = [{"prompt": f"p{i}", "chosen": "good one", "rejected": "bad one"} for i in range(40)]
    bad = [{"prompt": f"b{i}", "response": "bad", "label": 0} for i in range(60)]
    samples, _ = load([*pairs, *bad], balance_labels=True, pairwise_sampling_strategy="balanced")
    sides: dict[str, set[str]] = {}
    for sample in samples:
        if sample["preference_type"].startswith("pairwise"):
            sides.setdefault(sample["prompt"], set()).add(sample["label"])
    assert all(labels == {"good", "bad"} for labels in sides.values())


def test_a_mask_selects_like_a_mask(load: Callable[..., Any]) -> None:
    import numpy as np

    _, loader = load(RATED)
    made = loader.load_dataset()
    assert list(made.select(np.array([False, True, False, True]))) == [made[1], made[3]]


def test_unreadable_values_are_counted_alike_by_any_number_of_workers(lines: Callable[..., Path]) -> None:
    rows = [{"prompt": "p" * 900, "response": "r", "label": f"z{i % 97}"} for i in range(4000)]
    path = lines([{"prompt": "p", "response": "r", "label": i} for i in (0, 1)] + rows)
    found = []
    for workers in (1, 3):
        config = KTODataConfig(
            train_file=path, preprocessing_num_workers=workers, on_error="skip", min_samples_per_label=0
        )
        loader = KTODataLoader(config, enable_cache=False)
        loader.load_dataset()
        found.append(loader.report.to_json()["total"]["unknown_values"])
    assert found[0] == found[1]
    assert len(found[0]) == 50
    assert found[0][0] == {"field": "label", "value": "'z0'", "records": 42, "first_line": 3}


def test_the_choice_between_a_pairs_side_and_its_repeat_does_not_hang_on_order(load: Callable[..., Any]) -> None:
    pairs = [{"prompt": f"q{i}", "chosen": "a", "rejected": "b"} for i in range(20)]
    singles = [{"prompt": f"q{i}", "response": "a", "label": 1} for i in range(20)]
    options = {"balance_labels": True, "label_imbalance_tolerance": 0.0, "pairwise_sampling_strategy": "balanced"}
    found = []
    for records in ([*pairs, *singles], [*singles, *pairs], [*pairs, *singles][::-1]):
        samples, _ = load(records, **options)
        found.append(sorted((s["id"], s["label"], s["preference_type"]) for s in samples))
    assert found[0] == found[1] == found[2]
