"""`inspect` proposes: a draft for what nothing reads, a mapping from two known answers."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from click.testing import CliRunner

from ktoformats.cli.main import cli

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from click.testing import Result

VOTES = [
    {"input": "Name a prime.", "output_1": "Seven.", "output_2": "Nine.", "label": 1},
    {"input": "Name a sea.", "output_1": "Water.", "output_2": "The Red Sea.", "label": 2},
]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    monkeypatch.chdir(tmp_path)

    def ran(*arguments: str, records: Any = VOTES) -> Result:
        (tmp_path / "votes.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
        return CliRunner().invoke(cli, ["inspect", "votes.jsonl", *arguments])

    return ran


def test_two_answers_lead_to_a_mapping_that_converts_the_file(run: Callable[..., Result], tmp_path: Path) -> None:
    done = run("--good", "Seven.", "--bad", "Nine.", "-o", "votes.yaml")
    assert done.exit_code == 0, done.output
    assert "of 2 records it uses 2" in done.output
    assert "reading 2 agrees with them as well: 2 good, 2 bad" in done.output
    assert "votes.jsonl:2: here" in done.output
    mapping = yaml.safe_load((tmp_path / "votes.yaml").read_text(encoding="utf-8"))["mapping"]
    assert mapping["verdict"] == {"winner": "label", "index": 1}
    converted = CliRunner().invoke(
        cli, ["convert", "votes.jsonl", "--mapping", "votes.yaml", "-o", "out.jsonl", "--to", "jsonl", "--no-cache"]
    )
    assert converted.exit_code == 0, converted.output
    made = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").splitlines()]
    assert [(one["response"], one["label"]) for one in made] == [
        ("Seven.", "good"),
        ("Nine.", "bad"),
        ("The Red Sea.", "good"),
        ("Water.", "bad"),
    ]


def test_a_file_is_never_written_over(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "votes.yaml").write_text("mine", encoding="utf-8")
    done = run("--good", "Seven.", "--bad", "Nine.", "-o", "votes.yaml")
    assert "votes.yaml exists; a draft never replaces a file" in str(done.exception)
    assert (tmp_path / "votes.yaml").read_text(encoding="utf-8") == "mine"


def test_the_same_as_json(run: Callable[..., Result]) -> None:
    found = json.loads(run("--good", "Seven.", "--bad", "Nine.", "--json").stdout)
    assert found["gives"] == {"records": 2, "used": 2, "good": 2, "bad": 2, "rejected": {}, "without_verdict": {}}
    [other] = found["others"]
    assert other["such_as"][0]["place"].endswith("votes.jsonl:2")


def test_one_kind_of_answer_is_not_enough(run: Callable[..., Result]) -> None:
    done = run("--good", "Seven.")
    assert "--good and --bad go together" in str(done.exception)


def test_an_answer_beyond_the_first_records_is_found(run: Callable[..., Result]) -> None:
    many = [{**VOTES[0], "output_1": f"text {number}", "output_2": "other"} for number in range(1500)]
    found = json.loads(run("--good", "Seven.", "--bad", "Nine.", "--json", records=[*many, *VOTES]).stdout)
    assert found["gives"]["records"] == 1001


def test_a_file_that_nothing_reads_gets_a_draft_and_its_presets(run: Callable[..., Result], tmp_path: Path) -> None:
    done = run("-o", "draft.yaml")
    assert done.exit_code == 0, done.output
    assert "--preset llmbar reads it" in done.output
    assert "a draft of a mapping, to be completed" in done.output
    text = (tmp_path / "draft.yaml").read_text(encoding="utf-8")
    assert text.startswith("# label: which values say that the one answer won")
    assert yaml.safe_load(text)["mapping"]["verdict"] == {"winner": "label", "a": ["???"], "b": ["???"]}


def test_a_file_that_is_read_needs_no_draft(run: Callable[..., Result]) -> None:
    plain = [{"prompt": "q", "response": "a", "label": "good"}]
    assert json.loads(run("--json", records=plain).stdout)["draft"] is None
    done = run("-o", "draft.yaml", records=plain)
    assert "there is no draft to write" in str(done.exception)


def test_hostile_names_stay_within_their_comments(run: Callable[..., Result], tmp_path: Path) -> None:
    name = "label\nmapping: {verdict: stolen}\u2028\u202e\x1b[31m"
    records = [{"input": "q q", "output_1": f"a{n}", "output_2": f"b{n}", name: n, "winner": n} for n in (1, 2)]
    done = run("-o", "draft.yaml", records=records)
    assert done.exit_code == 0, done.output
    assert "\x1b[31m" not in done.output
    text = (tmp_path / "draft.yaml").read_text(encoding="utf-8")
    assert set(yaml.safe_load(text)) == {"mapping"}
    assert all(line.startswith(("#", "mapping:", " ")) for line in text.splitlines())
