"""One hostile record between good neighbours, end to end: file, container, loader, report, samples."""

from __future__ import annotations

import gzip
import json
import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pytest

from ktoformats import KTODataConfig, KTODataError, KTODataLoader, KTOLabelError, Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ktoformats import Report

NEIGHBOURS: Final = [
    {"prompt": f"سؤال {number}", "response": f"جواب {number}", "label": label}
    for number, label in enumerate(("good", "bad", "good", "bad"))
]
POSITIONS: Final = (0, 2, 4)
ASKED: Final = {"balance_labels": False, "min_samples_per_label": 0}
HEAD: Final = 20
PLAIN: Final = ("plain",)
CONTAINERS: Final[dict[str, Callable[[bytes], bytes]]] = {
    "plain": bytes,
    "gz": lambda data: gzip.compress(data, 1),
    "zst": lambda data: pa.compress(data, codec="zstd", asbytes=True),
}
"""Known by their first bytes: the file is called `.jsonl` in all of them."""
MOST_SECONDS: Final = 5.0
MOST_BYTES: Final = 512 << 20
STATUS: Final = Path("/proc/self/status")
CLEAR_PEAK: Final = Path("/proc/self/clear_refs")


def as_line(record: Any) -> bytes:
    """A record as a line; bytes are one already."""
    return record if isinstance(record, bytes) else json.dumps(record, ensure_ascii=False).encode()


class Meeting:
    """Loads files of neighbours with a hostile record among them and says what became of it."""

    def __init__(self, folder: Path, registry: Registry, containers: tuple[str, ...] = PLAIN) -> None:
        self._path = folder / "hostile.jsonl"
        self._registry = registry
        self._containers = containers
        self._data = b""

    def load(
        self, lines: list[bytes], container: str = "plain", **options: Any
    ) -> tuple[list[dict[str, Any]], Report]:
        self._data = b"".join(line + b"\n" for line in lines)
        self._path.write_bytes(CONTAINERS[container](self._data))
        config = KTODataConfig(train_file=self._path, **{**ASKED, **options})
        loader = KTODataLoader(config, enable_cache=False, registry=self._registry)
        samples = list(loader.load_dataset("train"))
        report = loader.report
        report.check()
        assert report.total.lines == len(lines)
        assert len(samples) == report.samples
        return samples, report

    def __call__(self, hostile: Any, expected: Any, **options: Any) -> Report:
        """Check the verdict on a record at the beginning, in the middle and at the end of a file, in each container.

        `expected` is a list of the samples' (prompt, response, label), or (verdict, reason, field).
        """
        raw = as_line(hostile)
        good = [as_line(record) for record in NEIGHBOURS]
        alone, _ = self.load(good, **options)
        for container in self._containers:
            for position in POSITIONS:
                samples, report = self.load([*good[:position], raw, *good[position:]], container, **options)
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
            assert reject.offset == self._data.index(raw + b"\n")
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
def registry(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The installed plugins, looked up once, with the modules that a first dataset imports."""
    registry = Registry()
    path = tmp_path_factory.mktemp("first") / "neighbours.jsonl"
    path.write_bytes(b"".join(as_line(record) + b"\n" for record in NEIGHBOURS))
    loader = KTODataLoader(KTODataConfig(train_file=path, **ASKED), enable_cache=False, registry=registry)
    list(loader.load_dataset("train"))  # no record is charged for what starting up costs
    return registry


def _memory(field: str) -> int:
    [line] = [line for line in STATUS.read_text().splitlines() if line.startswith(f"{field}:")]
    return int(line.split()[1]) << 10


@pytest.fixture
def bounded() -> Iterator[None]:
    """No hostile record may cost more than 5 seconds or let the process's peak memory grow by 512 MiB."""
    started = time.monotonic()
    before = 0
    if CLEAR_PEAK.exists():
        CLEAR_PEAK.write_text("5")  # the peak counts anew from here
        before = _memory("VmRSS")
    yield
    assert time.monotonic() - started < MOST_SECONDS
    if CLEAR_PEAK.exists():
        assert _memory("VmHWM") - before < MOST_BYTES


@pytest.fixture
def meet(tmp_path: Path, registry: Registry, bounded: None) -> Meeting:
    """`meet(hostile, expected, **options)`: check the verdict on one record, see `Meeting`."""
    return Meeting(tmp_path, registry)


@pytest.fixture
def meet_packed(tmp_path: Path, registry: Registry, bounded: None) -> Meeting:
    """As `meet`, in plain files, gzip and zstd."""
    return Meeting(tmp_path, registry, tuple(CONTAINERS))
