"""Tokens are kept beside the shards: made once for each tokenizer, and made again where something is wrong with them."""

from __future__ import annotations

import copy
import multiprocessing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ktoformats import KTODataConfig, KTODataLoader
from ktoformats.store.cache import Cache, Kept
from ktoformats.store.digests import Digests
from ktoformats.store.vault import TOKENS
from ktoformats.train.encode import SOUND, Encoder
from ktoformats.train.tokens import Tokens

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from ktoformats.store.samples import Samples

    Make = Callable[..., Any]

ROWS = 60


def lines_of(name: str, count: int = ROWS) -> list[dict[str, Any]]:
    return [
        {"prompt": f"{name}: question {number}?", "response": f" Answer {number} ما عاصمة مصر؟", "label": number % 3 > 0}
        for number in range(count)
    ]  # fmt: skip


class Counted:
    """How many rows were tokenised."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.rows = 0
        own = Encoder.encode

        def encode(encoder: Encoder, batch: Any) -> Any:
            self.rows += len(batch)
            return own(encoder, batch)

        monkeypatch.setattr(Encoder, "encode", encode)

    def since(self) -> int:
        """Rows since somebody asked last."""
        rows, self.rows = self.rows, 0
        return rows


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    return Counted(monkeypatch)


@pytest.fixture
def load(
    lines: Callable[[Iterable[Any]], Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., KTODataLoader]:
    """Loaders of the same file, or files, with one cache, whoever changes the code meanwhile."""
    monkeypatch.setattr(Digests, "of_code", lambda *_: "this code")
    one = str(lines(lines_of("one")))

    def make(tokenizer: Any, files: Any = one, *, cache_compression: bool = False, **options: Any) -> KTODataLoader:
        values = {"balance_labels": False, "min_samples_per_label": 1} | options
        config = KTODataConfig(train_file=files, **values)
        return KTODataLoader(config, tokenizer, cache_dir=tmp_path / "cache", cache_compression=cache_compression)

    return make


def tokens_of(loader: KTODataLoader, **options: Any) -> Tokens:
    tokens = loader.training("train", **options).tokens
    assert tokens is not None
    return tokens


def ids(tokens: Tokens, rows: int = ROWS) -> list[tuple[list[int], list[int]]]:
    return [(tokens.prompt(row).tolist(), tokens.answer(row).tolist()) for row in range(rows)]


def expected(samples: Samples, tokenizer: Any) -> list[tuple[list[int], list[int]]]:
    """From the texts, one by one."""
    table = samples.take(np.arange(len(samples)))
    return [
        (tokenizer(row["prompt"])["input_ids"], [*tokenizer(row["response"])["input_ids"], tokenizer.eos_token_id])
        for row in table.to_pylist()
    ]


def entries(folder: Path) -> list[Path]:
    return sorted(path for path in (folder / "cache" / TOKENS).iterdir() if path.is_dir())


def test_tokens_are_made_once(
    load: Callable[..., KTODataLoader], tokenizer_of: Make, counted: Counted, tmp_path: Path
) -> None:
    loader = load(tokenizer_of())
    first = ids(tokens_of(loader))
    assert counted.since() == ROWS
    assert first == expected(loader.views["train"].samples, tokenizer_of())
    for _ in range(2):
        again = load(tokenizer_of())
        assert ids(tokens_of(again)) == first
        assert len(again.dataloader("train", 4)) == ROWS // 4
        assert counted.since() == 0
    assert len(entries(tmp_path)) == 1
    loader.training("train")
    assert counted.since() == 0


def test_tokens_that_are_kept_do_not_ask_the_tokenizer(
    load: Callable[..., KTODataLoader], tokenizer_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens_of(load(tokenizer_of()))
    tokenizer, texts = tokenizer_of(), []
    own = Encoder._ids

    def heard(encoder: Encoder, given: Any, *, special: bool = False) -> list[list[int]]:
        texts.extend(given)
        return own(encoder, given, special=special)

    monkeypatch.setattr(Encoder, "_ids", heard)
    tokens_of(load(tokenizer))
    assert not [text for text in texts if "question" in text or "Answer" in text]


def test_another_limit_or_seed_tokenises_nothing(
    load: Callable[..., KTODataLoader], tokenizer_of: Make, counted: Counted
) -> None:
    tokens_of(load(tokenizer_of()))
    assert counted.since() == ROWS
    for options in (
        {"max_tokens": 20},
        {"max_prompt_tokens": 3, "truncate_prompt": "drop"},
        {"max_completion_tokens": 9, "truncate_completion": "keep_eos"},
        {"random_seed": 7},
        {"duplicates": "drop", "conflict": "drop"},
        {"balance_labels": True},
    ):
        loader = load(tokenizer_of(), **options)
        loader.plan("train", 4, seed=9, epoch=3)
        fitted = loader.training("train").fitted
        assert counted.since() == 0, options
    assert fitted is not None
    assert fitted.used.all()


def test_what_decides_the_ids_decides_the_key(
    load: Callable[..., KTODataLoader], tokenizer_of: Make, counted: Counted, chatml: str, tmp_path: Path
) -> None:
    def more() -> Any:
        tokenizer = tokenizer_of()
        tokenizer.add_tokens(["question"])
        return tokenizer

    cases: list[tuple[Any, dict[str, Any]]] = [
        (tokenizer_of(), {}),
        (tokenizer_of(template=chatml), {}),
        (tokenizer_of(template=chatml), {"style": "standard"}),
        (tokenizer_of(template=chatml + " "), {}),
        (tokenizer_of(eos_token="</s>"), {}),
        (tokenizer_of("metaspace"), {}),
        (more(), {}),
    ]
    found = []
    for number, (tokenizer, options) in enumerate(cases, start=1):
        found.append(ids(tokens_of(load(tokenizer), **options)))
        assert counted.since() == ROWS, number
        assert len(entries(tmp_path)) == number
    assert found[0] != found[1] != found[2]
    for (tokenizer, options), own in zip(cases, found, strict=True):
        assert ids(tokens_of(load(tokenizer), **options)) == own
    assert counted.since() == 0


def test_one_loader_knows_each_style(load: Callable[..., KTODataLoader], tokenizer_of: Make, chatml: str) -> None:
    loader = load(tokenizer_of(template=chatml))
    standard, rendered = (tokens_of(loader, style=style) for style in ("standard", "conversational"))
    assert (standard.style, rendered.style) == ("standard", "conversational")
    assert len(standard.prompt(0)) < len(rendered.prompt(0))
    assert tokens_of(loader, style="standard") is standard


@pytest.mark.parametrize("name", ["prompts.npy", "answers.npy", "promptends.npy", "answerends.npy", "faults.npy"])
@pytest.mark.parametrize("damage", ["a bit", "cut", "gone"])
def test_what_is_damaged_is_made_again(
    name: str, damage: str, load: Callable[..., KTODataLoader], tokenizer_of: Make, counted: Counted, tmp_path: Path
) -> None:
    first = ids(tokens_of(load(tokenizer_of())))
    counted.since()
    [entry] = entries(tmp_path)
    path = entry / name
    path.chmod(0o644)
    entry.chmod(0o755)
    content = bytearray(path.read_bytes())
    if damage == "a bit":
        content[-1] ^= 1
        path.write_bytes(content)
    elif damage == "cut":
        path.write_bytes(content[:-1])
    else:
        path.unlink()
    assert ids(tokens_of(load(tokenizer_of()))) == first
    assert counted.since() == ROWS
    assert ids(tokens_of(load(tokenizer_of()))) == first
    assert counted.since() == 0


def test_each_file_has_tokens_of_its_own(
    load: Callable[..., KTODataLoader],
    lines: Callable[[Iterable[Any]], Path],
    tokenizer_of: Make,
    counted: Counted,
    tmp_path: Path,
) -> None:
    files = [str(lines(lines_of(name, count))) for name, count in (("a", 7), ("b", 1), ("c", 40))]
    loader = load(tokenizer_of(), files)
    tokens = tokens_of(loader)
    assert counted.since() == 48
    assert len(loader.views["train"].samples.parts) == 3
    whole = expected(loader.views["train"].samples, tokenizer_of())
    assert ids(tokens, 48) == whole
    rows = np.random.default_rng(0).permutation(48)
    prompts, completions = tokens.lengths(rows)
    assert prompts.tolist() == [len(whole[row][0]) for row in rows]
    assert completions.tolist() == [len(whole[row][1]) for row in rows]
    assert tokens.faults(rows).tolist() == [SOUND] * 48
    assert tokens.lengths(rows[:0])[0].tolist() == []
    assert len(entries(tmp_path)) == 3
    more = [*files, str(lines(lines_of("d", 5)))]
    assert ids(tokens_of(load(tokenizer_of(), more)), 48) == whole
    assert counted.since() == 5, "only the new file is tokenised"


def test_compressed_samples_have_the_same_tokens(
    load: Callable[..., KTODataLoader], tokenizer_of: Make, counted: Counted
) -> None:
    plain = ids(tokens_of(load(tokenizer_of())))
    assert ids(tokens_of(load(tokenizer_of(), cache_compression=True))) == plain
    counted.since()
    assert ids(tokens_of(load(tokenizer_of(), cache_compression=True))) == plain
    assert counted.since() == 0


def test_records_in_memory_have_tokens_that_nobody_keeps(
    load: Callable[..., KTODataLoader], tokenizer_of: Make, counted: Counted, tmp_path: Path
) -> None:
    from_file = ids(tokens_of(load(tokenizer_of())))
    loader = load(tokenizer_of())
    loader.load_records(lines_of("one"))
    counted.since()
    assert ids(tokens_of(loader)) == from_file
    assert counted.since() == ROWS
    assert len(entries(tmp_path)) == 1
    assert ids(tokens_of(load(tokenizer_of()))) == from_file
    without = KTODataLoader(loader.config, tokenizer_of(), enable_cache=False)
    assert ids(tokens_of(without)) == from_file


def test_copies_have_tokens_too(
    load: Callable[..., KTODataLoader], lines: Callable[[Iterable[Any]], Path], tokenizer_of: Make
) -> None:
    """Of a source whose samples are taken more than once."""
    files = [
        {"path": str(lines(lines_of("a", 12))), "weight": 3},
        {"path": str(lines(lines_of("b", 12))), "weight": 1},
    ]
    loader = load(tokenizer_of(), None, sources=files, oversample=True)
    loader.load_dataset()
    samples = loader.views["train"].samples
    assert len(samples.parts) == 3
    assert len(samples) == 48
    assert ids(tokens_of(loader), len(samples)) == expected(samples, tokenizer_of())


def test_rows_are_tokenised_in_batches_and_told_of(
    load: Callable[..., KTODataLoader], tokenizer_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ktoformats.train.tokens._ROWS_AT_ONCE", 7)
    loader = load(tokenizer_of())
    loader.load_dataset()
    samples = loader.views["train"].samples
    told: list[tuple[int, int]] = []
    tokens = Tokens(samples, Encoder(tokenizer_of()), None, lambda *one: told.append(one))
    assert {total for _, total in told} == {ROWS}
    done = [0, *(one for one, _ in told)]
    assert done[-1] == ROWS
    assert {after - before for before, after in pairwise(done)} <= set(range(1, 8))
    assert ids(tokens) == expected(samples, tokenizer_of())


def in_another_process(tokens: Tokens) -> tuple[list[tuple[list[int], list[int]]], int, list[int], bool]:
    return (
        ids(tokens),
        tokens.eos,
        tokens.lengths(np.arange(ROWS))[1].tolist(),
        isinstance(tokens._parts[0].faults, np.memmap),
    )


@pytest.mark.parametrize("keeps", [True, False])
def test_another_process_is_handed_tokens_and_no_tokenizer(
    *, keeps: bool, load: Callable[..., KTODataLoader], tokenizer_of: Make, tmp_path: Path
) -> None:
    loader = load(tokenizer_of())
    loader.load_dataset()
    kept = Kept(Cache(tmp_path / "cache")) if keeps else None
    tokens = Tokens(loader.views["train"].samples, Encoder(tokenizer_of()), kept)
    state = tokens.__getstate__()
    assert "_encoder" not in state
    with multiprocessing.get_context("fork").Pool(1) as pool:
        found, eos, lengths, is_mapped = pool.apply(in_another_process, (tokens,))
    assert found == ids(tokens)
    assert eos == tokens.eos
    assert lengths == tokens.lengths(np.arange(ROWS))[1].tolist()
    assert is_mapped == keeps
    again = Tokens.__new__(Tokens)
    again.__setstate__(copy.deepcopy(state))
    with pytest.raises(ValueError, match="the tokenizer is in another process"):
        _ = again.digest
