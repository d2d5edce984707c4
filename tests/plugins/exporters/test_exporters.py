"""What exporters write is what their trainers read: the layouts, and the traps that each trainer has."""

from __future__ import annotations

import ast
import gzip
import json
import lzma
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from ktoformats import SCHEMA, ConfigError, Exporter, KTODataConfig, Registry, Written
from ktoformats.convert.assemble import assemble
from ktoformats.testing.corpus import block_of
from ktoformats.train.writing import write_with
from ktoformats_plugins.exporters._jsonl import CHUNK

if TYPE_CHECKING:
    from pathlib import Path

CALL = {"name": "weather", "arguments": {"city": "Cairo", "days": 2}}
TOOLS = [{"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}]

Batch = Callable[..., pa.RecordBatch]
Write = Callable[..., "Path"]
TRAINERS: Final = ("trl", "huggingface", "llamafactory", "axolotl", "ms-swift", "openrlhf", "halos")


def plain(number: int = 0, **more: Any) -> dict[str, Any]:
    """One prompt and its answer."""
    return {"prompt": f"question {number}", "response": f"answer {number}", "label": number % 2 == 0, **more}


def dialogue(**more: Any) -> dict[str, Any]:
    """Two questions, the second of which is answered."""
    turns = [("user", "Hello!"), ("assistant", "Hi."), ("user", "Name a sea.")]
    messages = [{"role": role, "content": text} for role, text in turns]
    return {"messages": [*messages, {"role": "assistant", "content": "The Red Sea."}], "label": True, **more}


def tool_use(**more: Any) -> dict[str, Any]:
    """A tool was called, and the answer is made of what it gave."""
    messages = [
        {"role": "user", "content": "Is it hot in Cairo?"},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]},
        {"role": "tool", "content": "41 degrees"},
        {"role": "assistant", "content": "Yes, 41 degrees."},
    ]
    return {"messages": messages, "tools": TOOLS, "label": True, **more}


def calling(**more: Any) -> dict[str, Any]:
    """The answer is a call."""
    messages = [
        {"role": "user", "content": "Is it hot in Cairo?"},
        {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": CALL}]},
    ]
    return {"messages": messages, "tools": TOOLS, "label": False, **more}


@pytest.fixture(scope="session")
def batch_of() -> Batch:
    """Samples of records, as the pipeline makes them."""
    pipeline = assemble(KTODataConfig(min_samples_per_label=0), Registry()).pipeline

    def make(*records: dict[str, Any]) -> pa.RecordBatch:
        done = pipeline.convert(block_of(list(records)))
        assert not done.rejects, done.rejects
        return pa.Table.from_batches(done.batches).combine_chunks().to_batches()[0]

    return make


@pytest.fixture
def write(tmp_path: Path, batch_of: Batch) -> Write:
    """Write records with an exporter, and return the file or folder."""

    def call(exporter: Exporter, *records: dict[str, Any], name: str = "train") -> Path:
        path = tmp_path / f"{name}{exporter.ending}"
        write_with(exporter, "own", [batch_of(*records)], path)
        return path

    return call


def make(name: str, **options: Any) -> Exporter:
    made = Registry().make("exporter", name, options, {})
    assert isinstance(made, Exporter)
    return made


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def refused(exporter: Exporter, batch: pa.RecordBatch) -> set[str]:
    """The reasons for which it refuses any of the samples."""
    return {reason for reason, mask in exporter.refuses(batch) if mask.any()}


@pytest.fixture(autouse=True)
def _quiet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    datasets.disable_progress_bars()


def loaded(path: Path) -> Any:
    """What `datasets` makes of a file of JSON Lines, or of a folder."""
    if path.is_dir():
        return datasets.load_dataset(str(path), split="train")
    return datasets.load_dataset("json", data_files=str(path), split="train")


def told(**more: Any) -> Written:
    return Written("train.jsonl", {}, 30, 60, 2.0, 1.0)._replace(**more)


def features(path: Path) -> dict[str, Any]:
    """Column to type, as `datasets` finds it."""
    return {name: str(kind) for name, kind in loaded(path).features.items()}


TEXTS: Final = [
    "  spaces around\t",
    "\u2028 \u0085 \x7f",
    "مُحَمَّد ﷺ 👍🏽",
    '"quoted" \\ and <|im_end|>',
    "نعم",
]


@pytest.mark.parametrize("name", TRAINERS)
def test_texts_are_written_byte_by_byte_and_labels_as_the_trainer_reads_them(name: str, write: Write) -> None:
    records = [plain(number, response=text) for number, text in enumerate(TEXTS)]
    exporter = make(name)
    path = write(exporter, *records)
    rows = json.loads(path.read_text(encoding="utf-8")) if name == "halos" else list(loaded(path))
    assert [find(row, TEXTS) for row in rows] == TEXTS
    assert [row["label"] for row in rows] == [True, False, True, False, True]
    assert {type(row["label"]) for row in rows} == {int if name == "halos" else bool}


def find(row: Any, wanted: list[str]) -> str | None:
    """The one of some texts that a row holds."""
    if isinstance(row, str):
        return row if row in wanted else None
    inner = row.values() if isinstance(row, dict) else row if isinstance(row, list) else ()
    return next((found for one in inner if (found := find(one, wanted)) is not None), None)


@pytest.mark.parametrize("name", TRAINERS)
def test_only_the_columns_that_the_trainer_wants_are_written(name: str, write: Write) -> None:
    """Others make it fail or, worse, train on something else."""
    wanted = {
        "trl": {"prompt", "completion", "label"},
        "huggingface": {"prompt", "completion", "label"},
        "llamafactory": {"messages", "label"},
        "axolotl": {"prompt", "completion", "label"},
        "ms-swift": {"messages", "label"},
        "openrlhf": {"input", "output", "label"},
        "halos": {"prompt_id", "prompt", "output", "label", "reward", "type"},
    }
    path = write(make(name), plain(0), plain(1))
    rows = json.loads(path.read_text()) if name == "halos" else list(loaded(path))
    assert {frozenset(row) for row in rows} == {frozenset(wanted[name])}


@pytest.mark.parametrize("name", TRAINERS)
def test_nothing_that_is_written_is_null_or_has_another_type_in_another_row(name: str, write: Write) -> None:
    records = [plain(0), plain(1, system="Be brief."), *([dialogue()] if name != "axolotl" else [])]
    path = write(make(name), *records)
    rows = json.loads(path.read_text()) if name == "halos" else list(loaded(path))
    assert "None" not in repr(rows)
    for row in rows:
        assert {name: type(value) for name, value in row.items()} == {k: type(v) for k, v in rows[0].items()}
        for one in (message for value in row.values() if isinstance(value, list) for message in value):
            assert set(one) == {"role", "content"}
            assert one["role"] in {"system", "user", "assistant"}


@pytest.mark.parametrize("name", TRAINERS)
def test_a_developer_is_a_system(name: str, write: Write) -> None:
    record = {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": "Name a sea."},
            {"role": "assistant", "content": "The Red Sea."},
        ],
        "label": True,
    }
    path = write(make(name), record, plain(1))
    files = [path] if path.is_file() else [one for one in path.iterdir() if one.suffix in {".jsonl", ".parquet"}]
    assert all(b"Be brief." in one.read_bytes() and b"developer" not in one.read_bytes() for one in files)


# TRL


def test_trl_takes_texts_where_texts_are_all(write: Write) -> None:
    rows = lines(write(make("trl"), plain(0), plain(1)))
    assert rows[0] == {"prompt": "question 0", "completion": "answer 0", "label": True}


@pytest.mark.parametrize("name", ["trl", "huggingface"])
def test_trl_rows_are_of_one_style_and_have_tools_everywhere_or_nowhere(name: str, write: Write) -> None:
    rows = list(loaded(write(make(name), plain(0), tool_use(), plain(1))))
    assert {(type(row["prompt"]), type(row["completion"]), type(row["tools"])) for row in rows} == {(list, list, str)}
    assert json.loads(rows[0]["tools"]) == []
    assert json.loads(rows[1]["tools"]) == TOOLS
    assert all("chat_template_kwargs" not in row for row in rows)
    assert [turn["role"] for turn in rows[1]["prompt"]] == ["user", "assistant", "tool"]
    [call] = rows[1]["prompt"][1]["tool_calls"]
    assert json.loads(call["function"]["arguments"]) == CALL["arguments"], "text, so that every row has one type"


def test_trl_refuses_an_empty_completion(batch_of: Batch) -> None:
    """It trains on nothing but the end token, without a word."""
    assert refused(make("trl", style="standard"), batch_of(plain(0), calling())) == {"empty_response"}
    assert refused(make("trl"), batch_of(plain(0), calling())) == set(), "as messages it is no empty one"


def test_what_first_appears_behind_the_first_10_mib_is_told(write: Write) -> None:
    """`datasets` settles the columns by them, and fails at the message that has one more field."""
    long = [plain(number, response="x" * 60_000, system="s") for number in range(CHUNK // 60_000 + 2)]
    with pytest.raises(ConfigError, match=r"first stands behind the first 10 MiB.*--to huggingface"):
        write(make("trl", tools=False), *long, calling())
    path = write(make("trl", tools=False), calling(), *long, name="early")
    assert len(loaded(path)) == len(long) + 1
    path = write(make("huggingface"), *long, calling(), name="typed")
    assert loaded(path)[-1]["completion"][0]["tool_calls"]


DATES: Final = ["2024-01-02", "2024-01-02 10:11", "2024-01-02T10:11:12Z", "2024-01-02T10:11+02:00"]


@pytest.mark.parametrize("name", ["trl", "llamafactory", "axolotl", "ms-swift", "openrlhf"])
def test_answers_that_are_all_dates_are_told(name: str, write: Write, tmp_path: Path) -> None:
    """`datasets` makes timestamps of them; where questions stand in the same column, if they are dates, too."""
    records = [plain(number, prompt=text, response=text) for number, text in enumerate(DATES)]
    with pytest.raises(
        ConfigError, match=r"looks like a date, and `datasets` would read timestamps.*--to huggingface"
    ):
        write(make(name), *records)
    assert loaded(write(make(name), *records, plain(9), name="mixed"))
    bare = tmp_path / "bare.jsonl"
    bare.write_text("".join(json.dumps({"completion": text}) + "\n" for text in DATES))
    assert "timestamp" in features(bare)["completion"], "the trap is still there"


def test_typed_columns_hold_dates(write: Write) -> None:
    path = write(make("huggingface"), *(plain(number, response=text) for number, text in enumerate(DATES)))
    assert loaded(path)["completion"][:] == DATES
    assert "string" in features(path)["completion"]


def test_several_files_are_settled_together(batch_of: Batch) -> None:
    batches = [batch_of(plain(0), plain(1)), batch_of(dialogue())]
    settled = make("trl").settled(batches)
    assert (getattr(settled, "style", ""), getattr(settled, "tools", None)) == ("conversational", False)
    with pytest.raises(
        ConfigError, match=r"some messages have tool_calls, tool_call_id|some messages have tool_calls"
    ):
        make("trl").settled([*batches, batch_of(tool_use())])


def test_arguments_of_trl(write: Write) -> None:
    text = make("trl").settings(told(batch_size=8, epochs=3, max_tokens=512, world_size=2))
    call = ast.parse(text).body[0]
    assert isinstance(call, ast.Expr)
    assert isinstance(call.value, ast.Call)
    values = {word.arg: ast.literal_eval(word.value) for word in call.value.keywords}
    assert values == {
        "desirable_weight": 2.0,
        "undesirable_weight": 1.0,
        "per_device_train_batch_size": 8,
        "num_train_epochs": 1,
        "max_length": 512,
        "dataloader_drop_last": True,
    }
    assert "3 epochs stand in the file" in text
    assert "planned for 2 processes" in text
    assert "batch_size" not in make("trl").settings(told())


@pytest.mark.parametrize("file", ["parquet", "arrow"])
def test_tokens_are_written_as_the_trainer_prepares_them(file: str, tmp_path: Path, batch_of: Batch) -> None:
    batch = batch_of(plain(0), plain(1), plain(2))
    for name, ids in {
        "prompt_ids": [[1, 2], [3], [4]],
        "completion_ids": [[5], [6, 7], [8]],
        "KL_completion_ids": [[8], [5], [6, 7]],
    }.items():
        batch = batch.append_column(name, pa.array(ids, pa.list_(pa.int32())))
    exporter = make("trl-tokenized", file=file)
    assert exporter.tokens
    path = tmp_path / f"train{exporter.ending}"
    write_with(exporter, "own", [batch], path)
    rows = datasets.load_dataset(file, data_files=str(path), split="train")
    assert rows.column_names == ["prompt_ids", "completion_ids", "KL_completion_ids", "label"]
    assert rows[1] == {"prompt_ids": [3], "completion_ids": [6, 7], "KL_completion_ids": [5], "label": False}
    assert {str(kind) for name, kind in rows.features.items() if name != "label"} == {"List(Value('int64'))"}
    text = exporter.settings(told(batch_size=4))
    compile(text, "settings", "exec")
    assert "def _prepare_dataset" in text
    assert "per_device_train_batch_size=4" in text


# a folder for the hub


def test_the_card_states_types_counts_and_weights(write: Write) -> None:
    path = write(make("huggingface"), plain(0), plain(1), plain(3), dialogue())
    card = (path / "README.md").read_text(encoding="utf-8")
    head = yaml.safe_load(card.split("---")[1])
    assert [one["name"] for one in head["dataset_info"]["features"]] == ["prompt", "completion", "label"]
    assert head["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "train-00000-of-00001.parquet"}]}
    ]
    assert "2 desirable and 2 undesirable" in card
    assert "`desirable_weight`: 1.0" in card
    described = datasets.load_dataset_builder(str(path)).info.features
    assert described == loaded(path).features, "what the card says is what is there"


def test_a_split_is_called_as_its_folder(write: Write) -> None:
    path = write(make("huggingface"), plain(0), plain(1), name="validation")
    assert list(datasets.load_dataset(str(path))) == ["validation"]


# LLaMA-Factory


def entry_of(path: Path) -> dict[str, Any]:
    [entry] = json.loads((path / "dataset_info.json").read_text()).values()
    assert isinstance(entry, dict)
    return entry


def test_llamafactory_is_told_of_columns_and_tags(write: Write) -> None:
    path = write(make("llamafactory"), plain(0, system="Be brief."), dialogue())
    entry = entry_of(path)
    assert (entry["file_name"], entry["formatting"]) == ("train.jsonl", "sharegpt"), "openai adds a system prompt"
    assert entry["columns"] == {"messages": "messages", "kto_tag": "label"}
    assert entry["tags"] | {"role_tag": "role", "content_tag": "content", "system_tag": "system"} == entry["tags"]
    first, second = lines(path / "train.jsonl")
    assert [turn["role"] for turn in first["messages"]] == ["system", "user", "assistant"]
    assert [turn["role"] for turn in second["messages"]] == ["user", "assistant"] * 2


def test_llamafactory_is_given_tool_calls_as_functions(write: Write) -> None:
    path = write(make("llamafactory"), tool_use(), calling(), plain(1))
    assert entry_of(path)["columns"]["tools"] == "tools"
    used, called, other = lines(path / "train.jsonl")
    assert [turn["role"] for turn in used["messages"]] == ["user", "function_call", "observation", "assistant"]
    assert json.loads(called["messages"][-1]["content"]) == [CALL], "arguments are an object: it encodes them itself"
    assert json.loads(used["tools"]) == TOOLS
    assert other["tools"] == ""


def test_llamafactory_is_given_no_row_that_breaks_all(batch_of: Batch) -> None:
    twice = tool_use()
    twice["messages"].insert(3, {"role": "tool", "content": "It will be 42 tomorrow."})
    both = tool_use()
    both["messages"][1]["content"] = "Let me see."
    assert refused(make("llamafactory"), batch_of(plain(0), dialogue(), tool_use(), calling())) == set()
    assert refused(make("llamafactory"), batch_of(plain(0), twice)) == {"role_order"}
    assert refused(make("llamafactory"), batch_of(plain(0), both)) == {"text_beside_call"}
    bare = make("llamafactory", layout="alpaca")
    assert refused(bare, batch_of(plain(0), plain(1, system="s"))) == set()
    assert refused(bare, batch_of(plain(0), dialogue())) == {"earlier_turns"}
    assert "empty_response" in refused(bare, batch_of(plain(0), calling())), "it would turn the label round"


def test_llamafactory_reads_texts_too(write: Write) -> None:
    path = write(make("llamafactory", layout="alpaca"), plain(0), plain(1, system="Be brief."))
    entry = entry_of(path)
    assert entry["columns"] == {"prompt": "prompt", "response": "completion", "kto_tag": "label", "system": "system"}
    assert lines(path / "train.jsonl")[0] == {
        "prompt": "question 0",
        "completion": "answer 0",
        "label": True,
        "system": "",
    }


def test_lines_for_llamafactory(write: Write) -> None:
    values = yaml.safe_load(make("llamafactory").settings(told(name="data", batch_size=4, epochs=2)))
    assert values == {
        "stage": "kto",
        "dataset_dir": "data",
        "dataset": "kto",
        "kto_chosen_weight": 2.0,
        "kto_rejected_weight": 1.0,
        "per_device_train_batch_size": 4,
        "num_train_epochs": 1,
    }
    assert values["dataset"] in json.loads((write(make("llamafactory"), plain(0)) / "dataset_info.json").read_text())


# axolotl


def test_axolotl_is_given_texts_alone(write: Write, batch_of: Batch) -> None:
    """Lists it writes out as Python would, and of several turns it takes the first."""
    path = write(make("axolotl"), plain(0), plain(1, system="Be brief."))
    assert lines(path / "train.jsonl")[1] == {
        "prompt": "question 1",
        "completion": "answer 1",
        "label": False,
        "system": "Be brief.",
    }
    assert refused(make("axolotl"), batch_of(plain(0), dialogue())) == {"earlier_turns"}
    assert {"tools", "empty_response"} <= refused(make("axolotl"), batch_of(plain(0), calling()))


def test_lines_for_axolotl() -> None:
    values = yaml.safe_load(make("axolotl", strategy="llama3.ultra").settings(told(name="data", max_tokens=256)))
    assert values == {
        "rl": "kto",
        "datasets": [{"path": "data/train.jsonl", "split": "train", "type": "llama3.ultra"}],
        "kto_desirable_weight": 2.0,
        "kto_undesirable_weight": 1.0,
        "remove_unused_columns": False,
        "sample_packing": False,
        "sequence_len": 256,
    }


# ms-swift, OpenRLHF, HALOs


def test_ms_swift_is_given_roles_that_it_knows(write: Write, batch_of: Batch) -> None:
    used, other = lines(write(make("ms-swift"), tool_use(), plain(1)))
    assert [turn["role"] for turn in used["messages"]] == ["user", "tool_call", "tool_response", "assistant"]
    assert json.loads(used["messages"][1]["content"]) == CALL
    assert other["tools"] == "[]", "of an empty text it makes a list of one tool"
    assert "tool_call_answer" in refused(make("ms-swift"), batch_of(plain(0), calling())), "it deletes such rows"


@pytest.mark.parametrize("name", ["openrlhf", "halos"])
def test_who_knows_no_tools_is_given_none(name: str, batch_of: Batch) -> None:
    assert "tools" in refused(make(name), batch_of(plain(0), tool_use()))
    assert refused(make(name), batch_of(plain(0), dialogue())) == set()


def test_openrlhf_is_given_what_its_keys_name(write: Write) -> None:
    [row] = lines(write(make("openrlhf"), dialogue()))
    assert [turn["role"] for turn in row["input"]] == ["user", "assistant", "user"]
    assert row["output"] == [{"role": "assistant", "content": "The Red Sea."}]
    text = make("openrlhf").settings(told(batch_size=2))
    for words in ("--input_key input", "--output_key output", "--label_key label", "--apply_chat_template"):
        assert words in text
    assert "--micro_train_batch_size 2" in text


def test_halos_is_given_one_id_a_context(write: Write) -> None:
    """It brings answers together by it: another system message is another context."""
    records = [plain(0), {**plain(0), "response": "another", "label": False}, {**plain(0), "system": "Be brief."}]
    first, second, third = json.loads(write(make("halos"), *records).read_text())
    assert first["prompt_id"] == second["prompt_id"] != third["prompt_id"]
    assert (first["label"], first["reward"], first["type"]) == (1, 1.0, "binary_feedback")
    assert (second["label"], second["reward"]) == (0, -1.0)
    assert third["prompt"][0] == {"role": "system", "content": "Be brief."}


def test_reasoning_beside_the_text_is_not_lost_in_silence(batch_of: Batch) -> None:
    messages = [
        {"role": "user", "content": "q"},
        {"role": "assistant", "content": "a", "reasoning_content": "Because."},
    ]
    batch = batch_of(plain(1), {"messages": messages, "label": True})
    for name in ("llamafactory", "axolotl", "ms-swift", "openrlhf", "halos"):
        assert refused(make(name), batch) == {"reasoning"}
    assert refused(make("trl"), batch) == set()


# compression


@pytest.mark.parametrize("name", ["trl", "jsonl", "ms-swift", "openrlhf"])
def test_compressed_lines_hold_the_same_and_are_the_same_every_time(name: str, write: Write) -> None:
    records = [plain(number) for number in range(50)]
    whole = write(make(name), *records).read_bytes()
    unpack: dict[str, Callable[[bytes], bytes]] = {
        "gzip": gzip.decompress,
        "xz": lzma.decompress,
        "zstd": lambda data: pa.input_stream(pa.BufferReader(data), compression="zstd").read(),
    }
    for compression, read in unpack.items():
        exporter = make(name, compression=compression)
        once = write(exporter, *records).read_bytes()
        assert read(once) == whole
        assert len(once) < len(whole) / 3
        assert write(exporter, *records, name="again").read_bytes() == once
    assert make(name, compression="gzip").ending == ".jsonl.gz"
    assert len(loaded(write(make(name, compression="gzip"), *records))) == 50
    assert len(loaded(write(make(name, compression="xz"), *records))) == 50


def test_no_text_of_a_sample_can_hold_half_a_character() -> None:
    """One such text makes a whole file of JSON Lines unreadable."""
    with pytest.raises(UnicodeEncodeError):
        pa.array(["\ud800"], SCHEMA.field("response").type)


def test_parquet_is_read_with_its_types(write: Write) -> None:
    assert pq.read_schema(write(make("parquet"), plain(0))).equals(SCHEMA)
