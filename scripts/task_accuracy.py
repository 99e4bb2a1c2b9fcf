"""How well SmolLM2-135M does every offline task before training (`make task-accuracy`): a task to learn on needs
some right answers and some wrong ones.

    python scripts/task_accuracy.py results/task-accuracy.json docs/task-accuracy.md [--tasks NAME ...]

Greedy, on validation questions, scored strictly; once with the chat template's own instruction and once with four
worked examples from the training split. Tasks that the JSON file already holds are not measured again.
"""

from __future__ import annotations

import argparse
import itertools
import json
import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from rich.progress import Progress

from fastslow.contexts.context import EXAMPLES, INSTRUCTION, Context, WorkedExample, dump_examples, seed_context
from fastslow.core.errors import BadInput
from fastslow.core.types import Example
from fastslow.evaluation.accuracy import Sampling, accuracy_of, answer_examples
from fastslow.files.run_directory import machine, versions
from fastslow.policy.engines.base import SamplingParams
from fastslow.policy.engines.transformers import PrefixSampler
from fastslow.policy.loading import context_window, load_model, load_tokenizer, pad_id, resolve_model
from fastslow.policy.policy import Policy
from fastslow.tasks.base import Task
from fastslow.tasks.resolve import list_tasks, resolve_task

QUESTIONS = 24
FEWEST = 6
PROMPT_TOKENS = 8_000
SHOTS = 4
MOST_TOKENS = 64
EASIER = (
    "reasoning_gym:products?max_digits=1&max_terms=2&min_digits=1&min_terms=2",
    "reasoning_gym:chain_sum?max_digits=1&max_terms=2&min_digits=1&min_terms=2",
    "star_graph?degree=2&ids=10&path=2",
    "star_graph?degree=3&ids=20&path=3",
)
SAMPLES = ("hover?path=sample", "hover_hard?path=sample", "polaris?path=sample", "physics?path=sample")


def offline_tasks() -> list[str]:
    """Every task that needs neither the hub nor a file of the user's."""
    families = ("hover", "polaris", "physics", "jsonl", "hf", "package.module")
    listed = [name for name, _ in list_tasks() if not name.startswith(families)]
    return [*SAMPLES, *EASIER, *listed]


def measure(name: str, model: Any, tokenizer: Any, sampler: PrefixSampler) -> dict[str, Any]:
    started = time.perf_counter()
    task = resolve_task(
        name, train_size=32, validation_size=QUESTIONS, test_size=0 if "reasoning_gym" in name else None
    )
    shots = shown(task)
    longest = max((len(tokenizer(worked.answer)["input_ids"]) for worked in shots), default=0)
    params = SamplingParams(max_new_tokens=min(MOST_TOKENS, longest + 8 if longest else MOST_TOKENS), temperature=0.0)
    policy = Policy(engine=sampler, tokenizer=tokenizer, task=task, params=params, window=context_window(model))
    policy.refresh(0)
    questions = affordable(policy, task.split("validation"))
    row: dict[str, Any] = {"questions": len(questions), "max_new_tokens": params.max_new_tokens}
    contexts = {"zero_shot": seed_context("")}
    if len(shots) == SHOTS:
        contexts["four_examples"] = Context({INSTRUCTION: "", EXAMPLES: dump_examples(shots)})
    for kind, context in contexts.items():
        found = accuracy_of(answer_examples(policy, context, questions, Sampling(params, samples=1, seed=0)), 1)
        row[kind] = {"accuracy": found.accuracy, "unscored": found.unscored}
    return {**row, "seconds": round(time.perf_counter() - started, 1)}


def affordable(policy: Policy, examples: Sequence[Example]) -> list[Example]:
    """The first examples, up to QUESTIONS and to PROMPT_TOKENS in all, but at least FEWEST: a grid of thousands of
    tokens takes a small model minutes."""
    total, found = 0, []
    for example in examples[:QUESTIONS]:
        total += len(policy.prompt_ids(seed_context(""), example))
        if total > PROMPT_TOKENS and len(found) >= FEWEST:
            break
        found.append(example)
    return found


def shown(task: Task) -> list[WorkedExample]:
    """The first training examples with a verified answer."""
    known = ((e.question, task.answer(e)) for e in task.split("train"))
    return list(itertools.islice((WorkedExample(q, a) for q, a in known if a is not None), SHOTS))


def table(report: dict[str, Any]) -> str:
    library = report["versions"]
    lines = [
        f"SmolLM2-135M-Instruct from its wheel, fp32, greedy, up to {QUESTIONS} questions each. Measured on: "
        f"{report['machine']}, torch {library['torch']}, reasoning-gym {library['reasoning-gym']}. Tasks with right "
        "answers come first.",
        "",
        "| task | questions | zero-shot | four examples | unscored |",
        "|---|---|---|---|---|",
    ]

    def share(row: dict[str, Any], kind: str) -> str:
        value = row.get(kind, {}).get("accuracy")
        return "" if value is None else f"{100 * value:.0f}%"

    def signal(item: tuple[str, Any]) -> float:
        return max(item[1].get(kind, {}).get("accuracy") or 0.0 for kind in ("zero_shot", "four_examples"))

    for name, row in sorted(report["tasks"].items(), key=lambda item: (-signal(item), item[0])):
        if "error" in row:
            lines.append(f"| `{name}` | {row['error']} | | | |")
            continue
        unscored = row["zero_shot"]["unscored"] + row.get("four_examples", {}).get("unscored", 0)
        cells = (row["questions"], share(row, "zero_shot"), share(row, "four_examples"), unscored or "")
        lines.append(f"| `{name}` | " + " | ".join(map(str, cells)) + " |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("report", type=Path)
    parser.add_argument("page", type=Path)
    parser.add_argument("--tasks", nargs="+", help="default: every offline task")
    options = parser.parse_args()
    logging.getLogger("fastslow").setLevel(logging.ERROR)
    report: dict[str, Any] = {"tasks": {}}
    if options.report.exists():
        report = json.loads(options.report.read_text(encoding="utf-8"))
    report |= {"machine": machine()["cpu"], "versions": versions()}
    source = resolve_model("smollm2-135m")
    model: Any = load_model(source).eval()
    tokenizer: Any = load_tokenizer(source)
    sampler = PrefixSampler(model, eos_ids=[int(tokenizer.eos_token_id)], pad_id=pad_id(tokenizer), dtype=torch.float32)
    with Progress() as progress:
        for name in progress.track(options.tasks or offline_tasks(), description="tasks"):
            if name in report["tasks"]:
                continue
            try:
                report["tasks"][name] = measure(name, model, tokenizer, sampler)
            except BadInput as error:
                report["tasks"][name] = {"error": str(error)}
            options.report.parent.mkdir(parents=True, exist_ok=True)
            options.report.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    head, marker, _ = options.page.read_text(encoding="utf-8").partition("<!-- task-accuracy -->")
    options.page.write_text(f"{head}{marker}\n{table(report)}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
