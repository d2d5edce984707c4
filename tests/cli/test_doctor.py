"""`ktoformats doctor`: what it finds, what it says is broken, and that it looks without touching."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats.cli import doctor, places
from ktoformats.store.cache import default_folder

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

ESCAPE = "\x1b[31m\u202e"


def told(command: Callable[..., Any], *words: str) -> tuple[Any, dict[str, Any]]:
    done = command("doctor", *words, "--json")
    return done.status, json.loads(done.out)


def test_all_is_well_here(command: Callable[..., Any]) -> None:
    status, found = told(command)
    assert (status, found["ok"], found["problems"]) == (0, True, [])
    assert found["versions"]["torch"] == version("torch")
    assert found["versions"]["pyarrow"] == version("pyarrow")
    assert {one["state"] for one in found["plugins"]} == {"available"}
    assert {"binary", "trl", "arena"} <= {one["name"] for one in found["plugins"]}
    assert set(found["extras"]) >= {"ray", "remote", "tokens", "trl"}
    assert found["terminal"]["is_terminal"] is False
    text = command("doctor").out
    assert "all is well" in text
    assert version("torch") in text


def test_nothing_is_imported_made_or_changed(tmp_path: Path) -> None:
    code = (
        "import sys, json\nfrom ktoformats.cli.main import main\n"
        "try: main(['doctor'])\nexcept SystemExit: pass\n"
        "print(json.dumps([*sys.modules]))"
    )
    env = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
    modules = set(json.loads(done.stdout.splitlines()[-1]))
    assert modules.isdisjoint(
        {"numpy", "pyarrow", "pydantic", "torch", "ktoformats_plugins", "ktoformats_plugins.formats"}
    )
    assert list(tmp_path.iterdir()) == []


def test_the_cache_is_the_one_that_is_used(command: Callable[..., Any]) -> None:
    assert places.cache_folder() == default_folder()
    status, found = told(command)
    assert found["cache"]["folder"] == str(default_folder())
    assert found["cache"]["bytes"] == 0
    assert found["cache"]["free"] > 0
    default_folder().mkdir(parents=True)
    (default_folder() / "x").write_bytes(b"12345")
    status, found = told(command)
    assert (status, found["cache"]["bytes"]) == (0, 5)


@pytest.mark.parametrize("what", ["file", "everybody"])
def test_a_cache_that_cannot_be_used_is_broken(what: str, command: Callable[..., Any], tmp_path: Path) -> None:
    if what == "file":
        (tmp_path / "cache").write_text("")
        message = "is a file, not a folder"
    else:
        default_folder().mkdir(parents=True)
        default_folder().chmod(0o777)
        message = "everybody may write to the cache folder"
    status, found = told(command)
    assert (status, found["ok"], found["cache"]["writable"]) == (1, False, False)
    assert message in found["problems"][0]
    done = command("doctor")
    assert done.status == 1
    assert "not writable" in done.out


def test_a_folder_nobody_may_write_to_is_no_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert places.trouble(tmp_path / "a" / "b") == ""
    monkeypatch.setattr(os, "access", lambda *_: False)  # the tests may run as root, who may write everywhere
    assert "nothing may be written" in places.trouble(tmp_path / "a" / "b")


def test_a_plugin_that_fails_is_seen_when_it_is_loaded(
    command: Callable[..., Any], install: Callable[..., None]
) -> None:
    install("acme", "[ktoformats.formats]\nacmefmt = acme_broken\n", {"acme_broken": "raise ValueError('no luck')"})
    status, found = told(command)
    assert status == 0
    [one] = [one for one in found["plugins"] if one["name"] == "acmefmt"]
    assert one["state"] == "available"
    status, found = told(command, "--load")
    assert status == 1
    assert "no luck" in found["problems"][0]
    assert "acmefmt" in command("doctor", "--load").out


def test_a_plugin_whose_module_is_gone_is_seen_without_loading(
    command: Callable[..., Any], install: Callable[..., None]
) -> None:
    install("acme", "[ktoformats.labels]\nacmelab = acme_gone.sub\n")
    status, found = told(command)
    assert status == 1
    assert "there is no module 'acme_gone'; install acme again" in found["problems"][0]


def test_conflicts_are_broken_and_blocked_ones_are_not(
    command: Callable[..., Any], install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("acme", "bcme"):
        install(name, f"[ktoformats.formats]\nsame = {name}_mod\n", {f"{name}_mod": ""})
    status, found = told(command)
    assert status == 1
    assert "also registered by" in found["problems"][0]
    monkeypatch.setenv("KTOFORMATS_PLUGINS", "")
    status, found = told(command)
    assert status == 0
    assert {one["state"] for one in found["plugins"] if one["name"] == "same"} == {"blocked"}
    assert "not named in KTOFORMATS_PLUGINS" in command("doctor").out


def test_hostile_metadata_reaches_no_terminal(command: Callable[..., Any], install: Callable[..., None]) -> None:
    entries = f"[ktoformats.formats]\nev{ESCAPE}il = acme_{ESCAPE}\n\n[ktoformats.fromats]\nx{ESCAPE} = y\n"
    install("acme", entries, title=f"ac{ESCAPE}me")
    for words in (["doctor"], ["doctor", "--json"], ["doctor", "--load"], ["--log-json", "doctor"]):
        done = command(*words)
        assert done.status == 1
        assert not {"\x1b", "\u202e"} & set(done.out + done.err)
        assert "ev\\u" in done.out


def test_what_is_missing_comes_with_the_line_that_gets_it(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = [
        "numpy>=2",
        "ray[data]>=2.60; extra == 'ray'",
        'nosuchlib (>=1.0) ; extra == "report"',
        "rich>=13; extra == 'x'",
    ]

    class Metadata:
        requires = texts

    monkeypatch.setattr(doctor, "distribution", lambda name: Metadata)
    status, found = told(command)
    assert status == 0  # what is optional may be missing
    assert found["extras"]["report"] == {
        "installed": False,
        "missing": {"nosuchlib": "is not installed"},
        "install": "pip install 'ktoformats[report]'",
    }
    assert found["extras"]["x"]["installed"] is True
    assert "pip install 'ktoformats[report]'" in command("doctor").out


@pytest.mark.parametrize(
    ("text", "message"), [("nosuchlib>=1", "nosuchlib is not installed"), ("numpy>=99.1", "and 99.1 is the least")]
)
def test_a_library_that_is_needed_and_not_there_is_broken(
    text: str, message: str, command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Metadata:
        requires = (text,)

    monkeypatch.setattr(doctor, "distribution", lambda name: Metadata)
    status, found = told(command)
    assert status == 1
    assert message in found["problems"][0]


@pytest.mark.parametrize(
    ("less", "more"), [("2.9", "2.10"), ("1.0rc1", "1.1"), ("2", "2.0.1"), ("2.13.0+cpu", "2.14"), ("", "1")]
)
def test_versions_are_compared_as_numbers(less: str, more: str) -> None:
    assert doctor._release(less) < doctor._release(more)
    assert doctor._release("2.0") == doctor._release("2")
