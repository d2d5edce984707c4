"""What a form cannot hold: masks over batches, for `Exporter.refuses`, and the option that says what to do then."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

import numpy as np
import pyarrow.compute as pc

from ktoformats import Dropped, Exporter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


class ForTrainer(Exporter):
    """An exporter for a trainer that cannot hold, or misreads, samples of some kinds."""

    training_order: ClassVar[bool] = True

    unfit: Literal["fail", "drop"] = "fail"
    """Samples that it cannot hold: stop and say which, or drop and count them."""


def empty(batch: pa.RecordBatch) -> Iterator[Dropped]:
    """Trainers fail on an empty text, or silently turn its label round."""
    yield Dropped("empty_prompt", ~_filled(batch, "prompt"))
    yield Dropped("empty_response", ~_filled(batch, "response"))


def no_answer(batch: pa.RecordBatch) -> Dropped:
    """An answer that neither says anything nor calls a tool."""
    return Dropped("empty_response", ~(_filled(batch, "response") | _filled(batch, "tool_calls")))


def tool_call_answer(batch: pa.RecordBatch) -> Dropped:
    """An answer that calls a tool."""
    return Dropped("tool_call_answer", _filled(batch, "tool_calls"))


def tools(batch: pa.RecordBatch) -> Dropped:
    """Tools, calls of them, and what they gave."""
    called = _any_turn(batch, _turns(batch, "tool_calls") != "") | _any_turn(batch, _turns(batch, "role") == "tool")
    return Dropped("tools", _filled(batch, "tools") | _filled(batch, "tool_calls") | called)


def reasoning(batch: pa.RecordBatch) -> Dropped:
    """Reasoning of the answer that stands apart from its text."""
    return Dropped("reasoning", _filled(batch, "reasoning"))


def earlier_turns(batch: pa.RecordBatch) -> Dropped:
    """More before the answer than one prompt."""
    return Dropped("earlier_turns", _lengths(batch) > 0)


def role_order(batch: pa.RecordBatch) -> Dropped:
    """Turns that are not in turn: asked (or a tool's result), answered, asked, ..., asked."""
    lengths, roles = _lengths(batch), _turns(batch, "role")
    places = np.arange(len(roles)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
    wrong = (roles == "assistant") != (places % 2 == 1)
    return Dropped("role_order", _any_turn(batch, wrong) | ((lengths > 0) & (lengths % 2 == 0)))


def text_beside_call(batch: pa.RecordBatch) -> Dropped:
    """An assistant's turn that calls a tool and says something, too."""
    said = (_turns(batch, "tool_calls") != "") & (_turns(batch, "content") != "")
    own = _filled(batch, "tool_calls") & _filled(batch, "response")
    return Dropped("text_beside_call", own | _any_turn(batch, said))


def any_filled(batch: pa.RecordBatch, column: str) -> bool:
    """Whether any sample has something in a column of texts."""
    return bool(_filled(batch, column).any())


def any_in_turns(batch: pa.RecordBatch, field: str) -> bool:
    """Whether any earlier turn has something in a field."""
    return bool((_turns(batch, field) != "").any())


def _filled(batch: pa.RecordBatch, column: str) -> np.ndarray:
    """For each row whether the text is not empty."""
    return np.asarray(pc.not_equal(batch.column(column), ""))


def _lengths(batch: pa.RecordBatch) -> np.ndarray:
    """Turns per row."""
    lengths: np.ndarray = np.asarray(pc.list_value_length(batch.column("conversation"))).astype(np.int64)
    return lengths


def _turns(batch: pa.RecordBatch, field: str) -> np.ndarray:
    """A field of all turns of all rows, one after the other."""
    return np.asarray(pc.struct_field(batch.column("conversation").flatten(), [field]).to_pylist(), dtype=object)


def _any_turn(batch: pa.RecordBatch, mask: np.ndarray) -> np.ndarray:
    """For each row whether the mask holds for any of its turns."""
    rows = np.repeat(np.arange(len(batch)), _lengths(batch))
    found = np.zeros(len(batch), bool)
    found[rows[mask.astype(bool)]] = True
    return found


def touching(batch: pa.RecordBatch) -> int:
    """Rows whose prompt and response have no white space between them."""
    ends = pc.match_substring_regex(batch.column("prompt"), r"\S\z")
    begins = pc.match_substring_regex(batch.column("response"), r"\A\S")
    return int(pc.sum(pc.and_(ends, begins)).as_py() or 0)
