"""How much is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from bench.corpus import Corpora


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Sizes and repetitions of one run."""

    corpora: Corpora
    scratch: Path
    repeat: int = 5
    rows: int = 100_000
    """Rows of the files that are parsed and built."""
    peer_rows: int = 30_000
    """Rows of the files that the slower peers read, too."""
    sizes: tuple[int, ...] = (10_000, 100_000, 1_000_000)
    """Rows of the growing files, from small to large."""
    slow_rows: int = 100_000
    """The growing files up to so many rows are given to the peers, too."""
    megabytes: int = 500
    """Size of the file for one worker and two."""
    access_rows: int = 50_000
    """Records behind the dataset that is accessed."""
    token_rows: int = 5_000
    """Records that are tokenised."""
