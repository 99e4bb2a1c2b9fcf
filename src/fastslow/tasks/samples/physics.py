"""Make questions of our own in SciKnowEval's columns, for work without a network: `physics?path=sample`.

School physics: each template is one formula, with the right value among three that a typical slip gives. Plain loops
make the same rows everywhere. The questions do not measure what a model can do on SciKnowEval.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from fastslow.tasks.families.rows import Row

EACH = 14  # questions of a template
LETTERS = "ABCD"


class Problem(NamedTuple):
    question: str
    right: float | Fraction
    slips: tuple[float | Fraction, ...]
    unit: str


Problems = Iterator[Problem]


def rows() -> list[Row]:
    return [_row(problem) for template in TEMPLATES for problem in template()]


def _row(problem: Problem) -> Row:
    """Return four different options in an order that follows from the question's hash."""
    shown = [_number(problem.right)]
    for factor in (1, 2, Fraction(1, 2), 10, 3):
        for value in problem.slips if factor == 1 else (problem.right * factor,):
            if _number(value) not in shown and len(shown) < len(LETTERS):
                shown.append(_number(value))
    digest = hashlib.sha256(problem.question.encode()).digest()
    order = sorted(range(len(LETTERS)), key=lambda place: digest[place : place + 4])
    texts = [f"{shown[i]} {problem.unit}".strip() for i in order]
    return {
        "question": problem.question,
        "choices": {"text": texts, "label": list(LETTERS)},
        "answerKey": LETTERS[order.index(0)],
        "type": "mcq-4-choices",
        "domain": "Physics",
        "details": {"level": "L3", "task": "calculation", "source": "fastslow"},
    }


def _number(value: float | Fraction) -> str:
    return f"{float(value):.4g}"


def speeds() -> Problems:
    for i in range(EACH):
        metres, seconds = 120 + 30 * i, 8 + i
        yield Problem(
            f"A cyclist covers {metres} m in {seconds} s at constant speed. What is the speed?",
            Fraction(metres, seconds),
            (metres * seconds, Fraction(seconds, metres), metres - seconds),
            "m/s",
        )


def accelerations() -> Problems:
    for i in range(EACH):
        start, end, seconds = 4 + i, 22 + 3 * i, 3 + i % 5
        yield Problem(
            f"A car speeds up evenly from {start} m/s to {end} m/s in {seconds} s. What is its acceleration?",
            Fraction(end - start, seconds),
            (Fraction(end, seconds), Fraction(end + start, seconds), (end - start) * seconds),
            "m/s^2",
        )


def falls() -> Problems:
    for i in range(EACH):
        tenths = 6 + 2 * i
        t = Fraction(tenths, 10)
        yield Problem(
            f"A stone is dropped from rest. How far has it fallen after {_number(t)} s (g = 10 m/s^2, no air drag)?",
            5 * t * t,
            (10 * t * t, 10 * t, 5 * t),
            "m",
        )


def forces() -> Problems:
    for i in range(EACH):
        mass, acceleration = 3 + 2 * i, 2 + i % 6
        yield Problem(
            f"What net force gives a mass of {mass} kg an acceleration of {acceleration} m/s^2?",
            mass * acceleration,
            (Fraction(mass, acceleration), mass + acceleration, Fraction(mass * acceleration, 2)),
            "N",
        )


def kinetic_energies() -> Problems:
    for i in range(EACH):
        mass, speed = 2 + i, 3 + i % 7
        yield Problem(
            f"What is the kinetic energy of a body of {mass} kg that moves at {speed} m/s?",
            Fraction(mass * speed * speed, 2),
            (mass * speed * speed, mass * speed, Fraction(mass * speed, 2)),
            "J",
        )


def momenta() -> Problems:
    for i in range(EACH):
        a, b, speed = 2 + i, 3 + i % 4, 4 + i
        yield Problem(
            f"A trolley of {a} kg at {speed} m/s hits one of {b} kg at rest, and they stick together. "
            "How fast are they then?",
            Fraction(a * speed, a + b),
            (Fraction(speed, 2), Fraction(a * speed, b), speed),
            "m/s",
        )


def pressures() -> Problems:
    for i in range(EACH):
        force, area = 150 + 50 * i, 2 + i % 5
        yield Problem(
            f"A force of {force} N presses evenly on an area of {area} m^2. What is the pressure?",
            Fraction(force, area),
            (force * area, Fraction(area, force), force),
            "Pa",
        )


def resistors_in_series_and_parallel() -> Problems:
    for i in range(EACH):
        a, b = 4 + 2 * i, 6 + 3 * (i % 4)
        both = Fraction(a * b, a + b)
        series, parallel = (a + b, both), (both, a + b)
        for word, (right, other) in (("series", series), ("parallel", parallel)):
            yield Problem(
                f"What is the total resistance of {a} ohm and {b} ohm in {word}?",
                right,
                (other, a * b, Fraction(a + b, 2)),
                "ohm",
            )


def currents() -> Problems:
    for i in range(EACH):
        volts, ohms = 9 + 3 * i, 5 + i
        yield Problem(
            f"What current flows through {ohms} ohm at {volts} V?",
            Fraction(volts, ohms),
            (volts * ohms, Fraction(ohms, volts), volts - ohms),
            "A",
        )


def powers() -> Problems:
    for i in range(EACH):
        amperes, ohms = 2 + i % 5, 7 + i
        yield Problem(
            f"A current of {amperes} A flows through {ohms} ohm. What power turns into heat?",
            amperes * amperes * ohms,
            (amperes * ohms, amperes * ohms * ohms, Fraction(ohms, amperes)),
            "W",
        )


def waves() -> Problems:
    for i in range(EACH):
        hertz, metres = 50 + 25 * i, 2 + i % 6
        yield Problem(
            f"A wave has a frequency of {hertz} Hz and a wavelength of {metres} m. How fast does it travel?",
            hertz * metres,
            (Fraction(hertz, metres), Fraction(metres, hertz), hertz + metres),
            "m/s",
        )


def heat() -> Problems:
    for i in range(EACH):
        kilograms, kelvin = 2 + i % 4, 10 + 5 * i
        yield Problem(
            f"How much heat warms {kilograms} kg of water by {kelvin} K (c = 4.2 kJ/(kg K))?",
            Fraction(42 * kilograms * kelvin, 10),
            (Fraction(42 * kelvin, 10), kilograms * kelvin, Fraction(42 * kelvin, 10 * kilograms)),
            "kJ",
        )


def lenses() -> Problems:
    for i in range(EACH):
        focal, far = 10 + 2 * i, 30 + 7 * i
        yield Problem(
            f"An object stands {far} cm before a thin converging lens of focal length {focal} cm. "
            "How far behind the lens is its image?",
            Fraction(focal * far, far - focal),
            (Fraction(focal * far, far + focal), far - focal, far + focal),
            "cm",
        )


def springs() -> Problems:
    for i in range(EACH):
        newtons, centimetres = 12 + 4 * i, 5 + i % 5
        yield Problem(
            f"A force of {newtons} N stretches a spring by {centimetres} cm. What is its spring constant?",
            Fraction(100 * newtons, centimetres),
            (Fraction(newtons, centimetres), Fraction(newtons * centimetres, 100), newtons * centimetres),
            "N/m",
        )


def half_lives() -> Problems:
    for i in range(EACH):
        days, times = 3 + i, 2 + i % 4
        yield Problem(
            f"A sample has a half-life of {days} days. What share of it is left after {days * times} days?",
            Fraction(1, 2**times),
            (Fraction(1, times), 1 - Fraction(1, 2**times), Fraction(1, 2 * times)),
            "of the sample",
        )


TEMPLATES = (
    *(speeds, accelerations, falls, forces, kinetic_energies, momenta, pressures, resistors_in_series_and_parallel),
    *(currents, powers, waves, heat, lenses, springs, half_lives),
)
