"""Recompute what a verdict says from what it holds: its checks from its policy, their states from their numbers.

A verdict's SHA-256 tells a damaged file. Whoever edits one on purpose can renew it, and is found out here where the
parts no longer agree. A verdict that was made up as a whole is not: there is no signature.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

from fastslow.core.errors import BadInput, quoted
from fastslow.gate.floor import Floor, completed
from fastslow.gate.policy import Policy, parse_policy
from fastslow.gate.verdict import KL, LATENCY, NEUTRAL_KL, PROMPT_TOKENS, PROSE, Check, Verdict, combined

NEAR = 1e-6
"""Difference of two numbers that are the same: ends of intervals are roots, found to 1e-7."""

Asked = tuple[str, str, float | None]
"""Kind and name of a check, and the difference that it allows."""


def policy_of(verdict: Verdict, floor: Floor | None) -> Policy:
    """Return the policy that a verdict went by, with what it takes over from the champion's.

    Args:
        verdict: as read.
        floor: what the champion's policy asks for; None without a champion.

    Raises BadInput where the verdict holds another policy than it names, none that can be read, or one that is weaker
    than the champion's.
    """
    if hashlib.sha256(verdict.policy.encode()).hexdigest() != verdict.policy_digest:
        raise BadInput("the verdict does not hold the policy whose digest it names.")
    return completed(parse_policy(verdict.policy.encode(), "its policy"), floor)


def contradiction(verdict: Verdict, policy: Policy) -> str | None:
    """Return the first thing in a verdict that contradicts another or its policy, in words; None where all agree.

    Recomputed are the settings and margins that it says, its checks with the difference that each allows, the state of
    each check that passes, and the state of the whole. What a verdict does not hold (the answers) is not.
    """
    return next(_contradictions(verdict, policy), None)


def _contradictions(verdict: Verdict, policy: Policy) -> Iterator[str]:
    for name in ("alpha", "looks", "contexts"):
        said, ruled = getattr(verdict, name), getattr(policy.rules, name)
        if said != ruled:
            yield f"its {name} is {quoted(said, 40)}, and its policy says {ruled}"
    own, said = policy.margins(), verdict.margins
    for task in sorted({*own, *said}):
        if own.get(task) != said.get(task):
            yield f"it keeps '{quoted(task, 60)}' by another margin than its policy"
    asked: Counter[Asked] = Counter(_asked_for(policy))
    found: Counter[Asked] = Counter((check.kind, check.name, check.against) for check in verdict.checks)
    for kind, name, against in asked - found:
        yield f"it has no check '{kind} {quoted(name, 60)}' against {against}, which its policy asks for"
    for kind, name, _ in found - asked:
        yield f"its policy does not ask for the check '{quoted(kind, 20)} {quoted(name, 60)}' as it stands there"
    chances = {("retain", one.task): one.chance for one in policy.retain}
    for check in verdict.checks:
        chance = chances.get((check.kind, check.name), 0.0)
        problem = _unproven(check, chance) if check.state == "pass" else None
        if problem is not None:
            yield f"the check '{quoted(check.kind, 20)} {quoted(check.name, 60)}' is said to pass, but {problem}"
    if verdict.state != combined(verdict.checks):
        yield f"it says '{verdict.state}', and its checks are '{combined(verdict.checks)}'"


def _asked_for(policy: Policy) -> Iterator[Asked]:
    """Yield kind, name and allowed difference of every check that the policy asks for."""
    for one in policy.gain:
        yield "gain", one.task, one.min_gain
    for one in policy.retain:
        yield "retain", one.task, -policy.margin_of(one)
    for one in policy.samples:
        yield "samples", one.name, -policy.margin_of(one)
    if policy.prose is not None:
        yield "prose", PROSE, policy.prose.max_rise
    limits = policy.limits
    for name, limit in (
        (NEUTRAL_KL, policy.neutral.max_kl if policy.neutral else None),
        (KL, limits.kl),
        (PROMPT_TOKENS, limits.added_prompt_tokens),
        (LATENCY, limits.latency_rise),
    ):
        if limit is not None:
            yield "limit", name, limit


def _unproven(check: Check, chance: float) -> str | None:
    """Return why the numbers of a check do not show that it passes."""
    found, against = check.difference, check.against
    if found is None or against is None:
        return "it has no numbers"
    if check.kind == "limit":
        return None if found <= against else "it is above its limit"
    if check.low is None or check.high is None or not check.low - NEAR <= found <= check.high + NEAR:
        return "its difference lies outside its interval"
    if check.kind == "prose":
        return None if check.high < against else "its interval does not lie below its limit"
    if check.low < against - NEAR:
        return "its interval does not lie above what it allows"
    if check.candidate is None or check.baseline is None or abs(check.candidate - check.baseline - found) > NEAR:
        return "its difference is not that of the two models"
    if min(check.won, check.lost, check.n - check.won - check.lost) < 0 or check.n == 0:
        return "its questions do not add up"
    if not -check.lost / check.n - NEAR <= found <= check.won / check.n + NEAR:  # a question is worth at most 1
        return "its questions do not make that difference"
    if check.kind != "gain" and check.baseline - chance <= -against:
        return "its baseline cannot lose that much"
    return None
