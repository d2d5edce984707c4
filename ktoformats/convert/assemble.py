"""From a configuration and the installed plugins to a pipeline and its filters."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ktoformats.config.models import KTODataConfig, PluginChoice, split_choice
from ktoformats.convert.detect import Detector, NamedFormat
from ktoformats.convert.labels import LabelReader
from ktoformats.convert.pipeline import Pipeline
from ktoformats.convert.policy import Policy
from ktoformats.convert.presets import detected_presets, with_preset
from ktoformats.errors import ConfigError
from ktoformats.plugin.discovery import OBSERVER, PRESET
from ktoformats.plugin.kinds import Filter, Format, Labels, Plugin, Quality, Utility
from ktoformats.plugin.scale import Scale

if TYPE_CHECKING:
    from ktoformats.convert.presets import Preset
    from ktoformats.plugin.gather import Gather
    from ktoformats.plugin.registry import Registry

DEFAULT_FORMATS = "default"


class NamedFilter(NamedTuple):
    """A configured filter under its plugin name."""

    name: str
    filter: Filter


class Assembly(NamedTuple):
    """What a configuration comes to."""

    pipeline: Pipeline
    filters: tuple[NamedFilter, ...]
    plugins: dict[str, dict[str, str]]
    """Kind to `{name: "distribution version"}` of every plugin that takes part."""
    gather: Gather | None = None
    """Which records belong together, where the format says that some do."""
    conflicts: frozenset[str] = frozenset()
    """What its formats want done where an answer is judged both ways; empty where none of them says."""


def assemble(config: KTODataConfig, registry: Registry) -> Assembly:
    """Load the configured plugins and put the pipeline together.

    Args:
        config: The data section.
        registry: The installed plugins; only the named ones are imported.

    Raises:
        ConfigError: An option is wrong.
        PluginError: A named plugin is missing, blocked, in conflict or broken.
    """
    maker = _Maker(config, registry)
    columns = config.columns()
    formats = maker.formats(config.formats)
    pipeline = Pipeline(
        detector=Detector(formats, columns),
        labels=maker.labels([one.format for one in formats]),
        quality=cast("Quality", maker.configured("quality", "quality")),
        utility=cast("Utility", maker.configured("utility", "utility")),
        policy=_policy(config),
        columns=columns,
    )
    ours = "filters" not in config.model_fields_set
    filters = tuple(
        NamedFilter(split_choice(choice)[0], cast("Filter", maker.make("filter", choice, ours=ours)))
        for choice in config.filters
    )
    for name in config.observers:
        maker.used.setdefault(OBSERVER, {})[name] = registry.observe(name).owner
    conflicts = frozenset(how for one in formats if (how := one.format.conflict()) is not None)
    return Assembly(pipeline, filters, maker.used, _gather_of(formats), conflicts)


def _gather_of(formats: list[NamedFormat]) -> Gather | None:
    gathers = {one.name: gather for one in formats if (gather := one.format.gathers()) is not None}
    if gathers and len(formats) > 1:
        name = next(iter(gathers))
        raise ConfigError(
            f"formats: {name!r} brings records together, so it must be the only format of its files; "
            "put files of other formats under a source of their own"
        )
    return next(iter(gathers.values()), None)


def _policy(config: KTODataConfig) -> Policy:
    return Policy(
        convert_pairs=config.convert_pairwise_to_binary,
        pair_sides=config.pairwise_sampling_strategy,
        ranking=config.ranking_strategy,
        ranking_ties=config.ranking_ties,
        ranking_good_to=config.ranking_good_to,
        ranking_bad_from=config.ranking_bad_from,
        verdict_conflict=config.verdict_conflict,
        reasoning=config.reasoning,
        empty_prompt=config.min_prompt_length == 0,
        empty_response=config.min_response_length == 0,
        min_gap=config.min_gap,
        seed=config.random_seed,
    )


class _Maker:
    """Makes plugins from choices and notes where each came from."""

    def __init__(self, config: KTODataConfig, registry: Registry) -> None:
        self._config = config
        self._registry = registry
        self._inherited: dict[str, Any] = dict(config) | dict(config.kto_specific)
        self.used: dict[str, dict[str, str]] = {}

    def make(self, kind: str, choice: PluginChoice, *, ours: bool = False) -> Plugin:
        name, options = split_choice(choice)
        plugin = self._registry.make(kind, name, options, self._inherited, ours=ours)
        self.used.setdefault(kind, {})[name] = self._registry.owner(kind, name, ours=ours)
        return plugin

    def format(self, choice: PluginChoice) -> NamedFormat:
        """A format, with the options of the preset that its own may name."""
        name, options = split_choice(choice)
        options, preset = with_preset(self._registry, name, options)
        made = cast("Format", self.make("format", {name: options}))
        return NamedFormat(self._named(name, preset), made)

    def _named(self, name: str, preset: Preset | None) -> str:
        """What a format is called in reports: its plugin's name, and its preset's."""
        if preset is None:
            return name
        self.used.setdefault(PRESET, {})[preset.name] = preset.owner
        return f"{name}:{preset.name}"

    def configured(self, kind: str, field: str) -> Plugin:
        """The plugin that a field of the config names, or its default when nobody set it."""
        return self.make(kind, getattr(self._config, field), ours=field not in self._config.model_fields_set)

    def formats(self, choices: list[PluginChoice]) -> list[NamedFormat]:
        named: list[NamedFormat] = []
        for choice in choices:
            name, options = split_choice(choice)
            if name == DEFAULT_FORMATS:
                if options:
                    raise ConfigError("formats: `default` takes no options; name the format they are for")
                named += self._default_formats()
            else:
                named.append(self.format(choice))
        unique = {one.name: one for one in named}  # a format named beside `default` replaces its default options
        return list(unique.values())

    def _default_formats(self) -> list[NamedFormat]:
        named = []
        for one in self._registry.first_party("format"):
            cls = self._registry.load_found(one).cls
            if needs_options(cls):
                continue  # it reads nothing until somebody says what
            self.used.setdefault("format", {})[one.name] = one.owner
            named.append(NamedFormat(one.name, cast("Format", _with_inherited(cls, self._inherited))))
        return named + self._detected_presets()

    def _detected_presets(self) -> list[NamedFormat]:
        """The first-party presets that say by which shape they are known."""
        return [
            NamedFormat(
                self._named(one.format, one),
                cast("Format", self.make("format", {one.format: one.options}, ours=True)),
                fallback=True,
            )
            for one in detected_presets(self._registry)
        ]

    def labels(self, formats: list[Format]) -> LabelReader:
        names = {name for one in formats for name in one.label_plugins()}
        named = {name: cast("Labels", self.make("labels", name, ours=True)) for name in sorted(names)}
        overrides = {column: self._scale(choice) for column, choice in self._config.scales.items()}
        chosen = {column: one for column, one in self._config.scales.items() if not isinstance(one, Scale)}
        return LabelReader(named, overrides, {column: split_choice(one)[0] for column, one in chosen.items()})

    def _scale(self, choice: str | Scale | dict[str, Any]) -> Labels:
        if isinstance(choice, Scale):
            return _WrittenOut(scale=choice)
        return cast("Labels", self.make("labels", choice))


def needs_options(cls: type[Plugin]) -> bool:
    """Whether a plugin cannot be made without options."""
    return any(field.is_required() for field in cls.model_fields.values())


class _WrittenOut(Labels):
    """A scale that stands in the configuration."""


def _with_inherited(cls: type[Plugin], inherited: dict[str, Any]) -> Plugin:
    return cls(**{key: inherited[key] for key in cls.inherits if key in inherited})
