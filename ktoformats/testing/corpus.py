"""What plugins are tried on: texts that break careless code, values of the wrong type, samples of every sort."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson
import pyarrow as pa

from ktoformats.config.models import KTODataConfig
from ktoformats.convert.assemble import assemble
from ktoformats.plugin.registry import Registry
from ktoformats.read.blocks import Block
from ktoformats.testing.law import LawBrokenError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.plugin.kinds import Exporter

SURROUND: Final = (
    "\u00a0\t ",
    " e\u0301 \u202eabc\u202c \ufb01 ﷺ مُحَمَّد \u200f <b>&amp;</b> Ä \r\n \u2028" + " long" * 8_000 + "\n\u3000",
)
"""What is put before and after a text to see that it comes out byte by byte: spaces that `strip` removes, a letter
and its accent apart, a ligature, vowel marks, marks of direction, markup, a capital, line ends, more than fits."""
TEXTS: Final = (
    "The Nile.",
    "The Nile.  ",
    "",
    " ",
    "\n\n\t",
    "نهر النيل أطول أنهار العالم.",
    "مُحَمَّدٌ ﷺ قال: «نعم» \u202e!\u202c",
    "ممتاز جداً 👍🏽 رائع",
    "ÐÐ¾ÑÑÐ¸Ñ",
    "no no no no no no no no no no no no no no no no no no no no",
    "def f(x):\n    return x + 1\n\n\nprint(f(2))",
    "e\u0301galite\u0301 \u200b\u200d \ufeff",
    "a" * 5000,
    "كلمة " * 800,
    "x\u2028y\u2029z\x85w",
    "He said \"yes\", then \\n and , ; | \t and 'no'.",
    "=1+1",
    "<script>alert(1)</script>",
    "👩‍👩‍👧‍👦 🇪🇬",
    "1",
    "null",
    "3.14159",
)
"""Answers; empty ones are no samples and stand here for label plugins."""
WRONG: Final[tuple[tuple[str, Any], ...]] = (
    ("null", None),
    ("true", True),
    ("a number", 3.5),
    ("a negative number", -1),
    ("a huge number", 10**18),
    ("an empty text", ""),
    ("a blank text", " \t"),
    ("a long text", "long " * 20_000),
    ("a text with marks of direction", "\u202eabc\u202c \u200f\u2067"),
    ("an empty list", []),
    ("a list of numbers", [1, 2]),
    ("a list of texts", ["a", "b"]),
    ("a list of nulls", [None, None]),
    ("a long list", [0] * 3000),
    ("a list in a list in a list", [[[]]]),
    ("an empty object", {}),
    ("an object", {"unexpected": [True]}),
    ("a message without a role", [{"content": "x"}]),
)
UNREADABLE: Final[tuple[Any, ...]] = (
    "zzqx unheard of",
    "good bad",
    "12345678901",
    "ﷺ",
    "\x00",
    10**400,
    -(10**18),
    float("nan"),
    float("inf"),
    ["good"],
    {"good": True},
    ("good",),
    b"good",
)
"""Cells that no scale can know."""
CELLS: Final[tuple[Any, ...]] = (
    *(True, False, 0, 1, -1, 2, 3, 4, 5, 0.5, 1.0, 100),
    *("good", "bad", "yes", "no", "1", "5", "4/5", "80%", "★★★★☆", "👍", "👎", "جيد", "سيء", "ممتاز", "مقبول", "لا"),
)
"""Cells that some scale knows."""

_LEAVES: Final = 60
_DEPTH: Final = 4


def copied(value: Any) -> Any:
    """A JSON value of its own."""
    if type(value) is dict:
        return {key: copied(one) for key, one in value.items()}
    return [copied(one) for one in value] if type(value) is list else value


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of everything within a JSON value, parents first."""
    if path:
        yield path
    if len(path) < _DEPTH:
        inner = value.items() if type(value) is dict else enumerate(value) if type(value) is list else ()
        for key, one in inner:
            yield from places(one, (*path, key))


def value_at(record: Any, path: tuple[Any, ...]) -> Any:
    """What stands at a path."""
    for key in path:
        record = record[key]
    return record


def with_value(record: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy of a record in which something else stands at a path."""
    made = copied(record)
    value_at(made, path[:-1])[path[-1]] = copied(value)
    return made


def without(record: Any, path: tuple[Any, ...]) -> Any:
    """A copy of a record that lacks what stands at a path."""
    made = copied(record)
    del value_at(made, path[:-1])[path[-1]]
    return made


def damaged(record: Any) -> Iterator[tuple[str, Any]]:
    """What was done to a record, and the record: something missing, or of another type than it was."""
    for path in list(places(record))[:_LEAVES]:
        name = shown(path)
        yield f"{name} is absent", without(record, path)
        for what, value in WRONG:
            yield f"{name} is {what}", with_value(record, path, value)


def shown(path: tuple[Any, ...]) -> str:
    """A path as people write it: `turns[2].content`."""
    text = "".join(f"[{key}]" if type(key) is int else f".{key}" for key in path)
    return text.removeprefix(".")


def texts_in(value: Any) -> Iterator[str]:
    """All texts within a JSON value (or tuples, as some readers give them), keys aside."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for one in value.values() if isinstance(value, dict) else value:
            yield from texts_in(one)


def with_text(value: Any, old: str, new: str) -> Any:
    """A JSON value in which one text is another everywhere."""
    if type(value) is dict:
        return {key: with_text(one, old, new) for key, one in value.items()}
    if type(value) is list:
        return [with_text(one, old, new) for one in value]
    return new if type(value) is str and value == old else value


def block_of(records: list[Any], source: str = "examples.jsonl") -> Block:
    """Records as a reader would hand them on."""
    try:
        raw = [orjson.dumps(record) for record in records]
    except TypeError as error:
        raise LawBrokenError(
            f"a record is not plain JSON ({error}); give objects, lists, texts, numbers, true, false and null"
        ) from error
    return Block(source, list(range(1, len(raw) + 1)), [0] * len(raw), raw, 0, [], {})


@lru_cache(maxsize=1)
def samples() -> pa.RecordBatch:
    """Good and bad samples of all sorts, made by the formats that ship with ktoformats."""
    records: list[dict[str, Any]] = []
    for number, text in enumerate(one for one in TEXTS if one.strip()):
        prompt = f"{text[:50]} ({number})"
        records += [
            {"prompt": prompt, "response": text, "label": ("good", "bad")[number % 2]},
            {"prompt": prompt, "response": f"{text} {number}", "label": ("bad", "good")[number % 2]},
        ]
    for number in range(60):
        records.append({"prompt": f"Count to {number}.", "response": "one " * number + "stop", "label": number % 2})
    records += [
        {"prompt": "q", "response": "a", "system": "s", "label": "good"},
        {
            "prompt": "q2",
            "response": "a",
            "label": "bad",
            "conversation": [{"role": "user", "content": "u"}, {"role": "assistant", "content": "v"}],
        },
        {
            "prompt": "q3",
            "response": {"role": "assistant", "content": "", "tool_calls": [{"name": "f"}]},
            "label": "good",
        },
    ]
    pipeline = assemble(KTODataConfig(min_samples_per_label=0), Registry()).pipeline
    [batch] = pipeline.convert(block_of(records)).batches
    return batch


def turned(labels: pa.Array) -> pa.Array:
    """Good for bad, and bad for good."""
    return pa.array([{"good": "bad", "bad": "good"}[one] for one in labels.to_pylist()])


def with_column(batch: pa.RecordBatch, name: str, column: pa.Array) -> pa.RecordBatch:
    """A batch in which one column is another."""
    arrays = [column if one == name else batch.column(one) for one in batch.schema.names]
    return pa.record_batch(arrays, schema=batch.schema)


class Batches:
    """Batches as an exporter gets them: to be iterated, more than once, and nothing else."""

    def __init__(self, batches: list[pa.RecordBatch]) -> None:
        self._batches = batches

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return iter(self._batches)


def part_in(folder: str, exporter: Exporter) -> Path:
    """The path that an exporter gets: in a folder of its own, and a new folder itself if it writes one."""
    inner = Path(folder, "mine")
    inner.mkdir()
    path = inner / f"out{exporter.ending}"
    if exporter.folder:
        path.mkdir()
    return path


def samples_for(exporter: Exporter) -> pa.RecordBatch:
    """The samples that an exporter does not refuse, with tokens if it asks for them."""
    batch = samples()
    kept = np.ones(len(batch), bool)
    for _, mask in exporter.refuses(batch):
        kept &= ~np.asarray(mask, bool)
    batch = batch.filter(pa.array(kept))
    if not exporter.tokens:
        return batch
    prompts, answers = (
        pa.array([list(text.encode()) for text in batch.column(name).to_pylist()], pa.list_(pa.int32()))
        for name in ("prompt", "response")
    )
    partners = answers.take(pa.array(np.roll(np.arange(len(answers)), 1)))
    for name, column in zip(TOKEN_COLUMNS, (prompts, answers, partners), strict=True):
        batch = batch.append_column(name, column)
    return batch


TOKEN_COLUMNS: Final = ("prompt_ids", "completion_ids", "KL_completion_ids")
"""What an exporter with `tokens` gets besides; here the bytes of the texts stand for their tokens."""


def files_of(path: Path) -> dict[str, bytes]:
    """What an exporter wrote: the bytes of its file, or of each file in its folder, by name."""
    if path.is_file():
        return {path.name: path.read_bytes()}
    files = sorted(one for one in path.rglob("*") if one.is_file())
    return {one.relative_to(path).as_posix(): one.read_bytes() for one in files}
