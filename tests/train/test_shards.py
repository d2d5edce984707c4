"""A folder of shards appears with its manifest, or not at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ktoformats import SourceError
from ktoformats.train import shards as module
from ktoformats.train.shards import publish

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("earlier", ["old", ""])
def test_without_its_manifest_nothing_is_published(
    earlier: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, target = tmp_path / "work", tmp_path / "out"
    (work / "shards").mkdir(parents=True)
    (work / "shards" / "part-00000.parquet").write_text("new")
    if earlier:
        target.mkdir()
        (target / "part-00000.parquet").write_text(earlier)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module, "write_manifest", full)
    with pytest.raises(SourceError, match="nothing was published"):
        publish(work / "shards", target, {})
    assert target.exists() == bool(earlier)
    if earlier:
        assert (target / "part-00000.parquet").read_text() == earlier
