"""What is installed is read from metadata; what is not named is not imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import KTODataConfig, KTODataLoader, PluginLoadError, Registry
from ktoformats.plugin.discovery import PRESET, discover
from ktoformats.plugin.kinds import GROUPS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Install = Callable[..., Path]
    Run = Callable[..., subprocess.CompletedProcess[str]]

GREEDY = """
from ktoformats import Claim, Format, Judged, hookimpl
class Greedy(Format):
    def claim(self, shape):
        return Claim(1000, "takes everything")
    def facts(self, row):
        yield Judged(row.context("prompt"), "greedy was here", "good", "label")
@hookimpl
def ktoformats_plugins():
    return [Greedy]
"""
FORMATS = GROUPS["format"]


@pytest.fixture
def canary(install: Install, tmp_path: Path) -> Path:
    """A file that appears when somebody imports the installed plugin `greedy` of `acme-greedy`."""
    path = tmp_path / "canary"
    install(
        "acme-greedy",
        {FORMATS: {"greedy": "acme_greedy"}},
        {"acme_greedy": f"import pathlib\npathlib.Path({str(path)!r}).touch()\n{GREEDY}"},
    )
    return path


def printed(done: subprocess.CompletedProcess[str], status: int = 0) -> Any:
    """The JSON that a command printed; its exit status is checked first."""
    assert done.returncode == status, done.stdout + done.stderr
    return json.loads(done.stdout)


def test_a_distribution_is_listed_from_its_metadata_alone(install: Install) -> None:
    install("acme-tools", {group: {"acme": f"nowhere.{kind}"} for kind, group in GROUPS.items()}, version="2.5")
    seen = [
        (one.kind, one.name, one.module, one.distribution, one.version, one.owner, one.first_party, one.allowed)
        for one in discover()
        if one.name == "acme"
    ]
    assert seen == [
        (kind, "acme", f"nowhere.{kind}", "acme-tools", "2.5", "acme-tools 2.5", False, True)
        for kind in sorted(GROUPS)
    ]


def test_other_entry_point_groups_are_not_ours(install: Install) -> None:
    install("acme-tools", {"console_scripts": {"acme": "acme:main"}, "ktoformats.format": {"misspelt": "acme"}})
    assert not [one for one in discover() if one.distribution == "acme-tools"]


def test_first_party_plugins_are_found_the_same_way() -> None:
    found = [one for one in discover() if one.first_party]
    assert {one.kind for one in found} == {*GROUPS, PRESET}
    assert [one for one in found if not one.entry_point.group.startswith("ktoformats.")] == []
    assert all(one.module.startswith("ktoformats_plugins.") for one in found)


@pytest.mark.parametrize(
    "words",
    [
        ("--help",),
        ("plugin", "list"),
        ("plugin", "list", "--json"),
        ("convert", "votes.jsonl", "-o", "out.jsonl"),
        ("convert", "votes.jsonl", "-o", "out.jsonl", "--format", "default", "--workers", "2", "--no-cache"),
        ("config", "check", "kto.yaml"),
    ],
    ids=" ".join,
)
def test_no_command_imports_a_plugin_that_nobody_named(
    words: tuple[str, ...], canary: Path, run: Run, votes: Path
) -> None:
    votes.with_name("kto.yaml").write_text("data: {formats: [default]}\n")
    done = run(*words)
    assert done.returncode == 0, done.stderr
    assert not canary.exists()


def test_loading_a_dataset_imports_no_plugin_that_nobody_named(canary: Path, votes: Path) -> None:
    config = KTODataConfig(train_file=str(votes), balance_labels=False, min_samples_per_label=0)
    dataset: Any = KTODataLoader(config, enable_cache=False).load_dataset()
    assert [sample["response"] for sample in dataset] == ["r1", "r2"]
    assert not canary.exists()


def test_an_installed_plugin_never_changes_how_a_file_is_read(install: Install, run: Run, votes: Path) -> None:
    assert run("convert", votes, "-o", "before.jsonl").returncode == 0
    install("acme-greedy", {FORMATS: {"greedy": "acme_greedy"}}, {"acme_greedy": GREEDY})
    assert run("convert", votes, "-o", "after.jsonl", "--no-cache").returncode == 0
    before, after = votes.with_name("before.jsonl"), votes.with_name("after.jsonl")
    assert before.read_bytes() == after.read_bytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_plugin_is_imported_when_it_is_named(canary: Path, run: Run, votes: Path, workers: int) -> None:
    done = run("convert", votes, "-o", "out.jsonl", "--to", "jsonl", "--format", "greedy", "--workers", workers)
    assert done.returncode == 0, done.stderr
    assert canary.exists()
    lines = votes.with_name("out.jsonl").read_text().splitlines()
    assert [json.loads(line)["response"] for line in lines] == ["greedy was here"] * 2


def test_inspect_asks_every_installed_format(canary: Path, run: Run, votes: Path) -> None:
    [shape] = printed(run("inspect", votes, "--json"))["shapes"]
    assert canary.exists()
    assert shape["detected"] == "binary"
    greedy = {"format": "greedy", "score": 1000, "reason": "takes everything", "columns": [], "configured": False}
    assert shape["claims"][0] == greedy


@pytest.mark.parametrize(
    ("allowed", "state"),
    [
        (None, "available"),
        ("", "blocked"),
        (" , ", "blocked"),
        ("likert", "blocked"),
        ("greedy", "available"),
        ("likert, greedy", "available"),
        ("acme-greedy", "available"),
        ("Acme_Greedy", "available"),
        ("acme", "blocked"),
    ],
)
def test_the_variable_names_what_may_load(
    allowed: str | None, state: str, install: Install, monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme-greedy", {FORMATS: {"greedy": "acme_greedy"}}, {"acme_greedy": GREEDY})
    if allowed is not None:
        monkeypatch.setenv("KTOFORMATS_PLUGINS", allowed)
    states = {one.name: one.state for one in Registry().statuses() if one.kind == "format"}
    assert states == {
        "arabic-rating": "available",
        "mapping": "available",
        "binary": "available",
        "conversation": "available",
        "greedy": state,
        "pairwise": "available",
        "ranking": "available",
    }


def test_a_blocked_plugin_is_not_imported_even_when_it_is_named(canary: Path, run: Run, votes: Path) -> None:
    done = run("convert", votes, "-o", "out.jsonl", "--format", "greedy", "--json", KTOFORMATS_PLUGINS="")
    error = printed(done, 3)["error"]
    assert error["type"] == "PluginLoadError"
    assert error["message"] == (
        "format plugin 'greedy' of acme-greedy 1.0 is blocked: it is not named in KTOFORMATS_PLUGINS"
    )
    assert run("inspect", votes, KTOFORMATS_PLUGINS="").returncode == 0
    assert run("plugin", "list", "--load", KTOFORMATS_PLUGINS="").returncode == 0
    assert not canary.exists()


def test_blocking_one_of_two_rivals_settles_the_conflict(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    for owner in ("acme-one", "acme-two"):
        module = owner.replace("-", "_")
        install(owner, {FORMATS: {"greedy": module}}, {module: GREEDY})
    monkeypatch.setenv("KTOFORMATS_PLUGINS", "acme-two")
    registry = Registry()
    assert registry.load("format", "greedy").found.owner == "acme-two 1.0"
    assert {one.distribution: one.state for one in registry.statuses() if one.name == "greedy"} == {
        "acme-one": "blocked",
        "acme-two": "loaded",
    }
    monkeypatch.setenv("KTOFORMATS_PLUGINS", "")
    with pytest.raises(PluginLoadError, match=r"'greedy' of acme-one 1\.0 is blocked"):
        Registry().load("format", "greedy")


def test_blocking_protects_first_party_names(install: Install, run: Run, votes: Path) -> None:
    install("acme-form", {GROUPS["quality"]: {"form": "acme_form"}, FORMATS: {"binary": "acme_form"}})
    done = run("convert", votes, "-o", "out.jsonl", "--format", "binary")
    assert done.returncode == 3
    assert "format 'binary' is registered by acme-form 1.0 and ktoformats " in done.stderr
    assert run("convert", votes, "-o", "out.jsonl", "--format", "binary", KTOFORMATS_PLUGINS="").returncode == 0


def test_order_of_folders_and_hash_seed_change_nothing(install: Install, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    install("acme-one", {FORMATS: {"same": "acme_one", "only-one": "acme_one"}}, site=one)
    install("acme-two", {FORMATS: {"same": "acme_two"}}, site=two)
    script = (
        "from ktoformats.plugin.registry import Registry\n"
        "print([status for status in Registry().statuses()])\n"
        "try: Registry().load('format', 'same')\n"
        "except Exception as error: print(error)\n"
    )
    told = set()
    for folders in ((one, two), (two, one)):
        for seed in ("0", "1", "2"):
            path = os.pathsep.join(map(str, folders))
            done = subprocess.run(
                [sys.executable, "-c", script],
                env=os.environ | {"PYTHONPATH": path, "PYTHONHASHSEED": seed},
                cwd=tmp_path,
                capture_output=True,
                text=True,
                check=True,
            )
            told.add(done.stdout)
    assert len(told) == 1
    assert "format 'same' is registered by acme-one 1.0 and acme-two 1.0; uninstall one of them" in told.pop()


def test_a_distribution_that_is_on_the_path_twice_is_one(install: Install, tmp_path: Path, fake_site: Path) -> None:
    again = tmp_path / "again"
    for site in (fake_site, again):
        install("acme-greedy", {FORMATS: {"greedy": "acme_greedy"}}, {"acme_greedy": GREEDY}, site=site)
    sys.path.insert(1, str(again))  # fake_site put the old path aside
    assert [one.owner for one in discover() if one.name == "greedy"] == ["acme-greedy 1.0"]


def test_a_folder_without_metadata_is_listed_without_a_version(install: Install) -> None:
    info = install("acme-greedy", {FORMATS: {"greedy": "acme_greedy"}})
    (info / "METADATA").unlink()
    [found] = [one for one in discover() if one.name == "greedy"]
    assert found.owner == "an unnamed distribution"
    assert not found.first_party
