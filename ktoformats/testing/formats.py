"""Laws of formats: what records state, told byte by byte, claimed by shape, with all damage in the open."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from itertools import chain, takewhile
from typing import TYPE_CHECKING, Any, Final, cast, get_args

from ktoformats.config.models import KTODataConfig
from ktoformats.convert.assemble import assemble
from ktoformats.convert.detect import shape_of
from ktoformats.convert.presets import detected_presets
from ktoformats.errors import AmbiguousFormatError, PluginContractError, RecordError
from ktoformats.feedback import Context, Fact, Judged, Pair, Ranked, Rated, Response
from ktoformats.plugin.discovery import PRESET
from ktoformats.plugin.kinds import Claim, Example, Format
from ktoformats.plugin.row import Columns, Row
from ktoformats.testing import corpus
from ktoformats.testing.law import LawBrokenError, LawOpenError, is_code, law, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ktoformats.plugin.kinds import Shape
    from ktoformats.testing.subject import Result, Subject

_FACTS: Final = get_args(Fact)
_COPIES: Final = 2000
"""Records that are timed."""
_BEFORE, _SHOWN = 10, 40
"""Characters shown of two texts: before the first that differs, and in all."""
_UNEXPECTED: Final[tuple[Any, ...]] = ({"unexpected": [True]}, [["unexpected"]])
_PLAIN: Final = {"prompt": "q", "response": "a", "label": "good"}
"""What costs least to read: one answer and a label."""


def records_of(subject: Subject) -> Iterator[tuple[Example, Any]]:
    """Every single record of the examples."""
    for example in subject.some_examples():
        for record in example.given if subject.gathers else [example.given]:
            yield example, record


@law("format", PRESET)
def examples(subject: Subject) -> str:
    """Each example gives the samples it says it gives."""
    if subject.kind == PRESET:
        return _gives(subject)
    for number, example in enumerate(subject.some_examples()):
        result = subject.result(example)
        if example.gives is None:
            raise LawOpenError(f"example {number} does not say what it gives; {_seen(result)}")
        if result.triples != [tuple(one) for one in example.gives]:
            raise LawBrokenError(f"example {number} says it gives {short(example.gives)}, but {_seen(result)}")
    return f"{len(subject.examples)} examples"


def _gives(subject: Subject) -> str:
    about = subject.preset.about
    if not about.example or not about.gives:
        raise LawOpenError("the preset has no `example`, or does not say what it `gives`; write both into its file")
    triples = [triple for one in about.example for triple in subject.converted([one]).triples]
    if subject.gathers:
        triples = subject.converted(about.example).triples
    if triples != about.gives:
        raise LawBrokenError(f"its example says it gives {short(about.gives)}, and gives {short(triples)}")
    return f"{len(about.example)} records, {len(about.gives)} samples"


def _seen(result: Result) -> str:
    parts = [f"it gives {short(result.triples)}"]
    parts += [f"{reason} at {field or 'the record'}: {message}" for reason, field, message in result.rejected[:1]]
    parts += [f"without verdict: {reason}" for reason in result.without_verdict[:1]]
    return "; ".join(parts)


@law("format")
def facts(subject: Subject) -> None:
    """Every record states at least one fact, each of the right types; who judged nothing says `Unjudged`."""
    if subject.gathers:
        return
    for example, record in records_of(subject):
        plugin = cast("Format", subject.make(example.options))
        for what, one in [("as it is", record), *corpus.damaged(record)]:
            _check_facts(plugin, one, what)


def _check_facts(plugin: Format, record: Any, what: str) -> None:
    try:
        stated = list(plugin.facts(Row(corpus.copied(record), Columns())) or ())
    except RecordError:
        return
    except Exception:  # noqa: BLE001 - `hostile` tells of it
        return
    if not stated:
        raise LawBrokenError(
            f"it says nothing of an example ({what}); raise a RecordError where the record is damaged, yield "
            "Unjudged() where nobody judged, and swallow no error: what is not said counts as never judged"
        )
    for fact in stated:
        if trouble := _trouble(fact):
            raise LawBrokenError(f"of an example ({what}) it states {short(fact)}: {trouble}")


def _trouble(fact: Any) -> str:
    """What is wrong with a fact, if anything."""
    if not isinstance(fact, _FACTS):
        return "that is no fact; yield Judged, Rated, Pair, Ranked or Unjudged"
    sides: tuple[Any, ...] = ()
    if isinstance(fact, Judged | Rated):
        sides = (fact.response,)
        if type(fact.field) is not str or (isinstance(fact, Judged) and not fact.field):
            return "`field` must name the column of the verdict, for messages and for `scales:`"
    elif isinstance(fact, Pair):
        sides = (fact.chosen, fact.rejected)
    elif isinstance(fact, Ranked):
        sides = fact.responses
        if type(fact.responses) is not tuple or type(fact.ranks) is not tuple:
            return "responses and ranks must be tuples"
    wrong = [side for side in sides if not isinstance(side, str | Response | BaseException)]
    if wrong:
        return f"an answer must be a text or a Response, not {short(wrong[0], 60)}; row.response(field) reads one"
    if sides and not isinstance(getattr(fact, "context", None), Context | None):
        return "the context must be a Context; row.context(prompt_field) makes one"
    return ""


@law("format")
def hostile(subject: Subject) -> str:
    """Whatever is missing, null, huge or of a wrong type ends as a clear reject, and never stops a run."""
    tried = 0
    for example, record in records_of(subject):
        assembly = subject.assembled(example.options)
        if assembly.gather is not None:
            return "not tried: its records come in groups"
        harmed = list(corpus.damaged(record))
        tried += len(harmed)
        for what, one in harmed:
            _ends_clearly(assembly.pipeline, one, what)
    return f"{tried} damaged records"


def _ends_clearly(pipeline: Any, record: Any, what: str) -> None:
    block = corpus.block_of([record])
    try:
        done = pipeline.convert(block)
    except Exception as error:
        raise LawBrokenError(
            f"where {what}, the whole run stops ({type(error).__name__}: {error}); raise RecordError(reason, "
            "message, field=...) for what cannot be read, and hand raw verdicts to the core as they are"
        ) from error
    for reject in done.rejects:
        if reject.reason == "format_failed":
            raise LawBrokenError(
                f"where {what}, it trips: {reject.message}; read fields through `row` (row.text, row.list, "
                "row.response), which reject with a message"
            )
        if not reject.message.strip():
            raise LawBrokenError(f"where {what}, the reject has no message; say what was seen and what was expected")
        if not is_code(reject.reason):
            raise LawBrokenError(
                f"where {what}, the reason is {reject.reason!r}; take a code such as `label_unrecognised` "
                "(see `ktoformats.REASONS`), or a new one in the same style"
            )


@law("format")
def loss(subject: Subject) -> str | None:
    """Where a text or number it counts on is nonsense, or one of `reads` absent, that is not *nobody judged*."""
    tried = 0
    for example, record in records_of(subject):
        assembly = subject.assembled(example.options)
        if assembly.gather is not None:
            return "not tried: its records come in groups"
        plugin = assembly.pipeline.detector.formats[0].format
        if type(record) is not dict or not subject.result(example).samples:
            continue
        for column in _counted_on(plugin, shape_of(record, Columns())):
            harmed = [(f"is {value!r}", corpus.with_value(record, (column,), value)) for value in _UNEXPECTED]
            if column in plugin.reads:
                harmed.append(("is absent", corpus.without(record, (column,))))
            for what, one in harmed:
                tried += 1
                _is_told(assembly.pipeline, one, f"{column} {what}")
    return f"{tried} damaged records" if tried else "it counts on no column"


def _counted_on(plugin: Format, shape: Shape) -> list[str]:
    claim = plugin.claim(shape)
    columns = claim.columns if isinstance(claim, Claim) else ()
    plain = {column for column, kind in shape.kinds.items() if kind not in ("list", "object")}
    return sorted({*columns, *plugin.reads} & plain)


def _is_told(pipeline: Any, record: Any, what: str) -> None:
    done = pipeline.convert(corpus.block_of([record]))
    [account] = done.accounts.values()
    if "null_verdict" in account.without_verdict:
        raise LawBrokenError(
            f"where {what}, the record counts as without verdict, as if nobody had judged; raise a RecordError: only "
            "null, blank and declared ties are *unjudged*"
        )


@law("format", PRESET)
def verbatim(subject: Subject) -> str:
    """Prompts and answers come out byte by byte: not trimmed, not normalised, not repaired."""
    if subject.gathers:
        return "not tried: its records come in groups"
    tried = 0
    for example, record in records_of(subject):
        triples = subject.result(example).triples
        for text in sorted({text for triple in triples for text in triple[:2]}):
            joined = any(text in one and text != one for triple in triples for one in triple[:2])
            if text.strip() and text in corpus.texts_in(record) and not joined:
                tried += 1
                _comes_out(subject, example, record, triples, text)
    return f"{tried} texts" if tried else "no sample's text stands alone in its record"


def _comes_out(subject: Subject, example: Example, record: Any, triples: list[Any], text: str) -> None:
    new = text.join(corpus.SURROUND)
    expected = [tuple(new if one == text else one for one in triple[:2]) for triple in triples]
    result = subject.converted([corpus.with_text(record, text, new)], example.options)
    seen = [triple[:2] for triple in result.triples]
    if not seen or result.lost:
        return  # the text was a verdict, too
    if seen != expected:
        raise LawBrokenError(
            f"{_apart(expected, seen)}; change nothing in prompts and answers: no strip(), no normalisation, no "
            "join, no cut"
        )


def _apart(expected: list[Any], seen: list[Any]) -> str:
    """Where samples differ from those expected: both texts from shortly before the first difference."""
    for one, other in zip(chain(*expected), chain(*seen), strict=False):
        if one != other:
            same = takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False))
            start = max(len(list(same)) - _BEFORE, 0)
            shown = [ascii(text[start : start + _SHOWN]) for text in (one, other)]
            return f"from character {start} on, {shown[0]} comes out as {shown[1]}"
    return f"of {len(expected)} samples {len(seen)} are left when a text is another"


@law("format", PRESET)
def pure(subject: Subject) -> None:
    """It reads records and never changes them."""
    for example, record in records_of(subject):
        pipeline = subject.assembled(example.options).pipeline
        plugin = pipeline.detector.formats[0].format
        one = [corpus.copied(record)] if subject.gathers else corpus.copied(record)
        before = corpus.copied(one)
        with suppress(RecordError):
            list(plugin.facts(Row(one, Columns())))
        if one != before:
            raise LawBrokenError(
                f"it changes the record: before {short(before)}, after {short(one)}; take values out with get(), "
                "never with pop(), and sort or extend only lists of your own"
            )


@law("format", PRESET)
def order(subject: Subject) -> None:
    """What a record gives depends on no other record, on no batch, and not on the order of its keys."""
    if subject.gathers:
        return
    for example, record in records_of(subject):
        _any_order(subject, example, record)
    groups: dict[str, list[Any]] = {}
    for example, record in records_of(subject):
        groups.setdefault(repr(example.options), []).append((example, record))
    for pairs in groups.values():
        chosen = pairs[0][0].options
        records = [record for _, record in pairs]
        records += [one for record in records[:2] for _, one in corpus.damaged(record)]
        forward = _told_apart(subject, chosen, records)
        backward = _told_apart(subject, chosen, records[::-1])[::-1]
        alone = [told_one for record in records for told_one in _told_apart(subject, chosen, [record])]
        for number, (one, *others) in enumerate(zip(forward, backward, alone, strict=True)):
            if apart := [other for other in others if other != one]:
                raise LawBrokenError(
                    f"a record gives {short(one, 80)} among others and {short(apart[0], 80)} in another order or by "
                    f"itself ({short(records[number], 80)}); keep nothing between records: no globals, no attributes "
                    "set while reading"
                )


def _any_order(subject: Subject, example: Example, record: Any) -> None:
    if type(record) is not dict:
        return
    here = subject.converted([record], example.options).triples
    there = subject.converted([dict(reversed(record.items()))], example.options).triples
    if sorted(here) != sorted(there):
        raise LawBrokenError(
            f"a record gives {short(here, 80)}, and with its keys in another order {short(there, 80)}; take columns "
            "by their names, for JSON objects have no order"
        )


def _told_apart(subject: Subject, chosen: Any, records: list[Any]) -> list[list[Any]]:
    """Of each record what it gave, by its line."""
    result = subject.converted(records, chosen)
    rows: list[list[Any]] = [[] for _ in records]
    for one in result.samples:
        rows[one["line"] - 1].append([one["prompt"], one["response"], one["label"], one["cell"], one["position"]])
    for part in result.converted:
        for reject in part.rejects:
            rows[reject.line - 1].append([reject.reason, reject.field, reject.message])
    return rows


@law("format", PRESET)
def layout(subject: Subject) -> str | None:
    """What `layout` says of a shape is what `facts` states of each of its records; it only makes reading quicker."""
    if subject.gathers:
        return None
    tried = 0
    for example, record in records_of(subject):
        pipeline = subject.assembled(example.options).pipeline
        plugin = pipeline.detector.formats[0].format
        for what, one in [("as it is", record), *corpus.damaged(record)]:
            if type(one) is dict and plugin.layout(shape_of(one, Columns())) is not None:
                tried += 1
                _says_the_same(pipeline, one, what)
    return f"{tried} records" if tried else "it says where no shape's facts stand, which only makes it slower"


def _says_the_same(pipeline: Any, record: Any, what: str) -> None:
    try:
        by_column, one_by_one = (_told(pipeline, record, together) for together in (1, sys.maxsize))
    except PluginContractError as error:
        raise LawBrokenError(f"of an example ({what}): {error}") from error
    if by_column != one_by_one:
        raise LawBrokenError(
            f"of an example ({what}) `facts` gives {short(one_by_one, 120)}, and `layout` {short(by_column, 120)}; "
            "return None from `layout` for shapes whose records it does not describe"
        )


def _told(pipeline: Any, record: Any, together: int) -> list[Any]:
    """What a record comes to if so many of its shape are decided by column."""
    before, pipeline.together = pipeline.together, together
    try:
        done = pipeline.convert(corpus.block_of([record, corpus.copied(record)]))
    finally:
        pipeline.together = before
    rows = [row for batch in done.batches for row in batch.to_pylist()]
    return [*rows, *done.rejects, *(account.to_json() for account in done.accounts.values())]


@law("format", PRESET)
def claim(subject: Subject) -> str | None:
    """It claims its own examples, by their shape alone, with a reason and the columns it counts on."""
    claims = []
    for example, record in records_of(subject):
        plugin = subject.assembled(example.options).pipeline.detector.formats[0].format
        if type(record) is not dict:
            continue
        if subject.kind == PRESET and not subject.preset.is_detected:
            return "it says no shape, so users name it"
        told_claim = _claim(plugin, record)
        claims.append(told_claim)
        _by_shape_alone(plugin, record, told_claim)
    declined = [one for one in claims if not one.score]
    if declined and not _reads_anything(subject):
        return "it claims nothing, so users name it"
    if declined:
        advice = "`detect`" if subject.kind == PRESET else "`reads`, or claim(shape),"
        raise LawBrokenError(
            f"it does not claim an example of its own ({declined[0].reason}); let {advice} name the columns that "
            "every record has, and no others"
        )
    return None


def _reads_anything(subject: Subject) -> bool:
    if subject.kind == PRESET:
        return True
    cls = cast("type[Format]", subject.cls)
    return bool(cls.reads) or cls.claim is not Format.claim


def _claim(plugin: Format, record: dict[str, Any]) -> Claim:
    shape = shape_of(record, Columns())
    made = plugin.claim(shape)
    if not isinstance(made, Claim):
        raise PluginContractError(f"claim returned {short(made, 60)}; return a Claim, see `ktoformats.claim_of`")
    if type(made.score) is not int or made.score < 0 or not str(made.reason).strip():
        raise LawBrokenError(f"claim returned {made}; the score is a whole number from 0 on, the reason a text")
    if strangers := [column for column in made.columns if column not in shape]:
        raise LawBrokenError(f"its claim counts on {strangers[0]!r}, which the record does not have")
    return made


def _by_shape_alone(plugin: Format, record: dict[str, Any], before: Claim) -> None:
    others = {
        "it has read a record": record,
        "the keys are in another order": dict(reversed(record.items())),
        "the values are others of the same types": _other_values(record),
    }
    for when, other in others.items():
        with suppress(Exception):  # only what it leaves behind matters here
            list(plugin.facts(Row(corpus.copied(other), Columns())))
        if (after := _claim(plugin, other)) != before:
            raise LawBrokenError(
                f"it claims {before.score} for a record, and {after.score} when {when}; a claim may look at keys and "
                "types only: the answer is remembered for every record of the shape"
            )


def _other_values(value: Any) -> Any:
    """Other values of the same types."""
    if type(value) is dict:
        return {key: _other_values(one) for key, one in value.items()}
    if type(value) is list:
        return [_other_values(one) for one in value]
    if type(value) is bool:
        return not value
    if type(value) in (int, float):
        return value + 1000
    return "something else" if type(value) is str else value


@law("format", PRESET)
def modest(subject: Subject) -> str:
    """Beside the default formats it takes no record away from them, and makes none ambiguous."""
    if subject.kind == PRESET:
        subject.some_examples()
    if subject.gathers:
        return "not tried: what gathers records is the only format of its files"
    assembly = subject.assembled(beside_default=True) if not _is_default(subject) else None
    plain = assemble(KTODataConfig(), subject.registry).pipeline.detector
    both = assembly.pipeline.detector if assembly is not None else plain
    asked = 0
    for owner, record in _known_records(subject):
        if type(record) is not dict:
            continue
        before = plain.find(record).name
        asked += 1
        try:
            after = both.find(record).name
        except PluginContractError as error:
            raise LawBrokenError(
                f"{error}, for a record of {owner}; answer every shape, and ask `column in shape` before you look "
                "closer"
            ) from error
        except AmbiguousFormatError as error:
            raise LawBrokenError(
                f"a record of {owner} becomes ambiguous: {error}; ask for a column that only your records have"
            ) from error
        if after != before:
            raise LawBrokenError(
                f"it claims a record of {owner} ({', '.join(record)}), which {before} reads; ask for a column that "
                "only your records have, and claim no more columns than you need"
            )
    return f"{asked} records of others left alone"


def _is_default(subject: Subject) -> bool:
    """Whether `default` stands for it, too."""
    return subject.found.first_party


def _known_records(subject: Subject) -> Iterator[tuple[str, Any]]:
    """Records that the default set reads by itself, and who reads them."""
    registry = subject.registry
    plain = assemble(KTODataConfig(), registry).pipeline.detector
    for one in plain.formats:
        if not one.fallback and ":" not in one.name:
            examples = [Example(*example) for example in registry.load_found(_own(subject, one.name)).cls.examples]
            yield from ((one.name, example.given) for example in examples if not example.options)
    for preset in detected_presets(registry):
        for record in preset.about.example:
            yield f"preset {preset.name}", record


def _own(subject: Subject, name: str) -> Any:
    return next(one for one in subject.registry.first_party("format") if one.name == name)


@law("format", quick=False)
def speed(subject: Subject) -> str:
    """A hint, no verdict: what a record costs, beside one that holds an answer and a label."""
    example, record = next(records_of(subject))
    if subject.gathers:
        return "not timed: its records come in groups"
    own = _seconds(subject.assembled(example.options).pipeline, record)
    plain = assemble(KTODataConfig(), subject.registry).pipeline
    times = own / _seconds(plain, _PLAIN)
    reader = plain.detector.find(_PLAIN).name
    return f"{own / _COPIES * 1e6:.0f} microseconds a record, {times:.1f} times what {reader} needs for its simplest"


def _seconds(pipeline: Any, record: Any) -> float:
    block = corpus.block_of([record] * _COPIES)
    pipeline.convert(block)
    start = time.perf_counter()
    pipeline.convert(block)
    return time.perf_counter() - start
