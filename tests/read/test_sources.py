from __future__ import annotations

import gzip
import hashlib
import os
import random
import zlib
from typing import TYPE_CHECKING

import pytest

from ktoformats.errors import KTODataError, SourceError
from ktoformats.read import sources
from ktoformats.read.sources import digest, open_source, resolve

if TYPE_CHECKING:
    from pathlib import Path

LINES = b"".join(b'{"n":%d}\n' % number for number in range(20_000))


def write(path: Path, data: bytes = b"{}\n") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def content(path: Path, chunk_bytes: int = 1 << 20, max_output: int = 1 << 30) -> bytes:
    with open_source(path, chunk_bytes=chunk_bytes, max_output=max_output) as chunks:
        return b"".join(chunks)


def refused(path: Path, code: str, message: str, max_output: int = 1 << 30) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        content(path, max_output=max_output)
    assert (caught.value.code, caught.value.path) == (code, str(path))


def test_one_path_a_list_and_globs_are_found_in_order(tmp_path: Path) -> None:
    for name in ("b.jsonl", "a.jsonl", "deep/er/c.jsonl", "a[1].jsonl", "a1.jsonl"):
        write(tmp_path / name)
    (tmp_path / "dir.jsonl").mkdir()
    one = tmp_path / "b.jsonl"
    assert resolve(one) == resolve(str(one)) == [one]
    assert resolve([one, str(tmp_path / "a.jsonl")]) == [one, tmp_path / "a.jsonl"]
    flat = [tmp_path / name for name in ("a.jsonl", "a1.jsonl", "a[1].jsonl", "b.jsonl")]
    assert resolve(f"{tmp_path}/*.jsonl") == flat
    assert resolve(f"{tmp_path}/**/*.jsonl") == [*flat, tmp_path / "deep/er/c.jsonl"]
    assert resolve(f"{tmp_path}/a[1].jsonl") == [tmp_path / "a[1].jsonl"]
    (tmp_path / "a[1].jsonl").unlink()
    assert resolve(f"{tmp_path}/a[1].jsonl") == [tmp_path / "a1.jsonl"]


def test_any_file_name_is_accepted(tmp_path: Path) -> None:
    for name in ("new\nline", "esc\x1b[31m", "\u202ebidi", os.fsdecode(b"\xff")):
        path = write(tmp_path / name, LINES)
        assert resolve(path) == [path]
        assert content(path) == LINES


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("missing.jsonl", "not_found", "there is no such file"),
        ("*.nothing", "not_found", "no file matches"),
        ("file/below", "not_found", "not a directory"),
        ("x" * 300, "not_found", "longer than the system allows"),
        ("nul\0", "not_found", "NUL"),
        ("", "is_directory", "name its files"),
        ("fifo", "not_regular", "a pipe, a socket or a device"),
        ("fif*", "not_regular", "a pipe, a socket or a device"),
        ("loop", "symlink_loop", "leads back to itself"),
        ("dangling", "not_found", "there is no such file"),
    ],
)
def test_what_is_no_readable_file_is_refused(tmp_path: Path, name: str, code: str, message: str) -> None:
    write(tmp_path / "file")
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "dangling").symlink_to("nowhere")
    for use in (resolve, content, digest):
        if use is not resolve and "*" in name:
            continue
        with pytest.raises(SourceError, match=message) as caught:
            use(tmp_path / name)
        assert caught.value.code == code
        assert isinstance(caught.value, KTODataError | OSError)


def test_devices_and_nothing_at_all_are_refused() -> None:
    with pytest.raises(SourceError, match="a device"):
        resolve("/dev/zero")
    with pytest.raises(SourceError, match="name at least one"):
        resolve([])
    with pytest.raises(SourceError, match="the path is empty"):
        resolve("")


def test_permission_denied_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, whom no permission stops.
    path = write(tmp_path / "a")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(SourceError, match="you may not read this") as caught:
        resolve(path)
    assert caught.value.code == "permission_denied"

    def denied(*_: object) -> int:
        raise PermissionError(13, "no")

    monkeypatch.setattr(os, "open", denied)
    refused(path, "permission_denied", "you may not read this")


def test_a_read_error_is_a_source_error() -> None:
    class Broken:
        def read(self, _: int) -> bytes:
            raise OSError(5, "Input/output error")

    with pytest.raises(SourceError, match="Input/output error") as caught:
        sources._read(Broken(), 1, "a")  # type: ignore[arg-type]
    assert caught.value.code == "unreadable"


@pytest.mark.parametrize("kind", ["same", "hard link", "symlink", "glob"])
def test_one_file_named_twice_is_refused(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path / "a.jsonl")
    twin = tmp_path / "b.jsonl"
    if kind == "hard link":
        twin.hardlink_to(path)
    elif kind == "symlink":
        twin.symlink_to(path)
    second = {"same": path, "glob": tmp_path / "*.jsonl"}.get(kind, twin)
    with pytest.raises(SourceError, match=r"same file as .*a\.jsonl") as caught:
        resolve([path, second])
    assert caught.value.code == "duplicate_source"


def test_digest_is_of_the_bytes_on_disk(tmp_path: Path) -> None:
    data = gzip.compress(LINES)
    assert digest(write(tmp_path / "a.gz", data)) == hashlib.sha256(data).hexdigest()
    assert digest(write(tmp_path / "e", b"")) == hashlib.sha256().hexdigest()


@pytest.mark.parametrize("chunk_bytes", [1, 7, 1000, 1 << 20])
@pytest.mark.parametrize("name", ["a.jsonl", "a.gz"])
@pytest.mark.parametrize(
    "packed",
    [
        LINES,
        gzip.compress(LINES),
        gzip.compress(LINES[:5000]) + gzip.compress(b"") + b"\0" * 9 + gzip.compress(LINES[5000:]),
        gzip.compress(LINES) + b"\0" * 5000,
        b"".join(gzip.compress(line) for line in LINES.splitlines(keepends=True)[:500])
        + gzip.compress(b"".join(LINES.splitlines(keepends=True)[500:])),
    ],
)
def test_gzip_is_undone_whatever_the_name(tmp_path: Path, packed: bytes, name: str, chunk_bytes: int) -> None:
    with open_source(write(tmp_path / name, packed), chunk_bytes=chunk_bytes) as chunks:
        pieces = list(chunks)
    assert b"".join(pieces) == LINES
    assert {len(piece) for piece in pieces[:-1]} <= {chunk_bytes}


def test_highly_compressed_data_comes_out_whole(tmp_path: Path) -> None:
    for extra in range(-3, 4):
        data = b" " * ((5 << 20) + extra)
        assert content(write(tmp_path / "a.gz", gzip.compress(data))) == data


def test_every_cut_and_every_flipped_byte_of_a_gzip_file_is_noticed(tmp_path: Path) -> None:
    packed = gzip.compress(LINES)
    rng = random.Random(7)
    path = tmp_path / "a.jsonl.gz"
    for cut in [0, 1, 2, 5, 10, len(packed) - 1, *rng.sample(range(len(packed)), 100)]:
        write(path, packed[:cut])
        refused(path, "truncated_file", "cut|ends in the middle")
    for place in rng.sample(range(10, len(packed)), 100):
        write(path, packed[:place] + bytes([packed[place] ^ 0x10]) + packed[place + 1 :])
        with pytest.raises(SourceError, match=r"damaged|ends in the middle"):
            content(path)


@pytest.mark.parametrize("junk", [b"junk", b"\0\0junk", b"\x1f\x8bjunk and more"])
def test_garbage_behind_gzip_is_refused(tmp_path: Path, junk: bytes) -> None:
    refused(write(tmp_path / "a.gz", gzip.compress(LINES) + junk), "corrupt_file", "no gzip at all follows")


def test_a_bomb_is_stopped_and_a_dense_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.gz"
    bomb = zlib.compressobj(9, wbits=31)
    write(path, b"".join(bomb.compress(b"0" * (1 << 20)) for _ in range(64)) + bomb.flush())
    refused(path, "too_large", "decompresses to more than", max_output=16 << 20)
    assert len(content(path)) == 64 << 20
    write(path, gzip.compress(LINES))
    assert content(path, max_output=10) == LINES


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize(
    ("data", "code", "message"),
    [
        ("{}\n".encode("utf-16"), "wrong_encoding", "save it as UTF-8"),
        ("{}\n".encode("utf-32"), "wrong_encoding", "save it as UTF-8"),
        ('{"a":"نص"}\n'.encode("utf-16-le"), "wrong_encoding", "save it as UTF-8"),
        ('{"a":"نص"}\n'.encode("utf-16-be"), "wrong_encoding", "save it as UTF-8"),
        (b"\0" * 10_000, "wrong_encoding", "zero bytes"),
        (b"\x04\x22\x4d\x18....", "unsupported_container", "an lz4 file; decompress it"),
        (b"PK\x03\x04....", "unsupported_container", "a zip archive; extract it"),
        (b"PAR1....", "unsupported_container", "a Parquet file inside another"),
        (b"ARROW1....", "unsupported_container", "an Arrow file inside another"),
        (b"name" + b"." * 253 + b"ustar", "unsupported_container", "a tar archive"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "lfs_pointer", "git lfs pull"),
    ],
)
def test_other_kinds_of_files_are_named(
    tmp_path: Path, data: bytes, code: str, message: str, *, zipped: bool
) -> None:
    refused(write(tmp_path / "a.jsonl", gzip.compress(data) if zipped else data), code, message)


def test_gzip_within_gzip_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "a.gz", gzip.compress(gzip.compress(LINES)))
    refused(path, "unsupported_container", "compressed twice")


def test_a_nul_in_one_line_is_no_matter_of_encoding(tmp_path: Path) -> None:
    data = b'{"a":"\0"}\n{"a":1}\n'
    assert content(write(tmp_path / "a", data)) == data


@pytest.mark.parametrize("how", ["grow", "shrink", "replace", "remove", "rewrite"])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, how: str) -> None:
    path = write(tmp_path / "a", LINES)
    with open_source(path, chunk_bytes=1000) as chunks:
        next(chunks)
        if how == "replace":
            write(tmp_path / "b", LINES).replace(path)
        elif how == "remove":
            path.unlink()
        else:
            write(path, {"grow": LINES * 2, "shrink": LINES[:9], "rewrite": LINES[::-1]}[how])
            os.utime(path, ns=(1, 1))
        with pytest.raises(SourceError, match="changed while it was read") as caught:
            list(chunks)
    assert caught.value.code == "changed_during_read"


def test_the_users_name_stands_in_errors(tmp_path: Path) -> None:
    with (
        pytest.raises(SourceError, match=r"^data/mine\.gz: .*ends in the middle") as caught,
        open_source(write(tmp_path / "a", gzip.compress(LINES)[:-1]), "data/mine.gz") as chunks,
    ):
        list(chunks)
    assert caught.value.path == "data/mine.gz"
