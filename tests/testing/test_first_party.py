"""Every plugin and preset that ships with ktoformats holds the laws that its authors' plugins must hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from ktoformats import Registry
from ktoformats.testing import Subject, check, laws_for

if TYPE_CHECKING:
    from ktoformats.testing import Law

REGISTRY: Final = Registry()
PLUGINS: Final = [(one.kind, one.name) for one in REGISTRY.statuses() if one.distribution == "ktoformats"]
CASES: Final = [
    pytest.param(kind, name, law, id=f"{kind}-{name}-{law.name}") for kind, name in PLUGINS for law in laws_for(kind)
]
PRESETS: Final = [one.name for one in REGISTRY.presets() if one.first_party]


@pytest.mark.parametrize(("kind", "name", "law"), CASES)
def test_a_plugin_holds_a_law(kind: str, name: str, law: Law) -> None:
    remark = law.run(Subject(kind, name, registry=REGISTRY))
    assert remark is None or remark.strip()


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_holds_its_laws(name: str) -> None:
    verdicts = list(check(Subject("preset", name, registry=REGISTRY)))
    assert [verdict for verdict in verdicts if verdict.state != "holds"] == []
    assert {"deterministic", "examples", "verbatim", "pure", "modest"} <= {verdict.law for verdict in verdicts}
