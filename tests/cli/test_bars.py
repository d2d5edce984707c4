"""What a terminal is told while work goes on: how much of it is done, how fast, how long yet."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats.cli import output
from ktoformats.cli.shared import Reporter, progress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

Told = dict[str, list[tuple[int, int]]]
ROWS = 60


@pytest.fixture
def source(lines: Callable[[Iterable[Any]], Path]) -> Path:
    records = [
        {"prompt": f"q{number}", "response": f"answer {number}", "label": ("good", "bad")[number % 2]}
        for number in range(ROWS)
    ]
    return lines(records)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Told:
    """What bars below the first are told, by their names; as on a terminal."""
    found: Told = {}
    real = Reporter.below

    @contextmanager
    def below(self: Reporter, what: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
        with real(self, what, unit) as tell:

            def listen(done: int, total: int) -> None:
                found.setdefault(what, []).append((done, total))
                tell(done, total)

            yield listen

    monkeypatch.setattr(Reporter, "below", below)
    monkeypatch.setattr(output, "draws_bars", lambda: True)
    return found


def test_a_conversion_tells_of_rows(
    command: Callable[..., Any], source: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ktoformats.train.writing._ROWS_AT_ONCE", 25)
    done = command("convert", source, "-o", "x.jsonl", "--to", "jsonl")
    assert done.status == 0, done.err
    assert told == {"writing": [(25, ROWS), (50, ROWS), (ROWS, ROWS)]}
    told.clear()
    shards = command("convert", source, "-o", "x", "--to", "jsonl", "--rows-per-shard", "40")
    assert shards.status == 0, shards.err
    assert told == {"writing": [(25, ROWS), (40, ROWS), (ROWS, ROWS)]}


def test_what_is_gone_over_twice_is_told_of_twice(command: Callable[..., Any], source: Path, told: Told) -> None:
    done = command("convert", source, "-o", "x.jsonl")  # trl looks at all before it writes
    assert done.status == 0, done.err
    assert len(told["writing"]) > 1
    assert set(told["writing"]) == {(ROWS, ROWS)}


def test_a_report_tells_of_its_parts(command: Callable[..., Any], source: Path, told: Told) -> None:
    pytest.importorskip("jinja2")
    done = command("report", source, "-o", "x.html")
    assert done.status == 0, done.err
    for what in ("looking", "drawing"):
        count = len(told[what])
        assert told[what] == [(number, count) for number in range(1, count + 1)]
    assert set(told) == {"looking", "drawing"}


def test_a_bar_says_rate_and_begins_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "draws_bars", lambda: True)
    with progress(100, shown=True) as bar:
        assert bar is not None
        with bar.below("writing", " rows") as tell:
            tasks = bar._bar.tasks
            assert [one.total for one in tasks] == [100, None]
            tell(1500, 2000)
            assert (tasks[1].completed, tasks[1].total) == (1500, 2000)
            assert tasks[1].fields["rate"].startswith("1,500 of 2,000 rows, ")
            assert tasks[1].fields["rate"].endswith("/s")
            before = tasks[1].start_time
            tell(500, 2000)
            assert tasks[1].completed == 500
            assert tasks[1].start_time > before  # or the rate would count the first time, too
        assert len(bar._bar.tasks) == 1


def test_without_a_size_the_bar_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "draws_bars", lambda: True)
    with progress(None, shown=True) as bar:
        assert bar is not None
        bar("-", 10, 1000)
        assert bar._bar.tasks[0].total is None
        assert bar._bar.tasks[0].fields["rate"].startswith("10 records, ")
    with progress(None, shown=False) as bar:
        assert bar is None
