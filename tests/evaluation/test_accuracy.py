"""Accuracy under contexts: what is averaged, what is counted, and that a question is answered once under a context."""

from __future__ import annotations

from typing import Any, cast

import pytest

from fastslow.contexts.context import Context, seed_context
from fastslow.contexts.population import Population
from fastslow.core.measurement import Answer
from fastslow.core.types import Example, Rollout, Verdict
from fastslow.evaluation.accuracy import Sampling, accuracy_of, measure_population
from fastslow.policy.engines.base import SamplingParams
from fastslow.streams.labels import Labels
from fastslow.topics.archive import Archive
from fastslow.topics.topics import Topics

SEED = seed_context("")
GOOD, BAD = (Context({"instruction": word}, (SEED.id,), "test") for word in ("good", "bad"))
REWARDS = {SEED.id: 0.25, GOOD.id: 1.0, BAD.id: 0.0}
EXAMPLES = [Example(f"e{i}", "a", "validation", ({"role": "user", "content": f"{i}"},)) for i in range(3)]
SAMPLING = Sampling(SamplingParams(max_new_tokens=4), samples=2, seed=0)


class Scripted:
    """A policy whose reward depends on the context; what it is asked for is written down. Example e2 is unscored in its
    first sample."""

    def __init__(self):
        self.asked: list[tuple[str, str, int]] = []

    def rollouts(self, jobs, params):
        made = []
        for job in jobs:
            first = all(asked[:2] != (job.context.id, job.example.id) for asked in self.asked)
            self.asked.append((job.context.id, job.example.id, job.seed))
            unscored = first and job.example.id == "e2"
            verdict = Verdict.unscored("test") if unscored else Verdict(REWARDS[job.context.id], "")
            made.append(Rollout(job.example.id, job.context.id, (1,), (2, 3), (0.0, 0.0), "", verdict, 0))
        return made


def population() -> Population:
    known = {c.id: c for c in (GOOD, BAD)}
    return Population(size=2, seed=SEED, known=known).starting_from([GOOD, BAD])


def measured(kinds: list[str], topics: Topics | None = None, **further: Any):
    policy = Scripted()
    found = measure_population(
        cast(Any, policy),
        population(),
        EXAMPLES,
        kinds,
        SAMPLING,
        task="a",
        split="validation",
        weights="trained",
        topics=topics,
        **further,
    )
    return found, policy


def test_an_example_is_answered_once_under_a_context_whatever_that_is_measured_as() -> None:
    found, policy = measured(["seed", "lead", "mean", "all"])
    assert [(one.context, one.context_id) for one in found] == [
        ("seed", SEED.id), ("lead", GOOD.id), ("mean", None), ("member", GOOD.id), ("member", BAD.id),
    ]  # fmt: skip
    assert len(policy.asked) == len(set(policy.asked)) == 3 * 3 * 2
    assert found[1].accuracy == found[3].accuracy == 1.0


def test_whoever_follows_an_evaluation_is_told_of_the_answers_under_each_context() -> None:
    said: list[tuple[int, int]] = []
    measured(["seed", "lead", "mean"], told=lambda made, asked: said.append((made, asked)))
    assert said == [(0, 18), (6, 18), (12, 18), (18, 18)]


def test_answers_say_of_which_question_sample_and_context_they_are() -> None:
    (one,), _ = measured(["mean"])
    assert [(a.example_id, a.context_id, a.sample) for a in one.answers[:4]] == [
        ("e0", GOOD.id, 0), ("e0", GOOD.id, 1), ("e0", BAD.id, 0), ("e0", BAD.id, 1),
    ]  # fmt: skip
    assert {a.tokens for a in one.answers} == {2}
    assert (one.n, one.samples, len(one.answers)) == (3, 2, 3 * 2 * 2)


def test_unscored_answers_are_counted_and_never_averaged_in() -> None:
    (one,), _ = measured(["lead"])
    assert (one.accuracy, one.unscored) == (1.0, 1), "five of six were scored, all of them right"
    assert [a.reward for a in one.answers] == [1.0, 1.0, 1.0, 1.0, None, 1.0]
    nothing = accuracy_of([[Answer("e", 0, "c", None, 1)]], 1)
    assert (nothing.accuracy, nothing.low, nothing.best, nothing.n, nothing.unscored) == (None, None, None, 1, 1)


def test_answers_with_full_reward_are_counted_apart_from_those_with_a_part_of_it() -> None:
    rewards = [[1.0, 0.5], [None, 0.0], [1.0, 0.25]]
    answers = [[Answer("e", 0, "c", reward, 1) for reward in row] for row in rewards]
    found = accuracy_of(answers, 2)
    assert (found.fully_right, found.accuracy) == (pytest.approx(1 / 3), pytest.approx((0.75 + 0 + 0.625) / 3))
    whole = accuracy_of([[Answer("e", 0, "c", reward, 1)] for reward in (1.0, 0.0, 1.0)], 1)
    assert whole.fully_right == whole.accuracy, "to the last bit: a difference would be partial credit"


def test_a_mean_lies_in_its_interval_however_many_answers_are_unscored() -> None:
    """Answers to a question count together: where most of one kind are unscored, the rest of it counts no less."""
    rows = [[1.0] * 4] * 20 + [[0.0, None, None, None]] * 20
    found = accuracy_of([[Answer("e", 0, "c", reward, 1) for reward in row] for row in rows], 4)
    assert found.accuracy == found.fully_right == 0.5
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.5 < found.high


def test_the_best_of_a_mean_is_left_out_and_that_of_a_context_is_not() -> None:
    (mean, lead), _ = measured(["mean", "lead"])
    assert (mean.best, mean.accuracy) == (None, 0.5)
    assert lead.best == 1.0


def test_a_chosen_context_is_held_against_the_lead_on_the_same_questions() -> None:
    topics = Topics(Labels("visible", tasks="a", seed=0), None, archive=Archive())
    scores = {GOOD.id: {e.id: 0.0 for e in EXAMPLES}, BAD.id: {e.id: 1.0 for e in EXAMPLES}}
    topics.keep(scores, EXAMPLES, policy_version=0)
    (lead, cluster), _ = measured(["lead", "cluster"], topics)
    assert lead.choice is None
    assert cluster.choice is not None
    assert (cluster.choice.chosen, cluster.choice.right_topic) == ({BAD.id: 3}, 1.0)
    assert (cluster.choice.gain, cluster.context_id) == (-1.0, None)
    assert cluster.choice.gain_low == pytest.approx(-1.0)
    (alone,), _ = measured(["cluster"], topics)
    assert alone.choice is not None
    assert alone.choice.gain is None, "there is no lead to hold it against"


def test_seeds_depend_on_context_and_example_alone() -> None:
    _, every = measured(["seed", "lead"])
    _, lead = measured(["lead"])
    assert set(lead.asked) < set(every.asked)
