"""Measure a candidate against a baseline until every check of a policy is decided."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch

from fastslow.bundles.digest import folder_of, unfinished
from fastslow.core.types import Example
from fastslow.files.run_directory import versions
from fastslow.gate.decide import Test, decide
from fastslow.gate.figures import figures
from fastslow.gate.floor import Floor, completed
from fastslow.gate.met import Met, lineage
from fastslow.gate.policy import Gain, Policy, Retain
from fastslow.gate.questions import Questions, choose_questions
from fastslow.gate.samples import read_pair
from fastslow.gate.sides import BASE, Side, base_side, open_side
from fastslow.gate.verdict import Asked, Check, Lost, Verdict, combined
from fastslow.metrics.sequential import looks_at
from fastslow.tasks.task_set import spelled_once

LOSSES_KEPT = 50
"""Lost questions of a check that a verdict holds: more are not read, and make the page slow."""

WORN = 2
"""Earlier gates that asked the very same questions, from which on a verdict warns."""


@dataclass(frozen=True)
class Order:
    """What is to be gated.

    Args:
        candidate, baseline: what the user called them, and their bundle folders; the baseline 'base' has no folder.
        policy: what is asked for.
        floor: what the champion's policy asked for (`floor.floor_of`), below which this one may not fall.
        released_with: the contexts that the baseline was released with; None where none is known: then the policy's.
        seed: that of all questions and samples.
        dtype: the type to answer in; None: that of the candidate's run.
        trusted: whether code that a bundle names may run.
        uses: how many earlier gates asked the questions of a digest.
        tell: shows one line of progress.
        gated: the states of all earlier gates of the bundle with a digest, as far as a registry knows of them.
    """

    candidate: tuple[str, Path]
    baseline: tuple[str, Path | None]
    policy: Policy
    floor: Floor | None
    released_with: str | None
    seed: int
    dtype: torch.dtype | None
    trusted: bool
    uses: Callable[[str], int]
    tell: Callable[[str], None]
    gated: Callable[[str], Sequence[str]] = lambda digest: ()


@dataclass
class Answered:
    """One task's questions, what both sides answered so far, and how many were answered at each look."""

    questions: Questions
    most: int
    looks: list[int] = field(default_factory=list)
    candidate: list[Any] = field(default_factory=list)
    baseline: list[Any] = field(default_factory=list)

    def asked(self) -> Sequence[Example]:
        return self.questions.examples[: len(self.candidate)]


def run_gate(order: Order) -> Verdict:
    """Return the verdict. Raises BadInput for a policy, bundle, task or file that cannot be used."""
    started = time.monotonic()
    policy = completed(order.policy, order.floor)
    checks = [_samples_check(one, policy) for one in policy.samples]  # cheap, and may be refused
    candidate, baseline = _open(order, policy)
    met = _met(order, policy, candidate, baseline)
    tasks = _questions(order, policy, met)
    checks += _paired_checks(order, policy, tasks, candidate, baseline)
    checks += figures(policy, [(t.questions.task, t.asked()) for t in tasks.values()], candidate, baseline, order.tell)
    asked = tuple(
        Asked(name, len(t.asked()), t.questions.seed, t.questions.digest, order.uses(t.questions.digest))
        for name, t in tasks.items()
    )
    return Verdict(
        state=combined(checks),
        candidate=candidate.model,
        baseline=baseline.model,
        policy_digest=policy.digest,
        policy=policy.text,
        margins=policy.margins(),
        alpha=policy.rules.alpha,
        looks=policy.rules.looks,
        contexts=policy.rules.contexts,
        seed=order.seed,
        checks=tuple(checks),
        questions=asked,
        notes=(*_history(order, candidate), *met.notes, *_notes(policy, tasks, asked, candidate, baseline)),
        made=datetime.now(UTC).isoformat(timespec="seconds"),
        seconds=round(time.monotonic() - started, 1),
        versions=versions(),
    )


def _open(order: Order, policy: Policy) -> tuple[Side, Side]:
    how: dict[str, Any] = {"seed": order.seed, "trusted": order.trusted}
    order.tell("loading models ...")
    candidate = open_side(*order.candidate, policy.rules, dtype=order.dtype, **how)
    if order.baseline[1] is None:
        return candidate, base_side(candidate)
    # The champion answers in the way in which it was released, whatever the candidate is to be released with.
    rules = replace(policy.rules, contexts=order.released_with or policy.rules.contexts)
    return candidate, open_side(order.baseline[0], order.baseline[1], rules, dtype=candidate.dtype, **how)


def _met(order: Order, policy: Policy, candidate: Side, baseline: Side) -> Met:
    """Return what both sides were trained or selected on. The base of the candidate is there with its ancestors."""
    named = {spelled_once(one.task) for one in (*policy.gain, *policy.retain)}
    runs = lineage(order.candidate[1], candidate.bundle.settings)
    if order.baseline[1] is not None:
        runs += lineage(folder_of(order.baseline[1]), baseline.bundle.settings)
    return Met(runs, trusted=lambda task: order.trusted or spelled_once(task) in named)


def _questions(order: Order, policy: Policy, met: Met) -> dict[str, Answered]:
    """Return the questions of each task of the policy, by the name that the policy has for the task first."""
    tasks: dict[str, Answered] = {}
    for one in (*policy.gain, *policy.retain):
        name, most = spelled_once(one.task), policy.questions_of(one)
        if name in tasks and tasks[name].most >= most:
            continue
        tasks[name] = Answered(choose_questions(one.task, most, order.seed, met), most)
    return tasks


def _paired_checks(
    order: Order, policy: Policy, tasks: dict[str, Answered], candidate: Side, baseline: Side
) -> list[Check]:
    """Ask the next share of questions of each task that is not decided, until all checks are, or one has failed."""
    entries = [*policy.gain, *policy.retain]
    checks: list[Check | None] = [None] * len(entries)
    for look in range(policy.rules.looks):
        for name, task in tasks.items():
            mine = [i for i, e in enumerate(entries) if spelled_once(e.task) == name and _open_still(checks[i])]
            if not mine or not _ask_more(order, policy, task, look, candidate, baseline):
                continue
            for i in mine:
                checks[i] = _decided(policy, entries[i], task)
                order.tell(f"  {_named(checks[i])}")
        if any(check is not None and check.state in ("fail", "invalid") for check in checks):
            break
    return [check for check in checks if check is not None]  # every task was asked at the first look


def _open_still(check: Check | None) -> bool:
    return check is None or check.state == "undecided"


def _ask_more(order: Order, policy: Policy, task: Answered, look: int, candidate: Side, baseline: Side) -> bool:
    """Answer the questions of this look with both sides; returns False where the task has no more of them."""
    examples = task.questions.examples
    places = looks_at(len(examples), policy.rules.looks)
    if look >= len(places):
        return False
    share = examples[len(task.candidate) : places[look]]
    order.tell(f"{task.questions.task.name}: questions {len(task.candidate) + 1} to {places[look]} of {len(examples)}")
    task.candidate += candidate.answer(task.questions.task, share, policy.rules)
    task.baseline += baseline.answer(task.questions.task, share, policy.rules)
    task.looks.append(places[look])
    return True


def _decided(policy: Policy, entry: Gain | Retain, task: Answered) -> Check:
    gain = isinstance(entry, Gain)
    test = Test(
        kind="gain" if gain else "retain",
        name=entry.task,
        against=entry.min_gain if gain else -policy.margin_of(entry),
        alpha=policy.rules.alpha,
        most=len(task.questions.examples),
        chance=0.0 if gain else entry.chance,
        unscored=policy.limits.unscored,
    )
    candidate, baseline = ([[a.reward for a in one] for one in side] for side in (task.candidate, task.baseline))
    check = decide(test, candidate, baseline, task.looks)
    if check.more is not None and task.questions.all:
        check = replace(check, reason=f"{check.reason}; the task has no more than these")
    return replace(check, losses=tuple(_losses(task)))


def _losses(task: Answered) -> list[Lost]:
    """Return the questions that the candidate lost, the greatest losses first."""
    lost = []
    for example, c, b in zip(task.asked(), task.candidate, task.baseline, strict=True):
        rewards = [sum(a.reward or 0.0 for a in answers) / len(answers) for answers in (c, b)]
        if rewards[0] < rewards[1]:
            lost.append(Lost(example.question, c[0].text, b[0].text, *rewards))
    return sorted(lost, key=lambda one: one.candidate_reward - one.baseline_reward)[:LOSSES_KEPT]


def _samples_check(one: Any, policy: Policy) -> Check:
    candidate, baseline = read_pair(one.candidate, one.baseline, one.metric, one.filter)
    test = Test(
        "samples", one.name, -policy.margin_of(one), policy.rules.alpha, len(candidate), unscored=policy.limits.unscored
    )
    return decide(test, candidate, baseline, [len(candidate)])


def _history(order: Order, candidate: Side) -> Iterator[str]:
    """Yield what is known of the candidate from before this gate."""
    problem = unfinished(order.candidate[1])
    if problem is not None:
        yield f"the candidate's run ended early: {problem}"
    counts = Counter(order.gated(candidate.model.digest))
    if counts:
        total, states = counts.total(), ", ".join(f"{number} {state}" for state, number in counts.items())
        yield (
            f"these very bytes were gated {total} {'time' if total == 1 else 'times'} before ({states}): the chance of "
            "a false release holds for one gate, and grows with each"
        )


def _notes(
    policy: Policy, tasks: Mapping[str, Answered], asked: Sequence[Asked], candidate: Side, baseline: Side
) -> list[str]:
    notes = []
    for one, task in zip(asked, tasks.values(), strict=True):
        available = len(task.questions.examples)
        if available < task.most:
            notes.append(f"'{one.task}' has {available} questions for a gate, not {task.most}")
        if task.questions.left_out:
            notes.append(
                f"'{one.task}': {task.questions.left_out} questions were left out, which a bundle was trained or "
                "selected on"
            )
        if one.uses >= WORN:
            advice = "it has no others" if task.questions.all else "give fresh ones"
            notes.append(
                f"'{one.task}': these very questions decided {one.uses} gates before; the more often, the less a pass "
                f"says; {advice}"
            )
    notes += _unguarded(policy, tasks)
    if candidate.model.digest == baseline.model.digest and baseline.model.weights != BASE:
        notes.append("candidate and baseline are the same bytes: a pass says nothing of them")
    if baseline.model.weights != BASE and candidate.bundle.settings["dtype"] != baseline.bundle.settings["dtype"]:
        notes.append("the two runs computed in different types; both were measured in that of the candidate")
    if candidate.kind != baseline.kind and baseline.model.weights != BASE:
        notes.append(
            f"the champion answered as it was released: {baseline.kind} context; the candidate: {candidate.kind}"
        )
    if policy.rules.temperature and policy.rules.samples > 1:
        notes.append(f"answers were sampled, {policy.rules.samples} to a question; a question counts once")
    return notes


def _unguarded(policy: Policy, tasks: Mapping[str, Answered]) -> Iterator[str]:
    """Yield the tasks that a champion made of this candidate could lose as a whole within the policy's margin: the
    next gate, which takes the margin over, could decide nothing there."""
    chances = {spelled_once(one.task): one.chance for one in policy.retain}
    for name, margin in policy.margins().items():
        answers = tasks[name].candidate if name in tasks else []
        rewards = [answer.reward or 0.0 for one in answers for answer in one]
        right = sum(rewards) / len(rewards) if rewards else None
        if right is not None and 0 < right - chances.get(name, 0.0) <= margin:
            yield (
                f"'{name}': the candidate's mean reward is {right:.3f}, so that later gates could not keep it by this "
                f"policy's margin of {100 * margin:g} points: give a smaller margin before it becomes the champion"
            )


def _named(check: Check | None) -> str:
    """Return where a check stands; its reason is said once, with the verdict."""
    assert check is not None
    return f"{check.kind} {check.name}: {check.state} after {check.n} questions"
