"""Cases 41 to 64 of the catalogue of bad input: files and containers, through the loader and the command.

Where the verdict is another one than the catalogue's: a folder stands for its data files (42); links to files are
followed wherever they lead, for that is how download caches look (45); what a file is called is not noted where its
bytes say otherwise (49); files of one list may have different columns, for every record is classified on its own (59).
"""

from __future__ import annotations

import bz2
import errno
import gzip
import io
import json
import lzma
import os
import re
import resource
import socket
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import ktoformats.train.dataset  # noqa: F401 - the first case is not to pay for it
from ktoformats import EmptyDatasetError, KTODataConfig, KTODataLoader, SourceError
from ktoformats.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from _pytest.mark import ParameterSet

    from ktoformats import Registry, Report

    Load = Callable[..., tuple[list[dict[str, Any]], Report]]

ROWS: Final = [
    {"prompt": f"سؤال {number}", "response": f"جواب {number}", "label": ("good", "bad")[number % 2]}
    for number in range(40)
]
LINES: Final = b"".join(json.dumps(row, ensure_ascii=False).encode() + b"\n" for row in ROWS)
TABLE: Final = pa.Table.from_pylist(ROWS)
WHOLE: Final = (len(ROWS), 0, len(ROWS))
"""Lines, blank lines and samples of a file of all rows."""
CHECKSUMMED: Final = Path(__file__).parents[1] / "read" / "checksummed.jsonl.zst"
MANY: Final = 500


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "gz": gzip.compress,
    "zst": zstd,
    "bz2": bz2.compress,
    "xz": lzma.compress,
}


def case(name: str, make: Callable[[Path], Any], *expected: Any) -> ParameterSet:
    """`make` puts files into an empty folder and gives what `train_file` is to name."""
    return pytest.param(make, *expected, id=f"case-{name}")


def file(name: str, data: bytes = LINES) -> Callable[[Path], Path]:
    """A file of these bytes."""
    return lambda here: put(here / name, data)


def put(path: Path, data: bytes = LINES) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def folder(path: Path, *names: str) -> Path:
    path.mkdir(parents=True)
    for name in names:
        put(path / name)
    return path


def linked(path: Path, target: str | Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


def fifo(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    os.mkfifo(path)
    return path


def bound(path: Path) -> Path:
    """A socket in the file system."""
    with socket.socket(socket.AF_UNIX) as one:
        one.bind(os.path.relpath(path))  # the system allows about a hundred characters
    return path


def archive(kind: str) -> bytes:
    buffer = io.BytesIO()
    if kind == "zip":
        with zipfile.ZipFile(buffer, "w") as zipped:
            zipped.writestr("a.jsonl", LINES)
    else:
        with tarfile.open(fileobj=buffer, mode="w") as tarred:
            told = tarfile.TarInfo("a.jsonl")
            told.size = len(LINES)
            tarred.addfile(told, io.BytesIO(LINES))
    return buffer.getvalue()


def parquet(table: pa.Table = TABLE, **options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer, **options)
    return buffer.getvalue()


def arrow(table: pa.Table = TABLE) -> bytes:
    buffer = io.BytesIO()
    with pa.ipc.new_file(buffer, table.schema) as writer:
        writer.write_table(table)
    return buffer.getvalue()


def flipped(data: bytes, at: float = 0.5) -> bytes:
    place = int(len(data) * at)
    return data[:place] + bytes([data[place] ^ 0x10]) + data[place + 1 :]


def parquet_bomb(path: Path) -> Path:
    """More than a gibibyte of text in some kilobytes."""
    row = pa.table({"prompt": pa.array(["q" * (64 << 20)], pa.large_string())})
    with pq.ParquetWriter(path, row.schema, compression="zstd", use_dictionary=False, write_statistics=False) as bomb:
        for _ in range(17):
            bomb.write_table(row)
    return path


def with_column(name: str, values: list[Any], kind: pa.DataType, **metadata: str) -> pa.Table:
    return TABLE.slice(0, len(values)).append_column(pa.field(name, kind, metadata=metadata), pa.array(values, kind))


def pickled_type(canary: Path) -> pa.Table:
    """A column that says it is of a Python type, to be unpickled."""
    order = f"cposix\nsystem\n(S'touch {canary}'\ntR."
    named = {"ARROW:extension:name": "arrow.py_extension_type", "ARROW:extension:metadata": order}
    return with_column("x", [b"a"], pa.binary(), **named)


uuids = pa.ExtensionArray.from_storage(pa.uuid(), pa.array([b"a" * 16], pa.binary(16)))
ANY_DAMAGE: Final = r"truncated_file|corrupt_file"

REFUSED = [
    case("41 missing file", lambda here: here / "none.jsonl", "not_found"),
    case("41 missing folder", lambda here: here / "none" / "a.jsonl", "not_found"),
    case("41 file below a file", lambda here: put(here / "a.jsonl") / "b.jsonl", "not_found"),
    case("41 glob that matches nothing", lambda here: here / "*.none", "not_found"),
    case("41 glob that matches folders alone", lambda here: folder(here / "a.jsonl").parent / "*.jsonl", "not_found"),
    case("41 link to nothing", lambda here: linked(here / "a.jsonl", "none"), "not_found"),
    case("41 link to nothing in a folder", lambda here: linked(here / "a" / "a.jsonl", "none").parent, "not_found"),
    case("41 link to nothing in a glob", lambda here: linked(here / "a.jsonl", "none").parent / "*", "not_found"),
    case("42 empty folder", lambda here: folder(here / "a"), "not_found"),
    case("42 folder without data", lambda here: folder(here / "a", "README.md", ".git/b.jsonl"), "not_found"),
    case("43 pipe", lambda here: fifo(here / "a.jsonl"), "not_regular"),
    case("43 pipe in a glob", lambda here: fifo(here / "a.jsonl").parent / "*.jsonl", "not_regular"),
    case("43 pipe in a folder", lambda here: fifo(folder(here / "a", "a.jsonl") / "b.jsonl").parent, "not_regular"),
    case("43 pipe behind a link", lambda here: linked(here / "a.jsonl", fifo(here / "b")), "not_regular"),
    case("43 socket", lambda here: bound(here / "a.jsonl"), "not_regular"),
    case("43 /dev/zero", lambda here: "/dev/zero", "not_regular"),
    case("43 /dev/null", lambda here: "/dev/null", "not_regular"),
    case("44 link to itself", lambda here: linked(here / "a.jsonl", "a.jsonl"), "symlink_loop"),
    case(
        "44 two links to each other",
        lambda here: linked(linked(here / "a.jsonl", "b.jsonl").parent / "b.jsonl", "a.jsonl"),
        "symlink_loop",
    ),
    case("44 link to itself in a folder", lambda here: linked(here / "a" / "a.jsonl", "a.jsonl").parent, "symlink_loop"),
    case("47 nothing, called gzip", file("a.jsonl.gz", b""), "truncated_file"),
    case("47 nothing, called Parquet", file("a.parquet", b""), "truncated_file"),
    *(
        case(
            f"{number} {kind} cut at {at:.0%}",
            file("a", PACK[kind](LINES)[: int(len(PACK[kind](LINES)) * at)]),
            "truncated_file",
        )
        for number, kind in ((50, "gz"), (51, "zst"), (50, "bz2"), (50, "xz"))
        for at in (0.1, 0.5, 0.9, 0.999)
    ),
    case("51 zstd cut between two frames", file("a", zstd(LINES) + zstd(LINES)[:3]), ANY_DAMAGE),
    *(
        case(
            f"52 {kind} with a bit changed at {at:.0%}",
            file("a", flipped(PACK[kind](LINES * 20), at)),
            ANY_DAMAGE,
        )
        for kind in ("gz", "bz2", "xz")
        for at in (0.2, 0.5, 0.8)
    ),
    *(
        case(
            f"52 zstd with a checksum and a bit changed at {at:.0%}",
            file("a", flipped(CHECKSUMMED.read_bytes(), at)),
            ANY_DAMAGE,
        )
        for at in (0.2, 0.5, 0.8)
    ),
    *(
        case(f"54 garbage behind {kind}", file("a", PACK[kind](LINES) + LINES), "corrupt_file")
        for kind in PACK
    ),
    case("54 garbage behind zeros behind gzip", file("a", gzip.compress(LINES) + b"\0\0x"), "corrupt_file"),
    case("55 zstd bomb", lambda here: put(here / "a", zstd(b" " * (64 << 20)) * 17), "too_large"),
    case("55 Parquet bomb", lambda here: parquet_bomb(here / "a.parquet"), "too_large"),
    case("56 zip", file("a.zip", archive("zip")), "unsupported_container"),
    case("56 tar", file("a.tar", archive("tar")), "unsupported_container"),
    case("56 tar.gz", file("a.tgz", gzip.compress(archive("tar"))), "unsupported_container"),
    case("56 zip called .jsonl", file("a.jsonl", archive("zip")), "unsupported_container"),
    *(
        case(f"56 gzip in {kind}", file("a", PACK[kind](gzip.compress(LINES))), "unsupported_container")
        for kind in PACK
    ),
    case("56 Parquet in gzip", file("a", gzip.compress(parquet())), "unsupported_container"),
    *(
        case(f"56 {name}", file("a", magic + LINES), "unsupported_container")
        for name, magic in (
            ("7z", b"7z\xbc\xaf\x27\x1c"),
            ("rar", b"Rar!\x1a\x07\x01\x00"),
            ("lz4", b"\x04\x22\x4d\x18"),
            ("compress", b"\x1f\x9d\x90"),
            ("Avro", b"Obj\x01"),
            ("Feather 1", b"FEA1"),
        )
    ),
    case("59 footer gone", file("a", parquet()[:-8]), ANY_DAMAGE),
    case("59 footer of nothing", file("a", parquet()[:-8] + b"\xff\xff\xff\x7fPAR1"), ANY_DAMAGE),
    case("59 head alone", file("a", b"PAR1"), ANY_DAMAGE),
    case(
        "59 page that its checksum contradicts",
        file("a", parquet(write_page_checksum=True, compression="none").replace("جواب 7".encode(), "جواب 8".encode())),
        "corrupt_file",
    ),
    case("59 column twice", file("a", parquet(pa.Table.from_arrays(TABLE.columns, ["a", "b", "a"]))), "wrong_format"),
    case("60 extension type", file("a", parquet(TABLE.slice(0, 1).append_column("u", uuids))), "unsupported_container"),
    case("60 extension type, Arrow", file("a", arrow(TABLE.slice(0, 1).append_column("u", uuids))), "unsupported_container"),
    case("60 Python's own type", lambda here: put(here / "a", arrow(pickled_type(here / "canary"))), "unsupported_container"),
    case("61 one file twice", lambda here: [put(here / "a.jsonl"), here / "a.jsonl"], "duplicate_source"),
    case("61 one file, spelled in two ways", lambda here: [put(here / "a.jsonl"), f"{here}/./a.jsonl"], "duplicate_source"),
    case("61 file and glob", lambda here: [put(here / "a.jsonl"), here / "*.jsonl"], "duplicate_source"),
    case("61 two globs", lambda here: [put(here / "a.jsonl").parent / "a*", here / "*.jsonl"], "duplicate_source"),
    case("61 folder and file", lambda here: [folder(here / "a", "a.jsonl"), here / "a" / "a.jsonl"], "duplicate_source"),
    case("61 folder and link to it", lambda here: [folder(here / "a", "a.jsonl"), linked(here / "b", here / "a")], "duplicate_source"),
    case("61 link", lambda here: [put(here / "a.jsonl"), linked(here / "b.jsonl", "a.jsonl")], "duplicate_source"),
    case("61 hard link in a folder", lambda here: hard_linked(folder(here / "a", "a.jsonl")), "duplicate_source"),
]  # fmt: skip


def hard_linked(path: Path) -> Path:
    (path / "b.jsonl").hardlink_to(path / "a.jsonl")
    return path


ODD_NAMES: Final = (
    "new\nline",
    "\x1b[31mred",
    "\u202ebidi",
    "\u2028",
    "a'b\"c<&>",
    os.fsdecode(b"\xff\xfe"),
    " ",
    "-",
    "ü\u0308",
)

ACCEPTED = [
    case("42 folder", lambda here: folder(here / "a", "a.jsonl"), WHOLE),
    case("42 folder among what a glob matches", lambda here: put(folder(here / "a.jsonl").parent / "b.jsonl").parent / "*.jsonl", WHOLE),
    case("45 link out of the folder", lambda here: linked(here / "a" / "b" / "a.jsonl", put(here / "blobs" / "f00")).parents[1], WHOLE),
    case("45 link to a folder", lambda here: linked(here / "b", folder(here / "a", "a.jsonl")), WHOLE),
    case("47 empty file", file("a.jsonl", b""), (0, 0, 0)),
    case("47 gzip of nothing", file("a.jsonl.gz", gzip.compress(b"")), (0, 0, 0)),
    case("47 empty array", file("a.json", b"[]\n"), (0, 0, 0)),
    case("47 header alone", file("a.csv", b"prompt,response,label\n"), (0, 0, 0)),
    case("47 nothing, called CSV", file("a.csv", b""), (0, 0, 0)),
    case("47 table without rows", file("a.parquet", parquet(TABLE.slice(0, 0))), (0, 0, 0)),
    case("48 blank lines", file("a.jsonl", b"\n \n\t\r\n\n"), (4, 4, 0)),
    case("48 a mebibyte of newlines", file("a.jsonl", b"\n" * (1 << 20)), (1 << 20, 1 << 20, 0)),
    *(
        case(f"49 {kind} called .jsonl", file("a.jsonl", PACK[kind](LINES)), WHOLE)
        for kind in PACK
    ),
    case("49 lines called .gz", file("a.jsonl.gz"), WHOLE),
    case("49 lines called .parquet", file("a.parquet"), WHOLE),
    case("49 Parquet called .csv", file("a.csv", parquet()), WHOLE),
    case("49 Arrow called .jsonl", file("a.jsonl", arrow()), WHOLE),
    *(
        case(f"53 two members of {kind}", file("a", PACK[kind](LINES[:700]) + PACK[kind](LINES[700:])), WHOLE)
        for kind in PACK
    ),
    case("53 an empty member between", file("a", gzip.compress(LINES[:700]) + gzip.compress(b"") + gzip.compress(LINES[700:])), WHOLE),
    case("54 zeros behind gzip", file("a", gzip.compress(LINES) + bytes(5000)), WHOLE),
    case("59 page checksums", file("a", parquet(write_page_checksum=True)), WHOLE),
    case("59 dictionaries", file("a", parquet(TABLE.set_column(2, "label", TABLE["label"].dictionary_encode()))), WHOLE),
    case("59 large texts", file("a", parquet(TABLE.cast(pa.schema([(name, pa.large_string()) for name in TABLE.column_names])))), WHOLE),
    case("59 other columns in the next file", lambda here: [put(here / "a", parquet()), put(here / "b", parquet(pa.table({"prompt": ["q"], "chosen": ["a"], "rejected": ["b"]})))], (41, 0, 42)),
    case("59 NaN costs its row", file("a", parquet(with_column("x", [1.0, float("nan"), 2.0], pa.float64()))), (3, 0, 2)),
    case("59 null where none may be costs its row", file("a", parquet(pa.Table.from_pylist([*ROWS[:2], ROWS[2] | {"response": None}]))), (3, 0, 2)),
    case("59 null column beside", file("a", parquet(with_column("x", [None] * 3, pa.null()))), (3, 0, 3)),
    *(
        case(f"62 file called {name!a}", file(name), WHOLE)
        for name in ODD_NAMES if "\udcff" not in name
    ),
    case("62 all of them in a folder", lambda here: odd_files(here / "a"), tuple(len(ODD_NAMES) * count for count in WHOLE)),
]  # fmt: skip


def odd_files(path: Path) -> Path:
    for number, name in enumerate(ODD_NAMES):
        put(path / f"{name}.jsonl", LINES.replace("سؤال".encode(), b"%d" % number))
    return path


@pytest.fixture
def load(tmp_path: Path, registry: Registry, bounded: None) -> Load:
    """Load with a cache of its own; the samples and the report."""

    def run(*named: Any, cache: bool = True, progress: Any = None) -> tuple[list[dict[str, Any]], Report]:
        config = KTODataConfig(train_file=list(named), balance_labels=False, min_samples_per_label=0)
        loader = KTODataLoader(config, cache, cache_dir=tmp_path / "cache", registry=registry, progress=progress)
        loader.config = config
        samples = list(loader.load_dataset("train"))
        loader.report.check()
        return samples, loader.report

    return run


def published(tmp_path: Path) -> list[str]:
    """What stands in the cache, or was left there."""
    return sorted(path.name for path in (tmp_path / "cache").glob("[!cd]*/*"))


@pytest.fixture
def here(tmp_path: Path) -> Path:
    return folder(tmp_path / "here")


def as_list(named: Any) -> list[Any]:
    return named if isinstance(named, list) else [named]


@pytest.mark.parametrize(("make", "code"), REFUSED)
def test_refused(make: Callable[[Path], Any], code: str, here: Path, tmp_path: Path, load: Load) -> None:
    named = as_list(make(here))
    other = put(tmp_path / "other.jsonl")
    load(other)
    known = published(tmp_path)
    assert len(known) == 1
    with pytest.raises(SourceError) as caught:
        load(other, *named)
    assert re.fullmatch(code, caught.value.code)
    assert str(caught.value).startswith(f"{caught.value.path}: ")
    assert published(tmp_path) == known, "what is sound by itself is kept, and nothing else"
    assert not (here / "canary").exists()


@pytest.mark.parametrize(("make", "code"), {str(one.id)[:7]: one for one in REFUSED}.values())
def test_the_command_says_so_and_writes_nothing_but_what_went_wrong(
    make: Callable[[Path], Any], code: str, here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    named = as_list(make(here))
    other = put(tmp_path / "other.jsonl")
    with pytest.raises(SystemExit) as stopped:
        main(["convert", str(other), *map(str, named), "-o", str(tmp_path / "out" / "o.jsonl"), "--no-cache"])
    assert stopped.value.code == 1
    assert capfd.readouterr().err.startswith("error: ")
    assert {path.name for path in tmp_path.glob("out/*")} <= {"o-jsonl.failed.yaml", "o-jsonl.rejects.txt"}


@pytest.mark.parametrize(("make", "expected"), ACCEPTED)
def test_accepted(
    make: Callable[[Path], Any], expected: tuple[int, int, int], here: Path, tmp_path: Path, load: Load
) -> None:
    named = as_list(make(here))
    other = put(tmp_path / "other.jsonl", LINES.replace(b'"prompt": "', b'"prompt": "another '))
    samples, report = load(other, *named)
    assert len([one for one in samples if one["source"] == str(other)]) == len(ROWS)
    assert (report.total.lines - len(ROWS), report.total.blank, len(samples) - len(ROWS)) == expected
    again, _ = load(other, *named)
    assert again == samples


@pytest.mark.parametrize(
    "data",
    [pytest.param(b"", id="case-47 empty"), pytest.param(b"\n \n", id="case-48 blank lines"), pytest.param(b"[]", id="case-47 empty array")],
)  # fmt: skip
def test_nothing_at_all_is_an_error(data: bytes, here: Path, load: Load) -> None:
    with pytest.raises(EmptyDatasetError, match="no sample is left") as caught:
        load(put(here / "a.jsonl", data))
    assert caught.value.report is not None
    assert caught.value.report.total.lines == caught.value.report.total.blank == data.count(b"\n")


def test_case_43_a_named_pipe_of_the_shell_is_refused(here: Path, load: Load) -> None:
    reading, writing = os.pipe()
    try:
        with pytest.raises(SourceError, match="a pipe, a socket or a device") as caught:
            load(f"/dev/fd/{reading}")
    finally:
        os.close(reading)
        os.close(writing)
    assert caught.value.code == "not_regular"


def test_case_44_a_folder_that_leads_back_to_itself_is_read_once(
    here: Path, load: Load, caplog: pytest.LogCaptureFixture
) -> None:
    linked(folder(here / "a", "a.jsonl") / "again", ".")
    samples, _ = load(here / "a")
    assert len(samples) == len(ROWS)
    assert "left out: again" in caplog.text


@pytest.mark.parametrize("call", ["access", "open"])
def test_case_46_a_file_that_may_not_be_read_is_refused(
    call: str, here: Path, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = put(here / "a.jsonl")  # permissions stop nobody who is root, and tests may be
    real = os.open

    def denied(name: Any, *rest: Any, **options: Any) -> int:
        if os.fspath(name) == str(path):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return real(name, *rest, **options)

    monkeypatch.setattr(os, call, denied if call == "open" else lambda name, mode: False)
    with pytest.raises(SourceError, match=r"a\.jsonl: you may not read this") as caught:
        load(path)
    assert caught.value.code == "permission_denied"
    assert published(tmp_path) == []


@pytest.mark.parametrize(("below", "refused"), [("locked", True), (".trash", False)])
def test_case_46_a_folder_below_that_may_not_be_read_is_refused(
    below: str, here: Path, load: Load, monkeypatch: pytest.MonkeyPatch, *, refused: bool
) -> None:
    folder(here / below, "a.jsonl")
    put(here / "b.jsonl")
    real = os.scandir

    def denied(path: Any = ".") -> Any:
        if Path(path).name == below:
            raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))
        return real(path)

    monkeypatch.setattr(os, "scandir", denied)
    if refused:
        with pytest.raises(SourceError, match="locked: you may not read this") as caught:
            load(here)
        assert caught.value.code == "permission_denied"
    else:
        assert len(load(here)[0]) == len(ROWS)


def change(path: Path, how: str) -> None:
    data = path.read_bytes()
    if how == "replaced":
        put(path.with_name("other"), data).replace(path)
    elif how == "removed":
        path.unlink()
    else:
        path.write_bytes({"longer": data + LINES, "shorter": data[: len(data) // 2], "rewritten": data[::-1]}[how])
        os.utime(path, ns=(1, 1))  # no clock is finer than this


BIG: Final[dict[str, Callable[[], bytes]]] = {
    "lines": lambda: LINES * 500,
    "gz": lambda: gzip.compress(LINES * 500, 1),
    "parquet": lambda: parquet(pa.concat_tables([TABLE] * 100), row_group_size=1000),
    "arrow": lambda: arrow(pa.concat_tables([TABLE] * 100)),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(kind, id=f"case-{57 + (kind in ('parquet', 'arrow'))} {kind}") for kind in BIG]
)
@pytest.mark.parametrize("how", ["longer", "shorter", "replaced", "removed", "rewritten"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    kind: str, how: str, here: Path, tmp_path: Path, load: Load
) -> None:  # fmt: skip
    path = put(here / "a", BIG[kind]())
    told: list[int] = []

    def progress(source: str, records: int, bytes_read: int) -> None:
        if not told:
            change(path, how)
        told.append(records)

    with pytest.raises(SourceError) as caught:
        load(path, progress=progress)
    # where the bytes have to fit together, that they do not may be noticed first
    damaged = set() if kind == "lines" else {"truncated_file", "corrupt_file"}
    assert caught.value.code in {"changed_during_read", "not_found", *damaged}
    assert told
    assert published(tmp_path) == []


def test_case_57_a_file_that_changes_before_its_turn_is_refused(here: Path, tmp_path: Path, load: Load) -> None:
    """The cache knows it by its digest: other bytes must not be published under that."""
    paths = [put(here / "a.jsonl"), put(here / "b.jsonl", LINES.replace(b'"prompt": "', b'"prompt": "another '))]

    def progress(source: str, records: int, bytes_read: int) -> None:
        if source == str(paths[0]):
            paths[1].write_bytes(LINES)

    with pytest.raises(SourceError, match=r"b\.jsonl: the file changed") as caught:
        load(*paths, progress=progress)
    assert caught.value.code == "changed_during_read"
    [kept] = published(tmp_path)
    load(paths[0])
    assert published(tmp_path) == [kept]


def test_case_58_samples_do_not_stand_in_the_source(here: Path, tmp_path: Path, registry: Registry) -> None:
    path = put(here / "a.parquet", parquet())
    config = KTODataConfig(train_file=path, balance_labels=False, min_samples_per_label=0)
    dataset = KTODataLoader(config, cache_dir=tmp_path / "cache", registry=registry).load_dataset("train")
    path.write_bytes(b"")
    assert [one["prompt"] for one in dataset] == [row["prompt"] for row in ROWS]
    [entry] = (tmp_path / "cache" / "shards").iterdir()
    assert {path.stat().st_mode & 0o222 for path in entry.iterdir()} == {0}


@pytest.mark.parametrize("command", ["convert", "inspect"])
def test_case_62_names_are_escaped_wherever_they_are_told(
    command: str, here: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    paths = [put(here / name, LINES + b"{broken\n") for name in ODD_NAMES]
    target = tmp_path / "o.jsonl"
    words = ["-o", str(target), "--no-cache"] if command == "convert" else []
    with pytest.raises(SystemExit) as stopped:
        main([command, *map(str, paths[: None if command == "convert" else 1]), *words])
    said = "".join(capfd.readouterr())
    assert stopped.value.code == 0, said
    assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u202a-\u202e\ud800-\udfff]", said)
    if command == "convert":
        rejects = [json.loads(line) for line in (tmp_path / "o-jsonl.rejects.txt").read_bytes().splitlines()]
        assert [Path(one["source"]).name for one in rejects] == [
            name.replace("\udcff\udcfe", "\\xff\\xfe") for name in ODD_NAMES
        ]
        (tmp_path / "o-jsonl.manifest.yaml").read_text(encoding="utf-8")


@pytest.fixture
def few_handles() -> Iterator[None]:
    """No more than a handful of files may be open at once."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.open(os.devnull, os.O_RDONLY)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 24, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, before)


def tiny_files(path: Path, count: int) -> Path:
    for number in range(count):
        row = ROWS[number % 2] | {"prompt": str(number)}
        put(path / f"{number // 1000}" / f"{number}.jsonl", json.dumps(row).encode())
    return path


def load_many(named: Any, registry: Registry) -> int:
    config = KTODataConfig(train_file=named, balance_labels=False, min_samples_per_label=0)
    return len(KTODataLoader(config, enable_cache=False, registry=registry).load_dataset("train"))


@pytest.mark.parametrize("pattern", ["", "**/*.jsonl"], ids=["folder", "glob"])
def test_case_63_many_tiny_files_are_read_with_few_handles(
    pattern: str, here: Path, registry: Registry, few_handles: None
) -> None:
    assert load_many(tiny_files(here, MANY) / pattern, registry) == MANY


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_case_63_a_hundred_thousand_tiny_files(here: Path, registry: Registry, few_handles: None) -> None:
    assert load_many(tiny_files(here, 100_000), registry) == 100_000


@pytest.mark.parametrize("readable", [0, 700, 1 << 20])
@pytest.mark.parametrize("packed", [False, True])
def test_case_64_a_read_error_is_an_error_and_leaves_nothing(
    readable: int, here: Path, tmp_path: Path, load: Load, monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    data = LINES * 500
    path = put(here / "a", zstd(data) if packed else data)
    readable = min(readable, path.stat().st_size // 2)

    class Failing(io.FileIO):
        def read(self, size: int | None = -1) -> Any:
            if self.tell() >= readable:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            return super().read(size)

    monkeypatch.setattr(os, "fdopen", lambda handle, *_, **__: Failing(handle))
    with pytest.raises(SourceError, match=r"a: the system says: .*error") as caught:
        load(path, cache=False)
    assert caught.value.code == "unreadable"


ALMOST_NO_ROOM: Final = ("sh", "-c", 'ulimit -f 200; exec "$@"', "sh")


@pytest.mark.parametrize("what", ["standard input", "output", "cache"])
def test_case_64_no_room_is_an_error_and_leaves_nothing(what: str, here: Path, tmp_path: Path) -> None:
    """A limit on the length of files stands for a full disk; it needs no privilege."""
    data = b"".join(LINES.replace("سؤال".encode(), b"%d" % number) for number in range(300))
    source = put(here / "a.jsonl.zst", zstd(data))
    target = tmp_path / "out" / "o.jsonl"
    words = ["convert", "-" if what == "standard input" else str(source), "-o", str(target)]
    words += [] if what == "cache" else ["--no-cache"]
    temporary = folder(tmp_path / "temporary")
    done = subprocess.run(
        [*ALMOST_NO_ROOM, sys.executable, "-m", "ktoformats.cli.main", *words],
        input=data,
        env={
            **os.environ,
            "TMPDIR": str(temporary),
            "XDG_CACHE_HOME": str(tmp_path / "caches"),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert re.search(rb"File too large", done.stderr), done.stderr
    assert not target.exists()
    kept = (path for path in tmp_path.glob("caches/*/*/*") if path.parent.name != "digests")  # those are notes
    left: Iterable[Path] = [*temporary.rglob("*"), *kept, *tmp_path.glob("out/*")]
    assert {path.name for path in left} <= {"o-jsonl.failed.yaml", "o-jsonl.rejects.txt"}
