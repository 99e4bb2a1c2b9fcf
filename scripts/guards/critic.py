"""Guards of the critic."""

from __future__ import annotations

from guards.base import Mutation

CRITIC = "tests/slow/test_critic.py::"
PPO = (CRITIC + "test_a_step_is_that_of_ppo[16]",)

MUTATIONS: list[Mutation] = [
    Mutation(
        "critic", "the weights never move for the critic's sake", "policy/tree_forward.py",
        "observe(hidden[source_U].detach(), ", "observe(hidden[source_U], ", PPO,
    ),
    Mutation(
        "critic", "each row's advantages have its own weight in the loss", "slow/critic.py",
        'judged.gains_B_T * part["advantages"][:, None]', "judged.gains_B_T",
        (CRITIC + "test_a_step_of_half_the_advantages_is_half_as_long",),
    ),
    Mutation(
        "critic", "the reward comes after the last token", "slow/critic.py",
        "torch.where(goes_on_B_T, after_B_T, rewards_B[:, None])", "after_B_T",
        (CRITIC + "test_gains_are_those_worked_out_by_hand",),
    ),
    Mutation(
        "critic", "what comes later counts for less", "slow/critic.py",
        "step_B_T[:, t] + smoothing * gain_B", "step_B_T[:, t] + gain_B",
        (CRITIC + "test_gains_are_the_sum_that_defines_them[0]",),
    ),
    Mutation(
        "critic", "the weights rest while the critic warms up", "slow/critic.py",
        "return step < self._warmup", "return False",
        (CRITIC + "test_while_the_critic_warms_up_the_weights_rest",),
    ),
    Mutation(
        "critic", "the critic learns from the rows of all processes", "slow/critic.py",
        "torch.stack(parts).sum(0)", "parts[0]",
        ("tests/slow/test_terms.py::test_two_processes_take_the_steps_of_one",),
    ),
    Mutation(
        "critic", "rows with equal rewards are learned from", "slow/trainer.py",
        "alone_N=batch.alone_N if self.critic is None else [True] * len(batch.rollouts)",
        "alone_N=batch.imitated_N", PPO,
    ),
    Mutation(
        "critic", "the critic goes on from a checkpoint as it was", "slow/state.py",
        'trainer.critic.load_state_dict(self._saved["critic"])', "pass",
        ("tests/run/test_resume.py::test_a_run_cut_off_and_resumed_ends_as_if_it_had_not_been",),
    ),
]  # fmt: skip
