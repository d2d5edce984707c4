"""Real ranks over gloo with real workers: together they see every sample, in the same global batches."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from itertools import chain, product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ktoformats import ElasticBatchSampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.train.sampler import Remainder

SCRIPT: Final = Path(__file__).with_name("rank_script.py")
ROWS, SIZE = 1000, 48
RANKS = (1, 2, 3, 4, 6, 8)
WORKERS = (0, 1, 2, 3, 4)
ALL = list(product(RANKS, WORKERS))
SOME = [(1, 2), (2, 0), (2, 2), (3, 1), (4, 0), (4, 3)]

Job = dict[str, Any]


@pytest.fixture
def told(tmp_path: Path) -> Callable[[list[Job]], list[Any]]:
    """Run jobs, all of them in one process that forks the ranks."""

    def run(jobs: list[Job]) -> list[Any]:
        given, answers = tmp_path / "jobs.json", tmp_path / "answers.json"
        given.write_text(json.dumps(jobs))
        done = subprocess.run(
            [sys.executable, str(SCRIPT), str(given), str(answers)],
            capture_output=True,
            text=True,
            check=False,
            timeout=280,
        )
        assert done.returncode == 0, done.stderr
        found: list[Any] = json.loads(answers.read_text())
        return found

    return run


def sampled(ranks: int, workers: int, remainder: str, **options: Any) -> Job:
    job = {"kind": "sampler", "n": ROWS, "size": SIZE, "ranks": ranks, "workers": workers, "remainder": remainder}
    return job | options


def together(answers: list[Any]) -> list[list[int]]:
    """The global batches that the ranks had parts of."""
    parts = [one["batches"] for one in answers]
    steps = max(map(len, parts))
    return [list(chain(*(part[step] for part in parts if step < len(part)))) for step in range(steps)]


def check_sampled(told: Callable[[list[Job]], list[Any]], cases: list[tuple[int, int]], remainder: Remainder) -> None:
    expected = list(ElasticBatchSampler(range(ROWS), global_batch_size=SIZE, remainder=remainder))
    for case, answers in zip(cases, told([sampled(*case, remainder) for case in cases]), strict=True):
        assert together(answers) == expected, case
        assert len(answers) == case[0]
        steps = [len(one["batches"]) for one in answers]
        assert steps == [one["len"] for one in answers]
        assert max(steps) - min(steps) <= (remainder == "uneven")


def test_ranks_and_workers_share_the_same_global_batches(told: Callable[[list[Job]], list[Any]]) -> None:
    check_sampled(told, SOME, "pad")


@pytest.mark.campaign
@pytest.mark.parametrize("remainder", ["pad", "drop", "uneven"])
def test_all_ranks_and_workers_share_the_same_global_batches(
    remainder: Remainder, told: Callable[[list[Job]], list[Any]]
) -> None:
    check_sampled(told, ALL, remainder)


def test_a_run_goes_on_with_other_ranks_and_workers(told: Callable[[list[Job]], list[Any]]) -> None:
    """8, then 4, then 6 ranks, each with workers that have read ahead when the run is stopped."""
    jobs = [
        sampled(8, 1, "pad", steps=5),
        sampled(4, 2, "pad", steps=6, resumes=True),
        sampled(6, 1, "pad", resumes=True),
    ]
    runs = told(jobs)
    assert [len(together(answers)) for answers in runs] == [5, 6, 10]
    assert all(one["state"] == answers[0]["state"] for answers in runs for one in answers)
    expected = list(ElasticBatchSampler(range(ROWS), global_batch_size=SIZE))
    assert list(chain(*map(together, runs))) == expected


@pytest.fixture
def files(tmp_path: Path) -> list[str]:
    """Three files of which two have several blocks: 3 MiB in all."""
    made, number = [], 0
    for name, count in (("a", 100), ("b", 3), ("c", 60)):
        path = tmp_path / f"{name}.jsonl"
        with path.open("w") as file:
            for _ in range(count):
                record = {"prompt": f"p{number}", "response": f"answer {number} " + "so " * 7000, "label": "good"}
                file.write(json.dumps(record) + "\n")
                number += 1
        made.append(str(path))
    return made


def check_streamed(told: Callable[[list[Job]], list[Any]], cases: list[tuple[int, int]], files: list[str]) -> None:
    jobs: list[Job] = [
        {"kind": "stream", "files": files, "ranks": ranks, "workers": workers, "window": 20, "shuffle": workers != 2}
        for ranks, workers in cases
    ]
    for job, answers in zip(jobs, told(jobs), strict=True):
        seen = Counter(chain.from_iterable(batch for one in answers for batch in one["batches"]))
        case = job["ranks"], job["workers"]
        assert seen == Counter(f"p{number}" for number in range(163)), case
        assert sum(bool(one["batches"]) for one in answers) >= min(case[0], 3), "the ranks share the work"


def test_the_samples_of_a_stream_are_shared_by_ranks_and_workers(
    files: list[str], told: Callable[[list[Job]], list[Any]]
) -> None:
    check_streamed(told, [(2, 2), (3, 0), (2, 4)], files)


@pytest.mark.campaign
def test_the_samples_of_a_stream_are_shared_by_all_ranks_and_workers(
    files: list[str], told: Callable[[list[Job]], list[Any]]
) -> None:
    """With up to 32 consumers for 6 blocks."""
    check_streamed(told, ALL, files)
