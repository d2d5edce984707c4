"""The file that a plugin is drafted from: its first records, what reads them, and what they give."""

from __future__ import annotations

from collections import Counter
from itertools import islice
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import orjson

from ktoformats.config.models import KTODataConfig
from ktoformats.convert.assemble import assemble
from ktoformats.convert.detect import shape_of
from ktoformats.convert.policy import decide
from ktoformats.convert.presets import detected_presets
from ktoformats.errors import AmbiguousFormatError, ConfigError, RecordError
from ktoformats.feedback import BAD, GOOD
from ktoformats.plugin.kinds import Example
from ktoformats.plugin.row import Columns, Row
from ktoformats.propose.draft import by_example
from ktoformats.propose.seats import find
from ktoformats.propose.shape import OPEN, by_shape
from ktoformats.propose.trial import FORMAT
from ktoformats.propose.walk import texts as texts_of
from ktoformats.read.named import find_sources
from ktoformats.read.parse import parse
from ktoformats.scaffold.names import FORMAT_KIND

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from ktoformats.plugin.registry import Registry

_LOOKED_AT: Final = 1000
_SEARCHED: Final = 50_000
_SAMPLES: Final = 20
_SAMPLE_BYTES: Final = 64 * 1024
"""So much of a file goes into the distribution, in all."""
_EXAMPLES: Final = 3
_LONG: Final = 60
"""Longer texts are no verdicts, and are cut in examples ..."""
_SHORT: Final = 40
"""... to about so many characters, which show what they are."""
_WITHOUT_OPTIONS: Final = 2
_JSON_OPTION: Final = "parse_json"


class Given(NamedTuple):
    """What one record gives."""

    triples: list[tuple[str, str, str]]
    """Prompt, response and label of each sample."""
    unjudged: tuple[str, ...]
    rejected: tuple[str, ...]

    @property
    def labels(self) -> tuple[str, ...]:
        """The labels of its samples, in order."""
        return tuple(label for _, _, label in self.triples)


class Sample(NamedTuple):
    """A file, looked at."""

    file: str
    """The file's own name, without its folder."""
    records: list[Any]
    """The records that the mapping is for."""
    first: list[Any]
    """The first of them: few, and small."""
    options: dict[str, Any]
    """A mapping that reads them; where nobody knows, `OPEN` stands in it."""
    questions: tuple[str, ...]
    others: int
    """How many other mappings agree with the known answers."""
    is_open: bool
    """Whether the mapping cannot be used yet."""

    @property
    def settled(self) -> dict[str, Any]:
        """The options; where the verdict is open, with one that finds the same answers, whatever it says of them."""
        if not self.is_open:
            return self.options
        candidates = self.options["candidates"]
        names = [] if candidates.keys() & {"each", "each_turn"} else list(candidates)
        fixed = dict(zip((GOOD, BAD), names, strict=False))
        return {**self.options, "verdict": fixed or {"rank": "position", "best": "low"}}


def look_at(file: str, good: Sequence[str], bad: Sequence[str], registry: Registry) -> Sample:
    """Read a file's first records and find a mapping for them.

    Args:
        file: A path, glob, folder or URL.
        good: Answers in it that are good; with bad ones the mapping is found by them, else by the shape alone.
        bad: Answers in it that are bad.
        registry: The installed plugins.

    Raises:
        ConfigError: Nothing in it looks like an answer, an answer is not there, or formats read it already.
        SourceError: It cannot be read.
    """
    if bool(good) != bool(bad):
        raise ConfigError("--good and --bad go together: give one answer that is good and one that is bad")
    records = _unread(file, _read(file, [*good, *bad]), registry)
    if good:
        proposal = by_example(records, good, bad, registry)
        options = _without_idle_json(proposal.options, records, registry)
        return Sample(
            _own_name(file),
            records,
            _first(records),
            options,
            proposal.questions,
            len(proposal.others),
            is_open=False,
        )
    records = _of_one_shape(records)
    draft = by_shape(records)
    if draft is None:
        raise ConfigError(
            f"{file}: nothing in its records looks like an answer; say which text is one: --good TEXT and --bad TEXT"
        )
    return Sample(
        _own_name(file),
        records,
        _first(records),
        draft.options,
        draft.questions,
        0,
        is_open=OPEN in str(draft.options),
    )


def _own_name(file: str) -> str:
    """The last part of a path or URL, without what may be secret behind it."""
    return file.rstrip("/").rpartition("/")[2].partition("?")[0] or file


def _read(file: str, answers: Sequence[str]) -> list[Any]:
    """The first records, and those further on that hold the answers."""
    records: list[Any] = []
    missing = set(answers)
    for number, record in enumerate(islice(_parsed(file), _SEARCHED)):
        held = {answer for answer in missing if next(find([record], answer), None) is not None}
        missing -= held
        if number < _LOOKED_AT or held:
            records.append(record)
        elif not missing:
            break
    return records


def _parsed(file: str) -> Iterator[Any]:
    for source in find_sources([file]):
        for block in source.blocks():
            for raw in block.records:
                try:
                    yield parse(raw)
                except RecordError:
                    continue  # `inspect` tells of it


def _first(records: list[Any]) -> list[Any]:
    """Few records, in their order, that are small together."""
    chosen: list[Any] = []
    size = 0
    for record in records:
        size += len(orjson.dumps(record))
        if chosen and (size > _SAMPLE_BYTES or len(chosen) == _SAMPLES):
            break
        chosen.append(record)
    return chosen


def _of_one_shape(records: list[Any]) -> list[Any]:
    """The records that have the columns of the most frequent shape."""
    keys = Counter(_filled(record) for record in records if type(record) is dict)
    if not keys:
        return records
    [(columns, _)] = keys.most_common(1)
    return [record for record in records if type(record) is dict and columns <= record.keys()]


def _filled(record: dict[str, Any]) -> frozenset[str]:
    return frozenset(name for name, value in record.items() if value is not None)


def _unread(file: str, records: list[Any], registry: Registry) -> list[Any]:
    """The records that no default format reads: of the others nobody could tell who should read them.

    Raises:
        ConfigError: There are none.
    """
    if not records:
        raise ConfigError(f"{file}: there is no record in it")
    detector = assemble(KTODataConfig(), registry).pipeline.detector
    unread: list[Any] = []
    readers: Counter[str] = Counter()
    for record in records:
        try:
            readers[detector.find(record).name] += 1
        except RecordError:
            unread.append(record)
        except AmbiguousFormatError as error:
            raise ConfigError(f"{file}: {error}") from error
    if unread:
        return unread
    [(reader, _)] = readers.most_common(1)
    raise ConfigError(
        f"{file}: its records are read by {reader!r} already (see ktoformats inspect), and a new plugin for the same "
        "columns would tie with it; what its verdicts mean says a label plugin (--kind labels, or `scales:` in the "
        "configuration)"
    )


def _without_idle_json(options: dict[str, Any], records: list[Any], registry: Registry) -> dict[str, Any]:
    """The options without columns of JSON text that nothing looks into."""
    idle = [column for column in options.get(_JSON_OPTION, []) if not _counts(column, options, records, registry)]
    kept = [column for column in options.get(_JSON_OPTION, []) if column not in idle]
    rest = {key: value for key, value in options.items() if key != _JSON_OPTION}
    return {_JSON_OPTION: kept, **rest} if kept else rest


def _counts(column: str, options: dict[str, Any], records: list[Any], registry: Registry) -> bool:
    return _changes(column, records, Converter(options, registry))


class Converter:
    """Converts records with a mapping and no other format, one by one.

    Args:
        options: The mapping's options.
        registry: The installed plugins.

    Raises:
        ConfigError: They make no mapping.
    """

    def __init__(self, options: dict[str, Any], registry: Registry) -> None:
        config = KTODataConfig(formats=[{FORMAT: options}])
        pipeline = assemble(config, registry).pipeline
        self._format = pipeline.detector.formats[0].format
        self._policy, self._labels, self._columns = pipeline.policy, pipeline.labels, pipeline.columns

    def gives(self, record: Any) -> Given:
        """What a record gives by itself."""
        try:
            outcome = decide(self._format.facts(Row(record, self._columns)), self._policy, self._labels)
        except RecordError as error:
            return Given([], (), (error.reason,))
        except Exception:  # noqa: BLE001 - as in the pipeline: what trips over one record costs that record
            return Given([], (), ("format_failed",))
        triples = [(one.context.prompt, one.text, one.label) for one in outcome.candidates]
        return Given(triples, tuple(outcome.unjudged), tuple(error.reason for error in outcome.lost))

    def claims(self, record: dict[str, Any]) -> bool:
        """Whether the mapping takes a record for one of its own, by its shape."""
        return self._format.claim(shape_of(record, self._columns)).score > 0


def kept(records: Sequence[Any], converter: Converter) -> dict[str, int]:
    """How many good and how many bad samples records give."""
    labels = Counter(label for record in records for label in converter.gives(record).labels)
    return {GOOD: labels[GOOD], BAD: labels[BAD]}


def with_both_labels(sample: Sample, converter: Converter) -> list[Any]:
    """The first records, and the smallest ones that give a label which none of them gives."""
    chosen = list(sample.first)
    for label in (GOOD, BAD):
        if not kept(chosen, converter)[label]:
            chosen += [one for one in sorted(sample.records, key=_size) if label in converter.gives(one).labels][:1]
    return chosen


def columns_used(records: Sequence[Any], converter: Converter) -> list[str]:
    """The columns without which records give something else."""
    columns = dict.fromkeys(column for record in records[:_SAMPLES] if type(record) is dict for column in record)
    return [column for column in columns if _changes(column, records, converter)]


def _changes(column: str, records: Sequence[Any], converter: Converter) -> bool:
    holders = islice((one for one in records if type(one) is dict and column in one), _SAMPLES)
    return any(converter.gives(_without(one, column)) != converter.gives(one) for one in holders)


def _without(record: dict[str, Any], column: str) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != column}


def common(records: Sequence[Any]) -> list[str]:
    """The columns that all records have, in the order of the first; none where some are no objects."""
    if not all(type(record) is dict for record in records):
        return []
    return [column for column in records[0] if all(column in record for record in records)]


def kinds_of(column: str, records: Sequence[Any]) -> list[str]:
    """What stands in a column that all records have; `null` among it where some hold nothing."""
    return sorted({shape_of({column: record[column]}, Columns()).kinds[column] for record in records})


def taken_from(claims: Callable[[dict[str, Any]], bool], registry: Registry) -> str:
    """Who else has records that would be claimed: a format or preset that is on by default; empty where nobody."""
    return next((owner for owner, record in _known(registry) if type(record) is dict and claims(record)), "")


def _known(registry: Registry) -> Iterator[tuple[str, Any]]:
    """Records that formats and presets show, which are on by default."""
    for found in registry.first_party(FORMAT_KIND):
        for example in registry.load_found(found).cls.examples:
            if len(example) == _WITHOUT_OPTIONS:
                yield f"format {found.name!r}", example[0]
    for preset in detected_presets(registry):
        yield from ((f"preset {preset.name!r}", record) for record in preset.about.example)


def examples(sample: Sample, converter: Converter, columns: Collection[str]) -> list[Example]:
    """Up to three small records with what they give: of each outcome the smallest, whole ones with samples first.

    Args:
        sample: The file.
        converter: Says what they give.
        columns: All that is left of a record; empty leaves it whole.
    """
    found: dict[Any, Any] = {}
    for record in sorted(sample.records, key=_size):
        given = converter.gives(record)
        if given.triples or not given.rejected:
            found.setdefault((given.labels, given.unjudged, given.rejected, _homes(given, record)), record)
    ordered = sorted(found, key=lambda key: (bool(key[2]), not key[0]))[:_EXAMPLES]
    return [_small(found[key], converter, columns) for key in ordered]


def _size(record: Any) -> int:
    return len(orjson.dumps(record))


def _homes(given: Given, record: Any) -> tuple[str, ...]:
    """The columns that the answers stand in, where they stand alone: it tells which of two won."""
    columns = record if type(record) is dict else {}
    return tuple(next((name for name, cell in columns.items() if cell == text), "") for _, text, _ in given.triples)


def _small(record: Any, converter: Converter, columns: Collection[str]) -> Example:
    """The record as small as it can be while it gives the same."""
    bare = {name: cell for name, cell in record.items() if name in columns} if columns else record
    meant = converter.gives(record)._replace(triples=[])
    for one in (_shortened(bare), bare):
        given = converter.gives(one)
        if given._replace(triples=[]) == meant and given.labels == converter.gives(record).labels:
            return Example(one, given.triples)
    return Example(record, converter.gives(record).triples)


def _shortened(record: Any) -> Any:
    """The record with its long texts cut, unless two of them would become one."""
    texts = {text for _, text in texts_of(record)}
    short = {text: _cut(text) for text in texts}
    return _replaced(record, short) if len(set(short.values())) == len(texts) else record


def _cut(text: str) -> str:
    """The beginning of a long text."""
    head = text[:_SHORT]
    return text if len(text) <= _LONG else f"{head.rpartition(' ')[0].rstrip() or head} ..."


def _replaced(value: Any, short: dict[str, str]) -> Any:
    if type(value) is dict:
        return {key: _replaced(one, short) for key, one in value.items()}
    if type(value) is list:
        return [_replaced(one, short) for one in value]
    return short.get(value, value) if type(value) is str else value
