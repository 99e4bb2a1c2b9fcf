"""What a verdict says follows from what it holds, whoever renewed its SHA-256."""

from __future__ import annotations

import hashlib
import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fastslow.core.errors import BadInput
from fastslow.gate import decide
from fastslow.gate.audit import contradiction, policy_of
from fastslow.gate.floor import floor_of
from fastslow.gate.policy import parse_policy
from fastslow.gate.verdict import Check, Verdict
from tests.support.registries import bundle, verdict

POLICY = """
gain: [{task: new, min_gain: 0.05}]
retain: [{task: old}, {task: choice, margin: 0.1, chance: 0.25}]
general: {prose: {}, neutral: {}, samples: [{name: hella, candidate: a, baseline: b}]}
limits: {kl: 1.0, added_prompt_tokens: 64, latency_rise: 0.5}
"""
FIGURES = (
    Check("samples", "hella", "pass", "", 0.5, 0.5, 0.0, -0.02, 0.02, -0.05, 900, 9, 9),
    Check("prose", "bits per byte", "pass", "", 1.0, 1.0, 0.0, -0.001, 0.001, 0.01, 32),
    Check("limit", "KL on neutral prompts", "pass", "", difference=0.1, against=0.1),
    Check("limit", "KL to the base", "pass", "", difference=0.2, against=1.0),
    Check("limit", "added prompt tokens", "pass", "", 40, 30, 10, against=64),
    Check("limit", "latency rise (p95)", "pass", "", 1.0, 1.0, 0.0, against=0.5),
)


@pytest.fixture
def whole(tmp_path: Path) -> Verdict:
    passed = verdict(bundle(tmp_path / "a"), None, POLICY)
    return replace(passed, checks=(*passed.checks, *FIGURES))


def found_in(verdict: Verdict) -> str | None:
    return contradiction(verdict, policy_of(verdict, None))


def test_a_verdict_as_a_gate_writes_it_contradicts_nothing(whole: Verdict) -> None:
    assert found_in(whole) is None


def check(number: int, **changes: Any) -> Callable[[Verdict], Verdict]:
    return lambda v: replace(
        v, checks=(*v.checks[:number], replace(v.checks[number], **changes), *v.checks[number + 1 :])
    )


EDITED: dict[str, tuple[Callable[[Verdict], Verdict], str]] = {
    "failed check": (check(1, state="fail"), "it says 'pass', and its checks are 'fail'"),
    "no checks": (lambda v: replace(v, checks=()), "has no check"),
    "check left out": (lambda v: replace(v, checks=v.checks[:-1]), "no check 'limit latency rise"),
    "check twice": (lambda v: replace(v, checks=(*v.checks, v.checks[0])), "does not ask for the check 'gain new'"),
    "check of its own": (check(1, name="easy"), "no check 'retain old'"),
    "wider margin of a check": (check(1, against=-0.2), "no check 'retain old' against -0.05"),
    "larger gain asked": (check(0, against=0.0), "no check 'gain new' against 0.05"),
    "higher limit": (check(6, against=9.0), "no check 'limit KL to the base'"),
    "margins": (lambda v: replace(v, margins={**v.margins, "old": 0.04}), "keeps 'old' by another margin"),
    "margins of more": (lambda v: replace(v, margins={**v.margins, "x": 0.04}), "keeps 'x' by another margin"),
    "alpha": (lambda v: replace(v, alpha=0.01), "its alpha is 0.01"),
    "looks": (lambda v: replace(v, looks=1), "its looks is 1"),
    "contexts": (lambda v: replace(v, contexts="seed"), "its contexts is seed"),
    "no numbers": (check(1, difference=None), "it has no numbers"),
    "no interval": (check(1, low=None), "outside its interval"),
    "interval elsewhere": (check(1, low=0.1, high=0.2), "outside its interval"),
    "interval not above": (check(1, low=-0.06), "does not lie above"),
    "interval of prose not below": (check(4, high=0.02), "does not lie below"),
    "above the limit": (check(6, difference=1.1), "above its limit"),
    "other models": (check(1, baseline=0.9), "not that of the two models"),
    "more won than asked": (check(1, won=99), "do not add up"),
    "fewer won than it takes": (check(0, won=10), "do not make that difference"),
    "baseline that cannot lose": (check(2, candidate=0.3, baseline=0.3), "cannot lose"),
}


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_part_that_the_others_do_not_bear_out_is_found(name: str, whole: Verdict) -> None:
    edit, words = EDITED[name]
    found = found_in(edit(whole))
    assert words in (found or "")
    assert "\n" not in (found or "")


def test_a_policy_that_cannot_be_read_or_is_another_is_refused(whole: Verdict) -> None:
    for text in ("retain: [", "alpha: 0.9", "- a"):
        digest = hashlib.sha256(text.encode()).hexdigest()
        with pytest.raises(BadInput, match="its policy"):
            policy_of(replace(whole, policy=text, policy_digest=digest), None)
    with pytest.raises(BadInput, match="does not hold the policy"):
        policy_of(replace(whole, policy=whole.policy + "#"), None)


def test_tasks_that_come_from_the_champion_have_their_check(tmp_path: Path) -> None:
    """A policy without `retain` keeps what the champion's policy kept; the verdict's margins name it."""
    bare = verdict(bundle(tmp_path / "a"), None, "gain: [{task: new}]")
    inherited = replace(bare, margins={**bare.margins, "old": 0.02})
    policy = policy_of(bare, floor_of(parse_policy(b"retain: [{task: old, margin: 0.02}]", "policy")))
    assert "keeps 'old' by another margin" in (contradiction(bare, policy) or "")
    assert "no check 'retain old'" in (contradiction(inherited, policy) or "")
    kept = Check("retain", "old", "pass", "", 0.5, 0.5, 0.0, -0.01, 0.01, -0.02, 500, 1, 1)
    assert contradiction(replace(inherited, checks=(*inherited.checks, kept)), policy) is None


def test_every_check_that_the_gate_lets_pass_bears_out_its_own_numbers(whole: Verdict) -> None:
    """Paired answers of random models, right or wrong and graded, decided as the gate does."""
    rng, passed = random.Random(0), 0
    for number in range(40):
        n, loss, graded = 100, rng.choice((0.0, 0.01)), number % 8 == 0
        baseline = [[rng.random() if graded else float(rng.random() < 0.8)] for _ in range(n)]
        candidate = [[right * (rng.random() > loss)] for (right,) in baseline]
        found = decide.decide(decide.Test("retain", "old", -0.05, 0.05, n), candidate, baseline, [n])
        if found.state == "pass":
            passed += 1
            assert found_in(check(1, **vars(found))(whole)) is None, found
    assert passed > 10
