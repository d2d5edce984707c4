"""Whole builds, side by side with parsing, the specification's loop, `datasets`, TRL, and mappings."""

from __future__ import annotations

import json
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import orjson

from bench import ours, peers, specification
from bench.corpus import FORMATS, LANGUAGES, WHOLE_DIALOGUES
from bench.measure import paired, ratio, same, spread
from bench.report import Goal, Section, Table, number, shown

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from bench.measure import Spread, Work
    from bench.settings import Settings

    Works = dict[str, Work]

WARM_ROWS: Final = 100
PARSES: Final = 3
"""Parsing is so short that one measurement takes it several times."""
FILES: Final = {"five formats mixed": FORMATS, **{kind: (kind,) for kind in FORMATS}}
BUILD: Final = "build"
SCORED: Final = "build, same formula"
TWO: Final = "build, 2 workers"
LOOP: Final = "specification's loop"
HF: Final = "datasets"
HF_FAST: Final = "datasets, formula for speed"
HF_TWO: Final = "datasets, num_proc=2"
RATIOS: Final = ((LOOP, BUILD), (HF, BUILD), (HF_FAST, BUILD), (HF_FAST, SCORED), (HF_TWO, TWO))
COMPARED: Final = (*peers.COLUMNS, *peers.SCORES)


def measured(settings: Settings, source: Path, first: Path, works: Callable[[Path], Works]) -> dict[str, list[float]]:
    """Seconds of each competitor on a file, after each has seen a small one."""
    paired(works(first), 1, settings.scratch)
    return paired(works(source), settings.repeat, settings.scratch)


def per_row(seconds: list[float], rows: int) -> str:
    """Microseconds for one row, the median."""
    return number(spread(seconds).times(1e6 / rows).median)


def parse_work(source: Path) -> Works:
    """Parsing alone, of lines that are in memory."""
    lines = source.read_bytes().splitlines()

    def dropped(_: Path) -> None:
        for _again in range(PARSES):
            for line in lines:
                orjson.loads(line)

    return {"dropped": dropped, "kept": lambda _: [orjson.loads(line) for line in lines]}


def build_work(source: Path, *words: str) -> Work:
    """The whole build, as the command does it."""
    return lambda folder: ours.convert(source, folder / "out.parquet", *words)


def build(settings: Settings) -> Section:
    """The build and bare parsing."""
    rows, goals = [], []
    for language in LANGUAGES:
        for label, kinds in FILES.items():
            source = settings.corpora.file(kinds, language, settings.rows)
            first = settings.corpora.file(kinds, language, WARM_ROWS)
            seconds = measured(settings, source, first, lambda path: parse_work(path) | {BUILD: build_work(path)})
            parse = [one / PARSES for one in seconds["dropped"]]
            times = ratio(seconds[BUILD], parse)
            columns = [per_row(one, settings.rows) for one in (parse, seconds["kept"], seconds[BUILD])]
            size = number(source.stat().st_size / settings.rows)
            rows.append((f"{language}, {label}", size, *columns, shown(times)))
            if label == "five formats mixed":
                goals.append(Goal(f"the build against bare parsing, {language}, mixed", True, 6, times, " times"))
    text = f"""
`parse` is `orjson.loads` of every line, the lines in memory and each result dropped at once: the least that parsing can
cost. `parse, kept` holds all results in a list, for information. `build` is what
`ktoformats convert FILE -o OUT.parquet --to parquet --no-cache` does: reading, detecting, labels, default quality, utility,
filters, accounting, writing, by one worker. Files of {number(settings.rows)} rows; microseconds for a row, medians. The last
column is how many times bare parsing the build costs; the aim is 4, the bound 6."""
    headings = ("file", "bytes a row", "parse us", "parse, kept us", "build us", "build / parse")
    return Section("Build and bare parsing", text, [Table(headings, rows)], goals)


def peer_works(kinds: tuple[str, ...]) -> Callable[[Path], Works]:
    """Everybody who can read these formats."""

    def works(source: Path) -> Works:
        def with_datasets(folder: Path, **options: Any) -> object:
            return peers.hugging_face(source, folder / "out.parquet", **options)

        made: Works = {
            BUILD: build_work(source),
            SCORED: build_work(source, *ours.SPECIFICATION_SCORER),
            HF: with_datasets,
            HF_FAST: partial(with_datasets, formula="for speed"),
        }
        if kinds == FORMATS:
            made |= {TWO: build_work(source, "--workers", "2"), HF_TWO: partial(with_datasets, processes=2)}
        if set(kinds) <= set(specification.READS):
            made[LOOP] = lambda _: specification.load(source)
        return made

    return works


def check_peers(kinds: tuple[str, ...], source: Path, folder: Path) -> int:
    """Make sure that everybody makes the same samples with the same scores; how many.

    Raises:
        SystemExit: They do not.
    """
    samples = {
        SCORED: ours.samples(ours.convert(source, folder / "ours.parquet", *ours.SPECIFICATION_SCORER), COMPARED)
    }
    variants: dict[str, dict[str, Any]] = {HF: {}, HF_FAST: {"formula": "for speed"}}
    if kinds == FORMATS:
        variants[HF_TWO] = {"processes": 2}
    for name, options in variants.items():
        target = folder / f"peer-{len(samples)}.parquet"
        samples[name] = ours.samples(peers.hugging_face(source, target, **options), COMPARED)
    if set(kinds) <= set(specification.READS):
        samples[LOOP] = [
            {column: [] if column == "conversation" else one[column] for column in COMPARED}
            for one in specification.load(source)
        ]
    same(source.name, samples)
    return len(samples[SCORED])


def against_peers(settings: Settings) -> Section:
    """The build, the specification's loop and `datasets`."""
    absolute, relative, goals = [], [], []
    for label, language, kinds in [(label, "Arabic", kinds) for label, kinds in FILES.items()] + [
        ("five formats mixed", "English", FORMATS)
    ]:
        source = settings.corpora.file(kinds, language, settings.peer_rows)
        first = settings.corpora.file(kinds, language, WARM_ROWS)
        with_folder = settings.scratch / f"check-{label}-{language}"
        with_folder.mkdir()
        check_peers(kinds, first, with_folder)
        seconds = measured(settings, source, first, peer_works(kinds))
        name = f"{language}, {label}"
        times = {
            (one, other): ratio(seconds[one], seconds[other])
            for one, other in RATIOS
            if one in seconds and other in seconds
        }
        competitors = (BUILD, SCORED, TWO, LOOP, HF, HF_FAST, HF_TWO)
        absolute.append(
            (name, *(per_row(seconds[who], settings.peer_rows) if who in seconds else "" for who in competitors))
        )
        relative.append((name, *(shown(times[pair]) if pair in times else "" for pair in RATIOS)))
        if LOOP in seconds:
            what = f"the specification's loop against the build, {name}"
            goals.append(Goal(what, False, 5, times[LOOP, BUILD], " times"))
        if kinds == FORMATS:
            goals += [
                Goal(f"`{who}` against the build, {name}", False, 8, times[who, BUILD], " times")
                for who in (HF, HF_FAST)
            ]
    text = f"""
Files of {number(settings.peer_rows)} rows. The first table has microseconds for a row of the source (medians), the second how
many times as long the other takes. Before anything is timed, everybody reads a small file of the same kind, and the samples
of `{SCORED}`, of `datasets` and of the loop must be equal: texts, labels, contexts, quality and utility to the last
bit.

- `{SCORED}` is the build with the specification's quality formula instead of the default scorer, which measures
  more.
- `{LOOP}` reads {" and ".join(specification.READS)} alone: the document has no working code for the others.
- `datasets` scores with the document's formula as it is written, `formula for speed` with the same formula in two
  regular expressions, which is what somebody writes who has looked at a profile.
- `num_proc=2` stands against our two workers, on the mixed files. Starting processes is counted, as it is part of the
  price."""
    headings = ("file", BUILD, SCORED, TWO, LOOP, HF, HF_FAST, HF_TWO)
    pairs = ("file", *(f"{one} / {other}" for one, other in RATIOS))
    return Section(
        "The specification's loop and Hugging Face datasets",
        text,
        [Table(headings, absolute), Table(pairs, relative)],
        goals,
    )


TRL_STYLE: Final = {"pairwise": "standard", WHOLE_DIALOGUES: "conversational"}


def trl_works(kind: str) -> Callable[[Path], Works]:
    """TRL's preparation, and the file that we write for it."""
    to = f"{{trl: {{style: {TRL_STYLE[kind]}}}}}"
    return lambda source: {
        BUILD: lambda folder: ours.convert(source, folder / "out.jsonl", to=to),
        "TRL": lambda folder: peers.trl(source, folder / "cache"),
        "TRL, num_proc=2": lambda folder: peers.trl(source, folder / "cache", processes=2),
    }


def check_trl(kind: str, source: Path, folder: Path) -> int:
    """Make sure that TRL and we hand the same rows to its trainer, whatever their order; how many.

    Raises:
        SystemExit: They are not the same.
    """
    to = f"{{trl: {{style: {TRL_STYLE[kind]}}}}}"
    written = ours.convert(source, folder / "out.jsonl", to=to).read_bytes().splitlines()
    rows = {"build": [orjson.loads(line) for line in written], "TRL": list(peers.trl(source, folder / "cache"))}
    same(source.name, {who: sorted(json.dumps(row, sort_keys=True) for row in made) for who, made in rows.items()})
    return len(written)


def against_trl(settings: Settings) -> Section:
    """Unpairing, by TRL and by us."""
    rows = []
    for kind, label in (("pairwise", "pairs with a prompt"), (WHOLE_DIALOGUES, "pairs of whole dialogues")):
        source = settings.corpora.file((kind,), "Arabic", settings.peer_rows)
        first = settings.corpora.file((kind,), "Arabic", WARM_ROWS)
        folder = settings.scratch / f"check-trl-{kind}"
        folder.mkdir()
        check_trl(kind, first, folder)
        seconds = measured(settings, source, first, trl_works(kind))
        columns = [per_row(one, settings.peer_rows) for one in seconds.values()]
        rows.append(
            (label, *columns, *(shown(ratio(seconds[who], seconds[BUILD])) for who in ("TRL", "TRL, num_proc=2")))
        )
    text = f"""
TRL's `KTOTrainer` takes pairs and splits them itself. Timed are the functions that it calls (`extract_prompt` where a pair
brings no prompt, then `unpair_preference_dataset`) on `load_dataset("json")`, against `ktoformats convert --to trl`. Both
give the same rows (looked at on a small file). TRL checks, scores and counts nothing, writes no file but its cache, and
leaves classes in blocks; ours writes JSON Lines in training order, with quality, accounting and manifest. So this says what
that costs: below 1, TRL is faster. Files of {number(settings.peer_rows)} rows, microseconds for a row."""
    headings = ("file", BUILD, "TRL", "TRL, num_proc=2", "TRL / build", "TRL, num_proc=2 / build")
    return Section("TRL's own preparation", text, [Table(headings, rows)])


_LABEL: Final = {"label": "label", "scale": "specification"}
MAPPINGS: Final[dict[str, dict[str, Any]]] = {
    "binary": {"prompt": "prompt", "candidates": {"answer": "response"}, "verdict": _LABEL},
    "pairwise": {
        "prompt": "prompt",
        "candidates": {"chosen": "chosen", "rejected": "rejected"},
        "verdict": {"good": "chosen", "bad": "rejected"},
    },
    "ranking": {
        "prompt": "prompt",
        "candidates": {"each": "responses", "text": "."},
        "verdict": {"rank": "$.rankings[#]", "best": "low"},
    },
    "conversation": {"candidates": {"answer": {"conversation": "messages"}}, "verdict": _LABEL},
}
"""The layouts that hand-written formats read, declared."""


def mapping_works(kind: str, folder: Path) -> Callable[[Path], Works]:
    """The format written by hand, and the mapping that reads the same."""
    layout = folder / f"{kind}.yaml"
    layout.write_text(json.dumps(MAPPINGS[kind]), encoding="utf-8")  # JSON is YAML
    return lambda source: {
        "by hand": build_work(source, "--format", kind),
        "mapped": build_work(source, "--mapping", str(layout)),
    }


def check_mapping(works: Works, what: str, folder: Path) -> None:
    """Make sure that both make the same samples.

    Raises:
        SystemExit: They do not.
    """
    samples = {}
    for name, work in works.items():
        (folder / name).mkdir(parents=True)
        work(folder / name)
        samples[name] = ours.samples(folder / name / "out.parquet", ("prompt", "response", "label", "conversation"))
    same(what, samples)


def against_mappings(settings: Settings) -> Section:
    """A format written by hand, and the same layout declared."""
    rows = []
    times: dict[str, Spread] = {}
    for kind in MAPPINGS:
        source = settings.corpora.file((kind,), "Arabic", settings.rows)
        first = settings.corpora.file((kind,), "Arabic", WARM_ROWS)
        works = mapping_works(kind, settings.scratch)
        check_mapping(works(first), kind, settings.scratch / f"check-mapping-{kind}")
        seconds = measured(settings, source, first, works)
        times[kind] = ratio(seconds["mapped"], seconds["by hand"])
        rows.append((kind, *(per_row(one, settings.rows) for one in seconds.values()), shown(times[kind])))
    text = f"""
The same files of {number(settings.rows)} rows, read by the format written by hand and by a mapping that declares the same layout.
Both make the same samples (looked at on a small file). Microseconds for a row, and how many times as long the mapping
takes."""
    slowest = max(times, key=lambda kind: times[kind].median)
    goal = Goal(
        f"a mapping against the format written by hand, {slowest} (the slowest)", True, 1.5, times[slowest], " times"
    )
    return Section("Mappings", text, [Table(("file", "by hand us", "mapped us", "mapped / by hand"), rows)], [goal])
