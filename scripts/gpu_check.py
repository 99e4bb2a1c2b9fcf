"""What can be checked on a single GPU in a quarter of an hour, and is written down nowhere else.

    python scripts/gpu_check.py                      # on a GPU: writes results/gpu-check-NAME.json
    python scripts/gpu_check.py --device cpu --tiny  # the same steps on a tiny model, to try the script; writes nothing

    G1  `fst` in bf16: log-probabilities of sampling against those of training, peak memory against the cost model
    G2  FSDP2 with one process against whole copies: losses, a checkpoint, a resume
    G3  layers of Qwen3-8B's shape: seconds and memory by layer and of the head, made up to the whole model, against the
        cost model

Not checked, as it takes more than one GPU: NCCL between GPUs, weights sent to servers, a server beside the trainer.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.checkpoint import checkpoint
from transformers import AutoConfig, AutoModelForCausalLM

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT / "src"), str(ROOT)]

from fastslow.config.settings import FastSlowConfig  # noqa: E402
from fastslow.core.seeding import derive_seed  # noqa: E402
from fastslow.costs import seconds  # noqa: E402
from fastslow.costs.machines import GPUS, Gpu  # noqa: E402
from fastslow.costs.memory import HEAD_ROWS, Training, passing, standing  # noqa: E402
from fastslow.costs.published import MFU  # noqa: E402
from fastslow.costs.shape import ModelShape, shape_of, shipped_config  # noqa: E402
from fastslow.files.run_directory import machine, versions  # noqa: E402
from fastslow.policy.policy import Job  # noqa: E402
from fastslow.policy.token_trees import Row  # noqa: E402
from fastslow.policy.trials import plain_logprobs  # noqa: E402
from fastslow.record.recorder import Recorder  # noqa: E402
from fastslow.run.trainer import FastSlowTrainer  # noqa: E402

FSDP2 = {
    "ACCELERATE_USE_FSDP": "true", "FSDP_VERSION": "2", "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_RESHARD_AFTER_FORWARD": "true", "FSDP_CPU_RAM_EFFICIENT_LOADING": "false",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
}  # fmt: skip
"""As recipes/accelerate/fsdp2-8gpu.yaml has it, for a single process."""
GAP_BOUND = 0.05
"""Nats between sampling and training in bf16 that would be a reason to look: ten times the rounding of bf16 in logits
of size one. To be set anew from what this script measures."""
REPEATS = 3


def settings(folder: Path, *, tiny: bool, **overrides: Any) -> dict[str, Any]:
    """The settings of a small run of both channels."""
    if tiny:
        from tests.support.runs import tiny_settings

        return tiny_settings(folder, **{"max_steps": 3, **overrides})
    return {
        "model": "smollm2-135m", "task": "reasoning_gym:products?max_terms=2", "output_dir": str(folder / "run"),
        "max_steps": 3, "slow_steps_per_cycle": 3, "problems_per_step": 8, "num_generations": 8, "population_size": 4,
        "anchor_size": 8, "fast_metric_calls": 80, "max_completion_length": 256, "eval_strategy": "no",
        "validation_size": 16, "learning_rate": 1e-5, "warmup_steps": 0, "bf16": True, **overrides,
    }  # fmt: skip


# G1


def check_bf16(device: torch.device, tiny: bool) -> dict[str, Any]:
    """Train three steps, then hold log-probabilities of sampling and the peak of memory against what they should be."""
    with tempfile.TemporaryDirectory() as folder, peak_memory(device) as peak:
        config = FastSlowConfig(**settings(Path(folder), tiny=tiny, use_cpu=device.type == "cpu", bf16=not tiny))
        trainer = FastSlowTrainer(config, recorder=Recorder(None))
        trainer.train()
        used = peak()
        gaps = list(_gaps(trainer, config))
    shape, rows = shape_of(trainer.model), config.per_device_train_batch_size
    prompt = max(len(trainer.policy.prompt_ids(trainer.population.seed, e)) for e in trainer.parts.task.split("train"))
    how = Training(1, 1, True, 2, references=1)
    parts = standing(shape, how) | passing(shape, how, rows * (prompt + config.max_completion_length))
    predicted = sum(parts.values())
    return {
        "dtype": "bfloat16" if config.bf16 else "float32",
        "rows": len(gaps), "gap_max": max(map(max, gaps)), "gap_mean": _mean([g for row in gaps for g in row]),
        "gap_is_small": max(map(max, gaps)) <= GAP_BOUND,
        "peak_bytes": used, "predicted_bytes": predicted, "parts": parts,
        "measured_over_predicted": used / predicted if used else None,
    }  # fmt: skip


def _gaps(trainer: FastSlowTrainer, config: FastSlowConfig) -> Iterator[list[float]]:
    """Yield of fresh rollouts by how much each token's log-probability differs between sampling and a plain forward."""
    policy, context = trainer.policy, trainer.population.lead
    policy.begin_step(trainer.step)
    examples = trainer.parts.task.split("train")[:16]
    jobs = [Job(context, e, derive_seed(0, "gap", i)) for i, e in enumerate(examples)]
    kind = trainer.slow.device.type
    for rollout in policy.rollouts(jobs):
        row = Row((*rollout.prompt_ids, *rollout.completion_ids), len(rollout.completion_ids))
        with torch.autocast(kind, torch.bfloat16, enabled=bool(config.bf16)):
            again = plain_logprobs(trainer.model, row, temperature=config.temperature)
        yield [abs(a - b) for a, b in zip(again.tolist(), rollout.logprobs, strict=True)]


# G2


def check_fsdp2(device: torch.device, tiny: bool) -> dict[str, Any]:
    """Train the same run on whole copies and under FSDP2; stop and resume the second. With one process on a GPU; with
    two on a CPU, where accelerate is made to shard as the tests do."""
    with tempfile.TemporaryDirectory() as folder:
        place, runs = Path(folder), {}
        for name, environment, steps in (("whole", {}, 4), ("shards", FSDP2, 4), ("cut", FSDP2, 2)):
            own = settings(place, tiny=tiny, bf16=False, max_steps=4, output_dir=str(place / name), keep_every=1)
            recipe = place / f"{name}.yaml"
            recipe.write_text(json.dumps(own))
            stop = ["--max_minutes", "0.0001"] if steps < 4 else []
            _command(["train", "--config", str(recipe), *stop], environment, device)
            if stop:
                _command(["resume", str(place / name), "--max_minutes", "60"], environment, device)
            rows = map(json.loads, (place / name / "metrics.jsonl").read_text().splitlines())
            runs[name] = [row["loss"] for row in rows if row["phase"] == "slow"]
        bundle = {name: (place / name / "bundle/model.safetensors").exists() for name in runs}
    off = max(abs(a - b) for a, b in zip(runs["whole"], runs["shards"], strict=True))
    return {"losses": runs, "largest_difference": off, "bundles": bundle,
            "resumed_equals_unbroken": runs["cut"][-len(runs["shards"]) :] == runs["shards"]}  # fmt: skip


ON_A_CPU = (
    "import sys; from tests.support.sharding import shard_on_cpu; from fastslow.cli.main import main; "
    "shard_on_cpu(); sys.exit(main(sys.argv[1:]))"
)


def _command(arguments: list[str], environment: dict[str, str], device: torch.device) -> None:
    """Run fastslow as a launcher would."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--rdzv_backend=c10d", "--rdzv_endpoint=127.0.0.1:0"]
    if device.type == "cuda":
        plain = [sys.executable]
        command = [*([*launch, "--nproc_per_node=1"] if environment else plain), "-m", "fastslow", *arguments]
    else:
        environment = {**environment, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1"}
        command = [*launch, "--nproc_per_node=2", "--no-python", sys.executable, "-c", ON_A_CPU, *arguments]
    paths = f"{ROOT / 'src'}:{ROOT}"
    ended = subprocess.run(command, env={**os.environ, **environment, "PYTHONPATH": paths}, capture_output=True,
                           text=True, check=False, timeout=420)  # fmt: skip
    if ended.returncode:
        raise RuntimeError(f"{' '.join(arguments[:1])} ended with {ended.returncode}: {ended.stderr[-600:]}")


# G3


def check_shape(device: torch.device, tiny: bool) -> dict[str, Any]:
    """Measure forward and backward of a few layers of Qwen3-8B's shape, and make them up to all 36."""
    whole = shipped_config("Qwen/Qwen3-8B")
    assert whole is not None
    few, many, lengths = (1, 2, (64, 128)) if tiny else (4, 8, (4096, 12288))
    if tiny:
        whole = _with(whole, **TINY)
    with torch.device("meta"):
        shape = shape_of(AutoModelForCausalLM.from_config(whole))
    found: dict[str, Any] = {"few": few, "many": many}
    for length in lengths:
        measured = {layers: _measure_layers(whole, layers, length, device) for layers in (few, many)}
        a, b = measured[few], measured[many]
        layer = {key: (b[key] - a[key]) / (many - few) for key in ("seconds", "peak_bytes")}
        rest = {key: a[key] - few * layer[key] for key in layer}  # head, embedding and what does not grow with layers
        total = rest["seconds"] + shape.layers * layer["seconds"]
        found[str(length)] = {
            "layer_ms": 1000 * layer["seconds"], "layer_bytes": layer["peak_bytes"], "head_ms": 1000 * a["head"],
            "rest_ms": 1000 * rest["seconds"], "whole_model_seconds": total,
            **_against_the_model(shape, length, total, device),
        }  # fmt: skip
    return found


TINY = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 4, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "vocab_size": 512}  # fmt: skip


def _with(config: Any, **changes: Any) -> Any:
    """Return the configuration with changes, its list of kinds of layers made anew."""
    settings: dict[str, Any] = {**config.to_dict(), "layer_types": None, **changes}
    return AutoConfig.for_model(**settings)


def _measure_layers(whole: Any, layers: int, length: int, device: torch.device) -> dict[str, float]:
    """Return seconds of a forward and backward over one row, those of the head alone, and the peak of memory."""
    config = _with(whole, num_hidden_layers=layers)
    with torch.device(device):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32, attn_implementation="sdpa").train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    ids = torch.randint(0, config.vocab_size, (1, length), device=device)

    def body() -> torch.Tensor:
        return model.model(input_ids=ids, use_cache=False).last_hidden_state[0]

    def score(hidden: torch.Tensor, token: torch.Tensor) -> torch.Tensor:
        return model.lm_head(hidden).float().log_softmax(-1).gather(1, token[:, None]).sum()

    def head(hidden: torch.Tensor) -> torch.Tensor:
        parts = zip(hidden.split(HEAD_ROWS), ids[0].split(HEAD_ROWS), strict=True)
        return torch.stack([checkpoint(score, h, t, use_reentrant=False) for h, t in parts]).sum()

    def step() -> None:
        with torch.autocast(device.type, torch.bfloat16):
            head(body()).backward()
        model.zero_grad(set_to_none=False)

    def head_alone() -> None:
        hidden = torch.randn(length, config.hidden_size, device=device, dtype=torch.bfloat16, requires_grad=True)
        with torch.autocast(device.type, torch.bfloat16):
            head(hidden).backward()

    with peak_memory(device) as peak:
        took = {"seconds": _time(step, device), "peak_bytes": peak(), "head": _time(head_alone, device)}
    del model
    return took


def _against_the_model(shape: ModelShape, length: int, total: float, device: torch.device) -> dict[str, Any]:
    """Return what the cost model says of the same step, in its range, and the MFU that was reached."""
    flops = length * 4 * seconds.forward_flops(shape, length=length)
    gpu = _gpu(device)
    if gpu is None:
        return {"flops": flops}
    at = {case: seconds.update(shape, gpu, tokens=length, length=length, gpus=1, mfu=mfu, forwards=4)
          for case, mfu in zip(("low", "typical", "high"), reversed(MFU), strict=True)}  # fmt: skip
    inside = 0.8 * at["low"] <= total <= 1.2 * at["high"]
    return {"flops": flops, "mfu": flops / total / gpu.flops, "predicted": at, "within_20_percent_of_the_range": inside}


def _gpu(device: torch.device) -> Gpu | None:
    if device.type != "cuda":
        return None
    name = torch.cuda.get_device_name(device).upper()
    return next((gpu for key, gpu in GPUS.items() if key in name), None)


# Measuring


@contextmanager
def peak_memory(device: torch.device) -> Iterator[Callable[[], int]]:
    """Give what returns the most bytes that tensors on the GPU have taken since; 0 on a CPU, which does not count."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    yield lambda: torch.cuda.max_memory_allocated(device) if device.type == "cuda" else 0


def _time(work: Callable[[], None], device: torch.device) -> float:
    """Return the shortest of a few seconds of `work`, after one that warms up."""
    took = []
    for _ in range(REPEATS + 1):
        _wait(device)
        started = time.perf_counter()
        work()
        _wait(device)
        took.append(time.perf_counter() - started)
    return min(took[1:])


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)


CHECKS = {"G1": check_bf16, "G2": check_fsdp2, "G3": check_shape}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="cuda", choices=("cuda", "cpu"))
    parser.add_argument("--tiny", action="store_true", help="a tiny model, to try the script")
    parser.add_argument("--only", nargs="*", choices=tuple(CHECKS), default=tuple(CHECKS))
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("there is no GPU; try the script with --device cpu --tiny.")
    device, found, failed = torch.device(options.device), {}, False
    for name in options.only:
        started = time.perf_counter()
        try:
            found[name] = CHECKS[name](device, options.tiny)
        except Exception as error:  # one check must not cost the others: the machine is lent
            found[name], failed = {"failed": f"{type(error).__name__}: {error}"}, True
        found[name]["took_seconds"] = round(time.perf_counter() - started, 1)
        print(name, json.dumps(found[name], indent=1), flush=True)
    if device.type == "cuda" and not options.tiny:
        kind = torch.cuda.get_device_name(device).split()[-1].lower()
        target = ROOT / f"results/gpu-check-{kind}.json"
        target.parent.mkdir(exist_ok=True)
        report = {"machine": machine("cuda"), "versions": versions(), **found}
        target.write_text(json.dumps(report, indent=1) + "\n")
        print(f"written: {target.relative_to(ROOT)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
