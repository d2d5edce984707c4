"""Writing a report as a page."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from ktoformats.errors import ConfigError, SourceError

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def check_page(path: Path, option: str, sources: Iterable[Path] = ()) -> None:
    """Refuse a place where no page can be written, before anything is read.

    Raises:
        ConfigError: It is a folder, or in none, or a source.
        ConfigError: What draws pages is not installed.
    """
    from ktoformats.page.render import check_installed

    if path.is_dir():
        raise ConfigError(f"{option} {path}: it is a folder; name the file to write, such as {path / 'report.html'}")
    if not path.parent.is_dir():
        raise ConfigError(f"{option} {path}: there is no folder {path.parent}")
    if path.exists() and any(one.exists() and one.samefile(path) for one in sources):
        raise ConfigError(f"{option} {path}: it is a source; the page must go somewhere else")
    check_installed()


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
