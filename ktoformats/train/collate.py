"""Batches of tokens as tensors: those that TRL's `DataCollatorForUnpairedPreference` makes, and a few more."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Sequence


@dataclass(frozen=True)
class KTOCollator:
    """Pads samples of a `KTOTokenDataset` to one length.

    Attributes:
        pad_token_id: What stands in padding; it is masked.
        max_length: A KL partner's completion is cut so that it fits behind a prompt; None lets it be.
        pad_to_multiple_of: Lengths are padded to a multiple of this.
        padding_side: `right`, as TRL pads, or `left`.
    """

    pad_token_id: int
    max_length: int | None = None
    pad_to_multiple_of: int | None = None
    padding_side: Literal["right", "left"] = "right"

    def __post_init__(self) -> None:
        """Refuse what cannot be meant.

        Raises:
            ValueError: An argument does not fit.
        """
        if self.padding_side not in ("right", "left"):
            raise ValueError(f"padding_side must be right or left, got {self.padding_side!r}")
        if self.pad_to_multiple_of is not None and self.pad_to_multiple_of < 1:
            raise ValueError(f"pad_to_multiple_of must be at least 1, got {self.pad_to_multiple_of}")

    def __call__(self, batch: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Collate.

        Args:
            batch: Samples with `prompt_ids`, `completion_ids`, `KL_completion_ids`, `label`, `utility_score`,
                `weight` and `id`.

        Returns:
            `input_ids`, `attention_mask` and `completion_mask`, int64 of shape (batch, length): prompt and
            completion; the same under `KL_...`: prompt and the KL partner's completion, of a length of its own;
            `label`, bool, `KL_valid`, bool, False where there is no partner, `utility_score` and `weight`, float32,
            of shape (batch,); `id`, a list of texts.
        """
        rows = [(one["prompt_ids"], one["completion_ids"]) for one in batch]
        twins = [(one["prompt_ids"], one["KL_completion_ids"]) for one in batch]
        if self.max_length is not None:
            twins = [(prompt, answer[: max(self.max_length - len(prompt), 0)]) for prompt, answer in twins]
        return {
            **self._padded(rows, ""),
            **self._padded(twins, "KL_"),
            "label": torch.tensor([one["label"] for one in batch], dtype=torch.bool),
            "KL_valid": torch.tensor([len(answer) > 0 for _, answer in twins], dtype=torch.bool),
            "utility_score": torch.tensor([one["utility_score"] for one in batch], dtype=torch.float32),
            "weight": torch.tensor([one["weight"] for one in batch], dtype=torch.float32),
            "id": [one["id"] for one in batch],
        }

    def _padded(self, rows: Sequence[tuple[Any, Any]], prefix: str) -> dict[str, torch.Tensor]:
        longest = max((len(prompt) + len(answer) for prompt, answer in rows), default=0)
        if self.pad_to_multiple_of:
            longest += -longest % self.pad_to_multiple_of
        ids = np.full((len(rows), longest), self.pad_token_id, np.int64)
        attention, completion = np.zeros_like(ids), np.zeros_like(ids)
        for number, (prompt, answer) in enumerate(rows):
            length = len(prompt) + len(answer)
            start = 0 if self.padding_side == "right" else longest - length
            middle, end = start + len(prompt), start + length
            ids[number, start:middle] = prompt
            ids[number, middle:end] = answer
            attention[number, start:end] = 1
            completion[number, middle:end] = 1
        named = {"input_ids": ids, "attention_mask": attention, "completion_mask": completion}
        return {f"{prefix}{name}": torch.from_numpy(array) for name, array in named.items()}
