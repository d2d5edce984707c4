"""Who a sample is: digests of its content, for a whole batch at once.

Origin is provenance and not identity: the same content read from another file or line has the same id.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ktoformats.feedback import BAD, GOOD, Pair

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ktoformats.feedback import Fact

ID_DIGITS: Final = 32
GROUP_DIGITS: Final = 16
PAIR_DIGITS: Final = 16
_MARKS: Final = {GOOD: b"\1", BAD: b"\0"}


def sample_ids(
    prompts: Sequence[bytes], responses: Sequence[bytes], labels: Sequence[str], extras: Iterable[bytes]
) -> list[str]:
    """The id of every sample.

    Args:
        prompts: UTF-8, one for each row.
        responses: UTF-8, one for each row.
        labels: `good` or `bad` for each row.
        extras: What else belongs to a row's content (system, turns, tools, tool calls, reasoning), or b"".

    Returns:
        32 hexadecimal digits for each row: the first half of the SHA-256 of its content.
    """
    return [
        sha256(b"%d:%b%b%b%b" % (len(prompt), prompt, _MARKS[label], response, extra)).hexdigest()[:ID_DIGITS]
        for prompt, response, label, extra in zip(prompts, responses, labels, extras, strict=False)
    ]


def groups(prompts: Sequence[bytes], firsts: Iterable[bytes]) -> list[str]:
    """The group of every sample: what a split must not tear apart.

    Args:
        prompts: UTF-8, one for each row.
        firsts: The first user turn of a row's conversation, or b"" where the prompt is the first.

    Returns:
        16 hexadecimal digits for each row.
    """
    return [
        sha256(first or prompt).hexdigest()[:GROUP_DIGITS] for prompt, first in zip(prompts, firsts, strict=False)
    ]


def pairs(ids: Sequence[str], facts: Sequence[Fact]) -> list[str]:
    """The pair of every sample: the same for the two sides of one preference, empty for all other samples.

    Args:
        ids: As `sample_ids` gives them.
        facts: What each sample follows from; the sides of one pair share their fact and stand side by side.

    Returns:
        16 hexadecimal digits for each row: half from each side's id, or all from the one that is left.
    """
    names = [""] * len(ids)
    for row, fact in enumerate(facts):
        if type(fact) is not Pair or names[row]:
            continue
        if row + 1 < len(ids) and facts[row + 1] is fact:
            names[row] = names[row + 1] = ids[row][: PAIR_DIGITS // 2] + ids[row + 1][: PAIR_DIGITS // 2]
        else:
            names[row] = ids[row][:PAIR_DIGITS]
    return names
