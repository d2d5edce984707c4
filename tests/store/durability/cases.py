"""What may change between two loads, each as two jobs: after some the samples have to be built anew, after others not.

A case is a generator: what it does between its two jobs happens between the two loads.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Case = Callable[[Any], Iterator[dict[str, Any]]]

PLUGIN: Final = '''\
import numpy as np
from ktoformats import Quality, hookimpl
class Acme(Quality):
    """Scores by a number."""
    factor: float = 0.25
    def score(self, batch):
        return np.full(len(batch), self.factor)
@hookimpl
def ktoformats_plugins():
    return [Acme]
'''
LOADER: Final = """\
from ktoformats import KTODataLoader
class Loader(KTODataLoader):
    cache_salt = "one"
    def process_sample(self, sample):
        made = super().process_sample(sample)
        for one in made if isinstance(made, list) else [made]:
            one["response"] += " and one"
        return made
"""
JOINED: Final[dict[str, Any]] = {
    "join": {"file": "votes.jsonl", "on": {"here": "id", "there": "id"}, "as": "vote"},
    "prompt": "q",
    "candidates": {"answer": "a"},
    "verdict": {"label": "vote.ok", "good": [1], "bad": [0]},
}
SEVEN: Final = {"low": 1, "high": 7, "good_from": 5, "bad_to": 3}
SCALED: Final[dict[str, Any]] = {"scales": {"rating": SEVEN}}
CONFIG: Final = """\
data:
  train_file: SOURCE
  keep: [prompt]
  on_error: skip
  min_samples_per_label: 0
"""
SAME_CONFIG: Final = """\
# the same, told in another order
data:
  min_samples_per_label: 0   # none
  on_error: "skip"

  keep:
    - prompt
  train_file: 'SOURCE'
"""


def write(path: Path, records: list[dict[str, Any]]) -> Path:
    """Records as lines."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records))
    return path


def rated(house: Any) -> Path:
    """Answers with a number from 1 to 7 and an Arabic grade."""
    return write(
        house.folder / "rated.jsonl",
        [
            {
                "prompt": f"q{number}",
                "response": f"a{number} " + "word " * (number % 9),
                "rating": number % 7 + 1,
                "other": f"b{number}",
            }
            for number in range(120)
        ],
    )


def judged(house: Any) -> Path:
    """Answers with an Arabic word."""
    words = ("ممتاز", "ضعيف", "جيد", "مرفوض")
    records = [{"prompt": f"q{n}", "response": f"a{n}", "label": words[n % 4]} for n in range(120)]
    return write(house.folder / "judged.jsonl", records)


def ranked(house: Any) -> Path:
    """Four ranked answers each."""
    answers = [[f"{letter}{number}" for letter in "abcd"] for number in range(60)]
    records = [{"prompt": f"q{n}", "responses": own, "rankings": [1, 2, 3, 4]} for n, own in enumerate(answers)]
    return write(house.folder / "ranked.jsonl", records)


def with_options(
    make: Callable[[Any], Path], before: dict[str, Any], after: dict[str, Any], **loader_options: Any
) -> Case:
    """Only the configuration changes."""

    def case(house: Any) -> Iterator[dict[str, Any]]:
        source = make(house)
        yield {"sources": [source], "options": before}
        yield {"sources": [source], "options": after, "loader_options": loader_options}

    return case


def pairs(house: Any) -> Path:
    """The usual file."""
    source: Path = house.source(records=180)
    return source


def edited(change: Callable[[Path], None]) -> Case:
    """Only the source changes."""

    def case(house: Any) -> Iterator[dict[str, Any]]:
        source = pairs(house)
        time.sleep(2.2)  # a younger source has no note that could be believed
        yield {"sources": [source]}
        change(source)
        yield {"sources": [source]}

    return case


def _one_byte(path: Path) -> None:
    info = path.stat()
    data = path.read_bytes()
    with path.open("r+b") as stream:
        stream.seek(data.index(b"good 000007") + 5)
        stream.write(b"9")
    os.utime(path, ns=(info.st_atime_ns, info.st_mtime_ns))
    now = path.stat()
    assert (now.st_size, now.st_mtime_ns, now.st_ino) == (info.st_size, info.st_mtime_ns, info.st_ino)


def _replaced(path: Path) -> None:
    """Another file with the same size and time takes its name."""
    info = path.stat()
    other = path.with_suffix(".new")
    other.write_bytes(path.read_bytes().replace(b"good 000007", b"good 900007"))
    os.utime(other, ns=(info.st_atime_ns, info.st_mtime_ns))
    other.replace(path)


def _appended(path: Path) -> None:
    with path.open("a") as stream:
        stream.write('{"prompt": "new", "chosen": "a", "rejected": "b"}\n')


def _reordered(path: Path) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[1:], lines[0]]))


def _end_changed(path: Path) -> None:
    """The last line has no end any more."""
    path.write_bytes(path.read_bytes().rstrip(b"\n"))


def install(house: Any, version: str, source: str = PLUGIN) -> str:
    """A plugin of somebody else, as pip leaves it; what was there is gone."""
    site = house.folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    info = site / f"acme-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme\nVersion: {version}\n")
    (info / "entry_points.txt").write_text("[ktoformats.quality]\nacme = acme\n")
    (site / "acme.py").write_text(source)
    return str(site)


def plugin(version: str, source: str = PLUGIN, options: dict[str, Any] | None = None) -> Case:
    """Somebody else's plugin changes."""

    def case(house: Any) -> Iterator[dict[str, Any]]:
        found = pairs(house)
        yield {"sources": [found], "options": {"quality": "acme"}, "site": [install(house, "1.0")]}
        again = {"quality": {"acme": options} if options else "acme"}
        yield {"sources": [found], "options": again, "site": [install(house, version, source)]}

    return case


def overridden(changed: str) -> Case:
    """A loader with methods of its own changes."""

    def case(house: Any) -> Iterator[dict[str, Any]]:
        site = house.folder / "site"
        site.mkdir()
        (site / "ours.py").write_text(LOADER)
        job = {"sources": [pairs(house)], "loader": "ours", "site": [str(site)]}
        yield dict(job)
        (site / "ours.py").write_text(changed)
        shutil.rmtree(site / "__pycache__", ignore_errors=True)
        yield dict(job)

    return case


def joined(house: Any) -> Iterator[dict[str, Any]]:
    """The file that is joined changes."""
    rows = write(house.folder / "rows.jsonl", [{"id": n, "q": f"q{n}", "a": f"a{n}"} for n in range(80)])
    votes = [{"id": n, "ok": n % 2} for n in range(80)]
    path = write(house.folder / "votes.jsonl", votes)
    mapping = JOINED | {"join": JOINED["join"] | {"file": str(path)}}
    job = {"sources": [rows], "options": {"formats": [{"mapping": mapping}]}}
    yield dict(job)
    write(path, [votes[0] | {"ok": 1}, *votes[1:]])
    yield dict(job)


def touched(house: Any) -> Iterator[dict[str, Any]]:
    """Only the times of the source change."""
    source = pairs(house)
    yield {"sources": [source]}
    source.touch()
    yield {"sources": [source]}


def copied(house: Any) -> Iterator[dict[str, Any]]:
    """A copy under the same name."""
    source = pairs(house)
    yield {"sources": [source]}
    data = source.read_bytes()
    source.unlink()
    source.write_bytes(data)
    yield {"sources": [source]}


def moved(house: Any) -> Iterator[dict[str, Any]]:
    """The source moves to another folder and another name."""
    source = pairs(house)
    yield {"sources": [source]}
    place = house.folder / "else where" / "بيانات.jsonl"
    place.parent.mkdir()
    yield {"sources": [source.rename(place)]}


def turned(house: Any) -> Iterator[dict[str, Any]]:
    """Sources in another order."""
    sources = [house.source(f"{seed}.jsonl", records=120, seed=seed) for seed in range(3)]
    yield {"sources": sources}
    yield {"sources": sources[::-1]}


def relative(house: Any) -> Iterator[dict[str, Any]]:
    """The same file, named from where one stands."""
    source = pairs(house)
    yield {"sources": [source]}
    yield {"sources": [source.name], "folder": str(house.folder)}


def retold(house: Any) -> Iterator[dict[str, Any]]:
    """The same configuration with comments, and its keys in another order."""
    source = pairs(house)
    path = house.folder / "config.yaml"
    path.write_text(CONFIG.replace("SOURCE", str(source)))
    yield {"yaml": str(path), "sources": [source]}
    path.write_text(SAME_CONFIG.replace("SOURCE", str(source)))
    yield {"yaml": str(path), "sources": [source]}


def quarantined(house: Any) -> Iterator[dict[str, Any]]:
    """Rejected records go to a file."""
    source = pairs(house)
    yield {"sources": [source]}
    yield {"sources": [source], "options": {"rejects_file": str(house.folder / "rejects.jsonl")}}


def as_validation(house: Any) -> Iterator[dict[str, Any]]:
    """The file is another split."""
    source = pairs(house)
    yield {"sources": [source]}
    yield {"options": {"validation_file": str(source), "train_file": None}, "split": "validation"}


MISSES: Final[dict[str, Case]] = {
    "a byte, size and time kept": edited(_one_byte),
    "another file, size and time kept": edited(_replaced),
    "a line more": edited(_appended),
    "lines in another order": edited(_reordered),
    "no newline at the end": edited(_end_changed),
    "a column's name": with_options(rated, SCALED, SCALED | {"response_column": "other"}),
    "a scale": with_options(rated, SCALED, {"scales": {"rating": SEVEN | {"good_from": 6, "bad_to": 5}}}),
    "an option of a mapping": with_options(
        rated,
        *(
            {
                "formats": [
                    {
                        "mapping": {
                            "prompt": "prompt",
                            "candidates": {"answer": "response"},
                            "verdict": {"label": "rating", "good": good, "bad": [1, 2]},
                        }
                    }
                ]
            }
            for good in ([3, 4, 5, 6, 7], [5, 6, 7])
        ),
    ),
    "an option of a plugin": plugin("1.0", options={"factor": 0.75}),
    "the version of a plugin": plugin("1.1"),
    "the code of a plugin, not its version": plugin("1.0", PLUGIN.replace("self.factor", "self.factor / 2")),
    "alpha": with_options(rated, SCALED, SCALED | {"kto_specific": {"alpha": 0.5}}),
    "lambda": with_options(rated, SCALED, SCALED | {"kto_specific": {"lambda_param": 1.0}}),
    "kept columns": with_options(rated, SCALED, SCALED | {"keep": ["other"]}),
    "what scores quality": with_options(rated, SCALED, SCALED | {"quality": "specification"}),
    "the salt of a loader": overridden(LOADER.replace('"one"', '"two"').replace("and one", "and two")),
    "the joined file": joined,
    "how ranks are read": with_options(ranked, {}, {"ranking_strategy": "halves"}),
    "Arabic words": with_options(judged, {}, {"arabic_label_mapping": {"ممتاز": "bad", "ضعيف": "good"}}),
    "which side of a pair": with_options(pairs, {}, {"pairwise_sampling_strategy": "random"}),
    "the seed of sides": with_options(
        pairs,
        *({"pairwise_sampling_strategy": "random", "random_seed": seed} for seed in (1, 2)),
    ),
    "empty answers": with_options(rated, SCALED, SCALED | {"min_response_length": 0}),
    "compression": with_options(rated, {}, {}, cache_compression=True),
}
HITS: Final[dict[str, Case]] = {
    "touched": touched,
    "copied": copied,
    "moved and renamed": moved,
    "sources in another order": turned,
    "named from where one stands": relative,
    "comments and order in YAML": retold,
    "as another split": as_validation,
    "two workers": with_options(pairs, {}, {"preprocessing_num_workers": 2}),
    "one worker": with_options(pairs, {"preprocessing_num_workers": 2}, {}),
    "a seed": with_options(pairs, {}, {"random_seed": 7}),
    "balance": with_options(rated, SCALED, SCALED | {"balance_labels": False}),
    "a tolerance": with_options(rated, SCALED, SCALED | {"label_imbalance_tolerance": 0.5}),
    "a length": with_options(rated, SCALED, SCALED | {"max_response_length": 20}),
    "a quality": with_options(rated, SCALED, SCALED | {"min_response_quality": 0.1}),
    "no filters": with_options(rated, SCALED, SCALED | {"filters": []}),
    "fractions": with_options(pairs, {}, {"validation_fraction": 0.2, "test_fraction": 0.1}),
    "on_error": with_options(pairs, {}, {"on_error": "quarantine"}),
    "a budget": with_options(pairs, {}, {"max_rejected": 500, "max_rejected_share": 0.9}),
    "a file of rejects": quarantined,
    "verification": with_options(pairs, {}, {}, cache_verify="always"),
}
FEW_MISSES: Final = (
    "a byte, size and time kept",
    "another file, size and time kept",
    "a scale",
    "the code of a plugin, not its version",
    "the version of a plugin",
    "the salt of a loader",
    "the joined file",
)
FEW_HITS: Final = (
    "touched",
    "moved and renamed",
    "sources in another order",
    "one worker",
    "named from where one stands",
)
