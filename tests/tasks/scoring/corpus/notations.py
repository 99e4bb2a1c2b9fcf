r"""Ways to write a fraction: every one of them states exactly its value.

`written` draws one. `PLAIN` notations stand in running text, `LATEX` ones between dollars or in a box. A notation
returns None for a value that it cannot express, such as thousands below 1000.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from fractions import Fraction

RAISED = str.maketrans("0123456789+-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻")
WIDE = str.maketrans("0123456789.-", "０１２３４５６７８９．－")
VULGAR = {Fraction(1, 2): "½", Fraction(1, 3): "⅓", Fraction(3, 4): "¾", Fraction(1, 4): "¼", Fraction(5, 8): "⅝"}

Notation = Callable[[Fraction], str | None]


def decimal(value: Fraction) -> str | None:
    """Return all decimals; None where they do not end, or are more than forty."""
    scale = 0
    while value.denominator != 1 and (value * 10**scale).denominator != 1:
        scale += 1
        if scale > 40:
            return None
    digits = str(abs(value * 10**scale).numerator).rjust(scale + 1, "0")
    text = digits if scale == 0 else f"{digits[:-scale]}.{digits[-scale:]}"
    return ("-" if value < 0 else "") + text if len(text) <= 42 else None


def thousands(separator: str) -> Notation:
    def notation(value: Fraction) -> str | None:
        text = decimal(value)
        if text is None or abs(value) < 1000:
            return None
        whole, point, rest = text.removeprefix("-").partition(".")
        groups = []
        while whole:
            whole, group = whole[:-3], whole[-3:]
            groups.insert(0, group)
        return ("-" if value < 0 else "") + separator.join(groups) + point + rest

    return notation


def lakhs(value: Fraction) -> str | None:
    text = decimal(value)
    if text is None or value.denominator != 1 or value < 100_000 or value >= 10**9:
        return None
    head, tail = text[:-3], text[-3:]
    groups = []
    while head:
        head, group = head[:-2], head[-2:]
        groups.insert(0, group)
    return ",".join([*groups, tail])


def quotient(form: str) -> Notation:
    """Return a notation of numerator and denominator; for whole numbers there is none."""

    def notation(value: Fraction) -> str | None:
        if value.denominator == 1:
            return None
        sign = "-" if value < 0 else ""
        return form % {"s": sign, "a": abs(value.numerator), "b": value.denominator}

    return notation


def mixed(form: str) -> Notation:
    def notation(value: Fraction) -> str | None:
        whole, rest = divmod(abs(value), 1)
        if not whole or not rest or value.denominator > 1000 or whole > 1000:
            return None
        sign = "-" if value < 0 else ""
        return form % {"s": sign, "w": whole, "a": rest.numerator, "b": rest.denominator}

    return notation


def vulgar(value: Fraction) -> str | None:
    whole, rest = divmod(abs(value), 1)
    if rest not in VULGAR or whole > 99:
        return None
    return ("-" if value < 0 else "") + (str(whole) if whole else "") + VULGAR[rest]


def percent(form: str) -> Notation:
    def notation(value: Fraction) -> str | None:
        text = decimal(value * 100)
        return None if text is None or abs(value) > 10 or len(text) > 12 else form % text

    return notation


def powers(form: str, *, raised: bool = False) -> Notation:
    """Return a notation with one digit before the point and a power of ten; None for short numbers of two digits."""

    def notation(value: Fraction) -> str | None:
        if not value or decimal(value) is None:
            return None
        exponent = 0
        mantissa = value
        while abs(mantissa) >= 10:
            mantissa, exponent = mantissa / 10, exponent + 1
        while abs(mantissa) < 1:
            mantissa, exponent = mantissa * 10, exponent - 1
        if exponent in (0, 1):
            return None
        text = str(exponent)
        return form % {"m": decimal(mantissa), "e": text.translate(RAISED) if raised else text}

    return notation


def bare_power(value: Fraction) -> str | None:
    text = powers("%(m)s|%(e)s")(value)
    return None if text is None or not text.startswith("1|") else "10^{" + text[2:] + "}"


def minus(sign: str) -> Notation:
    def notation(value: Fraction) -> str | None:
        text = decimal(value)
        return None if text is None or value >= 0 else text.replace("-", sign)

    return notation


def wide(value: Fraction) -> str | None:
    text = decimal(value)
    return None if text is None else text.translate(WIDE)


PLAIN: Mapping[str, Notation] = {
    "decimal": decimal,
    "thousands by comma": thousands(","),
    "thousands by space": thousands(" "),
    "thousands by thin space": thousands("\u2009"),
    "thousands by narrow no-break space": thousands("\u202f"),
    "thousands by no-break space": thousands("\u00a0"),
    "thousands by apostrophe": thousands("'"),
    "thousands by curly apostrophe": thousands("\u2019"),
    "lakhs": lakhs,
    "fraction": quotient("%(s)s%(a)s/%(b)s"),
    "mixed number": mixed("%(s)s%(w)s %(a)s/%(b)s"),
    "vulgar fraction": vulgar,
    "percentage": percent("%s%%"),
    "percentage apart": percent("%s %%"),
    "percentage in words": percent("%s percent"),
    "e-notation": powers("%(m)se%(e)s"),
    "E-notation": powers("%(m)sE%(e)s"),
    "raised digits": powers("%(m)s × 10%(e)s", raised=True),
    "power with a star": powers("%(m)s * 10^%(e)s"),
    "power with two stars": powers("%(m)s*10**%(e)s"),
    "power with x": powers("%(m)s x 10^%(e)s"),
    "true minus": minus("\u2212"),
    "en dash as minus": minus("\u2013"),
    "full-width digits": wide,
}
LATEX: Mapping[str, Notation] = {
    "decimal": decimal,
    "thousands by comma": thousands(","),
    "thousands by {,}": thousands("{,}"),
    "thousands by \\,": thousands("\\,"),
    "thousands by \\;": thousands("\\;"),
    "thousands by \\ ": thousands("\\ "),
    "thousands by ~": thousands("~"),
    "thousands by ,\\!": thousands(",\\!"),
    "fraction": quotient("%(s)s%(a)s/%(b)s"),
    "\\frac": quotient("%(s)s\\frac{%(a)s}{%(b)s}"),
    "\\dfrac": quotient("%(s)s\\dfrac{%(a)s}{%(b)s}"),
    "\\tfrac": quotient("%(s)s\\tfrac{ %(a)s }{ %(b)s }"),
    "\\cfrac": quotient("%(s)s\\cfrac{%(a)s}{%(b)s}"),
    "\\frac with a sign": quotient("\\frac{%(s)s%(a)s}{%(b)s}"),
    "mixed number": mixed("%(s)s%(w)s %(a)s/%(b)s"),
    "mixed \\frac": mixed("%(s)s%(w)s\\frac{%(a)s}{%(b)s}"),
    "mixed \\tfrac": mixed("%(s)s%(w)s\\,\\tfrac{%(a)s}{%(b)s}"),
    "percentage": percent("%s\\%%"),
    "percentage in words": percent("%s\\text{ percent}"),
    "\\times": powers("%(m)s \\times 10^{%(e)s}"),
    "\\times without spaces": powers("%(m)s\\times10^{%(e)s}"),
    "\\cdot": powers("%(m)s \\cdot 10^{%(e)s}"),
    "e-notation": powers("%(m)se%(e)s"),
    "power": bare_power,
    "true minus": minus("\u2212"),
    "minus apart": minus("- "),
}


def written(rng: random.Random, value: Fraction, notations: Mapping[str, Notation]) -> tuple[str, str]:
    """Return a kind of notation and the text, drawn among all that can express this value."""
    found = [(kind, text) for kind, notation in notations.items() if (text := notation(value)) is not None]
    return rng.choice(found)


def number(rng: random.Random) -> Fraction:
    """Draw a number: small and whole, large, tiny, a decimal, a fraction; with a sign in a third of the cases."""
    kind = rng.randrange(7)
    if kind == 0:
        value = Fraction(rng.randint(2, 99))
    elif kind == 1:
        value = Fraction(rng.randint(1_000, 10**9))
    elif kind == 2:
        value = Fraction(rng.randint(1, 9_999), 10 ** rng.randint(1, 4))
    elif kind == 3:
        value = Fraction(rng.randint(1, 40), rng.randint(2, 40))
    elif kind == 4:
        value = Fraction(rng.randint(11, 999)) * Fraction(10) ** rng.randint(5, 28)
    elif kind == 5:
        value = Fraction(rng.randint(11, 999)) * Fraction(10) ** rng.randint(-32, -5)
    else:
        value = Fraction(rng.randint(1, 99)) + rng.choice([*VULGAR, Fraction(2, 7), Fraction(3, 16)])
    return -value if rng.random() < 0.3 else value


def other_than(rng: random.Random, value: Fraction) -> tuple[str, Fraction]:
    """Return what was changed, and a value that differs by more than any tolerance: by a hundred-thousandth at least,
    and by one where the right answer is whole."""
    tail = Fraction(str(value.numerator)[-2:] if value.denominator == 1 else value.denominator)
    changes = {
        "other sign": -value,
        "tenfold": value * 10,
        "a tenth": value / 10,
        "upside down": 1 / value,
        "one more": value + 1 if abs(value) < 10**4 else value * Fraction(100_003, 100_000),
        "a little less": value - (1 if value.denominator == 1 and abs(value) < 10**12 else abs(value) / 50_000),
        "half": value / 2,
        "a hundredfold": value * 100,
        "its tail": tail,
        "another number": number(rng),
    }
    kind, changed = rng.choice([(kind, v) for kind, v in changes.items() if v and _differ(value, v)])
    return kind, changed


def _differ(right: Fraction, other: Fraction) -> bool:
    return abs(right - other) >= (1 if right.denominator == 1 and abs(right) < 10**12 else abs(right) / 100_000)
