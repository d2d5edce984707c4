"""`ktoformats report`: its text, its JSON, its exit status, and that it writes nothing."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from ktoformats.cli.main import main
from ktoformats.report.finding import RULES

if TYPE_CHECKING:
    from pathlib import Path


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: object
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*args: str | Path, command: str = "report") -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([command, *map(str, args)])
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        assert "a defect" not in seen.err + seen.out
        return Done(stop.value.code, seen.out, seen.err)

    return call


def clean(count: int = 240) -> list[dict[str, Any]]:
    return [
        {"prompt": f"Question {number}?", "response": f"Answer {number}.", "label": "good" if number % 2 else "bad"}
        for number in range(count)
    ]


Lines = Callable[..., "Path"]


def test_nothing_found_is_said(run: Run, lines: Lines) -> None:
    done = run(lines(clean()))
    assert done.status == 0
    assert done.out.splitlines()[-1] == "nothing found"
    assert "as the rows stand: 0 of 30 batches (0.0%) of one label, fewest possible 0" in done.out
    assert not done.err


def test_a_finding_has_its_places_and_what_to_do(run: Run, lines: Lines) -> None:
    records = clean()
    done = run(lines([*records, records[4], records[5]]))
    shown = done.out.splitlines()
    at = next(number for number, text in enumerate(shown) if "warning: duplicates: 2 of 242 samples (0.8%)" in text)
    assert shown[at + 1].endswith("records1.jsonl:5, 241, 6, 242")
    assert shown[at + 2] == "    do: --set duplicates=drop keeps the first of each"
    assert shown[-1] == "1 warning: duplicates"


def test_json_is_one_object_with_the_same_findings(run: Run, lines: Lines) -> None:
    records = clean()
    done = run(lines([*records, records[4]]), "--batch-size", "4", "--world-size", "2", "--json")
    found = json.loads(done.out)
    assert [(one["rule"], one["count"]) for one in found["findings"]] == [
        ("imbalance", 1),
        ("duplicates", 1),
        ("single-class-batches", 1),
        ("invalid-kl-partners", 1),
    ]
    assert found["batches"]["batch_size"] == 4
    assert found["batches"]["world_size"] == 2
    assert found["batches"]["orders"]["planned"]["batches"] % 2 == 0
    assert (found["samples"], found["failed"]) == (241, [])


@pytest.mark.parametrize(
    ("bounds", "status"),
    [
        ((), 0),
        (("duplicates",), 4),
        (("duplicates=0.5",), 0),
        (("duplicates=50%", "any"), 4),
        (("leakage", "contradictions"), 0),
    ],
)
def test_a_rule_that_fails_ends_with_a_status_of_its_own(
    run: Run, lines: Lines, bounds: tuple[str, ...], status: int
) -> None:
    records = clean()
    done = run(lines([*records, records[0]]), *(word for one in bounds for word in ("--fail-on", one)))
    assert done.status == status
    assert ("failed: duplicates" in done.out) == bool(status)


def test_what_failed_stands_in_the_json(run: Run, lines: Lines) -> None:
    records = clean()
    done = run(lines([*records, records[0]]), "--fail-on", "duplicates", "--json")
    assert (done.status, json.loads(done.out)["failed"]) == (4, ["duplicates"])


def test_help_names_every_rule_and_the_status(run: Run) -> None:
    text = " ".join(run("--help").out.split())
    assert "Exit status: 0 looked at, 1 the data cannot be used, 2 a wrong option" in text
    for rule in RULES:
        assert rule in text.replace("- ", "-"), rule


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["--fail-on", "leekage"], 2, "--fail-on leekage: there is no rule 'leekage'; did you mean 'leakage'?"),
        (["--batch-size", "1"], 2, "--batch-size"),
        (["--tokenizer", "nowhere"], 2, "--tokenizer nowhere: there is no such folder"),
        (["--validation", "nowhere.jsonl"], 1, "nowhere.jsonl: there is no such file"),
        (["--set", "max_tokens=1"], 2, "max_tokens"),
        (["--preset", "nothing"], 3, "nothing"),
    ],
)
def test_what_cannot_be_meant_is_one_message(
    run: Run, lines: Lines, words: list[str], status: int, message: str
) -> None:
    done = run(lines(clean(8)), *words)
    assert done.status == status
    assert message in done.err
    assert done.err.startswith("error: ")


def test_a_folder_without_a_tokenizer_is_one_message(run: Run, lines: Lines, tmp_path: Path) -> None:
    pytest.importorskip("transformers")
    (tmp_path / "empty").mkdir()
    done = run(lines(clean(8)), "--tokenizer", tmp_path / "empty")
    assert done.status == 2
    assert "cannot be loaded" in done.err


def test_without_a_source_there_is_nothing_to_look_at(run: Run) -> None:
    done = run()
    assert (done.status, "no SOURCE was named" in done.err) == (2, True)


def test_data_without_a_sample_cannot_be_used(run: Run, lines: Lines) -> None:
    done = run(lines([{"prompt": "a", "response": "b", "label": None}]))
    assert (done.status, "no sample is left" in done.err) == (1, True)


def test_one_label_and_many_rejects_are_told_and_stop_nothing(run: Run, lines: Lines) -> None:
    records = [one | {"label": "good"} for one in clean()] + [b"{"] * 150
    done = run(lines(records), "--set", "on_error=fail", "--set", "strict=true")
    assert done.status == 0
    assert "warning: one-class: there is no bad sample" in done.out
    assert "warning: rejects: 150 of 390 records (38.5%)" in done.out
    assert not done.err


def test_nothing_is_written(run: Run, lines: Lines, tmp_path: Path) -> None:
    run(lines([*clean(), b"{"]), "--set", "rejects_file=rejects.txt", "--no-cache")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["records1.jsonl", "work"]


def test_what_a_text_does_to_a_terminal_is_written_out(run: Run, lines: Lines) -> None:
    evil = "\x1b[2J\u202eolleh"
    records = [*clean(), *({"prompt": f"{n}", "response": evil, "label": "bad"} for n in range(3)), {evil: evil}]
    path = lines(records)
    named = path.rename(path.with_name("ev\x1b[2Jil.jsonl"))
    done = run(named)
    assert "equal-texts" in done.out
    assert "rejects" in done.out
    for seen in (done.out, done.err, run(named, "--json").out):
        assert not set(seen) & {"\x1b", "\u202e"}


def test_two_looks_are_alike(run: Run, lines: Lines) -> None:
    records = [*clean(100), *clean(30), {"prompt": "p", "chosen": "a", "rejected": "b"}]
    path = lines(records)
    first = run(path)
    assert run(path) == first
    assert run(path, "--no-cache") == first


def test_what_convert_wrote_has_good_batches(run: Run, lines: Lines) -> None:
    path = lines([{"prompt": f"p{n}", "chosen": f"right {n}", "rejected": f"wrong {n}"} for n in range(120)])
    before = json.loads(run(path, "--json").out)
    assert [one["rule"] for one in before["findings"]] == ["single-class-batches"]
    run(path, "-o", "train.jsonl", "--batch-size", "8", command="convert")
    assert json.loads(run("train.jsonl", "--json").out)["findings"] == []


def test_a_leak_is_found_in_files_named_by_a_config_or_an_option(run: Run, lines: Lines, tmp_path: Path) -> None:
    train, held = lines(clean()), lines(clean(4))
    config = tmp_path / "kto.yaml"
    config.write_text(
        f"data:\n  train_file: {train}\n  validation_file: {held}\n  balance_labels: false\n", encoding="utf-8"
    )
    for words in ([train, "--validation", held], ["--config", config], [train, "--config", config]):
        done = run(*words, "--fail-on", "leakage=0.99")
        assert done.status == 4
        assert "warning: leakage: 4 of 4 validation samples (100.0%)" in done.out
    done = run("--config", config, "--validation", lines([{"prompt": "Else?", "response": "Yes.", "label": "good"}]))
    assert "leakage" not in done.out


def test_sources_of_a_config_are_looked_at_together(run: Run, lines: Lines, tmp_path: Path) -> None:
    config = tmp_path / "kto.yaml"
    records = clean()
    sources = "".join(f"    - path: {lines(part)}\n" for part in (records, records[:3]))
    config.write_text(f"data:\n  balance_labels: false\n  sources:\n{sources}", encoding="utf-8")
    done = run("--config", config)
    assert "records1.jsonl and 1 more: 243 samples" in done.out
    assert "records1.jsonl:1, 2, 3; " in done.out or "records2.jsonl:1" in done.out
    assert "240 samples" in run("--config", config, lines(records)).out.splitlines()[0]


def test_standard_input_is_read_once(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    text = "\n".join(json.dumps(one) for one in clean()).encode()
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
    done = run("-")
    assert done.out.startswith("<stdin>: 240 samples")


def test_a_tokenizer_gives_lengths_in_tokens(run: Run, lines: Lines, tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers")
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = Tokenizer(models.WordLevel({"<unk>": 0, "<eos>": 1}, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    made = transformers.PreTrainedTokenizerFast(tokenizer_object=words, eos_token="<eos>", unk_token="<unk>")
    made.save_pretrained(tmp_path / "tokenizer")
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hi"}]
    more = [*turns, {"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So " * 40}]
    path = lines([*clean(), {"messages": more, "label": "good"}])
    done = run(path, "--tokenizer", tmp_path / "tokenizer", "--set", "max_tokens=32")
    assert "good prompts in tokens: median 2, p90 2, p99 2, longest 2" in done.out
    assert "the tokenizer has no chat template: system messages and earlier turns are not counted" in done.out
    assert "warning: truncated: TRL cuts 1 of 241 answers (0.4%) at 32 tokens" in done.out
    assert "convert within the limits that are set: dropped, completion_too_long: 1 good, 0 bad" in done.out


def test_the_page_is_written_and_named(run: Run, lines: Lines, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    done = run(lines(clean()), "-o", page, "--samples", "6", "--no-cache")
    assert (done.status, done.out.splitlines()[-1]) == (0, f"wrote {page}")
    assert page.read_text(encoding="utf-8").count("<article") == 6
    assert not [one for one in tmp_path.iterdir() if one.name.startswith(".")]


def test_a_page_that_cannot_be_written_is_one_message_before_anything_is_read(
    run: Run, lines: Lines, tmp_path: Path
) -> None:
    source = lines(clean())
    for place, message in (
        (tmp_path, "it is a folder; name the file to write"),
        (tmp_path / "none" / "x.html", "there is no folder"),
        (source, "it is a source or an output; the page must go somewhere else"),
    ):
        done = run(source, "-o", place)
        assert (done.status, done.out) == (2, "")
        assert done.err.startswith(f"error: -o {place}: {message}")
    assert source.read_text(encoding="utf-8").count("\n") == 240


def test_what_if_tells_before_and_after_and_reads_nothing(run: Run, lines: Lines) -> None:
    rated = [{"prompt": f"Q{n}?", "response": f"A{n}", "rating": 1 + n % 5} for n in range(50)]
    source = lines(rated)
    question = "scales.rating={low: 1, high: 5, good_from: 5, bad_to: 2}"
    done = run(source, "--what-if", question)
    assert done.out.splitlines()[-6:] == [
        f"what if {question}",
        "  before: 20 good, 20 bad; desirable_weight=1, undesirable_weight=1",
        "  after: 10 good, 20 bad; desirable_weight=2, undesirable_weight=1",
        "  10 samples: labelled good, then neutral",
        "  10 verdicts in the middle of their scale gave no sample, and are not asked",
        "  filters that look at utility have not been applied to new labels",
    ]
    told = json.loads(run(source, "--what-if", question, "--json").out)["what_if"]
    assert (told["before"]["good"], told["after"]["good"], told["changes"]) == (20, 10, [question])


def test_a_question_without_a_value_is_one_message(run: Run, lines: Lines) -> None:
    done = run(lines(clean()), "--what-if", "balance_labels")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: --what-if balance_labels: expected KEY=VALUE, such as --what-if balance")


def test_what_decides_how_records_are_read_is_no_what_if(run: Run, lines: Lines) -> None:
    done = run(lines(clean()), "--what-if", "formats=[pairwise]")
    assert done.status == 2
    assert "formats decides how records are read" in done.err
