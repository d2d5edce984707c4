"""An audit as a page: what is to be looked at first, then the data from lines to batches, then samples to read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import numpy as np

from ktoformats.feedback import BAD, GOOD
from ktoformats.page.charts import histogram
from ktoformats.page.model import Card, Chart, Facts, Notice, Notices, Page, Part, Records, Sides, Table
from ktoformats.page.text import by_file
from ktoformats.report.browse import drawn, dropped_records, kept_records, rejected_records
from ktoformats.report.lengths import sizes_of
from ktoformats.report.orders import BATCH
from ktoformats.report.scripts import count_scripts
from ktoformats.report.slices import SHOWN, slices_of
from ktoformats.store.account import cards, flow_parts, how_part, told_of, weights_block

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ktoformats.page.model import Block, Cell
    from ktoformats.report.audit import Audit
    from ktoformats.report.finding import Section
    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.view import View
    from ktoformats.train.training import Training
    from ktoformats.train.writing import Progress

_Made = TypeVar("_Made")
_TEXTS_READ: Final = 50_000
"""Answers whose script is looked at, drawn from all."""


class Looked(NamedTuple):
    """What was audited: a page draws it, and shows samples of it."""

    training: Training
    report: Report
    view: View
    seed: int


def done_in_turn(works: Sequence[Callable[[], _Made]], progress: Progress | None) -> list[_Made]:
    """What each of them gives; progress is told after each."""
    made = []
    for work in works:
        made.append(work())
        if progress is not None:
            progress(len(made), len(works))
    return made


def page_of(found: Audit, looked: Looked, samples: int, progress: Progress | None = None) -> Page:
    """The page of an audit.

    Args:
        found: What was found.
        looked: What was audited.
        samples: How many samples and rejects to show at most, of each kind: used, left out, rejected.
        progress: Called with how many of its parts are made, and of how many.
    """
    sections = {one.name: one for one in found.sections}
    works: list[Callable[[], Part]] = [
        lambda: _labels(sections, looked.report),
        lambda: _distributions(looked.training),
        lambda: _texts(sections, looked),
        lambda: _batches(sections["batches"]),
        lambda: _slices(looked.training),
        lambda: _browser(looked, samples),
    ]
    first_parts = [_findings(found), *flow_parts(looked.report)]
    parts = [*first_parts, *done_in_turn(works, progress), how_part(looked.report)]
    warnings = sum(one.severity == "warning" for one in found.findings)
    notes = len(found.findings) - warnings
    first = Card("Warnings", str(warnings), f"{notes} note{'s' * (notes != 1)}")
    title = f"{Path(found.sources[0]).name if found.sources else 'nothing'}: before training"
    told = tuple(one for one in parts if one.blocks)
    return Page(title, told_of(looked.report), (first, *cards(looked.report)), told)


def _findings(found: Audit) -> Part:
    notices = tuple(
        Notice(one.severity, one.rule, one.message, one.advice, by_file(one.examples))
        for severity in ("warning", "note")
        for one in found.findings
        if one.severity == severity
    )
    blocks: tuple[Block, ...] = (Notices(notices),) if notices else (Facts(("Nothing was found.",)),)
    return Part("look", "What to look at", blocks)


def _labels(sections: dict[str, Section], report: Report) -> Part:
    section = sections["labels"]
    made, used = section.figures["made"], section.figures["used"]
    whole = max(1, sum(made.values()))
    rows: list[tuple[Cell, ...]] = [("made", sum(made.values()), _sides(made, whole))]
    for stage, reasons in section.figures["dropped"].items():
        rows += [
            (f"left out by {stage}: {code}", sum(one.values()), _sides(one, whole)) for code, one in reasons.items()
        ]
    rows.append(("used", sum(used.values()), _sides(used, whole)))
    blocks: list[Block] = [Table("Good and bad, before and after", ("samples", "count", "good and bad"), tuple(rows))]
    if weights := weights_block(report):
        blocks += [
            Facts(("Weights for the trainer's configuration (KTO paper, equation 8), for what is used:",)),
            weights,
        ]
    if facts := sections["verdicts"].facts:
        blocks.append(Facts(facts))
    turning = sections["verdicts"].figures["turning"]
    if turning:
        rows = [(one["field"], one["scale"], one["cells"], one["label"], one["samples"]) for one in turning]
        caption = "Grades next to where their scale turns"
        blocks.append(Table(caption, ("column", "scale", "verdict", "label", "samples"), tuple(rows)))
    return Part("labels", "Labels and weights", tuple(blocks))


def _sides(labels: dict[str, int], of: int) -> Sides:
    return Sides(labels[GOOD], labels[BAD], of)


def _distributions(training: Training) -> Part:
    """Lengths, quality and utility for each label."""
    dataset, sizes = training.dataset, sizes_of(training)
    good = dataset.good
    if not len(good):
        return Part("distributions", "Distributions", ())
    numbers = dataset.samples.numbers
    columns = {
        f"Length of answers, {sizes.unit}": sizes.answer,
        f"Length of prompts, {sizes.unit}": sizes.prompt,
        "Quality of answers": numbers("response_quality")[dataset.rows],
        "Utility": numbers("utility_score")[dataset.rows],
    }
    charts = tuple(_chart(title, values, good) for title, values in columns.items())
    lead = "Shares are of all good, and of all bad samples. The table under each drawing has its figures."
    return Part("distributions", "Distributions", charts, lead)


def _chart(title: str, values: Array, good: Array) -> Chart:
    drawing = histogram(values, good, title.lower())
    rows: list[tuple[Cell, ...]] = []
    for label, mask in ((GOOD, good), (BAD, ~good)):
        own = values[mask]
        found = np.quantile(own, [0, 0.1, 0.5, 0.9, 0.99, 1]).tolist() if len(own) else []
        rows.append((label, len(own), *(f"{one:,.4g}" for one in found or [np.nan] * 6)))
    headings = ("label", "samples", "least", "p10", "median", "p90", "p99", "most")
    return Chart(title, drawing, Table(f"{title}, by label", headings, tuple(rows)))


def _texts(sections: dict[str, Section], looked: Looked) -> Part:
    """Scripts, repeats, leaks."""
    dataset = looked.training.dataset
    rows = drawn(dataset.samples, dataset.rows, _TEXTS_READ, looked.seed) if len(dataset) > _TEXTS_READ else None
    positions = np.arange(len(dataset)) if rows is None else np.flatnonzero(np.isin(dataset.rows, rows))
    blocks: list[Block] = []
    if scripts := count_scripts(dataset, positions):
        most = max(sum(one.values()) for one in scripts.values())
        table = tuple((name, sum(one.values()), _sides(one, most)) for name, one in scripts.items())
        note = "" if rows is None else f"Of {len(positions):,} answers drawn from {len(dataset):,}."
        blocks.append(Table("Scripts of the answers", ("script", "answers", "good and bad"), table, note))
    facts = [*sections["repeats"].facts, *(sections["splits"].facts if "splits" in sections else ())]
    if facts:
        blocks.append(Facts(tuple(facts)))
    return Part("texts", "Texts, repeats and leaks", tuple(blocks))


def _batches(section: Section) -> Part:
    figures = section.figures
    rows: list[tuple[Cell, ...]] = [
        (
            title,
            one["batches"],
            one["single_class_batches"],
            one["fewest_single_class_batches"],
            one["partners"]["invalid"],
            float(one["partners"]["invalid_share"]),
        )
        for title, one in zip(_titles(section), figures["orders"].values(), strict=True)
    ]
    headings = ("order", "batches", "of one label", "fewest possible", "invalid KL partners", "share")
    ranks = f"{figures['world_size']} rank{'s' * (figures['world_size'] > 1)}"
    caption = f"Batches of {figures['batch_size']} on {ranks}"
    lead = (
        "The loss compares good with bad answers, and takes its reference point from KL partners: a batch of "
        "one label, or a partner that answers the same prompt, teaches little."
    )
    blocks: tuple[Block, ...] = (Table(caption, headings, tuple(rows)),) if rows else ()
    if rows and BATCH in figures["orders"]:
        blocks = (*blocks, Facts((f"convert --batch-size {figures['batch_size']} writes the planned order.",)))
    return Part("batches", "Batches and KL partners", blocks, lead)


def _titles(section: Section) -> list[str]:
    """The orders in words: each fact begins with one, after that of the batch size."""
    return [fact.partition(":")[0] for fact in section.facts[1:]]


def _slices(training: Training) -> Part:
    tables = []
    many = []
    for one in slices_of(training.dataset):
        if one.different is None or (one.different > 5 * SHOWN and _all_rare(one.values)):
            many.append(f"{one.name}: {one.different or 'thousands of'} different values")
            continue
        shown = list(one.values.items())[:SHOWN]
        most = max(sum(labels.values()) for _, labels in shown)
        rows = tuple((value, *_shares(labels), _sides(labels, most)) for value, labels in shown)
        note = f"{one.different - SHOWN} more values." if one.different > SHOWN else ""
        tables.append(Table(one.name, ("value", "samples", "good", "good and bad"), rows, note))
    blocks: tuple[Block, ...] = (*tables, *([Facts(tuple(many))] if many else []))
    lead = (
        "A model, an annotator or a month whose answers are nearly all good or all bad is worth a look. "
        "Columns are carried along with --set 'keep=[model, annotator]'."
    )
    return Part("slices", "Slices", blocks, lead)


def _shares(labels: dict[str, int]) -> tuple[int, float]:
    total = sum(labels.values())
    return total, labels[GOOD] / total


def _all_rare(values: dict[str, dict[str, int]]) -> bool:
    """Whether even the most frequent value is one of many, as ids are."""
    return sum(next(iter(values.values())).values()) * len(values) < 3 * sum(
        sum(one.values()) for one in values.values()
    )


def _browser(looked: Looked, samples: int) -> Part:
    used = kept_records(looked.view, samples, looked.seed)
    left_out = dropped_records(looked.view, samples // 2, looked.seed)
    rejected = rejected_records(looked.report, samples)
    records = (*rejected, *left_out, *used)
    report = looked.report
    told = (
        f"{len(used)} of {report.samples:,} samples that are used, {len(left_out)} of {report.dropped_total():,} "
        f"that were left out, and {len(rejected)} of {report.total.rejected.total():,} rejected records."
    )
    blocks = (Records(records, told),) if records else ()
    return Part("records", "Samples and rejected records", blocks)
