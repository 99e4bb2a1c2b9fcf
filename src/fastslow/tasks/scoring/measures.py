r"""Tell what a number in a box is measured in, a unit such as \text{ cm} or a base as in 12_{8}; read ratios and times;
tell apart letters that differ in case alone."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction

from fastslow.tasks.scoring import hedges, numbers
from fastslow.tasks.scoring.latex import FUNCTIONS
from fastslow.tasks.scoring.standing import CHANGES, JOINERS, MAGNITUDES, OPERATORS, SIGNS, UNITS

LONG = "|".join(sorted((name for name in UNITS if len(name) > 1), key=len, reverse=True))
EXPONENT = r"(?:\^\{?-?[1-9]\}?)?"
WORDS = rf"\\(?:text|mathrm)\{{[A-Za-zµμΩ. /-]{{1,40}}\}}{EXPONENT}"
BARE = rf"(?<![A-Za-z\\])(?:{LONG})(?![A-Za-z]){EXPONENT}"
UNIT = re.compile(
    rf"(?P<measured>.*(?:[0-9}})\]!]|\\pi))(?P<unit>(?:{WORDS}|{BARE})(?:(?:/|\\cdot)?(?:{WORDS}|{BARE})){{0,3}})"
)
CONSTANTS = frozenset({"e", "i"})  # \mathrm{i} is no unit
IN_TEXT = re.compile(r"\\(?:text|textbf|mathrm|mathbf)\{([^{}]*)\}")
WRAPPERS = "text|textbf|mathrm|mathbf|mathbb|operatorname|begin|end"
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


MAGNIFIED = re.compile(rf"[0-9]\\(?:text|mathrm)\{{[{''.join(sorted(MAGNITUDES))}]\}}")
TIME = re.compile(r"[0-9]{1,2}:[0-5][0-9](?::[0-5][0-9])?")
LETTER = re.compile(rf"\\(?:{WRAPPERS})\s?\{{[^{{}}]*\}}|\\[A-Za-z]+|(?<![A-Za-z])(?:{LONG})(?![A-Za-z])|([A-Za-z])")
SPARE = "quvwzhgkpsrtyjlmnbcaxo"  # letters that math-verify reads as symbols


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
    if hedges.IN_BOX.search(word):
        return False
    noun = word in ("people", "children", "men", "women") or (
        len(word) > 3 and word.endswith("s") and word not in ("gross", "tens")
    )
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


def magnified(text: str) -> bool:
    """Return whether a letter glued to a number may be a magnitude: in 2\\text{K}, but not in 2\\text{ K}."""
    return MAGNIFIED.search(text) is not None


def same_ratio(gold: str, given: str) -> bool | None:
    """Return whether two texts of numbers between colons are the same ratio, or the same time; None for other texts.

    1:2 is 2:4 and 1/2; but 7:30 may be a time, and is not 14:60.
    """
    if TIME.fullmatch(gold):
        return TIME.fullmatch(given) is not None and [*map(int, gold.split(":"))] == [*map(int, given.split(":"))]
    parts = [[numbers.read(part) for part in text.split(":")] for text in (gold, given)]
    if any(number is None for side in parts for number in side):
        return None
    right, got = ([number for number in side if number is not None] for side in parts)
    if len(right) != len(got):
        right, got = (_quotient(side) for side in (right, got))
        return bool(right and got) and right == got
    return any(right) and any(got) and all(a * got[0] == b * right[0] for a, b in zip(right, got, strict=True))


def _quotient(sides: list[Fraction]) -> list[Fraction]:
    if len(sides) == 2 and sides[1]:
        return [sides[0] / sides[1]]
    return sides if len(sides) == 1 else []


def cased(*texts: str) -> tuple[str, ...]:
    """Return the texts with other letters for those of which they use both cases: math-verify takes R for r."""
    letters = {match[1] for text in texts for match in LETTER.finditer(text) if match[1]}
    both = sorted(letter for letter in letters if letter.isupper() and letter.lower() in letters)
    if not both:
        return texts
    unused = [letter for letter in SPARE if letter not in letters and letter.upper() not in letters]
    new = dict(zip(both, unused, strict=False))
    return tuple(
        LETTER.sub(lambda match: new.get(match[1], match[1]) if match[1] else match[0], text) for text in texts
    )
