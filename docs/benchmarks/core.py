"""The whole build against bare parsing, the specification's loop and the same layout as a mapping, in one run.

    python docs/benchmarks/core.py [--rows 40000] [--repeat 3]

Three things are timed on the same lines, one after the other, `repeat` times, and the best of each counts:

- `orjson`: `orjson.loads` of every line, nothing else: what parsing alone costs;
- `build`: what `ktoformats convert SOURCE -o OUT.parquet --to parquet --no-cache` does, default plugins,
  manifest and rejects written;
- `specification`: the loop of the specification's document, written literally (validate, process, utility and
  quality per sample, filter, balance), on the formats it can read.

Then the same files are built once with the hand-written format and once with a mapping that reads them, `repeat`
times in turn: the median of the ratios is printed, and one above 1.5 ends the run with an error.

Times on shared machines are noisy; the ratios are what this is for.
"""

from __future__ import annotations

import argparse
import json
import logging
import random
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import orjson
import pyarrow.parquet as pq

from ktoformats import KTODataConfig, Registry
from ktoformats.convert.assemble import assemble
from ktoformats.store.mix import Piece
from ktoformats.store.prepare import prepare
from ktoformats.train.export import export

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats import Exporter

WORDS = (
    "في من على إلى عن مع هذا التي الذي كان يكون العلم المعرفة الحياة الإنسان المدينة الدولة التاريخ اللغة العربية "
    "كتاب قراءة تعليم مدرسة جامعة بحث تطوير تقنية ذكاء اصطناعي حاسوب شبكة معلومات بيانات نموذج تدريب جودة نتيجة "
    "سؤال جواب شرح مثال فكرة رأي قانون طبيعة ماء هواء شمس قمر أرض سماء بحر جبل نهر صحراء زراعة صناعة تجارة اقتصاد"
).split()


def text(chance: random.Random, words: int) -> str:
    """Arabic-looking sentences of so many words."""
    out = [chance.choice(WORDS) for _ in range(words)]
    for position in range(9, words, 10):
        out[position] += "."
    return " ".join(out) + "."


def record(kind: str, chance: random.Random) -> dict[str, Any]:
    """One record of about 1.2 kB in UTF-8."""
    prompt, answer = text(chance, 12), text(chance, 90)
    good = chance.random() < 0.5
    half = [text(chance, 45), text(chance, 45)]
    turns = [{"role": "user", "content": text(chance, 12)}, {"role": "assistant", "content": text(chance, 30)}]
    match kind:
        case "binary":
            return {
                "id": chance.randrange(10**9),
                "prompt": prompt,
                "response": answer,
                "label": "good" if good else "bad",
            }
        case "pairwise":
            return {"prompt": prompt, "chosen": half[0], "rejected": half[1]}
        case "ranking":
            return {"prompt": prompt, "responses": [*half, text(chance, 5)], "rankings": chance.sample([1, 2, 3], 3)}
        case "conversation":
            turns += [{"role": "user", "content": prompt}, {"role": "assistant", "content": text(chance, 50)}]
            return {"messages": turns, "label": good}
        case _:
            return {
                "prompt": prompt,
                "response": answer,
                "تقييم": chance.choice(["ممتاز", "جيد جداً", "ضعيف", "٤ من ٥", 2]),
            }


KINDS = ("binary", "pairwise", "ranking", "conversation", "arabic-rating")
LABEL = {"label": "label", "scale": "specification"}
MAPPINGS: dict[str, dict[str, Any]] = {
    "binary": {"prompt": "prompt", "candidates": {"answer": "response"}, "verdict": LABEL},
    "pairwise": {
        "prompt": "prompt",
        "candidates": {"chosen": "chosen", "rejected": "rejected"},
        "verdict": {"good": "chosen", "bad": "rejected"},
    },
    "ranking": {
        "prompt": "prompt",
        "candidates": {"each": "responses", "text": "."},
        "verdict": {"rank": "$.rankings[#]", "best": "low"},
    },
    "conversation": {"candidates": {"answer": {"conversation": "messages"}}, "verdict": LABEL},
}
"""The layouts that hand-written formats read, declared."""
BOUND = 1.5
"""A mapping may take this many times as long as the format written by hand."""


def write(path: Path, kinds: tuple[str, ...], rows: int) -> list[bytes]:
    """Write a file and return its lines."""
    chance = random.Random(1)
    lines = [json.dumps(record(kinds[i % len(kinds)], chance), ensure_ascii=False).encode() for i in range(rows)]
    path.write_bytes(b"\n".join(lines) + b"\n")
    return lines


def build(source: Path, folder: Path, formats: Any = "default") -> None:
    """The whole build, as the command does it."""
    registry = Registry()
    config = KTODataConfig(balance_labels=False, formats=[formats])
    view, report = prepare(
        "convert",
        [Piece(str(source), config, assemble(config, registry))],
        config,
        registry,
        rejects_path=folder / "out.rejects.txt",
        for_training=False,
    )
    exporter = cast("Exporter", registry.make("exporter", "parquet", {}, {}))
    export(view, report, exporter, "parquet", folder / "out.parquet")


def specification_loop(lines: list[bytes]) -> int:
    """The specification's `load_dataset`, word for word where it runs (pairs would fail in it and are spread)."""
    processed_data = []
    for line in lines:
        sample = json.loads(line)
        try:
            if not _validate(sample):
                continue
            made = _process(sample)
        except Exception:  # noqa: BLE001, S112 - as specified
            continue
        processed_data += made
    return len([s for s in processed_data if len(s["response"]) <= 100_000 and s["utility_score"] >= -10])


def _validate(sample: dict[str, Any]) -> bool:
    if "response" in sample and "label" in sample:
        return bool(sample["prompt"].strip() and sample["response"].strip() and _label(sample))
    return "chosen" in sample and "rejected" in sample


def _label(sample: dict[str, Any]) -> str:
    label = str(sample["label"]).lower().strip()
    try:
        return "good" if float(label) >= 0.5 else "bad"
    except ValueError:
        pass
    if label in {
        "good",
        "positive",
        "true",
        "yes",
        "accept",
        "preferred",
        "high",
        "excellent",
        "great",
        "جيد",
        "ممتاز",
    }:
        return "good"
    if label in {
        "bad",
        "negative",
        "false",
        "no",
        "reject",
        "not_preferred",
        "low",
        "poor",
        "terrible",
        "سيء",
        "ضعيف",
    }:
        return "bad"
    raise ValueError(label)


def _process(sample: dict[str, Any]) -> list[dict[str, Any]]:
    prompt = sample["prompt"]
    if "response" in sample:
        made = [
            {"prompt": prompt, "response": sample["response"], "label": _label(sample), "preference_type": "binary"}
        ]
    else:
        made = [
            {"prompt": prompt, "response": sample["chosen"], "label": "good", "preference_type": "pairwise_positive"},
            {
                "prompt": prompt,
                "response": sample["rejected"],
                "label": "bad",
                "preference_type": "pairwise_negative",
            },
        ]
    for one in made:
        quality = _quality(one["response"])
        one["utility_score"] = quality**0.88 if one["label"] == "good" else -2.25 * (1 - quality) ** 0.88
        one["response_quality"] = _quality(one["response"])
    return made


def _quality(response: str) -> float:
    """The specification's custom quality: length, Arabic, informativeness."""
    score = 0.3 * (sum(1 for c in response if "\u0600" <= c <= "\u06ff") > 0)
    score += 0.2 * (sum(1 for c in response if "\u064b" <= c <= "\u065f") > 0)
    score += 0.3 * (len(response.split(".")) > 1)
    score += 0.2 * any(word in response for word in ("ما", "كيف", "لماذا", "أين", "متى"))
    informativeness = min(len(set(response.split())) / 20, 1.0)
    return (min(len(response) / 100, 1.0) + min(score, 1.0) + informativeness) / 3


def best(work: Callable[[], object], repeat: int) -> float:
    """Seconds of the fastest of several runs."""
    times = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return min(times)


def compare(kind: str, source: Path, folder: Path, repeat: int) -> float:
    """Print and return how many times as long a mapping takes as the format written by hand.

    Raises:
        SystemExit: They do not give the same samples.
    """
    times: list[list[float]] = [[], []]
    samples = []
    for _ in range(repeat):
        for taken, formats in zip(times, (kind, {"mapping": MAPPINGS[kind]}), strict=True):
            taken.append(best(lambda: build(source, folder, formats), 1))  # noqa: B023
            samples.append(pq.read_table(folder / "out.parquet", columns=["prompt", "response", "label"]))
    if any(table != samples[0] for table in samples):
        raise SystemExit(f"{kind}: the mapping gives other samples than the format written by hand")
    ratio: float = statistics.median(mapped / written for written, mapped in zip(*times, strict=True))
    written, mapped = (1e6 * statistics.median(taken) for taken in times)
    rows = source.read_bytes().count(b"\n")
    print(f"{kind:15} {rows:7} {written / rows:16.2f} {mapped / rows:10.2f} {ratio:20.2f}")
    return ratio


def main() -> None:
    """Run and print one line for each kind of file."""
    options = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    options.add_argument("--rows", type=int, default=40_000)
    options.add_argument("--repeat", type=int, default=3)
    given = options.parse_args()
    logging.disable(logging.WARNING)
    print(
        f"{'file':15} {'rows':>7} {'MB':>6} {'orjson us':>10} {'build us':>9} {'build/orjson':>13} {'spec/build':>11}"
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, kinds in [("five mixed", KINDS), *((kind, (kind,)) for kind in KINDS)]:
            lines = write(folder / "source.jsonl", kinds, given.rows)
            parse = best(lambda: [orjson.loads(line) for line in lines], given.repeat)  # noqa: B023
            whole = best(lambda: build(folder / "source.jsonl", folder), given.repeat)
            spec = ""
            if set(kinds) <= {"binary", "pairwise"}:
                spec = f"{best(lambda: specification_loop(lines), given.repeat) / whole:.2f}"  # noqa: B023
            size = sum(map(len, lines)) / 1e6
            each = 1e6 / given.rows
            times = f"{parse * each:10.2f} {whole * each:9.2f} {whole / parse:13.2f}"
            print(f"{label:15} {given.rows:7} {size:6.1f} {times} {spec:>11}")
        print(f"\n{'file':15} {'rows':>7} {'hand-written us':>16} {'mapped us':>10} {'mapped/hand-written':>20}")
        ratios = []
        for kind in MAPPINGS:
            write(folder / "source.jsonl", (kind,), given.rows)
            ratios.append(compare(kind, folder / "source.jsonl", folder, given.repeat))
    if max(ratios) > BOUND:
        raise SystemExit(f"a mapping takes {max(ratios):.2f} times as long as the format, at most {BOUND} is meant")


if __name__ == "__main__":
    main()
