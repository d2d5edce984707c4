"""Samples and rejected records to look at: a few of each, drawn by seeded hashes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import orjson

from ktoformats.feedback import BAD, GOOD
from ktoformats.page.model import Record
from ktoformats.store.mixing import mix
from ktoformats.store.view import USED

if TYPE_CHECKING:
    from ktoformats.store.numbers import Array
    from ktoformats.store.report import Report
    from ktoformats.store.samples import Samples
    from ktoformats.store.view import View

_COLUMNS: Final = (
    *("prompt", "response", "label", "system", "conversation", "tools", "tool_calls", "reasoning", "format_type"),
    *("response_quality", "utility_score", "source", "line", "kept", "field", "cell", "scale", "flags"),
)
_MOST_TURNS: Final = 12
_MOST_REASONS: Final = 20


def drawn(samples: Samples, rows: Array, count: int, seed: int) -> Array:
    """Some of these rows: those with the lowest seeded hashes, in their own order."""
    if len(rows) <= count:
        return rows
    keys = mix(samples.numbers("key", rows), seed)
    chosen: Array = np.sort(rows[np.argpartition(keys, count)[:count]])
    return chosen


def kept_records(view: View, count: int, seed: int) -> list[Record]:
    """Samples that are used, of both labels alike as far as there are."""
    samples, chosen = view.samples, view.chosen
    sides = [chosen[view.good == is_good] for is_good in (True, False)]
    fewest = min(map(len, sides))
    shares = [min(len(rows), max(count // 2, count - fewest)) for rows in sides]
    rows = np.sort(np.concatenate([drawn(samples, *one, seed) for one in zip(sides, shares, strict=True)]))
    return _records(samples, rows, "kept", "")


def dropped_records(view: View, count: int, seed: int) -> list[Record]:
    """Samples that stages left out, some for each reason."""
    reasons = [number for number, name in enumerate(view.names) if name != USED and (view.reasons == number).any()]
    found = []
    for number in reasons[:_MOST_REASONS]:
        stage, reason = view.names[number]
        rows = drawn(view.samples, np.flatnonzero(view.reasons == number), _share(count, len(reasons)), seed)
        found += _records(view.samples, rows, "dropped", f"{stage}: {reason}" if stage != reason else reason)
    return found


def rejected_records(report: Report, count: int) -> list[Record]:
    """The first rejects of each reason, as many of each as of any other."""
    by_reason: dict[str, list[Any]] = {}
    for one in report.rejects:
        by_reason.setdefault(one.reason, []).append(one)
    share = _share(count, len(by_reason))
    return [
        Record(
            f"{one.source}:{one.line}",
            "rejected",
            "",
            "",
            reason,
            (("field", one.field),) if one.field else (),
            (("record", one.record),),
            one.message,
        )
        for reason, rejects in sorted(by_reason.items())
        for one in rejects[:share]
    ]


def _share(count: int, of: int) -> int:
    """How many of each of several kinds: one at least, unless none is wanted."""
    return max(1, count // of) if count and of else 0


def _records(samples: Samples, rows: Array, status: str, reason: str) -> list[Record]:
    return [
        Record(
            f"{one['source']}:{one['line']}",
            status,
            GOOD if one["label"] == GOOD else BAD,
            one["format_type"],
            reason,
            tuple(_facts(one)),
            tuple(_turns(one)),
        )
        for one in samples.take(rows, _COLUMNS).to_pylist()
    ]


def _facts(one: dict[str, Any]) -> list[tuple[str, str]]:
    found = [("quality", f"{one['response_quality']:.3f}"), ("utility", f"{one['utility_score']:.3f}")]
    if one["cell"]:
        found.append(("verdict", f"{one['field']} = {one['cell']} ({one['scale']})"))
    if one["flags"]:
        found.append(("flags", one["flags"]))
    carried = orjson.loads(one["kept"]) if one["kept"] else {}
    return found + [(name, _text(value)) for name, value in carried.items()]


def _text(value: Any) -> str:
    return value if isinstance(value, str) else orjson.dumps(value).decode()


def _turns(one: dict[str, Any]) -> list[tuple[str, str]]:
    """What was asked and answered; of a long conversation the last turns."""
    turns = [(turn["role"], turn["content"] or turn["tool_calls"] or "") for turn in one["conversation"]]
    left_out = len(turns) - _MOST_TURNS
    if left_out > 0:
        turns = [("…", f"{left_out} earlier turns"), *turns[-_MOST_TURNS:]]
    before = [("system", one["system"]), ("tools", one["tools"])]
    after = [("reasoning", one["reasoning"]), ("tool calls", one["tool_calls"])]
    asked = turns or [("user", one["prompt"])]
    return [
        *(turn for turn in before if turn[1]),
        *asked,
        *(turn for turn in after if turn[1]),
        ("assistant, judged", one["response"]),
    ]
