"""What was read, what of it is used, and the balance of the labels before and after."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ktoformats.convert.tokens import hold_template_tokens
from ktoformats.feedback import BAD, GOOD
from ktoformats.report.finding import MOST_EXAMPLES, Finding, Section, first_places, of, places, share_of, told
from ktoformats.store.choose import SPLIT
from ktoformats.store.report import loss_weights
from ktoformats.train.fit import by_label

if TYPE_CHECKING:
    from collections import Counter

    from ktoformats.config.models import KTODataConfig
    from ktoformats.report.finding import Severity
    from ktoformats.store.report import Report
    from ktoformats.train.chosen import Chosen

SMALL: Final = 0.1
"""A label with less than this share of all samples is rare: the paper of KTO goes no further down."""
_ROWS_AT_ONCE: Final = 8192


def reading_section(report: Report, config: KTODataConfig) -> Section:
    """Lines, rejects, and records without a verdict."""
    total = report.total
    records = total.lines - total.blank
    facts = [f"{total.lines} lines read, {total.used} records used, {total.samples} samples made"]
    for name, counts in (("without verdict", total.without_verdict), ("answers lost", total.candidates_lost)):
        if counts:
            facts.append(f"{name}: {_counted(counts)}")
    lost = {reason: places for reason in total.candidates_lost if (places := report.lost_at(reason)[:MOST_EXAMPLES])}
    facts += [f"{reason}, the first of them: {'; '.join(places)}" for reason, places in sorted(lost.items())]
    figures: dict[str, Any] = {
        "lines": total.lines,
        "records": records,
        "used": total.used,
        "rejected": dict(total.rejected),
        "without_verdict": dict(total.without_verdict),
    }
    rejected = total.rejected.total()
    if not rejected:
        return Section("reading", tuple(facts), figures)
    first = report.rejects[0] if report.rejects else None
    said = f"; {first.place()}: {first.message}" if first else ""
    severity: Severity = "warning" if share_of(rejected, records) > config.max_rejected_share else "note"
    finding = Finding(
        "rejects",
        rejected,
        share_of(rejected, records),
        severity,
        f"{of(rejected, records, 'records')} were rejected: {_counted(total.rejected)}{said}",
        "ktoformats why FILE:LINE says what was seen and what was expected; convert writes all of them to a file "
        "(docs/how-to/debug-rejects.md: what helps, reason by reason)",
        first_places(f"{one.source}:{one.line}" for one in report.rejects),
    )
    return Section("reading", tuple(facts), figures, (finding,))


def _counted(counts: Counter[str]) -> str:
    ordered = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return ", ".join(f"{reason} {count}" for reason, count in ordered)


def labels_section(dataset: Chosen, report: Report, config: KTODataConfig) -> Section:
    """Good and bad, before and after filters and balance."""
    made = by_label(dataset.samples.good[: report.total.samples])  # what oversample repeats stands behind them
    dropped = report.dropped_by()
    for labels in dropped.pop(SPLIT, {}).values():
        made = {label: count - labels[label] for label, count in made.items()}
    used = by_label(dataset.good)
    weights = loss_weights(used[GOOD], used[BAD])
    facts = [told(used) if made == used else f"made: {told(made)}; used: {told(used)}"]
    for stage, reasons in dropped.items():
        counted = "; ".join(f"{reason} {told(labels)}" for reason, labels in reasons.items())
        facts.append(f"left out by {stage}: {counted}")
    if weights:
        facts.append(f"weights to paste: {_pasted(weights)}")
    figures = {"made": made, "used": used, "weights": weights, "dropped": dropped}
    return Section("labels", tuple(facts), figures, tuple(_of_balance(used, weights, config)))


def _pasted(weights: dict[str, float]) -> str:
    return ", ".join(f"{name}={value:g}" for name, value in weights.items())


def _of_balance(used: dict[str, int], weights: dict[str, float] | None, config: KTODataConfig) -> list[Finding]:
    total, fewest = sum(used.values()), min(used.values())
    rare = min(used, key=lambda label: used[label])
    if weights is None:
        message = f"there is no {rare} sample among {total}; KTO learns from both labels"
        advice = "ktoformats inspect SOURCE shows how each verdict is read; or add another source"
        return [Finding("one-class", total, 1.0, "warning", message, advice)]
    findings = []
    share = share_of(fewest, total)
    if set(weights.values()) != {1.0}:
        cut = max(used.values()) > int(fewest * (1 + config.label_imbalance_tolerance))
        findings.append(
            Finding(
                "imbalance",
                max(used.values()) - fewest,
                share_of(max(used.values()), total),
                "note",
                f"{told(used)}: a ratio of {used[GOOD] / used[BAD]:.2f}; without weights it should lie "
                "between 1 and 4/3 (KTO paper, eq. 8)",
                f"paste {_pasted(weights)} into the trainer's configuration"
                + "; or --set balance_labels=true cuts the larger label" * cut,
            )
        )
    if share < SMALL or fewest < config.min_samples_per_label:
        findings.append(_few(used, rare, share, config.min_samples_per_label))
    return findings


def _few(used: dict[str, int], rare: str, share: float, least: int) -> Finding:
    """A label that is rare beside the other one, or by itself."""
    if share < SMALL:
        message = f"only {of(used[rare], sum(used.values()), 'samples')} are {rare}"
        advice = f"add {rare} samples; loader.plan(good_share=0.5) gives every batch its share of those there are"
        return Finding("small-minority", used[rare], 1 - share, "warning", message, advice)
    message = f"{told(used)}: below min_samples_per_label ({least})"
    advice = "add samples; --set min_samples_per_label=N says how many are enough for you"
    return Finding("small-minority", used[rare], 1 - share, "note", message, advice)


def texts_section(dataset: Chosen) -> Section:
    """Tokens of chat templates in texts, and prompts that ask nothing."""
    samples, rows = dataset.samples, dataset.rows
    found = [np.zeros(0, np.int64)]
    for start in range(0, len(rows), _ROWS_AT_ONCE):
        own = rows[start : start + _ROWS_AT_ONCE]
        batches = samples.take(own, ["prompt", "response"]).combine_chunks().to_batches()
        masks = [hold_template_tokens(one.column(0)) | hold_template_tokens(one.column(1)) for one in batches]
        found.append(own[np.concatenate(masks)] if masks else own[:0])
    marked = np.concatenate(found)
    empty = rows[samples.numbers("prompt_text_length")[rows] == 0]
    findings = []
    for rule, those, what, advice in (
        (
            "template-tokens",
            marked,
            "hold a token of a chat template, which a tokenizer may read as a turn of its own",
            "take such tokens out where the texts come from; ktoformats why FILE:LINE shows the sample",
        ),
        ("empty-prompts", empty, "ask nothing: their prompt is empty", "--set min_prompt_length=1 leaves them out"),
    ):
        if count := len(those):
            share = share_of(count, len(rows))
            message = f"{of(count, len(rows), 'samples')} {what}"
            findings.append(Finding(rule, count, share, "warning", message, advice, places(samples, those)))
    return Section("texts", (), {"template_tokens": len(marked), "empty_prompts": len(empty)}, tuple(findings))
