"""Every Python example of the specification runs as an unguarded script, with only its imports changed."""

from __future__ import annotations

import json
import random
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

TEXT = (Path(__file__).parents[1] / "fixtures" / "specification.md").read_text(encoding="utf-8")
TYPING = "from typing import Any, Dict\n"
PREAMBLES = {
    # an example that goes on from an earlier one gets that one's names, nothing else
    "Converting Pairwise to Binary": "from ktoformats import KTODataLoader, KTODataConfig\n",
    "Custom Label Processing": TYPING
    + "from ktoformats import KTODataLoader, KTODataConfig\n"
    + 'data_config = KTODataConfig(train_file="data/ratings.jsonl")\n',
    "Data Quality Analysis": "from ktoformats import KTODataLoader, KTOConfig\n"
    'config = KTOConfig.from_yaml("config/kto_config.yaml")\n',
    "Streaming Large Datasets": "from ktoformats import KTODataLoader, KTODataConfig\n",
    "Caching": "from ktoformats import KTODataLoader, KTOConfig\n"
    'config = KTOConfig.from_yaml("config/kto_config.yaml")\n',
    "Memory Optimization": "from ktoformats import KTODataLoader, KTODataConfig\n",
    "KTO-Specific Errors": "from ktoformats import KTODataLoader, KTOConfig\n"
    'config = KTOConfig.from_yaml("config/kto_config.yaml")\n',
}


def example(heading: str) -> str:
    """The Python block under a heading, its imports changed to ours."""
    match = re.search(rf"^### {re.escape(heading)}\n+```python\n(.*?)^```", TEXT, re.DOTALL | re.MULTILINE)
    if match is None:
        raise LookupError(heading)
    code = re.sub(r"from src\.\w+\.\w+ import", "from ktoformats import", match[1])
    return PREAMBLES.get(heading, "") + code


HEADINGS = re.findall(r"^### ([^\n]+)\n+```python", TEXT, re.MULTILINE)


@pytest.fixture(scope="module")
def workplace(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that the examples name."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    folder = tmp_path_factory.mktemp("specification")
    (folder / "data").mkdir()
    (folder / "config").mkdir()
    write(folder / "data/kto_train.jsonl", binary_rows(300, seed=1))
    write(folder / "data/kto_val.jsonl", binary_rows(60, seed=2))
    write(folder / "data/large_kto_train.jsonl", binary_rows(4000, seed=3))
    renamed = (
        {"prompt": r["prompt"], "completion": r["response"], "feedback": r["label"]} for r in binary_rows(240, seed=4)
    )
    write(folder / "data/kto_binary_train.jsonl", renamed)
    renamed = (
        {"prompt": r["prompt"], "completion": r["response"], "feedback": r["label"]} for r in binary_rows(40, seed=5)
    )
    write(folder / "data/kto_binary_val.jsonl", renamed)
    write(
        folder / "data/dpo_train.jsonl",
        (
            {"prompt": f"اشرح المسألة رقم {i}", "chosen": f"الجواب الكامل رقم {i}.", "rejected": f"لا أعرف {i}"}
            for i in range(150)
        ),
    )
    write(folder / "data/ratings.jsonl", rating_rows())
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=500, special_tokens=["<eos>", "<pad>"], show_progress=False)
    tokenizer.train_from_iterator([r["response"] for r in binary_rows(50, seed=6)], trainer)
    made: Any = PreTrainedTokenizerFast
    made(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>").save_pretrained(folder / "tokenizer")
    (folder / "config/kto_config.yaml").write_text(
        dedent("""\
            model:
              model_name: tokenizer
            data:
              train_file: data/kto_train.jsonl
              validation_file: data/kto_val.jsonl
              balance_labels: true
            """)
    )
    return folder


def binary_rows(count: int, seed: int) -> list[dict[str, object]]:
    chance = random.Random(seed)
    answers = {"good": "للشيء فوائد عديدة منها أنه مفيد للناس، وعدد فوائده {}.", "bad": "لا أعرف {}"}
    labels = ["good" if chance.random() < 0.6 else "bad" for _ in range(count)]
    return [
        {
            "prompt": f"ما هي فائدة الشيء رقم {chance.randrange(10**6)}؟",
            "response": answers[label].format(chance.randrange(10**6)),
            "label": label,
        }
        for label in labels
    ]


def rating_rows() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for number in range(1, 6):
        rows += [{"prompt": f"س {number} {i}", "response": f"ج {number} {i}.", "rating": number} for i in range(30)]
    for word in ("ممتاز", "جيد جداً", "جيد", "مقبول", "ضعيف", "سيء", "لا شيء"):
        rows += [{"prompt": f"س {word} {i}", "response": f"كيف {word} {i}", "تقييم": word} for i in range(20)]
    rows += [{"prompt": f"س أخرى{i} {i}", "response": "نَعم. حسناً", "label": "good"} for i in range(10)]
    return rows


def write(path: Path, rows: object) -> None:
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")  # type: ignore[attr-defined]


def run(workplace: Path, code: str, name: str) -> str:
    """Run a script in a new process, as a user would; returns what it printed."""
    script = workplace / f"{re.sub(r'[^a-z]+', '_', name.lower())}.py"
    script.write_text(code, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-W", "error", "-W", "ignore:This DataLoader will create", script.name],
        cwd=workplace,
        capture_output=True,
        text=True,
        timeout=240,
        env={
            "PATH": "/usr/bin:/bin",
            "HOME": str(workplace),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        },
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_all_examples_are_known() -> None:
    """The list of examples below is the specification's."""
    assert HEADINGS == [
        "Basic KTO Data Loading",
        "Loading Binary Feedback Data",
        "Converting Pairwise to Binary",
        "Custom Label Processing",
        "Data Quality Analysis",
        "Streaming Large Datasets",
        "Caching",
        "Memory Optimization",
        "KTO-Specific Errors",
    ]


def test_basic_loading(workplace: Path) -> None:
    out = run(workplace, example("Basic KTO Data Loading"), "basic")
    assert "Validation samples: 60" in out
    assert re.search(r"Utility score: -?\d\.\d{3}", out)


def test_binary_feedback(workplace: Path) -> None:
    out = run(workplace, example("Loading Binary Feedback Data"), "binary")
    good, bad = (int(re.search(rf"{word}\): (\d+)", out)[1]) for word in ("Positive \\(good", "Negative \\(bad"))  # type: ignore[index]
    lines = (workplace / "data/kto_binary_train.jsonl").read_text(encoding="utf-8").splitlines()
    labels = [json.loads(line)["feedback"] for line in lines]
    minority = min(labels.count("good"), labels.count("bad"))
    assert sorted((good, bad)) == [
        minority,
        min(max(labels.count("good"), labels.count("bad")), int(minority * 1.05)),
    ]


def test_pairs(workplace: Path) -> None:
    out = run(workplace, example("Converting Pairwise to Binary"), "pairs")
    assert "Converted dataset size: 300" in out
    assert out.count("Type: pairwise_positive") == out.count("Type: pairwise_negative") == 2


def test_custom_loader_decides(workplace: Path) -> None:
    """The labels and utilities in the dataset are the custom loader's own."""
    check = dedent("""
        import collections
        def reference(text, label):
            score = min(len(text) / 100, 1.0)
            base = (score + custom_loader._calculate_arabic_quality(text) + custom_loader._calculate_informativeness(text)) / 3
            return base ** 0.88 if label == "good" else -2.25 * ((1 - base) ** 0.88)
        for sample in train_dataset:
            assert sample["utility_score"] == reference(sample["response"], sample["label"]), sample
        report = custom_loader.report
        print("KEPT", report.kept, "SAMPLES", report.total.samples)
        all_data = custom_loader.config.model_copy(update={"balance_labels": False})
        full = CustomKTODataLoader(config=all_data).load_dataset("train")
        print(dict(collections.Counter((s["cell"] if "cell" in s else s["prompt"].split()[1], s["label"]) for s in full)))
        """)
    out = run(workplace, example("Custom Label Processing") + check, "custom")
    # 1 to 3 are bad and 4, 5 good; مقبول and the unknown word are bad: as the custom mapping says, not as ours would
    for number in range(1, 6):
        assert f"('{number}', '{'good' if number >= 4 else 'bad'}'): 30" in out
    for word, label in (
        ("ممتاز", "good"),
        ("جيد", "good"),
        ("مقبول", "bad"),
        ("ضعيف", "bad"),
        ("سيء", "bad"),
        ("لا", "bad"),
    ):
        assert f"('{word}', '{label}')" in out
    assert "('مقبول', 'good')" not in out


def test_quality_analysis(workplace: Path) -> None:
    out = run(workplace, example("Data Quality Analysis"), "analysis")
    assert "=== Quality Analysis ===" in out
    assert "Warning: Positive samples" not in out
    assert "Warning: Negative samples" not in out


def test_streaming_with_workers_and_shuffle(workplace: Path) -> None:
    """Eight preprocessing workers, streaming and `shuffle=True` in one unguarded script."""
    out = run(workplace, example("Streaming Large Datasets"), "streaming")
    assert [line for line in out.splitlines() if line.startswith("Batch")] == [
        f"Batch {i}: 32 samples" for i in range(6)
    ]


def test_caching(workplace: Path) -> None:
    check = "print('CACHED', loader.report.cached)\n"
    out = run(workplace, example("Caching") + check, "caching")
    assert "CACHED True" in out
    assert (workplace / ".cache/kto_data").is_dir()


def test_memory(workplace: Path) -> None:
    check = "print('LEN', len(train_dataset), type(train_dataset[0]['prompt']).__name__)\n"
    assert re.search(r"LEN \d{3} str", run(workplace, example("Memory Optimization") + check, "memory"))


def test_error_handling(workplace: Path) -> None:
    assert run(workplace, example("KTO-Specific Errors"), "errors") == ""


def test_errors_are_ours_by_import(workplace: Path) -> None:
    """With the classes imported instead of redefined, the example's handlers catch our errors."""
    code = example("KTO-Specific Errors")
    code = re.sub(r"class KTO\w+Error\(Exception\):.*?pass\n", "", code, flags=re.DOTALL)
    code = code.replace(
        "KTODataLoader(config.data)", "KTODataLoader(config.data.model_copy(update={'train_file': 'no/such.jsonl'}))"
    )
    out = run(workplace, "from ktoformats import KTODataError, KTOLabelError\n" + code, "ours")
    assert out.startswith("KTO data error: no/such.jsonl")
