"""Several processes give what one gives, serve all files, and are told of when they die or hang."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
import pytest

from ktoformats import KTODataConfig, KTODataError, Registry
from ktoformats.convert.assemble import assemble
from ktoformats.read.blocks import Block, Fault, Place
from ktoformats.store import workers
from ktoformats.store.numbers import numbers_of
from ktoformats.store.workers import Workers, can_be_told, pack_block, unpack_block

if TYPE_CHECKING:
    from collections.abc import Iterator

HUNG = "import time; time.sleep(600)"
DEAD = "import sys; sys.stdin.buffer.read(8); sys.exit(3)"


def block(number: int, rows: int = 3, name: str = "a.jsonl") -> Block:
    records = [{"prompt": f"q{number}-{row}", "response": "a", "label": row % 2} for row in range(rows)]
    first = number * rows + 1
    return Block(
        name, list(range(first, first + rows)), [0] * rows, [orjson.dumps(one) for one in records], 0, [], {}
    )


def config(**given: Any) -> KTODataConfig:
    return KTODataConfig(**{"preprocessing_num_workers": 2, "balance_labels": False, **given})


def opened(**given: Any) -> Workers:
    own = config(**given)
    return Workers(assemble(own, Registry()).pipeline, own)


def prompts(done: Iterator[tuple[Any, int]]) -> list[str]:
    return [
        text for converted, _ in done for batch in converted.batches for text in batch.column("prompt").to_pylist()
    ]


@pytest.fixture
def child_does(monkeypatch: pytest.MonkeyPatch) -> Any:
    """`child_does(code)`: worker processes run this instead."""
    real = subprocess.Popen

    def instead(code: str) -> None:
        monkeypatch.setattr(
            subprocess, "Popen", lambda words, **options: real([sys.executable, "-c", code], **options)
        )

    return instead


def test_one_pool_serves_all_sources_in_order() -> None:
    with opened() as pool:
        first = prompts(pool.convert([block(number) for number in range(6)]))
        pids = [child._process.pid for child in pool._children]
        second = prompts(pool.convert([block(number, name="b.jsonl") for number in range(2)]))
        assert [child._process.pid for child in pool._children] == pids
        assert len(pids) == 2
    assert first == [f"q{number}-{row}" for number in range(6) for row in range(3)]
    assert second == first[:6]
    assert all(child._process.poll() is not None for child in pool._children)


def test_a_worker_gives_the_samples_and_their_numbers() -> None:
    blocks = [block(number, rows=5) for number in range(3)]
    own = config()
    pipeline = assemble(own, Registry()).pipeline
    with opened() as pool:
        for (converted, _), one in zip(pool.convert(blocks), blocks, strict=True):
            here = pipeline.convert(one)
            assert (converted.batches, converted.rejects, converted.accounts) == here[:3]
            assert converted.numbers == list(map(numbers_of, here.batches))


@pytest.mark.parametrize(
    "travels",
    [
        block(2, rows=4),
        Block("é.jsonl", [], [], [], 3, [Fault(7, 2**40, "line_too_long", "it is", b"\xff")], {"bom_stripped": 1}),
        Block("a", [1, 9], [0, 2**40], [b"", "\u0645".encode() * 50], 1, [], {}, [[[Place("b", 1, 0)]], []]),
    ],
    ids=["records", "faults alone", "an empty record and groups"],
)
def test_a_block_travels_whole(travels: Block) -> None:
    assert unpack_block(pack_block(travels)) == travels


def test_a_path_among_the_settings_hinders_no_worker(tmp_path: Path) -> None:
    assert can_be_told(config(train_file=tmp_path / "a.jsonl"))
    assert can_be_told(config(train_file=os.fsdecode(b"\xff.jsonl"), rejects_file=Path("r.txt")))
    assert can_be_told(config(scales={"label": {"low": 1, "high": 7, "good_from": 5, "bad_to": 3}}))


def test_objects_in_memory_are_converted_here_and_stay_in_order() -> None:
    rows = Block("<records>", [10], [0], [{"prompt": "here", "response": "a", "label": True}], 0, [], {})
    with opened() as pool:
        assert prompts(pool.convert([block(0), rows, block(1)])) == [
            "q0-0",
            "q0-1",
            "q0-2",
            "here",
            "q1-0",
            "q1-1",
            "q1-2",
        ]


def test_auto_starts_no_process_for_what_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(preprocessing_num_workers="auto") as pool:
        assert len(prompts(pool.convert(block(number) for number in range(workers._BEFORE_AUTO)))) == 96
        assert not pool._children
        monkeypatch.setattr(pool, "_count", 2)
        assert prompts(pool.convert([block(0), block(1)])) == [
            f"q{number}-{row}" for number in (0, 1) for row in range(3)
        ]
        assert len(pool._children) == 2


def test_a_hung_worker_is_ended_and_told_with_file_and_lines(child_does: Any) -> None:
    child_does(HUNG)
    began = time.monotonic()
    with (
        opened(worker_timeout=0.5) as pool,
        pytest.raises(KTODataError, match=r"gave no answer for 0\.5 seconds") as raised,
    ):
        list(pool.convert([block(0)]))
    assert str(raised.value).startswith("a.jsonl:1-3: ")
    assert time.monotonic() - began < 60


def test_a_dead_worker_is_told_with_file_and_lines(child_does: Any) -> None:
    child_does(DEAD)
    with (
        opened() as pool,
        pytest.raises(KTODataError, match=r"a\.jsonl:1-3: the worker process died \(exit status 3\)"),
    ):
        list(pool.convert([block(0)]))
