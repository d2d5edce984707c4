"""The conformance kit: what every plugin must hold, as pytest classes and as a check of what is installed.

    from ktoformats.testing import FormatLaws

    class TestVotes(FormatLaws):
        plugin = "votes"

pytest shows one test a law. `ktoformats plugin check votes` tries the quick ones.
"""

from __future__ import annotations

from ktoformats.testing.check import check, laws_for
from ktoformats.testing.law import Law, LawBrokenError, LawOpenError, Verdict
from ktoformats.testing.subject import Result, Subject, subjects
from ktoformats.testing.suites import (
    ExporterLaws,
    FilterLaws,
    FormatLaws,
    LabelsLaws,
    ObserverLaws,
    PresetLaws,
    QualityLaws,
    UtilityLaws,
)

__all__ = [
    "ExporterLaws",
    "FilterLaws",
    "FormatLaws",
    "LabelsLaws",
    "Law",
    "LawBrokenError",
    "LawOpenError",
    "ObserverLaws",
    "PresetLaws",
    "QualityLaws",
    "Result",
    "Subject",
    "UtilityLaws",
    "Verdict",
    "check",
    "laws_for",
    "subjects",
]
