"""Texts of the data on a page: nothing in them is markup, and nothing in them is invisible."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktoformats.page.text import plain, shown

PAYLOADS = json.loads((Path(__file__).parents[1] / "fixtures" / "payloads.json").read_text(encoding="utf-8"))
HIDDEN = (
    "\u200e\u200f\u061c\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff\u00ad\u2028\x00\x1b\x9b\x7f\r"
)


class _Elements(HTMLParser):
    """Which elements and attributes stand in some HTML, and which text."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.found: list[tuple[str, list[str]]] = []
        self.text = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, [name for name, _ in attrs]))

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("payload", PAYLOADS)
def test_the_only_elements_are_marks_of_what_is_hidden(payload: str) -> None:
    found = _Elements(shown(payload)).found
    assert all(one == ("span", ["class", "title"]) for one in found)


@given(st.text())
def test_a_text_without_hidden_characters_is_shown_as_it_is(text: str) -> None:
    kept = "".join(one for one in text if one not in HIDDEN)
    read = _Elements(shown(kept))
    if not read.found:
        assert read.text == kept


@pytest.mark.parametrize("hidden", HIDDEN)
def test_a_hidden_character_stands_there_by_its_number(hidden: str) -> None:
    html = shown(f"a{hidden}b")
    assert hidden not in html
    assert f"U+{ord(hidden):04X}</span>" in html
    assert plain(f"a{hidden}b") == f"a\\u{{{ord(hidden):x}}}b"


def test_line_breaks_and_joiners_stay() -> None:
    text = "می\u200cخواهم\n\t👩\u200d🔬"
    assert shown(text) == text


def test_a_long_text_is_cut_and_says_by_how_much() -> None:
    html = shown("<" * 1500, limit=1000)
    assert html.startswith("&lt;" * 1000 + '<span class="more">')
    assert "500 more characters" in html
    assert plain("x" * 300) == "x" * 200 + "…"
