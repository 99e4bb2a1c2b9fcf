"""Golden runs: every mode, routers, a stream with clusters, adapters, a resume, two processes, and the real model.

A refactoring must leave their numbers alone to the bit. `python -m tests.golden.record [CASE ...]` writes the recorded
results anew, which is right only where a change of arithmetic is meant, and the commit says which.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors.torch import load_file

from fastslow import FastSlowConfig, train
from tests.support.nursery import Nursery
from tests.support.runs import stream_settings, tiny_settings

ROOT = Path(__file__).parents[2]
RECORDED = Path(__file__).parent / "recorded"
# Measures of time, of the machine and of versions: not results.
NOT_RESULTS = (
    "wall_s", "step_time", "runtime", "per_second", "seconds", "machine", "versions", "total_flos", "entropy_coef",
)  # fmt: skip
WHOLE = ("metrics.jsonl", "evals.jsonl")
DIGESTED = ("routes.jsonl", "contexts.jsonl", "rollouts.jsonl")

SHAPE: dict[str, Any] = {"eval_strategy": "steps", "eval_steps": 2, "max_steps": 4, "keep_every": 2}
STREAM: dict[str, Any] = {"stream": "recur:2", "stage_steps": 1, "labels": "hidden", "clusters": "inferred"}
TINY: dict[str, dict[str, Any]] = {
    **{mode: {"mode": mode} for mode in ("fst", "rl", "prompt", "prompt_rl", "rl_prompt")},
    "success-gate": {"router": "success_gate"},
    "variance": {"router": "variance", "beta": 0.1, "num_generations": 4},
    "lora": {"lora_r": 2},
    "padded": {"packing": "off", "advantage_group": "context", "loss_type": "dapo"},
    "mishaps": {"retention_floor": 0.9, "retention_action": "rollback", "keep_best": True, "rehearsal_share": 0.3},
}


def threads(count: int) -> Callable[[], None]:
    """Set torch's threads; the way back. The order of a sum depends on them."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    return lambda: torch.set_num_threads(before)


def run_tiny(name: str) -> Path:
    """One run on the tiny model, in the current directory."""
    train(FastSlowConfig(**tiny_settings(Path(), **SHAPE, **TINY[name])))
    return Path("run")


def run_clusters() -> Path:
    """Three tasks, each twice, with contexts of their own for inferred clusters."""
    train(FastSlowConfig(**stream_settings(Path(), **{**SHAPE, "max_steps": 30, **STREAM})))
    return Path("run")


def run_resumed() -> Path:
    """A run that stops at its ceiling of time after the second step, and goes on."""
    from transformers import TrainerCallback

    from fastslow.cli.main import main

    class Stop(TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
            if state.global_step == 2:
                os.kill(os.getpid(), 15)

    train(FastSlowConfig(**tiny_settings(Path(), **SHAPE)), callbacks=[Stop()])
    assert main(["resume", "run"]) == 0
    return Path("run")


def run_two_processes() -> Path:
    """The fst run by two processes."""
    # Plain SGD: Adam turns the rounding of a gradient near zero into a whole step.
    plain = {"optim": "sgd", "learning_rate": 1.0, "problems_per_step": 4, "eval_steps": 3}
    settings = tiny_settings(Path(), **{**SHAPE, **plain})
    Path("recipe.yaml").write_text(yaml.safe_dump(settings))
    with Nursery(Path.cwd()) as nursery:
        codes = nursery.launch(["train", "--config", "recipe.yaml"], kind=None)
    assert codes == [0, 0], nursery.log()[-3000:]
    return Path("run")


def run_quickstart() -> Path:
    """One step of the quickstart on SmolLM2-135M: contexts give it a reward, and the rewards move its weights."""
    settings = yaml.safe_load((ROOT / "recipes/quickstart.yaml").read_text())
    del settings["compare"]  # of experiments, and no setting of a run
    settings |= {
        "max_steps": 1, "warmup_steps": 0, "problems_per_step": 2, "population_size": 2, "anchor_size": 4,
        "fast_metric_calls": 32, "bf16": False, "max_completion_length": 4,
        "validation_size": 8, "eval_strategy": "no", "eval_samples": 1, "eval_temperature": 0.0, "kl_examples": 2,
        "output_dir": "run",
    }  # fmt: skip
    train(FastSlowConfig(**settings))
    return Path("run")


CASES: dict[str, Callable[[], Path]] = {
    **{name: (lambda name=name: run_tiny(name)) for name in TINY},
    "clusters": run_clusters,
    "resumed": run_resumed,
    "two-processes": run_two_processes,
    "quickstart": run_quickstart,
}


def machine() -> dict[str, str]:
    """What the last bits depend on."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    cpu = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
    return {
        "cpu": cpu or platform.machine(),
        "capability": torch.backends.cpu.get_cpu_capability(),
        "torch": torch.__version__.partition("+")[0],
    }


def results_of(run: Path) -> dict[str, Any]:
    """What a run computed: rows of its small files, digests of the large ones and of every weight."""
    found: dict[str, Any] = {name: _lines(run / name) for name in WHOLE}
    found["digests"] = {name: _digest(json.dumps(_lines(run / name)).encode()) for name in DIGESTED}
    found["summary"] = without_clocks(json.loads((run / "summary.json").read_text()))
    found["population"] = json.loads((run / "bundle" / "population.json").read_text())
    for file in sorted((run / "bundle").glob("*.safetensors")):
        weights = load_file(file)
        joined = "".join(f"{name} {_digest(weights[name].numpy().tobytes())}\n" for name in sorted(weights))
        found["digests"][file.name] = _digest(joined.encode())
    return found


def without_clocks(value: Any) -> Any:
    """`value` less what is no result: clocks, and the folder of the test, which is part of absolute paths."""
    if isinstance(value, str):
        return value.replace(f"{Path.cwd()}/", "")
    if isinstance(value, dict):
        results = {without_clocks(k): v for k, v in value.items() if not any(word in k for word in NOT_RESULTS)}
        return {k: without_clocks(v) for k, v in results.items()}
    return [without_clocks(v) for v in value] if isinstance(value, list) else value


def _lines(path: Path) -> list[Any]:
    return [without_clocks(json.loads(line)) for line in path.read_text().splitlines()]


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]
