r"""Tell what a number in a box is measured in: a unit such as \text{ cm}, or a base as in 12_{8}."""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastslow.tasks.scoring.latex import FUNCTIONS
from fastslow.tasks.scoring.standing import CHANGES, JOINERS, OPERATORS, SIGNS, UNITS

LONG = "|".join(sorted((name for name in UNITS if len(name) > 1), key=len, reverse=True))
EXPONENT = r"(?:\^\{?-?[1-9]\}?)?"
WORDS = rf"\\(?:text|mathrm)\{{[A-Za-zµμΩ. /-]{{1,40}}\}}{EXPONENT}"
BARE = rf"(?<![A-Za-z\\])(?:{LONG})(?![A-Za-z]){EXPONENT}"
UNIT = re.compile(
    rf"(?P<measured>.*(?:[0-9}})\]!]|\\pi))(?P<unit>(?:{WORDS}|{BARE})(?:(?:/|\\cdot)?(?:{WORDS}|{BARE})){{0,3}})"
)
CONSTANTS = frozenset({"e", "i"})  # \mathrm{i} is no unit
IN_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\{([^{}]*)\}")
CHANGING = re.compile("|".join(f"^{word}|{word}$" for word in CHANGES | OPERATORS | JOINERS | SIGNS if len(word) > 2))
NAMES = {
    **dict.fromkeys(("meter", "metre"), "m"),
    **dict.fromkeys(("centimeter", "centimetre"), "cm"),
    **dict.fromkeys(("kilometer", "kilometre"), "km"),
    **dict.fromkeys(("millimeter", "millimetre"), "mm"),
    **dict.fromkeys(("inche", "inch"), "in"),
    **dict.fromkeys(("foot", "feet"), "ft"),
    **dict.fromkeys(("second", "sec"), "s"),
    **dict.fromkeys(("hour", "hr"), "h"),
    **dict.fromkeys(("liter", "litre"), "l"),
} | {"minute": "min", "gram": "g", "kilogram": "kg", "year": "yr", "mile": "mi", "pound": "lb"}
BASE_WORDS = ("two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")
BASED = re.compile(
    r"([-+]?)\(?(?:\\(?:text|mathrm)\{)?([0-9A-Z]{1,40})\}?\)?_\{?\(?(?:\\(?:text|mathrm)\{)?(?:base)?"
    rf"([0-9]{{1,2}}|{'|'.join(BASE_WORDS)})\}}?\)?\}}?"
)


@dataclass(frozen=True)
class Based:
    """Hold a number that was written in another base than ten: it is met in that base only."""

    base: int
    value: int


def without_unit(text: str) -> tuple[str, str]:
    """Return a plain text without the unit behind it, and the unit; empty where there is none."""
    match = UNIT.fullmatch(text)
    if match is None:
        return text, ""
    words = re.sub(r"\\(?:text|mathrm)|\\cdot|[{}./\s]|\^\{?-?[1-9]\}?", " ", match["unit"]).split()
    if not words or not all(map(_counts_or_measures, words)):
        return text, ""
    return match["measured"], " ".join(map(_short, words))


def other_words(text: str) -> set[str]:
    """Return the words of a plain text that are no unit behind a number.

    math-verify leaves out all words: 5 million and 3 halves would be 5 and 3.
    """
    bare, _ = without_unit(text)
    found = {word for match in IN_TEXT.findall(bare) for word in match.split()}
    return {word for word in found if word not in FUNCTIONS}


def _counts_or_measures(word: str) -> bool:
    """Return whether a word is a unit, or names things that are counted and says nothing about how many."""
    if word in UNITS and word not in CONSTANTS:
        return True
    noun = word in ("people", "children", "men", "women") or (len(word) > 3 and word.endswith("s") and word != "gross")
    # Spaces are gone, so that a word may be several.
    return noun and not CHANGING.search(word.lower())


def _short(word: str) -> str:
    singular = word[:-1] if len(word) > 3 and word.endswith("s") else word
    return NAMES.get(singular.lower(), singular)


def based(text: str) -> Based | None:
    """Read a number with a base as its index; None for any other text, or for digits that the base has not."""
    match = BASED.fullmatch(text)
    if match is None:
        return None
    base = int(match[3]) if match[3].isdigit() else BASE_WORDS.index(match[3]) + 2
    try:
        value = int(match[2], base) if 2 <= base <= 36 else None
    except ValueError:
        return None
    return None if value is None else Based(base, -value if match[1] == "-" else value)
