"""Guards of the book of evidence and of what is decided by it."""

from __future__ import annotations

from guards.base import Mutation

BOOK = "tests/contexts/test_evidence.py::test_"
SLOTS = "tests/contexts/test_slots.py::test_"
RETURNS = "tests/topics/test_archive.py::test_a_task_that_returns_is_started_from_what_it_had[evidence]"

MUTATIONS: list[Mutation] = [
    Mutation(
        "evidence",
        "a question that a context shows does not count for it",
        "contexts/evidence.py",
        "if folded(example.question) not in shown[rollout.context_id]:",
        "if True:",
        (BOOK + "neither_unscored_answers_nor_those_of_others_nor_to_shown_questions_are_entered",),
    ),
    Mutation(
        "evidence",
        "what is old counts less",
        "contexts/evidence.py",
        "weight_N = 0.5 ** (-age_N / half_life) / NOISE**2",
        "weight_N = 0.5 ** (0 * age_N) / NOISE**2",
        (BOOK + "what_has_faded_counts_less_than_what_is_new",),
    ),
    Mutation(
        "evidence",
        "what is long past is dropped",
        "contexts/evidence.py",
        "if now - entry.version <= FORGOTTEN * self.half_life]",
        "if True]",
        (BOOK + "what_is_long_past_is_dropped_and_the_rest_survives_a_checkpoint",),
    ),
    Mutation(
        "evidence",
        "difficulty is the question's, not the context's",
        "contexts/evidence.py",
        "mean = shared / cell_C[:, None]",
        "mean = 0 * shared",
        (BOOK + "many_rollouts_of_a_few_hard_questions_do_not_make_a_bad_context",),
    ),
    Mutation(
        "evidence",
        "the best by all evidence is a member",
        "contexts/population.py",
        "chosen = [] if levels is None else [min(rank, key=rank.__getitem__)]",
        "chosen = []",
        ("tests/contexts/test_population.py::test_levels_decide_who_leads_and_the_best_by_them_is_always_chosen",),
    ),
    Mutation(
        "evidence",
        "a phase is never given more than its budget",
        "fast/effort.py",
        "return min(least, plan.budget) if",
        "return least if",
        ("tests/fast/test_effort.py::test_the_budget_is_a_ceiling[8-0.01]",),
    ),
    Mutation(
        "evidence",
        "the book survives a checkpoint",
        "loop/state.py",
        'self.book.load_state_dict(state["book"])',
        "pass",
        ("tests/loop/test_state.py::test_a_state_comes_back_from_a_checkpoint_as_it_was",),
    ),
    Mutation(
        "evidence",
        "the seed context keeps its floor",
        "contexts/slots.py",
        "if missing > 0:",
        "if False:",
        (SLOTS + "the_seed_context_keeps_its_floor_until_it_is_shown_to_be_dead",),
    ),
    Mutation(
        "evidence",
        "a dead seed context loses its floor",
        "contexts/slots.py",
        "if seed_id in context_ids and not standings.dead(seed_id):",
        "if seed_id in context_ids:",
        (SLOTS + "the_seed_context_keeps_its_floor_until_it_is_shown_to_be_dead",),
    ),
    Mutation(
        "evidence",
        "contexts in doubt are tried",
        "contexts/slots.py",
        "return [chance / total * min(most, total) if total else 0.0 for chance in doubted]",
        "return [0.0 for chance in doubted]",
        (SLOTS + "those_in_doubt_are_tried_with_an_eighth_at_most_and_the_hopeless_are_not",),
    ),
    Mutation(
        "evidence",
        "how fast a context learns counts",
        "contexts/slots.py",
        "draws_D_K = standings.draws(context_ids, ahead=ahead, count=DRAWS",
        "draws_D_K = standings.draws(context_ids, ahead=0, count=DRAWS",
        (SLOTS + "one_that_learns_faster_gets_slots_before_it_leads",),
    ),
    Mutation(
        "evidence",
        "slots are earned by being surely better than the plain prompt",
        "contexts/slots.py",
        "better >= enough",
        "better >= 0",
        (SLOTS + "contexts_earn_slots_by_being_surely_better_than_the_seed_context",),
    ),
    Mutation(
        "evidence",
        "the archive ranks by the book before the stream goes on",
        "loop/cycle.py",
        "        self.weighing.write_down(step)\n        self._take_in_hand(ahead)",
        "        self._take_in_hand(ahead)",
        (RETURNS,),
    ),
]
