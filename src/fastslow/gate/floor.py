"""Hold what a champion was released for: a later policy may ask for more, never for less.

A floor is plain data that a registry's log keeps: everything of a policy that a weaker one would leave out or loosen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace

from fastslow.core.errors import BadInput
from fastslow.gate.policy import Limits, Neutral, Policy, Prose, Retain
from fastslow.tasks.task_set import spelled_once


@dataclass(frozen=True)
class Floor:
    """Hold what later policies may not fall below.

    `most` has everything where a larger value is weaker, by the words that name it to a person; `least` has the chances
    of guessing and the lengths of texts, where a smaller one is. `margins` are those of the tasks to keep, which are in
    `most` as well. `prose` and `neutral` are what a policy without `general` takes over; which texts and prompts a
    policy with one measures is its own affair.
    """

    most: Mapping[str, float]
    least: Mapping[str, float]
    margins: Mapping[str, float]
    prose: Prose | None
    neutral: Neutral | None


def floor_of(policy: Policy) -> Floor:
    """Return what a policy asks of those that come after it."""
    most: dict[str, float] = {"alpha": policy.rules.alpha}
    most |= {f"margin for '{task}'": margin for task, margin in policy.margins().items()}
    most |= {f"margin for samples '{one.name}'": policy.margin_of(one) for one in policy.samples}
    if policy.prose is not None:
        most["max_rise of prose"] = policy.prose.max_rise
    if policy.neutral is not None:
        most["max_kl on neutral prompts"] = policy.neutral.max_kl
    most |= {f"limit of {name}": value for name, value in asdict(policy.limits).items() if value is not None}
    least = {f"chance for '{spelled_once(one.task)}'": one.chance for one in policy.retain if one.chance}
    if policy.prose is not None:
        least["bytes of prose"] = policy.prose.bytes
    if policy.neutral is not None:
        least["tokens on neutral prompts"] = policy.neutral.tokens
    return Floor(most, least, policy.margins(), policy.prose, policy.neutral)


def completed(policy: Policy, floor: Floor | None) -> Policy:
    """Return the policy with what it takes over from the champion's: the tasks where it has no `retain`, prose and
    neutral prompts where it has no `general`, and the limits where it has no `limits`.

    Args:
        policy: as read.
        floor: `floor_of` the champion's policy; None without a champion.

    Raises BadInput for a policy that falls below the champion's, or asks for nothing.
    """
    if floor is not None:
        policy = _inheriting(policy, floor)
    if not policy.gain and not policy.retain and not policy.samples:
        raise BadInput(
            "the policy asks for nothing: name tasks in 'gain' or 'retain' (what a champion's policy keeps is taken "
            "over with --baseline REGISTRY@champion)."
        )
    problem = None if floor is None else next(_weaker(floor_of(policy), floor), None)
    if problem is not None:
        raise BadInput(f"the policy is weaker than that of the champion: {problem}.")
    return policy


def _inheriting(policy: Policy, floor: Floor) -> Policy:
    most, least = floor.most, floor.least
    if "retain" not in policy.given:
        # A task that has to gain is kept all the same, but by the rules' margin and without a chance of guessing.
        enough = {spelled_once(one.task) for one in policy.gain}
        kept = [Retain(t, margin, chance=least.get(f"chance for '{t}'", 0.0)) for t, margin in floor.margins.items()]
        retain = tuple(
            r for r in kept if r.task not in enough or r.chance or policy.rules.margin > floor.margins[r.task]
        )
        policy = replace(policy, retain=retain)
    if "general" not in policy.given:
        policy = replace(policy, prose=floor.prose, neutral=floor.neutral)
    if "limits" not in policy.given:
        limits = {n: most[f"limit of {n}"] for n in asdict(policy.limits) if f"limit of {n}" in most}
        policy = replace(policy, limits=Limits(**limits))
    return policy


def _weaker(ours: Floor, floor: Floor) -> Iterator[str]:
    """Yield in words how a policy falls below the champion's."""
    for name, value in floor.most.items():
        if name not in ours.most:
            yield f"it has no {name}, which the champion's policy has"
        elif ours.most[name] > value:
            yield f"its {name} is {ours.most[name]:g}, and that of the champion's policy {value:g}"
    for name, value in floor.least.items():
        if ours.least.get(name, 0.0) < value:
            yield f"its {name} is {ours.least.get(name, 0.0):g}, and that of the champion's policy {value:g}"
