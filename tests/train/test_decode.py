"""Samples from Arrow's buffers are those that Arrow's own conversion gives, from any table and in any process."""

from __future__ import annotations

import copy
import multiprocessing
import random
import struct
from multiprocessing.reduction import ForkingPickler
from typing import TYPE_CHECKING, Any

import numpy as np
import orjson
import pyarrow as pa
import pytest
from torch.utils.data import DataLoader

from ktoformats import SAMPLE_KEYS, SCHEMA, to_samples
from ktoformats.store import view as views
from ktoformats.store.samples import Samples
from ktoformats.train import decode
from ktoformats.train.dataset import KTODataset
from ktoformats.train.decode import Decoder, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.store.view import View

ALWAYS = ("role", "content")
TEXTS = (
    "",
    "plain",
    "نص عربي قصير",
    'عربي and English\n\t"quoted"',
    "𝒳🧪👩‍🔬",
    "é",
    "\u200f\u2068",
    "x" * 700,
    "ة" * 700,
)


def message(chance: random.Random) -> dict[str, str]:
    made = dict.fromkeys(("role", "content", "reasoning", "tool_calls", "tool_call_id", "name"), "")
    made["role"] = chance.choice(["user", "assistant", "tool"])
    made["content"] = chance.choice(TEXTS)
    if chance.random() < 0.3:
        made |= {"tool_calls": '[{"function":{"name":"f","arguments":"{}"}}]', "reasoning": chance.choice(TEXTS)}
    if chance.random() < 0.2:
        made |= {"tool_call_id": f"call{chance.random()}", "name": "f"}
    return made


def row(chance: random.Random, number: int) -> dict[str, Any]:
    made: dict[str, Any] = {name: chance.choice(TEXTS) for name in SCHEMA.names}
    made |= {name: chance.choice((0.0, -0.0, 1.0, chance.random())) for name in ("response_quality", "utility_score")}
    made |= {
        "id": f"{chance.getrandbits(128):032x}",
        "group": f"{number:016x}",
        "pair": "",
        "origin": "",
        "line": number,
        "weight": 1.0,
    }
    made |= {"label": chance.choice(("good", "bad")), "method": "kto", "source": f"/folder/{number % 3}.jsonl"}
    made |= {"position": chance.choice((None, 0.5)), "rank": None}
    made["kept"] = chance.choice(("", '{"model":"m","votes":3,"none":null,"list":[1,"ع"]}', '{"a":"ب"}'))
    made["conversation"] = [message(chance) for _ in range(chance.choice((0, 0, 1, 4)))]
    return made


def table(rows: int, *, seed: int = 1, **fixed: Any) -> pa.Table:
    chance = random.Random(seed)
    return pa.Table.from_pylist([row(chance, number) | fixed for number in range(rows)], SCHEMA)


def by_arrow(part: pa.Table | pa.RecordBatch) -> list[dict[str, Any]]:
    """The straightforward road."""
    samples = [{name: values[name] for name in SAMPLE_KEYS} for values in part.to_pylist()]
    for sample in samples:
        sample["conversation"] = [
            {key: text for key, text in turn.items() if text or key in ALWAYS} for turn in sample["conversation"]
        ]
        kept = orjson.loads(sample["kept"] or "{}").items()
        sample["kept"] = {
            name: "" if value is None else value if isinstance(value, str) else orjson.dumps(value).decode()
            for name, value in kept
        }
    return samples


def exact(samples: list[dict[str, Any]]) -> list[Any]:
    """All that can differ: the keys' order, types, the bits of numbers."""
    return [
        [
            (key, type(value), struct.pack("d", value) if isinstance(value, float) else value)
            for key, value in one.items()
        ]
        for one in (
            {**sample, "conversation": [list(turn.items()) for turn in sample["conversation"]]} for sample in samples
        )
    ]


def in_chunks(made: pa.Table, size: int) -> pa.Table:
    """Chunks of their own buffers, empty ones among them, as of a file written batch by batch."""
    parts = [
        pa.Table.from_batches(part.to_batches()).combine_chunks()
        for part in (made.slice(at, size) for at in range(0, len(made), size))
    ]
    return pa.concat_tables([made.slice(0, 0), *parts, made.slice(0, 0)])


def from_file(made: pa.Table, path: Any) -> pa.Table:
    with pa.ipc.new_file(str(path), made.schema) as writer:
        writer.write_table(made, max_chunksize=70)
    return pa.ipc.open_file(pa.memory_map(str(path), "r")).read_all()


SHAPES: dict[str, Callable[[pa.Table], pa.Table]] = {
    "whole": lambda made: made,
    "slice": lambda made: made.slice(37, 211),
    "slice of a slice": lambda made: made.slice(30).slice(9, 5),
    "one row": lambda made: made.slice(299, 1),
    "no row": lambda made: made.slice(5, 0),
    "chunks": lambda made: in_chunks(made, 64),
    "slice over chunks": lambda made: in_chunks(made, 64).slice(50, 100),
    "chunks of one row": lambda made: in_chunks(made.slice(0, 20), 1),
    "taken": lambda made: made.take(pa.array([7, 7, 299, 0])),
    "few values": lambda made: pa.concat_tables([made.slice(0, 3)] * 100).combine_chunks(),
    "conversations only": lambda made: made.filter(pa.compute.list_value_length(made["conversation"]).to_numpy() > 0),
}


@pytest.fixture(params=[1, 1024], ids=["looked through", "small"])
def worth(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small tables are read both ways."""
    monkeypatch.setattr(decode, "_WORTH", request.param)


@pytest.mark.usefixtures("worth")
@pytest.mark.parametrize("shape", SHAPES)
def test_samples_are_those_of_arrow(shape: str) -> None:
    part = SHAPES[shape](table(300))
    expected = exact(by_arrow(part))
    rows = range(len(part))
    assert exact(Decoder(part).samples(rows)) == expected
    assert exact(list(to_samples(part))) == expected
    mixed = random.Random(2).choices(rows, k=90) if rows else []
    assert exact(Decoder(part).samples(mixed)) == [expected[one] for one in mixed]
    assert exact([sample for batch in part.to_batches() for sample in to_samples(batch)]) == expected


@pytest.mark.usefixtures("worth")
def test_a_memory_mapped_file_gives_the_same(tmp_path: Any) -> None:
    made = from_file(table(300), tmp_path / "samples.arrow")
    assert made["id"].num_chunks == 5
    assert exact(Decoder(made).samples(range(300))) == exact(by_arrow(made))


@pytest.mark.usefixtures("worth")
def test_many_values_that_look_like_few_at_first() -> None:
    """A column whose first rows are alike, and of which the later ones are not."""
    made = table(900)
    for name in ("source", "system", "utility_score"):
        late = [made[name][0].as_py()] * 400 + [
            made["line" if name == "utility_score" else "id"][at].as_py() for at in range(500)
        ]
        made = made.set_column(
            made.schema.get_field_index(name), made.schema.field(name), pa.array(late, made.schema.field(name).type)
        )
    assert exact(Decoder(made).samples(range(900))) == exact(by_arrow(made))


def test_columns_of_few_values_that_have_many_combinations() -> None:
    """Each has few values; together they have more than codes of one byte can tell."""
    made = table(2000)
    for number, name in enumerate(("system", "tools", "reasoning", "cell", "method", "source")):
        values = [f"{(row * 7919 >> number) % 30}" for row in range(2000)]
        made = made.set_column(
            made.schema.get_field_index(name), made.schema.field(name), pa.array(values, made.schema.field(name).type)
        )
    assert exact(Decoder(made).samples(range(2000))) == exact(by_arrow(made))


@pytest.mark.usefixtures("worth")
@pytest.mark.parametrize("name", ["system", "utility_score", "line"])
def test_null_slots_are_none(name: str) -> None:
    """The schema allows none; a table that has them all the same is not read past its bitmap."""
    made = table(40)
    values = [None if at % 3 else value for at, value in enumerate(made[name].to_pylist())]
    column = pa.array(values, made.schema.field(name).type)
    made = made.set_column(made.schema.get_field_index(name), pa.field(name, column.type), column).slice(5, 30)
    assert exact(Decoder(made).samples(range(30))) == exact(by_arrow(made))


@pytest.mark.usefixtures("worth")
def test_null_texts_within_messages_are_left_out_as_empty_ones_are() -> None:
    made = table(40)
    turns = [[turn | {"name": None, "reasoning": None} for turn in row] for row in made["conversation"].to_pylist()]
    at = made.schema.get_field_index("conversation")
    made = made.set_column(at, made.schema.field(at), pa.array(turns, made.schema.field(at).type)).slice(3)
    assert exact(Decoder(made).samples(range(37))) == exact(by_arrow(made))


def test_other_text_types_are_read_by_arrow() -> None:
    made = table(40)
    for name in ("source", "label"):
        made = made.set_column(
            made.schema.get_field_index(name), name, made[name].combine_chunks().dictionary_encode()
        )
    assert exact(Decoder(made).samples(range(40))) == exact(by_arrow(made))


@pytest.mark.usefixtures("worth")
def test_no_sample_shares_what_can_be_changed() -> None:
    decoder = Decoder(table(50, system="s"))
    before = exact(decoder.samples(range(50)))
    for sample in decoder.samples(range(50)):
        for turn in sample["conversation"]:
            turn["content"] = "changed"
        sample["conversation"].append({})
        sample["kept"]["changed"] = "changed"
        sample["system"] = "changed"
        sample["changed"] = 1
    assert exact(decoder.samples(range(50))) == before


@pytest.mark.usefixtures("worth")
def test_no_sample_shares_an_empty_conversation() -> None:
    one, two = Decoder(table(2, conversation=[], kept="")).samples(range(2))
    one["conversation"].append({})
    one["kept"]["changed"] = "changed"
    assert (two["conversation"], two["kept"]) == ([], {})


@pytest.mark.usefixtures("worth")
def test_zeros_keep_their_sign() -> None:
    made = pa.concat_tables([table(20, utility_score=zero, weight=zero) for zero in (0.0, -0.0)]).combine_chunks()
    assert exact(Decoder(made).samples(range(40))) == exact(by_arrow(made))


def test_conversations_are_turns() -> None:
    assert {type(sample["conversation"]) for sample in to_samples(table(50))} == {Turns}


def numpy_int(place: int) -> Any:
    """As samplers of numpy give it."""
    return np.int64(place)


def whole(made: pa.Table) -> View:
    return views.whole(Samples.of_table(made))


def view_with_repeats(chunk: int) -> View:
    """Every third row's content again, later; some rows are not chosen."""
    made = table(4500)
    made = pa.concat_tables([made, made.take(pa.array(range(0, 4500, 3)))])
    chosen = np.flatnonzero(np.arange(len(made)) % 7 != 0)
    return views.select(whole(in_chunks(made, chunk)), chosen, "test", "seventh")


def expected_of(view: View) -> list[dict[str, Any]]:
    samples = by_arrow(view.samples.take(view.chosen))
    seen: dict[str, int] = {}
    for sample in samples:
        number = seen[sample["id"]] = seen.get(sample["id"], -1) + 1
        sample["id"] += f"-{number}" if number else ""
    assert max(seen.values()) == 1
    return samples


@pytest.mark.parametrize(("chunk", "chunks"), [(300, 1), (2000, 5), (6000, 3)])
def test_all_roads_of_a_dataset_give_the_same(chunk: int, chunks: int) -> None:
    view = view_with_repeats(chunk)
    made, expected = KTODataset(view), expected_of(view)
    assert made._samples.parts[0].whole()["id"].num_chunks == chunks, "many small chunks become one, large ones stay"
    assert exact(list(made)) == exact(expected)
    places = random.Random(3).choices(range(-len(made), len(made)), k=64)
    wanted = exact([expected[place] for place in places])
    assert exact(made.__getitems__(places)) == wanted
    assert exact([made[place] for place in places]) == wanted
    assert exact([made[place] for place in map(numpy_int, places)]) == wanted
    assert exact(list(made[::-3][5:50])) == exact(expected[::-3][5:50])
    assert exact(list(made.select(places))) == wanted
    for key in SAMPLE_KEYS:
        assert made[key] == [sample[key] for sample in expected]
        assert made[10:20][key] == [sample[key] for sample in expected[10:20]]


def test_a_column_decodes_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    made = KTODataset(whole(table(30)))
    opened: list[tuple[str, ...]] = []
    init = Decoder.__init__

    def seen(self: Decoder, table: Any, names: Any = SAMPLE_KEYS) -> None:
        opened.append(tuple(names))
        init(self, table, names)

    monkeypatch.setattr(Decoder, "__init__", seen)
    assert set(made["label"]) == {"good", "bad"}
    assert opened == [("label",)]


@pytest.mark.parametrize("key", ["fact", "nothing"])
def test_what_no_sample_has_is_no_column(key: str) -> None:
    with pytest.raises(KeyError, match=key):
        KTODataset(whole(table(3)))[key]


def test_slices_share_what_is_open() -> None:
    """Else a loop over slices would open every chunk again for each."""
    made = KTODataset(view_with_repeats(2000))
    assert made[:10]._access is made._access is made.select([1])[0:1]._access


def test_pickling_leaves_out_what_is_open() -> None:
    made = KTODataset(view_with_repeats(2000))
    closed = len(ForkingPickler.dumps(made))
    before = made[5]
    again = copy.deepcopy(made)
    assert exact([again[5]]) == exact([before])
    assert made.__getstate__()["_opened"] is None
    assert (
        len(ForkingPickler.dumps(made))
        <= closed + made._occurrence.rows.nbytes + made._occurrence.numbers.nbytes + 1000
    )


@pytest.mark.parametrize(("method", "opened"), [("fork", False), ("fork", True), ("spawn", True)])
@pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")
def test_workers_get_the_same_samples(method: str, *, opened: bool) -> None:
    view = view_with_repeats(2000)
    made, expected = KTODataset(view).select(range(100)), expected_of(view)[:100]
    if opened:
        made[0]
    context = multiprocessing.get_context(method)
    loader = DataLoader(made, batch_size=7, num_workers=2, multiprocessing_context=context, collate_fn=list)
    assert exact([sample for batch in loader for sample in batch]) == exact(expected)
