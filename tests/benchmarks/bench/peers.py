"""What others would write for the same work: with Hugging Face `datasets`, and with TRL's own functions.

`datasets` is used as its documentation advises: a batched `map` with declared features, a batched `filter`, columns
named, one file written at the end, and a cache of its own for each run, so that nothing is taken from an earlier one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from bench import specification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import datasets

    Row = dict[str, Any]
    Columns = dict[str, list[Any]]

ACADEMIC: Final = {"ممتاز": "good", "جيد جداً": "good", "جيد": "good", "مقبول": "bad", "ضعيف": "bad", "سيء": "bad"}
STARS: Final = {"٤ من ٥": "good", "2": "bad"}
"""The ratings of the corpus that are no word, as somebody would list them who looked at the file."""
COLUMNS: Final = ("prompt", "response", "label", "conversation", "preference_type", "format_type")
SCORES: Final = ("response_quality", "utility_score")

FORMULAS: Final[dict[str, Callable[[str], float]]] = {
    "as written": specification.arabic_quality_as_written,
    "for speed": specification.arabic_quality_for_speed,
}


def read(row: Row) -> Iterator[Row]:
    """The samples of one record, by the specification's rules and what its text leaves to the reader."""
    prompt = row.get("prompt")
    if row.get("messages") is not None:
        *context, last = row["messages"]
        user = next(turn["content"] for turn in reversed(context) if turn["role"] == "user")
        label = specification.normalize_label(row)
        yield _sample(user, last["content"], label, "binary", "conversation", context)
    elif row.get("response") is not None and row.get("تقييم") is not None:
        grade = str(row["تقييم"])
        yield _sample(prompt, row["response"], ACADEMIC.get(grade) or STARS[grade], "binary", "arabic-rating")
    elif row.get("response") is not None:
        yield _sample(prompt, row["response"], specification.normalize_label(row), "binary", "binary")
    elif row.get("chosen") is not None:
        yield _sample(prompt, row["chosen"], "good", "pairwise_positive", "pairwise")
        yield _sample(prompt, row["rejected"], "bad", "pairwise_negative", "pairwise")
    else:
        ordered = sorted(zip(row["rankings"], row["responses"], strict=True))
        yield _sample(prompt, ordered[0][1], "good", "ranking_positive", "ranking")
        yield _sample(prompt, ordered[-1][1], "bad", "ranking_negative", "ranking")


def _sample(
    prompt: Any, response: str, label: str, preference: str, kind: str, context: list[Row] | None = None
) -> Row:
    if not prompt or not response or not prompt.strip() or not response.strip():
        raise ValueError("no text")
    # the context is kept where it is more than the prompt, as in our samples
    values = (prompt, response, label, context or [], preference, kind)
    return dict(zip(COLUMNS, values, strict=True))


def convert_batch(batch: Columns, formula: str) -> Columns:
    """The function of the batched `map`: rows in, samples with quality and utility out; a bad row is left out."""
    arabic_quality = FORMULAS[formula]
    out: Columns = {column: [] for column in (*COLUMNS, *SCORES)}
    for values in zip(*batch.values(), strict=True):
        try:
            made = list(read(dict(zip(batch, values, strict=True))))
        except (KeyError, TypeError, ValueError):
            continue
        for sample in made:
            score = specification.quality(sample["response"], arabic_quality)
            for column in COLUMNS:
                out[column].append(sample[column])
            out["response_quality"].append(score)
            out["utility_score"].append(specification.utility(score, sample["label"]))
    return out


def keep_batch(batch: Columns) -> list[bool]:
    """The function of the batched `filter`: the same bounds on lengths and utility."""
    low, high = specification.MIN_LENGTH, specification.MAX_LENGTH
    columns = (batch["prompt"], batch["response"], batch["utility_score"])
    return [
        low <= len(prompt) <= high and low <= len(response) <= high and abs(utility) <= specification.MAX_UTILITY
        for prompt, response, utility in zip(*columns, strict=True)
    ]


def features() -> datasets.Features:
    """The columns of the samples: declared, so that `map` need not guess them from its first batch."""
    import datasets

    text, number = datasets.Value("string"), datasets.Value("float64")
    made: Row = dict.fromkeys(COLUMNS, text) | dict.fromkeys(SCORES, number)
    return datasets.Features(made | {"conversation": [{"role": text, "content": text}]})


def quiet() -> None:
    """No progress bars, no look at the network."""
    import datasets

    datasets.disable_progress_bars()
    datasets.utils.logging.set_verbosity_error()


def load_json(source: Path, cache: Path) -> datasets.Dataset:
    """`load_dataset("json", ...)` with a fresh cache."""
    import datasets

    return datasets.load_dataset("json", data_files=str(source), cache_dir=str(cache), split="train")


def hugging_face(source: Path, target: Path, *, formula: str = "as written", processes: int | None = None) -> Path:
    """`load_dataset`, `map`, `filter`, `to_parquet`; `processes` is `num_proc` of `map` and `filter`.

    Args:
        source: JSON Lines.
        target: The Parquet file; the cache is a folder beside it, which must not exist.
        formula: Which of `FORMULAS` scores the answers.
        processes: None works in this process, as `datasets` does unless told otherwise.
    """
    made = load_json(source, target.with_suffix(".cache"))
    made = made.map(
        convert_batch,
        batched=True,
        remove_columns=made.column_names,
        features=features(),
        fn_kwargs={"formula": formula},
        num_proc=processes,
        load_from_cache_file=False,
    )
    made = made.filter(keep_batch, batched=True, num_proc=processes, load_from_cache_file=False)
    made.to_parquet(str(target))
    return target


def trl(source: Path, cache: Path, *, processes: int | None = None) -> datasets.Dataset:
    """What TRL's `KTOTrainer` does with pairs before it tokenizes: take the common prompt out, unpair."""
    from trl.data_utils import extract_prompt, unpair_preference_dataset

    made = load_json(source, cache)
    if "prompt" not in made.column_names:
        made = made.map(extract_prompt, num_proc=processes)
    return unpair_preference_dataset(made, num_proc=processes)
