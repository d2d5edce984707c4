"""All samples of a split as tokens, kept beside the shards they were made from.

What is kept is whole: nothing is cut, so that another limit is arithmetic on lengths (`ktoformats.train.fit`).
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ktoformats.store.vault import TOKENS
from ktoformats.train.chosen import heard, told
from ktoformats.train.encode import Encoded, Ragged

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.store.cache import Kept
    from ktoformats.store.numbers import Array
    from ktoformats.store.part import Part
    from ktoformats.store.samples import Samples
    from ktoformats.train.encode import Encoder
    from ktoformats.train.writing import Progress

_ROWS_AT_ONCE: Final = 2048


class Tokens:
    """The token ids of samples, by their rows.

    Args:
        samples: All samples of a build.
        encoder: The tokenizer.
        kept: Where they are kept; None makes them for this once.
        progress: Called after every batch with how many rows have their tokens, and of how many.
    """

    def __init__(
        self,
        samples: Samples,
        encoder: Encoder,
        kept: Kept | None = None,
        progress: Progress | None = None,
    ) -> None:
        self.eos: int = encoder.eos
        self.pad: int = encoder.pad
        self.style: str = encoder.style
        self._encoder: Encoder | None = encoder
        self._progress = progress
        self._starts = list(accumulate((part.rows for part in samples.parts), initial=0))
        self._parts = [
            self._of(part, start, encoder, kept) for part, start in zip(samples.parts, self._starts, strict=False)
        ]

    @cached_property
    def digest(self) -> str:
        """What decided the ids; see `Encoder.digest`."""
        if self._encoder is None:
            raise ValueError("the tokenizer is in another process")
        return self._encoder.digest

    def __getstate__(self) -> dict[str, Any]:
        """What another process needs: where the files are, and no tokenizer."""
        parts = [_map(one, told) for one in self._parts]
        return {"eos": self.eos, "pad": self.pad, "style": self.style, "_starts": self._starts, "_parts": parts}

    def __setstate__(self, state: dict[str, Any]) -> None:
        parts = [_map(one, heard) for one in state["_parts"]]
        self.__dict__.update(state | {"_parts": parts, "_encoder": None, "_progress": None})

    def lengths(self, rows: Array) -> tuple[Array, Array]:
        """int64 per row: the tokens of its prompt, and of its completion."""
        prompts, answers = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
        for number, here, inside in self._by_part(rows):
            part = self._parts[number]
            for found, lists in ((prompts, part.prompts), (answers, part.answers)):
                found[here] = lists.ends[inside + 1] - lists.ends[inside]
        return prompts, answers

    def faults(self, rows: Array) -> Array:
        """uint8 per row: why it cannot be used; see `ktoformats.train.encode.FAULTS`."""
        found = np.empty(len(rows), np.uint8)
        for number, here, inside in self._by_part(rows):
            found[here] = self._parts[number].faults[inside]
        return found

    def prompt(self, row: int) -> Array:
        """int32: the prompt's ids."""
        number = self._part_of(row)
        return self._parts[number].prompts.row(row - self._starts[number])

    def answer(self, row: int) -> Array:
        """int32: the completion's ids, its end token among them."""
        number = self._part_of(row)
        return self._parts[number].answers.row(row - self._starts[number])

    def _part_of(self, row: int) -> int:
        return bisect_right(self._starts, row) - 1

    def _by_part(self, rows: Array) -> list[tuple[int, Array, Array]]:
        own = np.searchsorted(self._starts, rows, side="right") - 1
        places = [(number, np.flatnonzero(own == number)) for number in np.unique(own).tolist()]
        return [(number, here, rows[here] - self._starts[number]) for number, here in places]

    def _of(self, part: Part, start: int, encoder: Encoder, kept: Kept | None) -> Encoded:
        def tell(rows: int) -> None:
            if self._progress is not None:
                self._progress(start + rows, self._starts[-1])

        def make() -> tuple[dict[str, Array], dict[str, Any]]:
            arrays = _arrays(_encoded(part, encoder, tell))
            return arrays, {"rows": part.rows, "style": self.style}

        if kept is None or part.path is None or not part.coded:  # a coded one is a shard, and named by its content
            found, _ = make()
        else:
            key = kept.key(part=part.path.name, tokens=self.digest, code=kept.digests.of_code(["ktoformats"]))
            found, _ = kept.arrays(TOKENS, key, make)
        return Encoded(
            Ragged(found["prompts"], found["promptends"]),
            Ragged(found["answers"], found["answerends"]),
            found["faults"],
        )


def _map(encoded: Encoded, function: Callable[[Any], Any]) -> Encoded:
    """The same, its arrays by a function."""
    lists = [Ragged(*map(function, one)) for one in (encoded.prompts, encoded.answers)]
    return Encoded(lists[0], lists[1], function(encoded.faults))


def _encoded(part: Part, encoder: Encoder, tell: Callable[[int], None]) -> list[Encoded]:
    made, count = [], 0
    for batch in part.batches():
        for start in range(0, len(batch), _ROWS_AT_ONCE):
            rows = batch.slice(start, _ROWS_AT_ONCE)
            made.append(encoder.encode(rows))
            count += len(rows)
            tell(count)
    return made


def _arrays(made: list[Encoded]) -> dict[str, Array]:
    """Batches, one after the other, as plain arrays."""
    found: dict[str, Any] = {"faults": np.concatenate([np.zeros(0, np.uint8), *(one.faults for one in made)])}
    for name, lists in (("prompt", [one.prompts for one in made]), ("answer", [one.answers for one in made])):
        found[f"{name}s"] = np.concatenate([np.zeros(0, np.int32), *(one.ids for one in lists)])
        lengths = np.concatenate([np.zeros(0, np.int64), *(np.diff(one.ends) for one in lists)])
        found[f"{name}ends"] = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    return found
