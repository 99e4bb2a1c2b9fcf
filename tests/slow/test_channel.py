"""The slow channel trains, measures and copies weights behind names of our own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from transformers import TrainerCallback

from fastslow.config.settings import FastSlowConfig
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.run.trainer import FastSlowTrainer
from fastslow.slow.hooks import NoListener
from tests.support.runs import tiny_settings, tiny_trainer


def weights_of(trainer) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in trainer.slow.weights.items()}


def test_fit_takes_so_many_steps_and_tells_nobody(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="rl", max_steps=5, eval_strategy="steps", eval_steps=1)
    before = weights_of(trainer)
    trainer.slow.fit(trainer.cycle, 2)
    assert trainer.slow.step == 2
    assert trainer.recorder.measurements == [], "an evaluation was measured"
    assert any(not torch.equal(before[name], weight) for name, weight in trainer.slow.weights.items())


def test_weights_that_were_copied_away_can_be_put_back(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="rl", max_steps=1)
    before = weights_of(trainer)
    trainer.slow.train(trainer.cycle, NoListener())
    trainer.slow.copy_weights(before)
    assert all(torch.equal(before[name], weight) for name, weight in trainer.slow.weights.items())


def test_weights_of_another_model_are_refused_by_name(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="rl", max_steps=1)
    other = weights_of(trainer)
    name = next(iter(other))
    other[name] = other[name][:-1]
    with pytest.raises(BadInput, match=name):
        trainer.slow.copy_weights(other)


def test_a_weight_that_is_not_finite_is_named(tmp_path: Path) -> None:
    trainer = tiny_trainer(tmp_path, mode="rl", max_steps=1)
    trainer.slow.check_finite()
    name, weight = next(iter(trainer.slow.weights.items()))
    with torch.no_grad():
        weight.view(-1)[0] = float("nan")
    with pytest.raises(FastSlowError, match=f"'{name}' is not finite"):
        trainer.slow.check_finite()


def test_whatever_a_library_raises_while_the_trainer_is_made_is_a_refusal(tmp_path: Path) -> None:
    """Trackers are callbacks, and each fails in its own way."""

    class Tracker(TrainerCallback):
        def on_init_end(self, *args: object, **kwargs: object) -> None:
            raise PermissionError("no login")

    with pytest.raises(BadInput, match="the trainer refuses these settings: no login"):
        FastSlowTrainer(FastSlowConfig(**tiny_settings(tmp_path, mode="rl")), callbacks=[Tracker()])
