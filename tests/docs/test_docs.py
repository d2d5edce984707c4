"""The documentation is tried out: its blocks run, its links resolve, and it names everything there is."""

from __future__ import annotations

import inspect
import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import pytest
import yaml

import ktoformats
from ktoformats import (
    REASONS,
    SAMPLE_KEYS,
    SCHEMA,
    ConfigError,
    KTOConfig,
    KTODataConfig,
    KTODataLoader,
    KTOSpecificConfig,
    Scope,
    read_path,
)
from ktoformats.blocks.path import MISSING
from ktoformats.blocks.spec import Spec
from ktoformats.cli.main import cli
from ktoformats.config.files import read_yaml
from ktoformats.config.models import ModelConfig, SourceConfig
from ktoformats.convert.assemble import assemble
from ktoformats.convert.presets import About, with_preset
from ktoformats.overrides import METHODS
from ktoformats.plugin import spec
from ktoformats.plugin.registry import Registry
from ktoformats.plugin.scale import Scale
from ktoformats_plugins.formats.mapping import Mapping

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

    from pydantic import BaseModel

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
PAGES = sorted([TOP / "README.md", TOP / "CHANGELOG.md", TOP / "plugins" / "README.md", *DOCS.rglob("*.md")])
TEXTS = {path.relative_to(TOP).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
EVERYTHING = "\n".join(TEXTS.values())
FENCE = re.compile(r"^(?P<marks>```+)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=marks)$", re.DOTALL | re.MULTILINE)
INSTALL = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt . && .venv/bin/ktoformats demo"
TEST = "python3 -m venv .venv && .venv/bin/pip install -c constraints.txt -e '.[dev]' && .venv/bin/pytest"


class Block(NamedTuple):
    """A fenced block: its language, the words behind it, and its text."""

    page: str
    language: str
    words: tuple[str, ...]
    body: str

    def value(self, key: str) -> str | None:
        """The value of `key=value` behind the language."""
        return next((word.partition("=")[2] for word in self.words if word.startswith(f"{key}=")), None)


def blocks(page: str) -> Iterator[Block]:
    for found in FENCE.finditer(TEXTS[page]):
        language, *words = shlex.split(found["info"]) or [""]
        yield Block(page, language, tuple(words), found["body"])


BLOCKS = [block for page in TEXTS for block in blocks(page)]
INSTALLED = ("docs/examples/", "docs/tutorial/your-first-plugin.md")
"""Pages whose blocks install something: `test_example.py` runs them in an environment of their own."""
RUNNABLE = sorted({one.page for one in BLOCKS if "run" in one.words and not one.page.startswith(INSTALLED)})


def environment(folder: Path) -> dict[str, str]:
    """What a block runs with: our command, a cache of its own, plugins that the page wrote."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("KTOFORMATS_", "PYTEST_"))}
    return kept | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": str(folder),
        "PYTHONWARNINGS": "error",
        "PYTHONIOENCODING": "utf-8",
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "HF_HOME": str(folder / ".cache" / "huggingface"),
    }


def write(block: Block, folder: Path, name: str) -> None:
    """Write a block that is a file; a project's entry points become visible, as `pip install` would make them."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(block.body, encoding="utf-8")
    if name != "pyproject.toml":
        return
    project = tomllib.loads(block.body)["project"]
    installed = folder / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    lines = []
    for group, points in project["entry-points"].items():
        lines += [f"[{group}]", *(f"{name} = {value}" for name, value in points.items())]
    (installed / "entry_points.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")


def run(block: Block, folder: Path) -> str:
    """Run a block and return what it printed; it must end as the page says."""
    command = [sys.executable, "-"] if block.language == "python" else ["bash", "-euo", "pipefail"]
    if block.language == "python":
        (folder / "block.py").write_text(block.body, encoding="utf-8")
        command = [sys.executable, "block.py"]
    done = subprocess.run(
        command,
        input=None if block.language == "python" else block.body,
        cwd=folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=240,
    )
    expected = int(block.value("exit") or 0)
    assert done.returncode == expected, f"{block.page}:\n{block.body}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def squeezed(line: str) -> str:
    return " ".join(line.split())


@pytest.mark.parametrize("page", RUNNABLE)
def test_the_blocks_of_a_page_run_in_order_and_print_what_the_page_says(page: str, tmp_path: Path) -> None:
    printed: list[str] = []
    for block in blocks(page):
        name = block.value("file")
        if name:
            write(block, tmp_path, name)
        elif "run" in block.words:
            printed = [squeezed(line) for line in run(block, tmp_path).splitlines()]
        elif "output" in block.words:
            missing = [line for line in map(squeezed, block.body.splitlines()) if line and line not in printed]
            assert not missing, f"{page}: not printed: {missing}; printed were {printed}"


def test_there_are_blocks_to_run_and_outputs_to_compare() -> None:
    assert {"README.md", "docs/tutorial/first-conversion.md", "docs/how-to/train-with-trl.md"} <= set(RUNNABLE)
    assert sum("output" in block.words for block in BLOCKS) > 5
    assert {block.language for block in BLOCKS if "run" in block.words} == {"python", "bash"}


def test_the_library_example_of_the_readme_ends_in_what_a_trainer_takes() -> None:
    [example] = [block for block in blocks("README.md") if block.language == "python" and "run" in block.words]
    for name in ("KTODataLoader", "DataLoader(", "dataset.to_trl()"):
        assert name in example.body


def test_the_readme_has_the_two_commands_each_alone_in_its_block() -> None:
    assert [block.body for block in blocks("README.md") if block.language == "sh"] == [f"{INSTALL}\n", f"{TEST}\n"]
    assert re.search(rf"## Development\b.*?{re.escape(TEST)}", TEXTS["README.md"], re.DOTALL)


YAML = [block for block in BLOCKS if block.language == "yaml"]
RUN_PAGES = ("map-any-layout", "five-real-layouts", "records-that-belong-together")
"""How-to pages of which every mapping is run on records that the page shows."""


def kind_of(values: dict[Any, Any]) -> str:
    """What a YAML block is, as docs/index.md tells it."""
    keys = values.keys()
    if keys and keys <= KTOConfig.model_fields.keys():
        return "configuration"
    if "title" in keys:
        return "preset"
    if "verdict" in keys or keys == {"mapping"}:
        return "mapping"
    raise ValueError(f"a YAML block of no kind that docs/index.md knows: {', '.join(map(str, keys))}")


def read_with(options: list[Any], records: list[Any], folder: Path) -> tuple[list[tuple[str, str, str]], int]:
    """What records come to with these formats: prompt, response and label of each sample, and how many are rejected."""
    path = folder / "records.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")
    config = KTODataConfig(
        train_file=path, formats=options, balance_labels=False, min_samples_per_label=0, require_both_labels=False
    )
    loader = KTODataLoader(config, enable_cache=False)
    samples = [(one["prompt"], one["response"], one["label"]) for one in loader.load_dataset("train")]
    return samples, loader.report.total.rejected.total()


def check_configuration(block: Block, path: Path) -> None:
    """It is valid; where no command of the page runs it, its plugins are made, too."""
    config = KTOConfig.from_yaml(path)
    if not block.value("file"):
        assemble(config.data, Registry())


def check_mapping(_: Block, path: Path) -> None:
    """The format can be made from it."""
    values = read_yaml(path)
    registry = Registry()
    options, _preset = with_preset(registry, "mapping", values.get("mapping", values))
    registry.make("format", "mapping", options, {})


def check_preset(_: Block, path: Path) -> None:
    """Its example gives what it says."""
    values = read_yaml(path)
    [name] = values.keys() - About.model_fields.keys()
    about = About(**{key: value for key, value in values.items() if key != name})
    assert about.gives
    assert read_with([{name: values[name]}], about.example, path.parent) == (about.gives, 0)


CHECKS: dict[str, Callable[[Block, Path], None]] = {
    "configuration": check_configuration,
    "mapping": check_mapping,
    "preset": check_preset,
}


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.page)
def test_every_yaml_block_is_what_it_seems_and_works(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(block.body, encoding="utf-8")
    CHECKS[kind_of(read_yaml(path))](block, path)


def test_there_are_yaml_blocks_of_every_kind() -> None:
    assert {kind_of(yaml.safe_load(block.body)) for block in YAML} == set(CHECKS)


@pytest.mark.parametrize(
    "text", ["scales: {stars: thumbs}", "{data: {}, scales: {}}", "{mapping: {}, policy: {}}", "{}"]
)
def test_a_yaml_block_of_another_kind_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="of no kind that"):
        kind_of(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: {train_fil: a.jsonl}", "train_fil"),
        ("data: {train_file: a.jsonl, formats: [mapping: {verdict: {good: a}}]}", "expected candidates or a tree"),
        ("{candidates: {a: x}, verdict: {good: b}}", "'b' is none of the candidates"),
        ("mapping: {preset: arena, verdict: {winer: x}}", "winer"),
    ],
)
def test_a_yaml_block_that_is_wrong_is_seen(text: str, message: str, tmp_path: Path) -> None:
    path = tmp_path / "block.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message):
        CHECKS[kind_of(read_yaml(path))](Block("page", "yaml", (), text), path)


def test_a_preset_that_does_not_give_what_it_says_is_seen(tmp_path: Path) -> None:
    [block] = [one for one in YAML if kind_of(yaml.safe_load(one.body)) == "preset"]
    path = tmp_path / "block.yaml"
    path.write_text(block.body.replace('"good"]', '"bad"]'), encoding="utf-8")
    with pytest.raises(AssertionError, match="good"):
        check_preset(block, path)


@pytest.mark.parametrize("page", sorted({block.page for block in YAML}))
def test_a_yaml_block_that_is_a_file_is_used_by_a_block_that_runs(page: str) -> None:
    after = list(blocks(page))
    while after:
        block = after.pop(0)
        if block.language == "yaml" and (name := block.value("file")):
            assert any("run" in one.words and name in one.body for one in after), f"{page}: nothing runs {name}"
        elif block.language == "yaml":
            assert page.removeprefix("docs/how-to/").removesuffix(".md") not in RUN_PAGES, f"{page}: {block.body}"


def test_no_block_hides_what_it_is() -> None:
    assert {block.language for block in BLOCKS} <= {
        "bash",
        "sh",
        "python",
        "text",
        "json",
        "jsonl",
        "csv",
        "yaml",
        "toml",
    }


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    return re.sub(r"[^\w\- ]", "", re.sub(r"[`*]", "", heading.strip().lower())).replace(" ", "-")


def links(page: str) -> list[str]:
    text = FENCE.sub("", TEXTS[page])
    return [link for link in re.findall(r"\]\(([^)\s]+)\)", text) if not re.match(r"[a-z]+:", link)]


@pytest.mark.parametrize("page", TEXTS)
def test_every_relative_link_resolves(page: str) -> None:
    for link in links(page):
        path, _, anchor = link.partition("#")
        target = ((TOP / page).parent / path).resolve() if path else TOP / page
        assert target.exists(), f"{page}: {link}"
        if anchor:
            text = FENCE.sub("", target.read_text(encoding="utf-8"))
            anchors = {slug(heading) for heading in re.findall(r"^#+ (.+)$", text, re.MULTILINE)}
            assert anchor in anchors, f"{page}: {link}"


def test_every_page_can_be_reached_from_the_index() -> None:
    reached, waiting = set[str](), ["docs/index.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page not in TEXTS:
            continue
        reached.add(page)
        waiting += [
            ((TOP / page).parent / link.partition("#")[0]).resolve().relative_to(TOP).as_posix()
            for link in links(page)
            if link.partition("#")[0]
        ]
    assert set(TEXTS) - reached == set()


def test_the_generated_reference_is_current_and_its_check_sees_a_stale_page(tmp_path: Path) -> None:
    pages = {path.name: path.read_text(encoding="utf-8") for path in (DOCS / "reference").iterdir() if path.is_file()}
    for name, text in pages.items():
        (tmp_path / name).write_text(text.replace("| `alpha` |", "| `alfa` |"), encoding="utf-8")
    command = [sys.executable, str(tmp_path / "generate.py")]
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False, timeout=120)
    assert (stale.returncode, "config.md" in stale.stdout) == (1, True), stale.stderr
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    for name, text in pages.items():
        written = (tmp_path / name).read_text(encoding="utf-8")
        assert name.endswith(".py") or written == text, f"{name} is stale: run python docs/reference/generate.py"


def commands(command: click.Command, path: str) -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, f"{path} {name}")


@pytest.mark.parametrize(("path", "command"), list(commands(cli, "ktoformats")), ids=str)
def test_every_command_and_option_is_documented(path: str, command: click.Command) -> None:
    _, found, section = TEXTS["docs/reference/cli.md"].partition(f"## {path}\n")
    assert found, path
    section = section.partition("\n## ")[0]
    for option in command.params:
        for name in option.opts if isinstance(option, click.Option) else ():
            assert name in section, f"{path} {name}"


@pytest.mark.parametrize("name", [*KTODataConfig.model_fields, *KTOSpecificConfig.model_fields, *Scale.model_fields])
def test_every_configuration_field_is_documented(name: str) -> None:
    assert f"| `{name}` |" in TEXTS["docs/reference/config.md"]


@pytest.mark.parametrize(
    ("heading", "model"),
    [
        ("`data.sources`: SourceConfig", SourceConfig),
        ("`model`: ModelConfig", ModelConfig),
        ("The file: KTOConfig", KTOConfig),
    ],
)
def test_every_field_of_a_section_is_documented(heading: str, model: type[BaseModel]) -> None:
    rows = re.findall(r"^\| `(\w+)` \| .+ \| \S.* \|$", section("docs/reference/config.md", heading), re.MULTILINE)
    assert rows == list(model.model_fields)


def test_every_environment_variable_is_documented() -> None:
    sources = "".join(path.read_text(encoding="utf-8") for path in Path(ktoformats.__file__).parent.rglob("*.py"))
    names = set(re.findall(r"[\"'](KTOFORMATS_[A-Z_]+)[\"']", sources))
    assert {"KTOFORMATS_PLUGINS", "KTOFORMATS_TRACEBACK"} <= names
    for name in names:
        assert f"`{name}" in TEXTS["docs/reference/cli.md"], name


LAYOUT = Mapping.model_json_schema()
PARTS: dict[str, Any] = {"Mapping": LAYOUT, **LAYOUT["$defs"]}
"""Every model of a mapping, as pydantic finds them."""


def section(page: str, heading: str) -> str:
    _, found, rest = TEXTS[page].partition(f"\n## {heading}\n")
    assert found, f"{page}: no section {heading}"
    return rest.partition("\n## ")[0]


@pytest.mark.parametrize(("part", "key"), [(part, key) for part, one in PARTS.items() for key in one["properties"]])
def test_every_key_of_a_mapping_is_documented(part: str, key: str) -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| .+ \| .+ \| \S.* \|$", section("docs/reference/mapping.md", part), re.MULTILINE
    )
    assert rows.count(key) == 1


def test_the_mapping_reference_has_a_section_for_each_part_and_for_nothing_else() -> None:
    _, _, generated = TEXTS["docs/reference/mapping.md"].partition("begin -->")
    assert sorted(re.findall(r"^## (.+)$", generated, re.MULTILINE)) == sorted(PARTS)
    assert len(PARTS) > 15


class Whole(Spec):
    """A part with a text under every key."""

    known: str = ""
    """What it is."""


class Untold(Spec):
    """A part to which somebody has added a key."""

    known: str = ""
    """What it is."""
    new: int = 0


class Open(Spec):
    """A part that takes other keys, too."""

    model_config = Spec.model_config | {"extra": "allow"}
    known: str = ""
    """What it is."""


class Around(Spec):
    """What holds a part that is told in full."""

    whole: Whole = Whole()
    """A part."""


class AroundUntold(Spec):
    """What holds, deep in it, a key without a text."""

    deep: dict[str, tuple[Untold, ...]] | None = None
    """Parts."""


class AroundOpen(Spec):
    """What holds a part that takes other keys."""

    other: Open | None = None
    """A part."""


def generator() -> ModuleType:
    found = spec_from_file_location("generate", DOCS / "reference" / "generate.py")
    assert found
    assert found.loader
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_the_generator_walks_the_parts_of_a_mapping_and_wants_a_text_for_every_key() -> None:
    make = generator().mapping
    assert '| `known` | text | `""` | What it is. |' in list(make(Around))
    with pytest.raises(SystemExit, match=r"Untold\.new: its meaning must stand under it"):
        list(make(AroundUntold))
    with pytest.raises(SystemExit, match=r"Open: what its other keys mean must stand in OTHER_KEYS"):
        list(make(AroundOpen))


def cells(heading: str) -> list[list[str]]:
    """The table of a section of the mapping reference, its head first; code without its marks."""
    lines = [line for line in section("docs/reference/mapping.md", heading).splitlines() if line.startswith("| ")]
    return [[re.sub(r"^`(.+)`$", r"\1", cell) for cell in line[2:-2].split(" | ")] for line in lines]


RECORD = json.loads(next(one.body for one in blocks("docs/reference/mapping.md") if one.language == "json"))


@pytest.mark.parametrize(("text", "where", "finds"), [row[:3] for row in cells("Paths")[1:]])
def test_a_path_in_the_reference_finds_what_the_reference_says(text: str, where: str, finds: str) -> None:
    scope = {"record": Scope(RECORD, RECORD), "item": Scope(RECORD, RECORD["answers"][1], 1, 2)}[where]
    expected = MISSING if finds == "nothing" else json.loads(finds)
    found = read_path(text).read(scope)
    assert (found, type(found)) == (expected, type(expected))


@pytest.mark.parametrize(("short", "full"), cells("Short forms")[1:])
def test_a_short_form_stands_for_what_the_reference_says(short: str, full: str) -> None:
    some = {"candidates": {"x": "text"}, "verdict": {"good": "x"}}
    made = [Mapping.model_validate(some | yaml.safe_load(one)) for one in (short, full)]
    assert made[0].model_dump() == made[1].model_dump()
    assert made[0].model_dump() != Mapping.model_validate(some).model_dump()


def turn(role: str, content: str, **more: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **more}


RANKED = [turn("assistant", "one", v=1), turn("assistant", "two", v=0)]
JUDGED = {
    "q": "q",
    "x": "one",
    "y": "two",
    "w": 1,
    "l": 0,
    "v": 1,
    "list": [{"t": "one", "v": 1}, {"t": "two", "v": 0}],
    "talk": [turn("user", "q"), RANKED[0], turn("user", "again"), RANKED[1]],
    "top": turn("user", "q", children=RANKED),
}


@pytest.mark.parametrize(
    ("answers", "verdict", "fits"),
    [
        (answers, row[0], fits)
        for head, *rows in [cells("What goes together")]
        for row in rows
        for answers, fits in zip(head[1:], row[1:], strict=True)
        if fits != "\N{EN DASH}"
    ],
)
def test_a_verdict_goes_with_the_answers_that_the_reference_says(
    answers: str, verdict: str, fits: str, tmp_path: Path
) -> None:
    options = yaml.safe_load(answers) | {"verdict": yaml.safe_load(verdict)}
    options |= {} if "tree" in options or "each_turn" in options["candidates"] else {"prompt": "q"}
    options |= {"group_by": "q"} if fits == "with `group_by`" else {}
    if fits == "refused":
        with pytest.raises(ConfigError, match="option verdict"):
            Registry().make("format", "mapping", options, {})
    else:
        is_one = verdict == "{good: a}" or (answers == "candidates: {a: x}" and "group_by" not in options)
        records = [JUDGED, JUDGED | {"x": "two", "v": 0}][: 2 if "group_by" in options else 1]
        samples, rejected = read_with([{"mapping": options}], records, tmp_path)
        assert [response for _, response, _ in samples] == (["one"] if is_one else ["one", "two"])
        assert (samples[0][2], rejected) == ("good", 0)


@pytest.mark.parametrize("code", REASONS)
def test_every_reason_code_is_documented(code: str) -> None:
    assert f"| `{code}` | {REASONS[code]}" in TEXTS["docs/reference/reasons.md"]


HOOKS = [
    (name, hook) for name, hook in vars(spec).items() if inspect.isfunction(hook) and hasattr(hook, "ktoformats_spec")
]


def test_the_documented_hooks_are_the_three_there_are() -> None:
    headings = re.findall(r"^## (ktoformats_.*)$", TEXTS["docs/reference/hooks.md"], re.MULTILINE)
    assert headings == [f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in HOOKS]
    assert "ktoformats_record_rejected(source, line, reason, field, message)" in headings


@pytest.mark.parametrize("name", [name for name in ktoformats.__all__ if name != "__version__"])
def test_every_public_name_is_documented(name: str) -> None:
    assert f"| `{name}` |" in TEXTS["docs/reference/python.md"]


@pytest.mark.parametrize("name", [*SAMPLE_KEYS, *SCHEMA.names])
def test_every_key_of_a_sample_is_documented(name: str) -> None:
    assert f"| `{name}` |" in TEXTS["docs/reference/samples.md"]


@pytest.mark.parametrize("method", METHODS)
def test_every_override_point_is_documented(method: str) -> None:
    assert f"`{method}" in TEXTS["docs/how-to/override-methods.md"]


def test_every_first_party_plugin_stands_in_the_readme_or_the_reference() -> None:
    registry = Registry()
    for kind in ("format", "labels"):
        for found in registry.first_party(kind):
            assert f"| `{found.name}` |" in TEXTS["README.md"], found.name
    for found in (one for kind in ("quality", "utility", "filter", "exporter") for one in registry.first_party(kind)):
        assert f"### `{found.name}`" in TEXTS["docs/reference/plugins.md"], found.name


def test_every_difference_from_the_specification_is_named() -> None:
    rows = re.findall(r"^\| [^-|]", TEXTS["docs/explanation/differences.md"], re.MULTILINE)
    assert len(rows) > 9
    for word in ("pairwise", "label_column", "0.5", "-1.0", "random.seed", "shuffle=True", "balance"):
        assert word in TEXTS["docs/explanation/differences.md"]


def test_the_changelog_names_this_version_and_the_fragments_are_its_own() -> None:
    assert f"## [{ktoformats.__version__}]" in TEXTS["CHANGELOG.md"]
    for fragment in (DOCS / "changes").glob("*.md"):
        assert re.fullmatch(r"\d+\.(feature|fix|change|removal|docs)\.md", fragment.name), fragment.name
        assert fragment.name in TEXTS["CHANGELOG.md"]
