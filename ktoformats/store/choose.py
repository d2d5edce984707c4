"""What of the samples is used: the stages that leave some out, in their order, and what is told about them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from ktoformats.config.models import TOKEN_LIMITS
from ktoformats.errors import ConfigError, EmptyDatasetError, KTODataError, OneClassError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.faults import suggest
from ktoformats.store import view as views
from ktoformats.store.build import most_frequent
from ktoformats.store.mix import mix, mixes
from ktoformats.store.numbers import FACTS
from ktoformats.store.repeats import without_repeats
from ktoformats.store.report import loss_weights
from ktoformats.store.split import assign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.config.models import KTODataConfig
    from ktoformats.plugin.kinds import Plugin
    from ktoformats.store.cache import Kept
    from ktoformats.store.mix import Piece
    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.samples import Samples
    from ktoformats.store.view import View

logger: Final = logging.getLogger("ktoformats")

Stage = Callable[["View"], "View"]
SPLIT: Final = "split"
_HOW_TO_BUILD: Final = frozenset(
    {
        *("train_file", "validation_file", "test_file", "rejects_file", "sources", "observers"),
        *("preprocessing_num_workers", "worker_timeout"),
        *("streaming", "buffer_size", "lazy_loading", "max_samples_in_memory"),
        *TOKEN_LIMITS,
    }
)
"""Fields that change neither the samples nor the choice; the sources are known by what they hold."""


class Stages(NamedTuple):
    """Replacements for whole stages; None takes the configured filters and balance."""

    filter: Stage | None = None
    balance: Stage | None = None


class Choice:
    """How the samples of one split are chosen.

    Args:
        split: Its name; only `train` is balanced.
        config: The data section.
        pieces: Its files, and how they are read; the filters are those of the first.
        stages: Overridden stages.
        for_training: Whether one label class is an error (with `require_both_labels`).

    Raises:
        ConfigError: What is wanted of contradictions cannot be meant.
    """

    def __init__(
        self, split: str, config: KTODataConfig, pieces: Sequence[Piece], stages: Stages, *, for_training: bool
    ) -> None:
        self.pieces = pieces
        self._split = split
        self._config = config
        self._stages = stages
        self._for_training = for_training
        self._conflict = _conflict_of(pieces, config)  # what cannot be meant is told before anything is built

    def key(self, kept: Kept, units: list[Any]) -> str | None:
        """What decides the view: the samples, and all that chooses; None where a stage is overridden."""
        if any(self._stages):
            return None
        filters = self.pieces[0].assembly.filters
        return kept.key(
            units=units,
            split=self._split,
            config=self._config.model_dump(mode="json", exclude=set(_HOW_TO_BUILD)),
            sources=[one.model_dump(mode="json", exclude={"path"}) for one in self._config.sources],
            filters=[[one.name, *_class_of(one.filter), one.filter.model_dump(mode="json")] for one in filters],
            owners=self.pieces[0].assembly.plugins.get("filter"),
            code=kept.digests.of_code(["ktoformats", *(type(one.filter).__module__ for one in filters)]),
            conflict=self._conflict,
            for_training=self._for_training,
        )

    def made(self, samples: Samples, report: Report) -> View:
        """Choose.

        Args:
            samples: All that were built.
            report: Is told what every stage left out, and what the user should know.

        Raises:
            KTODataError: Too little is left.
        """
        view = self._chosen(samples, report)
        report.dropped, report.kept = view.dropped, view.counts()
        report.check()
        for number, piece in enumerate(self.pieces):
            _warn_of_scales(report, number, piece.config, samples)
        _warn_of_losses(report, self._config)
        _warn_of_unread(report)
        _judge(report, self._config, for_training=self._for_training)
        _note_preferences(report, view, self._config)
        return view

    def _chosen(self, samples: Samples, report: Report) -> View:
        config, pieces, stages = self._config, self.pieces, self._stages
        parts = _pieces_of_rows(samples) if mixes(pieces) else None
        view = self._of_split(views.whole(samples))
        view = without_repeats(view, config, self._conflict, report)
        built = len(view)
        view = stages.filter(view) if stages.filter else views.apply_filters(view, pieces[0].assembly.filters)
        logger.info("Filtered %d samples, kept %d", built - len(view), len(view))
        if config.pairwise_sampling_strategy == "balanced":
            view = views.keep_whole_pairs(view)
        if config.balance_labels and self._split == "train":
            before = view.counts()
            if stages.balance:
                view = stages.balance(view)
            else:
                # each source by itself where sources are mixed: their proportions then stay what they are
                tolerance, seed = config.label_imbalance_tolerance, config.random_seed
                view = views.balance(view, tolerance=tolerance, seed=seed, parts=parts)
            if config.pairwise_sampling_strategy == "balanced":
                view = views.keep_whole_pairs(view)  # balancing may have torn some
            after = view.counts()
            logger.info("Balanced dataset: %d positive, %d negative samples", after[GOOD], after[BAD])
            _note_balance(report, before, after)
        return view if parts is None else mix(view, parts, pieces, config, report)

    def _of_split(self, view: View) -> View:
        """The samples of the split, where one file is to give several.

        It comes first: what is filtered, balanced or weighed later moves no sample from one split to another.
        """
        fractions = self._config.fractions()
        if self._split not in fractions:
            return view
        numbers = view.samples.numbers
        good, seed = view.samples.good, self._config.random_seed
        own = assign(numbers("group"), numbers("origin"), good, fractions, seed=seed)
        names = list(fractions)
        reasons = (own.astype(np.int64) + 1).astype(np.uint8)
        reasons[own == names.index(self._split)] = 0
        return views.without(view, reasons, [views.USED, *((SPLIT, name) for name in names)])


def _class_of(plugin: Plugin) -> tuple[str, str]:
    return type(plugin).__module__, type(plugin).__qualname__


def _pieces_of_rows(samples: Samples) -> Array:
    """int64 per row: the number of its piece."""
    return np.repeat(np.array(samples.pieces, np.int64), [part.rows for part in samples.parts])


def _conflict_of(pieces: Sequence[Piece], config: KTODataConfig) -> str:
    """What to do about contradictions: what the configuration says, else what the formats agree on."""
    wanted = frozenset[str]().union(*(piece.assembly.conflicts for piece in pieces))
    if "conflict" in config.model_fields_set or not wanted:
        return config.conflict
    if len(wanted) > 1:
        raise ConfigError(
            f"the mappings want {' and '.join(sorted(wanted))} of contradictions; say `conflict:` in the data section"
        )
    [how] = wanted
    if how == "last" and not config.time_column:
        raise ConfigError(
            "policy.conflict: last needs `time_column:` in the data section: when each verdict was given"
        )
    return how


def _note_preferences(report: Report, view: View, config: KTODataConfig) -> None:
    """Tell once that a preference says less than two labels do."""
    facts = view.samples.numbers("fact")
    used = view.reasons == 0
    paired = used & (facts == FACTS.index("pair"))
    relative = int((paired | (used & (facts == FACTS.index("ranked")))).sum())
    if relative:
        report.notes.append(
            f"{relative} of {len(view)} samples come from preferences, which say that one answer is better, "
            "not that it is good: a winner may still be bad"
        )
    if config.min_gap is not None:
        silent = int((paired & (view.samples.numbers("has_cell") == 0)).sum())
        if silent:
            report.warnings.append(f"min_gap had no effect on {silent} samples: their pairs bring no scores")


def _note_balance(report: Report, before: dict[str, int], after: dict[str, int]) -> None:
    lost = sum(before.values()) - sum(after.values())
    if not lost:
        return
    weights = loss_weights(before[GOOD], before[BAD])
    instead = ""
    if weights:
        instead = (
            f"; balance_labels: false with desirable_weight={weights['desirable_weight']:g} and "
            f"undesirable_weight={weights['undesirable_weight']:g} would keep them"
        )
    report.notes.append(
        f"balancing dropped {lost} of {sum(before.values())} samples ({before[GOOD]} good, {before[BAD]} bad before; "
        f"{after[GOOD]} good, {after[BAD]} bad after){instead}"
    )


def _warn_of_losses(report: Report, config: KTODataConfig) -> None:
    """Warn of a file that lost much."""
    for source, account in report.ledger.files.items():
        records, rejected = account.lines - account.blank, account.rejected.total()
        if rejected > config.max_rejected_share * records:
            report.warnings.append(
                f"{source}: {rejected} of {records} records were rejected ({rejected / records:.0%})"
            )


_UNREAD: Final = ("label_unrecognised", "out_of_scale")


def _warn_of_unread(report: Report) -> None:
    """Warn of answers whose verdicts cannot be read, in records that gave other samples."""
    for source, account in report.ledger.files.items():
        lost = sum(account.candidates_lost[reason] for reason in _UNREAD)
        if lost:
            values = "; ".join(
                f"{one.field}: {one.value} ({one.records} times, first on line {one.first_line})"
                for one in account.unknowns()[:_VALUES_TOLD]
            )
            report.warnings.append(f"{source}: {lost} answers have a verdict that cannot be read: {values}")


_VALUES_TOLD: Final = 4


def _warn_of_scales(report: Report, piece: int, config: KTODataConfig, samples: Samples) -> None:
    """Warn of a scale that was set for a column which holds no verdict."""
    if not config.scales:
        return
    fields = {reject.field for reject in report.rejects} - {""}
    for number, part in enumerate(samples.parts):
        if samples.pieces[number] == piece:
            for batch in part.batches(["field"]):
                fields.update(batch.column("field").unique().to_pylist())
    for column in config.scales:
        if column not in fields and report.total.samples:
            seen = ", ".join(sorted(filter(None, fields))) or "none"
            hint = suggest(column, fields)
            text = f"scales.{column} was not used: no verdict stands in such a column{hint}; verdicts were in: {seen}"
            if config.strict:
                raise KTODataError(f"{text}, and strict is set")
            report.warnings.append(text)


def _judge(report: Report, config: KTODataConfig, *, for_training: bool) -> None:
    """Warn, or stop, about what is left."""
    kept = report.kept
    if not report.samples:
        raise EmptyDatasetError(f"{report.split}: no sample is left: {_story(report)}")
    missing = [label for label in (GOOD, BAD) if not kept[label]]
    if missing:
        text = f"{report.split}: no {missing[0]} sample is left ({_story(report)}); KTO learns from both labels"
        if for_training and config.require_both_labels:
            raise OneClassError(f"{text}; require_both_labels: false allows it")
        report.warnings.append(text)
    else:
        few = [f"{kept[label]} {label}" for label in (GOOD, BAD) if kept[label] < config.min_samples_per_label]
        if few and for_training:
            bound = f"fewer than min_samples_per_label ({config.min_samples_per_label})"
            text = f"{report.split}: only {' and '.join(few)} samples, {bound}"
            if config.strict:
                raise KTODataError(f"{text}, and strict is set")
            report.warnings.append(text)
    _warn_of_utility_bounds(report, config)


def _warn_of_utility_bounds(report: Report, config: KTODataConfig) -> None:
    for stage in report.dropped_by().values():
        for reason, name in (
            ("low_utility", "min_utility_threshold"),
            ("high_utility", "max_utility_threshold"),
        ):
            if reason in stage:
                lost = f"{stage[reason][GOOD]} good and {stage[reason][BAD]} bad samples"
                report.warnings.append(f"{name} ({getattr(config, name)}) dropped {lost}")


def _story(report: Report) -> str:
    """Where everything went, in one line."""
    total = report.total
    parts = [f"{total.lines} lines read", f"{total.samples} samples made"]
    for name, counts in (("rejected", total.rejected), ("without verdict", total.without_verdict)):
        if counts:
            parts.append(f"{name}: " + ", ".join(f"{reason} {count}" for reason, count in most_frequent(counts)[:4]))
    for stage, reasons in report.dropped_by().items():
        counted = ", ".join(f"{reason} {labels[GOOD]} good {labels[BAD]} bad" for reason, labels in reasons.items())
        parts.append(f"dropped by {stage}: {counted}")
    if total.notices["absent_path"]:
        parts.append(f"a path of the mapping names nothing in {total.notices['absent_path']} records; a typo?")
    if report.rejects:
        first = report.rejects[0]
        parts.append(f"first reject {first.place()}: {first.message}")
    return "; ".join(parts)
