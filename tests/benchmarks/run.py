"""Measure ktoformats side by side with its peers, in one run.

    python tests/benchmarks/run.py [--quick] [--only build,memory] [--write]

Prints the tables as they come; `--write` puts them into docs/explanation/benchmarks.md. It needs the extra `bench`.
"""

from __future__ import annotations

import argparse
import logging
import os
import shlex
import sys
import tempfile
import time
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

# before anything imports datasets, which reads them once
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

from bench import peers, report
from bench.corpus import Corpora
from bench.settings import Settings

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.report import Section

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "explanation" / "benchmarks.md"
QUICK: Final[dict[str, Any]] = {
    "repeat": 2,
    "rows": 2_000,
    "peer_rows": 1_000,
    "sizes": (2_000, 10_000),
    "slow_rows": 2_000,
    "megabytes": 5,
    "access_rows": 2_000,
    "token_rows": 500,
}


SECTIONS: Final = {
    "build": "against:build",
    "peers": "against:against_peers",
    "trl": "against:against_trl",
    "mapping": "against:against_mappings",
    "memory": "growth:memory",
    "workers": "growth:workers",
    "startup": "growth:startup",
    "access": "access:access",
    "loader": "access:loader",
    "tokens": "tokens:tokens",
}
"""What can be measured, in the order of the page. Imported when its turn comes: torch is not for everyone."""
NEEDS: Final = {
    "peers": "datasets",
    "trl": "trl",
    "memory": "datasets",
    "access": "datasets",
    "loader": "datasets",
    "tokens": "trl",
}


def run(names: Sequence[str], settings: Settings, say: Callable[[str], object] = print) -> list[Section]:
    """Measure these sections and say each as soon as it is there.

    Raises:
        SystemExit: A peer is not installed, or the competitors make different samples.
    """
    missing = sorted({NEEDS[name] for name in names if name in NEEDS and not find_spec(NEEDS[name])})
    if missing:
        raise SystemExit(
            f"{' and '.join(missing)} missing: pip install -c constraints.txt -e '.[bench]', or use --only"
        )
    if set(names) & NEEDS.keys():
        peers.quiet()
    made = []
    for name in names:
        module, _, function = SECTIONS[name].partition(":")
        made.append(getattr(import_module(f"bench.{module}"), function)(settings))
        say("\n".join([*made[-1].lines(), ""]))
        sys.stdout.flush()
    return made


def options(words: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="small files and few runs: a look, no result")
    parser.add_argument("--only", help="sections, with commas between them: " + ",".join(SECTIONS))
    parser.add_argument("--repeat", type=int, help="paired runs of each comparison")
    parser.add_argument("--rows", type=int, help="rows of the files that are parsed and built")
    parser.add_argument("--peer-rows", type=int, help="rows of the files that the peers read, too")
    parser.add_argument("--sizes", help="rows of the growing files, with commas between them")
    parser.add_argument(
        "--slow-rows", type=int, help="the growing files up to so many rows are given to the peers, too"
    )
    parser.add_argument("--megabytes", type=int, help="size of the file for one worker and two")
    parser.add_argument("--access-rows", type=int, help="records behind the dataset that is accessed")
    parser.add_argument(
        "--write",
        nargs="?",
        const=PAGE,
        type=Path,
        metavar="PAGE",
        help=f"also write the page, by default {PAGE.relative_to(ROOT)}",
    )
    parser.add_argument("--check", action="store_true", help="end with status 1 when a goal is not met")
    parser.add_argument("--scratch", type=Path, help="where the files go, for a while (a few GB)")
    given = parser.parse_args(words)
    given.only = list(SECTIONS) if given.only is None else given.only.split(",")
    unknown = [name for name in given.only if name not in SECTIONS]
    if unknown:
        parser.error(f"no section {', '.join(unknown)}; there are {', '.join(SECTIONS)}")
    return given


def settings_of(given: argparse.Namespace, scratch: Path) -> Settings:
    """Sizes: the usual or the quick ones, and what the command line says."""
    values = dict(QUICK) if given.quick else {}
    said = {
        name: getattr(given, name)
        for name in ("repeat", "rows", "peer_rows", "slow_rows", "megabytes", "access_rows")
    }
    said["sizes"] = given.sizes and tuple(map(int, given.sizes.split(",")))
    values |= {name: value for name, value in said.items() if value is not None}
    return Settings(corpora=Corpora(scratch), scratch=scratch, **values)


def spelled(words: Sequence[str]) -> str:
    """The command, without the paths that differ from machine to machine."""
    kept: list[str] = []
    for word in words:
        if kept and kept[-1] in {"--write", "--scratch"} and not word.startswith("--"):
            continue
        kept.append(word)
    return shlex.join(["python", "tests/benchmarks/run.py", *(word for word in kept if word != "--scratch")])


def main(words: Sequence[str] | None = None) -> None:
    """Run, print, write."""
    given = options(words)
    logging.disable(logging.WARNING)
    load, start = os.getloadavg()[0], time.monotonic()
    with tempfile.TemporaryDirectory(dir=given.scratch, prefix="ktoformats-bench-") as name:
        made = run(given.only, settings_of(given, Path(name)))
    goals = [goal for section in made for goal in section.goals]
    print("\n".join(report.joined([["## Goals"], report.goals_table(goals).lines()])))
    if given.write:
        minutes = (time.monotonic() - start) / 60
        command = spelled(sys.argv[1:] if words is None else words)
        report.write_page(given.write, report.page_lines(command, minutes, load, made, quick=given.quick))
    if given.check and not all(goal.met for goal in goals):
        sys.exit(1)


if __name__ == "__main__":
    main()
