"""From samples to batches of tokens: ours, beside the preparation that TRL's trainer makes of the same rows."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from bench.corpus import FORMATS
from bench.measure import paired, ratio, spread
from bench.report import Goal, Section, Table, number, shown
from ktoformats import KTODataConfig, KTODataLoader

if TYPE_CHECKING:
    from pathlib import Path

    from bench.settings import Settings
    from ktoformats.train.dataset import KTODataset

BATCH: Final = 8
LONGEST: Final = 1024
OURS: Final = "tokens, plan, batches"
TRL: Final = "TRL's preparation"
TRL_BATCHES: Final = "TRL's preparation and batches"
_TEMPLATE: Final = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_tokenizer(texts: list[str]) -> Any:
    """A byte-level BPE of 8,000 tokens, trained on these texts, with a chat template."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=8000,
        special_tokens=["<|im_start|>", "<|im_end|>", "<|pad|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    raw.train_from_iterator(texts, trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=raw, eos_token="<|im_end|>", pad_token="<|pad|>")
    made.chat_template = _TEMPLATE
    return made


def _ours(config: KTODataConfig, tokenizer: Any, view: Any, style: Any, _: Path) -> int:
    loader = KTODataLoader(config, tokenizer, enable_cache=False)
    loader.views["train"] = view  # what is measured begins with the samples
    return sum(len(batch["label"]) for batch in loader.dataloader("train", BATCH, style=style))


def _trl(trainer: Any, rows: Any, cache: list[Any], folder: Path, *, batches: bool) -> int:
    import datasets

    path = str(folder / "rows.arrow")
    rows = datasets.Dataset(rows.data, fingerprint=path.replace("/", "-"))  # nothing is taken from an earlier run
    made = trainer._prepare_dataset(rows, trainer.processing_class, trainer.args, "train")
    if batches:
        made = made.select_columns(["prompt_ids", "completion_ids", "KL_completion_ids", "label"])
        for start in range(0, len(made), BATCH):
            trainer.data_collator([made[row] for row in range(start, min(start + BATCH, len(made)))])
    cache.append(len(made))
    return len(made)


def _trainer(settings: Settings, tokenizer: Any, rows: Any) -> Any:
    """TRL's trainer on a tiny model, as its users make it; it prepares a few rows."""
    from transformers import LlamaConfig, LlamaForCausalLM
    from trl import KTOConfig, KTOTrainer

    folder = str(settings.scratch / "tiny-model")
    LlamaForCausalLM(
        LlamaConfig(vocab_size=8000, hidden_size=16, intermediate_size=32, num_hidden_layers=1, num_attention_heads=2)
    ).save_pretrained(folder)
    args = KTOConfig(
        output_dir=str(settings.scratch / "trl"), per_device_train_batch_size=BATCH, max_length=LONGEST,
        report_to=[], use_cpu=True, bf16=False, disable_tqdm=True, gradient_checkpointing=False,
    )  # fmt: skip
    few = rows.select(range(2 * BATCH))
    return KTOTrainer(model=folder, args=args, train_dataset=few, processing_class=tokenizer)


def _samples(settings: Settings, language: str) -> tuple[KTODataConfig, KTODataset, Any]:
    source = settings.corpora.file(FORMATS, language, settings.token_rows)
    config = KTODataConfig(
        train_file=source, balance_labels=False, min_samples_per_label=1, max_tokens=LONGEST, quality="specification"
    )
    loader = KTODataLoader(config, enable_cache=False)
    return config, loader.load_dataset("train"), loader.views["train"]


def tokens(settings: Settings) -> Section:
    """Tokens, plan and batches, by TRL and by us."""
    rows, goals = [], []
    for language in ("Arabic", "English"):
        config, samples, view = _samples(settings, language)
        tokenizer = make_tokenizer([one["prompt"] + one["response"] for one in samples])
        for style in ("standard", "conversational"):
            plan = KTODataLoader(config, enable_cache=False)
            plan.views["train"] = view
            given = samples.to_trl(style, plan.plan("train", BATCH, partners="batch"))
            trainer = _trainer(settings, tokenizer, given)
            kept: list[int] = []
            works = {
                OURS: partial(_ours, config, tokenizer, view, style),
                TRL: partial(_trl, trainer, given, kept, batches=False),
                TRL_BATCHES: partial(_trl, trainer, given, kept, batches=True),
            }
            seconds = paired(works, settings.repeat, settings.scratch)
            if set(kept) != {len(given)}:
                raise SystemExit(f"TRL kept {sorted(set(kept))} of {len(given)} rows")
            per_row = [number(spread(one).times(1e6 / len(given)).median) for one in seconds.values()]
            times = ratio(seconds[TRL], seconds[OURS])
            rows.append(
                (f"{language}, {style}", *per_row, shown(times), shown(ratio(seconds[TRL_BATCHES], seconds[OURS])))
            )
            goals.append(Goal(f"{language}, {style}: TRL's preparation / ours, batches included", False, 3, times))
    text = f"""
From samples in memory to padded batches of {BATCH}: ours tokenises, plans an epoch, and goes through the DataLoader.
TRL's `KTOTrainer` prepares the same rows (the same samples, in the plan's order) with the same tokenizer; the last column adds its
collator. One process each, and one thread for tokenising (`TOKENIZERS_PARALLELISM=false`). {number(settings.token_rows)}
records, microseconds for a row."""
    headings = ("rows", OURS, TRL, TRL_BATCHES, "TRL's preparation / ours", "with batches / ours")
    return Section("Tokens and batches", text, [Table(headings, rows)], goals)
