"""Who a sample is: digests of its content, taken from the encoded columns of a whole batch.

Origin is provenance and not identity: the same content read from another file or line has the same id.
"""

from __future__ import annotations

from hashlib import sha256
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import numpy as np

from ktoformats.feedback import GOOD

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

ID_DIGITS: Final = 32
GROUP_DIGITS: Final = 16


def sample_ids(prompts: pa.Array, responses: pa.Array, labels: Sequence[str], extras: Sequence[bytes]) -> list[str]:
    """The id of every sample.

    Args:
        prompts: large_string, shape (rows,).
        responses: large_string, shape (rows,).
        labels: `good` or `bad` for each row.
        extras: What else belongs to a row's content (system, turns, tools, tool calls, reasoning), or b"".

    Returns:
        32 hexadecimal digits for each row: the first half of the SHA-256 of its content.
    """
    ids = []
    for prompt, response, label, extra in zip(_encoded(prompts), _encoded(responses), labels, extras, strict=True):
        mark = b"\1" if label == GOOD else b"\0"
        content = b"".join((b"%d:" % len(prompt), prompt, mark, response, extra))
        ids.append(sha256(content).hexdigest()[:ID_DIGITS])
    return ids


def groups(prompts: pa.Array, firsts: Sequence[bytes]) -> list[str]:
    """The group of every sample: what a split must not tear apart.

    Args:
        prompts: large_string, shape (rows,).
        firsts: The first user turn of a row's conversation, or b"" where the prompt is the first.

    Returns:
        16 hexadecimal digits for each row.
    """
    return [
        sha256(first or prompt).hexdigest()[:GROUP_DIGITS]
        for prompt, first in zip(_encoded(prompts), firsts, strict=True)
    ]


def _encoded(column: pa.Array) -> list[memoryview]:
    """The UTF-8 bytes of every value, without copying."""
    _, offset_buffer, data = column.buffers()
    offsets = np.frombuffer(offset_buffer, np.int64)[column.offset : column.offset + len(column) + 1].tolist()
    view = memoryview(data if data is not None else b"")
    return [view[start:stop] for start, stop in pairwise(offsets)]
