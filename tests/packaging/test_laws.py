"""What the code must never do, whoever writes it. Each scan is also shown a seeded offence, so that it can fail."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

import ktoformats
import ktoformats_plugins
from ktoformats.plugin.kinds import GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CORE, PLUGINS = Path(ktoformats.__file__).parent, Path(ktoformats_plugins.__file__).parent
CORE_FILES, PLUGIN_FILES = sorted(CORE.rglob("*.py")), sorted(PLUGINS.rglob("*.py"))

FORBIDDEN_MODULES: Final = {"pickle", "cPickle", "_pickle", "marshal", "shelve", "dill", "cloudpickle", "joblib"}
FORBIDDEN_CALLS: Final = {
    "eval",
    "exec",
    "__import__",
    "yaml.load",
    "yaml.unsafe_load",
    "yaml.full_load",
    "torch.load",
}

FIRST_PARTY_FORMATS: Final = set(PROJECT["entry-points"][GROUPS["format"]])
ALLOWED_STRINGS: Final = {
    ("blocks/candidates.py", "conversation"): "a form of an answer",
    ("cli/shared.py", "mapping"): "the option --mapping",
    ("cli/inspect.py", "mapping"): "what a proposal is",
    ("cli/proposal.py", "mapping"): "what a proposal is",
    ("propose/trial.py", "mapping"): "what is proposed are options of this format alone",
    **{
        (f"propose/{name}.py", "conversation"): "a form of an answer"
        for name in ("columns", "layouts", "seats", "shape")
    },
    ("propose/contexts.py", "conversation"): "what prompts are called",
    ("propose/verdicts.py", "ranking"): "what verdicts are called",
    ("feedback.py", "binary"): "the specification's `preference_type` of a sample",
    ("feedback.py", "conversation"): "a column of the schema",
    ("convert/bulk.py", "conversation"): "a column of the schema",
    ("convert/encode.py", "conversation"): "a column of the schema",
    ("store/numbers.py", "conversation"): "a column of the schema",
    ("train/decode.py", "conversation"): "a column of the schema",
    ("report/browse.py", "conversation"): "a column of the schema",
    ("train/rows.py", "conversation"): "a column of the schema",
    ("plugin/row.py", "conversation"): "the default name of a column",
    ("testing/corpus.py", "conversation"): "the default name of a column",
    ("scaffold/layouts.py", "conversation"): "a form of an answer",
    ("config/models.py", "conversation"): "the default name of a column",
}


def shown(path: Path) -> str:
    """A path as people know it."""
    return path.relative_to(CORE.parent if path.is_relative_to(CORE) else PLUGINS.parent).as_posix()


def imported(tree: ast.AST) -> Iterator[tuple[int, str, list[str]]]:
    """Every import of a module: line, module (dots in front where it is relative), names."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, []
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, "." * node.level + (node.module or ""), [alias.name for alias in node.names]


def offences(source: str) -> list[str]:
    """Pickles, evaluated text, shells and asserts."""
    tree = ast.parse(source)
    found = [f"{line}: import {name}" for line, name, _ in imported(tree) if name.split(".")[0] in FORBIDDEN_MODULES]
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            found.append(f"{node.lineno}: assert")
        elif isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            if called in FORBIDDEN_CALLS:
                found.append(f"{node.lineno}: {called}(")
            found += [
                f"{node.lineno}: {word.arg}=True"
                for word in node.keywords
                if word.arg in {"shell", "allow_pickle"} and ast.unparse(word.value) != "False"
            ]
    return found


def foreign_imports(source: str, own: str, *, libraries: set[str]) -> list[str]:
    """Imports of a plugin module other than public names of the core, its own kind's folder, and what is declared."""
    found = []
    for line, module, names in imported(ast.parse(source)):
        top = module.partition(".")[0]
        if module == "ktoformats":
            found += [f"{line}: {name} is not public" for name in names if name not in ktoformats.__all__]
        elif module != own and not module.startswith(f"{own}.") and top not in libraries:
            found.append(f"{line}: {module}")
    return found


def strings(source: str, wanted: set[str]) -> list[tuple[int, str]]:
    """String constants that are one of these words."""
    nodes = (node for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Constant))
    return [(node.lineno, node.value) for node in nodes if isinstance(node.value, str) and node.value in wanted]


def import_names(requirements: list[str]) -> set[str]:
    """What one imports of these requirements."""
    wanted = {normal(re.split(r"[^\w.-]", requirement, maxsplit=1)[0]) for requirement in requirements}
    return {name for name, owners in packages_distributions().items() if wanted & set(map(normal, owners))}


def normal(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize("path", [*CORE_FILES, *PLUGIN_FILES], ids=shown)
def test_nothing_is_pickled_evaluated_or_asserted(path: Path) -> None:
    assert offences(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    ("source", "offence"),
    [
        ("import pickle", "1: import pickle"),
        ("def f():\n    from marshal import loads", "2: import marshal"),
        ("import shelve as s", "1: import shelve"),
        ("import dill.source", "1: import dill.source"),
        ("eval(text)", "1: eval("),
        ("exec(text)", "1: exec("),
        ("__import__('os')", "1: __import__("),
        ("yaml.load(text)", "1: yaml.load("),
        ("torch.load(path)", "1: torch.load("),
        ("run(words, shell=True)", "1: shell=True"),
        ("run(words, shell=flag)", "1: shell=True"),
        ("np.load(path, allow_pickle=True)", "1: allow_pickle=True"),
        ("assert x", "1: assert"),
    ],
)
def test_a_seeded_offence_is_found(source: str, offence: str) -> None:
    assert offences(source) == [offence]
    assert offences("import yaml\nrun(words, shell=False)\nre.compile(text)\nmodel.eval()\n") == []


@pytest.mark.parametrize("path", PLUGIN_FILES, ids=shown)
def test_first_party_plugins_use_what_every_plugin_may_use(path: Path) -> None:
    own = ".".join(path.relative_to(PLUGINS.parent).parts[:-1])
    declared = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"]["fast"]]
    libraries = set(sys.stdlib_module_names) | import_names(declared)
    assert foreign_imports(path.read_text(encoding="utf-8"), own, libraries=libraries) == []


@pytest.mark.parametrize(
    ("source", "offence"),
    [
        ("from ktoformats.plugin.kinds import Format", "1: ktoformats.plugin.kinds"),
        ("import ktoformats.feedback", "1: ktoformats.feedback"),
        ("from ktoformats import import_module", "1: import_module is not public"),
        ("from ktoformats import plugin", "1: plugin is not public"),
        ("from ktoformats_plugins.labels.stars import Stars", "1: ktoformats_plugins.labels.stars"),
        ("from ktoformats_plugins.formats_old import x", "1: ktoformats_plugins.formats_old"),
        ("from .. import labels", "1: .."),
        ("def f():\n    import pandas", "2: pandas"),
    ],
)
def test_a_seeded_foreign_import_is_found(source: str, offence: str) -> None:
    own = "ktoformats_plugins.formats"
    assert foreign_imports(source, own, libraries={"json", "numpy"}) == [offence]
    allowed = f"import json, numpy.typing\nfrom ktoformats import Format\nfrom {own}._verdicts import x\n"
    assert foreign_imports(allowed, own, libraries={"json", "numpy"}) == []


@pytest.mark.parametrize("path", CORE_FILES, ids=shown)
def test_the_core_imports_itself_and_what_is_declared(path: Path) -> None:
    extras = PROJECT["optional-dependencies"]
    declared = [
        *PROJECT["dependencies"],
        *extras["tokens"],
        *extras["trl"],
        *extras["ray"],
        *extras["remote"],
        *extras["report"],
        *extras["testing"],
    ]
    allowed = set(sys.stdlib_module_names) | import_names(declared) | {"ktoformats"}
    modules = imported(ast.parse(path.read_text(encoding="utf-8")))
    assert [f"{line}: {module}" for line, module, _ in modules if module.partition(".")[0] not in allowed] == []


@pytest.mark.parametrize("requirement", PROJECT["dependencies"])
def test_every_declared_dependency_is_imported(requirement: str) -> None:
    sources = (path.read_text(encoding="utf-8") for path in (*CORE_FILES, *PLUGIN_FILES))
    used = {module.partition(".")[0] for source in sources for _, module, _ in imported(ast.parse(source))}
    assert import_names([requirement]) & used


def test_every_dependency_has_its_reason_in_the_docs() -> None:
    text = (ROOT / "docs" / "explanation" / "dependencies.md").read_text(encoding="utf-8")
    to_run, _, extras = text.partition("## Extras")
    named = {None: re.findall(r"^\| `([\w-]+)`", to_run, re.MULTILINE)}
    for extra, names in re.findall(r"^\| `(\w+)` \| (`.*?`) \|", extras, re.MULTILINE):
        named.setdefault(extra, []).extend(re.findall(r"`([\w-]+)`", names))
    declared = {None: PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    assert {extra: sorted(names) for extra, names in named.items()} == {
        extra: sorted(re.split(r"[^\w.-]", one, maxsplit=1)[0] for one in ones) for extra, ones in declared.items()
    }


@pytest.mark.parametrize("path", [path for path in CORE_FILES if shown(path) != "ktoformats/overrides.py"], ids=shown)
def test_the_core_knows_no_format_by_name(path: Path) -> None:
    """`overrides.py` maps the specification's method names to formats; everything else asks the registry."""
    seen = strings(path.read_text(encoding="utf-8"), FIRST_PARTY_FORMATS)
    place = path.relative_to(CORE).as_posix()
    assert [one for one in seen if (place, one[1]) not in ALLOWED_STRINGS] == []


def test_every_exception_for_a_formats_name_is_needed() -> None:
    for (place, word), reason in ALLOWED_STRINGS.items():
        assert strings((CORE / place).read_text(encoding="utf-8"), {word}), f"{place} no longer holds {reason}"


def test_a_seeded_format_name_is_found() -> None:
    assert strings("x = 1\nif name == 'pairwise':\n    pass", FIRST_PARTY_FORMATS) == [(2, "pairwise")]
    assert strings("'a pairwise format'", FIRST_PARTY_FORMATS) == []


def modules_after(code: str, folder: Path, *words: str) -> set[str]:
    """Run code in a fresh interpreter; what it has imported by the end, which must be a good one."""
    told = folder / "modules.json"
    script = f"import sys\n{code}\nimport json, pathlib\npathlib.Path({str(told)!r}).write_text(json.dumps([*sys.modules]))"
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return set(json.loads(told.read_text()))


HEAVY: Final = frozenset(
    {"torch", "pandas", "matplotlib", "ray", "datasets", "transformers", "numba", "scipy", "IPython", "fsspec"}
)
"""What is imported only by who uses it, though it may be installed."""


def test_importing_the_package_imports_next_to_nothing(tmp_path: Path) -> None:
    modules = modules_after("import ktoformats", tmp_path)
    assert {name for name in modules if name.startswith("ktoformats")} == {"ktoformats"}
    assert modules.isdisjoint({"numpy", "pyarrow", "pydantic", "click", "rich", *HEAVY})


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("--version",),
        ("convert", "--help"),
        ("plugin", "list"),
        ("plugin", "list", "--load"),
        ("config", "init", "new.yaml"),
        ("config", "check", "kto.yaml"),
        ("config", "schema"),
        ("inspect", "votes.jsonl"),
        ("demo",),
        ("convert", "votes.jsonl", "-o", "out.jsonl", "--no-cache"),
        ("convert", "votes.jsonl", "-o", "out.parquet", "--to", "parquet", "--no-cache"),
        ("convert", "votes.jsonl", "-o", "out.jsonl", "--no-cache", "--batch-size", "2"),
        ("report", "votes.jsonl", "--no-cache"),
    ],
    ids=" ".join,
)
def test_no_command_waits_for_what_it_does_not_use(words: tuple[str, ...], tmp_path: Path) -> None:
    (tmp_path / "kto.yaml").write_text("data: {balance_labels: false}\n")
    (tmp_path / "votes.jsonl").write_text(
        '{"prompt": "p1", "response": "r1", "label": 1}\n{"prompt": "p2", "response": "r2", "label": 0}\n'
    )
    code = (
        "from ktoformats.cli.main import main\n"
        "try: main(sys.argv[1:])\n"
        "except SystemExit as stop: status = stop.code\n"
        "if status: sys.exit(status)"
    )
    modules = modules_after(code, tmp_path, *words)
    starts = words[0] in ("--help", "--version", "plugin", "config") or "--help" in words
    assert modules & HEAVY <= (set() if starts else {"pandas"}), "pyarrow.array imports pandas where it is installed"
    if words in {("--help",), ("--version",), ("plugin", "list")}:
        assert not [name for name in modules if name.startswith("ktoformats_plugins")]
        assert modules.isdisjoint({"numpy", "pyarrow", "pydantic", "yaml"})


def test_loading_a_dataset_does_import_torch(tmp_path: Path) -> None:
    """The look for torch can see it."""
    assert "torch" in modules_after("import ktoformats.train.dataset", tmp_path) & HEAVY
