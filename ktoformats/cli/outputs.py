"""Where an output goes: the exporter that its name asks for, the place of each split, all of them or none."""

from __future__ import annotations

from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, cast

from ktoformats.errors import ConfigError, SourceError
from ktoformats.store.split import PARTS
from ktoformats.train.shards import check_folder, publish
from ktoformats.train.sidefiles import FAILED_SUFFIX, MANIFEST_SUFFIX, ROWS_SUFFIX, side_file

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.plugin.kinds import Exporter
    from ktoformats.plugin.registry import Registry

TRAIN: Final = "train"
_SIDES: Final = (MANIFEST_SUFFIX, ROWS_SUFFIX, FAILED_SUFFIX)
_COMPRESSIONS: Final = ("gzip", "zstd", "xz")
"""What an exporter's option `compression` is set to where the file's name asks for it."""
_COMPRESSED: Final = frozenset({".gz", ".zst", ".xz", ".bz2", ".zip"})


def exporter_for(
    target: Path, name: str, options: dict[str, Any], registry: Registry
) -> tuple[Exporter, dict[str, Any]]:
    """The exporter and its options, among them the compression that the file's name asks for, unless one is given."""
    exporter = cast("Exporter", registry.make("exporter", name, options, {}))
    if "compression" in type(exporter).model_fields and "compression" not in options:
        for compression in _COMPRESSIONS:
            with suppress(ConfigError):  # not one of its compressions
                other = cast("Exporter", registry.make("exporter", name, {**options, "compression": compression}, {}))
                if other.ending != exporter.ending and target.name.endswith(other.ending):
                    return other, {**options, "compression": compression}
    return exporter, options


def outputs_of(
    target: Path, fractions: dict[str, float], exporter: Exporter, name: str, registry: Registry, *, folders: bool
) -> dict[str, Path]:
    """The file of each split, or its folder."""
    ending = "" if folders else exporter.ending
    if fractions or folders:
        known = {exporter.suffix} | {suffix for _, suffix in _suffixes(registry)}
        if (target.exists() or target.suffix in known - {""}) and not target.is_dir():
            what = "--split writes several files" if fractions else f"exporter {name!r} writes a folder of files"
            if folders and not exporter.folder and not fractions:
                what = "--rows-per-shard writes a folder of files"
            raise ConfigError(f"{what}; name a folder, not {target}")
        if not fractions and target.name in {"", ".."}:
            raise ConfigError(f"{target} cannot be replaced by a new folder; name one within it")
        outputs = {split: target / f"{split}{ending}" for split in fractions} or {TRAIN: target}
        for path in outputs.values():
            if folders:
                check_folder(path)
            elif path.exists() and not path.is_file():
                raise ConfigError(f"{path} is no file; nothing was replaced")
        return outputs
    if target.is_dir():
        return {TRAIN: target / f"{TRAIN}{ending}"}
    if target.exists() and not target.is_file():
        raise ConfigError(f"{target} is neither a file nor a folder; nothing was replaced")
    _check_suffix(target, exporter, name, registry)
    return {TRAIN: target}


def _check_suffix(target: Path, exporter: Exporter, name: str, registry: Registry) -> None:
    """Refuse to write one form under another's name, such as JSON Lines into x.parquet or plain text into x.gz."""
    if not target.suffix or target.name.endswith(exporter.ending):
        return
    if target.suffix == exporter.suffix:
        raise ConfigError(
            f"{target}: with these options exporter {name!r} writes {exporter.ending}; name the file so"
        )
    for other, suffix in _suffixes(registry):
        if target.suffix == suffix:
            raise ConfigError(
                f"{target}: exporter {name!r} writes {exporter.ending}; say --to {other}, or name the file so"
            )
    if target.suffix in _COMPRESSED:
        raise ConfigError(f"{target}: exporter {name!r} writes {exporter.ending}; name the file so")


def _suffixes(registry: Registry) -> list[tuple[str, str]]:
    """The first-party exporters, and how their files end."""
    found = registry.first_party("exporter")
    return [(one.name, cast("type[Exporter]", registry.load_found(one).cls).suffix) for one in found]


def check_places(outputs: dict[str, Path], rejects: Path | None, sources: list[Path]) -> None:
    """Refuse to write over a source (or remove it, as an earlier run's side file is), or to write one file twice."""
    if rejects is not None and rejects.is_dir():
        raise ConfigError(f"{rejects} is a folder; rejects go into a file, such as {rejects / 'rejects.txt'}")
    written = [*outputs.values(), *filter(None, [rejects])]
    written += [side_file(path, suffix) for path in outputs.values() for suffix in _SIDES]
    for number, path in enumerate(written):
        if any(
            (path.exists() and source.samefile(path)) or source.resolve().is_relative_to(path.resolve())
            for source in sources
        ):
            raise ConfigError(f"{path} is also a source; write somewhere else")
        if path in written[:number]:
            raise ConfigError(f"{path} would be written twice; choose another name for the rejects or the output")


@contextmanager
def together(outputs: dict[str, Path]) -> Iterator[dict[str, Path]]:
    """Where to write the files; several are moved to their places once all are there.

    Else an interrupted run would leave its train split beside an earlier run's test split, which holds some of it.
    """
    if len(outputs) == 1:
        yield outputs
        return
    folder = outputs[TRAIN].parent
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with TemporaryDirectory(prefix=".split.", suffix=".part", dir=folder) as private:
            places = {split: Path(private, path.name) for split, path in outputs.items()}
            yield places
            for split, path in places.items():
                publish(path, outputs[split])
    except OSError as error:
        message = f"cannot be written ({error.strerror or error}); nothing was published"
        if isinstance(error, SourceError):  # of a private file, which nobody knows
            message = str(error).removeprefix(f"{error.path}: ")
        raise SourceError("not_writable", str(folder), message) from error


def left_alone(outputs: dict[str, Path]) -> list[Path]:
    """The files of other splits beside those of a split."""
    first = outputs[TRAIN]
    others = [first.with_name(f"{name}{first.name.removeprefix(TRAIN)}") for name in PARTS if name not in outputs]
    return [path for path in others if len(outputs) > 1 and path.exists()]
