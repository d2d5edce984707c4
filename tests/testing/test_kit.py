"""The kit as its users meet it: three lines of pytest, a fixture, verdicts, and names that are looked up."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from ktoformats import PluginNotFoundError, Registry
from ktoformats.testing import Subject, check, laws_for, subjects
from ktoformats.testing.law import LAWS, tried

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ktoformats.testing import Result

    Plant = Callable[..., Subject]
    Pytest = Callable[..., subprocess.CompletedProcess[str]]
    Convert = Callable[..., Result]

LABELS = '''
class Mine(Labels):
    """Reads nay < yea."""
    examples = (("yea", "good"), ("nay", "bad"))
    scale: Scale = scale_of("votes", "nay < yea", good_from=1, bad_to=0)
'''
GUESSING = (
    LABELS
    + """
    def read(self, cell):
        return self.scale.read(cell if cell in ("nay", "yea", "", None) else "nay")
"""
)
FORMAT = '''
class Mine(Format):
    """Votes on answers."""
    reads = {"question", "answer", "vote"}
    def facts(self, row):
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
'''
NOTES = '''
class Mine(Exporter):
    """A sample a line, in Python's spelling."""
    suffix = ".txt"
    def write(self, batches, path):
        rows = [(s["prompt"], s["response"], s["label"]) for batch in batches for s in batch.to_pylist()]
        path.write_text("".join(f"{row!r}\\n" for row in rows), encoding="utf-8")
        return {"rows": len(rows)}
'''
THREE_LINES = """
from ktoformats.testing import LabelsLaws

class TestMine(LabelsLaws):
    plugin = "mine"
"""
READ_BACK = """
import ast

from ktoformats.testing import ExporterLaws

class TestNotes(ExporterLaws):
    plugin = "notes"

    def read_back(self, data):
        return [ast.literal_eval(line) for line in data.decode().split("\\n") if line]
"""
RECORD = {"question": "q", "answer": "a", "vote": "good"}


@pytest.fixture
def run_pytest(tmp_path: Path, site: Path) -> Pytest:
    """Run pytest in a process of its own on a test file."""

    def run(source: str, *words: str) -> subprocess.CompletedProcess[str]:
        (tmp_path / "test_mine.py").write_text(source)
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-p", "no:randomly", "-v", *words]
        return subprocess.run(
            [*command, "test_mine.py"],
            cwd=tmp_path,
            env={**os.environ, "PYTEST_ADDOPTS": "", "PYTHONPATH": str(site), "COLUMNS": "200"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    return run


def test_three_lines_try_every_law_on_a_plugin(plant: Plant, run_pytest: Pytest) -> None:
    plant("labels", LABELS)
    done = run_pytest(THREE_LINES)
    assert done.returncode == 0, done.stdout
    for law in laws_for("labels"):
        assert f"test_mine.py::TestMine::test_law[{law.name}] PASSED" in done.stdout


def test_a_broken_law_fails_the_test_of_its_name_and_advises(plant: Plant, run_pytest: Pytest) -> None:
    plant("labels", GUESSING)
    done = run_pytest(THREE_LINES, "-k", "strict or grades")
    assert done.returncode == 1
    assert "TestMine::test_law[strict] FAILED" in done.stdout
    assert "cell 'zzqx unheard of' is read as 'bad'" in done.stdout
    assert "no bool(cell), no default" in done.stdout
    assert "1 failed, 1 passed" in done.stdout


def test_an_exporter_of_a_file_type_of_its_own_says_how_to_read_it(plant: Plant, run_pytest: Pytest) -> None:
    subject = plant("exporter", NOTES, name="notes")
    verdict = tried(LAWS["complete"], subject)
    assert (verdict.state, "nobody knows how to read '.txt' again" in verdict.message) == ("open", True)
    done = run_pytest(READ_BACK, "-k", "complete or batches or labels")
    assert done.returncode == 0, done.stdout
    assert "3 passed" in done.stdout


def test_a_plugin_that_is_not_installed_is_told_with_close_names(site: Path, run_pytest: Pytest) -> None:
    done = run_pytest(THREE_LINES.replace('"mine"', '"thumbz"'), "-k", "registered")
    assert done.returncode == 1
    assert "no labels plugin is called 'thumbz'; did you mean 'thumbs'?" in done.stdout


def test_the_fixture_converts_records_with_installed_plugins(plant: Plant, ktoformats_convert: Convert) -> None:
    plant("format", FORMAT)
    records = [
        RECORD,
        {**RECORD, "vote": None},
        {**RECORD, "vote": "hm"},
        {"question": "q"},
        {**RECORD, "vote": "bad"},
    ]
    result = ktoformats_convert(records, formats=["mine"])
    assert result.triples == [("q", "a", "good"), ("q", "a", "bad")]
    assert [one["line"] for one in result.samples] == [1, 5]
    assert [(reason, field) for reason, field, _ in result.rejected] == [
        ("label_unrecognised", "vote"),
        ("missing_field", "answer"),
    ]
    assert result.without_verdict == ["null_verdict"]


def test_the_fixture_takes_fields_of_the_data_section(ktoformats_convert: Convert) -> None:
    result = ktoformats_convert(
        [{"frage": "q", "response": "a", "rating": 9}],
        prompt_column="frage",
        scales={"rating": {"low": 1, "high": 10, "good_from": 8, "bad_to": 4}},
    )
    assert result.triples == [("q", "a", "good")]


def test_the_fixture_tells_what_is_lost_of_records_that_are_used(ktoformats_convert: Convert) -> None:
    result = ktoformats_convert([{"prompt": "q", "chosen": "a", "rejected": ""}], formats=["pairwise"])
    assert (result.triples, result.lost, result.rejected) == ([("q", "a", "good")], ["empty_response"], [])


def test_a_plugin_without_examples_leaves_laws_open(plant: Plant) -> None:
    states = {verdict.law: verdict for verdict in check(plant("format", FORMAT))}
    assert {law for law, verdict in states.items() if verdict.state == "open"} >= {"examples", "facts", "claim"}
    assert "give the class examples" in states["examples"].message
    assert [law for law, verdict in states.items() if verdict.state == "broken"] == []


def test_examples_may_be_given_from_outside(plant: Plant) -> None:
    subject = plant("format", FORMAT, examples=[(RECORD, [("q", "a", "good")])])
    assert [verdict.law for verdict in check(subject) if verdict.state != "holds"] == []


def test_an_example_that_does_not_say_what_it_gives_is_open_and_tells(plant: Plant) -> None:
    verdict = tried(LAWS["examples"], plant("format", FORMAT, examples=[(RECORD, None)]))
    assert (verdict.state, verdict.message) == (
        "open",
        "example 0 does not say what it gives; it gives [('q', 'a', 'good')]",
    )


def test_a_plugin_that_needs_options_says_so(plant: Plant) -> None:
    subject = plant(
        "utility",
        'class Mine(Utility):\n    """Flat."""\n    height: float\n    def utility(self, quality, good):\n        return quality * 0 + self.height\n',
    )
    verdict = tried(LAWS["scores"], subject)
    assert (verdict.state, "give `examples` whose options make it" in verdict.message) == ("open", True)
    given = Subject("utility", "mine", registry=subject.registry, examples=[(None, None, {"height": 2.0})])
    assert tried(LAWS["scores"], given) == ("scores", "holds", "from 2 to 2")


def test_a_law_that_stumbles_over_a_plugin_says_where(plant: Plant) -> None:
    subject = plant("labels", LABELS + "    def read(self, cell):\n        return {}[cell]\n")
    verdict = tried(LAWS["deterministic"], subject)
    assert verdict.state == "broken"
    assert verdict.message.startswith("it fails (KeyError: 'yea') in acme_mine.py, line ")


def test_what_cannot_be_loaded_is_asked_one_law_only(plant: Plant) -> None:
    assert [(one.law, one.state) for one in check(plant("labels", "raise OSError"))] == [("registered", "broken")]


def test_quick_laws_start_no_process() -> None:
    for kind in ("format", "labels", "quality", "utility", "filter", "exporter"):
        quick = {law.name for law in laws_for(kind, quick=True)}
        slow = {"process", "events", "speed"} if kind == "format" else {"process", "events"}
        assert {law.name for law in laws_for(kind)} - quick == slow


def test_subjects_are_found_by_name() -> None:
    registry = Registry()
    assert [(one.kind, one.name) for one in subjects("quality", registry)] == [("filter", "quality")]
    assert [repr(one) for one in subjects("specification", registry)] == [
        "labels 'specification'",
        "quality 'specification'",
    ]
    assert [repr(one) for one in subjects("specification", registry, kind="quality")] == ["quality 'specification'"]
    assert [repr(one) for one in subjects("arena", registry)] == ["preset 'arena'"]


def test_subjects_are_found_by_distribution(plant: Plant) -> None:
    plant("labels", LABELS)
    registry = plant("utility", LABELS, name="other").registry
    assert [repr(one) for one in subjects("acme-mine", registry)] == ["labels 'mine'"]
    assert {one.kind for one in subjects("ktoformats", registry)} == {*LAWS["modest"].kinds, *LAWS["value"].kinds}


@pytest.mark.parametrize(
    ("name", "kind", "says"),
    [
        ("binray", None, "no plugin, preset or distribution is called 'binray'; did you mean 'binary'.*plugin list"),
        ("ktoformat", None, "did you mean 'ktoformats'"),
        ("binary", "labels", "no labels is called 'binary'"),
    ],
)
def test_a_name_that_is_not_installed_suggests_close_ones(name: str, kind: str | None, says: str) -> None:
    with pytest.raises(PluginNotFoundError, match=says):
        subjects(name, Registry(), kind=kind)
