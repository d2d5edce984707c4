"""The real readers of what is exported: LLaMA-Factory and axolotl, each in an environment of its own.

They want versions of torch's company that this environment has not, so they are installed beside it: minutes of work,
and left out unless asked for with `-m campaign`. KTOFORMATS_CLIENTS names a folder to keep the environments in.
"""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sysconfig
import venv
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import pytest

from ktoformats import KTODataConfig, KTODataLoader, Registry
from ktoformats.train.export import export

if TYPE_CHECKING:
    from ktoformats import Exporter

    Rows = list[dict[str, Any]]

pytestmark = [pytest.mark.campaign, pytest.mark.timeout(3600), pytest.mark.xdist_group("clients")]

FIXTURES: Final = Path(__file__).parents[1] / "fixtures"
KEPT: Final = "KTOFORMATS_CLIENTS"


class Client(NamedTuple):
    """Somebody's trainer: what to install, and the script that asks it."""

    name: str
    needs: tuple[str, ...]
    """What it imports on the way to its rows; all that it declares would be a hundred packages more."""
    alone: str
    """The client itself, without what it declares."""
    stands_in: str = ""
    """A module that it imports and never calls for texts."""


LLAMAFACTORY: Final = Client(
    "llamafactory",
    (
        *("torch==2.13.0", "transformers==4.57.6", "trl==0.24.0", "datasets==4.0.0", "accelerate==1.11.0"),
        *("peft==0.18.1", "omegaconf==2.3.0"),
    ),
    "llamafactory==0.9.5",
    stands_in="torchaudio",
)
AXOLOTL: Final = Client(
    "axolotl",
    ("torch==2.13.0", "transformers==5.14.1", "trl==1.8.0", "datasets==4.8.4", "colorama", "addict"),
    "axolotl==0.18.0",
)


@pytest.fixture(scope="module")
def houses(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where environments are made, or were."""
    kept = os.environ.get(KEPT)
    return Path(kept) if kept else tmp_path_factory.mktemp("clients")


def python_of(client: Client, houses: Path) -> Path:
    """The interpreter of a client's environment, which is made unless it is there as it should be."""
    home = houses / client.name
    python, made = home / "bin" / "python", home / "made.json"
    wanted = [*client.needs, client.alone]
    if made.exists() and json.loads(made.read_text(encoding="utf-8")) == wanted:
        return python
    venv.create(home, with_pip=True, clear=True, symlinks=True)
    for words in (client.needs, ("--no-deps", client.alone)):
        done = subprocess.run(
            [python, "-m", "pip", "install", "--quiet", *words], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
    if client.stands_in:
        site = sysconfig.get_path("purelib", scheme="venv", vars={"base": str(home), "platbase": str(home)})
        (Path(site) / f"{client.stands_in}.py").write_text('__version__ = "0"\n', encoding="utf-8")
    made.write_text(json.dumps(wanted), encoding="utf-8")
    return python


def told(client: Client, houses: Path, folders: list[Path]) -> list[Rows]:
    """What a client makes of each of these folders."""
    python = python_of(client, houses)
    script = Path(__file__).with_name(f"client_{client.name}.py")
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "KTOFORMATS_"))}
    done = subprocess.run(
        [python, script, *folders],
        env=clean | {"PYTHONUTF8": "1", "HF_HOME": str(houses / "hub")},
        cwd=houses,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    rows: dict[str, Rows] = json.loads(done.stdout.splitlines()[-1])
    return [rows[str(folder)] for folder in folders]


def conversations() -> Rows:
    """Conversations of several turns with a tag, as LLaMA-Factory ships them."""
    return list(
        json.loads(gzip.decompress((FIXTURES / "layouts" / "llamafactory_kto_messages.json.gz").read_bytes()))
    )


def trees() -> Rows:
    """Trees of messages, whose siblings are ranked."""
    text = gzip.decompress((FIXTURES / "layouts" / "oasst_trees_en.jsonl.gz").read_bytes()).decode()
    return [json.loads(line) for line in text.splitlines()]


def arabic() -> Rows:
    """Arabic answers in grades, some with what is easily lost at their ends and between their letters."""
    questions = json.loads((FIXTURES / "arabic" / "pico_saudi.json").read_text(encoding="utf-8"))["questions"]
    rows: Rows = []
    for number, one in enumerate(questions):
        for place, answer in enumerate(one["answers"].values()):
            text = answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
            ends = ("", "\u200f", " \n", "ـ\u064b")[(number + place) % 4]
            grade = "ممتاز" if place % 2 == 0 else "ضعيف"
            rows.append({"prompt": f"{one['question']}\u200d", "response": f"{text}{ends}", "تقييم": grade})
    return rows


SETS: Final = {"conversations": conversations, "trees": trees, "arabic": arabic}


def exported(folder: Path, exporter: str, **options: Any) -> list[Path]:
    """Every set, exported; what the form cannot hold is left out."""
    registry = Registry()
    made: list[Path] = []
    for name, rows in SETS.items():
        config = KTODataConfig(balance_labels=False, min_samples_per_label=0)
        loader = KTODataLoader(config, enable_cache=False, registry=registry)
        loader.load_records(rows())
        writer: Exporter = registry.make("exporter", exporter, {"unfit": "drop", **options}, {})  # type: ignore[assignment]
        export(loader.views["train"], loader.report, writer, exporter, folder / name)
        made.append(folder / name)
    return made


def written(folder: Path) -> Rows:
    """The rows of an exported folder: label and answer."""
    lines = (folder / "train.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    answers = [row["messages"][-1]["content"] if "messages" in row else row["completion"] for row in rows]
    return [{"label": row["label"], "answer": answer} for row, answer in zip(rows, answers, strict=True)]


def check_sets(folders: list[Path]) -> None:
    """There is something to keep in each, good and bad."""
    for folder in folders:
        rows = written(folder)
        assert len(rows) >= 16, folder
        assert {row["label"] for row in rows} == {True, False}
    assert any("\u064b" in row["answer"] for row in written(folders[-1]))


@pytest.mark.parametrize("layout", ["sharegpt", "alpaca"])
def test_llamafactory_keeps_every_row_and_its_label(layout: str, houses: Path, tmp_path: Path) -> None:
    folders = exported(tmp_path, "llamafactory", layout=layout)
    check_sets(folders)
    for folder, rows in zip(folders, told(LLAMAFACTORY, houses, folders), strict=True):
        assert rows == written(folder), folder.name


@pytest.mark.parametrize("strategy", ["chatml.ultra", "llama3.ultra"])
def test_axolotl_keeps_every_row_and_its_label(strategy: str, houses: Path, tmp_path: Path) -> None:
    folders = exported(tmp_path, "axolotl", strategy=strategy)
    check_sets(folders)
    end = "<|im_end|>" if strategy.startswith("chatml") else "<|eot_id|>"
    for folder, rows in zip(folders, told(AXOLOTL, houses, folders), strict=True):
        seen = [{"label": row["label"], "answer": row["answer"].removesuffix(end)} for row in rows]
        assert seen == written(folder), folder.name
        assert all(row["answer"].endswith(end) for row in rows)


def test_a_row_that_a_client_loses_or_turns_round_would_be_seen(houses: Path, tmp_path: Path) -> None:
    """The look at LLaMA-Factory can fail: an empty answer turns its label round, which is why none is written."""
    [folder, *_] = exported(tmp_path, "llamafactory", layout="sharegpt")
    path = folder / "train.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
    empty = json.loads(lines[0]) | {"label": True}
    empty["messages"][-1]["content"] = ""
    path.write_text("".join([json.dumps(empty) + "\n", *lines[1:]]), encoding="utf-8")
    [rows] = told(LLAMAFACTORY, houses, [folder])
    assert rows != written(folder)
