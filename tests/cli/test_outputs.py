"""`ktoformats convert`: shards, folders, compressed files, settings, and where rows come from."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import datasets
import pytest
import yaml

from ktoformats.cli.main import main

if TYPE_CHECKING:
    from pathlib import Path

Run = Callable[..., tuple[object, str, str]]
COLUMNS = ["prompt", "completion", "label"]
FOLDERS = ("llamafactory", "axolotl", "huggingface")


@pytest.fixture
def run(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Convert in an empty folder, with a cache of its own; status, standard output and standard error."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.chdir(tmp_path)
    datasets.disable_progress_bars()

    def call(*args: str | Path) -> tuple[object, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main(["convert", *map(str, args)])
        seen = capsys.readouterr()
        assert "Traceback" not in seen.err
        return stop.value.code, seen.out, seen.err

    return call


@pytest.fixture
def votes(lines: Callable[..., Path]) -> Path:
    return lines([{"prompt": f"p{i}", "response": f"answer {i}", "label": i % 3 == 0} for i in range(20)])


def dialogue() -> list[dict[str, Any]]:
    turns = ["user", "assistant"] * 2
    messages = [{"role": role, "content": f"turn {number}"} for number, role in enumerate(turns)]
    return [{"messages": messages, "label": True}, {"prompt": "p", "response": "r", "label": False}]


def names(folder: Path) -> list[str]:
    return sorted(one.relative_to(folder).as_posix() for one in folder.rglob("*") if one.is_file())


# shards


@pytest.mark.parametrize("exporter", ["trl", "jsonl", "parquet", "ms-swift", "openrlhf"])
def test_shards_load_as_one_split(exporter: str, run: Run, votes: Path, tmp_path: Path) -> None:
    status, out, _ = run(votes, "-o", "data/train", "--to", exporter, "--rows-per-shard", "8", "--json")
    assert status == 0
    ending = "parquet" if exporter == "parquet" else "jsonl"
    shards = [f"train-{number:05}-of-00003.{ending}" for number in range(3)]
    assert names(tmp_path / "data" / "train") == shards
    assert json.loads(out)["shards"] == dict(zip(shards, (8, 8, 4), strict=True))
    for folder in ("data/train", "data"):
        found = datasets.load_dataset(folder)
        assert {split: len(rows) for split, rows in found.items()} == {"train": 20}, "side files are no data"
    run(votes, "-o", "one", "--to", exporter)
    whole = datasets.load_dataset("parquet" if ending == "parquet" else "json", data_files="one", split="train")
    assert found["train"].to_list() == whole.to_list()


def test_shards_are_replaced_whole(run: Run, votes: Path, tmp_path: Path) -> None:
    for count in ("3", "15"):
        assert run(votes, "-o", "train", "--rows-per-shard", count)[0] == 0
    assert names(tmp_path / "train") == ["train-00000-of-00002.jsonl", "train-00001-of-00002.jsonl"]
    (tmp_path / "train" / "mine.txt").write_text("thesis")
    status, _, err = run(votes, "-o", "train", "--rows-per-shard", "5")
    assert status == 2
    assert "is no earlier output (it holds mine.txt)" in err
    assert len(names(tmp_path / "train")) == 3


def test_compressed_shards(run: Run, votes: Path, tmp_path: Path) -> None:
    assert run(votes, "-o", "train", "--rows-per-shard", "10", "--to", "{trl: {compression: gzip}}")[0] == 0
    assert names(tmp_path / "train") == ["train-00000-of-00002.jsonl.gz", "train-00001-of-00002.jsonl.gz"]
    assert datasets.load_dataset("train", split="train").column_names == COLUMNS


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["-o", "x", "--to", "axolotl", "--rows-per-shard", "2"], "exporter 'axolotl' writes a folder"),
        (["-o", "x", "--to", "jsonl", "--rows-per-shard", "2", "--engine", "ray"], "Ray decides what is a shard"),
        (["-o", "x.jsonl", "--rows-per-shard", "2"], "--rows-per-shard writes a folder of files; name a folder"),
        (["-o", "x.jsonl", "--to", "axolotl"], "exporter 'axolotl' writes a folder of files; name a folder"),
        (
            ["-o", "x.jsonl.gz", "--to", "{trl: {compression: xz}}"],
            "exporter 'trl' writes .jsonl.xz; name the file so",
        ),
        (["-o", "x.jsonl", "--to", "{trl: {compression: xz}}"], "exporter 'trl' writes .jsonl.xz; name the file so"),
        (["-o", ".", "--to", "axolotl"], "cannot be replaced by a new folder; name one within it"),
        (["-o", "..", "--rows-per-shard", "2"], "cannot be replaced by a new folder; name one within it"),
        (["-o", "x.gz"], "exporter 'trl' writes .jsonl; name the file so"),
        (["-o", "x.parquet.gz", "--to", "parquet"], "exporter 'parquet' writes .parquet; name the file so"),
        (["-o", "x.json", "--to", "trl"], "say --to halos"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_is_refused(args: list[str], message: str, run: Run, votes: Path, tmp_path: Path) -> None:
    status, out, err = run(votes, *args)
    assert (status, out) == (2, "")
    assert message in err.replace("with these options ", "")
    assert [one.name for one in tmp_path.iterdir() if one.name not in {"cache", votes.name}] == []


def test_tokens_need_a_tokenizer(run: Run, votes: Path, tmp_path: Path) -> None:
    status, _, err = run(votes, "-o", "x.parquet", "--to", "trl-tokenized")
    assert status == 2
    assert "exporter 'trl-tokenized' writes tokens; name a tokenizer with --tokenizer" in err
    assert not (tmp_path / "x.parquet").exists()


# folders


@pytest.mark.parametrize("exporter", FOLDERS)
@pytest.mark.parametrize("split", [False, True])
def test_a_folder_is_written_and_written_again(
    exporter: str, run: Run, votes: Path, tmp_path: Path, *, split: bool
) -> None:
    words = ["--split", "train=0.6,validation=0.4"] if split else []
    for _ in range(2):
        status, out, _ = run(votes, "-o", "data", "--to", exporter, *words)
        assert status == 0, out
    made = [tmp_path / "data" / name for name in ("train", "validation")] if split else [tmp_path / "data"]
    for folder in made:
        manifest = yaml.safe_load(folder.with_name(f"{folder.name}.manifest.yaml").read_text())
        assert names(folder) == manifest["contents"]
        beside = folder.with_name(f"{folder.name}.rows").read_text().splitlines()
        assert len(beside) == manifest["rows"] > 3
    found = datasets.load_dataset("data")
    assert sorted(found) == (["train", "validation"] if split else ["train"])
    assert {*COLUMNS[2:]} <= {*found["train"].column_names}, "side files are no data"


def test_a_split_leaves_a_folder_of_mine_alone(run: Run, votes: Path, tmp_path: Path) -> None:
    (tmp_path / "data" / "validation").mkdir(parents=True)
    (tmp_path / "data" / "validation" / "mine.txt").write_text("thesis")
    status, _, err = run(votes, "-o", "data", "--to", "axolotl", "--split", "train=0.6,validation=0.4")
    assert (status, names(tmp_path / "data")) == (2, ["validation/mine.txt"])
    assert "is no earlier output" in err


def test_a_source_within_the_folder_is_not_replaced(run: Run, tmp_path: Path, votes: Path) -> None:
    assert run(votes, "-o", "data", "--to", "axolotl")[0] == 0
    status, _, err = run("data/train.jsonl", "-o", "data", "--to", "axolotl")
    assert status == 2
    assert "is also a source" in err
    assert names(tmp_path / "data") == ["axolotl.yaml", "train.jsonl"]


@pytest.mark.parametrize("name", ["train.jsonl", "train.parquet"])
def test_a_file_loads_with_its_folder(name: str, run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    """Also with rejects beside it, and with another split."""
    source = lines([{"prompt": f"p{i}", "response": f"r{i}", "label": (True, False, "so-so")[i]} for i in range(3)])
    exporter = "parquet" if name.endswith("parquet") else "trl"
    for other in (name, name.replace("train", "validation")):
        assert run(source, "-o", f"data/{other}", "--to", exporter)[0] == 0
        found = datasets.load_dataset("data")
        assert set(COLUMNS[2:]) <= set(found["train"].column_names)
        assert set(found) == ({"train"} if other == name else {"train", "validation"})


# compressed files


@pytest.mark.parametrize("exporter", ["trl", "jsonl"])
def test_the_name_chooses_the_compression(exporter: str, run: Run, votes: Path, tmp_path: Path) -> None:
    for name in ("a.jsonl", "a.jsonl.gz", "a.jsonl.xz", "a.jsonl.zst"):
        status, out, err = run(votes, "-o", f"data/{name}", "--to", exporter)
        assert status == 0, err
        assert f"wrote 20 samples to data/{name}" in out
    folder = tmp_path / "data"
    assert gzip.decompress((folder / "a.jsonl.gz").read_bytes()) == (folder / "a.jsonl").read_bytes()
    assert (folder / "a.jsonl.xz").read_bytes()[:6] == b"\xfd7zXZ\0"
    assert (folder / "a.jsonl.zst").read_bytes()[:4] == b"\x28\xb5\x2f\xfd"
    assert (folder / "a-jsonl-gz.manifest.yaml").is_file()


@pytest.mark.parametrize("name", ["train.jsonl.gz", "train.jsonl.xz"])
def test_a_compressed_file_loads_with_its_folder(name: str, run: Run, votes: Path) -> None:
    assert run(votes, "-o", f"data/{name}")[0] == 0
    assert datasets.load_dataset("data", split="train").column_names == COLUMNS


def test_a_compressed_file_in_a_folder_that_is_there(run: Run, votes: Path, tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    assert run(votes, "-o", "data", "--to", "{trl: {compression: gzip}}")[0] == 0
    assert (tmp_path / "data" / "train.jsonl.gz").is_file()
    words = ["--split", "train=0.6,validation=0.4", "--to", "{trl: {compression: gzip}}"]
    assert run(votes, "-o", "parts", *words)[0] == 0
    assert {"train.jsonl.gz", "validation.jsonl.gz"} <= set(names(tmp_path / "parts"))


# settings, samples left out, rows


def test_settings_are_printed_and_kept(run: Run, votes: Path, tmp_path: Path) -> None:
    _, out, _ = run(votes, "-o", "train.jsonl")
    settings = yaml.safe_load((tmp_path / "train-jsonl.manifest.yaml").read_text())["settings"]
    assert settings in out
    assert "desirable_weight=1.86" in settings
    _, out, _ = run(votes, "-o", "train.jsonl", "--json")
    assert json.loads(out)["settings"] == settings


def test_settings_cannot_play_tricks_on_a_terminal(run: Run, votes: Path, tmp_path: Path) -> None:
    status, out, _ = run(votes, "-o", "x\x1b[31m\u202e", "--to", "ms-swift")
    assert status == 0
    assert "\x1b" not in out
    assert "\u202e" not in out


def test_samples_that_the_form_cannot_hold_are_told(run: Run, lines: Callable[..., Path], tmp_path: Path) -> None:
    source = lines(dialogue())
    status, _, err = run(source, "-o", "data", "--to", "axolotl")
    assert status == 1
    assert "cannot hold 1 of 2 samples (earlier_turns 1)" in err
    assert not (tmp_path / "data").exists()
    status, out, err = run(source, "-o", "data", "--to", "{axolotl: {unfit: drop}}")
    assert status == 0
    assert "wrote 1 samples to data" in out
    assert "warning: train: the form cannot hold 1 good and 0 bad samples (earlier_turns)" in err
    [row] = [json.loads(line) for line in (tmp_path / "data.rows").read_text().splitlines()]
    assert row["line"] == 2


@pytest.mark.parametrize("exporter", ["trl", "jsonl"])
@pytest.mark.parametrize("name", ["train-jsonl.rows", "train-jsonl.manifest.yaml"])
def test_a_side_file_is_not_written_over_a_source(
    name: str, exporter: str, run: Run, votes: Path, tmp_path: Path
) -> None:
    """Nor is it removed, where this output has no such side file."""
    before = votes.read_bytes()
    votes.rename(tmp_path / name)
    status, _, err = run(name, "-o", "train.jsonl", "--to", exporter)
    assert status == 2
    assert f"{name} is also a source" in err
    assert (tmp_path / name).read_bytes() == before


def test_rejects_and_rows_are_two_files(run: Run, votes: Path) -> None:
    status, _, err = run(votes, "-o", "train.jsonl", "--rejects", "train-jsonl.rows")
    assert status == 2
    assert "would be written twice" in err
