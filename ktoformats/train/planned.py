"""Planned training in torch: a split as tokens, the batches of its plans, and a DataLoader of both."""

from __future__ import annotations

from array import array
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from torch.utils.data import DataLoader, Dataset

from ktoformats.train.collate import KTOCollator
from ktoformats.train.fit import completion_ids, prompt_ids
from ktoformats.train.sampler import ElasticBatchSampler

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.store.numbers import Array
    from ktoformats.train.chosen import Chosen
    from ktoformats.train.fit import Fitted
    from ktoformats.train.plan import Plan, PlanTerms
    from ktoformats.train.state import Share
    from ktoformats.train.tokens import Tokens
    from ktoformats.train.training import Training, Weights


class KTOTokenDataset(Dataset[dict[str, Any]]):
    """Samples as token ids, each with the completion of its KL partner.

    An index is a position, or a pair of positions: the sample's, and its KL partner's (-1 for none).

    Args:
        dataset: The samples.
        tokens: Of all samples of the build.
        fitted: What of each is used.
        weights: `sample`: the sample's own weight; `utility`: times the size of its utility, so that the mean over
            each label stays 1.
    """

    def __init__(self, dataset: Chosen, tokens: Tokens, fitted: Fitted, weights: Weights = "sample") -> None:
        if weights not in ("sample", "utility"):
            raise ValueError(f"weights must be sample or utility, got {weights!r}")
        self._dataset, self._tokens, self._fitted = dataset, tokens, fitted
        self._rows = dataset.rows
        self._utility = dataset.samples.numbers("utility_score")[self._rows]
        self._factor = _by_utility(self._utility, dataset.good, fitted.used) if weights == "utility" else None
        self.pad_token_id: int = tokens.pad

    def __len__(self) -> int:
        return len(self._dataset)

    def __getitem__(self, index: int | tuple[int, int]) -> dict[str, Any]:
        return self.__getitems__([index])[0]

    def __getitems__(self, indices: list[Any]) -> list[dict[str, Any]]:
        """Several samples at once; torch's DataLoader calls this.

        Raises:
            IndexError: There is no such position, or its sample was left out because of its length.
        """
        pairs = [(int(one), -1) if np.ndim(one) == 0 else tuple(one) for one in indices]
        texts = self._dataset.columns([position for position, _ in pairs], ("id", "label", "weight"))
        found = []
        for (position, partner), sample in zip(pairs, texts, strict=True):
            if not self._fitted.used[position]:
                raise IndexError(f"sample {position} ({sample['id']}) does not fit the token limits; use the plan's")
            weight = sample["weight"] * (1.0 if self._factor is None else float(self._factor[position]))
            found.append(
                {
                    "prompt_ids": self._ids(prompt_ids, position),
                    "completion_ids": self._ids(completion_ids, position),
                    "KL_completion_ids": array("i") if partner < 0 else self._ids(completion_ids, partner),
                    "label": sample["label"] == "good",
                    "utility_score": float(self._utility[position]),
                    "weight": weight,
                    "id": sample["id"],
                }
            )
        return found

    def _ids(self, of: Callable[..., Array], position: int) -> array[int]:
        """As an array of Python's own: TRL joins prompt and completion with `+`, which adds NumPy's up."""
        ids = array("i")
        ids.frombytes(of(self._tokens, self._fitted, position, int(self._rows[position])).tobytes())
        return ids


class PlanSampler(ElasticBatchSampler):
    """Batches of (sample, KL partner) by the plan of each epoch; resumed as `ElasticBatchSampler` is.

    Args:
        training: The split.
        terms: What its plans are to be; `epoch` is that of the first iteration.
        share: Which rank this is.
    """

    def __init__(self, training: Training, terms: PlanTerms, share: Share) -> None:
        self._training, self._plan_terms = training, terms
        first = training.plan(terms)
        super().__init__(
            _Sized(len(first), training.dataset.fingerprint),
            global_batch_size=terms.global_batch_size,
            num_replicas=share.num_replicas,
            rank=share.rank,
            order="sequential",
            seed=terms.seed,
            remainder="uneven",
        )
        self.set_epoch(terms.epoch)

    def plan(self, epoch: int) -> Plan:
        """The plan of an epoch."""
        return self._training.plan(replace(self._plan_terms, epoch=epoch))

    def _order_of(self, epoch: int) -> Callable[[Array], Array]:
        plan = self.plan(epoch)
        return cast("Callable[[Array], Array]", np.stack([plan.order, plan.partner], axis=1).__getitem__)

    def _dealt(self, samples: int) -> tuple[int, int]:
        """As `Plan.batch` cuts them: in a short last step, the last ranks have less, or nothing."""
        start = self._share.rank * self._plan_terms.batch_size
        return min(start, samples), min(start + self._plan_terms.batch_size, samples)

    def _terms(self) -> dict[str, int | str]:
        terms, tokens = self._plan_terms, self._training.tokens
        other = {"world_size", "seed", "epoch"}  # the ranks may be others
        if terms.partners == "anywhere":
            other.add("batch_size")
        plan = {name: value for name, value in vars(terms).items() if name not in other}
        own = {
            "order": f"plan {plan}",
            "tokens": tokens.digest if tokens else "",
            "limits": str(tuple(self._training.limits)) if tokens else "",
        }
        return super()._terms() | own


class _Sized:
    def __init__(self, length: int, fingerprint: str) -> None:
        self._length, self.fingerprint = length, fingerprint

    def __len__(self) -> int:
        return self._length


def dataloader(
    training: Training,
    terms: PlanTerms,
    *,
    share: Share,
    max_length: int | None,
    weights: Weights,
    pad_to_multiple_of: int | None,
    padding_side: Literal["right", "left"],
    **options: Any,
) -> DataLoader[Any]:
    """A DataLoader of planned batches; `options` are torch's own."""
    data = training.token_dataset(weights)
    collate = KTOCollator(data.pad_token_id, max_length, pad_to_multiple_of, padding_side)
    return DataLoader(data, batch_sampler=PlanSampler(training, terms, share), collate_fn=collate, **options)


def _by_utility(utility: Array, good: Array, used: Array) -> Array:
    """float64 per sample: the size of its utility by the mean of its label's; 1 where all of them are 0."""
    size = np.abs(utility)
    factor = np.ones(len(size))
    for own in (good & used, ~good & used):
        mean = size[own].mean() if own.any() else 0.0
        if mean > 0:
            factor[own] = size[own] / mean
    return factor
