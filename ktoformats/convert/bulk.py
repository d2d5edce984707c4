"""Records of one shape whose facts stand in known columns: decided a block at a time.

Most files are like this, and most of the time that a record costs is not spent on its text but on the objects made
for it: a row, a context, a fact, a candidate. Here there are none. What any of the rules of `policy` could treat
in a special way (an empty text, a verdict that cannot be read, sides that are the same) is left to the
ordinary road, record by record, so that those rules stand in one place and errors come from one place.
"""

from __future__ import annotations

from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.convert.encode import Same, Samples, cell_text
from ktoformats.convert.policy import picks_of, preference_type_of
from ktoformats.convert.run import kept_of
from ktoformats.feedback import BAD, GOOD, Fact, Judged, Pair, Ranked
from ktoformats.plugin.blank import BLANK_STARTS
from ktoformats.plugin.layout import DialogueLayout, JudgedLayout, Layout, PairLayout, RankedLayout

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ktoformats.convert.labels import LabelReader
    from ktoformats.convert.policy import Policy
    from ktoformats.plugin.kinds import Labels

_PLAIN_CELLS: Final = (str, int, float, bool)
_NO_TURNS: Final = ("", "", "", "")
"""What a message with a role and a content has besides: no reasoning, tool calls, id and name."""


class Bulk(NamedTuple):
    """What records of one shape came to."""

    samples: Samples
    numbers: list[int]
    """The record of each sample."""
    left: list[int]
    """Records that must be looked at one by one."""
    unjudged: Counter[str]
    used: int
    """How many records gave samples."""


def decide_all(
    layout: Layout,
    records: Sequence[Any],
    numbers: Sequence[int],
    lines: Sequence[int],
    *,
    format_name: str,
    kept: tuple[str, ...],
    policy: Policy,
    labels: LabelReader,
) -> Bulk | None:
    """Decide records of one shape.

    Args:
        layout: Where their facts stand.
        records: All records of the block.
        numbers: Which of them are of this shape.
        lines: The line of each record of the block.
        format_name: The format that reads them.
        kept: The carried columns.
        policy: The configured choices.
        labels: Reads raw cells.

    Returns:
        What they came to; None where each must be looked at.
    """
    if policy.reasoning != "keep":
        return None
    rule = _RULES[type(layout)]
    own = [records[number] for number in numbers]
    made = rule(layout, own, policy, labels)
    if made is None or not made.places:
        return None
    taken = [numbers[place] for place in made.places]
    columns = made.columns | {
        "format_type": Same(format_name),
        "line": [lines[number] for number in taken],
        "kept": [kept_of(records[number], kept) for number in taken] if kept else Same(""),
    }
    read = set(taken)
    left = [number for number in numbers if number not in read] if len(read) < len(numbers) else []
    unjudged = Counter(middle_rank=made.unjudged) if made.unjudged else Counter[str]()
    pairs = [row ^ 1 for row in range(len(taken))] if made.paired else None
    return Bulk(Samples(len(taken), columns, pairs), taken, left, unjudged, len(read))


class _Made(NamedTuple):
    """Samples of some records, by column."""

    places: Sequence[int]
    """The record of each sample, among those given."""
    columns: dict[str, Sequence[Any] | Same]
    paired: bool = False
    unjudged: int = 0
    """Answers of rankings that are neither among the best nor among the worst."""


def _judged(layout: JudgedLayout, records: list[Any], policy: Policy, labels: LabelReader) -> _Made | None:
    del policy
    prompts = [record[layout.prompt] for record in records]
    responses = [record[layout.response] for record in records]
    verdicts = _Verdicts(layout, records, labels)
    if verdicts.codes is None:
        return None
    places = [
        place
        for place, (prompt, response, code) in enumerate(zip(prompts, responses, verdicts.codes, strict=True))
        if code >= 0 and prompt[:1] not in BLANK_STARTS and response[:1] not in BLANK_STARTS
    ]
    if len(places) < len(records):
        prompts, responses = [prompts[place] for place in places], [responses[place] for place in places]
    return _Made(places, {"prompt": prompts, "response": responses, **verdicts.columns(places)})


def _dialogues(layout: DialogueLayout, records: list[Any], policy: Policy, labels: LabelReader) -> _Made | None:
    del policy
    verdicts = _Verdicts(layout, records, labels)
    if verdicts.codes is None:
        return None
    places, prompts, responses, turns = [], [], [], []
    for place, (record, code) in enumerate(zip(records, verdicts.codes, strict=True)):
        messages = record[layout.messages]
        contents = [message.get("content") for message in messages]  # the shape is that of all of them together
        plain = code >= 0 and _alternate([message.get("role") for message in messages]) and _are_filled(contents)
        if plain:
            places.append(place)
            responses.append(contents[-1])
            prompts.append(contents[-2])
            turns.append(
                [(message["role"], message["content"], *_NO_TURNS) for message in messages[:-1]]
                if len(messages) > 2  # noqa: PLR2004 - one turn is the prompt, and no conversation
                else ()
            )
    columns = {"prompt": prompts, "response": responses, "conversation": turns}
    return _Made(places, columns | verdicts.columns(places))


_TURNS_KNOWN: Final = tuple((["user", "assistant"] * (turns // 2)) for turns in range(0, 128, 2))
"""The roles of dialogues of 0, 2, 4 ... turns in which user and assistant take turns."""


def _alternate(roles: list[Any]) -> bool:
    """Whether user and assistant take turns, and the assistant has the last word."""
    pairs, rest = divmod(len(roles), 2)
    return not rest and 0 < pairs < len(_TURNS_KNOWN) and roles == _TURNS_KNOWN[pairs]


def _are_filled(texts: list[Any]) -> bool:
    """Whether all of these are texts that begin with a visible character."""
    return set(map(type, texts)) == {str} and BLANK_STARTS.isdisjoint([text[:1] for text in texts])


def _pairs(layout: PairLayout, records: list[Any], policy: Policy, labels: LabelReader) -> _Made | None:
    del labels
    if not policy.convert_pairs or policy.pair_sides == "random":
        return None
    prompts = [record[layout.prompt] for record in records]
    chosen = [record[layout.chosen] for record in records]
    rejected = [record[layout.rejected] for record in records]
    places = [
        place
        for place, (prompt, one, other) in enumerate(zip(prompts, chosen, rejected, strict=True))
        if one != other
        and prompt[:1] not in BLANK_STARTS
        and one[:1] not in BLANK_STARTS
        and other[:1] not in BLANK_STARTS
    ]
    count = len(places)
    columns: dict[str, Any] = {
        "prompt": _twice([prompts[place] for place in places]),
        "response": list(chain.from_iterable([(chosen[place], rejected[place]) for place in places])),
        "label": [GOOD, BAD] * count,
        "field": ["chosen", "rejected"] * count,
        **_says(Pair, [GOOD, BAD] * count),
    }
    return _Made(_twice(places), columns, paired=True)


def _twice(values: Sequence[Any]) -> list[Any]:
    return list(chain.from_iterable(zip(values, values, strict=True)))


def _ranked(layout: RankedLayout, records: list[Any], policy: Policy, labels: LabelReader) -> _Made | None:
    del labels
    if not all(type(rank) is int for rank in records[0][layout.ranks]):  # the shape tells floats apart
        return None
    places, prompts, responses, labelled, cells, ranks = [], [], [], [], [], []
    unjudged = 0
    for place, record in enumerate(records):
        answers, order = record[layout.responses], record[layout.ranks]
        picks = picks_of(tuple(order), layout.best, policy) if len(order) == len(answers) else ()
        prompt = record[layout.prompt]
        plain = picks and prompt[:1] not in BLANK_STARTS and _are_filled(answers)
        if not plain or len({answers[pick.answer] for pick in picks}) < len(picks):
            continue
        unjudged += len(answers) - len(picks)
        for pick in picks:
            places.append(place)
            prompts.append(prompt)
            responses.append(answers[pick.answer])
            labelled.append(pick.label)
            cells.append(order[pick.answer])
            ranks.append(pick.place)
    columns: dict[str, Any] = {
        "prompt": prompts,
        "response": responses,
        "label": labelled,
        "field": Same(layout.field or layout.ranks),
        "cell": list(map(str, cells)),
        "rank": ranks,
        **_says(Ranked, labelled),
    }
    return _Made(places, columns, unjudged=unjudged)


def _says(fact: type[Fact], labelled: Sequence[str]) -> dict[str, Sequence[str] | Same]:
    """The columns that follow from the kind of fact."""
    names = {label: preference_type_of(fact, label) for label in (GOOD, BAD)}
    same = names[GOOD] == names[BAD]
    return {
        "fact": Same(fact.__name__.lower()),
        "preference_type": Same(names[GOOD]) if same else [names[label] for label in labelled],
    }


class _Verdicts:
    """The verdicts of some records, each distinct cell read once.

    Args:
        layout: Names the column and the scale.
        records: They have one shape, so the cells have one type.
        labels: Reads raw cells.
    """

    def __init__(self, layout: JudgedLayout | DialogueLayout, records: list[Any], labels: LabelReader) -> None:
        self._field = layout.verdict
        self._cells = [record[self._field] for record in records]
        self._readings: list[tuple[str, str, float | None]] = []
        self.codes: list[int] | None = None
        """For each cell the number of its reading, -1 where it is not plainly good or bad; None: look at each."""
        if type(self._cells[0]) in _PLAIN_CELLS:
            known: dict[Any, int] = {}
            for cell in self._cells:
                if cell not in known:
                    known[cell] = self._read(cell, layout.scale, labels)
            self.codes = [known[cell] for cell in self._cells]

    def _read(self, cell: Any, scale: str | Labels | Callable[[Any], str], labels: LabelReader) -> int:
        if type(cell) is str and not cell.strip():
            return -1
        try:
            verdict = labels.read(cell, self._field, scale(cell) if callable(scale) else scale)
        except Exception:  # noqa: BLE001 - the ordinary road meets it again, and tells whose it is
            return -1
        if not verdict.label or verdict.flags:
            return -1
        self._readings.append((verdict.label, verdict.scale, verdict.position))
        return len(self._readings) - 1

    def columns(self, places: Sequence[int]) -> dict[str, Sequence[Any] | Same]:
        """The columns of the samples that these records give."""
        codes = [(self.codes or [])[place] for place in places]
        labels, scales, positions = zip(*self._readings, strict=True) if self._readings else ((), (), ())
        texts: dict[str, str] = {}
        # a float is written as it stands: 0.0 and -0.0 are one key
        cells = [
            cell_text(cell) if type(cell) is float else texts.get(cell) or texts.setdefault(cell, cell_text(cell))
            for cell in [self._cells[place] for place in places]
        ]
        labelled = [labels[code] for code in codes]
        return {
            "label": labelled,
            "field": Same(self._field),
            "cell": cells,
            "scale": [scales[code] for code in codes],
            "position": [positions[code] for code in codes],
            **_says(Judged, labelled),
        }


_RULES: Final[dict[type, Callable[..., _Made | None]]] = {
    JudgedLayout: _judged,
    DialogueLayout: _dialogues,
    PairLayout: _pairs,
    RankedLayout: _ranked,
}
