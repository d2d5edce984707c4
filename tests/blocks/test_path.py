"""The path language of mappings."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ktoformats import RecordError, Scope, read_path
from ktoformats.blocks.path import MISSING, same

RECORD: dict[str, Any] = {
    "a": {"b": [1, {"c": 2}, 3], "null": None},
    "x y": {"z": 5},
    "fine-grained_score": 4,
    "with.dot": {"k": 7},
    "votes": [{"ok": False, "who": [{"v": 1}]}, {"ok": True, "who": [{"v": 2}]}, {"ok": 0, "who": []}],
    "aspects": {"p": {"R": "1"}, "q": {"R": "2"}},
    "sort": [9, 8],
    "تقييم": "جيد",
}


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a.b[0]", 1),
        ("a.b[-1]", 3),
        ("a.b[1].c", 2),
        ("a.b[*]", [1, {"c": 2}, 3]),
        ("x y.z", 5),
        ('"x y".z', 5),
        ('"with.dot".k', 7),
        ("fine-grained_score", 4),
        ("تقييم", "جيد"),
        ("votes[?ok=false].who[0].v", [1]),
        ("votes[?ok=true].who[*].v", [2]),
        ("aspects.*.R", ["1", "2"]),
        ("$.sort[#]", 8),
        ("$.a.null", None),
        ("a.null.b", MISSING),
        ("a.b[3]", MISSING),
        ("a.b.c", MISSING),
        ("nothing", MISSING),
        ("sort[*].x", []),
    ],
)
def test_what_a_path_finds(text: str, found: Any) -> None:
    assert read_path(text).read(Scope(RECORD, RECORD, 1)) == found


@pytest.mark.parametrize("text", ["$.sort[#]", "$.a.b[#].c", "$.votes[*].who[#]"])
def test_a_list_beside_the_candidates_has_to_be_as_long(text: str) -> None:
    with pytest.raises(RecordError, match=r"values? for 7 candidates; give each candidate one") as caught:
        read_path(text).read(Scope(RECORD, RECORD, 1, 7))
    assert caught.value.reason == "length_mismatch"
    assert read_path("$.sort[#]").read(Scope(RECORD, RECORD, 1, 2)) == 8


def test_a_path_starts_at_the_candidate_and_a_dollar_at_the_record() -> None:
    scope = Scope({"x": 1}, {"x": 2})
    assert (read_path("x").read(scope), read_path("$.x").read(scope)) == (2, 1)
    assert read_path(".").read(scope) == {"x": 2}


@pytest.mark.parametrize(
    ("text", "place"),
    [("a..b", 2), ("a[", 2), ("a.b]", 4), ("a[b]", 2), ("[", 1), ('"open', 1)],
)
def test_what_is_no_path_says_where_it_breaks(text: str, place: int) -> None:
    with pytest.raises(ValueError, match=f"breaks at character {place}"):
        read_path(text)


def test_an_empty_path_says_what_the_item_is_called() -> None:
    with pytest.raises(ValueError, match=r"`\.` is the item itself"):
        read_path(" ")


@pytest.mark.parametrize(("one", "other"), [(True, 1), (1, "1"), (False, 0), (None, False), (0, "")])
def test_values_of_other_types_are_not_the_same(one: Any, other: Any) -> None:
    assert not same(one, other)
    assert not same(other, one)


def test_one_and_one_point_nought_are_the_same() -> None:
    assert same(1, 1.0)


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_every_value_is_found_by_its_quoted_path(value: Any) -> None:
    def walk(node: Any, path: str) -> None:
        assert read_path(path).read(Scope(value, value)) == node
        if isinstance(node, dict):
            for key, inner in node.items():
                quoted = json.dumps(key, ensure_ascii=False) if '"' not in key and "\\" not in key else None
                if quoted is not None and quoted == f'"{key}"':
                    walk(inner, f"{path}.{quoted}")
        elif isinstance(node, list):
            for number, inner in enumerate(node):
                walk(inner, f"{path}[{number}]")

    walk(value, "$")
