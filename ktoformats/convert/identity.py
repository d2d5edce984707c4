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
_FIRST_DIGITS: Final = {
    label: {f"{digit:x}": f"{digit & 14 | bit:x}" for digit in range(16)} for label, bit in ((GOOD, 1), (BAD, 0))
}


def identify(
    prompts: Sequence[bytes],
    responses: Sequence[bytes],
    labels: Sequence[str],
    extras: Iterable[bytes],
    firsts: Iterable[bytes],
) -> tuple[list[str], list[str]]:
    """The id and the group of every sample; a group is what a split must not tear apart.

    Args:
        prompts: UTF-8, one for each row.
        responses: UTF-8, one for each row.
        labels: `good` or `bad` for each row.
        extras: What else belongs to a row's content (system, turns, tools, tool calls, reasoning), or b"".
        firsts: The first user turn of a row's conversation, or b"" where the prompt is the first.

    Returns:
        Ids of 32 hexadecimal digits, from the SHA-256 of prompt, response and extra, then the lengths of the
        first two, without which the boundaries would be anyone's guess; the lowest bit of the first digit is the
        label, so that two labels of one answer differ in nothing else. Groups of 16 digits, from the SHA-256 of
        the first user turn.
    """
    ids, groups = [], []
    for prompt, response, label, extra, first in zip(prompts, responses, labels, extras, firsts, strict=False):
        state = sha256(prompt)
        groups.append((sha256(first) if first else state).hexdigest()[:GROUP_DIGITS])
        state.update(response)
        state.update(b"%b%16x%16x" % (extra, len(prompt), len(response)))
        digits = state.hexdigest()
        ids.append(_FIRST_DIGITS[label][digits[0]] + digits[1:ID_DIGITS])
    return ids, groups


def pairs(ids: Sequence[str], facts: Sequence[Fact]) -> list[str]:
    """The pair of every sample: the same for the two sides of one preference, empty for all other samples.

    Args:
        ids: As `identify` gives them.
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
