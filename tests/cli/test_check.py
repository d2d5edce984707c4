"""`ktoformats plugin check`, `plugin list --check` and KTOFORMATS_TRACE: what is said, where, with which status."""

from __future__ import annotations

import importlib
import json
import os
import re
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import Registry
from ktoformats.cli.main import main
from ktoformats.plugin.discovery import discover

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Install = Callable[..., None]
    Run = Callable[..., subprocess.CompletedProcess[str]]

VOTES = '''
from ktoformats import Labels, Scale, hookimpl, scale_of
class Votes(Labels):
    """Reads nay < yea."""
    examples = (("yea", "good"), ("nay", "bad"))
    scale: Scale = scale_of("votes", "nay < yea", good_from=1, bad_to=0)
@hookimpl
def ktoformats_plugins():
    return [Votes]
'''
GUESSING = VOTES.replace(
    "@hookimpl",
    """    def read(self, cell):
        known = cell is None or str(cell).strip() in ("", "nay", "yea")
        return self.scale.read(cell if known else "nay")
@hookimpl""",
    1,
)
LISTENING = '''
from ktoformats import Format, Judged, hookimpl
class Votes(Format):
    """Votes on answers."""
    reads = {"question", "answer", "vote"}
    def facts(self, row):
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
@hookimpl
def ktoformats_plugins():
    return [Votes]
@hookimpl
def ktoformats_record_rejected(source, reason):
    return f"noted {reason}"
@hookimpl
def ktoformats_dataset_built(report):
    return report["total"]["lines"]
'''
HEARS = """
from ktoformats import hookimpl
@hookimpl
def ktoformats_dataset_built(report):
    return
"""
HOSTILE = "evil\x1b[31m\u202ename"
RECORDS = [
    {"question": "q", "answer": "a", "vote": "good"},
    {"question": "q", "answer": "b", "vote": "bad"},
    {"question": "q", "answer": "c", "vote": "\x1b]0;\u202eowned"},
]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """`install("acme", {"labels": "votes"}, SOURCE)`: a distribution whose one module is each of these plugins."""
    site = tmp_path / "site"
    site.mkdir()
    monkeypatch.syspath_prepend(site)

    def write(distribution: str, plugins: dict[str, str], source: str) -> None:
        info = site / f"{distribution}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\n")
        points = (f"[ktoformats.{group}]\n{name} = {distribution}\n" for group, name in plugins.items())
        (info / "entry_points.txt").write_text("".join(points), encoding="utf-8")
        (site / f"{distribution}.py").write_text(source, encoding="utf-8")
        importlib.invalidate_caches()

    yield write
    for name in [name for name in sys.modules if name.startswith("acme_")]:
        del sys.modules[name]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a command in a process of its own that sees what was installed."""

    def call(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("KTOFORMATS_")}
        own = {"PYTHONPATH": str(tmp_path / "site"), "XDG_CACHE_HOME": str(tmp_path / "cache")}
        done = subprocess.run(
            [sys.executable, "-m", "ktoformats.cli.main", *words],
            cwd=tmp_path,
            env=clean | own | environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert "Traceback" not in done.stderr
        return done

    return call


@pytest.fixture
def convert(tmp_path: Path, install: Install, run: Run) -> Run:
    """Convert three votes, one of them no vote, with a format that listens to events."""
    install("acme_votes", {"formats": "votes"}, LISTENING)
    lines = (json.dumps(record) + "\n" for record in RECORDS)
    (tmp_path / "votes.jsonl").write_text("".join(lines))
    words = ("convert", "votes.jsonl", "-o", "train.jsonl", "--format", "votes", "--set", "max_rejected=1")
    return lambda *more, **environment: run(*words, *more, **environment)


def test_check_says_of_each_law_that_it_holds(install: Install, run: Run) -> None:
    install("acme_votes", {"labels": "votes"}, VOTES)
    done = run("plugin", "check", "votes")
    assert (done.returncode, done.stderr) == (0, "")
    head, *laws, last = done.stdout.splitlines()
    assert head == "labels votes"
    assert laws[0] == "  holds  registered: acme_votes 1.0, module acme_votes"
    assert "  holds  unjudged" in laws
    assert last == f"{len(laws)} holds, 0 broken, 0 open; --full tries the slow laws, too"


def test_check_tells_what_to_change_and_ends_with_1(install: Install, run: Run) -> None:
    install("acme_votes", {"labels": "votes"}, GUESSING)
    done = run("plugin", "check", "acme_votes")
    assert done.returncode == 1
    assert re.search(
        r"^  broken strict: cell 'zzqx unheard of' is read as 'bad'; .*no default$", done.stdout, re.MULTILINE
    )
    assert re.fullmatch(r"9 holds, 2 broken, 0 open; .*", done.stdout.splitlines()[-1])


def test_check_as_json_is_json_and_nothing_else(install: Install, run: Run) -> None:
    install("acme_votes", {"labels": "votes"}, GUESSING)
    done = run("plugin", "check", "votes", "--json", KTOFORMATS_TRACE="1")
    assert done.returncode == 1
    [told] = json.loads(done.stdout)
    assert (told["kind"], told["name"]) == ("labels", "votes")
    states = {law["law"]: law["state"] for law in told["laws"]}
    assert (states["registered"], states["strict"]) == ("holds", "broken")
    [message] = [law["message"] for law in told["laws"] if law["law"] == "strict"]
    assert "never guessed" in message


@pytest.mark.parametrize("words", [("check", "votes"), ("list", "--load"), ("list", "--check")])
def test_what_a_plugin_prints_stays_out_of_json(words: tuple[str, ...], install: Install, run: Run) -> None:
    install("acme_votes", {"labels": "votes"}, f"print('hello')\n{VOTES}")
    done = run("plugin", *words, "--json")
    assert "votes" in {one["name"] for one in json.loads(done.stdout)}
    assert done.stderr == "hello\n"


def test_a_reader_that_goes_away_is_no_defect(tmp_path: Path) -> None:
    words = [sys.executable, "-m", "ktoformats.cli.main", "plugin", "list"]
    with subprocess.Popen(words, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        child.stdout.close()  # long before the command has anything to say
        assert child.wait(timeout=60) == 0
        assert child.stderr is not None
        assert child.stderr.read() == ""


def test_check_full_tries_the_slow_laws_too(install: Install, run: Run) -> None:
    install("acme_votes", {"labels": "votes"}, VOTES)
    done = run("plugin", "check", "votes", "--full")
    assert done.returncode == 0
    assert {"  holds  process", "  holds  events"} <= set(done.stdout.splitlines())
    assert done.stdout.splitlines()[-1].endswith("0 broken, 0 open")


def test_check_of_a_kind_leaves_plugins_of_the_same_name_alone(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme_votes", {"labels": "votes", "filters": "votes"}, VOTES)
    assert told(capsys, "plugin", "check", "votes", "--kind", "labels")[0] == 0
    status, laws, _ = told(capsys, "plugin", "check", "votes", "--json")
    assert status == 1
    states = {one["kind"]: [law["state"] for law in one["laws"]] for one in json.loads(laws)}
    assert states["filter"] == ["broken"]
    assert set(states["labels"]) == {"holds"}


@pytest.mark.parametrize("more", [(), ("--kind", "observer"), ("--full",)])
def test_check_tries_the_laws_of_an_observer(
    more: tuple[str, ...], install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme_ears", {"observers": "ears"}, HEARS)
    status, out, _ = told(capsys, "plugin", "check", "ears", *more, "--json")
    [one] = json.loads(out)
    laws = {law["law"]: law["state"] for law in one["laws"]}
    assert (status, one["kind"], one["name"]) == (0, "observer", "ears")
    assert laws == {"registered": "holds"} | ({"events": "holds"} if "--full" in more else {})


@pytest.mark.parametrize(
    ("source", "more", "law", "says"),
    [
        ("import ktoformats", (), "registered", "hears of no event; mark ktoformats_record_rejected or"),
        ("raise OSError('no disk')", (), "registered", "OSError: no disk"),
        ("{}[0]", ("--full",), "events", "must not end a run"),
    ],
)
def test_check_tells_what_is_wrong_with_an_observer(
    source: str, more: tuple[str, ...], law: str, says: str, install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme_ears", {"observers": "ears"}, HEARS.replace("return", source) if more else source)
    status, out, _ = told(capsys, "plugin", "check", "ears", "--kind", "observer", *more, "--json")
    [*_, last] = json.loads(out)[0]["laws"]
    assert (status, last["law"], last["state"]) == (1, law, "broken")
    assert "observer 'ears' of acme_ears 1.0" in last["message"]
    assert says in last["message"]


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("binray",), "no plugin, preset or distribution is called 'binray'; did you mean 'binary'"),
        (("binary", "--kind", "labels"), "no labels is called 'binary'"),
        (("binary", "--kind", "observer"), "no observer is called 'binary'"),
    ],
)
def test_a_name_that_is_not_installed_ends_with_3(
    words: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, err = told(capsys, "plugin", "check", *words)
    assert (status, out) == (3, "")
    assert says in err
    status, out, err = told(capsys, "plugin", "check", *words, "--json")
    assert (status, err) == (3, "")
    assert says in json.loads(out)["error"]["message"]


def test_hostile_names_and_messages_are_written_as_escapes(
    install: Install, capsys: pytest.CaptureFixture[str]
) -> None:
    install(
        "acme_evil", {"labels": HOSTILE}, 'raise RuntimeError("\\x1b]0;gone\\u202e\\nlabels fine\\n  holds  all")'
    )
    status, out, _ = told(capsys, "plugin", "check", "acme_evil")
    assert status == 1
    assert out.splitlines()[0] == r"labels evil\u{1b}[31m\u{202e}name"
    assert r"(RuntimeError: \u{1b}]0;gone\u{202e}\u{a}labels fine\u{a}  holds  all)" in out
    assert len(out.splitlines()) == 3
    status, out, _ = told(capsys, "plugin", "check", "acme_evil", "--json")
    assert (status, json.loads(out)[0]["name"]) == (1, HOSTILE)
    assert not {"\x1b", "\u202e"} & set(out)


@pytest.fixture
def three(install: Install, monkeypatch: pytest.MonkeyPatch) -> None:
    """A registry of three label plugins: one of ours, one that guesses, one that cannot be imported."""
    install("acme_votes", {"labels": "votes"}, GUESSING)
    install("acme_evil", {"labels": "evil"}, "raise RuntimeError('gone')")
    found = [one for one in discover() if one.kind == "labels" and one.name in ("thumbs", "votes", "evil")]
    monkeypatch.setattr("ktoformats.cli.listing.Registry", lambda: Registry(found))


@pytest.mark.usefixtures("three")
def test_list_check_sums_up_the_laws_of_every_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys, "plugin", "list", "--check")
    rows = {line.split()[1]: line for line in out.splitlines() if line.startswith("labels")}
    assert status == 0
    assert re.search(r"all \d+ hold\s*$", rows["thumbs"])
    assert re.search(r"breaks .*strict.*$", rows["votes"])
    assert re.search(r"failed .*cannot be imported \(RuntimeError: gone\).*breaks registered\s*$", rows["evil"])
    assert "laws" not in told(capsys, "plugin", "list")[1]


@pytest.mark.usefixtures("three")
def test_list_check_as_json_has_the_laws_of_every_plugin(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = told(capsys, "plugin", "list", "--check", "--json")
    listed = {one["name"]: one for one in json.loads(out)}
    assert status == 0
    assert {name: one["state"] for name, one in listed.items()} == {
        "evil": "failed",
        "thumbs": "loaded",
        "votes": "loaded",
    }
    assert {law["state"] for law in listed["thumbs"]["laws"]} == {"holds"}
    assert [(law["law"], law["state"]) for law in listed["evil"]["laws"]] == [("registered", "broken")]
    assert all("laws" not in one for one in json.loads(told(capsys, "plugin", "list", "--json")[1]))


def test_trace_shows_each_hook_call_who_implements_it_and_what_came_back(convert: Run) -> None:
    done = convert("--json", KTOFORMATS_TRACE="1")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["total"]["lines"] == 3
    lines = [
        line.removeprefix("ktoformats: ") for line in done.stderr.splitlines() if line.startswith("ktoformats: ")
    ]
    calls = {}
    for number, line in enumerate(lines):
        if not line.startswith(" "):
            calls[line.partition("(")[0]] = lines[number : number + 3]
    assert set(calls) == {"ktoformats_plugins", "ktoformats_record_rejected", "ktoformats_dataset_built"}
    assert ["ktoformats_plugins()", "  acme_votes", "  ktoformats_plugins -> [[<class 'acme_votes.Votes'>]]"] in [
        lines[number : number + 3] for number in range(len(lines))
    ]
    call, listener, outcome = calls["ktoformats_record_rejected"]
    assert call.startswith(
        "ktoformats_record_rejected(source='votes.jsonl', line=3, reason='label_unrecognised', field='vote'"
    )
    assert (listener, outcome) == ("  acme_votes", "  ktoformats_record_rejected -> ['noted label_unrecognised']")
    call, listener, outcome = calls["ktoformats_dataset_built"]
    assert call.startswith("ktoformats_dataset_built(split='train', report={'split': 'train', 'total': {'lines': 3")
    assert (listener, outcome) == ("  acme_votes", "  ktoformats_dataset_built -> [3]")
    assert not {"\x1b", "\u202e"} & set(done.stderr)


@pytest.mark.parametrize("environment", [{}, {"KTOFORMATS_TRACE": "0"}])
def test_nothing_is_traced_unless_it_is_asked_for(convert: Run, environment: dict[str, str]) -> None:
    done = convert(**environment)
    assert done.returncode == 0, done.stderr
    assert "ktoformats_" not in done.stderr + done.stdout


def test_trace_tells_of_a_hook_that_fails(
    install: Install, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    install("acme_votes", {"labels": "votes"}, VOTES.replace("return [Votes]", "raise KeyError('no votes')"))
    monkeypatch.setenv("KTOFORMATS_TRACE", "yes")
    status, out, err = told(capsys, "plugin", "check", "votes", "--json")
    assert status == 1
    assert "KeyError: 'no votes'" in json.loads(out)[0]["laws"][0]["message"]
    assert "ktoformats:   ktoformats_plugins failed: KeyError('no votes')\n" in err


def test_trace_says_that_nobody_listens(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("KTOFORMATS_TRACE", "1")
    Registry([]).tell("ktoformats_dataset_built", split="train", report={})
    assert capsys.readouterr().err.splitlines() == [
        "ktoformats: ktoformats_dataset_built(split='train', report={})",
        "ktoformats:   nobody listens",
        "ktoformats:   ktoformats_dataset_built -> []",
    ]


def told(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, str, str]:
    """Run a command in this process: its status, and what it said on both streams."""
    with pytest.raises(SystemExit) as stop:
        main(list(words))
    said = capsys.readouterr()
    return stop.value.code, said.out, said.err
