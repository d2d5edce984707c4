"""One hostile record between good neighbours, end to end: file, loader, report, samples."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ktoformats import KTODataConfig, KTODataError, KTODataLoader, KTOLabelError, Registry

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats import Report

NEIGHBOURS: Final = [
    {"prompt": f"سؤال {number}", "response": f"جواب {number}", "label": label}
    for number, label in enumerate(("good", "bad", "good", "bad"))
]
POSITIONS: Final = (0, 2, 4)
ASKED: Final = {"balance_labels": False, "min_samples_per_label": 0}
HEAD: Final = 20


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave campaigns out unless `-m` says something about marks."""
    if config.option.markexpr:
        return
    here = Path(__file__).parent
    left_out = [item for item in items if here in item.path.parents and item.get_closest_marker("campaign")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


def as_line(record: Any) -> bytes:
    """A record as a line; bytes are one already."""
    return record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()


class Meeting:
    """Loads files of neighbours with a hostile record among them and says what became of it."""

    def __init__(self, folder: Path, registry: Registry) -> None:
        self._path = folder / "hostile.jsonl"
        self._registry = registry

    def load(self, lines: list[bytes], **options: Any) -> tuple[list[dict[str, Any]], Report]:
        self._path.write_bytes(b"".join(line + b"\n" for line in lines))
        config = KTODataConfig(train_file=self._path, **{**ASKED, **options})
        loader = KTODataLoader(config, enable_cache=False, registry=self._registry)
        samples = list(loader.load_dataset("train"))
        report = loader.report
        report.check()
        assert report.total.lines == len(lines)
        assert len(samples) == report.samples
        return samples, report

    def __call__(self, hostile: Any, expected: Any, **options: Any) -> Report:
        """Check the verdict on a record at the beginning, in the middle and at the end of a file.

        `expected` is a list of the samples' (prompt, response, label), or (verdict, reason, field).
        """
        raw = as_line(hostile)
        good = [as_line(record) for record in NEIGHBOURS]
        alone, _ = self.load(good, **options)
        for position in POSITIONS:
            samples, report = self.load([*good[:position], raw, *good[position:]], **options)
            line = position + 1
            own = [sample for sample in samples if sample["line"] == line]
            others = [sample for sample in samples if sample["line"] != line]
            assert _without_line(others) == _without_line(alone)
            assert self._verdict(report, own, line, raw) == expected
        if isinstance(expected, tuple) and expected[0] == "rejected":
            self._names_the_place(good, raw, expected, options)
        return report

    def _verdict(self, report: Report, own: list[dict[str, Any]], line: int, raw: bytes) -> Any:
        """What became of the record, and that the account says so and nothing else."""
        total = report.total
        assert total.blank == 0
        if total.rejected:
            [reject] = report.rejects
            assert not own
            assert (total.used, total.without_verdict.total()) == (len(NEIGHBOURS), 0)
            assert total.rejected == {reject.reason: 1}
            assert (reject.source, reject.line) == (str(self._path), line)
            assert reject.offset == self._path.read_bytes().index(raw + b"\n")
            assert reject.record[:HEAD] == raw.decode("utf-8", "replace")[:HEAD]
            assert reject.message
            return "rejected", reject.reason, reject.field
        assert report.rejects == []
        if total.without_verdict:
            assert not own
            assert (total.used, total.without_verdict.total()) == (len(NEIGHBOURS), 1)
            return "without verdict", next(iter(total.without_verdict)), ""
        assert total.used == len(NEIGHBOURS) + 1
        return [(sample["prompt"], sample["response"], sample["label"]) for sample in own]

    def _names_the_place(
        self, good: list[bytes], raw: bytes, expected: tuple[str, str, str], options: dict[str, Any]
    ) -> None:
        """`on_error: fail` stops at this record with an error that names file, line, field and reason."""
        _, reason, field = expected
        field = f"{re.escape(field)}: " if field else ""
        place = rf"^{re.escape(str(self._path))}:3: {field}.*\[{reason}\]$"
        with pytest.raises((KTODataError, KTOLabelError), match=re.compile(place, re.DOTALL)):
            self.load([*good[:2], raw, *good[2:]], **options, on_error="fail")


def _without_line(samples: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in sample.items() if key != "line"} for sample in samples]


@pytest.fixture(scope="session")
def registry() -> Registry:
    """The installed plugins, looked up once."""
    return Registry()


@pytest.fixture
def meet(tmp_path: Path, registry: Registry) -> Callable[..., Report]:
    """`meet(hostile, expected, **options)`: check the verdict on one record, see `Meeting`."""
    return Meeting(tmp_path, registry)
