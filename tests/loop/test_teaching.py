"""Steps whose tokens are judged by the model itself under another prompt: self-distillation, and consolidation."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainerCallback

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.core.types import Rollout
from fastslow.run.train import train
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.hooks import StepBatch
from tests.support.runs import tiny_settings, tiny_trainer, write_task
from tests.support.stock import Case, model_in, moved_away, our_step, rollouts_of
from tests.support.watch import LastBatch

ANSWERED = "tests.support.runs:graded_by_answer"


def distributions(model: Any, prompt: tuple[int, ...], completion: tuple[int, ...]) -> torch.Tensor:
    """Log-probabilities over the vocabulary at each token of a completion, from a forward over it alone."""
    logits = model(input_ids=torch.tensor([prompt + completion])).logits
    return logits[0, len(prompt) - 1 : -1].float().log_softmax(-1)


def reference_step(
    folder: Path, rollouts: list[Rollout], teachers: list[tuple[int, ...] | None]
) -> tuple[dict[str, Any], float]:
    """By how much a step moves each weight, row by row from the formula of the KL: no trees, no TRL."""
    model = model_in(folder)
    weights = moved_away(model)
    rows = [(r, t) for r, t in zip(rollouts, teachers, strict=True) if t is not None and r.verdict.scored]
    loss, items = torch.zeros(()), sum(len(r.completion_ids) for r, _ in rows)
    for row, teacher in rows:
        student = distributions(model, row.prompt_ids, row.completion_ids)
        judged = distributions(model, teacher, row.completion_ids).detach()
        loss = loss + (student.exp() * (student - judged)).sum() / items
    loss.backward()
    return {name: -w.grad for name, w in weights.items() if w.grad is not None}, loss.item()


@pytest.mark.parametrize("rows", [16, 3])
@pytest.mark.parametrize("packing", ["on", "off"])
def test_a_step_follows_the_teacher_token_by_token(tmp_path: Path, rows: int, packing: str) -> None:
    """Teachers of different lengths, rows without one, rows that are not scored."""
    teachers = [None if row % 5 == 3 else (7, 8, 9, 30 + row // 4)[: 2 + row % 3] for row in range(16)]
    case = Case({"loss_type": "grpo"}, {"per_device_train_batch_size": rows, "packing": packing},
                {"off_policy": True, "teacher_prompts_N": tuple(teachers)}, unscored=True, seed=6)  # fmt: skip
    rollouts = rollouts_of(case)
    step = our_step(tmp_path, case, rollouts)
    wanted, wanted_loss = reference_step(tmp_path, rollouts, teachers)
    assert max(float(change.abs().max()) for change in wanted.values()) > 1e-3, "the step moves nothing"
    for name, change in wanted.items():
        torch.testing.assert_close(step.moved[name], change, atol=1e-5, rtol=0, msg=lambda m, n=name: f"{n}: {m}")
    assert step.loss == pytest.approx(wanted_loss, abs=1e-5)


def steps_of(trainer: FastSlowTrainer) -> list[StepBatch]:
    """Train, and return the batch of each step."""
    last, batches = LastBatch(trainer), []
    trainer.step_ends = lambda: batches.append(last.batch)  # type: ignore[method-assign, assignment, func-returns-value]
    trainer.train()
    return batches


def test_the_teacher_sees_the_question_with_its_right_answer_before_it_is_asked_again(tmp_path: Path) -> None:
    task = write_task(tmp_path).replace("tests.support.runs:spread", ANSWERED)
    trainer = tiny_trainer(tmp_path, mode="self_distillation", task=task, max_steps=1, beta=0.0)
    known = trainer.policy.task.answer
    trainer.policy.task.answer = lambda e: None if e.id.endswith("3") else known(e)  # type: ignore[method-assign]
    (batch,) = steps_of(trainer)
    assert batch.teacher_prompts_N is not None
    taught = 0
    for example, row, prompt in zip(batch.examples_N, batch.rollouts, batch.teacher_prompts_N, strict=True):
        assert row.context_id == trainer.population.seed.id
        if prompt is None:
            assert example.id.endswith("3")
            continue
        shown, between, _ = str(trainer.tokenizer.decode(list(prompt))).split(example.question)
        assert example.question not in shown
        assert str(known(example)) in between.replace(" ", "")
        taught += 1
    assert taught


def test_the_last_steps_of_a_cycle_draw_plain_answers_to_those_of_the_lead(tmp_path: Path) -> None:
    task = write_task(tmp_path).replace("tests.support.runs:spread", ANSWERED)
    trainer = tiny_trainer(
        tmp_path, mode="consolidate", task=task, max_steps=4, slow_steps_per_cycle=4, consolidation_share=0.25, beta=0.1
    )
    *dealt, taught = steps_of(trainer)
    seed, lead = trainer.population.seed, trainer.population.lead
    assert lead.id != seed.id, "the fast phase found nothing, and the test says nothing"
    assert all(batch.teacher_prompts_N is None for batch in dealt)
    assert any(row.context_id != seed.id for batch in dealt for row in batch.rollouts)
    assert {row.context_id for row in taught.rollouts} == {seed.id}
    assert taught.teacher_prompts_N == tuple(trainer.policy.prompt_ids(lead, e) for e in taught.examples_N)
    assert [batch.beta for batch in (*dealt, taught)] == [0.1, 0.1, 0.1, 0.0], "the teacher is all that a step follows"
    assert trainer.shipped_context == "seed"
    assert [batch.rate for batch in (*dealt, taught)] == [None, None, None, 1.0]


class Rates(TrainerCallback):
    """Note the learning rate that each optimiser step was made with."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.seen.append(kwargs["optimizer"].param_groups[0]["lr"])


def test_a_consolidating_step_has_a_rate_of_its_own_whatever_the_schedule_says(tmp_path: Path) -> None:
    """The last step is one: a linear schedule has all but ended there."""
    task = write_task(tmp_path).replace("tests.support.runs:spread", ANSWERED)
    trainer = tiny_trainer(
        tmp_path, mode="consolidate", task=task, max_steps=4, slow_steps_per_cycle=4, consolidation_share=0.25,
        consolidation_rate=3.0, learning_rate=1e-4, lr_scheduler_type="linear", warmup_steps=0,
    )  # fmt: skip
    trainer.add_callback(rates := Rates())
    trainer.train()
    assert rates.seen == pytest.approx([1e-4, 0.75e-4, 0.5e-4, 3e-4])


@pytest.mark.parametrize(("mode", "setting", "said"), [
    ("self_distillation", {"advantages": "critic"}, "judges every token"),
    ("consolidate", {"advantage_group": "context", "num_generations": 8}, "judges every token"),
    ("self_distillation", {"dynamic_sampling": 2}, "judges every token"),
    ("self_distillation", {"kl_target": 0.1}, "no KL term to the base that kl_target could steer"),
    ("self_distillation", {"retention_floor": 0.9, "retention_action": "kl", "eval_strategy": "steps", "eval_steps": 1},
     "no KL term to the base that retention_action 'kl'"),
    ("consolidate", {"slow_steps_per_cycle": 1}, "nothing would be consolidated"),
    ("fst", {"consolidation_share": 0.25}, "set mode to consolidate"),
    ("rl", {"consolidation_rate": 4.0}, "consolidation_rate is about mode"),
])  # fmt: skip
def test_settings_that_mean_nothing_with_a_teacher_are_refused(
    tmp_path: Path, mode: str, setting: dict[str, Any], said: str
) -> None:
    with pytest.raises(BadInput, match=said):
        tiny_trainer(tmp_path, mode=mode, **setting)


def test_a_task_without_right_answers_is_refused(tmp_path: Path) -> None:
    task = write_task(tmp_path).replace("tests.support.runs:spread", "tests.loop.test_imitation:never")
    with pytest.raises(BadInput, match="needs right answers"):
        tiny_trainer(tmp_path, mode="self_distillation", task=task)


@pytest.mark.real_model
def test_a_real_model_comes_nearer_to_its_teacher(tmp_path: Path) -> None:
    """One question: with its answer before it, SmolLM2 knows what to say."""
    file = tmp_path / "one.jsonl"
    rows = [{"question": f"What is the password of room {i}? Only the word.", "answer": "tulip"} for i in range(12)]
    file.write_text("\n".join(map(json.dumps, rows)) + "\n")
    settings = tiny_settings(
        tmp_path, model="smollm2-135m", mode="self_distillation", task=f"jsonl:{file}?scorer=exact", max_steps=3,
        problems_per_step=1, num_generations=4, learning_rate=1e-4, warmup_steps=0, beta=0.0, save_bundle=False,
        save_strategy="no", validation_size=2, max_completion_length=6,
    )  # fmt: skip
    train(FastSlowConfig(**settings))
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    kl = [line["fst/teacher/kl"] for line in lines if "fst/teacher/kl" in line]
    assert len(kl) == 3
    assert kl[0] > 0.5, "the teacher knows no better, and the test says nothing"
    assert min(kl[-2:]) < kl[0] / 2


def test_the_last_cycle_ends_consolidated_however_short_it_is(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="consolidate", slow_steps_per_cycle=6, max_steps=20, consolidation_share=0.5)
    steps = [step for step in range(20) if trainer.cycle.consolidates(step)]
    assert steps == [3, 4, 5, 9, 10, 11, 15, 16, 17, 18, 19]
