"""A stranger's distribution from its project folder to `pip uninstall`, with a real wheel in a real venv."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

PYPROJECT = """
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "ktoformats-likert"
version = "0.3.0"
dependencies = ["ktoformats"]

[project.entry-points."ktoformats.formats"]
likert = "ktoformats_likert"
"""
CANARY = "import os, pathlib\npathlib.Path(os.environ['CANARY']).touch()\n"
PLUGIN = '''\
from ktoformats import Format, Rated, Scale, hookimpl
class Likert(Format):
    """Seven-point agreement answers."""
    reads = {"prompt", "answer", "likert"}
    scale: Scale = Scale(low=1, high=7, good_from=5, bad_to=3)
    def facts(self, row):
        yield Rated(row.context("prompt"), row.text("answer"), row["likert"], self.scale)
@hookimpl
def ktoformats_plugins():
    return [Likert]
'''
ANSWERS = """\
{"prompt": "p1", "answer": "r1", "likert": 7}
{"prompt": "p2", "answer": "r2", "likert": 5}
{"prompt": "p3", "answer": "r3", "likert": 4}
{"prompt": "p4", "answer": "r4", "likert": 1}
"""
STRICT = """
data:
  formats: [default, {likert: {scale: {low: 1, high: 7, good_from: 6, bad_to: 5}}}]
  balance_labels: false
"""


class House(NamedTuple):
    """A virtual environment that holds the plugin, and a folder to work in."""

    python: Path
    work: Path

    @property
    def canary(self) -> Path:
        """Appears when the plugin's module is imported."""
        return self.work / "canary"

    def run(self, *words: str, status: int = 0) -> str:
        """Run Python in the venv; returns what it printed."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("KTOFORMATS_", "PYTHON"))}
        own = {"CANARY": str(self.canary), "XDG_CACHE_HOME": str(self.work / "cache")}
        done = subprocess.run(
            [self.python, *words],
            cwd=self.work,
            env=clean | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout

    def json(self, *words: str, status: int = 0) -> Any:
        """Run a command of ours with --json."""
        return json.loads(self.run("-m", "ktoformats.cli.main", *words, "--json", status=status))

    def formats(self) -> list[tuple[str, str, str, str]]:
        """The third-party formats that `plugin list` shows."""
        listed = [one for one in self.json("plugin", "list") if one["distribution"] != "ktoformats"]
        return [(one["name"], one["distribution"], one["version"], one["state"]) for one in listed]

    def labels(self, *words: str) -> list[tuple[str, str]]:
        """Convert the answers; response and label of every sample."""
        self.json("convert", "answers.jsonl", "-o", "out.jsonl", "--to", "jsonl", *words)
        samples = map(json.loads, (self.work / "out.jsonl").read_text().splitlines())
        return [(sample["response"], sample["label"]) for sample in samples]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The stranger's wheel, built from the stranger's project."""
    project = tmp_path_factory.mktemp("ktoformats-likert")
    (project / "pyproject.toml").write_text(PYPROJECT)
    (project / "ktoformats_likert.py").write_text(CANARY + PLUGIN)
    done = subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", project],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    [made] = (project / "dist").iterdir()
    return made


@pytest.fixture
def house(wheel: Path, tmp_path: Path) -> Iterator[House]:
    """A venv that sees this environment's packages (an editable ktoformats, too) and has the wheel installed."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    paths = {"base": str(tmp_path / "venv"), "platbase": str(tmp_path / "venv")}
    own = Path(sysconfig.get_path("purelib", scheme="venv", vars=paths))
    shared = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # addsitedir and not a bare path: it follows the .pth file of an editable install
    lines = [f"import site; site.addsitedir({folder!r})\n" for folder in shared]
    (own / "shared.pth").write_text("".join(lines))
    made = House(python, tmp_path)
    made.run("-m", "pip", "install", "--quiet", "--no-deps", "--no-index", str(wheel))
    (tmp_path / "answers.jsonl").write_text(ANSWERS)
    yield made
    made.canary.unlink(missing_ok=True)


def test_a_strangers_plugin_lives_from_install_to_uninstall(house: House) -> None:
    assert house.formats() == [("likert", "ktoformats-likert", "0.3.0", "available")]
    house.json("convert", "answers.jsonl", "-o", "out.jsonl", "--set", "rating_column=likert", status=1)
    assert not house.canary.exists()

    assert house.labels("--format", "likert") == [("r1", "good"), ("r2", "good"), ("r4", "bad")]
    assert house.canary.exists()

    (house.work / "kto.yaml").write_text(STRICT)
    checked = house.json("config", "check", "kto.yaml")
    assert checked["plugins"]["format"]["likert"] == "ktoformats-likert 0.3.0"
    strict = [("r1", "good"), ("r2", "bad"), ("r3", "bad"), ("r4", "bad")]
    assert house.labels("--config", "kto.yaml") == strict
    assert house.labels("--config", "kto.yaml", "--workers", "2", "--no-cache") == strict

    house.run("-m", "pip", "uninstall", "--quiet", "--yes", "ktoformats-likert")
    assert house.formats() == []
    for words in (
        ("config", "check", "kto.yaml"),
        ("convert", "answers.jsonl", "-o", "x.jsonl", "--format", "likert"),
    ):
        error = house.json(*words, status=3)["error"]
        assert error["type"] == "PluginNotFoundError"
        assert error["message"].startswith(
            "no format plugin is called 'likert'; installed are: arabic-rating, binary"
        )
    assert not (house.work / "x.jsonl").exists()
