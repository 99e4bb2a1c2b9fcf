r"""Read one number, exactly, in any usual notation: 1,234.5 and 1\,234.5, -3/4, 5 1/2, 3\times10^{-2}, 25\%.

The texts are those of `notation.flat`. A numeral is read as a whole or not at all.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from fractions import Fraction

from fastslow.tasks.scoring.markup import HIDDEN
from fastslow.tasks.scoring.notation import END, FRACTION, OVER, THIN

MAX_EXPONENT = 400  # 10^400 is beyond every float, and still quick to compute with
MAX_DIGITS = 400
MAX_POWER_DIGITS = 3_000  # of a whole power such as 2^{100}
MAX_FACTORIAL = 50

# Possessive repeats (++) never backtrack, so that reading stays linear in the text.
GROUPED = "|".join(f"(?:{separator}[0-9]{{3}})++" for separator in (",", "'", "\u2019", "_", THIN, "[ ]"))
WHOLE = rf"(?:[1-9][0-9]{{0,2}}(?:{GROUPED})(?![0-9])|[1-9][0-9]?(?:,[0-9]{{2}}(?=,))++,[0-9]{{3}}(?![0-9])|[0-9]++)"
POINT = rf"(?:\.(?:[0-9]{{3}}(?:{THIN}[0-9]{{3}})++(?:{THIN}[0-9]{{1,2}})?(?![0-9])|[0-9]++))"
DECIMAL = rf"(?:(?:{WHOLE}{POINT}?|{POINT})(?:[eE][-+]?[0-9]++)?)"
GAP = rf"[\s{THIN}{HIDDEN}]{{0,6}}"
BUILT = rf"{FRACTION}\s?[-+]?\s?{DECIMAL}\s?{OVER}\s?[-+]?\s?{DECIMAL}\s?{END}"
MIXED = (
    rf"[0-9]++{GAP}{FRACTION}\s?[0-9]++\s?{OVER}\s?[0-9]++\s?{END}|[0-9]++[ {THIN}]{{1,3}}[0-9]++/[0-9]++(?![.,]?[0-9])"
)
RAISED = rf"{GAP}(?:\^|\*\*)\s?(?:\{{\s?[-+]?\s?[0-9]++\s?\}}|\(\s?[-+]?[0-9]++\s?\)|[-+]?[0-9]++)"
TIMES = rf"{GAP}[×·*xX]{GAP}"
NUMERAL = rf"(?:{MIXED}|{BUILT}|(?:{DECIMAL}{TIMES})?10{RAISED}|[0-9]++{RAISED}|{DECIMAL}(?:\s?/\s?[-+]?[0-9]++)?)"
SCALES = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}
SCALE = rf"(?:{GAP}(?:{'|'.join(SCALES)})(?![A-Za-z]))"
PERCENT = rf"(?:{GAP}(?:%|(?:percent|per\ cent|pct)(?![A-Za-z])))"
SCALED = rf"(?P<numeral>{NUMERAL})(?:(?P<scale>{SCALE})|(?P<percent>{PERCENT}))?"

_SPLIT_MIXED = re.compile(r"([0-9]+)\D+([0-9]+)\D+([0-9]+)\D?")
_IS_MIXED, _IS_BUILT = re.compile(MIXED), re.compile(BUILT)
_IS_POWER = re.compile(rf"(?:({DECIMAL}){TIMES})?([0-9]+){RAISED}")
_EXPONENT = re.compile(r"([-+]?)\s?([0-9]+)\s?[})]?\Z")
_PARTS = re.compile(r"(?P<whole>[0-9]*)(?P<point>\.[0-9]+)?(?:[eE](?P<exponent>[-+]?[0-9]+))?")
_SEPARATORS = re.compile(rf"[,'\u2019_ {THIN}]")


@dataclass(frozen=True)
class Quantity:
    """Hold an exact value, and whether it was written with a decimal point: then it may be a rounded one."""

    value: Fraction
    decimal: bool = False


def valued(match: re.Match[str]) -> Quantity | None:
    """Return the number of a match of SCALED; None where it has too many digits, divides by zero, or is no proper
    mixed number."""
    number = _numeral(match["numeral"])
    if number is None:
        return None
    if match["percent"]:
        return Quantity(number.value / 100, number.decimal)
    if match["scale"]:
        return Quantity(number.value * 10 ** SCALES[match["scale"].strip(f" {THIN}{HIDDEN}\n\t")], number.decimal)
    return number


def _numeral(text: str) -> Quantity | None:
    if len(text) > 8 * MAX_DIGITS:
        return None
    if _IS_MIXED.fullmatch(text):
        whole, above, below = (int(part) for part in _SPLIT_MIXED.fullmatch(text).groups())  # type: ignore[union-attr]
        return Quantity(whole + Fraction(above, below)) if 0 < above < below else None
    if _IS_BUILT.fullmatch(text):
        above, below = text.strip(FRACTION + END).split(OVER)
        return _quotient(above, below)
    power = _IS_POWER.fullmatch(text)
    if power:
        return _power(power[1], power[2], text)
    above, slash, below = text.partition("/")
    return _quotient(above, below) if slash else _decimal(above)


def factorial(number: int) -> Quantity | None:
    """Return the factorial of a whole number up to MAX_FACTORIAL; None for others."""
    return Quantity(Fraction(math.factorial(number))) if 0 <= number <= MAX_FACTORIAL else None


def _quotient(above: str, below: str) -> Quantity | None:
    numbers = [_decimal(part) for part in (above, below)]
    if numbers[0] is None or numbers[1] is None or not numbers[1].value:
        return None
    return Quantity(numbers[0].value / numbers[1].value, numbers[0].decimal or numbers[1].decimal)


def _power(factor: str | None, base: str, text: str) -> Quantity | None:
    sign, digits = _EXPONENT.search(text).groups()  # type: ignore[union-attr]
    first = Quantity(Fraction(1)) if factor is None else _decimal(factor)
    if (
        first is None
        or len(digits) > 4
        or int(digits) * len(base) > (MAX_EXPONENT * 2 if base == "10" else MAX_POWER_DIGITS)
    ):
        return None
    exponent = int(sign + digits)
    if exponent < 0 and not int(base):
        return None
    return Quantity(first.value * Fraction(int(base)) ** exponent, first.decimal)


def _decimal(text: str) -> Quantity | None:
    text = _SEPARATORS.sub("", text.strip())
    negative, text = text.startswith("-"), text.lstrip("+-")
    match = _PARTS.fullmatch(text)
    if match is None or len(match["whole"]) > MAX_DIGITS or len(match["point"] or "") > MAX_DIGITS:
        return None
    exponent = match["exponent"] or "0"
    if len(exponent) > 5 or abs(int(exponent)) > MAX_EXPONENT:
        return None
    value = Fraction(f"{match['whole'] or '0'}{match['point'] or ''}e{exponent}")
    return Quantity(-value if negative else value, match["point"] is not None or int(exponent) < 0)
