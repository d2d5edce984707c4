"""`ktoformats why`: every fate that a record can have, and every way to name it."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ktoformats import ConfigError, KTOConfig, KTODataConfig, KTODataLoader
from ktoformats.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

COMMAND: Final = [sys.executable, "-m", "ktoformats.cli.main"]
GOOD: Final = {"prompt": "q", "response": "a good answer", "label": "good"}
BAD: Final = {"prompt": "q", "response": "a bad answer", "label": "bad"}


class Done(NamedTuple):
    """How a command ended, and what it said."""

    status: object
    out: str
    err: str

    @property
    def stories(self) -> list[dict[str, Any]]:
        return list(json.loads(self.out)["records"])


Run = Callable[..., Done]
Lines = Callable[..., "Path"]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Run a command in an empty folder, with a cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path, command: str = "why") -> Done:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([command, *map(str, args)])
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        assert "a defect" not in seen.err + seen.out
        return Done(stop.value.code, seen.out, seen.err)

    return call


def mapping(**parts: Any) -> list[str]:
    return ["--set", f"formats=[{{mapping: {json.dumps(parts)}}}]"]


def settings(**values: Any) -> list[str]:
    return [word for key, value in values.items() for word in ("--set", f"{key}={json.dumps(value)}")]


# --- every fate ---

REPEATED: Final = [GOOD, BAD, GOOD, GOOD | {"label": "bad"}]
PAIR: Final = {"prompt": "q", "chosen": "the better", "rejected": "the worse"}
RANKED: Final = {"prompt": "q", "responses": ["first", "second", "third"], "rankings": [1, 2, 3]}
TURNS: Final = {
    "conversation": [
        {"role": "user", "content": "hello"},
        {"role": "assistant", "content": "welcome", "label": "good"},
        {"role": "user", "content": "again"},
        {"role": "assistant", "content": "no", "label": "bad"},
        {"role": "user", "content": "and again"},
        {"role": "assistant", "content": "well", "label": "hmm"},
    ]
}
GROUPED: Final = mapping(
    prompt="q", group_by="q", candidates={"a": "x"}, verdict={"label": "s", "good": [1], "bad": [0]}
)

FATES: Final = {
    "used": (
        [GOOD, BAD], 1, [],
        ["read by the format 'binary'", "answer: a good answer", "good: label \"good\", read on the scale 'specification'",
         "at 100% of the way from its worst to its best", "response_quality 0.", "used: place "],
        ["not used"],
    ),
    "a bad one": ([GOOD, BAD], 2, [], ['bad: label "bad", read on', "at 0% of the way"], []),
    "no JSON": (
        [GOOD, b"{oops"], 2, [], ["  {oops", "rejected: not JSON at character 1", "(invalid_json: The line is not JSON"], ["sample "],
    ),
    "no known shape": ([GOOD, {"what": 1}], 2, [], ["rejected: ", "(unknown_shape: "], ["sample "]),
    "not UTF-8": ([GOOD, b'{"prompt": "\xff"}'], 2, [], ["rejected: ", "(invalid_utf8: "], []),
    "an unknown verdict": (
        [GOOD, GOOD | {"label": "perhaps"}], 2, [],
        ["rejected: label: 'perhaps' is no value of scale 'specification'", "(label_unrecognised: The verdict is not a value"], ["sample "],
    ),
    "verdicts that disagree": ([GOOD | {"score": 0.0}, BAD], 1, [], ["rejected: ", "contradict"], ["sample "]),
    "no verdict": (
        [GOOD, GOOD | {"label": None}], 2, [], ["read, without a sample; without verdict: null_verdict: The verdict is null"], ["sample "],
    ),
    "an answer lost": (
        [TURNS], 1, [],
        ["read by the format 'conversation'", "an answer was lost: label_unrecognised", "answer: welcome", "answer: no", "good: label", "bad: label"],
        ["answer: well"],
    ),
    "an answer in the middle": (
        [RANKED], 1, [],
        ["an answer has no verdict: middle_rank", "answer: first", "good: it stands at place 1 of a ranking", "bad: it stands at place 3"],
        ["answer: second"],
    ),
    "a pair": (
        [PAIR], 1, [],
        ["read by the format 'pairwise'", "answer: the better", "good: the answer that was preferred, of a pair",
         "answer: the worse", "bad: the answer that was not preferred, of a pair"],
        [],
    ),
    "one side of a pair": (
        [PAIR], 1, settings(pairwise_sampling_strategy="random"), ["noticed: unpaired: ", "used: place 1 of 1"], [],
    ),
    "a torn pair": (
        [PAIR | {"rejected": "x"}, GOOD], 1, settings(pairwise_sampling_strategy="balanced", min_response_length=5),
        ["not used: length left it out (too_short: ", "not used: pairs left it out (unpaired: "], ["used: place"],
    ),
    "an Arabic rating": (
        [{"prompt": "ما هي عاصمة مصر؟", "response": "القاهرة", "تقييم": "ممتاز"}], 1, [],
        ["ما هي عاصمة مصر؟", "read by the format 'arabic-rating'", "answer: القاهرة", "good: تقييم \"ممتاز\", read on the scale 'academic'"], [],
    ),
    "too short": (
        [GOOD, BAD | {"response": "no"}], 2, settings(min_response_length=5),
        ["not used: length left it out (too_short: The prompt or response is shorter"], ["used: place"],
    ),
    "balanced away": (
        [GOOD, BAD, *[BAD | {"prompt": f"p{i}", "response": "x"} for i in range(40)]], 1, settings(balance_labels=True, label_imbalance_tolerance=0),
        ["used: place "], [],
    ),
    "a duplicate": (
        REPEATED, 3, settings(duplicates="drop"), ["not used: duplicates left it out (duplicate: The same answer"], ["used: place"],
    ),
    "the first of duplicates": (REPEATED, 1, settings(duplicates="drop"), ["used: place "], ["not used"]),
    "a conflict": (REPEATED, 4, settings(conflict="majority"), ["not used: conflicts left it out (conflict: "], ["used: place"]),
    "one side of a conflict": (REPEATED, 1, settings(conflict="drop"), ["not used: conflicts left it out"], ["used: place"]),
    "a repeat": (REPEATED, 3, [], ["-1\n", "used: place "], ["not used"]),
    "too many rejected": (
        [GOOD | {"label": "maybe"}] * 300, 299, [], ["rejected: label: 'maybe' is no value", "(label_unrecognised: "], [],
    ),
    "the first reject stops": (
        [GOOD | {"label": "maybe"}, GOOD], 1, settings(on_error="fail"), ["rejected: label: 'maybe' is no value"], [],
    ),
    "nothing is left": ([GOOD, BAD], 2, settings(min_response_length=100), ["not used: length left it out (too_short"], ["used: place"]),
    "only one label": ([GOOD], 1, settings(strict=True), ["used: place 1 of 1"], []),
    "gathered": (
        [{"q": "one", "x": "a", "s": 1}, {"q": "two", "x": "b", "s": 0}, {"q": "one", "x": "c", "s": 0}], 3, GROUPED,
        ["read together with the records that belong to it; samples of its own: 1", "answer: c", "bad: "], ["answer: a"],
    ),
    "gathered, no JSON": (
        [{"q": "one", "x": "a", "s": 1}, b"{oops"], 2, GROUPED, ["rejected: not JSON", "(invalid_json: "], ["sample "],
    ),
    "gathered, rejected": (
        [{"q": "one", "x": "a", "s": 1}, {"q": "two", "x": "b", "s": "dreadful"}], 2, GROUPED, ["rejected: ", "dreadful"], ["sample "],
    ),
}  # fmt: skip


@pytest.mark.parametrize("fate", FATES)
def test_every_fate_is_told(run: Run, lines: Lines, fate: str) -> None:
    records, line, options, said, unsaid = FATES[fate]
    source = lines(records)
    done = run(f"{source.name}:{line}", *options)
    assert (done.status, done.err) == (0, ""), done
    assert done.out.startswith(f"{source.name}:{line}\n  ")
    for text in said:
        assert text in done.out
    for text in unsaid:
        assert text not in done.out
    [story] = run(f"{source.name}:{line}", *options, "--json").stories
    assert (story["source"], story["line"]) == (source.name, line)
    assert all(f"sample {one['id']}\n" in done.out for one in story["samples"])
    assert run(f"{source.name}:{line}", *options, "--no-cache").out == done.out


def test_what_balancing_left_out_is_told(run: Run, lines: Lines) -> None:
    source = lines([*[GOOD | {"prompt": f"g{i}"} for i in range(4)], *[BAD | {"prompt": f"b{i}"} for i in range(12)]])
    options = settings(balance_labels=True, label_imbalance_tolerance=0)
    told = [run(f"{source.name}:{line}", *options).out for line in range(1, 17)]
    assert sum("used: place" in text for text in told) == 8
    lost = [
        text for text in told if "not used: balance left it out (balance: Balancing the labels left it out.)" in text
    ]
    assert len(lost) == 8
    assert all("of 8 in training order" in text for text in told if text not in lost)


def test_each_split_tells_where_a_record_is(run: Run, lines: Lines) -> None:
    source = lines([(GOOD if i % 2 else BAD) | {"prompt": f"p{i}"} for i in range(20)])
    options = settings(validation_fraction=0.2, test_fraction=0.2)
    for line in (1, 2, 3, 4, 5, 6, 7, 8):
        told = {
            split: run(f"{source.name}:{line}", *options, "--split", split).out
            for split in ("train", "validation", "test")
        }
        [own] = [split for split, text in told.items() if "used: place" in text]
        for split, text in told.items():
            assert (f"not used in this split: it belongs to {own}" in text) == (split != own)


def test_what_sources_were_limited_weighed_and_repeated_to_is_told(run: Run, tmp_path: Path) -> None:
    for name, count in (("large", 30), ("small", 4)):
        rows = [(GOOD if i % 2 else BAD) | {"prompt": f"{name} {i}"} for i in range(count)]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = {
        "balance_labels": False,
        "sources": [{"path": "large.jsonl", "weight": 1}, {"path": "small.jsonl", "weight": 1}],
    }
    for oversample in (False, True):
        (tmp_path / "mix.yaml").write_text(json.dumps({"data": data | {"oversample": oversample}}))
        total = 60 if oversample else 8
        large = [
            run(f"large.jsonl:{line}", "--config", "mix.yaml", "--json").stories[0] for line in (1, 2, 3, 4, 5, 6)
        ]
        lost = [one for story in large for one in story["samples"] if one["place"] is None]
        assert {(one["stage"], one["reason"]) for one in lost} == (set() if oversample else {("mixing", "weight")})
        [small] = run("small.jsonl:1", "--config", "mix.yaml", "--json").stories
        assert small["of"] == total
        assert len(small["samples"]) in ({7, 8} if oversample else {1})
        assert len({one["place"] for one in small["samples"]}) == len(small["samples"])
        assert len({one["id"] for one in small["samples"]}) == len(small["samples"])
    data["sources"] = [{"path": "large.jsonl", "limit": 2}, {"path": "small.jsonl"}]
    (tmp_path / "mix.yaml").write_text(json.dumps({"data": data}))
    told = [run(f"large.jsonl:{line}", "--config", "mix.yaml").out for line in range(1, 31)]
    assert sum("not used: mixing left it out (limit" in text for text in told) == 28


# --- where a record begins ---


def test_a_line_on_which_no_record_begins_is_told_from_one_beyond_the_end(run: Run, lines: Lines) -> None:
    source = lines([b"", GOOD, b"", b"   ", BAD])
    for line, message in {
        0: "no record begins on this line; the first one begins on line 2",
        1: "no record begins on this line; the first one begins on line 2",
        4: "no record begins on this line; it is blank, or belongs to the record that begins on line 2",
        6: "no record begins on this line; the last one begins on line 5",
        10**30: "no record begins on this line; the last one begins on line 5",
    }.items():
        done = run(f"{source.name}:{line}")
        assert (done.status, done.out) == (2, "")
        assert message in done.err
    assert "last one begins on line 5" in run(f"{source.name}:{'9' * 5000}").err
    assert run(f"{source.name}:٢").out == run(f"{source.name}:2").out  # digits are digits


def test_a_cell_of_several_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text('prompt,response,label\nq,"two\nlines",good\nq,one,bad\n')
    assert "answer: two lines\n" in run("t.csv:2").out
    assert "bad: label" in run("t.csv:4").out
    assert "it is blank, or belongs to the record that begins on line 2" in run("t.csv:3").err
    assert "the first one begins on line 2" in run("t.csv:1").err


def test_an_array_that_is_laid_out_over_many_lines(run: Run, tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text(json.dumps([GOOD, BAD], indent=2))
    done = run("a.json:7")
    assert '\n  { "prompt": "q", "response": "a bad answer", "label": "bad" }\n' in done.out
    assert "belongs to the record that begins on line 2" in run("a.json:4").err


@pytest.mark.parametrize(("ending", "pack"), [("gz", gzip.compress), ("bz2", bz2.compress), ("xz", lzma.compress)])
def test_compressed_lines(run: Run, tmp_path: Path, ending: str, pack: Callable[[bytes], bytes]) -> None:
    (tmp_path / f"a.jsonl.{ending}").write_bytes(
        pack(b"".join(json.dumps(one).encode() + b"\n" for one in (GOOD, BAD)))
    )
    assert "answer: a bad answer" in run(f"a.jsonl.{ending}:2").out


def test_rows_of_a_parquet_file(run: Run, tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_pylist([GOOD, BAD]), tmp_path / "a.parquet")
    assert "answer: a bad answer" in run("a.parquet:2").out


def test_standard_input(lines: Lines, tmp_path: Path) -> None:
    with lines([GOOD, BAD]).open("rb") as stream:
        done = subprocess.run(
            [*COMMAND, "why", "<stdin>:2", "-"],
            stdin=stream, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache")},
        )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert "answer: a bad answer" in done.stdout


# --- how a file is named ---


def test_any_spelling_of_a_path_names_the_file(run: Run, tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "v.jsonl").write_text(json.dumps(GOOD | {"response": folder}) + "\n")
    (tmp_path / "link.jsonl").symlink_to("two/v.jsonl")
    sources = ["one", "./two/v.jsonl"]
    for name in ("two/v.jsonl", "./two/v.jsonl", "one/../two/v.jsonl", tmp_path / "two" / "v.jsonl", "link.jsonl"):
        done = run(f"{name}:1", *sources)
        assert done.status == 0, done.err
        assert "answer: two" in done.out
        assert run(f"{name}:1").status == 0  # and alone
    done = run("v.jsonl:1", *sources)
    assert done.status == 2
    assert "v.jsonl: several sources are called so; say which: one/v.jsonl, two/v.jsonl" in done.err
    assert "answer: one" in run("v.jsonl:1", "one").out
    assert "other.jsonl: it is none of the sources: one/v.jsonl, two/v.jsonl" in run("other.jsonl:1", *sources).err


@pytest.mark.parametrize(
    "name", ["a:7.jsonl", "تقييمات.jsonl", "with space.jsonl", "\x1b[31m\u202e.jsonl", os.fsdecode(b"\xff.jsonl")]
)
def test_odd_names(run: Run, tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(json.dumps(GOOD) + "\n")
    done = run(f"{name}:1")
    assert done.status == 0, done.err
    assert not {c for c in done.out if ord(c) < 32 or c == "\u202e"} - {"\n"}
    [story] = run(f"{name}:1", "--json").stories
    assert story["source"] == os.fsencode(name).decode(errors="backslashreplace")


def test_without_a_place_to_look_it_says_what_to_write(run: Run, lines: Lines, tmp_path: Path) -> None:
    lines([GOOD])
    for what in ("records1.jsonl", "records1.jsonl:x", "records1.jsonl:-1", "0" * 32, "", "سجل"):
        done = run("--", what)
        assert done.status == 2
        assert "where is it? Write FILE:LINE, such as votes.jsonl:17; or say after an id which SOURCEs" in done.err
    done = run("no.jsonl:1")
    assert (done.status, done.err) == (
        1,
        "error: no.jsonl: there is no such file; check the spelling and the working directory\n",
    )


def test_a_configuration_that_names_no_files_says_only_how_to_read(run: Run, lines: Lines, tmp_path: Path) -> None:
    lines([{"q": "p", "response": "r", "label": "good"}])
    (tmp_path / "how.yaml").write_text("data: {prompt_column: q}\n")
    assert "used: place 1 of 1" in run("records1.jsonl:1", "--config", "how.yaml").out
    (tmp_path / "all.yaml").write_text("data: {prompt_column: q, train_file: records1.jsonl}\n")
    assert "used: place 1 of 1" in run("records1.jsonl:1", "--config", "all.yaml").out
    done = run("records1.jsonl:1", "--config", "all.yaml", "--split", "test")
    assert "data.test_file is not set" in done.err


# --- ids ---


def ids(run: Run, source: Path) -> list[str]:
    target = source.with_name("ids.jsonl")
    assert (
        run(source, "-o", target, "--to", "jsonl", "--set", "require_both_labels=false", command="convert").status
        == 0
    )
    return [json.loads(line)["id"] for line in target.read_text().splitlines()]


def test_an_id_names_every_record_of_its_content(run: Run, lines: Lines) -> None:
    source = lines(REPEATED)
    first, other, again, flipped = ids(run, source)
    assert again == f"{first}-1"
    assert [story["line"] for story in run(first, source, "--json").stories] == [1, 3]
    assert [story["line"] for story in run(first.upper(), source, "--json").stories] == [1, 3]
    assert [story["line"] for story in run(again, source, "--json").stories] == [3]
    assert [story["line"] for story in run(other, source, "--json").stories] == [2]
    assert [story["line"] for story in run(flipped, source, "--json").stories] == [4]
    text = run(first, source).out
    assert (
        text.index(f"{source}:1\n")
        < text.index(f"sample {first}\n")
        < text.index(f"{source}:3\n")
        < text.index(f"sample {again}\n")
    )


def test_an_id_that_is_not_there(run: Run, lines: Lines) -> None:
    source = lines([GOOD, BAD])
    good, _ = ids(run, source)
    [flipped] = ids(run, lines([GOOD | {"label": "bad"}]))
    for what, message in {
        flipped: f"no sample has the id {flipped}; the same answer with the other label is {good}",
        f"{good}-1": f"no sample has the id {good}-1; {good} stands there, but not so often",
        "0" * 32: f"no sample has the id {'0' * 32}",
        good[:16] + "0" * 16: f"no sample has the id {good[:16]}{'0' * 16}",
        good[:-1]: "is no FILE:LINE and no id of a sample (32 hexadecimal digits)",
        f"{good}-": "is no FILE:LINE and no id of a sample",
        f"{good}-x": "is no FILE:LINE and no id of a sample",
        "0x" + good[2:]: "is no FILE:LINE and no id of a sample",
        "١" * 32: "is no FILE:LINE and no id of a sample",
    }.items():
        done = run(what, source)
        assert (done.status, done.out) == (2, "")
        assert message in done.err


def test_an_id_among_nothing_is_not_there(run: Run, lines: Lines) -> None:
    assert "no sample has the id" in run("0" * 32, lines([{"what": 1}])).err


# --- the place in training ---


def test_batches_are_those_of_the_file_that_a_trainer_reads(run: Run, lines: Lines, tmp_path: Path) -> None:
    records = [(GOOD if i % 3 else BAD) | {"prompt": f"p{i % 20}", "response": f"r{i}"} for i in range(60)]
    source = lines([*records, PAIR, RANKED, *records[:3]])
    assert run(source, "-o", "train.jsonl", command="convert").status == 0
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text().splitlines()]
    loader = KTODataLoader(
        KTODataConfig(train_file=source, balance_labels=False), cache_dir=tmp_path / "cache" / "ktoformats"
    )
    places = set()
    for line in range(1, 66):
        [story] = loader.why(f"{source}:{line}")
        assert story.of == len(rows) == 67
        for one in story.samples:
            assert one.place is not None
            places.add(one.place)
            row = rows[one.place]
            assert (row["completion"], row["label"]) == (one.facts["response"], one.label == "good")
    assert places == set(range(67))
    for size in (1, 7, 16, 1000):
        [story] = loader.why(f"{source}:17")
        [place] = [one.place for one in story.samples]
        assert place is not None
        told = run(f"{source}:17", "--batch-size", str(size)).out
        batch = f"in batch {place // size + 1} of {-(-67 // size)}"
        assert f"used: place {place + 1} of 67 in training order; with batches of {size}, {batch}\n" in told


def test_the_splits_of_a_run_have_batches_of_their_own(run: Run, lines: Lines, tmp_path: Path) -> None:
    source = lines([(GOOD if i % 3 else BAD) | {"prompt": f"p{i % 20}", "response": f"r{i}"} for i in range(60)])
    assert run(source, "-o", "parts", "--split", "validation=0.3", command="convert").status == 0
    for split in ("train", "validation"):
        rows = [json.loads(line) for line in (tmp_path / "parts" / f"{split}.jsonl").read_text().splitlines()]
        options = ["--set", "validation_fraction=0.3", "--split", split, "--json"]
        for line in range(1, 61, 7):
            [story] = run(f"{source}:{line}", *options).stories
            [one] = story["samples"]
            assert story["of"] == len(rows)
            assert (one["place"] is None) == (one["stage"] == "split")
            if one["place"] is not None:
                assert rows[one["place"]]["completion"] == f"r{line - 1}"


@pytest.mark.parametrize("size", ["0", "-1", "x"])
def test_a_batch_of_no_samples_is_refused(run: Run, lines: Lines, size: str) -> None:
    done = run(f"{lines([GOOD])}:1", f"--batch-size={size}")
    assert done.status == 2
    assert "--batch-size" in done.err


# --- the loader ---


def test_the_loader_tells_the_same(run: Run, lines: Lines, tmp_path: Path) -> None:
    source = lines([*REPEATED, PAIR, TURNS, RANKED, b"oops"])
    path = tmp_path / "kto.yaml"
    path.write_text(
        f"data: {{train_file: {source}, balance_labels: false, duplicates: drop, min_samples_per_label: 0}}\n"
    )
    loader = KTODataLoader(KTOConfig.from_yaml(path).data, enable_cache=False)
    for line in range(1, 9):
        stories = [story.to_json() for story in loader.why(f"{source}:{line}")]
        assert stories == run(f"{source}:{line}", "--config", path, "--json").stories
        told = [text for story in loader.why(f"{source}:{line}") for text in story.told()]
        assert told == run(f"{source}:{line}", "--config", path).out.splitlines()
    [story] = loader.why(f"{source}:1")
    assert loader.why(story.samples[0].id)[0] == story
    assert set(loader.views) == {"train"}
    with pytest.raises(ConfigError, match=r"data\.test_file is not set"):
        loader.why(f"{source}:1", "test")


def test_the_loader_says_that_records_in_memory_are_not_kept(lines: Lines) -> None:
    config = KTODataConfig(train_file=lines([GOOD, BAD]), balance_labels=False, min_samples_per_label=0)
    loader = KTODataLoader(config, enable_cache=False)
    dataset = loader.load_records([GOOD | {"prompt": "of memory"}, BAD])
    with pytest.raises(ConfigError, match=r"<records>:1: the record is in none of the files; records in memory"):
        loader.why(dataset[0]["id"])


# --- what is said ---


def test_hostile_text_is_escaped(run: Run, lines: Lines) -> None:
    payload = "\x1b[31mred\x07\x9b2J \u202egnp.exe\u2066 \r\nforged: used"
    records = [
        GOOD | {"prompt": payload, "response": payload},
        GOOD | {"label": payload},
        {payload: 1},
        b"{\x1b[31m\x9b",
        {"prompt": payload, "response": payload, "تقييم": payload},
        PAIR | {"chosen": payload},
    ]
    source = lines(records)
    for line in range(1, 7):
        done = run(f"{source.name}:{line}")
        assert done.status == 0
        shown = done.out + done.err
        assert not {c for c in shown if ord(c) < 32 or 0x7F <= ord(c) <= 0x9F} - {"\n"}
        assert not set("\u202e\u2066") & set(shown)
        assert not any(text.startswith("forged") for text in shown.splitlines())
        assert run(f"{source.name}:{line}", "--json").stories
    for what in (payload, f"{payload}:1", f"{payload}:1\n"):
        done = run(what, source)
        assert done.status == 2
        assert not {c for c in done.err if ord(c) < 32} - {"\n"}
        assert done.err.count("\n") == 1


def test_long_records_are_cut_and_say_so(run: Run, lines: Lines) -> None:
    source = lines([GOOD | {"prompt": "س" * 5000, "response": "ج" * 5000}])
    done = run(f"{source.name}:1")
    assert all(len(line) < 400 for line in done.out.splitlines())
    assert "س…\n" in done.out
    assert "\ufffd" not in done.out
    assert "ج…\n" in done.out


def test_json_holds_all_that_is_told(run: Run, lines: Lines) -> None:
    source = lines([GOOD | {"prompt": "\u202eس"}, BAD])
    done = run(f"{source.name}:1", "--json")
    assert "\u202e" not in done.out
    [story] = done.stories
    assert story.keys() == {"source", "line", "record", "read", "samples", "of"}
    [one] = story["samples"]
    assert one.keys() == {"id", "label", "facts", "stage", "reason", "place"}
    assert one["facts"].keys() >= {"fact", "field", "cell", "scale", "position", "rank", "pair", "response_quality"}
    assert (one["label"], one["stage"], one["reason"]) == ("good", "", "")
    error = json.loads(run(f"{source.name}:9", "--json").out)["error"]
    assert (error["type"], error["exit_status"]) == ("ConfigError", 2)


def test_help_teaches(run: Run) -> None:
    text = " ".join(run("--help").out.split())
    for word in (
        "FILE:LINE|ID",
        "the line it begins on, from 1",
        "ktoformats why votes.jsonl:17",
        "--split",
        "--batch-size",
    ):
        assert word in text
    done = run()
    assert done.status == 2
    assert "Missing argument 'FILE:LINE|ID'" in done.err


def test_a_story_into_a_program_that_stops_reading_ends_quietly(lines: Lines, tmp_path: Path) -> None:
    writer = subprocess.Popen(
        [*COMMAND, "why", f"{lines([GOOD])}:1", "--no-cache"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert writer.stdout is not None
    writer.stdout.close()
    _, stderr = writer.communicate(timeout=60)
    assert (writer.returncode, stderr) == (0, "")
