"""Modes: when their fast phases come, and runs of those that do one channel after the other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from fastslow.config.settings import FastSlowConfig
from fastslow.core.modes import CANDIDATE, MODES, REFERENCE, SEQUENTIAL
from fastslow.record.display import SilentDisplay
from fastslow.run.train import train
from tests.support.runs import tiny_settings

STEPS, T = 7, 3


@pytest.mark.parametrize(
    ("mode", "due"),
    [
        ("fst", {0: [0], 3: [1], 6: [2]}),
        ("prompt", {0: [0], 3: [1], 6: [2]}),
        ("rl", {}),
        ("prompt_rl", {0: [0, 1, 2]}),
        ("rl_prompt", {7: [0, 1, 2]}),
    ],
)
def test_fast_phases_come_when_the_mode_says(mode, due):
    found = {step: list(MODES[mode].cycles_at(step, steps=STEPS, cycle_steps=T)) for step in range(STEPS + 1)}
    assert {step: cycles for step, cycles in found.items() if cycles} == due


@pytest.mark.parametrize("chosen", [False, True])
def test_a_mode_whose_contexts_are_no_part_of_what_it_learned_ships_the_seed_context(chosen: bool) -> None:
    with_contexts = {mode for mode in MODES.values() if mode.fast and not mode.consolidates}
    assert {mode.ships(chosen=chosen) for mode in with_contexts} == {"cluster" if chosen else "lead"}
    others = {mode for mode in MODES.values() if not mode.retrieves} - with_contexts
    assert {mode.ships(chosen=chosen) for mode in others} == {"seed"}
    assert {mode.ships(chosen=chosen) for mode in MODES.values() if mode.retrieves} == {"retrieved"}


def test_one_mode_is_the_reference_and_one_the_candidate() -> None:
    assert (REFERENCE.fast, REFERENCE.slow) == (False, True)
    assert (CANDIDATE.fast, CANDIDATE.slow, CANDIDATE.when) == (True, True, "between")
    assert SEQUENTIAL == ("rl_prompt", "prompt_rl")


def lines(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def run(folder: Path, **overrides) -> Path:
    settings = tiny_settings(folder, max_steps=4, eval_strategy="steps", eval_steps=2, save_bundle=False, **overrides)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    return Path(settings["output_dir"])


def test_contexts_first_then_weights_under_them(tmp_path):
    folder = run(tmp_path, mode="prompt_rl")
    phases = [(m["phase"], m["step"]) for m in lines(folder, "metrics.jsonl") if m["phase"] in ("fast", "slow")]
    assert phases == [("fast", 0), ("fast", 0), ("slow", 1), ("slow", 2), ("slow", 3), ("slow", 4)]
    used = [set(r["context_ids"]) for r in lines(folder, "routes.jsonl")]
    assert len(set.union(*used)) == len(used[0]) == 2, "the population stays as it was found"
    reused = {r["step"] for r in lines(folder, "rollouts.jsonl") if r["reused"]}
    assert not reused & {2, 3}, "rollouts of the fast phases are served for one cycle only"


def test_weights_first_then_contexts_for_them(tmp_path):
    folder = run(tmp_path, mode="rl_prompt")
    metrics = lines(folder, "metrics.jsonl")
    phases = [(m["phase"], m["step"]) for m in metrics if m["phase"] in ("fast", "slow", "eval")]
    assert phases[-4:] == [("eval", 4), ("fast", 4), ("fast", 4), ("eval", 4)], "measured on both sides of them"
    assert all(len(set(r["context_ids"])) == 1 for r in lines(folder, "routes.jsonl")), "the seed context alone"
    assert {c["policy_version"] for c in lines(folder, "contexts.jsonl")} == {4}, "tried on the final weights"
    before, after = [m for m in metrics if m["phase"] == "eval"][-2:]
    assert after["rollouts"]["slow"] == before["rollouts"]["slow"]
    assert after["rollouts"]["fast"] > before["rollouts"]["fast"] == 0
    summary = json.loads((folder / "summary.json").read_text())
    assert summary["accuracy"]["seed"] == pytest.approx(before["eval_seed_accuracy"]), "prompts move no weight"
    assert len(summary["population"]) == 2


def test_several_tasks_are_learned_in_turn_and_measured_all_along(tmp_path):
    tasks = ["reasoning_gym:gcd", "star_graph?degree=2&ids=10&path=2"]
    folder = run(tmp_path, task="", tasks=tasks, stage_steps=2)
    routes = lines(folder, "routes.jsonl")
    names = list(dict.fromkeys(r["task"] for r in routes))
    assert [[r["task"] for r in routes if r["step"] == step] for step in range(4)] == [
        [names[0]] * 3, [names[0]] * 3, [names[1]] * 3, [names[1]] * 3,
    ]  # fmt: skip
    evals = lines(folder, "evals.jsonl")
    measured = {(row["step"], row["weights"], row["context"], row["task"]) for row in evals}
    for name in names:
        assert {(2, "trained", "lead", name), (4, "trained", "lead", name), (4, "base", "seed", name)} <= measured
    summary = json.loads((folder / "summary.json").read_text())
    assert list(summary["tasks"]) == names
    accuracy = [summary["tasks"][name]["lead"] for name in names]
    assert summary["accuracy"]["lead"] == pytest.approx(sum(accuracy) / 2)
    # Worked examples come from the task at hand: none of a later one is seen before its time.
    first = [c["components"]["examples"] for c in lines(folder, "contexts.jsonl") if c["cycle"] == 0]
    assert any(first)
    assert not any("graph" in text for text in first)


def test_advantages_within_a_context_compare_its_rollouts_only(tmp_path):
    folder = run(tmp_path, advantage_group="context", population_size=2)
    assert json.loads((folder / "summary.json").read_text())["status"] == "done"
