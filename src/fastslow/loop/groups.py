"""Make the groups of a step: plan, deal contexts, roll out; and lay them out as the batch that the weights learn from.

A group is the rollouts of one example: G of them, or as many as the router planned. The batch has room for B x G rows:
an example that rests leaves its rows to one that gets more, or empty.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from fastslow.config.settings import FastSlowConfig
from fastslow.contexts.context import Context
from fastslow.contexts.evidence import Standings
from fastslow.contexts.slots import (
    even_slots,
    groups_on_trial,
    shares_by_worth,
    shares_if_earned,
    shares_on_trial,
    slots_by_share,
)  # fmt: skip
from fastslow.core import processes
from fastslow.core.modes import MODES
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, GroupEvidence, Plan, Rollout, Upcoming
from fastslow.loop.state import LoopState
from fastslow.loop.teaching import Teacher
from fastslow.policy.policy import Job, Policy
from fastslow.routers import RouteDecider
from fastslow.routers.group import ROUNDING
from fastslow.slow.hooks import StepBatch
from fastslow.slow.replay import length_penalties
from fastslow.streams.epochs import Stream

NO_ANSWER = "the task has no verified answer to this question"


@dataclass(frozen=True)
class Group:
    """Hold the rollouts of one example in a step, in slot order.

    slots: what each rollout was before the step: one of the fast phase that is served again, or a job.
    """

    example: Example
    plan: Plan
    slots: tuple[Rollout | Job, ...]
    rollouts: tuple[Rollout, ...] = ()

    @property
    def live(self) -> bool:
        """Whether the scored rewards differ: else the group has no gradient."""
        rewards = [r.verdict.reward for r in self.rollouts if r.verdict.reward is not None]
        return bool(rewards) and max(rewards) - min(rewards) > ROUNDING

    @property
    def made(self) -> list[Rollout]:
        """The rollouts that were made for this step, not served again."""
        return [r for slot, r in zip(self.slots, self.rollouts, strict=True) if isinstance(slot, Job)]

    def evidence(self, *, step: int, topic: str) -> GroupEvidence:
        """Return what a router may see; `topic` is the learner's name for the example's task."""
        return evidence_of(self.example, self.rollouts, step=step, topic=topic)


class GroupMaker:
    """Make the groups of one step after another.

    Args:
        config: the run's settings.
        policy: answers examples under contexts, with the weights as they are.
        state: contexts in use, cached rollouts, what is owed to a context.
        router: plans how many rollouts an example gets.
        known: returns what is known of the contexts at a step.
        topic_of: returns the learner's name for an example's task.
        log: takes numbers to be logged with the current step.
        further: streams of other examples at the same step, for dynamic sampling.
    """

    def __init__(
        self,
        config: FastSlowConfig,
        *,
        policy: Policy,
        state: LoopState,
        router: RouteDecider,
        further: Sequence[Stream],
        known: Callable[[int], Standings],
        topic_of: Callable[[Example], str],
        log: Callable[[Mapping[str, float]], None],
    ):
        self.policy = policy
        self.state = state
        self.router = router
        self._further = further
        self._config = config
        self._mode = MODES[config.mode]
        self._known = known
        self._topic_of = topic_of
        self._log = log

    @property
    def size(self) -> int:
        """Rollouts of a group for which nothing else is planned (G)."""
        return int(self._config.num_generations or 1)

    # Before the rollouts

    def plan(self, step: int, examples: Sequence[Example]) -> list[Plan]:
        """Return how many rollouts each example of a step gets, and for which channel."""
        plans = self.router.plan([Upcoming(step, e.id, self._topic_of(e), self.size) for e in examples])
        if self.router.plans_ahead:
            counts = [plan.rollouts for plan in plans]
            processes.check_same("the plans of a step", counts)
            self._log({
                "fst/route/rested": sum(count == 0 for count in counts) / len(counts),
                "fst/route/rollouts": sum(counts) / len(counts),
            })  # fmt: skip
        return plans

    def assign(
        self,
        step: int,
        examples: Sequence[Example],
        plans: Sequence[Plan],
        *,
        seed: int | None = None,
        plain: bool = False,
    ) -> list[Group]:
        """Fill every slot of every group with a cached rollout or a job to be done; `seed` is the run's, where none is
        given. `plain`: all of them under the seed context."""
        base = self._config.seed if seed is None else seed
        first, counts = step * self._config.problems_per_step, [plan.rollouts for plan in plans]
        contexts: Sequence[Context] = [self.state.population.seed]
        picks_B = [[0] * count for count in counts]
        if not plain:
            contexts, picks_B = self._deal(step, range(first, first + len(examples)), counts)
        groups: list[Group] = []
        for problem, (example, plan, picks) in enumerate(zip(examples, plans, picks_B, strict=True), start=first):
            slots: list[Rollout | Job] = []
            for slot, index in enumerate(picks):
                cached = self.state.cache.take(contexts[index].id, example.id)
                slots.append(cached or Job(contexts[index], example, derive_seed(base, "slow", problem, slot)))
            groups.append(Group(example, plan, tuple(slots)))
        return groups

    def _deal(
        self, step: int, groups: Sequence[int], counts: Sequence[int]
    ) -> tuple[Sequence[Context], list[list[int]]]:
        """Return the contexts that take part in a step, and the index of one for each slot of each group."""
        population, config = self.state.population, self._config
        if not self._mode.fast or config.slots == "even":
            return population.dealt, even_slots(len(population.members), groups, self.size, counts)
        by_id = {c.id: c for c in [*population.members, population.seed]}
        contexts = [by_id[context_id] for context_id in sorted(by_id)]
        shares, trials = processes.from_main(lambda: self._shares(step, [context.id for context in contexts]))
        self._log(
            {"fst/slots/largest_share": max(shares), "fst/slots/seed_share": shares[contexts.index(population.seed)]}
        )
        owed = [self.state.owed.get(context.id, 0.0) for context in contexts]
        trial_B, owed = groups_on_trial(trials, owed, counts)
        dealt = [count for count, trial in zip(counts, trial_B, strict=True) if trial is None]
        # What contexts on trial are owed waits for a whole group.
        waits = [share if trial else 0.0 for share, trial in zip(owed, trials, strict=True)]
        picks, owed = slots_by_share(shares, [o - w for o, w in zip(owed, waits, strict=True)], dealt)
        owed = [o + w for o, w in zip(owed, waits, strict=True)]
        self.state.owed = dict(zip([context.id for context in contexts], owed, strict=True))
        rest = iter(picks)
        return contexts, [
            next(rest) if trial is None else [trial] * count for count, trial in zip(counts, trial_B, strict=True)
        ]

    def _shares(self, step: int, context_ids: Sequence[str]) -> tuple[list[float], list[float]]:
        """Return the share of the slots of each context, and of the groups that are trials of it."""
        config, known = self._config, self._known(step)
        seed_id, ahead = self.state.population.seed.id, config.slow_steps_per_cycle
        draws = derive_seed(config.seed, "slots", step)
        shares_of = shares_if_earned if config.slots == "earned" else shares_by_worth
        shares = shares_of(context_ids, known, seed_id=seed_id, floor=config.seed_slots, ahead=ahead, seed=draws)
        if config.slots != "earned":
            return shares, [0.0] * len(shares)
        return shares, shares_on_trial(context_ids, known, shares, seed_id=seed_id, ahead=ahead, seed=draws)

    # The rollouts, and the batch

    def roll_out(self, groups: Sequence[Group]) -> list[Group]:
        """Return the groups with their rollouts: cached ones as they are, the rest from the policy."""
        jobs = [slot for group in groups for slot in group.slots if isinstance(slot, Job)]
        fresh = iter(self.policy.rollouts(jobs, step=True) if jobs else ())
        return [
            replace(group, rollouts=tuple(slot if isinstance(slot, Rollout) else next(fresh) for slot in group.slots))
            for group in groups
        ]

    def refill(self, step: int, groups: Sequence[Group]) -> tuple[list[Group], list[Group]]:
        """Replace groups without a gradient by groups of other examples, as often as there are further streams.

        Source: dynamic sampling, DAPO (arXiv 2503.14476), section 3.2.

        Returns:
            the groups of the step, and those that were dropped; both were paid for.
        """
        kept, dropped = list(groups), []
        for number, stream in enumerate(self._further, start=1):
            dead = [place for place, group in enumerate(kept) if not group.live]
            if not dead:
                break
            others = stream.batch(step)[: len(dead)]
            seed = derive_seed(self._config.seed, "dynamic", number)
            new = self.roll_out(self.assign(step, others, [Plan(self.size)] * len(others), seed=seed))
            for place, group in zip(dead, new, strict=True):
                dropped.append(kept[place])
                kept[place] = group
        return kept, dropped

    def batch(
        self,
        groups: Sequence[Group],
        slow_B: Sequence[bool],
        *,
        beta: float,
        advantage_scale: float,
        teacher: Teacher | None = None,
    ) -> StepBatch:
        """Return the rows that the weights learn from, B x G; no rows where not one rollout was planned.

        Args:
            groups: those of the step.
            slow_B: whether each of them trains the weights.
            beta: coefficient of the KL term.
            advantage_scale: factor on every advantage.
            teacher: says under which prompt the model judges a question's answers, in a step that has a teacher.
        """
        if not any(group.rollouts for group in groups):
            return StepBatch()
        blocks = self._blocks(groups)
        whole = all(len(group.rollouts) == self.size for group in groups)
        parts = [
            (problem, rollout.context_id if self._config.advantage_group == "context" else "")
            for problem, rollouts in blocks
            for rollout in rollouts
        ]
        numbers = {part: number for number, part in enumerate(dict.fromkeys(parts))}
        compared = not whole or self._config.advantage_group == "context"
        slots = [slot for group in groups for slot in group.slots]
        return StepBatch(
            examples=tuple(groups[problem].example for problem, _ in blocks),
            rollouts=tuple(rollout for _, rollouts in blocks for rollout in rollouts),
            slow_B=tuple(bool(slow_B[problem]) for problem, _ in blocks),
            parts_N=tuple(numbers[part] for part in parts) if compared else None,
            problems_B=None if whole else tuple(problem for problem, _ in blocks),
            imitated_N=self._successes(blocks) if self._mode.imitates else None,
            teacher_prompts_N=self._taught(groups, blocks, teacher) if teacher is not None else None,
            penalties_N=self._overlong(blocks) if teacher is None and not self._mode.imitates else None,
            off_policy=self.policy.engine.separate or any(isinstance(slot, Rollout) for slot in slots),
            beta=beta if teacher is None else 0.0,  # the KL to the teacher is the whole loss
            advantage_scale=advantage_scale if teacher is None else 1.0,  # a brake of rewards: these are not learned
            rate=self._config.consolidation_rate if teacher is not None and self._mode.consolidates else None,
        )

    def answers(self, examples: Sequence[Example], *, beta: float, advantage_scale: float) -> StepBatch:
        """Return the right answers of the data as the rows that the weights learn from, one for each example; an
        example without a verified one teaches nothing."""
        seed = self.state.population.seed
        rows = [
            self.policy.nothing(example, seed, NO_ANSWER)
            if answer is None
            else self.policy.given(seed, example, answer)
            for example in examples
            for answer in [self.policy.task.answer(example)]
        ]
        imitated_N = tuple(row.verdict.scored for row in rows)
        self._log({"fst/answers": sum(imitated_N) / len(rows)})
        return StepBatch(
            examples=tuple(examples), rollouts=tuple(rows), slow_B=imitated_N, imitated_N=imitated_N, beta=beta,
            advantage_scale=advantage_scale,
        )  # fmt: skip

    @staticmethod
    def _taught(
        groups: Sequence[Group], blocks: Sequence[tuple[int, Sequence[Rollout]]], teacher: Teacher
    ) -> tuple[tuple[int, ...] | None, ...]:
        """Return the prompt under which each row is judged."""
        prompts = [teacher.prompt(group.example) for group in groups]
        return tuple(prompts[problem] for problem, rollouts in blocks for _ in rollouts)

    def _overlong(self, blocks: Sequence[tuple[int, Sequence[Rollout]]]) -> tuple[float, ...] | None:
        """Return what each row loses of its reward by its length; None where length costs nothing."""
        config = self._config
        if not config.overlong_buffer or not config.overlong_penalty:
            return None
        rows = [rollout for _, rollouts in blocks for rollout in rollouts]
        lost_N = length_penalties(
            rows, longest=self.policy.params.max_new_tokens, buffer=config.overlong_buffer, most=config.overlong_penalty
        )
        scored = [lost for row, lost in zip(rows, lost_N, strict=True) if row.verdict.scored]
        self._log({"fst/overlong_penalty": sum(scored) / len(scored) if scored else 0.0})
        return lost_N

    @staticmethod
    def _successes(blocks: Sequence[tuple[int, Sequence[Rollout]]]) -> tuple[bool, ...]:
        """Return which rows earned full reward."""
        return tuple(rollout.verdict.reward == 1.0 for _, rollouts in blocks for rollout in rollouts)

    def _blocks(self, groups: Sequence[Group]) -> list[tuple[int, list[Rollout]]]:
        """Cut the groups into B blocks of G rows, each with the number of its group; what is left of a block is filled
        with rows that nothing is learned from."""
        blocks: list[tuple[int, list[Rollout]]] = []
        for problem, group in enumerate(groups):
            for first in range(0, len(group.rollouts), self.size):
                blocks.append((problem, list(group.rollouts[first : first + self.size])))
        blocks += [(problem, []) for problem, group in enumerate(groups) if not group.rollouts]
        for problem, rollouts in (blocks := blocks[: len(groups)]):
            missing = self.size - len(rollouts)
            rollouts += [self.policy.nothing(groups[problem].example, self.state.population.seed)] * missing
        return blocks


def evidence_of(example: Example, rollouts: Sequence[Rollout], *, step: int, topic: str) -> GroupEvidence:
    """Return what a router may see of the rollouts of one example; `topic` is the learner's name for its task."""
    return GroupEvidence(
        step=step,
        example_id=example.id,
        task=topic,
        context_ids_G=tuple(rollout.context_id for rollout in rollouts),
        rewards_G=tuple(rollout.verdict.reward for rollout in rollouts),
        completion_tokens_G=tuple(rollout.tokens for rollout in rollouts),
        surprisals_G=tuple(surprisal(rollout) for rollout in rollouts),
    )


def surprisal(rollout: Rollout) -> float:
    """Return minus the mean log-probability of the tokens that the model said (nats per token); 0 where it said
    nothing."""
    return -sum(rollout.logprobs) / rollout.tokens if rollout.tokens else 0.0
