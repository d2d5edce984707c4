"""Where a conversion puts what it makes before it is published: rejects held back, a dry run's files thrown away."""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ktoformats.cli import output
from ktoformats.cli.outputs import TRAIN
from ktoformats.cli.places import cache_trouble
from ktoformats.errors import KtoFormatsError, PluginError, SourceError
from ktoformats.store.cache import default_folder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


def within(scratch: Path, path: Path | None) -> Path | None:
    """Where a dry run writes the rejects: under their name, so that messages and the budget are the same."""
    return scratch / "rejects" / path.name if path is not None else None


def all_within(scratch: Path, outputs: dict[str, Path]) -> dict[str, Path]:
    """Where a dry run writes the outputs."""
    return {split: scratch / "outputs" / path.name for split, path in outputs.items()}


def would_publish(
    places: dict[str, Path], outputs: dict[str, Path], staged: Path | None, rejects: Path | None
) -> list[Path]:
    """What a run would have published that wrote here: the outputs, what stands beside them, the rejects."""
    here, there = places[TRAIN].parent, outputs[TRAIN].parent
    sides = sorted({path.name for path in here.iterdir()} - {path.name for path in outputs.values()})
    found = [*outputs.values(), *(there / name for name in sides)]
    return [*found, *([rejects] if rejects is not None and staged is not None and staged.exists() else [])]


@contextmanager
def held_back(rejects: Path | None) -> Iterator[Path | None]:
    """Hold the rejects back until the output stands, or the data turns out to be unusable.

    An interrupted run so leaves an earlier one's files as they were, all of them.
    """
    if rejects is None:
        yield None
        return
    staged = rejects.with_name(f".{rejects.name}.{os.getpid()}.staged")
    try:
        yield staged
    except KtoFormatsError as error:
        if isinstance(error, SourceError) and error.path == str(staged):  # a private name tells nobody anything
            error.path, error.args = str(rejects), (str(error).replace(str(staged), str(rejects)),)
        if isinstance(error, PluginError):  # a plugin that failed lets nothing be published
            staged.unlink(missing_ok=True)
        else:
            _publish(staged, rejects)
        raise
    except BaseException:
        staged.unlink(missing_ok=True)
        raise
    _publish(staged, rejects)


def _publish(staged: Path, path: Path) -> None:
    if not staged.exists():
        return
    try:
        staged.replace(path)
    except OSError as error:
        staged.unlink(missing_ok=True)
        message = f"the rejected records cannot be written there ({error.strerror})"
        raise SourceError("not_writable", str(path), message) from error


def check_cache() -> None:
    """Refuse what a run would refuse that keeps something.

    Raises:
        SourceError: The cache cannot be written.
    """
    folder = default_folder()
    if why := cache_trouble(folder):
        raise SourceError("cache_not_writable", str(folder), f"{why}; or say --no-cache")


def told_dry(dry: list[Path] | None) -> dict[str, Any]:
    """What a dry run adds to the JSON."""
    if dry is None:
        return {}
    there = [str(path) for path in dry if path.exists()]
    return {"dry_run": True, "would_write": [str(path) for path in dry], "would_replace": there}


def tell_dry(dry: list[Path]) -> None:
    """What a dry run would have written, in lines."""
    told = told_dry(dry)
    for path in told["would_write"]:
        output.say(f"would write {output.safe(path)}{' (replacing it)' if path in told['would_replace'] else ''}")
    output.say("nothing was written: this was a dry run", style="bold")
