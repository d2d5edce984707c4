"""A Ray of our own for all tests of a process, and files with everything in them."""

from __future__ import annotations

import gzip
import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ktoformats import KTODataConfig, KtoFormatsError, Registry
from ktoformats.convert.assemble import assemble
from ktoformats.engines.ray import Engine
from ktoformats.engines.running import running
from ktoformats.engines.work import as_tables
from ktoformats.store.choose import Stages
from ktoformats.store.mix import pieces_of
from ktoformats.store.prepare import prepare

if TYPE_CHECKING:
    from ktoformats.store.report import Report
    from ktoformats.store.view import View

COMMAND = [sys.executable, "-m", "ktoformats.cli.main", "convert"]
PLUGIN = """
import os
import pathlib
import numpy as np
from ktoformats import Quality, hookimpl

class {cls}(Quality):
    folder: str = ""

    def score(self, batch):
{body}
        return np.ones(len(batch))

@hookimpl
def ktoformats_plugins():
    return [{cls}]
"""
SCORERS = {
    "harsh": """
        prompts = batch.column("prompt").to_pylist()
        if "die" in prompts:
            os._exit(9)
        if "fail" in prompts:
            raise ValueError("no such luck")
""",
    "noted": """
        import ray
        pathlib.Path(self.folder, ray.get_runtime_context().get_node_id()).touch()
""",
    "even": "",
}
"""Quality plugins: one that fails or dies, one that notes on which of Ray's nodes it runs, one that does neither."""


def record(number: int, rng: random.Random) -> Any:
    """One of the five formats, or damage."""
    prompt = f"question {rng.randrange(300)}"
    answers = [f"answer {rng.randrange(40)} " + "word " * rng.randrange(12) for _ in range(3)]
    kinds: list[Any] = [
        {"prompt": prompt, "response": answers[0], "label": rng.choice(["good", "good", "bad", "👍", None])},
        {"prompt": prompt, "chosen": answers[0], "rejected": answers[1]},
        {"prompt": prompt, "responses": answers, "rankings": rng.sample([1, 2, 3], 3)},
        {"conversation": [{"role": "user", "content": prompt}], "response": answers[0], "label": "bad"},
        {"prompt": prompt, "response": answers[1], "تقييم": rng.choice(["ممتاز", "ضعيف", 5])},
        {"prompt": prompt, "response": answers[2], "rating": rng.randrange(1, 7)},
    ]
    damaged = [b"{broken", b"", b"[1, 2]", {"prompt": prompt, "response": "x", "label": f"maybe {number % 5}"}]
    return rng.choice(damaged) if rng.random() < 0.04 else rng.choice(kinds)


def write(path: Path, records: list[Any], *, end: bytes = b"\n") -> Path:
    """Records as lines."""
    lines = [one if isinstance(one, bytes) else json.dumps(one, ensure_ascii=False).encode() for one in records]
    data = b"\n".join(lines) + end
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Files of every kind, small, large, compressed, damaged."""
    folder = tmp_path_factory.mktemp("corpus")
    rng = random.Random(7)
    made = [[record(number, rng) for number in range(250)] for _ in range(3)]
    for number, records in enumerate(made):
        write(folder / f"part{number}.jsonl", records)
    write(folder / "large.jsonl", [record(number, rng) for number in range(1200)], end=b"\n{cut")
    write(folder / "packed.jsonl.gz", made[0])
    whole = [one for one in made[1] if isinstance(one, dict)]
    (folder / "array.json").write_text(json.dumps(whole), encoding="utf-8")
    judged = [one for one in made[2] if isinstance(one, dict) and "rating" in one]
    pq.write_table(pa.Table.from_pylist(judged), folder / "table.parquet")
    (folder / "table.csv").write_text(
        "prompt,response,rating\n" + "".join(f"{one['prompt']},{one['response']},{one['rating']}\n" for one in judged)
    )
    return folder


class Outcome(NamedTuple):
    """What a configuration came to."""

    samples: list[dict[str, Any]]
    report: dict[str, Any] | None
    error: str
    rejects: bytes
    """The file of rejected records."""


def outcome(config: KTODataConfig, rejects: Path, engine: Engine | None = None) -> Outcome:
    """The chosen samples of the train split, in order, and what is told of them."""
    view: View | None = None
    report: Report | None
    error = ""
    registry = Registry()
    try:
        view, report = prepare(
            "train",
            pieces_of("train", config, lambda own: assemble(own, registry)),
            config,
            registry,
            rejects_path=rejects,
            stages=Stages(filter=engine.filter) if engine else None,
            engine=engine.convert if engine else None,
        )
    except KtoFormatsError as caught:
        error, report = f"{type(caught).__name__}: {caught}", getattr(caught, "report", None)
    samples = []
    if view is not None and engine is None:
        samples = view.take(view.chosen).to_pylist()
    elif view is not None and engine is not None:
        samples = list(engine.rows(engine.shards(view, as_tables, rows_per_shard=500)))
    written = rejects.read_bytes() if rejects.exists() else b""
    return Outcome(samples, report.to_json() if report else None, error, written)


Converts = Callable[..., Outcome]


@pytest.fixture
def in_process(tmp_path: Path) -> Converts:
    """What a configuration comes to in this process."""
    return lambda config: outcome(config, tmp_path / "here.rejects")


@pytest.fixture
def on_any_ray(tmp_path: Path) -> Converts:
    """What a configuration comes to on the Ray that runs, in many small tasks."""

    def run(config: KTODataConfig, task_bytes: int = 20_000) -> Outcome:
        with TemporaryDirectory(dir=tmp_path) as staging, Engine(Path(staging), task_bytes=task_bytes) as engine:
            return outcome(config, tmp_path / "there.rejects", engine)

    return run


@pytest.fixture
def on_ray(local_ray: None, on_any_ray: Converts) -> Converts:
    """The same on a Ray of this machine."""
    del local_ray
    return on_any_ray


@pytest.fixture(scope="session")
def harsh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A site with a quality plugin that fails."""
    site = tmp_path_factory.mktemp("site")
    info = site / "harsh-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: harsh\nVersion: 1.0\n")
    points = "".join(f"{name} = {name}_scorer\n" for name in SCORERS)
    (info / "entry_points.txt").write_text(f"[ktoformats.quality]\n{points}")
    for name, body in SCORERS.items():
        (site / f"{name}_scorer.py").write_text(PLUGIN.format(cls=name.capitalize(), body=body))
    return site


@pytest.fixture(autouse=True)
def on_the_path(harsh: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """These tests, and no others, find the plugins of that site."""
    monkeypatch.syspath_prepend(harsh)


@pytest.fixture(scope="session")
def local_ray(harsh: Path) -> Iterator[None]:
    """A Ray with two workers, which take the path of the process that starts it."""
    with ExitStack() as stack:
        with pytest.MonkeyPatch.context() as patch:
            patch.syspath_prepend(harsh)
            stack.enter_context(running(cpus=2))
        yield


@pytest.fixture
def convert(tmp_path: Path, harsh: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """`ktoformats convert` in an empty folder."""

    def call(*words: str | Path) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [*COMMAND, *map(str, words)],
            cwd=tmp_path,
            env=os.environ | {"XDG_CACHE_HOME": str(tmp_path / "cache"), "PYTHONPATH": site_path(harsh)},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return call


def site_path(site: Path) -> str:
    """What PYTHONPATH has to be for a site to be seen."""
    return os.pathsep.join(filter(None, [str(site), os.environ.get("PYTHONPATH")]))
