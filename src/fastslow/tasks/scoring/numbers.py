"""Score the last number of a completion (`number`)."""

from __future__ import annotations

import re
from fractions import Fraction

from fastslow.tasks.scoring.base import RIGHT, SCORERS, Judgement, PlainScorer, no_answer, unparsable, wrong
from fastslow.tasks.scoring.extract import is_blank, marked, stands_alone, tagged, tail
from fastslow.tasks.scoring.notation import flat
from fastslow.tasks.scoring.numerals import GAP, MAX_DIGITS, SCALED, Quantity, valued
from fastslow.tasks.scoring.standing import last

# Relative to the right answer, where that is not a whole number and a decimal point shows that one of the two may be
# rounded.
TOLERANCE = Fraction(1, 10**6)
ALONE = re.compile(rf"{GAP}(?P<sign>[-+]?){GAP}{SCALED}{GAP}\.?{GAP}")


@SCORERS.register("number")
class Number(PlainScorer):
    """Compare the last number in the last answer tags or box, else in the end of the completion.

    A whole right answer must be met exactly, a fraction by a fraction of the same value, any other within a millionth
    of its size. 25% is 0.25.
    """

    def judge(self, completion: str, gold: str) -> Judgement:
        text = tail(completion)
        if is_blank(text):
            return no_answer("the completion is empty")
        answer = marked(text)
        if answer is not None and tagged(text) is None and not stands_alone(text):
            return unparsable(answer, "is a part of a formula that goes on outside the box")
        found = last(text if answer is None else answer, marked=answer is not None)
        if found is None:
            return no_answer("there is no number in the " + ("completion" if answer is None else "marked answer"))
        if found.number is None:
            return unparsable(found.text, "holds digits, but no number that can be read")
        right = parse(gold)
        return RIGHT if right is not None and agree(found.number, right) else wrong(found.text)

    def objection(self, gold: str) -> str | None:
        return None if parse(gold) is not None else "is not a number"


def parse(text: str) -> Quantity | None:
    """Read a whole text as one number; dollar signs and a closing full stop aside."""
    match = ALONE.fullmatch(flat(text.strip())) if len(text) <= 3 * MAX_DIGITS else None
    number = valued(match) if match else None
    return (
        number if number is None or match is None or match["sign"] != "-" else Quantity(-number.value, number.decimal)
    )


def read(text: str) -> Fraction | None:
    """Return the value of a text that is one number; None where it is not."""
    number = parse(text)
    return number.value if number else None


def agree(given: Quantity, right: Quantity) -> bool:
    """Return whether two numbers are one; only a decimal point allows for rounding."""
    if not given.decimal and not right.decimal:
        return given.value == right.value
    return close(given.value, right.value)


def close(given: Fraction, right: Fraction) -> bool:
    if given == right or right.denominator == 1:
        return given == right
    return abs(given - right) <= TOLERANCE * abs(right)
