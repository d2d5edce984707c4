"""Texts to token ids: a prompt's are those that the model is given when it is asked, and nothing of an answer is lost."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats.errors import ConfigError
from ktoformats.train.encode import BOUNDARY, SOUND, TEMPLATE_FAILED, TEXT_LOST, Encoded, Encoder, Ragged

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Make = Callable[..., Any]

KINDS = ("bytes", "metaspace", "prepend")
TEXTS: dict[str, tuple[str, str]] = {
    "English": ("Why is the sky blue?", " Air scatters short wavelengths more than long ones."),
    "no space between": ("Name a prime number.", "Seven."),
    "the prompt ends in a space": ("The answer is ", "34."),
    "spaces on both sides": ("The answer is  ", "  34.  "),
    "newlines at the boundary": ("def add(a, b):\n", "\n    return a + b\n"),
    "a prompt that is cut in a word": ("Paris is the cap", "ital of France"),
    "Arabic": ("ما عاصمة مصر؟", "القاهرة هي عاصمة مصر."),
    "emoji": ("👍🏽 or 👩‍🔬", "📖👍🏽 لا"),
    "a letter and its mark": ("cafe", "\u0301 noir"),
    "a newline alone": ("\n", "\n\n"),
    "tabs": ("\ta\t", "\tb"),
}
LINES = [{"prompt": prompt, "response": answer, "label": True} for prompt, answer in TEXTS.values()]
DIALOGUES: list[dict[str, Any]] = [
    {
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": f"Question {number}: ما عاصمة مصر؟"},
            {"role": "assistant", "content": "Which one?\n"},
            {"role": "user", "content": " the  capital 📖"},
            {"role": "assistant", "content": f"Paris {number}"},
        ],
        "label": number % 2 == 0,
    }
    for number in range(4)
]
ALL = {"min_prompt_length": 0, "min_response_length": 0}


def of_lines(table_of: Make) -> Any:
    return table_of(LINES, **ALL)


def lists(found: Ragged) -> list[list[int]]:
    return [found.row(number).tolist() for number in range(len(found.ends) - 1)]


def both(found: Encoded) -> tuple[list[list[int]], list[list[int]]]:
    return lists(found.prompts), lists(found.answers)


def without_rust(encoder: Encoder) -> Encoder:
    encoder._fast = None
    return encoder


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adds", ["", "begin", "both"])
def test_the_ids_of_a_prompt_are_what_the_tokenizer_gives_for_it(
    kind: str, adds: str, tokenizer_of: Make, table_of: Make
) -> None:
    tokenizer = tokenizer_of(kind, adds=adds)
    prompts, answers = both(Encoder(tokenizer, "standard").encode(of_lines(table_of)))
    for line, prompt, answer in zip(LINES, prompts, answers, strict=True):
        asked = tokenizer(line["prompt"])["input_ids"]
        assert prompt == (asked[:-1] if adds == "both" else asked), "its end token belongs behind an answer"
        assert answer[-1] == tokenizer.eos_token_id
        assert answer.count(tokenizer.eos_token_id) == 1
        assert tokenizer.bos_token_id not in answer


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("adds", ["", "begin"])
def test_the_tokens_of_both_say_the_text_of_both(
    name: str, kind: str, adds: str, tokenizer_of: Make, table_of: Make
) -> None:
    """No space is put between them, and none is lost."""
    tokenizer = tokenizer_of(kind, adds=adds)
    prompt, answer = TEXTS[name]
    table = table_of([{"prompt": prompt, "response": answer, "label": True}], **ALL)
    [asked], [said] = both(Encoder(tokenizer, "standard").encode(table))
    assert asked[:1] == [tokenizer.bos_token_id] or not adds
    decoded = tokenizer.backend_tokenizer.decode(asked + said[:-1], skip_special_tokens=True)
    assert decoded == prompt + answer


@settings(deadline=None, max_examples=60)
@given(prompt=st.text(max_size=20), answer=st.text(min_size=1, max_size=20), kind=st.sampled_from(KINDS))
def test_whatever_the_text(prompt: str, answer: str, kind: str, tokenizer_of: Make) -> None:
    if kind not in ENCODERS:
        ENCODERS[kind] = Encoder(tokenizer_of(kind), "standard")
    encoder = ENCODERS[kind]
    tokenizer: Any = encoder._tokenizer
    if kind != "bytes":  # where "▁" is how a space is written, and one at the very beginning is none
        prompt, answer = f"a{prompt}".replace("▁", "_"), answer.replace("▁", "_")
    [asked], [said] = encoder._ids([prompt]), encoder._continued([answer])
    assert tokenizer.backend_tokenizer.decode(asked + said) == prompt + answer
    assert asked == tokenizer(prompt, add_special_tokens=False)["input_ids"]


ENCODERS: dict[str, Encoder] = {}


@pytest.mark.parametrize("style", ["standard", "conversational"])
@pytest.mark.parametrize("kind", KINDS)
def test_many_at_once_are_as_one_by_one(
    style: Any, kind: str, tokenizer_of: Make, table_of: Make, chatml: str
) -> None:
    table = table_of([*LINES, *LINES[:3], *DIALOGUES], **ALL)
    encoder = Encoder(tokenizer_of(kind, template=chatml, adds="begin"), style)
    assert encoder._fast is not None
    together = encoder.encode(table)
    assert (together.faults == SOUND).all()
    alone = [encoder.encode(table.slice(row, 1)) for row in range(len(table))]
    assert lists(together.prompts) == [one for found in alone for one in lists(found.prompts)]
    assert lists(together.answers) == [one for found in alone for one in lists(found.answers)]
    slow = without_rust(Encoder(tokenizer_of(kind, template=chatml, adds="begin"), style)).encode(table)
    assert both(slow) == both(together)


@pytest.mark.parametrize("kind", KINDS)
def test_messages_become_what_trl_makes_of_them(kind: str, tokenizer_of: Make, table_of: Make, chatml: str) -> None:
    """The template for the prompt, and for the whole; the completion is the rest of its ids."""
    tokenizer = tokenizer_of(kind, template=chatml, adds="begin")
    for found, one in zip(
        zip(*both(Encoder(tokenizer).encode(table_of(DIALOGUES))), strict=True), DIALOGUES, strict=True
    ):
        *asked, _ = one["messages"]
        options = {"return_dict": False}
        prompt = tokenizer.apply_chat_template(asked, add_generation_prompt=True, **options)
        whole = tokenizer.apply_chat_template(one["messages"], **options)
        assert whole[: len(prompt)] == prompt, "the boundary is clean"
        assert found == (prompt, whole[len(prompt) :])


def test_a_prompt_with_a_system_message_and_turns_is_rendered_whole(
    tokenizer_of: Make, table_of: Make, chatml: str
) -> None:
    tokenizer = tokenizer_of(template=chatml)
    [asked], [said] = both(Encoder(tokenizer).encode(table_of(DIALOGUES[:1])))
    assert tokenizer.decode(asked) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\nQuestion 0: ما عاصمة مصر؟<|im_end|>\n"
        "<|im_start|>assistant\nWhich one?\n<|im_end|>\n<|im_start|>user\n the  capital 📖<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert tokenizer.decode(said) == "Paris 0<|im_end|>\n"


@pytest.mark.parametrize("template", [True, False])
def test_an_end_token_is_there_once(template: Any, tokenizer_of: Make, table_of: Make, chatml: str) -> None:
    """Not doubled where the text or the template has it; not forgotten where neither has."""
    tokenizer = tokenizer_of(template=chatml if template else None)
    table = table_of(
        [{"prompt": "Name a prime number.", "response": f"Seven.{end}", "label": True} for end in ("", "<|im_end|>")]
    )
    _, answers = both(Encoder(tokenizer).encode(table))
    end = tokenizer.eos_token_id
    assert answers[0].count(end) == 1
    if not template:
        assert answers[0] == answers[1]
        assert answers[0][-1] == end
    without = tokenizer_of(template="{% for m in messages %}{{ m.content }}\n{% endfor %}")
    _, answers = both(Encoder(without).encode(table.slice(0, 1)))
    assert answers[0][-1] == end
    assert answers[0].count(end) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_begin_token_is_there_once(kind: str, tokenizer_of: Make, table_of: Make, chatml: str) -> None:
    """Also where the text begins with it, or the template puts it there."""
    tokenizer = tokenizer_of(kind, template="<s>" + chatml, adds="begin")
    begin = tokenizer.bos_token_id
    lines = [{"prompt": f"{start}Name a prime number.", "response": "Seven.", "label": True} for start in ("", "<s>")]
    for style in ("standard", "conversational"):
        prompts, answers = both(Encoder(tokenizer, style).encode(table_of(lines)))
        assert prompts[0][0] == begin
        assert prompts[0].count(begin) == 1
        assert not any(begin in answer for answer in answers)
    standard, _ = both(Encoder(tokenizer, "standard").encode(table_of(lines)))
    assert standard[1].count(begin) == 1
    none, _ = both(Encoder(tokenizer_of(kind), "standard").encode(table_of(lines[:1])))
    assert begin not in none[0]


def test_an_empty_prompt_is_a_prompt(tokenizer_of: Make, table_of: Make) -> None:
    table = table_of([{"prompt": "", "response": "Seven.", "label": True}], **ALL)
    for adds, expected in (("", []), ("begin", ["<s>"])):
        tokenizer = tokenizer_of(adds=adds)
        [asked], [said] = both(Encoder(tokenizer).encode(table))
        assert tokenizer.convert_ids_to_tokens(asked) == expected
        assert tokenizer.decode(said) == "Seven.<|im_end|>"


# Templates


def called(name: str) -> dict[str, Any]:
    call = {"type": "function", "function": {"name": name, "arguments": json.dumps({"city": "Paris", "days": 2})}}
    return {
        "messages": [
            {"role": "user", "content": "Will it rain?"},
            {"role": "assistant", "content": "", "tool_calls": [call]},
        ],
        "tools": [{"type": "function", "function": {"name": name, "description": "Tells the weather."}}],
        "label": True,
    }


def test_tool_calls_are_rendered_and_tools_offered(tokenizer_of: Make, table_of: Make, chatml: str) -> None:
    tokenizer = tokenizer_of(template=chatml)
    found = Encoder(tokenizer).encode(table_of([called("weather"), called("forecast")]))
    assert found.faults.tolist() == [SOUND, SOUND]
    for asked, said, name in zip(*both(found), ("weather", "forecast"), strict=True):
        assert f'"name": "{name}"' in tokenizer.decode(asked)
        assert tokenizer.decode(said) == (
            f'<tool_call>{name} {{"city": "Paris", "days": 2}}</tool_call><|im_end|>\n'
        )  # fmt: skip


TURN = "<|im_start|>{{ m.role }}\n"
END = "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
FAULTY: dict[str, tuple[str, int]] = {
    "calls vanish": ("{% for m in messages %}" + TURN + "{{ m.content }}" + END, TEXT_LOST),
    "refuses tools": ("{{ raise_exception('no tools') if tools else '' }}", TEMPLATE_FAILED),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_template_that_cannot_call_tools_is_found_out(name: str, tokenizer_of: Make, table_of: Make) -> None:
    template, fault = FAULTY[name]
    found = Encoder(tokenizer_of(template=template)).encode(table_of([called("weather")]))
    assert found.faults.tolist() == [fault]
    assert both(found) == ([[]], [[]])


def test_an_answer_that_a_template_renders_to_nothing_is_found_out(tokenizer_of: Make, table_of: Make) -> None:
    """Only that row: the others are as they were."""
    template = "{% for m in messages %}" + TURN + "{{ '' if 'secret' in m.content else m.content }}" + END
    lines = [{"prompt": "Say it.", "response": text, "label": True} for text in ("Yes.", "a secret", "No.")]
    tokenizer = tokenizer_of(template=template)
    found = Encoder(tokenizer).encode(table_of(lines))
    assert found.faults.tolist() == [SOUND, TEXT_LOST, SOUND]
    assert [tokenizer.decode(said) for said in both(found)[1]] == ["Yes.<|im_end|>\n", "", "No.<|im_end|>\n"]


def test_white_space_that_a_template_takes_away_is_no_loss(tokenizer_of: Make, table_of: Make) -> None:
    template = "{% for m in messages %}" + TURN + "{{ m.content | trim }}" + END
    found = Encoder(tokenizer_of(template=template)).encode(
        table_of([{"prompt": "Say it.", "response": "  Yes.\n", "label": True}])
    )
    assert found.faults.tolist() == [SOUND]


def test_an_answer_that_does_not_follow_its_prompt_is_found_out(tokenizer_of: Make, table_of: Make) -> None:
    """The prompt ends in what no answer begins with, such as a block of thoughts."""
    thinking = (
        "{% for m in messages %}" + TURN + "{{ m.content }}" + END.replace("assistant\n", "assistant\n<think>\n")
    )
    found = Encoder(tokenizer_of(template=thinking)).encode(table_of(DIALOGUES[:2]))
    assert found.faults.tolist() == [BOUNDARY, BOUNDARY]


def test_a_template_without_a_beginning_of_answers_leaves_it_to_them(tokenizer_of: Make, table_of: Make) -> None:
    template = "{% for m in messages %}" + TURN + "{{ m.content }}<|im_end|>\n{% endfor %}"
    tokenizer = tokenizer_of(template=template)
    _, [said] = both(Encoder(tokenizer).encode(table_of(DIALOGUES[:1])))
    assert tokenizer.decode(said) == "<|im_start|>assistant\nParis 0<|im_end|>\n"


def test_a_template_may_refuse_some_rows(tokenizer_of: Make, table_of: Make) -> None:
    template = (
        "{% for m in messages %}{% if m.role == 'system' %}{{ raise_exception('no system message') }}{% endif %}"
        + TURN + "{{ m.content }}" + END
    )  # fmt: skip
    found = Encoder(tokenizer_of(template=template)).encode(
        table_of([LINES[0], DIALOGUES[0], LINES[1], DIALOGUES[1]])
    )
    assert found.faults.tolist() == [SOUND, TEMPLATE_FAILED, SOUND, TEMPLATE_FAILED]
    assert [bool(one) for one in both(found)[0]] == [True, False, True, False]


def test_tokens_never_reach_over_the_boundary(tokenizer_of: Make, table_of: Make) -> None:
    """Both texts as one would be other tokens; TRL cuts those at the length of the prompt's."""
    tokenizer = tokenizer_of()
    prompt, answer = "Paris is the cap", "ital of France"
    alone, together = tokenizer(prompt)["input_ids"], tokenizer(prompt + answer)["input_ids"]
    assert together[: len(alone)] != alone, "the merge is there"
    [asked], [said] = both(
        Encoder(tokenizer).encode(table_of([{"prompt": prompt, "response": answer, "label": True}]))
    )
    assert asked == alone
    assert tokenizer.decode(asked + said[:-1]) == prompt + answer
    assert said[:-1] != together[len(alone) :]


# Tokenizers


def test_a_tokenizer_in_python_will_do(table_of: Make, tmp_path: Any) -> None:
    from transformers import PreTrainedTokenizer

    class Letters(PreTrainedTokenizer):  # type: ignore[misc, unused-ignore]
        """A token for each byte."""

        @property
        def vocab_size(self) -> int:
            return 256

        def get_vocab(self) -> dict[str, int]:
            return {**{chr(number): number for number in range(256)}, **self.added_tokens_encoder}

        def _tokenize(self, text: str, **_: Any) -> list[str]:
            return [chr(byte) for byte in text.encode()]

        def _convert_token_to_id(self, token: str) -> int:
            return ord(token)

        def _convert_id_to_token(self, index: int) -> str:
            return chr(index)

        def save_vocabulary(self, save_directory: str, filename_prefix: str | None = None) -> tuple[str, ...]:
            return ()

    tokenizer = Letters(eos_token="<end>")
    encoder = Encoder(tokenizer)
    assert encoder._fast is None
    for (prompt, answer), asked, said in zip(TEXTS.values(), *both(encoder.encode(of_lines(table_of))), strict=True):
        assert bytes(asked).decode() == prompt
        assert bytes(said[:-1]).decode() == answer
        assert said[-1] == tokenizer.eos_token_id
    assert len(encoder.digest) == 64


def test_a_tokenizer_without_a_token_for_padding_pads_with_its_end(tokenizer_of: Make) -> None:
    encoder = Encoder(tokenizer_of(pad_token=None))
    assert encoder.pad == encoder.eos
    encoder = Encoder(tokenizer_of())
    assert encoder.pad != encoder.eos


def test_a_tokenizer_without_an_end_token_is_refused(tokenizer_of: Make) -> None:
    with pytest.raises(ConfigError, match=r"no end token; set tokenizer\.eos_token"):
        Encoder(tokenizer_of(eos_token=None))


def test_without_a_template_there_are_no_conversations(tokenizer_of: Make, table_of: Make) -> None:
    with pytest.raises(ConfigError, match=r"no chat template; set tokenizer\.chat_template, or style='standard'"):
        Encoder(tokenizer_of(), "conversational")
    with pytest.raises(
        ConfigError, match="samples have a system message, earlier turns or tools, and the tokenizer has"
    ):
        Encoder(tokenizer_of()).encode(table_of(DIALOGUES))
    found = Encoder(tokenizer_of(), "standard").encode(table_of(DIALOGUES))
    assert (found.faults == SOUND).all(), "asked for, the last prompt and its answer are taken"


def test_truncation_that_somebody_sets_cuts_nothing(tokenizer_of: Make, table_of: Make) -> None:
    """A fast tokenizer remembers how it was called last."""
    tokenizer = tokenizer_of()
    encoder = Encoder(tokenizer)
    before = both(encoder.encode(of_lines(table_of)))
    tokenizer(["a b c", "a"], truncation=True, max_length=2, padding=True)
    assert both(encoder.encode(of_lines(table_of))) == before
    tokenizer.backend_tokenizer.enable_truncation(3)
    assert both(encoder.encode(of_lines(table_of))) == before
    assert both(Encoder(tokenizer).encode(of_lines(table_of))) == before


def test_the_digest_tells_all_that_decides_the_ids(tokenizer_of: Make, chatml: str, tmp_path: Any) -> None:
    from transformers import AutoTokenizer

    def more() -> Any:
        made = tokenizer_of(template=chatml)
        made.add_tokens(["sky"])
        return made

    own = Encoder(tokenizer_of(template=chatml)).digest
    others = [
        Encoder(tokenizer_of(template=chatml), "standard"),
        Encoder(tokenizer_of(template=f"{chatml} ")),
        Encoder(tokenizer_of("metaspace", template=chatml)),
        Encoder(tokenizer_of(template=chatml, eos_token="</s>")),
        Encoder(tokenizer_of(template=chatml, adds="begin")),
        Encoder(more()),
    ]
    assert len({own, *(one.digest for one in others)}) == 7
    assert Encoder(tokenizer_of(template=chatml)).digest == own
    paths = [tmp_path / name for name in ("one", "other")]
    for path in paths:
        tokenizer_of(template=chatml).save_pretrained(path)
    digests = {Encoder(AutoTokenizer.from_pretrained(path)).digest for path in paths}
    assert len(digests) == 1, "wherever it was loaded from"


def test_nothing_is_tokenised_twice(tokenizer_of: Make, table_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """A prompt with many answers is looked at once."""
    encoder = Encoder(tokenizer_of())
    asked: list[str] = []
    own = encoder._ids

    def counted(texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        asked.extend(texts)
        return own(texts, special=special)

    monkeypatch.setattr(encoder, "_ids", counted)
    lines = [{"prompt": "Name a number.", "response": f"{number}.", "label": True} for number in range(50)]
    prompts, _ = both(encoder.encode(table_of(lines)))
    assert asked.count("Name a number.") == 1
    assert len(asked) == 51
    assert len(prompts) == 50


def test_no_rows_are_no_tokens(tokenizer_of: Make, table_of: Make, chatml: str) -> None:
    table = of_lines(table_of).slice(0, 0)
    for template in (None, chatml):
        found = Encoder(tokenizer_of(template=template)).encode(table)
        assert both(found) == ([], [])
        assert found.prompts.ids.dtype == np.int32
