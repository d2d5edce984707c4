"""On a cluster of two nodes, and interrupted: as real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [pytest.mark.ray, pytest.mark.campaign]
Command = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def cluster(harsh: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A Ray of two nodes with one processor each, on which the test's plugins are installed."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, [str(harsh), os.environ.get("PYTHONPATH")])))
    made: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        made.add_node(num_cpus=1)
        yield made
    finally:
        made.shutdown()


def test_two_nodes_share_the_work_and_come_to_the_same(
    cluster: Any, convert: Command, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "nodes").mkdir()
    (tmp_path / "kto.yaml").write_text(
        f"data: {{max_rejected: 10000, min_samples_per_label: 0, min_response_length: 12, "
        f"quality: {{noted: {{folder: {tmp_path / 'nodes'}}}}}}}\n"
    )
    (tmp_path / "big.jsonl").write_bytes((corpus / "part0.jsonl").read_bytes() * 150)  # enough for several tasks
    words = [corpus, "big.jsonl", "--config", "kto.yaml", "--to", "parquet", "--json"]
    there = [
        convert(*words, "-o", f"there{number}", "--engine", "ray", "--address", cluster.address) for number in (1, 2)
    ]
    assert [one.returncode for one in there] == [0, 0], there[0].stderr
    assert len(list((tmp_path / "nodes").iterdir())) == 2
    (tmp_path / "kto.yaml").write_text((tmp_path / "kto.yaml").read_text().replace("noted: {folder", "even: {folder"))
    here = convert(*words, "-o", "here.parquet", "--no-cache")
    assert here.returncode == 0, here.stderr
    expected = json.loads(here.stdout)
    for number, one in enumerate(there, 1):
        told = json.loads(one.stdout)
        for name in ("total", "files", "labels", "weights", "notes", "warnings", "seed"):
            assert told[name] == expected[name]
        assert pq.read_table(tmp_path / f"there{number}").equals(pq.read_table(tmp_path / "here.parquet"))


def test_an_interrupted_run_leaves_nothing_behind(
    corpus: Path, files_named: Callable[[Path, str], set[Path]], tmp_path: Path
) -> None:
    work, temporary = tmp_path / "work", tmp_path / "tmp"
    work.mkdir()
    temporary.mkdir()
    words = [
        "convert",
        *[str(corpus / "large.jsonl")],
        "-o",
        "out",
        "--to",
        "jsonl",
        "--engine",
        "ray",
        "--workers",
        "2",
    ]
    child = subprocess.Popen(
        [sys.executable, "-m", "ktoformats.cli.main", *words, "--set", "max_rejected=1000"],
        cwd=work,
        env=os.environ | {"TMPDIR": str(temporary)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509 - what shells ignore in the background
    )
    deadline = time.monotonic() + 100
    while not files_named(work, "at") and child.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)  # until a worker has begun
    child.send_signal(signal.SIGINT)
    stdout, stderr = child.communicate(timeout=60)
    assert (child.returncode, stdout) == (130, ""), stderr
    assert stderr.strip() == "error: interrupted; nothing was published"
    assert list(work.iterdir()) == []
    assert members(child.pid) == []


def members(session: int) -> list[Any]:
    """The processes of a session that still run."""
    told = subprocess.run(
        ["ps", "-o", "pid=,stat=,args=", "-s", str(session)], capture_output=True, text=True, check=False
    )
    return [line for line in told.stdout.splitlines() if " Z" not in line]
