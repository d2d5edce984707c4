"""What an audit finds: rules, findings, and the sections they stand in."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

from ktoformats.feedback import BAD, GOOD

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ktoformats.store.numbers import Array
    from ktoformats.store.samples import Samples

Severity = Literal["warning", "note"]

RULES: Final[dict[str, str]] = {
    "one-class": "One label is missing.",
    "imbalance": "One label outweighs the other, so that the loss needs weights.",
    "small-minority": "One label has very few samples.",
    "single-class-batches": "Batches of one label only, in the order that the trainer would take by itself.",
    "invalid-kl-partners": "KL partners that are the sample's own answer, answer its prompt or have its text.",
    "duplicates": "The same answer to the same prompt with the same label again.",
    "contradictions": "The same answer to the same prompt, good and bad.",
    "identical-sides": "Pairs whose chosen and rejected answers are the same.",
    "equal-texts": "The same text as the answer to different prompts, as refusals are.",
    "leakage": "Samples to evaluate on whose conversation is among those to train on.",
    "dropped-by-length": "Samples that a limit of length leaves out.",
    "truncated": "Answers that a limit of length cuts.",
    "length-predicts-label": "Whether an answer is good can be told from its length alone.",
    "ambiguous-labels": "Labels that hang on an assumption, or on a grade next to where the scale turns.",
    "rejects": "Records that could not be read.",
    "template-tokens": "Texts that hold tokens of a chat template.",
    "empty-prompts": "Samples that ask nothing.",
}
"""What there is to find, and what it means."""

MOST_EXAMPLES: Final = 5
_SAMPLES_A_RECORD: Final = 8
"""So many samples are looked at for each example: those of one record stand at one place."""


@dataclass(frozen=True)
class Finding:
    """Something to look at before training.

    Attributes:
        rule: One of `RULES`.
        count: How many samples, batches or records it is about; never 0.
        share: How bad it is, from 0 to 1: the same as a part of all of them; of `imbalance` and `small-minority` the
            part that the other label has; of `length-predicts-label` how often the length tells good from bad.
        severity: `warning`, or `note` for what is normal but worth knowing.
        message: What was found.
        advice: What to do about it.
        examples: Where some of them stand, `file:line`.
    """

    rule: str
    count: int
    share: float
    severity: Severity
    message: str
    advice: str
    examples: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """It as plain values."""
        return asdict(self) | {"examples": list(self.examples)}


@dataclass(frozen=True)
class Section:
    """One part of an audit.

    Attributes:
        name: Its key among the figures.
        facts: What is so, in sentences.
        figures: The same as plain values.
        findings: What to look at.
    """

    name: str
    facts: tuple[str, ...] = ()
    figures: Mapping[str, Any] = field(default_factory=dict)
    findings: tuple[Finding, ...] = ()


def places(samples: Samples, rows: Array) -> tuple[str, ...]:
    """Where the first of some samples stand.

    Args:
        samples: All of them.
        rows: int64, which.
    """
    table = samples.take(rows[: MOST_EXAMPLES * _SAMPLES_A_RECORD], ["source", "line"])
    return first_places(f"{one['source']}:{one['line']}" for one in table.to_pylist())


def first_places(found: Iterable[str]) -> tuple[str, ...]:
    """The first of some places, each once."""
    return tuple(dict.fromkeys(found))[:MOST_EXAMPLES]


def share_of(count: int, of: int) -> float:
    """A part of all, 0 where there is nothing."""
    return count / of if of else 0.0


def told(labels: Mapping[str, int]) -> str:
    """Counts by label, in words."""
    return f"{labels[GOOD]} good, {labels[BAD]} bad"


def of(count: int, total: int, what: str) -> str:
    """`3 of 60 samples (5.0%)`."""
    return f"{count} of {total} {what} ({share_of(count, total):.1%})"
