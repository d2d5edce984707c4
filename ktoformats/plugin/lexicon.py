"""Arabic (and English) verdict words, stars and fractions, as people write them.

Everything here reads *label cells* only; prompt and response are never normalised. The recipe and its order
follow the study in `docs/explanation/arabic-labels.md`; the folds agree with Lucene's ArabicNormalizer.
A word gets a *grade* here, never a polarity: what a grade means is up to the scale it is read on.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache
from typing import Final, NamedTuple

# Step 1, before NFKC: haraka presentation forms would become SPACE or TATWEEL plus a mark (one word would
# fall in two), and 3½ would become 31⁄2.
_BEFORE_NFKC: Final[dict[int, str | None]] = {
    **dict.fromkeys([*range(0xFE70, 0xFE80), *range(0xFC5E, 0xFC64), *range(0xFCF2, 0xFCF5)]),
    0xBD: ".5",
    0xBC: ".25",
    0xBE: ".75",
}
_DROPPED_CATEGORIES: Final = frozenset({"Mn", "Cf"})
_KEYCAP: Final = "\u20e3"  # of 4️⃣; other enclosing marks stay, for a crossed-out thumb is no thumb
_NEGATING: Final = frozenset("!")  # in front of a word; the other signs of negation are symbols anyway
_SKIN_TONES: Final = range(0x1F3FB, 0x1F400)
_FOLDS: Final = str.maketrans(
    {
        **dict.fromkeys("أإآٱٲٳٵ", "ا"),
        **dict.fromkeys("ىئیېےۍٸ", "ي"),
        "ؤ": "و",
        **dict.fromkeys("ةۃہھەۀۂۿ", "ه"),
        "ک": "ك",
        "ڪ": "ك",
        "ء": "",
        "ٴ": "",
        "ـ": "",
        "٪": "%",
        "٫": ".",
        "٬": "",
        **dict.fromkeys("⁄∕", "/"),
        **dict.fromkeys("−–—", "-"),
        "،": ",",
        "؛": ";",
        "؟": "?",
    }
)


MOST_CHARACTERS: Final = 1000
"""A longer cell is neither a word nor a number. Folding makes 18 characters of one at most, so time stays bounded."""


@lru_cache(maxsize=65536)
def normalize_label(text: str) -> str:
    """Fold the spellings of one label into one: marks, digits, letter forms, case, white space.

    Args:
        text: A label cell.

    Returns:
        The folded text; `جَيِّد جدًّا` and `ﺟﻴﺪ ﺟﺪﺍ` give the same one. Idempotent.
    """
    while (folded := _fold(text)) != text:  # a mark dropped from between two letters can let NFKC compose them
        text = folded
    return folded


def _fold(text: str) -> str:
    text = unicodedata.normalize("NFKC", text.translate(_BEFORE_NFKC)).casefold()
    text = "".join(
        c
        for c in text
        if unicodedata.category(c) not in _DROPPED_CATEGORIES and ord(c) not in _SKIN_TONES and c != _KEYCAP
    )
    text = text.translate(_FOLDS)
    text = "".join(str(unicodedata.decimal(c)) if c > "9" and unicodedata.category(c) == "Nd" else c for c in text)
    return re.sub(r"[\s_]+", " ", text).strip()


def label_key(text: str) -> str:
    """The key a label word is looked up under: folded, edge punctuation off, letter runs made one.

    Cells without a letter keep their folded form: 👍 is no punctuation, and `-1` must not become `1`. Symbols and
    signs of negation stay on words, too: `👎 good` and `!good` are not `good`. English doubles letters by
    spelling (`loose` is not `lose`), so only runs of three are folded there.
    """
    folded = normalize_label(text)
    if not re.search(r"[^\W\d_]", folded):
        return folded
    start, end = 0, len(folded)
    while start < end and _is_edge(folded[start]) and folded[start] not in _NEGATING:
        start += 1
    while end > start and _is_edge(folded[end - 1]):
        end -= 1
    runs = re.sub(r"([a-z])\1{2,}", r"\1", folded[start:end])
    return re.sub(r"([^\W\d_a-z])\1+", r"\1", runs)


def _is_edge(character: str) -> bool:
    """Whether a character at the edge of a word says nothing: punctuation and space, but no symbol."""
    return unicodedata.category(character)[0] in "PZ"


_WORDS: Final[dict[str, tuple[str, ...]]] = {
    "excellent": (
        *[
            "ممتاز",
            "امتياز",
            "ممتاز+",
            "رائع",
            "روعة",
            "مذهل",
            "عظيم",
            "متفوق",
            "excellent",
            "great",
            "بطل",
            "جامد",
        ],
        "ممتاز جدا",
        "رائع جدا",
    ),
    "very_good": (
        *("جيد جدا", "جيدة جداً", "جيد جدًّا", "حسن جدا", "very good"),
        *("كويس جدا", "حلو جدا", "كتير منيح", "زين مرة"),
    ),
    "good": (
        *[
            "جيد",
            "حسن",
            "كويس",
            "زين",
            "مزيان",
            "باهي",
            "منيح",
            "مليح",
            "حلو",
            "تمام",
            "طيب",
            "بهي",
            "good",
            "عال",
        ],
        "فوق المتوسط",
        "أعلى من المتوسط",
    ),
    "fair": (
        *["مقبول", "acceptable", "fair", "ماشي"],
        *("نص نص", "لا بأس", "لا بأس به", "لابأس", "لابأس به", "مش بطال"),
    ),
    "average": (
        *["متوسط", "عادي", "وسط", "محايد", "متردد", "معدل", "average", "neutral"],
        *("إلى حد ما", "لا أوافق ولا أعارض", "غير متأكد"),
    ),
    "weak": (
        *["ضعيف", "ظعيف", "ركيك", "weak", "poor"],
        *("دون المتوسط", "دون المعدل", "تحت المتوسط", "دون المستوى", "يحتاج تحسين", "يحتاج إلى تحسين"),
    ),
    "very_weak": ("ضعيف جدا", "very poor"),
    "bad": (*["سيء", "رديء", "وحش", "خايب", "خايس", "زفت", "زبالة", "bad"], "سوء"),
    "very_bad": ("سيء جدا", "رديء جدا", "terrible", "very bad"),
    "fail": (*["راسب", "ساقط", "فاشل", "مرفوض", "fail"], "غير مجتاز", "غير مقبول"),
    "pass": ("ناجح", "مجتاز", "نجاح", "pass"),
    "yes": (
        *[
            "نعم",
            "ايوه",
            "ايوا",
            "أجل",
            "اي",
            "بلى",
            "صح",
            "صحيح",
            "yes",
            "true",
            "موافق",
            "أوافق",
            "أتفق",
            "إيجابي",
            "ايجابية",
            "positive",
        ],
        *["مفيد", "أعجبني", "راض", "راضي", "مرضي", "حقيقي", "👍", "✅", "✔", "✓", "😊"],
        *("نعم نعم", "good answer"),
    ),
    "no": (
        *[
            "لا",
            "لأ",
            "كلا",
            "خطأ",
            "خطا",
            "غلط",
            "خاطئ",
            "no",
            "false",
            "أعارض",
            "سلبي",
            "سلبية",
            "negative",
            "أرفض",
            "👎",
            "❌",
            "✗",
            "✘",
        ],
        *("غير موافق", "لا أوافق", "لا أتفق", "أختلف", "غير مفيد", "لم يعجبني", "لا يعجبني"),
        *("غير راض", "غير راضي", "غير صحيح", "غير مرضي", "غير مرض"),
    ),
    "yes+": (
        *("أوافق بشدة", "موافق بشدة", "أتفق بشدة", "موافق جدا"),
        *("راضي جدا", "راض جدا", "راض تماما"),
    ),
    "no+": (
        *("لا أوافق بشدة", "غير موافق بشدة", "أعارض بشدة", "أختلف بشدة"),
        *("غير موافق جدا", "غير راضي جدا", "غير راض تماما"),
    ),
}
_OPPOSITE: Final = {
    "excellent": "weak",
    "very_good": "weak",
    "good": "weak",
    "fair": "fail",
    "yes": "no",
    "bad": "fair",
    "weak": "fair",
    "pass": "fail",
}
"""What a negated grade means: *not good* is weak, *not bad* is fair, *not excellent* says no more than weak."""
POSITIVE_GRADES: Final = frozenset({"excellent", "very_good", "good", "pass", "yes", "yes+"})
NEGATIVE_GRADES: Final = frozenset({"weak", "very_weak", "bad", "very_bad", "fail", "no", "no+"})


def index_words(groups: dict[str, tuple[str, ...]]) -> dict[str, str]:
    """Key every word of every grade; two grades with one key raise ValueError naming both words' key."""
    index: dict[str, str] = {}
    for grade, words in groups.items():
        for word in words:
            key = label_key(word)
            if index.setdefault(key, grade) != grade:
                message = f"{word!r} ({grade}) and a word of grade {index[key]!r} fold to the same key {key!r}"
                raise ValueError(message)
    return index


LEXICON: Final = index_words(_WORDS)
_NEGATORS: Final = frozenset(
    map(label_key, ["غير", "ليس", "ليست", "مش", "مو", "مب", "موب", "ما", "مهوب", "ماهو", "ماهي"])
)


class Grade(NamedTuple):
    """A word's grade; `negated` when it was reached through a negator."""

    name: str
    negated: bool = False


def read_grade(text: str, lexicon: dict[str, str] = LEXICON, opposites: dict[str, str] = _OPPOSITE) -> Grade | None:
    """Look a whole cell up in a lexicon.

    The order is: as it stands, without the article ال, each of them without a feminine or accusative ending,
    then a negator before a known word. Never by substring: `غير مقبول` is not `مقبول`.

    Args:
        text: The cell.
        lexicon: `label_key(word)` to grade.
        opposites: The grade a negator turns a grade into.

    Returns:
        The grade, or None when the cell is not a known word; one of more than 1000 characters is none.
    """
    if len(text) > MOST_CHARACTERS:
        return None
    key = label_key(text)
    for candidate in (key, key[2:]) if key.startswith("ال") else (key,):
        for form in _inflections(candidate):
            if form in lexicon:
                return Grade(lexicon[form])
    head, _, rest = key.partition(" ")
    if rest and head in _NEGATORS:
        known = read_grade(rest, lexicon, opposites)
        if known is not None and known.name in opposites:
            return Grade(opposites[known.name], negated=True)
    return None


def _inflections(word: str) -> list[str]:
    forms = [word]
    if word.endswith(("ه", "ا")) and len(word) > 2:  # noqa: PLR2004 - a stem has two letters at least
        forms.append(word[:-1])
    forms.append(re.sub(r"^(\S{2,})[ها](?= )", r"\1", word))
    forms += [form[:-1] + "ا" for form in forms if form.endswith(" جدن")]  # tanween spelled as it sounds
    return forms


class Score(NamedTuple):
    """A number as it stands in a cell."""

    value: float
    maximum: float | None
    """The maximum the cell itself names; None for a bare number."""
    flags: tuple[str, ...] = ()
    word: str = ""
    """The text of a coded option such as `٤ - أوافق`."""


_STARS: Final = "★⭐🌟✭"
_EMPTY_STARS: Final = "☆✩"
_MAXIMA_FIRST: Final = frozenset({5.0, 10.0, 20.0, 100.0})
_NUMBER: Final = r"([+-]?\d{1,15}(?:\.\d{1,15})?)"
_PERCENT_OR_NUMBER: Final = re.compile(rf"(%?)\s*{_NUMBER}\s*(%?)")
_FRACTION: Final = re.compile(rf"{_NUMBER}\s*(?:/|\\|من|من اصل|out of|of)\s*{_NUMBER}")
_COUNTED_STARS: Final = re.compile(rf"{_NUMBER}\s*(?:نجوم|نجمه|نجمات|stars?)")
_CODED: Final = re.compile(r"(\d{1,15})\s*[-.:)]\s*(\D+)")
_NUMBER_WORDS: Final = {
    label_key(word): number
    for number, words in enumerate(
        ("صفر", "واحد واحدة نجمة", "اثنان اثنين نجمتان نجمتين", "ثلاثة ثلاث", "أربعة أربع", "خمسة خمس")
    )
    for word in words.split()
}
_UNIT_WORDS: Final = frozenset(map(label_key, ("نجوم", "نجمات", "فقط", "درجات")))
_PERCENT: Final = 100.0


def read_score(text: str) -> Score | None:
    """Read a whole cell as a number, percentage, fraction, count of stars, number word or coded option.

    Args:
        text: The cell, in any digits: `٤ من ٥`, `10/8` (read as 8 of 10), `★★★★☆`, `80%`, `أربع نجوم`.

    Returns:
        The number with the maximum the cell names, or None when the cell is nothing of the kind, or has more than
        1000 characters.
    """
    return None if len(text) > MOST_CHARACTERS else _read_score(text)


@lru_cache(maxsize=65536)
def _read_score(text: str) -> Score | None:
    folded = normalize_label(text)
    return _read_stars(folded) or _read_digits(folded) or _read_number_words(folded) or _read_coded(folded)


def _read_stars(folded: str) -> Score | None:
    full = sum(folded.count(star) for star in _STARS)
    empty = sum(folded.count(star) for star in _EMPTY_STARS)
    rest = re.sub(rf"[{_STARS}{_EMPTY_STARS}\s]", "", folded)
    if not full + empty or rest not in ("", ".5"):
        return None
    value = full + (0.5 if rest else 0.0)
    if empty:
        # a half star stands in for a whole one: ★★★½☆ has five places
        return Score(value, float(full + empty + bool(rest)))
    return Score(value, None, ("max_assumed",))


def _read_digits(folded: str) -> Score | None:
    if match := _PERCENT_OR_NUMBER.fullmatch(folded):
        percent = match[1] or match[3]
        return Score(float(match[2]), _PERCENT if percent else None)
    flags: tuple[str, ...] = ()
    if match := _FRACTION.fullmatch(folded):
        value, maximum = float(match[1]), float(match[2])
        if value > maximum and value in _MAXIMA_FIRST:
            value, maximum, flags = maximum, value, ("reversed",)
        return Score(value, maximum, flags) if 0 <= value <= maximum and maximum > 0 else None
    if match := _COUNTED_STARS.fullmatch(folded):
        return Score(float(match[1]), None, ("max_assumed",))
    return None


def _read_number_words(folded: str) -> Score | None:
    words = [word for word in label_key(folded).split(" ") if word not in _UNIT_WORDS]
    if 1 <= len(words) <= 2 and all(word in _NUMBER_WORDS for word in words):  # noqa: PLR2004 - نجمة واحدة
        return Score(float(max(_NUMBER_WORDS[word] for word in words)), None, ("max_assumed",))
    return None


def _read_coded(folded: str) -> Score | None:
    if match := _CODED.fullmatch(folded):
        return Score(float(match[1]), None, ("coded",), word=match[2].strip())
    return None
