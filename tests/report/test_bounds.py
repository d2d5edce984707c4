"""`--fail-on`: what is too much."""

from __future__ import annotations

import pytest

from ktoformats import ConfigError
from ktoformats.report.bounds import Bound, broken, read_bound
from ktoformats.report.finding import Finding

REPEATED = Finding("duplicates", 5, 0.05, "warning", "", "")
UNEVEN = Finding("imbalance", 5, 0.6, "note", "", "")


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("duplicates", Bound("duplicates", 0.0)),
        ("duplicates=0.05", Bound("duplicates", 0.05)),
        ("leakage = 5%", Bound("leakage", 0.05)),
        ("any", Bound("any", 0.0)),
    ],
)
def test_a_bound_is_read(text: str, bound: Bound) -> None:
    assert read_bound(text) == bound


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("duplicate", "there is no rule 'duplicate'; did you mean 'duplicates'?; the rules are any, one-class"),
        ("", "there is no rule ''; the rules are any"),
        ("leakage=2", r"expected a share from 0 to 1, such as leakage=0.05, got '2'"),
        ("leakage=", r"expected a share from 0 to 1, such as leakage=0.05, got ''"),
        ("leakage=nan", r"expected a share from 0 to 1"),
    ],
)
def test_what_is_no_bound_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        read_bound(text)


@pytest.mark.parametrize(
    ("bound", "fails"),
    [
        ("duplicates", [REPEATED]),
        ("duplicates=0.05", []),
        ("duplicates=0.04", [REPEATED]),
        ("imbalance", [UNEVEN]),
        ("any", [REPEATED]),
        ("leakage", []),
    ],
)
def test_only_what_is_more_than_allowed_fails(bound: str, fails: list[Finding]) -> None:
    assert broken([read_bound(bound)], [REPEATED, UNEVEN]) == fails
