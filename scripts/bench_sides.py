"""What `bench.py` compares: one step's rollouts, and two trainers that take turns on them."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from datasets import Dataset
from trl import GRPOConfig, GRPOTrainer

from fastslow.config.settings import FastSlowConfig
from fastslow.core.machine import bf16_is_fast
from fastslow.core.types import Example, Rollout, Verdict
from fastslow.policy.loading import load_model, load_tokenizer, resolve_model
from fastslow.run.trainer import FastSlowTrainer

EOS = 2


@dataclass(frozen=True)
class Case:
    """One step's rollouts: `problems` x `group` rows under `contexts` contexts; the first live problems have spread."""

    contexts: int = 4
    context_tokens: int = 110
    problems: int = 8
    group: int = 8
    question_tokens: int = 30
    answer_tokens: tuple[int, int] = (2, 6)
    live: float = 1.0
    beta: float = 0.0
    micro_batch: int = 16


CASES = {
    "all_dead": Case(live=0.0, problems=4),
    "fst_60_live": Case(live=0.6),
    "fst_live": Case(),
    "rl_short_60_live": Case(contexts=1, context_tokens=11, live=0.6),
    "rl_short_live": Case(contexts=1, context_tokens=11),
    "long_answers_live": Case(contexts=1, context_tokens=11, problems=2, answer_tokens=(192, 256)),
    "fst_60_live_kl": Case(live=0.6, beta=1e-3, problems=4),
}
GROWTH = {
    "context_twice_as_long": (Case(), replace(Case(), context_tokens=220)),
    "contexts_4_to_8": (Case(), replace(Case(), contexts=8)),
}


def rollouts(case: Case, seed: int) -> list[Rollout]:
    """The rows of one step, problem by problem, each with a reward; contexts take turns within a group."""
    draw = random.Random(seed)

    def text(n: int) -> tuple[int, ...]:
        return tuple(draw.randrange(100, 40000) for _ in range(n))

    contexts = [text(case.context_tokens) for _ in range(case.contexts)]
    rows = []
    for b in range(case.problems):
        question, live = text(case.question_tokens), b < round(case.live * case.problems)
        for g in range(case.group):
            answer = (*text(draw.randint(*case.answer_tokens) - 1), EOS)
            prompt = contexts[g % case.contexts] + question
            reward = float(g % 3 == 0) if live else 0.0
            rows.append(Rollout(str(b), "c", prompt, answer, (-5.0,) * len(answer), "", Verdict(reward, ""), 0))
    return rows


class Questions:
    """A task that only carries example ids; rewards come with the replayed rollouts."""

    name = "replay"

    def __init__(self, problems: int):
        self.examples = [
            Example(str(b), self.name, "train", ({"role": "user", "content": f"q{b}"},)) for b in range(problems)
        ]

    def split(self, name: str) -> list[Example]:
        return self.examples

    def score(self, example: Example, completion: str) -> Verdict:
        return Verdict.unscored("rewards are replayed")

    def answer(self, example: Example) -> None:
        return None


def common_settings(case: Case, folder: str, steps: int) -> dict[str, Any]:
    return {
        "output_dir": folder,
        "num_generations": case.group,
        "per_device_train_batch_size": case.micro_batch,
        "max_completion_length": case.answer_tokens[1],
        "loss_type": "cispo",
        "epsilon_high": 4.0,
        "beta": case.beta,
        "max_steps": steps,
        "learning_rate": 1e-6,
        "bf16": bf16_is_fast(),
        "gradient_checkpointing": False,
        "report_to": "none",
        "disable_tqdm": True,
        "use_cpu": not torch.accelerator.is_available(),
    }


def grpo(trainer: FastSlowTrainer) -> Any:
    """TRL's trainer behind one of ours, asked for steps by hand."""
    found: Any = trainer.slow._trainer
    found.source = trainer.cycle
    return found


class Side:
    """A trainer driven step by step, so that two of them can take turns."""

    def __init__(self, trainer: GRPOTrainer):
        self.trainer = trainer
        self.accumulation = trainer.args.gradient_accumulation_steps
        trainer.current_gradient_accumulation_steps = self.accumulation
        trainer.create_optimizer()
        self.batches: Iterator[Any] = iter(trainer.get_train_dataloader())

    def step(self) -> float:
        """Seconds from the batch to the updated weights."""
        trainer: Any = self.trainer
        model, optimizer = trainer.model, trainer.optimizer
        started = time.perf_counter()
        for _ in range(self.accumulation):
            trainer.training_step(model, next(self.batches), None)
        trainer.accelerator.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        trainer.state.global_step += 1
        return time.perf_counter() - started


def ours(case: Case, folder: str, steps: int, rows: list[Rollout]) -> Side:
    settings = common_settings(case, folder, steps)
    config = FastSlowConfig(mode="rl", problems_per_step=case.problems, **settings)
    trainer = FastSlowTrainer(config, task=Questions(case.problems))

    def replay(jobs: Any, **_: Any) -> list[Rollout]:
        by_example: dict[str, list[Rollout]] = {}
        for row in rows:
            by_example.setdefault(row.example_id, []).append(row)
        return [by_example[job.example.id].pop(0) for job in jobs]

    trainer.policy.rollouts = replay  # type: ignore[method-assign]
    return Side(grpo(trainer))


def stock(case: Case, folder: str, steps: int, rows: list[Rollout]) -> Side:
    source = resolve_model("smollm2-135m")
    args = GRPOConfig(
        **common_settings(case, folder, steps),
        gradient_accumulation_steps=case.problems * case.group // case.micro_batch,
        remove_unused_columns=False,
    )
    ids = [str(b) for b in range(case.problems)]
    trainer = GRPOTrainer(
        model=load_model(source),
        reward_funcs=[lambda **kwargs: [row.verdict.reward for row in rows]],
        args=args,
        train_dataset=Dataset.from_dict({"prompt": [[{"role": "user", "content": i}] for i in ids * steps]}),
        processing_class=load_tokenizer(source),
        rollout_func=lambda prompts, trainer: columns(rows),
    )
    return Side(trainer)


def columns(rows: list[Rollout]) -> dict[str, Any]:
    return {
        "prompt_ids": [list(r.prompt_ids) for r in rows],
        "completion_ids": [list(r.completion_ids) for r in rows],
        "logprobs": [list(r.logprobs) for r in rows],
    }
