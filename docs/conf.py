"""The documentation as a site: `python -m sphinx -W -b html docs OUT`.

The pages stay what they are on a git host: plain Markdown whose links are paths. So the root of the site is the root
of the repository, and every link, to README.md or a source file as well, means the same in both places. What a git
host does not show is added while a page is read: the tables of contents that docs/index.md implies, and file names
above blocks that are files.
"""

from __future__ import annotations

import re
from pathlib import Path
from posixpath import dirname, join, normpath
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

TOP: Final = Path(__file__).resolve().parents[1]
INDEX: Final = "docs/index"
CHANGELOG: Final = "CHANGELOG"
CHANGES: Final = "docs/changes/"
LEXERS: Final = {"jsonl": "json", "csv": "text"}
"""What Pygments calls a language that it does not know under our name."""
FENCE: Final = re.compile(r"^(?P<marks>```+)(?P<info>\w[^\n`]*)\n(?P<body>.*?)^(?P=marks)$", re.DOTALL | re.MULTILINE)
LINK: Final = re.compile(r"\]\((?![a-z]+:)([^)\s#]+)\.md(?:#[^)\s]*)?\)")
PART: Final = re.compile(r"^(?=## |\w+:$)", re.MULTILINE)
"""Where a part of the index begins: at a section, and at a word that stands alone before a list."""
REDIRECT: Final = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta http-equiv="refresh" content="0; url=docs/index.html">
<title>ktoformats</title>
<a href="docs/index.html">Documentation of ktoformats</a>
</html>
"""

project = "ktoformats"
author = "the authors of ktoformats"
extensions = ["myst_parser"]
root_doc = INDEX
include_patterns = ["README.md", "CHANGELOG.md", "plugins/README.md", "docs/**.md"]
exclude_patterns = [".*", "build", "dist", "docs/_build", "ktoformats", "tests", "venv", "**/__pycache__"]
source_suffix = {".md": "markdown"}
language = "en"
myst_heading_anchors = 4
nitpicky = True
html_theme = "furo"
html_title = "ktoformats"
html_copy_source = False
html_show_sphinx = False
pygments_style = "tango"
pygments_dark_style = "monokai"


def linked(docname: str, text: str) -> list[str]:
    """The pages that a page links to, each once, in its order."""
    found = (normpath(join(dirname(docname), link)) for link in LINK.findall(FENCE.sub("", text)))
    return list(dict.fromkeys(found))


def contents(docname: str, text: str) -> Iterator[tuple[str, list[str]]]:
    """The tables of contents that a page implies: a caption and pages.

    The index has one for each part that links to pages, and the changelog one of its fragments. A page stands in the
    first table that names it.
    """
    if docname == CHANGELOG:
        yield "", [page for page in linked(docname, text) if page.startswith(CHANGES)]
    seen, section = {INDEX}, ""
    for part in PART.split(FENCE.sub("", text)) if docname == INDEX else ():
        first = part.partition("\n")[0]
        section = first.removeprefix("## ") if first.startswith("## ") else section
        pages = [page for page in linked(docname, part) if page not in seen]
        seen |= {*pages}
        if pages:
            yield f"{section}: {first[:-1].lower()}" if first.endswith(":") else section, pages


def toctree(caption: str, pages: list[str]) -> str:
    """A table of contents for the side of the site."""
    lines = ["```{toctree}", ":hidden:", *([f":caption: {caption}"] if caption else []), ""]
    return "\n".join([*lines, *(f"/{page}" for page in pages), "```", ""])


def shown(block: re.Match[str]) -> str:
    """A block as Sphinx wants it: a language that Pygments knows, and the file's name above it if it is a file."""
    language, *words = block["info"].split()
    language = LEXERS.get(language, language)
    names = [word.partition("=")[2] for word in words if word.startswith("file=")]
    if not names:
        return f"{block['marks']}{language}\n{block['body']}{block['marks']}"
    return f"{block['marks']}{{code-block}} {language}\n:caption: {names[0]}\n\n{block['body']}{block['marks']}"


def prepare(_: Any, docname: str, source: list[str]) -> None:
    """What is added to a page while it is read."""
    text = FENCE.sub(shown, source[0])
    if docname.startswith(CHANGES):
        text = f"# {docname.removeprefix(CHANGES)}\n\n{text}"
    added = [toctree(caption, pages) for caption, pages in contents(docname, source[0])]
    source[0] = "\n\n".join([text, *added])


def begin_here(app: Any, error: Exception | None) -> None:
    """Lead from the root of the site to its first page."""
    if error is None and app.builder.name == "html":
        (Path(app.outdir) / "index.html").write_text(REDIRECT, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Make the repository the root, and listen."""
    app.srcdir = TOP
    app.connect("source-read", prepare)
    app.connect("build-finished", begin_here)
    return {"parallel_read_safe": True}
