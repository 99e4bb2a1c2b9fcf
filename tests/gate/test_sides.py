"""Both models of a gate are measured as they are released."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fastslow.bundles.bundle import open_bundle
from fastslow.contexts.context import Context, seed_context
from fastslow.core.types import Example
from fastslow.evaluation.drift import measure_drift
from fastslow.gate.policy import Rules
from fastslow.gate.sides import Side, open_side
from tests.support.bundles import coins, tiny_bundle

SHORT, LONG = seed_context("Hi."), seed_context("Answer with a number, and say how you found it, step by step. " * 3)


class ByQuestion:
    """Topics under which every third question has the long context."""

    def choose(self, kind: str, population: Any, example: Example) -> Context:
        return LONG if int(example.id[1:]) % 3 == 1 else SHORT


@pytest.fixture(scope="module")
def choosing(tmp_path_factory: pytest.TempPathFactory) -> Side:
    folder = tiny_bundle(tmp_path_factory.mktemp("side") / "a", noise=0.3)
    side = open_side("a", folder, Rules(), seed=1, dtype=None, trusted=True)
    topics: Any = ByQuestion()
    return replace(side, bundle=replace(open_bundle(folder), topics=topics), kind="cluster")


def test_the_kl_is_that_of_each_question_under_its_own_context(choosing: Side) -> None:
    """The mean over the tokens of all answers, in whatever order the questions come."""
    task = coins(test_size=7)
    examples = task.split("test")
    policy = choosing._policy(task, choosing._params(Rules()))

    def drift(context: Context, asked: list[Example]) -> Any:
        bundle = choosing.bundle
        return measure_drift(policy, bundle.model, bundle.base, context, asked, seed=1, packing=True)

    long, short = (drift(c, [e for e in examples if choosing._context(e) is c]) for c in (LONG, SHORT))
    expected = (long.kl * long.tokens + short.kl * short.tokens) / (long.tokens + short.tokens)
    assert abs(long.kl - short.kl) > 1e-3
    assert choosing.kl(task, examples, Rules()) == pytest.approx(expected, rel=1e-5)
    assert choosing.kl(task, examples[::-1], Rules()) == pytest.approx(expected, rel=1e-5)


def test_where_no_question_fits_the_window_there_is_no_kl(choosing: Side) -> None:
    task = coins(test_size=2)
    choosing._policy(task, choosing._params(Rules())).window = 1
    assert choosing.kl(task, task.split("test"), Rules()) is None
