"""Modes that learn from right answers: the gradient is that of their likelihood, and of nothing else."""

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
from fastslow.loop.groups import NO_ANSWER
from fastslow.policy.policy import ANSWER_TOO_LONG
from fastslow.run.train import train
from fastslow.run.trainer import FastSlowTrainer
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.watch import LastBatch


def often(completion: str, row: dict[str, Any]) -> float:
    """Full reward for a third of random answers, and for the right one; half of it for another third."""
    if completion == row["answer"]:
        return 1.0
    return (sum(map(ord, completion)) % 3) / 2


def written(folder: Path, answers: list[str]) -> str:
    path = folder / "answers.jsonl"
    rows = [{"question": f"What is {i} + {i + 1}?", "answer": answer} for i, answer in enumerate(answers)]
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    return f"jsonl:{path}?scorer={__name__}:often"


def first_gradients(folder: Path, **overrides: Any) -> tuple[dict[str, torch.Tensor], list[Rollout], Any]:
    """The gradients of the first step, its rows, and the weights before it."""
    task = written(folder, [str(2 * i + 1) for i in range(40)])
    settings = {"task": task, "max_steps": 1, "beta": 0.0, "bf16": False, "learning_rate": 0.0, **overrides}
    trainer = tiny_trainer(folder, **settings)
    last, grads = LastBatch(trainer), {}

    def keep(*args: Any, **kwargs: Any) -> None:
        grads.update({n: p.grad.clone() for n, p in trainer.model.named_parameters() if p.grad is not None})

    trainer.slow._trainer.listener.weights_change_next = keep  # replaced when training starts
    trainer.weights_change_next = keep  # type: ignore[method-assign]
    trainer.train()
    return grads, last.rollouts, trainer


def likelihood_gradients(model: Any, rows: list[Rollout], *, by_row: bool) -> dict[str, torch.Tensor]:
    """The gradients of minus the log-likelihood: a mean over all tokens, or over the means of rows."""
    model.zero_grad()
    loss, tokens = torch.zeros(()), sum(len(row.completion_ids) for row in rows)
    for row in rows:
        ids = torch.tensor([row.prompt_ids + row.completion_ids])
        logps = model(input_ids=ids).logits[0, len(row.prompt_ids) - 1 : -1].float().log_softmax(-1)
        total = logps.gather(1, ids[0, len(row.prompt_ids) :, None]).sum()
        loss = loss - total / (len(row.completion_ids) * len(rows) if by_row else tokens)
    loss.backward()
    return {n: p.grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("aggregation", ["problem", "token"])
def test_the_gradient_of_sft_is_that_of_the_answers_likelihood(tmp_path: Path, aggregation: str) -> None:
    grads, rows, trainer = first_gradients(tmp_path, mode="supervised", loss_aggregation=aggregation)
    assert len({row.example_id for row in rows}) == 3 * 4, "as many questions as RL has rollouts"
    expected = likelihood_gradients(trainer.model, rows, by_row=aggregation == "problem")
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[name], atol=1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_the_gradient_of_rft_is_that_of_the_fully_right_rollouts(tmp_path: Path) -> None:
    grads, rows, trainer = first_gradients(tmp_path, mode="rejection", loss_aggregation="token", problems_per_step=6)
    right = [row for row in rows if row.verdict.reward == 1.0]
    assert 0 < len(right) < sum(bool(row.verdict.reward) for row in rows), "some are right, some half right"
    expected = likelihood_gradients(trainer.model, right, by_row=False)
    for name, grad in grads.items():
        torch.testing.assert_close(grad, expected[name], atol=1e-6, rtol=1e-4, msg=lambda m, n=name: f"{n}: {m}")


def test_sft_is_told_training_answers_with_the_end_token_and_makes_no_rollout(tmp_path: Path) -> None:
    _, rows, trainer = first_gradients(tmp_path, mode="supervised")
    known = {example.id: example for example in trainer.parts.task.split("train")}
    for row in rows:
        assert row.text == trainer.parts.task.answer(known[row.example_id])
        assert row.completion_ids[-1] == trainer.tokenizer.eos_token_id
    assert trainer.recorder.rollouts == {"slow": 0, "fast": 0, "reused": 0}


def test_answers_that_are_too_long_or_unknown_teach_nothing(tmp_path: Path) -> None:
    task = written(tmp_path, ["7", "8" * 40] * 20)
    trainer = tiny_trainer(tmp_path, mode="supervised", task=task, max_steps=1, problems_per_step=6)
    last = LastBatch(trainer)
    known = trainer.parts.task.answer
    trainer.policy.task.answer = lambda e: None if e.id.endswith("3") else known(e)  # type: ignore[method-assign]
    trainer.train()
    imitated_N = last.batch.imitated_N
    assert imitated_N is not None
    said = {
        "" if told else str(row.verdict.info["unscored"]) for row, told in zip(last.rollouts, imitated_N, strict=True)
    }
    assert ANSWER_TOO_LONG in said
    assert said <= {"", ANSWER_TOO_LONG, NO_ANSWER}
    assert any(imitated_N)


def test_sft_on_a_task_without_answers_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no verified one to any training question; take mode rejection"):
        tiny_trainer(tmp_path, mode="supervised", task=written(tmp_path, ["7"] * 20).replace("often", "never"))


def test_answers_of_which_none_can_be_learned_are_refused_before_anything_runs(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="has only longer ones"):
        tiny_trainer(tmp_path, mode="supervised", task=written(tmp_path, ["8" * 40] * 20))


def test_a_run_in_which_nothing_was_learned_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    task = written(tmp_path, ["7"] * 20).replace("often", "never")
    train(FastSlowConfig(**tiny_settings(tmp_path, mode="rejection", task=task, beta=0.0, max_steps=1)))
    assert "NOTHING WAS LEARNED" in " ".join(capsys.readouterr().err.split())


def never(completion: str, row: dict[str, Any]) -> float:
    return 0.0


@pytest.mark.parametrize(("mode", "setting", "said"), [
    ("supervised", {"loss_type": "grpo"}, "Leave it at cispo"),
    ("rejection", {"loss_type": "sapo"}, "Leave it at cispo"),
    ("supervised", {"dynamic_sampling": 2}, "makes no rollouts"),
    ("rejection", {"dynamic_sampling": 2}, "learns from every right answer"),
    ("supervised", {"router": "triage"}, "makes no rollouts"),
    ("rejection", {"top_entropy_quantile": 0.3}, "likelihood of whole answers"),
    ("supervised", {"entropy_coef": 0.1}, "likelihood of whole answers"),
])  # fmt: skip
def test_settings_without_a_meaning_are_refused(tmp_path: Path, mode: str, setting: dict[str, Any], said: str) -> None:
    with pytest.raises(BadInput, match=said):
        tiny_trainer(tmp_path, mode=mode, **setting)


@pytest.mark.real_model
def test_a_real_model_comes_to_expect_the_answers_it_is_told(tmp_path: Path) -> None:
    losses: list[float] = []

    class Losses(TrainerCallback):
        def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **kwargs: Any) -> None:
            losses.extend([logs["loss"]] if "loss" in logs else [])

    task = written(tmp_path, [str(2 * i + 1) for i in range(20)])
    config = FastSlowConfig(
        **tiny_settings(
            tmp_path, model="smollm2-135m", mode="supervised", task=task, max_steps=3, problems_per_step=2,
            num_generations=2, learning_rate=1e-4, beta=0.0, save_bundle=False, save_strategy="no", validation_size=2,
        )
    )  # fmt: skip
    trainer = FastSlowTrainer(config, callbacks=[Losses()])
    trainer.train()
    assert losses[-1] < losses[0] / 2
