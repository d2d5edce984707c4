"""What the tests of the command line share: the command in this process, and distributions to find."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import pytest

from ktoformats.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path


class Answer(NamedTuple):
    """How a command ended, and what it said."""

    status: object
    out: str
    err: str


Command = Callable[..., Answer]


@pytest.fixture
def command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """Run a command in this process, in an empty folder, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")

    def call(*words: str | Path) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([*map(str, words)])
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        assert "a defect" not in seen.err + seen.out
        return Answer(stop.value.code, seen.out, seen.err)

    return call


Install = Callable[..., None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Put a distribution where metadata is looked for, and its modules where they are imported from."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(str(site))

    def put(name: str, entries: str, modules: dict[str, str] | None = None, *, title: str = "") -> None:
        info = site / f"{name.replace('-', '_')}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {title or name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(entries)
        for module, text in (modules or {}).items():
            (site / f"{module}.py").write_text(text)
        importlib.invalidate_caches()

    return put
