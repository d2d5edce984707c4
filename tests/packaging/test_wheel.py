"""What is in the wheel, and that what is declared is what is installed.

`.ci/run` runs the suite against an installed wheel, too; it names that wheel in KTOFORMATS_TEST_WHEEL.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import distribution
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from packaging.metadata import Metadata
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ktoformats
import ktoformats_plugins
from ktoformats import Registry
from ktoformats.plugin.discovery import discover
from ktoformats.plugin.kinds import GROUPS

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DECLARED = {
    (kind, name, module) for kind, group in GROUPS.items() for name, module in PROJECT["entry-points"][group].items()
}
CORE = Path(ktoformats.__file__).parent
PLUGINS = Path(ktoformats_plugins.__file__).parent


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.Path:
    """The wheel's contents."""
    given = os.environ.get("KTOFORMATS_TEST_WHEEL")
    if given:
        return zipfile.Path(given)
    folder = tmp_path_factory.mktemp("dist")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(build, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    [made] = folder.iterdir()
    return zipfile.Path(made)


def test_the_wheel_holds_the_two_packages_and_nothing_else(wheel: zipfile.Path) -> None:
    info = f"ktoformats-{ktoformats.__version__}.dist-info"
    assert {entry.name for entry in wheel.iterdir()} == {"ktoformats", "ktoformats_plugins", info}


def test_every_file_of_the_packages_is_in_the_wheel(wheel: zipfile.Path) -> None:
    packed = set(wheel.root.namelist())
    for package in (CORE, PLUGINS):
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert path.relative_to(package.parent).as_posix() in packed


@pytest.mark.parametrize("name", ["ktoformats/py.typed", "ktoformats_plugins/py.typed", "ktoformats/cli/demo.jsonl"])
def test_data_files_are_in_the_wheel_and_can_be_read(wheel: zipfile.Path, name: str) -> None:
    package, _, file = name.partition("/")
    assert (wheel / name).read_bytes() == files(package).joinpath(file).read_bytes()


def test_the_licence_is_in_the_wheel(wheel: zipfile.Path) -> None:
    assert [name for name in wheel.root.namelist() if name.endswith("/licenses/LICENSE")]


def test_the_metadata_is_valid_and_leaves_room_for_other_versions(wheel: zipfile.Path) -> None:
    text = wheel.joinpath(f"ktoformats-{ktoformats.__version__}.dist-info", "METADATA").read_bytes()
    metadata = Metadata.from_email(text, validate=True)
    needed = {str(one.specifier)[:2] for one in metadata.requires_dist or [] if one.specifier}
    assert needed == {">="}
    assert [str(one) for one in metadata.requires_dist or [] if one.marker is None] == PROJECT["dependencies"]


def test_every_dependency_has_an_exact_version_that_it_allows() -> None:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    extras = PROJECT["optional-dependencies"].values()
    for requirement in map(Requirement, [*PROJECT["dependencies"], *(one for extra in extras for one in extra)]):
        assert requirement.specifier.contains(pins[canonicalize_name(requirement.name)])


def test_the_demo_file_holds_every_first_party_format() -> None:
    lines = files("ktoformats").joinpath("cli/demo.jsonl").read_bytes().split(b"\n")
    assert len([json.loads(line) for line in lines if line]) >= len(PROJECT["entry-points"][GROUPS["format"]])


def test_both_packages_come_from_one_place() -> None:
    """After a non-editable install a wrong path takes the core from the checkout and the plugins from elsewhere."""
    assert PLUGINS.parent in (CORE.parent, CORE.parent / "plugins")


def test_there_is_one_version() -> None:
    assert distribution("ktoformats").version == ktoformats.__version__ == PROJECT["version"]


def test_what_is_declared_is_what_is_installed() -> None:
    """When this fails after an edit of pyproject.toml: `pip install -e .` again."""
    installed = {(one.kind, one.name, one.module) for one in discover() if one.first_party and one.kind in GROUPS}
    assert installed == DECLARED


@pytest.mark.parametrize(("kind", "name", "module"), sorted(DECLARED), ids=lambda part: part)
def test_every_declared_plugin_loads(kind: str, name: str, module: str) -> None:
    loaded = Registry().load(kind, name)
    assert loaded.found.first_party
    assert loaded.cls.__module__ == module


def test_one_file_is_one_plugin_is_one_line() -> None:
    modules = {
        ".".join(path.relative_to(PLUGINS.parent).with_suffix("").parts)
        for path in PLUGINS.glob("*/*.py")
        if not path.name.startswith("_")
    }
    assert modules == {module for _, _, module in DECLARED}
    assert len(modules) == len(DECLARED)


@pytest.mark.parametrize("name", ktoformats.__all__)
def test_every_public_name_resolves(name: str) -> None:
    assert getattr(ktoformats, name) is not None
    assert name in dir(ktoformats)


def test_an_unknown_public_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'ktoformats' has no attribute 'Formatt'"):
        _ = ktoformats.Formatt  # type: ignore[attr-defined]


def test_type_checkers_see_exactly_the_names_that_are_there() -> None:
    tree = ast.parse((CORE / "__init__.py").read_text(encoding="utf-8"))
    [block] = [node for node in tree.body if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"]
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    assert len(imports) == len(block.body)
    aliases = [(node.module, alias.name, alias.asname) for node in imports for alias in node.names]
    expected = [(home, name, name) for home, names in ktoformats._HOMES.items() for name in names]
    assert sorted(aliases) == sorted(expected)
    assert sorted(ktoformats.__all__) == sorted({"__version__", *(name for _, name, _ in expected)})
