"""What a checkpoint holds: parts by name, each with `state_dict` and `load_state_dict`, and the weights.

    model.safetensors       the weights (with LoRA, the adapters), named as in memory
    state.json              every part's state by its name
    state.safetensors       the tensors of those states
    and files that a library wants to find under its own name

Weights and optimiser change in one place only, the optimiser's step. So the two files of tensors are written while the
next step samples, scores and computes gradients, from the tensors themselves; all else is written at once.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from fastslow.core.errors import BadInput, FastSlowError
from fastslow.files.jsonl import dumps
from fastslow.files.nested_state import flatten, rebuild
from fastslow.files.tensors import write_tensors

WEIGHTS, STATE, TENSORS = "model.safetensors", "state.json", "state.safetensors"

UNREADABLE = (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError, SafetensorError)
"""What reading a file may raise that no version of ours wrote."""


class Stateful(Protocol):
    """A part of a run whose state a checkpoint holds (the protocol of torch.distributed.checkpoint).

    A part whose tensors change in the optimiser's step only says so by an attribute `stands_still = True`: they are
    then written without a copy.
    """

    def state_dict(self) -> Mapping[str, Any]:
        """Return numbers, texts, tensors and containers of those. Every process calls this method."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> Any:
        """Take up what `state_dict` returned."""
        ...


class WeightsMoved(FastSlowError):
    """Something other than the optimiser changed a weight while it was being written."""


@dataclass(frozen=True)
class Standing:
    """What is still to be written of a checkpoint: tensors by file, which stand still until the optimiser steps."""

    files: dict[str, dict[str, torch.Tensor]]
    versions: dict[str, int]
    """torch's count of changes in place, by tensor: what moved all the same does not become a checkpoint unnoticed."""

    def write(self, folder: Path, proceed: Callable[[], None]) -> dict[str, dict[str, int | str]]:
        """Return length and SHA-256 of every file written. `proceed` may raise. Raises WeightsMoved and OSError."""
        written = {name: write_tensors(folder / name, tensors, proceed) for name, tensors in self.files.items()}
        for tensors in self.files.values():
            for name, tensor in tensors.items():
                if tensor._version != self.versions[name]:
                    raise WeightsMoved(name)
        return written


def states_of(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Return the state of every part by name. Every process has to call this function."""
    return {name: part.state_dict() for name, part in parts.items()}


def take(
    folder: Path,
    parts: Mapping[str, Stateful],
    states: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    others: Mapping[str, bytes],
) -> Standing:
    """Write what is small into `folder`, and return what is not.

    Args:
        parts, states: every part and its state (`states_of`).
        weights: by name.
        others: whole files by name.

    Raises:
        OSError, and FastSlowError for a state that holds an object of another kind.
    """
    tensors: dict[str, torch.Tensor] = {}
    content = {
        name: flatten(states[name], tensors, name, copy=not getattr(part, "stands_still", False))
        for name, part in parts.items()
    }
    (folder / STATE).write_bytes(dumps(content))
    for name, data in others.items():
        (folder / name).write_bytes(data)
    files = {WEIGHTS: {name: weight.detach() for name, weight in weights.items()}, TENSORS: tensors}
    return Standing(files, {name: t._version for of_file in files.values() for name, t in of_file.items()})


def read(folder: Path) -> dict[str, Any]:
    """Return every part's state of a verified checkpoint. Raises BadInput for one that no version of ours wrote."""
    try:
        return rebuild(json.loads((folder / STATE).read_bytes()), load_file(folder / TENSORS))
    except UNREADABLE as error:
        raise _unreadable(folder, error) from error


def read_plain(folder: Path, part: str) -> dict[str, Any]:
    """Return one part's state as state.json has it, its tensors left out. Raises BadInput as `read` does."""
    try:
        return dict(json.loads((folder / STATE).read_bytes())[part])
    except UNREADABLE as error:
        raise _unreadable(folder, error) from error


def load(parts: Mapping[str, Stateful], states: Mapping[str, Any], folder: Path) -> None:
    """Have every part take up its state. Raises BadInput naming the part whose state is missing or damaged."""
    for name, part in parts.items():
        if name not in states:
            raise BadInput(f"'{folder}' has no part '{name}'.")
        try:
            part.load_state_dict(states[name])
        except FastSlowError:
            raise
        except UNREADABLE as error:
            raise BadInput(f"'{name}' of '{folder}' cannot be read ({type(error).__name__}: {error}).") from error


def _unreadable(folder: Path, error: Exception) -> BadInput:
    return BadInput(f"'{folder / STATE}' cannot be read ({type(error).__name__}: {error}).")
