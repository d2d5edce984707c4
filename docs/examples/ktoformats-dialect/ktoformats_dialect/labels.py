"""The label plugin: verdicts as people say them in the Gulf, in Egypt, in the Levant and in the Maghreb."""

from __future__ import annotations

from typing import Any, Final, Literal

from ktoformats import KTOLabelError, Labels, Plugin, Reading, Scale, hookimpl, label_key, read_grade, scale_of

Dialect = Literal["خليجي", "مصري", "شامي", "مغربي"]

DISPUTED: Final[dict[str, dict[str, str]]] = {
    # all right in Egypt and the Levant; *not* in the Maghreb, *there is none* on the coast of the Gulf
    "ماشي": {"مصري": "نص نص", "شامي": "نص نص"},
    # bad in Egypt; elsewhere a beast, which may be praise
    "وحش": {"مصري": "مش حلو"},
    # terrific in Egypt; stiff elsewhere
    "جامد": {"مصري": "حلو أوي"},
    # marvellous in the Gulf; odd elsewhere
    "عجيب": {"خليجي": "وايد زين"},
}
"""Words that the dialects read differently: dialect to a word of the scale that means the same in it."""
_DISPUTED: Final = {label_key(word): word for word in DISPUTED}


class DialectWords(Labels):
    """Reads خايس < مب زين < نص نص < زين < وايد زين and their like in four dialects; good from زين, bad to مب زين.

    A negated word is a word of its own: مش وحش is in the middle, ماشي مزيان is bad. A word that the dialects read
    differently is refused unless the option `dialect` settles it.
    """

    examples = (
        ("وايد زين", "good"),
        ("حلو أوي", "good"),
        ("منيح", "good"),
        ("مزيانة", "good"),
        ("مش وحش", ""),
        ("نص نص", ""),
        ("مب زين", "bad"),
        ("مش حلو", "bad"),
        ("مو منيح", "bad"),
        ("ماشي مزيان", "bad"),
        ("زبالة", "bad"),
        ("ماشي", "", {"dialect": "مصري"}),
        ("وحش", "bad", {"dialect": "مصري"}),
        ("عجيب", "good", {"dialect": "خليجي"}),
    )

    scale: Scale = scale_of(
        "dialect",
        "خايس | زفت | زبالة | وحش أوي | وحش قوي | خايب بزاف"
        " < مب زين | موب زين | مهوب زين | مو زين | مش حلو | مش حلو أوي | مش حلوة أوي | مش كويس"
        " | مش ولا بد | مو حلو | مو منيح | مش منيح | مو كويس | ماشي مزيان | ماشي زوين | خايب"
        " < نص نص | عادي | مش وحش | مش بطال | لا بأس | لابأس | يمشي الحال | بين البينين"
        " < زين | حلو | كويس | منيح | مليح | مزيان | زوين | باهي | تمام"
        " < وايد زين | زين وايد | زين مرة | وايد حلو | حلو وايد | حلو أوي | حلو قوي | كويس أوي | كويس قوي"
        " | كتير منيح | منيح كتير | حلو كتير | كتير حلو | مزيان بزاف | زوين بزاف | باهي برشا",
        good_from=3,
        bad_to=1,
    )
    dialect: Dialect | None = None
    """Whose words these are; it settles what the dialects read differently."""

    def read(self, cell: Any) -> Reading | None:
        """Read one raw cell; see the class."""
        if type(cell) is str and (word := read_grade(cell, _DISPUTED, {})) is not None:
            return self.scale.read(self._settled(cell, word.name))
        return self.scale.read(cell)

    def _settled(self, cell: str, word: str) -> str:
        settled = DISPUTED[word]
        if self.dialect in settled:
            return settled[self.dialect]
        whose = f"this is {self.dialect}" if self.dialect else "nobody said whose it is"
        raise KTOLabelError(
            "label_unrecognised",
            f"{cell!r} is a verdict in {', '.join(settled)} alone and has other meanings elsewhere, and {whose}; "
            "name the dialect in the record, or by the option `dialect` of its scale",
        )


@hookimpl
def ktoformats_plugins() -> list[type[Plugin]]:
    """Name this module's plugin."""
    return [DialectWords]
