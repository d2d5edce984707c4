"""The accounting of a split as parts of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ktoformats.feedback import BAD, GOOD, REASONS
from ktoformats.page.model import Bar, Card, Facts, Notice, Notices, Page, Part, Paste, Sides, Table
from ktoformats.page.text import by_file

if TYPE_CHECKING:
    from collections import Counter

    from ktoformats.page.model import Block, Cell
    from ktoformats.store.report import Report

_MOST_FILES: Final = 100
_MOST_PLACES: Final = 5
_OWN: Final = "a plugin's own reason"
_HOW_TO_GO_ON: Final = (
    "ktoformats why FILE:LINE tells the whole story of a record; ktoformats convert writes all rejects beside its "
    "output."
)


def page_of(report: Report) -> Page:
    """What became of every line and sample of a split; of the texts it knows only those of rejects."""
    parts = (*flow_parts(report), how_part(report))
    return Page(f"{report.split}: what became of the data", told_of(report), cards(report), parts)


def told_of(report: Report) -> str:
    """What was read, in a line."""
    names = list(report.ledger.files)
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    return f"{names[0] if names else 'nothing'}{more}; split {report.split}, seed {report.seed}"


def cards(report: Report) -> tuple[Card, ...]:
    """The figures that are seen first."""
    total, kept = report.total, report.kept
    rejected = total.rejected.total()
    weights = report.weights()
    return (
        Card("Records read", f"{total.lines - total.blank:,}", _files_told(report)),
        Card("Samples used", f"{report.samples:,}", f"of {total.samples:,} made"),
        Card("Good", f"{kept[GOOD]:,}", _share(kept[GOOD], report.samples)),
        Card("Bad", f"{kept[BAD]:,}", _share(kept[BAD], report.samples)),
        Card("Rejected", f"{rejected:,}", _share(rejected, total.lines - total.blank)),
        Card(
            "Weights",
            "none" if weights is None else " : ".join(f"{one:g}" for one in weights.values()),
            "a label is missing" if weights is None else "desirable : undesirable",
        ),
    )


def _files_told(report: Report) -> str:
    number = len(report.ledger.files)
    return f"of {number} file{'s' * (number != 1)}"


def _share(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else ""


def flow_parts(report: Report) -> tuple[Part, ...]:
    """From lines to samples, with every reason."""
    blocks: list[Block] = [_flow(report)]
    if len(report.ledger.files) > 1:
        blocks.append(_files(report))
    parts = [
        Part(
            "flow",
            "What became of the data",
            tuple(blocks),
            "Every line is blank, used, without a verdict, or rejected; every sample is used, or left out.",
        )
    ]
    if found := _rejected(report):
        parts.append(Part("rejects", "What could not be read", found))
    return tuple(parts)


def _flow(report: Report) -> Table:
    total = report.total
    lines, made = total.lines, max(total.samples, report.samples)
    rows: list[tuple[Cell, ...]] = [("Lines read", "", lines, Bar(lines, lines))]
    if total.blank:
        rows.append(("Blank", "", total.blank, Bar(total.blank, lines)))
    for name, counts in (("Without verdict", total.without_verdict), ("Rejected", total.rejected)):
        rows += [(name, _meaning(code), count, Bar(count, lines)) for code, count in _ordered(counts)]
    rows += [("Used, read by", name, count, Bar(count, lines)) for name, count in _ordered(total.formats)]
    rows.append(("Samples made", "", total.samples, Bar(total.samples, made)))
    for stage, reasons in report.dropped_by().items():
        rows += [
            (f"Left out by {stage}", _meaning(code), sum(labels.values()), Sides(labels[GOOD], labels[BAD], made))
            for code, labels in reasons.items()
        ]
    if copied := report.copied.total():
        rows.append(("Repeated", "by oversample", copied, Bar(copied, made)))
    kept = report.kept
    rows.append(("Samples used", "", report.samples, Sides(kept[GOOD], kept[BAD], made)))
    return Table("From lines to samples", ("stage", "reason", "count", "share"), tuple(rows))


def _meaning(code: str) -> str:
    return f"{code}: {REASONS.get(code, _OWN)}"


def _ordered(counts: Counter[str]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def _files(report: Report) -> Table:
    files = report.ledger.files
    rows: list[tuple[Cell, ...]] = [
        (
            source,
            account.lines,
            account.used,
            account.without_verdict.total(),
            account.rejected.total(),
            account.samples,
            account.samples - report.dropped_total(source) + report.copied[source],
        )
        for source, account in list(files.items())[:_MOST_FILES]
    ]
    note = f"{len(files) - _MOST_FILES} more files are not shown." if len(files) > _MOST_FILES else ""
    headings = ("file", "lines", "records used", "without verdict", "rejected", "samples made", "samples used")
    return Table("By file", headings, tuple(rows), note)


def _rejected(report: Report) -> tuple[Block, ...]:
    """Reasons with places, and the values that no scale reads."""
    total = report.total
    found: list[Block] = []
    if total.rejected:
        rows: list[tuple[Cell, ...]] = [
            (code, REASONS.get(code, _OWN), count, "; ".join(_places(report, code)))
            for code, count in _ordered(total.rejected)
        ]
        found.append(
            Table("Why records were rejected", ("reason", "meaning", "records", "the first of them"), tuple(rows))
        )
        found.append(Facts((_HOW_TO_GO_ON,)))
    values = [
        (one.field, one.value, one.records, f"{source}:{one.first_line}")
        for source, account in report.ledger.files.items()
        for one in account.unknowns()
    ]
    if values:
        caption = "Verdicts that no scale could read"
        note = (
            "Say what each word means: --set 'arabic_label_mapping={WORD: good, OTHER: bad}' (any language, on the "
            "scale `specification`); or name another scale: --set 'scales={COLUMN: stars}'."
        )
        found.append(Table(caption, ("column", "value", "records", "the first of them"), tuple(values[:50]), note))
    lost = [
        (code, REASONS.get(code, _OWN), count, "; ".join(report.lost_at(code)))
        for code, count in _ordered(total.candidates_lost)
    ]
    if lost:
        caption = "Answers lost in records that gave other samples"
        found.append(Table(caption, ("reason", "meaning", "answers", "the first of them"), tuple(lost)))
    return tuple(found)


def _places(report: Report, code: str) -> list[str]:
    places = [f"{one.source}:{one.line}" for one in report.rejects if one.reason == code]
    return list(by_file(places[:_MOST_PLACES]))


def weights_block(report: Report) -> Paste | None:
    """The loss weights, ready to paste; None where a label is missing."""
    weights = report.weights()
    return None if weights is None else Paste("\n".join(f"{name}: {value:g}" for name, value in weights.items()))


def how_part(report: Report) -> Part:
    """Notes, plugins and versions."""
    blocks: list[Block] = []
    if report.warnings:
        blocks.append(Notices(tuple(Notice("warning", "", one) for one in report.warnings)))
    if report.notes:
        blocks.append(Facts(tuple(report.notes)))
    plugins = [
        (kind, name, owner)
        for kind, owners in sorted(report.plugins.items())
        for name, owner in sorted(owners.items())
    ]
    if plugins:
        blocks.append(Table("Plugins", ("kind", "name", "from"), tuple(plugins)))
    notices = [(code, REASONS.get(code, _OWN), count) for code, count in _ordered(report.total.notices)]
    if notices:
        blocks.append(Table("Noticed while reading", ("code", "meaning", "count"), tuple(notices)))
    return Part("how", "How it was made", tuple(blocks))
