"""The observer `tracking-wandb`: numbers in the summary of the active run, or of a run of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import hookimpl

from ktoformats_tracking.numbers import numbers_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@hookimpl
def ktoformats_dataset_built(split: str, report: Mapping[str, Any]) -> None:
    """Note the accounting in a summary, which is no step of a training; WANDB_PROJECT and WANDB_MODE say where.

    Raises:
        ImportError: wandb is not installed.
    """
    try:
        import wandb
    except ImportError as error:
        raise ImportError("wandb is not installed: pip install 'ktoformats-tracking[wandb]'") from error
    numbers = numbers_of(split, report)
    if wandb.run is not None:
        wandb.run.summary.update(numbers)
        return
    with wandb.init(job_type="ktoformats", name=f"ktoformats {split}") as run:
        run.summary.update(numbers)
