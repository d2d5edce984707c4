"""How the `datasets` library fares where it can do the same: figures beside ours, no verdict on either."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600)]

KILLS, CUTS, EDITS = 25, 40, 3
RECORDS = 20_000
LOAD = """\
import hashlib, json, sys
import datasets
datasets.disable_progress_bars()
source, cache = sys.argv[1:]
def samples(batch):
    both = list(zip(batch["prompt"], batch["chosen"], batch["rejected"]))
    return {
        "q": [p for p, _, _ in both for _ in (0, 1)],
        "a": [a for _, good, bad in both for a in (good, bad)],
        "label": [one for _ in both for one in (True, False)],
    }
data = datasets.load_dataset("json", data_files=source, split="train", cache_dir=cache)
data = data.map(samples, batched=True, remove_columns=data.column_names)
digest = hashlib.sha256()
for one in data:
    digest.update(json.dumps(one, sort_keys=True).encode())
print(json.dumps({"rows": len(data), "samples": digest.hexdigest()}))
"""


@pytest.fixture
def source(tmp_path: Path) -> Path:
    pytest.importorskip("datasets")
    path = tmp_path / "pairs.jsonl"
    records = ({"prompt": f"q{n}", "chosen": f"good {n:06}", "rejected": f"bad {n:06}"} for n in range(RECORDS))
    path.write_text("".join(json.dumps(one) + "\n" for one in records))
    return path


def start(source: Path, cache: Path) -> subprocess.Popen[str]:
    offline = {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1", "HF_HOME": str(cache)}
    return subprocess.Popen(
        [sys.executable, "-c", LOAD, source, cache],
        env=os.environ | offline,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def load(source: Path, cache: Path) -> dict[str, Any]:
    """What comes of a load: its samples, or how it ended."""
    process = start(source, cache)
    out, told = process.communicate(timeout=300)
    if process.returncode:
        return {"ended": process.returncode, "told": told.strip().splitlines()[-1:]}
    found: dict[str, Any] = json.loads(out)
    return found


def verdict(found: dict[str, Any], reference: dict[str, Any]) -> str:
    if "ended" in found:
        return "a signal" if found["ended"] < 0 else "an error"
    return "right" if found == reference else "silently other"


def count(verdicts: list[str]) -> dict[str, int]:
    return {name: verdicts.count(name) for name in sorted(set(verdicts))}


def test_it_is_killed(source: Path, tmp_path: Path) -> None:
    began = time.monotonic()
    reference = load(source, tmp_path / "reference")
    whole = time.monotonic() - began
    chance = random.Random(6)
    verdicts, left = [], 0
    for number in range(KILLS):
        cache = tmp_path / f"cache{number}"
        process = start(source, cache)
        time.sleep(chance.uniform(0.3, 1) * whole)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        verdicts.append(verdict(load(source, cache), reference))
        left += any(path.is_file() for path in cache.rglob("*incomplete*/*")) or any(cache.rglob("tmp*"))
    assert len(verdicts) == KILLS
    print(f"datasets, {KILLS} kills in loads of {whole:.1f} s: {count(verdicts)}; left-overs in {left} caches")  # noqa: T201 - the figures of a campaign are its result


def test_its_cache_is_cut_or_changed(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    reference = load(source, cache)
    chance = random.Random(8)
    files = {path: path.read_bytes() for path in cache.rglob("*.arrow")}
    cuts: list[str] = []
    flips: list[str] = []
    for _ in range(CUTS):
        path, data = chance.choice(list(files.items()))
        at = chance.randrange(len(data))
        for verdicts, changed in (
            (cuts, data[:at]),
            (flips, data[:at] + bytes([data[at] ^ chance.randrange(1, 256)]) + data[at + 1 :]),
        ):
            path.write_bytes(changed)
            verdicts.append(verdict(load(source, cache), reference))
            for own, whole in files.items():
                own.write_bytes(whole)
    assert len(cuts) == len(flips) == CUTS
    print(f"datasets, {CUTS} cut cache files: {count(cuts)}; {CUTS} changed bytes: {count(flips)}")  # noqa: T201 - as above


def test_its_source_is_edited(source: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    load(source, cache)
    verdicts = []
    for number in range(EDITS):
        info = source.stat()
        source.write_bytes(source.read_bytes().replace(b"good %06d" % number, b"gold %06d" % number))
        os.utime(source, ns=(info.st_atime_ns, info.st_mtime_ns))
        fresh = load(source, tmp_path / f"fresh{number}")
        verdicts.append(verdict(load(source, cache), fresh))
    assert len(verdicts) == EDITS
    print(f"datasets, {EDITS} edits that keep size and time: {count(verdicts)}")  # noqa: T201 - as above
