"""Token limits: what fits stays, what does not is cut or left out as was asked, and counted by its label."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats.errors import ConfigError
from ktoformats.train.encode import BOUNDARY, SOUND, TEMPLATE_FAILED, TEXT_LOST
from ktoformats.train.fit import Fitted, Limits, completion_ids, fit, prompt_ids

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ktoformats.store.numbers import Array

EOS = 2
Sample = tuple[list[int], list[int]]


class FakeTokens(NamedTuple):
    """Lists of ids for what `Tokens` gives; completions end in the end token."""

    samples: Sequence[Sample]
    fault: Sequence[int] = ()
    eos: int = EOS

    def lengths(self, rows: Array) -> tuple[Array, Array]:
        sizes = np.array([[len(side) for side in self.samples[row]] for row in rows], np.int64).reshape(-1, 2)
        return sizes[:, 0], sizes[:, 1]

    def faults(self, rows: Array) -> Array:
        return np.array([self.fault[row] if self.fault else SOUND for row in rows], np.uint8)

    def prompt(self, row: int) -> Array:
        return np.array(self.samples[row][0], np.int32)

    def answer(self, row: int) -> Array:
        return np.array(self.samples[row][1], np.int32)


def sized(prompt: int, completion: int, start: int = 10) -> Sample:
    """So many tokens, all different, the last one the end token."""
    return [*range(start, start + prompt)], [*range(start + 500, start + 499 + completion), EOS]


def fitted(
    samples: Sequence[Sample], limits: Limits, good: Sequence[bool] | None = None, fault: Sequence[int] = ()
) -> tuple[Fitted, list[Sample | None]]:
    """What is used of each sample; None of those that are left out."""
    tokens: Any = FakeTokens(samples, fault)
    rows = np.arange(len(samples))
    labels = np.array([True] * len(samples) if good is None else good, np.bool_)
    found = fit(tokens, rows, labels, limits)
    ids: list[Sample | None] = [
        (prompt_ids(tokens, found, row, row).tolist(), completion_ids(tokens, found, row, row).tolist()) if used else None
        for row, used in enumerate(found.used)
    ]  # fmt: skip
    return found, ids


def one(sample: Sample, **limits: Any) -> tuple[Sample | None, dict[str, dict[str, int]]]:
    found, [ids] = fitted([sample], Limits(**limits))
    return ids, found.report.dropped


GOOD_ONE = {"good": 1, "bad": 0}


def test_without_limits_everything_stays() -> None:
    samples = [sized(1, 2), sized(0, 2), sized(300, 400), sized(7, 9)]
    found, ids = fitted(samples, Limits(), [True, False, True, False])
    assert ids == samples
    assert found.report.dropped == found.report.cut == {}
    assert found.report.tokens == sum(len(a) + len(b) for a, b in samples)
    assert found.asked is None, "texts say what is the same"


def test_of_a_long_prompt_the_end_stays() -> None:
    """The last question, and the beginning of the assistant's turn."""
    prompt, completion = sized(20, 5)
    assert one((prompt, completion), max_tokens=12) == ((prompt[-7:], completion), {})
    assert one((prompt, completion), max_prompt_tokens=3) == ((prompt[-3:], completion), {})
    assert one((prompt, completion), max_tokens=12, truncate_prompt="keep_start") == ((prompt[:7], completion), {})
    dropped = {"prompt_too_long": GOOD_ONE}
    assert one((prompt, completion), max_tokens=24, truncate_prompt="drop") == (None, dropped)
    assert one((prompt, completion), max_tokens=25, truncate_prompt="drop") == ((prompt, completion), {})
    assert one((prompt, completion), max_prompt_tokens=19, truncate_prompt="drop") == (None, dropped)


def test_a_long_completion_is_left_out_or_ends_in_the_end_token() -> None:
    prompt, completion = sized(4, 20)
    dropped = {"completion_too_long": GOOD_ONE}
    assert one((prompt, completion), max_completion_tokens=19) == (None, dropped)
    assert one((prompt, completion), max_completion_tokens=20) == ((prompt, completion), {})
    assert one((prompt, completion), max_tokens=20) == (None, dropped), "no prompt would be left"
    cut = one((prompt, completion), max_completion_tokens=6, truncate_completion="keep_eos")
    assert cut == ((prompt, [*completion[:5], EOS]), {})


def test_where_prompts_stay_whole_completions_are_cut_to_the_rest() -> None:
    prompt, completion = sized(10, 20)
    options: dict[str, Any] = {"truncate_prompt": "drop", "truncate_completion": "keep_eos"}
    assert one((prompt, completion), max_tokens=16, **options) == ((prompt, [*completion[:5], EOS]), {})
    assert one((prompt, completion), max_tokens=12, **options) == ((prompt, [completion[0], EOS]), {})
    assert one((prompt, completion), max_tokens=11, **options) == (None, {"prompt_too_long": GOOD_ONE})


def test_every_fault_is_counted_under_its_name() -> None:
    samples = [sized(3, 4) for _ in range(5)] + [([5], [EOS]), ([5], [])]
    fault = [SOUND, BOUNDARY, TEXT_LOST, TEMPLATE_FAILED, BOUNDARY, SOUND, SOUND]
    found, ids = fitted(samples, Limits(), [True, True, False, False, False, True, False], fault)
    assert [sample is not None for sample in ids] == [True] + [False] * 6
    assert found.report.dropped == {
        "template_boundary": {"good": 1, "bad": 1},
        "template_loses_text": {"good": 0, "bad": 1},
        "template_failed": {"good": 0, "bad": 1},
        "empty_completion": {"good": 1, "bad": 1},
    }


def test_samples_that_are_the_same_after_a_cut_are_told_of() -> None:
    head = [*range(100, 110)]
    samples: list[Sample] = [
        ([1, *head], [7, EOS]),
        ([2, *head], [7, EOS]),
        ([3, *head], [7, EOS]),
        (head, [8, EOS]),
        ([4, *head], [9, EOS]),
    ]
    labels = [True, True, False, True, False]
    found, ids = fitted(samples, Limits(max_prompt_tokens=10), labels)
    assert (found.report.same_after_cut, found.report.contradicting_after_cut) == (3, 3)
    assert found.report.cut == {"prompt": {"good": 2, "bad": 2}}
    assert None not in ids
    found, ids = fitted(samples, Limits(max_prompt_tokens=10, drop_repeats=True), labels)
    assert found.used.tolist() == [True, False, True, True, True]
    assert found.report.dropped == {"duplicate_after_cut": {"good": 1, "bad": 0}}
    found, ids = fitted(samples, Limits(max_prompt_tokens=10, drop_conflicts=True, drop_repeats=True), labels)
    assert found.used.tolist() == [False, False, False, True, True]
    assert found.report.dropped == {"conflict_after_cut": {"good": 2, "bad": 1}}
    assert found.report.cut == {"prompt": {"good": 0, "bad": 1}}
    assert "3 samples equal another one once they are cut, 3 of them with both labels" in str(found.report)


def test_what_was_the_same_before_is_no_matter_of_limits() -> None:
    samples: list[Sample] = [([1, 2], [7, EOS])] * 3 + [sized(9, 3)]
    found, _ = fitted(
        samples, Limits(max_prompt_tokens=5, drop_repeats=True, drop_conflicts=True), [True, False, True, True]
    )
    assert found.report.same_after_cut == 0
    assert found.used.all()


def test_hashes_are_those_of_what_is_used() -> None:
    found, _ = fitted([([1, 5, 6], [7, EOS]), ([2, 5, 6], [7, EOS]), ([5, 6], [8, EOS])], Limits(max_prompt_tokens=2))
    assert found.asked is not None
    assert found.answer is not None
    assert len(set(found.asked.tolist())) == 1
    assert len(set(found.answer.tolist())) == 2
    assert found.answer[0] == found.answer[1]


@pytest.mark.parametrize(
    ("name", "value", "least"),
    [("max_tokens", 2, 3), ("max_tokens", -1, 3), ("max_prompt_tokens", 0, 1), ("max_completion_tokens", 1, 2)],
)
def test_limits_without_room_are_refused(name: str, value: int, least: int) -> None:
    with pytest.raises(ConfigError, match=f"{name} must be at least {least}, got {value}"):
        one(sized(1, 2), **{name: value})


def test_no_samples_fit_any_limits() -> None:
    found, ids = fitted([], Limits(max_tokens=3, drop_repeats=True, drop_conflicts=True))
    assert ids == []
    assert found.report.tokens == 0


limits = st.builds(
    Limits,
    max_tokens=st.none() | st.integers(3, 40),
    max_prompt_tokens=st.none() | st.integers(1, 30),
    max_completion_tokens=st.none() | st.integers(2, 30),
    truncate_prompt=st.sampled_from(["keep_end", "keep_start", "drop"]),
    truncate_completion=st.sampled_from(["drop", "keep_eos"]),
    drop_repeats=st.booleans(),
    drop_conflicts=st.booleans(),
)


@st.composite
def some_samples(draw: st.DrawFn) -> tuple[list[Sample], list[bool], list[int]]:
    """Few different tokens, so that many are the same once they are cut."""
    token = st.integers(3, 4)
    n = draw(st.integers(0, 25))
    samples = [
        (draw(st.lists(token, max_size=45)), [*draw(st.lists(token, max_size=45)), EOS])
        for _ in range(n)
    ]  # fmt: skip
    labels = draw(st.lists(st.booleans(), min_size=n, max_size=n))
    return samples, labels, draw(st.lists(st.sampled_from([SOUND] * 6 + [BOUNDARY]), min_size=n, max_size=n))


def is_within(value: int, limit: int | None) -> bool:
    return limit is None or value <= limit


def check_cut(sample: Sample, own: Sample, limits: Limits) -> None:
    """What is used of a sample keeps to the limits, and is a part of it."""
    (prompt, completion), (asked, said) = sample, own
    assert is_within(len(asked) + len(said), limits.max_tokens)
    assert is_within(len(asked), limits.max_prompt_tokens)
    assert is_within(len(said), limits.max_completion_tokens)
    assert said[-1] == EOS
    assert len(said) >= 2
    assert bool(asked) == bool(prompt)
    assert said[:-1] == completion[: len(said) - 1]
    ends = limits.truncate_prompt == "keep_end"
    assert asked == (prompt[len(prompt) - len(asked) :] if ends else prompt[: len(asked)])
    assert limits.truncate_completion == "keep_eos" or said == completion
    assert limits.truncate_prompt != "drop" or asked == prompt


def fits_whole(sample: Sample, limits: Limits) -> bool:
    prompt, completion = map(len, sample)
    return (
        completion > 1
        and is_within(prompt + completion, limits.max_tokens)
        and is_within(prompt, limits.max_prompt_tokens)
        and is_within(completion, limits.max_completion_tokens)
    )


@settings(deadline=None, max_examples=120)
@given(some_samples(), limits)
def test_limits_hold(data: tuple[list[Sample], list[bool], list[int]], limits: Limits) -> None:
    samples, labels, fault = data
    _, ids = fitted(samples, limits, labels, fault)
    for sample, own, was in zip(samples, ids, fault, strict=True):
        if own is not None:
            assert was == SOUND
            check_cut(sample, own, limits)
            assert own == sample or not fits_whole(sample, limits), "nothing is cut without need"
        elif not (limits.drop_repeats or limits.drop_conflicts):
            assert was != SOUND or not fits_whole(sample, limits), "nor left out"
    if limits.drop_repeats and limits.drop_conflicts:
        for own, sample in zip(ids, samples, strict=True):
            assert own is None or own == sample or ids.count(own) == 1


@settings(deadline=None, max_examples=80)
@given(some_samples(), limits)
def test_every_sample_is_accounted_for(data: tuple[list[Sample], list[bool], list[int]], limits: Limits) -> None:
    samples, labels, fault = data
    found, ids = fitted(samples, limits, labels, fault)
    report = found.report
    for label, name in ((True, "good"), (False, "bad")):
        used = [
            (own, one) for own, one, it in zip(ids, samples, labels, strict=True) if it == label and own is not None
        ]
        assert len(used) + sum(counts[name] for counts in report.dropped.values()) == labels.count(label)
        for place, side in enumerate(("prompt", "completion")):
            cut = sum(own[place] != one[place] for own, one in used)
            assert report.cut.get(side, {}).get(name, 0) == cut
    assert report.tokens == sum(len(own[0]) + len(own[1]) for own in ids if own is not None)
    assert report.tokens == int(found.length[found.used].sum())


@settings(deadline=None, max_examples=30)
@given(some_samples(), limits)
def test_samples_stay_as_they_are(data: tuple[list[Sample], list[bool], list[int]], limits: Limits) -> None:
    """Cut anew for every use: a second limit sees the whole again."""
    samples, labels, _ = data
    copies = [(list(a), list(b)) for a, b in samples]
    fitted(samples, limits, labels)
    assert samples == copies
    _, ids = fitted(samples, Limits(), labels)
    assert [own for own in ids if own is not None] == [one for one in samples if len(one[1]) > 1]
