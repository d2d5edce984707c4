"""What the base classes of plugins refuse when a class is written."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ktoformats import Dropped, Filter

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa


def test_a_filter_that_asks_for_a_number_that_does_not_exist_is_told_which_do() -> None:
    with pytest.raises(TypeError, match=r"Odd\.numbers names 'response_qualty'; did you mean 'response_quality'"):

        class Odd(Filter):
            numbers = frozenset({"response_qualty"})

            def drops(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
                yield Dropped("low", batch.column("response_qualty").to_numpy() < 0)
