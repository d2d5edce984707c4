"""The documentation is tried out: its blocks run, its links resolve, and it names everything there is."""

from __future__ import annotations

import inspect
import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import click
import pytest

import ktoformats
from ktoformats import REASONS, SAMPLE_KEYS, SCHEMA, KTOConfig, KTODataConfig, KTOSpecificConfig
from ktoformats.cli.main import cli
from ktoformats.overrides import METHODS
from ktoformats.plugin import spec
from ktoformats.plugin.registry import Registry
from ktoformats.plugin.scale import Scale

if TYPE_CHECKING:
    from collections.abc import Iterator

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
RUNNABLE = sorted({block.page for block in BLOCKS if "run" in block.words})


def environment(folder: Path) -> dict[str, str]:
    """What a block runs with: our command, a cache of its own, plugins that the page wrote."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KTOFORMATS_")}
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


@pytest.mark.parametrize(
    "block",
    [block for block in BLOCKS if block.language == "yaml" and block.body.startswith(("data:", "model:"))],
    ids=lambda block: block.page,
)
def test_a_configuration_in_the_documentation_is_valid(block: Block, tmp_path: Path) -> None:
    path = tmp_path / "kto.yaml"
    path.write_text(block.body, encoding="utf-8")
    KTOConfig.from_yaml(path)


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


def test_the_generated_reference_is_current() -> None:
    done = subprocess.run(
        [sys.executable, str(DOCS / "reference" / "generate.py"), "--check"],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, f"run python docs/reference/generate.py; {done.stdout}{done.stderr}"


def test_the_check_of_the_generated_reference_sees_a_stale_page(tmp_path: Path) -> None:
    for path in (DOCS / "reference").iterdir():
        if path.is_file():
            text = path.read_text(encoding="utf-8").replace("| `alpha` |", "| `alfa` |")
            (tmp_path / path.name).write_text(text, encoding="utf-8")
    command = [sys.executable, str(tmp_path / "generate.py")]
    stale = subprocess.run([*command, "--check"], capture_output=True, text=True, check=False, timeout=120)
    assert (stale.returncode, "config.md" in stale.stdout) == (1, True), stale.stderr
    subprocess.run(command, capture_output=True, check=True, timeout=120)
    assert subprocess.run([*command, "--check"], capture_output=True, check=False, timeout=120).returncode == 0


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
