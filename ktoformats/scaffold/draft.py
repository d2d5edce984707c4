"""What is drafted from a file: a format in Python, or a preset, with tests that tell when it is finished."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.blocks.path import read_path
from ktoformats.config.files import as_yaml
from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.kinds import Example
from ktoformats.propose.shape import OPEN
from ktoformats.propose.trial import FORMAT
from ktoformats.scaffold.about import about
from ktoformats.scaffold.layouts import layout_of
from ktoformats.scaffold.literals import Call, Tall, one_line, source, told
from ktoformats.scaffold.names import FORMAT_KIND, Names
from ktoformats.scaffold.sample import (
    Converter,
    Sample,
    columns_used,
    common,
    examples,
    kept,
    kinds_of,
    taken_from,
    with_both_labels,
)
from ktoformats.scaffold.template import filled

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from ktoformats.plugin.registry import Registry

_READS: Final = len("    reads: ClassVar[frozenset[str]] = ")
_STOPS: Final = "winner_unmapped"
"""The reason that stops a build: a verdict that is half mapped."""
_LONG: Final = 300


class Draft(NamedTuple):
    """What is written of a file."""

    main: str
    """The text of the file that its author completes."""
    test: str
    samples: list[Any]
    waits_for: str
    """What its author has to do before it is finished; may be empty."""


def draft_of(names: Names, sample: Sample, registry: Registry) -> Draft:
    """Draft a format or a preset.

    Args:
        names: What is called how.
        sample: The file.
        registry: The installed plugins.

    Raises:
        ConfigError: No template suits the layout, or nobody could tell its records from another format's.
    """
    converter = Converter(sample.settled, registry)
    samples = sample.first if sample.is_open else with_both_labels(sample, converter)
    make = _format if names.kind == FORMAT_KIND else _preset
    main, maps = make(names, sample, converter, registry)
    stops = maps and not sample.is_open and any(_STOPS in converter.gives(one).rejected for one in samples)
    waits_for = f"answer the questions in {names.main_file}" if sample.is_open or stops else ""
    labels = kept(samples, converter)
    return Draft(main, _test(names, labels, waits_for, is_open=sample.is_open), samples, waits_for)


def _test(names: Names, labels: dict[str, int], waits_for: str, *, is_open: bool) -> str:
    is_format = names.kind == FORMAT_KIND
    values = {
        **names._asdict(),
        "name": names.plugin,
        "kind": names.found_as,
        "laws": about(names.kind).laws,
        "choice": "NAME" if is_format else f'{{"{FORMAT}": {{"preset": NAME}}}}',
        "reason": waits_for,
        "laws_mark": "@DRAFT\n" if is_open else "",
        "good": str(labels[GOOD]),
        "bad": str(labels[BAD]),
    }
    if not waits_for:
        return filled("from/test.py", values)
    return filled("from/format_draft_test.py" if is_format and is_open else "from/open_test.py", values)


def _format(names: Names, sample: Sample, converter: Converter, registry: Registry) -> tuple[str, bool]:
    """The module, and whether it reads with a mapping's parts."""
    if not all(type(record) is dict for record in sample.records):
        raise ConfigError(
            f"{sample.file}: no format is drafted for records that are no objects; --kind presets writes the layout "
            "as a mapping, in a little YAML"
        )
    layout = layout_of(sample.options, sample.records, is_open=sample.is_open, module=names.module)
    used = [*layout.columns] or _used(sample, converter)
    reads = _reads(sample, used, registry)
    values = {
        "cls": names.cls,
        "module": names.module,
        "summary": _summary(sample),
        "reads": source(Call("frozenset", (set(reads),) if reads else ()), indent=4, used=_READS),
        "examples": _examples(_shown(sample, converter, {*used, *reads})),
        **layout.values,
    }
    return filled(f"from/{layout.template}.py", values), not layout.columns


def _used(sample: Sample, converter: Converter) -> list[str]:
    """The columns that the mapping looks at, and those of its verdict: one judge of several may change nothing."""
    verdict = sample.options["verdict"]
    values = [*_texts(list(verdict.values()))] if type(verdict) is dict else []
    columns = {column for text in values if (column := _column(text))}
    used = columns_used(sample.records, converter)
    return [*used, *(column for column in common(sample.records) if column in columns and column not in used)]


def _column(text: str) -> str | None:
    """The column that a text starts in, if it is a path."""
    try:
        return read_path(text).column
    except ValueError:
        return None


def _texts(value: Any) -> Iterator[str]:
    """All texts within lists and mappings."""
    if type(value) is str:
        yield value
    elif type(value) in (list, dict):
        for one in value.values() if type(value) is dict else value:
            yield from _texts(one)


def _shown(sample: Sample, converter: Converter, columns: Collection[str]) -> list[Example]:
    """The examples; of a draft nobody can say yet what they give."""
    is_whole = sample.options["verdict"] == OPEN  # whatever the verdict is, it is in the records
    shown = examples(sample, converter, () if is_whole else columns)
    return [Example(one.given, None) for one in shown] if sample.is_open else shown


def _summary(sample: Sample) -> str:
    """The module's docstring, with the questions that only its author can answer."""
    said = f"Records such as those of {told(sample.file)}."
    if not sample.questions:
        return said
    return "\n".join([said, "", "Open questions:", *(f"- {told(one, _LONG)}" for one in sample.questions), ""])


def _reads(sample: Sample, used: Sequence[str], registry: Registry) -> list[str]:
    """The columns by which records are known: those that are used, or all where others have these, too."""
    everywhere = common(sample.records)
    chosen = [column for column in everywhere if column in used]
    for reads in (chosen, everywhere):
        owner = taken_from(set(reads).issubset, registry) if reads else ""
        if not owner:
            return reads
    raise _like_others(sample, owner)


def _like_others(sample: Sample, owner: str) -> ConfigError:
    return ConfigError(
        f"{sample.file}: the columns that its records share are columns of {owner}, too, which is on by default, so "
        "nobody could tell them apart by names; a preset (--kind presets) tells them by what stands in the columns, "
        "or give the records a column of their own"
    )


def _examples(shown: Sequence[Example]) -> str:
    pairs = [(one.given, one.gives) for one in shown]
    lone = len(pairs) == 1  # the comma of a tuple of one tells formatters nothing
    return source(Tall(tuple(Tall(pair) if lone else pair for pair in pairs)), indent=4)


def _preset(names: Names, sample: Sample, converter: Converter, registry: Registry) -> tuple[str, bool]:
    """The YAML; it reads with a mapping."""
    detect, columns = _known_by_shape(sample, _used(sample, converter), registry)
    shown = _shown(sample, converter, columns)
    head = {"title": names.plugin.replace("-", " ").capitalize(), "about": f"Records such as those of {sample.file}."}
    tail: dict[str, Any] = {"example": [one.given for one in shown]}
    if not sample.is_open:
        tail["gives"] = [list(triple) for one in shown for triple in one.gives]
    questions = [f"# {one_line(question)}\n" for question in sample.questions]
    return "".join([*questions, as_yaml({**head, FORMAT: {**detect, **sample.options}, **tail})]), True


def _known_by_shape(sample: Sample, used: Sequence[str], registry: Registry) -> tuple[dict[str, Any], list[str]]:
    """The option that says by which shape records are known, and the columns that examples keep for it."""
    everywhere = [name for name in common(sample.records) if "null" not in kinds_of(name, sample.records)]
    for columns in ([name for name in everywhere if name in used], everywhere):
        kinds = {name: kinds_of(name, sample.records) for name in columns}
        shape = {"columns": {name: seen[0] if len(seen) == 1 else seen for name, seen in kinds.items()}}
        detect = {"detect": shape} if columns else {}
        owner = taken_from(Converter({**detect, **sample.settled}, registry).claims, registry)
        if not owner:
            return detect, [*dict.fromkeys([*used, *columns])]
    raise _like_others(sample, owner)
