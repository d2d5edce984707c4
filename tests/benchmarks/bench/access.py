"""Rows per second of a dataset: by index, and through torch's DataLoader."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Final

import datasets
from torch.utils.data import DataLoader, Dataset

from bench.corpus import FORMATS
from bench.measure import ratio, spread, turns
from bench.report import Goal, Section, Table, number, shown
from ktoformats import SAMPLE_KEYS, KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from bench.settings import Settings
    from ktoformats.train.dataset import KTODataset

    Rate = Callable[[int], float]

BATCH: Final = 32
OURS: Final = "ktoformats"


def dataset(settings: Settings, rows: int) -> KTODataset:
    """Our dataset as the second and every later call gives it: memory-mapped from the cache."""
    source = settings.corpora.file(FORMATS, "Arabic", rows)
    config = KTODataConfig(train_file=source, balance_labels=False, min_samples_per_label=1)
    for _ in range(2):
        made = KTODataLoader(config, cache_dir=settings.scratch / "kto-cache").load_dataset("train")
    return made


def hugging_face(settings: Settings, made: KTODataset) -> datasets.Dataset:
    """The same samples in a memory-mapped Arrow file, in the format that users get."""
    place = settings.scratch / f"hugging-face-{len(made)}"
    if not place.exists():
        samples = list(made)
        datasets.Dataset.from_dict({key: [one[key] for one in samples] for key in SAMPLE_KEYS}).save_to_disk(place)
    return datasets.load_from_disk(place)


class Free(Dataset[dict[str, Any]]):
    """Costs nothing: samples made beforehand, whatever is asked for. What is left is the loader's own work."""

    def __init__(self, made: KTODataset) -> None:
        self._samples = made.__getitems__(random.Random(7).choices(range(len(made)), k=BATCH))
        self._length = len(made)

    def __len__(self) -> int:
        return self._length

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self._samples[index % BATCH]

    def __getitems__(self, indices: list[int]) -> list[dict[str, Any]]:
        return self._samples[: len(indices)]


def one_by_one(made: Any, rows: int) -> Rate:
    """`dataset[i]` at random places."""

    def rate(seed: int) -> float:
        places = random.Random(seed).choices(range(len(made)), k=rows)
        start = time.perf_counter()
        for place in places:
            made[place]
        return rows / (time.perf_counter() - start)

    return rate


def by_batch(made: Any, rows: int) -> Rate:
    """`dataset.__getitems__`, 32 random places at a time: what a DataLoader calls."""

    def rate(seed: int) -> float:
        places = random.Random(seed).choices(range(len(made)), k=max(rows // BATCH, 1) * BATCH)
        start = time.perf_counter()
        for at in range(0, len(places), BATCH):
            made.__getitems__(places[at : at + BATCH])
        return len(places) / (time.perf_counter() - start)

    return rate


def through_loader(made: Any, rows: int, workers: int, collate: Callable[..., Any] | None) -> Rate:
    """A shuffling DataLoader, from its second batch on: starting workers is not counted."""

    def rate(_: int) -> float:
        batches = iter(DataLoader(made, batch_size=BATCH, shuffle=True, num_workers=workers, collate_fn=collate))
        next(batches)
        start, count = time.perf_counter(), 0
        for batch in batches:
            count += len(batch["id"])
            if count >= rows:
                break
        return count / (time.perf_counter() - start)

    return rate


def rates(works: Mapping[str, Rate], repeat: int) -> dict[str, list[float]]:
    """Rows per second of each, in turn; one run of each comes before and is not counted."""
    made: dict[str, list[float]] = {name: [] for name in works}
    for work in works.values():
        work(-1)
    for name in turns(works, repeat):
        made[name].append(works[name](len(made[name])))
    return made


def access(settings: Settings) -> Section:
    """By index, against Hugging Face."""
    made = dataset(settings, settings.access_rows)
    peer = hugging_face(settings, made)
    rows, goals = [], []
    works: dict[str, tuple[Callable[[Any, int], Rate], int]] = {
        "__getitem__": (one_by_one, 1),
        "__getitems__": (by_batch, 4),
    }
    for name, (work, factor) in works.items():
        many = max(settings.access_rows // 50 * factor, BATCH)
        found = rates({OURS: work(made, 4 * many), "datasets": work(peer, many)}, settings.repeat)
        faster = ratio(found[OURS], found["datasets"])
        rows.append((f"`{name}`", *(number(spread(found[who]).median) for who in found), shown(faster)))
        goals.append(Goal(f"`{name}` against `datasets`, rows per second", False, 5, faster, " times"))
    text = f"""
Rows per second at random places of {number(len(made))} samples, all columns of a sample ({len(SAMPLE_KEYS)} keys): our
dataset, memory-mapped from its cache, and a `datasets.Dataset` of the same columns, memory-mapped from `save_to_disk`, in
its default format. `__getitem__` takes one row, `__getitems__` {BATCH} at a time, as a DataLoader does."""
    headings = ("call", "ktoformats rows/s", "datasets rows/s", "times as fast")
    return Section("Access by index", text, [Table(headings, rows)], goals)


def loader(settings: Settings) -> Section:
    """Through a DataLoader, against a dataset that costs nothing."""
    made = dataset(settings, settings.access_rows)
    free, peer = Free(made), hugging_face(settings, made)
    rows, goals = [], []
    for workers in (0, 2):
        for name, collate in (("torch's default", None), ("`dataset.collate_fn`", made.collate_fn)):
            sides = {OURS: made, "free": free} | ({"datasets": peer} if collate else {})
            works = {
                who: through_loader(one, settings.access_rows // 4, workers, collate) for who, one in sides.items()
            }
            found = rates(works, settings.repeat)
            share = ratio(found[OURS], found["free"])
            cells = [number(spread(found[who]).median) if who in found else "" for who in (OURS, "free", "datasets")]
            rows.append((f"{workers} workers, {name}", *cells, shown(share)))
            if collate is None:
                what = f"DataLoader, {workers} workers: share of the rate of a dataset that costs nothing"
                goals.append(Goal(what, False, 0.5, share))
    text = f"""
Rows per second through `DataLoader(batch_size={BATCH}, shuffle=True)`, from the second batch on. `free` is a dataset that
hands out samples made beforehand, so its rate is the loader's own overhead: collating, and with workers the way between
processes. A share of 0.5 means that our dataset costs as much as the loader itself; 1 means that it costs nothing.
`datasets` is shown where its rows collate: torch's default refuses conversations of different lengths."""
    headings = ("loader", "ktoformats rows/s", "free rows/s", "datasets rows/s", "ktoformats / free")
    return Section("Through a DataLoader", text, [Table(headings, rows)], goals)
