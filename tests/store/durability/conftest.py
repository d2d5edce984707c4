"""Processes to kill, houses to look at afterwards, and the laws that hold there."""

from __future__ import annotations

import os
import sys
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent


def _module(name: str) -> Any:
    """A module of this folder; tests are no package."""
    full = f"durability_{name}"
    if full not in sys.modules:
        spec = spec_from_file_location(full, HERE / f"{name}.py")
        assert spec
        assert spec.loader
        sys.modules[full] = module_from_spec(spec)
        spec.loader.exec_module(sys.modules[full])
    return sys.modules[full]


@pytest.fixture(scope="session")
def laws() -> Any:
    """What must hold, as plain functions of a house."""
    return _module("laws")


@pytest.fixture(scope="session")
def cases() -> Any:
    """What may change between two loads."""
    return _module("cases")


@pytest.fixture(scope="session")
def nursery(laws: Any) -> Iterator[Any]:
    """Gives processes that have imported all they need."""
    with laws.Nursery() as nursery:
        yield nursery


@pytest.fixture(scope="session")
def make_nursery(laws: Any) -> Iterator[Callable[..., Any]]:
    """Others, in another environment; each is started once."""
    known: dict[tuple[tuple[str, str], ...], Any] = {}

    def make(**environment: str) -> Any:
        key = tuple(sorted(environment.items()))
        if key not in known:
            known[key] = laws.Nursery(environment).__enter__()
        return known[key]

    yield make
    for one in known.values():
        one.close()


@pytest.fixture
def make_house(laws: Any, nursery: Any, tmp_path: Path) -> Callable[..., Any]:
    """New houses: a folder with sources and a cache; `bug` is made in every process that works there."""
    made: list[Any] = []

    def make(bug: str | None = None) -> Any:
        made.append(laws.House(nursery, tmp_path / f"house{len(made)}", bug=bug))
        return made[-1]

    return make


@pytest.fixture
def house(make_house: Callable[..., Any]) -> Any:
    """One house."""
    return make_house()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("KTOFORMATS_")]:
        monkeypatch.delenv(name)
