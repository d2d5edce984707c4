"""Every codec alike: members, cuts, damage, bombs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktoformats import KTODataConfig, Registry, SourceError
from ktoformats.convert.assemble import assemble
from ktoformats.read.lines import blocks
from ktoformats.read.sources import open_source

if TYPE_CHECKING:
    from collections.abc import Callable


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


PACK: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": zstd,
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
LINES = b"".join(b'{"n": %d, "t": "%d"}\n' % (n, n * n) for n in range(300))
codecs = pytest.mark.parametrize("codec", PACK)


def content(path: Path, data: bytes, **options: Any) -> bytes:
    path.write_bytes(data)
    with open_source(path, **options) as chunks:
        return b"".join(chunks)


@codecs
@given(cuts=st.lists(st.integers(0, len(LINES)), max_size=6), chunk_bytes=st.integers(1, 9000))
def test_any_number_of_members_is_one_stream(
    codec: str, cuts: list[int], chunk_bytes: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    edges = [0, *sorted(cuts), len(LINES)]
    packed = b"".join(PACK[codec](LINES[start:stop]) for start, stop in pairwise(edges))
    path = tmp_path_factory.mktemp("members") / "a.jsonl"
    assert content(path, packed, chunk_bytes=chunk_bytes) == LINES


@codecs
def test_every_cut_is_noticed(codec: str, tmp_path: Path) -> None:
    packed = PACK[codec](LINES[:2000])
    suffix = {"gzip": "gz", "zstd": "zst", "bzip2": "bz2", "xz": "xz"}[codec]
    for cut in range(len(packed)):
        with pytest.raises(SourceError, match=r"cut at its very start|ends in the middle") as caught:
            content(tmp_path / f"a.jsonl.{suffix}", packed[:cut])
        assert caught.value.code == "truncated_file", cut


@codecs
def test_a_cut_in_the_second_member_is_noticed(codec: str, tmp_path: Path) -> None:
    first, second = PACK[codec](LINES[:1000]), PACK[codec](LINES[1000:2000])
    for cut in range(1, len(second)):
        with pytest.raises(SourceError) as caught:
            content(tmp_path / "a", first + second[:cut])
        assert caught.value.code in ("truncated_file", "corrupt_file"), cut


@codecs
def test_a_flipped_byte_never_gives_other_records(codec: str, tmp_path: Path) -> None:
    """The frame of zstd was written by its own program, which adds a checksum; Arrow's compressor adds none."""
    written = Path(__file__).with_name("checksummed.jsonl.zst").read_bytes()
    packed = written if codec == "zstd" else PACK[codec](LINES)
    chance = random.Random(3)
    noticed = 0
    for place in chance.sample(range(len(packed)), min(150, len(packed))):
        flipped = packed[:place] + bytes([packed[place] ^ 0x10]) + packed[place + 1 :]
        try:
            assert content(tmp_path / "a", flipped) == LINES
        except SourceError:
            noticed += 1
    assert noticed > 100


@codecs
def test_what_follows_is_refused(codec: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="follows") as caught:
        content(tmp_path / "a", PACK[codec](LINES) + b"and more")
    assert caught.value.code == "corrupt_file"


@codecs
@pytest.mark.parametrize("inner", PACK)
def test_what_is_compressed_twice_is_refused(codec: str, inner: str, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=f"compressed twice, with {inner} inside") as caught:
        content(tmp_path / "a", PACK[codec](PACK[inner](LINES)))
    assert caught.value.code == "unsupported_container"


@codecs
def test_a_bomb_is_stopped(codec: str, tmp_path: Path) -> None:
    bomb = PACK[codec](b" " * (32 << 20))
    with pytest.raises(SourceError, match="decompresses to more than") as caught:
        content(tmp_path / "a", bomb, max_output=8 << 20, max_ratio=10)
    assert caught.value.code == "too_large"


@codecs
def test_one_bad_line_costs_one_line(codec: str, tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    lines = LINES.splitlines()
    path.write_bytes(PACK[codec](b"\n".join([*lines[:100], b"\xff{", *lines[100:], b""])))
    [block] = blocks(path)
    done = assemble(KTODataConfig(), Registry()).pipeline.convert(block)
    assert [(one.line, one.reason) for one in done.rejects if one.reason == "invalid_utf8"] == [(101, "invalid_utf8")]
    assert [record for record in block.records if record in lines] == lines


@codecs
def test_an_array_is_known_in_any_compression(codec: str, tmp_path: Path) -> None:
    suffix = {"gzip": "gz", "zstd": "zst", "bzip2": "bz2", "xz": "xz"}[codec]
    path = tmp_path / f"a.json.{suffix}"
    path.write_bytes(PACK[codec](b'[{"a": 1},\n {"a": 2}]'))
    assert [record for block in blocks(path) for record in block.records] == [b'{"a": 1}', b'{"a": 2}']


@codecs
def test_a_bomb_is_stopped_in_bounded_memory(codec: str, tmp_path: Path) -> None:
    """256 MiB in a process that may use little more than its imports."""
    path = tmp_path / "bomb"
    path.write_bytes(PACK[codec](b" " * (256 << 20)))
    script = dedent(
        f"""
        import resource
        from ktoformats.read.sources import open_source
        from ktoformats import SourceError
        used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            with open_source({str(path)!r}, max_output=200 << 20, max_ratio=1) as chunks:
                for chunk in chunks:
                    pass
        except SourceError as error:
            print(error.code, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - used)
        """
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    code, grown = done.stdout.split()
    assert code == "too_large"
    assert int(grown) < 64 << 10  # KiB
