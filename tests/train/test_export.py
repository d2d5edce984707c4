"""Exports: files and folders, plans, tokens, settings, provenance; what an exporter may not do; nothing half-written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal, cast

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ktoformats import (
    ConfigError,
    Dropped,
    Exporter,
    KTODataConfig,
    KTODataError,
    KTODataLoader,
    Registry,
    SourceError,
    Written,
    to_samples,
)
from ktoformats.errors import PluginContractError
from ktoformats.store.report import loss_weights
from ktoformats.train.export import Planned, export
from ktoformats.train.shards import check_folder, publish
from ktoformats.train.sidefiles import FAILED_SUFFIX, MANIFEST_SUFFIX, ROWS_SUFFIX, side_file, write_manifest
from ktoformats.train.writing import TOKENS, fitting

if TYPE_CHECKING:
    from pathlib import Path

    from ktoformats import Report
    from ktoformats.store.view import View

Made = Callable[..., tuple["View", "Report"]]


class Notes(Exporter):
    """A folder: a note for each sample, and one of how many there are."""

    training_order: ClassVar[bool] = True
    suffix: ClassVar[str] = ""
    folder: ClassVar[bool] = True
    settings_file: ClassVar[str] = "trainer.yaml"

    unfit: Literal["fail", "drop"] = "fail"
    longest: int = 1000

    def refuses(self, batch: pa.RecordBatch) -> Iterable[Dropped]:
        """Long answers."""
        lengths = np.array([len(text) for text in batch.column("response").to_pylist()])
        yield Dropped("long", lengths > self.longest)

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> Mapping[str, Any]:
        """Write a line for each."""
        notes = [one["response"] for batch in batches for one in to_samples(batch)]
        (path / "deep").mkdir()
        (path / "deep" / "notes.txt").write_text("\n".join(notes))
        (path / "count.txt").write_text(str(len(notes)))
        return {"count": len(notes)}

    def settings(self, written: Written) -> str:
        """What it was told."""
        return f"name: {written.name}\ngood: {written.good}\nbad: {written.bad}\nepochs: {written.epochs}\n"


class Ids(Exporter):
    """The tokens, as they come."""

    training_order: ClassVar[bool] = True
    suffix: ClassVar[str] = ".parquet"
    tokens: ClassVar[bool] = True

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> Mapping[str, Any]:
        """Write them beside the answers."""
        names = ["response", *TOKENS.names]
        pq.write_table(pa.Table.from_batches(list(batches)).select(names), path)
        return {}


@pytest.fixture
def made(tmp_path: Path, lines: Callable[..., Path]) -> Made:
    """A view of twelve samples and more, and its report."""

    def build(count: int = 12, *, compressed: bool = False, **options: Any) -> tuple[View, Report]:
        rows = [{"prompt": f"p{i}", "response": f"answer {i}", "label": i % 3 == 0} for i in range(count)]
        config = KTODataConfig(
            train_file=str(lines(rows)),
            balance_labels=False,
            min_samples_per_label=0,
            **options,
        )
        loader = KTODataLoader(config, cache_dir=tmp_path / f"cache-{compressed}", cache_compression=compressed)
        view = loader._load_view("train")
        assert loader.report is not None
        return view, loader.report

    return build


def rows_beside(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in side_file(path, ROWS_SUFFIX).read_text().splitlines()]


def make(name: str, **options: Any) -> Exporter:
    exporter = Registry().make("exporter", name, options, {})
    assert isinstance(exporter, Exporter)
    return exporter


# folders


def test_a_folder_is_published_whole_with_its_side_files_beside_it(made: Made, tmp_path: Path) -> None:
    target = tmp_path / "out" / "data"
    for count in (12, 15):
        view, report = made(count)
        check_folder(target)
        manifest = export(view, report, Notes(), "notes", target)
        assert (target / "count.txt").read_text() == str(count)
        assert manifest["contents"] == ["count.txt", "deep/notes.txt", "trainer.yaml"]
        assert manifest["told"] == {"count": count}
        notes = (target / "deep" / "notes.txt").read_text().splitlines()
        assert [f"answer {row['line'] - 1}" for row in rows_beside(target)] == notes
        assert sorted(one.name for one in target.parent.iterdir()) == ["data", "data.manifest.yaml", "data.rows"]
    values = yaml.safe_load((target / "trainer.yaml").read_text())
    assert values == {"name": "data", "good": 5, "bad": 10, "epochs": 1}
    told = side_file(target, MANIFEST_SUFFIX).read_text()
    assert yaml.safe_load(told)["settings"] == (target / "trainer.yaml").read_text()
    assert "settings: |" in told, "to be read and copied"


@pytest.mark.parametrize("what", ["a file of mine", "no manifest", "a file in the way"])
def test_a_folder_that_is_not_ours_is_not_replaced(what: str, made: Made, tmp_path: Path) -> None:
    target = tmp_path / "data"
    if what == "a file in the way":
        target.write_text("mine")
        with pytest.raises(ConfigError, match="is a file"):
            check_folder(target)
        return
    export(*made(), Notes(), "notes", target)
    check_folder(target)
    if what == "no manifest":
        side_file(target, MANIFEST_SUFFIX).unlink()
    else:
        (target / "deep" / "mine.txt").write_text("thesis")
    with pytest.raises(ConfigError, match=r"is no earlier output \(.*nothing was replaced"):
        check_folder(target)


def test_a_folder_that_cannot_be_written_leaves_the_earlier_one(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "data"
    export(*made(), Notes(), "notes", target)
    before = {one.name: one.read_bytes() for one in tmp_path.rglob("*.txt")}

    def full(part: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ktoformats.train.shards._publish_sides", full)
    with pytest.raises(SourceError, match=r"No space left on device\); nothing was published"):
        export(*made(15), Notes(), "notes", target)
    assert {one.name: one.read_bytes() for one in tmp_path.rglob("*.txt")} == before


def test_what_is_published_takes_the_failure_of_an_earlier_run_and_its_rows_with_it(tmp_path: Path) -> None:
    target, part = tmp_path / "x.jsonl", tmp_path / "private" / "x.jsonl"
    part.parent.mkdir()
    part.write_text("new")
    for suffix in (FAILED_SUFFIX, ROWS_SUFFIX):
        side_file(target, suffix).write_text("old")
    write_manifest(side_file(part, MANIFEST_SUFFIX), {})
    publish(part, target)
    assert sorted(one.name for one in tmp_path.iterdir() if one.is_file()) == ["x-jsonl.manifest.yaml", "x.jsonl"]


# where rows come from


@pytest.mark.parametrize("compressed", [False, True])
def test_where_each_row_comes_from_stands_beside_the_file(made: Made, tmp_path: Path, *, compressed: bool) -> None:
    view, report = made(40, compressed=compressed)
    target = tmp_path / "train.jsonl"
    export(view, report, make("trl"), "trl", target)
    written = [json.loads(line) for line in target.read_text().splitlines()]
    beside = rows_beside(target)
    assert [f"answer {row['line'] - 1}" for row in beside] == [row["completion"] for row in written]
    assert {tuple(row) for row in beside} == {("id", "source", "line")}
    assert len({row["id"] for row in beside}) == 40
    export(view, report, make("jsonl"), "jsonl", target)
    assert not side_file(target, ROWS_SUFFIX).exists(), "its rows say it themselves"


# plans and tokens


def test_a_plan_is_written_as_it_is(made: Made, tmp_path: Path) -> None:
    view, report = made()
    rows = np.concatenate([view.chosen[::-1], view.chosen])
    planned = Planned(rows, batch_size=4, world_size=3, epochs=2, max_tokens=99)
    target = tmp_path / "train.jsonl"
    manifest = export(view, report, make("trl"), "trl", target, planned=planned)
    answers = [json.loads(line)["completion"] for line in target.read_text().splitlines()]
    assert answers == [f"answer {row}" for row in [*range(11, -1, -1), *range(12)]]
    assert manifest["plan"] == {"batch_size": 4, "world_size": 3, "epochs": 2}
    assert manifest["rows"] == 24
    assert len(rows_beside(target)) == 24
    for words in ("per_device_train_batch_size=4", "num_train_epochs=1", "max_length=99"):
        assert words in manifest["settings"]


def test_a_plan_of_compressed_samples_is_the_same(made: Made, tmp_path: Path) -> None:
    written = []
    for compressed in (False, True):
        view, report = made(15, compressed=compressed, min_response_length=9)
        assert any(part.compressed for part in view.samples.parts) == compressed
        assert view.chosen.tolist() == [10, 11, 12, 13, 14]
        target = tmp_path / f"{compressed}.jsonl"
        export(view, report, make("trl"), "trl", target, planned=Planned(view.chosen[::-1], 2))
        written.append(target.read_bytes())
    assert written[0] == written[1]


def test_tokens_come_with_the_rows_that_they_are_of(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ktoformats.train.writing._ROWS_AT_ONCE", 5)
    view, report = made()
    rows = view.chosen[::-1].copy()

    def tokens(start: int, stop: int) -> list[pa.Array]:
        own = rows[start:stop].tolist()
        return [pa.array([[row, one] for row in own], pa.list_(pa.int32())) for one in range(3)]

    planned = Planned(rows, 4, tokens=tokens)
    export(view, report, Ids(), "ids", tmp_path / "x.parquet", planned=planned)
    found = pq.read_table(tmp_path / "x.parquet").to_pylist()
    assert [int(row["response"].split()[1]) for row in found] == rows.tolist()
    for number, name in enumerate(TOKENS.names):
        assert [row[name] for row in found] == [[row, number] for row in rows.tolist()]
    export(view, report, Ids(), "ids", tmp_path / "shards", planned=planned, rows_per_shard=5)
    shards = [pq.read_table(one) for one in sorted((tmp_path / "shards").iterdir())]
    assert pa.concat_tables(shards).to_pylist() == found


def test_tokens_without_a_tokenizer_are_refused(made: Made, tmp_path: Path) -> None:
    view, report = made()
    for planned in (None, Planned(view.chosen, 4)):
        with pytest.raises(ConfigError, match="writes tokens, and no tokenizer was named"):
            export(view, report, Ids(), "ids", tmp_path / "x.parquet", planned=planned)
    assert not (tmp_path / "x.parquet").exists()


# shards


def test_shards_hold_the_rows_of_one_file_in_its_order(made: Made, tmp_path: Path) -> None:
    view, report = made(23)
    export(view, report, make("trl"), "trl", tmp_path / "one.jsonl")
    for rows, names in ((10, 3), (23, 1), (100, 1), (1, 23)):
        target = tmp_path / "shards"
        check_folder(target)
        manifest = export(view, report, make("trl"), "trl", target, rows_per_shard=rows)
        files = sorted(target.iterdir())
        assert [one.name for one in files] == [f"train-{i:05}-of-{names:05}.jsonl" for i in range(names)]
        assert b"".join(one.read_bytes() for one in files) == (tmp_path / "one.jsonl").read_bytes()
        assert sum(manifest["shards"].values()) == 23
        assert rows_beside(target) == rows_beside(tmp_path / "one.jsonl")


def test_no_samples_are_one_empty_shard(made: Made, tmp_path: Path) -> None:
    view, report = made(3)
    none = Planned(view.chosen[:0], 2)
    manifest = export(view, report, make("trl"), "trl", tmp_path / "x", planned=none, rows_per_shard=2)
    assert manifest["shards"] == {"train-00000-of-00001.jsonl": 0}
    assert "desirable_weight=1.0" in manifest["settings"]


# what a form cannot hold


def test_a_sample_that_the_form_cannot_hold_stops_the_export(made: Made, tmp_path: Path) -> None:
    view, report = made()
    message = r"cannot hold 2 of 12 samples \(long 2\), first .*records1.jsonl:11 \(sample [0-9a-f]{32}\): long; to "
    with pytest.raises(KTODataError, match=message + r"leave .* --to '\{notes: \{unfit: drop\}\}'"):
        export(view, report, Notes(longest=8), "notes", tmp_path / "x")
    assert not (tmp_path / "x").exists()


def test_or_is_left_out_and_counted_before_the_order_is_made(made: Made, tmp_path: Path) -> None:
    view, report = made()
    dropping = Notes(longest=8, unfit="drop")
    manifest = export(view, report, dropping, "notes", tmp_path / "x")
    assert manifest["told"] == {"count": 10, "left_out": {"long": {"good": 0, "bad": 2}}}
    assert manifest["rows"] == 10 == len(rows_beside(tmp_path / "x"))
    assert yaml.safe_load(manifest["settings"])["bad"] == 6
    assert manifest["weights"] == loss_weights(4, 6) != report.weights(), "of what was written"
    assert yaml.safe_load((tmp_path / "x.manifest.yaml").read_text())["weights"] == manifest["weights"]
    fit = fitting(view, dropping, "notes")
    assert fit.rows.tolist() == list(range(10))
    with pytest.raises(ConfigError, match="rows are planned that exporter 'notes' leaves out"):
        export(view, report, dropping, "notes", tmp_path / "y", planned=Planned(view.chosen, 2))
    export(view, report, dropping, "notes", tmp_path / "y", planned=Planned(fit.rows, 2))
    assert (tmp_path / "y" / "count.txt").read_text() == "10"


# what an exporter may not do


class Settling(Notes):
    """Gives something else."""

    def settled(self, batches: Iterable[pa.RecordBatch]) -> Any:
        """Nothing."""


class Raising(Notes):
    """Fails where it is told to."""

    where: str = ""

    def refuses(self, batch: pa.RecordBatch) -> Iterable[Dropped]:
        """Fail, or give a wrong mask."""
        if self.where == "refuses":
            raise KeyError("x")
        return [Dropped("odd", np.zeros(1, bool))] if self.where == "mask" else []

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> Mapping[str, Any]:
        """Write nothing, if so."""
        return {} if self.where == "nothing" else super().write(batches, path)

    def settings(self, written: Written) -> Any:
        """Fail, or give no text."""
        if self.where == "settings":
            raise KeyError("x")
        return {"a": 1} if self.where == "no text" else ""


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ("refuses", r"failed in refuses \(KeyError"),
        ("mask", r"mask of 'odd' has shape \(1,\), expected \(12,\)"),
        ("nothing", "wrote nothing"),
        ("settings", r"failed in settings \(KeyError"),
        ("no text", "settings returned .*expected a text"),
    ],
)
def test_an_exporter_that_breaks_its_promise_publishes_nothing(
    where: str, message: str, made: Made, tmp_path: Path
) -> None:
    with pytest.raises(PluginContractError, match=message):
        export(*made(), Raising(where=where), "raising", tmp_path / "x")
    assert [one.name for one in tmp_path.iterdir() if one.name not in {"cache-False", "records1.jsonl"}] == []


def test_what_settles_is_an_exporter(made: Made, tmp_path: Path) -> None:
    with pytest.raises(PluginContractError, match="settled returned None, expected an exporter"):
        export(*made(), Settling(), "settling", tmp_path / "x", rows_per_shard=3)


class Old(Exporter):
    """One that knows of nothing but `write`."""

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> Mapping[str, Any]:
        """Write the answers."""
        path.write_text("".join(f"{text}\n" for batch in batches for text in batch.column("response").to_pylist()))
        return {}


def test_an_exporter_of_one_verb_goes_on_working(made: Made, tmp_path: Path) -> None:
    manifest = export(*made(), Old(), "old", tmp_path / "x.jsonl")
    assert (tmp_path / "x.jsonl").read_text().splitlines() == [f"answer {i}" for i in range(12)]
    assert manifest["order"] == "source"
    assert not {"settings", "plan", "contents", "shards"} & set(manifest)
    export(*made(), Old(), "old", tmp_path / "shards", rows_per_shard=5)
    assert len(list((tmp_path / "shards").iterdir())) == 3


def test_an_export_of_nothing_that_fits_is_refused(tmp_path: Path) -> None:
    from ktoformats import KTODataConfig, KTODataLoader, Limits, Registry
    from ktoformats.errors import EmptyDatasetError
    from ktoformats.train import lineup

    source = tmp_path / "a.jsonl"
    source.write_text('{"prompt": "p", "response": "one two three", "label": "good"}\n', encoding="utf-8")
    config = KTODataConfig(train_file=str(source), require_both_labels=False, min_samples_per_label=1)
    loader = KTODataLoader(config, enable_cache=False)
    loader.load_dataset()

    class Letters:
        """A token for each letter."""

        chat_template, eos_token_id, pad_token_id, bos_token_id = None, 0, 0, None

        def __call__(self, texts: list[str], **_: object) -> dict[str, list[list[int]]]:
            return {"input_ids": [list(map(ord, text)) for text in texts]}

    wanted = lineup.Wanted(tokenizer=Letters())
    exporter = cast("Exporter", Registry().make("exporter", "trl", {}, {}))
    view, limits = loader.views["train"], Limits(max_tokens=5)
    with pytest.raises(EmptyDatasetError, match="completion_too_long: 1 good, 0 bad; nothing was published"):
        lineup.line_up(view, exporter, "trl", wanted, limits)
