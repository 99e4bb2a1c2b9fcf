"""Pairs for `number`."""

from __future__ import annotations

import random

from tests.tasks.scoring.corpus import lookalikes
from tests.tasks.scoring.corpus.base import Pair
from tests.tasks.scoring.corpus.frames import MATH, MATH_UNITS, TEXT, UNITS
from tests.tasks.scoring.corpus.notations import LATEX, PLAIN, Notation, decimal, number, other_than, quotient, written

GOLD: dict[str, Notation] = {"decimal": decimal, "fraction": quotient("%(s)s%(a)s/%(b)s")}
# Right, and not read: an exclamation that might be a factorial, a decimal comma, dots that might stand for digits.
UNREAD = ("exclamation mark", "decimal comma", "dots")
# A gold g > 1 stands in each of these; the value, where there is one, is another.
PARTS = (
    *(r"\frac{1}{%s}", r"\boxed{\frac{1}{%s}}", r"\boxed{\sqrt{%s}}", r"\boxed{%s\sqrt{2}}", r"\boxed{%s\pi}", "%s^2"),
    *("2^%s", r"2^{%s}", "x^%s", "%sx", "%s x", "x%s", r"\boxed{3%sx}", "7-%s", "7 - %s", "7+%s", "7 + %s", "7*%s"),
    *("7 × %s", "7 x %s", r"7\cdot%s", r"7 \div %s", "%s!", r"\boxed{%s!}", "%s or 5", "5 or %s", "5 and %s", "5, %s"),
    *(
        "5; %s",
        "5:%s",
        "%s:5",
        "5 : %s",
        "5-%s",
        "5–%s",
        "5~%s",
        "5 to %s",
        "3,5,%s",
        r"\boxed{5, %s}",
        r"\boxed{%s,5}",
    ),
    *(r"\boxed{\{5, %s\}}", r"\boxed{(5, %s)}", r"x = 5 \text{ or } x = %s", "x=5, x=%s", r"\boxed{x > %s}", "x ≠ %s"),
    *(r"\boxed{x \leq %s}", r"\boxed{\geq %s}", "12_{%s}", "12_%s", "12 base %s", "%s_{9}", "12₅ is not %s_7", "f(%s)"),
    *("%s million", "%s thousand", "%s hundred", "%s万", "%s dozen", "%s percent", "%s%%", r"\boxed{%s\%%}", "%s / 7"),
    *(
        r"\binom{9}{%s}",
        r"\log_2 %s",
        "log %s",
        "sqrt(%s)",
        "√%s",
        "square root of %s",
        "5 ± %s",
        r"5 \pm %s",
        "GPT-%s",
    ),
    *(
        "A%s",
        "v1.%s.9",
        "0x%s",
        "%s squared",
        "%s and a half",
        "%s tenths",
        "9 out of %s",
        "5 of %s",
        "minus %s",
        "-%s",
    ),
    *(r"\boxed{-%s}", r"\boxed{- %s}", "−%s", "(3)(%s)", "3(%s)", "%si", r"e^{%s}", r"\boxed{a_{%s}}", "%s 1/2", "%s½"),
    *(
        r"\boxed{%s\frac{1}{2}}",
        r"\boxed{1{,}00%s}",
        "5 over %s",
        "5 divided by %s",
        r"\boxed{%s \times 10^{2}}",
        "~~%s~~",
    ),
    *(
        "%s × 10³",
        "%se5",
        r"\boxed{%s\,000}",
        "%s 000",
        "%s,000",
        "%s'000",
        r"\boxed{|-%s|-1}",
        "1.%s.3",
        "<think>%s</think>",
    ),
    *("3 +\n%s", "1/7/%s", "%s/7/9", r"\overline{%s}", r"\boxed{5 \ne %s}", "5 plus %s", "7 minus %s", "%s,5"),
)


def right(rng: random.Random) -> Pair:
    value = number(rng)
    gold = written(rng, value, GOLD)[1]
    if rng.random() < 0.006:
        return _unread(rng)
    if rng.random() < 0.2:
        return _dressed(rng)
    latex = rng.random() < 0.5
    kind, text = written(rng, value, LATEX if latex else PLAIN)
    if rng.random() < 0.15 and "percent" not in kind and "fraction" not in kind:
        text = rng.choice(MATH_UNITS if latex else UNITS) % text
    frame = rng.choice(MATH if latex else TEXT)
    if frame in ("* %s", "It costs $%s.") and value < 0:
        frame = "%s"
    return Pair(gold, frame.replace("%s", text), True, kind)


def _unread(rng: random.Random) -> Pair:
    kind = rng.choice(UNREAD)
    whole = str(rng.randint(2, 20))
    if kind == "decimal comma":
        return Pair("3.5", "The answer is 3,5.", True, kind)
    return Pair(whole, f"The answer is {whole}" + ("!" if kind == "exclamation mark" else "..."), True, kind)


def _dressed(rng: random.Random) -> Pair:
    """Return a number in a script, markup, font or notation of its own."""
    kind, whole = rng.randrange(7), rng.randint(21, 9_999)
    if kind == 0:
        value, _, ways = lookalikes.repeating(rng)
        kind, text = rng.choice(list(ways.items()))
        return Pair(
            f"{value.numerator}/{value.denominator}", rng.choice(("%s", "It is %s.", r"\boxed{%s}")) % text, True, kind
        )
    if kind == 1:
        frame = rng.choice(("%s", "The answer is %s.", r"\boxed{%s}", "答案是%s。"))
        return Pair(str(whole), frame % lookalikes.in_script(rng, str(whole)), True, "other scripts' digits")
    if kind == 2:
        value, text, _ = lookalikes.money(rng)
        return Pair(
            rng.choice((str(value), text)), rng.choice(("%s", "It costs %s.", r"\boxed{%s}")) % text, True, "money"
        )
    if kind == 3:
        return Pair(str(whole * 10**6), f"{whole:_}_000_000", True, "thousands by underscore")
    if kind == 4:
        return Pair(
            str(whole), rng.choice(("It is %s!", "The answer is %s!!", "So %s kg!")) % whole, True, "exclamation"
        )
    frame = rng.choice((lookalikes.AROUND, lookalikes.AROUND_MATH)[kind - 5])
    return Pair(str(whole), frame.replace("%s", str(whole)), True, f"around: {frame}")


def wrong(rng: random.Random) -> Pair:
    if rng.random() < 0.5:
        if rng.random() < 0.1:
            return _lookalike(rng)
        gold = rng.randint(3, 9)  # 2! is 2
        part = rng.choice((*PARTS, *lookalikes.LOOKALIKES))
        return Pair(str(gold), part.replace("%s", str(gold)).replace("%%", "%"), False, f"a part: {part}")
    value = number(rng)
    kind, changed = other_than(rng, value)
    latex = rng.random() < 0.5
    text = written(rng, changed, LATEX if latex else PLAIN)[1]
    frame = rng.choice(MATH if latex else TEXT)
    return Pair(written(rng, value, GOLD)[1], frame.replace("%s", text), False, kind)


def _lookalike(rng: random.Random) -> Pair:
    """Return a value without its repeating digits, or without its magnitude."""
    if rng.random() < 0.5:
        _, cut, ways = lookalikes.repeating(rng, ("3", "6", "45"))  # a long period is within the tolerance
        return Pair(decimal(cut) or "0", rng.choice(list(ways.values())), False, "a repeating decimal cut short")
    _, text, number = lookalikes.money(rng)
    return Pair(number, rng.choice(("%s", r"\boxed{%s}")) % text, False, "a magnitude left out")
