"""A plugin under test: found as users find it, made as they make it, asked what the core asks."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ktoformats.config.models import KTODataConfig
from ktoformats.convert.assemble import DEFAULT_FORMATS, Assembly, assemble, needs_options
from ktoformats.convert.presets import OPTION, load_preset
from ktoformats.errors import PluginNotFoundError
from ktoformats.plugin.discovery import PRESET, strays
from ktoformats.plugin.faults import suggest
from ktoformats.plugin.kinds import Example, Examples, Format, Plugin
from ktoformats.plugin.registry import Registry
from ktoformats.store.gather import gathered
from ktoformats.testing import corpus
from ktoformats.testing.law import LawBrokenError, LawOpenError, short

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ktoformats.convert.pipeline import Converted
    from ktoformats.convert.presets import Preset
    from ktoformats.plugin.discovery import Found


class Result(NamedTuple):
    """What records became."""

    samples: list[dict[str, Any]]
    """Rows of `SCHEMA`, in source order."""
    converted: list[Converted]

    @property
    def triples(self) -> list[tuple[str, str, str]]:
        """Prompt, response and label of each sample."""
        return [(one["prompt"], one["response"], one["label"]) for one in self.samples]

    @property
    def rejected(self) -> list[tuple[str, str, str]]:
        """Reason, field and message of each rejected record."""
        return [(one.reason, one.field, one.message) for part in self.converted for one in part.rejects]

    @property
    def without_verdict(self) -> list[str]:
        """The reason of each record that nobody judged."""
        parts = [account for part in self.converted for account in part.accounts.values()]
        return [reason for account in parts for reason in account.without_verdict.elements()]

    @property
    def lost(self) -> list[str]:
        """The reason of each answer that is lost from a record which gave others."""
        parts = [account for part in self.converted for account in part.accounts.values()]
        return [reason for account in parts for reason in account.candidates_lost.elements()]


class Subject:
    """An installed plugin and what to try it on.

    Args:
        kind: `format`, `labels`, `quality`, `utility`, `filter`, `exporter`, `preset` or `observer`.
        name: Its name, as its entry point has it.
        examples: What to try it on; None takes the examples of its class (or of the preset's file).
        registry: The installed plugins; None asks the running interpreter.
        read_back: For exporters of a file type of their own: from the file's bytes to its rows.
    """

    def __init__(
        self,
        kind: str,
        name: str,
        *,
        examples: Examples | None = None,
        registry: Registry | None = None,
        read_back: Callable[[bytes], Iterable[Any]] | None = None,
    ) -> None:
        self.kind = kind
        self.name = name
        self.registry: Registry = registry or Registry()
        self.read_back = read_back
        self._examples = examples

    def __repr__(self) -> str:
        return f"{self.kind} {self.name!r}"

    @property
    def found(self) -> Found:
        """What its metadata says."""
        return self.registry.find(self.kind, self.name)

    @property
    def cls(self) -> type[Plugin]:
        """Its class.

        Raises:
            PluginError: It cannot be loaded.
        """
        return self.registry.load(self.kind, self.name).cls

    @cached_property
    def preset(self) -> Preset:
        """The preset's file, for presets."""
        return load_preset(self.registry, self.name)

    @property
    def examples(self) -> list[Example]:
        """What to try it on."""
        if self._examples is not None:
            return [_example(one) for one in self._examples]
        if self.kind == PRESET:
            about = self.preset.about
            return (
                [Example(about.example, about.gives)] if self.gathers else [Example(e, None) for e in about.example]
            )
        return [_example(one) for one in self.cls.examples]

    @property
    def options(self) -> dict[str, Any]:
        """Options with which it can be made: none, or those of its first example.

        Raises:
            LawOpenError: It needs options, and no example has some.
        """
        if self.kind == PRESET:
            return {}
        if self.examples:
            return dict(self.examples[0].options)
        if needs_options(self.cls):
            raise LawOpenError(
                "it cannot be made without options; give `examples` whose options make it: "
                "Example(given, gives, {'option': value})"
            )
        return {}

    def make(self, options: Mapping[str, Any] | None = None) -> Plugin:
        """The plugin with these options; with `self.options` by default."""
        inherited = dict(KTODataConfig())
        return self.registry.make(self.kind, self.name, self.options if options is None else options, inherited)

    def assembled(self, options: Mapping[str, Any] | None = None, *, beside_default: bool = False) -> Assembly:
        """The pipeline that users get who name it under `formats:`; alone, or beside the default ones."""
        chosen = dict(self.options if options is None else options)
        if self.kind == PRESET:
            choice: Any = {self.preset.format: {OPTION: self.name}}
        else:
            choice = {self.name: chosen} if chosen else self.name
        formats = [DEFAULT_FORMATS, choice] if beside_default else [choice]
        return assemble(KTODataConfig(formats=formats), self.registry)

    def converted(self, records: Sequence[Any], options: Mapping[str, Any] | None = None) -> Result:
        """What records become with this format and no other."""
        return converted(self.assembled(options), records)

    def result(self, example: Example) -> Result:
        """What an example becomes; an example that is a list is one file of records that belong together."""
        assembly = self.assembled(example.options)
        return converted(assembly, example.given if assembly.gather is not None else [example.given])

    def some_examples(self) -> list[Example]:
        """The examples.

        Raises:
            LawOpenError: There are none.
        """
        if not self.examples:
            raise LawOpenError(
                "there is nothing to try it on; give the class examples: "
                "`examples = ((given, gives), ...)`, see ktoformats.Example"
            )
        return self.examples

    @property
    def gathers(self) -> bool:
        """Whether it reads lists of records that belong together, as an example makes it."""
        if self.kind == PRESET:
            return self.assembled().gather is not None
        return cast("Format", self.make()).gathers() is not None


def _example(one: Any) -> Example:
    """An example of its parts.

    Raises:
        LawBrokenError: It has others.
    """
    if isinstance(one, tuple | list) and len(one) in {2, 3} and isinstance(Example(*one).options, Mapping):
        return Example(*one)
    raise LawBrokenError(
        f"its example {short(one, 80)} is neither (given, gives) nor (given, gives, options); `examples` is a tuple "
        "of examples, so mind the comma after a single one"
    )


def converted(assembly: Assembly, records: Sequence[Any]) -> Result:
    """What records become in a pipeline."""
    blocks = [corpus.block_of(list(records))]
    if assembly.gather is not None:
        blocks = list(gathered([(blocks[0].source, blocks)], assembly.gather))
    parts = [assembly.pipeline.convert(block) for block in blocks]
    return Result([row for part in parts for batch in part.batches for row in batch.to_pylist()], parts)


def subjects(name: str, registry: Registry, *, kind: str | None = None) -> list[Subject]:
    """The installed plugins and presets of this name, or of the distribution of this name.

    Raises:
        PluginNotFoundError: There are none.
    """
    installed = registry.statuses() + registry.statuses(presets=True)
    chosen = [one for one in installed if name in (one.name, one.distribution) and kind in (None, one.kind)]
    if not chosen:
        known = {one.name for one in installed} | {one.distribution for one in installed}
        message = f"no {kind or 'plugin, preset or distribution'} is called {name!r}{suggest(name, sorted(known))}"
        told = "".join(f"; {stray}" for stray in strays())
        raise PluginNotFoundError(f"{message}; `ktoformats plugin list` shows what is installed{told}", plugin=name)
    return [Subject(one.kind, one.name, registry=registry) for one in chosen]
