"""Bring the policy's weights to vLLM servers, through a folder that both sides see.

`WholeWeights` writes all weights and has them reloaded. `Adapters` writes the adapters of a LoRA run, which a server
swaps in. Weights sent over NCCL need a GPU of the trainer's in the server's process group and are left out.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from transformers import PreTrainedModel

from fastslow.core import processes
from fastslow.files import atomic
from fastslow.policy.engines.servable import PUSHED, served_weights, write_weights
from fastslow.policy.engines.servers import Card, VllmServer

ADAPTER = "fastslow-policy"
"""Name under which a server holds the policy's adapter."""


class Transport(Protocol):
    """A way for weights to reach the servers."""

    def write(self, label: str) -> None:
        """Write the weights as they are now. Every process has to call this method."""
        ...

    async def push(self, server: VllmServer) -> None:
        """Have a server use what was written last. Raises EngineError."""
        ...

    def asked_for(self, card: Card) -> str:
        """Return the name of the model that requests to a server ask for."""
        ...

    def clear(self) -> None:
        """Delete what was written last."""
        ...


class WholeWeights:
    """Bring all weights, in the type that rollouts are computed in."""

    def __init__(self, model: PreTrainedModel, root: Path, dtype: torch.dtype):
        self._model, self._dtype = model, dtype
        self._shelf = Shelf(root)

    def write(self, label: str) -> None:
        weights = served_weights(self._model, self._dtype, kept=processes.is_main())
        self._shelf.put(label, lambda folder: write_weights(self._model, weights, folder, self._dtype))

    async def push(self, server: VllmServer) -> None:
        await server.reload(str(self._shelf.newest))

    def asked_for(self, card: Card) -> str:
        return card.name

    def clear(self) -> None:
        self._shelf.clear()


class Adapters:
    """Bring the adapters of a LoRA run; with the adapters off, requests ask for the served model itself."""

    def __init__(self, model: Any, root: Path):
        self._model = model
        self._shelf = Shelf(root)

    def write(self, label: str) -> None:
        self._shelf.put(label, self._model.save_pretrained)

    async def push(self, server: VllmServer) -> None:
        await server.load_adapter(ADAPTER, str(self._shelf.newest))

    def asked_for(self, card: Card) -> str:
        return card.name if self._off else ADAPTER

    def clear(self) -> None:
        self._shelf.clear()

    @property
    def _off(self) -> bool:
        layers = (layer for layer in self._model.modules() if isinstance(layer, BaseTunerLayer))
        return next(layers).disable_adapters


class Shelf:
    """Keep the newest folder of weights below the folder that the servers were started on."""

    def __init__(self, root: Path):
        self._place = root / PUSHED
        self.newest: Path | None = None

    def put(self, label: str, write: Any) -> None:
        """Have the first process write a folder, then delete the one before it."""
        folder, before = self._place / label, self.newest
        processes.from_main(lambda: write(folder))
        self.newest = folder
        if before is not None and processes.is_main():
            atomic.remove(before)

    def clear(self) -> None:
        """Delete what was written last."""
        if self.newest is not None and processes.is_main():
            atomic.remove(self.newest)
        self.newest = None
