"""`ktoformats report`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from ktoformats.cli import output
from ktoformats.cli.output import json_option
from ktoformats.cli.pages import DEFAULT_BATCH, check_page, drawn, write_page
from ktoformats.cli.shared import (
    below,
    config_option,
    data_config,
    format_option,
    mapping_option,
    preset_option,
    progress,
    set_option,
    sources_argument,
)
from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.page.text import by_file
from ktoformats.read.named import find_sources
from ktoformats.report.bounds import ANY, broken, read_bound
from ktoformats.report.finding import RULES
from ktoformats.report.whatif import what_if

if TYPE_CHECKING:
    from ktoformats.config.models import KTODataConfig
    from ktoformats.report.audit import Audit
    from ktoformats.report.finding import Finding, Section
    from ktoformats.report.whatif import WhatIf

EXIT_FAILED: Final = 4
_LENIENT: Final = ("on_error=skip", "rejects_file=null", "require_both_labels=false", "strict=false")
"""Nothing is written, and what would stop a conversion is told among the rest."""
_WIDEST: Final = 2000
_SAID: Final = ("min_samples_per_label", "are judged good and bad", "were rejected (", "sample is left (")
"""Warnings of the loader that findings tell, and better."""


@click.command()
@sources_argument
@click.option(
    "--batch-size",
    type=click.IntRange(min=2),
    default=DEFAULT_BATCH,
    show_default=True,
    metavar="N",
    help="Samples in a batch of one process.",
)
@click.option(
    "--world-size",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Processes that will train.",
)
@click.option(
    "--tokenizer",
    "tokenizer_folder",
    metavar="FOLDER",
    help="The folder of a model or tokenizer: lengths in tokens, and what limits drop and cut (--set max_tokens=N).",
)
@click.option(
    "--validation",
    "validation",
    multiple=True,
    metavar="FILE",
    help="A file to evaluate on: what it shares with SOURCE is told; may be repeated.",
)
@click.option(
    "--fail-on",
    "fail_on",
    multiple=True,
    metavar="RULE[=SHARE]",
    help="End with status 4 if there is such a finding (of more than this share); may be repeated. "
    f"{ANY}: every warning. Rules: {', '.join(RULES)}.",
)
@click.option(
    "-o",
    "--output",
    "page",
    type=click.Path(path_type=Path),
    metavar="FILE.html",
    help="Write it as one HTML file, too: with drawings, slices, and samples to read.",
)
@click.option(
    "--samples",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    metavar="N",
    help="At most so many samples, and rejected records, in the file of -o.",
)
@click.option(
    "--what-if",
    "questions",
    multiple=True,
    metavar="KEY=VALUE",
    help="What another threshold, balance, seed or scale would give, without reading the source again; may be "
    "repeated, and is then asked together.",
)
@config_option
@format_option
@mapping_option
@preset_option
@set_option
@click.option("--no-cache", is_flag=True, help="Build afresh and keep nothing.")
@json_option
@click.pass_context
def command(
    context: click.Context,
    sources: tuple[str, ...],
    batch_size: int,
    world_size: int,
    tokenizer_folder: str | None,
    validation: tuple[str, ...],
    fail_on: tuple[str, ...],
    page: Path | None,
    samples: int,
    questions: tuple[str, ...],
    config_file: Path | None,
    formats: tuple[str, ...],
    mapping_file: Path | None,
    preset: str | None,
    settings: tuple[str, ...],
    *,
    no_cache: bool,
    as_json: bool,
) -> None:
    """Look at data before training on it: what would go wrong, and what to do about it.

    SOURCE is read as convert reads it; a training file that convert wrote is read as well. Without one the config's
    files are. Balance, doubtful labels, repeats, leaks between splits, lengths, batches and KL partners (in the order
    of the rows, and planned). Nothing is written but the page of -o.

    \b
    Examples:
      ktoformats report votes.jsonl
      ktoformats report train.jsonl --batch-size 8 --validation validation.jsonl
      ktoformats report votes.jsonl -o report.html --set 'keep=[model, annotator]'
      ktoformats report votes.jsonl --what-if min_response_quality=0.6 --what-if balance_labels=true
      ktoformats report stars.jsonl --what-if 'scales.rating={low: 1, high: 5, good_from: 5, bad_to: 3}'
      ktoformats report votes.jsonl --tokenizer my/model --set max_tokens=1024
      ktoformats report data/train.jsonl --fail-on leakage --fail-on duplicates=0.01

    Exit status: 0 looked at, 1 the data cannot be used, 2 a wrong option or configuration, 3 a plugin cannot be used,
    4 a rule of --fail-on failed.
    """  # noqa: D301 - \b keeps click from joining the lines
    bounds = [read_bound(text) for text in fail_on]
    _check_questions(questions)

    def configured(*more: str) -> KTODataConfig:
        made = data_config(config_file, formats, (*settings, *more, *_LENIENT), mapping_file, preset)
        return _config(sources, validation, made)

    config = configured()
    changed = configured(*questions) if questions else None
    if page is not None:
        check_page(page, "-o", _paths_of(config))
    from ktoformats.loader import KTODataLoader
    from ktoformats.report.audit import audit_loader

    tokenizer = None if tokenizer_folder is None else _tokenizer(tokenizer_folder)
    with progress(_bytes_of(config), shown=not as_json) as bar:
        loader = KTODataLoader(config, tokenizer, not no_cache, progress=bar or False)
        loader.view()
        with below(bar, "looking") as tell:
            found = audit_loader(loader, batch_size=batch_size, world_size=world_size, progress=tell or False)
        html = drawn(found, samples, bar) if page is not None else ""
        answer = None if changed is None else what_if(loader, changed, questions)
    if page is not None:
        write_page(page, html)
    failed = broken(bounds, found.findings)
    if as_json:
        rules = list(dict.fromkeys(finding.rule for finding in failed))
        asked = {} if answer is None else {"what_if": answer.to_json()}
        output.print_json({**found.to_json(), **asked, "failed": rules})
    else:
        _show(found)
        if answer is not None:
            _show_answer(answer)
        if page is not None:
            output.say(f"wrote {output.safe(page)}")
        for finding in failed:
            output.say(f"failed: {finding.rule}", style="red")
    if failed:
        context.exit(EXIT_FAILED)


def _check_questions(questions: tuple[str, ...]) -> None:
    for text in questions:
        if "=" not in text:
            raise ConfigError(f"--what-if {text}: expected KEY=VALUE, such as --what-if balance_labels=true")


def _config(sources: tuple[str, ...], validation: tuple[str, ...], config: KTODataConfig) -> KTODataConfig:
    """The configuration with the files that were named in place of its own."""
    values: dict[str, Any] = {name: getattr(config, name) for name in config.model_fields_set}
    replaced = {"train": sources, "validation": validation}
    for split, named in replaced.items():
        if named:
            values |= {f"{split}_file": list(named), f"{split}_fraction": None}
            values["sources"] = [one for one in values.get("sources", ()) if one.split != split]
    values.pop("train_fraction", None)
    made = type(config)(**values)
    if not made.train_file and not any(one.split == "train" for one in made.sources):
        raise ConfigError("no SOURCE was named, and the config has neither data.train_file nor data.sources")
    return made


def _tokenizer(folder: str) -> Any:
    """A tokenizer of this machine."""
    from ktoformats.train.pretrained import load_tokenizer

    if not Path(folder).is_dir():
        raise ConfigError(f"--tokenizer {folder}: there is no such folder; name one that save_pretrained wrote")
    return load_tokenizer(folder)


def _words_of(config: KTODataConfig) -> list[Any]:
    """The files of the train split, as they are named."""
    named = [config.train_file, *(one.path for one in config.sources if one.split == "train")]
    return [word for one in named if one for word in ([one] if isinstance(one, str | os.PathLike) else one)]


def _paths_of(config: KTODataConfig) -> list[Path]:
    """Those of them that are a file of this machine by that name."""
    return [Path(word) for word in _words_of(config) if str(word) != "-" and "://" not in str(word)]


def _bytes_of(config: KTODataConfig) -> int | None:
    """How much is to be read; None where a look would use it up: standard input, or a URL."""
    words = _words_of(config)
    if any(str(word) == "-" or "://" in str(word) for word in words):
        return None
    return sum(one.path.stat().st_size for one in find_sources(words))


def _show(found: Audit) -> None:
    names = found.sources
    more = f" and {len(names) - 1} more" if len(names) > 1 else ""
    output.say(f"{output.safe(names[0])}{more}: {found.samples} samples", style="bold")
    for section in found.sections:
        if section.facts or section.findings:
            _show_section(section)
    output.say()
    counted = [_summary(found, severity) for severity in ("warning", "note")]
    output.say("; ".join(filter(None, counted)) or "nothing found", style="bold")
    for warning in found.warnings:
        if not any(text in warning for text in _SAID):
            output.warn(warning)


def _show_answer(answer: WhatIf) -> None:
    output.say(f"\nwhat if {output.safe(', '.join(answer.changes), _WIDEST)}", style="bold")
    plain = answer.to_json()
    for name in ("before", "after"):
        one = plain[name]
        weights = one["weights"]
        pasted = ", ".join(f"{key}={value:g}" for key, value in weights.items()) if weights else "a label is missing"
        output.say(f"  {name}: {one[GOOD]} good, {one[BAD]} bad; {pasted}")
    for line in (*answer.moves, *answer.notes):
        output.say(f"  {output.safe(line, _WIDEST)}")


def _summary(found: Audit, severity: str) -> str:
    """`2 warnings: duplicates, leakage`; nothing where there are none."""
    rules = [finding.rule for finding in found.findings if finding.severity == severity]
    number = f"{len(rules)} {severity}{'s' * (len(rules) > 1)}"
    return f"{number}: {', '.join(dict.fromkeys(rules))}" if rules else ""


def _show_section(section: Section) -> None:
    output.say(f"\n{section.name}", style="bold")
    for fact in section.facts:
        output.say(f"  {output.safe(fact, _WIDEST)}")
    for finding in section.findings:
        _show_finding(finding)


def _show_finding(finding: Finding) -> None:
    style = "yellow" if finding.severity == "warning" else ""
    output.say(f"  {finding.severity}: {finding.rule}: {output.safe(finding.message, _WIDEST)}", style=style)
    if finding.examples:
        output.say(f"    at {output.safe('; '.join(by_file(finding.examples)), _WIDEST)}")
    output.say(f"    do: {output.safe(finding.advice, _WIDEST)}")
