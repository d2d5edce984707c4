"""Hostile data reach a terminal, a file and a page as text: in every place, through every command that shows data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

PAYLOADS = json.loads((Path(__file__).parents[1] / "fixtures" / "payloads.json").read_text(encoding="utf-8"))
BIDI = set("\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
CONTROL = {chr(code) for code in (*range(32), *range(0x7F, 0xA0))} - {"\n"}
NAME = "\x1b[31m$(touch hit)\u202e<img src=x>..\r.jsonl"


def records() -> Iterator[dict[str, Any]]:
    """Each payload as a text, a verdict, a column and a value that is carried along."""
    for number, payload in enumerate(PAYLOADS):
        clean = {"prompt": f"Question {number}?", "response": f"Answer {number}", "label": number % 2}
        yield clean | {"prompt": f"{payload} {number}", "response": f"{payload} of {number}", "note": payload}
        yield clean | {"label": payload}
        yield {payload: payload}
        yield clean | {"prompt": [payload]}
        yield {"prompt": f"Pair {number}?", "chosen": payload, "rejected": f"no {payload}"}


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Run a command beside the file and return all that it said."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def run(*words: str) -> str:
        with pytest.raises(SystemExit):
            main(list(words))
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        assert "a defect" not in seen.err
        return seen.out + seen.err

    return run


@pytest.fixture
def source(tmp_path: Path) -> str:
    """A file of hostile records under a hostile name."""
    (tmp_path / NAME).write_text("".join(json.dumps(one) + "\n" for one in records()), encoding="utf-8")
    return NAME


@pytest.mark.parametrize(
    "words",
    [
        ("inspect",),
        ("convert", "-o", "out.jsonl"),
        ("convert", "-o", "out.jsonl", "--on-error", "fail"),
        ("report", "-o", "report.html", "--set", "keep=[note]"),
        ("report", "--no-cache"),
        ("why", "6"),
        ("why", "7"),
        ("why", "8"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("form", [(), ("--json",)], ids=["text", "json"])
def test_no_command_lets_data_speak_to_the_terminal(
    say: Callable[..., str], source: str, tmp_path: Path, words: tuple[str, ...], form: tuple[str, ...]
) -> None:
    command, *rest = words
    said = say(command, f"{source}:{rest[0]}", *form) if command == "why" else say(command, source, *rest, *form)
    assert said
    assert not (CONTROL | BIDI) & set(said)
    assert not (tmp_path / "hit").exists()
    allowed = {"cache", "out.jsonl", "report.html", NAME}
    made = {one.name for one in tmp_path.iterdir()} - allowed
    assert {name for name in made if not name.startswith("out-jsonl.")} == set()


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_hostile_option_is_one_clean_message(say: Callable[..., str], source: str, payload: str) -> None:
    for words in (("--format", payload), ("--preset", payload), ("--set", f"{payload}=1"), ("--to", payload)):
        if "\0" in payload:
            continue  # no system passes such a word on
        said = say("convert", source, "-o", "out.jsonl", *words)
        assert not (CONTROL | BIDI) & set(said)
        assert [line.startswith("error: ") for line in said.splitlines()] == [True]


def test_what_was_written_stays_where_it_was_asked_for(say: Callable[..., str], tmp_path: Path) -> None:
    before = {path.name for path in tmp_path.parent.iterdir()}
    lines = [json.dumps({"prompt": f"q{n}", "response": one, "label": n % 2}) for n, one in enumerate(PAYLOADS)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    say("convert", "in.jsonl", "-o", "out.jsonl", "--set", "on_error=skip")
    written = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text(encoding="utf-8").split("\n")[:-1]]
    read = {one["completion"] for one in written}
    assert read <= set(PAYLOADS)
    assert len(read) > len(PAYLOADS) - 5
    assert {path.name for path in tmp_path.parent.iterdir()} == before
    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_symlink()]
