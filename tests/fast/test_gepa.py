"""The bridge to gepa: a budget that holds, rollouts that are paid for once, and when a phase stops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import pytest

from fastslow.contexts.context import Context, seed_context
from fastslow.core.errors import EndpointError
from fastslow.core.types import Example, Rollout, Verdict
from fastslow.fast.gepa import Adapter, BudgetPlan, Stopper
from fastslow.fast.proposers import ProposalRequest

SEED = seed_context("Answer.")
EXAMPLES = [Example(name, "t", "train", ({"role": "user", "content": name},)) for name in "abc"]
PLAN = BudgetPlan(budget=30, anchor_size=6, minibatch_size=2, proposals_per_iteration=4)


class Answers:
    """A policy whose reward depends on the example's id; None is unscored."""

    version = 0

    def __init__(self, rewards: dict[str, float | None]):
        self.rewards = rewards
        self.jobs: list[tuple[str, str]] = []

    def heed(self) -> None: ...

    def rollouts(self, jobs: Sequence[Any]) -> list[Rollout]:
        self.jobs += [(job.context.id, job.example.id) for job in jobs]
        return [self._rollout(job) for job in jobs]

    def _rollout(self, job: Any) -> Rollout:
        reward = self.rewards[job.example.id]
        verdict = Verdict.unscored("down") if reward is None else Verdict(reward, "")
        return Rollout(job.example.id, job.context.id, (1,), (2,), (0.0,), "text", verdict, 0)


class Says:
    name = "says"

    def __init__(self, answer: dict[str, str] | Exception):
        self.answer = answer
        self.asked = 0

    def propose(self, request: ProposalRequest) -> dict[str, str]:
        self.asked += 1
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def adapter(
    answer: dict[str, str] | Exception, check: Any = lambda child, **_: None, **rewards: float | None
) -> Adapter:
    policy: Any = Answers(rewards or {"a": 1.0, "b": 0.0, "c": None})
    return Adapter(
        policy=policy, proposer=Says(answer), check=check, demonstrations=(), experience=(),
        contexts={SEED.id: SEED}, run_seed=0, cycle=0,
    )  # fmt: skip


def propose(bridge: Adapter) -> dict[str, str]:
    batch = bridge.evaluate(EXAMPLES[:2], dict(SEED.components), capture_traces=True)
    data = bridge.make_reflective_dataset(dict(SEED.components), batch, ["instruction"])
    return bridge.propose_new_texts(dict(SEED.components), data, ["instruction"])


def test_a_rollout_is_paid_for_once() -> None:
    bridge = adapter({})
    bridge.evaluate(EXAMPLES[:2], dict(SEED.components))
    batch = bridge.evaluate(EXAMPLES[:2], dict(SEED.components))
    assert bridge.metric_calls == 2
    assert batch.num_metric_calls == 0


def test_an_unscored_example_gets_the_mean_of_its_batch_for_gepa_and_no_score_for_us() -> None:
    bridge = adapter({}, a=1.0, b=0.5, c=None)
    assert bridge.evaluate(EXAMPLES, dict(SEED.components)).scores == [1.0, 0.5, 0.75]
    assert bridge.scores(SEED.id, "abc") == {"a": 1.0, "b": 0.5}


def test_a_valid_child_is_known_afterwards() -> None:
    bridge = adapter({"instruction": "Think."})
    assert propose(bridge) == {"instruction": "Think."}
    (proposal,) = bridge.proposals
    assert proposal.context.parents == (SEED.id,)
    assert proposal.minibatch_ids == ["a", "b"]
    assert proposal.context.id in bridge.contexts


def test_an_invalid_child_costs_no_rollout_and_says_why() -> None:
    bridge = adapter({"instruction": "Think."}, check=lambda child, **_: "too long")
    assert propose(bridge) == {}
    assert [p.problem for p in bridge.proposals] == ["too long"]
    assert bridge.contexts == {SEED.id: SEED}


def test_nothing_to_propose_is_counted() -> None:
    bridge = adapter({})
    assert propose(bridge) == {}
    assert (bridge.nothing_proposed, bridge.proposals) == (1, [])


@pytest.mark.parametrize("error", [EndpointError("down"), KeyError("bug")])
def test_a_proposer_that_failed_is_not_asked_again(error: Exception) -> None:
    bridge = adapter(error)
    assert [propose(bridge), propose(bridge)] == [{}, {}]
    assert cast(Any, bridge.proposer).asked == 1
    found = bridge.endpoint_error or bridge.error
    assert found is error or str(found) == "proposer 'says' raised KeyError: 'bug'"


@pytest.mark.parametrize(("used", "tasks"), [(0, 3), (10, 2), (20, 1), (21, 0), (40, 0)])
def test_only_tasks_that_can_be_paid_for_in_full_are_started(used: int, tasks: int) -> None:
    assert PLAN.per_task == 10
    assert PLAN.affordable(used) == tasks


def test_a_phase_stops_where_nothing_is_rolled_out_any_more() -> None:
    bridge = adapter({})
    stop = Stopper(bridge, PLAN)
    state: Any = None
    assert [stop(state) for _ in range(Stopper.PATIENCE + 1)] == [False] * Stopper.PATIENCE + [True]


def test_a_phase_stops_where_the_budget_is_used_up() -> None:
    bridge = adapter({})
    bridge.metric_calls = 21
    state: Any = None
    assert Stopper(bridge, PLAN)(state)


def test_a_context_is_found_by_its_content() -> None:
    bridge = adapter({})
    assert bridge.context_of(dict(SEED.components)) is SEED
    assert bridge.context_of({"instruction": "new"}) == Context({"instruction": "new"})


def test_the_calls_of_a_phase_are_told_after_every_batch() -> None:
    bridge, told = adapter({}), []
    bridge.told = told.append
    bridge.evaluate(EXAMPLES[:1], dict(SEED.components))
    bridge.evaluate(EXAMPLES, dict(SEED.components))
    assert told == [1, 3]
