"""Presets of other distributions: found by metadata, read as data, named before they change anything."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import PluginConflictError, PluginLoadError, PluginNotFoundError, Registry
from ktoformats.convert.presets import load_preset

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

LOG = """\
title: Support log
mapping:
  detect:
    columns: {ticket: text, turns: list, solved: boolean}
  candidates:
    c: {conversation: turns}
  verdict: {label: solved, good: [true], bad: [false]}
"""
CANARY = "import pathlib; pathlib.Path(__file__).with_name('imported').touch()"
TURNS = [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]
TICKETS = [{"ticket": "1", "turns": TURNS, "solved": True}, {"ticket": "2", "turns": TURNS, "solved": False}]


@pytest.fixture
def offer(install: Callable[..., Path], fake_site: Path) -> Callable[..., Path]:
    """`offer("acme", "support-log", LOG)`: a distribution whose package holds one preset."""

    def offered(package: str, name: str, text: str | None = LOG) -> Path:
        install(f"{package}-presets", {"ktoformats.presets": {name: package}})
        folder = fake_site / package
        folder.mkdir()
        (folder / "__init__.py").write_text(CANARY)
        if text is not None:
            (folder / f"{name}.yaml").write_text(text)
        return folder

    return offered


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    path = tmp_path / "tickets.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in TICKETS))
    return path


def test_a_third_party_preset_is_used_when_it_is_named(
    offer: Callable[..., Path], run: Callable[..., Any], tickets: Path
) -> None:
    folder = offer("acme", "support-log")
    done = run("convert", tickets, "-o", "out.jsonl", "--preset", "support-log", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert told["labels"] == {"good": 1, "bad": 1}
    assert told["plugins"]["preset"] == {"support-log": "acme-presets 1.0"}
    assert told["total"]["formats"] == {"mapping:support-log": 2}
    listed = json.loads(run("plugin", "presets", "--json").stdout)
    assert {
        "name": "support-log",
        "reads": "Support log",
        "detected": "yes",
        "from": "acme-presets 1.0",
        "why not": "",
    } in listed
    shown = run("plugin", "presets", "support-log")
    assert shown.stdout == LOG
    assert not (folder / "imported").exists()


def test_an_install_changes_nothing_but_inspect_tells_of_it(
    offer: Callable[..., Path], run: Callable[..., Any], tickets: Path
) -> None:
    folder = offer("acme", "support-log")
    done = run("convert", tickets, "-o", "out.jsonl")
    assert done.returncode == 1
    assert "unknown_shape" in done.stderr
    seen = run("inspect", tickets)
    assert "mapping:support-log: 3, has ticket, turns, solved (not configured: --preset support-log" in seen.stdout
    assert not (folder / "imported").exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "there is no file broken.yaml in package 'acme'"),
        ("title: [", "line 1"),
        ("title: no format\n", "expected one format with its options, got none"),
        ("title: t\nmapping: {}\nranking: {}\n", "expected one format with its options, got mapping, ranking"),
        ("mapping: {candidates: {c: a}}\n", "title"),
        ("title: t\nmapping: just a word\n", "expected one format with its options"),
    ],
)
def test_a_broken_preset_is_told_and_costs_nobody_else(
    offer: Callable[..., Path], text: str | None, message: str, run: Callable[..., Any]
) -> None:
    offer("acme", "broken", text)
    with pytest.raises(PluginLoadError, match=message):
        load_preset(Registry(), "broken")
    listed = run("plugin", "presets")
    assert listed.returncode == 0
    assert "preset 'broken' of acme-presets 1.0" in listed.stdout
    assert "Chatbot Arena votes" in listed.stdout


def test_wrong_options_are_told_with_their_key(
    offer: Callable[..., Path], run: Callable[..., Any], tickets: Path
) -> None:
    offer("acme", "typo", "title: t\nmapping: {candidates: {c: a}, verdikt: {good: c}}\n")
    done = run("convert", tickets, "-o", "out.jsonl", "--preset", "typo")
    assert done.returncode == 2
    assert "has no option 'verdikt'; did you mean 'verdict'?" in done.stderr


def test_two_distributions_with_one_name(offer: Callable[..., Path]) -> None:
    offer("acme", "support-log")
    offer("umbrella", "support-log")
    with pytest.raises(PluginConflictError, match=r"'support-log' is registered by acme-presets 1\.0 and umbrella-p"):
        load_preset(Registry(), "support-log")


def test_what_is_blocked_is_not_read(offer: Callable[..., Path], monkeypatch: pytest.MonkeyPatch) -> None:
    offer("acme", "support-log")
    monkeypatch.setenv("KTOFORMATS_PLUGINS", "")
    with pytest.raises(PluginLoadError, match=r"preset 'support-log' of acme-presets 1\.0 is blocked"):
        load_preset(Registry(), "support-log")
    monkeypatch.setenv("KTOFORMATS_PLUGINS", "acme-presets")
    assert load_preset(Registry(), "support-log").about.title == "Support log"


def test_a_name_that_leads_elsewhere_is_no_preset(install: Callable[..., Path], fake_site: Path) -> None:
    install("evil", {"ktoformats.presets": {"../secret": "evil"}})
    (fake_site / "evil").mkdir()
    (fake_site / "secret.yaml").write_text(LOG)
    with pytest.raises(PluginLoadError, match="there is no file"):
        load_preset(Registry(), "../secret")


def test_an_unknown_name_is_answered_with_a_close_one() -> None:
    with pytest.raises(PluginNotFoundError, match="no preset is called 'areena'; did you mean 'arena'"):
        load_preset(Registry(), "areena")


def test_a_preset_belongs_to_its_format(run: Callable[..., Any], tickets: Path) -> None:
    done = run("convert", tickets, "-o", "out.jsonl", "--set", "formats=[{ranking: {preset: arena}}]")
    assert done.returncode == 2
    assert "preset 'arena' is for format 'mapping', not for 'ranking'" in done.stderr
