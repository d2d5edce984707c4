"""What came in and what became of it: the report of one split."""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ktoformats.feedback import BAD, GOOD
from ktoformats.page.notebook import in_short, sentences, table

if TYPE_CHECKING:
    from ktoformats.convert.ledger import FileAccount, Ledger, Reject
    from ktoformats.store.view import DropCounts

MAX_WEIGHT_RATIO = 4 / 3
_REJECTS_SHOWN = 5


@dataclass
class Report:
    """The accounting of one split.

    Attributes:
        split: `train`, `validation` or `test`; the command `convert` builds `train`.
        ledger: What became of every line, per file.
        rejects: The first 1000 rejected records.
        dropped: Samples left out after the build: stage to (source, reason, label) to count.
        kept: Samples per label in the dataset.
        warnings: What the user should look at, in sentences.
        notes: Choices that changed data, in sentences.
        plugins: Kind to `{name: distribution and version}`.
        seed: The seed of every random choice.
        cached: Whether samples came from the cache.
        copied: Samples that `oversample` repeated, by source.
    """

    split: str
    ledger: Ledger
    rejects: list[Reject] = field(default_factory=list)
    dropped: DropCounts = field(default_factory=dict)
    kept: dict[str, int] = field(default_factory=lambda: {GOOD: 0, BAD: 0})
    warnings: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    plugins: dict[str, dict[str, str]] = field(default_factory=dict)
    seed: int = 0
    cached: bool = False
    copied: Counter[str] = field(default_factory=Counter)

    @property
    def total(self) -> FileAccount:
        """All files together."""
        return self.ledger.total()

    @property
    def samples(self) -> int:
        """Samples in the dataset."""
        return sum(self.kept.values())

    def dropped_by(self, source: str | None = None) -> dict[str, dict[str, dict[str, int]]]:
        """Stage to reason to label to number of samples, for one source or all."""
        result: dict[str, dict[str, dict[str, int]]] = {}
        for stage, counts in self.dropped.items():
            for (where, reason, label), count in sorted(counts.items()):
                if source in (None, where):
                    labels = result.setdefault(stage, {}).setdefault(reason, {GOOD: 0, BAD: 0})
                    labels[label] += count
        return result

    def dropped_total(self, source: str | None = None) -> int:
        """Number of samples left out after the build."""
        return sum(
            count
            for counts in self.dropped.values()
            for (where, _, _), count in counts.items()
            if source in (None, where)
        )

    def state(self) -> dict[str, Any]:
        """What the choice among the samples added, as plain values for `restore`."""
        return {
            "dropped": [
                [stage, *kind, count] for stage, counts in self.dropped.items() for kind, count in counts.items()
            ],
            "kept": self.kept,
            "warnings": self.warnings,
            "notes": self.notes,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Take over what was added when the same was chosen before."""
        self.dropped = {}
        for stage, source, reason, label, count in state["dropped"]:
            self.dropped.setdefault(stage, Counter())[source, reason, label] = count
        self.kept = dict(state["kept"])
        self.warnings += state["warnings"]
        self.notes += state["notes"]

    def check(self) -> None:
        """Verify the accounting laws, per file and in total.

        Raises:
            ArithmeticError: A line or a sample is unaccounted for: a defect in ktoformats.
        """
        for source, account in self.ledger.files.items():
            if not account.balanced:
                raise ArithmeticError(f"{source}: {account.lines} lines are not all accounted for")
        if self.total.samples - self.dropped_total() + self.copied.total() != self.samples:
            raise ArithmeticError(
                f"{self.total.samples} samples built, {self.dropped_total()} dropped, {self.copied.total()} copied, "
                f"{self.samples} kept"
            )

    def lost_at(self, reason: str) -> list[str]:
        """Where answers were lost for a reason from records that gave other samples: the first lines of each file."""
        return [
            f"{source}:{', '.join(map(str, lines))}"
            for source, account in self.ledger.files.items()
            if (lines := account.lost_lines.get(reason))
        ]

    def weights(self) -> dict[str, float] | None:
        """Loss weights for the kept counts, in the interval of the KTO paper; see `loss_weights`."""
        return loss_weights(self.kept[GOOD], self.kept[BAD])

    def to_json(self) -> dict[str, Any]:
        """The report as plain JSON values, as it stands in a manifest."""
        plain = self.ledger.to_json()
        for source, account in plain["files"].items():
            account["dropped"] = self.dropped_by(source)
            account["copied"] = self.copied[source]
            account["kept"] = account["samples"] - self.dropped_total(source) + self.copied[source]
        plain["total"]["dropped"] = self.dropped_by()
        plain["total"]["copied"] = self.copied.total()
        plain["total"]["kept"] = self.samples
        return {
            "split": self.split,
            **plain,
            "labels": dict(self.kept),
            "weights": self.weights(),
            "warnings": self.warnings,
            "notes": self.notes,
            "plugins": self.plugins,
            "seed": self.seed,
            "cached": self.cached,
        }

    def to_html(self) -> str:
        """The accounting as one HTML file; with drawings and samples: `audit_loader(loader).to_html()`.

        Raises:
            ConfigError: jinja2 is not installed.
        """
        from ktoformats.page.render import to_html
        from ktoformats.store.account import page_of

        return to_html(page_of(self))

    def __repr__(self) -> str:
        total, kept = self.total, self.kept
        read = f"{total.lines} lines, {total.used} used, {total.without_verdict.total()} without verdict"
        return (
            f"Report({in_short(self.split)}: {read}, {total.rejected.total()} rejected; "
            f"kept {kept[GOOD]} good, {kept[BAD]} bad)"
        )

    def _repr_html_(self) -> str:
        """The accounting as a small table, for notebooks."""
        total = self.total
        rows: list[tuple[object, ...]] = [
            ("read", "lines", total.lines),
            ("read", "blank", total.blank),
            ("used", "records", total.used),
            *(("used", f"by {name}", count) for name, count in total.formats.most_common()),
            *(("without verdict", reason, count) for reason, count in total.without_verdict.most_common()),
            *(("rejected", reason, count) for reason, count in total.rejected.most_common()),
            ("samples", "made", total.samples),
        ]
        for stage, reasons in self.dropped_by().items():
            rows += [
                (f"dropped by {stage}", reason, labels[GOOD] + labels[BAD]) for reason, labels in reasons.items()
            ]
        rows += [("kept", label, self.kept[label]) for label in (GOOD, BAD)]
        rows += [("loss", name, weight) for name, weight in (self.weights() or {}).items()]
        first = [(one.place(), one.reason, one.message) for one in self.rejects[:_REJECTS_SHOWN]]
        shown = table("the first rejects", ("where", "reason", "what was seen"), first) if first else ""
        counted = table(f"split {self.split}", ("", "", "number"), rows)
        return counted + shown + sentences([*self.notes, *self.warnings])

    def __str__(self) -> str:
        """Where everything went, in a few lines."""
        total = self.total
        lines = [f"{self.split}: {total.lines} lines read, {total.used} records used, {total.samples} samples made"]
        for name, counts in (("rejected", total.rejected), ("without verdict", total.without_verdict)):
            if counts:
                lines.append(f"{name}: " + ", ".join(f"{reason} {count}" for reason, count in counts.most_common()))
        for stage, reasons in self.dropped_by().items():
            counted = (f"{reason} {labels[GOOD]} good, {labels[BAD]} bad" for reason, labels in reasons.items())
            lines.append(f"dropped by {stage}: " + "; ".join(counted))
        lines.append(f"kept: {self.kept[GOOD]} good, {self.kept[BAD]} bad")
        return "\n".join([*lines, *self.notes, *self.warnings])


def loss_weights(good: int, bad: int) -> dict[str, float] | None:
    """Weights that bring `desirable_weight * good / (undesirable_weight * bad)` into [1, 4/3].

    The interval is equation 8 of the KTO paper (arXiv 2402.01306). Only one side is moved, by the least that
    is needed, rounded to two digits towards the inside of the interval.

    Returns:
        `desirable_weight` and `undesirable_weight`, or None when a label is missing.
    """
    if not good or not bad:
        return None
    ratio = good / bad
    if ratio < 1:
        return {"desirable_weight": math.ceil(bad / good * 100) / 100, "undesirable_weight": 1.0}
    if ratio > MAX_WEIGHT_RATIO:
        return {
            "desirable_weight": 1.0,
            "undesirable_weight": math.ceil(ratio / MAX_WEIGHT_RATIO * 100) / 100,
        }
    return {"desirable_weight": 1.0, "undesirable_weight": 1.0}
