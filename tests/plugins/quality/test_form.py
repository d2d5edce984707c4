from __future__ import annotations

import math
import re
import unicodedata
from statistics import mean
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ktoformats_plugins.quality import _text
from ktoformats_plugins.quality.form import Form, Ramp, ktoformats_plugins

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import Any

FORM = Form()
PARTS = ("repetition", "prompt_echo", "script_share", "letter_runs", "truncation", "length")

# --------------------------------------------------------------------------------------------- the reference
# Plain Python and `re`, one text at a time.

INVISIBLE = "\u061c\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff"
ARABIC = (
    "\u0620-\u063f\u0641-\u064a\u066e\u066f\u0671-\u06d3\u06d5\u06ee\u06ef\u06fa-\u06fc\u06ff\u0750-\u077f"
    "\u0870-\u0887\u0889-\u088e\u08a0-\u08c8\ufb50-\ufbb1\ufbd3-\ufd3d\ufd50-\ufd8f\ufd92-\ufdc7\ufdf0-\ufdfb"
    "\ufe70-\ufe74\ufe76-\ufefc"
)
LATIN = "A-Za-zÀ-ÖØ-öø-ɏ\u1e00-\u1eff"
BLANK = r"\s" + INVISIBLE


def plain(text: str) -> str:
    text = re.sub(r"<think>.*?</think>", " ", text, flags=re.DOTALL)
    text = text.rpartition("</think>")[2]
    text = re.sub(r"```.*?(?:```|\Z)", " ", text, flags=re.DOTALL)
    text = re.sub(r"(?:https?://|www\.)\S+", " ", text)
    return re.sub(f"[#*_`>{INVISIBLE}]", "", text)


def words_of(text: str) -> list[str]:
    return text.replace("|", " ").split()


def trigrams_of(words: list[str]) -> list[tuple[str, ...]]:
    return [tuple(words[at : at + 3]) for at in range(len(words) - 2)]


def count(pattern: str, text: str) -> int:
    return len(re.findall(pattern, text))


def ramp(ramp: Ramp, part: int, whole: int) -> float:
    share = part / whole if whole else 0.0
    return min(max((ramp.zero - share) / (ramp.zero - ramp.full), 0.0), 1.0)


def asks_for_arabic(prompt: str) -> bool:
    seen = re.sub(f"[#*_`>{INVISIBLE}]", "", prompt)
    arabic, latin = count(f"[{ARABIC}]", seen), count(f"[{LATIN}]", seen)
    if arabic < 10 or arabic <= latin or "```" in prompt:
        return False
    lower = "".join(c.lower() if c.isascii() else c for c in prompt)
    for entry in FORM.script_requests:
        if not entry.isascii():
            if entry in lower:
                return False
        elif re.search(rf"(?<![a-z0-9_]){re.escape(entry)}{'' if entry[-1] in '+#' else '(?![a-z0-9_])'}", lower):
            return False
    return True


def is_finished(raw: str) -> bool:
    stripped = re.sub(rf"[{BLANK}*_#>]+\Z", "", raw)
    if re.search(rf"[{re.escape(FORM.endings)}`|0-9٠-٩۰-۹☀-➿\ufe0f\U0001f000-\U0001faff]\Z", stripped):
        return True
    if re.search(rf"(?:https?://|www\.)[^{BLANK}]+[{BLANK}*_#>]*\Z", raw):
        return True
    item = r"[ \t]*(?:[-+*•–]|[0-9٠-٩۰-۹]{1,3}[.)–-])[ \t]"
    lines = raw.split("\n")
    while lines:
        if re.match(item, lines[-1]):
            return True
        if re.search(rf"[^{BLANK}*_#>]", lines.pop()):
            return False
    return False


def is_mojibake(raw: str) -> bool:
    text = plain(raw)
    letters, arabic = count(f"[{ARABIC}{LATIN}]", text), count(f"[{ARABIC}]", text)
    return (
        count("[ØÙ](?=[^\x00-\x7f])", text) * 10 > len(text)
        or (letters >= 10 and count("[À-ÖØ-öø-ÿ]", text) * 2 > letters)
        or (arabic >= 10 and count("[طظ]", text) * 10 > 3 * arabic)
        or text.count("\ufffd") * 100 > len(text)
        or count(r"\\u06[0-9a-fA-F]{2}", text) >= 3
        or raw.strip() == "#NAME?"
    )


def reference(prompt: str, response: str) -> dict[str, float]:
    text = plain(response)
    words, asked = words_of(text), words_of(re.sub(f"[#*_`>{INVISIBLE}]", "", prompt))
    trigrams, known = trigrams_of(words), set(trigrams_of(asked))
    arabic, latin = count(f"[{ARABIC}]", text), count(f"[{LATIN}]", text)
    runs = sum(1 for word in words if re.search(rf"([{ARABIC}{LATIN}])\1\1", word))
    parts = dict.fromkeys(PARTS, math.nan)
    if len(words) >= 8:
        parts["repetition"] = ramp(FORM.repetition, len(trigrams) - len(set(trigrams)), len(trigrams))
        if known:
            parts["prompt_echo"] = ramp(FORM.prompt_echo, sum(t in known for t in trigrams), len(trigrams))
    if len(words) >= 5:
        parts["letter_runs"] = ramp(FORM.letter_runs, runs, len(words))
        if arabic + latin >= 10 and asks_for_arabic(prompt):
            parts["script_share"] = ramp(FORM.script_share, arabic, arabic + latin)
    if len(words) >= 20:
        parts["truncation"] = 1.0 if is_finished(response) else 0.5
    if words:
        parts["length"] = 0.5 + 0.5 * (min(len(words), 5) / 5)
    return parts


def reference_score(prompt: str, response: str) -> float:
    if is_mojibake(response):
        return 0.0
    defined = [part for part in reference(prompt, response).values() if not math.isnan(part)]
    total = 0.0
    for part in defined:
        total += part
    return total / len(defined) if defined else math.nan


# ------------------------------------------------------------------------------------------------ helpers


def batch_of(rows: Sequence[tuple[str, str]]) -> pa.RecordBatch:
    return pa.record_batch(
        {
            "prompt": pa.array([prompt for prompt, _ in rows], pa.large_string()),
            "response": pa.array([response for _, response in rows], pa.large_string()),
        }
    )


def parts_of(response: str, prompt: str = "") -> dict[str, float]:
    return {name: float(part[0]) for name, part in FORM.parts(batch_of([(prompt, response)])).items()}


def score_of(response: str, prompt: str = "") -> float:
    return float(FORM.score(batch_of([(prompt, response)]))[0])


def assert_equals_reference(rows: Sequence[tuple[str, str]]) -> None:
    batch = batch_of(rows)
    parts, scores = FORM.parts(batch), FORM.score(batch)
    for row, (prompt, response) in enumerate(rows):
        expected = reference(prompt, response)
        got = {name: float(parts[name][row]) for name in PARTS}
        assert repr(got) == repr(expected), (prompt, response)
        assert (parts["mojibake"][row] == 0.0) == is_mojibake(response), response
        assert repr(float(scores[row])) == repr(reference_score(prompt, response)), (prompt, response)


def misreadings(text: str) -> dict[str, str]:
    """A clean text as it looks after the usual accidents."""
    damaged = {
        "utf-8 as latin-1": text.encode().decode("latin-1"),
        "utf-8 as cp1252": text.encode().decode("cp1252", errors="ignore"),
        "utf-8 as cp1256": text.encode().decode("cp1256"),
        "cp1256 as latin-1": text.encode("cp1256", errors="ignore").decode("latin-1"),
        "iso-8859-6 as latin-1": text.encode("iso8859_6", errors="ignore").decode("latin-1"),
        "escapes": text.encode("ascii", errors="backslashreplace").decode(),
        "replaced": text.encode().decode("ascii", errors="replace"),
    }
    return {accident: result for accident, result in damaged.items() if result != text}


PIECES = (
    "نعم", "الرياض", "ممتاااز", "هههه", "مكة المكرمة مدينة", "جـــيد", "ـ", "ﷺ", "ﻣﻤﺘﺎﺯ",
    "مُحَمَّد", "طظطظ", "ظ", "٤", "3.",
    " ", " ", " ", "\n", "\n\n", "\t", "\u00a0", "\u3000", "\u2028", "\x1c", "\x00", "\ufeff", "\u200f",
    "\u200b", "\ufe0f",
    "hello", "sooo", "Côté", "Øl", "Ù†Ø¹", "×", "ÇáÓ", "👍🏽", "😀", "\U00010644",
    "\U0010ffff", "\ufffd", "\\u0644",
    "\\", "#NAME?", "```", "`", "**", "# ", "> ", "|", "_", "- ", "1) ", "<think>", "</think>", "https://a.b/c",
    "www.x", "http", "://", "w",
    ".", "؟", "…", ":", '"', ")", "!", "ترجم", "CODE", "code", "c++", "decode", "ſql", "SQL",
)  # fmt: skip
BUILT = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)
SPACED = st.lists(st.sampled_from(PIECES), max_size=60).map(" ".join)
TEXTS = st.one_of(BUILT, SPACED, st.text())
ROWS = st.lists(st.tuples(TEXTS, TEXTS), max_size=6)


@pytest.fixture(scope="session")
def rows(answers: list[Any]) -> list[tuple[str, str]]:
    """Real rows: the answers, with reasoning before them, cut, damaged, and as prompts of their questions."""
    plain_rows = [(answer.question, answer.text) for answer in answers]
    thought = [(a.question, f"<think>\n{a.thought}\n</think>\n\n{a.text}") for a in answers if "R1" in a.model]
    cut = [(question, text[: len(text) // 3]) for question, text in plain_rows]
    damaged = [(question, bad) for question, text in plain_rows for bad in misreadings(text).values()]
    swapped = [(text, question) for question, text in plain_rows]
    return [
        *plain_rows,
        *thought,
        *cut,
        *damaged,
        *swapped,
        ("", ""),
        ("", "\ufeff"),
        ("", "ـ"),
        ("", "👍🏽"),
    ]


# --------------------------------------------------------------------------------------------------- tests


def test_every_part_equals_the_reference_on_real_texts(rows: list[tuple[str, str]]) -> None:
    assert_equals_reference(rows)
    parts = FORM.parts(batch_of(rows))
    for name in PARTS:
        assert len(np.unique(parts[name][~np.isnan(parts[name])])) > 1, f"{name} never differs: nothing was compared"


@settings(deadline=None)  # the first call loads what the others find
@given(ROWS)
def test_every_part_equals_the_reference_on_any_texts(rows: list[tuple[str, str]]) -> None:
    assert_equals_reference(rows)


@settings(deadline=None)  # the first call loads what the others find
@given(ROWS.flatmap(lambda rows: st.tuples(st.just(rows), st.permutations(range(len(rows))))))
def test_order_and_neighbours_do_not_change_a_score(case: tuple[list[tuple[str, str]], list[int]]) -> None:
    rows, order = case
    scores = FORM.score(batch_of(rows))
    alone = [FORM.score(batch_of([row])).tobytes() for row in rows]
    assert [score.tobytes() for score in scores] == alone
    assert FORM.score(batch_of([rows[at] for at in order])).tobytes() == scores[order].tobytes()


@pytest.mark.parametrize("size", [1, 7, 100, 255, 256, 257, 1000])
def test_the_size_of_a_batch_does_not_change_a_score(rows: list[tuple[str, str]], size: int) -> None:
    many = batch_of((rows * 3)[:600])
    whole = FORM.score(many)
    split = [FORM.score(many.slice(at, size)) for at in range(0, many.num_rows, size)]
    assert np.concatenate(split).tobytes() == whole.tobytes()


def test_the_same_text_in_every_row_is_no_repetition() -> None:
    text = "تقع مدينة الرياض في وسط المملكة العربية السعودية وهي عاصمتها"
    parts = FORM.parts(batch_of([(text, text), ("من أين أنت يا صديقي", text)] * 300))
    assert parts["repetition"].tolist() == [1.0] * 600
    assert parts["prompt_echo"].tolist() == [0.0, 1.0] * 300


def test_a_very_long_row_equals_the_reference(answers: list[Any]) -> None:
    text = "\n".join(answer.text for answer in answers if "aya" in answer.model)
    long = "\n".join(f"{at} {text}" for at in range(1 + (1 << 18) // len(text)))
    assert len(long) > 1 << 18
    assert_equals_reference([("من أين أنت يا صديقي", long), (text, text[:500])])


@pytest.mark.parametrize(
    ("text", "prose"),
    [
        ("<think>a</think>b", "b"),
        ("a<think>b</think>c<think>d</think>e", "a c e"),
        ("<think>a<think>b</think>c", "c"),
        ("<think>a</think>b</think>c", "c"),
        ("x<think>a</think>b</think>c", "c"),
        ("a</think>b", "b"),
        ("<think>a", "<think>a"),
        ("a```b```c```d", "a c"),
        ("a https://b.c/d e www.f g", "a e g"),
        ("a / b `c` http d", "a / b `c` http d"),
    ],
)
def test_plain_text_is_what_is_neither_reasoning_nor_code_nor_url(text: str, prose: str) -> None:
    assert _text.plain(text).split() == prose.split()
    assert _text.is_plain(text) == (text == prose)


def test_thousands_of_unclosed_blocks_take_no_time() -> None:
    assert score_of("</think>" + "<think>" * 200_000) == 0.6


@pytest.mark.parametrize("better", ["gemma2", "aya", "R1"])
def test_a_degenerate_model_scores_below_each_good_one(answers: list[Any], better: str) -> None:
    def scores(model: str) -> dict[str, float]:
        chosen = [answer for answer in answers if model in answer.model]
        return {
            answer.question: score
            for answer in chosen
            if not math.isnan(score := score_of(answer.text, answer.question))
        }

    worse, good = scores("SmolLM2"), scores(better)
    shared = worse.keys() & good.keys()
    assert len(shared) >= 11
    assert mean(worse[q] for q in shared) < mean(good[q] for q in shared) - 0.1


@pytest.mark.parametrize(
    "accident",
    ["utf-8 as latin-1", "utf-8 as cp1252", "utf-8 as cp1256", "cp1256 as latin-1", "iso-8859-6 as latin-1",
     "escapes"],
)  # fmt: skip
def test_mojibake_made_from_clean_texts_is_found(answers: list[Any], accident: str) -> None:
    clean = [piece for a in answers if "SmolLM2" not in a.model for piece in a.text.split("\n") if _is_arabic(piece)]
    damaged = [misreadings(piece)[accident] for piece in clean]
    scores = FORM.score(batch_of([("", text) for text in damaged]))
    assert len(damaged) > 150
    assert (scores == 0.0).mean() > 0.95


def _is_arabic(text: str) -> bool:
    return count(f"[{ARABIC}]", text) >= 10 and count(f"[{ARABIC}]", text) > 2 * count(f"[{LATIN}]", text)


CLEAN = (
    "L'été dernier, les élèves français ont étudié à l'étranger où ils ont été très bien reçus.",
    "ÉTÉ À LA MER : DÉJÀ DÉPASSÉS, ÂGÉS ET FATIGUÉS",
    "A educação não é só preparação, é ação; você não está só, há opções à disposição de todos.",
    "Äpfel, Öl und Übergrößen: die Straße führt über schöne Höhen, süße Früchte gehören dazu.",
    "Việt Nam là một quốc gia nằm ở phía đông bán đảo Đông Dương, thuộc khu vực Đông Nam Á.",
    "På Østerbro og i Ålborg får man øl, rødgrød med fløde og æbler. ØL ØST ØRE Ø",
    "Þetta er íslenska; það er gott að búa á Íslandi þótt veðrið sé oft vont og kalt úti.",
    "3 × 4 = 12, 12 ÷ 4 = 3, 5 × 5 = 25, 6 × 6 = 36, 2 × 2 × 2 × 2 × 2 = 32, 9 × 9 × 9 × 9",
    "محمد بن سعود مؤسس الدولة السعودية الأولى.",
    "ظلّ الطائر يطير فوق الطريق الطويل حتى طلع الظلام، وطال انتظار الطلاب.",
    "สวัสดีครับ", "Привет, как дела?", "你好，世界", "فارسی زبان زیبایی است و گچ پژ", "é", "Ø", "ط", "1945",
    "😀",
    r"The escapes \u0644 and \u0645 stand for one letter each.",
    "\U00010637" * 20 + "\U000100d8" * 20,
    "نعم " * 25 + "\ufffd",
    'الكود:\n```json\n{"a": "\\u0645\\u0631\\u062d\\u0628\\u0627"}\n```',
)  # fmt: skip


@pytest.mark.parametrize("text", CLEAN)
def test_clean_text_of_any_language_is_no_mojibake(text: str) -> None:
    assert math.isnan(parts_of(text)["mojibake"])
    assert score_of(text) > 0


def test_clean_real_answers_are_no_mojibake(answers: list[Any]) -> None:
    clean = [answer for answer in answers if "\ufffd" not in answer.text]
    scores = FORM.score(batch_of([(answer.question, answer.text) for answer in clean]))
    assert len(clean) > 36
    assert not (scores == 0).any()
    assert np.isnan(FORM.parts(batch_of([("", answer.text) for answer in clean]))["mojibake"]).all()


@pytest.mark.parametrize(
    "text", ["#NAME?", " #NAME?\n", "نعم \ufffd\ufffd", r"\u0646\u0639\u0645", "نعم " * 25 + "\ufffd\ufffd"]
)
def test_lost_text_scores_zero(text: str) -> None:
    assert parts_of(text)["mojibake"] == 0.0
    assert score_of(text) == 0.0


@pytest.mark.parametrize("text", ["", " \n\t", "\ufeff", "\u200f", "**", "```\nx = 1\n```", "https://a.b/c"])
def test_what_holds_no_word_is_undefined(text: str) -> None:
    assert math.isnan(score_of(text))
    assert all(math.isnan(part) for part in parts_of(text).values())


def test_an_empty_batch_gives_empty_arrays() -> None:
    assert FORM.score(batch_of([])).tolist() == []
    assert {name: part.tolist() for name, part in FORM.parts(batch_of([])).items()} == {
        name: [] for name in (*PARTS, "mojibake")
    }


def numbered(words: int) -> str:
    return " ".join(f"كلمة{at}" for at in range(words))


def test_repetition_counts_the_trigrams_seen_before() -> None:
    assert math.isnan(parts_of(numbered(7))["repetition"])
    assert parts_of(numbered(8))["repetition"] == 1.0
    assert parts_of("قال لها " * 10)["repetition"] == 0.0
    # 42 words, 40 trigrams, 4 of them repeats: .10 lies 10/17 of the way from .20 to .03
    text = numbered(36) + " " + " ".join(numbered(6).split())
    assert parts_of(text)["repetition"] == pytest.approx((0.20 - 4 / 40) / 0.17)


def test_words_are_equal_only_in_every_character() -> None:
    swapped = " ".join(f"{a}{b}" for a in "ابتثجحخدذر" for b in "ابتثجحخدذر")
    padded = " ".join(["ا" + "\x00" * at for at in range(60)])
    astral = " ".join([chr(0x10000 + at) + " " + chr(at) for at in range(0x4E00, 0x4E60)])
    for text in (swapped, padded, astral):
        assert parts_of(text)["repetition"] == 1.0


def test_prompt_echo_is_the_share_of_the_answer_found_in_the_prompt() -> None:
    prompt = numbered(6)
    assert parts_of(numbered(8), prompt)["prompt_echo"] == 0.0
    assert parts_of(numbered(22), prompt)["prompt_echo"] == pytest.approx((0.50 - 4 / 20) / 0.40)
    assert parts_of(f"**{numbered(8)}**", "سؤال آخر تماما هنا")["prompt_echo"] == 1.0
    assert math.isnan(parts_of(numbered(8), "من هو")["prompt_echo"])


ARABIC_PROMPT = "اشرح لنا تاريخ مدينة الرياض"
ENGLISH = "Riyadh is the capital of Saudi Arabia"


@pytest.mark.parametrize(
    ("prompt", "response", "expected"),
    [
        (ARABIC_PROMPT, "الرياض هي عاصمة المملكة العربية السعودية", 1.0),
        (ARABIC_PROMPT, ENGLISH, 0.0),
        (ARABIC_PROMPT, "ابتثج ححخخد abcde fg h ij", (20 / 20 - 0.5) / 0.45 - (0.5 / 0.45)),
        (ARABIC_PROMPT, "ابتثج ححخخد ذرزسش abc de", (15 / 20 - 0.5) / 0.45),
        (ARABIC_PROMPT, "1945 م - 2 3 4 5 6", math.nan),
        (ARABIC_PROMPT + " وترجمه", ENGLISH, math.nan),
        (ARABIC_PROMPT + " ثم اكتب SQL", ENGLISH, math.nan),
        (ARABIC_PROMPT + " SQLite", ENGLISH, 0.0),
        (ARABIC_PROMPT + "\n```\nx\n```", ENGLISH, math.nan),
        ("من هو", ENGLISH, math.nan),
        ("Tell me about the history of Riyadh الرياض عاصمة", ENGLISH, math.nan),
        (ARABIC_PROMPT, f"<think>{ENGLISH}</think>الرياض هي عاصمة المملكة العربية", 1.0),
        (ARABIC_PROMPT, f"{ENGLISH}</think>الرياض هي عاصمة المملكة العربية", 1.0),
        (ARABIC_PROMPT, "الرياض هي عاصمة المملكة العربية https://example.com/a/long/path", 1.0),
    ],
)
def test_script_share_is_asked_only_where_arabic_is_expected(prompt: str, response: str, expected: float) -> None:
    assert parts_of(response, prompt)["script_share"] == pytest.approx(expected, nan_ok=True)


def test_letter_runs_count_words_not_runs() -> None:
    assert parts_of("هذا راااائع جدااا ومممتاز حقا")["letter_runs"] == 0.0
    assert parts_of("هذا راااائعععع " + numbered(8))["letter_runs"] == pytest.approx(0.5)
    assert parts_of("جـــــيد ....... 1000000 ------ ٠٠٠٠")["letter_runs"] == 1.0
    assert math.isnan(parts_of("راااائع")["letter_runs"])


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        (".", 1.0), ("؟", 1.0), ("!\n\n", 1.0), ("…", 1.0), ("»", 1.0), (":", 1.0), ("**قال.**", 1.0),
        (" 12", 1.0),
        (" ١٢", 1.0), ("\n```\nx = 1\n```", 1.0), ("\n- الرياض", 1.0), ("\n3. الرياض", 1.0),
        ("\n٣) الرياض\n", 1.0),
        (" https://a.b/c", 1.0), (" 😀", 1.0), ("\n| أ | ب |", 1.0), ("", 0.5), (" و", 0.5), ("،", 0.5),
        ("\n- الرياض\nثم", 0.5), (" - الرياض", 0.5), ("**", 0.5),
    ],
)  # fmt: skip
def test_a_long_response_should_be_finished(ending: str, expected: float) -> None:
    text = " ".join(["وقال"] * 20)
    assert parts_of(text + ending)["truncation"] == expected


def test_truncation_is_asked_from_twenty_words_on() -> None:
    assert math.isnan(parts_of(" ".join(["وقال"] * 19))["truncation"])


@pytest.mark.parametrize(("words", "expected"), [(1, 0.6), (2, 0.7), (5, 1.0), (6, 1.0), (100, 1.0)])
def test_length_favours_five_words_softly(words: int, expected: float) -> None:
    assert parts_of(numbered(words))["length"] == pytest.approx(expected)


def test_the_score_is_the_mean_of_the_defined_parts() -> None:
    assert score_of("نعم") == 0.6
    assert score_of("هذا راااائع " + numbered(8)) == pytest.approx((1.0 + 0.5 + 1.0) / 3)


def test_options_change_the_score() -> None:
    batch = batch_of([("", numbered(19) + " وقال")])
    assert Form(unfinished=0.0).parts(batch)["truncation"].tolist() == [0.0]
    assert Form(endings="ل").parts(batch)["truncation"].tolist() == [1.0]
    assert math.isnan(Form(truncation_words=21).parts(batch)["truncation"][0])
    assert Form(length_words=40).parts(batch)["length"].tolist() == [0.75]
    assert math.isnan(Form(repetition=Ramp(full=0.0, zero=1.0, words=21)).parts(batch)["repetition"][0])
    asked = batch_of([(ARABIC_PROMPT, ENGLISH)])
    assert math.isnan(Form(script_requests=("تاريخ",)).parts(asked)["script_share"][0])


def test_a_ramp_without_a_slope_is_refused() -> None:
    with pytest.raises(ValueError, match=r"full and zero are both 0\.2: a ramp needs two different shares"):
        Ramp(full=0.2, zero=0.2, words=3)


@pytest.mark.parametrize("option", ["endings", "shortest", "truncation_words"])
def test_an_option_out_of_range_is_refused(option: str) -> None:
    wrong: dict[str, Any] = {"endings": "", "shortest": 1.5, "truncation_words": 0}
    with pytest.raises(ValueError, match=option):
        Form(**{option: wrong[option]})


def _named(table: Sequence[tuple[int, int]]) -> set[str]:
    return {chr(code) for first, last in table for code in range(first, last + 1)}


@pytest.mark.parametrize(
    ("table", "holds"),
    [
        (_text.SPACES, str.isspace),
        (_text.HIGH_LATIN, lambda c: "À" <= c <= "ÿ" and c.isalpha()),
    ],
)
def test_a_character_table_holds_exactly(table: Sequence[tuple[int, int]], holds: Callable[[str], bool]) -> None:
    assert _named(table) == {c for c in map(chr, range(0x10000)) if holds(c)}


def test_arabic_letters_are_letters_and_complete_in_the_main_block() -> None:
    arabic = _named(_text.ARABIC)
    assert all(unicodedata.category(c) == "Lo" and unicodedata.name(c).startswith("ARABIC") for c in arabic)
    assert all(c in arabic for c in map(chr, range(0x600, 0x780)) if _is_arabic_letter(c))


def _is_arabic_letter(character: str) -> bool:
    return unicodedata.category(character) == "Lo" and unicodedata.name(character).startswith("ARABIC")


def test_the_module_names_one_plugin() -> None:
    assert ktoformats_plugins() == [Form]


def test_a_character_of_more_than_16_bits_changes_no_neighbour() -> None:
    """Batches with one are laid out in 32 bits for each character, others in 16."""
    texts = [
        "هذا نص عربي واضح ومفيد للقارئ في كل مكان.",
        "A plain English answer, long enough to be judged.",
        "رااائع",
    ]
    prompt = "سؤال عن النص العربي"
    alone = [FORM.parts(batch_of([(text, prompt)])) for text in texts]
    beside = FORM.parts(batch_of([(text, prompt) for text in (*texts, "😀 𝒜 😀")]))
    for part, values in beside.items():
        np.testing.assert_array_equal(values[:3], [one[part][0] for one in alone])
