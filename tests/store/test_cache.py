"""The cache: what it keys on, what it refuses, what it never leaves behind."""

from __future__ import annotations

import json
import os
import stat
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import KTODataConfig, KTODataLoader, RejectBudgetError, SourceError
from ktoformats.store.lock import only_one
from ktoformats.store.vault import seal, unseal

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

RECORDS: list[Any] = [
    *({"prompt": f"q{i}", "chosen": f"good {i}", "rejected": f"bad {i}"} for i in range(20)),
    b"broken",
    {"prompt": "p", "response": "r", "label": None},
]


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., KTODataLoader]:
    def run(path: Path, *, loader_options: dict[str, Any] | None = None, **options: Any) -> KTODataLoader:
        config = KTODataConfig(train_file=path, min_samples_per_label=0, **options)
        loader = KTODataLoader(config, cache_dir=tmp_path / "cache", **(loader_options or {}))
        loader.load_dataset("train")
        return loader

    return run


def entry(tmp_path: Path) -> Path:
    [found] = (tmp_path / "cache" / "shards").iterdir()
    return found


def test_the_second_load_tells_the_same(load: Callable[..., Any], lines: Callable[..., Path]) -> None:
    path = lines(RECORDS)
    first, second = load(path).report, load(path).report
    assert (first.cached, second.cached) == (False, True)
    assert first.to_json() | {"cached": True} == second.to_json()
    assert first.rejects == second.rejects


def test_an_edit_that_keeps_size_and_time_is_seen(load: Callable[..., Any], lines: Callable[..., Path]) -> None:
    path = lines(RECORDS)
    load(path)
    before = path.stat()
    path.write_bytes(path.read_bytes().replace(b"good 7", b"gold 7"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert not load(path).report.cached


@pytest.mark.parametrize(
    ("options", "cached"),
    [
        ({"random_seed": 43}, True),
        ({"keep": ["x"]}, False),
        ({"quality": "specification"}, False),
        ({"kto_specific": {"alpha": 0.5}}, False),
        ({"ranking_strategy": "halves"}, False),
        ({"scales": {"label": "thumbs"}}, False),
        ({"on_error": "skip"}, True),
        ({"balance_labels": False}, True),
        ({"max_response_length": 7}, True),
        ({"filters": []}, True),
        ({"max_rejected": 5}, True),
        ({"preprocessing_num_workers": 2}, True),
        ({"streaming": True, "buffer_size": 10**6}, True),
        ({"streaming": True, "buffer_size": 7}, False),
        ({"pairwise_sampling_strategy": "random"}, False),
        ({"validation_fraction": 0.1}, True),
    ],
    ids=str,
)
def test_what_the_key_depends_on(
    load: Callable[..., Any], lines: Callable[..., Path], options: dict[str, Any], *, cached: bool
) -> None:
    path = lines(RECORDS)
    load(path)
    assert load(path, **options).report.cached == cached


@pytest.mark.parametrize("damage", ["flip", "cut", "manifest", "gone", "foreign"])
def test_a_damaged_entry_is_moved_aside_and_built_again(
    load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path, damage: str
) -> None:
    path = lines(RECORDS)
    whole = load(path)
    data, manifest = entry(tmp_path) / "samples.arrow", entry(tmp_path) / "manifest.json"
    data.chmod(0o600)
    manifest.chmod(0o600)
    content = data.read_bytes()
    if damage == "flip":
        at = content.index(b"good 3")
        data.write_bytes(content[:at] + b"G" + content[at + 1 :])
    elif damage == "cut":
        data.write_bytes(content[:-100])
    elif damage == "manifest":
        manifest.write_bytes(b"{}")
    elif damage == "gone":
        data.unlink()
    else:
        body = unseal(manifest.read_bytes())
        body["files"]["../../evil"] = body["files"]["samples.arrow"]
        manifest.write_bytes(seal(body))
    again = load(path)
    assert not again.report.cached
    assert again.report.to_json() == whole.report.to_json()
    assert load(path).report.cached


def test_entries_are_private_and_sealed(load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path) -> None:
    load(lines(RECORDS))
    found = entry(tmp_path)
    assert stat.S_IMODE((tmp_path / "cache").stat().st_mode) == 0o700
    assert stat.S_IMODE(found.stat().st_mode) == 0o700
    assert {stat.S_IMODE(p.stat().st_mode) for p in found.iterdir()} == {0o444}
    assert len(found.name) == 64 + len(".00000")
    assert list((tmp_path / "cache" / "building").iterdir()) == []


def test_what_fails_over_its_budget_fails_again(
    load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    path = lines([*RECORDS, *[b"x"] * 200])
    for _ in range(2):
        with pytest.raises(RejectBudgetError, match="201 of 222 records were rejected"):
            load(path)
        assert list((tmp_path / "cache" / "building").iterdir()) == []


def test_the_budget_is_judged_again_when_the_cache_is_opened(
    load: Callable[..., Any], lines: Callable[..., Path]
) -> None:
    path = lines([*RECORDS, *[b"x"] * 200])
    load(path, max_rejected=500)
    with pytest.raises(RejectBudgetError, match="201 of 222"):
        load(path, max_rejected=5)


def test_rejects_are_handed_out_from_the_cache(
    load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    path = lines(RECORDS)
    load(path)
    load(path, rejects_file=tmp_path / "out" / "{split}.rejects.jsonl")
    [reject] = (tmp_path / "out" / "train.rejects.jsonl").read_text().splitlines()
    assert json.loads(reject)["record"] == "broken"


def test_compression_is_smaller_and_reads_the_same(
    load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    path = lines([{"prompt": f"q{i}", "response": "same words " * 50, "label": i % 2} for i in range(500)])
    plain = load(path)
    size = (entry(tmp_path) / "samples.arrow").stat().st_size
    packed = load(path, loader_options={"cache_compression": True})
    sizes = [p.stat().st_size for p in (tmp_path / "cache").rglob("samples.arrow")]
    assert min(sizes) < size / 3
    assert list(packed.load_dataset()) == list(plain.load_dataset())


def test_a_folder_of_someone_else_is_refused(
    load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cache").mkdir()
    os.chown(tmp_path / "cache", 12345, 12345) if os.geteuid() == 0 else monkeypatch.setattr(
        os, "geteuid", lambda: 12345
    )
    with pytest.raises(SourceError, match="belongs to another user"):
        load(lines(RECORDS))


def test_what_killed_builds_left_is_swept(
    load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    for name in ("a" * 64 + ".00003-x1y2", "b" * 64 + "-z3"):
        folder = tmp_path / "cache" / "building" / name
        folder.mkdir(parents=True)
        (folder / "samples.arrow").write_bytes(b"x")
    load(lines(RECORDS))
    assert list((tmp_path / "cache" / "building").iterdir()) == []


def test_what_somebody_builds_is_not_swept(
    load: Callable[..., Any], lines: Callable[..., Path], tmp_path: Path
) -> None:
    folder = tmp_path / "cache" / "building" / ("a" * 64 + "-x1y2")
    folder.mkdir(parents=True)
    with only_one(folder.with_name("a" * 64 + ".lock")) as alone:
        assert alone
        load(lines(RECORDS))
        assert folder.is_dir()
    load(lines([*RECORDS, {"prompt": "p", "response": "s", "label": 1}]))
    assert not folder.exists()
