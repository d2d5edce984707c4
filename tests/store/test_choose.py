"""What is chosen: kept views are those that would be made anew, and one file gives splits that share nothing."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import ConfigError, KTODataConfig, KTODataLoader
from ktoformats.store import cache as caches
from ktoformats.store.choose import Choice
from ktoformats.store.split import leaks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from ktoformats.store.report import Report
    from ktoformats.store.view import View

ASKED: dict[str, Any] = {"min_samples_per_label": 0, "max_rejected": 10}


JUDGED_BOTH_WAYS = [("twice good", 1), ("once each", 1), ("twice good", 0), ("once each", 0), ("twice good", 1)]


def records(count: int, seed: int = 1) -> list[dict[str, Any]]:
    """Pairs and judged answers: of some prompts several, some twice, some judged both ways, more bad than good."""
    chance = random.Random(seed)
    made: list[dict[str, Any]] = []
    for number in range(count):
        prompt = {"prompt": f"q{chance.randrange(count // 2)}" + "?" * chance.randrange(4)}
        if number % 3:
            made.append(prompt | {"response": "x" * chance.randrange(1, 9), "label": int(chance.random() < 0.3)})
        else:
            made.append(prompt | {"chosen": f"good {number}", "rejected": f"bad {number % 7}"})
    return made + [{"prompt": "c", "response": text, "label": label} for text, label in JUDGED_BOTH_WAYS]


def written(path: Path, rows: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(one) + "\n" for one in rows), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("files")
    return [
        written(folder / "one.jsonl", [*records(40), {"prompt": "p", "response": "r", "label": "what?"}]),
        written(folder / "two.jsonl", records(25, seed=2)),
    ]


@pytest.fixture
def _all_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also views of few samples."""
    monkeypatch.setattr(caches, "WORTH_KEEPING", 1)


OPTIONS: list[dict[str, Any]] = [
    {},
    {"random_seed": 7},
    {"balance_labels": False},
    {"label_imbalance_tolerance": 0.4},
    {"min_response_length": 5},
    {"min_response_length": 4},
    {"max_response_length": 7},
    {"min_prompt_length": 4},
    {"max_prompt_length": 4},
    {"filters": ["length"]},
    {"filters": [{"length": {"min_response_length": 5}}]},
    {"filters": [{"length": {"min_response_length": 6}}]},
    {"filters": ["utility", "length"]},
    {"min_response_quality": 0.65},
    {"min_utility_threshold": -1.0},
    {"min_utility_threshold": -1.0, "filter_low_utility": False, "min_response_length": 3},
    {"max_utility_threshold": 0.7},
    {"conflict": "drop"},
    {"conflict": "majority"},
    {"duplicates": "drop"},
    {"pairwise_sampling_strategy": "balanced"},
    {"validation_fraction": 0.3},
    {"validation_fraction": 0.3, "test_fraction": 0.3},
    {"max_rejected_share": 0.5},
    {"min_samples_per_label": 500},
    {"limits": 20},
    {"weights": 2.0},
    {"weights": 2.0, "oversample": True},
    {"tags": ["t"]},
]
"""All that chooses, and what is told of the choice."""


def loader_of(files: Sequence[Path], folder: Path | None, options: dict[str, Any], **how: Any) -> KTODataLoader:
    options = ASKED | options
    own = {name: options.pop(asked) for name, asked in NAMES.items() if asked in options}
    where: dict[str, Any] = {"train_file": list(files)}
    if own:
        where = {"sources": [{"path": str(files[0]), **own}, {"path": str(files[1]), "weight": own.get("weight")}]}
    return KTODataLoader(KTODataConfig(**where, **options), enable_cache=folder is not None, cache_dir=folder, **how)


NAMES = {"limit": "limits", "weight": "weights", "tags": "tags"}


def outcome(view: View, report: Report) -> dict[str, Any]:
    """All that one can see of a choice."""
    report.check()
    return {
        "samples": view.take(view.chosen).to_pylist(),
        "reasons": [view.names[one] for one in view.reasons.tolist()],
        "dropped": view.dropped,
        "counts": view.counts(),
        "keys": view.keys().tolist(),
        "repeats": [one.tolist() for one in view.occurrence],
        "report": report.to_json() | {"cached": None},
        "text": str(report),
    }


def loaded(loader: KTODataLoader, split: str = "train") -> dict[str, Any]:
    return outcome(loader._load_view(split), loader.reports[split])


@pytest.fixture(scope="module")
def fresh(files: list[Path]) -> Callable[[int], dict[str, Any]]:
    """What comes out without a cache."""

    @cache
    def of(number: int) -> dict[str, Any]:
        return loaded(loader_of(files, None, OPTIONS[number]))

    return of


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Path]]:
    """Caches without views, whose samples are there."""
    root = tmp_path_factory.mktemp("caches")

    def make() -> Path:
        for one in (root / "cache" / "views").glob("*"):
            shutil.rmtree(one)
        return root / "cache"

    yield make
    shutil.rmtree(root)


@pytest.mark.usefixtures("_all_are_kept")
def test_every_choice_is_another_one(fresh: Callable[[int], dict[str, Any]]) -> None:
    """Else the next tests could not tell one view from another."""
    outcomes = [fresh(number) for number in range(len(OPTIONS))]
    same = [(one, other) for one in range(len(OPTIONS)) for other in range(one) if outcomes[one] == outcomes[other]]
    assert [(OPTIONS[one], OPTIONS[other]) for one, other in same] == []


@pytest.mark.usefixtures("_all_are_kept")
@pytest.mark.parametrize("order", [1, 2])
def test_no_view_is_taken_for_another(
    files: list[Path], fresh: Callable[[int], dict[str, Any]], folders: Callable[[], Path], order: int
) -> None:
    """Whatever was chosen before in the same cache, and whether it was kept, the outcome is that without a cache."""
    folder = folders()
    numbers = random.Random(order).sample(range(len(OPTIONS)), len(OPTIONS))
    for number in [*numbers, *numbers[:5]]:
        assert loaded(loader_of(files, folder, OPTIONS[number])) == fresh(number), OPTIONS[number]


@pytest.mark.usefixtures("_all_are_kept")
@pytest.mark.parametrize("number", range(len(OPTIONS)), ids=[str(one) for one in OPTIONS])
def test_a_kept_view_is_the_one_that_was_made(
    files: list[Path],
    fresh: Callable[[int], dict[str, Any]],
    folders: Callable[[], Path],
    monkeypatch: pytest.MonkeyPatch,
    number: int,
) -> None:
    folder = folders()
    loader_of(files, folder, OPTIONS[number]).load_dataset()
    for one in (folder / "views").glob("*/rows.npy"):
        shutil.rmtree(one.parent)
    made = loader_of(files, folder, OPTIONS[number])._load_view("train")  # knows which answers stand there again
    asked: list[Any] = []
    choose = Choice.made

    def choosing(own: Choice, *args: Any) -> View:
        asked.append(own)
        return choose(own, *args)

    monkeypatch.setattr(Choice, "made", choosing)
    loader = loader_of(files, folder, OPTIONS[number])
    kept = loader._load_view("train")
    assert len(asked) == int(bool(OPTIONS[number].get("oversample"))), "copies are made again, all else was kept"
    assert loader.report.cached
    assert kept.diff(made) == []
    assert outcome(kept, loader.report) == fresh(number)


@pytest.mark.usefixtures("_all_are_kept")
def test_a_damaged_view_is_made_again(
    files: list[Path], tmp_path: Path, fresh: Callable[[int], dict[str, Any]]
) -> None:
    loader_of(files, tmp_path, {}).load_dataset()
    for one in tmp_path.glob("views/*/*.npy"):
        one.chmod(0o600)
        one.write_bytes(one.read_bytes()[:-1] + b"\x07")
    assert loaded(loader_of(files, tmp_path, {})) == fresh(0)
    assert len(list((tmp_path / "damaged").iterdir())) == 2


@pytest.mark.parametrize(("count", "kept"), [(4096, True), (4095, False)])
def test_views_of_few_samples_are_not_kept(tmp_path: Path, count: int, *, kept: bool) -> None:
    assert caches.WORTH_KEEPING == 4096
    path = written(
        tmp_path / "r.jsonl", [{"prompt": f"q{n}", "response": f"r{n}", "label": n % 2} for n in range(count)]
    )
    folder = tmp_path / "cache"
    first = loader_of([path], folder, {})
    expected = list(first.load_dataset())
    assert len(list((folder / "views").iterdir())) == (2 if kept else 0)
    again = loader_of([path], folder, {})
    dataset = again.load_dataset()
    assert isinstance(dataset._rows, np.memmap) is kept
    assert list(dataset) == expected
    assert again.report.to_json() == first.report.to_json() | {"cached": True}


class OwnBalance(KTODataLoader):
    asked: ClassVar[list[int]] = []

    def _balance_kto_labels(self, data: list[dict[str, Any]]) -> list[dict[str, Any]]:
        self.asked.append(len(data))
        return data[:4]


@pytest.mark.usefixtures("_all_are_kept")
def test_an_overridden_stage_is_asked_every_time(files: list[Path], tmp_path: Path) -> None:
    config = KTODataConfig(train_file=list(files), **ASKED)
    plain = KTODataLoader(config, cache_dir=tmp_path).load_dataset()
    OwnBalance.asked.clear()
    for _ in range(2):
        assert len(OwnBalance(config, cache_dir=tmp_path).load_dataset()) == 4 < len(plain)
    assert len(OwnBalance.asked) == 2
    assert len(KTODataLoader(config, cache_dir=tmp_path).load_dataset()) == len(plain)


# One file, several splits


SPLITS = ("train", "validation", "test")
FILTERS: list[dict[str, Any]] = [
    {"filters": []},
    {"min_response_length": 5},
    {"max_prompt_length": 4, "duplicates": "drop"},
    {"conflict": "drop", "max_response_length": 9},
]


def talks(count: int, chance: random.Random) -> list[dict[str, Any]]:
    """Conversations that share beginnings, pairs, and answers to the same prompts."""
    made: list[dict[str, Any]] = []
    for _ in range(count):
        turns = [f"u{chance.randrange(count)}", f"a{chance.randrange(3)}", f"u{chance.randrange(count)}"]
        roles = ("user", "assistant", "user")
        talk = [{"role": role, "content": text} for role, text in zip(roles, turns, strict=True)]
        answer = {"role": "assistant", "content": f"r{chance.randrange(5)}"}
        if chance.random() < 0.2:  # a pair whose sides answer different questions
            others = [{"role": "user", "content": f"u{chance.randrange(count)}"}, answer]
            made.append({"chosen": [talk[0], answer], "rejected": others})
        elif chance.random() < 0.3:
            made.append({"prompt": talk[0]["content"], "chosen": "good", "rejected": f"bad {chance.randrange(9)}"})
        else:
            made.append({"messages": [*talk[: chance.choice((1, 3))], answer], "label": int(chance.random() < 0.4)})
    return made


def places(samples: Sequence[dict[str, Any]]) -> Counter[tuple[Any, ...]]:
    """Samples by what tells them apart; `id` does not, for repeats are numbered within a split."""
    return Counter((one["source"], one["line"], one["response"], one["label"]) for one in samples)


def splits_of(config: KTODataConfig, names: Sequence[str] = SPLITS, **how: Any) -> dict[str, list[dict[str, Any]]]:
    loader = KTODataLoader(config, **({"enable_cache": False} | how))
    found = {}
    for name in names:
        found[name] = list(loader.load_dataset(name))
        loader.report.check()
        assert loader.report.samples == len(found[name])
    return found


LOOSE: dict[str, Any] = {"balance_labels": False, "require_both_labels": False, "min_samples_per_label": 0}


@settings(deadline=None, max_examples=15)
@given(
    chance=st.integers(0, 10**6).map(random.Random),
    count=st.integers(30, 60),
    validation=st.sampled_from([0.1, 0.25, 0.4]),
    test=st.sampled_from([None, 0.1, 0.25]),
    seed=st.integers(0, 5),
)
def test_every_sample_is_in_one_split(
    tmp_path_factory: pytest.TempPathFactory,
    chance: random.Random,
    count: int,
    validation: float,
    test: float | None,
    seed: int,
) -> None:
    """Of one set of samples no two splits share a sample, a first user turn or a conversation, and none is lost."""
    path = written(tmp_path_factory.mktemp("talks") / "talks.jsonl", talks(count, chance))
    fractions = {"validation_fraction": validation} | ({"test_fraction": test} if test else {})
    names = SPLITS if test else SPLITS[:2]
    config = KTODataConfig(train_file=path, random_seed=seed, **LOOSE, **fractions)
    loader = KTODataLoader(config, enable_cache=False)
    every = places(list(KTODataLoader(KTODataConfig(train_file=path, **LOOSE), enable_cache=False).load_dataset()))
    found: Counter[tuple[Any, ...]] = Counter()
    own = np.full(every.total(), -1)
    for number, name in enumerate(names):
        view = loader._load_view(name)
        assert (own[view.chosen] == -1).all(), "in two splits"
        own[view.chosen] = number
        found += places(view.take(view.chosen).to_pylist())
        report = loader.report
        report.check()
        others = {reason: sum(labels.values()) for reason, labels in report.dropped_by()["split"].items()}
        assert name not in others
        assert sum(others.values()) + report.samples == every.total() == report.total.samples
    assert found == every
    assert leaks(own, view.samples.numbers("group"), view.samples.numbers("origin")) == 0


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """600 samples of 400 prompts, a third of them good."""
    rows = [
        {"prompt": f"q{n % 400}", "response": "x" * (1 + n % 9) + str(n), "label": int(n % 3 == 0)}
        for n in range(600)
    ]
    return written(tmp_path_factory.mktemp("many") / "many.jsonl", rows)


def config_of(path: Path, **options: Any) -> KTODataConfig:
    return KTODataConfig(train_file=path, **LOOSE | {"validation_fraction": 0.2, "test_fraction": 0.1} | options)


def test_splits_have_their_shares_of_both_labels(many: Path) -> None:
    found = splits_of(config_of(many))
    for name, share in zip(SPLITS, (0.7, 0.2, 0.1), strict=True):
        good = sum(one["label"] == "good" for one in found[name])
        assert abs(len(found[name]) - 600 * share) <= 3
        assert abs(good - 200 * share) <= 3


def test_the_same_sample_is_in_the_same_split_whatever_is_filtered(many: Path) -> None:
    """Otherwise another threshold would train on what was tested before."""
    whole = {name: places(own) for name, own in splits_of(config_of(many)).items()}
    for options in (*FILTERS, {"label_imbalance_tolerance": 0, "balance_labels": True}):
        for name, own in splits_of(config_of(many, **options)).items():
            assert places(own) <= whole[name]
    lost = sum(len(own) for own in splits_of(config_of(many, **FILTERS[1])).values())
    assert lost < 600


@pytest.mark.usefixtures("_all_are_kept")
def test_splits_are_the_same_every_time(many: Path, tmp_path: Path) -> None:
    """In another process's cache, from the cache, built by workers; and another seed gives others."""
    found = splits_of(config_of(many))
    for _ in range(2):
        assert splits_of(config_of(many), enable_cache=True, cache_dir=tmp_path, cache_compression=True) == found
    assert splits_of(config_of(many, preprocessing_num_workers=2)) == found
    assert splits_of(config_of(many, streaming=True, buffer_size=5)) == found
    others = splits_of(config_of(many, random_seed=1))
    assert all(places(others[name]) != places(found[name]) for name in SPLITS)


def test_the_order_of_records_moves_no_sample(many: Path, tmp_path: Path) -> None:
    rows = [json.loads(line) for line in many.read_text(encoding="utf-8").splitlines()]
    turned = written(tmp_path / "turned.jsonl", random.Random(1).sample(rows, len(rows)))
    one, other = splits_of(config_of(many)), splits_of(config_of(turned))
    for name in SPLITS:
        assert {own["response"] for own in one[name]} == {own["response"] for own in other[name]}


def test_only_training_is_balanced(many: Path) -> None:
    found = splits_of(config_of(many, balance_labels=True, label_imbalance_tolerance=0))
    goods = {name: sum(one["label"] == "good" for one in own) for name, own in found.items()}
    assert len(found["train"]) == 2 * goods["train"]
    assert all(len(found[name]) > 2 * goods[name] for name in SPLITS[1:])


def test_several_files_and_sources_are_divided_together(many: Path, tmp_path: Path) -> None:
    other = written(
        tmp_path / "other.jsonl", [{"prompt": f"o{n}", "response": "r", "label": n % 2} for n in range(100)]
    )
    sources = [{"path": str(many), "tags": ["t"]}, {"path": str(other)}]
    by_source = splits_of(KTODataConfig(sources=sources, validation_fraction=0.2, **LOOSE), SPLITS[:2])
    by_file = splits_of(KTODataConfig(train_file=[many, other], validation_fraction=0.2, **LOOSE), SPLITS[:2])
    for name in SPLITS[:2]:
        assert places(by_source[name]) == places(by_file[name])
        assert len({one["source"] for one in by_source[name]}) == 2
    assert {one["kept"].get("tags") for one in by_source["validation"]} == {'["t"]', None}


def test_records_in_memory_are_divided_too(many: Path) -> None:
    rows = [json.loads(line) for line in many.read_text(encoding="utf-8").splitlines()]
    loader = KTODataLoader(config_of(many), enable_cache=False)
    found = splits_of(config_of(many))
    for name in SPLITS:
        own = list(loader.load_records(rows, name))
        assert [one["line"] for one in own] == [one["line"] for one in found[name]]


def test_the_report_says_where_the_others_are(many: Path) -> None:
    loader = KTODataLoader(config_of(many), enable_cache=False)
    sizes = {name: len(loader.load_dataset(name)) for name in SPLITS}
    for name in SPLITS:
        told = loader.reports[name].dropped_by()
        assert set(told) == {"split"}
        assert {reason: sum(labels.values()) for reason, labels in told["split"].items()} == {
            other: size for other, size in sizes.items() if other != name
        }


def test_repeats_are_looked_for_within_a_split(tmp_path: Path) -> None:
    """The others are counted as the others, whatever else would become of them."""
    path = written(tmp_path / "talks.jsonl", talks(80, random.Random(1)))
    told, repeats = [], []
    for options in ({}, {"duplicates": "drop", "conflict": "drop"}):
        loader = KTODataLoader(config_of(path, **options), enable_cache=False)
        for name in SPLITS:
            loader.load_dataset(name)
        told.append([loader.reports[name].dropped_by()["split"] for name in SPLITS])
        repeats.append([sum(map(Counter.total, loader.reports[name].dropped.values())) for name in SPLITS])
    assert told[0] == told[1]
    assert repeats[0] != repeats[1]


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_has_files_of_its_own_or_a_share(split: str, many: Path) -> None:
    text = f"{split}_fraction takes a share of train_file, but {split} has files of its own"
    with pytest.raises(ConfigError, match=text):
        KTODataConfig(train_file=many, **{f"{split}_fraction": 0.1, f"{split}_file": many})
    with pytest.raises(ConfigError, match=text):
        KTODataConfig(train_file=many, sources=[{"path": "x", "split": split}], **{f"{split}_fraction": 0.1})
    other = "test" if split == "validation" else "validation"
    config = KTODataConfig(train_file=many, **{f"{split}_fraction": 0.1, f"{other}_file": many, **LOOSE})
    assert len(splits_of(config, [other])[other]) == 600, "the other has all of its file"


@settings(deadline=None, max_examples=200)
@given(share=st.floats(0, 1, exclude_min=True, exclude_max=True))
@pytest.mark.parametrize("more", [0.0, 1e-3, 0.4])
def test_something_is_left_to_train_on(share: float, more: float) -> None:
    rest = min(1 - share + more, 0.999)
    if not 0 < rest < 1 or share + rest < 1:
        return
    with pytest.raises(ConfigError, match="validation_fraction and test_fraction leave nothing to train on"):
        KTODataConfig(train_file="x", validation_fraction=share, test_fraction=rest)


@pytest.mark.parametrize("share", [0, 1, -0.1, 1.5, "half"])
@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_share_lies_between_nothing_and_all(split: str, share: Any) -> None:
    with pytest.raises(ConfigError, match=f"{split}_fraction"):
        KTODataConfig(train_file="x", **{f"{split}_fraction": share})


def test_a_split_without_a_share_or_a_file_is_told(many: Path) -> None:
    config = KTODataConfig(train_file=many, validation_fraction=0.1)
    with pytest.raises(ConfigError, match="test_file is not set, and no source names split 'test'"):
        KTODataLoader(config, enable_cache=False).load_dataset("test")
