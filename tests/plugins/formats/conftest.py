"""A mapping tried on a few records, end to end."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ktoformats import KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ktoformats import Report


@pytest.fixture
def mapped(tmp_path: Path) -> Callable[..., tuple[list[dict[str, Any]], Report]]:
    def loaded(mapping: str, *records: Any, **settings: Any) -> tuple[list[dict[str, Any]], Report]:
        path = tmp_path / "records.jsonl"
        path.write_text("".join(json.dumps(record) + "\n" for record in records), encoding="utf-8")
        config = KTODataConfig(
            train_file=path,
            formats=[{"mapping": yaml.safe_load(mapping)}],
            **{"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False, **settings},
        )
        loader = KTODataLoader(config, enable_cache=False)
        samples = list(loader.load_dataset("train"))
        return samples, loader.report

    return loaded
