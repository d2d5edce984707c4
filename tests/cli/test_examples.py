"""Every command shows examples, and each of them is a line that the command line understands."""

from __future__ import annotations

import inspect
import re
import shlex
from itertools import dropwhile, pairwise
from typing import TYPE_CHECKING

import click
import pytest

from ktoformats import KTODataConfig
from ktoformats.cli.main import cli
from ktoformats.cli.report import command as report

if TYPE_CHECKING:
    from collections.abc import Iterator

DIFFERS = {"cache verify", "cache clear", "config check", "doctor", "plugin check", "report"}
"""Commands whose exit status says more than the one of `ktoformats --help`."""


def commands(command: click.Command = cli, path: str = "") -> Iterator[tuple[str, click.Command]]:
    yield path, command
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            child = command.get_command(context, name)
            assert child is not None
            yield from commands(child, f"{path} {name}".strip())


COMMANDS = dict(commands())


def examples(command: click.Command) -> list[list[str]]:
    """The words of each example in a command's help, without its name and what the shell takes away."""
    _, found, rest = inspect.cleandoc(command.help or "").partition("Examples:\n")
    if not found:
        return []
    block = rest.split("\n\n")[0].replace("\\\n", " ")
    return [
        shlex.split(line.split(" > ")[0])[1:] for line in block.splitlines() if line.strip().startswith("ktoformats ")
    ]


def understood(words: list[str]) -> None:
    """Have click parse a line, group by group, and run nothing."""
    context = cli.make_context("ktoformats", list(words))
    while isinstance(context.command, click.Group):
        rest = [*context._protected_args, *context.args]
        assert rest, f"{words}: no command"
        name, child, rest = context.command.resolve_command(context, rest)
        assert child is not None
        context = child.make_context(name, rest, parent=context)


@pytest.mark.parametrize("path", COMMANDS)
def test_every_command_shows_examples_that_are_understood(path: str) -> None:
    found = examples(COMMANDS[path])
    assert found, f"ktoformats {path} --help has no part `Examples:`"
    for words in found:
        own = [*dropwhile(lambda word: word.startswith("-"), words)]
        assert path.split() == own[: len(path.split())], f"{words} is no example of {path}"
        understood(words)


@pytest.mark.parametrize("path", COMMANDS)
def test_the_fields_that_an_example_sets_are_there(path: str) -> None:
    for words in examples(COMMANDS[path]):
        for option, value in pairwise(words):
            if option in ("--set", "--what-if"):
                assert re.split(r"[.=]", value)[0] in KTODataConfig.model_fields


@pytest.mark.parametrize("path", COMMANDS)
def test_an_exit_status_that_differs_is_told(path: str) -> None:
    assert ("Exit status:" in (COMMANDS[path].help or "")) == (path in DIFFERS or not path)


@pytest.mark.parametrize("path", COMMANDS)
def test_no_example_is_wrapped(path: str) -> None:
    """`\\b` before the part keeps click from joining its lines."""
    for block in re.findall(r"(.*)\n\s*Examples:\n", COMMANDS[path].help or ""):
        assert block.strip() == "\b"


@pytest.mark.parametrize(
    "words",
    [
        ["convert", "x", "-o", "y", "--nonsense"],
        ["convert", "x"],
        ["cache", "lss"],
        ["report", "x", "--batch-size", "many"],
        ["completion", "tcsh"],
        ["--louder", "demo"],
        ["plugin"],
    ],
    ids=" ".join,
)
def test_an_example_that_is_not_understood_would_be_found(words: list[str]) -> None:
    with pytest.raises((click.UsageError, AssertionError)):
        understood(words)


def test_the_commands_are_all_there() -> None:
    assert {
        "",
        "convert",
        "doctor",
        "completion",
        "cache prune",
        "config init",
        "plugin check",
        "report",
        "why",
    } <= set(COMMANDS)
    assert COMMANDS["report"] is report
