"""TRL's KTOTrainer, run on what we hand over: its batches and KL partners are the plan's."""

from __future__ import annotations

import json
import math
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from ktoformats import KTODataConfig, KTODataLoader, PlanTerms, Registry, Training, loss_weights
from ktoformats.train.dataset import KTODataset
from ktoformats.train.encode import Encoder
from ktoformats.train.export import export
from ktoformats.train.fit import Limits
from ktoformats.train.lineup import Wanted, line_up
from ktoformats.train.tokens import Tokens

if TYPE_CHECKING:
    from ktoformats import Exporter
    from ktoformats.store.view import View

SCRIPT: Final = Path(__file__).with_name("trl_script.py")
CHATML: Final = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPECIAL: Final = ("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>")
MOST: Final = 96
REFUSAL: Final = "I cannot help with that."


def english() -> list[dict[str, Any]]:
    """Pairs, prompts with many answers, refusals that are equal, and one that is too long."""
    rows: list[dict[str, Any]] = []
    for number in range(60):
        question = [{"role": "user", "content": f"Question {number}: how far is the {number}th star from here?"}]
        if number % 3 == 0:
            question = [{"role": "system", "content": "Be brief."}, *question]
        good = f"About {number * 7} light years, as the parallax of {number} tells."
        for label, answer in ((True, good), (False, REFUSAL if number % 4 == 0 else f"Far, {number} times far.")):
            rows.append({"messages": [*question, {"role": "assistant", "content": answer}], "label": label})
    long = [{"role": "user", "content": "Tell all. " * 80}, {"role": "assistant", "content": "No."}]
    return [*rows, {"messages": long, "label": False}]


def arabic() -> list[dict[str, Any]]:
    """Graded answers, more bad ones than good."""
    return [
        {
            "prompt": f"السؤال {number // 4}: ما عاصمة البلد رقم {number // 4}؟",
            "response": f" المدينة رقم {number} تقع شمال النهر.",
            "تقييم": "ممتاز" if number % 4 == 0 else "ضعيف",
        }
        for number in range(96)
    ]


class Case(NamedTuple):
    """A file, and how TRL is to train on it."""

    rows: list[dict[str, Any]]
    style: str
    batch_size: int
    world_size: int = 1
    streaming: bool = False
    epochs: int = 1
    exporter: str = "trl"

    @property
    def form(self) -> str:
        """What kind of file is written."""
        return "parquet" if self.exporter == "trl-tokenized" else "json"


CASES: Final = {
    "conversational on two ranks": Case(english(), "conversational", 4, world_size=2),
    "Arabic, standard, two epochs": Case(arabic(), "standard", 6, epochs=2),
    "conversational, streaming": Case(english(), "conversational", 8, streaming=True),
    "tokens, partners from anywhere": Case(english(), "conversational", 4, exporter="trl-tokenized"),
}


def make_model(folder: Path, texts: list[str]) -> Any:
    """A byte-level tokenizer and a tiny model, saved to a folder; the tokenizer is returned."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=list(SPECIAL), initial_alphabet=alphabet, show_progress=False
    )
    raw.train_from_iterator(texts, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|pad|>")
    tokenizer.chat_template = CHATML
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2,
        num_key_value_heads=2, max_position_embeddings=512, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return tokenizer


def free_port() -> str:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return str(one.getsockname()[1])


def run_trl(job: dict[str, Any], folder: Path, ranks: int) -> list[dict[str, Any]]:
    """What each rank of TRL tells."""
    path = folder / "job.json"
    path.write_text(json.dumps(job), encoding="utf-8")
    port = free_port()
    started = []
    for rank in range(ranks):
        told = {
            "RANK": rank,
            "LOCAL_RANK": rank,
            "WORLD_SIZE": ranks,
            "MASTER_ADDR": "127.0.0.1",
            "MASTER_PORT": port,
        }
        env = os.environ | ({name: str(value) for name, value in told.items()} if ranks > 1 else {})
        env |= {"ACCELERATE_USE_CPU": "true"}
        started.append(
            subprocess.Popen([sys.executable, str(SCRIPT), str(path)], env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        )  # fmt: skip
    for one in started:
        said, _ = one.communicate(timeout=240)
        assert one.returncode == 0, said[-3000:]
    return [json.loads(path.with_suffix(f".{rank}.answer").read_text(encoding="utf-8")) for rank in range(ranks)]


@pytest.mark.timeout(280)
@pytest.mark.parametrize("name", CASES)
def test_trl_trains_on_the_batches_and_partners_of_the_plan(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    source = tmp_path / "feedback.jsonl"
    source.write_text("\n".join(map(json.dumps, case.rows)), encoding="utf-8")
    texts = [json.dumps(row, ensure_ascii=False) for row in case.rows]
    tokenizer = make_model(tmp_path / "model", texts)
    config = KTODataConfig(train_file=str(source), balance_labels=False, min_samples_per_label=1)
    loader = KTODataLoader(config, enable_cache=False)
    loader.load_dataset()
    view, report = loader.views["train"], loader.report
    options = {"style": case.style} if case.form == "json" else {}
    exporter: Exporter = Registry().make("exporter", case.exporter, options, {})  # type: ignore[assignment]
    if case.style == "standard":
        tokenizer.chat_template = None
    wanted = Wanted(case.batch_size, case.world_size, case.epochs, tokenizer)
    planned = line_up(view, exporter, case.exporter, wanted, Limits(max_tokens=MOST, truncate_prompt="drop"))
    written = export(view, report, exporter, case.exporter, tmp_path / f"train.{case.form}", planned=planned)
    rows = planned.rows
    global_batch = case.batch_size * case.world_size
    assert len(rows) % global_batch == 0
    good = int(view.samples.good[rows].sum())
    weights = loss_weights(good, len(rows) - good)
    assert weights is not None
    job = {
        "file": str(tmp_path / f"train.{case.form}"),
        "form": case.form,
        "cache": str(tmp_path / "cache"),
        "model": str(tmp_path / "model"),
        "out": str(tmp_path / "out"),
        "streaming": case.streaming,
        "steps": len(rows) // global_batch,
        "settings": {"per_device_train_batch_size": case.batch_size, "max_length": MOST, **weights},
    }
    answers = run_trl(job, tmp_path, case.world_size)

    # what our own tokens say of the same rows
    training = loader_tokens(view, tokenizer)
    strangers = partners_of(view, case, training.tokens)
    for rank, answer in enumerate(answers):
        assert answer["rows"] == answer["held"] == len(rows) == written["rows"]
        assert not [text for text in answer["warnings"] if is_ours_to_prevent(text)]
        assert len(answer["losses"]) == 2
        assert all(math.isfinite(loss) for loss in answer["losses"])
        assert len(answer["batches"]) == job["steps"]
        for step, batch in enumerate(answer["batches"]):
            start = (step * case.world_size + rank) * case.batch_size
            own = rows[start : start + case.batch_size].tolist()
            partners = strangers[start : start + case.batch_size] if strangers else [own[-1], *own[:-1]]
            assert batch["label"] == view.samples.good[own].tolist()
            assert batch[""] == [training.ids(one, one) for one in own]
            assert batch["KL_"] == [training.ids(one, other)[:MOST] for one, other in zip(own, partners, strict=True)]
            asked, answer_hash = view.samples.numbers("asked"), view.samples.numbers("answer")
            for one, other in zip(own, partners, strict=True):
                assert asked[one] != asked[other]
                assert answer_hash[one] != answer_hash[other]
            assert len(set(batch["label"])) == 2


def partners_of(view: View, case: Case, tokens: Tokens) -> list[int]:
    """The rows of the KL partners, where they are not the trainer's choice."""
    if case.form == "json":
        return []
    training = Training(KTODataset(view), tokens, Limits(max_tokens=MOST, truncate_prompt="drop"))
    plan = training.plan(PlanTerms(case.batch_size, case.world_size, 42))
    rows: list[int] = training.dataset.rows[plan.partner].tolist()
    return rows


class Ids(NamedTuple):
    """Our tokens, row by row."""

    tokens: Tokens

    def ids(self, row: int, partner: int) -> list[int]:
        """A prompt with an answer."""
        found: list[int] = [*self.tokens.prompt(row).tolist(), *self.tokens.answer(partner).tolist()]
        return found


def loader_tokens(view: View, tokenizer: Any) -> Ids:
    return Ids(Tokens(view.samples, Encoder(tokenizer)))


def is_ours_to_prevent(warning: str) -> bool:
    return any(
        part in warning for part in ("desirable", "Mismatch", "prefix", "EOS", "BOS", "longer than", "truncat")
    )
