"""What no task of a run asks for, measured on its bundle: prose, neutral prompts, tasks that nobody trained on, and
what a request costs beside one under the plain prompt.

    python scripts/bundle_measures.py RUN OUT.json [--no_costs]

Run it with PYTHONHASHSEED=0: the questions of one of these tasks hang on the order of a set.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path
from typing import Any

import torch
from kept import UNTRAINED
from task_accuracy import shown

from fastslow.bundles.bundle import Bundle, open_bundle, open_task, tasks_of
from fastslow.contexts.context import EXAMPLES, INSTRUCTION, Context, dump_examples, seed_context
from fastslow.costs.shape import shape_of
from fastslow.evaluation.accuracy import Sampling, accuracy_of, answer_examples
from fastslow.evaluation.bundle import bundle_policy, compute_type
from fastslow.evaluation.drift import measure_drift
from fastslow.gate.general import bits_of, neutral_prompts, prose_pieces
from fastslow.gate.policy import Neutral, Prose
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.policy import Job, Policy
from fastslow.policy.tree_forward import why_not
from fastslow.tasks.resolve import resolve_task
from fastslow.topics.topics import CHOOSING

REQUESTS = 30
UNTRAINED_QUESTIONS = 60


def measured(run: Path, costs: bool = True) -> dict[str, Any]:
    """Return what a bundle's training did to everything else and, with `costs`, what it costs a request."""
    summary = json.loads((run / "summary.json").read_text())
    bundle = open_bundle(run / "bundle", choosing=summary["ships"] in CHOOSING)
    pieces = prose_pieces(Prose())
    dtype = getattr(torch, compute_type(bundle.settings))
    with bundle.base() as base:
        plain = Bundle(base, bundle.base, bundle.tokenizer, bundle.population, None, bundle.settings)
        before, known = sum(bits_of(plain, pieces)), untrained(plain, dtype)
    after, size = sum(bits_of(bundle, pieces)), sum(len(piece.encode()) for piece in pieces)
    found = {
        "bits_per_byte": after / size, "base_bits_per_byte": before / size,
        "neutral_kl": neutral_kl(bundle, dtype), "untrained": untrained(bundle, dtype), "base_untrained": known,
    }  # fmt: skip
    return found | costs_of(run, bundle, summary, dtype) if costs else found


def costs_of(run: Path, bundle: Bundle, summary: dict[str, Any], dtype: torch.dtype) -> dict[str, float]:
    """Return what a bundle adds to a request, and the memory that its weights and a prompt's cache hold."""
    kinds = summary["prompt_tokens"]
    prompt = kinds[summary["ships"]]
    files = (run / "bundle").glob("*.safetensors")
    return {
        "added_prompt_tokens": prompt - kinds["seed"], "weights_mb": sum(file.stat().st_size for file in files) / 1e6,
        "kv_kb": prompt * shape_of(bundle.model).kv_bytes / 1e3, **latency(bundle, summary["ships"], dtype),
    }  # fmt: skip


def neutral_kl(bundle: Bundle, dtype: torch.dtype) -> float | None:
    """Return KL(trained || base) in nats per token on answers to prompts of no task, as a gate measures it."""
    settings = Neutral()
    task = neutral_prompts(settings)
    policy = bundle_policy(bundle, bundle.model, task, SamplingParams(max_new_tokens=settings.tokens), dtype)
    policy.refresh(0)
    return measure_drift(
        policy, bundle.model, bundle.base, seed_context(""), task.split("test"), seed=0,
        packing=why_not(bundle.model) is None,
    ).kl  # fmt: skip


def untrained(bundle: Bundle, dtype: torch.dtype) -> dict[str, float | None]:
    """Return task -> accuracy on tasks that nobody trained on, greedy, after four worked examples: what a user finds
    who asks the model something else."""
    found = {}
    for name in UNTRAINED:
        task = resolve_task(name, train_size=32, validation_size=UNTRAINED_QUESTIONS, test_size=0)
        examples = shown(task)
        tokens = 8 + max(len(bundle.tokenizer(one.answer)["input_ids"]) for one in examples)
        context = Context({INSTRUCTION: "", EXAMPLES: dump_examples(examples)})
        params = SamplingParams(max_new_tokens=tokens, temperature=0.0)
        policy = bundle_policy(bundle, bundle.model, task, params, dtype)
        policy.refresh(0)
        answers = answer_examples(policy, context, task.split("validation"), Sampling(params, samples=1, seed=0))
        found[name] = accuracy_of(answers, 1).accuracy
    return found


def latency(bundle: Bundle, kind: str, dtype: torch.dtype) -> dict[str, float]:
    """Return how many times longer a request takes under what ships than under the plain prompt: to the first token of
    an answer, and for each further one. Both are asked in turn, one request at a time, so that other work on the
    machine strikes both; medians over the requests."""
    if kind == "seed":
        return {"first_token": 1.0, "further_token": 1.0}
    settings = bundle.settings
    task = open_task(tasks_of(settings)[0], settings, trusted=True)
    examples = task.split("validation")
    most = int(settings["max_completion_length"])
    short, whole = (
        bundle_policy(bundle, bundle.model, task, SamplingParams(max_new_tokens=n, temperature=0.0), dtype)
        for n in (1, most)
    )
    first: list[float] = []
    further: list[float] = []
    for number in range(REQUESTS + 2):  # the first two warm up
        example = examples[number % len(examples)]
        context = bundle.population.lead
        if bundle.topics is not None:
            context = bundle.topics.choose(kind, bundle.population, example)
        start, each = [], []
        for one in (context, bundle.population.seed):
            (begun, _), (ended, tokens) = (_timed(p, Job(one, example, number)) for p in (short, whole))
            start.append(begun)
            each.append((ended - begun) / (tokens - 1) if tokens > 1 else None)
        if number >= 2:
            first.append(start[0] / start[1])
            further += [each[0] / each[1]] if each[0] and each[1] else []
    return {
        "first_token": statistics.median(first), "further_token": statistics.median(further) if further else 1.0,
    }  # fmt: skip


def _timed(policy: Policy, job: Job) -> tuple[float, int]:
    """Return the seconds of an answer to a prompt that no cache knows, and its tokens."""
    policy.begin_step(0)
    started = time.perf_counter()
    (rollout,) = policy.rollouts([job])
    return time.perf_counter() - started, len(rollout.completion_ids)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--no_costs", action="store_true", help="leave out what a request costs")
    options = parser.parse_args()
    found = measured(options.run, costs=not options.no_costs)
    options.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
