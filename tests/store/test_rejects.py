"""The file of rejected records: whole, or not there."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Final

from ktoformats import KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from pathlib import Path

FULL_DISK: Final = """
import resource, sys
from ktoformats.cli.main import main
resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, 200_000))
sys.argv = ["ktoformats", "convert", "bad.jsonl", "-o", "out.jsonl", "--no-cache", "--set", "max_rejected=100000"]
main()
"""
GOOD: Final = b"".join(
    b'{"prompt": "q", "response": "%s", "label": "%s"}\n' % pair for pair in ((b"yes", b"good"), (b"no", b"bad"))
)


def test_a_full_disk_leaves_nothing_behind_and_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "bad.jsonl").write_bytes(GOOD + b"{broken\n" * 5000)
    done = subprocess.run(
        [sys.executable, "-c", FULL_DISK], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode not in (0, 70), done.stdout + done.stderr
    assert "cannot be written" in done.stderr
    assert "Traceback" not in done.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["bad.jsonl"]


def test_a_source_may_have_a_name_that_is_no_utf_8(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"\xff.jsonl")
    path.write_bytes(GOOD)
    config = KTODataConfig(train_file=str(path), balance_labels=False, min_samples_per_label=0)
    samples = KTODataLoader(config, enable_cache=False).load_dataset("train")
    assert [sample["label"] for sample in samples] == ["good", "bad"]
