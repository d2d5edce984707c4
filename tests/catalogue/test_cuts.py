"""A file that was cut is an error, wherever it was cut; a bad line costs itself, among a thousand good ones."""

from __future__ import annotations

import bz2
import gzip
import io
import json
import lzma
import random
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ktoformats import KTODataConfig, KTODataLoader, SourceError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ktoformats import Registry

ROWS: Final = [
    {"prompt": f"سؤال {number}", "response": f"جواب {number * number}", "label": ("good", "bad")[number % 2]}
    for number in range(1000)
]
GOOD: Final = [json.dumps(row, ensure_ascii=False).encode() for row in ROWS]
LINES: Final = b"".join(line + b"\n" for line in GOOD)
FEW, MANY = 20, 200


def zstd(data: bytes) -> bytes:
    packed: bytes = pa.compress(data, codec="zstd", asbytes=True)
    return packed


def parquet(**options: Any) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(ROWS), buffer, **options)
    return buffer.getvalue()


WRITTEN: Final[dict[str, Callable[[], bytes]]] = {
    "jsonl.gz": lambda: gzip.compress(LINES),
    "jsonl.zst": lambda: zstd(LINES),
    "jsonl.bz2": lambda: bz2.compress(LINES),
    "jsonl.xz": lambda: lzma.compress(LINES),
    "parquet": lambda: parquet(row_group_size=300, write_page_checksum=True),
}


def make_loader(folder: Path, registry: Registry, *paths: Path, **options: Any) -> KTODataLoader:
    config = KTODataConfig(train_file=list(paths), balance_labels=False, min_samples_per_label=0, **options)
    return KTODataLoader(config, cache_dir=folder / "cache", registry=registry)


def kept_in(folder: Path) -> set[str]:
    """What stands in the cache, or was left there."""
    return {str(path) for path in (folder / "cache").glob("[!d]*/*")}


def silent_cuts(kind: str, count: int, folder: Path, registry: Registry) -> list[int]:
    """Cut a file at so many places; where nobody noticed, or something was published."""
    whole = WRITTEN[kind]()
    first, cut = folder / "first.jsonl", folder / f"cut.{kind}"
    first.write_bytes(LINES.replace(b'"prompt": "', b'"prompt": "another ')[:2000].rpartition(b"\n")[0])
    cut.write_bytes(whole)
    assert len(make_loader(folder / "whole", registry, first, cut).load_dataset("train")) > len(ROWS)
    make_loader(folder, registry, first, require_both_labels=False).load_dataset("train")
    known = kept_in(folder)
    places = [0, 1, len(whole) - 1, *random.Random(kind).sample(range(2, len(whole) - 1), count - 3)]
    silent = []
    for place in places:
        cut.write_bytes(whole[:place])
        loader = make_loader(folder, registry, first, cut)
        try:
            loader.load_dataset("train")
        except SourceError as error:
            noticed = error.code in {"truncated_file", "corrupt_file"} and error.path == str(cut)
        else:
            noticed = False
        if not noticed or kept_in(folder) != known:
            silent.append(place)
    print(f"{kind}: {len(places) - len(silent)} of {len(places)} cuts are errors")  # noqa: T201 - the figures of a campaign are its result
    return silent


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_cut_is_an_error_and_publishes_nothing(kind: str, tmp_path: Path, registry: Registry) -> None:
    assert silent_cuts(kind, FEW, tmp_path, registry) == []


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("kind", WRITTEN)
def test_two_hundred_cuts_are_errors_and_publish_nothing(kind: str, tmp_path: Path, registry: Registry) -> None:
    assert silent_cuts(kind, MANY, tmp_path, registry) == []


def with_text(text: bytes) -> bytes:
    return b'{"prompt": "q%s", "response": "a", "label": "good"}' % text


def record(**fields: Any) -> bytes:
    return json.dumps({"prompt": "q", "response": "a", "label": "good"} | fields).encode()


USER: Final = {"role": "user", "content": "q"}
HOSTILE: Final = {
    "01 invalid UTF-8": (with_text(b"\xff"), "invalid_utf8"),
    "02 overlong": (with_text(b"\xc0\xaf"), "invalid_utf8"),
    "03 raw surrogate": (with_text(b"\xed\xa0\x80"), "invalid_utf8"),
    "07 Windows-1256": (with_text("جيد".encode("cp1256")), "invalid_utf8"),
    "10 raw NUL": (with_text(b"\x00"), "control_char"),
    "11 escaped NUL": (with_text(b"\\u0000"), "control_char"),
    "12 raw TAB": (with_text(b"\t"), "control_char"),
    "19 two objects": (record() * 2, "extra_data"),
    "20 comment behind": (record() + b" // good", "extra_data"),
    "21 NBSP before": ("\u00a0".encode() + record(), "invalid_json"),
    "22 trailing comma": (record()[:-1] + b",}", "invalid_json"),
    "23 NaN": (record(label=float("nan")), "non_finite"),
    "24 1e999": (record(x=0).replace(b": 0", b": 1e999"), "non_finite"),
    "25 huge integer": (record(id=2**64), "int_out_of_range"),
    "26 5,000 digits": (record(x=0).replace(b": 0", b": " + b"9" * 5000), "non_finite"),
    "27 key twice": (record()[:-1] + b', "label": "bad"}', "duplicate_key"),
    "28 half a character": (with_text(b"\\ud800"), "lone_surrogate"),
    "29 20,000 levels": (record(x=0).replace(b": 0", b": " + b"[" * 20_000 + b"]" * 20_000), "too_deep"),
    "30 null": (b"null", "not_an_object"),
    "31 nothing in it": (b"{}", "unknown_shape"),
    "35 number for a text": (record(prompt=42), "wrong_type"),
    "36 many items": (record(x=[0] * 100_001), "too_many_items"),
    "38 unknown keys": (b'{"question": "q", "answer": "a"}', "unknown_shape"),
    "39 null for a text": (record(response=None), "null_field"),
    "77 invisible text": (record(response="\u200b\u200f"), "empty_response"),
    "82 no label": (record(label="maybe"), "label_unrecognised"),
    "87 empty text": (record(response=""), "empty_response"),
    "89 two users in a row": (json.dumps({"messages": [USER, USER], "label": 1}).encode(), "role_order"),
    "95 list for a text": (record(response=["a"]), "wrong_type"),
    "97 no ranking": (b'{"prompt": "q", "responses": ["a", "b"], "rankings": [1, 4]}', "bad_ranking"),
}
PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, 1),
    "zst": zstd,
}


@pytest.mark.parametrize("pack", PACK)
@pytest.mark.parametrize("name", [pytest.param(name, id=f"case-{name}") for name in HOSTILE])
def test_of_a_thousand_good_lines_all_are_kept(name: str, pack: str, tmp_path: Path, registry: Registry) -> None:
    """With the bad one at the beginning, in the middle and at the end."""
    hostile, reason = HOSTILE[name]
    path = tmp_path / "a.jsonl"
    path.write_bytes(PACK[pack](b"\n".join([hostile, *GOOD[:500], hostile, *GOOD[500:], hostile, b""])))
    loader = make_loader(tmp_path, registry, path)
    samples = list(loader.load_dataset("train"))
    assert [{key: sample[key] for key in ROWS[0]} for sample in samples] == ROWS
    assert [(one.line, one.reason) for one in loader.report.rejects] == [(line, reason) for line in (1, 502, 1003)]
    loader.report.check()
