"""The public surface as type checkers see it from outside: plugins of every kind, a training script, mistakes."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

import ktoformats
import ktoformats.testing

if TYPE_CHECKING:
    from collections.abc import Callable

FOLDER: Final = Path(__file__).parents[1] / "fixtures" / "typing"
WRONG: Final = (FOLDER / "wrong.txt").read_text(encoding="utf-8")
NAMES: Final = ("author.py", "user.py", "wrong.py")
MISTAKES: Final = [number for number, line in enumerate(WRONG.splitlines(), start=1) if line.endswith("# error")]
STRICT: Final = {"typeCheckingMode": "strict", "reportMissingTypeStubs": False, "reportMissingTypeArgument": False}
"""Arrow and numpy are not strict about their own types; that is not what is looked at here."""
FOREIGN: Final = (
    "reportUnknownMemberType",
    "reportUnknownParameterType",
    "reportUnknownVariableType",
    "reportUnknownArgumentType",
)


def mypy(folder: Path) -> list[tuple[str, int]]:
    """Where mypy --strict finds errors: file and line."""
    (folder / "mypy.ini").write_text("[mypy]\n[mypy-pyarrow.*]\nignore_missing_imports = True\n", encoding="utf-8")
    words = [sys.executable, "-m", "mypy", "--strict", "--no-pretty", *NAMES]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 1, done.stdout + done.stderr
    return [(file, int(line)) for file, line in re.findall(r"^(\S+?):(\d+): error: ", done.stdout, re.MULTILINE)]


def pyright(folder: Path) -> list[tuple[str, int]]:
    """Where pyright, strict, finds errors: file and line."""
    settings = STRICT | dict.fromkeys(FOREIGN, False) | {"include": list(NAMES)}
    (folder / "pyrightconfig.json").write_text(json.dumps(settings), encoding="utf-8")
    words = [
        sys.executable,
        "-m",
        "pyright",
        "--outputjson",
        "--pythonpath",
        sys.executable,
        "--project",
        str(folder),
    ]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    assert told["summary"]["filesAnalyzed"] == len(NAMES), done.stdout
    faults = [one for one in told["generalDiagnostics"] if one["severity"] == "error"]
    return [(Path(one["file"]).name, one["range"]["start"]["line"] + 1) for one in faults]


@pytest.mark.parametrize("checker", [mypy, pyright])
def test_authors_and_users_are_helped_by_types(
    checker: Callable[[Path], list[tuple[str, int]]], tmp_path: Path
) -> None:
    """What is right passes, and each mistake is found where it stands."""
    for name in NAMES:
        shutil.copyfile(FOLDER / name.replace("wrong.py", "wrong.txt"), tmp_path / name)
    assert sorted(set(checker(tmp_path))) == [("wrong.py", line) for line in MISTAKES]


def test_the_types_of_the_public_surface_are_complete(tmp_path: Path) -> None:
    """Every public name, with all that can be reached through it, has a type that is known."""
    # whatever --pythonpath says, what is verified is what the first `python` of the PATH would import
    path = os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"]))
    words = [sys.executable, "-m", "pyright", "--verifytypes", "ktoformats", "--ignoreexternal", "--outputjson"]
    done = subprocess.run(
        words, cwd=tmp_path, env=os.environ | {"PATH": path}, capture_output=True, text=True, check=False
    )
    told = json.loads(done.stdout)["typeCompleteness"]
    assert Path(told["packageRootDirectory"]) == Path(ktoformats.__file__).parent
    assert {f"ktoformats.{name}" for name in ktoformats.__all__ if not name.startswith("_")} <= {
        one["name"] for one in told["symbols"]
    }
    public = set(ktoformats.__all__) | set(ktoformats.testing.__all__)
    unknown = [
        one["name"]
        for one in told["symbols"]
        if one["isExported"] and not one["isTypeKnown"] and one["referenceCount"]
    ]
    assert [name for name in unknown if name.removeprefix("ktoformats.").split(".")[0] in public] == []


@pytest.mark.parametrize("module", [ktoformats, ktoformats.testing])
def test_every_public_name_is_there(module: object) -> None:
    names = getattr(module, "__all__")  # noqa: B009 - mypy knows no `__all__` of an object
    assert all(hasattr(module, name) for name in names)
    assert len(set(names)) == len(names)
