"""From the report of a build to numbers with names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping


def numbers_of(split: str, report: Mapping[str, Any]) -> dict[str, float]:
    """Name every number of the accounting; there is no text among them.

    Args:
        split: Stands in every name.
        report: As `ktoformats_dataset_built` brings it.
    """
    total = report["total"]
    counts = {name: total[name] for name in ("lines", "blank", "used", "samples")}
    counts |= {f"rejected/{reason}": count for reason, count in total["rejected"].items()}
    counts |= {f"without_verdict/{reason}": count for reason, count in total["without_verdict"].items()}
    counts |= {f"kept/{label}": count for label, count in report["labels"].items()}
    counts |= report["weights"] or {}  # there are none where a label is missing
    counts |= {"warnings": len(report["warnings"]), "cached": report["cached"]}
    return {f"ktoformats/{split}/{name}": float(count) for name, count in counts.items()}
