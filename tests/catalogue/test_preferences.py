"""Rows 80 to 107 of the catalogue of bad input: what records say about preferences.

Where the rulings of the design differ from the catalogue, the rulings decide: what nobody judged is *without
verdict*, too long is *dropped by a stage*, a damaged side costs that side.
"""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import pytest

from ktoformats import EmptyDatasetError, KTODataConfig, KTODataError, KTODataLoader, OneClassError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _pytest.mark import ParameterSet

    from ktoformats import Registry, Report

    Meet = Callable[..., Report]

GOOD = [("q", "a", "good")]
BAD = [("q", "a", "bad")]
BOTH = [("q", "a", "good"), ("q", "b", "bad")]
ONE = {"prompt": "q", "response": "a", "label": "good"}
CALL = [{"type": "function", "function": {"name": "f", "arguments": "{}"}}]
BEST_HIGH = {"formats": ["default", {"ranking": {"best": "high"}}]}


def case(name: str, hostile: Any, expected: Any, **options: Any) -> ParameterSet:
    return pytest.param(hostile, expected, options, id=f"case-{name}")


def some(*values: Any) -> tuple[Any, ...]:
    return values


def judged(cell: Any, column: str = "label", /, **others: Any) -> dict[str, Any]:
    return {"prompt": "q", "response": "a", column: cell, **others}


def ranked(*ranks: Any, responses: Any = None) -> dict[str, Any]:
    return {"prompt": "q", "responses": list("abcd"[: len(ranks)]) if responses is None else responses} | {
        "rankings": list(ranks)
    }


def pair(chosen: Any, rejected: Any, **others: Any) -> dict[str, Any]:
    return {"prompt": "q", "chosen": chosen, "rejected": rejected, **others}


def dialogue(*turns: Any, **others: Any) -> dict[str, Any]:
    return {"messages": list(turns), **({"label": "good"} | others)}


def turn(role: Any, content: Any, **others: Any) -> dict[str, Any]:
    return {"role": role, "content": content, **others}


def user(content: Any = "q", **others: Any) -> dict[str, Any]:
    return turn("user", content, **others)


def answer(content: Any = "a", **others: Any) -> dict[str, Any]:
    return turn("assistant", content, **others)


def rejected(reason: str, field: str = "") -> tuple[str, str, str]:
    return "rejected", reason, field


def without(reason: str = "null_verdict") -> tuple[str, str, str]:
    return "without verdict", reason, ""


def long_dialogue(turns: int) -> list[dict[str, Any]]:
    return [user(f"q{i}") if i % 2 == 0 else answer(f"a{i}") for i in range(turns)]


UNRECOGNISED: tuple[Any, ...] = (
    *(2, -1, 3, 5, 10, -0.1, 1.1, 0.5000001e1, 100),
    *("maybe", "2", "-1", "1.5", "nan", "inf", "1e5", "٢", "gut", "0,7", "yes?!no", "good bad", "جيد سيء", "null"),
    *("None", "[]", "unknown", "120%", "6/5", "goodness", "not"),
    *([], {}, [1], ["good"], {"label": "good"}, [[]]),
)

LABELS = [
    *(
        case(f"80 {cell} as {column}", judged(cell, column), GOOD if cell else BAD)
        for column in ("label", "score", "preference")
        for cell in (True, False, 1, 0)
    ),
    *(
        case(f"81 {cell!r} as {column}", judged(cell, column), GOOD)
        for column in ("label", "score", "preference")
        for cell in (
            "true",
            "True",
            "yes",
            "YES",
            "1",
            " 1 ",
            1.0,
            "1.0",
            "good",
            "جيد",
            "ممتاز",
            "مقبول",
            "نعم",
            "👍",
        )
    ),
    *(
        case(f"81 {cell!r} as {column}", judged(cell, column), BAD)
        for column in ("label", "score", "preference")
        for cell in ("false", "False", "no", "NO", "0", 0.0, "-0", "bad", "سيء", "ضعيف", "مرفوض", "لا", "👎")
    ),
    *(
        case(f"82 {cell!r} as {column}", judged(cell, column), rejected("label_unrecognised", column))
        for column in ("label", "score", "preference")
        for cell in UNRECOGNISED
    ),
    *(
        case(f"82 {cell!r} is no verdict", judged(cell, column), without())
        for column in ("label", "score", "preference", "rating")
        for cell in (None, "", "  ", "\t")
    ),
    *(
        case(f"82 {cell} is a score", judged(cell), GOOD if float(cell) >= 0.5 else BAD)
        for cell in (0.7, "0.7", 0.5, "0.5", 0.49999, "0.3", 0.3, "٠.٧")
    ),
    *(
        case(f"82 {cell} never passes a negation", judged(cell), BAD)
        for cell in ("غير مقبول", "غير جيد", "ليس جيدا", "لا أوافق")
    ),
    case("82 all four columns null", judged(None, score=None, rating=None, preference=None), without()),
    case("82 a word of the config", judged("gut"), GOOD, arabic_label_mapping={"gut": "good"}),
    case("82 the config wins", judged("مقبول"), BAD, arabic_label_mapping={"مقبول": "bad"}),
]

CONFLICT = rejected("contradictory_verdicts", "label")
CONFLICTS = [
    *(
        parameters
        for name, others, first in (
            ("label good, rating 1", judged("good", rating=1), GOOD),
            ("label bad, rating 5", judged("bad", rating=5), BAD),
            ("label 1, score 0", judged(1, score=0), GOOD),
            ("label false, preference positive", judged(False, preference="positive"), BAD),
            ("label null, score 0.2, rating 4", judged(None, score=0.2, rating=4), BAD),
            ("agreement, then contradiction", judged("good", score=1, rating=5, preference="bad"), GOOD),
        )
        for parameters in (
            case(
                f"83 {name}",
                others,
                rejected("contradictory_verdicts", "label" if others["label"] is not None else "score"),
            ),
            case(f"83 {name}, the first decides", others, first, verdict_conflict="first"),
        )
    ),
    *(
        case(f"83 {name}", record, GOOD, verdict_conflict=choice)
        for choice in ("reject", "first")
        for name, record in (
            ("label good, rating 5", judged("good", rating=5)),
            ("label good, rating 3 is the middle", judged("good", rating=3)),
            ("label good, rating null", judged("good", rating=None)),
            ("label null, rating 5", judged(None, rating=5)),
            ("label good, rating in no scale", judged("good", rating=77)),
            ("label good, score in words of its own", judged("good", score="B+")),
        )
    ),
    case(
        "83 unreadable label is not saved by a rating",
        judged("maybe", rating=5),
        rejected("label_unrecognised", "label"),
    ),
    case("83 middle rating, then a preference", judged(3, "rating", preference="good"), without("neutral")),
    case("83 in one turn", {"messages": [user(), answer(label=1, rating=1)]}, CONFLICT),
    case(
        "83 in one turn, the first decides",
        {"messages": [user(), answer(label=1, rating=1)]},
        GOOD,
        verdict_conflict="first",
    ),
    case("83 turn against record", dialogue(user(), answer(label="bad")), CONFLICT),
    case("83 turn and record agree", dialogue(user(), answer(label="good")), GOOD),
]

SIDES = [
    case("86 equal texts", pair("a", "a"), without("identical_sides")),
    case("86 equal messages", pair([answer()], [answer()]), without("identical_sides")),
    case("86 equal, as text and message", pair("a", [answer()]), without("identical_sides")),
    case(
        "86 equal dialogues",
        {"chosen": [user(), answer()], "rejected": [user(), answer()]},
        without("identical_sides"),
    ),
    case("86 white space is a difference", pair("a", "a "), [*GOOD, ("q", "a ", "bad")]),
    case(
        "86 one answer to two prompts",
        {"chosen": [user("p"), answer()], "rejected": [user(), answer()]},
        [("p", "a", "good"), *BAD],
    ),
    case(
        "86 equal once reasoning is stripped",
        pair("<think>x</think>a", "<think>y</think>a"),
        without("identical_sides"),
        reasoning="strip",
    ),
    case(
        "86 reasoning is a difference",
        pair("<think>x</think>a", "<think>y</think>a"),
        [("q", "<think>x</think>a", "good"), ("q", "<think>y</think>a", "bad")],
    ),
    case("86 reasoning refused", pair("<think>x</think>a", "b"), [("q", "b", "bad")], reasoning="reject"),
    case(
        "86 reasoning refused on both sides",
        pair("<think>x</think>a", "<think></think>"),
        rejected("reasoning_refused", "response"),
        reasoning="reject",
    ),
    case("86 best and worst of a ranking", ranked(1, 2, responses=["a", "a"]), without("identical_sides")),
    case("86 pairs refused", pair("a", "b"), rejected("pairs_refused"), convert_pairwise_to_binary=False),
    *(
        parameters
        for empty in ("", " ", "\n\t", "\u200b", "\u00a0\ufeff", "\u2003\u200d", "\u200f\u202b\u2069", "\u00ad")
        for parameters in (
            case(f"87 response {empty!r}", judged(1, response=empty), rejected("empty_response", "response")),
            case(f"87 prompt {empty!r}", judged(1, prompt=empty), rejected("empty_prompt", "prompt")),
            case(
                f"87 response {empty!r} allowed",
                judged(1, response=empty),
                [("q", empty, "good")],
                min_response_length=0,
            ),
            case(
                f"87 prompt {empty!r} allowed", judged(1, prompt=empty), [(empty, "a", "good")], min_prompt_length=0
            ),
            case(f"87 chosen {empty!r} costs that side", pair(empty, "b"), [("q", "b", "bad")]),
            case(f"87 rejected {empty!r} costs that side", pair("a", empty), GOOD),
        )
    ),
    case(
        "87 completion empty", {"prompt": "q", "completion": "", "label": 1}, rejected("empty_response", "response")
    ),
    case("87 response null", judged(1, response=None), rejected("null_field", "response")),
    case(
        "87 response null though empty is allowed",
        judged(1, response=None),
        rejected("null_field", "response"),
        min_response_length=0,
    ),
    case(
        "87 prompt null though empty is allowed",
        judged(1, prompt=None),
        rejected("null_field", "prompt"),
        min_prompt_length=0,
    ),
    case("87 chosen null costs that side", pair(None, "b"), [("q", "b", "bad")]),
    case("87 rejected null costs that side", pair("a", None), GOOD),
    case("87 both sides empty", pair("", ""), rejected("empty_response", "response")),
    case("87 both sides empty and allowed", pair("", ""), without("identical_sides"), min_response_length=0),
    case("87 one side of a ranking", ranked(1, 2, 3, responses=["", "a", "b"]), BOTH),
    case("87 all but one of a ranking", ranked(1, 2, responses=["", "a"]), rejected("empty_response", "response")),
    case("87 only a tool call", dialogue(user(), answer(None, tool_calls=CALL)), [("q", "", "good")]),
    case("87 whole pairs only", pair("", "b"), [], pairwise_sampling_strategy="balanced"),
    case(
        "87 stripped to nothing",
        judged(1, response="<think>x</think> "),
        rejected("empty_response", "response"),
        reasoning="strip",
    ),
    case("88 prompt out of messages", dialogue(user("p"), answer("r"), user(), answer()), GOOD),
    case(
        "88 prompt out of the conversation",
        {"conversation": [turn("system", "s"), user()], "response": "a", "label": 1},
        GOOD,
    ),
    case(
        "88 another answer to the last user turn",
        {"conversation": [user(), answer("old")], "response": "a", "label": 0},
        BAD,
    ),
    case(
        "88 prompt out of chosen and rejected",
        {"chosen": [user(), answer()], "rejected": [user(), answer("b")]},
        BOTH,
    ),
    case("88 prompt and history", judged(1, conversation=[user("p"), answer("r")]), GOOD),
    case("88 prompt repeated by the history", judged(1, conversation=[user("p"), answer("r"), user()]), GOOD),
    case(
        "88 prompt contradicted by the history",
        judged(1, conversation=[user("other")]),
        rejected("prompt_mismatch", "conversation"),
    ),
    *(
        case(f"88 {name}", record, rejected("prompt_mismatch", "prompt"))
        for name, record in (
            ("prompt contradicted by the completion", judged(1, prompt="p", response=[user(), answer()])),
            (
                "system contradicted by the completion",
                judged(1, system="s", response=[turn("system", "t"), user(), answer()]),
            ),
            (
                "history contradicted by the completion",
                judged(
                    1, prompt=[user("p"), answer("r"), user()], response=[user("o"), answer("r"), user(), answer()]
                ),
            ),
            (
                "conversation contradicted by the response",
                {"conversation": [user("p")], "response": [user(), answer()], "label": 1},
            ),
            (
                "prompt contradicted by every response",
                ranked(1, 2, responses=[[user("p"), answer()], [user("p"), answer("b")]]),
            ),
        )
    ),
    case("88 prompt repeated by the completion", judged(1, response=[user(), answer()]), GOOD),
    case(
        "88 prompt repeated by the responses",
        ranked(1, 2, responses=[[user(), answer()], [user(), answer("b")]]),
        BOTH,
    ),
    case("88 prompt contradicted by a side", pair([user("other"), answer()], "b"), [("q", "b", "bad")]),
    case(
        "88 no user turn",
        {"conversation": [turn("system", "s")], "response": "a", "label": 1},
        rejected("role_order", "conversation"),
    ),
    case(
        "88 no turn at all", {"conversation": [], "response": "a", "label": 1}, rejected("role_order", "conversation")
    ),
]

TURNS = [
    case("89 greeting first", dialogue(answer("hello"), user(), answer()), GOOD),
    case("89 greeting after system", dialogue(turn("system", "s"), answer("hello"), user(), answer()), GOOD),
    case("89 two users in a row", dialogue(user("p"), user(), answer()), rejected("role_order", "messages[1]")),
    case("89 two answers in a row", dialogue(user(), answer("r"), answer()), rejected("role_order", "messages[2]")),
    case(
        "89 two greetings",
        dialogue(answer("r"), answer("r"), user(), answer()),
        rejected("role_order", "messages[1]"),
    ),
    case(
        "89 counted with the system",
        dialogue(turn("system", "s"), user("p"), user(), answer()),
        rejected("role_order", "messages[2]"),
    ),
    case(
        "89 far behind",
        dialogue(*long_dialogue(20), answer("x"), user(), user(), answer()),
        rejected("role_order", "messages[20]"),
    ),
    case(
        "89 call and tool are transparent",
        dialogue(user(), answer(None, tool_calls=CALL), turn("tool", "4"), answer()),
        GOOD,
    ),
    case(
        "89 two calls in a row",
        dialogue(user(), *[answer("", tool_calls=CALL), turn("tool", "4")] * 2, answer()),
        GOOD,
    ),
    case(
        "89 two tools answer",
        dialogue(user(), answer(None, tool_calls=CALL), turn("tool", "4"), turn("tool", ""), answer()),
        GOOD,
    ),
    case("89 in the prompt", judged(1, prompt=[user("p"), user()]), rejected("role_order", "prompt[1]")),
    case(
        "89 in the conversation",
        judged(1, conversation=[user("p"), user()]),
        rejected("role_order", "conversation[1]"),
    ),
    case("89 in one side", pair([user("p"), user(), answer()], "b"), [("q", "b", "bad")]),
    case("90 system later", dialogue(user(), turn("system", "s"), answer()), rejected("role_order", "messages[1]")),
    case("90 system last", dialogue(user(), answer(), turn("system", "s")), rejected("role_order", "messages[2]")),
    case(
        "90 two systems",
        dialogue(turn("system", "s"), turn("system", "t"), user(), answer()),
        rejected("role_order", "messages[1]"),
    ),
    case(
        "90 the same system twice",
        dialogue(*[turn("system", "s")] * 2, user(), answer()),
        rejected("role_order", "messages[1]"),
    ),
    case("90 empty system", dialogue(turn("system", ""), user(), answer()), GOOD),
    case("90 system column repeated", dialogue(turn("system", "s"), user(), answer(), system="s"), GOOD),
    case(
        "90 system column differs",
        dialogue(turn("system", "s"), user(), answer(), system="t"),
        rejected("prompt_mismatch", "messages"),
    ),
    case("91 user last", dialogue(user("p"), answer("r"), user()), rejected("role_order", "messages")),
    case("91 only a user", dialogue(user()), rejected("role_order", "messages")),
    case("91 only an answer", dialogue(answer()), rejected("role_order", "messages")),
    case("91 only a system", dialogue(turn("system", "s")), rejected("role_order", "messages")),
    case(
        "91 tool last",
        dialogue(user(), answer("", tool_calls=CALL), turn("tool", "4")),
        rejected("role_order", "messages"),
    ),
    case("91 no turns", dialogue(), rejected("role_order", "messages")),
    case("91 prompt ends in an answer", judged(1, prompt=[user(), answer("r")]), rejected("role_order", "prompt")),
    case("91 one side", pair([user()], "b"), [("q", "b", "bad")]),
    case("91 judged turn, then a user", {"messages": [user(), answer(label=1), user("p")]}, GOOD),
    *(
        case(f"92 {asker} and {helper}", dialogue(turn(asker, "q"), turn(helper, "a")), GOOD)
        for asker, helper in (
            ("User", "Assistant"),
            ("human", "gpt"),
            ("HUMAN", "GPT"),
            ("prompter", "model"),
            ("user", "chatbot"),
            ("Human", "bot"),
        )
    ),
    case("92 ShareGPT keys", dialogue({"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}), GOOD),
    case("92 developer is a system", dialogue(turn("developer", "s"), user(), answer()), GOOD),
    *(
        case(f"92 role {role!r}", dialogue(turn(role, "q"), answer()), rejected("unknown_role", "messages[0]"))
        for role in ("customer", "", "مستخدم", None, 5, True, ["user"], "user2")
    ),
    case("92 no role", dialogue(user(), {"content": "a"}), rejected("unknown_role", "messages[1]")),
    case("92 role of a side", pair([turn("critic", "a")], "b"), [("q", "b", "bad")]),
    case("93 user turn empty", dialogue(user(""), answer()), rejected("empty_turn", "messages[0]")),
    case(
        "93 earlier answer empty",
        dialogue(user("p"), answer(""), user(), answer()),
        rejected("empty_turn", "messages[1]"),
    ),
    case("93 judged answer empty", dialogue(user(), answer("")), rejected("empty_turn", "messages[1]")),
    case("93 content null", dialogue(user(), answer(None)), rejected("empty_turn", "messages[1]")),
    case("93 content absent", dialogue({"role": "user"}, answer()), rejected("empty_turn", "messages[0]")),
    case(
        "93 content null, no calls",
        dialogue(user(), answer(None, tool_calls=[])),
        rejected("empty_turn", "messages[1]"),
    ),
    case(
        "93 content null with calls",
        dialogue(user(), answer(None, tool_calls=CALL), turn("tool", "4"), answer()),
        GOOD,
    ),
    case("93 empty parts", dialogue(user([]), answer()), rejected("empty_turn", "messages[0]")),
    case(
        "94 parts of text",
        dialogue(user([{"type": "text", "text": "q"}]), answer([{"type": "output_text", "text": "a"}])),
        GOOD,
    ),
    case(
        "94 parts are put together",
        judged(1, prompt=[user([{"type": "text", "text": "q"}, "q"])]),
        [("qq", "a", "good")],
    ),
    case(
        "94 an image",
        dialogue(user([{"type": "text", "text": "q"}, {"type": "image_url", "image_url": {"url": "x"}}]), answer()),
        rejected("multimodal", "messages[0]"),
    ),
    case(
        "94 an image with a text in it",
        dialogue(user([{"type": "image", "text": "q"}]), answer()),
        rejected("multimodal", "messages[0]"),
    ),
    case(
        "94 sound in the answer", dialogue(user(), answer([{"type": "audio"}])), rejected("multimodal", "messages[1]")
    ),
    case("94 parts of numbers", dialogue(user([1, 2]), answer()), rejected("multimodal", "messages[0]")),
    case("94 parts null", dialogue(user([None]), answer()), rejected("multimodal", "messages[0]")),
    case(
        "94 part without its text",
        dialogue(user([{"type": "text"}]), answer()),
        rejected("multimodal", "messages[0]"),
    ),
    *(
        case(f"95 {field} {value!r}", judged(1, **{field: value}), rejected("wrong_type", field))
        for field in ("response", "prompt")
        for value in (42, True, 1.5)
    ),
    *(
        case(f"95 {field} {value!r}", {"prompt": "q", field: value, "label": 1}, rejected("wrong_type", field))
        for field in ("response", "completion")
        for value in (["a"], [], [["a"]], [1])
    ),
    case("95 prompt ['q']", judged(1, prompt=["q"]), rejected("wrong_type", "prompt[0]")),
    case("95 prompt {}", judged(1, prompt={}), rejected("wrong_type", "prompt")),
    case("95 response of one message", judged(1, response=answer()), GOOD),
    case("95 content is a number", dialogue(user(5), answer()), rejected("wrong_type", "messages[0]")),
    case("95 content is an object", dialogue(user({"text": "q"}), answer()), rejected("wrong_type", "messages[0]")),
    case("95 messages are a text", {"messages": "q", "label": 1}, rejected("wrong_type", "messages")),
    case("95 messages are texts", {"messages": ["q", "a"], "label": 1}, rejected("wrong_type", "messages[0]")),
    case("95 a turn is null", dialogue(user(), None, answer()), rejected("wrong_type", "messages[1]")),
    case("95 responses are a text", ranked(1, 2, responses="ab"), rejected("wrong_type", "responses")),
    case("95 responses are numbers", ranked(1, 2, responses=[1, 2]), rejected("wrong_type", "responses[0]")),
    case("95 one response is a number", ranked(1, 2, 3, responses=["a", 5, "b"]), BOTH),
    case("95 one response is null", ranked(1, 2, 3, responses=["a", "b", None]), BOTH),
    case("95 one side is a list of texts", pair("a", ["b"]), GOOD),
    case("95 one side is a number", pair(7, "b"), [("q", "b", "bad")]),
    *(
        case(f"95 system {value!r}", judged(1, system=value), rejected("wrong_type", "system"))
        for value in some(5, [], {}, True, ["s"])
    ),
    *(
        case(f"95 conversation {value!r}", judged(1, conversation=value), rejected("wrong_type", "conversation"))
        for value in ("p", 5, True, {"role": "user", "content": "p"}, {}, False, 0)
    ),
    case("95 conversation [] is none", judged(1, conversation=[]), GOOD),
    case("95 half a pair of turns", judged(1, conversation=[["p"]]), rejected("wrong_type", "conversation[0]")),
    case("96 2,000 turns", dialogue(*long_dialogue(2000)), [("q1998", "a1999", "good")]),
    case("96 2,001 turns", dialogue(answer("x"), *long_dialogue(2000)), rejected("too_many_turns", "messages")),
    case("96 10,000 turns", dialogue(*long_dialogue(10_000)), rejected("too_many_turns", "messages")),
    case(
        "96 10,000 turns before a prompt",
        judged(1, conversation=long_dialogue(10_000)),
        rejected("too_many_turns", "conversation"),
    ),
    case(
        "96 10,000 turns as the prompt", judged(1, prompt=long_dialogue(10_000)), rejected("too_many_turns", "prompt")
    ),
    case("96 10,000 turns in one side", pair(long_dialogue(10_000), "b"), [("q", "b", "bad")]),
    case(
        "96 10,000 judged turns",
        {"messages": [one | {"label": 1} if one["role"] == "assistant" else one for one in long_dialogue(10_000)]},
        rejected("too_many_turns", "messages"),
    ),
    case(
        "96 5,000 pairs of turns",
        judged(1, conversation=[["p", "r"]] * 5000),
        rejected("too_many_turns", "conversation"),
    ),
    case(
        "96 1,001 pairs of turns",
        judged(1, conversation=[["p", "r"]] * 1001),
        rejected("too_many_turns", "conversation"),
    ),
]

BAD_RANKING = rejected("bad_ranking", "rankings")
RANKINGS = [
    *(
        case(f"97 {list(ranks)}, ties {ties}", ranked(*ranks), BAD_RANKING, ranking_ties=ties)
        for ties in ("reject", "allow")
        for ranks in ((1, 4), (2, 3), (0, 2), (-1, 0), (1, 2, 4), (9, 8, 3), (1, 10**18))
    ),
    case("97 [1, 1, 3]", ranked(1, 1, 3), BAD_RANKING),
    case(
        "97 [1, 1, 3], ties allowed",
        ranked(1, 1, 3),
        [*GOOD, ("q", "b", "good"), ("q", "c", "bad")],
        ranking_ties="allow",
    ),
    *(
        case(f"97 {list(ranks)} are scores, not ranks with ties", ranked(*ranks), BAD_RANKING, ranking_ties="allow")
        for ranks in ((9, 9, 3), (5, 5, 1), (1, 1, 7), (-1, -1, 0), (0, 0, 3))
    ),
    *(
        case(
            f"98 {len(ranks)} ranks for {count} responses",
            ranked(*ranks, responses=list("abcd"[:count])),
            rejected("length_mismatch", "rankings"),
        )
        for ranks, count in (((1, 2), 3), ((1, 2, 3), 2), ((), 2), ((1,), 0), ((1, 2), 1))
    ),
    case("99 [1, 2, 2]", ranked(1, 2, 2), BAD_RANKING),
    case(
        "99 [1, 2, 2], ties allowed",
        ranked(1, 2, 2),
        [*GOOD, ("q", "b", "bad"), ("q", "c", "bad")],
        ranking_ties="allow",
    ),
    case(
        "99 tie over the middle of halves",
        ranked(1, 2, 2, 3),
        [*GOOD, ("q", "d", "bad")],
        ranking_ties="allow",
        ranking_strategy="halves",
    ),
    *(
        case(f"99 {list(ranks)} as others count, ties allowed", ranked(*ranks), samples, ranking_ties="allow")
        for ranks, samples in (
            ((1, 1, 2), [*GOOD, ("q", "b", "good"), ("q", "c", "bad")]),
            ((0, 1, 1), [*GOOD, ("q", "b", "bad"), ("q", "c", "bad")]),
            ((1, 3, 3), [*GOOD, ("q", "b", "bad"), ("q", "c", "bad")]),
            ((2, 1, 1), [("q", "b", "good"), ("q", "c", "good"), *BAD]),
        )
    ),
    case("99 tie in the middle", ranked(0, 1, 1, 3), [*GOOD, ("q", "d", "bad")], ranking_ties="allow"),
    *(case(f"100 {list(ranks)}", ranked(*ranks), BOTH) for ranks in ((1, 2), (0, 1))),
    *(case(f"100 {list(ranks)}", ranked(*ranks), [("q", "b", "good"), *BAD]) for ranks in ((2, 1), (1, 0))),
    case("100 [2, 0, 1]", ranked(2, 0, 1), [("q", "b", "good"), *BAD]),
    *(
        case(f"100 {list(ranks)}, declared as largest best", ranked(*ranks), [("q", "b", "good"), *BAD], **BEST_HIGH)
        for ranks in ((1, 2), (0, 1))
    ),
    case("101 floats that are whole", ranked(1.0, 2.0), BOTH),
    case("101 texts that are whole", ranked("1", " 2 "), BOTH),
    case("101 all kinds at once", ranked(1, "2", 3.0), [*GOOD, ("q", "c", "bad")]),
    *(
        case(f"101 rank {rank!r}", ranked(1, rank), BAD_RANKING)
        for rank in (1.5, "b", "", None, "2.0", "٢", "2nd", "1e0", "0x2", "first", 2.0000001)
    ),
    case("101 rank NaN", b'{"prompt": "q", "responses": ["a", "b"], "rankings": [1, NaN]}', rejected("non_finite")),
    case("101 ranks by name", ranked("a", "b"), BAD_RANKING),
    case("102 all tied", ranked(1, 1, 1), without("tie")),
    case("102 all tied at 0", ranked(0, 0), without("tie")),
    case("102 all tied, ties allowed", ranked(1, 1, 1), without("tie"), ranking_ties="allow"),
    *(case(f"102 single response of rank {rank}", ranked(rank), without("single_candidate")) for rank in (0, 1)),
    case("102 no response", ranked(), without()),
    case("103 nested lists", ranked([1], [2]), BAD_RANKING),
    case("103 a list of lists", ranked([1, 2]), BAD_RANKING),
    case("103 objects", ranked({"rank": 1}, {"rank": 2}), BAD_RANKING),
    case("103 booleans", ranked(True, False), BAD_RANKING),
    case("103 a boolean for 1", ranked(True, 2), BAD_RANKING),
    case("103 a boolean for 0", ranked(1, False), BAD_RANKING),
    case("103 booleans, ties allowed", ranked(True, True, 2), BAD_RANKING, ranking_ties="allow"),
    *(
        case(
            f"103 rankings {value!r}",
            ranked() | {"responses": ["a", "b"], "rankings": value},
            rejected("wrong_type", "rankings"),
        )
        for value in ("1,2", {"a": 1, "b": 2}, 1, True)
    ),
]

RATINGS = [
    *(
        case(f"104 rating {cell!r}", judged(cell, "rating"), rejected("out_of_scale", "rating"))
        for cell in (0, 6, -1, 5.1, 0.99, 10, 100, -5, 10**18, "0", "6", "-1", "٧", "120%")
    ),
    *(
        case(f"104 rating {cell!r}", judged(cell, "rating"), rejected("label_unrecognised", "rating"))
        for cell in some(True, False, [], [4], {}, "many", "true", "6/5", "nan", "good")
    ),
    *(
        case(f"104 rating {cell!r}", judged(cell, "rating"), GOOD)
        for cell in (4, 5, 4.0, "4", "٤", "4/5", "٤ من ٥", "80%", "★★★★☆", "8/10")
    ),
    *(
        case(f"104 rating {cell!r}", judged(cell, "rating"), BAD)
        for cell in (1, 2, 1.5, "1", "0/5", "1/5", "☆☆☆☆☆", "★☆☆☆☆", "20%", "0%")
    ),
    *(
        case(f"104 rating {cell!r}", judged(cell, "rating"), without("neutral"))
        for cell in (3, 3.0, "3/5", "60%", "★★★☆☆", 2.5, 3.9)
    ),
    case("104 80 on its own scale", judged(80, "rating"), GOOD, scales={"rating": "percent"}),
    case(
        "104 180 on its own scale",
        judged(180, "rating"),
        rejected("out_of_scale", "rating"),
        scales={"rating": "percent"},
    ),
    case(
        "104 a scale of ten",
        judged(8, "rating"),
        GOOD,
        scales={"rating": {"rating": {"scale": {"low": 0, "high": 10, "good_from": 7, "bad_to": 4}}}},
    ),
    case("104 in a turn", {"messages": [user(), answer(rating=9)]}, rejected("out_of_scale", "rating")),
]

LENGTHS = [
    case(
        "106 response at the limit", judged(1, response="ج" * 20), [("q", "ج" * 20, "good")], max_response_length=20
    ),
    case("106 response over the limit", judged(1, response="ج" * 21), [], max_response_length=20),
    case("106 prompt over the limit", judged(1, prompt="ج" * 21), [], max_prompt_length=20),
    case("106 white space counts", judged(1, response="a" + " " * 20), [], max_response_length=20),
    case("106 over the default limit", judged(1, response="a" * 100_001), []),
    case("106 at the default limit", judged(1, response="a" * 100_000), [("q", "a" * 100_000, "good")]),
    case("106 one side over the limit", pair("a", "b" * 21), GOOD, max_response_length=20),
    case(
        "106 whole pairs only", pair("a", "b" * 21), [], max_response_length=20, pairwise_sampling_strategy="balanced"
    ),
    case("106 white space is no length", judged(1, response="  a  "), [], min_response_length=2),
    *(
        case(
            f"107 weight {cell}",
            b'{"prompt": "q", "response": "a", "label": 1, "weight": %s}' % cell.encode(),
            rejected("non_finite"),
        )
        for cell in ("NaN", "-Infinity", "1e999")
    ),
    *(
        case(f"107 weight {cell!r} is a column like any other", judged(1, weight=cell), GOOD)
        for cell in (-1, 0, 1e300, "nan", None)
    ),
]


@pytest.mark.parametrize(
    ("hostile", "expected", "options"), [*LABELS, *CONFLICTS, *SIDES, *TURNS, *RANKINGS, *RATINGS, *LENGTHS]
)
def test_verdict(hostile: Any, expected: Any, options: dict[str, Any], meet: Meet) -> None:
    meet(hostile, expected, **options)


LOST_SIDES = [
    case("87 chosen empty", pair("", "b"), {"empty_response": 1}),
    case("87 rejected null", pair("a", None), {"null_field": 1}),
    case("86 reasoning", pair("<think>x</think>a", "b"), {"reasoning_refused": 1}, reasoning="reject"),
    case("88 another prompt", pair([user("p"), answer()], "b"), {"prompt_mismatch": 1}),
    case("91 ends in a user", pair([user()], "b"), {"role_order": 1}),
    case("92 unknown role", pair([turn("critic", "a")], "b"), {"unknown_role": 1}),
    case("93 empty turn", pair([user(), answer("")], "b"), {"empty_turn": 1}),
    case("94 an image", pair([answer([{"type": "image"}])], "b"), {"multimodal": 1}),
    case("95 wrong type", pair(7, "b"), {"wrong_type": 1}),
    case(
        "95 two of a ranking", ranked(1, 2, 3, 4, responses=["a", 5, None, "b"]), {"wrong_type": 1, "null_field": 1}
    ),
    case("96 too many turns", pair(long_dialogue(10_000), "b"), {"too_many_turns": 1}),
    case(
        "82 one of two turns",
        {"messages": [user("p"), answer("r", label="maybe"), user(), answer(label=1)]},
        {"label_unrecognised": 1},
    ),
    case(
        "83 one of two turns",
        {"messages": [user("p"), answer("r", label=1, rating=1), user(), answer(label=1)]},
        {"contradictory_verdicts": 1},
    ),
    case(
        "91 a verdict on a user turn",
        {"messages": [user("p", label=1), answer("r"), user(), answer(label=1)]},
        {"role_order": 1},
    ),
]


@pytest.mark.parametrize(("hostile", "lost", "options"), LOST_SIDES)
def test_a_bad_side_costs_that_side_and_is_counted(
    hostile: dict[str, Any], lost: dict[str, int], options: dict[str, Any], meet: Meet
) -> None:
    expected = {"responses": BOTH, "messages": GOOD}.get(next(key for key in hostile if key != "prompt"))
    if expected is None:
        expected = GOOD if "null_field" in lost else [("q", "b", "bad")]
    report = meet(hostile, expected, **options)
    assert report.total.candidates_lost == lost
    assert not report.total.rejected


UNJUDGED_TURNS = [
    case(
        "82 user and system turns too",
        [turn("system", "s", label=None), user(label=None), answer(label="good")],
        GOOD,
    ),
    case("82 an earlier answer", [user("p"), answer("r", label=None), user(), answer(label="bad")], BAD),
    case("82 a later answer", [user(), answer(label="good"), user("p"), answer("r", label=None)], GOOD),
    case("82 no answer is judged", [user(label=None), answer(label=None)], without()),
    case("82 a greeting", [answer("hello", label=None), user(), answer(label="good")], GOOD),
    case("82 two columns", [user(label=None, rating=None), answer(label=None, rating=5)], GOOD),
]


@pytest.mark.parametrize(("turns", "expected", "options"), UNJUDGED_TURNS)
def test_case_82_null_verdicts_on_turns_judge_nothing(
    turns: list[dict[str, Any]], expected: Any, options: dict[str, Any], meet: Meet
) -> None:
    # files whose turns share one schema, such as those converted from Parquet, have the key on every turn
    meet({"messages": turns}, expected, **options)
    meet({"messages": turns, "label": None}, expected, **options)


def test_case_91_a_null_verdict_on_the_record_does_not_cost_its_judged_turns(meet: Meet) -> None:
    meet({"label": None, "messages": [user(), answer(label="good"), user("p")]}, GOOD)


DROPPED = [
    case("106 response", judged(1, response="b" * 21), {"good": 1, "bad": 0}, max_response_length=20),
    case("106 prompt", judged(0, prompt="b" * 21), {"good": 0, "bad": 1}, max_prompt_length=20),
    case("106 one side", pair("a", "b" * 21), {"good": 0, "bad": 1}, max_response_length=20),
    case("106 both sides", pair("a" * 21, "b" * 21), {"good": 1, "bad": 1}, max_response_length=20),
]


@pytest.mark.parametrize(("hostile", "counts", "options"), DROPPED)
def test_case_106_too_long_is_dropped_by_stage_and_never_cut(
    hostile: dict[str, Any], counts: dict[str, int], options: dict[str, Any], meet: Meet
) -> None:
    report = meet(hostile, GOOD if counts["good"] == 0 and "chosen" in hostile else [], **options)
    assert report.dropped_by() == {"length": {"too_long": counts}}
    assert not report.total.rejected


def test_case_106_the_other_side_is_counted_apart(meet: Meet) -> None:
    report = meet(pair("a", "b" * 21), [], max_response_length=20, pairwise_sampling_strategy="balanced")
    assert report.dropped_by() == {
        "length": {"too_long": {"good": 0, "bad": 1}},
        "pairs": {"unpaired": {"good": 1, "bad": 0}},
    }


@pytest.mark.parametrize(
    "record",
    [
        judged(1, system="s", tools=CALL, prompt=[user("p"), answer("r"), user()], response=[user(), answer()]),
        judged(1, system="s", tools=CALL, response=[user("p"), answer("r"), user(), answer()]),
        judged(1, tools=CALL, response=[turn("system", "s"), user("p"), answer("r"), user(), answer()]),
    ],
)
def test_case_88_what_stands_beside_an_answer_with_a_context_is_not_lost(
    record: dict[str, Any], load_split: Split
) -> None:
    [sample] = load_split([record], require_both_labels=False)
    assert (sample["system"], sample["prompt"], sample["response"]) == ("s", "q", "a")
    assert [one["content"] for one in sample["conversation"]] == ["p", "r", "q"]
    assert json.loads(sample["tools"]) == CALL


def test_case_88_the_answer_that_gives_way_is_counted(meet: Meet) -> None:
    record = {"conversation": [user(), answer("old")], "response": "a", "label": "good"}
    assert meet(record, GOOD).total.notices == {"trailing_answer": 1}


class Split:
    """Writes one split's records and loads it."""

    def __init__(self, path: Path, registry: Registry) -> None:
        self.path, self.registry = path, registry
        self.loader: Any = None

    def __call__(self, records: list[dict[str, Any]], split: str = "train", **options: Any) -> list[dict[str, Any]]:
        self.path.write_text("".join(json.dumps(record) + "\n" for record in records))
        values = {"balance_labels": False, "min_samples_per_label": 0} | options
        config = KTODataConfig(**{f"{split}_file": self.path}, **values)
        self.loader = KTODataLoader(config, enable_cache=False, registry=self.registry)
        samples = list(self.loader.load_dataset(split))
        self.loader.report.check()
        return samples


@pytest.fixture
def load_split(tmp_path: Path, registry: Registry) -> Split:
    return Split(tmp_path / "split.jsonl", registry)


def picked(samples: list[dict[str, Any]]) -> list[tuple[str, str, str]]:
    return [(sample["prompt"], sample["response"], sample["label"]) for sample in samples]


def test_case_84_contradictions_across_records_are_kept(load_split: Split) -> None:
    samples = load_split([judged("good"), judged("bad"), judged(5, "rating"), judged(0.1, "score")])
    assert picked(samples) == [*GOOD, *BAD, *GOOD, *BAD]
    assert not load_split.loader.report.total.rejected


def test_case_85_exact_repeats_are_kept_and_told_apart(load_split: Split) -> None:
    samples = load_split([judged("good"), judged("bad"), judged("good"), judged(True)])
    assert picked(samples) == [*GOOD, *BAD, *GOOD, *GOOD]
    assert len({sample["id"] for sample in samples}) == 4


def test_case_100_counting_from_0_and_from_1_may_be_mixed_in_a_file(load_split: Split) -> None:
    samples = load_split([ranked(0, 1), ranked(1, 2), ranked(1, 0), ranked(2, 1)])
    assert picked(samples) == [*BOTH, *BOTH, *[("q", "b", "good"), *BAD] * 2]


def numbered(labels: list[Any], column: str = "label") -> list[dict[str, Any]]:
    return [{"prompt": f"q{number}", "response": "a", column: cell} for number, cell in enumerate(labels)]


ONE_CLASS = [
    pytest.param(numbered([True] * 4), "bad", id="case-105 good only"),
    pytest.param(numbered(["bad"] * 4), "good", id="case-105 bad only"),
    pytest.param(numbered([5, 4, 3, 3], "rating"), "bad", id="case-105 ratings above the threshold"),
    pytest.param(numbered([0.5, 0.7, 0.99], "score"), "bad", id="case-105 scores above the threshold"),
    pytest.param([pair("a", ""), pair("b", None)], "bad", id="case-105 one side of every pair"),
]


@pytest.mark.parametrize("balance", [False, True], ids=["not balanced", "balanced"])
@pytest.mark.parametrize(("records", "missing"), ONE_CLASS)
def test_case_105_one_class_is_an_error_for_training(
    records: list[dict[str, Any]], missing: str, load_split: Split, *, balance: bool
) -> None:
    with pytest.raises(OneClassError, match=f"no {missing} sample is left.*require_both_labels: false") as caught:
        load_split(records, balance_labels=balance)
    report = caught.value.report
    assert report is not None
    report.check()
    assert report.total.lines == len(records)


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize(("records", "missing"), ONE_CLASS)
def test_case_105_one_class_is_a_warning_elsewhere(
    records: list[dict[str, Any]], missing: str, split: str, load_split: Split, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING, "ktoformats"):
        assert load_split(records, split)
    [warning] = load_split.loader.report.warnings
    assert f"no {missing} sample is left" in warning
    assert warning in caplog.messages


@pytest.mark.parametrize("balance", [False, True], ids=["not balanced", "balanced"])
@pytest.mark.parametrize(("records", "missing"), ONE_CLASS)
def test_case_105_one_class_can_be_allowed(
    records: list[dict[str, Any]], missing: str, load_split: Split, *, balance: bool
) -> None:
    samples = load_split(records, require_both_labels=False, balance_labels=balance)
    assert {sample["label"] for sample in samples} == {"good", "bad"} - {missing}
    assert any(f"no {missing} sample is left" in warning for warning in load_split.loader.report.warnings)


def test_case_105_nothing_left_is_an_error_of_its_own(load_split: Split) -> None:
    with pytest.raises(EmptyDatasetError, match=r"no sample is left.*null_verdict 2") as caught:
        load_split(numbered([None, None]), require_both_labels=False)
    assert caught.value.report is not None
    caught.value.report.check()


def test_case_105_fewer_than_wanted_warns_and_fails_with_strict(load_split: Split) -> None:
    records = numbered([True, False, True, False])
    assert len(load_split(records, min_samples_per_label=3)) == 4
    [warning] = load_split.loader.report.warnings
    assert "only 2 good and 2 bad samples, fewer than min_samples_per_label (3)" in warning
    with pytest.raises(KTODataError, match=r"min_samples_per_label \(3\), and strict is set") as caught:
        load_split(records, min_samples_per_label=3, strict=True)
    assert caught.value.report is not None
    caught.value.report.check()


def test_case_107_a_weight_column_never_reaches_the_weight(load_split: Split) -> None:
    samples = load_split([judged(1, weight=-1), judged(0, weight="nan"), judged(1, weight=0)])
    assert [sample["weight"] for sample in samples] == [1.0, 1.0, 1.0]
