"""What a loader, a report, a dataset and a registry look like in a console and in a notebook."""

from __future__ import annotations

import json
import pickle  # noqa: TID251 - what a DataLoader does with a dataset
import subprocess
import sys
from collections import Counter
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest

from ktoformats import KTODataConfig, KTODataLoader, PluginLoadError, Registry, Report
from ktoformats.convert.ledger import FileAccount, Ledger, Reject
from ktoformats.page.notebook import MOST_ROWS, in_short, sentences, table
from ktoformats.plugin.discovery import Found, discover
from ktoformats.store.samples import Samples

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    Load = Callable[..., tuple[list[dict[str, Any]], KTODataLoader]]

HOSTILE: Final = "<script>alert('x')</script>\u202e\x1b[31m&\"\u2066جيد\x00<img src=x onerror=alert(1)>"
VOTES: Final = [
    *({"prompt": f"p{at}", "response": f"r{at}", "label": label} for at, label in enumerate(("good", "bad", "good"))),
    {"prompt": "p", "response": "r", "label": None},
    {"prompt": "p", "response": "r", "label": HOSTILE.replace("\x00", "")},
]


class Seen(HTMLParser):
    """The elements, attributes and text that a browser would see."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += f"{data} "


def seen(html: str) -> str:
    """The text of what is shown, after a look at what it is made of."""
    found = Seen(html)
    assert found.elements <= {"table", "caption", "thead", "tbody", "tr", "th", "td", "ul", "li"}
    assert found.attributes <= {"style", "dir", "colspan"}
    assert found.open == []
    assert not set(html) & set("\u202e\u2066\x1b\x00")
    return found.text


def shown(value: object) -> str:
    return seen(value._repr_html_())  # type: ignore[attr-defined] # what a notebook calls


def one_line(value: object) -> str:
    text = repr(value)
    assert text.isprintable()
    assert len(text) < 400
    return text


def test_a_dataset_tells_its_labels_and_its_split(load: Load) -> None:
    _, loader = load(VOTES)
    dataset = loader.load_dataset("train")
    assert one_line(dataset) == "KTODataset(3 samples: 2 good, 1 bad; split 'train')"
    assert one_line(dataset[:2]) == one_line(dataset.select([0, 2])) == "KTODataset(2 samples; split 'train')"
    assert one_line(pickle.loads(pickle.dumps(dataset))) == one_line(dataset)  # noqa: S301 - our own
    text = shown(dataset)
    assert text.startswith("KTODataset, split train samples 3 good 2 bad 1 keys of a sample id, prompt,")


def test_a_dataset_reads_nothing_to_be_shown(load: Load, monkeypatch: pytest.MonkeyPatch) -> None:
    _, loader = load(VOTES)
    dataset = loader.load_dataset("train")
    parts = dataset[:2]

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("read")

    for name in ("numbers", "take", "whole"):
        monkeypatch.setattr(Samples, name, refuse)
    for one in (dataset, parts):
        assert "samples" in one_line(one)
        assert "samples" in shown(one)


def test_a_report_tells_what_became_of_the_lines(load: Load) -> None:
    _, loader = load(VOTES, on_error="skip")
    told = "Report('train': 5 lines, 3 used, 1 without verdict, 1 rejected; kept 2 good, 1 bad)"
    assert one_line(loader.report) == told
    text = shown(loader.report)
    for part in (
        "lines 5",
        "by binary 3",
        "null_verdict 1",
        "label_unrecognised 1",
        "kept good 2",
        "undesirable_weight",
    ):
        assert part in text
    assert "'<script>alert(" in text, "as text"
    assert ".jsonl:5: label" in text


def test_a_report_of_hostile_names_is_shown_as_text() -> None:
    report = Report(HOSTILE, Ledger())
    report.ledger.add(HOSTILE, FileAccount(lines=2, used=1, samples=1))

    account = report.ledger.files[HOSTILE]
    account.rejected[HOSTILE] += 1
    account.formats[HOSTILE] += 1
    report.rejects += [Reject(HOSTILE, 1, 0, HOSTILE, HOSTILE, HOSTILE, HOSTILE)] * 9
    report.dropped[HOSTILE] = Counter({(HOSTILE, HOSTILE, "good"): 1})
    report.warnings.append(HOSTILE)
    report.notes.append(HOSTILE)
    text = shown(report)
    assert text.count("onerror") == 5 + 4 * 5 + 2, "in the counts, in five rejects, in the sentences"
    assert one_line(report).startswith("Report(\"<script>alert('x')</script>\\u202e") or "\\u202e" in one_line(report)


def test_a_loader_tells_its_files_and_what_is_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a long folder would be cut
    path = Path("votes.jsonl")
    path.write_text("".join(json.dumps(one) + "\n" for one in VOTES))
    config = KTODataConfig(
        train_file=[path, "gone.jsonl"],
        validation_file=HOSTILE,
        sources=[{"path": "more.jsonl", "split": "train"}, {"path": "some.jsonl", "split": "test"}],
        formats=["default", {"mapping": {"preset": "arena"}}],
        balance_labels=False,
        min_samples_per_label=0,
    )
    loader = KTODataLoader(config, enable_cache=False)
    text = one_line(loader)
    assert text.startswith("KTODataLoader(train '")
    assert "votes.jsonl' and 2 more, validation " in text
    assert text.endswith("test 'some.jsonl'; loaded: nothing)")
    assert {one.state for one in loader.registry.statuses()} == {"available"}, "nothing is imported to be shown"
    assert "formats default, mapping quality form" in shown(loader)
    config.train_file, config.sources = [path], []
    loader.load_dataset("train")
    assert one_line(loader).endswith("; loaded: train 3 samples)")
    assert "2 1 validation" in shown(loader)


def test_a_loader_without_files_and_one_of_a_subclass() -> None:
    class Mine(KTODataLoader):
        pass

    assert one_line(Mine(KTODataConfig())) == "Mine(no files; loaded: nothing)"
    assert shown(Mine(KTODataConfig())).startswith("Mine split files good bad plugins formats default")


def test_a_registry_tells_what_is_installed_and_imports_nothing() -> None:
    registry = Registry([one for one in discover() if one.first_party])
    assert one_line(registry).startswith("Registry(10 exporter, 3 filter, 6 format, 10 labels, ")
    assert one_line(registry).endswith("; 0 loaded)")
    assert "format binary ktoformats " in shown(registry)
    assert {one.state for one in registry.statuses()} == {"available"}
    registry.load("format", "binary")
    assert one_line(registry).endswith("; 1 loaded)")
    assert one_line(Registry([])) == "Registry(nothing installed; 0 loaded)"


def test_a_registry_shows_hostile_metadata_as_text() -> None:
    [one] = [one for one in discover() if one.first_party and (one.kind, one.name) == ("format", "binary")]
    evil = Found(one.kind, HOSTILE, HOSTILE, HOSTILE, HOSTILE, allowed=True, entry_point=one.entry_point)
    registry = Registry([evil, one])
    with pytest.raises(PluginLoadError, match="must name a module"):
        registry.load("format", HOSTILE)
    assert shown(registry).count("onerror") >= 3
    assert one_line(registry).startswith("Registry(2 format; ")


def test_no_notebook_library_and_no_plugin_is_imported_to_show_a_registry() -> None:
    code = (
        "import sys\n"
        "from ktoformats.plugin.registry import Registry\n"
        "registry = Registry(); repr(registry); registry._repr_html_()\n"
        "heavy = {'torch', 'numpy', 'pyarrow', 'pandas', 'jinja2', 'markupsafe', 'IPython', 'pydantic'}\n"
        "print(sorted(one for one in sys.modules if one in heavy or one.startswith('ktoformats_plugins')))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("rows", [0, MOST_ROWS, MOST_ROWS + 1200])
def test_a_table_stays_small(rows: int) -> None:
    html = table("c", ("a", "b"), ((f"row {number}", number) for number in range(rows)))
    assert html.count("row ") == min(rows, MOST_ROWS)
    assert ("and 1,200 more" in html) == (rows > MOST_ROWS)


def texts() -> Iterable[tuple[str, str]]:
    yield "a" * 1000, "a" * 10
    yield HOSTILE, "\\u{202e}"
    yield "جيد", "جيد"


@pytest.mark.parametrize(("text", "part"), list(texts()))
def test_text_is_cut_and_escaped_wherever_it_stands(text: str, part: str) -> None:
    for html in (table(text, (text,), [(text,)]), sentences([text])):
        assert part in seen(html)
        assert len(html) < 2500
    assert in_short(text).isprintable()
    assert len(in_short("a" * 1000)) == 82
