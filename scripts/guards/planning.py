"""Guards of what is decided before the rollouts, and of groups of different sizes."""

from __future__ import annotations

from guards.base import Mutation

DECIDE = "tests/routers/test_decide.py::test_"
GROUPS = "tests/loop/test_groups.py::test_"
TRIAGE = "tests/routers/test_triage.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "planning",
        "a rule cannot plan more groups than the step holds",
        "routers/base.py",
        "if asked > len(upcoming):",
        "if False:",
        (DECIDE + "a_plan_that_cannot_be_done_is_refused_by_name",),
    ),
    Mutation(
        "planning",
        "a rule that lets everything rest does not starve the weights",
        "routers/decide.py",
        "if lacking <= 0 or room <= 0:",
        "if True:",
        (DECIDE + "a_rule_that_lets_everything_rest_does_not_starve_the_weights",),
    ),
    Mutation(
        "planning",
        "a rule does not observe what was not rolled out",
        "routers/decide.py",
        "            if plan.rollouts:\n                _observe",
        "            if True:\n                _observe",
        (DECIDE + "a_resting_example_is_neither_asked_about_nor_observed",),
    ),
    Mutation(
        "planning",
        "rollouts of one example are compared with each other, whatever the rows of their group",
        "loop/groups.py",
        "compared = not whole or",
        "compared = False or",
        (GROUPS + "every_rollout_has_one_row_and_is_compared_with_those_of_its_example",),
    ),
    Mutation(
        "planning",
        "an example with twice the rollouts weighs as one problem",
        "slow/batches.py",
        "problem_B = torch.arange(slow_B.numel()) if problems_B is None else torch.as_tensor(problems_B)",
        "problem_B = torch.arange(slow_B.numel())",
        (GROUPS + "gradients_of_planned_groups_are_those_of_their_rollouts_alone[1]",),
    ),
    Mutation(
        "planning",
        "what dynamic sampling drops is paid for",
        "loop/cycle.py",
        "paid = [*dropped, *groups]",
        "paid = [*groups]",
        (GROUPS + "groups_without_a_gradient_are_replaced_and_charged",),
    ),
    Mutation(
        "planning",
        "what rests is tried again as time passes",
        "routers/triage.py",
        "weight = 0.5 ** (max(0, step - self.step) / HALF_LIFE)",
        "weight = 1.0",
        (TRIAGE + "what_rests_is_tried_again_as_time_passes",),
    ),
    Mutation(
        "planning",
        "of what rests only a share is passed on",
        "routers/triage.py",
        "open_ones[: int(self._more * resting)]",
        "open_ones",
        (TRIAGE + "the_freed_rollouts_go_to_the_most_open_examples",),
    ),
    Mutation(
        "planning",
        "a double group counts as two",
        "routers/triage.py",
        "size = self._group or len(evidence.rewards_G)",
        "size = len(evidence.rewards_G)",
        (TRIAGE + "a_double_group_counts_as_two",),
    ),
]
