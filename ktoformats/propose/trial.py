"""Trying a mapping on records, to see what it would make of them."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from ktoformats.config.models import KTODataConfig
from ktoformats.convert.assemble import assemble
from ktoformats.convert.policy import decide
from ktoformats.errors import KtoFormatsError, RecordError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.row import Row

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.plugin.kinds import Format
    from ktoformats.plugin.registry import Registry

FORMAT = "mapping"


class Outcome(NamedTuple):
    """What a mapping makes of records."""

    labels: tuple[frozenset[tuple[str, str]], ...]
    """For each record the (answer, label) of its samples."""
    rejected: Counter[str]
    """Reason to the number of records or answers lost to it."""
    unjudged: Counter[str]

    @property
    def good(self) -> int:
        """How many samples are good."""
        return sum(label == GOOD for one in self.labels for _, label in one)

    @property
    def bad(self) -> int:
        """How many samples are bad."""
        return sum(label == BAD for one in self.labels for _, label in one)

    @property
    def used(self) -> int:
        """How many records give samples."""
        return sum(map(bool, self.labels))

    def says(self, answer: str, label: str) -> bool:
        """Whether an answer has this label wherever it has one, and has it somewhere.

        Only where no text is the answer are those looked at that begin with it.
        """
        made = [(text.strip(), given) for one in self.labels for text, given in one]
        known = answer.strip()
        found = {given for text, given in made if text == known}
        if not found and len(known) >= PREFIX:
            found = {given for text, given in made if text.startswith(known)}
        return found == {label}


PREFIX = 20
"""So many characters of an answer are enough to know it by."""


class Trial:
    """Tries mappings.

    Args:
        registry: The installed plugins.
        records: Parsed records.
    """

    def __init__(self, registry: Registry, records: Sequence[Any]) -> None:
        self._registry = registry
        self._records = records
        config = KTODataConfig()
        self._columns = config.columns()
        pipeline = assemble(config, registry).pipeline
        self._policy, self._labels = pipeline.policy, pipeline.labels

    def run(self, options: dict[str, Any]) -> Outcome | None:
        """What these options of the mapping format come to; None where they cannot be meant, or tried."""
        try:
            made = cast("Format", self._registry.make("format", FORMAT, options, {}))
        except KtoFormatsError:
            return None
        if made.gathers() is not None:
            return None  # what hangs on other records cannot be tried record by record
        labels, rejected, unjudged = [], Counter[str](), Counter[str]()
        for record in self._records:
            try:
                outcome = decide(made.facts(Row(record, self._columns)), self._policy, self._labels)
            except RecordError as error:
                rejected[error.reason] += 1
                labels.append(frozenset[tuple[str, str]]())
                continue
            except Exception:  # noqa: BLE001 - as in the pipeline: what trips over one record costs that record
                rejected["format_failed"] += 1
                labels.append(frozenset[tuple[str, str]]())
                continue
            rejected.update(error.reason for error in outcome.lost)
            unjudged.update(outcome.unjudged)
            labels.append(frozenset((one.text, one.label) for one in outcome.candidates))
        return Outcome(tuple(labels), rejected, unjudged)
