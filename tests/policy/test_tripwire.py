"""The tripwire: a separate engine that samples from other weights than it was sent ends the run, whatever it says."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from fastslow.contexts.context import Context, seed_context
from fastslow.core.errors import EngineError
from fastslow.core.types import Rollout, Verdict
from fastslow.policy import tripwire
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.policy import Job, Policy
from fastslow.policy.tripwire import FEW_ROWS, STEP_ROWS, Tripwire
from tests.policy.test_policy import Sums, asked
from tests.support.conformance import shift
from tests.support.served import TOKENIZER, engine_for, prepared, serving
from tests.support.tiny import tiny_model
from tests.support.vllm_server import VllmServer

LONG = "Add the numbers, and give nothing but their sum. " * 8  # several blocks of the server's prefix cache
CONTEXTS = [seed_context(LONG), Context({"instruction": LONG + "Think first."}), Context({"instruction": "Sum."})]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return prepared(tmp_path_factory.mktemp("served") / "model")


@contextmanager
def watched(folder: Path, **settings: Any) -> Iterator[tuple[Policy, VllmServer, Any]]:
    """A policy that samples on one server, the server, and the model in training."""
    model = tiny_model(TOKENIZER)
    with serving(folder, **settings) as [server]:
        policy = Policy(
            engine=engine_for(model, [server]),
            tokenizer=TOKENIZER,
            task=Sums(),
            params=SamplingParams(max_new_tokens=4),
            window=4096,
            tripwire=Tripwire(model, bound=1e-3, dtype=torch.float32, packing=True),
        )
        yield policy, server, model
        policy.close()


def jobs(contexts=CONTEXTS, count: int = 6) -> list[Job]:
    return [Job(contexts[seed % len(contexts)], asked(f"{seed} + 1"), seed) for seed in range(count)]


def step(policy: Policy, model: Any, version: int) -> None:
    """What a step does: move the weights, refresh, roll out."""
    if version:
        shift(model)
    policy.begin_step(version)
    policy.rollouts(jobs(), step=True)


def test_an_honest_server_passes_and_the_gap_is_logged(folder) -> None:
    with watched(folder) as (policy, _, model):
        for version in range(3):
            step(policy, model, version)
        logged = policy.engine_metrics()
        assert 0 < logged["fst/engine_gap_mean"] < logged["fst/engine_gap"] < 1e-4
        assert logged["fst/engine_gap_rows"] == 6
        assert 0 < logged["fst/engine_hit_rate"] < 1
        assert policy.describe_engine()["largest_gap"] < 1e-4


@pytest.mark.parametrize("fault", ["no_reset", "tied", "stale"])
def test_a_reload_that_answers_200_and_keeps_something_old_ends_the_run(folder, fault: str) -> None:
    with watched(folder, faults=(fault,)) as (policy, server, model):
        step(policy, model, 0)
        with pytest.raises(EngineError, match=f"after 1 steps {server.url} gives a sampled token another") as stopped:
            step(policy, model, 1)
        assert "\n" not in str(stopped.value)
        assert "engine_gap" in str(stopped.value)


def test_a_server_that_restarts_behind_its_label_ends_the_run(folder) -> None:
    with watched(folder) as (policy, server, model):
        step(policy, model, 0)
        shift(model)
        policy.begin_step(1)
        label = server.label
        server.start_over()
        server.label = label  # whatever made it look as before
        with pytest.raises(EngineError, match="other weights"):
            policy.rollouts(jobs(), step=True)


def test_a_restarted_server_costs_a_push_and_no_rollout(folder) -> None:
    with watched(folder) as (policy, server, model):
        step(policy, model, 0)
        shift(model)
        policy.begin_step(1)
        server.start_over()
        policy.rollouts(jobs(), step=True)
        assert len(server.pushes) == 3


def test_the_first_batch_of_a_version_is_watched_whatever_it_is_for(folder) -> None:
    with watched(folder, faults=("stale",)) as (policy, _, model):
        policy.refresh(0)
        policy.rollouts(jobs())
        shift(model)
        policy.refresh(1)
        with pytest.raises(EngineError, match="other weights"):
            policy.rollouts(jobs())


def test_rollouts_that_cut_the_distribution_are_not_compared(folder) -> None:
    with watched(folder) as (policy, _, _model):
        policy.refresh(0)
        policy.rollouts(jobs(), replace(policy.params, top_p=0.1))
        assert policy.tripwire is not None
        assert policy.tripwire.last is None


def test_a_step_is_watched_at_more_rows_than_another_batch_and_both_at_some_only(folder) -> None:
    with watched(folder) as (policy, _, _model):
        policy.refresh(0)
        rows: list[float] = []
        for of_step, count in ((False, FEW_ROWS), (False, FEW_ROWS), (True, STEP_ROWS)):
            policy.rollouts(jobs(count=count + 6), step=of_step)
            assert policy.tripwire is not None
            assert policy.tripwire.last is not None
            rows.append(policy.tripwire.last.rows)
        assert rows == [FEW_ROWS, FEW_ROWS, STEP_ROWS]


def rollout(model: Any, logprobs: tuple[float, ...]) -> Rollout:
    return Rollout("e", "c", (5, 6, 7), (8,) * len(logprobs), logprobs, "", Verdict(1.0, ""), 0)


@pytest.mark.parametrize("packing", [True, False])
@pytest.mark.parametrize("wrong", [float("nan"), -9999.0, -4.0])
def test_one_wrong_token_among_many_rows_is_found(packing: bool, wrong: float) -> None:
    model = tiny_model(TOKENIZER)
    watch = Tripwire(model, bound=1e-3, dtype=torch.float32, packing=packing)
    [honest] = watch._logprobs([rollout(model, (0.0, 0.0, 0.0))], 1.0)
    rows = [rollout(model, tuple(honest.tolist())) for _ in range(20)]
    watch.check(rows, version=1, temperature=1.0, step=True, place=str)
    rows[13] = rollout(model, (*honest.tolist()[:2], wrong))
    with pytest.raises(EngineError, match="after 1 steps 13 gives"):
        watch.check(rows, version=1, temperature=1.0, step=True, place=str)


def test_every_type_that_a_run_computes_in_has_a_bound() -> None:
    assert set(tripwire.BOUNDS) == {torch.float32, torch.bfloat16, torch.float16}


def test_the_temperature_of_the_rollouts_is_that_of_the_comparison(folder) -> None:
    with watched(folder) as (policy, _, _model):
        policy.refresh(0)
        policy.rollouts(jobs(), replace(policy.params, temperature=0.5), step=True)
        assert policy.tripwire is not None
        assert policy.tripwire.largest < 1e-4


def test_jobs_that_do_not_fit_the_servers_window_come_back_unscored(folder) -> None:
    with watched(folder, window=400) as (policy, server, _model):
        policy.refresh(0)
        made = policy.rollouts([Job(CONTEXTS[0], asked("1 + 1"), 0), Job(CONTEXTS[2], asked("2 + 1"), 1)], step=True)
        assert [r.verdict.scored for r in made] == [False, True]
        assert len(server.asked) == 1
        assert policy.skipped == 1
