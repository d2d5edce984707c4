"""`ktoformats convert --split`: parts that share nothing, all of them or none, and the same bytes every time."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow.parquet as pq
import pytest
import yaml

from ktoformats import SourceError
from ktoformats.cli.main import main
from ktoformats.cli.outputs import together
from ktoformats.train.sidefiles import MANIFEST_SUFFIX, side_file

if TYPE_CHECKING:
    from collections.abc import Iterator

COMMAND: Final = [sys.executable, "-m", "ktoformats.cli.main"]
TREES: Final = Path(__file__).parents[1] / "fixtures" / "layouts" / "oasst_trees_en.jsonl.gz"
THREE: Final = "train=0.8,validation=0.1,test=0.1"
NAMES: Final = ("train", "validation", "test")
Run = Callable[..., tuple[object, str, str]]


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Convert in an empty folder, with a cache of its own; status, standard output and standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)

    def call(*args: str | Path) -> tuple[object, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["convert", *map(str, args)])
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        assert "a defect" not in seen.err + seen.out
        return stop.value.code, seen.out, seen.err

    return call


def talks(count: int = 60) -> list[dict[str, Any]]:
    """Questions with three answers each, one of three good: what belongs together stands far apart."""
    return [
        {"prompt": f"question {i % count}", "response": f"answer {i}", "label": i < count} for i in range(3 * count)
    ]


def rows(path: Path) -> list[dict[str, Any]]:
    if path.suffix == ".parquet":
        return list(pq.read_table(path).to_pylist())
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def parts(folder: Path, suffix: str = ".jsonl") -> dict[str, list[dict[str, Any]]]:
    return {name: rows(folder / f"{name}{suffix}") for name in NAMES if (folder / f"{name}{suffix}").exists()}


def data(folder: Path) -> dict[str, bytes]:
    """The bytes of the files that train a model, and of the rejects."""
    return {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith(".yaml")}


def manifest(folder: Path, name: str, suffix: str = ".jsonl") -> Any:
    return yaml.safe_load(side_file(folder / f"{name}{suffix}", MANIFEST_SUFFIX).read_text(encoding="utf-8"))


def texts(found: Any) -> Iterator[str]:
    """Every first turn of a user."""
    for row in found:
        yield row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][0]["content"]


# --- what is in the parts ---


def test_the_parts_are_all_there_is_and_share_nothing(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    source = lines(talks())
    assert run(source, "-o", "parts", "--split", THREE, "--to", "jsonl")[0] == 0
    assert run(source, "-o", "whole.jsonl", "--to", "jsonl")[0] == 0
    found = parts(tmp_path / "parts")
    assert tuple(found) == NAMES
    ids = [row["id"] for part in found.values() for row in part]
    assert sorted(ids) == sorted(row["id"] for row in rows(tmp_path / "whole.jsonl"))
    assert len(set(ids)) == len(ids) == 180
    questions = [set(texts(part)) for part in found.values()]
    assert len(set[str]().union(*questions)) == sum(map(len, questions)) == 60


def test_every_part_has_its_share_of_both_labels(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    assert run(lines(talks(100)), "-o", "parts", "--split", THREE)[0] == 0
    labels = {name: Counter(row["label"] for row in part) for name, part in parts(tmp_path / "parts").items()}
    assert labels == {
        "train": {True: 80, False: 160},
        "validation": {True: 10, False: 20},
        "test": {True: 10, False: 20},
    }


def test_no_conversation_tree_stands_in_two_parts(run: Run, tmp_path: Path) -> None:
    status, out, _ = run(TREES, "--preset", "oasst-trees", "-o", "parts", "--split", THREE, "--to", "jsonl", "--json")
    assert status == 0
    lines_of = [{row["line"] for row in part} for part in parts(tmp_path / "parts").values()]
    assert all(lines_of)
    assert len(set[int]().union(*lines_of)) == sum(map(len, lines_of))  # a tree is one line
    splits = json.loads(out)["splits"]
    made = splits["train"]["total"]["samples"]
    assert sum(sum(one["labels"].values()) for one in splits.values()) == made == 34


def test_the_seed_chooses_and_the_order_of_files_does_not(
    run: Run, lines: Callable[..., Path], tmp_path: Path
) -> None:
    first, second = lines(talks()[:90]), lines(talks()[90:])
    runs: dict[str, list[str | Path]] = {
        "one": [first, second],
        "other": [second, first],
        "seed": [first, second, "--set", "random_seed=7"],
    }
    for name, args in runs.items():
        assert run(*args, "-o", name, "--split", THREE)[0] == 0
    assert data(tmp_path / "one") == data(tmp_path / "other")
    assert data(tmp_path / "one") != data(tmp_path / "seed")


def test_filters_and_balance_move_nothing_from_one_part_to_another(
    run: Run, lines: Callable[..., Path], tmp_path: Path
) -> None:
    source = lines(talks())
    assert run(source, "-o", "all", "--split", THREE, "--to", "jsonl")[0] == 0
    limits = [
        "--set",
        "balance_labels=true",
        "--set",
        "min_response_length=9",
        "--set",
        "label_imbalance_tolerance=0",
    ]
    assert run(source, "-o", "some", "--split", THREE, "--to", "jsonl", *limits)[0] == 0
    every, some = parts(tmp_path / "all"), parts(tmp_path / "some")
    ids = [{name: {row["id"] for row in found[name]} for name in NAMES} for found in (some, every)]
    assert all(ids[0][name] <= ids[1][name] for name in NAMES)
    assert ids[0]["train"] < ids[1]["train"]
    labels = {name: Counter(row["label"] for row in some[name]) for name in NAMES}
    assert labels["train"]["bad"] == labels["train"]["good"] > 40  # train alone is balanced
    assert all(labels[name]["bad"] > labels[name]["good"] for name in NAMES[1:])


@pytest.mark.parametrize("extra", [[], ["--no-cache"], ["--workers", "2"], ["--no-cache", "--workers", "2"]], ids=str)
def test_the_bytes_are_the_same_every_time(
    run: Run, lines: Callable[..., Path], tmp_path: Path, extra: list[str]
) -> None:
    source = lines([*talks(), b"broken", {"prompt": "p", "response": "r", "label": "perhaps"}])
    assert run(source, "-o", "first", "--split", THREE)[0] == 0
    assert run(source, "-o", "again", "--split", THREE, *extra)[0] == 0
    assert data(tmp_path / "first") == data(tmp_path / "again")
    assert len(data(tmp_path / "again")) == 7
    assert not list((tmp_path / "cache" / "ktoformats" / "building").iterdir())


def test_without_a_cache_nothing_is_kept(
    run: Run, lines: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    assert run(lines(talks()), "-o", "parts", "--split", THREE, "--no-cache")[0] == 0
    assert not (tmp_path / "cache").exists()
    assert list((tmp_path / "temporary").iterdir()) == []


def test_standard_input_can_be_split(lines: Callable[..., Path], tmp_path: Path, run: Run) -> None:
    source = lines(talks())
    assert run(source, "-o", "named", "--split", THREE)[0] == 0
    with source.open("rb") as stream:
        done = subprocess.run(
            [*COMMAND, "convert", "-", "-o", "piped", "--split", THREE],
            stdin=stream, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert parts(tmp_path / "piped") == parts(tmp_path / "named")


# --- what is written beside them ---


@pytest.mark.parametrize(("exporter", "suffix"), [("trl", ".jsonl"), ("jsonl", ".jsonl"), ("parquet", ".parquet")])
def test_each_part_has_a_manifest_of_its_own(
    run: Run, lines: Callable[..., Path], tmp_path: Path, exporter: str, suffix: str
) -> None:
    status, out, _ = run(lines(talks()), "-o", "deep/parts", "--split", THREE, "--to", exporter, "--json")
    assert status == 0
    folder = tmp_path / "deep" / "parts"
    found = json.loads(out)
    assert found["output"] == "deep/parts"
    assert tuple(found["splits"]) == NAMES
    for name, part in parts(folder, suffix).items():
        told = manifest(folder, name, suffix)
        assert told == found["splits"][name]
        assert (told["split"], told["exporter"]) == (name, exporter)
        assert sum(told["labels"].values()) == len(part)
        assert {"split"} == set(told["total"]["dropped"])
    kinds = {f"{name}{suffix}" for name in NAMES} | {f"{name}-{suffix[1:]}.manifest.yaml" for name in NAMES}
    kinds |= {f"{name}-{suffix[1:]}.rows" for name in NAMES} if exporter == "trl" else set()
    assert {path.name for path in folder.iterdir()} == {*kinds, f"train-{suffix[1:]}.rejects.txt"}


def test_what_is_written_is_told(run: Run, lines: Callable[..., Path]) -> None:
    status, out, err = run(lines([*talks(), b"broken"]), "-o", "parts", "--split", "validation=0.2")
    assert status == 0
    assert "wrote 144 samples to parts/train.jsonl (trl, standard, training order)" in out
    assert "wrote 36 samples to parts/validation.jsonl (trl, standard, training order)" in out
    assert "dropped by split  validation (12 good, 24 bad)" in " ".join(out.split("\n"))
    assert err.count("not JSON at character 0") == 1


def test_rejected_records_are_written_once(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    source = lines([*talks(), b"broken", {"prompt": "p", "response": "r", "label": "perhaps"}])
    assert run(source, "-o", "parts", "--split", THREE)[0] == 0
    [path] = (tmp_path / "parts").glob("*.rejects.txt")
    assert path.name == "train-jsonl.rejects.txt"
    assert [row["line"] for row in rows(path)] == [181, 182]
    assert run(source, "-o", "parts", "--split", THREE, "--rejects", "lost.txt")[0] == 0
    assert [row["line"] for row in rows(tmp_path / "lost.txt")] == [181, 182]
    assert run(source, "-o", "skipped", "--split", THREE, "--on-error", "skip")[0] == 0
    assert not list((tmp_path / "skipped").glob("*.rejects.txt"))


def test_a_warning_of_all_parts_is_told_once(run: Run, lines: Callable[..., Path]) -> None:
    _, _, err = run(lines([*talks(20), *[b"broken"] * 5]), "-o", "parts", "--split", THREE)
    assert err.count("5 of 65 records were rejected") == 1


def test_the_file_of_an_earlier_run_that_is_no_part_of_this_one_is_told(
    run: Run, lines: Callable[..., Path], tmp_path: Path
) -> None:
    source = lines(talks())
    assert "earlier run" not in run(source, "-o", "parts", "--split", THREE)[2]
    before = (tmp_path / "parts" / "test.jsonl").read_bytes()
    _, _, err = run(source, "-o", "parts", "--split", "validation=0.3")
    assert "warning: parts/test.jsonl is of an earlier run, and may share conversations" in err
    assert (tmp_path / "parts" / "test.jsonl").read_bytes() == before
    assert "earlier run" not in run(source, "-o", "parts/train.jsonl")[2]


# --- what is refused ---


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "'' is no NAME=FRACTION, as in train=0.9,validation=0.1"),
        ("train", "'train' is no NAME=FRACTION"),
        ("train=0.9", "it names train alone; name validation or test too"),
        ("train=90%,test=10%", "train=90% is no number between 0 and 1; write train=0.9"),
        ("train=90,test=10", "write train=0.9"),
        ("train=0,9,test=0,1", "has a decimal comma; write a point"),
        ("train=0.9,test=0.2", "comes to 1.1; the fractions must come to 1 together"),
        ("test=1", "test=1 is no number between 0 and 1"),
        ("test=nan", "test=nan is no number between 0 and 1"),
        ("test=1e400", "test=1e400 is no number between 0 and 1"),
        ("test=-0.1", "test=-0.1 is no number between 0 and 1"),
        ("train=0.5,valid=0.5", "there is no part 'valid'; did you mean 'validation'?"),
        ("train=0.5,تجربة=0.5", "there is no part 'تجربة'"),
        ("test=0.1,test=0.2", "test is named twice"),
        ("validation=0.6,test=0.6", "leaves nothing for train"),
    ],
)
def test_fractions_that_cannot_be_meant_are_refused(
    run: Run, lines: Callable[..., Path], tmp_path: Path, text: str, message: str
) -> None:
    status, out, err = run(lines(talks()), "-o", "parts", f"--split={text}")
    assert (status, out) == (2, "")
    assert err.startswith("error: split: ")
    assert message in err
    assert not (tmp_path / "parts").exists()


@pytest.mark.parametrize("target", ["old.jsonl", "new.jsonl", "new.parquet", "old", "pipe"])
@pytest.mark.parametrize("exporter", ["trl", "parquet"])
def test_a_file_is_no_place_for_several(
    run: Run, lines: Callable[..., Path], tmp_path: Path, target: str, exporter: str
) -> None:
    (tmp_path / "old.jsonl").write_text("old")
    (tmp_path / "old").write_text("old")
    os.mkfifo(tmp_path / "pipe")
    status, _, err = run(lines(talks()), "-o", target, "--split", THREE, "--to", exporter)
    assert status == 2
    assert f"--split writes several files; name a folder, not {target}" in err
    assert (tmp_path / "old.jsonl").read_text() == (tmp_path / "old").read_text() == "old"
    assert not (tmp_path / "new.jsonl").exists()
    assert not (tmp_path / "new.parquet").exists()


def test_a_folder_of_any_name_is_one(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "is.jsonl").mkdir()
    (tmp_path / "link").symlink_to("is.jsonl")
    for target in ("is.jsonl", "link", "بيانات v1.2"):
        assert run(lines(talks()), "-o", target, "--split", THREE)[0] == 0
    assert (tmp_path / "link").is_symlink()
    assert len(parts(tmp_path / "is.jsonl")) == len(parts(tmp_path / "بيانات v1.2")) == 3


def test_a_folder_in_the_place_of_a_part_is_refused_before_anything_is_replaced(
    run: Run, lines: Callable[..., Path], tmp_path: Path
) -> None:
    (tmp_path / "parts" / "test.jsonl").mkdir(parents=True)
    (tmp_path / "parts" / "train.jsonl").write_text("old")
    status, _, err = run(lines(talks()), "-o", "parts", "--split", THREE)
    assert status == 2
    assert "parts/test.jsonl is no file; nothing was replaced" in err
    assert {path.name for path in (tmp_path / "parts").iterdir()} == {"test.jsonl", "train.jsonl"}
    assert (tmp_path / "parts" / "train.jsonl").read_text() == "old"


def test_a_part_that_is_a_source_is_refused(run: Run, tmp_path: Path) -> None:
    (tmp_path / "parts").mkdir()
    source = tmp_path / "parts" / "test.jsonl"
    source.write_text("".join(json.dumps(row) + "\n" for row in talks()))
    before = source.read_bytes()
    for named in (source, tmp_path / "parts"):
        status, _, err = run(named, "-o", "parts", "--split", THREE)
        assert status == 2
        assert "parts/test.jsonl is also a source" in err
    assert source.read_bytes() == before
    assert list((tmp_path / "parts").iterdir()) == [source]


def test_ray_does_not_split(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    status, _, err = run(lines(talks()), "-o", "parts", "--split", THREE, "--engine", "ray", "--to", "parquet")
    assert status == 2
    assert "--split chooses on this machine; say --engine local" in err
    assert not (tmp_path / "parts").exists()


def test_a_part_that_has_files_of_its_own_is_refused(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "kto.yaml").write_text(f"data: {{train_file: {lines(talks())}, test_file: {lines(talks())}}}\n")
    status, _, err = run("--config", "kto.yaml", "-o", "parts", "--split", "test=0.1")
    assert status == 2
    assert "test_fraction takes a share of train_file, but test has files of its own" in err


# --- all or nothing ---

ONE_TALK: Final = [{"prompt": "q", "response": f"a {i}", "label": i % 2 == 0} for i in range(10)]
UNUSABLE: Final = [*talks()[:50], *[b"broken"] * 150]


@pytest.mark.parametrize(
    ("records", "message", "left"),
    [
        (ONE_TALK, "validation: no sample is left", {"train-jsonl.failed.yaml"}),
        (UNUSABLE, "150 of 200 records were rejected", {"train-jsonl.failed.yaml", "train-jsonl.rejects.txt"}),
        ([row | {"label": True} for row in talks()], "train: no bad sample is left", {"train-jsonl.failed.yaml"}),
        ([], "no sample is left", {"train-jsonl.failed.yaml"}),
    ],
    ids=["one conversation", "unusable", "one label", "empty"],
)
def test_nothing_is_published_unless_all_parts_can_be(
    run: Run, lines: Callable[..., Path], tmp_path: Path, records: list[Any], message: str, left: set[str]
) -> None:
    status, out, err = run(lines(records), "-o", "parts", "--split", THREE)
    assert (status, out) == (1, "")
    assert message in err
    assert not list((tmp_path / "parts").glob("*.jsonl"))
    assert run(lines(talks()), "-o", "parts", "--split", THREE)[0] == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert run(lines(records), "-o", "parts", "--split", THREE)[0] == 1
    after = {path.name: path.read_bytes() for path in (tmp_path / "parts").iterdir()}
    assert {name for name in after if after[name] != before.get(name)} <= left
    assert set(after) - set(before) == {"train-jsonl.failed.yaml"}
    assert run(lines(talks()), "-o", "parts", "--split", THREE)[0] == 0
    assert {path.name for path in (tmp_path / "parts").iterdir()} == set(before)


def write_all(outputs: dict[str, Path], error: BaseException | None = None) -> None:
    """Write the parts as a run does; or all but the last, and end so."""
    with together(outputs) as places:
        for path in places.values():
            if error is not None and path.name == "test.jsonl":
                raise error
            path.write_text("new")
            side_file(path, MANIFEST_SUFFIX).write_text("new")


@pytest.mark.parametrize("error", [KeyboardInterrupt(), OSError(28, "No space left on device")], ids=repr)
def test_a_run_that_ends_between_two_parts_replaces_none(tmp_path: Path, error: BaseException) -> None:
    """A new train split beside an old test split would hold some of it."""
    outputs = {name: tmp_path / "parts" / f"{name}.jsonl" for name in NAMES}
    write_all(outputs)
    old = {path.name: "old" for path in (tmp_path / "parts").iterdir()}
    for name in old:
        (tmp_path / "parts" / name).write_text("old")
    expected = KeyboardInterrupt if isinstance(error, KeyboardInterrupt) else SourceError
    with pytest.raises(expected):
        write_all(outputs, error)
    assert {path.name: path.read_text() for path in (tmp_path / "parts").iterdir()} == old
    assert len(old) == 6
    write_all(outputs)
    assert {path.read_text() for path in (tmp_path / "parts").iterdir()} == {"new"}


def test_a_full_disk_is_told_with_the_name_that_people_know(tmp_path: Path) -> None:
    outputs = {name: tmp_path / "parts" / f"{name}.jsonl" for name in NAMES}
    message = f"^{tmp_path / 'parts'}: cannot be written \\(No space left on device\\); nothing was published$"
    with pytest.raises(SourceError, match=message):
        write_all(outputs, OSError(28, "No space left on device"))
    private = SourceError("not_writable", "somewhere/.part/x", "cannot be written (Quota); nothing was published")
    with pytest.raises(SourceError, match=f"^{tmp_path / 'parts'}: cannot be written \\(Quota\\)"):
        write_all(outputs, private)


def test_a_place_that_cannot_be_written_is_an_error(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("old")
    status, _, err = run(lines(talks()), "-o", "file/parts", "--split", THREE)
    assert status == 1
    assert "file/parts/train.jsonl: cannot be written (file is a file, not a folder); name another place" in err


@pytest.mark.parametrize("moment", ["building", "writing"])
def test_ctrl_c_leaves_everything_as_it_was(
    lines: Callable[..., Path], files_named: Callable[[Path, str], set[Path]], tmp_path: Path, moment: str
) -> None:
    source = lines([row | {"response": row["response"] + " x" * 400} for row in talks(12_000)])
    work = tmp_path / "work"
    (work / "parts").mkdir(parents=True)
    for name in NAMES:
        (work / "parts" / f"{name}.jsonl").write_text("old")
    (work / "parts" / "train-jsonl.rejects.txt").write_text("old")
    cache = tmp_path / "cache"
    child = subprocess.Popen(
        [*COMMAND, "convert", str(source), "-o", "parts", "--split", THREE, "--workers", "2"],
        cwd=work, env={**os.environ, "XDG_CACHE_HOME": str(cache)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - what shells ignore in the background
    )  # fmt: skip
    deadline = time.monotonic() + 60
    where, name = (cache, "samples.arrow") if moment == "building" else (work, "validation.jsonl")
    known = files_named(where, name)
    while files_named(where, name) == known and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.002)
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 130, stderr
    assert stderr.strip() == "error: interrupted; nothing was published"
    left = {path.name: path.read_text() for path in (work / "parts").iterdir()}
    assert left == {**{f"{name}.jsonl": "old" for name in NAMES}, "train-jsonl.rejects.txt": "old"}
    assert list((cache / "ktoformats" / "building").iterdir()) == []
