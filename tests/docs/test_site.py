"""What docs/conf.py makes of the pages; the site itself is built by `.ci/run`, with warnings as errors."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from xml.etree import ElementTree as ET

import pytest

from ktoformats import errors
from ktoformats.cli import main as command_line

if TYPE_CHECKING:
    from types import ModuleType

TOP = Path(__file__).parents[2]
DOCS = TOP / "docs"
PAGES = sorted(
    path.relative_to(TOP).with_suffix("").as_posix()
    for path in (TOP / "README.md", TOP / "CHANGELOG.md", TOP / "plugins" / "README.md", *DOCS.rglob("*.md"))
    if "_build" not in path.parts
)


def text_of(page: str) -> str:
    return (TOP / f"{page}.md").read_text(encoding="utf-8")


def configuration() -> ModuleType:
    found = spec_from_file_location("conf", DOCS / "conf.py")
    assert found
    assert found.loader
    module = module_from_spec(found)
    found.loader.exec_module(module)
    return module


CONF = configuration()
TABLES = [table for page in PAGES for table in CONF.contents(page, text_of(page))]


def test_every_page_stands_once_in_the_contents_of_the_site() -> None:
    named = [page for _, pages in TABLES for page in pages]
    assert sorted([*named, CONF.INDEX]) == PAGES


def test_the_contents_have_the_four_sorts_of_pages() -> None:
    captions = [caption for caption, _ in TABLES]
    assert [one for one in captions if one] == [
        "Tutorial",
        "How-to guides: data",
        "How-to guides: training",
        "How-to guides: extending",
        "Reference",
        "Explanation",
        "Decisions",
    ]


def test_an_orphan_would_be_seen() -> None:
    text = text_of(CONF.INDEX).replace("(how-to/rankings.md)", "(how-to/arabic-ratings.md)")
    assert "docs/how-to/rankings" not in [page for _, pages in CONF.contents(CONF.INDEX, text) for page in pages]


def read(page: str, text: str) -> str:
    source = [text]
    CONF.prepare(None, page, source)
    return source[0]


@pytest.mark.parametrize(
    ("fence", "shown"),
    [
        ("```python run\nx\n```", "```python\nx\n```"),
        ("```bash run exit=1\nx\n```", "```bash\nx\n```"),
        ("```text output\nx\n```", "```text\nx\n```"),
        ("```jsonl\n{}\n```", "```json\n{}\n```"),
        ("```yaml file=a.yaml\nx: 1\n```", "```{code-block} yaml\n:caption: a.yaml\n\nx: 1\n```"),
        ("````csv file=a.csv\n```\n````", "````{code-block} text\n:caption: a.csv\n\n```\n````"),
        ("```\nx\n```", "```\nx\n```"),
    ],
)
def test_a_block_becomes_what_sphinx_highlights(fence: str, shown: str) -> None:
    assert read("docs/page", f"# Page\n\n{fence}\n") == f"# Page\n\n{shown}\n"


def test_a_fragment_gets_a_heading_and_the_changelog_a_table_of_them() -> None:
    assert read("docs/changes/2.feature", "New.\n").startswith("# 2.feature\n\nNew.\n")
    assert "/docs/changes/2.feature\n" in read("CHANGELOG", text_of("CHANGELOG"))


def test_the_index_has_hidden_tables() -> None:
    made = read(CONF.INDEX, text_of(CONF.INDEX))
    assert "```{toctree}\n:hidden:\n:caption: Tutorial\n\n/docs/tutorial/first-conversion\n" in made


LINK = re.compile(r"\]\(([a-z]+:[^)]*)\)|<([a-z]+://[^>\s]+)>")


@pytest.mark.parametrize("page", PAGES)
def test_every_link_outside_is_well_formed(page: str) -> None:
    for one, other in LINK.findall(CONF.FENCE.sub("", text_of(page))):
        parts = urlsplit(one or other)
        assert parts.scheme == "https", f"{page}: {one or other}"
        assert re.fullmatch(r"[a-z0-9-]+(\.[a-z0-9-]+)+", parts.netloc), f"{page}: {one or other}"
        assert not re.search(r"\s", one or other), f"{page}: {one or other}"


def test_every_page_begins_with_its_only_title() -> None:
    for page in PAGES:
        titles = re.findall(r"^# .+$", CONF.FENCE.sub("", text_of(page)), re.MULTILINE)
        assert len(titles) == (0 if page.startswith(CONF.CHANGES) else 1), page


def test_pictures_are_well_formed_say_what_they_show_and_can_be_read_in_the_dark() -> None:
    pictures = sorted(DOCS.rglob("*.svg"))
    assert pictures
    for path in pictures:
        text = path.read_text(encoding="utf-8")
        root = ET.fromstring(text)  # noqa: S314 - our own file
        assert {"title", "desc", "text"} <= {element.tag.rpartition("}")[2] for element in root.iter()}
        assert "prefers-color-scheme: dark" in text
        assert not re.search(r"(?:href|src)=\"(?!#)|url\((?!#)|<script", text)


ROWS = re.findall(r"^\| `(\w+)` \|.*\| (\d|none: counted) \|$", text_of("docs/reference/errors"), re.MULTILINE)
CLASSES = [name for name, value in vars(errors).items() if isinstance(value, type) and issubclass(value, Exception)]


def test_every_error_is_documented() -> None:
    assert [name for name, _ in ROWS] == CLASSES


def made(name: str) -> Exception:
    cls: Any = getattr(errors, name)
    return cls(*["text"] * (3 if name == "SourceError" else 2 if issubclass(cls, errors.RecordError) else 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize(("name", "status"), [row for row in ROWS if row[1].isdigit()])
def test_an_error_ends_a_command_with_the_status_that_the_page_says(
    name: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(**_: Any) -> None:
        raise made(name)

    monkeypatch.setattr(command_line.cli, "main", fail)
    with pytest.raises(SystemExit) as stop:
        command_line.main(["demo"])
    assert stop.value.code == int(status)
