"""The loop of the specification of the KTO data loader, taken literally where it runs.

Its order of work, its names and its formulas are kept, the double work too: the label is read twice, the quality
computed twice. Three things are filled in, as cheaply as possible. Pairs: the document hands a list to code that
takes a dict, and would lose every pair; here the list is spread. Functions that it names and does not define: bounds
that drop nothing, and the number of different words. The raw data: `json.loads` of each line. Rankings and dialogues
have no working code in the document, so this loop is run on `binary` and `pairwise` files alone.

Balancing is left out, because `ktoformats convert` does not balance either; nothing is written.
"""

from __future__ import annotations

import json
import logging
import re
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Sample = dict[str, Any]

READS: Final = ("binary", "pairwise")
MIN_LENGTH: Final = 1
MAX_LENGTH: Final = 100_000
MAX_UTILITY: Final = 10.0
ALPHA: Final = 0.88
LAMBDA: Final = 2.25
QUESTIONS: Final = ("ما", "كيف", "لماذا", "أين", "متى")
POSITIVE: Final = frozenset("good positive 1 true yes accept preferred high excellent great جيد ممتاز مقبول".split())
NEGATIVE: Final = frozenset("bad negative 0 false no reject not_preferred low poor terrible سيء ضعيف مرفوض".split())

logger = logging.getLogger("specification")


def load(path: Path) -> list[Sample]:
    """`load_dataset` of the document."""
    with path.open(encoding="utf-8") as stream:
        raw_data = [json.loads(line) for line in stream]
    processed_data = []
    for i, sample in enumerate(raw_data):
        try:
            if not is_valid(sample):
                continue
            processed_data += process(sample)
        except Exception as e:  # noqa: BLE001 - as specified
            logger.warning("Error processing sample %s: %s", i, e)
            continue
    return [sample for sample in processed_data if passes(sample)]


def is_valid(sample: Sample) -> bool:
    """`_validate_preference_format`."""
    try:
        if detect(sample) == "binary":
            return is_valid_binary(sample)
        return bool(sample["prompt"] and sample["chosen"] and sample["rejected"])
    except Exception:  # noqa: BLE001 - as specified
        return False


def detect(sample: Sample) -> str:
    """`_detect_kto_format`, without the formats that nothing processes."""
    if "response" in sample and "label" in sample:
        return "binary"
    if "chosen" in sample and "rejected" in sample:
        return "pairwise"
    raise ValueError(f"Cannot detect KTO format from sample keys: {sample.keys()}")


def is_valid_binary(sample: Sample) -> bool:
    """`_validate_binary_format`."""
    prompt = sample.get("prompt", "")
    response = sample.get("response", sample.get("completion", ""))
    if not prompt or not response:
        return False
    try:
        label = normalize_label(sample)
    except ValueError:
        return False
    if label not in {"good", "bad"}:
        return False
    if len(prompt.strip()) < MIN_LENGTH or len(response.strip()) < MIN_LENGTH:
        return False
    return len(prompt) <= MAX_LENGTH and len(response) <= MAX_LENGTH


def normalize_label(sample: Sample) -> str:
    """`_normalize_kto_label`."""
    label = sample.get("label", sample.get("score", sample.get("rating", sample.get("preference"))))
    if label is None:
        raise ValueError("No label found in sample")
    label_str = str(label).lower().strip()
    try:
        return "good" if float(label_str) >= 0.5 else "bad"
    except ValueError:
        pass
    if label_str in POSITIVE:
        return "good"
    if label_str in NEGATIVE:
        return "bad"
    raise ValueError(f"Unknown label format: {label}")


def process(sample: Sample) -> list[Sample]:
    """`_process_preference_sample`."""
    format_type = detect(sample)
    made = [process_binary(sample)] if format_type == "binary" else process_pairwise(sample)
    for processed in made:
        processed["method"] = "kto"
        processed["format_type"] = format_type
        processed["utility_score"] = utility(quality(processed["response"]), processed["label"])
        processed["response_quality"] = quality(processed["response"])
    return made


def process_binary(sample: Sample) -> Sample:
    """`_process_binary_format`."""
    processed = {
        "prompt": sample.get("prompt", ""),
        "response": sample.get("response", sample.get("completion", "")),
        "label": normalize_label(sample),
        "preference_type": "binary",
    }
    if "system" in sample:
        processed["system"] = sample["system"]
    return processed


def process_pairwise(sample: Sample) -> list[Sample]:
    """`_process_pairwise_format`."""
    prompt, system = sample.get("prompt", ""), sample.get("system", "")
    good = {"prompt": prompt, "response": sample.get("chosen", ""), "label": "good"}
    bad = {"prompt": prompt, "response": sample.get("rejected", ""), "label": "bad"}
    made = [good | {"preference_type": "pairwise_positive"}, bad | {"preference_type": "pairwise_negative"}]
    return [one | {"system": system} for one in made] if system else made


def utility(quality_score: float, label: str) -> float:
    """`_calculate_kto_utility`."""
    if label == "good":
        return float(quality_score**ALPHA)
    return float(-LAMBDA * ((1 - quality_score) ** ALPHA))


def passes(sample: Sample) -> bool:
    """`_apply_kto_filtering`, with bounds that drop nothing here."""
    if abs(sample["utility_score"]) > MAX_UTILITY:
        return False
    return all(MIN_LENGTH <= len(sample[column]) <= MAX_LENGTH for column in ("prompt", "response"))


def quality(response: str, arabic_quality: Callable[[str], float] | None = None) -> float:
    """The base quality of the document's custom loader."""
    length_score = min(len(response) / 100, 1.0)
    arabic_score = (arabic_quality or arabic_quality_as_written)(response)
    informativeness = min(len(set(response.split())) / 20, 1.0)
    return (length_score + arabic_score + informativeness) / 3


def arabic_quality_as_written(text: str) -> float:
    """`_calculate_arabic_quality`, character by character."""
    score = 0.0
    if sum(1 for c in text if "\u0600" <= c <= "\u06ff") > 0:
        score += 0.3
    if sum(1 for c in text if "\u064b" <= c <= "\u065f") > 0:
        score += 0.2
    if len(text.split(".")) > 1:
        score += 0.3
    if any(word in text for word in QUESTIONS):
        score += 0.2
    return min(score, 1.0)


_ARABIC: Final = re.compile("[\u0600-\u06ff]")
_DIACRITIC: Final = re.compile("[\u064b-\u065f]")


def arabic_quality_for_speed(text: str) -> float:
    """The same number from two searches that stop at the first hit: what somebody writes who looked at a profile."""
    score = 0.3 if _ARABIC.search(text) else 0.0
    score += 0.2 if _DIACRITIC.search(text) else 0.0
    score += 0.3 if "." in text else 0.0
    score += 0.2 if any(word in text for word in QUESTIONS) else 0.0
    return min(score, 1.0)
