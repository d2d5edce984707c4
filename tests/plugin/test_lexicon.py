from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from ktoformats.plugin.lexicon import (
    LEXICON,
    NEGATIVE_GRADES,
    POSITIVE_GRADES,
    Grade,
    Score,
    index_words,
    label_key,
    normalize_label,
    read_grade,
    read_score,
)

# The first two tables are the checks of the study behind the lexicon, cell for cell.
WORDS = {
    "very_good": "جيد جدا|جيد جداً|جيد جدًا|جيد جدًّا|جيّد جدّاً|جـــيد جــدا|جيدة جدًّا|جيده جدا|جيد جدآ|جيد جداَ|جيد جدااا"
    "|ﺟﻴﺪ ﺟﺪﺍ|جيد\u00a0جدا|\u200fجيد جداً\u200f|جيد_جدا|الجيد جدا|جيد جدﹰا|جیـد جدا",
    "bad": "سيء|سيئ|سيّئ|سئ|سىء|سيي|سيئة|سيئه|سيئاً|سي\u0654|ســـيء|ﺳﻴﺊ|رديء|ردئ|رديئة|وحش|وحشة|زفت|خايس",
    "very_bad": "سيء جدا|سيئ جداً|سيئة جداً",
    "excellent": "ممتاز|ممتازة|ممتازه|ممتازهـ|ممــتاز|ممتاااز|ﻣﻤﺘﺎﺯ|ممتازاً|المُمتاز|امتياز|رائعة|راااائع|روووعه",
    "good": "جيد|جيّدة|جَيِّد|كويس|كويسه|زين|مزيانة|باهي|منيحة|تمام|حلوه",
    "fair": "مقبول|مقبولة|مقبوله|لا بأس به|لاباس|ماشي|ليس سيئا|مش وحش",
    "fail": "راسب|راسبة|غير مقبول|غير مقبوله|ساقط|مرفوض",
    "weak": "ضعيف|ضعيفة|غير جيد|غير جيدة|مو زين|مش كويس|ليست جيدة|مب زين|دون المتوسط|مو حلو",
    "yes": "نعم|نعم.|صح|صحيح|صحيحة|إيجابي|ايجابى|إيجابية|مفيد|👍|👍🏽|👍\ufe0f|✅|✔️|أوافق|موافق|راضٍ|أي|ايوه",
    "no": "لا|لأ|لاء|خطأ|خطا|خطاء|خاطئة|غلط|سلبي|سلبى|غير مفيد|👎|👎🏿|❌|لا أوافق|غير راضٍ|غير راضي",
    "no+": "لا أوافق بشدة|أعارض بشدة|غير موافق بشدّة",
    "yes+": "أوافق بشدة|اوافق بشده|موافق جداً",
    "average": "متوسط|متوسطة|عادي|محايد|إلى حدّ ما",
}
SHARES = {
    0.8: "٤ من ٥|4/5|٤/٥|۴/۵|4 من أصل 5|٨٠٪|80%|٪٨٠|80 ٪|★★★★☆|⭐⭐⭐⭐|⭐️⭐️⭐️⭐️|★★★★|4️⃣|١٠/٨|10/8|4 نجوم|أربع نجوم"
    "|٤ - أوافق|4. جيد جدا|٤|𝟒|4",
    0.85: "8.5 من 10|٨٫٥/١٠",
    0.7: "★★★½|3½/5|３½/5|٣½/٥",
    1.0: "خمس نجوم",
    0.4: "نجمتان",
    0.2: "نجمة واحدة",
    0.0: "☆☆☆☆☆",
}
SCORES = {cell: share for share, row in SHARES.items() for cell in row.split("|")}
NEITHER = ["4/3", "جيد لكن بطيء", "", "؟", "لا أعرف", "٥٥ سنة", "12/10/2023"]

# Spellings counted in 45,868 real texts.
COUNTED = {
    "very_good": "جيد جدا|جيد جداً|جيد جدآ|جيد جداا|جيد جدًا|جيد جداَ|جيد جدن|جيد جداُ|جيد جـــدا|جيد جدااا|جيد جداااا",
    "bad": "سيء|سيئ|سئ|سي|سىء|سيى|سيئاً|سيئة|سيئه|سئة|سئه|رديئة|رديء|ردئ|ردي|رديئ|ردىء|زفت|خايس|وحش|زباله|زبالة|خايب",
    "good": "جيد|جيدة|جيده|جيدا|جيداً|جيّد|جَيِّدَة|كويس|كويسة|كويسه|زين|حلو|حلوه|حلوة|منيح|مزيان|باهي",
    "excellent": "ممتاز|ممتازة|ممتازه|ممتازهـ|مـمتاز|ممتـــاز|رائع|رائعة|رائعه|روعه|روعة|رايع|راااائع",
    "fair": "مقبول|مقبولة|مقبوله|لا بأس",
    "fail": "غير مقبول",
    "weak": "ضعيف|ضعيفة|ضعيفه|ظعيف|مو حلو|مش حلو|مش كويس|مو زين|مب زين|موب زين|غير جيد|غير جيدة|غير جيده",
}


def cells(table: dict[str, str]) -> list[tuple[str, str]]:
    return [(cell, grade) for grade, row in table.items() for cell in row.split("|")]


@pytest.mark.parametrize(("cell", "grade"), cells(WORDS))
def test_a_word_of_the_study_has_its_grade(cell: str, grade: str) -> None:
    found = read_grade(cell)
    assert found is not None
    assert found.name == grade


@pytest.mark.parametrize(("cell", "share"), SCORES.items())
def test_a_number_of_the_study_has_its_share(cell: str, share: float) -> None:
    score = read_score(cell)
    assert score is not None
    assert score.value / (score.maximum or 5) == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("cell", NEITHER)
def test_what_is_neither_word_nor_number_is_not_guessed(cell: str) -> None:
    assert read_grade(cell) is None
    assert read_score(cell) is None


@pytest.mark.parametrize(("cell", "grade"), cells(COUNTED))
def test_a_spelling_counted_in_real_texts_has_its_grade(cell: str, grade: str) -> None:
    found = read_grade(cell)
    assert found is not None
    assert found.name == grade


@settings(max_examples=1000)
@given(st.text())
@example("\u1100\u0301\u1161")  # the mark goes, and NFKC composes what is left: 가
@example("\u09c7\u200d\u09be")
@example("\u0345")
@example("\U0001d7d2\U0001f3fd ﷺ ½_ـ٪")
def test_normalising_twice_changes_nothing(text: str) -> None:
    once = normalize_label(text)
    assert normalize_label(once) == once


SEQUENCES = st.text(
    st.sampled_from("\u1100\u1161\u11a8\u0301\u200d\u0640\u0654\u0627\u064b\ufe70\ufefb½٤_ \u00a0ẞİΣ\u0345")
)


@settings(max_examples=500)
@given(SEQUENCES)
def test_normalising_twice_changes_nothing_where_characters_combine(text: str) -> None:
    once = normalize_label(text)
    assert normalize_label(once) == once


def test_every_character_is_normalised_for_good() -> None:
    normalize = normalize_label.__wrapped__  # the cache has no room for all of Unicode
    for character in map(chr, range(0x110000)):
        once = normalize(character)
        assert normalize(once) == once, hex(ord(character))


@settings(max_examples=300)
@given(st.text())
def test_a_key_is_the_key_of_its_own_normal_form(text: str) -> None:
    assert label_key(text) == label_key(normalize_label(text))


@pytest.mark.parametrize(
    ("raw", "folded"),
    [
        ("3½", "3.5"),  # NFKC alone makes 31⁄2 of it
        ("¼", ".25"),
        ("2¾", "2.75"),
        ("٨٠٪", "80%"),
        ("٨٠﹪", "80%"),
        ("٨٫٥", "8.5"),
        ("١٬٠٠٠", "1000"),
        ("٤۴४４④𝟒", "444444"),
        ("٤⁄٥", "4/5"),
        ("−١", "-1"),
        ("جدﹰا", "جدا"),  # NFKC alone cuts this word in two
        ("الله\u0670", "الله"),
        ("ﻻ", "لا"),
        ("ی ک", "ي ك"),
        ("  جيد \u00a0 جدا\t", "جيد جدا"),
        ("Thumbs_Up", "thumbs up"),
    ],
)
def test_traps_of_unicode_are_avoided(raw: str, folded: str) -> None:
    assert normalize_label(raw) == folded


@pytest.mark.parametrize(
    ("cell", "score"),
    [
        ("8.5 من 10", Score(8.5, 10.0)),
        ("٧.٥/١٠", Score(7.5, 10.0)),
        ("10من 10", Score(10.0, 10.0)),
        ("٨ من ١٠", Score(8.0, 10.0)),
        ("4 out of 5", Score(4.0, 5.0)),
        ("٤\\٥", Score(4.0, 5.0)),
        ("١٠٠٪", Score(100.0, 100.0)),
        ("0/5", Score(0.0, 5.0)),
        ("٤٫٥", Score(4.5, None)),
        ("١٬٠٠٠", Score(1000.0, None)),
        ("-1", Score(-1.0, None)),
        ("−١", Score(-1.0, None)),
        ("+1", Score(1.0, None)),
        ("④", Score(4.0, None)),
        ("★★★½☆", Score(3.5, 5.0)),
        ("★★★☆☆", Score(3.0, 5.0)),
        ("🌟🌟", Score(2.0, None, ("max_assumed",))),
        ("3 stars", Score(3.0, None, ("max_assumed",))),
        ("خمسة", Score(5.0, None, ("max_assumed",))),
        ("صفر", Score(0.0, None, ("max_assumed",))),
        ("٥ - أوافق بشدة", Score(5.0, None, ("coded",), "اوافق بشده")),
        ("2) bad", Score(2.0, None, ("coded",), "bad")),
    ],
)
def test_numbers_are_read_with_the_maximum_they_name(cell: str, score: Score) -> None:
    assert read_score(cell) == score


@pytest.mark.parametrize(
    ("cell", "value", "maximum"),
    [("١٠/٨", 8, 10), ("10/8", 8, 10), ("5/4", 4, 5), ("٢٠/١٥", 15, 20), ("100/85", 85, 100), ("١٠ من ٧", 7, 10)],
)
def test_a_maximum_written_first_is_swapped_and_said_so(cell: str, value: float, maximum: float) -> None:
    assert read_score(cell) == Score(value, maximum, ("reversed",))


@pytest.mark.parametrize(
    "cell",
    [
        *("4/3", "7/6", "4/0", "0/0", "-1/5", "1/-5", "4/5/6", "٤ من", "من ٥"),
        *("nan", "inf", "-inf", "1e5", "0x10", "1_0", "٤٤٤٤٤٤٤٤٤٤٤٤٤٤٤٤", "½", ".5", "5."),
        *("٥٥ سنة", "12/10/2023", "10:30", "4-5", "★ ممتاز", "ممتاز ★★★", "4 - 5", "+", "%", "-", "/"),
    ],
)
def test_what_only_contains_a_number_is_none(cell: str) -> None:
    assert read_score(cell) is None


@pytest.mark.parametrize(
    ("cell", "grade", "inner"),
    [
        ("غير مقبول", Grade("fail"), "مقبول"),
        ("ليس مقبولا", Grade("fail", negated=True), "مقبول"),
        ("ليس سيئا", Grade("fair", negated=True), "سيئ"),
        ("لا بأس", Grade("fair"), "لا"),
        ("مو زين", Grade("weak", negated=True), "زين"),
        ("مش وحش", Grade("fair", negated=True), "وحش"),
        ("ما عجبني", None, "أعجبني"),
        ("غير متوسط", None, "متوسط"),
        ("غير موافق بشدة", Grade("no+"), "موافق بشدة"),
    ],
)
def test_a_negated_word_is_not_the_word(cell: str, grade: Grade | None, inner: str) -> None:
    assert read_grade(cell) == grade
    assert read_grade(inner) is not None
    assert read_grade(inner) != grade


@pytest.mark.parametrize("cell", ["إجابة ممتاز", "ممتاز لكن طويل", "جيد وسيئ", "not good", "لا شيء", "مقبولون"])
def test_a_word_counts_only_as_the_whole_cell(cell: str) -> None:
    assert read_grade(cell) is None


@pytest.mark.parametrize("cell", ["-1", "+1", "1%", "- 1", "(1)", "1-", ".1", "1."])
def test_a_number_is_never_looked_up_as_another(cell: str) -> None:
    assert label_key(cell) == cell
    assert read_grade(cell, {label_key("1"): "yes"}) is None


@pytest.mark.parametrize("cell", ["«جيد».", "- جيد", "*جيد*", "جيد!!", "(جيد)", "__جيد__", "«جييييد»"])
def test_punctuation_around_a_word_goes(cell: str) -> None:
    assert label_key(cell) == label_key("جيد")


@pytest.mark.parametrize("symbol", ["👍", "👎", "✅", "❌", "✗", "☆", "؟"])
def test_a_symbol_alone_keeps_a_key(symbol: str) -> None:
    assert label_key(symbol) == normalize_label(symbol) != ""


def test_every_word_of_the_lexicon_is_read_as_its_grade() -> None:
    for key, grade in LEXICON.items():
        assert label_key(key) == key
        assert read_grade(key) == Grade(grade), key
    assert set(LEXICON.values()) >= POSITIVE_GRADES | NEGATIVE_GRADES
    assert not POSITIVE_GRADES & NEGATIVE_GRADES


def test_two_grades_with_one_key_are_an_error() -> None:
    with pytest.raises(ValueError, match=r"'سيئ' \(b\) and a word of grade 'a' fold to the same key 'سي'"):
        index_words({"a": ("سيء",), "b": ("سيئ",)})
    assert index_words({"a": ("سيء", "سيئ")}) == {"سي": "a"}


def test_case_marks_and_order_of_marks_do_not_matter() -> None:
    for word in ("VERY GOOD", "جَيِّد جدًّا"):
        for form in ("NFC", "NFD", "NFKC", "NFKD"):
            assert read_grade(unicodedata.normalize(form, word)) == Grade("very_good")
