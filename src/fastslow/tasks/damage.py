r"""Find in texts what no author wrote: what a file format or a program made of them on their way.

- A command whose backslash was read as an escape: of a lone `\frac` JSON and Python leave a form feed and `rac`.
- Other control characters, and the sign that a wrong decoding leaves (U+FFFD).
- Words that programs write where a number or a value is missing.

Not found: in questions, a command of which a whole word remains (`\to` leaves a tab and `o`) unless braces or the like
follow it; text that was decoded wrongly into ordinary letters.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

LAYOUT = "\n\r\t"

ESCAPES = {
    "\a": ("a", "a bell"),
    "\b": ("b", "a backspace"),
    "\t": ("t", "a tab"),
    "\n": ("n", "a line feed"),
    "\v": ("v", "a vertical tab"),
    "\f": ("f", "a form feed"),
    "\r": ("r", "a carriage return"),
}
"""Control character -> the letter that spells it behind a backslash, and its name."""

CERTAIN = {
    "\a": "leph lpha ngle pprox rccos rcsin rctan rray st symp",
    "\b": "ackslash ar ecause egin eta etween ig igcap igcup igg igl igm igodot igoplus igotimes igr igwedge inom mod "
    "oldsymbol ot owtie oxed oxplus oxtimes ra reve ullet",
    "\f": "lat ootnotesize orall rac rak ramebox rown",
    "\v": "arepsilon arnothing arphi arpi arrho arsigma artheta dash dots ec ee ert phantom space",
    "\t": "anh extbf extit extrm extsf extstyle exttt herefore heta hinspace ilde imes riangle riangleleft riangleq "
    "riangleright wohead woheadrightarrow",
    "\n": "abla cong earrow ewcommand ewline geq leq olimits onumber otag otin rightarrow subseteq supseteq vdash "
    "warrow",
    "\r": "brace brack ceil ho ight ightarrow ightharpoonup ightleftharpoons isingdotseq oot vert",
}
"""What is left of a command whose first letter became the control character: hardly a word at the start of a line or
cell, or in a program that is indented by tabs."""

IN_A_GOLD = {"\n": "eq"}
BEFORE_A_BRACE = {"\t": "binom ext frac"}
POSSIBLE = {"\t": "an au ag ext o op", "\n": "e eg eq exists i mid ot parallel prec sim succ u", "\r": "angle floor m"}
"""What is left of a command and may be a word: certain in a right answer, before a brace, or never."""

REMAINS = re.compile(r"([\a\b\t\n\v\f\r])([A-Za-z]+)")
STRANGE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ufffd]")  # Unicode's control characters but for layout
COMMANDING = frozenset("{_^\\")  # what stands behind a command rather than behind a word

NOT_A_NUMBER = frozenset(["nan", "NaN", "NAN", "-nan", "-NaN", "<NA>", "NaT", "#N/A", "#NA", "1.#QNAN", "-1.#IND"])
"""Words that only programs write."""

MISSING = ("none", "None", "NONE", "null", "Null", "NULL", "nil", "undefined", "missing", "NA", "N/A", "n/a")
NOTHING = frozenset([*MISSING, "inf", "+inf", "-inf", "Infinity", "-Infinity"])
"""Words that programs write for what is missing or beyond their numbers, and that can be an answer."""

STAND_INS = frozenset(
    ["-", "--", "---", "\u2013", "\u2014", "?", "??", "???", "..", "...", "\u2026", "_", "__", "___", "xx", "xxx",
     "n.a.", "na", "tbd", "t.b.d.", "tba", "todo", "to do", "fixme", "unknown", "not known",
     "not available", "not applicable", "no answer", "placeholder", "your answer", "<answer>", "[answer]"]
)  # fmt: skip
"""What people write, in any case, where they have no answer yet; some of it can be one."""


class Eaten(NamedTuple):
    """A command whose backslash and first letter became one control character."""

    command: str
    character: str

    def __str__(self) -> str:
        return f"{self.character} where '{self.command}' was meant"


def eaten_command(text: str, *, gold: bool = False) -> Eaten | None:
    """Return the first command that was certainly lost in this text. A right answer (`gold`) is no page of text: there
    a bell, backspace, form feed or vertical tab before a letter is one as well."""
    return next((_eaten(match) for match in _remains(text) if _is_certain(text, match, gold)), None)


def possible_command(text: str, *, gold: bool = False) -> Eaten | None:
    """Return the first command that may have been lost: what is left of it could be a word. In a right answer any such
    word counts, elsewhere only one before a sign that commands take."""
    return next((_eaten(match) for match in _remains(text) if _is_possible(text, match, gold)), None)


def strange_character(text: str) -> str | None:
    """Return the first control character other than layout, or the sign of a wrong decoding, as U+ and its number."""
    found = STRANGE.search(text)
    return None if found is None else f"U+{ord(found[0]):04X}"


def encodes(text: str) -> bool:
    """Return whether a tokenizer can read the text: not where it has half a surrogate pair."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _remains(text: str) -> Iterator[re.Match[str]]:
    for match in REMAINS.finditer(text):
        if match[1] != "\n" or text[max(0, match.start() - 1) : match.start()] != "\r":  # no line end of Windows
            yield match


def _is_certain(text: str, match: re.Match[str], gold: bool) -> bool:
    char, rest = match[1], match[2]
    if rest in _words(CERTAIN, char) or (gold and (char not in LAYOUT or rest in _words(IN_A_GOLD, char))):
        return True
    return text[match.end() : match.end() + 1] == "{" and rest in _words(BEFORE_A_BRACE, char)


def _is_possible(text: str, match: re.Match[str], gold: bool) -> bool:
    if match[2] not in _words(POSSIBLE, match[1]):
        return False
    return gold or match[2] == "eq" or text[match.end() : match.end() + 1] in COMMANDING


def _eaten(match: re.Match[str]) -> Eaten:
    letter, name = ESCAPES[match[1]]
    return Eaten(f"\\{letter}{match[2]}", name)


def _words(table: Mapping[str, str], char: str) -> list[str]:
    return table.get(char, "").split()
