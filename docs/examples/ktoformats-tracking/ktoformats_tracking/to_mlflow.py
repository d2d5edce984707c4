"""The observer `tracking-mlflow`: numbers as metrics of the active run, or of a run of their own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ktoformats import hookimpl

from ktoformats_tracking.numbers import numbers_of

if TYPE_CHECKING:
    from collections.abc import Mapping


@hookimpl
def ktoformats_dataset_built(split: str, report: Mapping[str, Any]) -> None:
    """Log the accounting; MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME say where.

    Raises:
        ImportError: MLflow is not installed.
    """
    try:
        import mlflow
    except ImportError as error:
        raise ImportError("MLflow is not installed: pip install 'ktoformats-tracking[mlflow]'") from error
    numbers = numbers_of(split, report)
    if mlflow.active_run() is not None:
        mlflow.log_metrics(numbers)
        return
    with mlflow.start_run(run_name=f"ktoformats {split}"):
        mlflow.log_metrics(numbers)
