"""On Ray the same comes out as in process: samples, order, accounts, rejects, errors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml
from click.testing import CliRunner

import ktoformats
from ktoformats import SCHEMA, ConfigError, KTODataConfig, KTODataLoader, RecordError, Registry, SourceError
from ktoformats.cli.convert import command
from ktoformats.convert.assemble import assemble
from ktoformats.engines import work
from ktoformats.engines.ray import to_ray_dataset
from ktoformats.engines.running import library, running
from ktoformats.engines.work import Orders, Unit
from ktoformats.errors import AmbiguousFormatError, KTODataError, PluginContractError
from ktoformats.store.told import tell_error, told_error
from ktoformats.store.workers import greeting
from ktoformats.train.shards import check_folder, publish, workplace, write_shard

if TYPE_CHECKING:
    from pathlib import Path

    from ktoformats.store.report import Report

Converts = Callable[..., Any]
Command = Callable[..., subprocess.CompletedProcess[str]]
pytestmark = [
    pytest.mark.ray,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
]  # Ray copies its own old settings
LOOSE: dict[str, Any] = {"max_rejected": 10_000, "min_samples_per_label": 0}
EARS = """
import json, os
from ktoformats import hookimpl

def note(*told):
    with open(os.environ["HEARD"], "a") as stream:
        print(json.dumps(told), file=stream)

@hookimpl
def ktoformats_record_rejected(source, line, reason, field, message):
    note(os.getpid(), source, line, reason, field, message)

@hookimpl
def ktoformats_dataset_built(split, report):
    note(os.getpid(), split, dict(report))
"""
BOUNDS = {"min_response_length": 12, "max_response_length": 60, "min_response_quality": 0.3}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"random_seed": 5, "label_imbalance_tolerance": 0.0, **BOUNDS}, id="seed-and-filters"),
        pytest.param({"duplicates": "drop", "conflict": "majority", "on_error": "skip"}, id="repeats"),
        pytest.param({}, id="balanced", marks=pytest.mark.campaign),
        pytest.param({"pairwise_sampling_strategy": "balanced"}, id="whole-pairs", marks=pytest.mark.campaign),
        pytest.param({"balance_labels": False, "keep": ["rating"]}, id="kept", marks=pytest.mark.campaign),
    ],
)
def test_the_same_samples_and_the_same_report(
    options: dict[str, Any], corpus: Path, in_process: Converts, on_ray: Converts
) -> None:
    config = KTODataConfig(train_file=str(corpus), **LOOSE | options)
    here, there = in_process(config), on_ray(config)
    assert here.samples == there.samples
    assert here == there
    assert not here.error
    assert len(here.samples) > 500
    assert here.report["total"]["rejected"]
    assert here.rejects


def test_mixed_sources_with_tags_limits_and_weights(corpus: Path, in_process: Converts, on_ray: Converts) -> None:
    sources = [
        {"path": str(corpus / "part0.jsonl"), "tags": ["first"], "limit": 150, "columns": {"system": "sys"}},
        {"path": [str(corpus / "part1.jsonl"), str(corpus / "packed.jsonl.gz")], "weight": 2, "licence": "cc-0"},
        {"path": str(corpus / "large.jsonl"), "weight": 1, "keep": ["prompt"]},
    ]
    config = KTODataConfig(sources=sources, min_response_length=12, **LOOSE)
    here, there = in_process(config), on_ray(config)
    assert here == there
    assert {json.loads(one["kept"]).get("licence") for one in there.samples} == {None, "cc-0"}


def test_a_budget_that_is_spent_stops_both_with_the_same_report(
    corpus: Path, in_process: Converts, on_ray: Converts
) -> None:
    config = KTODataConfig(train_file=str(corpus), max_rejected=1, max_rejected_share=0.001)
    here, there = in_process(config), on_ray(config)
    assert here.error.startswith("RejectBudgetError: ")
    assert here.error == there.error
    assert here.rejects == there.rejects
    assert here.report == there.report


def test_the_first_reject_stops_both(corpus: Path, in_process: Converts, on_ray: Converts) -> None:
    config = KTODataConfig(train_file=str(corpus / "large.jsonl"), on_error="fail")
    here, there = in_process(config), on_ray(config)
    assert "large.jsonl:" in here.error
    assert (here.error, here.rejects) == (there.error, there.rejects)


def test_a_file_that_is_cut_is_told_as_in_process(
    tmp_path: Path, corpus: Path, in_process: Converts, on_ray: Converts
) -> None:
    whole = (corpus / "packed.jsonl.gz").read_bytes()
    (tmp_path / "cut.jsonl.gz").write_bytes(whole[: len(whole) // 2])
    config = KTODataConfig(train_file=[str(corpus / "part1.jsonl"), str(tmp_path / "cut.jsonl.gz")], **LOOSE)
    here, there = in_process(config), on_ray(config)
    assert here.error.startswith("SourceError: ")
    assert here == there


def test_tasks_of_the_usual_size_give_the_same(corpus: Path, in_process: Converts, on_ray: Converts) -> None:
    config = KTODataConfig(train_file=str(corpus), **LOOSE)
    assert in_process(config) == on_ray(config, task_bytes=0)


@pytest.mark.parametrize(
    ("word", "said"),
    [("fail", "score failed (ValueError: no such luck)"), ("die", "the worker process died, 3 times")],
)
def test_a_plugin_that_fails_is_told_with_file_and_lines(
    word: str, said: str, tmp_path: Path, on_ray: Converts
) -> None:
    path = tmp_path / "votes.jsonl"
    good = [{"prompt": f"p{number}", "response": "r", "label": "good"} for number in range(3000)]
    path.write_text("".join(json.dumps(one) + "\n" for one in [*good, good[0] | {"prompt": word}]))
    there = on_ray(KTODataConfig(train_file=path, quality="harsh", **LOOSE))
    assert said in there.error
    assert f": {path}:" in there.error
    assert "-3001: " in there.error
    assert there.samples == []


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"formats": [{"mapping": {"preset": "oasst-messages"}}]}, "brings records together"),
        ({"oversample": True}, "`oversample` repeats samples"),
    ],
)
def test_what_workers_cannot_do_is_refused(
    options: dict[str, Any], said: str, corpus: Path, on_ray: Converts
) -> None:
    there = on_ray(KTODataConfig(train_file=str(corpus / "part0.jsonl"), **options))
    assert there.error.startswith("ConfigError: this cannot run on Ray: ")
    assert said in there.error
    assert "--engine local" in there.error


def test_a_dataset_holds_what_the_loader_gives(corpus: Path, local_ray: None, tmp_path: Path) -> None:
    del local_ray
    config = KTODataConfig(train_file=str(corpus / "*.jsonl"), min_response_length=12, **LOOSE)
    loader = KTODataLoader(config, enable_cache=False)
    expected = [(one["id"], one["prompt"], one["label"], one["line"]) for one in loader.load_dataset("train")]
    reports: list[Report] = []
    (tmp_path / "shared").mkdir()
    dataset = to_ray_dataset(config, staging=tmp_path / "shared", tell=reports.append)
    assert list((tmp_path / "shared").iterdir()) == []
    assert dataset.schema().names == SCHEMA.names
    assert [(one["id"], one["prompt"], one["label"], one["line"]) for one in dataset.take_all()] == expected
    assert reports[0].to_json() == loader.report.to_json()


def test_a_ray_that_runs_is_used_and_left_alone(local_ray: None, monkeypatch: pytest.MonkeyPatch) -> None:
    del local_ray
    monkeypatch.setenv("RAY_ADDRESS", "192.0.2.1:1")
    with running(address="nowhere"):
        assert library().is_initialized()
    assert library().is_initialized()


def test_the_command_writes_shards_on_a_ray_that_it_leaves_alone(
    convert: Command, corpus: Path, tmp_path: Path, local_ray: None
) -> None:
    del local_ray
    options = ["--to", "parquet", "--json", "--set", "max_rejected=10000", "--set", "balance_labels=true"]
    here = convert(corpus, "-o", "here.parquet", "--no-cache", *options)
    assert here.returncode == 0, here.stderr
    (tmp_path / "out").mkdir()
    address = library().get_runtime_context().gcs_address
    there = convert(corpus, "-o", "out", "--engine", "ray", "--address", address, "--workers", "2", *options)
    assert there.returncode == 0, there.stderr
    assert there.stderr == ""
    told = json.loads(there.stdout)
    assert told.pop("output") == "out"
    assert told == yaml.safe_load((tmp_path / "out.manifest.yaml").read_text(encoding="utf-8"))
    expected = yaml.safe_load((tmp_path / "here-parquet.manifest.yaml").read_text(encoding="utf-8"))
    assert (told.pop("engine"), told.pop("shards")) == ("ray", {"part-00000.parquet": sum(told["labels"].values())})
    assert told | {"written": ""} == expected | {"written": ""}
    assert pq.read_table(tmp_path / "out").equals(pq.read_table(tmp_path / "here.parquet"))
    assert (tmp_path / "out.rejects.txt").read_bytes() == (tmp_path / "here-parquet.rejects.txt").read_bytes()
    assert {one.name for one in tmp_path.iterdir()} == {
        "out", "out.manifest.yaml", "out.rejects.txt",
        "here.parquet", "here-parquet.manifest.yaml", "here-parquet.rejects.txt",
    }  # fmt: skip
    again = convert(tmp_path / "out", "-o", "out", "--to", "parquet", "--engine", "ray")
    assert (again.returncode, "is also a source" in again.stderr) == (2, True)
    assert library().cluster_resources()["CPU"] == 2


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["-o", "out", "--engine", "ray"], "say --to parquet or --to jsonl"),
        (["-o", "taken", "--to", "jsonl", "--engine", "ray"], "taken is no earlier output (it holds notes.txt)"),
        (
            ["-o", "bare", "--to", "jsonl", "--engine", "ray"],
            "bare is no earlier output (no manifest stands beside it)",
        ),
        (["-o", "file", "--to", "jsonl", "--engine", "ray"], "file is a file; shards go into a folder"),
        (["-o", "out.jsonl", "--address", "auto"], "--address names a Ray; say --engine ray with it"),
    ],
)
def test_a_wrong_command_is_refused_before_ray_starts(
    words: list[str], said: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("taken/notes.txt", "bare/part-00000.jsonl", "file"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    done = CliRunner().invoke(command, [str(corpus / "part0.jsonl"), *words])
    assert isinstance(done.exception, ConfigError)
    assert said in str(done.exception)
    assert done.output == ""
    assert {one.name for one in tmp_path.iterdir()} == {"taken", "bare", "file"}
    assert (tmp_path / "taken" / "notes.txt").read_text() == "mine"


@pytest.fixture
def heard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[list[Any]]]:
    """What the observer `ears` noted since the last look; it is installed here, and not where Ray's workers are."""
    site, log = tmp_path / "site", tmp_path / "heard"
    info = site / "acme_ears-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-ears\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ktoformats.observers]\nears = acme_ears\n")
    (site / "acme_ears.py").write_text(EARS)
    monkeypatch.syspath_prepend(site)
    monkeypatch.setenv("PYTHONPATH", str(site))
    monkeypatch.setenv("HEARD", str(log))

    def read() -> list[list[Any]]:
        told = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        log.unlink(missing_ok=True)
        return told

    return read


def test_observers_hear_the_same_in_the_process_that_builds(
    heard: Callable[[], list[list[Any]]], corpus: Path, in_process: Converts, on_ray: Converts
) -> None:
    config = KTODataConfig(train_file=str(corpus), observers=["ears"], **LOOSE)
    here, before = in_process(config), heard()
    there, after = on_ray(config), heard()
    assert not there.error
    assert here == there
    assert {process for process, *_ in after} == {os.getpid()}, "a worker has nothing to hear"
    assert after == before
    *rejects, built = after
    assert len(rejects) == sum(there.report["total"]["rejected"].values()) > 10
    assert built[1:] == ["train", there.report]


def test_the_command_tells_observers_of_what_ray_did(
    heard: Callable[[], list[list[Any]]], convert: Command, corpus: Path, local_ray: None
) -> None:
    del local_ray
    address = library().get_runtime_context().gcs_address
    words = ["--to", "jsonl", "--json", "--set", "max_rejected=10000", "--set", "observers=[ears]"]
    told, noted = [], []
    for more in (["-o", "here.jsonl", "--no-cache"], ["-o", "out", "--engine", "ray", "--address", address]):
        done = convert(corpus, *more, *words)
        assert done.returncode == 0, done.stdout
        told.append(json.loads(done.stdout))
        noted.append([one for _, *one in heard()])
    assert told[0]["plugins"] == told[1]["plugins"]
    assert told[1]["plugins"]["observer"] == {"ears": "acme-ears 1.0"}
    assert noted[0] == noted[1]
    assert [line for _, line, *_ in noted[1][:-1]]
    assert noted[1][-1][0] == "train"


def test_an_earlier_output_is_replaced_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "out"
    for number in (1, 2):
        check_folder(target)
        with workplace(target) as folder:
            (folder / "shards").mkdir()
            (folder / "shards" / f"part-0000{number}.jsonl").write_text("{}")
            publish(folder / "shards", target, {"number": number})
    assert [one.name for one in target.iterdir()] == ["part-00002.jsonl"]
    assert {one.name for one in tmp_path.iterdir()} == {"out", "out.manifest.yaml"}
    check_folder(target)


def test_what_cannot_be_published_leaves_the_earlier_output(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "part-00000.jsonl").write_text("earlier")
    with pytest.raises(SourceError, match="nothing was published"), workplace(target) as folder:
        publish(folder / "shards", target, {})
    assert (target / "part-00000.jsonl").read_text() == "earlier"
    assert [one.name for one in tmp_path.iterdir()] == ["out"]


class Lines(list[pa.RecordBatch]):
    """Samples to write: batches of one row."""


@pytest.mark.parametrize(
    ("exporter", "said"), [("jsonl", ""), ("no-such", "no exporter"), ("trl", "the process that wrote it died")]
)
def test_a_worker_writes_one_shard_or_tells_why_not(exporter: str, said: str, tmp_path: Path) -> None:
    if exporter == "trl":
        for number in range(3):
            (tmp_path / f".node-{number}-part-00003.jsonl").touch()
    batches = Lines(SCHEMA.empty_table().to_batches())
    [table] = write_shard(batches, 3, exporter=exporter, options={}, folder=tmp_path)
    [row] = table.to_pylist()
    if said:
        assert said in str(told_error(json.loads(row["error"])))
    else:
        assert (row["file"], row["samples"], row["error"]) == ("part-00003.jsonl", 0, b"")
        assert [one.name for one in tmp_path.iterdir()] == ["part-00003.jsonl"]


def test_no_ray_at_an_address_is_told(corpus: Path, tmp_path: Path, convert: Command) -> None:
    words = ["-o", "out", "--to", "jsonl", "--engine", "ray", "--address", "127.0.0.1:1"]
    done = convert(corpus / "part0.jsonl", *words)
    assert done.returncode == 1, done.stderr
    assert "error: no Ray at 127.0.0.1:1" in done.stderr
    assert [one.name for one in tmp_path.iterdir() if one.name != "cache"] == []


def test_without_ray_the_user_hears_what_to_install(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    words = [str(corpus / "part0.jsonl"), "-o", str(tmp_path / "out"), "--to", "jsonl", "--engine", "ray"]
    done = CliRunner().invoke(command, words)
    assert isinstance(done.exception, ConfigError)
    assert "pip install 'ktoformats[ray]'" in str(done.exception)
    with pytest.raises(ImportError, match=r"pip install 'ktoformats\[ray\]'"):
        to_ray_dataset(KTODataConfig(train_file=str(corpus / "part0.jsonl")))


def test_ray_is_imported_only_where_it_is_asked_for(corpus: Path, tmp_path: Path) -> None:
    code = (
        "import sys\nfrom ktoformats.cli.main import main\ntry: main(sys.argv[1:])\nexcept SystemExit: pass\n"
        "print('ray' in sys.modules, file=sys.stderr)"
    )
    words = ["convert", str(corpus / "part0.jsonl"), "-o", str(tmp_path / "out.jsonl"), "--no-cache", "--json"]
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=True)
    assert done.stderr.splitlines()[-1] == "False"


def test_standard_input_is_brought_to_where_workers_see_it(
    corpus: Path, on_ray: Converts, in_process: Converts, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = []
    for convert in (in_process, on_ray):
        with (corpus / "part1.jsonl").open("rb") as stream, monkeypatch.context() as patch:
            patch.setattr(sys, "stdin", SimpleNamespace(buffer=stream))
            found.append(convert(KTODataConfig(train_file="-", **LOOSE)))
    assert found[0] == found[1]
    assert found[0].samples


def unit(path: Path) -> Unit:
    info = path.stat()
    return Unit(0, path.name, str(path), info.st_size, info.st_mtime_ns)


def orders(staging: Path, config: KTODataConfig, **changed: Any) -> Orders:
    plugins = assemble(config, Registry()).plugins
    return Orders(str(staging), ktoformats.__version__, [greeting(config)], [None], [plugins])._replace(**changed)


@pytest.mark.parametrize(
    ("name", "changed", "said"),
    [
        ("staging", {"version": "0.0.1"}, "ktoformats version: the node "),
        (
            "staging",
            {"plugins": [{"format": {"binary": "ktoformats 9"}}]},
            "the driver ktoformats 9; install the same",
        ),
        ("elsewhere", {}, "cannot write there (No such file or directory); all nodes have to share it"),
    ],
)
def test_a_worker_that_is_not_like_the_driver_says_so(
    name: str, changed: dict[str, Any], said: str, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "staging").mkdir()
    config = KTODataConfig()
    task = pa.Table.from_pylist([unit(corpus / "part0.jsonl")._asdict()])
    [row] = work.convert(task, orders=orders(tmp_path / name, config, **changed)).to_pylist()
    error = told_error(json.loads(row["error"]))
    assert said in str(error)
    assert row["rows"] == 0


def test_a_worker_reads_only_the_file_that_the_driver_saw(corpus: Path, tmp_path: Path) -> None:
    path = tmp_path / "votes.jsonl"
    path.write_bytes((corpus / "part0.jsonl").read_bytes())
    seen = unit(path)
    assert list(seen.blocks())
    with path.open("ab") as stream:
        stream.write(b"{}\n")
    with pytest.raises(SourceError, match="the file changed while it was read"):
        list(seen.blocks())
    path.unlink()
    with pytest.raises(SourceError, match=r"does not see it; put it on storage that all nodes share"):
        list(seen.blocks())


@pytest.mark.parametrize(
    ("error", "kind", "said"),
    [
        (SourceError("truncated_file", "a.gz", "it is cut"), SourceError, "a.gz: it is cut"),
        (PluginContractError("it broke", kind="quality", plugin="x"), PluginContractError, "a.gz:1-2: it broke"),
        (AmbiguousFormatError("a.gz:7: two formats"), AmbiguousFormatError, "a.gz:7: two formats"),
        (ConfigError(faults=("one", "two")), ConfigError, "a.gz:1-2: one; two"),
        (KeyError("x"), PluginContractError, "a.gz:1-2: a plugin failed (KeyError: 'x')"),
        (OSError(28, "No space left on device"), SourceError, "a.gz:1-2: the system says: No space left on device"),
        (RecordError("r", "a record"), KTODataError, "a.gz:1-2: a record"),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else "",
)
def test_an_error_comes_back_as_it_was(error: Exception, kind: type[Exception], said: str) -> None:
    back = told_error(json.loads(json.dumps(tell_error(error, "a.gz:1-2"))))
    assert (type(back), str(back)) == (kind, said)
    assert getattr(back, "code", None) == getattr(error, "code", "not_writable" if kind is SourceError else None)
