"""Run directories made by hand, in the form that docs/run-directory.md describes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

TASK = "reasoning_gym:gcd"
RL = [(10, 0.1, 0.2), (20, 0.2, 0.6), (30, 0.4, 1.0)]
FST = [(10, 0.4, 0.25), (20, 0.6, 0.5), (30, 0.8, 0.9)]


def write_lines(path: Path, rows: Iterable[Any]) -> None:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def read_lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def make_run(
    folder: Path, mode: str, seed: int, points, *, done: bool = True, cost: int = 64,
    closing: Mapping[str, float] | None = None, **config,
) -> Path:  # fmt: skip
    """`points`: (step, accuracy, kl) of every evaluation; `cost`: rollouts a step; `closing`: accuracies at the end."""
    folder.mkdir(parents=True)
    settings = {"mode": mode, "seed": seed, "task": TASK, "model": "tiny", **config}
    (folder / "config.yaml").write_text(yaml.safe_dump(settings))
    context = "seed" if mode == "rl" else "lead"
    rows = [
        {
            "phase": "eval", "step": step, "wall_s": 2.0 * step,
            "rollouts": {"slow": cost * step, "fast": 0, "reused": 0}, "tokens": {"slow": 10 * cost * step, "fast": 0},
            f"eval_{context}_accuracy": y, f"eval_{context}_kl": kl,
        }
        for step, y, kl in points
    ]  # fmt: skip
    write_lines(folder / "metrics.jsonl", rows)
    (folder / "evals.jsonl").write_text("")
    if done:
        last = points[-1]
        summary = {
            "status": "done", "mode": mode, "task": TASK, "steps": last[0], "rollouts": rows[-1]["rollouts"],
            "accuracy": {"base_seed": 0.1, "base_lead": 0.2, context: last[1], **(closing or {})},
            "kl_to_base": {context: last[2]},
        }  # fmt: skip
        (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def make_whole_run(
    folder: Path, mode: str, seed: int, *, steps: int = 30, every: int = 10, say: Callable[[str], str] = str, **config
) -> Path:
    """A run with every file a real one has. `say` makes the texts that a model or user wrote: say('completion')."""
    points = [
        (s, min(0.95, (0.02 if mode == "rl" else 0.05) * s / 2 + 0.01 * seed), 0.01 * s)
        for s in range(every, steps + 1, every)
    ]
    make_run(folder, mode, seed, points, task=say("task"), **config)
    fast = mode != "rl"
    lines = [line for step in range(steps) for line in _step(step, fast)]
    evaluations = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    write_lines(folder / "metrics.jsonl", sorted([*lines, *evaluations], key=lambda row: row["step"]))
    measured = {"task": say("task"), "n": 16, "samples": 4, "unscored": 0, "split": "validation"}
    rows = [
        {"step": step, "weights": "trained", "context": c, "accuracy": y, "kl": kl, **measured}
        for step, y, kl in points
        for c in (("seed", "lead", "mean") if fast else ("seed",))
    ]
    rows += [
        {"step": steps, "weights": "base", "context": c, "accuracy": 0.03, "kl": 0.0, **measured}
        for c in ("seed", "lead")
    ]
    write_lines(folder / "evals.jsonl", rows)
    routes = [
        {"step": s, "example_id": "e", "task": "t", "route": "both" if s % 3 else "skip", "router": say("router")}
        for s in range(steps)
    ]
    write_lines(folder / "routes.jsonl", routes)
    write_lines(folder / "rollouts.jsonl", [_rollout(s, i, say) for s in (0, steps - 1) for i in range(4)])
    contexts = _contexts(steps, say) if fast else []
    write_lines(folder / "contexts.jsonl", contexts)
    if contexts:
        seed_context = {
            "id": "seed0000",
            "components": {"instruction": "Answer.", "examples": ""},
            "parents": [],
            "proposer": "seed",
        }
        bundle = folder / "bundle"
        bundle.mkdir()
        archive = [seed_context, *({k: c[k] for k in ("id", "components", "parents", "proposer")} for c in contexts)]
        members = [c["id"] for c in contexts if c["accepted"]][-3:]
        (bundle / "population.json").write_text(
            json.dumps({"seed": "seed0000", "members": members, "archive": archive})
        )
    summary = json.loads((folder / "summary.json").read_text())
    summary |= {
        "task": say("task"), "wall_s": {"fast": 10.0, "rollout": 40.0, "eval": 5.0, "update": 60.0, "total": 115.0},
        "tokens": {"slow": 90_000, "fast": 12_000}, "reflection": {"calls": 3, "failures": 0, "cost_usd": None},
        "machine": {"cpu": say("cpu"), "threads": 2}, "versions": {"python": "3.11", "torch": say("torch")},
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(summary))
    return folder


def make_comparison(folder: Path, kind: str, cells: Sequence[Mapping[str, Any]], reference: str = "rl") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    plan = {"kind": kind, "recipe": "recipes/x.yaml", "reference": reference, "cells": list(cells)}
    (folder / "comparison.json").write_text(json.dumps(plan))
    return folder


def _step(step: int, fast: bool) -> list[dict[str, Any]]:
    spent = {
        "wall_s": 2.0 * step,
        "rollouts": {"slow": 64 * step, "fast": 0},
        "tokens": {"slow": 640 * step, "fast": 0},
    }
    slow = {
        "phase": "slow", "step": step + 1, **spent, "reward": 0.01 * step, "entropy": 2 / (1 + step),
        "frac_reward_zero_std": 0.5, "completions/mean_length": 12.0,
    }  # fmt: skip
    if not fast or step % 5:
        return [slow]
    phase = {
        "phase": "fast", "step": step, **spent, "fst/fast/frontier_size": 3, "fst/fast/metric_calls": 128,
        "fst/fast/proposals": 6, "fst/fast/accepted": 2, "fst/fast/lm_prompt_tokens": 900,
        "fst/fast/lm_completion_tokens": 100, "fst/fast/lead_anchor_score": 0.4, "fst/fast/lm_calls": 1,
    }  # fmt: skip
    return [phase, slow]


def _rollout(step: int, at: int, say) -> dict[str, Any]:
    return {
        "step": step, "task": say("task"), "example_id": f"e{at}", "question": say("question"),
        "context_id": say("context"),
        "completion": say("completion"), "reward": [0.0, 1.0, None, 0.5][at % 4], "feedback": say("feedback"),
        "reused": False,
    }  # fmt: skip


def _contexts(steps: int, say) -> list[dict[str, Any]]:
    rows, parent = [], "seed0000"
    for at in range(0, steps, 5):
        for accepted in (True, False):
            name = f"ctx{at:05}{accepted:d}"
            examples = json.dumps([{"question": say("worked question"), "answer": say("worked answer")}])
            rows.append(
                {
                    "step": at, "id": name, "parents": [parent], "proposer": say("proposer"),
                    "component": say("component"),
                    "components": {"instruction": f"{say('instruction')}\nRule {at}: be brief.", "examples": examples},
                    "accepted": accepted, "reason": None if accepted else say("reason"),
                    "minibatch_scores": {"a": 1.0, "b": 0.5}, "parent_minibatch_scores": {"a": 0.0, "b": 0.5},
                    "anchor_scores": {"a": 0.5} if accepted else None,
                }
            )  # fmt: skip
        parent = f"ctx{at:05}1"
    return rows
