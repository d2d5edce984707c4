"""A page: escaped everywhere, closed against everything, and whole without a script."""

from __future__ import annotations

import json
import re
from base64 import b64encode
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from ktoformats import ConfigError
from ktoformats.page import render
from ktoformats.page.charts import histogram
from ktoformats.page.model import (
    Bar,
    Card,
    Chart,
    Facts,
    Notice,
    Notices,
    Page,
    Part,
    Paste,
    Record,
    Records,
    Sides,
    Table,
)
from ktoformats.page.render import to_html

PAYLOADS = json.loads((Path(__file__).parents[1] / "fixtures" / "payloads.json").read_text(encoding="utf-8"))
VOID = {"meta", "input"}
DRAWING = histogram(np.arange(9), np.arange(9) > 4, "x")


def page_with(text: str) -> Page:
    """A page with a text in every place where one can stand."""
    table = Table(text, (text, text, "n"), ((text, text, 1), (text, Sides(1, 2, 3), 0.5), (text, Bar(1, 2), 3)), text)
    chart = Chart(text, DRAWING, table)
    record = Record(text, "kept", text, text, text, ((text, text),), ((text, text),), text)
    other = Record("a:1", "dropped", "good", "binary", "x", (), ())
    notice = Notice("warning", text, text, text, (text, text))
    blocks = (Facts((text,)), Paste(text), table, chart, Notices((notice,)), Records((record, other), text))
    return Page(text, text, (Card(text, text, text),), (Part("all", text, blocks, text),))


class _Parsed(HTMLParser):
    """The elements of a page, its attributes and its text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


SHAPE = _Parsed(to_html(page_with("text"))).tags


@pytest.mark.parametrize("payload", PAYLOADS)
def test_a_text_adds_no_element_and_no_handler(payload: str) -> None:
    parsed = _Parsed(to_html(page_with(payload)))
    assert [tag for tag in parsed.tags if tag != "span"] == [tag for tag in SHAPE if tag != "span"]
    assert not [name for name, _ in parsed.attributes if name.startswith("on") or name in ("style", "src", "srcdoc")]
    links = [value for name, value in parsed.attributes if name in ("href", "action", "formaction")]
    assert links == ["#content", "#all"]
    assert not parsed.open


def test_the_policy_names_the_only_style_and_the_only_script_by_their_digests() -> None:
    html = to_html(page_with("text"))
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy is not None
    digests = [
        b64encode(sha256(body.encode()).digest()).decode()
        for body in re.findall(r"<(?:style|script)>(.*?)</(?:style|script)>", html, re.DOTALL)
    ]
    assert policy[1].replace("&#39;", "'") == (
        f"default-src 'none'; style-src 'sha256-{digests[0]}'; script-src 'sha256-{digests[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_nothing_is_loaded_from_elsewhere() -> None:
    html = to_html(page_with("text"))
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)|@import|url\(|<link|<iframe|<object|<img", html)


def test_the_same_page_gives_the_same_bytes() -> None:
    assert to_html(page_with("text")) == to_html(page_with("text"))


def test_numbers_and_shares_are_told_in_words() -> None:
    table = Table("t", ("a", "b", "c"), (("x", 12345, 0.256), ("y", Sides(1200, 34, 1234), Bar(5, 10))))
    html = to_html(Page("p", "", (), (Part("k", "K", (table,)),)))
    assert ">12,345<" in html
    assert ">25.6%<" in html
    assert "1,200 good, 34 bad" in html
    assert re.search(r'<rect class="fill-good" width="97.24"', html)
    assert re.search(r'50.0%<svg.*<rect class="fill-quiet" width="50.0"', html)


@pytest.mark.parametrize("missing", ["jinja2", "matplotlib"])
def test_what_is_missing_is_answered_by_the_line_that_installs_it(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(render, "find_spec", lambda name: None if name == missing else object())
    message = f"the report as a page needs {missing}: pip install 'ktoformats\\[report\\]'"
    with pytest.raises(ConfigError, match=message):
        render.check_installed()
