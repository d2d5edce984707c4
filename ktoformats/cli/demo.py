"""`ktoformats demo`."""

from __future__ import annotations

from importlib.resources import as_file, files

import click

from ktoformats.cli import output
from ktoformats.cli.output import json_option
from ktoformats.cli.samples import sample_table
from ktoformats.cli.shared import closing_notes, closing_table, rejects_shown
from ktoformats.config.models import KTODataConfig
from ktoformats.convert.assemble import assemble
from ktoformats.plugin.registry import Registry
from ktoformats.store.mix import Piece
from ktoformats.store.prepare import prepare
from ktoformats.train.export import Batches
from ktoformats.train.rows import to_samples


@click.command()
@json_option
def command(*, as_json: bool) -> None:
    """Convert a packaged sample of every format, Arabic and English, and show what became of it.

    The sample holds what real files hold: labels in words, numbers and stars, an answer nobody judged, a
    grade in the middle of its scale, and one label that nothing can read.

    \b
    Examples:
      ktoformats demo
      ktoformats demo --json
    """  # noqa: D301 - \b keeps click from joining the lines
    config = KTODataConfig(balance_labels=False, min_samples_per_label=0)
    registry = Registry()
    with as_file(files("ktoformats.cli") / "demo.jsonl") as path:
        view, report = prepare("demo", [Piece(str(path), config, assemble(config, registry))], config, registry)
        samples = [sample for batch in Batches(view, view.chosen) for sample in to_samples(batch)]
    # where the package lies is nobody's business
    for sample in samples:
        sample["source"] = "demo.jsonl"
    report.rejects[:] = [reject._replace(source="demo.jsonl") for reject in report.rejects]
    report.warnings[:] = [warning.replace(str(path), "demo.jsonl") for warning in report.warnings]
    report.ledger.files["demo.jsonl"] = report.ledger.files.pop(str(path))
    if as_json:
        output.print_json({"samples": samples, "report": report.to_json()})
        return
    sample_table(f"{len(samples)} samples for KTO, from five formats", samples)
    closing_table(report)
    rejects_shown(report)
    closing_notes(report)
    output.say("next: ktoformats inspect YOUR_FILE, then: ktoformats convert YOUR_FILE -o train.jsonl", style="bold")
