"""Guards of contexts that are trained into the weights."""

from __future__ import annotations

from guards.base import Mutation

SLOW = "tests/slow/test_distill.py::test_"
RUN = "tests/run/test_distill.py::test_"

MUTATIONS: list[Mutation] = [
    Mutation(
        "distilling",
        "a context reaches the teacher whole",
        "slow/distill.py",
        "        return prompts\n",
        "        return [ids[-512:] for ids in prompts]\n",
        (SLOW + "a_long_context_reaches_the_teacher_whole",),
    ),
    Mutation(
        "distilling",
        "the teacher sees the context",
        "slow/distill.py",
        "        return privileged_context\n",
        "        return prompt\n",
        (SLOW + "the_loss_is_the_reverse_kl_of_the_answers_tokens",),
    ),
    Mutation(
        "distilling",
        "the teacher is a model of its own that does not learn",
        "slow/distill.py",
        "        self.teacher_model = teacher.to(",
        "        _ = teacher.to(",
        (SLOW + "the_teacher_stays_what_it_was_and_the_student_comes_nearer",),
    ),
    Mutation(
        "distilling",
        "answers are those to the step's questions",
        "slow/distill.py",
        "if [tuple(ids) for ids in prompt_ids] != [self.pairs.student(place) for place in places]:",
        "if False:",
        (SLOW + "other_questions_than_those_of_the_step_are_refused",),
    ),
    Mutation(
        "distilling",
        "held-out questions are not asked",
        "run/pairs.py",
        'task.split("train")',
        'task.split("validation")',
        (RUN + "no_question_is_asked_that_the_run_holds_out",),
    ),
    Mutation(
        "distilling",
        "weights that are not finite are not shipped",
        "run/distill.py",
        "        if bad is not None:",
        "        if False:",
        (RUN + "a_rate_that_is_too_high_writes_no_bundle",),
    ),
]
