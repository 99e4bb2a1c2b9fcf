"""A resumed run ends bit for bit where the unbroken one does, wherever it was cut or stopped."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from fastslow.config.settings import FastSlowConfig
from fastslow.fast.gepa import Adapter
from fastslow.files.sealed import Checkpoints
from fastslow.policy.policy import Policy
from fastslow.record.display import SilentDisplay
from fastslow.run.train import resume, train
from tests.support.points import arm
from tests.support.runs import stream_settings, tiny_settings

CLOCKS = ("wall_s", "step_time", "train_runtime", "samples_per_second", "steps_per_second", "fst/fast/seconds")


class Cut(BaseException):
    """Stands for a crash: nothing catches it, and nothing may tidy up behind it."""


def settings(folder: Path, **overrides: Any) -> FastSlowConfig:
    shape = {
        "eval_strategy": "steps", "eval_steps": 2, "save_time_share": 1.0, "keep_every": 1, "fast_metric_calls": 24,
    }  # fmt: skip
    if "stream" in overrides:
        return FastSlowConfig(**stream_settings(folder, **{**shape, **overrides}))
    return FastSlowConfig(**tiny_settings(folder, **{"max_steps": 4, **shape, **overrides}))


def without_clocks(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: without_clocks(v) for k, v in value.items() if not any(clock in k for clock in CLOCKS)}
    return [without_clocks(v) for v in value] if isinstance(value, list) else value


def left_by(run: Path) -> dict[str, Any]:
    """Everything a run leaves that is no clock."""
    found: dict[str, Any] = {}
    for path in sorted(run.rglob("*")):
        name = str(path.relative_to(run))
        if path.suffix == ".jsonl":
            found[name] = [without_clocks(json.loads(line)) for line in path.read_text().splitlines()]
        elif path.name in ("manifest.json", ".lock"):
            continue
        elif path.name == "state.json":
            state = json.loads(path.read_text())
            del state["recorder"]["positions"]["metrics.jsonl"]  # clocks have more or fewer digits
            clocks = {"recorder": {**state["recorder"], "wall": None, "elapsed": None}, "wall_time": None}
            found[name] = without_clocks({**state, **clocks})
            for rank in found[name]["processes"]["ranks"]:
                rank["metrics"] = without_clocks(rank["metrics"])
        elif path.suffix == ".json":
            found[name] = without_clocks(json.loads(path.read_text()))
        elif path.suffix == ".safetensors":
            found[name] = {k: (v.dtype, v.shape, digest(v)) for k, v in load_file(path).items()}
    return found


def digest(tensor: torch.Tensor) -> str:
    return hashlib.sha256(tensor.numpy().tobytes()).hexdigest()


def assert_same(run: Path, other: Path, *, checkpoints: bool = True) -> None:
    ours, theirs = (
        {name: left for name, left in left_by(path).items() if checkpoints or not name.startswith("checkpoint-")}
        for path in (run, other)
    )
    assert set(ours) == set(theirs)
    for name in ours:
        assert ours[name] == theirs[name], f"{name} differs"


ADAPTERS: dict[str, Any] = {
    "mode": "rl", "lora_r": 2, "beta": 0.1, "stream": "sequence", "stage_steps": 2, "eval_steps": 3,
    "validation_size": 2, "kl_examples": 0,
}  # fmt: skip
VARIANTS: dict[str, dict[str, Any]] = {
    "fst": {},
    "sparse": {
        "logging_steps": 3,
        "save_steps": 2,
        "eval_steps": 3,
        "beta": 0.1,
        "weight_decay": 0.1,
        "lead": "evidence",
        "slots": "adaptive",
        "fast_effort": "adaptive",
        "router": "triage",
    },
    "lora": {"lora_r": 2, "save_bundle": False},
    "after": {"mode": "rl_prompt"},
    "jumplora": {"adapter": "jumplora", **ADAPTERS},
    "stack": {"adapter_stages": "stack", **ADAPTERS},
    "merge": {"adapter_stages": "merge", **ADAPTERS},
    "shira": {"adapter": "shira", **ADAPTERS},
    "osf": {"adapter": "osf", **ADAPTERS},
    "corda": {"adapter": "corda", **ADAPTERS},
    "clusters": {
        "stream": "recur:2",
        "stage_steps": 1,
        "labels": "hidden",
        "clusters": "inferred",
        "eval_steps": 3,
        "lead": "evidence",
        "slots": "earned",
        "fast_effort": "adaptive",
    },
    "best": {"keep_every": 0, "keep_best": True, "lr_scheduler_type": "cosine", "router": "random:0.5,0.5,0.3,0.5"},
    "dice": {"router": "tests.support.dice.Dice", "save_bundle": False},
    "critic": {
        "mode": "rl",
        "advantages": "critic",
        "critic_warmup_steps": 1,
        "num_generations": 1,
        "loss_type": "grpo",
        "problems_per_step": 6,
    },
    "soft": {"mode": "prompt", "fast_weights": "soft", "soft_tokens": 100},
    "both": {"fast_weights": "both", "soft_tokens": 100, "beta": 0.1, "lead": "evidence"},
    "consolidate": {
        "mode": "consolidate",
        "stream": "recur:2",
        "stage_steps": 1,
        "clusters": "labels",
        "eval_steps": 3,
    },
    "updates": {"num_iterations": 2, "save_bundle": False, "dynamic_sampling": 2},
}
# Phase, call, before or after it: every kind of moment in a run of four steps. The first fast phase is before step 1.
CUTS = [
    ("fast", 1, False), ("fast", 6, False), ("proposal", 4, True), ("slow", 1, True), ("slow", 3, False),
    ("route", 4, True), ("update", 1, False), ("update", 2, True), ("update", 4, False), ("line", 4, True),
    ("line", 11, False), ("eval", 1, False), ("eval", 2, True), ("state", 1, True), ("state", 3, False),
    ("sync", 5, False), ("sync", 20, True), ("seal", 2, True), ("commit", 1, True), ("commit", 2, False),
    ("prune", 2, False), ("discard", 1, True), ("bundle", 1, False), ("bundle", 1, True), ("base", 1, False),
    ("base", 1, True), ("file", 2, False), ("file", 3, True), ("tidy", 1, False), ("tidy", 1, True),
]  # fmt: skip


@pytest.fixture(scope="session")
def whole(tmp_path_factory) -> Any:
    """Unbroken runs, each made once."""
    folder, made = tmp_path_factory.mktemp("whole"), {}

    def get(variant: str, seed: int) -> Path:
        path = folder / f"{variant}-{seed}"
        if path not in made:
            train(settings(folder, output_dir=str(path), seed=seed, **VARIANTS[variant]), display=SilentDisplay())
            made[path] = True
        return path

    return get


def cut_and_resume(whole: Path, variant: str, seed: int, cut: tuple[str, int, bool], monkeypatch) -> bool:
    """Run beside `whole`, cut, resume, compare. Returns whether the cut fell into the run at all."""
    run = whole.parent / f"cut-{whole.name}"
    shutil.rmtree(run, ignore_errors=True)

    def strike() -> None:
        raise Cut

    with monkeypatch.context() as patches:
        patches.setattr("fastslow.run.train._empty", lambda folder: None)  # a killed process empties nothing
        point, count, after = cut
        arm(point, count, strike, after=after, patch=patches.setattr)
        try:
            train(settings(whole.parent, output_dir=str(run), seed=seed, **VARIANTS[variant]), display=SilentDisplay())
            return False
        except Cut:
            pass
    if not (run / "config.yaml").exists():  # the cut fell into a trial of the settings, before there was a run
        return False
    torch.manual_seed(99)  # whatever happened in between
    assert resume(run, display=SilentDisplay())["status"] == "done"
    assert_same(whole, run)
    return True


SHORT = [
    ("fst", CUTS[1]), ("fst", CUTS[29]), ("sparse", CUTS[12]), ("lora", CUTS[4]), ("after", CUTS[24]),
    ("best", CUTS[19]), ("clusters", CUTS[14]), ("dice", CUTS[8]), ("updates", CUTS[7]), ("jumplora", CUTS[8]),
    ("stack", CUTS[8]), ("critic", CUTS[8]), ("consolidate", CUTS[8]), ("soft", CUTS[8]), ("both", CUTS[14]),
]  # fmt: skip


@pytest.mark.row(name="resume")
@pytest.mark.parametrize(("variant", "cut"), SHORT, ids=str)
def test_a_run_cut_off_and_resumed_ends_as_if_it_had_not_been(whole, variant, cut, monkeypatch) -> None:
    assert cut_and_resume(whole(variant, 3), variant, 3, cut, monkeypatch), "the cut never came"


@pytest.mark.faults
@pytest.mark.row(name="resume")
@pytest.mark.parametrize("seed", range(len(VARIANTS)))
def test_every_cut_of_every_kind_of_run_resumes_to_the_same_end(whole, seed, monkeypatch, record_property) -> None:
    """30 cuts of one kind of run a seed, so that every kind has its own: more than 50 cuts in all."""
    variant = list(VARIANTS)[seed]
    came = [cut for cut in CUTS if cut_and_resume(whole(variant, seed), variant, seed, cut, monkeypatch)]
    assert len(came) >= 20, f"only these cuts fell into the run: {came}"
    record_property("cases", len(came))


# Where the signal comes, and the step whose state is saved then. In a run of four steps fast phases come before the
# first and the third (`fast_at`: the one after so many steps), evaluations after the second and the fourth.
STOPS = [
    ("sparse", "fast_at", 2, 2), ("fst", "eval", 1, 2), ("after", "fast_at", 4, 4),
    *(
        pytest.param(*stop, marks=pytest.mark.faults)
        for stop in [
            ("fst", "fast_at", 0, 0), ("fst", "proposal_at", 2, 2), ("fst", "base", 1, 4), ("fst", "fast_at", 2, 2),
            ("updates", "eval", 2, 4),
        ]
    ),
]  # fmt: skip


def signal_at(point: str, count: int, monkeypatch) -> list[int]:
    """Have SIGTERM come at a place. Returns the numbers of rollouts that are asked for after it, as they come."""
    after: list[int] = []
    come = [False]

    def strike() -> None:
        if not come[0]:
            come[0] = True
            signal.raise_signal(signal.SIGTERM)

    real = Policy._roll_out

    def counted(policy, jobs, params):
        made = real(policy, jobs, params)
        if come[0]:
            after.append(len(made))
        return made

    monkeypatch.setattr(Policy, "_roll_out", counted)
    if not point.endswith("_at"):
        arm(point, count, strike, patch=monkeypatch.setattr)
        return after
    name = {"fast_at": "batch_evaluate", "proposal_at": "propose_new_texts"}[point]
    called = getattr(Adapter, name)

    def at_step(adapter, *args):
        if adapter.policy.version == count:
            strike()
        return called(adapter, *args)

    monkeypatch.setattr(Adapter, name, at_step)
    return after


@pytest.mark.parametrize(("variant", "point", "count", "step"), STOPS, ids=str)
def test_a_signal_ends_a_fast_phase_or_an_evaluation_at_once_and_a_resume_makes_it_again(
    whole, variant: str, point: str, count: int, step: int, monkeypatch
) -> None:
    unbroken = whole(variant, 3)
    run = unbroken.parent / f"stopped-{unbroken.name}"
    shutil.rmtree(run, ignore_errors=True)
    # Nothing is saved by itself before the last step.
    changed = {**VARIANTS[variant], "save_strategy": "steps", "save_steps": 4, "keep_every": 0}
    with monkeypatch.context() as patches:
        after = signal_at(point, count, patches)
        summary = train(settings(run.parent, output_dir=str(run), seed=3, **changed), display=SilentDisplay())
    assert (summary["status"], summary["steps"]) == ("stopped by SIGTERM", step)
    assert after == [], "rollouts were made for what is thrown away"
    assert Checkpoints(run).steps() == ([step] if step else [])
    torch.manual_seed(99)
    assert resume(run, display=SilentDisplay())["status"] == "done"
    assert_same(unbroken, run, checkpoints=False)


def test_saving_more_or_less_often_changes_nothing_but_the_checkpoints(tmp_path: Path) -> None:
    for name, overrides in {"each": {}, "none": {"save_strategy": "no"}}.items():
        train(settings(tmp_path, output_dir=str(tmp_path / name), keep_every=0, **overrides), display=SilentDisplay())
    assert_same(tmp_path / "each", tmp_path / "none")


def test_a_finished_run_keeps_only_its_milestones_and_resuming_it_changes_nothing(tmp_path: Path) -> None:
    config = settings(tmp_path, keep_every=3)
    summary = train(config, display=SilentDisplay())
    run = tmp_path / "run"
    assert sorted(path.name for path in run.glob("checkpoint-*")) == ["checkpoint-3"]
    before = {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.name != ".lock"}
    assert resume(run, display=SilentDisplay())["steps"] == summary["steps"]
    assert {p: p.stat().st_mtime_ns for p in run.rglob("*") if p.name != ".lock"} == before


def test_a_run_broken_off_before_its_first_checkpoint_starts_over(whole, monkeypatch) -> None:
    """And leaves nothing of the first attempt in its files."""
    assert cut_and_resume(whole("fst", 3), "fst", 3, ("state", 1, False), monkeypatch)
