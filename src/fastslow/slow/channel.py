"""The weights and their training, behind an interface of our own: no other package sees TRL's trainer."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from transformers import PreTrainedModel, PreTrainedTokenizerBase, TrainerCallback, TrainerState

from fastslow.core import processes
from fastslow.core.errors import BadInput, FastSlowError
from fastslow.files.snapshot import WEIGHTS
from fastslow.policy import shards
from fastslow.policy.soft_rows import SoftRows
from fastslow.slow.adapters.base import Calibration
from fastslow.slow.hooks import Listener, NoListener, StepSource
from fastslow.slow.sharding import Sharding, frozen
from fastslow.slow.soft import SoftLearner
from fastslow.slow.state import check_fit, load_weights, saved_shapes, saved_weights, weights_of
from fastslow.slow.trainer import SlowTrainer

PROGRESS = "trainer_state.json"
"""transformers' own file of counters, which transformers reads when a run is resumed."""


class SlowChannel:
    """Train the weights on steps of a source.

    Args:
        args: the run's settings, a GRPOConfig with those of `SlowSettings`.
        model: a causal LM with fp32 weights.
        tokenizer: its tokenizer.
        callbacks: transformers callbacks.
        given: the model was made in memory, so that no name leads to its weights.
        calibration: text for adapters that look at some before they start.
        soft: rows of soft contexts, which the model looks up.

    Raises:
        BadInput: for settings that TRL or one of its trackers cannot work with.
    """

    def __init__(
        self,
        args: Any,
        *,
        model: PreTrainedModel,
        tokenizer: PreTrainedTokenizerBase,
        callbacks: Sequence[TrainerCallback] = (),
        given: bool = False,
        calibration: Calibration | None = None,
        soft: SoftRows | None = None,
    ):
        self._trainer = SlowTrainer(
            args, model=model, tokenizer=tokenizer, callbacks=callbacks, given=given, calibration=calibration, soft=soft
        )

    # Components

    @property
    def model(self) -> Any:
        """The model in training, adapters included, without the wrapping of distributed training."""
        return self._trainer.accelerator.unwrap_model(self._trainer.model)

    @property
    def reference(self) -> PreTrainedModel | None:
        """TRL's copy of the base model for its KL term, where it keeps one that does not move."""
        trainer = self._trainer
        if trainer.ref_model is None or trainer.args.sync_ref_model:
            return None
        return trainer.accelerator.unwrap_model(trainer.ref_model)

    @property
    def soft(self) -> SoftLearner | None:
        """What trains the rows of soft contexts; None where contexts are texts."""
        return self._trainer.soft

    @property
    def sharding(self) -> Sharding:
        """What every process holds a share of."""
        return self._trainer.sharding

    @property
    def blank(self) -> PreTrainedModel | None:
        """The model without its weights, for engines to fill, where the weights are cut up between processes."""
        return self._trainer.blank

    def frozen(self, model: PreTrainedModel) -> PreTrainedModel:
        """Return a model that is not trained, cut up as the trained one is. Every process calls this method."""
        return frozen(self._trainer, model)

    @property
    def holds_base(self) -> bool:
        """Whether the model with its adapters off is the one that training started from."""
        return self._trainer.adapter.holds_base

    @property
    def ships_another(self) -> bool:
        """Whether what ships computes something else than the model in training, and has to be measured instead."""
        return self._trainer.adapter.ships_another

    def shipped_model(self) -> PreTrainedModel:
        """Return the model that a bundle of whole weights holds: the one in training, or a copy."""
        return self._trainer.adapter.shipped(self.model)

    def whole_model(self) -> PreTrainedModel | None:
        """Return the model with whole weights on the first process, to be saved; None elsewhere, where the weights are
        cut up. Every process calls this method."""
        if not shards.is_sharded(self.model):
            return self.shipped_model()
        assert self.blank is not None
        return shards.whole_copy(self.blank, self.model, keep=processes.is_main())

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self._trainer.accelerator.device

    @property
    def eos_ids(self) -> list[int]:
        """Ids of the tokens that end a completion."""
        return list(self._trainer.eos_token_ids)

    @property
    def chat_template_kwargs(self) -> dict[str, Any]:
        """Keyword arguments of the chat template, from the settings."""
        kwargs: Any = self._trainer.chat_template_kwargs
        return dict(kwargs)

    @property
    def as_trees(self) -> bool:
        """Whether rollouts are trained on as token trees."""
        return self._trainer.packing_problem is None

    @property
    def how_it_trains(self) -> str:
        """In words, how rollouts become rows of a forward."""
        trainer = self._trainer
        if trainer.packing_problem is None:
            return "trains on token trees"
        return f"trains on {trainer.padding.value} ({trainer.packing_problem})"

    @property
    def step(self) -> int:
        """Number of steps that are behind the weights."""
        return self._trainer.steps_done

    @property
    def last_step(self) -> int:
        """Number of steps at which the current training ends."""
        return self._trainer.state.max_steps // self._trainer.updates

    # Training

    def train(
        self,
        source: StepSource,
        listener: Listener,
        *,
        resume_from: Path | None = None,
        evaluate_first: bool | None = None,
    ) -> None:
        """Train until the settings' max_steps, or until the listener says to stop.

        `evaluate_first` says whether the weights are measured before the first step; None: as the settings say.

        `resume_from` is a checkpoint folder whose parts have been loaded into `parts` already; its weights are loaded
        here. Raises FastSlowError for a gradient that is not finite.
        """
        self._trainer.source, self._trainer.listener = source, listener
        if evaluate_first is not None:
            self._trainer.args.eval_on_start = evaluate_first
        self._trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)

    def fit(self, source: StepSource, steps: int) -> None:
        """Take `steps` steps with a new optimiser, from the current weights; no listener is called."""
        self._trainer.forget_progress()
        self._trainer.args.max_steps = steps * self._trainer.updates
        self.train(source, NoListener())

    def evaluate(self) -> dict[str, float]:
        """Have the listener measure the weights, and log the result."""
        return self._trainer.evaluate()

    def note(self, metrics: Mapping[str, float]) -> None:
        """Log these numbers with those of the current step."""
        self._trainer.note(metrics)

    def name_run(self, name: str) -> None:
        """Have trackers that begin from now on call the run by this name."""
        self._trainer.args.run_name = name

    def add_callback(self, callback: TrainerCallback) -> None:
        """Have transformers call `callback` as well."""
        self._trainer.add_callback(callback)

    def listen(self, listener: Listener) -> None:
        """Have `listener` take part from now on, before training as well."""
        self._trainer.listener = listener

    # State

    @property
    def parts(self) -> dict[str, Any]:
        """The parts of a checkpoint that belong to this channel, by name, without the weights."""
        soft = {} if self.soft is None else {"soft": self.soft}
        return {"slow": self._trainer.saved, "processes": self._trainer.saved_by_process, **soft}

    @property
    def weights(self) -> dict[str, torch.Tensor]:
        """The trained weights by name, not copies; of weights that are cut up, the share of this process."""
        return weights_of(self._trainer)

    def check_finite(self) -> None:
        """Raise FastSlowError where a weight is not finite, on every process. Every process calls this method."""
        own = next((name for name, weight in self.weights.items() if not is_finite(weight)), None)
        bad = next((name for name in processes.gather([own]) if name is not None), None)
        if bad is not None:
            raise FastSlowError(
                f"after step {self.step} the weight '{bad}' is not finite: no checkpoint was made of it, the one "
                "before is whole. A lower learning_rate may help."
            )

    def progress(self) -> bytes:
        """Return the content of trainer_state.json.

        The history of metrics is left out: metrics.jsonl has the history, and the sum over all checkpoints would be
        quadratic in the number of steps.
        """
        return (
            json.dumps(asdict(replace(self._trainer.state, log_history=[])), indent=2, sort_keys=True) + "\n"
        ).encode()

    def load_progress(self, folder: Path) -> None:
        """Take up how many steps are behind the weights of a checkpoint."""
        self._trainer.state = TrainerState.load_from_json(str(folder / PROGRESS))
        self._trainer.adapter.begin(self.model, self.step)

    def load_weights(self, folder: Path) -> None:
        """Load the weights of a checkpoint, not to train on them. Raises BadInput where the model has other weights."""
        load_weights(self._trainer, saved_weights(self._trainer, folder), folder)

    def check_fits(self, folder: Path) -> None:
        """Raise BadInput where a checkpoint's weights are not those of the model, by name and shape."""
        try:
            shapes = saved_shapes(self._trainer, folder)
        except (OSError, SafetensorError) as error:
            raise BadInput(f"'{folder / WEIGHTS}' cannot be read ({error}).") from error
        check_fit(self._trainer, shapes, folder)

    def copy_weights(self, saved: Mapping[str, torch.Tensor]) -> None:
        """Set the weights to `saved`, named as in `weights`."""
        load_weights(self._trainer, saved, "the copy")

    def roll_back(self, folder: Path, state: Mapping[str, Any]) -> None:
        """Set weights and optimiser to those of an earlier checkpoint; the learning rate and the steps go on.

        `state` is that of the part "slow". Raises BadInput where the model has other weights.
        """
        load_weights(self._trainer, saved_weights(self._trainer, folder), folder)
        self._trainer.saved.roll_back(state)


def is_finite(tensor: torch.Tensor) -> bool:
    """Return whether every element is finite, by the two extremes: a mask would be as large as the tensor."""
    if not tensor.is_floating_point() or not tensor.numel():
        return True
    return all(bool(torch.isfinite(extreme)) for extreme in tensor.detach().aminmax())
