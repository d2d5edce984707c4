"""`origin` connects what came from one record, or from records that belong together, and says nothing else."""

from __future__ import annotations

import json
import sys
from hashlib import sha256
from typing import TYPE_CHECKING, Any

import orjson
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import SAMPLE_KEYS, SCHEMA, KTODataConfig, Registry
from ktoformats.convert import pipeline as pipelines
from ktoformats.convert.assemble import assemble
from ktoformats.convert.pipeline import BATCH_ROWS
from ktoformats.read.blocks import Block
from ktoformats.store.gather import gathered

if TYPE_CHECKING:
    from ktoformats.convert.pipeline import Pipeline

REGISTRY = Registry()


def pipeline(mapping: dict[str, Any] | None = None, **config: Any) -> Pipeline:
    formats = {} if mapping is None else {"formats": [{"mapping": mapping}]}
    return assemble(KTODataConfig(**formats, **config), REGISTRY).pipeline


def block_of(records: list[Any]) -> Block:
    lines = [orjson.dumps(record) for record in records]
    return Block("f.jsonl", list(range(1, len(lines) + 1)), [0] * len(lines), lines, 0, [], {})


def told(made: Pipeline, *blocks: Block) -> list[tuple[str, str, str]]:
    """(response, group, origin) of every sample."""
    batches = [batch for block in blocks for batch in made.convert(block).batches]
    table = pa.Table.from_batches(batches, SCHEMA)
    assert table.column("origin").null_count == 0
    return list(zip(*(table.column(name).to_pylist() for name in ("response", "group", "origin")), strict=True))


def group(first_turn: str) -> str:
    return sha256(first_turn.encode()).hexdigest()[:16]


def talk(*contents: str, **more: Any) -> list[dict[str, Any]]:
    return [
        {"role": ("user", "assistant")[number % 2], "content": content, **(more if number % 2 else {})}
        for number, content in enumerate(contents)
    ]


OWN_CONTEXTS = {"chosen": talk("p", "a"), "rejected": talk("q", "b")}
"""A pair whose sides answer different questions."""

ONE_CONVERSATION: dict[str, dict[str, Any]] = {
    "binary": {"prompt": "q", "response": "a", "label": "good"},
    "scores": {"prompt": "q", "completion": "a", "score": 0.9, "rating": None},
    "pairwise": {"prompt": "q", "chosen": "a", "rejected": "b"},
    "ranking": {"prompt": "q", "responses": ["a", "b", "c"], "rankings": [2, 3, 1]},
    "conversation": {"messages": talk("q", "a"), "label": True},
    "thumbs": {"messages": talk("q", "a", "r", "b", rating=5)},
    "history": {"prompt": "r", "response": "b", "label": True, "conversation": talk("q", "a")},
    "arabic-rating": {"prompt": "q", "response": "a", "تقييم": "ممتاز"},
}


def test_it_explains_and_is_no_key_of_a_sample() -> None:
    assert "origin" not in SAMPLE_KEYS
    assert SCHEMA.names.index("origin") == SCHEMA.names.index("pair") + 1
    assert SCHEMA.field("origin") == pa.field("origin", pa.string(), nullable=False)


@pytest.mark.parametrize("together", [1, sys.maxsize])
@pytest.mark.parametrize("kind", ONE_CONVERSATION)
def test_it_is_the_group_where_a_record_is_one_conversation(kind: str, together: int) -> None:
    made = pipeline()
    made.together = together
    found = told(made, block_of([ONE_CONVERSATION[kind]] * 3))
    assert len(found) == 3 * (2 if kind in ("pairwise", "ranking", "thumbs") else 1)
    assert {(own, origin) for _, own, origin in found} == {(group("q"), group("q"))}


def test_sides_with_their_own_contexts_have_the_origin_of_the_first() -> None:
    found = told(pipeline(), block_of([OWN_CONTEXTS, ONE_CONVERSATION["binary"]]))
    assert found == [("a", group("p"), group("p")), ("b", group("q"), group("p")), ("a", group("q"), group("q"))]


def test_a_side_that_is_left_alone_is_its_own_origin() -> None:
    found = told(pipeline(), block_of([{**OWN_CONTEXTS, "chosen": talk("p", "")}]))
    assert found == [("b", group("q"), group("q"))]


def test_candidates_with_their_own_questions_are_of_one_origin() -> None:
    mapping = {
        "candidates": {"each": "answers", "conversation": "talk"},
        "verdict": {"label": "ok", "good": [True], "bad": [False]},
    }
    record = {"answers": [{"talk": talk(f"q{number}", f"a{number}"), "ok": number != 1} for number in range(3)]}
    found = told(pipeline(mapping), block_of([record]))
    assert found == [(f"a{number}", group(f"q{number}"), group("q0")) for number in range(3)]


def test_neither_file_nor_line_goes_in() -> None:
    one, other = block_of([OWN_CONTEXTS]), block_of([ONE_CONVERSATION["binary"], OWN_CONTEXTS])
    assert told(pipeline(), one._replace(source="g.jsonl")) == told(pipeline(), other)[1:]


# --- both roads, and where batches are cut ---


def mixed(number: int) -> dict[str, Any]:
    kinds = [*ONE_CONVERSATION.values(), OWN_CONTEXTS]
    return json.loads(json.dumps(kinds[number % len(kinds)]).replace('"q"', f'"q{number}"').replace('"p"', '"p0"'))  # type: ignore[no-any-return]


@settings(max_examples=40, deadline=None)
@given(numbers=st.lists(st.integers(0, 30), max_size=40), batch=st.integers(1, 9))
def test_by_column_and_one_by_one_are_the_same(numbers: list[int], batch: int) -> None:
    """However small the batches are in which samples are built."""
    records = [mixed(number) for number in numbers]
    made = pipeline()
    made.together = sys.maxsize
    expected = told(made, block_of(records))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipelines, "BATCH_ROWS", 2 * batch)
        for together in (1, 3, sys.maxsize):
            made.together = together
            assert told(made, block_of(records)) == expected
    assert all(origin in (own, group("p0")) for _, own, origin in expected)


@pytest.mark.parametrize("before", [0, BATCH_ROWS - 2, BATCH_ROWS - 1])
@pytest.mark.parametrize("together", [1, sys.maxsize])
def test_a_record_that_reaches_over_batches_is_of_one_origin(before: int, together: int) -> None:
    mapping = {
        "candidates": {"each": "answers", "conversation": "talk"},
        "verdict": {"label": "ok", "good": [True], "bad": [False]},
    }
    single = [{"answers": [{"talk": talk(f"s{number}", "a"), "ok": True}]} for number in range(before)]
    answers = [{"talk": talk(f"q{number}", f"a{number}"), "ok": True} for number in range(2 * BATCH_ROWS)]
    made = pipeline(mapping)
    made.together = together
    done = made.convert(block_of([*single, {"answers": answers}, *single[:1]]))
    assert len(done.batches) >= 2
    origins = [origin for batch in done.batches for origin in batch.column("origin").to_pylist()]
    assert origins[:before] == [group(f"s{number}") for number in range(before)]
    assert origins[before : before + len(answers)] == [group("q0")] * len(answers)
    assert origins[before + len(answers) :] == [group("s0")] * bool(before)


def test_pairs_reach_over_batches_of_records_read_by_column() -> None:
    """Plain records of one shape between records that are looked at one by one."""
    plain = [{"prompt": f"s{number}", "response": "a", "label": True} for number in range(2 * BATCH_ROWS)]
    records: list[Any] = [one for number, single in enumerate(plain) for one in (single, mixed(8 + 9 * number))]
    found = told(pipeline(), block_of(records))
    assert len(found) == 3 * len(plain)
    assert [origin for _, _, origin in found] == [
        origin for number in range(len(plain)) for origin in (group(f"s{number}"), group("p0"), group("p0"))
    ]


# --- records that belong together ---


def gathering(
    mapping: dict[str, Any], records: list[Any], joined: list[Any] | None = None, files: int = 1
) -> list[tuple[str, str, str]]:
    """What rows come to that are spread over some files."""
    made = pipeline(mapping)
    gather = made.detector.formats[0].format.gathers()
    assert gather is not None
    own = [(f"{number}.jsonl", [block_of(records[number::files])]) for number in range(files)]
    others = [("joined.jsonl", [block_of(joined)])] if joined else []
    return told(made, *gathered(own, gather, joined=others))


SESSION: dict[str, Any] = {
    "group_by": "session",
    "order_by": "at",
    "prompt": "q",
    "candidates": {"answer": "a"},
    "verdict": {"label": "ok", "good": [True], "bad": [False]},
}


def asked(session: Any, at: int) -> dict[str, Any]:
    return {"session": session, "at": at, "q": f"q{session}{at}", "a": f"a{session}{at}", "ok": at % 2 == 0}


@pytest.mark.parametrize("files", [1, 2])
def test_rows_of_one_session_are_of_one_origin(files: int) -> None:
    rows = [asked(session, at) for at in (1, 0, 2) for session in "xy"]
    found = gathering(SESSION, [*rows, asked(None, 0), asked(None, 1)], files=files)
    assert {answer: origin for answer, _, origin in found} == {
        **{f"a{session}{at}": group(f"q{session}0") for session in "xy" for at in range(3)},
        **{f"aNone{at}": group(f"qNone{at}") for at in range(2)},  # a row without a session stands alone
    }
    assert all(own == group(answer.replace("a", "q", 1)) for answer, own, _ in found)


def test_a_row_that_gives_nothing_names_nobody() -> None:
    rows = [{**asked("x", 0), "ok": None}, asked("x", 1), asked("x", 2)]
    assert {origin for _, _, origin in gathering(SESSION, rows)} == {group("qx1")}


def test_many_groups_of_one_block_keep_all_their_samples() -> None:
    """Among them a group that is larger than a batch."""
    rows = [asked("x", at) for at in range(BATCH_ROWS + 10)] + [
        asked(f"y{session}", at) for session in range(BATCH_ROWS) for at in (0, 1)
    ]
    found = gathering(SESSION, rows)
    assert [answer for answer, _, _ in found] == [f"a{row['session']}{row['at']}" for row in rows]
    assert [origin for _, _, origin in found] == [group(f"q{row['session']}0") for row in rows]


def test_turns_of_one_dialogue_over_rows() -> None:
    mapping = {
        "group_by": "talk",
        "order_by": "at",
        "chat": {"content": "text"},
        "candidates": {"each_turn": "."},
        "verdict": {"label": "thumb", "good": ["up"], "bad": ["down"]},
    }
    rows = [
        {"talk": "t", "at": at, "role": one["role"], "text": one["content"], "thumb": (None, "up")[at % 2]}
        for at, one in enumerate(talk("q", "a", "r", "b"))
    ]
    assert gathering(mapping, rows) == [("a", group("q"), group("q")), ("b", group("q"), group("q"))]


def test_a_tree_over_rows_is_of_one_origin_and_another_tree_of_another() -> None:
    mapping = {
        "tree": {"id": "id", "parent": "parent"},
        "chat": {"content": "text"},
        "verdict": {"rank": "rank", "best": "low"},
    }
    rows = [
        {"id": f"{tree}", "parent": None, "role": "prompter", "text": f"q{tree}"}
        if number == 0
        else {"id": f"{tree}{number}", "parent": tree, "role": "assistant", "text": f"{tree}{number}", "rank": number}
        for number in range(3)
        for tree in "xy"
    ]
    found = gathering(mapping, rows)
    assert sorted(found) == [(f"{tree}{number}", *[group(f"q{tree}")] * 2) for tree in "xy" for number in (1, 2)]


def test_rows_joined_to_others_are_connected_by_their_group_alone() -> None:
    mapping = {
        "join": {"file": "joined.jsonl", "on": {"here": "id", "there": "id"}, "as": "votes", "take": "all"},
        "prompt": "q",
        "candidates": {"answer": "a"},
        "verdict": {"label": "votes[0].ok", "good": [True], "bad": [False]},
    }
    rows = [{"id": 1, "q": "p", "a": "a"}, {"id": 2, "q": "q", "a": "b"}, {"id": 2, "q": "r", "a": "c"}]
    found = gathering(mapping, rows, [{"id": 1, "ok": True}, {"id": 2, "ok": False}])
    assert found == [("a", group("p"), group("p")), ("b", group("q"), group("q")), ("c", group("r"), group("r"))]
    grouped = gathering({**mapping, "group_by": "id"}, rows, [{"id": 1, "ok": True}, {"id": 2, "ok": False}])
    assert [origin for _, _, origin in grouped] == [group("p"), group("q"), group("q")]
