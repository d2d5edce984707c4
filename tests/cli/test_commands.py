"""The commands as real processes: exit statuses, what is written, what is said."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
import yaml

from ktoformats import KTODataError, SourceError
from ktoformats.cli.staging import held_back

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

COMMAND = [sys.executable, "-m", "ktoformats.cli.main"]
GOOD = {"prompt": "q", "response": "a good answer", "label": "good"}
BAD = {"prompt": "q", "response": "a bad answer", "label": "bad"}


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a command in an empty folder, with a cache of its own."""

    def call(*args: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache"), **environment}
        done = subprocess.run(
            [*COMMAND, *map(str, args)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            env=env,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return call


def left(folder: Path) -> set[str]:
    """The files a command left, the cache and sources apart."""
    return {p.name for p in folder.iterdir() if p.name != "cache" and not p.name.startswith("records")}


def test_demo_shows_every_format(run: Callable[..., Any]) -> None:
    done = run("demo")
    assert done.returncode == 0
    for name in ("binary", "pairwise", "ranking", "conversation", "arabic-rating"):
        assert name in done.stdout
    report = json.loads(run("demo", "--json").stdout)["report"]
    assert report["total"]["lines"] == 17
    assert report["total"]["rejected"] == {"label_unrecognised": 1}
    assert report["labels"] == {"good": 10, "bad": 8}


def test_convert_writes_trl_rows_and_side_files(
    run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    done = run("convert", lines([GOOD, BAD, b"oops", {**GOOD, "label": None}]), "-o", "deep/train.jsonl")
    assert done.returncode == 0
    rows = [json.loads(line) for line in (tmp_path / "deep/train.jsonl").read_text().splitlines()]
    assert sorted(rows, key=str) == [
        {"prompt": "q", "completion": "a bad answer", "label": False},
        {"prompt": "q", "completion": "a good answer", "label": True},
    ]
    sides = {f"train-jsonl.{name}" for name in ("manifest.yaml", "rows", "rejects.txt")}
    assert left(tmp_path / "deep") == {"train.jsonl", *sides}
    beside = [json.loads(line)["line"] for line in (tmp_path / "deep/train-jsonl.rows").read_text().splitlines()]
    assert sorted(beside) == [1, 2]
    [reject] = [json.loads(line) for line in (tmp_path / "deep/train-jsonl.rejects.txt").read_text().splitlines()]
    assert (reject["line"], reject["reason"], reject["record"]) == (3, "invalid_json", "oops")
    manifest = yaml.safe_load((tmp_path / "deep/train-jsonl.manifest.yaml").read_text())
    total = manifest["total"]
    assert (
        total["lines"]
        == 4
        == total["blank"] + total["used"] + sum(total["without_verdict"].values()) + sum(total["rejected"].values())
    )
    assert manifest["order"] == "training"
    assert manifest["told"] == {"style": "standard", "touching": 2}
    assert "2 prompts and their completions meet without white space" in done.stdout
    assert "wrote 2 samples to deep/train.jsonl (trl, standard, training order)" in done.stdout
    assert ":3: " in done.stderr


@pytest.mark.parametrize("exporter", ["jsonl", "parquet"])
def test_canonical_files_keep_source_order_and_keys(
    run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path, exporter: str
) -> None:
    records = [{**(GOOD if i % 3 else BAD), "prompt": f"p{i}"} for i in range(50)]
    done = run("convert", lines(records), "-o", f"out.{exporter}", "--to", exporter, "--no-cache")
    assert done.returncode == 0
    path = tmp_path / f"out.{exporter}"
    rows = (
        pq.read_table(path).to_pylist()
        if exporter == "parquet"
        else [json.loads(x) for x in path.read_text().splitlines()]
    )
    assert [row["prompt"] for row in rows] == [f"p{i}" for i in range(50)]
    assert {"prompt", "response", "label", "method", "format_type", "preference_type", "utility_score"} <= set(
        rows[0]
    )
    assert not (tmp_path / "cache").exists()


def test_a_second_convert_comes_from_the_cache(run: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([GOOD, BAD])
    first = json.loads(run("convert", source, "-o", "a.jsonl", "--json").stdout)
    second = json.loads(run("convert", source, "-o", "b.jsonl", "--json").stdout)
    assert (first["cached"], second["cached"]) == (False, True)
    assert first["total"] == second["total"]


def test_config_and_settings(run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path) -> None:
    source = lines([{"q": "p", "a": "x", "stars": n} for n in range(1, 11)])
    (tmp_path / "kto.yaml").write_text(
        f"data:\n  train_file: {source}\n  prompt_column: q\n  response_column: a\n  rating_column: stars\n"
        "  scales:\n    stars: {low: 1, high: 10, good_from: 8, bad_to: 4}\n  min_samples_per_label: 0\n"
    )
    result = json.loads(run("convert", "--config", "kto.yaml", "-o", "x.jsonl", "--to", "jsonl", "--json").stdout)
    assert result["labels"] == {"good": 3, "bad": 3}  # 1-4 and 8-10, balanced by the config's default
    assert result["total"]["dropped"]["balance"] == {"balance": {"good": 0, "bad": 1}}
    result = json.loads(
        run(
            "convert",
            "--config",
            "kto.yaml",
            "-o",
            "x.jsonl",
            "--json",
            "--set",
            "balance_labels=false",
            "--set",
            "random_seed=3",
        ).stdout
    )
    assert result["labels"] == {"good": 3, "bad": 4}
    assert result["seed"] == 3


@pytest.mark.parametrize(
    ("args", "status", "message"),
    [
        (["convert", "no.jsonl", "-o", "x"], 1, "no.jsonl"),
        (
            ["convert", "SRC", "-o", "x", "--format", "binry"],
            3,
            "no format plugin is called 'binry'; did you mean 'binary'?",
        ),
        (["convert", "SRC", "-o", "x", "--to", "tlr"], 3, "did you mean 'trl'?"),
        (
            ["convert", "SRC", "-o", "x", "--set", "promt_column=q"],
            2,
            "promt_column: unknown key; did you mean 'prompt_column'?",
        ),
        (["convert", "SRC", "-o", "x", "--set", "random_seed"], 2, "expected KEY=VALUE"),
        (["convert", "SRC", "-o", "x", "--config", "no.yaml"], 2, "no.yaml: cannot be read"),
        (["convert", "-o", "x"], 2, "no SOURCE was named"),
        (["convert", "SRC"], 2, "Missing option '-o'"),
        (["convert", "SRC", "-o", "SRC"], 2, "is also a source"),
        (["convrt"], 2, "did you mean 'convert'?"),
        (["config", "check", "no.yaml"], 2, "no.yaml"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_errors_have_a_status_and_say_what_to_do(
    run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path, args: list[str], status: int, message: str
) -> None:
    source = str(lines([GOOD, BAD]))
    args = [source if arg == "SRC" else arg for arg in args]
    done = run(*args)
    assert done.returncode == status
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert done.stdout == ""
    assert left(tmp_path) == set()
    body = json.loads(run(*args, "--json").stdout)["error"]
    assert body["exit_status"] == status
    assert message in body["message"]


def test_fail_stops_at_the_first_reject(run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path) -> None:
    source = lines([GOOD, {**GOOD, "label": "perhaps"}, BAD])
    done = run("convert", source, "-o", "x.jsonl", "--on-error", "fail")
    assert done.returncode == 1
    assert f"{source}:2: label: 'perhaps' is no value of" in done.stderr
    assert left(tmp_path) == {"x-jsonl.failed.yaml"}


def test_a_spent_budget_publishes_only_what_explains_it(
    run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    source = lines([GOOD, BAD] * 50 + [{**GOOD, "label": "maybe"}] * 101)
    (tmp_path / "x.jsonl").write_text("old\n")
    done = run("convert", source, "-o", "x.jsonl")
    assert done.returncode == 1
    assert "101 of 201 records were rejected (label_unrecognised 101); label: 'maybe'" in done.stderr
    assert "101 times, first on line 101" in done.stderr
    assert (tmp_path / "x.jsonl").read_text() == "old\n"
    assert left(tmp_path) == {"x.jsonl", "x-jsonl.failed.yaml", "x-jsonl.rejects.txt"}
    failed = yaml.safe_load((tmp_path / "x-jsonl.failed.yaml").read_text())
    assert failed["total"]["rejected"] == {"label_unrecognised": 101}
    assert failed["total"]["lines"] == 201
    assert run("convert", source, "-o", "x.jsonl", "--on-error", "skip").returncode == 0
    assert "failed" not in str(left(tmp_path))


def test_one_class_is_an_error_for_a_trainer_only(run: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([GOOD, {**GOOD, "prompt": "other"}])
    done = run("convert", source, "-o", "x.jsonl")
    assert done.returncode == 1
    assert "no bad sample is left" in done.stderr
    assert run("convert", source, "-o", "x.parquet", "--to", "parquet").returncode == 0
    assert run("convert", source, "-o", "x.jsonl", "--set", "require_both_labels=false").returncode == 0


def test_workers_write_the_same_bytes(run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path) -> None:
    source = lines([{**(GOOD if i % 2 else BAD), "prompt": f"p{i} " + "x" * 900} for i in range(3000)])
    for name, workers in (("one", "1"), ("three", "3")):
        done = run("convert", source, "-o", f"{name}.jsonl", "--no-cache", "--workers", workers)
        assert done.returncode == 0
    assert (tmp_path / "one.jsonl").read_bytes() == (tmp_path / "three.jsonl").read_bytes()


def files_in(cache: Path) -> list[Path]:
    """All that is kept, but for what is remembered of sources."""
    return [path for path in cache.rglob("*") if path.is_file() and path.parent.name != "digests"]


def test_ctrl_c_leaves_nothing(
    lines: Callable[..., Path], files_named: Callable[[Path, str], set[Path]], tmp_path: Path
) -> None:
    source = lines([{**(GOOD if i % 2 else BAD), "prompt": f"p{i} " + "x" * 900} for i in range(60_000)])
    work = tmp_path / "work"
    work.mkdir()
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    child = subprocess.Popen(
        [*COMMAND, "convert", str(source), "-o", "x.jsonl", "--workers", "2"],
        cwd=work,
        env=env,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - what shells ignore in the background
    )
    deadline = time.monotonic() + 30
    cache = tmp_path / "cache"
    while not files_named(cache, "samples.arrow") and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)  # until the build has begun to write
    child.send_signal(signal.SIGINT)
    _, stderr = child.communicate(timeout=30)
    assert child.returncode == 130
    assert "interrupted; nothing was published" in stderr
    assert "Traceback" not in stderr
    assert list(work.iterdir()) == []
    assert files_in(cache) == []


MAPPING = "prompt: q\ncandidates: {a: left, b: right}\nverdict: {winner: w, a: [1], b: [2]}\n"


@pytest.mark.parametrize("text", [MAPPING, "mapping:\n  " + MAPPING.replace("\n", "\n  ")])
def test_a_mapping_in_a_file(text: str, run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path) -> None:
    (tmp_path / "votes.yaml").write_text(text)
    rows = [{"q": f"q{i}", "left": "yes", "right": "no", "w": 1 + i % 2} for i in range(4)]
    done = run("convert", lines(rows), "-o", "x.jsonl", "--mapping", tmp_path / "votes.yaml", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["labels"] == {"good": 4, "bad": 4}
    seen = run("inspect", lines(rows), "--mapping", tmp_path / "votes.yaml", "--json")
    assert seen.returncode == 0, seen.stderr
    both = run("convert", lines(rows), "-o", "y.jsonl", "--mapping", tmp_path / "votes.yaml", "--format", "binary")
    assert both.returncode == 2
    assert "--format, --mapping and --preset each say how to read" in both.stderr


def stage(rejects: Path, error: BaseException | None = None) -> None:
    """Write rejects as a run does that ends so."""
    with held_back(rejects) as staged:
        if staged is not None:
            staged.write_text("this run's")
        if error is not None:
            raise error


def test_an_interrupted_export_leaves_the_earlier_rejects_alone(tmp_path: Path) -> None:
    rejects = tmp_path / "x-jsonl.rejects.txt"
    rejects.write_text("an earlier run's")
    with pytest.raises(KeyboardInterrupt):
        stage(rejects, KeyboardInterrupt())
    assert [path.read_text() for path in tmp_path.iterdir()] == ["an earlier run's"]


def test_a_run_that_fails_over_its_data_still_shows_what_it_rejected(tmp_path: Path) -> None:
    rejects = tmp_path / "x-jsonl.rejects.txt"
    with pytest.raises(KTODataError, match="too many"):
        stage(rejects, KTODataError("too many"))
    assert [path.name for path in tmp_path.iterdir()] == [rejects.name]


def test_rejects_that_cannot_be_published_are_an_error_that_names_them(tmp_path: Path) -> None:
    rejects = tmp_path / "a folder"
    rejects.mkdir()
    with pytest.raises(SourceError, match="a folder: the rejected records cannot be written"):
        stage(rejects)
    assert list(tmp_path.iterdir()) == [rejects]


def test_hostile_text_reaches_no_terminal_raw(run: Callable[..., Any], lines: Callable[..., Path]) -> None:
    payload = "\x1b[31mred\x07\x9b2J \u202egnp.exe\u2066 \r\nforged"
    records = [
        {"prompt": payload, "response": payload, "label": "good"},
        {"prompt": "p", "response": "r", "label": payload},
        {payload: 1},
        BAD,
    ]
    source = lines(records)
    for args in (
        ("inspect", source),
        ("convert", source, "-o", "x.jsonl"),
        ("convert", source, "-o", "y", "--on-error", "fail"),
    ):
        done = run(*args)
        shown = done.stdout + done.stderr
        assert not {c for c in shown if ord(c) < 32 or 0x7F <= ord(c) <= 0x9F} - {"\n"}
        assert not set("\u202e\u2066") & set(shown)


def test_piped_tables_are_never_cut(run: Callable[..., Any], lines: Callable[..., Path]) -> None:
    long = "a" * 90
    done = run("inspect", lines([{"prompt": "p", long: 1, "response": "r", "label": "good"}]), COLUMNS="20")
    assert any(len(line) > 100 for line in done.stdout.splitlines())


def test_inspect_asks_every_format_and_proposes_scales(run: Callable[..., Any], lines: Callable[..., Path]) -> None:
    source = lines([{"prompt": "p", "response": "r", "rating": 9}, {"question": "?"}, b"{"])
    done = run("inspect", source, "--json")
    result = json.loads(done.stdout)
    assert [shape["detected"] for shape in result["shapes"]] == ["binary", None]
    assert {claim["format"] for claim in result["shapes"][0]["claims"]} >= {"binary", "pairwise", "ranking"}
    [rating] = result["verdicts"]
    assert (rating["column"], rating["values"]) == ("rating", {"9": 1})
    assert "rating" not in rating["read_by"]
    assert rating["read_by"]["percent"] == {"good": 0, "bad": 1, "middle": 0, "unread": 0}
    assert result["shapes"][1]["not_read"] == ["question"]
    assert "read as: nothing" in run("inspect", source).stdout


def test_config_init_check_schema(run: Callable[..., Any], tmp_path: Path) -> None:
    assert run("config", "init", "my.yaml").returncode == 0
    assert run("config", "init", "my.yaml").returncode == 2
    assert run("config", "check", "my.yaml").returncode == 0
    (tmp_path / "bad.yaml").write_text("data:\n  balance_label: true\n  alpha: 1\n")
    done = run("config", "check", "bad.yaml")
    assert done.returncode == 2
    assert "data.balance_label: unknown key; did you mean 'balance_labels'?" in done.stderr
    assert "data.alpha: unknown key" in done.stderr
    schema = json.loads(run("config", "schema").stdout)
    text = json.dumps(schema)
    assert '"best_first"' in text
    assert "min_samples_per_label" in text


@pytest.mark.parametrize("name", ["convert", "demo", "inspect", "plugin", "config"])
def test_help_teaches(run: Callable[..., Any], name: str) -> None:
    done = run(name, "--help")
    assert done.returncode == 0
    assert "Usage: ktoformats " + name in done.stdout


def test_a_closed_pipe_is_no_error() -> None:
    """`ktoformats demo | head -1`."""
    writer = subprocess.Popen([*COMMAND, "demo"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    reader = subprocess.run(
        ["head", "-1"], stdin=writer.stdout, capture_output=True, text=True, timeout=60, check=False
    )
    if writer.stdout is not None:
        writer.stdout.close()
    _, stderr = writer.communicate(timeout=60)
    assert reader.stdout
    assert "Traceback" not in stderr
    assert "Broken" not in stderr


def test_nothing_is_written_over_a_source_or_twice(
    run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    source = lines([GOOD, BAD, b"oops"])
    before = source.read_bytes()
    done = run("convert", source, "-o", "x.jsonl", "--rejects", source)
    assert done.returncode == 2
    assert "is also a source" in done.stderr
    assert source.read_bytes() == before
    done = run("convert", source, "-o", "x.jsonl", "--rejects", "x.jsonl")
    assert "would be written twice" in done.stderr
    assert left(tmp_path) == set()


def test_devices_and_pipes_are_not_replaced(
    run: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "real.jsonl").write_text("old")
    (tmp_path / "link.jsonl").symlink_to("real.jsonl")
    source = lines([GOOD, BAD])
    assert run("convert", source, "-o", "pipe").returncode == 2
    assert (tmp_path / "pipe").is_fifo()
    assert run("convert", source, "-o", "link.jsonl").returncode == 0
    assert (tmp_path / "link.jsonl").is_symlink()
    assert len((tmp_path / "real.jsonl").read_text().splitlines()) == 2


@pytest.mark.parametrize(
    "setting", ["{1: 2}", "{rating: {1: 2, 3: 4}}", "{stars: 5}", "!!bool foo", "{rating: {low: .inf}}"]
)
def test_odd_settings_are_usage_errors(run: Callable[..., Any], lines: Callable[..., Path], setting: str) -> None:
    done = run("convert", lines([GOOD, BAD]), "-o", "x.jsonl", "--set", f"scales={setting}")
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("error: ")


def test_a_full_disk_is_an_error_that_says_so(lines: Callable[..., Path], tmp_path: Path) -> None:
    """A limit on the size of files stands in for the disk; nothing is published and nothing is left half-written."""
    source = lines([{**(GOOD if i % 2 else BAD), "prompt": f"p{i} " + "x" * 900} for i in range(2000)])
    work = tmp_path / "work"
    work.mkdir()
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    for extra in ([], ["--no-cache"]):
        done = subprocess.run(
            ["prlimit", "--fsize=200000", *COMMAND, "convert", str(source), "-o", "x.jsonl", *extra],
            cwd=work, env=env, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 1, done.stderr
        assert "cannot be written (File too large)" in done.stderr
        assert "Traceback" not in done.stderr
        assert not [p for p in work.iterdir() if p.name.startswith((".", "x.jsonl"))]
    assert files_in(tmp_path / "cache") == []
