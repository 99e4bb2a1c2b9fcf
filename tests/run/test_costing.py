"""What the costs of a run depend on is read off its settings as the run would take them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.costs.published import EFFICIENCY, ELSEWHERE
from fastslow.costs.work import Range
from fastslow.run import costing
from fastslow.run.costing import Inputs, estimate, unknowns, work_of
from fastslow.run.preflight import needs_of
from tests.support.runs import tiny_settings

ONE = Inputs(gpus="1xH100")


def config(folder: Path, **overrides: Any) -> FastSlowConfig:
    return FastSlowConfig(**tiny_settings(folder, **overrides))


def test_preflight_and_the_cost_model_count_the_same_bytes(tmp_path: Path) -> None:
    settings = config(tmp_path, mode="rl", max_steps=4)
    made, needs = estimate(settings, ONE), needs_of(settings)
    assert {name: made.training_memory[name].typical for name in needs.memory} == needs.memory
    assert made.disk == needs.stored


@pytest.mark.parametrize(
    ("mode", "phases", "contexts", "trains"),
    [("fst", 3, 2, True), ("rl", 0, 1, True), ("prompt", 3, 2, False), ("rl_prompt", 3, 1, True)],
)
def test_the_work_is_that_of_the_mode(tmp_path: Path, mode: str, phases: int, contexts: int, trains: bool) -> None:
    work = work_of(config(tmp_path, mode=mode, max_steps=6), 1)
    assert (work.phases, work.contexts, work.trains) == (phases, contexts, trains)
    assert work.rollouts == 12


def test_soft_contexts_beside_frozen_weights_make_rollouts_in_slow_steps(tmp_path: Path) -> None:
    assert work_of(config(tmp_path, mode="prompt", max_steps=6, fast_weights="soft"), 1).trains


def test_rows_of_a_micro_batch_are_those_that_so_many_processes_would_take(tmp_path: Path) -> None:
    settings = config(tmp_path, problems_per_step=4, per_device_train_batch_size=16)
    assert (work_of(settings, 1).rows, work_of(settings, 2).rows, work_of(settings, 4).rows) == (16, 8, 4)
    with pytest.raises(BadInput, match="must divide by the 3 processes"):
        work_of(settings, 3)


def test_evaluations_count_every_context_sample_and_task(tmp_path: Path) -> None:
    work = work_of(config(tmp_path, max_steps=6, eval_strategy="steps", eval_steps=2, eval_samples=4), 1)
    assert work.evaluations == 3 + 1  # and the base in the end
    assert work.evaluated == 6 * 4 * (2 + 1)
    assert work_of(config(tmp_path, mode="rl"), 1).evaluated == 6


def test_the_efficiency_is_that_of_the_engine(tmp_path: Path, monkeypatch) -> None:
    for engine, efficiency in (("vllm", EFFICIENCY), ("transformers", ELSEWHERE)):
        settings = config(tmp_path)
        monkeypatch.setattr(settings, "engine", engine, raising=False)
        assert unknowns(work_of(settings, 1), ONE).efficiency == efficiency


def test_what_is_given_wins_over_what_is_assumed(tmp_path: Path) -> None:
    given = Inputs(gpus="1xH100", given={"answer": Range(1, 2, 3)})
    found = unknowns(work_of(config(tmp_path), 1), given)
    assert found.answer == Range(1, 2, 3)
    assert found.prompt == costing.PROMPT
    assert "given: answer" in found.source


def test_without_a_fast_channel_nothing_is_reused(tmp_path: Path) -> None:
    assert unknowns(work_of(config(tmp_path, mode="rl"), 1), ONE).reused == Range(0, 0, 0)


def test_a_pilot_that_is_another_run_is_said_to_be_one(tmp_path: Path) -> None:
    own = config(tmp_path)
    same = f"model: {own.model}\nmax_completion_length: {own.max_completion_length}\n"
    for text, said in (
        (same, ""),
        (f"{same}mode: rl\n", "mode rl"),
        ("max_completion_length: 8192", "8192"),
        ("[", ""),
    ):
        (tmp_path / "config.yaml").write_text(text)
        assert said in costing.unlike(own, str(tmp_path))
        assert bool(costing.unlike(own, str(tmp_path))) == bool(said)
    assert costing.unlike(own, str(tmp_path / "nowhere")) == ""
