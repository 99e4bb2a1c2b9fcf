r"""Make problems of our own in Polaris' columns, for work without a network: `polaris?path=sample`.

School mathematics, made from templates by plain loops, so that the same rows come out everywhere. The problems show
every kind of answer that the scorer compares; they do not measure what a model can do on Polaris.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from math import comb, gcd, isqrt

from fastslow.tasks.families.rows import Row

EACH = 13  # problems of a template


def rows() -> list[Row]:
    """Return all problems, with `difficulty` as a share of solved attempts like that of Polaris; ours is not
    measured."""
    return [
        {"problem": problem, "answer": answer, "difficulty": None}
        for template in TEMPLATES
        for problem, answer in template()
    ]


Problems = Iterator[tuple[str, str]]


def _fraction(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    return ("-" if value < 0 else "") + f"\\frac{{{abs(value.numerator)}}}{{{value.denominator}}}"


def _linear(slope: int, constant: int, name: str = "x") -> str:
    start = name if slope == 1 else f"{slope}{name}"
    return f"{start} {'+' if constant >= 0 else '-'} {abs(constant)}"


def _root(number: int) -> str:
    """Return sqrt(number) with the largest square taken out."""
    outside = next(k for k in range(isqrt(number), 0, -1) if number % (k * k) == 0)
    inside = number // (outside * outside)
    if inside == 1:
        return str(outside)
    return (str(outside) if outside > 1 else "") + f"\\sqrt{{{inside}}}"


def equations() -> Problems:
    for i in range(EACH):
        a, b, c = 2 + i % 5, 3 * i - 7, 4 + 2 * i
        yield f"Solve ${_linear(a, b)} = {c}$ for $x$.", _fraction(Fraction(c - b, a))


def remainders() -> Problems:
    for i in range(EACH):
        base, power, modulus = 3 + i % 4, 20 + 7 * i, 11 + 2 * i
        yield (
            f"What is the remainder when ${base}^{{{power}}}$ is divided by ${modulus}$?",
            str(pow(base, power, modulus)),
        )


def digit_sums() -> Problems:
    for i in range(EACH):
        power = 9 + 3 * i
        total = sum(map(int, str(2**power)))
        yield f"What is the sum of the decimal digits of $2^{{{power}}}$?", str(total)


def divisors() -> Problems:
    for i in range(EACH):
        number = 360 + 84 * i
        count = sum(1 for k in range(1, number + 1) if number % k == 0)
        yield f"How many positive divisors does ${number}$ have?", str(count)


def committees() -> Problems:
    for i in range(EACH):
        people, seats = 7 + i, 2 + i % 3
        yield f"In how many ways can {seats} people be chosen from a group of {people}?", str(comb(people, seats))


def dice() -> Problems:
    for i in range(EACH - 2):
        total = 2 + i
        ways = sum(1 for a in range(1, 7) for b in range(1, 7) if a + b == total)
        yield (
            f"Two fair dice are rolled. What is the probability that they show {total} together?",
            _fraction(Fraction(ways, 36)),
        )


def marbles() -> Problems:
    for i in range(EACH):
        red, blue = 3 + i % 5, 4 + i
        chance = Fraction(red * (red - 1), (red + blue) * (red + blue - 1))
        yield (
            f"A bag holds {red} red and {blue} blue marbles. Two are drawn without putting any back. "
            "What is the probability that both are red?",
            _fraction(chance),
        )


def diagonals() -> Problems:
    for i in range(EACH):
        a, b = 2 + i, 3 + 2 * i
        yield f"A rectangle has sides ${a}$ and ${b}$. How long is its diagonal?", _root(a * a + b * b)


def equilateral_areas() -> Problems:
    for i in range(EACH):
        side = 1 + i
        square = Fraction(side * side, 4)
        over = f"{square.numerator if square.numerator > 1 else ''}\\sqrt{{3}}"
        answer = over if square.denominator == 1 else f"\\frac{{{over}}}{{{square.denominator}}}"
        yield f"What is the area of an equilateral triangle with side ${side}$?", answer


def circles() -> Problems:
    for i in range(EACH):
        radius = 2 + i
        yield f"What is the area of a circle of radius ${radius}$, in terms of $\\pi$?", f"{radius * radius}\\pi"


def sectors() -> Problems:
    for i in range(EACH):
        radius, parts = 3 + i, 5 + i % 4
        area = Fraction(radius * radius, parts)
        below = "" if area.denominator == 1 else f"/{area.denominator}"
        over = "" if area.numerator == 1 else str(area.numerator)
        yield (
            f"A disc of radius ${radius}$ is cut into {parts} equal sectors. What is the area of one?",
            f"{over}\\pi{below}",
        )


def quadratics() -> Problems:
    for i in range(EACH):
        low, high = -2 - i, 1 + i % 4
        yield (
            f"Find all solutions of $(x + {-low})(x - {high}) = 0$. Give them as a set.",
            f"\\{{{low}, {high}\\}}",
        )


def intervals() -> Problems:
    for i in range(EACH):
        middle, reach = i - 3, 2 + i % 5
        inside = f"x - {middle}" if middle > 0 else "x" if middle == 0 else f"x + {-middle}"
        yield (
            f"For which real $x$ is $|{inside}| \\leq {reach}$? Give an interval.",
            f"[{middle - reach}, {middle + reach}]",
        )


def rays() -> Problems:
    for i in range(EACH):
        a, b = 2 + i % 4, 5 + 3 * i
        yield f"For which real $x$ is ${a}x > {b}$? Give an interval.", f"({_fraction(Fraction(b, a))}, \\infty)"


def midpoints() -> Problems:
    for i in range(EACH):
        x, y = Fraction(2 * i - 5, 2), Fraction(i + 8, 2)
        yield (
            f"What is the midpoint of $({i}, {i + 3})$ and $({i - 5}, 5)$?",
            f"({_fraction(x)}, {_fraction(y)})",
        )


def expansions() -> Problems:
    for i in range(EACH):
        a, b = 1 + i, 2 + i % 6
        yield f"Expand $(x + {a})(x + {b})$.", f"x^2 + {a + b}x + {a * b}"


def derivatives() -> Problems:
    for i in range(EACH):
        a, n = 2 + i % 5, 2 + i % 3
        power = "x" if n == 2 else f"x^{{{n - 1}}}"
        yield f"Differentiate ${a}x^{{{n}}} + {i + 1}x$ with respect to $x$.", f"{a * n}{power} + {i + 1}"


def sums() -> Problems:
    for i in range(EACH):
        k = 1 + i
        yield (
            f"Express $1 + 2 + \\dots + {'' if k == 1 else k}n$ in terms of $n$.",
            f"\\frac{{{'' if k == 1 else k}n({'' if k == 1 else k}n + 1)}}{{2}}",
        )


def powers() -> Problems:
    for i in range(EACH):
        a, b = 40 + 3 * i, 5 + i
        yield f"Write $2^{{{a}}} \\cdot 8^{{{b}}}$ as a power of $2$.", f"2^{{{a + 3 * b}}}"


def series() -> Problems:
    for i in range(EACH):
        first, below = 1 + i, 3 + i % 5
        ratio = Fraction(1, below)
        yield (
            f"A geometric series starts with ${first}$ and has the ratio ${_fraction(ratio)}$. What is its sum?",
            _fraction(first / (1 - ratio)),
        )


def reductions() -> Problems:
    for i in range(EACH):
        a, b = 12 * (i + 2), 18 * (i + 3)
        yield f"What is the greatest common divisor of ${a}$ and ${b}$?", str(gcd(a, b))


def percentages() -> Problems:
    for i in range(EACH):
        whole, part = 40 + 10 * i, 7 + i
        yield (
            f"What percentage of ${whole}$ is ${_decimal(Fraction(whole * part, 100))}$?",
            f"{part}\\%",
        )


def _decimal(value: Fraction) -> str:
    return f"{float(value):g}"


TEMPLATES = (
    *(equations, remainders, digit_sums, divisors, committees, dice, marbles, diagonals, equilateral_areas, circles),
    *(sectors, quadratics, intervals, rays, midpoints, expansions, derivatives, sums, powers, series, reductions),
    percentages,
)
