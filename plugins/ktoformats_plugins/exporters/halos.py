"""What HALOs reads as feedback for KTO (main, September 2025): one JSON array of `binary_feedback`."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any, ClassVar

import orjson

from ktoformats import Plugin, hookimpl
from ktoformats_plugins.exporters import _fit
from ktoformats_plugins.exporters._chat import chats
from ktoformats_plugins.exporters._fit import ForTrainer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from ktoformats import Dropped, Written


class Halos(ForTrainer):
    """One JSON array for HALOs (September 2025); rows of one context share a `prompt_id`, by which it groups answers.

    The reward that it asks for is 1.0 for a good answer and -1.0 for a bad one, as it scores them itself.
    """

    suffix: ClassVar[str] = ".json"

    def refuses(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """Tools, and reasoning apart from the text."""
        yield _fit.tools(batch)
        yield _fit.reasoning(batch)
        yield from _fit.empty(batch)

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples."""
        separator = b"[\n"
        with path.open("wb") as stream:
            for chat in chats(batches):
                row = {
                    "prompt_id": hashlib.sha256(orjson.dumps(chat.context)).hexdigest()[:32],
                    "prompt": chat.context,
                    "output": chat.answer,
                    "label": int(chat.label),
                    "reward": 1.0 if chat.label else -1.0,
                    "type": "binary_feedback",
                }
                stream.write(separator + orjson.dumps(row))
                separator = b",\n"
            stream.write(b"[]\n" if separator == b"[\n" else b"\n]\n")
        return {}

    def settings(self, written: Written) -> str:
        """Overrides for `launch.py`."""
        return (
            f"loss=kto train_datasets=[{written.name}] \\\n"
            f"++loss.desirable_weight={written.desirable_weight} \\\n"
            f"++loss.undesirable_weight={written.undesirable_weight}\n"
        )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Halos]
