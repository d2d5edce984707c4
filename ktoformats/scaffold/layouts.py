"""From a mapping to the Python of a format: by hand for the usual layouts, from building blocks for the others."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from ktoformats.blocks.cells import number_in
from ktoformats.errors import ConfigError
from ktoformats.propose.shape import OPEN
from ktoformats.propose.walk import path_of
from ktoformats.scaffold.literals import Call, Code, scalar, source, statement, told

if TYPE_CHECKING:
    from collections.abc import Sequence

_FACT_AT: Final = len("        yield ")
_MOST_SHOWN: Final = 8
_TWO: Final = 2
_OWN_COLUMNS: Final = ("conversation", "tools")
"""Columns that `row.context` takes into account; no mapping of a usual layout does."""
_SYSTEM: Final = "system"
_USUAL: Final = frozenset({"prompt", "system", "candidates", "verdict"})
_SPECS: Final = {"each": "Each", "each_turn": "EachTurn"}


class Layout(NamedTuple):
    """What a template of a format from a file is filled with."""

    template: str
    values: dict[str, str]
    columns: tuple[str, ...]
    """The columns that the code reads by name; empty where paths say what is read."""


class _Usual(NamedTuple):
    """A layout of plain columns."""

    context: str
    """The code that reads the context."""
    prompt: str
    answers: list[str]
    """The columns of the answers, in the order of the candidates."""
    names: list[str]
    verdict: dict[str, Any]


def layout_of(options: dict[str, Any], records: Sequence[Any], *, is_open: bool, module: str) -> Layout:
    """The template for a mapping, and what fills it.

    Args:
        options: The mapping's options.
        records: The records that it reads.
        is_open: Whether the verdict is to be completed.
        module: The module that is written.

    Raises:
        ConfigError: No template suits it.
    """
    if options["verdict"] == OPEN:
        options = {**options, "verdict": _asked(options["candidates"])}
    usual = _usual(options, records)
    made = _by_hand(usual, records, module, is_open=is_open) if usual else None
    if made is not None:
        return made
    if "parse_json" in options:
        raise ConfigError(
            "no format is drafted where columns hold JSON text; --kind presets writes the layout as a mapping, in a "
            "little YAML"
        )
    return _of_blocks(options, is_open=is_open)


def _asked(candidates: dict[str, Any]) -> dict[str, Any]:
    """The verdict of records in which nothing looks like one: a winner of two, else a label of each."""
    if len(candidates) == _TWO and not candidates.keys() & _SPECS.keys():
        return {"winner": OPEN, **{name: [OPEN] for name in candidates}}
    return {"label": OPEN, "good": [OPEN], "bad": [OPEN]}


def _usual(options: dict[str, Any], records: Sequence[Any]) -> _Usual | None:
    """The plain columns of a layout; None where paths, dialogues or templates say more than columns can."""
    objects = [record for record in records if type(record) is dict]
    columns = {path_of((name,)): name for record in objects for name in record}
    prompt, candidates, verdict = options.get("prompt"), options.get("candidates"), options.get("verdict")
    answers = list(candidates.values()) if type(candidates) is dict and not candidates.keys() & _SPECS.keys() else []
    if not options.keys() <= _USUAL or not answers or type(verdict) is not dict or len(objects) < len(records):
        return None
    if not all(type(path) is str and path in columns for path in (prompt, *answers)):
        return None
    if any(name in columns.values() for name in _OWN_COLUMNS) or not _same_system(options, columns):
        return None
    context = f"row.context({scalar(columns[str(prompt)])})"
    names = list(candidates or {})
    return _Usual(context, columns[str(prompt)], [columns[path] for path in answers], names, _named(verdict, columns))


def _same_system(options: dict[str, Any], columns: dict[str, str]) -> bool:
    """Whether `row.context` finds the system text where the mapping does."""
    return options.get("system") == (_SYSTEM if _SYSTEM in columns.values() else None)


def _named(verdict: dict[str, Any], columns: dict[str, str]) -> dict[str, Any]:
    """The verdict with its path, where it is one, as the column's name."""
    return {key: columns.get(value, value) if _is_place(key, value) else value for key, value in verdict.items()}


def _is_place(key: str, value: Any) -> bool:
    return key in ("label", "rating", "winner") and type(value) is str


def _by_hand(usual: _Usual, records: Sequence[Any], module: str, *, is_open: bool) -> Layout | None:
    """A layout that a few lines read; None where no template has them."""
    verdict = usual.verdict
    column = next((verdict[key] for key in ("label", "rating", "winner") if key in verdict), None)
    if column is not None and not all(type(record.get(column, "")) not in (list, dict) for record in records):
        return None
    is_column = type(column) is str and any(column in record for record in records)
    if len(usual.answers) == 1 and is_column:
        if verdict.keys() == {"label", "good", "bad"}:
            return _judged(usual, str(column), records, module, is_open=is_open)
        if verdict.keys() == {"rating", "good", "bad"}:
            return _rated(usual, str(column), records, is_open=is_open)
    if len(usual.answers) == _TWO and is_column and "winner" in verdict:
        return _voted(usual, str(column), records, is_open=is_open)
    if len(usual.answers) == _TWO and verdict.keys() == {"good", "bad"}:
        return _preferred(usual)
    return None


def _cell(column: str, records: Sequence[Any]) -> str:
    """The code that reads a verdict: absent is damage where all records have it, else nobody judged."""
    everywhere = all(column in record for record in records)
    return f"row[{scalar(column)}]" if everywhere else f"row.get({scalar(column)})"


def _seen(column: str, records: Sequence[Any]) -> str:
    """The values of a column with how often each stands there."""
    counts = Counter(repr(record[column]) for record in records if column in record)
    shown = [f"{told(value)} ({count})" for value, count in counts.most_common(_MOST_SHOWN)]
    more = len(counts) - len(shown)
    return ", ".join(shown) + (f" and {more} more" if more > 0 else "")


def _judged(usual: _Usual, column: str, records: Sequence[Any], module: str, *, is_open: bool) -> Layout:
    answer, verdict = usual.answers[0], usual.verdict
    labels = Call(
        "Label", (), {"label": path_of((column,)), "good": tuple(verdict["good"]), "bad": tuple(verdict["bad"])}
    )
    reader = Code("verdicts()" if is_open else "VERDICTS")
    fact = Call(
        "Judged",
        (*_answer(usual, answer), Code(_cell(column, records)), column, reader),
    )
    values = {
        "labels": "" if is_open else source(labels, used=len("VERDICTS: Final = .labels")) + ".labels",
        "fact": source(fact, indent=8, used=_FACT_AT),
        "verdicts_doc": f"What the values of `{told(column)}` mean; any other is rejected, null is *nobody judged*.",
        "verdict": scalar(column),
        "path": scalar(path_of((column,))),
        "shown_verdict": told(column),
        "seen": _seen(column, records),
        "module": module,
        **_docs(usual, f"a verdict in `{told(column)}`"),
    }
    return Layout("judged_draft" if is_open else "judged", values, (usual.prompt, answer, column))


def _answer(usual: _Usual, answer: str) -> tuple[Code, Code]:
    return Code(usual.context), Code(f"row.response({scalar(answer)})")


def _rated(usual: _Usual, column: str, records: Sequence[Any], *, is_open: bool) -> Layout:
    answer, verdict = usual.answers[0], usual.verdict
    fact = Call("Rated", (*_answer(usual, answer), Code(_cell(column, records)), Code("self.scale"), column))
    values = {
        "scale": ""
        if is_open
        else source(_scale(column, verdict, records), indent=4, used=len("    scale: Scale = ")),
        "scale_doc": f"Where `{told(column)}` turns good and bad, from the least to the greatest number seen.",
        "fact": source(fact, indent=8, used=_FACT_AT),
        "verdict": scalar(column),
        "shown_verdict": told(column),
        "seen": _seen(column, records),
        **_docs(usual, f"a rating in `{told(column)}`"),
    }
    return Layout("rated_draft" if is_open else "rated", values, (usual.prompt, answer, column))


def _scale(column: str, verdict: dict[str, Any], records: Sequence[Any]) -> Call:
    numbers = [number for record in records if (number := number_in(record.get(column))) is not None]
    good, bad = verdict["good"], verdict["bad"]
    bounds = {"low": min(*numbers, good, bad), "high": max(*numbers, good, bad), "good_from": good, "bad_to": bad}
    named: dict[str, Any] = {"name": column, **{key: _short(number) for key, number in bounds.items()}}
    return Call("Scale", (), named if good > bad else {**named, "higher_is_better": False})


def _short(number: float) -> float:
    return int(number) if float(number).is_integer() else number


def _voted(usual: _Usual, column: str, records: Sequence[Any], *, is_open: bool) -> Layout | None:
    verdict = usual.verdict
    sides = _sides(usual.names, verdict)
    if sides is None:
        return None
    ties, both_bad = list(verdict.get("tie", ())), list(verdict.get("both_bad", ()))
    known = [value for value in (*sides[0], *sides[1], *ties, *both_bad) if value != OPEN]
    kinds = {type(value) for value in known or [record.get(column) for record in records] if value is not None}
    test = _test(kinds)
    if test is None or (is_open and any(side != [OPEN] for side in sides)):
        return None
    won = [f"The values of `{told(column)}` that say that `{told(answer)}` won" for answer in usual.answers]
    first_seen = f"; seen are {_seen(column, records)}" if is_open else ""
    values = {
        "imports": _imports(
            "Pair", "RecordError", "Unjudged", "or_error", *(["number_in"] if test == "number" else [])
        ),
        "first_values": _values([] if is_open else sides[0]),
        "second_values": _values([] if is_open else sides[1]),
        "tie_values": _values(ties),
        "both_bad_values": _values(both_bad),
        "first_doc": f"{won[0]}{first_seen}.",
        "second_doc": f"{won[1]}.",
        "tie_doc": "Those that say that they are equal.",
        "both_bad_doc": "Those that say that both are bad.",
        "cell": _cell(column, records),
        "as_number": "        number = number_in(winner)\n" if test == "number" else "",
        "test": test,
        "context": usual.context,
        "first": _side(usual.answers[0]),
        "second": _side(usual.answers[1]),
        "verdict": scalar(column),
        "examples_note": _EXAMPLES_NOTE if is_open else "",
        **_docs(usual, f"the winner in `{told(column)}`"),
    }
    return Layout("voted", values, (usual.prompt, *usual.answers, column))


_EXAMPLES_NOTE: Final = '\n    # Say what each gives: [(prompt, winner, "good"), (prompt, loser, "bad")]'


def _sides(names: list[str], verdict: dict[str, Any]) -> list[list[Any]] | None:
    """The values with which each of two answers wins; None where it is not said by values."""
    if verdict.keys() == {"winner", "index"}:
        return [[verdict["index"]], [verdict["index"] + 1]]
    if set(names) <= verdict.keys() <= {"winner", "tie", "both_bad", *names}:
        return [list(verdict[name]) for name in names]
    return None


def _test(kinds: set[type]) -> str | None:
    """The code that stands for the winner in comparisons: never a truth value for a number, or the reverse."""
    if kinds == {str}:
        return "winner"
    if kinds == {bool}:
        return "type(winner) is bool and winner"
    return "number" if kinds and kinds <= {int, float} else None


def _values(values: list[Any]) -> str:
    return source(tuple(values), used=len("BOTH_BAD: Final[tuple[Any, ...]] = "))


def _side(column: str) -> str:
    return source(Call("or_error", (Code("row.response"), column)), indent=8, used=len("        second = "))


def _preferred(usual: _Usual) -> Layout | None:
    order = [usual.verdict["good"], usual.verdict["bad"]]
    if sorted(order) != sorted(usual.names):
        return None
    good, bad = (usual.answers[usual.names.index(name)] for name in order)
    values = {
        "context": usual.context,
        "first": _side(good),
        "second": _side(bad),
        **_docs(usual, f"`{told(good)}` is the better one"),
    }
    return Layout("preferred", values, (usual.prompt, good, bad))


def _docs(usual: _Usual, verdict: str) -> dict[str, str]:
    answers = " and ".join(f"`{told(answer)}`" for answer in usual.answers)
    found = "answers in" if len(usual.answers) > 1 else "an answer in"
    return {"doc": f"A prompt in `{told(usual.prompt)}`, {found} {answers}; {verdict}."}


def _imports(*more: str) -> str:
    return statement(["Fact", "Format", "Plugin", "Row", "hookimpl", *more], "ktoformats")


# --- any other layout


def _of_blocks(options: dict[str, Any], *, is_open: bool) -> Layout:
    """A format that holds the mapping as constants."""
    verdict = _verdict_class(options["verdict"])
    constants = [("CHAT", _spec("Chat", options.get("chat")))]
    used = ["Chat", "Scope", "Unjudged", "VerdictPolicy", "refuse_damage", verdict]
    if "tree" in options:
        constants.append(("TREE", Call("TreeReader", (_spec("Tree", options["tree"]),), {"chat": Code("CHAT")})))
        used += ["Tree", "TreeReader"]
        facts = _TREE_FACTS
    else:
        more, needed = _readers(options)
        constants += more
        used += needed
        facts = _GROUP_FACTS
    constants.append(("POLICY", Call("VerdictPolicy")))
    if not is_open:
        constants.append(("VERDICT", _spec(verdict, options["verdict"])))
    lines = [f"{name}: Final = {source(value, used=len(name) + len(': Final = '))}" for name, value in constants]
    values = {
        "imports": _imports(*used, *["RecordError"] * is_open),
        "constants": "\n".join(lines),
        "facts": facts.replace("VERDICT", "verdict()") if is_open else facts,
        "verdict": source(options["verdict"], used=len("VERDICT: Final[dict[str, Any]] = ")),
        "verdict_class": verdict,
        "doc": "Answers and their verdict, where the constants above say.",
    }
    return Layout("blocks_draft" if is_open else "blocks", values, ())


def _readers(options: dict[str, Any]) -> tuple[list[tuple[str, Any]], list[str]]:
    """The constants that read context and answers, and the classes they are made of."""
    marks = options.get("marks")
    own = {"chat": Code("CHAT"), "marks": Code("MARKS") if marks else None}
    prompt = _spec("Prompt", options["prompt"]) if "prompt" in options else None
    reads = {name: options.get(name) for name in ("system", "history", "tools")}
    candidates, forms = _candidates(options["candidates"])
    constants = [
        ("CONTEXT", Call("ContextReader", (prompt,), {**reads, **own})),
        ("ANSWERS", Call("CandidateReader", (candidates,), {**own, "contexts": Code("CONTEXT")})),
    ]
    used = ["CandidateReader", "ContextReader", "Group", *forms, *["Prompt"] * ("prompt" in options)]
    if not marks:
        return constants, used
    return [("MARKS", _spec("Marks", marks)), *constants], [*used, "Marks"]


_GROUP_FACTS: Final = """\
        group = refuse_damage(Group(CONTEXT.read(scope), ANSWERS.read(scope)), POLICY)
        if group.candidates:
            yield from VERDICT.facts(group, [scope], POLICY)
        else:
            yield Unjudged()"""
_TREE_FACTS: Final = """\
        groups = [refuse_damage(group, POLICY) for group in TREE.read(scope)]
        for group in groups:
            yield from VERDICT.facts(group, [scope], POLICY)
        if not any(group.candidates for group in groups):
            yield Unjudged()"""


def _spec(name: str, options: Any) -> Call:
    """A part of a mapping, made from its options."""
    return Call(f"{name}.model_validate", (options,)) if options else Call(name)


def _candidates(candidates: dict[str, Any]) -> tuple[Any, list[str]]:
    """The candidates, and the classes that they are made of."""
    lists = next((name for key, name in _SPECS.items() if key in candidates), None)
    if lists is not None:
        return _spec(lists, candidates), [lists]
    forms = {name: form if type(form) is list else [form] for name, form in candidates.items()}
    return {name: tuple(_spec("Form", one) for one in several) for name, several in forms.items()}, ["Form"]


def _verdict_class(verdict: dict[str, Any]) -> str:
    return next((key.capitalize() for key in ("winner", "rank", "rating", "label") if key in verdict), "Fixed")
