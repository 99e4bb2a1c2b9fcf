"""Run the fast channel: one GEPA phase over the population, with rollouts by the live policy."""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import gepa

from fastslow.contexts.context import Context, WorkedExample
from fastslow.contexts.population import Population, mean_score, pareto_frontier
from fastslow.core import processes
from fastslow.core.errors import ContractBroken, FastSlowError
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Rollout, Trace
from fastslow.fast.gepa import Adapter, BudgetPlan, CarriedSampling, Proposal, Stopper
from fastslow.fast.proposers import Proposer, begin_phase, usage_of
from fastslow.policy.policy import Policy

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class FastPhase:
    """Hold the result of one fast phase: the new population, every rollout that it paid for, and its metrics.

    `examples` are those that rollouts may be about: anchor and pool.
    `judged` are context and example of the rollouts by which it was decided whether a child is made, and kept.
    `scores` are those of every context that was scored on the whole anchor set, whether it stays in the population or
    not.
    """

    population: Population
    examples: list[Example]
    scores: dict[str, dict[str, float]]
    rollouts: list[Rollout]
    proposals: list[dict]
    metrics: dict[str, float]
    endpoint_error: str | None
    judged: frozenset[tuple[str, str]] = frozenset()


class FastChannel:
    """Evolve the population once per cycle.

    Args:
        proposer: makes children from parents.
        check: `(child, parent=, known_ids=) -> reason or None`, called before a child costs a rollout.
        plan: the budget of metric calls of a phase.
        run_seed: the run's seed, from which every phase derives its own.
    """

    def __init__(
        self,
        *,
        proposer: Proposer,
        check: Callable[..., str | None],
        plan: BudgetPlan,
        run_seed: int,
    ):
        self.proposer = proposer
        self.check = check
        self.plan = plan
        self.run_seed = run_seed

    def evolve(
        self,
        population: Population,
        *,
        policy: Policy,
        anchor: Sequence[Example],
        pool: Sequence[Example],
        experience: Sequence[Trace],
        demonstrations: Sequence[WorkedExample],
        cycle: int,
        budget: int | None = None,
        told: Callable[[int, int], None] = lambda calls, budget: None,
    ) -> FastPhase:
        """Run one phase under the policy's current weights.

        Args:
            budget: most metric calls; None for those of the plan.
            anchor: the examples on which every context, carried or new, is scored.
            pool: examples from which GEPA draws the minibatches that proposals learn from.
            experience: rollouts of the slow channel since the last phase, for proposers to read.
            demonstrations: verified answers of training examples, for proposers to show.
            told: called after every batch of rollouts with the metric calls so far, and the most that there will be.
        """
        started = time.perf_counter()
        begin_phase(self.proposer)
        before = processes.from_main(lambda: usage_of(self.proposer))
        anchor, pool = list(anchor), list(pool)
        plan = self.plan if budget is None else replace(self.plan, budget=budget)
        most = plan.budget if pool else len(population.carried) * len(anchor)
        adapter = Adapter(
            policy=policy,
            proposer=self.proposer,
            check=self.check,
            demonstrations=demonstrations,
            experience=experience,
            contexts=population.known,
            run_seed=self.run_seed,
            cycle=cycle,
            told=lambda calls: told(calls, max(most, calls)),
        )
        # Soft contexts are compared with the others, but no parents of texts.
        carried = [c for c in population.carried if c.id != population.seed.id and c.soft is None]
        # All carried contexts in one sampler call; gepa's own first evaluation of the seed is then answered by our
        # cache.
        adapter.batch_evaluate([(dict(c.components), anchor) for c in population.carried])
        if pool:
            self._evolve(adapter, population, carried, anchor, pool, cycle, plan)
        spent = {
            name: after - before[name] for name, after in processes.from_main(lambda: usage_of(self.proposer)).items()
        }
        return self._account(adapter, population, anchor, pool, started, spent)

    def _evolve(self, adapter, population: Population, carried, anchor, pool, cycle: int, plan: BudgetPlan) -> None:
        gepa.optimize(
            seed_candidate=dict(population.seed.components),
            trainset=pool,
            valset=anchor,
            adapter=adapter,
            candidate_selection_strategy="pareto",
            sampling_strategy=CarriedSampling(adapter, carried=carried, anchor=anchor, plan=plan),
            reflection_minibatch_size=plan.minibatch_size,
            stop_callbacks=Stopper(adapter, plan),
            logger=_QuietLogger(),
            run_dir=None,  # gepa would write a pickle; our state is JSON
            cache_evaluation=False,  # gepa's cache does not know policy versions; the adapter's does
            seed=derive_seed(self.run_seed, "gepa", cycle) % 2**32,
            raise_on_exception=True,
        )
        if isinstance(adapter.error, FastSlowError):
            raise adapter.error
        if adapter.error is not None:
            problem = f"{type(adapter.error).__name__}: {adapter.error}"
            raise FastSlowError(f"proposer '{self.proposer.name}' raised {problem}") from adapter.error
        if adapter.nothing_proposed and not adapter.proposals and adapter.endpoint_error is None:
            logger.warning(
                "fast phase %d brought no proposal: '%s' was asked %d times and had nothing usable to say",
                *(cycle, self.proposer.name, adapter.nothing_proposed),
            )
        refused = Counter(proposal.problem for proposal in adapter.proposals if proposal.problem)
        if refused and refused.total() == len(adapter.proposals):
            reason, count = refused.most_common(1)[0]
            logger.warning(
                "fast phase %d: all %d proposals were refused before a rollout, %d of them because %s",
                *(cycle, len(adapter.proposals), count, reason),
            )
        if adapter.endpoint_error is not None:
            logger.warning("fast phase %d stopped early, the population is kept: %s", cycle, adapter.endpoint_error)

    def _account(
        self,
        adapter: Adapter,
        before: Population,
        anchor: list[Example],
        pool: list[Example],
        started: float,
        lm: dict[str, int],
    ) -> FastPhase:
        anchor_ids = [e.id for e in anchor]
        table = {
            context_id: adapter.scores(context_id, anchor_ids)
            for context_id in adapter.contexts
            if all((context_id, e) in adapter.rollouts for e in anchor_ids)
        }
        if not {c.id for c in before.carried} <= set(table):
            raise ContractBroken("a carried context was not scored on this cycle's anchor set")
        # A context without any scored rollout cannot be compared; the seed stays reachable all the same.
        table = {c: scores for c, scores in table.items() if scores} or {before.seed.id: {}}
        accepted = [adapter.contexts[c] for c in table]
        population = before.rescored(accepted, table, policy_version=adapter.policy.version)
        new = set(table) - set(before.known)
        judged = [p for p in adapter.proposals if p.problem is None]
        return FastPhase(
            population=population,
            examples=[*anchor, *pool],
            scores=table,
            rollouts=list(adapter.rollouts.values()),
            proposals=[_line(p, adapter, table) for p in adapter.proposals],
            metrics={
                "fst/fast/metric_calls": adapter.metric_calls,
                "fst/fast/seconds": time.perf_counter() - started,
                "fst/fast/generated_tokens": sum(r.tokens for r in adapter.rollouts.values()),
                "fst/fast/proposals": len(adapter.proposals),
                "fst/fast/invalid": len(adapter.proposals) - len(judged),
                "fst/fast/accepted": len(new),
                "fst/fast/frontier_size": len(set().union(*pareto_frontier(table).values()) if table else ()),
                "fst/fast/lead_anchor_score": mean_score(table.get(population.lead.id, {})),
                "fst/fast/nothing_proposed": adapter.nothing_proposed,
                **{f"fst/fast/lm_{name}": value for name, value in lm.items()},
            },
            endpoint_error=str(adapter.endpoint_error) if adapter.endpoint_error else None,
            judged=frozenset(adapter.judged),
        )


def _line(proposal: Proposal, adapter: Adapter, table: dict[str, dict[str, float]]) -> dict:
    context: Context = proposal.context
    accepted = proposal.problem is None and context.id in table
    reason = proposal.problem or (None if accepted else "no better than its parent on the minibatch")
    return {
        **context.to_json(),
        "cycle": proposal.cycle,
        "policy_version": adapter.policy.version,
        "component": proposal.component,
        "accepted": accepted,
        "reason": reason,
        "minibatch_ids": proposal.minibatch_ids,
        "minibatch_scores": adapter.scores(context.id, proposal.minibatch_ids),
        "parent_minibatch_scores": adapter.scores(context.parents[0], proposal.minibatch_ids),
        "anchor_scores": table.get(context.id) if accepted else None,
    }


class _QuietLogger:
    """Silence gepa, which prints without a logger; it prints model text, which must not reach a log."""

    def log(self, message: str) -> None:
        return None
