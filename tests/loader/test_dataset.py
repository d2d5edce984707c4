"""Datasets: torch collates them, trainers take them, positions and slices mean what they say."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING, Any

import pytest
import torch
from torch.utils.data import DataLoader, default_collate

from ktoformats import SAMPLE_KEYS, KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ktoformats.train.dataset import KTODataset


def pairs(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"q{i}", "chosen": f"good answer {i}", "rejected": f"bad answer {i}"} for i in range(count)]


def dialogue(turns: int) -> dict[str, Any]:
    talk = [{"role": ("user", "assistant")[i % 2], "content": f"turn {i}"} for i in range(2 * turns)]
    return {"messages": talk, "label": turns % 2 == 0}


@pytest.fixture
def dataset(lines: Callable[..., Path], tmp_path: Path) -> Callable[..., KTODataset]:
    def make(records: list[Any], **options: Any) -> KTODataset:
        config = KTODataConfig(train_file=lines(records), min_samples_per_label=0, **options)
        return KTODataLoader(config, cache_dir=tmp_path / "cache").load_dataset("train")

    return make


@pytest.mark.parametrize("workers", [0, 4])
@pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning")
def test_default_collation(dataset: Callable[..., KTODataset], workers: int) -> None:
    """Texts become lists, numbers tensors, for any number of workers, shuffled or not."""
    made = dataset(pairs(50))
    seen = []
    for batch in DataLoader(made, batch_size=16, shuffle=True, num_workers=workers):
        assert tuple(batch) == SAMPLE_KEYS
        assert batch["utility_score"].dtype == torch.float64
        assert len(batch["prompt"]) == len(batch["conversation"]) == len(batch["line"])
        seen += batch["id"]
    assert sorted(seen) == sorted(sample["id"] for sample in made)
    assert len(set(seen)) == 100


@pytest.mark.parametrize("workers", [0, 2])
def test_conversations_collate(dataset: Callable[..., KTODataset], workers: int) -> None:
    """Conversations differ in length: they stay lists, with the default collation and with collate_fn."""
    made = dataset([dialogue(n) for n in (1, 2, 3, 4)])
    [batch] = DataLoader(made, batch_size=4, num_workers=workers)
    assert [len(turns) for turns in batch["conversation"]] == [0, 3, 5, 7]
    assert batch["conversation"] == [sample["conversation"] for sample in made]
    own = made.collate_fn(list(made))
    assert own["conversation"] == batch["conversation"]
    assert torch.equal(own["utility_score"], default_collate(list(made))["utility_score"])


def test_positions_and_slices(dataset: Callable[..., KTODataset]) -> None:
    made = dataset(pairs(10))
    everything = list(made)
    assert len(made) == 20
    assert made[0] == everything[0]
    assert made[-1] == everything[-1]
    assert list(made[3:7]) == everything[3:7]
    assert list(made[::-5]) == everything[::-5]
    assert list(made.select([4, 1])) == [everything[4], everything[1]]
    with pytest.raises(IndexError, match="sample 20 of 20"):
        made[20]


def test_samples_keep_source_order_and_provenance(dataset: Callable[..., KTODataset]) -> None:
    made = dataset(pairs(30))
    assert [sample["line"] for sample in made] == [line for line in range(1, 31) for _ in "gb"]
    assert {sample["source"].rpartition("/")[2] for sample in made} == {"records1.jsonl"}


def test_exact_repeats_have_ids_of_their_own(dataset: Callable[..., KTODataset]) -> None:
    made = dataset([*pairs(2), *pairs(2)])
    ids = [sample["id"] for sample in made]
    assert len(set(ids)) == 8
    assert ids[4:] == [f"{name}-1" for name in ids[:4]]


def test_kept_columns_come_along_as_texts(dataset: Callable[..., KTODataset]) -> None:
    records = [{**row, "model": "m1", "votes": 3} for row in pairs(1)] + pairs(2)[1:]
    made = dataset(records, keep=["model", "votes", "language"])
    assert made[0]["kept"] == {"model": "m1", "votes": "3", "language": ""}
    assert made[2]["kept"] == {"model": "", "votes": "", "language": ""}
    assert DataLoader(made, batch_size=4).__iter__().__next__()["kept"]["model"] == ["m1", "m1", "", ""]


def test_to_trl_is_in_training_order_with_real_booleans(dataset: Callable[..., KTODataset]) -> None:
    """Sequential batches of any size hold both labels, and the two answers of a prompt are apart."""
    made = dataset(pairs(64)).to_trl()
    assert made.column_names == ["prompt", "completion", "label"]
    rows = list(made)
    assert {type(row["label"]) for row in rows} == {bool}
    for size in (2, 4, 8, 16):
        for start in range(0, len(rows), size):
            assert len({row["label"] for row in rows[start : start + size]}) == 2
    assert all(one["prompt"] != two["prompt"] for one, two in itertools.pairwise(rows))
    assert {(row["prompt"], row["completion"]) for row in rows} == {
        (row["prompt"], row[side]) for row in pairs(64) for side in ("chosen", "rejected")
    }
    assert "standard, in training order" in made.info.description


def test_to_trl_takes_messages_when_texts_would_lose_something(dataset: Callable[..., KTODataset]) -> None:
    call = [{"function": {"name": "f", "arguments": {"a": 1}}}]
    tool_talk = {
        "messages": [
            {"role": "user", "content": "use it"},
            {"role": "assistant", "content": "", "tool_calls": call},
            {"role": "tool", "content": "1"},
            {"role": "assistant", "content": "done"},
        ],
        "label": True,
        "tools": [{"type": "function", "function": {"name": "f"}}],
    }
    made = dataset([dialogue(1), dialogue(2), tool_talk, {"prompt": "p", "response": "r", "label": 0, "system": "s"}])
    rows = list(made.to_trl())
    assert all(row["prompt"][-1]["role"] in ("user", "tool") for row in rows)
    assert all([m["role"] for m in row["completion"]] == ["assistant"] for row in rows)
    [asked] = [row for row in rows if row["completion"][0]["content"] == "done"]
    assert json.loads(asked["tools"]) == tool_talk["tools"]
    assert asked["prompt"][1]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert any(row["prompt"][0] == {"role": "system", "content": "s", "tool_calls": None} for row in rows)


def test_to_trl_refuses_unknown_styles(dataset: Callable[..., KTODataset]) -> None:
    with pytest.raises(ValueError, match="style must be auto, standard or conversational, got 'chatty'"):
        dataset(pairs(1)).to_trl("chatty")


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"streaming": True, "buffer_size": 7},
        {"lazy_loading": True},
        {"max_samples_in_memory": 5},
        {"preprocessing_num_workers": 3},
        {"streaming": True, "buffer_size": 3, "preprocessing_num_workers": 2},
    ],
    ids=str,
)
@pytest.mark.parametrize("cached", [False, True])
def test_how_it_is_built_changes_nothing(
    lines: Callable[..., Path], tmp_path: Path, options: dict[str, Any], *, cached: bool
) -> None:
    """Memory, streaming, laziness and worker processes give the same samples in the same order."""
    path = lines([*pairs(200), b"broken", dialogue(3), dialogue(2)])
    plain = KTODataLoader(KTODataConfig(train_file=path), enable_cache=False)
    other = KTODataLoader(
        KTODataConfig(train_file=path, **options), enable_cache=cached, cache_dir=tmp_path, cache_compression=cached
    )
    assert list(other.load_dataset()) == list(plain.load_dataset())
    assert other.report.to_json()["total"] == plain.report.to_json()["total"]
    if cached:
        assert list(other.load_dataset()) == list(plain.load_dataset())
        assert other.report.cached
