"""`ktoformats inspect`."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

import click

from ktoformats.cli import output, proposal
from ktoformats.cli.bars import steps
from ktoformats.cli.hints import unknown_columns
from ktoformats.cli.names import files
from ktoformats.cli.output import json_option
from ktoformats.cli.samples import sample_table
from ktoformats.cli.shared import (
    config_option,
    data_config,
    format_option,
    mapping_option,
    preset_option,
    set_option,
)
from ktoformats.convert.assemble import assemble, needs_options
from ktoformats.convert.detect import Detector, NamedFormat, claim_by, shape_of
from ktoformats.convert.presets import OPTION, load_preset
from ktoformats.errors import AmbiguousFormatError, ConfigError, KTOLabelError, PluginError, RecordError
from ktoformats.plugin.registry import Registry
from ktoformats.read.named import find_sources
from ktoformats.read.parse import parse, shape_key
from ktoformats.read.rows import blocks_of_rows
from ktoformats.store.build import file_blocks
from ktoformats.store.gather import gathered
from ktoformats.store.prepare import joined_files
from ktoformats.train.rows import to_samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ktoformats.config.models import KTODataConfig
    from ktoformats.convert.assemble import Assembly
    from ktoformats.plugin.kinds import Format, Labels, Shape
    from ktoformats.read.blocks import Block
    from ktoformats.read.named import Source

_RECORDS = 1000
_VALUES = 12


class _Found(NamedTuple):
    """Records of one shape."""

    records: int
    first_line: int
    record: dict[str, Any]


class _Watched(list["Source"]):
    """Sources, of which somebody counts how many were looked at."""

    def __init__(self, sources: list[Source], step: Callable[[int], None]) -> None:
        super().__init__(sources)
        self._step = step

    def __iter__(self) -> Iterator[Source]:
        for source in super().__iter__():
            yield source
            self._step(1)


@click.command()
@click.argument("sources", nargs=-1, required=True, metavar="SOURCE...", shell_complete=files)
@config_option
@format_option
@mapping_option
@preset_option
@set_option
@click.option(
    "--samples", "count", type=click.IntRange(0, 100), default=3, show_default=True, help="Samples to show."
)
@click.option("--good", multiple=True, metavar="TEXT", help="An answer in SOURCE that is good; with --bad.")
@click.option(
    "--bad", multiple=True, metavar="TEXT", help="An answer in SOURCE that is bad: a mapping is found by them."
)
@click.option(
    "-o",
    "--output",
    "target",
    type=click.Path(path_type=Path),
    help="Write the mapping that is proposed to this file, for --mapping.",
)
@json_option
def command(
    sources: tuple[str, ...],
    config_file: Path | None,
    formats: tuple[str, ...],
    mapping_file: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    *,
    count: int,
    good: tuple[str, ...],
    bad: tuple[str, ...],
    target: Path | None,
    as_json: bool,
) -> None:
    """Look at SOURCE: what shapes its records have, who reads them and why, and the first samples.

    Every installed format is asked, also those a conversion would not use. For a file that nothing reads a draft of
    a mapping is printed, with the questions it leaves open. With an answer that is known to be good and one that is
    known to be bad (whole, or twenty characters or more of its beginning) the mapping is found that makes them so.
    Nothing is written, but for the mapping with -o.

    \b
    Examples:
      ktoformats inspect feedback.jsonl --samples 5
      ktoformats inspect votes.jsonl --good 'Seven minutes.' --bad 'Ask a cook.' -o votes.yaml
    """  # noqa: D301 - \b keeps click from joining the lines
    config = data_config(config_file, formats, settings, mapping_file, preset)
    registry = Registry()
    found = find_sources(list(sources))
    if good or bad:
        _propose(found, good, bad, registry, target, as_json=as_json)
        return
    with steps("looking at files", 2 * len(found), shown=not as_json) as step:
        watched = _Watched(found, step)
        shapes, unreadable = _shapes(watched)
        described = [_describe(one, config, registry) for one in shapes]
        values = _verdict_values(watched, config, registry)
    samples, first_rejects = _first_samples(found, config, registry, count)
    draft = _draft(found, described, registry) if "formats" not in config.model_fields_set else None
    result = {
        "sources": [one.name for one in found],
        "records_looked_at": sum(one.records for one in shapes) + sum(unreadable.values()),
        "unreadable": dict(unreadable),
        "shapes": described,
        "verdicts": values,
        "samples": samples,
        "rejects": first_rejects,
        "draft": draft,
        "warnings": unknown_columns(config, found),
    }
    if as_json:
        output.print_json(result)
    else:
        _show(result)
    if target is not None:
        if draft is None or draft["mapping"] is None:
            raise ConfigError("there is no draft to write: the configured formats read the records, or nothing could")
        proposal.write(draft, target)


def _propose(
    sources: list[Source],
    good: tuple[str, ...],
    bad: tuple[str, ...],
    registry: Registry,
    target: Path | None,
    *,
    as_json: bool,
) -> None:
    with steps("searching", None, shown=not as_json):
        found = proposal.from_answers(sources, good, bad, registry)
    if as_json:
        output.print_json(found)
    else:
        proposal.show_answers(found)
    if target is not None:
        proposal.write(found, target)


def _draft(sources: list[Source], described: list[dict[str, Any]], registry: Registry) -> dict[str, Any] | None:
    """A draft for the records that have the most frequent of the shapes that nothing reads."""
    unread = next((one for one in described if one["detected"] is None), None)
    if unread is None:
        return None
    records = []
    for _, _, raw in _records(sources):
        try:
            record = parse(raw)
        except RecordError:
            continue
        if type(record) is dict and unread["columns"].keys() <= record.keys():
            records.append(record)
    return proposal.from_shape(records, registry)


def _records(sources: list[Source]) -> Iterator[tuple[str, int, bytes]]:
    """The first records of each file."""
    for one in sources:
        pairs = ((line, raw) for block in one.blocks() for line, raw in zip(block.lines, block.records, strict=True))
        yield from ((one.name, line, raw) for line, raw in itertools.islice(pairs, _RECORDS))


def _shapes(sources: list[Source]) -> tuple[list[_Found], Counter[str]]:
    found: dict[Any, _Found] = {}
    unreadable: Counter[str] = Counter()
    for _, line, raw in _records(sources):
        try:
            record = parse(raw)
        except RecordError as error:
            unreadable[error.reason] += 1
            continue
        if type(record) is not dict:
            unreadable["not_an_object"] += 1
            continue
        filled = {name: value for name, value in sorted(record.items()) if value is not None}
        key = shape_key(filled)
        known = found.get(key)
        found[key] = known._replace(records=known.records + 1) if known else _Found(1, line, record)
    return sorted(found.values(), key=lambda one: (-one.records, one.first_line)), unreadable


def _describe(found: _Found, config: KTODataConfig, registry: Registry) -> dict[str, Any]:
    """One shape: its columns, and what every installed format says to it."""
    columns = config.columns()
    shape = shape_of(found.record, columns)
    configured = {one.name: one for one in assemble(config, registry).pipeline.detector.formats}
    asked = list(configured.values())
    failed = []
    for name in registry.names("format"):
        if name not in configured:
            try:
                if not needs_options(registry.load("format", name).cls):  # a mapping knows no layout of its own
                    asked.append(NamedFormat(name, cast("Format", registry.make("format", name, {}, dict(config)))))
            except (PluginError, ValueError) as error:
                failed.append({"format": name, "error": str(error)})
    asked += _third_party_presets(config, registry)
    asked, trouble = _tried(asked, shape)
    failed += trouble
    claims = [
        {
            "format": one.name,
            "score": claim.score,
            "reason": claim.reason,
            "columns": [*claim.columns, *claim.also],
            "configured": one.name in configured,
        }
        for one, claim in Detector(asked, columns).claims(found.record)
        if claim.score or not one.fallback  # dozens of presets decline, and say nothing by it
    ]
    try:
        detected = Detector(list(configured.values()), columns).find(found.record).name
    except (RecordError, AmbiguousFormatError, PluginError) as error:
        detected = None
        failed.append({"format": "", "error": str(error)})
    kinds = {key: kind + _items(shape.items.get(key)) for key, kind in shape.kinds.items()}
    return {
        "records": found.records,
        "first_line": found.first_line,
        "columns": kinds,
        "detected": detected,
        "not_read": _not_read(shape, claims),
        "claims": claims,
        "errors": failed,
    }


def _third_party_presets(config: KTODataConfig, registry: Registry) -> list[NamedFormat]:
    """What others have installed, which nothing reads with unless somebody says so."""
    found = []
    for one in registry.presets():
        if not one.first_party:
            try:
                preset = load_preset(registry, one.name)
                options = {preset.format: {OPTION: one.name}}
                [made] = assemble(
                    config.model_copy(update={"formats": [options]}), registry
                ).pipeline.detector.formats
            except (PluginError, ConfigError):
                continue  # `plugin presets` tells why
            if preset.is_detected:
                found.append(made._replace(fallback=True))
    return found


def _tried(asked: list[NamedFormat], shape: Shape) -> tuple[list[NamedFormat], list[dict[str, str]]]:
    """The formats whose claim works, and what the others did."""
    working, trouble = [], []
    for one in asked:
        try:
            claim_by(one, shape)
        except PluginError as error:
            trouble.append({"format": one.name, "error": str(error)})
        else:
            working.append(one)
    return working, trouble


def _not_read(shape: Shape, claims: list[dict[str, Any]]) -> list[str]:
    """Columns that neither the best claim counts on nor any format knows by name."""
    columns = shape.columns
    known = {name for name in asdict(columns).values() if isinstance(name, str)} | set(columns.kept)
    known |= set(claims[0]["columns"]) if claims else set()
    return [column for column in shape.kinds if column not in known]


def _items(keys: frozenset[str] | None) -> str:
    return f" of {{{', '.join(sorted(keys)[:_VALUES])}}}" if keys else ""


def _verdict_values(sources: list[Source], config: KTODataConfig, registry: Registry) -> list[dict[str, Any]]:
    """The distinct verdicts of each verdict column, and what each label plugin would make of them: a proposal."""
    columns = config.columns()
    seen: dict[str, Counter[Any]] = {}
    for _, _, raw in _records(sources):
        try:
            record = parse(raw)
        except RecordError:
            continue
        for column in (*columns.verdicts, columns.arabic_rating):
            if type(record) is dict and column in record and type(record[column]) not in (list, dict):
                cell = record[column]
                seen.setdefault(column, Counter())[type(cell), cell] += 1
    readers = _readers(config, registry)
    return [
        {
            "column": column,
            "distinct": len(counts),
            "values": {repr(cell): count for (_, cell), count in counts.most_common(_VALUES)},
            "read_by": {name: made for name, reader in readers.items() if (made := _made_of(reader, counts))},
        }
        for column, counts in seen.items()
    ]


def _made_of(reader: Labels, counts: Counter[Any]) -> dict[str, int] | None:
    """How many cells a label plugin reads as what; None when it reads none as good or bad."""
    made = {"good": 0, "bad": 0, "middle": 0, "unread": 0}
    for (_, cell), count in counts.items():
        if cell is None:
            continue
        try:
            reading = reader.read(cell)
        except KTOLabelError:
            made["unread"] += count
            continue
        except KeyboardInterrupt:
            raise
        except BaseException:  # noqa: BLE001 - an installed plugin nobody named; its author's tests tell more
            return None
        made[(reading.label if reading else "") or "middle"] += count
    return made if made["good"] + made["bad"] else None


def _readers(config: KTODataConfig, registry: Registry) -> dict[str, Labels]:
    """The label plugins that can be made without options."""
    readers = {}
    for name in registry.names("labels"):
        try:
            readers[name] = cast("Labels", registry.make("labels", name, {}, dict(config)))
        except (PluginError, ConfigError):
            continue  # `plugin list --load` tells why
    return readers


def _first_blocks(sources: list[Source], assembly: Assembly) -> Iterator[Block]:
    """The first records, each by itself or with those it belongs to."""
    single = (
        block._replace(lines=[line]) for name, line, raw in _records(sources) for block in blocks_of_rows([raw], name)
    )
    if assembly.gather is None:
        yield from single
    else:
        named = [(block.source, [block]) for block in single]
        yield from gathered(named, assembly.gather, joined=file_blocks(joined_files(assembly)))


def _first_samples(
    sources: list[Source], config: KTODataConfig, registry: Registry, count: int
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    assembly = assemble(config, registry)
    pipeline = assembly.pipeline
    samples: list[dict[str, Any]] = []
    rejects: list[dict[str, Any]] = []
    for block in _first_blocks(sources, assembly):
        if len(samples) >= count:
            break
        try:
            converted = pipeline.convert(block)
        except AmbiguousFormatError as error:
            rejects.append(
                {
                    "source": block.source,
                    "line": block.lines[0],
                    "field": "",
                    "reason": "ambiguous",
                    "message": str(error),
                }
            )
            break
        samples += [sample for batch in converted.batches for sample in to_samples(batch)]
        rejects += [reject._asdict() for reject in converted.rejects]
    return samples[:count], rejects[:count]


def _show(result: dict[str, Any]) -> None:
    names = ", ".join(output.safe(source) for source in result["sources"][:_VALUES])
    output.say(f"{names}: {result['records_looked_at']} records looked at", style="bold")
    for reason, count in result["unreadable"].items():
        output.warn(f"{count} records cannot be read: {reason}")
    for warning in result["warnings"]:
        output.warn(warning)
    for number, shape in enumerate(result["shapes"][:_VALUES], start=1):
        _show_shape(number, shape)
    if result["draft"]:
        proposal.show_draft(result["draft"])
    for verdict in result["verdicts"]:
        _show_verdicts(verdict)
    if result["samples"]:
        output.say()
        sample_table("first samples", result["samples"])
    for reject in result["rejects"]:
        if reject["reason"] not in ("unknown_shape", "ambiguous"):  # said with the shape
            field = f": {reject['field']}" if reject["field"] else ""
            output.warn(f"{reject['source']}:{reject['line']}{field}: {reject['message']} [{reject['reason']}]")


def _show_shape(number: int, shape: dict[str, Any]) -> None:
    columns = ", ".join(
        f"{output.safe(key, 60)} ({output.safe(kind, 200)})" for key, kind in shape["columns"].items()
    )
    output.say(f"\nshape {number}: {shape['records']} records, first on line {shape['first_line']}")
    output.say(f"  columns: {columns}")
    if shape["detected"]:
        output.say(f"  read as: {shape['detected']}", style="green")
    else:
        output.say("  read as: nothing", style="red")
        output.say("  name its columns (--set prompt_column=... --set response_column=...), or another --format;")
        output.say("  all column options: ktoformats config schema")
    if shape["not_read"]:
        output.say(f"  not read: {', '.join(output.safe(column, 60) for column in shape['not_read'])}")
    for claim in shape["claims"]:
        useful = claim["score"] and not claim["configured"]
        name, _, preset = claim["format"].partition(":")
        option = f"--preset {preset}" if preset else f"--format {name}"
        mark = f" (not configured: {option} would read it)" if useful else ""
        output.say(f"    {claim['format']}: {claim['score'] or '-'}, {output.safe(claim['reason'])}{mark}")
    for failure in shape["errors"]:
        if failure["format"]:
            output.warn(failure["error"])


def _show_verdicts(verdict: dict[str, Any]) -> None:
    shown = ", ".join(f"{output.safe(value, 40)} ({count})" for value, count in verdict["values"].items())
    output.say(f"\nverdicts in {output.safe(verdict['column'])}: {shown}")
    output.say(
        f"  label plugins would make of them (choose with --set scales.{output.safe(verdict['column'])}=NAME):"
    )
    ranked = sorted(verdict["read_by"].items(), key=lambda pair: (pair[1]["unread"], pair[0]))
    for name, made in ranked[:_VALUES]:
        counts = ", ".join(f"{count} {what}" for what, count in made.items() if count)
        output.say(f"    {name}: {counts}")
    output.say("  a scale of your own: --set 'scales={COLUMN: {low: 1, high: 10, good_from: 8, bad_to: 4}}'")
