"""What stands there more than once: in one split, and in two."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ktoformats.report.finding import Finding, Section, of, places, share_of, told
from ktoformats.store.samples import LABEL_BIT
from ktoformats.train.fit import by_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.samples import Samples
    from ktoformats.train.chosen import Chosen

MANY: Final = 0.1
"""Equal texts are worth a warning from this share of all samples on."""
_SHOWN: Final = 60


def repeats_section(dataset: Chosen, report: Report) -> Section:
    """Duplicates, contradictions, pairs of equal sides, and one text as the answer to many prompts."""
    samples, rows = dataset.samples, dataset.rows
    built = rows[rows < report.total.samples]  # what oversample repeats stands behind them, and is meant so
    twice, both = _again(samples, built)
    repeats = len(twice) - len(np.unique(samples.numbers("key", twice)))
    equal = equal_texts(samples.numbers("asked")[rows], samples.numbers("answer")[rows])
    identical = report.total.without_verdict["identical_sides"] + report.total.candidates_unjudged["identical_sides"]
    figures: dict[str, Any] = {
        "duplicates": repeats,
        "contradictions": len(both),
        "identical_sides": identical,
        "equal_texts": int(equal.sum()),
        "oversampled": report.copied.total(),
    }
    facts = [f"repeated by oversample: {report.copied.total()} samples"] if report.copied else []
    findings = []
    if repeats:
        findings.append(_duplicates(samples, twice, repeats, len(built)))
    if len(both):
        findings.append(_contradictions(samples, both, len(built)))
    if identical:
        findings.append(_identical(identical, report.total.lines - report.total.blank))
    if equal.any():
        findings.append(_equal(samples, rows, equal, dataset.good))
    return Section("repeats", tuple(facts), figures, tuple(findings))


def _duplicates(samples: Samples, rows: Array, count: int, total: int) -> Finding:
    message = f"{of(count, total, 'samples')} repeat an earlier one with the same label"
    advice = "--set duplicates=drop keeps the first of each"
    return Finding("duplicates", count, share_of(count, total), "warning", message, advice, places(samples, rows))


def _contradictions(samples: Samples, rows: Array, total: int) -> Finding:
    count, answers = len(rows), len(np.unique(samples.numbers("key", rows) & ~LABEL_BIT))
    message = f"{of(count, total, 'samples')} are judged good and bad: {answers} answers with both labels"
    advice = (
        "--set conflict=drop leaves them out, majority or last (with time_column) decides; ktoformats why FILE:LINE "
        "tells how each was read"
    )
    share = share_of(count, total)
    return Finding("contradictions", count, share, "warning", message, advice, places(samples, rows))


def _identical(count: int, records: int) -> Finding:
    message = f"{of(count, records, 'records')} have the same answer as chosen and as rejected"
    advice = "they are left out here; a trainer that is given the pairs learns each answer as good and as bad"
    return Finding("identical-sides", count, min(share_of(count, records), 1.0), "note", message, advice)


def _again(samples: Samples, rows: Array) -> tuple[Array, Array]:
    """Rows that stand there more than once with one label, those of a kind together; and those with both."""
    used = np.zeros(len(samples), np.bool_)
    used[rows] = True
    again = samples.again[used[samples.again]]
    again = again[np.argsort(again)]
    keys, good = samples.numbers("key", again), samples.good[again]
    _, starts, same, counts = np.unique(keys, return_index=True, return_inverse=True, return_counts=True)
    twice = _by_first(counts[same] > 1, starts[same])
    _, starts, same, counts = np.unique(keys & ~LABEL_BIT, return_index=True, return_inverse=True, return_counts=True)
    goods = np.bincount(same, good, len(counts))
    both = _by_first(((goods > 0) & (goods < counts))[same], starts[same])
    return again[twice], again[both]


def _by_first(mask: Array, starts: Array) -> Array:
    """The places where a mask holds, those of one kind together, by where each kind begins."""
    found = np.flatnonzero(mask)
    ordered: Array = found[np.argsort(starts[found], kind="stable")]
    return ordered


def equal_texts(asked: Array, answer: Array) -> Array:
    """Bool per sample: whether its answer is also the answer to another prompt.

    Args:
        asked: uint64, shape (n,), a hash of what was asked.
        answer: uint64, shape (n,), a hash of the answer.
    """
    if not len(asked):
        return np.zeros(0, np.bool_)
    _, prompts = np.unique(asked, return_inverse=True)
    _, texts = np.unique(answer, return_inverse=True)
    both = np.unique(texts * (int(prompts.max()) + 1) + prompts)
    different = np.bincount(both // (int(prompts.max()) + 1), minlength=int(texts.max()) + 1)
    equal: Array = different[texts] > 1
    return equal


def _equal(samples: Samples, rows: Array, equal: Array, good: Array) -> Finding:
    own = rows[equal]
    texts, firsts, counts = np.unique(samples.numbers("answer")[own], return_index=True, return_counts=True)
    most = max(range(len(texts)), key=lambda number: (counts[number], -firsts[number]))
    text = samples.take(own[firsts[most] : firsts[most] + 1], ["response"]).column("response")[0].as_py()
    shown = " ".join(text[: _SHOWN + 1].split())
    shown = shown if len(text) <= _SHOWN else shown[:_SHOWN] + "…"
    count, total = int(equal.sum()), len(rows)
    share = share_of(count, total)
    message = (
        f"{of(count, total, 'samples')} have the text of an answer to another prompt "
        f"({told(by_label(good[equal]))}), the most frequent one {counts[most]} times: {shown!r}"
    )
    advice = (
        "such an answer is no KL partner of one like it: plans take others (convert --batch-size N); "
        "with one label only it teaches a reflex"
    )
    of_text = own[samples.numbers("answer")[own] == texts[most]]
    return Finding(
        "equal-texts", count, share, "warning" if share >= MANY else "note", message, advice, places(samples, of_text)
    )


def splits_section(train: Chosen, others: Mapping[str, Chosen]) -> Section:
    """What other splits share with the one to train on."""
    figures, facts, findings = {}, [], list[Finding]()
    for name, other in others.items():
        counts, leaked, first = leaks(train, other)
        figures[name] = {"samples": len(other), "labels": by_label(other.good), **counts}
        facts.append(f"{name}: {len(other)} samples, {told(by_label(other.good))}")
        if not len(leaked):
            continue
        where = places(train.samples, first)
        message = (
            f"{of(len(leaked), len(other), f'{name} samples')} belong to a conversation that is in train, too, the "
            f"first of them to {where[0]}; {counts['same_prompt']} ask exactly the same, {counts['same_answer']} "
            "have the same answer as well"
        )
        findings.append(
            Finding(
                "leakage",
                len(leaked),
                share_of(len(leaked), len(other)),
                "warning",
                message,
                "split in one run, which keeps conversations whole: ktoformats convert ALL... -o FOLDER --split "
                "train=0.9,validation=0.1",
                places(other.samples, leaked),
            )
        )
    return Section("splits", tuple(facts), figures, tuple(findings))


def leaks(train: Chosen, other: Chosen) -> tuple[dict[str, int], Array, Array]:
    """What another split shares with the one to train on.

    Samples are of one conversation where they share the first user turn (`group`), or stem from one record or group
    of records (`origin`).

    Returns:
        Counts: `same_conversation`, and among these `same_prompt` (all that was asked) and `same_answer` (to the same
        prompt); the rows of the other split's samples; and of train the row of what the first of them belongs to.
    """
    ours, theirs = (
        {name: one.samples.numbers(name)[one.rows] for name in ("group", "origin", "asked", "answer")}
        for one in (train, other)
    )
    known = np.union1d(ours["group"], ours["origin"])
    same = np.isin(theirs["group"], known) | np.isin(theirs["origin"], known)
    asked = np.isin(theirs["asked"], ours["asked"])
    there = set(zip(*(ours[name][np.isin(ours["asked"], theirs["asked"])].tolist() for name in _BOTH), strict=True))
    pairs = zip(*(theirs[name][asked].tolist() for name in _BOTH), strict=True)
    answered = sum(one in there for one in pairs)
    counts = {"same_conversation": int(same.sum()), "same_prompt": int((asked & same).sum()), "same_answer": answered}
    leaked = np.flatnonzero(same)
    first = np.zeros(0, np.int64)
    if len(leaked):
        marks = [theirs[name][leaked[0]] for name in ("group", "origin")]
        first = train.rows[np.isin(ours["group"], marks) | np.isin(ours["origin"], marks)][:1]
    return counts, other.rows[leaked], first


_BOTH: Final = ("asked", "answer")
