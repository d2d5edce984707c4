"""Bad plugins, as real authors write them: every law catches its own, and tells what to change. Honest ones pass."""

from __future__ import annotations

import re
import sys
from types import ModuleType
from typing import TYPE_CHECKING, Final, NamedTuple

import pytest

from ktoformats.testing import LawBrokenError, check, laws_for
from ktoformats.testing.law import LAWS, tried

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.testing import Subject

    Plant = Callable[..., Subject]

HINTS: Final = {"speed"}
"""Laws that nothing breaks."""

FORMAT: Final = '''
class Mine(Format):
    """Votes on answers."""
    reads = {"question", "answer", "vote"}
    examples = (
        ({"question": "Name a river.", "answer": "The Nile.", "vote": "good"}, [("Name a river.", "The Nile.", "good")]),
        ({"question": "Name a sea.", "answer": "water", "vote": "bad"}, [("Name a sea.", "water", "bad")]),
    )
'''
FACTS: Final = """
    def facts(self, row):
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
"""
LABELS: Final = '''
class Mine(Labels):
    """Reads nay < yea."""
    examples = (("yea", "good"), ("nay", "bad"))
    scale: Scale = scale_of("votes", "nay < yea", good_from=1, bad_to=0)
'''
QUALITY: Final = '''
class Mine(Quality):
    """The longer the better, up to 1000 characters."""
'''
SCORE: Final = """
    def score(self, batch):
        return np.array([min(len(text) / 1000, 1.0) for text in batch.column("response").to_pylist()], dtype=float)
"""
UTILITY: Final = '''
class Mine(Utility):
    """Quality, and its negative where the answer is bad."""
'''
UTILITY_OF: Final = """
    def utility(self, quality, good):
        return np.where(good, quality, -quality)
"""
FILTER: Final = '''
class Mine(Filter):
    """Drops what is longer than 1000 characters."""
'''
DROPS: Final = """
    def drops(self, batch):
        lengths = pc.utf8_length(batch.column("response")).to_numpy(zero_copy_only=False)
        yield Dropped("too_long", lengths > 1000)
"""
EXPORTER: Final = '''
class Mine(Exporter):
    """Question, answer, and whether it is good."""
    def row(self, sample):
        return {"q": sample["prompt"], "a": sample["response"], "good": sample["label"] == "good"}
    def rows(self, batches):
        return [self.row(sample) for batch in batches for sample in batch.to_pylist()]
    def save(self, rows, path):
        path.write_text("".join(json.dumps(row) + "\\n" for row in rows), encoding="utf-8")
        return {}
'''
WRITE: Final = """
    def write(self, batches, path):
        return self.save(self.rows(batches), path)
"""
PRESET: Final = """
title: Votes on answers
mapping:
  detect: {columns: {question: text, answer: text, vote: text}}
  prompt: question
  candidates: {c: answer}
  verdict: {label: vote, good: [up], bad: [down]}
example:
  - {question: Name a river., answer: The Nile., vote: up}
gives:
  - [Name a river., The Nile., good]
"""


HOOK: Final = """
@hookimpl
def ktoformats_plugins():
    return [Mine]
"""


class Planted(NamedTuple):
    """A plugin that breaks a law."""

    law: str
    kind: str
    source: str
    says: str
    """A telling part of the message, as a regular expression."""


BAD: Final[dict[str, Planted]] = {
    # registered
    "it needs what is not installed": Planted(
        "registered",
        "format",
        f"import acme_missing\n{FORMAT}{FACTS}",
        r"install what it needs \(pip install acme_missing\)",
    ),
    "its hook returns two classes": Planted(
        "registered",
        "format",
        f"{FORMAT}{FACTS}class Other(Mine):\n    pass\n@hookimpl\ndef ktoformats_plugins():\n    return [Mine, Other]\n",
        "must return exactly one Format class, got Mine, Other",
    ),
    "its hook returns a plugin instead of a class": Planted(
        "registered",
        "utility",
        f"{UTILITY}{UTILITY_OF}@hookimpl\ndef ktoformats_plugins():\n    return [Mine()]\n",
        "must return a list of plugin classes",
    ),
    "its verb is misspelt": Planted(
        "registered", "format", FORMAT + FACTS.replace("facts", "fact"), "class Mine lacks facts"
    ),
    "two grades share a spelling": Planted(
        "registered", "labels", LABELS.replace("nay < yea", "nay | Yea < yea"), "fold to the same key"
    ),
    "the preset's file is no preset": Planted(
        "registered", "preset", "title: Votes\n", "expected one format with its options"
    ),
    # documented
    "it has no docstring": Planted(
        "documented", "quality", f"class Mine(Quality):{SCORE}", "class Mine has no docstring; say in one sentence"
    ),
    # options
    "it takes any option": Planted(
        "options", "filter", f'{FILTER}    model_config = ConfigDict(extra="allow")\n{DROPS}', 'keep `extra="forbid"`'
    ),
    "its JSON hides what it was given": Planted(
        "options",
        "exporter",
        f'{EXPORTER}    examples = ((None, None, {{"token": "x"}}),)\n    token: SecretStr = SecretStr("")\n{WRITE}',
        "it is another; use types that JSON can carry",
    ),
    "its option is a text and becomes a list": Planted(
        "options",
        "filter",
        FILTER
        + """
    examples = ((None, None, {"words": "sorry,cannot"}),)
    words: tuple[str, ...] = ()
    @field_validator("words", mode="before")
    def _split(cls, value):
        return tuple(value.split(","))
"""
        + DROPS,
        "its own options do not make it again",
    ),
    "its validator raises KeyError": Planted(
        "options",
        "utility",
        UTILITY
        + """
    curve: str = "flat"
    @field_validator("curve")
    def _known(cls, value):
        return {"flat": "flat", "steep": "steep"}[value]
"""
        + UTILITY_OF,
        "option 'curve'.*raise ValueError in validators",
    ),
    "its option has no JSON Schema": Planted(
        "options",
        "quality",
        f"{QUALITY}    model_config = ConfigDict(arbitrary_types_allowed=True)\n    lock: threading.Event | None = None\n{SCORE}",
        "its options have no JSON Schema",
    ),
    "it has an __init__ of its own": Planted(
        "options",
        "filter",
        f"{FILTER}    limit: int = 5\n    def __init__(self, limit=5):\n        super().__init__(limit=limit)\n{DROPS}",
        "leave `__init__` to the base class",
    ),
    # value
    "it can be changed": Planted(
        "value",
        "filter",
        f"{FILTER}    model_config = ConfigDict(frozen=False)\n    limit: int = 5\n{DROPS}",
        "keep `frozen=True`",
    ),
    "it holds a lock": Planted(
        "value",
        "quality",
        f"{QUALITY}    _lock: Any = PrivateAttr(default_factory=threading.Lock)\n{SCORE}",
        "not equal; keep what it computes out of its fields",
    ),
    "it holds a lambda": Planted(
        "value",
        "quality",
        f"{QUALITY}    _measure: Any = PrivateAttr(default=lambda text: len(text))\n{SCORE}",
        "cannot be sent to a worker .*hold no open files, locks, lambdas",
    ),
    "it holds an open file": Planted(
        "value",
        "filter",
        f"{FILTER}    _log: Any = PrivateAttr(default_factory=lambda: sys.stderr)\n{DROPS}",
        "cannot be sent to a worker .*hold no open files",
    ),
    "its class is made within a function": Planted(
        "value",
        "utility",
        "def made():"
        + (UTILITY + UTILITY_OF).replace("\n", "\n    ")
        + "\n    return Mine\n@hookimpl\ndef ktoformats_plugins():\n    return [made()]\n",
        "cannot be sent to a worker|two of it",
    ),
    "it holds an array": Planted(
        "value",
        "quality",
        f"{QUALITY}    _weights: Any = PrivateAttr(default_factory=lambda: np.ones(3))\n{SCORE}",
        "not equal; keep what it computes out of its fields",
    ),
    # deterministic
    "it counts its calls": Planted(
        "deterministic",
        "labels",
        LABELS
        + """
    def read(self, cell):
        CALLS.append(cell)
        return self.scale.read(cell) if len(CALLS) % 7 else None
CALLS = []
""",
        "no globals, no counters",
    ),
    "it tosses a coin": Planted(
        "deterministic",
        "quality",
        f"{QUALITY}    def score(self, batch):\n        return np.random.rand(len(batch))\n",
        "no unseeded chance",
    ),
    "it writes the time": Planted(
        "deterministic",
        "exporter",
        EXPORTER
        + """
    def write(self, batches, path):
        return self.save([{**row, "made": time.time_ns()} for row in self.rows(batches)], path)
""",
        "no clock",
    ),
    "it remembers answers in a global": Planted(
        "deterministic",
        "format",
        FORMAT
        + """
    def facts(self, row):
        if row["answer"] in SEEN:
            yield Unjudged("repeated")
            return
        SEEN.append(row["answer"])
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
SEEN = []
""",
        "asked a second time, it answers otherwise",
    ),
    "it drops every other sample": Planted(
        "deterministic",
        "filter",
        f'{FILTER}    def drops(self, batch):\n        yield Dropped("half", np.random.rand(len(batch)) < 0.5)\n',
        "it answers otherwise: .*no unseeded chance",
    ),
    # process
    "its facts come in the order of a set": Planted(
        "process",
        "format",
        """
class Mine(Format):
    \"\"\"Eight answers, each with a vote.\"\"\"
    reads = {"question"}
    examples = (
        (
            {"question": "q"} | {f"answer {n}": f"a{n}" for n in range(8)} | {f"vote {n}": "good" for n in range(8)},
            None,
        ),
    )
    def facts(self, row):
        for column in {key for key in row.record if key.startswith("answer")}:
            yield Judged(row.context("question"), row.response(column), row[column.replace("answer", "vote")], "vote")
""",
        r"in a process of its own \(PYTHONHASHSEED=.*no order of a set",
    ),
    "its file holds the process": Planted(
        "process",
        "exporter",
        EXPORTER
        + """
    def write(self, batches, path):
        import os
        path.write_text("".join(json.dumps(row | {"by": os.getpid()}) + "\\n" for row in self.rows(batches)))
        return {}
""",
        "in a process of its own .*the SHA-256 of its file: .*no clock",
    ),
    "its class variable has a type": Planted(
        "registered",
        "format",
        FORMAT.replace("    reads = {", "    reads: frozenset[str] = {") + FACTS,
        r"Mine\.reads would become an option, because it is annotated; write `reads = ",
    ),
    # events
    "its listener counts only fields it knows": Planted(
        "events",
        "format",
        FORMAT
        + FACTS
        + """
@hookimpl
def ktoformats_record_rejected(field):
    COUNTS[field] += 1
COUNTS = {"question": 0, "answer": 0, "vote": 0}
"""
        + HOOK,
        "ktoformats_record_rejected in acme_mine failed .*bear any reason, an empty field",
    ),
    # examples
    "its example is wrong": Planted(
        "examples",
        "format",
        FORMAT.replace('"The Nile.", "good")', '"The Nile", "good")') + FACTS,
        "example 0 says it gives .* but it gives",
    ),
    "its example is refused": Planted(
        "examples", "format", FORMAT.replace('"vote": "good"', '"vote": "zzqx"') + FACTS, "label_unrecognised at vote"
    ),
    "its facts name a scale that nobody loads": Planted(
        "examples",
        "format",
        FORMAT + FACTS.replace('"vote")', '"vote", "thumbs")'),
        "names the label plugin 'thumbs'.*its class must list it in default_scales",
    ),
    "its examples are one example": Planted(
        "examples",
        "format",
        FORMAT + '    examples = ({"question": "q", "answer": "a", "vote": "good"}, [("q", "a", "good")])\n' + FACTS,
        r"its example {.* is neither \(given, gives\) .*mind the comma",
    ),
    "its example is no JSON": Planted(
        "examples", "format", FORMAT.replace('"vote": "good"', '"vote": {1, 2}') + FACTS, "a record is not plain JSON"
    ),
    "the preset gives something else": Planted(
        "examples", "preset", PRESET.replace("The Nile., good", "The Nile., bad"), "its example says it gives"
    ),
    # facts
    "it swallows errors": Planted(
        "facts",
        "format",
        FORMAT
        + """
    def facts(self, row):
        try:
            fact = Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
        except Exception:
            return
        yield fact
""",
        "swallow no error: what is not said counts as never judged",
    ),
    "it forgets to return its facts": Planted(
        "facts", "format", FORMAT + FACTS.replace("yield ", ""), r"it says nothing of an example \(as it is\)"
    ),
    "it says nothing of an empty vote": Planted(
        "facts",
        "format",
        FORMAT
        + """
    def facts(self, row):
        if row["vote"]:
            yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
""",
        r"vote is null.*yield Unjudged\(\) where nobody judged",
    ),
    "it states dicts": Planted(
        "facts",
        "format",
        FORMAT
        + '    def facts(self, row):\n        return [{"prompt": row["question"], "response": row["answer"], "label": row["vote"]}]\n',
        "that is no fact; yield Judged",
    ),
    "its ranks are a list": Planted(
        "facts",
        "format",
        """
class Mine(Format):
    \"\"\"Ranked answers.\"\"\"
    reads = {"question", "best_first"}
    examples = (({"question": "q", "best_first": ["a", "b"]}, [("q", "a", "good"), ("q", "b", "bad")]),)
    def facts(self, row):
        answers = row.list("best_first")
        yield Ranked(row.context("question"), answers, list(range(len(answers))))
""",
        "responses and ranks must be tuples",
    ),
    "its answer may be None": Planted(
        "facts",
        "format",
        FORMAT + FACTS.replace('row.response("answer")', 'row.get("answer")'),
        r"answer is absent.*an answer must be a text or a Response, not None",
    ),
    "its context is a text": Planted(
        "facts",
        "format",
        FORMAT + FACTS.replace("row.context(", "row.text("),
        r"row.context\(prompt_field\) makes one",
    ),
    "it does not name the column": Planted(
        "facts", "format", FORMAT + FACTS.replace(', "vote")', ', "")'), "`field` must name the column"
    ),
    # hostile
    "it takes the vote for a text": Planted(
        "hostile",
        "format",
        FORMAT + FACTS.replace('row["vote"]', 'row["vote"].lower()'),
        "where vote is null, it trips: .*read fields through `row`",
    ),
    "it looks the vote up in a dict": Planted(
        "hostile",
        "format",
        FORMAT + FACTS.replace('row["vote"]', '{"good": True, "bad": False}[row["vote"]]'),
        "it trips: .*KeyError.*read fields through `row`",
    ),
    "it stops the run": Planted(
        "hostile",
        "format",
        FORMAT
        + """
    def facts(self, row):
        if row["vote"] not in ("good", "bad"):
            raise ktoformats.KTODataError("this file is broken")
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
""",
        "the whole run stops .*raise RecordError",
    ),
    "it leaves the program": Planted(
        "hostile",
        "format",
        FORMAT + FACTS.replace("yield", "row['vote'] or sys.exit('no vote')\n        yield"),
        r"it trips: format 'mine' failed on the record \(SystemExit: no vote at acme_mine:\d+\)",
    ),
    "it refuses without a word": Planted(
        "hostile",
        "format",
        FORMAT
        + """
    def facts(self, row):
        if row["vote"] not in ("good", "bad"):
            raise RecordError("label_unrecognised", "")
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
""",
        "the reject has no message; say what was seen",
    ),
    "its reason is a sentence": Planted(
        "hostile",
        "format",
        FORMAT
        + """
    def facts(self, row):
        if row["vote"] not in ("good", "bad"):
            raise RecordError("No such vote!", f"{row['vote']!r:.80} is no vote", field="vote")
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
""",
        "the reason is 'No such vote!'; take a code such as",
    ),
    # loss
    "what it cannot read counts as unjudged": Planted(
        "loss",
        "format",
        FORMAT
        + """
    def facts(self, row):
        known = row["vote"] in ("good", "bad")
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote") if known else Unjudged()
""",
        "vote is .*as if nobody had judged; raise a RecordError",
    ),
    "what is absent counts as unjudged": Planted(
        "loss",
        "format",
        FORMAT + FACTS.replace('row["vote"]', 'row.get("vote")'),
        "vote is absent, .*as if nobody had judged",
    ),
    # verbatim
    **{
        f"it tidies answers up with {code}": Planted(
            "verbatim",
            "format",
            FORMAT + FACTS.replace('row.response("answer")', code),
            "change nothing in prompts and answers",
        )
        for code in (
            'row.text("answer").strip()',
            'unicodedata.normalize("NFC", row.text("answer"))',
            '" ".join(row.text("answer").split())',
            'row.text("answer").lower()',
            'row.text("answer")[:4096]',
            'html.unescape(row.text("answer"))',
            're.sub("<[^<>]*>", "", row.text("answer"))',
            'row.text("answer").replace("\\r\\n", "\\n")',
            '"\\n".join(row.text("answer").splitlines())',
        )
    },
    # layout
    "its layout reads the columns the wrong way round": Planted(
        "layout",
        "format",
        FORMAT
        + FACTS
        + """
    def layout(self, shape):
        if not shape.are_texts("question", "answer"):
            return None
        return JudgedLayout("answer", "question", "vote")
""",
        "return None from `layout` for shapes whose records it does not describe",
    ),
    "its layout promises a column that is not there": Planted(
        "layout",
        "format",
        FORMAT
        + FACTS
        + """
    def layout(self, shape):
        return JudgedLayout("question", "answer", "vote")
""",
        "return None for such a shape",
    ),
    # pure
    "it pops the vote": Planted(
        "pure",
        "format",
        FORMAT + FACTS.replace('row["vote"]', 'row.record.pop("vote")'),
        r"take values out with get\(\), never with pop",
    ),
    "it sorts a list of the record": Planted(
        "pure",
        "format",
        """
class Mine(Format):
    \"\"\"Answers, each with its place.\"\"\"
    reads = {"question", "placed"}
    examples = (({"question": "q", "placed": [[2, "b"], [1, "a"]]}, [("q", "a", "good"), ("q", "b", "bad")]),)
    def facts(self, row):
        placed = row.list("placed")
        placed.sort()
        yield Pair(row.context("question"), placed[0][1], placed[-1][1])
""",
        "sort or extend only lists of your own",
    ),
    "it appends to the conversation": Planted(
        "pure",
        "format",
        """
class Mine(Format):
    \"\"\"A chat and the vote on a last answer.\"\"\"
    reads = {"chat", "answer", "vote"}
    examples = (
        ({"chat": [{"role": "user", "content": "q"}], "answer": "a", "vote": "good"}, [("q", "a", "good")]),
    )
    def facts(self, row):
        chat = row.list("chat")
        chat.append({"role": "assistant", "content": row.text("answer")})
        yield Judged(None, row.conversation("chat"), row["vote"], "vote")
""",
        "it changes the record: before .*extend only lists of your own",
    ),
    # order
    "it takes the question from the record before": Planted(
        "order",
        "format",
        """
class Mine(Format):
    \"\"\"Votes, the question written once.\"\"\"
    reads = {"question", "answer", "vote"}
    examples = (
        ({"question": "q1", "answer": "a", "vote": "good"}, [("q1", "a", "good")]),
        ({"question": "q2", "answer": "b", "vote": "bad"}, [("q2", "b", "bad")]),
    )
    _last: dict = PrivateAttr(default_factory=dict)
    def facts(self, row):
        if row["question"] is not None:
            self._last["question"] = row.text("question")
        if "question" not in self._last:
            raise RecordError("null_field", "no question as yet", field="question")
        yield Judged(Context(self._last["question"]), row.response("answer"), row["vote"], "vote")
""",
        "in another order or by itself .*keep nothing between records",
    ),
    "it takes columns by their places": Planted(
        "order",
        "format",
        FORMAT
        + """
    def facts(self, row):
        question, answer, vote = row.record.values()
        yield Judged(Context(question), answer, vote, "vote")
""",
        "with its keys in another order .*take columns by their names",
    ),
    # claim
    "it claims by what it has read": Planted(
        "claim",
        "format",
        FORMAT
        + """
    _seen: list = PrivateAttr(default_factory=list)
    def claim(self, shape):
        return claim_of("question", "answer", "vote", score=9 if self._seen else 3)
    def facts(self, row):
        self._seen.append(1)
        yield Judged(row.context("question"), row.response("answer"), row["vote"], "vote")
""",
        "a claim may look at keys and types only",
    ),
    "it claims by the order of keys": Planted(
        "claim",
        "format",
        FORMAT
        + '    def claim(self, shape):\n        return Claim(3 * (next(iter(shape.kinds)) == "question"), "votes")\n'
        + FACTS,
        "the keys are in another order; a claim may look at keys and types only",
    ),
    "it claims columns that are not there": Planted(
        "claim",
        "format",
        FORMAT + '    def claim(self, shape):\n        return claim_of("question", "answer", "verdict")\n' + FACTS,
        "its claim counts on 'verdict', which the record does not have",
    ),
    "it reads columns that its examples lack": Planted(
        "claim",
        "format",
        FORMAT + '    reads = {"question", "answer", "vote", "voter"}\n' + FACTS,
        r"\(no column 'voter'\); let `reads`, or claim\(shape\), name the columns",
    ),
    "its claim is a truth value": Planted(
        "claim",
        "format",
        FORMAT + '    def claim(self, shape):\n        return "vote" in shape\n' + FACTS,
        "return a Claim, see `ktoformats.claim_of`",
    ),
    "its claim is a share": Planted(
        "claim",
        "format",
        FORMAT + '    def claim(self, shape):\n        return Claim(0.9, "has a vote")\n' + FACTS,
        "the score is a whole number",
    ),
    "the preset is known by a column that its example lacks": Planted(
        "claim",
        "preset",
        PRESET.replace("vote: text}", "voter: text}"),
        "it does not claim an example of its own .*let `detect` name",
    ),
    # modest
    "it claims everything": Planted(
        "modest",
        "format",
        FORMAT + '    def claim(self, shape):\n        return Claim(100, "mine")\n' + FACTS,
        "it claims a record of .*ask for a column that only your records have",
    ),
    "it asks for the columns of another format": Planted(
        "modest",
        "format",
        """
class Mine(Format):
    \"\"\"Labels of my own.\"\"\"
    reads = {"prompt", "response", "label"}
    examples = (({"prompt": "q", "response": "a", "label": "good"}, [("q", "a", "good")]),)
    def facts(self, row):
        yield Judged(row.context(), row.response(), row["label"], "label")
""",
        "a record of binary becomes ambiguous: .*ask for a column that only your records have",
    ),
    "the preset is known by the columns of a format": Planted(
        "modest",
        "preset",
        PRESET.replace("question", "prompt").replace("answer", "response").replace("vote", "label"),
        "a record of binary becomes ambiguous: .*ask for a column that only your records have",
    ),
    # grades
    "its example cell is read otherwise": Planted(
        "grades",
        "labels",
        LABELS.replace('("yea", "good")', '("yea", "bad")'),
        "cell 'yea' should be 'bad', and is 'good'",
    ),
    "its best grade comes first": Planted(
        "grades", "labels", LABELS.replace('"nay < yea"', '"yea < nay"'), "cell 'yea' should be 'good', and is 'bad'"
    ),
    "no example is bad": Planted(
        "grades", "labels", LABELS.replace(', ("nay", "bad")', ","), "no example is bad; give one cell for each grade"
    ),
    # readings
    "it reads words": Planted(
        "readings",
        "labels",
        LABELS
        + '    def read(self, cell):\n        return {"yea": "good", "nay": "bad"}.get(cell) if cell else None\n',
        "that is no Reading",
    ),
    "its position is a percentage": Planted(
        "readings",
        "labels",
        LABELS
        + """
    def read(self, cell):
        reading = self.scale.read(cell)
        return reading and reading._replace(position=100 * reading.position)
""",
        "the position must lie between 0",
    ),
    "its label is a word of its own": Planted(
        "readings",
        "labels",
        LABELS
        + """
    def read(self, cell):
        reading = self.scale.read(cell)
        return reading and reading._replace(label=reading.label.title())
""",
        "the label must be good, bad or empty",
    ),
    # ordered
    "its best grade has the lowest place": Planted(
        "ordered",
        "labels",
        LABELS
        + """
    def read(self, cell):
        reading = self.scale.read(cell)
        return reading and reading._replace(position=1 - reading.position)
""",
        "list the grades worst first",
    ),
    # strict
    **{
        f"its label is {code}": Planted(
            "strict",
            "labels",
            LABELS
            + f"""
    def read(self, cell):
        if cell is None or (type(cell) is str and not cell.strip()):
            return None
        return self.scale.read({code})
""",
            says,
        )
        for code, says in (
            ('"yea" if bool(cell) else "nay"', r"no bool\(cell\), no default"),
            ('{"yea": "yea"}.get(str(cell), "nay")', r"is read as 'bad'; .*never guessed"),
            ('"yea" if "good" in str(cell) else cell', "cell 'good bad' is read as 'good'"),
            ('"yea" if float(cell) >= 4 else "nay"', "raises ValueError: .*raise KTOLabelError"),
            ('{"yea": "yea", "nay": "nay"}[cell]', "raises KeyError: .*raise KTOLabelError"),
            ('"yea" if type(cell) is float and cell >= 4 else cell', "cell inf is read as 'good'"),
        )
    },
    "it refuses with a sentence as reason": Planted(
        "strict",
        "labels",
        LABELS
        + """
    def read(self, cell):
        if type(cell) is str and cell.strip() in ("", "yea", "nay") or cell is None:
            return self.scale.read(cell)
        raise KTOLabelError("No vote!", f"{cell!r:.80} is no vote")
""",
        "the reason is 'No vote!'",
    ),
    # unjudged
    "null is bad": Planted(
        "unjudged",
        "labels",
        LABELS + '    def read(self, cell):\n        return self.scale.read("nay" if cell is None else cell)\n',
        "cell None is read as .*return None, nobody judged",
    ),
    "blank cells trip it": Planted(
        "unjudged",
        "labels",
        LABELS
        + "    def read(self, cell):\n        return self.scale.read(None if cell is None else cell.strip().split()[0])\n",
        "cell '' raises IndexError: .*return None, nobody judged",
    ),
    # spelling
    "it knows two spellings and takes the others for bad": Planted(
        "spelling",
        "labels",
        LABELS
        + """
    def read(self, cell):
        if type(cell) is not str or not cell.strip():
            return self.scale.read(cell)
        return self.scale.read("yea" if cell in ("yea", "Yea") else "nay")
""",
        "'yea' is 'good' and 'YEA' is 'bad'; compare `label_key",
    ),
    # scores
    "it counts characters": Planted(
        "scores",
        "quality",
        QUALITY + SCORE.replace("min(len(text) / 1000, 1.0)", "len(text) / 1000"),
        r"clip to \[0, 1\]",
    ),
    "it divides by nothing": Planted(
        "scores",
        "utility",
        f"{UTILITY}    def utility(self, quality, good):\n        with np.errstate(divide='ignore'):\n            return np.log(quality * 0)\n",
        "a utility must be a number for every quality",
    ),
    "it gives float32": Planted(
        "scores",
        "quality",
        QUALITY + SCORE.replace("dtype=float", "dtype=np.float32"),
        "score returns float32; make it float64",
    ),
    "it gives one number for all": Planted(
        "scores",
        "utility",
        f"{UTILITY}    def utility(self, quality, good):\n        return np.mean(quality)\n",
        r"returns shape \(\) .*one number for each",
    ),
    "it gives a column": Planted(
        "scores", "quality", QUALITY + SCORE.replace("dtype=float)", "dtype=float)[:, None]"), "one number for each"
    ),
    # rows
    "it spreads scores over the batch": Planted(
        "rows",
        "quality",
        QUALITY
        + """
    def score(self, batch):
        lengths = np.array([len(text) for text in batch.column("response").to_pylist()], dtype=float)
        if not len(lengths):
            return lengths
        spread = lengths.max() - lengths.min()
        return (lengths - lengths.min()) / spread if spread else np.full(len(lengths), 0.5)
""",
        "no mean, maximum or rank over the batch",
    ),
    "it ranks the batch": Planted(
        "rows",
        "utility",
        f"{UTILITY}    def utility(self, quality, good):\n        return np.argsort(np.argsort(quality)).astype(float)\n",
        "no mean, maximum or rank over the batch",
    ),
    "it reads buffers without the offset": Planted(
        "rows",
        "quality",
        QUALITY
        + """
    def score(self, batch):
        offsets = np.frombuffer(batch.column("response").buffers()[1], dtype=np.int64)[: len(batch) + 1]
        return np.minimum(np.diff(offsets) / 1000, 1.0) if len(batch) else np.zeros(0)
""",
        r"not by their buffers \(a slice has an offset\)",
    ),
    "it fails on an empty batch": Planted(
        "rows",
        "utility",
        f"{UTILITY}    def utility(self, quality, good):\n        return quality / max(1.0, quality.max())\n",
        "score fails on an empty batch .*an empty one, too",
    ),
    "it drops the longest tenth of the batch": Planted(
        "rows",
        "filter",
        FILTER
        + """
    def drops(self, batch):
        lengths = np.array([len(text) for text in batch.column("response").to_pylist()])
        yield Dropped("too_long", lengths > (np.quantile(lengths, 0.9) if len(lengths) else 0))
""",
        "look at each row alone",
    ),
    "it drops repeated answers of the batch": Planted(
        "rows",
        "filter",
        FILTER
        + """
    def drops(self, batch):
        seen, mask = set(), []
        for text in batch.column("response").to_pylist():
            mask.append(text in seen)
            seen.add(text)
        yield Dropped("repeated", np.array(mask, dtype=bool))
""",
        "look at each row alone",
    ),
    # blind
    **{
        f"its quality looks at {column}": Planted(
            "blind",
            "quality",
            QUALITY
            + f"    def score(self, batch):\n        return np.array([{code} for x in batch.column({column!r}).to_pylist()], dtype=float)\n",
            f"the score changes with column '{column}'",
        )
        for column, code in (
            ("label", "0.5 + 0.5 * (x == 'good')"),
            ("position", "x"),
            ("source", "len(x) % 10 / 10"),
            ("line", "1 / x"),
            ("conversation", "1 / (1 + len(x))"),
        )
    },
    # masks
    "its mask is of numbers": Planted(
        "masks",
        "filter",
        FILTER + DROPS.replace("lengths > 1000", "np.flatnonzero(lengths > 1000)"),
        "make it bool of shape",
    ),
    "its mask is of ones": Planted(
        "masks",
        "filter",
        FILTER + DROPS.replace("lengths > 1000", "(lengths > 1000).astype(int)"),
        "make it bool of shape",
    ),
    "its reason is for people": Planted(
        "masks", "filter", FILTER + DROPS.replace("too_long", "Too long!"), "take a code such as `too_short`"
    ),
    "it yields masks alone": Planted(
        "masks",
        "filter",
        FILTER + DROPS.replace('Dropped("too_long", lengths > 1000)', "lengths > 1000"),
        r"yield Dropped\(reason, mask\)",
    ),
    "it returns one mask": Planted(
        "masks", "filter", FILTER + DROPS.replace("yield", "return"), r"yield Dropped\(reason, mask\)"
    ),
    # complete
    **{
        f"its exporter {what}": Planted("complete", "exporter", EXPORTER + code, says)
        for what, code, says in (
            (
                "leaves the last row out",
                WRITE.replace("self.rows(batches)", "self.rows(batches)[:-1]"),
                "write each of them once",
            ),
            (
                "writes full chunks only",
                WRITE.replace("self.rows(batches)", "self.rows(batches)[: len(self.rows(batches)) // 50 * 50]"),
                "write each of them once",
            ),
            (
                "drops repeated answers",
                WRITE.replace("self.rows(batches)", '{row["a"]: row for row in self.rows(batches)}.values()'),
                "write each of them once",
            ),
            (
                "leaves empty answers out",
                WRITE.replace("self.rows(batches)", '[row for row in self.rows(batches) if row["a"].strip()]'),
                "write each of them once",
            ),
            (
                "sorts",
                WRITE.replace("self.rows(batches)", 'sorted(self.rows(batches), key=lambda row: row["good"])'),
                "keep order and every character",
            ),
            (
                "strips line breaks",
                WRITE.replace(
                    "self.rows(batches)", '[{**row, "a": row["a"].replace("\\n", " ")} for row in self.rows(batches)]'
                ),
                "keep order and every character",
            ),
            (
                "cuts answers",
                WRITE.replace("self.rows(batches)", '[{**row, "a": row["a"][:2048]} for row in self.rows(batches)]'),
                "keep order and every character",
            ),
            ("returns nothing", WRITE.replace("return ", ""), "write returns None; return what to tell the user"),
            (
                "writes a side file",
                WRITE.replace("return", 'path.with_suffix(".md").write_text("# My data")\n        return'),
                "it also writes .*one path is given",
            ),
            (
                "writes where it likes",
                WRITE.replace("), path)", '), Path(tempfile.mkdtemp()) / "out.jsonl")'),
                "there is no file at the path it was given",
            ),
            (
                "writes tables by hand",
                """
    suffix = ".csv"
    def write(self, batches, path):
        path.write_text("q,a,good\\n" + "".join(f"{r['q']},{r['a']},{r['good']}\\n" for r in self.rows(batches)))
        return {}
""",
                "of 101 samples 109 are read back",
            ),
        )
    },
    # labels
    "its exporter forgets labels": Planted(
        "labels",
        "exporter",
        EXPORTER.replace(', "good": sample["label"] == "good"', "") + WRITE,
        "the same when every label is turned round; write the label",
    ),
    "its exporter takes labels for truth values": Planted(
        "labels",
        "exporter",
        EXPORTER.replace('sample["label"] == "good"', 'bool(sample["label"])') + WRITE,
        "the same when every label is turned round; write the label",
    ),
    # batches
    "its exporter keeps the last batch": Planted(
        "batches",
        "exporter",
        EXPORTER
        + "    def write(self, batches, path):\n        for batch in batches:\n            self.save(self.rows([batch]), path)\n        return {}\n",
        "go through all batches|no file",
    ),
    "its exporter numbers rows within batches": Planted(
        "batches",
        "exporter",
        EXPORTER
        + """
    def write(self, batches, path):
        return self.save([{"n": n, **row} for batch in batches for n, row in enumerate(self.rows([batch]))], path)
""",
        "and other ones than in one batch",
    ),
    "its exporter uses the first batch up": Planted(
        "complete",
        "exporter",
        EXPORTER
        + """
    def write(self, batches, path):
        parts = iter(batches)
        columns = next(parts).schema.names
        return self.save(self.rows(parts), path) if columns else {}
""",
        "write each of them once",
    ),
    "its exporter takes batches for an iterator": Planted(
        "complete",
        "exporter",
        EXPORTER
        + "    def write(self, batches, path):\n        first = next(batches)\n        return self.save(self.rows([first, *batches]), path)\n",
        "not an iterator.; batches can be iterated",
    ),
    "its exporter cannot write nothing": Planted(
        "batches",
        "exporter",
        EXPORTER
        + """
    suffix = ".parquet"
    def write(self, batches, path):
        writer = None
        for batch in batches:
            writer = writer or pq.ParquetWriter(path, batch.schema)
            writer.write_batch(batch)
        writer.close()
        return {}
""",
        "write fails on no samples",
    ),
    "its exporter wants a list of batches": Planted(
        "complete",
        "exporter",
        EXPORTER + "    def write(self, batches, path):\n        return self.save(self.rows(batches[:]), path)\n",
        "write fails on .*batches can be iterated and nothing else",
    ),
}


OBSERVER: Final = """
@hookimpl
def ktoformats_dataset_built(split, report):
    print(split, report["total"]["lines"])
"""
HONEST: Final[dict[str, tuple[str, str]]] = {
    # one of each kind, as short as it gets
    "a format": ("format", FORMAT + FACTS),
    "a label plugin": ("labels", LABELS),
    "a quality": ("quality", QUALITY + SCORE),
    "a utility": ("utility", UTILITY + UTILITY_OF),
    "a filter": ("filter", FILTER + DROPS),
    "an exporter": ("exporter", EXPORTER + WRITE),
    "a preset": ("preset", PRESET),
    "an observer": ("observer", OBSERVER),
    # honest, but unusual
    "a format that claims by types": (
        "format",
        FORMAT
        + """
    reads = frozenset()
    def claim(self, shape):
        fits = shape.kinds.get("vote") == "text" and shape.any_of("question") and "answer" in shape
        return claim_of("question", "answer", "vote") if fits else Claim(0, "no vote in words")
"""
        + FACTS,
    ),
    "a format that users name": ("format", FORMAT + "    reads = frozenset()\n" + FACTS),
    "a format whose columns are options": (
        "format",
        FORMAT
        + """
    reads = frozenset()
    answer: str = Field(default="answer", min_length=1)
    vote: str = "vote"
    examples = (
        *examples,
        ({"question": "q", "reply": "a", "thumb": "bad"}, [("q", "a", "bad")], {"answer": "reply", "vote": "thumb"}),
    )
    def claim(self, shape):
        wanted = ("question", self.answer, self.vote)
        missing = [column for column in wanted if column not in shape]
        return Claim(0, f"no {missing[0]}") if missing else claim_of(*wanted)
    def facts(self, row):
        yield Judged(row.context("question"), row.response(self.answer), row[self.vote], self.vote)
""",
    ),
    "a format that cannot be made without an option": (
        "format",
        '''
class Mine(Format):
    """Rated answers, on a scale that the user knows."""
    reads = {"question", "answer", "points"}
    high: int = Field(ge=2)
    examples = (
        ({"question": "q", "answer": "a", "points": 9}, [("q", "a", "good")], {"high": 10}),
        ({"question": "q", "answer": "a", "points": 30}, [("q", "a", "bad")], {"high": 100}),
        ({"question": "q", "answer": "a", "points": None}, [], {"high": 100}),
    )
    def facts(self, row):
        scale = Scale(name="points", low=0, high=self.high, good_from=self.high * 0.6, bad_to=self.high * 0.4)
        yield Rated(row.context("question"), row.text("answer"), row["points"], scale, "points")
''',
    ),
    "a format that states several facts": (
        "format",
        '''
class Mine(Format):
    """A question and any number of answers with votes."""
    reads = {"question", "answers"}
    examples = (
        (
            {"question": "q", "answers": [{"text": "yes", "vote": "yes"}, {"text": "no", "vote": "no"}]},
            [("q", "yes", "good"), ("q", "no", "bad")],
        ),
    )
    def facts(self, row):
        context = row.context("question")
        stated = False
        for number, one in enumerate(row.list("answers")):
            stated = True
            if type(one) is not dict or type(one.get("text")) is not str:
                error = RecordError("wrong_type", "is no answer with a text", field=f"answers[{number}]")
                yield Judged(context, error, "yes", "vote")
            else:
                yield Judged(context, one["text"], one.get("vote"), "vote")
        if not stated:
            yield Unjudged("no_answers")
''',
    ),
    "a format that gathers records": (
        "format",
        '''
class Mine(Format):
    """Answers to one question, each on a line of its own, the votes counted."""
    examples = (
        (
            [
                {"question": "q", "answer": "a", "votes": 5},
                {"question": "q", "answer": "b", "votes": 1},
                {"question": "q", "answer": "c", "votes": 3},
            ],
            [("q", "a", "good"), ("q", "b", "bad")],
        ),
    )
    def gathers(self):
        return Gather(key=by_question)
    def facts(self, row):
        answers = tuple(Response(one["answer"], row=number) for number, one in enumerate(row.record))
        ranks = tuple(one["votes"] for one in row.record)
        yield Ranked(Context(row.record[0]["question"]), answers, ranks, best="high", scores=True, field="votes")
def by_question(record):
    return record.get("question")
''',
    ),
    "a format whose prompt is a template": (
        "format",
        '''
class Mine(Format):
    """A passage, a question about it, an answer and a vote."""
    reads = {"passage", "question", "answer", "vote"}
    template: str = "{passage}\\n\\nQuestion: {question}"
    examples = (
        (
            {"passage": "The Nile is long.", "question": "Is it?", "answer": "Yes.", "vote": "good"},
            [("The Nile is long.\\n\\nQuestion: Is it?", "Yes.", "good")],
        ),
    )
    def facts(self, row):
        prompt = self.template.replace("{passage}", row.text("passage")).replace("{question}", row.text("question"))
        yield Judged(Context(prompt), row.response("answer"), row["vote"], "vote")
''',
    ),
    "a format of transcripts": (
        "format",
        '''
class Mine(Format):
    """A transcript that ends in the judged answer."""
    reads = {"transcript", "vote"}
    examples = (
        ({"transcript": "Human: q\\nBot: a\\nHuman: q2\\nBot: a2", "vote": "bad"}, [("q2", "a2", "bad")]),
    )
    def facts(self, row):
        turns = []
        for number, line in enumerate(row.text("transcript").split("\\n")):
            who, colon, text = line.partition(": ")
            if not colon or who != ("Human", "Bot")[number % 2] or not text:
                raise RecordError("role_order", f"line {number + 1} is {line!r:.60}", field="transcript")
            turns.append(Message(("user", "assistant")[number % 2], text))
        if len(turns) < 2 or len(turns) % 2:
            raise RecordError("role_order", "expected an answer at the end", field="transcript")
        yield Judged(Context(turns[-2].content, "", tuple(turns[:-1])), turns[-1].content, row["vote"], "vote")
''',
    ),
    "a format whose answers are messages": (
        "format",
        '''
class Mine(Format):
    """Two whole conversations and which one was better."""
    reads = {"left", "right", "better"}
    examples = (
        (
            {
                "left": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}],
                "right": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "b"}],
                "better": "right",
            },
            [("q", "b", "good"), ("q", "a", "bad")],
        ),
        ({"left": "a", "right": "b", "better": "tie", "system": "s"}, []),
    )
    def facts(self, row):
        better = row["better"]
        if better is None or (type(better) is str and better.strip() in ("", "tie")):
            yield Unjudged("tie" if better else "null_verdict")
        elif better in ("left", "right"):
            other = "left" if better == "right" else "right"
            yield Pair(None, or_error(row.conversation, better), or_error(row.conversation, other))
        else:
            raise RecordError("label_unrecognised", f"{better!r:.60} is neither left nor right", field="better")
''',
    ),
    "a format of lists": (
        "format",
        '''
class Mine(Format):
    """Rows of question, answer and vote, as lists."""
    any_value = True
    examples = ((["q", "a", True], [("q", "a", "good")]), (["q", "b", False], [("q", "b", "bad")]))
    def facts(self, row):
        values = row.record
        if type(values) is not list or len(values) != 3 or type(values[0]) is not str or type(values[1]) is not str:
            raise RecordError("wrong_type", f"expected [question, answer, vote], got {values!r:.60}")
        yield Judged(Context(values[0]), values[1], values[2], "vote")
''',
    ),
    "a format where most answers have no vote": (
        "format",
        FORMAT
        + """
    reads = {"question", "answer", "log"}
    examples = (
        ({"question": "q", "answer": "a", "log": 1}, []),
        ({"question": "q", "answer": "a", "log": 1, "vote": "good"}, [("q", "a", "good")]),
        ({"question": "q", "answer": "a", "log": 1, "vote": "never heard of"}, []),
    )
    def facts(self, row):
        return [Judged(row.context("question"), row.response("answer"), row.get("vote"), "vote")]
""",
    ),
    "a format that refuses what it does not like": (
        "format",
        FORMAT
        + """
    def facts(self, row):
        answer = row.text("answer")
        if not answer.isascii():
            raise RecordError("not_ascii", "holds characters outside ASCII", field="answer")
        row.notices.append("ascii")
        yield Judged(row.context("question"), answer, row["vote"], "vote")
""",
    ),
    "a format of one column a model": (
        "format",
        '''
class Mine(Format):
    """The answers of several models, and which model won."""
    examples = (
        (
            {"question": "q", "model_a": "x", "model_b": "y", "winner": "model_b"},
            [("q", "y", "good"), ("q", "x", "bad")],
        ),
    )
    def claim(self, shape):
        models = sorted(column for column in shape.kinds if column.startswith("model_"))
        fits = len(models) > 1 and "question" in shape and "winner" in shape
        return claim_of("question", "winner", *models) if fits else Claim(0, "no models with a winner")
    def facts(self, row):
        winner, models = row["winner"], [column for column in row.record if column.startswith("model_")]
        if winner is None:
            yield Unjudged()
        elif winner not in models or len(models) < 2:
            raise RecordError("label_unrecognised", f"{winner!r:.60} won over nobody", field="winner")
        for loser in models:
            if winner is not None and loser != winner:
                yield Pair(row.context("question"), or_error(row.response, winner), or_error(row.response, loser))
''',
    ),
    "a format that listens": (
        "format",
        FORMAT
        + FACTS
        + """
REJECTED = collections.Counter()
@hookimpl
def ktoformats_record_rejected(source, line, reason, field, message):
    REJECTED[field or reason] += 1
@hookimpl
def ktoformats_dataset_built(split, report):
    total = report["total"]
    print(split, total["used"] / max(total["lines"], 1), sum(total["rejected"].values()), report["labels"]["good"])
"""
        + HOOK,
    ),
    "labels with a read of their own": (
        "labels",
        LABELS
        + """
    booleans: bool = True
    def read(self, cell):
        if self.booleans and type(cell) is bool:
            return Reading("good" if cell else "bad", float(cell), float(cell), "votes")
        if cell is None or (type(cell) is str and not cell.strip()):
            return None
        known = {"yea": 1.0, "abstain": 0.5, "nay": 0.0}
        key = cell.strip().lower() if type(cell) is str else None
        if key not in known:
            raise KTOLabelError("label_unrecognised", f"{cell!r:.80} is no vote; votes are yea, abstain and nay")
        return Reading({1.0: "good", 0.0: "bad"}.get(known[key], ""), known[key], known[key], "votes")
""",
    ),
    "labels whose low numbers are good": (
        "labels",
        '''
class Mine(Labels):
    """Severity from 1 (none) to 10."""
    examples = ((1, "good"), ("9/10", "bad"), (5, ""), (None, None), ("two", "good", {"words": True}))
    scale: Scale = Scale(name="severity", low=1, high=10, good_from=3, bad_to=7, higher_is_better=False)
    words: bool = False
    def read(self, cell):
        return self.scale.read(2 if self.words and cell == "two" else cell)
''',
    ),
    "labels that count a list of votes": (
        "labels",
        LABELS
        + """
    examples = ((["yea", "yea", "nay"], "good"), (["nay"], "bad"), (["nay", "yea"], ""), ([], None))
    def read(self, cell):
        if cell in (None, []) or (type(cell) is str and not cell.strip()):
            return None
        if type(cell) is not list or not all(vote in ("yea", "nay") for vote in cell):
            raise KTOLabelError("label_unrecognised", f"{cell!r:.80} is no list of votes (yea, nay)")
        share = cell.count("yea") / len(cell)
        return Reading("good" if share > 0.5 else "bad" if share < 0.5 else "", share, share, "votes")
""",
    ),
    "a quality that measures nothing": (
        "quality",
        QUALITY + "    def score(self, batch):\n        return np.full(len(batch), np.nan)\n",
    ),
    "a quality that remembers texts": (
        "quality",
        QUALITY
        + """
    words: tuple[str, ...] = ("sorry",)
    _known: dict = PrivateAttr(default_factory=dict)
    @functools.cached_property
    def pattern(self):
        return re.compile("|".join(map(re.escape, self.words)))
    def score(self, batch):
        texts = batch.column("response").to_pylist()
        for text in texts:
            self._known.setdefault(text, 0.0 if self.pattern.search(text) else 1.0)
        return np.array([self._known[text] for text in texts], dtype=np.float64)
""",
    ),
    "a quality that multiplies in float32": (
        "quality",
        QUALITY
        + """
    def score(self, batch):
        texts = [hashlib.sha512(text.encode()).digest() for text in batch.column("response").to_pylist()]
        inputs = np.frombuffer(b"".join(texts), dtype=np.uint8).reshape(len(batch), 64).astype(np.float32) / 255
        hidden = np.tanh(inputs @ np.linspace(-1, 1, 64 * 300, dtype=np.float32).reshape(64, 300))
        return ((hidden @ np.linspace(-1, 1, 300, dtype=np.float32)) / 600 + 0.5).astype(np.float64)
""",
    ),
    "a constant utility": (
        "utility",
        UTILITY + "    def utility(self, quality, good):\n        return np.ones(len(quality))\n",
    ),
    "a utility that looks at more": (
        "utility",
        UTILITY
        + UTILITY_OF
        + """
    def score(self, batch):
        return super().score(batch) * pc.equal(batch.column("system"), "").to_numpy(zero_copy_only=False)
""",
    ),
    "a filter that drops everything": (
        "filter",
        FILTER + '    def drops(self, batch):\n        return [("all", np.ones(len(batch), dtype=bool))]\n',
    ),
    "a filter that is silent about what it keeps": (
        "filter",
        FILTER
        + """
    def drops(self, batch):
        texts = batch.column("response").to_pylist()
        for reason, mask in (("code", [text.startswith("def ") for text in texts]), ("shout", [t.isupper() for t in texts])):
            if any(mask):
                yield Dropped(reason, np.array(mask))
""",
    ),
    "a filter whose mask is of Arrow": (
        "filter",
        FILTER
        + """
    def drops(self, batch):
        yield "too_long", pc.greater(pc.utf8_length(batch.column("response")), 100)
""",
    ),
    "a filter that drops nothing": ("filter", FILTER + "    def drops(self, batch):\n        return ()\n"),
    "an exporter of tables": (
        "exporter",
        EXPORTER
        + """
    suffix = ".csv"
    delimiter: Literal[",", ";"] = ","
    def write(self, batches, path):
        with path.open("w", encoding="utf-8", newline="") as stream:
            table = csv.DictWriter(stream, ["q", "a", "good"], delimiter=self.delimiter)
            table.writeheader()
            table.writerows(self.rows(batches))
        return {"delimiter": self.delimiter}
""",
    ),
    "an exporter of messages": (
        "exporter",
        EXPORTER
        + """
    def row(self, sample):
        turns = sample["conversation"] or [{"role": "user", "content": sample["prompt"]}]
        turns = [{"role": turn["role"], "content": turn["content"]} for turn in turns]
        turns += [{"role": "assistant", "content": sample["response"]}]
        return {"messages": turns, "label": sample["label"] == "good"}
"""
        + WRITE,
    ),
    "an exporter of JSON in a table": (
        "exporter",
        EXPORTER
        + """
    suffix = ".parquet"
    def write(self, batches, path):
        schema = pa.schema([("turns", pa.large_string()), ("good", pa.bool_())])
        with pq.ParquetWriter(path, schema) as writer:
            for batch in batches:
                rows = [{"turns": json.dumps([row["q"], row["a"]]), "good": row["good"]} for row in self.rows([batch])]
                writer.write_table(pa.Table.from_pylist(rows, schema))
        return {"size": path.stat().st_size, "column": Path("turns")}
""",
    ),
    "an exporter of one list": (
        "exporter",
        EXPORTER
        + """
    suffix = ".json"
    def write(self, batches, path):
        table = pa.Table.from_batches(batches, ktoformats.SCHEMA)
        path.write_text(json.dumps([self.row(sample) for sample in table.to_pylist()]), encoding="utf-8")
        return collections.OrderedDict(rows=np.int64(len(table)))
""",
    ),
}

PLAIN: Final = ("a format", "a quality", "an exporter", "a preset")
"""Honest ones that are tried in a process of their own, too; that takes seconds."""


@pytest.mark.parametrize("name", BAD)
def test_a_law_catches_a_bad_plugin_and_says_what_to_change(plant: Plant, name: str) -> None:
    bad = BAD[name]
    verdict = tried(LAWS[bad.law], plant(bad.kind, bad.source))
    assert verdict.state == "broken", verdict
    assert re.search(bad.says, verdict.message, re.DOTALL), verdict.message


def test_every_law_has_a_bad_plugin_of_its_kind() -> None:
    assert {bad.law for bad in BAD.values()} == set(LAWS) - HINTS
    assert [name for name, bad in BAD.items() if bad.kind not in LAWS[bad.law].kinds] == []


def test_a_plugin_that_is_set_up_elsewhere_is_told_so(plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = ModuleType("acme_settings")
    monkeypatch.setitem(sys.modules, "acme_settings", settings)
    subject = plant("format", f"import acme_settings\n{FORMAT}{FACTS}")
    assert tried(LAWS["registered"], subject).state == "holds"
    with pytest.raises(
        LawBrokenError, match=r"a fresh process cannot use it .*acme_settings.*set nothing up elsewhere"
    ):
        LAWS["process"].run(subject)


@pytest.mark.parametrize("name", HONEST)
def test_no_law_accuses_an_honest_plugin(plant: Plant, name: str) -> None:
    kind, source = HONEST[name]
    verdicts = list(check(plant(kind, source), quick=name not in PLAIN))
    assert [verdict for verdict in verdicts if verdict.state != "holds"] == []
    assert len(verdicts) == len(laws_for(kind, quick=name not in PLAIN))


def test_honest_plugins_are_of_every_kind() -> None:
    assert {kind for kind, _ in HONEST.values()} == {kind for law in LAWS.values() for kind in law.kinds}


def test_a_listener_that_reads_the_report_is_not_accused(plant: Plant) -> None:
    verdict = tried(LAWS["events"], plant(*HONEST["a format that listens"]))
    assert verdict == ("events", "holds", "")
