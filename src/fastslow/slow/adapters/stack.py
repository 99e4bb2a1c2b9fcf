"""An adapter for each stage of a stream: the older ones frozen and added up, or merged by TIES."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from peft.utils.merge_utils import ties
from torch import Tensor
from transformers import PreTrainedModel

from fastslow.policy.plain import plain_copy
from fastslow.slow.adapters.lora import Lora, lora_config

FIRST = "default"
"""peft's name of the adapter that TRL has made: the first stage's."""
DENSITY = 0.2
"""Share of its entries that TIES leaves of each update (arXiv 2306.01708, its top-20%)."""


class Stack(Lora):
    """Train a new LoRA adapter in each stage, on top of those of the stages before, which stay as they are.

    All adapters exist from the start, so that checkpoints of all stages hold the same weights; those of stages to come
    are off. The optimiser knows all of them, and skips those without a gradient.
    """

    ships_adapters = False

    def attach(self, model: Any) -> None:
        for stage in range(1, self.stages.count):
            model.add_adapter(name_of(stage), lora_config(self.args))
        self.begin(model, 0)

    def saves(self, name: str) -> bool:
        return ".lora_" in name

    @contextmanager
    def all_trained(self, model: Any) -> Iterator[None]:
        now = {name: weight.requires_grad for name, weight in model.named_parameters() if self.saves(name)}
        for name, weight in model.named_parameters():
            weight.requires_grad_(name in now or weight.requires_grad)
        yield
        for name, weight in model.named_parameters():
            weight.requires_grad_(now.get(name, weight.requires_grad))

    def begin(self, model: Any, step: int) -> None:
        self._stage = self.stages.after(step)
        model.base_model.set_adapter([name_of(on) for on in self.on_in(self._stage)])
        self.freeze(model)

    def freeze(self, model: Any) -> None:
        for name, weight in model.named_parameters():
            if self.saves(name):
                weight.requires_grad_(f".{name_of(self._stage)}." in name)
                weight.grad = weight.grad if weight.requires_grad else None  # or momentum would move it

    def step_ended(self, trainer: Any, step: int) -> None:
        if self.stages.end(step):
            self.begin(trainer.accelerator.unwrap_model(trainer.model), step)

    def on_in(self, stage: int) -> Sequence[int]:
        """Return the stages whose adapters are on in a stage."""
        return range(stage + 1)

    def shipped(self, model: Any) -> PreTrainedModel:
        return plain_copy(model)


class Merge(Stack):
    """Train a LoRA adapter on the base alone in each stage; what is measured and shipped is the base with the updates
    of all stages so far merged by TIES.

    peft's `add_weighted_adapter` merges the two factors of LoRA apart, and their product is not the merged update.
    Here peft's `ties` merges the updates themselves, for which the method was made, and whole weights ship.
    """

    ships_another = True

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._begun = 1

    def begin(self, model: Any, step: int) -> None:
        super().begin(model, step)
        self._begun = -(-max(step, 1) // self.stages.steps)

    def step_ended(self, trainer: Any, step: int) -> None:
        super().step_ended(trainer, step)
        self._begun = -(-step // self.stages.steps)

    def on_in(self, stage: int) -> Sequence[int]:
        return [stage]

    @torch.no_grad()
    def shipped(self, model: Any) -> PreTrainedModel:
        """Return the base with the updates of the stages that have begun merged."""
        with model.disable_adapter():
            plain = plain_copy(model)
        names = [name_of(stage) for stage in range(min(self._begun, self.stages.count))]
        layers: list[tuple[str, Any]] = list(model.get_base_model().named_modules())
        for name, layer in layers:
            if isinstance(layer, LoraLayer):
                updates = [layer.get_delta_weight(stage) for stage in names]  # pyrefly: ignore[missing-attribute] - of its subclasses
                plain.get_parameter(f"{name}.weight").add_(merged(updates))
        return plain


def name_of(stage: int) -> str:
    """Return the name of a stage's adapter."""
    return FIRST if stage == 0 else f"stage{stage + 1}"


def merged(updates: Sequence[Tensor]) -> Tensor:
    """Merge updates of one weight by TIES; a single one is left as it is."""
    if len(updates) == 1:
        return updates[0]
    return ties(list(updates), torch.ones(len(updates), device=updates[0].device), DENSITY)
