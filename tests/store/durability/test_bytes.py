"""The same sources leave the same bytes, whoever builds and wherever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ENVIRONMENTS = [
    {"PYTHONHASHSEED": seed, "TZ": zone, "LANG": language, "LC_ALL": language}
    for seed in ("0", "1", "random")
    for zone, language in (("UTC", "C"), ("Africa/Cairo", "ar_EG.UTF-8"), ("Europe/Istanbul", "tr_TR.UTF-8"))
]


def test_builds_leave_the_same_bytes(laws: Any, house: Any, make_nursery: Callable[..., Any]) -> None:
    nurseries = [make_nursery(**ENVIRONMENTS[number]) for number in (0, 8)]
    assert laws.builds_leave_the_same_bytes(house, nurseries, (1, 2)) == 8


@pytest.mark.campaign
@pytest.mark.timeout(3600)
def test_all_builds_leave_the_same_bytes(laws: Any, house: Any, make_nursery: Callable[..., Any]) -> None:
    nurseries = [make_nursery(**own) for own in ENVIRONMENTS]
    compared = laws.builds_leave_the_same_bytes(house, nurseries, (1, 2, 8))
    print(f"{compared} builds, 1 digest")  # noqa: T201 - the figures of a campaign are its result
