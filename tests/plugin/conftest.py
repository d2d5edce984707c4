"""Plugins as pip would leave them: a `.dist-info` folder and a module on the path, gone after the test."""

from __future__ import annotations

import importlib
import os
import subprocess
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

COMMAND = Path(sysconfig.get_path("scripts")) / "ktoformats"


@pytest.fixture
def fake_site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder at the head of `sys.path`."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.delenv("KTOFORMATS_PLUGINS", raising=False)
    monkeypatch.syspath_prepend(folder)
    return folder


@pytest.fixture
def install(fake_site: Path) -> Callable[..., Path]:
    """`install("acme-likert", {"ktoformats.formats": {"likert": "acme"}}, {"acme": SOURCE})`."""

    def write(
        distribution: str,
        points: Mapping[str, Mapping[str, str]],
        modules: Mapping[str, str] | None = None,
        *,
        version: str = "1.0",
        site: Path = fake_site,
    ) -> Path:
        info = site / f"{distribution.replace('-', '_')}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: {version}\n")
        groups = (f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items()) for group, keys in points.items())
        (info / "entry_points.txt").write_text("\n".join(groups))
        for name, source in (modules or {}).items():
            (site / f"{name}.py").write_text(source)
        importlib.invalidate_caches()
        return info

    return write


@pytest.fixture
def run(tmp_path: Path, fake_site: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run the installed command in a process of its own that sees the fake folder."""

    def start(*words: object, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("KTOFORMATS_", "PYTHON"))}
        own = {"PYTHONPATH": str(fake_site), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        return subprocess.run(
            [COMMAND, *map(str, words)],
            env=clean | own | environment,
            cwd=tmp_path,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )

    return start


@pytest.fixture
def votes(tmp_path: Path) -> Path:
    """A file that the first-party formats read."""
    path = tmp_path / "votes.jsonl"
    path.write_text(
        '{"prompt": "p1", "response": "r1", "label": "good"}\n{"prompt": "p2", "response": "r2", "label": "bad"}\n'
    )
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Path:
    """A file that only the Likert plugin reads."""
    path = tmp_path / "answers.jsonl"
    path.write_text(
        '{"prompt": "p1", "answer": "r1", "likert": 7}\n'
        '{"prompt": "p2", "answer": "r2", "likert": 1}\n'
        '{"prompt": "p3", "answer": "r3", "likert": 4}\n'
    )
    return path
