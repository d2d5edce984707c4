"""`convert --report`: the page of what was converted, written with it or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from ktoformats.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORDS = [{"prompt": f"Q{n % 30}?", "response": f"Answer {n}", "label": n % 2} for n in range(60)]


@pytest.fixture
def convert(
    lines: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Any]:
    """Convert some records in an empty folder; exit status, standard output, standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(*words: str) -> tuple[Any, str, str]:
        with pytest.raises(SystemExit) as stop:
            main(["convert", str(lines(RECORDS)), *words])
        seen = capsys.readouterr()
        return stop.value.code, seen.out, seen.err

    return run


def test_the_page_tells_of_what_was_written(convert: Callable[..., Any], tmp_path: Path) -> None:
    status, out, _ = convert("-o", "out.jsonl", "--batch-size", "4", "--report", "page.html")
    assert (status, out.splitlines()[-1]) == (0, "wrote page.html")
    page = (tmp_path / "work" / "page.html").read_text(encoding="utf-8")
    assert "Batches of 4 on 1 rank" in page
    assert page.count("<article") == 60


def test_splits_are_held_against_each_other(convert: Callable[..., Any], tmp_path: Path) -> None:
    status, _, _ = convert("-o", "out", "--split", "train=0.8,validation=0.2", "--report", "page.html")
    assert status == 0
    assert "validation: 1" in (tmp_path / "work" / "page.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--report", "out.jsonl"), "--report out.jsonl: it is a source or an output"),
        (("--report", "no/page.html"), "there is no folder no"),
        (("--report", "page.html", "--engine", "ray", "--to", "parquet"), "--engine ray leaves them on others"),
    ],
)
def test_a_page_that_cannot_be_is_refused_before_anything_is_written(
    convert: Callable[..., Any], tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    (tmp_path / "work" / "out.jsonl").write_text("mine", encoding="utf-8")
    status, out, err = convert("-o", "out.jsonl" if "--engine" not in words else "shards", *words)
    assert (status, out) == (2, "")
    assert message in err
    assert [one.name for one in (tmp_path / "work").iterdir()] == ["out.jsonl"]
    assert (tmp_path / "work" / "out.jsonl").read_text(encoding="utf-8") == "mine"


def test_a_dry_run_writes_no_page_and_names_it(convert: Callable[..., Any], tmp_path: Path) -> None:
    status, out, _ = convert("-o", "out.jsonl", "--report", "page.html", "--dry-run")
    assert status == 0
    assert "would write page.html" in out
    assert list((tmp_path / "work").iterdir()) == []
