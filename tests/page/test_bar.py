"""Bars of the library: for what takes longer than a second, where somebody looks, and nowhere else."""

from __future__ import annotations

import sys
import types
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
import tqdm.auto

from ktoformats import KTODataConfig, KTODataLoader, audit_loader
from ktoformats.page import bar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Write = Callable[[Iterable[Any]], Path]

ROWS = 300


@pytest.fixture
def source(lines: Write) -> Path:
    return lines({"prompt": f"q{n}", "response": f"r{n}", "label": ("good", "bad")[n % 2]} for n in range(ROWS))


@pytest.fixture
def looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """As if standard error were a terminal, and everything took long."""
    monkeypatch.setattr(bar, "is_looked_at", lambda: True)
    monkeypatch.setattr(bar, "_DELAY_S", 0.0)
    monkeypatch.setattr("tqdm.auto.tqdm", partial(tqdm.auto.tqdm, mininterval=0, miniters=1))


def loaded(source: Path, **options: Any) -> KTODataLoader:
    loader = KTODataLoader(KTODataConfig(train_file=source, balance_labels=False), None, False, **options)
    loader.load_dataset()
    return loader


@pytest.mark.usefixtures("looked_at")
def test_reading_looking_and_drawing_show_how_far_they_are(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    loader = loaded(source)
    shown = capsys.readouterr().err
    assert f"{source.name}: " in shown
    assert "reading" in shown
    assert "B/s" in shown
    found = audit_loader(loader)
    assert "looking: 100%" in capsys.readouterr().err
    pytest.importorskip("jinja2")
    found.to_html()
    assert "drawing: 100%" in capsys.readouterr().err


@pytest.mark.usefixtures("looked_at")
def test_false_shows_none_and_a_function_is_told_instead(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[tuple[str, int, int]] = []
    audit_loader(loaded(source, progress=False), progress=False)
    loaded(source, progress=lambda *one: told.append(one))
    assert "%" not in capsys.readouterr().err
    assert sum(records for _, records, _ in told) == ROWS


def test_where_nobody_looks_there_is_none(source: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audit_loader(loaded(source))
    assert "%|" not in capsys.readouterr().err


def test_who_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not bar.is_looked_at()
    monkeypatch.setitem(sys.modules, "ipykernel", types.ModuleType("ipykernel"))
    assert bar.is_looked_at(), "in a notebook"
    monkeypatch.delitem(sys.modules, "ipykernel")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert bar.is_looked_at(), "at a terminal"
    monkeypatch.setattr(sys, "stderr", None)
    assert not bar.is_looked_at()


@pytest.mark.usefixtures("looked_at")
def test_sizes_are_of_plain_files_and_of_others_when_they_begin(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = [tmp_path / f"{number}.jsonl" for number in range(3)]
    for path in paths:
        path.write_bytes(b"x" * 1000)
    with bar.reading([paths[0], tmp_path, "-", "https://example.org/x"]) as tell:
        for path in paths[:2]:
            for end in (500, 1000):
                tell(str(path), 1, end)
        tell("-", 1, 0)
        tell(str(paths[2]), 1, 500)
    shown = capsys.readouterr().err
    assert "1.00k/1.00k" in shown
    assert "2.50k/3.00k" in shown


@pytest.mark.usefixtures("looked_at")
def test_names_of_files_do_nothing_to_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with bar.reading([]) as tell:
        tell(str(tmp_path / "a\x1b[31m\u202e.jsonl"), 1, 5)
        tell(str(tmp_path / "b.jsonl"), 1, 5)
    shown = capsys.readouterr().err
    assert "\x1b[31m" not in shown
    assert "\u202e" not in shown


@pytest.mark.usefixtures("looked_at")
def test_other_work_begins_anew(capsys: pytest.CaptureFixture[str]) -> None:
    with bar.counting("looking", "") as tell:
        for done, total in ((500, 1000), (1000, 1000), (1, 8), (8, 8)):
            tell(done, total)
    shown = capsys.readouterr().err
    assert "1000/1000" in shown
    assert "8/8" in shown
