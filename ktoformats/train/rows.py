"""Samples as Python objects: the specification's keys, and the rows a TRL trainer reads."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import orjson

from ktoformats.feedback import GOOD
from ktoformats.train.decode import Decoder

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import pyarrow as pa


_ROWS_AT_ONCE: Final = 1024


def to_samples(batch: pa.RecordBatch | pa.Table) -> Iterator[dict[str, Any]]:
    """Rows as dictionaries with the keys of `SAMPLE_KEYS`: the same keys in every sample, none of them None.

    `conversation` is a list of messages (keys without a value left out), `kept` maps the columns named under
    `keep:` to texts (`""` where absent; values that are not text as JSON).
    """
    decoder = Decoder(batch)
    rows = range(len(batch))
    for start in range(0, len(batch), _ROWS_AT_ONCE):
        yield from decoder.samples(rows[start : start + _ROWS_AT_ONCE])


def needs_messages(batches: Iterable[pa.RecordBatch]) -> bool:
    """Whether a prompt and a response alone would lose something: system, turns, tools, calls, reasoning."""
    import pyarrow.compute as pc

    return any(
        any(
            pc.any(pc.not_equal(batch.column(name), "")).as_py()
            for name in ("system", "tools", "tool_calls", "reasoning")
        )
        or pc.any(pc.greater(pc.list_value_length(batch.column("conversation")), 0)).as_py()
        for batch in batches
    )


def set_apart(prompt: str, response: str, separator: str) -> str:
    """A response that goes on from a prompt: behind a separator, where no white space stands between the two."""
    touching = not prompt[-1:].isspace() and not response[:1].isspace()
    return separator + response if touching else response


def to_trl_rows(
    batch: pa.RecordBatch | pa.Table, style: str, *, tools: bool = False, separator: str = ""
) -> Iterator[dict[str, Any]]:
    """`{prompt, completion, label}` rows for TRL's KTOTrainer.

    Args:
        batch: Rows of `SCHEMA`.
        style: `standard` (texts) or `conversational` (message lists).
        tools: Add a `tools` column (JSON text) to every row.
        separator: With `standard`, what is put before a completion where no white space stands before it.

    Yields:
        Rows whose `label` is a real bool; texts are byte-identical to the samples', but for the separator.
    """
    for sample in to_samples(batch):
        label = sample["label"] == GOOD
        if style == "standard":
            completion = (
                set_apart(sample["prompt"], sample["response"], separator) if separator else sample["response"]
            )
            yield {"prompt": sample["prompt"], "completion": completion, "label": label}
            continue
        turns = [_trl_message(turn) for turn in sample["conversation"]]
        prompt = turns or [{"role": "user", "content": sample["prompt"]}]
        if sample["system"]:
            prompt = [{"role": "system", "content": sample["system"]}, *prompt]
        answer = {
            "role": "assistant",
            "content": sample["response"],
            "tool_calls": sample["tool_calls"],
            "reasoning": sample["reasoning"],
        }
        row = {"prompt": prompt, "completion": [_trl_message(answer)], "label": label}
        if tools:
            row["tools"] = sample["tools"] or "[]"
        yield row


def _trl_message(turn: dict[str, str]) -> dict[str, Any]:
    message: dict[str, Any] = {"role": turn["role"], "content": turn["content"]}
    if calls := turn.get("tool_calls"):
        message["tool_calls"] = _tool_calls(calls)
    for ours, theirs in (("reasoning", "reasoning_content"), ("tool_call_id", "tool_call_id"), ("name", "name")):
        if text := turn.get(ours):
            message[theirs] = text
    return message


def _tool_calls(text: str) -> list[dict[str, Any]]:
    """Tool calls in the shape chat templates read; arguments stay JSON text, so that every row has one type."""
    try:
        calls = orjson.loads(text)
    except orjson.JSONDecodeError:
        return [{"type": "function", "function": {"name": "", "arguments": text}}]
    result = []
    for call in calls if isinstance(calls, list) else [calls]:
        function = call.get("function", call) if isinstance(call, dict) else call
        if not isinstance(function, dict):
            function = {"name": "" if function is None else str(function)}
        arguments = function.get("arguments", "")
        result.append(
            {
                "type": "function",
                "function": {
                    "name": str(function.get("name", "")),
                    "arguments": arguments if isinstance(arguments, str) else orjson.dumps(arguments).decode(),
                },
            }
        )
    return result
