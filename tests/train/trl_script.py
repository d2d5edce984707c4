"""What TRL's KTOTrainer makes of a file: `python trl_script.py JOB`, a JSON file; the answer is written beside it.

Loads the file as TRL's users do, trains two steps, and tells what the trainer dropped, what it warned of, and every
batch that its own dataloader gives this rank.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import warnings
from pathlib import Path
from typing import Any

os.environ |= {
    "HF_HUB_OFFLINE": "1",
    "HF_DATASETS_DISABLE_PROGRESS_BARS": "1",
    "TRL_EXPERIMENTAL_SILENCE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "CUDA_VISIBLE_DEVICES": "",
}


class Heard(logging.Handler):
    """Keeps what is warned of."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.said: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.said.append(f"{record.name}: {record.getMessage()}")


def main() -> None:
    """Run the job."""
    path = Path(sys.argv[1])
    job: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    heard = Heard()
    logging.captureWarnings(capture=True)
    warnings.simplefilter("default")

    import datasets
    import torch
    from transformers import AutoTokenizer
    from trl import KTOConfig, KTOTrainer

    class Tokenized(KTOTrainer):  # type: ignore[misc]
        """As the exporter of tokens shows it."""

        def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
            return dataset

    torch.set_num_threads(1)
    data: Any = datasets.load_dataset(job["form"], data_files=job["file"], split="train", cache_dir=job["cache"])
    rows = len(data)
    if job["streaming"]:
        data = data.to_iterable_dataset()
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    settings = KTOConfig(output_dir=job["out"], max_steps=2, logging_steps=1, report_to=[], use_cpu=True, bf16=False, disable_tqdm=True,
                         save_strategy="no", gradient_checkpointing=False, **job["settings"])  # fmt: skip
    for name in (None, "transformers", "trl", "datasets", "py.warnings"):
        logging.getLogger(name).addHandler(heard)
    kind = Tokenized if job["form"] == "parquet" else KTOTrainer
    trainer = kind(model=job["model"], args=settings, train_dataset=data, processing_class=tokenizer)
    held = rows if job["streaming"] else len(trainer.train_dataset)
    batches = []
    for number, batch in enumerate(trainer.get_train_dataloader()):
        if number == job["steps"]:
            break
        batches.append(
            {
                name: [
                    [token for token, real in zip(*pair, strict=True) if real]
                    for pair in zip(
                        batch[f"{name}input_ids"].tolist(), batch[f"{name}attention_mask"].tolist(), strict=True
                    )
                ]
                for name in ("", "KL_")
            }
            | {"label": [bool(label) for label in batch["label"].tolist()]}
        )
    trainer.train()
    losses = [one["loss"] for one in trainer.state.log_history if "loss" in one]
    answer = {"rows": rows, "held": held, "batches": batches, "warnings": heard.said, "losses": losses}
    path.with_suffix(f".{os.environ.get('RANK', '0')}.answer").write_text(json.dumps(answer), encoding="utf-8")


if __name__ == "__main__":
    main()
