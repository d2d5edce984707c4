"""Every command beside plugins that nobody named, and plugins that are broken: it works, and says whose fault it is."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import click
import pytest

from ktoformats import Registry
from ktoformats.cli.main import cli
from ktoformats.plugin.discovery import GROUP_OF, GROUPS, OBSERVER, PRESET, discover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    Command = Callable[..., Any]
    Install = Callable[..., None]


class Case(NamedTuple):
    """One invocation."""

    words: tuple[str, ...]
    status: int = 0
    before: tuple[str, ...] = ()
    """What is run first, so that there is something to work on."""


def case(words: str, status: int = 0, before: str = "") -> Case:
    return Case(tuple(words.split()), status, tuple(before.split()))


FILL: Final = "convert votes.jsonl -o first.jsonl"
CASES: Final = (
    case("plugin --help"),
    case("--version"),
    case("-q doctor --json"),
    case("-v --log-json demo"),
    case("cache ls", before=FILL),
    case("cache ls --json --cache-dir kept", 2),
    case("cache verify --json", before=FILL),
    case("cache verify --cache-dir kept", 2),
    case("cache prune --older-than 0 --max-size 1GB --dry-run", before=FILL),
    case("cache prune --older-than 0 --json", before=FILL),
    case("cache prune --cache-dir kept", 2),
    case("cache clear --yes --json", before=FILL),
    case("cache clear --cache-dir kept", 2),
    case("completion bash"),
    case("completion fish --json"),
    case("config init new.yaml --force --json"),
    case("config check kto.yaml"),
    case("config check kto.yaml --json"),
    case("config schema"),
    case("config schema --json"),
    case("convert votes.jsonl -o out.jsonl"),
    case("convert votes.jsonl -o out.jsonl --format default --workers 2 --json --no-cache"),
    case("convert votes.jsonl -o out.jsonl --dry-run --json"),
    case("convert votes.jsonl -o out.jsonl --report page.html --on-error skip"),
    case("convert votes.jsonl -o parts --split train=0.5,validation=0.5 --json"),
    case("convert votes.jsonl -o shards --rows-per-shard 2 --rejects lost.txt"),
    case("convert votes.jsonl -o out.jsonl --batch-size 2 --world-size 1 --epochs 2"),
    case("convert -o out.parquet --config kto.yaml --to parquet --engine local"),
    case("convert odd.jsonl -o out.jsonl --mapping odd.yaml"),
    case("convert arena.jsonl -o out.jsonl --preset arena --set random_seed=7"),
    case("convert no.jsonl -o out.jsonl", 1),
    case("demo"),
    case("demo --json"),
    case("doctor"),
    case("doctor --json"),
    case("doctor --load"),
    case("inspect votes.jsonl"),
    case("inspect votes.jsonl --json --samples 1 --config kto.yaml --format binary --set random_seed=7"),
    case("inspect odd.jsonl --json"),
    case("inspect odd.jsonl --mapping odd.yaml --json"),
    case("inspect arena.jsonl --preset arena --json"),
    case("inspect odd.jsonl --good Yes,4. --bad No,5. -o made.yaml --json"),
    case("plugin check binary"),
    case("plugin check thumbs --kind labels --full --json"),
    case("plugin list"),
    case("plugin list --json"),
    case("plugin list --load --json"),
    case("plugin new fresh --kind format --json"),
    case("plugin new fresh --kind observer --into deep"),
    case("plugin new fresh --kind presets --from odd.jsonl --good Yes,4. --bad No,5. --json"),
    case("plugin presets"),
    case("plugin presets --json"),
    case("plugin presets arena"),
    case("report votes.jsonl"),
    case("report votes.jsonl --json --batch-size 2 --world-size 1 --validation odd.csv --no-cache --format binary"),
    case("report votes.jsonl -o page.html --samples 2 --config kto.yaml --set random_seed=7"),
    case("report votes.jsonl --what-if min_response_length=5 --json"),
    case("report votes.jsonl --fail-on rejects", 4),
    case("report odd.jsonl --mapping odd.yaml"),
    case("report arena.jsonl --preset arena"),
    case("why votes.jsonl:1"),
    case("why votes.jsonl:2 --json --batch-size 2 --split train --no-cache --set random_seed=7"),
    case("why --config kto.yaml votes.jsonl:1 --format binary"),
    case("why odd.jsonl:1 --mapping odd.yaml"),
    case("why arena.jsonl:1 --preset arena"),
)
LEFT_OUT: Final = {
    "convert --tokenizer": "takes a folder with a tokenizer",
    "convert --address": "takes a Ray",
    "report --tokenizer": "takes a folder with a tokenizer",
    "plugin list --check": "tried on fewer plugins, see test_list_check",
}
"""Options without a case, and why."""
FORMATS_AND_LABELS: Final = {"format", "labels"}
LOADS: Final[dict[str, set[str]]] = {
    "doctor --load": {*GROUPS, OBSERVER},
    "plugin list --load": {*GROUPS, OBSERVER},
    "config schema": {"format", "labels", "quality", "utility", "filter"},
    "inspect": FORMATS_AND_LABELS,
}
"""Commands whose job it is to ask everything that is installed, and the kinds that they import. Presets are data."""


def id_of(one: Case) -> str:
    return " ".join(one.words)


def leaves(command: click.Command = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    """Every command that is no group."""
    if not isinstance(command, click.Group):
        yield path, command
        return
    context = click.Context(command)
    for name in command.list_commands(context):
        child = command.get_command(context, name)
        assert child is not None
        yield from leaves(child, f"{path} {name}".strip())


COMMANDS: Final = dict(leaves())


def command_of(one: Case) -> str:
    """The command of a case; empty where there is none."""
    words = " ".join(word for word in one.words if word not in ("-q", "-v", "--log-json"))
    return next((path for path in COMMANDS if f"{words} ".startswith(f"{path} ")), "")


def loads(one: Case) -> set[str]:
    """The kinds that a case imports though it does not name them."""
    words = " ".join(one.words)
    if "--good" in one.words:
        return set()  # two answers say what is meant
    return next((kinds for start, kinds in LOADS.items() if words.startswith(start)), set())


def untried(cases: Sequence[Case]) -> set[str]:
    """Commands, and options of commands, that no case tries."""
    missing = {path for path in COMMANDS if path not in {command_of(one) for one in cases}}
    for path, command in COMMANDS.items():
        words = {word for one in cases if command_of(one) == path for word in one.words}
        for option in command.params:
            if isinstance(option, click.Option) and not words & {*option.opts}:
                missing.add(f"{path} {option.opts[-1]}")
    return missing


def test_every_command_and_every_option_has_a_case() -> None:
    assert untried(CASES) == set(LEFT_OUT)
    assert [one for one in CASES if not command_of(one)] == [case("plugin --help"), case("--version")]


def test_a_command_without_a_case_would_be_found() -> None:
    fewer = [one for one in CASES if one.words[:2] != ("plugin", "new")]
    assert "plugin new" in untried(fewer)
    fewer = [one for one in CASES if "--what-if" not in one.words]
    assert untried(fewer) == {*LEFT_OUT, "report --what-if"}


VOTES: Final = [
    {"prompt": f"What is {n} and {n}?", "response": f"It is {n + n}, I think.", "label": ("good", "bad")[n % 2]}
    for n in range(6)
] + [{"prompt": "q", "response": "a", "label": "maybe"}]
ODD: Final = [
    {"question": f"Is it {n}?", "answer": f"{('Yes', 'No')[n % 2]},{n}.", "mark": ("ok", "poor")[n % 2]}
    for n in range(4, 8)
]


def turns(answer: str) -> list[dict[str, str]]:
    """A question and its answer."""
    return [{"role": "user", "content": "Name a river."}, {"role": "assistant", "content": answer}]


ARENA: Final = [
    {"winner": winner, "conversation_a": turns("The Nile."), "conversation_b": turns("Water.")}
    for winner in ("model_a", "model_b")
]
FILES: Final = {
    "votes.jsonl": "".join(json.dumps(one) + "\n" for one in VOTES),
    "odd.jsonl": "".join(json.dumps(one) + "\n" for one in ODD),
    "arena.jsonl": "".join(json.dumps(one) + "\n" for one in ARENA),
    "odd.csv": "prompt,response,label\nq,a good answer,good\nq,a bad answer,bad\n",
    "odd.yaml": "prompt: question\ncandidates: {a: answer}\nverdict: {label: mark, good: [ok], bad: [poor]}\n",
    "kto.yaml": "data: {train_file: votes.jsonl, formats: [default], balance_labels: false}\n",
    "kept": "no folder",
}
CANARY: Final = """
import os, pathlib
pathlib.Path(os.environ["CANARIES"], __name__).touch()
"""
HOOK: Final = """
from ktoformats import Exporter, Filter, Format, Labels, Quality, Scale, Utility, hookimpl, scale_of
{body}
@hookimpl
def ktoformats_plugins():
    return [Mine]
"""
BODIES: Final = {
    "format": "class Mine(Format):\n    def facts(self, row):\n        yield from ()",
    "labels": ('class Mine(Labels):\n    scale: Scale = scale_of("votes", "zzno < zzyes", good_from=1, bad_to=0)'),
    "quality": "class Mine(Quality):\n    def score(self, batch):\n        return [0.5] * len(batch)",
    "utility": "class Mine(Utility):\n    def utility(self, quality, good):\n        return quality",
    "filter": "class Mine(Filter):\n    def drops(self, batch):\n        return ()",
    "exporter": "class Mine(Exporter):\n    def write(self, batches, path):\n        path.touch()\n        return {}",
}
"""The least plugin of each kind."""
LISTENS: Final = """
from ktoformats import hookimpl
@hookimpl
def ktoformats_dataset_built(report):
    pass
"""
PRESET_TEXT: Final = (
    "title: Mine\nmapping: {prompt: p, candidates: {a: r}, verdict: {label: zz, good: [y], bad: [n]}}\n"
)
MOMENT: Final = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[+-]\d\d:\d\d|Z)?|\d+ micro.*?times")
"""What a clock says."""


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What a test imported from its own distributions is not there for the next one."""
    yield
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


@pytest.fixture
def fresh(tmp_path: Path, command: Command) -> Command:
    """Run a case in a folder that holds the files and nothing else, with an empty cache."""

    def run(one: Case) -> Any:
        for folder in (tmp_path / "work", tmp_path / "cache"):
            shutil.rmtree(folder, ignore_errors=True)
        (tmp_path / "work").mkdir()
        os.chdir(tmp_path / "work")
        for name, text in FILES.items():
            (tmp_path / "work" / name).write_text(text)
        if one.before:
            assert command(*one.before).status == 0
        return command(*one.words)

    return run


def preset_of(site: Path, module: str, name: str, text: str | bytes) -> None:
    """The package of a preset; of a package that is imported something would be seen."""
    (site / module).mkdir()
    (site / module / "__init__.py").write_text(CANARY)
    (site / module / f"{name}.yaml").write_bytes(text if isinstance(text, bytes) else text.encode())


@pytest.fixture
def canaries(tmp_path: Path, install: Install, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a file for each module that is imported of acme-canary, which has a plugin of every kind."""
    folder = tmp_path / "canaries"
    folder.mkdir()
    monkeypatch.setenv("CANARIES", str(folder))
    modules = {f"acme_{kind}": CANARY + HOOK.format(body=body) for kind, body in BODIES.items()}
    entries = "".join(f"[{group}]\ncanary = acme_{kind}\n" for kind, group in GROUP_OF.items())
    install("acme-canary", entries, {**modules, "acme_observer": CANARY + LISTENS})
    preset_of(tmp_path / "site", "acme_preset", "canary", PRESET_TEXT)
    return folder


def imported(canaries: Path) -> set[str]:
    """The kinds whose canary was imported since the last look."""
    found = {path.name.removeprefix("acme_") for path in canaries.iterdir()}
    for path in canaries.iterdir():
        path.unlink()
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]
    return found


@pytest.mark.parametrize("one", CASES, ids=id_of)
def test_a_command_imports_no_plugin_that_it_does_not_name(
    one: Case, canaries: Path, fresh: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert fresh(one).status == one.status
    assert imported(canaries) == loads(one)
    if loads(one):
        for allowed in ("", "somebody-else"):
            monkeypatch.setenv("KTOFORMATS_PLUGINS", allowed)
            assert fresh(one).status == one.status
            assert imported(canaries) == set()


NAMED: Final = {
    "format": "--format {name}",
    "labels": "--set scales.label={name}",
    "quality": "--set quality={name}",
    "utility": "--set utility={name}",
    "filter": "--set filters=[{name}]",
    "exporter": "--to {name}",
    "observer": "--set observers=[{name}]",
    "preset": "--preset {name}",
}
"""How the command line names a plugin of each kind."""
FIELDS: Final = {
    "format": "formats: [{name}]",
    "labels": "scales: {{label: {name}}}",
    "quality": "quality: {name}",
    "utility": "utility: {name}",
    "filter": "filters: [{name}]",
    "observer": "observers: [{name}]",
    "preset": "formats: [{{mapping: {{preset: {name}}}}}]",
}
"""How a configuration does."""
READING: Final = (
    "convert votes.jsonl -o out.jsonl",
    "convert votes.jsonl -o out.jsonl --dry-run",
    "convert votes.jsonl -o out --split train=0.5,validation=0.5",
    "convert votes.jsonl -o out.jsonl --report page.html --workers 2",
    "inspect votes.jsonl",
    "report votes.jsonl",
    "report votes.jsonl -o page.html --what-if random_seed=7",
    "why votes.jsonl:1",
)
"""Commands that read with what is named."""


def reading(words: str, kind: str, name: str) -> Case | None:
    """A command that names a plugin; None where it has no option for its kind."""
    if kind == "exporter" and not words.startswith("convert"):
        return None
    return case(f"{words} {NAMED[kind].format(name=name)}")


@pytest.mark.parametrize("kind", GROUP_OF)
def test_a_plugin_that_is_named_is_imported_and_no_other_one_of_its_distribution(
    kind: str, canaries: Path, fresh: Command
) -> None:
    one = reading("convert votes.jsonl -o out.jsonl --on-error skip", kind, "canary")
    assert one is not None
    fresh(one)
    assert imported(canaries) == {kind} - {PRESET}


@pytest.mark.parametrize("words", ["plugin check canary", "plugin check acme-canary"])
def test_what_is_checked_is_imported(words: str, canaries: Path, fresh: Command) -> None:
    fresh(case(words))
    assert imported(canaries) == {*GROUPS, OBSERVER}


@pytest.mark.parametrize("allowed", ["", "somebody-else"])
@pytest.mark.parametrize("kind", GROUP_OF)
def test_a_blocked_plugin_is_not_imported_though_every_command_names_it(
    kind: str, allowed: str, canaries: Path, fresh: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("KTOFORMATS_PLUGINS", allowed)
    for words in READING:
        if one := reading(words, kind, "canary"):
            done = fresh(one)
            assert done.status == 3
            assert kind in done.err
            assert "'canary' of acme-canary 1.0 is blocked: it is not named in KTOFORMATS_PLUGINS" in done.err
    assert fresh(case(f"plugin check canary --kind {kind}")).status == 1
    assert imported(canaries) == set()


class Broken(NamedTuple):
    """A way in which a distribution is broken."""

    source: str
    """Its module; `{body}` is a class of its kind. Of a preset its file."""
    value: str = "{module}"
    """Its entry point."""
    metadata: str = ""
    late: bool = False
    """Whether it fails only after it was loaded."""
    says: str = ""
    """What else the message has to hold."""


ANYWHERE: Final = {
    "import": Broken("import acme_no_such_library", says="pip install acme_no_such_library"),
    "raise": Broken("raise ValueError('no luck')", says="ValueError: no luck"),
    "syntax": Broken("def (", says="SyntaxError"),
    "exit": Broken("raise SystemExit(0)", says="SystemExit: 0"),
    "odd": Broken("class Odd(BaseException): ...\nraise Odd('very odd')", says="Odd: very odd"),
    "attribute": Broken("", "{module}:Mine", says="it must name a module"),
    "gone": Broken("", "{module}_gone", says="No module named"),
    "newer": Broken("from ktoformats import NotYet", metadata="Requires-Dist: ktoformats>=99\n", says="NotYet"),
}
"""Ways that need no hook."""
CODE: Final = {
    **ANYWHERE,
    "hook-fails": Broken(
        HOOK.replace("return [Mine]", "raise RuntimeError('no list')"), says="RuntimeError: no list"
    ),
    "hook-exits": Broken(HOOK.replace("return [Mine]", "raise SystemExit(0)"), says="SystemExit: 0"),
    "hook-odd": Broken(HOOK.replace("return [Mine]", "raise GeneratorExit('odd')"), says="GeneratorExit: odd"),
    "number": Broken(HOOK.replace("[Mine]", "42"), says="must return a list of plugin classes, got 42"),
    "class": Broken(HOOK.replace("[Mine]", "Mine"), says="must return a list of plugin classes"),
    "strangers": Broken(HOOK.replace("[Mine]", "[dict]"), says="'dict'"),
    "twice": Broken(HOOK.replace("[Mine]", "[Mine, Mine]"), says="must return exactly one"),
    "signature": Broken(HOOK.replace("plugins()", "plugins(nonsense)"), says="nonsense"),
    "no-hook": Broken(HOOK.replace("@hookimpl", ""), says="is the hook marked with @hookimpl?"),
    "variable": Broken(HOOK.replace("{body}", "{body}\n    examples: tuple = ()"), says="would become an option"),
    "unmade": Broken(
        HOOK.replace("{body}", "{body}\n    def model_post_init(self, _):\n        raise RuntimeError('unmade')"),
        late=True,
        says="RuntimeError: unmade",
    ),
    "unmade-exit": Broken(
        HOOK.replace("{body}", "{body}\n    def model_post_init(self, _):\n        raise SystemExit('left')"),
        late=True,
        says="SystemExit: left",
    ),
}
LISTENING: Final = {
    **ANYWHERE,
    "signature": Broken(LISTENS.replace("report", "nonsense"), says="nonsense"),
    "no-hook": Broken(LISTENS.replace("@hookimpl", ""), says="hears of no event"),
    "hook-fails": Broken(LISTENS.replace("pass", "raise RuntimeError('deaf')"), late=True, says="RuntimeError: deaf"),
    "hook-exits": Broken(LISTENS.replace("pass", "raise SystemExit(0)"), late=True, says="SystemExit: 0"),
    "hook-odd": Broken(LISTENS.replace("pass", "raise GeneratorExit('odd')"), late=True, says="GeneratorExit: odd"),
}
FILE: Final = {
    "gone": Broken(PRESET_TEXT, "{module}_gone", says="there is no file"),
    "attribute": Broken(PRESET_TEXT, "{module}:Mine", says="there is no file"),
    "deeper": Broken(PRESET_TEXT, "{module}.inner", says="there is no file"),
    "syntax": Broken("title: [1,\n", says="cannot be read"),
    "list": Broken("- 1\n", says="cannot be read"),
    "no-text": Broken("\udcff", says="cannot be read"),
    "stranger": Broken(f"{PRESET_TEXT}nonsense: 1\n", says="expected one format with its options"),
    "untitled": Broken(PRESET_TEXT.replace("title: Mine\n", ""), says="title"),
}
BROKEN: Final = {
    **dict.fromkeys(GROUPS, CODE),
    OBSERVER: LISTENING,
    PRESET: FILE,
}
ALL: Final = [(kind, how) for kind, ways in BROKEN.items() for how in ways]


def broken_one(kind: str, how: str, site: Path, install: Install) -> None:
    """Install the distribution acme-KIND-HOW with a plugin bad-HOW."""
    one, name = BROKEN[kind][how], f"acme-{kind}-{how}"
    module = name.replace("-", "_")
    text = one.source.replace("{body}", BODIES.get(kind, ""))
    entries = f"[{GROUP_OF[kind]}]\nbad-{how} = {one.value.format(module=module)}\n"
    install(name, entries, {} if kind == PRESET else {module: text})
    if kind == PRESET:
        preset_of(site, module, f"bad-{how}", text.encode(errors="surrogateescape"))
    with (site / f"{module}-1.0.dist-info" / "METADATA").open("a") as stream:
        stream.write(one.metadata)


@pytest.fixture
def broken(tmp_path: Path, install: Install) -> Callable[..., None]:
    """Install what is broken: all of it, or some."""

    def put(distributions: Sequence[tuple[str, str]] = ALL) -> None:
        for kind, how in distributions:
            broken_one(kind, how, tmp_path / "site", install)

    return put


def settled(text: str) -> str:
    """A text without the times in it."""
    return MOMENT.sub("", text)


def left(folder: Path) -> dict[str, str]:
    """What a command wrote."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path.relative_to(folder)): settled(path.read_text(errors="surrogateescape")) for path in files}


UNMOVED: Final = [
    one for one in CASES if not loads(one) and command_of(one) not in ("doctor", "plugin list", "plugin presets")
] + [case("plugin presets arena")]


@pytest.mark.parametrize("one", UNMOVED, ids=id_of)
def test_a_command_does_the_same_beside_broken_plugins(
    one: Case, tmp_path: Path, fresh: Command, broken: Callable[..., None]
) -> None:
    before = fresh(one)
    written = left(tmp_path / "work")
    broken()
    after = fresh(one)
    assert (after.status, settled(after.out), settled(after.err)) == (
        before.status,
        settled(before.out),
        settled(before.err),
    )
    assert left(tmp_path / "work") == written


def unnamed(text: str, kinds: set[str]) -> set[str]:
    """The broken distributions of these kinds that a text does not name."""
    wanted = {f"acme-{kind}-{how}" for kind, how in ALL if kind in kinds}
    return {name for name in wanted if not re.search(rf"{name}\b(?!-)", text)}


def says(message: str, kind: str, how: str) -> bool:
    """Whether a message names entry point and distribution, and what is wrong."""
    named = f"'bad-{how}'" in message and f"acme-{kind}-{how} 1.0" in message
    return named and BROKEN[kind][how].says in message and "Traceback" not in message


TELLING: Final = {
    "plugin list": {*GROUPS, OBSERVER},
    "plugin list --json": {*GROUPS, OBSERVER},
    "plugin list --load": {*GROUPS, OBSERVER},
    "doctor": {*GROUP_OF},
    "doctor --json": {*GROUP_OF},
    "doctor --load": {*GROUP_OF},
    "plugin presets": {PRESET},
    "plugin presets --json": {PRESET},
}
"""Commands that tell of what is installed, and of which kinds."""


@pytest.mark.parametrize("words", TELLING)
def test_what_lists_plugins_tells_of_the_broken_ones(words: str, fresh: Command, broken: Callable[..., None]) -> None:
    assert fresh(case(words)).status == 0
    broken()
    done = fresh(case(words))
    assert done.status == ("doctor" in words), done.err
    assert unnamed(done.out, TELLING[words]) == set()


@pytest.mark.parametrize("words", ["plugin list --load --json", "doctor --load --json"])
def test_what_loads_plugins_says_why_each_one_fails(words: str, fresh: Command, broken: Callable[..., None]) -> None:
    broken()
    told = json.loads(fresh(case(words)).out)
    listed = told["plugins"] if "doctor" in words else told
    why = {one["distribution"]: (one["state"], one["why"]) for one in listed}
    for kind, how in ALL:
        if kind != PRESET:
            state, said = why[f"acme-{kind}-{how}"]
            late = BROKEN[kind][how].late
            assert state == ("loaded" if late else "failed"), (kind, how, said)
            assert late or says(said, kind, how)
    assert {state for state, _ in why.values()} <= {"available", "failed", "loaded"}


def test_list_check(fresh: Command, broken: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    broken()
    found = [one for one in discover() if one.distribution.startswith("acme-filter")]
    monkeypatch.setattr("ktoformats.cli.listing.Registry", lambda: Registry(found))
    done = fresh(case("plugin list --check --json"))
    listed = {one["name"]: one for one in json.loads(done.out)}
    assert (done.status, {*listed}) == (0, {f"bad-{how}" for how in CODE})
    for how, one in CODE.items():
        broken_laws = [law for law in listed[f"bad-{how}"]["laws"] if law["state"] == "broken"]
        assert any(one.says in law["message"] for law in broken_laws), how
        assert (broken_laws[0]["law"] == "registered") == (not one.late)


def test_the_schema_has_the_options_of_all_others(fresh: Command, broken: Callable[..., None]) -> None:
    before = fresh(case("config schema"))
    broken([(kind, how) for kind, how in ALL if not BROKEN[kind][how].late])
    done = fresh(case("config schema"))
    assert (done.status, done.out) == (0, before.out)
    for kind in LOADS["config schema"]:
        for how in CODE:
            assert CODE[how].late or f"acme-{kind}-{how} 1.0" in done.err


@pytest.mark.parametrize("words", ["votes.jsonl", "odd.jsonl", "arena.jsonl"])
def test_inspect_tells_of_broken_formats_beside_what_others_say(
    words: str, fresh: Command, broken: Callable[..., None]
) -> None:
    one = case(f"inspect {words} --json")
    before = json.loads(fresh(one).out)
    broken()
    done = fresh(one)
    after = json.loads(done.out)
    assert done.status == 0
    [shape] = after["shapes"]
    told = {error["format"]: error["error"] for error in shape["errors"] if error["format"]}
    for how in CODE:
        assert says(told[f"bad-{how}"], "format", how)
    shape["errors"] = [error for error in shape["errors"] if not error["format"]]
    assert after == before
    text = fresh(case(f"inspect {words}"))
    assert unnamed(text.out + text.err, {"format"}) == set()


def configuration(kind: str, name: str) -> str:
    return f"data: {{train_file: votes.jsonl, balance_labels: false, {FIELDS[kind].format(name=name)}}}\n"


@pytest.mark.parametrize(("kind", "how"), ALL)
def test_a_broken_plugin_that_is_named_is_an_error_that_names_its_distribution(
    kind: str, how: str, tmp_path: Path, fresh: Command, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken_one(kind, how, tmp_path / "site", install)
    one = reading("convert votes.jsonl -o out.jsonl", kind, f"bad-{how}")
    assert one is not None
    done = fresh(one)
    assert (done.status, done.out) == (3, ""), done.err
    assert says(done.err, kind, how), done.err
    assert set(left(tmp_path / "work")) == set(FILES)
    if kind in FIELDS:
        monkeypatch.setitem(FILES, "kto.yaml", configuration(kind, f"bad-{how}"))
        is_heard = kind == OBSERVER and BROKEN[kind][how].late  # by builds alone
        words = "convert -o out.jsonl --config kto.yaml --json" if is_heard else "config check kto.yaml --json"
    else:
        words = f"{id_of(one)} --json"
    again = fresh(case(words))
    told = json.loads(again.out)["error"]
    assert (again.status, told["exit_status"], again.err) == (3, 3, "")
    assert says(told["message"], kind, how), told


EARLY: Final = {kind: [how for how, one in ways.items() if not one.late] for kind, ways in BROKEN.items()}


@pytest.mark.parametrize("kind", GROUP_OF)
def test_every_command_that_reads_says_so(
    kind: str, tmp_path: Path, fresh: Command, broken: Callable[..., None]
) -> None:
    broken([(kind, how) for how in EARLY[kind]])
    for number, words in enumerate(READING):
        how = EARLY[kind][number % len(EARLY[kind])]
        if one := reading(words, kind, f"bad-{how}"):
            done = fresh(one)
            assert (done.status, done.out) == (3, ""), (one, done)
            assert says(done.err, kind, how), (one, done.err)
            assert set(left(tmp_path / "work")) == set(FILES), one


ELSEWHERE: Final = (
    ("quality", "report votes.jsonl --what-if quality={name}"),
    ("format", "report votes.jsonl --validation odd.csv --format default --format {name}"),
    ("format", 'convert -o out.jsonl --set sources=[{{"path":votes.jsonl,"formats":[{name}]}}]'),
    ("exporter", "convert votes.jsonl -o out --engine ray --to {name}"),
    ("exporter", "convert votes.jsonl -o out --rows-per-shard 2 --to {name}"),
    ("preset", "plugin presets {name}"),
    ("preset", "plugin presets {name} --json"),
)
"""Other words that name a plugin."""


@pytest.mark.parametrize(("kind", "words"), ELSEWHERE)
def test_wherever_it_is_named_the_message_says_so(
    kind: str, words: str, fresh: Command, broken: Callable[..., None]
) -> None:
    broken([(kind, how) for how in EARLY[kind]])
    for how in EARLY[kind][:6]:
        done = fresh(case(words.format(name=f"bad-{how}")))
        assert done.status == 3, done
        assert says(done.err or json.loads(done.out)["error"]["message"], kind, how), done


@pytest.mark.parametrize("kind", GROUP_OF)
def test_check_tells_what_is_wrong(kind: str, fresh: Command, broken: Callable[..., None]) -> None:
    broken([(kind, how) for how in EARLY[kind]])
    for how in EARLY[kind]:
        done = fresh(case(f"plugin check bad-{how} --kind {kind}"))
        assert done.status == 1, done
        assert "broken registered: " in done.out
        assert says(done.out, kind, how), done.out


@pytest.mark.parametrize(
    "source", ["raise KeyboardInterrupt", HOOK.replace("return [Mine]", "raise KeyboardInterrupt")]
)
def test_whoever_interrupts_an_import_is_obeyed(
    source: str, tmp_path: Path, fresh: Command, install: Install
) -> None:
    install("acme-slow", "[ktoformats.quality]\nslow = acme_slow\n", {"acme_slow": source.format(body="")})
    done = fresh(case("convert votes.jsonl -o out.jsonl --set quality=slow"))
    assert (done.status, "interrupted" in done.err) == (130, True)
    assert set(left(tmp_path / "work")) == set(FILES)


def test_a_shell_is_offered_names_and_nothing_is_imported(
    canaries: Path, fresh: Command, broken: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    broken()
    monkeypatch.setenv("_KTOFORMATS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", "ktoformats convert --format ")
    monkeypatch.setenv("COMP_CWORD", "3")
    done = fresh(Case(()))
    assert (done.status, done.err) == (0, "")
    assert {"plain,binary", "plain,canary", "plain,bad-exit"} <= set(done.out.split())
    assert imported(canaries) == set()


class Process(NamedTuple):
    """Runs Python in a process of its own that sees what is installed."""

    folder: Path
    site: Path

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        own = {"PYTHONPATH": str(self.site), "XDG_CACHE_HOME": str(self.folder / "cache")}
        return subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env=os.environ | own,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture
def process(tmp_path: Path, broken: Callable[..., None]) -> Process:
    """Everything that is broken, and real processes."""
    broken()
    for name, text in FILES.items():
        (tmp_path / name).write_text(text)
    return Process(tmp_path, tmp_path / "site")


COMMAND: Final = ("-m", "ktoformats.cli.main")


@pytest.mark.parametrize(
    "words",
    [
        ("-c", "import ktoformats"),
        ("-c", "import ktoformats; ktoformats.KTODataLoader"),
        ("-c", "import ktoformats; repr(ktoformats.Registry()); ktoformats.Registry()._repr_html_()"),
        (*COMMAND, "--help"),
        (*COMMAND, "doctor", "--json"),
        (*COMMAND, "convert", "votes.jsonl", "-o", "out.jsonl", "--workers", "2"),
    ],
    ids=" ".join,
)
def test_processes_import_nothing_that_is_not_named(words: tuple[str, ...], canaries: Path, process: Process) -> None:
    done = process(*words)
    assert done.returncode == ("doctor" in words), done.stderr
    assert "Traceback" not in done.stderr
    assert imported(canaries) == set()


@pytest.mark.parametrize(("kind", "how"), [("format", "odd"), ("filter", "exit"), (OBSERVER, "hook-odd")])
def test_processes_end_with_3_where_it_is_named(kind: str, how: str, process: Process) -> None:
    one = reading("convert votes.jsonl -o out.jsonl", kind, f"bad-{how}")
    assert one is not None
    done = process(*COMMAND, *one.words)
    assert (done.returncode, done.stdout) == (3, "")
    assert says(done.stderr, kind, how), done.stderr
