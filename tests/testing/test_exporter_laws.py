"""The kit reads folders, tokens and compressed files back, and lets an exporter refuse what its form cannot hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from ktoformats.testing.law import LAWS, tried

if TYPE_CHECKING:
    from collections.abc import Callable

    from ktoformats.testing import Subject

    Plant = Callable[..., Subject]

FOLDER: Final = '''
class Mine(Exporter):
    """A folder of lines, and what they are."""
    suffix = ""
    folder = True
    def refuses(self, batch):
        yield Dropped("tools", np.array([bool(text) for text in batch.column("tool_calls").to_pylist()]))
    def write(self, batches, path):
        rows = [{"q": s["prompt"], "a": s["response"], "ok": s["label"]} for b in batches for s in b.to_pylist()]
        (path / "data").mkdir()
        for number in range(0, len(rows), 40):
            lines = [json.dumps(row) + "\\n" for row in rows[number:number + 40]]
            (path / "data" / f"{number:05}.jsonl").write_text("".join(lines))
        (path / "about.json").write_text(json.dumps({"rows": len(rows)}))
        return {}
'''
PACKED: Final = '''
class Mine(Exporter):
    """Lines, gzipped."""
    suffix = ".jsonl"
    @property
    def ending(self):
        return ".jsonl.gz"
    def write(self, batches, path):
        rows = [(s["prompt"], s["response"], s["label"]) for b in batches for s in b.to_pylist()]
        path.write_bytes(gzip.compress("".join(json.dumps(row) + "\\n" for row in rows).encode(), mtime=0))
        return {}
'''
TOKENS: Final = '''
class Mine(Exporter):
    """Ids and a label."""
    suffix = ".parquet"
    tokens = True
    def write(self, batches, path):
        table = pa.Table.from_batches(list(batches)) if list(batches) else pa.table({"label": pa.array([], pa.string())})
        pq.write_table(table.select([n for n in table.column_names if n.endswith("_ids") or n == "label"]), path)
        return {}
'''


@pytest.mark.parametrize("source", [FOLDER, PACKED, TOKENS], ids=["a folder", "a compressed file", "tokens"])
def test_what_holds_the_laws_is_told_so(source: str, plant: Plant) -> None:
    subject = plant("exporter", source)
    for law in ("complete", "labels", "batches", "deterministic"):
        verdict = tried(LAWS[law], subject)
        assert verdict.state == "holds", verdict.message


BROKEN: Final = {
    "it loses the last row of a folder": (FOLDER.replace("number + 40]", "number + 39]"), "complete", "write each"),
    "it writes beside its folder": (
        FOLDER.replace('(path / "about.json")', 'path.with_name("about.json")'),
        "complete",
        "it also writes 'mine/about.json'",
    ),
    "it makes a file of its folder": (
        FOLDER.replace('(path / "data").mkdir()', 'path.rmdir(); path.write_text("x"); return {}'),
        "complete",
        "there is no folder with files at the path",
    ),
    "its folder is empty": (
        FOLDER.replace('(path / "data").mkdir()', "return {}"),
        "complete",
        "no folder with files",
    ),
    "it refuses nearly all": (
        FOLDER.replace("bool(text)", "not text"),
        "complete",
        r"it refuses \d+ of \d+ samples.*refuse what the form cannot hold",
    ),
    "it forgets labels in a folder": (FOLDER.replace(', "ok": s["label"]', ""), "labels", "write the label"),
    "its settings are no text": (
        FOLDER + "    def settings(self, written):\n        return {'lr': 1}\n",
        "complete",
        "settings returns .*return a text",
    ),
    "its settings need a batch size": (
        FOLDER + "    def settings(self, written):\n        return f'{written.batch_size:d}'\n",
        "complete",
        "TypeError",
    ),
    "it mixes tokens up": (
        TOKENS.replace("list(batches) else", "list(batches) else", 1).replace(
            "pa.Table.from_batches(list(batches))",
            "pa.Table.from_batches(list(batches)).drop(['KL_completion_ids'])",
        ),
        "complete",
        "does not hold KL_completion_ids of sample 0",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_what_breaks_a_law_is_told_what_to_change(name: str, plant: Plant) -> None:
    source, law, says = BROKEN[name]
    verdict = tried(LAWS[law], plant("exporter", source))
    assert verdict.state == "broken"
    with pytest.raises(AssertionError, match=says):
        raise AssertionError(verdict.message)


def test_a_folder_of_files_that_nobody_reads_is_left_open(plant: Plant) -> None:
    source = FOLDER.replace(".jsonl", ".lines").replace("about.json", "about.txt")
    verdict = tried(LAWS["complete"], plant("exporter", source))
    assert verdict.state == "open"
    assert "override `read_back(self, data)`" in verdict.message
