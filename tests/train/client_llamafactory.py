"""What LLaMA-Factory makes of exported folders: `python client_llamafactory.py FOLDER...`, one JSON object on stdout.

Each folder goes through its own `get_dataset` for `stage: kto`: the entry of `dataset_info.json`, the converter of the
layout, the feedback processor. For every row that it would train on, its label and the answer that it learns.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "DISABLE_VERSION_CHECK": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
}
IGNORED = -100


def make_model(folder: Path) -> None:
    """A tokenizer of bytes, which gives every text back as it was, and the configuration of a tiny model."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import LlamaConfig, PreTrainedTokenizerFast

    letters = {letter: number for number, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    made = Tokenizer(models.BPE(vocab=letters, merges=[]))
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    made.decoder = decoders.ByteLevel()
    special = ["<|im_start|>", "<|im_end|>", "<|pad|>"]
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=made, eos_token="<|im_end|>", pad_token="<|pad|>", additional_special_tokens=special[:1]
    )
    tokenizer.save_pretrained(folder)
    LlamaConfig(hidden_size=8, num_attention_heads=2, vocab_size=len(tokenizer)).save_pretrained(folder)


def rows_of(folder: str, work: Path) -> list[dict[str, Any]]:
    """The rows that it would train on."""
    from llamafactory.data import get_dataset, get_template_and_fix_tokenizer  # type: ignore[import-not-found]
    from llamafactory.hparams import get_train_args  # type: ignore[import-not-found]
    from llamafactory.model import load_tokenizer  # type: ignore[import-not-found]

    said = {
        "stage": "kto",
        "do_train": True,
        "finetuning_type": "full",
        "template": "chatml",
        "report_to": "none",
        "model_name_or_path": str(work / "model"),
        "output_dir": str(work / "out"),
        "cache_dir": str(work / "cache"),
        "dataset_dir": folder,
        "dataset": "kto",
        "cutoff_len": 1 << 20,
        "overwrite_cache": True,
        "preprocessing_num_workers": 1,
        "use_cpu": True,
        "bf16": False,
    }
    model_args, data_args, training_args, _, _ = get_train_args(said)
    loaded = load_tokenizer(model_args)
    template = get_template_and_fix_tokenizer(loaded["tokenizer"], data_args)
    made = get_dataset(template, model_args, data_args, training_args, stage="kto", **loaded)["train_dataset"]
    rows = []
    for labels, tag in zip(made["labels"], made["kto_tags"], strict=True):
        learned = [one for one in labels if one != IGNORED]
        answer = loaded["tokenizer"].decode(learned, clean_up_tokenization_spaces=False)
        rows.append({"label": bool(tag), "answer": answer.removesuffix("\n").removesuffix("<|im_end|>")})
    return rows


def main() -> None:
    """Read every folder that is named."""
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as name:
        make_model(Path(name) / "model")
        told = {folder: rows_of(folder, Path(name)) for folder in sys.argv[1:]}
    print(json.dumps(told))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
