"""What fits: token limits applied to lengths, and every sample that is dropped or cut counted by its label."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np

from ktoformats.config.models import TOKEN_LIMITS
from ktoformats.errors import ConfigError
from ktoformats.feedback import BAD, GOOD
from ktoformats.train.encode import FAULTS, SOUND

if TYPE_CHECKING:
    from ktoformats.config.models import KTODataConfig
    from ktoformats.store.numbers import Array
    from ktoformats.train.tokens import Tokens

_NO_LIMIT: Final = np.iinfo(np.int64).max
_LEAST: Final = 2
"""Tokens of a completion: one, and the end token."""
PROMPT_TOO_LONG, COMPLETION_TOO_LONG, EMPTY_COMPLETION = "prompt_too_long", "completion_too_long", "empty_completion"
DUPLICATE, CONFLICT = "duplicate_after_cut", "conflict_after_cut"


class Limits(NamedTuple):
    """How many tokens a sample may have, and what becomes of one that has more."""

    max_tokens: int | None = None
    """Of prompt and completion together."""
    max_prompt_tokens: int | None = None
    max_completion_tokens: int | None = None
    """Its end token is one of them."""
    truncate_prompt: Literal["keep_end", "keep_start", "drop"] = "keep_end"
    truncate_completion: Literal["drop", "keep_eos"] = "drop"
    """`keep_eos` cuts a completion and ends it with the end token: the model then learns to stop there."""
    drop_repeats: bool = False
    """Whether of samples that are the same once they are cut only the first is used."""
    drop_conflicts: bool = False
    """Whether samples that are the same once they are cut, one good, one bad, are left out."""


def limits_of(config: KTODataConfig) -> Limits:
    """What a data section says of tokens."""
    return Limits(
        **{name: getattr(config, name) for name in TOKEN_LIMITS},
        drop_repeats=config.duplicates == "drop",
        drop_conflicts=config.conflict == "drop",
    )


@dataclass(frozen=True)
class FitReport:
    """What the limits did.

    Attributes:
        limits: They.
        dropped: Reason to label to samples that are left out.
        cut: `prompt` and `completion`, to label to samples that were cut.
        same_after_cut: Samples whose prompt and completion are those of another one now, and were not before.
        contradicting_after_cut: Those among them that stand there good and bad.
        tokens: All tokens of the samples that are used.
    """

    limits: Limits
    dropped: dict[str, dict[str, int]] = field(default_factory=dict)
    cut: dict[str, dict[str, int]] = field(default_factory=dict)
    same_after_cut: int = 0
    contradicting_after_cut: int = 0
    tokens: int = 0

    def to_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {**vars(self), "limits": self.limits._asdict()}

    def __str__(self) -> str:
        """It in sentences."""
        lines = [f"{self.tokens} tokens"]
        lines += [f"dropped, {reason}: {one[GOOD]} good, {one[BAD]} bad" for reason, one in self.dropped.items()]
        lines += [f"cut {side}s: {one[GOOD]} good, {one[BAD]} bad" for side, one in self.cut.items()]
        if self.same_after_cut:
            lines.append(
                f"{self.same_after_cut} samples equal another one once they are cut, "
                f"{self.contradicting_after_cut} of them with both labels"
            )
        return "\n".join(lines)


@dataclass(frozen=True)
class Fitted:
    """What of each sample is used; arrays of shape (samples,), by position in the dataset.

    Attributes:
        used: bool.
        prompt_start: int64, tokens cut off before the prompt.
        prompt_length: int64.
        completion_length: int64, the end token among them.
        ends_early: bool: its last token is replaced by the end token.
        asked: uint64 per sample, a hash of the prompt's tokens; None where nothing was cut, and the text says it all.
        answer: uint64 per sample, a hash of the completion's tokens, or None.
        report: The counts.
    """

    used: Array
    prompt_start: Array
    prompt_length: Array
    completion_length: Array
    ends_early: Array
    asked: Array | None
    answer: Array | None
    report: FitReport = field(repr=False)

    @property
    def length(self) -> Array:
        """int64 per sample: its tokens."""
        total: Array = self.prompt_length + self.completion_length
        return total


def fit(tokens: Tokens, rows: Array, good: Array, limits: Limits) -> Fitted:
    """Apply limits.

    Args:
        tokens: Of all samples.
        rows: int64, the rows of the dataset's samples.
        good: bool per sample.
        limits: They.

    Raises:
        ConfigError: The limits leave no room for a prompt and a completion.
    """
    _check(limits)
    prompts, completions = tokens.lengths(rows)
    most = _NO_LIMIT if limits.max_tokens is None else limits.max_tokens
    whole_prompts = limits.truncate_prompt == "drop" and limits.truncate_completion == "keep_eos"
    beside = most - (prompts if whole_prompts else np.minimum(prompts, 1))
    room = np.clip(beside, _LEAST, limits.max_completion_tokens or _NO_LIMIT)
    long_completion = completions > room
    kept_completion = np.minimum(completions, room)
    prompt_room = np.minimum(most - kept_completion, limits.max_prompt_tokens or _NO_LIMIT)
    long_prompt = prompts > prompt_room
    kept_prompt = np.minimum(prompts, prompt_room)

    faults = tokens.faults(rows)
    reasons = [(name, faults == fault) for fault, name in FAULTS.items()]
    reasons.append((EMPTY_COMPLETION, (completions <= 1) & (faults == SOUND)))
    if limits.truncate_completion == "drop":
        reasons.append((COMPLETION_TOO_LONG, long_completion))
    if limits.truncate_prompt == "drop":
        reasons.append((PROMPT_TOO_LONG, long_prompt))
    used = np.ones(len(rows), np.bool_)
    dropped: dict[str, dict[str, int]] = {}

    def leave_out(name: str, mask: Array) -> None:
        now = mask & used
        if now.any():
            dropped[name] = by_label(good[now])
            used[now] = False

    for name, mask in reasons:
        leave_out(name, mask)
    start = np.where(long_prompt & (limits.truncate_prompt == "keep_end"), prompts - kept_prompt, 0)
    cut = {"prompt": long_prompt & used, "completion": long_completion & used}
    fitted = Fitted(used, start, kept_prompt, kept_completion, cut["completion"], None, None, FitReport(limits))
    asked = answer = None
    same = contradicting = 0
    if any(mask.any() for mask in cut.values()):
        asked, answer = _hashes(tokens, rows, fitted)
        repeats, conflicts = _found_again(asked, answer, good, used, cut["prompt"] | cut["completion"])
        same, contradicting = int(repeats.sum()), int(conflicts.sum())
        if limits.drop_conflicts:
            leave_out(CONFLICT, conflicts)
        if limits.drop_repeats:
            leave_out(DUPLICATE, repeats & ~_is_first(asked, answer, good, used))
    report = FitReport(
        limits=limits,
        dropped=dropped,
        cut={side: by_label(good[mask & used]) for side, mask in cut.items() if (mask & used).any()},
        same_after_cut=same,
        contradicting_after_cut=contradicting,
        tokens=int(fitted.length[used].sum()),
    )
    return Fitted(used, start, kept_prompt, kept_completion, cut["completion"], asked, answer, report)


def _check(limits: Limits) -> None:
    for name, least in (("max_tokens", 1 + _LEAST), ("max_prompt_tokens", 1), ("max_completion_tokens", _LEAST)):
        value = getattr(limits, name)
        if value is not None and value < least:
            raise ConfigError(f"{name} must be at least {least}, got {value}")


def _hashes(tokens: Tokens, rows: Array, fitted: Fitted) -> tuple[Array, Array]:
    asked, answer = [], []
    for position, row in enumerate(rows.tolist()):
        asked.append(blake2b(prompt_ids(tokens, fitted, position, row).data, digest_size=8).digest())
        answer.append(blake2b(completion_ids(tokens, fitted, position, row).data, digest_size=8).digest())
    return np.frombuffer(b"".join(asked), np.uint64), np.frombuffer(b"".join(answer), np.uint64)


def prompt_ids(tokens: Tokens, fitted: Fitted, position: int, row: int) -> Array:
    """int32: the ids of a prompt that are used."""
    start = fitted.prompt_start[position]
    ids: Array = tokens.prompt(row)[start : start + fitted.prompt_length[position]]
    return ids


def completion_ids(tokens: Tokens, fitted: Fitted, position: int, row: int) -> Array:
    """int32: the ids of a completion that are used, its end token among them."""
    ids: Array = tokens.answer(row)[: fitted.completion_length[position]]
    if fitted.ends_early[position]:
        ids = np.append(ids[:-1], np.int32(tokens.eos))
    return ids


def _groups(asked: Array, answer: Array) -> Array:
    """int64 per sample: a number for each prompt with its completion."""
    _, one = np.unique(asked, return_inverse=True)
    _, other = np.unique(answer, return_inverse=True)
    both: Array = np.unique(one * (int(other.max(initial=0)) + 1) + other, return_inverse=True)[1]
    return both


def _found_again(asked: Array, answer: Array, good: Array, used: Array, cut: Array) -> tuple[Array, Array]:
    """Which samples equal another one of which one at least was cut; and which of them bear both labels."""
    groups = _groups(asked, answer)
    count = np.bincount(groups[used], minlength=groups.max(initial=0) + 1)
    cuts = np.bincount(groups[used & cut], minlength=len(count))
    goods = np.bincount(groups[used & good], minlength=len(count))
    repeated = used & ((count > 1) & (cuts > 0))[groups]
    both = (goods > 0) & (goods < count)
    return repeated, repeated & both[groups]


def _is_first(asked: Array, answer: Array, good: Array, used: Array) -> Array:
    """Bool per sample: none before it has its prompt, completion and label."""
    groups = _groups(asked, answer) * 2 + good
    _, firsts = np.unique(np.where(used, groups, -1), return_index=True)
    first = np.zeros(len(groups), np.bool_)
    first[firsts] = True
    return first


def by_label(good: Array) -> dict[str, int]:
    """How many of some samples are good, and bad."""
    count = int(np.count_nonzero(good))
    return {GOOD: count, BAD: len(good) - count}
