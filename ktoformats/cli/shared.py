"""What several commands share: options, settings, progress, the closing table."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ktoformats.cli import output
from ktoformats.cli.names import files, installed
from ktoformats.config.files import parse_yaml, read_yaml
from ktoformats.config.models import KTOConfig, KTODataConfig
from ktoformats.convert.presets import OPTION, load_preset
from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ktoformats.store.report import Report

_MAPPING = "mapping"
_DATA = (".jsonl", ".ndjson", ".csv", ".tsv", ".parquet", ".arrow", ".feather", ".gz", ".zst", ".xz", ".bz2")
sources_argument = click.argument("sources", nargs=-1, metavar="[SOURCE]...", shell_complete=files)
format_option = click.option(
    "--format",
    "formats",
    multiple=True,
    metavar="NAME",
    shell_complete=installed("format", more=("default",)),
    help="Read with this format; may be repeated. Replaces the configured set (`default`: the first-party ones).",
)
mapping_option = click.option(
    "--mapping",
    "mapping_file",
    type=click.Path(path_type=Path),
    help="Read with the mapping in this YAML file (or under its key `mapping`). Replaces the configured set.",
)
preset_option = click.option(
    "--preset",
    metavar="NAME",
    shell_complete=installed("preset"),
    help="Read with this preset (see `ktoformats plugin presets`). Replaces the configured set.",
)
set_option = click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Set a field of the data section; values are YAML.",
)
config_option = click.option(
    "--config",
    "config_file",
    type=click.Path(path_type=Path),
    help="A configuration file (see `ktoformats config init`).",
)


def data_config(
    config_file: Path | None,
    formats: tuple[str, ...],
    settings: tuple[str, ...],
    mapping_file: Path | None = None,
    preset: str | None = None,
    **values: Any,
) -> KTODataConfig:
    """The data section: file, then options, then --set.

    Without a file nothing is balanced.

    Raises:
        ConfigError: A key or value is wrong.
    """
    if sum(map(bool, (formats, mapping_file, preset))) > 1:
        raise ConfigError("--format, --mapping and --preset each say how to read; give one of them")
    if config_file is None:
        plain: dict[str, Any] = {"balance_labels": False}
    else:
        with _no_data(config_file, "--config", "a configuration"):
            plain = KTOConfig.from_yaml(config_file).data.model_dump(exclude_unset=True)
    plain |= {key: value for key, value in values.items() if value is not None}
    if formats:
        plain["formats"] = list(formats)
    if mapping_file is not None:
        with _no_data(mapping_file, "--mapping", "a mapping"):
            mapping = read_yaml(mapping_file)
        options = mapping.get(_MAPPING, mapping)
        plain["formats"] = [{_MAPPING: options}]
        _check(mapping_file, options)
    if preset:
        plain["formats"] = [{load_preset(Registry(), preset).format: {OPTION: preset}}]
    for setting in settings:
        key, equals, text = setting.partition("=")
        if not equals:
            raise ConfigError(f"--set {setting}: expected KEY=VALUE, such as --set random_seed=7")
        _assign(plain, key.strip(), parse_yaml(text, f"--set {key}"))
    return KTODataConfig(**plain)


@contextmanager
def _no_data(path: Path, option: str, what: str) -> Iterator[None]:
    """Say so where an option was given a file of records."""
    try:
        yield
    except ConfigError as error:
        if path.suffix not in _DATA or not path.is_file():
            raise
        raise ConfigError(f"{error}; {option} names {what} in YAML, and files of records are SOURCE") from error


def _check(path: Path, options: Any) -> None:
    """Make the mapping once, so that what is wrong with it is told with its file."""
    if isinstance(options, dict) and OPTION not in options:
        try:
            Registry().make("format", _MAPPING, options, {})
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from None


def _assign(plain: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b.c`; sections on the way are made."""
    *path, last = key.removeprefix("data.").split(".")
    for part in path:
        inner = plain.setdefault(part, {})
        if not isinstance(inner, dict):
            raise ConfigError(f"--set {key}: {part} is no section")
        plain = inner
    plain[last] = value


@contextmanager
def progress(total_bytes: int | None, *, shown: bool) -> Iterator[Reporter | None]:
    """A progress bar on standard error while files are read; none when piped, quiet, or with --json.

    Without a number of bytes it moves, and tells records and rate.
    """
    if not shown or not output.draws_bars():
        yield None
        return
    from rich.progress import BarColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=output.console(stderr=True), transient=True) as bar:
        yield Reporter(bar, bar.add_task("reading", total=total_bytes, rate=""))


class Reporter:
    """Moves a progress bar."""

    def __init__(self, bar: Any, task: Any) -> None:
        self._bar, self._task = bar, task
        self._source = ""
        self._records = self._done = self._inside = 0

    @contextmanager
    def below(self, what: str, unit: str = "") -> Iterator[Callable[[int, int], None]]:
        """A bar below for other work; it only moves until it is told more.

        Yields:
            What is called with how much is done, and of how much; where less is done than before, the work has begun
            anew.
        """
        task = self._bar.add_task(what, total=None, rate="")

        def tell(done: int, total: int) -> None:
            one = next(one for one in self._bar.tasks if one.id == task)
            if done < one.completed:
                self._bar.reset(task)
            rate = f"{done:,} of {total:,}{unit}, {done / (one.elapsed or 1e-9):,.0f}/s"
            self._bar.update(task, completed=done, total=total, rate=rate)

        try:
            yield tell
        finally:
            self._bar.remove_task(task)

    def __call__(self, source: str, records: int, bytes_read: int) -> None:
        """Another block was read."""
        if source != self._source:
            self._done += self._inside
            self._source, self._inside = source, 0
        self._records += records
        self._inside = max(self._inside, bytes_read)
        elapsed = self._bar.tasks[0].elapsed or 1e-9
        self._bar.update(
            self._task,
            completed=self._done + self._inside,
            description=output.safe(Path(source).name, 40),
            rate=f"{self._records:,} records, {self._records / elapsed:,.0f}/s",
        )


@contextmanager
def below(bar: Reporter | None, what: str, unit: str = "") -> Iterator[Callable[[int, int], None] | None]:
    """`bar.below`, where there is a bar."""
    if bar is None:
        yield None
        return
    with bar.below(what, unit) as tell:
        yield tell


def closing_table(report: Report) -> None:
    """The accounting of one build."""
    total = report.total
    rows: list[tuple[str, str, object]] = [("read", "lines", total.lines)]
    if total.blank:
        rows.append(("", "blank", total.blank))
    rows.append(("used", "records", total.used))
    rows += [("", f"by {name}", count) for name, count in total.formats.most_common()]
    rows += _by_reason("without verdict", total.without_verdict)
    rows += _by_reason("rejected", total.rejected)
    rows.append(("samples", "made", total.samples))
    rows += _by_reason("answers lost", total.candidates_lost)
    rows += _by_reason("answers unused", total.candidates_unjudged)
    for stage, reasons in report.dropped_by().items():
        rows += [
            (
                f"dropped by {stage}",
                f"{reason} ({labels[GOOD]} good, {labels[BAD]} bad)",
                sum(labels.values()),
            )
            for reason, labels in reasons.items()
        ]
    rows += [("kept", GOOD, report.kept[GOOD]), ("", BAD, report.kept[BAD])]
    rows += [("noticed", code, count) for code, count in total.notices.most_common()]
    output.table("", ("", "", "count"), rows, numbers=1)


def _by_reason(title: str, counts: Any) -> list[tuple[str, str, object]]:
    return [(title if first else "", reason, count) for first, (reason, count) in _firsts(counts.most_common())]


def _firsts(items: list[Any]) -> list[tuple[bool, Any]]:
    return [(number == 0, item) for number, item in enumerate(items)]


def rejects_shown(report: Report, limit: int = 3) -> None:
    """The first rejects, one line each, on standard error."""
    for reject in report.rejects[:limit]:
        output.warn(f"{reject.place()}: {reject.message} [{reject.reason}]")
    more = report.total.rejected.total() - min(limit, len(report.rejects))
    if more > 0:
        output.warn(f"... and {more} more rejected records")


def closing_notes(report: Report, *, weights_told: bool = False) -> None:
    """Weights (unless they were told), notes and warnings after a build."""
    weights = None if weights_told else report.weights()
    if weights:
        output.say(
            f"weights for these counts (KTO paper, eq. 8): desirable_weight={weights['desirable_weight']:g}, "
            f"undesirable_weight={weights['undesirable_weight']:g}"
        )
    for note in report.notes:
        output.say(f"note: {output.safe(note, 2000)}")
    for warning in report.warnings:
        output.warn(warning)
