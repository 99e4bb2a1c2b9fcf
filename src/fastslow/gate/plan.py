"""Say before anything is measured how many questions a policy needs, and how likely an equal candidate passes."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

from fastslow.gate.policy import Gain, Policy, Retain
from fastslow.metrics.exact import least_questions
from fastslow.metrics.power import MOST, power_of, questions_needed
from fastslow.tasks.task_set import spelled_once

DISCORDANCES = (0.05, 0.10, 0.20)
"""Shares of questions on which two models differ: of a small change, a usual one, a large one. Unknown beforehand, and
the number of questions is in proportion to it."""

USUAL = 0.10

GAINS = (0.05, 0.10, 0.20)
"""Gains beyond what is asked for, for which the questions of a `gain` check are shown."""


def plan(
    policy: Policy, *, known: Mapping[str, int] | None = None, levels: Mapping[str, float] | None = None
) -> Iterator[str]:
    """Yield the lines of the plan.

    Args:
        policy: as completed by a champion's, if there is one.
        known: the number of questions of tasks that have fewer than the policy asks for.
        levels: the champion's mean reward on tasks, as far as a verdict has it.
    """
    alpha = policy.rules.alpha
    yield f"alpha {alpha:g}, {policy.rules.looks} looks, at most {policy.rules.questions} questions a task"
    known = known or {}
    for name, number in known.items():
        yield f"'{name}' has at most {number} questions for a gate"
    kept = [(one.task, policy.margin_of(one), _asked(policy, one, known)) for one in policy.retain]
    chances = {spelled_once(one.task): one.chance for one in policy.retain}
    kept += [(one.name, policy.margin_of(one), None) for one in policy.samples]
    if kept:
        yield ""
        yield "questions with which a candidate that is exactly as good passes, by the share on which the two differ:"
    for task, margin, most in kept:
        yield f"  retain {task}, margin {margin:g}"
        level = (levels or {}).get(spelled_once(task))
        chance = chances.get(spelled_once(task), 0.0)
        if level is None and 1 - chance <= margin:
            yield (
                f"    guessing gives {chance:g}: no model is better than that by {100 * margin:g} points, and this can "
                "never be passed"
            )
        if level is not None:
            yield from _cannot_lose(level, chance, margin)
        for discordance in DISCORDANCES:
            needed = [_needed(0.0, -margin, discordance, alpha, power) for power in (0.8, 0.9)]
            passed = "" if most is None else f"; with {most}: {_power(most, margin, discordance, alpha):.1%}"
            yield f"    differ on {discordance:.0%}: {_some(needed[0])} for 80%, {_some(needed[1])} for 90%{passed}"
    powers = [_power(most, margin, USUAL, alpha) for _, margin, most in kept if most is not None]
    if len(powers) > 1:
        yield f"  all {len(powers)} are passed together with {math.prod(powers):.1%} where each differs on 10%"
    if policy.gain:
        yield ""
        yield "questions with which a candidate that only wins passes, by its true gain:"
    for one in policy.gain:
        yield f"  gain {one.task}, above {one.min_gain:g}"
        for gain in GAINS:
            true = one.min_gain + gain
            if true > 1:
                continue
            needed = _needed(true, one.min_gain, true * (1 - true), alpha, 0.9)
            most = _asked(policy, one, known)
            chance = power_of(most, true, one.min_gain, true * (1 - true), alpha=alpha)
            enough = most >= least_questions(one.min_gain, alpha)
            yield f"    {100 * true:.0f} points: {_some(needed)} for 90%; with {most}: {chance if enough else 0.0:.1%}"
        if one.min_gain + GAINS[0] > 1:
            yield "    a model that is right on everything gains 100 points: ask for less"


def _cannot_lose(level: float, chance: float, margin: float) -> Iterator[str]:
    """Yield a line where a champion's mean reward lies above that of guessing by no more than the margin."""
    if level - chance > margin:
        return
    guessed = f", and guessing gives {chance:g}" if chance else ""
    advice = f"give a margin below {level - chance:.2f}" if level > chance else "it has nothing to lose there"
    yield (
        f"    the champion's mean reward was {level:.3f}{guessed}: it cannot lose {100 * margin:g} points, and this "
        f"can never be passed; {advice}"
    )


def _asked(policy: Policy, one: Gain | Retain, known: Mapping[str, int]) -> int:
    return min(policy.questions_of(one), known.get(spelled_once(one.task), policy.questions_of(one)))


def _some(questions: int | None) -> str:
    return f"more than {MOST:,}" if questions is None else str(questions)


def _needed(difference: float, against: float, variance: float, alpha: float, power: float) -> int | None:
    needed = questions_needed(difference, against, variance, alpha=alpha, power=power)
    return None if needed is None else max(needed, least_questions(against, alpha))


def _power(n: int, margin: float, discordance: float, alpha: float) -> float:
    return power_of(n, 0.0, -margin, discordance, alpha=alpha) if n >= least_questions(-margin, alpha) else 0.0
