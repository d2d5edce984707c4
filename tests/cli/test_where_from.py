"""convert gives the same samples wherever its input comes from: a file, standard input, a folder, S3."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import subprocess
import sys
import time
import urllib.request
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

COMMAND = [sys.executable, "-m", "ktoformats.cli.main"]
ROWS = [
    {"prompt": f"q {number}", "response": f"a\n{number}", "label": ("good", "bad")[number % 2]}
    for number in range(60)
]
SECRETS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def as_lines(rows: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def convert(tmp_path: Path) -> Callable[..., tuple[subprocess.CompletedProcess[bytes], list[Any]]]:
    """Convert in a process of its own; the result, and the samples it wrote."""

    def call(source: str | Path, data: bytes | None = None, **environment: str) -> Any:
        target = tmp_path / "out.jsonl"
        words = [str(source), "-o", str(target), "--to", "jsonl", "--no-cache"]
        done = subprocess.run(
            [*COMMAND, "convert", *words],
            input=data,
            env={**os.environ, **environment},
            cwd=tmp_path,
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert b"Traceback" not in done.stderr, done.stderr.decode()
        samples = [json.loads(line) for line in target.read_bytes().splitlines()] if target.exists() else []
        target.unlink(missing_ok=True)
        return done, sorted((one["id"], one["prompt"], one["response"], one["label"]) for one in samples)

    return call


@pytest.fixture
def plain(tmp_path: Path, convert: Callable[..., Any]) -> list[Any]:
    path = tmp_path / "plain.jsonl"
    path.write_bytes(as_lines(ROWS))
    done, samples = convert(path)
    assert done.returncode == 0
    assert len(samples) == len(ROWS)
    return list(samples)


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """The address of an S3 server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = subprocess.Popen(
        [sys.executable, "-c", "from moto.server import main; main()", "-p", str(port)],
        env={**os.environ, **SECRETS},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(address, timeout=5).close()
                break
            except OSError:
                if time.monotonic() > deadline or server.poll() is not None:
                    raise
                time.sleep(0.1)
        yield address
    finally:
        server.terminate()
        server.wait(timeout=20)


def put(url: str, data: bytes = b"") -> None:
    headers = {"Content-Type": "application/octet-stream"}
    request = urllib.request.Request(url, data=data, method="PUT", headers=headers)  # noqa: S310 - our own server
    with urllib.request.urlopen(request, timeout=20) as answer:  # noqa: S310
        assert answer.status == HTTPStatus.OK


@pytest.mark.parametrize("packed", [False, True])
def test_standard_input(convert: Callable[..., Any], plain: list[Any], *, packed: bool) -> None:
    data = as_lines(ROWS)
    done, samples = convert("-", gzip.compress(data) if packed else data)
    assert done.returncode == 0, done.stderr
    assert samples == plain


def test_nothing_on_standard_input(convert: Callable[..., Any]) -> None:
    done, samples = convert("-", b"")
    assert done.returncode == 1
    assert b"no sample is left" in done.stderr
    assert samples == []


def test_damage_on_standard_input_is_told_with_its_line(convert: Callable[..., Any], plain: list[Any]) -> None:
    done, samples = convert("-", as_lines(ROWS) + b"{broken\n")
    assert samples == plain
    assert b"<stdin>:61" in done.stderr


def test_a_folder_of_mixed_containers(convert: Callable[..., Any], plain: list[Any], tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "deeper").mkdir(parents=True)
    parts = [ROWS[start::7] for start in range(7)]
    (folder / "a.jsonl").write_bytes(as_lines(parts[0]))
    (folder / "b.json").write_text(json.dumps(parts[1]))
    table = "prompt\tresponse\tlabel\n" + "".join(
        f'{one["prompt"]}\t"{one["response"]}"\t{one["label"]}\n' for one in parts[2]
    )
    (folder / "c.tsv").write_bytes(table.encode("utf-16"))
    pq.write_table(pa.Table.from_pylist(parts[3]), folder / "deeper" / "d.parquet")
    (folder / "deeper" / "e.jsonl.gz").write_bytes(gzip.compress(as_lines(parts[4])))
    (folder / "deeper" / "f.jsonl.xz").write_bytes(lzma.compress(as_lines(parts[5])))
    (folder / "deeper" / "g.jsonl.bz2").write_bytes(bz2.compress(as_lines(parts[6])))
    (folder / "README.md").write_text("no data")
    done, samples = convert(folder)
    assert done.returncode == 0, done.stderr
    assert samples == plain


def test_s3(s3: str, convert: Callable[..., Any], plain: list[Any]) -> None:
    put(f"{s3}/votes")
    put(f"{s3}/votes/day-1.jsonl", as_lines(ROWS[:20]))
    put(f"{s3}/votes/day-2.jsonl.gz", gzip.compress(as_lines(ROWS[20:])))
    put(f"{s3}/votes/all.jsonl", as_lines(ROWS))
    put(f"{s3}/votes/cut.jsonl.gz", gzip.compress(as_lines(ROWS))[:-9])
    environment = {**SECRETS, "AWS_ENDPOINT_URL": s3}
    for url in ("s3://votes/all.jsonl", "s3://votes/day-*"):
        done, samples = convert(url, **environment)
        assert done.returncode == 0, done.stderr
        assert samples == plain
    done, _ = convert("s3://votes/cut.jsonl.gz", **environment)
    assert done.returncode == 1
    assert b"s3://votes/cut.jsonl.gz: the gzip data ends in the middle" in done.stderr
    done, _ = convert("s3://votes/none.jsonl", **environment)
    assert done.returncode == 1
    assert b"s3://votes/none.jsonl: " in done.stderr


def test_what_is_secret_in_a_url_is_not_told(convert: Callable[..., Any]) -> None:
    done, _ = convert("memory://user:hunter2@host/none.jsonl?token=hunter2")
    assert done.returncode == 1
    assert b"hunter2" not in done.stderr + done.stdout
