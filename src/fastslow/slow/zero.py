"""DeepSpeed's ZeRO-2: what its engine does out of our sight, and its optimiser's state without objects of its own.

The engine steps within the last backward of a step, before transformers asks anybody, and steps on zeros where a
micro-batch has no gradient: momenta and weight decay would move weights that nothing trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


class GuardedEngine:
    """accelerate's wrapper of the engine: skip micro-batches without a row, and say when the weights change next."""

    def __init__(self, trainer: Any):
        self._trainer = trainer
        self._wrapped = trainer.accelerator.deepspeed_engine_wrapped
        self._stepped = True

    def backward(self, loss: torch.Tensor, sync_gradients: bool = True, **kwargs: Any) -> None:
        """Compute gradients and, where they are complete, step."""
        trainer = self._trainer
        # The micro-batches in use are the last ones, so the last one is empty only where all are.
        empty = trainer._buffered_inputs[trainer._step % trainer.slots].get("empty")
        if sync_gradients:
            self._stepped = not empty
        if empty:
            return
        if sync_gradients:
            trainer.listener.weights_change_next()
        self._wrapped.backward(loss, sync_gradients=sync_gradients, **kwargs)

    def get_global_grad_norm(self) -> Any:
        """Return the norm of the last gradient; 0 where there was none."""
        return self._wrapped.get_global_grad_norm() if self._stepped else 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def zero_state(trainer: Any) -> dict[str, Any]:
    """Return the state of the optimiser: the moments of this process's share, and the share itself, which is fp32
    whatever the weights are. The rest of what DeepSpeed keeps follows from the settings."""
    engine = trainer.model_wrapped.optimizer
    return {"base": engine.optimizer.state_dict(), "shares": list(engine.single_partition_of_fp32_groups)}


@torch.no_grad()
def load_zero_state(trainer: Any, saved: Mapping[str, Any]) -> None:
    """Take up what `zero_state` returned."""
    engine = trainer.model_wrapped.optimizer
    engine.optimizer.load_state_dict(saved["base"])
    for share, held in zip(engine.single_partition_of_fp32_groups, saved["shares"], strict=True):
        share.copy_(held)
