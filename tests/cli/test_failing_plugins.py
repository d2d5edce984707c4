"""Plugins that fail while they work: whatever they raise, the error says which distribution it comes from."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    Command = Callable[..., Any]
    Install = Callable[..., None]

OWNER: Final = "acme-bad 1.0"
ERRORS: Final = {"error": "ValueError('oh')", "exit": "SystemExit(3)", "panic": "Panic('oh')"}
"""What a plugin may raise: an error, the end of the process, and what compiled code raises when it panics."""
HEAD: Final = """
import numpy as np
from ktoformats import Claim, Exporter, Filter, Format, Labels, Quality, Scale, Utility, hookimpl
class Panic(BaseException): pass
"""
TAIL: Final = """
@hookimpl
def ktoformats_plugins():
    return [Bad]
"""
KINDS: Final = {
    "claim": (
        "format",
        """
class Bad(Format):
    def claim(self, shape): raise {error}
    def facts(self, row): yield from ()
""",
    ),
    "layout": (
        "format",
        """
class Bad(Format):
    reads = frozenset(("prompt", "response"))
    def layout(self, shape): raise {error}
    def facts(self, row): yield from ()
""",
    ),
    "read": (
        "labels",
        """
class Bad(Labels):
    scale: Scale = Scale(name="bad", low=0, high=1, good_from=0.5, bad_to=0.4)
    def read(self, cell): raise {error}
""",
    ),
    "quality": (
        "quality",
        """
class Bad(Quality):
    def score(self, batch): raise {error}
""",
    ),
    "utility": (
        "utility",
        """
class Bad(Utility):
    def utility(self, quality, good): raise {error}
""",
    ),
    "drops": (
        "filter",
        """
class Bad(Filter):
    def drops(self, batch): raise {error}
""",
    ),
    "refuses": (
        "exporter",
        """
class Bad(Exporter):
    suffix = ".bad"
    def refuses(self, batch): raise {error}
    def write(self, batches, path): return dict()
""",
    ),
    "write": (
        "exporter",
        """
class Bad(Exporter):
    suffix = ".bad"
    def write(self, batches, path): raise {error}
""",
    ),
}
LEAVES: Final = """
class Bad(Format):
    reads = frozenset(("prompt", "response", "label"))
    def facts(self, row): raise SystemExit(3)
"""
GROUPS: Final = {"format": "formats", "filter": "filters", "exporter": "exporters", "utility": "utilities"}
WORDS: Final = {
    "format": ("--set", "formats=[bad]"),
    "labels": ("--set", "scales.label=bad"),
    "quality": ("--set", "quality=bad"),
    "utility": ("--set", "utility=bad"),
    "filter": ("--set", "filters=[bad]"),
    "exporter": ("--to", "bad"),
}


@pytest.fixture
def votes(lines: Callable[[Iterable[Any]], Path]) -> Path:
    return lines({"prompt": f"q{n}", "response": f"r{n}", "label": ("good", "bad")[n % 2]} for n in range(40))


@pytest.fixture
def failing(install: Install) -> Callable[[str, str], tuple[str, ...]]:
    """Install a plugin that fails so, and give the words that name it."""

    def put(method: str, error: str) -> tuple[str, ...]:
        kind, text = KINDS[method]
        group = f"ktoformats.{GROUPS.get(kind, kind)}"
        module = f"acme_bad_{method}_{error}"  # what one test has imported is no other's
        source = HEAD + text.format(error=ERRORS[error]) + TAIL
        install("acme-bad", f"[{group}]\nbad = {module}\n", {module: source})
        # a format that is alone is not asked for a claim
        return ("--set", "formats=[bad, binary]") if method == "claim" else WORDS[kind]

    return put


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("method", KINDS)
def test_a_conversion_ends_and_names_the_distribution(
    method: str, error: str, failing: Callable[[str, str], tuple[str, ...]], command: Command, votes: Path
) -> None:
    words = failing(method, error)
    done = command("convert", votes, "-o", "x.bad", "--json", "--no-cache", *words)
    told = json.loads(done.out)["error"]
    assert (done.status, told["type"]) == (3, "PluginContractError"), done
    assert OWNER in told["message"]
    assert ERRORS[error].partition("(")[0] in told["message"]
    assert list(votes.parent.glob("work/*")) == []


@pytest.mark.parametrize("method", ["read", "quality"])
def test_a_worker_tells_of_it_too(
    method: str, failing: Callable[[str, str], tuple[str, ...]], command: Command, votes: Path
) -> None:
    done = command(
        "convert", votes, "-o", "x.bad", "--json", "--no-cache", "--workers", "2", *failing(method, "exit")
    )
    assert done.status == 3, done
    assert OWNER in json.loads(done.out)["error"]["message"]


def test_a_format_that_ends_the_process_over_a_record_costs_that_record(
    install: Install, command: Command, votes: Path
) -> None:
    install("acme-bad", "[ktoformats.formats]\nbad = acme_bad_leaves\n", {"acme_bad_leaves": HEAD + LEAVES + TAIL})
    done = command("convert", votes, "-o", "x.jsonl", "--no-cache", "--format", "bad")
    assert done.status == 1, done
    assert "format_failed 40" in done.err
    assert "format 'bad' failed on the record (SystemExit: 3" in done.err


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("method", ["claim", "layout", "read"])
def test_a_look_at_a_file_goes_on_without_it(
    method: str, error: str, failing: Callable[[str, str], tuple[str, ...]], command: Command, votes: Path
) -> None:
    """It asks every installed format and label plugin, and nobody named this one."""
    failing(method, error)
    done = command("inspect", votes)
    assert done.status == 0, done
    assert "read as: binary" in done.out


@pytest.mark.parametrize("error", ERRORS)
@pytest.mark.parametrize("method", KINDS)
def test_its_author_is_told_which_laws_it_breaks(
    method: str, error: str, failing: Callable[[str, str], tuple[str, ...]], command: Command
) -> None:
    failing(method, error)
    done = command("plugin", "check", "bad", "--json")
    laws = json.loads(done.out)
    assert done.status == 1, done
    assert "broken" in json.dumps(laws)
