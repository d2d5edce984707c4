"""Tokenizers that are made on the spot, and functions of TRL without an import of TRL, which takes ten seconds."""

from __future__ import annotations

import ast
import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import pytest
import torch

from ktoformats import KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

CHATML: Final = (
    "{% if tools %}<|im_start|>tools\n{{ tools | tojson }}<|im_end|>\n{% endif %}"
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}"
    "{% for c in m.tool_calls or [] %}<tool_call>{{ c.function.name }} {{ c.function.arguments | tojson }}</tool_call>"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>", "<s>", "</s>", "<unk>")
CORPUS: Final = (
    "Why is the sky blue? Air scatters short wavelengths more than long ones. It reflects the sea.",
    "I cannot help with that. Name a prime number. Seven. Nine. The answer to question number 12 is 34.",
    "user assistant system What is the capital of France? Paris is the capital of France, and a city of two million.",
    "ما عاصمة مصر؟ القاهرة هي عاصمة مصر. لا أستطيع المساعدة في ذلك. سؤال وجواب",
    "def add(a, b):\n    return a + b\n\n\nprint(add(1, 2))\n",
)


@cache
def _trained(kind: str) -> str:
    from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

    special = list(SPECIAL)
    if kind == "bytes":
        raw = Tokenizer(models.BPE())
        raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        raw.decoder = decoders.ByteLevel()
        alphabet = pre_tokenizers.ByteLevel.alphabet()
    else:  # as SentencePiece: white space is a letter, and one stands before the text
        raw = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
        if kind == "metaspace":
            raw.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
        else:
            raw.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
        raw.decoder = decoders.Sequence(
            [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
        )
        special += [f"<0x{byte:02X}>" for byte in range(256)]
        alphabet = ["▁", *map(chr, range(33, 127))]
    trainer = trainers.BpeTrainer(
        vocab_size=len(special) + len(alphabet) + 300, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )  # fmt: skip
    raw.train_from_iterator([*CORPUS * 2], trainer)
    made = json.loads(raw.to_str())
    made["added_tokens"] = [
        one for one in made["added_tokens"] if one["content"] in SPECIAL
    ]  # bytes are plain tokens
    return json.dumps(made)


def make_tokenizer(kind: str = "bytes", *, template: str | None = None, adds: str = "", **options: Any) -> Any:
    """A new fast tokenizer.

    Args:
        kind: `bytes` (byte-level BPE), `metaspace` or `prepend` (as SentencePiece does, by two ways).
        template: Its chat template.
        adds: `begin` or `both`: its post-processor puts the begin token before a text, and the end token behind it.
        options: Of the tokenizer, such as another `eos_token`.
    """
    from tokenizers import Tokenizer, processors
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer.from_str(_trained(kind))
    if adds:
        tokens = [(name, raw.token_to_id(name)) for name in ("<s>", "</s>")]
        single = "<s> $A </s>" if adds == "both" else "<s> $A"
        raw.post_processor = processors.TemplateProcessing(single=single, pair=f"{single} $B", special_tokens=tokens)
    own = {"eos_token": "<|im_end|>", "pad_token": "<|pad|>"} | ({"bos_token": "<s>"} if adds else {}) | options
    made = PreTrainedTokenizerFast(
        tokenizer_object=raw, **{name: one for name, one in own.items() if one is not None}
    )
    made.chat_template = template
    return made


@pytest.fixture(scope="session")
def tokenizer_of() -> Callable[..., Any]:
    """`make_tokenizer`."""
    return make_tokenizer


@pytest.fixture(scope="session")
def chatml() -> str:
    """A chat template with tools and tool calls."""
    return CHATML


@pytest.fixture(scope="session")
def loader_of() -> Callable[..., KTODataLoader]:
    """A loader that has loaded records from memory, and asks nothing of them."""

    def make(records: Iterable[Any], tokenizer: Any = None, **options: Any) -> KTODataLoader:
        values = {"balance_labels": False, "min_samples_per_label": 0, "require_both_labels": False} | options
        loader = KTODataLoader(KTODataConfig(train_file="none.jsonl", **values), tokenizer, enable_cache=False)
        loader.load_records(records)
        return loader

    return make


@pytest.fixture(scope="session")
def table_of(loader_of: Callable[..., KTODataLoader]) -> Callable[..., Any]:
    """Records as a table of samples."""

    def make(records: Iterable[Any], **options: Any) -> Any:
        samples = loader_of(records, **options).views["train"].samples
        return samples.take(np.arange(len(samples)))

    return make


@pytest.fixture(scope="session")
def of_trl() -> Callable[[str, str], Any]:
    """A function or class of the TRL that is installed, by the file's and its own name, from its source."""

    @cache
    def find(file: str, name: str) -> Any:
        spec = importlib.util.find_spec("trl")
        assert spec is not None
        assert spec.submodule_search_locations
        tree = ast.parse((Path(spec.submodule_search_locations[0]) / file).read_text(encoding="utf-8"))
        [found] = [
            node
            for node in ast.walk(tree)
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and node.name == name
        ]  # fmt: skip
        known: dict[str, Any] = {"torch": torch, "np": np, "Any": Any, "DataCollatorMixin": object}
        if isinstance(found, ast.ClassDef):
            from dataclasses import dataclass

            known |= {"dataclass": dataclass, "pad": find("trainer/utils.py", "pad"), "__name__": "trl_source"}
        code = compile(ast.Module([found], []), file, "exec", dont_inherit=True)
        exec(code, known)  # noqa: S102 - TRL's own code, as it is installed
        return known[name]

    return find
