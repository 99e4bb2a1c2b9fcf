"""Rollouts that were made elsewhere reach TRL token by token, and unscored stays None."""

from __future__ import annotations

from fastslow.core.types import Rollout, Verdict
from fastslow.slow.replay import Replay

ROLLOUTS = (
    Rollout("e1", "c", (1, 2), (3,), (-0.5,), "a", Verdict(1.0, ""), 0),
    Rollout("e2", "c", (1,), (4, 5), (-0.1, -0.2), "b", Verdict.unscored("away"), 0),
)


def test_trl_is_given_prompts_completions_and_behaviour_logprobs_in_row_order() -> None:
    replay = Replay()
    replay.rollouts = ROLLOUTS
    assert replay.roll_out([], None) == {
        "prompt_ids": [[1, 2], [1]], "completion_ids": [[3], [4, 5]], "logprobs": [[-0.5], [-0.1, -0.2]],
    }  # fmt: skip


def test_an_unscored_rollout_has_no_reward_and_the_function_names_trls_metric() -> None:
    replay = Replay()
    replay.rollouts = ROLLOUTS
    assert replay.task([], []) == [1.0, None]
    assert replay.task.__name__ == "task", "metrics.jsonl calls it rewards/task/mean"
