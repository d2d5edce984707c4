"""The options before the command, and what a terminal gets: quiet, verbose, JSON lines, colours."""

from __future__ import annotations

import json
import logging
import os
import pty
import re
import subprocess
import sys
import warnings
from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats.cli import output
from ktoformats.cli.manner import JsonLines, Manner, manner, speaking

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD = {"prompt": "q", "response": "a good answer", "label": "good"}
BAD = {"prompt": "q", "response": "a bad answer", "label": "bad"}
REJECTED = {"prompt": "q", "response": "r", "label": "perhaps"}
COLOUR = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|9[0-7])[\d;]*m")


def lines_of(text: str) -> list[dict[str, Any]]:
    """Every line of standard error, which must be one JSON object with these three keys."""
    found = [json.loads(line) for line in text.splitlines()]
    for one in found:
        assert set(one) == {"time", "level", "message"}
        assert datetime.fromisoformat(one["time"]).tzinfo is not None
    return found


def test_quiet_says_nothing_when_all_is_well(command: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([GOOD, BAD, REJECTED])
    for words in (
        ["convert", source, "-o", "x.jsonl"],
        ["inspect", source],
        ["report", source],
        ["why", f"{source}:1"],
        ["cache", "ls"],
        ["cache", "verify"],
        ["plugin", "list"],
        ["doctor"],
        ["demo"],
        ["config", "init"],
    ):
        assert command("--quiet", *words) == (0, "", ""), words


def test_quiet_keeps_errors_and_json(command: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([GOOD, BAD, REJECTED])
    done = command("-q", "convert", source, "-o", "x.jsonl", "--on-error", "fail")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("error: ")
    assert "'perhaps' is no value" in done.err
    done = command("-q", "convert", source, "-o", "x.jsonl", "--json")
    assert json.loads(done.out)["labels"] == {"good": 1, "bad": 1}
    assert done.err == ""
    done = command("-q", "convrt")
    assert (done.status, done.out) == (2, "")
    assert "did you mean 'convert'?" in done.err


def test_what_was_asked_for_as_text_is_not_swallowed(command: Callable[..., Any]) -> None:
    assert "mapping:" in command("-q", "plugin", "presets", "arena").out
    assert "_KTOFORMATS_COMPLETE" in command("-q", "completion", "bash").out
    assert '"$schema"' in command("-q", "config", "schema").out


def test_verbose_shows_the_librarys_log_lines(command: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([GOOD, BAD, REJECTED])
    assert "Filtered" not in command("convert", source, "-o", "x.jsonl").err
    done = command("-v", "convert", source, "-o", "x.jsonl")
    assert "Filtered 0 samples, kept 2" in done.err
    assert "Filtered" not in done.out
    assert done.err.count("1 of 3 records were rejected") == 1  # told with the rest, not once more by the logger
    assert command("-q", "-v", "demo").status == 2


def test_every_line_on_standard_error_is_json(command: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([GOOD, BAD, REJECTED])
    done = command("--log-json", "-v", "convert", source, "-o", "x.jsonl")
    found = lines_of(done.err)
    assert {one["level"] for one in found} == {"info", "warning"}
    assert any(one["message"].startswith("Filtered") for one in found)
    assert any("'perhaps' is no value" in one["message"] for one in found)
    assert "kept" in done.out
    done = command("--log-json", "-q", "convert", source, "-o", "x.jsonl", "--on-error", "fail")
    [error] = lines_of(done.err)
    assert (error["level"], done.status) == ("error", 1)
    assert "'perhaps' is no value" in error["message"]


@pytest.mark.parametrize("words", [["--log-json", "--nonsense"], ["--log-json", "convrt"], ["--log-json", "convert"]])
def test_wrong_options_are_told_as_json_too(words: list[str], command: Callable[..., Any]) -> None:
    done = command(*words)
    assert done.status == 2
    [error] = lines_of(done.err)
    assert error["level"] == "error"


def test_what_plugins_and_libraries_print_becomes_json_lines(
    command: Callable[..., Any], install: Callable[..., None]
) -> None:
    text = "import sys, logging, warnings\nprint('loud plugin')\nsys.stderr.write('half a line')\nlogging.getLogger('else').error('log \\x1b[1m')\n"
    install("acme", "[ktoformats.formats]\nacmefmt = acme_loud\n", {"acme_loud": text})
    done = command("--log-json", "plugin", "list", "--load", "--json")
    json.loads(done.out)
    found = [(one["level"], one["message"]) for one in lines_of(done.err)]
    assert found == [("info", "loud plugin"), ("info", "half a line"), ("error", "log \\u{1b}[1m")]


def test_pythons_warnings_become_json_lines_or_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    for how in (Manner(log_json=True), Manner(quiet=True)):
        with speaking(how), warnings.catch_warnings():
            warnings.simplefilter("always")
            logging.captureWarnings(True)
            warnings.warn("mind this", UserWarning, stacklevel=1)
        shown = capsys.readouterr().err
        if how.quiet:
            assert shown == ""
        else:
            [one] = lines_of(shown)
            assert "mind this" in one["message"]


def test_everything_is_as_it_was_afterwards(command: Callable[..., Any]) -> None:
    loggers = [logging.getLogger(), logging.getLogger("ktoformats"), logging.getLogger("py.warnings")]
    before = [(one.level, list(one.handlers)) for one in loggers]
    stream = sys.stderr
    command("-v", "--log-json", "demo")
    assert [(one.level, list(one.handlers)) for one in loggers] == before
    assert sys.stderr is stream
    assert manner() == Manner()


def test_a_log_line_cannot_forge_another(capsys: pytest.CaptureFixture[str]) -> None:
    with speaking(Manner(verbose=True)):
        logging.getLogger("ktoformats").info("a\nb\x1b[31m%s", "\u202e")
    assert capsys.readouterr().err == "a\\u{a}b\\u{1b}[31m\\u{202e}\n"


def test_global_options_after_the_command_are_answered(command: Callable[..., Any]) -> None:
    done = command("convert", "-q", "x")
    assert done.status == 2
    assert "-q stands before the command: ktoformats -q convert" in done.err


def test_no_bar_is_drawn_where_nobody_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert not output.draws_bars()
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert output.draws_bars()
    with speaking(Manner(quiet=True)):
        assert not output.draws_bars()
    with speaking(Manner(log_json=True)):
        assert isinstance(sys.stderr, JsonLines)
        assert not output.draws_bars()


def in_terminal(words: list[str], folder: Path, **environment: str) -> str:
    """What a command writes to a terminal, standard error among it."""
    env = {
        key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "TERM", "COLUMNS")
    }
    env |= {"XDG_CACHE_HOME": str(folder / "cache"), "TERM": "xterm-256color", **environment}
    leader, follower = pty.openpty()
    child = subprocess.Popen(
        [sys.executable, "-m", "ktoformats.cli.main", *words],
        cwd=folder,
        env=env,
        stdin=follower,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while True:
        try:
            part = os.read(leader, 65536)
        except OSError:  # Linux says so when nobody writes any more
            break
        if not part:
            break
        shown += part
    os.close(leader)
    child.wait(timeout=60)
    return shown.decode()


def test_colours_on_a_terminal_unless_no_color(tmp_path: Path) -> None:
    assert COLOUR.search(in_terminal(["convrt"], tmp_path))
    assert COLOUR.search(in_terminal(["plugin", "check", "binary", "--kind", "format"], tmp_path))
    for words in (["convrt"], ["plugin", "check", "binary", "--kind", "format"]):
        shown = in_terminal(words, tmp_path, NO_COLOR="1")
        assert not COLOUR.search(shown)
        assert "convert" in shown or "holds" in shown
    assert '"colour": false' in in_terminal(["doctor", "--json"], tmp_path, NO_COLOR="1")


def test_a_pipe_gets_colours_only_when_they_are_forced(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not COLOUR.search(command("convrt").err)
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    assert COLOUR.search(command("convrt").err)


def test_a_terminal_that_knows_few_characters_ends_no_command(tmp_path: Path) -> None:
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path), "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(
        [sys.executable, "-m", "ktoformats.cli.main", "demo"], env=env, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "a defect" in done.stderr) == (0, False)
    assert "\\u" in done.stdout


def test_progress_tells_rate_and_time_left(tmp_path: Path, lines: Callable[..., Path]) -> None:
    source = lines([{**(GOOD if i % 2 else BAD), "prompt": f"p{i} " + "x" * 300} for i in range(60_000)])
    shown = in_terminal(["convert", str(source), "-o", "x.jsonl"], tmp_path, COLUMNS="120")
    assert re.search(r"records, [\d,]+/s", shown)
    assert re.search(r"\d:\d\d:\d\d", shown)
    assert re.search(r"writing .*[\d,]+ of 60,000 rows, [\d,]+/s", shown)
    shown = in_terminal(["cache", "verify"], tmp_path, COLUMNS="120")
    assert "checking" in shown
    assert re.search(r"[\d.]+ ?[kMG]?B/s|bytes/s|\?", shown)
    assert "checking" not in in_terminal(["-q", "cache", "verify"], tmp_path)


def test_a_question_is_a_line_of_json_before_it_is_answered(
    command: Callable[..., Any], lines: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    command("convert", lines([GOOD, BAD]), "-o", "x.jsonl")
    heard: list[str] = []

    def answer(prompt: str) -> str:
        assert isinstance(sys.stderr, JsonLines)
        heard.append(sys.stderr.stream.getvalue())  # type: ignore[attr-defined]
        return "n"

    monkeypatch.setattr("click.termui.visible_prompt_func", answer)
    done = command("--log-json", "cache", "clear")
    assert done.status == 130
    assert [one["message"][:6] for one in lines_of(heard[0])] == ["Remove"]
    assert lines_of(done.err)[-1]["level"] == "error"
