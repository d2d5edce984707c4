"""A split on its way to a trainer: its samples, what of their tokens is used, and one plan for each epoch."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from ktoformats.errors import ConfigError
from ktoformats.store.cache import WORTH_KEEPING
from ktoformats.store.vault import PLANS
from ktoformats.store.view import keys_of
from ktoformats.train.fit import fit
from ktoformats.train.plan import Plan, PlanReport, PlanTerms, Traits, make_plan

if TYPE_CHECKING:
    from ktoformats.store.cache import Kept
    from ktoformats.store.numbers import Array
    from ktoformats.train.chosen import Chosen
    from ktoformats.train.fit import Fitted, Limits
    from ktoformats.train.planned import KTOTokenDataset
    from ktoformats.train.tokens import Tokens

Weights = Literal["sample", "utility"]


class Training:
    """A split on its way to a trainer.

    Args:
        dataset: Its samples.
        tokens: Those of all samples of the build; None plans by characters.
        limits: How many tokens a sample may have.
        kept: Where plans are kept; None makes them anew.
    """

    def __init__(self, dataset: Chosen, tokens: Tokens | None, limits: Limits, kept: Kept | None = None) -> None:
        self.dataset = dataset
        self.tokens = tokens
        self._kept = kept
        self.limits = limits

    @cached_property
    def fitted(self) -> Fitted | None:
        """What of each sample is used; None without tokens."""
        if self.tokens is None:
            return None
        return fit(self.tokens, self.dataset.rows, self.dataset.good, self.limits)

    @cached_property
    def traits(self) -> Traits:
        """What a plan looks at."""
        samples, rows = self.dataset.samples, self.dataset.rows
        fitted = self.fitted
        asked = samples.numbers("asked")[rows] if fitted is None or fitted.asked is None else fitted.asked
        answer = samples.numbers("answer")[rows] if fitted is None or fitted.answer is None else fitted.answer
        if fitted is None:
            sides = [samples.numbers(name)[rows] for name in ("prompt_length", "response_length")]
            length = np.add(*sides, dtype=np.int64)
        else:
            length = fitted.length
        keys = keys_of(samples, rows, self.dataset.occurrence)
        return Traits(self.dataset.good, samples.numbers("group")[rows], keys, asked, answer, length)

    def plan(self, terms: PlanTerms) -> Plan:
        """One epoch."""
        unit = "characters" if self.tokens is None else "tokens"
        positions = None if self.fitted is None else np.flatnonzero(self.fitted.used)

        if self._kept is None or len(self.dataset) < WORTH_KEEPING:
            return make_plan(self.traits, terms, unit=unit, positions=positions)

        def make() -> tuple[dict[str, Array], dict[str, Any]]:
            made = make_plan(self.traits, terms, unit=unit, positions=positions)
            return {"order": made.order, "partner": made.partner}, made.report.to_json()

        key = self._kept.key(
            data=self.dataset.fingerprint,
            terms=vars(terms),
            tokens=self.tokens.digest if self.tokens else "",
            limits=self.limits._asdict(),
            code=self._kept.digests.of_code(["ktoformats"]),
        )
        arrays, report = self._kept.arrays(PLANS, key, make)
        return Plan(arrays["order"], arrays["partner"], terms, PlanReport(**report), self.traits.key)

    def token_dataset(self, weights: Weights = "sample") -> KTOTokenDataset:
        """The samples as token ids.

        Raises:
            ConfigError: There is no tokenizer.
        """
        if self.tokens is None or self.fitted is None:
            raise ConfigError("tokens need a tokenizer: give one to the loader, KTODataLoader(config, tokenizer)")
        from ktoformats.train.planned import KTOTokenDataset

        return KTOTokenDataset(self.dataset, self.tokens, self.fitted, weights)
