"""The kit as pytest classes: one for each kind, every law a test of its own."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from ktoformats.plugin.discovery import OBSERVER, PRESET
from ktoformats.plugin.registry import Registry
from ktoformats.testing.check import laws_for
from ktoformats.testing.law import HOLDS, tried
from ktoformats.testing.subject import Subject

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ktoformats.plugin.kinds import Examples
    from ktoformats.testing.law import Law


class PluginLaws:
    """The laws of one installed plugin; take the class of its kind.

    class TestVotes(FormatLaws):
        plugin = "votes"
    """

    kind: ClassVar[str] = ""
    plugin: ClassVar[str] = ""
    """The plugin's name, as its entry point has it; install it first (`pip install -e .`)."""
    examples: ClassVar[Examples | None] = None
    """What to try it on; None takes the examples of its class."""

    def test_law(self, law: Law) -> None:
        """One law; what breaks it is told with what the author should change."""
        import pytest  # the check of what is installed needs none

        verdict = tried(law, self._subject())
        if verdict.state != HOLDS:
            pytest.fail(f"{law.text}\n{verdict.message}", pytrace=False)

    def _subject(self) -> Subject:
        return Subject(self.kind, self.plugin, examples=self.examples, registry=_registry())

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        """Every law of the kind is a test of its own (pytest calls this)."""
        if "law" in metafunc.fixturenames:
            laws = laws_for(cls.kind)
            metafunc.parametrize("law", laws, ids=[one.name for one in laws])


@cache
def _registry() -> Registry:
    """The installed plugins; they do not change while tests run."""
    return Registry()


class FormatLaws(PluginLaws):
    """The laws of a format."""

    kind: ClassVar[str] = "format"


class LabelsLaws(PluginLaws):
    """The laws of a label plugin."""

    kind: ClassVar[str] = "labels"


class QualityLaws(PluginLaws):
    """The laws of a quality plugin."""

    kind: ClassVar[str] = "quality"


class UtilityLaws(PluginLaws):
    """The laws of a utility."""

    kind: ClassVar[str] = "utility"


class FilterLaws(PluginLaws):
    """The laws of a filter."""

    kind: ClassVar[str] = "filter"


class ExporterLaws(PluginLaws):
    """The laws of an exporter."""

    kind: ClassVar[str] = "exporter"

    def read_back(self, data: bytes) -> Iterable[Any]:
        """The rows of a written file; override it for file types of your own.

        Files of .jsonl, .json, .csv, .tsv, .parquet, .arrow and .feather are read without it.

        Args:
            data: The file's bytes.
        """
        raise NotImplementedError

    def _subject(self) -> Subject:
        read_back = self.read_back if type(self).read_back is not ExporterLaws.read_back else None
        return Subject(self.kind, self.plugin, examples=self.examples, registry=_registry(), read_back=read_back)


class PresetLaws(PluginLaws):
    """The laws of a preset."""

    kind: ClassVar[str] = PRESET


class ObserverLaws(PluginLaws):
    """The laws of an observer."""

    kind: ClassVar[str] = OBSERVER
