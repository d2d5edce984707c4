"""The pytest plugin: `ktoformats_convert`, a fixture that converts records with installed plugins."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ktoformats.testing.subject import Result


@pytest.fixture
def ktoformats_convert() -> Callable[..., Result]:
    """Convert records: `ktoformats_convert(records, formats=["votes"])`.

    Takes records, and fields of the data section by name; gives a `ktoformats.testing.Result` with `samples`,
    `triples`, `rejected` and `without_verdict`. Nothing is filtered or balanced.
    """
    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import assemble
    from ktoformats.plugin.registry import Registry
    from ktoformats.testing.subject import converted

    def run(records: Sequence[Any], **data: Any) -> Result:
        return converted(assemble(KTODataConfig(**data), Registry()), records)

    return run
