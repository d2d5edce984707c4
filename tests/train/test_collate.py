"""Batches as tensors, compared with those of TRL's own collator."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats import KTOCollator

if TYPE_CHECKING:
    from collections.abc import Callable

PAD = 99
TENSORS = ("input_ids", "attention_mask", "completion_mask")
KEYS = [*TENSORS, *(f"KL_{name}" for name in TENSORS), "label"]


def row(prompt: list[int], completion: list[int], strange: list[int], *, label: bool = True) -> dict[str, Any]:
    """As `KTOTokenDataset` gives it."""
    return {
        "prompt_ids": array("i", prompt),
        "completion_ids": array("i", completion),
        "KL_completion_ids": array("i", strange),
        "label": label,
        "utility_score": 0.25,
        "weight": 2.0,
        "id": f"{prompt}",
    }


ROWS = [
    row([1, 2, 3], [4, 5], [6], label=True),
    row([7], [8, 9, 10, 11, 12], [13, 14, 15, 16, 17, 18], label=False),
    row([], [20, 21], [22, 23], label=False),
]
ids = st.lists(st.integers(0, 50), max_size=9)
some_rows = st.lists(
    st.builds(row, ids, ids.filter(bool), ids.filter(bool), label=st.booleans()), min_size=1, max_size=6
)  # fmt: skip


def check_the_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(expected) == KEYS
    for key, tensor in expected.items():
        assert found[key].dtype == tensor.dtype, key
        assert found[key].tolist() == tensor.tolist(), key
        assert found[key].is_contiguous()


@pytest.mark.parametrize("multiple", [None, 1, 4, 8])
def test_the_tensors_are_those_of_trl(multiple: int | None, of_trl: Callable[[str, str], Any]) -> None:
    theirs = of_trl("trainer/kto_trainer.py", "DataCollatorForUnpairedPreference")(PAD, None, multiple)
    check_the_same(KTOCollator(PAD, None, multiple)(ROWS), theirs.torch_call(ROWS))


@settings(deadline=None, max_examples=60)
@given(rows=some_rows, multiple=st.none() | st.integers(1, 7), spare=st.none() | st.integers(0, 5))
def test_whatever_the_lengths(
    rows: list[dict[str, Any]], multiple: int | None, spare: int | None, of_trl: Callable[[str, str], Any]
) -> None:
    """A limit that all samples keep to, as the dataset's do, cuts twins where TRL cuts them."""
    most = None if spare is None else max(len(one["prompt_ids"]) + len(one["completion_ids"]) for one in rows) + spare
    theirs = of_trl("trainer/kto_trainer.py", "DataCollatorForUnpairedPreference")(PAD, most, multiple)
    check_the_same(KTOCollator(PAD, most, multiple)(rows), theirs.torch_call(rows))


def test_rows_and_twins_are_padded_each_to_its_longest() -> None:
    batch = KTOCollator(PAD)(ROWS)
    assert batch["input_ids"].tolist() == [[1, 2, 3, 4, 5, PAD], [7, 8, 9, 10, 11, 12], [20, 21, PAD, PAD, PAD, PAD]]
    assert batch["completion_mask"].tolist() == [[0, 0, 0, 1, 1, 0], [0, 1, 1, 1, 1, 1], [1, 1, 0, 0, 0, 0]]
    assert batch["KL_input_ids"].tolist()[0] == [1, 2, 3, 6, PAD, PAD, PAD]
    assert batch["KL_attention_mask"].sum(1).tolist() == [4, 7, 2]
    assert all(batch[f"{kind}{name}"].dtype == torch.int64 for kind in ("", "KL_") for name in TENSORS)
    assert batch["label"].tolist() == [True, False, False]
    assert batch["id"] == ["[1, 2, 3]", "[7]", "[]"]


def test_weights_and_utilities_come_along() -> None:
    batch = KTOCollator(PAD)(ROWS)
    for name, value in (("utility_score", 0.25), ("weight", 2.0)):
        assert batch[name].dtype == torch.float32
        assert batch[name].tolist() == [value] * 3
    assert batch["label"].dtype == batch["KL_valid"].dtype == torch.bool


def test_padding_stands_on_the_left_where_that_is_asked_for() -> None:
    right = KTOCollator(PAD, pad_to_multiple_of=4)(ROWS)
    left = KTOCollator(PAD, pad_to_multiple_of=4, padding_side="left")(ROWS)
    for kind in ("", "KL_"):
        assert left[f"{kind}input_ids"].shape == right[f"{kind}input_ids"].shape == (3, 8)
        mask = left[f"{kind}attention_mask"].bool()
        assert (mask.int().diff(dim=1) >= 0).all(), "tokens end the row"
        for name in TENSORS:
            one, other = left[f"{kind}{name}"], right[f"{kind}{name}"]
            for number in range(3):
                tokens = right[f"{kind}attention_mask"][number].bool()
                assert one[number][mask[number]].tolist() == other[number][tokens].tolist()
        assert (left[f"{kind}input_ids"][~mask] == PAD).all()
        assert not left[f"{kind}completion_mask"][~mask].any()


def test_the_answer_of_a_partner_is_cut_to_the_limit() -> None:
    batch = KTOCollator(PAD, max_length=6)(ROWS)
    assert batch["KL_input_ids"].tolist() == [[1, 2, 3, 6, PAD, PAD], [7, 13, 14, 15, 16, 17], [22, 23] + [PAD] * 4]
    assert batch["KL_valid"].tolist() == [True, True, True]
    batch = KTOCollator(PAD, max_length=3)([row([1, 2, 3], [], [6]), row([1, 2], [3], [6, 7])])
    assert batch["KL_valid"].tolist() == [False, True], "nothing is left of it"
    assert batch["KL_completion_mask"].tolist() == [[0, 0, 0], [0, 0, 1]]


def test_a_row_without_a_partner_says_so() -> None:
    batch = KTOCollator(PAD)([row([1, 2], [3], []), row([4], [5], [6, 7])])
    assert batch["KL_valid"].tolist() == [False, True]
    assert batch["KL_input_ids"].tolist() == [[1, 2, PAD], [4, 6, 7]]
    assert batch["KL_completion_mask"].tolist() == [[0, 0, 0], [0, 1, 1]]
    assert batch["input_ids"].tolist() == [[1, 2, 3], [4, 5, PAD]]


def test_numpy_arrays_are_joined_and_not_added_up(of_trl: Callable[[str, str], Any]) -> None:
    """TRL's collator joins with `+`, which adds NumPy's arrays up; ours takes lists, arrays and NumPy's alike."""
    as_numpy = [
        {name: np.array(value) if isinstance(value, array) else value for name, value in one.items()}
        for one in [row([1, 2], [3, 4], [5, 6])]
    ]
    theirs = of_trl("trainer/kto_trainer.py", "DataCollatorForUnpairedPreference")(PAD)
    assert theirs.torch_call(as_numpy)["input_ids"].tolist() == [[4, 6]], "the trap is still there"
    assert KTOCollator(PAD)(as_numpy)["input_ids"].tolist() == [[1, 2, 3, 4]]
    assert KTOCollator(PAD)(as_numpy)["KL_input_ids"].tolist() == [[1, 2, 5, 6]]


def test_what_cannot_be_meant_is_refused() -> None:
    with pytest.raises(ValueError, match="padding_side must be right or left, got 'both'"):
        KTOCollator(PAD, padding_side="both")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="pad_to_multiple_of must be at least 1, got 0"):
        KTOCollator(PAD, pad_to_multiple_of=0)
