"""What the trainer asks of a kind of adapter; and the kind without any, which trains every weight."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

from peft import PeftConfig
from transformers import PreTrainedModel

from fastslow.slow.adapters.stages import Stages

Calibration = Callable[[], Sequence[Sequence[int]]]
"""Returns rows of token ids of text that a kind of adapter may look at before it starts."""


class AllWeights:
    """Train every weight. The kinds of adapters override what they do otherwise.

    Args:
        args: the run's settings.
        calibration: text for kinds that look at some.
    """

    holds_base: ClassVar[bool] = False
    """Whether the model with its adapters off is the one that training started from."""
    edits_base: ClassVar[bool] = False
    """Whether weights change that no optimiser trains, so that the base for the KL is a copy from before."""
    ships_adapters: ClassVar[bool] = False
    """Whether a bundle holds adapters, for the base; else it holds whole weights."""
    ships_another: ClassVar[bool] = False
    """Whether what ships computes something else than the model in training, and has to be measured instead."""

    def __init__(self, args: Any, calibration: Calibration | None = None):
        self.args = args
        self.stages = Stages.of(args)
        self.calibration = calibration

    def prepare(self, model: PreTrainedModel) -> PeftConfig | None:
        """Change the model where peft does not; return what TRL has peft add to it."""
        return None

    def attach(self, model: Any) -> None:
        """Complete the model that TRL has made, before there is an optimiser."""

    def saves(self, name: str) -> bool:
        """Return whether a checkpoint has to hold the weight of this name although no optimiser trains it now."""
        return False

    @contextmanager
    def all_trained(self, model: Any) -> Iterator[None]:
        """Have every weight ask for a gradient that will be trained in any stage, for the optimiser to be made of."""
        yield

    def begin(self, model: Any, step: int) -> None:
        """Bring what follows from the number of finished steps into the state after `step`; weights stay."""

    def freeze(self, model: Any) -> None:
        """Keep gradients from what is not trained now; called before each loss, as peft asks for those of every
        adapter that is on when it turns them on again."""

    def step_ended(self, trainer: Any, step: int) -> None:
        """Do what is due after `step` finished steps, before they are measured or saved."""

    def shipped(self, model: Any) -> PreTrainedModel:
        """Return the model that a bundle holds: the one in training, or a copy."""
        return model
