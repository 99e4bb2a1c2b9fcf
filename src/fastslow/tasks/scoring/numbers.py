"""Score the last number of a completion (`number`)."""

from __future__ import annotations

import re
from fractions import Fraction

from fastslow.tasks.scoring.base import RIGHT, SCORERS, Judgement, PlainScorer, no_answer, unparsable, wrong
from fastslow.tasks.scoring.extract import is_blank, marked, tail

# Relative to the right answer, where that is not a whole number; math-verify rounds to six digits.
TOLERANCE = Fraction(1, 10**6)
MAX_EXPONENT = 400  # 10^400 is beyond every float, and still quick to compute with
MAX_DIGITS = 400

# Thousands are separated by commas, in groups of three. Only ASCII digits are read. Possessive repeats (++) never
# backtrack, so that the search stays linear in the text.
NUMBER = re.compile(
    r"(?<![\w.,/])(?=[-+\u2212\u2013]?[$€£]?\.?[0-9])(?P<sign>[-+\u2212\u2013]?)[$€£]?"
    r"(?P<whole>[0-9]{1,3}(?:,[0-9]{3})++(?![0-9])|[0-9]++)?(?P<point>\.[0-9]++)?"
    r"(?P<exponent>[eE][-+]?[0-9]++)?(?:\s?/\s?(?P<divisor>[0-9]++))?(?P<percent>\s?%)?"
    r"(?![.,]?\d|\w{1,20}\d)"
)
ANY_DIGIT = re.compile(r"[0-9]")


@SCORERS.register("number")
class Number(PlainScorer):
    """Compare the last number in the last answer tags or box, else in the end of the completion.

    A whole right answer must be met exactly, any other within a millionth of its size. 25% is 0.25.
    """

    def judge(self, completion: str, gold: str) -> Judgement:
        text = tail(completion)
        if is_blank(text):
            return no_answer("the completion is empty")
        answer = marked(text)
        scope = text if answer is None else answer
        matches = _matches(scope)
        if not matches:
            if ANY_DIGIT.search(scope):
                return unparsable(scope, "holds digits, but no number that can be read")
            return no_answer("there is no number in the " + ("completion" if answer is None else "marked answer"))
        last = matches[-1]
        given = value(last)
        if given is None:
            return unparsable(last.group(), "has too many digits")
        right = read(gold)
        return RIGHT if right is not None and close(given, right) else wrong(last.group().strip())

    def objection(self, gold: str) -> str | None:
        return None if read(gold) is not None else "is not a number"


def read(text: str) -> Fraction | None:
    """Read a text as one number, without a dollar sign and a closing full stop; None where it is not one number."""
    text = text.strip().strip("$").removesuffix(".").strip()
    match = NUMBER.fullmatch(text) if len(text) <= 3 * MAX_DIGITS else None
    return value(match) if match and _holds_digit(match) else None


def value(match: re.Match[str]) -> Fraction | None:
    """Return the value of a match of NUMBER; None where it has too many digits, or divides by zero."""
    whole, point = (match["whole"] or "0").replace(",", ""), match["point"] or ""
    exponent, divisor = match["exponent"] or "e0", match["divisor"] or "1"
    if max(len(whole), len(point), len(divisor)) > MAX_DIGITS or len(exponent) > 6:
        return None
    if abs(int(exponent[1:])) > MAX_EXPONENT or not int(divisor):
        return None
    number = Fraction(f"{whole}{point}{exponent}") / int(divisor)
    if match["percent"]:
        number /= 100
    return number if match["sign"] in ("", "+") else -number


def close(given: Fraction, right: Fraction) -> bool:
    if given == right or right.denominator == 1:
        return given == right
    return abs(given - right) <= TOLERANCE * abs(right)


def _matches(text: str) -> list[re.Match[str]]:
    return [match for match in NUMBER.finditer(text) if _holds_digit(match)]


def _holds_digit(match: re.Match[str]) -> bool:
    return match["whole"] is not None or match["point"] is not None
