"""What grows with a file: time and memory; what more workers give; and what a start costs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pyarrow.parquet as pq

from bench import specification
from bench.against import WARM_ROWS
from bench.child import BUILD, CACHED
from bench.corpus import FORMATS
from bench.measure import command_seconds, in_child, ratio, spread, turns
from bench.report import Goal, Section, Table, number, shown

if TYPE_CHECKING:
    from bench.measure import Peak
    from bench.settings import Settings

MB: Final = 1e-6
SMALL: Final = 1000
"""Rows from which the size of a file is reckoned."""
STARTS: Final = 3
"""Starting is short: it is measured so many times as often."""


def growth_goals(sizes: tuple[int, ...], who: str, peaks: dict[tuple[str, int], list[Peak]]) -> list[Goal]:
    """Memory stays flat, and a row costs the same."""
    small, before, large = sizes[0], sizes[-2], sizes[-1]
    least, lesser, most = (peaks[who, size] for size in (small, before, large))
    name = f"`{who}`, {number(large)} rows"
    flat = ratio([float(peak.bytes) for peak in most], [float(peak.bytes) for peak in lesser])
    same = ratio([peak.seconds / large for peak in most], [peak.seconds / small for peak in least])
    return [
        Goal(f"peak memory of {name}", True, 300, spread(peak.bytes * MB for peak in most), " MB"),
        Goal(f"peak memory of {name}, against {number(before)}", True, 1.1, flat, " times"),
        Goal(f"time per row of {name}, against {number(small)}", True, 1.25, same, " times"),
    ]


def memory(settings: Settings) -> Section:
    """Peak memory and time per row, as files grow."""
    slow = tuple(size for size in settings.sizes if size <= settings.slow_rows)
    sizes = {CACHED: settings.sizes, BUILD: settings.sizes, "datasets": slow, "specification": slow}
    # the specification's loop reads two formats, so its files hold those
    kinds = {who: specification.READS if who == "specification" else FORMATS for who in sizes}
    runs = {f"{who}, {number(size)} rows": (who, size) for who in sizes for size in sizes[who]}
    peaks: dict[tuple[str, int], list[Peak]] = {run: [] for run in runs.values()}
    for name in turns(runs, settings.repeat):
        who, size = runs[name]
        source, first = (settings.corpora.file(kinds[who], "Arabic", rows) for rows in (size, WARM_ROWS))
        peaks[who, size].append(in_child(who, source, first, settings.scratch))
    rows = [
        (
            name,
            number(spread(peak.seconds for peak in peaks[run]).times(1e6 / run[1]).median),
            shown(spread(peak.bytes * MB for peak in peaks[run])),
            shown(spread(peak.anonymous * MB for peak in peaks[run])),
        )
        for name, run in runs.items()
    ]
    goals = [goal for who in (CACHED, BUILD) for goal in growth_goals(settings.sizes, who, peaks)]
    text = f"""
Each run is a process of its own. `peak` is the highest resident memory (`VmHWM`) above what the process held after its
imports and a run over {WARM_ROWS} rows. It counts the pages of memory-mapped files, which the system takes back when it
needs them; `anonymous` leaves them out (`RssAnon`, sampled every 5 ms). `build` caches the samples in a file, as the command
does unless told otherwise; with `--no-cache` nothing is kept. Five formats mixed, Arabic; the specification's loop, which
holds everything in memory, on the two formats it reads; `datasets` with the formula for speed, one process.
The slow ones stop at {number(settings.slow_rows)} rows."""
    headings = ("run", "us a row", "peak MB", "anonymous MB")
    return Section("Memory, and growth", text, [Table(headings, rows)], goals)


def command() -> str:
    """The installed command.

    Raises:
        SystemExit: It is not beside this Python.
    """
    path = Path(sys.executable).with_name("ktoformats")
    if not path.exists():
        raise SystemExit(f"{path} is missing: install ktoformats into this environment")
    return str(path)


def workers(settings: Settings) -> Section:
    """A large file, by one worker and by two."""
    sample = settings.corpora.file(FORMATS, "Arabic", SMALL)
    rows = round(settings.megabytes / MB / (sample.stat().st_size / SMALL))
    source = settings.corpora.file(FORMATS, "Arabic", rows)
    seconds: dict[str, list[float]] = {"1": [], "2": []}
    targets = {count: settings.scratch / f"workers-{count}.parquet" for count in seconds}
    for count in turns(seconds, settings.repeat):
        words = [
            command(),
            "convert",
            str(source),
            "-o",
            str(targets[count]),
            "--to",
            "parquet",
            "--no-cache",
            "--json",
        ]
        seconds[count].append(command_seconds([*words, "--workers", count]))
    one, two = (pq.ParquetFile(path) for path in targets.values())
    if one.metadata.num_rows != two.metadata.num_rows or any(
        first != second for first, second in zip(one.iter_batches(), two.iter_batches(), strict=True)
    ):
        raise SystemExit("two workers write other samples than one")
    alike = targets["1"].read_bytes() == targets["2"].read_bytes()
    faster = ratio(seconds["1"], seconds["2"])
    size = source.stat().st_size * MB
    text = f"""
`ktoformats convert FILE -o OUT.parquet --to parquet --no-cache --workers N` as a command, from start to end, on a file of
{size:.0f} MB and {number(rows)} rows. The samples were the same in the same order; the two files were
{"identical to the byte" if alike else "equal in every value, though not to the byte"}."""
    cells = [shown(spread(seconds[count])) for count in seconds]
    table = Table(("file", "1 worker s", "2 workers s", "times as fast"), [(f"{size:.0f} MB", *cells, shown(faster))])
    return Section(
        "Workers", text, [table], [Goal(f"two workers against one, {size:.0f} MB", False, 1.7, faster, " times")]
    )


def startup(settings: Settings) -> Section:
    """From the shell to the answer."""
    python = sys.executable
    commands = {
        "python -c 'import numpy, pyarrow'": [python, "-c", "import numpy, pyarrow"],
        "python -c 'import ktoformats'": [python, "-c", "import ktoformats"],
        "ktoformats --version": [command(), "--version"],
        "ktoformats plugin list": [command(), "plugin", "list"],
    }
    bounds = dict(zip(list(commands)[1:], (1.5, 1.5, 2.5), strict=True))
    for words in commands.values():
        command_seconds(words)
    seconds: dict[str, list[float]] = {name: [] for name in commands}
    for name in turns(commands, STARTS * settings.repeat):
        seconds[name].append(command_seconds(commands[name]))
    base = seconds[next(iter(commands))]
    times = {name: ratio(taken, base) for name, taken in seconds.items()}
    rows = [(f"`{name}`", shown(spread(taken).times(1e3)), shown(times[name])) for name, taken in seconds.items()]
    goals = [
        Goal(f"`{name}` against `import numpy, pyarrow`", True, bound, times[name], " times")
        for name, bound in bounds.items()
    ]
    text = """
Each command in turn, with warm files. What the libraries cost that every such tool imports is the measure."""
    return Section("Start-up", text, [Table(("command", "ms", "times the first"), rows)], goals)
