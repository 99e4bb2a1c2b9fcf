"""A policy is read whole or refused in one line, and may not fall below that of the champion."""

from __future__ import annotations

import hashlib

import pytest

from fastslow.core.errors import BadInput
from fastslow.gate.policy import Policy, parse_policy


def policy(text: str) -> Policy:
    return parse_policy(text.encode(), "policy 'gate.yaml'")


def test_what_a_task_does_not_say_the_rules_say() -> None:
    read = policy(
        "margin: 0.1\nquestions: 50\nretain:\n- task: star_graph\n- {task: codeio, margin: 0.02, questions: 9}"
    )
    first, second = read.retain
    assert (read.margin_of(first), read.questions_of(first)) == (0.1, 50)
    assert (read.margin_of(second), read.questions_of(second)) == (0.02, 9)


def test_numbers_in_scientific_notation_are_numbers() -> None:
    assert policy("alpha: 1e-2").rules.alpha == 0.01


def test_the_digest_is_that_of_the_file() -> None:
    assert policy("alpha: 0.01").digest == hashlib.sha256(b"alpha: 0.01").hexdigest()
    assert policy("alpha: 0.01 ").digest != policy("alpha: 0.01").digest


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("alpa: 0.05", "Did you mean 'alpha'"),
        ("alpha: 0.9", "alpha must be at most 0.25"),
        ("alpha: yes", "alpha must be a number"),
        ("looks: 0", "looks must be at least 1"),
        ("gain: star_graph", "gain must be a list"),
        ("gain:\n- min_gain: 0.1", "gain 1 names no task"),
        ("retain:\n- {task: star_graph, margn: 0.1}", "Did you mean 'margin'"),
        ("retain:\n- {task: star_graph, margin: 1e-200}", "at least 0.0001"),
        ("margin: 1e-5\nretain:\n- task: star_graph", "from 0.0001 to 1"),
        ("retain:\n- task: star_graph\n- task: star_graph", "stands twice in retain"),
        ("retain:\n- {task: 'jsonl:a.jsonl?x=1&y=2'}\n- {task: 'jsonl:a.jsonl?y=2&x=1'}", "stands twice"),
        ("general:\n  prosa: {}", "Did you mean 'prose'"),
        ("general:\n  samples:\n  - name: x", "names no candidate"),
        ("temperature: 0.7", "samples of at least 4"),
        ("contexts: mean", "contexts"),
        ("- a", "must hold 'setting: value' lines"),
        ("a: [", "is not YAML"),
        ("limits: 3", "limits must hold"),
    ],
)
def test_what_cannot_be_used_is_refused_in_one_line(text: str, words: str) -> None:
    with pytest.raises(BadInput) as refused:
        policy(text)
    assert words in str(refused.value)
    assert "\n" not in str(refused.value)
