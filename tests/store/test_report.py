"""The report: laws, weights, notes."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import KTODataConfig, KTODataError, KTODataLoader, loss_weights
from ktoformats.convert.ledger import FileAccount, Ledger
from ktoformats.store.report import Report

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.mark.parametrize("good", [1, 3, 50, 100, 134, 999])
@pytest.mark.parametrize("bad", [1, 3, 50, 100, 134, 999])
def test_weights_lie_in_the_papers_interval(good: int, bad: int) -> None:
    """1 <= wD * nD / (wU * nU) <= 4/3, with one side left at 1 (arXiv 2402.01306, equation 8)."""
    weights = loss_weights(good, bad)
    assert weights is not None
    ratio = weights["desirable_weight"] * good / (weights["undesirable_weight"] * bad)
    assert 1 <= ratio <= 4 / 3
    assert 1.0 in weights.values()


def test_weights_need_both_labels() -> None:
    assert loss_weights(0, 5) is None
    assert loss_weights(5, 0) is None


def test_a_line_that_is_not_accounted_for_is_a_defect() -> None:
    ledger = Ledger()
    ledger.add("f", FileAccount(lines=2, used=1))
    with pytest.raises(ArithmeticError, match="f: 2 lines are not all accounted for"):
        Report("train", ledger).check()


def test_a_sample_that_is_not_accounted_for_is_a_defect() -> None:
    ledger = Ledger()
    ledger.add("f", FileAccount(lines=1, used=1, samples=2))
    with pytest.raises(ArithmeticError, match="2 samples built, 0 dropped, 0 copied, 1 kept"):
        Report("train", ledger, kept={"good": 1, "bad": 0}).check()


def labelled(good: int, bad: int) -> list[dict[str, Any]]:
    return [{"prompt": f"p{i}", "response": f"r{i}", "label": int(i < good)} for i in range(good + bad)]


def test_balancing_is_noted_with_the_weights_that_would_avoid_it(load: Callable[..., Any]) -> None:
    _, loader = load(labelled(95, 5), balance_labels=True)
    assert loader.report.kept == {"good": 5, "bad": 5}
    [note] = loader.report.notes
    assert "dropped 90 of 100 samples" in note
    assert "undesirable_weight=14.25" in note
    assert loader.report.dropped_by() == {"balance": {"balance": {"good": 90, "bad": 0}}}


def test_few_samples_warn_and_fail_when_strict(load: Callable[..., Any]) -> None:
    _, loader = load(labelled(3, 120), min_samples_per_label=100)
    assert "only 3 good samples, fewer than min_samples_per_label (100)" in loader.report.warnings[0]
    with pytest.raises(KTODataError, match=r"only 3 good samples, .* strict is set"):
        load(labelled(3, 120), min_samples_per_label=100, strict=True)


def test_utility_bounds_are_taken_literally_and_warn_when_they_bite(load: Callable[..., Any]) -> None:
    records = [*labelled(2, 0), {"prompt": "p", "response": "x", "label": 0}]
    _, loader = load(records, min_utility_threshold=-1.0)
    assert loader.report.kept == {"good": 2, "bad": 0}
    assert any("min_utility_threshold (-1.0) dropped 0 good and 1 bad samples" in w for w in loader.report.warnings)
    _, loader = load(records, min_utility_threshold=-1.0, filter_low_utility=False)
    assert loader.report.kept == {"good": 2, "bad": 1}


def test_lengths_are_dropped_by_stage_and_never_rejected(load: Callable[..., Any]) -> None:
    records = [
        *labelled(1, 1),
        {"prompt": "p" * 50, "response": "rr", "label": 1},
        {"prompt": "p", "response": " r ", "label": 0},
    ]
    _, loader = load(records, max_prompt_length=20, min_response_length=2)
    assert loader.report.dropped_by()["length"] == {
        "too_long": {"good": 1, "bad": 0},
        "too_short": {"good": 0, "bad": 1},
    }
    assert loader.report.total.rejected.total() == 0


def test_nothing_left_says_why(load: Callable[..., Any]) -> None:
    with pytest.raises(
        KTODataError,
        match="no sample is left: 2 lines read; 0 samples made; rejected: label_unrecognised 1; without verdict: null_verdict 1",
    ):
        load([{"prompt": "p", "response": "r", "label": "huh"}, {"prompt": "p", "response": "r", "label": None}])


def test_a_dead_worker_is_reported_with_file_and_lines(lines: Callable[..., Path], tmp_path: Path) -> None:
    """A worker process that is killed stops the build; nothing is published and nothing hangs."""
    path = lines([{"prompt": f"p{i}" + "x" * 2000, "response": "r", "label": i % 2} for i in range(20_000)])
    code = textwrap.dedent(f"""
        import ktoformats.store.workers as workers
        real = workers.receive
        state = []
        def receive(stream):
            state.append(1)
            if len(state) == 3:
                for child in made:
                    child._process.kill()
            return real(stream)
        made = []
        start = workers._Child.__init__
        def init(self, config):
            start(self, config)
            made.append(self)
        workers._Child.__init__ = init
        workers.receive = receive
        from ktoformats import KTODataConfig, KTODataLoader, KTODataError
        try:
            config = KTODataConfig(train_file={str(path)!r}, preprocessing_num_workers=2)
            KTODataLoader(config, cache_dir={str(tmp_path / "cache")!r}).load_dataset()
        except KTODataError as error:
            print("ERROR", error)
        """)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert f"ERROR {path}:" in done.stdout, done.stderr
    assert f"the worker process died (exit status {-signal.SIGKILL})" in done.stdout
    for kind in ("shards", "views", "building"):
        assert list((tmp_path / "cache" / kind).iterdir()) == []


def test_splits_have_reports_of_their_own(lines: Callable[..., Path]) -> None:
    config = KTODataConfig(
        train_file=lines(labelled(3, 3)), validation_file=lines(labelled(1, 1)), min_samples_per_label=0
    )
    loader = KTODataLoader(config, enable_cache=False)
    with pytest.raises(AttributeError, match="no report yet"):
        _ = loader.report
    loader.load_dataset("train")
    loader.load_dataset("validation")
    assert {split: report.samples for split, report in loader.reports.items()} == {"train": 6, "validation": 2}
    with pytest.raises(ValueError, match="test_file is not set"):
        loader.load_dataset("test")
    with pytest.raises(ValueError, match="split must be train, validation or test, got 'dev'"):
        loader.load_dataset("dev")
