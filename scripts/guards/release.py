"""Guards of the gate and the registry: what keeps a bad candidate from being released."""

from __future__ import annotations

from guards.base import Mutation

DECIDE = "tests/gate/test_decide.py::"
GRADED = "tests/metrics/test_graded.py::"
PROMOTION = "tests/registry/test_promotion.py::"
REGISTRY = "tests/registry/test_registry.py::"
LOG = "tests/registry/test_log.py::"
QUESTIONS = "tests/gate/test_questions.py::"
REFUSED = PROMOTION + "test_a_verdict_on_anything_else_is_refused_and_the_refusal_is_logged"

MUTATIONS: list[Mutation] = [
    Mutation(
        "release",
        "an unscored answer counts against the candidate",
        "gate/decide.py",
        "([0.0 if r is None else r for r in c]",
        "([1.0 if r is None else r for r in c]",
        (DECIDE + "test_a_candidate_does_not_win_by_breaking_the_scorer",),
    ),
    Mutation(
        "release",
        "too many unscored answers are invalid",
        "gate/decide.py",
        "if not both or share > test.unscored:",
        "if not both:",
        (DECIDE + "test_a_share_of_unscored_answers_above_the_limit_is_invalid",),
    ),
    Mutation(
        "release",
        "a baseline that cannot lose makes a check invalid",
        "gate/decide.py",
        'if test.kind != "gain" and baseline - test.chance <= -test.against:',
        "if False:",
        (DECIDE + "test_a_baseline_that_cannot_lose_the_margin_makes_the_check_invalid[0]",),
    ),
    Mutation(
        "release",
        "looks share the error",
        "gate/decide.py",
        "bound = bounds_at(test.alpha, looks, test.most)[-1]",
        "bound = bounds_at(test.alpha, [test.most], test.most)[-1]",
        (DECIDE + "test_an_early_look_needs_more_than_a_late_one",),
    ),
    Mutation(
        "release",
        "lost questions that are not among few count",
        "metrics/graded.py",
        "    z = np.minimum(np.minimum(z, np.maximum(limit, 0)), LARGEST)",
        "    z = np.minimum(z, LARGEST)",
        (GRADED + "test_a_true_drop_of_the_margin_passes_as_rarely_as_promised[whole-20]",),
    ),
    Mutation(
        "release",
        "rare losses make graded rewards careful",
        "metrics/graded.py",
        "lean = np.minimum(side * skewness, 0)",
        "lean = 0 * skewness",
        (GRADED + "test_a_true_drop_of_the_margin_passes_as_rarely_as_promised[whole-100]",),
    ),
    Mutation(
        "release",
        "a bound is raised where few questions make chance likely",
        "gate/decide.py",
        "return exact_bound(pairs.n, against, bound), exact_bound(pairs.n, -against, bound)",
        "return bound, bound",
        (DECIDE + "test_few_questions_pass_only_where_chance_lets_them_rarely_enough",),
    ),
    Mutation(
        "release",
        "questions of training are left out",
        "gate/questions.py",
        "if identity(example.messages) not in met]",
        "if True]",
        (QUESTIONS + "test_questions_that_stand_in_a_file_of_training_as_well_are_left_out",),
    ),
    Mutation(
        "release",
        "only a pass is promoted",
        "registry/promotion.py",
        'if verdict.state != "pass":',
        "if False:",
        (REFUSED + "[undecided]",),
    ),
    Mutation(
        "release",
        "the verdict is about these bytes",
        "registry/promotion.py",
        "if verdict.candidate.digest != digest:",
        "if False:",
        (REFUSED + "[other candidate]",),
    ),
    Mutation(
        "release",
        "the verdict is about the present champion",
        "registry/promotion.py",
        "(against.weights == BASE or against.digest != champion)",
        "False",
        (REFUSED + "[other champion]",),
    ),
    Mutation(
        "release",
        "a policy can only grow",
        "registry/promotion.py",
        "problem = None if floor is None else weakened(verdict.margins, verdict.alpha, floor)",
        "problem = None",
        (REFUSED + "[no task]",),
    ),
    Mutation(
        "release",
        "a version is read again before it becomes the champion",
        "registry/registry.py",
        "            versions.verify(self.path(version))\n        except Damaged as damage:\n            raise",
        "            pass\n        except Damaged as damage:\n            raise",
        (REGISTRY + "test_a_rollback_to_a_damaged_version_changes_nothing",),
    ),
    Mutation(
        "release",
        "weights and contexts of different runs are refused",
        "bundles/digest.py",
        "if strange is not None:",
        "if False:",
        (REGISTRY + "test_contexts_of_other_weights_are_refused",),
    ),
    Mutation(
        "release",
        "a changed line of the log is noticed",
        "registry/log.py",
        "whole = is_signed(data) and dumps(data) == line",
        "whole = True",
        (LOG + "test_any_flipped_bit_of_the_log_is_noticed",),
    ),
    Mutation(
        "release",
        "missing lines of the log are noticed",
        "registry/log.py",
        "if len(entries) < seen[0]",
        "if False",
        (LOG + "test_a_line_that_is_missing_is_noticed[2]",),
    ),
    Mutation(
        "release",
        "a torn line is cut before the next is written",
        "registry/log.py",
        "jsonl.cut_torn_line(file)",
        "pass",
        (LOG + "test_a_torn_line_did_not_happen_and_gives_way_to_the_next",),
    ),
]
