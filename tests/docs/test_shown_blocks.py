"""Blocks that are only shown, since they name a model, install something or leave something out, are tried as well.

Each is run with stand-ins for what it names, and a block that no test runs, writes or tries is found.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import zipfile
from argparse import ArgumentParser
from importlib import import_module
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
import pyarrow.parquet as pq
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.version import Version

import ktoformats
import ktoformats_plugins
from ktoformats import Filter, JudgedLayout, Registry, Shape, errors
from ktoformats.cli.main import cli
from ktoformats.plugin.row import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

TOP: Final = Path(__file__).parents[2]
DOCS: Final = TOP / "docs"
PAGES: Final = sorted([TOP / "README.md", TOP / "CHANGELOG.md", TOP / "plugins" / "README.md", *DOCS.rglob("*.md")])
TEXTS: Final = {path.relative_to(TOP).as_posix(): path.read_text(encoding="utf-8") for path in PAGES}
FENCE: Final = re.compile(r"^(?P<marks>```+)(?P<info>[^\n`]*)\n(?P<body>.*?)^(?P=marks)$", re.DOTALL | re.MULTILINE)
PROJECT: Final = tomllib.loads((TOP / "pyproject.toml").read_text(encoding="utf-8"))["project"]


class Block(NamedTuple):
    """A fenced block; `docs/index.md` says what the words behind its language mean."""

    page: str
    language: str
    words: tuple[str, ...]
    body: str

    @property
    def file(self) -> str:
        """The file that it is, if it is one."""
        return next((word.partition("=")[2] for word in self.words if word.startswith("file=")), "")

    @property
    def is_followed(self) -> bool:
        """Whether `test_docs.py` or `test_example.py` runs, writes, compares or checks it."""
        return bool(self.file) or self.language == "yaml" or not {"run", "output"}.isdisjoint(self.words)


def blocks(page: str, text: str) -> Iterator[Block]:
    """The blocks of a page, in their order."""
    for found in FENCE.finditer(text):
        language, *words = shlex.split(found["info"]) or [""]
        yield Block(page, language, tuple(words), found["body"])


BLOCKS: Final = [block for page, text in TEXTS.items() for block in blocks(page, text)]
FORMULAS: Final = {
    "docs/explanation/accounting.md",
    "docs/explanation/prospect-theory.md",
    "docs/explanation/quality.md",
}
"""Pages whose blocks of `text` are mathematics, and nothing to type."""
EXAMPLES: Final = {f"docs/examples/ktoformats-{name}/README.md" for name in ("dialect", "tracking")}
"""The pages of examples that `test_example.py` follows."""
ELSEWHERE: Final = {
    ("docs/reference/mapping.md", "fine-grained score"): (
        "test_a_path_in_the_reference_finds_what_the_reference_says"
    ),
    (
        "docs/reference/cli.md",
        "Usage: ktoformats",
    ): "test_the_generated_reference_is_current_and_its_check_sees_a_stale_page",
}
"""Blocks that a test of `test_docs.py` tries."""
TRIED: Final[list[tuple[str, str]]] = []
"""A page, and a text by which one of its blocks is known: what the tests of this module try."""


def named(page: str, text: str) -> list[Block]:
    """The blocks of a page that are only shown and hold a text."""
    return [block for block in BLOCKS if block.page == page and text in block.body and not block.is_followed]


def on_page(page: str, *texts: str) -> pytest.MarkDecorator:
    """Give a test the shown blocks of a page, each known by a text that it alone holds."""
    where = [(page, text) for text in texts]
    TRIED.extend(where)
    return pytest.mark.parametrize("shown", [[block for one in where for block in named(*one)]], ids=[page])


def on_pages(*where: tuple[str, str]) -> pytest.MarkDecorator:
    """Run a test once for each of these blocks: a page, and a text by which a block of it is known."""
    TRIED.extend(where)
    return pytest.mark.parametrize(
        "block", [block for one in where for block in named(*one)], ids=lambda one: one.page
    )


def untried(every: Iterable[Block]) -> list[Block]:
    """The blocks that no test does anything with."""
    return [
        block
        for block in every
        if not block.is_followed
        and not (block.language == "text" and block.page in FORMULAS)
        and not any(block.page == page and text in block.body for page, text in [*TRIED, *ELSEWHERE])
    ]


def test_every_block_is_run_written_checked_or_tried_here() -> None:
    assert untried(BLOCKS) == []


@pytest.mark.parametrize(
    ("page", "info"),
    [
        ("docs/index.md", "sh"),
        ("docs/how-to/write-a-format.md", "python"),
        ("docs/reference/mapping.md", "json"),
        ("docs/explanation/quality.md", "bash"),
        ("docs/reference/hooks.md", "text"),
        ("docs/reference/hooks.md", "jsonl exit=1"),
        ("docs/how-to/new.md", ""),
    ],
)
def test_a_new_block_that_nobody_tries_is_found(page: str, info: str) -> None:
    [block] = blocks(page, f"# Page\n\n```{info}\nsomething new\n```\n")
    assert untried([*BLOCKS, block]) == [block]


def test_a_page_with_files_or_outputs_runs_something_and_each_file_is_used() -> None:
    running = {block.page for block in BLOCKS if "run" in block.words}
    assert {block.page for block in BLOCKS if block.file or "output" in block.words} <= running
    assert {page for page in running if page.startswith("docs/examples/")} == EXAMPLES
    for block in (one for one in BLOCKS if one.file and one.file != "pyproject.toml"):
        path = Path(block.file)
        names = [path.stem, *(f"{folder}/" for folder in map(str, path.parents) if folder != ".")]
        others = [one.body for one in BLOCKS if one.page == block.page and one != block and one.is_followed]
        assert any(name in body for name in names for body in others), f"{block.page}: nothing uses {block.file}"


def test_each_text_names_one_block() -> None:
    counts = {one: len(named(*one)) for one in TRIED}
    assert {one: count for one, count in counts.items() if count != 1} == {}


def test_the_tests_that_are_elsewhere_are_there() -> None:
    functions = set(
        re.findall(r"^def (test_\w+)", Path(__file__).with_name("test_docs.py").read_text(), re.MULTILINE)
    )
    assert set(ELSEWHERE.values()) <= functions
    assert all(named(*one) for one in ELSEWHERE)
    assert (
        len([block for block in BLOCKS if block.page == "docs/reference/mapping.md" and block.language == "json"])
        == 1
    )


@pytest.mark.parametrize("page", TEXTS)
def test_no_block_is_fenced_in_a_way_that_nobody_looks_for(page: str) -> None:
    assert not re.search(r"^[ >]*(~~~|```)", FENCE.sub("", TEXTS[page]), re.MULTILINE)


def environment(folder: Path) -> dict[str, str]:
    """What a block runs with: our command, a cache of its own, what was written to the folder, no network."""
    cleared = ("KTOFORMATS_", "PYTEST_", "PIP_", "RAY_", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(cleared)}
    return kept | {
        "PATH": os.pathsep.join((str(Path(sys.executable).parent), os.environ["PATH"])),
        "PYTHONPATH": str(folder),
        "PYTHONWARNINGS": "error",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONIOENCODING": "utf-8",
        "XDG_CACHE_HOME": str(folder / ".cache"),
        "HF_HOME": str(folder / ".cache" / "huggingface"),
        "HF_HUB_OFFLINE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run(
    text: str, folder: Path, *, language: str = "bash", status: int = 0, more: dict[str, str] | None = None
) -> str:
    """Run a text in a folder and return what it printed.

    Args:
        text: A script.
        folder: Where it runs, and what Python looks for modules in.
        language: `bash` or `python`.
        status: How it must end.
        more: Variables of the environment.
    """
    command = ["bash", "-euo", "pipefail"]
    if language == "python":
        (folder / "block.py").write_text(text, encoding="utf-8")
        command = [sys.executable, "block.py"]
    done = subprocess.run(
        command,
        input=None if language == "python" else text,
        cwd=folder,
        env=environment(folder) | (more or {}),
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
        timeout=200,
    )
    assert done.returncode == status, f"{text}\n{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def write_files(page: str, folder: Path) -> None:
    """Write the blocks of a page that are files."""
    for block in BLOCKS:
        if block.page == page and block.file:
            (folder / block.file).write_text(block.body, encoding="utf-8")


def first(page: str, text: str) -> str:
    """The body of the first block of a page that is followed and holds a text."""
    return next(block.body for block in BLOCKS if block.page == page and block.is_followed and text in block.body)


def put_lines(path: Path, records: Iterable[Any]) -> None:
    """Write JSON Lines."""
    path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in records), encoding="utf-8")


def triples(path: Path) -> list[tuple[str, str, str]]:
    """Prompt, response and label of each sample in a file that the exporter jsonl wrote."""
    samples = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return [(one["prompt"], one["response"], one["label"]) for one in samples]


def register(folder: Path, name: str, points: dict[str, dict[str, str]], version: str = "1.0") -> None:
    """Write what `pip install` writes of a distribution, so far as entry points are concerned."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n", encoding="utf-8")
    lines = [f"[{group}]\n" + "".join(f"{key} = {own[key]}\n" for key in own) for group, own in points.items()]
    (info / "entry_points.txt").write_text("\n".join(lines), encoding="utf-8")


def points_of(body: str) -> dict[str, dict[str, str]]:
    """The entry points of a block of TOML."""
    found: dict[str, dict[str, str]] = tomllib.loads(body)["project"]["entry-points"]
    return found


# What names a model, or needs Ray.


MODEL: Final = """
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

own = AutoTokenizer.from_pretrained("your/model")
LlamaForCausalLM(LlamaConfig(
    vocab_size=len(own), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
    num_key_value_heads=2, max_position_embeddings=512, bos_token_id=None, eos_token_id=own.eos_token_id,
    pad_token_id=own.pad_token_id,
)).save_pretrained("your/model")
"""
"""Makes a model of one layer for a tokenizer."""
CHATML: Final = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def put_tokenizer(folder: Path) -> None:
    """Write a tokenizer of bytes with a chat template, without an import of transformers, which takes seconds."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers

    special = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    letters = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet())]
    raw = Tokenizer(models.BPE({letter: number for number, letter in enumerate(letters)}, []))
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    raw.add_special_tokens(special)
    folder.mkdir(parents=True)
    raw.save(str(folder / "tokenizer.json"))
    own = {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "pad_token": "<|pad|>"}
    (folder / "tokenizer_config.json").write_text(json.dumps(own | {"chat_template": CHATML}), encoding="utf-8")


@on_page("docs/how-to/audit-before-training.md", "--tokenizer my/model")
def test_a_report_with_a_tokenizer_tells_lengths_in_tokens_and_what_a_limit_does(
    shown: list[Block], tmp_path: Path
) -> None:
    [block] = shown
    write_files(block.page, tmp_path)
    put_tokenizer(tmp_path / "my" / "model")
    printed = run(f"python make_votes.py\n{block.body}", tmp_path)
    assert re.search(
        r"^ *good answers in tokens: median 13, .*, longest 26$", printed, re.MULTILINE
    )  # bytes, and an end
    assert "TRL at max_length=1024 by itself: drops 0 good, 0 bad; cuts 0 good, 0 bad" in printed


@on_page("docs/how-to/train-with-trl.md", "--tokenizer your/model")
def test_a_planned_conversion_fills_all_batches_and_tells_the_arguments_of_the_trainer(
    shown: list[Block], tmp_path: Path
) -> None:
    [block] = shown
    write_files(block.page, tmp_path)
    put_tokenizer(tmp_path / "your" / "model")
    printed = run(f"mkdir data\n{block.body}", tmp_path)
    rows = (tmp_path / "data" / "train.jsonl").read_text(encoding="utf-8").splitlines()
    assert len(rows) == 3 * 8 * 2
    for told in ("KTOConfig(", "per_device_train_batch_size=8,", "max_length=1024,", "# 3 epochs stand in the file"):
        assert told in printed


@on_page("docs/how-to/train-with-trl.md", "from trl import KTOConfig, KTOTrainer")
def test_the_script_trains(shown: list[Block], tmp_path: Path) -> None:
    """TRL's `KTOConfig` expects a GPU unless it is told otherwise."""
    [block] = shown
    write_files(block.page, tmp_path)
    put_tokenizer(tmp_path / "your" / "model")
    script = block.body.replace("KTOConfig(output_dir", "KTOConfig(use_cpu=True, output_dir")
    assert script != block.body
    before = first(block.page, "loader = KTODataLoader(config)")
    run(
        MODEL + before + script,
        tmp_path,
        language="python",
        more={"PYTHONWARNINGS": "", "TRL_EXPERIMENTAL_SILENCE": "1"},
    )
    [state] = tmp_path.glob("out/checkpoint-*/trainer_state.json")
    told = json.loads(state.read_text(encoding="utf-8"))
    assert (told["global_step"], told["train_batch_size"]) == (3, 8)  # six rows in three epochs


CLUSTER: Final = "docs/how-to/run-on-a-cluster.md"
AFTER: Final = """
from ktoformats import SCHEMA, KTODataLoader
assert set(SCHEMA.names) <= set(dataset.schema().names), dataset.schema().names
assert seen == [sample["id"] for sample in KTODataLoader(config, enable_cache=False).load_dataset("train")]
print("seen", len(seen))
"""


@pytest.mark.ray
@on_page(CLUSTER, "to_ray_dataset(")
def test_a_ray_dataset_has_the_samples_of_the_loader(shown: list[Block], tmp_path: Path) -> None:
    [block] = shown
    write_files(CLUSTER, tmp_path)
    (tmp_path / "kto.yaml").write_text("data: {train_file: logs/*.jsonl, balance_labels: false}\n")
    staging = tmp_path / "shared" / "tmp"
    staging.mkdir(parents=True)
    script = block.body.replace('"/shared/tmp"', repr(str(staging)))
    script = script.replace("for batch in", "seen = []\nfor batch in").replace(
        "    ...", '    seen += batch["id"].tolist()'
    )
    with TemporaryDirectory(prefix="ray-", ignore_cleanup_errors=True) as short:  # Ray's sockets bear no long path
        more = {"PYTHONWARNINGS": "", "RAY_USAGE_STATS_ENABLED": "0", "RAY_TMPDIR": short}
        run("python make.py 2 100", tmp_path)
        printed = run(script + AFTER, tmp_path, language="python", more=more)
    assert "200 lines read, 200 records used" in printed
    assert re.search(r"^seen 2\d\d$", printed, re.MULTILINE)
    assert list(staging.iterdir()) == []


@pytest.mark.ray
@on_page(CLUSTER, "python make.py 16 4000")
def test_what_the_table_of_costs_compares_is_the_same_work(shown: list[Block], tmp_path: Path) -> None:
    [block] = shown
    write_files(CLUSTER, tmp_path)
    script = block.body.replace("make.py 16 4000", "make.py 2 50")
    assert script != block.body
    assert run(script, tmp_path).count("real") == 3
    one, other, third = (pq.read_table(tmp_path / name) for name in ("a.parquet", "b.parquet", "c"))
    assert len(one) > 100
    assert one.equals(other)
    assert one.equals(third)


def understood(words: Sequence[str]) -> None:
    """Have click parse a line, group by group, and run nothing."""
    context = cli.make_context("ktoformats", list(words))
    while isinstance(context.command, click.Group):
        name, child, rest = context.command.resolve_command(context, [*context._protected_args, *context.args])
        assert child is not None
        context = child.make_context(name, rest, parent=context)


@pytest.mark.ray
@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@on_page(CLUSTER, "ray job submit")
def test_ray_and_the_command_understand_the_job(shown: list[Block]) -> None:
    [block] = shown
    words = shlex.split(block.body.replace("\\\n", " "))
    assert words[:3] == ["ray", "job", "submit"]
    job = import_module("ray.dashboard.modules.job.cli").submit.make_context("submit", words[3:]).params
    assert (job["address"], job["working_dir"]) == ("http://HEAD:8265", ".")
    assert job["entrypoint"][0] == "ktoformats"
    understood(job["entrypoint"][1:])


@pytest.mark.parametrize("words", [["convert", "x", "-o", "y", "--nonsense"], ["convert", "x"], ["convertt", "x"]])
def test_a_command_that_is_not_understood_is_seen(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        understood(words)


# What installs, builds or uploads something.

STAND_IN: Final = """#!{python}
import json, os, subprocess, sys
name, words = os.path.basename(sys.argv[0]), sys.argv[1:]
with open({told!r}, "a") as stream:
    print(json.dumps([name, *words]), file=stream)
if name == "pip" and words[-1].endswith(".whl"):
    os.execv({python!r}, [{python!r}, "-m", "pip", *words, "--no-deps", "--quiet", "--target", {site!r}])
if name.startswith("python") and words[:2] == ["-m", "venv"]:
    subprocess.run([{python!r}, "-m", "venv", "--without-pip", *words[2:]], check=True)
    for one in ("pip", "pytest", "ktoformats"):
        os.symlink(os.path.join({commands!r}, one), os.path.join(words[2], "bin", one))
elif name.startswith("python") and words[0] == "-m":
    os.execv({python!r}, [{python!r}, *words, "--no-isolation"])
"""
"""What stands in for a command: it keeps what it was told, and does of it what needs no network and little time."""
STOOD_IN: Final = ("pip", "pytest", "python", "python3", "twine")


class House(NamedTuple):
    """An empty folder, and commands that are found before the real ones."""

    folder: Path
    commands: Path

    def run(self, text: str, folder: str = ".") -> str:
        """Run a block among the stand-ins."""
        path = os.pathsep.join((str(self.commands), environment(self.folder)["PATH"]))
        more = {"PATH": path, "PYTHONPATH": str(self.folder / "site"), "PYTHONWARNINGS": ""}
        return run(text, self.folder / folder, more=more)

    def told(self, command: str) -> list[list[str]]:
        """What a command was told, each time."""
        lines = map(json.loads, (self.folder / "told.jsonl").read_text(encoding="utf-8").splitlines())
        return [words for name, *words in lines if name == command]


@pytest.fixture
def house(tmp_path: Path) -> House:
    commands, site = tmp_path / "commands", tmp_path / "site"
    commands.mkdir()
    script = STAND_IN.format(
        python=sys.executable, told=str(tmp_path / "told.jsonl"), site=str(site), commands=str(commands)
    )
    for name in STOOD_IN:
        (commands / name).write_text(script, encoding="utf-8")
        (commands / name).chmod(0o755)
    (commands / "ktoformats").symlink_to(Path(sys.executable).with_name("ktoformats"))
    return House(tmp_path, commands)


def check_install(words: Sequence[str]) -> None:
    """What is installed is this project or a tool of its developers, and what it names of them exists."""
    parser = ArgumentParser("pip")
    parser.add_argument("install", choices=["install"])
    parser.add_argument("-c", type=Path)
    parser.add_argument("-e", action="append", default=[])
    parser.add_argument("wanted", nargs="*")
    given = parser.parse_intermixed_args(words)
    assert given.c is None or (TOP / given.c).is_file()
    extras = PROJECT["optional-dependencies"]
    tools = {Requirement(one).name for one in extras["dev"]}
    wanted = [Requirement(re.sub(r"^\.", PROJECT["name"], one)) for one in [*given.wanted, *given.e]]
    assert PROJECT["name"] in {one.name for one in wanted}
    for one in wanted:
        assert one.name in {PROJECT["name"], *tools}, one
        assert one.extras <= (extras.keys() if one.name == PROJECT["name"] else set()), one


@on_pages(
    ("README.md", "&& .venv/bin/ktoformats demo"),
    ("README.md", "&& .venv/bin/pytest"),
    ("docs/how-to/run-on-a-cluster.md", "pip install"),
    ("docs/how-to/run-the-benchmark.md", "pip install"),
    ("docs/tutorial/your-first-plugin.md", "pip install"),
    ("plugins/README.md", "pip install"),
)
def test_what_is_installed_exists_and_the_commands_around_it_run(block: Block, house: House) -> None:
    if block.body.startswith(".venv"):
        house.run("python3 -m venv .venv")  # as the README says
    house.run(block.body)
    [words] = house.told("pip")
    check_install(words)


@pytest.mark.parametrize(
    "words",
    [
        "install ktoformats[rays]",
        "install -e .[dev,benches]",
        "install hatchling",
        "install ktoformats tensorflow",
        "install -c constraint.txt .",
        "install --constrain constraints.txt .",
        "instal .",
    ],
)
def test_an_install_of_what_does_not_exist_is_seen(words: str) -> None:
    with pytest.raises((AssertionError, SystemExit)):
        check_install(words.split())


@on_page("docs/how-to/name-and-version-a-plugin.md", "twine upload")
def test_a_new_plugin_is_built_installed_checked_and_given_to_twine(shown: list[Block], house: House) -> None:
    [block] = shown
    house.run("ktoformats plugin new votes --kind format")
    printed = house.run(block.body, "ktoformats-votes")
    assert re.search(
        r"^ *holds +registered: ktoformats-votes 0\.1\.0, module ktoformats_votes$", printed, re.MULTILINE
    )
    assert re.search(r"^\d+ holds, 0 broken, 0 open$", printed, re.MULTILINE)
    wheel = "dist/ktoformats_votes-0.1.0-py3-none-any.whl"
    assert house.told("twine") == [["upload", wheel, "dist/ktoformats_votes-0.1.0.tar.gz"]]
    assert "ktoformats_votes/__init__.py" in zipfile.ZipFile(house.folder / "ktoformats-votes" / wheel).namelist()


MEASURE: Final = """
import pathlib, sys
sys.path.insert(0, sys.argv[1])
import run
run.settings_of(run.options(sys.argv[2:]), pathlib.Path())
"""


def measured(words: Sequence[str], folder: Path) -> None:
    """Have the benchmark read its command line, and measure nothing."""
    command = [sys.executable, "-c", MEASURE, str(TOP / "tests" / "benchmarks"), *words]
    done = subprocess.run(
        command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr


@on_pages(
    ("docs/how-to/run-the-benchmark.md", "run.py --quick"),
    ("docs/explanation/benchmarks.md", "tests/benchmarks/run.py --repeat"),
)
def test_the_benchmark_has_the_options_that_a_page_gives_it(block: Block, house: House) -> None:
    house.run(block.body)
    told = house.told("python")
    assert len(told) == block.body.count("run.py")
    for script, *words in told:
        assert (TOP / script).is_file()
        measured(words, house.folder)


@pytest.mark.parametrize("words", [["--quik"], ["--rows", "many"], ["--sizes", "10,000k"], ["--only", "lunch"]])
def test_options_that_the_benchmark_lacks_are_seen(words: list[str], tmp_path: Path) -> None:
    with pytest.raises(AssertionError, match=r"error|ValueError"):
        measured(words, tmp_path)


# What is a part of a file.


@on_page("docs/how-to/name-and-version-a-plugin.md", "[project]")
def test_the_bounds_that_are_shown_admit_this_version_and_not_the_next_breaking_one(shown: list[Block]) -> None:
    [block] = shown
    [wanted] = map(Requirement, tomllib.loads(block.body)["project"]["dependencies"])
    now = Version(ktoformats.__version__)
    following = f"{now.major + 1}.0" if now.major else f"0.{now.minor + 1}.0"
    assert wanted.name == "ktoformats"
    assert wanted.specifier.contains(ktoformats.__version__)
    assert not wanted.specifier.contains(following)


DETECTOR: Final = """
class DialectIdentifier:
    @staticmethod
    def pretrained():
        return "a detector"
"""
AROUND: Final = """
from __future__ import annotations

from ktoformats import Filter, Plugin, PluginError, hookimpl

{body}

@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Dialect]
"""


@on_page("docs/how-to/optional-packages-in-a-plugin.md", "[project.optional-dependencies]", "class Dialect(Filter):")
def test_a_missing_optional_package_is_one_line_and_status_3(shown: list[Block], tmp_path: Path) -> None:
    extras, code = shown
    (tmp_path / "dialect_filter.py").write_text(AROUND.format(body=code.body), encoding="utf-8")
    (
        tmp_path / "camel_tools.py"
    ).touch()  # a module without the part that is needed, also where the package is installed
    register(tmp_path, "ktoformats-dialect", {"ktoformats.filters": {"dialect": "dialect_filter"}})
    put_lines(tmp_path / "votes.jsonl", [{"prompt": "q", "response": "a", "label": "good"}])
    command = "ktoformats convert votes.jsonl -o train.jsonl --set 'filters=[dialect]'"
    [line] = run(command, tmp_path, status=3).splitlines()
    advice = re.fullmatch(r"error: filter 'dialect' needs camel-tools: pip install '(.+?)'", line)
    assert advice, line
    [[extra, [needed]]] = tomllib.loads(extras.body)["project"]["optional-dependencies"].items()
    assert (Requirement(advice[1]).extras, Requirement(needed).name) == ({extra}, "camel-tools")

    (tmp_path / "camel_tools.py").unlink()
    (tmp_path / "camel_tools").mkdir()
    (tmp_path / "camel_tools" / "dialectid.py").write_text(DETECTOR, encoding="utf-8")
    assert (
        run("import dialect_filter\nprint(dialect_filter._detector())", tmp_path, language="python") == "a detector\n"
    )


@on_page("docs/explanation/decisions/0002-inherited-options.md", "class Length(Filter):")
def test_the_filter_of_the_decision_takes_the_fields_that_it_names(
    shown: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [block] = shown
    rest = "\n    def drops(self, batch):\n        return iter(())\n"
    around = AROUND.format(body=block.body + rest).replace("[Dialect]", "[Length]")
    (tmp_path / "shown_length.py").write_text(around, encoding="utf-8")
    register(tmp_path, "shown-length", {"ktoformats.filters": {"shown-length": "shown_length"}})
    monkeypatch.syspath_prepend(tmp_path)
    registry = Registry()

    def made(options: dict[str, Any], section: dict[str, Any]) -> dict[str, Any]:
        return registry.make("filter", "shown-length", options, section).model_dump()

    assert made({}, {}) == {"min_prompt_length": 1, "max_prompt_length": 100_000}
    assert made({}, {"min_prompt_length": 5, "alpha": 0.5})["min_prompt_length"] == 5
    assert made({"min_prompt_length": 2}, {"min_prompt_length": 5})["min_prompt_length"] == 2
    cls, ours = registry.load("filter", "shown-length").cls, registry.load("filter", "length").cls
    assert issubclass(cls, Filter)
    assert cls.inherits == cls.model_fields.keys()
    assert cls.inherits <= ours.inherits
    assert {name: ours.model_fields[name].default for name in cls.model_fields} == made({}, {})


@on_page("docs/how-to/write-a-format.md", "class TestVotes(FormatLaws):")
def test_the_laws_of_a_format_are_three_lines(shown: list[Block], tmp_path: Path) -> None:
    [block] = shown
    write_files(block.page, tmp_path)
    register(tmp_path, "ktoformats-votes", points_of((tmp_path / "pyproject.toml").read_text(encoding="utf-8")))
    (tmp_path / "test_votes.py").write_text(block.body, encoding="utf-8")
    printed = run("pytest -v -p no:cacheprovider -p no:randomly test_votes.py", tmp_path)
    assert "TestVotes::test_law[examples] PASSED" in printed
    assert len(re.findall(r"::test_law\[\w+\] PASSED", printed)) > 10


FACTS: Final = '''"""Judged by a vote."""

    reads = frozenset({"question", "reply", "vote"})
    examples = (({"question": "q", "reply": "a", "vote": "good"}, [("q", "a", "good")]),)

    def facts(self, row):
        yield Judged(row.context("question"), row.response("reply"), row["vote"], "vote")
'''
SHAPES: Final = [
    ({"question": "text", "reply": "text", "vote": "text"}, True),
    ({"question": "text", "reply": "text", "vote": "number"}, True),
    ({"question": "text", "reply": "list", "vote": "text"}, False),
    ({"question": "text", "reply": "text", "vote": "null"}, False),
    ({"reply": "text", "vote": "text"}, False),
]
"""Kinds of columns, and whether the layout is theirs."""


@on_page("docs/how-to/write-a-format.md", "def layout(self, shape: Shape)")
def test_the_layout_says_what_the_facts_say(
    shown: list[Block], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    [block] = shown
    around = AROUND.format(body=block.body.replace("...", FACTS, 1)).replace("[Dialect]", "[Votes]")
    around = around.replace("import Filter,", "import Filter, Judged,")
    (tmp_path / "shown_layout.py").write_text(around, encoding="utf-8")
    register(tmp_path, "shown-layout", {"ktoformats.formats": {"shown-layout": "shown_layout"}})
    assert re.search(
        r"^ *holds +layout: \d+ records$", run("ktoformats plugin check shown-layout", tmp_path), re.MULTILINE
    )
    monkeypatch.syspath_prepend(tmp_path)
    votes: Any = Registry().make("format", "shown-layout", {}, {})
    for kinds, fits in SHAPES:
        layout = votes.layout(Shape(kinds, {}, Columns()))
        assert layout == (JudgedLayout("question", "reply", "vote", "specification") if fits else None)


@on_page("docs/how-to/write-a-preset.md", "ktoformats.presets")
def test_a_preset_is_one_file_and_one_line(shown: list[Block], tmp_path: Path) -> None:
    [block] = shown
    points = points_of(block.body)
    [(name, package)] = points["ktoformats.presets"].items()
    assert f"`{package}/{name}.yaml`:" in TEXTS[block.page]
    assert f"`--preset {name}`" in TEXTS[block.page]
    (tmp_path / package).mkdir()
    preset = first(block.page, "title:")
    (tmp_path / package / f"{name}.yaml").write_text(preset, encoding="utf-8")
    register(tmp_path, "acme-presets", points)
    about = yaml.safe_load(preset)
    put_lines(tmp_path / "tickets.jsonl", about["example"])
    printed = run(f"ktoformats plugin check {name}\nktoformats inspect tickets.jsonl", tmp_path)
    assert f"--preset {name} would read it" in " ".join(printed.split())
    run(f"ktoformats convert tickets.jsonl -o train.jsonl --to jsonl --preset {name}", tmp_path)
    assert triples(tmp_path / "train.jsonl") == [tuple(one) for one in about["gives"]]


@on_page("docs/reference/presets.md", "--preset arena")
def test_a_preset_is_named_on_the_command_line(shown: list[Block], tmp_path: Path) -> None:
    [block] = shown
    arena = Path(ktoformats_plugins.__path__[0]) / "presets" / "arena.yaml"
    about = yaml.safe_load(arena.read_text(encoding="utf-8"))
    put_lines(tmp_path / "arena.jsonl", about["example"])
    assert re.search(r"^ *by mapping:arena +1$", run(block.body, tmp_path), re.MULTILINE)
    rows = [json.loads(line) for line in (tmp_path / "train.jsonl").read_text(encoding="utf-8").splitlines()]
    assert sorted(row["label"] for row in rows) == sorted(label == "good" for *_, label in about["gives"])


EARS: Final = """
from ktoformats import hookimpl

print("imported")


@hookimpl
def ktoformats_dataset_built(split, report):
    print("heard of", split)
"""


@on_page("docs/reference/hooks.md", "ktoformats.observers", "observers: [tracking]")
def test_an_observer_hears_once_it_is_named_and_is_not_imported_before(shown: list[Block], tmp_path: Path) -> None:
    entry, config = shown
    points = points_of(entry.body)
    [module] = points["ktoformats.observers"].values()
    (tmp_path / f"{module}.py").write_text(EARS, encoding="utf-8")
    register(tmp_path, "ktoformats-ears", points)
    put_lines(tmp_path / "votes.jsonl", [{"prompt": "q", "response": "a", "label": "good"}])
    (tmp_path / "kto.yaml").write_text(config.body, encoding="utf-8")
    convert = "ktoformats convert votes.jsonl -o train.jsonl --set require_both_labels=false"
    assert "imported" not in run(convert, tmp_path)
    printed = run(f"{convert} --config kto.yaml", tmp_path)
    assert "imported" in printed
    assert "heard of train" in printed


@on_page("plugins/README.md", "class Likert(Format):", "likert =", "plugin list --load")
def test_a_format_of_ours_is_one_file_and_one_line(shown: list[Block], house: House) -> None:
    """The installed plugins with the file, and their metadata with the line, stand before the ones without."""
    code, line, commands = shown
    site = house.folder / "site"
    home = Path(ktoformats_plugins.__path__[0])
    shutil.copytree(home, site / home.name, ignore=shutil.ignore_patterns("__pycache__"))
    [(group, added)] = points_of(line.body).items()
    [(name, module)] = added.items()
    path = re.search(r"^`plugins/(\S+)`:$", TEXTS[code.page], re.MULTILINE)
    assert path
    assert path[1] == f"{module.replace('.', '/')}.py"
    (site / path[1]).write_text(code.body, encoding="utf-8")
    points = PROJECT["entry-points"]
    register(site, PROJECT["name"], points | {group: points[group] | added}, PROJECT["version"])

    printed = house.run(f"python3 -m venv .venv\n{commands.body}")
    assert re.search(rf"^format +{name} +{PROJECT['name']} +\S+ +loaded", printed, re.MULTILINE)
    assert re.search(r"^\d+ holds, 0 broken", house.run(f"ktoformats plugin check {name}"), re.MULTILINE)
    grades = {7: "good", 5: "good", 4: "", 3: "bad", 1: "bad", 8: ""}
    put_lines(house.folder / "agreed.jsonl", [{"prompt": "q", "answer": f"a{one}", "likert": one} for one in grades])
    house.run("ktoformats convert agreed.jsonl -o train.jsonl --to jsonl --set max_rejected=1")
    expected = [("q", f"a{one}", label) for one, label in grades.items() if label]
    assert triples(house.folder / "train.jsonl") == expected


@on_page("docs/examples/ktoformats-dialect/README.md", "شلون أسوي كرك؟")
def test_the_records_of_the_example_are_good_bad_and_judged_by_nobody(shown: list[Block], tmp_path: Path) -> None:
    [block] = shown
    example = (TOP / block.page).parent
    shutil.copytree(example / "ktoformats_dialect", tmp_path / "ktoformats_dialect")
    register(tmp_path, "ktoformats-dialect", points_of((example / "pyproject.toml").read_text(encoding="utf-8")))
    (tmp_path / "records.jsonl").write_text(block.body, encoding="utf-8")
    printed = run("ktoformats convert records.jsonl -o train.jsonl --to jsonl --format dialect", tmp_path)
    assert re.search(r"^without verdict +null_verdict +1$", printed, re.MULTILINE)
    assert [label for *_, label in triples(tmp_path / "train.jsonl")] == ["good", "bad"]
    columns = [json.loads(line).keys() for line in block.body.splitlines()]
    table = re.search(r"^\| format \| `dialect` \| Reads (.+?);", TEXTS[block.page], re.MULTILINE)
    assert table
    assert columns == [set(re.findall(r"`(\S+)`", table[1]))] * 3


# What is drawn.


@on_page("docs/reference/errors.md", "KtoFormatsError\n")
def test_the_tree_of_errors_grows_as_it_is_drawn(shown: list[Block]) -> None:
    [block] = shown
    above: list[type[Exception]] = []
    for indent, name, builtin in re.findall(r"^([│├└─ ]*)(\w+)(?: \((\w+)\))?", block.body, re.MULTILINE):
        cls = vars(errors)[name]
        above[len(indent) // 4 :] = [cls]
        parents = {one.__name__ for one in cls.__bases__} - {"Exception"}
        assert parents == {*(one.__name__ for one in above[-2:-1]), *([builtin] if builtin else [])}
    assert block.body.count("\n") == len([one for one in vars(errors).values() if isinstance(one, type)])


@on_page("plugins/README.md", "plugins/ktoformats_plugins/\n")
def test_the_plugins_stand_where_they_are_drawn(shown: list[Block]) -> None:
    [block] = shown
    top, *folders = block.body.splitlines()
    drawn = {line.split()[0]: re.findall(r"\w+\.py", line) for line in folders}
    home = Path(ktoformats_plugins.__path__[0])
    assert top == f"plugins/{home.name}/"
    for folder, files in drawn.items():
        assert files
        assert all((home / folder / name).is_file() for name in files), folder
