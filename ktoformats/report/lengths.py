"""Lengths: how they lie for each label, what a limit does to them, and whether they give the label away."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ktoformats.feedback import BAD, GOOD
from ktoformats.report.finding import Finding, Section, of, places, share_of, told
from ktoformats.train.fit import by_label
from ktoformats.train.rows import needs_messages

if TYPE_CHECKING:
    from ktoformats.report.finding import Severity
    from ktoformats.store.numbers import Array
    from ktoformats.train.fit import FitReport
    from ktoformats.train.training import Training

TRL_MAX_LENGTH: Final = 1024
"""The `max_length` of TRL's KTOConfig, unless somebody sets it."""
TELLING: Final = 0.65
"""From this on (or its mirror image down) the length alone says too much of the label."""
_CHANCE: Final = 2.0
"""So many standard errors from one half may still be chance."""
_ROWS_AT_ONCE: Final = 8192
QUANTILES: Final = {"median": 0.5, "p90": 0.9, "p99": 0.99, "longest": 1.0}


class Sizes(NamedTuple):
    """Lengths of every sample, by position."""

    prompt: Array
    """int64."""
    answer: Array
    """int64; in tokens the end token is one of them."""
    unit: str
    """`tokens` or `characters`."""


def sizes_of(training: Training) -> Sizes:
    """The lengths of samples as they are, before any limit."""
    rows = training.dataset.rows
    if training.tokens is not None:
        return Sizes(*training.tokens.lengths(rows), "tokens")
    numbers = training.dataset.samples.numbers
    sides = [numbers(name)[rows].astype(np.int64) for name in ("prompt_length", "response_length")]
    return Sizes(sides[0], sides[1], "characters")


def midranks(values: Array) -> Array:
    """float64 per value: its place in ascending order, from 1; equal ones share the mean of their places."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    ranks: Array = (last - (counts - 1) / 2)[inverse]
    return ranks


def area_under_curve(values: Array, good: Array) -> float | None:
    """How often a good sample has the larger value of a good and a bad one; a tie counts one half.

    It is the area under the ROC curve of the value as a predictor of the label: Mann and Whitney's U (1947) by the
    number of pairs (Hanley and McNeil, 1982). One half says nothing of the label.

    Args:
        values: Of shape (n,).
        good: bool, shape (n,).

    Returns:
        From 0 to 1; None where a label is missing.
    """
    goods = int(np.count_nonzero(good))
    bads = len(good) - goods
    if not goods or not bads:
        return None
    u = float(midranks(values)[good].sum()) - goods * (goods + 1) / 2
    return u / (goods * bads)


def chance(good: Array) -> float:
    """How far from one half the area may be where the value says nothing: the standard error of Mann and Whitney."""
    goods = int(np.count_nonzero(good))
    bads = len(good) - goods
    return math.sqrt((goods + bads + 1) / (12 * goods * bads)) if goods and bads else math.inf


def quantiles(values: Array) -> dict[str, int]:
    """Some quantiles of lengths, each a length that is there."""
    if not len(values):
        return {}
    found = np.quantile(values, list(QUANTILES.values()), method="higher")
    return {name: int(value) for name, value in zip(QUANTILES, found, strict=True)}


def lengths_section(training: Training, sizes: Sizes, max_length: int) -> Section:
    """Lengths and limits.

    Args:
        training: The split.
        sizes: Of its samples.
        max_length: In tokens, what the trainer allows; it says nothing of characters.
    """
    good = training.dataset.good
    figures: dict[str, Any] = {"unit": sizes.unit}
    facts = []
    for side, values in (("prompt", sizes.prompt), ("answer", sizes.answer)):
        figures[side] = {label: quantiles(values[mask]) for label, mask in ((GOOD, good), (BAD, ~good))}
        for label, found in figures[side].items():
            if found:
                told_of = ", ".join(f"{name} {value}" for name, value in found.items())
                facts.append(f"{label} {side}s in {sizes.unit}: {told_of}")
    area = figures["length_auc"] = area_under_curve(sizes.answer, good)
    if area is not None:
        facts.append(f"a good answer is longer than a bad one {area:.0%} of the time (a tie counts half)")
    findings = _telling(area, sizes, good)
    if training.tokens is None:
        facts.append("no tokenizer was named (--tokenizer FOLDER), so nothing is said of limits in tokens")
    else:
        if training.tokens.style == "standard" and _have_messages(training):
            facts.append("the tokenizer has no chat template: system messages and earlier turns are not counted")
        fact, own, limited = _limited(training, sizes, max_length)
        facts += fact
        figures |= own
        findings += limited
    return Section("lengths", tuple(facts), figures, tuple(findings))


def _have_messages(training: Training) -> bool:
    """Whether a prompt is more than its last user turn."""
    samples, rows = training.dataset.samples, training.dataset.rows
    starts = range(0, len(rows), _ROWS_AT_ONCE)
    return any(needs_messages(samples.take(rows[start : start + _ROWS_AT_ONCE]).to_batches()) for start in starts)


def _telling(area: float | None, sizes: Sizes, good: Array) -> list[Finding]:
    if area is None:
        return []
    share = max(area, 1 - area)
    if share < TELLING or share - 0.5 < _CHANCE * chance(good):
        return []
    longer, shorter = (GOOD, BAD) if area > 1 / 2 else (BAD, GOOD)
    medians = [f"{np.median(sizes.answer[mask]):g}" for mask in (good, ~good)]
    message = (
        f"of a good and a bad answer the {longer} one is longer {share:.0%} of the time (AUC {area:.2f}; in the "
        f"median {medians[0]} {sizes.unit} good, {medians[1]} bad): a model can learn length in place of quality"
    )
    advice = (
        f"add long {shorter} and short {longer} answers, or bound the length (--set max_response_length=N, in "
        "characters); compare the lengths of what the model writes before and after"
    )
    return [Finding("length-predicts-label", len(good), share, "warning", message, advice)]


def dropped_by_trl(sizes: Sizes, max_length: int) -> Array:
    """Bool per sample: TRL leaves it out, because its prompt alone has `max_length` tokens or more."""
    dropped: Array = sizes.prompt >= max_length
    return dropped


def _limited(training: Training, sizes: Sizes, max_length: int) -> tuple[list[str], dict[str, Any], list[Finding]]:
    """What a limit in tokens does: in the trainer by itself, and here."""
    dropped = dropped_by_trl(sizes, max_length)
    cut = ~dropped & (sizes.prompt + sizes.answer > max_length)
    good = training.dataset.good
    counts = {"dropped": by_label(good[dropped]), "cut": by_label(good[cut])}
    facts = [f"TRL at max_length={max_length} by itself: drops {told(counts['dropped'])}; cuts {told(counts['cut'])}"]
    figures: dict[str, Any] = {"trl": {"max_length": max_length, **counts}}
    findings = []
    if dropped.any():
        findings.append(_dropped(training, dropped, max_length))
    if cut.any():
        findings.append(_cut(training, cut, max_length))
    if training.fitted is not None:
        report = training.fitted.report
        figures["fit"] = report.to_json()
        if report.dropped or report.cut:
            facts += [f"convert within the limits that are set: {line}" for line in str(report).splitlines()]
        if report.dropped and not dropped.any():
            findings.append(_left_out(training, ~training.fitted.used, report))
    return facts, figures, findings


def _finding(training: Training, rule: str, mask: Array, severity: Severity, message: str, advice: str) -> Finding:
    count = int(mask.sum())
    where = places(training.dataset.samples, training.dataset.rows[mask])
    return Finding(rule, count, share_of(count, len(mask)), severity, message, advice, where)


def _dropped(training: Training, mask: Array, max_length: int) -> Finding:
    message = (
        f"TRL drops {of(int(mask.sum()), len(mask), 'samples')} without a word, whose prompts have {max_length} "
        f"tokens or more: {told(by_label(training.dataset.good[mask]))}"
    )
    advice = (
        f"convert with --tokenizer FOLDER --set max_tokens={max_length} leaves them out, and counts them; with --to "
        "trl-tokenized their prompts keep the end"
    )
    return _finding(training, "dropped-by-length", mask, "warning", message, advice)


def _cut(training: Training, mask: Array, max_length: int) -> Finding:
    message = (
        f"TRL cuts {of(int(mask.sum()), len(mask), 'answers')} at {max_length} tokens, and trains them without their "
        f"end: {told(by_label(training.dataset.good[mask]))}"
    )
    advice = (
        f"convert with --tokenizer FOLDER --set max_tokens={max_length} leaves out and counts what does not fit; "
        "with --to trl-tokenized, --set truncate_completion=keep_eos cuts it and ends it there"
    )
    return _finding(training, "truncated", mask, "warning", message, advice)


def _left_out(training: Training, mask: Array, report: FitReport) -> Finding:
    counted = "; ".join(f"{reason} {told(labels)}" for reason, labels in report.dropped.items())
    message = f"{of(int(mask.sum()), len(mask), 'samples')} are left out: {counted}"
    advice = "raise the limit, or cut: --set truncate_prompt=keep_end --set truncate_completion=keep_eos"
    return _finding(training, "dropped-by-length", mask, "note", message, advice)
