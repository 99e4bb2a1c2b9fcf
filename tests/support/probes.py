"""Completions that a scorer may meet: generated ones, near and far from a right answer, and hostile ones."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence

from fastslow.core.types import Example, Verdict
from fastslow.tasks import Task

SECONDS = 0.05  # of processor time a scorer may take on any text
ALPHABET = "0123456789,-> .{}[]\":\\eE+_abcdefXYZ\n\t'<>/`\u00e9\u2192\u0665\u200b\U0001f600\u202e\ud800\x00"
PIECES = (
    *("\\boxed{", "}", "```json\n", "```", "</think>", "<answer>", "</answer>", "null", "true", "NaN", "Infinity"),
    *("-0", "1e999", "1.0", '"', '{"a": 1}', "[1, 2]", "->", " ", "\\", "the", "\N{ZERO WIDTH SPACE}"),
)
HOSTILE = (
    *("A" * 10_000_000, " " * 10_000_000, "\\boxed{" * 1_000_000, "}" * 10_000_000, "`" * 10_000_000),
    *("\\boxed{" + "1," * 4_000_000 + "1}", "\\boxed{" + "9" * 1_000_000 + "}", "</think>" * 1_000_000),
    *("[" * 100_000, "[" * 9_000 + "]" * 9_000, '{"a":' * 50_000, "9" * 1_000_000, "[" + "1," * 5_000_000 + "1]"),
    *("9" * 4_000, "9" * 5_000, "1e" + "9" * 5_000, "-" * 100_000, '"' + "\\" * 1_000_000, '"\\ud800"', "\ud800"),
    *("NaN", "-Infinity", "[NaN]", "1e999", "-1e999", '{"a": 1, "a": 1}', "\x00", "\x1b[2J", "\u202e321", "\ufeff1"),
    *(
        "\u0661\u0662",
        "\uff11",
        "\u00bd",
        "a\u0300" * 1_000_000,
        "\ufdfa" * 500,
        "\ufdfa" * 1_000_000,
        "x\n" * 5_000_000,
    ),
)


def generated(golds: Sequence[str], count: int, seed: int = 0) -> Iterator[str]:
    """`count` texts: right answers cut, doubled and edited, pieces of syntax thrown together, and noise."""
    rng = random.Random(seed)
    for number in range(count):
        if number % 3 == 0:
            yield "".join(rng.choices(ALPHABET, k=rng.randrange(60)))
        elif number % 3 == 1:
            yield "".join(rng.choices((*PIECES, *golds), k=rng.randrange(1, 8)))
        else:
            text = rng.choice(golds)
            place = rng.randrange(len(text) + 1)
            yield text[:place] + rng.choice(("", *ALPHABET, *PIECES)) + text[place + rng.randrange(3) :]


def timed(task: Task, example: Example, completion: str) -> tuple[Verdict, float]:
    """The verdict and the processor time it took; the best of three, as the garbage collector is not on trial."""
    best, verdict = float("inf"), None
    for _ in range(3):
        started = time.thread_time()
        verdict = task.score(example, completion)
        best = min(best, time.thread_time() - started)
        if best < SECONDS:
            break
    assert verdict is not None
    return verdict, best


def check_survives(task: Task, examples: Sequence[Example], golds: Sequence[str], count: int = 10_000) -> None:
    """Asserts of `count` generated texts and of the hostile ones: no exception, in time, a reward in range."""
    texts = [*HOSTILE, *generated(golds, count)]
    for number, text in enumerate(texts):
        verdict, seconds = timed(task, examples[number % len(examples)], text)
        assert verdict.reward is not None, f"{text[:60]!r} is unscored: {verdict.info}"
        assert 0.0 <= verdict.reward <= 1.0, f"{text[:60]!r} earns {verdict.reward}"
        assert verdict.feedback, f"{text[:60]!r} gets no feedback"
        assert len(verdict.feedback) < 5_000, f"{text[:60]!r} gets {len(verdict.feedback)} characters of feedback"
        shown = all(c.isprintable() or c == "\n" for c in verdict.feedback)
        assert shown, f"{text[:60]!r}: {verdict.feedback!r}"
        assert seconds < SECONDS, f"{text[:60]!r} took {seconds:.3f} s"
