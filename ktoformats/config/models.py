"""The configuration: every field of the specification, and what the loader needs beyond it."""

from __future__ import annotations

from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from ktoformats.config.files import read_yaml
from ktoformats.errors import ConfigError
from ktoformats.plugin.faults import sentence
from ktoformats.plugin.row import Columns
from ktoformats.plugin.scale import Scale

Sources = str | PathLike[str] | list[str | PathLike[str]]
PluginChoice = str | dict[str, dict[str, Any]]
"""A plugin's name, or its name with its options: `{likert: {scale: {...}}}`."""


ARABIC_LABELS: Final[dict[str, Literal["good", "bad"]]] = {
    "جيد": "good",
    "ممتاز": "good",
    "مقبول": "good",
    "سيء": "bad",
    "ضعيف": "bad",
    "مرفوض": "bad",
}
"""The specification's mapping."""


class Section(BaseModel):
    """A part of the configuration; an unknown key is an error with a suggestion."""

    model_config: ClassVar[ConfigDict] = ConfigDict(
        extra="forbid", validate_assignment=True, protected_namespaces=(), allow_inf_nan=False
    )

    def __init__(self, **values: Any) -> None:
        try:
            super().__init__(**values)
        except ValidationError as error:
            raise ConfigError(faults=explain(error, type(self), values)) from error


def explain(error: ValidationError, model: type[BaseModel], values: dict[str, Any]) -> tuple[str, ...]:
    """All faults of a configuration, a sentence each: key, what was seen, what was expected."""
    lines: list[str] = []
    for fault in error.errors():
        where = ".".join(str(part) for part in fault["loc"])
        inner = fault.get("ctx", {}).get("error")
        if isinstance(inner, ConfigError):  # a section inside this one
            lines += [f"{where}.{line}" for line in inner.faults]
            continue
        lines.append(sentence(fault, values, _fields_at(model, fault["loc"][:-1]), limit=80))
    return tuple(lines)


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> list[str]:
    for part in path:
        field = model.model_fields.get(str(part))
        inner = field.annotation if field else None
        if not (isinstance(inner, type) and issubclass(inner, BaseModel)):
            return []
        model = inner
    return list(model.model_fields)


class KTOSpecificConfig(Section):
    """The parameters of prospect theory (Tversky & Kahneman 1992, "Advances in prospect theory")."""

    alpha: float = Field(default=0.88, gt=0, le=1, description="Curvature of gains and losses: 1 is a straight line.")
    lambda_param: float = Field(
        default=2.25, gt=0, description="Loss aversion: how much more a loss weighs than a gain."
    )


class SourceConfig(Section):
    """Some files of a split, with what is theirs alone; what is not set is as in the data section."""

    path: Sources = Field(description="As train_file.")
    split: Literal["train", "validation", "test"] = Field(default="train", description="The split they belong to.")
    format: PluginChoice | None = Field(default=None, description="Their one format.")
    formats: list[PluginChoice] | None = Field(default=None, min_length=1, description="Their exact set of formats.")
    scales: dict[str, str | Scale | dict[str, Any]] | None = Field(
        default=None, description="Their scales; they replace those of the data section."
    )
    columns: dict[str, str] = Field(
        default_factory=dict, description="What their columns are called: {prompt: question} for prompt_column."
    )
    keep: list[str] | None = Field(default=None, description="Columns carried along to every sample, under `kept`.")
    weight: float | None = Field(
        default=None, gt=0, description="Their share among the sources with a weight: 3 beside 1 gives three to one."
    )
    limit: int | dict[Literal["good", "bad"], int] | None = Field(
        default=None, description="At most so many samples, or so many of each label: {good: 500, bad: 500}."
    )
    tags: list[str] = Field(default_factory=list, description="Carried along to every sample, under `kept`.")
    licence: str = Field(default="", description="Carried along to every sample, under `kept`.")

    @field_validator("scales", mode="before")
    @classmethod
    def _read_scales(cls, scales: Any) -> Any:
        if not isinstance(scales, dict):
            return scales
        return {column: _read_scale(str(column), choice) for column, choice in scales.items()}

    @field_validator("limit")
    @classmethod
    def _leaves_something(cls, limit: Any) -> Any:
        numbers = list(limit.values()) if isinstance(limit, dict) else [] if limit is None else [limit]
        if min(numbers, default=1) < 1:
            raise ValueError("expected a number from 1 on")
        return limit

    @model_validator(mode="after")
    def _says_it_once(self) -> Self:
        if self.format is not None and self.formats is not None:
            raise ValueError("format is the short form of formats; give one of them")
        return self

    def overrides(self) -> dict[str, Any]:
        """The fields of the data section that it replaces."""
        formats = self.formats if self.format is None else [self.format]
        own = {"formats": formats, "scales": self.scales, "keep": self.keep}
        columns = {f"{name}_column": column for name, column in self.columns.items()}
        return {name: value for name, value in own.items() if value is not None} | columns


TOKEN_LIMITS: Final = (
    "max_tokens",
    "max_prompt_tokens",
    "max_completion_tokens",
    "truncate_prompt",
    "truncate_completion",
)
"""Fields that change neither the samples nor the choice among them, only what a trainer sees of each."""


class BasePreferenceConfig(Section):
    """What every preference loader needs: sources, columns, bounds, memory, accounting."""

    # Sources
    train_file: Sources | None = Field(default=None, description="A path, a list of paths or a glob.")
    validation_file: Sources | None = Field(default=None, description="As train_file, for the validation split.")
    test_file: Sources | None = Field(default=None, description="As train_file, for the test split.")
    sources: list[SourceConfig] = Field(
        default_factory=list, description="Files with formats, scales, weights or limits of their own, see below."
    )
    oversample: bool = Field(
        default=False, description="Reach the weights of sources by repeating samples instead of leaving some out."
    )

    # Splits of one file
    validation_fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="This share of train_file is the validation split; no conversation stands in two.",
    )
    test_fraction: float | None = Field(
        default=None,
        gt=0,
        lt=1,
        description="This share of train_file is the test split; no conversation stands in two.",
    )

    # Columns
    prompt_column: str = Field(default="prompt", description="Text, or a list of messages.")
    system_column: str = Field(default="system", description="Text of the system message.")
    conversation_column: str = Field(
        default="conversation", description="Messages before the answer, or [user, assistant] pairs."
    )
    messages_column: str = Field(default="messages", description="Messages that end in the judged answer.")
    tools_column: str = Field(default="tools", description="Tools offered to the assistant.")
    keep: list[str] = Field(default_factory=list, description="Columns carried along to every sample, under `kept`.")

    # Plugins
    formats: list[PluginChoice] = Field(
        default=["default"], min_length=1, description="The exact set of formats; `default` is the first-party five."
    )
    scales: dict[str, str | Scale | dict[str, Any]] = Field(
        default_factory=dict,
        description="Verdict column to label plugin: its name, {name: {options}}, or a scale written out.",
    )
    quality: PluginChoice = Field(default="form", description="What scores `response_quality`.")
    utility: PluginChoice = Field(default="prospect", description="What computes `utility_score`.")
    filters: list[PluginChoice] = Field(
        default=["length", "quality", "utility"], description="What drops samples, in this order."
    )
    observers: list[str] = Field(
        default_factory=list,
        description="What hears of rejected records and finished builds; it changes no sample, see hooks.md.",
    )

    # Bounds, in characters
    min_prompt_length: int = Field(
        default=1, ge=0, description="Counted without surrounding white space; 0 allows an empty prompt."
    )
    max_prompt_length: int = Field(default=100_000, ge=1)
    min_response_length: int = Field(
        default=1, ge=0, description="Counted without surrounding white space; 0 allows an empty response."
    )
    max_response_length: int = Field(default=100_000, ge=1)
    min_response_quality: float | None = Field(default=None, ge=0, le=1, description="No cut unless set.")

    # Bounds, in tokens; they hold where a tokenizer is given
    max_tokens: int | None = Field(default=None, ge=3, description="Of prompt and completion together.")
    max_prompt_tokens: int | None = Field(default=None, ge=1, description="Of a prompt.")
    max_completion_tokens: int | None = Field(
        default=None, ge=2, description="The end token of the completion is one of them."
    )
    truncate_prompt: Literal["keep_end", "keep_start", "drop"] = Field(
        default="keep_end", description="What becomes of a prompt that is too long in tokens."
    )
    truncate_completion: Literal["drop", "keep_eos"] = Field(
        default="drop",
        description="A completion that is too long in tokens: leave its sample out, or cut it and end it there.",
    )
    reasoning: Literal["keep", "strip", "reject"] = Field(
        default="keep", description="What happens to <think> blocks and reasoning_content of an answer."
    )
    verdict_conflict: Literal["reject", "first"] = Field(
        default="reject",
        description="Two verdict columns of one record that disagree: reject it, or let the first decide.",
    )

    # Building
    random_seed: int = Field(default=42, ge=0, lt=2**63)
    preprocessing_num_workers: Annotated[int, Field(ge=1, le=256)] | Literal["auto"] = Field(
        default=1,
        description="Processes that convert; `auto`: one for each processor, if there is enough to do.",
    )
    worker_timeout: float = Field(
        default=600, gt=0, description="Seconds after which a worker process that is silent over one block is ended."
    )
    streaming: bool = Field(default=False, description="Build in bounded memory; the dataset is memory-mapped.")
    buffer_size: int = Field(
        default=10_000, ge=1, description="With streaming: samples held in memory while building."
    )
    lazy_loading: bool = Field(default=False, description="Leave samples on disk, decode them on access.")
    max_samples_in_memory: int | None = Field(
        default=None, ge=1, description="More samples than this are left on disk; unset, more than 32 MiB."
    )

    # Accounting
    strict: bool = Field(
        default=False, description="Fewer than min_samples_per_label of a label is an error, not a warning."
    )
    on_error: Literal["quarantine", "skip", "fail"] = Field(
        default="quarantine",
        description="Rejected records: write them out and keep a budget, count them only, or stop at the first.",
    )
    max_rejected: int = Field(default=100, ge=0, description="The budget: a file may lose this many records ...")
    max_rejected_share: float = Field(
        default=0.01, ge=0, le=1, description="... or this share; past both the build stops."
    )
    rejects_file: Path | None = Field(
        default=None, description="Where quarantined records go: JSON Lines. `{split}` is replaced."
    )
    require_both_labels: bool = Field(default=True, description="One label class in the train split is an error.")

    @field_validator("formats", "filters")
    @classmethod
    def _one_name_each(cls, choices: list[PluginChoice]) -> list[PluginChoice]:
        named = [(name, options.get("preset")) for name, options in map(split_choice, choices)]
        names = [f"{name}:{preset}" if preset else name for name, preset in named]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} is named twice")
        return choices

    @field_validator("observers")
    @classmethod
    def _one_observer_each(cls, names: list[str]) -> list[str]:
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"{twice[0]!r} is named twice")
        return names

    @field_validator("scales", mode="before")
    @classmethod
    def _read_scales(cls, scales: Any) -> Any:
        """Tell a scale written out from a label plugin with options, so that each gets its own errors."""
        if not isinstance(scales, dict):
            return scales
        return {column: _read_scale(str(column), choice) for column, choice in scales.items()}

    @field_validator("quality", "utility")
    @classmethod
    def _well_formed(cls, choice: PluginChoice) -> PluginChoice:
        split_choice(choice)
        return choice

    @model_validator(mode="after")
    def _splits_once(self) -> Self:
        for split in ("validation", "test"):
            named = getattr(self, f"{split}_file") or any(one.split == split for one in self.sources)
            if named and getattr(self, f"{split}_fraction") is not None:
                raise ValueError(f"{split}_fraction takes a share of train_file, but {split} has files of its own")
        if sum(self.fractions().values()) > 1 + 1e-9 or self.fractions().get("train", 1) <= 0:
            raise ValueError("validation_fraction and test_fraction leave nothing to train on")
        return self

    def fractions(self) -> dict[str, float]:
        """The share of train_file of every split that is taken from it; empty where none is."""
        others = {name: getattr(self, f"{name}_fraction") for name in ("validation", "test")}
        taken = {name: share for name, share in others.items() if share is not None}
        return {"train": 1 - sum(taken.values()), **taken} if taken else {}

    def columns(self) -> Columns:
        """The column names, as plugins see them."""
        names = {one.name: getattr(self, f"{one.name}_column", None) for one in fields(Columns)}
        return Columns(**{name: column for name, column in names.items() if column}, kept=self.carried())

    def carried(self) -> tuple[str, ...]:
        """The columns that stand in a sample's `kept`."""
        return tuple(self.keep)


class KTODataConfig(BasePreferenceConfig):
    """Configuration for KTO data loading."""

    # Label handling
    label_column: str = "label"
    response_column: str = "response"
    completion_column: str = "completion"
    score_column: str = "score"
    rating_column: str = "rating"
    preference_column: str = "preference"
    arabic_rating_column: str = Field(default="تقييم", description="Arabic grades, numbers or stars.")

    # Pairs and rankings
    chosen_column: str = "chosen"
    rejected_column: str = "rejected"
    responses_column: str = "responses"
    rankings_column: str = "rankings"
    convert_pairwise_to_binary: bool = True
    min_gap: float | None = Field(
        default=None, ge=0, description="A preference by less than this, in the numbers of whoever judged, is none."
    )
    pairwise_sampling_strategy: Literal["all", "balanced", "random"] = Field(
        default="all",
        description="Both sides; both sides of pairs of which both survive; or one side by seeded hash.",
    )
    ranking_strategy: Literal["best_worst", "best_rest", "halves", "threshold"] = Field(
        default="best_worst", description="Which ranks are good and which bad."
    )
    ranking_ties: Literal["reject", "allow"] = "reject"
    ranking_good_to: int = Field(default=1, ge=1, description="With `threshold`: places 1 to this one are good ...")
    ranking_bad_from: int | None = Field(
        default=None, ge=2, description="... and places from this one on are bad (default: all others)."
    )

    # Answers that stand there more than once
    conflict: Literal["report", "drop", "majority", "last"] = Field(
        default="report",
        description="One answer judged good and bad: keep and tell, drop it, or keep the label that most, or the "
        "latest, verdicts give.",
    )
    time_column: str | None = Field(
        default=None, description="With `conflict: last`: when the verdict was given, a number or an ISO 8601 text."
    )
    duplicates: Literal["report", "drop"] = Field(
        default="report", description="The same answer with the same label again: keep and tell, or keep the first."
    )

    # Label balancing
    balance_labels: bool = True
    label_imbalance_tolerance: float = Field(default=0.1, ge=0)
    min_samples_per_label: int = Field(
        default=100, ge=0, description="Fewer of a label warns, and fails with `strict`."
    )

    # Utility filtering; no bounds unless set, see docs/explanation/differences.md
    min_utility_threshold: float | None = None
    max_utility_threshold: float | None = None
    filter_low_utility: bool = True

    # KTO-specific parameters
    kto_specific: KTOSpecificConfig = Field(default_factory=KTOSpecificConfig)

    # Arabic-specific
    arabic_label_mapping: dict[str, Literal["good", "bad"]] = Field(
        default_factory=lambda: dict(ARABIC_LABELS),
        description="Words of the label, score and preference columns.",
    )

    @model_validator(mode="after")
    def _last_needs_a_time(self) -> Self:
        if self.conflict == "last" and not self.time_column:
            raise ValueError("conflict: last needs time_column, which says when each verdict was given")
        return self

    def for_source(self, source: SourceConfig) -> KTODataConfig:
        """The data section as it holds for one source.

        Raises:
            ConfigError: What the source sets does not fit; the message names the source's path.
        """
        values = {name: getattr(self, name) for name in self.model_fields_set - {"sources"}}
        try:
            return KTODataConfig(**values | source.overrides())
        except ConfigError as error:
            raise ConfigError(f"source {source.path}: {error}") from error

    def carried(self) -> tuple[str, ...]:
        """The columns that stand in a sample's `kept`, the time of its verdict among them."""
        return tuple(dict.fromkeys([*self.keep, *filter(None, [self.time_column])]))


class ModelConfig(Section):
    """The model that will be trained; the loader itself does not need it."""

    model_name: str = Field(default="", description="A name or a folder for AutoTokenizer.from_pretrained.")


class KTOConfig(Section):
    """A whole configuration file."""

    model: ModelConfig = Field(default_factory=ModelConfig)
    data: KTODataConfig = Field(default_factory=KTODataConfig)

    @classmethod
    def from_yaml(cls, path: str | PathLike[str]) -> KTOConfig:
        """Read a YAML file.

        Args:
            path: The file; at most 1 MiB, no aliases, no unknown keys.

        Raises:
            ConfigError: It cannot be read or a value is wrong; the message names file and key.
        """
        values = read_yaml(path)
        try:
            return cls(**values)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error


def _read_scale(column: str, choice: Any) -> Any:
    """A scale that is written out, named after its column; anything else as it is."""
    written_out = isinstance(choice, dict) and (len(choice) != 1 or not choice.keys().isdisjoint(Scale.model_fields))
    if not written_out:
        return choice
    try:
        return Scale(**{"name": column, **choice})
    except ValidationError as error:
        faults = [
            ".".join(map(str, (column, *fault["loc"]))) + f": {_plain(fault['msg'])}" for fault in error.errors()
        ]
        raise ValueError("; ".join(faults)) from None


def _plain(message: str) -> str:
    return message.removeprefix("Value error, ")


def split_choice(choice: PluginChoice) -> tuple[str, dict[str, Any]]:
    """A plugin choice as name and options.

    Raises:
        ValueError: It names none or several plugins.
    """
    if isinstance(choice, str):
        return choice, {}
    if len(choice) != 1:
        raise ValueError(f"expected one plugin, {{name: {{options}}}}, got {list(choice)}")
    [(name, options)] = choice.items()
    if options is not None and not isinstance(options, dict):
        raise ValueError(f"expected {{{name}: {{options}}}}, got {options!r:.40} as the options of {name!r}")
    return name, options or {}
