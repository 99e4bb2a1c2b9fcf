"""Rollouts that were made elsewhere reach TRL token by token, and unscored stays None."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fastslow.core.types import Rollout, Verdict
from fastslow.slow.hooks import StepBatch
from fastslow.slow.replay import Replay, length_penalties

ROLLOUTS = (
    Rollout("e1", "c", (1, 2), (3,), (-0.5,), "a", Verdict(1.0, ""), 0),
    Rollout("e2", "c", (1,), (4, 5), (-0.1, -0.2), "b", Verdict.unscored("away"), 0),
)


def test_trl_is_given_prompts_completions_and_behaviour_logprobs_in_row_order() -> None:
    replay = Replay()
    assert replay.take_up(StepBatch(rollouts=ROLLOUTS), slice(0, 2)) == ROLLOUTS
    assert replay.roll_out([], None) == {
        "prompt_ids": [[1, 2], [1]], "completion_ids": [[3], [4, 5]], "logprobs": [[-0.5], [-0.1, -0.2]],
    }  # fmt: skip


def test_an_unscored_rollout_has_no_reward_and_the_function_names_trls_metric() -> None:
    replay = Replay()
    assert replay.take_up(StepBatch(rollouts=ROLLOUTS), slice(0, 2)) == ROLLOUTS
    assert replay.task([], []) == [1.0, None]
    assert replay.task.__name__ == "task", "metrics.jsonl calls it rewards/task/mean"


def test_length_costs_nothing_before_the_buffer_and_ever_more_within_it() -> None:
    def of(length: int) -> Rollout:
        return replace(ROLLOUTS[0], completion_ids=(7,) * length, logprobs=(0.0,) * length)

    rollouts = [of(length) for length in (1, 80, 81, 90, 100)]
    lost = length_penalties(rollouts, longest=100, buffer=20, most=0.5)
    assert lost == pytest.approx((0, 0, 0.025, 0.25, 0.5))


def test_what_length_costs_is_off_the_reward_for_trl_and_for_the_plan_and_unscored_stays_so() -> None:
    batch = StepBatch(rollouts=ROLLOUTS, penalties_N=(0.25, 0.5))
    replay = Replay()
    replay.take_up(batch, slice(0, 2))
    assert replay.task([], []) == [0.75, None]
    assert batch.rewards_N[0] == 0.75
    assert batch.rewards_N[1].isnan()
