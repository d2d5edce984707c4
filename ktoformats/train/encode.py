"""Texts to token ids: a prompt and an answer, each tokenised by itself.

At generation the model is given the prompt's tokens and goes on from there. So the prompt is tokenised alone and the
answer as what follows it; tokenising both as one text lets a token reach over the boundary, which no model that is
asked will ever see (and which TRL then cuts at one side of it). What a chat template adds is split where the prompt's
rendering ends, and that the rendering of the whole begins so is checked, row by row.
"""

from __future__ import annotations

import hashlib
import logging
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final, Literal, NamedTuple

import numpy as np
import orjson

from ktoformats.errors import ConfigError
from ktoformats.train.rows import needs_messages, set_apart, to_trl_rows

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa

    from ktoformats.store.numbers import Array

logger: Final = logging.getLogger("ktoformats")

Style = Literal["auto", "standard", "conversational"]

SOUND, BOUNDARY, TEXT_LOST, TEMPLATE_FAILED = range(4)
"""What became of a row: it is as it should be, or why it cannot be used."""
FAULTS: Final = {
    BOUNDARY: "template_boundary",
    TEXT_LOST: "template_loses_text",
    TEMPLATE_FAILED: "template_failed",
}
_MARKS: Final = ("\n", "\x1f")
"""What texts that go on from others are put behind: the second where the first one melts into a text."""
_PROBES: Final = ["a", " b", "A word, and\nanother: \u0643\u062a\u0627\u0628 \U0001f4d6  ", "x" * 5000]
"""What tokenizers do differently: white space, letters of several bytes, and length."""


class Ragged(NamedTuple):
    """Lists of token ids, one after the other."""

    ids: Array
    """int32."""
    ends: Array
    """int64, shape (rows + 1,): where each list begins, and the last one ends."""

    def row(self, number: int) -> Array:
        """int32: a list."""
        ids: Array = self.ids[self.ends[number] : self.ends[number + 1]]
        return ids


class Encoded(NamedTuple):
    """Some rows as tokens."""

    prompts: Ragged
    answers: Ragged
    faults: Array
    """uint8, shape (rows,): `SOUND` or why a row cannot be used."""


class Encoder:
    """A tokenizer, and how samples are put before it.

    Args:
        tokenizer: A Hugging Face tokenizer, fast or slow.
        style: `standard` tokenises the texts as they are; `conversational` renders messages with the chat template;
            `auto` takes the template where the tokenizer has one.
        separator: With `standard`, what is put before an answer where no white space stands before it.

    Raises:
        ConfigError: There is no template, and one is needed; or no end token, which a completion must end in.
    """

    def __init__(self, tokenizer: Any, style: Style = "auto", separator: str = "") -> None:
        has_template = bool(getattr(tokenizer, "chat_template", None))
        if style == "conversational" and not has_template:
            raise ConfigError("the tokenizer has no chat template; set tokenizer.chat_template, or style='standard'")
        if tokenizer.eos_token_id is None:
            raise ConfigError("the tokenizer has no end token; set tokenizer.eos_token, which completions end in")
        self.style = ("conversational" if has_template else "standard") if style == "auto" else style
        self.asked = style
        self._tokenizer = tokenizer
        self._separator = separator
        self.eos: int = tokenizer.eos_token_id
        self.pad: int = tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        self._refused = False
        self._fast: Any = None
        self._fast = self._without_offsets()
        self._bos = self._begins_with()
        self._marks = self._needed_marks()

    @property
    def digest(self) -> str:
        """What decides the ids: all that the tokenizer saves of itself, its chat template among it, and the style."""
        digest = hashlib.sha256(f"{type(self._tokenizer).__qualname__} {self.style} {self._separator!r}".encode())
        with TemporaryDirectory(prefix="ktoformats-") as folder:
            self._tokenizer.save_pretrained(folder)
            for path in sorted(Path(folder).rglob("*")):
                if path.is_file():
                    digest.update(f"{path.relative_to(folder)} {path.stat().st_size} ".encode() + path.read_bytes())
        return digest.hexdigest()

    def encode(self, batch: pa.RecordBatch | pa.Table) -> Encoded:
        """The token ids of rows of `SCHEMA`.

        Raises:
            ConfigError: Rows have messages, and the tokenizer no template to place them with.
        """
        if self.style == "standard" and self.asked == "auto" and needs_messages([batch]):
            raise ConfigError(
                "samples have a system message, earlier turns or tools, and the tokenizer has no chat template to "
                "place them; set tokenizer.chat_template, or leave them out with style='standard'"
            )
        prompts, answers, faults = self._standard(batch) if self.style == "standard" else self._rendered(batch)
        sound = [row for row, fault in enumerate(faults) if fault == SOUND]
        ids_of = self._ids_once([prompts[row] for row in sound])
        answer_ids = self._continued([answers[row] for row in sound])
        head = [self._bos] if self._bos is not None and self.style == "standard" else []
        own: list[list[int]] = [[] for _ in faults]
        said: list[list[int]] = [[] for _ in faults]
        for row, ids in zip(sound, answer_ids, strict=True):
            asked = ids_of[prompts[row]]
            own[row] = asked if asked[: len(head)] == head else head + asked
            said[row] = ids if self._ends(ids) else [*ids, self.eos]
        return Encoded(_ragged(own), _ragged(said), np.array(faults, np.uint8))

    def _ends(self, ids: list[int]) -> bool:
        """Whether a completion holds its end token: a template may add white space behind it."""
        return self.eos in ids if self.style == "conversational" else ids[-1:] == [self.eos]

    def _standard(self, batch: pa.RecordBatch | pa.Table) -> tuple[list[str], list[str], list[int]]:
        prompts, answers = (batch.column(name).to_pylist() for name in ("prompt", "response"))
        if self._separator:
            pairs = zip(prompts, answers, strict=True)
            answers = [set_apart(prompt, answer, self._separator) for prompt, answer in pairs]
        return prompts, answers, [SOUND] * len(prompts)

    def _rendered(self, batch: pa.RecordBatch | pa.Table) -> tuple[list[str], list[str], list[int]]:
        asked, said, tools = [], [], []
        for row in to_trl_rows(batch, "conversational", tools=True):
            asked.append([_for_template(message) for message in row["prompt"]])
            said.append([_for_template(message) for message in row["completion"]])
            tools.append(row["tools"])
        keys = [orjson.dumps([one, offered]) for one, offered in zip(asked, tools, strict=True)]
        different = {key: number for number, key in enumerate(keys)}
        numbers = list(different.values())
        rendered = self._render([asked[n] for n in numbers], [tools[n] for n in numbers], add_generation_prompt=True)
        prompt_of = dict(zip(different, rendered, strict=True))
        wholes = self._render([one + other for one, other in zip(asked, said, strict=True)], tools)
        prompts, answers, faults = [], [], []
        for key, answer, whole in zip(keys, said, wholes, strict=True):
            prompt, rest = prompt_of[key] or "", ""
            if not prompt or whole is None:
                fault = TEMPLATE_FAILED
            elif not whole.startswith(prompt):
                fault = BOUNDARY
            else:
                rest = whole[len(prompt) :]
                fault = SOUND if _is_in(answer[0], rest) else TEXT_LOST
            prompts.append(prompt)
            answers.append(rest)
            faults.append(fault)
        return prompts, answers, faults

    def _render(self, conversations: list[Any], tools: list[str], **options: Any) -> list[str | None]:
        """Each conversation as the template puts it; None where it refuses."""
        found: list[str | None] = [None] * len(conversations)
        for offered in dict.fromkeys(tools):
            own = [number for number, one in enumerate(tools) if one == offered]
            options["tools"] = orjson.loads(offered) or None
            for number, text in zip(own, self._render_alike([conversations[n] for n in own], options), strict=True):
                found[number] = text
        return found

    def _render_alike(self, conversations: list[Any], options: dict[str, Any]) -> list[str | None]:
        try:
            made: list[str | None] = self._tokenizer.apply_chat_template(conversations, tokenize=False, **options)
        except ImportError as error:
            raise ConfigError(f"the chat template cannot be rendered: {error}") from error
        except Exception as error:  # noqa: BLE001 - a template is somebody's program: it refuses whatever it likes
            if len(conversations) == 1:
                if not self._refused:
                    self._refused = True
                    logger.warning("the chat template refuses a conversation, perhaps more: %.500s", error)
                return [None]
            return [text for one in conversations for text in self._render_alike([one], options)]
        return made

    def _ids_once(self, texts: list[str]) -> dict[str, list[int]]:
        """The ids of every text: those of a prompt with many answers are found once."""
        different = list(dict.fromkeys(texts))
        return dict(zip(different, self._ids(different), strict=True))

    def _continued(self, texts: Sequence[str]) -> list[list[int]]:
        """The ids of texts that go on from another one."""
        found: list[list[int]] = [[] for _ in texts]
        left = list(range(len(texts)))
        for mark, head in self._marks:
            ids = self._ids([mark + texts[number] for number in left])
            melted = []
            for number, one in zip(left, ids, strict=True):
                if one[: len(head)] == head:
                    found[number] = one[len(head) :]
                else:
                    melted.append(number)
            left = melted
        return found

    def _ids(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        if not texts:
            return []
        fast = self._fast
        if fast is not None and fast.truncation is None and fast.padding is None:  # somebody may set them meanwhile
            return [one.ids for one in fast.encode_batch_fast(list(texts), add_special_tokens=special)]
        found = self._tokenizer(
            list(texts),
            add_special_tokens=special,
            return_attention_mask=False,
            padding=False,
            truncation=False,
            verbose=False,
        )
        ids: list[list[int]] = found["input_ids"]
        return ids

    def _without_offsets(self) -> Any:
        """The tokenizer in Rust, where it gives the same ids without finding where each token stands in the text."""
        fast = getattr(self._tokenizer, "backend_tokenizer", None)
        if not hasattr(fast, "encode_batch_fast"):
            return None
        before = self._ids(_PROBES), self._ids(_PROBES, special=True)
        self._fast = fast
        return fast if before == (self._ids(_PROBES), self._ids(_PROBES, special=True)) else None

    def _begins_with(self) -> int | None:
        """The token that the tokenizer puts before a text."""
        bos = self._tokenizer.bos_token_id
        return bos if bos is not None and self._ids(["a"], special=True)[0][:1] == [bos] else None

    def _needed_marks(self) -> list[tuple[str, list[int]]]:
        """Marks and their ids, where a text that stands alone is tokenised as if a space stood before it.

        SentencePiece does so. Behind the last of them, which is none, a text is taken as it is.
        """
        found: list[tuple[str, list[int]]] = []
        for text in _MARKS:
            mark, alone, together = self._ids([text, "a", text + "a"])
            is_known = getattr(self._tokenizer, "unk_token_id", None) not in mark
            if is_known and together != mark + alone and together[: len(mark)] == mark:
                found.append((text, mark))
        return [*found, ("", [])]


def _for_template(message: dict[str, Any]) -> dict[str, Any]:
    """A message as templates expect it: arguments of a call as an object, where they are one."""
    if "tool_calls" not in message:
        return message
    calls = []
    for call in message["tool_calls"]:
        function = dict(call["function"])
        try:
            arguments = orjson.loads(function["arguments"])
        except orjson.JSONDecodeError:
            arguments = None
        if isinstance(arguments, dict):
            function["arguments"] = arguments
        calls.append({**call, "function": function})
    return {**message, "tool_calls": calls}


def _is_in(message: dict[str, Any], rendered: str) -> bool:
    """Whether a rendering holds what a message says; a template may take white space away around it."""
    names = [call["function"]["name"] for call in message.get("tool_calls", ())]
    return all(text in rendered for text in (message["content"].strip(), *names))


def _ragged(lists: list[list[int]]) -> Ragged:
    ends = np.zeros(len(lists) + 1, np.int64)
    np.cumsum([len(one) for one in lists], out=ends[1:])
    ids = np.fromiter(chain.from_iterable(lists), np.int32, int(ends[-1]))
    return Ragged(ids, ends)
