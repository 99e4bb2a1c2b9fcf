"""Connect gepa with this package: rollouts and proposers behind gepa's adapter, its state filled from our population.

gepa starts from one seed. `CarriedSampling` adds the carried population to gepa's state before the first parent is
drawn. It is a sampling strategy, because that extension point alone holds the live state and lets errors through.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from gepa.core.adapter import EvaluationBatch
from gepa.core.state import GEPAState, ValsetEvaluation
from gepa.strategies.proposal_sampling import ProposalTask

from fastslow.contexts.context import Context, WorkedExample
from fastslow.core import processes
from fastslow.core.errors import EndpointError
from fastslow.core.seeding import derive_seed
from fastslow.core.types import Example, Rollout, Trace
from fastslow.fast.proposers import ProposalRequest, Proposer, made_by, proposal_of
from fastslow.policy.policy import Job, Policy

logger = logging.getLogger(__name__)


@dataclass
class Proposal:
    """Hold one line of contexts.jsonl: what was proposed, by whom, from what, and with what result."""

    context: Context
    cycle: int
    component: str
    problem: str | None = None
    minibatch_ids: list[str] = field(default_factory=list)


class Adapter:
    """Serve gepa as an adapter over a `Policy`. Rollouts are cached by (context, example) for one policy version.

    `told` is called after every batch of rollouts with the metric calls of the phase so far.
    """

    def __init__(
        self,
        *,
        policy: Policy,
        proposer: Proposer,
        check: Any,
        demonstrations: Sequence[WorkedExample],
        experience: Sequence[Trace],
        contexts: Mapping[str, Context],
        run_seed: int,
        cycle: int,
        told: Callable[[int], None] = lambda calls: None,
    ):
        self.policy = policy
        self.proposer = proposer
        self.check = check
        self.demonstrations = demonstrations
        self.experience = experience
        self.contexts = dict(contexts)
        self.rng = random.Random(derive_seed(run_seed, "fast", cycle))
        self.run_seed = run_seed
        self.cycle = cycle
        self.told = told
        self.rollouts: dict[tuple[str, str], Rollout] = {}
        self.metric_calls = 0
        self.proposals: list[Proposal] = []
        self.judged: set[tuple[str, str]] = set()
        """Context and example of the rollouts by which children are accepted, or none is asked for."""
        self.nothing_proposed = 0
        self.error: BaseException | None = None
        self.endpoint_error: EndpointError | None = None

    # Called by gepa

    def evaluate(self, batch: list[Example], candidate: dict[str, str], capture_traces: bool = False):
        return self.batch_evaluate([(candidate, batch)])[0]

    def batch_evaluate(self, items: list[tuple[dict[str, str], list[Example]]]) -> list[EvaluationBatch]:
        """Evaluate (candidate, batch) pairs in one sampler call, without what the same weights have already rolled
        out."""
        wanted: dict[tuple[str, str], Job] = {}
        for candidate, batch in items:
            context = self.context_of(candidate)
            for example in batch:
                key = (context.id, example.id)
                if key not in self.rollouts:
                    seed = derive_seed(self.run_seed, "fast", self.policy.version, *key)
                    wanted[key] = Job(context, example, seed)
        for key, rollout in zip(wanted, self.policy.rollouts(list(wanted.values())), strict=True):
            self.rollouts[key] = rollout
        self.metric_calls += len(wanted)
        self.told(self.metric_calls)
        return [self._evaluation(self.context_of(c), batch, set(wanted)) for c, batch in items]

    def make_reflective_dataset(
        self, candidate: dict[str, str], eval_batch: EvaluationBatch, components_to_update: list[str]
    ) -> Mapping[str, Sequence[Mapping[str, Any]]]:
        records = [{"trace": trace} for trace in eval_batch.trajectories or []]
        return dict.fromkeys(components_to_update, records)

    def propose_new_texts(
        self,
        candidate: dict[str, str],
        reflective_dataset: Mapping[str, Sequence[Mapping[str, Any]]],
        components_to_update: list[str],
    ) -> dict[str, str]:
        """Return a child's changed components, or {} where no child is worth a rollout.

        gepa swallows errors that are raised here, so they are stored, and the fast phase raises them.
        """
        if self.error is not None or self.endpoint_error is not None:
            return {}  # gepa asks for the rest of the iteration; a proposer that has just failed is not asked again
        parent = self.context_of(candidate)
        component = components_to_update[0]
        traces = [record["trace"] for record in reflective_dataset[component]]
        request = ProposalRequest(
            parent=parent,
            component=component,
            traces=traces,
            experience=self.experience,
            demonstrations=self.demonstrations,
            rng=self.rng,
        )
        try:
            # One process asks: a language model need not answer two alike, and a paid one is paid once.
            changed = processes.from_main(lambda: self._ask(request))
        except EndpointError as error:
            self.endpoint_error = error
            return {}
        except Exception as error:
            self.error = error
            return {}
        if not changed:
            self.nothing_proposed += 1
            return {}
        child = Context({**parent.components, **changed}, parents=(parent.id,), proposer=made_by(self.proposer))
        problem = self.check(child, parent=parent, known_ids=set(self.contexts))
        self.proposals.append(
            Proposal(child, self.cycle, ",".join(sorted(changed)), problem, [t.example.id for t in traces])
        )
        self.judge(child.components, [trace.example for trace in traces])
        if problem:
            return {}
        self.contexts[child.id] = child
        return dict(changed)

    def _ask(self, request: ProposalRequest) -> dict[str, str]:
        self.policy.heed()
        return proposal_of(self.proposer, request)

    # Called by this package

    def judge(self, candidate: Mapping[str, str], minibatch: Sequence[Example]) -> None:
        """Note that something is decided by the rewards of a context on these examples."""
        self.judged |= {(self.context_of(candidate).id, example.id) for example in minibatch}

    def context_of(self, candidate: Mapping[str, str]) -> Context:
        return self.contexts.get(Context(dict(candidate)).id) or Context(dict(candidate))

    def scores(self, context_id: str, example_ids: Sequence[str]) -> dict[str, float]:
        """Return the rewards of one context on these examples, without the unscored ones."""
        rolled_out = {e: self.rollouts.get((context_id, e)) for e in example_ids}
        return {e: r.verdict.reward for e, r in rolled_out.items() if r is not None and r.verdict.reward is not None}

    def _evaluation(self, context: Context, batch: list[Example], fresh: set[tuple[str, str]]) -> EvaluationBatch:
        rollouts = [self.rollouts[context.id, example.id] for example in batch]
        rewards = [r.verdict.reward for r in rollouts if r.verdict.reward is not None]
        # gepa needs a number for every example. An unscored example gets the mean of its batch, which changes no
        # decision; our own tables (`scores`) leave it out.
        neutral = sum(rewards) / len(rewards) if rewards else 0.0
        return EvaluationBatch(
            outputs=[r.text for r in rollouts],
            scores=[neutral if r.verdict.reward is None else r.verdict.reward for r in rollouts],
            trajectories=[Trace.of(example, rollout) for example, rollout in zip(batch, rollouts, strict=True)],
            num_metric_calls=len({(context.id, e.id) for e in batch} & fresh),
        )


class CarriedSampling:
    """Add the carried contexts to gepa's state once, then draw as many (parent, minibatch) tasks as the budget allows.

    gepa checks its budget between iterations only. An iteration therefore never starts more tasks than could be paid
    for if every child were accepted: the budget is a hard limit.
    """

    def __init__(self, adapter: Adapter, *, carried: list[Context], anchor: list[Example], plan: BudgetPlan):
        self.adapter = adapter
        self.carried = carried
        self.anchor = anchor
        self.plan = plan
        self._added = False

    def sample_tasks(self, state: GEPAState, candidate_selector, batch_sampler, trainset) -> list[ProposalTask]:
        if not self._added:
            self._add_carried(state)
        tasks = []
        for _ in range(self.plan.affordable(self.adapter.metric_calls)):
            parent = candidate_selector.select_candidate_idx(state)
            ids = batch_sampler.next_minibatch_ids(trainset, state)
            tasks.append(ProposalTask(parent, state.program_candidates[parent], ids, trainset.fetch(ids)))
            self.adapter.judge(state.program_candidates[parent], tasks[-1].minibatch)
        return tasks

    def _add_carried(self, state: GEPAState) -> None:
        evaluations = self.adapter.batch_evaluate([(dict(c.components), self.anchor) for c in self.carried])
        for context, evaluation in zip(self.carried, evaluations, strict=True):
            state.update_state_with_new_program(
                parent_program_idx=[],
                new_program=dict(context.components),
                valset_evaluation=ValsetEvaluation(
                    outputs_by_val_id=dict(enumerate(evaluation.outputs)),
                    scores_by_val_id=dict(enumerate(evaluation.scores)),
                ),
                run_dir=None,
                num_metric_calls_by_discovery_of_new_program=state.total_num_evals,
            )
            state.increment_evals(len(self.anchor))
            state.num_full_ds_evals += 1
        self._added = True


@dataclass(frozen=True)
class BudgetPlan:
    """Hold the budget of metric calls of one fast phase."""

    budget: int
    anchor_size: int
    minibatch_size: int
    proposals_per_iteration: int

    @property
    def per_task(self) -> int:
        """Highest cost of one task: parent and child on the minibatch, then the child on the whole anchor set."""
        return 2 * self.minibatch_size + self.anchor_size

    def affordable(self, used: int) -> int:
        return max(0, min(self.proposals_per_iteration, (self.budget - used) // self.per_task))


class Stopper:
    """Stop gepa when no task can be paid for, an LM endpoint has failed, or nothing new was rolled out for a while."""

    PATIENCE = 5  # iterations in a row without a metric call: all minibatches perfect, or all proposals invalid

    def __init__(self, adapter: Adapter, plan: BudgetPlan):
        self.adapter = adapter
        self.plan = plan
        self._seen = -1
        self._idle = 0

    def __call__(self, gepa_state: GEPAState) -> bool:
        calls = self.adapter.metric_calls
        self._idle = self._idle + 1 if calls == self._seen else 0
        self._seen = calls
        broken = self.adapter.error is not None or self.adapter.endpoint_error is not None
        return broken or self._idle >= self.PATIENCE or self.plan.affordable(calls) == 0
