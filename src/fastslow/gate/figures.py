"""Check what is not paired by question: prose, neutral prompts, and the limits of a policy."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from fastslow.core.types import Example
from fastslow.gate.decide import decide_limit, decide_prose
from fastslow.gate.general import bits_of, neutral_prompts, prose_pieces
from fastslow.gate.policy import Policy
from fastslow.gate.sides import DRIFT_EXAMPLES, Side, latency_rise
from fastslow.gate.verdict import KL, LATENCY, NEUTRAL_KL, PROMPT_TOKENS, Check
from fastslow.tasks.base import Task

TIMED = 21
"""Questions that are timed one by one, the first of which warms up."""

Asked = Sequence[tuple[Task, Sequence[Example]]]


def figures(policy: Policy, tasks: Asked, candidate: Side, baseline: Side, tell: Callable[[str], None]) -> list[Check]:
    """Return the checks of `general` and `limits` that the policy asks for, on the questions that were asked."""
    checks = []
    if policy.prose is not None:
        tell("bits per byte of prose")
        pieces = prose_pieces(policy.prose)
        bits = bits_of(candidate.bundle, pieces), bits_of(baseline.bundle, pieces)
        sizes = [len(piece.encode()) for piece in pieces]
        checks.append(decide_prose(*bits, sizes, max_rise=policy.prose.max_rise, alpha=policy.rules.alpha))
    if policy.neutral is not None:
        tell("KL on neutral prompts")
        task = neutral_prompts(policy.neutral)
        kl = candidate.neutral_kl(task, task.split("test"), policy.neutral.tokens)
        checks.append(decide_limit(NEUTRAL_KL, kl, policy.neutral.max_kl, "nats per token"))
    asked = [(task, examples) for task, examples in tasks if examples]
    return [*checks, *_limits(policy, asked, candidate, baseline, tell)]


def _limits(policy: Policy, asked: Asked, candidate: Side, baseline: Side, tell: Callable[[str], None]) -> list[Check]:
    limits, rules = policy.limits, policy.rules
    checks = []
    if limits.kl is not None:
        tell("KL to the base")
        kls = [candidate.kl(task, examples[:DRIFT_EXAMPLES], rules) for task, examples in asked]
        worst = max(kl for kl in kls if kl is not None) if kls and None not in kls else None
        checks.append(decide_limit(KL, worst, limits.kl, "nats per token"))
    if limits.added_prompt_tokens is not None:
        lengths = [tuple(s.prompt_tokens(t, e, rules) for s in (candidate, baseline)) for t, e in asked]
        first, second = max(lengths, key=lambda pair: pair[0] - pair[1], default=(None, None))
        added = None if first is None or second is None else first - second
        checks.append(
            decide_limit(PROMPT_TOKENS, added, limits.added_prompt_tokens, "tokens", candidate=first, baseline=second)
        )
    if limits.latency_rise is not None:
        tell("latency")
        checks.append(_latency(limits.latency_rise, asked, candidate, baseline, policy))
    return checks


def _latency(limit: float, asked: Asked, candidate: Side, baseline: Side, policy: Policy) -> Check:
    rules = policy.rules
    task, examples = max(asked, key=lambda one: len(one[1]), default=(None, ()))
    if task is None or len(examples) < 2:
        return decide_limit(LATENCY, None, limit, "of the baseline's")
    first, second = latency_rise(
        lambda example: candidate.seconds(task, example, rules),
        lambda example: baseline.seconds(task, example, rules),
        examples[:TIMED],
    )
    return decide_limit(LATENCY, first / second - 1, limit, "of the baseline's", candidate=first, baseline=second)
