"""What stands beside an output: its manifest, where its rows come from, what was rejected, why a run failed."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import orjson
import yaml

import ktoformats

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    import pyarrow as pa

    from ktoformats.store.report import Report

MANIFEST_SUFFIX: Final = ".manifest.yaml"
ROWS_SUFFIX: Final = ".rows"
REJECTS_SUFFIX: Final = ".rejects.txt"
FAILED_SUFFIX: Final = ".failed.yaml"
"""Side files are called so that `datasets.load_dataset(FOLDER)` does not take them for data. It ignores YAML, and
kinds that it does not know, unless `.jsonl` stands anywhere in their names; and text, as long as there are no more
such files than there are of data. So the rejects are text, and the rows beside them are not. Both are JSON Lines."""

ORIGIN: Final = ("id", "source", "line")
"""What is told of a row: the sample it is, and where that comes from."""


def side_file(output: Path, suffix: str) -> Path:
    """The path of a side file: `train.jsonl` gets `train-jsonl.manifest.yaml`, `train.parquet` one of its own."""
    return output.with_name(output.name.replace(".", "-").lstrip("-") + suffix)


def manifest_of(report: Report, **facts: Any) -> dict[str, Any]:
    """What stands in a manifest: who wrote what when, and the whole accounting."""
    return {
        "ktoformats": ktoformats.__version__,
        "written": datetime.now(UTC).isoformat(timespec="seconds"),
        **facts,
        **report.to_json(),
    }


class _Dumper(yaml.SafeDumper):
    """YAML in which a text of several lines stands as it is, to be read and copied."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.ScalarNode:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Dumper.add_representer(str, _text)


def write_manifest(path: Path, manifest: Mapping[str, Any]) -> None:
    """Write a manifest as YAML, in one step."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    text = yaml.dump(dict(manifest), Dumper=_Dumper, allow_unicode=True, sort_keys=False)
    try:
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def read_manifest(path: Path) -> dict[str, Any]:
    """A manifest; empty where there is none, or none that can be read."""
    try:
        manifest = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError):
        return {}
    return manifest if isinstance(manifest, dict) else {}


def write_rows(path: Path, tables: Iterable[pa.Table]) -> None:
    """Write where rows come from, one JSON object a line.

    Args:
        path: The file.
        tables: The columns of `ORIGIN`, in the order of the rows.
    """
    with path.open("wb") as stream:
        for table in tables:
            for row in table.to_pylist():
                stream.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
