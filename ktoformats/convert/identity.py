"""Who a sample is: digests of its content, for a whole batch at once.

Origin is provenance and not identity: the same content read from another file or line has the same id.
"""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final

from ktoformats.feedback import BAD, GOOD, Pair

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    extras: Sequence[bytes] | None = None,
    firsts: Sequence[bytes] | None = None,
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
    if extras is None:
        whole = [
            b"%b%b%16x%16x" % (one, two, len(one), len(two)) for one, two in zip(prompts, responses, strict=True)
        ]
    else:
        rows = zip(prompts, responses, extras, strict=True)
        whole = [b"%b%b%b%16x%16x" % (one, two, more, len(one), len(two)) for one, two, more in rows]
    digests = [sha256(content).hexdigest() for content in whole]
    ids = [
        _FIRST_DIGITS[label][digits[0]] + digits[1:ID_DIGITS] for label, digits in zip(labels, digests, strict=True)
    ]
    opening = prompts if firsts is None else [first or prompt for first, prompt in zip(firsts, prompts, strict=True)]
    named = {text: sha256(text).hexdigest()[:GROUP_DIGITS] for text in set(opening)}
    return ids, [named[text] for text in opening]


def pairs_of_neighbours(ids: Sequence[str]) -> list[str]:
    """The pair of every sample, where every two neighbours are the sides of one."""
    half = PAIR_DIGITS // 2
    names = [one[:half] + other[:half] for one, other in zip(ids[0::2], ids[1::2], strict=True)]
    return [name for name in names for _ in range(2)]


def pairs(ids: Sequence[str], facts: Sequence[Fact]) -> list[str]:
    """The pair of every sample: the same for the two sides of one preference, empty for all other samples.

    Args:
        ids: As `identify` gives them.
        facts: What each sample follows from; the sides of one pair share their fact and stand side by side.

    Returns:
        16 hexadecimal digits for each row: half from each side's id, or all from the one that is left.
    """
    names = [""] * len(ids)
    if Pair not in set(map(type, facts)):
        return names
    for row, fact in enumerate(facts):
        if type(fact) is not Pair or names[row]:
            continue
        if row + 1 < len(ids) and facts[row + 1] is fact:
            names[row] = names[row + 1] = ids[row][: PAIR_DIGITS // 2] + ids[row + 1][: PAIR_DIGITS // 2]
        else:
            names[row] = ids[row][:PAIR_DIGITS]
    return names
