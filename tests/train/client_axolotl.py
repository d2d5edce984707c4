"""What axolotl makes of exported folders: `python client_axolotl.py FOLDER...`, one JSON object on stdout.

Each folder's `axolotl.yaml` names a strategy, which axolotl's own `kto.load` finds and which is mapped over the rows as
`axolotl.utils.data.rl` maps it. For every row that it would train on, its label, the prompt and the answer.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

os.environ |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "CUDA_VISIBLE_DEVICES": ""}


def rows_of(folder: Path, cache: str) -> list[dict[str, Any]]:
    """The rows that it would train on."""
    import datasets
    import yaml
    from axolotl.prompt_strategies.kto import load  # type: ignore[import-not-found]
    from axolotl.utils.dict import DictDefault  # type: ignore[import-not-found]

    config: Any = DictDefault(yaml.safe_load((folder / "axolotl.yaml").read_text(encoding="utf-8")))
    [said] = config.datasets
    strategy = load(said["type"], config, dataset_idx=0)
    if strategy is None:
        raise SystemExit(f"axolotl has no strategy {said['type']!r}")
    path = str(folder / Path(said["path"]).name)
    made: Any = datasets.load_dataset("json", data_files=path, split=said["split"], cache_dir=cache).map(strategy)
    for row in made:
        # what `_drop_long_sequences` there refuses; a length limit is nobody's here
        if not (row["prompt"] and row["completion"]):
            raise SystemExit("Prompt and completion keys are required for KTO datasets")
    return [{"label": row["label"], "prompt": row["prompt"], "answer": row["completion"]} for row in made]


def main() -> None:
    """Read every folder that is named."""
    with redirect_stdout(sys.stderr), tempfile.TemporaryDirectory() as cache:
        told = {folder: rows_of(Path(folder), cache) for folder in sys.argv[1:]}
    print(json.dumps(told))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
