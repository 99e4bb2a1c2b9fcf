"""Decide one check from the answers so far: pure functions of rewards."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from scipy.special import stdtrit

from fastslow.gate.verdict import Check, State
from fastslow.metrics.exact import exact_bound, least_questions
from fastslow.metrics.paired import Paired, interval_of, pair, z_of
from fastslow.metrics.power import questions_needed
from fastslow.metrics.sequential import bounds_at

POWER = 0.8
"""Probability with which the further questions that an undecided check asks for would decide it."""

Rewards = Sequence[float | None]
"""The rewards of one question's samples; None for unscored."""


@dataclass(frozen=True)
class Test:
    """What one paired check asks for.

    Args:
        kind: gain or retain, or samples for answers that another program scored.
        name: the task.
        against: the difference that has to be excluded: minus the margin, or the gain asked for.
        alpha: one-sided error.
        most: questions in all.
        chance: accuracy of guessing; a baseline that is not better than it by more than the margin cannot lose.
        unscored: largest share of all answers of the gate that may be unscored. Until the last look a larger share
            leaves the check undecided, unless it is more already than the whole gate allows.
    """

    kind: Literal["gain", "retain", "samples"]
    name: str
    against: float
    alpha: float
    most: int
    chance: float = 0.0
    unscored: float = 0.01


def decide(test: Test, candidate: Sequence[Rewards], baseline: Sequence[Rewards], looks: Sequence[int]) -> Check:
    """Return the check after the last of `looks`.

    The interval is the one that the test goes by at this look: a check passes where the whole interval lies above
    `against`, and fails where the whole interval lies below. Both errors are held at alpha over all looks together.

    Args:
        test: what is asked for.
        candidate, baseline: rewards of each question, in the same order.
        looks: questions that were answered at each look so far, the last of them all of these.
    """
    ends = not candidate or looks[-1] >= test.most
    share = _unscored_share(candidate, baseline)
    both = _scored(candidate, baseline)
    if not both or share > test.unscored:
        # A share of few answers says little of all: before the end, only what no further answer can mend is invalid.
        settled = ends or share * len(candidate) / test.most > test.unscored
        return Check(
            test.kind, test.name, "invalid" if settled else "undecided", n=len(candidate), looks=len(looks),
            against=test.against,
            reason=f"{100 * share:.1f}% of the {'' if ends else 'first '}answers could not be scored, and at most "
            f"{100 * test.unscored:g}% of all may",
        )  # fmt: skip
    pairs = pair([c for c, _ in both], [b for _, b in both])
    means = [float(np.mean([np.mean(side) for side in sides])) for sides in zip(*both, strict=True)]
    bound = bounds_at(test.alpha, looks, test.most)[-1]
    to_pass, to_fail = _bounds(pairs, test.against, bound)
    low, high = interval_of(pairs, to_pass, to_fail)
    right = _fully_right(both)
    state, reason, more = _outcome(
        test, pairs, (to_pass, to_fail), means[1], ends, graded=right is not None, bound=bound
    )
    return Check(
        kind=test.kind,
        name=test.name,
        state=state,
        reason=reason,
        candidate=means[0],
        baseline=means[1],
        difference=pairs.mean,
        low=low,
        high=high,
        against=test.against,
        n=pairs.n,
        won=pairs.won,
        lost=pairs.lost,
        looks=len(looks),
        more=more,
        candidate_right=right and right[0],
        baseline_right=right and right[1],
    )


def _bounds(pairs: Paired, against: float, bound: float) -> tuple[float, float]:
    """Return the values that z has to reach to pass and, below 0, to fail: those of the look where the statistic is
    normal enough, higher ones where the exact probability of rewards of 0 and 1 asks for it."""
    if not pairs.exact:
        return bound, bound
    return exact_bound(pairs.n, against, bound), exact_bound(pairs.n, -against, bound)


def _outcome(
    test: Test,
    pairs: Paired,
    bounds: tuple[float, float],
    baseline: float,
    ends: bool,
    *,
    graded: bool,
    bound: float,
) -> tuple[State, str, int | None]:
    """Return the state of a check, why, and about how many more questions would decide it. `bound` is the one of this
    look."""
    points, z, (to_pass, to_fail) = f"{100 * test.against:+.1f} points", z_of(pairs, test.against), bounds
    if z <= -to_fail:
        return "fail", f"the difference is shown to lie below {points}", None
    if test.kind != "gain" and baseline - test.chance <= -test.against:
        stands = f"has a mean reward of {baseline:.3f}" if graded else f"is right on {baseline:.1%}"
        cannot = (
            f"the baseline {stands}, too little to lose {-100 * test.against:.1f} points: {_usable(test, baseline)}"
        )
        if z_of(pairs, 0.0) <= -_bounds(pairs, 0.0, bound)[1]:
            return "fail", f"the candidate is shown to be worse; {cannot}", None
        return ("invalid" if ends else "undecided"), cannot, None
    if z >= to_pass:
        return "pass", f"the difference is shown to lie above {points}", None
    if not ends:
        return "undecided", f"not decided after {pairs.n} questions", None
    variance = max(pairs.deviation**2 if pairs.n > 1 else 1.0, 1 / pairs.n)
    needed = questions_needed(pairs.mean, test.against, variance, alpha=test.alpha, power=POWER)
    if needed is None:
        return "undecided", f"the difference measured, {100 * pairs.mean:+.1f} points, is not above {points}", None
    needed = max(needed, least_questions(test.against, test.alpha))
    more = max(needed - pairs.n, math.ceil(pairs.n / 10))  # a bound that was raised asks for more than the formula
    return "undecided", f"about {more} more questions would decide it if the difference is as measured", more


def _usable(test: Test, baseline: float) -> str:
    most = 100 * (baseline - test.chance)
    return f"the margin has to be below {most:.1f} points" if most > 0 else "no margin guards what it cannot do"


def _fully_right(both: Sequence[tuple[list[float], list[float]]]) -> tuple[float, float] | None:
    """Return each side's share of answers with a reward of 1; None where every reward is 0 or 1, and the mean is that
    share."""
    sides = [[reward for question in side for reward in question] for side in zip(*both, strict=True)]
    if all(reward in (0.0, 1.0) for side in sides for reward in side):
        return None
    candidate, baseline = (side.count(1.0) / len(side) for side in sides)
    return candidate, baseline


def _scored(candidate: Sequence[Rewards], baseline: Sequence[Rewards]) -> list[tuple[list[float], list[float]]]:
    """Return the rewards of every question that either of the two was scored on, where an unscored answer counts
    against the candidate: 0 for its own, and 1 for the baseline's. A candidate cannot win by breaking the scorer."""
    return [
        ([0.0 if r is None else r for r in c], [1.0 if r is None else r for r in b])
        for c, b in zip(candidate, baseline, strict=True)
        if any(r is not None for r in (*c, *b))
    ]


def _unscored_share(candidate: Sequence[Rewards], baseline: Sequence[Rewards]) -> float:
    """Return the share of unscored answers of the side that has more of them; 1 without any answer."""
    shares = []
    for side in (candidate, baseline):
        rewards = [reward for of_question in side for reward in of_question]
        shares.append(sum(r is None for r in rewards) / len(rewards) if rewards else 1.0)
    return max(shares)


def decide_prose(
    candidate: Sequence[float], baseline: Sequence[float], bytes_P: Sequence[int], *, max_rise: float, alpha: float
) -> Check:
    """Return whether the bits per byte rose by less than `max_rise`, a share of the baseline's.

    Student's t over the pieces of text, of what is left of the rise that is allowed. Raises ValueError for different
    numbers of pieces.
    """
    c, b, size = np.asarray(candidate), np.asarray(baseline), float(sum(bytes_P))
    if not np.isfinite([*c, *b]).all() or not b.sum():
        return Check("prose", "bits per byte", "invalid", "the model gives prose no finite probability", n=len(c))

    rise = float(c.sum() / b.sum() - 1)
    # The error of a ratio of sums, linearised at the ratio itself: the bits of the baseline hardly vary between pieces.
    error = float(np.std(c - (1 + rise) * b, ddof=1)) * len(c) ** 0.5 / float(b.sum())
    half = float(stdtrit(len(c) - 1, 1 - alpha)) * error
    state: State = "pass" if rise + half < max_rise else "fail" if rise - half > max_rise else "undecided"
    words = {"pass": "is shown to be below", "fail": "is shown to be above", "undecided": "is not shown to be below"}
    return Check(
        "prose", "bits per byte", state, f"the rise {words[state]} {100 * max_rise:g}%",
        candidate=float(c.sum() / size), baseline=float(b.sum() / size), difference=rise, low=rise - half,
        high=rise + half, against=max_rise, n=len(c), looks=1,
    )  # fmt: skip


def decide_limit(
    name: str,
    value: float | None,
    limit: float,
    unit: str,
    *,
    candidate: float | None = None,
    baseline: float | None = None,
) -> Check:
    """Return whether a figure is within its limit, compared as measured."""
    if value is None or not math.isfinite(value):
        return Check("limit", name, "invalid", f"{name} could not be measured", against=limit)
    within = value <= limit
    return Check(
        "limit", name, "pass" if within else "fail",
        f"{value:.4g} {unit} {'is within' if within else 'is above'} the limit of {limit:g}",
        candidate=candidate, baseline=baseline, difference=value, against=limit,
    )  # fmt: skip
