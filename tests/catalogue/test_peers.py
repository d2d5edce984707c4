"""What other trainers and loaders make of real input, and what is made of it here: one named test for each defect.

Only what concerns reading, labels and layouts is tried. Their defects about batches, the KL partner, truncation,
weights, splits, caches and training are no matter of this module:

- TRL: class-blocked order after unpairing, `dataset_num_proc` and tails that break the KL pairing, partners that are the
  row itself or its prompt, no shuffle, an unseeded test split, EOS lost to truncation, long prompts filtered in silence,
  cache keys that hold the learning rate, per-row weights that never arrive.
- HALOs: tails dropped every epoch, `frac_unique_*` that keep other shares than they say, no warm-up for binary feedback,
  examples mutated by truncation, the guard against micro-batches of one, `--split` of its labelling script, loaders that
  cannot be constructed.
- OpenRLHF: EOS written over the last token, no check of the boundary, interleaving that oversamples.
- LLaMA-Factory, axolotl, ms-swift: the rotation of answers before validation and inside map batches, equal neighbours that
  trip an assertion of the KL partner, packing, silent truncation, stale caches, import-path plugins that shadow each other.
- data-juicer, datatrove: everything about documents rather than preferences.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from pydantic import ValidationError

from ktoformats import ConfigError, EmptyDatasetError, KTODataConfig, KTODataLoader, OneClassError, RejectBudgetError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from ktoformats import Registry, Report

    Fed = Callable[..., tuple[list[dict[str, Any]], Report]]

GOOD = [("q", "a", "good")]
BAD = [("q", "a", "bad")]
PAIR = [("q", "a", "good"), ("q", "b", "bad")]


def peer(name: str, record: Any, expected: Any, **options: Any) -> ParameterSet:
    """A record, and its samples or the codes (any of them will do) of its reject or lack of a verdict.

    Lists of the same length give several records, what becomes of each alone.
    """
    several = type(record) is list
    return pytest.param(record if several else [record], expected if several else [expected], options, id=name)


def user(content: Any = "q", **others: Any) -> dict[str, Any]:
    return {"role": "user", "content": content, **others}


def answer(content: Any = "a", **others: Any) -> dict[str, Any]:
    return {"role": "assistant", "content": content, **others}


def judged(cell: Any = 1, **others: Any) -> dict[str, Any]:
    return {"prompt": "q", "completion": "a", "label": cell, **others}


def mapped(**mapping: Any) -> dict[str, Any]:
    return {"formats": [{"mapping": mapping}]}


def read_by(*keys: str) -> dict[str, Any]:
    """The mapping of three columns: prompt, answer and a label that is true or false."""
    prompt, text, label = keys
    verdict = {"label": label, "good": [True, 1, "true"], "bad": [False, 0, "false"]}
    return mapped(prompt=prompt, candidates={"c": text}, verdict=verdict)


SYSTEM = {"role": "system", "content": "s"}
SHAREGPT = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
CALL = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
NECTAR = mapped(
    prompt="prompt", candidates={"each": "answers", "text": "answer"}, verdict={"rank": "rank", "best": "low"}
)
THUMB = {"label": "label", "good": [1, True], "bad": [0, False]}
HALOS = mapped(
    where={"type": "binary_feedback"}, prompt={"messages": "prompt"}, candidates={"c": {"message": "output"}}, verdict=THUMB
)  # fmt: skip
HALOS_PAIR = mapped(
    prompt={"messages": "prompt"},
    candidates={"a": {"message": "output_A"}, "b": {"message": "output_B"}},
    verdict={"winner": "label", "a": [1], "b": [0], "tie": [0.5]},
)
KTO_MIX = mapped(candidates={"c": {"conversation": "completion"}}, verdict=THUMB)
ALPACA = mapped(
    prompt={"template": "{instruction}\n{input}"},
    candidates={"c": "output"},
    verdict={"label": "kto_tag", "good": [True], "bad": [False]},
    system="system",
    history="history",
)
MANY = mapped(
    prompt="q",
    candidates={"g": {"text": "chosen", "many": True}, "b": {"text": "rejected", "many": True}},
    verdict={"good": "g", "bad": "b"},
)
SWIFT = mapped(
    prompt={"messages": "messages", "drop_last": True},
    candidates={"g": {"conversation": "messages"}, "b": {"text": "rejected_response", "many": True}},
    verdict={"good": "g", "bad": "b"},
)
UNKNOWN = ("unknown_shape",)
UNREADABLE = ("label_unrecognised",)


def binary_feedback(label: Any, **others: Any) -> dict[str, Any]:
    return {
        "type": "binary_feedback",
        "prompt_id": 7,
        "prompt": [user()],
        "output": [answer()],
        "label": label,
    } | others


def pairwise_feedback(label: Any) -> dict[str, Any]:
    return {"prompt": [user()], "output_A": [answer()], "output_B": [answer("b")], "label": label}


TRL = [
    peer("TRL: label -1 becomes desirable", [judged(1), judged(-1)], [GOOD, UNREADABLE]),
    peer("TRL: label 0.1 becomes desirable", [judged(0.9), judged(0.1)], [GOOD, BAD]),
    peer("TRL: labels 0 and 1", [judged(0), judged(1), judged(0.0), judged(1.0)], [BAD, GOOD, BAD, GOOD]),
    peer(
        "TRL: labels as texts and null crash without a row number",
        [judged("true"), judged("false"), judged(None)],
        [GOOD, BAD, ("null_verdict",)],
    ),
    peer("TRL: rows without a prompt ask for chosen", {"messages": [user(), answer()], "label": False}, BAD),
    peer("TRL: messages as prompt, text as completion", judged(prompt=[user()]), GOOD),
    peer("TRL: text as prompt, messages as completion", judged(completion=[answer()]), GOOD),
    peer("TRL: conversational rows", judged(prompt=[SYSTEM, user()], completion=[answer()]), GOOD),
    peer(
        "TRL: a missing or null field crashes without a row number",
        [judged(completion=None), {"prompt": "q", "label": True}, {"prompt": "q", "completion": "a"}],
        [("null_field",), UNKNOWN, UNKNOWN],
    ),
    peer("TRL: an empty completion trains on EOS alone", judged(completion=""), ("empty_response",)),
    peer("TRL: an empty list of messages depends on the hash seed", judged(prompt=[]), ("role_order",)),
    peer("TRL: an empty list as completion", judged(completion=[]), ("wrong_type",)),
    peer(
        "TRL: prompt repeated in chosen",
        {"prompt": [user()], "chosen": [user(), answer()], "rejected": [user(), answer("b")]},
        PAIR,
    ),
    peer(
        "TRL: prompt with a system message repeated in chosen",
        {"prompt": [SYSTEM, user()], "chosen": [SYSTEM, user(), answer()], "rejected": [SYSTEM, user(), answer("b")]},
        PAIR,
    ),
    peer(
        "TRL: implicit prompt cut inside a word",
        {"chosen": "The sky is blue.", "rejected": "The sky is black."},
        ("unknown_shape", "no_transcript"),
    ),
    peer(
        "TRL: implicit prompt of conversations",
        {"chosen": [user(), answer()], "rejected": [user(), answer("b")]},
        PAIR,
    ),
    peer(
        "TRL: the sides of an implicit pair begin alike",
        {"chosen": [user(), answer("The sky is blue.")], "rejected": [user(), answer("The sky is black.")]},
        [("q", "The sky is blue.", "good"), ("q", "The sky is black.", "bad")],
    ),
    peer("TRL: equal sides are trained as both", {"prompt": "q", "chosen": "a", "rejected": "a"}, ("identical_sides",)),
    peer("TRL: chat_template_kwargs null crashes", judged(chat_template_kwargs=None), GOOD),
    peer("TRL: tools as an empty text crash", [judged(tools=""), judged(tools=None), judged(tools=[])], [GOOD] * 3),
    peer("TRL: tokens alone ask for chosen", {"prompt_ids": [1], "completion_ids": [2], "label": True}, UNKNOWN),
    peer("TRL: own columns of tokens are overwritten", judged(prompt_ids=[9], KL_completion_ids=[8]), GOOD),
    peer(
        "TRL: first row decides",
        [
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            judged(True),
            judged(False, prompt=[user()], completion=[answer()]),
            {"messages": [user(), answer()], "label": True},
            {"chosen": [user(), answer()], "rejected": [user(), answer("b")]},
        ],
        [PAIR, GOOD, BAD, GOOD, PAIR],
    ),
    peer(
        "TRL: first row decides, the other way round",
        [
            {"chosen": [user(), answer()], "rejected": [user(), answer("b")]},
            judged(False, prompt=[user()], completion=[answer()]),
            judged(True),
            {"prompt": "q", "chosen": "a", "rejected": "b"},
        ],
        [PAIR, BAD, GOOD, PAIR],
    ),
    peer(
        "TRL: unpairing fails on a stream",
        [{"prompt": "q", "chosen": "a", "rejected": "b"}] * 3,
        [PAIR] * 3,
        streaming=True,
    ),
    peer("TRL: no mapping of columns", {"q": "q", "answer": "a", "is_good": False}, BAD, **read_by("q", "answer", "is_good")),
    peer("TRL: images are read as text", judged(prompt=[user([{"type": "image"}, {"type": "text", "text": "q"}])]), ("multimodal",)),
    peer("TRL: per-character prompts", judged(prompt=list("question")), ("wrong_type",)),
]  # fmt: skip

HALOS_CASES = [
    peer("HALOs: label -1 becomes desirable", binary_feedback(-1), UNREADABLE, **HALOS),
    peer("HALOs: label 'false' becomes desirable", binary_feedback("false"), UNREADABLE, **HALOS),
    peer("HALOs: labels 0 and 1", [binary_feedback(0), binary_feedback(1)], [BAD, GOOD], **HALOS),
    peer("HALOs: a missing reward is no file", binary_feedback(1), GOOD, **HALOS),
    peer(
        "HALOs: mixed types are no file",
        [binary_feedback(1), binary_feedback(0, type="scalar_feedback"), binary_feedback(0)],
        [GOOD, ("not_selected",), BAD],
        **HALOS,
    ),
    peer(
        "HALOs: the first row's type is that of its group",
        [binary_feedback(0, type="scalar_feedback"), binary_feedback(1)],
        [("not_selected",), GOOD],
        **HALOS,
    ),
    peer(
        "HALOs: two prompts under one prompt_id",
        [binary_feedback(1), binary_feedback(0, prompt=[user("p")])],
        [GOOD, [("p", "a", "bad")]],
        **HALOS,
    ),
    peer("HALOs: a missing type is no file", {"prompt": [user()], "output": [answer()], "label": 1}, ("not_selected",), **HALOS),
    peer("HALOs: a tie makes the second answer win", pairwise_feedback(0.5), ("tie",), **HALOS_PAIR),
    peer("HALOs: the second answer wins", pairwise_feedback(0), [("q", "b", "good"), ("q", "a", "bad")], **HALOS_PAIR),
    peer(
        "HALOs: answers with one first turn are one",
        {"ca": [user("p"), answer("x"), user(), answer()], "cb": [user("p"), answer("x"), user(), answer("b")]},
        PAIR,
        **mapped(candidates={"g": {"conversation": "ca"}, "b": {"conversation": "cb"}}, verdict={"good": "g", "bad": "b"}),
    ),
    peer(
        "HALOs: the middle of a ranking is chosen and rejected",
        {"prompt": "q", "responses": ["a", "m", "b"], "rankings": [1, 2, 3]},
        PAIR,
    ),
    peer(
        "HALOs: scalar feedback is neither paired nor desirable",
        [{"prompt": "q", "output": "a", "reward": reward} for reward in (0.9, 0.1, 0.5)],
        [GOOD, BAD, ("neutral",)],
        **mapped(prompt="prompt", candidates={"c": "output"}, verdict={"rating": "reward", "good": 0.6, "bad": 0.4}),
    ),
    peer(
        "HALOs: a threshold of 0.5 raises",
        [{"prompt": "q", "output": "a", "reward": reward} for reward in (0.5, 0.49)],
        [GOOD, BAD],
        **mapped(prompt="prompt", candidates={"c": "output"}, verdict={"rating": "reward", "good": 0.5, "bad": 0.49}),
    ),
    peer("HALOs: a turn without content", binary_feedback(1, prompt=[{"role": "user"}]), ("empty_turn",), **HALOS),
]  # fmt: skip

OPENRLHF = [
    peer("OpenRLHF: 0.9 becomes rejected", judged(0.9), GOOD),
    peer("OpenRLHF: -1 leaves the loss in silence", judged(-1), UNREADABLE),
    peer("OpenRLHF: texts and null crash", [judged("no"), judged(None)], [BAD, ("null_verdict",)]),
    peer("OpenRLHF: pairs are not taken apart", {"prompt": "q", "chosen": "a", "rejected": "b"}, PAIR),
    peer("OpenRLHF: the last message is the answer", {"messages": [user(), answer()], "label": 1}, GOOD),
    peer("OpenRLHF: the last message is not the answer", {"messages": [user()], "label": 1}, ("role_order",)),
]

LLAMA_FACTORY = [
    peer(
        f"LLaMA-Factory: kto_tag {tag!r} drops the row",
        {"conversations": SHAREGPT, "kto_tag": tag},
        expected,
        messages_column="conversations",
        label_column="kto_tag",
    )
    for tag, expected in ((1, GOOD), (0, BAD), ("true", GOOD), (None, ("null_verdict",)), (True, GOOD), (False, BAD), (2, UNREADABLE))
] + [
    peer(
        "LLaMA-Factory: one malformed row crashes the next",
        [judged(), {"messages": [answer(), answer()], "label": True}, {"messages": [user()], "label": True}, judged(False)],
        [GOOD, ("role_order",), ("role_order",), BAD],
    ),
    peer(
        "LLaMA-Factory: an empty completion flips the label",
        [judged(True, completion=""), {"instruction": "q", "output": "", "kto_tag": True}],
        [("empty_response",)] * 2,
    ),
    peer("LLaMA-Factory: an empty output flips the label", {"instruction": "q", "output": "", "kto_tag": True}, ("empty_response",), **ALPACA),
    peer("LLaMA-Factory: alpaca with an input and a history", {"instruction": "q", "input": "x", "output": "a", "kto_tag": False, "history": [["p", "r"]]}, [("q\nx", "a", "bad")], **ALPACA),
    peer("LLaMA-Factory: alpaca rows all become desired", [{"instruction": "q", "output": "a", "kto_tag": tag} for tag in (True, False)], [GOOD, BAD], **ALPACA),
    peer("LLaMA-Factory: alpaca tags of another kind", [{"instruction": "q", "output": "a", "kto_tag": tag} for tag in (1, "true", -1)], [UNREADABLE] * 3, **ALPACA),
    peer("LLaMA-Factory: lists of messages as sides are dropped", {"prompt": [user()], "chosen": [answer()], "rejected": [answer("b")]}, PAIR),
    peer("LLaMA-Factory: list-valued chosen and rejected are dropped", {"q": "q", "chosen": ["a"], "rejected": ["b"]}, PAIR, **MANY),
    peer("LLaMA-Factory: several chosen and rejected answers", {"q": "q", "chosen": ["a", "c"], "rejected": ["b"]}, [("q", "a", "good"), ("q", "c", "good"), ("q", "b", "bad")], **MANY),
    peer("LLaMA-Factory: one accepted and several rejected", {"q": "q", "chosen": "a", "rejected": ["b", "c"]}, [*PAIR, ("q", "c", "bad")], **MANY),
    peer("LLaMA-Factory: conversational rows have no mapping", judged(prompt=[user()], completion=[answer()]), GOOD),
    peer("LLaMA-Factory: pairs cannot feed KTO", {"prompt": "q", "chosen": "a", "rejected": "b"}, PAIR),
    peer("LLaMA-Factory: one row gives one row", {"messages": [user("p"), answer("r", label=0), user(), answer(label=1)]}, [("p", "r", "bad"), *GOOD]),
    peer("LLaMA-Factory: odd turns", {"messages": [user(), answer(), user("p")], "label": 1}, ("role_order",)),
    peer("LLaMA-Factory: naming one column forgets the others", {"frage": "q", "completion": "a", "label": 1}, GOOD, prompt_column="frage"),
    peer("LLaMA-Factory: two answers of tools", {"messages": [user(), answer("", tool_calls=CALL), {"role": "tool", "content": "1"}, {"role": "tool", "content": "2"}, answer()], "label": True}, GOOD),
    peer("LLaMA-Factory: a message as each side", {"conversations": SHAREGPT[:1], "chosen": SHAREGPT[1], "rejected": {"from": "gpt", "value": "b"}}, PAIR, prompt_column="conversations"),
    peer("LLaMA-Factory: valid samples in another layout", {"instruction": "q", "output": "a", "kto_tag": True}, GOOD),
]  # fmt: skip

AXOLOTL = [
    peer("axolotl: labels are never checked", [judged(5), judged("false"), judged(None), judged(-1)], [UNREADABLE, BAD, ("null_verdict",), UNREADABLE]),
    peer("axolotl: KeyError label", {"prompt": "q", "completion": "a"}, UNKNOWN),
    peer("axolotl: a row without system is a KeyError", [judged(), judged(system=None), judged(system="s")], [GOOD] * 3),
    peer("axolotl: a template without its field is a KeyError", [{"q": "q", "a": "a", "l": 1}, {"q": "q", "s": "s", "a": "a", "l": 1}], [GOOD, [("s\nq", "a", "good")]], **mapped(prompt={"template": "{s}\n{q}"}, candidates={"c": "a"}, verdict={"label": "l", "good": [1], "bad": [0]})),
    peer("axolotl: the system becomes the prompt", {"completion": [SYSTEM, user(), answer()], "label": True}, GOOD, **KTO_MIX),
    peer("axolotl: only the first two turns are read", {"completion": [user("p"), answer("r"), user(), answer()], "label": False}, BAD, **KTO_MIX),
    peer("axolotl: nectar rank upside down", {"prompt": "q", "answers": [{"answer": "m", "rank": 6}, {"answer": "b", "rank": 7}, {"answer": "a", "rank": 1}, {"answer": "n", "rank": 2}]}, PAIR, **NECTAR),
    peer("axolotl: an empty completion stops the run", [judged(), judged(completion=""), judged(False)], [GOOD, ("empty_response",), BAD]),
    peer("axolotl: the answer is the second message", {"prompt": "q", "chosen": [SYSTEM, user(), answer()], "rejected": [SYSTEM, user(), answer("b")]}, PAIR),
    peer("axolotl: instruction, question or prompt", {"question": "q", "completion": "a", "label": 1}, GOOD, prompt_column="question"),
    peer("axolotl: chosen_response and rejected_response", {"instruction": "q", "chosen_response": "a", "rejected_response": "b"}, PAIR, prompt_column="instruction", chosen_column="chosen_response", rejected_column="rejected_response"),
    peer("axolotl: labels of several steps", {"prompt": "q", "completions": ["a", "b"], "labels": [True, False]}, PAIR, **mapped(prompt="prompt", candidates={"each": "completions", "text": "."}, verdict={"label": "$.labels[#]", "good": [True], "bad": [False]})),
]  # fmt: skip

SWIFT_CASES = [
    peer("ms-swift: content becomes a list", judged(prompt=[user()], completion=[answer()]), GOOD),
    peer("ms-swift: the answer becomes the user's message", {"completion": [user(), answer()], "label": True}, GOOD, **KTO_MIX),
    peer("ms-swift: a conversation as completion without a mapping", {"completion": [user(), answer()], "label": True}, [*UNKNOWN, GOOD]),
    peer("ms-swift: kto_tag is lost", {"conversations": SHAREGPT, "kto_tag": False}, [*UNKNOWN, BAD]),
    peer("ms-swift: both answers of a pair are lost", {"prompt": "q", "chosen": "a", "rejected": "b"}, PAIR),
    peer("ms-swift: prompt and question delete the row", judged(question="x"), GOOD),
    peer("ms-swift: answer and output delete the row", {"prompt": "q", "answer": "a", "output": "b", "label": True}, UNKNOWN),
    peer("ms-swift: a column text takes the response away", judged(text="x"), GOOD),
    peer("ms-swift: bool of a label", [judged(cell) for cell in ("false", -1, 0.2, None)], [BAD, UNREADABLE, BAD, ("null_verdict",)]),
    peer("ms-swift: labels must be no texts", [judged("True"), judged("0")], [GOOD, BAD]),
    peer("ms-swift: equal neighbours swap in a random row", [judged(prompt="q"), judged(prompt="p"), judged(False, prompt="r")], [GOOD, [("p", "a", "good")], [("r", "a", "bad")]]),
    peer("ms-swift: rejected_response null deletes all rows", [{"messages": [user(), answer()], "rejected_response": cell} for cell in ("b", None)], [PAIR, GOOD], **SWIFT),
    peer("ms-swift: several rejected responses", {"messages": [user(), answer()], "rejected_response": ["b", "c"]}, [*PAIR, ("q", "c", "bad")], **SWIFT),
    peer("ms-swift: renaming a column has no effect", {"prompt": "x", "frage": "q", "completion": "a", "label": 1}, GOOD, prompt_column="frage"),
    peer("ms-swift: pairs need a label", {"prompt": "q", "chosen": "a", "rejected": "b", "label": None}, PAIR),
    peer("ms-swift: ShareGPT turns", {"conversation": SHAREGPT, "label": False}, BAD),
]  # fmt: skip

OTHERS = [
    peer("data-juicer: 1 bad row drops its batch", [*[judged(prompt=str(i)) for i in range(500)], judged(completion=7), *[judged(prompt=str(i)) for i in range(500, 999)]], [*[[(str(i), "a", "good")] for i in range(500)], ("wrong_type",), *[[(str(i), "a", "good")] for i in range(500, 999)]]),
    peer("data-juicer: only the first 100 rows are checked", [*[judged()] * 150, judged(-1)], [*[GOOD] * 150, UNREADABLE]),
    peer("datatrove: lines that are no JSON are not counted", [b'{"prompt": "q", "completion"', b"\xff", judged()], [("invalid_json",), ("invalid_utf8",), GOOD]),
    peer("datatrove: empty texts are dropped and told once", [judged(completion="")] * 3, [("empty_response",)] * 3),
    peer("distilabel: fewer ratings than generations", [{"q": "q", "generations": ["a", "b", "c"], "ratings": [5, 1]}, {"q": "q", "generations": ["a", "b"], "ratings": [5, 1, 5]}], [("length_mismatch",)] * 2, **mapped(prompt="q", candidates={"each": "generations", "text": "."}, verdict={"rating": "$.ratings[#]", "good": 4, "bad": 2})),
    peer("distilabel: a rating is null", {"q": "q", "generations": ["a", "b", "c"], "ratings": [5, 1, None]}, PAIR, **mapped(prompt="q", candidates={"each": "generations", "text": "."}, verdict={"rating": "$.ratings[#]", "good": 4, "bad": 2})),
    peer("alignment-handbook: a thumb on each turn", {"conversations": [{"from": "human", "value": "p"}, {"from": "gpt", "value": "r", "label": "👎"}, {"from": "human", "value": "q"}, {"from": "gpt", "value": "a", "label": "👍"}]}, [("p", "r", "bad"), *GOOD], messages_column="conversations"),
    peer("trl#1116: prompt, answer, is_good", {"prompt": "q", "answer": "a", "is_good": True}, GOOD, response_column="answer", label_column="is_good"),
    peer("HALOs#12: type chosen or rejected", [{"prompt": "q", "completion": "a", "type": cell} for cell in ("chosen", "rejected", "other")], [GOOD, BAD, UNREADABLE], **mapped(prompt="prompt", candidates={"c": "completion"}, verdict={"label": "type", "good": ["chosen"], "bad": ["rejected"]})),
    peer("pyarrow: an object without values ends the process", [b"null", judged()], [("not_an_object",), GOOD]),
    peer("datasets: a column of dates becomes a timestamp", [judged(completion="2024-01-01")] * 2, [[("q", "2024-01-01", "good")]] * 2),
    peer("json: a key twice, the last one wins", b'{"prompt": "q", "completion": "a", "label": true, "label": false}', ("duplicate_key",)),
]  # fmt: skip


@pytest.fixture
def fed(tmp_path: Path, registry: Registry) -> Fed:
    """Load a file of records; its samples and its report."""

    def load(records: list[Any], **options: Any) -> tuple[list[dict[str, Any]], Report]:
        path = tmp_path / "peer.jsonl"
        lines = [record if type(record) is bytes else json.dumps(record).encode() for record in records]
        path.write_bytes(b"".join(line + b"\n" for line in lines))
        values = {
            "balance_labels": False,
            "min_samples_per_label": 0,
            "require_both_labels": False,
            "on_error": "skip",
        }
        config = KTODataConfig(train_file=path, **{**values, **options})
        loader = KTODataLoader(config, enable_cache=False, registry=registry)
        try:
            samples = list(loader.load_dataset("train"))
        except EmptyDatasetError:  # its report says what became of the records
            samples = []
        loader.report.check()
        return samples, loader.report

    return load


def told(samples: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(one["prompt"], one["response"], one["label"]) for one in samples]


@pytest.mark.parametrize(
    ("records", "expected", "options"),
    [*TRL, *HALOS_CASES, *OPENRLHF, *LLAMA_FACTORY, *AXOLOTL, *SWIFT_CASES, *OTHERS],
)
def test_defect(records: list[Any], expected: list[Any], options: dict[str, Any], fed: Fed) -> None:
    samples, report = fed(records, **options)
    rejects = {reject.line: reject for reject in report.rejects}
    unjudged = report.total.without_verdict
    for line, wanted in enumerate(expected, start=1):
        found = told([one for one in samples if one["line"] == line])
        codes = {one for one in wanted if type(one) is str}
        outcomes = [one for one in wanted if type(one) is list] or ([] if codes else [wanted])
        if found:
            assert found in outcomes
        elif line in rejects:
            assert rejects[line].reason in codes
            assert rejects[line].message
        else:
            assert codes & set(unjudged)
    assert report.total.lines == len(records)


def test_trl_and_halos_one_class_is_accepted(fed: Fed) -> None:
    with pytest.raises(OneClassError, match="no bad sample is left"):
        fed([judged(), judged(prompt="p")], require_both_labels=True)


def test_trl_1_16_each_side_of_a_pair_gets_another_prompt(fed: Fed) -> None:
    record = {"chosen": [user(), answer("The sky is blue.")], "rejected": [user(), answer("The sky is black.")]}
    samples, _ = fed([record])
    assert len({(one["prompt"], one["group"]) for one in samples}) == 1


def test_trl_tools_are_lost_beside_images(fed: Fed) -> None:
    [sample], _ = fed([judged(tools=[{"type": "function", "function": {"name": "f"}}])])
    assert json.loads(sample["tools"]) == [{"type": "function", "function": {"name": "f"}}]


@pytest.mark.parametrize(
    "defect", ["HALOs: the second file of a prompt is lost", "HALOs: named sets overwrite each other"]
)
def test_halos_the_second_file_of_a_prompt_is_lost(defect: str, tmp_path: Path, registry: Registry) -> None:
    paths = [tmp_path / "one.jsonl", tmp_path / "two.jsonl"]
    for path, text, label in zip(paths, "ab", (True, False), strict=True):
        path.write_text(json.dumps(judged(label, completion=text)) + "\n")
    config = KTODataConfig(train_file=paths, balance_labels=False, min_samples_per_label=0)
    samples = KTODataLoader(config, enable_cache=False, registry=registry).load_dataset("train")
    assert told(list(samples)) == PAIR


def test_halos_a_prompt_is_known_without_its_roles(fed: Fed) -> None:
    samples, _ = fed([judged(prompt=[SYSTEM, user()]), judged(prompt=[answer("s"), user()])])
    assert len({one["id"] for one in samples}) == 2
    assert [one["system"] for one in samples] == ["s", ""]


def test_halos_other_than_1_makes_the_second_answer_win(fed: Fed) -> None:
    with pytest.raises(RejectBudgetError, match="name a winner that the mapping does not: label: 'A'"):
        fed([pairwise_feedback(1), pairwise_feedback("A")], **HALOS_PAIR)


def test_llama_factory_the_system_message_is_changed(fed: Fed) -> None:
    samples, _ = fed(
        [{"messages": [SYSTEM, user(), answer()], "label": 1}, {"messages": [user(), answer()], "label": 1}]
    )
    assert [one["system"] for one in samples] == ["s", ""]


def test_llama_factory_an_unknown_layout_is_told_by_no_valid_samples(fed: Fed) -> None:
    _, report = fed([{"instruction": "q", "output": "a", "good": True}])
    assert all(f"'{key}'" in report.rejects[0].message for key in ("instruction", "output", "good"))


def test_axolotl_the_system_becomes_the_prompt_and_turns_are_lost(fed: Fed) -> None:
    turns = [SYSTEM, user("p"), answer("r"), user(), answer()]
    [sample], _ = fed([{"completion": turns, "label": True}], **KTO_MIX)
    assert (sample["system"], sample["prompt"], sample["response"]) == ("s", "q", "a")
    assert [turn["content"] for turn in sample["conversation"]] == ["p", "r", "q"]


@pytest.mark.parametrize(
    "options",
    [
        pytest.param({"lable_column": "x"}, id="axolotl: a mistyped key of the data is dropped"),
        pytest.param(mapped(prompt="q", candidates={"c": "a"}, verdict={"lable": "l"}), id="axolotl: a mistyped key of a mapping is dropped"),
        pytest.param(mapped(prompt="q", candidates={"c": "a"}, verdict=THUMB, field_lable="x"), id="axolotl: field_lable vanishes"),
    ],
)  # fmt: skip
def test_a_mistyped_option_is_an_error(options: dict[str, Any], fed: Fed) -> None:
    with pytest.raises((ConfigError, ValidationError), match="lable"):
        fed([judged()], **options)


def test_ms_swift_all_other_columns_are_removed(fed: Fed) -> None:
    [sample], _ = fed([judged(source_id=7, note="x")], keep=["source_id", "note"])
    assert sample["kept"] == {"source_id": "7", "note": "x"}


def test_ms_swift_rows_are_deleted_after_ten_tracebacks(fed: Fed) -> None:
    samples, report = fed([judged(), *[judged(-1)] * 200])
    assert len(samples) == 1
    assert report.total.rejected == {"label_unrecognised": 200}
    assert len(report.rejects) == 200
