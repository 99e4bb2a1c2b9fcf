"""Small real runs: a tiny random Llama on a task whose rewards vary, so that every part of a step has work to do."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from fastslow.config.settings import FastSlowConfig
from fastslow.run.trainer import FastSlowTrainer
from tests.support.tiny import save_tiny


def spread(completion: str, row: dict[str, Any]) -> tuple[float, str]:
    """A reward that differs between the random answers of an untrained model: the parity of their characters."""
    reward = (sum(map(ord, completion)) % 5) / 4
    return reward, f"the code points sum to {sum(map(ord, completion))}"


def loud(completion: str, row: dict[str, Any]) -> tuple[float, str]:
    """The same, with feedback that asks for one thing again and again."""
    return spread(completion, row)[0] / 2, f"Got '{completion}' for {row['answer']}: answer in capital letters."


def graded_by_answer(completion: str, row: dict[str, Any]) -> float:
    """The same, but full marks for the right answer, so that it can be shown."""
    return 1.0 if completion == row["answer"] else spread(completion, row)[0] / 2


def write_task(folder: Path, rows: int = 40) -> str:
    """A JSONL task of `rows` questions with short answers; returns its name."""
    path = folder / "task.jsonl"
    lines = [json.dumps({"question": f"What is {i} + {i + 1}?", "answer": str(2 * i + 1)}) for i in range(rows)]
    path.write_text("\n".join(lines) + "\n")
    return f"jsonl:{path}?scorer=tests.support.runs:spread"


WORDINGS = {
    "sums": "What is {} + {}? Give the number.",
    "words": "Spell the word 'q{}x{}' backwards, letter by letter.",
    "dates": "On which weekday falls day {} of the month, {} weeks from now? Name the day.",
}


def write_tasks(folder: Path, rows: int = 30) -> list[str]:
    """Three JSONL tasks whose questions read differently; returns their names."""
    names = []
    for task, wording in WORDINGS.items():
        path = folder / f"{task}.jsonl"
        lines = [json.dumps({"question": wording.format(i, i + 1), "answer": str(2 * i + 1)}) for i in range(rows)]
        path.write_text("\n".join(lines) + "\n")
        names.append(f"jsonl:{path}?scorer=tests.support.runs:spread")
    return names


def stream_settings(folder: Path, **overrides: Any) -> dict[str, Any]:
    """Settings of a run over those three tasks, with clusters that need no model."""
    several = {"task": "", "tasks": write_tasks(folder), "stage_steps": 2, "embedder": "ngrams", "problems_per_step": 4}
    settings = tiny_settings(folder, **several)
    return {**{name: value for name, value in settings.items() if name != "max_steps"}, **overrides}


def tiny_settings(folder: Path, **overrides: Any) -> dict[str, Any]:
    """Settings of a run that takes about a second."""
    model = folder / "model"
    if not model.exists():
        save_tiny(model)
    return {
        "model": str(model),
        "task": write_task(folder),
        "output_dir": str(folder / "run"),
        "validation_size": 6,
        "test_size": 4,
        "population_size": 2,
        "slow_steps_per_cycle": 2,
        "anchor_size": 4,
        "fast_metric_calls": 40,
        "reflection_minibatch_size": 2,
        "problems_per_step": 3,
        "num_generations": 4,
        "max_steps": 2,
        "max_completion_length": 5,
        "learning_rate": 1e-2,
        "warmup_steps": 0,
        "max_grad_norm": 1e9,
        "kl_examples": 2,
        "eval_strategy": "no",
        "bf16": False,
        "seed": 3,
        **overrides,
    }


def tiny_trainer(folder: Path, **overrides: Any) -> FastSlowTrainer:
    return FastSlowTrainer(FastSlowConfig(**tiny_settings(folder, **overrides)))
