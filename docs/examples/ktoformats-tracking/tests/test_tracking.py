"""What the trackers are told, by small stand-ins for them."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from types import ModuleType, SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ktoformats import KTODataConfig, KTODataLoader, PluginError
from ktoformats.testing import ObserverLaws

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LABELS = ("good", "bad", "good", "good", "maybe", None)
NUMBERS = {
    "lines": 6.0,
    "blank": 0.0,
    "used": 4.0,
    "samples": 4.0,
    "rejected/label_unrecognised": 1.0,
    "without_verdict/null_verdict": 1.0,
    "kept/good": 3.0,
    "kept/bad": 1.0,
    "desirable_weight": 1.0,
    "undesirable_weight": 2.25,
    "warnings": 1.0,
    "cached": 0.0,
}


class Tracker(ModuleType):
    """As much of `mlflow` and of `wandb` as is used; `told` is run to what it was told."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.told: list[tuple[str, dict[str, float]]] = []
        self.run: SimpleNamespace | None = None

    # mlflow
    def active_run(self) -> object | None:
        return self.run

    @contextmanager
    def start_run(self, run_name: str) -> Iterator[None]:
        self.begin(run_name)
        yield
        self.run = None

    def log_metrics(self, metrics: dict[str, float]) -> None:
        assert self.run is not None
        self.told.append((self.run.name, metrics))

    # wandb
    @contextmanager
    def init(self, job_type: str, name: str) -> Iterator[Any]:
        assert job_type == "ktoformats"
        self.begin(name)
        yield self.run
        self.run = None

    def begin(self, name: str) -> None:
        summary = SimpleNamespace(update=lambda numbers: self.told.append((name, numbers)))
        self.run = SimpleNamespace(name=name, summary=summary)


@pytest.fixture(autouse=True)
def trackers(monkeypatch: pytest.MonkeyPatch) -> dict[str, Tracker]:
    made = {name: Tracker(name) for name in ("mlflow", "wandb")}
    for name, module in made.items():
        monkeypatch.setitem(sys.modules, name, module)
    return made


def build(folder: Path, name: str) -> None:
    rows = [{"prompt": f"p{at}", "response": f"r{at}", "label": label} for at, label in enumerate(LABELS)]
    path = folder / "votes.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    config = KTODataConfig(
        train_file=path, observers=[f"tracking-{name}"], balance_labels=False, min_samples_per_label=1
    )
    KTODataLoader(config, enable_cache=False).load_dataset()


class TestMlflow(ObserverLaws):
    plugin = "tracking-mlflow"


class TestWandb(ObserverLaws):
    plugin = "tracking-wandb"


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
@pytest.mark.parametrize("active", [True, False])
def test_every_number_of_the_accounting_is_sent_once(
    name: str, trackers: dict[str, Tracker], tmp_path: Path, *, active: bool
) -> None:
    if active:
        trackers[name].begin("mine")
    build(tmp_path, name)
    [(run, told)] = trackers[name].told
    assert run == ("mine" if active else "ktoformats train")
    assert told == {f"ktoformats/train/{key}": value for key, value in NUMBERS.items()}
    assert (trackers[name].run is not None) == active, "a run of our own is ended, a run of others goes on"
    assert [one for other, one in trackers.items() if other != name and one.told] == []


@pytest.mark.parametrize("name", ["mlflow", "wandb"])
def test_a_tracker_that_is_not_installed_is_told_with_what_installs_it(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(PluginError, match=rf"is not installed: pip install 'ktoformats-tracking\[{name}\]'"):
        build(tmp_path, name)
