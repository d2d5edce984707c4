"""Records decided by column come to exactly what they come to one by one, whatever is wrong with some of them."""

from __future__ import annotations

import random
import sys
from typing import TYPE_CHECKING, Any, ClassVar

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import Claim, Fact, Format, Judged, JudgedLayout, KTODataConfig, PluginContractError, Registry, Shape
from ktoformats.convert.assemble import assemble
from ktoformats.convert.detect import Detector, NamedFormat
from ktoformats.read.blocks import Block
from ktoformats_plugins.formats.binary import Binary

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats import Row
    from ktoformats.convert.pipeline import Converted, Pipeline

REGISTRY = Registry()

TEXTS = st.sampled_from(
    ["سؤال", "a", "b", "", " ", "\u200f", " x", "a\nb", '"quoted"', "\\u0061", "x" * 40, "<s>", "é😀"]
)
CELLS = {
    "text": st.sampled_from(["good", "bad", "جيد", "", " ", "neutral", "nonsense", "ممتاز", "٤ من ٥", "10/8", "★★"]),
    "number": st.sampled_from([0, 1, 2, 5, -1, 7]),
    "real": st.sampled_from([0.0, -0.0, 0.25, 0.5, 1.0, 3.5]),
    "boolean": st.booleans(),
    "null": st.none(),
    "list": st.just(["good"]),
}
CELL = st.one_of(*CELLS.values())
RANKS = st.one_of(
    st.permutations([1, 2, 3]),
    st.sampled_from([[1, 1, 2], [0, 1, 2], [1.0, 2.0, 3.0], [1.5, 2, 3], [1, 2], [True, 2, 3]]),
)
SHORT = st.one_of(st.just("a question"), TEXTS)


def turns(content: st.SearchStrategy[Any]) -> st.SearchStrategy[list[dict[str, Any]]]:
    roles: st.SearchStrategy[list[Any]] = st.sampled_from(
        [
            *(["user", "assistant"], ["user", "assistant"] * 2, ["user"], ["assistant"], ["human", "assistant"]),
            *(["system", "user", "assistant"], ["user", "user", "assistant"], [3, "assistant"], []),
        ]
    )
    return roles.flatmap(
        lambda names: st.tuples(*[content] * len(names)).map(
            lambda texts: [
                {"role": role} if text == "absent" else {"role": role, "content": text}
                for role, text in zip(names, texts, strict=True)
            ]
        )
    )


RECORDS = {
    "binary": st.fixed_dictionaries({"prompt": SHORT, "response": TEXTS, "label": CELL}),
    "scores": st.fixed_dictionaries({"prompt": SHORT, "completion": TEXTS, "score": CELL, "rating": CELL}),
    "pairwise": st.fixed_dictionaries({"prompt": SHORT, "chosen": TEXTS, "rejected": TEXTS}),
    "ranking": st.fixed_dictionaries(
        {"prompt": SHORT, "responses": st.lists(TEXTS, min_size=2, max_size=4), "rankings": RANKS}
    ),
    "conversation": st.fixed_dictionaries(
        {"messages": turns(st.one_of(TEXTS, st.none(), st.just("absent"))), "label": CELL}
    ),
    "arabic-rating": st.fixed_dictionaries({"prompt": SHORT, "response": TEXTS, "تقييم": CELL}),
    "others": st.sampled_from([{}, [], 3, {"prompt": "p"}, {"prompt": ["x"], "response": "a", "label": 1}]),
}
OPTIONS: list[dict[str, Any]] = [
    {},
    {"keep": ["label", "prompt"]},
    {"ranking_strategy": "halves"},
    {"ranking_ties": "allow", "ranking_strategy": "best_rest"},
    {"reasoning": "strip"},
    {"convert_pairwise_to_binary": False},
    {"pairwise_sampling_strategy": "random"},
    {"min_prompt_length": 0, "min_response_length": 0},
    {"scales": {"label": "rating"}},
    {"verdict_conflict": "first"},
]


def pipeline(**config: Any) -> Pipeline:
    return assemble(KTODataConfig(**config), REGISTRY).pipeline


def block_of(lines: list[bytes]) -> Block:
    return Block("f.jsonl", list(range(1, len(lines) + 1)), [0] * len(lines), lines, 0, [], {})


def told(done: Converted) -> tuple[list[Any], ...]:
    rows = [row for batch in done.batches for row in batch.to_pylist()]
    return repr(rows).split("}, {"), done.rejects, [account.to_json() for account in done.accounts.values()]


@pytest.mark.parametrize("options", OPTIONS, ids=lambda options: ",".join(options) or "default")
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_by_column_and_one_by_one_are_the_same(options: dict[str, Any], data: st.DataObject) -> None:
    records = data.draw(st.lists(st.one_of(*RECORDS.values()), min_size=1, max_size=40))
    lines = [orjson.dumps(record) for record in records]
    made = pipeline(**options)
    made.together = sys.maxsize
    expected = told(made.convert(block_of(lines)))
    made.together = 1
    assert told(made.convert(block_of(lines))) == expected


@pytest.mark.parametrize("kind", [kind for kind in RECORDS if kind != "others"])
def test_plain_records_are_decided_by_column(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or the test above compares one road with itself."""
    plain: dict[str, Any] = {
        "binary": {"prompt": "q", "response": "a", "label": "good"},
        "scores": {"prompt": "q", "completion": "a", "score": 0.5, "rating": None},
        "pairwise": {"prompt": "q", "chosen": "a", "rejected": "b"},
        "ranking": {"prompt": "q", "responses": ["a", "b", "c"], "rankings": [2, 3, 1]},
        "conversation": {
            "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
            "label": True,
        },
        "arabic-rating": {"prompt": "q", "response": "a", "تقييم": "ممتاز"},
    }
    made = pipeline()
    made.together = 1
    asked: list[Any] = []
    monkeypatch.setattr("ktoformats.convert.pipeline.decide", lambda *_: asked.append(1))
    done = made.convert(block_of([orjson.dumps(plain[kind])] * 3))
    assert not asked
    [account] = done.accounts.values()
    assert (account.used, account.samples) == (3, 6 if kind in ("pairwise", "ranking") else 3)


def test_samples_stay_in_source_order_among_many_shapes() -> None:
    chance = random.Random(1)
    made = pipeline()
    records: list[Any] = [
        {"prompt": f"q{number}", "response": "a", "label": True}
        if chance.random() < 0.5
        else {"prompt": f"q{number}", "chosen": "a", "rejected": "b"}
        for number in range(400)
    ]
    records[7]["prompt"] = " begins with a blank"
    done = made.convert(block_of([orjson.dumps(record) for record in records]))
    lines = [line for batch in done.batches for line in batch.column("line").to_pylist()]
    labels = [label for batch in done.batches for label in batch.column("label").to_pylist()]
    assert lines == sorted(lines)
    assert set(lines) == set(range(1, 401))
    assert [labels[at] for at, line in enumerate(lines) if lines.count(line) == 2][:2] == ["good", "bad"]


class _Refined(Binary):
    """Overrides what its parent's layout speaks of."""

    def facts(self, row: Row) -> Iterator[Fact]:
        for fact in super().facts(row):
            assert isinstance(fact, Judged)
            yield fact._replace(response="another")


class _Wrong(Format):
    reads = frozenset({"prompt", "response", "label"})
    said: ClassVar[Any] = None

    def layout(self, shape: Shape) -> Any:
        if self.said == "raise":
            raise KeyError("prompt")
        return self.said

    def facts(self, row: Row) -> Iterator[Fact]:
        yield Judged(row.context(), row.response(), row.get("label"), "label")


def with_format(one: Format) -> Pipeline:
    made = pipeline()
    made.detector = Detector([NamedFormat("own", one)], made.columns)
    made.together = 1
    return made


RECORD = orjson.dumps({"prompt": "q", "response": "a", "label": "good"})


def test_a_layout_speaks_only_for_the_facts_of_its_own_class() -> None:
    [batch] = with_format(_Refined()).convert(block_of([RECORD])).batches
    assert batch.column("response").to_pylist() == ["another"]


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("raise", "layout failed (KeyError"),
        ("prompt", "layout returned 'prompt'"),
        (JudgedLayout("question", "response", "label"), "return None for such a shape"),
    ],
)
def test_a_layout_that_cannot_be_is_the_plugins_fault(
    said: Any, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Wrong, "said", said)
    with pytest.raises(PluginContractError, match="format 'own'") as raised:
        with_format(_Wrong()).convert(block_of([RECORD]))
    assert message in str(raised.value)


def test_a_format_without_a_layout_is_read_record_by_record() -> None:
    assert Format.layout(Binary(), Shape({}, {}, pipeline().columns)) is None
    [batch] = with_format(_Wrong()).convert(block_of([RECORD])).batches
    assert batch.column("label").to_pylist() == ["good"]


def test_a_claim_is_asked_once_for_each_shape() -> None:
    asked: list[str] = []

    class Counting(_Wrong):
        def claim(self, shape: Shape) -> Claim:
            asked.append(",".join(shape.kinds))
            return super().claim(shape)

    made = with_format(Counting())
    made.detector = Detector([NamedFormat("own", Counting()), NamedFormat("other", _Wrong())], made.columns)
    made.convert(block_of([orjson.dumps({key: 1}) for key in "xxxyyyxy"]))
    assert asked == ["x", "y"]


MAPPINGS: dict[str, dict[str, Any]] = {
    "binary": {
        "prompt": "prompt",
        "candidates": {"answer": "response"},
        "verdict": {"label": "label", "scale": "specification"},
    },
    "values": {
        "prompt": "prompt",
        "candidates": {"answer": "response"},
        "verdict": {"label": "label", "good": ["good", 1, True], "bad": ["bad", 0]},
    },
    "pairwise": {
        "prompt": "prompt",
        "candidates": {"one": "chosen", "two": "rejected"},
        "verdict": {"good": "one", "bad": "two"},
    },
    "ranking": {
        "prompt": "prompt",
        "candidates": {"each": "responses", "text": "."},
        "verdict": {"rank": "$.rankings[#]", "best": "low"},
    },
    "conversation": {
        "candidates": {"answer": {"conversation": "messages"}},
        "verdict": {"label": "label", "scale": "specification"},
    },
}


@pytest.mark.parametrize("name", MAPPINGS)
@pytest.mark.parametrize(
    "policy", [{}, {"same_text": "keep"}, {"empty": "error"}, {"unknown_value": "skip"}], ids=str
)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_mappings_are_read_by_column_and_one_by_one_alike(
    name: str, policy: dict[str, Any], data: st.DataObject
) -> None:
    kind = "binary" if name == "values" else name
    lines = [orjson.dumps(record) for record in data.draw(st.lists(RECORDS[kind], min_size=1, max_size=20))]
    made = pipeline(formats=[{"mapping": {**MAPPINGS[name], "policy": policy}}])
    made.together = sys.maxsize
    expected = told(made.convert(block_of(lines)))
    made.together = 1
    assert told(made.convert(block_of(lines))) == expected


def test_a_scale_that_fails_is_told_as_the_formats_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(cell: Any) -> str:
        raise ZeroDivisionError(cell)

    monkeypatch.setattr(_Wrong, "said", JudgedLayout("prompt", "response", "label", failing))
    [batch] = with_format(_Wrong()).convert(block_of([RECORD])).batches
    assert batch.column("label").to_pylist() == ["good"]  # as its `facts` say
    monkeypatch.setattr(_Wrong, "said", JudgedLayout("prompt", "response", "label", "nobody"))
    [batch] = with_format(_Wrong()).convert(block_of([RECORD])).batches
    assert batch.column("label").to_pylist() == ["good"]
