"""A policy can only grow: whatever a champion was released for is asked of every later candidate."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from fastslow.core.errors import BadInput
from fastslow.files.typed import read_as
from fastslow.gate.floor import Floor, completed, floor_of
from fastslow.gate.policy import Policy, parse_policy


def policy(text: str) -> Policy:
    return parse_policy(text.encode(), "policy")


WHOLE = """
alpha: 0.05
margin: 0.05
gain: [{task: new}]
retain: [{task: old, margin: 0.02, chance: 0.25}]
general:
  prose: {max_rise: 0.01}
  neutral: {max_kl: 0.1}
  samples: [{name: harness, candidate: a, baseline: b, margin: 0.02}]
limits: {kl: 1.0, added_prompt_tokens: 64}
"""
FLOOR = floor_of(policy(WHOLE))


def test_a_task_that_was_gained_has_to_be_kept_from_then_on() -> None:
    assert FLOOR.margins == {"new": 0.05, "old": 0.02}


@pytest.mark.parametrize(
    ("now", "then"),
    [
        ("gain: [{task: new}]", "gain: [{task: newer}, {task: new}]"),
        ("gain: [{task: new}]\nretain: [", "retain: [{task: new}, "),
        ("margin: 0.02}", "margin: 0.01}"),
        ("max_rise: 0.01", "max_rise: 0.005"),
        ("kl: 1.0", "kl: 0.5, unscored: 0.001"),
        ("chance: 0.25", "chance: 0.5"),
        ("alpha: 0.05", "alpha: 0.01"),
        ("margin: 0.05", "margin: 0.05\ncontexts: cluster"),
        ("{max_rise: 0.01}", "{max_rise: 0.01, bytes: 65536}"),
    ],
)
def test_a_policy_that_asks_for_as_much_or_more_is_taken(now: str, then: str) -> None:
    assert now in WHOLE
    completed(policy(WHOLE.replace(now, then)), FLOOR)


@pytest.mark.parametrize(
    ("now", "then", "words"),
    [
        ("alpha: 0.05", "alpha: 0.1", "alpha is 0.1"),
        ("gain: [{task: new}]", "", "no margin for 'new'"),
        ("task: old", "task: other", "no margin for 'old'"),
        ("0.02, chance", "0.03, chance", "margin for 'old' is 0.03"),
        ("chance: 0.25", "chance: 0.1", "chance for 'old' is 0.1"),
        ("  prose: {max_rise: 0.01}\n", "", "no max_rise of prose"),
        ("max_rise: 0.01", "max_rise: 0.02", "max_rise of prose is 0.02"),
        ("max_kl: 0.1", "max_kl: 0.2", "max_kl on neutral prompts is 0.2"),
        ("name: harness", "name: others", "no margin for samples 'harness'"),
        ("b, margin: 0.02", "b, margin: 0.03", "margin for samples 'harness' is 0.03"),
        ("kl: 1.0, ", "", "no limit of kl"),
        ("added_prompt_tokens: 64", "added_prompt_tokens: 65", "limit of added_prompt_tokens is 65"),
        ("kl: 1.0", "kl: 1.0, unscored: 0.02", "limit of unscored is 0.02"),
    ],
)
def test_a_policy_that_leaves_out_or_loosens_anything_is_refused(now: str, then: str, words: str) -> None:
    assert now in WHOLE
    with pytest.raises(BadInput) as refused:
        completed(policy(WHOLE.replace(now, then, 1)), FLOOR)
    assert words in str(refused.value)
    assert "weaker than that of the champion" in str(refused.value)


def test_what_a_policy_does_not_speak_of_is_taken_over() -> None:
    champion = floor_of(policy(WHOLE.replace("  samples", "  # samples")))
    taken = completed(policy("gain: [{task: newer}]"), read_as(Floor, json.loads(json.dumps(asdict(champion)))))
    assert taken.margins() == {"newer": 0.05, "new": 0.05, "old": 0.02}
    assert floor_of(taken).most.items() >= champion.most.items()
    assert floor_of(taken).least == champion.least


def test_answers_of_another_program_cannot_be_taken_over() -> None:
    """Their files are the user's."""
    with pytest.raises(BadInput, match="no margin for samples 'harness'"):
        completed(policy("gain: [{task: new}]"), FLOOR)


def test_a_policy_that_asks_for_nothing_is_refused() -> None:
    with pytest.raises(BadInput, match="asks for nothing"):
        completed(policy("alpha: 0.05"), None)


def test_a_task_with_a_chance_of_guessing_is_kept_by_it_even_where_it_has_to_gain() -> None:
    champion = floor_of(policy("retain: [{task: a, chance: 0.25}, {task: b}, {task: c, margin: 0.02}]"))
    taken = completed(policy("gain: [{task: a}, {task: b}, {task: c}]"), champion)
    assert {(one.task, one.margin, one.chance) for one in taken.retain} == {("a", 0.05, 0.25), ("c", 0.02, 0.0)}


def test_prose_and_neutral_prompts_are_taken_over_with_their_texts() -> None:
    champion = policy("gain: [{task: a}]\ngeneral: {prose: {text: my.txt, bytes: 65536}, neutral: {tokens: 64}}")
    taken = completed(policy("gain: [{task: a}]"), floor_of(champion))
    assert (taken.prose, taken.neutral) == (champion.prose, champion.neutral)
    with pytest.raises(BadInput, match="bytes of prose is 4096"):
        completed(
            policy("gain: [{task: a}]\ngeneral: {prose: {bytes: 4096}, neutral: {tokens: 64}}"), floor_of(champion)
        )
