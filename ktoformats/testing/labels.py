"""Laws of label plugins: strict, ordered, deaf to spelling, never guessing."""

from __future__ import annotations

import math
import unicodedata
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final, cast

from ktoformats.errors import KTOLabelError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.lexicon import label_key
from ktoformats.plugin.scale import Reading
from ktoformats.testing import corpus
from ktoformats.testing.law import LawBrokenError, is_code, law, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.plugin.kinds import Labels
    from ktoformats.testing.subject import Subject

_UNJUDGED: Final[tuple[Any, ...]] = (None, "", " ", "\t\n")


def _plugin(subject: Subject, options: Any = None) -> Labels:
    return cast("Labels", subject.make(options))


def _cells(subject: Subject) -> list[Any]:
    """Cells that it may know: its examples, the spellings of its scale, and what others know."""
    spellings = [word for grade in _plugin(subject).scale.grades for word in grade if not word.startswith("=")]
    return [*(example.given for example in subject.examples), *spellings, *corpus.CELLS]


@law("labels")
def grades(subject: Subject) -> str:
    """Each example cell is read as it says: `good`, `bad`, empty for the middle, None where nobody judged."""
    seen = set()
    for example in subject.some_examples():
        try:
            reading: Any = _plugin(subject, example.options).read(example.given)
        except KTOLabelError as error:
            label, told = str(error), f"refused ({error.reason}: {error.message})"
        else:
            label = getattr(reading, "label", reading)
            told = short(label)
        if label != example.gives:
            raise LawBrokenError(f"cell {example.given!r} should be {example.gives!r}, and is {told}")
        seen.add(label)
    if missing := {GOOD, BAD} - seen:
        raise LawBrokenError(f"no example is {' or '.join(sorted(missing))}; give one cell for each grade")
    return f"{len(subject.examples)} cells"


@law("labels")
def readings(subject: Subject) -> None:
    """A reading is a `Reading`: good, bad or empty, a place from 0 to 1, the scale's name."""
    plugin = _plugin(subject)
    for cell in _cells(subject):
        try:
            reading = plugin.read(cell)
        except KTOLabelError:
            continue
        except Exception as error:
            raise LawBrokenError(
                f"cell {cell!r} raises {type(error).__name__}: {error}; raise KTOLabelError(reason, message)"
            ) from error
        if reading is not None and (trouble := _trouble(reading)):
            raise LawBrokenError(f"cell {cell!r} is read as {short(reading)}: {trouble}")


def _trouble(reading: Any) -> str:
    if not isinstance(reading, Reading):
        return "that is no Reading; `self.scale.read(cell)` makes one"
    if reading.label not in (GOOD, BAD, ""):
        return "the label must be good, bad or empty"
    if not isinstance(reading.position, float | int) or not 0 <= reading.position <= 1:
        return "the position must lie between 0 (worst) and 1 (best)"
    if not math.isfinite(reading.value):
        return "the value must be a finite number"
    return "" if reading.scale else "the scale must have a name"


@law("labels")
def ordered(subject: Subject) -> None:
    """No bad cell stands above a good one, and the middle stands between."""
    plugin = _plugin(subject)
    rank = {BAD: 0, "": 1, GOOD: 2}
    read = [(reading, cell) for cell in _cells(subject) if isinstance(reading := _read(plugin, cell), Reading)]
    read.sort(key=lambda pair: pair[0].position)
    for (low, one), (high, other) in pairwise(read):
        if low.position < high.position and rank.get(low.label, 1) > rank.get(high.label, 1):
            raise LawBrokenError(
                f"{one!r} is {low.label or 'the middle'} at {low.position:g}, and {other!r} is "
                f"{high.label or 'the middle'} above it at {high.position:g}; list the grades worst first"
            )


def _read(plugin: Labels, cell: Any) -> Reading | None:
    try:
        return plugin.read(cell)
    except Exception:  # noqa: BLE001 - other laws tell of it
        return None


@law("labels")
def strict(subject: Subject) -> None:
    """A cell it does not know is refused with KTOLabelError, and never given a default."""
    plugin = _plugin(subject)
    shown = {type(example.given) for example in subject.examples}
    for cell in corpus.UNREADABLE:
        if type(cell) in shown & {list, dict}:
            continue  # it reads some of these, and only its author knows which
        try:
            reading = plugin.read(cell)
        except KTOLabelError as error:
            if not error.message.strip():
                raise LawBrokenError(f"cell {short(cell, 60)} is refused without a message") from error
            if not is_code(error.reason):
                raise LawBrokenError(
                    f"cell {short(cell, 60)} is refused, and the reason is {error.reason!r}; take a code such as "
                    "`label_unrecognised`, and say the rest in the message"
                ) from error
            continue
        except Exception as error:
            raise LawBrokenError(
                f"cell {short(cell, 60)} raises {type(error).__name__}: {error}; raise KTOLabelError(reason, message)"
            ) from error
        told = "as if nobody had judged" if reading is None else f"as {short(reading.label)}"
        raise LawBrokenError(
            f"cell {short(cell, 60)} is read {told}; what the scale does not know must be refused, never guessed: no "
            "bool(cell), no default"
        )


@law("labels")
def unjudged(subject: Subject) -> None:
    """Null and blank cells are None: nobody judged."""
    plugin = _plugin(subject)
    for cell in _UNJUDGED:
        try:
            reading = plugin.read(cell)
        except Exception as error:
            raise LawBrokenError(
                f"cell {cell!r} raises {type(error).__name__}: {error}; return None, nobody judged"
            ) from error
        if reading is not None:
            raise LawBrokenError(f"cell {cell!r} is read as {short(reading)}; return None, nobody judged")


@law("labels")
def spelling(subject: Subject) -> None:
    """Case, spaces, width, vowel marks and normal forms of a cell never change its label."""
    plugin = _plugin(subject)
    for cell in _cells(subject):
        if type(cell) is not str or not isinstance(reading := _read(plugin, cell), Reading):
            continue
        for variant in _variants(cell):
            again = _read(plugin, variant)
            if isinstance(again, Reading) and again.label != reading.label:
                raise LawBrokenError(
                    f"{cell!r} is {reading.label!r} and {variant!r} is {again.label!r}; compare `label_key(cell)`, "
                    "and give each spelling to one grade only"
                )


def _variants(cell: str) -> Iterator[str]:
    made = [cell.upper(), cell.lower(), cell.title(), f" {cell}\u200f ", cell.replace("ا", "أ")]
    made += [unicodedata.normalize(form, cell) for form in ("NFC", "NFD", "NFKC", "NFKD")]
    made.append("".join(c + "\u064e" * ("\u0621" <= c <= "\u064a") for c in cell))  # a vowel mark on each letter
    yield from (one for one in made if label_key(one) == label_key(cell))
