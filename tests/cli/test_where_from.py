"""convert gives the same samples wherever its input comes from: a file, standard input, a folder, S3, a hub."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
import zlib
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Convert = Callable[..., tuple[subprocess.CompletedProcess[bytes], list[Any]]]

COMMAND = [sys.executable, "-m", "ktoformats.cli.main"]
ROWS = [
    {"prompt": f"q {number}", "response": f"a\n{number}", "label": ("good", "bad")[number % 2]}
    for number in range(60)
]
SECRETS = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_DEFAULT_REGION": "us-east-1"}


def as_lines(rows: list[dict[str, str]]) -> bytes:
    return b"".join(json.dumps(row).encode() + b"\n" for row in rows)


@pytest.fixture
def convert(tmp_path: Path) -> Convert:
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
def plain(tmp_path: Path, convert: Convert) -> list[Any]:
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
def test_standard_input(convert: Convert, plain: list[Any], *, packed: bool) -> None:
    data = as_lines(ROWS)
    done, samples = convert("-", gzip.compress(data) if packed else data)
    assert done.returncode == 0, done.stderr
    assert samples == plain


def test_nothing_on_standard_input(convert: Convert) -> None:
    done, samples = convert("-", b"")
    assert done.returncode == 1
    assert b"no sample is left" in done.stderr
    assert samples == []


def test_damage_on_standard_input_is_told_with_its_line(convert: Convert, plain: list[Any]) -> None:
    done, samples = convert("-", as_lines(ROWS) + b"{broken\n")
    assert samples == plain
    assert b"<stdin>:61" in done.stderr


def test_a_folder_of_mixed_containers(convert: Convert, plain: list[Any], tmp_path: Path) -> None:
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


def test_s3(s3: str, convert: Convert, plain: list[Any]) -> None:
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


def test_what_is_secret_in_a_url_is_not_told(convert: Convert) -> None:
    done, _ = convert("memory://user:hunter2@host/none.jsonl?token=hunter2")
    assert done.returncode == 1
    assert b"hunter2" not in done.stderr + done.stdout


PINNED, MOVED = "0123456789" * 4, "abcdef0123" * 4


class Hub(BaseHTTPRequestHandler):
    """The few answers of a hub that `HfFileSystem` asks for: a revision, what a folder of it holds, a file."""

    protocol_version = "HTTP/1.1"
    revisions: dict[str, dict[str, bytes]]
    """Revision to path to content; `main` is one as well."""
    sent: dict[str, bytes]
    """What is sent of a path, where that is not all of it."""
    later: dict[str, bytes]
    """What stands under a path once it was sent."""

    def do_GET(self) -> None:
        path, _, _ = self.path.partition("?")
        match path.strip("/").split("/"):
            case ["api", "datasets", "org", "votes"]:
                self._answer({"id": "org/votes", "sha": MOVED})
            case ["api", "datasets", "org", "votes", "revision", revision] if revision in self.revisions:
                self._answer({"id": "org/votes", "sha": revision})
            case ["api", "datasets", "org", "votes", "tree", revision, *folder] if revision in self.revisions:
                self._answer(self._tree(revision, "/".join(folder).replace("%2F", "/")))
            case ["datasets", "org", "votes", "resolve", revision, *rest] if (
                "/".join(rest) in self.revisions[revision]
            ):
                name = "/".join(rest)
                self._send(self.sent.get(name, self.revisions[revision][name]))
                self.revisions[revision][name] = self.later.get(name, self.revisions[revision][name])
            case _:
                self._answer({}, HTTPStatus.NOT_FOUND, "RevisionNotFound" if "revision" in path else "EntryNotFound")

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        revision = self.path.rpartition("/")[2]
        self._answer(
            [one for folder in ("", "data") for one in self._tree(revision, folder) if one["type"] == "file"]
        )

    def _tree(self, revision: str, folder: str) -> list[dict[str, Any]]:
        files = [
            {"type": "file", "path": path, "size": len(data), "oid": f"{zlib.crc32(data):040x}"}
            for path, data in self.revisions[revision].items()
            if path.rpartition("/")[0] == folder
        ]
        return files if folder else [*files, {"type": "directory", "path": "data", "oid": "0"}]

    def _send(self, data: bytes) -> None:
        wanted = self.headers.get("Range", "")
        if not wanted:
            self._answer(data)
            return
        first, _, last = wanted.removeprefix("bytes=").partition("-")
        part = data[int(first) : int(last) + 1 if last else None]
        self._answer(part, HTTPStatus.PARTIAL_CONTENT)

    def _answer(self, body: Any, status: HTTPStatus = HTTPStatus.OK, code: str = "") -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        if code:
            self.send_header("X-Error-Code", code)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[tuple[type[Hub], dict[str, str]]]:
    """A hub on this machine, and the environment of those who ask it; the library's own file system does."""

    class Own(Hub):
        revisions: dict[str, dict[str, bytes]] = {}  # noqa: RUF012 - of this test alone
        sent: dict[str, bytes] = {}  # noqa: RUF012
        later: dict[str, bytes] = {}  # noqa: RUF012

    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    environment = {
        "HF_ENDPOINT": f"http://127.0.0.1:{server.server_port}",
        "HF_HOME": str(tmp_path / "hub"),
        "HF_HUB_OFFLINE": "0",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "NO_PROXY": "127.0.0.1",
    }
    yield Own, environment
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_pinned_revision_of_a_hub(
    hub: tuple[type[Hub], dict[str, str]], convert: Convert, plain: list[Any]
) -> None:
    answers, environment = hub
    answers.revisions = {
        PINNED: {"data/day-1.jsonl": as_lines(ROWS[:20]), "data/day-2.jsonl.gz": gzip.compress(as_lines(ROWS[20:]))},
        "main": {"data/day-1.jsonl": as_lines(ROWS)},
    }
    done, samples = convert(f"hf://datasets/org/votes@{PINNED}/data/day-*", **environment)
    assert done.returncode == 0, done.stderr
    assert samples == plain
    assert b"names no revision" not in done.stderr
    done, samples = convert(f"hf://datasets/org/votes@{PINNED}/data/day-1.jsonl", **environment)
    assert done.returncode == 0, done.stderr
    assert len(samples) == 20
    # without a revision it is what stands there today
    done, samples = convert("hf://datasets/org/votes/data/day-1.jsonl", **environment)
    assert done.returncode == 0, done.stderr
    assert samples == plain


@pytest.mark.parametrize(
    ("name", "told"),
    [
        (f"@{MOVED}/data/a.jsonl", b"cannot be read"),
        (f"@{PINNED}/data/none.jsonl", b"cannot be read"),
        (f"@{PINNED}/data/*.none", b"nothing matches"),
        (f"@{PINNED}/data/cut.jsonl", b"bytes arrived"),
        ("/data/moving.jsonl", b"it changed while it was read"),
    ],
    ids=["no such revision", "no such file", "nothing matches", "cut on the way", "changed on the way"],
)
def test_what_a_hub_does_not_have_is_told(
    name: str, told: bytes, hub: tuple[type[Hub], dict[str, str]], convert: Convert
) -> None:
    answers, environment = hub
    answers.revisions = {
        PINNED: {"data/a.jsonl": as_lines(ROWS), "data/cut.jsonl": as_lines(ROWS)},
        "main": {"data/moving.jsonl": as_lines(ROWS)},
    }
    answers.sent = {"data/cut.jsonl": as_lines(ROWS)[:700]}
    answers.later = {"data/moving.jsonl": as_lines(ROWS[::-1])}  # of the same length
    done, samples = convert(f"hf://datasets/org/votes{name}", **environment)
    assert done.returncode == 1
    assert b"error: hf://datasets/org/votes" + name.encode() + b": " in done.stderr
    assert told in done.stderr
    assert samples == []
