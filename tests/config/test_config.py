"""Configuration: the specification's fields and defaults, strict keys, bounded YAML."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

import ktoformats_plugins
from ktoformats import ConfigError, KTOConfig, KTODataConfig, KTOSpecificConfig, Scale
from ktoformats.config import files
from ktoformats.config.files import parse_yaml, read_yaml

DEFAULTS: dict[str, Any] = {
    # the specification's KTODataConfig
    "label_column": "label",
    "response_column": "response",
    "completion_column": "completion",
    "score_column": "score",
    "rating_column": "rating",
    "balance_labels": True,
    "label_imbalance_tolerance": 0.1,
    "min_samples_per_label": 100,
    "filter_low_utility": True,
    "convert_pairwise_to_binary": True,
    "pairwise_sampling_strategy": "all",
    "arabic_label_mapping": {
        "جيد": "good",
        "ممتاز": "good",
        "مقبول": "good",
        "سيء": "bad",
        "ضعيف": "bad",
        "مرفوض": "bad",
    },
    # no bounds unless set: docs/explanation/differences.md
    "min_utility_threshold": None,
    "max_utility_threshold": None,
    # the base fields that its examples use
    "prompt_column": "prompt",
    "system_column": "system",
    "random_seed": 42,
    "min_prompt_length": 1,
    "max_prompt_length": 100_000,
    "min_response_length": 1,
    "max_response_length": 100_000,
    "streaming": False,
    "buffer_size": 10_000,
    "preprocessing_num_workers": 1,
    "lazy_loading": False,
    "max_samples_in_memory": None,
    "strict": False,
    "ranking_strategy": "best_worst",
}


def test_defaults_are_the_specified_ones() -> None:
    config = KTODataConfig()
    assert {name: getattr(config, name) for name in DEFAULTS} == DEFAULTS
    assert config.kto_specific == KTOSpecificConfig(alpha=0.88, lambda_param=2.25)


def test_every_field_is_described() -> None:
    names = {name for name, field in KTODataConfig.model_fields.items() if not field.description}
    assert {name for name in names if not re.search(r"_column$|_length$|tolerance$|_threshold$", name)} <= {
        "random_seed", "kto_specific", "balance_labels", "filter_low_utility", "convert_pairwise_to_binary", "ranking_ties",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"promt_column": "x"}, r"promt_column: unknown key; did you mean 'prompt_column'\?"),
        ({"balance_labels": "perhaps"}, "balance_labels: .*boolean.*, got 'perhaps'"),
        (
            {"pairwise_sampling_strategy": "some"},
            "pairwise_sampling_strategy: expected 'all', 'balanced' or 'random', got 'some'",
        ),
        ({"kto_specific": {"alhpa": 1}}, r"kto_specific\.alhpa: unknown key; did you mean 'alpha'\?"),
        ({"formats": ["binary", {"binary": {}}]}, "formats: 'binary' is named twice"),
        ({"formats": []}, "formats: .*at least 1"),
        ({"quality": {"a": {}, "b": {}}}, "quality: expected one plugin"),
        ({"random_seed": -1, "buffer_size": 0}, "random_seed: .*; buffer_size: "),
    ],
    ids=str,
)
def test_wrong_values_name_key_and_remedy(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KTODataConfig(**values)
    with pytest.raises(ValueError, match=message):  # it is the builtin that callers expect, too
        KTODataConfig(**values)


def test_assignments_are_checked() -> None:
    config = KTODataConfig()
    with pytest.raises(ValueError, match="buffer_size"):
        config.buffer_size = 0


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "kto.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_from_yaml(tmp_path: Path) -> None:
    text = "model: {model_name: m}\ndata:\n  train_file: [a.jsonl, b.jsonl]\n  scales: {stars: {low: 1, high: 3, good_from: 3, bad_to: 1}}\n"
    config = KTOConfig.from_yaml(write(tmp_path, text))
    assert config.model.model_name == "m"
    assert config.data.train_file == ["a.jsonl", "b.jsonl"]
    assert config.data.scales["stars"] == Scale(name="stars", low=1, high=3, good_from=3, bad_to=1)
    assert KTOConfig.from_yaml(write(tmp_path, "")) == KTOConfig()
    assert KTOConfig.from_yaml(write(tmp_path, b"\xef\xbb\xbfdata: {}\n")) == KTOConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: [\n", r"kto\.yaml, line \d+, column \d+"),
        ("a: &x 1\nb: *x\n", "line 2, column 4: aliases"),
        ("data: {keep: [a], keep: [b]}\n", "key 'keep' stands twice"),
        ("data: !!python/object/apply:os.system ['true']\n", "could not determine a constructor"),
        ("- 1\n", "expected `key: value` lines at the top, got list"),
        ("1: 2\n", "line 1, column 1: key '1' is no text"),
        ("x: " + "[" * 30 + "]" * 30, "more than 20 levels"),
        ("x: [" + "1," * 20_000 + "1]", "more than 20 levels or 10000 values"),
        ("x: 2026-13-45\n", "month must be in"),
        ("x: \x07\n", r"kto\.yaml: unacceptable character #x0007"),
        ("data: {train: 1}\n", r"data\.train: unknown key"),
        (b"\xff\xfe", "not UTF-8"),
        ("x: " + "a" * (1 << 20), "larger than 1048576 bytes"),
    ],
    ids=lambda value: str(value)[:30],
)
def test_yaml_is_bounded_and_strict(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        KTOConfig.from_yaml(write(tmp_path, text))


QUICK = ["data: [\n", "a: &x 1\nb: *x\n", "x: {a: 1, a: 2}\n", "x: !!python/object/apply:os.system ['true']\n"]
QUICK += ["1: 2\n", "x: " + "[" * 30 + "]" * 30, "x: [" + "1," * 20_000 + "1]", "x: 2026-13-45\n", "x: \x07\n"]


@pytest.mark.parametrize("text", QUICK, ids=lambda text: repr(text[:30]))
def test_the_quick_parser_refuses_the_same(text: str) -> None:
    messages = []
    for quick in (False, True):
        with pytest.raises(ConfigError, match="here") as caught:
            parse_yaml(text, "here", quick=quick)
        messages.append(str(caught.value))
    with pytest.raises((yaml.YAMLError, ValueError)):
        files._quick_loader()(text).get_single_data()
    assert messages[0] == messages[1]


@pytest.mark.parametrize("without", [False, True], ids=["libyaml", "without libyaml"])
def test_the_quick_parser_reads_the_same(monkeypatch: pytest.MonkeyPatch, *, without: bool) -> None:
    if without:
        monkeypatch.setattr(yaml, "__with_libyaml__", False)
    files._quick_loader.cache_clear()
    assert issubclass(files._quick_loader(), files._Loader)
    assert (files._quick_loader() is files._Loader) == without
    text = "on: [yes, No, true, null, 1_000, 0x1f, 1.5, 2026-01-02, 'é\\n', \"\\u0645\"]\ntext: |\n  a\n  b\nfolded: >-\n  a\n  b\n"
    assert parse_yaml(text, "here", quick=True) == parse_yaml(text, "here")
    assert parse_yaml(text, "here", quick=True)["on"][:3] == ["yes", "No", True]
    files._quick_loader.cache_clear()


def test_the_quick_parser_reads_every_preset_the_same() -> None:
    presets = [path for home in ktoformats_plugins.__path__ for path in Path(home).rglob("*.yaml")]
    assert len(presets) > 50
    assert [path.name for path in presets if read_yaml(path, quick=True) != read_yaml(path)] == []


def test_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        KTOConfig.from_yaml(tmp_path / "none.yaml")


def test_the_schema_accepts_what_the_models_accept() -> None:
    """The composed schema names the options of installed plugins."""
    from ktoformats.config.schema import json_schema
    from ktoformats.plugin.registry import Registry

    schema, failures = json_schema(Registry())
    data = schema["$defs"]["KTODataConfig"]["properties"]
    names = data["formats"]["items"]["anyOf"][0]["enum"]
    assert failures == []
    assert names == ["default", "arabic-rating", "binary", "conversation", "mapping", "pairwise", "ranking"]
    ranking = next(c for c in data["formats"]["items"]["anyOf"][1:] if c["required"] == ["ranking"])
    assert ranking["properties"]["ranking"]["properties"]["order"]["enum"] == ["ranks", "best_first", "worst_first"]
    assert set(data) == set(KTODataConfig.model_fields)
