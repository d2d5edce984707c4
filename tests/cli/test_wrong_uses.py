"""What a new user gets wrong: one message each, which names the place, what was seen, what was expected, what to do."""

from __future__ import annotations

import gzip
import json
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = {"prompt": "q", "response": "a good answer", "label": "good"}
BAD = {"prompt": "q", "response": "a bad answer", "label": "bad"}
TO_FILE = ("-o", "x.jsonl")


class Wrong(NamedTuple):
    """A wrong use of the command line."""

    words: tuple[str, ...]
    status: int
    told: tuple[str, ...]
    """What the message must say."""


def wrong(words: str, status: int, *told: str) -> Any:
    return pytest.param(Wrong(tuple(words.split()), status, told), id=words)


def write_files(folder: Path) -> None:
    """Files to be used wrongly."""
    votes = "".join(json.dumps(one) + "\n" for one in (GOOD, BAD))
    (folder / "votes.jsonl").write_text(votes)
    (folder / "empty.jsonl").write_text("")
    (folder / "text.jsonl").write_text("not json\n")
    (folder / "zeros.jsonl").write_bytes(b"\x00\x01\x02\xff")
    (folder / "cut.jsonl.gz").write_bytes(gzip.compress(votes.encode())[:60])
    (folder / "loop.jsonl").symlink_to("loop.jsonl")
    (folder / "open.yaml").write_text("data: [1,\n")
    (folder / "list.yaml").write_text("- 1\n")
    (folder / "section.yaml").write_text("dat:\n  a: 1\n")
    (folder / "column.yaml").write_text("data:\n  train_file: votes.jsonl\n  prompt_column: promt\n")
    (folder / "keep.yaml").write_text("prompt: prompt\ncandidats: {a: response}\n")
    (folder / "folder").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "notes.txt").write_text("mine")


WRONG = [
    # sources
    wrong("convert nofile.jsonl -o x.jsonl", 1, "nofile.jsonl: there is no such file", "check the spelling"),
    wrong("convert loop.jsonl -o x.jsonl", 1, "loop.jsonl"),
    wrong("convert empty.jsonl -o x.jsonl", 1, "0 lines read", "there is no record in empty.jsonl; name a file that holds some"),
    wrong("convert folder -o x.jsonl", 1, "folder: the folder holds no data file", ".jsonl"),
    wrong("convert text.jsonl -o x.jsonl", 1, "text.jsonl:1: not JSON at character 0, near 'not json'", "write RFC 8259 JSON"),
    wrong("convert zeros.jsonl -o x.jsonl", 1, "zeros.jsonl: this looks like UTF-16", "save it as UTF-8"),
    wrong("convert cut.jsonl.gz -o x.jsonl", 1, "cut.jsonl.gz: the gzip data ends in the middle", "copy or download the file again"),
    wrong("convert votes.jsonl votes.jsonl -o x.jsonl", 1, "votes.jsonl: this is the same file", "name each file once"),
    wrong("convert -o x.jsonl", 2, "no SOURCE was named", "data.train_file"),
    wrong("inspect", 2, "Missing argument 'SOURCE...'", "ktoformats inspect --help"),
    wrong("report", 2, "no SOURCE was named"),
    wrong("why votes.jsonl", 2, "votes.jsonl: where is it?", "Write FILE:LINE"),
    wrong("why votes.jsonl:99", 2, "votes.jsonl:99: no record begins on this line", "line 2"),
    # places
    wrong("convert votes.jsonl", 2, "Missing option '-o'"),
    wrong("convert votes.jsonl -o votes.jsonl", 2, "votes.jsonl is also a source; write somewhere else"),
    wrong("convert votes.jsonl -o x.parquet", 2, "x.parquet: exporter 'trl' writes .jsonl", "say --to parquet"),
    wrong("convert votes.jsonl -o votes.jsonl/x.jsonl", 1, "votes.jsonl/x.jsonl: cannot be written", "votes.jsonl is a file, not a folder", "name another place"),
    wrong("convert votes.jsonl -o full --rows-per-shard 2", 2, "full is no earlier output (it holds notes.txt)", "name another folder"),
    wrong("convert votes.jsonl -o x.jsonl --rejects folder", 2, "folder is a folder", "such as folder/rejects.txt"),
    wrong("report votes.jsonl -o folder", 2, "folder: it is a folder", "folder/report.html"),
    wrong("config init votes.jsonl", 2, "votes.jsonl exists; --force replaces it"),
    wrong("cache ls --cache-dir votes.jsonl", 2, "votes.jsonl is no folder", "--cache-dir names the folder of a cache"),
    wrong("cache ls --cache-dir full", 2, "full is no cache", "nothing was touched"),
    wrong("cache prune --max-size big", 2, "'big' is no size", "20GB"),
    # configuration
    wrong("convert votes.jsonl -o x.jsonl --config no.yaml", 2, "no.yaml: cannot be read (No such file"),
    wrong("convert votes.jsonl -o x.jsonl --config folder", 2, "folder: cannot be read (Is a directory)"),
    wrong("convert votes.jsonl -o x.jsonl --config open.yaml", 2, "open.yaml, line 2, column 1", "<stream end>"),
    wrong("convert votes.jsonl -o x.jsonl --config list.yaml", 2, "list.yaml: expected `key: value` lines at the top, got list"),
    wrong("convert votes.jsonl -o x.jsonl --config section.yaml", 2, "section.yaml: dat: unknown key; did you mean 'data'?"),
    wrong("convert votes.jsonl -o x.jsonl --config votes.jsonl", 2, "votes.jsonl, line 2", "--config names a configuration in YAML, and files of records are SOURCE"),
    wrong("convert votes.jsonl -o x.jsonl --mapping votes.jsonl", 2, "--mapping names a mapping in YAML"),
    wrong("convert votes.jsonl -o x.jsonl --mapping keep.yaml", 2, "keep.yaml", "has no option 'candidats'; did you mean 'candidates'?"),
    wrong("convert --config column.yaml -o x.jsonl", 1, "prompt_column: no record has a column 'promt'; did you mean 'prompt'?", "'prompt', 'response', 'label'"),
    wrong("convert votes.jsonl -o x.jsonl --set label_column=lable", 1, "label_column: no record has a column 'lable'; did you mean 'label'?"),
    wrong("convert votes.jsonl -o x.jsonl --set random_seed", 2, "--set random_seed: expected KEY=VALUE, such as"),
    wrong("convert votes.jsonl -o x.jsonl --set random_sed=3", 2, "random_sed: unknown key; did you mean 'random_seed'?"),
    wrong("convert votes.jsonl -o x.jsonl --set random_seed=abc", 2, "random_seed: expected a valid integer", "got 'abc'"),
    wrong("convert votes.jsonl -o x.jsonl --set kto_specific.alpa=3", 2, "kto_specific.alpa: unknown key; did you mean 'alpha'?"),
    wrong("convert votes.jsonl -o x.jsonl --set scales.label=thumb", 3, "no labels plugin is called 'thumb'; did you mean 'thumbs'?"),
    # names of what is installed
    wrong("convert votes.jsonl -o x.jsonl --format binry", 3, "no format plugin is called 'binry'; did you mean 'binary'?"),
    wrong("convert votes.jsonl -o x.jsonl --preset arenaa", 3, "no preset is called 'arenaa'; did you mean 'arena'?"),
    wrong("convert votes.jsonl -o x.jsonl --to trll", 3, "no exporter plugin is called 'trll'; did you mean 'trl'?"),
    wrong("plugin check binry", 3, "'binry'; did you mean 'binary'?"),
    wrong("plugin presets arenna", 3, "did you mean 'arena'?"),
    wrong("plugin new Bad_Name --kind format", 2, "'Bad_Name' is no name for a plugin", "such as side-by-side"),
    # commands and options
    wrong("convrt", 2, "No such command 'convrt'; did you mean 'convert'?", "ktoformats --help"),
    wrong("docter", 2, "did you mean 'doctor'?"),
    wrong("cache lss", 2, "No such command 'lss'; did you mean 'ls'?"),
    wrong("config chek", 2, "did you mean 'check'?"),
    wrong("plugin lst", 2, "did you mean 'list'?"),
    wrong("convert votes.jsonl --ouput x.jsonl", 2, "--ouput", "--output"),
    wrong("--verison", 2, "--verison", "--version"),
    wrong("convert votes.jsonl -o x.jsonl --split train=0.5", 2, "split: it names train alone", "validation=0.1"),
    wrong("convert votes.jsonl -o x --split train=0.5,vali=0.5", 2, "there is no part 'vali'", "train, validation, test"),
    wrong("convert votes.jsonl -o x.jsonl --split train=0.5,validation=0.5", 2, "--split writes several files; name a folder, not x.jsonl"),
    wrong("convert votes.jsonl -o x.jsonl --on-error ignore", 2, "'ignore' is not one of 'quarantine', 'skip', 'fail'"),
    wrong("convert votes.jsonl -o x.jsonl --workers many", 2, "'many' is not a valid integer or auto"),
    wrong("convert votes.jsonl -o x.jsonl --epochs 2", 2, "--epochs plans batches; say --batch-size, too"),
    wrong("convert votes.jsonl -o x.jsonl --format binary --preset arena", 2, "--format, --mapping and --preset", "give one of them"),
    wrong("inspect votes.jsonl --good x", 2, "--good and --bad go together"),
    wrong("report votes.jsonl --fail-on leek", 2, "there is no rule 'leek'", "leakage"),
    wrong("report votes.jsonl --fail-on leakage=x", 2, "expected a share from 0 to 1", "got 'x'"),
    wrong("report votes.jsonl --tokenizer nofolder", 2, "--tokenizer nofolder: there is no such folder"),
]  # fmt: skip


@pytest.mark.parametrize("use", WRONG)
def test_a_wrong_use_is_answered_with_one_message(use: Wrong, command: Callable[..., Any], tmp_path: Path) -> None:
    work = tmp_path / "work"
    write_files(work)
    before = {path.name for path in work.iterdir()}
    done = command(*use.words)
    assert done.status == use.status, done.err
    [line] = [line for line in done.err.splitlines() if not line.startswith("warning: ")]
    assert line.startswith("error: ")
    for text in use.told:
        assert text in line
    assert ".staged" not in line
    assert ".part" not in line
    left = {path.name for path in work.iterdir()} - before
    assert all(name.endswith((".failed.yaml", ".rejects.txt")) for name in left)


@pytest.mark.parametrize(
    ("library", "words", "told"),
    [
        ("fsspec", ["convert", "memory://x/y.jsonl", *TO_FILE], "pip install 'ktoformats[remote]'"),
        (
            "transformers",
            ["convert", "votes.jsonl", *TO_FILE, "--tokenizer", "folder"],
            "pip install 'ktoformats[tokens]'",
        ),
        (
            "ray",
            ["convert", "votes.jsonl", "-o", "x", "--to", "jsonl", "--engine", "ray"],
            "pip install 'ktoformats[ray]'",
        ),
    ],
)
def test_a_missing_extra_is_named_with_the_line_that_gets_it(
    library: str,
    words: list[str],
    told: str,
    command: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    write_files(tmp_path / "work")
    for name in [library, *(one for one in sys.modules if one.startswith(f"{library}."))]:
        monkeypatch.setitem(sys.modules, name, None)
    done = command(*words)
    assert done.status in (1, 2)
    assert told in done.err


def test_a_column_that_stands_nowhere_is_told_though_samples_are_left(
    command: Callable[..., Any], lines: Callable[..., Path]
) -> None:
    source = lines([GOOD, BAD])
    words = ["--set", "rating_column=ratng", "--set", "time_column=labl"]
    for name, more in (("convert", ["-o", "x.jsonl"]), ("inspect", [])):
        done = command(name, source, *more, *words)
        assert done.status == 0
        assert "time_column: no record has a column 'labl'; did you mean 'label'?" in done.err
        assert "rating_column: no record has a column 'ratng'" in done.err
    done = command("convert", source, "-o", "x.jsonl", "--json", *words)
    assert len([one for one in json.loads(done.out)["warnings"] if "no record has a column" in one]) == 2
    assert "no record has" not in command("convert", source, "-o", "x.jsonl", "--set", "rating_column=label").err
    assert "no record has" not in command("convert", source, "-o", "x.jsonl", "--set", "rating_column=rating").err


def test_a_column_of_a_later_file_is_found(command: Callable[..., Any], lines: Callable[..., Path]) -> None:
    first, second = lines([GOOD, BAD]), lines([{**GOOD, "prompt": "p", "when": 1}])
    done = command("convert", first, second, "-o", "x.jsonl", "--set", "time_column=when")
    assert "no record has" not in done.err


def test_hostile_column_names_reach_no_terminal(command: Callable[..., Any], lines: Callable[..., Path]) -> None:
    done = command("convert", lines([{"promp\x1b[31m": "x"}]), "-o", "x.jsonl", "--set", "prompt_column=prompx")
    assert "\x1b" not in done.err
    assert "promp" in done.err
