"""A new distribution: what its files hold, and how they come to stand in their folder all at once."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import orjson

from ktoformats.errors import ConfigError
from ktoformats.scaffold.about import about, use
from ktoformats.scaffold.draft import draft_of
from ktoformats.scaffold.literals import one_line, told
from ktoformats.scaffold.names import FORMAT_KIND, PRESETS, Names, names_of, refuse_taken
from ktoformats.scaffold.sample import look_at
from ktoformats.scaffold.template import filled

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.plugin.registry import Registry
    from ktoformats.scaffold.draft import Draft
    from ktoformats.scaffold.sample import Sample

FROM_FILES: Final = (FORMAT_KIND, PRESETS)
"""The kinds that can be drafted from a file."""
_PLAIN_SAMPLES: Final = ("quality", "utility", "filter", "exporter")
"""Kinds that work on samples: records that the default formats read will do."""


class Made(NamedTuple):
    """What was written."""

    names: Names
    folder: Path
    files: list[str]
    """Paths in the folder."""
    questions: tuple[str, ...]
    """What only its author knows."""
    others: int
    """How many other readings agree with the known answers."""
    waits_for: str
    """What has to be done before it is finished; may be empty."""


def make(
    name: str,
    kind: str,
    into: Path,
    registry: Registry,
    *,
    file: str | None = None,
    good: Sequence[str] = (),
    bad: Sequence[str] = (),
) -> Made:
    """Write the distribution of a new plugin.

    Args:
        name: The plugin's name; `ktoformats-` before it is left out.
        kind: One of `ktoformats.scaffold.names.KINDS`.
        into: The folder in which the distribution's own is made.
        registry: The installed plugins.
        file: What it is drafted from; None takes the kind's template.
        good: Answers in the file that are good.
        bad: Answers in the file that are bad.

    Returns:
        What was written.

    Raises:
        ConfigError: The name is wrong or taken, the folder holds something, or nothing can be drafted.
        SourceError: The file cannot be read.
    """
    names = names_of(kind, name)
    refuse_taken(names, registry)
    folder = into / names.distribution
    _refuse_full(folder)
    sample = draft = None
    if file is not None:
        sample = look_at(file, good, bad, registry)
        draft = draft_of(names, sample, registry)
    texts = _files(names, sample, draft)
    _write(texts, folder)
    questions, others = (sample.questions, sample.others) if sample else ((), 0)
    waits_for = draft.waits_for if draft else ""
    return Made(names, folder, sorted(texts), questions, others, waits_for)


def _files(names: Names, sample: Sample | None, draft: Draft | None) -> dict[str, str]:
    """Path in the folder to text."""
    values = _values(names, sample, draft)
    own = "presets/preset.yaml" if names.kind == PRESETS else f"{names.kind}/module.py"
    main = draft.main if draft else filled(own, values)
    records = "common" if names.kind in _PLAIN_SAMPLES else names.kind
    package = {f"{names.module}/__init__.py": filled("presets/module.py", values)} if names.kind == PRESETS else {}
    return {
        ".github/workflows/test.yml": filled("common/test.yml", values),
        ".gitignore": filled("common/gitignore", values),
        "README.md": filled("common/README.md", values),
        **package,
        names.main_file: main,
        f"{names.module}/py.typed": "",
        "pyproject.toml": filled("common/pyproject.toml", values),
        "samples.jsonl": _lines(draft) if draft else filled(f"{records}/samples.jsonl", values),
        f"tests/test_{values['underscored']}.py": draft.test if draft else filled(f"{names.kind}/test.py", values),
    }


def _lines(draft: Draft) -> str:
    return "".join(orjson.dumps(record).decode() + "\n" for record in draft.samples)


def _values(names: Names, sample: Sample | None, draft: Draft | None) -> dict[str, str]:
    one = about(names.kind)
    from_file = f"Reads records such as those of `{told(sample.file)}`." if sample else ""
    return {
        **names._asdict(),
        "name": names.plugin,
        "underscored": names.plugin.replace("-", "_"),
        "group": names.group,
        "description": one.description,
        "laws": one.laws,
        "about": from_file or one.about,
        "todo": _todo(sample, draft),
        "listing": "presets" if names.kind == PRESETS else "list",
        "main_file": names.main_file,
        "main_change": one.change,
        "samples_from": f": {len(draft.samples)} of `{told(sample.file)}`" if sample and draft else "",
        "use": use(names),
    }


def _todo(sample: Sample | None, draft: Draft | None) -> str:
    if sample is None or draft is None or not draft.waits_for:
        return ""
    asked = "\n".join(f"- {one_line(question)}" for question in sample.questions)
    return (
        f"\n**A draft**: {draft.waits_for}. Until then its tests expect it to be unfinished (`xfail`); after that "
        f"they fail until these marks are taken out.\n\n{asked}\n"
    )


def _refuse_full(folder: Path) -> None:
    try:
        if not folder.exists() and not folder.is_symlink():
            return
        if not folder.is_dir() or any(folder.iterdir()):
            raise ConfigError(f"{folder} exists and is not an empty folder; nothing was written: name another --into")
    except OSError as error:
        raise ConfigError(f"{folder} cannot be looked into ({error.strerror})") from error


def _write(texts: dict[str, str], folder: Path) -> None:
    """Write all files beside the folder and put them in its place in one step.

    Raises:
        ConfigError: They cannot be written; nothing is left of them.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", dir=folder.parent) as staged:
            made = Path(staged, folder.name)
            for name, text in texts.items():
                path = made / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(text, encoding="utf-8", newline="\n")
            made.replace(folder)
    except OSError as error:
        raise ConfigError(f"{folder} cannot be written ({error.strerror or error}); nothing was left") from error
