"""Plugins by name: loaded when named, isolated when they fail, never guessed between."""

from __future__ import annotations

import ast
import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from ktoformats import (
    ConfigError,
    Format,
    Labels,
    PluginConflictError,
    PluginContractError,
    PluginError,
    PluginLoadError,
    PluginNotFoundError,
    Registry,
    Utility,
)
from ktoformats.plugin import spec
from ktoformats.plugin.kinds import GROUPS, KINDS

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    Install = Callable[..., Path]
    Run = Callable[..., subprocess.CompletedProcess[str]]

LIKERT = '''
from ktoformats import Format, Rated, Scale, hookimpl
class Likert(Format):
    """Seven-point agreement answers."""
    reads = {"prompt", "answer", "likert"}
    scale: Scale = Scale(low=1, high=7, good_from=5, bad_to=3)
    def facts(self, row):
        yield Rated(row.context("prompt"), row.text("answer"), row["likert"], self.scale)
@hookimpl
def ktoformats_plugins():
    return [Likert]
'''
HOOK = "\n@hookimpl\ndef ktoformats_plugins():\n    return {}\n"
CLASSES = """
from abc import abstractmethod
from ktoformats import Format, Labels, Scale, Utility, hookimpl
class One(Format):
    def facts(self, row):
        return []
class Two(One):
    pass
class Idea(Format):
    pass
class Words(Labels):
    scale: Scale = Scale(low=0, high=1, good_from=1, bad_to=0)
class Plain:
    pass
"""
FORMATS, LABELS, UTILITIES = GROUPS["format"], GROUPS["labels"], GROUPS["utility"]


def returning(listed: str) -> str:
    """A plugin module whose hook returns this expression."""
    return CLASSES + HOOK.format(listed)


BROKEN = {
    "import-error": (
        "raise RuntimeError('it is Monday')",
        PluginLoadError,
        r"cannot be imported \(RuntimeError: it is",
    ),
    "syntax-error": ("def (:\n", PluginLoadError, r"cannot be imported \(SyntaxError: "),
    "exits": ("import sys\nsys.exit(0)", PluginLoadError, r"cannot be imported \(SystemExit: 0\)"),
    "missing-dependency": (
        "import no_such_library.inner",
        PluginLoadError,
        r"No module named 'no_such_library'\); install what it needs \(pip install no_such_library\) or uninstall acme",
    ),
    "misspelt-hook": (
        CLASSES + "@hookimpl\ndef ktoformats_plugin():\n    return [One]\n",
        PluginLoadError,
        r"cannot be registered \(PluginValidationError: unknown hook 'ktoformats_plugin'",
    ),
    "misspelt-argument": (
        CLASSES + "@hookimpl\ndef ktoformats_dataset_built(spilt):\n    pass\n",
        PluginLoadError,
        r"cannot be registered \(PluginValidationError: (.|\n)*spilt",
    ),
    "hook-fails": (returning("1 / 0"), PluginLoadError, r"cannot be registered \(ZeroDivisionError: "),
    "hook-missing": (
        CLASSES,
        PluginContractError,
        r"exactly one Format class, got none \(is the hook marked with @hookimpl",
    ),
    "wrong-type": (returning("[Plain]"), PluginContractError, "must return a list of plugin classes, got .*Plain"),
    "an-instance": (returning("[One()]"), PluginContractError, "must return a list of plugin classes, got "),
    "no-list": (returning("One"), PluginContractError, "must return a list of plugin classes, got "),
    "other-kind": (
        returning("[Words]"),
        PluginContractError,
        "must return exactly one Format class, got Words, which is no Format",
    ),
    "two-classes": (returning("[One, Two]"), PluginContractError, "exactly one Format class, got One, Two"),
    "abstract": (returning("[Idea]"), PluginContractError, "class Idea lacks facts"),
}


@pytest.fixture
def likert(install: Install) -> None:
    """The reference plugin, installed."""
    install("acme-likert", {FORMATS: {"likert": "acme_likert"}}, {"acme_likert": LIKERT})


@pytest.fixture
def broken(install: Install) -> None:
    """All broken plugins at once, each in a distribution of its own, and two that claim one name."""
    for name, (source, _, _) in BROKEN.items():
        module = f"acme_{name.replace('-', '_')}"
        install(f"acme-{name}", {FORMATS: {name: module}}, {module: source})
    for owner in ("acme-rival-one", "acme-rival-two"):
        install(owner, {FORMATS: {"rival": "acme_likert"}}, {"acme_likert": LIKERT})


def test_every_kind_has_a_group_and_first_party_plugins() -> None:
    assert set(KINDS) == set(GROUPS)
    registry = Registry()
    for kind, base in KINDS.items():
        found = registry.first_party(kind)
        assert [one.name for one in found] == registry.names(kind)
        assert all(issubclass(registry.load(kind, one.name).cls, base) for one in found)


def test_a_plugin_class_is_loaded_once() -> None:
    registry = Registry()
    assert registry.load("format", "binary").cls is registry.load("format", "binary").cls
    assert Registry().load("format", "binary").cls is registry.load("format", "binary").cls


@pytest.mark.usefixtures("likert")
def test_the_reference_plugin_works_untouched(run: Run, answers: Path) -> None:
    done = run("convert", answers, "-o", "out.jsonl", "--to", "jsonl", "--format", "likert", "--no-cache")
    assert done.returncode == 0, done.stderr
    samples = [json.loads(line) for line in answers.with_name("out.jsonl").read_text().splitlines()]
    seen = [(sample["prompt"], sample["response"], sample["label"], sample["format_type"]) for sample in samples]
    assert seen == [("p1", "r1", "good", "likert"), ("p2", "r2", "bad", "likert")]


@pytest.mark.usefixtures("likert")
def test_a_plugin_is_a_frozen_value() -> None:
    registry = Registry()
    one, other = (registry.make("format", "likert", {}, {}) for _ in range(2))
    assert one == other
    assert hash(one) == hash(other)
    assert set(type(one).model_fields) == {"scale"}
    narrow = {"scale": {"low": 1, "high": 7, "good_from": 7, "bad_to": 1}}
    assert registry.make("format", "likert", narrow, {}) != one
    with pytest.raises(ValueError, match="frozen"):
        one.scale = None  # type: ignore[attr-defined]


@pytest.mark.usefixtures("likert")
def test_a_format_that_says_what_it_reads_claims_it() -> None:
    found = Registry().make("format", "likert", {}, {})
    assert isinstance(found, Format)
    assert found.reads == {"prompt", "answer", "likert"}


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("format", "bineri", r"no format plugin is called 'bineri'; did you mean 'binary'\?; installed are: arabic-"),
        ("format", "mapping:arena", "'arena' is a preset: say --preset arena, or give it to its format"),
        ("format", "arena", "'arena' is a preset: say --preset arena, or give it to its format"),
        (
            "preset",
            "aren",
            r"no preset is called 'aren'; did you mean 'arena'\?; `ktoformats plugin list` shows all \d",
        ),
        ("preset", "oasst2", "; there are oasst-messages, oasst-trees; `ktoformats plugin list` shows all "),
        ("format", "zzz", "no format plugin is called 'zzz'; installed are: arabic-rating, binary, "),
        ("labels", "star", r"no labels plugin is called 'star'; did you mean 'stars'\?"),
        ("formats", "binary", "no kind 'formats'; kinds are format, labels, quality, utility, filter, exporter"),
    ],
)
def test_an_unknown_name_is_an_error_that_suggests(kind: str, name: str, message: str) -> None:
    with pytest.raises(PluginNotFoundError, match=message) as caught:
        Registry().load(kind, name)
    assert (caught.value.kind, caught.value.plugin) == (kind, name)
    assert isinstance(caught.value, LookupError)


@pytest.mark.usefixtures("likert")
def test_an_unknown_name_ends_the_command_with_status_3(run: Run, votes: Path) -> None:
    done = run("convert", votes, "-o", "out.jsonl", "--format", "lickert")
    assert done.returncode == 3
    assert "error: no format plugin is called 'lickert'; did you mean 'likert'?" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("broken")
@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_plugin_is_an_error_that_names_its_distribution(name: str) -> None:
    _, error, message = BROKEN[name]
    registry = Registry()
    with pytest.raises(error, match=f"^format plugin '{name}' of acme-{name} 1.0(.|\n)*{message}") as caught:
        registry.load("format", name)
    assert (caught.value.kind, caught.value.plugin) == ("format", name)
    with pytest.raises(error, match=name) as again:
        registry.load("format", name)
    assert again.value is caught.value
    assert registry.load("format", "binary").found.first_party
    [status] = [one for one in registry.statuses() if one.name == name]
    assert (status.state, status.why) == ("failed", str(caught.value))


@pytest.mark.parametrize("name", ["import-error", "missing-dependency", "misspelt-hook", "wrong-type", "rival"])
@pytest.mark.usefixtures("broken")
def test_naming_a_broken_plugin_ends_the_command_with_status_3(name: str, run: Run, votes: Path) -> None:
    votes.with_name("kto.yaml").write_text(f"data: {{formats: [default, {name}]}}\n")
    for words in (("convert", votes, "-o", "out.jsonl", "--format", name), ("config", "check", "kto.yaml")):
        done = run(*words)
        assert done.returncode == 3, done.stdout + done.stderr
        owner = "acme-rival-one 1.0 and acme-rival-two 1.0" if name == "rival" else f"acme-{name} 1.0"
        assert owner in done.stderr
        assert "Traceback" not in done.stderr
    assert not votes.with_name("out.jsonl").exists()


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("demo",),
        ("plugin", "list"),
        ("plugin", "list", "--load"),
        ("convert", "votes.jsonl", "-o", "out.jsonl"),
        ("convert", "votes.jsonl", "-o", "out.parquet", "--to", "parquet", "--format", "binary"),
        ("config", "init", "new.yaml"),
        ("config", "check", "kto.yaml"),
        ("config", "schema"),
        ("inspect", "votes.jsonl"),
    ],
    ids=" ".join,
)
@pytest.mark.usefixtures("broken")
def test_broken_plugins_that_nobody_named_stop_no_command(words: tuple[str, ...], run: Run, votes: Path) -> None:
    votes.with_name("kto.yaml").write_text("data: {formats: [default]}\n")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("broken")
def test_the_list_says_what_is_broken_once_it_was_asked_to_import(run: Run) -> None:
    def states(*words: str) -> dict[str, tuple[str, str]]:
        listed = json.loads(run("plugin", "list", "--json", *words).stdout)
        return {one["name"]: (one["state"], one["why"]) for one in listed if one["kind"] == "format"}

    before, after = states(), states("--load")
    assert before["rival"] == after["rival"] == ("conflict", "also registered by acme-rival-one 1.0")
    for name in BROKEN:
        assert before[name] == ("available", "")
        state, why = after[name]
        assert state == "failed"
        assert why.startswith(f"format plugin '{name}' of acme-{name} 1.0")
    assert after["binary"] == ("loaded", "")


def test_inspect_shows_why_a_broken_format_was_not_asked(broken: None, run: Run, votes: Path) -> None:
    del broken
    [shape] = json.loads(run("inspect", votes, "--json").stdout)["shapes"]
    assert {one["format"] for one in shape["errors"]} == {*BROKEN, "rival"}
    assert shape["detected"] == "binary"


def test_a_missing_module_of_its_own_is_not_blamed_on_a_dependency(install: Install) -> None:
    install("acme-gone", {FORMATS: {"gone": "acme_gone.formats.gone"}})
    with pytest.raises(PluginLoadError, match=r"of acme-gone 1.0 cannot be imported .*'acme_gone'\)$"):
        Registry().load("format", "gone")


@pytest.mark.parametrize("value", ["acme:Votes", "acme-votes"])
def test_an_entry_point_must_name_a_module(value: str, install: Install) -> None:
    install("acme", {FORMATS: {"votes": value}})
    with pytest.raises(PluginLoadError, match=f"^format plugin 'votes' of acme 1.0: its entry point is '{value}'"):
        Registry().load("format", "votes")


def test_a_class_of_its_own_is_told_its_base(install: Install) -> None:
    source = (
        "from ktoformats import hookimpl\nclass Votes: pass\n@hookimpl\ndef ktoformats_plugins(): return [Votes]\n"
    )
    install("acme", {FORMATS: {"votes": "acme_votes"}}, {"acme_votes": source})
    with pytest.raises(PluginContractError, match=r"; Votes is none: derive it from ktoformats\.Format$"):
        Registry().load("format", "votes")


def test_a_group_that_does_not_exist_is_told(install: Install, run: Callable[..., Any]) -> None:
    install("acme", {"ktoformats.format": {"votes": "acme_votes"}})
    told = "acme registers 'votes' in the group 'ktoformats.format', which nobody reads; groups are ktoformats.exporters,"
    with pytest.raises(PluginNotFoundError, match=re.escape(told)):
        Registry().load("format", "votes")
    assert told in run("plugin", "list").stderr
    assert told in run("plugin", "check", "acme").stderr


@pytest.mark.usefixtures("broken")
def test_two_distributions_with_one_name_are_an_error_that_names_both() -> None:
    registry = Registry()
    message = "^format 'rival' is registered by acme-rival-one 1.0 and acme-rival-two 1.0; uninstall one of them$"
    with pytest.raises(PluginConflictError, match=message):
        registry.load("format", "rival")
    reverse = Registry(reversed(registry._found))
    with pytest.raises(PluginConflictError, match=r"acme-rival-one 1\.0 and acme-rival-two 1\.0"):
        reverse.load("format", "rival")


def test_one_name_in_two_kinds_is_two_plugins(install: Install) -> None:
    source = returning("[One, Words]")
    install("acme-same", {FORMATS: {"same": "acme_same"}, LABELS: {"same": "acme_same"}}, {"acme_same": source})
    registry = Registry()
    assert issubclass(registry.load("format", "same").cls, Format)
    assert issubclass(registry.load("labels", "same").cls, Labels)
    assert {one.state for one in registry.statuses() if one.name == "same"} == {"loaded"}


def test_two_modules_of_one_distribution_do_not_see_each_other(install: Install) -> None:
    install(
        "acme-pair",
        {FORMATS: {"one": "acme_one", "two": "acme_two"}},
        {"acme_one": returning("[One]"), "acme_two": returning("[Two]")},
    )
    registry = Registry()
    assert registry.load("format", "two").cls.__name__ == "Two"
    assert registry.load("format", "one").cls.__name__ == "One"


@pytest.mark.usefixtures("likert")
def test_an_unknown_option_is_an_error_that_suggests() -> None:
    message = "^format 'likert' has no option 'scales'; did you mean 'scale'\\?; its options are: scale$"
    with pytest.raises(ConfigError, match=message):
        Registry().make("format", "likert", {"scales": {}}, {})
    with pytest.raises(ConfigError, match=r"^filter 'quality' has no option 'zzz'; its options are: "):
        Registry().make("filter", "quality", {"zzz": 1}, {})


@pytest.mark.usefixtures("likert")
@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (7, "^format 'likert', option scale: expected .*, got 7$"),
        ({"low": "x", "good_from": 5, "bad_to": 3}, "^format 'likert', option scale.low: .* got 'x'$"),
        ({"bad_to": 3}, "^format 'likert', option scale.good_from: is missing"),
        ({"good_from": 2, "bad_to": 3}, "^format 'likert', option scale: .*expected low <= bad_to < good_from"),
    ],
)
def test_a_wrong_value_is_an_error_that_names_the_option(scale: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Registry().make("format", "likert", {"scale": scale}, {})


@pytest.mark.usefixtures("likert")
def test_a_wrong_option_in_a_file_ends_the_command_with_status_2(run: Run, tmp_path: Path) -> None:
    (tmp_path / "kto.yaml").write_text("data: {formats: [{likert: {scal: 1}}]}\n")
    done = run("config", "check", "kto.yaml")
    assert done.returncode == 2
    assert "format 'likert' has no option 'scal'; did you mean 'scale'?; its options are: scale" in done.stderr


def test_an_option_takes_the_data_sections_value_unless_it_is_given(install: Install) -> None:
    source = CLASSES + (
        "class Own(One):\n"
        "    inherits = frozenset({'random_seed', 'absent'})\n"
        "    random_seed: int = 0\n"
        "    absent: str = 'own'\n"
    )
    install("acme-own", {FORMATS: {"own": "acme_own"}}, {"acme_own": source + HOOK.format("[Own]")})
    registry = Registry()
    inherited = registry.make("format", "own", {}, {"random_seed": 7, "max_rejected": 1})
    assert inherited.model_dump() == {"random_seed": 7, "absent": "own"}
    given = registry.make("format", "own", {"random_seed": 1}, {"random_seed": 7})
    assert given.model_dump() == {"random_seed": 1, "absent": "own"}


def test_a_class_that_trips_over_its_options_is_a_contract_error(install: Install) -> None:
    source = CLASSES + "class Own(One):\n    def model_post_init(self, _):\n        raise KeyError('home')\n"
    install("acme-own", {FORMATS: {"own": "acme_own"}}, {"acme_own": source + HOOK.format("[Own]")})
    with pytest.raises(PluginContractError, match=r"'own' of acme-own 1\.0 cannot be made \(KeyError: 'home'"):
        Registry().make("format", "own", {}, {})


def test_a_fact_may_leave_its_scale_to_the_specification(install: Install, run: Run, votes: Path) -> None:
    source = (
        "from ktoformats import Format, Judged, hookimpl\n"
        "class Own(Format):\n"
        "    def facts(self, row):\n"
        "        yield Judged(row.context('prompt'), row.text('response'), row['label'], 'label')\n"
    )
    install("acme-own", {FORMATS: {"own": "acme_own"}}, {"acme_own": source + HOOK.format("[Own]")})
    done = run("convert", votes, "-o", "out.jsonl", "--format", "own", "--json", "--no-cache")
    assert done.returncode == 0, done.stdout
    assert len(votes.with_name("out.jsonl").read_text().splitlines()) == 2


def test_registries_do_not_know_of_each_other() -> None:
    one, other = Registry(), Registry()
    one.load("format", "binary")
    assert {status.state for status in other.statuses()} == {"available"}
    with pytest.raises(PluginNotFoundError, match="installed are: none"):
        Registry([]).load("format", "binary")


def test_load_all_loads_what_can_be_loaded(broken: None, likert: None) -> None:
    del broken, likert
    registry = Registry()
    registry.load_all()
    states = {one.name: one.state for one in registry.statuses() if not one.distribution.startswith("ktoformats")}
    assert states == dict.fromkeys(BROKEN, "failed") | {"rival": "conflict", "likert": "loaded"}
    assert {one.state for one in registry.statuses() if one.distribution == "ktoformats"} == {"loaded"}


LISTENER = """
import json, os
from ktoformats import Format, Judged, hookimpl
class Own(Format):
    def facts(self, row):
        yield Judged(row.context("prompt"), row.text("response"), row["label"], "label", "specification")
@hookimpl
def ktoformats_plugins():
    return [Own]
def note(**told):
    with open(os.environ["HEARD"], "a") as stream:
        print(json.dumps(told), file=stream)
@hookimpl
def ktoformats_record_rejected(source, line, reason, field, message):
    note(source=os.path.basename(source), line=line, reason=reason, field=field, message=message)
@hookimpl
def ktoformats_dataset_built(split, report):
    note(split=split, report=dict(report))
"""


@pytest.fixture
def heard(install: Install, run: Run, votes: Path) -> list[dict[str, Any]]:
    """What a listening plugin heard of a build with one rejected record."""
    install("acme-own", {FORMATS: {"own": "acme_own"}}, {"acme_own": LISTENER})
    with votes.open("a") as stream:
        stream.write('{"prompt": "p3", "response": "r3", "label": "maybe"}\n')
    log = votes.with_name("heard")
    done = run("convert", votes, "-o", "out.jsonl", "--format", "own", "--workers", "2", HEARD=str(log))
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in log.read_text().splitlines()]


def test_hook_ktoformats_plugins(install: Install) -> None:
    source = (
        "import numpy as np\n"
        "from ktoformats import Utility, hookimpl\n"
        "class Flat(Utility):\n"
        "    def utility(self, quality, good):\n"
        "        return np.where(good, 1.0, -1.0)\n"
    )
    install("acme-flat", {UTILITIES: {"flat": "acme_flat"}}, {"acme_flat": source + HOOK.format("[Flat]")})
    loaded = Registry().load("utility", "flat")
    assert (loaded.found.owner, loaded.cls.__name__) == ("acme-flat 1.0", "Flat")
    made = Registry().make("utility", "flat", {}, {})
    assert isinstance(made, Utility)
    batch = pa.record_batch({"label": ["good", "bad"], "response_quality": [0.5, 0.5]})
    assert np.array_equal(made.score(batch), [1.0, -1.0])


def test_hook_ktoformats_record_rejected(heard: list[dict[str, Any]]) -> None:
    [told] = [one for one in heard if "line" in one]
    assert told["message"].startswith("'maybe' is no value of scale 'specification'")
    place = {key: told[key] for key in ("source", "line", "reason", "field")}
    assert place == {"source": "votes.jsonl", "line": 3, "reason": "label_unrecognised", "field": "label"}


def test_hook_ktoformats_dataset_built(heard: list[dict[str, Any]]) -> None:
    [told] = [one for one in heard if "split" in one]
    assert told is heard[-1]
    assert set(told) == {"split", "report"}
    assert told["split"] == "train"
    assert told["report"]["labels"] == {"good": 1, "bad": 1}


def test_every_hook_has_a_test() -> None:
    hooks = {name for name in vars(spec) if name.startswith("ktoformats_")}
    tree = ast.parse(Path(__file__).read_text(encoding="utf-8"))
    tests = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert hooks == {name.removeprefix("test_hook_") for name in tests if name.startswith("test_hook_")}


def test_every_error_of_the_registry_is_a_plugin_error() -> None:
    for error in (PluginNotFoundError, PluginLoadError, PluginConflictError, PluginContractError):
        assert issubclass(error, PluginError)


def test_a_format_that_trips_names_the_line_of_its_own(
    install: Install, run: Callable[..., Any], tmp_path: Path
) -> None:
    source = (
        "from ktoformats import Format, hookimpl\n"
        "class Votes(Format):\n"
        "    def facts(self, row):\n"
        "        yield row.text(row.record['no such column'])\n"
        "@hookimpl\n"
        "def ktoformats_plugins(): return [Votes]\n"
    )
    install("acme", {FORMATS: {"votes": "acme_votes"}}, {"acme_votes": source})
    (tmp_path / "votes.jsonl").write_text('{"q": 1}\n')
    done = run("convert", "votes.jsonl", "-o", "out.jsonl", "--format", "votes")
    assert "failed on the record (KeyError: 'no such column' at acme_votes:4)" in done.stderr
