r"""Kinds of `boxed` where the notation is in question: bounds, names, fonts, markup, ratios, times, case of letters."""

from __future__ import annotations

import random
from collections.abc import Callable
from fractions import Fraction

from tests.tasks.scoring.corpus import lookalikes

Kind = Callable[[random.Random, bool], tuple[str, str, str]]
# Expressions in R and r, or N and n, of which no two are equal.
CASED = (
    "\\pi %s^2",
    "2\\pi %s",
    "%s+1",
    "\\frac{%s}{2}",
    "%s^2-%o",
    "%s-%o",
    "\\sqrt{%s}",
    "%s",
    "\\frac{%s}{%o}",
    "3%s+%o",
)
OVER = ("{%d \\over %d}", "%d \\over %d", "\\frac{%d}{%d}", "{ %d\\over%d }")
EMPTY = ("\\emptyset", "\\varnothing", "\\{\\}", "{}", "∅", "\\left\\{\\right\\}", "\\{ \\}")
NOT_EMPTY = ("0", "\\{0\\}", "\\{\\emptyset\\}", "\\{1\\}", "\\mathbb{R}")
IN_BOX_WRONG = tuple(
    text[len("\\boxed{") : -1] if text.startswith("\\boxed{") and text.endswith("}") else text
    for text in lookalikes.LOOKALIKES
    if "box" not in text.removeprefix("\\boxed") and not text.endswith("}k")
)


def a_look(rng: random.Random, same: bool) -> tuple[str, str, str]:
    """A number with something around it that changes it, or does not."""
    value = str(rng.randint(3, 9) if not same else rng.randint(2, 999))
    frame = rng.choice(lookalikes.IN_BOX if same else IN_BOX_WRONG)
    return value, frame.replace("%s", value), f"look: {frame}"


def a_script(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value = rng.randint(11, 9_999)
    text = lookalikes.in_script(rng, str(value))
    return str(value if same else value + rng.choice((-1, 1, 10, 1000))), text, "other scripts' digits"


def a_name(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value = rng.randint(2, 99)
    name = rng.choice(lookalikes.NAMES if same else (*lookalikes.NAMES, *lookalikes.NO_NAMES))
    number = value if same or name in lookalikes.NO_NAMES else value + 1
    text = name.replace("%s", str(number))
    if same and rng.random() < 0.3:
        return text, str(value), f"a name in the gold: {name}"
    return str(value), text, f"a name: {name}"


def a_chain(rng: random.Random, same: bool) -> tuple[str, str, str]:
    a, b = rng.randint(2, 9), rng.randint(11, 19)
    chains = (
        f"x = {a} + {b} = {a + b}",
        f"{a} + {b} = {a + b}",
        f"|A| = {a}+{b} = {a + b}",
        f"n = {a + b} \\approx {a + b}.0",
    )
    if same:
        return str(a + b), rng.choice(chains), "a chain of equations"
    wrong = (
        f"{a} + {b} = {a + b + 1}",
        f"x = {a} = {a + b}",
        f"{a + b} = {a}",
        f"{a + b} = {a + b}",
        f"{a + b} \\approx {a}",
    )
    return str(a + b), rng.choice(wrong), "a chain of equations"


def an_identity(rng: random.Random, same: bool) -> tuple[str, str, str]:
    """x = x + 1 is no solution, and y = x + 1 names one."""
    gold = rng.choice(("x+1", "2x", "x^2", "x-3", "x^2+x", "\\frac{x}{2}"))
    names = ("y", "f(x)", "S", "P(x)", "a_1") if same else ("x", "2x", "x^3")
    return gold, f"{rng.choice(names)} = {gold}", "a name that the value mentions"


def a_case(rng: random.Random, same: bool) -> tuple[str, str, str]:
    upper, lower = rng.choice(("Rr", "Nn", "Mm", "Aa", "Kk"))
    form = rng.choice(CASED)
    gold = form.replace("%s", upper).replace("%o", lower)
    if same:
        return (
            gold,
            rng.choice((gold, f"{gold}+0", f"1\\cdot {gold}" if "+" not in form and "-" not in form else gold)),
            "case",
        )
    return gold, form.replace("%s", lower).replace("%o", upper if rng.random() < 0.5 else lower), "the case of a symbol"


def a_ratio(rng: random.Random, same: bool) -> tuple[str, str, str]:
    a, b = rng.choice(((1, 2), (2, 3), (3, 4), (5, 7), (4, 9)))
    n, c = rng.randint(2, 4), rng.randint(2, 9)
    if same:
        given = rng.choice((f"{a * n}:{b * n}", f"{a} : {b}", f"\\frac{{{a}}}{{{b}}}", f"{a}\\colon {b}", f"{a}/{b}"))
        return (
            (f"{a}:{b}", given, "a ratio")
            if rng.random() < 0.6
            else (f"{a}:{b}:{c}", f"{a * n}:{b * n}:{c * n}", "a ratio")
        )
    wrong = (f"{b}:{a}", f"{a}:{b}:1", f"{a}:{b + 1}", f"{a * b}", f"{a}:{b}:{c}")
    return f"{a}:{b}", rng.choice(wrong), "a ratio"


def a_time(rng: random.Random, same: bool) -> tuple[str, str, str]:
    hour, minute = rng.randint(1, 9), rng.choice((10, 15, 20, 30, 40, 45))
    gold = f"{hour}:{minute}"
    if same:
        return gold, rng.choice((gold, f"0{hour}:{minute}", f"{hour} : {minute}")), "a time"
    wrong = (
        f"{hour * 2}:{minute * 2}",
        f"{Fraction(hour, minute)}",
        f"{hour + 1}:{minute}",
        f"\\frac{{{hour}}}{{{minute}}}",
    )
    return gold, rng.choice(wrong), "a time"


def a_repeating_decimal(rng: random.Random, same: bool) -> tuple[str, str, str]:
    if same:
        value, _, ways = lookalikes.repeating(rng)
        texts = [f"\\frac{{{value.numerator}}}{{{value.denominator}}}", rng.choice(list(ways.values()))]
        rng.shuffle(texts)
        return texts[0], texts[1], "a repeating decimal"
    value, cut, ways = lookalikes.repeating(rng, ("3", "6", "45"))
    gold = rng.choice((str(float(cut)), f"\\frac{{{(value + 1).numerator}}}{{{(value + 1).denominator}}}"))
    return gold, rng.choice([*ways.values(), f"{float(cut)}..."]), "a repeating decimal"


def a_fraction_by_over(rng: random.Random, same: bool) -> tuple[str, str, str]:
    a, b = rng.choice(((1, 2), (3, 4), (5, 7), (11, 6)))
    return f"\\frac{{{a}}}{{{b}}}", rng.choice(OVER) % ((a, b) if same else (a, b + 1)), "\\over"


def an_empty_set(rng: random.Random, same: bool) -> tuple[str, str, str]:
    gold = rng.choice(EMPTY)
    return gold, rng.choice(EMPTY if same else NOT_EMPTY), "the empty set"


def an_amount(rng: random.Random, same: bool) -> tuple[str, str, str]:
    value, text, number = lookalikes.money(rng)
    text = text.replace("$", "\\$") if text[0] == "$" else text
    return (str(value), text, "money") if same else (number, text, "a magnitude left out")


def a_slip(rng: random.Random, same: bool) -> tuple[str, str, str]:
    r"""A number behind another: \sqrt 2 1 shows two numbers."""
    n = rng.choice((2, 3, 5))
    if same:
        return f"\\sqrt{n}", rng.choice((f"\\sqrt {n}", f"\\sqrt{{{n}}}", f"1\\sqrt{n}")), "a root"
    return f"\\sqrt{n}", rng.choice((f"\\sqrt {n} 1", f"\\sqrt{{{n}}}1", f"{n} 1", f"\\sqrt {n} {n}")), "two numbers"


KINDS: tuple[Kind, ...] = (
    *(a_look, a_look, a_script, a_name, a_chain, an_identity, a_case, a_ratio, a_time, a_repeating_decimal),
    *(a_fraction_by_over, an_empty_set, an_amount, a_slip),
)
