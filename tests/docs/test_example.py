"""Pages that install something do what they say, from the build to the uninstall, each in a venv of its own."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import venv
import zipfile
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "ktoformats-dialect"
TRACKING = EXAMPLE.with_name("ktoformats-tracking")
README = (EXAMPLE / "README.md").read_text(encoding="utf-8")
TUTORIAL = (EXAMPLE.parents[1] / "tutorial" / "your-first-plugin.md").read_text(encoding="utf-8")
FENCE = re.compile(r"^```(?P<info>[^\n`]*)\n(?P<body>.*?)^```$", re.DOTALL | re.MULTILINE)
COMMANDS = ("ktoformats", "mypy", "pip", "pytest")
"""What must run in the page's venv; `ruff` looks at nothing that is installed."""
CLEARED = ("KTOFORMATS_", "PIP_", "PYTEST_", "PYTHON", "VIRTUAL_ENV")
SCRIPT = "#!{python}\nimport sys\nfrom {module} import {attr}\nsys.exit({attr}())\n"


class Block(NamedTuple):
    """A fenced block; `docs/index.md` says what the words behind its language mean."""

    language: str
    words: tuple[str, ...]
    body: str

    def value(self, key: str) -> str:
        """The value of `key=value` behind the language."""
        return next((word.partition("=")[2] for word in self.words if word.startswith(f"{key}=")), "")


def blocks(text: str) -> Iterator[Block]:
    for found in FENCE.finditer(text):
        language, *words = shlex.split(found["info"])
        yield Block(language, tuple(words), found["body"])


def files(example: Path = EXAMPLE) -> set[str]:
    """What the distribution consists of; what tools leave behind is no part of it."""
    names = {path.relative_to(example).as_posix() for path in example.rglob("*") if path.is_file()}
    return {name for name in names if not re.search(r"(^|/)(\.|__pycache__/|build/|dist/)", name)}


RUN = [block for block in blocks(README) if "run" in block.words]


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


class House(NamedTuple):
    """An empty folder, and a venv that sees this environment's packages (an editable ktoformats, too)."""

    folder: Path
    bin: Path
    types: Path
    """What mypy knows of our dependencies from earlier runs; without it, it reads them for ten seconds."""

    def environment(self) -> dict[str, str]:
        """The venv's commands first, caches of our own, no index to ask."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith(CLEARED)}
        return kept | {
            "MYPY_CACHE_DIR": str(self.types),
            "PATH": os.pathsep.join((str(self.bin), str(Path(sys.executable).parent), os.environ["PATH"])),
            "PIP_DISABLE_PIP_VERSION_CHECK": "1",
            "PIP_NO_BUILD_ISOLATION": "0",  # pip reads it the other way round: do not isolate
            "PIP_NO_DEPS": "1",
            "PIP_NO_INDEX": "1",
            "PYTHONIOENCODING": "utf-8",
            "XDG_CACHE_HOME": str(self.bin / "cache"),
        }

    def run(self, block: Block) -> str:
        """Run a block and return what it printed; it must end as the README says."""
        done = subprocess.run(
            [self.bin / "python", "-"] if block.language == "python" else ["bash", "-euo", "pipefail"],
            input=block.body,
            cwd=self.folder,
            env=self.environment(),
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        assert done.returncode == int(block.value("exit") or 0), f"{block.body}\n{done.stdout}\n{done.stderr}"
        return done.stdout + done.stderr

    def follow(self, page: str) -> None:
        """Run the blocks of a page in their order, and compare what they print."""
        printed: list[str] = []
        for block in blocks(page):
            if name := block.value("file"):
                (self.folder / name).write_text(block.body, encoding="utf-8")
            elif "run" in block.words:
                printed = squeezed(self.run(block))
            elif "output" in block.words:
                missing = [line for line in squeezed(block.body) if line and line not in printed]
                assert not missing, f"not printed: {missing}; printed were {printed}"


@pytest.fixture
def house(tmp_path: Path, pytestconfig: pytest.Config) -> House:
    folder, top = tmp_path / "work", tmp_path / "venv"
    folder.mkdir()
    venv.create(top, symlinks=True)
    own = Path(sysconfig.get_path("purelib", scheme="venv", vars={"base": str(top), "platbase": str(top)}))
    shared = sorted({sysconfig.get_path("purelib"), sysconfig.get_path("platlib")})
    # addsitedir and not a bare path: it follows the .pth file of an editable install
    (own / "shared.pth").write_text("".join(f"import site; site.addsitedir({one!r})\n" for one in shared))
    for point in (one for one in entry_points(group="console_scripts") if one.name in COMMANDS):
        script = top / "bin" / point.name
        script.write_text(SCRIPT.format(python=top / "bin" / "python", module=point.module, attr=point.attr))
        script.chmod(0o755)
    cache = pytestconfig.cache
    return House(folder, top / "bin", tmp_path / "types" if cache is None else cache.mkdir("example-types"))


def test_the_tutorial_holds_from_an_empty_folder_to_the_uninstall(house: House) -> None:
    """One test, for every step needs the ones before it."""
    house.follow(TUTORIAL)
    assert [path.name for path in house.folder.glob("*/dist/*.whl")] == [
        "ktoformats_side_votes-0.1.0-py3-none-any.whl"
    ]
    assert not list(house.bin.parent.glob("lib/*/site-packages/*side_votes*"))


@pytest.mark.parametrize("example", [EXAMPLE, TRACKING], ids=lambda example: example.name)
def test_the_readme_holds_from_the_build_to_the_uninstall(example: Path, house: House) -> None:
    """One test, for every step needs the ones before it."""
    ignored = shutil.ignore_patterns("__pycache__", ".*", "build", "dist")
    shutil.copytree(example, house.folder, ignore=ignored, dirs_exist_ok=True)
    house.follow((example / "README.md").read_text(encoding="utf-8"))
    [wheel] = (house.folder / "dist").iterdir()
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    module = example.name.replace("-", "_")
    assert packed == {name for name in files(example) if name.startswith(f"{module}/")}
    assert not list(house.bin.parent.glob(f"lib/*/site-packages/*{module.removeprefix('ktoformats_')}*"))


@pytest.mark.parametrize(
    "line",
    [
        "python -m build --wheel --no-isolation",
        "pip install dist/ktoformats_dialect-0.1.0-py3-none-any.whl",
        "ktoformats convert samples.jsonl -o train.jsonl --format dialect",
        "ktoformats convert --config kto.yaml -o train.jsonl",
        "loader = KTODataLoader(config)",
        "ktoformats plugin check ktoformats-dialect",
        "python -m pytest --quiet",
        "ruff check .",
        "ruff format --check .",
        "mypy .",
        "pip uninstall --yes ktoformats-dialect",
    ],
)
def test_the_readme_runs_every_step_of_an_author(line: str) -> None:
    assert [block for block in RUN if line in block.body.splitlines()]


@pytest.mark.parametrize("example", [EXAMPLE, TRACKING], ids=lambda example: example.name)
def test_the_readme_says_what_each_file_is_for(example: Path) -> None:
    text = (example / "README.md").read_text(encoding="utf-8").partition("## What each file is for")[2]
    told = re.findall(r"^\| `(\S+)` \| \S.+ \|$", text, re.MULTILINE)
    assert sorted([*told, "README.md"]) == sorted(files(example))


def test_every_observer_of_the_example_has_a_row_in_its_readme() -> None:
    project = tomllib.loads((TRACKING / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    text = (TRACKING / "README.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([\w-]+)` \| .* \| `pip install '(.*)'` \|$", text, re.MULTILINE)
    names = {name: f"ktoformats-tracking[{name.removeprefix('tracking-')}]" for name, _ in told}
    assert dict(told) == names
    assert project["entry-points"]["ktoformats.observers"].keys() == names.keys()
    assert {f"ktoformats-tracking[{extra}]" for extra in project["optional-dependencies"]} >= set(names.values())


def test_each_kind_has_one_entry_point_and_a_row_in_the_readme() -> None:
    project = tomllib.loads((EXAMPLE / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = project["entry-points"]
    assert set(groups) == {f"ktoformats.{kind}" for kind in ("formats", "labels", "quality", "utilities", "presets")}
    for [name] in groups.values():
        assert re.search(rf"^\| \w+ \| `{name}` \| \S.+ \|$", README, re.MULTILINE)
