"""fastslow against a stock TRL GRPOTrainer on the same rollouts, side by side in one process (`make bench`).

    python scripts/bench.py --output results/bench-cpu.json [--pairs 5] [--cases fst_live rl_short ...]

Both trainers get the same model, prompts, completions (replayed) and rewards, and take turns: machines are shared and
noisy, so only ratios of neighbours count. A step is everything from the finished rollouts to the updated weights.
Random token ids stand for text: what is computed depends on lengths and sharing alone.
"""

from __future__ import annotations

import argparse
import gc
import json
import platform
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
import yaml
from bench_sides import CASES, EOS, GROWTH, Case, Side, common_settings, grpo, ours, rollouts, stock
from datasets import Dataset
from rich.progress import Progress
from transformers import GenerationConfig
from trl import GRPOConfig, GRPOTrainer

from fastslow.config.settings import FastSlowConfig
from fastslow.core.machine import bf16_is_fast
from fastslow.core.types import Rollout
from fastslow.files.run_directory import versions
from fastslow.policy.engines.base import Prompt, SamplingParams
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.loading import load_model, load_tokenizer, resolve_model
from fastslow.policy.token_trees import Row, tree_tokens
from fastslow.policy.tree_forward import forward_packed, pack
from fastslow.run.trainer import FastSlowTrainer

LAYOUT_WEIGHTS = (0.0, 1 / 4000, 1 / 2000, 1 / 1000, 1 / 500, 1 / 250, 1 / 100)
RECIPE = Path(__file__).parents[1] / "recipes/quickstart.yaml"


def compare(case: Case, pairs: int, tick: Callable[[], None]) -> dict[str, Any]:
    rows = rollouts(case, seed=0)
    with tempfile.TemporaryDirectory() as folder:
        sides = {"stock": stock(case, folder, pairs + 2, rows), "ours": ours(case, folder, pairs + 2, rows)}
        for side in sides.values():
            side.step()  # warm-up: allocators, thread pools, lazy modules
        times = defaultdict(list)
        for _ in range(pairs):
            for name, side in sides.items():
                times[name].append(side.step())
            tick()
    del sides
    gc.collect()
    return {**asdict(case), "seconds": dict(times), **spread(times["stock"], times["ours"]), **tokens(case, rows)}


def spread(stock_s: list[float], ours_s: list[float]) -> dict[str, float]:
    """Ratios stock / ours of neighbours: above 1 is faster than stock."""
    ratios = sorted(a / b for a, b in zip(stock_s, ours_s, strict=True))
    return {"ratio": statistics.median(ratios), "ratio_min": ratios[0], "ratio_max": ratios[-1]}


def tokens(case: Case, rows: list[Rollout]) -> dict[str, int]:
    """Tokens through the model in one step: padded rows against the trees of the live ones."""
    live = [
        Row(r.prompt_ids + r.completion_ids, len(r.completion_ids))
        for r in rows
        if int(r.example_id) < round(case.live * case.problems)
    ]
    padded = len(rows) * max(len(r.prompt_ids) + len(r.completion_ids) for r in rows)
    return {
        "tokens_padded": padded,
        "tokens_tree": tree_tokens(live) if live else 0,
        "tokens_computed": pack(live).input_ids_S_L.numel() if live else 0,
    }


def growth(pair: tuple[Case, Case], pairs: int, tick: Callable[[], None]) -> dict[str, Any]:
    """How much more our own step takes on the second case than on the first."""
    with tempfile.TemporaryDirectory() as folder:
        rows = [rollouts(case, seed=0) for case in pair]
        sides = [ours(case, folder, pairs + 2, r) for case, r in zip(pair, rows, strict=True)]
        for side in sides:
            side.step()
        seconds: tuple[list[float], list[float]] = ([], [])
        for _ in range(pairs):
            for side, into in zip(sides, seconds, strict=True):
                into.append(side.step())
            tick()
    grown = sorted(b / a for a, b in zip(*seconds, strict=True))
    counts = [tokens(case, r)["tokens_computed"] for case, r in zip(pair, rows, strict=True)]
    return {
        "growth": statistics.median(grown), "growth_min": grown[0], "growth_max": grown[-1],
        "tokens_growth": counts[1] / counts[0], "seconds": seconds,
    }  # fmt: skip


def generation(pairs: int, tick: Callable[[], None], new_tokens: int = 8) -> dict[str, Any]:
    """64 rollouts, 4 contexts of 110 tokens, exactly `new_tokens` each, against `model.generate` on padded rows."""
    source = resolve_model("smollm2-135m")
    model: Any = load_model(source).eval()
    if torch.cuda.is_available():
        model.cuda()
    dtype = torch.bfloat16 if bf16_is_fast() else torch.float32
    case = CASES["fst_live"]
    prompts = [r.prompt_ids for r in rollouts(case, seed=0)]
    sampler = PrefixSampler(model, eos_ids=[-1], pad_id=0, dtype=dtype)
    ours_p = [Prompt(ids, seed=i, prefix=case.context_tokens) for i, ids in enumerate(prompts)]
    longest = max(map(len, prompts))
    ids = torch.tensor([[0] * (longest - len(p)) + list(p) for p in prompts], device=model.device)
    mask = torch.tensor([[0] * (longest - len(p)) + [1] * len(p) for p in prompts], device=model.device)
    config = GenerationConfig(
        do_sample=True, top_k=0, max_new_tokens=new_tokens, min_new_tokens=new_tokens, pad_token_id=0, eos_token_id=EOS
    )

    @torch.no_grad()
    def by_generate() -> None:
        with torch.autocast(model.device.type, dtype=dtype, enabled=dtype != torch.float32):
            model.generate(input_ids=ids, attention_mask=mask, generation_config=config)

    def by_us(version: int) -> None:
        sampler.refresh(version)  # a new policy version: no prefix survives
        sampler.sample(ours_p, SamplingParams(max_new_tokens=new_tokens))

    by_generate()
    by_us(0)
    seconds: dict[str, list[float]] = {"stock": [], "ours": []}
    for pair in range(pairs):
        for name, call in (("stock", by_generate), ("ours", lambda version=pair + 1: by_us(version))):
            started = time.perf_counter()
            call()
            if torch.cuda.is_available():
                torch.cuda.synchronize()
            seconds[name].append(time.perf_counter() - started)
        tick()
    return {"seconds": seconds, "rows": len(prompts), "new_tokens": new_tokens,
            **spread(seconds["stock"], seconds["ours"])}  # fmt: skip


@contextmanager
def timed(spent: dict[str, float], name: str, owner: Any, method: str) -> Iterator[None]:
    """Charge the time inside `owner.method` to `name`."""
    original = getattr(owner, method)

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return original(*args, **kwargs)
        finally:
            spent[name] += time.perf_counter() - started

    setattr(owner, method, wrapped)
    try:
        yield
    finally:
        setattr(owner, method, original)


def cycle(pairs: int, tick: Callable[[], None]) -> dict[str, Any]:
    """The real thing: whole FST cycles of the quickstart, per slow step, against stock RL-only steps with TRL's own
    generation, on the same task and model."""
    recipe = yaml.safe_load(RECIPE.read_text())
    fast = ("task", "train_size", "problems_per_step", "population_size", "slow_steps_per_cycle", "anchor_size",
            "fast_metric_calls", "max_worked_examples")  # fmt: skip
    case = replace(CASES["rl_short_live"], answer_tokens=(2, 8))
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = common_settings(case, folder, 5 * (pairs + 1)) | {"learning_rate": 1e-5}
        fst = FastSlowTrainer(FastSlowConfig(**{name: recipe[name] for name in fast}, **settings))
        task, train = fst.parts.task, fst.parts.task.split("train")
        by_question = {e.question: e for e in train}
        source = resolve_model("smollm2-135m")
        rl = GRPOTrainer(
            model=load_model(source),
            processing_class=load_tokenizer(source),
            args=GRPOConfig(**settings, gradient_accumulation_steps=64 // case.micro_batch),
            reward_funcs=[
                lambda prompts, completions, **kwargs: [
                    task.score(by_question[p[-1]["content"]], c[0]["content"]).reward
                    for p, c in zip(prompts, completions, strict=True)
                ]
            ],
            train_dataset=Dataset.from_dict({"prompt": [[dict(m) for m in e.messages] for e in train] * 2}),
        )
        a, b = Side(rl), Side(grpo(fst))
        a.step()
        spent: dict[str, dict[str, float]] = {"stock": defaultdict(float), "ours": defaultdict(float)}
        seconds: dict[str, list[float]] = {"stock": [], "ours": []}
        for _ in range(pairs):
            with (
                timed(spent["stock"], "generate", rl, "_generate_single_turn"),
                timed(spent["stock"], "forward", rl, "_get_per_token_logps_and_entropies"),
                timed(spent["stock"], "backward", rl.accelerator, "backward"),
                timed(spent["stock"], "optimiser", rl.optimizer, "step"),
            ):
                seconds["stock"].append(a.step())
            with (
                timed(spent["ours"], "fast phase", fst.cycle, "_fast_phase"),
                timed(spent["ours"], "generate and score", fst.cycle.groups, "roll_out"),
                timed(spent["ours"], "forward", b.trainer, "_get_per_token_logps_and_entropies"),
                timed(spent["ours"], "backward", b.trainer.accelerator, "backward"),
                timed(spent["ours"], "optimiser", b.trainer.optimizer, "step"),
            ):
                seconds["ours"].append(sum(b.step() for _ in range(5)) / 5)
            tick()
    steps = {"stock": pairs, "ours": 5 * pairs}
    breakdown = {}
    for name, parts in spent.items():
        per_step = {part: s / steps[name] for part, s in parts.items()}
        total = statistics.mean(seconds[name])
        breakdown[name] = {**per_step, "rest": total - sum(per_step.values()), "step": total}
    return {"seconds": seconds, "breakdown_s_per_slow_step": breakdown,
            "relative_time": statistics.median(o / s for o, s in zip(seconds["ours"], seconds["stock"], strict=True)),
            **spread(seconds["stock"], seconds["ours"])}  # fmt: skip


def matmul_rate(dtype: torch.dtype, size: int = 2048) -> float:
    """FLOP/s of a square product: what the machine gives at best."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    a = torch.randn(size, size, device=device).to(dtype)
    _ = a @ a
    times = []
    for _ in range(10):
        started = time.perf_counter()
        _ = a @ a
        if device == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return 2 * size**3 / statistics.median(times)


def utilisation(case: Case, pairs: int) -> dict[str, Any]:
    """Forward and backward of our step, as a share of the machine's own matrix-multiply rate."""
    rows = rollouts(case, seed=0)
    counts = tokens(case, rows)
    with tempfile.TemporaryDirectory() as folder:
        side = ours(case, folder, pairs + 2, rows)
        spent: dict[str, float] = defaultdict(float)
        side.step()
        with (
            timed(spent, "forward", side.trainer, "_get_per_token_logps_and_entropies"),
            timed(spent, "backward", side.trainer.accelerator, "backward"),
        ):
            for _ in range(pairs):
                side.step()
        model: Any = side.trainer.model
        head = model.get_output_embeddings().weight.numel()
        body = sum(p.numel() for p in model.parameters()) - head
        answers = sum(len(r.completion_ids) for r in rows)
        flops = 6 * (body * counts["tokens_computed"] + head * answers)
    rates = {name: matmul_rate(getattr(torch, name)) for name in ("float32", "bfloat16")}
    rate, seconds = rates["bfloat16" if bf16_is_fast() else "float32"], sum(spent.values()) / pairs
    return {"matmul_gflops": rate / 1e9, "achieved_gflops": flops / seconds / 1e9, "share": flops / seconds / rate,
            "matmul_gflops_by_type": {name: r / 1e9 for name, r in rates.items()},
            "forward_s": spent["forward"] / pairs, "backward_s": spent["backward"] / pairs}  # fmt: skip


def layouts(pairs: int, tick: Callable[[], None]) -> dict[str, Any]:
    """Forward and backward of the same rows cut by several attention weights: one long tree to many short ones."""
    model = load_model(resolve_model("smollm2-135m"))
    case = Case(contexts=2, problems=16, group=4)
    rows = [Row(r.prompt_ids + r.completion_ids, len(r.completion_ids)) for r in rollouts(case, seed=0)]
    packs = {w: pack(rows, attention_weight=w) for w in LAYOUT_WEIGHTS}
    seconds: dict[float, list[float]] = defaultdict(list)
    for turn in range(pairs + 1):
        for weight, packed in packs.items():
            started = time.perf_counter()
            logps, _ = forward_packed(model, model, packed, temperature=1.0, entropy_grad=False)
            logps.sum().backward()
            if turn:
                seconds[weight].append(time.perf_counter() - started)
            model.zero_grad()
        tick()
    return {"rows": [{"weight": w, "sequences": p.input_ids_S_L.size(0), "length": p.input_ids_S_L.size(1),
                      "seconds": statistics.median(seconds[w])} for w, p in packs.items()]}  # fmt: skip


def peak_memory(name: str, side: str) -> float:
    """GiB at the peak of two steps, measured in a process of its own."""
    command = [sys.executable, __file__, "--measure-memory", name, side]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return float(done.stdout.split()[-1])


def measure_memory(name: str, side: str) -> None:
    case, make = CASES[name], {"ours": ours, "stock": stock}[side]
    with tempfile.TemporaryDirectory() as folder:
        runner = make(case, folder, 3, rollouts(case, seed=0))
        for _ in range(2):
            runner.step()
    if torch.cuda.is_available():
        print(torch.cuda.max_memory_allocated() / 2**30)
    else:
        print(peak_rss_gib())


def peak_rss_gib() -> float:
    """Of this process alone: getrusage's figure is handed on through fork and exec, and would be the parent's."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) / 2**20


def machine() -> dict[str, Any]:
    name = next((line.split(":")[1].strip() for line in _cpuinfo() if line.startswith("model name")), None)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else None
    return {"cpu": name or platform.machine(), "threads": torch.get_num_threads(), "gpu": gpu,
            "compute_type": "bfloat16" if bf16_is_fast() else "float32"}  # fmt: skip


def _cpuinfo() -> list[str]:
    path = Path("/proc/cpuinfo")
    return path.read_text().splitlines() if path.exists() else []


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sections = [*CASES, *GROWTH, "generation", "cycle", "utilisation", "layouts", "memory"]
    parser.add_argument("--output", type=Path, default=Path("results/bench-cpu.json"))
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--cases", nargs="+", choices=sections, default=sections)
    parser.add_argument("--measure-memory", nargs=2, metavar=("CASE", "SIDE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure_memory:
        measure_memory(*options.measure_memory)
        return
    report: dict[str, Any] = {"machine": machine(), "versions": versions(), "pairs": options.pairs}
    if options.output.exists():
        report = json.loads(options.output.read_text()) | report
    with Progress() as progress:
        for name in options.cases:
            bar = progress.add_task(name, total=options.pairs)
            report[name] = measure(name, options.pairs, lambda bar=bar: progress.advance(bar))
            options.output.parent.mkdir(parents=True, exist_ok=True)
            options.output.write_text(json.dumps(report, indent=2) + "\n")


def measure(name: str, pairs: int, tick: Callable[[], None]) -> dict[str, Any]:
    if name in CASES:
        return compare(CASES[name], pairs, tick)
    if name in GROWTH:
        return growth(GROWTH[name], pairs, tick)
    if name == "memory":
        return {c: {side: peak_memory(c, side) for side in ("stock", "ours")} for c in ("fst_live", "rl_short_live")}
    if name == "utilisation":
        return utilisation(CASES["fst_live"], pairs)
    return {"generation": generation, "cycle": cycle, "layouts": layouts}[name](pairs, tick)


if __name__ == "__main__":
    main()
