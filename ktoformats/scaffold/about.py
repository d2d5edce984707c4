"""What is said of each kind: in its README, in its metadata, on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from ktoformats.plugin.discovery import OBSERVER
from ktoformats.scaffold.names import PRESETS

if TYPE_CHECKING:
    from ktoformats.scaffold.names import Names


class About(NamedTuple):
    """How a kind is spoken of; `NAME` stands for the plugin's name."""

    laws: str
    """The class of its laws."""
    description: str
    """One line of metadata."""
    about: str
    """What the plugin that is written does."""
    change: str
    """What its author changes in the main file."""
    option: str
    """How `ktoformats convert` is told to use it."""
    field: str
    """The field of the data section that names it; empty where none does."""
    python: str
    """The argument of `KTODataConfig` that names it."""


_ABOUT: Final = {
    "format": About(
        "FormatLaws",
        "A format of ktoformats.",
        "Reads side-by-side votes: a question, two answers, and which of them won.",
        "`reads`, `facts` and `examples`: what a record states",
        "--format NAME",
        "formats: [default, NAME]",
        'formats=["NAME"]',
    ),
    "labels": About(
        "LabelsLaws",
        "A label plugin of ktoformats.",
        "Reads verdicts on the scale reject < revise < accept.",
        "`scale` and `examples`: the words, worst first, and where they turn good and bad",
        "--set scales.label=NAME",
        "scales: {label: NAME}  # a verdict column, and what reads it",
        'scales={"label": "NAME"}',
    ),
    "quality": About(
        "QualityLaws",
        "A quality score of ktoformats.",
        "Scores answers from 0 to 1: half for their length, half for an end that is not cut off.",
        "`score`: a number for every row of a batch",
        "--set quality=NAME",
        "quality: NAME",
        'quality="NAME"',
    ),
    "utility": About(
        "UtilityLaws",
        "A utility of ktoformats.",
        "Turns quality and label into a utility: straight lines, and what is lost weighs more than what is won.",
        "`utility`: a number for every sample",
        "--set utility=NAME",
        "utility: NAME",
        'utility="NAME"',
    ),
    "filter": About(
        "FilterLaws",
        "A filter of ktoformats.",
        "Leaves answers out that hold one of some phrases.",
        "`drops`: which rows of a batch are left out, and why",
        "--set 'filters=[length, NAME]'",
        "filters: [length, quality, utility, NAME]",
        'filters=["length", "NAME"]',
    ),
    "exporter": About(
        "ExporterLaws",
        "An exporter of ktoformats.",
        "Writes chats as JSON Lines, in the form that OpenAI's files have, with the label beside them.",
        "`write`: what a sample looks like in the file",
        "--to NAME",
        "",
        "",
    ),
    PRESETS: About(
        "PresetLaws",
        "A preset of ktoformats.",
        "A preset for side-by-side votes: a question, two answers, and which of them won.",
        "the mapping, its `example` and what that `gives`",
        "--preset NAME",
        "formats: [default, {mapping: {preset: NAME}}]",
        'formats=[{"mapping": {"preset": "NAME"}}]',
    ),
    OBSERVER: About(
        "ObserverLaws",
        "An observer of ktoformats.",
        "Logs where records are rejected, and the counts of each build; `ktoformats --verbose` shows these lines.",
        "the two hooks: what is done with what they hear",
        "--set 'observers=[NAME]'",
        "observers: [NAME]",
        'observers=["NAME"]',
    ),
}

_USE: Final = """\
On the command line:

```sh
{command}
```
"""
_USE_DATA: Final = """
In a configuration file:

```yaml
data:
  train_file: samples.jsonl
  {field}
```

As a library:

```python
from ktoformats import KTODataConfig, KTODataLoader

config = KTODataConfig(
    train_file="samples.jsonl",
    {python},
    min_samples_per_label=0,
)
loader = KTODataLoader(config)
for sample in loader.load_dataset("train"):
    print(sample["response"], sample["label"], sample["response_quality"], sample["utility_score"])
```
"""


def about(kind: str) -> About:
    """What is said of a kind."""
    return _ABOUT[kind]


def use(names: Names) -> str:
    """How the plugin is used, as Markdown: on the command line, in a configuration file, as a library."""
    command, field, python = (text.replace("NAME", names.plugin) for text in about(names.kind)[-3:])
    text = _USE.format(command=f"ktoformats convert samples.jsonl -o out.jsonl {command}")
    return text + (_USE_DATA.format(field=field, python=python) if field else "")
