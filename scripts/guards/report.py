"""Guards of what a report, a gate and the terminal say of the numbers that were measured."""

from __future__ import annotations

from guards.base import Mutation

VERDICT = "tests/report/questions/test_verdict.py::test_"
CREDIT = "tests/report/test_partial_credit.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "report", "fewer than three seeds give no verdict", "report/questions/verdict.py",
        "    if not few:\n        return found", "    if True:\n        return found",
        (VERDICT + "no_verdict_rests_on_fewer_than_three_seeds",),
    ),
    Mutation(
        "report", "a control that ends as high takes the yes", "report/questions/verdict.py",
        "if answer in (YES, SEEMS_SO) and not all(rival.beaten for rival in rivals):", "if False:",
        (VERDICT + "a_saving_against_plain_rl_is_no_yes_where_another_control_ends_as_high",),
    ),
    Mutation(
        "report", "the base weights under the lead context are a control", "report/questions/controls.py",
        "    if base:\n        found.append", "    if False:\n        found.append",
        (VERDICT + "contexts_that_do_it_all_are_not_credited_to_the_training",),
    ),
    Mutation(
        "report", "a mean reward is not called an accuracy", "report/questions/compare.py",
        'return "mean reward" if self.graded else "accuracy"', 'return "accuracy"',
        (CREDIT + "no_table_title_or_sentence_calls_partial_credit_an_accuracy",),
    ),
    Mutation(
        "report", "partial credit in training is seen", "report/reading/data.py",
        "run.partial = run.partial or is_partial(row.get(\"rewards\"))", "pass",
        (CREDIT + "one_reward_between_zero_and_one_tells_partial_credit_in_any_file",),
    ),
    Mutation(
        "report", "a gate tells partial credit from a share", "gate/decide.py",
        "if all(reward in (0.0, 1.0) for side in sides for reward in side):", "if True:",
        ("tests/gate/test_decide.py::test_partial_credit_is_told_from_rewards_of_zero_and_one",),
    ),
    Mutation(
        "report", "a pipe gets whole rows", "record/tables.py",
        "if not console.is_terminal:", "if False:",
        ("tests/record/test_tables.py::test_a_pipe_gets_every_row_of_a_table_in_one_line",),
    ),
]  # fmt: skip
