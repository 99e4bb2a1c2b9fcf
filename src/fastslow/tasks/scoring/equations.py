r"""Take an equation that states an answer apart: |A| = 25, f(2) = 3 + 4 = 7, x = \frac{1}{3} \approx 0.333.

What stands first may be the name of a quantity; then everything behind is a value of it. Without a name every side is a
value. `2x = 4` names no quantity: who answers it has not solved it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from fastslow.tasks.scoring import hedges, latex, structure

APPROXIMATES = "≈"  # after `structure.plain`
MAX_SIDES = 8  # each may be asked of math-verify
ELSE = re.compile(rf"{structure.ORDER}|{structure.OR}|\\in(?![a-z])")
NAMED = re.compile(
    r"\\(?:text|textbf|mathrm|mathbf|operatorname|mathcal|mathbb)\{[^{}]*[A-Za-z][^{}]*\}"
    rf"|\\(?:angle|measuredangle|triangle|overline|overrightarrow|vec|det|dim|gcd|max|min|deg|arg|{'|'.join(sorted(latex.FUNCTIONS))})"
    r"(?![A-Za-z])"
)
QUANTITY = re.compile(
    r"(?P<name>[A-Za-z]|\\[A-Za-z]+)\s?'{0,3}(?:_(?:[A-Za-z0-9]|\{[^{}]{1,20}\}))?(?:\^\{?-?[0-9A-Za-z]{1,3}\}?(?=\())?"
    r"(?:\([^()]{0,40}\)|\[[^\[\]]{0,40}\])?"
)
SIZE = re.compile(r"\|[^|]*(?:[A-Zzw]|\\)[^|]*\|")
NO_LETTERS = re.compile(r"\\(?:text|textbf|mathrm|mathbf|operatorname|mathcal|mathbb)\{[^{}]*\}|\\[A-Za-z]+")


@dataclass(frozen=True)
class Side:
    """Hold a value that an equation states; `rounded` tells that it stands behind a sign for approximation."""

    text: str
    rounded: bool = False


def values(text: str) -> tuple[Side, ...]:
    """Return the values that a plain text states as equal, without the name before them; none where it is no equation,
    or several, or says the same twice."""
    text = text.replace(":=", "=")
    if not ("=" in text or APPROXIMATES in text) or len(text) > latex.MAX_CHARS or ELSE.search(text):
        return ()
    if len(structure.at_top(text, ",", ";")) > 1:
        return ()
    sides = [
        Side(piece.strip(), number > 0)
        for part in structure.at_top(text, "=")
        for number, piece in enumerate(structure.at_top(part, APPROXIMATES))
    ]
    if (
        not 2 <= len(sides) <= MAX_SIDES
        or not all(side.text for side in sides)
        or len({side.text for side in sides}) < len(sides)
    ):
        return ()
    return tuple(sides[1:] if _names(sides[0].text, [side.text for side in sides[1:]]) else sides)


def _names(text: str, others: list[str]) -> bool:
    """Return whether a text is the name of a quantity that the values do not mention: x names nothing in x = x + 1."""
    quantity = QUANTITY.fullmatch(text)
    if quantity:
        name = quantity["name"]
        named = len(name) == 1 or (name[1:] in latex.GREEK)
        return named and not any(name in (NO_LETTERS.sub("", other) if len(name) == 1 else other) for other in others)
    if hedges.IN_BOX.search(re.sub(r"\\[A-Za-z]+|[{}]", "", text)):
        return False
    if NAMED.search(text):
        return True
    letters = _letters(text)
    if letters & {letter for other in others for letter in _letters(other)}:
        return False
    return len(letters) > 1 or SIZE.fullmatch(text) is not None


def _letters(text: str) -> set[str]:
    return set(re.findall("[A-Za-z]", NO_LETTERS.sub("", text)))
