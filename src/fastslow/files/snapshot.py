"""What a checkpoint holds: parts by name, each with `state_dict` and `load_state_dict`, and the weights.

    model.safetensors       the weights (with LoRA, the adapters), named as in memory
    state.json              every part's state by its name
    state.safetensors       the tensors of those states
    and files that a library wants to find under its own name

Where weights or optimiser are cut up between processes, each process writes its share: model.0.safetensors and so on.

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

from fastslow.core import processes
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


@dataclass(frozen=True)
class Taken:
    """What a checkpoint holds, taken while the run stood still: it stays so until the optimiser steps."""

    small: dict[str, bytes]
    standing: Standing

    def put(self, folder: Path) -> Standing:
        """Write what is small into `folder`, on the first process, and return what is not. Raises OSError."""
        if processes.is_main():
            for name, data in self.small.items():
                (folder / name).write_bytes(data)
        return self.standing


def states_of(parts: Mapping[str, Stateful]) -> dict[str, Any]:
    """Return the state of every part by name. Every process has to call this function."""
    return {name: part.state_dict() for name, part in parts.items()}


@dataclass(frozen=True)
class Cut:
    """Which tensors of a run are cut up between its processes, each of which then writes a file of its own."""

    weights: bool = False
    states: bool = False

    @property
    def anything(self) -> bool:
        return self.weights or self.states

    def files(self) -> dict[str, str]:
        """Return the names of the files of tensors that this process writes: the first one those that are whole."""
        cut = {WEIGHTS: self.weights, TENSORS: self.states}
        return {
            name: shard_name(name, processes.rank()) if is_cut else name
            for name, is_cut in cut.items()
            if is_cut or processes.is_main()
        }

    def check(self, folder: Path) -> None:
        """Raise BadInput where the tensors of a checkpoint are not cut up as those of this run."""
        found = {name: len(shard_files(folder, name)) for name in (WEIGHTS, TENSORS)}
        own = {name: processes.count() * cut for name, cut in ((WEIGHTS, self.weights), (TENSORS, self.states))}
        if found != own:
            raise BadInput(
                f"'{folder}' was written with {_in_words(found)} and can only go on so; this run has "
                f"{_in_words(own)}. Start it as it was started: the same accelerate configuration, as many processes."
            )


def _in_words(shares: Mapping[str, int]) -> str:
    """Describe into how many shares weights and optimiser are cut."""
    if not any(shares.values()):
        return "whole weights"
    what = "weights and optimiser" if shares[WEIGHTS] else "the optimiser"
    return f"{what} cut up between {shares[TENSORS]} processes"


def shard_name(name: str, rank: int) -> str:
    """Return the name of one process's share of the file `name`."""
    stem, _, kind = name.rpartition(".")
    return f"{stem}.{rank}.{kind}"


def shard_files(folder: Path, name: str) -> list[Path]:
    """Return the shares of the file `name`, in the order of the processes; none where it is whole."""
    stem, _, kind = name.rpartition(".")
    found = [path for path in folder.glob(f"{stem}.*.{kind}") if path.name.split(".")[-2].isdecimal()]
    return sorted(found, key=lambda path: int(path.name.split(".")[-2]))


def own_file(folder: Path, name: str) -> Path:
    """Return the file that holds this process's tensors of `name`."""
    whole = folder / name
    return whole if whole.exists() else folder / shard_name(name, processes.rank())


def take(
    parts: Mapping[str, Stateful],
    states: Mapping[str, Any],
    weights: Mapping[str, torch.Tensor],
    others: Mapping[str, bytes],
    cut: Cut = Cut(),
) -> Taken:
    """Take down all that a checkpoint holds.

    Args:
        parts, states: every part and its state (`states_of`).
        weights: by name.
        others: whole files by name.
        cut: which tensors are this process's share only. Where any are, every process calls this function.

    Raises:
        FastSlowError for a state that holds an object of another kind.
    """
    tensors: dict[str, torch.Tensor] = {}
    content = {
        name: flatten(states[name], tensors, name, copy=not getattr(part, "stands_still", False))
        for name, part in parts.items()
    }
    held = {WEIGHTS: {name: weight.detach() for name, weight in weights.items()}, TENSORS: tensors}
    files = {file: held[name] for name, file in cut.files().items()}
    versions = {name: t._version for of_file in files.values() for name, t in of_file.items()}
    return Taken({STATE: dumps(content), **others}, Standing(files, versions))


def read(folder: Path) -> dict[str, Any]:
    """Return every part's state of a verified checkpoint. Raises BadInput for one that no version of ours wrote."""
    try:
        return rebuild(json.loads((folder / STATE).read_bytes()), load_file(own_file(folder, TENSORS)))
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
