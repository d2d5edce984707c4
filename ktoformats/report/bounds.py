"""Which findings are too much: `--fail-on duplicates=0.01`."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final, NamedTuple

from ktoformats.errors import ConfigError
from ktoformats.plugin.faults import suggest
from ktoformats.report.finding import RULES

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ktoformats.report.finding import Finding

ANY: Final = "any"
"""Every warning, whatever its rule."""


class Bound(NamedTuple):
    """A rule, and the share from which on it fails."""

    rule: str
    share: float = 0.0

    def is_broken_by(self, finding: Finding) -> bool:
        """Whether a finding is more than is allowed; `any` passes over notes."""
        named = finding.severity == "warning" if self.rule == ANY else finding.rule == self.rule
        return named and finding.share > self.share


def read_bound(text: str) -> Bound:
    """`RULE` or `RULE=SHARE`.

    Args:
        text: The share is a number from 0 to 1, or a percentage.

    Raises:
        ConfigError: There is no such rule, or the share is none.
    """
    rule, sign, number = (part.strip() for part in text.partition("="))
    if rule != ANY and rule not in RULES:
        hint = suggest(rule, [ANY, *RULES])
        raise ConfigError(
            f"--fail-on {text}: there is no rule {rule!r}{hint}; the rules are {', '.join([ANY, *RULES])}"
        )
    if not sign:
        return Bound(rule)
    try:
        share = float(number.removesuffix("%")) / (100 if number.endswith("%") else 1)
    except ValueError:
        share = math.nan
    if not 0 <= share <= 1:
        raise ConfigError(f"--fail-on {text}: expected a share from 0 to 1, such as {rule}=0.05, got {number!r}")
    return Bound(rule, share)


def broken(bounds: Iterable[Bound], findings: Iterable[Finding]) -> list[Finding]:
    """The findings that are more than is allowed."""
    allowed = list(bounds)
    return [finding for finding in findings if any(bound.is_broken_by(finding) for bound in allowed)]
