"""The audit: all that can be told of a data set before a training run is paid for."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ktoformats.errors import ConfigError
from ktoformats.page.bar import counting, shown
from ktoformats.page.render import to_html
from ktoformats.report.lengths import TRL_MAX_LENGTH, dropped_by_trl, lengths_section, sizes_of
from ktoformats.report.orders import batches_section
from ktoformats.report.pages import Looked, done_in_turn, page_of
from ktoformats.report.records import labels_section, reading_section, texts_section
from ktoformats.report.repeats import repeats_section, splits_section
from ktoformats.report.verdicts import verdicts_section
from ktoformats.train.chosen import Chosen

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ktoformats.config.models import KTODataConfig
    from ktoformats.loader import PreferenceDataLoader
    from ktoformats.report.finding import Finding, Section
    from ktoformats.store.report import Report
    from ktoformats.store.view import View
    from ktoformats.train.encode import Style
    from ktoformats.train.training import Training
    from ktoformats.train.writing import Progress


@dataclass(frozen=True)
class Audit:
    """What was found.

    Attributes:
        sources: What was read.
        samples: How many are used.
        sections: Its parts, in the order in which data is made.
        warnings: What the user was told while the samples were made.
        notes: Choices that changed data.
    """

    sources: tuple[str, ...]
    samples: int
    sections: tuple[Section, ...]
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    _looked: Looked | None = field(default=None, repr=False, compare=False)

    @property
    def findings(self) -> list[Finding]:
        """All that is to be looked at."""
        return [finding for section in self.sections for finding in section.findings]

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "sources": list(self.sources),
            "samples": self.samples,
            "findings": [finding.to_json() for finding in self.findings],
            **{section.name: dict(section.figures) for section in self.sections},
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }

    def to_html(self, samples: int = 200, progress: Progress | Literal[False] | None = None) -> str:
        """All of it as one HTML file: findings, the way from lines to samples, drawings, slices, samples to read.

        It needs nothing beside it, neither a network nor a script; texts of the data are escaped in it.

        Args:
            samples: How many samples to show at most, and how many rejected records.
            progress: Called with how many parts of the page are made, and of how many. None and False as of
                `audit_loader`.

        Raises:
            ConfigError: It was not made by `audit_loader`, or jinja2 and matplotlib are not installed.
        """
        if self._looked is None:
            raise ConfigError("a page shows samples: take an audit that audit_loader made")
        with shown(progress, lambda: counting("drawing", " parts")) as tell:
            return to_html(page_of(self, self._looked, samples, tell))


def audit(
    training: Training,
    report: Report,
    config: KTODataConfig,
    *,
    batch_size: int = 8,
    world_size: int = 1,
    others: Mapping[str, Chosen] | None = None,
    view: View | None = None,
    progress: Progress | None = None,
) -> Audit:
    """Look at a split before training on it.

    Args:
        training: The split; with tokens, limits of length are looked at, too.
        report: Its accounting.
        config: The data section it was made by: its seed, its limits, how many rejects are too many.
        batch_size: Samples of a batch on one rank, at least 2.
        world_size: Ranks.
        others: Splits to evaluate on, by name.
        view: What was chosen for the split, and what left out; a page shows both.
        progress: Called with how many of its parts have been looked at, and of how many.

    Raises:
        ConfigError: The batch size cannot be planned with, or a limit leaves no room.
    """
    dataset = training.dataset
    sizes = sizes_of(training)
    max_length = config.max_tokens or TRL_MAX_LENGTH
    kept = None if training.tokens is None else np.flatnonzero(~dropped_by_trl(sizes, max_length))
    looks: list[Callable[[], Section]] = [
        lambda: reading_section(report, config),
        lambda: labels_section(dataset, report, config),
        lambda: verdicts_section(dataset, report),
        lambda: texts_section(dataset),
        lambda: repeats_section(dataset, report),
        *([lambda: splits_section(dataset, others)] if others else []),
        lambda: lengths_section(training, sizes, max_length),
        lambda: batches_section(training, batch_size, world_size, config.random_seed, kept=kept),
    ]
    sections = done_in_turn(looks, progress)
    looked = None if view is None else Looked(training, report, view, config.random_seed)
    sources, warnings, notes = report.ledger.files, report.warnings, report.notes
    return Audit(tuple(sources), len(dataset), tuple(sections), tuple(warnings), tuple(notes), looked)


def audit_loader(
    loader: PreferenceDataLoader,
    *,
    batch_size: int = 8,
    world_size: int = 1,
    progress: Progress | Literal[False] | None = None,
) -> Audit:
    """Look at the train split of a loader, and at what its other splits share with it.

    A tokenizer without a chat template is given the last user turn of each prompt alone, and the audit says so.

    Args:
        loader: Its splits are loaded if they were not; with a tokenizer, limits of length are looked at, too.
        batch_size: Samples of a batch on one rank, at least 2.
        world_size: Ranks.
        progress: Called with how much is done, and of how much: rows that have their tokens, where there is a
            tokenizer; then parts that have been looked at. None shows a bar for what takes longer than a second, on a
            terminal and in a notebook; False shows none.

    Raises:
        KtoFormatsError: As `loader.load_dataset` and `audit`.
    """
    config = loader.config
    style: Style = "auto" if getattr(loader.tokenizer, "chat_template", None) else "standard"
    sizes: dict[str, Any] = {"batch_size": batch_size, "world_size": world_size}
    view = loader.view()
    others = {name: Chosen(loader.view(name)) for name in ("validation", "test") if _is_there(name, config)}
    with shown(progress, lambda: counting("looking", "")) as tell:
        training = loader.training("train", style=style, progress=tell or False)
        return audit(training, loader.reports["train"], config, **sizes, others=others, view=view, progress=tell)


def _is_there(split: str, config: KTODataConfig) -> bool:
    """Whether there is such a split."""
    own = getattr(config, f"{split}_file") or any(source.split == split for source in config.sources)
    return bool(own) or split in config.fractions()
