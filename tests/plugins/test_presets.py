"""Presets: each converts its own example, the unmistakable ones are detected, and none takes another's records."""

from __future__ import annotations

import json
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

import ktoformats_plugins.presets
from ktoformats import KTODataConfig, KTODataLoader, Registry
from ktoformats.convert.presets import Preset, load_preset, patched

if TYPE_CHECKING:
    from ktoformats import Report

FOLDER = Path(ktoformats_plugins.presets.__path__[0])
NAMES = sorted(path.stem for path in FOLDER.glob("*.yaml"))
REGISTRY = Registry()
PRESETS: dict[str, Preset] = {name: load_preset(REGISTRY, name) for name in NAMES}
DETECTED = [name for name, preset in PRESETS.items() if preset.is_detected]
BY_A_FORMAT = {"kto-chat": "conversation", "argilla-dpo": "pairwise", "halos-binary": ""}
"""Examples that a hand-written format reads by itself."""


def load(folder: Path, records: list[Any], formats: list[Any]) -> tuple[list[dict[str, Any]], Report]:
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    config = KTODataConfig(
        train_file=path, formats=formats, balance_labels=False, min_samples_per_label=0, require_both_labels=False
    )
    loader = KTODataLoader(config, enable_cache=False)
    samples = list(loader.load_dataset("train"))
    return samples, loader.report


def told(samples: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["prompt"], one["response"], one["label"]) for one in samples]


def test_every_file_is_an_entry_point_and_every_entry_point_a_file() -> None:
    ours = [one for one in entry_points(group="ktoformats.presets") if one.dist and one.dist.name == "ktoformats"]
    assert sorted(one.name for one in ours) == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_a_preset_converts_its_example(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    assert preset.about.title
    assert preset.about.about
    assert len(preset.about.gives) > 0
    samples, report = load(tmp_path, preset.about.example, [{preset.format: {"preset": name}}])
    assert told(samples) == preset.about.gives
    assert report.total.rejected.total() == 0
    assert {one["format_type"] for one in samples} == {f"{preset.format}:{name}"}
    assert report.plugins["preset"] == {name: f"ktoformats {ktoformats_plugins_version()}"}


def ktoformats_plugins_version() -> str:
    from ktoformats import __version__

    return __version__


@pytest.mark.parametrize("name", DETECTED)
def test_an_unmistakable_layout_needs_no_configuration(name: str, tmp_path: Path) -> None:
    preset = PRESETS[name]
    samples, report = load(tmp_path, preset.about.example, ["default"])
    assert told(samples) == preset.about.gives
    assert dict(report.total.formats) == {f"{preset.format}:{name}": len(preset.about.example)}


@pytest.mark.parametrize("name", [name for name in NAMES if name not in DETECTED])
def test_a_layout_that_cannot_be_told_is_not_guessed(name: str, tmp_path: Path) -> None:
    """Its example is read by a hand-written format, or by nobody; never by another preset."""
    preset = PRESETS[name]
    anchors = [{"prompt": "p", "response": "r", "label": label} for label in (1, 0)]
    _, report = load(tmp_path, [*anchors, *preset.about.example], ["default"])
    assert not [reader for reader in report.total.formats if ":" in reader]


def test_all_detected_layouts_in_one_file(tmp_path: Path) -> None:
    """Every record finds its own reader, whatever stands around it."""
    records = [record for name in DETECTED for record in PRESETS[name].about.example]
    samples, report = load(tmp_path, records, ["default"])
    assert {one["format_type"] for one in samples} == {f"mapping:{name}" for name in DETECTED}
    assert report.total.rejected.total() == 0


def test_what_a_config_says_is_merged_into_the_preset(tmp_path: Path) -> None:
    vote = PRESETS["arena"].about.example[0] | {"winner": "tie"}
    options = {"preset": "arena", "policy": {"tie": "both_bad"}}
    samples, _ = load(tmp_path, [vote], [{"mapping": options}])
    assert told(samples) == [("q", "no", "bad"), ("q", "yes", "bad")]


@pytest.mark.parametrize(
    ("patch", "expected"),
    [
        ({}, {"a": 1, "b": {"c": 2, "d": [3]}}),
        ({"a": None}, {"b": {"c": 2, "d": [3]}}),
        ({"b": {"c": None, "e": 5}}, {"a": 1, "b": {"d": [3], "e": 5}}),
        ({"b": {"d": [4]}, "a": {"x": None, "y": 1}}, {"a": {"y": 1}, "b": {"c": 2, "d": [4]}}),
    ],
)
def test_options_are_merged_as_rfc_7396_says(patch: dict[str, Any], expected: dict[str, Any]) -> None:
    options = {"a": 1, "b": {"c": 2, "d": [3]}}
    assert patched(options, patch) == expected
    assert options == {"a": 1, "b": {"c": 2, "d": [3]}}


def test_two_presets_of_one_format_stand_side_by_side(tmp_path: Path) -> None:
    names = ["helpsteer2", "pku-safe-rlhf"]
    records = [record for name in names for record in PRESETS[name].about.example]
    samples, _ = load(tmp_path, records, [{"mapping": {"preset": name}} for name in names])
    assert [one["format_type"] for one in samples] == ["mapping:helpsteer2"] * 2 + ["mapping:pku-safe-rlhf"] * 2


def test_a_preset_is_a_mapping_file_as_it_is_written() -> None:
    for name, preset in PRESETS.items():
        assert yaml.safe_load(preset.path.read_text(encoding="utf-8"))[preset.format] == preset.options, name
