"""Samples on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats.cli import output

if TYPE_CHECKING:
    from collections.abc import Iterable

_TEXT: int = 60


def sample_table(title: str, samples: Iterable[dict[str, Any]]) -> None:
    """Prompt, response, label and scores, one sample a line."""
    rows = [
        (
            f"{output.safe(sample['source'], 40)}:{sample['line']}",
            output.safe(sample["prompt"], _TEXT),
            output.safe(sample["response"], _TEXT),
            sample["label"],
            f"{sample['response_quality']:.2f}",
            f"{sample['utility_score']:+.2f}",
            sample["format_type"],
        )
        for sample in samples
    ]
    output.table(title, ("from", "prompt", "response", "label", "quality", "utility", "format"), rows)
