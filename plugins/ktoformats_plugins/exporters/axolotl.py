"""What axolotl reads for `rl: kto` (0.18.0): texts for one of its prompt strategies, and the lines of its config."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final, Literal

from ktoformats import Plugin, hookimpl
from ktoformats_plugins.exporters import _fit
from ktoformats_plugins.exporters._fit import ForTrainer
from ktoformats_plugins.exporters._plain import write_plain
from ktoformats_plugins.exporters._settings import epochs_of, yaml_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    import pyarrow as pa

    from ktoformats import Dropped, Written

_FILE: Final = "train.jsonl"


class Axolotl(ForTrainer):
    """A folder with `train.jsonl` and `axolotl.yaml`, for axolotl 0.18.0.

    Its KTO strategies read texts alone: given messages, they write them out as Python would. So earlier turns and
    tools are refused.
    """

    suffix: ClassVar[str] = ""
    folder: ClassVar[bool] = True
    settings_file: ClassVar[str] = "axolotl.yaml"

    strategy: Literal["chatml.ultra", "llama3.ultra"] = "chatml.ultra"
    """The chat template that axolotl writes around prompt and answer; it has these two for KTO."""

    def refuses(self, batch: pa.RecordBatch) -> Iterator[Dropped]:
        """All but one prompt and its answer, with a system text or without."""
        yield _fit.tools(batch)
        yield _fit.earlier_turns(batch)
        yield _fit.reasoning(batch)
        yield from _fit.empty(batch)

    def write(self, batches: Iterable[pa.RecordBatch], path: Path) -> dict[str, Any]:
        """Write all samples."""
        write_plain(batches, path / _FILE)
        return {}

    def settings(self, written: Written) -> str:
        """Lines of the config that `axolotl train` is given."""
        values = {
            "rl": "kto",
            "datasets": [{"path": f"{written.name}/{_FILE}", "split": "train", "type": self.strategy}],
            "kto_desirable_weight": written.desirable_weight,
            "kto_undesirable_weight": written.undesirable_weight,
            "remove_unused_columns": False,
            "sample_packing": False,
            "micro_batch_size": written.batch_size,
            "num_epochs": epochs_of(written),
            "sequence_len": written.max_tokens,
        }
        return yaml_lines(values, "axolotl; path is the way to the file from where it runs")


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    return [Axolotl]
