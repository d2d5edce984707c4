"""Every line and every sample is accounted for, and what is kept never depends on order, cuts or hash seeds."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from ktoformats import KTODataConfig, KTODataError, KTODataLoader, KTOLabelError, Registry, Report
from ktoformats.convert.assemble import assemble
from ktoformats.convert.ledger import Ledger
from ktoformats.read.lines import blocks
from ktoformats.store.build import Clerk, build
from ktoformats.store.sink import Sink

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterable, Sequence

pytestmark = pytest.mark.timeout(900)  # what is found has to be shrunk, by whole builds

# few texts, so that repeats, contradictions and equal sides come up
TEXTS: Final = st.sampled_from(
    ["q", "a", "b", "جواب", "سؤال ثانٍ", 'say "x"', "<think>x</think>a", "a much longer text"]
)
VERDICTS: Final = st.sampled_from(
    [True, False, 1, 0, 0.7, "good", "bad", "ممتاز", "ضعيف", "yes", "4/5", None, "average"]
)
RATINGS: Final = st.sampled_from([1, 2, 3, 4, 5, "٤ من ٥", "★☆☆☆☆", None])
HOSTILE_CELLS: Final = st.sampled_from(
    [None, "", "maybe", -1, 2, 77, [], {}, True, [1], {"a": 1}, "غير جيد", "\u200b", 0.1, ["a"], "\ud83d\ude00"]
)
HOSTILE_LINES: Final = st.sampled_from(
    [
        *(
            b"{}",
            b"null",
            b"1",
            b'"good"',
            b"[1, 2]",
            b"{'a': 1}",
            b'{"a": NaN}',
            b'{"a": 1e999}',
            b'{"a": 1}{"b": 2}',
        ),
        *(b'{"label": 1, "label": 0}', b'{"prompt": "\\ud800"}', b"[" * 500, b"[" * 40 + b"]" * 40, b'{"a": "\x00"}'),
        *(
            b'{"prompt": "q", "response": "a", "label": 1',
            b'{"id": 18446744073709551616}',
            b"\xff\xfe",
            b"\xed\xa0\x80",
        ),
        *(b"\xef\xbb\xbf", b"\x1f\x8b\x08", b"// comment", b"NaN", "﻿{}".encode(), b"\r", b"PK\x03\x04"),
    ]
)
BLANK: Final = st.sampled_from([b"", b" ", b"\t \t", b"\r", b"  \r", b"\x0b\x0c"])
GARBAGE: Final = st.binary(max_size=30).map(lambda data: data.translate(None, b"\n\x00"))
BOM: Final = b"\xef\xbb\xbf"
ANCHOR: Final = {"prompt": "q", "response": "a", "label": 1}

IDENTITY: Final = (
    *("id", "prompt", "response", "label", "system", "conversation", "tools", "tool_calls", "reasoning"),
    *("method", "response_quality", "utility_score", "weight", "group"),
)
"""What a sample is; `format_type`, `preference_type`, `source` and `line` say where it came from."""


def turns(draw: st.DrawFn) -> list[dict[str, Any]]:
    asked = draw(st.integers(1, 3))
    return [{"role": role, "content": draw(TEXTS)} for _ in range(asked) for role in ("user", "assistant")]


@st.composite
def good_records(draw: st.DrawFn) -> dict[str, Any]:
    """A well-formed record of one of the five formats; its verdict may be null or the middle."""
    layout = draw(st.sampled_from(["binary", "pairwise", "ranking", "answer", "dialogue", "turns", "arabic-rating"]))
    if layout == "pairwise":
        return {"prompt": draw(TEXTS), "chosen": draw(TEXTS), "rejected": draw(TEXTS)}
    if layout == "ranking":
        order = draw(st.integers(1, 4).flatmap(lambda count: st.permutations(range(1, count + 1))))
        return {"prompt": draw(TEXTS), "responses": [draw(TEXTS) for _ in order], "rankings": order}
    if layout == "arabic-rating":
        grade = draw(st.sampled_from(["ممتاز", "جيد جداً", "مقبول", "راسب", 4, 3, 1, "★★★★★"]))
        return {"prompt": draw(TEXTS), "response": draw(TEXTS), "تقييم": grade}
    if layout == "turns":
        asked = turns(draw)
        return {
            "messages": [
                turn | ({"label": draw(VERDICTS)} if number % 2 else {}) for number, turn in enumerate(asked)
            ]
        }
    return draw(judged_records(layout))


@st.composite
def judged_records(draw: st.DrawFn, layout: str) -> dict[str, Any]:
    """A record with one verdict about one answer."""
    column = draw(st.sampled_from(["label", "score", "preference", "rating"]))
    verdict = {column: draw(RATINGS if column == "rating" else VERDICTS)}
    if layout == "answer":
        return {"conversation": turns(draw)[:-1], "response": draw(TEXTS), **verdict}
    if layout == "dialogue":
        return {"messages": turns(draw), **verdict}
    return {"prompt": draw(TEXTS), "response": draw(TEXTS), **verdict}


def as_line(record: dict[str, Any]) -> bytes:
    return json.dumps(record, ensure_ascii=False).encode(errors="surrogatepass")


@st.composite
def damaged_lines(draw: st.DrawFn, records: st.SearchStrategy[dict[str, Any]] | None = None) -> bytes:
    """A good record with a field gone, a hostile cell, a hostile item, a byte changed, or its end cut off."""
    record = dict(draw(good_records() if records is None else records))
    field = draw(st.sampled_from(sorted(record)))
    how = draw(st.sampled_from(["field", "cell", "item", "byte", "cut", "twice"]))
    if how == "field":
        del record[field]
    elif how == "cell":
        record[field] = draw(HOSTILE_CELLS)
    elif how == "item" and isinstance(record[field], list) and record[field]:
        items = list(record[field])
        items[draw(st.integers(0, len(items) - 1))] = draw(HOSTILE_CELLS)
        record[field] = items
    line = as_line(record)
    if how == "byte":
        at = draw(st.integers(0, len(line) - 1))
        line = line[:at] + draw(GARBAGE)[:1] + line[at + 1 :]
    elif how == "cut":
        line = line[: draw(st.integers(1, len(line)))]
    elif how == "twice":
        line += line
    return line


GOOD_LINES: Final = good_records().map(as_line)
PACK: Final[dict[str, Callable[[bytes], bytes]]] = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, 1),
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}


def dirty_lines(records: st.SearchStrategy[dict[str, Any]]) -> st.SearchStrategy[list[bytes]]:
    good = records.map(as_line)
    return st.lists(st.one_of(good, good, good, damaged_lines(records), HOSTILE_LINES, BLANK, GARBAGE), max_size=14)


class Dirty(NamedTuple):
    """A dirty file: a good line first, so that no reader takes the whole for something else."""

    lines: list[bytes]
    ended: bool = True
    packed: str = "plain"

    @property
    def data(self) -> bytes:
        return PACK[self.packed](b"\n".join(self.lines) + b"\n" * self.ended)

    @property
    def counted(self) -> tuple[int, int]:
        """Lines and blank lines, counted anew."""
        lines = self.lines[:-1] if not self.ended and not self.lines[-1] else self.lines
        bare = [line.removesuffix(b"\r").removeprefix(BOM) for line in lines]
        return len(lines), sum(not line.strip(b" \t\r\x0b\x0c") for line in bare)


def dirty_files(records: st.SearchStrategy[dict[str, Any]], anchor: dict[str, Any]) -> st.SearchStrategy[list[Dirty]]:
    lines = dirty_lines(records).map(lambda lines: [as_line(anchor), *lines])
    return st.lists(st.builds(Dirty, lines, st.booleans(), st.sampled_from(sorted(PACK))), min_size=1, max_size=3)


FILES: Final = dirty_files(good_records(), ANCHOR)
OPTIONS: Final = st.fixed_dictionaries(
    {},
    optional={
        "pairwise_sampling_strategy": st.sampled_from(["balanced", "random"]),
        "ranking_strategy": st.sampled_from(["best_rest", "halves", "threshold"]),
        "ranking_ties": st.just("allow"),
        "verdict_conflict": st.just("first"),
        "reasoning": st.sampled_from(["strip", "reject"]),
        "convert_pairwise_to_binary": st.sampled_from([True, True, False]),
        "max_response_length": st.just(10),
        "min_response_length": st.sampled_from([0, 2]),
        "random_seed": st.integers(0, 3),
    },
)
ALLOWED: Final = {"min_samples_per_label": 0, "require_both_labels": False, "max_rejected": 10**6}
CI: Final = settings(
    max_examples=100,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[phase for phase in Phase if phase is not Phase.explain],  # it takes minutes of whole builds
)
CAMPAIGN: Final = settings(CI, max_examples=5000)
WANTED_FILES: Final = 10_000


def write(folder: str, files: Iterable[Sequence[bytes] | Dirty]) -> list[Path]:
    paths = []
    for number, lines in enumerate(files):
        data = lines.data if isinstance(lines, Dirty) else b"".join(line + b"\n" for line in lines)
        paths.append(Path(folder, f"{number}.jsonl"))
        paths[-1].write_bytes(data)
    return paths


def make_loader(paths: Sequence[Path], registry: Registry, **options: Any) -> KTODataLoader:
    values = {**ALLOWED, "balance_labels": False, **options}
    return KTODataLoader(KTODataConfig(train_file=list(paths), **values), enable_cache=False, registry=registry)


def check_law(
    files: list[Dirty],
    options: dict[str, Any],
    registry: Registry,
    *,
    balance: bool,
    anchor: dict[str, Any] | None = None,
) -> None:
    """`lines == blank + used + without verdict + rejected` and `samples == fan-out - dropped`, by our own count."""
    with tempfile.TemporaryDirectory() as folder:
        paths, quarantine = write(folder, files), Path(folder, "rejects")
        # a second anchor, long enough for every option, so that something is left
        extra = Path(folder, "extra.jsonl")
        extra.write_bytes(as_line(anchor or ANCHOR | {"response": "answer"}) + b"\n")
        loader = make_loader([*paths, extra], registry, balance_labels=balance, rejects_file=quarantine, **options)
        samples: list[dict[str, Any]] = list(loader.load_dataset("train"))
        quarantined = [json.loads(line) for line in quarantine.read_bytes().splitlines()]
    report = loader.report
    report.check()
    for path, file in zip(paths, files, strict=True):
        account = report.ledger.files[str(path)]
        assert (account.lines, account.blank) == file.counted
        lost = account.without_verdict.total() + account.rejected.total()
        assert account.lines == account.blank + account.used + lost
        own = [sample for sample in samples if sample["source"] == str(path)]
        assert len(own) == account.samples - report.dropped_total(str(path))
        assert account.samples >= account.used == account.formats.total()
        rejected = [one["line"] for one in quarantined if one["source"] == str(path)]
        assert len(rejected) == len(set(rejected)) == account.rejected.total()
        assert not {sample["line"] for sample in own} & set(rejected)
        assert all(file.lines[line - 1].strip() for line in [*rejected, *(sample["line"] for sample in own)])
    total = report.total
    assert total.lines == total.blank + total.used + total.without_verdict.total() + total.rejected.total()
    assert Counter(one["reason"] for one in quarantined) == total.rejected
    dropped = sum(
        count for reasons in report.dropped_by().values() for labels in reasons.values() for count in labels.values()
    )
    assert len(samples) == total.samples - dropped == report.samples
    assert Counter(sample["label"] for sample in samples) == +Counter(report.kept)


@given(FILES, OPTIONS, st.booleans())
@CI
def test_the_law_holds_for_dirty_files(
    registry: Registry,
    files: list[Dirty],
    options: dict[str, Any],
    balance: bool,  # noqa: FBT001 - hypothesis passes it
) -> None:
    check_law(files, options, registry, balance=balance)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_the_law_holds_for_ten_thousand_dirty_files(registry: Registry) -> None:
    run = Counter[str]()

    @given(FILES, OPTIONS, st.booleans())
    @CAMPAIGN
    def holds(files: list[Dirty], options: dict[str, Any], balance: bool) -> None:  # noqa: FBT001 - hypothesis passes it
        check_law(files, options, registry, balance=balance)
        run.update(file.packed for file in files)

    while run.total() < WANTED_FILES:  # a campaign of 5,000 draws is as good as another, and none is repeated
        holds()
    print(dict(run))  # noqa: T201 - the figures of a campaign are its result


THUMBS: Final = st.sampled_from(["up", "down", None, "up", "down"])
SCORES: Final = st.sampled_from([0, 1, 2.5, "3", -1, None])
MAPPED: Final[dict[str, tuple[dict[str, Any], dict[str, Any], st.SearchStrategy[dict[str, Any]]]]] = {
    "a label": (
        {
            "prompt": "q",
            "candidates": {"c": "a.text"},
            "verdict": {"label": "thumb", "good": ["up"], "bad": ["down"]},
        },
        {"q": "q", "a": {"text": "answer"}, "thumb": "up"},
        st.fixed_dictionaries({"q": TEXTS, "a": st.fixed_dictionaries({"text": TEXTS}), "thumb": THUMBS}),
    ),
    "one answer preferred": (
        {
            "prompt": "q",
            "candidates": {"w": {"text": "better", "many": True}, "l": "worse"},
            "verdict": {"good": "w", "bad": "l"},
        },
        {"q": "q", "better": ["answer"], "worse": "other"},
        st.fixed_dictionaries({"q": TEXTS, "better": TEXTS | st.lists(TEXTS, max_size=3), "worse": TEXTS}),
    ),
    "scores beside the answers": (
        {
            "prompt": "q",
            "candidates": {"each": "answers", "text": "."},
            "verdict": {"rank": "$.scores[#]", "best": "high"},
        },
        {"q": "q", "answers": ["answer", "other"], "scores": [1, 2]},
        st.fixed_dictionaries(
            {"q": TEXTS, "answers": st.lists(TEXTS, max_size=4), "scores": st.lists(SCORES, max_size=4)}
        ),
    ),
    "every turn judged": (
        {
            "candidates": {"each_turn": "messages"},
            "verdict": {"label": "thumb", "good": ["up"], "bad": ["down"]},
        },
        {"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "answer", "thumb": "up"}]},
        st.fixed_dictionaries(
            {
                "messages": st.lists(st.tuples(TEXTS, TEXTS, THUMBS), min_size=1, max_size=3).map(
                    lambda pairs: [
                        turn
                        for asked, said, thumb in pairs
                        for turn in (
                            {"role": "user", "content": asked},
                            {"role": "assistant", "content": said, "thumb": thumb},
                        )
                    ]
                )
            }
        ),
    ),
}
"""Layouts for the mapping: the mapping, a record that gives a sample whatever the options, and records like it."""
mapped_layouts = pytest.mark.parametrize("layout", sorted(MAPPED))


def check_mapped(layout: str, registry: Registry, run: Counter[str], examples: settings) -> None:
    mapping, anchor, records = MAPPED[layout]

    @given(dirty_files(records, anchor), OPTIONS, st.booleans())
    @examples
    def holds(files: list[Dirty], options: dict[str, Any], balance: bool) -> None:  # noqa: FBT001 - hypothesis passes it
        options = {**options, "formats": [{"mapping": mapping}]}
        options.pop("convert_pairwise_to_binary", None)  # it may refuse everything
        check_law(files, options, registry, balance=balance, anchor=anchor)
        run.update(file.packed for file in files)

    holds()


@mapped_layouts
def test_the_law_holds_for_mapped_layouts(layout: str, registry: Registry) -> None:
    check_mapped(layout, registry, Counter(), settings(CI, max_examples=30))


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@mapped_layouts
def test_the_law_holds_for_thousands_of_mapped_files(layout: str, registry: Registry) -> None:
    run = Counter[str]()
    while run.total() < WANTED_FILES // len(MAPPED):
        check_mapped(layout, registry, run, settings(CI, max_examples=1000))
    print(layout, dict(run))  # noqa: T201 - the figures of a campaign are its result


@given(FILES)
@CI
def test_the_law_holds_when_a_build_stops(registry: Registry, files: list[Dirty]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        paths = write(folder, [*files, [b"no json"]])
        loader = make_loader(paths, registry, on_error="fail")
        with pytest.raises((KTODataError, KTOLabelError), match=r"\.jsonl:[0-9]+: ") as caught:
            loader.load_dataset("train")
    error: Any = caught.value
    report = error.report
    assert loader.report is report
    [reject] = report.rejects
    for path, file in zip(paths, files, strict=False):
        account = report.ledger.files.get(str(path))
        if account is None:  # later files were never opened
            assert str(path) > reject.source
        elif str(path) == reject.source:
            assert reject.line <= account.lines <= file.counted[0]
            assert account.balanced
        else:
            assert (account.lines, account.rejected.total()) == (file.counted[0], 0)
            assert account.balanced


def identities(samples: Iterable[dict[str, Any]]) -> list[str]:
    """The samples in an order of their own, each as what makes it itself."""
    return sorted(
        json.dumps([sample[key] for key in IDENTITY], ensure_ascii=False, sort_keys=True) for sample in samples
    )


def cut(lines: list[bytes], good: list[int], chance: random.Random) -> list[list[bytes]]:
    """The lines in another order and in one to three files, each of which begins with a good line."""
    firsts = chance.sample(good, chance.randint(1, min(3, len(good))))
    files = [[lines[number]] for number in firsts]
    rest = [line for number, line in enumerate(lines) if number not in firsts]
    chance.shuffle(rest)
    for line in rest:
        chance.choice(files).append(line)
    return files


FEW: Final = st.sampled_from(["a", "b", "a much longer text"])
REPEATING: Final = st.one_of(
    st.fixed_dictionaries({"prompt": st.just("q"), "chosen": FEW, "rejected": FEW}),
    st.fixed_dictionaries({"prompt": st.just("q"), "response": FEW, "label": st.booleans()}),
).map(as_line)
"""Records of two layouts that often come to the same answer."""
SOUP: Final = st.lists(
    st.one_of(
        *[st.tuples(lines, st.just(value=True)) for lines in (GOOD_LINES, GOOD_LINES, REPEATING, REPEATING)],
        st.tuples(st.one_of(damaged_lines(), HOSTILE_LINES, GARBAGE), st.just(value=False)),
    ),
    min_size=4,
    max_size=16,
)


def check_order(
    soup: list[tuple[bytes, bool]],
    options: dict[str, Any],
    chance: random.Random,
    registry: Registry,
    *,
    balance: bool,
) -> None:
    """The same samples are kept, whatever the order of lines and files."""
    lines = [as_line(ANCHOR | {"response": "answer"}), *(line for line, _ in soup)]
    good = [0, *(number for number, (_, is_good) in enumerate(soup, start=1) if is_good)]
    kept = []
    for files in ([lines], cut(lines, good, chance), cut(lines, good, chance)):
        with tempfile.TemporaryDirectory() as folder:
            paths = write(folder, files)
            chance.shuffle(paths)
            loader = make_loader(paths, registry, balance_labels=balance, label_imbalance_tolerance=0.0, **options)
            kept.append((identities(loader.load_dataset("train")), loader.report.kept))
    assert kept[1] == kept[0]
    assert kept[2] == kept[0]


@given(SOUP, OPTIONS, st.randoms(use_true_random=False), st.booleans())
@CI
def test_the_kept_set_does_not_depend_on_order(
    registry: Registry,
    soup: list[tuple[bytes, bool]],
    options: dict[str, Any],
    chance: random.Random,
    balance: bool,  # noqa: FBT001 - hypothesis passes it
) -> None:
    check_order(soup, options, chance, registry, balance=balance)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@given(SOUP, OPTIONS, st.randoms(use_true_random=False), st.booleans())
@CAMPAIGN
def test_the_kept_set_does_not_depend_on_order_campaign(
    registry: Registry,
    soup: list[tuple[bytes, bool]],
    options: dict[str, Any],
    chance: random.Random,
    balance: bool,  # noqa: FBT001 - hypothesis passes it
) -> None:
    check_order(soup, options, chance, registry, balance=balance)


@pytest.mark.parametrize("balance", [False, True], ids=["not balanced", "balanced"])
def test_a_repeat_that_is_dropped_does_not_rename_the_other(
    registry: Registry, tmp_path: Path, *, balance: bool
) -> None:
    # the pair loses its long side, and with it its good one: the same good answer in `single` is what is left,
    # whether the pair stood before it or behind it
    pairs: list[dict[str, Any]] = [
        {"prompt": f"q{number}", "chosen": "a", "rejected": "far too long"} for number in range(40)
    ]
    singles = [{"prompt": f"q{number}", "response": "a", "label": 1} for number in range(40)]
    bad = [{"prompt": f"q{number}", "response": "b", "label": 0} for number in range(20)]
    options = {"pairwise_sampling_strategy": "balanced", "max_response_length": 5, "label_imbalance_tolerance": 0.0}
    found = []
    for records in ([*pairs, *singles, *bad], [*singles, *pairs, *bad]):
        [path] = write(str(tmp_path), [[as_line(record) for record in records]])
        loader = make_loader([path], registry, balance_labels=balance, **options)
        found.append(identities(loader.load_dataset("train")))
    assert len(found[0]) == (40 if balance else 60)
    assert found[0] == found[1]


class Built(NamedTuple):
    """All that a build gives."""

    samples: list[dict[str, Any]]
    accounts: dict[str, Any]
    rejects: list[tuple[Any, ...]]


def build_in_blocks(path: Path, block_bytes: int, options: dict[str, Any], registry: Registry) -> Built:
    config = KTODataConfig(train_file=path, **ALLOWED, **options)
    report = Report("train", Ledger())
    source = [(str(path), blocks(path, block_bytes=block_bytes))]
    part = build(source, assemble(config, registry), config, Sink(), Clerk(report, config))
    return Built(part.whole().to_pylist(), report.ledger.to_json(), [tuple(reject) for reject in report.rejects])


def check_blocks(file: Dirty, options: dict[str, Any], block_bytes: int, registry: Registry) -> None:
    """Blocks of any size give the same samples, accounts and rejects, in the same order."""
    with tempfile.TemporaryDirectory() as folder:
        [path] = write(folder, [file])
        whole = build_in_blocks(path, 1 << 20, options, registry)
        assert build_in_blocks(path, block_bytes, options, registry) == whole


@given(FILES.map(lambda files: files[0]), OPTIONS, st.integers(1, 400))
@CI
def test_the_size_of_blocks_changes_nothing(
    registry: Registry, file: Dirty, options: dict[str, Any], block_bytes: int
) -> None:
    check_blocks(file, options, block_bytes, registry)


@pytest.mark.campaign
@pytest.mark.timeout(3600)
@given(FILES.map(lambda files: files[0]), OPTIONS, st.integers(1, 400))
@CAMPAIGN
def test_the_size_of_blocks_changes_nothing_campaign(
    registry: Registry, file: Dirty, options: dict[str, Any], block_bytes: int
) -> None:
    check_blocks(file, options, block_bytes, registry)


SCRIPT: Final = """
import hashlib, json, sys
from ktoformats import KTODataConfig, KTODataLoader
config = KTODataConfig(
    train_file=sys.argv[1:], min_samples_per_label=0, label_imbalance_tolerance=0.0, max_rejected=1000,
    pairwise_sampling_strategy="random", ranking_strategy="halves", keep=["id"],
)
loader = KTODataLoader(config, enable_cache=False)
samples = list(loader.load_dataset("train"))
print(json.dumps([samples, loader.report.to_json()], ensure_ascii=True))
"""


def mixed_records(number: int) -> list[dict[str, Any]]:
    """Records of all formats, some damaged, two good answers for each bad one."""
    return [
        {"prompt": f"q{number}", "response": "a", "label": 1, "id": {"b": number, "a": [number]}},
        {"prompt": f"q{number}", "response": "b", "rating": 5},
        {"prompt": f"q{number}", "response": "c", "score": 0.1},
        {"prompt": f"q{number}", "chosen": f"a{number}", "rejected": "b", "id": "x"},
        {"prompt": f"q{number}", "responses": list("abcd"), "rankings": [3, 1, 4, 2]},
        {"messages": [{"role": "user", "content": f"q{number}"}, {"role": "assistant", "content": "a", "label": 1}]},
        {"prompt": f"q{number}", "response": "d", "تقييم": "ممتاز"},
        {"prompt": f"q{number}", "response": "d", "label": f"word {number}"},
        {"question": number},
    ]


def test_hash_seeds_change_nothing(tmp_path: Path) -> None:
    [path] = write(str(tmp_path), [[as_line(one) for number in range(40) for one in mixed_records(number)]])
    found = []
    for seed in ("0", "1", "4242"):
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(path)],
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        found.append(done.stdout)
    assert found[1:] == found[:1] * 2
    samples, report = json.loads(found[0])
    assert report["labels"]["good"] == report["labels"]["bad"] > 0
    assert report["total"]["dropped"]["balance"]
    assert len(samples) == report["total"]["kept"]
