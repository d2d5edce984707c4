"""Workers of a DataLoader that end before their time: torch tells, nothing is left, and the data are whole."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Final

import pytest

from ktoformats import KTODataConfig, KTODataError, KTODataLoader, PluginContractError

LIMIT_S: Final = 10
SHARED: Final = Path("/dev/shm")  # noqa: S108 - where Linux keeps what processes share
ROWS: Final = 12_000
DEADLY: Final = 9_000
PLUGIN: Final = """
import os, signal, sys, time
import numpy as np
from ktoformats import Quality, hookimpl

class Deadly(Quality):
    end: str = "kill"

    def score(self, batch):
        if any(prompt == "deadly" for prompt in batch.column("prompt").to_pylist()):
            match self.end:
                case "kill": os.kill(os.getpid(), signal.SIGKILL)
                case "exit": os._exit(123)
                case "hang": time.sleep(3600)
                case "raise": raise ValueError("no such luck")
        return np.ones(len(batch))

@hookimpl
def ktoformats_plugins():
    return [Deadly]
"""

LOOP: Final = """
import json, multiprocessing, os, signal, sys, time
from torch.utils.data import DataLoader
from ktoformats import KTODataConfig, KTODataLoader

kind, source, cache, options, killed = sys.argv[1:]
config = KTODataConfig(train_file=source, balance_labels=False, buffer_size=50, **json.loads(options))
loader = KTODataLoader(config, cache_dir=cache)
data = loader.stream() if kind == "stream" else loader.load_dataset()
began = time.monotonic()
# As lists: of tensors, torch itself may leave one where a worker was killed, and tells of it in other words. Small ones:
# what a pipe takes in one piece. Of a longer one, torch waits for ever for the rest that a killed worker owes.
how = {"num_workers": 2, "timeout": 5, "collate_fn": list}
batches = iter(data.dataloader(16, **how) if kind == "stream" else DataLoader(data, 16, **how))
pids = [one.pid for one in multiprocessing.active_children()]
try:
    for number, _ in enumerate(batches, start=1):
        if number == int(killed):
            os.kill(pids[number % 2], signal.SIGKILL)
except Exception as error:
    print(json.dumps({"error": str(error), "seconds": time.monotonic() - began, "pids": pids}), flush=True)
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Some mebibytes, and in the middle a record that a plugin dies of."""
    path = tmp_path / "a.jsonl"
    with path.open("w") as file:
        for number in range(1, ROWS + 1):
            prompt = "deadly" if number == DEADLY else f"q{number}"
            record = {"prompt": prompt, "response": f"{number} " + "so it goes " * 15, "label": number % 2}
            file.write(json.dumps(record) + "\n")
    return path


def loader(source: Path, **options: Any) -> KTODataLoader:
    values = {"quality": "specification", "buffer_size": 50} | options
    config = KTODataConfig(train_file=source, balance_labels=False, **values)
    return KTODataLoader(config, cache_dir=source.with_name("cache"), cache_verify="always")


def left_of(pids: list[int]) -> list[str]:
    """Processes, and what they shared with others."""
    alive = [str(pid) for pid in pids if Path(f"/proc/{pid}").exists()]
    return alive + [one.name for one in SHARED.glob("torch_*") if int(one.name.split("_")[1]) in pids]


def check_end(kind: str, source: Path, message: str, killed: int = 0, **options: Any) -> str:
    """The loop hears of a worker that ends, or is killed after so many batches; and then nothing is left of any."""
    command = [
        sys.executable,
        "-c",
        LOOP,
        kind,
        str(source),
        str(source.with_name("cache")),
        json.dumps(options),
        str(killed),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert re.search(message, told["error"]), told["error"]
    assert told["seconds"] < LIMIT_S
    assert len(told["pids"]) == 2
    deadline = time.monotonic() + LIMIT_S
    while left_of(told["pids"]) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert left_of(told["pids"]) == []
    error: str = told["error"]
    return error


@pytest.mark.parametrize("kind", ["dataset", "stream"])
@pytest.mark.parametrize("killed", [1, *(pytest.param(n, marks=pytest.mark.campaign) for n in range(2, 11))])
def test_a_worker_is_killed(kind: str, killed: int, source: Path) -> None:
    whole = list(loader(source).load_dataset())
    check_end(kind, source, r"DataLoader worker \(pid", killed, quality="specification")
    assert list(loader(source).load_dataset()) == whole
    assert len(whole) == ROWS


TOLD: Final = {
    "kill": (r"a\.jsonl:(\d+)-(\d+).*: DataLoader worker \(pid", "the worker process died .exit status -9"),
    "exit": (r"a\.jsonl:(\d+)-(\d+).*: DataLoader worker \(pid", "the worker process died .exit status 123"),
    "hang": (
        r"a\.jsonl:(\d+)-(\d+).*: DataLoader timed out after 5 seconds",
        "the worker process gave no answer for 5 seconds",
    ),
    "raise": (r"a\.jsonl:(\d+)-(\d+): .*no such luck", "no such luck"),
}
"""What a plugin does in a worker: what the loop over the stream hears of it, and what a build says."""


@pytest.fixture
def deadly(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """That plugin, as pip would leave it."""
    info = tmp_path / "site" / "deadly-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: deadly\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[ktoformats.quality]\ndeadly = deadly_scorer\n")
    (info.parent / "deadly_scorer.py").write_text(PLUGIN)
    monkeypatch.syspath_prepend(info.parent)
    monkeypatch.setenv("PYTHONPATH", str(info.parent))


@pytest.mark.usefixtures("deadly")
@pytest.mark.parametrize(
    "end", ["kill", "raise", *(pytest.param(one, marks=pytest.mark.campaign) for one in ("exit", "hang"))]
)
def test_a_plugin_ends_its_worker(end: str, source: Path) -> None:
    """The stream's own loader says file and lines, and so does a build with workers."""
    to_loop, to_build = TOLD[end]
    options: dict[str, Any] = {
        "quality": {"deadly": {"end": end}},
        "preprocessing_num_workers": 2,
        "worker_timeout": 5,
    }
    told = check_end("stream", source, to_loop, **options)
    ranges = re.findall(r"a\.jsonl:(\d+)-(\d+)", told)
    assert any(int(first) <= DEADLY <= int(last) for first, last in ranges)
    with pytest.raises((KTODataError, PluginContractError), match=to_build) as raised:
        loader(source, **options).load_dataset()
    if end != "raise":
        lines = re.search(rf"^{source}:(\d+)-(\d+): ", str(raised.value))
        assert lines
        assert int(lines[1]) <= DEADLY <= int(lines[2])
