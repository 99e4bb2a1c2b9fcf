r"""Texts around an answer that change it, or do not: bounds, magnitudes, markup, fonts, names. `%s` is the answer."""

from __future__ import annotations

import random
from collections.abc import Mapping
from fractions import Fraction

# A number is said to be another than the one that stands there.
BOUNDS = (
    *(
        "> %s",
        "≥ %s",
        "less than %s",
        "more than %s",
        "x is at least %s",
        "The answer is at most %s.",
        "not %s",
        "≠ %s",
    ),
    *(r"\not=%s", r"$x \not= %s$", "It isn't %s.", "It cannot be %s", "%s or more", "%s or less", "%s apples or fewer"),
    *("%s at most", "&gt; %s", "&ne; %s", "≲ %s", "≮ %s", "up to %s", "almost %s", "between 1 and %s", "other than %s"),
    *(
        "大于%s",
        "至少%s",
        "不是%s",
        "%s以上",
        "más de %s",
        "mindestens %s",
        "%s is wrong",
        "%s?",
        r"\boxed{\text{over }%s}",
    ),
    *(
        r"\boxed{> %s}",
        r"\boxed{\text{at least }%s}",
        r"\boxed{%s\text{ or more}}",
        r"\boxed{\not= %s}",
        "multiples of %s",
    ),
)
MAGNITUDES = (
    "%sk",
    "%sK",
    "%sM",
    "%sB",
    "%sT",
    "%s k",
    "$%sM",
    "$%sk",
    "%sbn",
    r"\boxed{%sk}",
    r"\boxed{%sM}",
    "€%sB.",
)
MARKUP = (
    *("%s<sup>3</sup>", "x<sub>%s</sub>", "7<sup>%s</sup>", "1&frasl;%s", "&minus;%s", "&#8722;%s", "&amp;minus;%s"),
    *("&radic;%s", "7<b>%s</b>", "<del>%s</del>", "<s>%s</s>", "%s_", "%s*", "%s**", "*%s", "x *%s", r"1\text{,}00%s"),
    *(r"\boxed{%s<sup>3</sup>}", r"\boxed{1&frasl;%s}", r"\boxed{&minus;%s}", r"\boxed{%s_}", r"\boxed{%s*}"),
)
GLUED = (
    *("%sθ", "%sⁿ", "%sх", "θ%s", "%s𝑥", "%s2̅", "0.%s...", "0.%s…", r"0.\overline{%s}", "0.(%s)", "1.(%s)", "%s.0̅1"),
    *(
        "%sish",
        "5...%s",
        r"\boxed{%s}x",
        r"\boxed{%s}k",
        r"\neq \boxed{%s}",
        r"\boxed{0.%s...}",
        "1_00%s",
        "%s, 5, ...",
    ),
)
UNEQUAL = ("=/= %s", "x !== %s", "different from %s", "at most about %s", "not = %s", "<> %s", "exceeding %s")
LOOKALIKES = (*BOUNDS, *UNEQUAL, *MAGNITUDES, *MARKUP, *GLUED)
# A number stays what it is.
AROUND = (
    *("&nbsp;%s", "<p>%s</p>", "<b>%s</b>", "<span class='a'>%s</span>", "%s<br>", "%s<|im_end|>", "%s</s>", "_%s_"),
    *("%s <|eot_id|>\n", "<|im_start|>assistant\n%s<|im_end|>", "It is about %s.", "≈ %s", "***%s***", "**Answer:**%s"),
    *("It is not 3 but %s.", "It is %s &amp; that is all"),
)
AROUND_MATH = (
    *(r"\large %s", r"{\bf %s}", r"\textcolor{red}{%s}", r"\boxed{\Large %s}", r"\approx %s", "|A| = %s", "AB = %s"),
    *(
        r"f(2) = %s",
        r"\boxed{{\rm %s}}",
        r"\boxed{\textcolor{blue}{%s}}",
        r"$\color{red}{%s}$",
        r"\boxed{%s}<|im_end|>",
    ),
)
IN_BOX = (
    *(r"\large %s", r"{\bf %s}", r"\textcolor{red}{%s}", r"\color{blue}{%s}", r"\bm{%s}", r"\Huge{%s}", r"\approx %s"),
    *(r"\boldsymbol{%s}", r"≈ %s", r"x \approx %s", "%s&nbsp;", r"\underline{%s}", "n := %s", r"\mathsf{%s}"),
    *(r"\text{approximately }%s", r"\text{The answer is: }%s", r"\text{Answer: } %s"),
)
NAMES = (
    *(
        "|A| = %s",
        "AB = %s",
        r"\angle ABC = %s",
        "f(2) = %s",
        "S_{10} = %s",
        r"\text{Area} = %s",
        "a + b = %s",
        "[ABC]=%s",
    ),
    *("P(X) = %s", r"\overline{AB}=%s", r"\theta = %s", "f'(1) = %s", "f^{-1}(3) = %s", "N = %s", r"P(A \cap B) = %s"),
    *(r"\frac{dy}{dx} = %s", "a_{10} = %s", r"\sin A = %s", "xy = %s", "|AB| = %s"),
)
# What is no value of the number that was asked for.
NO_NAMES = (
    "2x = %s",
    "x^2 = %s",
    "-x = %s",
    "x + 1 = %s",
    r"\frac{x}{2} = %s",
    r"\sqrt{x} = %s",
    r"x \neq %s",
    "x! = %s",
)
ZEROS = {"arabic": "٠", "persian": "۰", "devanagari": "०", "bengali": "০", "thai": "๐", "wide": "\uff10", "bold": "𝟎"}


def in_script(rng: random.Random, digits: str) -> str:
    """Return the digits of a whole number in another script."""
    zero = ord(rng.choice(list(ZEROS.values())))
    return "".join(chr(zero + int(digit)) for digit in digits)


def repeating(
    rng: random.Random, periods: tuple[str, ...] = ("3", "6", "7", "12", "45", "142857")
) -> tuple[Fraction, Fraction, Mapping[str, str]]:
    """Draw a repeating decimal: its value, what is left without the repetition, and ways to write it."""
    whole, fixed = str(rng.randint(0, 20)), rng.choice(("", "", "1", "05"))
    period = rng.choice(periods)
    start = Fraction(int(whole + fixed), 10 ** len(fixed))
    value = start + Fraction(int(period), (10 ** len(period) - 1) * 10 ** len(fixed))
    dots = f"\\dot{{{period}}}" if len(period) == 1 else f"\\dot{{{period[0]}}}{period[1:-1]}\\dot{{{period[-1]}}}"
    ways = {
        "overline": f"{whole}.{fixed}\\overline{{{period}}}",
        "brackets": f"{whole}.{fixed}({period})",
        "dots above": f"{whole}.{fixed}{dots}",
        "lines above": f"{whole}.{fixed}" + "".join(f"{digit}\u0305" for digit in period),
    }
    return value, start + Fraction(int(period), 10 ** len(fixed + period)), ways


def money(rng: random.Random) -> tuple[int, str, str]:
    """Draw an amount: its value, how it may be written with a letter, and the number before the letter."""
    tenths, (letter, power) = rng.randint(11, 99), rng.choice((("k", 3), ("K", 3), ("M", 6), ("B", 9), ("bn", 9)))
    number = f"{tenths // 10}.{tenths % 10}"
    return tenths * 10 ** (power - 1), f"{rng.choice(('$', '€', chr(92) + '$'))}{number}{letter}", number
