"""The catalogue as a whole: no case is missing, and it holds where assertions are off and warnings are errors."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

HERE: Final = Path(__file__).parent
ROOT: Final = HERE.parent.parent
CASES: Final = range(1, 108)
TABLES: Final = ("test_lines.py", "test_files.py", "test_preferences.py", "test_peers.py")


def run_pytest(*args: str, interpreter: tuple[str, ...] = ()) -> str:
    command = [
        sys.executable,
        *interpreter,
        "-m",
        "pytest",
        "-q",
        "-p",
        "no:randomly",
        "-p",
        "no:cacheprovider",
        *args,
    ]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=1800)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_every_case_of_the_catalogue_has_a_test_that_names_it() -> None:
    listed = run_pytest("--collect-only", str(HERE))
    named = {int(number) for number in re.findall(r"case[-_](\d+)", listed)}
    assert named - set(CASES) == set()
    assert set(CASES) - named == set()


STRICT: Final = ("-O", "-W", "error")
# pytest says that under -O the assertions outside of test modules do nothing, and there are none
QUIET: Final = ("-W", "ignore:assertions not in test modules")


def test_a_sample_of_the_catalogue_holds_without_assertions_and_with_warnings_as_errors() -> None:
    chosen = " or ".join(f"case-{number}" for number in ("01", 27, 44, 60, 77, 83, 97))
    paths = [str(HERE / name) for name in TABLES]
    assert " passed" in run_pytest(*QUIET, "-k", chosen, *paths, interpreter=STRICT)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("interpreter", [("-O",), ("-W", "error")], ids=" ".join)
def test_the_whole_catalogue_holds(interpreter: tuple[str, ...]) -> None:
    out = run_pytest(*QUIET, *[str(HERE / name) for name in TABLES], interpreter=interpreter)
    print(" ".join(interpreter), out.splitlines()[-1])  # noqa: T201 - the figures of a campaign are its result
