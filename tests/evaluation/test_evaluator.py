"""One evaluator for runs and bundles: the same numbers from both, and the base beside the trained weights."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from fastslow.bundles.bundle import open_bundle, open_task
from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput
from fastslow.evaluation.accuracy import Sampling
from fastslow.evaluation.bundle import evaluate_bundle
from fastslow.evaluation.evaluator import EvaluationSettings, Evaluator
from fastslow.policy.engines.base import SamplingParams
from fastslow.record.display import SilentDisplay
from fastslow.run.measuring import make_policy
from fastslow.run.train import train
from fastslow.run.trainer import FastSlowTrainer
from tests.support.runs import tiny_settings, tiny_trainer
from tests.support.tiny import tiny_model_and_tokenizer


@pytest.fixture(scope="module")
def trainer(tmp_path_factory):
    trainer = tiny_trainer(tmp_path_factory.mktemp("run"))
    trainer.policy.refresh(0)
    return trainer


def evaluator(trainer, **overrides) -> Evaluator:
    greedy = replace(trainer.policy.params, temperature=0.0)
    settings = EvaluationSettings(Sampling(greedy, 2, 0), kl_examples=2, packing=True)
    config, task, window = trainer.args, trainer.parts.task, trainer.policy.window
    return Evaluator(
        policy=trainer.policy, model=trainer.model, base=trainer.base, task=task,
        policy_of=lambda model: make_policy(config, trainer.slow, trainer.tokenizer, task, window, model=model),
        settings=replace(settings, **overrides),
    )  # fmt: skip


def test_accuracy_repeats_for_the_same_weights_and_seed(trainer) -> None:
    kinds = ["seed", "lead", "mean"]
    first, second = (trainer.evaluator.measure(trainer.population, kinds) for _ in range(2))
    assert first == second
    assert {one.context for one in first} == {"seed", "lead", "mean"}


def test_drift_is_measured_where_there_is_one_context_and_examples_for_it(trainer) -> None:
    kinds = ["seed", "lead", "mean", "all"]
    for one in evaluator(trainer).measure(trainer.population, kinds):
        assert (one.kl is None) == (one.entropy is None) == (one.context == "mean")
    without = evaluator(trainer, kl_examples=0).measure(trainer.population, kinds)
    assert all(one.kl is None and one.entropy is None for one in without)


def test_unmoved_weights_answer_as_the_base_does(trainer) -> None:
    ours = evaluator(trainer).measure(trainer.population, ["seed"])
    base = evaluator(trainer).measure_base(trainer.population, ["seed"])
    assert [one.answers for one in ours] == [one.answers for one in base]
    assert [(one.weights, one.kl, one.entropy) for one in base] == [("base", 0.0, None)]


def test_a_limit_takes_the_first_examples_and_an_empty_split_is_refused(trainer) -> None:
    (one,) = evaluator(trainer).measure(trainer.population, ["seed"], limit=2)
    assert one.n == 2
    assert [a.example_id for a in one.answers[::2]] == [e.id for e in trainer.parts.task.split("validation")[:2]]
    with pytest.raises(BadInput, match="has no test examples"):
        evaluator(trainer).measure(trainer.population, ["seed"], split="test", limit=0)


def test_a_bundle_is_measured_as_its_run_was(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path, max_steps=1, eval_strategy="steps", eval_steps=1)
    train(FastSlowConfig(**settings), display=SilentDisplay())
    rows = [json.loads(line) for line in (tmp_path / "run" / "evals.jsonl").read_text().splitlines()]
    bundle = open_bundle(tmp_path / "run")
    kept = bundle.settings
    measured = evaluate_bundle(
        bundle, open_task(kept["task"], kept, trusted=True), split="validation", kl_examples=settings["kl_examples"],
        params=SamplingParams(kept["max_completion_length"], kept["eval_temperature"], kept["eval_top_p"]),
        samples=kept["eval_samples"], dtype=torch.float32,
    )  # fmt: skip
    ours = {(one.weights, one.context): one.row() for one in measured}
    assert len(rows) == 5
    for row in rows:
        same = {name: pytest.approx(row[name], rel=1e-3) for name in ("kl", "entropy") if row[name] is not None}
        assert {"step": row["step"], **ours[row["weights"], row["context"]]} == {**row, **same}


def test_the_base_of_a_given_model_stays_where_training_started(tmp_path) -> None:
    """TRL wraps the trained model's forward: a careless copy of it would answer with the trained weights."""
    settings = FastSlowConfig(**tiny_settings(tmp_path, beta=0.0))  # with one, TRL loads the reference by name
    model, tokenizer = tiny_model_and_tokenizer()
    trainer = FastSlowTrainer(settings, model=model, processing_class=tokenizer)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        before = model(input_ids=ids, use_cache=False).logits.clone()
        for weight in model.parameters():
            weight.add_(0.1)
        with trainer.base() as base:
            assert torch.allclose(base(input_ids=ids, use_cache=False).logits, before, atol=1e-6)


def test_a_model_made_in_memory_is_its_own_reference(tmp_path) -> None:
    """No name leads to its weights: TRL would load others by the name, or fail for want of one."""
    settings = FastSlowConfig(**tiny_settings(tmp_path, beta=0.1, mode="rl", max_steps=2))
    model, tokenizer = tiny_model_and_tokenizer()
    model.config._name_or_path = ""
    trainer = FastSlowTrainer(settings, model=model, processing_class=tokenizer)
    before = {name: weight.detach().clone() for name, weight in model.named_parameters()}
    trainer.train()
    reference = trainer.slow.reference
    assert reference is not None
    assert settings.beta == 0.1
    assert all(torch.equal(before[name], weight) for name, weight in reference.named_parameters())
    assert any(not torch.equal(before[name], weight) for name, weight in trainer.model.named_parameters())
