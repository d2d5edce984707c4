"""The benchmark suite itself: its competitors do the same work, and its page can be written. No time is judged."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

HOME = Path(__file__).parent
PAGE = HOME.parents[1] / "docs" / "explanation" / "benchmarks.md"


Part = Callable[[str], Any]
"""Imports a module of the suite."""


@pytest.fixture
def part(monkeypatch: pytest.MonkeyPatch) -> Part:
    monkeypatch.syspath_prepend(str(HOME))
    return importlib.import_module


@pytest.fixture
def corpora(part: Part, tmp_path: Path) -> Any:
    return part("bench.corpus").Corpora(tmp_path)


def test_corpora_are_the_same_every_time_and_of_the_stated_size(part: Part, tmp_path: Path) -> None:
    corpus = part("bench.corpus")
    made = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        made.append(corpus.Corpora(tmp_path / name).file(corpus.FORMATS, "Arabic", 500).read_bytes())
    lines = made[0].splitlines()
    assert made[0] == made[1]
    assert len(set(lines)) == len(lines) == 500
    assert 1000 < len(made[0]) / len(lines) < 1400
    assert all(sum(b"\xd8" in line for line in lines[at::5]) == 100 for at in range(5))


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        ({"prompt": "p", "response": "r", "label": "ممتاز"}, [("p", "r", "good", "binary")]),
        ({"prompt": "p", "response": "r", "label": "ضعيف"}, [("p", "r", "bad", "binary")]),
        ({"prompt": "p", "response": "r", "label": 0.8}, [("p", "r", "good", "binary")]),
        ({"prompt": "p", "response": "r", "label": 0.3}, [("p", "r", "bad", "binary")]),
        (
            {"prompt": "p", "chosen": "c", "rejected": "r"},
            [("p", "c", "good", "pairwise_positive"), ("p", "r", "bad", "pairwise_negative")],
        ),
    ],
)
def test_the_loop_and_the_peers_follow_the_specification(
    part: Part, record: dict[str, Any], expected: list[tuple[str, ...]]
) -> None:
    keys = ("prompt", "response", "label", "preference_type")
    for made in (part("bench.specification").process(record), part("bench.peers").read(record)):
        assert [tuple(sample[key] for key in keys) for sample in made] == expected


def test_the_formula_for_speed_gives_the_number_of_the_formula_as_written(part: Part) -> None:
    specification = part("bench.specification")
    for text in ("", "x", "نص", "مَدرسة.", "كيف الحال؟ بخير.", "ما هذا", "plain. English"):
        written = specification.quality(text)
        assert specification.quality(text, specification.arabic_quality_for_speed) == written
    assert specification.quality("كيف حالُك.") == pytest.approx((10 / 100 + 1.0 + 2 / 20) / 3)


@pytest.mark.parametrize("kinds", ["mixed", "binary", "pairwise"])
def test_the_build_datasets_and_the_loop_make_the_same_samples(
    part: Part, corpora: Any, tmp_path: Path, kinds: str
) -> None:
    formats = part("bench.corpus").FORMATS if kinds == "mixed" else (kinds,)
    part("bench.peers").quiet()
    source = corpora.file(formats, "Arabic", 50)
    assert (
        part("bench.against").check_peers(formats, source, tmp_path)
        == {"mixed": 70, "binary": 50, "pairwise": 100}[kinds]
    )


def test_a_competitor_that_does_other_work_stops_the_run(
    part: Part, corpora: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part("bench.peers").quiet()
    source = corpora.file(("binary",), "English", 20)
    monkeypatch.setattr(part("bench.specification"), "LAMBDA", 2.0)
    with pytest.raises(SystemExit, match="datasets and build, same formula make different samples"):
        part("bench.against").check_peers(("binary",), source, tmp_path)


def test_a_missing_peer_is_named_before_anything_runs(part: Part, monkeypatch: pytest.MonkeyPatch) -> None:
    run = part("run")
    monkeypatch.setattr(run, "find_spec", lambda name: None if name == "trl" else name)
    with pytest.raises(SystemExit, match=re.escape("trl missing: pip install -c constraints.txt -e '.[bench]'")):
        run.run(["trl"], None)


def test_ratios_are_taken_within_a_repetition_and_everybody_comes_first_once(part: Part) -> None:
    measure = part("bench.measure")
    assert measure.ratio([2.0, 90.0, 4.0], [1.0, 30.0, 4.0]) == (2.0, 1.0, 3.0, 3)
    assert list(measure.turns("abc", 2)) == ["a", "b", "c", "b", "c", "a"]


def test_a_child_tells_what_memory_its_work_took(part: Part, corpora: Any, tmp_path: Path) -> None:
    """The loop holds every record and every sample, so it takes more than the file has bytes."""
    source, first = (corpora.file(("binary",), "Arabic", rows) for rows in (5000, 10))
    peak = part("bench.measure").in_child("specification", source, first, tmp_path)
    assert peak.seconds > 0
    assert source.stat().st_size < peak.anonymous <= peak.bytes * 1.1 < 20 * source.stat().st_size


def test_a_goal_is_met_on_its_own_side_of_the_bound(part: Part) -> None:
    report, spread = part("bench.report"), part("bench.measure").spread
    assert [report.Goal("g", True, 4, spread([value])).met for value in (3.9, 4.0, 4.1)] == [True, True, False]
    assert [report.Goal("g", False, 4, spread([value])).met for value in (3.9, 4.0, 4.1)] == [False, True, True]


def test_a_page_without_marks_is_not_touched(part: Part, tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("prose\n", encoding="utf-8")
    with pytest.raises(SystemExit, match="are missing"):
        part("bench.report").write_page(page, ["x"])
    assert page.read_text(encoding="utf-8") == "prose\n"


def test_the_command_measures_and_writes_its_page(part: Part, tmp_path: Path) -> None:
    report = part("bench.report")
    page = tmp_path / "page.md"
    page.write_text(f"before\n\n{report.BEGIN}\nan earlier run\n{report.END}\n\nafter\n", encoding="utf-8")
    words = ["--rows", "20", "--repeat", "1", "--only", "build,mapping"]
    command = [sys.executable, str(HOME / "run.py"), *words, "--write", str(page), "--scratch", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    written = page.read_text(encoding="utf-8")
    assert written.startswith("before\n\n")
    assert written.endswith("\n\nafter\n")
    assert "an earlier run" not in written
    assert str(tmp_path) not in written
    rows = {line.split("|")[1].strip() for line in written.splitlines() if line.startswith("| ")}
    assert rows >= {
        *(f"{language}, {kind}" for language in ("Arabic", "English") for kind in ("five formats mixed", "ranking")),
        *("binary", "pairwise", "ranking", "conversation"),
        "the build against bare parsing, Arabic, mixed",
    }
    assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_the_page_in_the_docs_has_every_section(part: Part) -> None:
    text = PAGE.read_text(encoding="utf-8")
    report = part("bench.report")
    assert text.count(report.BEGIN) == text.count(report.END) == 1
    titles = {
        title
        for source in HOME.glob("bench/*.py")
        for title in re.findall(r'Section\(\s*"([^"]+)"', source.read_text(encoding="utf-8"))
    }
    assert len(titles) == len(part("run").SECTIONS)
    assert {line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")} >= titles
