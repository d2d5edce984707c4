"""Completion in a shell: click's protocol driven as a shell drives it, and the scripts that drive it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats.cli.main import COMPLETE_VARIABLE, main
from ktoformats.plugin.discovery import discover

if TYPE_CHECKING:
    from pathlib import Path

Complete = Callable[..., list[str]]


@pytest.fixture
def complete(
    command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Complete:
    """What a shell would offer for the last of these words, as `type,value`."""

    def call(*words: str) -> list[str]:
        monkeypatch.setenv(COMPLETE_VARIABLE, "bash_complete")
        monkeypatch.setenv("COMP_WORDS", " ".join(["ktoformats", *words]))
        monkeypatch.setenv("COMP_CWORD", str(len(words)))
        capsys.readouterr()
        with pytest.raises(SystemExit) as stop:
            main([])
        assert stop.value.code == 0
        return [line for line in capsys.readouterr().out.splitlines() if line]

    return call


def names(kind: str) -> list[str]:
    return sorted({f"plain,{one.name}" for one in discover() if one.kind == kind})


def test_commands_and_options(complete: Callable[..., list[str]]) -> None:
    assert complete("con") == ["plain,config", "plain,convert"]
    assert complete("cache", "pr") == ["plain,prune"]
    assert complete("plugin", "pre") == ["plain,presets"]
    assert complete("convert", "--dry") == ["plain,--dry-run"]
    assert complete("--log") == ["plain,--log-json"]
    assert complete("completion", "") == ["plain,bash", "plain,zsh", "plain,fish"]


@pytest.mark.parametrize("name", ["convert", "inspect", "report", "why"])
def test_formats_and_presets(name: str, complete: Callable[..., list[str]]) -> None:
    assert complete(name, "--preset", "") == names("preset")
    assert complete(name, "--preset", "hh") == ["plain,hh-rlhf", "plain,hh-rlhf-cn"]
    assert complete(name, "--format", "bi") == ["plain,binary"]
    assert complete(name, "--format", "de") == ["plain,default"]


def test_exporters_and_plugins(complete: Callable[..., list[str]]) -> None:
    assert complete("convert", "--to", "") == names("exporter")
    assert complete("-q", "convert", "x.jsonl", "--to", "tr") == ["plain,trl", "plain,trl-tokenized"]
    assert "plain,stars" in complete("plugin", "check", "st")
    assert complete("plugin", "presets", "are") == ["plain,arena"]


@pytest.mark.parametrize("name", ["convert", "inspect", "why"])
def test_sources_are_files(name: str, complete: Callable[..., list[str]]) -> None:
    assert complete(name, "vo") == ["file,vo"]


def test_installed_names_are_read_from_metadata_and_only_plain_ones_are_offered(
    complete: Callable[..., list[str]], install: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("acme", "[ktoformats.formats]\nzzfmt = acme_nowhere\nzz$(id) = x\nzz\x1b = x\n")
    assert complete("convert", "--format", "zz") == ["plain,zzfmt"]
    monkeypatch.setenv("KTOFORMATS_PLUGINS", "")
    assert complete("convert", "--format", "zz") == []


def test_no_plugin_is_imported_to_complete_its_name() -> None:
    code = (
        "import sys\nfrom ktoformats.cli.main import main\n"
        "try: main([])\nexcept SystemExit: pass\n"
        "print([name for name in sys.modules if name.startswith('ktoformats_plugins')])\n"
        "print([name for name in ('numpy', 'pyarrow', 'pydantic') if name in sys.modules])"
    )
    for words, light in (
        ("ktoformats convert --to tr", False),
        ("ktoformats conv", True),
        ("ktoformats plugin presets a", True),
    ):
        env = {
            **os.environ,
            COMPLETE_VARIABLE: "bash_complete",
            "COMP_WORDS": words,
            "COMP_CWORD": str(len(words.split()) - 1),
        }
        done = subprocess.run([sys.executable, "-c", code], env=env, capture_output=True, text=True, check=True)
        *offered, plugins, heavy = done.stdout.splitlines()
        assert offered
        assert plugins == "[]"
        assert heavy == "[]" or not light


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_script_is_clicks_own(shell: str, command: Callable[..., Any]) -> None:
    done = command("completion", shell)
    assert (done.status, done.err) == (0, "")
    assert f"{COMPLETE_VARIABLE}={shell}_complete" in done.out
    assert json.loads(command("completion", shell, "--json").out)["script"].strip() == done.out.strip()
    text = " ".join(command("completion", "--help").out.split())
    for place in (
        "~/.local/share/bash-completion/completions/ktoformats",
        "_ktoformats",
        "completions/ktoformats.fish",
    ):
        assert place in text


def test_an_unknown_shell_is_refused(command: Callable[..., Any]) -> None:
    done = command("completion", "tcsh")
    assert done.status == 2
    assert "'bash', 'zsh', 'fish'" in done.err


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash")
def test_bash_completes_with_the_script(tmp_path: Path) -> None:
    """The script is sourced, and its function called as bash calls it when somebody presses TAB."""
    (tmp_path / "ktoformats").write_text(f'#!/bin/sh\nexec {sys.executable} -m ktoformats.cli.main "$@"\n')
    (tmp_path / "ktoformats").chmod(0o755)
    env = {**os.environ, "PATH": f"{tmp_path}:{os.environ['PATH']}"}
    script = (
        'eval "$(ktoformats completion bash)"; COMP_WORDS=(ktoformats convert --preset are); COMP_CWORD=3; '
        '_ktoformats_completion ktoformats; echo "${COMPREPLY[@]}"'
    )
    done = subprocess.run(["bash", "-c", script], env=env, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["arena"]
