"""Guards of the arms without rewards: what is imitated, taught or retrieved, and who is a rival."""

from __future__ import annotations

from guards.base import Mutation

IMITATION = "tests/loop/test_imitation.py::test_"
TEACHING = "tests/loop/test_teaching.py::test_"
SHELF = "tests/topics/test_shelf.py::test_"
REPORT = "tests/report/test_alternatives.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "alternatives",
        "only rows that are imitated count",
        "slow/batches.py",
        "counted_B_G = counted_B_G & spread_B_G",
        "pass",
        (IMITATION + "the_gradient_of_rft_is_that_of_the_fully_right_rollouts",),
    ),
    Mutation(
        "alternatives",
        "an answer to be imitated has an importance ratio of 1",
        "slow/advantages.py",
        "elif batch.imitated_N is not None:",
        "elif False:",
        (IMITATION + "the_gradient_of_sft_is_that_of_the_answers_likelihood[token]",),
    ),
    Mutation(
        "alternatives",
        "an answer that is longer than answers may be is not taught",
        "policy/policy.py",
        "if len(ids) + 1 > self.params.max_new_tokens:",
        "if False:",
        (IMITATION + "answers_that_are_too_long_or_unknown_teach_nothing",),
    ),
    Mutation(
        "alternatives",
        "the gradient goes to the student, not to the teacher",
        "slow/teacher.py",
        """    with torch.no_grad():
        teacher_E_V =""",
        """    with torch.enable_grad():
        teacher_E_V =""",
        (TEACHING + "a_step_follows_the_teacher_token_by_token[on-16]",),
    ),
    Mutation(
        "alternatives",
        "a row without a teacher teaches nothing",
        "slow/hooks.py",
        "return tuple(prompt is not None for prompt in self.teacher_prompts_N)",
        "return (True,) * len(self.rollouts)",
        (TEACHING + "a_step_follows_the_teacher_token_by_token[on-16]",),
    ),
    Mutation(
        "alternatives",
        "only the last steps of a cycle consolidate",
        "loop/cycle.py",
        "step >= end - round(every * self._config.consolidation_share)",
        "step >= 0",
        (TEACHING + "the_last_steps_of_a_cycle_draw_plain_answers_to_those_of_the_lead",),
    ),
    Mutation(
        "alternatives",
        "a question is never shown its own answer",
        "topics/shelf.py",
        "if question != own and entry.tokens",
        "if entry.tokens",
        (SHELF + "a_question_is_never_shown_its_own_answer",),
    ),
    Mutation(
        "alternatives",
        "only what the stream has shown is retrieved",
        "topics/topics.py",
        "sorted({self._places[e.id] for e in examples if e.id in self._places})",
        "sorted(self._places.values())",
        (SHELF + "a_stage_knows_only_what_came_before",),
    ),
    Mutation(
        "alternatives",
        "an arm that had all tasks at once is no rival",
        "report/questions/controls.py",
        "and not (ours and _is_ceiling(arm, ours))",
        "",
        (REPORT + "a_ceiling_is_no_rival",),
    ),
]
