"""The files that are measured: seeded, the same on every machine, in five formats and two languages."""

from __future__ import annotations

import random
from functools import cache
from typing import TYPE_CHECKING, Any, Final

import orjson

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FORMATS: Final = ("binary", "pairwise", "ranking", "conversation", "arabic-rating")
WHOLE_DIALOGUES: Final = "whole dialogues"
"""Pairs whose sides repeat the dialogue and bring no prompt: what TRL calls an implicit prompt. In no mixed file."""
LANGUAGES: Final = ("Arabic", "English")

_ARABIC: Final = (
    "في من على إلى عن مع هذا التي الذي كان يكون العلم المعرفة الحياة الإنسان المدينة الدولة التاريخ اللغة العربية "
    "كتاب قراءة تعليم مدرسة جامعة بحث تطوير تقنية ذكاء اصطناعي حاسوب شبكة معلومات بيانات نموذج تدريب جودة نتيجة "
    "سؤال جواب شرح مثال فكرة رأي قانون طبيعة ماء هواء شمس قمر أرض سماء بحر جبل نهر صحراء زراعة صناعة تجارة اقتصاد"
)
_ENGLISH: Final = (
    "the of and to in is that for it as was with be by on not he his but at are this have from or had an they which "
    "science knowledge life people city country history language book reading education school university research "
    "technology network information data model training quality result question answer example idea opinion nature "
    "water air moon earth mountain river desert agriculture industry trade economy"
)
_WORDS: Final = {"Arabic": _ARABIC.split(), "English": _ENGLISH.split()}
_GRADES: Final = ("ممتاز", "جيد جداً", "ضعيف", "٤ من ٥", 2)
_SENTENCE: Final = 10
"""Words in a sentence."""
_SENTENCES: Final = 5000
"""Texts are put together of so many different sentences: a million rows are written in seconds, and no two are alike."""


@cache
def _sentences(language: str) -> list[str]:
    chance = random.Random(language)
    return [" ".join(chance.choices(_WORDS[language], k=_SENTENCE)) + "." for _ in range(_SENTENCES)]


class _Writer:
    """Writes records in one language."""

    def __init__(self, language: str, seed: int) -> None:
        self._chance = random.Random(seed)
        self._sentences = _sentences(language)

    def text(self, sentences: int) -> str:
        return " ".join(self._chance.choices(self._sentences, k=sentences))

    def message(self, role: str, sentences: int) -> dict[str, str]:
        return {"role": role, "content": self.text(sentences)}

    def record(self, kind: str, number: int) -> dict[str, Any]:
        """One record; in Arabic of about 1.2 kB in UTF-8, in English of two thirds of it."""
        chance = self._chance
        if kind == "binary":
            label = "good" if chance.random() < 0.5 else "bad"
            return {"id": number, "prompt": self.text(1), "response": self.text(9), "label": label}
        if kind == "pairwise":
            return {"prompt": self.text(1), "chosen": self.text(5), "rejected": self.text(4)}
        if kind == "ranking":
            responses = [self.text(4), self.text(4), self.text(1)]
            return {"prompt": self.text(1), "responses": responses, "rankings": chance.sample([1, 2, 3], 3)}
        if kind == "conversation":
            turns = [self.message(*turn) for turn in (("user", 1), ("assistant", 3), ("user", 1), ("assistant", 5))]
            return {"messages": turns, "label": chance.random() < 0.5}
        if kind == WHOLE_DIALOGUES:
            turns = [self.message(*turn) for turn in (("user", 1), ("assistant", 2), ("user", 1))]
            return {side: [*turns, self.message("assistant", 3)] for side in ("chosen", "rejected")}
        return {"prompt": self.text(1), "response": self.text(9), "تقييم": chance.choice(_GRADES)}


def records(kinds: tuple[str, ...], language: str, rows: int, *, seed: int = 1) -> Iterator[dict[str, Any]]:
    """So many records, the kinds in turn."""
    writer = _Writer(language, seed)
    for number in range(rows):
        yield writer.record(kinds[number % len(kinds)], number)


class Corpora:
    """Files of a folder, each written when it is first asked for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def file(self, kinds: tuple[str, ...], language: str, rows: int) -> Path:
        """A JSON Lines file of these records."""
        name = "mixed" if len(kinds) > 1 else kinds[0].replace(" ", "-")
        path = self.folder / f"{name}-{language.lower()}-{rows}.jsonl"
        if not path.exists():
            with path.open("wb") as stream:
                stream.writelines(
                    orjson.dumps(one, option=orjson.OPT_APPEND_NEWLINE) for one in records(kinds, language, rows)
                )
        return path
