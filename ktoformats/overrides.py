"""The specification's methods as override points, and their wrapping as ordinary plugins: in this one file.

Nothing here runs unless a subclass overrides a method or somebody calls one. What is overridden is called for
every record, in this process: worker processes are built from plain configuration and cannot hold it.

| method | when it is called | what it decides |
|---|---|---|
| `_load_raw_data(split)` | once | the records, instead of the configured files |
| `_detect_kto_format(sample)` | per record | which configured format reads it |
| `validate_sample(sample)`, `_validate_preference_format` | per record | False rejects it (`refused_by_override`) |
| `_validate_binary_format` and its siblings | per record of that format | the same |
| `process_sample(sample)`, `_process_preference_sample` | per record | its sample or samples |
| `_process_binary_format` and its siblings | per record of that format | the same |
| `_process_conversation_context(conversation)` | per record with one | the conversation of its samples |
| `_normalize_kto_label(sample)` | per judged or rated answer | `good` or `bad` |
| `_calculate_response_quality(response, prompt)` | per sample | `response_quality` |
| `_calculate_kto_utility(sample)` | per sample | `utility_score` |
| `_should_filter_by_length`, `_by_quality`, `_by_utility` | per sample | True drops it |
| `_apply_kto_filtering(data)`, `_balance_kto_labels(data)` | once, with all samples | which of them stay |
| `_create_dataset(data)` | once, with all samples | the dataset |
"""

from __future__ import annotations

import copy
import hashlib
import inspect
import logging
import math
import sys
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Final, NamedTuple

import numpy as np
import pyarrow as pa
from pydantic import ConfigDict, Field

from ktoformats.convert.assemble import Assembly, NamedFilter
from ktoformats.convert.detect import Detector, NamedFormat
from ktoformats.convert.labels import LabelReader
from ktoformats.convert.pipeline import Pipeline
from ktoformats.errors import KTODataError, KtoFormatsError, KTOLabelError, RecordError
from ktoformats.feedback import BAD, GOOD, Context, Judged, Message, Pair, Ranked, Rated, Unjudged
from ktoformats.plugin.kinds import Claim, Dropped, Filter, Format, Labels, Quality, Shape, Utility
from ktoformats.plugin.lexicon import read_score
from ktoformats.plugin.scale import Scale, scale_of
from ktoformats.plugin.turns import read_messages
from ktoformats.read.named import find_sources
from ktoformats.read.parse import parse
from ktoformats.read.rows import blocks_of_rows
from ktoformats.store import view as views
from ktoformats.store.choose import Stages
from ktoformats.store.mix import pieces_of
from ktoformats.store.samples import Samples
from ktoformats.train.rows import to_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Iterator

    from ktoformats.config.models import KTODataConfig
    from ktoformats.feedback import Fact
    from ktoformats.plugin.registry import Registry
    from ktoformats.plugin.row import Row
    from ktoformats.store.cache import Cache
    from ktoformats.store.view import View

Sample = dict[str, Any]
logger: Final = logging.getLogger("ktoformats")

_FORMAT_METHODS: Final = {
    "binary": ("_process_binary_format", "_validate_binary_format"),
    "pairwise": ("_process_pairwise_format", "_validate_pairwise_format"),
    "ranking": ("_process_ranking_format", "_validate_ranking_format"),
    "conversation": ("_process_conversation_format", "_validate_conversation_format"),
    "arabic-rating": ("_process_arabic_rating_format", "_validate_arabic_rating_format"),
}
_FILTER_METHODS: Final = {
    "length": ("_should_filter_by_length", "too_long"),
    "quality": ("_should_filter_by_quality", "low_quality"),
    "utility": ("_should_filter_by_utility", "low_utility"),
}
_PROCESS: Final = frozenset({"process_sample", "_process_preference_sample"})
_VALIDATE: Final = frozenset({"validate_sample", "_validate_preference_format"})
_AFTER_THE_BUILD: Final = frozenset(
    {
        "_apply_kto_filtering",
        "_balance_kto_labels",
        "_create_dataset",
        *(name for name, _ in _FILTER_METHODS.values()),
    }
)
"""Methods that choose among the samples and do not change what is built."""
METHODS: Final = (
    "_load_raw_data",
    "_detect_kto_format",
    *sorted(_VALIDATE),
    *sorted(_PROCESS),
    *(name for pair in _FORMAT_METHODS.values() for name in pair),
    "_process_conversation_context",
    "_normalize_kto_label",
    "_calculate_response_quality",
    "_calculate_kto_utility",
    *(name for name, _ in _FILTER_METHODS.values()),
    "_apply_kto_filtering",
    "_balance_kto_labels",
    "_create_dataset",
)


class SpecificationMethods:
    """The specification's methods, doing for one sample what the pipeline does for a file."""

    config: KTODataConfig
    registry: Registry
    _assembly: Callable[..., Assembly]

    def _load_raw_data(self, split: str) -> Iterator[Any]:
        """Every readable record of a split, raw.

        Args:
            split: `train`, `validation` or `test`.
        """
        sources = [
            one for piece in pieces_of(split, self.config, self._assembly) for one in find_sources(piece.files)
        ]
        for record in (record for one in sources for block in one.blocks() for record in block.records):
            try:
                yield parse(record)
            except RecordError as error:
                logger.warning("Error processing sample: %s", error)

    def validate_sample(self, sample: Sample) -> bool:
        """Whether a raw record can become samples."""
        return self._validate_preference_format(sample)

    def process_sample(self, sample: Sample) -> Sample | list[Sample]:
        """The sample (or samples, for a pair or ranking) of one raw record."""
        return self._process_preference_sample(sample)

    def _process_preference_sample(self, sample: Sample) -> Sample | list[Sample]:
        """As `process_sample`.

        Raises:
            RecordError: The record cannot be read.
        """
        name = self._detect_kto_format(sample)
        method = _FORMAT_METHODS.get(name, ("", ""))[0]
        made = getattr(self, method)(sample) if method else self._processed(sample, name)
        samples = made if isinstance(made, list) else [made]
        for one in samples:
            one["method"] = "kto"
            one["format_type"] = name
            one["response_quality"] = _call_quality(self, one["response"], one["prompt"])
            one["utility_score"] = self._calculate_kto_utility(one)
        return made

    def _detect_kto_format(self, sample: Sample) -> str:
        """The name of the configured format that reads this record.

        Raises:
            RecordError: None does.
        """
        return self._assembly().pipeline.detector.find(sample).name

    def _process_binary_format(self, sample: Sample) -> Sample | list[Sample]:
        return self._processed(sample, "binary")

    def _process_pairwise_format(self, sample: Sample) -> list[Sample]:
        return _listed(self._processed(sample, "pairwise"))

    def _process_ranking_format(self, sample: Sample) -> list[Sample]:
        return _listed(self._processed(sample, "ranking"))

    def _process_conversation_format(self, sample: Sample) -> Sample | list[Sample]:
        return self._processed(sample, "conversation")

    def _process_arabic_rating_format(self, sample: Sample) -> Sample | list[Sample]:
        return self._processed(sample, "arabic-rating")

    def _process_conversation_context(self, conversation: list[Any]) -> list[dict[str, str]]:
        """A raw conversation as messages with `role` and `content`, the system message first."""
        system, turns = read_messages(conversation, self.config.conversation_column)
        head = [{"role": "system", "content": system}] if system else []
        return head + [{"role": turn.role, "content": turn.content} for turn in turns]

    def _normalize_kto_label(self, sample: Sample) -> str:
        """`good` or `bad`, from the first verdict column that is not null.

        Raises:
            KTOLabelError: There is none, or it cannot be read. (It is a ValueError too.)
        """
        columns = self.config.columns()
        labels = self._assembly().pipeline.labels
        for field in (*columns.verdicts, columns.arabic_rating):
            if sample.get(field) is None:
                continue
            scale = _scale_of(field, sample[field], self._assembly())
            verdict = labels.read(sample[field], field, scale)
            if not verdict.label:
                raise KTOLabelError(verdict.reason, f"{sample[field]!r} is neither good nor bad", field=field)
            return verdict.label
        raise KTOLabelError("null_verdict", "No label found in sample")

    def _calculate_response_quality(self, response: str, prompt: str = "") -> float:
        """The quality of one response, in [0, 1]; 0.5 where nothing can be measured."""
        batch = _batch([{"response": response, "prompt": prompt}])
        quality = float(self._assembly().pipeline.quality.score(batch)[0])
        return 0.5 if math.isnan(quality) else quality

    def _calculate_kto_utility(self, sample: Sample) -> float:
        """The utility of one processed sample; its `response_quality` is computed where it is absent."""
        quality = sample.get("response_quality")
        if quality is None:
            quality = _call_quality(self, sample["response"], sample.get("prompt", ""))
        utility = self._assembly().pipeline.utility
        return float(utility.score(_batch([{**sample, "response_quality": quality}]))[0])

    def _calculate_arabic_quality(self, text: str) -> float:
        """The Arabic part of the `specification` quality plugin."""
        return float(_specification_part(self.registry, "arabic_quality")(text))

    def _calculate_informativeness(self, text: str) -> float:
        """The informativeness part of the `specification` quality plugin."""
        return float(_specification_part(self.registry, "informativeness")(text))

    def _validate_preference_format(self, sample: Sample) -> bool:
        try:
            name = self._detect_kto_format(sample)
        except KtoFormatsError:
            return False
        method = _FORMAT_METHODS.get(name, ("", ""))[1]
        return bool(getattr(self, method)(sample)) if method else self._valid(sample, name)

    def _validate_binary_format(self, sample: Sample) -> bool:
        return self._valid(sample, "binary")

    def _validate_pairwise_format(self, sample: Sample) -> bool:
        return self._valid(sample, "pairwise")

    def _validate_ranking_format(self, sample: Sample) -> bool:
        return self._valid(sample, "ranking")

    def _validate_conversation_format(self, sample: Sample) -> bool:
        return self._valid(sample, "conversation")

    def _validate_arabic_rating_format(self, sample: Sample) -> bool:
        return self._valid(sample, "arabic-rating")

    def _should_filter_by_length(self, sample: Sample) -> bool:
        return self._dropped_by(sample, "length")

    def _should_filter_by_quality(self, sample: Sample) -> bool:
        return self._dropped_by(sample, "quality")

    def _should_filter_by_utility(self, sample: Sample) -> bool:
        return self._dropped_by(sample, "utility")

    def _apply_kto_filtering(self, data: list[Sample]) -> list[Sample]:
        """The samples that no filter drops."""
        names = [one.name for one in self._assembly().filters]
        methods = [getattr(self, _FILTER_METHODS[name][0]) for name in names if name in _FILTER_METHODS]
        others = [name for name in names if name not in _FILTER_METHODS]
        return [
            sample
            for sample in data
            if not any(method(sample) for method in methods)
            and not any(self._dropped_by(sample, name) for name in others)
        ]

    def _balance_kto_labels(self, data: list[Sample]) -> list[Sample]:
        """The samples that balancing keeps, in their order."""
        if not data:
            return []
        view = views.balance(
            views.whole(Samples.of_table(pa.Table.from_batches([_batch(data)]))),
            tolerance=self.config.label_imbalance_tolerance,
            seed=self.config.random_seed,
        )
        return [data[row] for row in view.chosen.tolist()]

    def _create_dataset(self, data: list[Sample]) -> Any:
        """A torch dataset of samples."""
        from ktoformats.train.dataset import KTODataset

        return KTODataset(views.whole(Samples.of_table(pa.Table.from_batches([_batch(data)]))))

    def _processed(self, sample: Sample, name: str) -> Sample | list[Sample]:
        """What one format makes of a record; a list when it makes several samples."""
        samples = self._samples_of(sample, name)
        return samples[0] if len(samples) == 1 else samples

    def _samples_of(self, sample: Sample, name: str) -> list[Sample]:
        excluded = (
            _PROCESS | _VALIDATE | {n for pair in _FORMAT_METHODS.values() for n in pair} | {"_detect_kto_format"}
        )
        assembly = Overrides.of(self, without=excluded).apply(self._assembly())
        pipeline = assembly.pipeline
        chosen = [one for one in pipeline.detector.formats if one.name == name]
        single = Pipeline(
            detector=Detector(chosen, pipeline.columns),
            labels=pipeline.labels,
            quality=pipeline.quality,
            utility=pipeline.utility,
            policy=pipeline.policy,
            columns=pipeline.columns,
        )
        [block] = blocks_of_rows([sample], "<sample>")
        converted = single.convert(block)
        for reject in converted.rejects:
            raise RecordError(reject.reason, reject.message, field=reject.field)
        return [one for batch in converted.batches for one in to_samples(batch)]

    def _valid(self, sample: Sample, name: str) -> bool:
        """Whether a format makes samples of a record, all within the length bounds."""
        try:
            samples = self._samples_of(sample, name)
        except KtoFormatsError:
            return False
        return bool(samples) and not any(self._dropped_by(one, "length") for one in samples)

    def _dropped_by(self, sample: Sample, name: str) -> bool:
        filters = [one for one in self._assembly().filters if one.name == name]
        reasons, _ = views.filter_reasons(pa.Table.from_batches([_batch([sample])]), filters)
        return bool(reasons.any())


def _specification_part(registry: Registry, name: str) -> Callable[[str], float]:
    """A scalar part of the `specification` quality plugin, found where plugins are found."""
    module = sys.modules[registry.load("quality", "specification").cls.__module__]
    part: Callable[[str], float] = getattr(module, name)
    return part


def _listed(made: Sample | list[Sample]) -> list[Sample]:
    return made if isinstance(made, list) else [made]


def _scale_of(field: str, cell: Any, assembly: Assembly) -> str:
    """The label plugin that a first-party format names for a cell."""
    columns = assembly.pipeline.columns
    if field == columns.arabic_rating:
        return "rating" if type(cell) is not str or read_score(cell) is not None else "academic"
    return "rating" if field == columns.rating else "specification"


_DEFAULTS: Final = {"label": GOOD, "method": "kto", "preference_type": "binary", "weight": 1.0, "line": 0}


def _batch(samples: list[Sample]) -> pa.RecordBatch:
    """Processed samples as rows of SCHEMA, absent keys filled with empty values."""
    from ktoformats.feedback import SCHEMA

    rows = []
    for number, sample in enumerate(samples):
        row: Sample = {}
        for field in SCHEMA:
            empty: Any = None if field.nullable else ([] if pa.types.is_list(field.type) else _empty(field.type))
            row[field.name] = sample.get(field.name, _DEFAULTS.get(field.name, empty))
        row["conversation"] = [
            {"role": "", "content": "", **_turn_fields(turn)} for turn in row["conversation"] or []
        ]
        row["kept"] = row["kept"] if isinstance(row["kept"], str) else ""
        content = repr((row["prompt"], row["response"], row["label"], row["id"], number))
        row["id"] = hashlib.blake2b(content.encode(errors="replace"), digest_size=16).hexdigest()
        rows.append(row)
    return pa.Table.from_pylist(rows, SCHEMA).combine_chunks().to_batches()[0]


def _turn_fields(turn: dict[str, str]) -> dict[str, str]:
    return {name: turn.get(name, "") for name in Message._fields}


def _empty(kind: pa.DataType) -> Any:
    return 0 if pa.types.is_integer(kind) or pa.types.is_floating(kind) else ""


def _call_quality(loader: Any, response: str, prompt: str) -> float:
    """Call the scalar quality method, which may or may not take the prompt."""
    method = loader._calculate_response_quality  # noqa: SLF001 - the specification's name
    takes_prompt = len(inspect.signature(method).parameters) > 1
    return float(method(response, prompt) if takes_prompt else method(response))


class Overrides(NamedTuple):
    """Which methods a loader overrides."""

    loader: Any
    names: frozenset[str]

    @classmethod
    def of(cls, loader: Any, *, without: Iterable[str] = ()) -> Overrides:
        """Look a loader's class through; a loader without the specification's methods overrides none."""
        if not isinstance(loader, SpecificationMethods):
            return cls(loader, frozenset())
        changed = {
            name
            for name in METHODS
            if name in vars(loader) or getattr(type(loader), name) is not getattr(SpecificationMethods, name)
        }
        return cls(loader, frozenset(changed - set(without)))

    def has(self, *names: str) -> bool:
        """Whether any of these methods is overridden."""
        return not self.names.isdisjoint(names)

    @property
    def loads_rows(self) -> bool:
        """Whether the records come from an override."""
        return self.has("_load_raw_data")

    def rows(self, split: str) -> Iterable[Any] | None:
        """The records of an overridden `_load_raw_data`, or None."""
        return self.loader._load_raw_data(split) if self.loads_rows else None  # noqa: SLF001

    def cache(self, cache: Cache | None) -> Cache | None:
        """The cache, salted; none for overrides that take part in the build, no views for those that choose.

        What a method does hangs on its globals, closures and the loader's state, which no digest of its source
        can see. A loader that knows better declares a text `cache_salt` that changes when its answers do.
        """
        if cache is None or not self.names:
            return cache
        if not self.names - _AFTER_THE_BUILD:
            return cache._replace(views=False)
        salt = getattr(self.loader, "cache_salt", None)
        if self.loads_rows or not isinstance(salt, str):
            logger.info("Overridden methods decide what is built, so it is not cached (see cache_salt)")
            return None
        return cache._replace(salt=f"{type(self.loader).__module__}.{type(self.loader).__qualname__}:{salt}")

    def stages(self) -> Stages:
        """Overridden filtering and balancing of the whole data."""
        return Stages(
            filter=partial(_keep, self.loader, "_apply_kto_filtering") if self.has("_apply_kto_filtering") else None,
            balance=partial(_keep, self.loader, "_balance_kto_labels") if self.has("_balance_kto_labels") else None,
        )

    def apply(self, assembly: Assembly) -> Assembly:
        """The assembly with overridden methods wrapped as plugins."""
        decisive = self.names - {
            "_load_raw_data",
            "_apply_kto_filtering",
            "_balance_kto_labels",
            "_create_dataset",
        }
        if not decisive:
            return assembly
        pipeline = assembly.pipeline
        scores: _Scores = {}
        formats = [self._wrap_format(one, scores) for one in pipeline.detector.formats]
        if self.has("_normalize_kto_label", *_PROCESS):
            formats.append(self._wrap_format(NamedFormat("binary", _AnyAnswer()), scores, guest=True))
        detector = Detector(formats, pipeline.columns)
        if self.has("_detect_kto_format"):
            detector = _CallingDetector(formats, pipeline.columns, self.loader)
        labels = pipeline.labels
        if self.has("_normalize_kto_label", "_process_conversation_context", *_PROCESS, *_format_methods(0)):
            named = dict(labels.named.items()) | {_DECIDED: _Decided()}
            labels = LabelReader(named, {} if self.has("_normalize_kto_label") else labels.overrides)
        wrapped = Pipeline(
            detector=detector,
            labels=labels,
            quality=self._wrap_quality(pipeline.quality, scores),
            utility=self._wrap_utility(pipeline.utility, scores),
            policy=pipeline.policy,
            columns=pipeline.columns,
        )
        wrapped.in_process = True
        return assembly._replace(pipeline=wrapped, filters=self._wrap_filters(assembly.filters))

    def _wrap_format(self, one: NamedFormat, scores: _Scores, *, guest: bool = False) -> NamedFormat:
        process, validate = _FORMAT_METHODS.get(one.name, ("", ""))
        wrapped = one.format
        if self.has("_normalize_kto_label"):
            wrapped = _Relabelled(inner=wrapped, loader=self.loader)
        if self.has("_process_conversation_context"):
            wrapped = _Recontexted(inner=wrapped, loader=self.loader)
        if self.has(*_PROCESS):
            wrapped = _Processed(inner=wrapped, loader=self.loader, method="process_sample", scores=scores)
        elif self.has(process) and not guest:
            wrapped = _Processed(inner=wrapped, loader=self.loader, method=process, scores=scores)
        if self.has(*_VALIDATE):
            wrapped = _Validated(inner=wrapped, loader=self.loader, method="validate_sample")
        elif self.has(validate) and not guest:
            wrapped = _Validated(inner=wrapped, loader=self.loader, method=validate)
        return NamedFormat(one.name, wrapped)

    def _wrap_quality(self, quality: Quality, scores: _Scores) -> Quality:
        if self.has("_calculate_response_quality"):
            quality = _ScalarQuality(loader=self.loader)
        return _GivenQuality(inner=quality, scores=scores) if self._gives_scores else quality

    def _wrap_utility(self, utility: Utility, scores: _Scores) -> Utility:
        if self.has("_calculate_kto_utility"):
            utility = _ScalarUtility(loader=self.loader)
        return _GivenUtility(inner=utility, scores=scores) if self._gives_scores else utility

    @property
    def _gives_scores(self) -> bool:
        return self.has(*_PROCESS, *_format_methods(0))

    def _wrap_filters(self, filters: tuple[NamedFilter, ...]) -> tuple[NamedFilter, ...]:
        wrapped = {one.name: one for one in filters}
        for name, (method, reason) in _FILTER_METHODS.items():
            if self.has(method):
                wrapped[name] = NamedFilter(name, _ScalarFilter(loader=self.loader, method=method, reason=reason))
        return tuple(wrapped.values())


def _format_methods(which: int) -> list[str]:
    return [pair[which] for pair in _FORMAT_METHODS.values()]


def _keep(loader: Any, method: str, view: View) -> View:
    """Ask a list-level override which samples stay."""
    samples = list(to_samples(view.samples.take(view.chosen)))
    for sample, row in zip(samples, view.chosen.tolist(), strict=True):
        sample["id"] = f"{sample['id']}-{row}"
    originals = {
        sample["id"]: (row, copy.deepcopy(sample)) for sample, row in zip(samples, view.chosen.tolist(), strict=True)
    }
    kept = []
    for sample in getattr(loader, method)(samples):
        known = originals.get(sample.get("id", "")) if isinstance(sample, dict) else None
        if known is None or known[1] != sample:
            raise KTODataError(
                f"{type(loader).__name__}.{method} returned a sample that it was not given or that it "
                "changed; it may only choose among the samples (change them in process_sample)"
            )
        kept.append(known[0])
    stage = "balance" if "balance" in method else "override"
    return views.select(
        view, np.array(sorted(kept), np.int64), stage, stage if stage == "balance" else "refused_by_override"
    )


_Scores = dict[tuple[str, str, str, str], tuple[float | None, float | None]]
"""(system, prompt, response, label) to the quality and utility that an overridden method gave."""
_DECIDED: Final = "decided by an override"


class _Decided(Labels):
    """Reads what an override decided: good or bad, nothing else."""

    scale: Scale = scale_of("override", f"{BAD} < {GOOD}", good_from=1, bad_to=0)


class _Wrapper(Format):
    """A format around another; it claims what the inner one claims."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    inner: Format
    loader: Any = Field(exclude=True, repr=False)

    def claim(self, shape: Shape) -> Claim:
        return self.inner.claim(shape)

    def call(self, method: str, record: Any) -> Any:
        """Call a method of the loader with a copy of the record; what it raises rejects the record."""
        try:
            return getattr(self.loader, method)(copy.deepcopy(record))
        except KtoFormatsError:
            raise
        except Exception as error:
            name = f"{type(self.loader).__name__}.{method}"
            reason = "label_unrecognised" if method == "_normalize_kto_label" else "refused_by_override"
            kind = KTOLabelError if reason == "label_unrecognised" else RecordError
            raise kind(reason, f"{name} raised {type(error).__name__}: {error}") from error

    def facts(self, row: Row) -> Iterable[Fact]:
        return self.inner.facts(row)


class _AnyAnswer(Format):
    """A prompt and an answer without a verdict column: an overridden method may know its verdict."""

    def claim(self, shape: Shape) -> Claim:
        columns = shape.columns
        response = shape.any_of(columns.response, columns.completion)
        if response is None or columns.prompt not in shape:
            return Claim(0, "no prompt with a response")
        return Claim(1, f"has {columns.prompt}, {response}")

    def facts(self, row: Row) -> Iterator[Fact]:
        field = row.first(row.columns.response, row.columns.completion) or row.columns.response
        yield Judged(row.context(), row.response(field), None, "")


class _Relabelled(_Wrapper):
    """Asks `_normalize_kto_label` for the verdict of every judged or rated answer."""

    def facts(self, row: Row) -> Iterator[Fact]:
        for fact in self.inner.facts(row):
            if isinstance(fact, Pair | Ranked | Unjudged):
                yield fact
                continue
            cell = fact.value if isinstance(fact, Rated) else fact.verdict
            record = {**row.record, fact.field: cell} if fact.field else row.record
            try:
                label = self.call("_normalize_kto_label", record)
            except KTOLabelError as error:
                if error.reason not in ("null_verdict", "neutral"):
                    raise
                yield Unjudged(error.reason)
                continue
            if label not in (GOOD, BAD):
                name = f"{type(self.loader).__name__}._normalize_kto_label"
                raise KTOLabelError(
                    "label_unrecognised",
                    f"{name} returned {label!r:.60}, expected good or bad",
                    field=fact.field,
                )
            yield Judged(fact.context, fact.response, label, fact.field, _DECIDED)


class _Recontexted(_Wrapper):
    """Passes the raw conversation through `_process_conversation_context`."""

    def facts(self, row: Row) -> Iterable[Fact]:
        field = row.columns.conversation
        if row.get(field) is None:
            return self.inner.facts(row)
        changed = {**row.record, field: self.call("_process_conversation_context", row.record[field])}
        return self.inner.facts(type(row)(changed, row.columns))


class _Processed(_Wrapper):
    """Takes the samples that a method makes of a record."""

    method: str
    scores: Any = Field(exclude=True, repr=False)  # _Scores, shared: validation would copy it

    def facts(self, row: Row) -> Iterator[Fact]:
        for sample in _listed(self.call(self.method, row.record)):
            context, response = _context_of_sample(sample), sample.get("response")
            if not isinstance(response, str) or sample.get("label") not in (GOOD, BAD):
                name = f"{type(self.loader).__name__}.{self.method}"
                raise RecordError(
                    "refused_by_override", f"{name} must return response (text) and label (good or bad)"
                )
            key = (context.system, context.prompt, response, sample["label"])
            self.scores[key] = (sample.get("response_quality"), sample.get("utility_score"))
            yield Judged(
                context,
                response,
                sample["label"],
                "label",
                _DECIDED,
                (),
                sample.get("preference_type", "binary"),
            )


def _context_of_sample(sample: Sample) -> Context:
    turns = tuple(
        Message(**_turn_fields(turn)) for turn in sample.get("conversation") or () if turn.get("role") != "system"
    )
    return Context(sample.get("prompt", ""), sample.get("system", ""), turns, sample.get("tools", ""))


class _Validated(_Wrapper):
    """Rejects records that a method refuses."""

    method: str

    def facts(self, row: Row) -> Iterable[Fact]:
        if not self.call(self.method, row.record):
            raise RecordError("refused_by_override", f"{type(self.loader).__name__}.{self.method} returned false")
        return self.inner.facts(row)


class _CallingDetector(Detector):
    """Asks `_detect_kto_format`."""

    by_shape = False

    def __init__(self, formats: list[NamedFormat], columns: Any, loader: Any) -> None:
        super().__init__(formats, columns)
        self._loader = loader
        self._by_name = {one.name: one for one in reversed(formats)}

    def find(self, record: Any, key: Hashable | None = None) -> NamedFormat:
        if type(record) is not dict:
            return super().find(record, key)
        try:
            name = self._loader._detect_kto_format(copy.deepcopy(record))  # noqa: SLF001
        except KtoFormatsError:
            raise
        except Exception as error:
            raise RecordError("unknown_shape", str(error) or type(error).__name__) from error
        found = self._by_name.get(name)
        if found is None:
            known = ", ".join(sorted(self._by_name))
            raise RecordError("unknown_shape", f"_detect_kto_format returned {name!r:.60}; configured are {known}")
        return found


class _ScalarQuality(Quality):
    """Calls `_calculate_response_quality` for each sample."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    loader: Any = Field(exclude=True, repr=False)

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        pairs = zip(batch.column("response").to_pylist(), batch.column("prompt").to_pylist(), strict=True)
        with _blamed(self.loader, "_calculate_response_quality", batch):
            values = [_call_quality(self.loader, response, prompt) for response, prompt in pairs]
        for value in values:
            if not (math.isnan(value) or 0 <= value <= 1):
                name = f"{type(self.loader).__name__}._calculate_response_quality"
                raise KTODataError(f"{name} returned {value!r}, expected a number from 0 to 1")
        return np.array(values, np.float64)


class _ScalarUtility(Utility):
    """Calls `_calculate_kto_utility` for each sample."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    loader: Any = Field(exclude=True, repr=False)

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        values = []
        for sample in to_samples(batch):
            with _blamed(self.loader, "_calculate_kto_utility", sample):
                value = float(self.loader._calculate_kto_utility(sample))  # noqa: SLF001
            if not math.isfinite(value):
                name = f"{type(self.loader).__name__}._calculate_kto_utility"
                raise KTODataError(f"{name} returned {value!r}, expected a finite number")
            values.append(value)
        return np.array(values, np.float64)

    def utility(self, quality: np.ndarray, good: np.ndarray) -> np.ndarray:
        del quality, good
        raise KTODataError("an overridden _calculate_kto_utility needs whole samples, not arrays")


@contextmanager
def _blamed(loader: Any, method: str, where: Sample | pa.RecordBatch) -> Iterator[None]:
    """Whatever an override raises while scoring stops the build, with its name and the place."""
    try:
        yield
    except KtoFormatsError:
        raise
    except Exception as error:
        if isinstance(where, dict):
            place = f"{where['source']}:{where['line']}"
        else:
            lines = where.column("line").to_pylist()
            place = f"{where.column('source')[0].as_py()}:{lines[0]}-{lines[-1]}"
        name = f"{type(loader).__name__}.{method}"
        raise KTODataError(f"{place}: {name} failed ({type(error).__name__}: {error})") from error


def _given(batch: pa.RecordBatch, scores: _Scores, which: int) -> list[float | None]:
    columns = [batch.column(name).to_pylist() for name in ("system", "prompt", "response", "label")]
    return [scores.get(key, (None, None))[which] for key in zip(*columns, strict=True)]


class _GivenQuality(Quality):
    """The quality that an overridden method gave, else the inner plugin's."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    inner: Quality
    scores: Any = Field(exclude=True, repr=False)  # _Scores, shared: validation would copy it

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        given = _given(batch, self.scores, 0)
        inner = self.inner.score(batch)
        return np.array(
            [own if own is not None else other for own, other in zip(given, inner, strict=True)], np.float64
        )


class _GivenUtility(Utility):
    """The utility that an overridden method gave, else the inner plugin's."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    inner: Utility
    scores: Any = Field(exclude=True, repr=False)  # _Scores, shared: validation would copy it

    def score(self, batch: pa.RecordBatch) -> np.ndarray:
        given = _given(batch, self.scores, 1)
        inner = self.inner.score(batch)
        return np.array(
            [own if own is not None else other for own, other in zip(given, inner, strict=True)], np.float64
        )

    def utility(self, quality: np.ndarray, good: np.ndarray) -> np.ndarray:
        return self.inner.utility(quality, good)


class _ScalarFilter(Filter):
    """Calls one of the `_should_filter_by_*` methods for each sample."""

    model_config = ConfigDict(arbitrary_types_allowed=True)
    default_reasons: ClassVar[tuple[str, ...]] = ()
    loader: Any = Field(exclude=True, repr=False)
    method: str
    reason: str

    def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        with _blamed(self.loader, self.method, batch):
            mask = [bool(getattr(self.loader, self.method)(sample)) for sample in to_samples(batch)]
        yield Dropped(self.reason, np.array(mask, bool))


__all__ = ["METHODS", "Overrides", "SpecificationMethods"]
