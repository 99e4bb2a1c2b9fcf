"""The KL budget, rehearsal and the retention watch."""

from __future__ import annotations

import json
import random
import shutil
from collections import Counter
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any, cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.measurement import Measurement
from fastslow.core.types import Example
from fastslow.record.display import SilentDisplay
from fastslow.run.assemble import make_steering
from fastslow.run.train import resume, train
from fastslow.slow.kl_budget import KLBudget
from fastslow.slow.retention import Forgetting, RetentionWatch
from fastslow.slow.steering import Steering
from fastslow.streams import ScheduledStream, Setting, make_schedule
from fastslow.streams.epochs import EpochStream
from fastslow.streams.rehearsal import RehearsalStream
from tests.support.measurements import measurement
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.watch import grpo

# KL budget


def drifting(budget: KLBudget, *, push: float, pull: float, noise: float, steps: int, seed: int) -> list[float]:
    """The true KL of weights that rewards push away by `push` a step and the KL term pulls back, in proportion to beta
    and to the KL."""
    rng, kl, seen = random.Random(seed), 0.0, []
    for _ in range(steps):
        measured = max(0.0, kl * (1.0 + rng.gauss(0.0, noise)))
        seen.append(kl)
        budget.update(measured)
        kl = max(0.0, kl + push * budget.brake - pull * budget.beta * kl)
    return seen


def worst_average(kls: list[float], window: int = 20) -> float:
    return max(fmean(kls[i : i + window]) for i in range(len(kls) - window + 1))


@pytest.mark.parametrize(("pull", "noise"), [(0.0, 0.0), (1.0, 0.0), (1.0, 0.2), (30.0, 0.0), (30.0, 0.2)])
@pytest.mark.parametrize("push", [0.0005, 0.003, 0.02, 0.05])
def test_the_kl_stays_within_its_budget(push: float, pull: float, noise: float) -> None:
    """Never more than 10 % above the target on average over 20 steps, from weak drifts to such that cross the target in
    two steps. Where the KL term does not bite at all, the brake alone keeps it, if the measurement is exact."""
    for seed in range(5):
        kls = drifting(KLBudget(0.1, 1e-3), push=push, pull=pull, noise=noise, steps=400, seed=seed)
        assert worst_average(kls) <= 0.11


@pytest.mark.parametrize("push", [0.003, 0.01])
def test_the_budget_is_used_and_not_only_kept(push: float) -> None:
    kls = drifting(KLBudget(0.1, 1e-3), push=push, pull=1.0, noise=0.1, steps=400, seed=0)
    assert fmean(kls[-100:]) == pytest.approx(0.08, rel=0.15)


def test_without_drift_beta_comes_down_to_its_floor_and_rewards_are_not_braked() -> None:
    budget = KLBudget(0.1, 1e-3)
    drifting(budget, push=0.0, pull=1.0, noise=0.0, steps=200, seed=0)
    assert budget.beta == pytest.approx(1e-5)
    assert budget.brake == 1.0


@pytest.mark.parametrize("kl", [float("nan"), float("inf")])
def test_a_kl_that_is_no_number_changes_nothing(kl: float) -> None:
    budget = KLBudget(0.1, 1e-3)
    budget.update(0.05)
    before = budget.state_dict()
    budget.update(kl)
    assert budget.state_dict() == before


def test_a_budget_goes_on_from_its_state() -> None:
    whole, first, second = (KLBudget(0.1, 1e-3) for _ in range(3))
    kls = [0.01 * i for i in range(20)]
    for kl in kls:
        whole.update(kl)
    for kl in kls[:9]:
        first.update(kl)
    second.load_state_dict(json.loads(json.dumps(first.state_dict())))
    for kl in kls[9:]:
        second.update(kl)
    assert second.state_dict() == whole.state_dict()


def test_a_run_keeps_to_its_budget_where_the_same_run_without_leaves_it(tmp_path: Path) -> None:
    def kls(**settings) -> list[float]:
        trainer = tiny_trainer(tmp_path, mode="rl", max_steps=40, learning_rate=3e-3, max_grad_norm=1.0, **settings)
        trainer.train()
        return [row["kl"] for row in grpo(trainer).state.log_history if "kl" in row]

    free = kls(beta=1e-3)
    target = max(free) / 4
    kept = kls(beta=1e-3, kl_target=target)
    assert worst_average(free) > 1.5 * target, "nothing to keep: the test is void"
    assert worst_average(kept) <= 1.1 * target


# Rehearsal


def example(task: str, i: int) -> Example:
    return Example(f"{task}-{i}", task, "train", ({"role": "user", "content": f"{task} {i}"},))


def staged(share: float, seed: int = 0) -> RehearsalStream:
    tasks = [[example(task, i) for i in range(40)] for task in ("a", "b", "c")]
    setting = Setting(len(tasks), 20, 8, seed)
    return RehearsalStream(ScheduledStream(make_schedule("", setting), tasks, setting), share=share, seed=seed)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.25, 0.5])
def test_the_share_of_past_examples_is_the_one_that_was_set(share: float) -> None:
    stream = staged(share)
    late = [e.task for step in range(40, 60) for e in stream.batch(step)]
    # At step 50 of 60 the past is two fifths each of a and b, one fifth of c.
    assert late.count("c") / len(late) == pytest.approx(1.0 - share * 0.8, abs=0.04)
    assert abs(late.count("a") - late.count("b")) <= 0.12 * len(late)


def test_a_batch_with_rehearsal_repeats_no_example_and_keeps_its_size() -> None:
    stream = staged(0.5)
    for step in range(60):
        ids = [e.id for e in stream.batch(step)]
        assert len(ids) == 8
        assert step == 0 or Counter(ids).most_common(1)[0][1] == 1


def test_rehearsal_can_be_asked_for_any_step_at_any_time() -> None:
    forwards = [staged(0.3).batch(step) for step in range(30)]
    stream = staged(0.3)
    assert [stream.batch(step) for step in reversed(range(30))] == forwards[::-1]


@given(
    share=st.sampled_from([0.0, 0.3, 0.9]),
    moves=st.lists(st.tuples(st.integers(0, 40), st.sampled_from([0.0, 0.1, 0.5, 0.9])), max_size=4),
    size=st.integers(1, 5),
)
@settings(deadline=None)
def test_only_examples_that_really_came_are_rehearsed_whatever_the_share_did(share, moves, size) -> None:
    inner = EpochStream([example("a", i) for i in range(400)], batch_size=size, seed=0)  # none comes twice
    stream = RehearsalStream(inner, share=share, seed=0)
    came, seen = set(), []
    for step in range(40):
        for _, moved in filter(lambda move: move[0] == step, moves):
            stream.change(moved, step=step)
        ids = [e.id for e in stream.batch(step)]
        fresh = [e.id for e in inner.batch(step)]
        assert all(old in came for old in ids if old not in fresh), f"step {step} rehearses what never came"
        came.update(ids)
        seen.append(ids)
    resumed = RehearsalStream(inner, share=0.25, seed=0)
    resumed.load_state_dict(json.loads(json.dumps(stream.state_dict())))
    assert [[e.id for e in resumed.batch(step)] for step in range(40)] == seen, "a new share rewrote the past"


# Watch


def test_a_fall_below_the_floor_is_seen_and_chance_is_not() -> None:
    watch = RetentionWatch(0.9)
    watch.saw(["a"])
    assert watch.judge(10, {"a": (0.8, 100), "b": (0.9, 100)}) == []
    assert watch.judge(20, {"a": (0.70, 100), "b": (0.1, 100)}) == [], "0.70 + 0.046 is above 0.72; b was never trained"
    assert watch.judge(30, {"a": (0.60, 100)}) == [Forgetting("a", 0.60, 0.8, cast(Any, pytest.approx(0.72)))]
    assert (watch.strength, watch.good_step) == (2.0, 20)
    watch.saw(["b"])
    assert [f.task for f in watch.judge(40, {"a": (0.8, 100), "b": (0.1, 100)})] == []
    assert (watch.strength, watch.good_step) == (1.0, 40)


@pytest.mark.parametrize(
    ("peak", "accuracy", "examples", "fallen"),
    [
        (0.5, 0.0, 3, False),  # Wilson's upper end at 0 of n is 1 / (n + 1): 0.25 is not below 0.25
        (0.5, 0.0, 4, True),  # 0.2 is
        (0.2, 0.0, 8, False),  # 0.111 against 0.1
        (0.2, 0.0, 10, True),  # 0.091
        (1.0, 0.4, 24, False),  # 0.4 + 0.102
        (1.0, 0.4, 26, True),  # 0.4 + 0.098
    ],
)
def test_a_fall_lies_beyond_one_standard_error_of_a_task_at_its_floor(peak, accuracy, examples, fallen) -> None:
    watch = RetentionWatch(0.5)
    watch.saw(["a"])
    watch.judge(1, {"a": (peak, 1000)})
    assert bool(watch.judge(2, {"a": (accuracy, examples)})) is fallen


def test_strength_doubles_with_each_fall_and_has_an_end() -> None:
    watch = RetentionWatch(0.9)
    watch.saw(["a"])
    watch.judge(0, {"a": (1.0, 100)})
    strengths = []
    for step in range(8):
        watch.judge(step, {"a": (0.1, 100)})
        strengths.append(watch.strength)
    assert strengths == [2, 4, 8, 16, 32, 64, 64, 64]
    fresh = RetentionWatch(0.9)
    fresh.load_state_dict(json.loads(json.dumps(watch.state_dict())))
    assert fresh.judge(9, {"a": (0.1, 100)}) == watch.judge(9, {"a": (0.1, 100)})


WATCHED = {
    "mode": "rl", "max_steps": 6, "eval_strategy": "steps", "eval_steps": 1, "retention_floor": 0.9, "beta": 1e-3,
    "save_bundle": False, "save_strategy": "steps", "save_time_share": 1.0,
}  # fmt: skip


@pytest.fixture
def falling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Accuracy that falls at the third evaluation and stays there; everything else is real."""
    from fastslow.evaluation.evaluator import Evaluator

    measure = Evaluator.measure

    def measured(self, *args, **kwargs) -> list[Measurement]:
        accuracy = 0.9 if self._policy.version < 3 else 0.1
        return [replace(one, accuracy=accuracy, n=100) for one in measure(self, *args, **kwargs)]

    monkeypatch.setattr(Evaluator, "measure", measured)


def lines(run: Path) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_fall_raises_the_kl_coefficient(tmp_path: Path, falling) -> None:
    train(FastSlowConfig(**tiny_settings(tmp_path, **WATCHED, retention_action="kl")), display=SilentDisplay())
    betas = [row["fst/kl/beta"] for row in lines(tmp_path / "run") if "fst/kl/beta" in row]
    assert betas == pytest.approx([1e-3, 1e-3, 1e-3, 2e-3, 4e-3, 8e-3])
    falls = [row for row in lines(tmp_path / "run") if row["phase"] == "retention"]
    assert [(row["step"], row["accuracy"], row["peak"]) for row in falls] == [(s, 0.1, 0.9) for s in (3, 4, 5, 6)]


def test_a_fall_has_more_rehearsed(tmp_path: Path, falling) -> None:
    train(FastSlowConfig(**tiny_settings(tmp_path, **WATCHED, retention_action="rehearse")), display=SilentDisplay())
    shares = [row["fst/rehearsal_share"] for row in lines(tmp_path / "run") if "fst/rehearsal_share" in row]
    assert shares == pytest.approx([0.0, 0.0, 0.0, 0.2, 0.4, 0.5])


def budgeted() -> Steering:
    return make_steering(FastSlowConfig(bf16=False, kl_target=1.0, beta=1e-3), staged(0.0))


def test_the_kl_of_a_step_is_that_of_its_tokens() -> None:
    """However a step is cut into micro-batches: 30 tokens at 0.9 and 10 at 0.5 are 40 at 0.8."""
    whole, parts = budgeted(), budgeted()
    whole.measured(0.8, 40)
    for kl, tokens in ((0.9, 30), (0.5, 10)):
        parts.measured(kl, tokens)
    for steering in (whole, parts):
        steering.next_step(["a"])
    assert parts.beta == pytest.approx(whole.beta)
    assert parts.advantage_scale == pytest.approx(whole.advantage_scale)


def test_what_was_measured_of_a_step_survives_a_kill_and_older_checkpoints_are_read() -> None:
    saved, resumed, older = budgeted(), budgeted(), budgeted()
    for kl, tokens in ((0.9, 30), (0.5, 10)):
        saved.measured(kl, tokens)
    state = json.loads(json.dumps(saved.state_dict()))
    resumed.load_state_dict(state)
    older.load_state_dict({**state, "kls": [0.8]})
    for steering in (saved, resumed, older):
        steering.next_step(["a"])
    assert resumed.beta == saved.beta == pytest.approx(older.beta)


def test_a_usual_share_of_more_than_half_is_not_lowered_by_a_fall() -> None:
    args = FastSlowConfig(bf16=False, rehearsal_share=0.8, retention_floor=0.9, retention_action="rehearse")
    steering = make_steering(args, staged(0.8))
    steering.next_step(["a"])
    for step, accuracy in ((10, 0.9), (20, 0.1), (30, 0.9)):
        steering.judge(step, [measurement(task="a", accuracy=accuracy, n=100)], "lead")
        assert steering.metrics(step + 10)["fst/rehearsal_share"] == 0.8


def test_a_share_changes_no_batch_that_clusters_or_a_fast_phase_have_looked_at() -> None:
    """Cycles of six steps: what a fall at step 8 calls for begins at step 12."""
    settings = {"retention_floor": 0.9, "retention_action": "rehearse", "slow_steps_per_cycle": 6}
    for mode, first in (("fst", 12), ("rl", 8)):
        stream = staged(0.0)
        steering = make_steering(FastSlowConfig(bf16=False, mode=mode, **settings), stream)
        steering.next_step(["a"])
        seen = [[e.id for e in stream.batch(step)] for step in range(12)]
        for step, accuracy in ((4, 0.9), (8, 0.1)):
            steering.judge(step, [measurement(task="a", accuracy=accuracy, n=100)], "lead")
        assert [steering.metrics(step)["fst/rehearsal_share"] for step in (first - 1, first)] == [0.0, 0.2]
        assert [[e.id for e in stream.batch(step)] for step in range(first)] == seen[:first]


def test_a_fall_takes_the_weights_back_to_the_last_good_step(tmp_path: Path, falling) -> None:
    """The weights of the checkpoint made right after the fall are those of step 2, bit for bit."""
    from safetensors.torch import load_file

    settings = {**WATCHED, "max_steps": 3, "keep_every": 1, "retention_action": "rollback"}
    notes: list[str] = []
    display = SilentDisplay()
    display.note = notes.append  # type: ignore[method-assign]
    train(FastSlowConfig(**tiny_settings(tmp_path, **settings)), display=display)
    weights = {step: load_file(tmp_path / "run" / f"checkpoint-{step}" / "model.safetensors") for step in (1, 2, 3)}
    assert all(torch.equal(weights[3][name], weights[2][name]) for name in weights[2])
    assert any(not torch.equal(weights[1][name], weights[2][name]) for name in weights[2])
    assert any("the weights go back to step 2" in note for note in notes)


@pytest.mark.parametrize("every", [1, 2])
def test_what_ships_after_a_fall_is_what_its_numbers_are_of(tmp_path: Path, monkeypatch, every: int) -> None:
    """The last evaluation, within the steps or after them, takes the weights back, and is made again of these."""
    from safetensors.torch import load_file

    from fastslow.evaluation.evaluator import Evaluator

    measure, seen = Evaluator.measure, []

    def measured(self, *args, **kwargs) -> list[Measurement]:
        seen.append(self._policy.version)
        accuracy = 0.1 if seen.count(3) == 1 and seen[-1] == 3 else 0.9
        return [replace(one, accuracy=accuracy, n=100) for one in measure(self, *args, **kwargs)]

    monkeypatch.setattr(Evaluator, "measure", measured)
    settings = {**WATCHED, "max_steps": 3, "eval_steps": every, "keep_every": 1, "save_bundle": True, "keep_best": True}
    config = FastSlowConfig(**tiny_settings(tmp_path, **settings, retention_action="rollback"))
    summary = train(config, display=SilentDisplay())
    assert seen.count(3) == 2
    assert summary["accuracy"]["seed"] == 0.9
    ships, good = (load_file(tmp_path / "run" / name / "model.safetensors") for name in ("bundle", "checkpoint-2"))
    assert all(torch.equal(ships[name], good[name]) for name in good)
    (fall,) = [row for row in lines(tmp_path / "run") if row["phase"] == "retention"]
    assert (fall["step"], fall["accuracy"], fall["back_to"]) == (3, 0.1, 2)
    rows = [json.loads(line) for line in (tmp_path / "run/evals.jsonl").read_text().splitlines()]
    assert [row["accuracy"] for row in rows if row["step"] == 3 and row["weights"] == "trained"] == [0.9]


def test_a_run_taken_up_from_a_milestone_goes_without_a_checkpoint_that_was_dropped_since(tmp_path, falling) -> None:
    settings = {**WATCHED, "max_steps": 4, "keep_every": 1, "retention_action": "rollback"}
    train(FastSlowConfig(**tiny_settings(tmp_path, **settings)), display=SilentDisplay())
    run = tmp_path / "run"
    shutil.rmtree(run / "checkpoint-2")
    (run / "summary.json").unlink()
    resume(run, checkpoint="checkpoint-3", display=SilentDisplay())
    falls = [row for row in lines(run) if row["phase"] == "retention"]
    assert [(row["step"], row["back_to"]) for row in falls] == [(3, 2), (4, None)]


@pytest.mark.parametrize("action", ["kl", "rehearse", "rollback"])
def test_a_steered_run_that_is_resumed_ends_as_the_unbroken_one(tmp_path: Path, falling, action: str) -> None:
    settings = {**WATCHED, "keep_every": 1, "retention_action": action, "kl_target": 0.01}
    train(FastSlowConfig(**tiny_settings(tmp_path, **settings)), display=SilentDisplay())
    run = tmp_path / "run"
    whole = (run / "checkpoint-6" / "model.safetensors").read_bytes()
    (run / "summary.json").unlink()
    resume(run, checkpoint="checkpoint-4", display=SilentDisplay())
    assert (run / "checkpoint-6" / "model.safetensors").read_bytes() == whole


@pytest.mark.parametrize(
    ("settings", "word"),
    [
        ({"kl_target": 0.1, "beta": 0.0}, "beta above 0"),
        ({"kl_target": -0.1}, "kl_target"),
        ({"rehearsal_share": 1.0}, "rehearsal_share"),
        ({"retention_floor": 1.5}, "retention_floor"),
        ({"retention_floor": 0.9, "eval_strategy": "no"}, "eval_strategy 'no'"),
        ({"retention_action": "rolback"}, "Did you mean 'rollback'"),
        ({"retention_action": "kl", "retention_floor": 0.9, "beta": 0.0}, "must be above 0"),
        ({"retention_action": "rollback", "retention_floor": 0.9, "save_strategy": "no"}, "save_strategy"),
        ({"min_slow_share": 1.2}, "min_slow_share"),
    ],
)
def test_settings_that_cannot_work_are_refused(settings: dict, word: str) -> None:
    with pytest.raises(BadInput, match=word):
        FastSlowConfig(bf16=False, **settings)
