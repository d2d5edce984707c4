"""The nouns: contexts and answers, the facts that adapters state, the sample schema, the reason codes.

Facts are named tuples because one is made per record in the hot path; the Arrow schema is written down
here and nowhere inferred.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pyarrow as pa

if TYPE_CHECKING:
    from ktoformats.plugin.kinds import Labels
    from ktoformats.plugin.scale import Scale


class Message(NamedTuple):
    """One turn of a conversation; every field is text, empty where there is none."""

    role: str
    """`user`, `assistant` or `tool` (the system message stands apart in `Context.system`)."""
    content: str
    reasoning: str = ""
    tool_calls: str = ""
    """The turn's tool calls as JSON text."""
    tool_call_id: str = ""
    name: str = ""


class Context(NamedTuple):
    """What stood before an answer."""

    prompt: str
    """The text of the last user turn."""
    system: str = ""
    conversation: tuple[Message, ...] = ()
    """The whole context up to the answer, the last user turn included; empty when it is only the prompt."""
    tools: str = ""
    """The tools offered, as JSON text."""


class Response(NamedTuple):
    """An answer that is more than text, or that brings its own context."""

    text: str
    reasoning: str = ""
    tool_calls: str = ""
    context: Context | None = None
    row: int = 0
    """Among records that were gathered: the one it comes from."""


class Judged(NamedTuple):
    """This answer got this label; the verdict is the raw cell, never interpreted by the adapter."""

    context: Context | None
    """None when the response brings its own."""
    response: str | Response | BaseException
    """An answer that could not be read is given as its `RecordError`: it costs that answer, not the record."""
    verdict: Any
    field: str
    """The column the verdict stands in: errors name it, and `scales: {FIELD: ...}` overrides its scale."""
    scale: str | Labels = "specification"
    """The label plugin that reads the cell unless the config names another; or such a plugin itself."""
    also: tuple[tuple[str, Any, str], ...] = ()
    """Other verdict columns of the record, as (column, raw cell, label plugin): the core looks for contradictions."""
    preference_type: str = ""
    """What to call the sample instead of `binary`, where an override made it from a pair or a ranking."""


class Rated(NamedTuple):
    """This answer got this many of so many."""

    context: Context | None
    """None when the response brings its own."""
    response: str | Response | BaseException
    """As of `Judged`."""
    value: Any
    scale: Scale | str
    field: str = ""
    """The column, where errors should name it and `scales: {FIELD: ...}` may override the scale."""


class Pair(NamedTuple):
    """The first answer was preferred to the second."""

    context: Context | None
    """None when each side brings its own."""
    chosen: str | Response | BaseException
    rejected: str | Response | BaseException
    """A side that could not be read is given as its `RecordError`: it costs that side, not the record."""
    margin: float | None = None
    """How much better it was, in the numbers of whoever judged."""
    min_gap: float | None = None
    """The least margin that counts, where the format knows better than the configuration."""
    same_text: bool = False
    """Whether sides of the same text are both emitted; else they give nothing."""


class Ranked(NamedTuple):
    """These answers were put in this order."""

    context: Context | None
    """None when each answer brings its own."""
    responses: tuple[str | Response | BaseException, ...]
    ranks: tuple[Any, ...]
    """One raw rank per response."""
    best: str = "low"
    """`low` when the smallest rank is the best, `high` when the largest is."""
    field: str = "rankings"
    pick: str = ""
    """`best_worst`, `best_rest` or `halves`, where the format knows better than the configuration."""
    scores: bool = False
    """The ranks are any numbers, equal ones tie; else they must be a permutation of 0..n-1 or 1..n."""
    min_gap: float | None = None
    """With `scores`: the least gap between best and worst, where the format knows better than the configuration."""


class Unjudged(NamedTuple):
    """An answer that nobody judged: counted as *without verdict*, never as damage."""

    reason: str = "null_verdict"


Fact = Judged | Rated | Pair | Ranked | Unjudged

GOOD: Final = "good"
BAD: Final = "bad"
METHOD: Final = "kto"

PREFERENCE_TYPES: Final[dict[type, tuple[str, str]]] = {
    Judged: ("binary", "binary"),
    Rated: ("binary", "binary"),
    Pair: ("pairwise_positive", "pairwise_negative"),
    Ranked: ("ranking_positive", "ranking_negative"),
}
"""The specification's `preference_type` of a good and of a bad sample, by the fact it follows from."""

MESSAGE_TYPE: Final = pa.struct(
    [
        ("role", pa.string()),
        ("content", pa.large_string()),
        ("reasoning", pa.large_string()),
        ("tool_calls", pa.large_string()),
        ("tool_call_id", pa.string()),
        ("name", pa.string()),
    ]
)

SCHEMA: Final = pa.schema(
    [
        # what a trainer reads
        pa.field("id", pa.string(), nullable=False),
        pa.field("prompt", pa.large_string(), nullable=False),
        pa.field("response", pa.large_string(), nullable=False),
        pa.field("label", pa.string(), nullable=False),
        pa.field("system", pa.large_string(), nullable=False),
        pa.field("conversation", pa.list_(MESSAGE_TYPE), nullable=False),
        pa.field("tools", pa.large_string(), nullable=False),
        pa.field("tool_calls", pa.large_string(), nullable=False),
        pa.field("reasoning", pa.large_string(), nullable=False),
        pa.field("method", pa.string(), nullable=False),
        pa.field("preference_type", pa.string(), nullable=False),
        pa.field("format_type", pa.string(), nullable=False),
        pa.field("response_quality", pa.float64(), nullable=False),
        pa.field("utility_score", pa.float64(), nullable=False),
        pa.field("weight", pa.float64(), nullable=False),
        # what must not be torn apart, and where it came from
        pa.field("group", pa.string(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
        pa.field("kept", pa.large_string(), nullable=False),
        # the fact beside the sample, so that another threshold is recounted without parsing
        pa.field("fact", pa.string(), nullable=False),
        pa.field("field", pa.string(), nullable=False),
        pa.field("cell", pa.large_string(), nullable=False),
        pa.field("scale", pa.string(), nullable=False),
        pa.field("position", pa.float64()),
        pa.field("rank", pa.float64()),
        pa.field("pair", pa.string(), nullable=False),
        pa.field("origin", pa.string(), nullable=False),
        pa.field("flags", pa.string(), nullable=False),
    ]
)
"""One sample, one row. `kept` and `cell` are JSON text, so that a free shape never changes the schema; `origin` is
the `group` of the first sample made from the same record, or from the records that were gathered with it;
`flags` is a comma-separated list such as `reversed,quality_undefined`."""

NUMBERS: Final = pa.schema(
    [
        pa.field("key", pa.uint64(), nullable=False),
        pa.field("group", pa.uint64(), nullable=False),
        pa.field("origin", pa.uint64(), nullable=False),
        pa.field("pair", pa.uint64(), nullable=False),
        pa.field("asked", pa.uint64(), nullable=False),
        pa.field("answer", pa.uint64(), nullable=False),
        pa.field("good", pa.uint8(), nullable=False),
        pa.field("fact", pa.uint8(), nullable=False),
        pa.field("has_cell", pa.uint8(), nullable=False),
        pa.field("has_tool_calls", pa.uint8(), nullable=False),
        pa.field("response_quality", pa.float64(), nullable=False),
        pa.field("utility_score", pa.float64(), nullable=False),
        pa.field("prompt_length", pa.int32(), nullable=False),
        pa.field("response_length", pa.int32(), nullable=False),
        pa.field("prompt_text_length", pa.int32(), nullable=False),
        pa.field("response_text_length", pa.int32(), nullable=False),
        pa.field("line", pa.int64(), nullable=False),
    ]
)
"""What is kept of every sample as a number, for filters that ask for it (`Filter.numbers`) and all that chooses:
the first 16 digits of `id` (as `key`), `group`, `origin` and `pair` (0 for none); hashes of all that was asked
(system, turns, prompt, tools) and of the answer (response and tool calls); 1 for a good label; the kind of fact; 1
for a cell and for tool calls that are there; lengths in characters, and those of the texts without the white space
around them."""

SAMPLE_KEYS: Final = tuple(SCHEMA.names[: SCHEMA.get_field_index("fact")])
"""The keys of a dataset's samples, the specification's among them; what follows explains the label."""

REASONS: Final[dict[str, str]] = {
    # a line is not a record
    "invalid_utf8": "The line is not UTF-8.",
    "invalid_json": "The line is not JSON (RFC 8259, no repairs).",
    "invalid_csv": "The row of a table cannot be told apart into cells.",
    "ragged_row": "The row of a table has more or fewer cells than its header names columns.",
    "control_char": "A raw control character, or an escaped NUL, stands in the text.",
    "extra_data": "More than one JSON value stands on the line.",
    "lone_surrogate": "An escape names half of a character.",
    "non_finite": "NaN, Infinity or a number too large for a double.",
    "int_out_of_range": "An integer beyond 64 bits, which two readers would round differently.",
    "duplicate_key": "One object has the same key twice; readers disagree about which counts.",
    "several_matches": "Several records of the joined file have the record's key.",
    "too_deep": "Objects and lists are nested too deeply.",
    "too_many_items": "An object or list has too many items.",
    "line_too_long": "The line is longer than the limit.",
    "truncated_tail": "The file ends in the middle of a record.",
    "not_an_object": "The line is JSON, but no configured format reads a value that is not an object.",
    # a record is not of a known shape
    "unknown_shape": "No configured format reads a record with these keys.",
    "missing_field": "A required field is absent.",
    "null_field": "A required field is null.",
    "wrong_type": "A field holds another type than expected.",
    "empty_prompt": "The prompt is empty.",
    "empty_response": "The response is empty.",
    "multimodal": "A message holds something other than text.",
    "role_order": "Turns are out of order.",
    "unknown_role": "A message's role is not known.",
    "empty_turn": "A message has neither text nor a tool call.",
    "too_many_turns": "A conversation has more turns than the limit.",
    "prompt_mismatch": "The prompt and the conversation contradict each other.",
    "broken_tree": "A message's way to the root is broken: one above is missing, or an id stands twice.",
    "no_transcript": "The text is no transcript: it does not begin with a role mark.",
    "tool_call_answer": "The answer is a tool call without a text, and `policy: {tool_calls: drop}` is set.",
    "reasoning_refused": "The answer holds reasoning, and `reasoning: reject` is set.",
    "format_failed": "The format plugin failed on the record; its author should hear of it.",
    # a verdict cannot be read
    "label_unrecognised": "The verdict is not a value of its scale.",
    "out_of_scale": "The number lies outside its scale.",
    "missing_verdict": "There is no verdict, and `policy: {missing: error}` is set.",
    "winner_unmapped": "The winner is a value that the mapping does not name; the build stops at the file's end.",
    "contradictory_verdicts": "Two verdicts about one answer disagree.",
    "bad_ranking": "The ranks are not a permutation of 0..n-1 or 1..n.",
    "length_mismatch": "There are not as many ranks, scores or labels as responses.",
    "pairs_refused": "`convert_pairwise_to_binary` is false.",
    "refused_by_override": "The loader's own validation method refused the record.",
    # no verdict: normal life
    "null_verdict": "The verdict is null or empty: nobody judged this answer.",
    "neutral": "The verdict is the middle of its scale.",
    "tie": "The answers were judged equal.",
    "both_bad": "The answers were judged equally bad.",
    "disagreement": "The annotators did not agree.",
    "unmapped": "The verdict is a value that the mapping does not name (`policy: {unknown_value: skip}`).",
    "small_gap": "The scores lie closer than `min_gap`.",
    "missing_prompt": "There is no prompt, and `policy: {missing_prompt: skip}` is set.",
    "not_selected": "The record does not meet the mapping's `where`.",
    "identical_sides": "Both sides of the preference have the same text.",
    "single_candidate": "Only one answer was ranked.",
    "middle_rank": "The answer is neither among the best nor among the worst.",
    "part_of_group": "Others that the record belongs to gave samples; it is their context, or lies between them.",
    "joined": "The record was joined to one of another file, and is accounted for there.",
    "unmatched": "No record of the other file has the key of this one, which was to be joined.",
    # samples dropped by a stage
    "too_short": "The prompt or response is shorter than the minimum.",
    "too_long": "The prompt or response is longer than the maximum.",
    "low_quality": "The response quality lies below the bound.",
    "low_utility": "The utility lies below `min_utility_threshold`.",
    "high_utility": "The utility lies above `max_utility_threshold`.",
    "balance": "Balancing the labels left it out.",
    "conflict": "The same answer to the same prompt is judged good and bad (`conflict: drop`, `majority` or `last`).",
    "duplicate": "The same answer with the same label stands before it (`duplicates: drop`).",
    "unpaired": "`pairwise_sampling_strategy` balanced or random left this side out.",
    # changes worth knowing
    "repeat": "The same answer was reached twice within one record; it is emitted once.",
    "bom_stripped": "A byte order mark before a record was skipped.",
    "trailing_answer": "An assistant turn at the end of the context was left out: `response` is judged in its place.",
    "reasoning_stripped": "Reasoning was taken out of an answer (`reasoning: strip`).",
    "reversed": "A fraction was written with its maximum first (10/8) and read as 8/10.",
    "max_assumed": "A count of stars named no maximum; the scale's was taken.",
    "negated": "A negated word was read as the opposite grade.",
    "coded": "A number and a word stood in one cell and agreed.",
    "template_token": "The prompt or the response holds a token of a chat template, such as `[INST]`.",
    "absent_path": "A mapping's history, system, tools or verdict names nothing in the record; all of them: a typo?",
    "quality_undefined": "No part of the quality score could be measured; 0.5 stands in.",
}
"""What each reason code means. Plugins may add codes of their own."""
