"""Drawings: text is text, colours are classes, and nothing in them is styled, named or scripted."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pytest

from ktoformats import page
from ktoformats.page.charts import edges_of, histogram, shares_of

SVG = "{http://www.w3.org/2000/svg}"
DICE = np.random.default_rng(7)
GOOD = DICE.random(400) < 0.5
VALUES = {
    "spread": (10 ** DICE.normal(2, 0.8, 400)).astype(np.int64),
    "shares": DICE.random(400),
    "equal": np.full(400, 3.5),
    "whole": DICE.integers(0, 9, 400),
    "below zero": DICE.normal(0, 1, 400),
    "huge": np.array([1, 10**12] * 200),
}


@pytest.mark.parametrize("name", VALUES)
def test_a_drawing_holds_nothing_that_a_strict_policy_forbids(name: str) -> None:
    svg = histogram(VALUES[name], GOOD, "answer, characters")
    root = ET.fromstring(svg)  # noqa: S314 - our own drawing
    tags = {one.tag for one in root.iter()}
    names = {attribute for one in root.iter() for attribute in one.attrib}
    assert tags <= {f"{SVG}{tag}" for tag in ("svg", "g", "path", "text")}
    assert not {"style", "id", "clip-path", "href"} & names
    assert not re.search(r"url\(|#0[1-4]0[1-4]0[1-4]|http(?!://www\.w3\.org/2000/svg)", svg)


def test_text_is_text_and_lines_are_told_by_class() -> None:
    root = ET.fromstring(histogram(VALUES["spread"], GOOD, "answer, characters"))  # noqa: S314 - our own drawing
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert {"answer, characters", "good", "bad"} <= set(texts)
    classes = {one.get("class") for one in root.iter() if one.get("class")}
    assert {"fill-ink", "stroke-good", "stroke-bad", "stroke-grid"} <= classes


def test_the_style_sheet_knows_every_class_that_is_drawn_with() -> None:
    style = Path(page.__file__).with_name("page.css").read_text(encoding="utf-8")
    for values in VALUES.values():
        for name in re.findall(r'class="([^"]*)"', histogram(values, GOOD, "x")):
            assert all(f".{one} {{" in style for one in name.split())


def test_the_same_values_give_the_same_drawing() -> None:
    assert histogram(VALUES["shares"], GOOD, "x") == histogram(VALUES["shares"], GOOD, "x")


@pytest.mark.parametrize("name", VALUES)
def test_every_value_lies_in_a_bin(name: str) -> None:
    values = VALUES[name]
    edges, _ = edges_of(values)
    assert shares_of(values, edges).sum() == pytest.approx(100)
    assert (np.diff(edges) > 0).all()


def test_an_axis_is_logarithmic_only_where_values_are_far_apart() -> None:
    assert {name: edges_of(values)[1] for name, values in VALUES.items()} == {
        "spread": True,
        "shares": False,
        "equal": False,
        "whole": False,
        "below zero": False,
        "huge": False,
    }


def test_zero_is_in_a_bin_of_a_logarithmic_axis() -> None:
    values = np.array([0, 0, 1, 2, 1000])
    edges, logarithmic = edges_of(values)
    assert logarithmic
    assert shares_of(values, edges)[0] == pytest.approx(60)
    assert not shares_of(values[:0], edges).any()
