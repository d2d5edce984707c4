"""Writing a report as a page."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from ktoformats.cli.outputs import TRAIN
from ktoformats.cli.shared import below
from ktoformats.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from ktoformats.cli.shared import Reporter
    from ktoformats.config.models import KTODataConfig
    from ktoformats.report.audit import Audit
    from ktoformats.store.report import Report
    from ktoformats.store.view import View

DEFAULT_BATCH: Final = 8
"""Samples of a batch, where nobody says how many."""


def check_page(path: Path, option: str, taken: Iterable[Path] = ()) -> None:
    """Refuse a place where no page can be written, before anything is read; `taken` are sources and outputs.

    Raises:
        ConfigError: It is a folder, or in none, or a source.
        ConfigError: What draws pages is not installed.
    """
    from ktoformats.page.render import check_installed

    if path.is_dir():
        raise ConfigError(f"{option} {path}: it is a folder; name the file to write, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: there is no folder {path.parent}")
    if any(one == path or (path.exists() and one.exists() and one.samefile(path)) for one in taken):
        raise ConfigError(f"{option} {path}: it is a source or an output; the page must go somewhere else")
    check_installed()


def page_of(
    views: Mapping[str, tuple[View, Report]],
    config: KTODataConfig,
    batch_size: int | None,
    world_size: int | None,
    bar: Reporter | None,
) -> str:
    """The page of what a conversion made: its train split, and what the others share with it."""
    from ktoformats.report.audit import audit
    from ktoformats.train.chosen import Chosen
    from ktoformats.train.fit import limits_of
    from ktoformats.train.training import Training

    datasets = {split: Chosen(view) for split, (view, _) in views.items()}
    view, report = views[TRAIN]
    training = Training(datasets.pop(TRAIN), None, limits_of(config))
    sizes: dict[str, Any] = {"batch_size": batch_size or DEFAULT_BATCH, "world_size": world_size or 1}
    with below(bar, "looking", " parts") as tell:
        found = audit(training, report, config, **sizes, others=datasets, view=view, progress=tell)
    return drawn(found, 200, bar)


def drawn(found: Audit, samples: int, bar: Reporter | None) -> str:
    """The page of an audit; the bar is told of its parts."""
    with below(bar, "drawing", " parts") as tell:
        return found.to_html(samples, tell or False)


def write_page(path: Path, html: str) -> None:
    """Write a page in one step.

    Raises:
        SourceError: It cannot be written.
    """
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        part.write_text(html, encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise SourceError("not_writable", str(path), f"the page cannot be written ({error.strerror})") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)
