r"""Pairs for `boxed`: numbers, surds, powers, lists, sets, intervals, pairs, polynomials, equations, units, bases."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from fractions import Fraction
from math import isqrt

from tests.tasks.scoring.corpus import dressed
from tests.tasks.scoring.corpus.base import Pair
from tests.tasks.scoring.corpus.notations import LATEX, decimal, number, other_than, quotient, written

BOXES = (
    *(r"\boxed{%s}", r"The answer is $\boxed{%s}$.", r"\[ \boxed{ %s } \]", r"\boxed{7}, no: \boxed{%s}", r"\fbox{%s}"),
    *(
        "\\boxed{%s}\r\n",
        r"\boxed{\displaystyle %s}",
        r"\boxed{$%s$}",
        r"\boxed{%s.}",
        r"<think>\boxed{8}</think>\boxed{%s}",
    ),
)
LISTS = (", ", ",", "; ", r"\text{ and }", r"\text{ or }", " and ", " or ", r"\quad\text{or}\quad ", r",\ ", r" \lor ")
Fractions = tuple[Fraction, ...]
Drawn = tuple[str, str, bool, str]
PARTS = {"\\frac": quotient("%(s)s\\frac{%(a)s}{%(b)s}"), "decimal": decimal, "fraction": quotient("%(s)s%(a)s/%(b)s")}
SHARE = 0.4  # of the kinds in `dressed`
# Right, and not read: see docs/scorers.md.
UNREAD = (("\\text{five}", "5", "a number in words"), ("100\\text{ cm}", "1\\text{ m}", "another unit of one size"))


def right(rng: random.Random) -> Pair:
    if rng.random() < 0.006:
        given, gold, kind = rng.choice(UNREAD)
        return Pair(gold, f"\\boxed{{{given}}}", True, kind)
    gold, given, kind = rng.choice(dressed.KINDS if rng.random() < SHARE else KINDS)(rng, True)
    return Pair(gold, rng.choice(BOXES).replace("%s", given), True, kind)


def wrong(rng: random.Random) -> Pair:
    gold, given, kind = rng.choice(dressed.KINDS if rng.random() < SHARE else KINDS)(rng, False)
    return Pair(gold, rng.choice(BOXES).replace("%s", given), False, kind)


Kind = Callable[[random.Random, bool], tuple[str, str, str]]


def a_number(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value = number(rng)
    notations = {k: n for k, n in LATEX.items() if same or "percent" not in k}  # 50% and 50 are taken for one
    gold_kind, gold = written(rng, value, notations)
    if same:
        kind, given = written(rng, value, notations if "percent" not in gold_kind else {"decimal": decimal} | PARTS)
        return gold, given, kind
    kind, other = other_than(rng, value)
    if kind in ("a hundredfold",):
        other = value * 1000
    return gold, written(rng, other, notations)[1], kind


def a_surd(rng: random.Random, same: bool) -> tuple[str, str, str]:
    """a + b sqrt(n), with n free of squares, so that it is one number in one way."""
    n = rng.choice((2, 3, 5, 6, 7, 10))
    a, b = (
        Fraction(rng.randint(-9, 9), rng.choice((1, 2, 3))),
        Fraction(rng.choice((1, 2, 3, 5, -1, -2)), rng.choice((1, 2, 4))),
    )
    gold = _surd(rng, a, b, n)
    if same:
        return gold, _surd(rng, a, b, n), "a surd"
    change = rng.randrange(4)
    a, b, n = (
        (a, -b, n) if change == 0 else (a + 1, b, n) if change == 1 else (a, b * 2, n) if change == 2 else (a, b, n + 1)
    )
    return gold, _surd(rng, a, b, n), "a surd"


def _surd(rng: random.Random, a: Fraction, b: Fraction, n: int) -> str:
    root = rng.choice((f"\\sqrt{{{n}}}", f"√{n}", f"\\sqrt{{ {n} }}"))
    sign, size = "-" if b < 0 else "", abs(b)
    forms = [f"{sign}{'' if size == 1 else _part(rng, size)}{root}"]
    if size.denominator == 1:
        forms.append(f"{sign}\\sqrt{{{size.numerator**2 * n}}}")
    else:
        above = "" if size.numerator == 1 else str(size.numerator)
        forms.append(f"{sign}\\frac{{{above}{root}}}{{{size.denominator}}}")
    form = rng.choice(forms)
    if not a:
        return form
    if rng.random() < 0.5:
        return f"{_part(rng, a)}{form if sign else '+' + form}"
    return f"{form}{'' if a < 0 else '+'}{_part(rng, a)}"


def _part(rng: random.Random, value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return f"{'-' if value < 0 else ''}\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def a_power(rng: random.Random, same: bool) -> tuple[str, str, str]:
    """Numbers whose difference is far below any fixed number of digits, or far above."""
    base, exponent = rng.choice(((2, 99), (3, 50), (7, 20), (10, 30), (2, 10), (5, 25)))
    forms = (f"\\frac{{1}}{{{base}^{{{exponent}}}}}", f"{base}^{{-{exponent}}}", f"\\frac1{{{base}^{{{exponent}}}}}")
    if same:
        gold, given = rng.sample(forms, 2)
        return gold, given, "a small power"
    others = (
        f"-{forms[0]}",
        f"{base}^{{-{exponent - 1}}}",
        f"\\frac{{1}}{{{base}^{{{exponent}}}-1}}",
        f"\\frac{{1}}{{{base}^{{{exponent + 1}}}}}",
        "0",
        f"{base}^{{{exponent}}}",
    )
    return rng.choice(forms), rng.choice(others), "a small power"


def a_factorial(rng: random.Random, same: bool) -> tuple[str, str, str]:
    n = rng.randint(11, 25)
    gold = rng.choice((f"\\frac{{1}}{{{n}!}}", f"\\frac1{{{n}!}}"))
    return gold, gold if same else f"\\frac{{1}}{{{n + rng.choice((-1, 1))}!}}", "a factorial"


def several(rng: random.Random, count: int) -> Fractions:
    values: set[Fraction] = set()
    while len(values) < count:
        values.add(Fraction(rng.randint(-9, 9), rng.choice((1, 1, 2, 3))))
    return tuple(values)


def changed(rng: random.Random, values: Fractions) -> Fractions:
    at = rng.randrange(len(values))
    way = rng.randrange(3)
    new = next(v for v in (values[at] + step for step in (1, 2, 3, 4, 5)) if v not in values)
    return (*values[:at], new, *values[at + 1 :]) if way == 0 else values[:-1] if way == 1 else (*values, new)


def a_list(rng: random.Random, same: bool) -> tuple[str, str, str]:
    values = several(rng, rng.randint(2, 4))
    gold = _list(rng, values)[0]
    shuffled = list(values if same else changed(rng, values))
    rng.shuffle(shuffled)
    given, kind = _list(rng, shuffled)
    while "x_1" in gold and "x_1" in given:  # which of them is the first is said, or not
        given, kind = _list(rng, shuffled)
    return gold, given, kind


def _list(rng: random.Random, values: Sequence[Fraction]) -> tuple[str, str]:
    if len(values) == 1:
        return _part(rng, values[0]), "one of a list"
    texts, way, joiner = [_part(rng, value) for value in values], rng.randrange(6), rng.choice(LISTS)
    if way == 0:
        return "\\{" + ", ".join(texts) + "\\}", "a set"
    if way == 1:
        return joiner.join(f"x = {text}" for text in texts), f"equations joined by {joiner!r}"
    if way == 2:
        return joiner.join(f"x_{i} = {text}" for i, text in enumerate(texts, 1)), f"unknowns joined by {joiner!r}"
    if way == 3:
        return "x \\in \\left\\{" + ", ".join(texts) + "\\right\\}", "an unknown in a set"
    if way == 4:
        return f"x = {', '.join(texts)}", "one unknown and a list"
    return joiner.join(texts), f"a list joined by {joiner!r}"


def both_signs(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value = rng.choice(("2", "\\frac{1}{2}", "\\sqrt{3}", "7"))
    gold, given = rng.sample(
        (f"\\pm {value}", f"{value}, -{value}", f"x = \\pm {value}", f"-{value} \\text{{ or }} {value}"), 2
    )
    return (
        (gold, given, "both signs")
        if same
        else (gold, rng.choice((value, f"-{value}", f"\\pm {value}{value}")), "both signs")
    )


def an_interval(rng: random.Random, same: bool) -> tuple[str, str, str]:
    a, b = sorted(several(rng, 2))
    brackets = rng.choice(("()", "[]", "[)", "(]"))
    gold = _interval(rng, a, b, brackets)
    if same:
        return gold, _interval(rng, a, b, brackets), "an interval"
    way = rng.randrange(3)
    if way == 0:
        brackets = rng.choice([other for other in ("()", "[]", "[)", "(]") if other != brackets])
    a, b = (a - 1, b) if way == 1 else (a, b + Fraction(1, 2)) if way == 2 else (a, b)
    return gold, _interval(rng, a, b, brackets), "an interval"


def _interval(rng: random.Random, a: Fraction, b: Fraction, brackets: str) -> str:
    left, right = ("\\left", "\\right") if rng.random() < 0.5 else ("", "")
    return f"{left}{brackets[0]}{_part(rng, a)}, {_part(rng, b)}{right}{brackets[1]}"


def a_union(rng: random.Random, same: bool) -> tuple[str, str, str]:
    a, b = sorted(several(rng, 2))
    members = [f"(-\\infty, {_part(rng, a)})", f"[{_part(rng, b)}, \\infty)"]
    gold = " \\cup ".join(members)
    if not same:
        members = rng.choice(
            (
                [members[0]],
                [members[0], f"({_part(rng, b)}, \\infty)"],
                [f"(-\\infty, {_part(rng, a - 1)})", members[1]],
            )
        )
    rng.shuffle(members)
    return (
        gold,
        rng.choice((" \\cup ", " ∪ ", "\\cup")).join(members).replace("\\infty", rng.choice(("\\infty", "∞"))),
        "a union",
    )


def a_pair(rng: random.Random, same: bool) -> tuple[str, str, str]:
    a, b = several(rng, 2)
    gold = rng.choice((f"({_part(rng, a)}, {_part(rng, b)})", f"\\left({_part(rng, a)},{_part(rng, b)}\\right)"))
    if same:
        return (
            gold,
            rng.choice((f"({_part(rng, a)}, {_part(rng, b)})", f"(x, y) = ({_part(rng, a)}, {_part(rng, b)})")),
            "a pair",
        )
    return (
        gold,
        rng.choice((f"({_part(rng, b)}, {_part(rng, a)})", f"({_part(rng, a)}, {_part(rng, b + 1)})", _part(rng, a))),
        "a pair",
    )


def a_polynomial(rng: random.Random, same: bool) -> tuple[str, str, str]:
    p, q = rng.choice((1, 2, 3, -1, -2, 5)), rng.choice((1, 4, -3, 6))
    gold = f"x^2{p + q:+d}x{p * q:+d}".replace("+0x", "").replace("-0x", "").replace("+1x", "+x").replace("-1x", "-x")
    if not same:
        p += rng.choice((1, 7))
    factors = [f"(x{root:+d})" for root in (p, q)]
    rng.shuffle(factors)
    return gold, "".join(factors), "a polynomial"


def an_equation(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value = number(rng)
    gold, texts = written(rng, value, PARTS)[1], written(rng, value, PARTS)
    if not same:
        texts = written(rng, other_than(rng, value)[1], PARTS)
    name = rng.choice("xynk")
    return (
        (gold, f"{name} = {texts[1]}", "an equation")
        if rng.random() < 0.5
        else (f"{name}={gold}", texts[1], "an equation")
    )


def an_inequality(rng: random.Random, same: bool) -> tuple[str, str, str]:
    bound = rng.randint(-9, 9)
    gold, given = rng.choice(
        (
            (f"x > {bound}", f"{bound} < x"),
            (f"x \\geq {bound}", f"x \\geqslant {bound}"),
            (f"x \\le {bound}", f"x ≤ {bound}"),
            (f"x > {bound}", f"({bound}, \\infty)"),
        )
    )
    if same:
        return gold, given, "an inequality"
    return (
        gold,
        rng.choice((f"x = {bound}", f"x > {bound + 1}", str(bound), f"x \\neq {bound}", f"x < {bound - 1}")),
        "an inequality",
    )


def alternatives(rng: random.Random, same: bool) -> tuple[str, str, str]:
    a, b = sorted(rng.sample(range(-9, 9), 2))
    sides = [f"x < {a}", f"x > {b}"]
    gold = "\\text{ or }".join(sides)
    rng.shuffle(sides)
    wrong_joiner = rng.choice((", ", "\\text{ and }", " and "))
    return (
        gold,
        rng.choice((" or ", "\\text{ or }", " \\lor ")).join(sides) if same else wrong_joiner.join(sides),
        "alternatives",
    )


def a_measure(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value, units = rng.randint(2, 99), ("cm", "km", "kg", "m", "meters", "apples", "dollars")
    unit = rng.choice(units)
    forms = (f"{value}\\text{{ {unit}}}", f"{value} \\, \\mathrm{{{unit}}}", f"{value}\\ \\text{{{unit}}}", str(value))
    gold, given = rng.choice(forms[:3]), rng.choice(forms)
    if same:
        return gold, given, "a unit"
    other = rng.choice([name for name in units if {name, unit} != {"m", "meters"} and name != unit])
    return gold, rng.choice((f"{value}\\text{{ {other}}}", f"{value + 1}\\text{{ {unit}}}", str(value * 10))), "a unit"


def a_base(rng: random.Random, same: bool) -> tuple[str, str, str]:
    base, value = rng.randint(3, 9), rng.randint(10, 500)
    digits = _in_base(value, base)
    gold = rng.choice((f"{digits}_{{{base}}}", f"{digits}_{base}"))
    if same:
        return (
            gold,
            rng.choice(
                (
                    f"{digits}_{{{base}}}",
                    f"{digits}_{base}",
                    f"({digits})_{{{base}}}",
                    f"{digits}_{{\\text{{{NAMES[base]}}}}}",
                )
            ),
            "a base",
        )
    other = rng.choice([b for b in range(max(map(int, digits)) + 1, 11) if b != base])
    return (
        gold,
        rng.choice((f"{digits}_{{{other}}}", digits, f"{_in_base(value + 1, base)}_{base}", f"-{digits}_{base}")),
        "a base",
    )


NAMES = {3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine"}


def _in_base(value: int, base: int) -> str:
    digits = ""
    while value:
        value, digit = divmod(value, base)
        digits = str(digit) + digits
    return digits


def a_percentage(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value = Fraction(rng.randint(1, 400), rng.choice((1, 2, 4)))
    gold = f"{decimal(value)}\\%"
    if same:
        return (
            gold,
            rng.choice((gold, f"{decimal(value)}\\text{{ percent}}", str(decimal(value)), _part(rng, value / 100))),
            "a percentage",
        )
    return (
        gold,
        rng.choice((f"{decimal(value + 1)}\\%", str(decimal(value * 100)), _part(rng, value / 1000), f"-{gold}")),
        "a percentage",
    )


def a_mixed_number(rng: random.Random, same: bool) -> tuple[str, str, str]:
    whole, b = rng.randint(1, 9), rng.randint(2, 9)
    a = rng.randint(1, b - 1)
    value = whole + Fraction(a, b)
    gold, text = (
        _part(rng, value),
        rng.choice((f"{whole} {a}/{b}", f"{whole}\\frac{{{a}}}{{{b}}}", f"{whole}\\,\\tfrac{{{a}}}{{{b}}}")),
    )
    if same:
        return (gold, text, "a mixed number") if rng.random() < 0.5 else (text, gold, "a mixed number")
    return (
        gold,
        rng.choice((f"{whole + 1} {a}/{b}", f"{whole}\\frac{{{a}}}{{{b + 1}}}", f"\\frac{{{a}}}{{{b}}}", f"-{text}")),
        "a mixed number",
    )


def rounded(rng: random.Random, same: bool) -> tuple[str, str, str]:
    """A root that does not come out, as a decimal of eight figures, at any size: truth by whole arithmetic."""
    n, exponent = rng.choice((2, 3, 5, 7, 11)), rng.choice((-20, -9, 0, 3, 12))
    figures = isqrt(n * 10**16)  # 1.4142135(6)
    if not same:
        figures += rng.choice((-1, 1)) * 10 ** rng.randint(3, 7)
    gold = f"\\sqrt{{{n}}}" + (f"\\cdot 10^{{{exponent}}}" if exponent else "")
    return (
        gold,
        f"{str(figures)[0]}.{str(figures)[1:]}" + (f"\\times 10^{{{exponent}}}" if exponent else ""),
        "a rounded root",
    )


KINDS: tuple[Kind, ...] = (
    *(a_number, a_number, a_number, a_surd, a_power, a_factorial, a_list, a_list, both_signs, an_interval, a_union),
    *(a_pair, a_polynomial, an_equation, an_inequality, alternatives, a_measure, a_base, a_percentage, a_mixed_number),
    *(rounded,),
)
