"""New plugins: each passes its own tests, the linter and the type checker as it is written; a draft says that it is one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from xml.etree import ElementTree as ET

import pytest
import yaml
from click.testing import CliRunner

from ktoformats import ConfigError, Registry, SourceError
from ktoformats.cli.new import command
from ktoformats.scaffold.make import Made, make
from ktoformats.scaffold.names import KINDS, names_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from click.testing import Result

REGISTRY: Final = Registry()
SLOW_LAWS: Final = ("process", "speed", "order", "events")
SLOWLY_TRIED: Final = ("format", "exporter", "presets", "observer")
"""The plain plugins on which the slow laws are tried, too."""


def answers(**more: list[Any]) -> list[dict[str, Any]]:
    """Records of a question, an answer, and further columns."""
    [count] = {len(values) for values in more.values()}
    rows = [{"question": f"What is {n} and {n}?", "answer": f"It is {n + n}."} for n in range(count)]
    return [row | {key: values[n] for key, values in more.items()} for n, row in enumerate(rows)]


def votes(winners: list[Any], one: str = "answer_a", other: str = "answer_b") -> list[dict[str, Any]]:
    """Records of a question, two answers and a winner."""
    return [
        {"question": f"What is {n} and {n}?", one: f"It is {n + n}.", other: f"Not {n + n}.", "winner": winner}
        for n, winner in enumerate(winners)
    ]


def chats(thumbs: list[str]) -> list[dict[str, Any]]:
    """Dialogues and a thumb."""
    return [
        {
            "chat": [
                {"role": "user", "content": f"What is {n} and {n}?"},
                {"role": "assistant", "content": f"It is {n + n}."},
            ],
            "thumb": thumb,
        }
        for n, thumb in enumerate(thumbs)
    ]


def ranked() -> list[dict[str, Any]]:
    """Lists of answers with a score each."""
    return [
        {
            "question": f"What is {n} and {n}?",
            "answers": [
                {"text": f"Not {n + n}.", "score": 1},
                {"text": f"It is {n + n}.", "score": 5},
                {"text": f"Is it {n + n}?", "score": 3},
            ],
        }
        for n in range(3)
    ]


HOSTILE: Final = [
    {
        "que\"st'ion\n$x": f'{n} """ \u202e \\',
        "ans\\wer": f"{'long text ' * 30} \u2028 \x07 {n} نهر 👍🏽",
        'ver`dict"""': ("o'k\"", "b\na\\d", "{x} $y", "\u200f")[n % 4],
    }
    for n in range(8)
]


LISTS: Final = [
    [
        {"role": "user", "content": f"What is {n} and {n}?"},
        {"role": "assistant", "content": f"It is {n + n}.", "ok": n % 2 == 0},
    ]
    for n in range(4)
]
"""Records that are no objects."""


class Recipe(NamedTuple):
    """What is drafted from which records, and by which answers."""

    kind: str
    records: list[Any]
    good: str = ""
    bad: str = ""


RIGHT, WRONG = "It is 0.", "It is 2."
FROM_ANSWERS: Final = {
    "words": Recipe("format", answers(verdict=["ok", "bad", "ok", "unsure"], id=[7, 3, 5, 6]), RIGHT, WRONG),
    "truths": Recipe("format", answers(correct=[True, False, None, True]), RIGHT, WRONG),
    "stars": Recipe("format", answers(stars=[9, 1, 5, 8, 10]), RIGHT, WRONG),
    "errors": Recipe("format", answers(penalty=[0, 4, 1, 2.5]), RIGHT, WRONG),
    "names": Recipe("format", votes(["model_a", "model_b", "tie", "tie (bothbad)"]), RIGHT, "Not 0."),
    "numbers": Recipe("format", votes([1, 2, 1, 2], "answer_1", "answer_2"), RIGHT, "Not 0."),
    "sides": Recipe(
        "format",
        [{"q": f"Question {n}?", "better": f"It is {n}.", "worse": f"Not {n}."} for n in range(3)],
        RIGHT,
        "Not 0.",
    ),
    "blocks": Recipe("format", ranked(), RIGHT, "Not 0."),
    "hostile": Recipe("format", HOSTILE, HOSTILE[0]["ans\\wer"], HOSTILE[1]["ans\\wer"]),
    "half": Recipe("format", votes([1, 2, 3, 4], "answer_1", "answer_2"), RIGHT, "Not 0."),
    "p-names": Recipe("presets", votes(["model_a", "model_b", "tie"]), RIGHT, "Not 0."),
    "p-lists": Recipe("presets", LISTS, RIGHT, WRONG),
    "p-hostile": Recipe("presets", HOSTILE, HOSTILE[0]["ans\\wer"], HOSTILE[1]["ans\\wer"]),
}
OPEN: Final = {
    "open-words": Recipe("format", answers(verdict=["ok", "bad", "ok", "unsure"])),
    "open-stars": Recipe("format", answers(stars=[9, 1, 5, 8, 10])),
    "open-names": Recipe("format", votes(["model_a", "model_b", "tie"])),
    "open-chats": Recipe("format", chats(["up", "down", "up"])),
    "open-unjudged": Recipe("format", answers(note=["a note", "a note", "a note"])),
    "p-open-stars": Recipe("presets", answers(stars=[9, 1, 5, 8, 10])),
}
HALF: Final = {"p-half": Recipe("presets", votes([1, 2, 3, 4], "answer_1", "answer_2"), RIGHT, "Not 0.")}
"""What is 3, and what is 4? A mapping that does not say it stops at them."""
FINISHED: Final = {
    "done-words": (
        Recipe("format", answers(verdict=["ok", "bad", "ok", "unsure"])),
        [
            ("GOOD: Final[tuple[Any, ...]] = ()", 'GOOD: Final[tuple[Any, ...]] = ("ok",)'),
            ("BAD: Final[tuple[Any, ...]] = ()", 'BAD: Final[tuple[Any, ...]] = ("bad",)'),
            ("= (None,)", '= (None, "unsure")'),
        ],
    ),
    "done-chats": (
        Recipe("format", chats(["up", "down", "up"])),
        [('"good": ["???"], "bad": ["???"]', '"good": ["up"], "bad": ["down"]')],
    ),
    "p-done-stars": (
        Recipe("presets", answers(stars=[9, 1, 5, 8, 10])),
        [("good: '???', bad: '???'", "good: 8, bad: 5")],
    ),
}
"""Drafts that their author completes: what stands there, and what is put in its place."""


class House(NamedTuple):
    """New distributions in a folder, as if they were installed, and what is tried on them meanwhile."""

    folder: Path
    made: dict[str, Made]
    tests: subprocess.Popen[str]
    types: subprocess.Popen[str]

    def text(self, name: str) -> str:
        """The text of a plugin's file."""
        one = self.made[name]
        return (one.folder / one.names.main_file).read_text(encoding="utf-8")


class Case(NamedTuple):
    """One test of a new distribution."""

    plugin: str
    test: str
    state: str
    """`passed`, `xfailed` or the message of its failure."""


def new(folder: Path, name: str, recipe: Recipe) -> Made:
    """Draft a plugin from a file of these records."""
    source = folder / f"{name}.jsonl"
    source.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in recipe.records), encoding="utf-8")
    known = [[text] if text else [] for text in (recipe.good, recipe.bad)]
    return make(name, recipe.kind, folder, REGISTRY, file=str(source), good=known[0], bad=known[1])


def installed(made: Made, site: Path) -> None:
    """Write what an install writes, so far as entry points are concerned."""
    project = tomllib.loads((made.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    info = site / f"{made.names.distribution.replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir(parents=True)
    head = f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    (info / "METADATA").write_text(head, encoding="utf-8")
    groups = (
        f"[{group}]\n" + "".join(f"{key} = {value}\n" for key, value in points.items())
        for group, points in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text("".join(groups), encoding="utf-8")


def started(folder: Path, *words: object, path: str = "") -> subprocess.Popen[str]:
    """A Python module, running."""
    clean = {
        key: value for key, value in os.environ.items() if not key.startswith(("KTOFORMATS_", "PYTEST", "PYTHON"))
    }
    own = {"PYTHONPATH": path, "XDG_CACHE_HOME": str(folder / "cache")}
    return subprocess.Popen(
        [sys.executable, "-m", *map(str, words)],
        cwd=folder,
        env=clean | own,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[House]:
    folder = tmp_path_factory.mktemp("house")
    made = {kind: make(f"plain-{kind}", kind, folder, REGISTRY) for kind in KINDS}
    made |= {name: new(folder, name, recipe) for name, recipe in (FROM_ANSWERS | OPEN | HALF).items()}
    for name, (recipe, changes) in FINISHED.items():
        made[name] = new(folder, name, recipe)
        path = made[name].folder / made[name].names.main_file
        text = path.read_text(encoding="utf-8")
        for old, replacement in changes:
            assert old in text, text
            text = text.replace(old, replacement)
        path.write_text(text, encoding="utf-8")
    for one in made.values():
        installed(one, folder / "site")
    folders = [one.folder for one in made.values()]
    config = ("--config-file", folders[0] / "pyproject.toml")
    cache = request.config.cache.mkdir("scaffold-types") if request.config.cache else folder / "types"
    code = [path for one in made.values() for path in (one.folder / one.names.module, one.folder / "tests")]
    types = started(folder, "mypy", *config, "--cache-dir", cache, *code)
    laws = " or ".join(f"TestPlain{kind.capitalize()}" for kind in SLOWLY_TRIED)
    laws += f" or not ({' or '.join(SLOW_LAWS)})"
    tests = started(
        folder,
        *("pytest", "-c", folders[0] / "pyproject.toml", "--rootdir", folder, "-p", "no:cacheprovider", "-q"),
        *("-k", laws, "--junitxml", "tests.xml"),
        *(one / "tests" for one in folders),
        path=os.pathsep.join(map(str, [*folders, folder / "site"])),
    )
    yield House(folder, made, tests, types)
    for process in (tests, types):
        with process:  # closes its pipe
            process.kill()


@pytest.fixture(scope="module")
def cases(house: House) -> list[Case]:
    """What became of every test of every distribution."""
    printed, _ = house.tests.communicate()
    assert (house.folder / "tests.xml").is_file(), printed
    found = []
    for case in ET.parse(house.folder / "tests.xml").iter("testcase"):  # noqa: S314 - we wrote it
        plugin = case.attrib["classname"].split(".")[0].removeprefix("ktoformats-")
        failure = case.find("failure")
        state = "xfailed" if case.find("skipped") is not None else "passed"
        found.append(Case(plugin, case.attrib["name"], state if failure is None else str(failure.attrib["message"])))
    assert found, printed
    return found


def states(cases: list[Case], name: str) -> dict[str, str]:
    """Test to what became of it."""
    return {one.test: one.state for one in cases if one.plugin == name}


@pytest.mark.parametrize("kind", KINDS)
def test_a_new_plugin_keeps_the_laws_of_its_kind_and_passes_its_own_tests(cases: list[Case], kind: str) -> None:
    seen = states(cases, f"plain-{kind}")
    assert set(seen.values()) == {"passed"}, seen
    assert bool({"test_law[process]", "test_law[events]"} & set(seen)) == (kind in SLOWLY_TRIED)
    assert [test for test in seen if not test.startswith("test_law")]


@pytest.mark.parametrize("name", FROM_ANSWERS)
def test_what_is_drafted_from_two_answers_is_finished(cases: list[Case], house: House, name: str) -> None:
    seen = states(cases, name)
    assert set(seen.values()) == {"passed"}, seen
    assert "test_law[examples]" in seen
    assert not house.made[name].waits_for


@pytest.mark.parametrize("name", OPEN)
def test_a_draft_passes_as_one(cases: list[Case], house: House, name: str) -> None:
    seen = states(cases, name)
    assert set(seen.values()) <= {"passed", "xfailed"}, seen
    waiting = {test for test, state in seen.items() if state == "xfailed"}
    assert waiting >= {"test_law[examples]", "test_the_samples_give_good_and_bad_answers"}
    assert house.made[name].questions
    assert house.made[name].waits_for == f"answer the questions in {house.made[name].names.main_file}"


def test_a_preset_that_stops_at_some_values_waits_with_its_samples(cases: list[Case], house: House) -> None:
    seen = states(cases, "p-half")
    assert {test for test, state in seen.items() if state != "passed"} == {
        "test_the_samples_give_good_and_bad_answers"
    }
    assert "what does 3 mean" in house.text("p-half")


@pytest.mark.parametrize("name", FINISHED)
def test_a_draft_that_is_finished_says_so(cases: list[Case], name: str) -> None:
    seen = states(cases, name)
    assert seen["test_the_samples_give_good_and_bad_answers"].startswith("[XPASS(strict)] answer the questions in")
    assert seen["test_law[examples]"] == "xfailed"  # what the examples give is still to be said
    others = {state.partition(" answer")[0] for state in seen.values()}
    assert others == {"xfailed", "[XPASS(strict)]"} | ({"passed"} if not name.startswith("p-") else set())


def test_all_of_it_passes_the_linter_and_the_formatter(house: House) -> None:
    for words in (("check", "--no-cache"), ("format", "--no-cache", "--check", "--diff")):
        done = started(house.folder, "ruff", *words, house.folder)
        printed, _ = done.communicate()
        assert done.returncode == 0, printed


def test_long_names_and_short_ones_leave_nothing_to_format(tmp_path: Path) -> None:
    for kind in KINDS:
        for name in (kind[0] * 40, kind[:1]):
            make(name, kind, tmp_path / kind, REGISTRY)
    for words in (("check", "--no-cache"), ("format", "--no-cache", "--check", "--diff")):
        done = started(tmp_path, "ruff", *words, tmp_path)
        printed, _ = done.communicate()
        assert done.returncode == 0, printed


def test_all_of_it_is_typed(house: House) -> None:
    printed, _ = house.types.communicate()
    assert house.types.returncode == 0, printed
    assert "no issues found" in printed


def test_code_of_usual_layouts_is_written_by_hand(house: House) -> None:
    text = house.text("names")
    assert 'FIRST: Final[tuple[Any, ...]] = ("model_a",)' in text
    assert 'BOTH_BAD: Final[tuple[Any, ...]] = ("tie (bothbad)",)' in text
    assert 'yield Pair(row.context("question"), second, first)' in text
    assert "higher_is_better=False" in house.text("errors")
    assert "low=1, high=10, good_from=9, bad_to=1" in house.text("stars")
    assert "number_in(winner)" in house.text("numbers")
    assert "CandidateReader" not in text
    assert "CandidateReader" in house.text("blocks")


@pytest.mark.parametrize("name", ["stars", "p-names", "open-stars", "p-open-stars"])
def test_what_only_the_author_can_say_is_asked_where_it_belongs(house: House, name: str) -> None:
    text = " ".join(house.text(name).split())
    assert all(question in text for question in house.made[name].questions)


def test_a_draft_never_says_which_value_is_good(house: House) -> None:
    assert "GOOD: Final[tuple[Any, ...]] = ()" in house.text("open-words")
    assert "Seen: 'ok' (2), 'bad' (1), 'unsure' (1)." in house.text("open-words")
    assert "scale: Scale | None = None" in house.text("open-stars")
    assert "FIRST: Final[tuple[Any, ...]] = ()" in house.text("open-names")
    assert '{"label": "thumb", "good": ["???"], "bad": ["???"]}' in house.text("open-chats")
    assert "{rating: stars, good: '???', bad: '???'}" in house.text("p-open-stars")
    assert "gives" not in yaml.safe_load(house.text("p-open-stars"))


def test_columns_and_values_with_quotes_line_ends_and_marks_stay_what_they_are(house: House) -> None:
    preset = yaml.safe_load(house.text("p-hostile"))
    assert preset["mapping"]["detect"]["columns"] == dict.fromkeys(HOSTILE[0], "text")
    assert (preset["mapping"]["verdict"]["good"], preset["mapping"]["verdict"]["bad"]) == (["o'k\""], ["b\na\\d"])
    for name in ("hostile", "p-hostile"):
        assert not {"\u202e", "\u2028", "\u200f", "\x07"} & set(house.text(name))


def test_a_wheel_of_it_holds_code_data_and_entry_points(house: House, tmp_path: Path) -> None:
    project = house.made["presets"].folder
    built = started(tmp_path, "build", "--wheel", "--no-isolation", "--outdir", tmp_path / "dist", project)
    printed, _ = built.communicate()
    assert built.returncode == 0, printed
    [wheel] = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if "dist-info" not in name}
        info = "ktoformats_plain_presets-0.1.0.dist-info"
        points = archive.read(f"{info}/entry_points.txt").decode()
        metadata = archive.read(f"{info}/METADATA").decode()
    package = "ktoformats_plain_presets"
    assert held == {f"{package}/{name}" for name in ("__init__.py", "py.typed", "plain-presets.yaml")}
    assert points.split() == ["[ktoformats.presets]", "plain-presets", "=", package]
    assert "Requires-Dist: ktoformats\n" in metadata
    assert "Requires-Dist: ktoformats[testing]; extra == 'dev'" in metadata
    assert "Classifier: Private :: Do Not Upload" in metadata
    assert "License" not in metadata


def test_what_an_observer_logs_is_shown_to_who_asks_for_log_lines(house: House) -> None:
    folder = house.made["observer"].folder
    words = ("convert", "samples.jsonl", "-o", house.folder / "out.jsonl", "--set", "observers=[plain-observer]")
    path = os.pathsep.join(map(str, [folder, house.folder / "site"]))
    for manner, shown in ((["--verbose"], True), ([], False)):
        done = started(folder, "ktoformats.cli.main", *manner, *words, path=path)
        printed, _ = done.communicate()
        assert done.returncode == 0, printed
        assert ("samples.jsonl:3: rejected, label_unrecognised: 'perhaps'" in printed) == shown
        assert ("train: 4 lines, 1 rejected, 3 samples kept (2 good, 1 bad)" in printed) == shown


@pytest.mark.parametrize(
    ("kind", "name", "plugin", "module", "cls"),
    [
        ("format", "votes", "votes", "ktoformats_votes", "Votes"),
        ("format", "ktoformats-side-by-side", "side-by-side", "ktoformats_side_by_side", "SideBySide"),
        ("labels", "2way", "2way", "ktoformats_2way", "Labels2way"),
        ("format", "pair", "pair", "ktoformats_pair", "PairFormat"),
        ("filter", "none", "none", "ktoformats_none", "NoneFilter"),
        ("quality", "path", "path", "ktoformats_path", "PathQuality"),
        ("utility", "class", "class", "ktoformats_class", "Class"),
    ],
)
def test_module_and_class_follow_from_the_name(kind: str, name: str, plugin: str, module: str, cls: str) -> None:
    assert names_of(kind, name) == (kind, plugin, f"ktoformats-{plugin}", module, cls)


@pytest.mark.parametrize(
    "name", ["Votes", "my_votes", "-votes", "votes-", "a--b", "", "ktoformats-", "ä", "a" * 41, "a/b"]
)
def test_what_is_no_name_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name for a plugin: expected lower-case letters, digits and single"):
        names_of("format", name)


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("format", "binary", r"format 'binary' is installed already, by ktoformats \d"),
        ("presets", "arena", r"preset 'arena' is installed already, by ktoformats \d"),
        ("format", "default", "stands for the formats that are on by default"),
        ("format", "plugins", "a package 'ktoformats_plugins' is installed already"),
    ],
)
def test_a_name_that_somebody_has_is_refused(tmp_path: Path, kind: str, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        make(name, kind, tmp_path, REGISTRY)
    assert not list(tmp_path.iterdir())


def test_a_folder_that_holds_something_is_left_as_it_is(tmp_path: Path) -> None:
    folder = tmp_path / "ktoformats-votes"
    folder.mkdir()
    (folder / "mine").write_text("mine", encoding="utf-8")
    with pytest.raises(ConfigError, match="exists and is not an empty folder; nothing was written"):
        make("votes", "format", tmp_path, REGISTRY)
    assert [one.name for one in folder.iterdir()] == ["mine"]
    (folder / "mine").unlink()
    assert make("votes", "format", tmp_path, REGISTRY).folder == folder
    assert (folder / "pyproject.toml").is_file()


def test_a_failure_leaves_nothing_half_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, *_: Any, **__: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(ConfigError, match="cannot be written \\(No space left on device\\); nothing was left"):
        make("votes", "format", tmp_path / "deep", REGISTRY)
    assert not list((tmp_path / "deep").iterdir())


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Result]:
    """Run the command in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    return lambda *words: CliRunner().invoke(command, [str(word) for word in words])


def test_the_command_says_what_was_made_and_what_comes_next(run: Callable[..., Result]) -> None:
    done = run("votes", "--kind", "format")
    assert done.exit_code == 0, done.output
    assert "made ktoformats-votes" in done.output
    for line in ("cd ktoformats-votes", "pip install -e '.[dev]'", "pytest", "ktoformats plugin check votes"):
        assert f"\n  {line}\n" in done.output
    told = json.loads(run("triage", "--kind", "labels", "--into", "deep", "--json").output)
    assert told["files"] == sorted(
        str(path.relative_to("deep/ktoformats-triage"))
        for path in Path("deep/ktoformats-triage").rglob("*")
        if path.is_file()
    )
    assert (told["edit"], told["questions"], told["unfinished"]) == ("ktoformats_triage/__init__.py", [], "")


def test_the_command_says_what_a_draft_leaves_open(run: Callable[..., Result], tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text("".join(json.dumps(one) + "\n" for one in answers(stars=[9, 1, 5])))
    done = run("stars", "--kind", "presets", "--from", "f.jsonl")
    assert done.exit_code == 0, done.output
    assert "open: stars: from which number on is an answer good" in done.output
    assert "a draft; its tests wait" in done.output


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["votes"], "Missing option '--kind'"),
        (["votes", "--kind", "fromat"], "'fromat' is not one of 'format', 'labels'"),
        (["votes", "--kind", "format", "--good", "a"], "name it with --from FILE"),
        (["votes", "--kind", "filter", "--from", "f.jsonl"], "a plugin of kind filter reads no records"),
        (["votes", "--kind", "observer", "--from", "f.jsonl"], "a plugin of kind observer reads no records"),
    ],
)
def test_a_wrong_use_is_told(run: Callable[..., Result], words: list[str], message: str) -> None:
    done = run(*words)
    assert done.exit_code == 2
    assert message in done.output


def test_the_help_teaches_by_examples(run: Callable[..., Result]) -> None:
    printed = run("--help").output
    assert "ktoformats plugin new votes --kind format --from votes.jsonl --good" in printed
    assert "[format|labels|quality|utility|filter|exporter|presets|observer]" in printed


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (Recipe("format", [{"prompt": "q", "response": "a", "label": "good"}]), "read by 'binary' already"),
        (Recipe("presets", [{"prompt": "q", "chosen": "a", "rejected": "b"}]), "read by 'pairwise' already"),
        (Recipe("format", [{"n": 1, "m": 2}]), "nothing in its records looks like an answer"),
        (Recipe("format", []), "there is no record in it"),
        (Recipe("format", LISTS, RIGHT, WRONG), "records that are no objects; --kind presets"),
        (Recipe("format", answers(stars=[1, 5]), "It is 0."), "--good and --bad go together"),
        (Recipe("format", answers(stars=[1, 5]), "It is 7.", "It is 0."), "stands nowhere"),
        (
            Recipe("format", answers(extra=['{"ok": 1}', '{"ok": 0}']), "It is 0.", "It is 2."),
            "no format is drafted where columns hold JSON text; --kind presets",
        ),
    ],
)
def test_what_cannot_be_drafted_is_refused_and_nothing_written(tmp_path: Path, recipe: Recipe, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        new(tmp_path, "votes", recipe)
    assert [one.name for one in tmp_path.iterdir()] == ["votes.jsonl"]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match=r"no\.jsonl"):
        make("votes", "format", tmp_path, REGISTRY, file=str(tmp_path / "no.jsonl"))


def test_the_samples_are_few_and_hold_both_labels(tmp_path: Path) -> None:
    records = answers(verdict=["ok"] * 40 + ["bad"] * 2)
    made = new(tmp_path, "votes", Recipe("format", records, "It is 0.", "It is 80."))
    lines = (made.folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line) for line in lines] == [*records[:20], records[40]]


def test_long_records_are_fewer_samples_and_short_examples(tmp_path: Path) -> None:
    records = [one | {"answer": one["answer"] + " word" * 4000} for one in answers(verdict=["ok", "bad"] * 5)]
    made = new(tmp_path, "votes", Recipe("format", records, records[0]["answer"], records[1]["answer"]))
    assert (made.folder / "samples.jsonl").stat().st_size < 80_000
    assert len((made.folder / made.names.main_file).read_text(encoding="utf-8")) < 2_500


def test_columns_that_others_have_are_not_enough_to_be_known_by(tmp_path: Path) -> None:
    records = [
        {"question": f"What is {n} and {n}?", "completion": f"It is {n + n}.", "label": ("up", "down")[n % 2]}
        for n in range(4)
    ]  # a preset that is on by default has these columns, with truth values for labels
    with pytest.raises(ConfigError, match=r"are columns of preset 'distilabel-orca-kto', too.*--kind presets"):
        new(tmp_path, "thumbs", Recipe("format", records, RIGHT, WRONG))
    made = new(tmp_path, "thumbs", Recipe("presets", records, RIGHT, WRONG))
    detect = yaml.safe_load((made.folder / made.names.main_file).read_text(encoding="utf-8"))["mapping"]["detect"]
    assert detect == {"columns": {"question": "text", "completion": "text", "label": "text"}}
    made = new(tmp_path, "batches", Recipe("format", [one | {"batch": 7} for one in records], RIGHT, WRONG))
    text = (made.folder / made.names.main_file).read_text(encoding="utf-8")
    assert 'frozenset({"batch", "completion", "label", "question"})' in " ".join(text.split())
